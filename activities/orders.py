"""Steps on the shop's own order book: check, hold, read again, settle, restore. One transaction each."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.defining import uninterrupted
from activities.messages import post_all
from casework.money import LineQuantity
from casework.shop import bulk, claims, flags, holds, orders, records, settling, steps
from casework.shop.database import Database
from casework.shop.errors import CaseOver
from casework.shop.fencing import FencingToken
from casework.shop.holds import HoldResult
from casework.shop.settling import GoodsBack
from casework.standing import RefundStanding
from casework.templates import Post

CASE_OVER = "CaseOver"


class OrderStep(BaseModel):
    """One step on some lines of an order, for one case, at the case's own time (aware).

    `posts` go out in the transaction of what the step writes; one that only reads, or leaves the shop, posts nothing.
    """

    case_id: str
    run_id: str
    order_id: str
    lines: list[LineQuantity]
    at: datetime
    posts: list[Post] = Field(default_factory=list[Post])
    moment: FencingToken | None = None
    """Where the case's execution is: a step of a case that is over is refused."""
    round: int = 0
    """Which time it is that the case does this, where it may do it again: goods can leave and come back twice."""

    def key(self, purpose: str) -> str:
        """The step's idempotency key: the case's one execution, and the purpose."""
        return f"{self.case_id}/{self.run_id}/{purpose}"

    def round_key(self, purpose: str) -> str:
        """As `key`, for a step that the case may do again in a later round."""
        return self.key(f"{purpose}/{self.round}")


class HoldStep(OrderStep):
    """Hold the lines; `handed_over_profile` says which flags the shop uses."""

    handed_over_profile: bool


class ParcelBackStep(OrderStep):
    """A parcel of the lines came back: the one with this waybill, or all of them."""

    waybill: str | None


class Done(BaseModel):
    """Why the shop refused a step; None: it is done."""

    refused: str | None = None


class Parted(BaseModel):
    """Of the lines that are meant, those that have left, and those that have not."""

    left: list[LineQuantity]
    here: list[LineQuantity]
    back: bool = False
    """All that have left are back."""


class SettleStep(OrderStep):
    """Settle a refund, or restore the order, with a memo."""

    memo: str


@contextmanager
def writing_for(database: Database, step: OrderStep, *, posting: bool = True) -> Generator[Session]:
    """One transaction of a step of a case that is still open; the step's posts go out at the end of it.

    `posting=False`: what goes out depends on what comes of the step, which says so itself, or nothing goes out.

    Raises:
        ApplicationError: not retryable, where the case is over: Temporal gave this attempt up and went on.

    """
    # a case has one local activity under way at a time
    in_turn = activity.in_activity() and activity.info().is_local
    with (
        refused_if_over(),
        steps.writing_for(database, step.case_id, step.run_id, step.moment, in_turn=in_turn) as session,
    ):
        yield session
        if posting:
            post_all(session, step.case_id, step.run_id, step.posts, step.at)


@contextmanager
def refused_if_over() -> Generator[None]:
    """What a case that is over asks for comes too late.

    Raises:
        ApplicationError: not retryable, where the case is over: Temporal gave this attempt up and went on.

    """
    try:
        yield
    except CaseOver as late:
        raise ApplicationError(str(late), type=CASE_OVER, non_retryable=True) from None


def note_moves(database: Database, step: OrderStep) -> None:
    """Take down which moves the case has made, before somebody outside is asked who may be long in answering.

    Otherwise lists would offer until then what was decided by a plain signal, or by the clock.

    Raises:
        ApplicationError: as `writing_for`.

    """
    with writing_for(database, step, posting=False):
        pass


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
            if standing.claimed_by is None and standing.paid and not (standing.closed or standing.refunded):
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
            ended = records.find_records(session, order_id=step.order_id, flow=bulk.FLOW, outcome="terminated")
        return any(not record.died for record in ended)  # an operator may have terminated one in Temporal

    @uninterrupted
    def part_lines(self, step: OrderStep) -> Parted:
        """Which of the lines have left, and which have not? Are those back?"""
        with self._database.reading() as session:
            left, here = orders.parted(session, step.order_id, step.lines)
            out = {line.number for line in orders.read_order(session, step.order_id).lines if line.place == "shipped"}
        return Parted(left=left, here=here, back=bool(left) and not any(one.line in out for one in left))

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
            settling.mark_left(session, order_id=step.order_id, lines=step.lines)

    @uninterrupted
    def mark_goods_back(self, step: ParcelBackStep) -> GoodsBack:
        """A parcel that had left has come back, or all of them; a waybill of other lines is refused."""
        with writing_for(self._database, step, posting=False) as session:
            back = settling.mark_goods_back(
                session,
                key=step.round_key("goods_back") + (f"/{step.waybill}" if step.waybill is not None else ""),
                case_id=step.case_id,
                order_id=step.order_id,
                lines=step.lines,
                at=step.at,
                waybill=step.waybill,
            )
            if back.refused is None:
                post_all(session, step.case_id, step.run_id, step.posts, step.at)
        return back

    @uninterrupted
    def settle(self, step: SettleStep) -> None:
        """Strike the refunded lines from shipping, let hold and claim go, write the memo, tell the buyer."""
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

    @uninterrupted
    def restore(self, step: SettleStep) -> None:
        """Put the order back as it was: flag wish gone, hold and claim let go, goods that came back ship again."""
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
