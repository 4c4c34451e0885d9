"""Whether the shop's books agree with a case: its record, the money, what it holds, what was said."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import exists, func, not_, or_, select
from sqlalchemy.orm import Session

from casework.case import Case, CaseView, PayingCase
from casework.money import format_yuan
from casework.shop import records
from casework.shop.amounts import left_to_ship
from casework.shop.orders import find_order
from casework.shop.platform import PLATFORM
from casework.shop.tables import (
    CaseRow,
    ClaimRow,
    FlagWishRow,
    GiftPromiseRow,
    HoldRow,
    InterceptRow,
    LedgerRow,
    NoticeRow,
    OutboxRow,
    PaymentRow,
)
from casework.templates import ENDINGS
from casework.verifying.paying import PaymentAsked
from state_machines.bulk_order import JUDGED, REVIEWING, BulkCase
from state_machines.flows import FLOWS
from state_machines.gift_approval import GiftCase
from state_machines.refund_before_shipping import RefundCase
from state_machines.return_after_shipping import ReturnCase
from state_machines.table import Money, StateKind

HELD: Final = {"hold": HoldRow, "claim": ClaimRow, "flag wish": FlagWishRow, "intercept": InterceptRow}
"""What an ended case has released, by what it is called."""
HELD_FOR_REVIEW: Final = frozenset({"compiling", *REVIEWING, *JUDGED, "repairing_payment"})
"""The waits of a bulk order in which its shipment is held."""
ATTEMPTS_APART: Final = timedelta(minutes=1)
"""Where Temporal was killed in a case's last workflow task, two attempts of it may be under way at once: one writes the
record last, and the other may be the one that is recorded. So far apart their times may be."""
MOVES_THAT_PAY: Final = frozenset({"pay", "confirm_paid_by_hand"})
"""By these moves money leaves the shop, or the platform was found to have paid; each at most once."""


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
    return sum(payments_of(session, case_id, run_id).values())


def payments_of(session: Session, case_id: str, run_id: str) -> dict[str, int]:
    """The payments of one run of a case, with those that continue it: fen by key."""
    rows = session.scalars(
        select(PaymentRow).where(
            PaymentRow.case_id == case_id, PaymentRow.key.startswith(f"{case_id}/{run_id}/", autoescape=True)
        )
    )
    return {row.key: row.amount_fen for row in rows}


def faults_of_payments(session: Session, case_id: str, run_id: str, asked: Sequence[PaymentAsked]) -> list[str]:
    """Where the books lack what a run's history says was paid, a sentence each. `run_id`: of the first run.

    What was answered is in the books as it was answered, whatever the case is doing at this moment.
    """
    books = payments_of(session, case_id, run_id)
    faults: list[str] = []
    for key, fen in _answered(asked).items():
        paid = f"it has paid {format_yuan(fen)} ({_purpose(key)})"
        if key not in books:
            faults.append(f"{paid}, and the books have no such payment")
        elif books[key] != fen:
            faults.append(f"{paid}, and the books say {format_yuan(books[key])}")
    return faults


def faults_of_more_payments(session: Session, case_id: str, run_id: str, asked: Sequence[PaymentAsked]) -> list[str]:
    """What the books have paid that a run's history does not say, a sentence each; `asked` is all that it asked for.

    What is asked for and not answered may be there, or not: the step is under way.
    """
    must = _answered(asked)
    may = {one.key: one.amount_fen for one in asked if not one.answered}
    faults: list[str] = []
    for key, fen in payments_of(session, case_id, run_id).items():
        if key in may and may[key] != fen:
            asks = format_yuan(may[key])
            faults.append(f"it is about to pay {asks} ({_purpose(key)}), and the books say {format_yuan(fen)}")
        elif key not in must and key not in may:
            faults.append(f"the books have a payment of {format_yuan(fen)} ({_purpose(key)}) that it never made")
    return faults


def _answered(asked: Sequence[PaymentAsked]) -> dict[str, int]:
    return {one.key: one.written_fen for one in asked if one.answered and one.written_fen is not None}


def faults_of_no_run(session: Session, case_id: str | None = None) -> list[str]:
    """Payments and ledger entries that are said to be a case's, or of one, and that no run of it can have written."""
    runs = select(CaseRow.run_id).where(CaseRow.case_id == PaymentRow.case_id)
    written_by_one = exists(
        runs.where(PaymentRow.key.startswith(CaseRow.case_id + "/" + CaseRow.run_id + "/", autoescape=False))
    )
    payments = select(PaymentRow).where(not_(written_by_one)).order_by(PaymentRow.key)
    # pieces whose share a missing gift has eaten up stand with 0 fen, and of no payment
    of_no_payment = (LedgerRow.source != PLATFORM, LedgerRow.payment_key.is_(None), LedgerRow.amount_fen != 0)
    entries = select(LedgerRow).where(*of_no_payment).order_by(LedgerRow.id)
    if case_id is not None:
        payments, entries = (
            payments.where(PaymentRow.case_id == case_id),
            entries.where(LedgerRow.case_id == case_id),
        )
    return [
        *(
            f"the books have a payment of {format_yuan(row.amount_fen)} ({row.key}) that no run of {row.case_id} made"
            for row in session.scalars(payments)
        ),
        *(
            f"ledger entry {row.id} of order {row.order_id}, {format_yuan(row.amount_fen)}, belongs to no payment"
            for row in session.scalars(entries)
        ),
    ]


