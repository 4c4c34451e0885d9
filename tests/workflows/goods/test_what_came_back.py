"""Goods that came back to us undelivered: they go one way, and only one: to the shelf, into stock, or to a return."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from casework.shop import mending
from casework.shop.tables import CaseRow, LineRow, OutboxRow, ShipmentRow
from tests.desk import Desk, Handle
from tests.parcels import parcel_order, scan, two_parcels_of_one_line
from tests.workflows.goods.test_goods_of_parcels import in_trouble, pieces_out
from tests.workflows.goods.test_hand_overs import came_back_while_a_return_waits
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
from tests.workflows.test_bulk_order import DOSSIER, bulk
from tests.workflows.test_bulk_order import MANAGER as BULK_MANAGER
from tests.workflows.test_bulk_order import SPECIALIST as BULK_SPECIALIST
from tests.workflows.test_problem_parcel import open_parcel
from tests.workflows.test_returns import FINANCE, SHOWN, inspected, opened, paid_fen, refused, said, stock

FAILED: dict[str, Any] = {"reason": "worn", "photos": ["photo-1"]}


def place(desk: Desk, order: str, line: int = 1) -> str:
    """Where the shop says that a line is."""
    with desk.database.reading() as session:
        return session.get_one(LineRow, (order, line)).place


def parcel_of(desk: Desk, order: str) -> str:
    """The waybill of an order's only parcel."""
    with desk.database.reading() as session:
        return session.scalars(select(ShipmentRow.waybill).where(ShipmentRow.order_id == order)).one()


async def called_off(desk: Desk, case: Handle) -> None:
    """The case of a parcel that came back is called off: somebody else sees to its goods."""
    await desk.submit(case, "cancel_case", LEAD, note="somebody else sees to it")
    await desk.end(case)


async def came_back_and_called_off(desk: Desk, order: str, waybill: str) -> Handle:
    """The case of a parcel that came back, and that was called off then."""
    case = await in_trouble(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    await called_off(desk, case)
    return case


def ships(desk: Desk, order: str) -> list[str]:
    """What the warehouse was told to ship again of an order."""
    with desk.database.reading() as session:
        tasks = select(OutboxRow.text_en).where(OutboxRow.template == "ship_again").order_by(OutboxRow.id)
        return [text for text in session.scalars(tasks) if order in text]


async def sent_back_to_buyer(desk: Desk, back: Handle, order: str) -> None:
    """The inspection has failed, and the goods have gone to the buyer."""
    await desk.submit(back, "fail_inspection", CLERK, **FAILED)
    await desk.submit(back, "goods_sent_back", CLERK, courier="yuantong", waybill=f"GB{order[-10:]}")
    assert (await desk.end(back)).outcome == "returned_to_buyer"


# --- a return takes in what came back ---


async def test_a_return_of_what_came_back_takes_it_in_and_pays_as_it_had_decided(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1)], postage_fen=1_000, shipped=True)
    waybill = parcel_of(desk, order)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "asking_supplier", **SHOWN)
    due = (await desk.submit(back, "supplier_agrees", AGENT)).amount_fen
    case = await in_trouble(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    assert "receive_goods" in (said(desk, back, "return.goods_came_back") or "")
    assert back.id in await refused(desk, case, "choose_refund", AGENT)
    await desk.submit(back, "receive_goods", CLERK)
    await inspected(desk, back, (1, 1))
    await desk.until(back, "confirming")
    assert paid_fen(desk, order) == due == 11_000
    assert stock(desk, order) == {1: 1}
    await case.cancel()


async def test_what_came_back_while_a_return_was_judged_is_taken_in_as_soon_as_it_waits_for_it(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "asking_supplier", **SHOWN)
    await came_back_and_called_off(desk, order, waybill)
    assert said(desk, back, "return.goods_came_back") is not None
    await desk.submit(back, "receive_goods", CLERK)
    await desk.submit(back, "supplier_agrees", AGENT)
    await desk.until(back, "inspecting")
    assert place(desk, order) != "unshipped"
    await back.cancel()


@pytest.mark.parametrize("end", ["sent back to the buyer", "called off"])
async def test_what_a_return_has_taken_in_does_not_ship_as_well(desk: Desk, end: str) -> None:
    order, back, case = await came_back_while_a_return_waits(desk)
    await called_off(desk, case)
    await desk.submit(back, "receive_goods", CLERK)
    if end == "called off":
        await desk.submit(back, "cancel_case", LEAD, note="the buyer keeps it")
        await desk.end(back)
        assert said(desk, back, "return.send_all_back") is not None
    else:
        await sent_back_to_buyer(desk, back, order)
    assert said(desk, back, "ship_again") is None
    assert place(desk, order) != "unshipped"


async def test_what_an_inspection_did_not_accept_of_what_came_back_does_not_ship_as_well(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 2)], shipped=True)
    waybill = parcel_of(desk, order)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel")
    await came_back_and_called_off(desk, order, waybill)
    await desk.submit(back, "receive_goods", CLERK)
    await inspected(desk, back, (1, 1))
    await desk.until(back, "confirming")
    await desk.submit(back, "buyer_confirms", AGENT)
    await desk.end(back)
    assert said(desk, back, "return.send_rest_back") is not None
    assert said(desk, back, "ship_again") is None
    assert stock(desk, order) == {1: 1}


