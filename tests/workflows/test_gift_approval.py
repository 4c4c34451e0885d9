"""Gifts and free shipping on the real server: what is on the order afterwards, what is credited, what is refused."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from casework.case import CaseView
from casework.client import BadInput, CaseOpen, CaseworkClient
from casework.money import LineQuantity
from casework.rules.gifts import budget_month
from casework.shop import gifts, outside, payments
from casework.shop.amounts import POSTAGE
from casework.shop.platform import reconcile
from casework.shop.tables import GiftPromiseRow, GiftRow, OrderRow, OutboxRow
from tests.desk import FLOW as REFUND
from tests.desk import Desk, Handle
from tests.shop.steps import memo_history

FLOW = "gift-approval"
AGENT, OTHER_AGENT, LEAD, OTHER_LEAD = "presale.1", "presale.3", "presale-lead.1", "presale-lead.2"
FINANCE, AUDITOR, CLERK = "finance.1", "audit.1", "refund.1"
RICH, POOR = 100_000, 10_000
"""Orders, in fen, that may have a gift of 50.00 and free shipping by the rule, and that may have neither."""
PLENTY = 10**12


def case_of(order: str, kind: str) -> str:
    return f"{FLOW}-{order}-{kind.replace('_', '-')}"


def new_order(desk: Desk, fen: int, postage_fen: int = 0, *, paid: bool = True) -> str:
    """An order whose cases do not meet the budget that all tests of the month share."""
    order = desk.order(prices=[(fen, 1)], postage_fen=postage_fen, paid=paid)
    desk.gates.budgets[order] = PLENTY
    return order


async def open_gift(desk: Desk, order: str, *, sku: str = "GP-1", cost: int = 1_000, **fields: Any) -> Handle:
    """A case about one piece of a gift that costs so much."""
    if "quantity" not in fields:
        desk.gift(sku, cost)
    start = {"order_id": order, "by": AGENT, "kind": "gift", "gift_sku": sku, "quantity": 1, "cost_fen": cost, **fields}
    return await desk.open_case(FLOW, case_of(order, "gift"), start)


async def open_free_shipping(desk: Desk, order: str, postage_fen: int = 800, **fields: Any) -> Handle:
    start = {"order_id": order, "by": AGENT, "kind": "free_shipping", "cost_fen": postage_fen, **fields}
    return await desk.open_case(FLOW, case_of(order, "free_shipping"), start)


def memo(desk: Desk, order: str) -> str:
    with desk.database.reading() as session:
        return " ".join(text for _, text in memo_history(session, order))


def told(desk: Desk, case: Handle, to: str = "buyer") -> dict[str, str]:
    with desk.database.reading() as session:
        rows = session.query(OutboxRow).filter_by(case_id=case.id, to=to)
        return {row.template: row.text_en for row in rows}


def postage_back(desk: Desk, order: str) -> int:
    with desk.database.reading() as session:
        return sum(entry.amount_fen for entry in payments.ledger(session, order) if entry.line == POSTAGE)


def promised(desk: Desk, order: str) -> int:
    with desk.database.reading() as session:
        return session.query(GiftPromiseRow).filter_by(order_id=order).count()


async def refusal(asking: Any) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await asking
    assert isinstance(refused.value.cause, ApplicationError)
    return refused.value.cause.message


async def finished(desk: Desk, case: Handle) -> CaseView:
    view = await desk.end(case)
    desk.require_whole(view)
    return view


# --- what is on the order afterwards ---


async def test_a_gift_by_the_rule_is_noted_put_on_the_order_and_told(desk: Desk) -> None:
    order = new_order(desk, RICH)
    desk.gift("GP-stock", 2_500, stock=5)
    case = await open_gift(desk, order, sku="GP-stock", cost=5_000, quantity=2)
    view = await desk.until(case, "awaiting_audit")
    assert (view.amount_fen, [line.trigger for line in view.trail]) == (5_000, ["check", "write_memo"])
    assert "赠品 GP-stock × 2,待审单加入" in memo(desk, order)
    assert "add gift GP-stock × 2" in told(desk, case, "staff")["gift.add_to_order"]
    await desk.submit(case, "add_gift", AUDITOR)
    assert (await finished(desk, case)).outcome == "granted"
    assert "赠品 GP-stock × 2,已加入订单" in memo(desk, order)
    assert told(desk, case)["gift.granted"] == f"Your gift GP-stock × 2 for order {order} is granted."
    with desk.database.reading() as session:
        (granted,) = gifts.granted_gifts(session, order)
        assert (granted.sku, granted.quantity, granted.value_fen) == ("GP-stock", 2, 10_000)
        assert session.get_one(GiftRow, "GP-stock").stock == 3


async def test_free_shipping_of_a_paid_order_is_credited_once_and_not_refunded_again(desk: Desk) -> None:
    order = new_order(desk, RICH, 800)
    case = await open_free_shipping(desk, order)
    await desk.until(case, "awaiting_audit")
    await desk.submit(case, "add_gift", AUDITOR)
    assert (await finished(desk, case)).outcome == "granted"
    assert "8.00 yuan of postage have been returned" in told(desk, case)["gift.granted"]
    assert postage_back(desk, order) == 800
    # the whole order is refunded later: the postage has gone back already
    refund = await desk.open_in("persuading", order, reason="bought twice")
    await desk.submit(refund, "buyer_insists", "aftersale.1")
    await desk.until(refund, "awaiting_supervisor")
    await desk.submit(refund, "approve", "aftersale-lead.5")
    view = await finished(desk, refund)
    assert (view.outcome, view.amount_fen) == ("refunded", RICH)
    assert postage_back(desk, order) == 800


async def test_free_shipping_of_an_unpaid_order_lowers_its_postage_and_pays_nothing(desk: Desk) -> None:
    order = new_order(desk, RICH, 800, paid=False)
    case = await open_free_shipping(desk, order)
    await desk.until(case, "awaiting_audit")
    await desk.submit(case, "add_gift", AUDITOR)
    assert (await finished(desk, case)).outcome == "granted"
    assert "returned" not in told(desk, case)["gift.granted"]
    with desk.database.reading() as session:
        row = session.get_one(OrderRow, order)
        assert (row.postage_fen, row.total_fen) == (0, RICH)


async def test_an_order_that_is_paid_while_it_waits_for_the_audit_has_its_postage_credited(desk: Desk) -> None:
    order = new_order(desk, RICH, 800, paid=False)
    case = await open_free_shipping(desk, order)
    await desk.until(case, "awaiting_audit")
    with desk.database.writing() as session:
        row = session.get_one(OrderRow, order)
        row.state, row.paid_fen, row.paid_at = "paid", row.total_fen, datetime.now(UTC)
    await desk.submit(case, "add_gift", AUDITOR)
    assert (await finished(desk, case)).outcome == "granted"
    assert postage_back(desk, order) == 800


async def test_a_second_gift_of_a_kind_is_not_applicable_and_names_the_case_that_granted_the_first(desk: Desk) -> None:
    order = new_order(desk, RICH)
    first = await open_gift(desk, order)
    await desk.until(first, "awaiting_audit")
    await desk.submit(first, "add_gift", AUDITOR)
    await desk.end(first)
    view = await finished(desk, await open_gift(desk, order, sku="GP-2"))
    assert view.outcome == "not_applicable"
    assert view.trail[-1].why == f"it was granted already, by {first.id}"
    assert "There is no way to add gift GP-2 × 1" in told(desk, first)["gift.not_applicable"]
    with desk.database.reading() as session:
        assert len(gifts.granted_gifts(session, order)) == 1


async def test_an_order_without_postage_has_no_free_shipping_to_grant(desk: Desk) -> None:
    view = await finished(desk, await open_free_shipping(desk, new_order(desk, RICH), 0))
    assert (view.outcome, view.trail[-1].why) == ("not_applicable", "the order has no postage to waive")


# --- both flows ---


async def test_a_refund_of_the_whole_order_revokes_the_open_gift_case(desk: Desk) -> None:
    order = new_order(desk, RICH)
    gift = await open_gift(desk, order)
    await desk.until(gift, "awaiting_audit")
    refund = await desk.open_in("persuading", order, reason="bought twice")
    await desk.submit(refund, "buyer_insists", "aftersale.1")
    await desk.until(refund, "awaiting_supervisor")
    await desk.submit(refund, "approve", "aftersale-lead.5")
    assert (await finished(desk, refund)).outcome == "refunded"
    await CaseworkClient(desk.client, desk.database).tell_notices()
    view = await finished(desk, gift)
    assert (view.outcome, view.trail[-1].trigger, view.trail[-1].by) == ("revoked", "order_gone", "system")
    assert promised(desk, order) == 0
    assert "赠品 GP-1 × 1,作废" in memo(desk, order)
    assert f"Order {order} is closed" in told(desk, gift)["gift.revoked"]


async def test_a_refund_of_a_part_of_the_order_leaves_the_gift_case_alone(desk: Desk) -> None:
    order = desk.order(prices=[(RICH, 1), (5_000, 1)])
    desk.gates.budgets[order] = PLENTY
    gift = await open_gift(desk, order)
    await desk.until(gift, "awaiting_audit")
    lines = [{"line": 2, "quantity": 1}]
    refund = await desk.open_in("persuading", order, case_id=f"{REFUND}-{order}-2", lines=lines, reason="bought twice")
    await desk.submit(refund, "buyer_insists", "aftersale.1")
    assert (await finished(desk, refund)).outcome == "refunded"
    await CaseworkClient(desk.client, desk.database).tell_notices()
    view = await desk.view(gift)
    assert view.state == "awaiting_audit"
    assert [line.trigger for line in view.trail if not line.accepted] == []
    await desk.submit(gift, "add_gift", AUDITOR)
    assert (await finished(desk, gift)).outcome == "granted"


async def credit_that_failed(desk: Desk) -> tuple[str, Handle]:
    """An order with postage, and the case that could not pay that back."""
    order = new_order(desk, RICH, 800)
    desk.fail("payment", order, "always")
    case = await open_free_shipping(desk, order)
    await desk.until(case, "awaiting_audit")
    await desk.submit(case, "add_gift", AUDITOR)
    await desk.until(case, "repairing_payment")
    return order, case


async def test_a_refund_of_the_whole_order_ends_the_repair_of_a_credit_that_is_no_longer_due(desk: Desk) -> None:
    order, case = await credit_that_failed(desk)
    desk.platform_refunds_order(order)
    await desk.signal(case, "order_gone", "system")
    view = await finished(desk, case)
    assert view.outcome == "revoked"
    assert promised(desk, order) == 0


async def test_a_refund_of_goods_that_had_shipped_leaves_the_credit_of_the_postage_due(desk: Desk) -> None:
    order, case = await credit_that_failed(desk)
    desk.ship_without_telling(order)
    desk.platform_refunds_line(order, 1)  # goods that have shipped go back without the postage
    await desk.signal(case, "order_gone", "system")
    await desk.heard(case, "order_gone")
    desk.fail("payment", order, "never")
    await desk.submit(case, "retry_payment", "refund.1")
    view = await desk.end(case)
    assert (view.outcome, postage_back(desk, order)) == ("granted", 800)


async def test_a_trade_that_is_closed_without_a_word_of_its_postage_ends_the_repair_of_its_credit(desk: Desk) -> None:
    order, case = await credit_that_failed(desk)
    with desk.database.writing() as session:
        row = session.get_one(OrderRow, order)
        row.state, row.platform_refund_fen = "closed", RICH
        reconcile(session, row, at=datetime.now(UTC))
    await desk.signal(case, "order_gone", "system")
    assert ((await desk.end(case)).outcome, postage_back(desk, order)) == ("revoked", 0)


# --- the budget ---


async def test_of_two_approvals_for_the_last_of_the_budget_one_wins_and_the_other_goes_to_finance(desk: Desk) -> None:
    orders = [new_order(desk, POOR), new_order(desk, POOR)]
    cases = [await open_gift(desk, order, cost=3_000, sku="GP-3") for order in orders]
    month = budget_month(datetime.now(UTC), "Asia/Shanghai")
    with desk.database.reading() as session:
        used = session.scalar(select(func.sum(GiftPromiseRow.cost_fen)).where(GiftPromiseRow.month == month)) or 0
    for order in orders:
        desk.gates.budgets[order] = int(used) + 3_000 + 2_999
    for case in cases:
        await desk.until(case, "negotiating")
        await desk.submit(case, "buyer_insists", AGENT)
    await asyncio.gather(*(desk.submit(case, "approve", LEAD) for case in cases))
    views = [await desk.until(case, "awaiting_audit", "awaiting_finance") for case in cases]
    assert sorted(view.state for view in views) == ["awaiting_audit", "awaiting_finance"]
    (loser,) = [case for case, view in zip(cases, views, strict=True) if view.state == "awaiting_finance"]
    last = (await desk.view(loser)).trail[-1]
    # the budget was used up before this one was asked about, or between that and the promise
    assert last.trigger == "approve" or "29.99 are left of the month's budget, 30.00 are wanted" in str(last.why)
    assert sum(promised(desk, order) for order in orders) == 1
    assert [bool(memo(desk, order)) for order in orders].count(True) == 1
    # finance may let it go beyond the budget
    await desk.submit(loser, "approve", FINANCE)
    await desk.until(loser, "awaiting_audit")
    assert sum(promised(desk, order) for order in orders) == 2
    for case in cases:
        await case.cancel()
        assert (await finished(desk, case)).outcome == "cancelled"
    assert sum(promised(desk, order) for order in orders) == 0


async def test_a_supervisor_cannot_approve_what_the_months_budget_does_not_hold(desk: Desk) -> None:
    order = new_order(desk, POOR)
    case = await open_gift(desk, order)
    await desk.until(case, "negotiating")
    await desk.submit(case, "buyer_insists", AGENT)
    desk.gates.budgets[order] = 0
    assert (await desk.submit(case, "approve", LEAD)).state == "awaiting_finance"
    await desk.submit(case, "reject", FINANCE, note="not this month")
    await desk.submit(case, "buyer_leaves", AGENT)
    assert (await finished(desk, case)).outcome == "sale_lost"


# --- the buyer presses, the stock is out ---


async def test_another_gift_that_meets_the_rule_needs_nobodys_approval(desk: Desk) -> None:
    order = new_order(desk, RICH)
    desk.gift("GP-cheap", 600)
    case = await open_gift(desk, order, sku="GP-dear", cost=5_001)
    await desk.until(case, "negotiating")
    await desk.submit(case, "buyer_insists", AGENT, gift_sku="GP-cheap", quantity=3)
    view = await desk.until(case, "awaiting_audit")
    assert view.amount_fen == 1_800
    await desk.submit(case, "add_gift", AUDITOR)
    await finished(desk, case)
    with desk.database.reading() as session:
        assert [(one.sku, one.quantity) for one in gifts.granted_gifts(session, order)] == [("GP-cheap", 3)]


async def test_another_gift_that_does_not_meet_the_rule_is_what_the_supervisor_decides_on(desk: Desk) -> None:
    order = new_order(desk, POOR)
    desk.gift("GP-cheap", 600)
    case = await open_gift(desk, order, sku="GP-dear", cost=5_001)
    await desk.until(case, "negotiating")
    view = await desk.submit(case, "buyer_insists", AGENT, gift_sku="GP-cheap", quantity=1)
    assert (view.state, view.amount_fen) == ("awaiting_supervisor", 600)
    # over the limit by the first gift's cost, within it by this one's
    assert (await desk.submit(case, "approve", LEAD)).state in ("writing_memo", "awaiting_audit")
    await case.cancel()
    await finished(desk, case)


async def test_a_gift_that_the_catalogue_has_not_is_refused_and_the_case_stays(desk: Desk) -> None:
    case = await open_gift(desk, new_order(desk, POOR))
    await desk.until(case, "negotiating")
    said = await refusal(desk.submit(case, "buyer_insists", AGENT, gift_sku="GP-NO", quantity=1))
    assert said == "gift_sku: the catalogue has no such gift"
    view = await desk.submit(case, "buyer_lets_go", AGENT)
    assert view.amount_fen == 1_000
    assert (await finished(desk, case)).outcome == "declined"


async def test_a_case_about_free_shipping_does_not_become_one_about_a_gift(desk: Desk) -> None:
    case = await open_free_shipping(desk, new_order(desk, POOR, 800))
    await desk.until(case, "negotiating")
    desk.gift("GP-1", 1_000)
    said = await refusal(desk.submit(case, "buyer_insists", AGENT, gift_sku="GP-1", quantity=1))
    assert said.startswith("gift_sku: this case is about free shipping")
    await case.cancel()
    await finished(desk, case)


async def test_what_is_out_of_stock_is_not_added_and_lets_the_budget_go(desk: Desk) -> None:
    order = new_order(desk, RICH)
    desk.gift("GP-none", 1_000, stock=1)
    case = await open_gift(desk, order, sku="GP-none", cost=2_000, quantity=2)
    await desk.until(case, "awaiting_audit")
    said = await refusal(desk.submit(case, "add_gift", AUDITOR))
    assert said == "quantity: 2 pieces are to be added, 1 are in stock: find_out_of_stock"
    await desk.submit(case, "find_out_of_stock", AUDITOR)
    await desk.until(case, "negotiating")
    assert promised(desk, order) == 0
    assert "赠品 GP-none × 2,作废" in memo(desk, order)
    assert "is out of stock" in told(desk, case, "staff")["gift.out_of_stock"]
    await desk.submit(case, "buyer_insists", AGENT, gift_sku="GP-none", quantity=1)
    await desk.until(case, "awaiting_audit")
    await desk.submit(case, "add_gift", AUDITOR)
    assert (await finished(desk, case)).outcome == "granted"


# --- the shop's news ---


async def test_every_gift_that_is_promised_or_sold_out_in_turn_is_told_to_the_staff(desk: Desk) -> None:
    order = new_order(desk, RICH)
    case = await open_gift(desk, order, sku="GP-first")
    await desk.until(case, "awaiting_audit")
    await desk.submit(case, "find_out_of_stock", AUDITOR)
    await desk.until(case, "negotiating")
    desk.gift("GP-second", 900)
    await desk.submit(case, "buyer_insists", AGENT, gift_sku="GP-second", quantity=1)
    await desk.until(case, "awaiting_audit")
    await desk.submit(case, "find_out_of_stock", AUDITOR)
    await desk.until(case, "negotiating")
    with desk.database.reading() as session:
        tasks = [row.text_en for row in session.query(OutboxRow).filter_by(case_id=case.id, to="staff")]
    for template, sku in itertools.product(("add gift {} × 1", "The gift {} × 1"), ("GP-first", "GP-second")):
        assert sum(template.format(sku) in task for task in tasks) == 1
    await case.terminate()


async def test_news_that_the_shop_does_not_bear_out_changes_nothing(desk: Desk) -> None:
    order = new_order(desk, RICH)
    case = await open_gift(desk, order)
    await desk.until(case, "awaiting_audit")
    said = await refusal(desk.submit(case, "order_gone", "system"))
    assert said == "the shop does not show the order closed or shipped"
    view = await desk.submit(case, "order_gone", "warehouse.1")
    assert (view.state, view.kept) == ("awaiting_audit", ["order_gone"])
    assert (await desk.submit(case, "add_gift", AUDITOR)).outcome in ("granted", None)
    await finished(desk, case)


async def test_what_leaves_in_part_may_still_have_its_gift(desk: Desk) -> None:
    order = desk.order(prices=[(RICH, 1), (5_000, 1)])
    desk.gates.budgets[order] = PLENTY
    case = await open_gift(desk, order)
    await desk.until(case, "awaiting_audit")
    with desk.database.writing() as session:
        outside.ship(session, order, lines=[1], at=datetime.now(UTC))
    await CaseworkClient(desk.client, desk.database).tell_notices()
    assert (await desk.view(case)).state == "awaiting_audit"
    with desk.database.writing() as session:
        outside.ship(session, order, at=datetime.now(UTC))
    await CaseworkClient(desk.client, desk.database).tell_notices()
    view = await desk.until(case, "telling_buyer")
    assert promised(desk, order) == 0
    assert view.waiting_for[0].roles == ["presale_agent"]
    await desk.submit(case, "buyer_understands", AGENT)
    assert (await finished(desk, case)).outcome == "declined"


async def test_nothing_is_added_to_an_order_that_left_before_the_case_has_heard_of_it(desk: Desk) -> None:
    order = new_order(desk, RICH)
    case = await open_gift(desk, order)
    await desk.until(case, "awaiting_audit")
    desk.ship_without_telling(order)
    assert "has shipped without it" in await refusal(desk.submit(case, "add_gift", AUDITOR))
    await desk.submit(case, "order_gone", "warehouse.1")
    await desk.submit(case, "buyer_understands", AGENT)
    await finished(desk, case)


# --- four eyes ---


async def test_who_has_a_part_in_the_request_does_not_approve_it(desk: Desk) -> None:
    opened_by_lead = await open_gift(desk, new_order(desk, POOR), by=LEAD)
    await desk.until(opened_by_lead, "negotiating")
    await desk.submit(opened_by_lead, "buyer_insists", OTHER_AGENT)
    for trigger, fields in (("approve", {}), ("reject", {"note": "no"})):
        said = await refusal(desk.submit(opened_by_lead, trigger, LEAD, **fields))
        assert said == f"{LEAD} opened this case and may not {trigger} in it"
    # nor may the deputy
    assert "deputises for" in await refusal(desk.submit(opened_by_lead, "approve", OTHER_LEAD))
    await opened_by_lead.cancel()
    await finished(desk, opened_by_lead)


# --- what it is opened with ---


BAD_STARTS: list[tuple[dict[str, Any], str]] = [
    ({"gift_sku": "GP-NO"}, "gift_sku: the catalogue has no such gift"),
    ({"cost_fen": 999}, "cost_fen: must be the catalogue's cost x quantity, 1000 (10.00 yuan)"),
    ({"quantity": 2}, "cost_fen: must be the catalogue's cost x quantity, 2000 (20.00 yuan)"),
    ({"quantity": 0}, "quantity: 1 or more is wanted"),
    ({"quantity": None}, "quantity is missing"),
    ({"kind": "present"}, "kind: 'gift' or 'free_shipping' is wanted"),
    ({"kind": "free_shipping"}, "gift_sku is for a gift, not for free shipping"),
    (
        {"kind": "free_shipping", "gift_sku": None, "quantity": None},
        "cost_fen: must be the order's postage, 800 (8.00 yuan)",
    ),
    ({"by": "aftersale.1"}, "by: a gift approval is opened by presale_agent or presale_supervisor"),
    ({"by": "nobody.9"}, "by names nobody on the staff list"),
    ({"by": "system"}, "by"),
    ({"reason": "call 13812345678"}, "reason holds a mobile number"),
    ({"order_id": "999999999"}, "order_id: the shop has no order 999999999"),
    ({"discount": 1}, "discount is a field that does not belong here"),
    ({"from_case": "bulk-order-1"}, "from_case"),
]


@pytest.mark.parametrize(("wrong", "said"), BAD_STARTS)
async def test_a_bad_start_is_refused_by_the_client_and_by_the_case_with_the_field_named(
    desk: Desk, wrong: dict[str, Any], said: str
) -> None:
    order = new_order(desk, RICH, 800)
    desk.gift("GP-1", 1_000)
    start = {
        "order_id": order,
        "by": AGENT,
        "kind": "gift",
        "gift_sku": "GP-1",
        "quantity": 1,
        "cost_fen": 1_000,
        **wrong,
    }
    start = {name: value for name, value in start.items() if value is not None}
    with pytest.raises(BadInput) as refused:
        await CaseworkClient(desk.client, desk.database).start_case(FLOW, start)
    assert said.split(":")[0] in str(refused.value)
    case = await desk.open_case(FLOW, case_of(order, "gift"), start)
    with pytest.raises(WorkflowFailureError) as failed:
        await case.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert failed.value.cause.non_retryable
    assert said in failed.value.cause.message


async def test_a_second_case_of_a_kind_is_refused_while_the_first_is_open_and_another_kind_is_not(desk: Desk) -> None:
    order = new_order(desk, RICH, 800)
    first = await open_gift(desk, order)
    client = CaseworkClient(desk.client, desk.database)
    start = {"order_id": order, "by": AGENT, "kind": "gift", "gift_sku": "GP-1", "quantity": 1, "cost_fen": 1_000}
    with pytest.raises(CaseOpen, match=first.id):
        await client.start_case(FLOW, start)
    other = await client.start_case(
        FLOW, {"order_id": order, "by": AGENT, "kind": "free_shipping", "cost_fen": 800, "reason": "regular buyer"}
    )
    assert other == case_of(order, "free_shipping")
    for case in (first, desk.client.get_workflow_handle(other)):
        await case.cancel()
        await finished(desk, case)


async def test_a_gift_approval_under_another_workflow_id_fails_and_says_which_it_must_be(desk: Desk) -> None:
    order = new_order(desk, RICH)
    desk.gift("GP-1", 1_000)
    start = {"order_id": order, "by": AGENT, "kind": "gift", "gift_sku": "GP-1", "quantity": 1, "cost_fen": 1_000}
    case = await desk.open_case(FLOW, f"{FLOW}-{order}", start)
    with pytest.raises(WorkflowFailureError) as failed:
        await case.result()
    assert f"must be {case_of(order, 'gift')}," in str(failed.value.cause)


async def test_a_gift_approval_pays_by_hand_only_the_postage_that_is_due(desk: Desk) -> None:
    order, case = await credit_that_failed(desk)
    by_hand = {"payment_reference": f"hand-{order}"}
    assert "amount_fen" in await refusal(desk.submit(case, "confirm_paid_by_hand", CLERK, amount_fen=801, **by_hand))
    await desk.submit(case, "confirm_paid_by_hand", CLERK, amount_fen=800, **by_hand)
    assert (await finished(desk, case)).outcome == "granted"
    assert postage_back(desk, order) == 800


async def test_what_the_platform_paid_of_the_order_does_not_count_as_the_postage(desk: Desk) -> None:
    order = desk.order(prices=[(RICH, 1), (5_000, 1)], postage_fen=800)
    desk.gates.budgets[order] = PLENTY
    case = await open_free_shipping(desk, order)
    await desk.until(case, "awaiting_audit")
    desk.without_telling(
        lambda session: outside.refunded(session, order, [LineQuantity(line=2, quantity=1)], at=datetime.now(UTC))
    )
    await desk.submit(case, "add_gift", AUDITOR)
    assert (await finished(desk, case)).outcome == "granted"
    assert postage_back(desk, order) == 800
