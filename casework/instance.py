"""One workflow in a worker's memory, and three things in which it is told otherwise than by Temporal's SDK (1.35).

Each can go when the test that holds it passes without it: what a payload belongs to (`tests/test_sandbox.py`; it is
only for speed), the order in which steps end (`tests/workflows/test_replay.py`), a query's lead
(`tests/chaos/test_queries.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from temporalio.bridge.proto.workflow_activation import WorkflowActivation, WorkflowActivationJob
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import SerializationContext, StorageDriverStoreContext
from temporalio.worker import WorkflowInstance
from temporalio.workflow import Info

MOMENTARY: Final = "Fatal error in workflow machines"
"""What a query in the moment of a change is told, by Temporal's SDK (a step on the shop may end, as it looks at the
history, before an event that is in the history already) or by `CaseInstance`. A moment later it is answered."""
DIRECT_QUERY: Final = "legacy_query"
"""Temporal's SDK calls a query so that comes by itself, without a workflow task."""
MOST_REMEMBERED: Final = 1_000
"""So many refused queries are remembered."""
_CHANGES_NOTHING: Final = ("query_workflow", "remove_from_cache")
_EVENTS_OF_A_TASK: Final = 3
"""From one workflow task's start to the next one's: completed, scheduled, started."""
_EVENTS_OF_JOBS: Final[Mapping[str | None, int]] = {"signal_workflow": 1, "fire_timer": 1, "do_update": 0}
"""How many events have led to what a workflow is told. (An update has none until it is accepted.)"""
_EVENTS_OF_COMMANDS: Final[Mapping[str | None, int]] = {
    "update_response": 1,
    "start_timer": 1,
    "cancel_timer": 1,
    "upsert_workflow_search_attributes": 1,
    "schedule_local_activity": 0,
}
"""How many events a command becomes. (A timer that is cancelled in the task that has started it becomes none.) Of no
other is that certain: an activity may be started with the task."""
_ENDS: Final = (
    "complete_workflow_execution",
    "continue_as_new_workflow_execution",
    "fail_workflow_execution",
    "cancel_workflow_execution",
)


class CaseInstance(WorkflowInstance):
    """The SDK's instance of a workflow, wrapped.

    Nobody asks for each payload in it to which activity, timer or child the payload belongs. Temporal's SDK asks so
    three times a payload, for converters and codecs that depend on it: a quarter of a worker's CPU. Ours does not (a
    test holds that).

    The workflow is told of the ends of its steps in the order of its replay: see `_InOrderOfReplay`.

    And it does not go on with a lead that a query gave it. A worker that does not have the workflow is given its
    history with a query, and that may end with a timer, a signal or an answer whose workflow task has not begun, or is
    another worker's: the SDK plays them all the same. If the task then came to this worker, together with what has
    come meanwhile, it would be recorded in an order that no replay can repeat (`tests/chaos/test_queries.py`).

    So a query fails where an instance that was made by a replay has gone beyond it once: with that, the SDK forgets
    the workflow, and whoever asks again (`casework.execution.queried`) is answered from a new replay. (So is told,
    once, who asks a workflow at rest that has had one task since its worker began: from here that looks the same.) One
    that leads as far again is answered, as a closed workflow may end so; then the next workflow task fails instead,
    once, and is given out again with the whole history.
    """

    def __init__(self, sandboxed: WorkflowInstance, refused: deque[tuple[str, int]]) -> None:
        """`refused`: which queries the worker has refused, by run and by how far they led."""
        self._sandboxed = sandboxed
        self._in_order = _InOrderOfReplay(sandboxed)
        self._refused = refused
        self._replayed = False
        """Whether it was made by a replay, not by a workflow's first task."""
        self._beyond: set[int] = set()
        """How many events there were each time that it went beyond the replay."""
        self._leads = False
        """Whether a query was answered that may have taken it further than its own workflow tasks."""

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        """As the SDK's, but for what is said above."""
        if any(job.query_workflow.query_id == DIRECT_QUERY for job in act.jobs):
            if self._replayed and len(self._beyond) == 1:
                lead = (act.run_id, max(self._beyond))
                if lead not in self._refused:
                    self._refused.append(lead)
                    return _failed("asked in the moment of a change; ask again")
                self._leads = True
            return self._sandboxed.activate(act)
        if all(job.WhichOneof("variant") in _CHANGES_NOTHING for job in act.jobs):
            self._in_order.note_query()
            return self._sandboxed.activate(act)
        if self._leads:
            return _failed("it went on with a query's lead; the task is given out again")
        if act.is_replaying:
            self._replayed = True
        else:
            self._beyond.add(act.history_length)
        return self._in_order.activate(act)

    def get_serialization_context(self, command_info: object) -> SerializationContext | None:  # noqa: ARG002 - the SDK's
        """None: no converter or codec of ours asks for it."""
        return None

    def get_external_store_context(self, command_info: object) -> StorageDriverStoreContext:  # noqa: ARG002 - the SDK's
        """Of nothing in particular: there is no external store."""
        return StorageDriverStoreContext(target=None)

    def get_info(self) -> Info:
        """As the SDK's."""
        return self._sandboxed.get_info()

    def get_thread_id(self) -> int | None:
        """As the SDK's."""
        return self._sandboxed.get_thread_id()


