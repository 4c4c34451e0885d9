"""One real Temporal server and one PostgreSQL for the whole run, and for each process one shop and its workers."""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import select
from temporalio.client import Client
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.testing import TimeSkipper

from casework.cli import run
from casework.converter import DATA_CONVERTER
from casework.names import TASK_QUEUE
from casework.policy import load_policy
from casework.shop.database import Database
from casework.shop.tables import StaffRow
from casework.skipping import skipper_of
from tests.cli.commands import Casework, Done, address, shop_url
from tests.desk import Desk, Gates, ParentOfTheTests
from tests.orders import new_shop
from tests.planted import MARK, Kept, found_in
from tests.postgresql import REQUIRED, Missing, RunningPostgreSQL, SharedPostgreSQL
from tests.server import CACHED_WORKFLOWS, RunningServer, SharedServer
from tests.telling import FIGURES
from tests.walking.driver import STAFF
from worker import build_worker

SERVER, POSTGRESQL, FIGURES_TOLD = "casework_server", "casework_postgresql", "casework_figures"
"""What the processes of a run tell each other: where the servers are, and what was measured."""
ENGINES = ("sqlite", "postgresql")
"""The shop keeps what it has in one of them; tests with the fixture `engine`, `empty` or `shop` run over both."""
ALONE = "main"
"""The name of the only process, where one runs all tests."""
running_server = pytest.StashKey[RunningServer]()
missing = pytest.StashKey[str]()
"""Why there is no PostgreSQL here."""
LONG_ONES = ("tests/chaos/", "tests/walking/", "tests/laws/", "tests/test_demo.py")
"""No process begins a test of minutes when the others have nothing left to do."""


