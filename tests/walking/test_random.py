"""Random walks: the bare machine and the real workflow go the same way, step by step, on the real server.

Chance leads the bare machine (in the flow's world, where the laws are explored); the workflow is driven the same way,
and wherever it waits it is also sent what the machine refuses there. It must come to the same states, accept and refuse
the same with the same words, and end with the same money. A seed repeats a walk:
`CASEWORK_WALK_SEED=… CASEWORK_WALKS=1`.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from casework.case import Actor, Case, CaseView
from casework.shop import payments
from state_machines.flows import FLOWS
from state_machines.laws.exploring import AT
from state_machines.table import Attempt, Refusal, TriggerKind
from tests.desk import Desk
from tests.telling import tell
from tests.walking.driver import STAFF, Driver, Hands, fields_of
from tests.walking.flows import planner_of
from tests.walking.planner import Plan
from tests.walking.test_walk import walked

WALKS = int(os.environ.get("CASEWORK_WALKS", "4"))
"""How many of each flow."""
SEED = int(os.environ.get("CASEWORK_WALK_SEED", random.SystemRandom().randrange(10**9)))
AT_ONCE = 6
PROBES = 2
"""How many messages that must be refused are sent in each wait."""
SOON = timedelta(minutes=5)
SAME_FOR_ALL = frozenset({"role", "not_possible"})
"""Why something is refused, whoever acted before and whatever the shop says when it is asked."""


class RandomDriver(Driver):
    """Sends what the bare machine refuses wherever the case waits, and compares."""

    def __init__(self, hands: Hands, chance: random.Random) -> None:
        """Play nothing yet."""
        super().__init__(hands)
        self._chance = chance
        self.refused = 0

    async def meanwhile(self, view: CaseView) -> None:
        """Nothing moves, and the words are the machine's."""
        if view.due is not None and view.due - await self.desk.skipper.get_current_time(self.case) < SOON:
            return  # the clock may ring meanwhile
        plan = self.hands.plan
        case = self.steps[self._at - 1].step.to.case if self._at else plan.opening.case
        for trigger, by, wanted in list(self._refusals(case, view))[:PROBES]:
            fields = fields_of(self.case, self.hands.world.message(case, trigger, by))
            with pytest.raises(WorkflowUpdateFailedError) as refused:
                await self.desk.update(self.case, {"trigger": trigger, **fields})
            cause = refused.value.cause
            assert isinstance(cause, ApplicationError)
            assert cause.message == wanted.why, f"{trigger} by {by} in {view.state}: {plan}"
            if wanted.code != "not_possible":  # what no row is for is refused before it is on the record
                self.probed.append((trigger, wanted.why))
            self.refused += 1
        after = await self.desk.view(self.case)
        assert (after.state, after.version, after.due, after.amount_fen) == (
            view.state,
            view.version,
            view.due,
            view.amount_fen,
        )

    def _refusals(self, case: Case[Any], view: CaseView) -> Iterator[tuple[str, str, Refusal]]:
        """What the bare machine refuses here, in an order of chance: the trigger, who sends it, and its refusal."""
        flow = self.flow
        everything = [(trigger, role) for trigger in flow.signals for role in STAFF]
        self._chance.shuffle(everything)
        for trigger, role in everything:
            actor = Actor(staff_id=STAFF[role], grants={role: None})
            message = self.hands.world.message(case, trigger.name, STAFF[role])
            attempt = Attempt(case, trigger.name, AT, actor, None, message)
            assert attempt.case.state == view.state
            moved = flow.refuses_news(attempt) if trigger.kind is TriggerKind.FACT else flow.fire(attempt)
            if isinstance(moved, Refusal) and moved.code in SAME_FOR_ALL:
                yield trigger.name, STAFF[role], moved


@pytest.mark.timeout(600)
@pytest.mark.parametrize("flow", FLOWS)
async def test_the_workflow_goes_wherever_chance_leads_the_bare_machine(staffed: Desk, flow: str) -> None:
    planner = planner_of(flow)
    turn = asyncio.Semaphore(AT_ONCE)
    failed: list[str] = []
    drivers: list[Driver] = []

    async def walk(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - a walk, no secret
        plan: Plan = planner.wander(chance)
        async with turn:
            try:
                drivers.append(await walked(staffed, plan, lambda hands: RandomDriver(hands, chance)))
            except Exception as error:  # noqa: BLE001 - every walk is gone, and all that failed are told at once
                failed.append(f"CASEWORK_WALK_SEED={seed} CASEWORK_WALKS=1: {plan}\n  {type(error).__name__}: {error}")

    await asyncio.gather(*[walk(SEED + number) for number in range(WALKS)])
    steps = sum(len(driver.steps) for driver in drivers)
    refused = sum(driver.refused for driver in drivers if isinstance(driver, RandomDriver))
    tell(f"{flow}: {len(drivers)} random walks of {steps} steps, {refused} refused, seed {SEED}")
    with staffed.database.reading() as session:
        assert payments.audit(session) == []
    assert not failed, "\n".join(failed)
    assert len(drivers) == WALKS