async def test_silence_does_not_pay_for_what_a_return_has_sent_back_to_the_buyer(desk: Desk) -> None:
    order, back, case = await came_back_while_a_return_waits(desk)
    await desk.submit(back, "receive_goods", CLERK)
    await sent_back_to_buyer(desk, back, order)
    await desk.skip(case, timedelta(hours=49))
    assert (await desk.end(case)).links == []
    assert paid_fen(desk, order) == 0


async def test_what_came_back_and_was_refunded_by_the_platform_goes_into_stock_with_its_return(desk: Desk) -> None:
    order, back, case = await came_back_while_a_return_waits(desk)
    await called_off(desk, case)
    desk.platform_refunds_order(order)
    await desk.signal(back, "order_gone", "system")
    await desk.until(back, "confirming")
    await desk.submit(back, "buyer_confirms", AGENT)
    await desk.end(back)
    assert stock(desk, order) == {1: 1}


def mended(desk: Desk, case: Handle) -> bool:
    """Whether a case that was terminated has been given its end, as `casework repair` does."""
    with desk.database.writing() as session:
        died = select(CaseRow.run_id).where(CaseRow.case_id == case.id, CaseRow.closed_at.is_(None))
        run_id = session.scalars(died).one()
        return mending.mend_dead(session, case.id, run_id, view={}, outcome="terminated", at=datetime.now(UTC))


async def paid_and_confirmed(desk: Desk, back: Handle) -> None:
    """What was taken in has passed, and the buyer has the money."""
    await inspected(desk, back, (1, 1))
    await desk.until(back, "confirming")
    await desk.submit(back, "buyer_confirms", AGENT)
    await desk.end(back)


async def test_what_a_return_was_not_given_ships_again_when_it_ends(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1), (7_000, 1)], shipped=[1])
    other = f"YT{order[-10:]}"
    desk.ship_line(order, 2, other)
    back = await opened(desk, order, "awaiting_parcel")
    await came_back_and_called_off(desk, order, other)
    await desk.submit(back, "receive_goods", CLERK, lines=of_line(1))
    await paid_and_confirmed(desk, back)
    assert ["Lines 2×1 of" in one for one in ships(desk, order)] == [True]


async def test_of_two_pieces_a_return_takes_in_the_one_that_came_by_our_parcel(desk: Desk) -> None:
    order, (kept, came) = two_parcels_of_one_line(desk)
    for waybill in (kept, came):
        scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel")
    case = await in_trouble(desk, order, came)
    await desk.submit(case, "parcel_returned", CLERK, waybill=came)
    assert f"--set waybill={came}" in (said(desk, back, "return.goods_came_back") or "")
    await desk.submit(back, "receive_goods", CLERK, lines=of_line(1), waybill=came)
    await paid_and_confirmed(desk, back)
    await called_off(desk, case)
    assert (paid_fen(desk, order), stock(desk, order), ships(desk, order)) == (5_000, {1: 1}, [])


async def test_a_return_of_what_the_buyer_has_is_not_told_of_another_piece(desk: Desk) -> None:
    order, (had, came) = two_parcels_of_one_line(desk)
    scan(desk, had, "301")
    scan(desk, came, "0")
    back = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    case = await in_trouble(desk, order, came)
    await desk.submit(case, "parcel_returned", CLERK, waybill=came)
    assert said(desk, back, "return.goods_came_back") is None
    await back.cancel()
    await case.cancel()


