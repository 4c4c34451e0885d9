"""What came back and a return takes in: the return has it from then on, keeps it, or sends it back, and nobody else."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from activities.returns import AssessStep, ReturnActivities
from casework import names
from casework.dues import ReturnDue
from casework.money import LineQuantity
from tests.desk import Desk, Handle
from tests.parcels import in_two_parcels, parcel_order, scan, two_parcels_of_one_line
from tests.workflows.goods.test_goods_of_parcels import in_trouble
from tests.workflows.goods.test_hand_overs import came_back_while_a_return_waits
from tests.workflows.goods.test_remedy_or_refund import (
    AGENT,
    CLERK,
    LEAD,
    SPECIALIST,
    of_line,
    parcel_of_two_lines,
)
from tests.workflows.goods.test_what_came_back import (
    FAILED,
    already_back,
    called_off,
    came_back_and_called_off,
    paid_and_confirmed,
    parcel_of,
    place,
    sent_back_to_buyer,
    ships,
)
from tests.workflows.goods.test_where_each_piece_goes import open_ship_tasks, told_to_take_in
from tests.workflows.test_problem_parcel import open_parcel
from tests.workflows.test_returns import FINANCE, SHOWN, inspected, opened, paid_fen, refused, said, stock


async def insisted_on(desk: Desk, order: str, *, silent: bool = False) -> None:
    """The buyer wants the money as if nothing had left, and insists on it, or says nothing more."""
    refund = await desk.start(order, reason="bought twice")
    view = await desk.until(refund, "persuading", "not_applicable", "awaiting_parcel_back", "converted")
    if view.state == "persuading" and not silent:
        await desk.submit(refund, "buyer_insists", AGENT)
    elif view.state == "persuading":
        await desk.skip_to_deadline(refund)
    elif not view.final:
        await refund.cancel()
    await desk.end(refund)


async def withdrawn_again(desk: Desk, order: str) -> None:
    """One more return of the order, which the buyer thinks better of."""
    later = await opened(desk, order, "awaiting_parcel", "awaiting_supervisor", "explaining")
    await desk.submit(later, "buyer_withdraws", AGENT)
    await desk.end(later)


# --- a fact that no state has used ---


@pytest.mark.parametrize("end", ["sent back to the buyer", "called off"])
async def test_what_only_a_kept_fact_says_came_in_does_not_ship_as_well(desk: Desk, end: str) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "asking_supplier", **SHOWN)
    await came_back_and_called_off(desk, order, waybill)
    await desk.submit(back, "receive_goods", CLERK, waybill=waybill)  # kept: nobody waits for it yet
    if end == "called off":
        await desk.submit(back, "cancel_case", LEAD, note="the buyer keeps it")
        await desk.end(back)
        assert said(desk, back, "return.send_all_back") is not None
    else:
        await desk.submit(back, "buyer_withdraws", AGENT)
        await desk.submit(back, "goods_sent_back", CLERK, courier="yuantong", waybill=f"GB{order[-10:]}")
        assert (await desk.end(back)).outcome == "returned_to_buyer"
    assert ships(desk, order) == []
    assert place(desk, order) != "unshipped"


# --- what the clerk is told, and takes in ---


async def line_two_came_back(desk: Desk) -> tuple[str, str, Handle]:
    """A return of two lines, of which the buyer has one: the order, the other's waybill, and the return."""
    order = desk.order(prices=[(10_000, 1), (7_000, 1)], shipped=[1])
    scan(desk, parcel_of(desk, order), "301")
    other = f"YT{order[-10:]}"
    desk.ship_line(order, 2, other)
    back = await opened(desk, order, "awaiting_parcel")
    case = await in_trouble(desk, order, other)
    await desk.submit(case, "parcel_returned", CLERK, waybill=other)
    return order, other, back


