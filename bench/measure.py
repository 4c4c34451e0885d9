"""The rig (one server, one shop, a worker process for each side), and what is measured on it."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path as File
from typing import Any

from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.worker import Replayer

from bench.paths import BARE_WORKFLOWS, Path, nothing
from bench.worker_process import CPU, OPEN_CASES
from casework.converter import DATA_CONVERTER
from casework.opening import examine_start
from casework.sandbox import workflow_runner
from casework.server import EmbeddedServer
from casework.shop.database import Database
from state_machines.flows import FLOWS
from state_machines.laws.exploring import Step, by_amount, time_of
from state_machines.laws.worlds import WORLDS
from state_machines.table import Attempt, Move, Refusal
from tests.orders import add_order, new_shop
from worker import WORKFLOWS
from workflows.continuing import ASKS_WHETHER_LONG, CONTINUES_IF_LONG

Handle = WorkflowHandle[Any, Any]
AT_ONCE = 50
"""Starts on their way at the same time, where many cases are opened."""
CACHED = 2_100
"""Cases that a worker keeps in memory: more than are ever open here."""
REPLAYS = 10
"""How often a history is replayed, one after the other."""


@dataclass(slots=True)
class WorkerProcess:
    """A worker of its own: what it has used is asked of it, its memory of the system."""

    process: asyncio.subprocess.Process
    task_queue: str

    async def ask(self, what: str) -> float:
        """What it answers to a line."""
        if self.process.stdin is None:
            raise RuntimeError("the worker listens to nobody")
        self.process.stdin.write(f"{what}\n".encode())
        return float(await self.line())

    async def line(self) -> str:
        """The next line that it writes.

        Raises:
            RuntimeError: if it has ended instead.

        """
        line = await self.process.stdout.readline() if self.process.stdout else b""
        if not line:
            raise RuntimeError("a worker process has ended: its own words are above")
        return line.decode().strip()

    def memory_bytes(self) -> int:
        """Its resident memory."""
        command = ["ps", "-o", "rss=", "-p", str(self.process.pid)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) * 1024


@dataclass(frozen=True, slots=True)
class Order:
    """An order, and the id of the case about it."""

    order_id: str
    case_id: str


@dataclass(slots=True)
class Rig:
    """A shop, a server and the hands to play cases; workers come and go."""

    client: Client
    address: str
    database: Database
    database_url: str
    log: File
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @asynccontextmanager
    async def worker(self, task_queue: str, *options: str) -> AsyncGenerator[WorkerProcess]:
        """A worker process, until the block is left; the options are those of `bench.worker_process`."""
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.worker_process"),
                *(self.address, self.client.namespace, self.database_url, task_queue, str(CACHED)),
                *options,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us: what was measured is written first
            )
        try:
            worker = WorkerProcess(process, task_queue)
            await worker.line()
            yield worker
        finally:
            process.kill()
            await process.wait()

    def orders(self, path: Path, count: int) -> list[Order]:
        """So many new orders, as the path wants them, and the ids of their cases."""
        ids = [f"33000199{next(self.numbers):011d}" for _ in range(count)]
        with self.database.writing() as session:
            for order_id in ids:
                add_order(session, order_id, prices=path.prices, shipped=path.shipped)
                path.first(session, order_id)
            session.flush()
            starts = {one: path.start_of(one) for one in ids}
            return [
                Order(one, examine_start(session, flow_name=path.flow, given=start).case_id)
                for one, start in starts.items()
            ]

    async def open(self, path: Path, side: str, worker: WorkerProcess, order: Order) -> Handle:
        """Start a case."""
        return await self.client.start_workflow(
            path.workflow_of(side),
            path.start_of(order.order_id),
            id=order.case_id,
            task_queue=worker.task_queue,
        )

    async def open_many(self, path: Path, side: str, worker: WorkerProcess, cases: int) -> list[Handle]:
        """Start so many cases, and wait until each is in its first wait."""
        starting = asyncio.Semaphore(AT_ONCE)

        async def open_one(order: Order) -> Handle:
            async with starting:
                handle = await self.open(path, side, worker, order)
                await _next(handle.fetch_history_events(wait_new_event=True), _is_of_a_wait)
                return handle

        return await asyncio.gather(*(open_one(order) for order in self.orders(path, cases)))

    async def play(
        self,
        path: Path,
        side: str,
        worker: WorkerProcess,
        order: Order,
        *,
        by_update: bool = False,
        untimely: int = 0,
    ) -> Handle:
        """Start a case and answer each of its waits, up to the end; nothing asks the worker how it stands meanwhile.

        `untimely`: how often the first wait is told what it does not ask for.

        Raises:
            RuntimeError: if it ends otherwise than the path says.

        """
        handle = await self.open(path, side, worker, order)
        events = handle.fetch_history_events(wait_new_event=True)
        for number, answer in enumerate(path.answers):
            for _ in range(answer.looks + 1):
                await _next(events, _is_of_a_wait)
            if number == 0 and path.untimely:
                for _ in range(untimely):
                    await handle.signal(path.untimely.trigger, path.untimely.message(order.order_id))
                    await _next(events, _is_end_of_task)
            if answer.first is not nothing:
                with self.database.writing() as session:
                    answer.first(session, order.order_id)
            message = answer.message(order.order_id)
            if by_update:
                await handle.execute_update("submit", {"trigger": answer.trigger, **message})  # pyright: ignore[reportUnknownMemberType] - the SDK's own
            else:
                await handle.signal(answer.trigger, message)
        await _next(events, _is_end)
        result = await handle.result()
        if result["outcome"] != path.outcome:
            raise RuntimeError(f"{handle.id} ended {result['outcome']} and not {path.outcome}")
        return handle


def _is_of_a_wait(event: HistoryEvent) -> bool:
    """Whether a wait begins by it; a case that has been told much also has timers at which it may continue as new."""
    says = event.user_metadata.summary.data.decode()
    may_continue = ASKS_WHETHER_LONG in says or CONTINUES_IF_LONG in says
    return event.event_type == EventType.EVENT_TYPE_TIMER_STARTED and not may_continue


def _is_end_of_task(event: HistoryEvent) -> bool:
    return event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED


def _is_end(event: HistoryEvent) -> bool:
    return event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED


async def _next(events: AsyncIterator[HistoryEvent], wanted: Callable[[HistoryEvent], bool]) -> None:
    async for event in events:
        if wanted(event):
            return
        failed = event.workflow_task_failed_event_attributes
        if failed.cause == WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_WORKFLOW_WORKER_UNHANDLED_FAILURE:
            raise RuntimeError(f"a workflow task failed: {failed.failure.message}")
    raise RuntimeError("a case ended too early")


@asynccontextmanager
async def rig(program: File, home: File) -> AsyncGenerator[Rig]:
    """A server in memory and a new shop in `home`, with the sample staff."""
    url = f"sqlite:///{home / 'shop.db'}"
    database = new_shop(url)
    async with EmbeddedServer(program, None) as server:
        client = await Client.connect(server.address, data_converter=DATA_CONVERTER)
        yield Rig(client, server.address, database, url, home / "workers.log")
    database.close()


@dataclass(frozen=True, slots=True)
class Batch:
    """What one side took for a batch of cases; milliseconds are a case's part."""

    cpu_ms: float
    """Of the worker process, all its threads."""
    wall_ms: float
    """The whole batch at once, from the first start to the last result."""
    alone_ms: float
    """From start to result, one case after the other."""
    events: float


