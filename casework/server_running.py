"""Where a running embedded server is: it says so in its home directory, and commands read it."""

import fcntl
from pathlib import Path
from typing import IO

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError


class RunningServer(BaseModel):
    """What a running embedded server says about itself in `server.json` of its home directory."""

    model_config = ConfigDict(frozen=True)

    address: str
    """Host and port for clients."""
    ui: str
    """The address of the Temporal UI, with `http://`."""
    pid: int
    """Of the server's process."""
    started: AwareDatetime
    """In UTC."""


def read_running(home: Path) -> RunningServer | None:
    """The embedded server that runs on this home directory; None if none does, or its process has died.

    A living server is told by its lock, not by its process id, which may meanwhile be another program's.
    """
    try:
        with (home / "server.lock").open("rb") as lock:
            if try_lock(lock, fcntl.LOCK_SH):
                return None
        return RunningServer.model_validate_json((home / "server.json").read_bytes())
    except (OSError, ValidationError):
        return None


def try_lock(file: IO[bytes], kind: int) -> bool:
    """Take the lock (`fcntl.LOCK_SH` or `LOCK_EX`) if it is free; False where somebody else holds it."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
