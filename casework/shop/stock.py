"""Stock movements: what goes into stock, or out of it, by which case."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.shop.tables import LineRow, StockMovementRow


def move_stock(
    session: Session,
    rows: Iterable[LineRow],
    pieces: Iterable[LineQuantity],
    *,
    case_id: str,
    at: datetime,
    sign: Literal[-1, 1] = 1,
) -> None:
    """Note that pieces of the order's lines (`rows`) go into stock, or out of it by sign -1. `at` is aware."""
    by_number = {row.number: row for row in rows}
    for one in pieces:
        if one.quantity:
            row = by_number[one.line]
            session.add(
                StockMovementRow(
                    sku=row.sku,
                    quantity=sign * one.quantity,
                    order_id=row.order_id,
                    line=one.line,
                    case_id=case_id,
                    at=at,
                )
            )
    session.flush()


def pieces_in_stock(session: Session, order_id: str) -> dict[int, int]:
    """By line, how many pieces of an order have come into stock, less those that have gone out of it again."""
    query = (
        select(StockMovementRow.line, func.sum(StockMovementRow.quantity))
        .where(StockMovementRow.order_id == order_id)
        .group_by(StockMovementRow.line)
    )
    return {line: int(pieces) for line, pieces in session.execute(query)}
