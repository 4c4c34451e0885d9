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


Due = RefundDue
"""Any of them; a flow that pays for something else adds its kind here and to `casework.shop.dues.reckon_due`."""
