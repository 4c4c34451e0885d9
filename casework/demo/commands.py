"""The public commands as the demo gives them: each in a process of its own, at once and without its imports.

A command is forked from a process that has imported `casework` already (multiprocessing's fork server): what a person
waits for most of a command's second is Python reading modules.
"""

from __future__ import annotations

import asyncio
import gc
import io
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from casework.cli import run
from casework.demo.failing import DemoFailed
from casework.demo.home import surroundings

AT_ONCE = 2
"""Commands at the same time: as many as a small machine has cores."""

_FORKING = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(
    [
        "casework.demo.commands",
        "casework.cli.cases",
        "casework.cli.deciding",
        "casework.cli.doctor",
        "casework.cli.opening",
        "casework.cli.patrol",
        "casework.cli.shop",
    ]
)


class Done(NamedTuple):
    """What came of a command: its exit code, what it printed, what it said on stderr."""

    code: int
    out: str
    err: str


class Commands:
    """Gives commands on one home, a few at a time."""

    def __init__(self, home: Path) -> None:
        """`home` is the demo's (`casework.demo.home`)."""
        self._around = surroundings(home)
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def __call__(self, *arguments: str) -> Done:
        """Run `casework` with these arguments, as a person would.

        Raises:
            DemoFailed: the command's process went away without an answer.

        """
        async with self._at_once:
            return await asyncio.to_thread(_in_own_process, arguments, self._around)


def _in_own_process(arguments: Sequence[str], around: Mapping[str, str]) -> Done:
    here, there = _FORKING.Pipe(duplex=False)
    with here:
        process = _FORKING.Process(target=_command, args=(there, list(arguments), dict(around)), daemon=True)
        process.start()
        there.close()
        try:
            return Done(*here.recv())
        except EOFError:
            raise DemoFailed(f"casework {' '.join(arguments)} went away without an answer") from None
        finally:
            process.join()


def _command(answer: Connection, arguments: list[str], around: dict[str, str]) -> None:
    """In the command's process: its surroundings, its streams, the command, its answer."""
    gc.disable()  # as `casework` does
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the demo
    os.environ.clear()
    os.environ.update(around)
    sys.stdin, sys.stdout, sys.stderr = io.StringIO(), io.StringIO(), io.StringIO()
    code = run(arguments)
    answer.send((code, sys.stdout.getvalue(), sys.stderr.getvalue()))
