"""The bench's small parts, and the smallest round on the real server: figures may be anything, but must be there."""

from __future__ import annotations

import asyncio
import inspect
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from bench.inbox import InboxTimes, inbox_times
from bench.long_runs import LongRun, patrolled, tracked
from bench.measure import Batch, Memory, Rig, WorkerProcess, events_by_type, memory, moves_us
from bench.paths import BARE, BARE_WORKFLOWS, CASEWORK, PATHS, SIDES, paths_of
from bench.paths import Path as BenchPath
from bench.results import BY_UPDATE, Results, about, table
from casework.converter import DATA_CONVERTER
from state_machines.flows import FLOWS
from tests.orders import new_shop
from tests.server import SharedServer

ROOT = Path(__file__).parents[1]
BARE_LINES = 80


def measured(casework: float, bare: float, *, events: int = 4, move: float = 10.0) -> Results:
    """Results of two rounds in which every figure of a side is the same."""
    results = Results(about("1.32.0", PATHS[0].flow, 2, 1, 1))
    for number in range(2):
        for side, figure in ((CASEWORK, casework), (BARE, bare)):
            results.batch("usual", side, number, Batch(figure, figure, figure, 0))
        results.at_once("usual", number, {CASEWORK: casework, BARE: bare})
    results.more_events["usual"] = 4
    results.events["usual"] = {CASEWORK: {"MARKER_RECORDED": 10 + events}, BARE: {"MARKER_RECORDED": 10}}
    results.moves.append({"a": move, "b": move})
    return results


@pytest.mark.parametrize("bare", BARE_WORKFLOWS, ids=lambda one: one.__name__)
def test_every_bare_workflow_is_a_file_of_under_80_lines(bare: type) -> None:
    """What several of them share is another file, `plain.py`."""
    assert len(Path(inspect.getfile(bare)).read_text("utf-8").splitlines()) < BARE_LINES


def test_what_is_within_the_targets_is_met() -> None:
    shown = table(measured(11.5, 10.0))
    assert "missed" not in shown
    assert shown.count("met") == 5


@pytest.mark.parametrize(
    "over", [measured(11.6, 10.0), measured(1, 1, events=5), measured(1, 1, move=25.1)], ids=["ratio", "events", "move"]
)
def test_what_is_over_a_target_is_missed(over: Results) -> None:
    assert "missed" in table(over)


def test_long_runs_are_held_against_their_targets() -> None:
    results = Results(about("1.32.0", PATHS[0].flow, 2, 1, 1))
    results.tracked = LongRun(of=90, seconds=100, events=[1_300, 1_999])
    results.patrolled = LongRun(of=10_000, seconds=59.9, events=[200, 299])
    assert table(results).count("met") == 3
    results.tracked = LongRun(of=90, seconds=100, events=[2_000, 1_300])
    results.patrolled = LongRun(of=10_000, seconds=60, events=[200, 300])
    assert table(results).count("missed") == 3


@pytest.mark.parametrize(("batch", "said"), [(80.0, "met"), (79.0, "missed")])
def test_a_batch_is_held_against_a_bare_loop(batch: float, said: str) -> None:
    results = Results(about("1.32.0", PATHS[0].flow, 2, 1, 1))
    results.opening(CASEWORK, 0, batch)
    results.opening(BARE, 0, 100.0)
    assert table(results).splitlines()[-1].endswith(said)


def test_an_inbox_is_held_against_a_plain_question() -> None:
    results = Results(about("1.32.0", PATHS[0].flow, 2, 1, 1))
    results.inbox = InboxTimes(cases=2_000, page=50, inbox_ms=[15, 14.9], query_ms=[10, 10])
    assert table(results).count("met") == 1
    results.inbox = InboxTimes(cases=2_000, page=50, inbox_ms=[15.2, 15.1], query_ms=[10, 10])
    assert table(results).count("missed") == 1


def test_nothing_measured_is_an_empty_table_and_still_a_file(tmp_path: Path) -> None:
    nothing = Results(about("1.32.0", PATHS[0].flow, 2, 1, 1))
    assert len(table(nothing).splitlines()) == 1
    assert json.loads(nothing.write(tmp_path).read_text("utf-8"))["batches"] == []


def test_the_memory_of_a_case_is_what_the_cases_added() -> None:
    assert Memory(cases=4, before_bytes=1024, with_cases_bytes=9 * 1024).kib_a_case == 2


def test_a_flow_that_nobody_measures_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="there is no path gifts here; there is refund-before-shipping supervisor"):
        paths_of("gifts")


