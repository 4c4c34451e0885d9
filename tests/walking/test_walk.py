"""Every row of every flow's table, taken by everybody it names, on the real server."""

from __future__ import annotations

import asyncio

import pytest

from casework.shop import payments
from state_machines.flows import FLOWS
from tests.desk import Desk
from tests.recording import record
from tests.telling import tell
from tests.walking.driver import Driver
from tests.walking.flows import HANDS, planner_of
from tests.walking.planner import Goal, Plan
from tests.walking.trying import try_all

AT_ONCE = 6
"""How many plans are played at once."""
PATIENCE, PATIENCE_ALONE = 60, 150
"""For how many seconds a plan may take beside others, and where it is played once more, alone."""


def test_every_flow_has_hands_with_which_it_is_walked() -> None:
    assert set(HANDS) == set(FLOWS)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("flow", FLOWS)
async def test_every_move_is_made_by_everybody_who_may_make_it_and_the_shop_is_whole(staffed: Desk, flow: str) -> None:
    planner = planner_of(flow)
    plans = planner.plans()

    async def play(plan: Plan, patience: int) -> set[Goal | None]:
        await walked(staffed, plan, patience)
        return {step.goal for step in plan.steps}

    tried = await try_all(plans, play, at_once=AT_ONCE, patience=PATIENCE, patience_alone=PATIENCE_ALONE)
    taken = set[Goal | None]().union(*tried.answers)
    rows = {goal.move for goal in taken if goal is not None}
    ways = f"{len(planner.goals & taken)}/{len(planner.goals)} ways"
    said = f"{flow}: moves walked {len(rows)}/{len(planner.flow.moves)}, in {ways}, by {len(plans)} cases"
    tell("\n".join([said, *(f"  played twice: {why}" for why in tried.twice)]))
    with staffed.database.reading() as session:
        assert payments.audit(session) == []
    assert not tried.failed, said + "\n" + "\n".join(tried.failed)
    assert set(planner.flow.moves) == rows, said
    assert planner.goals <= taken, f"{said}; not taken: {', '.join(map(str, planner.goals - taken))}"


async def walked(desk: Desk, plan: Plan, patience: int) -> None:
    """Play the plan, and hold its trail and the shop against it."""
    hands = HANDS[plan.flow.name](desk, plan)
    driver = Driver(hands)
    try:
        async with asyncio.timeout(patience):
            view = await driver.play()
    except TimeoutError:
        where = await driver.where()
        await driver.give_up()
        raise AssertionError(f"after {patience} s {where}") from None
    except BaseException:
        await driver.give_up()
        raise
    await driver.require_as_planned(view)
    await record(plan.flow.name, driver.case, view.state, plan.name)
