"""Orders as the importer would have left them, written straight into a test's shop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from casework.shop.tables import LineRow, OrderRow, ShipmentLineRow, ShipmentRow

RECEIVER, ADDRESS = "王小明", "上海 上海市 徐汇区 漕溪北路88号"


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
