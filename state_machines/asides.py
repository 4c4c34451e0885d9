"""What people may say beside every flow's table, written once: it moves neither the state, the version nor a deadline.

Asides are no rows: each is a signal of its own name, and goes through update `submit`, in every wait of every flow; a
comment also while the case works. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import Field

from casework.case import FULL, Actor, Case, TrailLine
from casework.messages import Message, Reference, StaffId, Text
from casework.names import ANSWER, ASK_OPENER, COMMENT, REASSIGN, REMIND
from state_machines.common import CANCEL
from state_machines.roles import Automatic, Label, Role
from state_machines.table import Attempt, Flow, Refusal, State, StateKind, Trigger, TriggerKind

REMIND_AGAIN: Final = timedelta(hours=1)
"""So long after people were reminded by hand they may be again."""
MOST_SAID: Final = 100
"""So many comments, questions and answers a case takes: it is carried whole in one Temporal payload."""
MOST_CALLS: Final = 50
"""So many reassignments and reminders its trail lists; an older one falls out of it."""


class AskOpener(Message):
    """A question to who opened the case."""

    question: Text = Field(description="text of 1 to 500 characters")


class AnswerQuestion(Message):
    """The answer to the questions that are open."""

    text: Text = Field(description="text of 1 to 500 characters")


class Reassign(Message):
    """Whose case it is from now on."""

    to: StaffId = Field(description="a staff id: present, in a role that the state expects")


class Comment(Message):
    """Something that is to stay on the record."""

    text: Text = Field(description="text of 1 to 500 characters")
    references: Annotated[list[Reference], Field(max_length=10)] = Field(
        default=[], description="list of up to 10 references to evidence of 1 to 200 characters"
    )


def _aside(name: str, zh: str, en: str, message: type[Message] = Message) -> Trigger:
    return Trigger(name, Label(zh, en), TriggerKind.ASIDE, message)


ASIDES: Mapping[str, Trigger] = {
    one.name: one
    for one in (
        _aside(ASK_OPENER, "询问开单人", "ask the opener", AskOpener),
        _aside(ANSWER, "答复", "answer", AnswerQuestion),
        _aside(REASSIGN, "转交", "reassign", Reassign),
        _aside(REMIND, "催办", "remind"),
        _aside(COMMENT, "留言", "comment", Comment),
    )
}
"""By name, comments and all other side messages of every flow."""
_WORDS = frozenset({ASK_OPENER, ANSWER, COMMENT})
TO_NOBODY: Final = "to names nobody on the staff list"
"""Why a case is not given to somebody whom nobody knows: that may be anybody, so the id is not repeated."""


def trigger_named(flow: Flow[Any], name: str) -> Trigger | None:
    """What a person may send to a case under this name: a trigger of its flow, or an aside."""
    trigger = flow.triggers.get(name)
    return trigger if trigger in flow.signals else ASIDES.get(name)


def may_be_sent(flow: Flow[Any]) -> list[Trigger]:
    """Everything that a person may send to a case of the flow."""
    return [*flow.signals, *ASIDES.values()]


def untimely(state: State, aside: str) -> str | None:
    """Why the aside has no place in this state; None: it has."""
    if state.kind is StateKind.END:
        return "the case has ended"
    if state.kind is StateKind.WORK and aside != COMMENT:
        return f"{aside} is not possible in {state.name}, where the case is at work"
    return None


def asked_in(flow: Flow[Any], state: State) -> tuple[Role, ...]:
    """Who is asked to act in a state; where nobody is in particular: all who have a row there, calling off apart."""
    return state.expects or tuple(
        dict.fromkeys(role for row in flow.rows(state.name) if row.trigger != CANCEL for role in row.roles)
    )


def speaks_as(
    flow: Flow[Any], case: Case[Any], aside: str, actor: Actor, *, opener_left: bool = False
) -> Role | Refusal | None:
    """The role in which a person says this, or why they may not; None: as who opened the case, in no role of the flow.

    Everybody may who has a role in the flow's table, or opened the case, or stands in for who did. Only the opener
    answers; where that is the system, or somebody who has left (`opener_left`), whoever may open such a case. Only who
    may act in the state reassigns.
    """
    state = flow.states[case.state]
    here = (*asked_in(flow, state), *(role for row in flow.rows(case.state) for role in row.roles))
    openers, anywhere = flow.opened_by, tuple(role for row in flow.moves for role in row.roles)
    opened = case.opened_by == actor.staff_id or case.opened_by in actor.stands_in_for
    wanted = (*here, *anywhere, *openers)
    if aside == REASSIGN:
        wanted, opened = here, False
    elif aside == ANSWER:
        wanted = (*openers, *wanted) if opened else openers
        if not opened and not opener_left and case.opened_by != Automatic.SYSTEM:
            return Refusal("role", f"{ANSWER} is for {case.opened_by}, who opened this case")
    role = next((role for role in wanted if role in actor.grants), None)
    if role is None and not opened:
        where = f" in {case.state}" if aside == REASSIGN else ""
        return Refusal("role", f"{aside}{where} is for {' or '.join(dict.fromkeys(wanted))}")
    return role


def taken_by(flow: Flow[Any], case: Case[Any], person: Actor, at: datetime) -> Role | Refusal:
    """The role in which a person takes the case over where it waits, or why they cannot.

    The table itself is asked: somebody whom it would refuse everything that the state asks for is no help. `at` is
    aware.
    """
    wanted = asked_in(flow, flow.states[case.state])
    role = next((role for role in wanted if role in person.grants), None)
    if role is None:
        return Refusal("role", f"{person.staff_id} is not {' or '.join(wanted)}, for whom {case.state} waits")
    asked_for = dict.fromkeys(row.trigger for row in flow.rows(case.state) if set(wanted) & set(row.roles))
    tried = [flow.find_move(Attempt(case, one, at, person, offering=True)) for one in asked_for if one != CANCEL]
    refused = [one for one in tried if isinstance(one, Refusal)]
    if len(refused) < len(tried):
        return role
    return next((one for one in refused if one.code == "four_eyes"), role)


def room_for(case: Case[Any], aside: str) -> str | None:
    """Why the case takes no more of it; None: it does."""
    said = sum(1 for line in case.trail if line.accepted and line.trigger in _WORDS)
    if aside in _WORDS and said >= MOST_SAID:
        return f"{MOST_SAID} comments, questions and answers stand in this case; it takes no more"
    return FULL if aside in _WORDS and case.is_full() else None


def untimely_in(case: Case[Any], aside: str, at: datetime) -> str | None:
    """Why the aside has no place in the case at that time (aware), whoever says it; None: it has."""
    if aside == ANSWER and not case.asked_by:
        return "no question waits for an answer; comment puts something on the record"
    if aside == REMIND and case.called_at is not None and at < case.called_at + REMIND_AGAIN:
        again = case.local_time(case.called_at + REMIND_AGAIN)
        return f"people were reminded less than an hour ago; again from {again} on"
    return None


def note_aside(case: Case[Any], line: TrailLine) -> None:
    """Put it in the trail. Of reassignments and reminders only the newest are listed; words all."""
    case.said += 1
    case.trail.append(line)
    calls = [one for one in case.trail if one.accepted and one.trigger in (REASSIGN, REMIND)]
    if len(calls) > MOST_CALLS:
        case.trail.remove(calls[0])
