"""Bulk orders on the real server: bad input, the hold and its alarm, calling off, and the cases that they touch."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from casework.case import CaseView
from casework.money import LineQuantity
from casework.shop import notices, orders, outside, payments
from casework.shop.bulk import note_reviewed
from casework.shop.errors import Held
from casework.shop.fencing import FencingToken, admit
from casework.shop.holds import cases_holding
from casework.shop.records import find_records
from casework.shop.tables import ChatRow, FlagWishRow, OutboxRow, ReviewRow, StaffRow
from tests.desk import Desk, Handle
from tests.orders import ADDRESS, RECEIVER
from tests.shop import steps

FLOW = "bulk-order"
SPECIALIST, MANAGER, GENERAL, LEAD, AUDITOR = "bulk.1", "manager.1", "general.1", "presale-lead.1", "audit.1"
_people = itertools.count(1)
DOSSIER = {"buyer_registered_on": "2016-03-08", "buyer_purchases": 4}
CLEAR = {"note": "nothing speaks against it"}


async def bulk(desk: Desk, order: str, state: str = "compiling", **fields: Any) -> Handle:
    """Open a bulk order's case, and wait until it is in the state."""
    start = {"order_id": order, "by": "presale.1", **fields}
    case = await desk.open_case(FLOW, f"{FLOW}-{order}", start)
    await desk.until(case, state)
    return case


async def reviewed(desk: Desk, order: str, *, percent: str = "0") -> Handle:
    """A case whose legal review has passed: it judges the price, or follows the order."""
    case = await bulk(desk, order, discount_percent=percent)
    await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER)
    await desk.submit(case, "pass_legal_review", MANAGER, **CLEAR)
    return case


async def refusal(desk: Desk, case: Handle, trigger: str, by: str, **fields: Any) -> str:
    """What the case answers to what it refuses."""
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await desk.submit(case, trigger, by, **fields)
    assert isinstance(refused.value.cause, ApplicationError)
    return refused.value.cause.message


async def deliver_news(desk: Desk, case: Handle, order: str) -> list[str]:
    """Tell the case what the shop has noted for it."""
    with desk.database.writing() as session:
        waiting = [one for one in notices.pending(session) if one.order_id == order]
        for one in waiting:
            notices.told(session, one.id)
    mine = [one.trigger for one in waiting if one.case_id == case.id]
    for trigger in mine:
        await desk.signal(case, trigger, "system")
    return mine


def change_address(desk: Desk, order: str, number: int = 1) -> None:
    address = f"山东省 青岛市 市南区 香港中路{number}号"
    desk.without_telling(lambda session: outside.set_address(session, order, address, at=datetime.now(UTC)))


def ship(desk: Desk, order: str) -> None:
    with desk.database.writing() as session:
        outside.ship(session, order, at=datetime.now(UTC))


def told(desk: Desk, case: Handle) -> dict[str, list[str]]:
    with desk.database.reading() as session:
        found: dict[str, list[str]] = {}
        for row in session.query(OutboxRow).filter_by(case_id=case.id):
            found.setdefault(row.template, []).append(row.text_en)
        return found


async def until_alarmed(desk: Desk, case: Handle, times: int = 1) -> list[str]:
    """Wait for the alarm before the shipping deadline, to be heard so often; what it says."""

    def alarms() -> list[str]:
        return told(desk, case).get("bulk.ship_alarm", [])

    await desk.until_true(case, lambda: len(alarms()) >= times, f"alarmed {times} times")
    await desk.at_rest(case)
    assert len(alarms()) == times
    return alarms()


def holders(desk: Desk, order: str) -> list[str]:
    with desk.database.reading() as session:
        return cases_holding(session, order)


def shown_flag(desk: Desk, order: str) -> str:
    with desk.database.reading() as session:
        return steps.shown_flag(session, order)


def chat(desk: Desk, order: str, *texts: str) -> str:
    def keep(session: Session) -> None:
        said = [{"at": datetime.now(UTC).isoformat(), "from": "buyer", "text": text} for text in texts]
        session.add(ChatRow(id=f"chat-{order}", order_id=order, buyer_registered_on=None, messages=said))

    with desk.database.writing() as session:
        keep(session)
    return f"chat-{order}"


# --- bad input ---

