"""Opening a refund before shipping: which lines are meant."""

from __future__ import annotations

from sqlalchemy.orm import Session

from casework.opening.resolved import Resolved, case_id_of_lines
from casework.shop import orders
from state_machines.refund_before_shipping import REFUND_BEFORE_SHIPPING, RefundStart


def resolve(session: Session, start: RefundStart) -> Resolved:
    """The lines asked for, checked, or all unshipped ones; the id names the lines that were asked for.

    What another case asks for was its own until now: what became of it meanwhile, the case finds by itself.

    Raises:
        BadRequest: the lines are unknown, more than is left, or both shipped and unshipped.

    """
    lines = orders.resolve_lines(session, start.order_id, start.lines, handed_over=start.from_case is not None)
    asked = {line.line for line in start.lines or ()}
    every_line = {line.number for line in orders.read_order(session, start.order_id).lines}
    return Resolved(case_id_of_lines(REFUND_BEFORE_SHIPPING.name, start.order_id, asked, every_line), lines)
