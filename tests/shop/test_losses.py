"""What a parcel's loss was made good by: its goods sent again, or paid for, by whichever run of whichever case."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from casework.dues import ReturnDue
from casework.money import LineQuantity
from casework.parcels import Followed
from casework.shop import coming_back, following, orders, outside, parcels, records, remaining, returning, settling
from casework.shop.amounts import line_rows
from casework.shop.database import Database
from casework.shop.errors import BadRequest
from casework.shop.following import How
from casework.shop.losses import given_up, made_good
from casework.shop.shipments import pieces_in, shipment_of
from casework.shop.tables import FollowedParcelRow, ShipmentLineRow, ShipmentRow
from tests.orders import add_scan
from tests.shop.steps import NOW, ORDER, an_order, pieces

WAYBILL = f"YT{ORDER[-11:]}"
FORWARDED, AGAIN = "EA00000000001CN", "SF00000000001"
CASE, RETURN = f"problem-parcel-{WAYBILL}", f"return-after-shipping-{ORDER}"
HOUR = timedelta(hours=1)


@pytest.fixture
def session(shop: Database) -> Any:
    with shop.writing() as session:
        an_order(session, shipped=True)
        yield session


def record(session: Session, case_id: str, run_id: str, at: datetime, flow: str, **fields: Any) -> None:
    records.open_record(
        session,
        case_id=case_id,
        run_id=run_id,
        flow=flow,
        order_id=ORDER,
        opened_by="system",
        opened_at=at,
        **fields,
    )


def run(
    session: Session,
    *waybills: tuple[str, str],
    at: datetime = NOW,
    outcome: str | None = "delivered",
    case_id: str = CASE,
) -> tuple[str, str]:
    """A run of a parcel's case that has followed these waybills, one an hour; each with how."""
    own = (case_id, f"run-{at:%d-%H}")
    record(session, *own, at, "problem-parcel")
    for number, (waybill, how) in enumerate(waybills):
        session.add(
            FollowedParcelRow(
                case_id=case_id,
                run_id=own[1],
                waybill=waybill,
                order_id=ORDER,
                courier="yuantong",
                how=how,
                since=at + number * HOUR if number else None,
            )
        )
    session.flush()
    if outcome is not None:
        records.close_record(session, case_id=own[0], run_id=own[1], view={}, outcome=outcome, at=at + 9 * HOUR)
    return own


def sent(session: Session, waybill: str, *inside: tuple[int, int]) -> None:
    parcel = ShipmentRow(order_id=ORDER, waybill=waybill, company="", shipped_at=NOW)
    session.add(parcel)
    session.flush()
    session.add_all(ShipmentLineRow(shipment_id=parcel.id, line=line, quantity=pieces) for line, pieces in inside)
    session.flush()


def refund(
    session: Session, *lines: tuple[int, int], outcome: str | None, at: datetime = NOW + HOUR, run_id: str = "run"
) -> None:
    """A return that the parcel's case has opened."""
    record(session, RETURN, run_id, at, "return-after-shipping", lines=pieces(*lines), from_case=CASE)
    if outcome is not None:
        records.close_record(session, case_id=RETURN, run_id=run_id, view={}, outcome=outcome, at=at + HOUR)


def left(session: Session, waybill: str = WAYBILL, **more: Any) -> list[LineQuantity]:
    return remaining.left_in_parcel(session, ORDER, waybill, pieces((1, 2), (2, 1)), **more)


def test_what_was_sent_again_is_settled_piece_by_piece_and_not_by_the_run_that_asks(session: Session) -> None:
    own = run(session, (WAYBILL, "opened"), (AGAIN, "reshipped"))
    sent(session, AGAIN, (1, 1))
    assert made_good(session, ORDER, WAYBILL).in_all == {1: 1}
    assert left(session) == pieces((1, 1), (2, 1))
    assert left(session, excluding=own) == pieces((1, 2), (2, 1))
    assert left(session, AGAIN) == pieces((1, 1)), "what was sent again is a parcel like any other"
    assert not remaining.is_made_good(session, ORDER, WAYBILL)
    run(session, (WAYBILL, "opened"), ("SF00000000002", "reshipped"), at=NOW + timedelta(days=1))
    sent(session, "SF00000000002", (1, 1), (2, 1))
    assert remaining.is_made_good(session, ORDER, WAYBILL), "by two runs together"


