"""Steps on the shop's own order book: check, hold, read again, settle, restore. One transaction each."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field
from temporalio import activity

from activities.messages import post_all
from casework.money import LineQuantity
from casework.shop import claims, flags, holds, orders, settling
from casework.shop.database import Database
from casework.standing import Standing
from casework.templates import Post


class OrderStep(BaseModel):
    """One step on some lines of an order, for one case, at the case's own time; `posts` go out with it."""

    case_id: str
    run_id: str
    order_id: str
    lines: list[LineQuantity]
    at: datetime
    posts: list[Post] = Field(default_factory=list[Post])

    def key(self, purpose: str) -> str:
        """The step's idempotency key: the case's one execution, and the purpose."""
        return f"{self.case_id}/{self.run_id}/{purpose}"


class HoldStep(OrderStep):
    """Hold the lines; `handed_over_profile` says which flags the shop uses."""

    handed_over_profile: bool


class SettleStep(OrderStep):
    """Settle a refund: `goods_back` if the parcel had left and came back."""

    goods_back: bool
    memo: str


class Held(BaseModel):
    """Whether the hold was taken (it is not, where a line has left), and the flag that was found."""

    held: bool
    flag_found: str


class OrderActivities:
    """Steps on orders."""

    def __init__(self, database: Database) -> None:
        """`database` is the shop's."""
        self._database = database

    @activity.defn
    def check_and_claim(self, step: OrderStep) -> Standing:
        """How do the lines stand? If nothing speaks against it, claim them for this case in the same transaction."""
        with self._database.writing() as session:
            standing = orders.standing(session, step.order_id, step.lines, at=step.at, case_id=step.case_id)
            if standing.claimed_by is None:
                taken_by = claims.claim_lines(session, step.case_id, step.order_id, step.lines)
                standing = standing.model_copy(update={"claimed_by": taken_by})
            post_all(session, step.case_id, step.run_id, step.posts, step.at)
        return standing

    @activity.defn
    def read_standing(self, step: OrderStep) -> Standing:
        """Read the order again."""
        with self._database.reading() as session:
            return orders.standing(session, step.order_id, step.lines, at=step.at, case_id=step.case_id)

    @activity.defn
    def hold(self, step: HoldStep) -> Held:
        """Hold the lines against shipping and mark the order: one atomic race, which exactly one side wins."""
        with self._database.writing() as session:
            result = holds.hold_lines(
                session,
                step.case_id,
                step.order_id,
                step.lines,
                handed_over_profile=step.handed_over_profile,
                at=step.at,
            )
            post_all(session, step.case_id, step.run_id, step.posts, step.at)
        return Held(held=result.held, flag_found=result.flag_found)

    @activity.defn
    def mark_goods_back(self, step: OrderStep) -> None:
        """The parcel that had left has come back."""
        with self._database.writing() as session:
            settling.mark_goods_back(
                session,
                key=step.key("goods_back"),
                case_id=step.case_id,
                order_id=step.order_id,
                lines=step.lines,
                at=step.at,
            )

    @activity.defn
    def settle(self, step: SettleStep) -> None:
        """Strike the refunded lines from shipping, let hold and claim go, write the memo, tell the buyer."""
        with self._database.writing() as session:
            settling.settle_refund(
                session,
                key=step.key("settle"),
                case_id=step.case_id,
                order_id=step.order_id,
                lines=step.lines,
                goods_back=step.goods_back,
                memo=step.memo,
                at=step.at,
            )
            post_all(session, step.case_id, step.run_id, step.posts, step.at)

    @activity.defn
    def restore(self, step: SettleStep) -> None:
        """Put the order back as it was: flag wish gone, hold and claim let go, goods that came back ship again."""
        with self._database.writing() as session:
            settling.restore_order(
                session,
                key=step.key("restore"),
                case_id=step.case_id,
                order_id=step.order_id,
                lines=step.lines,
                goods_back=step.goods_back,
                at=step.at,
            )
            if step.memo:
                flags.append_memo(session, step.order_id, step.memo, at=step.at, key=step.key("memo"))
            post_all(session, step.case_id, step.run_id, step.posts, step.at)
