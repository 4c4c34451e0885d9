"""Goods that did not arrive are sent again or paid for, never both and never neither; nobody is told otherwise."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from sqlalchemy import select

from casework.client import CaseOpen, CaseworkClient
from casework.shop.tables import LineRow, OutboxRow, OutOfStockRow, ReshipmentRow, ShipmentLineRow, ShipmentRow
from tests.desk import Desk, Handle
from tests.parcels import parcel_order, scan, scan_now, two_parcels_of_one_line, until_it_moves
from tests.races.racing import answer_of
from tests.workflows.test_problem_parcel import (
    AGENT,
    CLERK,
    LEAD,
    SPECIALIST,
    WAREHOUSE,
    letters,
    open_in_trouble,
    open_parcel,
)
from tests.workflows.test_returns import FINANCE, FLOW, opened, paid_fen, refused, stock

REFUND_FLOW = "refund-before-shipping"


async def lost(desk: Desk, *, price_fen: int = 10_000) -> tuple[Handle, str]:
    """A case whose parcel is lost, and its order."""
    case, order, _ = await open_in_trouble(desk, price_fen=price_fen)
    await desk.submit(case, "courier_answers", SPECIALIST, finding="lost")
    return case, order


async def lost_of(desk: Desk, order: str, waybill: str) -> Handle:
    """The case of an order's parcel that is lost."""
    scan(desk, waybill, "2")
    case = await open_parcel(desk, order, waybill, cause="exception")
    await desk.until(case, "investigating")
    await desk.submit(case, "courier_answers", SPECIALIST, finding="lost")
    return case


def parcel_of_two_lines(desk: Desk, *, prices_fen: tuple[int, int] = (10_000, 7_000)) -> tuple[str, str]:
    """An order of two lines in one parcel, and its waybill."""
    order = desk.order(prices=[(price_fen, 1) for price_fen in prices_fen], shipped=True)
    with desk.database.reading() as session:
        return order, session.scalars(select(ShipmentRow.waybill).where(ShipmentRow.order_id == order)).one()


def of_line(line: int) -> list[dict[str, int]]:
    return [{"line": line, "quantity": 1}]


def sent_again(desk: Desk, case: Handle) -> list[list[dict[str, int]]]:
    """What the case has had sent again, or means to."""
    with desk.database.reading() as session:
        asked = session.scalars(select(ReshipmentRow.lines).where(ReshipmentRow.case_id == case.id))
        return [[{"line": one["line"], "quantity": one["quantity"]} for one in lines] for lines in asked]


def last_word(desk: Desk, case: Handle) -> OutboxRow:
    """What the buyer was told at the end."""
    return letters(desk, case, "buyer")[-1]


def left_tasks(desk: Desk, case: Handle) -> list[OutboxRow]:
    """The tasks that tell of money that the case has not seen to."""
    return [one for one in letters(desk, case, "staff") if one.template == "parcel.refund_with_others"]


# --- what is sent again is not paid for as well ---


@pytest.mark.parametrize("flow", [REFUND_FLOW, FLOW])
async def test_what_is_being_sent_again_is_neither_refunded_nor_returned(desk: Desk, flow: str) -> None:
    case, order = await lost(desk)
    await desk.submit(case, "choose_reship", AGENT)
    cause = {"cause": "no_reason"} if flow == FLOW else {}
    other = await desk.open_case(flow, f"{flow}-{order}", {"order_id": order, "by": AGENT, **cause})
    view = await desk.until(other, "not_applicable")
    assert f"the open case {case.id}" in (view.trail[-1].why or "")
    with pytest.raises(CaseOpen, match=case.id):
        await CaseworkClient(desk.client, desk.database).start_case(flow, {"order_id": order, "by": AGENT, **cause})
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    assert paid_fen(desk, order) == 0
    await case.cancel()
    await desk.end(case)


