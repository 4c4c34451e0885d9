"""The tests' hands: open cases, send messages, let time pass and read what came of it, on the real server."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy.orm import Session
from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, ResetReapplyType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError
from temporalio.testing import TimeSkipper
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.gifts import GiftStep
from casework.case import CaseView
from casework.instance import MOMENTARY
from casework.money import LineQuantity
from casework.names import TASK_QUEUE, WORKFLOW_TYPES
from casework.shop import notices, outside, records
from casework.shop.database import Database
from casework.shop.tables import GiftRow
from casework.skipping import RunSoFar, let_pass, skip_past, so_far, until_longer_than, until_rung
from casework.templates import Post
from casework.verifying.books import paid_by
from chaos.audit import unsound_case
from chaos.points import order_of
from state_machines.common import CANCEL
from state_machines.flows import FLOWS
from state_machines.table import Money
from tests.orders import add_order
from tests.planted import plant

Handle = WorkflowHandle[Any, Any]
FLOW = "refund-before-shipping"
ENDED = (
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
)

ENDS_WITHIN_SECONDS = 5
"""A case that has all that it waits for has ended by then, or time passes for it while it is not at work."""
LONGEST_TO_THE_END = timedelta(days=60)
"""An alarm would sound for ever."""
MOST_DEADLINES = 10
"""So many deadlines pass on the way to a state at most: an alarm sounds again and again."""

_order_numbers = itertools.count(1)


class Gates(Interceptor):
    """Stops a chosen activity of a chosen order before it runs, so that a test can act in exactly that moment."""

    def __init__(self) -> None:
        """Nothing is stopped at first."""
        self.stopped: dict[tuple[str, str], tuple[asyncio.Event, asyncio.Event]] = {}
        self.budgets: dict[str, int] = {}
        """By order, the month's budget for gifts, in fen, that its cases go by instead of the policy's: all tests share
        one shop, and so one month."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        """Put the gate in front of every activity."""
        return _Gate(next, self)


class _Gate(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, gates: Gates) -> None:
        super().__init__(following)
        self._gates = gates

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        for name in (activity.info().activity_type, *_templates(input)):
            gate = self._gates.stopped.get((name, order_of(input)))
            if gate is not None:
                reached, go_on = gate
                reached.set()
                await go_on.wait()
        budget = self._gates.budgets.get(order_of(input))
        if budget is not None and isinstance(input.args[0], GiftStep):
            input.args = [input.args[0].model_copy(update={"monthly_budget_fen": budget}), *input.args[1:]]
        return await super().execute_activity(input)


def _templates(given: ExecuteActivityInput) -> list[str]:
    """What the activity posts: many states post messages, and each says something else."""
    posts: Sequence[Post] = getattr(given.args[0], "posts", ()) if given.args else ()
    return [post.template for post in posts]


@workflow.defn(name="ParentOfTheTests")
class ParentOfTheTests:
    """Opens a case as another case would."""

    @workflow.run
    async def run(self, flow: str, start: dict[str, Any], case_id: str, task_seconds: float | None) -> None:
        """Start the child, with this workflow task timeout, and leave it behind."""
        await workflow.start_child_workflow(
            WORKFLOW_TYPES[flow],
            {**start, "from_case": workflow.info().workflow_id},
            id=case_id,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            task_timeout=None if task_seconds is None else timedelta(seconds=task_seconds),
        )


@dataclass
class Desk:
    """One shop, one server, its workers: what a test needs to play operations, staff and the world."""

    skipper: TimeSkipper
    client: Client
    database: Database
    gates: Gates
    task_queues: dict[str, str] = field(default_factory=dict[str, str])
    """Task queues of workers with another policy, by the policy's name."""
    task_queue: str = TASK_QUEUE

    # --- the shop ---

    def order(self, *, prices: Sequence[tuple[int, int]] = ((10_000, 1),), **options: Any) -> str:
        """A new paid, unshipped order of lines (price in fen, quantity); the options are those of `add_order`.

        Its free texts are planted: at the end of the run, none of them may be in Temporal.
        """
        order_id = f"33000199{next(_order_numbers):011d}"
        with self.database.writing() as session:
            add_order(session, order_id, prices=prices, **options)
            plant(session, order_id)
        return order_id

    def gift(self, sku: str, cost_fen: int, *, stock: int = 1_000_000) -> str:
        """A gift of the catalogue that is worth twice what it costs; answers with its number."""
        with self.database.writing() as session:
            session.merge(
                GiftRow(
                    sku=sku,
                    name="赠品",
                    cost_fen=cost_fen,
                    value_fen=2 * cost_fen,
                    stock=stock,
                    imported_stock=stock,
                )
            )
        return sku

    def fail(self, what: str, order_id: str, how: str) -> None:
        """Let payments or intercepts of the order fail once, always or never."""
        with self.database.writing() as session:
            outside.fail(session, what=what, id=order_id, how=how)

    def without_telling(self, happens: Callable[[Session], object]) -> None:
        """Let something happen outside of which no case hears."""
        with self.database.writing() as session:
            happens(session)
            for notice in notices.pending(session):
                notices.told(session, notice.id)

    def ship_without_telling(self, order_id: str) -> None:
        """The platform's word wins over a hold, and the case has not heard of it yet."""
        self.without_telling(lambda session: outside.ship(session, order_id, at=datetime.now(UTC), force=True))

    def ship_line(self, order_id: str, line: int, waybill: str) -> None:
        """One line leaves in a parcel of its own."""
        with self.database.writing() as session:
            outside.ship(session, order_id, lines=[line], waybill=waybill, at=datetime.now(UTC))

    async def platform_ships(self, handle: Handle) -> None:
        """The lines leave after all, and the case is told."""
        self.ship_without_telling(self.order_of(handle))
        await handle.signal("order_gone", {"by": "system"})

    def platform_refunds_line(self, order_id: str, line: int) -> None:
        """The platform pays the buyer for one line, and no case hears of it."""
        lines = [LineQuantity(line=line, quantity=1)]
        self.without_telling(lambda session: outside.refunded(session, order_id, lines, at=datetime.now(UTC)))

    def platform_refunds_order(self, order_id: str) -> None:
        """The platform pays the buyer for all that is left, and no case hears of it."""
        self.without_telling(lambda session: outside.refunded(session, order_id, at=datetime.now(UTC)))

    async def platform_refunds(self, handle: Handle) -> None:
        """The platform pays the buyer, and the case is told."""
        self.platform_refunds_order(self.order_of(handle))
        await handle.signal("order_gone", {"by": "system"})

    # --- the case ---

    def with_policy(self, name: str) -> Desk:
        """The same desk, whose cases are opened by a worker with another policy."""
        return replace(self, task_queue=self.task_queues[name])

    def order_of(self, handle: Handle) -> str:
        """The order that a case is about."""
        return handle.id.removeprefix(f"{FLOW}-").split("-")[0]

    async def open_case(
        self,
        flow: str,
        case_id: str,
        fields: dict[str, Any],
        *,
        task_timeout: timedelta | None = None,
        parent: str | None = None,
        start_signal: tuple[str, dict[str, Any]] | None = None,
    ) -> Handle:
        """Open a case of any flow by a plain start; with `parent`, as the child of a workflow of that id."""
        if parent is None:
            return await self.client.start_workflow(
                WORKFLOW_TYPES[flow],
                fields,
                id=case_id,
                task_queue=self.task_queue,
                task_timeout=task_timeout,
                start_signal=start_signal[0] if start_signal else None,
                start_signal_args=[start_signal[1]] if start_signal else [],
            )
        await self.client.execute_workflow(
            ParentOfTheTests.run,
            args=[flow, fields, case_id, None if task_timeout is None else task_timeout.total_seconds()],
            id=parent,
            task_queue=self.task_queue,
        )
        return self.client.get_workflow_handle(case_id)

    async def start(
        self,
        order_id: str,
        *,
        case_id: str | None = None,
        task_timeout: timedelta | None = None,
        start_signal: tuple[str, dict[str, Any]] | None = None,
        **fields: Any,
    ) -> Handle:
        """Open a refund before shipping by a plain start, without the client's own checks."""
        return await self.open_case(
            FLOW,
            case_id or f"{FLOW}-{order_id}",
            {"order_id": order_id, "by": "aftersale.1", **fields},
            task_timeout=task_timeout,
            start_signal=start_signal,
        )

    async def last_task(self, handle: Handle) -> int:
        """The workflow task that the case has done last."""
        completed = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        return [event.event_id async for event in handle.fetch_history_events() if event.event_type == completed][-1]

    async def take_back(self, handle: Handle, task: int) -> None:
        """Take a case back to before what it did in a workflow task, as `casework retry` says, and forget what it was
        sent since.
        """
        described = await handle.describe()
        await self.client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=self.client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=described.run_id),
                reason="casework retry",
                workflow_task_finish_event_id=task,
                request_id=uuid4().hex,
                reset_reapply_type=ResetReapplyType.RESET_REAPPLY_TYPE_NONE,
            ),
            # a server that is too slow for its own database says only "please retry"; the id makes it one reset
            retry=True,
        )

    async def open_in(self, state: str, order_id: str, **fields: Any) -> Handle:
        """Open a refund and wait until it is in the state."""
        handle = await self.start(order_id, **fields)
        await self.until(handle, state)
        return handle

    async def start_from_bulk_order(
        self, order_id: str, *, case_id: str | None = None, task_timeout: timedelta | None = None, **fields: Any
    ) -> Handle:
        """Open a refund as the child of a bulk order that was ended."""
        start = {"order_id": order_id, "by": "system", "order_terminated": True, **fields}
        return await self.open_case(
            FLOW,
            case_id or f"{FLOW}-{order_id}",
            start,
            task_timeout=task_timeout,
            parent=f"bulk-order-{order_id}",
        )

    async def view(self, handle: Handle) -> CaseView:
        """What query `case` answers.

        Asked again where Temporal's SDK looked at the history in the moment of a change: a step on the shop may end
        there before an event that is in the history already (see docs/how-it-works.md).
        """
        while True:
            try:
                return CaseView.model_validate(await handle.query("case"))
            except WorkflowQueryFailedError as error:
                if MOMENTARY not in str(error):
                    raise
                await self._goes_on(handle)
            except RPCError as error:
                # the case has just continued as new: its next run begins in a moment
                if error.message != "Workflow task is not scheduled yet.":
                    raise
                async for event in handle.fetch_history_events(wait_new_event=True):
                    if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
                        break

    async def _goes_on(self, handle: Handle) -> None:
        """Wait until the workflow task that is under way, if one is, has added to the history, or is dropped: one that
        brings only an update that is refused leaves nothing.
        """
        description = await handle.describe()
        length = description.history_length
        while description.raw_description.HasField("pending_workflow_task") and description.history_length == length:
            description = await handle.describe()

    async def until(self, handle: Handle, *states: str) -> CaseView:
        """Wait until the case is in one of the states."""
        return await self.until_shown(handle, lambda view: view.state in states, " or ".join(states))

    async def first_opened_by(self, handle: Handle) -> Handle:
        """Wait until the case has opened another one, and answer with that: a state is shown before that is done."""
        view = await self.until_shown(handle, lambda view: view.links != [], "opened a case")
        return self.client.get_workflow_handle(view.links[0])

    async def until_shown(self, handle: Handle, holds: Callable[[CaseView], bool], what: str) -> CaseView:
        """Wait until the view shows what is wanted; every new event of the case's history is a chance to look."""
        async for view in self._views(handle):
            if holds(view):
                return view
            if view.final:
                raise AssertionError(f"{handle.id} ended in {view.state}: never {what}")
        return await self.until_shown(handle, holds, what)  # it has continued as new

    async def _views(self, handle: Handle) -> AsyncIterator[CaseView]:
        """What the case shows now, and each time that its history has grown by a workflow task or its end.

        Much that has happened meanwhile is one look: each asks a worker.
        """
        events = handle.fetch_history_events(wait_new_event=True)
        grown = False
        async for event in events:
            grown = grown or event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
            grown = grown or event.event_type in ENDED
            if grown and events.current_page_index == len(events.current_page or ()):
                grown = False
                yield await self.view(handle)

    async def until_true(self, handle: Handle, holds: Callable[[], bool], what: str) -> None:
        """Wait until the shop shows what is wanted; every new event of the case's history is a chance to look."""
        async for _ in handle.fetch_history_events(wait_new_event=True):
            if holds():
                return
        assert holds(), f"{handle.id} ended, and never {what}"

    async def end(self, handle: Handle) -> CaseView:
        """Wait for the case's end; one that does not end by itself ends as its deadlines say."""
        result = asyncio.ensure_future(handle.result())
        ended, _ = await asyncio.wait([result], timeout=ENDS_WITHIN_SECONDS)
        if not ended:
            await let_pass(self.skipper, handle, LONGEST_TO_THE_END)
        return CaseView.model_validate(await result)

    async def submit(self, handle: Handle, trigger: str, by: str, **fields: Any) -> CaseView:
        """Update `submit`: answers with the view after the move, or raises what the case says."""
        return await self.update(handle, {"trigger": trigger, "by": by, **fields})

    async def update(self, handle: Handle, *arguments: object) -> CaseView:
        """Update `submit` with exactly these arguments."""
        answer = await handle.execute_update(  # pyright: ignore[reportUnknownMemberType] - the SDK's own
            "submit", args=list(arguments)
        )
        return CaseView.model_validate(answer)

    async def signal(self, handle: Handle, trigger: str, by: str, **fields: Any) -> None:
        """A plain signal."""
        await handle.signal(trigger, {"by": by, **fields})

    async def skip(self, handle: Handle, duration: timedelta) -> None:
        """Let time pass for the case, or until it ends."""
        await let_pass(self.skipper, handle, duration)

    async def skip_to_deadline(self, handle: Handle, version: int | None = None) -> CaseView:
        """Let time pass until the state's clock has fired.

        `version`: how many moves the case had made; a deadline that had passed on entry has fired by itself since.
        """
        before = await self.view(handle)
        if version is not None and before.version != version:
            return before
        skipped_to: datetime | None = None
        while True:
            # a case shows its new state, and its next deadline, before its timer runs and its move is made
            before_timer = await self.at_rest(handle)
            view = await self.view(handle)
            if view.version != before.version:
                return view
            assert view.due is not None
            if skipped_to is None or view.due > skipped_to:
                if await skip_past(self.skipper, handle, view.due):  # else it is asked anew
                    skipped_to = view.due
            else:  # the timer rings in a moment: skipped again, the next deadline would pass as well
                await until_longer_than(before_timer)

    async def skip_until(self, handle: Handle, state: str) -> CaseView:
        """Let one deadline after the other pass until the case is in the state, and in none beyond it."""
        for _ in range(MOST_DEADLINES):
            view = await self.view(handle)
            if view.state == state:
                return view
            assert not view.final, f"{handle.id} ended in {view.state}: never in {state}"
            await self.skip_to_deadline(handle)
            await self.until_rung(handle)
        raise AssertionError(f"{handle.id} has not come to {state} within {MOST_DEADLINES} deadlines")

    # --- the exact moment ---

    @asynccontextmanager
    async def before(self, activity_type: str, order_id: str) -> AsyncGenerator[None]:
        """Stop the activity of the order before it runs, until the block is left; a template stops what posts it."""
        gate = (asyncio.Event(), asyncio.Event())
        self.gates.stopped[activity_type, order_id] = gate
        try:
            yield
        finally:
            del self.gates.stopped[activity_type, order_id]
            gate[1].set()

    async def reached(self, activity_type: str, order_id: str) -> None:
        """Wait until the stopped activity is about to run."""
        reached, _ = self.gates.stopped[activity_type, order_id]
        try:
            await asyncio.wait_for(reached.wait(), 60)
        except TimeoutError:
            raise AssertionError(f"{activity_type} of {order_id} was not reached") from None

    async def reached_while(self, doing: Coroutine[Any, Any, None], activity_type: str, order_id: str) -> None:
        """Wait until the stopped activity is about to run, while something else is under way that may not end."""
        task = asyncio.ensure_future(doing)
        try:
            await self.reached(activity_type, order_id)
        finally:
            task.cancel()

    async def heard(self, handle: Handle, signal: str, *, since: int = 0) -> None:
        """Wait until the workflow has been given the signal: a workflow task that came after it has completed.

        `since`: how many events the history had before it was sent, where another one of the name may be among them.
        Temporal's own cancel is heard as `cancel_case`, which it stands for.
        """
        arrived = False
        async for event in handle.fetch_history_events(wait_new_event=True):
            if event.event_id <= since:
                continue
            cancelled = event.HasField("workflow_execution_cancel_requested_event_attributes") and signal == CANCEL
            arrived = arrived or cancelled
            arrived = arrived or event.workflow_execution_signaled_event_attributes.signal_name == signal
            if arrived and event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                return

    async def prolonged(self, handle: Handle, tasks: int) -> None:
        """Wait until a slow step on the shop has prolonged a workflow task so often."""
        before = (await handle.describe()).history_length
        seen = 0
        async for event in handle.fetch_history_events(wait_new_event=True):
            if event.event_id > before and event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
                seen += 1
            if seen >= tasks:
                return

    async def at_rest(self, handle: Handle, *, answered: bool = False) -> RunSoFar:
        """Wait until the case has done all that it was told, and say how far its run has come then.

        No workflow task is under way or to come; `answered`: and everybody outside has answered.
        """
        while True:
            description = await handle.describe()
            asked = answered and description.raw_description.pending_activities
            if not asked and not description.raw_description.HasField("pending_workflow_task"):
                return so_far(self.client, description)

    async def until_rung(self, handle: Handle) -> None:
        """Wait until the case is at rest, everybody outside has answered, and no timer of it is due any more."""
        await self.at_rest(handle, answered=True)
        while await until_rung(self.skipper, handle):
            await self.at_rest(handle, answered=True)

    async def until_it_takes(self, handle: Handle, trigger: str) -> CaseView:
        """Wait until the case is in a state that takes the trigger from a person."""
        what = f"waited for {trigger}"
        return await self.until_shown(handle, lambda view: trigger in [one.trigger for one in view.waiting_for], what)

    def require_whole(self, view: CaseView, *, paid_fen: int | None = None) -> None:
        """Fail unless the shop is whole after a case that has ended: nothing held, paid as its view says, said once.

        `paid_fen`: what the case has paid, where its view does not say it.
        """
        assert view.final
        with self.database.reading() as session:
            run_id = records.find_records(session, case_id=view.case_id)[0].run_id
            paid = paid_by(session, view.case_id, run_id)
            if paid_fen is not None:
                assert paid == paid_fen
            elif FLOWS[view.flow].states[view.state].money is Money.EITHER:
                assert paid in (0, view.amount_fen)
            found = unsound_case(session, view, paid)
            assert not found, f"{view.case_id} ({view.state}): {found}"
