"""Letting a case's time pass on Temporal's development server: for the demo and the tests, never for a shop."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any, Final

from temporalio.client import WorkflowHandle
from temporalio.testing import TimeSkipper

PATIENCE_SECONDS: Final = 15
"""Temporal skips in less than a second; where a workflow task comes in between, it may never come to it."""
OVERRIDDEN: Final = "fast_forward_id does not match"


async def skip(skipper: TimeSkipper, handle: WorkflowHandle[Any, Any], duration: timedelta) -> bool:
    """Let time pass for one case; False: it has ended, or Temporal has lost sight of it and is to be asked anew."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await skipper.fast_forward(handle, duration)
    except TimeoutError:
        return False
    except RuntimeError as error:  # the SDK has no kind of its own for it
        if OVERRIDDEN not in str(error):
            raise
        return False


async def skip_past(skipper: TimeSkipper, handle: WorkflowHandle[Any, Any], due: datetime) -> bool:
    """Let time pass for one case until a second after `due` (aware); False: it is not that late by its clock."""
    left = due - await skipper.get_current_time(handle)
    if not await skip(skipper, handle, max(left, timedelta(0)) + timedelta(seconds=1)):
        return False
    return await skipper.get_current_time(handle) >= due
