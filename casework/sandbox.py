"""Where workflows run: Temporal's sandbox, with what is pure passed through."""

from __future__ import annotations

import importlib.util
import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType
from typing import Final

from temporalio.bridge.proto.workflow_activation import WorkflowActivation, WorkflowActivationJob
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import SerializationContext, StorageDriverStoreContext
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import Info

MOMENTARY: Final = "Fatal error in workflow machines"
"""What a query in the moment of a change is told, by Temporal's SDK (a step on the shop may end, as it looks at the
history, before an event that is in the history already) or by `_Instance`. A moment later it is answered."""
DIRECT_QUERY: Final = "legacy_query"
"""Temporal's SDK calls a query so that comes by itself, without a workflow task."""
MOST_REMEMBERED: Final = 1_000
"""So many refused queries are remembered."""
_CHANGES_NOTHING: Final = ("query_workflow", "remove_from_cache")
_EVENTS_OF_A_TASK: Final = 3
"""From one workflow task's start to the next one's: completed, scheduled, started."""
_EVENTS_OF_JOBS: Final[Mapping[str | None, int]] = {"signal_workflow": 1, "fire_timer": 1, "do_update": 0}
"""How many events have led to what a workflow is told. (An update has none until it is accepted.)"""
_EVENTS_OF_COMMANDS: Final[Mapping[str | None, int]] = {
    "update_response": 1,
    "start_timer": 1,
    "upsert_workflow_search_attributes": 1,
    "schedule_local_activity": 0,
}
_ENDS: Final = (
    "complete_workflow_execution",
    "continue_as_new_workflow_execution",
    "fail_workflow_execution",
    "cancel_workflow_execution",
)
PASSED_THROUGH = (
    # one copy of what is pure, or only referred to: the workflow classes alone are loaded in the sandbox
    "activities",
    "casework",
    "pydantic",
    "sqlalchemy",
    "state_machines",
    "structlog",
    "transitions",
    "workflows.asides",
    "workflows.case",
    "workflows.defining",
    "workflows.inbox",
    "workflows.paying",
    "workflows.steps",
)


class CaseRunner(SandboxedWorkflowRunner):
    """The sandbox, with three things otherwise than in Temporal's SDK: see `_Instance`."""

    def __init__(self, restrictions: SandboxRestrictions) -> None:
        super().__init__(restrictions=restrictions)
        self._refused: deque[tuple[str, int]] = deque(maxlen=MOST_REMEMBERED)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """As the SDK's, wrapped."""
        return _Instance(super().create_instance(det), self._refused)


