"""The embedded courier: answers from imported scans, stops parcels, sends them on and takes claims."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.courier import CourierSilent, OnBehalf, ParcelRequest, Scan
from casework.money import LineQuantity
from casework.rules.parcels import HANDED_OVER, ParcelState
from casework.shop.database import Database
from casework.shop.faults import fault_of, faults_of, forget_fault
from casework.shop.orders import lock_order
from casework.shop.steps import case_transaction
from casework.shop.tables import (
    ClaimRow,
    CourierClaimRow,
    CourierRequestRow,
    InterceptRow,
    LineRow,
    ParcelRow,
    ReturnedLineRow,
    ScanRow,
    ShipmentLineRow,
    ShipmentRow,
)

__all__ = [
    "EmbeddedCourier",
    "Scan",
    "cases_stopping",
    "intercept",
    "out_without_parcel",
    "parcel_state",
    "parcels_of",
    "shown_scans",
    "stop_late_parcel",
]


class EmbeddedCourier:
    """Every courier of the embedded shop (`casework.courier.Courier`), each request in a transaction of its own."""

    def __init__(self, database: Database) -> None:
        """`database` is the shop's, which holds the imported scans."""
        self._database = database

    def ask(self, courier: str, waybill: str, *, at: datetime) -> list[Scan]:  # noqa: ARG002 - the port's signature
        """What was imported of the parcel until `at` (aware), newest first.

        Raises:
            CourierSilent: nothing was imported, or a fault is set for the waybill (`answer`).

        """
        with self._database.writing() as session:
            how = fault_of(session, "answer", waybill)
            if how == "once":
                forget_fault(session, "answer", waybill)
            known = _spellings(session, [waybill]).get(waybill)
            scans = [] if known is None else _scans(session, known, at)
        if how is not None or known is None:
            raise CourierSilent(waybill)
        return scans

    def ask_each(self, couriers: Mapping[str, str], *, at: datetime) -> dict[str, list[Scan]]:
        """What was imported of each parcel until `at`, newest first; without those of which nothing was imported.

        `at` is aware.
        """
        with self._database.writing() as session:
            faulty = faults_of(session, "answer", couriers)
            for waybill, how in faulty.items():
                if how == "once":
                    forget_fault(session, "answer", waybill)
            known = _spellings(session, [one for one in couriers if one not in faulty])
            told: dict[str, list[Scan]] = {spelling: [] for spelling in known.values()}
            scans = (
                select(ScanRow.waybill, ScanRow.at, ScanRow.code, ScanRow.status, ScanRow.text)
                .where(ScanRow.waybill.in_(told), ScanRow.at <= at)
                .order_by(ScanRow.waybill, ScanRow.at.desc(), ScanRow.id)
            )
            for waybill, scanned_at, code, status, text in session.execute(scans):
                told[waybill].append(Scan(scanned_at, code, status, text))
        return {waybill: told[spelling] for waybill, spelling in known.items()}

    def intercept(self, key: str, of: OnBehalf, lines: Sequence[LineQuantity], *, at: datetime) -> bool:
        """Stop the parcels of these lines and bring them back; False if that cannot be done. `at` is aware.

        Raises:
            CaseOver: the case has ended.

        """
        with self._writing(of) as session:
            return intercept(session, key=key, case_id=of.case_id, order_id=of.order_id, lines=lines, at=at)

    def forward(self, request: ParcelRequest) -> bool:
        """Hand the parcel over to another courier, unless it was handed over to somebody already.

        Raises:
            CaseOver: the case has ended.

        """
        return self._requested(request, "forward")

    def redeliver(self, request: ParcelRequest) -> bool:
        """Deliver once more, unless it was handed over to somebody already.

        Raises:
            CaseOver: the case has ended.

        """
        return self._requested(request, "redeliver")

    def claim(self, request: ParcelRequest, *, amount_fen: int) -> None:
        """Take the claim, in fen; a later one of the same case and waybill takes its place.

        Raises:
            CaseOver: the case has ended.

        """
        of = request.of
        with self._writing(of) as session:
            session.merge(
                CourierClaimRow(
                    case_id=of.case_id,
                    run_id=of.run_id,
                    waybill=request.waybill,
                    order_id=of.order_id,
                    courier=request.courier,
                    amount_fen=amount_fen,
                    at=request.at,
                )
            )

    def _requested(self, request: ParcelRequest, what: Literal["forward", "redeliver"]) -> bool:
        with self._writing(request.of) as session:
            known = session.get(CourierRequestRow, request.key)
            if known is not None:
                return known.agreed
            agreed = parcel_state(session, request.waybill, request.at) not in HANDED_OVER
            session.add(
                CourierRequestRow(
                    key=request.key,
                    case_id=request.of.case_id,
                    courier=request.courier,
                    waybill=request.waybill,
                    what=what,
                    address_id=request.address_id,
                    agreed=agreed,
                    at=request.at,
                )
            )
            return agreed

    def _writing(self, of: OnBehalf) -> AbstractContextManager[Session]:
        return case_transaction(self._database, of.case_id, of.run_id, of.moment)