def test_what_was_sent_again_may_be_lost_too_and_be_sent_once_more(session: Session) -> None:
    run(session, (WAYBILL, "opened"), (AGAIN, "reshipped"), ("SF00000000002", "reshipped"))
    sent(session, AGAIN, (1, 2), (2, 1))
    sent(session, "SF00000000002", (1, 2))
    assert left(session) == []
    assert left(session, AGAIN) == pieces((2, 1))


@pytest.mark.parametrize("waybill", [WAYBILL, FORWARDED])
def test_a_parcel_is_the_same_under_the_waybill_that_it_was_forwarded_to(session: Session, waybill: str) -> None:
    run(session, (WAYBILL, "opened"), (FORWARDED, "forwarded"))
    at = NOW + timedelta(days=1)
    run(session, (FORWARDED, "opened"), (AGAIN, "reshipped"), at=at, case_id=f"problem-parcel-{FORWARDED}")
    sent(session, AGAIN, (1, 2), (2, 1))
    assert left(session, waybill) == []


@pytest.mark.parametrize(("outcome", "counts"), [(None, True), ("refunded", True), ("platform_dispute", False)])
def test_what_is_paid_for_or_may_be_still_is_settled(session: Session, outcome: str | None, counts: bool) -> None:
    run(session, (WAYBILL, "opened"), outcome="refund_opened")
    refund(session, (1, 1), outcome=outcome)
    assert left(session) == pieces(*([(1, 1), (2, 1)] if counts else [(1, 2), (2, 1)]))


def test_a_refund_is_of_the_run_that_opened_it_and_of_its_last_parcel(session: Session) -> None:
    run(session, (WAYBILL, "opened"), (AGAIN, "reshipped"), outcome="refund_opened")
    sent(session, AGAIN, (2, 1))
    refund(session, (2, 1), outcome="refunded")
    later = NOW + timedelta(days=1)
    own = run(session, (WAYBILL, "opened"), at=later, outcome=None)
    refund(session, (1, 1), outcome=None, at=later + HOUR, run_id="later")
    assert made_good(session, ORDER, AGAIN).in_all == {2: 1}
    assert made_good(session, ORDER, WAYBILL, excluding=own).in_all == {2: 1}
    assert made_good(session, ORDER, WAYBILL).in_all == {1: 1, 2: 1}


def test_of_two_pieces_one_that_was_refunded_and_one_that_was_sent_again_leave_nothing(session: Session) -> None:
    own = run(session, (WAYBILL, "opened"), (AGAIN, "reshipped"))
    sent(session, AGAIN, (1, 1))
    outside.refunded(session, ORDER, pieces((1, 1)), at=NOW)
    assert left(session) == pieces((2, 1))
    assert left(session, excluding=own) == pieces((1, 1), (2, 1))


def test_what_was_paid_for_is_not_counted_twice_as_the_ledger_has_it_too(session: Session) -> None:
    run(session, (WAYBILL, "opened"), outcome="refund_opened")
    refund(session, (1, 1), outcome="refunded")
    outside.refunded(session, ORDER, pieces((1, 1)), at=NOW)
    assert left(session) == pieces((1, 1), (2, 1))


def test_what_came_back_is_here_although_what_was_lost_of_the_same_line_never_will_be(session: Session) -> None:
    run(session, (WAYBILL, "opened"), (AGAIN, "reshipped"), outcome=None)
    sent(session, AGAIN, (1, 2))
    back: dict[str, Any] = {"case_id": CASE, "order_id": ORDER, "lines": pieces((1, 2), (2, 1)), "at": NOW}
    assert coming_back.mark_goods_back(session, key="back", waybill=AGAIN, **back).still_out == [WAYBILL]
    assert [line.place for line in orders.read_order(session, ORDER).lines] == ["back", "shipped"]


