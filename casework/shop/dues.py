"""What is due by a case's own words, reckoned from the order as it is now: one function a kind of due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, not_, select
from sqlalchemy.orm import Session

from casework.dues import Due, PostageDue, RebateDue, RefundDue, ReturnDue
from casework.money import LineQuantity, part_of_line
from casework.rules.bulk import spread
from casework.rules.postage import outbound_goes_back
from casework.shop.amounts import (
    POSTAGE,
    RETURN_POSTAGE,
    LedgerLine,
    Reckoning,
    accounts,
    line_rows,
    paid_shares,
    pieces_left,
    postage_due_at_most,
    reckon,
    share_out,
)
from casework.shop.gifts import granted_gifts
from casework.shop.tables import GiftPromiseRow, OrderRow, ReturnRow


@dataclass(frozen=True, slots=True)
class GiftOfOrder:
    """What the order's gifts are worth, and what of that returns of the order have deducted already, in fen."""

    value_fen: int
    deducted_fen: int

    @property
    def left_fen(self) -> int:
        """What may still be deducted: the value of a gift is, once for an order."""
        return max(0, self.value_fen - self.deducted_fen)


def gift_of(session: Session, order_id: str, *, case_id: str, run_id: str) -> GiftOfOrder:
    """What the gifts of an order are worth, and what its other returns that are paid have deducted of it, also one of
    the same case id as the return that asks.
    """
    deducted = session.scalar(
        select(func.coalesce(func.sum(ReturnRow.gift_deducted_fen), 0)).where(
            *_paid_returns(order_id, case_id=case_id, run_id=run_id)
        )
    )
    return GiftOfOrder(sum(gift.value_fen for gift in granted_gifts(session, order_id)), int(deducted or 0))


def note_paid(session: Session, due: Due, owed: Reckoning, *, case_id: str, run_id: str, at: datetime) -> None:
    """It is paid, by us or by the platform: what a return deducted for a gift, and whether it was for a fault, counts
    for the order's other returns from this transaction on; again, it changes nothing. `owed` is what was due before it
    was paid; `at` is aware.
    """
    if not isinstance(due, ReturnDue):
        return
    row = session.get_one(ReturnRow, (case_id, run_id))
    if row.settled_at is None:
        row.fault, row.settled_at = due.fault, at
        row.gift_deducted_fen = owed.gift_fen
        session.flush()


def reckon_due(session: Session, order: OrderRow, due: Due, *, case_id: str, run_id: str) -> Reckoning:
    """What is due now to the case, by line; no account is overdrawn by it."""
    match due:
        case ReturnDue():
            return _reckon_return(session, order, due, case_id, run_id)
        case PostageDue():
            return _reckon_postage(session, order, due, case_id)
        case RebateDue():
            return _reckon_rebate(session, order, due)
        case RefundDue():
            return reckon(session, order, due.lines, case_id=case_id)


def _reckon_postage(session: Session, order: OrderRow, due: PostageDue, case_id: str) -> Reckoning:
    """What is left of the postage that was paid, and no more than was promised.

    A sum that the platform has paid since the promise, without naming a line, counts in full against it: money that was
    not paid can still be paid, while money paid twice is gone.
    """
    done = accounts(session, order.id)
    left = min(due.at_most_fen, postage_due_at_most(order, done))
    promise = session.get(GiftPromiseRow, (order.id, "free_shipping"))
    before = promise.loose_before_fen if promise is not None and promise.case_id == case_id else done.loose_fen
    return share_out(
        [LedgerLine(POSTAGE, 1, left)] if left > 0 else [],
        left_fen=order.paid_fen - done.total_fen,
        loose_fen=max(0, done.loose_fen - before),
    )