async def batch(
    rig: Rig, path: Path, side: str, worker: WorkerProcess, *, cases: int, alone: int, by_update: bool = False
) -> Batch:
    """Play `cases` at once, then `alone` one after the other."""
    orders, single = rig.orders(path, cases), rig.orders(path, alone)
    cpu, begun = await worker.ask(CPU), time.perf_counter()
    handles = await asyncio.gather(*(rig.play(path, side, worker, order, by_update=by_update) for order in orders))
    wall = time.perf_counter() - begun
    cpu = await worker.ask(CPU) - cpu
    took: list[float] = []
    for order in single:
        begun = time.perf_counter()
        handles.append(await rig.play(path, side, worker, order, by_update=by_update))
        took.append(time.perf_counter() - begun)
    events = [(await handle.describe()).history_length for handle in handles]
    return Batch(
        cpu_ms=1000 * cpu / cases,
        wall_ms=1000 * wall / cases,
        alone_ms=1000 * statistics.median(took),
        events=statistics.median(events),
    )


async def at_once(
    rig: Rig, path: Path, workers: Mapping[str, WorkerProcess], *, cases: int, plays: str | None = None
) -> dict[str, float]:
    """Play so many cases on each of the workers, all at once; by worker, its CPU in milliseconds a case.

    A worker is named by the side that it plays, unless all of them play the same one (`plays`). A machine that has
    neighbours is at times half as fast as a minute later: here it is the same for all.
    """
    orders = {name: rig.orders(path, cases) for name in workers}
    before = {name: await worker.ask(CPU) for name, worker in workers.items()}
    turns = ((name, worker, orders[name][number]) for number in range(cases) for name, worker in workers.items())
    await asyncio.gather(*(rig.play(path, plays or name, worker, order) for name, worker, order in turns))
    return {name: 1000 * (await worker.ask(CPU) - before[name]) / cases for name, worker in workers.items()}


