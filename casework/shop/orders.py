"""Orders as cases read them: lines and what is left of them, what was paid, where the goods are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict
from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.privacy import Personal
from casework.shop.ahead import keep_ahead, read_ahead
from casework.shop.amounts import (
    ACCOUNTS,
    LINES,
    accounts,
    accounts_of,
    due,
    line_rows,
    line_rows_of,
    paid_shares,
    pieces_left,
)
from casework.shop.claimants import had_by_another
from casework.shop.errors import BadRequest, UnknownOrder
from casework.shop.shipments import pieces_in_each
from casework.shop.states import OrderState
from casework.shop.tables import ChatRow, LineRow, OrderRow, ShipmentRow
from casework.standing import RefundStanding

Place = Literal["unshipped", "shipped", "back"]
ROWS, CHATS, PARCELS, ORDERS = "order rows", "chats", "parcels", "orders"
"""Of what may have been read ahead."""

# made once, as in `amounts`: nearly every step asks it
_LOCKED = (
    select(OrderRow)
    .where(OrderRow.id.in_(bindparam("order_ids", expanding=True)))
    .order_by(OrderRow.id)
    .with_for_update()
    .execution_options(populate_existing=True)
)


class Line(BaseModel):
    """A line of an order.

    `paid_fen` is its share of what was paid less postage and rebates; `left` counts the pieces that are not refunded.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    title: str
    sku: str
    properties: str
    price_fen: int
    quantity: int
    paid_fen: int
    refunded: int
    left: int
    state: OrderState
    place: Place


class Parcel(BaseModel):
    """A parcel of an order: its waybill, what is in it, and whether it was stopped or is back.

    Times are aware, in UTC.
    """

    model_config = ConfigDict(frozen=True)

    waybill: str
    company: str
    lines: list[LineQuantity]
    shipped_at: datetime | None
    intercepted_at: datetime | None
    back_at: datetime | None


class Order(BaseModel):
    """An order, whole. What it holds of the buyer's is the memo: never send it to Temporal. Times are aware, in UTC."""

    model_config = ConfigDict(frozen=True)

    id: str
    state: OrderState
    created_at: datetime
    paid_at: datetime | None
    shipped_at: datetime | None
    confirmed_at: datetime | None
    goods_fen: int
    postage_fen: int
    total_fen: int
    paid_fen: int
    refunded_fen: int
    memo: str
    own_flag: str
    lines: list[Line]
    lines_known: bool
    parcels: list[Parcel]

    @property
    def paid(self) -> bool:
        """Whether the buyer has paid, see `is_paid`."""
        return is_paid(self)


def lock_orders(session: Session, order_ids: Iterable[str]) -> dict[str, OrderRow]:
    """Lock orders for this transaction, always in ascending order, so that no two transactions wait for each other."""
    return {row.id: row for row in session.scalars(_LOCKED, {"order_ids": sorted(set(order_ids))})}


def lock_order(session: Session, order_id: str) -> OrderRow:
    """Lock one order and read it again.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    session.flush()
    row = lock_orders(session, [order_id]).get(order_id)
    if row is None:
        raise UnknownOrder(order_id)
    return row


def is_paid(order: OrderRow | Order) -> bool:
    """Whether the buyer has paid (a trade that was closed after payment was paid too)."""
    if order.state == "closed":
        return order.paid_fen > 0 or order.paid_at is not None
    return order.state != "unpaid"


def is_finished(order: OrderRow) -> bool:
    """Whether the trade is finished: the platform says so, or the buyer has confirmed. So does the patrol's query."""
    return order.state == "finished" or order.confirmed_at is not None


