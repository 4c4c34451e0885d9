"""A row is added while cases are open: begun by a worker with the old table, continued by one with the new."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import worker
from casework.cli.errors import FAILED
from casework.client import CaseworkClient
from casework.policy import load_policy
from casework.verifying import Verifier
from casework.verifying.replaying import Recorded, Replays
from tests.changing import flow as example
from tests.changing.flow import LARGE_FEN, LARGE_WAITS, NewCasesOnly, OpenCasesToo, WithoutAName
from tests.cli.commands import Casework
from tests.desk import Desk, Handle
from tests.server import CACHED_WORKFLOWS
from worker import build_worker
from workflows import refund_before_shipping
from workflows.refund_before_shipping import RefundBeforeShipping

DOCUMENT = Path(__file__).parents[2] / "docs" / "changing-a-flow.md"
OTHERS = [one for one in worker.WORKFLOWS if one is not RefundBeforeShipping]
Works = Callable[[type], AbstractAsyncContextManager[Desk]]


@pytest.fixture
def works(desk: Desk, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Works:
    """A worker of this code, on a task queue of the test's own: before it stops, no other one starts."""
    queue = f"changing-{request.node.name}"

    @asynccontextmanager
    async def working(refunds: type) -> AsyncGenerator[Desk]:
        with monkeypatch.context() as code:
            code.setattr(worker, "WORKFLOWS", [refunds, *OTHERS])
            running = build_worker(
                desk.client,
                desk.database,
                load_policy(None),
                task_queue=queue,
                max_cached_workflows=CACHED_WORKFLOWS,
                interceptors=[desk.gates],
            )
        async with running:
            yield replace(desk, task_queue=queue)

    return working


def today(refunds: type) -> Replays:
    return Replays([refunds, *OTHERS])


async def waiting_for_finance(desk: Desk, *, fen: int = LARGE_FEN + 1, failing: bool = False) -> Handle:
    """A refund that nobody has answered so far: finance is asked."""
    far = (datetime.now(UTC) + timedelta(days=60)).isoformat()
    order = desk.order(prices=[(fen, 1)])
    if failing:
        desk.fail("payment", order, "always")
    case = await desk.open_in("persuading", order, reason="bought twice", platform_deadline=far)
    while (await desk.skip_to_deadline(case)).state != "awaiting_finance":
        pass
    return case


async def patches(case: Handle) -> list[str]:
    """The changes for which Temporal was asked."""
    markers = [
        event.marker_recorded_event_attributes
        for event in (await case.fetch_history()).events
        if event.HasField("marker_recorded_event_attributes")
    ]
    return [
        json.loads(one.details["patch-data"].payloads[0].data)["id"]
        for one in markers
        if one.marker_name == "core_patch"
    ]


async def alarmed(desk: Desk, case: Handle) -> bool:
    """Let finance be silent; whether that was an alarm, and the case waits still."""
    view = await desk.skip_to_deadline(case)
    last = (
        view.trail[-1]
        if view.state == "awaiting_finance"
        else next(line for line in view.trail if line.trigger == "finance_silent")
    )
    assert (last.trigger, last.source) == ("finance_silent", "awaiting_finance")
    return last.dest == "awaiting_finance"


async def test_an_open_case_takes_the_new_row_from_now_on(works: Works) -> None:
    async with works(RefundBeforeShipping) as old:
        case = await waiting_for_finance(old)
    async with works(OpenCasesToo) as new:
        assert await alarmed(new, case)
        small = await waiting_for_finance(new, fen=LARGE_FEN)
        assert not await alarmed(new, small), "the row is for large ones"
        changes = (await new.client.get_workflow_handle(case.id).query("case_state"))["changes"]
        assert changes == [*RefundBeforeShipping.changes, LARGE_WAITS]
        assert [await patches(case), await patches(small)] == [[LARGE_WAITS], []], "no new case asks Temporal"
        await case.cancel()
        await new.end(case)
    verified = await Verifier(CaseworkClient(new.client, new.database), today(OpenCasesToo)).case(case.id)
    assert verified.faults == ()


