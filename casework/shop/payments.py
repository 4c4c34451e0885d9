"""Money back to buyers: checked and written in one transaction that reads the order again. Never twice.

Every payment has a key made of case and purpose. What the platform paid is in the same ledger, so that nothing is
paid a second time.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from casework.dues import Due, RefundDue, ReturnDue
from casework.money import LineQuantity, format_yuan, part_of_line
from casework.shop.amounts import (
    POSTAGE,
    LedgerLine,
    Reckoning,
    accounts,
    claims_of,
    line_rows,
    paid_shares,
    pieces_left,
)
from casework.shop.claimants import sent_again_by_another
from casework.shop.database import after_rollback
from casework.shop.dues import note_paid, reckon_due
from casework.shop.errors import BadRequest, PaymentRefused, PaymentUnavailable
from casework.shop.faults import fault_of, forget_fault
from casework.shop.notices import tell_of_refund
from casework.shop.orders import find_order, lock_order
from casework.shop.platform import PLATFORM, credit_loose
from casework.shop.tables import ClaimRow, LedgerRow, OrderRow, PaymentReferenceRow, PaymentRow

__all__ = [
    "LedgerEntry",
    "LedgerLine",
    "PayResult",
    "PaymentRefused",
    "PaymentUnavailable",
    "amount_due",
    "audit",
    "ledger",
    "pay",
    "record_paid_by_hand",
]

MAX_REFERENCE = 64
"""Characters of a payment reference, in its one spelling."""


@dataclass(frozen=True, slots=True)
class PayResult:
    """What came of a payment.

    `paid_fen` is what the buyer has for these lines, by this payment or another; `due_fen` is what is still due for
    them: where the amount has changed, the new one.
    """

    status: Literal["paid", "already_paid", "left", "changed"]
    reference: str | None
    paid_fen: int
    due_fen: int


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One entry of the ledger. `line` 0 is the postage, None a sum of the platform's that no line is known for.

    `at` is aware.
    """

    id: int
    order_id: str
    line: int | None
    quantity: int
    amount_fen: int
    source: str
    case_id: str | None
    reference: str | None
    at: datetime


