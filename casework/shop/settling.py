"""How a refund ends in the shop: settled, or the order put back as it was. Each once a key, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.shop import outbox
from casework.shop.amounts import accounts, left_to_ship, line_rows, pieces_left
from casework.shop.courier import parcels_of
from casework.shop.flags import append_memo, wish_flag
from casework.shop.holds import release_case
from casework.shop.orders import lock_order
from casework.shop.platform import attribute_to_lines
from casework.shop.tables import OrderRow, ShipmentLineRow, StepRow, StockMovementRow

WAREHOUSE = "warehouse"


def settle_refund(
    session: Session,
    *,
    key: str,
    case_id: str,
    order_id: str,
    lines: Sequence[LineQuantity],
    goods_back: bool,
    memo: str,
    at: datetime,
) -> None:
    """Strike the refunded lines from shipping, then let hold and claim go.

    A red flag stays only if no line of the order is left to ship. Goods that came back go into stock, the memo grows,
    and the warehouse's task is cancelled.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = lock_order(session, order_id)
    if not _first_time(session, key, at):
        return
    # what is refunded has no pieces left, and so does not ship: the ledger is the list that lines are struck from
    attribute_to_lines(session, order, lines, case_id=case_id, at=at)
    outbox.cancel_tasks(session, case_id, WAREHOUSE, at=at)
    if goods_back:
        _take_into_stock(session, case_id, order, lines, at)
        rest = _back_to_the_shelf(session, order_id, {one.line for one in lines})
        _ask_to_ship(session, key, case_id, order_id, rest, at)
    append_memo(session, order_id, memo, at=at, key=f"{key}/memo")
    release_case(session, case_id, flag_kept=None if left_to_ship(session, order_id) else "red", at=at)


def restore_order(
    session: Session,
    *,
    key: str,
    case_id: str,
    order_id: str,
    lines: Sequence[LineQuantity],
    goods_back: bool,
    at: datetime,
) -> None:
    """Put the order back as it was: flag wish gone, hold and claim let go.

    Where the parcel had come back its lines ship again, and the warehouse gets a task. A parcel that was stopped and
    has not come back goes on to the buyer.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    lock_order(session, order_id)
    if not _first_time(session, key, at):
        return
    outbox.cancel_tasks(session, case_id, WAREHOUSE, at=at)
    if goods_back:
        again = _back_to_the_shelf(session, order_id, {one.line for one in lines})
        _ask_to_ship(session, key, case_id, order_id, again, at)
    for parcel in parcels_of(session, order_id, lines):
        parcel.intercepted_at = None
    release_case(session, case_id, flag_kept=None, at=at)


def mark_goods_back(
    session: Session, *, key: str, case_id: str, order_id: str, lines: Sequence[LineQuantity], at: datetime
) -> None:
    """The parcel of these lines has come back. Other lines in it can ship again; these wait for the case's end.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    lock_order(session, order_id)
    if not _first_time(session, key, at):
        return
    own = {one.line for one in lines}
    inside = set(own)
    for parcel in parcels_of(session, order_id, lines):
        parcel.back_at = at
        inside |= _lines_in(session, parcel.id)
    for row in line_rows(session, order_id):
        if row.number in inside and row.place == "shipped":
            row.place = "back"
    session.flush()
    others = _back_to_the_shelf(session, order_id, inside - own)
    _ask_to_ship(session, key, case_id, order_id, others, at)
    # policy.md, shop.flag_profile: goods came back = purple
    wish_flag(session, case_id, order_id, "purple", at=at)


def _first_time(session: Session, key: str, at: datetime) -> bool:
    if session.get(StepRow, key) is not None:
        return False
    session.add(StepRow(key=key, at=at))
    session.flush()
    return True


def _lines_in(session: Session, shipment_id: int) -> set[int]:
    return set(session.scalars(select(ShipmentLineRow.line).where(ShipmentLineRow.shipment_id == shipment_id)))


def _take_into_stock(
    session: Session, case_id: str, order: OrderRow, lines: Iterable[LineQuantity], at: datetime
) -> None:
    rows = {row.number: row for row in line_rows(session, order.id)}
    for one in lines:
        row = rows[one.line]
        if row.place == "back":
            session.add(
                StockMovementRow(
                    sku=row.sku,
                    quantity=one.quantity,
                    order_id=order.id,
                    line=one.line,
                    case_id=case_id,
                    at=at,
                )
            )
    session.flush()


def _back_to_the_shelf(session: Session, order_id: str, numbers: set[int]) -> list[int]:
    """Of the lines that came back, those with pieces that the buyer still wants: they are unshipped again."""
    done = accounts(session, order_id)
    again: list[int] = []
    for row in line_rows(session, order_id):
        if row.number in numbers and row.place == "back" and pieces_left(row, done):
            row.place = "unshipped"
            again.append(row.number)
    session.flush()
    return again


def _ask_to_ship(session: Session, key: str, case_id: str, order_id: str, numbers: Sequence[int], at: datetime) -> None:
    if not numbers:
        return
    listed = ", ".join(map(str, numbers))
    outbox.post(
        session,
        key=f"{key}/ship_again",
        case_id=case_id,
        to="staff",
        recipient=WAREHOUSE,
        template="ship_again",
        parameters={"order_id": order_id, "lines": listed},
        text_zh=f"订单 {order_id} 退回的商品行 {listed} 请重新发货。",
        text_en=f"Lines {listed} of order {order_id} came back and are to be shipped again.",
        at=at,
    )