GARBAGE: list[tuple[dict[str, Any], str]] = [
    ({"order_id": "ORDER", "by": "aftersale.1"}, "by: a bulk order is opened by presale_agent or bulk_specialist"),
    ({"order_id": "ORDER", "by": "nobody.9"}, "by"),
    ({"order_id": "ORDER", "by": "system"}, "by is system"),
    ({"order_id": "99999999", "by": "bulk.1"}, "order_id"),
    ({"order_id": "ORDER", "by": "bulk.1", "extra": 1}, "extra"),
    ({"order_id": "ORDER", "by": "bulk.1", "from_case": "refund-before-shipping-1"}, "from_case"),
    ({"order_id": "ORDER", "by": "bulk.1", "discount_percent": 5}, "discount_percent must be a decimal"),
    ({"order_id": "ORDER", "by": "bulk.1", "discount_percent": "-1"}, "discount_percent must not be below 0"),
    ({"order_id": "ORDER", "by": "bulk.1", "discount_percent": "101"}, "discount_percent must not be above 100"),
    ({"order_id": "ORDER", "by": "bulk.1", "chat_id": "chat-9"}, "chat_id: the shop keeps no conversation chat-9"),
    ({"order_id": "ORDER", "by": "bulk.1", "chat_id": "OTHER"}, "is about another order"),
    ({"order_id": "ORDER", "by": "bulk.1", "note": f"for {RECEIVER}"}, "name"),
    ({"order_id": "ORDER", "by": "bulk.1", "chat_id": f"{ADDRESS}"}, "chat_id"),
]


@pytest.mark.parametrize(("start", "field"), GARBAGE)
async def test_a_case_started_by_hand_with_garbage_fails_at_once_and_names_the_field(
    desk: Desk, start: dict[str, Any], field: str
) -> None:
    order, other = desk.order(), chat(desk, desk.order(), "hello")
    given = json.loads(json.dumps(start, ensure_ascii=False).replace("ORDER", order).replace("OTHER", other))
    case = await desk.open_case(FLOW, f"{FLOW}-{order}", given)
    with pytest.raises(WorkflowFailureError) as failed:
        await case.result()
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    assert cause.non_retryable
    assert field in cause.message
    assert RECEIVER not in cause.message


async def test_a_dossier_names_a_day_that_has_been_and_a_conversation_of_the_order(desk: Desk) -> None:
    order, other = desk.order(), chat(desk, desk.order(), "hello")
    own = chat(desk, order, "商标授权书也发我")
    case = await bulk(desk, order)
    late = {**DOSSIER, "buyer_registered_on": "2090-01-01"}
    assert "still to come" in await refusal(desk, case, "submit_dossier", SPECIALIST, **late)
    wrong = {**DOSSIER, "chat_id": other}
    assert "is about another order" in await refusal(desk, case, "submit_dossier", SPECIALIST, **wrong)
    assert (await desk.view(case)).state == "compiling"
    view = await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER, chat_id=own, documents=["doc-1"])
    assert (view.state, view.assignee) == ("legal_review", SPECIALIST)
    (task,) = told(desk, case)["bulk.review"]
    assert "earlier orders 4; documents doc-1. Risk signs, as advice: brand_licence_talk." in task
    await desk.submit(case, "cancel_case", MANAGER, note="enough seen")


async def test_the_legal_review_passes_only_with_the_buyers_record(desk: Desk) -> None:
    case = await bulk(desk, desk.order())
    await desk.skip_to_deadline(case)
    assert "incomplete" in told(desk, case)["bulk.review"][0]
    wanted = "the account's registration date and its earlier purchases are known"
    assert wanted in await refusal(desk, case, "pass_legal_review", MANAGER, **CLEAR)
    half = {**CLEAR, "buyer_purchases": 0}
    assert wanted in await refusal(desk, case, "pass_legal_review", MANAGER, **half)
    late = {**half, "buyer_registered_on": "2090-01-01"}
    assert "still to come" in await refusal(desk, case, "pass_legal_review", MANAGER, **late)
    view = await desk.submit(case, "pass_legal_review", MANAGER, **CLEAR, **DOSSIER)
    assert view.state == "following"
    await desk.submit(case, "cancel_case", MANAGER, note="enough seen")


