"""What two cases could both do is done by one; what is asked or counted again is said again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from temporalio.client import WorkflowFailureError

from casework.shop import notices, waiting
from casework.shop.tables import CourierClaimRow, OutboxRow, ShipmentRow
from casework.shop.waiting import WaitFilter
from tests.desk import Desk, Handle
from tests.parcels import parcel_order, scan
from tests.workflows.test_bulk_order import CLEAR, DOSSIER, MANAGER, SPECIALIST, bulk, change_address, reviewed
from tests.workflows.test_bulk_order import LEAD as BULK_LEAD
from tests.workflows.test_gift_approval import new_order, open_free_shipping
from tests.workflows.test_problem_parcel import open_in_trouble, open_parcel
from tests.workflows.test_returns import AGENT, CLERK, FLOW, GIFTS, LEAD, opened, refused, sign_for


def letters(desk: Desk, case: Handle, template: str) -> list[str]:
    """What the buyer was told by the template, oldest first."""
    query = select(OutboxRow.text_en).where(OutboxRow.case_id == case.id, OutboxRow.template == template)
    with desk.database.reading() as session:
        return list(session.scalars(query.order_by(OutboxRow.id)))


# --- one case does it, and not two ---


async def test_a_lost_parcel_of_an_open_return_is_not_refunded_beside_it(desk: Desk) -> None:
    order, waybill = parcel_order(desk, price_fen=10_000)
    # one that waits for the goods alone is called off: tests/workflows/goods/test_remedy_or_refund.py
    other = await opened(desk, order, "collecting_evidence", cause="quality")
    scan(desk, waybill, "2")
    case = await open_parcel(desk, order, waybill, cause="exception")
    await desk.until(case, "investigating")
    await desk.submit(case, "courier_answers", "parcel.1", finding="lost")
    assert f"the open case {other.id} is about the money" in await refused(desk, case, "choose_refund", AGENT)
    assert f"the open case {other.id} is about the money" in await refused(desk, case, "choose_reship", AGENT)
    await desk.submit(other, "cancel_case", LEAD, note="its parcel is lost")
    await desk.end(other)
    await desk.submit(case, "choose_refund", AGENT)
    view = await desk.end(case)
    assert (view.outcome, view.links) == ("refund_opened", [other.id])
    child = desk.client.get_workflow_handle(other.id)
    await desk.until(child, "confirming")
    await desk.submit(child, "buyer_confirms", AGENT)
    await desk.end(child)


async def test_what_the_platform_has_refunded_is_not_chosen_again(desk: Desk) -> None:
    case, order, _ = await open_in_trouble(desk)
    await desk.submit(case, "courier_answers", "parcel.1", finding="lost")
    desk.platform_refunds_order(order)
    assert "nothing left to make good" in await refused(desk, case, "choose_refund", AGENT)
    view = await desk.end(case)
    assert (view.outcome, view.links, letters(desk, case, "parcel.refund_opened")) == ("closed", [], [])
    with desk.database.reading() as session:
        assert session.scalar(select(CourierClaimRow).where(CourierClaimRow.case_id == case.id)) is None


async def test_who_speaks_for_the_buyer_where_another_case_opens_has_a_part_in_that_one(desk: Desk) -> None:
    order = desk.order()
    case = await reviewed(desk, order, percent="5")
    await desk.submit(case, "reject", BULK_LEAD, note="no")
    async with desk.before("close_case", order):  # the record of the one that opens it says so before it has ended
        await desk.signal(case, "buyer_declines_list_price", SPECIALIST)
        await desk.reached("close_case", order)
        child = desk.client.get_workflow_handle(f"refund-before-shipping-{order}")
        await desk.until(child, "persuading")
        assert SPECIALIST in (await child.query("case_state"))["involved"]
    await desk.end(case)
    await child.cancel()
    await desk.end(child)


async def test_free_shipping_that_lowers_an_orders_price_is_news_for_its_bulk_case(desk: Desk) -> None:
    order = new_order(desk, 100_000, 1_000, paid=False)
    case = await bulk(desk, order, discount_percent="5")
    await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER)
    await desk.submit(case, "pass_legal_review", MANAGER, **CLEAR)
    await desk.submit(case, "approve", BULK_LEAD)
    await desk.until(case, "awaiting_audit")
    gift = await open_free_shipping(desk, order, 1_000)
    await desk.until(gift, "awaiting_audit")
    await desk.submit(gift, "add_gift", "audit.1")
    await desk.end(gift)
    with desk.database.reading() as session:
        news = [(one.case_id, one.trigger) for one in notices.pending(session) if one.order_id == order]
    assert news == [(case.id, "order_changed")]
    await case.terminate()


# --- again ---


async def test_a_time_to_send_back_that_is_counted_again_is_not_overdue_and_told_again(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1)], shipped=True)
    with desk.database.reading() as session:
        waybill = session.scalars(select(ShipmentRow.waybill).where(ShipmentRow.order_id == order)).one()
    scan(desk, waybill, "0")
    case = await opened(desk, order, "awaiting_parcel")
    first = (await desk.view(case)).due
    await desk.skip(case, timedelta(days=6, hours=1))
    await desk.at_rest(case)
    sign_for(desk, order, await desk.skipper.get_current_time(case))
    assert len(letters(desk, case, "return.ship_back_reminder")) == 2
    await desk.skip(case, timedelta(days=1, minutes=5))
    await desk.at_rest(case)
    view = await desk.view(case)
    assert first is not None
    assert view.due is not None
    assert view.due > first + timedelta(days=5)
    with desk.database.reading() as session:
        overdue = WaitFilter(overdue_at=await desk.skipper.get_current_time(case), order_id=order)
        assert waiting.waiting(session, overdue) == []
    old, new = letters(desk, case, "return.send_back.buyer_way_back")
    assert old != new
    # three days after the signing, as the time itself counts from there
    await desk.skip(case, timedelta(days=2))
    await desk.at_rest(case)
    assert len(letters(desk, case, "return.ship_back_reminder")) == 3
    await case.cancel()
    await desk.end(case)


async def test_a_buyer_who_is_refused_twice_is_told_twice(desk: Desk) -> None:
    order = desk.order(prices=[(30_000, 1)], shipped=True)
    sign_for(desk, order, datetime.now(UTC) - timedelta(days=20))
    case = await opened(desk, order, "explaining")
    await desk.submit(case, "buyer_insists", AGENT)
    await desk.submit(case, "reject", "manager.1", note="too late")
    await desk.until(case, "explaining")
    await desk.at_rest(case)
    assert len(letters(desk, case, "return.refused")) == 2
    await case.cancel()
    await desk.end(case)


async def test_a_buyer_is_asked_again_for_the_list_price_after_another_review(desk: Desk) -> None:
    order = desk.order()
    case = await reviewed(desk, order, percent="5")
    await desk.submit(case, "reject", BULK_LEAD, note="no")
    await desk.until(case, "offering_list_price")
    change_address(desk, order)
    await desk.signal(case, "order_changed", "system")
    await desk.until(case, "legal_review")
    await desk.submit(case, "pass_legal_review", MANAGER, **CLEAR)
    await desk.submit(case, "reject", BULK_LEAD, note="no")
    await desk.until(case, "offering_list_price")
    await desk.at_rest(case)
    assert len(letters(desk, case, "bulk.list_price")) == 2
    await case.terminate()


# --- nobody else's words ---


async def test_a_signature_of_before_the_return_is_the_buyers_own(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1)], shipped=True)
    with desk.database.reading() as session:
        waybill = session.scalars(select(ShipmentRow.waybill).where(ShipmentRow.order_id == order)).one()
    scan(desk, waybill, "301", at=datetime.now(UTC) - timedelta(hours=1))
    case = await opened(desk, order, "awaiting_parcel")
    await desk.submit(case, "buyer_ships", AGENT, courier="yuantong", waybill=waybill)
    await desk.skip_to_deadline(case)
    await desk.until(case, "tracing_return")
    await desk.skip(case, timedelta(days=11))
    assert (await desk.end(case)).outcome == "platform_dispute"


async def test_a_field_inside_a_list_that_nobody_understands_is_refused(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 2)], shipped=True)
    start = {"order_id": order, "by": AGENT, "cause": "no_reason", "lines": [{"line": 1, "quantity": 2, "qty": 1}]}
    case = await desk.open_case(FLOW, f"{FLOW}-{order}", start)
    with pytest.raises(WorkflowFailureError) as failed:
        await case.result()
    assert "lines: each has only line and quantity" in str(failed.value.cause)
    case = await opened(desk, order, "awaiting_parcel")
    await desk.submit(case, "receive_goods", CLERK)
    lines = [{"line": 1, "accepted_quantity": 2, "zz": 5}]
    why = await refused(desk, case, "pass_inspection", CLERK, lines=lines, **GIFTS)
    assert "lines: each has only line and accepted_quantity" in why
    # what was wrong is sent again, mended, under the same id
    await desk.signal(case, "pass_inspection", CLERK, id="m1", lines=lines, **GIFTS)
    mended = [{"line": 1, "accepted_quantity": 2}]
    view = await desk.submit(case, "pass_inspection", CLERK, id="m1", lines=mended, **GIFTS)
    assert [line.why for line in view.trail if not line.accepted] == [why]
    await desk.until(case, "confirming")
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)


async def test_a_field_that_nobody_understands_is_refused_also_of_a_message_that_comes_with_the_start(
    desk: Desk,
) -> None:
    order = desk.order(prices=[(10_000, 2)], shipped=True)
    start = {"order_id": order, "by": AGENT, "cause": "no_reason"}
    lines = [{"line": 1, "quantity": 1, "qty": 2}]
    received = ("receive_goods", {"by": CLERK, "lines": lines})
    case = await desk.open_case(FLOW, f"{FLOW}-{order}", start, start_signal=received)
    await desk.until(case, "awaiting_parcel")
    view = await desk.until_shown(case, lambda view: any(not line.accepted for line in view.trail), "refused")
    assert [line.why for line in view.trail if not line.accepted] == ["lines: each has only line and quantity"]
    await case.cancel()
    await desk.end(case)
