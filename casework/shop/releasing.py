"""Releasing: what a case releases of an order, and restores where Temporal discards the moves that led to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, inspect, select, union
from sqlalchemy.orm import Session

from casework.shop.amounts import line_rows
from casework.shop.flags import drop_wish, wish_flag
from casework.shop.orders import lock_orders
from casework.shop.runs import newest_run
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

_OWNED = (HoldRow, ClaimRow, FlagWishRow, InterceptRow, GiftPromiseRow)
"""What a case can have of an order, and releases."""
MOST_TIMES = 3
"""How many releases are kept for undo."""
_TABLES = {table.__tablename__: table for table in _OWNED}
# made once, as in `amounts`: every case that ends asks it
_ORDERS_WITH = union(*(select(row.order_id).where(row.case_id == bindparam("case_id")) for row in _OWNED))


def release_case(
    session: Session, case_id: str, *, flag_kept: str | None, at: datetime, version: int | None = None
) -> None:
    """Release everything that a case has: holds, claims, requests to the courier, what it promised from the budget for
    gifts and did not grant, and its flag wish, or leave a lasting flag in its place.

    A flag that was left before stays: releasing again changes nothing. `at` is aware; `version` as in
    `note_released`.
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
    note_released(session, case_id, gone, version=version)
    for order_id in sorted(orders):
        drop_wish(session, case_id, order_id, lasting=flag_kept, at=at)


def note_released(session: Session, case_id: str, gone: Sequence[Base], *, version: int | None = None) -> None:
    """Note on a case's record what it releases, to be restored where Temporal discards the moves that led to it.

    `version` is how many moves the case has made; None: as many as the shop has noted by now. The last few that
    released something are known: Temporal discards what was done in one workflow task.
    """
    if not gone:
        return
    row = newest_run(session, case_id)
    if row is not None:
        now = {
            "version": (row.at_version or 0) if version is None else version,
            "state": row.at_state if version is None else None,
            "rows": [[one.__tablename__, _written(one)] for one in gone],
        }
        row.let_go = {"times": [*_times_of(row), now][-MOST_TIMES:]}


def restore_released(session: Session, case: CaseRow, *, since: int, state: str | None, at: datetime) -> None:
    """Restore what a case released after it had made so many moves or more (`since`).

    Not what has left, nor what is another's by now, nor what it released in the very state that it is in after so many
    moves (`state`). `at` is aware.
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
        # of what was released twice, the case had the first where it goes on
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
    """The last few times that a case released something, oldest first: after how many moves, and what."""
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