async def test_whoever_opened_it_judges_neither_it_nor_the_refund_that_comes_of_it(desk: Desk) -> None:
    opener, roles = f"many-roles.{next(_people)}", ["presale_agent", "store_manager", "finance_manager"]
    with desk.database.writing() as session:
        session.add(StaffRow(id=opener, position=2_000, name=opener, roles=roles, present=True))
    case = await bulk(desk, desk.order(), by=opener)
    await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER)
    opened = f"{opener} opened this case"
    assert opened in await refusal(desk, case, "pass_legal_review", opener, **CLEAR)
    assert opened in await refusal(desk, case, "find_malicious", opener, signs=["young_account"])
    await desk.submit(case, "find_malicious", MANAGER, signs=["other"], note="the same text as last week")
    refund = await refund_of(desk, await desk.end(case), "awaiting_finance")
    assert opener in await refusal(desk, refund, "approve", opener)
    await refund.cancel()
    assert (await desk.end(refund)).outcome == "cancelled"


async def test_no_discount_is_granted_beyond_what_was_asked_or_beyond_the_general_managers_limit(desk: Desk) -> None:
    case = await reviewed(desk, desk.order(prices=[(1_000_000, 1)]), percent="20")
    more = await refusal(desk, case, "approve", LEAD, discount_percent="20.01")
    assert "at most what was asked" in more
    assert "above 0" in await refusal(desk, case, "approve", LEAD, discount_percent="0")
    assert "below 0" in await refusal(desk, case, "approve", LEAD, discount_percent="-5")
    assert (await desk.submit(case, "approve", LEAD)).state == "awaiting_general_manager"
    above = "the discount is within the general manager's limit"
    assert above in await refusal(desk, case, "approve", GENERAL)
    assert above in await refusal(desk, case, "approve", GENERAL, discount_percent="15.01")
    await desk.submit(case, "approve", GENERAL, discount_percent="15")
    view = await desk.until(case, "awaiting_audit")
    assert view.amount_fen == 1_000_000
    assert "the approved price is 8,500.00" in [line.why for line in view.trail]
    await desk.submit(case, "cancel_case", GENERAL, note="enough seen")


async def test_the_amount_is_changed_to_the_approved_price_and_to_no_other(desk: Desk) -> None:
    order = desk.order(prices=[(100_000, 1)], postage_fen=1_000, paid=False)
    case = await reviewed(desk, order, percent="5")
    await desk.submit(case, "approve", LEAD)
    await desk.until(case, "awaiting_audit")
    for wrong in (95_000, 95_999, 96_001, 101_000):
        assert "the amount is the approved price" in await refusal(
            desk, case, "change_amount", AUDITOR, amount_fen=wrong
        )
    view = await desk.submit(case, "change_amount", AUDITOR, amount_fen=96_000)
    assert (view.state, view.amount_fen) == ("following", 96_000)
    with desk.database.reading() as session:
        found = orders.read_order(session, order)
        assert found.total_fen == 96_000
        assert "960.00" in found.memo
    assert "960.00" in told(desk, case)["bulk.price_changed"][0]
    await desk.submit(case, "cancel_case", MANAGER, note="enough seen")


async def test_a_changed_order_gets_no_new_amount(desk: Desk) -> None:
    order = desk.order(prices=[(100_000, 1)])
    case = await reviewed(desk, order, percent="5")
    await desk.submit(case, "approve", LEAD)
    await desk.until(case, "awaiting_audit")
    change_address(desk, order)
    assert "no longer what was reviewed" in await refusal(desk, case, "change_amount", AUDITOR, amount_fen=95_000)
    await desk.signal(case, "order_changed", "system")
    await desk.until(case, "legal_review")
    await desk.submit(case, "cancel_case", MANAGER, note="enough seen")


# --- the hold, and its alarm ---


async def test_the_order_is_held_until_the_review_has_passed_and_then_ships(desk: Desk) -> None:
    order = desk.order(prices=[(100, 1), (200, 2)])
    case = await bulk(desk, order)
    with pytest.raises(Held):
        ship(desk, order)
    assert (holders(desk, order), shown_flag(desk, order)) == ([case.id], "red")
    await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER)
    await desk.submit(case, "pass_legal_review", MANAGER, **CLEAR)
    assert (holders(desk, order), shown_flag(desk, order)) == ([], "none")
    ship(desk, order)
    view = await desk.submit(case, "buyer_confirms", SPECIALIST)
    assert (view.outcome, view.assignee) == ("completed", None)


