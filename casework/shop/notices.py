"""Notices: an order changed outside, and its open cases are to be told, in the same transaction as the change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from casework.shop.amounts import accounts, line_rows, pieces_left
from casework.shop.orders import find_order
from casework.shop.records import open_cases_of_order
from casework.shop.tables import NoticeRow

News = Literal["order_gone", "order_changed"]


@dataclass(frozen=True, slots=True)
class Notice:
    """News for one case: a signal's name. It holds no personal data; the case reads the shop. `at` is aware."""

    id: int
    case_id: str
    order_id: str
    trigger: News
    at: datetime


def tell_of_refund(session: Session, order_id: str, *, at: datetime, excluding: str | None = None) -> None:
    """Money has gone back to the buyer: the order is gone where it was the whole of it, else it has changed.

    `at` is aware.
    """
    order = find_order(session, order_id)
    done = accounts(session, order_id)
    lines = line_rows(session, order_id)
    # of a return without a fault the postage of the way out stays paid, and of one without its gift the gift's value
    nothing_left = bool(lines) and not any(pieces_left(line, done) for line in lines)
    whole = order.state == "closed" or done.total_fen >= order.paid_fen or nothing_left
    tell_cases(session, order_id, "order_gone" if whole else "order_changed", at=at, excluding=excluding)


def tell_cases(session: Session, order_id: str, trigger: News, *, at: datetime, excluding: str | None = None) -> None:
    """Note the news for each open case of the order, excluding the one that brings it.

    It takes the place of the same news that waits to be told already: whoever is telling the old one right now marks
    only that one as told, and the case, which may have read the order before this change, hears of it again. `at` is
    aware.
    """
    for case_id in open_cases_of_order(session, order_id):
        if case_id == excluding:
            continue
        session.execute(
            update(NoticeRow)
            .where(NoticeRow.case_id == case_id, NoticeRow.trigger == trigger, NoticeRow.delivered_at.is_(None))
            .values(delivered_at=at)
        )
        session.add(NoticeRow(case_id=case_id, order_id=order_id, trigger=trigger, at=at))
        session.flush()


def pending(session: Session) -> list[Notice]:
    """What is still to be told, oldest first."""
    return [
        Notice(
            id=row.id,
            case_id=row.case_id,
            order_id=row.order_id,
            trigger="order_gone" if row.trigger == "order_gone" else "order_changed",
            at=row.at,
        )
        for row in session.scalars(select(NoticeRow).where(NoticeRow.delivered_at.is_(None)).order_by(NoticeRow.id))
    ]


def told(session: Session, notice_id: int) -> None:
    """The case has been told, or has ended."""
    row = session.get(NoticeRow, notice_id)
    if row is not None and row.delivered_at is None:
        row.delivered_at = datetime.now(UTC)
        session.flush()
