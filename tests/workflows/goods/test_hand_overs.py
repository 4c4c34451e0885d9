"""Hand-overs that go wrong, several cases of one id, answers that were lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from temporalio.client import WorkflowExecutionStatus, WorkflowUpdateFailedError

from activities.cases import CaseActivities, OpenCase
from casework.policy import load_policy
from casework.shop import outside, payments
from casework.shop.holds import cases_holding
from casework.shop.tables import ClaimRow, HoldRow, LineRow, OutboxRow, ShipmentRow
from tests.desk import Desk, Handle
from tests.orders import add_scan
from tests.parcels import parcel_order, scan, two_parcels_of_one_line
from tests.races.racing import answer_of
from tests.workflows.test_bulk_order import DOSSIER, MANAGER, SPECIALIST, bulk, deliver_news, ship
from tests.workflows.test_problem_parcel import open_parcel
from tests.workflows.test_returns import (
    AGENT,
    CLERK,
    FINANCE,
    FLOW,
    LEAD,
    inspected,
    opened,
    paid_fen,
    refused,
    said,
    sign_for,
    stock,
)

REFUND = "refund-before-shipping"


def place_of(desk: Desk, order: str) -> str:
    """Where the goods of the order's first line are."""
    with desk.database.reading() as session:
        return session.get_one(LineRow, (order, 1)).place


def left_behind(desk: Desk, order: str) -> list[tuple[str, int]]:
    with desk.database.reading() as session:
        found = [(row.case_id, row.line) for row in session.scalars(select(HoldRow).where(HoldRow.order_id == order))]
        found += [
            (row.case_id, row.line) for row in session.scalars(select(ClaimRow).where(ClaimRow.order_id == order))
        ]
        return found


@pytest.mark.parametrize("how", ["refunded", "shipped"])
async def test_what_happens_to_a_line_while_it_is_handed_over_strands_none_of_the_others(desk: Desk, how: str) -> None:
    order = desk.order(prices=[(1_000, 1), (2_000, 1), (3_000, 1)])
    desk.fail("intercept", order, "always")
    refund = await desk.open_in("persuading", order, reason="bought twice")
    desk.without_telling(
        lambda session: outside.ship(
            session, order, lines=[1], waybill=f"YT{order[-11:]}", at=datetime.now(UTC), force=True
        )
    )
    async with desk.before("open_case", order):
        await desk.signal(refund, "order_gone", "system")
        assert (await desk.end(refund)).outcome == "converted"
        if how == "refunded":
            desk.platform_refunds_line(order, 2)
        else:
            desk.without_telling(
                lambda session: outside.ship(session, order, lines=[2], waybill="YTX", at=datetime.now(UTC), force=True)
            )
    child = desk.client.get_workflow_handle(f"{REFUND}-{order}-2.3")
    await desk.until(child, "persuading", "converted")


async def test_of_a_refund_by_hand_in_the_very_moment_a_malicious_order_stays_held(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 1), (6_000, 1)])
    case = await bulk(desk, order)
    await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER)
    async with desk.before("hand_over", order):
        await desk.submit(case, "find_malicious", MANAGER, signs=["no_purchases"])
        await desk.reached("hand_over", order)
        part = await desk.start(
            order, case_id=f"{REFUND}-{order}-1", lines=[{"line": 1, "quantity": 1}], reason="twice"
        )
        await desk.until(part, "persuading")
    await desk.end(case)
    await part.cancel()
    await desk.end(part)
    with desk.database.reading() as session:
        assert cases_holding(session, order, 2), "a malicious order may ship"


async def test_calling_off_a_second_return_takes_nothing_of_the_first_out_of_stock(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 2)], shipped=True)
    first = await opened(desk, order, "awaiting_parcel", lines=[{"line": 1, "quantity": 1}])
    await desk.submit(first, "receive_goods", CLERK)
    await inspected(desk, first, (1, 1))
    await desk.until(first, "confirming")
    await desk.submit(first, "buyer_confirms", AGENT)
    await desk.end(first)
    assert stock(desk, order) == {1: 1}
    second = await opened(desk, order, "awaiting_parcel", lines=[{"line": 1, "quantity": 1}])
    await second.cancel()
    await desk.end(second)
    assert stock(desk, order) == {1: 1}


