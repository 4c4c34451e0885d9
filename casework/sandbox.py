"""Where workflows run: Temporal's sandbox, with what is pure passed through, and code that stays as it was.

How a workflow in it is told of what happens is in `casework/instance.py`.
"""

from __future__ import annotations

import importlib.util
import sys
from collections import deque
from collections.abc import Iterable
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType

from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from casework.instance import MOST_REMEMBERED, CaseInstance

PASSED_THROUGH = (
    # One copy: it is faster, and an exception that one copy raises the other would not catch. So the sandbox holds the
    # flows' own modules alone to what workflows may do; what they share is held to it by the replays of the tests.
    "activities",
    "casework",
    "pydantic",
    "sqlalchemy",
    "state_machines",
    "structlog",
    "transitions",
    "workflows.asides",
    "workflows.case",
    "workflows.continuing",
    "workflows.defining",
    "workflows.messages",
    "workflows.paying",
    "workflows.received",
    "workflows.steps",
)


class CaseRunner(SandboxedWorkflowRunner):
    """The sandbox, with three things otherwise than in Temporal's SDK: see `CaseInstance`."""

    def __init__(self, restrictions: SandboxRestrictions) -> None:
        super().__init__(restrictions=restrictions)
        self._refused: deque[tuple[str, int]] = deque(maxlen=MOST_REMEMBERED)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """As the SDK's, wrapped."""
        return CaseInstance(super().create_instance(det), self._refused)


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
