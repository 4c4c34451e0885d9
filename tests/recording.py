"""Records the histories of played paths, where `make histories` asks for it."""

from __future__ import annotations

import os
from pathlib import Path

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
    (folder / f"{ending}.{name}.json").write_text(history.to_json() + "\n", "utf-8")