def test_what_came_back_is_here_although_the_other_parcel_of_the_line_was_paid_for(session: Session) -> None:
    run(session, (WAYBILL, "opened"), outcome="refund_opened")
    sent(session, AGAIN, (1, 1))
    back: dict[str, Any] = {"case_id": f"problem-parcel-{AGAIN}", "order_id": ORDER, "lines": pieces((1, 1)), "at": NOW}
    assert coming_back.mark_goods_back(session, key="back", waybill=AGAIN, **back).all_back


def test_a_forwarded_replacement_holds_what_was_sent_again_and_not_what_was_in_the_first_parcel(
    session: Session,
) -> None:
    run(session, (WAYBILL, "opened"), (AGAIN, "reshipped"), (FORWARDED, "forwarded"))
    sent(session, AGAIN, (2, 1))
    known = following.parcel_of_start(session, ORDER, FORWARDED, None)
    assert known is not None
    assert known.lines == pieces((2, 1))
    assert left(session, FORWARDED) == pieces((2, 1))


def test_a_later_waybill_that_an_export_shows_with_no_lines_holds_what_the_parcel_did(session: Session) -> None:
    run(session, (WAYBILL, "opened"), (FORWARDED, "forwarded"))
    before = following.parcel_of_start(session, ORDER, FORWARDED, None)
    session.add(ShipmentRow(order_id=ORDER, waybill=FORWARDED, company="EMS", shipped_at=NOW))
    session.flush()
    assert before is not None
    assert following.parcel_of_start(session, ORDER, FORWARDED, None) == before
    assert left(session, FORWARDED) == before.lines == pieces((1, 2), (2, 1))


def test_a_parcel_that_came_back_under_its_later_waybill_is_the_shops_own(session: Session) -> None:
    run(session, (WAYBILL, "opened"), (FORWARDED, "forwarded"))
    case_id = f"problem-parcel-{FORWARDED}"
    back: dict[str, Any] = {"case_id": case_id, "order_id": ORDER, "lines": pieces((1, 2), (2, 1)), "at": NOW}
    parcels.take_returned(session, key="back", waybill=FORWARDED, memo="back", **back)
    assert not coming_back.is_out(session, ORDER, pieces((1, 2), (2, 1)))
    assert left(session, FORWARDED) == pieces((1, 2), (2, 1))
    settling.restore_order(session, key="restore", **back)
    assert left(session, FORWARDED) == []


def test_a_waybill_is_the_same_in_other_capitals(session: Session) -> None:
    run(session, (WAYBILL.lower(), "opened"), (AGAIN.lower(), "reshipped"), outcome="refund_opened")
    sent(session, AGAIN, (1, 2))
    assert left(session) == pieces((2, 1))
    assert left(session, AGAIN.lower()) == pieces((1, 2))
    assert given_up(session, ORDER, NOW + timedelta(days=9)) == {AGAIN}


def test_a_parcel_of_an_order_in_other_capitals_is_no_second_one(session: Session) -> None:
    other = an_order(session, order_id="3300010000000000002")
    outside.ship(session, other, lines=[1], waybill=AGAIN, at=NOW)
    with pytest.raises(BadRequest, match="is a parcel of this order already"):
        outside.ship(session, other, lines=[2], waybill=AGAIN.lower(), at=NOW)


def test_goods_leave_under_a_waybill_that_an_export_has_shown_empty(session: Session) -> None:
    other = an_order(session, order_id="3300010000000000002")
    session.add(ShipmentRow(order_id=other, waybill=AGAIN, company="", shipped_at=NOW))
    session.flush()
    assert outside.ship(session, other, lines=[1], waybill=AGAIN.lower(), at=NOW) == AGAIN
    assert pieces_in(session, shipment_of(session, other, AGAIN)) != []
    with pytest.raises(BadRequest, match="is a parcel of this order already"):
        outside.ship(session, other, lines=[2], waybill=AGAIN, at=NOW)


