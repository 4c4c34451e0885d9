"""Whether today's code replays a recorded history, and what the case then knows. Nothing is sent or changed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, cast

from google.protobuf.json_format import ParseError
from pydantic import ValidationError
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent, WorkflowExecutionStartedEventAttributes
from temporalio.client import WorkflowHistory
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    Replayer,
    StartActivityInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
    WorkflowReplayResult,
)

from casework import names
from casework.case import Case, CaseView
from casework.converter import DATA_CONVERTER
from casework.files import read_at_most
from casework.sandbox import workflow_runner
from casework.verifying.paying import PAYING, PAYS, PaymentAsked
from state_machines.flows import FLOWS
from state_machines.table import Flow

LONGEST_FAILURE: Final = 400
"""Characters of a failure's text that are repeated."""
LONGEST_SECONDS: Final = 120.0
"""For the replay of one run: the longest history that Temporal takes needs less."""
HANGS: Final = "TMPRL1101"
"""What Temporal's SDK says of a workflow task that takes two seconds, as it may where the machine is busy."""
MOST_TRIES: Final = 2
"""So often a run is replayed of which the SDK says that it hangs."""
MOST_BYTES: Final = 200 * 1024 * 1024
"""Of a history's file: Temporal ends a case whose history is a quarter of it."""
ReadT = TypeVar("ReadT")
Status = Literal["open", "completed", "continued", "failed", "terminated", "timed_out", "canceled"]
_ENDS: Final[dict[int, Status]] = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: "completed",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW: "continued",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: "failed",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED: "terminated",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT: "timed_out",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED: "canceled",
}


_PROLONGING: Final = frozenset(
    {
        EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED,
        EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
        EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
    }
)
"""What a workflow task consists of that is prolonged, because a step on the shop takes long: signals may come between
its parts, and nothing that the case asked for."""
_PROLONGED_AT_ONCE: Final = timedelta(seconds=1)
"""The next part of a prolonged workflow task begins no later."""


class NoHistory(Exception):
    """A file holds no history of a case or of the patrol; the message is one plain sentence."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run's history, and what it says of itself."""

    history: WorkflowHistory

    @property
    def started(self) -> WorkflowExecutionStartedEventAttributes:
        """How it was started."""
        return self.history.events[0].workflow_execution_started_event_attributes

    @property
    def run_id(self) -> str:
        """Of this very run."""
        return self.started.original_execution_run_id

    @property
    def first_run(self) -> str:
        """Of the run that it continues, however often: the shop's record calls the case so."""
        return self.started.first_execution_run_id or self.run_id

    @property
    def flow(self) -> Flow[Any] | None:
        """The flow; None: the patrol's."""
        return next((one for one in FLOWS.values() if one.workflow == self.started.workflow_type.name), None)

    @property
    def status(self) -> Status:
        """How the run stands by what is recorded."""
        return _ENDS.get(self.history.events[-1].event_type, "open")

    def told(self) -> CaseView | Case[Any] | None:
        """What the run said itself at its end: the case's view, or the whole case that it went on with as another run.

        None: it has not ended by itself, or said something that is no case.
        """
        if self.flow is None:
            return None
        if self.status == "continued":
            return _carried(self.flow, self._said())
        return _read(self._said(), CaseView.model_validate)

    def told_as_written(self) -> dict[str, Any]:
        """As `told`, with the fields that are recorded and no others: an older Casework has not written all of them."""
        as_written: Any = _read(self._said(), lambda said: said["carried"] if self.status == "continued" else said)
        return cast("dict[str, Any]", as_written) if isinstance(as_written, dict) else {}

    def _said(self) -> Sequence[Payload]:
        last = self.history.events[-1]
        if self.status == "continued":
            return last.workflow_execution_continued_as_new_event_attributes.input.payloads
        return last.workflow_execution_completed_event_attributes.result.payloads

    def given(self) -> Case[Any] | None:
        """The case that the run goes on with; None: it continues none."""
        if self.flow is None or not self.started.continued_execution_run_id:
            return None
        return _carried(self.flow, self.started.input.payloads)

    def payments_sent(self) -> list[dict[str, Any]]:
        """What was recorded of each payment that was asked for outside the shop's own steps, in their order."""
        asked = [event.activity_task_scheduled_event_attributes for event in self.history.events]
        read = [_read(one.input.payloads, lambda sent: sent) for one in asked if one.activity_type.name == PAYS]
        return [one if isinstance(one, dict) else {} for one in read]

    @property
    def was_reset(self) -> bool:
        """Whether it goes on from a point before what it did in another history, which this one does not tell."""
        reset = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW
        return any(event.workflow_task_failed_event_attributes.cause == reset for event in self.history.events)

    @property
    def is_at_rest(self) -> bool:
        """Whether, at the end of what is recorded, no workflow task and no start of another case is under way."""
        task_under_way, starts = True, set[int]()
        for event in self.history.events:
            match event.event_type:
                case (
                    EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED
                    | EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
                    | EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT
                ):
                    task_under_way = True
                case EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                    task_under_way = False
                case EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
                    starts.add(event.event_id)
                case EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED:
                    starts.discard(event.child_workflow_execution_started_event_attributes.initiated_event_id)
                case EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED:
                    starts.discard(event.start_child_workflow_execution_failed_event_attributes.initiated_event_id)
                case _:
                    pass
        return not task_under_way and not starts

    @property
    def slowest_task(self) -> timedelta:
        """How long the longest workflow task took, with those that prolonged it for a slow step on the shop.

        Temporal tells a case the time at which its workflow task began, and a replay of a prolonged one may be told
        that of another part of it: so much may the times differ that a replay comes to.
        """
        began, ended, longest = None, None, timedelta()
        for event in self.history.events:
            at = event.event_time.ToDatetime()
            if event.event_type not in _PROLONGING:
                ended = None
            elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
                prolongs = ended is not None and at - ended <= _PROLONGED_AT_ONCE
                began = began if prolongs else at
            elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED and began is not None:
                ended, longest = at, max(longest, at - began)
        return longest


