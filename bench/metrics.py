"""`python -m bench.metrics`: a worker that is watched against one that is not, in turns, on the same server and shop.

Both of its addresses are asked all the time, every 15 seconds: four times as often as Prometheus does by default.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from bench.measure import Batch, at_once, batch, rig
from bench.paths import CASEWORK, paths_of
from bench.results import compared
from casework.leaving import leave
from casework.monitoring import METRICS
from casework.server_program import find_server_program
from casework.show import table as columns

AT_MOST = 1.05
"""Worker CPU a case of a watched worker, as a multiple of that of one that nobody watches."""
ASKED_EVERY_SECONDS = 15.0
FIGURES = (("wall_ms", "wall time, ms a case"), ("alone_ms", "a case alone, ms"))


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.metrics", description=__doc__)
    parser.add_argument("path", nargs="?", default="supervisor", help="which path (%(default)s)")
    parser.add_argument("--rounds", type=int, default=8, help="rounds, the sides taking turns (%(default)s)")
    parser.add_argument("--cases", type=int, default=20, help="cases at once in a round (%(default)s)")
    parser.add_argument("--alone", type=int, default=3, help="cases one after the other in a round (%(default)s)")
    asyncio.run(_measure(parser.parse_args(arguments)))
    return 0


async def _measure(given: argparse.Namespace) -> None:
    (path,) = paths_of(None, given.path)
    taken: dict[str, list[Batch]] = {"off": [], "on": []}
    shop, temporal = _free_address(), _free_address()
    with TemporaryDirectory(prefix="casework-bench-") as home:
        async with (
            rig(find_server_program(print).path, Path(home)) as here,
            here.worker("off") as off,
            here.worker("on", "--metrics-address", shop, "--temporal-metrics-address", temporal) as on,
        ):
            cpu: dict[str, list[float]] = {"off": [], "on": []}
            asking = asyncio.create_task(_ask((shop, temporal)))
            sides = [("off", off), ("on", on)]
            for _, worker in sides:  # warms them up
                await batch(here, path, CASEWORK, worker, cases=given.cases, alone=1)
            for number in range(given.rounds):
                for name, worker in sides if number % 2 == 0 else sides[::-1]:
                    taken[name].append(await batch(here, path, CASEWORK, worker, cases=given.cases, alone=given.alone))
                for name, ms in (await at_once(here, path, dict(sides), cases=given.cases, plays=CASEWORK)).items():
                    cpu[name].append(ms)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
    rows = [["", "watched", "not", "ratio", "target", ""]]
    rows.append([f"{path.name}: worker CPU, ms a case", *compared(cpu["on"], cpu["off"], AT_MOST)])
    for figure, what in FIGURES:
        plain, watched = ([getattr(one, figure) for one in taken[name]] for name in ("off", "on"))
        rows.append([f"{path.name}: {what}", *compared(watched, plain, None)])
    print(columns(rows))


async def _ask(addresses: tuple[str, ...]) -> None:
    async with httpx.AsyncClient() as client:
        while True:
            for address in addresses:
                (await client.get(f"http://{address}{METRICS}")).raise_for_status()
            await asyncio.sleep(ASKED_EVERY_SECONDS)


def _free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


if __name__ == "__main__":
    leave(main())
