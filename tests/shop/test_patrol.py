"""Which open shipments the patrol sees, and which it leaves to a case that is there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from casework.policy import Policy, load_policy
from casework.shop import claims, outside, records
from casework.shop.database import Database
from casework.shop.patrol import MOST_FOUND, Look, look_further
from casework.shop.tables import OrderRow, ParcelRow, ScanRow, ShipmentRow
from tests.shop.steps import CASE, NOW, ORDER, an_order, claim, pieces

POLICY = load_policy(None)
WAYBILL = f"YT{ORDER[-11:]}"
LONG = timedelta(days=30)


def small_batches(size: int) -> Policy:
    return POLICY.model_copy(update={"patrol": POLICY.patrol.model_copy(update={"batch_size": size})})


def look(session: Session, *, after: int = 0, at: datetime = NOW, policy: Policy = POLICY) -> Look:
    return look_further(session, policy, after=after, at=at)


def shipped(session: Session, *, ago: timedelta = LONG, order_id: str = ORDER, **options: object) -> ShipmentRow:
    """An order that left so long ago."""
    an_order(session, order_id=order_id, shipped=True, **options)  # pyright: ignore[reportArgumentType]
    parcel = session.query(ShipmentRow).filter_by(order_id=order_id).one()
    parcel.shipped_at = NOW - ago
    return parcel


def scan(session: Session, code: str, ago: timedelta, *, waybill: str = WAYBILL, courier: str = "yuantong") -> None:
    if session.get(ParcelRow, waybill) is None:
        session.add(ParcelRow(waybill=waybill, courier=courier, state="0"))
        session.flush()
    session.add(ScanRow(waybill=waybill, at=NOW - ago, code=code))
    session.flush()


def causes(look: Look) -> list[tuple[str, str]]:
    return [(one.waybill, one.cause) for one in look.found]


def test_a_parcel_that_is_long_under_way_needs_a_case(shop: Database) -> None:
    with shop.writing() as session:
        shipped(session)
        scan(session, "0", timedelta(days=20))
        found = look(session)
    assert (found.looked_at, causes(found)) == (1, [(WAYBILL, "overdue")])
    assert (found.found[0].order_id, found.found[0].courier) == (ORDER, "yuantong")


def test_the_newest_scan_that_is_shown_decides_not_one_that_is_still_to_come(shop: Database) -> None:
    with shop.writing() as session:
        shipped(session, ago=timedelta(days=2))
        scan(session, "209", timedelta(hours=3))
        scan(session, "0", timedelta(hours=2))
        scan(session, "14", -timedelta(hours=1))
        assert causes(look(session)) == []
        assert causes(look(session, at=NOW + timedelta(hours=1))) == [(WAYBILL, "exception")]


def test_an_unknown_code_is_taken_as_moving(shop: Database) -> None:
    with shop.writing() as session:
        shipped(session, ago=timedelta(days=2))
        scan(session, "9999", timedelta(hours=3))
        assert causes(look(session)) == []


@pytest.mark.parametrize("code", ["3", "301", "303", "304"])
def test_a_signed_parcel_is_asked_about_from_the_policys_days_on(shop: Database, code: str) -> None:
    with shop.writing() as session:
        shipped(session)
        scan(session, code, timedelta(days=3))
        assert causes(look(session, at=NOW - timedelta(seconds=1))) == []
        assert causes(look(session)) == [(WAYBILL, "signed_unconfirmed")]


def finish(session: Session) -> None:
    session.query(OrderRow).filter_by(id=ORDER).one().state = "finished"


def confirm(session: Session) -> None:
    session.query(OrderRow).filter_by(id=ORDER).one().confirmed_at = NOW


def come_back(session: Session) -> None:
    session.query(ShipmentRow).filter_by(order_id=ORDER).one().back_at = NOW


def refund(session: Session) -> None:
    outside.refunded(session, ORDER, at=NOW)


def close(session: Session) -> None:
    session.query(OrderRow).filter_by(id=ORDER).one().state = "closed"


@pytest.mark.parametrize("happens", [finish, confirm, come_back, refund, close])
def test_what_is_finished_back_or_refunded_is_no_open_shipment(
    shop: Database, happens: Callable[[Session], None]
) -> None:
    with shop.writing() as session:
        shipped(session)
        assert look(session).looked_at == 1
        happens(session)
        found = look(session)
    assert (found.looked_at, found.found, found.more) == (0, [], False)


def test_what_is_refunded_in_part_is_open_still(shop: Database) -> None:
    with shop.writing() as session:
        shipped(session)
        outside.refunded(session, ORDER, pieces((1, 1), (2, 1)), at=NOW)
        assert causes(look(session)) == [(WAYBILL, "overdue")]


def test_looks_go_on_behind_the_last_shipment_and_see_each_once(shop: Database) -> None:
    orders = [f"33000100000000000{number:02d}" for number in range(7)]
    seen: list[str] = []
    counted, after, more = 0, 0, True
    with shop.writing() as session:
        for order in orders:
            shipped(session, order_id=order)
        while more:
            found = look(session, after=after, policy=small_batches(3))
            assert found.looked_at <= 3
            seen += [one.order_id for one in found.found]
            counted, after, more = counted + found.looked_at, found.after, found.more
    assert seen == orders
    assert counted == 7


def test_a_look_answers_only_so_many_and_the_next_one_goes_on_behind_them(shop: Database) -> None:
    count = MOST_FOUND + 20
    with shop.writing() as session:
        for number in range(count):
            shipped(session, order_id=f"33000100000000{number:05d}")
        first = look(session, policy=small_batches(1_000))
        second = look(session, after=first.after, policy=small_batches(1_000))
    assert (first.looked_at, len(first.found), first.more) == (MOST_FOUND, MOST_FOUND, True)
    assert (second.looked_at, len(second.found), second.more) == (20, 20, False)


def test_one_waybill_of_two_orders_needs_one_case(shop: Database) -> None:
    with shop.writing() as session:
        shipped(session)
        shipped(session, order_id="3300010000000000002").waybill = WAYBILL
        found = look(session)
    assert (found.looked_at, causes(found)) == (2, [(WAYBILL, "overdue")])


# --- what a case deals with ---


def parcel_case(session: Session, *, opened: datetime = NOW, closed: datetime | None = None) -> None:
    case_id = f"problem-parcel-{WAYBILL}"
    records.open_record(
        session,
        case_id=case_id,
        run_id=f"run-{opened}",
        flow="problem-parcel",
        order_id=ORDER,
        opened_by="aftersale.1",
        opened_at=opened,
    )
    if closed is not None:
        records.close_record(
            session, case_id=case_id, run_id=f"run-{opened}", view={"amount_fen": 0}, outcome="delivered", at=closed
        )


def test_a_parcel_with_an_open_case_needs_no_other(shop: Database) -> None:
    with shop.writing() as session:
        shipped(session)
        parcel_case(session)
        assert causes(look(session)) == []


def test_a_parcel_whose_case_has_ended_needs_another_only_for_what_came_since(shop: Database) -> None:
    with shop.writing() as session:
        shipped(session)
        scan(session, "0", timedelta(days=29))
        parcel_case(session, opened=NOW - timedelta(days=2), closed=NOW - timedelta(days=1))
        assert causes(look(session)) == [], "it was overdue already when the case ended"
        scan(session, "209", timedelta(hours=1))
        assert causes(look(session)) == [(WAYBILL, "exception")]
        parcel_case(session, opened=NOW - timedelta(minutes=30), closed=NOW)
        assert causes(look(session)) == []


def test_a_parcel_whose_case_ended_before_it_was_overdue_needs_one(shop: Database) -> None:
    with shop.writing() as session:
        shipped(session)
        parcel_case(session, opened=NOW - timedelta(days=29), closed=NOW - timedelta(days=28))
        assert causes(look(session)) == [(WAYBILL, "overdue")]


def test_what_is_signed_for_is_not_asked_about_while_a_return_of_it_is_open(shop: Database) -> None:
    with shop.writing() as session:
        shipped(session)
        scan(session, "301", timedelta(days=9))
        claim(session, pieces((1, 2)))
        assert causes(look(session)) == []
        scan(session, "2", timedelta(hours=1))
        assert causes(look(session)) == [(WAYBILL, "exception")]


def test_a_parcel_that_an_open_refund_had_stopped_is_awaited_by_it(shop: Database) -> None:
    from casework.shop import courier

    with shop.writing() as session:
        shipped(session)
        claim(session, pieces((1, 2), (2, 1)))
        assert courier.intercept(
            session, key="stop", case_id=CASE, order_id=ORDER, lines=pieces((1, 2), (2, 1)), at=NOW
        )
        scan(session, "6", timedelta(hours=1))
        assert causes(look(session)) == []
        session.query(claims.ClaimRow).delete()
        assert causes(look(session)) == [(WAYBILL, "exception")]
