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

from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

from casework.leaving import leave
from casework.server_program import ServerNotFound, find_server_program
from chaos.cluster import free_ports
from chaos.cluster_programs import find_cluster_programs
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
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="new folder for what is written, kept")
    parser.add_argument("--cluster", action="store_true", help="on a real cluster, whose database is the shop's too")
    shop = parser.add_mutually_exclusive_group()
    shop.add_argument("--sqlite", action="store_true", help="the shop in a file, which cannot be killed")
    shop.add_argument("--database-url", metavar="URL", help="of an empty shop elsewhere, which is not killed")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(1_000_000) if given.seed is None else given.seed
    on_postgresql = not given.sqlite and given.database_url is None
    if given.cluster and not on_postgresql:
        parser.error("--cluster keeps everything in a PostgreSQL of its own")
    plan = plan_of(seed, cases=given.cases, kills=given.kills, others=(DATABASE,) if on_postgresql else ())
    if given.plan:
        for casting in plan.castings:
            print(f"{casting.order_id} {casting.story} {casting.price_fen} {casting.postage_fen}")
        for kill in (*plan.points, *plan.kills):
            print(kill)
        return 0
    try:
        program = find_cluster_programs(_report) if given.cluster else find_server_program(_report).path
        (port,) = free_ports(1) if given.cluster else (None,)
        kept = given.keep is not None
        postgresql = RunningPostgreSQL(port=port, kept=kept) if on_postgresql else None
    except Missing as missing:
        print(f"{missing}." if given.cluster else f"{missing}; or say --sqlite.", file=sys.stderr)
        return 2
    except ServerNotFound as missing:
        print(missing, file=sys.stderr)
        return 1
    print(f"chaos, seed {seed}: {given.cases} stories, {given.kills} kills", flush=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Temporal's client warns of each call that a kill has cut off
    only_errors = LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR"))
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=only_errors)))
    folder = given.keep or Path(tempfile.mkdtemp(prefix="casework-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    stays = given.keep is not None
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
        stays = stays or bool(report.findings)
    except KeyboardInterrupt:
        return 130
    finally:
        if postgresql is not None:
            postgresql.remove()
        if not stays:
            shutil.rmtree(folder, ignore_errors=True)
        elif given.keep is not None and postgresql is not None:
            print(f"… PostgreSQL's data stay in {postgresql.folder}", flush=True)
    for finding in report.findings:
        print(f"✗ {finding}")
    if report.findings:
        print(f"… logs, and the histories of what was found: {folder}")
    print(f"{'✗' if report.findings else '✓'} {report}")
    return 1 if report.findings else 0


def _report(line: str) -> None:
    print(f"… {line}", flush=True)


if __name__ == "__main__":
    leave(main())
