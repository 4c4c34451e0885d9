"""Where each piece goes, as parcels come back, returns take in, the platform refunds, and exports show more."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, select
from temporalio.client import WorkflowUpdateFailedError

from casework.reading import read_lines
from casework.shop import outside
from casework.shop.bulk import leave_red as end_as_malicious
from casework.shop.errors import BadRequest
from casework.shop.importing import import_files
from casework.shop.tables import (
    CourierClaimRow,
    OrderRow,
    OutboxRow,
    ReturnedLineRow,
    ScanRow,
)
from tests.desk import Desk, Handle
from tests.parcels import in_two_parcels, parcel_order, scan, scan_now, second_line_apart, two_parcels_of_one_line
from tests.shop import exports
from tests.workflows.goods.test_goods_of_parcels import in_trouble, pieces_out
from tests.workflows.goods.test_kept_from_buyer import told_what_lies_here
from tests.workflows.goods.test_remedy_or_refund import (
    AGENT,
    CLERK,
    LEAD,
    SPECIALIST,
    WAREHOUSE,
    lost_of,
    of_line,
    parcel_of_two_lines,
)
from tests.workflows.goods.test_what_came_back import (
    called_off,
    came_back_and_called_off,
    paid_and_confirmed,
    parcel_of,
    place,
    sent_back_to_buyer,
    ships,
)
from tests.workflows.test_bulk_order import DOSSIER, bulk
from tests.workflows.test_bulk_order import MANAGER as BULK_MANAGER
from tests.workflows.test_bulk_order import SPECIALIST as BULK_SPECIALIST
from tests.workflows.test_returns import FINANCE, SHOWN, inspected, opened, paid_fen, said, stock

LIES_HERE = "bulk.goods_lie_here"


def open_ship_tasks(desk: Desk, order: str) -> list[str]:
    with desk.database.reading() as session:
        tasks = select(OutboxRow.text_en).where(OutboxRow.template == "ship_again", OutboxRow.cancelled_at.is_(None))
        return [text for text in session.scalars(tasks.order_by(OutboxRow.id)) if order in text]


def trade_finished(desk: Desk, order: str) -> None:
    with desk.database.writing() as session:
        row = session.get_one(OrderRow, order)
        row.state, row.confirmed_at = "finished", datetime.now(UTC) - timedelta(hours=1)


def left_in_one_parcel(order: str, waybill: str, *lines: exports.Line, state: str = exports.SHIPPED) -> exports.Order:
    """What an export shows of an order of 200.00 whose first parcel has left."""
    return exports.Order(
        order, state=state, waybill=waybill, shipped_at="2026-11-18 09:00:00", paid="200.00", lines=lines
    )


def imported(desk: Desk, folder: Path, order: exports.Order) -> None:
    """An export shows the order so."""
    files = {"orders.csv": exports.order_list([order]), "lines.csv": exports.line_list([order])}
    import_files(desk.database, [exports.write(folder, name, rows) for name, rows in files.items()])


def shop_ships(desk: Desk, order: str, lines: list[int] | None = None) -> str:
    """`casework shop ship ORDER`."""
    with desk.database.writing() as session:
        return outside.ship(session, order, lines=lines, at=datetime.now(UTC))


@pytest.mark.parametrize("told", ["nothing", "that it moves"])
async def test_what_the_buyer_confirmed_is_not_here_as_somebody_names_its_waybill(desk: Desk, told: str) -> None:
    order, waybill = parcel_of_two_lines(desk)
    trade_finished(desk, order)
    if told == "nothing":
        with desk.database.writing() as session:
            session.execute(delete(ScanRow).where(ScanRow.waybill == waybill))
    back = await opened(desk, order, "awaiting_parcel", suffix="-1", lines=of_line(1))
    await desk.submit(back, "receive_goods", CLERK, waybill=waybill)  # the parcel's own number, on its old label
    await paid_and_confirmed(desk, back)
    assert (stock(desk, order), ships(desk, order), place(desk, order, 2)) == ({1: 1}, [], "shipped")


async def test_what_was_signed_for_under_a_later_waybill_is_not_here_as_somebody_names_the_first(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    case = await in_trouble(desk, order, waybill, code="204")
    await desk.submit(case, "courier_answers", SPECIALIST, finding="unreachable")
    await desk.submit(case, "buyer_chooses", AGENT, choice="forward")
    onward = f"EM{order[-10:]}"
    await desk.submit(case, "parcel_forwarded", SPECIALIST, courier="ems", waybill=onward)
    await scan_now(desk, case, onward, "301")
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)
    back = await opened(desk, order, "awaiting_parcel", suffix="-1", lines=of_line(1))
    await desk.submit(back, "receive_goods", CLERK, waybill=waybill)
    await paid_and_confirmed(desk, back)
    assert (stock(desk, order), ships(desk, order), place(desk, order, 2)) == ({1: 1}, [], "shipped")


async def test_a_piece_that_never_left_is_not_on_the_shelf(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 3)])
    desk.platform_refunds_line(order, 1)  # one of three, before it shipped
    desk.ship_without_telling(order)
    first = parcel_of(desk, order)
    scan(desk, first, "0")
    await came_back_and_called_off(desk, order, first)
    again = f"AG{order[-10:]}"
    desk.ship_line(order, 1, again)
    assert pieces_out(desk.database, order, 1) == 2
    case = await in_trouble(desk, order, again)
    await called_off(desk, case)  # nothing has come back
    assert stock(desk, order) == {}


async def test_a_piece_that_never_left_does_not_ship(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 3)])
    refund = await desk.open_in("persuading", order, reason="bought twice", lines=of_line(1))
    await desk.submit(refund, "buyer_insists", AGENT)
    await desk.end(refund)
    desk.ship_without_telling(order)
    first = parcel_of(desk, order)
    scan(desk, first, "0")
    await came_back_and_called_off(desk, order, first)
    desk.ship_line(order, 1, f"AG{order[-10:]}")
    assert pieces_out(desk.database, order, 1) == 2
    with pytest.raises(BadRequest, match="nothing of order"):
        shop_ships(desk, order)


async def test_a_replacement_that_an_export_shows_takes_no_line_that_a_return_has(desk: Desk, tmp_path: Path) -> None:
    order, first, again = "3300019914363435701", "YT9914363701", "SF9914363701"
    shown = left_in_one_parcel(order, first, exports.Line(), exports.Line())
    imported(desk, tmp_path, shown)
    scan(desk, first, "0")
    back = await opened(desk, order, "awaiting_parcel", suffix="-1", lines=of_line(1))
    case = await in_trouble(desk, order, first)
    await desk.submit(case, "parcel_returned", CLERK, waybill=first)
    await desk.submit(back, "receive_goods", CLERK, waybill=first)
    await desk.submit(case, "choose_reship", AGENT)  # line 2
    imported(desk, tmp_path, shown.but(waybill=f"{first},{again}"))
    view = await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again)
    assert view.state == "tracking"
    assert (pieces_out(desk.database, order, 1), pieces_out(desk.database, order, 2)) == (0, 1)
    await case.cancel()
    await back.cancel()


async def test_what_came_in_while_a_return_was_judged_is_not_dropped_later(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1), (7_000, 1)], shipped=[1])
    scan(desk, parcel_of(desk, order), "301")
    other = f"YT{order[-10:]}"
    desk.ship_line(order, 2, other)
    scan(desk, other, "2")
    back = await opened(desk, order, "asking_supplier", **SHOWN)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await desk.submit(back, "receive_goods", CLERK, waybill=other)  # refused at the door
    assert "say what came in" in str(refused.value.cause)
    await desk.submit(back, "receive_goods", CLERK, waybill=other, lines=of_line(2))
    await desk.submit(back, "supplier_agrees", AGENT)
    await desk.until(back, "inspecting")
    await back.cancel()


async def test_of_two_pieces_that_came_back_the_one_that_was_refunded_goes_into_stock_too(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 2)], shipped=True)
    waybill = parcel_of(desk, order)
    case = await in_trouble(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    desk.platform_refunds_line(order, 1)
    await desk.submit(case, "choose_refund", AGENT)
    child = desk.client.get_workflow_handle((await desk.end(case)).links[0])
    await desk.until(child, "confirming")
    await desk.submit(child, "buyer_confirms", AGENT)
    await desk.end(child)
    assert (paid_fen(desk, order), stock(desk, order)) == (10_000, {1: 2})


async def test_what_the_platform_refunds_from_the_shelf_does_not_ship(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "0")
    await came_back_and_called_off(desk, order, waybill)
    desk.platform_refunds_order(order)
    assert (open_ship_tasks(desk, order), stock(desk, order)) == ([], {1: 1})


async def test_what_is_on_the_shelf_can_ship_while_nobody_has_decided_on_the_other(desk: Desk) -> None:
    order, (moving, came) = two_parcels_of_one_line(desk)
    scan(desk, moving, "0")
    await came_back_and_called_off(desk, order, came)
    case = await in_trouble(desk, order, moving)
    await desk.submit(case, "parcel_returned", CLERK, waybill=moving)
    assert ["Lines 1×1 of" in one for one in ships(desk, order)] == [True]
    try:
        shop_ships(desk, order, [1])
        assert pieces_out(desk.database, order, 1) == 1
        await desk.submit(case, "choose_refund", AGENT)
        child = desk.client.get_workflow_handle((await desk.end(case)).links[0])
        await paid_and_confirmed_child(desk, child)
        assert (paid_fen(desk, order), stock(desk, order)) == (5_000, {1: 1})
    finally:
        await case.cancel()


async def paid_and_confirmed_child(desk: Desk, child: Handle) -> None:
    await desk.until(child, "confirming")
    await desk.submit(child, "buyer_confirms", AGENT)
    await desk.end(child)


async def one_on_shelf_one_taken_in(desk: Desk) -> str:
    order, (moving, came) = two_parcels_of_one_line(desk)
    scan(desk, moving, "0")
    await came_back_and_called_off(desk, order, came)
    back = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    await desk.submit(back, "receive_goods", CLERK, waybill=moving, lines=of_line(1))  # refused at the door
    await paid_and_confirmed(desk, back)
    assert len(open_ship_tasks(desk, order)) == 1
    return order


async def test_what_is_on_the_shelf_can_ship_where_a_return_took_in_the_other(desk: Desk) -> None:
    order = await one_on_shelf_one_taken_in(desk)
    shop_ships(desk, order)
    assert pieces_out(desk.database, order, 1) == 1


async def test_what_is_on_the_shelf_and_refunded_does_not_ship_where_a_return_took_in_the_other(desk: Desk) -> None:
    order = await one_on_shelf_one_taken_in(desk)
    later = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    desk.platform_refunds_order(order)
    await desk.signal(later, "order_gone", "system")
    await desk.until(later, "confirming")
    await desk.submit(later, "buyer_confirms", AGENT)
    await desk.end(later)
    assert (open_ship_tasks(desk, order), stock(desk, order)) == ([], {1: 2})


async def test_a_piece_that_ships_again_alone_is_in_the_parcel_that_an_export_shows(desk: Desk, tmp_path: Path) -> None:
    order, first, again = "3300019914363435702", "YT9914363702", "SF9914363702"
    shown = left_in_one_parcel(order, first, exports.Line(quantity="2"))
    imported(desk, tmp_path, shown)
    _, second = in_two_parcels(desk, order)
    scan(desk, first, "301")
    scan(desk, second, "0")
    case = await came_back_and_called_off(desk, order, second)
    assert said(desk, case, "ship_again") is not None
    imported(desk, tmp_path, shown.but(waybill=f"{first},{second},{again}"))  # it has left again
    assert pieces_out(desk.database, order, 1) == 2
    with pytest.raises(BadRequest, match="nothing of order"):
        shop_ships(desk, order)


async def test_the_second_piece_ships_after_the_refund_of_the_first_whose_return_had_the_line(desk: Desk) -> None:
    order, (first, second) = two_parcels_of_one_line(desk, price_fen=60_000)
    one = await in_trouble(desk, order, first)
    other = await in_trouble(desk, order, second)
    await desk.submit(one, "parcel_returned", CLERK, waybill=first)
    await desk.submit(other, "parcel_returned", CLERK, waybill=second)
    await desk.submit(one, "choose_refund", AGENT)
    child = desk.client.get_workflow_handle((await desk.end(one)).links[0])
    await desk.until(child, "awaiting_finance")
    await called_off(desk, other)  # what came back is to ship
    await desk.submit(child, "approve", "finance.3")
    await paid_and_confirmed_child(desk, child)
    assert stock(desk, order) == {1: 1}
    assert ["Lines 1×1 of" in text for text in ships(desk, order)] == [True]


async def test_a_piece_that_was_refunded_after_it_was_asked_for_is_not_sent(desk: Desk) -> None:
    order, (had, came) = two_parcels_of_one_line(desk)
    scan(desk, had, "301")
    scan(desk, came, "0")
    case = await in_trouble(desk, order, came)
    await desk.submit(case, "parcel_returned", CLERK, waybill=came)
    await desk.submit(case, "choose_reship", AGENT)
    desk.platform_refunds_line(order, 1)
    with pytest.raises(WorkflowUpdateFailedError):
        await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    await case.cancel()
    await desk.end(case)
    assert pieces_out(desk.database, order, 1) == 1, "the buyer has one, and the money for the other"


async def test_what_turned_up_is_no_loss_for_its_return(desk: Desk) -> None:
    order, waybill = parcel_order(desk, price_fen=60_000)
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    await desk.skip_to_deadline(case)
    child = desk.client.get_workflow_handle((await desk.end(case)).links[0])
    await desk.until(child, "awaiting_finance")
    with desk.database.reading() as session:
        claimed = session.scalars(select(CourierClaimRow).where(CourierClaimRow.order_id == order)).all()
    view = await desk.view(child)
    silence = view.if_silent
    await child.cancel()
    assert claimed == []
    assert silence is not None
    assert silence.pays_fen == 60_000, silence  # the goods have come in


async def test_a_line_that_was_refunded_does_not_leave_with_the_next_parcel(desk: Desk, tmp_path: Path) -> None:
    order, first, second = "3300019914363435703", "YT9914363703", "YT9914363704"
    shown = left_in_one_parcel(
        order, first, exports.Line(state=exports.SHIPPED), exports.Line(state=exports.PAID), state=exports.PARTLY
    )
    imported(desk, tmp_path, shown)
    case = await in_trouble(desk, order, first)
    await desk.submit(case, "parcel_returned", CLERK, waybill=first)
    await desk.submit(case, "choose_refund", AGENT)
    child = desk.client.get_workflow_handle((await desk.end(case)).links[0])
    await paid_and_confirmed_child(desk, child)
    imported(
        desk,
        tmp_path,
        shown.but(
            state=exports.SHIPPED,
            waybill=f"{first},{second}",
            refund="100.00",
            lines=(exports.Line(state=exports.SHIPPED), exports.Line(state=exports.SHIPPED)),
        ),
    )
    assert (pieces_out(desk.database, order, 1), pieces_out(desk.database, order, 2)) == (0, 1)
    assert stock(desk, order) == {1: 1}


async def test_what_the_platform_refunds_after_a_dispute_about_another_piece_is_still_owed(desk: Desk) -> None:
    order, (had, came) = two_parcels_of_one_line(desk)
    scan(desk, had, "301")
    scan(desk, came, "0")
    back = await opened(desk, order, "explaining", lines=of_line(1), opened=True)
    await desk.submit(back, "raise_dispute", AGENT)
    await desk.end(back)
    desk.platform_refunds_line(order, 1)  # the buyer is right, and keeps it or has sent it back
    case = await in_trouble(desk, order, came)
    await desk.submit(case, "parcel_returned", CLERK, waybill=came)
    assert (await desk.submit(case, "choose_reship", AGENT)).state == "reshipping"
    await case.cancel()


def told_to_take_in(desk: Desk, back: Handle) -> list[dict[str, object]]:
    """What the clerk's tasks say, as fields of receive_goods, in their order."""
    with desk.database.reading() as session:
        texts = session.scalars(
            select(OutboxRow.text_en)
            .where(
                OutboxRow.case_id == back.id,
                OutboxRow.template == "return.goods_came_back",
                OutboxRow.cancelled_at.is_(None),
            )
            .order_by(OutboxRow.id)
        ).all()
    found: list[dict[str, object]] = []
    for text in texts:
        fields: dict[str, object] = {}
        if waybill := re.search(r"--set waybill=([A-Z0-9-]+)", text):
            fields["waybill"] = waybill[1]
        if lines := re.search(r"--set lines=([\d,x]+)", text):
            fields["lines"] = read_lines(lines[1], {})
        found.append(fields)
    return found


