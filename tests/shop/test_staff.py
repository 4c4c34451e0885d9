"""The staff taken in from a file, whole or not at all, and who is noted as away or back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from importlib.resources import files

import pytest

from casework.authority import Absence, actor_named
from casework.shop.database import Database
from casework.shop.errors import BadFile, BadRequest
from casework.shop.staff import (
    StaffMember,
    all_staff,
    load_sample_if_empty,
    note_absence,
    note_return,
    sample_staff,
    set_present,
)
from casework.shop.staff_file import BadStaff, StaffReport, import_staff

SHANGHAI = "Asia/Shanghai"
HEADINGS = "id,name,roles,limit_fen,present,deputy,absent"
NOW = datetime(2026, 12, 3, 4, tzinfo=UTC)


def take_in(shop: Database, *rows: str, headings: str = HEADINGS, replacing: bool = False) -> StaffReport:
    content = "\n".join([headings, *rows, ""]).encode()
    with shop.writing() as session:
        return import_staff(session, "staff.csv", content, zone=SHANGHAI, replacing=replacing)


def faults(shop: Database, *rows: str, headings: str = HEADINGS, replacing: bool = False) -> list[str]:
    before = staff_of(shop)
    with pytest.raises(BadStaff) as bad:
        take_in(shop, *rows, headings=headings, replacing=replacing)
    assert staff_of(shop) == before, "nothing half-done"
    return bad.value.faults


def staff_of(shop: Database) -> list[StaffMember]:
    with shop.reading() as session:
        return all_staff(session)


# --- the file ---


def test_a_file_is_taken_in_and_the_same_one_again_changes_nothing(shop: Database) -> None:
    rows = [
        'a,A 1,"aftersale_agent, warehouse",50000,yes,b,2026-12-24; 2026-12-01..2026-12-05',
        "b,B 1,财务经理,,no,,",
    ]
    assert take_in(shop, *rows) == StaffReport(new=["a", "b"])
    first, second = staff_of(shop)
    assert (first.roles, first.limit_fen, first.present, first.deputy) == (
        ["aftersale_agent", "warehouse"],
        50_000,
        True,
        "b",
    )
    assert first.absences == (
        Absence(date(2026, 12, 1), date(2026, 12, 5), SHANGHAI),
        Absence(date(2026, 12, 24), date(2026, 12, 24), SHANGHAI),
    )
    assert (second.roles, second.limit_fen, second.present) == (["finance_manager"], None, False)
    assert take_in(shop, *rows) == StaffReport(unchanged=["a", "b"])
    assert take_in(shop, rows[0].replace("50000", "60000"), rows[1]) == StaffReport(changed=["a"], unchanged=["b"])


def test_chinese_headings_gb18030_and_a_spreadsheets_wrappings_are_understood(shop: Database) -> None:
    text = '工号,姓名,角色,权限(分),在岗,代理人,缺勤\r\n="a",售后1,售后客服、仓库,="500",是,,2026-12-01\r\n'
    with shop.writing() as session:
        import_staff(session, "staff.csv", text.encode("gb18030"), zone=SHANGHAI, replacing=False)
    (one,) = staff_of(shop)
    assert (one.id, one.roles, one.limit_fen) == ("a", ["aftersale_agent", "warehouse"], 500)


def test_without_the_column_the_absences_that_are_known_stay(shop: Database) -> None:
    take_in(shop, "a,A,warehouse,,yes,,2026-12-01")
    without = HEADINGS.removesuffix(",absent")
    assert take_in(shop, "a,A,warehouse,,yes,", headings=without) == StaffReport(unchanged=["a"])
    assert take_in(shop, "a,A,warehouse,,yes,,") == StaffReport(changed=["a"])
    assert staff_of(shop)[0].absences == ()


def test_the_sample_staff_is_a_file_that_is_taken_in_as_it_is(shop: Database) -> None:
    content = files("casework").joinpath("staff.csv").read_bytes()
    with shop.writing() as session:
        load_sample_if_empty(session)
        report = import_staff(session, "staff.csv", content, zone=SHANGHAI, replacing=True)
    assert report == StaffReport(unchanged=[one.id for one in sample_staff()])


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("a,A,boss,,yes,,", "line 3: roles: there is no role 'boss'; there is presale_agent, "),
        ("a,A,,,yes,,", "line 3: roles: at least one is wanted"),
        ("a,A,warehouse,500.00,yes,,", "line 3: limit_fen: a whole number of fen is wanted"),
        ("a,A,warehouse,-1,yes,,", "line 3: limit_fen: "),
        ("a,A,warehouse,,maybe,,", "line 3: present: yes or no is wanted"),
        ("a,A,warehouse,,,,", "line 3: present: yes or no is wanted"),
        ("a,,warehouse,,yes,,", "line 3: name: "),
        ("a,A\x1b[2J,warehouse,,yes,,", "line 3: name: holds a sign that nobody sees"),
        (",A,warehouse,,yes,,", "line 3: id: "),
        ("system,A,warehouse,,yes,,", "line 3: id: "),
        ("13900001111,A,warehouse,,yes,,", "line 3: id: "),
        ("a,A,warehouse,,yes,a,", "line 3: deputy: a cannot deputise for themselves"),
        ("a,A,warehouse,,yes,nobody.1,", "line 3: deputy: nobody.1 is not on the staff list"),
        ("z,A,warehouse,,yes,,", "line 3: id: z stands on line 2 already"),
        ("a,A,warehouse,,yes,,tomorrow", "line 3: 'tomorrow' is not a day: write it as 2026-12-01"),
        ("a,A,warehouse,,yes,,2026-02-30", "line 3: '2026-02-30' is not a day"),
        ("a,A,warehouse,,yes,,2026-12-05..2026-12-01", "line 3: absent: 2026-12-05..2026-12-01 ends before it begins"),
        ("a,A,warehouse,,yes", "line 3: has 5 cells, the headings are 7"),
    ],
)
def test_a_wrong_row_is_named_with_its_line_and_nothing_is_taken_in(shop: Database, row: str, fault: str) -> None:
    (found,) = faults(shop, "z,Z,warehouse,,yes,,", row)
    assert found.startswith(fault)


def test_every_wrong_row_is_named(shop: Database) -> None:
    assert len(faults(shop, "a,A,boss,,yes,,", "b,B,warehouse,x,yes,,", "c,C,warehouse,,yes,,")) == 2


@pytest.mark.parametrize(
    ("headings", "why"),
    [
        ("id,name,roles,limit_fen,present", "staff.csv: lacks the column deputy"),
        ("id,name", "staff.csv: lacks the columns roles, limit_fen, present, deputy"),
        ("id,name,roles,limit,present,deputy", "staff.csv: has a column 'limit', which a staff list has not"),
        ("id,name,roles,limit_fen,present,deputy,工号", "staff.csv: has the column id twice"),
    ],
)
def test_other_columns_are_no_staff_list(shop: Database, headings: str, why: str) -> None:
    with pytest.raises(BadFile, match=why):
        take_in(shop, headings.replace("limit_fen", "1"), headings=headings)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04....", b"\x00\x01", HEADINGS.encode()])
def test_what_is_no_file_of_rows_is_refused(shop: Database, content: bytes) -> None:
    with pytest.raises(BadFile), shop.writing() as session:
        import_staff(session, "staff.csv", content, zone=SHANGHAI, replacing=False)


# --- deputies ---


def test_deputies_that_come_round_are_refused_also_through_somebody_who_is_not_in_the_file(shop: Database) -> None:
    assert faults(
        shop, "x,X,warehouse,,yes,a,", "a,A,warehouse,,yes,b,", "b,B,warehouse,,no,c,", "c,C,warehouse,,yes,a,"
    ) == ["line 3: deputy: the deputies go in a circle: a → b → c → a"]
    take_in(shop, "a,A,warehouse,,yes,b,", "b,B,warehouse,,yes,,")
    assert faults(shop, "b,B,warehouse,,yes,a,") == ["line 2: deputy: the deputies go in a circle: b → a → b"]


def test_with_replace_a_deputy_must_be_in_the_file(shop: Database) -> None:
    take_in(shop, "a,A,warehouse,,yes,,", "b,B,warehouse,,yes,,")
    assert take_in(shop, "a,A,warehouse,,yes,b,").kept == ["b"]
    assert faults(shop, "a,A,warehouse,,yes,b,", replacing=True) == ["line 2: deputy: b is not on the staff list"]


# --- who is not in the file ---


def test_who_is_not_in_the_file_is_kept_or_has_left_and_may_come_back(shop: Database) -> None:
    take_in(shop, "a,A,warehouse,,yes,,", "b,B,warehouse,,yes,,")
    assert take_in(shop, "a,A,warehouse,,yes,,") == StaffReport(unchanged=["a"], kept=["b"])
    assert take_in(shop, "a,A,warehouse,,yes,,", replacing=True) == StaffReport(unchanged=["a"], gone=["b"])
    assert actor_named(staff_of(shop), "b", NOW) == (None, "b has left the shop")
    assert take_in(shop, "a,A,warehouse,,yes,,", replacing=True) == StaffReport(unchanged=["a"])
    assert faults(shop, "a,A,warehouse,,yes,b,") == ["line 2: deputy: b is not on the staff list"]
    assert take_in(shop, "b,B,warehouse,,yes,,") == StaffReport(changed=["b"], kept=["a"])
    assert actor_named(staff_of(shop), "b", NOW)[0] is not None
    assert [one.id for one in staff_of(shop)] == ["b", "a"], "the file's order comes first"


# --- away and back ---


def away(shop: Database, first: str, last: str) -> list[str]:
    with shop.writing() as session:
        noted = note_absence(session, "a", Absence(date.fromisoformat(first), date.fromisoformat(last), SHANGHAI))
    return [f"{one.first}..{one.last}" for one in noted.absences]


def test_absences_are_noted_and_what_touches_is_one(shop: Database) -> None:
    take_in(shop, "a,A,warehouse,,yes,,")
    assert away(shop, "2026-12-10", "2026-12-12") == ["2026-12-10..2026-12-12"]
    assert away(shop, "2026-12-01", "2026-12-05") == ["2026-12-01..2026-12-05", "2026-12-10..2026-12-12"]
    assert away(shop, "2026-12-06", "2026-12-09") == ["2026-12-01..2026-12-12"]
    with pytest.raises(BadRequest, match="cannot end on"):
        away(shop, "2026-12-06", "2026-12-01")


@pytest.mark.parametrize(
    ("at", "left"),
    [
        ("2026-12-03T12:00:00+08:00", ["2026-12-01..2026-12-02", "2026-12-10..2026-12-12"]),
        ("2026-12-01T00:00:00+08:00", ["2026-12-10..2026-12-12"]),
        ("2026-12-07T12:00:00+08:00", ["2026-12-01..2026-12-05", "2026-12-10..2026-12-12"]),
    ],
)
def test_who_is_back_is_there_from_that_day_on_and_later_absences_stay(
    shop: Database, at: str, left: list[str]
) -> None:
    take_in(shop, "a,A,warehouse,,no,,2026-12-01..2026-12-05; 2026-12-10..2026-12-12")
    with shop.writing() as session:
        back = note_return(session, "a", datetime.fromisoformat(at))
    assert (back.present, [f"{one.first}..{one.last}" for one in back.absences]) == (True, left)


def test_nobody_and_who_has_left_is_neither_away_nor_back(shop: Database) -> None:
    take_in(shop, "a,A,warehouse,,yes,,", "b,B,warehouse,,yes,,")
    take_in(shop, "b,B,warehouse,,yes,,", replacing=True)
    for staff_id in ("a", "nobody.1"):
        with pytest.raises(BadRequest, match="nobody on the staff list"), shop.writing() as session:
            note_return(session, staff_id, NOW)
        with pytest.raises(BadRequest, match="nobody on the staff list"), shop.writing() as session:
            set_present(session, staff_id, present=False)