async def test_what_came_back_and_is_being_sent_again_is_not_refunded(desk: Desk) -> None:
    case, order, waybill = await open_in_trouble(desk)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    await desk.submit(case, "choose_reship", AGENT)
    other = await desk.start(order)
    view = await desk.until(other, "not_applicable")
    assert f"the open case {case.id}" in (view.trail[-1].why or "")
    await case.cancel()
    await desk.end(case)


async def test_goods_that_were_sent_again_go_back_as_any_others_once_the_parcels_case_has_ended(desk: Desk) -> None:
    case, order = await lost(desk)
    await desk.submit(case, "choose_reship", AGENT)
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    too_early = await opened(desk, order, "not_applicable")
    assert f"the open case {case.id}" in ((await desk.view(too_early)).trail[-1].why or "")
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)
    back = await opened(desk, order, "awaiting_parcel")
    await back.cancel()
    await desk.end(back)


async def test_what_is_lost_once_more_is_paid_by_the_return_that_the_parcels_case_opens(desk: Desk) -> None:
    case, order = await lost(desk)
    await desk.submit(case, "choose_reship", AGENT)
    again = f"SF{order[-10:]}"
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again)
    scan(desk, again, "2", at=await desk.skipper.get_current_time(case) + timedelta(minutes=1))
    await until_it_moves(desk, case)
    await desk.submit(case, "courier_answers", SPECIALIST, finding="lost")
    async with desk.before("close_case", order):  # the case is open still when its return looks
        await desk.submit(case, "choose_refund", AGENT)
        await desk.reached("close_case", order)
        back = desk.client.get_workflow_handle(f"{FLOW}-{order}")
        await desk.until(back, "confirming", "not_applicable")
    assert (await desk.end(case)).links == [back.id]
    assert paid_fen(desk, order) == 10_000
    await desk.submit(back, "buyer_confirms", AGENT)
    await desk.end(back)


async def test_of_two_parcels_of_a_line_one_is_sent_again_and_the_other_paid_for(desk: Desk) -> None:
    order, waybills = two_parcels_of_one_line(desk)
    again, paid_for = [await lost_of(desk, order, waybill) for waybill in waybills]
    await desk.submit(again, "choose_reship", AGENT)
    await desk.submit(paid_for, "choose_refund", AGENT)
    assert (await desk.end(paid_for)).links == [f"{FLOW}-{order}"]
    back = desk.client.get_workflow_handle(f"{FLOW}-{order}")
    await desk.until(back, "confirming", "not_applicable")
    assert paid_fen(desk, order) == 5_000
    await again.cancel()
    await back.cancel()
    await desk.end(again)


def waybill_of(desk: Desk, order: str) -> str:
    """The order's first parcel."""
    with desk.database.reading() as session:
        return session.scalars(select(ShipmentRow.waybill).where(ShipmentRow.order_id == order)).first() or ""


@pytest.mark.parametrize("end", ["buyer_confirms", "cancel_case"])
async def test_a_parcel_whose_goods_were_sent_again_is_settled(desk: Desk, end: str) -> None:
    case, order = await lost(desk)
    first, again = waybill_of(desk, order), f"SF{order[-10:]}"
    await desk.submit(case, "choose_reship", AGENT)
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again)
    if end == "buyer_confirms":
        await desk.submit(case, end, AGENT)
    else:
        await desk.submit(case, end, LEAD, note="the buyer does not answer")
    await desk.end(case)
    once_more = await open_parcel(desk, order, first, cause="exception")
    assert (await desk.end(once_more)).outcome == "not_applicable"
    other = await open_parcel(desk, order, again, courier="shunfeng", cause="overdue")
    await desk.until(other, "tracking")  # what was sent again is a parcel like any other
    assert paid_fen(desk, order) == 0
    await other.cancel()
    await desk.end(other)