async def test_the_alarm_before_the_shipping_deadline_is_heard_once_and_moves_no_deadline(desk: Desk) -> None:
    # the order was paid 23 hours ago: the alarm is due 12 hours before the 48th, in 13 hours
    case = await bulk(desk, desk.order())
    before = await desk.view(case)
    await desk.skip(case, timedelta(hours=12))
    assert "bulk.ship_alarm" not in told(desk, case)
    await desk.skip(case, timedelta(hours=2))
    (alarm,) = await until_alarmed(desk, case)
    assert case.id in alarm
    after = await desk.view(case)
    assert (after.state, after.version, after.due) == (before.state, before.version, before.due)
    await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER)
    await desk.submit(case, "ask_for_more", MANAGER, note="more")
    await desk.at_rest(case)
    assert len(told(desk, case)["bulk.ship_alarm"]) == 1
    await desk.submit(case, "cancel_case", MANAGER, note="enough seen")


async def test_no_alarm_comes_once_the_shipment_is_let_go(desk: Desk) -> None:
    case = await reviewed(desk, desk.order())
    await desk.skip(case, timedelta(hours=30))
    await desk.at_rest(case)
    assert "bulk.ship_alarm" not in told(desk, case)
    await desk.submit(case, "cancel_case", MANAGER, note="enough seen")


async def test_a_deadline_that_has_passed_at_the_opening_is_alarmed_at_once(desk: Desk) -> None:
    order = desk.order()

    def paid_long_ago(session: Session) -> None:
        orders.lock_order(session, order).paid_at = datetime.now(UTC) - timedelta(days=3)

    desk.without_telling(paid_long_ago)
    case = await bulk(desk, order)
    await desk.skip(case, timedelta(seconds=5))
    await until_alarmed(desk, case)
    await desk.submit(case, "cancel_case", MANAGER, note="enough seen")


async def test_what_changed_unheard_is_not_let_go_but_reviewed_again(desk: Desk) -> None:
    order = desk.order()
    case = await bulk(desk, order)
    await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER)
    change_address(desk, order)
    await desk.submit(case, "pass_legal_review", MANAGER, **CLEAR)
    view = await desk.until(case, "legal_review")
    assert holders(desk, order) == [case.id]
    assert [line.by for line in view.trail if line.trigger == "order_changed"] == ["system"]
    await desk.submit(case, "pass_legal_review", MANAGER, note="the new address is fine")
    assert holders(desk, order) == []
    await desk.submit(case, "cancel_case", MANAGER, note="enough seen")


async def test_a_change_while_it_is_followed_holds_it_again_and_one_after_it_has_left_stays_out(desk: Desk) -> None:
    order = desk.order()
    case = await reviewed(desk, order)
    change_address(desk, order)
    await desk.signal(case, "order_changed", "system")
    await desk.until(case, "legal_review")
    assert (holders(desk, order), shown_flag(desk, order)) == ([case.id], "red")
    with pytest.raises(Held):
        ship(desk, order)
    await desk.submit(case, "pass_legal_review", MANAGER, **CLEAR)
    ship(desk, order)
    change_address(desk, order, 2)
    await desk.signal(case, "order_changed", "system")
    view = await desk.submit(case, "order_changed", SPECIALIST)
    assert (view.state, view.kept) == ("following", ["order_changed"])
    refused = [line.why for line in view.trail if not line.accepted and line.trigger == "order_changed"]
    assert refused == ["it has left and cannot be held: it stays out"]
    assert (await desk.submit(case, "buyer_confirms", SPECIALIST)).outcome == "completed"


async def test_a_change_that_was_noted_as_reviewed_by_moves_that_temporal_took_back_is_reviewed(desk: Desk) -> None:
    order = desk.order()
    case = await reviewed(desk, order)
    seen = await desk.until(case, "following")
    change_address(desk, order)
    described = await case.describe()
    with desk.database.writing() as session:  # as a worker does that is killed before Temporal hears of it
        (record,) = find_records(session, case_id=case.id)
        ahead = FencingToken(described.run_id, described.history_length, seen.version + 1, datetime.now(UTC))
        admit(session, case.id, record.run_id, ahead)
        note_reviewed(session, case.id, order, at=datetime.now(UTC))
    await desk.signal(case, "order_changed", "system")
    await desk.until(case, "legal_review")
    assert holders(desk, order) == [case.id]
    await desk.signal(case, "order_changed", "system")
    await desk.at_rest(case)
    assert (await desk.view(case)).state == "legal_review", "once is enough"
    await desk.submit(case, "cancel_case", MANAGER, note="enough seen")