async def test_a_second_return_is_told_what_it_paid_itself(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 2)], shipped=True)

    async def returned() -> Handle:
        case = await opened(desk, order, "awaiting_parcel", lines=[{"line": 1, "quantity": 1}])
        await desk.submit(case, "receive_goods", CLERK)
        await inspected(desk, case, (1, 1))
        await desk.until(case, "confirming")
        await desk.submit(case, "buyer_confirms", AGENT)
        await desk.end(case)
        return case

    await returned()
    case = await returned()
    with desk.database.reading() as session:
        texts = session.scalars(
            select(OutboxRow.text_en).where(OutboxRow.case_id == case.id, OutboxRow.template == "return.refunded")
        ).all()
    assert len(texts) == 2
    assert all("100.00" not in text for text in texts), texts


async def test_news_while_the_buyer_checks_the_money_changes_no_amount(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 2), (3_000, 1)], shipped=True)
    case = await opened(desk, order, "awaiting_parcel", suffix="-1", lines=[{"line": 1, "quantity": 2}])
    await desk.submit(case, "receive_goods", CLERK)
    await inspected(desk, case, (1, 1))
    await desk.until(case, "confirming")
    await desk.signal(case, "order_gone", "system")
    await desk.submit(case, "buyer_confirms", AGENT)
    view = await desk.end(case)
    assert view.amount_fen == 5_000
    desk.require_whole(view)


async def test_who_opened_the_lapsed_return_does_not_approve_the_one_that_reopens_it(desk: Desk) -> None:
    order = desk.order(prices=[(30_000, 1)], shipped=True)
    sign_for(desk, order, datetime.now(UTC) - timedelta(days=6))
    first = await opened(desk, order, "awaiting_supervisor", by=LEAD)
    await desk.submit(first, "approve", "aftersale-lead.1")
    await desk.skip_to_deadline(first)
    assert (await desk.end(first)).outcome == "lapsed"
    again = await opened(desk, order, "awaiting_supervisor", reopens=first.id)
    with pytest.raises(WorkflowUpdateFailedError):
        await desk.submit(again, "approve", LEAD)
    await again.cancel()
    await desk.end(again)


async def test_an_opening_whose_answer_was_lost_is_asked_for_again(desk: Desk) -> None:
    order = desk.order(shipped=True)
    sign_for(desk, order, datetime.now(UTC) - timedelta(days=6))
    first = await opened(desk, order, "awaiting_parcel")
    await desk.skip_to_deadline(first)
    assert (await desk.end(first)).outcome == "lapsed"
    steps = CaseActivities(desk.database, load_policy(None))
    opening = OpenCase(
        case_id=first.id,
        run_id="a-run-of-the-attack",
        flow=FLOW,
        start={"order_id": order, "by": AGENT, "cause": "no_reason", "reopens": first.id},
        from_case=None,
        at=datetime.now(UTC),
    )
    assert steps.open_case(opening) == steps.open_case(opening)


async def test_goods_that_are_here_when_the_platform_pays_are_looked_at(desk: Desk) -> None:
    order = desk.order(shipped=True)
    case = await opened(desk, order, "awaiting_parcel")
    await desk.submit(case, "receive_goods", CLERK)
    await desk.until(case, "inspecting")
    desk.platform_refunds_order(order)
    await desk.signal(case, "order_gone", "system")
    await desk.until(case, "confirming")
    assert said(desk, case, "return.look_at_paid_goods") is not None
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)


