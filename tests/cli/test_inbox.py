"""The inbox on the real server: what is asked of whom, until when, and never what was decided already."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from casework.cli.errors import BAD_INPUT, DONE, REFUSED
from casework.client import CaseworkClient
from casework.details import CASE_AMOUNT
from casework.shop.tables import CaseRow, WaitRow
from tests.cli.commands import Casework, address, shop_url
from tests.desk import FLOW, Desk

ROOT = Path(__file__).parents[2]
ALL = ("--limit", "100000")
"""The tests of one run share a shop: many cases wait there."""


async def to_supervisor(desk: Desk, fen: int = 143_700, by: str = "aftersale.1") -> str:
    """A refund that waits for the supervisor."""
    client = CaseworkClient(desk.client, desk.database)
    start = {"order_id": desk.order(prices=((fen, 1),)), "by": by, "reason": "x"}
    case = await client.start_case(FLOW, start)
    await client.view_at_rest(case)
    await client.submit(case, "buyer_insists", {"by": by})
    return case


async def listed(casework: Casework, *arguments: str) -> dict[str, dict[str, Any]]:
    """What an inbox holds, by case."""
    done = await casework("inbox", "--json", *ALL, *arguments)
    assert done.code == DONE, done.err
    return {one["case_id"]: one for one in done.json["cases"]}


async def test_a_case_tells_what_is_asked_since_when_until_when_and_what_silence_does(
    casework: Casework, desk: Desk
) -> None:
    case = await to_supervisor(desk)
    view = await desk.view(desk.client.get_workflow_handle(case))
    one = (await listed(casework, "--by", "aftersale-lead.1"))[case]
    assert [asked["trigger"] for asked in one["waiting_for"]] == ["approve", "send_back", "cancel_case"]
    assert (one["state"], one["amount_fen"], one["version"]) == ("awaiting_supervisor", 143_700, view.version)
    assert (one["overdue"], one["not_you"], one["expects"]) == (False, None, ["aftersale_supervisor"])
    assert one["waiting_since"] == view.trail[-1].at.isoformat().replace("+00:00", "Z")
    assert one["if_silent"]["dest"] == "awaiting_finance"
    text = (await casework("inbox", "--by", "aftersale-lead.1", *ALL)).out
    (line,) = [line for line in text.splitlines() if line.startswith(case)]
    assert "awaiting the supervisor awaiting_supervisor  approve, send_back  1,437.00  less than 1 min" in line
    assert "supervisor_silent → awaiting_finance" in line
    assert "leaves by silence within 24 h" in text.splitlines()[-1]


async def test_what_was_decided_is_not_offered_again_in_any_moment(casework: Casework, desk: Desk) -> None:
    case = await to_supervisor(desk, fen=50_000)
    order = desk.order_of(desk.client.get_workflow_handle(case))
    async with desk.before("pay", order):
        # the payment is on its way for as long as the test likes: Temporal's own lists say nothing of it
        assert (await casework("approve", case, "--by", "aftersale-lead.1")).code == DONE
        for role in ("aftersale_supervisor", "finance_manager", "aftersale_agent"):
            assert case not in await listed(casework, "--role", role)
    assert (await desk.end(desk.client.get_workflow_handle(case))).outcome == "refunded"
    with desk.database.reading() as session:
        assert session.get(WaitRow, case) is None


async def test_a_decision_by_a_plain_signal_is_not_offered_again_once_the_case_acts(
    casework: Casework, desk: Desk
) -> None:
    case = await to_supervisor(desk)
    handle = desk.client.get_workflow_handle(case)
    await desk.signal(handle, "approve", "aftersale-lead.1")
    await desk.until(handle, "awaiting_finance")
    assert case not in await listed(casework, "--role", "aftersale_supervisor")
    assert case in await listed(casework, "--role", "finance_manager")


async def test_a_person_who_has_a_part_in_it_is_told_why_they_may_not(casework: Casework, desk: Desk) -> None:
    case = await to_supervisor(desk, by="aftersale-lead.2")
    one = (await listed(casework, "--by", "aftersale-lead.2"))[case]
    assert [asked["trigger"] for asked in one["waiting_for"]] == ["buyer_withdraws", "cancel_case"]
    assert "opened this case and may not" in one["not_you"]
    text = (await casework("inbox", "--by", "aftersale-lead.2", *ALL)).out
    assert "not you: aftersale-lead.2 opened this case" in text
    assert (await listed(casework, "--by", "aftersale-lead.1"))[case]["not_you"] is None


async def test_filters_narrow_it_and_the_limit_says_how_many_there_are(casework: Casework, desk: Desk) -> None:
    small, big = await to_supervisor(desk, fen=30_000), await to_supervisor(desk, fen=777_700)
    role = ("--role", "aftersale_supervisor")
    assert big in await listed(casework, *role, "--over", "7000")
    assert small not in await listed(casework, *role, "--over", "7000")
    assert set(await listed(casework, *role, "--order", small.removeprefix(f"{FLOW}-"))) == {small}
    assert small in await listed(casework, *role, "--flow", "refund")
    assert small not in await listed(casework, *role, "--flow", "gift")
    assert await listed(casework, *role, "--assignee", "aftersale-lead.1") == {}
    page = (await casework("inbox", *role, "--limit", "1", "--json")).json
    assert len(page["cases"]) == 1
    assert page["total"] >= 2
    assert "shown: the first 1 (--limit)" in (await casework("inbox", *role, "--limit", "1")).out
    assert await listed(casework, "--by", "aftersale-lead.1", "--role", "finance_manager") == {}
    for wrong in (["--over", "much"], ["--flow", "x"], ["--limit", "0"], ["--assignee", "me"], ["--role", "king"]):
        done = await casework("inbox", *(role if wrong[0] != "--role" else ()), *wrong)
        assert (done.code, len(done.err.splitlines())) == (BAD_INPUT, 1), wrong


async def test_an_overdue_case_is_marked_and_the_money_that_leaves_by_silence_is_summed_up(
    casework: Casework, desk: Desk
) -> None:
    client = CaseworkClient(desk.client, desk.database)
    # opened by a bulk order that was ended: finance is alarmed, and silence pays nothing
    handle = await desk.start_from_bulk_order(desk.order(prices=((88_800, 1),)))
    await desk.until(handle, "awaiting_finance")
    assert handle.id not in await listed(casework, "--role", "finance_manager", "--overdue")
    await desk.skip_to_deadline(handle)
    one = (await listed(casework, "--role", "finance_manager", "--overdue"))[handle.id]
    view = await desk.view(handle)
    assert one["overdue"]
    assert one["waiting_since"] == view.trail[-2].at.isoformat().replace("+00:00", "Z"), "since before the alarm"
    assert "! overdue" in (await casework("inbox", "--role", "finance_manager", "--overdue", *ALL)).out

    waits = await to_supervisor(desk, fen=150_000)
    order = waits.removeprefix(f"{FLOW}-")
    await client.submit(waits, "approve", {"by": "aftersale-lead.1"})
    await desk.until(desk.client.get_workflow_handle(waits), "awaiting_finance")
    page = (await casework("inbox", "--role", "finance_manager", "--order", order, "--json")).json
    assert page["leaves_fen"] == 150_000
    shown = (await casework("inbox", "--role", "finance_manager", "--order", order)).out
    assert "1 waiting · leaves by silence within 24 h: 1,500.00" in shown


async def test_the_foot_says_the_same_as_the_forecast_of_the_same_hours(casework: Casework, desk: Desk) -> None:
    client = CaseworkClient(desk.client, desk.database)
    soon = (datetime.now(UTC) + timedelta(hours=6)).isoformat()
    order = desk.order(prices=((143_700, 1),))
    start = {"order_id": order, "by": "aftersale.1", "reason": "x", "platform_deadline": soon}
    case = await client.start_case(FLOW, start)
    await client.view_at_rest(case)
    await client.submit(case, "buyer_insists", {"by": "aftersale.1"})
    foot = (await casework("inbox", "--role", "aftersale_supervisor", "--order", order, "--json")).json
    (course,) = [one for one in (await client.forecast(hours=24)).courses if one.case_id == case]
    assert len(course.steps) == 2, "the supervisor's silence pays nothing, finance's does"
    assert (foot["leaves_fen"], foot["may_leave_fen"]) == (course.leaves_fen, course.may_leave_fen) == (143_700, 0)


async def test_a_terminated_case_is_not_offered_and_a_new_one_of_its_id_is(casework: Casework, desk: Desk) -> None:
    case = await to_supervisor(desk)
    await desk.client.get_workflow_handle(case).terminate()
    async with asyncio.timeout(20):  # Temporal's lists follow a moment later
        while case in await listed(casework, "--role", "aftersale_supervisor"):
            pass
    client = CaseworkClient(desk.client, desk.database)
    start = {"order_id": case.removeprefix(f"{FLOW}-"), "by": "aftersale.1", "reason": "x"}
    assert await client.start_case(FLOW, start) == case
    await client.view_at_rest(case)
    await client.submit(case, "buyer_insists", {"by": "aftersale.1"})
    assert case in await listed(casework, "--role", "aftersale_supervisor")


async def test_the_money_is_that_which_the_case_is_about_now(casework: Casework, desk: Desk) -> None:
    client = CaseworkClient(desk.client, desk.database)
    order = desk.order(prices=((90_000, 1), (80_000, 1)))
    case = await client.start_case(FLOW, {"order_id": order, "by": "aftersale.1", "reason": "x"})
    await client.view_at_rest(case)
    await client.submit(case, "buyer_insists", {"by": "aftersale.1"})
    desk.platform_refunds_line(order, 1)
    handle = desk.client.get_workflow_handle(case)
    await handle.signal("order_gone", {"by": "system"})
    view = await desk.until_shown(handle, lambda view: not view.trail[-1].accepted, "refused")
    assert view.amount_fen == 80_000
    await desk.at_rest(handle)
    one = (await listed(casework, "--role", "aftersale_supervisor", "--over", "700"))[case]
    assert (one["amount_fen"], one["if_silent"]["pays_fen"]) == (80_000, view.if_silent and view.if_silent.pays_fen)
    assert case not in await listed(casework, "--role", "aftersale_supervisor", "--over", "800")
    assert (await handle.describe()).typed_search_attributes[CASE_AMOUNT] == 80_000


async def reset(desk: Desk, case: str, task: int) -> None:
    """Take a case back to before what it did in a workflow task, as `casework retry` says, and forget what it was sent
    since; until Temporal's list has the run that this ends.
    """
    await desk.take_back(desk.client.get_workflow_handle(case), task)
    query = f"WorkflowId = '{case}' AND ExecutionStatus = 'Terminated'"
    async with asyncio.timeout(20):
        while not [one async for one in desk.client.list_workflows(query)]:
            pass


async def test_a_case_that_was_reset_is_offered_as_before(casework: Casework, desk: Desk) -> None:
    case = await to_supervisor(desk)
    handle = desk.client.get_workflow_handle(case)
    # only noted: the reset forgets it, and the case waits where it did
    await desk.submit(handle, "comment", "aftersale-lead.1", text="x")
    await reset(desk, case, await desk.last_task(handle))
    await desk.until(handle, "awaiting_supervisor")
    assert case in await listed(casework, "--role", "aftersale_supervisor")
    forecast = (await casework("forecast", "--json")).json
    assert case in [one["case_id"] for one in forecast["courses"]]


async def test_a_case_that_was_reset_to_before_a_move_waits_where_it_is_now(casework: Casework, desk: Desk) -> None:
    case = await to_supervisor(desk)
    handle = desk.client.get_workflow_handle(case)
    task = await desk.last_task(handle)
    await desk.submit(handle, "approve", "aftersale-lead.1")
    before = await desk.until(handle, "awaiting_finance")
    await reset(desk, case, task)
    await desk.until(handle, "awaiting_supervisor")
    await desk.at_rest(handle)
    assert (await desk.view(handle)).version < before.version
    assert case not in await listed(casework, "--role", "finance_manager")
    assert case in await listed(casework, "--role", "aftersale_supervisor")
    await desk.submit(handle, "approve", "aftersale-lead.1")
    await desk.at_rest(handle)
    assert case in await listed(casework, "--role", "finance_manager"), "and it goes on from there"


async def test_a_case_that_an_older_casework_opened_is_asked_once(casework: Casework, desk: Desk) -> None:
    case = await to_supervisor(desk)
    with desk.database.writing() as session:
        row = session.query(CaseRow).filter_by(case_id=case).one()
        row.at_version = row.at_execution = row.at_events = None
        session.query(WaitRow).filter_by(case_id=case).delete()
    assert case in await listed(casework, "--role", "aftersale_supervisor")
    with desk.database.reading() as session:
        told = session.get(WaitRow, case)
        assert told is not None
        assert told.roles == "|aftersale_supervisor|"
        (row,) = session.query(CaseRow).filter_by(case_id=case)
        assert row.at_version == (await desk.view(desk.client.get_workflow_handle(case))).version


async def test_what_waits_is_told_in_chinese_with_the_identifiers(
    casework: Casework, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = await to_supervisor(desk)
    monkeypatch.setenv("CASEWORK_LANG", "zh")
    text = (await casework("inbox", "--by", "aftersale-lead.1", *ALL)).out
    assert text.splitlines()[0].split() == ["工单", "状态", "可做", "金额", "已等", "截止", "无人处理则"]
    (line,) = [line for line in text.splitlines() if line.startswith(case)]
    assert "待主管审批 awaiting_supervisor" in line
    assert "批准 approve" in line
    assert "主管未审批 supervisor_silent → 待财务审批 awaiting_finance" in line
    assert "24 小时内无人处理则付出" in text


# --- many at once ---


async def test_several_cases_are_approved_each_by_itself_and_the_worst_exit_code_counts(
    casework: Casework, desk: Desk
) -> None:
    first, second = await to_supervisor(desk, fen=30_000), await to_supervisor(desk, fen=40_000)
    own = await to_supervisor(desk, by="aftersale-lead.2")
    done = await casework("approve", first, second, "--by", "aftersale-lead.2")
    assert done.code == DONE, done.err
    assert [line.split(" ")[0] for line in done.out.splitlines()] == [first, second]
    third = await to_supervisor(desk, fen=30_000)
    mixed = await casework("approve", third, own, third, f"{FLOW}-330001", "--by", "aftersale-lead.2", "--json")
    assert mixed.code == BAD_INPUT
    assert [(one["given"], one["exit_code"]) for one in mixed.json] == [
        (third, DONE),
        (own, REFUSED),
        (f"{FLOW}-330001", BAD_INPUT),
    ]
    assert mixed.json[0]["case"]["version"] > 0
    assert "opened this case" in mixed.json[1]["why"]
    refused = await casework("reject", own, third, "--note", "no", "--by", "aftersale-lead.1")
    assert refused.code == BAD_INPUT, "a refund has nothing to reject"
    assert "0 of 2 were done." in refused.err


async def test_the_same_case_by_two_names_is_decided_on_once(casework: Casework, desk: Desk) -> None:
    case = await to_supervisor(desk, fen=30_000)
    done = await casework("approve", case, case.removeprefix(f"{FLOW}-"), "--by", "aftersale-lead.1")
    assert done.code == BAD_INPUT
    assert "which was named already" in done.err
    assert done.out.startswith(f"{case} → ")


def said_on_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """As a program under another locale finds it: what is no text comes in as surrogates."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), "utf-8", errors="surrogateescape"))