async def test_news_of_a_change_that_the_shop_does_not_show_moves_nothing(desk: Desk) -> None:
    case = await bulk(desk, desk.order())
    await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER)
    await desk.signal(case, "order_changed", "system")
    await desk.signal(case, "order_gone", "system")
    view = await desk.submit(case, "order_changed", SPECIALIST)
    assert (view.state, view.kept) == ("legal_review", ["order_changed"])
    assert [line.trigger for line in view.trail if not line.accepted] == ["order_changed", "order_gone"]
    await desk.submit(case, "cancel_case", MANAGER, note="enough seen")


@pytest.mark.parametrize("heard", ["news", "deadline"])
async def test_the_buyers_word_before_all_has_shipped_is_kept_until_it_has(desk: Desk, heard: str) -> None:
    order = desk.order(prices=[(100, 1), (200, 1)])
    case = await reviewed(desk, order)
    desk.ship_line(order, 1, "YT0000000101")
    view = await desk.submit(case, "buyer_confirms", SPECIALIST)
    assert (view.state, view.kept) == ("following", ["buyer_confirms"])
    desk.ship_line(order, 2, "YT0000000102")
    before = (await desk.view(case)).due
    if heard == "news":  # which is no move of its own, and is refused
        assert await deliver_news(desk, case, order) == ["order_gone"]
    else:
        await desk.skip_to_deadline(case)
    view = await desk.end(case)
    assert view.outcome == "completed"
    assert before is not None
    assert (view.trail[-1].at < before) == (heard == "news")


async def test_a_buyer_has_fifteen_days_from_the_last_shipment_not_from_the_release(desk: Desk) -> None:
    order = desk.order()
    case = await reviewed(desk, order)
    released = await desk.view(case)
    assert released.due is not None
    shipped_at = released.due - timedelta(days=5)
    desk.without_telling(lambda session: outside.ship(session, order, at=shipped_at))
    view = await desk.skip_to_deadline(case)
    assert (view.state, view.due) == ("following", shipped_at + timedelta(days=15))
    assert "alarm" not in told(desk, case)
    view = await desk.skip_to_deadline(case)
    assert view.state == "chasing"
    extended = (await desk.submit(case, "extend", SPECIALIST, days=7)).trail[-1].at
    view = await desk.until_shown(case, lambda view: view.due is not None, "follows it again")
    assert view.due is not None
    assert timedelta(days=7) <= view.due - extended < timedelta(days=7, minutes=1)
    await desk.submit(case, "raise_dispute", SPECIALIST, platform_case="D-77")
    await desk.submit(case, "close_refunded", MANAGER)
    assert (await desk.end(case)).outcome == "closed_refunded"


# --- calling off ---


async def test_temporals_own_cancel_is_recorded_as_refused_before_the_legal_review_has_passed(desk: Desk) -> None:
    order = desk.order()
    case = await bulk(desk, order)
    await case.cancel()
    await desk.heard(case, "cancel_case")
    view = await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER)
    (line,) = [line for line in view.trail if not line.accepted]
    assert (line.trigger, line.by) == ("cancel_case", "temporal")
    assert line.why == "cancel_case is not for the system to fire"
    assert holders(desk, order) == [case.id]
    # a manager's own word counts, and the case is whole all the same
    assert "is for store_manager or general_manager" in await refusal(
        desk, case, "cancel_case", SPECIALIST, note="not mine to say"
    )
    await desk.submit(case, "cancel_case", MANAGER, note="called off by its buyer")
    assert (await desk.end(case)).outcome == "cancelled"
    assert (holders(desk, order), shown_flag(desk, order)) == ([], "none")


async def test_temporals_own_cancel_counts_once_the_legal_review_has_passed(desk: Desk) -> None:
    case = await reviewed(desk, desk.order(), percent="5")
    await case.cancel()
    view = await desk.end(case)
    assert (view.outcome, view.trail[-2].by) == ("cancelled", "temporal")


