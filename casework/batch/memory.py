"""Which rows have been opened, kept in the shop: what a second run goes by, also after the first one was killed.

A row is noted before it is opened, with how often the shop had recorded its case id by then. Where a batch is killed in
between, one recorded run more tells the next that it was opened, also if the case has ended since; a case that is still
open says so itself. So it is with two batches at the same time: what the other one has begun may be opened by either,
and whoever opens it notes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from casework.parts import parts
from casework.shop.tables import BatchOpeningRow, CaseRow

AT_A_TIME = 500
"""Ids that one question to the database holds."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known of a row."""

    case_id: str
    lines: tuple[int, ...]
    """The order's lines that it is about."""
    noted: bool
    """Whether it is noted that it was opened."""
    opened: bool
    """Whether it was opened: it is noted, or the shop has recorded a run of the case since it was begun."""


def recall(session: Session, digests: Sequence[str]) -> dict[str, Memory]:
    """What is known of rows, by digest; those that nobody began are left out."""
    rows: list[BatchOpeningRow] = []
    for some in parts(digests, AT_A_TIME):
        rows += session.scalars(select(BatchOpeningRow).where(BatchOpeningRow.digest.in_(some)))
    recorded = runs_recorded(session, [row.case_id for row in rows])
    found: dict[str, Memory] = {}
    for row in rows:
        noted = row.opened_at is not None
        opened = noted or recorded[row.case_id] > row.runs_before
        found[row.digest] = Memory(row.case_id, tuple(row.lines), noted, opened)
    return found


def runs_recorded(session: Session, case_ids: Iterable[str]) -> Counter[str]:
    """How many runs of each case id the shop has recorded."""
    counted: Counter[str] = Counter()
    for some in parts(sorted(set(case_ids)), AT_A_TIME):
        query = select(CaseRow.case_id, func.count()).where(CaseRow.case_id.in_(some)).group_by(CaseRow.case_id)
        for case_id, count in session.execute(query):
            counted[case_id] = count
    return counted


@dataclass(frozen=True, slots=True)
class Opening:
    """What a row is about to open: the case, and the order's lines that it is about."""

    digest: str
    case_id: str
    lines: tuple[int, ...]


def begin(session: Session, openings: Sequence[Opening], at: datetime) -> dict[str, Memory]:
    """Note that rows are about to be opened. What was begun for the same case id stays as it is, and is given back."""
    known = recall(session, [one.digest for one in openings])
    there = {
        one.digest: known[one.digest]
        for one in openings
        if one.digest in known and known[one.digest].case_id == one.case_id
    }
    begun = [one for one in openings if one.digest not in there]
    runs = runs_recorded(session, [one.case_id for one in begun])
    for some in parts(begun, AT_A_TIME):
        session.execute(delete(BatchOpeningRow).where(BatchOpeningRow.digest.in_([one.digest for one in some])))
        rows = [
            {
                "digest": one.digest,
                "case_id": one.case_id,
                "lines": list(one.lines),
                "runs_before": runs[one.case_id],
                "begun_at": at,
            }
            for one in some
        ]
        session.execute(insert(BatchOpeningRow), rows)
    return there


def opened(session: Session, openings: Sequence[Opening], at: datetime) -> None:
    """Note that rows have been opened, also where another batch has forgotten that they were begun."""
    begin(session, openings, at)
    for some in parts([one.digest for one in openings], AT_A_TIME):
        session.execute(update(BatchOpeningRow).where(BatchOpeningRow.digest.in_(some)).values(opened_at=at))


def not_opened(session: Session, digests: Sequence[str]) -> None:
    """Forget that rows were begun: whoever began them opened nothing."""
    for some in parts(digests, AT_A_TIME):
        session.execute(
            delete(BatchOpeningRow).where(BatchOpeningRow.digest.in_(some), BatchOpeningRow.opened_at.is_(None))
        )


def begin_again(session: Session, digests: Sequence[str], at: datetime) -> None:
    """Let rows be opened once more, whatever came of them: they count as begun now."""
    known = recall(session, digests)
    runs = runs_recorded(session, [one.case_id for one in known.values()])
    for some in parts(list(known), AT_A_TIME):
        for row in session.scalars(select(BatchOpeningRow).where(BatchOpeningRow.digest.in_(some))):
            row.runs_before, row.begun_at, row.opened_at = runs[row.case_id], at, None
    session.flush()
