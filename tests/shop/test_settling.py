"""How a refund ends in the shop, and parcels that are stopped and come back."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.shop import courier, flags, holds, orders, outbox, outside, platform, settling
from casework.shop.claims import claimed_lines
from casework.shop.database import Database
from casework.shop.errors import BadRequest
from casework.shop.tables import OrderRow, ParcelRow, ScanRow, StockMovementRow
from tests.shop.steps import CASE, NOW, ORDER, an_order, claim, hold, parcels, pay, pieces, settle

WHOLE = pieces((1, 2), (2, 1))


def restore(session: Session, *, goods_back: bool) -> None:
    """Put the order back."""
    settling.restore_order(
        session, key="restore", case_id=CASE, order_id=ORDER, lines=WHOLE, goods_back=goods_back, at=NOW
    )


def come_back(session: Session, lines: list[tuple[int, int]] | None = None) -> None:
    """The parcel came back."""
    settling.mark_goods_back(
        session, key="back", case_id=CASE, order_id=ORDER, lines=pieces(*lines) if lines else WHOLE, at=NOW
    )


def intercept(session: Session, key: str = "stop") -> bool:
    """Ask the courier to stop the parcel."""
    return courier.intercept(session, key=key, case_id=CASE, order_id=ORDER, lines=WHOLE, at=NOW)


def scan(session: Session, code: str, *, minutes: int = 0) -> None:
    """A scan of the order's parcel, so many minutes from now."""
    waybill = parcels(session)[0].waybill
    if session.get(ParcelRow, waybill) is None:
        session.add(ParcelRow(waybill=waybill, courier="yuantong", state="0"))
        session.flush()
    session.add(ScanRow(waybill=waybill, at=NOW + timedelta(minutes=minutes), code=code))
    session.flush()


def warehouse_task(session: Session) -> None:
    """The warehouse is asked."""
    outbox.post(
        session,
        key="ask",
        case_id=CASE,
        to="staff",
        recipient="warehouse",
        template="ask_warehouse",
        parameters={},
        text_zh="问",
        text_en="ask",
        at=NOW,
    )


def stock(session: Session) -> list[tuple[str, int]]:
    """What came back into stock."""
    rows = session.scalars(select(StockMovementRow).order_by(StockMovementRow.line))
    return [(row.sku, row.quantity) for row in rows]


