"""What a return that has lapsed, or the platform judges, keeps here ships at no case's end, and somebody is asked."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from casework.shop.goods_tasks import ROLES
from casework.shop.tables import OutboxRow
from tests.desk import Desk, Handle
from tests.parcels import parcel_order, scan, second_line_apart, two_parcels_of_one_line
from tests.workflows.goods.test_goods_of_parcels import in_trouble
from tests.workflows.goods.test_remedy_or_refund import AGENT, CLERK, WAREHOUSE, of_line, parcel_of_two_lines
from tests.workflows.goods.test_what_came_back import called_off, came_back_and_called_off, mended, ships
from tests.workflows.test_problem_parcel import letters
from tests.workflows.test_returns import opened, said, stock


def open_tasks(desk: Desk, order: str) -> list[str]:
    """Every task about pieces of the order's first line that is open."""
    with desk.database.reading() as session:
        rows = session.scalars(
            select(OutboxRow).where(OutboxRow.to == "staff", OutboxRow.cancelled_at.is_(None)).order_by(OutboxRow.id)
        ).all()
        return [one.template for one in rows if order in one.text_en and "1×1" in one.text_en]


def told_what_lies_here(desk: Desk, order: str) -> list[tuple[str, str]]:
    """The open tasks about goods of an order that do not ship by themselves, and what they name."""
    with desk.database.reading() as session:
        rows = session.scalars(
            select(OutboxRow)
            .where(OutboxRow.template.in_(ROLES), OutboxRow.cancelled_at.is_(None))
            .order_by(OutboxRow.id)
        )
        return [(one.template, one.parameters["lines"]) for one in rows if one.parameters["order_id"] == order]


async def here_while_a_line_is_returned(desk: Desk) -> tuple[str, Handle, Handle]:
    """An order whose parcel of two lines came back, while a return of line 1 waits; with that and the parcel's case."""
    order, waybill = parcel_of_two_lines(desk)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel", suffix="-1", lines=of_line(1))
    case = await in_trouble(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    return order, back, case


async def test_what_is_here_of_a_lapsed_return_is_seen_to(desk: Desk) -> None:
    order, back, case = await here_while_a_line_is_returned(desk)
    await desk.submit(case, "choose_reship", AGENT)  # line 2
    await desk.skip_to_deadline(back)
    assert (await desk.end(back)).outcome == "lapsed"
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)
    asked = said(desk, back, "return.goods_are_here") or said(desk, case, "return.goods_are_here")
    assert asked is not None, "line 1 lies here, and nobody is asked"
    assert ships(desk, order) == []


async def in_dispute_while_the_rest_is_sent_again(desk: Desk) -> tuple[str, Handle]:
    """An order whose parcel came back: the platform decides about line 1, and its case has line 2 sent again."""
    order, waybill = parcel_of_two_lines(desk)
    scan(desk, waybill, "2")
    back = await opened(desk, order, "explaining", suffix="-1", lines=of_line(1), opened=True)
    case = await in_trouble(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    await desk.submit(case, "choose_reship", AGENT)  # line 2
    await desk.submit(back, "raise_dispute", AGENT)
    await desk.end(back)
    return order, case


async def test_what_the_platform_is_to_decide_on_does_not_ship_as_the_rest_of_its_parcel_has_arrived(
    desk: Desk,
) -> None:
    order, case = await in_dispute_while_the_rest_is_sent_again(desk)
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)
    assert ships(desk, order) == []


async def test_a_return_that_was_not_applicable_ends_no_dispute(desk: Desk) -> None:
    order, case = await in_dispute_while_the_rest_is_sent_again(desk)
    both = await opened(desk, order, "not_applicable")  # line 2 is being sent again
    await desk.end(both)
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)
    assert ships(desk, order) == []


