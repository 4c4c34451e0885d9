"""Letting a case's time pass on Temporal's development server: for the demo, the bench and tests, never for a shop."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError
from temporalio.testing import TimeSkipper, TimeSkippingConfig

from casework.connection import is_not_there

PATIENCE_SECONDS: Final = 5
"""For how long one answer of a case's, or of Temporal's, is waited for. Temporal skips in less than a second; where a
workflow task comes in between, it may never come to it."""
OVERRIDDEN: Final = "fast_forward_id does not match"
MOST_TRIES: Final = 60


def skipper_of(client: Client) -> TimeSkipper:
    """Lets time pass through that client, where it is asked to.

    What a case opens meanwhile begins at the case's time, and does not skip on: whether it did would hang on whether
    the time that was asked for had passed by then.
    """
    return TimeSkipper(client, config=TimeSkippingConfig(enabled=False, disable_propagation=True))


async def skip(skipper: TimeSkipper, handle: WorkflowHandle[Any, Any], duration: timedelta) -> bool:
    """Ask once for time to pass for one case; False: it has ended, or Temporal has lost sight of it: ask anew.

    Temporal would pass over a timer that is due and has not fired yet, and in a run that has not begun over all that it
    is about to do: so the case may come to them first.
    """
    with _unless_gone():
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await until_rung(skipper, handle)
                return await skipper.fast_forward(handle, duration)
        except TimeoutError:
            await _stop(skipper, handle)
            await _let_children_go_on(skipper, handle)
    return False


@contextmanager
def _unless_gone() -> Generator[None]:
    """Where the case has ended a moment ago, or somebody else asks for more time to pass, it is left at that."""
    try:
        yield
    except RPCError as error:
        if not is_not_there(error):
            raise
    except RuntimeError as error:  # the SDK has no kind of its own for it
        if OVERRIDDEN not in str(error):
            raise


async def _stop(skipper: TimeSkipper, handle: WorkflowHandle[Any, Any]) -> None:
    """Let no more time pass for a case: what was asked for before would come on top of what is asked for next.

    So also where nothing was asked for this time: the stop of an earlier one may not have been answered. Temporal goes
    by what was asked for last, and so little passes by itself.
    """
    with suppress(TimeoutError, RPCError, RuntimeError):  # it has ended, or somebody else asks for more
        async with asyncio.timeout(PATIENCE_SECONDS):
            await skipper.fast_forward(handle, timedelta(milliseconds=1))


async def _let_children_go_on(skipper: TimeSkipper, handle: WorkflowHandle[Any, Any]) -> None:
    """Let time pass for the children of a case, for which it waits: Temporal does not skip for a workflow that has an
    open child.
    """
    for child in (await handle.describe()).raw_description.pending_children:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await _let_go_on(skipper, child.workflow_id)


async def _let_go_on(skipper: TimeSkipper, workflow_id: str) -> None:
    """Let time pass for a workflow until its end, unless it does already, or has ended."""
    opened: WorkflowHandle[Any, Any] = skipper.client.get_workflow_handle(workflow_id)
    with _unless_gone():
        skipping = await skipper.get_time_skipping_info(opened)
        if skipping is None or not skipping.effective_config.enabled:
            await skipper.fast_forward(opened)


async def let_pass(skipper: TimeSkipper, handle: WorkflowHandle[Any, Any], duration: timedelta) -> None:
    """Let time pass for one case, or until it ends.

    Raises:
        RuntimeError: Temporal never comes to it.

    """
    now = await skipper.get_current_time(handle)
    until = now + duration
    for _ in range(MOST_TRIES):
        if now >= until or await skip(skipper, handle, until - now):
            return
        if await _has_ended(handle):
            return
        now = await skipper.get_current_time(handle)
    raise RuntimeError(f"Temporal does not skip {until - now} for {handle.id}")


async def let_pass_over_runs(
    skipper: TimeSkipper, handle: WorkflowHandle[Any, Any], until: datetime, *, at_a_time: timedelta
) -> None:
    """Let time pass until then (aware), or until it ends, for one case that continues as new meanwhile.

    A skip that spans a continuation goes on in the new run, before that has set its first timer, and so may pass over
    it: hence little at a time.
    """
    while (now := await skipper.get_current_time(handle)) < until:
        await let_pass(skipper, handle, min(until - now, at_a_time))
        if await _has_ended(handle):
            return


async def until_rung(skipper: TimeSkipper, handle: WorkflowHandle[Any, Any]) -> bool:
    """Wait until no timer of the case is due, and its run has begun: Temporal comes to both a moment late.

    Who lets time pass meanwhile lets it pass without the case. True: it had to be waited for, and the case has done
    something since.
    """
    waited = False
    while (late := await _late(skipper, handle)) is not None:
        await until_longer_than(late)
        waited = True
    return waited


@dataclass(frozen=True, slots=True)
class RunSoFar:
    """A run of a case, and how many events its history has."""

    run: WorkflowHandle[Any, Any]
    length: int


def so_far(client: Client, description: WorkflowExecutionDescription) -> RunSoFar:
    """The newest run of a case, as it was described."""
    return RunSoFar(client.get_workflow_handle(description.id, run_id=description.run_id), description.history_length)


async def until_longer_than(before: RunSoFar) -> None:
    """Wait until the history of a run is longer than it was, or the run has ended, as where it has continued as new."""
    async for event in before.run.fetch_history_events(wait_new_event=True):
        if event.event_id > before.length:
            return


async def _has_ended(handle: WorkflowHandle[Any, Any]) -> bool:
    return (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING


async def _late(skipper: TimeSkipper, handle: WorkflowHandle[Any, Any]) -> RunSoFar | None:
    """The run of the case to which something has come due that Temporal has not come to; None: nothing has."""
    description = await handle.describe()
    if description.status is not WorkflowExecutionStatus.RUNNING:
        return None
    run = so_far(skipper.client, description).run
    now, rings, begun = _time_of(description), dict[str, datetime](), False
    events = (await run.fetch_history()).events
    for event in events:
        begun = begun or event.HasField("workflow_task_completed_event_attributes")
        started = event.timer_started_event_attributes
        if event.HasField("timer_started_event_attributes"):
            rings[started.timer_id] = event.event_time.ToDatetime(UTC) + started.start_to_fire_timeout.ToTimedelta()
        rings.pop(event.timer_fired_event_attributes.timer_id, None)
        rings.pop(event.timer_canceled_event_attributes.timer_id, None)
    return RunSoFar(run, len(events)) if not begun or any(at <= now for at in rings.values()) else None


def _time_of(description: WorkflowExecutionDescription) -> datetime:
    """The case's own time (aware), as `TimeSkipper.get_current_time` reads it, which would describe the case again."""
    extended = description.raw_description.workflow_extended_info
    if not extended.HasField("time_skipping_info"):
        return datetime.now(UTC)
    return extended.time_skipping_info.current_time.ToDatetime(UTC)


async def skip_past(skipper: TimeSkipper, handle: WorkflowHandle[Any, Any], due: datetime) -> bool:
    """Let time pass for one case until a second after `due` (aware); False: it has ended, or is not that late yet."""
    left = due - await skipper.get_current_time(handle)
    if not await skip(skipper, handle, max(left, timedelta(0)) + timedelta(seconds=1)):
        return False
    return await skipper.get_current_time(handle) >= due
