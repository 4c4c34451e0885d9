"""`casework doctor`: what Casework would run with, and what is wrong with it."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Final
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, GetSystemInfoRequest
from temporalio.client import Client
from temporalio.service import RPCError

from casework import names
from casework.cli.errors import FAILED, Stop
from casework.cli.running import Desk, print_json, run_async
from casework.connection import InvalidTemporalSettings, NoServer, configured_cluster, connect, known_search_attributes
from casework.policy import PolicyError
from casework.schedule import KnownSchedule, known_schedule
from casework.sending import port_of
from casework.server_running import read_running
from casework.settings import SettingsError
from casework.shop.database import Database
from casework.shop.sending import backlog
from casework.show import length, table

ASKING: Final = timedelta(seconds=75)
OLDEST_SERVER: Final = (1, 25)
"""From here on Temporal keeps what cases say for its UI (summaries, details), which an older one drops without a word.
The embedded server is newer: letting time pass in tests and demos needs `casework.server_program.OLDEST_SERVER`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    found: str


def examine(*, as_json: bool) -> None:
    """`casework doctor`."""
    findings = run_async(_examine())
    wrong = [one for one in findings if not one.ok]
    if as_json:
        print_json([asdict(one) for one in findings])
    else:
        print(table([("✓" if one.ok else "✗", one.what, one.found) for one in findings]))
    if wrong:
        raise Stop(FAILED, "Wrong: " + "; ".join(f"{one.what} ({one.found.rstrip('.')})" for one in wrong) + ".")


async def _examine() -> list[Finding]:
    versions = ", ".join(f"{name} {version(name)}" for name in ("temporalio", "transitions", "SQLAlchemy"))
    findings = [Finding("versions", True, f"Python {platform.python_version()}, {versions}")]
    try:
        desk = Desk()
    except SettingsError as error:
        return [*findings, Finding("settings", False, str(error))]
    findings.append(Finding("home", True, str(desk.settings.home)))
    findings.append(_policy(desk))
    findings.append(_database(desk))
    findings.append(_messages(desk))
    findings.extend(await _server(desk))
    return findings


def _policy(desk: Desk) -> Finding:
    try:
        return Finding("policy", True, f"{desk.policy.version}, {desk.settings.policy or 'the one shipped'}")
    except PolicyError as error:
        return Finding("policy", False, str(error))


def _database(desk: Desk) -> Finding:
    # without the URL's password, and without reading a single row
    kind = desk.settings.database_url.partition(":")[0].partition("+")[0]
    try:
        with closing(Database(desk.settings.database_url)) as database:
            state = database.schema_state()
    except Exception as error:  # noqa: BLE001 - whatever a database can say: it is what is wrong
        return Finding("database", False, f"{kind}: {type(error).__name__}, it cannot be used")
    advice = {
        "current": "",
        "missing": "; casework up or casework import makes it",
        "behind": "; casework up brings it up to date",
        "ahead": "; it is from a newer version of Casework",
    }
    return Finding("database", state == "current", f"{kind}, schema {state}{advice[state]}")


def _messages(desk: Desk) -> Finding:
    """Where messages go, and whether they arrive."""
    what, url = "delivery", desk.settings.webhook_url
    # without the rest of the address, which may hold a chat robot's key
    where = "to the log" if url is None else f"to the webhook at {urlsplit(url.get_secret_value()).hostname}"
    try:
        port_of(desk.settings)
        with closing(Database(desk.settings.database_url)) as database:
            if database.schema_state() != "current":
                return Finding(what, True, where)
            with database.reading() as session:
                left = backlog(session)
    except SettingsError as error:
        return Finding(what, False, f"{where}: {error}")
    except SQLAlchemyError:  # named as the database's own fault already
        return Finding(what, True, where)
    refused, failing = left.counts.get("refused", 0), [one for one in left.failed if one.next_try is not None]
    found = f"{where}, {left.counts.get('waiting', 0)} to deliver"
    if refused:
        found += f"; {refused} were refused for good: casework deliver --once --again tries them again"
    if failing:
        found += f"; it fails: {failing[-1].why}"
    return Finding(what, not refused and not failing, found)


async def _server(desk: Desk) -> list[Finding]:
    try:
        cluster = configured_cluster()
        client = await connect(desk.settings.home)
    except (NoServer, InvalidTemporalSettings) as error:
        return [Finding("server", False, str(error))]
    running = read_running(desk.settings.home)
    where = str(cluster) if cluster else f"{running.address}, UI {running.ui}" if running else "?"
    try:
        information = await client.workflow_service.get_system_info(GetSystemInfoRequest(), retry=True)
        findings = [_server_version(information.server_version, where)]
        findings.append(_search_attributes(await known_search_attributes(client)))
        findings.append(_worker(await pollers(client)))
        findings.append(_patrol(desk, await known_schedule(client)))
    except RPCError as error:
        return [Finding("server", False, f"{where}: {error.message}")]
    return findings


def _server_version(version: str, where: str) -> Finding:
    found = f"Temporal {version or 'of a version that it does not say'} at {where}"
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST_SERVER:
        needed = ".".join(map(str, OLDEST_SERVER))
        return Finding("server", False, f"{found} is too old: {needed} or newer is needed")
    return Finding("server", True, found)


def _worker(found: Sequence[str]) -> Finding:
    queue = f"task queue {names.TASK_QUEUE}"
    if not found:
        return Finding("worker", False, f"none listens on {queue}: casework up runs one")
    return Finding("worker", True, f"{', '.join(found)} on {queue}")


def _search_attributes(known: Mapping[str, str]) -> Finding:
    wrong = [
        f"{name} is {known[name]} and must be {kind}" if name in known else f"{name} ({kind}) is missing"
        for name, kind in names.SEARCH_ATTRIBUTES.items()
        if known.get(name) != kind
    ]
    return Finding("search attributes", not wrong, "; ".join(wrong) or f"all {len(names.SEARCH_ATTRIBUTES)}")


def _patrol(desk: Desk, known: KnownSchedule | None) -> Finding:
    """Whether the Schedule of the parcel patrol is there, as the policy wants it, and not paused."""
    what = "patrol"
    if known is None:
        return Finding(what, False, f"there is no Schedule {names.PATROL_ID}: casework up makes it")
    found = f"every {length(known.every, 'en')}" if known.every else "at times of its own"
    try:
        wanted = desk.policy.patrol.interval
    except PolicyError:  # named as the policy's own fault already
        wanted = known.every
    if wanted is not None and known.every != wanted:
        advice = f"the policy says every {length(wanted, 'en')}: casework up brings it up to date"
        return Finding(what, False, f"{found}, and {advice}")
    if known.paused:
        unpause = f"temporal schedule toggle --schedule-id {names.PATROL_ID} --unpause --reason …"
        return Finding(what, False, f"{found}, but paused; {unpause}")
    return Finding(what, True, f"{found}, by the Schedule {names.PATROL_ID}")


async def pollers(client: Client) -> list[str]:
    """Who asks the task queue for work: a worker's question stands for a minute, then it asks again."""
    described = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=names.TASK_QUEUE),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
        ),
        retry=True,
    )
    since = datetime.now(UTC) - ASKING
    return sorted({one.identity for one in described.pollers if one.last_access_time.ToDatetime(tzinfo=UTC) >= since})
