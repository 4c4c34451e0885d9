"""Whoever takes a parcel in, ends, or dies: what lies here then has exactly one who sees to it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from activities.cases import CaseActivities, CloseCase, GoodsAtEnd
from casework.policy import load_policy
from casework.shop import sending
from casework.shop.fencing import FencingToken, admit
from casework.shop.goods_tasks import (
    IN_DISPUTE,
    OF_LAPSED_RETURN,
    OF_MALICIOUS_ORDER,
    ROLES,
    SAID_TO_BE_RECEIVED,
    TAKE_IN,
)
from casework.shop.shelf import TO_SHIP_AGAIN
from casework.shop.tables import CaseRow, OutboxRow
from tests.desk import Desk, Handle
from tests.parcels import in_two_parcels, parcel_order, scan, scan_now, two_parcels_of_one_line
from tests.shop import exports
from tests.workflows.goods.test_goods_of_parcels import in_trouble
from tests.workflows.goods.test_kept_from_buyer import (
    BOTH,
    here_while_a_line_is_returned,
    in_dispute_while_its_parcels_case_is_open,
    lapsed_while_its_parcels_case_is_open,
    lapsed_with_one_piece_here,
    told_what_lies_here,
)
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
    mended,
    paid_and_confirmed,
    parcel_of,
    ships,
)
from tests.workflows.goods.test_where_each_piece_goes import (
    BULK_MANAGER,
    ended_as_malicious,
    imported,
    left_in_one_parcel,
    malicious_with_a_piece_on_the_shelf,
)
from tests.workflows.test_bulk_order import bulk
from tests.workflows.test_returns import opened, stock

REFUND = "refund-before-shipping"


async def in_dispute(desk: Desk, order: str, *, line: int = 1, suffix: str = "") -> None:
    """A return of the line has ended with the platform deciding; `suffix`: of its case id, where there are others."""
    back = await opened(desk, order, "explaining", suffix=suffix, lines=of_line(line), opened=True)
    await desk.submit(back, "raise_dispute", AGENT)
    assert (await desk.end(back)).outcome == "platform_dispute"


async def refund_that_has_its_parcel_stopped(desk: Desk, order: str, *, suffix: str = "") -> Handle:
    """A refund of line 1, which waits for its parcel; `suffix`: of its case id, where there are other lines."""
    start = {"order_id": order, "by": AGENT, "lines": of_line(1), "reason": "bought twice"}
    refund = await desk.open_case(REFUND, f"{REFUND}-{order}{suffix}", start)
    await desk.until(refund, "awaiting_parcel_back")
    return refund


async def one_of_two_pieces_in_dispute(desk: Desk) -> tuple[str, str]:
    """An order of two pieces, of which one lies here in dispute; and the waybill of the other one."""
    order, (came, rest) = two_parcels_of_one_line(desk)
    scan(desk, came, "0")
    await in_dispute(desk, order)
    await came_back_and_called_off(desk, order, came)
    assert told_what_lies_here(desk, order) == [(IN_DISPUTE, "1×1")]
    return order, rest


async def comes_into_trouble(desk: Desk, case: Handle, waybill: str) -> None:
    """The newest scan of the parcel that a case follows says so, and the case has seen it."""
    await scan_now(desk, case, waybill, "2")
    await desk.skip(case, timedelta(hours=5))
    await desk.until(case, "investigating")


def to_be_seen_to_by_specialist(desk: Desk, case: Handle) -> list[str]:
    """The open tasks of a parcel's case about lines that others had."""
    with desk.database.reading() as session:
        tasks = select(OutboxRow.text_en).where(
            OutboxRow.case_id == case.id,
            OutboxRow.template.in_(["parcel.rest_with_others", "parcel.refund_with_others"]),
            OutboxRow.cancelled_at.is_(None),
        )
        return list(session.scalars(tasks))


# --- what the platform decides about ---