async def test_a_parcel_that_was_paid_for_is_not_paid_again_with_a_piece_that_arrived(desk: Desk) -> None:
    order, (first, second) = two_parcels_of_one_line(desk)
    case = await lost_of(desk, order, first)
    await desk.submit(case, "choose_refund", AGENT)
    back = desk.client.get_workflow_handle((await desk.end(case)).links[0])
    await desk.until(back, "confirming")
    too_early = await open_parcel(desk, order, first, cause="exception")
    assert (await desk.end(too_early)).outcome == "not_applicable", "its refund is open still"
    await desk.submit(back, "buyer_confirms", AGENT)
    await desk.end(back)
    once_more = await open_parcel(desk, order, first, cause="exception")
    assert (await desk.end(once_more)).outcome == "not_applicable"
    assert paid_fen(desk, order) == 5_000
    other = await lost_of(desk, order, second)
    await desk.submit(other, "choose_refund", AGENT)
    back = desk.client.get_workflow_handle((await desk.end(other)).links[0])
    await desk.until(back, "confirming")
    assert paid_fen(desk, order) == 10_000, "the other parcel is lost too"
    await back.cancel()


async def test_of_two_pieces_one_refunded_by_the_platform_and_one_sent_again_nothing_more_is_due(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 2)], shipped=True)
    desk.platform_refunds_line(order, 1)
    waybill = waybill_of(desk, order)
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "choose_reship", AGENT)
    again = f"SF{order[-10:]}"
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again)
    assert inside(desk, again) == of_line(1), "one piece"
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)
    once_more = await open_parcel(desk, order, waybill, cause="exception")
    assert (await desk.end(once_more)).outcome == "not_applicable"


# --- what the platform refunds while the warehouse is to send it ---


async def test_what_the_platform_refunds_while_it_is_to_be_sent_again_stays_in_stock(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "choose_reship", AGENT)
    assert stock(desk, order) == {1: -1, 2: -1}
    desk.platform_refunds_line(order, 1)
    for _ in range(2):  # the case looks again, and says so once
        assert "does not show" in await told_in_vain(desk, case)
    tasks = [one for one in letters(desk, case, "staff") if one.recipient == "warehouse"]
    assert [(one.template, one.parameters["lines"], one.cancelled_at is None) for one in tasks] == [
        ("parcel.send_again", "1×1, 2×1", False),
        ("parcel.send_less", "2×1", True),
    ]
    again = f"SF{order[-10:]}"
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again)
    assert stock(desk, order) == {2: -1}
    assert sent_again(desk, case) == [of_line(2)]
    assert inside(desk, again) == of_line(2)
    await case.cancel()
    await desk.end(case)


async def test_what_came_back_and_is_refunded_before_it_is_sent_again_goes_into_stock(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    scan(desk, waybill, "2")
    case = await open_parcel(desk, order, waybill, cause="exception")
    await desk.until(case, "investigating")
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    await desk.submit(case, "choose_reship", AGENT)
    assert stock(desk, order) == {}
    desk.platform_refunds_line(order, 1)
    again = f"SF{order[-10:]}"
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again)
    assert stock(desk, order) == {1: 1}
    assert inside(desk, again) == of_line(2)
    await case.cancel()
    await desk.end(case)


async def told_in_vain(desk: Desk, case: Handle) -> str:
    """Why the news that the order is gone is refused."""
    before = len((await desk.view(case)).trail)
    await desk.signal(case, "order_gone", "system")
    view = await desk.until_shown(case, lambda view: len(view.trail) > before, "refused")
    return view.trail[-1].why or ""


def inside(desk: Desk, waybill: str) -> list[dict[str, int]]:
    """What is in a parcel."""
    with desk.database.reading() as session:
        rows = session.scalars(
            select(ShipmentLineRow)
            .join(ShipmentRow, ShipmentRow.id == ShipmentLineRow.shipment_id)
            .where(ShipmentRow.waybill == waybill)
            .order_by(ShipmentLineRow.line)
        )
        return [{"line": row.line, "quantity": row.quantity} for row in rows]


