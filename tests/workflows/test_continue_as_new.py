"""A case that waits for long, or is talked at a lot, continues as new and loses nothing on the way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from typing import Any, NoReturn, cast

import pytest
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowUpdateFailedError
from temporalio.worker import (
    ContinueAsNewInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from casework.names import TASK_QUEUE
from casework.policy import load_policy
from tests.desk import Desk, Handle
from worker import build_worker
from workflows.case import SHORTEST_WAIT

AGENT, LEAD = "aftersale.1", "aftersale-lead.5"
HALT = "casework_halt"
HALTS_SECONDS = 1.5
"""A workflow that stands still for two seconds is taken for dead."""


class Halts(Interceptor):
    """The first case that is about to continue as new stands still in that moment, until the test lets it go."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.let_go = threading.Event()
        self._loop = asyncio.get_running_loop()

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002 - the SDK's name
        ways_out = cast("MutableMapping[str, Any]", input.unsafe_extern_functions)  # pyright: ignore[reportUnknownMemberType]
        ways_out[HALT] = self._halt
        return _Workflow

    def _halt(self) -> None:
        self._loop.call_soon_threadsafe(self.reached.set)
        self.let_go.wait(HALTS_SECONDS)


class _Workflow(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))


class _Outbound(WorkflowOutboundInterceptor):
    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:  # noqa: A002 - the SDK's name
        functions = cast("dict[str, Callable[[], None]]", workflow.extern_functions())  # pyright: ignore[reportUnknownMemberType]
        functions[HALT]()
        super().continue_as_new(input)


async def test_a_signal_that_comes_in_the_moment_of_continuing_is_not_lost(desk: Desk) -> None:
    halts, queue = Halts(), f"{TASK_QUEUE}-halting"
    ours = replace(desk, task_queue=queue)
    async with build_worker(desk.client, desk.database, load_policy(None), task_queue=queue, interceptors=[halts]):
        case = await ours.open_in("persuading", ours.order(prices=[(50_000, 1)]), reason="bought twice")
        first_run, sent = (await case.describe()).run_id, 0
        while not halts.reached.is_set():
            assert sent < 200, "it never continued as new"
            await ours.signal(case, "approve", "warehouse.1")
            sent += 1
            if await is_about_to_continue(case, await ours.at_rest(case)):
                await asyncio.wait_for(halts.reached.wait(), 20)
        await ours.signal(case, "approve", "warehouse.1")
        halts.let_go.set()
        after = await ours.submit(case, "parcel_back", "returns.1")
        assert len([line for line in after.trail if not line.accepted]) == sent + 1
        while (await case.describe()).run_id == first_run:
            await ours.signal(case, "approve", "warehouse.1")
            await comes_to_rest(ours, case)
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
        await comes_to_rest(desk, case)

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


async def comes_to_rest(desk: Desk, case: Handle) -> None:
    """Wait until the case has done what it was told, and is not about to continue as new either."""
    length = await desk.at_rest(case)
    if await is_about_to_continue(case, length):
        async for event in case.fetch_history_events(wait_new_event=True):
            if event.event_id > length:
                break
        await desk.at_rest(case)


async def is_about_to_continue(case: Handle, length: int) -> bool:
    """Whether the shortest of timers is the last that a case at rest has begun, and still runs."""
    about_to_continue = False
    async for event in case.fetch_history_events():
        timer = event.timer_started_event_attributes
        if event.event_type == EventType.EVENT_TYPE_TIMER_STARTED:
            about_to_continue = timer.start_to_fire_timeout.ToTimedelta() == SHORTEST_WAIT
        elif event.event_id > length or event.event_type in TIMER_ENDS:
            about_to_continue = False
    return about_to_continue


TIMER_ENDS = (EventType.EVENT_TYPE_TIMER_FIRED, EventType.EVENT_TYPE_TIMER_CANCELED)