async def test_a_line_in_dispute_stays_as_another_return_takes_its_parcel_in(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    scan(desk, waybill, "2")
    await in_dispute(desk, order, line=2, suffix="-2")
    other = await opened(desk, order, "awaiting_parcel", suffix="-1", lines=of_line(1))
    await desk.submit(other, "receive_goods", CLERK, waybill=waybill, lines=of_line(1))
    assert (ships(desk, order), told_what_lies_here(desk, order)) == ([], [(IN_DISPUTE, "2×1")])
    await other.cancel()


async def test_a_line_in_dispute_stays_as_a_refund_has_its_parcel_stopped(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    scan(desk, waybill, "0")
    await in_dispute(desk, order, line=2, suffix="-2")
    refund = await refund_that_has_its_parcel_stopped(desk, order, suffix="-1")
    await desk.submit(refund, "parcel_back", CLERK, waybill=waybill)
    assert (await desk.end(refund)).outcome == "refunded"
    assert (ships(desk, order), told_what_lies_here(desk, order)) == ([], [(IN_DISPUTE, "2×1")])


@pytest.mark.parametrize("paid", [True, False])
async def test_a_piece_in_dispute_stays_as_a_refund_of_the_other_one_ends(desk: Desk, paid: bool) -> None:
    order, other = await one_of_two_pieces_in_dispute(desk)
    scan(desk, other, "0")
    refund = await refund_that_has_its_parcel_stopped(desk, order)
    if paid:
        await desk.submit(refund, "parcel_back", CLERK, waybill=other)
    else:
        await desk.submit(refund, "buyer_withdraws", AGENT)
    await desk.end(refund)
    assert (ships(desk, order), told_what_lies_here(desk, order)) == ([], [(IN_DISPUTE, "1×1")])
    assert stock(desk, order) == ({1: 1} if paid else {})


async def test_what_is_in_dispute_stays_as_a_refund_of_it_is_called_off(desk: Desk) -> None:
    order, case = await in_dispute_while_its_parcels_case_is_open(desk)
    await called_off(desk, case)
    refund = await desk.open_in("persuading", order, reason="bought twice")
    await desk.submit(refund, "cancel_case", LEAD, note="opened by mistake")
    await desk.end(refund)
    assert (ships(desk, order), told_what_lies_here(desk, order)) == ([], [(IN_DISPUTE, "1×1")])


@pytest.mark.parametrize("how", ["mended", "cancelled", "declined"])
async def test_a_later_return_of_which_nothing_comes_ends_no_dispute(desk: Desk, how: str) -> None:
    order, case = await in_dispute_while_its_parcels_case_is_open(desk)
    await called_off(desk, case)
    again = await opened(desk, order, "explaining", opened=True)
    if how == "mended":
        await again.terminate("by mistake")
        assert mended(desk, again)
    elif how == "cancelled":
        await desk.submit(again, "cancel_case", LEAD, note="opened by mistake")
        await desk.end(again)
    else:
        await desk.skip_to_deadline(again)
        assert (await desk.end(again)).outcome == "declined"
    assert (ships(desk, order), told_what_lies_here(desk, order)) == ([], [(IN_DISPUTE, "1×1")])


@pytest.mark.parametrize("other", ["lost", "sent back"])
async def test_a_refund_of_another_piece_ends_no_dispute(desk: Desk, other: str) -> None:
    order, rest = await one_of_two_pieces_in_dispute(desk)
    if other == "lost":
        case = await lost_of(desk, order, rest)
        await desk.submit(case, "choose_refund", AGENT)
        child = desk.client.get_workflow_handle((await desk.end(case)).links[0])
        await desk.until(child, "confirming")
        await desk.submit(child, "buyer_confirms", AGENT)
        await desk.end(child)
    else:
        scan(desk, rest, "301")
        back = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
        await desk.submit(back, "buyer_ships", AGENT, courier="yuantong", waybill=f"RB{order}")
        await desk.submit(back, "receive_goods", CLERK, waybill=f"RB{order}")
        await paid_and_confirmed(desk, back)
    assert (ships(desk, order), told_what_lies_here(desk, order)) == ([], [(IN_DISPUTE, "1×1")])


async def test_a_lapsed_return_of_another_piece_does_not_take_a_dispute_over(desk: Desk) -> None:
    order, rest = await one_of_two_pieces_in_dispute(desk)
    scan(desk, rest, "301")
    back = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    await desk.skip_to_deadline(back)
    assert (await desk.end(back)).outcome == "lapsed"
    assert told_what_lies_here(desk, order) == [(IN_DISPUTE, "1×1")]


async def test_the_task_of_a_dispute_is_taken_back_where_the_platforms_sum_finds_its_line_later(
    desk: Desk, tmp_path: Path
) -> None:
    order, first = "3300019914363435912", "YT9914363912"
    shown = left_in_one_parcel(order, first, exports.Line(), exports.Line())
    imported(desk, tmp_path, shown)
    scan(desk, first, "2")
    await in_dispute(desk, order, suffix="-1")
    await came_back_and_called_off(desk, order, first)
    imported(desk, tmp_path, shown.but(refund="100.00"))
    assert told_what_lies_here(desk, order) == [(IN_DISPUTE, "1×1")]
    lines = (exports.Line(state=exports.CLOSED), exports.Line(state=exports.SHIPPED))
    imported(desk, tmp_path, shown.but(refund="100.00", lines=lines))
    assert (told_what_lies_here(desk, order), stock(desk, order)) == ([], {1: 1})


# --- what an open case has ---


async def test_a_task_names_no_piece_that_the_open_case_of_its_parcel_takes_in(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 2), (7_000, 1)], shipped=True)
    first, second = in_two_parcels(desk, order)  # lines 1 and 2, and line 1
    scan(desk, first, "0")
    scan(desk, second, "0")
    back = await opened(desk, order, "explaining", suffix="-1", lines=of_line(1), opened=True)
    await came_back_and_called_off(desk, order, second)
    lost = await lost_of(desk, order, first)
    await desk.submit(lost, "choose_reship", AGENT)  # line 2
    await desk.submit(lost, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    await desk.submit(lost, "buyer_confirms", AGENT)
    await desk.end(lost)
    await desk.submit(back, "raise_dispute", AGENT)
    await desk.end(back)
    case = await in_trouble(desk, order, first)
    await desk.submit(case, "parcel_returned", CLERK, waybill=first)  # it was not lost after all: line 2 is of no use
    assert told_what_lies_here(desk, order) == [(IN_DISPUTE, "1×1")]
    await case.cancel()


async def test_nobody_is_asked_about_what_a_refund_has(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "0")
    await in_dispute(desk, order)
    desk.fail("payment", order, "always")
    case = await in_trouble(desk, order, waybill)
    refund = await refund_that_has_its_parcel_stopped(desk, order)
    await desk.submit(refund, "parcel_back", CLERK, waybill=waybill)
    await desk.until(refund, "repairing_payment")
    await called_off(desk, case)
    assert told_what_lies_here(desk, order) == []
    await refund.cancel()


async def test_nobody_is_asked_about_what_is_just_being_refunded_and_the_platforms_money_ends_that_too(
    desk: Desk,
) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel")
    case = await in_trouble(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    await desk.skip_to_deadline(back)
    assert (await desk.end(back)).outcome == "lapsed"
    async with desk.before("open_case", order):
        await desk.submit(case, "choose_refund", AGENT)
        end = await desk.end(case)
        assert told_what_lies_here(desk, order) == []
        desk.platform_refunds_order(order)
    child = await desk.end(desk.client.get_workflow_handle(end.links[-1]))
    assert child.outcome == "not_applicable"
    assert (told_what_lies_here(desk, order), stock(desk, order)) == ([], {1: 1})


@pytest.mark.parametrize("end", ["lapsed", "withdrawn", "taken in", "dead"])
async def test_a_return_that_has_them_or_has_ended_is_not_to_take_goods_in(desk: Desk, end: str) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel")
    await came_back_and_called_off(desk, order, waybill)
    if end == "lapsed":
        await desk.skip_to_deadline(back)
        await desk.end(back)
    elif end == "withdrawn":
        await desk.submit(back, "buyer_withdraws", AGENT)
        await desk.end(back)
    elif end == "dead":
        await back.terminate("by mistake")
        assert mended(desk, back)
    else:
        await desk.submit(back, "receive_goods", CLERK, waybill=waybill)
    with desk.database.reading() as session:
        tasks = select(OutboxRow.template).where(
            OutboxRow.template.in_([TAKE_IN, *ROLES, *TO_SHIP_AGAIN]),
            OutboxRow.cancelled_at.is_(None),
            OutboxRow.text_en.contains(order),
        )
        found = session.scalars(tasks).all()
    if end == "taken in":
        await back.cancel()
    ships_again = ["ship_again"]
    whose = {"lapsed": [OF_LAPSED_RETURN], "withdrawn": ships_again, "dead": ships_again, "taken in": []}
    assert found == whose[end]


# --- what the buyer says that he has ---


async def said_to_be_received(desk: Desk, *, to_be_sent_again: bool = False) -> str:
    """The buyer of this order says that he has the goods, which came back to us, and somebody is to ask him."""
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "0")
    case = await in_trouble(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    if to_be_sent_again:
        await desk.submit(case, "choose_reship", AGENT)
    await desk.submit(case, "buyer_confirms", AGENT)
    assert (await desk.end(case)).outcome == "delivered"
    assert (ships(desk, order), told_what_lies_here(desk, order)) == ([], [(SAID_TO_BE_RECEIVED, "1×1")])
    return order


@pytest.mark.parametrize("to_be_sent_again", [False, True])
async def test_what_the_buyer_says_that_he_has_ships_as_the_task_says(desk: Desk, to_be_sent_again: bool) -> None:
    order = await said_to_be_received(desk, to_be_sent_again=to_be_sent_again)
    back = await opened(desk, order, "awaiting_parcel")
    await desk.submit(back, "buyer_withdraws", AGENT)
    await desk.end(back)
    assert (len(ships(desk, order)), told_what_lies_here(desk, order)) == (1, [])


async def test_what_the_buyer_says_that_he_has_is_taken_in_as_the_task_says(desk: Desk) -> None:
    order = await said_to_be_received(desk)
    back = await opened(desk, order, "awaiting_parcel")
    await desk.submit(back, "receive_goods", CLERK, lines=of_line(1))
    assert told_what_lies_here(desk, order) == []
    await paid_and_confirmed(desk, back)
    assert (ships(desk, order), stock(desk, order)) == ([], {1: 1})


# --- what an ended case leaves ---


@pytest.mark.parametrize("end", ["refund_opened", "closed"])
async def test_what_another_case_let_go_of_is_the_specialists_where_the_rest_was_sent_again_in_vain(
    desk: Desk, end: str
) -> None:
    order, back, case = await here_while_a_line_is_returned(desk)
    await desk.submit(case, "choose_reship", AGENT)  # line 2
    await desk.submit(back, "buyer_withdraws", AGENT)  # before it has left
    await desk.end(back)
    again = f"SF{order[-10:]}"
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again)
    if end == "closed":
        desk.platform_refunds_line(order, 2)
        await desk.signal(case, "order_gone", "system")
    else:
        await comes_into_trouble(desk, case, again)
        await desk.submit(case, "courier_answers", SPECIALIST, finding="lost")
        await desk.submit(case, "choose_refund", AGENT)
    assert (await desk.end(case)).outcome == end
    (task,) = to_be_seen_to_by_specialist(desk, case)
    assert f"1×1 ({back.id})" in task
    assert ships(desk, order) == []


async def test_a_return_that_is_withdrawn_as_its_parcels_case_ends_leaves_its_line_to_the_specialist(
    desk: Desk,
) -> None:
    order, back, case = await here_while_a_line_is_returned(desk)
    async with desk.before("parcel.refund_opened", order):
        await desk.submit(case, "choose_refund", AGENT)  # line 2
        await desk.reached("parcel.refund_opened", order)
        await desk.submit(back, "buyer_withdraws", AGENT)
        await desk.end(back)
    await desk.end(case)
    (task,) = to_be_seen_to_by_specialist(desk, case)
    assert f"1×1 ({back.id})" in task
    assert ships(desk, order) == [], "it is to be refunded"


@pytest.mark.parametrize("withdrawn", ["before it left", "at last", "never"])
async def test_what_another_case_has_or_the_buyer_is_owed_does_not_go_into_stock_with_a_refunded_replacement(
    desk: Desk, withdrawn: str
) -> None:
    order, back, case = await here_while_a_line_is_returned(desk)
    await desk.submit(case, "choose_reship", AGENT)  # line 2
    if withdrawn == "before it left":
        await desk.submit(back, "buyer_withdraws", AGENT)
        await desk.end(back)
    again = f"SF{order[-10:]}"
    await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=again)
    await comes_into_trouble(desk, case, again)
    await desk.submit(case, "courier_answers", SPECIALIST, finding="returning")
    await desk.submit(case, "parcel_returned", CLERK, waybill=again)
    desk.platform_refunds_line(order, 2)
    if withdrawn == "never":
        desk.platform_refunds_line(order, 1)
    await desk.signal(case, "order_gone", "system")
    assert (await desk.end(case)).outcome == "closed"
    assert stock(desk, order) == {2: 1}
    if withdrawn == "never":
        await desk.signal(back, "order_gone", "system")
        await desk.end(back)
        assert stock(desk, order) == {1: 1, 2: 1}
    elif withdrawn == "at last":
        await desk.submit(back, "buyer_withdraws", AGENT)
        await desk.end(back)
        assert ["Lines 1×1 of" in task for task in ships(desk, order)] == [True]
    else:
        assert ["1×1" in task for task in to_be_seen_to_by_specialist(desk, case)] == [True]


