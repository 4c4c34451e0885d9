"""What an inbox takes while very many cases are open, beside one plain question to Temporal's list for as many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from bench.measure import Rig
from bench.paths import CASEWORK, Path
from casework import names
from casework.client import CaseworkClient

PERSON, ROLE = "aftersale.1", "aftersale_agent"
"""Whose inbox it is: what the path's first wait asks of."""
PAGE: Final = 50
POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class InboxTimes:
    """With so many open cases: what an inbox and a plain question took, round by round, in milliseconds."""

    cases: int
    page: int
    inbox_ms: list[float]
    query_ms: list[float]


async def inbox_times(rig: Rig, path: Path, cases: int, *, rounds: int = 20, page: int = PAGE) -> InboxTimes:
    """Open many cases, leave them in their first wait, and look at them in both ways, one after the other.

    Raises:
        RuntimeError: if a way does not show a whole page of them.

    """
    async with rig.worker("inbox") as worker:
        handles = await rig.open_many(path, CASEWORK, worker, cases)
        client = CaseworkClient(rig.client, rig.database, task_queue=worker.task_queue)
        question = f"{names.CASE_WAITING_FOR} IN ('{ROLE}') AND ExecutionStatus = 'Running'"
        wanted = min(page, cases)

        async def inbox() -> int:
            return len((await client.inbox(PERSON, limit=page)).cases)

        async def query() -> int:
            return len([one async for one in rig.client.list_workflows(question, page_size=page, limit=page)])

        while (await rig.client.count_workflows(question)).count < cases:  # noqa: ASYNC110 - nobody tells when it follows
            await asyncio.sleep(POLL_SECONDS)
        times = InboxTimes(cases, page, [], [])
        for number in range(rounds):
            ways = [(inbox, times.inbox_ms), (query, times.query_ms)]
            for way, took in ways if number % 2 == 0 else reversed(ways):
                took.append(await _timed(way, wanted))
        for handle in handles:
            await handle.terminate()
        return times


async def _timed(way: Callable[[], Awaitable[int]], wanted: int) -> float:
    begun = time.perf_counter()
    shown = await way()
    took = 1000 * (time.perf_counter() - begun)
    if shown != wanted:
        raise RuntimeError(f"{shown} cases were shown and not {wanted}")
    return took
