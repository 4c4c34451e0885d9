"""The audit of a whole shop after everything has ended. Every finding is a sentence; none: nothing lost, nothing twice.

What the project has for it is asked: `casework.shop.payments.audit`, `casework.repair.examine`, `casework.verifying`,
and Temporal's replayer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import Client, WorkflowHistory
from temporalio.worker import Replayer

from casework import repair
from casework.case import CaseView, TrailLine
from casework.converter import DATA_CONVERTER
from casework.instance import MOMENTARY
from casework.money import format_yuan
from casework.sandbox import workflow_runner
from casework.shop import payments, records
from casework.shop.database import Database
from casework.shop.tables import (
    CaseRow,
    GiftPromiseRow,
    GiftRow,
    MemoEntryRow,
    OutboxRow,
    PaymentRow,
    ReshipmentRow,
    StockMovementRow,
    WaitRow,
)
from casework.verifying.books import faults_of_end, same_view
from casework.verifying.comparing import differences
from casework.verifying.path import Path, path_faults
from chaos.acting import Ending, Played
from chaos.remains import missing_or_too_much
from state_machines.flows import FLOWS
from state_machines.roles import Automatic
from state_machines.table import Flow
from worker import WORKFLOWS

NOT_OURS: Final = frozenset(
    {
        # something came in while the task was worked on, which is then given out again with it
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND,
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_UPDATE,
        # the worker that had the case in its memory is gone
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE,
        # the server has ended the task itself: too much came in meanwhile, or it has moved the case elsewhere
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FORCE_CLOSE_COMMAND,
        WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_FAILOVER_CLOSE_COMMAND,
    }
)
"""Why a workflow task fails without a fault of ours: the server gives it out again. Every other cause is ours, but for
what a query has taken too far (`casework.instance`)."""
AGAIN_ON_PURPOSE: Final = frozenset({"reminder", "alarm"})
"""Staff are told these in the same words while nobody acts."""
TOLD_IN: Final[Mapping[str, str]] = {
    "return.refused": "explaining",
    "return.send_back.seller": "awaiting_parcel",
    "return.send_back.buyer_way_back": "awaiting_parcel",
    "return.send_back.buyer": "awaiting_parcel",
    "bulk.list_price": "offering_list_price",
    "bulk.price_changed": "following",
    "bulk.rebated": "following",
    "bulk.please_confirm": "chasing",
    "parcel.forwarded": "tracking",
    "parcel.sent_again": "tracking",
    "parcel.redelivering": "tracking",
    "parcel.choose": "asking_buyer",
    "parcel.forwarding": "forwarding",
    "parcel.pickup": "awaiting_pickup",
    "parcel.lost": "choosing_remedy",
    "parcel.sending_again": "reshipping",
    "parcel.proof": "confirming_receipt",
    "parcel.left_with_agent": "confirming_receipt",
    "parcel.received": "confirming_receipt",
}
"""What the buyer is told each time that the case comes into a state, by template; everything else once in a case."""


async def audit(
    client: Client,
    database: Database,
    played: Sequence[Played],
    platform_fen: Mapping[str, int],
    *,
    replay: bool = True,
) -> list[str]:
    """Everything that is wrong. `platform_fen`: by order, what the platform paid."""
    endings = [ending for one in played for ending in one.endings]
    with database.reading() as session:
        found = _shop(session, endings, platform_fen)
        for one in played:
            found += missing_or_too_much(session, one)
        views = {one.case_id: one.view for one in records.find_records(session) if one.view is not None}
    for troubled in await repair.examine(client, database, now=datetime.now(UTC)):
        found.append(f"{troubled.case_id}: {troubled.label('en')} ({troubled.found})")
    histories: list[WorkflowHistory] = []
    for ending in endings:
        runs = [one async for one in runs_of(client, ending.case_id)]
        histories += runs
        found += failed_tasks(ending.case_id, runs)
        told: dict[str, Any] = await client.get_workflow_handle(ending.case_id).result() if runs else {}
        kept: dict[str, Any] = views.get(ending.case_id) or {}
        if not told or not kept:
            missing = " and ".join(name for name, view in (("Temporal", told), ("the shop", kept)) if not view)
            found.append(f"{ending.case_id}: {missing} was not told of its end")
            continue
        view = CaseView.model_validate(told)
        if not same_view(CaseView.model_validate(kept), view):
            fields = ", ".join(sorted(name for name in {*told, *kept} if told.get(name) != kept.get(name)))
            other = "; ".join(differences(told, kept, slack=timedelta())) or fields
            found.append(f"{ending.case_id}: the shop's record is not what the case said at its end: {other}")
        faults = path_faults(FLOWS[view.flow], Path.of(view), ended=True)
        found += [f"{ending.case_id}: {fault}" for fault in faults]
    return found + (await _replayed(histories) if replay else [])


# --- the shop ---


def unsound_case(session: Session, view: CaseView, paid_fen: int) -> list[str]:
    """What is wrong in the shop with a case that has ended, which must have paid so many fen.

    It is what `casework verify` looks for, and whether anything was done twice or is left.
    """
    found: list[str] = []
    ours = [entry for entry in payments.ledger(session, view.order_id) if entry.case_id == view.case_id]
    paid = sum(entry.amount_fen for entry in ours)
    if paid != paid_fen:
        found.append(f"{format_yuan(paid)} were paid, {format_yuan(paid_fen)} are due")
    count = session.query(PaymentRow).filter_by(case_id=view.case_id).count()
    if count != (1 if paid_fen else 0):
        found.append(f"there are {count} payments")
    (record,) = records.find_records(session, case_id=view.case_id)[:1]
    found += faults_of_end(session, view, record.run_id)
    if session.get(WaitRow, view.case_id) is not None:
        found.append("it is still said to wait")
    if session.query(ReshipmentRow).filter_by(case_id=view.case_id, state="asked").count():
        found.append("goods are reserved that nobody sends")
    deadlines = [state.deadline for state in FLOWS[view.flow].states.values() if state.deadline is not None]
    reminders = [one.reminds_buyer for one in deadlines if one.reminds_buyer is not None]
    letters = session.scalars(
        select(OutboxRow).where(
            OutboxRow.case_id == view.case_id, OutboxRow.to == "buyer", OutboxRow.template.not_in(reminders)
        )
    )
    told = Counter((row.key.split("/")[1], row.template) for row in letters)
    found += [
        f"the buyer was told {template} {times} times"
        for (_, template), times in told.items()
        if times > most_times_told(FLOWS[view.flow], view.trail, template)
    ]
    return [f"{view.case_id}: {one}" for one in found]


def most_times_told(flow: Flow[Any], trail: Sequence[TrailLine], template: str) -> int:
    """How often the buyer may have been told something in a case that has gone this way."""
    told_in = TOLD_IN.get(template)
    if told_in is None:
        return 1
    return sum(line.is_move and line.dest == told_in and not _is_alarm(flow, line) for line in trail)


def _is_alarm(flow: Flow[Any], line: TrailLine) -> bool:
    """Whether the clock fired and nothing came of it but an alarm: the buyer is told nothing then."""
    if line.by != Automatic.CLOCK or line.source is None or line.source != line.dest:
        return False
    deadline = flow.states[line.source].deadline
    return deadline is not None and not deadline.quiet


def _shop(session: Session, endings: Sequence[Ending], platform_fen: Mapping[str, int]) -> list[str]:
    found = payments.audit(session)
    runs = Counter(session.scalars(select(CaseRow.case_id)))
    expected = {one.case_id for one in endings}
    found += [f"{case_id}: nobody asked for this case" for case_id in sorted(runs.keys() - expected)]
    for ending in endings:
        if runs[ending.case_id] != 1:
            found.append(f"{ending.case_id}: it was opened {runs[ending.case_id]} times")
            continue
        (record,) = records.find_records(session, case_id=ending.case_id)
        if record.view is None or record.outcome != ending.outcome:
            found.append(f"{ending.case_id}: it is {record.outcome or 'open'}, and must be {ending.outcome}")
            continue
        found += unsound_case(session, CaseView.model_validate(record.view), ending.paid_fen)
        stocked = _pieces(session, StockMovementRow.quantity, StockMovementRow.case_id == ending.case_id)
        if stocked != ending.stocked:
            found.append(f"{ending.case_id}: it put {stocked} pieces into stock, and must have put {ending.stocked}")
    for gift in session.scalars(select(GiftRow)):
        granted = GiftPromiseRow.granted_at.is_not(None) & (GiftPromiseRow.sku == gift.sku)
        must = gift.imported_stock - _pieces(session, GiftPromiseRow.quantity, granted)
        if gift.stock != must:
            found.append(f"gift {gift.sku}: {gift.stock} are in stock, it must be {must}")
    found += _sums(session, endings, platform_fen)
    found += _twice(session)
    return found


def _pieces(session: Session, quantity: InstrumentedAttribute[int], of: ColumnElement[bool]) -> int:
    return int(session.scalar(select(func.coalesce(func.sum(quantity), 0)).where(of)) or 0)


def _sums(session: Session, endings: Sequence[Ending], platform_fen: Mapping[str, int]) -> list[str]:
    """Money out, the ledger and what was due are one sum; what the platform paid is beside it, order by order."""
    due = sum(one.paid_fen for one in endings)
    out = session.scalar(select(func.coalesce(func.sum(PaymentRow.amount_fen), 0)))
    by_platform: dict[str, int] = {}
    entered = 0
    for entry in payments.ledger(session):
        if entry.source == "platform":
            by_platform[entry.order_id] = by_platform.get(entry.order_id, 0) + entry.amount_fen
        else:
            entered += entry.amount_fen
    found: list[str] = []
    if not due == out == entered:
        found.append(
            f"{format_yuan(int(out or 0))} went out, the ledger says {format_yuan(entered)}, "
            f"{format_yuan(due)} were due"
        )
    for order_id in sorted(platform_fen.keys() | by_platform.keys()):
        paid, must = by_platform.get(order_id, 0), platform_fen.get(order_id, 0)
        if paid != must:
            found.append(f"order {order_id}: the platform paid {format_yuan(paid)}, it must be {format_yuan(must)}")
    return found


def _twice(session: Session) -> list[str]:
    """Tasks for staff and entries of memos that say the same twice."""
    tasks = session.scalars(
        select(OutboxRow).where(OutboxRow.to == "staff", OutboxRow.template.not_in(AGAIN_ON_PURPOSE))
    )
    told = Counter((row.case_id, row.template, row.recipient, row.text_en) for row in tasks)
    noted = Counter((row.order_id, row.text) for row in session.scalars(select(MemoEntryRow)))
    return [
        *(f"{case}: {who} was asked {what} {times} times" for (case, what, who, _), times in told.items() if times > 1),
        *(f"order {order}: the memo says {text} {times} times" for (order, text), times in noted.items() if times > 1),
    ]


# --- the histories ---


async def runs_of(client: Client, case_id: str) -> AsyncIterator[WorkflowHistory]:
    """The history of each run of the case, from the first on."""
    description = await client.get_workflow_handle(case_id).describe()
    run = description.raw_description.workflow_execution_info.first_run_id or description.run_id
    while run:
        history = await client.get_workflow_handle(case_id, run_id=run).fetch_history()
        yield history
        run = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id


def failed_tasks(case_id: str, runs: Sequence[WorkflowHistory]) -> list[str]:
    """The workflow tasks that have failed through a fault of ours."""
    failed = [
        event.workflow_task_failed_event_attributes
        for run in runs
        for event in run.events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
    ]
    return [
        f"{case_id}: a workflow task failed: {' '.join(one.failure.message.split())[:200]}"
        for one in failed
        if one.cause not in NOT_OURS and MOMENTARY not in one.failure.message
    ]


async def _replayed(histories: Sequence[WorkflowHistory]) -> list[str]:
    replayer = Replayer(workflows=WORKFLOWS, data_converter=DATA_CONVERTER, workflow_runner=workflow_runner())

    async def each() -> AsyncIterator[WorkflowHistory]:
        for one in histories:
            yield one

    results = await replayer.replay_workflows(each(), raise_on_replay_failure=False)
    return [f"run {run} does not replay: {str(why)[:200]}" for run, why in results.replay_failures.items()]
