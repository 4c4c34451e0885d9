"""Holds: what a case holds does not ship. Taking a hold and marking shipped are one race, which one side wins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, inspect, select, union
from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.shop.amounts import line_rows
from casework.shop.flags import drop_wish, wish_flag
from casework.shop.orders import lock_order, lock_orders
from casework.shop.tables import (
    Base,
    CaseRow,
    ClaimRow,
    FlagWishRow,
    GiftPromiseRow,
    HoldRow,
    InterceptRow,
    Moment,
)

_HAS = (HoldRow, ClaimRow, FlagWishRow, InterceptRow, GiftPromiseRow)
"""What a case can have of an order."""
MOST_TIMES = 3
"""Of so many times that a case let something go the shop knows what: no workflow task has more."""
_TABLES = {table.__tablename__: table for table in _HAS}
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


def release_case(
    session: Session, case_id: str, *, flag_kept: str | None, at: datetime, version: int | None = None
) -> None:
    """Let everything go that a case has: holds, claims, requests to the courier, what it promised from the budget for
    gifts and did not grant, and its flag wish, or leave a lasting flag in its place.

    A flag that was left before stays: releasing again changes nothing. `at` is aware; `version` as in
    `note_let_go`.
    """
    orders = set(session.scalars(_ORDERS_WITH, {"case_id": case_id}))
    if flag_kept is not None:
        orders.update(session.scalars(select(CaseRow.order_id).where(CaseRow.case_id == case_id)))
    lock_orders(session, orders)
    gone: list[Base] = []
    if orders:
        wish = session.get(FlagWishRow, case_id)
        gone += [] if wish is None else [wish]
        for table in (HoldRow, ClaimRow, InterceptRow):
            gone += session.scalars(delete(table).where(table.case_id == case_id).returning(table))
        not_granted = (GiftPromiseRow.case_id == case_id, GiftPromiseRow.granted_at.is_(None))
        gone += session.scalars(delete(GiftPromiseRow).where(*not_granted).returning(GiftPromiseRow))
    note_let_go(session, case_id, gone, version=version)
    for order_id in sorted(orders):
        drop_wish(session, case_id, order_id, lasting=flag_kept, at=at)


def note_let_go(session: Session, case_id: str, gone: Sequence[Base], *, version: int | None = None) -> None:
    """Note on a case's record what it lets go, to be had again where Temporal takes the moves back that led to it.

    `version` is how many moves the case has made; None: as many as the shop has noted by now. The last few that let
    something go are known: Temporal takes back what was done in one workflow task.
    """
    if not gone:
        return
    newest = select(CaseRow).where(CaseRow.case_id == case_id).order_by(CaseRow.opened_at.desc()).limit(1)
    row = session.scalars(newest).first()
    if row is not None:
        now = {
            "version": (row.at_version or 0) if version is None else version,
            "state": row.at_state if version is None else None,
            "rows": [[one.__tablename__, _written(one)] for one in gone],
        }
        row.let_go = {"times": [*_times_of(row), now][-MOST_TIMES:]}


def have_again(session: Session, case: CaseRow, *, since: int, state: str | None, at: datetime) -> None:
    """A case has again what it let go after it had made so many moves or more (`since`), but for what has left and what
    is another's by now. What it let go in the very state that it is in after them (`state`) stays let go. `at` is aware.
    """
    times = _times_of(case)
    taken_back = [
        one for one in times if one["version"] >= since and (one["version"], one.get("state")) != (since, state)
    ]
    if not taken_back:
        return
    case.let_go = {"times": [one for one in times if one not in taken_back]}
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name, row in (named for one in taken_back for named in one["rows"]):
        # of what was let go twice, the case had the first where it goes on
        rows.setdefault((_TABLES[name], *(row[column.name] for column in _TABLES[name].__table__.primary_key)), row)
    orders = {row["order_id"] for row in rows.values()}
    lock_orders(session, orders)
    shipped = {
        (line.order_id, line.number)
        for order_id in orders
        for line in line_rows(session, order_id)
        if line.place == "shipped"
    }
    for (table, *key), row in rows.items():
        if table is FlagWishRow:
            wish_flag(session, case.case_id, row["order_id"], row["colour"], at=at)
        elif table is HoldRow and (row["order_id"], row["line"]) in shipped:
            continue
        elif session.get(table, tuple(key)) is None:
            session.add(_read(table, row))
    session.flush()


def _times_of(case: CaseRow) -> list[dict[str, Any]]:
    """The last few times that a case let something go, oldest first: after how many moves, and what."""
    return [] if case.let_go is None else case.let_go.get("times", [case.let_go])


def _written(row: Base) -> dict[str, Any]:
    """A row as JSON: its times as text."""
    found = {column.key: getattr(row, column.key) for column in inspect(row).mapper.column_attrs}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in found.items()}


def _read(table: type[Base], row: Mapping[str, Any]) -> Base:
    times = {column.name for column in table.__table__.columns if isinstance(column.type, Moment)}
    return table(
        **{
            name: datetime.fromisoformat(value) if name in times and value is not None else value
            for name, value in row.items()
        }
    )