async def test_an_open_case_goes_on_by_the_old_row_where_the_new_one_is_for_new_cases(works: Works) -> None:
    async with works(RefundBeforeShipping) as old:
        case = await waiting_for_finance(old)
    async with works(NewCasesOnly) as new:
        assert not await alarmed(new, case), "silence pays, as the case was told"
        assert (await new.end(case)).outcome == "refunded"
        later = await waiting_for_finance(new)
        assert await alarmed(new, later)
        await later.cancel()
        await new.end(later)


@pytest.mark.parametrize("refunds", [OpenCasesToo, NewCasesOnly])
async def test_what_the_clock_did_by_the_old_row_it_does_again_in_a_replay(works: Works, refunds: type) -> None:
    async with works(RefundBeforeShipping) as old:
        case = await waiting_for_finance(old, failing=True)
        assert not await alarmed(old, case)
        await old.until(case, "repairing_payment")
    async with works(refunds) as new:
        # asked anew, it has to replay all of it
        assert (await new.view(case)).state == "repairing_payment"
        new.fail("payment", new.order_of(case), "never")
        await new.submit(case, "retry_payment", "refund.1")
        assert (await new.end(case)).outcome == "refunded"
    assert (await today(refunds).replay(await recorded(case))).failure is None


async def recorded(case: Handle) -> Recorded:
    return Recorded(await case.fetch_history())


async def test_verify_names_the_case_that_the_new_code_cannot_replay(
    works: Works, casework: Casework, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate before a roll-out: run with the new code, while the old worker runs."""
    async with works(RefundBeforeShipping) as old:
        paid, waits = await waiting_for_finance(old, failing=True), await waiting_for_finance(old)
        await old.skip_to_deadline(paid)
        await old.until(paid, "repairing_payment")
        ours = [paid.id, waits.id]
        query = f"WorkflowId IN ({', '.join(repr(one) for one in ours)})"
        monkeypatch.setattr("casework.cli.verify.ALL_RUNS", query)
        async with asyncio.timeout(30):  # Temporal lists them a moment later
            while len([one async for one in old.client.list_workflows(query)]) < len(ours):
                pass

        async def gate(refunds: type) -> dict[str, dict[str, Any]]:
            with monkeypatch.context() as code:
                code.setattr(worker, "WORKFLOWS", [refunds, *OTHERS])
                done = await casework("verify", "--all", "--json")
            assert done.code in (0, FAILED), done.err
            told = re.search(r"^\[\n.*", done.out, re.MULTILINE | re.DOTALL)
            assert told is not None, done.err
            return {one["case_id"]: one for one in json.loads(told[0]) if one["case_id"] in ours}

        wrong = await gate(WithoutAName)
        assert [case_id for case_id, one in wrong.items() if not one["whole"]] == [paid.id]
        assert [one["part"] for one in wrong[paid.id]["faults"]] == ["replay"]
        assert "today's code does not replay it" in wrong[paid.id]["faults"][0]["found"]
        assert wrong[paid.id]["state"] == "repairing_payment", "the code that it runs on still says where it is"
        for refunds in (OpenCasesToo, NewCasesOnly):
            assert {one["whole"] for one in (await gate(refunds)).values()} == {True}, refunds
        for case in (paid, waits):
            await case.cancel()
            await old.end(case)


def test_the_page_shows_the_code_that_is_tested_here() -> None:
    code = Path(example.__file__).read_text("utf-8")
    shown = [
        block.strip("\n") for block in re.findall(r"# --- docs: (?!end).*?\n(.*?) *# --- docs: end", code, re.DOTALL)
    ]
    page = DOCUMENT.read_text("utf-8")
    assert len(shown) == 3
    for block in shown:
        indent = len(block) - len(block.lstrip())
        plain = "\n".join(line[indent:] for line in block.splitlines()).strip()
        assert plain in page, f"{DOCUMENT.name} does not show:\n{plain}"
    real = re.search(
        r"^    changes = \((.*)\)$", Path(refund_before_shipping.__file__).read_text("utf-8"), re.MULTILINE
    )
    assert real is not None
    assert f"changes = ({real[1]}, LARGE_WAITS)" in page
