"""What is due by a case's own words, reckoned from the order as it is now: one function a kind of due."""

from __future__ import annotations

from sqlalchemy.orm import Session

from casework.dues import Due
from casework.shop.amounts import Reckoning, reckon
from casework.shop.tables import OrderRow


def reckon_due(session: Session, order: OrderRow, due: Due, *, case_id: str | None) -> Reckoning:
    """What is due now, by line; no account is overdrawn by it."""
    return reckon(session, order, due.lines, case_id=case_id)