def test_no_goods_leave_under_the_later_waybill_of_a_forwarded_parcel(session: Session) -> None:
    run(session, (WAYBILL, "opened"), (FORWARDED, "forwarded"))
    session.add(ShipmentRow(order_id=ORDER, waybill=FORWARDED, company="", shipped_at=NOW))
    session.flush()
    for row in line_rows(session, ORDER):
        row.place = "unshipped"
    with pytest.raises(BadRequest, match="is a parcel of this order already"):
        outside.ship(session, ORDER, waybill=FORWARDED, at=NOW)


def test_the_newest_case_says_whether_a_parcel_is_waited_for(session: Session) -> None:
    run(session, (WAYBILL, "opened"), outcome="refund_opened")
    assert given_up(session, ORDER, NOW + timedelta(days=9)) == {WAYBILL}
    run(session, (WAYBILL, "opened"), at=NOW + timedelta(days=1), outcome=None)
    assert given_up(session, ORDER, NOW + timedelta(days=9)) == set()


def test_of_what_was_sent_again_and_then_refunded_the_parcel_of_before_is_not_the_one_given_up(
    session: Session,
) -> None:
    run(session, (WAYBILL, "opened"), (AGAIN, "reshipped"), outcome="refund_opened")
    assert given_up(session, ORDER, NOW + timedelta(days=9)) == {AGAIN}


@pytest.mark.parametrize(("outcome", "waited_for"), [("platform_dispute", True), (None, False), ("refunded", False)])
def test_a_parcel_that_was_found_again_is_waited_for_unless_it_is_paid_for(
    session: Session, outcome: str | None, waited_for: bool
) -> None:
    run(session, (WAYBILL, "opened"), outcome="refund_opened")
    refund(session, (1, 2), (2, 1), outcome=outcome)
    add_scan(session, WAYBILL, "0", at=NOW + HOUR)
    found = NOW + timedelta(days=1)
    assert given_up(session, ORDER, found) == {WAYBILL}, "it was scanned before its case ended"
    add_scan(session, WAYBILL, "0", at=found)
    session.flush()
    assert given_up(session, ORDER, found - HOUR) == {WAYBILL}, "that scan is still to come"
    assert given_up(session, ORDER, found) == (set() if waited_for else {WAYBILL})


def test_what_was_sent_again_stays_so_where_its_courier_handed_it_on_before_anybody_reported_it(
    session: Session,
) -> None:
    own = run(session, outcome=None)
    follows: list[tuple[str, How, datetime | None]] = [
        (WAYBILL, "opened", None),
        (AGAIN, "reshipped", NOW + 2 * HOUR),
        (FORWARDED, "forwarded", NOW + HOUR),
    ]
    for waybill, how, since in follows:
        parcel = Followed(courier="ems", waybill=waybill, since=since)
        following.follow(session, case_id=own[0], run_id=own[1], order_id=ORDER, parcel=parcel, how=how)
    sent(session, AGAIN, (1, 2), (2, 1))
    assert left(session) == []
    assert left(session, FORWARDED) == pieces((1, 2), (2, 1))


def test_a_signature_for_what_was_denied_is_none_for_what_was_sent_in_its_place(session: Session) -> None:
    own = run(session, (WAYBILL, "opened"), (FORWARDED, "forwarded"), (AGAIN, "reshipped"), outcome=None)
    sent(session, AGAIN, (1, 2), (2, 1))
    add_scan(session, FORWARDED, "3", at=NOW)
    add_scan(session, AGAIN, "0", at=NOW + HOUR)

    def signed_at() -> datetime | None:
        lines = pieces((1, 2), (2, 1))
        due = ReturnDue(lines=lines, fault=False)
        return returning.standing(
            session, ORDER, lines, due, at=NOW + 3 * HOUR, case_id=own[0], run_id=own[1]
        ).signed_at

    assert signed_at() is None
    add_scan(session, AGAIN, "3", at=NOW + 2 * HOUR)
    assert signed_at() == NOW + 2 * HOUR