def _spellings(session: Session, waybills: Collection[str]) -> dict[str, str]:
    """By waybill, as its courier spells it: capitals say nothing. Without those of which no courier has told."""
    found = {one: one for one in session.scalars(select(ParcelRow.waybill).where(ParcelRow.waybill.in_(waybills)))}
    others = [one for one in waybills if one not in found]
    if others:  # seldom, so that the others are found by the index
        query = select(ParcelRow.waybill).where(func.upper(ParcelRow.waybill).in_({one.upper() for one in others}))
        by_capitals = {one.upper(): one for one in session.scalars(query)}
        found |= {one: by_capitals[one.upper()] for one in others if one.upper() in by_capitals}
    return found


def shown_scans(session: Session, waybill: str, at: datetime) -> list[Scan]:
    """The scans of a parcel until `at` (aware), newest first; one whose time is still to come is not shown."""
    return _scans(session, _spellings(session, [waybill]).get(waybill, waybill), at)


def _scans(session: Session, spelling: str, at: datetime) -> list[Scan]:
    rows = session.scalars(
        select(ScanRow).where(ScanRow.waybill == spelling, ScanRow.at <= at).order_by(ScanRow.at.desc(), ScanRow.id)
    )
    return [Scan(at=row.at, code=row.code, status=row.status, text=row.text) for row in rows]


def parcel_state(session: Session, waybill: str, at: datetime) -> ParcelState | None:
    """Where a parcel is, by the newest scan shown at `at` (aware); None if there is none."""
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

    False if a parcel was signed for, or left with an agent or in a locker, by the scans shown, or if a fault is set for
    the order or a waybill. Goods that left without a waybill are stopped where they are handed over: their parcel is
    marked as soon as the shop knows it. `at` is aware.

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
    """Stop a parcel that the shop hears of only now, if an open case asked for that and the courier agreed.

    `at` is aware.
    """
    for case_id in cases_stopping(session, parcel.order_id, numbers):
        if parcel.intercepted_at is None and _can_stop(session, parcel.order_id, case_id, [parcel.waybill], at):
            parcel.intercepted_at = at
    session.flush()


def cases_stopping(session: Session, order_id: str, numbers: Collection[int]) -> list[str]:
    """The open cases that have had one of these lines stopped; an ended one has released its claims and requests."""
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
            # what a return has had out of a parcel of ours has its waybill, and went no way but the return's
            LineRow.number.not_in(
                select(ReturnedLineRow.line).where(
                    ReturnedLineRow.order_id == order_id, ReturnedLineRow.from_parcels > 0
                )
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
    stopped = all(parcel_state(session, waybill, at) not in HANDED_OVER for waybill in waybills)
    for subject in (order_id, case_id, *waybills):
        how = fault_of(session, "intercept", subject)
        if how is not None:
            stopped = False
        if how == "once":
            forget_fault(session, "intercept", subject)
    return stopped
