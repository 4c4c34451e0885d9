"""Whether the shop's books agree with a case that has ended: its record, the money, what it holds, what was said."""

from __future__ import annotations

from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.case import CaseView
from casework.money import format_yuan
from casework.shop import records
from casework.shop.platform import PLATFORM
from casework.shop.tables import (
    ClaimRow,
    FlagWishRow,
    GiftPromiseRow,
    HoldRow,
    InterceptRow,
    LedgerRow,
    OutboxRow,
    PaymentRow,
)
from casework.templates import ENDINGS
from state_machines.flows import FLOWS
from state_machines.laws.worlds import WORLDS

HELD: Final = {"hold": HoldRow, "claim": ClaimRow, "flag wish": FlagWishRow, "intercept": InterceptRow}
"""What an ended case has let go of, by what it is called."""


def faults_of_end(session: Session, view: CaseView, run_id: str) -> list[str]:
    """What in the shop contradicts the last view of a case, a sentence each. `run_id`: of the case's first run."""
    faults = [
        *_of_record(session, view, run_id),
        *_of_money(session, view, run_id),
        *_of_messages(session, view, run_id),
    ]
    if not records.is_open_in_another_run(session, view.case_id, run_id):
        faults += _of_what_is_held(session, view)
    return faults


def paid_by(session: Session, case_id: str, run_id: str) -> int:
    """What one run of a case, with those that continue it, has paid, in fen."""
    paid = select(func.coalesce(func.sum(PaymentRow.amount_fen), 0)).where(
        PaymentRow.case_id == case_id, PaymentRow.key.startswith(f"{case_id}/{run_id}/", autoescape=True)
    )
    return int(session.scalar(paid) or 0)


def _of_record(session: Session, view: CaseView, run_id: str) -> list[str]:
    record = next((one for one in records.find_records(session, case_id=view.case_id) if one.run_id == run_id), None)
    if record is None:
        return ["the shop has no record of it"]
    if record.closed_at is None:
        return ["it has ended, and its record is open"]
    if record.outcome != view.outcome:
        return [f"it has ended as {view.outcome}, and its record says {record.outcome}"]
    if record.view is None or CaseView.model_validate(record.view) != view:
        return ["its record shows another last view"]
    return []


def _of_money(session: Session, view: CaseView, run_id: str) -> list[str]:
    """Paid exactly where its outcome says so; the platform may have paid instead."""
    paid, flow = paid_by(session, view.case_id, run_id), FLOWS[view.flow]
    either = view.outcome in WORLDS[view.flow].ends_either_way
    if not either and view.outcome in flow.outcomes_pay:
        if paid != view.amount_fen and (paid or not _platform_has_paid(session, view.order_id)):
            return [f"{format_yuan(view.amount_fen)} were due and {format_yuan(paid)} were paid"]
    elif not either and paid:
        return [f"it has ended as {view.outcome}, and {format_yuan(paid)} were paid"]
    return []


def _platform_has_paid(session: Session, order_id: str) -> bool:
    by_platform = select(LedgerRow.id).where(LedgerRow.order_id == order_id, LedgerRow.source == PLATFORM).limit(1)
    return session.scalar(by_platform) is not None


def _of_what_is_held(session: Session, view: CaseView) -> list[str]:
    counts = {
        thing: session.scalar(select(func.count()).select_from(table).where(table.case_id == view.case_id)) or 0
        for thing, table in HELD.items()
    }
    promised = select(func.count()).where(GiftPromiseRow.case_id == view.case_id, GiftPromiseRow.granted_at.is_(None))
    counts["budget promise"] = session.scalar(promised) or 0
    left = ", ".join(f"{count} x {thing}" for thing, count in counts.items() if count)
    return [f"it has ended, and still has {left}"] if left else []


def _of_messages(session: Session, view: CaseView, run_id: str) -> list[str]:
    """The buyer is told of the end, once."""
    ending = ENDINGS[view.flow].get(view.outcome or "")
    if ending is None:
        return []
    letters = select(func.count()).where(
        OutboxRow.case_id == view.case_id,
        OutboxRow.key.startswith(f"{view.case_id}/{run_id}/", autoescape=True),
        OutboxRow.to == "buyer",
        OutboxRow.template == ending,
    )
    times = session.scalar(letters) or 0
    return [] if times == 1 else [f"the buyer was told of the end {times} times"]
