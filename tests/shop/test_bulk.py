"""Bulk orders in the shop: what is held, what was reviewed, what a discount comes to, and what is paid of it."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.dues import RebateDue, RefundDue
from casework.money import LineQuantity
from casework.rules.bulk import Sign
from casework.shop import (
    bulk,
    claims,
    coming_back,
    flags,
    handing_over,
    holds,
    orders,
    outbox,
    outside,
    payments,
    releasing,
    settling,
)
from casework.shop.database import Database
from casework.shop.errors import BadRequest, Held
from casework.shop.notices import pending
from casework.shop.tables import ChatRow, HoldRow, LineRow, OrderRow, ReviewRow, ShipmentLineRow, ShipmentRow
from tests.orders import add_order
from tests.shop.steps import NOW, ORDER, an_order, open_case, pieces, shown_flag

BULK = f"bulk-order-{ORDER}"
FIVE = Decimal(5)
WORDS = ("材质", "成分", "检测报告", "授权", "商标")


def held_lines(session: Session, case_id: str = BULK) -> list[int]:
    return sorted(row.line for row in session.query(HoldRow).filter_by(case_id=case_id))


def rebate(session: Session, price_fen: int, *, key: str = "rebate") -> payments.PayResult:
    """Pay what brings the order down to the price."""
    what = RebateDue(price_fen=price_fen)
    due = sum(entry.amount_fen for entry in payments.amount_due(session, ORDER, what, case_id=BULK, run_id="run"))
    return payments.pay(session, key=key, case_id=BULK, run_id="run", order_id=ORDER, what=what, amount_fen=due, at=NOW)


def reviewed(
    session: Session, *, prices: tuple[tuple[int, int], ...] = ((10_000, 2), (5_000, 1)), paid: bool = True
) -> None:
    """An order that a bulk case holds and has reviewed."""
    an_order(session, prices=prices, postage_fen=1_000, paid=paid)
    open_case(session, BULK, flow="bulk-order")
    assert bulk.hold_all(session, BULK, ORDER, at=NOW)
    bulk.note_reviewed(session, BULK, ORDER, at=NOW)


# --- holding ---


def test_everything_that_is_left_to_ship_is_held_and_marked_do_not_ship(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, prices=((100, 1), (200, 1), (300, 1)), shipped=[1])
        assert bulk.hold_all(session, BULK, ORDER, at=NOW)
        assert held_lines(session) == [2, 3]
        assert shown_flag(session, ORDER) == "red"
        with pytest.raises(Held):
            outside.ship(session, ORDER, at=NOW)
        standing = bulk.standing(session, BULK, ORDER)
    assert (standing.held, standing.can_be_held, standing.all_shipped) == (True, True, False)


def test_nothing_is_held_where_all_has_left_or_the_trade_is_closed(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        add_order(session, "3300010000000000002", prices=((100, 1),), paid=False)
        outside.close(session, "3300010000000000002", at=NOW)
        assert not bulk.hold_all(session, BULK, ORDER, at=NOW)
        assert not bulk.hold_all(session, "bulk-order-3300010000000000002", "3300010000000000002", at=NOW)
        assert session.query(HoldRow).count() == 0
        assert shown_flag(session, ORDER) == "none"
        standing = bulk.standing(session, BULK, ORDER)
    assert (standing.held, standing.can_be_held, standing.all_shipped) == (False, False, True)
    assert standing.last_shipped_at is not None


def test_what_comes_back_during_the_review_is_held_with_the_rest_until_that_is_let_go(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, prices=((100, 1), (200, 1), (300, 1)), shipped=[1, 2])
        open_case(session, BULK, flow="bulk-order")
        assert bulk.hold_all(session, BULK, ORDER, at=NOW)
        # a refund of line 1 has its parcel stopped; line 2 was in it, and ships again
        refund = open_case(session)
        assert claims.claim_lines(session, refund, ORDER, pieces((1, 1))) is None
        back: dict[str, Any] = {"case_id": refund, "order_id": ORDER, "lines": pieces((1, 1)), "at": NOW}
        (parcel,) = orders.read_order(session, ORDER).parcels
        coming_back.mark_goods_back(session, key="back", waybill=parcel.waybill, **back)
        assert held_lines(session) == [2, 3]
        settling.restore_order(session, key="restore", **back)
        assert held_lines(session) == [1, 2, 3]
        assert held_lines(session, refund) == []
        with pytest.raises(Held):
            outside.ship(session, ORDER, lines=[1], at=NOW)
        assert bulk.let_ship(session, BULK, ORDER, at=NOW)
        outside.ship(session, ORDER, at=NOW)


def test_a_line_that_is_not_held_leaves_the_order_unheld(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session)
        row = session.query(HoldRow).filter_by(case_id=BULK, line=2).one()
        session.delete(row)
        session.flush()
        standing = bulk.standing(session, BULK, ORDER)
    assert (standing.held, standing.can_be_held) == (False, True)


def test_letting_it_ship_takes_hold_and_wish_away_and_another_case_keeps_its_own(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session)
        holds.hold_lines(session, "other", ORDER, pieces((1, 2)), handed_over_profile=False, at=NOW)
        assert bulk.let_ship(session, BULK, ORDER, at=NOW)
        assert held_lines(session) == []
        assert held_lines(session, "other") == [1]
        assert shown_flag(session, ORDER) == "green"


# --- what was reviewed ---


def change_address(session: Session) -> None:
    outside.set_address(session, ORDER, "山东省 青岛市 市南区 香港中路1号", at=NOW)


def change_quantity(session: Session) -> None:
    session.get_one(LineRow, (ORDER, 1)).quantity = 3


def change_item(session: Session) -> None:
    session.get_one(LineRow, (ORDER, 1)).sku = "SKU-9"


def change_price(session: Session) -> None:
    session.get_one(OrderRow, ORDER).paid_fen += 1


def refund_a_part(session: Session) -> None:
    outside.refunded(session, ORDER, [LineQuantity(line=1, quantity=1)], at=NOW)


def add_a_line(session: Session) -> None:
    session.add(LineRow(order_id=ORDER, number=3, price_fen=0, quantity=1, state="paid", sku="SKU-3"))


def change_receiver(session: Session) -> None:
    session.get_one(OrderRow, ORDER).receiver_name = "李雷"


@pytest.mark.parametrize(
    "change",
    [change_address, change_quantity, change_item, change_price, refund_a_part, add_a_line, change_receiver],
)
def test_items_quantity_address_and_price_make_an_order_differ_and_it_is_not_let_go(
    shop: Database, change: object
) -> None:
    with shop.writing() as session:
        reviewed(session)
        assert not bulk.standing(session, BULK, ORDER).differs
        assert callable(change)
        change(session)
        session.flush()
        assert bulk.standing(session, BULK, ORDER).differs
        assert not bulk.let_ship(session, BULK, ORDER, at=NOW)
        assert held_lines(session) == [1, 2]
        bulk.note_reviewed(session, BULK, ORDER, at=NOW)
        assert not bulk.standing(session, BULK, ORDER).differs


def test_a_memo_or_a_flag_is_no_change_of_what_was_reviewed(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session)
        flags.append_memo(session, ORDER, "工号 7", at=NOW, key="memo")
        flags.set_own_flag(session, ORDER, "blue", at=NOW)
        assert not bulk.standing(session, BULK, ORDER).differs


def test_where_nothing_was_reviewed_nothing_differs(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session)
        change_address(session)
        bulk.forget_review(session, BULK)
        assert not bulk.standing(session, BULK, ORDER).differs


def test_the_approved_price_is_no_change_and_any_other_is(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session, paid=False)
        approved = bulk.approve_price(session, BULK, ORDER, FIVE)
        assert approved == 24_750
        order = session.get_one(OrderRow, ORDER)
        order.total_fen = approved
        assert not bulk.standing(session, BULK, ORDER).differs
        order.total_fen = approved - 1
        assert bulk.standing(session, BULK, ORDER).differs


def test_once_it_is_let_go_only_the_price_that_it_then_has_is_the_reviewed_one(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session, paid=False)
        bulk.approve_price(session, BULK, ORDER, FIVE)
        bulk.change_price(session, BULK, ORDER, 24_750, at=NOW)
        assert bulk.let_ship(session, BULK, ORDER, at=NOW)
        session.get_one(OrderRow, ORDER).total_fen = 26_000
        assert bulk.standing(session, BULK, ORDER).differs


def test_the_fingerprint_says_nothing_of_the_address(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session)
        row = session.get_one(ReviewRow, BULK)
        assert len(row.fingerprint) == 64
        assert row.fingerprint.isascii()


# --- prices ---


def test_an_unpaid_orders_price_is_changed_and_a_second_discount_counts_from_the_list_price(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session, paid=False)
        bulk.approve_price(session, BULK, ORDER, FIVE)
        bulk.change_price(session, BULK, ORDER, 24_750, at=NOW)
        order = orders.read_order(session, ORDER)
        assert (order.total_fen, order.goods_fen, order.postage_fen) == (24_750, 23_750, 1_000)
        assert bulk.approve_price(session, BULK, ORDER, FIVE) == 24_750
        assert bulk.approve_price(session, BULK, ORDER, Decimal(10)) == 23_500
        assert pending(session) == []


def test_it_still_counts_from_the_list_price_once_it_is_paid_and_a_part_is_refunded(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session, prices=((10_000, 2),), paid=False)
        bulk.approve_price(session, BULK, ORDER, FIVE)
        bulk.change_price(session, BULK, ORDER, 20_000, at=NOW)
        order = session.get_one(OrderRow, ORDER)
        order.state, order.paid_fen, order.paid_at = "paid", 20_000, NOW
        session.get_one(LineRow, (ORDER, 1)).state = "paid"
        session.flush()
        assert bulk.approve_price(session, BULK, ORDER, FIVE) == 20_000
        outside.refunded(session, ORDER, [LineQuantity(line=1, quantity=1)], at=NOW)
        assert bulk.approve_price(session, BULK, ORDER, FIVE) == 9_500 + 1_000


def test_the_price_of_an_order_that_is_paid_or_changed_by_now_is_not_changed(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session)
        with pytest.raises(BadRequest, match="the order is paid by now"):
            bulk.change_price(session, BULK, ORDER, 24_750, at=NOW)
        order = session.get_one(OrderRow, ORDER)
        order.state, order.paid_fen = "unpaid", 0
        change_address(session)
        with pytest.raises(BadRequest, match="no longer what was reviewed"):
            bulk.change_price(session, BULK, ORDER, 24_750, at=NOW)
        assert order.total_fen == 26_000


def test_another_open_case_of_the_order_hears_of_a_changed_price(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session, paid=False)
        open_case(session, "gift-approval-1")
        bulk.approve_price(session, BULK, ORDER, FIVE)
        bulk.change_price(session, BULK, ORDER, 24_750, at=NOW)
        assert [(one.case_id, one.trigger) for one in pending(session)] == [("gift-approval-1", "order_changed")]


# --- rebates ---


def test_the_difference_to_the_approved_price_is_paid_by_line_and_refunds_no_pieces(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session)
        assert bulk.approve_price(session, BULK, ORDER, FIVE) == 24_750
        result = rebate(session, 24_750)
        assert (result.status, result.paid_fen) == ("paid", 1_250)
        entries = [(one.line, one.quantity, one.amount_fen) for one in payments.ledger(session, ORDER)]
        assert entries == [(1, 0, 1_000), (2, 0, 250)]
        order = orders.read_order(session, ORDER)
        assert [(line.paid_fen, line.left) for line in order.lines] == [(19_000, 2), (4_750, 1)]
        assert payments.audit(session) == []
        assert not bulk.standing(session, BULK, ORDER).differs


def test_a_rebate_is_paid_once_and_nothing_where_the_price_is_reached(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session)
        rebate(session, 24_750)
        again = rebate(session, 24_750)
        assert (again.status, again.paid_fen) == ("already_paid", 1_250)
        other_round = rebate(session, 24_750, key="rebate.2")
        assert (other_round.status, other_round.paid_fen) == ("already_paid", 1_250)
        assert sum(entry.amount_fen for entry in payments.ledger(session, ORDER)) == 1_250
        assert bulk.approve_price(session, BULK, ORDER, FIVE) == 24_750
        higher = bulk.approve_price(session, BULK, ORDER, Decimal(10))
        assert rebate(session, higher, key="rebate.3").paid_fen == 1_250


def test_what_is_refunded_after_a_rebate_is_what_was_paid_less_the_rebate(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session)
        rebate(session, 24_750)
        whole = RefundDue(lines=pieces((1, 2), (2, 1)))
        assert (
            sum(entry.amount_fen for entry in payments.amount_due(session, ORDER, whole, case_id=BULK, run_id="run"))
            == 24_750
        )
        one = RefundDue(lines=pieces((1, 1)))
        assert (
            sum(entry.amount_fen for entry in payments.amount_due(session, ORDER, one, case_id=BULK, run_id="run"))
            == 9_500
        )
        outside.refunded(session, ORDER, at=NOW)
        assert sum(entry.amount_fen for entry in payments.ledger(session, ORDER)) == 26_000
        assert payments.audit(session) == []
        assert bulk.standing(session, BULK, ORDER).gone


def test_no_rebate_is_due_of_an_order_that_is_unpaid_closed_or_cheaper_already(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session, paid=False)
        assert payments.amount_due(session, ORDER, RebateDue(price_fen=1), case_id=BULK, run_id="run") == []
        order = session.get_one(OrderRow, ORDER)
        order.state, order.paid_fen = "paid", 26_000
        assert payments.amount_due(session, ORDER, RebateDue(price_fen=26_001), case_id=BULK, run_id="run") == []
        order.state = "closed"
        assert payments.amount_due(session, ORDER, RebateDue(price_fen=1), case_id=BULK, run_id="run") == []


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    prices=st.lists(st.tuples(st.integers(0, 50_000), st.integers(1, 9)), min_size=1, max_size=4),
    percent=st.decimals(min_value=0, max_value=100, places=2),
    refunded=st.integers(0, 9),
)
def test_rebates_and_refunds_together_never_overdraw_an_account(
    shop: Database, prices: list[tuple[int, int]], percent: Decimal, refunded: int
) -> None:
    with shop.writing() as session:
        an_order(session, prices=prices, postage_fen=700)
        quantity = min(refunded, prices[0][1])
        if quantity and prices[0][0]:
            outside.refunded(session, ORDER, [LineQuantity(line=1, quantity=quantity)], at=NOW)
        if not bulk.standing(session, BULK, ORDER).gone:
            approved = bulk.approve_price(session, BULK, ORDER, percent)
            rebate(session, approved)
            assert bulk.standing(session, BULK, ORDER).price_fen == approved
            assert payments.audit(session) == []
            if approved:
                outside.refunded(session, ORDER, at=NOW)
            assert payments.audit(session) == []
            paid = sum(entry.amount_fen for entry in payments.ledger(session, ORDER))
            assert paid == orders.read_order(session, ORDER).paid_fen
        session.rollback()


# --- ending, and what the review is told ---


def test_an_unpaid_trade_is_closed_and_a_paid_one_is_left_to_a_refund(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session, paid=False)
        assert bulk.close_unpaid(session, BULK, ORDER, at=NOW)
        assert bulk.close_unpaid(session, BULK, ORDER, at=NOW)
        assert orders.read_order(session, ORDER).state == "closed"
        an_order(session, order_id="3300010000000000002")
        assert not bulk.close_unpaid(session, BULK, "3300010000000000002", at=NOW)
        assert orders.read_order(session, "3300010000000000002").state == "paid"


def test_the_red_flag_of_a_terminated_order_stays(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session)
        bulk.leave_red(session, BULK, at=NOW)
        releasing.release_case(session, BULK, flag_kept=None, at=NOW)
        assert held_lines(session) == []
        assert shown_flag(session, ORDER) == "red"


def test_what_another_refund_has_is_not_opened_again(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session)
        assert bulk.free_lines(session, BULK, ORDER) == (pieces((1, 2), (2, 1)), False)
        open_case(session, "refund-2")
        claims.claim_lines(session, "refund-2", ORDER, pieces((2, 1)))
        assert bulk.free_lines(session, BULK, ORDER) == (pieces((1, 2)), True)


def test_what_it_handed_over_to_a_refund_that_has_not_opened_is_still_its_own(shop: Database) -> None:
    with shop.writing() as session:
        reviewed(session)
        both = pieces((1, 2), (2, 1))
        handing_over.hand_over(
            session,
            from_case=BULK,
            run_id="run-1",
            to_case="refund-2",
            order_id=ORDER,
            lines=both,
            involved=[],
            claiming=True,
        )
        assert bulk.free_lines(session, BULK, ORDER) == (both, False)
        open_case(session, "refund-2")
        handing_over.taken_over(session, "refund-2")
        assert bulk.free_lines(session, BULK, ORDER) == ([], True)


def a_chat(session: Session, chat_id: str, order_id: str, *texts: str, registered_on: date | None = None) -> None:
    said = [{"at": NOW.isoformat(), "from": "buyer", "text": text} for text in texts]
    session.add(ChatRow(id=chat_id, order_id=order_id, buyer_registered_on=registered_on, messages=said))
    session.flush()


def test_the_buyers_record_is_what_the_shop_keeps_of_chats_and_earlier_orders(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        record = bulk.gather_record(session, ORDER, None, WORDS)
        assert (record.registered_on, record.purchases, record.talk, record.pieces) == (None, None, [], 3)
        add_order(session, "3300010000000000002", prices=((100, 1),))
        add_order(session, "3300010000000000003", prices=((100, 1),), paid=False)
        for order_id in (ORDER, "3300010000000000002", "3300010000000000003"):
            row = session.get_one(OrderRow, order_id)
            row.buyer_nick = "bulk buyer"
            row.created_at = NOW - timedelta(days=1 if order_id == ORDER else 9)
        a_chat(session, "chat-1", ORDER, "商标授权书也发我", registered_on=date(2026, 11, 14))
        a_chat(session, "chat-2", ORDER, "面料成分检测报告发我")
        record = bulk.gather_record(session, ORDER, None, WORDS)
        assert (record.registered_on, record.purchases) == (date(2026, 11, 14), 1)
        assert record.talk == [Sign.MATERIAL_TALK, Sign.BRAND_LICENCE_TALK]
        assert bulk.gather_record(session, ORDER, "chat-2", WORDS).talk == [Sign.MATERIAL_TALK]


def test_what_the_agent_says_is_no_sign(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        said = [{"at": NOW.isoformat(), "from": "agent", "text": "您要检测报告吗"}]
        session.add(ChatRow(id="chat-1", order_id=ORDER, buyer_registered_on=None, messages=said))
        session.flush()
        assert bulk.gather_record(session, ORDER, None, WORDS).talk == []


def test_a_conversation_must_be_kept_in_the_shop_and_be_of_the_order(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        add_order(session, "3300010000000000002", prices=((100, 1),))
        a_chat(session, "chat-2", "3300010000000000002", "hello")
        with pytest.raises(BadRequest, match="keeps no conversation chat-1"):
            bulk.require_chat(session, ORDER, "chat-1")
        with pytest.raises(BadRequest, match="is about another order"):
            bulk.require_chat(session, ORDER, "chat-2")
        bulk.require_chat(session, "3300010000000000002", "chat-2")


def test_a_piece_that_came_back_during_the_review_ships_only_after_it(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, prices=((100, 2), (200, 1)), shipped=[1])
        (parcel,) = session.scalars(select(ShipmentRow).where(ShipmentRow.order_id == ORDER))
        session.get_one(ShipmentLineRow, (parcel.id, 1)).quantity = 1
        other = ShipmentRow(order_id=ORDER, waybill="YTOTHER", company="圆通速递", shipped_at=NOW)
        session.add(other)
        session.flush()
        session.add(ShipmentLineRow(shipment_id=other.id, line=1, quantity=1))
        open_case(session, BULK, flow="bulk-order")
        assert bulk.hold_all(session, BULK, ORDER, at=NOW)
        case = open_case(session, "problem-parcel-YTOTHER", flow="problem-parcel")
        back: dict[str, Any] = {"case_id": case, "order_id": ORDER, "lines": pieces((1, 1)), "at": NOW}
        coming_back.mark_goods_back(session, key="back", waybill="YTOTHER", **back)
        settling.restore_order(session, key="restore", **back)
        (task,) = outbox.letters(session)
    assert task.template == "ship_again_after_review"
    assert f"not before case {BULK}" in task.text_en
