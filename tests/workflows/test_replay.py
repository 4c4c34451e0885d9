"""A worker that lost its cache replays the history and must come to the same place, whatever the clock says."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.worker import Replayer

from casework.case import CaseView
from casework.changes import ONE_STEP_AT_A_TIME
from casework.converter import DATA_CONVERTER
from casework.instance import DIRECT_QUERY, CaseInstance
from casework.names import STATE_QUERY
from casework.sandbox import workflow_runner
from tests.desk import Desk
from tests.server import EVENTS_BEFORE_CONTINUING
from worker import WORKFLOWS
from workflows.paying import PayingWorkflow


async def test_a_slow_shop_does_not_make_a_replay_see_another_deadline(desk: Desk) -> None:
    far = (datetime.now(UTC) + timedelta(days=9)).isoformat()
    order = desk.order(prices=[(50_000, 1)])
    case = await desk.open_in(
        "persuading", order, reason="bought twice", platform_deadline=far, task_timeout=timedelta(seconds=1)
    )
    due = (await desk.view(case)).due
    assert due is not None
    await desk.skip(case, due - datetime.now(UTC) - timedelta(minutes=1))
    async with desk.before("post_messages", order):
        # the deadline passes, and the step on the shop that follows hangs: the workflow task is prolonged
        await desk.reached_while(desk.skip(case, timedelta(minutes=2)), "post_messages", order)
        await desk.prolonged(case, 3)
    await desk.until(case, "awaiting_supervisor")
    for _ in range(2):
        await desk.skip_to_deadline(case)
    assert (await desk.end(case)).outcome == "refunded"
    replayer = Replayer(workflows=WORKFLOWS, data_converter=DATA_CONVERTER, workflow_runner=workflow_runner())
    await replayer.replay_workflow(await case.fetch_history())


async def test_of_two_steps_on_a_slow_shop_one_waits_for_the_other(desk: Desk) -> None:
    """Else a replay would be given both answers at once, and what follows them would come in another order."""
    order = desk.order()
    async with desk.before("consider", order):
        async with desk.before("check_and_claim", order):
            case = await desk.start(order, reason="bought twice", task_timeout=timedelta(seconds=1))
            await desk.reached("check_and_claim", order)
            await desk.signal(case, "comment", "aftersale.1", text="the buyer called again")
            await desk.heard(case, "comment")
            await desk.prolonged(case, 3)
            reached, _ = desk.gates.stopped["consider", order]
            assert not reached.is_set()
        await desk.reached("consider", order)
    await desk.until(case, "persuading")
    await desk.submit(case, "buyer_withdraws", "aftersale.1")
    assert [line.trigger for line in (await desk.end(case)).trail][:2] == ["comment", "check"]
    replayer = Replayer(workflows=WORKFLOWS, data_converter=DATA_CONVERTER, workflow_runner=workflow_runner())
    await replayer.replay_workflow(await case.fetch_history())


async def test_a_case_of_before_takes_one_step_at_a_time_from_its_next_run_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def changes() -> list[str]:
        return (await case.query(STATE_QUERY))["changes"]

    before = [name for name in PayingWorkflow.changes if name != ONE_STEP_AT_A_TIME]
    with monkeypatch.context() as older:
        older.setattr(PayingWorkflow, "changes", before)
        case = await desk.open_in("persuading", desk.order(), reason="bought twice")
        assert ONE_STEP_AT_A_TIME not in await changes()
    first = (await case.describe()).run_id
    while (await case.describe()).run_id == first:
        await asyncio.gather(*[case.signal("nobody_knows_it") for _ in range(EVENTS_BEFORE_CONTINUING)])
        await desk.at_rest(case)
    assert ONE_STEP_AT_A_TIME in await changes()
    await desk.submit(case, "buyer_withdraws", "aftersale.1")
    await desk.end(case)
    replayer = Replayer(workflows=WORKFLOWS, data_converter=DATA_CONVERTER, workflow_runner=workflow_runner())
    for run in (first, None):
        await replayer.replay_workflow(
            await desk.client.get_workflow_handle(case.id, run_id=run or (await case.describe()).run_id).fetch_history()
        )


def hold_queries(monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, threading.Event]:
    """From here on a query that comes with a workflow task sets the first event, and is answered at the second."""
    asked, answers = asyncio.Event(), threading.Event()
    loop, activate = asyncio.get_running_loop(), CaseInstance.activate

    def held(self: CaseInstance, act: WorkflowActivation) -> WorkflowActivationCompletion:
        if any(job.query_workflow.query_id not in ("", DIRECT_QUERY) for job in act.jobs):
            loop.call_soon_threadsafe(asked.set)
            answers.wait(1.5)
        return activate(self, act)

    monkeypatch.setattr(CaseInstance, "activate", held)
    return asked, answers


@pytest.mark.parametrize(("trigger", "fields"), [("comment", {"text": "in blue"}), ("buyer_insists", {})])
async def test_a_step_that_ends_while_a_query_is_answered_is_on_record_before_what_came_since(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, trigger: str, fields: dict[str, str]
) -> None:
    """The answer ends the workflow task: the step's end is recorded with it, and told together with an update."""

    def submit(trigger: str, by: str, **fields: str) -> asyncio.Task[CaseView]:
        return asyncio.create_task(desk.submit(case, trigger, by, **fields))

    order = desk.order(prices=[(50_000, 1)])
    case = await desk.open_in("persuading", order, reason="bought twice")
    async with desk.before("post_messages", order):
        first = submit("ask_opener", "aftersale-lead.5", question="which size?")
        await desk.reached("post_messages", order)
        asked, answers = hold_queries(monkeypatch)
        looks, second = asyncio.create_task(case.query("case")), submit(trigger, "aftersale.1", **fields)
        await asyncio.sleep(0.3)  # both wait at the server for the next workflow task
    await asyncio.wait_for(asked.wait(), 20)
    third = submit("comment", "aftersale.1", text="since Monday")
    await asyncio.sleep(0.3)  # meanwhile the step ends, and the third waits at the server
    answers.set()
    await asyncio.gather(first, looks, second, third)
    await desk.at_rest(case)
    history = await case.fetch_history()
    await case.terminate()
    replayer = Replayer(workflows=WORKFLOWS, data_converter=DATA_CONVERTER, workflow_runner=workflow_runner())
    await replayer.replay_workflow(history)
    assert not [one for one in history.events if one.HasField("workflow_task_failed_event_attributes")]


