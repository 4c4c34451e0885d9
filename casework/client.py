"""The client of a case desk: opens cases, acts on them, looks at them. What the commands use, and scripts may.

It checks against the tables and the shop before it sends anything; the case checks again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import uuid4

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from temporalio.api.enums.v1 import EventType
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from casework import names
from casework.authority import NOBODY, actor_named
from casework.case import Actor, Case, CaseView
from casework.connection import connect, is_not_there
from casework.converter import DATA_CONVERTER
from casework.details import (
    CASE_AMOUNT,
    CASE_ASSIGNEE,
    CASE_DUE,
    CASE_OPENED_BY,
    CASE_STATE,
    CASE_WAITING_FOR,
    ORDER_ID,
    opening_attributes,
    static_summary,
)
from casework.diagram import case_of
from casework.errors import BadInput
from casework.execution import POLL_SECONDS, broken_off, execution_described, last_view, queried
from casework.forecast import SILENCE, course_told
from casework.inbox import Forecast, Inbox, in_inbox
from casework.lookups import lookups_of
from casework.messages import explain, texts_of
from casework.money import LineQuantity
from casework.opening import BadStart, examine_start
from casework.parts import parts
from casework.privacy import personal_id, personal_text
from casework.sentences import full_stop
from casework.settings import Settings
from casework.shop import claimants, claims, notices, orders, records, waiting
from casework.shop.database import Database
from casework.shop.errors import UnknownOrder
from casework.shop.staff import all_staff
from casework.shop.waiting import WaitFilter, Waiting
from casework.show import expected_roles
from casework.waiting import waits_of
from casework.why import Verdict, judge
from state_machines.asides import may_be_sent, trigger_named
from state_machines.common import CANCEL
from state_machines.flows import FLOWS
from state_machines.roles import Automatic, Role
from state_machines.table import Flow

ANSWER_SECONDS: Final = 10.0
"""How long a command waits for a worker to answer."""
AT_ONCE: Final = 20
"""Cases asked at the same time."""
MOST_NAMED: Final = 100
"""So many cases are named in one question to Temporal's lists."""

OPEN: Final = "ExecutionStatus = 'Running'"
_TYPES: Final = ", ".join(f"'{name}'" for name in names.WORKFLOW_TYPES.values())
OPEN_CASES: Final = f"{OPEN} AND WorkflowType IN ({_TYPES})"
ResultT = TypeVar("ResultT")
Handle = WorkflowHandle[Any, Any]


class UnknownCase(BadInput):
    """No case has that id, order or waybill."""


class SeveralCases(BadInput):
    """Several cases match: `case_ids` lists them, and nothing was done."""

    def __init__(self, text: str, case_ids: Sequence[str]) -> None:
        super().__init__(f"{text} matches {len(case_ids)} cases, and nothing was done: " + ", ".join(case_ids))
        self.case_ids = list(case_ids)


class CaseRefused(Exception):
    """The case says no: one plain sentence that says why."""


class CaseOpen(CaseRefused):
    """Another case is open already: `case_id` names it."""

    def __init__(self, case_id: str, sentence: str) -> None:
        super().__init__(sentence)
        self.case_id = case_id


class CaseEnded(CaseRefused):
    """The case has ended."""


class NoAnswer(Exception):
    """No worker answered in time; `taken_in` tells whether the message was (None: nothing was sent)."""

    def __init__(self, sentence: str, *, taken_in: bool | None) -> None:
        super().__init__(sentence)
        self.taken_in = taken_in


@dataclass(frozen=True, slots=True)
class PreparedStart:
    """A start that was examined: what Temporal is asked to do."""

    flow: Flow[Any]
    case_id: str
    payload: dict[str, Any]
    lines: tuple[LineQuantity, ...]
    """What it is about, as the shop resolved it."""

    @property
    def summary(self) -> str:
        """The one line that the Temporal UI shows of the case."""
        return static_summary(self.flow, str(self.payload["order_id"]))


