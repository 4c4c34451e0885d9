"""The patrol's Schedule: made once, brought up to date, and a patrol by hand beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.client import ScheduleHandle, ScheduleOverlapPolicy

from casework.client import NoAnswer
from casework.names import PATROL_ID
from casework.schedule import CATCH_UP, KnownSchedule, PatrolFailed, keep_schedule, known_schedule, patrol_by_hand
from tests.desk import Desk

HOUR = timedelta(hours=1)
NOBODY = "nobody-listens"


@pytest.fixture
async def scheduled(desk: Desk) -> AsyncIterator[ScheduleHandle]:
    """A Schedule whose patrols no worker runs."""
    await keep_schedule(desk.client, HOUR, task_queue=NOBODY)
    handle = desk.client.get_schedule_handle(PATROL_ID)
    yield handle
    await handle.delete()


async def test_a_patrol_is_scheduled_at_the_interval_and_never_twice_at_once(
    desk: Desk, scheduled: ScheduleHandle
) -> None:
    described = (await scheduled.describe()).schedule
    assert described.policy.overlap is ScheduleOverlapPolicy.SKIP
    assert described.policy.catchup_window == CATCH_UP < HOUR
    assert await known_schedule(desk.client) == KnownSchedule(every=HOUR, paused=False)


async def test_keeping_it_again_takes_a_new_interval_over_and_leaves_it_paused(
    desk: Desk, scheduled: ScheduleHandle
) -> None:
    await scheduled.pause(note="stocktaking")
    await keep_schedule(desk.client, 2 * HOUR, task_queue=NOBODY)
    assert await known_schedule(desk.client) == KnownSchedule(every=2 * HOUR, paused=True)
    assert (await scheduled.describe()).schedule.state.note == "stocktaking"


async def test_where_there_is_none_none_is_known(desk: Desk) -> None:
    assert await known_schedule(desk.client) is None


async def test_by_hand_it_joins_what_the_schedule_has_started(desk: Desk, scheduled: ScheduleHandle) -> None:
    await scheduled.trigger()
    async with asyncio.timeout(20):
        while not (await scheduled.describe()).info.running_actions:
            pass
    joined: list[str] = []
    with pytest.raises(NoAnswer, match="was taken in, but no worker answered") as gave_up:
        await patrol_by_hand(desk.client, answer_seconds=0.5, joins=joined.append)
    assert gave_up.value.taken_in
    (patrol,) = joined
    assert patrol.startswith(f"{PATROL_ID}-")
    await desk.client.get_workflow_handle(patrol).terminate()


async def test_a_second_one_by_hand_joins_the_first(desk: Desk) -> None:
    joined: asyncio.Queue[str] = asyncio.Queue()
    async with desk.before("look_further", ""):
        first = asyncio.ensure_future(patrol_by_hand(desk.client))
        await desk.reached("look_further", "")
        second = asyncio.ensure_future(patrol_by_hand(desk.client, joins=joined.put_nowait))
        assert await asyncio.wait_for(joined.get(), 20) == PATROL_ID
    assert await first == await second


async def test_one_that_was_called_off_is_said_to_be(desk: Desk) -> None:
    async with desk.before("look_further", ""):
        patrol = asyncio.ensure_future(patrol_by_hand(desk.client))
        await desk.reached("look_further", "")
        await desk.client.get_workflow_handle(PATROL_ID).cancel()
        with pytest.raises(PatrolFailed, match="was called off"):
            await patrol
