"""`casework deliver`: what stands in the outbox goes out."""

from __future__ import annotations

import asyncio
import signal
from contextlib import closing, suppress
from dataclasses import asdict
from datetime import UTC, datetime

from casework.cli.errors import FAILED, Stop
from casework.cli.running import Desk, print_json, run_async, sentences
from casework.delivery import Delivered, Port, deliver_due, keep_delivering, port_of
from casework.logs import configure_logs
from casework.shop.database import Database
from casework.shop.deliveries import Backlog, backlog, try_again
from casework.show import time_with_distance, word


def deliver_messages(*, once: bool, again: bool, as_json: bool) -> None:
    """`casework deliver`."""
    with sentences():
        desk = Desk()
        port = port_of(desk.settings)
        shop = desk.shop
        if again:
            with shop.writing() as session:
                try_again(session, now=datetime.now(UTC))
    configure_logs()
    with closing(shop):
        done = run_async(deliver_due(shop, port) if once else _until_stopped(shop, port))
        with sentences(), shop.reading() as session:
            left = backlog(session)
    if as_json:
        print_json({"delivered": done.delivered, "failed": done.failed, **_json(left)})
    else:
        print(_report(desk, done if once else None, left))
    if done.failed:
        why = next((one.why for one in reversed(left.failed)), None) or "see the log"
        raise Stop(FAILED, f"{done.failed} could not be delivered: {why}.")


async def _until_stopped(shop: Database, port: Port) -> Delivered:
    """Deliver until Ctrl-C, which lets nothing go missing: what is under way then is delivered again."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    delivering = asyncio.create_task(keep_delivering(shop, port))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({delivering, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if delivering.done():
        delivering.result()
    for task in (delivering, stopped):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return Delivered()


def _json(left: Backlog) -> dict[str, object]:
    counts = {state: left.counts.get(state, 0) for state in ("waiting", "refused")}
    return {**counts, "problems": [asdict(one) for one in left.failed]}


def _report(desk: Desk, done: Delivered | None, left: Backlog) -> str:
    """How many went out, how many are left, and why."""
    language = desk.language
    counts = [("waiting", left.counts.get("waiting", 0)), ("refused_for_good", left.counts.get("refused", 0))]
    if done is not None:
        counts = [("delivered_now", done.delivered), ("failed_now", done.failed), *counts]
    lines = [", ".join(f"{word(name, language)}: {count}" for name, count in counts)]
    for one in left.failed:
        if one.next_try is None:
            when = word("not_by_itself", language)
        else:
            when = f"{word('next_try', language)} {time_with_distance(one.next_try, desk.now, desk.zone, language)}"
        lines.append(f"  {one.case_id} {one.template}: {one.why}; {one.attempts} {word('attempts', language)}, {when}")
    return "\n".join(lines)