async def test_what_came_back_of_a_malicious_order_is_seen_to_where_the_buyer_confirms(desk: Desk) -> None:
    order = desk.order(prices=[(300_000, 1), (300_000, 1)], shipped=[1])
    came = parcel_of(desk, order)
    scan(desk, came, "0")
    case = await in_trouble(desk, order, came)
    await desk.submit(case, "parcel_returned", CLERK, waybill=came)
    await ended_as_malicious(desk, order, await bulk(desk, order))
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)
    assert told_what_lies_here(desk, order) == [(OF_MALICIOUS_ORDER, "1×1")]


async def test_what_lies_here_is_the_supervisors_when_the_order_is_ended_as_malicious(desk: Desk) -> None:
    order = desk.order(prices=[(300_000, 1), (300_000, 1)], shipped=[1])
    came = parcel_of(desk, order)
    scan(desk, came, "0")
    review = await bulk(desk, order)
    back = await opened(desk, order, "awaiting_supervisor", suffix="-1", lines=of_line(1))
    await desk.submit(back, "approve", LEAD)
    await desk.submit(back, "approve", BULK_MANAGER)
    await came_back_and_called_off(desk, order, came)
    await desk.skip_to_deadline(back)
    await desk.end(back)
    assert told_what_lies_here(desk, order) == [(OF_LAPSED_RETURN, "1×1")]
    await ended_as_malicious(desk, order, review)
    assert told_what_lies_here(desk, order) == [(OF_MALICIOUS_ORDER, "1×1")]