async def test_the_task_to_take_in_a_parcel_names_what_is_in_it_and_silence_pays_for_no_more(desk: Desk) -> None:
    order, other, back = await line_two_came_back(desk)
    told = said(desk, back, "return.goods_came_back") or ""
    assert f"casework submit {back.id} receive_goods --set waybill={other} --set lines=2x1" in told
    await desk.submit(back, "receive_goods", CLERK, waybill=other, lines=of_line(2))
    await desk.skip_until(back, "confirming")  # nobody looks at it, nor does finance answer
    assert paid_fen(desk, order) == 7_000, "line 1 is with the buyer"
    await desk.submit(back, "buyer_confirms", AGENT)
    await desk.end(back)


async def test_a_parcel_of_ours_does_not_bring_what_was_never_in_it(desk: Desk) -> None:
    _, other, back = await line_two_came_back(desk)
    assert "lines" in await refused(desk, back, "receive_goods", CLERK, waybill=other)
    assert (await desk.view(back)).state == "awaiting_parcel"
    await back.cancel()


# --- a parcel of ours that a return takes in ---


@pytest.mark.parametrize("first", ["the parcel's case", "the return"])
async def test_it_does_not_matter_who_tells_first_that_a_parcel_is_here(desk: Desk, first: str) -> None:
    order, (had, came) = two_parcels_of_one_line(desk)
    scan(desk, had, "301")
    scan(desk, came, "0")
    back = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    case = await in_trouble(desk, order, came)
    told = [(case, "parcel_returned"), (back, "receive_goods")]
    for handle, trigger in told if first == "the parcel's case" else reversed(told):
        await desk.submit(handle, trigger, CLERK, waybill=came)
    await paid_and_confirmed(desk, back)
    await called_off(desk, case)
    assert (paid_fen(desk, order), stock(desk, order), ships(desk, order)) == (5_000, {1: 1}, [])


async def test_the_refused_parcel_that_a_return_took_in_is_not_paid_once_more(desk: Desk) -> None:
    order, (had, came) = two_parcels_of_one_line(desk)
    scan(desk, had, "301")
    scan(desk, came, "0")
    back = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    await desk.submit(back, "buyer_ships", AGENT, courier="yuantong", waybill=came)  # refused at the door
    await desk.submit(back, "receive_goods", CLERK, waybill=came)
    await paid_and_confirmed(desk, back)
    scan(desk, came, "2")
    case = await open_parcel(desk, order, came, cause="exception")
    assert (await desk.end(case)).outcome == "not_applicable"
    assert (paid_fen(desk, order), stock(desk, order)) == (5_000, {1: 1})


async def test_what_a_return_took_in_by_our_waybill_and_sent_back_is_not_sent_again(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel")
    case = await in_trouble(desk, order, waybill)
    await desk.submit(back, "receive_goods", CLERK, waybill=waybill)  # refused at the door: it is here
    await sent_back_to_buyer(desk, back, order)
    await desk.submit(case, "courier_answers", SPECIALIST, finding="lost")
    assert "nothing left to send again" in await refused(desk, case, "choose_reship", AGENT)
    await case.cancel()


async def test_the_other_line_of_a_refused_parcel_that_a_return_took_in_ships_again(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    scan(desk, waybill, "0")
    back = await opened(desk, order, "awaiting_parcel", suffix="-1", lines=of_line(1))
    await desk.submit(back, "buyer_ships", AGENT, courier="yuantong", waybill=waybill)
    await desk.submit(back, "receive_goods", CLERK, waybill=waybill)
    await paid_and_confirmed(desk, back)
    assert ["Lines 2×1 of" in one for one in ships(desk, order)] == [True]


async def test_what_the_buyer_has_signed_for_is_not_here_as_somebody_names_its_waybill(desk: Desk) -> None:
    order, waybill = parcel_of_two_lines(desk)
    scan(desk, waybill, "301")
    back = await opened(desk, order, "awaiting_parcel", suffix="-1", lines=of_line(1))
    await desk.submit(back, "receive_goods", CLERK, waybill=waybill)  # the parcel's own number, on its old label
    await paid_and_confirmed(desk, back)
    assert (stock(desk, order), ships(desk, order), place(desk, order, 2)) == ({1: 1}, [], "shipped")


async def test_of_two_pieces_in_our_parcel_a_return_takes_one(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 3)], shipped=True)
    had, came = in_two_parcels(desk, order, others=2)
    scan(desk, had, "301")
    scan(desk, came, "0")
    back = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    case = await in_trouble(desk, order, came)
    await desk.submit(case, "parcel_returned", CLERK, waybill=came)
    await desk.submit(back, "receive_goods", CLERK, lines=of_line(1), waybill=came)
    await paid_and_confirmed(desk, back)
    await called_off(desk, case)
    assert stock(desk, order) == {1: 1}
    assert ["Lines 1×1 of" in one for one in ships(desk, order)] == [True]