async def test_a_case_whose_rebate_was_sent_is_not_called_off(desk: Desk) -> None:
    order = desk.order(prices=[(100_000, 1)])
    case = await reviewed(desk, order, percent="5")
    await desk.submit(case, "approve", LEAD)
    await desk.until(case, "awaiting_audit")
    await desk.submit(case, "change_amount", AUDITOR, amount_fen=95_000)
    await desk.until(case, "following")
    assert "nothing is paid" in await refusal(desk, case, "cancel_case", MANAGER, note="too late")
    assert "50.00" in told(desk, case)["bulk.rebated"][0]
    with desk.database.reading() as session:
        assert [(one.amount_fen, one.case_id) for one in payments.ledger(session, order)] == [(5_000, case.id)]
    desk.platform_refunds_order(order)
    await desk.signal(case, "order_gone", "system")
    assert (await desk.end(case)).outcome == "closed_refunded"
    with desk.database.reading() as session:
        assert sum(one.amount_fen for one in payments.ledger(session, order)) == 100_000


async def test_an_address_that_changes_after_the_rebate_is_judged_again_and_nothing_is_paid_twice(desk: Desk) -> None:
    order = desk.order(prices=[(100_000, 1)])
    case = await reviewed(desk, order, percent="5")
    for again in range(2):
        await desk.submit(case, "approve", LEAD)
        await desk.until(case, "awaiting_audit")
        await desk.submit(case, "change_amount", AUDITOR, amount_fen=95_000)
        await desk.until(case, "following")
        if not again:
            change_address(desk, order)
            await desk.submit(case, "order_changed", SPECIALIST)
            await desk.submit(case, "pass_legal_review", MANAGER, **CLEAR)
    with desk.database.reading() as session:
        assert sum(one.amount_fen for one in payments.ledger(session, order)) == 5_000
    assert len(told(desk, case)["bulk.rebated"]) == 1
    ship(desk, order)
    assert (await desk.submit(case, "buyer_confirms", SPECIALIST)).outcome == "completed"


# --- the cases that it touches ---


async def refund_of(desk: Desk, view: CaseView, state: str) -> Handle:
    """The refund that the case has opened, once it is in the state."""
    (link,) = view.links
    refund = desk.client.get_workflow_handle(link)
    await desk.until(refund, state)
    return refund


async def test_a_malicious_order_that_is_paid_opens_a_refund_that_nobody_persuades_and_its_hold_has_no_gap(
    desk: Desk,
) -> None:
    order = desk.order(prices=[(50_000, 2)])
    case = await bulk(desk, order, by="presale.2")
    await desk.submit(case, "submit_dossier", "presale.2", **DOSSIER)
    async with desk.before("leave_red", order):
        await desk.submit(case, "find_malicious", MANAGER, signs=["young_account", "material_talk"])
        await desk.reached("leave_red", order)
        assert holders(desk, order) == [f"refund-before-shipping-{order}"]
        assert shown_flag(desk, order) == "red"
    view = await desk.end(case)
    assert view.outcome == "terminated"
    refund = await refund_of(desk, view, "awaiting_finance")
    its_view = await desk.view(refund)
    assert its_view.links == [case.id]
    assert holders(desk, order) == [refund.id]
    assert (await desk.submit(refund, "buyer_withdraws", "aftersale.1")).kept == ["buyer_withdraws"]
    await desk.submit(refund, "approve", "finance.3")
    assert (await desk.end(refund)).outcome == "refunded"
    assert shown_flag(desk, order) == "red"
    (farewell,) = told(desk, case)["bulk.terminated"]
    for word in ("malicious", "legal", "review", "sign"):
        assert word not in farewell.lower()
    with desk.database.reading() as session:
        assert session.query(FlagWishRow).filter_by(case_id=case.id).count() == 0
        (record,) = find_records(session, case_id=refund.id)
        assert record.from_case == case.id


async def test_a_malicious_order_that_is_unpaid_is_closed(desk: Desk) -> None:
    order = desk.order(paid=False)
    case = await bulk(desk, order)
    await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER)
    await desk.submit(case, "find_malicious", MANAGER, signs=["no_purchases"])
    view = await desk.end(case)
    assert (view.outcome, view.links) == ("terminated", [])
    assert shown_flag(desk, order) == "red"
    with desk.database.reading() as session:
        assert orders.read_order(session, order).state == "closed"


