"""Asking couriers where parcels are: seldom enough, by whomever, and what they last said stands with its age."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from casework.courier import Courier, CourierSilent, Scan
from casework.rules.parcels import Scanned, forwarded_to, may_ask
from casework.shop.database import Database
from casework.shop.shipments import is_waybill
from casework.shop.tables import FollowedParcelRow, ParcelStatusRow, ReturnRow, ShipmentRow


def orders_of_waybill(session: Session, waybill: str) -> set[str]:
    """The orders that have something in a parcel of this waybill, on its way out, back, or forwarded; capitals say
    nothing.
    """
    return {
        order_id
        for table in (ShipmentRow, FollowedParcelRow, ReturnRow)
        for order_id in session.scalars(select(table.order_id).where(is_waybill(table.waybill, waybill)))
    }


def later_waybills(session: Session, order_id: str, waybill: str) -> list[str]:
    """Under which waybills a way back that a case follows went on; capitals say nothing.

    Of goods on their way to the buyer, others may have left in their place: see `losses.same_goods`.
    """
    runs = select(FollowedParcelRow.case_id, FollowedParcelRow.run_id).where(
        FollowedParcelRow.order_id == order_id, is_waybill(FollowedParcelRow.waybill, waybill)
    )
    forwarded = select(FollowedParcelRow.waybill).where(
        tuple_(FollowedParcelRow.case_id, FollowedParcelRow.run_id).in_(runs), FollowedParcelRow.how == "forwarded"
    )
    return list(session.scalars(forwarded))


def ask(
    database: Database, port: Courier, *, courier: str, waybill: str, at: datetime, poll_min: timedelta
) -> Scanned | None:
    """Ask the courier, unless anybody has asked for this waybill within `poll_min`; answers with the last status.

    A courier that does not answer means nothing: the last status stays, with its age. The turn to ask is taken in a
    transaction of its own, so of two that ask at once only one does. `at` is aware.
    """
    with database.writing() as session:
        if not _takes_turn(session, waybill, at, poll_min):
            return last_status(session, waybill)
    try:
        scans = port.ask(courier, waybill, at=at)
    except CourierSilent:
        pass
    else:
        with database.writing() as session:
            _keep(session, waybill, scans, at)
    with database.reading() as session:
        return last_status(session, waybill)


def ask_each(
    database: Database, port: Courier, couriers: Mapping[str, str], *, at: datetime, poll_min: timedelta
) -> dict[str, Scanned]:
    """As `ask`, for many waybills, each with its courier, in few transactions; by waybill, the last status if any.

    `at` is aware.
    """
    with database.writing() as session:
        rows = _rows_of(session, couriers)
        turns = {
            waybill: courier
            for waybill, courier in couriers.items()
            if waybill not in rows or may_ask(rows[waybill].asked_at, at, poll_min)
        }
        for waybill in turns:
            if waybill in rows:
                rows[waybill].asked_at = at
            else:
                session.add(ParcelStatusRow(waybill=waybill, asked_at=at))
    answers: Mapping[str, Sequence[Scan]] = port.ask_each(turns, at=at) if turns else {}
    with database.writing() as session:
        rows = _rows_of(session, couriers)
        for waybill, scans in answers.items():
            if waybill in rows:
                _write_down(rows[waybill], scans, at)
        last = {waybill: _status_in(row) for waybill, row in rows.items()}
    return {waybill: status for waybill, status in last.items() if status is not None}


def _rows_of(session: Session, waybills: Collection[str]) -> dict[str, ParcelStatusRow]:
    rows = session.scalars(
        select(ParcelStatusRow)
        .where(ParcelStatusRow.waybill.in_(waybills))
        .order_by(ParcelStatusRow.waybill)
        .with_for_update()
    )
    return {row.waybill: row for row in rows}


def last_status(session: Session, waybill: str) -> Scanned | None:
    """The newest scan that the courier told of, and when it did; None: it has told of none."""
    row = session.get(ParcelStatusRow, waybill)
    return None if row is None else _status_in(row)


def _status_in(row: ParcelStatusRow) -> Scanned | None:
    if row.code is None or row.scan_at is None or row.answered_at is None:
        return None
    return Scanned(row.code, row.scan_at, row.answered_at)


def _takes_turn(session: Session, waybill: str, at: datetime, poll_min: timedelta) -> bool:
    row = session.get(ParcelStatusRow, waybill, with_for_update=True)
    if row is None:
        session.add(ParcelStatusRow(waybill=waybill, asked_at=at))
        session.flush()
        return True
    if not may_ask(row.asked_at, at, poll_min):
        return False
    row.asked_at = at
    session.flush()
    return True


def _keep(session: Session, waybill: str, scans: Sequence[Scan], at: datetime) -> None:
    row = session.get(ParcelStatusRow, waybill, with_for_update=True)
    if row is not None:
        _write_down(row, scans, at)
        session.flush()


def _write_down(row: ParcelStatusRow, scans: Sequence[Scan], at: datetime) -> None:
    row.answered_at = at
    if scans:
        newest = scans[0]
        forwarding = forwarded_to(newest.code, newest.text)
        row.code, row.scan_at = newest.code, newest.at
        row.forwarded_courier, row.forwarded_waybill = forwarding or (None, None)
