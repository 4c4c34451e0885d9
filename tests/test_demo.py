"""The demo deletes nothing but what a demo made, finds its orders in any shop, and fails in one sentence."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from casework.case import CaseView
from casework.demo.__main__ import invitation, require_all_flows, say_left_out
from casework.demo.choosing import Found, Shop, choose, look_round
from casework.demo.commands import Commands
from casework.demo.failing import DemoFailed
from casework.demo.home import make_room, surroundings
from casework.demo.stories import LEFT, STORIES, Ending, station_withdrawn
from casework.demo.telling import Ledger, Played, check
from casework.policy import load_policy
from casework.rules.parcels import Scanned
from casework.rules.patrol import Cause
from casework.sample_shop import write_sample_shop
from casework.shop.courier import shown_scans
from casework.shop.database import Database
from casework.shop.importing import import_files
from casework.shop.patrol import needing_case, next_open
from state_machines.flows import FLOWS

ROOT = Path(__file__).parents[1]


def demo(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "casework.demo", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_folder_that_no_demo_made_is_refused_and_nothing_in_it_is_touched(tmp_path: Path) -> None:
    mine = tmp_path / "accounts.csv"
    mine.write_text("mine")
    code, said = demo("--home", str(tmp_path))
    assert code == 1
    assert said == (
        f"The demo failed: {tmp_path} is not empty and was not made by a demo: name another folder with --home.\n"
    )
    assert mine.read_text() == "mine"


def test_what_an_earlier_demo_left_goes(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    make_room(home)
    (home / "shop.db").write_text("old")
    make_room(home)
    assert not (home / "shop.db").exists()


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    make_room(tmp_path)
    with pytest.raises(DemoFailed, match="is no folder"):
        make_room(next(tmp_path.iterdir()))


@pytest.mark.parametrize("shop", ["nowhere", "."])
def test_a_shop_without_exports_is_one_sentence_and_nothing_is_started(tmp_path: Path, shop: str) -> None:
    code, said = demo("--shop", str(tmp_path / shop), "--home", str(tmp_path / "home"))
    assert (code, said.count("\n")) == (1, 1)
    assert not (tmp_path / "home").exists()


def test_what_no_demo_made_is_never_deleted(tmp_path: Path) -> None:
    make_room(tmp_path / "home")
    (tmp_path / "home" / "shop.db").touch()
    make_room(tmp_path / "home")
    (tmp_path / "home" / "mine.txt").write_text("mine")
    with pytest.raises(DemoFailed, match=r"mine\.txt"):
        make_room(tmp_path / "home")
    assert (tmp_path / "home" / "mine.txt").read_text() == "mine"


def test_the_demo_plays_in_its_own_shop_whatever_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASEWORK_DATABASE_URL", "sqlite:////elsewhere/shop.db")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "cluster:7233")
    around = surroundings(tmp_path)
    assert around["CASEWORK_DATABASE_URL"] == f"sqlite:///{tmp_path / 'shop.db'}"
    assert "TEMPORAL_ADDRESS" not in around


# --- the sample shop ---


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp("sample")
    with closing(Database(f"sqlite:///{folder / 'shop.db'}")) as database:
        database.migrate()
        report = import_files(database, write_sample_shop(folder / "exports"), as_of_now=datetime.now(UTC))
        assert report.rejected == 0
        yield database


def in_trouble(database: Database) -> dict[str, Cause]:
    """By order, why the patrol opens a case for its parcel."""
    policy, now = load_policy(None), datetime.now(UTC)
    with database.writing() as session:
        parcels = next_open(session, policy, after=0).parcels
        words: dict[str, Scanned] = {}
        for parcel in parcels:
            for scan in shown_scans(session, parcel.waybill, now)[:1]:
                words[parcel.waybill] = Scanned(code=scan.code, at=scan.at, answered_at=now)
        needing = needing_case(session, policy, parcels, words, at=now)
    return {one.parcel.order_id: one.finding.cause for one in needing}


def look(database: Database) -> Shop:
    """The sample shop once the patrol has opened its cases."""
    shop, cases = look_round(database, load_policy(None)), in_trouble(database)
    return replace(
        shop,
        orders=[replace(one, parcel_case="a case") if one.order_id in cases else one for one in shop.orders],
    )


def test_the_same_files_come_of_every_run(tmp_path: Path) -> None:
    first, second = (write_sample_shop(tmp_path / name) for name in "ab")
    assert [one.name for one in first] == [one.name for one in second]
    assert [one.read_bytes() for one in first] == [one.read_bytes() for one in second]


def test_the_patrol_finds_the_three_parcels_in_trouble_and_no_other(sample: Database) -> None:
    assert sorted(in_trouble(sample).values()) == ["exception", "exception", "overdue"]


def test_every_story_and_every_case_left_has_an_order_in_the_sample_shop(sample: Database) -> None:
    wanted = [*STORIES, *LEFT]
    chosen = choose(look(sample), [(one, one.wish) for one in wanted])
    assert [one.title for one in wanted if one not in chosen] == []
    assert len({order.order_id for order in chosen.values()}) == len(wanted)


def test_the_manuals_case_is_there_and_ems_has_nothing_to_show_of_it_yet(sample: Database) -> None:
    shop = look(sample)
    (order,) = station_withdrawn(shop)
    assert (order.province, order.last_word.state if order.last_word else None) == ("内蒙古", "problem")
    sent_on = shop.sent_on
    assert sent_on is not None
    assert sent_on.courier == "ems"
    with sample.reading() as session:
        assert shown_scans(session, sent_on.waybill, shop.now) == []
        next_day = shown_scans(session, sent_on.waybill, shop.now + timedelta(days=1))
    assert next_day[0].code == "301"


def test_every_flow_has_at_least_two_stories() -> None:
    told = Counter(story.flow for story in STORIES)
    assert told.keys() == FLOWS.keys()
    assert min(told.values()) >= 2
    assert len({one.flow for one in LEFT}) == len(LEFT) == 3


# --- choosing ---


def test_who_has_the_least_choice_chooses_first_and_no_order_is_taken_twice(sample: Database) -> None:
    shop = look_round(sample, load_policy(None))
    one, two = shop.orders[:2]

    def any_of(_: Shop) -> list[Found]:
        return [one, two]

    def only(_: Shop) -> list[Found]:
        return [one]

    assert choose(shop, [("any", any_of), ("only", only)]) == {"only": one, "any": two}
    assert choose(shop, [("first", only), ("second", only)]) == {"first": one}


def test_our_own_shop_has_an_order_for_each_and_another_shop_for_each_flow(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DemoFailed, match=f"no order for the story: {STORIES[0].title}"):
        say_left_out(STORIES[:1], own=True)
    say_left_out(STORIES[:1], own=False)
    assert STORIES[0].title in capsys.readouterr().out
    require_all_flows(STORIES)
    with pytest.raises(DemoFailed, match="problem parcel"):
        require_all_flows([story for story in STORIES if story.flow != "problem-parcel"])


# --- what came of it ---


def played(sample: Database, ending: Ending, *, outcome: str = "refunded", links: Sequence[str] = ()) -> Played:
    order = look_round(sample, load_policy(None)).orders[0]
    view = CaseView(
        case_id=ending.case_id,
        flow="refund-before-shipping",
        order_id=order.order_id,
        state=outcome,
        final=True,
        outcome=outcome,
        amount_fen=order.amount_fen,
        version=3,
        waiting_for=[],
        assignee=None,
        due=None,
        if_silent=None,
        opened_by="aftersale.1",
        opened_at=datetime.now(UTC),
        trail=[],
        policy="1",
        links=list(links),
        note=None,
        kept=[],
    )
    return Played("a story", order, ending, view)


def test_an_ending_that_is_not_the_expected_one_fails(sample: Database) -> None:
    with pytest.raises(DemoFailed, match="one ended as kept, not refunded"):
        check(sample, [played(sample, Ending("one", "refunded"), outcome="kept")])
    assert check(sample, [played(sample, Ending("one", "kept"), outcome="kept")]) == Ledger(paid=0, twice=0)


def test_a_sum_that_is_not_the_expected_one_fails(sample: Database) -> None:
    with pytest.raises(DemoFailed, match=r"one paid 0\.00, not 0\.01"):
        check(sample, [played(sample, Ending("one", "refunded", 1))])


def test_a_link_that_goes_one_way_fails(sample: Database) -> None:
    both = [played(sample, Ending("one", "refunded"), links=["two"]), played(sample, Ending("two", "refunded"))]
    with pytest.raises(DemoFailed, match="one is linked to two, and that not to it"):
        check(sample, both)


def test_where_the_desk_does_not_stay_the_invitation_starts_it_again() -> None:
    told, commands = "export CASEWORK_HOME=demo", ["approve 1 --by a", "inbox --by b"]
    asked = [f"  . .venv/bin/activate; {told}", "  casework approve 1 --by a", "  casework inbox --by b"]
    there, gone = (invitation(told, commands, cases=3, stays=stays).splitlines() for stays in (True, False))
    assert there == ["Your turn: 3 cases wait. In another terminal, in this folder:", *asked]
    assert gone[1:3] == [asked[0], "  casework up     # stays until Ctrl-C; the rest in another terminal:"]
    assert gone[3:] == asked
    assert gone[0].endswith("The desk stops with this; start it again in this folder:")


# --- commands ---


async def test_a_command_has_the_demos_home_its_own_streams_and_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASEWORK_HOME", str(tmp_path / "mine"))
    commands = Commands(tmp_path / "demo")
    staff, none = await asyncio.gather(commands("staff", "--json"), commands("nothing"))
    assert (staff.code, staff.out, staff.err.count("\n")) == (1, "", 1)
    assert (none.code, none.out, none.err.count("\n")) == (2, "", 1)
    files = write_sample_shop(tmp_path / "exports")
    (tmp_path / "demo").mkdir()
    imported = await commands("import", "--json", *map(str, files))
    assert imported.code == 0, imported.err
    assert len(json.loads((await commands("staff", "--json")).out)) == 23
    assert not (tmp_path / "mine").exists()
