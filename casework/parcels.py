"""How a parcel stands, as the shop and the courier's last word say: the facts that the parcel flow reads. Pure data."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from casework.money import LineQuantity
from casework.rules.parcels import Priority, Region, Scanned


class Followed(BaseModel):
    """A waybill that a case follows, by its courier, and when the parcel left under it (None: nobody knows).

    `since` is aware.
    """

    courier: str
    waybill: str
    since: datetime | None = None


class ParcelReport(BaseModel):
    """A parcel and its order right now. Times are aware.

    Attributes:
        known: whether there is such a parcel.
        settled: whether nobody needs to look for it: it came back, its trade is over, or its goods were sent again or
            paid for.
        order_over: whether the shop shows its lines refunded, or the order closed.
        trade_finished: whether the buyer, or the platform, has confirmed receipt.
        in_stock: whether the same goods are there to be sent again, those that other cases have apart.
        left: what is in it, and is neither refunded nor made good by an earlier case.
        value_fen: what was paid for that.
        region: where it goes, seen from the shop.
        code: the newest scan's code as the courier wrote it; None: the courier has told of none.
        scan_at: when that scan was.
        answered_at: when the courier last answered; None: it never has.
        forwarding: under which waybill it goes on, where the newest scan says so.
        claimed_by: the open refund or return that is about the money for something that is left; None: there is none.
        with_others: by line that is left, the open refund or return that has claimed it, where another case opened it.
        awaited_by: those of them that wait for the buyer to send back what is in this parcel, and nothing else, while
            nobody has signed for it, or the buyer denies it, or it is here: they wait in vain where it is lost.
        asked: what the case has asked the warehouse to send, which has not left and is not refunded.
        back: whether it has come back to us, as the shop knows, whoever took it in; not of a way back.

    """

    known: bool
    settled: bool
    order_over: bool
    trade_finished: bool
    in_stock: bool
    left: list[LineQuantity]
    value_fen: int
    region: Region
    code: str | None = None
    scan_at: datetime | None = None
    answered_at: datetime | None = None
    forwarding: Followed | None = None
    claimed_by: str | None = None
    with_others: dict[int, str] = Field(default_factory=dict[int, str])
    awaited_by: list[str] = Field(default_factory=list[str])
    asked: list[LineQuantity] = Field(default_factory=list[LineQuantity])
    back: bool = False

    @property
    def last(self) -> Scanned | None:
        """The newest scan, and when the courier told of it."""
        if self.code is None or self.scan_at is None or self.answered_at is None:
            return None
        return Scanned(self.code, self.scan_at, self.answered_at)


def about_the_money(case_id: str) -> str:
    """Why what is in a parcel is neither sent again nor paid for: that case is to give the money back."""
    return f"the open case {case_id} is about the money for these goods: call it off, or let it go on"


class Registered(BaseModel):
    """A parcel that is being followed from now on: what it is worth in fen, how urgent it is, and who looks for it.

    `since` is aware.
    """

    report: ParcelReport
    value_fen: int
    priority: Priority
    specialist: str | None
    since: datetime | None
    """When it left, as far as the shop knows."""
    followed_by: str | None = None
    """The other open case that follows its goods: then this one does not."""
