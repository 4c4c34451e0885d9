"""Whether somebody may do something in a case now, and what stands in the way: the flow's own machine says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel, Field

from casework.authority import NOBODY, Member, actor_named
from casework.case import Actor, Case
from casework.lookups import Lookups
from casework.messages import Message, fields_of
from casework.names import REASSIGN
from state_machines import asides
from state_machines.asides import ASIDES, Reassign
from state_machines.roles import Role
from state_machines.table import Attempt, Flow, Move, Refusal, StateKind, TriggerKind

NOT_STAFF, ENDED, NOT_SAID, NOT_NOW = "staff", "ended", "not_said", "not_now"
"""Codes of a no besides the machine's own: who asks may not act at all; the case is over; nobody said who asks; what is
said beside the table has no place in the case as it is."""


class Row(BaseModel):
    """A row of the table, as it stands there: who may take it, and under which conditions (by name)."""

    trigger: str
    source: str
    dest: str
    roles: list[str]
    only_if: list[str]


class Obstacle(BaseModel):
    """What stands in the way of a row: the code of the rule, the machine's own sentence, the row, its condition.

    `limit_fen` is the limit that the condition asked for, in fen, where it is one about money.
    """

    code: str
    why: str
    row: Row | None = None
    guard: str | None = None
    limit_fen: int | None = None


class Person(BaseModel):
    """Somebody who is present and could do it now, in which role, and where it would lead (None: not known)."""

    staff_id: str
    name: str
    role: str | None
    dest: str | None


class Verdict(BaseModel):
    """Whether somebody may fire a trigger in a case as it is; None: that depends on what is looked up when it is sent.

    Attributes:
        dest: where it would lead, as far as the case knows; None for a comment or other side message.
        role: in which role.
        row: the row that would be taken, as far as the case knows.
        kept: it is a fact that no row of this state uses: it would be kept until one does.
        obstacle: what stands in the way; where there is a row, what stands in the way of one before it.
        to_give: the fields that must still be given with it.
        unknown: conditions that are looked up only when it is sent.
        looks_up: whether the shop is read, or written to, before the case moves: it may refuse then.
        possible_in: the states that have a row for it, where this one has none.
        could: who is present and could do it now; who could tell it, of a fact.

    """

    case_id: str
    state: str
    version: int
    amount_fen: int
    trigger: str
    by: str | None
    may: bool | None
    dest: str | None = None
    role: str | None = None
    row: Row | None = None
    kept: bool = False
    obstacle: Obstacle | None = None
    to_give: list[str] = Field(default_factory=list[str])
    unknown: list[str] = Field(default_factory=list[str])
    looks_up: bool = False
    possible_in: list[str] = Field(default_factory=list[str])
    could: list[Person] = Field(default_factory=list[Person])


class Colleague(Member, Protocol):
    """A staff member with a name."""

    @property
    def name(self) -> str:
        """What they are called."""
        ...


def judge(
    flow: Flow[Any],
    case: Case[Any],
    trigger: str,
    *,
    by: str | None,
    staff: Sequence[Colleague],
    message: Message | None,
    at: datetime,
    lookups: Lookups,
) -> Verdict:
    """May `by` fire the trigger now? `message` is what they would send, where that is known already.

    `staff` is the shop's list, with absences and deputies as they are at `at`, which is aware.
    """
    verdict = Verdict(
        case_id=case.case_id,
        state=case.state,
        version=case.version,
        amount_fen=case.amount_fen,
        trigger=trigger,
        by=by,
        may=False,
        looks_up=trigger in lookups.triggers,
    )
    if case.outcome is not None or flow.is_final(case.state):  # one that was broken off has ended in a wait
        verdict.obstacle = Obstacle(code=ENDED, why=f"the case has ended: it is {case.outcome or case.state}")
        return verdict
    if not flow.rows(case.state, trigger):
        verdict.possible_in = list(dict.fromkeys(row.source for row in flow.rows_of(trigger)))
    known = asides.trigger_named(flow, trigger)
    if message is None and known is not None:
        verdict.to_give = [name for name, what in fields_of(known.message).items() if what.endswith(", required")]
    verdict.could = list(_who_could(flow, case, trigger, staff, message, at, lookups))
    if by is None:
        verdict.may = None
        verdict.obstacle = Obstacle(code=NOT_SAID, why="nobody said who would do it")
        return verdict
    actor, why = actor_named(staff, by, at)
    if actor is None:
        verdict.obstacle = Obstacle(code=NOT_STAFF, why=why or f"{by} may not act")
        return verdict
    if trigger in ASIDES:
        role = _speaks_as(flow, case, trigger, actor, staff, message, at)
        if isinstance(role, Refusal):
            verdict.obstacle = _obstacle(role)
        else:
            verdict.may, verdict.role = True, role.value if role else None
        return verdict
    _ask(flow, Attempt(case, trigger, at, actor, message=message, offering=message is None), verdict, lookups)
    return verdict


def _ask(flow: Flow[Any], attempt: Attempt[Any], verdict: Verdict, lookups: Lookups) -> None:
    """Ask the machine, as the case itself does."""
    fact = flow.triggers[attempt.trigger].kind is TriggerKind.FACT
    not_theirs = flow.refuses_reporter(attempt) if fact else None
    if not_theirs is not None:
        verdict.obstacle = _obstacle(not_theirs)
        return
    found = flow.find_move(attempt)
    passed_over = attempt.refusal
    if isinstance(found, Refusal):
        verdict.obstacle = _obstacle(found)
        if fact:
            verdict.kept = True
            verdict.may = None if attempt.trigger in lookups.consulted else True
        elif found.guard is not None and _may_be_otherwise(found, attempt.trigger, lookups):
            verdict.may, verdict.unknown = None, [found.guard.name]
        return
    verdict.dest, verdict.row = found.dest, _row(found)
    verdict.role = attempt.role.value if attempt.role else None
    verdict.kept = fact and flow.states[attempt.case.state].kind is StateKind.WORK
    refused_by_shop = attempt.trigger in (lookups.consulted if verdict.kept else lookups.triggers)
    verdict.may = None if refused_by_shop else True
    if passed_over is not None:
        verdict.obstacle = _obstacle(passed_over)
    if attempt.offering:
        verdict.unknown = [guard.name for guard in found.only_if if guard.looked_up]


def _may_be_otherwise(refusal: Refusal, trigger: str, lookups: Lookups) -> bool:
    """Whether a condition stands in the way that is read again from the shop when it is sent."""
    return refusal.guard is not None and (refusal.guard.looked_up or trigger in lookups.consulted)


def _speaks_as(
    flow: Flow[Any],
    case: Case[Any],
    aside: str,
    actor: Actor,
    staff: Sequence[Colleague],
    message: Message | None,
    at: datetime,
) -> Role | Refusal | None:
    """The role in which a person says this beside the table, or why they may not, in the order in which a case asks."""
    untimely = asides.untimely(flow.states[case.state], aside)
    if untimely is not None:
        return Refusal(NOT_NOW, untimely)
    opener_left = case.opened_by not in {one.id for one in staff}
    role = asides.speaks_as(flow, case, aside, actor, opener_left=opener_left)
    if isinstance(role, Refusal):
        return role
    why = asides.room_for(case, aside) or asides.untimely_in(case, aside, at)
    if why is not None:
        return Refusal(NOT_NOW, why)
    if aside == REASSIGN and isinstance(message, Reassign):
        person, absent = actor_named(staff, message.to, at)
        if person is None:
            return Refusal(NOT_STAFF, asides.TO_NOBODY if absent in (None, NOBODY) else absent)
        taken = asides.taken_by(flow, case, person, at)
        return taken if isinstance(taken, Refusal) else role
    return role


def _who_could(
    flow: Flow[Any],
    case: Case[Any],
    trigger: str,
    staff: Sequence[Colleague],
    message: Message | None,
    at: datetime,
    lookups: Lookups,
) -> Iterable[Person]:
    for member in staff:
        actor, _ = actor_named(staff, member.id, at)
        if actor is None:
            continue
        dest: str | None = None
        if trigger in ASIDES:
            role = _speaks_as(flow, case, trigger, actor, staff, message, at)
            if isinstance(role, Refusal):
                continue
        else:
            attempt = Attempt(case, trigger, at, actor, message=message, offering=True)
            found = flow.find_move(attempt)
            role = attempt.role
            if not isinstance(found, Refusal):
                dest = found.dest
            elif flow.triggers[trigger].kind is TriggerKind.FACT:
                # as in `_ask`: a fact is kept, so whoever may tell it could
                if flow.refuses_reporter(attempt) is not None:
                    continue
                role = next(one for one in flow.roles_of(trigger) if one in actor.grants)
            elif not _may_be_otherwise(found, trigger, lookups):
                continue
        yield Person(staff_id=actor.staff_id, name=member.name, role=role.value if role else None, dest=dest)


def _obstacle(refusal: Refusal) -> Obstacle:
    return Obstacle(
        code=refusal.code,
        why=refusal.why,
        row=_row(refusal.row) if refusal.row else None,
        guard=refusal.guard.name if refusal.guard else None,
        limit_fen=refusal.limit_fen if refusal.guard else None,
    )


def _row(row: Move[Any]) -> Row:
    return Row(
        trigger=row.trigger,
        source=row.source,
        dest=row.dest,
        roles=[role.value for role in row.roles],
        only_if=[guard.name for guard in row.only_if],
    )
