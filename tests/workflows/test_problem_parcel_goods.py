"""A problem parcel of goods that differ from the first ones, or are refunded in part; and its words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from casework.money import LineQuantity
from casework.shop import outside
from casework.shop.tables import CourierClaimRow, LineRow, OrderRow, ReshipmentRow, ShipmentLineRow, ShipmentRow
from tests.desk import Desk, Handle
from tests.parcels import scan, scan_now, until_it_moves
from tests.workflows.test_problem_parcel import (
    AGENT,
    CLERK,
    SPECIALIST,
    WAREHOUSE,
    letters,
    open_in_trouble,
    open_on_its_way_to_us,
    open_parcel,
)


def two_lines(desk: Desk) -> tuple[str, str]:
    order = desk.order(prices=[(4_000, 2), (3_000, 1)], shipped=True)
    with desk.database.writing() as session:
        for line in session.scalars(select(LineRow).where(LineRow.order_id == order)):
            line.sku = f"SKU-{order}-{line.number}"
        waybill = session.scalars(select(ShipmentRow.waybill).where(ShipmentRow.order_id == order)).one()
    return order, waybill


async def test_a_return_of_the_first_parcel_says_nothing_of_the_goods_that_were_sent_again(desk: Desk) -> None:
    case, order, _ = await open_in_trouble(desk)
    await desk.submit(case, "courier_answers", SPECIALIST, finding="lost")
    await desk.submit(case, "parcel_returned", CLERK)
    await desk.submit(case, "choose_reship", AGENT)
    again = f"SF{order[-10:]}"
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again)
    view = await desk.view(case)
    assert view.state == "tracking"
    with desk.database.reading() as session:
        shipment = session.scalars(select(ShipmentRow).where(ShipmentRow.waybill == again)).one()
        assert shipment.back_at is None


async def test_what_was_reported_in_small_letters_is_seen_to_be_signed_for(desk: Desk) -> None:
    case, order, _ = await open_in_trouble(desk)
    await desk.submit(case, "courier_answers", SPECIALIST, finding="lost")
    await desk.submit(case, "choose_reship", AGENT)
    again = f"SF{order[-10:]}"
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again.lower())
    await scan_now(desk, case, again, "301")
    assert (await until_it_moves(desk, case)).state == "confirming_receipt"


async def lost_and_refunded_in_part(desk: Desk) -> tuple[str, Handle]:
    """A lost parcel of two lines, of which the platform has refunded the second."""
    order, waybill = two_lines(desk)
    scan(desk, waybill, "2")
    case = await open_parcel(desk, order, waybill)
    await desk.until(case, "investigating")
    with desk.database.writing() as session:
        outside.refunded(session, order, [LineQuantity(line=2, quantity=1)], at=datetime.now(UTC))
    await desk.submit(case, "courier_answers", SPECIALIST, finding="lost")
    return order, case


async def test_what_was_refunded_is_not_sent_again(desk: Desk) -> None:
    order, case = await lost_and_refunded_in_part(desk)
    await desk.submit(case, "choose_reship", AGENT)
    with desk.database.reading() as session:
        (asked,) = session.scalars(select(ReshipmentRow).where(ReshipmentRow.case_id == case.id))
    (task,) = [one for one in letters(desk, case, "staff") if one.template == "parcel.send_again"]
    assert task.parameters["lines"] == "1×2"
    assert asked.lines == [{"line": 1, "quantity": 2, "back": False}]
    again = f"SF{order[-10:]}"
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again)
    with desk.database.reading() as session:
        shipment = session.scalars(select(ShipmentRow).where(ShipmentRow.waybill == again)).one()
        inside = session.scalars(select(ShipmentLineRow).where(ShipmentLineRow.shipment_id == shipment.id)).all()
        assert [(one.line, one.quantity) for one in inside] == [(1, 2)]


async def test_a_refund_is_opened_for_what_is_left(desk: Desk) -> None:
    _, case = await lost_and_refunded_in_part(desk)
    await desk.submit(case, "choose_refund", AGENT)
    view = await desk.end(case)
    assert view.links
    with desk.database.reading() as session:
        (claim,) = session.scalars(select(CourierClaimRow).where(CourierClaimRow.case_id == case.id))
        assert claim.amount_fen == 8_000


async def test_a_forwarding_that_cannot_be_followed_hides_no_problem(desk: Desk) -> None:
    _, other = two_lines(desk)
    order, waybill = two_lines(desk)
    scan(desk, waybill, "7", text=f"快件已转圆通,新单号{other}")
    case = await open_parcel(desk, order, waybill)
    await desk.until(case, "tracking")
    view = await until_it_moves(desk, case, most=timedelta(days=9))
    assert view.state == "investigating"


async def test_our_own_signature_for_a_returned_parcel_is_not_the_buyers(desk: Desk) -> None:
    case, _, waybill = await open_in_trouble(desk)
    await desk.submit(case, "parcel_returned", CLERK)
    await scan_now(desk, case, waybill, "301")
    await desk.skip(case, timedelta(hours=10))
    view = await desk.view(case)
    assert view.state == "choosing_remedy"


async def test_receipt_is_put_off_also_where_the_export_does_not_say_when_it_was_shipped(desk: Desk) -> None:
    order, waybill = two_lines(desk)
    with desk.database.writing() as session:
        session.get_one(OrderRow, order).shipped_at = None
        session.scalars(select(ShipmentRow).where(ShipmentRow.order_id == order)).one().shipped_at = None
    scan(desk, waybill, "2", at=datetime.now(UTC) - timedelta(days=9, hours=12))
    case = await open_parcel(desk, order, waybill)
    await desk.until(case, "investigating")
    with desk.database.reading() as session:
        until = session.get_one(OrderRow, order).receipt_until
    assert until is not None


async def test_a_second_loss_is_claimed_too(desk: Desk) -> None:
    case, order, waybill = await open_in_trouble(desk)
    await desk.submit(case, "courier_answers", SPECIALIST, finding="lost")
    await desk.submit(case, "choose_reship", AGENT)
    again = f"SF{order[-10:]}"
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again)
    scan(desk, again, "2", at=await desk.skipper.get_current_time(case) + timedelta(minutes=1))
    await until_it_moves(desk, case)
    await desk.submit(case, "courier_answers", SPECIALIST, finding="lost")
    await desk.skip(case, timedelta(hours=49))
    await desk.end(case)
    with desk.database.reading() as session:
        claims = {c.waybill for c in session.scalars(select(CourierClaimRow).where(CourierClaimRow.case_id == case.id))}
    assert claims == {waybill, again}


async def test_silence_does_not_pay_by_a_loss_that_a_signature_has_overtaken(desk: Desk) -> None:
    case, _, waybill = await open_in_trouble(desk)
    await desk.submit(case, "courier_answers", SPECIALIST, finding="lost")
    await scan_now(desk, case, waybill, "304")
    await until_it_moves(desk, case)
    await desk.submit(case, "buyer_denies", AGENT)
    await desk.skip(case, timedelta(hours=25))
    await desk.until(case, "choosing_remedy")
    await desk.skip(case, timedelta(hours=49))
    view = await desk.end(case)
    child = desk.client.get_workflow_handle(view.links[-1])
    await desk.until(child, "awaiting_finance")


async def test_who_sent_a_parcel_to_us_is_not_asked_to_fetch_it_nor_to_refuse_it(desk: Desk) -> None:
    case, order, _ = await open_on_its_way_to_us(desk)
    await desk.submit(case, "courier_answers", SPECIALIST, finding="unreachable")
    await desk.submit(case, "buyer_chooses", AGENT, choice="pickup")
    desk.platform_refunds_order(order)
    await case.signal("order_gone", {"by": "system"})
    assert (await desk.end(case)).outcome == "closed"
    (letter,) = letters(desk, case, "buyer")
    assert "拒收" not in letter.text_zh
    assert "refuse" not in letter.text_en
