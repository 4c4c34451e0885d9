"""Gifts and free shipping: what the catalogue says, what is promised from the month's budget, and what was granted.

A promise is one row for an order and a kind. It is written in one transaction with the memo, reserves its cost in
the budget of the month it was made in, and goes with its case's end unless it was granted by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel
from sqlalchemy import delete, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from casework.rules.gifts import budget_left, budget_month, cost_of_gift
from casework.shop.amounts import POSTAGE, accounts, postage_due_at_most
from casework.shop.errors import BadRequest
from casework.shop.flags import append_memo
from casework.shop.notices import tell_cases
from casework.shop.orders import Order, find_order, lock_order, read_order
from casework.shop.releasing import note_released
from casework.shop.tables import GiftMonthRow, GiftPromiseRow, GiftRow
from casework.standing import GiftStanding

GiftKind = Literal["gift", "free_shipping"]
SKU_UNKNOWN = "the catalogue has no such gift"


@dataclass(frozen=True, slots=True)
class Budget:
    """A month's budget for gifts, in fen, and the zone of the shop's calendar."""

    monthly_fen: int
    timezone: str


@dataclass(frozen=True, slots=True)
class Present:
    """What is to be given: a gift of the catalogue, so many pieces of it, or free shipping; its cost in fen."""

    kind: GiftKind
    sku: str | None
    quantity: int
    cost_fen: int


@dataclass(frozen=True, slots=True)
class GrantedGift:
    """A gift that is on an order: how many pieces, and what they are worth all together, in fen."""

    sku: str
    quantity: int
    value_fen: int
    case_id: str


class Promised(BaseModel):
    """How the order stood, and whether the gift is promised now: if not, the order is gone, or the budget used up."""

    standing: GiftStanding
    promised: bool


def granted_gifts(session: Session, order_id: str) -> list[GrantedGift]:
    """The gifts that were granted for an order and went, or go, out with it. Free shipping is none."""
    rows = session.scalars(
        select(GiftPromiseRow).where(
            GiftPromiseRow.order_id == order_id,
            GiftPromiseRow.sku.is_not(None),
            GiftPromiseRow.granted_at.is_not(None),
        )
    )
    return [GrantedGift(row.sku or "", row.quantity, row.value_fen, row.case_id) for row in rows]


def has_free_shipping(session: Session, order_id: str) -> bool:
    """Whether the postage of an order was waived: of one that was paid, it was credited."""
    promise = session.get(GiftPromiseRow, (order_id, "free_shipping"))
    return promise is not None and promise.granted_at is not None


def cost_in_catalogue(session: Session, sku: str, quantity: int) -> int:
    """What so many pieces of a gift cost the shop now, in fen.

    Raises:
        BadRequest: the catalogue has no such gift.

    """
    row = session.get(GiftRow, sku)
    if row is None:
        raise BadRequest("gift_sku", SKU_UNKNOWN)
    return cost_of_gift(row.cost_fen, quantity)


def standing(session: Session, order_id: str, kind: GiftKind, *, budget: Budget, at: datetime) -> GiftStanding:
    """How an order stands for a gift of this kind; what is promised for it already counts as left of the budget.

    `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = find_order(session, order_id)
    whole = read_order(session, order_id)
    granted = session.get(GiftPromiseRow, (order_id, kind))
    granted_by = granted.case_id if granted is not None and granted.granted_at is not None else None
    month, done = budget_month(at, budget.timezone), accounts(session, order_id)
    return GiftStanding(
        paid=whole.paid,
        gone=_is_gone(whole),
        shipped=_has_shipped(whole),
        granted=granted_by is not None or (kind == "free_shipping" and order.postage_fen <= done.fen.get(POSTAGE, 0)),
        granted_by=granted_by,
        goods_total_fen=order.total_fen - order.postage_fen,
        budget_left_fen=budget_left(
            monthly_budget_fen=budget.monthly_fen,
            promised_fen=_promised_fen(session, month, excluding=(order_id, kind)),
        ),
        postage_due_fen=min(postage_due_at_most(order, done), max(0, order.paid_fen - done.total_fen)),
    )


def promise(
    session: Session,
    present: Present,
    *,
    key: str,
    case_id: str,
    order_id: str,
    budget: Budget,
    over_budget: bool,
    memo: str,
    at: datetime,
) -> Promised:
    """Write the memo and reserve the cost in the month's budget, both or neither; once per key.

    Nothing is written where the order is gone or has shipped, or where the budget does not hold the cost, unless
    finance has approved it (`over_budget`). Of two that are promised at once from the last of it, one is. `at` is
    aware; the month is the one that the shop's zone has then.

    Raises:
        UnknownOrder: the shop has no such order.
        BadRequest: the catalogue has no such gift any more.

    """
    order = lock_order(session, order_id)
    month = budget_month(at, budget.timezone)
    _lock_month(session, month)
    found = standing(session, order_id, present.kind, budget=budget, at=at)
    known = session.get(GiftPromiseRow, (order_id, present.kind))
    if known is not None and (known.key == key or known.granted_at is not None):
        return Promised(standing=found, promised=True)
    fits = present.cost_fen <= found.budget_left_fen or over_budget
    if found.gone or found.shipped or not fits:
        return Promised(standing=found, promised=False)
    if known is not None:
        session.delete(known)
        session.flush()
    session.add(
        GiftPromiseRow(
            order_id=order_id,
            kind=present.kind,
            case_id=case_id,
            key=key,
            sku=present.sku,
            quantity=present.quantity,
            cost_fen=present.cost_fen,
            value_fen=_value(session, present),
            month=month,
            loose_before_fen=accounts(session, order.id).loose_fen,
            promised_at=at,
        )
    )
    append_memo(session, order_id, memo, at=at, key=f"{key}/memo")
    return Promised(standing=found, promised=True)


def put_on_order(
    session: Session, present: Present, *, key: str, case_id: str, order_id: str, paid: bool, memo: str, at: datetime
) -> None:
    """The auditor says that the gift, or the lower postage, is on the order: record it there, once, as granted.

    A gift is taken from the stock. The postage of an order that is paid stays: it is credited, and granted by that.
    `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.
        BadRequest: nothing is promised, the order is closed or has shipped without it, it was paid or not contrary to
            what was read before (`paid`), or there are not so many pieces in stock.

    """
    order = lock_order(session, order_id)
    row = _promise_of(session, order_id, present.kind, case_id)
    if row.granted_at is not None:
        return
    whole = read_order(session, order_id)
    if _is_gone(whole):
        raise BadRequest("order", f"order {order_id} is closed: nothing is added to it")
    if _has_shipped(whole):
        raise BadRequest("order", f"order {order_id} has shipped without it")
    if whole.paid != paid:
        raise BadRequest("order", f"order {order_id} was {'paid' if whole.paid else 'unpaid'} just now: look again")
    if present.kind == "free_shipping":
        if paid:
            return
        waived_fen = min(order.postage_fen, present.cost_fen)
        order.total_fen -= waived_fen
        order.postage_fen -= waived_fen
        # what the order cost before a bulk discount, with postage: the postage that is waived is no goods
        order.list_fen = None if order.list_fen is None else order.list_fen - waived_fen
        tell_cases(session, order_id, "order_changed", at=at, excluding=case_id)
    else:
        _take_from_stock(session, row)
    row.granted_at = at
    append_memo(session, order_id, memo, at=at, key=f"{key}/memo")


def grant_credited(session: Session, *, key: str, case_id: str, order_id: str, memo: str, at: datetime) -> None:
    """The postage of a paid order has been credited: free shipping is granted, and stays in the month's budget.

    `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.
        BadRequest: nothing is promised.

    """
    lock_order(session, order_id)
    row = _promise_of(session, order_id, "free_shipping", case_id)
    row.granted_at = row.granted_at or at
    append_memo(session, order_id, memo, at=at, key=f"{key}/memo")


def withdraw(session: Session, *, key: str, case_id: str, order_id: str, memo: str, at: datetime) -> bool:
    """Withdraw what a case has promised and not granted: it returns to the budget, and the memo says so.

    False, and nothing is written, where there is no such promise. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    lock_order(session, order_id)
    not_granted = (
        GiftPromiseRow.order_id == order_id,
        GiftPromiseRow.case_id == case_id,
        GiftPromiseRow.granted_at.is_(None),
    )
    rows = session.scalars(delete(GiftPromiseRow).where(*not_granted).returning(GiftPromiseRow)).all()
    note_released(session, case_id, rows)
    if rows:
        append_memo(session, order_id, memo, at=at, key=f"{key}/memo")
    session.flush()
    return bool(rows)


def _is_gone(order: Order) -> bool:
    """Closed, or wholly refunded."""
    return order.state == "closed" or (bool(order.lines) and not any(line.left for line in order.lines))


def _has_shipped(order: Order) -> bool:
    """Nothing that the buyer still has in the order is left to leave: a gift cannot go with it any more."""
    left = [line for line in order.lines if line.left]
    on_its_way = all(line.place == "shipped" for line in left) if left else order.state in {"shipped", "finished"}
    return on_its_way and not _is_gone(order)


def _promise_of(session: Session, order_id: str, kind: GiftKind, case_id: str) -> GiftPromiseRow:
    row = session.get(GiftPromiseRow, (order_id, kind))
    if row is None or row.case_id != case_id:
        raise BadRequest("order", f"nothing is promised for order {order_id}")
    return row


def _take_from_stock(session: Session, row: GiftPromiseRow) -> None:
    gift = session.get(GiftRow, row.sku, with_for_update=True, populate_existing=True)
    stock = gift.stock if gift is not None else 0
    if gift is None or stock < row.quantity:
        raise BadRequest("quantity", f"{row.quantity} pieces are to be added, {stock} are in stock: find_out_of_stock")
    gift.stock = stock - row.quantity


def _value(session: Session, present: Present) -> int:
    """What the buyer gets by it, in fen."""
    if present.sku is None:
        return present.cost_fen
    row = session.get(GiftRow, present.sku)
    if row is None:
        raise BadRequest("gift_sku", SKU_UNKNOWN)
    return row.value_fen * present.quantity


def _promised_fen(session: Session, month: str, *, excluding: tuple[str, str]) -> int:
    """What is promised or granted of a month's budget, apart from one order's own of this kind that may be replaced."""
    order_id, kind = excluding
    query = select(func.coalesce(func.sum(GiftPromiseRow.cost_fen), 0)).where(
        GiftPromiseRow.month == month, or_(GiftPromiseRow.order_id != order_id, GiftPromiseRow.kind != kind)
    )
    return int(session.scalar(query) or 0)


def _lock_month(session: Session, month: str) -> None:
    """From here to the end of the transaction nobody else promises anything of this month's budget."""
    if session.get(GiftMonthRow, month) is None:
        try:
            with session.begin_nested():
                session.add(GiftMonthRow(month=month))
        except IntegrityError:
            session.expire_all()  # somebody else has begun the month in this moment
    session.get(GiftMonthRow, month, with_for_update=True, populate_existing=True)
