"""What the sandbox leaves out, and why it may."""

from __future__ import annotations

import importlib
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import StorageDriverStoreContext, WithSerializationContext, WorkflowSerializationContext
from temporalio.worker import WorkflowInstance
from temporalio.workflow import Info

from casework.converter import DATA_CONVERTER, LenientPayloadConverter
from casework.instance import DIRECT_QUERY, MOMENTARY, CaseInstance
from casework.policy import load_policy
from casework.sandbox import PASSED_THROUGH, workflow_runner
from tests.desk import Desk
from worker import WORKFLOWS, build_worker

SAYS = """
from temporalio import workflow


@workflow.defn
class Says:
    @workflow.run
    async def run(self) -> str:
        return "{0}"
"""


def test_nothing_that_is_converted_depends_on_what_it_belongs_to() -> None:
    """So nobody need ask (see `CaseRunner`): where this fails, the SDK's own runner is wanted again."""
    assert DATA_CONVERTER.payload_codec is None
    assert DATA_CONVERTER.external_storage is None
    parts = [*LenientPayloadConverter().converters.values(), DATA_CONVERTER.failure_converter]
    assert not [part for part in parts if isinstance(part, WithSerializationContext)]
    within = DATA_CONVERTER.with_context(WorkflowSerializationContext(namespace="default", workflow_id="any"))
    assert within.payload_converter.to_payloads([{"a": 1}]) == DATA_CONVERTER.payload_converter.to_payloads([{"a": 1}])


def test_the_workflows_classes_are_loaded_in_the_sandbox_and_what_they_share_is_passed_through() -> None:
    """Of a module that is loaded twice, an exception that one copy raises is not caught by the other."""
    modules = {f"workflows.{file.stem}" for file in Path("workflows").glob("*.py") if file.stem != "__init__"}
    of_workflows = {one.__module__ for one in WORKFLOWS}
    assert of_workflows < modules
    assert {name for name in PASSED_THROUGH if name.startswith("workflows")} == modules - of_workflows
    assert workflow_runner().restrictions.passthrough_modules >= set(PASSED_THROUGH)


class Plays(WorkflowInstance):
    """Stands for a workflow: notes what it is given, and answers with nothing."""

    def __init__(self) -> None:
        self.played: list[WorkflowActivation] = []

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        self.played.append(act)
        return WorkflowActivationCompletion()

    def get_serialization_context(self, command_info: object) -> None: ...

    def get_external_store_context(self, command_info: object) -> StorageDriverStoreContext:  # noqa: ARG002 - the SDK's name
        return StorageDriverStoreContext(target=None)

    def get_info(self) -> Info:
        raise NotImplementedError

    def get_thread_id(self) -> int | None: ...


REPLAYED, LIVE, QUERY = "replayed", "live", "query"


def played(told: Sequence[tuple[str, int]], refused: deque[tuple[str, int]]) -> list[str]:
    """What an instance answers to activations of a kind, each with so many events: an error, or an empty text."""
    instance = CaseInstance(Plays(), refused)
    answers: list[str] = []
    for kind, events in told:
        act = WorkflowActivation(run_id="run", history_length=events, is_replaying=kind != LIVE)
        if kind == QUERY:
            act.jobs.add().query_workflow.query_id = DIRECT_QUERY
        else:
            act.jobs.add().fire_timer.seq = events
        answers.append(instance.activate(act).failed.failure.message)
    return answers


def test_a_query_that_leads_beyond_the_replay_fails_once_and_then_the_task_that_would_go_on_with_it() -> None:
    """The lead may end with a workflow task that is another worker's, or with none: both look alike from here."""
    refused: deque[tuple[str, int]] = deque()
    leads = [(REPLAYED, 3), (REPLAYED, 7), (LIVE, 9)]
    assert [MOMENTARY in one for one in played([*leads, (QUERY, 9)], refused)] == [False, False, False, True]
    again = played([*leads, (QUERY, 9), (QUERY, 9), (LIVE, 14)], refused)
    assert [MOMENTARY in one for one in again] == [False, False, False, False, False, True]
    elsewhere = played([*leads[:2], (LIVE, 10), (QUERY, 10)], refused)
    assert MOMENTARY in elsewhere[-1], "it leads to another place"


@pytest.mark.parametrize(
    "told",
    [
        [(LIVE, 3), (QUERY, 3), (LIVE, 8), (QUERY, 8)],
        [(REPLAYED, 3), (REPLAYED, 7), (QUERY, 7), (LIVE, 12), (LIVE, 12), (LIVE, 15), (QUERY, 15), (LIVE, 20)],
    ],
    ids=["from its first task on", "rebuilt, and at its second task"],
)
def test_no_other_query_fails(told: list[tuple[str, int]]) -> None:
    assert not any(played(told, deque()))


