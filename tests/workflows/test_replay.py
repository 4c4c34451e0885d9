"""A worker that lost its cache replays the history and must come to the same place, whatever the clock says."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.worker import Replayer

from casework.converter import DATA_CONVERTER
from casework.names import STATE_QUERY
from casework.sandbox import workflow_runner
from tests.desk import Desk
from tests.server import EVENTS_BEFORE_CONTINUING
from worker import WORKFLOWS
from workflows.paying import PayingWorkflow
from workflows.steps import ONE_STEP_AT_A_TIME


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
