"""Flags and memos (flows.md, "Flags and memos"): the order's own flag, a wish per case, and a memo that only grows."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.shop.orders import lock_order
from casework.shop.tables import FlagChangeRow, FlagWishRow, MemoEntryRow, OrderRow

Colour = Literal["red", "purple", "green", "yellow", "blue", "none"]
WISHES = ("red", "purple", "green")
"""What a case may wish for, the strongest first."""
COLOURS: tuple[Colour, ...] = ("red", "purple", "green", "yellow", "blue", "none")
MEMO_BYTES = 1000
"""The platform's limit for a memo, in bytes of UTF-8."""
STAFF_MARK = "工号"
"""A memo with an agent's number says that the order is good: its own flag is yellow (data.md)."""


def shown_flag(session: Session, order: OrderRow) -> str:
    """The flag shown: red, then purple, then green among what the cases wish, then the order's own."""
    wishes = set(session.scalars(select(FlagWishRow.colour).where(FlagWishRow.order_id == order.id)))
    if order.lasting_flag:
        wishes.add(order.lasting_flag)
    return next((colour for colour in WISHES if colour in wishes), order.own_flag)


def own_flag(memo: str) -> Colour:
    """The flag that an imported order has by itself."""
    return "yellow" if STAFF_MARK in memo else "none"


def wish_flag(session: Session, case_id: str, order_id: str, colour: str, *, at: datetime) -> str:
    """Set the one wish of a case for its order; answers with the flag that the case found at its first wish.

    `at` is aware.
    """
    order = lock_order(session, order_id)
    before = shown_flag(session, order)
    wish = session.get(FlagWishRow, case_id)
    if wish is None:
        wish = FlagWishRow(case_id=case_id, order_id=order_id, colour=colour, found=before)
        session.add(wish)
    wish.colour = colour
    _note_change(session, order, before, case_id, at)
    return wish.found


def drop_wish(session: Session, case_id: str, order_id: str, *, lasting: str | None, at: datetime) -> None:
    """Take a case's wish away, or leave a lasting flag in its place. `at` is aware."""
    order = lock_order(session, order_id)
    before = shown_flag(session, order)
    wish = session.get(FlagWishRow, case_id)
    if wish is not None:
        session.delete(wish)
    if lasting is not None:
        order.lasting_flag = lasting
    _note_change(session, order, before, case_id, at)


def set_own_flag(session: Session, order_id: str, colour: str, *, at: datetime) -> None:
    """Set the order's own flag, which shows while no case wishes for another. `at` is aware."""
    order = lock_order(session, order_id)
    before = shown_flag(session, order)
    order.own_flag = colour
    _note_change(session, order, before, None, at)


def append_memo(session: Session, order_id: str, text: str, *, at: datetime, key: str) -> None:
    """Append to the order's memo, once per key; it stays within the platform's bytes, theirs whole. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = lock_order(session, order_id)
    if not text or session.get(MemoEntryRow, key) is not None:
        return
    count = session.scalar(select(func.count()).select_from(MemoEntryRow).where(MemoEntryRow.order_id == order_id))
    session.add(MemoEntryRow(key=key, number=int(count or 0) + 1, order_id=order_id, at=at, text=text))
    session.flush()
    compose_memo(session, order)


def compose_memo(session: Session, order: OrderRow) -> None:
    """Write the memo anew: the platform's own text whole, then ours in order, shortened where it does not fit."""
    entries = session.scalars(
        select(MemoEntryRow.text).where(MemoEntryRow.order_id == order.id).order_by(MemoEntryRow.number)
    )
    memo = order.platform_memo
    for entry in entries:
        added = (" " if memo else "") + entry
        room = MEMO_BYTES - len(memo.encode())
        fitting = added.encode()[: max(0, room)].decode(errors="ignore")
        # a lone space is nothing added
        memo += fitting if fitting.strip() else ""
    order.memo = memo


def flag_history(session: Session, order_id: str) -> list[tuple[datetime, str, str]]:
    """Every change of the flag shown: when, from, to; oldest first. Times are aware, in UTC."""
    rows = session.scalars(select(FlagChangeRow).where(FlagChangeRow.order_id == order_id).order_by(FlagChangeRow.id))
    return [(row.at, row.before, row.after) for row in rows]


def _note_change(session: Session, order: OrderRow, before: str, case_id: str | None, at: datetime) -> None:
    session.flush()
    after = shown_flag(session, order)
    if after != before:
        session.add(FlagChangeRow(order_id=order.id, at=at, before=before, after=after, case_id=case_id))
        session.flush()
