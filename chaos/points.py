"""Chosen moments at which a process is killed: an interceptor that only a worker of the harness has.

Production code knows nothing of it. Files tell the processes what to do: `points.json`, what is planned; `pids/NAME`,
the process of that name now; `reached/NUMBER`, that a point was reached, so that it kills once.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, cast

from sqlalchemy import Engine, event
from temporalio import activity, workflow
from temporalio.worker import (
    ActivityInboundInterceptor,
    ContinueAsNewInput,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    Interceptor,
    StartActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from activities.cases import CloseCase, OpenCase

When = Literal["before", "commit", "after"]
CONTINUE_AS_NEW: Final = "continue_as_new"
"""The point before a case continues as new, or (`after`) where its next run begins."""
WORKER, SERVER, DATABASE = "worker", "server", "database"
"""Whom a point kills: the very worker that reaches it, or one of the others by its name."""
_REACH, _SHORTEN = "casework_chaos_reach", "casework_chaos_shorten"


@dataclass(frozen=True, slots=True)
class Point:
    """A moment of one order's case: around the activity of this name, whether local or not.

    `commit`: all is written, and the transaction that it is written in is not committed yet.
    """

    number: int
    about: str
    """The order's id, or the case's."""
    name: str
    when: When
    victim: str

    def __str__(self) -> str:
        return f"{self.victim} {self.when} {self.name} of {self.about}"


class PointsFolder:
    """The files by which the harness and its workers tell each other of points."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self._plan = folder / "points.json"
        self._pids = folder / "pids"
        self._reached = folder / "reached"

    def plan(self, points: Sequence[Point]) -> None:
        """Say which points there are, before any worker is started."""
        self._pids.mkdir(parents=True)
        self._reached.mkdir()
        self._plan.write_text(json.dumps([asdict(one) for one in points]))

    def planned(self) -> list[Point]:
        """The points that there are."""
        return [Point(**one) for one in json.loads(self._plan.read_text())]

    def runs(self, name: str, pid: int) -> None:
        """Say that this is the process of the name from now on."""
        (self._pids / f"{name}.new").write_text(str(pid))
        (self._pids / f"{name}.new").replace(self._pids / name)

    def reached(self) -> set[int]:
        """The numbers of the points that have killed."""
        return {int(one.name) for one in self._reached.iterdir()}

    def kill_once(self, point: Point) -> None:
        """Kill whom the point names, unless it has killed before."""
        try:
            (self._reached / str(point.number)).touch(exist_ok=False)
        except FileExistsError:
            return
        if point.victim == WORKER:
            os.kill(os.getpid(), signal.SIGKILL)
        with suppress(ProcessLookupError):  # it is down already
            os.kill(int((self._pids / point.victim).read_text()), signal.SIGKILL)


class Killer(Interceptor):
    """Kills where a point says so. A worker has one.

    `outside_seconds`: how long one attempt at what leaves the shop may take, so that nobody waits half a minute for
    a payment whose worker was killed.
    """

    def __init__(self, folder: PointsFolder, *, outside_seconds: float) -> None:
        """Read the plan."""
        self._folder = folder
        self._points = {(one.name, one.when, one.about): one for one in folder.planned()}
        self._outside = timedelta(seconds=outside_seconds)
        event.listen(Engine, "commit", self._before_commit)

    def reach(self, name: str, when: When, about: str) -> None:
        """A point that may be planned is reached."""
        point = self._points.get((name, when, about))
        if point is not None:
            self._folder.kill_once(point)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        """Stand in front of every activity."""
        return _Activity(next, self)

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002 - the SDK's name
        """Stand in front of every workflow, with a way out of its sandbox."""
        ways_out = cast("MutableMapping[str, Any]", input.unsafe_extern_functions)  # pyright: ignore[reportUnknownMemberType]
        ways_out[_REACH], ways_out[_SHORTEN] = self.reach, self._shorten
        return _Workflow

    def _before_commit(self, _connection: object) -> None:
        here = _in_activity.get()
        if here is not None:
            self.reach(here[0], "commit", here[1])

    def _shorten(self, given: StartActivityInput) -> StartActivityInput:
        if given.start_to_close_timeout is None:
            return given
        return replace(given, start_to_close_timeout=min(given.start_to_close_timeout, self._outside))


_in_activity: ContextVar[tuple[str, str] | None] = ContextVar("in_activity", default=None)
"""The activity's name and its order, on its own thread too."""


class _Activity(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, killer: Killer) -> None:
        super().__init__(following)
        self._killer = killer

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        name, about = activity.info().activity_type, order_of(input)
        _in_activity.set((name, about))
        self._killer.reach(name, "before", about)
        answer = await super().execute_activity(input)
        self._killer.reach(name, "after", about)
        return answer


class _Workflow(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002 - the SDK's name
        if workflow.info().continued_run_id:
            _reach("after")
        return await super().execute_workflow(input)


class _Outbound(WorkflowOutboundInterceptor):
    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:  # noqa: A002 - the SDK's name
        _reach("before")
        super().continue_as_new(input)

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002 - the SDK's name
        return super().start_activity(_way_out(_SHORTEN)(input))


def _reach(when: When) -> None:
    _way_out(_REACH)(CONTINUE_AS_NEW, when, workflow.info().workflow_id)


def _way_out(name: str) -> Callable[..., Any]:
    """A function of the worker's that a workflow may call from its sandbox."""
    functions = cast("Mapping[str, Any]", workflow.extern_functions())  # pyright: ignore[reportUnknownMemberType]
    return functions[name]


def order_of(given: ExecuteActivityInput) -> str:
    """The order that an activity is about; empty where it is about none."""
    if not given.args:
        return ""
    request = given.args[0]
    if isinstance(request, OpenCase):
        return request.start.get("order_id", "")
    return request.view.order_id if isinstance(request, CloseCase) else getattr(request, "order_id", "")
