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
from casework.rules.parcels import Scanned, courier_code, region_of
from casework.rules.patrol import Finding, Seen, cause_of
from casework.shop import records
from casework.shop.following import open_parcel_cases, other_follower
from casework.shop.remaining import is_made_good
from casework.shop.returning import awaited_by_returns
from casework.shop.runs import OF_FOLLOWED_PARCEL
from casework.shop.tables import (
    CaseRow,
    ClaimRow,
    FollowedParcelRow,
    LedgerRow,
    LineRow,
    OrderRow,
    ParcelRow,
    ScanRow,
    ShipmentLineRow,
    ShipmentRow,
)

UNKNOWN_COURIER: Final = "unknown"
"""Stands for a courier that has never answered and whose name has no code here; time runs all the same."""


@dataclass(frozen=True, slots=True)
class OpenParcel:
    """A shipment that is open: what is judged of it beside the courier's word. `courier` is Kuaidi100's code."""

    shipment_id: int
    waybill: str
    order_id: str
    courier: str
    seen: Seen


@dataclass(frozen=True, slots=True)
class Batch:
    """The next open shipments; `after` is where the ones behind them begin, and `more` whether there may be any."""

    parcels: list[OpenParcel]
    after: int
    more: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A parcel that needs a case, and why."""

    parcel: OpenParcel
    finding: Finding


def next_open(session: Session, policy: Policy, *, after: int) -> Batch:
    """The next open shipments behind the shipment `after`, in the order of their ids, `patrol.batch_size` at most.

    Open is what has left and is not back, of a trade that is neither finished nor closed, with something in it that is
    not refunded.
    """
    size = policy.patrol.batch_size
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
        .limit(size)
    )
    shipments = [(parcel, order) for parcel, order in rows]
    with_goods = _unrefunded(session, [parcel for parcel, _ in shipments])
    open_ones = [(parcel, order) for parcel, order in shipments if parcel.id in with_goods]
    return Batch(
        _described(session, policy, open_ones),
        after=shipments[-1][0].id if shipments else after,
        more=len(shipments) == size,
    )


def needing_case(
    session: Session,
    policy: Policy,
    parcels: Sequence[OpenParcel],
    words: Mapping[str, Scanned],
    *,
    at: datetime,
) -> list[Found]:
    """Those that need a case at `at` and have none, each waybill once; `words` are the couriers' last, by waybill.

    Left out is a parcel that an open case follows or awaits, one whose case has ended since it began to need one, one
    whose goods were sent again or paid for, and one that was signed for while a refund or return of something in it is
    open: then the buyer has said so already. `at` is aware.
    """
    found: list[Found] = []
    for parcel in parcels:
        seen = Seen(parcel.seen.left_at, parcel.seen.cycle, words.get(parcel.waybill))
        finding = cause_of(
            seen,
            at=at,
            grace=policy.problem_parcel.overdue_grace,
            signed_unconfirmed=policy.patrol.signed_unconfirmed,
        )
        if finding is not None:
            found.append(Found(parcel, finding))
    waybills = {one.parcel.waybill for one in found}
    followed = {*open_parcel_cases(session, waybills), *awaited_by_returns(session, waybills)}
    ended = _last_endings(session, waybills)
    claimed = _claimed(session, found)
    # what had no case was not made good, and went under no other waybill: of most parcels nothing more is asked
    had_case = set(session.scalars(select(FollowedParcelRow.waybill).where(FollowedParcelRow.waybill.in_(waybills))))
    needing: dict[str, Found] = {}
    for one in found:
        waybill, end = one.parcel.waybill, ended.get(one.parcel.waybill)
        dealt_with = end is not None and end >= one.finding.since
        told = one.finding.cause == "signed_unconfirmed" and one.parcel.shipment_id in claimed
        if waybill in followed or dealt_with or told:
            continue
        order_id = one.parcel.order_id
        if waybill in had_case and (
            is_made_good(session, order_id, waybill) or other_follower(session, order_id, waybill) is not None
        ):
            continue
        needing.setdefault(waybill, one)
    return list(needing.values())


def _unrefunded(session: Session, parcels: Sequence[ShipmentRow]) -> set[int]:
    """The shipments with a piece in them that is not refunded; one of which no line is known counts too."""
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


def _described(session: Session, policy: Policy, shipments: Sequence[tuple[ShipmentRow, OrderRow]]) -> list[OpenParcel]:
    waybills = {parcel.waybill for parcel, _ in shipments}
    answered = session.scalars(select(ParcelRow).where(ParcelRow.waybill.in_(waybills)))
    couriers = {parcel.waybill: parcel.courier for parcel in answered}
    undated = {parcel.waybill for parcel, _ in shipments if parcel.shipped_at is None}
    scans = select(ScanRow.waybill, func.min(ScanRow.at)).where(ScanRow.waybill.in_(undated)).group_by(ScanRow.waybill)
    first_scans: dict[str, datetime] = dict(session.execute(scans).all())  # pyright: ignore[reportArgumentType] - rows are pairs
    described: list[OpenParcel] = []
    for parcel, order in shipments:
        courier = couriers.get(parcel.waybill) or courier_code(parcel.company) or UNKNOWN_COURIER
        # nothing leaves before it is paid: too early, where nobody knows better, is better than never
        left_at = parcel.shipped_at or first_scans.get(parcel.waybill) or order.shipped_at or order.paid_at
        seen = Seen(left_at, _cycle(policy, order, courier))
        described.append(OpenParcel(parcel.id, parcel.waybill, parcel.order_id, courier, seen))
    return described


def _cycle(policy: Policy, order: OrderRow, courier: str) -> timedelta:
    figures = policy.problem_parcel
    region = region_of(
        order.changed_address or order.address,
        shop_province=policy.shop.province,
        remote_provinces=figures.remote_provinces,
    )
    return figures.delivery_cycle(region, courier)


def _last_endings(session: Session, waybills: Collection[str]) -> dict[str, datetime]:
    """When the last case that followed a waybill ended; one that never ended by itself has dealt with nothing."""
    rows = session.execute(
        select(FollowedParcelRow.waybill, func.max(CaseRow.closed_at))
        .join(CaseRow, OF_FOLLOWED_PARCEL)
        .where(
            FollowedParcelRow.waybill.in_(waybills),
            CaseRow.closed_at.is_not(None),
            ~records.died(),
        )
        .group_by(FollowedParcelRow.waybill)
    )
    return {waybill: closed_at for waybill, closed_at in rows if closed_at is not None}


def _claimed(session: Session, found: Sequence[Found]) -> set[int]:
    """The shipments of which an open refund or return has a line."""
    query = (
        select(ShipmentLineRow.shipment_id)
        .join(ShipmentRow, ShipmentRow.id == ShipmentLineRow.shipment_id)
        .join(ClaimRow, (ClaimRow.order_id == ShipmentRow.order_id) & (ClaimRow.line == ShipmentLineRow.line))
        .where(ShipmentLineRow.shipment_id.in_([one.parcel.shipment_id for one in found]))
    )
    return set(session.scalars(query))
