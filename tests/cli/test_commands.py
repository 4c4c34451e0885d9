"""The commands on a real server: a case is opened, decided and looked at; a "no" is exit 3, a mistake exit 2."""

from __future__ import annotations

import asyncio
import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from casework.cli.errors import BAD_INPUT, DONE, FAILED, REFUSED
from casework.client import CaseworkClient
from casework.server_program import find_server_program
from tests.cli.commands import Casework
from tests.desk import FLOW, Desk

ROOT = Path(__file__).parents[2]
ALL = ("--limit", "100000")
"""The tests of one run share a shop: many cases wait there."""


async def opened(casework: Casework, order: str, *more: str) -> str:
    """Open a refund by the command; gives the case id."""
    done = await casework("start", "refund", "--order", order, "--by", "aftersale.1", *more)
    assert done.code == DONE, done.err
    return done.out.strip()


async def test_a_refund_is_opened_decided_and_looked_at_by_commands_alone(casework: Casework, desk: Desk) -> None:
    order = desk.order(prices=((143_700, 1),))
    case = await opened(casework, order, "--reason", "尺码不合适")
    assert case == f"{FLOW}-{order}"

    insisted = await casework("submit", order, "buyer_insists", "--by", "aftersale.1")
    assert insisted.code == DONE
    assert "awaiting_supervisor" in insisted.out
    assert (await casework("approve", case, "--by", "aftersale-lead.1")).code == DONE

    shown = await casework("show", order[-8:])
    assert "awaiting finance awaiting_finance · 1,437.00" in shown.out
    assert "then finance_silent → refunding (pays 1,437.00)" in shown.out
    assert f"casework approve {order[-8:]}" in shown.out
    assert "to the buyer, " in shown.out
    told = (await casework("show", case, "--json")).json
    assert told["tasks"] == []
    assert "refund_requested" in [one["template"] for one in told["told_the_buyer"]]

    approved = await casework("approve", case, "--by", "finance.1", "--json")
    assert approved.json["state"] in {"refunding", "settling", "refunded"}
    await desk.end(desk.client.get_workflow_handle(case))
    listed = await casework("cases", "--order", order, "--closed", "--json")
    assert [(one["case_id"], one["outcome"], one["amount_fen"]) for one in listed.json] == [(case, "refunded", 143_700)]


async def test_no_is_exit_3_and_says_why(casework: Casework, desk: Desk) -> None:
    case = await opened(casework, desk.order(prices=((143_700, 1),)), "--reason", "x")
    await casework("submit", case, "buyer_insists", "--by", "aftersale.1")
    refused = await casework("approve", case, "--by", "aftersale.1")
    assert refused.code == REFUSED
    assert "aftersale_supervisor" in refused.err
    too_early = await casework("submit", case, "give_reason", "--set", "reason=x", "--by", "aftersale.1")
    assert too_early.code == REFUSED
    assert "not possible in awaiting_supervisor" in too_early.err


async def test_a_second_case_of_the_same_lines_is_refused_and_the_open_one_named(
    casework: Casework, desk: Desk
) -> None:
    order = desk.order(prices=((10_000, 1), (5_000, 1)))
    case = await opened(casework, order)
    again = await casework("start", FLOW, "--order", order, "--by", "aftersale.1")
    assert again.code == REFUSED
    assert case in again.err
    one_line = await casework("start", FLOW, "--order", order, "--lines", "2", "--by", "aftersale.1")
    assert one_line.code == REFUSED
    assert case in one_line.err