async def test_a_deadline_that_passes_while_a_query_is_answered_does_not_fire_beside_a_decision(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision's step is on record with the query's workflow task, and what it leads to is not yet."""
    order = desk.order(prices=[(50_000, 1)])
    case = await desk.open_in("persuading", order, reason="bought twice")
    due = (await desk.view(case)).due
    assert due is not None
    await desk.skip(case, due - await desk.skipper.get_current_time(case) - timedelta(seconds=0.9))
    async with desk.before("consider", order):
        await desk.signal(case, "comment", "aftersale.1", text="in blue")
        await desk.reached("consider", order)
        asked, answers = hold_queries(monkeypatch)
        looks = asyncio.create_task(case.query("case"))
        await desk.signal(case, "buyer_insists", "aftersale.1")
        await asyncio.sleep(0.3)  # both wait at the server for the next workflow task
    await asyncio.wait_for(asked.wait(), 20)
    left = due - await desk.skipper.get_current_time(case)
    await asyncio.sleep(max(left.total_seconds(), 0) + 0.3)  # meanwhile the step ends, and the deadline passes
    answers.set()
    await looks
    await desk.until(case, "awaiting_supervisor")
    await desk.at_rest(case)
    history = await case.fetch_history()
    await case.terminate()
    replayer = Replayer(workflows=WORKFLOWS, data_converter=DATA_CONVERTER, workflow_runner=workflow_runner())
    await replayer.replay_workflow(history)


@pytest.mark.parametrize("asked", [False, True], ids=["nobody asks", "a query ends each task"])
async def test_what_comes_while_a_step_prolongs_its_workflow_task_goes_first(desk: Desk, *, asked: bool) -> None:
    """Whichever workflow task the end of a step is told with that lasted over several, a replay repeats it."""
    order = desk.order(prices=[(50_000, 1)])
    case = await desk.open_in("persuading", order, reason="bought twice", task_timeout=timedelta(seconds=1))
    says = {"trigger": "comment", "by": "aftersale.1"}
    async with desk.before("consider", order):
        under_way = [asyncio.create_task(desk.update(case, {**says, "text": "in blue"}))]
        await desk.reached("consider", order)
        for text in ("since Monday", "or Tuesday"):
            under_way.append(asyncio.create_task(desk.update(case, {**says, "text": text})))
            if asked:
                under_way.append(asyncio.create_task(desk.view(case)))
            await desk.signal(case, "comment", "aftersale.1", text=f"by the way, {text}")
            await desk.prolonged(case, 1)
    await asyncio.gather(*under_way)
    await desk.at_rest(case)
    history = await case.fetch_history()
    await case.terminate()
    replayer = Replayer(workflows=WORKFLOWS, data_converter=DATA_CONVERTER, workflow_runner=workflow_runner())
    await replayer.replay_workflow(history)