async def test_two_lost_parcels_of_one_line_are_both_refunded(desk: Desk) -> None:
    order, waybills = two_parcels_of_one_line(desk)
    for waybill in waybills:
        scan(desk, waybill, "2")
    cases: list[Handle] = []
    for waybill in waybills:
        start = {"order_id": order, "by": AGENT, "waybill": waybill, "courier": "yuantong", "cause": "overdue"}
        case = await desk.open_case("problem-parcel", f"problem-parcel-{waybill}", start)
        await desk.until(case, "investigating")
        cases.append(case)
    for case in cases:
        await desk.submit(case, "courier_answers", "parcel.1", finding="lost")
    first, second = cases
    await desk.submit(first, "choose_refund", AGENT)
    assert (await desk.end(first)).outcome == "refund_opened"
    child = desk.client.get_workflow_handle(f"{FLOW}-{order}")
    await desk.until(child, "confirming")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await desk.submit(second, "choose_refund", AGENT)
    assert f"the open case {child.id} is about the money" in str(refused.value.cause)
    await desk.submit(child, "buyer_confirms", AGENT)
    await desk.end(child)
    await desk.submit(second, "choose_refund", AGENT)
    assert (await desk.end(second)).outcome == "refund_opened"
    await desk.until(child, "confirming")
    with desk.database.reading() as session:
        assert payments.audit(session) == []
        assert sum(entry.amount_fen for entry in payments.ledger(session, order)) == 10_000
    await desk.submit(child, "buyer_confirms", AGENT)
    await desk.end(child)


async def test_what_came_back_of_an_order_that_the_platform_refunds_goes_into_stock(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    with desk.database.writing() as session:
        add_scan(session, waybill, "2", at=datetime.now(UTC))
    start = {"order_id": order, "by": AGENT, "waybill": waybill, "courier": "yuantong", "cause": "overdue"}
    case = await desk.open_case("problem-parcel", f"problem-parcel-{waybill}", start)
    await desk.until(case, "investigating")
    await desk.submit(case, "parcel_returned", CLERK)
    desk.platform_refunds_order(order)
    await desk.signal(case, "order_gone", "system")
    assert (await desk.end(case)).outcome == "closed"
    assert stock(desk, order) == {1: 1}


async def stopped_and_taken_in(desk: Desk) -> tuple[str, Handle, Handle]:
    """A stopped parcel that a refund awaits, and that its own case has taken in: the order, the refund, that case."""
    order = desk.order()
    refund = await desk.open_in("persuading", order, reason="bought twice")
    await desk.platform_ships(refund)
    await desk.until(refund, "awaiting_parcel_back")
    with desk.database.reading() as session:
        waybill = session.scalars(select(ShipmentRow.waybill).where(ShipmentRow.order_id == order)).one()
    scan(desk, waybill, "6")
    parcel = await open_parcel(desk, order, waybill, cause="asked")
    await desk.until_it_takes(parcel, "parcel_returned")
    await desk.submit(parcel, "parcel_returned", CLERK, waybill=waybill)
    return order, refund, parcel


async def test_a_stopped_parcel_that_its_own_case_took_in_is_back_for_the_refund_that_awaits_it(desk: Desk) -> None:
    order, refund, parcel = await stopped_and_taken_in(desk)
    task = said(desk, refund, "stopped_parcel_is_here")
    assert task is not None
    assert f"submit {refund.id} parcel_back" in task
    await desk.submit(refund, "parcel_back", CLERK)
    assert (await desk.end(refund)).outcome == "refunded"
    await answer_of(desk.signal(parcel, "order_gone", "system"))  # a look may have shown it, and the case have ended
    await desk.end(parcel)
    assert stock(desk, order) == {1: 1}


async def test_a_refund_that_awaits_its_goods_has_them_where_their_parcels_case_is_called_off(desk: Desk) -> None:
    order, refund, parcel = await stopped_and_taken_in(desk)
    await desk.submit(parcel, "cancel_case", LEAD, note="opened by mistake")
    await desk.end(parcel)
    assert said(desk, parcel, "ship_again") is None
    await desk.submit(refund, "parcel_back", CLERK)
    assert (await desk.end(refund)).outcome == "refunded"
    assert stock(desk, order) == {1: 1}


async def test_a_case_is_told_of_the_parcel_that_is_here_and_not_of_the_one_on_its_way(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 1), (5_000, 1)])
    here, on_its_way = (f"ZT{order[-10:]}{line}" for line in (1, 2))
    desk.ship_line(order, 1, here)
    desk.ship_line(order, 2, on_its_way)
    refund = await desk.open_in("awaiting_parcel_back", order)
    scan(desk, here, "6")
    parcel = await open_parcel(desk, order, here, cause="asked")
    await desk.until_it_takes(parcel, "parcel_returned")
    await desk.submit(parcel, "parcel_returned", CLERK, waybill=here)
    task = said(desk, refund, "stopped_parcel_is_here") or ""
    assert "lines 1 of" in task
    assert task.endswith(f"submit {refund.id} parcel_back --set waybill={here}")
    why = await refused(desk, refund, "parcel_back", CLERK, waybill=here)
    assert f"{on_its_way} is still out" in why
    await desk.submit(refund, "parcel_back", CLERK, waybill=on_its_way)
    await desk.until(refund, "awaiting_supervisor", "refunded")
    await refund.cancel()
    await parcel.cancel()
    await desk.end(parcel)


