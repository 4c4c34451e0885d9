"""The embedded Temporal server: starts it, waits until it can be used, says where it is, stops it.

Where the program comes from is found in `casework.server_program`.
"""

import asyncio
import contextlib
import fcntl
import socket
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from google.protobuf.duration_pb2 import Duration
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from casework.names import NAMESPACE, SEARCH_ATTRIBUTES
from casework.server_running import RunningServer, read_running, try_lock

DEFAULT_PORT: Final = 7233
DEFAULT_UI_PORT: Final = 8233
RETENTION: Final = timedelta(days=30)
"""How long closed cases stay in Temporal; the shop keeps its own record of each for good."""
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0

SERVER_FLAGS: Final = (
    # Tests and demos let weeks pass.
    *("--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true"),
    # A skipped timer costs 0.1 s of real time instead of 1 s.
    *("--dynamic-config-value", 'history.timerProcessorMaxTimeShift="20ms"'),
    # All cases are in its only shard, each of whose queues it would read 20 times a second at most, which is meant for
    # thousands of shards: an answer by update, which waits for a timer of a moment, took 0.2 s, and many cases at once
    # waited for each other, and lists for both.
    *("--dynamic-config-value", "history.transferProcessorMaxPollRPS=2000"),
    *("--dynamic-config-value", "history.timerProcessorMaxPollRPS=2000"),
    *("--dynamic-config-value", "history.visibilityProcessorMaxPollRPS=2000"),
    "--ui-disable-news-fetch",
    # Settings meant for Temporal's clients must not change what is started here.
    *("--disable-config-file", "--disable-config-env"),
)
"""What every development server of ours is started with, also one that the SDK's test environment starts."""

_IP: Final = "127.0.0.1"


class ServerFailed(Exception):
    """The embedded server did not start; the message is one sentence that says why."""


class EmbeddedServer:
    """Temporal's development server as a child process: `async with EmbeddedServer(program, home) as server:
    …`.

    It is not reached by the terminal's Ctrl-C, so that whoever started it can finish first and then stop it;
    if that one dies without a word, a watcher stops the server.
    """

    def __init__(
        self,
        program: Path,
        home: Path | None,
        *,
        port: int | None = None,
        ui_port: int | None = None,
        more_flags: Sequence[str] = (),
    ) -> None:
        """A server that is not started yet.

        `home` holds its database, its log and `server.json`; None has all in memory. The ports default to
        free ones. `more_flags` are Temporal's own, beside ours.
        """
        self._program = program
        self._home = home
        self._asked_port, self._asked_ui_port = port, ui_port
        self._more_flags = tuple(more_flags)
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.subprocess.Process | None = None
        self._running: RunningServer | None = None

    @property
    def address(self) -> str:
        """Host and port for clients. `RuntimeError` while it is not running."""
        return self._described().address

    @property
    def ui(self) -> str:
        """The address of the Temporal UI, with `http://`. `RuntimeError` while it is not running."""
        return self._described().ui

    def _described(self) -> RunningServer:
        if self._running is None:
            raise RuntimeError("The embedded server is not running.")
        return self._running

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Starts it and waits until clients can use it: it answers, knows the search attributes, keeps cases
        30 days.

        Raises `ServerFailed`: a port is in use, another server runs on the same home directory, or it did not
        come up within 30 seconds; nothing is left running then.
        """
        with contextlib.ExitStack() as files:
            lock = self._lock_home()
            if lock is not None:
                files.enter_context(lock)
            log = files.enter_context(self._open_log())
            for last_try in (False, False, True):
                port = _checked_port(self._asked_port, "--port")
                ui_port = _checked_port(self._asked_ui_port, "--ui-port", other_than=port)
                try:
                    await self._launch(port, ui_port, log, lock)
                    if await self._became_usable(f"{_IP}:{port}", log):
                        self._announce(port, ui_port)
                        return
                except BaseException:
                    await self.stop()
                    raise
                # It takes eight more ports for itself, and ends where somebody else was faster.
                await self.stop()
                if last_try:
                    raise ServerFailed(f"The Temporal server did not start: {_reason(log)}.")

    async def wait_until_ended(self) -> int:
        """Waits for the server's process to end by itself, and gives its exit code."""
        if self._process is None:
            raise RuntimeError("The embedded server is not running.")
        return await self._process.wait()

    async def stop(self) -> None:
        """Stops it, politely for 10 seconds and then without asking; harmless if it is not running."""
        if self._home is not None and self._running is not None:
            (self._home / "server.json").unlink(missing_ok=True)
        self._running = None
        watcher, self._watcher = self._watcher, None
        process, self._process = self._process, None
        if watcher is not None:
            # First, so that it can never end a stranger that was given the same process id.
            with contextlib.suppress(ProcessLookupError):
                watcher.kill()
            await watcher.wait()
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    def _lock_home(self) -> IO[bytes] | None:
        """Two servers on one database destroy it. The server's process inherits the lock and so holds it for
        its life.
        """
        if self._home is None:
            return None
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            lock = (self._home / "server.lock").open("wb")
        except OSError as error:
            raise ServerFailed(f"{self._home} cannot be used as the home directory: {error.strerror}.") from error
        for _ in range(10):
            if try_lock(lock, fcntl.LOCK_EX):
                break
            time.sleep(0.02)  # someone who only looks whether a server runs holds it for a moment
        else:
            lock.close()
            running = read_running(self._home)
            where = f"{self._home} at {running.address}, process {running.pid}" if running else str(self._home)
            raise ServerFailed(f"A Temporal server already runs for {where}: stop it first, or set CASEWORK_HOME.")
        (self._home / "server.json").unlink(missing_ok=True)  # of a server that was killed
        return lock

    def _open_log(self) -> IO[bytes]:
        if self._home is None:
            return tempfile.TemporaryFile()
        return (self._home / "temporal.log").open("w+b")

    async def _launch(self, port: int, ui_port: int, log: IO[bytes], lock: IO[bytes] | None) -> None:
        arguments = ["server", "start-dev", "--ip", _IP, "--port", str(port), "--ui-port", str(ui_port)]
        arguments += ["--log-level", "error", *SERVER_FLAGS, *self._more_flags]
        if self._home is not None:
            arguments += ["--db-filename", str(self._home / "temporal.db")]
        for name, kind in SEARCH_ATTRIBUTES.items():
            arguments += ["--search-attribute", f"{name}={kind}"]
        try:
            self._process = await asyncio.create_subprocess_exec(
                self._program,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=() if lock is None else (lock.fileno(),),
            )
        except OSError as error:
            raise ServerFailed(f"{self._program} cannot be started: {error.strerror}.") from error
        # Its standard input ends when this process does, however that happens.
        self._watcher = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            f"read -r _; kill -TERM {self._process.pid}",
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )

    async def _became_usable(self, address: str, log: IO[bytes]) -> bool:
        """Waits until clients can use it; False if its process has ended before."""
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await _is_usable(address):
                    if self._process is None or self._process.returncode is not None:
                        return False
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise ServerFailed(
                f"The Temporal server did not come up in {START_SECONDS:.0f} seconds: {_reason(log)}."
            ) from None
        return True

    def _announce(self, port: int, ui_port: int) -> None:
        if self._process is None:
            raise RuntimeError("The embedded server is not running.")
        self._running = RunningServer(
            address=f"{_IP}:{port}",
            ui=f"http://{_IP}:{ui_port}",
            pid=self._process.pid,
            started=datetime.now(UTC),
        )
        if self._home is not None:
            written = self._home / "server.json.new"
            written.write_text(self._running.model_dump_json(indent=2) + "\n", encoding="utf-8")
            written.replace(self._home / "server.json")  # in one step, as commands may be reading it