def test_every_flow_is_measured() -> None:
    assert {path.flow for path in PATHS} == set(FLOWS)
    assert len({path.name for path in PATHS}) == len(PATHS)


def only_file(folder: Path) -> dict[str, Any]:
    (file,) = folder.glob("*.json")
    return json.loads(file.read_text("utf-8"))


@pytest.mark.parametrize("flow", FLOWS)
def test_the_machine_is_measured_on_the_rows_of_every_flow(flow: str) -> None:
    assert len(moves_us(flow, times=1)) > 50


async def test_ctrl_c_leaves_what_was_measured_on_both_sides(tmp_path: Path) -> None:
    few = (
        "--path",
        "supervisor",
        "--cases",
        "1",
        "--alone",
        "1",
        "--events",
        "100",
        "--rounds",
        "1000",
        "--opened",
        "3",
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench", *few, "--results", str(tmp_path)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        said = b""
        async for line in process.stderr:
            said += line
            if line.startswith(b"round 1 of 1000"):
                break
        else:
            pytest.fail(said.decode())
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 130
    assert "supervisor: worker CPU" in out.decode()
    found = only_file(tmp_path)
    assert found["about"]["interrupted"]
    first = [one for one in found["batches"] if one["round"] == 0]
    assert {one["side"] for one in first} == {*SIDES, BY_UPDATE}
    assert all(one["cpu_ms"] > 0 and one["wall_ms"] > 0 and one["alone_ms"] > 0 for one in first)
    assert all(found["events"]["supervisor"][side]["TIMER_STARTED"] == 3 for side in SIDES)
    assert all(one["events"] >= 100 and one["ms"] > 0 for one in found["replays"])
    assert len(found["moves"][0]) >= len(FLOWS[PATHS[0].flow].moves)
    openings = [one for one in found["openings"] if one["round"] == 0]
    assert {one["side"] for one in openings} == {*SIDES}
    assert all(one["a_second"] > 0 for one in openings)
    assert found["memory"] == {}
    assert found["inbox"] is None
    assert found["tracked"] is None
    assert found["patrolled"] is None


@pytest.fixture(scope="module")
async def here(server: SharedServer, process: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    """A shop of its own on the tests' server, in a namespace where no other worker works."""
    folder = tmp_path_factory.mktemp("bench")
    url = f"sqlite:///{folder / 'shop.db'}"
    database = new_shop(url)
    client = await Client.connect(server.address, namespace=server.benches[process], data_converter=DATA_CONVERTER)
    yield Rig(client, server.address, database, url, folder / "workers.log")
    database.close()


@pytest.fixture(scope="module")
async def workers(here: Rig) -> AsyncIterator[dict[str, WorkerProcess]]:
    """A worker of each side."""
    async with here.worker(CASEWORK) as casework, here.worker(BARE) as bare:
        yield {CASEWORK: casework, BARE: bare}


async def test_open_cases_are_counted_in_the_worker_that_keeps_them(here: Rig) -> None:
    found = await memory(here, PATHS[0], CASEWORK, 2)
    assert found.cases == 2
    assert found.before_bytes > 0
    assert found.with_cases_bytes > 0


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.flow} {path.name}")
async def test_both_sides_of_a_path_take_the_same_steps(
    here: Rig, workers: dict[str, WorkerProcess], path: BenchPath
) -> None:
    """Event for event, but for the search attributes: one change a wait, and one at the end."""
    events = await events_by_type(here, path, CASEWORK, workers[CASEWORK])
    waits = sum(answer.looks + 1 for answer in path.answers)
    assert events.pop("UPSERT_WORKFLOW_SEARCH_ATTRIBUTES") == waits + 1
    assert events == await events_by_type(here, path, BARE, workers[BARE])


async def test_an_inbox_and_a_plain_question_show_the_same_page(here: Rig) -> None:
    found = await inbox_times(here, PATHS[0], 3, rounds=2, page=2)
    assert (len(found.inbox_ms), len(found.query_ms)) == (2, 2)
    assert all(took > 0 for took in (*found.inbox_ms, *found.query_ms))


async def test_a_parcel_is_tracked_over_skipped_days(here: Rig, tmp_path: Path) -> None:
    (path,) = paths_of("problem-parcel")
    done = await tracked(here, path, tmp_path, 2)
    assert done.of == 2
    assert sum(done.events) > 12 * 10, "twelve looks, each of more than ten events"


async def test_a_patrol_over_few_shipments_is_measured_whole(here: Rig, tmp_path: Path) -> None:
    done = await patrolled(here, tmp_path, 20)
    assert done.seconds > 0
    assert len(done.events) == 1
