"""What counts as a finding, and what does not: a story that is slow, a task that the server gives out again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent, WorkflowTaskFailedEventAttributes
from temporalio.client import WorkflowHistory

import chaos.run
from casework.case import TrailLine
from casework.shop.database import Database
from casework.templates import TEMPLATES
from chaos.acting import Casting, Played, World
from chaos.audit import TOLD_IN, failed_tasks, most_times_told
from chaos.delivering import until_all_is_sent
from chaos.plan import casting_of
from chaos.run import MOST_PATIENCES, play_patiently
from chaos.stories import STORIES
from state_machines.flows import FLOWS

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


REJECTED = ("reject", "lead.1", "pricing", "offering_list_price")
CHANGED = ("order_changed", "system", "offering_list_price", "legal_review")
OVERDUE = ("confirmation_overdue", "clock", "following", "chasing")
ALARM = ("confirmation_presumed", "clock", "chasing", "chasing")
APPROVED = ("approve", "lead.1", "awaiting_supervisor", "awaiting_parcel")
COUNTED_AGAIN = ("ship_back_overdue", "clock", "awaiting_parcel", "awaiting_parcel")


@pytest.mark.parametrize(
    ("flow", "way", "template", "times"),
    [
        ("bulk-order", [REJECTED, CHANGED, REJECTED], "bulk.list_price", 2),
        ("bulk-order", [REJECTED, CHANGED, REJECTED], "bulk.please_confirm", 0),
        ("bulk-order", [REJECTED, CHANGED, REJECTED], "bulk.declined", 1),
        ("bulk-order", [OVERDUE, ALARM, ALARM], "bulk.please_confirm", 1),
        ("return-after-shipping", [APPROVED, COUNTED_AGAIN], "return.send_back.buyer", 2),
    ],
)
def test_the_buyer_is_told_a_thing_as_often_as_the_state_that_tells_it_is_entered(
    flow: str, way: list[tuple[str, str, str, str]], template: str, times: int
) -> None:
    trail = [
        TrailLine(at=datetime.now(UTC), by=by, trigger=trigger, source=source, dest=dest, accepted=True)
        for trigger, by, source, dest in way
    ]
    assert most_times_told(FLOWS[flow], trail, template) == times


def test_what_is_told_again_is_a_letter_that_a_state_tells() -> None:
    states = {name for flow in FLOWS.values() for name in flow.states}
    assert TEMPLATES.keys() >= TOLD_IN.keys()
    assert states >= set(TOLD_IN.values())


async def test_an_outbox_in_which_nothing_waits_is_not_waited_for(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'shop.db'}")
    database.migrate()
    await asyncio.wait_for(until_all_is_sent(database, patience=60), 10)
    database.close()