def _reckon_return(session: Session, order: OrderRow, due: ReturnDue, case_id: str, run_id: str) -> Reckoning:
    """The goods, less a missing gift; the postage of the way out where that goes back; and that of the way back."""
    goes_back = outbound_goes_back(
        fault=due.fault, whole_order=not _went_back_without_fault(session, order, case_id, run_id)
    )
    found = reckon(session, order, due.lines, case_id=case_id, with_postage=goes_back)
    gift_fen = _deducted_for_gift(session, order.id, due, case_id, run_id)
    owed = _less_gift(found.owed, gift_fen)
    # where the platform has paid, it has taken off for the gift what it paid less than the lines are worth
    gift_fen = min(gift_fen, found.total_fen or _paid_too_little(session, order, due.lines, found))
    if due.return_postage_fen:
        owed.append(LedgerLine(RETURN_POSTAGE, 1, due.return_postage_fen))
    return Reckoning(owed, found.from_loose, gift_fen)


def _paid_too_little(session: Session, order: OrderRow, lines: Sequence[LineQuantity], found: Reckoning) -> int:
    """How much less has gone back for these lines than was paid for those of their pieces that have, in fen."""
    rows, done = line_rows(session, order.id), accounts(session, order.id)
    paid = paid_shares(order, rows, done)
    meant = {one.line for one in lines}
    taken = {one.line: one.quantity for one in found.owed}
    loose = {one.line: one.amount_fen for one in found.from_loose}
    short = 0
    for row in rows:
        if row.number in meant:
            pieces = min(row.quantity, done.pieces.get(row.number, 0) + taken.get(row.number, 0))
            worth = part_of_line(paid[row.number], row.quantity, already=0, taken=pieces)
            short += max(0, worth - done.fen.get(row.number, 0) - loose.get(row.number, 0))
    return short


def _deducted_for_gift(session: Session, order_id: str, due: ReturnDue, case_id: str, run_id: str) -> int:
    """What is to be taken off for a gift that did not come back, less what another return has taken off since, in
    fen.
    """
    if not due.gift_deduction_fen:
        return 0
    return min(due.gift_deduction_fen, gift_of(session, order_id, case_id=case_id, run_id=run_id).left_fen)


def _went_back_without_fault(session: Session, order: OrderRow, case_id: str, run_id: str) -> bool:
    """Whether a part of the order has gone back before and was no fault: then the whole does not go back for one."""
    before = _paid_returns(order.id, case_id=case_id, run_id=run_id)
    return session.scalar(select(ReturnRow.case_id).where(*before, ReturnRow.fault.is_(False)).limit(1)) is not None


def _paid_returns(order_id: str, *, case_id: str, run_id: str) -> list[ColumnElement[bool]]:
    """Returns of the order that are paid, but for the one that asks; an earlier one may have had its case id."""
    return [
        ReturnRow.order_id == order_id,
        ReturnRow.settled_at.is_not(None),
        not_(and_(ReturnRow.case_id == case_id, ReturnRow.run_id == run_id)),
    ]


def _less_gift(entries: Sequence[LedgerLine], deduction_fen: int) -> list[LedgerLine]:
    """What is owed less the value of a missing gift: off the last of it first, and of nothing more than there is."""
    left: list[LedgerLine] = []
    for entry in reversed(entries):
        taken = min(entry.amount_fen, deduction_fen)
        deduction_fen -= taken
        if entry.amount_fen - taken or entry.line != POSTAGE:
            left.append(LedgerLine(entry.line, entry.quantity, entry.amount_fen - taken))
    return left[::-1]


def _reckon_rebate(session: Session, order: OrderRow, due: RebateDue) -> Reckoning:
    """The difference between what the buyer has paid and the approved price, spread over the lines that are left.

    Source: flows.md 4, "paid: the difference is refunded"; flows.md, "Money". It is money for no pieces: what is left
    of the lines was cheaper from then on.
    """
    if order.state in {"unpaid", "closed"}:
        return Reckoning([], [])
    rows, done = line_rows(session, order.id), accounts(session, order.id)
    paid = paid_shares(order, rows, done)
    left = [max(0, paid[row.number] - done.fen.get(row.number, 0)) if pieces_left(row, done) else 0 for row in rows]
    difference = min(max(0, order.paid_fen - done.total_fen - due.price_fen), sum(left))
    by_line = zip(rows, spread(difference, left), strict=True)
    return Reckoning([LedgerLine(row.number, 0, fen) for row, fen in by_line if fen], [])
