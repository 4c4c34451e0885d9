"""How a case takes a message: is it sound, does the state ask for it, who sends it, does the table agree, what then.

Handlers only append to the inbox; the loop (`workflows/case.py`) has one message after the other answered here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, TypeVar, cast

from pydantic import ValidationError
from temporalio import workflow

from casework.case import FULL, MOST_KEPT, Actor, Answer, Case, KeptFact, TrailLine
from casework.changes import (
    COUNTS_BYTES,
    RECORDS_DECISIONS,
    REFUSES_UNKNOWN,
    SHORTENS_MOVES,
    TRIES_KEPT_AFTER_NEWS,
)
from casework.logs import move_logged
from casework.messages import Message, explain, given_in, is_staff_id, json_object, references_of, unknown_in
from casework.metrics import count_move, count_refusal
from state_machines import asides
from state_machines.asides import ASIDES
from state_machines.common import CANCEL
from state_machines.roles import Automatic
from state_machines.table import ABOUT_THE_PERSON, Attempt, Move, Refusal, Trigger, TriggerKind
from workflows.asides import CaseAsides
from workflows.received import Received, Refused, said_in

CaseT = TypeVar("CaseT", bound=Case[Any])


class CaseMessages(CaseAsides[CaseT]):
    """A case's inbox, and how each message in it is answered."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        super().__init__()
        self._inbox: deque[Received] = deque()
        self._cancels: deque[Received] = deque()
        """Asked for while a piece of work was under way: read between two pieces of work."""
        self._waiting_for_answer: dict[str, Received] = {}
        self._bad_start: str | None = None
        """Why the case cannot begin."""
        self._taken = 0
        """How many messages and timers it has taken since it last asked whether its history is long."""

    def receive(self, name: str, arguments: Sequence[Any], *, by_update: bool = False) -> Received:
        """Check what came and append it to the inbox. Never raises."""
        received = self._parse(name, arguments)
        received.by_update = received.awaited = by_update
        key = received.key
        if key is not None:
            first = self._waiting_for_answer.get(key)
            if first is not None and first.content == received.content:
                first.awaited = first.awaited or by_update
                return first
            known = self._bad_start is None and self.case.answers.get(key)
            if known and known.content == received.content:
                received.answer = known
            elif first is not None or known:
                received.problem = "its id was used before for another message"
        self._put(received)
        return received

    def _put(self, received: Received) -> None:
        if received.key is not None and received.problem is None and received.answer is None:
            self._waiting_for_answer[received.key] = received
        self._inbox.append(received)

    def bring_news(self, trigger: str) -> None:
        """The case brings itself news of the shop, which it has just seen; it is read like any other message."""
        self._inbox.append(self._parse(trigger, [{"by": Automatic.SYSTEM.value}]))

    def _parse(self, name: str, arguments: Sequence[Any]) -> Received:
        seen = 0 if self._bad_start else self.case.version
        received = Received(trigger=name, at=workflow.now(), seen=seen)
        try:
            given = json_object(tuple(arguments))
            by = given.get("by")
            if isinstance(by, str) and is_staff_id(by):
                received.claimed_by = by
            trigger = self._trigger(name)
            message = trigger.message.model_validate(given)
            received.unknown = unknown_in(given, message)
            if received.unknown is not None and not self._bad_start and self.case.has_adopted(REFUSES_UNKNOWN):
                raise ValueError(received.unknown)
            received.message = message
            content = f"{name} {received.message.model_dump_json(exclude={'version'})}"
            received.content = sha256(content.encode()).hexdigest()[:16]
        except ValidationError as error:
            received.problem = explain(error)
        except ValueError as error:
            received.problem = str(error)
        return received

    def _trigger(self, name: str) -> Trigger:
        trigger = asides.trigger_named(self.flow, name)
        if trigger is None:
            raise ValueError("there is no such trigger in this flow")
        return trigger

    async def _take_cancel(self) -> bool:
        """Between two pieces of work: call the case off if that was asked while one was under way."""
        here = self.case.version
        if self._is_working():  # a wait takes its messages in the order in which they came
            asked = [one for one in self._inbox if one.trigger == CANCEL and one.problem is None and one.answer is None]
            for received in asked:
                self._inbox.remove(received)
            self._cancels.extend(asked)
        while self._cancels and self.case.version == here:
            await self._answer(self._cancels.popleft(), waited_for_work=True)
        return self.case.version != here

    async def _answer_one(self) -> None:
        received = self._inbox.popleft()
        self._taken += 1
        if received.answer is not None:  # sent again
            return
        if received.trigger == CANCEL and received.problem is None and self._is_working():
            self._cancels.append(received)
            return
        await self._answer(received)

    async def _answer(self, received: Received, *, waited_for_work: bool = False) -> None:
        """Still this state? Who is it? May they? Does it move? Every way out of here gives an answer."""
        self._on_record = None
        try:
            self._refuse_unsound(received)
            self._refuse_untimely(received)
            if received.trigger in ASIDES:
                await self.take_aside(received.trigger, cast("Message", received.message), by_update=received.by_update)
                return self._settle_answer(received, accepted=True)
            attempt = await self._who_is_asking(received)
            if self.flow.triggers[received.trigger].kind is TriggerKind.FACT:
                return await self._take_fact(received, attempt)
            # Temporal's own cancel (no message) is meant for the case, wherever it is: it comes only once
            if received.message is not None and received.seen != self.case.version and not waited_for_work:
                raise Refused("the case has moved on since")
            found = self.flow.find_move(attempt)
            if not isinstance(found, Refusal) or (found.code not in ABOUT_THE_PERSON and self._consults(attempt)):
                await self._put_message_on_record(received, attempt)
                if await self._consult(attempt):
                    found = self.flow.find_move(attempt)
            if isinstance(found, Refusal):
                raise Refused(found.why)
            await self._accept(received, attempt, found)
        except Refused as refused:
            self._refuse(received, str(refused))

    async def _who_is_asking(self, received: Received) -> Attempt[CaseT]:
        """The attempt that the message stands for; people are looked up now, never believed beyond their id."""
        message = received.message
        if message is None:  # Temporal's own cancel
            return self._attempt(received.trigger, automatic=Automatic.SYSTEM)
        if message.by == Automatic.SYSTEM:
            if not self.flow.triggers[received.trigger].from_shop:
                raise Refused("by is system, which may only bring news from the shop")
            if message.note is not None:
                # nobody has looked whether it holds personal data
                received.message = message.model_copy(update={"note": None})
                raise Refused("by is system, which leaves no note")
            return self._attempt(received.trigger, automatic=Automatic.SYSTEM, message=message)
        actor, _ = await self.look_up(message)
        return self._attempt(received.trigger, actor=actor, message=message)

    def _refuse_unsound(self, received: Received) -> None:
        """Refuse what is malformed, or holds what nobody understands.

        The latter once more: a message that comes with the start does so before the case knows by which changes it
        goes.
        """
        if self.case.has_adopted(REFUSES_UNKNOWN):
            received.problem = received.problem or received.unknown
        if received.problem is not None:
            raise Refused(received.problem)

    def _refuse_untimely(self, received: Received) -> None:
        """Refuse a decision that this state does not ask for, or that was made for an earlier one."""
        if received.trigger in ASIDES:
            untimely = asides.untimely(self.flow.states[self.case.state], received.trigger)
            if untimely is not None:
                raise Refused(untimely)
            return
        if self.flow.triggers[received.trigger].kind is TriggerKind.FACT:
            return
        version = received.message.version if received.message else None
        if version is not None and version != received.seen:
            raise Refused(f"the case has moved on since: version {version} was seen, it is at {received.seen}")
        if not self.flow.rows(self.case.state, received.trigger):
            raise Refused(f"{received.trigger} is not possible in {self.case.state}")

    async def _take_fact(self, received: Received, attempt: Attempt[CaseT]) -> None:
        """A fact is true whenever it arrives: used now, or kept until a state can use it."""
        not_theirs = self.flow.refuses_reporter(attempt)
        if not_theirs is not None:
            raise Refused(not_theirs.why)
        if not self._is_working() and self.flow.rows(self.case.state, received.trigger):
            await self._put_message_on_record(received, attempt)
        await self._consult(attempt)
        if not self._is_working():
            found = self.flow.find_move(attempt)
            if not isinstance(found, Refusal):
                return await self._accept(received, attempt, found)
        message = cast("Message", received.message)
        self.flow.note_involvement(attempt)
        if attempt.automatic and any(kept.trigger == received.trigger for kept in self.case.kept):
            # the shop's news says only "look again": once is enough
            return self._settle_answer(received, accepted=True)
        if len(self.case.kept) >= MOST_KEPT:
            raise Refused(f"{MOST_KEPT} facts are kept already that no state has used")
        # the shop's news are small, and only once of a kind
        if not attempt.automatic and self.case.is_full() and self.adopts(COUNTS_BYTES):
            raise Refused(FULL)
        self.case.kept.append(
            KeptFact(
                at=received.at,
                trigger=received.trigger,
                by=message.by,
                actor=attempt.actor or Actor(staff_id=message.by),
                payload=message.model_dump(mode="json", exclude_none=True),
            )
        )
        return self._settle_answer(received, accepted=True)

    async def _use_kept_fact(self) -> bool:
        """Try every kept fact, oldest first, before the clock; each is used once."""
        for kept in list(self.case.kept):
            if not self.flow.rows(self.case.state, kept.trigger):
                continue
            trigger = self.flow.triggers[kept.trigger]
            from_shop = kept.by == Automatic.SYSTEM
            attempt = self._attempt(
                kept.trigger,
                actor=None if from_shop else kept.actor,
                automatic=Automatic.SYSTEM if from_shop else None,
                message=trigger.message.model_validate(kept.payload),
            )
            received = Received(
                kept.trigger, kept.at, self.case.version, attempt.message, claimed_by=kept.by, was_kept=True
            )
            try:
                # the work in which it came, and an update with it, are in no history yet
                await self.put_on_record(f"{kept.trigger} by {kept.by}", since=RECORDS_DECISIONS)
                attempt.at = workflow.now()
                await self._consult(attempt)
                found = self.flow.find_move(attempt)
                if not isinstance(found, Refusal):
                    self.case.kept.remove(kept)
                    await self._accept(received, attempt, found)
                    return True
            except Refused as refused:
                if kept in self.case.kept:
                    self.case.kept.remove(kept)
                self._refuse(received, str(refused))
                await self._tell_what_changed()
        return False

    def _may_help_kept_facts(self, received: Received) -> bool:
        """Whether a message that has moved nothing brought news from the shop, by which a kept fact may count now."""
        trigger = self.flow.triggers.get(received.trigger)
        return (
            trigger is not None
            and trigger.from_shop
            and received.problem is None
            and any(self.flow.rows(self.case.state, kept.trigger) for kept in self.case.kept)
            and self.adopts(TRIES_KEPT_AFTER_NEWS)
        )

    def leave_unused(self, kept: KeptFact, why: str) -> None:
        """A kept fact that will not be used is in the trail, with the reason."""
        self.case.kept.remove(kept)
        self.case.note_refused(
            TrailLine(
                at=workflow.now(),
                by=kept.by,
                trigger=kept.trigger,
                source=self.case.state,
                accepted=False,
                why=f"unused: {why}",
            )
        )

    async def _put_message_on_record(self, received: Received, attempt: Attempt[CaseT]) -> None:
        """What may move the case is on record before anything comes of it.

        A signal is: it stands in the history before all that has come since. An update, Temporal has in memory only
        until a workflow task is done, and its own cancel comes after all signals where a task is played again.
        """
        if received.by_update or received.message is None:
            await self.put_on_record(f"{received.trigger} by {received.claimed_by}", since=RECORDS_DECISIONS)
            attempt.at = workflow.now()

    def _consults(self, attempt: Attempt[CaseT]) -> bool:
        """Whether the flow has anything to read in the shop for the trigger."""
        return hasattr(self, f"consult_{attempt.trigger}")

    async def _consult(self, attempt: Attempt[CaseT]) -> bool:
        """Read the shop before the table is asked; whether there was anything to read."""
        if not self._consults(attempt):
            return False
        await getattr(self, f"consult_{attempt.trigger}")(attempt)
        return True

    async def _accept(self, received: Received, attempt: Attempt[CaseT], move: Move[CaseT]) -> None:
        """The table agrees: do what must be done in the shop before the move, then make it."""
        effect = getattr(self, f"effect_{attempt.trigger}", None)
        if effect is not None:
            involved = list(self.case.involved)
            # a case that the effect opens is told of everybody who has a part in this one
            self.flow.note_involvement(attempt)
            try:
                await effect(attempt)
            except Refused:
                self.case.involved = involved
                raise
        await self._make_move(move, attempt, by=received.claimed_by)
        return self._settle_answer(received, accepted=True)

    def _attempt(
        self,
        trigger: str,
        *,
        actor: Actor | None = None,
        automatic: Automatic | None = None,
        message: Message | None = None,
    ) -> Attempt[CaseT]:
        return Attempt(self.case, trigger, workflow.now(), actor, automatic, message)

    async def _make_move(self, move: Move[CaseT], attempt: Attempt[CaseT], *, by: str, why: str | None = None) -> None:
        case = self.case
        on_record = self._on_record == case.version
        self.flow.take(move, attempt)
        line = TrailLine(
            at=workflow.now(),
            by=by,
            role=attempt.role,
            trigger=move.trigger,
            source=move.source,
            dest=move.dest,
            note=said_in(attempt.message),
            accepted=True,
            why=why,
            references=references_of(attempt.message),
            given=given_in(attempt.message),
        )
        if case.has_adopted(SHORTENS_MOVES):
            case.shorten(line)
        case.trail.append(line)
        self._on_record = case.version if on_record else None
        if not workflow.unsafe.is_replaying():
            move_logged(
                case=case.case_id,
                trigger=move.trigger,
                source=move.source,
                dest=move.dest,
                by=by,
                role=attempt.role,
            )
            count_move(flow=case.flow, trigger=move.trigger, dest=move.dest)
        after = getattr(self, f"after_{move.trigger}", None)
        if after is not None:
            await after()

    def _refuse(self, received: Received, why: str) -> None:
        # the note of a refused message is not repeated: nobody has looked whether it holds personal data
        self.case.note_refused(
            TrailLine(
                at=workflow.now(),
                by=received.claimed_by,
                trigger=received.trigger or "submit",
                source=self.case.state,
                accepted=False,
                why=why,
            )
        )
        if not workflow.unsafe.is_replaying():
            count_refusal(flow=self.case.flow, trigger=received.trigger, state=self.case.state)
        self._settle_answer(received, accepted=False, why=why)

    def _settle_answer(self, received: Received, *, accepted: bool, why: str | None = None) -> None:
        answer = Answer(
            trigger=received.trigger,
            by=received.claimed_by,
            content=received.content,
            accepted=accepted,
            why=why,
        )
        received.answer = answer
        key = received.key
        if key is None:
            return
        if self._waiting_for_answer.get(key) is received:
            del self._waiting_for_answer[key]
        # what was wrong is sent again, mended, under the same id; a kept fact was answered when it was kept
        if received.problem is None and not received.was_kept:
            self.case.remember_answer(key, answer)

    def _answer_late(self) -> None:
        self._inbox.extend(self._cancels)
        self._cancels.clear()
        while self._inbox:
            received = self._inbox.popleft()
            if received.answer is None:
                self._refuse(received, received.problem or "the case has ended")
