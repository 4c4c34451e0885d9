"""What is due by a case's own words, reckoned from the order as it is now: one function a kind of due."""

from __future__ import annotations

from sqlalchemy.orm import Session

from casework.dues import Due, PostageDue
from casework.shop.amounts import POSTAGE, LedgerLine, Reckoning, accounts, reckon, share_out
from casework.shop.tables import GiftPromiseRow, OrderRow


def reckon_due(session: Session, order: OrderRow, due: Due, *, case_id: str | None) -> Reckoning:
    """What is due now, by line; no account is overdrawn by it."""
    if isinstance(due, PostageDue):
        return _postage(session, order, due, case_id)
    return reckon(session, order, due.lines, case_id=case_id)


def _postage(session: Session, order: OrderRow, due: PostageDue, case_id: str | None) -> Reckoning:
    """What is left of the postage that was paid, and no more than was promised.

    A sum that the platform has paid since the promise, without naming a line, counts in full against it: money that was
    not paid can still be paid, while money paid twice is gone.
    """
    if order.state in {"unpaid", "closed"}:
        return Reckoning([], [])
    done = accounts(session, order.id)
    left = min(due.at_most_fen, min(order.postage_fen, order.paid_fen) - done.fen.get(POSTAGE, 0))
    promise = session.get(GiftPromiseRow, (order.id, "free_shipping"))
    before = promise.loose_before_fen if promise is not None and promise.case_id == case_id else done.loose_fen
    return share_out(
        [LedgerLine(POSTAGE, 1, left)] if left > 0 else [],
        left_fen=order.paid_fen - done.total_fen,
        loose_fen=max(0, done.loose_fen - before),
    )
