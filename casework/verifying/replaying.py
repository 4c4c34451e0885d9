"""Whether today's code replays a recorded history, and what the case then knows. Nothing is sent or changed."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from google.protobuf.json_format import ParseError
from pydantic import ValidationError
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent, WorkflowExecutionStartedEventAttributes
from temporalio.client import WorkflowHistory
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    Replayer,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowReplayResult,
)

from casework import names
from casework.case import Case, CaseView
from casework.converter import DATA_CONVERTER
from casework.sandbox import workflow_runner
from state_machines.flows import FLOWS
from state_machines.table import Flow

LONGEST_FAILURE: Final = 400
"""Characters of a failure's text that are repeated."""
LONGEST_SECONDS: Final = 120.0
"""For the replay of one run: the longest history that Temporal takes needs less."""
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
        last = self.history.events[-1]
        if self.status == "continued":
            return _carried(self.flow, last.workflow_execution_continued_as_new_event_attributes.input.payloads)
        return _read(last.workflow_execution_completed_event_attributes.result.payloads, CaseView.model_validate)

    def given(self) -> Case[Any] | None:
        """The case that the run goes on with; None: it continues none."""
        if self.flow is None or not self.started.continued_execution_run_id:
            return None
        return _carried(self.flow, self.started.input.payloads)


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


def read_history(file: Path) -> Recorded:
    """The history in a JSON file, as `temporal workflow show --output json` and the UI write them.

    Raises:
        NoHistory: it cannot be read, or holds something else.

    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise NoHistory(f"{file} is larger than any history: {MOST_BYTES // 1024 // 1024} MB are read at most.")
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise NoHistory(f"{file} cannot be read: {error.strerror or error}.") from None
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
        self._looking = _Looking()
        self._replayer = Replayer(
            workflows=workflows,
            data_converter=DATA_CONVERTER,
            workflow_runner=workflow_runner(),
            interceptors=[self._looking],
            runtime=_silent_runtime(),
        )

    async def replay(self, recorded: Recorded) -> Replayed:
        """Replay one run from its beginning to where its history ends."""
        if len(recorded.history.events) == 1:
            # a run that is to begin, as in the moment after another continued as new: Temporal's SDK waits for ever for
            # its first workflow task
            return Replayed(recorded.given(), None)
        key = (recorded.history.workflow_id, recorded.run_id)
        # a task of its own, whose context all tasks of the replay have
        replaying = asyncio.create_task(self._replay(recorded.history))
        try:
            done, _ = await asyncio.wait([replaying], timeout=self._longest)
        finally:
            replaying.cancel()  # not waited for: the SDK goes on waiting for the workflow task that it has not got
        case: Case[Any] | None = getattr(self._looking.instances.pop(key, None), "case", None)
        if not done:
            return Replayed(case, f"run {recorded.run_id} was not done after {self._longest:.0f} s")
        result, failure = replaying.result(), None
        if result.replay_failure is not None:
            failure = " ".join(str(result.replay_failure).split())[:LONGEST_FAILURE] or "no more is known"
        return Replayed(case, failure)

    async def _replay(self, history: WorkflowHistory) -> WorkflowReplayResult:
        _replaying.set(True)
        return await self._replayer.replay_workflow(history, raise_on_replay_failure=False)


class _Looking(Interceptor):
    """Keeps hold of the workflow objects, so that one can see what they know once their history is at its end."""

    def __init__(self) -> None:
        self.instances: dict[tuple[str, str], Any] = {}

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002, ARG002 - the SDK's name
    ) -> type[WorkflowInboundInterceptor]:
        instances = self.instances

        class Inbound(WorkflowInboundInterceptor):
            async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002 - the SDK's name
                info = workflow.info()
                instances[info.workflow_id, info.run_id] = workflow.instance()
                return await super().execute_workflow(input)

        return Inbound


@cache
def _silent_runtime() -> Runtime:
    """Temporal's core writes what fails in a replay to standard error; whoever replays says it in a sentence."""
    return Runtime(telemetry=TelemetryConfig(logging=None))


_replaying: ContextVar[bool] = ContextVar("replaying", default=False)


def _said_by_others(_: logging.LogRecord) -> bool:
    """Temporal's SDK logs a traceback for each failure of our code: of replays, none is wanted."""
    return not _replaying.get()
