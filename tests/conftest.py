"""One real Temporal server, one shop and its workers for the whole run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import select
from temporalio.testing import TimeSkippingConfig, WorkflowEnvironment

from casework.cli import run
from casework.converter import DATA_CONVERTER
from casework.names import TASK_QUEUE
from casework.policy import load_policy
from casework.server import SEARCH_ATTRIBUTE_KEYS, SERVER_FLAGS
from casework.server_program import find_server_program
from casework.shop.database import Database
from casework.shop.staff import load_sample_if_empty
from casework.shop.tables import StaffRow
from tests.cli.commands import Casework, Done, address, shop_url
from tests.desk import CACHED_WORKFLOWS, Desk, Gates, ParentOfTheTests
from tests.planted import MARK, found_in
from tests.telling import FIGURES
from tests.walking.driver import STAFF
from worker import build_worker

EVENTS_BEFORE_CONTINUING = 150
REPLAY_TASK_TIMEOUT = "2s"
"""Without a cache Temporal's SDK may drop a workflow task where two cases run at once: its local activities are torn,
and the server gives the task out again after the timeout, which is 10 s by default."""
REPLAYING_FLAGS = ("--dynamic-config-value", f'history.defaultWorkflowTaskTimeout="{REPLAY_TASK_TIMEOUT}"')


def pytest_configure(config: pytest.Config) -> None:
    """Where local activities are torn for want of a cache, the SDK warns that it cannot find them any more."""
    if CACHED_WORKFLOWS == 0:
        config.addinivalue_line("filterwarnings", "ignore:Cannot find activity to cancel:UserWarning")


# two shared cores: how long an example takes says nothing about the code
settings.register_profile("casework", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("casework")


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """An embedded shop of its own, with the sample staff."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('shop') / 'shop.db'}")
    database.migrate()
    with database.writing() as session:
        load_sample_if_empty(session)
        for person in session.scalars(select(StaffRow)):
            person.name = f"{MARK} {person.id}"
    yield database
    database.close()


@pytest.fixture(scope="session")
def kept_by_temporal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Temporal server's database file."""
    return tmp_path_factory.mktemp("temporal") / "temporal.db"


@pytest.fixture(scope="session")
async def env(kept_by_temporal: Path) -> AsyncIterator[WorkflowEnvironment]:
    """The real Temporal server; time is skipped only where a test asks for it."""
    program = find_server_program(print)
    async with await WorkflowEnvironment.start_time_skipping_v2(
        ts_config=TimeSkippingConfig(enabled=False),
        dev_server_existing_path=str(program.path),
        # a case continues as new after few events, so that a test can see it
        dev_server_extra_args=[
            *SERVER_FLAGS,
            # in a file, so that it can be searched; nobody needs it after a power cut
            *("--sqlite-pragma", "synchronous=off", "--sqlite-pragma", "journal_mode=memory"),
            "--dynamic-config-value",
            f"limit.historyCount.suggestContinueAsNew={EVENTS_BEFORE_CONTINUING}",
            *(REPLAYING_FLAGS if CACHED_WORKFLOWS == 0 else ()),
            # everybody asks at once, where a test sends a case all that it must refuse
            "--dynamic-config-value",
            "history.maxInFlightUpdates=200",
        ],
        dev_server_log_level="error",
        dev_server_database_filename=str(kept_by_temporal),
        search_attributes=SEARCH_ATTRIBUTE_KEYS,
        data_converter=DATA_CONVERTER,
        identity="casework-tests",  # recorded histories name no machine
    ) as env:
        yield env


PARCELS = """
[problem_parcel]
poll_hours = 6
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
"""The walk through the parcel flow: no wait is longer than six looks, and nothing is late by itself."""

HANDED_OVER = """
[shop]
flag_profile = "handed_over"
"""


@pytest.fixture(scope="session")
async def desk(
    env: WorkflowEnvironment, database: Database, kept_by_temporal: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Desk]:
    """The shop's desk with its workers: one under the shipped policy, and one under each other one.

    At the end of the run, nothing that is planted in the shop may be in Temporal.
    """
    gates = Gates()
    folder = tmp_path_factory.mktemp("policy")
    policies = {"handed_over": HANDED_OVER, "parcels": PARCELS}
    for name, text in policies.items():
        (folder / f"{name}.toml").write_text(text)
    queues = {name: f"{TASK_QUEUE}-{name}" for name in policies}
    async with (
        build_worker(
            env.client,
            database,
            load_policy(None),
            interceptors=[gates],
            max_cached_workflows=CACHED_WORKFLOWS,
            more_workflows=[ParentOfTheTests],
        ),
        build_worker(
            env.client,
            database,
            load_policy(folder / "handed_over.toml"),
            interceptors=[gates],
            max_cached_workflows=CACHED_WORKFLOWS,
            task_queue=queues["handed_over"],
        ),
        build_worker(
            env.client,
            database,
            load_policy(folder / "parcels.toml"),
            interceptors=[gates],
            max_cached_workflows=CACHED_WORKFLOWS,
            more_workflows=[ParentOfTheTests],
            task_queue=queues["parcels"],
        ),
    ):
        yield Desk(env, env.client, database, gates, queues)
    assert found_in(kept_by_temporal, [MARK]) == []


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
