"""Opening a gift approval: what it is about, and whether the cost is the one that the shop knows."""

from __future__ import annotations

from sqlalchemy.orm import Session

from casework.money import format_yuan
from casework.opening.resolved import Resolved
from casework.shop import gifts, orders
from casework.shop.errors import BadRequest
from state_machines.gift_approval import GIFT_APPROVAL, GiftStart


def resolve(session: Session, start: GiftStart) -> Resolved:
    """The cost that was named, checked: the catalogue's x quantity, or the order's postage; the id names the kind.

    Raises:
        BadRequest: the catalogue has no such gift, or the cost is another one.

    """
    if start.gift_sku is not None and start.quantity is not None:
        cost, what = gifts.cost_in_catalogue(session, start.gift_sku, start.quantity), "the catalogue's cost x quantity"
    else:
        cost, what = orders.find_order(session, start.order_id).postage_fen, "the order's postage"
    if start.cost_fen != cost:
        raise BadRequest("cost_fen", f"must be {what}, {cost} ({format_yuan(cost)} yuan)")
    case_id = f"{GIFT_APPROVAL.name}-{start.order_id}-{start.kind.replace('_', '-')}"
    return Resolved(case_id, fields={"cost_fen": cost})
