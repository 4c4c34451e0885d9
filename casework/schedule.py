"""The patrol's Schedule on Temporal, and the patrol by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
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
    WorkflowHandle,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from casework import names
from casework.patrol import Patrolled

CATCH_UP: Final = timedelta(minutes=1)
"""What was missed for longer is not made up for: the next patrol looks at everything anyway."""
SUMMARY: Final = "巡检在途包裹 / parcel patrol"


@dataclass(frozen=True, slots=True)
class KnownSchedule:
    """The Schedule as Temporal has it: how often it patrols (None: not at an interval), whether it is paused, and when
    it is next.
    """

    every: timedelta | None
    paused: bool
    next_at: datetime | None


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
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    intervals = described.schedule.spec.intervals
    return KnownSchedule(
        every=intervals[0].every if len(intervals) == 1 else None,
        paused=described.schedule.state.paused,
        next_at=next(iter(described.info.next_action_times), None),
    )


async def join_or_start(
    client: Client, *, task_queue: str = names.TASK_QUEUE
) -> tuple[WorkflowHandle[Any, dict[str, Any]], bool]:
    """The patrol that is under way, started by the Schedule or by hand, or else a new one; and whether it is new."""
    scheduled = await _running_by_schedule(client)
    if scheduled is not None:
        return client.get_workflow_handle(scheduled), False
    try:
        await client.start_workflow(
            names.PARCEL_PATROL,
            id=names.PATROL_ID,
            task_queue=task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            static_summary=SUMMARY,
        )
    except WorkflowAlreadyStartedError:
        return client.get_workflow_handle(names.PATROL_ID), False
    return client.get_workflow_handle(names.PATROL_ID), True


async def _running_by_schedule(client: Client) -> str | None:
    try:
        described = await client.get_schedule_handle(names.PATROL_ID).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    running = [one for one in described.info.running_actions if isinstance(one, ScheduleActionExecutionStartWorkflow)]
    return running[0].workflow_id if running else None


async def result_of(handle: WorkflowHandle[Any, dict[str, Any]]) -> Patrolled:
    """Wait for the patrol's end, also over its continuations.

    Raises:
        WorkflowFailureError: where it failed, or somebody cancelled or ended it.

    """
    return Patrolled.model_validate(await handle.result())
