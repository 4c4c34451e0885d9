"""Sends what stands in the outbox: messages to buyers and tasks for staff go out through a port, at least once each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from casework.port import MOST_SECONDS, NotSent, Port, ToLog
from casework.settings import Settings
from casework.shop import sending
from casework.shop.database import Database
from casework.shop.sending import Dispatch

ResultT = TypeVar("ResultT")
LOGGER = logging.getLogger("casework.sending")
EVERY_SECONDS: Final = 2.0
"""How often the outbox is looked at."""
AT_ONCE: Final = 8
"""So many messages are claimed together, and sent one after the other."""
LEASE: Final = timedelta(seconds=AT_ONCE * MOST_SECONDS + 40)
"""For so long they are nobody else's; what could not be sent within it, or after a crash, is claimed anew then."""
NOTE_TRIES: Final = 3
"""So often the shop is asked to note what came of a message: what is not noted goes out once more."""
SECONDS_BETWEEN_TRIES: Final = 0.5


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one look at the outbox."""

    sent: int = 0
    failed: int = 0


def port_of(settings: Settings) -> Port:
    """The port that the settings name.

    Raises:
        SettingsError: the template of the webhook cannot be used.

    """
    if settings.webhook_url is None or settings.webhook_secret is None:
        return ToLog()
    # imported late: only the webhook needs a client for HTTP
    from casework.webhook import ToWebhook, read_template

    template = read_template(settings.webhook_template) if settings.webhook_template is not None else None
    return ToWebhook(
        settings.webhook_url.get_secret_value(),
        settings.webhook_secret.get_secret_value(),
        language=settings.lang,
        template=template,
    )


def _now() -> datetime:
    return datetime.now(UTC)


async def send_due(
    database: Database, port: Port, *, clock: Callable[[], datetime] = _now, lease: timedelta = LEASE
) -> Sent:
    """Send what is due now; what fails is left for later. `clock` tells the time on the wall, aware.

    Several may do so at the same time: none of them sends what another one has claimed, for as long as a `lease`, which
    is longer than `MOST_SECONDS`.

    Raises:
        SQLAlchemyError: the shop's database cannot be used; what was claimed is sent after the lease.

    """
    done, failed = 0, 0
    while not failed:  # a receiver that is away is not asked for every message that waits
        now = clock()
        claimed = await asyncio.to_thread(_claim, database, now, lease)
        if not claimed:
            break
        for dispatch in claimed:
            if clock() > now + lease - timedelta(seconds=MOST_SECONDS):
                break  # noting took long: somebody else may have claimed it before it is sent
            problem = await _hand_over(port, dispatch)
            if problem is None:
                done += 1
                await _noted(partial(_note_sent, database, dispatch), clock)
            else:
                failed += 1
                again = await _noted(partial(_note_failed, database, dispatch, problem), clock)
                facts = {"case": dispatch.case_id, "told": str(problem), "again": again}
                LOGGER.warning("message_not_delivered", extra=facts)
    return Sent(done, failed)


async def _hand_over(port: Port, dispatch: Dispatch) -> NotSent | None:
    """Why the port has not handed the message over; None: it has. Whatever goes wrong in a port, the desk goes on."""
    try:
        await port.send(dispatch)
    except NotSent as problem:
        return problem
    except Exception as error:  # noqa: BLE001 - a port is anybody's; not what it says: that may quote the message
        return NotSent(f"the delivery itself failed ({type(error).__name__})")
    return None


async def _noted(note: Callable[[datetime], ResultT], clock: Callable[[], datetime]) -> ResultT:
    """Note what came of a message, also where the shop is locked for a while, or lost for a moment."""
    for _ in range(NOTE_TRIES - 1):
        with suppress(OperationalError):
            return await asyncio.to_thread(note, clock())
        await asyncio.sleep(SECONDS_BETWEEN_TRIES)
    return await asyncio.to_thread(note, clock())


async def keep_sending(database: Database, port: Port, *, lease: timedelta = LEASE) -> None:
    """Send whatever comes into the outbox, until this is cancelled. `lease`: as for `send_due`."""
    while True:
        try:
            await send_due(database, port, lease=lease)
        except SQLAlchemyError as error:
            LOGGER.warning("outbox_waits", extra={"kind": type(error).__name__})
        await asyncio.sleep(EVERY_SECONDS)


def _claim(database: Database, now: datetime, lease: timedelta) -> list[Dispatch]:
    with database.reading() as session:
        if not sending.anything_due(session, now=now):
            return []
    with database.writing() as session:
        return sending.claim(session, now=now, lease=lease, at_most=AT_ONCE)


def _note_failed(database: Database, dispatch: Dispatch, error: NotSent, now: datetime) -> bool:
    with database.writing() as session:
        return sending.note_failed(session, dispatch, str(error), refused=error.refused, at=now)


def _note_sent(database: Database, dispatch: Dispatch, now: datetime) -> None:
    with database.writing() as session:
        sending.note_sent(session, dispatch.id, at=now)
