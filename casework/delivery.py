"""Delivery of the outbox: messages to buyers and tasks for staff go out through a port, at least once each.

A port hands one message over, or says why not. The log is the default; `casework.webhook` is the other one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from sqlalchemy.exc import SQLAlchemyError

from casework.settings import Settings
from casework.shop import deliveries
from casework.shop.database import Database
from casework.shop.deliveries import Dispatch

LOGGER = logging.getLogger("casework.delivery")
EVERY_SECONDS: Final = 2.0
"""How often the outbox is looked at."""
MOST_SECONDS: Final = 10.0
"""A port takes no longer than this for one message."""
AT_ONCE: Final = 8
"""So many messages are claimed together, and delivered one after the other."""
LEASE: Final = timedelta(seconds=AT_ONCE * MOST_SECONDS + 40)
"""For so long they are nobody else's: longer than they can take. After a crash they are delivered anew then."""


class NotDelivered(Exception):
    """The message has not been handed over: one plain sentence that quotes nobody.

    `refused`: whoever is to have it does not want it as it is; otherwise it may work later.
    """

    def __init__(self, why: str, *, refused: bool = False) -> None:
        super().__init__(why)
        self.refused = refused


class Port(Protocol):
    """What delivers a message."""

    async def deliver(self, dispatch: Dispatch) -> None:
        """Hand the message over, within `MOST_SECONDS`.

        Raises:
            NotDelivered: it was not, or nobody knows whether it was. Anything else that is raised counts as that.

        """
        ...


class LogDelivery:
    """Writes a line to the log: what is said about which case, and to whom. Never the text: logs hold no words."""

    async def deliver(self, dispatch: Dispatch) -> None:
        """Log it."""
        facts = {"case": dispatch.case_id, "template": dispatch.template, "to": dispatch.to}
        if dispatch.to == "staff":
            facts |= {"role": dispatch.recipient or "", "people": ", ".join(dispatch.people) or "nobody is there"}
        LOGGER.info("message", extra=facts)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What came of one look at the outbox."""

    delivered: int = 0
    failed: int = 0


def port_of(settings: Settings) -> Port:
    """The port that the settings name.

    Raises:
        SettingsError: the template of the webhook cannot be used.

    """
    if settings.webhook_url is None or settings.webhook_secret is None:
        return LogDelivery()
    # imported late: only a delivery needs a client for HTTP
    from casework.webhook import WebhookDelivery, read_template

    template = read_template(settings.webhook_template) if settings.webhook_template is not None else None
    return WebhookDelivery(
        settings.webhook_url.get_secret_value(),
        settings.webhook_secret.get_secret_value(),
        language=settings.lang,
        template=template,
    )


def _now() -> datetime:
    return datetime.now(UTC)


async def deliver_due(database: Database, port: Port, *, clock: Callable[[], datetime] = _now) -> Delivered:
    """Deliver what is due now; what fails is left for later. `clock` tells the time on the wall, aware.

    Several may do so at the same time: none of them delivers what another one has claimed.

    Raises:
        SQLAlchemyError: the shop's database cannot be used; what was claimed is delivered after `LEASE`.

    """
    done, failed = 0, 0
    while not failed:  # a receiver that is away is not asked for every message that waits
        claimed = await asyncio.to_thread(_claim, database, clock())
        if not claimed:
            break
        for dispatch in claimed:
            problem = await _hand_over(port, dispatch)
            if problem is None:
                done += 1
                await asyncio.to_thread(_note_delivered, database, dispatch, clock())
            else:
                failed += 1
                again = await asyncio.to_thread(_note_failed, database, dispatch, problem, clock())
                facts = {"case": dispatch.case_id, "told": str(problem), "again": again}
                LOGGER.warning("message_not_delivered", extra=facts)
    return Delivered(done, failed)


async def _hand_over(port: Port, dispatch: Dispatch) -> NotDelivered | None:
    """Why the port has not handed the message over; None: it has. Whatever goes wrong in a port, the desk goes on."""
    try:
        await port.deliver(dispatch)
    except NotDelivered as problem:
        return problem
    except Exception as error:  # noqa: BLE001 - a port is anybody's; not what it says: that may quote the message
        return NotDelivered(f"the delivery itself failed ({type(error).__name__})")
    return None


async def keep_delivering(database: Database, port: Port) -> None:
    """Deliver whatever comes into the outbox, until this is cancelled."""
    while True:
        try:
            await deliver_due(database, port)
        except SQLAlchemyError as error:
            LOGGER.warning("outbox_waits", extra={"kind": type(error).__name__})
        await asyncio.sleep(EVERY_SECONDS)


def _claim(database: Database, now: datetime) -> list[Dispatch]:
    with database.reading() as session:
        if not deliveries.anything_due(session, now=now):
            return []
    with database.writing() as session:
        return deliveries.claim(session, now=now, lease=LEASE, at_most=AT_ONCE)


def _note_failed(database: Database, dispatch: Dispatch, error: NotDelivered, now: datetime) -> bool:
    with database.writing() as session:
        return deliveries.note_failed(session, dispatch, str(error), refused=error.refused, at=now)


def _note_delivered(database: Database, dispatch: Dispatch, now: datetime) -> None:
    with database.writing() as session:
        deliveries.note_delivered(session, dispatch.id, at=now)
