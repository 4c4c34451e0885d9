"""What lasts long: a parcel that is tracked for months, and a patrol over many shipments."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path as File
from typing import NamedTuple

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.testing import TimeSkipper, TimeSkippingConfig

from bench.measure import Handle, Rig
from bench.paths import Path, nothing
from casework.names import PARCEL_PATROL, WORKFLOW_TYPES
from casework.patrol import Patrolled
from casework.policy import load_policy
from casework.skipping import PATIENCE_SECONDS, skip
from state_machines.problem_parcel import PROBLEM_PARCEL
from tests.orders import add_scan, add_shipments, new_shop
from tests.runs import histories
from worker import build_worker

NOTHING_LATE = """
[problem_parcel]
cycle_same_province_days = 300
cycle_other_days = 300
cycle_remote_days = 300
no_scan_days = 300
"""
"""Nothing is late by itself, so that nobody has to look for the parcel; the courier is asked as often as ever."""
LOOKS_PASSED_OVER = 2
"""A skip in which a new run begins may pass over a look or two; more, and time was skipped over the case's work."""
EVENTS_OF_A_SKIP = 3
"""At most: it is asked for, begins, and is done. The timer that it has passed rings only after that."""
FIRST_TASK = 5
"""So many events has a run, with a skip among them, before its first workflow task has come to anything."""
PATROL_ID = "parcel-patrol-bench"


class _Place(NamedTuple):
    """How far a case is: its newest run, and the events of that."""

    run_id: str | None
    events: int


@dataclass(frozen=True, slots=True)
class LongRun:
    """What came of it, over all runs; seconds are real ones."""

    of: int
    """So many days, or shipments."""
    seconds: float
    events: list[int]
    """Of each run."""


async def tracked(rig: Rig, path: Path, home: File, days: int) -> LongRun:
    """Track a parcel that only moves for so many days, which are skipped.

    Raises:
        RuntimeError: if the case does not track it any more then, or has not looked at it as often as the policy says.

    """
    file = home / "nothing-late.toml"
    file.write_text(NOTHING_LATE, "utf-8")
    policy = load_policy(file)
    path = replace(path, first=nothing, start={**path.start, "cause": "overdue"})
    (order,) = rig.orders(path, 1)
    start = path.start_of(order.order_id)
    with rig.database.writing() as session:
        add_scan(session, start["waybill"], "0", at=datetime.now(UTC))
    begun = time.perf_counter()
    async with build_worker(rig.client, rig.database, policy, task_queue="tracked"):
        case = await rig.client.start_workflow(
            WORKFLOW_TYPES[PROBLEM_PARCEL.name], start, id=order.case_id, task_queue="tracked"
        )
        await _let_pass(rig, case, timedelta(days=days), at_a_time=policy.problem_parcel.poll)
        state = (await rig.client.get_workflow_handle(case.id).query("case"))["state"]
        runs = await _runs(rig, case)
        await rig.client.get_workflow_handle(case.id).terminate()
    asked = sum(event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED for run in runs for event in run)
    looks = timedelta(days=days) // policy.problem_parcel.poll
    if state != "tracking" or asked < looks - LOOKS_PASSED_OVER * len(runs):
        raise RuntimeError(f"{case.id} is in {state} after {days} days, and has asked its courier {asked} times")
    return LongRun(days, time.perf_counter() - begun, [len(run) for run in runs])


async def patrolled(rig: Rig, home: File, shipments: int) -> LongRun:
    """Let a patrol go over so many shipments with which nothing is wrong, in a shop of their own.

    Raises:
        RuntimeError: if it left something out, or found something.

    """
    database = new_shop(f"sqlite:///{home / 'patrolled.db'}")
    with database.writing() as session:
        add_shipments(session, shipments, left=datetime.now(UTC) - timedelta(days=1))
    async with build_worker(rig.client, database, load_policy(None), task_queue="patrolled"):
        begun = time.perf_counter()
        patrol = await rig.client.start_workflow(PARCEL_PATROL, id=PATROL_ID, task_queue="patrolled")
        done = Patrolled.model_validate(await patrol.result())
        seconds = time.perf_counter() - begun
        runs = await _runs(rig, patrol)
    database.close()
    if (done.looked_at, done.opened) != (shipments, 0):
        raise RuntimeError(f"the patrol looked at {done.looked_at} of {shipments} shipments and opened {done.opened}")
    return LongRun(shipments, seconds, [len(run) for run in runs])


async def _let_pass(rig: Rig, case: Handle, duration: timedelta, *, at_a_time: timedelta) -> None:
    """Skip time for the case, also over its continuations.

    Temporal lets a new run wait for a moment before its first workflow task, and time can be skipped before it: so
    little at a time, and not before the newest run has begun.
    """
    skipper = TimeSkipper(rig.client, config=TimeSkippingConfig(enabled=False))
    newest = rig.client.get_workflow_handle(case.id)
    await _at_rest(newest)  # while it is being opened, the first looks would be skipped over
    passed_to = await skipper.get_current_time(newest)
    until = passed_to + duration
    while passed_to < until:
        before = await _at_rest(newest)
        now = await skipper.get_current_time(newest)
        if now >= passed_to + at_a_time:  # a skip that ends while the case looks goes on to the next look by itself
            passed_to += at_a_time
        elif await skip(skipper, newest, min(until - now, at_a_time)):
            passed_to = now + at_a_time
        else:
            continue
        # whoever skips on before the case has looked skips over the look
        with suppress(TimeoutError):  # Temporal has lost sight of the skip: it is asked for anew
            async with asyncio.timeout(PATIENCE_SECONDS):
                while passed_to <= until and not _went_on(before, await _place(newest)):
                    pass


async def _at_rest(case: Handle) -> _Place:
    """How far it is once nothing is under way."""
    while (place := await _place(case)) is None:
        pass
    return place


def _went_on(before: _Place, place: _Place | None) -> bool:
    """Whether the case has done more since than have time skipped, and is at rest again."""
    if place is None:
        return False
    return place.run_id != before.run_id or place.events > before.events + EVENTS_OF_A_SKIP


async def _place(case: Handle) -> _Place | None:
    """The newest run, and how far it is; None: something is under way, or the run has not begun its work."""
    described = await case.describe()
    raw = described.raw_description
    if raw.HasField("pending_workflow_task") or raw.pending_activities or described.history_length <= FIRST_TASK:
        return None
    return _Place(described.run_id, described.history_length)


async def _runs(rig: Rig, of: Handle) -> list[list[HistoryEvent]]:
    return [events async for events in histories(rig.client, of.id, of.first_execution_run_id)]
