"""How Temporal has a case, also one that was broken off; and how a case is asked."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
)
from temporalio.service import RPCError

from casework import names
from casework.case import CaseView
from casework.connection import is_not_there
from casework.details import CASE_AMOUNT, CASE_DUE, CASE_STATE
from casework.instance import MOMENTARY
from casework.shop.records import CaseRecord
from state_machines.flows import FLOWS

ASKING_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.05
LONGEST_FAILURE: Final = 400
"""Characters of a failure's text that are repeated."""


@dataclass(frozen=True, slots=True)
class Execution:
    """How Temporal has a case: the last run of its id. `first_run` is what the shop's record calls the run.

    Times are aware.
    """

    status: WorkflowExecutionStatus | None
    run_id: str
    first_run: str
    started: datetime
    closed: datetime | None
    state: str
    due: datetime | None
    amount_fen: int
    task_attempt: int
    """Of a workflow task that is under way or to come; 0: there is none."""
    task_since: datetime | None = None
    """Since when it is to be done, on the case's clock, however often it was prolonged for a step on the shop."""
    activities: list[PendingActivity] = field(default_factory=list["PendingActivity"])

    @property
    def running(self) -> bool:
        """Whether it is open."""
        return self.status is WorkflowExecutionStatus.RUNNING

    def ended_as(self, record: CaseRecord) -> str:
        """The outcome of the recorded run, which is over and never ended by itself."""
        if self.first_run != record.run_id:
            return "terminated"  # by whoever began another run of the id
        return self.status.name.lower() if self.status is not None else "lost"


@dataclass(frozen=True, slots=True)
class PendingActivity:
    """A step outside the shop that is tried again and again: how often by now, and what it last failed of.

    `next_try` is aware.
    """

    activity: str
    attempt: int
    failure: str
    next_try: datetime | None


async def execution_of(client: Client, case_id: str) -> Execution | None:
    """How Temporal has the case; None: it does not have it."""
    try:
        described = await client.get_workflow_handle(case_id).describe(rpc_timeout=timedelta(seconds=ASKING_SECONDS))
    except RPCError as error:
        if is_not_there(error):
            return None
        raise
    return execution_described(described)


def execution_described(described: WorkflowExecutionDescription) -> Execution:
    """How Temporal has the case, by what it says of it."""
    raw = described.raw_description
    task = raw.pending_workflow_task
    known = described.typed_search_attributes
    return Execution(
        status=described.status,
        run_id=described.run_id,
        first_run=raw.workflow_execution_info.first_run_id or described.run_id,
        started=described.start_time,
        closed=described.close_time,
        state=known.get(CASE_STATE, ""),
        due=known.get(CASE_DUE, None),
        amount_fen=known.get(CASE_AMOUNT, 0),
        task_attempt=task.attempt if raw.HasField("pending_workflow_task") else 0,
        task_since=_moment(task.original_scheduled_time) if raw.HasField("pending_workflow_task") else None,
        activities=[
            PendingActivity(
                activity=one.activity_type.name,
                attempt=one.attempt,
                failure=one.last_failure.message[:LONGEST_FAILURE],
                next_try=_moment(one.scheduled_time) if one.HasField("scheduled_time") else None,
            )
            for one in raw.pending_activities
        ],
    )


def _moment(timestamp: Any) -> datetime:
    return timestamp.ToDatetime(tzinfo=UTC)


async def queried(handle: WorkflowHandle[Any, Any], name: str, *, timeout: timedelta) -> Any:
    """What a case answers to a query, asked again where it is in the moment of a change.

    Each question may take that long; whoever asks says how long all of them may.
    """
    while True:
        try:
            return await handle.query(name, rpc_timeout=timeout)
        except WorkflowQueryFailedError as error:
            if MOMENTARY not in str(error):
                raise
        await asyncio.sleep(POLL_SECONDS)


async def last_view(
    client: Client, record: CaseRecord, execution: Execution | None, *, seconds: float = ASKING_SECONDS
) -> CaseView:
    """A case that was broken off as it was then, from Temporal if it still can say so within the `seconds`; else what
    the record knows.
    """
    if execution is not None and execution.first_run != record.run_id:
        execution = None  # another run has the id by now: it says nothing of this one
    if execution is not None:
        handle = client.get_workflow_handle(record.case_id, run_id=execution.run_id)
        with suppress(RPCError, WorkflowQueryFailedError, TimeoutError, ValueError):
            async with asyncio.timeout(seconds):
                asking = queried(handle, names.CASE_QUERY, timeout=timedelta(seconds=seconds))
                return CaseView.model_validate(await asking)
    flow = FLOWS.get(record.flow)
    state = execution.state if execution is not None else ""
    return CaseView(
        case_id=record.case_id,
        flow=record.flow,
        order_id=record.order_id,
        state=state or (flow.initial if flow else ""),
        final=False,
        outcome=None,
        amount_fen=record.amount_fen or (execution.amount_fen if execution is not None else 0),
        version=0,
        waiting_for=[],
        assignee=None,
        due=None,
        if_silent=None,
        opened_by=record.opened_by,
        opened_at=record.opened_at,
        trail=[],
        policy="",
        links=[record.from_case] if record.from_case else [],
        note=None,
        kept=[],
    )


def broken_off(view: CaseView, outcome: str) -> CaseView:
    """The last view of a case that never ended by itself: it stays where it was, and nothing is to be done in it."""
    return view.model_copy(
        update={"final": True, "outcome": outcome, "waiting_for": [], "due": None, "if_silent": None, "assignee": None}
    )
