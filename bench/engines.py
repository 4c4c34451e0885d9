"""`python -m bench.engines`: a case whose shop is on PostgreSQL against one on SQLite, in turns, on the same server.

Both keep what they have written also over a power cut, as they do by default.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.measure import Batch, batch, new_shop, rig
from bench.paths import CASEWORK, paths_of
from bench.results import compared
from casework.leaving import leave
from casework.server_program import find_server_program
from casework.show import table as columns
from tests.postgresql import Missing, RunningPostgreSQL

AT_MOST = 1.3
"""The wall time of a case on PostgreSQL, as a multiple of that on SQLite."""
FIGURES = (
    ("wall_ms", "wall time, ms a case", AT_MOST),
    ("alone_ms", "a case alone, ms", AT_MOST),
    ("cpu_ms", "worker CPU, ms a case", None),
)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 1 where there is no PostgreSQL."""
    parser = argparse.ArgumentParser(prog="python -m bench.engines", description=__doc__)
    parser.add_argument("path", nargs="?", default="supervisor", help="which path (%(default)s)")
    parser.add_argument("--rounds", type=int, default=6, help="rounds, the engines taking turns (%(default)s)")
    parser.add_argument("--cases", type=int, default=10, help="cases at once in a round (%(default)s)")
    parser.add_argument("--alone", type=int, default=3, help="cases one after the other in a round (%(default)s)")
    given = parser.parse_args(arguments)
    try:
        server = RunningPostgreSQL(lasting=True)
    except Missing as missing:
        print(f"{missing}.", file=sys.stderr)
        return 1
    try:
        with server.start().database("bench") as url:
            asyncio.run(_measure(url, given))
    finally:
        server.stop()
    return 0


async def _measure(url: str, given: argparse.Namespace) -> None:
    (path,) = paths_of(None, given.path)
    taken: dict[str, list[Batch]] = {"sqlite": [], "postgresql": []}
    with TemporaryDirectory(prefix="casework-bench-") as home:
        async with rig(find_server_program(print).path, Path(home)) as on_sqlite:
            database = new_shop(url)
            on_postgresql = replace(on_sqlite, database=database, database_url=url)
            async with (
                on_sqlite.worker("on-sqlite") as one,
                on_postgresql.worker("on-postgresql") as other,
            ):
                sides = [("sqlite", on_sqlite, one), ("postgresql", on_postgresql, other)]
                for _, here, worker in sides:  # warms them up
                    await batch(here, path, CASEWORK, worker, cases=given.cases, alone=1)
                for number in range(given.rounds):
                    for name, here, worker in sides if number % 2 == 0 else sides[::-1]:
                        taken[name].append(
                            await batch(here, path, CASEWORK, worker, cases=given.cases, alone=given.alone)
                        )
            database.close()
    rows = [["", "PostgreSQL", "SQLite", "ratio", "target", ""]]
    for figure, what, at_most in FIGURES:
        sqlite, other = ([getattr(one, figure) for one in taken[name]] for name in ("sqlite", "postgresql"))
        rows.append([f"{path.name}: {what}", *compared(other, sqlite, at_most)])
    print(columns(rows))


if __name__ == "__main__":
    leave(main())
