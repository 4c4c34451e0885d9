"""Steps on the shop's own order book: check, hold, read again, settle, restore. One transaction each."""

from __future__ import annotations

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from activities.defining import uninterrupted
from activities.steps import OrderStep, post_all, writing_for
from casework.money import LineQuantity
from casework.shop import bulk, claims, coming_back, flags, holds, orders, settling
from casework.shop.coming_back import GoodsBack
from casework.shop.database import Database
from casework.shop.holds import HoldResult
from casework.shop.steps import first_time
from casework.standing import RefundStanding
from casework.templates import Post


class HoldStep(OrderStep):
    """Hold the lines; `handed_over_profile` says which flags the shop uses."""

    handed_over_profile: bool


class ParcelBackStep(OrderStep):
    """A parcel of the lines came back: the one with this waybill, or all of them."""

    waybill: str | None


class Parted(BaseModel):
    """Of the lines that are meant, those that have left, and those that have not."""

    left: list[LineQuantity]
    here: list[LineQuantity]
    back: bool = False
    """All that have left are back."""


class SettleStep(OrderStep):
    """Settle a refund, or restore the order, with a memo.

    What is said depends on where the goods are then, which another case may have been told: `if_out` goes out where
    something of the lines is on its way, `if_here` where nothing is.
    """

    memo: str
    if_out: list[Post] = Field(default_factory=list[Post])
    if_here: list[Post] = Field(default_factory=list[Post])


class OrderActivities:
    """Steps on orders."""

    def __init__(self, database: Database) -> None:
        """`database` is the shop's."""
        self._database = database

    @uninterrupted
    def check_and_claim(self, step: OrderStep) -> RefundStanding:
        """How do the lines stand? If nothing speaks against it, claim them for this case in the same transaction."""
        with writing_for(self._database, step) as session:
            # what is read stays true until the claim is written
            orders.lock_order(session, step.order_id)
            standing = orders.standing(session, step.order_id, step.lines, case_id=step.case_id)
            if standing.nothing_due is None:
                claims.claim_lines(session, step.case_id, step.order_id, step.lines)
        return standing

    @uninterrupted
    def read_standing(self, step: OrderStep) -> RefundStanding:
        """Read the order again."""
        with self._database.reading() as session:
            return orders.standing(session, step.order_id, step.lines, case_id=step.case_id)

    @uninterrupted
    def was_ended(self, step: OrderStep) -> bool:
        """Has a bulk case ended the order as malicious?"""
        with self._database.reading() as session:
            return bulk.was_ended(session, step.order_id)

    @uninterrupted
    def part_lines(self, step: OrderStep) -> Parted:
        """Which of the lines have left, and which have not? Are those back?"""
        with self._database.reading() as session:
            left, here = orders.parted(session, step.order_id, step.lines)
            return Parted(
                left=left, here=here, back=bool(left) and not coming_back.is_out(session, step.order_id, left)
            )

    @uninterrupted
    def hold(self, step: HoldStep) -> HoldResult:
        """Hold the lines against shipping and mark the order: one atomic race, which exactly one side wins."""
        with writing_for(self._database, step) as session:
            return holds.hold_lines(
                session,
                step.case_id,
                step.order_id,
                step.lines,
                handed_over_profile=step.handed_over_profile,
                at=step.at,
            )

    @uninterrupted
    def mark_order(self, step: HoldStep) -> None:
        """Mark the order as one whose refund was asked, where holding it did not: the warehouse was asked first."""
        with writing_for(self._database, step) as session:
            holds.mark_order(
                session, step.case_id, step.order_id, handed_over_profile=step.handed_over_profile, at=step.at
            )

    @uninterrupted
    def mark_left(self, step: OrderStep) -> None:
        """The warehouse says that the lines have left; their waybill is not known."""
        with writing_for(self._database, step) as session:
            coming_back.mark_left(session, order_id=step.order_id, lines=step.lines)

    @uninterrupted
    def mark_goods_back(self, step: ParcelBackStep) -> GoodsBack:
        """A parcel that had left has come back, or all of them; a waybill of other lines is refused."""
        with writing_for(self._database, step) as session:
            return coming_back.mark_goods_back(
                session,
                key=step.round_key("goods_back") + (f"/{step.waybill}" if step.waybill is not None else ""),
                case_id=step.case_id,
                order_id=step.order_id,
                lines=step.lines,
                at=step.at,
                waybill=step.waybill,
            )

    @uninterrupted
    def settle(self, step: SettleStep) -> None:
        """Strike the refunded lines from shipping, release hold and claim, write the memo, tell the buyer."""
        with writing_for(self._database, step) as session:
            settling.settle_refund(
                session,
                key=step.key("settle"),
                case_id=step.case_id,
                order_id=step.order_id,
                lines=step.lines,
                memo=step.memo,
                at=step.at,
            )
            _post_by_place(session, step)

    @uninterrupted
    def restore(self, step: SettleStep) -> None:
        """Put the order back as it was: flag wish gone, hold and claim released, goods that came back ship again."""
        with writing_for(self._database, step) as session:
            settling.restore_order(
                session,
                key=step.key("restore"),
                case_id=step.case_id,
                order_id=step.order_id,
                lines=step.lines,
                at=step.at,
            )
            flags.append_memo(session, step.order_id, step.memo, at=step.at, key=step.key("memo"))
            _post_by_place(session, step)


def _post_by_place(session: Session, step: SettleStep) -> None:
    # done again after its worker died, the step might find the goods elsewhere, and say the opposite
    if first_time(session, step.key("told_by_place"), step.at):
        post_all(session, step, step.if_out if coming_back.is_out(session, step.order_id, step.lines) else step.if_here)