async def test_a_stopped_parcel_that_its_own_case_took_in_is_not_lost_where_nobody_tells_the_refund(desk: Desk) -> None:
    order, refund, parcel = await stopped_and_taken_in(desk)
    await desk.skip_to_deadline(refund)
    view = await desk.end(refund)
    assert (view.outcome, view.links) == ("converted", [f"{FLOW}-{order}"])
    assert said(desk, refund, "converted_lost") is None
    assert said(desk, refund, "converted_back") is not None
    back = desk.client.get_workflow_handle(view.links[0])
    while not (returned := await desk.view(back)).final:
        await desk.skip(back, timedelta(days=1))
    assert (returned.outcome, returned.given["goods"]) == ("refunded", "already_back")
    await answer_of(desk.signal(parcel, "order_gone", "system"))
    await desk.end(parcel)
    assert stock(desk, order) == {1: 1}


async def test_of_two_stopped_parcels_the_one_that_came_back_goes_into_stock_where_the_other_is_lost(
    desk: Desk,
) -> None:
    order = desk.order(prices=[(5_000, 1), (5_000, 1)])
    for line in (1, 2):
        desk.ship_line(order, line, f"YT{order[-10:]}{line}")
    refund = await desk.open_in("awaiting_parcel_back", order)
    with pytest.raises(WorkflowUpdateFailedError):
        await desk.submit(refund, "parcel_back", CLERK, waybill=f"YT{order[-10:]}1")
    await desk.skip_to_deadline(refund)
    view = await desk.end(refund)
    assert said(desk, refund, "converted_lost") is not None
    back = desk.client.get_workflow_handle(view.links[0])
    await desk.until(back, "awaiting_finance")
    # its time runs on as the refund's did: an alarm may come just then
    while isinstance(answer := await answer_of(desk.submit(back, "approve", FINANCE)), str):
        assert answer == "the case has moved on since"
    while not (await desk.view(back)).final:
        await desk.skip(back, timedelta(days=1))
    assert stock(desk, order) == {1: 1}


async def test_a_workflow_that_nobody_works_on_under_the_childs_id_is_not_waited_for_for_ever(desk: Desk) -> None:
    order = desk.order()
    stray = await desk.client.start_workflow(
        "ReturnAfterShipping", {"order_id": order}, id=f"{FLOW}-{order}", task_queue="case-work"
    )
    desk.fail("intercept", order, "always")
    refund = await desk.open_in("persuading", order, reason="bought twice")
    await desk.platform_ships(refund)
    for _ in range(70):
        await desk.skip(refund, timedelta(seconds=3))
        await desk.at_rest(refund)  # else time may pass before the case has asked again
        if (await refund.describe()).status is not WorkflowExecutionStatus.RUNNING:
            break
    view = await asyncio.wait_for(desk.end(refund), 30)
    assert (view.outcome, view.links) == ("converted", [])
    desk.require_whole(view)
    assert said(desk, refund, "open_by_hand") is not None
    assert left_behind(desk, order) == []
    await stray.terminate()