async def test_a_piece_of_the_shelf_that_went_into_stock_is_named_no_more_while_a_return_has_its_line(
    desk: Desk,
) -> None:
    order, _, _ = await malicious_with_a_piece_on_the_shelf(desk)
    back = await opened(desk, order, "awaiting_supervisor", suffix="-1", lines=of_line(1))
    desk.platform_refunds_line(order, 1)
    assert (told_what_lies_here(desk, order), stock(desk, order)) == ([], {1: 1})
    await back.cancel()


async def test_goods_of_a_review_that_died_as_it_ended_the_order_ship_again(desk: Desk) -> None:
    order = desk.order(prices=[(300_000, 2), (300_000, 1)], shipped=[1])
    review, came = await bulk(desk, order), parcel_of(desk, order)
    scan(desk, came, "0")
    await review.terminate("by mistake")
    with desk.database.writing() as session:
        session.scalars(select(CaseRow).where(CaseRow.case_id == review.id)).one().at_state = "terminating"
    case = await in_trouble(desk, order, came)
    await desk.submit(case, "parcel_returned", CLERK, waybill=came)
    await called_off(desk, case)
    assert mended(desk, review)
    assert (told_what_lies_here(desk, order), len(ships(desk, order))) == ([], 1)


async def closing_by_hand(desk: Desk) -> tuple[str, Handle, Callable[[str, GoodsAtEnd, int], None], FencingToken]:
    """A return whose parcel is here, and which is not worked on any more.

    The order, the return, what closes it (with which outcome, what becomes of its goods, after how many events), and
    the token of a step after 1,001 events, before any end.
    """
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel")
    await came_back_and_called_off(desk, order, waybill)
    with desk.database.reading() as session:
        row = session.scalars(select(CaseRow).where(CaseRow.case_id == back.id)).one()
        run_id, execution = row.run_id, row.at_execution or ""
    view, cases = await desk.view(back), CaseActivities(desk.database, load_policy(None))
    await back.terminate("its end is made by hand")
    waits = FencingToken(
        execution=execution, events=1_001, version=view.version, at=datetime.now(UTC), state="awaiting_parcel"
    )

    def close(outcome: str, goods: GoodsAtEnd, events: int) -> None:
        moment = FencingToken(execution=execution, events=events, version=view.version + 1)
        end = view.model_copy(update={"state": outcome, "outcome": outcome, "final": True})
        fields: dict[str, Any] = {"case_id": back.id, "run_id": run_id, "at": datetime.now(UTC), "posts": []}
        cases.close_case(CloseCase(**fields, view=end, goods=goods, moment=moment))

    return order, back, close, waits


