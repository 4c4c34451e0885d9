"""Paths through flow 1, each played on the real server; together they take every row of the table.

A path is written as `trigger dest` steps from `checking`. The sentence of each function says what happens in the shop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from tests.desk import FLOW, Desk, Handle

AGENT, LEAD, FINANCE, CLERK = "aftersale.1", "aftersale-lead.5", "finance.3", "refund.1"
SMALL, MEDIUM, LARGE = 20_000, 20_001, 100_001
"""Amounts in fen: within the agent's limit, over it, and over the supervisor's too."""

Play = Callable[[Desk], Awaitable[Handle]]


@dataclass(frozen=True)
class Path:
    """One way through the table, and how to play it."""

    name: str
    steps: tuple[tuple[str, str, str], ...]
    play: Play


PATHS: list[Path] = []


def path(text: str) -> Callable[[Play], Play]:
    """Register a path: `check holding; hold persuading; …`."""

    def register(play: Play) -> Play:
        steps: list[tuple[str, str, str]] = []
        source = "checking"
        for step in text.split(";"):
            trigger, dest = step.split()
            steps.append((trigger, source, dest))
            source = dest
        PATHS.append(Path(play.__name__, tuple(steps), play))
        return play

    return register


async def _persuading(desk: Desk, fen: int, **fields: object) -> Handle:
    order = desk.order(prices=[(fen, 1)])
    return await desk.open_in("persuading", order, reason="bought the wrong size", **fields)


async def _supervisor(desk: Desk, fen: int = MEDIUM) -> Handle:
    case = await _persuading(desk, fen)
    await desk.submit(case, "buyer_insists", AGENT)
    return case


async def _finance(desk: Desk, fen: int = LARGE) -> Handle:
    case = await _supervisor(desk, fen)
    await desk.submit(case, "approve", LEAD)
    return case


async def _parcel(desk: Desk, fen: int = SMALL) -> Handle:
    return await desk.open_in("awaiting_parcel_back", desk.order(prices=[(fen, 1)], shipped=True))


async def _repairing(desk: Desk) -> Handle:
    order = desk.order(prices=[(SMALL, 1)])
    desk.fail("payment", order, "always")
    case = await desk.open_in("persuading", order, reason="changed their mind")
    await desk.submit(case, "buyer_insists", AGENT)
    await desk.until(case, "repairing_payment")
    return case


# --- to the money back ---


@path(
    "check holding; hold asking_reason; give_reason persuading; buyer_insists refunding; pay settling; settle refunded"
)
async def small_refund_with_a_reason_given_later(desk: Desk) -> Handle:
    case = await desk.open_in("asking_reason", desk.order(prices=[(SMALL, 1)]))
    await desk.submit(case, "give_reason", AGENT, reason="too long to wait")
    await desk.submit(case, "buyer_insists", AGENT)
    return case


@path(
    "check holding; hold asking_reason; reason_overdue persuading;"
    "persuasion_over refunding; pay settling; settle refunded"
)
async def small_refund_by_silence_alone(desk: Desk) -> Handle:
    case = await desk.open_in("asking_reason", desk.order(prices=[(SMALL, 1)]))
    await desk.skip_to_deadline(case)
    await desk.skip_to_deadline(case)
    return case


@path(
    "check holding; hold persuading; buyer_insists awaiting_supervisor;approve refunding; pay settling; settle refunded"
)
async def medium_refund_approved_by_the_supervisor(desk: Desk) -> Handle:
    case = await _supervisor(desk)
    await desk.submit(case, "approve", LEAD)
    return case


@path(
    "check holding; hold persuading; persuasion_over awaiting_supervisor; supervisor_silent awaiting_finance;"
    "finance_silent refunding; pay settling; settle refunded"
)
async def large_refund_where_everybody_is_silent(desk: Desk) -> Handle:
    case = await _persuading(desk, LARGE)
    for _ in range(3):
        await desk.skip_to_deadline(case)
    return case


@path(
    "check holding; hold persuading; buyer_insists awaiting_supervisor; send_back persuading;"
    "buyer_insists awaiting_supervisor; approve awaiting_finance; send_back persuading;"
    "buyer_insists awaiting_supervisor; approve awaiting_finance; approve refunding; pay settling; settle refunded"
)
async def large_refund_sent_back_twice(desk: Desk) -> Handle:
    case = await _supervisor(desk, LARGE)
    await desk.submit(case, "send_back", LEAD, note="offer a coupon first")
    await desk.submit(case, "buyer_insists", AGENT)
    await desk.submit(case, "approve", LEAD)
    await desk.submit(case, "send_back", FINANCE, note="ask once more")
    await desk.submit(case, "buyer_insists", AGENT)
    await desk.submit(case, "approve", LEAD)
    await desk.submit(case, "approve", FINANCE)
    return case


@path("check holding; hold persuading; order_gone settling; settle refunded")
async def paid_by_the_platform_while_persuading(desk: Desk) -> Handle:
    case = await _persuading(desk, SMALL)
    await desk.platform_refunds(case)
    return case


@path("check holding; hold asking_reason; order_gone settling; settle refunded")
async def paid_by_the_platform_while_asking_why(desk: Desk) -> Handle:
    case = await desk.open_in("asking_reason", desk.order())
    await desk.platform_refunds(case)
    return case


@path("check holding; hold persuading; buyer_insists awaiting_supervisor; order_gone settling; settle refunded")
async def paid_by_the_platform_while_the_supervisor_thinks(desk: Desk) -> Handle:
    case = await _supervisor(desk)
    await desk.platform_refunds(case)
    return case


@path(
    "check holding; hold persuading; buyer_insists awaiting_supervisor; approve awaiting_finance;"
    "order_gone settling; settle refunded"
)
async def paid_by_the_platform_while_finance_thinks(desk: Desk) -> Handle:
    case = await _finance(desk)
    await desk.platform_refunds(case)
    return case


@path("check intercepting; intercept awaiting_parcel_back; order_gone settling; settle refunded")
async def paid_by_the_platform_while_the_parcel_comes_back(desk: Desk) -> Handle:
    case = await _parcel(desk)
    await desk.platform_refunds(case)
    return case


@path(
    "check holding; hold persuading; buyer_insists refunding; find_amount_risen awaiting_supervisor;"
    "approve refunding; pay settling; settle refunded"
)
async def postage_falls_to_the_case_and_is_more_than_the_agent_may_decide(desk: Desk) -> Handle:
    order = desk.order(prices=[(5_000, 1), (19_500, 1)], postage_fen=800)
    only_line_2 = {"case_id": f"{FLOW}-{order}-2", "lines": [{"line": 2, "quantity": 1}]}
    async with desk.before("pay", order):
        case = await desk.open_in("persuading", order, reason="bought twice", **only_line_2)
        await desk.submit(case, "buyer_insists", AGENT)
        await desk.reached("pay", order)
        desk.platform_refunds_line(order, 1)
    await desk.until(case, "awaiting_supervisor")
    await desk.submit(case, "approve", LEAD)
    return case


# --- the payment fails ---


@path(
    "check holding; hold persuading; buyer_insists refunding; fail_payment repairing_payment;"
    "retry_payment refunding; pay settling; settle refunded"
)
async def payment_refused_for_good_and_tried_again(desk: Desk) -> Handle:
    case = await _repairing(desk)
    desk.fail("payment", desk.order_of(case), "never")
    await desk.submit(case, "retry_payment", CLERK)
    return case


@path(
    "check holding; hold persuading; buyer_insists refunding; fail_payment repairing_payment;"
    "repair_overdue repairing_payment; confirm_paid_by_hand settling; settle refunded"
)
async def payment_refused_for_good_and_paid_by_hand_a_day_later(desk: Desk) -> Handle:
    case = await _repairing(desk)
    await desk.skip_to_deadline(case)
    await desk.submit(
        case, "confirm_paid_by_hand", CLERK, payment_reference=f"bank-{desk.order_of(case)}", amount_fen=SMALL
    )
    return case


@path(
    "check holding; hold persuading; buyer_insists refunding; fail_payment repairing_payment;"
    "order_gone settling; settle refunded"
)
async def paid_by_the_platform_while_the_payment_is_repaired(desk: Desk) -> Handle:
    case = await _repairing(desk)
    await desk.platform_refunds(case)
    return case


@path(
    "check holding; hold persuading; buyer_insists refunding; fail_payment repairing_payment;"
    "buyer_withdraws releasing; release kept"
)
async def withdrawn_while_the_payment_is_repaired(desk: Desk) -> Handle:
    case = await _repairing(desk)
    await desk.submit(case, "buyer_withdraws", AGENT)
    return case


@path(
    "check holding; hold persuading; buyer_insists refunding; fail_payment repairing_payment;"
    "order_gone intercepting; fail_intercept converting; convert converted"
)
async def shipped_while_the_payment_is_repaired(desk: Desk) -> Handle:
    case = await _repairing(desk)
    desk.fail("intercept", desk.order_of(case), "always")
    await desk.platform_ships(case)
    return case


# --- the order is kept ---


@path("check holding; hold persuading; buyer_keeps_order releasing; release kept")
async def kept_after_persuasion(desk: Desk) -> Handle:
    case = await _persuading(desk, SMALL)
    await desk.submit(case, "buyer_keeps_order", AGENT)
    return case


@path("check holding; hold asking_reason; buyer_withdraws releasing; release kept")
async def withdrawn_while_asking_why(desk: Desk) -> Handle:
    case = await desk.open_in("asking_reason", desk.order())
    await desk.submit(case, "buyer_withdraws", AGENT)
    return case


@path("check holding; hold persuading; buyer_withdraws releasing; release kept")
async def withdrawn_while_persuading(desk: Desk) -> Handle:
    case = await _persuading(desk, SMALL)
    await desk.submit(case, "buyer_withdraws", AGENT)
    return case


@path("check holding; hold persuading; buyer_insists awaiting_supervisor; buyer_withdraws releasing; release kept")
async def withdrawn_while_the_supervisor_thinks(desk: Desk) -> Handle:
    case = await _supervisor(desk)
    await desk.submit(case, "buyer_withdraws", AGENT)
    return case


@path(
    "check holding; hold persuading; buyer_insists awaiting_supervisor; approve awaiting_finance;"
    "buyer_withdraws releasing; release kept"
)
async def withdrawn_while_finance_thinks(desk: Desk) -> Handle:
    case = await _finance(desk)
    await desk.submit(case, "buyer_withdraws", AGENT)
    return case


@path("check intercepting; intercept awaiting_parcel_back; buyer_withdraws releasing; release kept")
async def withdrawn_while_the_parcel_comes_back(desk: Desk) -> Handle:
    case = await _parcel(desk)
    await desk.submit(case, "buyer_withdraws", AGENT)
    return case


# --- it has left after all ---


@path("check intercepting; fail_intercept converting; convert converted")
async def shipped_before_and_not_to_be_stopped(desk: Desk) -> Handle:
    order = desk.order(shipped=True)
    desk.fail("intercept", order, "always")
    return await desk.start(order)


@path("check intercepting; intercept awaiting_parcel_back; parcel_back_overdue converting; convert converted")
async def stopped_parcel_never_comes(desk: Desk) -> Handle:
    case = await _parcel(desk)
    await desk.skip_to_deadline(case)
    return case


@path("check intercepting; intercept awaiting_parcel_back; parcel_back refunding; pay settling; settle refunded")
async def small_parcel_comes_back(desk: Desk) -> Handle:
    case = await _parcel(desk)
    await desk.submit(case, "parcel_back", "returns.1")
    return case


@path(
    "check intercepting; intercept awaiting_parcel_back; parcel_back awaiting_supervisor;"
    "approve awaiting_finance; approve refunding; pay settling; settle refunded"
)
async def large_parcel_comes_back_and_is_approved(desk: Desk) -> Handle:
    case = await _parcel(desk, LARGE)
    await desk.submit(case, "parcel_back", "returns.1")
    await desk.submit(case, "approve", LEAD)
    await desk.submit(case, "approve", FINANCE)
    return case


@path(
    "check holding; hold persuading; order_gone intercepting; intercept awaiting_parcel_back;"
    "parcel_back refunding; pay settling; settle refunded"
)
async def shipped_while_persuading(desk: Desk) -> Handle:
    case = await _persuading(desk, SMALL)
    await desk.platform_ships(case)
    await desk.until(case, "awaiting_parcel_back")
    await desk.submit(case, "parcel_back", "returns.1")
    return case


@path("check holding; hold asking_reason; order_gone intercepting; fail_intercept converting; convert converted")
async def shipped_while_asking_why(desk: Desk) -> Handle:
    order = desk.order()
    desk.fail("intercept", order, "always")
    case = await desk.open_in("asking_reason", order)
    await desk.platform_ships(case)
    return case


@path(
    "check holding; hold persuading; buyer_insists awaiting_supervisor; order_gone intercepting;"
    "fail_intercept converting; convert converted"
)
async def shipped_while_the_supervisor_thinks(desk: Desk) -> Handle:
    case = await _supervisor(desk)
    desk.fail("intercept", desk.order_of(case), "always")
    await desk.platform_ships(case)
    return case


@path(
    "check holding; hold persuading; buyer_insists awaiting_supervisor; approve awaiting_finance;"
    "order_gone intercepting; fail_intercept converting; convert converted"
)
async def shipped_while_finance_thinks(desk: Desk) -> Handle:
    case = await _finance(desk)
    desk.fail("intercept", desk.order_of(case), "always")
    await desk.platform_ships(case)
    return case


@path(
    "check holding; hold persuading; buyer_insists awaiting_supervisor; approve refunding;"
    "find_shipped intercepting; intercept awaiting_parcel_back; parcel_back refunding; pay settling; settle refunded"
)
async def shipped_in_the_moment_of_paying_after_an_approval(desk: Desk) -> Handle:
    case = await _supervisor(desk)
    desk.ship_without_telling(desk.order_of(case))
    await desk.submit(case, "approve", LEAD)
    await desk.until(case, "awaiting_parcel_back")
    await desk.submit(case, "parcel_back", "returns.1")
    return case


@path("check holding; find_shipped intercepting; fail_intercept converting; convert converted")
async def shipped_in_the_moment_of_holding(desk: Desk) -> Handle:
    order = desk.order()
    desk.fail("intercept", order, "always")
    async with desk.before("hold", order):
        case = await desk.start(order)
        await desk.reached("hold", order)
        desk.ship_without_telling(order)
    return case


# --- the warehouse is asked (profile `handed_over`) ---


async def _warehouse(desk: Desk, **fields: object) -> Handle:
    order = desk.order(prices=[(SMALL, 1)], flag="green")
    return await desk.with_policy("handed_over").open_in("asking_warehouse", order, **fields)


@path("check holding; hold asking_warehouse; confirm_not_left asking_reason; buyer_withdraws releasing; release kept")
async def warehouse_has_it_still(desk: Desk) -> Handle:
    case = await _warehouse(desk)
    await desk.submit(case, "confirm_not_left", "warehouse.1")
    await desk.submit(case, "buyer_withdraws", AGENT)
    return case


@path("check holding; hold asking_warehouse; confirm_not_left persuading; buyer_keeps_order releasing; release kept")
async def warehouse_has_it_still_and_the_reason_is_known(desk: Desk) -> Handle:
    case = await _warehouse(desk, reason="found it cheaper")
    await desk.submit(case, "confirm_not_left", "warehouse.1")
    await desk.submit(case, "buyer_keeps_order", AGENT)
    return case


@path("check holding; hold asking_warehouse; confirm_left intercepting; fail_intercept converting; convert converted")
async def warehouse_says_it_left(desk: Desk) -> Handle:
    case = await _warehouse(desk)
    desk.fail("intercept", desk.order_of(case), "always")
    await desk.submit(case, "confirm_left", "warehouse.1")
    return case


@path("check holding; hold asking_warehouse; warehouse_silent asking_reason; cancel_case cancelling; undo cancelled")
async def warehouse_is_silent(desk: Desk) -> Handle:
    case = await _warehouse(desk)
    await desk.skip_to_deadline(case)
    await desk.submit(case, "cancel_case", LEAD, note="opened by mistake")
    return case


@path("check holding; hold asking_warehouse; warehouse_silent persuading; cancel_case cancelling; undo cancelled")
async def warehouse_is_silent_and_the_reason_is_known(desk: Desk) -> Handle:
    case = await _warehouse(desk, reason="found it cheaper")
    await desk.skip_to_deadline(case)
    await desk.submit(case, "cancel_case", LEAD, note="opened by mistake")
    return case


@path("check holding; hold asking_warehouse; buyer_withdraws releasing; release kept")
async def withdrawn_while_the_warehouse_looks(desk: Desk) -> Handle:
    case = await _warehouse(desk)
    await desk.submit(case, "buyer_withdraws", AGENT)
    return case


@path("check holding; hold asking_warehouse; order_gone settling; settle refunded")
async def paid_by_the_platform_while_the_warehouse_looks(desk: Desk) -> Handle:
    case = await _warehouse(desk)
    await desk.platform_refunds(case)
    return case


@path("check holding; hold asking_warehouse; order_gone intercepting; fail_intercept converting; convert converted")
async def shipped_while_the_warehouse_looks(desk: Desk) -> Handle:
    case = await _warehouse(desk)
    desk.fail("intercept", desk.order_of(case), "always")
    await desk.platform_ships(case)
    return case


# --- not for this flow, or opened by a bulk order ---


@path("check not_applicable")
async def not_paid(desk: Desk) -> Handle:
    return await desk.start(desk.order(paid=False))


@path(
    "check holding; hold awaiting_finance; finance_silent awaiting_finance;"
    "approve refunding; pay settling; settle refunded"
)
async def opened_by_a_terminated_bulk_order(desk: Desk) -> Handle:
    order = desk.order(prices=[(SMALL, 1)])
    case = await desk.start_from_bulk_order(order)
    await desk.until(case, "awaiting_finance")
    await desk.skip_to_deadline(case)
    await desk.submit(case, "approve", FINANCE)
    return case


# --- called off ---


@path("check holding; hold asking_warehouse; cancel_case cancelling; undo cancelled")
async def called_off_while_the_warehouse_looks(desk: Desk) -> Handle:
    case = await _warehouse(desk)
    await desk.submit(case, "cancel_case", LEAD, note="opened by mistake")
    return case


@path("check holding; hold persuading; buyer_insists awaiting_supervisor; cancel_case cancelling; undo cancelled")
async def called_off_by_temporal(desk: Desk) -> Handle:
    case = await _supervisor(desk)
    await case.cancel()
    return case


@path(
    "check holding; hold persuading; buyer_insists awaiting_supervisor; approve awaiting_finance;"
    "cancel_case cancelling; undo cancelled"
)
async def called_off_while_finance_thinks(desk: Desk) -> Handle:
    case = await _finance(desk)
    await desk.submit(case, "cancel_case", LEAD, note="opened by mistake")
    return case


@path("check intercepting; intercept awaiting_parcel_back; cancel_case cancelling; undo cancelled")
async def called_off_while_the_parcel_comes_back(desk: Desk) -> Handle:
    case = await _parcel(desk)
    await desk.signal(case, "cancel_case", LEAD, note="opened by mistake")
    return case


@path(
    "check holding; hold persuading; buyer_insists refunding; fail_payment repairing_payment;"
    "cancel_case cancelling; undo cancelled"
)
async def called_off_while_the_payment_is_out(desk: Desk) -> Handle:
    order = desk.order(prices=[(SMALL, 1)])
    desk.fail("payment", order, "always")
    async with desk.before("pay", order):
        case = await desk.open_in("persuading", order, reason="changed their mind")
        await desk.submit(case, "buyer_insists", AGENT)
        await desk.reached("pay", order)
        await desk.signal(case, "cancel_case", LEAD, note="opened by mistake")
        await desk.heard(case, "cancel_case")
    return case


@path("cancel_case cancelling; undo cancelled")
async def called_off_with_the_start(desk: Desk) -> Handle:
    return await desk.start(desk.order(), start_signal=("cancel_case", {"by": LEAD, "note": "opened by mistake"}))


@path("check holding; cancel_case cancelling; undo cancelled")
async def called_off_while_checking(desk: Desk) -> Handle:
    order = desk.order()
    async with desk.before("check_and_claim", order):
        case = await desk.start(order, task_timeout=timedelta(seconds=1))
        await desk.reached("check_and_claim", order)
        await desk.signal(case, "cancel_case", LEAD, note="opened by mistake")
        await desk.heard(case, "cancel_case")
    return case


@path("check intercepting; cancel_case cancelling; undo cancelled")
async def called_off_before_the_courier_is_asked(desk: Desk) -> Handle:
    order = desk.order(shipped=True)
    async with desk.before("check_and_claim", order):
        case = await desk.start(order, task_timeout=timedelta(seconds=1))
        await desk.reached("check_and_claim", order)
        await desk.signal(case, "cancel_case", LEAD, note="opened by mistake")
        await desk.heard(case, "cancel_case")
    return case


@path("check intercepting; fail_intercept converting; cancel_case cancelling; undo cancelled")
async def called_off_while_the_courier_is_asked(desk: Desk) -> Handle:
    order = desk.order(shipped=True)
    desk.fail("intercept", order, "always")
    async with desk.before("intercept", order):
        case = await desk.start(order)
        await desk.reached("intercept", order)
        await desk.signal(case, "cancel_case", LEAD, note="opened by mistake")
        await desk.heard(case, "cancel_case")
    return case


@path("check holding; hold persuading; buyer_insists refunding; cancel_case cancelling; undo cancelled")
async def called_off_before_the_money_is_sent(desk: Desk) -> Handle:
    order = desk.order(prices=[(SMALL, 1)])
    case = await desk.open_in("persuading", order, reason="changed their mind", task_timeout=timedelta(seconds=1))
    async with desk.before("consider", order):
        await desk.signal(case, "buyer_insists", AGENT)
        await desk.reached("consider", order)
        await desk.signal(case, "cancel_case", LEAD, note="opened by mistake")
        await desk.heard(case, "cancel_case")
    return case
