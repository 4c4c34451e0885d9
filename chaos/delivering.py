"""The way out of the outbox in the harness: the workers' delivery loop hands over to a file, which is audited."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from casework.port import MOST_SECONDS
from casework.shop.database import Database
from casework.shop.sending import Dispatch
from casework.shop.tables import CaseRow, OutboxRow
from casework.templates import CALLS_TO_ACT
from chaos.points import DELIVER, When

DELIVERED: Final = "delivered.jsonl"
"""The file in the harness's folder that messages go to."""
LEASE: Final = timedelta(seconds=MOST_SECONDS + 5)
"""For so long a message is left to the worker that has claimed it, and may be dead; in production two minutes."""
LOOK_SECONDS: Final = 0.2
Reach = Callable[[str, When, str], None]
"""A point may be reached: its name, when, and the order that it is about."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that was handed over."""

    id: str
    recipient: str | None
    text: str
    """In Chinese, as the buyer has it."""


class Receiver:
    """The port of the harness's workers: it writes down whatever it is given, a line a message."""

    def __init__(self, path: Path, reach: Reach) -> None:
        """`path`: one file for all workers."""
        self._path, self._reach = path, reach

    async def send(self, dispatch: Dispatch) -> None:
        """Take it; a worker may be killed before that, and before it has heard so."""
        about = dispatch.order_id or ""
        self._reach(DELIVER, "before", about)
        self._take(Delivery(dispatch.id, dispatch.recipient, dispatch.text_zh))
        self._reach(DELIVER, "after", about)

    def _take(self, delivery: Delivery) -> None:
        # one write, so that workers do not write into each other's lines
        with self._path.open("ab", buffering=0) as file:
            file.write(json.dumps(asdict(delivery)).encode() + b"\n")


def deliveries(path: Path) -> list[Delivery]:
    """Whatever the receiver was given, in that order."""
    if not path.exists():
        return []
    return [Delivery(**json.loads(line)) for line in path.read_text().splitlines()]


async def until_all_is_sent(database: Database, *, patience: float) -> None:
    """Wait until nothing waits in the outbox any more, or nothing of it has left for `patience` seconds."""
    before, changed = -1, time.monotonic()
    while before and time.monotonic() < changed + patience:
        with suppress(OperationalError, InterfaceError), database.reading() as session:
            waiting = _waiting(session)
            if waiting != before:
                before, changed = waiting, time.monotonic()
        await asyncio.sleep(LOOK_SECONDS)


def undelivered(session: Session, given: Sequence[Delivery]) -> list[str]:
    """What is wrong between the outbox and what was delivered.

    Every message must have left, unless it was not needed any more, and nothing but messages. A message may be
    delivered twice, after a crash between handing over and noting so, but no more often than somebody had claimed it,
    and under the same id, in the same words.
    """
    found: list[str] = []
    rows = {row.key: row for row in session.scalars(select(OutboxRow))}
    times = Counter(one.id for one in given)
    ended = set(session.scalars(select(CaseRow.case_id).where(CaseRow.closed_at.is_not(None))))
    for row in rows.values():
        what = f"{row.case_id}: the message {row.template} to {row.recipient or row.to} ({row.key})"
        needless = row.cancelled_at is not None or (row.case_id in ended and row.template in CALLS_TO_ACT)
        if row.delivery == "skipped" and not needless:
            found.append(f"{what} was left out")
        elif row.delivery not in {"skipped", "delivered"}:
            found.append(f"{what} is {row.delivery} after {row.attempts} attempts")
        elif row.delivery == "delivered" and not times[row.key]:
            found.append(f"{what} is said to be delivered, and never was")
        if times[row.key] > row.attempts:
            found.append(f"{what} was delivered {times[row.key]} times in {row.attempts} attempts")
    for one in given:
        row = rows.get(one.id)
        if row is None:
            found.append(f"a message was delivered that does not stand in the outbox: {one.id}")
        elif (one.recipient, one.text) != (row.recipient, row.text_zh):
            found.append(f"{row.case_id}: {one.id} was delivered to others, or in other words than the outbox has")
    return found


def delivered_again(given: Sequence[Delivery]) -> int:
    """How many messages were delivered more than once."""
    return sum(times > 1 for times in Counter(one.id for one in given).values())


def _waiting(session: Session) -> int:
    query = select(func.count()).select_from(OutboxRow).where(OutboxRow.delivery == "waiting")
    return session.scalar(query) or 0