@pytest.mark.parametrize("opens", ["before they are back", "after they are back"])
async def test_who_does_what_the_tasks_say_of_two_refused_parcels_takes_both_in(desk: Desk, opens: str) -> None:
    order, (first, second) = two_parcels_of_one_line(desk)
    both = [{"line": 1, "quantity": 2}]
    scan(desk, first, "0")
    scan(desk, second, "0")
    early = opens == "before they are back"
    back = await opened(desk, order, "awaiting_parcel", lines=both) if early else None
    cases = [await in_trouble(desk, order, one) for one in (first, second)]
    for case, waybill in zip(cases, (first, second), strict=True):
        await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    if back is None:
        back = await opened(desk, order, "awaiting_parcel", lines=both)
    for fields in told_to_take_in(desk, back):
        await desk.submit(back, "receive_goods", CLERK, **fields)
    view = await desk.view(back)
    assert view.state == "inspecting"
    with desk.database.reading() as session:
        came = sum(
            row.received for row in session.scalars(select(ReturnedLineRow).where(ReturnedLineRow.order_id == order))
        )
    await inspected(desk, back, (1, came))
    await desk.until(back, "confirming")
    await desk.submit(back, "buyer_confirms", AGENT)
    await desk.end(back)
    for case in cases:
        await called_off(desk, case)
    assert (paid_fen(desk, order), stock(desk, order), ships(desk, order)) == (10_000, {1: 2}, [])


