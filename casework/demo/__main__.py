"""`make demo`: play the stories, tell what came of them, leave three cases."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Coroutine, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import casework.demo
from casework.demo.choosing import Shop, choose, look_round
from casework.demo.failing import DemoFailed
from casework.demo.home import database_url, exports, make_room, running_desk
from casework.demo.many import ROWS, FromFile, from_a_file
from casework.demo.stage import Stage
from casework.demo.stories import FINANCE, LEFT, STORIES, Act, Left, Story
from casework.demo.telling import Played, check, tables
from casework.leaving import leave
from casework.policy import load_policy
from casework.sample_shop import write_sample_shop
from casework.sentences import counted, full_stop
from casework.server_running import read_running
from casework.settings import Settings
from casework.shop import orders
from casework.shop.database import Database
from state_machines.flows import FLOWS

ResultT = TypeVar("ResultT")


async def perform(home: Path, shop: Path | None, desk: asyncio.subprocess.Process, *, stays: bool) -> None:
    """Import the shop, play the stories, check what came of them, leave three cases; `stays`: the desk does after."""
    policy = load_policy(Settings().policy)
    with closing(Database(database_url(home))) as database:
        stage = Stage(home, database)
        server = await stage.answering(desk)
        await _import(stage, shop)
        with database.reading() as session:
            counts = orders.count_orders(session)
        print(f"✓ {counts.orders} orders, {counts.lines} lines        Temporal UI {server.ui}", flush=True)
        patrolled = await stage.casework("patrol")
        await all_of([stage.rest(case_id) for case_id in patrolled["cases"]])
        print(
            f"✓ {patrolled['looked_at']} parcels under way, the patrol opened {counted(patrolled['opened'], 'case')}",
            flush=True,
        )
        await _tell(stage, look_round(database, policy), own=shop is None, stays=stays)


async def _import(stage: Stage, shop: Path | None) -> None:
    with TemporaryDirectory() as folder:
        files = files_of(shop) if shop else write_sample_shop(Path(folder))
        done = await stage.run("import", "--as-of-now", *map(str, files), "--json")
    if done.code not in (0, 2):
        raise DemoFailed(done.err or done.out)
    if done.err.strip():
        print(done.err.strip())


async def _tell(stage: Stage, shop: Shop, *, own: bool, stays: bool) -> None:
    """Play the stories and print what came of them; then leave the three, and print who decides them."""
    wanted: list[Story | Left | FromFile] = [*STORIES, *LEFT, *ROWS]
    chosen = choose(shop, [(one, one.wish) for one in wanted])
    say_left_out([one for one in wanted if one not in chosen], own=own)
    require_all_flows([one for one in STORIES if one in chosen])
    print("All five flows, staff played through the public commands, time skipped:", flush=True)
    acts = {one: Act(stage, order, shop) for one, order in chosen.items()}
    played = await all_of([_play(one, acts[one]) for one in STORIES if one in chosen])
    rows = [row for story in played for row in story]
    left = await all_of([one.play(acts[one]) for one in LEFT if one in chosen])
    from_file = [chosen[one] for one in ROWS if one in chosen]
    many = await from_a_file(stage, from_file) if from_file else None
    rows += many.played if many is not None else []
    ledger = check(stage.database, rows)
    refused = stage.refused_by_shop + sum(not line.accepted for one in rows for line in one.view.trail)
    print(tables(rows))
    print(f"Refused on the record: {refused}     Ledger: {ledger.paid} paid, {ledger.twice} twice", flush=True)
    if many is not None:
        print(f"Many at once, from a file:\n{many}", flush=True)
    names = await all_of([stage.name(one.case_id, one.number) for one in left])
    decisions = [f"{one.command} {name} {one.decision}" for one, name in zip(left, names, strict=True)]
    looks = [f"inbox --by {FINANCE}     casework show {name}" for name in names[-1:]]
    print(invitation(exports(stage.home), [*decisions, *looks], cases=len(left), stays=stays))


def invitation(told: str, commands: Sequence[str], *, cases: int, stays: bool) -> str:
    """Who reads it decides the cases that are left; where the desk does not stay, it is started again first.

    `told` is what a terminal must be told first, `commands` are those of `casework`.
    """
    where = (
        "In another terminal, in this folder" if stays else "The desk stops with this; start it again in this folder"
    )
    first = f". .venv/bin/activate; {told}"
    again = [] if stays else [first, "casework up     # stays until Ctrl-C; the rest in another terminal:"]
    lines = [*again, first, *(f"casework {one}" for one in commands)]
    return "\n".join([f"Your turn: {counted(cases, 'case')} wait. {where}:", *(f"  {line}" for line in lines)])


async def _play(story: Story, act: Act) -> list[Played]:
    endings = await story.play(act)
    return [Played(story.title, act.order, ending, await act.stage.view(ending.case_id)) for ending in endings]


async def all_of(parts: Sequence[Coroutine[Any, Any, ResultT]]) -> list[ResultT]:
    """All of them at once; the first that fails stops the others."""
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(part) for part in parts]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in running]


def say_left_out(missing: Sequence[Story | Left | FromFile], *, own: bool) -> None:
    """A shop of yours may have no order for a story; our own has one for each.

    Raises:
        DemoFailed: ours has not.

    """
    if missing and own:
        raise DemoFailed("; ".join(f"the sample shop has no order for the story: {one.title}" for one in missing))
    for one in missing:
        print(f"Left out, this shop has no fitting order: {FLOWS[one.flow].label.en}: {one.title}")


def require_all_flows(playing: Sequence[Story]) -> None:
    """Every flow has a story.

    Raises:
        DemoFailed: one has none.

    """
    without = [flow.label.en for flow in FLOWS.values() if flow.name not in {one.flow for one in playing}]
    if without:
        raise DemoFailed(f"this shop has no fitting order for any story of: {', '.join(without)}")


def files_of(shop: Path) -> list[Path]:
    """The exports in a folder (not in its subfolders: those are later ones).

    Raises:
        DemoFailed: where there are none.

    """
    if not shop.is_dir():
        raise DemoFailed(f"{shop} is no folder")
    files = sorted(path for path in shop.iterdir() if path.is_file() and path.suffix in (".csv", ".jsonl"))
    if not files:
        raise DemoFailed(f"{shop} holds no exports (.csv, .jsonl)")
    return files


async def main(shop: Path | None, home: Path) -> None:
    """Play the demo; on a terminal the desk stays up until Ctrl-C.

    Raises:
        DemoFailed: something did not come out as it must.

    """
    if shop is not None:
        files_of(shop)
    if read_running(home) is not None:
        raise DemoFailed(f"a demo is running already on {home}: stop it first (Ctrl-C in its terminal)")
    make_room(home)
    loop, playing = asyncio.get_running_loop(), asyncio.current_task()
    assert playing is not None, "a coroutine runs in a task"  # noqa: S101 - for the type checker
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, playing.cancel)
    async with running_desk(home) as desk:
        stays = sys.stdout.isatty()
        await perform(home, shop, desk, stays=stays)
        if stays:
            print("The desk stays up; Ctrl-C stops it.", flush=True)
            stopped = asyncio.Event()
            loop.add_signal_handler(signal.SIGINT, stopped.set)
            waits = {asyncio.create_task(desk.wait()), asyncio.create_task(stopped.wait())}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)


def run() -> int:
    """The command; answers the exit code, and never shows a traceback."""
    parser = argparse.ArgumentParser(prog="make demo", description=casework.demo.__doc__)
    parser.add_argument("--shop", type=Path, help="a folder of exports (make demo SHOP=FOLDER)")
    parser.add_argument("--home", type=Path, default=Path(".casework-demo"), help="where the demo keeps its shop")
    given = parser.parse_args()
    try:
        asyncio.run(main(given.shop, given.home))
    except DemoFailed as failed:
        print(full_stop(f"The demo failed: {failed}"), file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("The demo was stopped.", file=sys.stderr)
        return 130
    except Exception as fault:
        if sys.flags.dev_mode:
            raise
        what = " ".join(str(fault).split()) or "no more is known"
        print(f"The demo failed: {type(fault).__name__}: {what} (python -X dev -m … shows where).", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    leave(run())