# --- a person may do what silence does ---


async def test_a_person_refunds_what_no_other_case_has(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    other = await opened(desk, order, "collecting_evidence", suffix="-1", lines=of_line(1), cause="quality")
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "choose_refund", AGENT)
    view = await desk.end(case)
    assert view.links == [f"{FLOW}-{order}-2"]
    (task,) = left_tasks(desk, case)
    assert other.id in task.text_en
    back = desk.client.get_workflow_handle(view.links[0])
    await desk.until(back, "confirming")
    assert paid_fen(desk, order) == 7_000
    await other.cancel()
    await back.cancel()


async def test_a_person_has_sent_again_what_no_other_case_has_and_the_rest_is_followed_later(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    other = await opened(desk, order, "collecting_evidence", suffix="-1", lines=of_line(1), cause="quality")
    case = await lost_of(desk, order, waybill)
    assert (await desk.submit(case, "choose_reship", AGENT)).state == "reshipping"
    tasks = {one.template: one for one in letters(desk, case, "staff")}
    assert tasks["parcel.send_again"].parameters["lines"] == "2×1"
    assert f"1×1 ({other.id})" in tasks["parcel.rest_with_others"].text_en
    assert f"1×1 ({other.id})" in tasks["parcel.rest_with_others"].text_zh
    await other.cancel()
    await desk.end(other)
    again = f"SF{order[-10:]}"
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again)
    assert inside(desk, again) == of_line(2), "the warehouse was not asked for the other line"
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)
    rest = await lost_of(desk, order, waybill)
    assert (await desk.view(rest)).amount_fen == 10_000, "only that line was not made good"
    await desk.submit(rest, "choose_refund", AGENT)
    assert (await desk.end(rest)).links == [f"{FLOW}-{order}-1"]
    back = desk.client.get_workflow_handle(f"{FLOW}-{order}-1")
    await desk.until(back, "confirming")
    assert paid_fen(desk, order) == 10_000
    await back.cancel()


async def test_the_warehouse_is_asked_for_what_was_reserved_and_not_for_what_others_let_go_of_just_then(
    desk: Desk,
) -> None:
    order, waybill = parcel_of_two_lines(desk)
    other = await opened(desk, order, "collecting_evidence", suffix="-1", lines=of_line(1), cause="quality")
    case = await lost_of(desk, order, waybill)
    async with AsyncExitStack() as look:
        async with desk.before("reserve_goods", order):
            choosing = asyncio.ensure_future(desk.submit(case, "choose_reship", AGENT))
            await desk.reached("reserve_goods", order)
            await look.enter_async_context(desk.before("look_at_parcel", order))
        await desk.reached("look_at_parcel", order)
        await other.cancel()
        await desk.end(other)
    await choosing
    (task,) = [one for one in letters(desk, case, "staff") if one.template == "parcel.send_again"]
    assert task.parameters["lines"] == "2×1"
    await case.cancel()
    await desk.end(case)


