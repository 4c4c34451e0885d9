"""Money back to buyers: checked and written in one transaction that reads the order again. Never twice.

Every payment has a key made of case and purpose. What the platform paid is in the same ledger, so that nothing is
paid a second time.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.money import LineQuantity, format_yuan
from casework.shop.amounts import POSTAGE, LedgerLine, accounts, due, line_rows, paid_shares
from casework.shop.database import after_rollback
from casework.shop.errors import BadRequest, PaymentRefused, PaymentUnavailable
from casework.shop.faults import fault_of, forget_fault
from casework.shop.orders import find_order, lock_order
from casework.shop.tables import LedgerRow, OrderRow, PaymentReferenceRow, PaymentRow

__all__ = [
    "LedgerEntry",
    "LedgerLine",
    "PayResult",
    "PaymentRefused",
    "PaymentUnavailable",
    "amount_due",
    "audit",
    "ledger",
    "pay_refund",
    "record_paid_by_hand",
]


@dataclass(frozen=True, slots=True)
class PayResult:
    """What came of a payment; `paid_fen` is what the buyer has for these lines, by this payment or another."""

    status: Literal["paid", "already_paid", "left", "changed"]
    reference: str | None
    paid_fen: int


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One entry of the ledger. `line` 0 is the postage, None a sum of the platform's that no line is known for."""

    id: int
    order_id: str
    line: int | None
    quantity: int
    amount_fen: int
    source: str
    case_id: str | None
    reference: str | None
    at: datetime


def amount_due(
    session: Session, order_id: str, lines: Sequence[LineQuantity], *, case_id: str | None = None
) -> list[LedgerLine]:
    """What is due for these lines now; the postage is line 0, where these are the last lines left, before shipping.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    return due(session, find_order(session, order_id), lines, case_id=case_id)


def pay_refund(
    session: Session,
    *,
    key: str,
    case_id: str,
    order_id: str,
    lines: Sequence[LineQuantity],
    amount_fen: int,
    at: datetime,
    goods_back: bool,
) -> PayResult:
    """Pay for the lines, once a key, if the order, read again, still says that this amount is due.

    `already_paid`: under this key, or by the platform meanwhile. `left`: a line has shipped and is not back, so nothing
    is paid, whatever `goods_back` says: the shop's own word on where the goods are counts. `changed`: another amount is
    due now, so nothing is paid.

    Raises:
        UnknownOrder: the shop has no such order.
        PaymentUnavailable: it may work later.
        PaymentRefused: for good.

    """
    del goods_back  # the lines themselves say whether they are back
    order = lock_order(session, order_id)
    known = session.get(PaymentRow, key)
    if known is not None:
        return PayResult("already_paid", known.reference, known.amount_fen)
    owed = due(session, order, lines, case_id=case_id)
    total = sum(entry.amount_fen for entry in owed)
    numbers = {one.line for one in lines}
    if total == 0:
        done = accounts(session, order_id)
        return PayResult("already_paid", None, sum(done.fen.get(number, 0) for number in numbers) or done.total_fen)
    if any(row.place == "shipped" for row in line_rows(session, order_id) if row.number in numbers):
        return PayResult("left", None, 0)
    if total != amount_fen:
        return PayResult("changed", None, 0)
    _meet_fault(session, order_id, case_id)
    reference = "CW" + hashlib.sha256(key.encode()).hexdigest()[:20].upper()
    _write(session, order, owed, key=key, case_id=case_id, reference=reference, at=at, by_hand=False)
    return PayResult("paid", reference, total)


def record_paid_by_hand(
    session: Session,
    *,
    key: str,
    case_id: str,
    order_id: str,
    lines: Sequence[LineQuantity],
    amount_fen: int,
    payment_reference: str,
    at: datetime,
) -> None:
    """Write down a payment that the refund clerk made outside; the same one again changes nothing.

    Raises:
        UnknownOrder: the shop has no such order.
        BadRequest: the reference was used before, the amount is not the one due, or the lines are refunded already.

    """
    order = lock_order(session, order_id)
    reference = _one_spelling(payment_reference)
    if not reference:
        raise BadRequest("payment_reference", "is empty")
    known = session.get(PaymentRow, key)
    if known is not None and (known.reference, known.amount_fen) == (reference, amount_fen):
        return
    if session.get(PaymentReferenceRow, reference) is not None:
        raise BadRequest("payment_reference", "was used before")
    owed = due(session, order, lines, case_id=case_id)
    total = sum(entry.amount_fen for entry in owed)
    if known is not None or total == 0:
        raise BadRequest("lines", "are refunded already")
    if amount_fen != total:
        raise BadRequest("amount_fen", f"must be the amount due, {total} ({format_yuan(total)} yuan)")
    _write(session, order, owed, key=key, case_id=case_id, reference=reference, at=at, by_hand=True)


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


def audit(session: Session) -> list[str]:
    """Everything unsound in the ledger, a sentence each; empty if it is whole."""
    found: list[str] = []
    for order_id in session.scalars(select(LedgerRow.order_id).distinct().order_by(LedgerRow.order_id)):
        found += _audit_order(session, find_order(session, order_id))
    sums = session.execute(
        select(PaymentRow.key, PaymentRow.amount_fen, func.coalesce(func.sum(LedgerRow.amount_fen), 0))
        .join(LedgerRow, LedgerRow.payment_key == PaymentRow.key, isouter=True)
        .group_by(PaymentRow.key, PaymentRow.amount_fen)
        .order_by(PaymentRow.key)
    )
    found += [
        f"payment {key} is {format_yuan(amount)}, its ledger entries are {format_yuan(int(entries))}"
        for key, amount, entries in sums
        if amount != int(entries)
    ]
    references = Counter(session.scalars(select(PaymentRow.reference)))
    found += [f"payment reference {one} was used {times} times" for one, times in references.items() if times > 1]
    return found


def _audit_order(session: Session, order: OrderRow) -> list[str]:
    lines = line_rows(session, order.id)
    done = accounts(session, order.id)
    paid = paid_shares(order, lines)
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
    owed: Iterable[LedgerLine],
    *,
    key: str,
    case_id: str,
    reference: str,
    at: datetime,
    by_hand: bool,
) -> None:
    entries = list(owed)
    session.add(PaymentReferenceRow(reference=reference, at=at))
    session.flush()
    session.add(
        PaymentRow(
            key=key,
            case_id=case_id,
            order_id=order.id,
            amount_fen=sum(entry.amount_fen for entry in entries),
            reference=reference,
            by_hand=by_hand,
            at=at,
        )
    )
    session.flush()
    for entry in entries:
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


def _one_spelling(reference: str) -> str:
    """One spelling for a reference, so that the same one is known again: no spaces, narrow capitals."""
    return "".join(unicodedata.normalize("NFKC", reference).split()).upper()
