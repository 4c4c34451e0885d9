"""Whether a way back was signed for at our address."""

from __future__ import annotations

from datetime import timedelta

from casework.shop.database import Database
from casework.shop.returning import signed_for_by_us
from casework.shop.tables import FollowedParcelRow, ReturnRow
from tests.orders import add_scan
from tests.shop.steps import NOW, ORDER, an_order

RETURN, PARCEL = f"return-after-shipping-{ORDER}", "problem-parcel-YT1"


def test_a_way_back_is_looked_for_in_capitals_and_where_it_was_forwarded_to_since_the_return_was_asked_for(
    shop: Database,
) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        session.add(ReturnRow(case_id=RETURN, run_id="run", order_id=ORDER, requested_at=NOW, fault=False))
        session.flush()

        def signed(waybill: str) -> bool:
            at = NOW + timedelta(days=9)
            return signed_for_by_us(session, RETURN, "run", order_id=ORDER, waybill=waybill, at=at)

        add_scan(session, "YT1", "301", at=NOW - timedelta(hours=1))
        assert not signed("YT1"), "the buyer's own, of before"
        add_scan(session, "YT2", "301", at=NOW + timedelta(days=1))
        assert (signed("YT2"), signed("yt2")) == (True, True)
        add_scan(session, "YT3", "7", at=NOW + timedelta(days=1))
        assert not signed("YT3")
        for waybill, how in (("YT3", "way_back"), ("EB3", "forwarded")):
            row = {"case_id": PARCEL, "run_id": "run", "order_id": ORDER, "courier": "ems", "how": how}
            session.add(FollowedParcelRow(waybill=waybill, **row))
        add_scan(session, "EB3", "301", at=NOW + timedelta(days=2))
        session.flush()
        assert signed("YT3")
