"""How a refund ends in the shop, and parcels that are stopped and come back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.shop import coming_back, courier, holds, orders, outbox, outside, platform, releasing, returning, settling
from casework.shop.claims import claimed_lines
from casework.shop.database import Database
from casework.shop.errors import BadRequest
from casework.shop.faults import set_fault
from casework.shop.tables import OrderRow, ParcelRow, ScanRow, ShipmentLineRow, ShipmentRow, StockMovementRow
from tests.shop.steps import CASE, NOW, ORDER, OTHER, an_order, claim, hold, parcels, pay, pieces, settle, shown_flag

WHOLE = pieces((1, 2), (2, 1))


def restore(session: Session, lines: list[tuple[int, int]] | None = None) -> None:
    """Put the order back."""
    settling.restore_order(
        session, key="restore", case_id=CASE, order_id=ORDER, lines=pieces(*lines) if lines else WHOLE, at=NOW
    )


def come_back(
    session: Session,
    lines: list[tuple[int, int]] | None = None,
    *,
    waybill: str | None = None,
    key: str = "back",
    case_id: str = CASE,
) -> coming_back.GoodsBack:
    """The parcel came back."""
    return coming_back.mark_goods_back(
        session,
        key=key,
        case_id=case_id,
        order_id=ORDER,
        lines=pieces(*lines) if lines else WHOLE,
        at=NOW,
        waybill=waybill,
    )


def intercept(session: Session, key: str = "stop", case_id: str = CASE) -> bool:
    """Ask the courier to stop the parcel."""
    return courier.intercept(session, key=key, case_id=case_id, order_id=ORDER, lines=WHOLE, at=NOW)


def places(session: Session) -> list[str]:
    """Where the lines are."""
    return [line.place for line in orders.read_order(session, ORDER).lines]


def left_without_a_waybill(session: Session) -> None:
    """A case has and holds the order, the warehouse says that it has left, and the courier agrees to stop it."""
    an_order(session)
    claim(session, WHOLE)
    hold(session, WHOLE)
    coming_back.mark_left(session, order_id=ORDER, lines=WHOLE)
    assert intercept(session)


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
        assert shown_flag(session, ORDER) == "red"
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
        assert shown_flag(session, ORDER) == "yellow"
        outside.ship(session, ORDER, at=NOW)
        assert orders.read_order(session, ORDER).parcels[0].lines == pieces((1, 1), (2, 1))


def test_settling_twice_is_settling_once(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        claim(session, WHOLE)
        come_back(session)
        pay(session, WHOLE, 25_000)
        for _ in range(2):
            settle(session, WHOLE)
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
            restore(session)
        assert shown_flag(session, ORDER) == "yellow"
        assert [letter.cancelled_at for letter in outbox.letters(session)] == [NOW]
        outside.ship(session, ORDER, at=NOW)


def test_goods_that_came_back_wait_for_the_end_and_ship_again_if_the_order_is_kept(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        claim(session, WHOLE)
        come_back(session)
        assert shown_flag(session, ORDER) == "purple"
        assert not orders.standing(session, ORDER, WHOLE).shipped
        with pytest.raises(BadRequest, match="nothing"):
            outside.ship(session, ORDER, at=NOW, force=True)
        restore(session)
        assert [(one.template, one.recipient) for one in outbox.letters(session)] == [("ship_again", "warehouse")]
        outside.ship(session, ORDER, at=NOW)
        assert len(parcels(session)) == 2
        assert orders.standing(session, ORDER, WHOLE).shipped
        assert stock(session) == []


def test_other_lines_in_a_parcel_that_came_back_ship_again(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        claim(session, pieces((1, 1)))
        come_back(session, [(1, 1)])
        assert [line.place for line in orders.read_order(session, ORDER).lines] == ["back", "unshipped"]
        pay(session, pieces((1, 1)), 10_000)
        settle(session, pieces((1, 1)))
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
        restore(session)
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


# --- several parcels ---


def two_parcels(session: Session) -> None:
    """Each line leaves in a parcel of its own."""
    an_order(session)
    outside.ship(session, ORDER, lines=[1], waybill="YT1", at=NOW)
    outside.ship(session, ORDER, lines=[2], waybill="YT2", at=NOW)
    claim(session, WHOLE)


def test_a_parcel_that_is_named_comes_back_alone(shop: Database) -> None:
    with shop.writing() as session:
        two_parcels(session)
        back = come_back(session, waybill=" yt2 ")
        assert back == coming_back.GoodsBack(all_back=False, still_out=["YT1"], refused=None)
        assert places(session) == ["shipped", "back"]
        assert pay(session, WHOLE, 25_000).status == "left"
        assert come_back(session, waybill="YT1", key="second") == coming_back.GoodsBack(
            all_back=True, still_out=[], refused=None
        )
        assert pay(session, WHOLE, 25_000).status == "paid"


def test_a_line_that_left_without_a_waybill_is_not_in_the_parcel_that_is_named(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=[2])
        coming_back.mark_left(session, order_id=ORDER, lines=pieces((1, 2)))
        claim(session, WHOLE)
        assert come_back(session, waybill=parcels(session)[0].waybill).still_out == ["line 1"]
        assert places(session) == ["shipped", "back"]


def test_a_line_of_which_a_part_is_in_another_parcel_is_not_back_yet(shop: Database) -> None:
    with shop.writing() as session:
        two_parcels(session)
        session.add(ShipmentLineRow(shipment_id=parcels(session)[0].id, line=2, quantity=1))
        session.flush()
        assert come_back(session, [(2, 1)], waybill="YT2").still_out == ["YT1"]
        assert come_back(session, [(2, 1)], waybill="YT1", key="second").all_back


def test_without_a_waybill_every_parcel_is_back(shop: Database) -> None:
    with shop.writing() as session:
        two_parcels(session)
        assert come_back(session).all_back
        assert places(session) == ["back", "back"]


@pytest.mark.parametrize("waybill", ["SF9", "YT2", ""])
def test_a_parcel_of_other_lines_is_refused_and_changes_nothing(shop: Database, waybill: str) -> None:
    with shop.writing() as session:
        two_parcels(session)
        back = come_back(session, [(1, 2)], waybill=waybill)
        assert (back.all_back, back.still_out) == (False, ["YT1"])
        assert back.refused is not None
        assert "no parcel of these lines" in back.refused
        assert places(session) == ["shipped", "shipped"]
        assert come_back(session, [(1, 2)], waybill="YT1").all_back, "the refusal did not use up the key"


def test_the_same_parcel_named_again_is_no_second_one(shop: Database) -> None:
    with shop.writing() as session:
        two_parcels(session)
        for key in ("back", "back", "later"):
            assert come_back(session, waybill="YT2", key=key) == coming_back.GoodsBack(
                all_back=False, still_out=["YT1"], refused=None
            )


def test_lines_that_another_case_has_claimed_wait_for_it_when_their_parcel_comes_back(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        claim(session, pieces((1, 2)))
        claim(session, pieces((2, 1)), OTHER)
        come_back(session, [(1, 2)])
        assert places(session) == ["back", "back"]
        with pytest.raises(BadRequest, match="nothing"):
            outside.ship(session, ORDER, at=NOW)
        waybill = parcels(session)[0].waybill
        assert come_back(session, [(2, 1)], waybill=waybill, key="other", case_id=OTHER).all_back


def test_a_parcel_that_another_case_stopped_too_stays_stopped(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        claim(session, pieces((1, 2)))
        claim(session, pieces((2, 1)), OTHER)
        assert intercept(session)
        assert intercept(session, "other", OTHER)
        restore(session, [(1, 2)])
        assert parcels(session)[0].intercepted_at == NOW


def test_lines_of_a_stopped_parcel_that_is_still_on_the_way_have_left_when_the_order_is_kept(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        claim(session, WHOLE)
        assert intercept(session)
        restore(session)
        assert places(session) == ["shipped", "shipped"]
        with pytest.raises(BadRequest, match="nothing"):
            outside.ship(session, ORDER, at=NOW)


def test_a_piece_that_ships_again_goes_into_stock_when_it_comes_back_once_more(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        claim(session, pieces((1, 1)))
        come_back(session, [(1, 1)])
        pay(session, pieces((1, 1)), 10_000)
        settle(session, pieces((1, 1)))
        outside.ship(session, ORDER, lines=[1], waybill="YT9", at=NOW)
        once_more: dict[str, Any] = {"case_id": OTHER, "order_id": ORDER, "lines": pieces((1, 1)), "at": NOW}
        coming_back.take_into_stock(session, key="too early", **once_more)
        assert stock(session) == [("SKU-1", 1)]
        come_back(session, [(1, 1)], waybill="YT9", key="again", case_id=OTHER)
        for key in ("stock", "no more"):
            coming_back.take_into_stock(session, key=key, **once_more)
        assert stock(session) == [("SKU-1", 1), ("SKU-1", 1)]


def test_a_piece_that_came_back_goes_into_stock_besides_one_that_the_buyer_returned(shop: Database) -> None:
    with shop.writing() as session:
        two_parcels(session)
        session.add(ShipmentLineRow(shipment_id=parcels(session)[1].id, line=1, quantity=1))
        session.get_one(ShipmentLineRow, (parcels(session)[0].id, 1)).quantity = 1
        session.flush()
        own: dict[str, Any] = {"case_id": "a-return", "run_id": "run", "order_id": ORDER, "at": NOW}
        returning.restock(session, key="restock", accepted=pieces((1, 1)), **own)
        come_back(session, [(1, 1)], waybill="YT2")
        for key in ("stock", "no more"):
            coming_back.take_into_stock(session, key=key, case_id=OTHER, order_id=ORDER, lines=pieces((1, 1)), at=NOW)
        assert stock(session) == [("SKU-1", 1), ("SKU-1", 1)]


# --- lines that left without a waybill ---


def test_goods_that_left_without_a_waybill_come_back_into_stock(shop: Database) -> None:
    with shop.writing() as session:
        left_without_a_waybill(session)
        assert come_back(session, waybill="YT1").still_out == ["line 1", "line 2"]
        assert come_back(session).all_back
        assert pay(session, WHOLE, 25_000).status == "paid"
        settle(session, WHOLE)
        assert stock(session) == [("SKU-1", 2), ("SKU-2", 1)]


def test_lines_that_left_do_not_ship_again_when_the_case_is_over(shop: Database) -> None:
    with shop.writing() as session:
        left_without_a_waybill(session)
        releasing.release_case(session, CASE, flag_kept=None, at=NOW)
        for lines in (None, [1]):
            with pytest.raises(BadRequest, match=r"nothing|not there"):
                outside.ship(session, ORDER, lines=lines, at=NOW)
        assert parcels(session) == []
        assert orders.standing(session, ORDER, WHOLE).shipped


def test_only_lines_that_are_here_can_be_said_to_have_left(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=[2])
        claim(session, WHOLE)
        come_back(session)
        coming_back.mark_left(session, order_id=ORDER, lines=WHOLE)
        assert places(session) == ["shipped", "back"]


@pytest.mark.parametrize(("waybill", "force"), [("YT1", False), (None, True)])
def test_the_late_waybill_of_lines_that_were_stopped_is_stopped_too(
    shop: Database, waybill: str | None, *, force: bool
) -> None:
    with shop.writing() as session:
        left_without_a_waybill(session)
        outside.ship(session, ORDER, at=NOW + timedelta(hours=1), waybill=waybill, force=force)
        (parcel,) = parcels(session)
        assert parcel.intercepted_at == NOW + timedelta(hours=1)
        assert come_back(session, waybill=parcel.waybill).all_back
        with pytest.raises(BadRequest, match="nothing"):
            outside.ship(session, ORDER, at=NOW, waybill="YT2", force=force)


@pytest.mark.parametrize("subject", [ORDER, "YT1"])
def test_a_late_parcel_is_not_stopped_where_the_courier_cannot(shop: Database, subject: str) -> None:
    with shop.writing() as session:
        left_without_a_waybill(session)
        set_fault(session, "intercept", subject, "always")
        outside.ship(session, ORDER, at=NOW, waybill="YT1")
        assert parcels(session)[0].intercepted_at is None


def test_a_late_parcel_that_was_signed_for_is_not_stopped(shop: Database) -> None:
    with shop.writing() as session:
        left_without_a_waybill(session)
        session.add(ParcelRow(waybill="YT1", courier="yuantong", state="3"))
        session.flush()
        session.add(ScanRow(waybill="YT1", at=NOW, code="3"))
        outside.ship(session, ORDER, at=NOW, waybill="YT1")
        assert parcels(session)[0].intercepted_at is None


def test_a_late_parcel_goes_on_when_the_case_that_stopped_it_is_over(shop: Database) -> None:
    with shop.writing() as session:
        left_without_a_waybill(session)
        releasing.release_case(session, CASE, flag_kept=None, at=NOW)
        claim(session, WHOLE)
        outside.ship(session, ORDER, at=NOW, waybill="YT1")
        assert parcels(session)[0].intercepted_at is None


def test_a_part_that_ships_does_not_take_lines_that_left_before_into_its_parcel(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        coming_back.mark_left(session, order_id=ORDER, lines=pieces((1, 2)))
        outside.ship(session, ORDER, at=NOW, waybill="YT1")
        assert orders.read_order(session, ORDER).parcels[0].lines == pieces((2, 1))


def test_what_was_on_the_shelf_and_left_without_a_waybill_ships_again_when_it_comes_back(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        claim(session, WHOLE)
        come_back(session)
        restore(session)
        claim(session, WHOLE, OTHER)
        coming_back.mark_left(session, order_id=ORDER, lines=WHOLE)
        assert come_back(session, key="once more", case_id=OTHER).all_back
        settling.restore_order(session, key="restored", case_id=OTHER, order_id=ORDER, lines=WHOLE, at=NOW)
        assert places(session) == ["unshipped", "unshipped"]


def test_a_piece_of_another_line_ships_again_though_others_of_it_are_out(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        outside.ship(session, ORDER, lines=[1, 2], waybill="YT1", at=NOW)
        (parcel,) = parcels(session)
        other = ShipmentRow(order_id=ORDER, waybill="YT2", company="", shipped_at=NOW)
        session.add(other)
        session.flush()
        session.get_one(ShipmentLineRow, (parcel.id, 1)).quantity = 1
        session.add(ShipmentLineRow(shipment_id=other.id, line=1, quantity=1))
        session.flush()
        claim(session, pieces((2, 1)))
        come_back(session, [(2, 1)], waybill="YT1")
        assert ["1×1" in one.text_en for one in outbox.letters(session)] == [True]


def test_a_piece_that_was_refunded_before_it_left_takes_no_other_ones_place_on_the_shelf(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, prices=((10_000, 3),))
        claim(session, pieces((1, 1)))
        pay(session, pieces((1, 1)), 10_000)
        settle(session, pieces((1, 1)))
        releasing.release_case(session, CASE, flag_kept=None, at=NOW)
        for number in (1, 2):
            outside.ship(session, ORDER, waybill=f"YT{number}", at=NOW)
            come_back(session, [(1, 2)], waybill=f"YT{number}", key=f"back {number}")
            coming_back.ship_again(session, key=f"again {number}", case_id=CASE, order_id=ORDER, numbers={1}, at=NOW)
            assert (places(session), stock(session)) == (["unshipped"], [])
