"""Shipments: the parcels of an order that have left, and what is in them."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.shop.tables import ShipmentLineRow, ShipmentRow


def shipment_of(session: Session, order_id: str, waybill: str) -> ShipmentRow | None:
    """An order's shipment under a waybill, which is written as the shop writes it; None: there is none."""
    return session.scalar(select(ShipmentRow).where(ShipmentRow.order_id == order_id, ShipmentRow.waybill == waybill))


def pieces_in(session: Session, shipment: ShipmentRow | None) -> list[LineQuantity]:
    """What is in a shipment, by line; nothing, where there is none or its lines are not known."""
    return [] if shipment is None else pieces_in_each(session, [shipment.id])[shipment.id]


def still_in(session: Session, shipment: ShipmentRow | None) -> dict[int, int]:
    """How many pieces of each line are in a shipment; none of what came back and went to the shelf, to ship again."""
    if shipment is None:
        return {}
    rows = session.scalars(
        select(ShipmentLineRow).where(ShipmentLineRow.shipment_id == shipment.id).order_by(ShipmentLineRow.line)
    )
    return {row.line: row.quantity if row.shelved_at is None else 0 for row in rows}


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
