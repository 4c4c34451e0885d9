"""Where workflows run: Temporal's sandbox, with what is pure passed through."""

from __future__ import annotations

from typing import Any

from temporalio.converter import SerializationContext, StorageDriverStoreContext
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import Info

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


class ContextFreeRunner(SandboxedWorkflowRunner):
    """The sandbox, without asking for each payload in it to which activity, timer or child the payload belongs.

    Temporal's SDK asks so three times a payload, for converters and codecs that depend on it: a quarter of a worker's
    CPU. Ours does not (a test holds that).
    """

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """As the SDK's, wrapped."""
        return _ContextFree(super().create_instance(det))


class _ContextFree(WorkflowInstance):
    def __init__(self, sandboxed: WorkflowInstance) -> None:
        self._sandboxed = sandboxed

    def activate(self, act: Any) -> Any:
        return self._sandboxed.activate(act)

    def get_serialization_context(self, command_info: object) -> SerializationContext | None:  # noqa: ARG002 - see above
        return None

    def get_external_store_context(self, command_info: object) -> StorageDriverStoreContext:  # noqa: ARG002 - see above
        return StorageDriverStoreContext(target=None)

    def get_info(self) -> Info:
        return self._sandboxed.get_info()

    def get_thread_id(self) -> int | None:
        return self._sandboxed.get_thread_id()


def workflow_runner() -> SandboxedWorkflowRunner:
    """The sandbox in which workflows run here, in tests and in replays."""
    return ContextFreeRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH))
