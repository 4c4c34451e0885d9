"""What a story's people, platform and couriers do, each thing until it is done, whatever is killed meanwhile.

A message goes out under an id of its own, so that sending it again does nothing more.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import Column, MetaData, String, Table, insert, select
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError
from temporalio.testing import TimeSkipper

from casework.case import CaseView
from casework.client import (
    CaseEnded,
    CaseOpen,
    CaseRefused,
    CaseworkClient,
    NoAnswer,
    UnknownCase,
    flow_of_case,
    prepare_start,
)
from casework.connection import is_not_there
from casework.money import LineQuantity
from casework.shop import outside
from casework.shop.amounts import line_rows
from casework.shop.claims import claim_lines
from casework.shop.database import Database
from casework.shop.errors import Held
from casework.shop.tables import CaseRow
from casework.skipping import skip, skip_past
from chaos.points import Point
from state_machines.flows import FLOWS
from state_machines.roles import Role
from state_machines.table import StateKind

AGAIN_SECONDS: Final = 0.2
"""After this what was cut off is done again."""
TRIED_SECONDS: Final = 0.02
"""After this somebody tries again to get what a case has: a case hands over and its child holds within some tenths."""
CUT_OFF: Final = (NoAnswer, TimeoutError, WorkflowQueryFailedError, OperationalError, InterfaceError, ConnectionError)
"""What whoever acts is told in the moment of a kill, beside Temporal's own errors."""
STAFF: Final = {role: f"chaos.{role.value.replace('_', '-')}" for role in Role}
"""One member of the staff a role, with that role alone."""
ResultT = TypeVar("ResultT")
_HAPPENED: Final = Table("chaos_happened", MetaData(), Column("what", String, primary_key=True))
"""In the shop's database, beside its own tables: what the harness has let happen in it."""
Seen = Callable[[CaseView], bool]
Handle = WorkflowHandle[Any, Any]


class StoryBroke(Exception):
    """A case went another way than its story says."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a case must end, what it must have paid, in fen, and how many pieces it must have put into stock.

    `stocked` is negative where pieces leave the stock.
    """

    case_id: str
    outcome: str
    paid_fen: int = 0
    stocked: int = 0

    @property
    def flow(self) -> str:
        """The flow of the case, with which its id begins."""
        return flow_of_case(self.case_id).name


@dataclass(frozen=True, slots=True)
class Casting:
    """One story with an order of its own. All of it is in the plan."""

    number: int
    story: str
    order_id: str
    price_fen: int
    postage_fen: int
    seed: int


@dataclass(frozen=True, slots=True)
class Played:
    """A story that was played to its end, and how each of its cases must have ended."""

    casting: Casting
    endings: Sequence[Ending]


@dataclass
class World:
    """What all stories share."""

    skipper: TimeSkipper
    client: CaseworkClient
    database: Database
    points: list[Point] = field(default_factory=list[Point])

    @property
    def temporal(self) -> Client:
        """Temporal, as the skipper has it."""
        return self.skipper.client


def _rests(view: CaseView) -> bool:
    return view.final or FLOWS[view.flow].states[view.state].kind is StateKind.WAIT