async def test_a_return_of_all_of_a_bulk_order_ends_its_case_although_the_postage_stays_paid(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1)], postage_fen=800)
    case = await bulk(desk, order)
    await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER)
    await desk.submit(case, "pass_legal_review", MANAGER, note="nothing of the kind")
    await desk.until(case, "following")
    ship(desk, order)
    assert await deliver_news(desk, case, order) == ["order_gone"]
    back = await opened(desk, order, "awaiting_parcel")
    await desk.submit(back, "receive_goods", CLERK)
    await inspected(desk, back, (1, 1))
    await desk.until(back, "confirming")
    assert "order_gone" in await deliver_news(desk, case, order)
    assert (await desk.end(case)).outcome == "closed_refunded"
    await desk.submit(back, "buyer_confirms", AGENT)
    await desk.end(back)


async def test_a_malicious_order_of_which_a_refund_by_hand_has_all_does_not_ship_after_all(desk: Desk) -> None:
    order = desk.order()
    by_hand = await desk.start(order, reason="bought twice")
    await desk.until(by_hand, "persuading")
    case = await bulk(desk, order)
    await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER)
    await desk.submit(case, "find_malicious", MANAGER, signs=["no_purchases"])
    assert (await desk.end(case)).outcome == "terminated"
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await desk.submit(by_hand, "buyer_keeps_order", AGENT)
    assert "the order was not ended as malicious" in str(refused.value.cause)
    view = await desk.submit(by_hand, "buyer_withdraws", AGENT)
    assert (view.state, view.kept) == ("persuading", ["buyer_withdraws"])
    await desk.submit(by_hand, "buyer_insists", AGENT)
    assert (await desk.end(by_hand)).outcome == "refunded"


# --- what came back and ships again is no longer what its parcel's case is about ---


async def kept_although_stopped(desk: Desk) -> tuple[str, Handle, Handle]:
    """As `stopped_and_taken_in`, and the buyer keeps the order: the goods are on their way in another parcel."""
    order, refund, parcel = await stopped_and_taken_in(desk)
    await desk.submit(refund, "buyer_withdraws", AGENT)
    assert (await desk.end(refund)).outcome == "kept"
    desk.ship_line(order, 1, f"AG{order[-10:]}")
    return order, refund, parcel


async def test_what_ships_again_because_the_buyer_keeps_the_order_is_not_paid_by_silence(desk: Desk) -> None:
    order, _, parcel = await kept_although_stopped(desk)
    await desk.skip_to_deadline(parcel)
    view = await desk.end(parcel)
    assert (view.outcome, view.links) == ("refund_opened", [])
    assert "sent to you another way" in (said(desk, parcel, "parcel.refund_opened") or "")
    assert paid_fen(desk, order) == 0


async def test_what_ships_again_because_the_buyer_keeps_the_order_is_not_sent_twice(desk: Desk) -> None:
    _, _, parcel = await kept_although_stopped(desk)
    assert "nothing left to send again" in await refused(desk, parcel, "choose_reship", AGENT)
    await parcel.cancel()
    await desk.end(parcel)


@pytest.mark.parametrize("trigger", ["buyer_withdraws", "cancel_case"])
async def test_nobody_is_told_that_a_stopped_parcel_goes_on_where_it_is_here(desk: Desk, trigger: str) -> None:
    _, refund, parcel = await stopped_and_taken_in(desk)
    note = {"note": "opened twice"} if trigger == "cancel_case" else {}
    await desk.submit(refund, trigger, LEAD if note else AGENT, **note)
    await desk.end(refund)
    assert said(desk, refund, "kept_on_its_way") is None
    assert said(desk, refund, "cancelled" if note else "kept") is not None
    assert said(desk, refund, "let_parcel_go") is None
    await parcel.cancel()
    await desk.end(parcel)


async def test_what_is_here_is_not_on_its_way_where_the_platform_pays(desk: Desk) -> None:
    order, refund, parcel = await stopped_and_taken_in(desk)
    desk.platform_refunds_order(order)
    await desk.signal(refund, "order_gone", "system")
    assert (await desk.end(refund)).outcome == "refunded"
    assert said(desk, refund, "take_parcel_in") is None
    await answer_of(desk.signal(parcel, "order_gone", "system"))
    await desk.end(parcel)


