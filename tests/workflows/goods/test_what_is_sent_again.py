"""What came back and is sent again, or refunded meanwhile, is booked once and leaves once, whatever comes between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from activities.cases import CaseActivities, CloseCase, GoodsAtEnd
from activities.parcels import ParcelActivities
from activities.steps import OrderStep
from casework import names
from casework.money import LineQuantity
from casework.policy import load_policy
from casework.shop import holds
from casework.shop.amounts import left_to_ship
from casework.shop.fencing import FencingToken
from casework.shop.importing import import_files
from casework.shop.reshipments import WHAT_TO_SEND, say_out_of_stock
from casework.shop.tables import CaseRow, LineRow, OutboxRow, OutOfStockRow, ShipmentLineRow, ShipmentRow
from tests.desk import Desk, Handle
from tests.parcels import in_two_parcels, parcel_order, scan, two_parcels_of_one_line
from tests.shop import exports
from tests.workflows.goods.test_goods_of_parcels import in_trouble, pieces_out
from tests.workflows.goods.test_remedy_or_refund import AGENT, CLERK, WAREHOUSE, lost_of, of_line, parcel_of_two_lines
from tests.workflows.goods.test_what_came_back import (
    both_came_back,
    called_off,
    came_back_and_called_off,
    mended,
    paid_and_confirmed,
    parcel_of,
    place,
    sent_back_to_buyer,
    ships,
)
from tests.workflows.test_bulk_order import CLEAR, DOSSIER, bulk
from tests.workflows.test_bulk_order import MANAGER as BULK_MANAGER
from tests.workflows.test_bulk_order import SPECIALIST as BULK_SPECIALIST
from tests.workflows.test_problem_parcel import letters
from tests.workflows.test_returns import opened, paid_fen, refused, said, stock


async def came_back(desk: Desk, order: str, waybill: str) -> Handle:
    """The case of a parcel that came back, which asks what is to be done now."""
    case = await in_trouble(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    return case


async def sends_again(desk: Desk, case: Handle, order: str) -> None:
    """The case has the goods sent again, and they leave."""
    await desk.submit(case, "choose_reship", AGENT)
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")


async def sent_again_and_there(desk: Desk, case: Handle, order: str) -> None:
    """The goods are sent again, and the buyer has them."""
    await sends_again(desk, case, order)
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)


# --- what goes into stock ---


async def test_what_was_to_be_sent_again_goes_into_stock_where_the_order_is_gone(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    case = await came_back(desk, order, waybill)
    await desk.submit(case, "choose_reship", AGENT)
    desk.platform_refunds_order(order)
    await desk.signal(case, "order_gone", "system")
    assert (await desk.end(case)).outcome == "closed"
    assert stock(desk, order) == {1: 1}


async def return_and_case_of_two_pieces(desk: Desk) -> tuple[str, str, Handle, Handle]:
    """The order, the waybill, the return of one, and the case of a parcel that came back with two pieces of a line."""
    order = desk.order(prices=[(5_000, 2)], shipped=True)
    waybill = parcel_of(desk, order)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    return order, waybill, back, await came_back(desk, order, waybill)


@pytest.mark.parametrize("said", ["its lines", "nothing of lines"])
@pytest.mark.parametrize("end", ["accepted", "sent back to the buyer"])
async def test_what_a_return_had_of_a_parcel_goes_into_stock_no_second_time(desk: Desk, end: str, said: str) -> None:
    order, waybill, back, case = await return_and_case_of_two_pieces(desk)
    if said == "its lines":
        await desk.submit(back, "receive_goods", CLERK, lines=of_line(1), waybill=waybill)
    else:
        await desk.submit(back, "receive_goods", CLERK, waybill=waybill)
    if end == "accepted":
        await paid_and_confirmed(desk, back)
    else:
        await sent_back_to_buyer(desk, back, order)
    await sent_again_and_there(desk, case, order)
    # of two pieces one was the return's, the other one has left again
    assert (stock(desk, order), pieces_out(desk.database, order, 1)) == ({1: 1} if end == "accepted" else {}, 1)


async def test_what_the_platform_refunded_with_its_return_goes_into_stock_no_second_time(desk: Desk) -> None:
    order, _, back, case = await return_and_case_of_two_pieces(desk)
    desk.platform_refunds_line(order, 1)
    await desk.signal(back, "order_gone", "system")
    await desk.until(back, "confirming", "awaiting_parcel")
    await desk.submit(back, "buyer_confirms", AGENT)
    await desk.end(back)
    await sends_again(desk, case, order)
    await case.cancel()
    await desk.end(case)
    assert stock(desk, order) == {1: 1}


# --- what can be sent again ---


async def test_a_piece_that_lies_here_can_be_sent_again_where_there_are_no_others(desk: Desk) -> None:
    order, (had, came) = two_parcels_of_one_line(desk)
    with desk.database.writing() as session:
        session.get_one(LineRow, (order, 1)).sku = f"SKU-{order}"
        say_out_of_stock(session, order, [LineQuantity(line=1, quantity=1)], datetime.now(UTC))
    scan(desk, had, "301")
    case = await came_back(desk, order, came)
    assert (await desk.submit(case, "choose_reship", AGENT)).state == "reshipping"
    await case.cancel()


async def test_a_replacement_that_an_export_shows_with_the_time_of_the_first_parcel_is_one(
    desk: Desk, tmp_path: Path
) -> None:
    order, first, again = "3300019914363435699", "YT9914363435", "SF9914363435"
    shown = exports.Order(order, state=exports.SHIPPED, waybill=first, shipped_at="2026-11-18 09:00:00")

    def imported(order: exports.Order) -> None:
        files = {"orders.csv": exports.order_list([order]), "lines.csv": exports.line_list([order])}
        import_files(desk.database, [exports.write(tmp_path, name, rows) for name, rows in files.items()])

    imported(shown)
    case = await lost_of(desk, order, first)
    await desk.submit(case, "choose_reship", AGENT)
    imported(shown.but(waybill=f"{first},{again}"))
    view = await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again)
    assert view.state == "tracking"
    await case.cancel()


async def test_a_step_that_was_done_before_its_worker_died_marks_no_other_goods_as_sold_out(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    with desk.database.writing() as session:
        for row in session.scalars(select(LineRow).where(LineRow.order_id == order)):
            row.sku = f"SKU-{order}-{row.number}"
    scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel", suffix="-2", lines=of_line(2))
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "choose_reship", AGENT)
    state = await case.query(names.STATE_QUERY)
    step = OrderStep(
        case_id=case.id, run_id=state["run_id"], at=datetime.now(UTC), order_id=order, lines=state["lines"]
    )
    for _ in range(2):  # its end was lost with its worker
        ParcelActivities(desk.database).say_out_of_stock(step)
    with desk.database.reading() as session:
        out = [row.sku for row in session.scalars(select(OutOfStockRow)) if order in row.sku]
    await case.cancel()
    await back.cancel()
    assert out == [f"SKU-{order}-1"]


# --- what the platform refunds of a line in several parcels ---


async def refunded_of_two(desk: Desk) -> tuple[str, str, Handle]:
    """Of two pieces the buyer has one, the other came back, and the platform refunded one: the order, and the waybill
    and the case of what came back.
    """
    order, (had, came) = two_parcels_of_one_line(desk)
    scan(desk, had, "301")
    scan(desk, came, "0")
    case = await came_back(desk, order, came)
    desk.platform_refunds_line(order, 1)
    return order, came, case


async def test_a_piece_that_was_refunded_does_not_ship_because_the_buyer_has_the_other(desk: Desk) -> None:
    order, _, case = await refunded_of_two(desk)
    await called_off(desk, case)
    assert (ships(desk, order), stock(desk, order)) == ([], {1: 1})


async def test_a_piece_that_was_refunded_is_not_sent_again_as_the_buyer_has_the_other(desk: Desk) -> None:
    _, _, case = await refunded_of_two(desk)
    assert "there is nothing left to send again" in await refused(desk, case, "choose_reship", AGENT)
    await case.cancel()


async def test_a_piece_that_was_refunded_is_not_paid_for_once_more_by_silence(desk: Desk) -> None:
    order, _, case = await refunded_of_two(desk)
    await desk.skip(case, timedelta(hours=49))
    assert (await desk.end(case)).links == []
    assert (paid_fen(desk, order), stock(desk, order)) == (5_000, {1: 1})


async def test_what_the_buyer_has_is_not_refunded_as_if_it_had_not_left(desk: Desk) -> None:
    order, _, case = await refunded_of_two(desk)
    await called_off(desk, case)
    refund = await desk.start(order, reason="bought twice")
    view = await desk.until(refund, "persuading", "not_applicable", "awaiting_parcel_back", "converted")
    if view.state == "persuading":
        await desk.submit(refund, "buyer_insists", AGENT)
        await desk.end(refund)
    assert paid_fen(desk, order) == 5_000, "the buyer has a piece: no money for it before it is back"
    await refund.cancel()


async def test_a_lost_piece_is_refunded_before_one_that_arrived(desk: Desk) -> None:
    order, (had, gone) = two_parcels_of_one_line(desk)
    scan(desk, had, "301")
    case = await lost_of(desk, order, gone)
    desk.platform_refunds_line(order, 1)
    assert "there is nothing left to send again" in await refused(desk, case, "choose_reship", AGENT)
    await case.cancel()


async def test_of_two_lost_pieces_one_is_refunded_by_the_platform_and_one_is_sent_again(desk: Desk) -> None:
    order, waybills = two_parcels_of_one_line(desk)
    first, second = [await lost_of(desk, order, waybill) for waybill in waybills]
    desk.platform_refunds_line(order, 1)
    await desk.submit(second, "choose_reship", AGENT)
    assert "there is nothing left to send again" in await refused(desk, first, "choose_reship", AGENT)
    await first.cancel()
    await second.cancel()


async def test_a_refund_of_the_piece_that_the_buyer_has_takes_no_other_into_stock(desk: Desk) -> None:
    order, (had, came) = two_parcels_of_one_line(desk)
    scan(desk, had, "301")
    scan(desk, came, "0")
    back = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    case = await came_back(desk, order, came)
    desk.platform_refunds_line(order, 1)
    await desk.signal(back, "order_gone", "system")
    await desk.until(back, "confirming")
    await desk.submit(back, "buyer_confirms", AGENT)
    await desk.end(back)
    await sends_again(desk, case, order)
    await case.cancel()
    # all that came back has left again: nothing is in stock
    assert (stock(desk, order), pieces_out(desk.database, order, 1)) == ({}, 2)


async def test_another_parcels_case_keeps_its_piece_where_a_refund_takes_a_parcel_in(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1), (5_000, 2)], shipped=True)
    first = parcel_of(desk, order)
    second = in_two_parcels(desk, order, line=2)[1]
    scan(desk, first, "0")
    refund = await desk.start(
        order, case_id=f"refund-before-shipping-{order}-1", lines=of_line(1), reason="bought twice"
    )
    await desk.until(refund, "awaiting_parcel_back")
    case = await came_back(desk, order, second)
    await desk.submit(refund, "parcel_back", CLERK, waybill=first)
    await desk.end(refund)
    assert not any("2×2" in one for one in ships(desk, order)), "nobody has decided on the second parcel's piece"
    await desk.submit(case, "choose_refund", AGENT)
    assert len((await desk.end(case)).links) == 1


# --- what ships again, and is refunded before it has ---


def ship_again_task(desk: Desk, case: Handle, template: str = "ship_again") -> OutboxRow:
    """The task by which a case has the warehouse ship again what came back."""
    with desk.database.reading() as session:
        query = select(OutboxRow).where(OutboxRow.case_id == case.id, OutboxRow.template == template)
        return session.scalars(query).one()


async def test_what_was_to_ship_again_and_is_refunded_goes_into_stock_and_its_task_is_cancelled(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "0")
    case = await came_back_and_called_off(desk, order, waybill)
    assert place(desk, order) == "unshipped"
    refund = await desk.open_in("persuading", order, reason="bought twice")
    await desk.submit(refund, "buyer_insists", AGENT)
    assert (await desk.end(refund)).outcome == "refunded"
    assert stock(desk, order) == {1: 1}
    assert ship_again_task(desk, case).cancelled_at is not None


async def test_of_two_pieces_that_are_refunded_the_one_on_the_shelf_goes_into_stock_too(desk: Desk) -> None:
    order, (moving, came) = two_parcels_of_one_line(desk)
    scan(desk, moving, "0")
    await came_back_and_called_off(desk, order, came)
    case = await in_trouble(desk, order, moving)
    desk.platform_refunds_order(order)
    await desk.submit(case, "parcel_returned", CLERK, waybill=moving)
    await desk.signal(case, "order_gone", "system")
    await desk.end(case)
    assert stock(desk, order) == {1: 2}


async def test_a_piece_that_waits_for_the_review_does_not_ship_when_the_order_is_malicious(desk: Desk) -> None:
    order = desk.order(prices=[(300_000, 2), (300_000, 1)], shipped=[1])
    moving, came = parcel_of(desk, order), in_two_parcels(desk, order, line=1)[1]
    scan(desk, moving, "0")
    review = await bulk(desk, order)
    case = await came_back_and_called_off(desk, order, came)
    assert "Lines 1×1 of" in (said(desk, case, "ship_again_after_review") or "")
    await desk.submit(review, "submit_dossier", BULK_SPECIALIST, **DOSSIER)
    await desk.submit(review, "find_malicious", BULK_MANAGER, signs=["no_purchases"])
    assert (await desk.end(review)).outcome == "terminated"
    assert ship_again_task(desk, case, "ship_again_after_review").cancelled_at is not None


async def test_a_piece_that_ships_again_alone_can_be_shipped_while_the_other_is_on_its_way(desk: Desk) -> None:
    order, (moving, came) = two_parcels_of_one_line(desk)
    scan(desk, moving, "0")
    await came_back_and_called_off(desk, order, came)
    assert ["Lines 1×1 of" in one for one in ships(desk, order)] == [True]
    desk.ship_line(order, 1, f"AG{order[-10:]}")
    assert pieces_out(desk.database, order, 1) == 2


async def test_the_second_piece_ships_too_where_the_first_has_left_again(desk: Desk) -> None:
    order, first, second = await both_came_back(desk)
    await called_off(desk, second)
    desk.ship_line(order, 1, f"AG{order[-10:]}")
    out = pieces_out(desk.database, order, 1)
    await called_off(desk, first)
    assert (out, ["Lines 1×1 of" in one for one in ships(desk, order)]) == (1, [True, True])


# --- orders under review, and ended as malicious ---


async def test_nothing_of_an_order_that_was_ended_as_malicious_is_sent_again(desk: Desk) -> None:
    case, review = await came_back_under_review(desk)
    await desk.submit(review, "find_malicious", BULK_MANAGER, signs=["no_purchases"])
    await desk.end(review)
    assert "ended as malicious" in await refused(desk, case, "choose_reship", AGENT)
    await case.cancel()


async def test_nothing_is_sent_again_while_the_order_is_under_review(desk: Desk) -> None:
    case, review = await came_back_under_review(desk)
    assert review.id in await refused(desk, case, "choose_reship", AGENT)
    await desk.submit(review, "pass_legal_review", BULK_MANAGER, **CLEAR)
    assert (await desk.submit(case, "choose_reship", AGENT)).state == "reshipping"
    await case.cancel()
    await review.cancel()


async def came_back_under_review(desk: Desk) -> tuple[Handle, Handle]:
    """The case of a parcel that came back, and the case that has its order under review."""
    order = desk.order(prices=[(10_000, 1), (300_000, 1)], shipped=[1])
    review = await bulk(desk, order)
    await desk.submit(review, "submit_dossier", BULK_SPECIALIST, **DOSSIER)
    return await came_back(desk, order, parcel_of(desk, order)), review


async def test_what_came_back_while_an_order_was_ended_as_malicious_does_not_ship(desk: Desk) -> None:
    order = desk.order(prices=[(300_000, 1), (300_000, 1)], shipped=[1])
    case = await came_back(desk, order, parcel_of(desk, order))
    review = await bulk(desk, order)
    await desk.submit(review, "submit_dossier", BULK_SPECIALIST, **DOSSIER)
    async with desk.before("leave_red", order):
        await desk.signal(review, "find_malicious", BULK_MANAGER, signs=["no_purchases"])
        await desk.reached("leave_red", order)
        await called_off(desk, case)
    assert (await desk.end(review)).outcome == "terminated"
    with desk.database.reading() as session:
        free = [row.number for row in left_to_ship(session, order)]
        assert holds.cases_holding(session, order, 1) or 1 not in free


# --- what is left in the parcel when its case ends ---


async def test_a_refunded_line_of_what_came_back_goes_into_stock_where_the_other_is_sent_again(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    case = await came_back(desk, order, waybill)
    desk.platform_refunds_line(order, 1)
    await sent_again_and_there(desk, case, order)
    assert (stock(desk, order), ships(desk, order)) == ({1: 1}, [])


async def test_a_line_that_a_return_lets_go_of_ships_where_the_rest_of_its_parcel_was_sent_again(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    scan(desk, waybill, "2")
    back = await opened(desk, order, "collecting_evidence", suffix="-1", lines=of_line(1), cause="quality")
    case = await came_back(desk, order, waybill)
    await desk.submit(case, "choose_reship", AGENT)  # line 2
    await desk.submit(back, "buyer_withdraws", AGENT)  # before it has left
    await desk.end(back)
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)
    assert ["Lines 1×1 of" in one for one in ships(desk, order)] == [True]


async def test_what_waited_for_a_return_that_was_terminated_ships_when_that_is_mended(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel")
    await came_back_and_called_off(desk, order, waybill)
    await back.terminate("by mistake")
    assert mended(desk, back)
    assert len(ships(desk, order)) == 1


async def test_an_end_that_is_written_down_once_more_lets_nothing_ship_that_came_back_since(desk: Desk) -> None:
    order, (first, second) = two_parcels_of_one_line(desk)
    scan(desk, first, "0")
    case = await came_back_and_called_off(desk, order, second)
    with desk.database.writing() as session:
        row = session.scalars(select(CaseRow).where(CaseRow.case_id == case.id)).one()
        run_id = row.run_id
        moment = FencingToken(execution=row.closing_execution or "", events=row.closing_events or 0)
        session.scalars(select(ShipmentRow).where(ShipmentRow.waybill == first)).one().back_at = datetime.now(UTC)
    view = await desk.view(case)
    again = CloseCase(
        case_id=case.id, run_id=run_id, at=datetime.now(UTC), posts=[], view=view, moment=moment, goods=GoodsAtEnd.SHIP
    )
    CaseActivities(desk.database, load_policy(None)).close_case(again)  # its answer was lost with its worker
    with desk.database.reading() as session:
        inside = select(ShipmentLineRow).join(ShipmentRow, ShipmentRow.id == ShipmentLineRow.shipment_id)
        assert session.scalars(inside.where(ShipmentRow.waybill == first)).one().shelved_at is None


# --- a lost parcel that turns up before its loss is made good ---


async def test_a_lost_parcel_that_turns_up_before_its_refund_goes_into_stock_with_it(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)  # kept: a fact is true whenever it arrives
    await desk.submit(case, "choose_refund", AGENT)
    child = desk.client.get_workflow_handle((await desk.end(case)).links[0])
    await desk.until(child, "confirming")
    await desk.submit(child, "buyer_confirms", AGENT)
    await desk.end(child)
    assert (paid_fen(desk, order), stock(desk, order)) == (10_000, {1: 1})


@pytest.mark.parametrize("turns_up", ["before the remedy", "before it is sent"])
async def test_a_lost_parcel_that_turns_up_before_others_leave_is_sent_itself_or_goes_into_stock(
    desk: Desk, turns_up: str
) -> None:
    order, waybill = parcel_order(desk)
    case = await lost_of(desk, order, waybill)
    if turns_up == "before the remedy":
        await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    await desk.submit(case, "choose_reship", AGENT)
    if turns_up == "before it is sent":
        await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)
    # one has left the stock, and one has come into it; or none has
    assert (stock(desk, order), pieces_out(desk.database, order, 1), ships(desk, order)) == ({}, 1, [])


@pytest.mark.parametrize("end", ["called off", "order gone"])
async def test_a_lost_parcel_that_turns_up_is_booked_also_where_its_case_ends_without_a_remedy(
    desk: Desk, end: str
) -> None:
    order, waybill = parcel_order(desk)
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    if end == "called off":
        await called_off(desk, case)
        assert (len(ships(desk, order)), stock(desk, order)) == (1, {})
    else:
        desk.platform_refunds_order(order)
        await desk.signal(case, "order_gone", "system")
        await desk.end(case)
        assert (ships(desk, order), stock(desk, order)) == ([], {1: 1})


def open_tasks_to_send(desk: Desk, case: Handle) -> list[tuple[str, bool]]:
    """The open tasks that say what the case has sent again, and whether they name one piece of the first line."""
    tasks = [one for one in letters(desk, case, "staff") if one.template in WHAT_TO_SEND and one.cancelled_at is None]
    return [(one.template, "1×1" in one.text_en) for one in tasks]


async def test_what_is_owed_again_is_asked_for_again(desk: Desk) -> None:
    order, (moving, came) = two_parcels_of_one_line(desk)
    scan(desk, moving, "0")
    case = await in_trouble(desk, order, came)
    await desk.submit(case, "parcel_returned", CLERK, waybill=came)
    await desk.submit(case, "choose_reship", AGENT)
    assert open_tasks_to_send(desk, case) == [("parcel.send_again", True)]
    desk.platform_refunds_line(order, 1)
    await desk.skip(case, timedelta(hours=5))
    await desk.until_rung(case)
    assert open_tasks_to_send(desk, case) == [("parcel.send_nothing", False)]  # the other is on its way
    lost = await lost_of(desk, order, moving)  # no: it is lost
    await desk.skip(case, timedelta(hours=5))
    await desk.until_rung(case)
    assert open_tasks_to_send(desk, case) == [("parcel.send_less", True)]
    await lost.cancel()
    await case.cancel()