def pytest_configure() -> None:
    """Programs that the tests start can be interrupted, also where a shell runs the tests in its background."""
    # what the SDK logs goes past Python, into what a command has printed
    only_errors = TelemetryFilter(core_level="ERROR", other_level="ERROR")
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter=only_errors))))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# two shared cores: how long an example takes says nothing about the code
settings.register_profile("casework", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("casework")


@pytest.fixture(scope="session")
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """An embedded shop of its own, with the sample staff: on SQLite, or where CASEWORK_TEST_DATABASE says."""
    if os.environ.get("CASEWORK_TEST_DATABASE", "sqlite") == "postgresql":
        url = request.getfixturevalue("postgresql_database")()
    else:
        url = f"sqlite:///{tmp_path_factory.mktemp('shop') / 'shop.db'}"
    database = new_shop(url)
    with database.writing() as session:
        for person in session.scalars(select(StaffRow)):
            person.name = f"{MARK} {person.id}"
    yield database
    database.close()


def pytest_collection_finish() -> None:
    """All that the tests are made of stays: whoever collects garbage need not look at it again and again."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long ones first, in each process as many: each is given as long a part of the list (tests know no order)."""
    processes: int = getattr(config, "workerinput", {}).get("workercount", 1)
    long_ones = [item for item in items if item.nodeid.startswith(LONG_ONES)]
    others = [item for item in items if not item.nodeid.startswith(LONG_ONES)]
    total = len(items)
    items.clear()
    for number in range(processes):
        part = (total - len(items)) // (processes - number)
        first = long_ones[number::processes]
        more = max(0, part - len(first))
        items += first + others[:more]
        others = others[more:]
    items += others


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Another process is about to share the tests: all use the server of the one that hands the tests out."""
    config: pytest.Config = node.config
    if running_server not in config.stash:
        folder = Path(tempfile.mkdtemp(prefix="casework-tests-"))
        server = RunningServer(folder, [spec.id for spec in node.nodemanager.specs])
        config.stash[running_server] = server
        config.add_cleanup(functools.partial(shutil.rmtree, folder))
        config.add_cleanup(server.stop)
        node.nodemanager.casework_server = server.start().told()
        node.nodemanager.casework_postgresql = _start_postgresql(config)
    node.workerinput[SERVER] = node.nodemanager.casework_server
    node.workerinput[POSTGRESQL] = node.nodemanager.casework_postgresql


def _start_postgresql(config: pytest.Config) -> dict[str, object] | str:
    """Where PostgreSQL is now, for as long as the run goes on; or why there is none."""
    try:
        running = RunningPostgreSQL()
    except Missing as error:
        config.stash[missing] = str(error)
        return str(error)
    config.add_cleanup(running.stop)
    return running.start().told()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A process that shared the tests has ended: what it measured is told with the rest."""
    FIGURES.extend(getattr(node, "workeroutput", {}).get(FIGURES_TOLD, ()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what was measured to the process that tells it."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[FIGURES_TOLD] = [str(figure) for figure in FIGURES]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Of a test that takes too long, tell what it waits for: the stack of its thread is only the event loop's."""
    report = yield
    if call.excinfo is not None and "Timeout" in str(call.excinfo.value) and loops:
        waiting = [places for task in asyncio.all_tasks(loops[0]) if "/tests/" in (places := _waits_at(task))]
        report.sections.append(("what is waited for", "\n".join(waiting)))
    return report


def _waits_at(task: asyncio.Task[Any]) -> str:
    """Where a task waits, from the outside in."""
    places: list[str] = []
    waiting: Any = task.get_coro()
    while (frame := getattr(waiting, "cr_frame", None)) is not None:
        places.append(f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}")
        waiting = waiting.cr_await
    return " > ".join(places)


loops: list[asyncio.AbstractEventLoop] = []
"""The event loop of this process's tests, once there is one."""


@pytest.fixture(scope="session")
def process(request: pytest.FixtureRequest) -> str:
    """The name of this process among those that share the tests."""
    return getattr(request.config, "workerinput", {}).get("workerid", ALONE)


@pytest.fixture(scope="session")
def server(
    request: pytest.FixtureRequest, process: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedServer]:
    """The real Temporal server: one for the whole run."""
    told: dict[str, Any] | None = getattr(request.config, "workerinput", {}).get(SERVER)
    if told is not None:
        yield SharedServer(**told)
        return
    running = RunningServer(tmp_path_factory.mktemp("temporal"), [process])
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture(scope="session")
def postgresql(request: pytest.FixtureRequest) -> SharedPostgreSQL:
    """The real PostgreSQL: one for the whole run. Where there is none, its tests are skipped, or fail if it must be."""
    told: dict[str, Any] | str = getattr(request.config, "workerinput", {}).get(POSTGRESQL) or _start_postgresql(
        request.config
    )
    if isinstance(told, str):
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(told, pytrace=False)
        pytest.skip(told)
    return SharedPostgreSQL(**told)


@pytest.fixture(scope="session")
def postgresql_database(postgresql: SharedPostgreSQL, process: str) -> Iterator[Callable[[], str]]:
    """Makes a database without any tables, and gives its URL; all of them are dropped at the end."""
    numbers = itertools.count(1)
    with ExitStack() as databases:
        yield lambda: databases.enter_context(postgresql.database(f"{process}-{next(numbers)}"))


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """What the shop of this test is kept in."""
    if request.param == "postgresql":
        request.getfixturevalue("postgresql")
    return request.param


@pytest.fixture
def empty(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database in which there is no shop yet."""
    if engine == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.db'}"
    return request.getfixturevalue("postgresql_database")()


@pytest.fixture
def kept_by_temporal(server: SharedServer) -> Kept:
    """What the Temporal server keeps of what the test does."""
    return Kept(Path(server.database), since_now=True)


@pytest.fixture(scope="session")
async def skipper(server: SharedServer, process: str) -> TimeSkipper:
    """The server as the tests use it; time is skipped only where a test asks for it."""
    client = await Client.connect(
        server.address,
        namespace=server.namespaces[process],
        data_converter=DATA_CONVERTER,
        identity="casework-tests",  # recorded histories name no machine
    )
    loops[:] = [asyncio.get_running_loop()]
    return skipper_of(client)


def parcels_policy(*, poll_hours: int) -> str:
    """Of the parcel flow: no wait is longer than a day and a half, and nothing is late by itself."""
    return f"""
[problem_parcel]
poll_hours = {poll_hours}
cycle_same_province_days = 300
cycle_other_days = 300
cycle_remote_days = 300
no_scan_days = 300
presume_lost_hours = 24
choice_hours = 24
forwarding_hours = 24
pickup_hours = 24
remedy_hours = 24
receipt_hours = 36
receipt_reminder_hours = [12, 24]
return_hours = 24
"""


PARCELS = parcels_policy(poll_hours=6)
"""The walk through the parcel flow: no wait is longer than six looks."""

HANDED_OVER = """
[shop]
flag_profile = "handed_over"
"""

DAILY = parcels_policy(poll_hours=24)
"""A parcel that is tracked for months is looked at once a day: each look takes a quarter of a real second."""

POLICIES = {"handed_over": HANDED_OVER, "parcels": PARCELS, "daily": DAILY}
"""What else than the shipped policy some tests' cases go by, by name."""


@pytest.fixture(scope="session")
async def desk(
    server: SharedServer, skipper: TimeSkipper, database: Database, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Desk]:
    """The shop's desk with its workers: one under the shipped policy, and one under each of `POLICIES`.

    At the end of the run, nothing that is planted in the shop may be in Temporal.
    """
    gates = Gates()
    folder = tmp_path_factory.mktemp("policy")
    queues = {name: f"{TASK_QUEUE}-{name}" for name in POLICIES}
    for name, text in POLICIES.items():
        (folder / f"{name}.toml").write_text(text)
    async with AsyncExitStack() as workers:
        for name, queue in {None: TASK_QUEUE, **queues}.items():
            worker = build_worker(
                skipper.client,
                database,
                load_policy(folder / f"{name}.toml" if name else None),
                interceptors=[gates],
                max_cached_workflows=CACHED_WORKFLOWS,
                more_workflows=[ParentOfTheTests],
                task_queue=queue,
            )
            await workers.enter_async_context(worker)
        yield Desk(skipper, skipper.client, database, gates, queues)
    assert found_in(Kept(Path(server.database), since_now=False), [MARK]) == []


@pytest.fixture(scope="session")
def staffed(desk: Desk) -> Desk:
    """The shop, with one more member of the staff for each role, who has no other."""
    with desk.database.writing() as session:
        for position, (role, staff_id) in enumerate(STAFF.items(), start=1_000):
            session.add(StaffRow(id=staff_id, position=position, name=role, roles=[role], present=True))
    return desk


@pytest.fixture
def casework(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Casework:
    """The `casework` command against the tests' server and shop, in English, as nobody in particular."""
    for name in list(os.environ):
        if name.startswith(("CASEWORK_", "TEMPORAL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CASEWORK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CASEWORK_LANG", "en")
    monkeypatch.setenv("CASEWORK_DATABASE_URL", shop_url(desk))
    monkeypatch.setenv("TEMPORAL_ADDRESS", address(desk))
    monkeypatch.setenv("TEMPORAL_NAMESPACE", desk.client.namespace)

    async def command(*arguments: str) -> Done:
        capfd.readouterr()
        code = await asyncio.to_thread(run, arguments)
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return Done(code, out, err)

    return command


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was walked, refused and killed, and the seeds of what was left to chance."""
    for figure in FIGURES:
        terminalreporter.write_line(str(figure))
    why = terminalreporter.config.stash.get(missing, None)
    if why is not None:
        terminalreporter.write_line(f"PostgreSQL was not tested: {why}.")
