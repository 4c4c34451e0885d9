"""What is due by a case's own words, reckoned from the order as it is now: one function a kind of due."""

from __future__ import annotations

from sqlalchemy.orm import Session

from casework.dues import Due, RebateDue, RefundDue
from casework.rules.bulk import spread
from casework.shop.amounts import LedgerLine, Reckoning, accounts, line_rows, paid_shares, pieces_left, reckon
from casework.shop.tables import OrderRow


def reckon_due(session: Session, order: OrderRow, due: Due, *, case_id: str | None) -> Reckoning:
    """What is due now, by line; no account is overdrawn by it."""
    match due:
        case RefundDue():
            return reckon(session, order, due.lines, case_id=case_id)
        case RebateDue():
            return _rebate(session, order, due)


def _rebate(session: Session, order: OrderRow, due: RebateDue) -> Reckoning:
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
