"""Letting time pass for one case, on a server that allows it: for the demo, the tests and the bench."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Final

from temporalio.client import WorkflowHandle
from temporalio.testing import TimeSkipper

SKIP_SECONDS: Final = 20.0
"""After this Temporal's clock is asked whether a skip is done; what is left of it is asked for anew."""


async def skip_time(skipper: TimeSkipper, case: WorkflowHandle[Any, Any], duration: timedelta) -> bool:
    """Let so much time pass for the case, also over its next runs; False: Temporal has given that up.

    Temporal (1.32) now and then never says that a skip is done, or does not go on with it; a server that is killed
    meanwhile forgets who waits for it.
    """
    until = await skipper.get_current_time(case) + duration
    while True:
        skipping = asyncio.ensure_future(skipper.fast_forward(case, duration))
        try:
            done, _ = await asyncio.wait([skipping], timeout=SKIP_SECONDS)
        finally:
            skipping.cancel()  # harmless if it is done
            skipping.add_done_callback(_heard)
        if done:
            return skipping.result()
        duration = until - await skipper.get_current_time(case)
        if duration <= timedelta(0):
            return True


def _heard(skipping: asyncio.Task[bool]) -> None:
    """Whoever gave up on it does not care how it ends; Temporal's client makes an error of being cancelled."""
    if not skipping.cancelled():
        skipping.exception()
