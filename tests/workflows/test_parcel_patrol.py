"""The patrol on the real server: all open shipments in bounded batches, one case a waybill."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import TimeSkipper

from casework import names
from casework.client import CaseworkClient
from casework.patrol import Patrolled
from casework.policy import load_policy
from casework.shop.database import Database
from tests.desk import Handle
from tests.orders import add_shipments, new_shop
from tests.recording import record
from tests.runs import histories
from tests.telling import tell
from worker import build_worker

_numbers = itertools.count(1)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Database]:
    """A shop of its own: the others' parcels are no concern of these tests."""
    database = new_shop(f"sqlite:///{tmp_path / 'shop.db'}")
    yield database
    database.close()


@asynccontextmanager
async def patrolling(skipper: TimeSkipper, shop: Database) -> AsyncGenerator[str]:
    """A worker for this shop; gives its task queue."""
    queue = f"patrol-{next(_numbers)}"
    async with build_worker(skipper.client, shop, load_policy(None), task_queue=queue):
        yield queue


@dataclass(frozen=True)
class Patrol:
    """What came of a patrol, over all its runs."""

    patrolled: Patrolled
    handle: Handle
    events: list[int]
    """Of each run."""
    largest: int
    """The largest event, in bytes."""


async def patrol(client: Client, queue: str, workflow_id: str | None = None) -> Patrol:
    """Let a patrol run to its end."""
    handle = await client.start_workflow(
        names.PARCEL_PATROL, id=workflow_id or f"parcel-patrol-{queue}", task_queue=queue
    )
    patrolled = Patrolled.model_validate(await handle.result())
    runs = [history async for history in histories(client, handle.id, handle.first_execution_run_id)]
    largest = max(event.ByteSize() for history in runs for event in history)
    return Patrol(patrolled, handle, [len(history) for history in runs], largest)


async def test_ten_thousand_shipments_with_nothing_wrong_take_little_time_and_history(
    skipper: TimeSkipper, shop: Database
) -> None:
    with shop.writing() as session:
        add_shipments(session, 10_000, left=datetime.now(UTC) - timedelta(days=1))
    async with patrolling(skipper, shop) as queue:
        before = time.perf_counter()
        done = await patrol(skipper.client, queue)
        seconds = time.perf_counter() - before
    tell(f"patrol over 10,000 shipments: {seconds:.1f} s, {sum(done.events)} events, none above {done.largest} bytes")
    assert (done.patrolled.looked_at, done.patrolled.opened, done.patrolled.cases) == (10_000, 0, [])
    assert seconds < 60
    assert sum(done.events) < 500
    assert done.largest < 2_000


async def opened_by(client: Client, case_id: str) -> str:
    """The workflow that opened a case, as Temporal names it."""
    history = client.get_workflow_handle(case_id).fetch_history_events()
    started = (await anext(history)).workflow_execution_started_event_attributes
    return started.parent_workflow_execution.workflow_id


async def test_many_that_need_a_case_are_opened_in_bounded_runs(
    skipper: TimeSkipper, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More need one than a look answers, and than a run opens: nothing is left out, and nothing opened twice."""
    monkeypatch.setattr("activities.patrol.MOST_FOUND", 4)
    monkeypatch.setattr("casework.patrol.MOST_OPENED_A_RUN", 8)
    with shop.writing() as session:
        add_shipments(session, 25, left=datetime.now(UTC) - timedelta(days=30))
    async with patrolling(skipper, shop) as queue:
        done = await patrol(skipper.client, queue)
        again = await patrol(skipper.client, queue)
        assert (done.patrolled.looked_at, done.patrolled.opened) == (25, 25)
        assert sorted(done.patrolled.cases) == case_ids(25)
        assert len(done.events) == 4, "runs, of which none opens more than 8"
        assert (again.patrolled.looked_at, again.patrolled.opened) == (25, 0)
        for case_id in done.patrolled.cases:
            await skipper.client.get_workflow_handle(case_id).terminate()


async def test_of_two_patrols_at_once_one_opens_the_case_and_the_other_minds_nothing(
    skipper: TimeSkipper, shop: Database
) -> None:
    with shop.writing() as session:
        add_shipments(session, 20, left=datetime.now(UTC) - timedelta(days=30))
    async with patrolling(skipper, shop) as queue:
        one, other = await asyncio.gather(
            patrol(skipper.client, queue, "parcel-patrol-one"), patrol(skipper.client, queue, "parcel-patrol-other")
        )
        cases = [*one.patrolled.cases, *other.patrolled.cases]
        assert sorted(cases) == case_ids(20)
        assert one.patrolled.looked_at == other.patrolled.looked_at == 20
        for case_id in cases:
            opener = "parcel-patrol-one" if case_id in one.patrolled.cases else "parcel-patrol-other"
            assert await opened_by(skipper.client, case_id) == opener
            await skipper.client.get_workflow_handle(case_id).terminate()


async def test_a_case_that_the_patrol_opens_says_so_and_has_no_link_to_it(skipper: TimeSkipper, shop: Database) -> None:
    with shop.writing() as session:
        add_shipments(session, 1, left=datetime.now(UTC) - timedelta(days=30))
    async with patrolling(skipper, shop) as queue:
        done = await patrol(skipper.client, queue)
        (case_id,) = done.patrolled.cases
        await record("parcel-patrol", done.handle, "completed", "one-opened")
        client = CaseworkClient(skipper.client, shop, answer_seconds=60)
        view = await client.view_at_rest(case_id)
        assert (view.flow, view.opened_by, view.links) == ("problem-parcel", "system", [])
        await client.cancel(case_id)


def case_ids(count: int) -> list[str]:
    return [f"problem-parcel-YT3300{number:015d}" for number in range(1, count + 1)]


@pytest.mark.parametrize(
    "start", [["now"], [{"looked_at": 5}], [{"after": 7}, {}], [5]], ids=["text", "progress", "two", "number"]
)
async def test_a_patrol_that_is_started_with_something_fails_at_once_and_says_why(
    skipper: TimeSkipper, shop: Database, start: list[Any]
) -> None:
    async with patrolling(skipper, shop) as queue:
        handle = await skipper.client.start_workflow(
            names.PARCEL_PATROL, args=start, id=f"parcel-patrol-{queue}", task_queue=queue
        )
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert (failed.value.cause.type, failed.value.cause.non_retryable) == ("BadStart", True)