# --- a return of what is here ---


async def test_a_return_of_what_is_here_already_is_told_so_and_pays(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    case = await in_trouble(desk, order, waybill)
    await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    back = await opened(desk, order, "awaiting_parcel")
    assert back.id in await refused(desk, case, "choose_refund", AGENT)
    told = re.search(r"receive_goods --set waybill=(\S+)", said(desk, back, "return.goods_came_back") or "")
    assert told is not None
    await desk.submit(back, "receive_goods", CLERK, waybill=told[1])
    await paid_and_confirmed(desk, back)
    await called_off(desk, case)
    assert (paid_fen(desk, order), stock(desk, order), ships(desk, order)) == (10_000, {1: 1}, [])


async def test_a_return_takes_in_the_piece_that_came_back_where_the_buyer_has_none_yet(desk: Desk) -> None:
    order, (moving, came) = two_parcels_of_one_line(desk)
    scan(desk, moving, "0")
    scan(desk, came, "0")
    back = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    case = await in_trouble(desk, order, came)
    await desk.submit(case, "parcel_returned", CLERK, waybill=came)
    assert f"--set waybill={came} --set lines=1x1" in (said(desk, back, "return.goods_came_back") or "")
    await back.cancel()
    await case.cancel()


async def test_a_return_that_has_what_came_back_is_not_told_of_another_piece(desk: Desk) -> None:
    _, back, other = await one_is_back_and_one_moves(desk)
    await desk.submit(other, "parcel_returned", CLERK, waybill=other.id.removeprefix("problem-parcel-"))
    assert said(desk, back, "return.goods_came_back") is None
    await back.cancel()
    await other.cancel()


@pytest.mark.parametrize("wants", ["money", "goods"])
async def test_goods_that_are_here_do_not_ship_by_themselves_where_a_return_lapses(desk: Desk, wants: str) -> None:
    order, back, case = await came_back_while_a_return_waits(desk)
    await called_off(desk, case)
    await desk.skip_to_deadline(back)
    assert (await desk.end(back)).outcome == "lapsed"
    assert ships(desk, order) == []
    assert f"--reopens {back.id}" in (said(desk, back, "return.goods_are_here") or "")
    again = await opened(desk, order, "awaiting_parcel", reopens=back.id)
    if wants == "money":
        await desk.submit(again, "receive_goods", CLERK)
        await paid_and_confirmed(desk, again)
    else:
        await desk.submit(again, "buyer_withdraws", AGENT)
        await desk.end(again)
    assert (paid_fen(desk, order), stock(desk, order), len(ships(desk, order))) == (
        (10_000, {1: 1}, 0) if wants == "money" else (0, {}, 1)
    )


# --- what went to the buyer once more ---


@pytest.mark.parametrize("how", ["insists", "silent"])
async def test_what_was_sent_back_to_the_buyer_is_not_refunded_as_if_it_had_never_left(desk: Desk, how: str) -> None:
    order, back, case = await came_back_while_a_return_waits(desk)
    await called_off(desk, case)
    await desk.submit(back, "receive_goods", CLERK)
    await desk.submit(back, "buyer_withdraws", AGENT)  # the buyer wants them after all
    await desk.submit(back, "goods_sent_back", CLERK, courier="yuantong", waybill=f"GB{order[-10:]}")
    await desk.end(back)
    await insisted_on(desk, order, silent=how == "silent")
    assert paid_fen(desk, order) == 0, "the buyer has the goods, and the money"


async def test_what_a_return_that_was_called_off_sent_back_is_not_refunded_by_silence(desk: Desk) -> None:
    order, back = await already_back(desk)
    await desk.submit(back, "cancel_case", LEAD, note="the buyer wants it after all")
    await desk.end(back)
    assert said(desk, back, "return.send_all_back") is not None  # and the clerk does so
    await insisted_on(desk, order, silent=True)
    assert paid_fen(desk, order) == 0


@pytest.mark.parametrize("end", ["called off", "sent back"])
async def test_what_a_return_sent_back_does_not_ship_when_the_next_return_ends(desk: Desk, end: str) -> None:
    order, back = await already_back(desk)
    if end == "called off":
        await desk.submit(back, "cancel_case", LEAD, note="the buyer wants it after all")
        await desk.end(back)
    else:
        await desk.submit(back, "send_back", FINANCE, note="look at them")
        await sent_back_to_buyer(desk, back, order)
    await withdrawn_again(desk, order)
    assert ships(desk, order) == []
    assert place(desk, order) != "unshipped"


async def one_is_back_and_one_moves(desk: Desk) -> tuple[str, Handle, Handle]:
    """Two pieces of a line: one came back, and its case has opened a return of it; the other's case is open still."""
    order, (moving, came) = two_parcels_of_one_line(desk, price_fen=60_000)
    other = await in_trouble(desk, order, moving)
    case = await in_trouble(desk, order, came)
    await desk.submit(case, "parcel_returned", CLERK, waybill=came)
    await desk.submit(case, "choose_refund", AGENT)
    back = desk.client.get_workflow_handle((await desk.end(case)).links[0])
    await desk.until(back, "awaiting_finance")
    return order, back, other


@pytest.mark.parametrize("looked_at", [False, True])
async def test_what_is_paid_for_and_in_stock_does_not_ship_when_another_parcels_case_ends(
    desk: Desk, *, looked_at: bool
) -> None:
    order, back, other = await one_is_back_and_one_moves(desk)
    if looked_at:
        await desk.submit(back, "send_back", FINANCE, note="look at them")
        await inspected(desk, back, (1, 1))
        await desk.until(back, "awaiting_finance")
    await desk.submit(back, "approve", FINANCE)
    await desk.until(back, "confirming")
    await desk.submit(back, "buyer_confirms", AGENT)
    await desk.end(back)
    await called_off(desk, other)  # its parcel is on its way to the buyer
    assert (paid_fen(desk, order), stock(desk, order), ships(desk, order)) == (60_000, {1: 1}, [])


async def test_what_the_platform_judges_does_not_ship_when_another_case_of_its_line_ends(desk: Desk) -> None:
    order, back, other = await one_is_back_and_one_moves(desk)
    await desk.submit(back, "send_back", FINANCE, note="look at them")
    await desk.submit(back, "fail_inspection", CLERK, **FAILED)
    await desk.submit(back, "raise_dispute", AGENT)
    assert (await desk.end(back)).outcome == "platform_dispute"
    await called_off(desk, other)
    assert ships(desk, order) == []


# --- a piece that two returns had, one after the other ---


async def sent_back_and_asked_again(desk: Desk, by: str, end: str) -> tuple[str, str]:
    """Of two pieces, one came back, a return had it and let go of it, and a later return takes it in and pays for it.

    The order, and the waybill of the other piece, which moves still. `by` whose parcel the later return takes it in.
    """
    order, (moving, came) = two_parcels_of_one_line(desk)
    scan(desk, moving, "0")
    scan(desk, came, "0")
    back = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    case = await in_trouble(desk, order, came)
    await desk.submit(case, "parcel_returned", CLERK, waybill=came)
    await desk.submit(back, "receive_goods", CLERK, lines=of_line(1), waybill=came)
    if end == "called off":
        await desk.submit(back, "cancel_case", LEAD, note="opened twice")  # the goods are still on the clerk's table
        await desk.end(back)
    else:
        await sent_back_to_buyer(desk, back, order)
    await called_off(desk, case)
    again = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    await desk.submit(
        again, "receive_goods", CLERK, lines=of_line(1), waybill=came if by == "ours" else f"RB{order[-10:]}"
    )
    await paid_and_confirmed(desk, again)
    assert (paid_fen(desk, order), stock(desk, order)) == (5_000, {1: 1})
    return order, moving


@pytest.mark.parametrize(("by", "end"), [("the buyer's", "sent back"), ("ours", "called off")])
async def test_a_piece_that_two_returns_had_hides_no_other_piece(desk: Desk, by: str, end: str) -> None:
    order, moving = await sent_back_and_asked_again(desk, by, end)
    await came_back_and_called_off(desk, order, moving)
    assert ["Lines 1×1 of" in one for one in ships(desk, order)] == [True]


async def test_a_piece_that_two_returns_had_hides_no_other_piece_from_its_own_case(desk: Desk) -> None:
    order, moving = await sent_back_and_asked_again(desk, "the buyer's", "sent back")
    other = await in_trouble(desk, order, moving)
    await desk.submit(other, "parcel_returned", CLERK, waybill=moving)
    await desk.submit(other, "choose_refund", AGENT)
    # the buyer has paid for it, has not got it, and wants the money
    assert len((await desk.end(other)).links) == 1


@pytest.mark.parametrize("named", [False, True])
async def test_the_old_label_takes_no_piece_out_of_another_parcel(desk: Desk, named: bool) -> None:
    """The buyer has one piece and sends it back under the number on its old label; the other piece came back."""
    order, (had, came) = two_parcels_of_one_line(desk)
    scan(desk, had, "301")
    scan(desk, came, "0")
    case = await in_trouble(desk, order, came)
    await desk.submit(case, "parcel_returned", CLERK, waybill=came)
    back = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    more: dict[str, Any] = {"lines": of_line(1)} if named else {}
    await desk.submit(back, "receive_goods", CLERK, waybill=had, **more)
    await paid_and_confirmed(desk, back)
    # the buyer is paid for the one, and is still to have the other
    try:
        view = await desk.submit(case, "choose_reship", AGENT)
        assert view.state == "reshipping"
    finally:
        await case.cancel()
        await desk.end(case)


async def test_what_the_old_label_did_not_bring_ships_when_its_parcels_case_is_called_off(desk: Desk) -> None:
    order, (had, came) = two_parcels_of_one_line(desk)
    scan(desk, had, "301")
    scan(desk, came, "0")
    case = await in_trouble(desk, order, came)
    await desk.submit(case, "parcel_returned", CLERK, waybill=came)
    back = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    await desk.submit(back, "receive_goods", CLERK, waybill=had)
    await paid_and_confirmed(desk, back)
    await called_off(desk, case)
    assert (paid_fen(desk, order), stock(desk, order)) == (5_000, {1: 1})
    assert ["Lines 1×1 of" in one for one in open_ship_tasks(desk, order)] == [True]


async def test_what_was_sent_back_comes_again_under_its_first_label(desk: Desk) -> None:
    order, (first, second) = two_parcels_of_one_line(desk)
    scan(desk, first, "0")
    one = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    await desk.submit(one, "receive_goods", CLERK, waybill=first, lines=of_line(1))  # refused at the door
    await sent_back_to_buyer(desk, one, order)
    case = await in_trouble(desk, order, second)
    await desk.submit(case, "parcel_returned", CLERK, waybill=second)
    two = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    await desk.submit(two, "receive_goods", CLERK, waybill=first, lines=of_line(1))  # the label is on it still
    await paid_and_confirmed(desk, two)
    await called_off(desk, case)
    assert (paid_fen(desk, order), stock(desk, order)) == (5_000, {1: 1})
    assert ["Lines 1×1 of" in text for text in open_ship_tasks(desk, order)] == [True]


async def test_the_task_names_the_parcel_in_which_the_piece_is(desk: Desk) -> None:
    order, (first, second) = two_parcels_of_one_line(desk)
    scan(desk, first, "0")
    scan(desk, second, "0")
    one = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    await desk.submit(one, "receive_goods", CLERK, waybill=second, lines=of_line(1))  # refused at the door
    await paid_and_confirmed(desk, one)
    case = await in_trouble(desk, order, first)
    await desk.submit(case, "parcel_returned", CLERK, waybill=first)
    two = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    told = told_to_take_in(desk, two)
    await two.cancel()
    await case.cancel()
    assert told == [{"waybill": first, "lines": of_line(1)}]


@pytest.mark.parametrize("parcels", [1, 2])
async def test_a_step_that_is_done_again_leaves_the_clerk_a_task(desk: Desk, parcels: int) -> None:
    order, waybills = two_parcels_of_one_line(desk)
    for waybill in waybills:
        scan(desk, waybill, "0")
    cases = [await in_trouble(desk, order, one) for one in waybills[:parcels]]
    for case, waybill in zip(cases, waybills, strict=False):
        await desk.submit(case, "parcel_returned", CLERK, waybill=waybill)
    lines = [{"line": 1, "quantity": parcels}]
    back = await opened(desk, order, "awaiting_parcel", lines=lines)
    before = told_to_take_in(desk, back)
    assert len(before) == 1
    state = await back.query(names.STATE_QUERY)
    step = AssessStep(
        case_id=back.id,
        run_id=state["run_id"],
        at=datetime.now(UTC),
        order_id=order,
        lines=[LineQuantity.model_validate(one) for one in lines],
        due=ReturnDue(
            lines=[LineQuantity.model_validate(one) for one in lines],
            fault=False,
            gift_deduction_fen=0,
            return_postage_fen=0,
        ),
        requested_at=datetime.fromisoformat(state["requested_at"]),
        goods="with_buyer",
    )
    ReturnActivities(desk.database).assess_return(step)  # its end was lost with its worker
    after = told_to_take_in(desk, back)
    await back.cancel()
    for case in cases:
        await case.cancel()
    assert after == before


async def test_a_return_of_what_was_sent_back_to_the_buyer_is_not_told_of_another_piece(desk: Desk) -> None:
    order, (first, second) = two_parcels_of_one_line(desk)
    scan(desk, first, "0")
    one = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    await desk.submit(one, "receive_goods", CLERK, waybill=first, lines=of_line(1))  # refused at the door
    await sent_back_to_buyer(desk, one, order)  # the buyer has it
    case = await in_trouble(desk, order, second)
    await desk.submit(case, "parcel_returned", CLERK, waybill=second)
    two = await opened(desk, order, "awaiting_parcel", lines=of_line(1))
    told = said(desk, two, "return.goods_came_back")
    await two.cancel()
    await case.cancel()
    assert told is None


async def test_of_two_refused_parcels_one_is_taken_in_before_the_other_comes(desk: Desk) -> None:
    order, (first, second) = two_parcels_of_one_line(desk)
    both = [{"line": 1, "quantity": 2}]
    scan(desk, first, "0")
    scan(desk, second, "0")
    back = await opened(desk, order, "awaiting_parcel", lines=both)
    one = await in_trouble(desk, order, first)
    await desk.submit(one, "parcel_returned", CLERK, waybill=first)
    for fields in told_to_take_in(desk, back):
        await desk.submit(back, "receive_goods", CLERK, **fields)
    other = await in_trouble(desk, order, second)
    await desk.submit(other, "parcel_returned", CLERK, waybill=second)
    told = told_to_take_in(desk, back)
    for fields in told[-1:]:
        await desk.submit(back, "receive_goods", CLERK, **fields)  # kept
    await paid_and_confirmed(desk, back)
    await called_off(desk, one)
    tasks = told_to_take_in(desk, back)
    view = await desk.submit(other, "choose_refund", AGENT)
    links = (await desk.end(other)).links
    assert links, view.state
    child = desk.client.get_workflow_handle(links[0])
    await desk.until(child, "confirming")
    await desk.submit(child, "buyer_confirms", AGENT)
    await desk.end(child)
    assert (paid_fen(desk, order), stock(desk, order), ships(desk, order)) == (10_000, {1: 2}, []), (told, tasks)