async def test_an_end_that_temporal_gave_up_does_not_stand_for_the_one_that_came_instead(desk: Desk) -> None:
    order, _, close, _ = await closing_by_hand(desk)
    close("lapsed", GoodsAtEnd.STAY, 1_000)
    close("platform_dispute", GoodsAtEnd.STAY, 999)  # too late
    assert (told_what_lies_here(desk, order), ships(desk, order)) == ([(OF_LAPSED_RETURN, "1×1")], [])
    close("withdrawn", GoodsAtEnd.SHIP, 1_000)  # another way, with as many events
    assert (told_what_lies_here(desk, order), len(ships(desk, order))) == ([], 1)


async def test_a_return_whose_end_did_not_count_is_to_take_its_goods_in_again(desk: Desk) -> None:
    order, back, close, waits = await closing_by_hand(desk)
    close("lapsed", GoodsAtEnd.STAY, 1_000)
    with desk.database.writing() as session:
        run_id = session.scalars(select(CaseRow.run_id).where(CaseRow.case_id == back.id)).one()
        assert admit(session, back.id, run_id, waits)
    with desk.database.reading() as session:
        tasks = select(OutboxRow.template).where(OutboxRow.case_id == back.id, OutboxRow.cancelled_at.is_(None))
        assert session.scalars(tasks.where(OutboxRow.template.in_([TAKE_IN, *ROLES]))).all() == [TAKE_IN]
    assert told_what_lies_here(desk, order) == []


