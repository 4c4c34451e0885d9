"""The patrol's Schedule on Temporal, and the patrol by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError

from casework import names
from casework.client import ANSWER_SECONDS, NO_WORKER, NoAnswer
from casework.connection import is_not_there
from casework.patrol import Patrolled

CATCH_UP: Final = timedelta(minutes=1)
"""What was missed for longer is not made up for: the next patrol looks at everything anyway."""
SUMMARY: Final = "巡检在途包裹 / parcel patrol"

Patrol = WorkflowHandle[Any, Any]


class PatrolFailed(Exception):
    """A patrol failed, or somebody called it off: one plain sentence."""


@dataclass(frozen=True, slots=True)
class KnownSchedule:
    """The Schedule as Temporal has it: how often it patrols (None: not at one interval), and whether it is paused."""

    every: timedelta | None
    paused: bool


async def keep_schedule(client: Client, interval: timedelta, *, task_queue: str = names.TASK_QUEUE) -> None:
    """Make the Schedule, or bring it up to date; whether somebody has paused it stays as it is."""
    wanted = Schedule(
        action=ScheduleActionStartWorkflow(
            names.PARCEL_PATROL, id=names.PATROL_ID, task_queue=task_queue, static_summary=SUMMARY
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=interval)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP),
    )

    def up_to_date(known: ScheduleUpdateInput) -> ScheduleUpdate:
        return ScheduleUpdate(schedule=replace(wanted, state=known.description.schedule.state))

    try:
        await client.create_schedule(names.PATROL_ID, wanted)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(names.PATROL_ID).update(up_to_date)


async def known_schedule(client: Client) -> KnownSchedule | None:
    """The Schedule as Temporal has it; None if it has none."""
    try:
        described = await client.get_schedule_handle(names.PATROL_ID).describe()
    except RPCError as error:
        if is_not_there(error):
            return None
        raise
    intervals = described.schedule.spec.intervals
    return KnownSchedule(
        every=intervals[0].every if len(intervals) == 1 else None,
        paused=described.schedule.state.paused,
    )


async def patrol_by_hand(
    client: Client,
    *,
    answer_seconds: float = ANSWER_SECONDS,
    joins: Callable[[str], None] = lambda _: None,
) -> Patrolled:
    """Patrol now, and wait for what comes of it. `joins` hears the id of one that is under way already.

    Raises:
        NoAnswer: no worker answers; the patrol begins as soon as one runs.
        PatrolFailed: it did not come to its end.

    """
    patrol = await _under_way(client)
    if patrol is None:
        try:
            await client.start_workflow(
                names.PARCEL_PATROL,
                id=names.PATROL_ID,
                task_queue=names.TASK_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                static_summary=SUMMARY,
            )
        except WorkflowAlreadyStartedError:
            joins(names.PATROL_ID)
        patrol = client.get_workflow_handle(names.PATROL_ID)
    else:
        joins(patrol.id)
    await _require_worker(patrol, answer_seconds)
    try:
        return Patrolled.model_validate(await patrol.result())
    except WorkflowFailureError as error:
        why = error.cause.message if isinstance(error.cause, ApplicationError) else "it was called off"
        raise PatrolFailed(f"The patrol {patrol.id} did not come to its end: {why}.") from None


async def _under_way(client: Client) -> Patrol | None:
    """The patrol that the Schedule has started and that has not ended, if any."""
    try:
        described = await client.get_schedule_handle(names.PATROL_ID).describe()
    except RPCError as error:
        if is_not_there(error):
            return None
        raise
    running = [one for one in described.info.running_actions if isinstance(one, ScheduleActionExecutionStartWorkflow)]
    return client.get_workflow_handle(running[0].workflow_id) if running else None


async def _require_worker(patrol: Patrol, answer_seconds: float) -> None:
    timeout = timedelta(seconds=answer_seconds)
    try:
        async with asyncio.timeout(answer_seconds):
            await patrol.query(names.PATROL_QUERY, rpc_timeout=timeout)
    except WorkflowQueryFailedError:
        return  # it answers, and says by its end what is wrong
    except (RPCError, TimeoutError) as error:
        if isinstance(error, RPCError) and error.status not in NO_WORKER:
            raise
        raise NoAnswer(
            f"The patrol {patrol.id} was taken in, but no worker answered within {answer_seconds:.0f} s: "
            "it begins as soon as casework up runs.",
            taken_in=True,
        ) from None
