"""Operators' repair: which cases are stuck, broken off, or contradicted by the shop, and what helps. Looks, and mends
only what it is told to; money is never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy.orm import Session
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client, WorkflowExecutionStatus

from casework.client import OPEN_CASES, ask_each
from casework.execution import LONGEST_FAILURE, Execution, broken_off, execution_of, last_view
from casework.money import format_yuan
from casework.shop import mending, records
from casework.shop.database import Database
from casework.shop.mending import Kept
from casework.shop.records import CaseRecord
from state_machines.roles import Label

JUST_NOW: Final = timedelta(minutes=1)
"""A case that began so lately may still be about to be recorded."""
UNDONE_AFTER: Final = timedelta(minutes=2)
"""A step on the shop takes milliseconds; one that is tried for so long does not pass by itself."""
OVERDUE_AFTER: Final = timedelta(minutes=10)
"""A deadline that passed so long ago should have moved its case."""
UNANSWERED_AFTER: Final = 9
"""So many attempts of a step outside the shop have failed after four to nine minutes, as each takes to fail: it is no
hiccup."""


class Trouble(StrEnum):
    """What can be wrong with a case."""

    FAILING = "failing"
    UNDONE = "undone"
    UNANSWERED = "unanswered"
    OVERDUE = "overdue"
    UNRECORDED = "unrecorded"
    REOPENED = "reopened"
    DIED = "died"
    LOST = "lost"
    KEPT = "kept"
    PAID = "paid_without_end"


PASSING: Final = frozenset({Trouble.UNANSWERED})
"""What passes by itself as soon as somebody else answers: nothing in it contradicts the table or the books."""


WHAT: Final[dict[Trouble, tuple[Label, Label]]] = {
    Trouble.FAILING: (
        Label("流程任务反复失败", "its workflow task keeps failing"),
        Label("见 casework retry {case_id}", "casework retry {case_id} says what fails and what to do"),
    ),
    Trouble.UNDONE: (
        Label(
            "流程任务迟迟未完成:店铺步骤反复失败,或没有 worker 在运行",
            "its workflow task is not done: a step on the shop fails again and again, or no worker takes it",
        ),
        Label(
            "确认 casework up 正在运行,并查看其日志和店铺数据库;恢复后自动继续",
            "see that casework up runs, and what its log says of the shop's database; then it goes on by itself",
        ),
    ),
    Trouble.UNANSWERED: (
        Label("店铺之外的步骤反复失败", "a step outside the shop fails again and again"),
        Label(
            "查看支付或快递接口;恢复后自动继续,casework retry {case_id} 可见下次重试时间",
            "see to what it calls (payments, couriers); then it goes on by itself, casework retry {case_id} says when",
        ),
    ),
    Trouble.OVERDUE: (
        Label("期限已过而未动作", "its deadline has passed and it has not moved"),
        Label(
            "确认 casework up 正在运行,再看 casework retry {case_id}",
            "see that casework up runs; then casework retry {case_id} says what it waits for",
        ),
    ),
    Trouble.UNRECORDED: (
        Label("在 Temporal 中已开立,店铺无记录", "it is open in Temporal, and the shop has no record of it"),
        Label(
            "确认 casework up 正在运行且数据库正确,再看 casework retry {case_id}",
            "see that casework up runs, on this database; then casework retry {case_id}",
        ),
    ),
    Trouble.REOPENED: (
        Label(
            "店铺记录已结,却又在 Temporal 中运行(被重置)", "its record is closed, and it runs in Temporal: it was reset"
        ),
        Label(
            "不会再付款;如无他用,用 temporal workflow terminate --workflow-id {case_id} 终止",
            "it pays nothing more; end it: temporal workflow terminate --workflow-id {case_id}",
        ),
    ),
    Trouble.DIED: (
        Label("已被中断,店铺记录仍未结", "it was broken off, and its record is still open"),
        Label(
            "casework doctor --cases --mend 释放其占用并结案,然后可重新开立",
            "casework doctor --cases --mend lets go of what it has and closes its record; then it may be opened again",
        ),
    ),
    Trouble.LOST: (
        Label("Temporal 已无此工单,店铺记录仍未结", "Temporal does not have it, and its record is open"),
        Label(
            "先确认连接的是正确的 Temporal,再用 casework doctor --cases --mend",
            "be sure that this is the right Temporal server; then casework doctor --cases --mend",
        ),
    ),
    Trouble.KEPT: (
        Label("占用不属于任何未结工单", "what it has belongs to no open case"),
        Label("casework doctor --cases --mend 释放", "casework doctor --cases --mend lets go of it"),
    ),
    Trouble.PAID: (
        Label("已付款,但工单未走完", "it has paid, and never came to its end"),
        Label(
            "人工核对货物、库存并告知买家;--mend 会给退款专员派任务,不动款项",
            "see to goods and stock by hand, and tell the buyer; --mend asks the refund clerk to. No money is touched",
        ),
    ),
}
"""What is wrong, and what helps."""
MENDED: Final = frozenset({Trouble.DIED, Trouble.LOST, Trouble.KEPT, Trouble.PAID})
"""What `mend` mends."""


@dataclass(frozen=True, slots=True)
class Troubled:
    """A case with which something is wrong. `found` says in English what exactly, for programs and people."""

    case_id: str
    trouble: Trouble
    found: str
    run_id: str | None = None

    @property
    def mends(self) -> bool:
        """Whether `mend` does something about it."""
        return self.trouble in MENDED

    def label(self, language: str) -> str:
        """What is wrong, in words."""
        return WHAT[self.trouble][0].in_language(language)

    def advice(self, language: str) -> str:
        """What helps."""
        return WHAT[self.trouble][1].in_language(language).format(case_id=self.case_id)


# --- one case ---


async def last_task_failure(client: Client, case_id: str, run_id: str) -> str | None:
    """What the workflow task that is tried again and again failed of, newest first; None: no such task has failed."""
    token = b""
    while True:
        page = await client.workflow_service.get_workflow_execution_history_reverse(
            GetWorkflowExecutionHistoryReverseRequest(
                namespace=client.namespace,
                execution=WorkflowExecution(workflow_id=case_id, run_id=run_id),
                maximum_page_size=50,
                next_page_token=token,
            ),
            retry=True,
        )
        for event in page.history.events:
            match event.event_type:
                case EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                    return None
                case EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                    text = event.workflow_task_failed_event_attributes.failure.message or "no more is known"
                    return " ".join(text.split())[:LONGEST_FAILURE]
                case EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
                    return "the worker did not finish it in time"
                case _:
                    pass
        token = page.next_page_token
        if not token:
            return None


# --- all cases ---


async def examine(client: Client, database: Database, *, now: datetime, only: str | None = None) -> list[Troubled]:
    """Everything that is wrong with any case, or with one; by case. `now` is the time on the wall (aware)."""
    listed = await _listed(client) if only is None else [only]
    with database.reading() as session:
        recorded = records.find_records(session, closed=False, case_id=only)
        kept = [one for one in mending.kept_without_case(session) if only in (None, one.case_id)]
    givers = {one.handed_over_by for one in kept if one.handed_over_by is not None}
    case_ids = sorted({*listed, *givers, *(one.case_id for one in recorded), *(one.case_id for one in kept)})
    executions = dict(zip(case_ids, await ask_each(case_ids, lambda one: execution_of(client, one)), strict=True))
    found: list[Troubled] = []
    found += _of_records(recorded, executions)
    found += await _of_running(client, executions, {(one.case_id, one.run_id) for one in recorded}, now)
    found += _of_kept(kept, executions)
    with database.reading() as session:
        found = [_as_recorded(session, one, now) for one in found]
        found = [one for one in found if _still(session, one)]
        dead = [(one.case_id, str(one.run_id)) for one in found if one.trouble in (Trouble.DIED, Trouble.LOST)]
        unsettled = mending.paid_without_end(session, dead)
    found += [Troubled(one.case_id, Trouble.PAID, f"{format_yuan(one.paid_fen)} yuan", one.run_id) for one in unsettled]
    return sorted((one for one in found if only in (None, one.case_id)), key=lambda one: (one.case_id, one.trouble))


async def _listed(client: Client) -> list[str]:
    return [one.id async for one in client.list_workflows(OPEN_CASES)]


def _of_records(recorded: Sequence[CaseRecord], executions: dict[str, Execution | None]) -> list[Troubled]:
    """Records that are open although their runs are over."""
    found: list[Troubled] = []
    for record in recorded:
        execution = executions[record.case_id]
        if execution is None:
            found.append(Troubled(record.case_id, Trouble.LOST, "not found", record.run_id))
        elif not execution.running:
            found.append(Troubled(record.case_id, Trouble.DIED, execution.ended_as(record), record.run_id))
        # where another run has the id by now, that one closes this record when it opens its own
    return found


async def _of_running(
    client: Client, executions: dict[str, Execution | None], recorded: set[tuple[str, str]], now: datetime
) -> list[Troubled]:
    """Open cases that do not get on."""
    found: list[Troubled] = []
    running = {case_id: one for case_id, one in executions.items() if one is not None and one.running}
    failing = [case_id for case_id, one in running.items() if one.task_attempt > 1]
    failures = await ask_each(failing, lambda one: last_task_failure(client, one, running[one].run_id))
    for case_id, failure in zip(failing, failures, strict=True):
        found.append(
            Troubled(case_id, Trouble.FAILING, f"attempt {running[case_id].task_attempt}: {failure or 'not known yet'}")
        )
    for case_id, one in running.items():
        if one.task_attempt == 1 and one.task_since is not None and one.task_since < now - UNDONE_AFTER:
            found.append(Troubled(case_id, Trouble.UNDONE, f"since {one.task_since.isoformat()}", one.run_id))
        for step in one.activities:
            if step.attempt > UNANSWERED_AFTER:
                tried = f"{step.activity}, attempt {step.attempt}: {step.failure or 'no more is known'}"
                found.append(Troubled(case_id, Trouble.UNANSWERED, tried, one.run_id))
        if one.due is not None and one.due < now - OVERDUE_AFTER:
            found.append(Troubled(case_id, Trouble.OVERDUE, f"{one.state} until {one.due.isoformat()}"))
        if (case_id, one.first_run) not in recorded and one.started < now - JUST_NOW:
            found.append(Troubled(case_id, Trouble.UNRECORDED, f"since {one.started.isoformat()}", one.first_run))
    return found


def _of_kept(kept: Sequence[Kept], executions: dict[str, Execution | None]) -> list[Troubled]:
    """Things of cases that are not open, and that nobody is about to hand over to one."""
    lost: dict[str, list[Kept]] = {}
    for one in kept:
        holders = [executions.get(one.case_id), executions.get(one.handed_over_by or "")]
        if not any(execution is not None and execution.running for execution in holders):
            lost.setdefault(one.case_id, []).append(one)
    return [
        Troubled(
            case_id,
            Trouble.KEPT,
            ", ".join(f"{one.count} x {one.thing} of order {one.order_id}" for one in things),
        )
        for case_id, things in lost.items()
    ]


def _as_recorded(session: Session, one: Troubled, now: datetime) -> Troubled:
    """A case that runs and has no open record has a closed one, where it was reset after its end."""
    if one.trouble is not Trouble.UNRECORDED:
        return one
    records_of_it = records.find_records(session, case_id=one.case_id, closed=True)
    closed = next((run.closed_at for run in records_of_it if run.run_id == one.run_id), None)
    if closed is None or closed > now - JUST_NOW:  # else it is about to end
        return one
    return Troubled(one.case_id, Trouble.REOPENED, f"closed {closed.isoformat()}", one.run_id)


def _still(session: Session, one: Troubled) -> bool:
    """Whether it is so in the shop after Temporal was asked too: cases go on while somebody looks."""
    match one.trouble:
        case Trouble.DIED | Trouble.LOST:
            runs = records.find_records(session, case_id=one.case_id, closed=False)
            return one.run_id in [run.run_id for run in runs]
        case Trouble.UNRECORDED:
            return one.run_id not in [run.run_id for run in records.find_records(session, case_id=one.case_id)]
        case Trouble.KEPT:
            return one.case_id in [kept.case_id for kept in mending.kept_without_case(session)]
        case _:
            return True


# --- mending ---


async def knows_none(client: Client, database: Database) -> bool:
    """Whether Temporal has not one of the cases that are open in the shop: then it may be the wrong one."""
    with database.reading() as session:
        recorded = records.find_records(session, closed=False)
    for record in recorded:
        execution = await execution_of(client, record.case_id)
        if execution is not None and execution.first_run == record.run_id:
            return False
    return bool(recorded)


async def mend(client: Client, database: Database, troubled: Sequence[Troubled], *, now: datetime) -> list[Troubled]:
    """Mend what can be mended of it, a transaction each; those that were. What is open by now is left alone.

    `now` is aware.
    """
    mended: list[Troubled] = []
    for one in troubled:
        if not one.mends:
            continue
        execution = await execution_of(client, one.case_id)
        if execution is not None and execution.running and one.trouble is not Trouble.PAID:
            continue
        if await _mend(client, database, one, execution, now):
            mended.append(one)
    return mended


async def _mend(client: Client, database: Database, one: Troubled, execution: Execution | None, now: datetime) -> bool:
    if one.trouble is Trouble.PAID:
        run = (one.case_id, str(one.run_id))
        with database.writing() as session:
            untold = {(left.case_id, left.run_id): left for left in mending.paid_without_end(session, [run])}
            if run not in untold:  # the mending of the broken-off case itself has told of it before
                return True
            recorded = records.find_records(session, case_id=one.case_id)
            died = any(record.run_id == one.run_id and record.died for record in recorded)
            return died and mending.tell_of_unsettled(session, untold[run], at=now)
    if one.trouble is Trouble.KEPT:
        with database.writing() as session:
            return mending.mend_kept(session, one.case_id, at=now)
    with database.reading() as session:
        record = next(run for run in records.find_records(session, case_id=one.case_id) if run.run_id == one.run_id)
    ended_itself = execution is not None and execution.status is WorkflowExecutionStatus.COMPLETED
    view = await last_view(client, record, execution)
    outcome = view.outcome if ended_itself and view.outcome else one.found if one.found in records.DIED else "lost"
    at = execution.closed if execution is not None and execution.closed is not None else now
    with database.writing() as session:
        return mending.mend_dead(
            session,
            one.case_id,
            record.run_id,
            view=broken_off(view, outcome).model_dump(mode="json"),
            outcome=outcome,
            at=at,
        )
