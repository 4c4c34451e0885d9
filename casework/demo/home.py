"""Where the demo lives: a home of its own, and the desk that runs in it."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from casework.demo.failing import DemoFailed
from casework.server import DEFAULT_PORT, DEFAULT_UI_PORT
from casework.settings import Settings

STOP_SECONDS = 30
MARKER = ".a-casework-demo-lives-here"
"""In the demo's home: what the demo made, it may delete."""


def surroundings(home: Path) -> dict[str, str]:
    """The environment of the demo's commands: its own home and shop, and no cluster of yours, whatever `.env` says."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
    return {
        **mine,
        "CASEWORK_HOME": str(home),
        "CASEWORK_DATABASE_URL": database_url(home),
        "TEMPORAL_CONFIG_FILE": os.devnull,
    }


def database_url(home: Path) -> str:
    """The demo's own shop."""
    return f"sqlite:///{home.absolute() / 'shop.db'}"


def exports(home: Path) -> str:
    """What a terminal must be told to look at the demo's shop; more where a shop of yours is set in the environment."""
    yours = Settings()
    told = f"export CASEWORK_HOME={shlex.quote(str(home))}"
    if yours.database_url != f"sqlite:///{yours.home / 'shop.db'}":
        told += f" CASEWORK_DATABASE_URL={shlex.quote(database_url(home))}"
    return told


@asynccontextmanager
async def running_desk(home: Path) -> AsyncGenerator[asyncio.subprocess.Process]:
    """`casework up` on the demo's home, on the usual ports if they are free; stopped politely however it ends."""
    ports: list[str] = []
    if not await _is_free(DEFAULT_PORT) or not await _is_free(DEFAULT_UI_PORT):
        ports = ["--port", str(await _free_port()), "--ui-port", str(await _free_port())]
    with (home / "up.log").open("wb") as out:
        desk = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "casework",
            "up",
            *ports,
            env=surroundings(home),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,  # Ctrl-C is for the demo, which then stops the desk politely
        )
    try:
        yield desk
    finally:
        await _stop(desk)


async def _stop(desk: asyncio.subprocess.Process) -> None:
    """Stop it politely, as Ctrl-C in its terminal would; one that does not listen is ended."""
    if desk.returncode is not None:
        return
    desk.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await desk.wait()
    except TimeoutError:
        desk.kill()
        await desk.wait()


async def _is_free(port: int) -> bool:
    try:
        server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", port)
    except OSError:
        return False
    server.close()
    await server.wait_closed()
    return True


async def _free_port() -> int:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = cast("int", server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    return port


_MADE_HERE = re.compile(
    rf"shop\.db.*|temporal\.db.*|server\..*|.*\.log|morning\.csv|[a-z-]+-\d+\.html|{re.escape(MARKER)}"
)
"""What a demo leaves in its home."""


def make_room(home: Path) -> None:
    """An empty home for the demo: what an earlier demo left there goes; nothing else is ever deleted.

    Raises:
        DemoFailed: where something else lives there.

    """
    if home.exists():
        if not home.is_dir():
            raise DemoFailed(f"{home} is no folder")
        if any(home.iterdir()) and not (home / MARKER).exists():
            raise DemoFailed(f"{home} is not empty and was not made by a demo: name another folder with --home")
        theirs = [one.name for one in home.iterdir() if not _MADE_HERE.match(one.name)]
        if theirs:
            raise DemoFailed(f"{home} holds {theirs[0]}, which no demo made: move it away, or name another --home")
        shutil.rmtree(home)
    home.mkdir(parents=True)
    (home / MARKER).touch()