@pytest.mark.parametrize("end", ["called off", "sent back"])
async def test_the_second_piece_ships_however_the_return_of_the_first_ends(desk: Desk, end: str) -> None:
    order, (first, second) = two_parcels_of_one_line(desk, price_fen=60_000)
    one = await in_trouble(desk, order, first)
    other = await in_trouble(desk, order, second)
    await desk.submit(one, "parcel_returned", CLERK, waybill=first)
    await desk.submit(other, "parcel_returned", CLERK, waybill=second)
    await desk.submit(one, "choose_refund", AGENT)
    child = desk.client.get_workflow_handle((await desk.end(one)).links[0])
    await desk.until(child, "awaiting_finance")
    await called_off(desk, other)  # what came back is to ship
    if end == "called off":
        await desk.submit(child, "cancel_case", LEAD, note="the buyer wants it after all")
        await desk.end(child)
    else:
        await desk.submit(child, "send_back", FINANCE, note="look at them")
        await sent_back_to_buyer(desk, child, order)
    assert ["Lines 1×1 of" in text for text in ships(desk, order)] == [True]


async def test_the_other_line_of_a_stopped_parcel_still_ships_when_the_refund_is_settled(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    scan(desk, waybill, "0")
    start = {"order_id": order, "by": AGENT, "lines": of_line(1), "reason": "bought twice"}
    refund = await desk.open_case("refund-before-shipping", f"refund-before-shipping-{order}-1", start)
    await desk.until(refund, "awaiting_parcel_back")
    await desk.submit(refund, "parcel_back", CLERK, waybill=waybill)
    assert (await desk.end(refund)).outcome == "refunded"
    assert place(desk, order, 2) == "unshipped"
    assert ["Lines 2×1 of" in one for one in ships(desk, order)] == [True]
    assert ["Lines 2×1 of" in one for one in open_ship_tasks(desk, order)] == [True]


@pytest.mark.parametrize("how", ["keeps", "called off"])
async def test_what_is_on_the_shelf_still_ships_where_the_buyer_keeps_the_order_twice(desk: Desk, how: str) -> None:
    order, waybill = parcel_order(desk, price_fen=50_000)
    scan(desk, waybill, "0")
    first = await desk.open_in("awaiting_parcel_back", order, reason="bought twice")
    await desk.submit(first, "parcel_back", CLERK, waybill=waybill)
    await desk.until(first, "awaiting_supervisor")
    await desk.submit(first, "buyer_withdraws", AGENT)
    assert (await desk.end(first)).outcome == "kept"
    assert len(open_ship_tasks(desk, order)) == 1
    second = await desk.open_in("persuading", order, reason="bought twice")
    if how == "keeps":
        await desk.submit(second, "buyer_keeps_order", AGENT)
    else:
        await desk.submit(second, "cancel_case", LEAD, note="by mistake")
    await desk.end(second)
    assert place(desk, order) == "unshipped"
    assert len(open_ship_tasks(desk, order)) == 1


async def test_a_replacement_that_an_export_shows_takes_no_piece_from_the_shelf(desk: Desk, tmp_path: Path) -> None:
    order, first, again = "3300019914363435801", "YT9914363801", "SF9914363801"
    shown = left_in_one_parcel(order, first, exports.Line(quantity="2"))
    imported(desk, tmp_path, shown)
    _, second = in_two_parcels(desk, order)
    lost = await lost_of(desk, order, first)
    await desk.submit(lost, "choose_reship", AGENT)  # of the stock
    scan(desk, second, "0")
    await came_back_and_called_off(desk, order, second)  # on the shelf, to ship again
    assert len(open_ship_tasks(desk, order)) == 1
    imported(desk, tmp_path, shown.but(waybill=f"{first},{second},{again}"))  # the replacement has left
    try:
        view = await desk.submit(lost, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again)
        assert view.state == "tracking"
        shop_ships(desk, order)  # what is on the shelf, too
        assert pieces_out(desk.database, order, 1) == 3  # the lost one, its replacement, and the other piece
    finally:
        await lost.cancel()
        await desk.end(lost)


async def test_a_replacement_that_an_export_shows_takes_no_other_line_from_the_shelf(
    desk: Desk, tmp_path: Path
) -> None:
    order, first, again = "3300019914363435802", "YT9914363802", "SF9914363802"
    shown = left_in_one_parcel(order, first, exports.Line(), exports.Line())
    imported(desk, tmp_path, shown)
    _, second = second_line_apart(desk, order)
    lost = await lost_of(desk, order, first)
    await desk.submit(lost, "choose_reship", AGENT)  # line 1, of the stock
    scan(desk, second, "0")
    await came_back_and_called_off(desk, order, second)  # line 2 is on the shelf, to ship again
    imported(desk, tmp_path, shown.but(waybill=f"{first},{second},{again}"))  # the replacement has left
    try:
        view = await desk.submit(lost, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again)
        assert view.state == "tracking"
    finally:
        await lost.cancel()
        await desk.end(lost)


async def ended_as_malicious(desk: Desk, order: str, review: Handle) -> None:
    """The review finds the order malicious, and what has not left is refunded."""
    await desk.submit(review, "submit_dossier", BULK_SPECIALIST, **DOSSIER)
    await desk.submit(review, "find_malicious", BULK_MANAGER, signs=["no_purchases"])
    end = await desk.end(review)
    assert end.outcome == "terminated"
    refund = desk.client.get_workflow_handle(end.links[0])
    await desk.until(refund, "awaiting_finance")
    await desk.submit(refund, "approve", FINANCE)
    await desk.end(refund)
    assert paid_fen(desk, order) == 300_000


async def malicious_with_a_piece_on_the_shelf(desk: Desk) -> tuple[str, str, Handle]:
    """An order that was ended as malicious while a piece of a line was on the shelf and one moving; with that one's
    parcel and the review.
    """
    order = desk.order(prices=[(300_000, 2), (300_000, 1)], shipped=[1])
    moving, came = parcel_of(desk, order), in_two_parcels(desk, order, line=1)[1]
    scan(desk, moving, "0")
    review = await bulk(desk, order)
    await came_back_and_called_off(desk, order, came)
    await ended_as_malicious(desk, order, review)
    return order, moving, review


async def test_a_piece_on_the_shelf_of_a_malicious_order_is_seen_to(desk: Desk) -> None:
    order, _, _ = await malicious_with_a_piece_on_the_shelf(desk)
    assert told_what_lies_here(desk, order) == [(LIES_HERE, "1×1")]


async def test_what_comes_back_of_a_malicious_order_is_seen_to(desk: Desk) -> None:
    order = desk.order(prices=[(300_000, 1), (300_000, 1)], shipped=[1])
    came = parcel_of(desk, order)
    scan(desk, came, "0")
    await ended_as_malicious(desk, order, await bulk(desk, order))
    await came_back_and_called_off(desk, order, came)
    assert (told_what_lies_here(desk, order), ships(desk, order)) == ([(LIES_HERE, "1×1")], [])


async def two_pieces_of_a_malicious_order(desk: Desk) -> tuple[str, str, str]:
    """An order with a line in two parcels, which are moving, and with one that has not left: ended as malicious."""
    order = desk.order(prices=[(300_000, 2), (300_000, 1)], shipped=[1])
    first, second = parcel_of(desk, order), in_two_parcels(desk, order, line=1)[1]
    scan(desk, first, "0")
    scan(desk, second, "0")
    await ended_as_malicious(desk, order, await bulk(desk, order))
    return order, first, second


async def test_each_piece_of_a_malicious_order_is_named_once(desk: Desk) -> None:
    order, first, second = await two_pieces_of_a_malicious_order(desk)
    await came_back_and_called_off(desk, order, first)
    assert told_what_lies_here(desk, order) == [(LIES_HERE, "1×1")]
    await came_back_and_called_off(desk, order, second)
    assert told_what_lies_here(desk, order) == [(LIES_HERE, "1×2")]


async def test_a_piece_that_comes_back_after_one_on_the_shelf_of_a_malicious_order_is_named_with_it(
    desk: Desk,
) -> None:
    order, moving, _ = await malicious_with_a_piece_on_the_shelf(desk)
    await came_back_and_called_off(desk, order, moving)
    assert told_what_lies_here(desk, order) == [(LIES_HERE, "1×2")]


async def test_what_lies_here_of_a_malicious_order_goes_into_stock_once_the_platform_has_refunded_it(
    desk: Desk,
) -> None:
    order, first, second = await two_pieces_of_a_malicious_order(desk)
    await came_back_and_called_off(desk, order, first)
    await came_back_and_called_off(desk, order, second)
    desk.platform_refunds_line(order, 1)
    assert (told_what_lies_here(desk, order), stock(desk, order)) == ([(LIES_HERE, "1×1")], {1: 1})
    desk.platform_refunds_line(order, 1)
    assert (told_what_lies_here(desk, order), stock(desk, order)) == ([], {1: 2})


async def test_a_piece_on_the_shelf_of_a_malicious_order_goes_into_stock_once_the_platform_has_refunded_it(
    desk: Desk,
) -> None:
    order, _, _ = await malicious_with_a_piece_on_the_shelf(desk)
    desk.platform_refunds_line(order, 1)
    assert (told_what_lies_here(desk, order), stock(desk, order)) == ([], {1: 1})


async def test_what_a_return_takes_in_of_a_malicious_order_is_asked_about_no_more(desk: Desk) -> None:
    order, first, _ = await two_pieces_of_a_malicious_order(desk)
    await came_back_and_called_off(desk, order, first)
    back = await opened(desk, order, "awaiting_supervisor", suffix="-1", lines=of_line(1))
    await desk.submit(back, "approve", LEAD)
    await desk.submit(back, "approve", BULK_MANAGER)
    assert told_what_lies_here(desk, order) == [(LIES_HERE, "1×1")]
    await desk.submit(back, "receive_goods", CLERK, waybill=first, lines=of_line(1))
    assert told_what_lies_here(desk, order) == []
    await back.cancel()
    await desk.end(back)


async def refund_took_in_of_a_malicious_order(desk: Desk) -> tuple[str, Handle, str]:
    """Line 3 came in a stopped parcel whose own case is open; line 2 is on its way in another parcel."""
    order = desk.order(prices=[(300_000, 1)] * 4, shipped=[1, 2, 3])
    came, second = second_line_apart(desk, order)
    scan(desk, came, "0")
    scan(desk, second, "0")
    await ended_as_malicious(desk, order, await bulk(desk, order))
    case = await in_trouble(desk, order, came)
    start = {"order_id": order, "by": AGENT, "lines": of_line(1), "reason": "bought twice"}
    refund = await desk.open_case("refund-before-shipping", f"refund-before-shipping-{order}-1", start)
    await desk.until(refund, "awaiting_parcel_back")
    await desk.submit(refund, "parcel_back", CLERK, waybill=came)
    assert told_what_lies_here(desk, order) == [(LIES_HERE, "3×1")]
    await desk.end(refund)
    return order, case, second


async def test_what_a_refund_took_in_of_a_malicious_order_is_seen_to_whatever_comes_back_later(desk: Desk) -> None:
    order, case, second = await refund_took_in_of_a_malicious_order(desk)
    await came_back_and_called_off(desk, order, second)
    assert told_what_lies_here(desk, order) == [(LIES_HERE, "2×1, 3×1")]
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)
    assert told_what_lies_here(desk, order) == [(LIES_HERE, "2×1, 3×1")]


