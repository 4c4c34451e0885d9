"""The processes that are killed: each is started again as soon as it has ended, whoever ended it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import psycopg

from casework.server import EmbeddedServer, ServerFailed
from casework.server_running import read_running
from chaos.points import DATABASE, SERVER, PointsFolder
from tests.postgresql import RunningPostgreSQL, SharedPostgreSQL

KILLED = -signal.SIGKILL
MOST_DEATHS = 3
"""A process that ends by itself more often than that does so for a reason that does not pass."""
STARTS_TRIED = 20
AGAIN_SECONDS = 0.2


class StaysDown(Exception):
    """A process of the harness cannot be kept running; the message says which, and why."""


class Victim(ABC):
    """A process that may be killed at any moment."""

    def __init__(self, name: str) -> None:
        """Start nothing yet."""
        self.name = name

    @abstractmethod
    async def start(self) -> int:
        """Start it, and wait until it can be used; its process id."""

    @abstractmethod
    async def ended(self) -> int:
        """Wait until it has ended; its exit code, negative for the signal that ended it."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop it for good, politely."""


class TemporalVictim(Victim):
    """Temporal: the development server, or a cluster."""

    @property
    @abstractmethod
    def address(self) -> str:
        """Host and port for clients, the same after each start."""


class ServerVictim(TemporalVictim):
    """The development server, on the same ports and the same file each time."""

    def __init__(self, program: Path, home: Path, flags: Sequence[str]) -> None:
        super().__init__(SERVER)
        self._program, self._home, self._flags = program, home, flags
        self._server = EmbeddedServer(program, home, more_flags=flags)

    @property
    def address(self) -> str:
        """Host and port for clients, the same after each start."""
        return self._address

    async def start(self) -> int:
        """Start it; it can be used then."""
        for left in range(STARTS_TRIED, 0, -1):
            try:
                await self._server.start()
                break
            except ServerFailed:  # somebody may have got one of its ports while it was down
                if left == 1:
                    raise
                await asyncio.sleep(AGAIN_SECONDS)
        running = read_running(self._home)
        if running is None:
            raise RuntimeError(f"no server has written where it is to {self._home}")
        self._address = running.address
        port, ui_port = (int(one.rpartition(":")[2]) for one in (running.address, running.ui))
        self._again = EmbeddedServer(self._program, self._home, port=port, ui_port=ui_port, more_flags=self._flags)
        return running.pid

    async def ended(self) -> int:
        """Wait until it has ended, and clear away what it left."""
        code = await self._server.wait_until_ended()
        await self._server.stop()
        self._server = self._again
        return code

    async def stop(self) -> None:
        """Stop it for good."""
        await self._server.stop()


class WorkerVictim(Victim):
    """A worker of the harness."""

    def __init__(self, name: str, arguments: Sequence[str], log: IO[bytes]) -> None:
        super().__init__(name)
        self._arguments, self._log = arguments, log

    async def start(self) -> int:
        """Start it; it works as soon as it has loaded everything and a server answers."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "chaos.worker", *self._arguments, stdout=self._log, stderr=self._log
        )
        return self._process.pid

    async def ended(self) -> int:
        """Wait until it has ended."""
        return await self._process.wait()

    async def stop(self) -> None:
        """Stop it for good; nothing is under way any more."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


class DatabaseVictim(Victim):
    """A PostgreSQL of the harness's own, on the same data each time."""

    def __init__(self, postgresql: RunningPostgreSQL, shared: SharedPostgreSQL, log: IO[bytes]) -> None:
        super().__init__(DATABASE)
        self._postgresql, self._shared, self._log = postgresql, shared, log

    async def start(self) -> int:
        """Start it, and wait until it has put its data in order."""
        for _ in range(STARTS_TRIED):
            self._process = await self._postgresql.launch(self._log)
            while self._process.returncode is None:
                if await asyncio.to_thread(self._answers):
                    return self._process.pid
                await asyncio.sleep(AGAIN_SECONDS)
            await asyncio.sleep(AGAIN_SECONDS)  # those who served for the one that was killed are still ending
        raise StaysDown("PostgreSQL does not start")

    def _answers(self) -> bool:
        try:
            self._shared.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    async def ended(self) -> int:
        """Wait until it has ended."""
        return await self._process.wait()

    async def stop(self) -> None:
        """Stop it for good, and remove what it kept."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGQUIT)
        await self._process.wait()
        self._postgresql.remove()


class Keeper:
    """Keeps one process running, and counts how it ended."""

    def __init__(self, victim: Victim, folder: PointsFolder) -> None:
        """Start nothing yet."""
        self.victim = victim
        self.kills = 0
        self.died: list[str] = []
        """How it ended otherwise than by a kill."""
        self._folder = folder
        self._pid = 0
        self._up = asyncio.Event()

    async def start(self) -> None:
        """Start it, and keep it running from now on."""
        await self._start()
        self.keeping = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Stop it for good."""
        self.keeping.cancel()
        await asyncio.gather(self.keeping, return_exceptions=True)
        await self.victim.stop()

    async def kill(self) -> None:
        """Kill it, as soon as it runs."""
        await self._up.wait()
        self._up.clear()
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)

    async def _keep(self) -> None:
        """Start it again and again.

        Raises:
            StaysDown: that is of no use.

        """
        while True:
            code = await self.victim.ended()
            self._up.clear()
            if code == KILLED:
                self.kills += 1
            else:
                self.died.append(f"{self.victim.name} ended by itself with code {code}")
            if len(self.died) > MOST_DEATHS:
                raise StaysDown(f"{self.victim.name} does not stay up")
            try:
                await self._start()
            except Exception as error:
                raise StaysDown(f"{self.victim.name} could not be started again: {error}") from error

    async def _start(self) -> None:
        self._pid = await self.victim.start()
        self._folder.runs(self.victim.name, self._pid)
        self._up.set()
