"""Where workflows run: Temporal's sandbox, with what is pure passed through."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType
from typing import Final

from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import SerializationContext, StorageDriverStoreContext
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import Info

MOMENTARY: Final = "Fatal error in workflow machines"
"""What Temporal's SDK says of a query in the moment of a change: a step on the shop may end, as it looks at the
history, before an event that is in the history already. A moment later it answers (see docs/how-it-works.md)."""
DIRECT_QUERY: Final = "legacy_query"
"""Temporal's SDK calls a query so that comes by itself, without a workflow task."""
_CHANGE_NOTHING: Final = ("query_workflow", "remove_from_cache")
PASSED_THROUGH = (
    # one copy of what is pure, or only referred to: the workflow classes alone are loaded in the sandbox
    "activities",
    "casework",
    "pydantic",
    "sqlalchemy",
    "state_machines",
    "structlog",
    "transitions",
    "workflows.case",
    "workflows.paying",
)


class CaseRunner(SandboxedWorkflowRunner):
    """The sandbox, with two things otherwise than in Temporal's SDK: see `_Instance`."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """As the SDK's, wrapped."""
        return _Instance(super().create_instance(det))


class _Instance(WorkflowInstance):
    """One workflow in a worker's memory.

    Nobody asks for each payload in it to which activity, timer or child the payload belongs. Temporal's SDK asks so
    three times a payload, for converters and codecs that depend on it: a quarter of a worker's CPU. Ours does not (a
    test holds that).

    And nobody goes on with what a query has taken too far. A worker that does not have the workflow is given its
    history with a query, and that may end with a timer, a signal or an answer whose workflow task has not begun: the
    SDK plays them all the same. If the task then came to this worker, together with what has come meanwhile, it would
    be recorded in an order that no replay can repeat (`tests/chaos/test_queries.py`, with temporalio 1.35). So such a
    query fails, with which the SDK forgets the workflow; whoever asks again, as `casework.client` does, gets an answer.
    """

    def __init__(self, sandboxed: WorkflowInstance) -> None:
        self._sandboxed = sandboxed
        self._events = 0
        self._time: tuple[int, int] | None = None
        self._too_far = False

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        if self._too_far and any(job.query_workflow.query_id == DIRECT_QUERY for job in act.jobs):
            failed = WorkflowActivationCompletion()
            failed.failed.failure.message = f"{MOMENTARY}: asked in the moment of a change; ask again"
            return failed
        self._look_how_far(act)
        return self._sandboxed.activate(act)

    def _look_how_far(self, act: WorkflowActivation) -> None:
        """Events without a workflow task of theirs: the workflow's clock stands still."""
        if all(job.WhichOneof("variant") in _CHANGE_NOTHING for job in act.jobs):
            return
        time = (act.timestamp.seconds, act.timestamp.nanos)
        more = self._time is not None and act.history_length > self._events
        self._too_far = self._too_far or (more and time == self._time and not act.is_replaying)
        self._events, self._time = act.history_length, time

    def get_serialization_context(self, command_info: object) -> SerializationContext | None:  # noqa: ARG002 - see above
        return None

    def get_external_store_context(self, command_info: object) -> StorageDriverStoreContext:  # noqa: ARG002 - see above
        return StorageDriverStoreContext(target=None)

    def get_info(self) -> Info:
        return self._sandboxed.get_info()

    def get_thread_id(self) -> int | None:
        return self._sandboxed.get_thread_id()


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
    return CaseRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH))
