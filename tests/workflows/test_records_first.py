"""What gives something away is in the history before it is done: no way that Temporal takes back has done it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from casework.shop.claims import claimed_lines
from casework.shop.holds import cases_holding
from tests.desk import Desk, Handle
from tests.races.racing import called_off
from tests.races.stages import STAGES, Stage
from tests.workflows.test_bulk_order import DOSSIER, MANAGER, SPECIALIST, bulk
from tests.workflows.test_gift_approval import AUDITOR, RICH, new_order, open_gift
from tests.workflows.test_gift_approval import LEAD as GIFT_LEAD
from tests.workflows.test_problem_parcel import open_in_trouble
from tests.workflows.test_returns import AGENT, LEAD, opened

REFUND, RETURN = "refund-before-shipping", "return-after-shipping"


async def is_on_record(case: Handle, signal: str) -> bool:
    """Whether the history has a workflow task that was completed after the signal came."""
    came = task = 0
    async for event in case.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            task = event.event_id
        elif event.workflow_execution_signaled_event_attributes.signal_name == signal:
            came = event.event_id
    return 0 < came < task


async def refund(desk: Desk) -> tuple[Handle, str]:
    order = desk.order()
    return await desk.open_in("persuading", order, reason="bought twice"), order


async def a_return(desk: Desk) -> tuple[Handle, str]:
    order = desk.order(shipped=True)
    return await opened(desk, order, "awaiting_parcel"), order


async def parcel(desk: Desk) -> tuple[Handle, str]:
    case, order, _ = await open_in_trouble(desk)
    return case, order


async def malicious(desk: Desk) -> tuple[Handle, str]:
    order = desk.order(paid=False)
    case = await bulk(desk, order)
    await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER)
    return case, order


async def gift(desk: Desk) -> tuple[Handle, str]:
    order = new_order(desk, RICH)
    case = await open_gift(desk, order)
    await desk.until(case, "awaiting_audit")
    return case, order


@pytest.mark.parametrize(
    ("begin", "trigger", "by", "step", "outcome"),
    [
        (refund, "buyer_keeps_order", AGENT, "restore", "kept"),
        (refund, "cancel_case", LEAD, "restore", "cancelled"),
        (a_return, "cancel_case", LEAD, "undo_return", "cancelled"),
        (parcel, "cancel_case", LEAD, "give_up_parcel", "cancelled"),
        (malicious, "find_malicious", MANAGER, "close_bulk", "terminated"),
        (gift, "cancel_case", GIFT_LEAD, "withdraw_gift", "cancelled"),
    ],
)
async def test_a_step_that_gives_something_away_is_on_record_before_it_is_done(
    desk: Desk, begin: Callable[[Desk], Awaitable[tuple[Handle, str]]], trigger: str, by: str, step: str, outcome: str
) -> None:
    case, order = await begin(desk)
    fields = {"signs": ["young_account"]} if trigger == "find_malicious" else {"note": "as the buyer asked"}
    async with desk.before(step, order):
        await desk.signal(case, trigger, by, **fields)
        await desk.reached(step, order)
        assert await is_on_record(case, trigger)
    view = await desk.end(case)
    assert view.outcome == outcome
    desk.require_whole(view)


async def test_who_cancels_while_the_lines_are_handed_over_comes_too_late(desk: Desk) -> None:
    """In one workflow task a worker that died after handing over left the lines to a case that nobody opened."""
    order = desk.order(shipped=True)
    desk.fail("intercept", order, "always")
    async with desk.before("hand_over", order):
        case = await desk.start(order)
        await desk.reached("hand_over", order)
        await desk.signal(case, "cancel_case", LEAD, note="the buyer called")
    view = await desk.end(case)
    assert (view.outcome, view.trail[-1].why) == ("converted", "the case has ended")
    child = desk.client.get_workflow_handle(f"{RETURN}-{order}")
    await desk.until(child, "awaiting_parcel")
    with desk.database.reading() as session:
        assert claimed_lines(session, child.id) == [(order, 1)]
    await desk.submit(child, "cancel_case", LEAD, note="the buyer called")
    await desk.end(child)


async def put_on_record(case: Handle) -> list[str]:
    """For what the case has set timers, as their summaries say."""
    return [
        json.loads(event.user_metadata.summary.data)
        async for event in case.fetch_history_events()
        if event.HasField("timer_started_event_attributes")
    ]


async def test_a_fact_that_was_kept_is_on_record_before_it_is_used(desk: Desk) -> None:
    order = desk.order(shipped=True)
    async with desk.before("intercept", order):
        case = await desk.start(order, reason="bought twice")
        await desk.reached("intercept", order)
        assert (await desk.submit(case, "parcel_back", "returns.1")).kept == ["parcel_back"]
    await desk.until(case, "awaiting_supervisor", "awaiting_finance", "refunding", "refunded")
    assert "on record: parcel_back by returns.1" in await put_on_record(case)
    assert (await desk.end(case)).outcome == "refunded"


@pytest.mark.parametrize("how", ["update", "deadline"])
async def test_the_decision_to_hand_over_is_on_record_before_it_is_done(desk: Desk, how: str) -> None:
    """That what led there is, is not enough: where the worker dies, a cancel goes before the work in the replay."""
    if how == "update":
        case, order, _ = await open_in_trouble(desk)
        await desk.submit(case, "courier_answers", "parcel.1", finding="lost")
    else:
        order = desk.order()
        case = await desk.open_in("persuading", order, reason="bought twice")
        await desk.platform_ships(case)
        await desk.until(case, "awaiting_parcel_back")
    async with desk.before("hand_over", order):
        decided = asyncio.ensure_future(
            desk.submit(case, "choose_refund", AGENT) if how == "update" else desk.skip_to_deadline(case)
        )
        await desk.reached("hand_over", order)
        state = (await desk.view(case)).state
        assert state in ("opening_refund", "converting")
        assert f"on record: hand over to {RETURN}" in await put_on_record(case)
    await decided
    await desk.end(case)
    await desk.client.get_workflow_handle(f"{RETURN}-{order}").terminate()


async def test_what_hands_over_before_the_move_is_on_record_too(desk: Desk) -> None:
    order = desk.order()
    case = await bulk(desk, order, discount_percent="5")
    await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER)
    await desk.submit(case, "pass_legal_review", MANAGER, note="nothing speaks against it")
    await desk.submit(case, "reject", "presale-lead.1", note="no")
    await desk.until(case, "offering_list_price")
    async with desk.before("hand_over", order):
        await desk.signal(case, "buyer_declines_list_price", SPECIALIST)
        await desk.reached("hand_over", order)
        assert await is_on_record(case, "buyer_declines_list_price")
    assert (await desk.end(case)).outcome == "refund_opened"
    child = desk.client.get_workflow_handle(f"{REFUND}-{order}")
    await desk.until(child, "persuading")
    with desk.database.reading() as session:
        assert cases_holding(session, order) == [child.id]
    await child.cancel()
    await desk.end(child)


every_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)


@every_stage
async def test_nothing_comes_of_an_update_before_it_is_on_record(desk: Desk, stage: Stage) -> None:
    """Until a workflow task is done, Temporal has an update in memory only: a server that is slow may lose it."""
    case = await stage.reach(desk)
    before = (await case.describe()).history_length
    await desk.submit(case, stage.one.trigger, stage.one.by, **stage.one.fields)
    events = [event async for event in case.fetch_history_events() if event.event_id > before]
    came = next(
        event.event_id
        for event in events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
    )
    with_it = recorded_by_one_task([event for event in events if event.event_id > came])
    assert steps_in(with_it) == ["consider"], "nobody but who is asking"
    await called_off(desk, case, stage.calls_off)


@pytest.mark.parametrize("stage", [one for one in STAGES if one.policy is None], ids=lambda stage: stage.name)
async def test_nothing_comes_of_a_deadline_before_it_is_on_record(desk: Desk, stage: Stage) -> None:
    """Where the task is played again with a message that has come since, the message would go first."""
    case = await stage.reach(desk)
    view = await desk.view(case)
    assert view.due is not None
    await desk.skip(case, view.due - await desk.skipper.get_current_time(case) - timedelta(minutes=1))
    before = (await desk.at_rest(case)).length
    await desk.skip(case, timedelta(minutes=2))
    events = [event async for event in case.fetch_history_events() if event.event_id > before]
    rang = next(event.event_id for event in events if event.event_type == EventType.EVENT_TYPE_TIMER_FIRED)
    task = next(
        event.event_id
        for event in events
        if event.event_id > rang and event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    )
    assert steps_in(recorded_by_one_task([event for event in events if event.event_id > task])) == []
    await called_off(desk, case, stage.calls_off)


def recorded_by_one_task(events: Sequence[HistoryEvent]) -> list[HistoryEvent]:
    """What stands before the next workflow task."""
    scheduled = EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED
    return list(itertools.takewhile(lambda event: event.event_type != scheduled, events))


def steps_in(events: Sequence[HistoryEvent]) -> list[str]:
    """The steps on the shop that were recorded, by activity."""
    markers = [
        event.marker_recorded_event_attributes for event in events if event.HasField("marker_recorded_event_attributes")
    ]
    return [json.loads(marker.details["data"].payloads[0].data)["activity_type"] for marker in markers]


@pytest.mark.parametrize("trigger", ["find_out_of_stock", "order_gone"])
async def test_what_takes_a_promise_back_before_the_move_is_on_record_too(desk: Desk, trigger: str) -> None:
    case, order = await gift(desk)
    if trigger == "order_gone":
        desk.platform_refunds_order(order)
    async with desk.before("withdraw_gift", order):
        await desk.signal(case, trigger, "system" if trigger == "order_gone" else AUDITOR)
        await desk.reached("withdraw_gift", order)
        assert await is_on_record(case, trigger)
    await desk.until(case, "revoked" if trigger == "order_gone" else "negotiating")
    await case.cancel()


async def test_nobody_is_told_of_a_question_by_update_before_it_is_on_record(desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="bought twice")
    before = (await desk.at_rest(case)).length
    await desk.submit(case, "ask_opener", LEAD, question="did the buyer say why?")
    events = [event async for event in case.fetch_history_events() if event.event_id > before]
    accepted = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
    came = next(number for number, event in enumerate(events) if event.event_type == accepted)
    assert steps_in(recorded_by_one_task(events[came:])) == ["consider"]
    assert "post_messages" in steps_in(events)
    await case.cancel()