async def test_where_all_that_was_to_be_sent_is_refunded_a_task_says_what_to_do(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    with desk.database.writing() as session:
        for line in session.scalars(select(LineRow).where(LineRow.order_id == order)):
            line.sku = f"SKU-{order}-{line.number}"
    other = await opened(desk, order, "collecting_evidence", suffix="-1", lines=of_line(1), cause="quality")
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "choose_reship", AGENT)
    desk.platform_refunds_line(order, 2)
    await told_in_vain(desk, case)
    (task,) = [one for one in letters(desk, case, "staff") if one.template == "parcel.send_nothing"]
    assert task.recipient == "aftersale_supervisor"
    why = await refused(desk, case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    assert "refunded" in why
    await desk.submit(case, "find_out_of_stock", WAREHOUSE)
    assert (await desk.end(case)).links == []
    assert stock(desk, order) == {}
    with desk.database.reading() as session:
        out = session.get(OutOfStockRow, f"SKU-{order}-2")
    assert out is None, "nobody has said that what is refunded is missing"
    await other.cancel()


# --- what silence comes to, where another case has the money ---


async def test_silence_refunds_what_no_other_case_has_and_a_task_names_the_case_that_has_the_rest(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    other = await opened(desk, order, "collecting_evidence", suffix="-1", lines=of_line(1), cause="quality")
    case = await lost_of(desk, order, waybill)
    await desk.skip(case, timedelta(hours=49))
    view = await desk.end(case)
    assert (view.outcome, view.links) == ("refund_opened", [f"{FLOW}-{order}-2"])
    assert other.id in (view.trail[-1].why or "")
    back = desk.client.get_workflow_handle(f"{FLOW}-{order}-2")
    assert (await desk.end(back)).amount_fen == 7_000, "said to be lost by a person, within the clerk's limit"
    (task,) = left_tasks(desk, case)
    assert task.recipient == "parcel_specialist"
    assert "1×1" in task.text_en
    assert other.id in task.text_en
    assert other.id in task.text_zh
    assert "nothing needs to be sent back" not in last_word(desk, case).text_en
    assert "无需您寄回" not in last_word(desk, case).text_zh
    await other.cancel()


async def test_silence_tells_of_no_refund_where_another_case_has_all_of_it(desk: Desk) -> None:
    order, waybills = two_parcels_of_one_line(desk)
    first, second = [await lost_of(desk, order, waybill) for waybill in waybills]
    await desk.submit(first, "choose_refund", AGENT)
    await desk.end(first)
    assert "nothing needs to be sent back" in last_word(desk, first).text_en
    back = desk.client.get_workflow_handle(f"{FLOW}-{order}")
    await desk.until(back, "confirming")
    assert f"the open case {back.id}" in await refused(desk, second, "choose_refund", AGENT)
    await desk.skip(second, timedelta(hours=49))
    view = await desk.end(second)
    assert (view.outcome, view.links) == ("refund_opened", [])
    (task,) = left_tasks(desk, second)
    assert "1×1" in task.text_en
    assert back.id in task.text_en
    assert "nothing needs to be sent back" not in last_word(desk, second).text_en
    assert not [one for one in letters(desk, second, "staff") if one.template == "open_by_hand"], "one task is enough"
    await back.cancel()


async def test_a_supervisors_silence_asks_who_has_the_money_too(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk, prices_fen=(30_000, 7_000))
    case = await lost_of(desk, order, waybill)
    assert (await desk.submit(case, "choose_reship", AGENT)).state == "awaiting_supervisor"
    other = await opened(desk, order, "awaiting_supervisor", suffix="-1", lines=of_line(1))
    await desk.skip(case, timedelta(hours=20))
    view = await desk.end(case)
    assert view.links == [f"{FLOW}-{order}-2"]
    assert len(left_tasks(desk, case)) == 1
    await desk.client.get_workflow_handle(view.links[0]).cancel()
    await other.cancel()


async def test_a_task_asks_for_the_refund_of_a_parcel_of_which_nobody_has_told_what_is_in_it(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    with desk.database.writing() as session:
        parcel = session.scalars(select(ShipmentRow).where(ShipmentRow.order_id == order)).one()
        session.delete(session.get_one(ShipmentLineRow, (parcel.id, 1)))
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "choose_refund", AGENT)
    assert (await desk.end(case)).links == []
    (task,) = [one for one in letters(desk, case, "staff") if one.template == "open_by_hand"]
    assert f"nobody has told what was in {waybill}" in task.text_en


# --- a return that waits for what never came ---


@pytest.mark.parametrize("by", ["choose_refund", "silence"])
async def test_a_return_that_waits_for_what_never_came_is_called_off_and_the_buyer_is_paid_once(
    desk: Desk, by: str
) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel")
    case = await lost_of(desk, order, waybill)
    if by == "silence":
        await desk.skip(case, timedelta(hours=49))
    else:
        await desk.submit(case, by, AGENT)
    view = await desk.end(case)
    assert (view.outcome, view.links) == ("refund_opened", [f"{FLOW}-{order}"])
    assert (await desk.end(back)).outcome == "cancelled"
    refund = desk.client.get_workflow_handle(f"{FLOW}-{order}")
    await desk.until(refund, "confirming")
    assert paid_fen(desk, order) == 10_000
    assert "nothing needs to be sent back" in last_word(desk, case).text_en
    tasks = {one.template: one for one in letters(desk, case, "staff")}
    assert back.id in tasks["parcel.returns_called_off"].text_en
    assert left_tasks(desk, case) == []
    await answer_of(desk.submit(refund, "buyer_confirms", AGENT))  # time to object may be over: it ends by itself then
    await desk.end(refund)
    assert paid_fen(desk, order) == 10_000


async def test_a_return_of_what_was_signed_for_by_nobody_known_waits_in_vain_too(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel")
    scan(desk, waybill, "301")
    case = await open_parcel(desk, order, waybill, cause="asked")
    await desk.until(case, "confirming_receipt")
    await desk.submit(case, "buyer_denies", AGENT)
    await desk.submit(case, "no_proof", SPECIALIST)
    await desk.submit(case, "choose_refund", AGENT)
    refund = desk.client.get_workflow_handle((await desk.end(case)).links[0])
    assert (await desk.end(back)).outcome == "cancelled"
    await desk.until(refund, "confirming", "awaiting_finance")
    assert paid_fen(desk, order) == 10_000
    await refund.cancel()


async def test_a_return_of_a_piece_that_may_be_another_parcels_is_left_alone_and_ends_in_time(desk: Desk) -> None:
    order, (first, second) = two_parcels_of_one_line(desk)
    scan(desk, second, "0")
    back = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    case = await lost_of(desk, order, first)
    assert f"the open case {back.id}" in await refused(desk, case, "choose_refund", AGENT)
    await desk.skip(case, timedelta(hours=49))
    assert (await desk.end(case)).links == []
    assert len(left_tasks(desk, case)) == 1
    scan(desk, second, "301", at=await desk.skipper.get_current_time(back))
    for _ in range(3):
        await desk.skip(back, timedelta(days=8))
    assert (await desk.end(back)).outcome == "lapsed", "what was lost is waited for no longer"


async def test_a_return_that_was_still_judged_when_its_parcel_was_lost_does_not_wait_for_ever(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    back = await opened(desk, order, "collecting_evidence", cause="quality")
    case = await lost_of(desk, order, waybill)
    await desk.skip(case, timedelta(hours=49))
    await desk.end(case)
    (task,) = left_tasks(desk, case)
    assert back.id in task.text_en
    for _ in range(6):
        await desk.skip(back, timedelta(days=8))
    assert (await desk.end(back)).outcome == "lapsed"
    again = await lost_of(desk, order, waybill)  # and then the parcel's case is free to refund
    await desk.submit(again, "choose_refund", AGENT)
    refund = desk.client.get_workflow_handle((await desk.end(again)).links[0])
    await desk.until(refund, "confirming")
    assert paid_fen(desk, order) == 10_000
    await refund.cancel()


async def test_a_parcel_that_was_found_again_is_waited_for(desk: Desk) -> None:
    order, waybill = parcel_order(desk, price_fen=60_000)
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "choose_refund", AGENT)
    refund = desk.client.get_workflow_handle((await desk.end(case)).links[0])
    await desk.until(refund, "awaiting_finance")
    await scan_now(desk, refund, waybill, "0")
    await desk.submit(refund, "reject", FINANCE, note="it was found")
    await desk.end(refund)
    back = await opened(desk, order, "awaiting_supervisor")
    await desk.submit(back, "approve", LEAD)
    await desk.until(back, "awaiting_parcel")
    await desk.skip_to_deadline(back)
    assert (await desk.view(back)).state == "awaiting_parcel", "the buyer has not signed for it yet"
    await back.cancel()
    await desk.end(back)


# --- every way to a remedy asks the shop ---


async def test_approval_is_refused_for_what_the_platform_has_refunded_and_nothing_is_sent(desk: Desk) -> None:
    case, order = await lost(desk, price_fen=50_000)
    assert (await desk.submit(case, "choose_reship", AGENT)).state == "awaiting_supervisor"
    desk.platform_refunds_order(order)
    assert "nothing left to make good" in await refused(desk, case, "approve", LEAD)
    assert (await desk.end(case)).outcome == "closed"
    assert sent_again(desk, case) == []
    assert not [one for one in letters(desk, case, "staff") if one.template == "parcel.send_again"]


async def test_goods_of_an_open_return_are_not_chosen_to_be_sent_again_also_over_the_limit(desk: Desk) -> None:
    order, waybill = parcel_order(desk, price_fen=50_000)
    other = await opened(desk, order, "awaiting_supervisor")
    case = await lost_of(desk, order, waybill)
    why = await refused(desk, case, "choose_reship", AGENT)
    assert why.startswith(f"the open case {other.id} is about the money")
    assert (await desk.view(case)).state == "choosing_remedy"
    await other.cancel()
    await case.cancel()
    await desk.end(case)


async def test_a_return_that_opens_before_the_approval_is_named_by_its_refusal(desk: Desk) -> None:
    case, order = await lost(desk, price_fen=50_000)
    await desk.submit(case, "choose_reship", AGENT)
    other = await opened(desk, order, "awaiting_supervisor")
    why = await refused(desk, case, "approve", LEAD)
    assert why.startswith(f"the open case {other.id} is about the money"), "no field that approve does not have"
    await other.cancel()
    await case.cancel()
    await desk.end(case)


async def test_what_a_buyer_chooses_to_have_sent_again_is_not_another_cases(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    other = await opened(desk, order, "awaiting_parcel")
    scan(desk, waybill, "2")
    case = await open_parcel(desk, order, waybill, cause="exception")
    await desk.until(case, "investigating")
    await desk.submit(case, "courier_answers", SPECIALIST, finding="unreachable")
    for choice in ("reship", "refund"):
        why = await refused(desk, case, "buyer_chooses", AGENT, choice=choice)
        assert why.startswith(f"the open case {other.id} is about the money")
    assert (await desk.submit(case, "buyer_chooses", AGENT, choice="pickup")).state == "awaiting_pickup"
    await other.cancel()
    await case.cancel()
    await desk.end(case)


@pytest.mark.parametrize(("remedy", "state"), [("choose_refund", "refund_opened"), ("choose_reship", "reshipping")])
async def test_a_line_that_is_paid_already_does_not_stop_the_others_remedy(desk: Desk, remedy: str, state: str) -> None:
    order, waybill = parcel_of_two_lines(desk)
    other = await opened(desk, order, "awaiting_parcel", suffix="-1", lines=of_line(1))
    desk.platform_refunds_line(order, 1)
    await desk.signal(other, "order_gone", "system")
    await desk.until(other, "confirming")
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, remedy, AGENT)
    await desk.until(case, state)
    if remedy == "choose_reship":
        assert sent_again(desk, case) == [of_line(2)]
        await case.cancel()
    else:
        assert (await desk.view(case)).links == [f"{FLOW}-{order}-2"]
        assert left_tasks(desk, case) == []
    await other.cancel()


# --- what was sent again and comes back ---


async def replacement_that_came_back(desk: Desk) -> tuple[str, Handle]:
    order, waybill = parcel_order(desk)
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "choose_reship", AGENT)
    again = f"SF{order[-10:]}"
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again)
    assert stock(desk, order) == {1: -1}
    await desk.submit(case, "parcel_returned", CLERK, waybill=again)
    return order, case


async def test_a_replacement_that_came_back_and_is_paid_for_goes_into_stock(desk: Desk) -> None:
    order, case = await replacement_that_came_back(desk)
    await desk.submit(case, "choose_refund", AGENT)
    back = desk.client.get_workflow_handle((await desk.end(case)).links[0])
    await desk.until(back, "confirming")
    assert (paid_fen(desk, order), stock(desk, order)) == (10_000, {})
    await back.cancel()


async def test_a_replacement_that_came_back_is_sent_once_more_and_none_is_taken_out_of_stock(desk: Desk) -> None:
    order, case = await replacement_that_came_back(desk)
    await desk.submit(case, "choose_reship", AGENT)
    assert stock(desk, order) == {1: -1}
    await desk.submit(case, "cancel_case", LEAD, note="the buyer wants something else")
    await desk.end(case)
    desk.ship_line(order, 1, f"AG{order[-10:]}")  # it ships as any other order


async def test_a_forwarded_parcel_that_came_back_is_settled_under_its_later_waybill_too(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "204")
    case = await open_parcel(desk, order, waybill, cause="exception")
    await desk.until(case, "investigating")
    await desk.submit(case, "courier_answers", SPECIALIST, finding="unreachable")
    await desk.submit(case, "buyer_chooses", AGENT, choice="forward")
    onward = f"EM{order[-10:]}"
    await desk.submit(case, "parcel_forwarded", SPECIALIST, courier="ems", waybill=onward)
    await desk.submit(case, "parcel_returned", CLERK, waybill=onward)
    await desk.submit(case, "cancel_case", LEAD, note="the buyer wants it sent again")
    await desk.end(case)
    desk.ship_line(order, 1, f"AG{order[-10:]}")
    for each in (waybill, onward):
        once_more = await open_parcel(desk, order, each, cause="exception")
        assert (await desk.end(once_more)).outcome == "not_applicable"


async def test_the_lost_parcels_own_waybill_in_other_capitals_is_no_new_parcel(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "choose_reship", AGENT)
    own = waybill.lower()
    assert "is this case's own parcel" in await refused(
        desk, case, "parcel_reshipped", WAREHOUSE, courier="yuantong", waybill=own
    )
    await case.cancel()
    await desk.end(case)


async def sent_again_in_part(desk: Desk) -> tuple[str, str, Handle, Handle]:
    """Of two lines in a lost parcel one is another case's, and the other one has been sent again.

    The order, the waybill that was lost, that case, and the parcel's own.
    """
    order, waybill = parcel_of_two_lines(desk)
    other = await opened(desk, order, "collecting_evidence", suffix="-1", lines=of_line(1), cause="quality")
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "choose_reship", AGENT)
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    return order, waybill, other, case


async def test_the_second_case_of_a_parcel_ends_when_what_it_is_about_is_refunded(desk: Desk) -> None:
    order, waybill, other, case = await sent_again_in_part(desk)
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)
    await other.cancel()
    await desk.end(other)
    rest = await lost_of(desk, order, waybill)
    desk.platform_refunds_line(order, 1)
    await desk.signal(rest, "order_gone", "system")
    assert (await desk.end(rest)).outcome == "closed"


async def test_what_comes_back_after_others_were_sent_in_its_place_goes_into_stock(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    scan(desk, waybill, "0")
    start = {"order_id": order, "by": AGENT, "lines": of_line(1), "reason": "bought twice"}
    refund = await desk.open_case(REFUND_FLOW, f"{REFUND_FLOW}-{order}-1", start)
    await desk.until(refund, "awaiting_parcel_back")
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "choose_reship", AGENT)
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    assert stock(desk, order) == {2: -1}
    await desk.submit(refund, "parcel_back", CLERK, waybill=waybill)  # it was not lost after all
    await desk.end(refund)
    assert stock(desk, order) == {1: 1}
    await case.cancel()
    await desk.end(case)
