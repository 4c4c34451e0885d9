"""What is in a parcel has one case, ships once and is paid once, whoever asks, under which waybill and however late."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select

from casework.client import BadInput, CaseworkClient
from casework.shop.database import Database
from casework.shop.tables import LineRow, ShipmentLineRow, ShipmentRow
from tests.desk import Desk, Handle
from tests.parcels import parcel_order, scan, scan_now
from tests.workflows.goods.test_hand_overs import came_back_while_a_return_waits, refunded_in_part
from tests.workflows.goods.test_remedy_or_refund import (
    AGENT,
    CLERK,
    LEAD,
    SPECIALIST,
    WAREHOUSE,
    lost_of,
    of_line,
    parcel_of_two_lines,
    sent_again,
    sent_again_in_part,
)
from tests.workflows.test_problem_parcel import open_parcel
from tests.workflows.test_returns import opened, refused, said


async def in_trouble(desk: Desk, order: str, waybill: str, *, code: str = "2") -> Handle:
    """A case of the parcel, which its newest scan says is in trouble."""
    scan(desk, waybill, code)
    case = await open_parcel(desk, order, waybill, cause="exception")
    await desk.until(case, "investigating")
    return case


async def to_be_forwarded(desk: Desk) -> tuple[str, str, Handle]:
    """The order, the waybill and the case of a parcel that the buyer wants sent on by another courier."""
    order, waybill = parcel_order(desk)
    case = await in_trouble(desk, order, waybill, code="204")
    await desk.submit(case, "courier_answers", SPECIALIST, finding="unreachable")
    await desk.submit(case, "buyer_chooses", AGENT, choice="forward")
    return order, waybill, case


async def opened_by_client(desk: Desk, order: str, waybill: str) -> str:
    start = {"order_id": order, "by": AGENT, "waybill": waybill, "courier": "shunfeng", "cause": "asked"}
    return await CaseworkClient(desk.client, desk.database).start_case("problem-parcel", start)


def pieces_out(database: Database, order: str, line: int) -> int:
    """How many pieces of a line are in parcels that are not back."""
    with database.reading() as session:
        return sum(
            session.scalars(
                select(ShipmentLineRow.quantity)
                .join(ShipmentRow, ShipmentRow.id == ShipmentLineRow.shipment_id)
                .where(ShipmentRow.order_id == order, ShipmentLineRow.line == line, ShipmentRow.back_at.is_(None))
            )
        )


# --- one case ---


async def test_a_replacement_that_an_open_case_follows_has_no_second_case(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "choose_reship", AGENT)
    again = f"SF{order[-10:]}"
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again)
    with pytest.raises(BadInput, match=f"{again} is followed by the open case {case.id} already"):
        await opened_by_client(desk, order, again)
    await case.cancel()


async def test_goods_that_an_open_case_follows_under_a_later_waybill_have_no_second_case(desk: Desk) -> None:
    order, waybill, case = await to_be_forwarded(desk)
    onward = f"EM{order[-10:]}"
    # the case may ask for it before it is called off, and nobody asks again within half an hour
    scan(desk, onward, "2")
    await desk.submit(case, "parcel_forwarded", SPECIALIST, courier="ems", waybill=onward)
    await desk.submit(case, "cancel_case", LEAD, note="opened by mistake")
    await desk.end(case)
    later = await in_trouble(desk, order, onward)
    with pytest.raises(BadInput, match=f"{waybill} is followed by the open case {later.id} already"):
        await opened_by_client(desk, order, waybill)
    await later.cancel()


# --- one parcel ---


async def test_the_lost_parcels_later_waybill_is_no_replacement(desk: Desk) -> None:
    order, _, case = await to_be_forwarded(desk)
    onward = f"EM{order[-10:]}"
    await desk.submit(case, "parcel_forwarded", SPECIALIST, courier="ems", waybill=onward)
    await scan_now(desk, case, onward, "2")
    while (await desk.view(case)).state != "investigating":
        await desk.skip(case, timedelta(hours=2))
    await desk.submit(case, "courier_answers", SPECIALIST, finding="lost")
    await desk.submit(case, "choose_reship", AGENT)
    why = await refused(desk, case, "parcel_reshipped", WAREHOUSE, courier="ems", waybill=onward)
    assert f"{onward} is this case's own parcel" in why
    await case.cancel()


async def test_a_parcel_is_not_forwarded_under_the_waybill_that_it_has(desk: Desk) -> None:
    _, waybill, case = await to_be_forwarded(desk)
    why = await refused(desk, case, "parcel_forwarded", SPECIALIST, courier="ems", waybill=waybill)
    assert f"{waybill} is this case's own parcel" in why
    await case.cancel()


# --- once ---


async def test_what_is_to_be_sent_again_does_not_ship_besides_where_its_parcel_comes_back_to_a_refund(
    desk: Desk,
) -> None:
    order, waybill = parcel_of_two_lines(desk)
    scan(desk, waybill, "0")
    refund = await desk.open_case(
        "refund-before-shipping",
        f"refund-before-shipping-{order}-1",
        {"order_id": order, "by": AGENT, "lines": of_line(1), "reason": "bought twice"},
    )
    await desk.until(refund, "awaiting_parcel_back")
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "choose_reship", AGENT)
    assert sent_again(desk, case) == [of_line(2)]
    await desk.submit(refund, "parcel_back", CLERK, waybill=waybill)  # it was not lost after all
    await desk.end(refund)
    assert said(desk, refund, "ship_again") is None
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    assert pieces_out(desk.database, order, 2) == 1
    await case.cancel()


async def test_a_replacement_of_a_part_is_over_when_what_is_in_it_is_refunded(desk: Desk) -> None:
    order, _, other, case = await sent_again_in_part(desk)
    desk.platform_refunds_line(order, 2)
    await desk.signal(case, "order_gone", "system")
    assert (await desk.end(case)).outcome == "closed"
    assert said(desk, case, "parcel.recover") is not None
    await other.cancel()


# --- what came back to us ---


async def test_a_return_does_not_wait_for_ever_for_what_came_back_to_us(desk: Desk) -> None:
    _, back, case = await came_back_while_a_return_waits(desk)
    await desk.submit(case, "cancel_case", LEAD, note="opened by mistake")
    await desk.end(case)
    for _ in range(6):
        await desk.skip(back, timedelta(days=8))
    assert (await desk.view(back)).final


async def test_a_parcel_that_the_buyer_refused_is_the_way_back_that_its_return_awaits(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel")
    await desk.submit(back, "buyer_ships", AGENT, courier="yuantong", waybill=waybill)
    await desk.skip_to_deadline(back)
    case = await desk.first_opened_by(back)
    await desk.until_it_takes(case, "parcel_returned")
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    await desk.skip_to_deadline(case)
    await desk.end(case)
    assert said(desk, back, "parcel.way_back_here") is not None
    assert said(desk, case, "parcel.lost") is None, "the buyer knows: they refused it"
    await back.cancel()


@pytest.mark.parametrize("booked", [True, False], ids=["booked again", "seen by its scans"])
async def test_the_buyer_is_not_asked_about_what_ships_again(desk: Desk, booked: bool) -> None:
    order, waybill, case = await refunded_in_part(desk)
    if booked:
        await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    else:
        await scan_now(desk, case, waybill, "6")
        for _ in range(4):
            await desk.skip_to_deadline(case)
    with desk.database.reading() as session:
        assert session.get_one(LineRow, (order, 2)).place == "shipped"
    assert said(desk, case, "parcel.lost") is None
    await case.cancel()