async def test_a_lapsed_return_is_reopened_also_after_one_that_was_not_applicable(desk: Desk) -> None:
    order, second, back = await lapsed_with_one_piece_here(desk)
    lost = await lost_of(desk, order, second)
    await desk.submit(lost, "choose_reship", AGENT)
    await desk.end(await opened(desk, order, "not_applicable", lines=BOTH, reopens=back.id))
    await desk.submit(lost, "parcel_reshipped", WAREHOUSE, courier="shunfeng", waybill=f"SF{order[-10:]}")
    await desk.submit(lost, "buyer_confirms", AGENT)
    await desk.end(lost)
    assert told_what_lies_here(desk, order) == [(OF_LAPSED_RETURN, "1×1")]
    await (await opened(desk, order, "awaiting_parcel", lines=BOTH, reopens=back.id)).cancel()


async def test_a_task_about_goods_goes_out_with_its_order_and_its_flow(desk: Desk) -> None:
    order, case = await lapsed_while_its_parcels_case_is_open(desk)
    await called_off(desk, case)
    with desk.database.writing() as session:
        much_later = datetime.now(UTC) + timedelta(days=400)
        sent = sending.claim(session, now=much_later, lease=timedelta(minutes=2), at_most=1_000_000)
        session.rollback()
    (ours,) = [one for one in sent if one.template in ROLES and one.parameters["order_id"] == order]
    assert (ours.order_id, ours.flow) == (order, "return-after-shipping")
