"""A skip of time that Temporal loses sight of is asked for anew, and never waited for without an end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio.testing import TimeSkipper

from casework import skipping
from casework.skipping import let_pass, skip, skip_past
from tests.desk import Desk
from tests.parcels import FLOW, parcel_order, silence
from tests.workflows.test_returns import AGENT, opened

DAY = timedelta(days=1)


class Failing(TimeSkipper):
    """Skips nothing, in one way or another."""

    def __init__(self, desk: Desk, problem: Exception | None) -> None:
        super().__init__(desk.client)
        self._problem = problem

    async def fast_forward(self, *_: Any) -> bool:
        if self._problem is None:
            await asyncio.Event().wait()
        raise self._problem or AssertionError


@pytest.mark.parametrize(
    "problem", [None, RuntimeError("the requested fast_forward_id does not match the execution's")]
)
async def test_what_temporal_does_not_come_to_is_asked_anew(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, problem: Exception | None
) -> None:
    monkeypatch.setattr(skipping, "PATIENCE_SECONDS", 0.1)
    case = await desk.open_in("persuading", desk.order(prices=((20_000, 1),)), reason="x")
    assert not await skip(Failing(desk, problem), case, DAY)
    view = await desk.view(case)
    assert view.due is not None
    assert not await skip_past(Failing(desk, problem), case, view.due)
    monkeypatch.setattr(skipping, "MOST_TRIES", 2)
    with pytest.raises(RuntimeError, match="Temporal does not skip"):
        await let_pass(Failing(desk, problem), case, DAY)
    assert (await desk.skip_to_deadline(case)).version > view.version


async def test_any_other_problem_is_told(desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(prices=((20_000, 1),)), reason="x")
    with pytest.raises(RuntimeError, match="something else"):
        await skip(Failing(desk, RuntimeError("something else")), case, DAY)


async def test_time_passes_until_the_case_has_ended(desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(prices=((20_000, 1),)), reason="x")
    await let_pass(desk.skipper, case, 100 * DAY)
    assert (await desk.end(case)).outcome == "refunded"
    await let_pass(desk.skipper, case, DAY)  # nothing is left to skip


async def test_time_passes_for_a_case_that_waits_for_the_one_it_has_opened(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = await opened(desk, desk.order(prices=[(5_000, 1)], shipped=True), "awaiting_parcel")
    await desk.submit(case, "buyer_ships", AGENT, courier="yuantong", waybill=f"WB{desk.order_of(case)[-11:]}")
    await desk.skip_to_deadline(case)
    child = await desk.first_opened_by(case)
    passing = await desk.skipper.get_time_skipping_info(child)
    assert passing is None or not passing.effective_config.enabled
    monkeypatch.setattr(skipping, "PATIENCE_SECONDS", 1)
    assert (await desk.skip_to_deadline(case)).state != "tracing_return"
    await case.cancel()


async def test_what_was_given_up_does_not_come_on_top_of_what_is_asked_next(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skipping, "PATIENCE_SECONDS", 1)
    order, waybill = parcel_order(desk)
    silence(desk, waybill)
    start = {"order_id": order, "by": AGENT, "waybill": waybill, "courier": "yuantong", "cause": "overdue"}
    async with desk.before("look_at_parcel", order):  # Temporal does not skip while an activity is under way
        case = await desk.open_case(FLOW, f"{FLOW}-{waybill}", start)
        await desk.reached("look_at_parcel", order)
        before = await desk.skipper.get_current_time(case)
        assert not await skip(desk.skipper, case, timedelta(minutes=30))
    await desk.at_rest(case, answered=True)
    assert await desk.skipper.get_current_time(case) - before < timedelta(minutes=1)
    await case.terminate()
