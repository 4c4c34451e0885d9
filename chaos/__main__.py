"""`python -m chaos`: many cases of all flows while their processes are killed, and then the audit. Exit code 1 if
anything was found.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from casework.server_program import find_server_program
from chaos.plan import plan_of
from chaos.points import DATABASE
from chaos.run import AT_ONCE, run
from tests.postgresql import Missing, RunningPostgreSQL


def main(arguments: list[str] | None = None) -> int:
    """Run, and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--cases", type=int, default=500, help="stories of a case or two (%(default)s)")
    parser.add_argument("--kills", type=int, default=56, help="half of them at chosen moments (%(default)s)")
    parser.add_argument("--seed", type=int, help="of the plan (a new one); the same gives the same plan")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="stories on their way (%(default)s)")
    parser.add_argument("--plan", action="store_true", help="print the plan and do nothing")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="new folder for databases and logs, kept")
    shop = parser.add_mutually_exclusive_group()
    shop.add_argument("--sqlite", action="store_true", help="the shop in a file (on a PostgreSQL that is killed too)")
    shop.add_argument("--database-url", metavar="URL", help="of an empty shop elsewhere, which is not killed")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    on_postgresql = not given.sqlite and given.database_url is None
    plan = plan_of(seed, cases=given.cases, kills=given.kills, others=(DATABASE,) if on_postgresql else ())
    if given.plan:
        for casting in plan.castings:
            print(f"{casting.order_id} {casting.story} {casting.price_fen} {casting.postage_fen}")
        for kill in (*plan.points, *plan.kills):
            print(kill)
        return 0
    try:
        postgresql = RunningPostgreSQL() if on_postgresql else None
    except Missing as missing:
        print(f"{missing}; or say --sqlite.", file=sys.stderr)
        return 2
    program = find_server_program(print).path
    print(f"chaos, seed {seed}: {given.cases} stories, {given.kills} kills", flush=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = given.keep or Path(tempfile.mkdtemp(prefix="casework-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        report = asyncio.run(
            run(
                plan,
                program=program,
                folder=folder,
                database_url=given.database_url,
                postgresql=postgresql,
                at_once=given.at_once,
            )
        )
    except KeyboardInterrupt:
        return 130
    finally:
        if postgresql is not None:
            postgresql.remove()
        if given.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    for finding in report.findings:
        print(f"✗ {finding}")
    print(f"{'✗' if report.findings else '✓'} {report}")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