@dataclass(frozen=True, slots=True)
class CaseLine:
    """A case in a list. Times are aware datetimes in UTC, the amount is in fen."""

    case_id: str
    flow: str
    order_id: str
    state: str
    open: bool
    outcome: str | None
    amount_fen: int | None
    due: datetime | None
    waiting_for: tuple[str, ...]
    opened_by: str
    opened_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class CaseFilter:
    """Which cases are meant; everything that is None does not matter."""

    order_id: str | None = None
    opened_by: str | None = None
    flow: str | None = None
    state: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    """Opened at or after this."""
    open: bool = True
    """With the open ones."""
    closed: bool = True
    """With the closed ones."""

    def matches(self, line: CaseLine) -> bool:
        """Whether a case is meant."""
        return (
            (self.order_id is None or line.order_id == self.order_id)
            and (self.opened_by is None or line.opened_by == self.opened_by)
            and (self.flow is None or line.flow == self.flow)
            and (self.state is None or line.state == self.state)
            and (self.outcome is None or line.outcome == self.outcome)
            and (self.since is None or line.opened_at >= self.since)
            and (self.open if line.open else self.closed)
        )


# --- what needs no server ---


def flow_of_case(case_id: str) -> Flow[Any]:
    """The flow whose name begins the case id.

    Raises:
        UnknownCase: where there is none.

    """
    flow = next((flow for name, flow in FLOWS.items() if case_id.startswith(f"{name}-")), None)
    if flow is None:
        raise UnknownCase(f"{case_id} is not the id of a case.")
    return flow


def prepare_start(database: Database, flow_name: str, fields: Mapping[str, Any]) -> PreparedStart:
    """Examine a start against its model and the shop, and give it its case id. Sends nothing.

    Raises:
        BadInput: one plain sentence that names the field.

    """
    with database.reading() as session:
        return prepare_in(session, flow_name, fields)


def prepare_in(session: Session, flow_name: str, fields: Mapping[str, Any]) -> PreparedStart:
    """As `prepare_start`, in the caller's transaction: many starts are examined in one."""
    flow = FLOWS[flow_name]
    payload = {name: value for name, value in fields.items() if value is not None}
    for name in ("from_case", *sorted(flow.start_type.ONLY_FROM_CASE)):
        if name in payload:
            raise BadInput(f"{name} is only for cases that another case opens.")
    if payload.get("by") == Automatic.SYSTEM:
        raise BadInput("by is system, which only another case may say.")
    try:
        examined = examine_start(session, flow_name=flow_name, given=payload)
    except BadStart as refused:
        raise BadInput(f"{refused}.") from None
    return PreparedStart(flow, examined.case_id, payload, tuple(examined.lines))


def refuse_overlap(session: Session, prepared: PreparedStart) -> None:
    """Another open case may have one of the lines; the case looks again, in one transaction with its claim.

    Raises:
        CaseOpen: it has.

    """
    if prepared.flow.name not in claims.CLAIMING:
        return
    order_id = str(prepared.payload["order_id"])
    holder = claimants.had_by_another(session, order_id, prepared.lines, case_id=prepared.case_id)
    if holder is not None:
        raise CaseOpen(holder, f"The open case {holder} has a line of this already: look at it with casework show.")


def check_message(
    database: Database, case_id: str, order_id: str | None, trigger: str, fields: Mapping[str, Any]
) -> None:
    """Check what is to be sent to a case against the trigger's fields and the order's own name and address.

    Raises:
        BadInput: one plain sentence that names the field.

    """
    flow = flow_of_case(case_id)
    known = {one.name: one for one in may_be_sent(flow)}
    if trigger not in known:
        raise BadInput(f"There is no trigger {trigger} in {flow.name}; there is {', '.join(known)}.")
    try:
        message = known[trigger].message.model_validate(dict(fields))
    except ValidationError as error:
        raise BadInput(f"{explain(error)}.") from None
    given = message.model_dump(exclude={"by", "id", "version"})
    if order_id is None:
        return
    with database.reading() as session:
        try:
            personal = orders.personal_of(session, order_id)
        except UnknownOrder:
            return
        nobody = actor_named(all_staff(session), message.by, datetime.now(UTC)) == (None, NOBODY)
    for name, text in texts_of("", given):
        problem = personal_text(text, personal)
        if problem is not None:
            raise BadInput(f"{name}: {problem}.")
    for name, identifier in (("id", message.id), ("by", message.by if nobody else None)):
        if identifier is not None and personal_id(identifier, personal):
            raise BadInput(f"{name} holds the buyer's name or number; cases hold no personal data.")


