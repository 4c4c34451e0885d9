"""`casework inbox` and `casework forecast`: what waits for somebody, and what happens by itself if nobody acts."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text
from temporalio.service import RPCError

from casework.cli.cases import flow_meant
from casework.cli.errors import bad_input
from casework.cli.running import Desk, print_json, run_async, say, sentences
from casework.client import CaseworkClient
from casework.inbox import Inbox
from casework.money import parse_yuan
from casework.reading import read_id
from casework.shop.waiting import WaitFilter
from casework.show import clock_time
from casework.show_waiting import forecast_text, inbox_text
from state_machines.roles import Role

WATCH_SECONDS: Final = 2.0
"""How often a watched inbox looks again."""
MOST_HOURS: Final = 24 * 31


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `casework inbox` was asked for, as it was typed; `limit` None: all."""

    by: str | None = None
    role: str | None = None
    overdue: bool = False
    flow: str | None = None
    order: str | None = None
    over: str | None = None
    assignee: str | None = None
    limit: int | None = None


def show_inbox(wanted: Wanted, *, watch: bool, as_json: bool) -> None:
    """`casework inbox`."""
    with sentences():
        desk = Desk()
        roles = [role_meant(wanted.role)] if wanted.role is not None else []
        who = wanted.by if roles else desk.who(wanted.by)
        meant = _meant(desk, wanted)
        desk.shop  # noqa: B018 - a shop that is not there is told before anything else

    async def look(client: CaseworkClient, now: datetime) -> Inbox:
        narrowed = replace(meant, overdue_at=now if wanted.overdue else None)
        return await client.inbox(who, roles, wanted=narrowed, limit=wanted.limit, now=now)

    if watch:
        gc.enable()  # short commands do without
        with suppress(KeyboardInterrupt):  # how everybody ends it
            run_async(_watch(desk, look, as_json=as_json))
        return
    inbox = run_async(_once(desk, look))
    if as_json:
        print_json(inbox)
    else:
        print(inbox_text(inbox, language=desk.language, zone=desk.zone, now=desk.now))


Look = Callable[[CaseworkClient, datetime], Awaitable[Inbox]]


async def _once(desk: Desk, look: Look) -> Inbox:
    return await look(await desk.client(), desk.now)


async def _watch(desk: Desk, look: Look, *, as_json: bool) -> None:
    """Look again and again: drawn anew in a terminal; elsewhere told once, and again whenever something has changed."""
    client = await desk.client()
    if as_json or not sys.stdout.isatty():
        await _tell_changes(desk, client, look, as_json=as_json)
        return
    with Live(console=Console(), auto_refresh=False) as live:
        while True:
            now = datetime.now(UTC)
            try:
                inbox = await look(client, now)
            except RPCError as error:
                text = f"The Temporal server does not answer: {error.message}. Looking again …"
            else:
                text = inbox_text(inbox, language=desk.language, zone=desk.zone, now=now)
            shown = Text(f"{now.astimezone(desk.zone):%H:%M:%S}\n{text}", no_wrap=True, overflow="ellipsis")
            live.update(shown, refresh=True)
            await asyncio.sleep(WATCH_SECONDS)


async def _tell_changes(desk: Desk, client: CaseworkClient, look: Look, *, as_json: bool) -> None:
    told: object = None
    lost = False
    while True:
        now = datetime.now(UTC)
        try:
            inbox = await look(client, now)
        except RPCError as error:
            if not lost:
                say(f"The Temporal server does not answer: {error.message}. Looking again.")
            lost = True
        else:
            lost = False
            here = ([one.model_dump() for one in inbox.cases], inbox.total)
            if here != told:
                told = here
                if as_json:
                    print(json.dumps(inbox.model_dump(mode="json"), ensure_ascii=False), flush=True)
                else:
                    text = inbox_text(inbox, language=desk.language, zone=desk.zone, now=now)
                    print(f"{clock_time(now, now, desk.zone)}\n{text}", flush=True)
        await asyncio.sleep(WATCH_SECONDS)


def _meant(desk: Desk, wanted: Wanted) -> WaitFilter:
    over: int | None = None
    if wanted.over is not None:
        try:
            over = parse_yuan(wanted.over)
        except ValueError as error:
            raise bad_input(f"--over: {error}.") from None
    assignee = desk.who(wanted.by) if wanted.assignee == "me" else wanted.assignee
    return WaitFilter(
        flow=flow_meant(wanted.flow).name if wanted.flow else None,
        order_id=read_id(wanted.order) if wanted.order else None,
        over_fen=over,
        assignee=assignee,
    )


def role_meant(text: str) -> Role:
    """The role that is named."""
    try:
        return Role(text)
    except ValueError:
        raise bad_input(f"There is no role {text}; there is {', '.join(Role)}.") from None


def show_forecast(*, hours: float, role: str | None, as_json: bool) -> None:
    """`casework forecast`."""
    with sentences():
        desk = Desk()
        if not 0 < hours <= MOST_HOURS:
            raise bad_input(f"--hours: {hours:g} is not more than 0 and at most {MOST_HOURS}.")
        roles = [role_meant(role)] if role is not None else []

    async def ask() -> None:
        forecast = await (await desk.client()).forecast(roles, hours=hours, now=desk.now)
        if as_json:
            print_json(forecast)
        else:
            print(forecast_text(forecast, language=desk.language, zone=desk.zone, now=desk.now))

    run_async(ask())