class Accepts(Plays):
    """Accepts every update."""

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        done = super().activate(act)
        for job in act.jobs:
            if job.HasField("do_update"):
                response = done.successful.commands.add().update_response
                response.protocol_instance_id = job.do_update.protocol_instance_id
                response.accepted.SetInParent()
        return done


def told(events: int, *, update: str = "", query: str = "", signals: int = 0, ended: int = 0) -> WorkflowActivation:
    """What an instance may be told while the history has so many events."""
    act = WorkflowActivation(run_id="run", history_length=events)
    for _ in range(signals):
        act.jobs.add().signal_workflow.SetInParent()
    if update:
        act.jobs.add().do_update.protocol_instance_id = update
    for _ in range(ended):
        act.jobs.add().resolve_activity.is_local = True
    if query:
        act.jobs.add().query_workflow.query_id = query
    return act


@pytest.mark.parametrize(
    ("events", "tells"),
    [
        (16, [told(10, ended=1), told(16, signals=1, update="second")]),
        (15, [told(15, signals=1, update="second", ended=1)]),
        (17, []),
        (14, []),
    ],
    ids=["with the query's task", "with the next task", "more than is known of", "fewer than there must be"],
)
def test_a_step_that_ended_while_a_query_was_answered_is_told_as_it_is_on_record(
    events: int, tells: list[WorkflowActivation]
) -> None:
    """From 10 events on: completed, the first update, the step's end where it is on record, a signal, the next task."""
    plays = Accepts()
    instance = CaseInstance(plays, deque())
    for before in (told(10, update="first"), told(10, query="with the task")):
        instance.activate(before)
    done = instance.activate(told(events, signals=1, update="second", ended=1))
    assert plays.played[2:] == tells
    assert (MOMENTARY in done.failed.failure.message) == (not tells)
    assert len(done.successful.commands) == (1 if tells else 0)


class KeepsTime(Plays):
    """Starts and cancels timers in its first task."""

    def __init__(self, starts: Sequence[int], cancels: Sequence[int]) -> None:
        super().__init__()
        self.starts, self.cancels = starts, cancels

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        done = super().activate(act)
        if len(self.played) == 1:
            for seq in self.starts:
                done.successful.commands.add().start_timer.seq = seq
            for seq in self.cancels:
                done.successful.commands.add().cancel_timer.seq = seq
        return done


@pytest.mark.parametrize(
    ("starts", "cancels", "recorded"),
    [([5], [], 1), ([], [4], 1), ([5], [4], 2), ([5], [5], 0), ([5, 6], [4, 5], 2)],
)
def test_a_timer_that_is_started_and_cancelled_in_one_task_is_no_event(
    starts: Sequence[int], cancels: Sequence[int], recorded: int
) -> None:
    plays = KeepsTime(starts, cancels)
    instance = CaseInstance(plays, deque())
    for before in (told(10, signals=1), told(10, query="with the task")):
        instance.activate(before)
    with_the_query = told(10 + recorded + 5, signals=1, ended=1)
    assert instance.activate(with_the_query).failed.failure.message == ""
    assert plays.played[2:] == [told(10, ended=1), told(10 + recorded + 5, signals=1)]


def test_a_timer_that_fires_with_the_message_whose_step_cancels_it_is_one_event() -> None:
    """The SDK tells signals first: the timer is cancelled before it is told of, and Temporal ignores that command."""
    plays = KeepsTime([], [4])
    instance = CaseInstance(plays, deque())
    both = told(10, signals=1)
    both.jobs.add().fire_timer.seq = 4
    for before in (both, told(10, query="with the task")):
        instance.activate(before)
    instance.activate(told(15, signals=1, ended=1))
    assert plays.played[2:] == [told(10, ended=1), told(15, signals=1)]


async def test_a_worker_goes_on_with_the_code_that_it_began_with(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever pulls new code beneath a running worker gets it with the next start, all of it at once."""
    name, queue = f"says_{uuid4().hex}", uuid4().hex
    file = tmp_path / f"{name}.py"
    file.write_text(SAYS.format("as it began"))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    says = importlib.import_module(name).Says
    async with build_worker(desk.client, desk.database, load_policy(None), task_queue=queue, more_workflows=[says]):
        file.write_text(SAYS.format("something quite new"))
        importlib.invalidate_caches()
        for _ in range(2):
            answer = await desk.client.execute_workflow("Says", id=uuid4().hex, task_queue=queue)
            assert answer == "as it began"
    del sys.modules[name]
