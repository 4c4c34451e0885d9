"""What lasts long: a parcel that is tracked for months, and a patrol over many shipments."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path as File

from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent

from bench.measure import Handle, Rig
from bench.paths import Path, nothing
from casework.names import PARCEL_PATROL, WORKFLOW_TYPES
from casework.patrol import Patrolled
from casework.policy import load_policy
from casework.skipping import let_pass_over_runs, skipper_of
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
PATROL_ID = "parcel-patrol-bench"


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
        skipper = skipper_of(rig.client)
        until = await skipper.get_current_time(case) + timedelta(days=days)
        await let_pass_over_runs(skipper, case, until, at_a_time=policy.problem_parcel.poll)
        newest = rig.client.get_workflow_handle(case.id)
        state = (await newest.query("case"))["state"]
        runs = await _runs(rig, case)
        await newest.terminate()
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


async def _runs(rig: Rig, of: Handle) -> list[list[HistoryEvent]]:
    return [events async for events in histories(rig.client, of.id, of.first_execution_run_id)]