async def events_by_type(rig: Rig, path: Path, side: str, worker: WorkerProcess) -> dict[str, int]:
    """What the events of one case are."""
    handle = await rig.play(path, side, worker, rig.orders(path, 1)[0])
    kinds = [
        EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") async for event in handle.fetch_history_events()
    ]
    return dict(Counter(kinds))


@dataclass(frozen=True, slots=True)
class Memory:
    """A worker's resident memory before and with so many open cases in its cache."""

    cases: int
    before_bytes: int
    with_cases_bytes: int

    @property
    def kib_a_case(self) -> float:
        """What a case adds, in KiB."""
        return (self.with_cases_bytes - self.before_bytes) / 1024 / self.cases


async def memory(rig: Rig, path: Path, side: str, cases: int) -> Memory:
    """Open so many cases on a new worker and leave them in their first wait.

    Raises:
        RuntimeError: if the worker did not keep all of them.

    """
    async with rig.worker(f"memory-{side}") as worker:
        # what the first case loads is not a case's
        await rig.play(path, side, worker, rig.orders(path, 1)[0])
        await worker.ask(OPEN_CASES)  # what is garbage is collected
        before = worker.memory_bytes()
        handles = await rig.open_many(path, side, worker, cases)
        kept, after = await worker.ask(OPEN_CASES), worker.memory_bytes()
        for handle in handles:
            await handle.terminate()
    if kept < cases:
        raise RuntimeError(f"the worker kept {kept:.0f} of {cases} cases")
    return Memory(cases, before, after)


async def long_history(rig: Rig, path: Path, side: str, worker: WorkerProcess, events: int) -> WorkflowHistory:
    """The history of a case that was told so much that it has `events` events, or a few more."""
    usual = (await (await rig.play(path, side, worker, rig.orders(path, 1)[0])).describe()).history_length
    # a signal, and a workflow task of three events
    untimely = max(0, -(-(events - usual) // 4))
    handle = await rig.play(path, side, worker, rig.orders(path, 1)[0], untimely=untimely)
    return await handle.fetch_history()


async def replay_ms(history: WorkflowHistory) -> float:
    """How long a replay takes, in milliseconds: the mean of `REPLAYS` in a row."""

    async def histories() -> AsyncIterator[WorkflowHistory]:
        for _ in range(REPLAYS):
            yield history

    replayer = Replayer(
        workflows=[*WORKFLOWS, *BARE_WORKFLOWS], data_converter=DATA_CONVERTER, workflow_runner=workflow_runner()
    )
    begun = time.perf_counter()
    await replayer.replay_workflows(histories())
    return 1000 * (time.perf_counter() - begun) / REPLAYS


def moves_us(flow: str, times: int = 50) -> dict[str, float]:
    """How long the machine takes for a move, by row of the flow's table, in microseconds: the median of many tries.

    Asked is what a running case asks, in a situation in which the row is taken: `find_move`, which tries the rows in
    their order, and `take`, which makes the move.
    """
    machine = FLOWS[flow]
    took: dict[str, float] = {}
    for row, step in _steps_by_row(flow).items():
        event = step.event
        tries: list[int] = []
        for _ in range(times):
            case = step.start.case.model_copy(deep=True)
            if event.happening is not None:
                event.happening.learn(case)
            attempt = Attempt(case, event.trigger, time_of(event), event.actor, event.automatic, event.message)
            begun = time.perf_counter_ns()
            found = machine.find_move(attempt)
            if not isinstance(found, Refusal):
                machine.take(found, attempt)
            tries.append(time.perf_counter_ns() - begun)
            if found is not row:
                raise RuntimeError(f"{row.trigger} from {row.source} was not taken")
        took[f"{row.trigger}: {row.source} to {row.dest}"] = statistics.median(tries) / 1000
    return took


@cache
def _steps_by_row(flow: str) -> dict[Move[Any], Step[Any]]:
    """For each row a step that takes it, as the laws' explorer finds it."""
    steps: dict[Move[Any], Step[Any]] = {}
    for step in by_amount(WORLDS[flow]).steps():
        if step.moved is not None:
            steps.setdefault(step.moved, step)
    return steps
