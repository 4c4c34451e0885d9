"""Shipments: the parcels of an order that have left, and what is in them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from casework.money import LineQuantity
from casework.shop.tables import ShipmentLineRow, ShipmentRow


def is_waybill(
    column: InstrumentedAttribute[str] | InstrumentedAttribute[str | None], waybill: str
) -> ColumnElement[bool]:
    """Whether a column has this waybill: capitals say nothing, and the shop keeps what people and couriers wrote."""
    return func.upper(column) == waybill.upper()


def shipment_of(session: Session, order_id: str, waybill: str) -> ShipmentRow | None:
    """An order's shipment under a waybill, in whatever capitals that is written; None: there is none."""
    own = (ShipmentRow.order_id == order_id, is_waybill(ShipmentRow.waybill, waybill))
    return session.scalar(select(ShipmentRow).where(*own).order_by(ShipmentRow.waybill != waybill).limit(1))


def pieces_in(session: Session, shipment: ShipmentRow | None) -> list[LineQuantity]:
    """What is in a shipment, by line; nothing, where there is none or its lines are not known."""
    return [] if shipment is None else pieces_in_each(session, [shipment.id])[shipment.id]


def take_out(session: Session, shipment: ShipmentRow, pieces: LineQuantity) -> int:
    """A return takes pieces of a line out of a parcel that has come back; how many of them were in it still."""
    inside = session.get(ShipmentLineRow, (shipment.id, pieces.line))
    if shipment.back_at is None or inside is None:
        return 0
    taken = min(pieces.quantity, inside.left_inside)
    inside.taken_out += taken
    session.flush()
    return taken


def shelve(
    session: Session,
    order_id: str,
    numbers: Collection[int],
    at: datetime,
    *,
    only: Collection[str] | None = None,
    excluding: Collection[str] = (),
) -> None:
    """What of these lines came back is not in its parcel any more: the parcel's own case has it no longer.

    Only what came by these waybills (in capitals; None: by whatever), and not by those of `excluding`. `at` is aware.
    """
    for inside, waybill in session.execute(
        select(ShipmentLineRow, func.upper(ShipmentRow.waybill))
        .join(ShipmentRow, ShipmentRow.id == ShipmentLineRow.shipment_id)
        .where(ShipmentRow.order_id == order_id, ShipmentRow.back_at.is_not(None), ShipmentLineRow.line.in_(numbers))
    ):
        if waybill not in excluding and (only is None or waybill in only):
            inside.shelved_at = inside.shelved_at or at


def leave_shelf(session: Session, order_id: str, pieces: LineQuantity) -> None:
    """So many pieces of a line that came back and were on the shelf have left again: in no parcel that came back."""
    rows = session.scalars(
        select(ShipmentLineRow)
        .join(ShipmentRow, ShipmentRow.id == ShipmentLineRow.shipment_id)
        .where(
            ShipmentRow.order_id == order_id,
            ShipmentRow.back_at.is_not(None),
            ShipmentLineRow.line == pieces.line,
            ShipmentLineRow.shelved_at.is_not(None),
        )
        .order_by(ShipmentRow.id.desc())
    )
    wanted = pieces.quantity
    for inside in rows:
        leaves = min(wanted, inside.quantity - inside.taken_out)
        inside.taken_out += leaves
        wanted -= leaves
    session.flush()


def has_come_back(session: Session, order_id: str) -> bool:
    """Whether any parcel of the order has come back: of most orders nothing more is asked."""
    query = select(ShipmentRow.id).where(ShipmentRow.order_id == order_id, ShipmentRow.back_at.is_not(None))
    return session.scalar(query.limit(1)) is not None


def lines_in(session: Session, shipment: ShipmentRow) -> set[int]:
    """The lines of which something is in a shipment."""
    return {one.line for one in pieces_in(session, shipment)}


def pieces_in_each(session: Session, shipment_ids: Collection[int]) -> dict[int, list[LineQuantity]]:
    """What is in each of some shipments, by line."""
    inside: dict[int, list[LineQuantity]] = {shipment_id: [] for shipment_id in shipment_ids}
    rows = session.execute(
        select(ShipmentLineRow.shipment_id, ShipmentLineRow.line, ShipmentLineRow.quantity)
        .where(ShipmentLineRow.shipment_id.in_(inside))
        .order_by(ShipmentLineRow.line)
    )
    for shipment_id, line, quantity in rows:
        inside[shipment_id].append(LineQuantity(line=line, quantity=quantity))
    return inside
