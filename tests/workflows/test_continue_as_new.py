"""A case that waits for long, or is talked at a lot, continues as new and loses nothing on the way."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.service import RPCError

from casework.case import MOST_REFUSED
from tests.desk import Desk, Handle

AGENT, LEAD = "aftersale.1", "aftersale-lead.5"
CASES = 12


@pytest.mark.parametrize("trigger", ["approve", "buyer_insists"])
async def test_no_signal_is_lost_in_the_moment_of_continuing(desk: Desk, trigger: str) -> None:
    """A dozen cases at once, each asked by queries meanwhile: a message that comes just then was lost in one of ten."""
    cases = [
        await desk.open_in("persuading", desk.order(prices=[(50_000, 1)]), reason="bought twice") for _ in range(CASES)
    ]
    counts = await asyncio.gather(*(told_until_it_continues(desk, case, trigger) for case in cases))
    for case, sent in zip(cases, counts, strict=True):
        after = await desk.submit(case, "parcel_back", "returns.1")
        assert len([line for line in after.trail if not line.accepted]) == sent
        await case.terminate()


async def told_until_it_continues(desk: Desk, case: Handle, trigger: str) -> int:
    """Send a signal again and again that the case refuses, until it continues as new; answers how often."""
    first_run, sent = (await case.describe()).run_id, 0
    while (await case.describe()).run_id == first_run:
        await desk.signal(case, trigger, "warehouse.1")
        sent += 1
        assert sent < 100, "it never continued as new"
        with suppress(RPCError):  # Temporal may leave a query without an answer that comes just then
            await desk.view(case)
    return sent


async def test_what_a_case_has_not_read_when_it_continues_is_read_by_the_next_run(desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(prices=[(50_000, 1)]), reason="bought twice")
    first_run, sent = (await case.describe()).run_id, 0
    while (await case.describe()).run_id == first_run:
        await asyncio.gather(*(desk.signal(case, "buyer_insists", "warehouse.1", id=f"{sent}.{n}") for n in range(5)))
        sent += 5
        assert sent < 1_000, "it never continued as new"
        await desk.at_rest(case)
    again = await desk.submit(case, "buyer_insists", AGENT, id="again")
    assert again.state == "awaiting_supervisor"
    assert len([line for line in again.trail if not line.accepted]) == min(sent, MOST_REFUSED)
    started = (await case.fetch_history()).events[0].workflow_execution_started_event_attributes
    assert b'"unread":[' in started.input.payloads[0].data
    await case.terminate()


async def test_a_case_to_which_only_updates_come_continues_as_new(desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="bought twice")
    first_run, sent = (await case.describe()).run_id, 0
    while (await case.describe()).run_id == first_run:
        with pytest.raises(WorkflowUpdateFailedError):
            await desk.submit(case, "buyer_insists", "warehouse.1")
        sent += 1
        assert sent < 60, "it never continued as new"
    assert len([line for line in (await desk.view(case)).trail if not line.accepted]) == sent
    await case.terminate()


async def test_a_case_continues_as_new_with_its_deadline_its_ids_and_its_kept_facts(desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(prices=[(50_000, 1)]), reason="bought twice")
    await desk.submit(case, "buyer_insists", AGENT, id="first")
    await desk.submit(case, "parcel_back", "returns.1")
    before = await desk.view(case)
    first_run = (await case.describe()).run_id

    sent = 0
    while (await case.describe()).run_id == first_run:
        await desk.signal(case, "approve", "warehouse.1")
        sent += 1
        assert sent < 200, "it never continued as new"
        await desk.at_rest(case)  # see the next test

    after = await desk.submit(case, "parcel_back", "returns.1", id="after-all-of-them")
    assert after.due == before.due
    assert after.kept == ["parcel_back", "parcel_back"]
    assert after.version == before.version
    assert after.opened_at == before.opened_at
    assert len([line for line in after.trail if not line.accepted]) == sent

    # the first message again, under its id: harmless, also in the new run
    again = await desk.submit(case, "buyer_insists", AGENT, id="first")
    assert again.version == before.version
    with pytest.raises(WorkflowUpdateFailedError):
        await desk.submit(case, "approve", AGENT)
    assert (await desk.submit(case, "approve", LEAD)).state == "refunding"
    assert (await desk.end(case)).outcome == "refunded"
