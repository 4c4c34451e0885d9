"""How the shop says an order stands: the facts that guards read. Pure data."""

from __future__ import annotations

from pydantic import BaseModel


class Standing(BaseModel):
    """How some lines of an order stand in the shop right now.

    `refundable_fen` is what would be paid for these lines now, in fen; `shipped` means that at least one of the lines
    has left and is not back; `refunded` that nothing of them is left to refund; `claimed_by` is another open case.
    """

    paid: bool
    closed: bool
    refundable_fen: int
    refunded: bool
    shipped: bool
    claimed_by: str | None = None
