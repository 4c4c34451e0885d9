"""The shop's staff: who there is, in which roles, with which limits, present or absent, and who deputises."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.authority import Absence, merged
from casework.shop.ahead import keep_ahead, read_ahead
from casework.shop.errors import BadRequest
from casework.shop.tables import StaffRow

STAFF = "staff"
"""What may have been read ahead."""


@dataclass(frozen=True, slots=True)
class StaffMember:
    """A staff member. `limit_fen` None: the policy's limits count; `deputy` acts while they are absent.

    `present` says whether they are there on the days on which no absence is noted. Who is `gone` has left: cases still
    name them.
    """

    id: str
    name: str
    roles: list[str]
    limit_fen: int | None
    present: bool
    deputy: str | None
    absences: tuple[Absence, ...] = ()
    gone: bool = False


def sample_staff() -> list[StaffMember]:
    """The staff that the project ships (data.md, "Sample staff")."""
    text = files("casework").joinpath("staff.csv").read_text(encoding="utf-8")
    return [
        StaffMember(
            id=row["id"],
            name=row["name"],
            roles=[role.strip() for role in row["roles"].split(",")],
            limit_fen=int(row["limit_fen"]) if row["limit_fen"] else None,
            present=row["present"] == "yes",
            deputy=row["deputy"] or None,
        )
        for row in csv.DictReader(text.splitlines())
    ]


def load_sample_if_empty(session: Session) -> bool:
    """Load the sample staff if the shop has none yet; whether it did."""
    if session.scalar(select(StaffRow.id).limit(1)) is not None:
        return False
    for position, member in enumerate(sample_staff(), start=1):
        write_member(session, member, position)
    session.flush()
    return True


def write_member(session: Session, member: StaffMember, position: int) -> None:
    """Put somebody on the list at a place, or what is known of them anew."""
    session.merge(
        StaffRow(
            position=position,
            id=member.id,
            name=member.name,
            roles=list(member.roles),
            limit_fen=member.limit_fen,
            present=member.present,
            deputy=member.deputy,
            absences=_kept(member.absences),
            gone=member.gone,
        )
    )


def all_staff(session: Session) -> list[StaffMember]:
    """The whole staff, in the list's order, those who have left included."""
    return list(read_ahead(session, STAFF, None, lambda: _all_staff(session)))


def look_ahead(session: Session) -> None:
    """Read the staff once for all who ask. Only for a session that only reads."""
    keep_ahead(session, STAFF, {})


def _all_staff(session: Session) -> list[StaffMember]:
    # by columns, not by rows of the table: every message of a person asks for it
    one = StaffRow
    columns = select(
        one.id, one.name, one.roles, one.limit_fen, one.present, one.deputy, one.absences, one.gone
    ).order_by(one.position)
    return [
        StaffMember(staff_id, name, roles, limit_fen, present, deputy, _absences(absences), gone)
        for staff_id, name, roles, limit_fen, present, deputy, absences, gone in session.execute(columns)
    ]


def set_present(session: Session, staff_id: str, *, present: bool) -> None:
    """Note that somebody is there, or is not until further notice.

    Raises:
        BadRequest: nobody of this id is on the list.

    """
    _change(session, staff_id, lambda member: replace(member, present=present))


def note_absence(session: Session, staff_id: str, absence: Absence) -> StaffMember:
    """Note that somebody is away on these days too; gives them as they are known then.

    Raises:
        BadRequest: nobody of this id is on the list, or the days end before they begin.

    """
    if absence.last < absence.first:
        raise BadRequest("staff", f"an absence from {absence.first} cannot end on {absence.last}")
    return _change(session, staff_id, lambda member: replace(member, absences=merged([*member.absences, absence])))


def note_return(session: Session, staff_id: str, at: datetime) -> StaffMember:
    """Somebody is back at this time (aware): an absence that covers it ends the day before; later ones stay.

    Raises:
        BadRequest: nobody of this id is on the list.

    """

    def back(member: StaffMember) -> StaffMember:
        ended = [_ended(one, at) for one in member.absences]
        return replace(member, present=True, absences=tuple(one for one in ended if one is not None))

    return _change(session, staff_id, back)


def _ended(absence: Absence, at: datetime) -> Absence | None:
    if not absence.covers(at):
        return absence
    yesterday = at.astimezone(ZoneInfo(absence.zone)).date() - timedelta(days=1)
    return replace(absence, last=yesterday) if absence.first <= yesterday else None


def _change(session: Session, staff_id: str, change: Callable[[StaffMember], StaffMember]) -> StaffMember:
    row = session.get(StaffRow, staff_id, with_for_update=True)
    member = next((one for one in all_staff(session) if one.id == staff_id), None)
    if row is None or member is None or member.gone:
        raise BadRequest("staff", f"nobody on the staff list is called {staff_id}")
    changed = change(member)
    write_member(session, changed, row.position)
    session.flush()
    return changed


def _kept(absences: Iterable[Absence]) -> list[Any]:
    return [{"first": one.first.isoformat(), "last": one.last.isoformat(), "zone": one.zone} for one in absences]


def _absences(noted: Sequence[Any]) -> tuple[Absence, ...]:
    return tuple(
        Absence(date.fromisoformat(one["first"]), date.fromisoformat(one["last"]), one["zone"]) for one in noted
    )