def _carried(flow: Flow[Any], payloads: Sequence[Payload]) -> Case[Any] | None:
    """The case that one run hands to the next, with the start."""
    return _read(payloads, lambda start: flow.case_type.model_validate(start["carried"]))


def _read(payloads: Sequence[Payload], as_what: Callable[[Any], ReadT]) -> ReadT | None:
    if not payloads:
        return None
    try:
        return as_what(DATA_CONVERTER.payload_converter.from_payload(payloads[0]))
    except (ValidationError, LookupError, TypeError, ValueError, RuntimeError):
        return None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay: the case as far as it got (None: it never began), and why it got no further."""

    case: Case[Any] | None
    failure: str | None
    payments: tuple[PaymentAsked, ...] = ()
    """Every payment that it asked for, in this order."""
    was_reset: bool = False
    """As `Recorded.was_reset`."""


def read_history(file: Path) -> Recorded:
    """The history in a JSON file, as `temporal workflow show --output json` and the UI write them.

    Raises:
        NoHistory: it cannot be read, or holds something else.

    """
    try:
        content = read_at_most(file, MOST_BYTES)
    except OSError as error:
        raise NoHistory(f"{file} cannot be read: {error.strerror or error}.") from None
    if content is None:
        raise NoHistory(f"{file} is larger than any history: {MOST_BYTES // 1024 // 1024} MB are read at most.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NoHistory(f"{file} is not UTF-8 text.") from None
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise NoHistory(f"{file} is not JSON.") from None
    if not isinstance(given, dict) or "events" not in given:
        raise NoHistory(f"{file} is not a history: it has no events.")
    try:
        events = WorkflowHistory.from_json("", given).events  # pyright: ignore[reportUnknownArgumentType] - JSON
    except (ParseError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise NoHistory(f"{file} is not a history: its events are not Temporal's.") from None
    return Recorded(WorkflowHistory(_id_of(file, events), events))


def _id_of(file: Path, events: Sequence[HistoryEvent]) -> str:
    """The workflow id in the first event; older servers do not write it there."""
    if not events or events[0].event_type != EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
        raise NoHistory(f"{file} is not a whole history: it does not begin with the start of a workflow.")
    started = events[0].workflow_execution_started_event_attributes
    if started.workflow_type.name not in (*names.WORKFLOW_TYPES.values(), names.PARCEL_PATROL):
        raise NoHistory(f"{file} is the history of {started.workflow_type.name or 'nothing'}, which is no case.")
    return started.workflow_id or file.stem


class Replays:
    """Replays histories with these workflow classes: by default, all of today's."""

    def __init__(self, workflows: Sequence[type] | None = None, *, longest: float = LONGEST_SECONDS) -> None:
        """Several may be replayed at once. `longest`: seconds after which a replay counts as failed."""
        if workflows is None:
            from worker import WORKFLOWS  # the place where things are put together imports everything

            workflows = WORKFLOWS
        self._longest = longest
        logging.getLogger("temporalio.worker._workflow").addFilter(_said_by_others)
        self._replayer = Replayer(
            workflows=workflows,
            data_converter=DATA_CONVERTER,
            workflow_runner=workflow_runner(),
            interceptors=[_Looking()],
            runtime=_silent_runtime(),
        )

    async def replay(self, recorded: Recorded) -> Replayed:
        """Replay one run from its beginning to where its history ends."""
        if len(recorded.history.events) == 1:
            # a run that is to begin, as in the moment after another continued as new: Temporal's SDK waits for ever for
            # its first workflow task
            return Replayed(recorded.given(), None)
        replayed = await self._replayed(recorded)
        for _ in range(MOST_TRIES - 1):
            if HANGS not in (replayed.failure or ""):
                break
            replayed = await self._replayed(recorded)
        return replayed

    async def _replayed(self, recorded: Recorded) -> Replayed:
        was_reset = recorded.was_reset
        # a task of its own, whose context all tasks of the replay have
        seen = _Seen()
        replaying = asyncio.create_task(self._replay(recorded.history, seen))
        try:
            done, _ = await asyncio.wait([replaying], timeout=self._longest)
        finally:
            replaying.cancel()  # not waited for: the SDK goes on waiting for the workflow task that it has not got
        case: Case[Any] | None = getattr(seen.instance, "case", None)
        payments = tuple(seen.payments)
        if not done:
            return Replayed(
                case, f"run {recorded.run_id} was not done after {self._longest:.0f} s", payments, was_reset
            )
        result, failure = replaying.result(), None
        if result.replay_failure is not None:
            failure = " ".join(str(result.replay_failure).split())[:LONGEST_FAILURE] or "no more is known"
        return Replayed(case, failure, payments, was_reset)

    async def _replay(self, history: WorkflowHistory, seen: _Seen) -> WorkflowReplayResult:
        _replaying.set(seen)
        return await self._replayer.replay_workflow(history, raise_on_replay_failure=False)


