"""The case loop that all flows share: do what the state asks, fire the trigger that comes out, until a final state.

Handlers only check and append; the loop alone moves the case, one message at a time. So two approvals in one
workflow task never become two steps, and nothing that a stranger sends can wedge the workflow task.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, ClassVar, TypeVar, cast

from pydantic import ValidationError
from pydantic_core import to_json
from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError

from activities.cases import CaseActivities, CloseCase, OpenCase
from casework import names
from casework.case import FULL, MOST_KEPT, Actor, Answer, Case, CaseView, KeptFact, TrailLine
from casework.changes import (
    CONTINUES_AFTER_UPDATES,
    CONTINUES_AT_TIMER,
    COUNTS_BYTES,
    COUNTS_QUIETLY,
    ONE_STEP_AT_A_TIME,
    RECORDS_DECISIONS,
    RECORDS_FIRST,
    REFUSES_UNKNOWN,
    REMINDS_FROM_COUNT,
    SHORTENS_MOVES,
    TELLS_CHANGES,
    TELLS_OF_RESET,
)
from casework.deadlines import due_at, remind_at
from casework.details import (
    current_details,
    view_of,
)
from casework.diagram import mermaid
from casework.logs import move_logged
from casework.messages import (
    Message,
    explain,
    given_in,
    is_staff_id,
    json_object,
    references_of,
    unknown_in,
)
from casework.metrics import count_move, count_refusal
from casework.money import LineQuantity
from casework.names import is_case_id
from casework.privacy import find_mobile_number
from casework.templates import ENDINGS, Post
from state_machines import asides
from state_machines.asides import ASIDES
from state_machines.common import CANCEL
from state_machines.roles import Automatic
from state_machines.table import (
    ABOUT_THE_PERSON,
    Attempt,
    Move,
    Refusal,
    State,
    StateKind,
    Trigger,
    TriggerKind,
)
from workflows.asides import CaseAsides
from workflows.inbox import Received, Refused, said_in
from workflows.steps import SHORTEST_WAIT

CaseT = TypeVar("CaseT", bound=Case[Any])

TAKEN_BEFORE_ASKING = 10
"""After so many messages and timers a case asks whether its history is long."""
ASKS_WHETHER_LONG, CONTINUES_IF_LONG = "is the history long?", "continue as new, if it is"
"""The summaries of the timers at which a case asks for the length of its history, and continues as new."""
MOST_CARRIED_BYTES = 1_500_000
"""With unread messages a case continues as new only if it and they are smaller than this: Temporal takes 2 MB."""
MOST_LOOKS = 100
"""After so many polls of courier and shop a case continues as new: each is about a dozen events."""
REMINDER, WATCH, OWN_ALARM = "reminder", "watch", "alarm"
"""What a timer rings for, besides the deadline's trigger."""
TEMPORAL = "temporal"
"""Who acts when the case is cancelled through Temporal itself."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out of a state's work: the trigger to fire, and the reason for the trail."""

    trigger: str
    why: str | None = None


@dataclass(frozen=True, slots=True)
class _Timer:
    """A timer under way, and what it rings for."""

    task: asyncio.Task[None]
    rings_for: str


class HoleInTable(Exception):
    """The work or the clock fired what the table does not allow: a fault of ours, never of whoever sent something."""


