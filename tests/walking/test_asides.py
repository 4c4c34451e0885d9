"""In every wait of every flow, on the real server: all that may be said beside its table, and the case stays put."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from casework.case import CaseView
from casework.shop.tables import OutboxRow
from state_machines.asides import ANSWER, ASIDES, ASK_OPENER, COMMENT, REASSIGN, REMIND, asked_in
from state_machines.flows import FLOWS
from state_machines.roles import Automatic
from state_machines.table import StateKind
from tests.desk import Desk, Handle
from tests.telling import tell
from tests.walking.driver import STAFF, Driver
from tests.walking.flows import HANDS, planner_of

CASES_AT_ONCE = 6
PATIENCE = 120
"""For how many seconds a case may take."""
PHOTO = "photos/1.jpg"


async def said_in(desk: Desk, flow: str, state: str) -> None:
    planner = planner_of(flow)
    driver = Driver(HANDS[flow](desk, planner.way_into(state)))
    try:
        async with asyncio.timeout(PATIENCE):
            await driver.go()
            await desk.until(driver.case, state)
            await say_everything(desk, driver.case)
    finally:
        await driver.give_up()


async def say_everything(desk: Desk, case: Handle) -> None:
    """Each aside once, and hold the case, its trail and the outbox against it."""
    before = await desk.view(case)
    flow = FLOWS[before.flow]
    asked = asked_in(flow, flow.states[before.state])
    by, roles = STAFF[asked[0]], [role.value for role in flow.opened_by]
    opener = STAFF[flow.opened_by[0]] if before.opened_by == Automatic.SYSTEM else before.opened_by
    await desk.submit(case, ASK_OPENER, by, question="Which one is it?")
    await case.signal(ANSWER, {"by": opener, "text": "The second one."})
    await desk.submit(case, REASSIGN, by, to=by)
    await desk.submit(case, REMIND, by)
    after = await desk.submit(case, COMMENT, by, text="Looked at it.", references=[PHOTO])
    assert_stayed(before, after)
    lines = after.trail[len(before.trail) :]
    assert [(line.trigger, line.by, line.note) for line in lines] == [
        (ASK_OPENER, by, "Which one is it?"),
        (ANSWER, opener, "The second one."),
        (REASSIGN, by, None),
        (REMIND, by, None),
        (COMMENT, by, "Looked at it."),
    ]
    assert {line.trigger for line in lines} == set(ASIDES)
    assert all(line.accepted and line.dest is None and line.source == before.state for line in lines)
    assert [line.role for line in lines if line.by == by != opener] == [asked[0]] * sum(
        line.by == by != opener for line in lines
    )
    assert (lines[2].why, lines[4].references) == (f"to {by}", {"references": [PHOTO]})
    assert after.assignee == by
    told = roles if before.opened_by == Automatic.SYSTEM else [opener]
    assert posted(desk, case, "question") == told
    assert posted(desk, case, "answer") == [by]
    assert posted(desk, case, "reassigned") == [by]
    reminded = [key for key in keys(desk, case, "reminder") if "/aside." in key]
    assert [key.rpartition(".reminder.")[2] for key in reminded] == [*asked], "once for whose case it is"


def assert_stayed(before: CaseView, after: CaseView) -> None:
    wanted = ("state", "version", "due", "if_silent", "waiting_for", "amount_fen", "kept", "links")
    assert after.model_dump(include=set(wanted)) == before.model_dump(include=set(wanted))


def posted(desk: Desk, case: Handle, template: str) -> list[str | None]:
    with desk.database.reading() as session:
        query = select(OutboxRow.recipient).where(OutboxRow.case_id == case.id, OutboxRow.template == template)
        return list(session.scalars(query.order_by(OutboxRow.id)))


def keys(desk: Desk, case: Handle, template: str) -> list[str]:
    with desk.database.reading() as session:
        query = select(OutboxRow.key).where(OutboxRow.case_id == case.id, OutboxRow.template == template)
        return list(session.scalars(query.order_by(OutboxRow.id)))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("flow", FLOWS)
async def test_everything_may_be_said_in_every_wait_and_the_case_stays_where_it_is(staffed: Desk, flow: str) -> None:
    turn = asyncio.Semaphore(CASES_AT_ONCE)
    failed: list[str] = []

    async def said(state: str) -> None:
        async with turn:
            try:
                await said_in(staffed, flow, state)
            except Exception as error:  # noqa: BLE001 - every state is tried, and all that failed are told at once
                failed.append(f"{state}: {type(error).__name__}: {error}")

    waits = [state.name for state in FLOWS[flow].states.values() if state.kind is StateKind.WAIT]
    await asyncio.gather(*map(said, waits))
    assert not failed, "\n".join(failed)
    tell(f"{flow}: {len(ASIDES)} asides in each of {len(waits)} waits")
