"""Records the histories of played paths, where `make histories` asks for it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

from tests.desk import FLOW, Handle

HISTORIES = Path(__file__).with_name("histories")
WANTED = bool(os.environ.get("CASEWORK_RECORD_HISTORIES"))


async def record(handle: Handle, ending: str, name: str) -> None:
    """Keep the history of a case that has ended, as `<ending>.<what was played>.json`."""
    if not WANTED:
        return
    folder = HISTORIES / FLOW
    folder.mkdir(parents=True, exist_ok=True)
    history = await handle.fetch_history()
    (folder / f"{ending}.{name}.json").write_text(without_machine(history.to_json()), "utf-8")


def without_machine(history: str) -> str:
    """The history without what tells of the machine it ran on: stack traces, which no replay reads, name its paths."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            pairs = cast("dict[str, Any]", value).items()
            return {name: "" if name == "stackTrace" else clean(one) for name, one in pairs}
        return [clean(one) for one in cast("list[Any]", value)] if isinstance(value, list) else value

    return json.dumps(clean(json.loads(history)), ensure_ascii=False, indent=2) + "\n"