def closed_view(database: Database, case_id: str) -> CaseView | None:
    """The view of a case's last run at its end, from the shop's record; None if that run is open or unknown."""
    with database.reading() as session:
        runs = records.find_records(session, case_id=case_id)
    last = max(runs, key=lambda run: run.opened_at, default=None)
    return CaseView.model_validate(last.view) if last is not None and last.view is not None else None


def closed_cases(database: Database, wanted: CaseFilter) -> list[CaseLine]:
    """The closed cases that are meant, from the shop's records; newest first."""
    with database.reading() as session:
        found = records.find_records(session, order_id=wanted.order_id, flow=wanted.flow, closed=True)
    lines = [_line_of_record(one) for one in found]
    return _newest_first(line for line in lines if wanted.matches(line))


# --- what talks to Temporal ---


@asynccontextmanager
async def desk_client(settings: Settings | None = None) -> AsyncGenerator[CaseworkClient]:
    """The client of the desk that the settings name (default: those of the environment), as the commands have it.

    Raises:
        NoServer: no Temporal server answers.
        SchemaNotReady: there is no shop, or it is of another version.

    """
    settings = settings or Settings()
    database = Database(settings.database_url)
    try:
        database.require_schema()
        yield CaseworkClient(await connect(settings.home, data_converter=DATA_CONVERTER), database)
    finally:
        database.close()


