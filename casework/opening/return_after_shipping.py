"""Opening a return after shipping: which lines are meant, and when the buyer first asked."""

from __future__ import annotations

from sqlalchemy.orm import Session

from casework.opening.resolved import Resolved, case_id_of_lines
from casework.shop import orders, returning
from state_machines.return_after_shipping import RETURN_AFTER_SHIPPING, ReturnStart


def resolve(session: Session, start: ReturnStart) -> Resolved:
    """The lines asked for, checked, or all that have left; the id names the lines that were asked for.

    One that reopens a lapsed return, or goes on with a refund, counts from when that was asked for.

    Raises:
        BadRequest: the lines are unknown, more than is left, or both shipped and unshipped; or `reopens` names no
            lapsed return of the same lines.

    """
    # what another case asks for was its own until now: what became of it meanwhile, the case finds by itself
    lines = orders.resolve_lines(
        session, start.order_id, start.lines, have_left=True, handed_over=start.from_case is not None
    )
    asked = {line.line for line in start.lines or ()}
    every_line = {line.number for line in orders.read_order(session, start.order_id).lines}
    requested = None
    if start.reopens is not None:
        requested = returning.first_request(session, start.reopens, start.order_id, lines)
    elif start.from_case is not None:
        requested = returning.asked_as_refund(session, start.from_case)
    return Resolved(
        case_id_of_lines(RETURN_AFTER_SHIPPING.name, start.order_id, asked, every_line),
        lines,
        {"requested_at": requested.isoformat()} if requested is not None else {},
    )