async def test_cases_are_read_from_standard_input(
    casework: Casework, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [await to_supervisor(desk, fen=30_000) for _ in range(2)]
    said_on_stdin(monkeypatch, "\n".join([cases[0], "", f'="{cases[1]}"']).encode())
    printed = await casework("approve", "-", "--by", "aftersale-lead.1", "--print")
    assert [line.split(" ")[:3] for line in printed.out.splitlines()] == [["temporal", "workflow", "update"]] * 2
    said_on_stdin(monkeypatch, "\r\n".join([*cases, cases[0]]).encode("utf-8-sig"))
    assert (await casework("approve", "-", "--by", "aftersale-lead.1")).code == DONE
    said_on_stdin(monkeypatch, b"\n")
    empty = await casework("approve", "-", "--by", "aftersale-lead.1")
    assert (empty.code, empty.err) == (BAD_INPUT, "No case was named: standard input is empty.\n")
    assert (await casework("approve", "-", "-", "--by", "aftersale-lead.1")).code == BAD_INPUT


async def test_a_line_of_standard_input_that_is_no_text_stands_in_nobody_elses_way(
    casework: Casework, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [await to_supervisor(desk, fen=30_000) for _ in range(2)]
    said_on_stdin(monkeypatch, b"\n".join([cases[0].encode(), "订单".encode("gbk"), cases[1].encode()]))
    done = await casework("approve", "-", "--by", "aftersale-lead.1", "--json")
    assert done.code == BAD_INPUT
    assert [one["exit_code"] for one in done.json] == [DONE, BAD_INPUT, DONE]
    assert done.json[1]["why"] == "Line 2 of standard input is not UTF-8."
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdin", None)
        closed = await casework("approve", "-", "--by", "aftersale-lead.1")
    assert (closed.code, closed.err) == (BAD_INPUT, "- stands for standard input, which is closed.\n")
    typed = await casework("approve", "\udcff330001", "--by", "aftersale-lead.1")
    assert (typed.code, typed.err) == (BAD_INPUT, "An id is wanted, and the text is not UTF-8.\n")


# --- in a terminal ---


def surroundings(desk: Desk, home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "CASEWORK_HOME": str(home),
        "CASEWORK_LANG": "en",
        "CASEWORK_DATABASE_URL": shop_url(desk),
        "TEMPORAL_ADDRESS": address(desk),
        "TEMPORAL_NAMESPACE": desk.client.namespace,
        "COLUMNS": "250",
        "LINES": "60",
        "TERM": "xterm",
    }


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, desk: Desk, home: Path, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "casework", *arguments],
            cwd=ROOT,
            env=surroundings(desk, home),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.said = ""

    def _read(self) -> bool:
        try:
            part = os.read(self._ours, 65_536)
        except OSError:  # Linux says so at the end of a terminal
            return False
        self.said += part.decode(errors="replace")
        return bool(part)

    async def until(self, holds: Callable[[str], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds(self.said):
                assert await asyncio.to_thread(self._read), self.said

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    async def end(self) -> int:
        while await asyncio.to_thread(self._read):
            pass
        os.close(self._ours)
        return await asyncio.to_thread(self._process.wait, 60)


async def test_a_watched_inbox_is_drawn_anew_and_ends_politely(desk: Desk, tmp_path: Path) -> None:
    case = await to_supervisor(desk, fen=30_000)
    order = case.removeprefix(f"{FLOW}-")
    watched = Terminal(desk, tmp_path, "inbox", "--watch", "--role", "aftersale_supervisor", "--order", order)
    await watched.until(lambda said: case in said)
    await CaseworkClient(desk.client, desk.database).submit(case, "approve", {"by": "aftersale-lead.1"})
    await watched.until(lambda said: "No case waits." in said)
    watched.interrupt()
    assert await watched.end() == DONE
    assert "Traceback" not in watched.said
    assert "Interrupted" not in watched.said


async def test_outside_a_terminal_a_watched_inbox_tells_every_change_in_a_line(desk: Desk, tmp_path: Path) -> None:
    case = await to_supervisor(desk, fen=30_000)
    order = case.removeprefix(f"{FLOW}-")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "casework", "inbox", "--watch", "--json"),
        *("--role", "aftersale_supervisor", "--order", order),
        cwd=ROOT,
        env=surroundings(desk, tmp_path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            first = json.loads(await process.stdout.readline())
            assert [one["case_id"] for one in first["cases"]] == [case]
            await CaseworkClient(desk.client, desk.database).submit(case, "approve", {"by": "aftersale-lead.1"})
            assert json.loads(await process.stdout.readline())["cases"] == []
            process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
        assert (process.returncode, err) == (DONE, b"")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(("answer", "code", "outcome"), [("y\n", DONE, "refunded"), ("n\n", 1, None)])
async def test_money_on_a_terminal_is_asked_about_once_for_all_with_the_sum(
    desk: Desk, tmp_path: Path, answer: str, code: int, outcome: str | None
) -> None:
    cases = [await to_supervisor(desk, fen=fen) for fen in (30_000, 45_000)]
    asked = Terminal(desk, tmp_path, "approve", *cases, "--by", "aftersale-lead.1")
    await asked.until(lambda said: "Go on?" in said)
    asked.type(answer)
    assert await asked.end() == code
    assert asked.said.count("approve on 2 cases may pay 750.00 in 2 of them.") == 1
    for case in cases:
        handle = desk.client.get_workflow_handle(case)
        view = await (desk.end(handle) if outcome else desk.view(handle))
        assert view.outcome == outcome
