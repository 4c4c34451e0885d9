"""People's authority on the real server: roles, limits, four eyes, deputies, looked up at the moment of deciding."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from casework.shop.tables import StaffRow
from tests.desk import Desk, Handle

AGENT, LEAD, FINANCE = "aftersale.1", "aftersale-lead.5", "finance.3"


async def waiting_for_supervisor(desk: Desk, fen: int, *, opened_by: str = AGENT, insists: str = AGENT) -> Handle:
    case = await desk.open_in("persuading", desk.order(prices=[(fen, 1)]), reason="bought twice", by=opened_by)
    await desk.submit(case, "buyer_insists", insists)
    return case


async def refusal(desk: Desk, case: Handle, trigger: str, by: str, **fields: object) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await desk.submit(case, trigger, by, **fields)
    assert isinstance(refused.value.cause, ApplicationError)
    return refused.value.cause.message


async def test_who_opened_the_case_may_not_approve_it(desk: Desk) -> None:
    case = await waiting_for_supervisor(desk, 50_000, opened_by="aftersale-lead.2", insists="aftersale-lead.2")
    assert "opened this case" in await refusal(desk, case, "approve", "aftersale-lead.2")
    assert "opened this case" in await refusal(desk, case, "send_back", "aftersale-lead.2", note="wait")
    view = await desk.submit(case, "approve", LEAD)
    assert view.state == "refunding"


async def test_nor_may_who_deputises_for_them(desk: Desk) -> None:
    case = await waiting_for_supervisor(desk, 50_000, opened_by="aftersale-lead.2", insists=AGENT)
    assert "deputises for aftersale-lead.2" in await refusal(desk, case, "approve", "aftersale.2")
    await case.terminate()


async def test_a_deputy_who_spoke_for_the_buyer_may_not_approve(desk: Desk) -> None:
    case = await waiting_for_supervisor(desk, 50_000, insists="aftersale.2")
    assert "spoke for the buyer" in await refusal(desk, case, "approve", "aftersale.2")
    await case.terminate()


async def test_a_deputy_approves_for_an_absent_supervisor(desk: Desk) -> None:
    case = await waiting_for_supervisor(desk, 50_000)
    view = await desk.submit(case, "approve", "aftersale.2")
    assert view.trail[-1].role == "aftersale_supervisor"
    assert view.state == "refunding"


async def test_a_lower_limit_of_ones_own_sends_the_case_up(desk: Desk) -> None:
    case = await waiting_for_supervisor(desk, 50_001)
    assert (await desk.submit(case, "approve", "aftersale-lead.4")).state == "awaiting_finance"
    await case.terminate()
    case = await waiting_for_supervisor(desk, 50_000)
    assert (await desk.submit(case, "approve", "aftersale-lead.4")).state == "refunding"


@pytest.mark.parametrize(("fen", "state"), [(20_000, "refunding"), (20_001, "awaiting_supervisor")])
async def test_an_agent_pays_up_to_the_limit_and_not_a_fen_more(desk: Desk, fen: int, state: str) -> None:
    case = await desk.open_in("persuading", desk.order(prices=[(fen, 1)]), reason="bought twice")
    assert (await desk.submit(case, "buyer_insists", AGENT)).state == state
    await case.cancel()


@pytest.mark.parametrize(("fen", "state"), [(100_000, "refunding"), (100_001, "awaiting_finance")])
async def test_a_supervisor_approves_up_to_the_limit_and_not_a_fen_more(desk: Desk, fen: int, state: str) -> None:
    case = await waiting_for_supervisor(desk, fen)
    assert (await desk.submit(case, "approve", LEAD)).state == state
    await case.cancel()


async def test_two_levels_want_two_people_and_staff_are_looked_up_at_the_moment_of_deciding(desk: Desk) -> None:
    case = await waiting_for_supervisor(desk, 100_001)
    assert "finance.2 is absent" in await refusal(desk, case, "approve", "finance.2")
    with desk.database.writing() as session:
        session.get_one(StaffRow, "finance.2").present = True
    try:
        assert (await desk.submit(case, "approve", "finance.2")).state == "awaiting_finance"
        assert "two people" in await refusal(desk, case, "approve", "finance.2")
    finally:
        with desk.database.writing() as session:
            session.get_one(StaffRow, "finance.2").present = False
    assert (await desk.submit(case, "approve", FINANCE)).state == "refunding"


async def test_a_case_is_sent_back_twice_at_most(desk: Desk) -> None:
    case = await waiting_for_supervisor(desk, 50_000)
    for _ in range(2):
        await desk.submit(case, "send_back", LEAD, note="try again")
        await desk.submit(case, "buyer_insists", AGENT)
    assert "sent back less often" in await refusal(desk, case, "send_back", LEAD, note="once more")
    await case.cancel()


async def test_a_decision_made_for_an_older_version_is_refused(desk: Desk) -> None:
    case = await waiting_for_supervisor(desk, 100_001)
    seen = (await desk.view(case)).version
    await desk.submit(case, "approve", LEAD, version=seen)
    assert "moved on" in await refusal(desk, case, "approve", FINANCE, version=seen)
    await case.cancel()


async def test_lines_claimed_by_an_open_case_make_another_one_not_applicable_and_name_it(desk: Desk) -> None:
    order = desk.order(prices=[(100, 1), (200, 1)])
    first = await desk.open_in("asking_reason", order)
    second = await desk.start(order, case_id=f"refund-before-shipping-{order}-2", lines=[{"line": 2, "quantity": 1}])
    view = await desk.end(second)
    assert view.outcome == "not_applicable"
    assert first.id in (view.trail[-1].why or "")
    await first.cancel()


async def test_once_money_has_been_sent_a_cancel_is_refused_and_recorded(desk: Desk) -> None:
    order = desk.order(prices=[(20_000, 1)])
    case = await desk.open_in("persuading", order, reason="bought twice")
    async with desk.before("pay", order):
        await desk.submit(case, "buyer_insists", AGENT)
        await desk.reached("pay", order)
        await case.cancel()
    view = await desk.end(case)
    assert view.outcome == "refunded"
    (line,) = [line for line in view.trail if not line.accepted]
    assert (line.trigger, line.by) == ("cancel_case", "temporal")
