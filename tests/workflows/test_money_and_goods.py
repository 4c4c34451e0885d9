"""What is paid when the order changes under a case's hands, and what the shop knows of the goods: on the server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from casework.dues import RefundDue
from casework.money import LineQuantity
from casework.shop import outbox, payments, records
from casework.shop.tables import FlagWishRow, OutboxRow, StockMovementRow
from tests.desk import FLOW, Desk, Handle

AGENT, LEAD, CLERK = "aftersale.1", "aftersale-lead.5", "refund.1"


def paid(desk: Desk, case: Handle) -> int:
    with desk.database.reading() as session:
        entries = payments.ledger(session, desk.order_of(case))
        return sum(entry.amount_fen for entry in entries if entry.case_id == case.id)


def told(desk: Desk, case: Handle) -> dict[str, str]:
    with desk.database.reading() as session:
        return {row.template: row.text_en for row in session.query(OutboxRow).filter_by(case_id=case.id)}


async def open_for_line(desk: Desk, order: str, line: int, state: str = "persuading") -> Handle:
    lines = [{"line": line, "quantity": 1}]
    return await desk.open_in(state, order, case_id=f"{FLOW}-{order}-{line}", lines=lines, reason="bought twice")


async def test_postage_goes_with_the_last_line_also_where_it_was_not_the_last_when_the_case_opened(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1), (5_000, 1)], postage_fen=800)
    first, second = await open_for_line(desk, order, 1), await open_for_line(desk, order, 2)
    assert (await desk.view(second)).amount_fen == 5_000
    await desk.submit(first, "buyer_insists", AGENT)
    assert (await desk.end(first)).amount_fen == 10_000
    await desk.submit(second, "buyer_insists", AGENT)
    view = await desk.end(second)
    assert (view.outcome, view.amount_fen) == ("refunded", 5_800)
    assert (paid(desk, first), paid(desk, second)) == (10_000, 5_800)
    assert "58.00" in told(desk, second)["refunded"]


async def test_what_the_platform_paid_of_a_case_meanwhile_is_not_paid_again(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1), (5_000, 1)])
    case = await desk.open_in("persuading", order, reason="bought twice")
    desk.platform_refunds_line(order, 2)
    await desk.submit(case, "buyer_insists", AGENT)
    view = await desk.end(case)
    assert (view.outcome, view.amount_fen, paid(desk, case)) == ("refunded", 10_000, 10_000)
    assert "100.00" in told(desk, case)["refunded"]


async def test_a_payment_by_hand_must_be_the_amount_due_with_a_reference_never_used(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1)])
    desk.fail("payment", order, "always")
    case = await desk.open_in("persuading", order, reason="bought twice")
    await desk.submit(case, "buyer_insists", AGENT)
    await desk.until(case, "repairing_payment")
    for amount, reference, why in ((9_999, f"hand-{order}", "amount"), (10_000, "", "payment_reference")):
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await desk.submit(case, "confirm_paid_by_hand", CLERK, amount_fen=amount, payment_reference=reference)
        assert isinstance(refused.value.cause, ApplicationError)
        assert why in refused.value.cause.message
    await desk.submit(case, "confirm_paid_by_hand", CLERK, amount_fen=10_000, payment_reference=f"hand-{order}")
    assert (await desk.end(case)).outcome == "refunded"

    again = desk.order(prices=[(10_000, 1)])
    desk.fail("payment", again, "always")
    other = await desk.open_in("persuading", again, reason="bought twice")
    await desk.submit(other, "buyer_insists", AGENT)
    await desk.until(other, "repairing_payment")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await desk.submit(other, "confirm_paid_by_hand", CLERK, amount_fen=10_000, payment_reference=f"hand-{order}")
    assert isinstance(refused.value.cause, ApplicationError)
    assert "was used before" in refused.value.cause.message
    await other.cancel()


async def test_what_is_paid_by_hand_is_never_more_than_was_decided_on(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 1), (19_500, 1)], postage_fen=800)
    desk.fail("payment", order, "always")
    case = await open_for_line(desk, order, 2)
    await desk.submit(case, "buyer_insists", AGENT)
    await desk.until(case, "repairing_payment")
    desk.platform_refunds_line(order, 1)  # the postage is due with line 2 from now on
    by_hand = {"amount_fen": 20_300, "payment_reference": f"hand-{order}"}
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await desk.submit(case, "confirm_paid_by_hand", CLERK, **by_hand)
    assert "no more than was decided on" in str(refused.value.cause)
    await desk.submit(case, "retry_payment", CLERK)
    await desk.until(case, "awaiting_supervisor")
    await desk.submit(case, "approve", LEAD)
    await desk.until(case, "repairing_payment")
    await desk.submit(case, "confirm_paid_by_hand", CLERK, **by_hand)
    assert (await desk.end(case)).outcome == "refunded"
    assert paid(desk, case) == 20_300


@pytest.mark.parametrize("how", ["buyer_withdraws", "cancel_case", "order_gone", "temporal"])
async def test_a_case_that_was_paid_by_hand_is_not_called_off_although_its_confirmation_was_lost(
    desk: Desk, how: str
) -> None:
    """The worker died when the payment was written down; what came next finds it in the shop."""
    order = desk.order(prices=[(10_000, 1)])
    desk.fail("payment", order, "always")
    case = await desk.open_in("persuading", order, reason="bought twice")
    await desk.submit(case, "buyer_insists", AGENT)
    await desk.until(case, "repairing_payment")
    by_hand: dict[str, Any] = {"amount_fen": 10_000, "payment_reference": f"hand-{order}"}
    with desk.database.writing() as session:
        (record,) = records.find_records(session, case_id=case.id)
        what = RefundDue(lines=[LineQuantity(line=1, quantity=1)])
        key = f"{case.id}/{record.run_id}/refund"
        ids = {"key": key, "case_id": case.id, "run_id": record.run_id, "order_id": order}
        payments.record_paid_by_hand(session, **ids, what=what, at=datetime.now(UTC), **by_hand)
    match how:
        case "temporal":
            await case.cancel()
        case "order_gone":
            await desk.signal(case, how, "system")  # by its own payment the shop shows the lines refunded
        case "buyer_withdraws":
            view = await desk.submit(case, how, AGENT)
            assert (view.state, view.kept) == ("repairing_payment", ["buyer_withdraws"]), "a fact that comes too late"
        case _:
            with pytest.raises(WorkflowUpdateFailedError) as refused:
                await desk.submit(case, how, LEAD, note="changed my mind")
            assert "it was paid by hand" in str(refused.value.cause)
    if how != "order_gone":
        await desk.submit(case, "confirm_paid_by_hand", CLERK, **by_hand)
    view = await desk.end(case)
    assert (view.outcome, paid(desk, case)) == ("refunded", 10_000)
    with desk.database.reading() as session:
        told = {
            letter.template for letter in outbox.letters(session) if (letter.case_id, letter.to) == (case.id, "buyer")
        }
    assert ("refunded" in told, "refunded_by_platform" in told) == (True, False)
    desk.require_whole(view)


async def test_nothing_is_recorded_as_paid_by_hand_while_the_goods_are_out(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1)])
    desk.fail("payment", order, "always")
    case = await desk.open_in("persuading", order, reason="bought twice")
    await desk.submit(case, "buyer_insists", AGENT)
    await desk.until(case, "repairing_payment")
    desk.ship_without_telling(order)
    with pytest.raises(WorkflowUpdateFailedError):
        await desk.submit(case, "confirm_paid_by_hand", CLERK, amount_fen=10_000, payment_reference=f"hand-{order}")
    await case.cancel()


async def test_a_parcel_is_back_only_when_every_parcel_of_the_lines_is(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 1), (5_000, 1)])
    desk.ship_line(order, 1, "YT0000000001")
    desk.ship_line(order, 2, "YT0000000002")
    case = await desk.open_in("awaiting_parcel_back", order)
    for waybill in ("SF9999999999", "YT0000000001"):
        with pytest.raises(WorkflowUpdateFailedError):
            await desk.submit(case, "parcel_back", "returns.1", waybill=waybill)
        assert (await desk.view(case)).state == "awaiting_parcel_back"
    await desk.submit(case, "parcel_back", "returns.1", waybill="YT0000000002")
    assert (await desk.end(case)).outcome == "refunded"
    assert paid(desk, case) == 10_000


async def test_what_the_warehouse_says_has_left_is_the_shops_word_too(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 1)], flag="green")
    case = await desk.with_policy("handed_over").open_in("asking_warehouse", order)
    await desk.submit(case, "confirm_left", "warehouse.1")
    await desk.until(case, "awaiting_parcel_back")
    await desk.submit(case, "parcel_back", "returns.1")
    assert (await desk.end(case)).outcome == "refunded"
    with desk.database.reading() as session:
        (movement,) = session.query(StockMovementRow).filter_by(order_id=order)
        assert movement.quantity == 1


async def test_in_the_profile_handed_over_nothing_is_marked_before_the_warehouse_has_answered(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 1), (5_000, 1)], flag="green")
    handed_over = desk.with_policy("handed_over")
    first = await open_for_line(handed_over, order, 1, "asking_warehouse")

    def wishes() -> list[str]:
        with desk.database.reading() as session:
            return [row.colour for row in session.query(FlagWishRow).filter_by(order_id=order)]

    assert wishes() == []
    await desk.submit(first, "confirm_not_left", "warehouse.1")
    assert wishes() == ["red"]
    # the first case's red does not hide the order's own green: the warehouse is asked again
    second = await open_for_line(handed_over, order, 2, "asking_warehouse")
    await first.cancel()
    await second.cancel()


async def test_a_stopped_parcel_that_is_to_go_on_gives_its_people_a_task(desk: Desk) -> None:
    withdrawn = await desk.open_in("awaiting_parcel_back", desk.order(shipped=True))
    await desk.submit(withdrawn, "buyer_withdraws", AGENT)
    await desk.end(withdrawn)
    assert {"let_parcel_go", "kept_on_its_way"} <= set(told(desk, withdrawn))
    called_off = await desk.open_in("awaiting_parcel_back", desk.order(shipped=True))
    await called_off.cancel()
    await desk.end(called_off)
    assert "let_parcel_go" in told(desk, called_off)
    paid_by_platform = await desk.open_in("awaiting_parcel_back", desk.order(shipped=True))
    await desk.platform_refunds(paid_by_platform)
    await desk.end(paid_by_platform)
    assert {"take_parcel_in", "refunded_by_platform"} <= set(told(desk, paid_by_platform))


@pytest.mark.parametrize("wrong", ["foo", "return-after-shipping-ORDER", "refund-before-shipping-ORDER-1"])
async def test_a_case_under_a_workflow_id_that_is_not_the_contracts_fails_and_says_which_it_must_be(
    desk: Desk, wrong: str
) -> None:
    order = desk.order()
    case = await desk.start(order, case_id=wrong.replace("ORDER", order))
    with pytest.raises(WorkflowFailureError) as failed:
        await case.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert f"must be {FLOW}-{order}," in failed.value.cause.message


async def test_news_from_the_shop_leaves_no_note(desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="bought twice")
    await desk.signal(case, "order_gone", "system", note="王小明 住 漕溪北路88号")
    view = await desk.submit(case, "buyer_keeps_order", AGENT)
    (line,) = [line for line in view.trail if not line.accepted]
    assert line.note is None
    assert line.why == "by is system, which leaves no note"


async def test_what_nobody_can_do_any_more_is_not_offered(desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(prices=[(50_000, 1)]), reason="bought twice")
    for _ in range(2):
        await desk.submit(case, "buyer_insists", AGENT)
        assert "send_back" in [one.trigger for one in (await desk.view(case)).waiting_for]
        await desk.submit(case, "send_back", LEAD, note="try again")
    view = await desk.submit(case, "buyer_insists", AGENT)
    assert [one.trigger for one in view.waiting_for] == ["buyer_withdraws", "approve", "cancel_case"]
    await case.cancel()


async def risen(desk: Desk, *, fail: bool) -> tuple[Handle, str]:
    """A case of 196.00 that an agent may decide, to which 8.00 of postage fall before it is paid."""
    order = desk.order(prices=[(5_000, 1), (19_600, 1)], postage_fen=800)
    if fail:
        desk.fail("payment", order, "always")
    return await open_for_line(desk, order, 2), order


async def test_what_rose_above_the_agents_limit_while_it_was_repaired_goes_to_the_supervisor(desk: Desk) -> None:
    case, order = await risen(desk, fail=True)
    await desk.submit(case, "buyer_insists", AGENT)
    await desk.until(case, "repairing_payment")
    desk.platform_refunds_line(order, 1)
    desk.fail("payment", order, "never")
    await desk.signal(case, "order_gone", "system")
    await desk.submit(case, "retry_payment", CLERK)
    view = await desk.until(case, "awaiting_supervisor")
    assert view.amount_fen == 20_400
    assert paid(desk, case) == 0
    await case.cancel()


async def test_what_rose_while_the_payment_was_out_goes_to_the_supervisor(desk: Desk) -> None:
    case, order = await risen(desk, fail=False)
    async with desk.before("pay", order):
        await desk.submit(case, "buyer_insists", AGENT)
        await desk.reached("pay", order)
        desk.platform_refunds_line(order, 1)
        await desk.signal(case, "order_gone", "system")
        await desk.heard(case, "order_gone")
    await desk.until(case, "awaiting_supervisor")
    assert paid(desk, case) == 0
    await case.cancel()


async def test_an_approval_before_it_left_covers_no_more_than_was_approved(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 1), (99_600, 1)], postage_fen=800)
    case = await open_for_line(desk, order, 2)
    await desk.submit(case, "buyer_insists", AGENT)
    async with desk.before("pay", order):
        await desk.submit(case, "approve", LEAD)
        await desk.reached("pay", order)
        desk.platform_refunds_line(order, 1)
    await desk.until(case, "awaiting_supervisor")
    await desk.platform_ships(case)
    await desk.until(case, "awaiting_parcel_back")
    assert (await desk.submit(case, "parcel_back", "returns.1")).state == "awaiting_supervisor"
    assert paid(desk, case) == 0
    await case.cancel()


async def test_a_kept_fact_that_the_shop_then_refuses_is_on_the_record_and_wedges_nothing(desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="bought twice")
    await desk.submit(case, "parcel_back", "returns.1", waybill="SF9999999999")
    await desk.platform_ships(case)
    await desk.until(case, "awaiting_parcel_back")
    await case.cancel()
    view = await desk.end(case)
    assert view.outcome == "cancelled"
    # read at the end: the state is entered before the kept fact is tried in it
    (line,) = [line for line in view.trail if not line.accepted]
    assert (line.trigger, line.by) == ("parcel_back", "returns.1")


async def test_temporals_own_cancel_counts_also_behind_a_message_that_moves_the_case(desk: Desk) -> None:
    order = desk.order()
    case = await desk.open_in("asking_reason", order, task_timeout=timedelta(seconds=1))
    async with desk.before("consider", order):
        await desk.signal(case, "give_reason", AGENT, reason="too slow")
        await desk.reached("consider", order)
        await case.cancel()
        async for event in case.fetch_history_events(wait_new_event=True):
            if event.HasField("workflow_execution_cancel_requested_event_attributes"):
                break
    assert (await desk.end(case)).outcome == "cancelled"


async def test_nobody_can_use_up_the_id_of_news_from_the_shop(desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="bought twice")
    await desk.signal(case, "order_gone", "system", id="notice-77")
    await desk.view(case)
    desk.platform_refunds_line(desk.order_of(case), 1)
    await desk.signal(case, "order_gone", "system", id="notice-77")
    assert (await desk.end(case)).outcome == "refunded"