class Act:
    """The hands of one story."""

    def __init__(self, world: World, casting: Casting, *, moved: Callable[[], object] = lambda: None) -> None:
        """Do nothing yet. `moved` is called whenever something has come of what was done, or a case has gone on."""
        self.world, self.casting, self._moved = world, casting, moved
        self.order_id, self.price_fen, self.postage_fen = casting.order_id, casting.price_fen, casting.postage_fen
        self.total_fen = casting.price_fen + casting.postage_fen
        self._random = random.Random(casting.seed)
        self._sent = self._happened = 0

    @property
    def waybill(self) -> str:
        """The waybill of the order's parcel, where it left before the story begins."""
        return f"YT{self.order_id[-11:]}"

    def another_waybill(self, kind: str) -> str:
        """A waybill of the story's own."""
        return f"{kind}{self.order_id[-11:]}"

    # --- the shop and its outside ---

    async def shop(self, happens: Callable[[Session], object]) -> None:
        """Let something happen in the shop, in one transaction, once."""
        self._happened += 1
        what = f"{self.casting.number}-{self._happened}"

        async def once() -> None:
            with self.world.database.writing() as session:
                _HAPPENED.create(session.connection(), checkfirst=True)
                # where the database died in the moment of committing, nobody was told whether it has
                if session.scalar(select(_HAPPENED.c.what).where(_HAPPENED.c.what == what)) is None:
                    session.execute(insert(_HAPPENED).values(what=what))
                    happens(session)

        await self._persist(once)
        self._moved()

    @property
    def now(self) -> datetime:
        """The time on the wall."""
        return datetime.now(UTC)

    # --- a case ---

    async def open(self, flow: str, role: Role, **fields: Any) -> str:
        """Open a case through the public client; its id."""
        given = {"order_id": self.order_id, "by": STAFF[role], **fields}

        async def prepared() -> str:
            return prepare_start(self.world.database, flow, given).case_id

        case_id, tried = await self._persist(prepared), False

        async def once() -> str:
            nonlocal tried
            if tried and await self._is_there(case_id):
                return case_id
            tried = True
            try:
                return await self.world.client.start_case(flow, given)
            except CaseOpen as known:
                if known.case_id != case_id:
                    raise
                return case_id

        return await self._persist(once)

    async def submit(self, case_id: str, trigger: str, role: Role, **fields: Any) -> None:
        """Act on the case, as soon as it asks for that, by an update or a plain signal; wait until it has moved."""
        await self.until(case_id, lambda view: trigger in [one.trigger for one in view.waiting_for], f"asks {trigger}")
        seen = await self.view(case_id)
        self._sent += 1
        message = {"by": STAFF[role], "id": f"chaos-{self.casting.number}-{self._sent}", **fields}
        by_update = self._random.random() < 0.5
        handle = self._handle(case_id)
        tried = False

        async def once() -> None:
            nonlocal tried
            before, tried = tried, True
            try:
                if by_update:
                    await self.world.client.submit(case_id, trigger, message, seen=seen)
                else:
                    await handle.signal(trigger, message)
            except CaseEnded:
                if not before:
                    raise
            except RPCError as error:
                if not before or not is_not_there(error):
                    raise

        await self._persist(once)
        await self.until(case_id, lambda view: view.final or view.version > seen.version, f"moves by {trigger}")

    async def comment(self, case_id: str, role: Role, text: str) -> None:
        """Say something beside the table."""
        self._sent += 1
        message = {"by": STAFF[role], "id": f"chaos-{self.casting.number}-{self._sent}", "text": text}
        seen = await self.view(case_id)
        await self._persist(lambda: self.world.client.submit(case_id, "comment", message, seen=seen))

    async def skip_to_deadline(self, case_id: str) -> None:
        """Let time pass for this one case until its clock has moved it."""
        before = await self.until(case_id, lambda view: view.due is not None, "has a deadline")
        while True:
            view = await self._persist(partial(self._skip_past, before))
            if view.final or view.version != before.version:
                return
            before = view

    async def _skip_past(self, before: CaseView) -> CaseView:
        """Let the deadline of this view pass, unless the case has moved since."""
        case_id, handle = before.case_id, self._handle(before.case_id)
        view = await self.world.client.view(case_id)
        if view.final or (view.version, view.due) != (before.version, before.due) or view.due is None:
            return view
        if not await skip_past(self.world.skipper, handle, view.due):
            return view  # Temporal has given the skip up
        here = (before.version, before.due)
        return await self.until(case_id, lambda now: (now.version, now.due) != here, "moves at its deadline")

    async def skip_until(self, case_id: str, state: str, *, stride: timedelta, at_most: timedelta) -> None:
        """Let time pass until the case, which polls now and then, is in the state."""
        passed = timedelta(0)
        handle = self._handle(case_id)
        while (view := await self.until(case_id, _rests, "comes to rest")).state != state:
            if passed >= at_most or view.final:
                raise StoryBroke(f"{case_id} is not {state} after {at_most}")
            if await self._persist(lambda: skip(self.world.skipper, handle, stride)):
                passed += stride
                self._moved()

    async def time_of(self, case_id: str) -> datetime:
        """What the case's own clock says."""
        return await self._persist(lambda: self.world.skipper.get_current_time(self._handle(case_id)))

    async def child(self, case_id: str, flow: str) -> str:
        """The case of the flow that the case has opened, once it has."""
        view = await self.until(
            case_id, lambda view: any(link.startswith(f"{flow}-") for link in view.links), f"opens a {flow}"
        )
        child = next(link for link in view.links if link.startswith(f"{flow}-"))

        async def is_there() -> None:
            if not await self._is_there(child):
                raise TimeoutError

        await self._persist(is_there)
        return child

    async def view(self, case_id: str) -> CaseView:
        """The case now."""
        return await self._persist(lambda: self.world.client.view(case_id))

    async def until_in(self, case_id: str, *states: str) -> CaseView:
        """Wait until the case is in one of the states."""
        return await self.until(case_id, lambda view: view.state in states, f"is {' or '.join(states)}")

    async def until(self, case_id: str, seen: Seen, what: str) -> CaseView:
        """Wait until the case is seen so. Every page of its history is a chance to look.

        Raises:
            StoryBroke: it has ended otherwise.

        """

        async def once() -> CaseView:
            history = self._handle(case_id).fetch_history_events(wait_new_event=True)
            while True:
                view = await self.world.client.view(case_id)
                if seen(view):
                    self._moved()
                    return view
                if view.final:
                    raise StoryBroke(f"{case_id} ended as {view.outcome}, and never {what}")
                await history.fetch_next_page()
                if history.current_page:
                    self._moved()
                if history.next_page_token is None:  # the case goes on in its next run
                    history = self._handle(case_id).fetch_history_events(wait_new_event=True)

        return await self._persist(once)

    async def close(self, case_id: str) -> None:
        """Wait until the case, which has come to its end, has done what it does there."""
        await self._persist(self._handle(case_id).result)

    async def until_at_rest(self, case_id: str) -> CaseView:
        """Wait until the case waits for somebody, or has ended."""
        return await self.until(case_id, _rests, "comes to rest")

    @asynccontextmanager
    async def others_trying(self, parent: str, *, held: bool) -> AsyncGenerator[None]:
        """Meanwhile the order is to be shipped, if it is `held`, and another case to have its lines, again and again.

        Nobody may get through: the order is held all the time, and the lines are claimed as soon as the parent, the
        case that hands them over, has done so. What gets through is not done, so that it is seen once.

        Raises:
            StoryBroke: somebody has got through.

        """
        trying = asyncio.create_task(self._keep_trying(parent, held=held))
        try:
            yield
        finally:
            trying.cancel()
            (found,) = await asyncio.gather(trying, return_exceptions=True)
        if isinstance(found, Exception):
            raise found

    async def _keep_trying(self, parent: str, *, held: bool) -> None:
        while True:
            with suppress(*CUT_OFF):
                await asyncio.to_thread(self._try_to_get_it, parent, held=held)
            await asyncio.sleep(TRIED_SECONDS)

    def _try_to_get_it(self, parent: str, *, held: bool) -> None:
        with self.world.database.writing() as session:
            if held:
                with suppress(Held):
                    outside.ship(session, self.order_id, at=self.now)
                    raise StoryBroke(f"{self.order_id} could leave while {parent} hands over what it holds")
            record = session.scalar(select(CaseRow).where(CaseRow.case_id == parent))
            if record is not None and record.involved is not None:  # it has handed over
                lines = [
                    LineQuantity(line=one.number, quantity=one.quantity) for one in line_rows(session, self.order_id)
                ]
                if claim_lines(session, "another-case", self.order_id, lines) is None:
                    raise StoryBroke(f"{self.order_id} could be claimed after {parent} has handed its lines over")
            session.rollback()

    # --- shared by the above ---

    async def _is_there(self, case_id: str) -> bool:
        try:
            await self.world.client.view(case_id)
        except UnknownCase:
            return False
        return True

    def _handle(self, case_id: str) -> Handle:
        return self.world.temporal.get_workflow_handle(case_id)

    async def _persist(self, doing: Callable[[], Awaitable[ResultT]]) -> ResultT:
        while True:
            try:
                return await doing()
            except CUT_OFF:
                pass
            except RPCError as error:
                if is_not_there(error):
                    raise
            except CaseRefused as refused:
                if "cannot be shown" not in str(refused):  # it could not answer in this moment
                    raise
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # Temporal's client makes an error like any other of it
                raise asyncio.CancelledError
            await asyncio.sleep(AGAIN_SECONDS)
