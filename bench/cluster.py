"""`python -m bench.cluster`: two workers against one on a real cluster (`chaos.cluster`), and what limits them.

What limits them is told by who has had how much of the processors meanwhile: the workers, Temporal, PostgreSQL (which
has Temporal's databases and the shop's), and the hands that play the people.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path as File
from tempfile import TemporaryDirectory

from temporalio.client import Client

from bench.measure import Rig, WorkerProcess, new_shop
from bench.paths import CASEWORK, Path, paths_of
from casework.converter import DATA_CONVERTER
from casework.leaving import leave
from casework.server_program import ServerNotFound
from chaos.cluster import ClusterVictim, free_ports
from chaos.cluster_programs import find_cluster_programs
from chaos.processes import DatabaseVictim
from tests.postgresql import Missing, RunningPostgreSQL

QUEUE = "cluster"


@dataclass(frozen=True, slots=True)
class Taken:
    """What a batch took: seconds, and how many seconds of a processor each had meanwhile."""

    wall: float
    cpu: Mapping[str, float]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 1 where there is no PostgreSQL, or no Go to build the cluster with."""
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument("path", nargs="?", default="supervisor", help="which path (%(default)s)")
    parser.add_argument("--rounds", type=int, default=4, help="rounds, one worker and two taking turns (%(default)s)")
    parser.add_argument("--cases", type=int, default=100, help="cases at once in a round (%(default)s)")
    given = parser.parse_args(arguments)
    try:
        asyncio.run(_measure(given))
    except (Missing, ServerNotFound) as missing:
        print(missing, file=sys.stderr)
        return 1
    return 0


async def _measure(given: argparse.Namespace) -> None:
    (path,) = paths_of(None, given.path)
    programs = find_cluster_programs(lambda line: print(f"… {line}", flush=True))
    postgresql = RunningPostgreSQL(lasting=True, port=free_ports(1)[0])
    taken: dict[int, list[Taken]] = {1: [], 2: []}
    async with AsyncExitStack() as stack:
        home = File(stack.enter_context(TemporaryDirectory(prefix="casework-bench-")))
        log = stack.enter_context((home / "servers.log").open("wb"))
        shared = postgresql.prepare()
        database_server = DatabaseVictim(postgresql, shared, log)
        pids = {"PostgreSQL": await database_server.start()}
        stack.push_async_callback(database_server.stop)
        # as Temporal is by default: a start knows what was registered before it
        cluster = ClusterVictim(programs, shared, home / "temporal", {}, log)
        await cluster.start()
        await cluster.stop()
        pids["Temporal"] = await cluster.start()
        stack.push_async_callback(cluster.stop)
        url = shared.url("postgres")
        database = new_shop(url)
        stack.callback(database.close)
        client = await Client.connect(cluster.address, data_converter=DATA_CONVERTER)
        rig = Rig(client, cluster.address, database, url, home / "workers.log")
        for number in range(given.rounds + 1):
            for count in (1, 2) if number % 2 == 0 else (2, 1):
                one = await _batch(rig, path, count, given.cases, pids)
                if number > 0:  # the first ones warm all of it up
                    taken[count].append(one)
    for count, batches in taken.items():
        wall = statistics.median(one.wall for one in batches)
        shares = {who: statistics.median(one.cpu[who] / one.wall for one in batches) for who in batches[0].cpu}
        had = ", ".join(f"{who} {share:.2f}" for who, share in shares.items())
        print(
            f"{path.name}, {count} worker{'s' if count > 1 else ''}: {given.cases / wall:.2f} cases a second; "
            f"processors had, of {os.cpu_count()}: {had}; in all {sum(shares.values()):.2f}"
        )
    ratio = statistics.median(one.wall / two.wall for one, two in zip(taken[1], taken[2], strict=True))
    print(f"{path.name}: two workers do {ratio:.2f} times as many cases a second as one")


async def _batch(rig: Rig, path: Path, workers: int, cases: int, pids: Mapping[str, int]) -> Taken:
    """Play so many cases at once with so many new workers."""
    async with AsyncExitStack() as stack:
        queue = f"{QUEUE}-{next(rig.numbers)}"
        running = [await stack.enter_async_context(rig.worker(queue)) for _ in range(workers)]
        # what the first case loads is not a case's
        await asyncio.gather(*(rig.play(path, CASEWORK, running[0], one) for one in rig.orders(path, 2 * workers)))
        orders, before, begun = rig.orders(path, cases), _cpu(running, pids), time.perf_counter()
        await asyncio.gather(*(rig.play(path, CASEWORK, running[0], one) for one in orders))
        wall, after = time.perf_counter() - begun, _cpu(running, pids)
    return Taken(wall, {who: after[who] - before[who] for who in after})


def _cpu(workers: list[WorkerProcess], pids: Mapping[str, int]) -> dict[str, float]:
    """Seconds of a processor that each has had so far, with its children: as Linux tells it."""
    parents: dict[int, int] = {}
    used: dict[int, float] = {}
    for file in File("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            told = file.read_text().rpartition(")")[2].split()
            parents[int(file.parent.name)] = int(told[1])
            # its own, and that of children that have ended
            used[int(file.parent.name)] = sum(int(part) for part in told[11:15]) / os.sysconf("SC_CLK_TCK")

    def of(pid: int) -> float:
        return used.get(pid, 0.0) + sum(of(child) for child, parent in parents.items() if parent == pid)

    return {
        "workers": sum(of(one.process.pid) for one in workers),
        **{who: of(pid) for who, pid in pids.items()},
        "hands": time.process_time(),
    }


if __name__ == "__main__":
    leave(main())
