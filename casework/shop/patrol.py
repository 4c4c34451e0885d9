"""The patrol's look at the shop: the next few open shipments, and which of them need a case."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.policy import Policy
from casework.rules.patrol import Cause, Finding, Seen, cause_of
from casework.shop.courier import STATES, cases_stopping
from casework.shop.tables import (
    CaseRow,
    ClaimRow,
    LedgerRow,
    LineRow,
    OrderRow,
    ParcelRow,
    ScanRow,
    ShipmentLineRow,
    ShipmentRow,
)

MOST_FOUND: Final = 100
"""So many parcels that need a case are answered at a time; the next look goes on behind the last of them."""
CASE_PREFIX: Final = "problem-parcel-"


@dataclass(frozen=True, slots=True)
class Found:
    """A parcel that needs a case, and why. `courier` is Kuaidi100's code; None if no courier has answered yet."""

    shipment_id: int
    waybill: str
    order_id: str
    courier: str | None
    finding: Finding

    @property
    def cause(self) -> Cause:
        """As the case is to be told."""
        return self.finding.cause


@dataclass(frozen=True, slots=True)
class Look:
    """What came of one look: how many open shipments it saw, what needs a case, and where the next look begins."""

    looked_at: int
    found: list[Found]
    after: int
    more: bool


def look_further(session: Session, policy: Policy, *, after: int, at: datetime) -> Look:
    """Look at the next open shipments behind the shipment `after`, in the order of their ids; changes nothing.

    Open is what has left and is not back, of a trade that is neither finished nor closed, with something in it that is
    not refunded. Left out is a parcel that an open case follows or awaits, and one whose case has ended since it began
    to need one.
    """
    batch = policy.patrol.batch_size
    rows = session.execute(
        select(ShipmentRow, OrderRow)
        .join(OrderRow, OrderRow.id == ShipmentRow.order_id)
        .where(
            ShipmentRow.id > after,
            ShipmentRow.back_at.is_(None),
            OrderRow.state.not_in(("finished", "closed")),
            OrderRow.confirmed_at.is_(None),
        )
        .order_by(ShipmentRow.id)
        .limit(batch)
    ).all()
    shipments = [(parcel, order) for parcel, order in rows]
    unfinished = _unrefunded(session, [parcel for parcel, _ in shipments])
    looked_at = [(parcel, order) for parcel, order in shipments if parcel.id in unfinished]
    news = _seen(session, policy, looked_at, at)
    found = [
        Found(parcel.id, parcel.waybill, parcel.order_id, news.couriers.get(parcel.waybill), finding)
        for parcel, _ in looked_at
        if (finding := _judge(policy, news.seen[parcel.id], at)) is not None
    ]
    needing = _without_case(session, found)
    more = len(shipments) == batch
    last = shipments[-1][0].id if shipments else after
    if len(needing) > MOST_FOUND:
        needing, more = needing[:MOST_FOUND], True
        last = needing[-1].shipment_id
        looked_at = [(parcel, order) for parcel, order in looked_at if parcel.id <= last]
    return Look(len(looked_at), needing, last, more)


def usual_delivery(policy: Policy, order: OrderRow, courier: str | None, company: str) -> timedelta:
    """How long delivery usually takes there (policy.md, `problem_parcel.cycle_*`)."""
    figures = policy.problem_parcel
    address = (order.changed_address or order.address).strip()
    if address.startswith(policy.shop.province.removesuffix("省")):
        cycle = figures.cycle_same_province
    elif address.startswith(tuple(figures.remote_provinces)):
        cycle = figures.cycle_remote
    else:
        cycle = figures.cycle_other
    ems = courier == "ems" or company.upper() == "EMS"
    return cycle + (figures.cycle_ems_extra if ems else timedelta(0))


def _judge(policy: Policy, seen: Seen, at: datetime) -> Finding | None:
    return cause_of(
        seen,
        at=at,
        grace=policy.problem_parcel.overdue_grace,
        signed_unconfirmed=policy.patrol.signed_unconfirmed,
    )


# --- what is open ---


def _unrefunded(session: Session, parcels: Sequence[ShipmentRow]) -> set[int]:
    """The shipments in which a piece is that is not refunded; what is in one that no line is known for counts too."""
    inside: defaultdict[int, set[int]] = defaultdict(set)
    for shipment_id, line in session.execute(
        select(ShipmentLineRow.shipment_id, ShipmentLineRow.line).where(
            ShipmentLineRow.shipment_id.in_([parcel.id for parcel in parcels])
        )
    ):
        inside[shipment_id].add(line)
    orders = {parcel.order_id for parcel in parcels}
    refunded = {
        (order_id, line): int(pieces)
        for order_id, line, pieces in session.execute(
            select(LedgerRow.order_id, LedgerRow.line, func.sum(LedgerRow.quantity))
            .where(LedgerRow.order_id.in_(orders), LedgerRow.line.is_not(None))
            .group_by(LedgerRow.order_id, LedgerRow.line)
        )
    }
    left = {
        (order_id, number)
        for order_id, number, quantity, state in session.execute(
            select(LineRow.order_id, LineRow.number, LineRow.quantity, LineRow.state).where(
                LineRow.order_id.in_(orders)
            )
        )
        if state != "closed" and quantity > refunded.get((order_id, number), 0)
    }
    return {
        parcel.id
        for parcel in parcels
        if not inside[parcel.id] or any((parcel.order_id, line) in left for line in inside[parcel.id])
    }