def find_order(session: Session, order_id: str) -> OrderRow:
    """One order's row.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    row = read_ahead(session, ROWS, order_id, lambda: session.get(OrderRow, order_id))
    if row is None:
        raise UnknownOrder(order_id)
    return row


def look_ahead(session: Session, order_ids: Iterable[str]) -> None:
    """Read at once what a start of each of these orders is examined by. Only for a session that only reads."""
    ids = sorted(set(order_ids))
    rows = {row.id: row for row in session.scalars(select(OrderRow).where(OrderRow.id.in_(ids)))}
    said: dict[str, list[list[Any]]] = {order_id: [] for order_id in ids}
    for order_id, messages in session.execute(
        select(ChatRow.order_id, ChatRow.messages).where(ChatRow.order_id.in_(ids))
    ):
        said[order_id].append(messages)
    keep_ahead(session, ROWS, {order_id: rows.get(order_id) for order_id in ids})
    keep_ahead(session, CHATS, said)
    keep_ahead(session, LINES, line_rows_of(session, ids))
    keep_ahead(session, ACCOUNTS, accounts_of(session, ids))
    keep_ahead(session, PARCELS, _parcels_of(session, ids))
    keep_ahead(session, ORDERS, {})


def read_order(session: Session, order_id: str) -> Order:
    """Read one order.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    row = find_order(session, order_id)
    return read_ahead(session, ORDERS, order_id, lambda: _whole(session, row))


def whole_lines(session: Session, order_id: str) -> dict[int, int]:
    """How many pieces of each line are left, or were bought where none is: for lines named without a quantity.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    return {line.number: line.left or line.quantity for line in read_order(session, order_id).lines}


def personal_of(session: Session, order_id: str) -> Personal:
    """What the shop knows of the order's buyer, to keep it out of the cases.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    row = find_order(session, order_id)
    chats = read_ahead(
        session,
        CHATS,
        order_id,
        lambda: list(session.scalars(select(ChatRow.messages).where(ChatRow.order_id == order_id))),
    )
    return Personal(
        names=(row.receiver_name, row.buyer_nick),
        addresses=(row.address, row.changed_address),
        accounts=(row.buyer_account, row.phone, row.mobile),
        words=(row.buyer_message, *(one["text"] for said in chats for one in said if one["from"] == "buyer")),
    )


@dataclass(frozen=True, slots=True)
class Counts:
    """How many orders and lines the shop has."""

    orders: int
    lines: int


def count_orders(session: Session) -> Counts:
    """How many orders and lines the shop has."""
    return Counts(
        orders=int(session.scalar(select(func.count()).select_from(OrderRow)) or 0),
        lines=int(session.scalar(select(func.count()).select_from(LineRow)) or 0),
    )


def resolve_lines(
    session: Session,
    order_id: str,
    asked: Sequence[LineQuantity] | None,
    *,
    have_left: bool = False,
    handed_over: bool = False,
) -> list[LineQuantity]:
    """The lines of a refund before shipping, or of a return (`have_left`), ascending: those asked for, checked, or all.

    By default what is left of all unshipped lines, or of a return: of all lines that have left; of all lines, where
    none is. Where nothing is left of any line, all of them: the case then finds that there is nothing to refund. With
    `handed_over`, no more than was bought may be asked for, instead of no more than is left, and some of it may be
    where the others are not.

    Raises:
        UnknownOrder: the shop has no such order.
        BadRequest: the lines are unknown, named twice, more than is left, or both shipped and unshipped.

    """
    order = read_order(session, order_id)
    if not order.lines_known or not order.lines:
        raise BadRequest("order_id", f"the lines of order {order_id} are not all known: import its line list first")
    if asked is not None:
        return _checked(order, asked, handed_over=handed_over)
    left = [line for line in order.lines if line.left]
    chosen = [line for line in left if (line.place != "unshipped") is have_left] or left
    if not chosen:
        return [LineQuantity(line=line.number, quantity=line.quantity) for line in order.lines]
    return [LineQuantity(line=line.number, quantity=line.left) for line in chosen]


