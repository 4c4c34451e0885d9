"""In every state of every flow, whatever its table does not allow is refused, on the real server.

Each of the messages makes good sense in itself: only the state, or who sends it, is wrong.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, NamedTuple

import pytest
from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateStage
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from casework.case import CaseView
from state_machines.common import CANCEL
from state_machines.flows import FLOWS
from state_machines.roles import Role
from state_machines.table import Flow, StateKind, TriggerKind
from tests.desk import Desk, Handle
from tests.telling import tell
from tests.trails import count_refused, refused_lines
from tests.walking.driver import STAFF, Driver, Hands, fields_of
from tests.walking.flows import HANDS, planner_of
from tests.walking.planner import Plan
from tests.walking.trying import try_all

EVERYTHING = bool(os.environ.get("CASEWORK_ALL_REFUSALS"))
"""Every trigger from every role, whether a state has a row for it or not, and each both as a signal and as an update:
minutes more a flow."""
WRONG_ROLES_EACH, ROLES_EACH = 4, 1
"""How many send what is for others, and what is for nobody, in a state."""
CASES_AT_ONCE = 6
AT_ONCE = 20
"""How many messages a case is sent at once: for more, each with its look at the staff, it would need longer than
Temporal gives a workflow task."""
AT_ONCE_BESIDE_A_STEP = 100
"""The same where a step on the shop is under way: the staff is not looked up then, and the case hears every few seconds
alone."""
PATIENCE, PATIENCE_ALONE = 120, 200
"""For how many seconds a case may take beside others, and where it is asked once more, alone."""
NOT_HEARD = ("aborted", "Workflow Task in failed state", "limit exceeded")
"""What the server says of an update that it has not passed on: the same one may be asked again."""
OUTSIDE = frozenset({"pay", "ask_courier", "intercept", "forward", "redeliver", "claim"})
"""Steps beside which a case takes steps on the shop."""
UNKNOWN = "please_pay"
NO_SUCH_TRIGGER = "there is no such trigger in this flow"


class Wrong(NamedTuple):
    """A message that a case in this state does not take from this role."""

    trigger: str
    is_fact: bool
    by: str
    fields: dict[str, Any]
    why: str | None
    """How the reason begins; None: it is a fact, which is kept."""
    on_record: bool
    """Whether an update, too, leaves a line in the trail: it passes the validator."""
    as_signal: bool
    as_update: bool
    """How it is sent: one way or the other, by turns."""

    @property
    def times(self) -> int:
        """How often it is sent."""
        return self.as_signal + self.as_update

    @property
    def lines(self) -> int:
        """How many lines in the trail come of it."""
        return self.as_signal + (self.as_update and self.on_record)

    @property
    def line(self) -> tuple[str, str]:
        """The trigger and the sender, as the trail names them: what no flow knows is not looked into."""
        return self.trigger, "unknown" if self.why == NO_SUCH_TRIGGER else self.by


def wrongs(plan: Plan, hands: Hands, case: Handle) -> Iterator[Wrong]:
    """Everything that is not for the state where the plan leads.

    What the state has a row for comes from some whom it is not for. A fact that it has no row for comes from everybody
    who may bring it. All else is refused alike wherever it comes from. They are other roles for each trigger, and in
    each state.
    """
    flow, state = plan.flow, plan.state
    place = list(flow.states).index(state)
    turn = place
    # what one state is sent as a signal, the next one is sent as an update
    ways = itertools.cycle([True, False] if place % 2 else [False, True])
    known_case = plan.steps[-1].step.to.case if plan.steps else plan.opening.case
    for trigger in [*flow.triggers, UNKNOWN]:
        rows, known = flow.rows(state, trigger), flow.triggers.get(trigger)
        is_fact = known is not None and known.kind is TriggerKind.FACT
        known_here = bool(rows) and known in flow.signals
        meant = {role for row in rows for role in row.roles}
        others = [role for role in STAFF if role not in meant]
        first = turn % len(others)
        turn += WRONG_ROLES_EACH if known_here else ROLES_EACH
        some = [*others[first:], *others[:first]][: WRONG_ROLES_EACH if known_here else ROLES_EACH]
        if is_fact and not rows:
            some += [role for role in flow.roles_of(trigger) if role not in some]
        for role in others if EVERYTHING else some:
            by = STAFF[role]
            fields: dict[str, Any] = {"by": by}
            if trigger in flow.triggers:
                fields = fields_of(case, hands.world.message(known_case, trigger, by))
            why, on_record = _refusal(flow, state, trigger, role)
            as_signal = next(ways)
            yield Wrong(
                trigger, is_fact, by, fields, why, on_record, as_signal or EVERYTHING, not as_signal or EVERYTHING
            )


def _refusal(flow: Flow[Any], state: str, trigger: str, role: Role) -> tuple[str | None, bool]:
    known = flow.triggers.get(trigger)
    if known is None or known not in flow.signals:
        return NO_SUCH_TRIGGER, False
    if known.kind is TriggerKind.FACT:
        return (None if role in flow.roles_of(trigger) else f"{trigger} is for "), True
    if flow.rows(state, trigger):
        return f"{trigger} in {state} is for ", True
    return f"{trigger} is not possible in {state}", False


class Prober:
    """Sends a case everything that it must refuse where it is, and holds its answers and its trail against it."""

    def __init__(self, desk: Desk, driver: Driver) -> None:
        """Send nothing yet."""
        self.desk = desk
        self.driver = driver
        self.case = driver.case
        self.refused = 0
        """How many messages were refused, each as it must be."""

    async def probe(self, sent: Sequence[Wrong], at_once: int) -> None:
        """Send each of them, so many at once: nothing moves, and every one is answered, or on the record."""
        # where a workflow task was given up, what it had done is done again: the state was come to only for a moment
        before = await self.desk.until(self.case, self.driver.hands.plan.state)
        facts, recorded = Counter(before.kept), count_refused(before)
        for start in range(0, len(sent), at_once):
            some = sent[start : start + at_once]
            lines = [one for one in some for _ in range(one.lines)]
            expected = Counter(one.line for one in lines if one.why is not None)
            facts.update(one.trigger for one in lines if one.why is None)
            recorded += expected.total()
            await asyncio.gather(*[self.case.signal(one.trigger, one.fields) for one in some if one.as_signal])
            await asyncio.gather(*[self._update(one) for one in some if one.as_update])
            # where every update was refused before the case had read it, the signals may still be read
            after = await self._once_recorded(recorded)
            assert (after.state, after.version, after.due) == (before.state, before.version, before.due)
            assert count_refused(after) == recorded
            self._require_reasons(after, expected, {one.line: one.why for one in lines})
            assert Counter(after.kept) == facts
            self.refused += sum(1 for one in some if one.why is not None and one.as_signal)

    async def _once_recorded(self, recorded: int) -> CaseView:
        return await self.desk.until_shown(
            self.case, lambda view: count_refused(view) >= recorded, f"refused {recorded} messages"
        )

    async def probe_and_let_go(self, held: Sequence[Wrong]) -> None:
        """Send what a working case reads only once its work is done."""
        await asyncio.gather(*[self.case.signal(one.trigger, one.fields) for one in held if one.as_signal])
        asked = [one for one in held if one.as_update]
        passed = [one for one in asked if one.on_record]
        await asyncio.gather(*[self._update(one) for one in asked if not one.on_record])
        answers = await asyncio.gather(
            *[
                self.case.start_update(  # pyright: ignore[reportUnknownMemberType] - the SDK's own
                    "submit", as_update(one), wait_for_stage=WorkflowUpdateStage.ACCEPTED
                )
                for one in passed
            ]
        )
        await self.driver.let_go()
        for one, answer in zip(passed, answers, strict=True):
            with pytest.raises(WorkflowUpdateFailedError) as refused:
                await answer.result()
            self._require_refusal(refused.value, one, held=True)
        due = Counter(one.line for one in held for _ in range(one.lines))

        def all_refused(view: CaseView) -> bool:
            lines = [line for line in refused_lines(view) if (line.trigger, line.by) in due]
            return Counter((line.trigger, line.by) for line in lines) == due and all(line.why for line in lines)

        await self.desk.until_shown(self.case, all_refused, f"refused {due.total()} messages")
        self.refused += sum(one.as_signal for one in held)

    async def probe_ended(self, sent: Sequence[Wrong]) -> None:
        """A case that has ended: the server itself answers that there is none."""
        signals = [self.case.signal(one.trigger, one.fields) for one in sent if one.as_signal]
        updates = [self.desk.update(self.case, as_update(one)) for one in sent if one.as_update]
        await asyncio.gather(*map(self._not_found, [*signals, *updates]))

    async def _not_found(self, sending: Coroutine[Any, Any, object]) -> None:
        with pytest.raises(RPCError) as refused:
            await sending
        assert refused.value.status is RPCStatusCode.NOT_FOUND
        self.refused += 1

    async def _update(self, wrong: Wrong) -> None:
        try:
            view = await self._asked_again(as_update(wrong))
        except WorkflowUpdateFailedError as refused:
            self._require_refusal(refused, wrong)
        else:
            assert wrong.why is None, f"{wrong} was accepted"
            assert wrong.trigger in view.kept

    async def _asked_again(self, message: dict[str, Any]) -> CaseView:
        """Asks again where the server says that the case has not heard it: it was busy, or just continuing as new."""
        while True:
            try:
                return await self.desk.update(self.case, message)
            except RPCError as error:
                if not any(said in error.message for said in NOT_HEARD):
                    raise

    def _require_refusal(self, refused: WorkflowUpdateFailedError, wrong: Wrong, *, held: bool = False) -> None:
        cause = refused.cause
        assert isinstance(cause, ApplicationError)
        assert cause.type == "Refused"
        assert held or (wrong.why is not None and cause.message.startswith(wrong.why)), cause.message
        assert not held or cause.message
        self.refused += 1

    @staticmethod
    def _require_reasons(
        view: CaseView, expected: Counter[tuple[str, str]], reasons: dict[tuple[str, str], Any]
    ) -> None:
        """The newest refused lines are those that were sent last, each with its reason."""
        lines = refused_lines(view)[-expected.total() :] if expected else []
        assert Counter((line.trigger, line.by) for line in lines) == expected
        for line in lines:
            assert (line.why or "").startswith(reasons[line.trigger, line.by] or "?"), line


def as_update(wrong: Wrong) -> dict[str, Any]:
    return {"trigger": wrong.trigger, **wrong.fields}


async def refused_in(desk: Desk, flow: str, state: str, patience: int) -> tuple[int, int]:
    """How many messages were refused in the state as they must be, and how many must be."""
    planner = planner_of(flow)
    plan = planner.way_into(state)
    hands = HANDS[flow](desk, plan)
    works = planner.flow.states[state].kind is StateKind.WORK
    driver = Driver(hands, stays_stopped=works)
    try:
        async with asyncio.timeout(patience):
            await driver.go()
            sent = list(wrongs(plan, hands, driver.case))
            prober = Prober(desk, driver)
            if planner.flow.is_final(state):
                await desk.end(driver.case)
                await prober.probe_ended(sent)
                return prober.refused, sum(one.times for one in sent)
            # one step on the shop at a time: a fact waits with its look at the staff; what is kept of it is shown where
            # the work is outside
            on_shop = works and hands.stopped_in[state] not in OUTSIDE
            sent = [one for one in sent if not (on_shop and one.is_fact and one.why is None)]
            held = [one for one in sent if (works and one.trigger == CANCEL) or (on_shop and one.is_fact)]
            at_once = AT_ONCE_BESIDE_A_STEP if on_shop else AT_ONCE
            await prober.probe([one for one in sent if one not in held], at_once)
            if held:
                await prober.probe_and_let_go(held)
            return prober.refused, sum(one.times for one in sent if one.why is not None)
    finally:
        await driver.give_up()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("flow", FLOWS)
async def test_whatever_the_table_does_not_allow_is_refused_in_every_state(staffed: Desk, flow: str) -> None:
    # those that are stopped in a step on the shop wait most of the time: first
    states = sorted(FLOWS[flow].states.values(), key=lambda state: state.kind is not StateKind.WORK)
    tried = await try_all(
        [state.name for state in states],
        lambda state, patience: refused_in(staffed, flow, state, patience),
        at_once=CASES_AT_ONCE,
        patience=PATIENCE,
        patience_alone=PATIENCE_ALONE,
    )
    assert not tried.failed, "\n".join(tried.failed)
    refused, sent = (sum(count) for count in zip(*tried.answers, strict=True))
    said = f"{flow}: refused {refused}/{sent}, in {len(states)} states"
    tell("\n".join([said, *(f"  asked twice: {why}" for why in tried.twice)]))
    assert refused == sent, said
