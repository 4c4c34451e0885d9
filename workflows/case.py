"""The case loop that all flows share: do what the state asks, fire the trigger that comes out, until a final state.

Handlers only check and append; the loop alone moves the case, one message at a time. So two approvals in one
workflow task never become two steps, and nothing that a stranger sends can wedge the workflow task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar, cast

from pydantic import ValidationError
from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError

from activities.cases import CaseActivities, CloseCase, GoodsAtEnd, OpenCase
from casework import names
from casework.case import Case, CaseView
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
    STOPS_ITS_TIMER,
    TELLS_CHANGES,
    TELLS_OF_RESET,
    TRIES_KEPT_AFTER_NEWS,
)
from casework.deadlines import due_at, remind_at
from casework.details import current_details, view_of
from casework.diagram import mermaid
from casework.messages import explain, json_object
from casework.money import LineQuantity
from casework.names import is_case_id
from casework.privacy import find_mobile_number
from casework.templates import ENDINGS, Post
from state_machines.common import CANCEL
from state_machines.roles import Automatic
from state_machines.table import Refusal, State, StateKind
from workflows.continuing import ContinuingCase
from workflows.received import Received, Refused
from workflows.steps import SHORTEST_WAIT, Outcome, Timer

CaseT = TypeVar("CaseT", bound=Case[Any])

MOST_LOOKS = 100
"""After so many polls of courier and shop a case continues as new: each is about a dozen events."""
REMINDER, WATCH, OWN_ALARM = "reminder", "watch", "alarm"
"""What a timer rings for, besides the deadline's trigger."""
TEMPORAL = "temporal"
"""Who acts when the case is cancelled through Temporal itself."""


class HoleInTable(Exception):
    """The work or the clock fired what the table does not allow: a fault of ours, never of whoever sent something."""


