"""Comments and other side messages: questions to the opener, who has the case, reminders at once. None moves it.

The rules themselves are `state_machines/asides.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from temporalio import workflow

from activities.staff import Considered
from casework.authority import NOBODY
from casework.case import FULL, Actor, Case, Loan, TrailLine
from casework.changes import COUNTS_BYTES, RECORDS_DECISIONS
from casework.messages import Message, references_of
from casework.names import REMIND
from casework.templates import Post
from state_machines import asides
from state_machines.asides import AnswerQuestion, AskOpener, Comment, Reassign
from state_machines.roles import Automatic, Role
from state_machines.table import Refusal
from workflows.received import Refused, said_in
from workflows.steps import CaseSteps

CaseT = TypeVar("CaseT", bound=Case[Any])


class CaseAsides(CaseSteps[CaseT]):
    """How a case takes a comment or another side message: it goes on the record, and to whom it concerns."""

    async def take_aside(self, aside: str, message: Message, *, by_update: bool) -> None:
        """A comment or other side message is recorded and sent to whom it concerns; the case stays where it is.

        What comes `by_update` is on record before anybody is told of it, as a decision is.
        """
        case = self.case
        if message.by == Automatic.SYSTEM:
            raise Refused("by is system, which may only bring news from the shop")
        to = message.to if isinstance(message, Reassign) else None
        opener = None if case.opened_by == Automatic.SYSTEM else case.opened_by
        actor, others = await self.look_up(message, [one for one in (opener, to) if one is not None])
        opener_left = opener is not None and not others[opener].listed
        role = asides.speaks_as(self.flow, case, aside, actor, opener_left=opener_left)
        if isinstance(role, Refusal):
            raise Refused(role.why)
        full = asides.room_for(case, aside)
        if full is not None and (full != FULL or self.adopts(COUNTS_BYTES)):
            raise Refused(full)
        untimely = asides.untimely_in(case, aside, workflow.now())
        if untimely is not None:
            raise Refused(untimely)
        why, posts = None, list[Post]()
        match message:
            case AskOpener():
                to_whom = self.flow.opened_by if opener is None or opener_left else [opener]
                posts = self._say("question", to_whom, by=actor.staff_id, text=message.question)
                case.asked_by += [actor.staff_id] * (actor.staff_id not in case.asked_by)
            case AnswerQuestion():
                why = f"to {', '.join(case.asked_by)}"
                posts = self._say("answer", case.asked_by, by=actor.staff_id, text=message.text)
                case.asked_by = []
            case Reassign():
                why = f"to {message.to}"
                posts = self._reassign(others[message.to], message.to, actor)
            case Comment():
                pass
            case _ if aside == REMIND:
                why, posts = self._call_upon()
            case _:
                raise NotImplementedError(f"nobody has written what becomes of {aside}")
        if posts:
            if by_update:
                await self.put_on_record(f"{aside} by {actor.staff_id}", since=RECORDS_DECISIONS)
            await self._post(posts)
        line = TrailLine(
            at=workflow.now(),
            by=actor.staff_id,
            role=role,
            trigger=aside,
            source=case.state,
            note=said_in(message),
            accepted=True,
            why=why,
            references=references_of(message),
        )
        asides.note_aside(case, line)
        if not self._is_working():
            self._publish()

    def _reassign(self, looked_up: Considered, to: str, by: Actor) -> list[Post]:
        """Give the case to a person, and have them told."""
        case = self.case
        if looked_up.actor is None:
            why = None if looked_up.why == NOBODY else looked_up.why
            raise Refused(why or asides.TO_NOBODY)
        role = asides.taken_by(self.flow, case, looked_up.actor, workflow.now())
        if isinstance(role, Refusal):
            raise Refused(role.why)
        before = case.loan.before if case.loan else case.assignee
        case.assignee, case.loan = to, None if role == case.OWNED_BY else Loan(role=role, before=before)
        return self._say("reassigned", [to], by=by.staff_id)

    def _call_upon(self) -> tuple[str, list[Post]]:
        """A reminder at once to everybody who is asked to act, and to whom the case was given."""
        case = self.case
        case.called_at = workflow.now()
        asked = asides.asked_in(self.flow, self.flow.states[case.state])
        to_whom = [*asked, *([case.assignee] if case.assignee else [])]
        return f"to {', '.join(to_whom)}", self._say("reminder", to_whom)

    def _say(self, template: str, to_whom: Sequence[str], **parameters: str) -> list[Post]:
        """A task for each role or person, once for each thing that is said."""
        return [
            Post(
                purpose=f"aside.{self.case.said + 1}.{template}.{one}",
                template=template,
                to="staff",
                role=one if isinstance(one, Role) else None,
                person=None if isinstance(one, Role) else one,
                parameters=self._how_it_stands() | parameters,
            )
            for one in to_whom
        ]
