"""`python -m bench [FLOW]`: measure, print a table, leave a JSON file. Ctrl-C leaves what was measured by then."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.measure import batch, events_by_type, long_history, memory, moves_us, replay_ms, rig
from bench.paths import BARE, CASEWORK, PATHS, SIDES, paths_of
from bench.results import BY_UPDATE, Results, about, table
from casework.server_program import ServerProgram, find_server_program

RESULTS = Path(__file__).with_name("results")


def main(arguments: list[str] | None = None) -> int:
    """Measure, and say where the results are; 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("flow", nargs="?", default=PATHS[0].flow, help="the flow to measure (%(default)s)")
    parser.add_argument("--path", help="only this path of it (all)")
    parser.add_argument("--rounds", type=int, default=12, help="rounds, the sides taking turns (%(default)s)")
    parser.add_argument("--cases", type=int, default=10, help="cases at once in a round (%(default)s)")
    parser.add_argument("--alone", type=int, default=3, help="cases one after the other in a round (%(default)s)")
    parser.add_argument("--open-cases", type=int, default=2000, help="cases kept in a worker's memory (%(default)s)")
    parser.add_argument("--events", type=int, default=200, help="events of the history that is replayed (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files (bench/results)")
    given = parser.parse_args(arguments)
    try:
        paths_of(given.flow, given.path)
    except ValueError as unknown:
        parser.error(str(unknown))
    program = find_server_program(print)
    results = Results(about(program.version, given.flow, given.rounds, given.cases, given.alone))
    code = 0
    # a shell that starts it in the background has it ignore Ctrl-C, and so do some machines that run tests
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        asyncio.run(measure(results, program, given))
    except KeyboardInterrupt:
        results.about["interrupted"] = True
        code = 130
    print(table(results))
    print(f"Every figure is in {results.write(given.results)}.")
    return code


async def measure(results: Results, program: ServerProgram, given: argparse.Namespace) -> None:
    """Fill the results, one measurement after the other."""
    paths, longest = paths_of(given.flow, given.path), paths_of(given.flow)[0]
    with TemporaryDirectory(prefix="casework-bench-") as home:
        async with (
            rig(program.path, Path(home)) as here,
            here.worker(CASEWORK) as casework,
            here.worker(BARE) as bare,
        ):
            workers = {CASEWORK: casework, BARE: bare}
            for path in paths:
                for side in SIDES:  # also warms them up
                    results.events.setdefault(path.name, {})[side] = await events_by_type(
                        here, path, side, workers[side]
                    )
            histories = {side: await long_history(here, longest, side, workers[side], given.events) for side in SIDES}
            for number in range(given.rounds):
                turn = SIDES if number % 2 == 0 else SIDES[::-1]
                for path in paths:
                    for side in turn:
                        taken = await batch(here, path, side, workers[side], cases=given.cases, alone=given.alone)
                        results.batch(path.name, side, number, taken)
                taken = await batch(
                    here, paths[0], CASEWORK, casework, cases=given.cases, alone=given.alone, by_update=True
                )
                results.batch(paths[0].name, BY_UPDATE, number, taken)
                for side in turn:
                    results.replay(side, number, len(histories[side].events), await replay_ms(histories[side]))
                results.moves.append(moves_us(given.flow))
                print(f"round {number + 1} of {given.rounds} is done", file=sys.stderr)
            for side in SIDES:
                results.memory[side] = await memory(here, paths[0], side, given.open_cases)


if __name__ == "__main__":
    sys.exit(main())
