"""One side's worker in a process of its own, so that its CPU and memory are nobody else's.

Answers each line on standard input with a number on standard output, and ends when standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import time

from temporalio.client import Client

from bench.bare import plain
from bench.paths import BARE_WORKFLOWS
from casework.converter import DATA_CONVERTER
from casework.logs import configure_logs
from casework.monitoring import monitored, runtime_of
from casework.policy import load_policy
from casework.sandbox import pin_modules
from casework.settings import Settings
from casework.shop.database import Database
from worker import WORKFLOWS, build_worker

CPU, OPEN_CASES = "cpu", "open cases"


async def main() -> None:
    """Connect and work as the real worker does, with the bare workflows beside the real ones."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("namespace")
    parser.add_argument("database_url")
    parser.add_argument("task_queue")
    parser.add_argument("cached", type=int)
    parser.add_argument("--metrics-address", help="the shop's own figures (nowhere)")
    parser.add_argument("--temporal-metrics-address", help="those of Temporal's SDK (nowhere)")
    given = parser.parse_args()
    # Temporal's core logs to standard output, by its number
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    configure_logs()
    settings = Settings(metrics_address=given.metrics_address, temporal_metrics_address=given.temporal_metrics_address)
    client = await Client.connect(
        given.address, namespace=given.namespace, data_converter=DATA_CONVERTER, runtime=runtime_of(settings)
    )
    database = Database(given.database_url)
    pin_modules([plain.__name__])  # as the worker does with the flows' own
    async with build_worker(
        client,
        database,
        load_policy(None),
        task_queue=given.task_queue,
        max_cached_workflows=given.cached,
        more_workflows=BARE_WORKFLOWS,
    ) as worker:
        with monitored(settings, client, database, worker):
            print("ready", file=answers, flush=True)
            while line := await asyncio.to_thread(sys.stdin.readline):
                print(_cpu_seconds() if line.strip() == CPU else _open_cases(), file=answers, flush=True)


def _cpu_seconds() -> float:
    """What all threads of this process have used since it began, Temporal's own among them."""
    return time.process_time()


def _open_cases() -> int:
    """How many workflow objects there are; what is garbage is collected first."""
    gc.collect()
    # each case has a class of its own in the sandbox: only the name is the same
    names = {workflow.__name__ for workflow in (*WORKFLOWS, *BARE_WORKFLOWS)}
    return sum(type(one).__name__ in names for one in gc.get_objects())


if __name__ == "__main__":
    asyncio.run(main())
