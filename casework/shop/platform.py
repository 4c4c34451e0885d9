"""What the platform paid back by itself: entered in the shop's ledger, so that nothing is paid or counted twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.shop.amounts import POSTAGE, LedgerLine, accounts, due, line_rows, paid_shares, pieces_left
from casework.shop.tables import ClaimRow, LedgerRow, OrderRow

PLATFORM = "platform"


def enter(session: Session, order: OrderRow, entries: Sequence[LedgerLine], *, at: datetime) -> int:
    """Enter what the platform paid; answers with the sum in fen. The order is locked by the caller. `at` is aware."""
    for entry in entries:
        session.add(
            LedgerRow(
                order_id=order.id,
                line=entry.line,
                quantity=entry.quantity,
                amount_fen=entry.amount_fen,
                source=PLATFORM,
                at=at,
            )
        )
    session.flush()
    # where loose sums have found their lines, less of them was there before a claim: what comes later is news
    loose = accounts(session, order.id).loose_fen
    session.execute(
        update(ClaimRow)
        .where(ClaimRow.order_id == order.id, ClaimRow.loose_before_fen > loose)
        .values(loose_before_fen=loose)
    )
    return sum(entry.amount_fen for entry in entries)


def reconcile(session: Session, order: OrderRow, *, at: datetime) -> int:
    """Enter what the platform says was refunded beyond the ledger, and attribute it; answers with the new sum in fen.

    A trade that is closed after payment has gone back to the buyer whole where the export does not say how much. `at`
    is aware.
    """
    said = order.platform_refund_fen
    if said is None and order.state == "closed":
        said = order.paid_fen
    missing = (said or 0) - accounts(session, order.id).total_fen
    entered = enter(session, order, [LedgerLine(None, 0, missing)], at=at) if missing > 0 else 0
    attribute(session, order)
    return entered


def attribute(session: Session, order: OrderRow) -> None:
    """Attribute the platform's sums that no line is known for: to closed lines first, then to the postage if no line
    is left; the rest stays without a line. The sum stays the same.
    """
    loose = _take_loose(session, order)
    if loose is None:
        return
    amount, at = loose
    lines = line_rows(session, order.id)
    done = accounts(session, order.id)
    paid = paid_shares(order, lines, done)
    entries: list[LedgerLine] = []
    for line in lines:
        if order.state != "closed" and line.state != "closed":
            continue
        part = min(amount, paid[line.number] - done.fen.get(line.number, 0))
        pieces = max(0, line.quantity - done.pieces.get(line.number, 0))
        if part > 0 or pieces:
            entries.append(LedgerLine(line.number, pieces, max(0, part)))
            amount -= max(0, part)
    if lines and (order.state == "closed" or not any(pieces_left(line, done) for line in lines)):
        part = min(amount, paid[POSTAGE] - done.fen.get(POSTAGE, 0))
        if part > 0:
            entries.append(LedgerLine(POSTAGE, 1, part))
            amount -= part
    if amount:
        entries.append(LedgerLine(None, 0, amount))
    enter(session, order, entries, at=at)


def attribute_to_lines(
    session: Session, order: OrderRow, lines: Sequence[LineQuantity], *, case_id: str, at: datetime
) -> None:
    """Attribute the platform's loose sums to lines that a case settles as refunded, so that these do not ship.

    They are the ones of which nothing is owed any more although no entry names them. `at` is aware.
    """
    rows = {row.number: row for row in line_rows(session, order.id)}
    owed = due(session, order, lines, case_id=case_id)
    # what is still owed was not refunded, and so may still ship
    missing = [] if sum(entry.amount_fen for entry in owed) else owed
    if not missing:
        return
    loose = _take_loose(session, order)
    amount, paid_at = loose or (0, at)
    done = accounts(session, order.id)
    paid = paid_shares(order, list(rows.values()), done)
    entries: list[LedgerLine] = []
    for entry in missing:
        line = entry.line or POSTAGE
        part = max(0, min(amount, paid[line] - done.fen.get(line, 0)))
        entries.append(LedgerLine(entry.line, entry.quantity, part))
        amount -= part
    if amount:
        entries.append(LedgerLine(None, 0, amount))
    enter(session, order, entries, at=paid_at)


def credit_loose(session: Session, order: OrderRow, parts: Sequence[LedgerLine]) -> None:
    """Attribute so much of the platform's loose sums to lines that a payment took it off from: it counts once."""
    loose = _take_loose(session, order) if parts else None
    if loose is None:
        return
    amount, at = loose
    rest = amount - sum(part.amount_fen for part in parts)
    enter(session, order, [*parts, *([LedgerLine(None, 0, rest)] if rest else [])], at=at)


def _take_loose(session: Session, order: OrderRow) -> tuple[int, datetime] | None:
    """Take out what no line is known for, to be entered again by line: its sum and when it was entered."""
    rows = session.scalars(
        select(LedgerRow).where(LedgerRow.order_id == order.id, LedgerRow.line.is_(None), LedgerRow.source == PLATFORM)
    ).all()
    if not rows:
        return None
    for row in rows:
        session.delete(row)
    session.flush()
    return sum(row.amount_fen for row in rows), max(row.at for row in rows)
