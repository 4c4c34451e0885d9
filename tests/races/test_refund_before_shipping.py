"""Races of the refund before shipping: for the goods, for the lines, and for the money."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from casework.case import CaseView
from casework.shop import notices, outside, payments
from casework.shop.amounts import POSTAGE
from casework.shop.errors import BadRequest
from tests.cli.commands import shop_url
from tests.desk import FLOW, Desk, Handle
from tests.races.racing import Race, after, answer_of, called_off, ended
from tests.races.shipper import ship

AGENT, LEAD, FINANCE, CLERK = "aftersale.1", "aftersale-lead.5", "finance.3", "refund.1"
Ship = Callable[[str, float], Awaitable[str]]


@asynccontextmanager
async def in_a_thread(desk: Desk) -> AsyncGenerator[Ship]:
    """The warehouse works in this process."""
    yield lambda order, wait: asyncio.to_thread(ship, desk.database, order, wait)


@asynccontextmanager
async def in_another_process(desk: Desk) -> AsyncGenerator[Ship]:
    """The warehouse works in a process of its own, on the same database."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.races.shipper",
        shop_url(desk),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    answers = process.stdout
    asks = process.stdin

    async def ask(order: str, wait: float) -> str:
        asks.write(f"{order} {wait}\n".encode())
        return (await answers.readline()).decode().strip()

    assert await answers.readline() == b"ready\n"
    try:
        yield ask
    finally:
        asks.close()
        assert await process.wait() == 0


@pytest.mark.parametrize("warehouse", [in_a_thread, in_another_process])
async def test_of_the_hold_and_the_shipping_exactly_one_wins(desk: Desk, warehouse: Any) -> None:
    race = Race(f"hold against shipping {warehouse.__name__.replace('_', ' ')}", "hold", "shipping")
    async with warehouse(desk) as ship_order:
        for wait_hold, wait_shipping in race.rounds():
            order = desk.order(prices=[(10_000, 1), (5_000, 2)])
            async with desk.before("hold", order):
                case = await desk.start(order, reason="bought twice")
                await desk.reached("hold", order)
                shipping = asyncio.ensure_future(ship_order(order, wait_shipping))
                await asyncio.sleep(wait_hold)
            shipped = await shipping
            view = await desk.until(case, "persuading", "awaiting_parcel_back")
            if view.state == "persuading":
                assert case.id in shipped
            else:
                assert shipped == "shipped"
            assert (await called_off(desk, case)).outcome == "cancelled"
            with desk.database.reading() as session:
                gone = {row.place for row in outside.line_rows(session, order)}
            assert gone == {"unshipped" if view.state == "persuading" else "shipped"}, "all lines or none"
            race.won_by("hold" if view.state == "persuading" else "shipping")


async def test_of_two_refunds_of_one_line_exactly_one_gets_it_and_it_is_paid_once(desk: Desk) -> None:
    race = Race("two refunds of one line", "whole order", "one line")
    for wait_whole, wait_line in race.rounds():
        order = desk.order(prices=[(10_000, 1), (5_000, 1)], postage_fen=800)
        whole, line = await asyncio.gather(
            after(wait_whole, desk.start(order, reason="bought twice")),
            after(wait_line, desk.start(order, case_id=f"{FLOW}-{order}-2", lines=[{"line": 2, "quantity": 1}])),
        )
        states = [
            (await desk.until(whole, "persuading", "not_applicable")).state,
            (await desk.until(line, "asking_reason", "not_applicable")).state,
        ]
        assert states.count("not_applicable") == 1, states
        winner, loser = (line, whole) if states[0] == "not_applicable" else (whole, line)
        refused = await ended(desk, loser)
        assert winner.id in (refused.trail[-1].why or "")
        if winner is whole:
            await desk.submit(winner, "buyer_insists", AGENT)
            assert (await ended(desk, winner)).amount_fen == paid(desk, order) == 15_800
        else:
            assert (await called_off(desk, winner)).outcome == "cancelled"
            assert paid(desk, order) == 0
        race.won_by("whole order" if winner is whole else "one line")


