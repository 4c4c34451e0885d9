"""The plain `temporal` command that does the same as one of ours, for `--print`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from casework import names
from casework.client import PreparedStart
from casework.connection import configured_cluster
from casework.server import DEFAULT_PORT
from casework.server_running import read_running

_DEFAULT_ADDRESS: Final = f"127.0.0.1:{DEFAULT_PORT}"


def plain_start(home: Path, prepared: PreparedStart) -> str:
    """Opens the case."""
    return _command(
        home,
        "start",
        "--type",
        prepared.flow.workflow,
        "--task-queue",
        names.TASK_QUEUE,
        "--workflow-id",
        prepared.case_id,
        "--id-conflict-policy",
        "Fail",
        "--static-summary",
        prepared.summary,
        "--input",
        _json(prepared.payload),
    )


def plain_submit(home: Path, case_id: str, message: Mapping[str, Any]) -> str:
    """Acts on the case, and prints its view."""
    return _command(
        home, "update", "execute", "--workflow-id", case_id, "--name", names.SUBMIT, "--input", _json(message)
    )


def plain_cancel(home: Path, case_id: str) -> str:
    """Temporal's own cancel."""
    return _command(home, "cancel", "--workflow-id", case_id)


def plain_reset(home: Path, case_id: str, run_id: str) -> str:
    """Takes the case back to before its last workflow task, so that the worker's present code does that one anew."""
    return _command(
        home,
        *("reset", "--workflow-id", case_id, "--run-id", run_id),
        *("--type", "LastWorkflowTask", "--reason", "casework retry"),
    )


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _command(home: Path, *words: str) -> str:
    """A command for the server that our own commands would use; `temporal` reads TEMPORAL_* by itself."""
    where: list[str] = []
    running = None if configured_cluster() else read_running(home)
    if running is not None and running.address != _DEFAULT_ADDRESS:
        where = ["--address", running.address]
    return shlex.join(["temporal", "workflow", *words, *where])
