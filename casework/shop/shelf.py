"""What lies on the shelf to ship again: the warehouse's tasks for it, and what of it the buyer gets no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from casework.money import LineQuantity, as_listed, listed
from casework.shop import outbox
from casework.shop.amounts import line_rows
from casework.shop.goods_tasks import OF_MALICIOUS_ORDER, ROLES
from casework.shop.lying_here import lines_named, name_what_lies_here, tasks_about
from casework.shop.pieces import pieces_of_lines, pieces_owed
from casework.shop.shipments import has_come_back
from casework.shop.stock import move_stock
from casework.shop.tables import LineRow
from state_machines.roles import Role

SHIP_AGAIN, AFTER_REVIEW = "ship_again", "ship_again_after_review"
"""The tasks by which the warehouse ships again what came back, at once or when the order's review lets it."""
TO_SHIP_AGAIN = (SHIP_AGAIN, AFTER_REVIEW)


def clear_shelf(session: Session, case_id: str, order_id: str, rows: Sequence[LineRow], at: datetime) -> None:
    """Of these lines, what lies on the shelf and the buyer does not get any more goes into stock.

    The warehouse's task is cancelled; one for the rest takes its place. `at` is aware; the caller locks the order.
    """
    where = pieces_of_lines(session, order_id, rows)
    if not any(pieces.shelf for pieces in where.values()):
        return
    owed = pieces_owed(session, order_id, rows, at)
    useless = Counter({line: pieces.shelf - min(pieces.shelf, owed[line]) for line, pieces in where.items()})
    pieces = [LineQuantity(line=line, quantity=quantity) for line, quantity in useless.items() if quantity]
    move_stock(session, rows, pieces, case_id=case_id, at=at)
    for task in tasks_about(session, order_id, TO_SHIP_AGAIN) if pieces else ():
        told = as_listed(task.parameters["lines"])
        less = {one.line: min(one.quantity, useless[one.line]) for one in told}
        if not any(less.values()):
            continue
        task.cancelled_at = at
        useless.subtract(less)
        rest = [LineQuantity(line=one.line, quantity=one.quantity - less[one.line]) for one in told]
        if still := [one for one in rest if one.quantity]:
            outbox.give_task(
                session,
                key=f"{task.key}/less",
                case_id=task.case_id,
                role=Role.WAREHOUSE,
                template=task.template,
                parameters={**task.parameters, "lines": listed(still)},
                at=at,
            )


def lines_on_shelf_alone(session: Session, order_id: str) -> set[int]:
    """Lines of which the rest has left, and pieces lie on the shelf: no more of such a line is left to ship."""
    if not has_come_back(session, order_id):
        return set()
    rows = [row for row in line_rows(session, order_id) if row.place != "unshipped"]
    where = pieces_of_lines(session, order_id, rows)
    return {line for line, pieces in where.items() if pieces.shelf}


def stop_shipping_again(session: Session, case_id: str, order_id: str, at: datetime) -> None:
    """Nothing of the order ships any more: the warehouse's tasks to ship something again are cancelled.

    What is left to ship is refunded, but for what lies on the shelf alone, and what lies here and somebody else was to
    see to: the supervisor's task names that. `at` is aware.
    """
    named_before = {line for task in tasks_about(session, order_id, ROLES) for line in lines_named(task)}
    name_what_lies_here(
        session,
        OF_MALICIOUS_ORDER,
        case_id=case_id,
        about={"order_id": order_id},
        numbers=lines_on_shelf_alone(session, order_id) | named_before,
        at=at,
    )
    for task in tasks_about(session, order_id, TO_SHIP_AGAIN):
        task.cancelled_at = at
    session.flush()
