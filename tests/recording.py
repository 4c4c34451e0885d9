"""Records the histories of played paths, where `make histories` asks for it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

from tests.desk import Handle
from tests.history_register import HISTORIES, register_new

WANTED = bool(os.environ.get("CASEWORK_RECORD_HISTORIES"))


async def record(flow: str, handle: Handle, ending: str, name: str) -> None:
    """Keep the history of a case that has ended, as `<ending>.<what was played>.json`, of an ending that has none."""
    file = HISTORIES / flow / f"{ending}.{name}.json"
    if WANTED and not list(file.parent.glob(f"{ending}.*")):
        keep(file, (await handle.fetch_history()).to_json())


def keep(file: Path, history: str, folder: Path = HISTORIES) -> None:
    """Write a new history and its line in the register."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(without_machine(history), "utf-8", newline="\n")
    register_new(file, folder)


def without_machine(history: str) -> str:
    """The history without what tells of the machine it ran on: stack traces, which no replay reads, name its paths."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            pairs = cast("dict[str, Any]", value).items()
            return {name: "" if name == "stackTrace" else clean(one) for name, one in pairs}
        return [clean(one) for one in cast("list[Any]", value)] if isinstance(value, list) else value

    return json.dumps(clean(json.loads(history)), ensure_ascii=False, indent=2) + "\n"
