"""The commands about the staff, on a shop of their own."""

from __future__ import annotations

import csv
import io
import re
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from casework.cli.errors import BAD_INPUT, DONE
from casework.client import CaseworkClient
from casework.shop.staff import all_staff
from tests.cli.commands import Casework
from tests.desk import Desk

HEADINGS = "id,name,roles,limit_fen,present,deputy,absent\n"
STAFF = HEADINGS + "a.1,A,finance_manager,,yes,b.1,\nb.1,B,store_manager,,yes,,\n"
LEAVER = "staff.leaver"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, casework: Casework) -> Path:  # noqa: ARG001 - comes first
    """A staff file, and a shop that is not there yet."""
    monkeypatch.setenv("CASEWORK_DATABASE_URL", f"sqlite:///{tmp_path / 'own.db'}")
    path = tmp_path / "staff.csv"
    path.write_text(STAFF, "utf-8")
    return path


def today() -> datetime:
    return datetime.now(ZoneInfo("Asia/Shanghai"))


async def test_a_staff_file_makes_the_list_of_a_new_shop(casework: Casework, file: Path) -> None:
    first = await casework("staff", "import", str(file))
    assert (first.code, first.err) == (DONE, "")
    assert first.out == "staff.csv: 2 new.\n  new: a.1, b.1\n"
    again = (await casework("staff", "import", str(file), "--json")).json
    assert (again["new"], again["unchanged"]) == ([], ["a.1", "b.1"])
    assert [one["id"] for one in (await casework("staff", "--json")).json] == ["a.1", "b.1"], "and no sample staff"


async def test_a_wrong_file_is_refused_whole_with_every_line(casework: Casework, file: Path) -> None:
    await casework("staff", "import", str(file))
    wrong = file.parent / "staff.csv"
    wrong.write_text(HEADINGS + "a.1,A,boss,,yes,,\nb.1,B,store_manager,1.5,yes,,\nc.1,C,warehouse,,yes,,\n", "utf-8")
    refused = await casework("staff", "import", str(file), "--replace")
    assert refused.code == BAD_INPUT
    lines = refused.err.splitlines()
    assert lines[0].startswith("staff.csv, line 2: roles: there is no role 'boss'")
    assert lines[1].startswith("staff.csv, line 3: limit_fen: a whole number of fen is wanted")
    assert refused.err.endswith("The staff list is as it was.\n")
    assert [one["roles"] for one in (await casework("staff", "--json")).json] == [
        ["finance_manager"],
        ["store_manager"],
    ]
    assert (await casework("staff", "import", str(file.with_name("none.csv")))).code == BAD_INPUT


async def test_somebody_is_away_and_back(casework: Casework, file: Path) -> None:
    await casework("staff", "import", str(file))
    first, last = today().date(), today().date() + timedelta(days=4)
    away = await casework("staff", "absent", "a.1", "--until", str(last))
    assert away.out == f"a.1 is absent; b.1 deputises; absent on {first}..{last}.\n"
    shown = (await casework("staff")).out.splitlines()[1]
    assert re.split(r"\s{2,}", shown)[-2:] == ["b.1 *", f"{first}..{last}"]
    told = (await casework("staff", "--json")).json[0]
    assert (told["present"], told["absences"]) == (False, [{"first": str(first), "last": str(last)}])
    later = last + timedelta(days=9)
    await casework("staff", "absent", "a.1", "--from", str(later), "--until", str(later))
    assert (await casework("staff", "present", "a.1")).out == f"a.1 is present; absent on {later}.\n"
    assert (await casework("staff", "absent", "b.1")).out == "b.1 is absent.\n"
    assert (await casework("staff", "present", "b.1", "--json")).json["present"] is True


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["absent", "nobody.1"], "Nobody on the staff list is called nobody.1."),
        (["present", "nobody.1"], "Nobody on the staff list is called nobody.1."),
        (["absent", "a.1", "--from", "2099-01-01"], "Until when? "),
        (["absent", "a.1", "--from", "2099-01-02", "--until", "2099-01-01"], "ends before it begins."),
        (["absent", "a.1", "--from", "2001-01-01", "--until", "2001-01-02"], "ends in the past."),
        (["absent", "a.1", "--until", "friday"], "'friday' is not a day: write it as 2026-12-01."),
    ],
)
async def test_what_cannot_be_noted_is_one_sentence(
    casework: Casework, file: Path, arguments: list[str], why: str
) -> None:
    await casework("staff", "import", str(file))
    done = await casework("staff", *arguments)
    assert (done.code, len(done.err.splitlines())) == (BAD_INPUT, 1)
    assert why in done.err


async def test_the_open_cases_of_who_leaves_are_named(casework: Casework, desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "staff.csv"
    everybody = as_file(desk)
    path.write_text(everybody + f"{LEAVER},S,aftersale_supervisor,,yes,,\n", "utf-8")
    assert (await casework("staff", "import", str(path), "--json")).json["new"] == [LEAVER]
    order = desk.order(prices=((50_000, 1),))
    case = (await casework("start", "refund", "--order", order, "--by", "aftersale.1", "--reason", "x")).out.strip()
    await casework("submit", case, "buyer_insists", "--by", "aftersale.1")
    assert (await casework("reassign", case, LEAVER, "--by", LEAVER)).code == DONE
    handle = desk.client.get_workflow_handle(case)

    path.write_text(everybody, "utf-8")
    done = await casework("staff", "import", str(path), "--replace")
    assert f"  gone: {LEAVER}\n  {case} is still assigned to {LEAVER}: casework reassign {case} STAFF\n" in done.out
    assert (await casework("approve", case, "--by", LEAVER)).err == f"{LEAVER} has left the shop.\n"
    assert (await casework("reassign", case, "aftersale-lead.1", "--by", "aftersale-lead.5")).code == DONE
    assert LEAVER not in (await casework("staff")).out
    client = CaseworkClient(desk.client, desk.database)
    assert (await client.assigned_to(["aftersale-lead.1"]))[case] == "aftersale-lead.1"
    await handle.terminate()
    assert case not in await client.assigned_to(["aftersale-lead.1"])


def as_file(desk: Desk) -> str:
    """The staff of the tests' shop as a file."""
    with desk.database.reading() as session:
        staff = [one for one in all_staff(session) if not one.gone]
    listed = {one.id for one in staff}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADINGS.strip().split(","))
    for one in staff:
        days = "; ".join(f"{absence.first}..{absence.last}" for absence in one.absences)
        deputy = one.deputy if one.deputy in listed else ""
        present = "yes" if one.present else "no"
        limit = "" if one.limit_fen is None else one.limit_fen
        writer.writerow([one.id, one.name, ", ".join(one.roles), limit, present, deputy, days])
    return text.getvalue()
