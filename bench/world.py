"""What happens in the shop while a case is measured, without any case being told: goods, gifts, and parcels."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from casework.shop import outside
from casework.shop.tables import GiftRow
from tests.orders import add_scan

GIFT, GIFT_COST_FEN = "GIFT-1", 10
"""So cheap that a month's budget is enough for every case of a run."""
PLENTY = 1_000_000


def gift_in_catalogue(session: Session, _order_id: str) -> None:
    """The catalogue has the gift."""
    if session.get(GiftRow, GIFT) is None:
        gift = {"cost_fen": GIFT_COST_FEN, "value_fen": 2 * GIFT_COST_FEN, "stock": PLENTY, "imported_stock": PLENTY}
        session.add(GiftRow(sku=GIFT, name="赠品", **gift))


def ships(session: Session, order_id: str) -> None:
    """All of the order leaves."""
    outside.ship(session, order_id, at=datetime.now(UTC))


def parcel_in_trouble(session: Session, order_id: str) -> None:
    """The order's parcel is in trouble; under the waybill by which it will go on, it is signed for."""
    parcel, an_hour_ago = order_id[-11:], datetime.now(UTC) - timedelta(hours=1)
    add_scan(session, f"YT{parcel}", "2", at=an_hour_ago)
    add_scan(session, f"EA{parcel}", "301", courier="ems", at=an_hour_ago)
