"""The commands about the staff: who there is, a list taken in from a file, who is away and who is back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from casework.authority import Absence, acting_deputy, is_present
from casework.cli.errors import Stop, bad_input
from casework.cli.running import Desk, print_json, run_async, say, sentence, sentences
from casework.connection import NoServer
from casework.money import format_yuan
from casework.shop.errors import BadFile, BadRequest
from casework.shop.staff import StaffMember, all_staff, note_absence, note_return, set_present
from casework.shop.staff_file import MOST_BYTES, BadCell, BadStaff, import_staff, read_day
from casework.show import role_name, table, word

_AS_IT_WAS: Final = "The staff list is as it was."


def show_staff(*, as_json: bool) -> None:
    """`casework staff`."""
    with sentences():
        desk = Desk()
        with desk.shop.reading() as session:
            staff = [one for one in all_staff(session) if not one.gone]
    if as_json:
        print_json([_as_json(one, desk.now) for one in staff])
        return
    language = desk.language
    columns = ("staff", "name", "roles", "limit", "present", "deputy", "absent")
    rows = [[word(name, language) for name in columns]]
    members = {one.id: one for one in staff}
    rows.extend(
        [
            one.id,
            one.name,
            ", ".join(role_name(role, language) for role in one.roles),
            "" if one.limit_fen is None else format_yuan(one.limit_fen),
            word("yes" if is_present(one, desk.now) else "no", language),
            (one.deputy or "") + (" *" if acting_deputy(members, one, desk.now) else ""),
            "; ".join(_days(absence) for absence in one.absences),
        ]
        for one in staff
    )
    print(table(rows))


def _as_json(member: StaffMember, at: datetime) -> dict[str, Any]:
    return {
        "id": member.id,
        "name": member.name,
        "roles": list(member.roles),
        "limit_fen": member.limit_fen,
        "present": is_present(member, at),
        "deputy": member.deputy,
        "absences": [{"first": one.first.isoformat(), "last": one.last.isoformat()} for one in member.absences],
    }


def _days(absence: Absence) -> str:
    return f"{absence.first}" if absence.first == absence.last else f"{absence.first}..{absence.last}"


def import_file(file: Path, *, replacing: bool, as_json: bool) -> None:
    """`casework staff import`."""
    with sentences():
        desk = Desk()
        try:
            with file.open("rb") as opened:
                content = opened.read(MOST_BYTES + 1)
        except OSError as error:
            raise bad_input(f"{file} cannot be read: {error.strerror}.") from None
        try:
            with desk.made_shop.writing() as session:
                report = import_staff(session, file.name, content, zone=desk.policy.shop.timezone, replacing=replacing)
        except BadFile as error:
            raise bad_input(f"{sentence(error)} {_AS_IT_WAS}") from None
        except BadStaff as error:
            raise bad_input("\n".join([*(f"{file.name}, {fault}." for fault in error.faults), _AS_IT_WAS])) from None
    left = _left_behind(desk, report.gone)
    if as_json:
        print_json({**asdict(report), "assigned_to_gone": left})
        return
    counts = ", ".join(f"{len(ids)} {what}" for what, ids in asdict(report).items() if ids)
    print(f"{file.name}: {counts}.")
    for what in ("new", "changed", "kept", "gone"):
        ids: Sequence[str] = getattr(report, what)
        if ids:
            print(f"  {what}: {', '.join(ids)}")
    for case_id, staff_id in left.items():
        print(f"  {case_id} is still assigned to {staff_id}: casework reassign {case_id} STAFF")


def _left_behind(desk: Desk, gone: Sequence[str]) -> dict[str, str]:
    """Case id → who has left: the open cases that are assigned to them, as far as a server can say."""
    if not gone:
        return {}
    try:
        return run_async(_assigned(desk, gone))
    except Stop as stop:
        if not isinstance(stop.__cause__, NoServer):
            raise
        say("No server runs, so which open cases are assigned to those who have left is not known here.")
        return {}


async def _assigned(desk: Desk, staff_ids: Sequence[str]) -> dict[str, str]:
    return await (await desk.client()).assigned_to(staff_ids)


def note_absent(staff_id: str, first: str | None, last: str | None, *, as_json: bool) -> None:
    """`casework staff absent`."""
    with sentences():
        desk = Desk()
        today = desk.now.astimezone(desk.zone).date()
        try:
            begins = today if first is None else read_day(first)
            ends = None if last is None else read_day(last)
        except BadCell as bad:
            raise bad_input(sentence(str(bad))) from None
        if ends is None and first is not None:
            raise bad_input("Until when? Say so with --until DAY; without both days: until further notice.")
        if ends is not None and ends < max(begins, today):
            why = "before it begins" if ends < begins else "in the past"
            raise bad_input(f"An absence from {begins} until {ends} ends {why}.")
        try:
            with desk.shop.writing() as session:
                if ends is None:
                    set_present(session, staff_id, present=False)
                else:
                    note_absence(session, staff_id, Absence(begins, ends, desk.policy.shop.timezone))
        except BadRequest as error:
            raise bad_input(sentence(error.sentence)) from None
    _say_how(desk, staff_id, as_json=as_json)


def note_present(staff_id: str, *, as_json: bool) -> None:
    """`casework staff present`."""
    with sentences():
        desk = Desk()
        try:
            with desk.shop.writing() as session:
                note_return(session, staff_id, desk.now)
        except BadRequest as error:
            raise bad_input(sentence(error.sentence)) from None
    _say_how(desk, staff_id, as_json=as_json)


def _say_how(desk: Desk, staff_id: str, *, as_json: bool) -> None:
    with desk.shop.reading() as session:
        members = {one.id: one for one in all_staff(session)}
    member = members[staff_id]
    if as_json:
        print_json(_as_json(member, desk.now))
        return
    days = ", ".join(_days(one) for one in member.absences)
    text = f"{staff_id} is {'present' if is_present(member, desk.now) else 'absent'}"
    deputy = acting_deputy(members, member, desk.now)
    text += f"; {deputy} deputises" if deputy else ""
    print(f"{text}; absent on {days}." if days else f"{text}.")
