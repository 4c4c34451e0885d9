"""Steps on the shop for a return: how the lines stand, the goods' way in and out, and the end. One transaction each."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from activities.defining import uninterrupted
from activities.steps import OrderStep, writing_for
from casework.dues import ReturnDue
from casework.money import LineQuantity
from casework.shop import claims, coming_back, flags, orders, releasing, returning
from casework.shop.database import Database
from casework.shop.dues import GiftOfOrder, gift_of
from casework.shop.errors import BadRequest
from casework.shop.returning import PaidParts
from casework.standing import ReturnStanding
from state_machines.return_after_shipping import Goods


class ReturnStep(OrderStep):
    """A step of a return, with what is due for it by what the case knows."""

    due: ReturnDue


class AssessStep(ReturnStep):
    """A return that begins: when the buyer first asked, and where the goods are. `requested_at` is aware."""

    requested_at: datetime
    goods: Goods | None = None
    """None: asked by a version that did not say."""


class WaybillStep(OrderStep):
    """A step about a parcel."""

    waybill: str


class WayBackStep(WaybillStep):
    """The buyer has sent the goods back."""

    courier: str


class ReceiveStep(OrderStep):
    """Goods have come in: what, and what the memo says of it."""

    received: list[LineQuantity]
    memo: str
    waybill: str | None = None
    """By which parcel they came, where somebody has said so."""
    named: bool = True
    """Whether somebody has said which lines these are; otherwise they are all that was asked for."""


class RestockStep(OrderStep):
    """The inspection has taken so many pieces."""

    accepted: list[LineQuantity]


class SettleReturnStep(ReturnStep):
    """A return is paid; `came_back_before` goes into stock, where nobody has inspected it."""

    came_back_before: list[LineQuantity]
    memo: str


class UndoStep(OrderStep):
    """A return is called off."""

    memo: str


class ReturnActivities:
    """Steps of returns."""

    def __init__(self, database: Database) -> None:
        """`database` is the shop's."""
        self._database = database

    @uninterrupted
    def assess_return(self, step: AssessStep) -> ReturnStanding:
        """How do the lines stand? If nothing speaks against it, claim them in the same transaction.

        What is here already, the return has, or is told of.
        """
        with writing_for(self._database, step) as session:
            # what is read stays true until the claim is written
            orders.lock_order(session, step.order_id)
            found = _standing(session, step)
            returning.record(
                session,
                step.case_id,
                step.run_id,
                step.order_id,
                requested_at=step.requested_at,
                fault=step.due.fault,
            )
            if found.claimed_by is None and found.paid and found.has_left and not (found.closed or found.refunded):
                claims.claim_lines(session, step.case_id, step.order_id, step.lines)
                if step.goods == "already_back":
                    returning.have_what_is_here(
                        session,
                        key=step.key("had"),
                        case_id=step.case_id,
                        run_id=step.run_id,
                        order_id=step.order_id,
                        lines=step.lines,
                        at=step.at,
                    )
                elif step.goods == "with_buyer":
                    coming_back.tell_of_what_is_here(
                        session, key=step.key("assess"), case_id=step.case_id, order_id=step.order_id, at=step.at
                    )
        return found

    @uninterrupted
    def read_return(self, step: ReturnStep) -> ReturnStanding:
        """Read the order again."""
        with self._database.reading() as session:
            return _standing(session, step)

    @uninterrupted
    def is_waybill_of_another(self, step: WaybillStep) -> bool:
        """Whether a parcel of this waybill belongs to another order."""
        with self._database.reading() as session:
            return returning.waybill_of_another(session, step.order_id, step.waybill)

    @uninterrupted
    def what_speaks_against(self, step: WaybillStep) -> str | None:
        """Why a parcel of this waybill cannot have brought all that was asked for; None: nothing speaks against it."""
        with self._database.reading() as session:
            return returning.not_all_inside(session, step.order_id, step.waybill, step.lines)

    @uninterrupted
    def note_way_back(self, step: WayBackStep) -> None:
        """Remember by which parcel the goods come back."""
        with writing_for(self._database, step) as session:
            returning.note_way_back(session, step.case_id, step.run_id, courier=step.courier, waybill=step.waybill)

    @uninterrupted
    def is_signed_for_by_us(self, step: WaybillStep) -> bool:
        """Whether the courier says that the way back was signed for."""
        with self._database.reading() as session:
            return returning.signed_for_by_us(
                session, step.case_id, step.run_id, order_id=step.order_id, waybill=step.waybill, at=step.at
            )

    @uninterrupted
    def receive_return(self, step: ReceiveStep) -> str | None:
        """Goods have come in: record them, mark the order purple, write the memo. Answers why not; None: it is done."""
        try:
            with writing_for(self._database, step) as session:
                returning.receive(
                    session,
                    key=step.round_key("receive"),
                    case_id=step.case_id,
                    run_id=step.run_id,
                    order_id=step.order_id,
                    lines=step.received,
                    memo=step.memo,
                    at=step.at,
                    waybill=step.waybill,
                    named=step.named,
                )
        except BadRequest as refused:
            return str(refused)
        return None

    @uninterrupted
    def read_gift_of_order(self, step: OrderStep) -> GiftOfOrder:
        """What a missing gift would cost."""
        with self._database.reading() as session:
            return gift_of(session, step.order_id, case_id=step.case_id, run_id=step.run_id)

    @uninterrupted
    def restock_return(self, step: RestockStep) -> None:
        """What the inspection took goes into stock."""
        with writing_for(self._database, step) as session:
            returning.restock(
                session,
                key=step.round_key("restock"),
                case_id=step.case_id,
                run_id=step.run_id,
                order_id=step.order_id,
                accepted=step.accepted,
                at=step.at,
            )

    @uninterrupted
    def take_return_out_of_stock(self, step: OrderStep) -> None:
        """The goods are looked at again: they leave the stock."""
        with writing_for(self._database, step) as session:
            returning.take_out_of_stock(
                session,
                key=step.round_key("out_of_stock"),
                case_id=step.case_id,
                run_id=step.run_id,
                order_id=step.order_id,
                at=step.at,
            )

    @uninterrupted
    def read_paid_parts(self, step: OrderStep) -> PaidParts:
        """What was paid, by what it was paid for."""
        with self._database.reading() as session:
            return returning.paid_parts(
                session, step.order_id, case_id=step.case_id, run_id=step.run_id, payment=step.key("refund")
            )

    @uninterrupted
    def settle_return(self, step: SettleReturnStep) -> None:
        """Count the pieces as refunded, write the memo, tell the buyer."""
        with writing_for(self._database, step) as session:
            returning.settle(
                session,
                key=step.key("settle"),
                case_id=step.case_id,
                run_id=step.run_id,
                order_id=step.order_id,
                due=step.due,
                came_back_before=step.came_back_before,
                memo=step.memo,
                at=step.at,
            )

    @uninterrupted
    def finish_return(self, step: OrderStep) -> None:
        """Release everything; a red flag stays where nothing of the order is left to ship."""
        with writing_for(self._database, step) as session:
            returning.finish(session, key=step.key("finish"), case_id=step.case_id, order_id=step.order_id, at=step.at)

    @uninterrupted
    def undo_return(self, step: UndoStep) -> None:
        """Called off: the goods leave the stock, everything is released, the memo says so."""
        with writing_for(self._database, step) as session:
            returning.take_out_of_stock(
                session,
                key=step.key("undo"),
                case_id=step.case_id,
                run_id=step.run_id,
                order_id=step.order_id,
                at=step.at,
            )
            releasing.release_case(session, step.case_id, flag_kept=None, at=step.at)
            flags.append_memo(session, step.order_id, step.memo, at=step.at, key=step.key("memo"))


def _standing(session: Session, step: ReturnStep) -> ReturnStanding:
    return returning.standing(
        session, step.order_id, step.lines, step.due, at=step.at, case_id=step.case_id, run_id=step.run_id
    )