async def test_of_two_parcels_that_came_back_a_return_has_taken_in_one(desk: Desk) -> None:
    order, waybills = two_parcels_of_one_line(desk)
    for waybill in waybills:
        scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    first, second = [await in_trouble(desk, order, waybill) for waybill in waybills]
    for case, waybill in zip((first, second), waybills, strict=True):
        await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    await desk.submit(back, "receive_goods", CLERK)
    await paid_and_confirmed(desk, back)
    await desk.submit(second, "choose_refund", AGENT)
    assert len((await desk.end(second)).links) == 1
    await first.cancel()


async def test_a_loss_that_is_accepted_takes_no_other_piece_into_stock(desk: Desk) -> None:
    order, (had, came) = two_parcels_of_one_line(desk)
    scan(desk, had, "301")
    scan(desk, came, "0")
    back = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    await desk.submit(back, "buyer_ships", AGENT, courier="yuantong", waybill=f"RB{order[-10:]}")
    await came_back_and_called_off(desk, order, came)
    await desk.skip_until(back, "tracing_return")
    await desk.submit(back, "accept_loss", "manager.1", note="lost on its way")
    await desk.until(back, "confirming")
    await desk.submit(back, "buyer_confirms", AGENT)
    await desk.end(back)
    assert stock(desk, order) == {}
    assert len(ships(desk, order)) == 1


