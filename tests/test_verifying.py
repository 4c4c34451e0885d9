"""Whether a recorded history is what today's tables allow and today's code replays: from files, with no server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import cache
from pathlib import Path as FilePath
from typing import Any

import pytest

from casework.case import TrailLine
from casework.verifying import Part, in_order, verify_file
from casework.verifying.path import Path, path_faults
from casework.verifying.replaying import NoHistory, Recorded, Replays, read_history
from state_machines.flows import FLOWS
from tests.history_register import HISTORIES

REFUNDED = HISTORIES / "refund-before-shipping" / "refunded.large_refund_sent_back_twice.json"
REFUND = FLOWS["refund-before-shipping"]


@pytest.fixture(scope="module")
def replays() -> Replays:
    return Replays()


read_once = cache(read_history)


def recorded_path(file: FilePath = REFUNDED) -> Path:
    told = read_once(file).told()
    assert told is not None
    return Path.of(told)


def with_line(path: Path, number: int, **changed: Any) -> Path:
    """The path with another line in the place of a move, counted from 0."""
    moves = [line.model_copy() for line in path.moves]
    moves[number] = moves[number].model_copy(update=changed)
    return replace(path, trail=moves)


def test_a_path_that_a_case_has_really_gone_has_no_fault() -> None:
    assert path_faults(REFUND, recorded_path(), ended=True) == []


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"dest": "kept"}, "the table has no such row"),
        ({"trigger": "settle"}, "the table has no such row"),
        ({"source": "persuading"}, "does not begin in awaiting_finance"),
        ({"role": "aftersale_agent"}, "the row is for finance_manager"),
        ({"role": None, "by": "system"}, "the row is for finance_manager"),
        ({"role": None, "by": "finance.1"}, "the row is for finance_manager"),
        ({"role": "emperor"}, "the row is for finance_manager"),
        ({"dest": None}, "approve was accepted and is no move"),
    ],
)
def test_a_move_that_the_table_does_not_allow_is_named(changed: dict[str, Any], found: str) -> None:
    path = recorded_path()
    number = next(
        n for n, line in enumerate(path.moves) if (line.trigger, line.source) == ("approve", "awaiting_finance")
    )
    faults = path_faults(REFUND, with_line(path, number, **changed), ended=True)
    assert any(found in fault for fault in faults), faults


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"state": "settling"}, "it is in settling, and its moves lead to refunded"),
        ({"version": 2}, "it counts 2 moves and names"),
        ({"outcome": None}, "its outcome is none"),
        ({"outcome": "kept"}, "its outcome is kept"),
        ({"trail": ()}, "its moves lead to checking"),
    ],
)
def test_an_end_that_the_moves_do_not_lead_to_is_named(changed: dict[str, Any], found: str) -> None:
    faults = path_faults(REFUND, replace(recorded_path(), **changed), ended=True)
    assert any(found in fault for fault in faults), faults


def test_a_case_that_waits_has_a_path_too_and_one_that_ended_there_is_named() -> None:
    path = recorded_path()
    first = path.moves[:2]
    waiting = Path(first, first[-1].dest or "", None, 2, path.amount_fen)
    assert path_faults(REFUND, waiting, ended=False) == []
    assert path_faults(REFUND, waiting, ended=True) == [f"it has ended in {waiting.state}, which is no end"]


def test_what_is_said_beside_the_table_is_no_move() -> None:
    path = recorded_path()
    said = TrailLine(at=path.trail[0].at, by="finance.1", trigger="comment", source="persuading", accepted=True)
    refused = said.model_copy(update={"trigger": "approve", "accepted": False})
    assert path_faults(REFUND, replace(path, trail=[*path.trail, said, refused]), ended=True) == []


def test_clock_and_temporal_take_the_rows_that_are_theirs() -> None:
    for file in sorted(HISTORIES.glob("*/*.json")):
        recorded = read_once(file)
        for number, line in enumerate(recorded_path(file).moves if recorded.flow else ()):
            if line.by == "clock":
                assert recorded.flow is not None
                changed = with_line(recorded_path(file), number, by="system")
                assert any("the row is for clock" in one for one in path_faults(recorded.flow, changed, ended=True))
                return
    raise AssertionError("no recorded history has a move by the clock")


async def test_a_case_that_says_it_came_elsewhere_is_named(replays: Replays) -> None:
    recorded = read_once(REFUNDED)
    events = list(recorded.history.events)
    said = json.loads(events[-1].workflow_execution_completed_event_attributes.result.payloads[0].data)
    said["amount_fen"] += 1
    told = events[-1].__deepcopy__({})
    told.workflow_execution_completed_event_attributes.result.payloads[0].data = json.dumps(said).encode()
    forged = Recorded(replace(recorded.history, events=[*events[:-1], told]))
    path, replayed = forged.told(), await replays.replay(forged)
    assert path is not None
    assert replayed.case is not None
    assert replayed.failure is None, "Temporal compares commands, and no answers"
    assert "now comes to refunded" in (Path.of(path).differs_from(Path.of(replayed.case)) or "")


# --- files ---


def written(folder: FilePath, content: bytes) -> FilePath:
    file = folder / "history.json"
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not a history: it has no events"),
        (b"{}", "is not a history: it has no events"),
        (b'{"events": {}}', "is not a"),
        (b'{"events": []}', "does not begin with the start of a workflow"),
        (b'{"events": [1]}', "its events are not Temporal's"),
        (b'{"events": [{"eventId": "x"}]}', "its events are not Temporal's"),
        (b'{"events": [{"eventType": "EVENT_TYPE_TIMER_FIRED"}]}', "does not begin with the start"),
        (b'{"events": [{"eventType": "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED"}]}', "the history of nothing"),
    ],
)
def test_a_file_that_holds_no_history_is_refused_in_a_sentence(tmp_path: FilePath, content: bytes, found: str) -> None:
    with pytest.raises(NoHistory, match=found) as refused:
        read_history(written(tmp_path, content))
    assert str(refused.value).endswith(".")


def test_a_file_that_is_not_there_is_refused_in_a_sentence(tmp_path: FilePath) -> None:
    with pytest.raises(NoHistory, match="cannot be read: No such file"):
        read_history(tmp_path / "none.json")
    with pytest.raises(NoHistory, match="cannot be read: Is a directory"):
        read_history(tmp_path)


async def test_a_history_that_was_tampered_with_does_not_replay_and_says_so(
    replays: Replays, tmp_path: FilePath
) -> None:
    whole = json.loads(REFUNDED.read_text("utf-8"))
    timers = [event for event in whole["events"] if event["eventType"] == "EVENT_TYPE_TIMER_STARTED"]
    del timers[0]["timerStartedEventAttributes"]
    timers[0]["eventType"] = "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"
    timers[0]["activityTaskScheduledEventAttributes"] = {"activityId": "9", "activityType": {"name": "pay"}}
    verified = await verify_file(replays, written(tmp_path, json.dumps(whole).encode()))
    assert [fault.part for fault in verified.faults] == [Part.REPLAY]
    assert "today's code does not replay it" in verified.faults[0].found
    assert verified.state == "refunded", "where it came to is told all the same"


@pytest.mark.parametrize("events", [4, 9, 14, 19])
async def test_a_history_that_is_not_at_its_end_shows_where_the_case_is(
    replays: Replays, tmp_path: FilePath, events: int
) -> None:
    whole = json.loads(REFUNDED.read_text("utf-8"))
    cut = {"events": whole["events"][:events]}
    verified = await verify_file(replays, written(tmp_path, json.dumps(cut).encode()))
    assert (verified.status, verified.faults) == ("open", ())
    assert (verified.moves or 0) < len(recorded_path().moves)


# --- many ---


async def test_only_so_many_are_worked_on_at_the_same_time_and_they_come_in_order() -> None:
    taken, busy, most = 0, 0, 0
    go = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        nonlocal taken
        for number in range(50):
            taken += 1
            yield number

    async def work(number: int) -> int:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await go.wait()
        busy -= 1
        return number

    results = in_order(source(), work, 4)
    first = asyncio.ensure_future(anext(results))
    for _ in range(20):
        await asyncio.sleep(0)
    assert (taken, busy) == (4, 4), "no more are taken than are worked on"
    go.set()
    assert [await first, *[one async for one in results]] == list(range(50))
    assert most == 4


async def test_what_goes_wrong_with_one_is_raised_and_the_others_are_let_go() -> None:
    async def source() -> AsyncIterator[int]:
        for number in range(10):
            yield number

    async def work(number: int) -> int:
        if number == 2:
            raise LookupError(number)
        return number

    results = in_order(source(), work, 3)
    assert [await anext(results), await anext(results)] == [0, 1]
    with pytest.raises(LookupError):
        await anext(results)
