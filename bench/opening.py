"""How fast a batch opens cases, against a bare loop of starts with the same concurrency.

No worker listens: what cases then do would take the machine from both sides, and most from the faster one.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from bench.measure import Order, Rig
from bench.paths import BARE, CASEWORK, Path
from casework.batch.reading import read_rows
from casework.batch.running import Outcome, Told, open_rows
from casework.client import CaseworkClient
from casework.policy import load_policy

NOBODY = "nobody-works-here"
"""The task queue of the cases that are only opened."""


async def opened_a_second(rig: Rig, path: Path, side: str, *, cases: int, at_once: int) -> float:
    """Open so many cases, at most `at_once` starts on their way, and end them; how many were opened a second.

    Casework's side is all that `casework batch` does with a file: reads it, checks every row against the shop, notes
    it, opens the case and notes that.

    Raises:
        RuntimeError: if a row was not opened.

    """
    orders = rig.orders(path, cases)
    zone = ZoneInfo(load_policy(None).shop.timezone)
    begun = time.perf_counter()
    await (_by_batch if side == CASEWORK else _by_loop)(rig, path, orders, at_once, zone)
    took = time.perf_counter() - begun
    ending = asyncio.Semaphore(at_once)

    async def end(order: Order) -> None:
        async with ending:
            await rig.client.get_workflow_handle(order.case_id).terminate()

    await asyncio.gather(*map(end, orders))
    return cases / took


async def _by_batch(rig: Rig, path: Path, orders: Sequence[Order], at_once: int, zone: ZoneInfo) -> None:
    starts = [{"flow": path.flow, **path.start_of(order.order_id)} for order in orders]
    content = "".join(f"{json.dumps(start)}\n" for start in starts).encode()
    rows = read_rows("bench.jsonl", content, zone=zone)
    told: list[Told] = []
    client = CaseworkClient(rig.client, rig.database, task_queue=NOBODY)
    await open_rows(client, rig.database, rows.good, by=None, at_once=at_once, tell=told.append)
    if sum(one.outcome is Outcome.OPENED for one in told) != len(orders):
        raise RuntimeError(f"of {len(orders)} rows not all were opened, such as {told[0]}")


async def _by_loop(rig: Rig, path: Path, orders: Sequence[Order], at_once: int, _zone: ZoneInfo) -> None:
    left = iter(orders)

    async def start() -> None:
        for order in left:
            await rig.client.start_workflow(
                path.workflow_of(BARE), path.start_of(order.order_id), id=order.case_id, task_queue=NOBODY
            )

    await asyncio.gather(*(start() for _ in range(at_once)))
