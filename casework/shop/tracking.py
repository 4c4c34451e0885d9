"""Asking couriers where parcels are: seldom enough, by whomever, and what they last said is kept with its age."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from casework.courier import Courier, CourierSilent, Scan
from casework.rules.parcels import Scanned, forwarded_to, may_ask
from casework.shop.database import Database
from casework.shop.tables import ParcelStatusRow


def ask(
    database: Database, port: Courier, *, courier: str, waybill: str, at: datetime, poll_min: timedelta
) -> Scanned | None:
    """Ask the courier, unless anybody has asked for this waybill within `poll_min`; answers with the last status.

    A courier that does not answer means nothing: the last status stays, with its age. The turn to ask is taken in a
    transaction of its own, so of two that ask at once only one does.
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


def last_status(session: Session, waybill: str) -> Scanned | None:
    """The newest scan that the courier told of, and when it did; None: it has told of none."""
    row = session.get(ParcelStatusRow, waybill)
    if row is None or row.code is None or row.scan_at is None or row.answered_at is None:
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
    if row is None:
        return
    row.answered_at = at
    if scans:
        newest = scans[0]
        forwarding = forwarded_to(newest.code, newest.text)
        row.code, row.scan_at = newest.code, newest.at
        row.forwarded_courier, row.forwarded_waybill = forwarding or (None, None)
    session.flush()