def parted(
    session: Session, order_id: str, lines: Sequence[LineQuantity]
) -> tuple[list[LineQuantity], list[LineQuantity]]:
    """Of these lines, those that have left (also if they are back), and those that have not.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    unshipped = {line.number for line in read_order(session, order_id).lines if line.place == "unshipped"}
    return [one for one in lines if one.line not in unshipped], [one for one in lines if one.line in unshipped]


def _checked(order: Order, asked: Sequence[LineQuantity], *, handed_over: bool = False) -> list[LineQuantity]:
    known = {line.number: line for line in order.lines}
    seen: set[int] = set()
    if not asked:
        raise BadRequest("lines", "no line is named")
    for one in asked:
        if one.line not in known:
            raise BadRequest("lines", f"order {order.id} has no line {one.line}")
        if one.line in seen:
            raise BadRequest("lines", f"line {one.line} is named twice")
        seen.add(one.line)
        left = known[one.line].quantity if handed_over else known[one.line].left
        if one.quantity < 1:
            raise BadRequest("lines", f"line {one.line}: the quantity must be at least 1")
        if one.quantity > left:
            raise BadRequest("lines", f"line {one.line}: {one.quantity} asked, {left} left to refund")
    if len({known[number].place == "unshipped" for number in seen}) > 1 and not handed_over:
        raise BadRequest("lines", "some of the lines have shipped and others have not: open two cases")
    return [LineQuantity(line=one.line, quantity=one.quantity) for one in sorted(asked, key=lambda one: one.line)]


def standing(
    session: Session,
    order_id: str,
    lines: Sequence[LineQuantity],
    *,
    case_id: str | None = None,
) -> RefundStanding:
    """How the lines stand, for a case (whose own claim does not count against it).

    Raises:
        UnknownOrder: the shop has no such order.

    """
    row = find_order(session, order_id)
    order = _whole(session, row)
    numbers = {line.line for line in lines}
    refundable = sum(entry.amount_fen for entry in due(session, row, lines, case_id=case_id))
    return RefundStanding(
        paid=order.paid,
        closed=order.state == "closed",
        refundable_fen=refundable,
        refunded=refundable == 0 and order.paid,
        shipped=any(line.place == "shipped" for line in order.lines if line.number in numbers),
        claimed_by=had_by_another(session, order_id, lines, case_id=case_id),
    )


def _whole(session: Session, row: OrderRow) -> Order:
    lines = line_rows(session, row.id)
    done = accounts(session, row.id)
    paid = paid_shares(row, lines, done)
    return Order(
        id=row.id,
        state=cast("OrderState", row.state),
        created_at=row.created_at,
        paid_at=row.paid_at,
        shipped_at=row.shipped_at,
        confirmed_at=row.confirmed_at,
        goods_fen=row.goods_fen,
        postage_fen=row.postage_fen,
        total_fen=row.total_fen,
        paid_fen=row.paid_fen,
        refunded_fen=done.total_fen,
        memo=row.memo,
        own_flag=row.own_flag,
        lines=[
            Line(
                number=line.number,
                title=line.title,
                sku=line.sku,
                properties=line.properties,
                price_fen=line.price_fen,
                quantity=line.quantity,
                paid_fen=paid[line.number],
                refunded=done.pieces.get(line.number, 0),
                left=pieces_left(line, done),
                state=cast("OrderState", line.state),
                place=cast("Place", line.place),
            )
            for line in lines
        ],
        lines_known=row.lines_known,
        parcels=_parcels(session, row.id),
    )


def _parcels(session: Session, order_id: str) -> list[Parcel]:
    return read_ahead(session, PARCELS, order_id, lambda: _parcels_of(session, [order_id])[order_id])


def _parcels_of(session: Session, order_ids: Sequence[str]) -> dict[str, list[Parcel]]:
    found: dict[str, list[Parcel]] = {order_id: [] for order_id in order_ids}
    rows = session.scalars(
        select(ShipmentRow).where(ShipmentRow.order_id.in_(order_ids)).order_by(ShipmentRow.id)
    ).all()
    if not rows:
        return found
    inside = pieces_in_each(session, [row.id for row in rows])
    for row in rows:
        found[row.order_id].append(
            Parcel(
                waybill=row.waybill,
                company=row.company,
                lines=inside[row.id],
                shipped_at=row.shipped_at,
                intercepted_at=row.intercepted_at,
                back_at=row.back_at,
            )
        )
    return found
