"""Whether a way back was signed for at our address."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from casework.shop.database import Database
from casework.shop.following import parcel_of_start
from casework.shop.returning import note_way_back, signed_for_by_us, way_back_of, waybill_of_another
from casework.shop.tables import FollowedParcelRow, ReturnRow
from tests.orders import add_scan
from tests.shop.steps import NOW, ORDER, an_order, parcels

RETURN, PARCEL = f"return-after-shipping-{ORDER}", "problem-parcel-YT1"


def a_return(session: Session) -> None:
    """A return of a shipped order that was asked for now."""
    an_order(session, shipped=True)
    session.add(ReturnRow(case_id=RETURN, run_id="run", order_id=ORDER, requested_at=NOW, fault=False))
    session.flush()


def is_signed(session: Session, waybill: str) -> bool:
    """Whether it was signed for by us, some days later."""
    return signed_for_by_us(session, RETURN, "run", order_id=ORDER, waybill=waybill, at=NOW + timedelta(days=9))


@pytest.mark.parametrize(
    ("code", "ours"), [("3", False), ("301", False), ("302", False), ("304", False), ("6", False), ("4", True)]
)
def test_a_parcel_of_ours_that_turned_back_is_with_us_when_its_sender_has_signed(
    shop: Database, code: str, *, ours: bool
) -> None:
    """The return was asked for before the buyer had the parcel: a signature since then is the buyer's too."""
    with shop.writing() as session:
        a_return(session)
        (parcel,) = parcels(session)
        add_scan(session, parcel.waybill, code, at=NOW + timedelta(hours=29))
        assert is_signed(session, parcel.waybill) is ours


@pytest.mark.parametrize(("code", "ours"), [("3", True), ("301", True), ("302", True), ("4", False), ("0", False)])
def test_a_parcel_of_the_buyers_is_with_us_when_it_was_signed_for(shop: Database, code: str, *, ours: bool) -> None:
    with shop.writing() as session:
        a_return(session)
        add_scan(session, "RB1", code, at=NOW + timedelta(hours=29))
        assert is_signed(session, "RB1") is ours


def forward(session: Session, waybill: str, onward: str) -> None:
    """A parcel's case has had the way back forwarded."""
    for one, how in ((waybill, "way_back"), (onward, "forwarded")):
        row = {"case_id": PARCEL, "run_id": "run", "order_id": ORDER, "courier": "ems", "how": how}
        session.add(FollowedParcelRow(waybill=one, **row))


def test_of_a_way_back_that_was_forwarded_the_newest_scan_of_either_waybill_counts(shop: Database) -> None:
    with shop.writing() as session:
        a_return(session)
        forward(session, "RB1", "EB1")
        add_scan(session, "RB1", "301", at=NOW + timedelta(days=1))
        add_scan(session, "EB1", "0", at=NOW + timedelta(days=3))
        assert not is_signed(session, "RB1"), "it moves again"


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


@pytest.mark.parametrize("written", ["Sf0012345678ab", "SF0012345678AB", "sf0012345678ab", "sF0012345678aB"])
def test_capitals_say_nothing_wherever_a_way_back_is_looked_for(shop: Database, written: str) -> None:
    with shop.writing() as session:
        a_return(session)
        note_way_back(session, RETURN, "run", courier="shunfeng", waybill="Sf0012345678ab")
        known = way_back_of(session, written)
        assert known is not None
        assert known.case_id == RETURN
        assert waybill_of_another(session, "another", written)
        begun = parcel_of_start(session, ORDER, written, None)
        assert begun is not None
        assert (begun.waybill, begun.return_case) == ("Sf0012345678ab", RETURN), "one case a parcel"
        add_scan(session, "sf0012345678AB", "301", at=NOW + timedelta(days=1))
        assert is_signed(session, written)


def test_capitals_say_nothing_of_a_way_back_that_was_forwarded(shop: Database) -> None:
    with shop.writing() as session:
        a_return(session)
        forward(session, "Rb1", "EB1")
        add_scan(session, "EB1", "301", at=NOW + timedelta(days=3))
        assert is_signed(session, "rB1")
