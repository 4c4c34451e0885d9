"""What is to be paid to a buyer, as a case asks the shop for it: one kind a purpose. Pure data; the shop reckons it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from casework.money import LineQuantity


class RefundDue(BaseModel):
    """The paid price of lines that have not left, or are back; the postage goes with the order's last ones."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["refund"] = "refund"
    lines: list[LineQuantity]


class PostageDue(BaseModel):
    """The order's postage, of which no more than so many fen: free shipping for an order that was paid already."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["postage"] = "postage"
    at_most_fen: int


class ReturnDue(BaseModel):
    """The paid price of lines that come back, less a missing gift, and the postage that the buyer advanced, in fen.

    For a fault the postage of the way out goes with the whole order.
    """

    model_config = ConfigDict(frozen=True)

    kind: Literal["return"] = "return"
    lines: list[LineQuantity]
    fault: bool
    gift_deduction_fen: int = 0
    return_postage_fen: int = 0


class RebateDue(BaseModel):
    """What brings the price of what is left of an order down to the approved one, in fen with postage."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["rebate"] = "rebate"
    price_fen: int


Due = Annotated[RefundDue | ReturnDue | PostageDue | RebateDue, Field(discriminator="kind")]
"""Any of them; a flow that pays for something else adds its kind here and to `casework.shop.dues.reckon_due`."""
