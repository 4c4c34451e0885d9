"""Steps of open cases: one transaction each, and once per key: a step asked for again finds that it was done."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy.orm import Session

from casework.shop.database import Database
from casework.shop.fencing import FencingToken, admit
from casework.shop.tables import StepRow


@contextmanager
def case_transaction(
    database: Database, case_id: str, run_id: str, moment: FencingToken | None, *, in_turn: bool = False
) -> Generator[Session]:
    """One transaction of a case's step; nothing of it stays where the step was done before (see `admit`).

    Raises:
        CaseOver: the case has ended in the shop, or another run of it has begun.

    """
    with database.writing() as session:
        may_stay = admit(session, case_id, run_id, moment, in_turn=in_turn)
        yield session
        if not may_stay:
            session.rollback()


def first_time(session: Session, key: str, at: datetime) -> bool:
    """Whether the step of this key is done now for the first time; it is noted as done. `at` is aware."""
    if session.get(StepRow, key) is not None:
        return False
    session.add(StepRow(key=key, at=at))
    session.flush()
    return True
