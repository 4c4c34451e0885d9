"""What a case does to the shop and outside it, and how it says where it is: the same for all flows.

Nothing here moves the case: that is the loop's, `workflows/case.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Generic, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeUpdate
from temporalio.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError

from activities.cases import CaseActivities, HandedOver, HandOver, TakeBack
from activities.messages import MessageActivities, PostMessages
from activities.staff import Consider, Considered, StaffActivities
from activities.steps import CASE_OVER, OrderStep, StepFields
from casework.case import Actor, Case
from casework.changes import ONE_STEP_AT_A_TIME, RECORDS_DECISIONS, RECORDS_FIRST, STOPS_ITS_TIMER, TELLS_CHANGES
from casework.details import (
    current_details,
    if_silent,
    opening_attributes,
    search_attributes,
    static_summary,
)
from casework.messages import Message, texts_of
from casework.shop.fencing import FencingToken
from casework.templates import Post, yuan
from casework.waiting import waits_of
from state_machines.roles import Automatic, Role
from state_machines.table import Flow, State, StateKind
from workflows.received import Refused

CaseT = TypeVar("CaseT", bound=Case[Any])
ActivitiesT = TypeVar("ActivitiesT")
RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")

SHOP_RETRIES = RetryPolicy(initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(seconds=30))
"""The shop's own database comes back: a step on it is tried until it is done."""
SHOP_TIMEOUT = timedelta(seconds=20)
OUTSIDE_TIMEOUT = timedelta(seconds=30)
OUTSIDE_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=5))
"""What leaves the shop is tried until it is answered; an answer that is final ends it at once."""
SHORTEST_WAIT = timedelta(milliseconds=1)
ASKED_AGAIN = timedelta(seconds=1)
"""After this a child is started again whose id a start that is about to be refused has for a moment."""
MOST_WAITS = 60
"""So often a case waits for the end of another one that cannot have its lines."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out of a state's work: the trigger to fire, and the reason for the trail."""

    trigger: str
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer under way, and what it rings for."""

    task: asyncio.Task[None]
    rings_for: str


class RefusedForGood(Exception):
    """What is outside the shop gave an answer that is final: asking again helps nothing. `kind` names the error."""

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


class CaseSteps(Generic[CaseT]):
    """A case's steps on the shop and outside, what it posts, and what it shows of itself in Temporal."""

    flow: Flow[CaseT]
    changes: ClassVar[Sequence[str]] = ()
    """The names of the changes that a newly opened case goes by: see `adopts`."""
    case: CaseT

    def __init__(self) -> None:
        """Nothing is under way, shown or told yet."""
        self._turn = asyncio.Lock()
        """Of the one step on the shop that may be under way: see `in_shop`."""
        self._timer: Timer | None = None
        """Of the wait that the case is in; None while a step on the shop is under way, unless it has rung before."""
        self._published: dict[str, Any] = {}
        """The search attributes as Temporal has them."""
        self._told_fen: tuple[int, int] | None = None
        """What the shop was last told of the money that a wait is about, and of what is paid if nobody decides."""
        self._on_record: int | None = None
        """How many accepted moves the case had made when its way was last put on record; with the move that
        followed."""
        self._steps_outside = 0
        """How many steps that leave the shop are under way, which may last: a poll, and a claim beside it."""
        self._was_reset = False
        """Since the shop was last told: what it was told then may not be so any more."""

    def adopts(self, change: str) -> bool:
        """Whether the case goes by a change of its flow from here on; `change` is also the patch id.

        A case that was opened since knows so by itself (`Case.has_adopted`). One from an older version asks Temporal,
        which answers once per run: where the run came past here before the change was made, it did not, and goes on as
        it began.

        Raises:
            RuntimeError: the change is not in the flow's `changes`: new cases would have to ask Temporal too.

        """
        if change not in self.changes:
            raise RuntimeError(f"{change} is missing from the changes of {type(self).__name__}")
        if not self.case.has_adopted(change) and workflow.patched(change):
            self.case.changes.append(change)
        return self.case.has_adopted(change)

    def _is_working(self) -> bool:
        return self.flow.states[self.case.state].kind is StateKind.WORK

    def _tasks(self, template: str, roles: Sequence[Role], purpose: str) -> list[Post]:
        """A staff task for each of the roles, once for this stay in the state."""
        case, state = self.case, self.flow.states[self.case.state]
        return [
            Post(
                purpose=f"{state.name}.{case.version}.{purpose}.{role}",
                template=template,
                to="staff",
                role=role,
                parameters=self._how_it_stands(),
            )
            for role in roles
        ]

    def _how_it_stands(self) -> dict[str, str]:
        """What a task says of the case."""
        case, state = self.case, self.flow.states[self.case.state]
        return {
            "case_id": case.case_id,
            "state_zh": state.label.zh,
            "state_en": state.label.en,
            "amount": yuan(case.amount_fen),
            "due": case.local_time(case.due) if case.due else "—",
        }

    def _remind_buyer(self, state: State, again: str) -> list[Post]:
        template = state.deadline.reminds_buyer if state.deadline is not None else None
        if template is None:
            return []
        return [post.again(f"{self.case.version}{again}") for post in self.to_buyer(template)]

    def to_buyer(self, template: str, **parameters: str) -> list[Post]:
        """A message to the buyer of the order: once in a case, or where its flow says so, once a move."""
        given = {"order_id": self.case.order_id, **parameters}
        return [Post(purpose=f"buyer.{template}", template=template, to="buyer", parameters=given)]

    def to_staff(self, template: str, role: Role, **parameters: str) -> Post:
        """A task for a role: once in a case, or where its flow says so, once a move."""
        given = {"order_id": self.case.order_id, **parameters}
        return Post(purpose=f"staff.{template}", template=template, to="staff", role=role, parameters=given)

    def once_more(self, posts: Sequence[Post]) -> list[Post]:
        """The same posts, to go out although the case has posted them before: once for each move."""
        return [post.again(self.case.version) for post in posts]

    def step(self, posts: Sequence[Post] = ()) -> OrderStep:
        """A step on the shop for this case that needs nothing else."""
        return OrderStep(**self.step_fields(posts))

    def step_fields(self, posts: Sequence[Post] = ()) -> StepFields:
        """What every step on the shop for this case has: its order and lines, its own time, what goes out with it."""
        case = self.case
        return StepFields(
            case_id=case.case_id,
            run_id=case.run_id,
            order_id=case.order_id,
            lines=case.lines,
            at=workflow.now(),
            posts=list(posts),
            moment=self.fencing_token(),
            round=case.version,
        )

    def memo(self, text: str) -> str:
        """What is appended to the order's memo: the day, the time, and the text."""
        return f"[{self.case.local_time(workflow.now())[5:10]} {text}]"

    async def open_case(self, flow: Flow[Any], fields: dict[str, Any], *, ask: bool = True) -> str | None:
        """Open a case of another flow about the same order, and leave it behind; answers with its id.

        What this case holds and has claimed of the other's lines is handed over first, in one transaction. `fields` are
        those of the other's start beyond `order_id`, `by` and `from_case`. A case of that id that is open already is
        linked as it is, unless it is about to end because this one has its lines: then it is waited for. Where the
        other would be refused, None: a task asks for it to be opened by hand, unless the caller does not (`ask`). A
        task says it too where what is open already is a claim of somebody else's, which may be for fewer pieces.
        """
        case = self.case
        start = {"order_id": case.order_id, "by": Automatic.SYSTEM.value, "from_case": case.case_id, **fields}
        handed = HandedOver()
        await self.put_on_record(f"hand over to {flow.name}")
        for _ in range(MOST_WAITS):
            handed = await self.in_shop(
                CaseActivities.hand_over,
                HandOver(**self.step_fields(), flow=flow.name, start=start, involved=case.involved),
                f"hand over to {flow.name}",
            )
            if handed.refused is not None:
                return await self._ask_to_open(flow, handed.refused) if ask else None
            child_id = handed.case_id
            if not handed.ends_soon and (handed.open_already or await start_abandoned(flow, child_id, start)):
                if child_id not in case.links:
                    case.links.append(child_id)
                if handed.open_already and handed.not_ours:
                    await self._ask_to_open(flow, f"{child_id} is open already, and not for this")
                return child_id
            await workflow.sleep(ASKED_AGAIN, summary=f"{child_id} is taken for a moment")
        if not handed.ends_soon:
            await self.in_shop(
                CaseActivities.take_back,
                TakeBack(**self.step_fields(), to_case=handed.case_id),
                f"take back from {handed.case_id}",
            )
        return await self._ask_to_open(flow, "its id stays taken by a case that cannot have the lines")

    async def _ask_to_open(self, flow: Flow[Any], why: str) -> None:
        """A task asks for a case to be opened by hand that this one could not open."""
        task = self.to_staff("open_by_hand", self.flow.opened_by[0], flow=flow.name, why=why)
        await self._post([task.again(flow.name)])

    async def in_shop(
        self, step: Callable[[ActivitiesT, RequestT], AnswerT], request: RequestT, summary: str
    ) -> AnswerT:
        """One step on the shop's own database: short, idempotent, one transaction, tried until it is done.

        One at a time, whatever runs beside what. Where two are under way while their workflow task is prolonged, as the
        shop is away for some seconds, Temporal gives a replay both answers at once, and what follows comes in another
        order (temporalio/sdk-python#1881).

        No timer of a wait is pending meanwhile: the wait sets it again. A step's answer may end the wait, and a query
        may end the workflow task with the step's end on record and nothing that follows. If the timer fired then, it
        would do so in the history before it is cancelled, and in a replay after.
        """
        turn = self._turn if self.case.has_adopted(ONE_STEP_AT_A_TIME) else nullcontext()
        async with turn:
            pending = self._timer is not None and not self._timer.task.done()
            # without turns, the wait would not know when to set it again
            if pending and self.case.has_adopted(ONE_STEP_AT_A_TIME) and self.adopts(STOPS_ITS_TIMER):
                self._drop_timer()
            return await workflow.execute_local_activity_method(
                step, request, start_to_close_timeout=SHOP_TIMEOUT, retry_policy=SHOP_RETRIES, summary=summary
            )

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.task.cancel()
            self._timer = None

    async def put_on_record(self, what_follows: str, *, since: str = RECORDS_FIRST) -> None:
        """Have the way so far in the history before something comes of it. `since`: the change that asks for it here.

        Otherwise a worker might do that and die, and Temporal give the workflow task to another one together with a
        message that has come meanwhile: that goes first, and the case perhaps another way. A timer ends the workflow
        task: it waits for no slot of a worker's, as an activity would, which payments that hang may all have taken.
        What is given away by a decision that is on record is on record too.
        """
        if since == RECORDS_FIRST and self._on_record == self.case.version:
            return
        if self.adopts(since):
            await workflow.sleep(SHORTEST_WAIT, summary=f"on record: {what_follows}")
            if self.case.has_adopted(RECORDS_DECISIONS):
                self._on_record = self.case.version

    async def give_away(
        self, step: Callable[[ActivitiesT, RequestT], AnswerT], request: Callable[[], RequestT], summary: str
    ) -> AnswerT:
        """A step on the shop by which the case gives something away that it could not have back: on record first.

        The `request` is made only then: it says where the case is, and other steps may have come in between.
        """
        await self.put_on_record(summary)
        return await self.in_shop(step, request(), summary)

    async def outside(
        self,
        step: Callable[[ActivitiesT, RequestT], AnswerT],
        request: RequestT,
        summary: str,
        *,
        in_all: timedelta | None = None,
    ) -> AnswerT:
        """One step that leaves the shop, with its own line in the UI: tried until it is answered, or for `in_all`.

        Raises:
            RefusedForGood: the answer is final.
            ActivityError: there was none in time; or the case is over, and its run fails.

        """
        self._steps_outside += 1
        try:
            return await workflow.execute_activity_method(
                step,
                request,
                start_to_close_timeout=OUTSIDE_TIMEOUT,
                schedule_to_close_timeout=in_all,
                retry_policy=OUTSIDE_RETRIES,
                summary=summary,
            )
        except ActivityError as error:
            cause = error.cause
            # a case that was reset after its end has done it already: nobody is asked to do it again
            if isinstance(cause, ApplicationError) and cause.non_retryable and cause.type != CASE_OVER:
                raise RefusedForGood(cause.type or "an error", cause.message) from None
            raise
        finally:
            self._steps_outside -= 1

    async def look_up(self, message: Message, others: Sequence[str] = ()) -> tuple[Actor, dict[str, Considered]]:
        """Who sends the message, as the shop's staff list has them now, and whoever else it is about."""
        considered = await self.in_shop(
            StaffActivities.consider,
            Consider(
                staff_id=message.by,
                order_id=self.case.order_id,
                texts=_texts(message),
                at=workflow.now(),
                others=list(others),
            ),
            f"who is {message.by}",
        )
        if considered.actor is None:
            raise Refused(considered.why or f"{message.by} may not act")
        return considered.actor, considered.others

    def fencing_token(self) -> FencingToken:
        """Where this execution is, for steps that must not be done once the case is over."""
        info = workflow.info()
        return FencingToken(
            info.run_id,
            info.get_current_history_length(),
            self.case.version,
            workflow.now(),
            info.continued_run_id,
            self.case.state,
        )

    async def _post(self, posts: list[Post]) -> None:
        waits = waits_of(self.flow, self.case, workflow.now())
        self._told_fen = None if waits is None else self._money_now()
        self._was_reset = False
        await self.in_shop(
            MessageActivities.post_messages,
            PostMessages(
                case_id=self.case.case_id,
                run_id=self.case.run_id,
                order_id=self.case.order_id,
                posts=posts,
                at=workflow.now(),
                moment=self.fencing_token(),
                waits=waits,
            ),
            "tell " + (", ".join(dict.fromkeys(post.recipient or post.to for post in posts)) or "the shop"),
        )

    async def _tell_what_changed(self) -> None:
        """What was refused, kept or seen may have shown that a wait is about other money by now: lists say so too."""
        case = self.case
        if case.entered_at is None or case.due is None or self._is_working():
            return
        if self._money_now() != self._told_fen and self.adopts(TELLS_CHANGES):
            await self._post([])
            self._publish()

    def _money_now(self) -> tuple[int, int]:
        """What the wait is about, and what is paid when it ends without a decision, in fen."""
        silent = if_silent(self.flow, self.case)
        return self.case.amount_fen, silent.pays_fen if silent else 0

    def _publish(self) -> None:
        """Show where the case is: search attributes (only what changed), and the details of the Temporal UI."""
        changed: list[SearchAttributeUpdate[Any]] = []
        for pair in search_attributes(self.flow, self.case):
            key, value, name = pair.key, pair.value, pair.key.name
            if self._published.get(name) != value:
                self._published[name] = value
                changed.append(key.value_set(value) if value is not None else key.value_unset())
        if changed:
            workflow.upsert_search_attributes(changed)  # pyright: ignore[reportUnknownMemberType] - the SDK's own
        workflow.set_current_details(current_details(self.flow, self.case, workflow.info().namespace))


async def start_abandoned(flow: Flow[Any], case_id: str, start: dict[str, Any]) -> bool:
    """Start a case as a child and leave it behind; False where its id is taken."""
    order_id = str(start["order_id"])
    try:
        await workflow.start_child_workflow(
            flow.workflow,
            start,
            id=case_id,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            static_summary=static_summary(flow, order_id),
            static_details=f"casework show {case_id}",
            search_attributes=opening_attributes(order_id, Automatic.SYSTEM.value),
        )
    except WorkflowAlreadyStartedError:
        return False
    return True


def _texts(message: Message) -> list[str]:
    """Every text in a message: the shop looks whether one holds something of the buyer's."""
    return [text for _, text in texts_of("", message.model_dump(exclude={"by", "id", "version"}))]
