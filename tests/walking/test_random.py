"""Random walks: the bare machine and the real workflow go the same way, step by step, on the real server.

Hypothesis leads the bare machine (in the flow's world, where the laws are explored); the workflow is driven one step
behind it, for the shop has to be brought to what its next work comes to. It must come to the same states with the same
amounts, refuse what the machine refuses in the same words, and end with as many payments. A walk that fails is printed
step by step, and with what repeats it. `CASEWORK_WALKS=100` goes so many ways through each flow.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from sqlalchemy import func, select
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from casework.case import Actor, Case, CaseView
from casework.shop import payments
from casework.shop.tables import PaymentRow
from state_machines.flows import FLOWS
from state_machines.laws.exploring import AT
from state_machines.roles import Automatic
from state_machines.table import Attempt, Refusal, StateKind, TriggerKind
from tests.desk import Desk, Handle
from tests.telling import tell
from tests.walking.driver import STAFF, Driver, fields_of
from tests.walking.flows import HANDS, planner_of
from tests.walking.planner import LONGEST, Node, Plan, Taken

WALKS = int(os.environ.get("CASEWORK_WALKS", "2"))
"""How many of each flow."""
LONG_ENOUGH = LONGEST if WALKS >= 10 else LONGEST // 2
"""How many steps a walk takes before it may turn to an end, at most."""
PATIENCE = 120
"""For how many seconds one step may take."""
SOON = timedelta(minutes=5)
SAME_FOR_ALL = frozenset({"role", "not_possible"})
"""Why something is refused, whoever acted before and whatever the shop says when it is asked."""
ValueT = TypeVar("ValueT")


class WalkDriver(Driver):
    """Does not know what comes next until it is chosen."""

    async def take_all(self) -> None:
        """Take the steps that have been chosen since."""
        while self._at < len(self.steps):
            await self.goes_on()

    @property
    def rang(self) -> bool:
        """Whether the case has moved by itself since."""
        return self.shown.version > self._moves()

    def _clock_is_next(self) -> bool:
        return self._at == len(self.steps) or super()._clock_is_next()


class Walk(RuleBasedStateMachine):
    """One case of the flow on the real server, and the bare machine."""

    def __init__(self, flow: str, desk: Desk, loop: asyncio.AbstractEventLoop) -> None:
        """Open nothing yet. `loop` is the one on which the desk works."""
        super().__init__()
        self._flow = FLOWS[flow]
        self._desk, self._loop = desk, loop
        self._planner = planner_of(flow)
        self._steps: list[Taken] = []
        self._options: list[tuple[Taken, Node]] = []
        self._rises: frozenset[str] = frozenset()
        """What the shop is prepared for, and has to come: the amount rises."""
        self._node: Node
        self._driver: WalkDriver
        self._begun = self._torn = False
        self.over = False
        """Whether its case has ended, and all is as it should be."""
        self.refused = 0

    # --- what is chosen ---

    @initialize(data=st.data())
    def opens(self, data: st.DataObject) -> None:
        """The shop is prepared for what comes first, and for a postage that will fall to the case."""
        openings = self._planner.openings
        node = openings[data.draw(st.integers(0, len(openings) - 1), label="opening")]
        self._longest = data.draw(st.integers(1, LONG_ENOUGH), label="steps before it may turn to an end")
        self._early = data.draw(st.booleans(), label="decisions while it works")
        plan = Plan(self._flow, node.opening, self._steps)
        hands = HANDS[self._flow.name](self._desk, plan)
        made = {*hands.happenings(self._desk.client.get_workflow_handle("none")), *hands.reports()}
        rises = {one.name for one in hands.world.happenings if one.changes_amount} & made
        self._possible = made - rises
        self._come_to(node)
        self._choose(data)
        self._possible -= hands.prepared
        if rises and data.draw(st.booleans(), label="the amount rises"):
            self._possible |= rises
            risen = self._planner.nearest([self._node], lambda taken: taken.by in rises)
            if risen is None:
                self._possible -= rises
            else:
                self._rises = frozenset(rises)
                plan = Plan(self._flow, node.opening, self._steps, foreseen=risen.steps[-1:])
                hands = HANDS[self._flow.name](self._desk, plan)
        self._come_to(self._node)
        self._choose_after_early(data)
        self._driver = WalkDriver(hands, stays_stopped=self._early)

    def _come_to(self, node: Node) -> None:
        """Be there, and look what may follow."""
        self._node = node
        self._options = [one for one in self._planner.following(node) if self._can_be_made(one[0])]
        if self._rises:  # what the shop is prepared for has to come
            self._options = [
                (taken, after)
                for taken, after in self._options
                if taken.by in self._rises or self._planner.nearest([after], self._is_rise) is not None
            ]

    def _can_be_made(self, taken: Taken) -> bool:
        happening = taken.step.event.happening
        return (self._early or not taken.early) and (happening is None or happening.name in self._possible)

    def _is_rise(self, taken: Taken) -> bool:
        return taken.by in self._rises

    def _choose(self, data: st.DataObject) -> None:
        options = self._options
        going_on = [one for one in options if not self._planner.only_ends_follow(one[1].here.case.state)]
        if going_on and len(self._steps) < self._longest:
            options = going_on
        ways = sorted({f"{taken.step.event.trigger} ({taken.by})" for taken, _ in options})
        way = data.draw(st.sampled_from(ways), label="step")
        same = [one for one in options if f"{one[0].step.event.trigger} ({one[0].by})" == way]
        self._take(*same[data.draw(st.integers(0, len(same) - 1)) if len(same) > 1 else 0])

    def _choose_after_early(self, data: st.DataObject) -> None:
        """What is sent early is taken before the work is done: what follows it has to be known."""
        while self._steps[-1].early and self._options:
            self._choose(data)

    def _take(self, taken: Taken, after: Node) -> None:
        self._steps.append(taken)
        if taken.by in self._rises:
            self._possible -= self._rises
            self._rises = frozenset()
        self._come_to(after)

    @property
    def _waits(self) -> bool:
        """Whether the case stays where it is: it waits, and has kept nothing that it uses as it enters."""
        kept_is_next = any(taken.step.event.was_kept for taken, _ in self._options)
        return self._flow.states[self._node.here.case.state].kind is StateKind.WAIT and not kept_is_next

    @property
    def _rang(self) -> bool:
        """Whether a deadline had passed as the case entered its wait, and its clock has fired by itself."""
        return self._begun and self._waits and self._driver.rang

    # --- what is done ---

    @precondition(lambda self: bool(self._options) and not self.over)
    @rule(data=st.data())
    def goes_on(self, data: st.DataObject) -> None:
        """One of the things that may follow, on both sides."""
        if self._rang:
            self._options = [one for one in self._options if one[0].step.event.automatic is Automatic.CLOCK]
        self._choose(data)
        self._choose_after_early(data)
        self._drive()

    @precondition(lambda self: self._waits and not self.over and not self._rang)
    @rule(data=st.data())
    def refuses(self, data: st.DataObject) -> None:
        """What the bare machine refuses here, the case refuses in the same words, and nothing moves."""
        refusals = self._refusals()
        trigger, by = data.draw(st.sampled_from(sorted(refusals)), label="refused")
        as_signal = data.draw(st.booleans(), label="as a signal")
        if not self._begun:
            self._drive()
        self._wait(self._is_refused(trigger, by, refusals[trigger, by], as_signal=as_signal))

    @precondition(lambda self: self.over or not self._options)
    @rule()
    def has_ended(self) -> None:
        """Nothing more is taken: the walk may be longer than its case."""
        if self.over:
            self._wait(self._not_found())

    def teardown(self) -> None:
        """Go on to the nearest end, if the case has none yet."""
        if self.over or self._torn:
            return
        if sys.exc_info()[0] is not None:  # Hypothesis makes nothing of this walk
            if self._begun:
                asyncio.run_coroutine_threadsafe(self._driver.give_up(), self._loop).result()
            return
        if self._rang:
            self._take(*next(one for one in self._options if one[0].step.event.automatic is Automatic.CLOCK))
        if self._rises:
            self._follow(self._planner.nearest([self._node], self._is_rise))
        self._follow(self._planner.to_an_end(self._node))
        self._drive()

    def _follow(self, there: Node | None) -> None:
        assert there is not None, f"no way leads on from {self._driver.hands.plan}"
        self._steps += there.steps[len(self._node.steps) :]
        self._rises = frozenset()
        self._come_to(there)

    # --- the real case ---

    def _wait(self, doing: Coroutine[Any, Any, ValueT]) -> ValueT:
        """Have it done where the desk works; where it fails, this case is over for the test."""
        try:
            return asyncio.run_coroutine_threadsafe(self._patiently(doing), self._loop).result()
        except BaseException:
            self._torn = True
            raise

    async def _patiently(self, doing: Coroutine[Any, Any, ValueT]) -> ValueT:
        try:
            async with asyncio.timeout(PATIENCE):
                return await doing
        except BaseException as error:
            error.add_note(f"{self._driver.hands.plan}\n{await self._driver.where()}")
            await self._driver.give_up()
            raise

    def _drive(self) -> None:
        """Have the real case take what was chosen, and hold it against the bare machine where it waits or has ended."""
        self._wait(self._driven())

    async def _driven(self) -> None:
        here = self._node.here
        if not self._begun:
            self._begun = True
            await self._driver.begin()
        await self._driver.take_all()
        if self._flow.is_final(here.case.state):
            await self._driver.arrive()
            view = await self._driver.finish()
            await self._driver.require_as_planned(view)
            assert view.amount_fen in _amounts_of(here.case)
            assert self._payments(self._driver.case) == here.seen.payments
            self.over = True
        elif self._waits:
            await self._driver.arrive()
            view = self._driver.shown
            if not self._driver.rang:
                assert view.state == here.case.state
                assert view.amount_fen in _amounts_of(here.case)

    def _payments(self, case: Handle) -> int:
        with self._desk.database.reading() as session:
            paid = select(func.count()).select_from(PaymentRow).where(PaymentRow.case_id == case.id)
            return session.scalar(paid) or 0

    def _refusals(self) -> dict[tuple[str, str], Refusal]:
        """What the bare machine refuses here, by trigger and by who sends it."""
        case, found = self._node.here.case, dict[tuple[str, str], Refusal]()
        for trigger in self._flow.signals:
            for role, by in STAFF.items():
                actor = Actor(staff_id=by, grants={role: None})
                message = self._driver.hands.world.message(case, trigger.name, by)
                attempt = Attempt(case, trigger.name, AT, actor, None, message)
                is_fact = trigger.kind is TriggerKind.FACT
                moved = self._flow.refuses_reporter(attempt) if is_fact else self._flow.find_move(attempt)
                if isinstance(moved, Refusal) and moved.code in SAME_FOR_ALL:
                    found[trigger.name, by] = moved
        return found

    async def _is_refused(self, trigger: str, by: str, wanted: Refusal, *, as_signal: bool) -> None:
        driver, case = self._driver, self._driver.case
        # a case counts its deadline anew once it has told everybody
        await self._desk.at_rest(case)
        before = driver.shown = await self._desk.view(case)
        if driver.rang:
            return
        if before.due is not None and before.due - await self._desk.skipper.get_current_time(case) < SOON:
            return  # the clock may ring meanwhile
        fields = fields_of(case, driver.hands.world.message(self._node.here.case, trigger, by))
        if as_signal:
            await case.signal(trigger, fields)
        else:
            with pytest.raises(WorkflowUpdateFailedError) as refused:
                await self._desk.update(case, {"trigger": trigger, **fields})
            assert isinstance(refused.value.cause, ApplicationError)
            assert refused.value.cause.message == wanted.why
        # what no row is for, an update is refused before it is on the record
        if as_signal or wanted.code != "not_possible":
            driver.probed.append((trigger, wanted.why))
        lines = len(before.trail) + (1 if as_signal or wanted.code != "not_possible" else 0)
        after = await self._desk.until_shown(case, lambda view: len(view.trail) >= lines, f"refused {trigger}")
        assert [(line.trigger, line.by, line.why) for line in after.trail[len(before.trail) :]] == [
            (trigger, by, wanted.why)
        ] * (lines - len(before.trail))
        assert _standing(after) == _standing(before)
        driver.shown = after
        self.refused += 1

    async def _not_found(self) -> None:
        with pytest.raises(RPCError) as refused:
            await self._driver.case.signal(next(iter(self._flow.signals)).name, {"by": "aftersale.1"})
        assert refused.value.status is RPCStatusCode.NOT_FOUND

    @property
    def steps(self) -> Sequence[Taken]:
        """What has been taken."""
        return self._steps


def _amounts_of(case: Case[Any]) -> tuple[int | None, ...]:
    """What a case may be about: an unpaid bulk order's price changes in the shop, which the bare machine has not."""
    return case.amount_fen, getattr(case, "approved_fen", None)


