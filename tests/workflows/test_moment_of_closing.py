"""A message in the very moment in which a case closes: Temporal takes the workflow task back and plays it again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.api.enums.v1 import WorkflowTaskFailedCause

from tests.desk import Desk, Handle
from tests.server import CACHED_WORKFLOWS

AGENT = "aftersale.1"


async def taken_back(case: Handle) -> int:
    """How often Temporal took a workflow task back because something had come that it had not seen."""
    cause = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
    return [event.workflow_task_failed_event_attributes.cause async for event in case.fetch_history_events()].count(
        cause
    )


@pytest.mark.parametrize("prolonged", [0, 2])
async def test_a_message_that_comes_while_the_case_closes_is_refused_on_the_record_and_fails_nothing(
    desk: Desk, prolonged: int
) -> None:
    """Also where the last step was asked for in an earlier workflow task, which a slow shop prolonged."""
    order = desk.order(prices=[(20_000, 1)])
    case = await desk.open_in("persuading", order, reason="bought twice", task_timeout=timedelta(seconds=1))
    async with desk.before("settle", order):
        await desk.submit(case, "buyer_insists", AGENT)
        await desk.reached("settle", order)
        await desk.prolonged(case, prolonged)
        await desk.signal(case, "buyer_keeps_order", AGENT)
    view = await desk.end(case)
    # without a cache the prolonged task may be dropped, and be given out again with the signal before anything closes
    assert await taken_back(case) == 1 or (prolonged and not CACHED_WORKFLOWS)
    assert view.outcome == "refunded"
    (line,) = [line for line in view.trail if not line.accepted]
    assert line.trigger == "buyer_keeps_order"
    desk.require_whole(view)


async def test_a_case_that_takes_another_way_when_it_is_played_again_goes_it_to_the_end(desk: Desk) -> None:
    """It had closed as not applicable in the shop; played again, the cancel comes before the check."""
    order = desk.order(paid=False)
    async with desk.before("check_and_claim", order):
        case = await desk.start(order)
        await desk.reached("check_and_claim", order)
        await case.cancel()
    view = await desk.end(case)
    assert await taken_back(case) == 1
    assert view.outcome == "cancelled"
    desk.require_whole(view)


async def test_a_deadline_that_has_ended_the_case_stands_when_it_is_played_again(desk: Desk) -> None:
    """The clock's move was on record before anything came of it: the buyer who insists just then is too late."""
    order = desk.order(prices=[(20_000, 1)], shipped=True)
    flow = "return-after-shipping"
    start = {"order_id": order, "by": AGENT, "cause": "no_reason", "opened": True}
    case = await desk.open_case(flow, f"{flow}-{order}", start)
    due = (await desk.until(case, "explaining")).due
    assert due is not None
    await desk.skip(case, due - datetime.now(UTC) - timedelta(minutes=1))
    async with desk.before("close_case", order):
        await desk.reached_while(desk.skip(case, timedelta(minutes=2)), "close_case", order)
        await desk.signal(case, "buyer_insists", AGENT)
    view = await desk.end(case)
    assert await taken_back(case) == 1
    assert view.outcome == "declined"
    assert [(line.trigger, line.why) for line in view.trail if not line.accepted] == [
        ("buyer_insists", "the case has ended")
    ]
    desk.require_whole(view)
