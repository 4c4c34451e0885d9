"""Whether somebody may do something in a case now, and what stands in the way: the flow's own machine says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel, Field

from casework.authority import Member, actor_named
from casework.case import Actor, Case
from casework.lookups import Lookups
from casework.messages import Message, fields_of
from state_machines.table import Attempt, Flow, Move, Refusal, StateKind, TriggerKind

NOT_STAFF, ENDED, NOT_SAID = "staff", "ended", "not_said"
"""Codes of a no besides the machine's own: who asks may not act at all; the case is over; nobody said who asks."""


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
    """Somebody who is present and could do it now, in which role, and where it would lead."""

    staff_id: str
    name: str
    role: str | None
    dest: str | None


class Verdict(BaseModel):
    """Whether somebody may fire a trigger in a case as it is; None: that depends on what is looked up when it is sent.

    Attributes:
        dest: where it would lead.
        role: in which role.
        row: the row that would be taken.
        kept: it is a fact that no row of this state uses: it would be kept until one does.
        obstacle: what stands in the way; of a yes, what stands in the way of a row before the one taken.
        to_give: the fields that must still be given with it.
        unknown: conditions that are looked up only when it is sent.
        looks_up: whether the shop is read, or written to, before the case moves: it may refuse then.
        possible_in: the states that have a row for it, where this one has none.
        could: who is present and could do it now.

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

    `staff` is the shop's list, with absences and deputies as they are now.
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
    if flow.is_final(case.state):
        verdict.obstacle = Obstacle(code=ENDED, why=f"the case has ended: it is {case.outcome or case.state}")
        return verdict
    if not flow.rows(case.state, trigger):
        verdict.possible_in = list(dict.fromkeys(row.source for row in flow.rows_of(trigger)))
    if message is None:
        verdict.to_give = [
            name for name, what in fields_of(flow.triggers[trigger].message).items() if what.endswith(", required")
        ]
    verdict.could = list(_who_could(flow, case, trigger, staff, message, at))
    if by is None:
        verdict.may = None
        verdict.obstacle = Obstacle(code=NOT_SAID, why="nobody said who would do it")
        return verdict
    actor, why = actor_named(staff, by, at)
    if actor is None:
        verdict.obstacle = Obstacle(code=NOT_STAFF, why=why or f"{by} may not act")
        return verdict
    _ask(flow, Attempt(case, trigger, at, actor, message=message, offering=message is None), verdict)
    return verdict


def _ask(flow: Flow[Any], attempt: Attempt[Any], verdict: Verdict) -> None:
    """Ask the machine, as the case itself does."""
    fact = flow.triggers[attempt.trigger].kind is TriggerKind.FACT
    not_theirs = flow.refuses_news(attempt) if fact else None
    if not_theirs is not None:
        verdict.obstacle = _obstacle(not_theirs)
        return
    moved = flow.fire(attempt)
    passed_over = attempt.refusal
    if isinstance(moved, Refusal):
        verdict.obstacle = _obstacle(moved)
        if fact:
            verdict.may = verdict.kept = True
        elif moved.guard is not None and moved.guard.looked_up:
            verdict.may, verdict.unknown = None, [moved.guard.name]
        return
    verdict.may, verdict.dest, verdict.row = True, moved.dest, _row(moved)
    verdict.role = attempt.role.value if attempt.role else None
    if fact and flow.states[attempt.case.state].kind is StateKind.WORK:
        verdict.kept = True
    if passed_over is not None:
        verdict.obstacle = _obstacle(passed_over)
    if attempt.offering:
        verdict.unknown = [guard.name for guard in moved.only_if if guard.looked_up]


def _who_could(
    flow: Flow[Any], case: Case[Any], trigger: str, staff: Sequence[Colleague], message: Message | None, at: datetime
) -> Iterable[Person]:
    for member in staff:
        actor, _ = actor_named(staff, member.id, at)
        if actor is None:
            continue
        attempt = Attempt(case, trigger, at, actor, message=message, offering=True)
        moved = flow.fire(attempt)
        if not isinstance(moved, Refusal):
            yield _person(member, actor, attempt, moved)


def _person(member: Colleague, actor: Actor, attempt: Attempt[Any], moved: Move[Any]) -> Person:
    return Person(
        staff_id=actor.staff_id,
        name=member.name,
        role=attempt.role.value if attempt.role else None,
        dest=moved.dest,
    )


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