async def test_a_malicious_order_of_which_another_refund_has_a_part_opens_one_for_the_rest(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 1), (6_000, 1)])
    part = await desk.start(
        order, case_id=f"refund-before-shipping-{order}-1", lines=[{"line": 1, "quantity": 1}], reason="bought twice"
    )
    await desk.until(part, "persuading")
    case = await bulk(desk, order)
    await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER)
    await desk.submit(case, "find_malicious", MANAGER, signs=["no_purchases"])
    refund = await refund_of(desk, await desk.end(case), "awaiting_finance")
    assert refund.id == f"refund-before-shipping-{order}-2"
    assert holders(desk, order) == [part.id, refund.id]
    for one in (part, refund):
        await one.cancel()
        await desk.end(one)


async def test_a_buyer_who_declines_the_list_price_gets_a_refund_that_takes_over_the_hold(desk: Desk) -> None:
    order = desk.order()
    case = await reviewed(desk, order, percent="5")
    await desk.submit(case, "reject", LEAD, note="no discount on these")
    assert "list price" in told(desk, case)["bulk.list_price"][0]
    await desk.submit(case, "buyer_declines_list_price", SPECIALIST)
    view = await desk.end(case)
    assert view.outcome == "refund_opened"
    refund = await refund_of(desk, view, "persuading")
    assert holders(desk, order) == [refund.id]
    await desk.submit(refund, "buyer_keeps_order", "aftersale.1")
    assert (await desk.end(refund)).outcome == "kept"


async def test_a_refund_of_the_whole_order_ends_its_bulk_case(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 2)])
    case = await reviewed(desk, order, percent="5")
    refund = await desk.open_in("persuading", order, reason="bought twice")
    await desk.submit(refund, "buyer_insists", "aftersale.1")
    await desk.end(refund)
    assert await deliver_news(desk, case, order) == ["order_gone"]
    view = await desk.end(case)
    assert view.outcome == "closed_refunded"
    assert "bulk.closed_refunded" in told(desk, case)
    assert holders(desk, order) == []


async def test_a_refund_of_a_part_of_the_order_is_a_change_that_is_reviewed_again(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 1), (6_000, 1)])
    case = await reviewed(desk, order, percent="5")
    lines = [{"line": 1, "quantity": 1}]
    refund = await desk.start(order, case_id=f"refund-before-shipping-{order}-1", lines=lines, reason="bought twice")
    await desk.until(refund, "persuading")
    await desk.submit(refund, "buyer_insists", "aftersale.1")
    await desk.end(refund)
    assert await deliver_news(desk, case, order) == ["order_changed"]
    await desk.until(case, "legal_review")
    await desk.submit(case, "pass_legal_review", MANAGER, **CLEAR)
    await desk.submit(case, "approve", LEAD)
    view = await desk.until(case, "awaiting_audit")
    assert "the approved price is 57.00" in [line.why for line in view.trail]
    await desk.submit(case, "change_amount", AUDITOR, amount_fen=5_700)
    await desk.until(case, "following")
    with desk.database.reading() as session:
        ours = [one.amount_fen for one in payments.ledger(session, order) if one.case_id == case.id]
        assert ours == [300]
        assert payments.audit(session) == []
    ship(desk, order)
    assert (await desk.submit(case, "buyer_confirms", SPECIALIST)).outcome == "completed"


async def test_what_the_platform_refunds_in_part_is_a_change_too(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 1), (6_000, 1)])
    case = await bulk(desk, order)
    await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER)
    with desk.database.writing() as session:
        outside.refunded(session, order, [LineQuantity(line=1, quantity=1)], at=datetime.now(UTC))
    assert "order_changed" in await deliver_news(desk, case, order)
    view = await desk.until(case, "compiling")
    assert [line.source for line in view.trail if line.accepted and line.trigger == "order_changed"] == ["legal_review"]
    await desk.at_rest(case)
    with desk.database.reading() as session:
        assert session.get(ReviewRow, case.id) is None
    await desk.submit(case, "cancel_case", MANAGER, note="enough seen")
