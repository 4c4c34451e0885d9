"""Faults that somebody wants to try: of payments, intercepts and a courier's answers, once or always."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.shop.tables import FaultRow

FaultKind = Literal["payment", "intercept", "answer"]
KINDS: tuple[FaultKind, ...] = ("payment", "intercept")
"""Those that the command line sets (contract.md); that a courier does not answer is for tests and demos."""
HOW = ("once", "always", "never")


def set_fault(session: Session, what: FaultKind, subject: str, how: str) -> None:
    """Let it fail once or always, or no more (`never`)."""
    if how == "never":
        forget_fault(session, what, subject)
    else:
        session.merge(FaultRow(what=what, subject=subject, how=how))
        session.flush()


def fault_of(session: Session, what: FaultKind, subject: str) -> str | None:
    """How it is to fail: `once`, `always`, or None."""
    row = session.get(FaultRow, (what, subject))
    return row.how if row else None


def faults_of(session: Session, what: FaultKind, subjects: Collection[str]) -> dict[str, str]:
    """The faults that are set for any of the subjects."""
    rows = session.scalars(select(FaultRow).where(FaultRow.what == what, FaultRow.subject.in_(subjects)))
    return {row.subject: row.how for row in rows}


def forget_fault(session: Session, what: FaultKind, subject: str) -> None:
    """Let it work again."""
    row = session.get(FaultRow, (what, subject))
    if row is not None:
        session.delete(row)
        session.flush()
