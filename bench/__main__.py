"""`python -m bench [FLOW]`: measure, print a table, leave a JSON file. Ctrl-C leaves what was measured by then."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.inbox import inbox_times
from bench.long_runs import patrolled, tracked
from bench.measure import at_once, batch, events_by_type, long_history, memory, moves_us, replay_ms, rig
from bench.opening import opened_a_second
from bench.paths import BARE, CASEWORK, PATHS, SIDES, paths_of
from bench.results import BY_UPDATE, Results, about, table
from casework.leaving import leave
from casework.server_program import ServerProgram, find_server_program
from state_machines.problem_parcel import PROBLEM_PARCEL

RESULTS = Path(__file__).with_name("results")


def _one_or_more(text: str) -> int:
    """A number of what each round needs one of.

    Raises:
        ArgumentTypeError: for any other text.

    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Measure, and say where the results are; 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("flow", nargs="?", help="only this flow (all)")
    parser.add_argument("--path", help="only this path (all)")
    parser.add_argument("--rounds", type=_one_or_more, default=12, help="rounds, the sides taking turns (%(default)s)")
    parser.add_argument("--cases", type=_one_or_more, default=10, help="cases at once in a round (%(default)s)")
    parser.add_argument(
        "--alone", type=_one_or_more, default=3, help="cases one after the other in a round (%(default)s)"
    )
    parser.add_argument("--open-cases", type=int, default=2000, help="kept in a worker's memory; 0: none (%(default)s)")
    parser.add_argument("--waiting", type=int, default=2000, help="open under an inbox; 0: no inbox (%(default)s)")
    parser.add_argument("--events", type=int, default=200, help="events of the history that is replayed (%(default)s)")
    parser.add_argument("--days", type=int, default=90, help="for which a parcel is tracked; 0: not (%(default)s)")
    parser.add_argument("--shipments", type=int, default=10_000, help="of a patrol; 0: none (%(default)s)")
    parser.add_argument("--opened", type=int, default=300, help="in a batch, in a round; 0: none (%(default)s)")
    parser.add_argument("--at-once", type=int, default=20, help="starts on their way in a batch (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files (bench/results)")
    given = parser.parse_args(arguments)
    try:
        paths_of(given.flow, given.path)
    except ValueError as unknown:
        parser.error(str(unknown))
    program = find_server_program(print)
    results = Results(about(program.version, given.flow or "all", given.rounds, given.cases, given.alone))
    code = 1
    # a shell that starts it in the background has it ignore Ctrl-C, and so do some machines that run tests
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        asyncio.run(measure(results, program, given))
        code = 0
    except KeyboardInterrupt:
        code = 130
    finally:  # also where it has failed: hours of measuring are not thrown away
        results.about["interrupted"] = code != 0
        print(table(results))
        print(f"Every figure is in {results.write(given.results)}.", flush=True)
    return code


async def measure(results: Results, program: ServerProgram, given: argparse.Namespace) -> None:
    """Fill the results, one measurement after the other."""
    paths = paths_of(given.flow, given.path)
    longest = paths_of(paths[0].flow)[0]
    with TemporaryDirectory(prefix="casework-bench-") as home:
        async with (
            rig(program.path, Path(home)) as here,
            here.worker(CASEWORK) as casework,
            here.worker(BARE) as bare,
        ):
            workers = {CASEWORK: casework, BARE: bare}
            for path in paths:
                results.more_events[path.name] = path.more_events
                for side in SIDES:  # also warms them up
                    results.events.setdefault(path.name, {})[side] = await events_by_type(
                        here, path, side, workers[side]
                    )
            for side in SIDES if given.opened else ():
                await opened_a_second(here, longest, side, cases=given.at_once, at_once=given.at_once)  # to warm up
            histories = {side: await long_history(here, longest, side, workers[side], given.events) for side in SIDES}
            for number in range(given.rounds):
                turn = SIDES if number % 2 == 0 else SIDES[::-1]
                for path in paths:
                    for side in turn:
                        taken = await batch(here, path, side, workers[side], cases=given.cases, alone=given.alone)
                        results.batch(path.name, side, number, taken)
                    results.at_once(path.name, number, await at_once(here, path, workers, cases=given.cases))
                taken = await batch(
                    here, paths[0], CASEWORK, casework, cases=given.cases, alone=given.alone, by_update=True
                )
                results.batch(paths[0].name, BY_UPDATE, number, taken)
                for side in turn:
                    results.replay(side, number, len(histories[side].events), await replay_ms(histories[side]))
                for side in turn if given.opened else ():
                    fast = await opened_a_second(here, longest, side, cases=given.opened, at_once=given.at_once)
                    results.opening(side, number, fast)
                results.moves.append(moves_us(longest.flow))
                print(f"round {number + 1} of {given.rounds} is done", file=sys.stderr)
            if given.waiting:
                results.inbox = await inbox_times(here, PATHS[0], given.waiting)
            for path in paths:
                if path.flow == PROBLEM_PARCEL.name and given.days:
                    results.tracked = await tracked(here, path, Path(home), given.days)
                if path.flow == PROBLEM_PARCEL.name and given.shipments:
                    results.patrolled = await patrolled(here, Path(home), given.shipments)
            for side in SIDES if given.open_cases else ():
                results.memory[side] = await memory(here, paths[0], side, given.open_cases)


if __name__ == "__main__":
    leave(main())