class _Instance(WorkflowInstance):
    """One workflow in a worker's memory.

    Nobody asks for each payload in it to which activity, timer or child the payload belongs. Temporal's SDK asks so
    three times a payload, for converters and codecs that depend on it: a quarter of a worker's CPU. Ours does not (a
    test holds that).

    And no workflow goes on with a lead that a query gave it. A worker that does not have the workflow is given its
    history with a query, and that may end with a timer, a signal or an answer whose workflow task has not begun, or is
    another worker's: the SDK plays them all the same. If the task then came to this worker, together with what has
    come meanwhile, it would be recorded in an order that no replay can repeat (`tests/chaos/test_queries.py`, with
    temporalio 1.35).

    So a query fails where an instance that was made by a replay has gone beyond it once: with that, the SDK forgets
    the workflow, and whoever asks again (`casework.execution.queried`) is answered from a new replay. (So is told,
    once, who asks a workflow at rest that has had one task since its worker began: from here that looks the same.) One
    that leads as far again is answered, as a closed workflow may end so; then the next workflow task fails instead,
    once, and is given out again with the whole history.

    Nor is a workflow told of what happened in another order than its replay will be. A query that came with a workflow
    task ends it with its answer, also while a step on the shop (a local activity) is under way. If the step ended just
    then, its end is on record with that task, but told with the next one, after the messages that came meanwhile; a
    replay is told of it as part of the first task, and where an update was accepted meanwhile, the workflow is stuck at
    its next eviction. So it is told as in the replay. If the step ended a moment later, it is on record with the next
    task, and Temporal's order is right. Only the number of events says which it is; where that cannot be known, the
    workflow task fails, once, and is given out again with the whole history. (Whoever waits for an update that came
    with it is told to send it again.)
    """

    def __init__(self, sandboxed: WorkflowInstance, refused: deque[tuple[str, int]]) -> None:
        self._sandboxed = sandboxed
        self._refused = refused
        self._replayed = False
        """Whether it was made by a replay, not by a workflow's first task."""
        self._beyond: set[int] = set()
        """How many events there were each time that it went beyond the replay."""
        self._leads = False
        self._task = WorkflowActivation()
        """What it was told last, of its own workflow task."""
        self._recorded: int | None = None
        """How many events that task has recorded so far; None: that cannot be known."""
        self._split = False
        """Whether a query's answer has ended that task."""

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        if any(job.query_workflow.query_id == DIRECT_QUERY for job in act.jobs):
            if self._replayed and len(self._beyond) == 1:
                lead = (act.run_id, max(self._beyond))
                if lead not in self._refused:
                    self._refused.append(lead)
                    return _failed("asked in the moment of a change; ask again")
                self._leads = True
        elif any(job.WhichOneof("variant") not in _CHANGES_NOTHING for job in act.jobs):
            if self._leads:
                return _failed("it went on with a query's lead; the task is given out again")
            if act.is_replaying:
                self._replayed = True
            else:
                self._beyond.add(act.history_length)
            return self._told(act)
        else:
            self._split = True
        return self._sandboxed.activate(act)

    def _told(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        ended = [job for job in act.jobs if job.resolve_activity.is_local]
        since = [job for job in act.jobs if not job.resolve_activity.is_local]
        steps = len(ended)
        if self._split and ended:
            recorded = self._recorded_since(act.history_length, since)
            if recorded == steps:
                done, steps = self._told_before(ended, act, since), 0
            elif recorded == 0 or not since:
                done = self._sandboxed.activate(act)
            else:
                done = _failed("a step ended while a query was answered; the task is given out again")
        else:
            done = self._sandboxed.activate(act)
        before = self._recorded if self._task.history_length == act.history_length else 0
        now = _events_of(act, done)
        self._recorded = None if before is None or now is None else before + now + steps
        self._task, self._split = act, False
        return done

    def _recorded_since(self, history_length: int, jobs: Sequence[WorkflowActivationJob]) -> int | None:
        """How many events there are that nothing else explains: the ends of steps that are told with these jobs."""
        if self._recorded is None or any(job.WhichOneof("variant") not in _EVENTS_OF_JOBS for job in jobs):
            return None
        came = sum(_EVENTS_OF_JOBS[job.WhichOneof("variant")] for job in jobs)
        return history_length - self._task.history_length - self._recorded - came - _EVENTS_OF_A_TASK

    def _told_before(
        self, ended: Sequence[WorkflowActivationJob], act: WorkflowActivation, since: Sequence[WorkflowActivationJob]
    ) -> WorkflowActivationCompletion:
        """Tell it first of the ends of steps, as in the task before, then of what has come since."""
        first, then = WorkflowActivation(), WorkflowActivation()
        for part, like, jobs in ((first, self._task, ended), (then, act, since)):
            part.CopyFrom(like)
            del part.jobs[:]
            part.jobs.extend(jobs)
        done = self._sandboxed.activate(first)
        if not since or done.HasField("failed"):
            return done
        if any(command.WhichOneof("variant") in _ENDS for command in done.successful.commands):
            return _failed("it ended while a query was answered; the task is given out again")
        rest = self._sandboxed.activate(then)
        if rest.HasField("failed"):
            return rest
        done.successful.MergeFrom(rest.successful)
        return done

    def get_serialization_context(self, command_info: object) -> SerializationContext | None:  # noqa: ARG002 - see above
        return None

    def get_external_store_context(self, command_info: object) -> StorageDriverStoreContext:  # noqa: ARG002 - see above
        return StorageDriverStoreContext(target=None)

    def get_info(self) -> Info:
        return self._sandboxed.get_info()

    def get_thread_id(self) -> int | None:
        return self._sandboxed.get_thread_id()


def _events_of(act: WorkflowActivation, done: WorkflowActivationCompletion) -> int | None:
    """How many events the commands become that a workflow answers with; None: that cannot be known from here."""
    commands = done.successful.commands
    if any(command.WhichOneof("variant") not in _EVENTS_OF_COMMANDS for command in commands):
        return None
    accepted = {
        one.update_response.protocol_instance_id for one in commands if one.update_response.HasField("accepted")
    }
    came = {job.do_update.protocol_instance_id for job in act.jobs} - accepted
    unrecorded = [
        one
        for one in commands
        if one.update_response.HasField("rejected") and one.update_response.protocol_instance_id in came
    ]
    return sum(_EVENTS_OF_COMMANDS[one.WhichOneof("variant")] for one in commands) - len(unrecorded)


def _failed(why: str) -> WorkflowActivationCompletion:
    failed = WorkflowActivationCompletion()
    failed.failed.failure.message = f"{MOMENTARY}: {why}"
    return failed


class _AsItBegan(MetaPathFinder, InspectLoader):
    """Loads the modules of workflows as they were when a worker of this process began.

    The sandbox loads a workflow's module anew for every case. From the disk, a case that is opened after a `git pull`
    would have new code beside the old table and activities that this process still has.
    """

    def __init__(self) -> None:
        self._code: dict[str, CodeType] = {}

    def pin(self, module: str) -> None:
        """Keep the module's code as it is on the disk now; one that is kept already stays."""
        loader = getattr(importlib.util.find_spec(module), "loader", None)
        if module not in self._code and isinstance(loader, InspectLoader):
            code = loader.get_code(module)
            if code is not None:
                self._code[module] = code

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002 - Python's
        """Where the module comes from: here, if it was kept."""
        code = self._code.get(fullname)
        return None if code is None else importlib.util.spec_from_file_location(fullname, code.co_filename, loader=self)

    def get_code(self, fullname: str) -> CodeType:
        """What was kept."""
        return self._code[fullname]

    def get_source(self, fullname: str) -> None:
        """Not kept."""


_AS_IT_BEGAN = _AsItBegan()


def pin_modules(modules: Iterable[str]) -> None:
    """Have every case of this process run the code that these modules have now, whatever becomes of their files.

    Only what the sandbox loads anew needs it, the modules of workflows: everything else is in memory already.
    """
    if _AS_IT_BEGAN not in sys.meta_path:
        sys.meta_path.insert(0, _AS_IT_BEGAN)
    for module in {*modules} - {"__main__"}:
        _AS_IT_BEGAN.pin(module)


def workflow_runner() -> SandboxedWorkflowRunner:
    """The sandbox in which workflows run here, in tests and in replays."""
    return CaseRunner(SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH))
