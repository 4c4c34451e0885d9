"""`casework up`: Temporal server, shop and worker in one process, until Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client
from temporalio.service import RPCError

from casework.cli.errors import FAILED, Stop, bad_input
from casework.cli.running import Desk, sentences
from casework.client import CaseworkClient
from casework.connection import Cluster, configured_cluster, connect, require_namespace
from casework.converter import DATA_CONVERTER
from casework.leaving import leave_within
from casework.logs import configure_logs
from casework.monitoring import monitored, runtime_of
from casework.port import Port
from casework.schedule import keep_schedule
from casework.sending import keep_sending, port_of
from casework.server import DEFAULT_PORT, DEFAULT_UI_PORT, EmbeddedServer
from casework.server_program import find_server_program, put_on_path
from casework.shop.database import Database

LOGGER = logging.getLogger("casework.up")
LISTENS_SECONDS: Final = 0.05
LISTENS_WITHIN_SECONDS: Final = 30.0
"""How often Temporal is asked whether it knows of the worker, and for how long."""
NOTICES_EVERY_SECONDS: Final = 2.0
"""How often the cases are told what happened to their orders."""


def run_desk(*, port: int | None, ui_port: int | None) -> None:
    """`casework up`."""
    gc.enable()  # short commands do without
    with sentences():
        desk = Desk()
        desk.policy  # noqa: B018 - a policy that is refused is told before anything is started
        port_of(desk.settings)  # so is a template
        cluster = configured_cluster()
        program: Path | None = None
        if cluster is None:
            given = desk.settings.temporal_cli
            found = find_server_program(_report, given=str(given) if given else None)
            put_on_path(found.path)
            print(f"✓ {found}", flush=True)
            program = found.path
        elif port is not None or ui_port is not None:
            raise bad_input(f"--port and --ui-port are for the embedded server; your settings name a {cluster}.")
        else:
            print(f"✓ {cluster}", flush=True)
        with suppress(KeyboardInterrupt):
            asyncio.run(_run(desk, program, cluster, port or DEFAULT_PORT, ui_port or DEFAULT_UI_PORT))


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def _run(desk: Desk, program: Path | None, cluster: Cluster | None, port: int, ui_port: int) -> None:
    from worker import LONGEST_STOP, build_worker

    configure_logs()
    stop = asyncio.Event()

    def asked_to_stop() -> None:
        stop.set()
        leave_within(LONGEST_STOP)  # the embedded server ends with this process

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked_to_stop)
    async with AsyncExitStack() as stack:
        server: EmbeddedServer | None = None
        if program is not None:
            server = EmbeddedServer(program, desk.settings.home, port=port, ui_port=ui_port)
            await stack.enter_async_context(server)
        database = desk.new_shop
        client = await connect(desk.settings.home, data_converter=DATA_CONVERTER, runtime=runtime_of(desk.settings))
        if cluster is not None:
            await require_namespace(client)
        await keep_schedule(client, desk.policy.patrol.interval)
        worker = await stack.enter_async_context(build_worker(client, database, desk.policy))
        await _until_it_listens(client)
        stack.enter_context(monitored(desk.settings, client, database, worker))
        _welcome(server.ui if server else None)
        try:
            await _until_stopped(stop, server, client, database, port_of(desk.settings))
        except BaseException:
            leave_within(LONGEST_STOP, FAILED)
            raise
        print("Stopping …", flush=True)


async def _until_stopped(
    stop: asyncio.Event, server: EmbeddedServer | None, client: Client, database: Database, outside: Port
) -> None:
    news = asyncio.create_task(_tell_notices(CaseworkClient(client, database)))
    messages = asyncio.create_task(keep_sending(database, outside))
    stopped = asyncio.create_task(stop.wait())
    watched: set[asyncio.Task[object]] = {stopped, news, messages}
    ended: asyncio.Task[int] | None = None
    if server is not None:
        ended = asyncio.create_task(server.wait_until_ended())
        watched.add(ended)
    try:
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        for one in (news, messages):
            if one.done():
                one.result()
        if ended is not None and ended.done() and not stopped.done():
            raise Stop(FAILED, "The Temporal server has ended by itself; its log is temporal.log in CASEWORK_HOME.")
    finally:
        for task in watched:
            task.cancel()
        await asyncio.gather(*watched, return_exceptions=True)


async def _tell_notices(client: CaseworkClient) -> None:
    """Tell the cases what happened to their orders, now and every few seconds; what was not told waits in the shop."""
    while True:
        try:
            told = await client.tell_notices()
        except RPCError as error:
            LOGGER.warning("notices_wait", extra={"told": error.message})
        except SQLAlchemyError as error:
            LOGGER.warning("notices_wait", extra={"kind": type(error).__name__})
        else:
            if told:
                LOGGER.info("notices_delivered", extra={"cases": told})
        await asyncio.sleep(NOTICES_EVERY_SECONDS)


async def _until_it_listens(client: Client) -> None:
    """Wait until Temporal knows of a worker that asks for work: what is said to run, `casework doctor` finds."""
    from casework.cli.doctor import pollers

    with suppress(TimeoutError):  # one that does not come to it ends with its own error
        async with asyncio.timeout(LISTENS_WITHIN_SECONDS):
            while not await pollers(client):  # noqa: ASYNC110 - Temporal tells nobody of it
                await asyncio.sleep(LISTENS_SECONDS)


def _welcome(ui: str | None) -> None:
    if ui is not None:
        print(f"✓ Temporal UI {ui}")
    print("✓ The worker runs. Stop with Ctrl-C. Try, in another terminal:")
    print("    casework import FILE…              take in your shop's exports")
    print("    casework start refund --order ID --by aftersale.1")
    print("    casework inbox --by finance.1      what waits for a person", flush=True)
