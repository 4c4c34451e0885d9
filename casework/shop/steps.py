"""Steps of cases, each done once a key: a step that is asked for again finds that it was done."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from casework.shop.tables import StepRow


def first_time(session: Session, key: str, at: datetime) -> bool:
    """Whether the step of this key is done now for the first time; it is noted as done. `at` is aware."""
    if session.get(StepRow, key) is not None:
        return False
    session.add(StepRow(key=key, at=at))
    session.flush()
    return True