async def refunded_in_part(desk: Desk) -> tuple[str, str, Handle]:
    """Of two lines in a stopped parcel one is refunded, as it came back; the other one is on its way again.

    The order, the waybill that came back, and the case of its parcel, which nobody has told.
    """
    order = desk.order(prices=[(5_000, 1), (5_000, 1)])
    lines = [{"line": 1, "quantity": 1}]
    refund = await desk.start(order, case_id=f"{REFUND}-{order}-1", lines=lines, reason="bought twice")
    await desk.until(refund, "persuading")
    with desk.database.writing() as session:
        waybill = outside.ship(session, order, at=datetime.now(UTC), force=True)
    await desk.signal(refund, "order_gone", "system")
    await desk.until(refund, "awaiting_parcel_back")
    scan(desk, waybill, "6")
    parcel = await open_parcel(desk, order, waybill, cause="asked")
    await desk.until_it_takes(parcel, "parcel_returned")
    await desk.submit(refund, "parcel_back", CLERK, waybill=waybill)
    assert (await desk.end(refund)).outcome == "refunded"
    desk.ship_line(order, 2, f"AG{order[-10:]}")
    return order, waybill, parcel


async def test_what_ships_again_of_a_parcel_that_was_refunded_in_part_is_not_sent_twice(desk: Desk) -> None:
    _, waybill, parcel = await refunded_in_part(desk)
    await desk.submit(parcel, "parcel_returned", CLERK, waybill=waybill)
    assert "nothing left to send again" in await refused(desk, parcel, "choose_reship", AGENT)
    await parcel.cancel()
    await desk.end(parcel)


async def test_what_ships_again_of_a_parcel_that_was_refunded_in_part_is_not_paid(desk: Desk) -> None:
    order, waybill, parcel = await refunded_in_part(desk)
    await desk.submit(parcel, "parcel_returned", CLERK, waybill=waybill)
    await desk.submit(parcel, "choose_refund", AGENT)
    assert (await desk.end(parcel)).links == []
    assert paid_fen(desk, order) == 5_000


# --- what came back and waited for another case, or of which other pieces are elsewhere ---


async def came_back_while_a_return_waits(desk: Desk) -> tuple[str, Handle, Handle]:
    """A parcel that came back although the buyer was to send it: the order, the return, and the parcel's case."""
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "0")
    waiting = await opened(desk, order, "awaiting_parcel")
    scan(desk, waybill, "2")
    parcel = await open_parcel(desk, order, waybill, cause="exception")
    await desk.until(parcel, "investigating")
    await desk.submit(parcel, "parcel_returned", CLERK, waybill=waybill)
    return order, waiting, parcel


@pytest.mark.parametrize("trigger", ["buyer_withdraws", "cancel_case"])
async def test_what_came_back_ships_again_where_the_return_that_had_claimed_it_ends(desk: Desk, trigger: str) -> None:
    order, waiting, parcel = await came_back_while_a_return_waits(desk)
    await desk.submit(parcel, "cancel_case", LEAD, note="the buyer wants it after all")
    await desk.end(parcel)
    assert place_of(desk, order) == "back"
    note = {"note": "opened twice"} if trigger == "cancel_case" else {}
    await desk.submit(waiting, trigger, LEAD if note else AGENT, **note)
    await desk.end(waiting)
    assert "Lines 1×1 of" in (said(desk, waiting, "ship_again") or "")
    desk.ship_line(order, 1, f"AG{order[-10:]}")


async def test_what_came_back_stays_with_its_parcels_case_where_a_return_of_it_ends(desk: Desk) -> None:
    order, waiting, parcel = await came_back_while_a_return_waits(desk)
    await desk.submit(waiting, "buyer_withdraws", AGENT)
    await desk.end(waiting)
    assert said(desk, waiting, "ship_again") is None
    await desk.submit(parcel, "choose_refund", AGENT)
    back = desk.client.get_workflow_handle((await desk.end(parcel)).links[0])
    await desk.until(back, "confirming")
    assert (paid_fen(desk, order), stock(desk, order)) == (10_000, {1: 1})
    await back.cancel()


