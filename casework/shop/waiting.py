"""Where the open cases wait: told by each case in a step that it makes anyway, read by lists and forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, case, delete, func, insert, or_, select, update
from sqlalchemy.orm import Session

from casework.forecast import SILENCE, Step, course_told
from casework.shop.fencing import FencingToken, note_progress, reopen_if_later, waits_no_more
from casework.shop.tables import WAITS, CaseRow, WaitRow
from casework.waiting import Waits
from state_machines.flows import FLOWS

# made once, and of the table (see `fencing`): every wait begins with one of them
_INSERT_WAIT = insert(WAITS)
_UPDATE_WAIT = update(WAITS).where(WAITS.c.case_id == bindparam("of_case"))


@dataclass(frozen=True, slots=True)
class WaitFilter:
    """Which waiting cases are meant; what is None does not matter.

    `roles`: one of them is asked to act; `over_fen`: more than so much, in fen; `overdue_at`: the clock has fired
    without anything having moved, or the deadline has passed by then.
    """

    roles: tuple[str, ...] | None = None
    flow: str | None = None
    order_id: str | None = None
    over_fen: int | None = None
    assignee: str | None = None
    overdue_at: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """As the database understands it."""
        found: list[ColumnElement[bool]] = []
        if self.roles is not None:
            found.append(or_(*(WaitRow.roles.contains(f"|{role}|", autoescape=True) for role in self.roles)))
        if self.flow is not None:
            found.append(WaitRow.flow == self.flow)
        if self.order_id is not None:
            found.append(WaitRow.order_id == self.order_id)
        if self.over_fen is not None:
            found.append(WaitRow.amount_fen > self.over_fen)
        if self.assignee is not None:
            found.append(WaitRow.assignee == self.assignee)
        if self.overdue_at is not None:
            found.append(or_(WaitRow.alarms > 0, WaitRow.due <= self.overdue_at))
        return found


@dataclass(frozen=True, slots=True)
class Waiting:
    """A case that waits, as it was told; `case` is all that it knows but its trail, its answers by id and `given`."""

    case_id: str
    since: datetime
    due: datetime
    case: dict[str, Any]


def tell(session: Session, case_id: str, run_id: str, moment: FencingToken, waits: Waits | None) -> None:
    """Take down where an open case waits, or that it is at work; what comes late, or after its end, is passed over."""
    row = session.get(CaseRow, (case_id, run_id), with_for_update=True)
    if row is None or not reopen_if_later(session, row, moment):
        return
    if waits is None:
        note_progress(session, row, moment)
    elif note_progress(session, row, moment, waits_again=True):
        here = _row(row, waits)
        if not session.connection().execute(_UPDATE_WAIT, {"of_case": case_id, **here}).rowcount:
            session.connection().execute(_INSERT_WAIT, here)


def tell_of_untold(session: Session, case_id: str, version: int, waits: Waits | None) -> None:
    """Take down where a case waits that had not told the shop, and was asked."""
    row = session.scalar(
        select(CaseRow)
        .where(CaseRow.case_id == case_id, CaseRow.closed_at.is_(None), CaseRow.at_version.is_(None))
        .with_for_update()
    )
    if row is None:
        return
    row.at_version = version
    if waits is not None:
        session.connection().execute(_INSERT_WAIT, _row(row, waits))
    session.flush()


def moved_on(session: Session, case_id: str, opened_at: datetime, version: int) -> None:
    """Somebody has had the case's answer that it has made so many moves: it waits no more where it waited before."""
    behind = update(CaseRow).where(
        CaseRow.case_id == case_id,
        CaseRow.opened_at == opened_at,
        CaseRow.closed_at.is_(None),
        CaseRow.at_version < version,
    )
    if session.execute(behind.values(at_version=version)).rowcount:  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - an update has one
        waits_no_more(session, case_id)