class _InOrderOfReplay:
    """Tells a workflow of the ends of its steps (local activities) in the order in which a replay will.

    A query that came with a workflow task ends it with its answer, also while a step is under way. If the step ended
    just then, its end is on record with that task, but told with the next one, after the messages that came meanwhile;
    a replay is told of it as part of the first task, and where an update was accepted meanwhile, the workflow is stuck
    at its next eviction. So it is told as in the replay. If the step ended a moment later, it is on record with the
    next task, and Temporal's order is right.

    Only the number of events says which it is. Where that cannot be known, the workflow task fails, once, and is given
    out again with the whole history. (Whoever waits for an update that came with it is told to send it again.) An event
    that nobody tells the workflow of, as when an operator changes its options in that very moment, counts as a step's
    end.

    No order is right where a timer has fired in that moment too that the workflow cancels because of the step's end:
    its history has the end without the cancellation. So a workflow must have no such timer while a step is under way
    (`CaseSteps.in_shop`).
    """

    def __init__(self, sandboxed: WorkflowInstance) -> None:
        self._sandboxed = sandboxed
        self._task = WorkflowActivation()
        """What it was told last, of its own workflow task."""
        self._recorded: int | None = None
        """How many events that task has recorded so far; None: that cannot be known."""
        self._started: set[int] = set()
        """Which timers it has started."""
        self._was_queried = False
        """Whether a query's answer has ended that task."""

    def note_query(self) -> None:
        """A query's answer ends the workflow task that it came with."""
        self._was_queried = True

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        """Tell the workflow what its task brings."""
        ended = [job for job in act.jobs if job.resolve_activity.is_local]
        others = [job for job in act.jobs if not job.resolve_activity.is_local]
        ends_on_record = len(ended)
        if self._was_queried and ended:
            unexplained = self._unexplained_events(act.history_length, others)
            if unexplained == len(ended):
                done, ends_on_record = self._tell_ends_first(ended, act, others), 0
            elif unexplained == 0 or not others:
                done = self._sandboxed.activate(act)
            else:
                done = _failed("a step ended while a query was answered; the task is given out again")
        else:
            done = self._sandboxed.activate(act)
        if self._task.history_length == act.history_length:
            before = self._recorded
        else:
            before, self._started = 0, set()
        now = _events_of_commands(act, done, self._started)
        self._recorded = None if before is None or now is None else before + now + ends_on_record
        self._task, self._was_queried = act, False
        return done

    def _unexplained_events(self, history_length: int, others: Sequence[WorkflowActivationJob]) -> int | None:
        """How many events there are that nothing else explains: the ends of steps that are told with these jobs."""
        if self._recorded is None or any(job.WhichOneof("variant") not in _EVENTS_OF_JOBS for job in others):
            return None
        came = sum(_EVENTS_OF_JOBS[job.WhichOneof("variant")] for job in others)
        return history_length - self._task.history_length - self._recorded - came - _EVENTS_OF_A_TASK

    def _tell_ends_first(
        self, ended: Sequence[WorkflowActivationJob], act: WorkflowActivation, others: Sequence[WorkflowActivationJob]
    ) -> WorkflowActivationCompletion:
        """Tell it of the ends of steps as in the task before, then of what has come since."""
        first, then = WorkflowActivation(), WorkflowActivation()
        for part, like, jobs in ((first, self._task, ended), (then, act, others)):
            part.CopyFrom(like)
            del part.jobs[:]
            part.jobs.extend(jobs)
        done = self._sandboxed.activate(first)
        if not others or done.HasField("failed"):
            return done
        if any(command.WhichOneof("variant") in _ENDS for command in done.successful.commands):
            return _failed("it ended while a query was answered; the task is given out again")
        rest = self._sandboxed.activate(then)
        if rest.HasField("failed"):
            return rest
        done.successful.MergeFrom(rest.successful)
        return done


def _events_of_commands(act: WorkflowActivation, done: WorkflowActivationCompletion, started: set[int]) -> int | None:
    """How many events the commands become that a workflow answers with; None: that cannot be known from here.

    `started`: the timers that were started in this workflow task, to which those of the commands are added.
    """
    commands = done.successful.commands
    if any(command.WhichOneof("variant") not in _EVENTS_OF_COMMANDS for command in commands):
        return None
    started |= {one.start_timer.seq for one in commands if one.HasField("start_timer")}
    cancelled = {one.cancel_timer.seq for one in commands if one.HasField("cancel_timer")}
    # the SDK tells signals first: what they have cancelled has fired already, and Temporal ignores the command
    fired = {job.fire_timer.seq for job in act.jobs if job.HasField("fire_timer")}
    accepted = {
        one.update_response.protocol_instance_id for one in commands if one.update_response.HasField("accepted")
    }
    came = {job.do_update.protocol_instance_id for job in act.jobs} - accepted
    unrecorded = [
        one
        for one in commands
        if one.update_response.HasField("rejected") and one.update_response.protocol_instance_id in came
    ]
    every = sum(_EVENTS_OF_COMMANDS[one.WhichOneof("variant")] for one in commands)
    return every - len(unrecorded) - 2 * len(cancelled & started) - len(cancelled & fired)


def _failed(why: str) -> WorkflowActivationCompletion:
    failed = WorkflowActivationCompletion()
    failed.failed.failure.message = f"{MOMENTARY}: {why}"
    return failed
