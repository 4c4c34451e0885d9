"""A parcel that is here although its case does not wait for it: nobody brings it, claims it, or is paid as if lost."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select

from casework import names
from casework.case import CaseView
from casework.shop.tables import CourierClaimRow, ShipmentRow
from tests.desk import Desk, Handle
from tests.parcels import parcel_order, scan, scan_now
from tests.workflows.goods.test_goods_of_parcels import in_trouble
from tests.workflows.goods.test_remedy_or_refund import AGENT, CLERK, SPECIALIST, lost_of, of_line
from tests.workflows.goods.test_what_came_back import paid_and_confirmed, parcel_of, place, ships
from tests.workflows.goods.test_where_each_piece_goes import told_to_take_in, trade_finished
from tests.workflows.test_problem_parcel import letters, open_parcel
from tests.workflows.test_returns import opened, paid_fen, stock


async def came_back_from_a_locker(desk: Desk) -> tuple[str, str, Handle]:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "303")
    case = await open_parcel(desk, order, waybill, cause="signed_unconfirmed")
    await desk.until(case, "confirming_receipt")
    return order, waybill, case


async def past_receipt(desk: Desk, case: Handle) -> CaseView:
    """Let deadlines pass until the buyer is asked no more whether they have it; a case that goes on is cancelled."""
    view = await desk.view(case)
    while not view.final and view.state == "confirming_receipt":
        view = await desk.skip_to_deadline(case)
    if not view.final:
        await case.cancel()
    return view


async def test_what_came_back_from_a_locker_is_not_presumed_received(desk: Desk) -> None:
    order, waybill, case = await came_back_from_a_locker(desk)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    view = await past_receipt(desk, case)
    assert view.state == "choosing_remedy" or len(ships(desk, order)) == 1, (view.state, place(desk, order))


async def test_what_came_back_just_before_the_deadline_is_here(desk: Desk) -> None:
    order, waybill, case = await came_back_from_a_locker(desk)
    view = await desk.view(case)
    assert view.due is not None
    now = await desk.skipper.get_current_time(case)
    await desk.skip(case, view.due - now - timedelta(minutes=90))
    await desk.until_rung(case)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    view = await past_receipt(desk, case)
    if not view.final:
        return
    assert view.outcome == "delivered"
    with desk.database.reading() as session:
        here = session.scalars(select(ShipmentRow.back_at).where(ShipmentRow.order_id == order)).one()
    assert (here is not None, len(ships(desk, order))) == (True, 1)


async def test_what_came_back_from_a_locker_is_not_received_as_the_trade_finishes_by_itself(desk: Desk) -> None:
    order, waybill, case = await came_back_from_a_locker(desk)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    trade_finished(desk, order)
    view = await desk.view(case)
    passed = timedelta(0)
    while not view.final and passed < timedelta(days=2):
        await desk.skip(case, timedelta(hours=2))
        passed += timedelta(hours=2)
        await desk.until_rung(case)
        view = await desk.view(case)
    outcome = view.outcome
    if not view.final:
        await case.cancel()
    tasks = [one.template for one in letters(desk, case, "staff")]
    assert len(ships(desk, order)) == 1 or outcome != "delivered", (outcome, place(desk, order), tasks)


async def test_a_return_of_a_lost_parcel_that_turned_up_is_not_called_off(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel")
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)  # it is here after all
    await desk.skip(case, timedelta(hours=5))  # a look
    told = told_to_take_in(desk, back)
    assert (await desk.view(case)).state == "choosing_remedy"
    await desk.skip(case, timedelta(hours=44))  # remedy_overdue
    end = await desk.end(case)
    called = [one.template for one in letters(desk, case, "staff") if one.template == "parcel.returns_called_off"]
    if not called:
        await back.cancel()
    assert told != []
    assert (called, end.links) == ([], []), told_to_take_in(desk, back)


async def test_what_has_turned_up_is_not_to_be_recovered(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    desk.platform_refunds_order(order)
    await desk.signal(case, "order_gone", "system")
    assert (await desk.end(case)).outcome == "closed"
    assert stock(desk, order) == {1: 1}
    assert "parcel.recover" not in [one.template for one in letters(desk, case, "staff")]
    assert "refuse" not in letters(desk, case, "buyer")[-1].text_en


async def test_what_has_turned_up_and_we_signed_for_is_not_with_the_buyer(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    await scan_now(desk, case, waybill, "301")
    await desk.skip(case, timedelta(hours=9))
    await desk.until_rung(case)
    view = await desk.view(case)
    await case.cancel()
    assert view.state == "choosing_remedy"


async def taken_in_by_a_return(desk: Desk) -> tuple[str, str, Handle, Handle]:
    """An order whose parcel in trouble a return takes in, a piece of it; with its waybill, that return and its case."""
    order = desk.order(prices=[(5_000, 2)], shipped=True)
    waybill = parcel_of(desk, order)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    case = await in_trouble(desk, order, waybill)
    await desk.submit(back, "receive_goods", CLERK, waybill=waybill, lines=of_line(1))  # refused at the door
    return order, waybill, back, case


async def test_what_a_return_took_in_is_no_loss_for_its_parcels_case(desk: Desk) -> None:
    order, _, back, case = await taken_in_by_a_return(desk)
    await paid_and_confirmed(desk, back)
    await desk.submit(case, "courier_answers", SPECIALIST, finding="lost")
    await desk.skip(case, timedelta(hours=49))  # remedy_overdue
    end = await desk.end(case)
    child = desk.client.get_workflow_handle(end.links[0])
    await desk.until(child, "confirming", "awaiting_finance")
    state = await child.query(names.STATE_QUERY)
    await desk.submit(child, "buyer_confirms", AGENT)
    await desk.end(child)
    with desk.database.reading() as session:
        claimed = session.scalars(select(CourierClaimRow).where(CourierClaimRow.order_id == order)).all()
    assert (paid_fen(desk, order), stock(desk, order)) == (10_000, {1: 2})
    assert (state["goods"], len(claimed)) == ("already_back", 0)


async def test_a_parcel_that_a_return_took_in_and_we_signed_for_is_followed_to_an_end(desk: Desk) -> None:
    _, waybill, back, case = await taken_in_by_a_return(desk)
    await scan_now(desk, case, waybill, "301")
    await desk.skip(case, timedelta(days=15))
    end = await desk.end(case)
    await back.cancel()
    assert end.outcome == "delivered"