class CaseworkClient:
    """A case desk's client: `CaseworkClient(client, database)`; both are the caller's to close."""

    def __init__(
        self,
        client: Client,
        database: Database,
        *,
        task_queue: str = names.TASK_QUEUE,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        """`client` must use `casework.converter.DATA_CONVERTER`; `database` is the shop's."""
        self.temporal = client
        self._database = database
        self._task_queue = task_queue
        self._answer_seconds = answer_seconds

    @property
    def shop(self) -> Database:
        """The shop's database."""
        return self._database

    # --- open ---

    async def start_case(self, flow_name: str, fields: Mapping[str, Any]) -> str:
        """Open a case and give its id; it is examined against the shop first.

        Raises:
            BadInput: the start is refused, nothing was sent.
            CaseOpen: another open case is about the same, or has one of the lines.

        """
        return await self.start_prepared(prepare_start(self._database, flow_name, fields))

    async def start_prepared(self, prepared: PreparedStart) -> str:
        """As `start_case`, for a start that `prepare_start` has examined."""
        with self._database.reading() as session:
            refuse_overlap(session, prepared)
        return await self.send_start(prepared)

    async def send_start(self, prepared: PreparedStart) -> str:
        """As `start_prepared`, for a start that `refuse_overlap` has let pass: the shop is not asked any more."""
        order_id, by = str(prepared.payload["order_id"]), str(prepared.payload["by"])
        try:
            await self.temporal.start_workflow(
                prepared.flow.workflow,
                prepared.payload,
                id=prepared.case_id,
                task_queue=self._task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                static_summary=prepared.summary,
                static_details=f"casework show {prepared.case_id}",
                search_attributes=opening_attributes(order_id, by),
            )
        except WorkflowAlreadyStartedError:
            raise CaseOpen(
                prepared.case_id, f"The case {prepared.case_id} is open already: look at it with casework show."
            ) from None
        return prepared.case_id

    # --- look ---

    async def view(self, case_id: str) -> CaseView:
        """The case: an open one is asked itself, a closed one is read from the shop's record.

        One that Temporal broke off without the shop's knowing is shown as far as it is known, with how it was.

        Raises:
            UnknownCase: Temporal has no such case, and the shop has not seen its end.
            CaseRefused: it was started with something that cannot be a case, and says what.
            NoAnswer: no worker answers.

        """
        handle = self._handle(case_id)
        described = await self._described(case_id)
        if described is not None and described.status is WorkflowExecutionStatus.RUNNING:
            return await self._ask(handle)
        recorded = closed_view(self._database, case_id)
        if recorded is not None:
            return recorded
        if described is None:
            raise UnknownCase(f"There is no case {case_id}.")
        if described.status is WorkflowExecutionStatus.COMPLETED:
            if described.workflow_type not in names.WORKFLOW_TYPES.values():
                raise CaseRefused(f"The case {case_id} is not one: a {described.workflow_type} of that id has ended.")
            return CaseView.model_validate(await handle.result())
        with self._database.reading() as session:
            record = next(iter(records.find_records(session, case_id=case_id, closed=False)), None)
        if record is None:
            raise CaseRefused(f"The case {case_id} is not one: {await _why_failed(handle)}.")
        ended = execution_described(described)
        view = await last_view(self.temporal, record, ended, seconds=self._answer_seconds)
        return broken_off(view, ended.ended_as(record))

    async def view_at_rest(self, case_id: str) -> CaseView:
        """The case once it waits for somebody or has ended; where that takes too long, as it is then."""
        view = await self.view(case_id)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._answer_seconds):
                while not view.final and not view.waiting_for:
                    await asyncio.sleep(POLL_SECONDS)
                    view = await self.view(case_id)
        return view

    async def _ask(self, handle: Handle) -> CaseView:
        return CaseView.model_validate(await self._query(handle, names.CASE_QUERY))

    async def _query(self, handle: Handle, name: str) -> Any:
        try:
            return await self._in_time(queried(handle, name, timeout=self._timeout))
        except WorkflowQueryFailedError as error:
            raise CaseRefused(f"The case {handle.id} cannot be shown: {error}.") from None
        except (RPCError, TimeoutError) as error:
            if isinstance(error, RPCError) and error.status not in NO_WORKER:
                raise
            raise NoAnswer(
                f"No worker answered for {handle.id} within {self._answer_seconds:.0f} s, and nothing was sent: "
                "is casework up running?",
                taken_in=None,
            ) from None

    # --- act ---

    async def submit(
        self, case_id: str, trigger: str, fields: Mapping[str, Any], *, seen: CaseView | None = None
    ) -> CaseView:
        """Act on a case; gives its view after the move.

        `seen` is the view that the decision is made on (default: the case is asked now); its version goes along, and
        an id that makes a resend harmless.

        Raises:
            BadInput: refused here, nothing was sent.
            CaseRefused: the case says no.
            CaseEnded: there is nothing more to decide.
            NoAnswer: no worker answered; tells whether the message was taken in.

        """
        flow_of_case(case_id)
        check_message(self._database, case_id, None, trigger, fields)
        seen = seen or await self.view(case_id)
        if seen.final:
            raise _ended(seen)
        check_message(self._database, case_id, seen.order_id, trigger, fields)
        message = {"id": uuid4().hex, "version": seen.version, **fields, "trigger": trigger}
        handle = self._handle(case_id)
        update_id = f"casework-{uuid4().hex}"
        try:
            answer = await self._in_time(
                # the SDK's own overloads are not wholly typed
                handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
                    names.SUBMIT, message, id=update_id, rpc_timeout=self._timeout
                )
            )
        except WorkflowUpdateFailedError as error:
            cause = error.cause
            if isinstance(cause, ApplicationError) and cause.type in ("Refused", "BadStart"):
                raise CaseRefused(full_stop(cause.message)) from None
            await self._refuse_if_ended(case_id)
            raise
        except (WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError):
            raise await self._not_answered(handle, update_id, str(message["id"])) from None
        except RPCError as error:
            if error.status in NO_WORKER:
                raise await self._not_answered(handle, update_id, str(message["id"])) from None
            if is_not_there(error):
                await self._refuse_if_ended(case_id)
            raise
        after = CaseView.model_validate(answer)
        # what it does next may be outside: until it tells the shop again, it is offered to nobody
        with suppress(SQLAlchemyError), self._database.writing() as session:
            waiting.moved_on(session, case_id, after.opened_at, after.version)
        return after

    async def _refuse_if_ended(self, case_id: str) -> None:
        """The server no longer takes a message while a case closes: look, and say so."""
        view = await self.view(case_id)
        if view.final:
            raise _ended(view) from None

    async def _not_answered(self, handle: Handle, update_id: str, message_id: str) -> NoAnswer:
        taken_in = await self._was_taken_in(handle, update_id)
        what = "but the message was taken in" if taken_in else "and the message has not been taken in"
        return NoAnswer(
            f"No worker answered for {handle.id} within {self._answer_seconds:.0f} s, {what}; "
            f"sending it again with --set id={message_id} can do no harm.",
            taken_in=taken_in,
        )

    async def _was_taken_in(self, handle: Handle, update_id: str) -> bool:
        """Whether the case's history holds the message."""
        accepted = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED
        async for event in handle.fetch_history_events():
            if event.event_type == accepted:
                attributes = event.workflow_execution_update_accepted_event_attributes
                if attributes.protocol_instance_id == update_id:
                    return True
        return False

    async def cancel(self, case_id: str) -> CaseView:
        """Ask Temporal to cancel the case, and wait for what the case makes of it.

        Raises:
            CaseRefused: the case says no (once money has been sent, for example).
            CaseEnded: there is nothing more to cancel.
            NoAnswer: it has not answered yet; the request was taken in.

        """
        seen = await self.view(case_id)
        if seen.final:
            raise _ended(seen)
        handle = self._handle(case_id)
        try:
            await handle.cancel(rpc_timeout=self._timeout)
        except RPCError as error:
            if is_not_there(error):
                await self._refuse_if_ended(case_id)
            raise
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await self._answered_cancel(case_id, max([seen.opened_at, *(line.at for line in seen.trail)]))
        except TimeoutError:
            raise NoAnswer(
                f"{case_id} has not answered within {self._answer_seconds:.0f} s, but the request was taken in: "
                "it counts as soon as no payment is out and a worker runs.",
                taken_in=True,
            ) from None

    async def _answered_cancel(self, case_id: str, asked_after: datetime) -> CaseView:
        while True:
            view = await self.view(case_id)
            answers = [line for line in view.trail if line.trigger == CANCEL and line.at > asked_after]
            if answers and not answers[0].accepted:
                raise CaseRefused(full_stop(answers[0].why or "refused"))
            if view.final:
                return view
            await asyncio.sleep(POLL_SECONDS)

    # --- lists ---

    async def inbox(
        self,
        staff_id: str | None = None,
        roles: Sequence[Role] = (),
        *,
        wanted: WaitFilter | None = None,
        limit: int | None = None,
        now: datetime | None = None,
    ) -> Inbox:
        """The cases that wait for a person, in every role they may act in now, or for the roles; soonest first.

        Where a case waits it tells the shop itself, in a step that it makes anyway: so this asks no case, and is not
        behind as Temporal's lists are. Temporal is asked once per page whether it has ended one of them without its
        knowing. `wanted` narrows it (its roles do not count), `limit` says how many are shown (None: all), `now` is the
        time (aware) by which a case is overdue and from which waiting without a decision is counted.

        Raises:
            BadInput: there is no such person, or they are absent.

        """
        now = now or datetime.now(UTC)
        actor = Actor(staff_id="", grants=dict.fromkeys(roles))
        if staff_id is not None:
            actor = self._actor(staff_id)
            actor.grants = {role: limit for role, limit in actor.grants.items() if not roles or role in roles}
        meant = replace(wanted or WaitFilter(), roles=tuple(role.value for role in sorted(actor.grants)))
        if not actor.grants:
            return Inbox(cases=[], total=0, leaves_fen=0, may_leave_fen=0, leaves_until=now + SILENCE)
        await self._ask_untold()
        while True:
            with self._database.reading() as session:
                page = waiting.waiting(session, meant, limit)
                total = len(page) if limit is None or len(page) < limit else waiting.how_many(session, meant)
                leaving = waiting.leaving(session, meant, now)
            looking = asyncio.create_task(self._ended_by_temporal(page))
            await asyncio.sleep(0)  # the question is on its way while the table is asked
            cases = [one for told in page if (one := in_inbox(told, actor, now)) is not None]
            ended = await looking
            if not ended:
                return Inbox(
                    cases=cases,
                    total=total,
                    leaves_fen=leaving.certain_fen,
                    may_leave_fen=leaving.perhaps_fen,
                    leaves_until=now + SILENCE,
                )
            with self._database.writing() as session:
                waiting.drop(session, ended)

    def _actor(self, staff_id: str) -> Actor:
        with self._database.reading() as session:
            actor, why = actor_named(all_staff(session), staff_id, datetime.now(UTC))
        if actor is None:
            raise BadInput(full_stop(why or f"{staff_id} may not act"))
        return actor

    async def forecast(self, roles: Sequence[Role] = (), *, hours: float = 24, now: datetime | None = None) -> Forecast:
        """What the open cases do by themselves in the next hours if nobody acts, and what money leaves.

        `roles`: only the cases that wait for one of them now. `now` is the time (aware) from which the hours are
        counted. As for the inbox, no case is asked.
        """
        now = now or datetime.now(UTC)
        until = now + timedelta(hours=hours)
        await self._ask_untold()
        wanted = WaitFilter(roles=tuple(role.value for role in roles) or None)
        with self._database.reading() as session:
            told = waiting.waiting(session, wanted)
            everybody = set[str]() if roles else set(waiting.open_cases(session))
            others = everybody - {one.case_id for one in told}
        ended = {one.case_id for one in await self._ended_by_temporal(told)}
        courses = [course_told(one.case, now=now, until=until) for one in told if one.case_id not in ended]
        known = [course for course in courses if course is not None]
        return Forecast(until=until, courses=known, at_work=sorted(others))

    async def why(self, case_id: str, trigger: str, by: str | None, fields: Mapping[str, Any]) -> Verdict:
        """Whether `by` may fire the trigger, or say the aside, now, what stands in the way, and who could.

        The open case is asked for all that it knows, and the flow's own machine for the answer. `fields` are what would
        be sent with it; without any, what is in the message stands in nobody's way. Nothing is sent.

        Raises:
            BadInput: the flow has no such trigger, and it is no aside; or the fields are refused.
            UnknownCase: neither Temporal nor the shop knows the case.
            CaseRefused: the case cannot be shown.
            NoAnswer: no worker answers.

        """
        flow = flow_of_case(case_id)
        view = await self.view(case_id)
        known, message = trigger_named(flow, trigger), None
        if fields or known is None:
            given = {**fields, "by": by or "nobody"}
            check_message(self._database, case_id, view.order_id, trigger, given)
            message = known.message.model_validate(given) if known is not None else None
        with self._database.reading() as session:
            staff = all_staff(session)
        return judge(
            flow,
            case_of(view) if view.final else await self.state(case_id),
            trigger,
            by=by,
            staff=staff,
            message=message,
            at=datetime.now(UTC),
            lookups=lookups_of(flow),
        )

    async def state(self, case_id: str) -> Case[Any]:
        """All that an open case knows, asked of itself.

        Raises:
            CaseRefused: it cannot be shown.
            NoAnswer: no worker answers.

        """
        return flow_of_case(case_id).case_type.model_validate(
            await self._query(self._handle(case_id), names.STATE_QUERY)
        )

    async def _ask_untold(self) -> None:
        """Cases that an older Casework opened have not told the shop where they wait: ask each, once."""
        with self._database.reading() as session:
            untold = waiting.untold(session)
        if not untold:
            return
        for case in await ask_each(untold, self._state_or_none):
            if case is not None:
                with self._database.writing() as session:
                    told = waits_of(FLOWS[case.flow], case, datetime.now(UTC))
                    waiting.tell_of_untold(session, case.case_id, case.version, told)

    async def _state_or_none(self, case_id: str) -> Case[Any] | None:
        try:
            return await self.state(case_id)
        except (BadInput, CaseRefused, RPCError):
            return None

    async def _ended_by_temporal(self, page: Sequence[Waiting]) -> list[Waiting]:
        """Those of the cases that Temporal has terminated or failed, or timed out, without their telling the shop.

        A reset terminates an execution too, and the case goes on in another one: so each that is found is asked for.
        """
        opened = {one.case_id: datetime.fromisoformat(one.case["opened_at"]) for one in page}
        ended: set[str] = set()
        for some in parts(list(opened), MOST_NAMED):
            named = ", ".join(f"'{case_id}'" for case_id in some)
            query = f"ExecutionStatus IN ('Terminated', 'Failed', 'TimedOut', 'Canceled') AND WorkflowId IN ({named})"
            async for execution in self.temporal.list_workflows(query):
                # not an earlier case of the same id
                if execution.start_time >= opened[execution.id] - timedelta(milliseconds=1):
                    ended.add(execution.id)
        over = dict(zip(ended, await ask_each(list(ended), self._is_over), strict=True))
        return [one for one in page if over.get(one.case_id)]

    async def _is_over(self, case_id: str) -> bool:
        """Whether no run of the case is under way, as Temporal itself says and not its lists, which lag."""
        described = await self._described(case_id)
        return described is None or described.status is not WorkflowExecutionStatus.RUNNING

    async def _described(self, case_id: str) -> WorkflowExecutionDescription | None:
        """The newest run of the case, as Temporal describes it; None: it does not have the case."""
        try:
            return await self._handle(case_id).describe(rpc_timeout=self._timeout)
        except RPCError as error:
            if is_not_there(error):
                return None
            raise

    async def _still_open(self, case_id: str) -> CaseView | None:
        try:
            view = await self.view(case_id)
        except (UnknownCase, CaseRefused):
            return None
        return None if view.final else view

    async def assigned_to(self, staff_ids: Sequence[str]) -> dict[str, str]:
        """Open case → whose it is: the cases that are assigned to these people.

        Those that wait for somebody have told the shop. Those at work, or that only poll, are taken from
        Temporal's list, which may lag a moment behind.
        """
        if not staff_ids:
            return {}
        quoted = ", ".join(f"'{one}'" for one in staff_ids)
        listed = self.temporal.list_workflows(f"{names.CASE_ASSIGNEE} IN ({quoted}) AND {OPEN}")
        found = {one.id: one.typed_search_attributes.get(CASE_ASSIGNEE, "") async for one in listed}
        with self._database.reading() as session:
            told = waiting.assignees(session)
        theirs = {case_id: staff_id for case_id, staff_id in told.items() if staff_id and staff_id in staff_ids}
        over = dict(zip(theirs, await ask_each(list(theirs), self._is_over), strict=True))
        at_work = {case_id: staff_id for case_id, staff_id in found.items() if case_id not in told}
        return at_work | {case_id: staff_id for case_id, staff_id in theirs.items() if not over[case_id]}

    async def cases(self, wanted: CaseFilter) -> list[CaseLine]:
        """Open and closed cases, also those Temporal no longer has; newest first.

        Where an open case is, is Temporal's list, which may lag a moment behind; `view` asks the case itself.
        """
        found = closed_cases(self._database, wanted) if wanted.closed else []
        if wanted.open:
            lines = await self._open_cases(wanted)
            found += [line for line in lines if wanted.matches(line)]
        return _newest_first(found)

    async def _open_cases(self, wanted: CaseFilter) -> list[CaseLine]:
        listed = {execution.id: execution async for execution in self.temporal.list_workflows(OPEN_CASES)}
        with self._database.reading() as session:
            recorded = records.find_records(session, order_id=wanted.order_id, flow=wanted.flow, closed=False)
        # the shop knows of a case before Temporal lists it
        unlisted = await ask_each([one.case_id for one in recorded if one.case_id not in listed], self._still_open)
        return [
            *(_line_of_execution(execution) for execution in listed.values()),
            *(_line_of_view(view) for view in unlisted if view is not None),
        ]

    # --- addressing ---

    async def resolve(self, text: str) -> str:
        """The one case that a case id, an order id, a waybill, or any end of one with at least four digits means.

        Raises:
            UnknownCase: none.
            SeveralCases: more than one, all named.

        """
        with self._database.reading() as session:
            found = records.resolve_case(session, text)
        if not found:
            found = [case_id async for case_id in self._unrecorded(text)]
        if not found:
            raise UnknownCase(f"No case matches {text}.")
        if len(found) > 1:
            raise SeveralCases(text, found)
        return found[0]

    async def _unrecorded(self, text: str) -> AsyncIterator[str]:
        """Cases that no worker has opened in the shop yet: by their whole id, or their order's."""
        if not re.fullmatch(r"[A-Za-z0-9.-]{6,100}", text):
            return
        ids = [text] if any(text.startswith(f"{name}-") for name in FLOWS) else [f"{name}-{text}" for name in FLOWS]
        for prefix in ids:
            query = f"WorkflowId = '{prefix}' OR (WorkflowId STARTS_WITH '{prefix}-' AND {OPEN})"
            seen: set[str] = set()
            async for execution in self.temporal.list_workflows(query):
                if execution.id not in seen:
                    seen.add(execution.id)
                    yield execution.id

    # --- news from the shop ---

    async def tell_notices(self) -> int:
        """Tell the open cases what happened to their orders; gives how many were told now.

        A case that has ended, that Temporal does not have, or whose flow makes nothing of the news counts as told.
        Harmless when done twice.
        """
        with self._database.reading() as session:
            pending = notices.pending(session)
        failed: RPCError | None = None
        for notice in pending:
            if not _makes_sense(notice):
                self._told(notice.id)
                continue
            try:
                await self._handle(notice.case_id).signal(
                    notice.trigger, {"by": "system", "id": f"notice-{notice.id}"}, rpc_timeout=self._timeout
                )
            except RPCError as error:
                if not is_not_there(error):
                    # this one waits in the shop; the others are told all the same
                    failed = error
                    continue
            self._told(notice.id)
        if failed is not None:
            raise failed
        return len(pending)

    def _told(self, notice_id: int) -> None:
        with self._database.writing() as session:
            notices.told(session, notice_id)

    # --- shared by the above ---

    @property
    def _timeout(self) -> timedelta:
        return timedelta(seconds=self._answer_seconds)

    def _handle(self, case_id: str) -> Handle:
        return self.temporal.get_workflow_handle(case_id)

    async def _in_time(self, answer: Awaitable[ResultT]) -> ResultT:
        async with asyncio.timeout(self._answer_seconds):
            return await answer