# --- where it is ---


@dataclass(frozen=True, slots=True)
class _News:
    seen: Mapping[int, Seen]
    """By shipment."""
    couriers: Mapping[str, str]
    """By waybill."""


def _seen(session: Session, policy: Policy, shipments: Sequence[tuple[ShipmentRow, OrderRow]], at: datetime) -> _News:
    waybills = {parcel.waybill for parcel, _ in shipments}
    parcels = session.scalars(select(ParcelRow).where(ParcelRow.waybill.in_(waybills)))
    couriers = {parcel.waybill: parcel.courier for parcel in parcels}
    newest: dict[str, tuple[datetime, str]] = {}
    first: dict[str, datetime] = {}
    for waybill, scanned_at, code in session.execute(
        select(ScanRow.waybill, ScanRow.at, ScanRow.code)
        .where(ScanRow.waybill.in_(waybills), ScanRow.at <= at)
        .order_by(ScanRow.waybill, ScanRow.at.desc(), ScanRow.id)
    ):
        newest.setdefault(waybill, (scanned_at, code))
        first[waybill] = scanned_at
    seen: dict[int, Seen] = {}
    for parcel, order in shipments:
        scan = newest.get(parcel.waybill)
        seen[parcel.id] = Seen(
            left_at=parcel.shipped_at or order.shipped_at or first.get(parcel.waybill) or order.paid_at,
            cycle=usual_delivery(policy, order, couriers.get(parcel.waybill), parcel.company),
            state=STATES.get(scan[1], "moving") if scan else None,
            state_since=scan[0] if scan else None,
        )
    return _News(seen, couriers)


# --- which have a case ---


def _without_case(session: Session, found: Sequence[Found]) -> list[Found]:
    """Those that need a case and have none, each waybill once."""
    waybills = {one.waybill for one in found}
    followed = followed_waybills(session, waybills)
    ended = _ended_cases(session, waybills)
    claimed = _claimed(session, found)
    needing: dict[str, Found] = {}
    for one in found:
        dealt_with = ended.get(one.waybill)
        if (
            one.waybill in followed
            or (dealt_with is not None and dealt_with >= one.finding.since)
            # an open return says that the buyer has it
            or (one.cause == "signed_unconfirmed" and one.shipment_id in claimed)
            or _is_awaited_back(session, one)
        ):
            continue
        needing.setdefault(one.waybill, one)
    return list(needing.values())


def followed_waybills(session: Session, waybills: Collection[str]) -> set[str]:
    """Those of the waybills that an open problem parcel case follows."""
    case_ids = {CASE_PREFIX + waybill: waybill for waybill in waybills}
    open_cases = session.scalars(
        select(CaseRow.case_id).where(CaseRow.case_id.in_(case_ids), CaseRow.closed_at.is_(None))
    )
    return {case_ids[case_id] for case_id in open_cases}


def _ended_cases(session: Session, waybills: Collection[str]) -> dict[str, datetime]:
    """When the last case of a waybill ended."""
    case_ids = {CASE_PREFIX + waybill: waybill for waybill in waybills}
    rows = session.execute(
        select(CaseRow.case_id, func.max(CaseRow.closed_at))
        .where(CaseRow.case_id.in_(case_ids), CaseRow.closed_at.is_not(None))
        .group_by(CaseRow.case_id)
    )
    return {case_ids[case_id]: closed_at for case_id, closed_at in rows if closed_at is not None}


def _claimed(session: Session, found: Sequence[Found]) -> set[int]:
    """The shipments of which an open refund or return has a line."""
    query = (
        select(ShipmentLineRow.shipment_id)
        .join(ShipmentRow, ShipmentRow.id == ShipmentLineRow.shipment_id)
        .join(ClaimRow, (ClaimRow.order_id == ShipmentRow.order_id) & (ClaimRow.line == ShipmentLineRow.line))
        .where(ShipmentLineRow.shipment_id.in_([one.shipment_id for one in found]))
    )
    return set(session.scalars(query))


def _is_awaited_back(session: Session, one: Found) -> bool:
    """Whether an open refund had the parcel stopped and awaits it."""
    parcel = session.get(ShipmentRow, one.shipment_id)
    if parcel is None or parcel.intercepted_at is None:
        return False
    numbers = set(session.scalars(select(ShipmentLineRow.line).where(ShipmentLineRow.shipment_id == one.shipment_id)))
    return bool(cases_stopping(session, one.order_id, numbers))