async def test_of_two_payments_for_one_order_exactly_one_takes_the_postage_along(desk: Desk) -> None:
    """The postage is due with the last line: whose payment comes last pays it."""
    race = Race("two payments of one order, and its postage", "line 1", "line 2")
    for waits in race.rounds():
        order = desk.order(prices=[(10_000, 1), (5_000, 1)], postage_fen=800)
        cases = [
            await desk.open_in(
                "persuading",
                order,
                case_id=f"{FLOW}-{order}-{number}",
                lines=[{"line": number, "quantity": 1}],
                reason="bought twice",
            )
            for number in (1, 2)
        ]
        await asyncio.gather(
            *(after(wait, desk.submit(case, "buyer_insists", AGENT)) for wait, case in zip(waits, cases, strict=True))
        )
        views = [await ended(desk, case) for case in cases]
        assert [view.outcome for view in views] == ["refunded", "refunded"]
        assert paid(desk, order) == sum(view.amount_fen for view in views) == 15_800
        with desk.database.reading() as session:
            (postage,) = [entry for entry in payments.ledger(session, order) if entry.line == POSTAGE]
        assert (postage.amount_fen, postage.case_id in {case.id for case in cases}) == (800, True)
        # whose payment came first leaves the postage to the other
        race.won_by("line 2" if postage.case_id == cases[0].id else "line 1")


async def test_of_the_platforms_payment_and_ours_for_one_line_exactly_one_is_made(desk: Desk) -> None:
    race = Race("our payment against the platform's", "we", "platform")

    def platform_pays(order: str) -> bool:
        try:
            with desk.database.writing() as session:
                outside.refunded(session, order, at=datetime.now(UTC))
        except BadRequest:
            return False
        return True

    for wait_we, wait_platform in race.rounds():
        order = desk.order(prices=[(20_000, 1)])
        case = await desk.open_in("persuading", order, reason="bought twice")
        async with desk.before("pay", order):
            await desk.submit(case, "buyer_insists", AGENT)
            await desk.reached("pay", order)
            paying = asyncio.ensure_future(after(wait_platform, asyncio.to_thread(platform_pays, order)))
            await asyncio.sleep(wait_we)
        by_platform = await paying
        view = await ended(desk, case)
        tell_nobody(desk)
        assert view.outcome == "refunded"
        with desk.database.reading() as session:
            sources = {entry.source for entry in payments.ledger(session, order)}
        assert sources == {"platform" if by_platform else "case"}
        assert paid(desk, order) == 20_000
        race.won_by("platform" if by_platform else "we")


async def test_of_paying_by_hand_and_trying_again_exactly_one_pays(desk: Desk) -> None:
    race = Race("payment by hand against another try", "by hand", "another try")
    for wait_hand, wait_retry in race.rounds():
        order = desk.order(prices=[(20_000, 1)])
        desk.fail("payment", order, "always")
        case = await desk.open_in("persuading", order, reason="bought twice")
        await desk.submit(case, "buyer_insists", AGENT)
        await desk.until(case, "repairing_payment")
        desk.fail("payment", order, "never")
        by_hand = {"amount_fen": 20_000, "payment_reference": f"hand-{order}"}
        answers = await asyncio.gather(
            after(wait_hand, answer_of(desk.submit(case, "confirm_paid_by_hand", CLERK, **by_hand))),
            after(wait_retry, answer_of(desk.submit(case, "retry_payment", CLERK))),
        )
        view = await ended(desk, case)
        assert view.outcome == "refunded"
        assert [isinstance(answer, CaseView) for answer in answers].count(True) == 1, answers
        assert paid(desk, order) == 20_000
        with desk.database.reading() as session:
            (entry,) = payments.ledger(session, order)
        assert (entry.source == "hand") == isinstance(answers[0], CaseView)
        race.won_by("by hand" if isinstance(answers[0], CaseView) else "another try")


