"""What came back and is sent again, or refunded meanwhile, is booked once and leaves once, whatever comes between."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from activities.parcels import ParcelActivities
from activities.steps import OrderStep
from casework import names
from casework.money import LineQuantity
from casework.shop.importing import import_files
from casework.shop.parcels import say_out_of_stock
from casework.shop.tables import LineRow, OutOfStockRow
from tests.desk import Desk, Handle
from tests.parcels import parcel_order, scan, two_parcels_of_one_line
from tests.shop import exports
from tests.workflows.test_goods_of_parcels import in_trouble, pieces_out
from tests.workflows.test_remedy_or_refund import AGENT, CLERK, WAREHOUSE, lost_of, of_line, parcel_of_two_lines
from tests.workflows.test_returns import opened, stock
from tests.workflows.test_what_came_back import paid_and_confirmed, parcel_of, sent_back_to_buyer


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