@dataclass(slots=True)
class _Seen:
    """What one replay has shown: the workflow object, and the payments that it asks for.

    Of the replay, not by the run's id: a run that was reset and the one before it have the same in their histories.
    """

    instance: Any = None
    payments: list[PaymentAsked] = field(default_factory=list[PaymentAsked])


class _Looking(Interceptor):
    """Keeps hold of the workflow object, so that one can see what it knows once its history is at its end."""

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002, ARG002 - the SDK's name
    ) -> type[WorkflowInboundInterceptor]:
        seen = _replaying.get()  # the replayer makes a worker, and so asks here, for each replay
        if seen is None:
            raise RuntimeError("only `Replays` replays with it")

        class Outbound(WorkflowOutboundInterceptor):
            def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002 - the SDK's name
                return _noted(seen, input, super().start_activity(input))

            def start_local_activity(self, input: StartLocalActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002 - the SDK's name
                return _noted(seen, input, super().start_local_activity(input))

        class Inbound(WorkflowInboundInterceptor):
            def init(self, outbound: WorkflowOutboundInterceptor) -> None:
                super().init(Outbound(outbound))

            async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002 - the SDK's name
                seen.instance = workflow.instance()
                return await super().execute_workflow(input)

        return Inbound


def _noted(
    seen: _Seen,
    asked: StartActivityInput | StartLocalActivityInput,
    handle: workflow.ActivityHandle[Any],
) -> workflow.ActivityHandle[Any]:
    """Note a step that pays, and its answer as soon as the case has it."""
    if asked.activity in PAYING:
        payment = PaymentAsked.of(asked.activity, asked.args[0])
        seen.payments.append(payment)
        handle.add_done_callback(payment.take_answer)
    return handle


@cache
def _silent_runtime() -> Runtime:
    """Temporal's core writes what fails in a replay to standard error; whoever replays says it in a sentence."""
    return Runtime(telemetry=TelemetryConfig(logging=None))


_replaying: ContextVar[_Seen | None] = ContextVar("replaying", default=None)


def _said_by_others(_: logging.LogRecord) -> bool:
    """Temporal's SDK logs a traceback for each failure of our code: of replays, none is wanted."""
    return _replaying.get() is None
