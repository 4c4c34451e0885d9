"""What is to be paid to a buyer, as a case asks the shop for it: one kind a purpose. Pure data; the shop reckons it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

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


Due = RefundDue | PostageDue
"""Any of them; a flow that pays for something else adds its kind here and to `casework.shop.dues.reckon_due`."""
