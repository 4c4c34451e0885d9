"""Parcels for tests: scans, silent couriers, and time that passes until a case has seen something."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.case import CaseView
from casework.shop.faults import set_fault
from casework.shop.tables import LineRow, ShipmentLineRow, ShipmentRow
from tests.desk import Desk, Handle
from tests.orders import add_scan

FLOW = "problem-parcel"
STEP = timedelta(hours=2)


def parcel_order(desk: Desk, *, price_fen: int = 10_000, **options: object) -> tuple[str, str]:
    """A new order of one shipped line, with goods of its own kind; its id, and its parcel's waybill."""
    order_id = desk.order(prices=[(price_fen, 1)], shipped=True, **options)
    with desk.database.writing() as session:
        for line in session.scalars(select(LineRow).where(LineRow.order_id == order_id)):
            line.sku = f"SKU-{order_id}"
        waybill = session.scalars(select(ShipmentRow.waybill).where(ShipmentRow.order_id == order_id)).one()
    return order_id, waybill


def two_parcels_of_one_line(desk: Desk, *, price_fen: int = 5_000) -> tuple[str, list[str]]:
    """An order of two pieces of one line, each in a parcel of its own, and their waybills."""
    order = desk.order(prices=[(price_fen, 2)], shipped=True)
    return order, list(in_two_parcels(desk, order))


def in_two_parcels(desk: Desk, order: str, *, line: int = 1, others: int = 1) -> tuple[str, str]:
    """Of a line in an order's only parcel, one piece is in it, and so many others in a second: both waybills."""
    with desk.database.writing() as session:
        parcel, other = _with_another(session, order)
        session.get_one(ShipmentLineRow, (parcel.id, line)).quantity = 1
        session.add(ShipmentLineRow(shipment_id=other.id, line=line, quantity=others))
        return parcel.waybill, other.waybill


def second_line_apart(desk: Desk, order: str) -> tuple[str, str]:
    """Of an order's only parcel, the second line is in a parcel of its own instead: both waybills."""
    with desk.database.writing() as session:
        parcel, other = _with_another(session, order)
        session.delete(session.get_one(ShipmentLineRow, (parcel.id, 2)))
        session.add(ShipmentLineRow(shipment_id=other.id, line=2, quantity=1))
        return parcel.waybill, other.waybill


def _with_another(session: Session, order: str) -> tuple[ShipmentRow, ShipmentRow]:
    """An order's only parcel, and one more that left with it, in which nothing is yet."""
    (parcel,) = session.scalars(select(ShipmentRow).where(ShipmentRow.order_id == order))
    other = ShipmentRow(order_id=order, waybill=f"ZZ{order[-11:]}", company="圆通速递", shipped_at=parcel.shipped_at)
    session.add(other)
    session.flush()
    return parcel, other


def silence(desk: Desk, waybill: str, how: str = "always") -> None:
    """The courier does not answer for the waybill; `never` ends that."""
    with desk.database.writing() as session:
        set_fault(session, "answer", waybill, how)


def scan(desk: Desk, waybill: str, code: str, *, at: datetime | None = None, text: str = "") -> None:
    """The courier has scanned the parcel, and answers from now on."""
    with desk.database.writing() as session:
        # at once: the case may be asking in this very moment, and an answer without the scan says that all is well
        set_fault(session, "answer", waybill, "never")
        add_scan(session, waybill, code, at=at or datetime.now(UTC), text=text)


async def scan_now(desk: Desk, case: Handle, waybill: str, code: str, *, text: str = "") -> None:
    """As `scan`, on the case's own clock."""
    scan(desk, waybill, code, at=await desk.skipper.get_current_time(case), text=text)


async def until_it_moves(
    desk: Desk, case: Handle, *, most: timedelta = timedelta(days=2), since: CaseView | None = None
) -> CaseView:
    """Let time pass until a look at the world has moved the case.

    `since`: the case before there was anything to see, where it may be looking in that very moment.
    """
    view = await desk.view(case)
    before = since or view
    passed = timedelta(0)
    while view.version == before.version and passed < most:
        await desk.skip(case, STEP)
        passed += STEP
        await desk.until_rung(case)  # else days might pass while a courier is asked, or before the next poll
        view = await desk.view(case)
    assert view.version != before.version, f"{case.id} stays in {before.state}"
    return view