async def in_dispute_while_its_parcels_case_is_open(desk: Desk) -> tuple[str, Handle]:
    """An order whose parcel came back, and of which the platform decides; with the parcel's case."""
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "2")
    back = await opened(desk, order, "explaining", opened=True)
    case = await in_trouble(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    await desk.submit(back, "raise_dispute", AGENT)
    await desk.end(back)
    return order, case


async def lapsed_while_its_parcels_case_is_open(desk: Desk) -> tuple[str, Handle]:
    """An order whose parcel of two lines came back, and a return of line 1 has lapsed; with the parcel's case."""
    order, back, case = await here_while_a_line_is_returned(desk)
    await desk.skip_to_deadline(back)
    assert (await desk.end(back)).outcome == "lapsed"
    return order, case


BOTH = [{"line": 1, "quantity": 2}]


async def lapsed_with_one_piece_here(desk: Desk) -> tuple[str, str, Handle]:
    """An order with a line in two parcels, one of which came back, and a return of both pieces, which has lapsed; with
    the other parcel.
    """
    order, (first, second) = two_parcels_of_one_line(desk)
    scan(desk, first, "0")
    back = await opened(desk, order, "awaiting_parcel", lines=BOTH)
    await came_back_and_called_off(desk, order, first)
    await desk.skip_to_deadline(back)
    assert (await desk.end(back)).outcome == "lapsed"
    assert open_tasks(desk, order) == ["return.goods_are_here"]
    return order, second, back


async def test_what_is_in_dispute_does_not_ship_as_its_parcels_case_is_called_off(desk: Desk) -> None:
    order, case = await in_dispute_while_its_parcels_case_is_open(desk)
    assert open_tasks(desk, order) == []  # its parcel's case sees to it
    await called_off(desk, case)
    assert (ships(desk, order), open_tasks(desk, order)) == ([], ["return.goods_in_dispute"])


async def test_a_piece_that_no_dispute_is_about_is_seen_to(desk: Desk) -> None:
    order, (had, came) = two_parcels_of_one_line(desk)
    scan(desk, had, "301")
    scan(desk, came, "0")
    back = await opened(desk, order, "explaining", lines=of_line(1), opened=True)  # of what the buyer has
    await came_back_and_called_off(desk, order, came)
    assert ships(desk, order) == []  # the return has the line
    await desk.submit(back, "raise_dispute", AGENT)
    assert (await desk.end(back)).outcome == "platform_dispute"
    assert open_tasks(desk, order) == ["return.goods_in_dispute"]
    # as the task says
    again = await opened(desk, order, "explaining", lines=of_line(1), opened=True)
    await desk.submit(again, "buyer_withdraws", AGENT)
    await desk.end(again)
    assert ["Lines 1×1 of" in text for text in ships(desk, order)] == [True]


async def test_nothing_is_kept_where_the_platform_has_paid_for_what_its_dispute_was_about(desk: Desk) -> None:
    order, (had, came) = two_parcels_of_one_line(desk)
    scan(desk, had, "301")
    back = await opened(desk, order, "explaining", lines=of_line(1), opened=True)  # of what the buyer has
    await desk.submit(back, "raise_dispute", AGENT)
    await desk.end(back)
    desk.platform_refunds_line(order, 1)
    scan(desk, came, "0")
    await came_back_and_called_off(desk, order, came)
    assert (len(ships(desk, order)), stock(desk, order)) == (1, {})


async def test_a_task_about_what_is_kept_takes_the_place_of_the_one_before(desk: Desk) -> None:
    order, second, back = await lapsed_with_one_piece_here(desk)
    await came_back_and_called_off(desk, order, second)
    told = [one for one in letters(desk, back, "staff") if one.template == "return.goods_are_here"]
    assert [("1×2" in one.text_en, one.cancelled_at is None) for one in told] == [(False, False), (True, True)]


async def test_all_lines_that_a_return_keeps_are_asked_about_whichever_came_back_last(desk: Desk) -> None:
    order, _ = parcel_of_two_lines(desk)
    first, second = second_line_apart(desk, order)
    scan(desk, first, "0")
    back = await opened(desk, order, "awaiting_parcel")
    await came_back_and_called_off(desk, order, first)
    await desk.skip_to_deadline(back)
    assert (await desk.end(back)).outcome == "lapsed"
    await came_back_and_called_off(desk, order, second)
    tasks = [one for one in letters(desk, back, "staff") if one.template == "return.goods_are_here"]
    assert [one.parameters["lines"] for one in tasks if one.cancelled_at is None] == ["1×1, 2×1"]
    assert ships(desk, order) == []


async def test_what_ships_after_its_return_has_lapsed_is_asked_about_no_more(desk: Desk) -> None:
    order, _, back = await lapsed_with_one_piece_here(desk)
    again = await opened(desk, order, "awaiting_parcel", lines=BOTH, reopens=back.id)
    await desk.submit(again, "buyer_withdraws", AGENT)
    await desk.end(again)
    assert open_tasks(desk, order) == ["ship_again"]


async def test_what_the_platform_pays_for_after_a_dispute_goes_into_stock(desk: Desk) -> None:
    order, case = await in_dispute_while_its_parcels_case_is_open(desk)
    await called_off(desk, case)
    assert open_tasks(desk, order) == ["return.goods_in_dispute"]
    desk.platform_refunds_line(order, 1)
    assert (open_tasks(desk, order), stock(desk, order)) == ([], {1: 1})


async def test_what_the_platform_pays_for_while_its_parcels_case_is_open_goes_into_stock_with_its_end(
    desk: Desk,
) -> None:
    order, case = await lapsed_while_its_parcels_case_is_open(desk)
    desk.platform_refunds_line(order, 1)
    await called_off(desk, case)
    assert (told_what_lies_here(desk, order), stock(desk, order)) == ([], {1: 1})


async def test_a_piece_whose_reopened_return_is_in_dispute_is_named_once(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel")
    await came_back_and_called_off(desk, order, waybill)
    await desk.skip_to_deadline(back)
    assert (await desk.end(back)).outcome == "lapsed"
    again = await opened(desk, order, "explaining", reopens=back.id, opened=True)
    await desk.submit(again, "raise_dispute", AGENT)
    await desk.end(again)
    assert told_what_lies_here(desk, order) == [("return.goods_in_dispute", "1×1")]


async def test_a_piece_of_which_two_returns_have_lapsed_is_named_once(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    scan(desk, waybill, "0")
    one = await opened(desk, order, "awaiting_parcel", suffix="-1", lines=of_line(1))
    await came_back_and_called_off(desk, order, waybill)
    await desk.skip_to_deadline(one)
    assert (await desk.end(one)).outcome == "lapsed"
    both = await opened(desk, order, "awaiting_parcel")
    await desk.skip_to_deadline(both)
    assert (await desk.end(both)).outcome == "lapsed"
    assert told_what_lies_here(desk, order) == [("return.goods_are_here", "1×1")]


async def test_of_two_lines_that_a_task_names_a_later_return_takes_over_its_own(desk: Desk) -> None:
    order, _ = parcel_of_two_lines(desk)
    first, second = second_line_apart(desk, order)
    scan(desk, first, "0")
    scan(desk, second, "0")
    both = await opened(desk, order, "awaiting_parcel")
    await came_back_and_called_off(desk, order, first)
    await came_back_and_called_off(desk, order, second)
    await desk.skip_to_deadline(both)
    assert (await desk.end(both)).outcome == "lapsed"
    one = await opened(desk, order, "awaiting_parcel", suffix="-1", lines=of_line(1))
    await desk.skip_to_deadline(one)
    assert (await desk.end(one)).outcome == "lapsed"
    assert told_what_lies_here(desk, order) == [("return.goods_are_here", "1×1"), ("return.goods_are_here", "2×1")]


async def test_what_lies_here_of_a_lapsed_return_is_seen_to_where_its_parcels_case_ends_in_another_way(
    desk: Desk,
) -> None:
    order, case = await lapsed_while_its_parcels_case_is_open(desk)
    await desk.submit(case, "buyer_confirms", AGENT)  # by mistake, or of what was sent to him in some other way
    await desk.end(case)
    # and of line 2, which no return has kept, he says that he has it
    assert told_what_lies_here(desk, order) == [("return.goods_are_here", "1×1"), ("parcel.goods_are_here", "2×1")]


async def test_of_one_parcel_what_each_of_two_lapsed_returns_has_kept_is_seen_to(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    scan(desk, waybill, "0")
    one = await opened(desk, order, "awaiting_parcel", suffix="-1", lines=of_line(1))
    two = await opened(desk, order, "awaiting_parcel", suffix="-2", lines=of_line(2))
    case = await in_trouble(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    for back in (one, two):
        await desk.skip_to_deadline(back)
        assert (await desk.end(back)).outcome == "lapsed"
    await called_off(desk, case)
    assert told_what_lies_here(desk, order) == [("return.goods_are_here", "1×1"), ("return.goods_are_here", "2×1")]


async def test_what_is_in_dispute_does_not_ship_as_its_parcels_case_is_mended(desk: Desk) -> None:
    order, case = await in_dispute_while_its_parcels_case_is_open(desk)
    await case.terminate("by mistake")
    assert mended(desk, case)
    assert (ships(desk, order), open_tasks(desk, order)) == ([], ["return.goods_in_dispute"])


@pytest.mark.parametrize("paid_first", [True, False])
async def test_what_the_platform_pays_for_about_the_time_of_a_dispute_is_what_that_is_about(
    desk: Desk, *, paid_first: bool
) -> None:
    order, (had, came) = two_parcels_of_one_line(desk)
    scan(desk, had, "301")
    scan(desk, came, "0")
    back = await opened(desk, order, "explaining", lines=of_line(1), opened=True)  # of what the buyer has
    await came_back_and_called_off(desk, order, came)
    if paid_first:
        desk.platform_refunds_line(order, 1)
    await desk.submit(back, "raise_dispute", AGENT)
    assert (await desk.end(back)).outcome == "platform_dispute"
    if not paid_first:
        desk.platform_refunds_line(order, 1)
    assert (stock(desk, order), open_tasks(desk, order)) == ({}, ["return.goods_in_dispute"])


async def test_what_a_dispute_was_about_goes_into_stock_where_its_parcels_case_ends_once_that_is_paid(
    desk: Desk,
) -> None:
    order, case = await in_dispute_while_its_parcels_case_is_open(desk)
    desk.platform_refunds_line(order, 1)
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)
    assert (stock(desk, order), open_tasks(desk, order)) == ({1: 1}, [])
