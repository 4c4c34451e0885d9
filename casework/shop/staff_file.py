"""The staff taken in from a file: read whole, checked whole, and written whole or not at all."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final

from sqlalchemy.orm import Session

from casework.authority import Absence, merged
from casework.messages import is_staff_id
from casework.sentences import quoted
from casework.shop.errors import BadFile
from casework.shop.importing.reading import FileRow, read_table, read_text
from casework.shop.staff import StaffMember, all_staff, write_member
from state_machines.roles import Automatic, Role

HEADINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("工号",),
    "name": ("姓名",),
    "roles": ("角色",),
    "limit_fen": ("权限(分)", "限额(分)"),
    "present": ("在岗",),
    "deputy": ("代理人",),
    "absent": ("缺勤", "请假"),
}
"""The columns, and how they may be called in Chinese."""
OPTIONAL: Final = frozenset({"absent"})
"""Where the column is missing, the absences that are known already stay."""
_NOBODYS: Final = frozenset({*Automatic, "temporal", "unknown"})
"""What stands in a trail where no person acted."""
_YES_NO: Final = {"yes": True, "true": True, "是": True, "no": False, "false": False, "否": False}
_PRESENT_WANTED: Final = "present: yes or no is wanted"
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MOST_FEN: Final = 10**12
_LONGEST_NAME: Final = 100
MOST_BYTES: Final = 1_000_000
"""Of a staff list."""


class BadStaff(Exception):
    """What is wrong with a staff file, a sentence each with its line; nothing of it was taken in."""

    def __init__(self, name: str, faults: Sequence[str]) -> None:
        self.faults = list(faults)
        super().__init__(f"{name}, {'; '.join(faults)}")


class BadCell(Exception):
    """Something in a row that cannot be taken in: one sentence."""


@dataclass(frozen=True, slots=True)
class StaffReport:
    """What came of a staff file, by staff id."""

    new: list[str] = field(default_factory=list[str])
    changed: list[str] = field(default_factory=list[str])
    unchanged: list[str] = field(default_factory=list[str])
    kept: list[str] = field(default_factory=list[str])
    """Not in the file, and on the list as before."""
    gone: list[str] = field(default_factory=list[str])
    """Not in the file, and no longer on the list: they may not act any more."""


def import_staff(session: Session, name: str, content: bytes, *, zone: str, replacing: bool) -> StaffReport:
    """Take in a staff file, in the caller's transaction; the same file again changes nothing.

    Whoever is not in the file is kept, or has left where the file replaces the list (`replacing`). Days are those of
    the zone.

    Raises:
        BadFile: it is no CSV file, is far too large, or its columns are others.
        BadStaff: rows are wrong, all of them named.

    """
    known = {one.id: one for one in all_staff(session)}
    lines = _read(name, content, zone, known)
    in_file = {member.id: member for _, member in lines}
    others = [one for one in known.values() if one.id not in in_file]
    staying = [] if replacing else [one for one in others if not one.gone]
    faults = _faults_of_deputies(lines, [*in_file.values(), *staying])
    if faults:
        raise BadStaff(name, faults)
    report = StaffReport()
    for member in in_file.values():
        before = known.get(member.id)
        where = report.new if before is None else report.unchanged if before == member else report.changed
        where.append(member.id)
    for member in others:
        if not member.gone:
            (report.gone if replacing else report.kept).append(member.id)
    listed = [*in_file.values(), *(replace(one, gone=one.gone or replacing) for one in others)]
    for position, member in enumerate(listed, start=1):
        write_member(session, member, position)
    session.flush()
    return report


def read_absences(text: str, zone: str) -> tuple[Absence, ...]:
    """Days as `2026-12-01..2026-12-05; 2026-12-24`, the first and the last included.

    Raises:
        BadCell: one sentence.

    """
    absences: list[Absence] = []
    for part in re.split(r"[;,、\n]", unicodedata.normalize("NFKC", text)):
        if part.strip():
            first, dots, last = (one.strip() for one in part.partition(".."))
            begins = read_day(first)
            ends = read_day(last) if dots else begins
            if ends < begins:
                raise BadCell(f"absent: {part.strip()} ends before it begins")
            absences.append(Absence(begins, ends, zone))
    return merged(absences)


def read_day(text: str) -> date:
    """A calendar day such as 2026-12-01.

    Raises:
        BadCell: one sentence.

    """
    text = unicodedata.normalize("NFKC", text).strip()
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise BadCell(f"{quoted(text)} is not a day: write it as 2026-12-01")


# --- reading ---


def _read(name: str, content: bytes, zone: str, known: Mapping[str, StaffMember]) -> list[tuple[int, StaffMember]]:
    """Every member of the file with the line that it begins on."""
    if len(content) > MOST_BYTES:
        raise BadFile(name, "is far larger than any staff list")
    table = read_table(name, read_text(name, content))
    given, rows = table.headings, table.rows
    if not rows:
        raise BadFile(name, "has headings and no rows")
    columns = _columns(name, given)
    lines: list[tuple[int, StaffMember]] = []
    faults: list[str] = []
    at_line: dict[str, int] = {}
    for row in rows:
        try:
            member = _member(row, columns, zone, known)
            if member.id in at_line:
                raise BadCell(f"id: {member.id} stands on line {at_line[member.id]} already")
        except BadCell as bad:
            faults.append(f"line {row.number}: {bad}")
            continue
        at_line[member.id] = row.number
        lines.append((row.number, member))
    if faults:
        raise BadStaff(name, faults)
    return lines


def _columns(name: str, given: Sequence[str]) -> dict[str, str]:
    """Column → its heading in the file."""
    meant = {heading: column for column, words in HEADINGS.items() for heading in _spellings(column, words)}
    columns: dict[str, str] = {}
    for heading in given:
        column = meant.get(heading.lower())
        if column is None:
            raise BadFile(
                name, f"has a column {quoted(heading)}, which a staff list has not; it has {', '.join(HEADINGS)}"
            )
        if column in columns:
            raise BadFile(name, f"has the column {column} twice")
        columns[column] = heading
    missing = [column for column in HEADINGS if column not in columns and column not in OPTIONAL]
    if missing:
        raise BadFile(name, f"lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}")
    return columns


def _spellings(column: str, words: Iterable[str]) -> list[str]:
    return [column, *(unicodedata.normalize("NFKC", word) for word in words)]


def _member(row: FileRow, columns: Mapping[str, str], zone: str, known: Mapping[str, StaffMember]) -> StaffMember:
    if row.wrong is not None:
        raise BadCell(row.wrong)
    cells = {column: _plain(row.cells[heading]) for column, heading in columns.items()}
    staff_id = cells["id"]
    if not is_staff_id(staff_id) or staff_id in _NOBODYS:
        raise BadCell("id: a staff id such as aftersale.1 is wanted")
    before = known.get(staff_id)
    return StaffMember(
        id=staff_id,
        name=_name(cells["name"]),
        roles=_roles(cells["roles"]),
        limit_fen=_limit(cells["limit_fen"]),
        present=_present(cells["present"]),
        deputy=_deputy(cells["deputy"], staff_id),
        absences=read_absences(cells["absent"], zone) if "absent" in cells else before.absences if before else (),
    )


def _plain(cell: str) -> str:
    return unicodedata.normalize("NFKC", cell).strip()


def _name(text: str) -> str:
    if not 0 < len(text) <= _LONGEST_NAME:
        raise BadCell(f"name: text of 1 to {_LONGEST_NAME} characters is wanted")
    if any(unicodedata.category(sign) in ("Cc", "Cf") for sign in text):
        raise BadCell("name: holds a sign that nobody sees")  # terminals obey some of them
    return text


def _roles(text: str) -> list[str]:
    named = {spelt.lower(): role.value for role in Role for spelt in (role.value, *role.label)}
    roles: list[str] = []
    for part in re.split(r"[,;、]", text):
        if part.strip():
            role = named.get(part.strip().lower())
            if role is None:
                raise BadCell(f"roles: there is no role {quoted(part.strip())}; there is {', '.join(Role)}")
            roles.append(role)
    if not roles:
        raise BadCell("roles: at least one is wanted")
    return list(dict.fromkeys(roles))


def _limit(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,13}", text) or int(text) > _MOST_FEN:
        raise BadCell(
            f"limit_fen: a whole number of fen is wanted, or nothing for the policy's limit, not {quoted(text)}"
        )
    return int(text)


def _present(text: str) -> bool:
    if text.lower() not in _YES_NO:
        raise BadCell(_PRESENT_WANTED)
    return _YES_NO[text.lower()]


def _deputy(text: str, staff_id: str) -> str | None:
    if text == staff_id:
        raise BadCell(f"deputy: {staff_id} cannot deputise for themselves")
    return text or None


# --- deputies ---


def _faults_of_deputies(lines: Sequence[tuple[int, StaffMember]], staff: Iterable[StaffMember]) -> list[str]:
    """Deputies who are not on the list, and chains of them that come round, each with the first line of the file."""
    deputies = {member.id: member.deputy for member in staff}
    faults: list[str] = []
    told: set[str] = set()
    for number, member in lines:
        if member.deputy is not None and member.deputy not in deputies:
            faults.append(f"line {number}: deputy: {member.deputy} is not on the staff list")
            continue
        chain = _chain(member.id, deputies.get)
        if chain is not None and told.isdisjoint(chain):
            told.update(chain)
            faults.append(f"line {number}: deputy: the deputies go in a circle: {' → '.join([*chain, chain[0]])}")
    return faults


def _chain(staff_id: str, deputy_of: Callable[[str], str | None]) -> list[str] | None:
    """The circle of deputies that somebody is part of; None: they are in none."""
    chain = [staff_id]
    while (following := deputy_of(chain[-1])) is not None and following not in chain:
        chain.append(following)
    return chain if following == staff_id else None