def amount_due(session: Session, order_id: str, what: Due, *, case_id: str, run_id: str) -> list[LedgerLine]:
    """What is due now to the case, by line; the postage is line 0.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    return reckon_due(session, find_order(session, order_id), what, case_id=case_id, run_id=run_id).owed


def pay(
    session: Session,
    *,
    key: str,
    case_id: str,
    run_id: str,
    order_id: str,
    what: Due,
    amount_fen: int,
    at: datetime,
) -> PayResult:
    """Pay what is due, once per key, if the order, read again, still says that this amount is.

    `already_paid`: under this key, or by the platform meanwhile. `left`: a line of a refund before shipping has shipped
    and is not back, so nothing is paid. `changed`: another amount is due now, so nothing is paid. A sum that the
    platform paid since the case claimed the lines, without naming one, changes the amount too (see `amounts.reckon`);
    what is then paid less is attributed to these lines, so that it does not lessen another payment as well. `at` is
    aware.

    Raises:
        UnknownOrder: the shop has no such order.
        PaymentUnavailable: it may work later.
        PaymentRefused: for good; also where another case sends the goods again.

    """
    order = lock_order(session, order_id)
    known = session.get(PaymentRow, key)
    owed = reckon_due(session, order, what, case_id=case_id, run_id=run_id)
    total = owed.total_fen
    if known is not None:
        return PayResult("already_paid", known.reference, known.amount_fen, total)
    if total == 0:
        note_paid(session, what, owed, case_id=case_id, run_id=run_id, at=at)
        return PayResult("already_paid", None, _sent_for(session, order, what, owed, case_id), 0)
    if _goods_are_out(session, order_id, what):
        return PayResult("left", None, 0, total)
    sender = _sent_again_by(session, order_id, what, case_id)
    if sender is not None:
        raise PaymentRefused(f"the open case {sender} sends these goods again")
    if total != amount_fen:
        return PayResult("changed", None, 0, total)
    _meet_fault(session, order_id, case_id)
    reference = "CW" + hashlib.sha256(key.encode()).hexdigest()[:20].upper()
    _write(session, order, owed, key=key, case_id=case_id, reference=reference, at=at, by_hand=False)
    note_paid(session, what, owed, case_id=case_id, run_id=run_id, at=at)
    return PayResult("paid", reference, total, 0)


def sent_under(session: Session, key: str) -> int | None:
    """What was paid under the key, by the shop or by hand, in fen; None: nothing."""
    known = session.get(PaymentRow, key)
    return None if known is None else known.amount_fen


def record_paid_by_hand(
    session: Session,
    *,
    key: str,
    case_id: str,
    run_id: str,
    order_id: str,
    what: Due,
    amount_fen: int,
    payment_reference: str,
    at: datetime,
) -> None:
    """Write down a payment that the refund clerk made outside; the same one again changes nothing. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.
        BadRequest: the reference is none or was used before, the amount is not the one due, or the lines are refunded
            already, have left and are not back, or are sent again by another case.

    """
    order = lock_order(session, order_id)
    reference = _one_spelling(payment_reference)
    if not reference:
        raise BadRequest("payment_reference", "is empty")
    if len(reference) > MAX_REFERENCE:
        # one sign may be written out as several
        raise BadRequest("payment_reference", f"has more than {MAX_REFERENCE} characters, where each is written out")
    known = session.get(PaymentRow, key)
    if known is not None and (known.reference, known.amount_fen) == (reference, amount_fen):
        return
    if session.get(PaymentReferenceRow, reference) is not None:
        raise BadRequest("payment_reference", "was used before")
    owed = reckon_due(session, order, what, case_id=case_id, run_id=run_id)
    total = owed.total_fen
    if known is not None or total == 0:
        raise BadRequest("lines", "are refunded already")
    if _goods_are_out(session, order_id, what):
        raise BadRequest("lines", "have left and are not back: they are not paid for before they are")
    sender = _sent_again_by(session, order_id, what, case_id)
    if sender is not None:
        raise BadRequest("lines", f"are sent again by the open case {sender}")
    if amount_fen != total:
        raise BadRequest("amount_fen", f"must be the amount due, {total} ({format_yuan(total)} yuan)")
    _write(session, order, owed, key=key, case_id=case_id, reference=reference, at=at, by_hand=True)
    note_paid(session, what, owed, case_id=case_id, run_id=run_id, at=at)


def ledger(session: Session, order_id: str | None = None) -> list[LedgerEntry]:
    """The ledger, oldest first: of one order, or all of it."""
    query = (
        select(LedgerRow, PaymentRow.reference)
        .join(PaymentRow, LedgerRow.payment_key == PaymentRow.key, isouter=True)
        .order_by(LedgerRow.id)
    )
    if order_id is not None:
        query = query.where(LedgerRow.order_id == order_id)
    return [
        LedgerEntry(
            id=row.id,
            order_id=row.order_id,
            line=row.line,
            quantity=row.quantity,
            amount_fen=row.amount_fen,
            source=row.source,
            case_id=row.case_id,
            reference=reference,
            at=row.at,
        )
        for row, reference in session.execute(query)
    ]


def audit(session: Session, order_id: str | None = None) -> list[str]:
    """Everything unsound in the ledger, or in what it says of one order, a sentence each; empty if it is whole."""
    found: list[str] = []
    orders = select(LedgerRow.order_id).distinct().order_by(LedgerRow.order_id)
    payments = (
        select(PaymentRow.key, PaymentRow.amount_fen, func.coalesce(func.sum(LedgerRow.amount_fen), 0))
        .join(LedgerRow, LedgerRow.payment_key == PaymentRow.key, isouter=True)
        .group_by(PaymentRow.key, PaymentRow.amount_fen)
        .order_by(PaymentRow.key)
    )
    if order_id is not None:
        orders, payments = orders.where(LedgerRow.order_id == order_id), payments.where(PaymentRow.order_id == order_id)
    for one in session.scalars(orders):
        found += _audit_order(session, find_order(session, one))
    sums = session.execute(payments)
    found += [
        f"payment {key} is {format_yuan(amount)}, its ledger entries are {format_yuan(int(entries))}"
        for key, amount, entries in sums
        if amount != int(entries)
    ]
    if order_id is not None:
        return found
    references = Counter(session.scalars(select(PaymentRow.reference)))
    found += [f"payment reference {one} was used {times} times" for one, times in references.items() if times > 1]
    return found


def _audit_order(session: Session, order: OrderRow) -> list[str]:
    lines = line_rows(session, order.id)
    done = accounts(session, order.id)
    paid = paid_shares(order, lines, done)
    quantities = {POSTAGE: 1, **{line.number: line.quantity for line in lines}}
    found: list[str] = []
    if done.total_fen > order.paid_fen:
        found.append(f"order {order.id}: {format_yuan(done.total_fen)} refunded, {format_yuan(order.paid_fen)} paid")
    for line, fen in done.fen.items():
        if fen > paid.get(line, 0):
            found.append(
                f"order {order.id} line {line}: {format_yuan(fen)} refunded, {format_yuan(paid.get(line, 0))} paid"
            )
        if line != POSTAGE and done.pieces[line] > quantities.get(line, 0):
            found.append(f"order {order.id} line {line}: more pieces refunded than ordered")
    negative = session.scalars(
        select(LedgerRow.id).where(LedgerRow.order_id == order.id, LedgerRow.amount_fen < 0)
    ).all()
    found += [f"order {order.id}: ledger entry {one} is negative" for one in negative]
    return found


def _meet_fault(session: Session, order_id: str, case_id: str) -> None:
    """Fail if somebody wants to see that: `once` is forgotten even though this transaction is undone."""
    for subject in (order_id, case_id):
        how = fault_of(session, "payment", subject)
        if how == "once":
            after_rollback(session, lambda later, subject=subject: forget_fault(later, "payment", subject))
            raise PaymentUnavailable("the payment service did not answer")
        if how == "always":
            raise PaymentRefused("the payment service refused the payment")


def _write(
    session: Session,
    order: OrderRow,
    owed: Reckoning,
    *,
    key: str,
    case_id: str,
    reference: str,
    at: datetime,
    by_hand: bool,
) -> None:
    session.add(PaymentReferenceRow(reference=reference, at=at))
    session.flush()
    session.add(
        PaymentRow(
            key=key,
            case_id=case_id,
            order_id=order.id,
            amount_fen=owed.total_fen,
            reference=reference,
            by_hand=by_hand,
            at=at,
        )
    )
    session.flush()
    for entry in owed.owed:
        session.add(
            LedgerRow(
                order_id=order.id,
                line=entry.line,
                quantity=entry.quantity,
                amount_fen=entry.amount_fen,
                source="hand" if by_hand else "case",
                case_id=case_id,
                payment_key=key,
                at=at,
            )
        )
    session.flush()
    credit_loose(session, order, owed.from_loose)
    tell_of_refund(session, order.id, at=at, excluding=case_id)


def _goods_are_out(session: Session, order_id: str, what: Due) -> bool:
    """Whether a line of a refund before shipping has left and is not back."""
    numbers = {one.line for one in what.lines} if isinstance(what, RefundDue) else set[int]()
    return any(row.place == "shipped" for row in line_rows(session, order_id) if row.number in numbers)


def _sent_again_by(session: Session, order_id: str, what: Due, case_id: str) -> str | None:
    """The case of a parcel by which goods that are to be paid for are sent again."""
    if not isinstance(what, RefundDue | ReturnDue):
        return None
    return sent_again_by_another(session, order_id, what.lines, case_id=case_id)


def _sent_for(session: Session, order: OrderRow, what: Due, owed: Reckoning, case_id: str) -> int:
    """What the buyer has for it by now, by whomever, in fen."""
    sent = sum(entry.amount_fen for entry in owed.from_loose)
    if what.kind == "postage":
        return min(what.at_most_fen, sent + accounts(session, order.id).fen.get(POSTAGE, 0))
    if what.kind == "rebate":
        of_case = select(func.coalesce(func.sum(LedgerRow.amount_fen), 0)).where(LedgerRow.case_id == case_id)
        return int(session.scalar(of_case) or 0)
    return sent + _sent_for_lines(session, order, what.lines, case_id)


def _sent_for_lines(session: Session, order: OrderRow, lines: Sequence[LineQuantity], case_id: str) -> int:
    """What the buyer has for these lines since the case claimed them, by whomever, in fen.

    The postage is in it where it went with them: nothing of the order is left, and no other case has a part of it.
    """
    rows = line_rows(session, order.id)
    done = accounts(session, order.id)
    shares = paid_shares(order, rows, done)
    claims = claims_of(session, order.id, case_id)
    asked = {one.line for one in lines}
    sent = 0
    for row in rows:
        if row.number in asked:
            before = claims[row.number].refunded_before if row.number in claims else 0
            earlier = part_of_line(shares[row.number], row.quantity, already=0, taken=min(before, row.quantity))
            sent += max(0, done.fen.get(row.number, 0) - earlier)
    others = select(ClaimRow.line).where(ClaimRow.order_id == order.id, ClaimRow.case_id != case_id).limit(1)
    if not any(pieces_left(row, done) for row in rows) and session.scalar(others) is None:
        postage = select(func.coalesce(func.sum(LedgerRow.amount_fen), 0)).where(
            LedgerRow.order_id == order.id,
            LedgerRow.line == POSTAGE,
            or_(LedgerRow.source == PLATFORM, LedgerRow.case_id == case_id),
        )
        sent += int(session.scalar(postage) or 0)
    return sent


def _one_spelling(reference: str) -> str:
    """One spelling for a reference, so that the same one is known again: no spaces, narrow capitals."""
    return "".join(unicodedata.normalize("NFKC", reference).split()).upper()
