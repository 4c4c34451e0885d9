"""Whether a recorded history is what today's tables allow and today's code replays: from files, with no server."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path as FilePath
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHistory

from casework.case import CaseView, TrailLine
from casework.verifying import Part, in_order, verify_file
from casework.verifying.books import ATTEMPTS_APART, same_view
from casework.verifying.comparing import differences
from casework.verifying.path import Path, path_faults
from casework.verifying.paying import PaymentAsked
from casework.verifying.replaying import MOST_TRIES, NoHistory, Recorded, Replays, read_history
from state_machines.flows import FLOWS
from tests.history_register import HISTORIES
from workflows.case import CaseWorkflow

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


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"at": ATTEMPTS_APART}, True),
        ({"at": -ATTEMPTS_APART}, True),
        ({"at": ATTEMPTS_APART + timedelta(seconds=1)}, False),
        ({"by": "another.1"}, False),
        ({"why": "another reason"}, False),
        (None, False),
    ],
)
def test_a_record_may_have_the_times_of_another_attempt_and_no_other_words(
    changed: dict[str, Any] | None, *, same: bool
) -> None:
    told = read_once(REFUNDED).told()
    assert isinstance(told, CaseView)
    *lines, last = told.trail
    if changed is not None:
        other = {name: last.at + value if name == "at" else value for name, value in changed.items()}
        lines.append(last.model_copy(update=other))
    assert same_view(told.model_copy(update={"trail": lines}), told) is same


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


# --- what was said, and what was paid ---


def decoded(payload: Any) -> Any:
    return json.loads(base64.b64decode(payload["data"]))


def forge(payload: Any, happens: Callable[[Any], None]) -> None:
    said = decoded(payload)
    happens(said)
    payload["data"] = base64.b64encode(json.dumps(said).encode()).decode()


def attributes(event: dict[str, Any]) -> Any:
    return next(value for name, value in event.items() if name.endswith("Attributes"))


def with_result(whole: dict[str, Any], happens: Callable[[Any], None]) -> None:
    """Let the case have said something else at its end."""
    forge(attributes(whole["events"][-1])["result"]["payloads"][0], happens)


def approval(said: Any) -> dict[str, Any]:
    return next(line for line in said["trail"] if line["trigger"] == "approve" and line["accepted"])


def another(name: str, value: Any) -> Callable[[Any], None]:
    return lambda said: said.__setitem__(name, value)


def another_of_approval(**changed: Any) -> Callable[[Any], None]:
    return lambda said: approval(said).update(changed)


def one_line_less(said: Any) -> None:
    said["trail"].append({**said["trail"][-1], "accepted": False, "dest": None, "why": "never said"})


@pytest.mark.parametrize(
    ("happens", "found"),
    [
        (another_of_approval(note="never said"), ".note was never said, and is now"),
        (another_of_approval(at="2020-01-01T00:00:00Z"), ".at was 2020-01-01T00:00:00Z, and is now"),
        (another("opened_by", "finance.1"), "opened_by was finance.1, and is now aftersale.1"),
        (another("opened_at", "2020-01-01T00:00:00Z"), "opened_at was 2020-01-01T00:00:00Z"),
        (another("order_id", "33000"), "order_id was 33000, and is now"),
        (another("links", ["return-after-shipping-33000"]), "links had 1 entries, and now has 0"),
        (another("note", "never said"), "note was never said, and is now nothing"),
        (another("assignee", "finance.1"), "assignee was finance.1, and is now nothing"),
        (another("policy", "another"), "policy was another, and is now"),
        (another("amount_fen", 1), "now comes to refunded after"),
        (another("case_id", "refund-before-shipping-33000"), "case_id was refund-before-shipping-33000"),
        (another("given", {"cause": "quality"}), "given.cause was quality, and is not said now"),
        (another("never_a_field", 1), "never_a_field was 1, and is not said now"),
        (one_line_less, "trail had"),
    ],
)
async def test_a_case_that_says_otherwise_than_its_replay_is_named(
    replays: Replays, tmp_path: FilePath, happens: Callable[[Any], None], found: str
) -> None:
    whole = json.loads(REFUNDED.read_text("utf-8"))
    with_result(whole, happens)
    verified = await verify_file(replays, written(tmp_path, json.dumps(whole).encode()))
    assert any(fault.part is Part.REPLAY and found in fault.found for fault in verified.faults), verified.faults


async def test_reasons_may_be_worded_otherwise_and_an_older_version_may_have_said_less(
    replays: Replays, tmp_path: FilePath
) -> None:
    whole = json.loads(REFUNDED.read_text("utf-8"))

    def happens(said: Any) -> None:
        for line in said["trail"]:
            line["why"] = "in other words"
            for name in ("references", "given"):
                line.pop(name, None)
        for name in ("references", "given"):
            said.pop(name, None)

    with_result(whole, happens)
    verified = await verify_file(replays, written(tmp_path, json.dumps(whole).encode()))
    assert verified.faults == ()


def of_payment(whole: dict[str, Any], event_type: str) -> Any:
    """What is recorded of the one payment: what was sent, or what was answered."""
    scheduled = next(
        event
        for event in whole["events"]
        if event["eventType"] == "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"
        and attributes(event)["activityType"]["name"] == "pay"
    )
    if event_type == "SCHEDULED":
        return attributes(scheduled)["input"]["payloads"][0]
    answered = next(
        event
        for event in whole["events"]
        if event["eventType"] == "EVENT_TYPE_ACTIVITY_TASK_COMPLETED"
        and attributes(event)["scheduledEventId"] == scheduled["eventId"]
    )
    return attributes(answered)["result"]["payloads"][0]


@pytest.mark.parametrize(
    ("event_type", "name", "value", "found"),
    [
        ("COMPLETED", "paid_fen", 1, "payment 1 was asked for with 1,000.01, and answered as 0.01"),
        ("SCHEDULED", "amount_fen", 1, "payment 1 was sent with amount_fen 1, and is now sent with 100001"),
        ("SCHEDULED", "purpose", "gift", "payment 1 was sent with purpose gift, and is now sent with refund"),
        ("SCHEDULED", "order_id", "33000", "payment 1 was sent with order_id 33000, and is now sent with"),
        ("SCHEDULED", "run_id", "another", "payment 1 was sent with run_id another, and is now sent with"),
    ],
)
async def test_a_payment_that_was_not_asked_for_so_is_named(
    replays: Replays, tmp_path: FilePath, event_type: str, name: str, value: Any, found: str
) -> None:
    whole = json.loads(REFUNDED.read_text("utf-8"))
    forge(of_payment(whole, event_type), another(name, value))
    verified = await verify_file(replays, written(tmp_path, json.dumps(whole).encode()))
    assert [fault.part for fault in verified.faults] == [Part.REPLAY], verified.faults
    assert found in verified.faults[0].found


async def test_the_payments_that_a_case_asks_for_are_known_with_their_answers(
    replays: Replays, tmp_path: FilePath
) -> None:
    """Refused for good, then paid by hand; and where the history ends before the answer, there is none."""
    file = next(HISTORIES.glob("*/refunded.payment_refused_for_good_and_paid_by_hand_a_day_later.json"))
    replayed = await replays.replay(read_once(file))
    told = [(one.activity, one.amount_fen, one.answered, one.written_fen) for one in replayed.payments]
    assert told == [("pay", 20_000, True, None), ("record_paid_by_hand", 20_000, True, 20_000)]
    whole = json.loads(REFUNDED.read_text("utf-8"))
    sent = next(
        number
        for number, event in enumerate(whole["events"])
        if event["eventType"] == "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"
    )
    cut = written(tmp_path, json.dumps({"events": whole["events"][: sent + 1]}).encode())
    (under_way,) = (await replays.replay(read_history(cut))).payments
    assert (under_way.answered, under_way.written_fen, under_way.amount_fen) == (False, None, 100_001)


@pytest.mark.parametrize(
    ("activity", "answer", "written_fen"),
    [
        ("pay", {"status": "paid", "paid_fen": 7, "reference": "CW1"}, 7),
        ("pay", {"status": "already_paid", "paid_fen": 7, "reference": "CW1"}, 7),
        ("pay", {"status": "already_paid", "paid_fen": 7, "reference": None}, None),
        ("pay", {"status": "changed", "paid_fen": 0, "reference": None}, None),
        ("pay", None, None),
        ("record_paid_by_hand", {"refused": None, "due_fen": 0}, 9),
        ("record_paid_by_hand", {"refused": "was used before", "due_fen": 9}, None),
    ],
)
def test_what_the_books_must_have_by_an_answer(
    activity: str, answer: dict[str, Any] | None, written_fen: int | None
) -> None:
    assert PaymentAsked(activity, "case/run/refund", {"amount_fen": 9}, answer, True).written_fen == written_fen


COMPARED: list[tuple[dict[str, Any], dict[str, Any], int, list[str]]] = [
    ({"at": "2026-01-01T00:00:01Z"}, {"at": "2026-01-01T00:00:00.5Z"}, 1, []),
    ({"at": "2026-01-01T00:00:02Z"}, {"at": "2026-01-01T00:00:00.5Z"}, 1, ["at was"]),
    ({"at": "2026-01-01T08:00:00+08:00"}, {"at": "2026-01-01T00:00:00Z"}, 0, []),
    ({"note": "2026-01-01"}, {"note": "tomorrow"}, 9, ["note was 2026-01-01, and is now tomorrow"]),
    ({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}, {"e": 5}, 0, ["a was", "b was", "c was", "1 more of what it said"]),
    ({"given": {}}, {"given": {"cause": "quality"}}, 0, ["given.cause was not said, and is now"]),
    ({"trail": [{"given": {}}]}, {"trail": [{"given": {"a": 1}}]}, 0, ["trail 1.given.a was not said"]),
    ({"trail": [{"why": "a"}]}, {"trail": [{"why": "b", "given": {}}]}, 0, []),
    ({"note": "x" * 500}, {"note": None}, 0, [f"note was {'x' * 60}…, and is now nothing"]),
]


@pytest.mark.parametrize(("said", "now", "slack", "found"), COMPARED)
def test_what_was_said_is_held_against_what_is_said_now(
    said: dict[str, Any], now: dict[str, Any], slack: int, found: list[str]
) -> None:
    told = differences(said, now, slack=timedelta(seconds=slack))
    assert len(told) == len(found), told
    assert all(one in sentence for one, sentence in zip(found, told, strict=True)), told


def history_of(*events: tuple[str, float]) -> Recorded:
    """A history of nothing but such events, each so many seconds after the beginning."""
    begun = datetime(2026, 11, 20, tzinfo=UTC)
    made = [
        {
            "eventId": str(number),
            "eventTime": (begun + timedelta(seconds=after)).isoformat().replace("+00:00", "Z"),
            "eventType": f"EVENT_TYPE_{name}",
        }
        for number, (name, after) in enumerate(events, start=1)
    ]
    return Recorded(WorkflowHistory.from_json("case", {"events": made}))


SCHEDULED, STARTED, COMPLETED = (f"WORKFLOW_TASK_{one}" for one in ("SCHEDULED", "STARTED", "COMPLETED"))
SIGNALED, MARKER = "WORKFLOW_EXECUTION_SIGNALED", "MARKER_RECORDED"


@pytest.mark.parametrize(
    ("events", "seconds"),
    [
        ([(SCHEDULED, 0), (STARTED, 1), (COMPLETED, 3)], 2),
        # prolonged twice, with a signal in between
        ([(STARTED, 0), (COMPLETED, 4), (SCHEDULED, 4), (STARTED, 4), (COMPLETED, 8), (SIGNALED, 8), (STARTED, 8),
          (COMPLETED, 9), (MARKER, 9)], 9),
        # what the case asked for lies between, or nothing was under way
        ([(STARTED, 0), (COMPLETED, 1), (MARKER, 1), (SCHEDULED, 1), (STARTED, 1), (COMPLETED, 2)], 1),
        ([(STARTED, 0), (COMPLETED, 1), (SIGNALED, 60), (SCHEDULED, 60), (STARTED, 60), (COMPLETED, 61)], 1),
        ([], 0),
    ],
)  # fmt: skip
def test_times_may_differ_by_no_more_than_the_longest_workflow_task(
    events: list[tuple[str, float]], seconds: int
) -> None:
    assert history_of(*events).slowest_task == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("events", "at_rest"),
    [
        ([SCHEDULED], False),
        ([SCHEDULED, STARTED, COMPLETED], True),
        ([SCHEDULED, STARTED, COMPLETED, SIGNALED, SCHEDULED], False),
        ([SCHEDULED, STARTED, "WORKFLOW_TASK_FAILED"], False),
        ([SCHEDULED, STARTED, COMPLETED, "START_CHILD_WORKFLOW_EXECUTION_INITIATED"], False),
        ([], False),
    ],
)
def test_a_case_is_at_rest_where_nothing_is_under_way(events: list[str], at_rest: bool) -> None:
    assert history_of(*((name, 0) for name in events)).is_at_rest is at_rest


async def test_a_case_that_opened_another_one_is_at_rest_once_that_has_begun() -> None:
    file = next(HISTORIES.glob("*/refund_opened.buyer_declines_list_price*.json"))
    whole = read_once(file)
    names = [event.event_type for event in whole.history.events]
    begun = names.index(EventType.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED)
    upto = [Recorded(replace(whole.history, events=whole.history.events[:number])) for number in (begun, begun + 1)]
    asked = names.index(EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED)
    assert asked < begun
    assert not upto[0].is_at_rest
    assert upto[1].is_at_rest or EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED in names[asked:begun]
    assert whole.is_at_rest


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


@pytest.mark.parametrize("times", [1, MOST_TRIES])
async def test_a_replay_that_hangs_on_a_busy_machine_is_tried_again(
    replays: Replays, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    hangs, real, never = iter([True] * times), CaseWorkflow[Any].run_case, threading.Event()

    async def run_case(self: CaseWorkflow[Any]) -> dict[str, Any]:
        while next(hangs, False):
            while True:  # until Temporal's SDK interrupts it
                never.wait(0.01)
        return await real(self)

    monkeypatch.setattr(CaseWorkflow, "run_case", run_case)
    failure = (await replays.replay(read_once(REFUNDED))).failure
    assert (failure is None) == (times < MOST_TRIES), failure
    assert next(hangs, None) is None
