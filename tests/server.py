"""The one Temporal server of a run, shared by the processes that share the tests; each has namespaces of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from casework.names import NAMESPACE
from casework.server import EmbeddedServer
from casework.server_program import find_server_program

EVENTS_BEFORE_CONTINUING = 150
CACHED_WORKFLOWS = int(os.environ.get("CASEWORK_TEST_CACHED_WORKFLOWS", "2000"))
"""0 makes every workflow task replay from the beginning."""
REPLAY_TASK_TIMEOUT = "2s"
"""Without a cache Temporal's SDK may drop a workflow task where two cases run at once: its local activities are torn,
and the server gives the task out again after the timeout, which is 10 s by default."""
FLAGS = (
    # in a file, so that it can be searched; nobody needs it after a power cut
    *("--sqlite-pragma", "synchronous=off", "--sqlite-pragma", "journal_mode=memory"),
    # a case continues as new after few events, so that a test can see it
    *("--dynamic-config-value", f"limit.historyCount.suggestContinueAsNew={EVENTS_BEFORE_CONTINUING}"),
    # who waits for news of a case asks again soon: under load some of it is not told, and they would wait for 20 s
    *("--dynamic-config-value", 'history.longPollExpirationInterval="3s"'),
    # everybody asks at once, where a test sends a case all that it must refuse
    *("--dynamic-config-value", "history.maxInFlightUpdates=200"),
)
COLLECTS_GARBAGE_AT = "400"
"""Go's own is 100: the server takes 0.85 GB instead of 0.4, and an eighth less of the processors' time."""
REPLAYING_FLAGS = ("--dynamic-config-value", f'history.defaultWorkflowTaskTimeout="{REPLAY_TASK_TIMEOUT}"')


@dataclass(frozen=True)
class SharedServer:
    """Where the server is."""

    address: str
    database: str
    """The file in which it keeps everything."""
    namespaces: dict[str, str]
    """The namespace of each process's tests."""
    benches: dict[str, str]
    """The namespace in which each process's tests of the bench run workers of their own."""

    def told(self) -> dict[str, object]:
        """As one process tells it to another."""
        return asdict(self)


class RunningServer:
    """Runs the server on an event loop of its own: pytest's processes have none when they begin, and share it."""

    def __init__(self, folder: Path, processes: Sequence[str]) -> None:
        """A server for these processes that keeps what it has in the folder; nothing is started yet."""
        namespaces = {name: NAMESPACE if number == 0 else f"tests-{name}" for number, name in enumerate(processes)}
        benches = {name: f"bench-{name}" for name in processes}
        flags = [*FLAGS, *(REPLAYING_FLAGS if CACHED_WORKFLOWS == 0 else ())]
        for namespace in {*namespaces.values(), *benches.values()} - {NAMESPACE}:
            flags += ["--namespace", namespace]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="temporal server", daemon=True)
        self._server = EmbeddedServer(find_server_program(print).path, folder, more_flags=flags)
        self._folder = folder
        self._namespaces, self._benches = namespaces, benches

    def start(self) -> SharedServer:
        """Start it and wait until it can be used."""
        os.environ.setdefault("GOGC", COLLECTS_GARBAGE_AT)  # it has our surroundings
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result()
        return SharedServer(self._server.address, str(self._folder / "temporal.db"), self._namespaces, self._benches)

    def stop(self) -> None:
        """Stop it, and its loop."""
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