class CaseWorkflow(CaseAsides[CaseT]):
    """A case as a Temporal workflow. Subclasses bring one method per state, named as the state.

    A method of a state that works is a coroutine and returns the `Outcome`; one of a state that waits returns what is
    to be posted on entry. `consult_<trigger>` reads the shop before the table is asked (also before the clock's rows).
    `effect_<trigger>` is done once the table has agreed and before the move is made: what is checked beyond the table,
    or written to the shop. Both may raise `Refused` of somebody's message.
    `after_<trigger>` follows the move, whoever made it. `begin_<state>` is what is done first where a wait is entered.
    `watch` polls the courier and the shop, where a state watches.
    """

    changes: ClassVar[Sequence[str]] = (
        COUNTS_BYTES,
        TELLS_CHANGES,
        TELLS_OF_RESET,
        CONTINUES_AFTER_UPDATES,
        CONTINUES_AT_TIMER,
        ONE_STEP_AT_A_TIME,
        SHORTENS_MOVES,
        COUNTS_QUIETLY,
        REFUSES_UNKNOWN,
        RECORDS_FIRST,
        RECORDS_DECISIONS,
        REMINDS_FROM_COUNT,
    )
    """The names of the changes that a newly opened case goes by; one from an older version asks: see `goes_by`."""

    # --- in ---

    def open(self, start: Sequence[Any]) -> None:
        """Set everything up before any handler runs. Never raises: a bad start is told from `run_case`."""
        super().__init__()
        self._inbox: deque[Received] = deque()
        self._cancels: deque[Received] = deque()
        """Asked for while a piece of work was under way: read between two pieces of work."""
        self._waiting_for_answer: dict[str, Received] = {}
        self._bad_start: str | None = None
        self._cancel_heard = False
        self._look: asyncio.Task[Outcome | None] | None = None
        """A poll of courier and shop that is under way, also while the case moves on."""
        self._look_again = timedelta(0)
        self._looks = 0
        self._taken = 0
        """How many messages and timers it has taken since it last asked whether its history is long."""
        self._continues = False
        """Whether the timer runs at which it may continue as new."""
        self._event_loop = asyncio.get_running_loop()
        workflow.register_random_seed_callback(self._note_reset)
        try:
            self._read_start(tuple(start))
        except ValidationError as error:
            self._bad_start = explain(error)
        except ValueError as error:
            self._bad_start = str(error)

    def _read_start(self, arguments: tuple[Any, ...]) -> None:
        given = json_object(arguments)
        info = workflow.info()
        if info.cron_schedule:
            raise ValueError("a case is not started by a schedule of its own")
        if "carried" in given:
            only = "carried is only for the continuation of a case"
            if not info.continued_run_id:
                raise ValueError(only)
            self.case = self.flow.case_type.model_validate(given["carried"])
            # nobody but the run before this one knows the first run's id
            if (self.case.case_id, self.case.run_id) != (info.workflow_id, info.first_execution_run_id):
                raise ValueError(only)
            for unread in given.get("unread", ()):
                self._put(Received.carried_over(self.flow, unread))
            return
        start = self.flow.start_type.model_validate(given)
        parent = info.parent.workflow_id if info.parent else None
        if start.from_case is not None and start.from_case != parent:
            raise ValueError("from_case is not the workflow that opened this case")
        if start.by == Automatic.SYSTEM and start.from_case is None:
            raise ValueError("by is system, which only another case may say")
        self.case = self.flow.case_type.initial(
            start,
            flow=self.flow.name,
            state=self.flow.initial,
            case_id=info.workflow_id,
            run_id=info.first_execution_run_id,
            at=info.workflow_start_time,
        )
        self._start_fields = given

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
            if received.unknown is not None and not self._bad_start and self.case.opened_with(REFUSES_UNKNOWN):
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

    # --- handlers ---

    @workflow.signal(dynamic=True)
    def unknown_signal(self, name: str, arguments: Sequence[RawValue]) -> None:  # noqa: ARG002 - the SDK gives them
        """A signal that the flow does not know is recorded, never buffered for ever."""
        known = len(name) <= 64 and name.isascii() and name.isidentifier() and not find_mobile_number(name)
        self._inbox.append(
            Received(
                trigger=name if known else "unknown",
                at=workflow.now(),
                seen=0,
                problem="there is no such trigger in this flow",
            )
        )

    @workflow.update(name="submit", description="Act on the case: the signal's object plus `trigger`.")
    async def submit(self, *arguments: Any) -> dict[str, Any]:
        """Put a message in and wait for what becomes of it; answers with the case view after the move."""
        name, rest = self._split_trigger(arguments)
        received = self.receive(name, rest, by_update=True)
        while received.answer is None or self._is_about_to_continue():
            try:
                await workflow.wait_condition(lambda: received.answer is not None and not self._is_about_to_continue())
            except asyncio.CancelledError:
                # A cancelled workflow interrupts the wait; the loop still answers. On eviction the next wait raises.
                continue
        if not received.answer.accepted:
            raise ApplicationError(received.answer.why or "refused", type="Refused", non_retryable=True)
        return self.view().model_dump(mode="json")

    @submit.validator
    def check_submit(self, *arguments: Any) -> None:
        """Refuse what is malformed, unknown or not possible in this state, leaving nothing in the history."""
        self._refuse_bad_start()
        name, rest = self._split_trigger(arguments)
        received = self._parse(name, rest)
        known = received.key is not None and (
            received.key in self.case.answers or received.key in self._waiting_for_answer
        )
        try:
            self._refuse_unsound(received)
            if not known:
                self._refuse_untimely(received)
        except Refused as refused:
            raise ApplicationError(str(refused), type="Refused", non_retryable=True) from None

    def _split_trigger(self, arguments: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
        """The trigger's name, and the object without it; what is no object stays as it is and is refused later."""
        if len(arguments) == 1 and isinstance(arguments[0], dict):
            given = dict(cast("dict[str, Any]", arguments[0]))
            name = given.pop("trigger", None)
            return (name if isinstance(name, str) else ""), (given,)
        return "", tuple(arguments)

    @workflow.query(name="case", description="The case: state, what is expected from whom until when, the trail.")
    def query_case(self) -> dict[str, Any]:
        """The case view of the contract."""
        self._refuse_bad_start()
        return self.view().model_dump(mode="json")

    @workflow.query(name=names.STATE_QUERY, description="All that the case knows, for programs that ask the table.")
    def query_state(self) -> dict[str, Any]:
        """The case as it is carried, for programs that ask the flow's table themselves."""
        self._refuse_bad_start()
        return self.case.model_dump(mode="json")

    @workflow.query(name="diagram", description="The flow as Mermaid text, with the path taken and the state marked.")
    def query_diagram(self) -> str:
        """Mermaid text of the flow with this case's path."""
        self._refuse_bad_start()
        return mermaid(self.flow, case=self.case)

    def view(self) -> CaseView:
        """The case as the contract shows it."""
        return view_of(self.flow, self.case)

    def _refuse_bad_start(self) -> None:
        if self._bad_start is not None:
            raise ApplicationError(self._bad_start, type="BadStart", non_retryable=True)

    # --- through ---

    async def run_case(self) -> dict[str, Any]:
        """Run the case to its end.

        The loop is shielded: Temporal's cancel becomes a message that the loop reads between two pieces of work, so
        that nothing in flight is interrupted and money is never half-sent.

        Raises:
            ApplicationError: not retryable, naming the field, if the start was bad.

        """
        self._refuse_bad_start()
        loop = asyncio.create_task(self._loop())
        while True:
            try:
                await asyncio.shield(loop)
                return self.view().model_dump(mode="json")
            except asyncio.CancelledError:
                # eviction cancels tasks too: only the first cancel after a request is a person's
                if workflow.cancellation_reason() is None or self._cancel_heard:
                    raise
                self._cancel_heard = True
                self._inbox.append(
                    Received(
                        CANCEL,
                        workflow.now(),
                        self.case.version,
                        claimed_by=TEMPORAL,
                        content=CANCEL,
                    )
                )

    async def _loop(self) -> None:
        if self.case.policy is None:
            await self._open_in_shop()
        else:
            self.goes_by(ONE_STEP_AT_A_TIME)
        while not self.flow.is_final(self.case.state):
            state = self.flow.states[self.case.state]
            if state.kind is StateKind.WORK:
                await self._do_work(state)
            else:
                await self._wait_in(state)
        await self._end()

    async def _open_in_shop(self) -> None:
        case = self.case
        try:
            opened = await self.in_shop(
                CaseActivities.open_case,
                OpenCase(
                    case_id=case.case_id,
                    run_id=case.run_id,
                    flow=case.flow,
                    start=self._start_fields,
                    from_case=case.from_case,
                    at=case.opened_at,
                    changes=list(self.changes),
                ),
                "open the case in the shop",
            )
        except ActivityError as error:
            if isinstance(error.cause, ApplicationError):
                raise ApplicationError(error.cause.message, type="BadStart", non_retryable=True) from None
            raise
        case.policy = self.flow.figures_type.model_validate(opened.figures)
        case.involved = opened.involved
        case.changes = opened.changes
        case.lines = [LineQuantity.model_validate(line) for line in opened.resolved.get("lines", ())]
        if case.from_case and is_case_id(case.from_case):
            case.links.append(case.from_case)
        self.opened(opened.resolved)

    def opened(self, resolved: dict[str, Any]) -> None:
        """Take over what the shop resolved of the start (a flow's own fields)."""

    async def _do_work(self, state: State) -> None:
        """Do the state's work; meanwhile keep facts and answer wrong decisions."""
        if await self._take_cancel():
            return
        if self.flow.rows(state.name, CANCEL):
            # where a worker dies in this piece of work, a cancel that has come meanwhile goes before it
            self._on_record = None
        workflow.set_current_details(current_details(self.flow, self.case, workflow.info().namespace))
        method = cast("Callable[[], Coroutine[Any, Any, Outcome]]", getattr(self, state.name))
        piece = asyncio.create_task(method())
        while not piece.done():
            await workflow.wait_condition(lambda: piece.done() or bool(self._inbox))
            while self._inbox and not piece.done():
                await self._answer_one()
        outcome = piece.result()
        self._on_record = None  # a cancel may come between two pieces of work
        await self._move_by_itself(outcome.trigger, Automatic.SYSTEM, outcome.why)

    async def _move_by_itself(self, trigger: str, automatic: Automatic, why: str | None = None) -> None:
        """Take the row that the work's outcome, or the clock, asks for."""
        if automatic is Automatic.CLOCK:
            await self.put_on_record(trigger, since=RECORDS_DECISIONS)
        attempt = self._attempt(trigger, automatic=automatic)
        if automatic is Automatic.CLOCK:
            await self._consult(attempt)
        found = self.flow.find_move(attempt)
        if isinstance(found, Refusal):
            # Nothing is lost: the workflow task fails loudly until the code is mended.
            raise HoleInTable(f"{trigger} by the {automatic} in {self.case.state}: {found.why}")
        await self._make_move(found, attempt, by=automatic, why=why)

    async def _wait_in(self, state: State) -> None:
        """Wait for the next accepted message or the deadline.

        In this order: it continues as new where the history is long and nobody waits for an answer; messages are read,
        before the clock; what a poll has seen is taken; the lists are told after a reset; the timer rings.
        """
        case = self.case
        if case.entered_at is None:
            await self._enter(state)
        if await self._use_kept_fact() or await self._take_cancel():
            return
        here = case.version
        self._publish()
        timer = self._set_timer(state)
        try:
            while case.version == here:
                if self._asks_whether_long() and not self._is_awaited() and self.goes_by(CONTINUES_AT_TIMER):
                    await self._continue_at_timer()
                elif self._inbox:
                    await self._answer_one()
                    await self._tell_what_changed()
                    if case.version == here and not timer.task.done():  # what it told may ring at another time
                        timer = self._set_timer(state, timer)
                elif self._look is not None and self._look.done():
                    await self._take_what_was_seen(self._look.result())
                    await self._tell_what_changed()
                    timer = self._set_timer(state, timer)
                elif self._was_reset:
                    self._was_reset = False
                    if self.goes_by(TELLS_OF_RESET):
                        await self._post([])
                elif state.watch is None and self._continues_at_once():
                    self._continue_as_new()
                elif not timer.task.done():
                    # an update that was just answered is at its end a moment later
                    soon = state.watch is None and case.opened_with(CONTINUES_AFTER_UPDATES)
                    await self._something_or(timer, continues=soon)
                else:
                    self._taken += 1
                    await self._ring(state, timer.rings_for)
                    timer = self._set_timer(state, timer)
        finally:
            timer.task.cancel()

    def _set_timer(self, state: State, before: _Timer | None = None) -> _Timer:
        """A timer for what comes first: the reminder, the deadline, or the next poll.

        What has passed already rings at once, through a timer all the same: whether one is started must never hang on
        the time of day. Temporal tells a replay another one where a workflow task was prolonged by a slow step.
        """
        case = self.case
        times: list[tuple[datetime, str]] = [] if case.alarm_at is None else [(case.alarm_at, OWN_ALARM)]
        if case.due is not None:
            times.append((case.remind_at, REMINDER) if case.remind_at else (case.due, _deadline_of(state)))
        if state.watch is not None and case.watch_at is not None and self._look is None:
            times.append((case.watch_at, WATCH))
        until, what = min(times, key=lambda one: one[0], default=(None, ""))
        if before is not None:
            if not before.task.done() and before.rings_for == what:
                return before
            before.task.cancel()
        if until is None:  # a look is under way, and nothing else is to come
            return _Timer(asyncio.create_task(workflow.wait_condition(lambda: False)), what)
        return _Timer(
            asyncio.create_task(
                workflow.sleep(max(until - workflow.now(), SHORTEST_WAIT), summary=f"{state.name}: {what}")
            ),
            what,
        )

    async def _something_or(self, timer: _Timer, *, continues: bool) -> None:
        await workflow.wait_condition(
            lambda: (
                bool(self._inbox)
                or timer.task.done()
                or (self._look is not None and self._look.done())
                or self._was_reset
                or (continues and self._continues_at_once())
            )
        )

    def _note_reset(self, _seed: int) -> None:
        """Temporal gives a case another seed where it is reset, as `casework retry` says, and nowhere else."""
        self._was_reset = True
        # conditions are looked at only where something has run; outside of that no loop is the running one
        self._event_loop.call_soon(lambda: None)

    async def _ring(self, state: State, rings_for: str) -> None:
        """What the timer rang for: remind, poll courier and shop, or let the deadline move the case."""
        case = self.case
        if rings_for == REMINDER:
            case.reminded += 1
            again = "" if case.reminded == 1 else f".{case.reminded}"
            await self._post(
                [*self._tasks("reminder", state.expects, f"reminder{again}"), *self._remind_buyer(state, again)]
            )
            case.remind_at = remind_at(self.flow, case, state, cast("datetime", case.remind_at))
        elif rings_for == WATCH:
            if self._continues_at_once() or (self._looks >= MOST_LOOKS and not self.goes_by(CONTINUES_AT_TIMER)):
                self._continue_as_new()
            elif self._looks >= MOST_LOOKS:
                await self._continue_at_timer(anyway=True)
            self._looks += 1
            self._look_again = getattr(case.figures.flow, cast("str", state.watch))
            self._look = asyncio.create_task(self.watch())
        elif rings_for == OWN_ALARM:
            if case.alarm_at is not None:
                case.alarm_at = None
                await self.sound_alarm()
        else:
            await self._move_by_itself(rings_for, Automatic.CLOCK)

    async def _continue_at_timer(self, *, anyway: bool = False) -> None:
        """Continue as new at a timer of its own if the history is long, or `anyway`; carry over what is not read yet.

        Where a message comes in the moment of continuing, Temporal discards the continuation and runs the workflow
        task again, with the message; it is lost if the case then continues without having been given it. So a case
        continues nowhere but at an event, at which a replay has been given all that came before. The end of a step on
        the shop is none: where a query has split a workflow task, a replay is told of it at another moment than the
        case was. What the SDK says of the history's length may differ too, of a task that is split: so it is asked at a
        timer, and what has come by then is not read in the same task.
        """
        self._taken = 0
        self._continues = True
        await workflow.sleep(SHORTEST_WAIT, summary=ASKS_WHETHER_LONG)
        continues = anyway or _history_is_long()
        if self._inbox:
            await workflow.sleep(SHORTEST_WAIT, summary=CONTINUES_IF_LONG)
        self._continues = False
        if not continues or self._is_too_much_to_carry():
            return
        if self._is_awaited():  # an update that came meanwhile is read first; the answers wait for it
            self._taken = TAKEN_BEFORE_ASKING
            return
        await workflow.wait_condition(lambda: workflow.all_handlers_finished() or self._is_awaited())
        # a cancel becomes a message a moment later than the timer is told of; it comes only once
        if workflow.cancellation_reason() is None or self._cancel_heard:
            self._continue_as_new()

    def _asks_whether_long(self) -> bool:
        waits = self.flow.states[self.case.state].kind is StateKind.WAIT
        return waits and self._taken >= TAKEN_BEFORE_ASKING and self._look is None

    def _is_awaited(self) -> bool:
        """Whether somebody waits for the answer to what is not read yet: no run ends before it is given."""
        return any(received.awaited for received in self._inbox)

    def _is_about_to_continue(self) -> bool:
        """Whether the case is about to continue as new: whoever an update has answered is told only afterwards.

        Their next update would come to a run that has ended.

        As whoever waits sends nothing more, there comes a moment in which no update is left to be read. While a courier
        is asked, who may be silent for hours, nobody else waits for that.
        """
        asks_soon = self._asks_whether_long() and not self._steps_outside
        return self._continues or (asks_soon and self.case.opened_with(CONTINUES_AT_TIMER))

    def _is_too_much_to_carry(self) -> bool:
        """Whether the next run would be begun with more than Temporal takes: what is not read yet is read here then."""
        return bool(self._inbox) and len(to_json(self._carried())) > MOST_CARRIED_BYTES

    def _continues_at_once(self) -> bool:
        """Whether a case that was opened before `CONTINUES_AT_TIMER` continues as new here."""
        return (
            not self.case.opened_with(CONTINUES_AT_TIMER)
            and _history_is_long()
            and workflow.all_handlers_finished()
            and self._look is None
        )

    def _continue_as_new(self) -> None:
        if workflow.all_handlers_finished():
            workflow.continue_as_new(args=[self._carried()])

    def _carried(self) -> dict[str, Any]:
        """What the next run is begun with: the case, and the messages that it has not read yet."""
        unread = [received.carried() for received in self._inbox if received.answer is None]
        return {"carried": self.case.model_dump(mode="json")} | ({"unread": unread} if unread else {})

    async def sound_alarm(self) -> None:
        """What the case does when its own alarm is due (a flow's own, where it sets `alarm_at`)."""

    async def watch(self) -> Outcome | None:
        """Poll the courier and the shop: what that shows may move the case (a flow's own, where a state watches)."""
        raise NotImplementedError

    async def _take_what_was_seen(self, seen: Outcome | None) -> None:
        """Move by what a poll has shown, if the state that the case is in by now makes something of it."""
        self._look = None
        self.case.watch_at = workflow.now() + self._look_again
        if seen is None:
            return
        attempt = self._attempt(seen.trigger, automatic=Automatic.SYSTEM)
        found = self.flow.find_move(attempt)
        if not isinstance(found, Refusal):
            await self._make_move(found, attempt, by=Automatic.SYSTEM, why=seen.why)

    async def _enter(self, state: State) -> None:
        """A move into a state says to whom it falls now, and sets the state's deadline anew."""
        case, deadline = self.case, state.deadline
        begin = getattr(self, f"begin_{state.name}", None)
        if begin is not None and case.alarms == 0:
            await begin()
        if deadline is None:
            say = cast("Callable[[], list[Post]]", getattr(self, state.name))
            said = say()
            if said:
                await self._post(said)
            case.entered_at = workflow.now()
            case.watch_at = case.watch_at or case.entered_at
            return
        case.due = due_at(self.flow, case, state, workflow.now())
        if case.alarms > 0 and deadline.quiet and self.goes_by(COUNTS_QUIETLY):
            case.alarms = 0
        if case.alarms > 0 and not deadline.quiet:
            await self._post(self._tasks("alarm", deadline.alarm_roles or state.expects, "alarm"))
        else:
            say = cast("Callable[[], list[Post]]", getattr(self, state.name))
            said = say()
            others = [role for role in state.expects if role not in {post.role for post in said}]
            await self._post([*self._tasks("asked_to_act", others, "asked"), *said])
        # counted from here: after a step on the shop a replay is told the same time
        now = workflow.now()
        case.entered_at, case.due = now, due_at(self.flow, case, state, now)
        case.remind_at = None if case.alarms > 0 else remind_at(self.flow, case, state, now)
        if state.watch is not None:
            case.watch_at = case.watch_at or now

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

    # --- one message ---

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
        if self.case.opened_with(REFUSES_UNKNOWN):
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
        not_theirs = self.flow.refuses_news(attempt)
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
        if not attempt.automatic and self.case.is_full() and self.goes_by(COUNTS_BYTES):
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
        if case.opened_with(SHORTENS_MOVES):
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

    # --- the end ---

    def ending_parameters(self) -> dict[str, str]:
        """What the buyer's message at the end says, besides the order (a flow's own)."""
        return {}

    def lets_ship_at_end(self) -> bool:
        """Whether what came back of its lines meanwhile, and waited for the case, ships again (a flow's own)."""
        return False

    async def _end(self) -> None:
        """Answer what is still in the inbox, name the facts that no state used, and close the shop's record."""
        if self._look is not None:
            # Temporal does not let a workflow end while it is being told of an activity: who waits would get an error
            look = self._look
            await workflow.wait_condition(look.done)
            look.exception()
        self._publish()
        ending = ENDINGS[self.flow.name][cast("str", self.case.outcome)]
        farewell = self.to_buyer(ending, **self.ending_parameters()) if ending is not None else []
        lets_ship = self.lets_ship_at_end()  # what a kept fact says counts: below, none is kept any more
        while True:
            self._answer_late()
            for kept in list(self.case.kept):
                self.leave_unused(kept, "no state of this case could use it")
            view = self.view()
            await self.in_shop(
                CaseActivities.close_case,
                CloseCase(
                    case_id=self.case.case_id,
                    run_id=self.case.run_id,
                    view=view,
                    at=workflow.now(),
                    moment=self.fencing_token(),
                    posts=farewell,
                    lets_ship=lets_ship,
                ),
                f"close the record: {self.case.outcome}",
            )
            await workflow.wait_condition(lambda: bool(self._inbox) or workflow.all_handlers_finished())
            if not self._inbox:
                return

    def _answer_late(self) -> None:
        self._inbox.extend(self._cancels)
        self._cancels.clear()
        while self._inbox:
            received = self._inbox.popleft()
            if received.answer is None:
                self._refuse(received, received.problem or "the case has ended")


def _deadline_of(state: State) -> str:
    if state.deadline is None:
        raise HoleInTable(f"{state.name} has no deadline")
    return state.deadline.trigger


def _history_is_long() -> bool:
    """Whether Temporal suggests to continue as new; to be asked where an event is read, see `_continue_at_timer`."""
    return workflow.info().is_continue_as_new_suggested()