async def test_the_next_approver_never_approves_what_the_first_one_has_just_moved_on(desk: Desk) -> None:
    """Both saw the case wait for the supervisor: finance may not approve there, and has not seen what comes next."""
    race = Race("two levels approve at once", "finance first", "supervisor first")
    for wait_finance, wait_lead in race.rounds():
        case = await desk.open_in("persuading", desk.order(prices=[(100_001, 1)]), reason="bought twice")
        version = (await desk.submit(case, "buyer_insists", AGENT)).version
        by_lead, by_finance = await asyncio.gather(
            after(wait_lead, answer_of(desk.submit(case, "approve", LEAD, version=version))),
            after(wait_finance, answer_of(desk.submit(case, "approve", FINANCE, version=version))),
        )
        assert isinstance(by_lead, CaseView)
        assert isinstance(by_finance, str)
        view = await called_off(desk, case)
        assert [line.by for line in view.trail if line.trigger == "approve" and line.accepted] == [LEAD]
        race.won_by("supervisor first" if "moved on" in by_finance else "finance first")


@pytest.mark.parametrize("how", ["Temporal's own", "as a signal", "as an update"])
async def test_a_case_is_never_both_paid_and_called_off(desk: Desk, how: str) -> None:
    """The cancel comes before, while or after the money leaves."""
    race = Race(f"payment against a cancel, {how}", "payment", "cancel")

    async def cancel(case: Handle) -> None:
        match how:
            case "Temporal's own":
                await case.cancel()
            case "as a signal":
                await desk.signal(case, "cancel_case", LEAD, note="called off")
            case _:
                await desk.submit(case, "cancel_case", LEAD, note="called off")

    for wait_payment, wait_cancel in race.rounds():
        order = desk.order(prices=[(20_000, 1)])
        case = await desk.open_in("persuading", order, reason="bought twice")
        await asyncio.gather(
            after(wait_payment, answer_of(desk.submit(case, "buyer_insists", AGENT))),
            after(wait_cancel, answer_of(cancel(case))),
        )
        view = await ended(desk, case)
        assert (view.outcome, paid(desk, order)) in [("refunded", 20_000), ("cancelled", 0)]
        moves = {line.trigger for line in view.trail if line.accepted}
        assert len(moves & {"pay", "cancel_case"}) == 1
        race.won_by("payment" if view.outcome == "refunded" else "cancel")


@pytest.mark.parametrize("how", ["Temporal's own", "as a signal"])
@pytest.mark.parametrize("payment", ["is made", "is refused"])
async def test_a_cancel_while_the_payment_is_out_waits_for_what_becomes_of_it(
    desk: Desk, how: str, payment: str
) -> None:
    order = desk.order(prices=[(20_000, 1)])
    case = await desk.open_in("persuading", order, reason="bought twice")
    if payment == "is refused":
        desk.fail("payment", order, "always")
    async with desk.before("pay", order):
        await desk.submit(case, "buyer_insists", AGENT)
        await desk.reached("pay", order)
        if how == "as a signal":
            await desk.signal(case, "cancel_case", LEAD, note="called off")
            await desk.heard(case, "cancel_case")
        else:
            await case.cancel()
    view = await ended(desk, case)
    wanted = ("refunded", 20_000) if payment == "is made" else ("cancelled", 0)
    assert (view.outcome, paid(desk, order)) == wanted
    (line,) = [line for line in view.trail if line.trigger == "cancel_case"]
    assert line.accepted == (payment == "is refused")


def paid(desk: Desk, order: str) -> int:
    """What the buyer of an order has, by whomever, in fen."""
    with desk.database.reading() as session:
        return sum(entry.amount_fen for entry in payments.ledger(session, order))


def tell_nobody(desk: Desk) -> None:
    """The case has ended: its news is for nobody."""
    with desk.database.writing() as session:
        for notice in notices.pending(session):
            notices.told(session, notice.id)
