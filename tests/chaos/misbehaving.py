"""Activities that fail, hang, answer too late and are done twice: each of a flow does all of it, once."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from temporalio import activity, workflow
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    StartActivityInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

FAILS, HANGS, LATE, TWICE = "fails", "hangs", "answers late", "is done twice"
WAYS: Final = (FAILS, HANGS, LATE, TWICE)
"""What the attempts of a step do, one after the other; the one that is done twice is answered."""
ATTEMPT: Final = timedelta(seconds=0.5)
"""How long an attempt may take here: in production 20 s on the shop, 30 s outside it."""
BETWEEN: Final = timedelta(milliseconds=50)
PATIENCE: Final = timedelta(seconds=30)
"""How long an attempt outside the shop hangs at most, where no other one follows."""


class OutOfOrder(Exception):
    """What fails here for no reason at all."""


class Misbehaving(Interceptor):
    """Every activity, where the first case of a flow first comes by it, fails, then hangs, then is done and answered
    too late, then is done twice.
    """

    def __init__(self) -> None:
        """Nothing has misbehaved yet."""
        self.done: Counter[tuple[str, str]] = Counter()
        """By activity and way, how often."""
        self._left: dict[tuple[str | None, str], tuple[str | None, Iterator[str]]] = {}
        """By flow and activity, the run in which it misbehaves, and the ways that are left."""
        self._newest: dict[tuple[str | None, str], int] = {}
        """By run and step, the attempt that has begun last."""

    def way(self, info: activity.Info) -> str | None:
        """What this attempt does; None: it behaves."""
        # by the run, not by the step in it: a workflow task that took too long is done anew, and its steps, which are
        # not in the history yet, may come in another order
        self._newest[info.workflow_run_id, info.activity_id] = info.attempt
        run, ways = self._left.setdefault((info.workflow_type, info.activity_type), (info.workflow_run_id, iter(WAYS)))
        way = next(ways, None) if info.workflow_run_id == run else None
        if way is not None:
            self.done[info.activity_type, way] += 1
        return way

    def hang(self) -> None:
        """Until the attempt is given up. Outside the shop nobody says so, but that the next one begins: a busy server
        gives one up later than it is to, and would take its answer until then.
        """
        info = activity.info()
        most = 2 * ATTEMPT if info.is_local else PATIENCE
        given_up = time.monotonic() + most.total_seconds()
        step = info.workflow_run_id, info.activity_id
        while time.monotonic() < given_up and not activity.is_cancelled() and self._newest[step] <= info.attempt:
            threading.Event().wait(BETWEEN.total_seconds())

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        """Stand in front of every activity."""
        return _Activity(next, self)

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002, ARG002 - the SDK's names
        """Shorten what a workflow waits for an attempt."""
        return _Workflow


class _Activity(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, misbehaving: Misbehaving) -> None:
        super().__init__(following)
        self._misbehaving = misbehaving

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        way, honest = self._misbehaving.way(activity.info()), input.fn

        def misbehave(*arguments: Any) -> Any:
            if way == FAILS:
                raise OutOfOrder
            if way == HANGS:
                self._misbehaving.hang()
            answer = honest(*arguments)
            if way == LATE:
                self._misbehaving.hang()
            return honest(*arguments) if way == TWICE else answer

        input.fn = misbehave
        return await super().execute_activity(input)


class _Workflow(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))


class _Outbound(WorkflowOutboundInterceptor):
    def __init__(self, following: WorkflowOutboundInterceptor) -> None:
        super().__init__(following)
        self._come_by: set[str] = set()

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002 - the SDK's name
        return super().start_activity(replace(input, **self._shorter(input)))

    def start_local_activity(self, input: StartLocalActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002 - the SDK's name
        return super().start_local_activity(replace(input, **self._shorter(input)))

    def _shorter(self, given: StartActivityInput | StartLocalActivityInput) -> dict[str, Any]:
        """Nobody waits for the attempts of the one that misbehaves as long as in production."""
        if given.activity in self._come_by or given.retry_policy is None:
            return {}
        self._come_by.add(given.activity)
        again_soon = replace(given.retry_policy, initial_interval=BETWEEN)
        return {"start_to_close_timeout": ATTEMPT, "retry_policy": again_soon}
