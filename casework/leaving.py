"""How a program that has talked to Temporal ends."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import suppress
from datetime import timedelta
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """End the process with this exit code at once; what is committed and flushed by then is all that there is.

    A thread of Temporal's core that wakes up while Python is being taken down aborts the process, whatever it has
    answered (temporalio/sdk-python#300): so nothing is taken down.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


def leave_within(longest: timedelta, code: int = 0) -> None:
    """End the process with this exit code after so long, unless it has ended by then: nobody waits for a thread that
    hangs outside.

    What it was at is done again elsewhere.
    """
    asyncio.get_running_loop().call_later(longest.total_seconds(), leave, code)