async def test_naming_every_line_is_the_same_as_naming_none(casework: Casework, desk: Desk) -> None:
    order = desk.order(prices=((10_000, 1), (5_000, 2), (1_000, 1)))
    assert await opened(casework, order, "--lines", "3,1") == f"{FLOW}-{order}-1.3"
    order = desk.order(prices=((10_000, 1), (5_000, 2)))
    assert await opened(casework, order, "--lines", "2,1") == f"{FLOW}-{order}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--reason", "王小明要退款"], "name"),
        (["--reason", "打 138-1234-5678"], "mobile number"),
        (["--lines", "7"], "no line 7"),
        (["--by", "nobody.1"], "by"),
        (["--by", "presale.1"], "opened by"),
        (["--set", "colour=red"], "colour"),
        (["--platform-deadline", "soon"], "platform_deadline: 'soon' is not a time"),
    ],
)
async def test_a_bad_start_is_refused_before_anything_is_sent(
    casework: Casework, desk: Desk, arguments: list[str], said: str
) -> None:
    order = desk.order()
    done = await casework("start", "refund", "--order", order, "--by", "aftersale.1", *arguments)
    assert done.code == BAD_INPUT
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert (await casework("show", order)).code == BAD_INPUT


async def test_who_acts_must_be_said(casework: Casework, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    order = desk.order()
    nobody = await casework("start", "refund", "--order", order)
    assert nobody.code == BAD_INPUT
    assert "CASEWORK_STAFF" in nobody.err
    monkeypatch.setenv("CASEWORK_STAFF", "aftersale.1")
    assert (await casework("start", "refund", "--order", order)).code == DONE


async def test_several_matches_are_listed_and_nothing_is_done(casework: Casework, desk: Desk) -> None:
    order = desk.order(prices=((10_000, 1), (5_000, 1)))
    first = await opened(casework, order, "--lines", "1")
    second = await opened(casework, order, "--lines", "2")
    several = await casework("cancel", order)
    assert several.code == BAD_INPUT
    assert first in several.err
    assert second in several.err
    assert (await casework("show", first, "--json")).json["final"] is False


async def test_a_case_is_found_by_its_waybill(casework: Casework, desk: Desk) -> None:
    order = desk.order(prices=((10_000, 1), (5_000, 1)), shipped=[1])
    case = await opened(casework, order, "--lines", "2")
    assert (await casework("show", f"YT{order[-11:]}", "--json")).json["case_id"] == case


async def test_what_no_case_matches_is_said(casework: Casework) -> None:
    done = await casework("show", "no-such-case")
    assert done.code == BAD_INPUT
    assert done.err == "No case matches no-such-case.\n"
    rounded = await casework("show", "3300012345678900000")
    assert "spreadsheet" in rounded.err


async def test_the_inbox_holds_what_a_person_or_a_role_may_decide(casework: Casework, desk: Desk) -> None:
    order = desk.order(prices=((143_700, 1),))
    case = await opened(casework, order, "--reason", "x")
    await casework("submit", case, "buyer_insists", "--by", "aftersale.1")

    async def listed(*arguments: str) -> list[str]:
        return [one["case_id"] for one in (await casework("inbox", "--json", *ALL, *arguments)).json["cases"]]

    assert case in await listed("--role", "aftersale_supervisor")
    assert case in await listed("--by", "aftersale-lead.1")
    assert case in await listed("--by", "aftersale.2"), "a deputy sees what the absent person would"
    assert case not in await listed("--by", "finance.3")
    assert case not in await listed("--by", "aftersale-lead.1", "--overdue")
    whole = (await casework("inbox", "--role", "aftersale_supervisor", "--json", *ALL)).json
    due = [one["due"] for one in whole["cases"]]
    assert due == sorted(due)
    await casework("approve", case, "--by", "aftersale-lead.1")
    assert case not in await listed("--role", "aftersale_supervisor"), "at once"
    absent = await casework("inbox", "--by", "aftersale-lead.3")
    assert (absent.code, "absent" in absent.err) == (BAD_INPUT, True)
    assert (await casework("inbox", "--role", "king")).code == BAD_INPUT


async def test_a_fact_that_comes_too_early_is_kept_and_said_so(casework: Casework, desk: Desk) -> None:
    case = await opened(casework, desk.order())
    kept = await casework("submit", case, "parcel_back", "--by", "returns.1")
    assert kept.code == DONE
    assert "kept" in kept.out
    assert "parcel_back" in (await casework("show", case)).out


async def test_a_decision_on_a_case_that_has_ended_says_so(casework: Casework, desk: Desk) -> None:
    case = await opened(casework, desk.order())
    assert "cancelled" in (await casework("cancel", case)).out
    late = await casework("submit", case, "buyer_insists", "--by", "aftersale.1")
    assert late.code == REFUSED
    assert "has ended" in late.err
    assert (await casework("cancel", case)).code == REFUSED


async def test_calling_off_with_a_reason_is_a_persons_decision(casework: Casework, desk: Desk) -> None:
    case = await opened(casework, desk.order())
    assert (await casework("cancel", case, "--note", "重复", "--by", "aftersale.1")).code == REFUSED
    done = await casework("cancel", case, "--note", "重复", "--by", "aftersale-lead.1", "--json")
    assert done.json["trail"][-1]["trigger"] in {"cancel_case", "undo"}


async def test_the_plain_temporal_commands_that_are_printed_do_the_same(casework: Casework, desk: Desk) -> None:
    program = await asyncio.to_thread(find_server_program, print)
    order = desk.order()

    async def shell(command: str) -> str:
        name, _, rest = command.strip().partition(" ")
        assert name == "temporal"
        done = await asyncio.to_thread(
            subprocess.run,
            ["sh", "-c", f'exec "$PROGRAM" {rest}'],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PROGRAM": str(program.path)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    started = await casework("start", "refund", "--order", order, "--reason", "it's", "--by", "aftersale.1", "--print")
    assert (await casework("show", order)).code == BAD_INPUT, "nothing was sent"
    await shell(started.out)
    handle = desk.client.get_workflow_handle(f"{FLOW}-{order}")
    await desk.until(handle, "persuading")
    insisted = await casework("submit", order, "buyer_keeps_order", "--by", "aftersale.1", "--print")
    assert "releasing" in await shell(insisted.out) or (await desk.end(handle)).outcome == "kept"


async def test_an_order_that_is_held_does_not_ship_and_the_cases_hear_of_the_rest(
    casework: Casework, desk: Desk
) -> None:
    order = desk.order()
    case = await opened(casework, order)
    held = await casework("shop", "ship", order)
    assert held.code == REFUSED
    assert case in held.err
    told = await casework("shop", "refunded", order, "--json")
    assert told.json["told"] == [case]
    assert (await desk.end(desk.client.get_workflow_handle(case))).outcome == "refunded"
    assert (await casework("shop", "ship", "3300019999999999999")).code == BAD_INPUT
    free = desk.order()
    assert "shipped as CW" in (await casework("shop", "ship", free)).out
    assert (await casework("shop", "flag", free, "pink")).code == BAD_INPUT
    assert (await casework("shop", "flag", free, "green")).code == DONE
    assert (await casework("shop", "fail", "payment", free, "never")).code == DONE


async def test_the_csv_keeps_every_digit_in_a_spreadsheet(casework: Casework, desk: Desk, tmp_path: Path) -> None:
    case = await opened(casework, desk.order())
    file = tmp_path / "cases.csv"
    assert (await casework("cases", "--csv", str(file))).code == DONE
    raw = file.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(raw.decode("utf-8-sig").splitlines()))
    assert f'="{case}"' in [row["case_id"] for row in rows]
    assert all(row["order_id"].startswith('="33') for row in rows)


async def test_the_diagram_of_a_case_shows_its_path(casework: Casework, desk: Desk) -> None:
    case = await opened(casework, desk.order())
    flow = await casework("diagram", "refund")
    assert "stateDiagram-v2" in flow.out
    assert (await casework("diagram", case)).out != flow.out
    assert (await casework("diagram", "refund", "--format", "svg")).out.startswith("<svg")
    assert (await casework("diagram", "nonsense")).code == BAD_INPUT


async def test_the_staff_and_the_policy_are_shown(casework: Casework, tmp_path: Path) -> None:
    staff = (await casework("staff", "--json")).json
    assert staff[0] == {
        "id": "presale.1",
        "name": staff[0]["name"],
        "roles": ["presale_agent"],
        "limit_fen": None,
        "present": True,
        "deputy": None,
        "absences": [],
    }
    assert "refund_before_shipping.agent_limit_fen" in (await casework("policy")).out
    wrong = tmp_path / "policy.toml"
    wrong.write_text("[refund_before_shipping]\nagent_limit_fen = -1\n")
    refused = await casework("policy", "check", str(wrong))
    assert refused.code == BAD_INPUT
    assert "agent_limit_fen" in refused.err


LIBRARIES = "import temporalio.client, sqlalchemy.orm, pydantic, typer, rich.table"


async def test_a_command_against_a_running_worker_takes_little_longer_than_loading_its_libraries(
    casework: Casework, desk: Desk
) -> None:
    """Beside them and not in seconds: the tests share their machine."""
    case = await opened(casework, desk.order())

    async def quickest_of(*arguments: str) -> float:
        quickest = float("inf")
        for _ in range(3):
            before = time.perf_counter()
            done = await asyncio.to_thread(
                subprocess.run, [sys.executable, *arguments], cwd=ROOT, capture_output=True, check=False
            )
            quickest = min(quickest, time.perf_counter() - before)
            assert done.returncode == DONE, done.stderr
        return quickest

    assert await quickest_of("-m", "casework", "show", case) < 3 * await quickest_of("-c", LIBRARIES)


async def test_the_page_of_a_case_in_a_cluster_of_unknown_ui_is_not_made_up(casework: Casework, desk: Desk) -> None:
    case = await opened(casework, desk.order())
    done = await casework("open", case, "--print")
    assert done.code == FAILED
    assert case in done.err


GIFTS = "gift_sku,name,cost_fen,value_fen,stock\nG-1,书签,300,900,5\n"


async def test_an_import_counts_and_names_every_row_it_refuses(
    casework: Casework, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CASEWORK_DATABASE_URL", f"sqlite:///{tmp_path / 'fresh' / 'shop.db'}")
    good, half_good, wrong = tmp_path / "gifts.csv", tmp_path / "more.csv", tmp_path / "letter.txt"
    good.write_text(GIFTS)
    half_good.write_text(f"{GIFTS}G-2,杯子,free,900,5\n")
    wrong.write_text("Dear all,\n")
    first = await casework("import", str(good), "--json")
    assert first.code == DONE
    assert [(one["new"], one["unchanged"]) for one in first.json["files"]] == [(1, 0)]
    again = await casework("import", str(half_good), "--json")
    assert again.code == BAD_INPUT
    assert [(one["unchanged"], one["rejected"][0]["line"]) for one in again.json["files"]] == [(1, 3)]
    shown = await casework("import", str(half_good))
    assert "more.csv, line 3: " in shown.out
    refused = await casework("import", str(good), str(wrong))
    assert refused.code == BAD_INPUT
    assert "letter.txt" in refused.err
    assert "Nothing was imported" in refused.err
    assert "presale.1" in (await casework("staff")).out, "a new shop has the sample staff"


async def test_without_a_server_the_cases_are_told_later(
    casework: Casework, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = desk.order()
    case = await opened(casework, order)
    where = os.environ["TEMPORAL_ADDRESS"]
    monkeypatch.delenv("TEMPORAL_ADDRESS")
    done = await casework("shop", "refunded", order)
    assert done.code == DONE
    assert f"Told as soon as casework up runs: {case}" in done.err
    monkeypatch.setenv("TEMPORAL_ADDRESS", where)
    assert await CaseworkClient(desk.client, desk.database).tell_notices() == 1
    assert (await desk.end(desk.client.get_workflow_handle(case))).outcome == "refunded"


async def test_a_closed_case_is_shown_without_a_server(
    casework: Casework, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = await opened(casework, desk.order())
    await casework("cancel", case)
    await desk.end(desk.client.get_workflow_handle(case))
    monkeypatch.delenv("TEMPORAL_ADDRESS")
    monkeypatch.setenv("CASEWORK_LANG", "zh")
    shown = await casework("show", case)
    assert shown.code == DONE
    assert "已撤销 cancelled" in shown.out
    assert (await casework("inbox", "--role", "finance_manager")).code == FAILED
