"""How the shop says an order stands: the facts that guards read. Pure data."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel


class LinesStanding(BaseModel):
    """How some lines of an order stand in the shop right now.

    `refundable_fen` is what would be paid for these lines now, in fen; `refunded`: nothing of them is left to refund;
    `claimed_by` is another open case.
    """

    paid: bool
    closed: bool
    refundable_fen: int
    refunded: bool
    claimed_by: str | None = None

    @property
    def nothing_due(self) -> str | None:
        """Why nothing of these lines is due to the buyer; None where something may be."""
        if self.claimed_by is not None:
            return f"lines of this order are claimed by the open case {self.claimed_by}"
        if not self.paid:
            return "the order is not paid"
        if self.closed:
            return "the order is closed"
        return "nothing is left to refund" if self.refunded else None


class RefundStanding(LinesStanding):
    """How some lines stand for a refund; `shipped`: at least one of them has left and is not back."""

    shipped: bool


class ReturnStanding(LinesStanding):
    """How some lines of an order stand in the shop right now, for a return.

    `refundable_fen` is all that would be paid now, postage included; `has_left`: every one of the lines has been
    shipped. `signed_at` and `finished_at` are aware, None for not yet; of several lines the one counts that was signed
    first. `on_its_way`: a courier has scanned a parcel of the order, and nobody has signed for these lines.
    `free_shipping`: the order went out without postage.
    """

    has_left: bool
    signed_at: datetime | None = None
    on_its_way: bool = False
    finished_at: datetime | None = None
    free_shipping: bool = False


class GiftStanding(BaseModel):
    """How an order stands in the shop right now for a gift of one kind.

    `gone`: closed, or wholly refunded; `shipped`: nothing of it is left to leave; `granted`: this kind is on the order
    already (`granted_by`: by that case), or there is no postage to waive. `goods_total_fen` is the order's total
    without postage, `budget_left_fen` what is left of the month's budget, `postage_due_fen` how much postage
    could be paid back, all in fen.
    """

    paid: bool
    gone: bool
    shipped: bool
    granted: bool
    granted_by: str | None = None
    goods_total_fen: int
    budget_left_fen: int
    postage_due_fen: int = 0


class BulkStanding(BaseModel):
    """How a bulk order stands in the shop right now, for the case that reviews it. Times are aware.

    Attributes:
        paid: the buyer has paid.
        gone: the trade is closed, or nothing of it is left to refund.
        finished: the platform shows the trade finished.
        total_fen: the order's total with postage, in fen.
        price_fen: what the buyer pays for what is left of it, with postage, in fen.
        paid_at: when the buyer paid.
        all_shipped: everything that is left of the order has left the shop.
        last_shipped_at: when the newest of its parcels left.
        held: the case holds all that is left to ship, and something is.
        can_be_held: something is left to ship.
        differs: it is not what the case has reviewed; False where nothing was reviewed yet.
        left_at_its_price: all of it has left, and it has the price that was reviewed, or approved since: what else
            differs cannot be reviewed any more, and does not touch the discount.
        went_further: the shop has seen moves of the case that Temporal has taken back: what they noted as reviewed, or
            forgot, the case does not know of.

    """

    paid: bool
    gone: bool
    finished: bool = False
    total_fen: int
    price_fen: int = 0
    paid_at: datetime | None = None
    all_shipped: bool = False
    last_shipped_at: datetime | None = None
    held: bool = False
    can_be_held: bool = False
    differs: bool = False
    left_at_its_price: bool = False
    went_further: bool = False
