"""Holds: what a case holds does not ship. Taking a hold and marking shipped are one race, which one side wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, select, union
from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.shop.amounts import line_rows
from casework.shop.flags import drop_wish, wish_flag
from casework.shop.orders import lock_order, lock_orders
from casework.shop.tables import CaseRow, ClaimRow, FlagWishRow, GiftPromiseRow, HoldRow, InterceptRow

_HAS = (HoldRow, ClaimRow, FlagWishRow, InterceptRow, GiftPromiseRow)
"""What a case can have of an order."""
# made once, as in `amounts`: every case that ends asks it
_ORDERS_WITH = union(*(select(row.order_id).where(row.case_id == bindparam("case_id")) for row in _HAS))


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
    held = set(session.scalars(select(HoldRow.line).where(HoldRow.order_id == order_id, HoldRow.case_id == case_id)))
    for row in rows:
        if row.number not in held:
            session.add(HoldRow(order_id=order_id, line=row.number, case_id=case_id, at=at))
    session.flush()
    # policy.md, shop.flag_profile: in handed_over, green = handed to the warehouse system
    if not (handed_over_profile and order.own_flag == "green"):
        mark_order(session, case_id, order_id, handed_over_profile=handed_over_profile, at=at)
    return HoldResult(held=True, flag_found=order.own_flag)


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


def holds_and_claims(session: Session, case_id: str) -> dict[str, Any] | None:
    """What a case holds and has claimed, to be had again (`handing_over.have_again`); None: nothing."""
    held = [
        {"order_id": row.order_id, "line": row.line, "at": row.at.isoformat()}
        for row in session.scalars(select(HoldRow).where(HoldRow.case_id == case_id))
    ]
    claimed = [
        {
            "order_id": row.order_id,
            "line": row.line,
            "refunded_before": row.refunded_before,
            "shipped_before": row.shipped_before,
            "loose_before_fen": row.loose_before_fen,
        }
        for row in session.scalars(select(ClaimRow).where(ClaimRow.case_id == case_id))
    ]
    return {"held": held, "claimed": claimed} if held or claimed else None


def release_case(session: Session, case_id: str, *, flag_kept: str | None, at: datetime) -> None:
    """Let everything go that a case has: holds, claims, requests to the courier, what it promised from the budget for
    gifts and did not grant, and its flag wish, or leave a lasting flag in its place.

    A flag that was left before stays: releasing again changes nothing. `at` is aware.
    """
    orders = set(session.scalars(_ORDERS_WITH, {"case_id": case_id}))
    if flag_kept is not None:
        orders.update(session.scalars(select(CaseRow.order_id).where(CaseRow.case_id == case_id)))
    lock_orders(session, orders)
    session.execute(delete(HoldRow).where(HoldRow.case_id == case_id))
    session.execute(delete(ClaimRow).where(ClaimRow.case_id == case_id))
    session.execute(delete(InterceptRow).where(InterceptRow.case_id == case_id))
    session.execute(
        delete(GiftPromiseRow).where(GiftPromiseRow.case_id == case_id, GiftPromiseRow.granted_at.is_(None))
    )
    for order_id in sorted(orders):
        drop_wish(session, case_id, order_id, lasting=flag_kept, at=at)
