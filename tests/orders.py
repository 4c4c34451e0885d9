"""A test's shop, and orders as the importer would have left them, written straight into it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert
from sqlalchemy.orm import Session

from casework.shop.database import Database
from casework.shop.staff import load_sample_if_empty
from casework.shop.tables import LineRow, OrderRow, ParcelRow, ScanRow, ShipmentLineRow, ShipmentRow

RECEIVER, ADDRESS = "王小明", "上海 上海市 徐汇区 漕溪北路88号"


def new_shop(url: str) -> Database:
    """A shop without orders, with the sample staff."""
    database = Database(url)
    database.migrate()
    with database.writing() as session:
        load_sample_if_empty(session)
    return database


def add_order(
    session: Session,
    order_id: str,
    *,
    prices: Sequence[tuple[int, int]],
    postage_fen: int = 0,
    paid: bool = True,
    shipped: bool | Sequence[int] = False,
    flag: str = "none",
    left_ago: timedelta = timedelta(hours=2),
) -> None:
    """Add an order of lines (price in fen, quantity); `shipped`: all lines, none, or the numbers of those that left."""
    now = datetime.now(UTC)
    goods = sum(price * quantity for price, quantity in prices)
    numbers = range(1, len(prices) + 1)
    left: set[int] = set(numbers if shipped is True else () if shipped is False else shipped)
    state = "unpaid" if not paid else "shipped" if left == set(numbers) else "partly_shipped" if left else "paid"
    session.add(
        OrderRow(
            id=order_id,
            state=state,
            created_at=now - timedelta(days=1),
            paid_at=now - timedelta(hours=23) if paid else None,
            shipped_at=now - left_ago if left else None,
            goods_fen=goods,
            postage_fen=postage_fen,
            total_fen=goods + postage_fen,
            paid_fen=goods + postage_fen if paid else 0,
            own_flag=flag,
            lines_known=True,
            receiver_name=RECEIVER,
            address=ADDRESS,
        )
    )
    session.flush()
    for number, (price, quantity) in zip(numbers, prices, strict=True):
        has_left = number in left
        session.add(
            LineRow(
                order_id=order_id,
                number=number,
                sku=f"SKU-{number}",
                price_fen=price,
                quantity=quantity,
                state="shipped" if has_left else state if state != "partly_shipped" else "paid",
                place="shipped" if has_left else "unshipped",
            )
        )
    session.flush()
    if left:
        parcel = ShipmentRow(
            order_id=order_id, waybill=f"YT{order_id[-11:]}", company="圆通速递", shipped_at=now - left_ago
        )
        session.add(parcel)
        session.flush()
        for number in sorted(left):
            session.add(ShipmentLineRow(shipment_id=parcel.id, line=number, quantity=prices[number - 1][1]))


def add_scan(
    session: Session, waybill: str, code: str, *, at: datetime, text: str = "", courier: str = "yuantong"
) -> None:
    """The courier knows the parcel, and has scanned it."""
    if session.get(ParcelRow, waybill) is None:
        session.add(ParcelRow(waybill=waybill, courier=courier, state="0"))
        session.flush()
    session.add(ScanRow(waybill=waybill, at=at, code=code, text=text))


def add_shipments(session: Session, count: int, *, left: datetime) -> None:
    """So many orders of one line each, all shipped then, with three scans each until now."""
    ids = [f"3300{number:015d}" for number in range(1, count + 1)]
    session.execute(
        insert(OrderRow),
        [
            {
                "id": one,
                "state": "shipped",
                "created_at": left,
                "paid_at": left,
                "shipped_at": left,
                "goods_fen": 10_000,
                "postage_fen": 0,
                "total_fen": 10_000,
                "paid_fen": 10_000,
                "lines_known": True,
                "address": "上海 上海市 徐汇区",
            }
            for one in ids
        ],
    )
    session.execute(
        insert(LineRow),
        [
            {"order_id": one, "number": 1, "price_fen": 10_000, "quantity": 1, "state": "shipped", "place": "shipped"}
            for one in ids
        ],
    )
    session.execute(
        insert(ShipmentRow),
        [
            {"id": place, "order_id": one, "waybill": f"YT{one}", "company": "圆通速递", "shipped_at": left}
            for place, one in enumerate(ids, start=1)
        ],
    )
    session.execute(
        insert(ShipmentLineRow), [{"shipment_id": place, "line": 1, "quantity": 1} for place in range(1, count + 1)]
    )
    session.execute(insert(ParcelRow), [{"waybill": f"YT{one}", "courier": "yuantong", "state": "0"} for one in ids])
    session.execute(
        insert(ScanRow),
        [
            {"waybill": f"YT{one}", "at": left + timedelta(hours=hours), "code": "0", "status": "", "text": ""}
            for one in ids
            for hours in (1, 5, 9)
        ],
    )