def test_a_settled_refund_lets_go_and_leaves_a_red_flag_if_nothing_is_left_to_ship(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        claim(session, WHOLE)
        hold(session, WHOLE)
        warehouse_task(session)
        pay(session, WHOLE, 25_000)
        settle(session, WHOLE)
        assert flags.shown_flag(session, ORDER) == "red"
        assert holds.cases_holding(session, ORDER) == []
        assert claimed_lines(session, CASE) == []
        assert orders.read_order(session, ORDER).memo == "[已退款]"
        assert [letter.cancelled_at for letter in outbox.letters(session)] == [NOW]
        with pytest.raises(BadRequest, match="nothing"):
            outside.ship(session, ORDER, at=NOW)


def test_the_rest_of_a_part_refund_ships_and_no_red_flag_stays(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, flag="yellow")
        claim(session, pieces((1, 1)))
        hold(session, pieces((1, 1)))
        pay(session, pieces((1, 1)), 10_000)
        settle(session, pieces((1, 1)))
        assert flags.shown_flag(session, ORDER) == "yellow"
        outside.ship(session, ORDER, at=NOW)
        assert orders.read_order(session, ORDER).parcels[0].lines == pieces((1, 1), (2, 1))


def test_settling_twice_is_settling_once(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        claim(session, WHOLE)
        come_back(session)
        pay(session, WHOLE, 25_000)
        for _ in range(2):
            settle(session, WHOLE, goods_back=True)
        assert stock(session) == [("SKU-1", 2), ("SKU-2", 1)]
        assert orders.read_order(session, ORDER).memo == "[已退款]"


def test_lines_that_an_unattributed_platform_refund_paid_for_are_struck_from_shipping(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        claim(session, WHOLE)
        hold(session, WHOLE)
        order = session.get_one(OrderRow, ORDER)
        order.platform_refund_fen = 25_000
        platform.reconcile(session, order, at=NOW)
        assert pay(session, WHOLE, 25_000).status == "already_paid"
        settle(session, WHOLE)
        read = orders.read_order(session, ORDER)
        assert [line.left for line in read.lines] == [0, 0]
        assert read.refunded_fen == 25_000


def test_a_restored_order_is_as_it_was(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, flag="yellow")
        claim(session, WHOLE)
        hold(session, WHOLE)
        warehouse_task(session)
        for _ in range(2):
            restore(session, goods_back=False)
        assert flags.shown_flag(session, ORDER) == "yellow"
        assert [letter.cancelled_at for letter in outbox.letters(session)] == [NOW]
        outside.ship(session, ORDER, at=NOW)


def test_goods_that_came_back_wait_for_the_end_and_ship_again_if_the_order_is_kept(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        claim(session, WHOLE)
        come_back(session)
        assert flags.shown_flag(session, ORDER) == "purple"
        assert not orders.standing(session, ORDER, WHOLE, at=NOW).shipped
        with pytest.raises(BadRequest, match="nothing"):
            outside.ship(session, ORDER, at=NOW, force=True)
        restore(session, goods_back=True)
        assert [(one.template, one.recipient) for one in outbox.letters(session)] == [("ship_again", "warehouse")]
        outside.ship(session, ORDER, at=NOW)
        assert len(parcels(session)) == 2
        assert orders.standing(session, ORDER, WHOLE, at=NOW).shipped
        assert stock(session) == []


def test_other_lines_in_a_parcel_that_came_back_ship_again(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        claim(session, pieces((1, 1)))
        come_back(session, [(1, 1)])
        assert [line.place for line in orders.read_order(session, ORDER).lines] == ["back", "unshipped"]
        pay(session, pieces((1, 1)), 10_000)
        settle(session, pieces((1, 1)), goods_back=True)
        assert [line.place for line in orders.read_order(session, ORDER).lines] == ["unshipped", "unshipped"]
        assert stock(session) == [("SKU-1", 1)]
        outside.ship(session, ORDER, at=NOW)
        assert orders.read_order(session, ORDER).parcels[1].lines == pieces((1, 1), (2, 1))


def test_a_parcel_under_way_is_stopped(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        scan(session, "5", minutes=-5)
        assert intercept(session)
        assert parcels(session)[0].intercepted_at == NOW
        restore(session, goods_back=False)
        assert parcels(session)[0].intercepted_at is None


@pytest.mark.parametrize("code", ["3", "301", "302", "303", "304"])
def test_a_parcel_that_was_handed_over_is_not_stopped(shop: Database, code: str) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        scan(session, code)
        assert not intercept(session)


def test_a_scan_that_is_still_to_come_is_not_shown(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        scan(session, "5", minutes=-1)
        scan(session, "301", minutes=1)
        waybill = parcels(session)[0].waybill
        assert [one.code for one in courier.shown_scans(session, waybill, NOW)] == ["5"]
        assert intercept(session)
        assert courier.parcel_state(session, waybill, NOW + timedelta(minutes=1)) == "signed"


def test_an_unknown_code_is_kept_raw_and_taken_as_moving(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        scan(session, "777")
        waybill = parcels(session)[0].waybill
        assert courier.shown_scans(session, waybill, NOW)[0].code == "777"
        assert courier.parcel_state(session, waybill, NOW) == "moving"
        assert courier.parcel_state(session, "UNKNOWN123", NOW) is None


def test_the_courier_answers_the_same_for_the_same_key(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        outside.fail(session, "intercept", parcels(session)[0].waybill, "once")
        assert [intercept(session), intercept(session), intercept(session, "again")] == [False, False, True]
        outside.fail(session, "intercept", ORDER, "always")
        assert [intercept(session, "third"), intercept(session, "fourth")] == [False, False]


def test_a_parcel_that_came_back_already_needs_no_stopping(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        scan(session, "301")
        come_back(session)
        assert intercept(session)
