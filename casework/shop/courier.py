"""The embedded courier: stops parcels, and says where one is by the newest scan that is shown."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.shop.faults import fault_of, forget_fault
from casework.shop.orders import lock_order
from casework.shop.tables import ClaimRow, InterceptRow, LineRow, ScanRow, ShipmentLineRow, ShipmentRow

ParcelState = Literal[
    "moving",
    "picked_up",
    "problem",
    "signed",
    "left_with_agent",
    "returned",
    "delivering",
    "returning",
    "forwarded",
    "customs",
    "customs_exception",
    "refused",
    "voided",
    "ready_for_pickup",
    "redirected",
]

STATES: dict[str, ParcelState] = {
    "0": "moving",
    "1": "picked_up",
    "2": "problem",
    "3": "signed",
    "4": "returned",
    "5": "delivering",
    "6": "returning",
    "7": "forwarded",
    "8": "customs",
    "10": "customs",
    "11": "customs",
    "12": "customs",
    "13": "customs_exception",
    "14": "refused",
    "201": "problem",
    "202": "problem",
    "203": "problem",
    "204": "problem",
    "205": "problem",
    "206": "problem",
    "207": "problem",
    "208": "problem",
    "209": "problem",
    "301": "signed",
    "302": "signed",
    # an agent, a locker or a station has it: no proof that the buyer does
    "303": "left_with_agent",
    "304": "left_with_agent",
    "401": "voided",
    "501": "ready_for_pickup",
    "1001": "moving",
    "1002": "moving",
    "1003": "redirected",
}
"""Kuaidi100's codes (data.md). There is none for lost; one that is not known here is taken as moving."""


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan: when, the courier's own code, and what it said."""

    at: datetime
    code: str
    status: str
    text: str

    @property
    def state(self) -> ParcelState:
        """What the code means; an unknown one is taken as moving."""
        return STATES.get(self.code, "moving")


def shown_scans(session: Session, waybill: str, at: datetime) -> list[Scan]:
    """The scans of a parcel until `at`, newest first; one whose time is still to come is not shown."""
    rows = session.scalars(
        select(ScanRow).where(ScanRow.waybill == waybill, ScanRow.at <= at).order_by(ScanRow.at.desc(), ScanRow.id)
    )
    return [Scan(at=row.at, code=row.code, status=row.status, text=row.text) for row in rows]


def parcel_state(session: Session, waybill: str, at: datetime) -> ParcelState | None:
    """Where a parcel is, by the newest scan shown at `at`; None if there is none."""
    scans = shown_scans(session, waybill, at)
    return scans[0].state if scans else None


def intercept(
    session: Session,
    *,
    key: str,
    case_id: str,
    order_id: str,
    lines: Sequence[LineQuantity],
    at: datetime,
) -> bool:
    """Ask the courier to stop the parcels of these lines and bring them back; the same answer for the same key.

    False if a parcel was signed for, or left with an agent or in a locker, by the scans shown, or if a fault is set
    for the order or a waybill. Goods that left without a waybill are stopped where they are handed over: their parcel
    is marked as soon as the shop knows it.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    lock_order(session, order_id)
    known = session.get(InterceptRow, key)
    if known is not None:
        return known.stopped
    parcels = parcels_of(session, order_id, {one.line for one in lines})
    stopped = _can_stop(session, order_id, case_id, [parcel.waybill for parcel in parcels], at)
    if stopped:
        for parcel in parcels:
            parcel.intercepted_at = at
    session.add(InterceptRow(key=key, case_id=case_id, order_id=order_id, stopped=stopped, at=at))
    session.flush()
    return stopped


def stop_late_parcel(session: Session, parcel: ShipmentRow, numbers: Collection[int], *, at: datetime) -> None:
    """Stop a parcel that the shop hears of only now, if an open case asked for that and the courier agreed."""
    for case_id in cases_stopping(session, parcel.order_id, numbers):
        if parcel.intercepted_at is None and _can_stop(session, parcel.order_id, case_id, [parcel.waybill], at):
            parcel.intercepted_at = at
    session.flush()


def cases_stopping(session: Session, order_id: str, numbers: Collection[int]) -> list[str]:
    """The open cases that have had one of these lines stopped; an ended one has let go of its claims and requests."""
    query = (
        select(InterceptRow.case_id)
        .join(ClaimRow, (ClaimRow.case_id == InterceptRow.case_id) & (ClaimRow.order_id == InterceptRow.order_id))
        .where(InterceptRow.order_id == order_id, InterceptRow.stopped, ClaimRow.line.in_(numbers))
    )
    return sorted(set(session.scalars(query)))


def out_without_parcel(session: Session, order_id: str) -> list[LineRow]:
    """The lines that have left in a parcel whose waybill the shop does not know."""
    query = (
        select(LineRow)
        .where(
            LineRow.order_id == order_id,
            LineRow.place == "shipped",
            LineRow.number.not_in(
                select(ShipmentLineRow.line)
                .join(ShipmentRow, ShipmentLineRow.shipment_id == ShipmentRow.id)
                .where(ShipmentRow.order_id == order_id, ShipmentRow.back_at.is_(None))
            ),
        )
        .order_by(LineRow.number)
    )
    return list(session.scalars(query))


def parcels_of(
    session: Session, order_id: str, numbers: Collection[int], *, back_too: bool = False
) -> list[ShipmentRow]:
    """The parcels that hold one of these lines: those under way, or also those that came back."""
    query = (
        select(ShipmentRow)
        .join(ShipmentLineRow, ShipmentLineRow.shipment_id == ShipmentRow.id)
        .where(
            ShipmentRow.order_id == order_id,
            ShipmentLineRow.line.in_(numbers),
        )
        .order_by(ShipmentRow.id)
    )
    return [parcel for parcel in session.scalars(query).unique() if back_too or parcel.back_at is None]


def _can_stop(session: Session, order_id: str, case_id: str, waybills: Sequence[str], at: datetime) -> bool:
    stopped = all(parcel_state(session, waybill, at) not in {"signed", "left_with_agent"} for waybill in waybills)
    for subject in (order_id, case_id, *waybills):
        how = fault_of(session, "intercept", subject)
        if how is not None:
            stopped = False
        if how == "once":
            forget_fault(session, "intercept", subject)
    return stopped