async def already_back(desk: Desk) -> tuple[str, Handle]:
    """The order, and the return that a parcel's case has opened for what is here; finance is to approve it."""
    order, waybill = parcel_order(desk, price_fen=80_000)
    case = await in_trouble(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    await desk.submit(case, "choose_refund", AGENT)
    back = desk.client.get_workflow_handle((await desk.end(case)).links[0])
    await desk.until(back, "awaiting_finance")
    return order, back


async def test_what_is_to_be_sent_back_by_a_return_that_was_called_off_has_one_task(desk: Desk) -> None:
    order, back = await already_back(desk)
    await desk.submit(back, "cancel_case", LEAD, note="the buyer wants it after all")
    await desk.end(back)
    assert said(desk, back, "return.send_all_back") is not None
    assert said(desk, back, "ship_again") is None
    assert place(desk, order) != "unshipped"


async def test_what_was_looked_at_once_more_and_sent_back_does_not_ship_again(desk: Desk) -> None:
    order, back = await already_back(desk)
    await desk.submit(back, "send_back", FINANCE, note="look at them")
    await sent_back_to_buyer(desk, back, order)
    assert said(desk, back, "ship_again") is None
    assert place(desk, order) != "unshipped"


# --- by the piece, and by the parcel ---


async def test_a_line_of_which_piece_after_piece_came_back_has_not_left(desk: Desk) -> None:
    order, waybills = two_parcels_of_one_line(desk)
    tasks = [
        said(desk, await came_back_and_called_off(desk, order, waybill), "ship_again") or "" for waybill in waybills
    ]
    assert all("Lines 1×1 of" in task for task in tasks)
    assert place(desk, order) == "unshipped"


async def test_a_piece_ships_again_also_where_another_of_its_line_is_sent_again(desk: Desk) -> None:
    order, (lost, back) = two_parcels_of_one_line(desk)
    again = await lost_of(desk, order, lost)
    await desk.submit(again, "choose_reship", AGENT)
    case = await came_back_and_called_off(desk, order, back)
    assert "Lines 1×1 of" in (said(desk, case, "ship_again") or "")
    await desk.submit(again, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    await again.cancel()


async def both_came_back(desk: Desk) -> tuple[str, Handle, Handle]:
    """Two pieces of a line in two parcels, both here, each with its case."""
    order, waybills = two_parcels_of_one_line(desk)
    first, second = [await in_trouble(desk, order, waybill) for waybill in waybills]
    for case, waybill in zip((first, second), waybills, strict=True):
        await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    return order, first, second


async def test_a_piece_that_its_own_case_has_does_not_ship_with_another_of_its_line(desk: Desk) -> None:
    order, first, second = await both_came_back(desk)
    await desk.submit(first, "choose_reship", AGENT)
    await called_off(desk, second)
    assert ["Lines 1×1 of" in one for one in ships(desk, order)] == [True]
    assert place(desk, order) == "shipped", "a piece of it is the other case's to send"
    await desk.submit(first, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    await first.cancel()


async def test_two_pieces_that_are_called_off_one_after_the_other_have_a_task_each(desk: Desk) -> None:
    order, first, second = await both_came_back(desk)
    await called_off(desk, second)
    await called_off(desk, first)
    assert ["Lines 1×1 of" in one for one in ships(desk, order)] == [True, True]


@pytest.mark.parametrize("end", ["buyer_confirms", "cancel_case"])
async def test_what_was_sent_again_is_here_no_more(desk: Desk, end: str) -> None:
    order, (waybill, _) = two_parcels_of_one_line(desk)
    case = await in_trouble(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    await desk.submit(case, "choose_reship", AGENT)
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    await desk.submit(case, end, AGENT if end == "buyer_confirms" else LEAD, note="it is there")
    await desk.end(case)
    assert (ships(desk, order), stock(desk, order), pieces_out(desk.database, order, 1)) == ([], {}, 2)


async def came_back_and_refunded_in_part(desk: Desk) -> tuple[str, Handle]:
    """Two pieces in one parcel that came back, one of them refunded by the platform: the order, and the case."""
    order = desk.order(prices=[(5_000, 2)], shipped=True)
    waybill = parcel_of(desk, order)
    case = await in_trouble(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    desk.platform_refunds_line(order, 1)
    return order, case


async def test_what_the_platform_refunded_of_what_is_sent_again_goes_into_stock(desk: Desk) -> None:
    order, case = await came_back_and_refunded_in_part(desk)
    await desk.submit(case, "choose_reship", AGENT)
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)
    assert (ships(desk, order), stock(desk, order)) == ([], {1: 1})


async def test_what_the_buyer_has_after_all_does_not_ship_again(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    case = await in_trouble(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    await desk.submit(case, "choose_reship", AGENT)
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)
    assert ships(desk, order) == []


async def test_what_a_return_let_go_of_ships_where_its_parcels_case_has_gone_on(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    scan(desk, waybill, "2")
    other = await opened(desk, order, "collecting_evidence", suffix="-1", lines=of_line(1), cause="quality")
    case = await in_trouble(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    await desk.submit(case, "choose_reship", AGENT)
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    await desk.submit(other, "buyer_withdraws", AGENT)
    await desk.end(other)
    assert "Lines 1×1 of" in (said(desk, other, "ship_again") or "")
    assert place(desk, order) == "unshipped"
    await case.cancel()


async def test_whoever_ends_last_has_what_came_back_shipped(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    scan(desk, waybill, "0")
    start = {"order_id": order, "by": AGENT, "lines": of_line(1), "reason": "bought twice"}
    refund = await desk.open_case("refund-before-shipping", f"refund-before-shipping-{order}-1", start)
    await desk.until(refund, "awaiting_parcel_back")
    back = await opened(desk, order, "awaiting_parcel", suffix="-2", lines=of_line(2))
    case = await in_trouble(desk, order, waybill)
    await desk.submit(refund, "parcel_back", CLERK, waybill=waybill)
    await desk.end(refund)
    await back.cancel()
    await desk.end(back)
    assert said(desk, back, "ship_again") is None, "the parcel's own case has it"
    await called_off(desk, case)
    assert "Lines 2×1 of" in (said(desk, case, "ship_again") or "")


async def test_pieces_that_came_back_and_were_refunded_go_into_stock_and_the_others_ship(desk: Desk) -> None:
    order, case = await came_back_and_refunded_in_part(desk)
    await called_off(desk, case)
    assert "Lines 1×1 of" in (said(desk, case, "ship_again") or "")
    assert stock(desk, order) == {1: 1}


@pytest.mark.parametrize("ends", ["return", "parcel"])
async def test_nothing_of_an_order_that_was_ended_as_malicious_ships_again(desk: Desk, ends: str) -> None:
    order = desk.order(prices=[(300_000, 1), (300_000, 1)], shipped=[1])
    waybill = parcel_of(desk, order)
    review = await bulk(desk, order)
    await desk.submit(review, "submit_dossier", BULK_SPECIALIST, **DOSSIER)
    await desk.submit(review, "find_malicious", BULK_MANAGER, signs=["no_purchases"])
    assert (await desk.end(review)).outcome == "terminated"
    scan(desk, waybill, "0")
    back: Handle | None = None
    if ends == "return":
        back = await opened(desk, order, "awaiting_parcel", "awaiting_supervisor", suffix="-1", lines=of_line(1))
    case = await came_back_and_called_off(desk, order, waybill)
    if back is not None:
        await desk.submit(back, "buyer_withdraws", AGENT)
        await desk.end(back)
    assert said(desk, back or case, "ship_again") is None
    assert place(desk, order) == "back"


# --- one parcel, one case ---


async def test_two_cases_of_the_same_goods_that_begin_at_once_are_one(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    case = await in_trouble(desk, order, waybill, code="204")
    await desk.submit(case, "courier_answers", SPECIALIST, finding="unreachable")
    await desk.submit(case, "buyer_chooses", AGENT, choice="forward")
    onward = f"EM{order[-10:]}"
    await desk.submit(case, "parcel_forwarded", SPECIALIST, courier="ems", waybill=onward)
    await called_off(desk, case)
    scan(desk, waybill, "2")
    scan(desk, onward, "2")
    async with desk.before("register_parcel", order):
        both = [
            await open_parcel(desk, order, each, cause="exception", task_timeout=timedelta(seconds=3))
            for each in (waybill, onward)
        ]
        for one in both:
            await desk.until_shown(one, lambda view: view.state == "registering", "registering")
    states = [(await desk.until(one, "investigating", "not_applicable")).state for one in both]
    assert sorted(states) == ["investigating", "not_applicable"]
    for one, state in zip(both, states, strict=True):
        if state == "not_applicable":
            assert "follows its goods already" in ((await desk.view(one)).trail[-1].why or "")
        else:
            await one.cancel()


async def test_a_parcel_is_not_forwarded_under_the_waybill_of_another_one_of_the_order(desk: Desk) -> None:
    order, (waybill, other) = two_parcels_of_one_line(desk)
    case = await in_trouble(desk, order, waybill, code="204")
    await desk.submit(case, "courier_answers", SPECIALIST, finding="unreachable")
    await desk.submit(case, "buyer_chooses", AGENT, choice="forward")
    why = await refused(desk, case, "parcel_forwarded", SPECIALIST, courier="yuantong", waybill=other)
    assert f"{other} is another parcel of this order" in why
    await case.cancel()


async def test_a_replacement_that_an_export_has_shown_already_is_one_all_the_same(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "choose_reship", AGENT)
    again = f"SF{order[-10:]}"
    with desk.database.writing() as session:  # the importer cannot tell what is in it: the line is out already
        session.add(ShipmentRow(order_id=order, waybill=again, company="顺丰速运", shipped_at=None))
    view = await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again)
    assert view.state == "tracking"
    await case.cancel()


async def test_a_parcel_that_left_before_it_was_asked_for_is_no_replacement(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    other = f"ZZ{order[-11:]}"
    with desk.database.writing() as session:
        session.add(ShipmentRow(order_id=order, waybill=other, company="圆通速递", shipped_at=None))
    scan(desk, other, "301")
    case = await lost_of(desk, order, waybill)
    await desk.submit(case, "choose_reship", AGENT)
    why = await refused(desk, case, "parcel_reshipped", WAREHOUSE, courier="yuantong", waybill=other)
    assert f"{other} is already a parcel of order {order}" in why
    await case.cancel()


# --- the way back ---


async def test_a_refused_parcel_with_more_in_it_than_is_returned_has_a_case_of_its_own(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel", suffix="-1", lines=of_line(1))
    await desk.submit(back, "buyer_ships", AGENT, courier="yuantong", waybill=waybill)
    case = await in_trouble(desk, order, waybill)
    assert (await desk.view(case)).amount_fen == 17_000
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    assert said(desk, back, "return.goods_came_back") is not None
    await called_off(desk, case)
    assert "Lines 2×1 of" in (said(desk, case, "ship_again") or "")
    assert place(desk, order, 1) == "back"
    await back.cancel()


async def test_the_buyers_own_signature_is_not_taken_for_ours(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "301")
    back = await opened(desk, order, "awaiting_parcel")
    await desk.submit(back, "buyer_ships", AGENT, courier="yuantong", waybill=waybill)
    await desk.skip_to_deadline(back)
    case = await desk.first_opened_by(back)
    await desk.until_shown(case, lambda view: view.state != "registering", "it is registered")
    assert (await desk.view(case)).state != "delivered"
    assert said(desk, back, "parcel.way_back_arrived") is None
    await case.cancel()
