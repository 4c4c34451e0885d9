"""`casework deliver`: what stands in the outbox goes out."""

from __future__ import annotations

import asyncio
import signal
from contextlib import closing, suppress
from dataclasses import asdict
from datetime import UTC, datetime

from casework.cli.errors import FAILED, Stop
from casework.cli.running import Desk, print_json, run_async, sentences
from casework.logs import configure_logs
from casework.port import Port
from casework.sending import Sent, keep_sending, port_of, send_due
from casework.shop.database import Database
from casework.shop.sending import Backlog, backlog, try_again
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
        done = run_async(send_due(shop, port) if once else _until_stopped(shop, port))
        with sentences(), shop.reading() as session:
            left = backlog(session)
    if as_json:
        print_json({"delivered": done.sent, "failed": done.failed, **_json(left)})
    else:
        print(_report(desk, done if once else None, left))
    if done.failed:
        why = next((one.why for one in reversed(left.failed)), None) or "see the log"
        raise Stop(FAILED, f"{done.failed} could not be delivered: {why}.")


async def _until_stopped(shop: Database, port: Port) -> Sent:
    """Send until Ctrl-C, which lets nothing go missing: what is under way then is sent again."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    sending = asyncio.create_task(keep_sending(shop, port))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({sending, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if sending.done():
        sending.result()
    for task in (sending, stopped):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return Sent()


def _json(left: Backlog) -> dict[str, object]:
    counts = {state: left.counts.get(state, 0) for state in ("waiting", "refused")}
    return {**counts, "problems": [asdict(one) for one in left.failed]}


def _report(desk: Desk, done: Sent | None, left: Backlog) -> str:
    """How many went out, how many are left, and why."""
    language = desk.language
    counts = [("waiting", left.counts.get("waiting", 0)), ("refused_for_good", left.counts.get("refused", 0))]
    if done is not None:
        counts = [("delivered_now", done.sent), ("failed_now", done.failed), *counts]
    lines = [", ".join(f"{word(name, language)}: {count}" for name, count in counts)]
    for one in left.failed:
        if one.next_try is None:
            when = word("not_by_itself", language)
        else:
            when = f"{word('next_try', language)} {time_with_distance(one.next_try, desk.now, desk.zone, language)}"
        lines.append(f"  {one.case_id} {one.template}: {one.why}; {one.attempts} {word('attempts', language)}, {when}")
    return "\n".join(lines)