def _checked_port(asked: int | None, option: str, *, other_than: int | None = None) -> int:
    """The port asked for, if it is free; else any free one."""
    if asked is not None and asked == other_than:
        raise ServerFailed(f"Port {asked} cannot serve both clients and the UI: choose another with {option}.")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the server itself does; else a port just left would count as in use for a minute.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_IP, asked or 0))
        except OverflowError:
            raise ServerFailed(f"{asked} is not a port: choose one of 1 to 65535 with {option}.") from None
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise ServerFailed(f"Port {asked} cannot be used ({why}): choose another with {option}.") from error
        port: int = probe.getsockname()[1]
        return port


async def _is_usable(address: str) -> bool:
    """Whether it answers, keeps closed cases as long as it should, and knows every search attribute."""
    try:
        client = await Client.connect(address, namespace=NAMESPACE)
        described = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=NAMESPACE))
        if described.config.workflow_execution_retention_ttl.ToTimedelta() != RETENTION:
            retention = Duration()
            retention.FromTimedelta(RETENTION)
            await client.workflow_service.update_namespace(
                UpdateNamespaceRequest(
                    namespace=NAMESPACE, config=NamespaceConfig(workflow_execution_retention_ttl=retention)
                )
            )
    except (RuntimeError, RPCError):  # not there yet
        return False
    known = set(described.config.custom_search_attribute_aliases.values())
    return known >= set(SEARCH_ATTRIBUTES)


def _reason(log: IO[bytes]) -> str:
    """What the server said last; of a panic its name and the error before it, not the trace of calls below it."""
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    for number, line in enumerate(lines):
        if line.startswith("panic: "):
            lines = [f"{line}, after {lines[number - 1]}" if number else line]
            break
    return (lines or ["it did not say why"])[-1].removeprefix("Error: ").rstrip(".")
