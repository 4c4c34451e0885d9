"""A case that waits for long, or is talked at a lot, continues as new and loses nothing on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import WorkflowExecutionStatus, WorkflowUpdateFailedError, WorkflowUpdateStage
from temporalio.service import RPCError

from casework.case import MOST_REFUSED, CaseView
from state_machines.refund_before_shipping import REFUND_BEFORE_SHIPPING
from tests.desk import Desk, Handle
from tests.parcels import parcel_order, scan
from tests.server import EVENTS_BEFORE_CONTINUING
from tests.trails import count_refused
from workflows.continuing import MOST_CARRIED_BYTES, TAKEN_BEFORE_ASKING
from workflows.received import Received

RETURN = "return-after-shipping"
AGENT, LEAD = "aftersale.1", "aftersale-lead.5"
CASES = 12
UNREAD = 160
"""More messages than a case reads before it continues as new."""
HEARS_SOON = timedelta(seconds=1)
"""The workflow task timeout of a case that hears what is sent while a step on the shop is stopped."""
IN_FLIGHT = 10
"""How many updates Temporal lets be under way at once."""


@pytest.mark.parametrize("trigger", ["approve", "buyer_insists"])
async def test_no_signal_is_lost_in_the_moment_of_continuing(desk: Desk, trigger: str) -> None:
    """A dozen cases at once, each asked by queries meanwhile: a message that comes just then was lost in one of ten."""
    cases = [
        await desk.open_in("persuading", desk.order(prices=[(50_000, 1)]), reason="bought twice") for _ in range(CASES)
    ]
    counts = await asyncio.gather(*(told_until_it_continues(desk, case, trigger) for case in cases))
    for case, sent in zip(cases, counts, strict=True):
        after = await desk.submit(case, "parcel_back", "returns.1")
        assert count_refused(after) == sent
        await case.terminate()


async def told_until_it_continues(desk: Desk, case: Handle, trigger: str) -> int:
    """Send a signal again and again that the case refuses, until it continues as new; answers how often."""
    first_run, sent = (await case.describe()).run_id, 0
    while (await case.describe()).run_id == first_run:
        await desk.signal(case, trigger, "warehouse.1")
        sent += 1
        assert sent < 400, "it never continued as new"
        with suppress(RPCError):  # Temporal may leave a query without an answer that comes just then
            await desk.view(case)
    return sent


@asynccontextmanager
async def busy_with_a_long_talk(desk: Desk, case: Handle, order: str) -> AsyncGenerator[None]:
    """Within, the case is stopped at a comment, with so much unread behind it that it continues before it reads on."""
    async with desk.before("consider", order):
        await desk.signal(case, "comment", AGENT, text="the buyer called")
        await desk.reached("consider", order)
        for number in range(UNREAD):
            await desk.signal(case, "approve", "warehouse.1", id=f"fill.{number}")
        yield


async def test_what_a_case_has_not_read_when_it_continues_is_read_by_the_next_run(desk: Desk) -> None:
    order = desk.order(prices=[(50_000, 1)])
    case = await desk.open_in("persuading", order, reason="bought twice", task_timeout=HEARS_SOON)
    first_run = (await case.describe()).run_id
    async with busy_with_a_long_talk(desk, case, order):
        pass
    assert b'"unread":[' in await carried_by(desk, case, first_run)
    again = await desk.submit(case, "buyer_insists", AGENT, id="again")
    assert again.state == "awaiting_supervisor"
    assert len([line for line in again.trail if not line.accepted]) == min(UNREAD, MOST_REFUSED)
    await case.terminate()


async def carried_by(desk: Desk, case: Handle, run: str | None) -> bytes:
    """Wait until the run continues as new: what it carries over."""
    handle, carried = desk.client.get_workflow_handle(case.id, run_id=run), b""
    async for event in handle.fetch_history_events(wait_new_event=True):
        # a case that is to carry more than Temporal takes would never get further
        cause = event.workflow_task_failed_event_attributes.cause
        assert cause != WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_PAYLOADS_TOO_LARGE
        if event.HasField("workflow_execution_continued_as_new_event_attributes"):
            carried = event.workflow_execution_continued_as_new_event_attributes.input.payloads[0].data
    return carried


async def a_return(desk: Desk) -> tuple[Handle, str]:
    """A return that waits for its parcel, and its order."""
    order = desk.order(shipped=True)
    start = {"order_id": order, "by": AGENT, "cause": "no_reason"}
    case = await desk.open_case(RETURN, f"{RETURN}-{order}", start, task_timeout=HEARS_SOON)
    await desk.until(case, "awaiting_parcel")
    return case, order


def test_a_message_by_which_nothing_can_be_done_any_more_is_refused_by_the_next_run() -> None:
    said = Received("now_gone", datetime(2026, 11, 20, tzinfo=UTC), 1).carried()
    carried = Received.carried_over(REFUND_BEFORE_SHIPPING, {**said, "message": {"by": AGENT}})
    assert (carried.trigger, carried.problem) == ("now_gone", "there is no such trigger in this flow")


async def test_nobody_else_waits_for_a_courier_that_is_asked_after_much_was_said(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "2")
    start = {"order_id": order, "by": AGENT, "waybill": waybill, "courier": "yuantong", "cause": "overdue"}
    case = await desk.open_case("problem-parcel", f"problem-parcel-{waybill}", start, task_timeout=HEARS_SOON)
    await desk.until(case, "investigating")
    await desk.submit(case, "courier_answers", "parcel.1", finding="lost")
    for _ in range(TAKEN_BEFORE_ASKING):
        await desk.signal(case, "comment", AGENT, text="the buyer called")
    async with desk.before("claim", order):
        async with desk.before("consider", order):
            comment = {"trigger": "comment", "by": AGENT, "text": "and again"}
            # of two that are new to a workflow task, either may come first
            said = await case.start_update(  # pyright: ignore[reportUnknownMemberType] - the SDK's own
                "submit", comment, wait_for_stage=WorkflowUpdateStage.ACCEPTED, result_type=CaseView
            )
            await desk.reached("consider", order)
            chosen = asyncio.create_task(desk.submit(case, "choose_refund", AGENT))
            await desk.prolonged(case, 2)
        await desk.reached("claim", order)
        assert (await said.result()).state == "choosing_remedy", "answered while the courier is silent"
    await chosen
    await case.cancel()


async def test_what_must_be_said_and_is_null_is_carried_over_as_it_was_said(desk: Desk) -> None:
    case, order = await a_return(desk)
    first_run = (await case.describe()).run_id
    async with busy_with_a_long_talk(desk, case, order):
        lines = [{"line": 1, "accepted_quantity": 1}]
        await desk.signal(case, "pass_inspection", "returns.1", lines=lines, gift_back=None, invoice_back=None)
    view = await desk.until_shown(
        case, lambda view: view.trail[-1].trigger == "pass_inspection", "refused the inspection"
    )
    assert view.trail[-1].why == "pass_inspection is not possible in awaiting_parcel"
    assert (await case.describe()).run_id != first_run
    await case.terminate()


async def test_who_says_by_update_what_a_signal_has_said_is_answered_before_the_case_continues(desk: Desk) -> None:
    order = desk.order(prices=[(50_000, 1)])
    case = await desk.open_in("persuading", order, reason="bought twice", task_timeout=HEARS_SOON)
    async with busy_with_a_long_talk(desk, case, order):
        await desk.signal(case, "buyer_insists", AGENT, id="once")
        # a case that hears the signal while a step is stopped: the update finds it in the inbox
        await desk.prolonged(case, 2)
        again = asyncio.create_task(desk.submit(case, "buyer_insists", AGENT, id="once"))
        async for event in case.fetch_history_events(wait_new_event=True):
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
                break
    async with asyncio.timeout(60):
        assert (await again).state == "awaiting_supervisor"
    await case.terminate()


async def test_a_case_that_many_talk_to_at_once_continues_as_new_all_the_same(desk: Desk) -> None:
    """Whoever is answered says the next thing at once: there is hardly a moment without an update in the inbox."""
    case = await desk.open_in("persuading", desk.order(), reason="bought twice")
    first_run = (await case.describe()).run_id

    async def talk() -> None:
        for _ in range(12):
            with pytest.raises(WorkflowUpdateFailedError):
                await desk.submit(case, "buyer_insists", "warehouse.1")

    await asyncio.gather(*(talk() for _ in range(IN_FLIGHT)))
    view = await desk.view(case)
    assert len([line for line in view.trail if not line.accepted]) == min(12 * IN_FLIGHT, MOST_REFUSED)
    ended = await desk.client.get_workflow_handle(case.id, run_id=first_run).describe()
    assert ended.status is WorkflowExecutionStatus.CONTINUED_AS_NEW
    assert ended.history_length < 3 * EVENTS_BEFORE_CONTINUING
    await case.terminate()


async def test_a_case_with_more_unread_than_temporal_carries_reads_until_it_does(desk: Desk) -> None:
    case, order = await a_return(desk)
    first_run = (await case.describe()).run_id
    photos = [f"{number:02}{'x' * 198}" for number in range(20)]
    async with busy_with_a_long_talk(desk, case, order):
        for _ in range(600):
            await desk.signal(case, "add_evidence", "warehouse.1", photos=photos)
    assert MOST_CARRIED_BYTES / 2 < len(await carried_by(desk, case, first_run)) <= MOST_CARRIED_BYTES
    await case.terminate()


async def test_a_case_to_which_only_updates_come_continues_as_new(desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="bought twice")
    first_run, sent = (await case.describe()).run_id, 0
    while (await case.describe()).run_id == first_run:
        with pytest.raises(WorkflowUpdateFailedError):
            await desk.submit(case, "buyer_insists", "warehouse.1")
        sent += 1
        assert sent < 60, "it never continued as new"
    assert len([line for line in (await desk.view(case)).trail if not line.accepted]) == sent
    await case.terminate()


async def test_a_case_continues_as_new_with_its_deadline_its_ids_and_its_kept_facts(desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(prices=[(50_000, 1)]), reason="bought twice")
    await desk.submit(case, "buyer_insists", AGENT, id="first")
    await desk.submit(case, "parcel_back", "returns.1")
    before = await desk.view(case)
    first_run = (await case.describe()).run_id

    sent = 0
    while (await case.describe()).run_id == first_run:
        await desk.signal(case, "approve", "warehouse.1")
        sent += 1
        assert sent < 200, "it never continued as new"
        await desk.at_rest(case)  # see the next test

    after = await desk.submit(case, "parcel_back", "returns.1", id="after-all-of-them")
    assert after.due == before.due
    assert after.kept == ["parcel_back", "parcel_back"]
    assert after.version == before.version
    assert after.opened_at == before.opened_at
    assert len([line for line in after.trail if not line.accepted]) == sent

    # the first message again, under its id: harmless, also in the new run
    again = await desk.submit(case, "buyer_insists", AGENT, id="first")
    assert again.version == before.version
    with pytest.raises(WorkflowUpdateFailedError):
        await desk.submit(case, "approve", AGENT)
    assert (await desk.submit(case, "approve", LEAD)).state == "refunding"
    assert (await desk.end(case)).outcome == "refunded"