async def one_lost_and_one_back(desk: Desk) -> tuple[str, Handle, Handle]:
    """Of two pieces of a line one is lost, and its refund awaits finance; the other one came back, to its parcel's
    case: the order, that refund, that case.
    """
    order, waybills = two_parcels_of_one_line(desk, price_fen=60_000)
    cases: list[Handle] = []
    for waybill in waybills:
        scan(desk, waybill, "2")
        cases.append(await open_parcel(desk, order, waybill, cause="exception"))
        await desk.until(cases[-1], "investigating")
    lost, here = cases
    await desk.submit(lost, "courier_answers", "parcel.1", finding="lost")
    await desk.submit(lost, "choose_refund", AGENT)
    refund = desk.client.get_workflow_handle((await desk.end(lost)).links[0])
    await desk.until(refund, "awaiting_finance")
    await desk.submit(here, "parcel_returned", CLERK, waybill=waybills[1])
    return order, refund, here


async def paid_and_accepted(desk: Desk, refund: Handle) -> None:
    await desk.submit(refund, "approve", FINANCE)
    await desk.until(refund, "confirming")
    await desk.submit(refund, "buyer_confirms", AGENT)
    assert (await desk.end(refund)).outcome == "refunded"


async def test_a_lost_piece_does_not_go_into_stock_because_another_one_of_its_line_came_back(desk: Desk) -> None:
    order, refund, here = await one_lost_and_one_back(desk)
    await paid_and_accepted(desk, refund)
    assert stock(desk, order) == {}
    await desk.submit(here, "choose_refund", AGENT)
    second = desk.client.get_workflow_handle((await desk.end(here)).links[0])
    await desk.until(second, "awaiting_finance")
    await paid_and_accepted(desk, second)
    assert (stock(desk, order), paid_fen(desk, order)) == ({1: 1}, 120_000)


async def test_a_piece_that_came_back_ships_again_when_the_refund_of_the_lost_one_has_ended(desk: Desk) -> None:
    order, refund, here = await one_lost_and_one_back(desk)
    await desk.submit(here, "cancel_case", LEAD, note="the buyer wants it sent again")
    await desk.end(here)
    await paid_and_accepted(desk, refund)
    assert (stock(desk, order), place_of(desk, order), paid_fen(desk, order)) == ({}, "unshipped", 60_000)


async def one_delivered_and_one_back(desk: Desk) -> tuple[str, Handle]:
    """Of two pieces of a line the buyer has one; the other one came back: the order, and the case of its parcel."""
    order, (back, delivered) = two_parcels_of_one_line(desk)
    scan(desk, delivered, "301")
    scan(desk, back, "2")
    case = await open_parcel(desk, order, back, cause="exception")
    await desk.until(case, "investigating")
    await desk.submit(case, "parcel_returned", CLERK, waybill=back)
    return order, case


async def test_a_piece_that_came_back_goes_into_stock_although_the_buyer_has_the_other_one(desk: Desk) -> None:
    order, case = await one_delivered_and_one_back(desk)
    await desk.submit(case, "choose_refund", AGENT)
    back = desk.client.get_workflow_handle((await desk.end(case)).links[0])
    await desk.until(back, "confirming")
    assert (paid_fen(desk, order), stock(desk, order)) == (5_000, {1: 1})
    await back.cancel()


async def test_a_piece_that_came_back_ships_again_although_the_buyer_has_the_other_one(desk: Desk) -> None:
    order, case = await one_delivered_and_one_back(desk)
    await desk.submit(case, "cancel_case", LEAD, note="the buyer wants it again")
    await desk.end(case)
    assert "Lines 1×1 of" in (said(desk, case, "ship_again") or "")
    assert place_of(desk, order) == "shipped", "the buyer has the other one"