def _standing(view: CaseView) -> tuple[Any, ...]:
    return view.state, view.version, view.due, view.amount_fen, view.kept


@pytest.mark.timeout(60 + 60 * WALKS)
async def test_the_workflow_goes_wherever_chance_leads_the_bare_machine(staffed: Desk) -> None:
    loop = asyncio.get_running_loop()
    walks: dict[str, list[Walk]] = {flow: [] for flow in FLOWS}
    chance = settings(
        max_examples=WALKS,
        stateful_step_count=2 * LONGEST,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        print_blob=True,
    )

    def walk_through(flow: str) -> None:
        def walk() -> Walk:
            walks[flow].append(Walk(flow, staffed, loop))
            return walks[flow][-1]

        run_state_machine_as_test(cast("type[Walk]", walk), settings=chance)

    # a walk waits most of the time
    came_to = await asyncio.gather(*[asyncio.to_thread(walk_through, flow) for flow in FLOWS], return_exceptions=True)
    for flow, taken in walks.items():
        ended = [one for one in taken if one.over]
        steps, refused = sum(len(one.steps) for one in ended), sum(one.refused for one in ended)
        tell(f"{flow}: {len(ended)} random walks of {steps} steps, {refused} refused")
    failed = [error for error in came_to if isinstance(error, Exception)]
    if failed:
        raise ExceptionGroup("random walks", failed)
    with staffed.database.reading() as session:
        assert payments.audit(session) == []
    assert all(sum(one.over for one in taken) >= WALKS for taken in walks.values())
