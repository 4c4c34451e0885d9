"""The shop's staff: who there is, in which roles, with which limits, present or absent, and who deputises."""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from importlib.resources import files

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.shop.ahead import keep_ahead, read_ahead
from casework.shop.errors import BadRequest
from casework.shop.tables import StaffRow

STAFF = "staff"
"""What may have been read ahead."""


@dataclass(frozen=True, slots=True)
class StaffMember:
    """A staff member. `limit_fen` None: the policy's limits count; `deputy` acts while they are absent."""

    id: str
    name: str
    roles: list[str]
    limit_fen: int | None
    present: bool
    deputy: str | None


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
        session.add(StaffRow(position=position, **asdict(member)))
    session.flush()
    return True


def all_staff(session: Session) -> list[StaffMember]:
    """The whole staff, in the list's order."""
    return list(read_ahead(session, STAFF, None, lambda: _all_staff(session)))


def look_ahead(session: Session) -> None:
    """Read the staff once for all who ask. Only for a session that only reads."""
    keep_ahead(session, STAFF, {})


def _all_staff(session: Session) -> list[StaffMember]:
    # by columns, not by rows of the table: every message of a person asks for it
    one = StaffRow
    columns = select(one.id, one.name, one.roles, one.limit_fen, one.present, one.deputy)
    return [StaffMember(*row) for row in session.execute(columns.order_by(one.position))]


def set_present(session: Session, staff_id: str, *, present: bool) -> None:
    """Note that somebody is there, or is not.

    Raises:
        BadRequest: nobody of this id is on the list.

    """
    row = session.get(StaffRow, staff_id)
    if row is None:
        raise BadRequest("staff", f"nobody on the staff list is called {staff_id}")
    row.present = present
    session.flush()
