"""Holds: what a case holds does not ship. Taking a hold and marking shipped are one race, which one side wins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.shop.amounts import line_rows
from casework.shop.flags import wish_flag
from casework.shop.orders import lock_order
from casework.shop.tables import HoldRow


@dataclass(frozen=True, slots=True)
class HoldResult:
    """Whether the lines are held now, and the order's own flag, whatever cases wish it to show."""

    held: bool
    flag_found: str


def hold_lines(
    session: Session,
    case_id: str,
    order_id: str,
    lines: Sequence[LineQuantity],
    *,
    handed_over_profile: bool,
    at: datetime,
) -> HoldResult:
    """Hold the lines and mark the order as one whose refund was asked; nothing at all where one of them has left.

    Where the order's own flag says that it was handed to the warehouse (profile handed_over, green), the lines are held
    and nothing is marked: the warehouse is asked before any change, and `mark_order` follows.

    Doing it again changes nothing and gives the same answer, unless a line has left since: then it is not held. `at` is
    aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = lock_order(session, order_id)
    wanted = {one.line for one in lines}
    rows = [row for row in line_rows(session, order_id) if row.number in wanted]
    if len(rows) < len(wanted) or any(row.place == "shipped" for row in rows):
        return HoldResult(held=False, flag_found=order.own_flag)
    hold_each(session, case_id, order_id, [row.number for row in rows], at=at)
    # policy.md, shop.flag_profile: in handed_over, green = handed to the warehouse system
    if not (handed_over_profile and order.own_flag == "green"):
        mark_order(session, case_id, order_id, handed_over_profile=handed_over_profile, at=at)
    return HoldResult(held=True, flag_found=order.own_flag)


def hold_each(session: Session, case_id: str, order_id: str, numbers: Iterable[int], *, at: datetime) -> None:
    """Hold these lines, whatever state they are in; again, it changes nothing. `at` is aware."""
    held = set(session.scalars(select(HoldRow.line).where(HoldRow.order_id == order_id, HoldRow.case_id == case_id)))
    for number in sorted({*numbers} - held):
        session.add(HoldRow(order_id=order_id, line=number, case_id=case_id, at=at))
    session.flush()


def mark_order(session: Session, case_id: str, order_id: str, *, handed_over_profile: bool, at: datetime) -> None:
    """Mark the order as one whose refund was asked: the case's flag wish, and nothing else. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    # policy.md, shop.flag_profile: what "refund asked" looks like
    wish_flag(session, case_id, order_id, "red" if handed_over_profile else "green", at=at)


def cases_holding(session: Session, order_id: str, line: int | None = None) -> list[str]:
    """The cases that hold the order, or one line of it."""
    query = select(HoldRow.case_id).where(HoldRow.order_id == order_id)
    if line is not None:
        query = query.where(HoldRow.line == line)
    return sorted(set(session.scalars(query)))
