"""Promises of gifts and free shipping: the month's budget, the memo, the stock, and what was granted."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from casework.dues import PostageDue
from casework.money import LineQuantity
from casework.shop import bulk, gifts, outside, payments, platform, records
from casework.shop.amounts import POSTAGE as POSTAGE_LINE
from casework.shop.amounts import LedgerLine, accounts
from casework.shop.database import Database
from casework.shop.errors import BadRequest
from casework.shop.gifts import Budget, GiftKind, Present
from casework.shop.releasing import release_case
from casework.shop.tables import GiftPromiseRow, GiftRow, OrderRow
from tests.shop.steps import NOW, ORDER, an_order, memo_history

CASE, OTHER = f"gift-approval-{ORDER}-gift", f"gift-approval-{ORDER}-free-shipping"
TOWELS = Present("gift", "GP-TW02", 2, 1_800)
POSTAGE = Present("free_shipping", None, 1, 1_000)
BUDGET = Budget(500_000, "Asia/Shanghai")


def catalogue(session: Session, stock: int = 5) -> None:
    session.add(GiftRow(sku="GP-TW02", name="毛巾", cost_fen=900, value_fen=1_500, stock=stock, imported_stock=stock))
    session.flush()


def gift_case(session: Session, case_id: str = CASE, order_id: str = ORDER) -> str:
    records.open_record(
        session,
        case_id=case_id,
        run_id="run",
        flow="gift-approval",
        order_id=order_id,
        opened_by="presale.1",
        opened_at=NOW,
    )
    return case_id


def promise(session: Session, present: Present = TOWELS, **options: Any) -> gifts.Promised:
    given: dict[str, Any] = {
        "key": "promise",
        "case_id": CASE if present.kind == "gift" else OTHER,
        "order_id": ORDER,
        "budget": BUDGET,
        "over_budget": False,
        "memo": "[赠品]",
        "at": NOW,
        **options,
    }
    return gifts.promise(session, present, **given)


def put(session: Session, present: Present = TOWELS, **options: Any) -> None:
    given: dict[str, Any] = {
        "key": "put",
        "case_id": CASE if present.kind == "gift" else OTHER,
        "order_id": ORDER,
        "paid": True,
        "memo": "[已加]",
        "at": NOW,
        **options,
    }
    gifts.put_on_order(session, present, **given)


def stand(session: Session, kind: GiftKind = "gift", *, at: datetime = NOW, budget: Budget = BUDGET) -> Any:
    return gifts.standing(session, ORDER, kind, budget=budget, at=at)


@pytest.fixture
def sold(shop: Database) -> Database:
    """A paid order of 250.00 with 10.00 of postage, and towels in the catalogue."""
    with shop.writing() as session:
        an_order(session, postage_fen=1_000)
        catalogue(session)
    return shop


def test_a_promise_writes_the_memo_and_keeps_its_cost_from_the_budget(sold: Database) -> None:
    with sold.writing() as session:
        result = promise(session)
        assert result.promised
        assert result.standing.budget_left_fen == 500_000
        assert memo_history(session, ORDER) == [(NOW, "[赠品]")]
        # what is left for another order
        an_order(session, order_id="3300010000000000002")
        other = gifts.standing(session, "3300010000000000002", "gift", budget=BUDGET, at=NOW)
        assert other.budget_left_fen == 500_000 - 1_800


def test_the_same_promise_again_changes_nothing_and_gives_the_same_answer(sold: Database) -> None:
    with sold.writing() as session:
        assert promise(session).promised
    with sold.writing() as session:
        # the answer was lost, and the budget is used up meanwhile
        assert promise(session, budget=Budget(0, "Asia/Shanghai")).promised
        assert len(memo_history(session, ORDER)) == 1
        assert session.query(GiftPromiseRow).count() == 1


def test_beyond_the_budget_nothing_is_promised_and_no_memo_written_unless_finance_approved(sold: Database) -> None:
    short = Budget(1_799, "Asia/Shanghai")
    with sold.writing() as session:
        assert not promise(session, budget=short).promised
        assert memo_history(session, ORDER) == []
        assert session.query(GiftPromiseRow).count() == 0
        assert promise(session, budget=short, over_budget=True).promised
        assert stand(session, budget=short).budget_left_fen == 1_799


def test_the_last_of_the_budget_may_be_promised(sold: Database) -> None:
    with sold.writing() as session:
        assert promise(session, budget=Budget(1_800, "Asia/Shanghai")).promised


def test_free_shipping_is_kept_from_the_same_budget(sold: Database) -> None:
    with sold.writing() as session:
        assert promise(session, budget=Budget(2_799, "Asia/Shanghai")).promised
        assert not promise(session, POSTAGE, budget=Budget(2_799, "Asia/Shanghai")).promised
        assert promise(session, POSTAGE, budget=Budget(2_800, "Asia/Shanghai")).promised


def test_each_calendar_month_has_its_own_budget(sold: Database) -> None:
    midnight = datetime.fromisoformat("2026-12-01T00:00:00+08:00")
    with sold.writing() as session:
        promise(session, at=midnight - timedelta(seconds=1))
        assert stand(session, "free_shipping", at=midnight - timedelta(seconds=1)).budget_left_fen == 498_200
        assert stand(session, "free_shipping", at=midnight).budget_left_fen == 500_000


def test_every_ending_but_granted_lets_the_budget_go(sold: Database) -> None:
    with sold.writing() as session:
        promise(session)
        release_case(session, gift_case(session), flag_kept=None, at=NOW)
        assert session.query(GiftPromiseRow).count() == 0
        promise(session, key="again")
        put(session)
        release_case(session, CASE, flag_kept=None, at=NOW)
        assert stand(session, "free_shipping").budget_left_fen == 498_200


def test_what_is_taken_back_is_left_of_the_budget_again_and_the_memo_says_so(sold: Database) -> None:
    with sold.writing() as session:
        assert not gifts.withdraw(session, key="no", case_id=CASE, order_id=ORDER, memo="[作废]", at=NOW)
        promise(session)
        assert gifts.withdraw(session, key="yes", case_id=CASE, order_id=ORDER, memo="[作废]", at=NOW)
        assert [text for _, text in memo_history(session, ORDER)] == ["[赠品]", "[作废]"]
        assert stand(session, "free_shipping").budget_left_fen == 500_000


def test_what_is_granted_is_not_taken_back(sold: Database) -> None:
    with sold.writing() as session:
        promise(session)
        put(session)
        assert not gifts.withdraw(session, key="late", case_id=CASE, order_id=ORDER, memo="[作废]", at=NOW)
        assert len(gifts.granted_gifts(session, ORDER)) == 1


def test_a_granted_gift_is_on_the_order_with_what_it_is_worth_and_out_of_stock(sold: Database) -> None:
    with sold.writing() as session:
        promise(session)
        assert gifts.granted_gifts(session, ORDER) == []
        put(session)
        put(session)
        (granted,) = gifts.granted_gifts(session, ORDER)
        assert (granted.sku, granted.quantity, granted.value_fen, granted.case_id) == ("GP-TW02", 2, 3_000, CASE)
        assert session.get_one(GiftRow, "GP-TW02").stock == 3
        assert [text for _, text in memo_history(session, ORDER)] == ["[赠品]", "[已加]"]
        assert stand(session).granted_by == CASE


def test_more_pieces_than_are_in_stock_are_not_put_on_the_order(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        catalogue(session, stock=1)
        promise(session)
        with pytest.raises(BadRequest, match="quantity: 2 pieces are to be added, 1 are in stock"):
            put(session)
        assert gifts.granted_gifts(session, ORDER) == []
        assert session.get_one(GiftRow, "GP-TW02").stock == 1


def test_what_was_never_promised_is_not_put_on_the_order(sold: Database) -> None:
    with sold.writing() as session, pytest.raises(BadRequest, match="nothing is promised"):
        put(session)


def test_free_shipping_lowers_the_postage_of_an_order_that_is_not_paid(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, postage_fen=1_000, paid=False)
        promise(session, POSTAGE)
        put(session, POSTAGE, paid=False)
        order = session.get_one(OrderRow, ORDER)
        assert (order.postage_fen, order.total_fen) == (0, 25_000)
        assert stand(session, "free_shipping").granted_by == OTHER
        assert gifts.granted_gifts(session, ORDER) == []


def test_free_shipping_of_a_paid_order_is_granted_only_when_it_is_credited(sold: Database) -> None:
    with sold.writing() as session:
        promise(session, POSTAGE)
        put(session, POSTAGE)
        assert not stand(session, "free_shipping").granted
        gifts.grant_credited(session, key="grant", case_id=OTHER, order_id=ORDER, memo="[已退]", at=NOW)
        assert stand(session, "free_shipping").granted_by == OTHER
        assert session.get_one(OrderRow, ORDER).postage_fen == 1_000


def test_an_order_that_was_paid_in_the_moment_of_adding_is_looked_at_again(sold: Database) -> None:
    with sold.writing() as session:
        promise(session, POSTAGE)
        with pytest.raises(BadRequest, match="was paid just now"):
            put(session, POSTAGE, paid=False)
        assert session.get_one(OrderRow, ORDER).postage_fen == 1_000


def test_postage_that_is_waived_is_no_part_of_the_list_price_that_a_bulk_discount_is_on(shop: Database) -> None:
    """The auditor had lowered the price by 5 % before; the order was changed since, and is judged again."""
    with shop.writing() as session:
        an_order(session, prices=((100_000, 1),), postage_fen=1_000, paid=False)
        bulk.change_price(session, "bulk", ORDER, 96_000, at=NOW)
        promise(session, POSTAGE)
        put(session, POSTAGE, paid=False)
        order = session.get_one(OrderRow, ORDER)
        assert (order.total_fen, order.postage_fen, order.list_fen) == (95_000, 0, 100_000)
        assert bulk.approve_price(session, "bulk", ORDER, Decimal(5)) == 95_000


def test_an_order_without_postage_has_nothing_to_waive(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        found = stand(session, "free_shipping")
        assert (found.granted, found.granted_by) == (True, None)
        assert not stand(session).granted


def test_an_order_of_which_something_is_left_to_leave_has_not_shipped(sold: Database) -> None:
    with sold.writing() as session:
        outside.ship(session, ORDER, lines=[1], at=NOW)
        assert not stand(session).shipped
        outside.ship(session, ORDER, at=NOW)
        assert (stand(session).shipped, stand(session).gone) == (True, False)
        assert not promise(session).promised


def test_what_is_refunded_counts_neither_as_left_to_leave_nor_as_left_at_all(sold: Database) -> None:
    with sold.writing() as session:
        outside.ship(session, ORDER, lines=[1], at=NOW)
        outside.refunded(session, ORDER, [LineQuantity(line=2, quantity=1)], at=NOW)
        assert stand(session).shipped
        outside.refunded(session, ORDER, at=NOW)
        assert (stand(session).gone, stand(session).shipped) == (True, False)


@pytest.mark.parametrize("happens", ["close", "ship"])
def test_nothing_is_put_on_an_order_that_is_closed_or_has_shipped(sold: Database, happens: str) -> None:
    with sold.writing() as session:
        promise(session)
        getattr(outside, happens)(session, ORDER, at=NOW)
        with pytest.raises(BadRequest, match=r"is closed|has shipped without it"):
            put(session)
        assert session.get_one(GiftRow, "GP-TW02").stock == 5


def test_the_rule_counts_the_order_without_its_postage(sold: Database) -> None:
    with sold.reading() as session:
        assert stand(session).goods_total_fen == 25_000


def test_a_gift_that_the_catalogue_has_not_has_no_cost(sold: Database) -> None:
    with sold.reading() as session:
        assert gifts.cost_in_catalogue(session, "GP-TW02", 3) == 2_700
        with pytest.raises(BadRequest, match="gift_sku: the catalogue has no such gift"):
            gifts.cost_in_catalogue(session, "GP-NO", 1)


# --- the postage of a paid order, credited ---


def credit(session: Session, fen: int, *, at_most: int = 1_000, key: str = "credit") -> payments.PayResult:
    return payments.pay(
        session,
        key=key,
        case_id=OTHER,
        run_id="run",
        order_id=ORDER,
        what=PostageDue(at_most_fen=at_most),
        amount_fen=fen,
        at=NOW,
    )


def test_postage_is_credited_once_and_is_postage_in_the_ledger(sold: Database) -> None:
    with sold.writing() as session:
        promise(session, POSTAGE)
        assert credit(session, 1_000).status == "paid"
        assert credit(session, 1_000).status == "already_paid"
        assert credit(session, 1_000, key="another").status == "already_paid"
        (entry,) = payments.ledger(session, ORDER)
        assert (entry.line, entry.amount_fen, entry.case_id) == (POSTAGE_LINE, 1_000, OTHER)
        assert payments.audit(session) == []


def test_no_more_is_credited_than_was_decided_on_or_than_is_left(sold: Database) -> None:
    with sold.writing() as session:
        promise(session, POSTAGE)
        result = credit(session, 1_000, at_most=400)
        assert (result.status, result.due_fen) == ("changed", 400)
        assert credit(session, 400, at_most=400).status == "paid"
        assert credit(session, 1_000, key="rest").due_fen == 600


def test_nothing_is_credited_of_an_order_that_is_unpaid_or_closed(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, postage_fen=1_000, paid=False)
        promise(session, POSTAGE)
        assert (credit(session, 1_000).status, credit(session, 1_000).paid_fen) == ("already_paid", 0)


def test_what_the_platform_paid_since_the_promise_without_naming_a_line_is_taken_for_the_postage(
    sold: Database,
) -> None:
    with sold.writing() as session:
        order = session.get_one(OrderRow, ORDER)
        # before the promise: it counts against the order as a whole
        platform.enter(session, order, [LedgerLine(None, 0, 300)], at=NOW)
        promise(session, POSTAGE)
        assert credit(session, 1, at_most=1_000).due_fen == 1_000
        platform.enter(session, order, [LedgerLine(None, 0, 400)], at=NOW)
        assert credit(session, 1_000).due_fen == 600
        assert credit(session, 600).status == "paid"
        # it is attributed, so that it lessens no other payment as well
        assert accounts(session, ORDER).fen[POSTAGE_LINE] == 1_000
        assert accounts(session, ORDER).loose_fen == 300
        assert payments.audit(session) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(costs=st.lists(st.integers(0, 400), min_size=1, max_size=8), budget=st.integers(0, 1_000))
def test_no_more_is_ever_promised_than_the_month_holds(shop: Database, costs: list[int], budget: int) -> None:
    with shop.writing() as session:
        promised: list[int] = []
        for place, cost in enumerate(costs):
            order_id = an_order(session, order_id=f"33000100000000001{place:02d}")
            result = promise(
                session,
                Present("free_shipping", None, 1, cost),
                key=order_id,
                case_id=order_id,
                order_id=order_id,
                budget=Budget(budget, "Asia/Shanghai"),
            )
            assert result.promised == (sum(promised) + cost <= budget)
            promised += [cost] if result.promised else []
        session.rollback()


def test_of_two_approvals_that_race_for_the_last_of_the_budget_exactly_one_wins(shop: Database) -> None:
    """Many promises at once, each in a thread of its own, of a budget that holds three of them."""
    threads, holds = 8, 3
    orders = [f"33000100000000001{place:02d}" for place in range(threads)]
    with shop.writing() as session:
        catalogue(session)
        for order_id in orders:
            an_order(session, order_id=order_id)
    start = threading.Barrier(threads)
    promised: list[str] = []

    def approve(order_id: str) -> None:
        start.wait()
        with shop.writing() as session:
            result = gifts.promise(
                session,
                TOWELS,
                key=order_id,
                case_id=f"gift-approval-{order_id}-gift",
                order_id=order_id,
                budget=Budget(holds * TOWELS.cost_fen + 1, "Asia/Shanghai"),
                over_budget=False,
                memo="[赠品]",
                at=NOW,
            )
        if result.promised:
            promised.append(order_id)

    racing = [threading.Thread(target=approve, args=(order_id,)) for order_id in orders]
    for thread in racing:
        thread.start()
    for thread in racing:
        thread.join()
    assert len(promised) == holds
    with shop.reading() as session:
        kept = {row.order_id: row.cost_fen for row in session.query(GiftPromiseRow)}
        assert kept == dict.fromkeys(promised, TOWELS.cost_fen)
        for order_id in orders:
            assert bool(memo_history(session, order_id)) == (order_id in promised)
