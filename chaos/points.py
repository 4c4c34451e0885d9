"""Chosen moments at which a process is killed: an interceptor that only a worker of the harness has.

Production code knows nothing of it. Files tell the processes what to do: `points.json`, what is planned; `pids/NAME`,
the process of that name now; `reached/NUMBER`, that a point was reached, so that it kills once, with the tables that
the transaction had written in then; `killed/PID`, whom a point has killed.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, cast

from sqlalchemy import Connection, Delete, Engine, Insert, Update, event
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
DELIVER: Final = "deliver"
"""The point before a message of the outbox is handed over, or (`after`) handed over and not noted as sent yet."""
WORKER, SERVER, DATABASE = "worker", "server", "database"
"""Whom a point kills: the very worker that reaches it, or one of the others by its name."""
_REACH, _SHORTEN = "casework_chaos_reach", "casework_chaos_shorten"
_WRITTEN: Final = "casework_chaos_written"
_NOTES: Final = frozenset(
    # a case's moves (`activities.steps.note_moves`), and that a fault that happens once has happened
    {("cases", Update), ("waits", Insert), ("waits", Update), ("waits", Delete), ("faults", Delete)}
)
"""What a transaction may write without anything being done by it that an activity is for."""


@dataclass(frozen=True, slots=True)
class Point:
    """A moment of one order's case: around the activity of this name, whether local or not.

    `commit`: what the activity is for is written, and the transaction that it is written in is not committed yet.
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
        self._killed = folder / "killed"

    def plan(self, points: Sequence[Point]) -> None:
        """Say which points there are, before any worker is started."""
        for one in (self._pids, self._reached, self._killed):
            one.mkdir(parents=True)
        self._plan.write_text(json.dumps([asdict(one) for one in points]))

    def planned(self) -> list[Point]:
        """The points that there are."""
        return [Point(**one) for one in json.loads(self._plan.read_text())]

    def runs(self, name: str, pid: int) -> None:
        """Say that this is the process of the name from now on."""
        (self._pids / f"{name}.new").write_text(str(pid))
        (self._pids / f"{name}.new").replace(self._pids / name)

    def reached(self) -> dict[int, list[str]]:
        """The numbers of the points that were reached, with the tables that were written in and not committed then."""
        return {int(one.name): one.read_text().split() for one in self._reached.iterdir()}

    def kills(self) -> int:
        """How many processes the points have killed: one whose victim was down already has killed nobody."""
        return len([*self._killed.iterdir()])

    def kill_once(self, point: Point, written: Collection[str]) -> None:
        """Kill whom the point names, unless it was reached before. `written`: tables, in what is not committed yet."""
        try:
            with (self._reached / str(point.number)).open("x") as file:
                file.write(" ".join(sorted(written)))
        except FileExistsError:
            return
        itself = point.victim == WORKER
        pid = os.getpid() if itself else int((self._pids / point.victim).read_text())
        killed = self._killed / str(pid)
        try:
            killed.touch(exist_ok=False)
        except FileExistsError:  # another point has killed it, and nobody has started it again yet
            return
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:  # it is down already
            killed.unlink()


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
        event.listen(Engine, "begin", _nothing_written)
        event.listen(Engine, "after_execute", _note_written)
        event.listen(Engine, "commit", self._before_commit)

    def reach(self, name: str, when: When, about: str, written: Collection[str] = ()) -> None:
        """A point that may be planned is reached."""
        point = self._points.get((name, when, about))
        if point is not None:
            self._folder.kill_once(point, written)

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        """Stand in front of every activity."""
        return _Activity(next, self)

    def workflow_interceptor_class(self, input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:  # noqa: A002 - the SDK's name
        """Stand in front of every workflow, with a way out of its sandbox."""
        ways_out = cast("MutableMapping[str, Any]", input.unsafe_extern_functions)  # pyright: ignore[reportUnknownMemberType] - the SDK's
        ways_out[_REACH], ways_out[_SHORTEN] = self.reach, self._shorten
        return _Workflow

    def _before_commit(self, connection: Connection) -> None:
        here, written = _in_activity.get(), _written(connection)
        # whoever asks somebody outside commits a note of the case's moves first; an end that has nothing to release
        # writes no more than that, and is none
        if here is not None and (written - _NOTES or here[0] == "close_case"):
            self.reach(here[0], "commit", here[1], {table for table, _ in written})

    def _shorten(self, given: StartActivityInput) -> StartActivityInput:
        if given.start_to_close_timeout is None:
            return given
        return replace(given, start_to_close_timeout=min(given.start_to_close_timeout, self._outside))


_in_activity: ContextVar[tuple[str, str] | None] = ContextVar("in_activity", default=None)
"""The activity's name and its order, on its own thread too."""


def _nothing_written(connection: Connection) -> None:
    connection.info[_WRITTEN] = set()


def _note_written(connection: Connection, statement: object, *_: object) -> None:
    if isinstance(statement, Insert | Update | Delete):
        _written(connection).add((str(statement.table), type(statement)))


def _written(connection: Connection) -> set[tuple[str, type]]:
    """The tables that the transaction on this connection has written in so far, and how."""
    return connection.info.setdefault(_WRITTEN, set())


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
    functions = cast("Mapping[str, Any]", workflow.extern_functions())  # pyright: ignore[reportUnknownMemberType] - the SDK's
    return functions[name]


def order_of(given: ExecuteActivityInput) -> str:
    """The order that an activity is about; empty where it is about none."""
    if not given.args:
        return ""
    request = given.args[0]
    if isinstance(request, OpenCase):
        return request.start.get("order_id", "")
    return request.view.order_id if isinstance(request, CloseCase) else getattr(request, "order_id", "")
