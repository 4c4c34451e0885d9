"""Runs of cases: the newest one of a case id, and which run followed a parcel."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from casework.shop.tables import CaseRow, FollowedParcelRow

OF_FOLLOWED_PARCEL: Final = (CaseRow.case_id == FollowedParcelRow.case_id) & (
    CaseRow.run_id == FollowedParcelRow.run_id
)
"""Joins a run with the parcels that it has followed."""


def newest_run(session: Session, case_id: str, *conditions: ColumnElement[bool]) -> CaseRow | None:
    """The run of a case that was opened last, among those that fit; None: the shop knows no such one."""
    query = select(CaseRow).where(CaseRow.case_id == case_id, *conditions)
    return session.scalar(query.order_by(CaseRow.opened_at.desc()).limit(1))