def waiting(session: Session, wanted: WaitFilter, limit: int | None = None) -> list[Waiting]:
    """The cases that wait, soonest deadline first."""
    query = (
        select(WaitRow.case_id, WaitRow.since, WaitRow.due, WaitRow.case)
        .where(*wanted.conditions())
        .order_by(WaitRow.due, WaitRow.case_id)
        .limit(limit)
    )
    return [Waiting(*row) for row in session.execute(query)]


def how_many(session: Session, wanted: WaitFilter) -> int:
    """How many cases wait."""
    return session.scalar(select(func.count()).select_from(WaitRow).where(*wanted.conditions())) or 0


@dataclass(frozen=True, slots=True)
class Leaving:
    """What leaves by itself if nobody acts, in fen: for certain, and besides unless the outside is in the way."""

    certain_fen: int
    perhaps_fen: int


def leaving(session: Session, wanted: WaitFilter, now: datetime) -> Leaving:
    """What leaves by itself within a day of `now` (aware) in the cases that wait.

    Each row says what its own case will pay, as it was when it began to wait. Where the clock is late, since no worker
    ran, all that follows is late too: those few courses are told anew.
    """
    until, here = now + SILENCE, wanted.conditions()
    certain = case((WaitRow.pays_for_certain, WaitRow.pays_fen), else_=0)
    summed = select(func.coalesce(func.sum(certain), 0), func.coalesce(func.sum(WaitRow.pays_fen - certain), 0))
    fen, perhaps = session.execute(summed.where(*here, WaitRow.pays_at <= until, WaitRow.due > now)).one()
    late = session.scalars(select(WaitRow.case).where(*here, WaitRow.due <= now))
    courses = [course for told in late if (course := course_told(told, now=now, until=until)) is not None]
    return Leaving(
        certain_fen=int(fen) + sum(course.leaves_fen for course in courses),
        perhaps_fen=int(perhaps) + sum(course.may_leave_fen for course in courses),
    )


def untold(session: Session) -> list[str]:
    """The open cases that have not told the shop where they wait: an older version opened them."""
    query = select(CaseRow.case_id).where(CaseRow.closed_at.is_(None), CaseRow.at_version.is_(None))
    return sorted(session.scalars(query))


def open_cases(session: Session) -> list[str]:
    """Every open case, by id."""
    return sorted(session.scalars(select(CaseRow.case_id).where(CaseRow.closed_at.is_(None))))


def _payment_by_silence(waits: Waits) -> Step | None:
    """The first payment within a day after the deadline, if nobody acts."""
    flow = FLOWS.get(waits.case.get("flow", ""))
    if flow is None or waits.case.get("state") not in flow.may_pay_by_itself:
        return None  # most waits: playing out their silence would take longer than writing the row
    course = course_told(waits.case, now=waits.due, until=waits.due + SILENCE)
    return next((step for step in course.steps if step.pays_fen), None) if course is not None else None


def _row(row: CaseRow, waits: Waits) -> dict[str, Any]:
    pays = _payment_by_silence(waits)
    return {
        "case_id": row.case_id,
        "run_id": row.run_id,
        "flow": row.flow,
        "order_id": row.order_id,
        "roles": "".join(f"|{role}" for role in waits.roles) + "|",
        "assignee": waits.assignee,
        "since": waits.since,
        "due": waits.due,
        "alarms": waits.alarms,
        "amount_fen": waits.amount_fen,
        "pays_at": pays.at if pays is not None else None,
        "pays_fen": pays.pays_fen if pays is not None else 0,
        "pays_for_certain": pays is not None and not pays.unknown,
        "case": waits.case,
    }


def drop(session: Session, cases: Sequence[Waiting]) -> None:
    """Forget where these cases wait, which Temporal has ended without their knowing, unless they have told again."""
    for one in cases:
        session.execute(delete(WaitRow).where(WaitRow.case_id == one.case_id, WaitRow.due == one.due))


def assignees(session: Session) -> dict[str, str | None]:
    """Every case that waits for somebody, and whose it is: the staff id of the person to whom it was given, if any."""
    return {row.case_id: row.assignee for row in session.execute(select(WaitRow.case_id, WaitRow.assignee))}