async def test_an_order_that_is_ended_as_malicious_once_more_has_its_task_again(desk: Desk) -> None:
    order, _, review = await malicious_with_a_piece_on_the_shelf(desk)
    with desk.database.writing() as session:
        tasks = session.scalars(select(OutboxRow).where(OutboxRow.template == LIES_HERE))
        (task,) = (one for one in tasks if one.parameters["order_id"] == order)
        task.cancelled_at = datetime.now(UTC)  # the first review was terminated by mistake, say, and goods have shipped
    with desk.database.writing() as session:
        end_as_malicious(session, review.id, at=datetime.now(UTC))
    assert told_what_lies_here(desk, order) == [(LIES_HERE, "1×1")]


async def lapsed_return_of_a_malicious_order(desk: Desk, *, came_first: bool) -> tuple[str, Handle]:
    """A return of what came back of the order, before it was opened or since, has lapsed."""
    order = desk.order(prices=[(300_000, 1), (300_000, 1)], shipped=[1])
    came = parcel_of(desk, order)
    scan(desk, came, "0")
    await ended_as_malicious(desk, order, await bulk(desk, order))
    if came_first:
        await came_back_and_called_off(desk, order, came)
    back = await opened(desk, order, "awaiting_supervisor", suffix="-1", lines=of_line(1))
    await desk.submit(back, "approve", LEAD)
    await desk.submit(back, "approve", BULK_MANAGER)
    if not came_first:
        await came_back_and_called_off(desk, order, came)
    await desk.skip_to_deadline(back)
    assert (await desk.end(back)).outcome == "lapsed"
    return order, back


async def test_a_piece_of_a_malicious_order_whose_return_lapses_is_named_once(desk: Desk) -> None:
    order, _ = await lapsed_return_of_a_malicious_order(desk, came_first=True)
    assert told_what_lies_here(desk, order) == [(LIES_HERE, "1×1")]


async def test_a_piece_of_a_malicious_order_whose_lapsed_return_is_withdrawn_is_named_once(desk: Desk) -> None:
    order, back = await lapsed_return_of_a_malicious_order(desk, came_first=False)
    again = await opened(desk, order, "awaiting_supervisor", suffix="-1", lines=of_line(1), reopens=back.id)
    await desk.submit(again, "buyer_withdraws", AGENT)
    await desk.end(again)
    assert told_what_lies_here(desk, order) == [(LIES_HERE, "1×1")]