class CaseWorkflow(ContinuingCase[CaseT]):
    """A case as a Temporal workflow. Subclasses bring one method per state, named as the state.

    A method of a state that works is a coroutine and returns the `Outcome`; one of a state that waits returns what is
    to be posted on entry. `consult_<trigger>` reads the shop before the table is asked (also before the clock's rows).
    `effect_<trigger>` is done once the table has agreed and before the move is made: what is checked beyond the table,
    or written to the shop. Both may raise `Refused` of somebody's message.
    `after_<trigger>` follows the move, whoever made it. `begin_<state>` is what is done first where a wait is entered.
    `watch` polls the courier and the shop, where a state watches; what it finds passes by `consult_` and `effect_`.
    Of any flow's own besides: `opened` (what the shop resolved of the start), `sound_alarm`, `ending_parameters` and
    `goods_at_end`; of one that pays, those of `PayingWorkflow`.
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
        STOPS_ITS_TIMER,
        TRIES_KEPT_AFTER_NEWS,
    )
    """The names of the changes that a newly opened case goes by; one from an older version asks: see `adopts`."""

    # --- in ---

    @workflow.init
    def __init__(self, *start: Any) -> None:
        """Set everything up before any handler runs. Never raises: a bad start is told from `run_case`."""
        super().__init__()
        self._look_again = timedelta(0)
        self._looks = 0
        self._event_loop = asyncio.get_running_loop()
        workflow.register_random_seed_callback(self._note_reset)
        try:
            self._read_start(start)
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
            self.adopts(ONE_STEP_AT_A_TIME)
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
            try:
                await self._consult(attempt)
            except Refused as refused:
                raise HoleInTable(f"consult_{trigger} refuses the clock: {refused}") from refused
        found = self.flow.find_move(attempt)
        if isinstance(found, Refusal):
            # Nothing is lost: the workflow task fails loudly until the code is mended.
            raise HoleInTable(f"{trigger} by the {automatic} in {self.case.state}: {found.why}")
        await self._make_move(found, attempt, by=automatic, why=why)

    async def _wait_in(self, state: State) -> None:
        """Wait for the next accepted message or the deadline.

        In this order: it continues as new where the history is long and nobody waits for an answer; messages are read,
        before the clock; what a poll has seen is taken; the lists are told after a reset; the timer is set again that a
        step on the shop has stopped. Where nothing of this is to be done it waits for the first of them, or for the
        timer, which then rings.
        """
        case = self.case
        if case.entered_at is None:
            await self._enter(state)
        if await self._use_kept_fact() or await self._take_cancel():
            return
        here = case.version
        self._publish()
        self._set_timer(state)
        try:
            while case.version == here:
                timer = self._timer
                if self._asks_whether_long() and not self._is_awaited() and self.adopts(CONTINUES_AT_TIMER):
                    await self._continue_at_timer()
                elif self._inbox:
                    received = self._inbox[0]
                    await self._answer_one()
                    await self._tell_what_changed()
                    if case.version == here and self._may_help_kept_facts(received):
                        await self._use_kept_fact()
                    if case.version == here and not self._has_rung():  # what it told may ring at another time
                        self._set_timer(state)
                elif self._look is not None and self._look.done():
                    await self._take_what_was_seen(self._look.result())
                    await self._tell_what_changed()
                    self._set_timer(state)
                elif self._was_reset:
                    self._was_reset = False
                    if self.adopts(TELLS_OF_RESET):
                        await self._post([])
                elif state.watch is None and self._continues_at_once():
                    self._continue_as_new()
                elif timer is None and not self._turn.locked():
                    self._set_timer(state)
                elif timer is None or not timer.task.done():
                    # an update that was just answered is at its end a moment later
                    soon = state.watch is None and case.has_adopted(CONTINUES_AFTER_UPDATES)
                    await self._something_or(timer, continues=soon)
                else:
                    self._taken += 1
                    await self._ring(state, timer.rings_for)
                    self._set_timer(state)
        finally:
            self._drop_timer()

    def _set_timer(self, state: State) -> None:
        """Set the timer for what comes first: the reminder, the deadline, or the next poll.

        What has passed already rings at once, through a timer all the same: whether one is started must never hang on
        the time of day. Temporal tells a replay another one where a workflow task was prolonged by a slow step.
        """
        case = self.case
        if self._turn.locked() and case.has_adopted(STOPS_ITS_TIMER):
            self._drop_timer()  # a poll's step is under way: the wait sets it after that
            return
        times: list[tuple[datetime, str]] = [] if case.alarm_at is None else [(case.alarm_at, OWN_ALARM)]
        if case.due is not None:
            times.append((case.remind_at, REMINDER) if case.remind_at else (case.due, _deadline_of(state)))
        if state.watch is not None and case.watch_at is not None and self._look is None:
            times.append((case.watch_at, WATCH))
        until, what = min(times, key=lambda one: one[0], default=(None, ""))
        if self._timer is not None and not self._timer.task.done() and self._timer.rings_for == what:
            return
        self._drop_timer()
        rings = (
            workflow.sleep(max(until - workflow.now(), SHORTEST_WAIT), summary=f"{state.name}: {what}")
            if until is not None
            else workflow.wait_condition(lambda: False)  # a look is under way, and nothing else is to come
        )
        self._timer = Timer(asyncio.create_task(rings), what)

    def _has_rung(self) -> bool:
        return self._timer is not None and self._timer.task.done()

    async def _something_or(self, timer: Timer | None, *, continues: bool) -> None:
        """Wait for the timer, or if it was stopped for a step on the shop, for that; or for whatever comes before."""
        await workflow.wait_condition(
            lambda: (
                bool(self._inbox)
                or (timer.task.done() if timer is not None else not self._turn.locked())
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
            if self._continues_at_once() or (self._looks >= MOST_LOOKS and not self.adopts(CONTINUES_AT_TIMER)):
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
        if case.alarms > 0 and deadline.quiet and self.adopts(COUNTS_QUIETLY):
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

    # --- the end ---

    def ending_parameters(self) -> dict[str, str]:
        """What the buyer's message at the end says, besides the order (a flow's own)."""
        return {}

    def goods_at_end(self) -> GoodsAtEnd:
        """What becomes of what came back of its lines meanwhile, and waited for the case (a flow's own)."""
        return GoodsAtEnd.NONE

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
        goods = self.goods_at_end()  # what a kept fact says counts: below, none is kept any more
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
                    goods=goods,
                ),
                f"close the record: {self.case.outcome}",
            )
            await workflow.wait_condition(lambda: bool(self._inbox) or workflow.all_handlers_finished())
            if not self._inbox:
                return


def _deadline_of(state: State) -> str:
    if state.deadline is None:
        raise HoleInTable(f"{state.name} has no deadline")
    return state.deadline.trigger
