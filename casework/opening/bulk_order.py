"""Opening a bulk order's case: the whole order, and the conversation about it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.opening.resolved import Resolved
from casework.shop import bulk, orders
from casework.shop.errors import BadRequest
from state_machines.bulk_order import BULK_ORDER, BulkStart


def resolve(session: Session, start: BulkStart) -> Resolved:
    """The case is about the whole order; a conversation that is named must be in the shop, and be about it.

    Raises:
        BadRequest: the order's lines are not all known, or the conversation is not one about it.

    """
    order = orders.read_order(session, start.order_id)
    if not order.lines_known or not order.lines:
        raise BadRequest("order_id", f"the lines of order {order.id} are not all known: import its line list first")
    if start.chat_id is not None:
        bulk.require_chat(session, order.id, start.chat_id)
    lines = [LineQuantity(line=line.number, quantity=line.quantity) for line in order.lines]
    return Resolved(f"{BULK_ORDER.name}-{order.id}", lines)