def faults_of_needs(session: Session, case: Case[Any]) -> list[str]:
    """What an open case must have in the shop by its flow's rules, where it waits, and has not; a sentence each.

    Only for a case at rest: in the midst of a step it may be about to take something, or to release it. What it has
    handed over to a case that has not opened yet counts as its own.
    """
    flow = FLOWS[case.flow]
    if flow.states[case.state].kind is not StateKind.WAIT:
        return []
    lines = {one.line for one in case.lines}
    faults: list[str] = []
    match case:
        case RefundCase():
            # neither is released before it ends; a parcel that left before it could be held is claimed all the same
            faults += _missing(session, case, ClaimRow, lines)
            if case.has_taken("hold"):
                faults += _missing(session, case, HoldRow, lines)
        case ReturnCase():
            faults += _missing(session, case, ClaimRow, lines)
        case BulkCase() if case.state in HELD_FOR_REVIEW:
            faults += _missing(session, case, HoldRow, _to_be_held(session, case))
        case GiftCase() if case.promised:
            row = session.get(GiftPromiseRow, (case.order_id, case.kind))
            if row is None or (row.case_id != case.case_id and row.granted_at is None):
                faults.append(f"it is in {case.state}, and nothing is reserved for it in the month's budget")
        case _:
            pass
    return faults


def _missing(session: Session, case: Case[Any], table: type[HoldRow | ClaimRow], lines: Collection[int]) -> list[str]:
    rows = select(table.line).where(
        table.order_id == case.order_id, or_(table.case_id == case.case_id, table.handed_over_by == case.case_id)
    )
    missing = sorted(set(lines) - set(session.scalars(rows)))
    thing = "hold" if table is HoldRow else "claim"
    listed = ", ".join(str(line) for line in missing)
    return [f"it is in {case.state}, and has no {thing} on line {listed}"] if missing else []


def _to_be_held(session: Session, case: BulkCase) -> set[int]:
    """What a bulk order's review holds: all that is left to ship. Where the order has changed, the case learns it from
    news that may be on their way, and holds what it did not know of then.
    """
    order = find_order(session, case.order_id)
    news = select(NoticeRow.id).where(NoticeRow.case_id == case.case_id, NoticeRow.delivered_at.is_(None)).limit(1)
    held = case.standing is not None and case.standing.held
    if not held or order.state == "closed" or session.scalar(news) is not None:
        return set()
    return {row.number for row in left_to_ship(session, case.order_id)}


def _purpose(key: str) -> str:
    """What a payment is for, by its key."""
    return key.rsplit("/", 1)[-1]


def _of_record(session: Session, view: CaseView, run_id: str) -> list[str]:
    record = next((one for one in records.find_records(session, case_id=view.case_id) if one.run_id == run_id), None)
    if record is None:
        return ["the shop has no record of it"]
    if record.closed_at is None:
        return ["it has ended, and its record is open"]
    if record.outcome != view.outcome:
        return [f"it has ended as {view.outcome}, and its record says {record.outcome}"]
    if record.view is None or not same_view(CaseView.model_validate(record.view), view):
        return ["its record shows another last view"]
    return []


def same_view(kept: CaseView, told: CaseView) -> bool:
    """Whether the shop's record of a case is what it told Temporal at its end; see `ATTEMPTS_APART`."""
    kept_at, told_at = ([line.at for line in view.trail] for view in (kept, told))
    apart = [abs(one - other) for one, other in zip(kept_at, told_at, strict=False)]
    return max(apart, default=timedelta()) <= ATTEMPTS_APART and _without_times(kept) == _without_times(told)


def _without_times(view: CaseView) -> CaseView:
    lines = [line.model_copy(update={"at": view.opened_at}) for line in view.trail]
    return view.model_copy(update={"trail": lines})


def _of_money(session: Session, view: CaseView, run_id: str) -> list[str]:
    """Paid as its outcome and its moves say; the platform may have paid instead.

    The last view has a case's amount, and not what it paid: see `faults_of_payments`, where its history is known.
    """
    paid, flow = paid_by(session, view.case_id, run_id), FLOWS[view.flow]
    money = flow.states[view.state].money
    if money is Money.SENT:
        if paid != view.amount_fen and (paid or not _platform_has_paid(session, view.order_id)):
            return [f"{format_yuan(view.amount_fen)} were due and {format_yuan(paid)} were paid"]
    elif paid and money is Money.NONE:
        return [f"it has ended as {view.outcome}, and {format_yuan(paid)} were paid"]
    elif paid:
        return _of_either(session, view, run_id, paid)
    return []


def _of_either(session: Session, view: CaseView, run_id: str, paid_fen: int) -> list[str]:
    """An ending that says nothing of money: no more was paid than the moves by which money leaves can have paid."""
    flow = FLOWS[view.flow]
    paying = [line for line in view.trail if line.is_move and line.trigger in MOVES_THAT_PAY]
    rows = len(payments_of(session, view.case_id, run_id))
    if rows > len(paying):
        return [f"it moved {len(paying)} times as paid, and {rows} payments were made, {format_yuan(paid_fen)} in all"]
    one_amount = getattr(flow.case_type, "to_pay_fen", None) is PayingCase.to_pay_fen
    if one_amount and paid_fen != view.amount_fen:
        return [f"it was about {format_yuan(view.amount_fen)}, and {format_yuan(paid_fen)} were paid"]
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
    # a case that it has opened may be about to take over what it was given
    given = {
        to_case
        for table in (HoldRow, ClaimRow)
        for to_case in session.scalars(select(table.case_id).where(table.handed_over_by == view.case_id))
    }
    return [
        *([f"it has ended, and still has {left}"] if left else []),
        *(f"it has handed lines over to {one}, which it never opened" for one in sorted(given - {*view.links})),
    ]


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
