"""What counts as a finding, and what does not: a story that is slow, a task that the server gives out again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent, WorkflowTaskFailedEventAttributes
from temporalio.client import WorkflowHistory

import chaos.run
from casework.shop.database import Database
from chaos.acting import Casting, Played, World
from chaos.audit import failed_tasks
from chaos.delivering import until_all_is_sent
from chaos.plan import casting_of
from chaos.run import MOST_PATIENCES, play_patiently
from chaos.stories import STORIES

CASTING = casting_of(0, STORIES[0], seed=1)
PATIENCE = 0.4
Moved = Callable[[], object]


async def plays(monkeypatch: pytest.MonkeyPatch, *, moves: int, stops: bool) -> Played:
    """A story that moves so often, each time before the patience is over, and then ends or stops moving."""

    async def play(world: World, casting: Casting, *, moved: Moved) -> Played:
        del world
        for _ in range(moves):
            await asyncio.sleep(PATIENCE / 4)
            moved()
        if stops:
            await asyncio.Event().wait()
        return Played(casting, [])

    monkeypatch.setattr(chaos.run, "play", play)
    world: World = object.__new__(World)
    return await play_patiently(world, CASTING, PATIENCE)


async def test_a_story_that_moves_is_not_stuck_however_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await plays(monkeypatch, moves=10, stops=False)).casting is CASTING


@pytest.mark.parametrize(("moves", "stops"), [(0, True), (3, True), (MOST_PATIENCES * 8, False)])
async def test_a_story_that_stops_or_never_ends_is_stuck(
    monkeypatch: pytest.MonkeyPatch, moves: int, stops: bool
) -> None:
    with pytest.raises(TimeoutError):
        await plays(monkeypatch, moves=moves, stops=stops)


@pytest.mark.parametrize(
    ("cause", "ours"),
    [
        (WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND, False),
        (WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_RESET_STICKY_TASK_QUEUE, False),
        (WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR, True),
        (WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_BAD_SEARCH_ATTRIBUTES, True),
        (WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_PENDING_SIGNALS_LIMIT_EXCEEDED, True),
    ],
)
def test_a_workflow_task_that_fails_is_ours_unless_the_server_gives_it_out_again(
    cause: WorkflowTaskFailedCause.ValueType, ours: bool
) -> None:
    failed = HistoryEvent(
        event_type=EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED,
        workflow_task_failed_event_attributes=WorkflowTaskFailedEventAttributes(cause=cause),
    )
    found = failed_tasks("case", [WorkflowHistory("case", [failed])])
    assert bool(found) == ours


async def test_an_outbox_in_which_nothing_waits_is_not_waited_for(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'shop.db'}")
    database.migrate()
    await asyncio.wait_for(until_all_is_sent(database, patience=60), 10)
    database.close()
