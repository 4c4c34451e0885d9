"""No timer of a wait is pending while a step on the shop is under way: see `CaseSteps.in_shop`."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.worker import Replayer

from activities.cases import OpenCase
from casework.changes import ONE_STEP_AT_A_TIME, STOPS_ITS_TIMER
from casework.converter import DATA_CONVERTER
from casework.instance import CaseInstance
from casework.sandbox import workflow_runner
from tests.desk import Desk, Handle
from tests.parcels import FLOW, parcel_order, scan
from tests.workflows.test_replay import hold_queries
from worker import WORKFLOWS

UNKNOWN = "nobody_knows_it"


async def replay(case: Handle) -> None:
    history = await case.fetch_history()
    await case.terminate()
    replayer = Replayer(workflows=WORKFLOWS, data_converter=DATA_CONVERTER, workflow_runner=workflow_runner())
    await replayer.replay_workflow(history)


async def investigating(desk: Desk, task_timeout: timedelta | None = None) -> tuple[Handle, str]:
    """A case that waits for a person, and polls meanwhile; and its order."""
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "2")
    start = {"order_id": order, "by": "aftersale.1", "waybill": waybill, "courier": "yuantong", "cause": "overdue"}
    case = await desk.open_case(FLOW, f"{FLOW}-{waybill}", start, task_timeout=task_timeout)
    await desk.until(case, "investigating")
    await desk.until_rung(case)
    return case, order


async def pending_timers(case: Handle) -> int:
    events = (await case.fetch_history()).events
    started = {one.timer_started_event_attributes.timer_id for one in events}
    over = {one.timer_fired_event_attributes.timer_id for one in events}
    return len(started - over - {one.timer_canceled_event_attributes.timer_id for one in events})


async def test_a_message_that_is_refused_while_a_poll_reads_the_shop_sets_no_timer(desk: Desk) -> None:
    case, order = await investigating(desk, timedelta(seconds=1))
    async with desk.before("look_at_parcel", order):
        await desk.reached_while(desk.skip(case, timedelta(hours=12)), "look_at_parcel", order)
        await case.signal(UNKNOWN)
        await desk.heard(case, UNKNOWN)
        await desk.prolonged(case, 1)
        assert await pending_timers(case) == 0
        length = (await case.describe()).history_length
    async for event in case.fetch_history_events(wait_new_event=True):
        if event.event_id > length and event.HasField("timer_started_event_attributes"):
            break  # after the step, the wait has set it again
    await desk.at_rest(case)
    await replay(case)


async def test_a_query_that_ends_the_task_of_such_a_message_leaves_what_can_be_replayed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, order = await investigating(desk)
    async with desk.before("look_at_parcel", order):
        await desk.reached_while(desk.skip(case, timedelta(hours=12)), "look_at_parcel", order)
        asked, answers = hold_queries(monkeypatch)
        looks = asyncio.create_task(case.query("case"))
        await case.signal(UNKNOWN)
        await asyncio.wait_for(asked.wait(), 20)  # with the next workflow task: the step has prolonged this one
    await asyncio.sleep(0.4)  # meanwhile the step ends
    answers.set()
    await looks
    await desk.at_rest(case)
    await replay(case)


@pytest.mark.parametrize("without", [(ONE_STEP_AT_A_TIME, STOPS_ITS_TIMER), ()], ids=["of before", "new"])
async def test_a_poll_whose_step_ends_while_a_query_is_answered_can_be_replayed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, without: tuple[str, ...]
) -> None:
    """A case of before, whose steps take no turns, keeps its timer: it would set another one at once."""

    def as_of_before(**fields: Any) -> OpenCase:
        changes = [one for one in fields.pop("changes") if one not in without]
        return OpenCase(**fields, changes=changes)

    monkeypatch.setattr("workflows.case.OpenCase", as_of_before)
    case, order = await investigating(desk)
    slow, goes_on = hold_unknown_signal(monkeypatch)
    asked, answers = hold_queries(monkeypatch)
    async with desk.before("ask_courier", order):
        await desk.reached_while(desk.skip(case, timedelta(hours=12)), "ask_courier", order)
        await case.signal(UNKNOWN)  # a workflow task that lasts a moment
        await asyncio.wait_for(slow.wait(), 20)
        looks = asyncio.create_task(case.query("case"))
    await asyncio.sleep(0.5)  # the courier answers, and a query waits
    goes_on.set()
    await asyncio.wait_for(asked.wait(), 20)
    await asyncio.sleep(0.4)  # the step ends
    answers.set()
    await looks
    await desk.at_rest(case)
    await replay(case)


def hold_unknown_signal(monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, threading.Event]:
    """The workflow task of a signal that nobody knows sets the first event, and goes on at the second."""
    reached, goes_on = asyncio.Event(), threading.Event()
    loop, activate = asyncio.get_running_loop(), CaseInstance.activate

    def held(self: CaseInstance, act: WorkflowActivation) -> WorkflowActivationCompletion:
        if any(job.signal_workflow.signal_name == UNKNOWN for job in act.jobs):
            loop.call_soon_threadsafe(reached.set)
            goes_on.wait(1.5)
        return activate(self, act)

    monkeypatch.setattr(CaseInstance, "activate", held)
    return reached, goes_on