NO_WORKER: Final = (
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.CANCELLED,
    RPCStatusCode.FAILED_PRECONDITION,  # "no poller seen for task queue recently"
)
"""What Temporal says where no worker answers."""


def _makes_sense(notice: notices.Notice) -> bool:
    """Whether the notice is for a case of a flow that we know, and the flow makes something of it."""
    try:
        return notice.trigger in flow_of_case(notice.case_id).triggers
    except UnknownCase:
        return False


async def ask_each(case_ids: Sequence[str], ask: Callable[[str], Awaitable[ResultT]]) -> list[ResultT]:
    """Ask every case, a bounded number at the same time; in the order given."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(case_id: str) -> ResultT:
        async with gate:
            return await ask(case_id)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(case_id)) for case_id in case_ids]
    except ExceptionGroup as several:
        # what one of them says is said: it is most often the same for all
        raise several.exceptions[0] from None
    return [task.result() for task in tasks]


async def _why_failed(handle: Handle) -> str:
    try:
        await handle.result()
    except WorkflowFailureError as failure:
        cause = failure.cause
        return cause.message if isinstance(cause, ApplicationError) else str(cause)
    return "it ended without a word"


def _ended(view: CaseView) -> CaseEnded:
    return CaseEnded(f"The case has ended: {view.case_id} is {view.outcome or view.state}.")


def _line_of_record(record: records.CaseRecord) -> CaseLine:
    """A closed case, also one that never came to an end of its own."""
    ended = record.outcome or ""
    return CaseLine(
        case_id=record.case_id,
        flow=record.flow,
        order_id=record.order_id,
        state=str(record.view["state"]) if record.view else ended,
        open=False,
        outcome=ended,
        amount_fen=record.amount_fen,
        due=None,
        waiting_for=(),
        opened_by=record.opened_by,
        opened_at=record.opened_at,
        closed_at=record.closed_at,
    )


def _line_of_view(view: CaseView) -> CaseLine:
    return CaseLine(
        case_id=view.case_id,
        flow=view.flow,
        order_id=view.order_id,
        state=view.state,
        open=not view.final,
        outcome=view.outcome,
        amount_fen=view.amount_fen,
        due=None if view.final else view.due,
        waiting_for=expected_roles(view),
        opened_by=view.opened_by,
        opened_at=view.opened_at,
        closed_at=None,
    )


def _line_of_execution(execution: WorkflowExecution) -> CaseLine:
    """An open case as Temporal lists it; what no worker has said yet is not known."""
    known = execution.typed_search_attributes
    types = {workflow: flow for flow, workflow in names.WORKFLOW_TYPES.items()}
    return CaseLine(
        case_id=execution.id,
        flow=types[execution.workflow_type],
        order_id=known.get(ORDER_ID, ""),
        state=known.get(CASE_STATE, ""),
        open=True,
        outcome=None,
        amount_fen=known.get(CASE_AMOUNT, None),
        due=known.get(CASE_DUE, None),
        waiting_for=tuple(known.get(CASE_WAITING_FOR, ())),
        opened_by=known.get(CASE_OPENED_BY, ""),
        opened_at=execution.start_time,
        closed_at=None,
    )


def _newest_first(lines: Iterable[CaseLine]) -> list[CaseLine]:
    return sorted(lines, key=lambda line: (line.opened_at, line.case_id), reverse=True)
