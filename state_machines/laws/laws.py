"""The laws: what no table may allow. Each fault is one sentence with the shortest way to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from casework.case import Case
from state_machines.common import CANCEL
from state_machines.laws.exploring import FOUR_EYES, Explorer, Step, that_can_end, way_to
from state_machines.roles import Automatic
from state_machines.table import Money, StateKind

CALLED_OFF = ("cancelling", "cancelled")

CaseT = TypeVar("CaseT", bound=Case[Any])


def faults(explorer: Explorer[Any]) -> Iterator[str]:
    """Every breach of a law that the exploration comes to, as it finds them."""
    for step in explorer.steps():
        for fault in faults_of_step(explorer, step):
            yield f"{fault} ({_told(step)})"
    yield from _without_end(explorer)


def faults_of_step(explorer: Explorer[CaseT], step: Step[CaseT]) -> Iterator[str]:
    """Every law that this one step breaks."""
    world, event, moved = explorer.world, step.event, step.moved
    before, after = step.start, step.to
    if moved is None:
        # a happening in a wait is news, which may be refused; the work's outcome and the clock must lead on
        working = explorer.flow.states[before.case.state].kind is StateKind.WORK
        if event.automatic is Automatic.CLOCK or (event.happening is not None and working):
            yield f"nothing leads on from {before.case.state}: {step.refused}"
        return
    if step.pays_by_silence(explorer.flow):
        if (moved.trigger, moved.source) not in world.silent:
            yield f"silence pays by {moved.trigger} in {moved.source}, which flows.md does not name"
        elif not world.asked_for(before.case):
            yield f"silence pays by {moved.trigger} what no buyer asked for"
    if moved.trigger in world.pays_by_hand:
        role = next(iter(event.actor.grants)) if event.actor is not None else event.automatic
        if role is not world.pays_by_hand[moved.trigger]:
            yield f"the {role} says that money was paid by hand"
    if event.actor is not None and moved.trigger in FOUR_EYES:
        person = event.actor
        if not before.seen.involved.isdisjoint({person.staff_id, *person.deputises_for}):
            yield f"{person.staff_id} has a part in the request and may {moved.trigger}"
    if len({who for who, _ in after.seen.approvals}) < len(after.seen.approvals):
        yield "one person approves at two levels"
    if after.seen.payments > before.seen.payments:
        if after.seen.payments > 1:
            yield "money leaves twice"
        if after.case.amount_fen > after.seen.authorised_fen:
            yield f"{after.case.amount_fen} fen leave, {after.seen.authorised_fen} were decided on"
    if moved.source not in CALLED_OFF and (moved.trigger == CANCEL) != (moved.dest in CALLED_OFF):
        yield f"{moved.trigger} leads to {moved.dest}: a case is called off by {CANCEL} alone, and then it ends so"
    if explorer.flow.is_final(moved.dest):
        kept = after.seen.held - world.keeps.get(moved.dest, frozenset())
        if kept:
            yield f"{moved.dest} keeps {' and '.join(sorted(kept))}"
        has_money = after.seen.payments > 0 or after.seen.paid_by_platform
        money = explorer.flow.states[moved.dest].money
        if money is not Money.EITHER and has_money != (money is Money.SENT):
            yield f"{moved.dest} is said of a buyer who has {'the' if has_money else 'no'} money"
    wrong = world.wrong(after.case)
    if wrong is not None:
        yield wrong


def _without_end(explorer: Explorer[CaseT]) -> Iterator[str]:
    """Every situation from which no end can be reached; one sentence a state."""
    situations = list(explorer.situations.values())
    can_end = that_can_end(situations, explorer.flow)
    stuck = {one.case.state for one in situations if id(one) not in can_end}
    yield from (f"{state} can come to no end" for state in sorted(stuck))


def _told(step: Step[Any]) -> str:
    return "; ".join(str(one.event) for one in [*way_to(step.start), step])
