"""A worker of the harness, in a process of its own: the real one, with `Killer` in front and the delivery loop beside
it, until it is killed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client

from casework.converter import DATA_CONVERTER
from casework.logs import configure_logs
from casework.names import NAMESPACE
from casework.policy import Policy, load_policy
from casework.sending import keep_sending
from casework.shop.database import Database
from chaos.delivering import DELIVERED, LEASE, Receiver
from chaos.points import Killer, PointsFolder
from worker import build_worker

TRY_AGAIN_SECONDS = 0.1
STICKY_TIMEOUT = timedelta(seconds=2)
"""Less than in production: so often as here no worker dies there."""


async def main() -> None:
    """Connect, as soon as the server is there, and work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("database_url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--outside-seconds", type=float, required=True)
    parser.add_argument("--sabotage", help="MODULE:FUNCTION that breaks this worker on purpose")
    given = parser.parse_args()
    configure_logs()
    killer = Killer(PointsFolder(given.folder), outside_seconds=given.outside_seconds)
    if given.sabotage:
        module, _, function = given.sabotage.partition(":")
        getattr(importlib.import_module(module), function)()
    database, policy = Database(given.database_url), load_policy(None)
    receiver = Receiver(given.folder / DELIVERED, killer.reach)
    async with asyncio.TaskGroup() as both:
        both.create_task(keep_sending(database, receiver, lease=LEASE))
        both.create_task(_work(given.address, database, policy, killer))


async def _work(address: str, database: Database, policy: Policy, killer: Killer) -> None:
    while True:
        client = await _connected(address)
        worker = build_worker(client, database, policy, interceptors=[killer], sticky_timeout=STICKY_TIMEOUT)
        try:
            return await worker.run()
        except RuntimeError as error:
            if "Worker validation failed" not in str(error):  # the server was killed before the worker had begun
                raise


async def _connected(address: str) -> Client:
    while True:
        try:
            return await Client.connect(address, namespace=NAMESPACE, data_converter=DATA_CONVERTER)
        except RuntimeError:  # not there yet, or killed in this moment
            await asyncio.sleep(TRY_AGAIN_SECONDS)


if __name__ == "__main__":
    asyncio.run(main())
