"""What an open case will do by itself if nobody acts: asked of the machine that will do it, as far as that can tell.

Pure. What depends on the outside is said to be unknown: what the work in a state brings about, what a poll
shows, what is read from the shop only then.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, Field, ValidationError

from casework.case import Case
from casework.deadlines import due_at
from casework.details import expected, paid_by_silence
from casework.lookups import Lookups, lookups_of
from casework.waiting import case_from
from state_machines.roles import Automatic
from state_machines.table import Attempt, Flow, Move, Refusal, State, StateKind, TriggerKind

MOST_STEPS: Final = 100
"""An alarm sounds again and again: so many steps of one case are told at most."""
SILENCE: Final = timedelta(hours=24)
"""For so long an inbox tells how much money leaves if nobody acts."""


class Unknown(StrEnum):
    """Why the machine alone cannot tell."""

    WATCHES = "watches"
    """The case polls the courier and the shop while it waits: what it finds may move it before."""
    READS = "reads"
    """The shop is read before the clock's row is taken, or when the state is entered."""
    KEPT = "kept"
    """A fact that somebody has told already is tried there first."""
    WORKS = "works"
    """The case does something there that may turn out one way or another."""


class Step(BaseModel):
    """What the clock, or work with one way to end, does at `at`; `pays_fen` (fen) leaves by it.

    `unknown`: why it may come otherwise; empty where the machine alone can tell.
    """

    trigger: str
    source: str
    dest: str
    at: datetime
    pays_fen: int
    unknown: list[Unknown]


class Course(BaseModel):
    """An open case and what it will do by itself; `then_unknown` says why nobody knows what follows the last step."""

    case_id: str
    flow: str
    order_id: str
    state: str
    amount_fen: int
    roles: list[str]
    due: datetime | None
    steps: list[Step] = Field(default_factory=list[Step])
    then_unknown: list[Unknown] = Field(default_factory=list[Unknown])

    @property
    def leaves_fen(self) -> int:
        """What is sent for payment for certain, in fen; how a payment ends nobody knows."""
        return sum(step.pays_fen for step in self.steps if not step.unknown)

    @property
    def may_leave_fen(self) -> int:
        """What is sent for payment besides unless the outside is in the way, in fen."""
        return sum(step.pays_fen for step in self.steps if step.unknown)


def course_of(flow: Flow[Any], case: Case[Any], *, now: datetime, until: datetime, lookups: Lookups) -> Course:
    """What the case will do by itself until `until`, as seen at `now` (both aware). The case is left as it is.

    It pays at most once: how a payment ends nobody knows, so nothing is told beyond it.
    """
    return _play(flow, case.model_copy(deep=True), now=now, until=until, lookups=lookups)


def _play(flow: Flow[Any], case: Case[Any], *, now: datetime, until: datetime, lookups: Lookups) -> Course:
    """As `course_of`, with a case that nobody else needs: it is moved."""
    course = Course(
        case_id=case.case_id,
        flow=case.flow,
        order_id=case.order_id,
        state=case.state,
        amount_fen=case.amount_fen,
        roles=[role.value for role in expected(flow, case)],
        due=case.due,
    )
    unknown: list[Unknown] = []
    at = now
    while len(course.steps) < MOST_STEPS:
        state = flow.states[case.state]
        if state.kind is StateKind.END:
            break
        pays_fen = 0
        if state.kind is StateKind.WORK:
            move = _only_way(flow, state)
            if move is None:
                course.then_unknown = [Unknown.WORKS]
                break
            attempt = Attempt(case, move.trigger, at, automatic=Automatic.SYSTEM)
        else:
            unknown = [*unknown, *(one for one in _unknown_in(flow, case, state, lookups) if one not in unknown)]
            if state.deadline is None:
                course.then_unknown = unknown
                break
            if case.due is None:
                case.entered_at, case.due = at, due_at(flow, case, state, at)
            if case.due > until:
                break
            at = max(at, case.due)
            attempt = Attempt(case, state.deadline.trigger, case.due, automatic=Automatic.CLOCK)
            found = flow.find_move(attempt)
            if isinstance(found, Refusal):
                course.then_unknown = [*unknown, Unknown.READS]
                break
            move, pays_fen = found, paid_by_silence(flow, case, found)
        course.steps.append(
            Step(
                trigger=move.trigger,
                source=move.source,
                dest=move.dest,
                at=at,
                pays_fen=pays_fen,
                unknown=unknown,
            )
        )
        flow.take(move, attempt)
    return course


def course_told(told: dict[str, Any], *, now: datetime, until: datetime) -> Course | None:
    """As `course_of`, of a case as it told the shop; None for a flow, or a version, that is not known here."""
    try:
        flow, case = case_from(told)
    except (KeyError, ValidationError):
        return None
    return _play(flow, case, now=now, until=until, lookups=lookups_of(flow))


def _unknown_in(flow: Flow[Any], case: Case[Any], state: State, lookups: Lookups) -> list[Unknown]:
    found: list[Unknown] = []
    if state.watch is not None:
        found.append(Unknown.WATCHES)
    trigger = state.deadline.trigger if state.deadline else ""
    read = any(guard.looked_up for row in flow.rows(state.name, trigger) for guard in row.only_if)
    entered = case.due is None
    if read or trigger in lookups.triggers or (entered and state.name in lookups.states):
        found.append(Unknown.READS)
    if entered and any(flow.rows(state.name, fact.trigger) for fact in case.kept):
        found.append(Unknown.KEPT)
    return found


def _only_way(flow: Flow[Any], state: State) -> Move[Any] | None:
    """The one way in which the work of a state can end, where there is no other."""
    ways = [
        row
        for row in flow.rows(state.name)
        if Automatic.SYSTEM in row.who and flow.triggers[row.trigger].kind is TriggerKind.OUTCOME
    ]
    return ways[0] if len(ways) == 1 and not ways[0].only_if else None
