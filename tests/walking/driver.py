"""Plays a plan on the real server, through the contract only: messages by people, what the shop does, and silence.

A case that works is stopped in its activity; there the driver arranges what the work is to come to.
"""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from typing import Any, ClassVar

from temporalio.service import RPCError

from casework.case import CaseView
from casework.messages import Message
from state_machines.common import PaidByHand
from state_machines.laws.world import Person, World
from state_machines.problem_parcel import OnItsWay
from state_machines.roles import Automatic, Role
from state_machines.table import StateKind
from tests.desk import Desk, Handle
from tests.walking.planner import Plan, Taken

STAFF: Mapping[Role, str] = {role: f"only.{role.replace('_', '-')}" for role in Role}
"""The staff of the walk: one member a role, with that role alone."""
PEOPLE: Sequence[Person] = [Person(staff_id, roles=(role,)) for role, staff_id in STAFF.items()]

OPENING, LOOKING = "open_case", "consider"
"""The steps on the shop in which a case is stopped that is being opened, or looks at who is asking."""
PROLONGED_SOON = timedelta(seconds=4)
"""With this workflow task timeout a case soon hears what is sent while a step on the shop is stopped.

Shorter ones run out where every processor is busy: the task is given out again, and the step is looked for in vain.
"""

_waybills = itertools.count(1)

Happen = Callable[[], Awaitable[Any] | None]


class Hands(ABC):
    """What only one flow's tests know: how a case is opened, and how each happening of its world is made to happen."""

    world: ClassVar[World[Any]]
    stopped_in: ClassVar[Mapping[str, str]]
    """For each working state the activity, or the template that it posts, in which a case is stopped there."""
    once: ClassVar[Sequence[frozenset[str]]] = ()
    """Triggers and happenings, by name, of which only one can happen to a real order, and once."""
    at_once: ClassVar[frozenset[str]] = frozenset()
    """Happenings that come of what the case knows, with no activity."""
    prepared: ClassVar[frozenset[str]] = frozenset()
    """Happenings for which the shop has to be prepared before the case is opened."""

    def __init__(self, desk: Desk, plan: Plan) -> None:
        """Do nothing yet."""
        self.desk = desk
        self.plan = plan
        self.order_id = ""

    @property
    def opener(self) -> str:
        """Who opens the case."""
        return STAFF[self.world.flow.opened_by[0]]

    @abstractmethod
    async def prepare(self) -> None:
        """Bring the shop to where the plan's opening begins, with the order that the case is about."""

    @abstractmethod
    async def open(self, task_timeout: timedelta | None) -> Handle:
        """Open the case."""

    @abstractmethod
    def happenings(self, case: Handle) -> Mapping[str, Happen]:
        """How to make each happening happen, by its name: in the work that comes to it, or in the wait that hears."""

    def reports(self) -> Mapping[str, Happen]:
        """How to make each happening happen that a person then brings as news, by its name: no case is told of it."""
        return {}

    @abstractmethod
    async def require_whole(self, view: CaseView) -> None:
        """Fail unless the shop is whole after the case's end."""


class Driver:
    """Plays one plan."""

    case: Handle
    shown: CaseView
    """Where it was last seen waiting."""

    def __init__(self, hands: Hands, *, stays_stopped: bool = False) -> None:
        """Play nothing yet.

        Args:
            hands: the flow's hands, with the plan.
            stays_stopped: whether the case is to hear messages while it is stopped where the plan leads.

        """
        self.hands = hands
        self._prolonged_soon = stays_stopped or any(one.early for one in hands.plan.steps)
        self.desk = hands.desk
        self.steps = hands.plan.steps
        self.flow = hands.plan.flow
        self._at = 0
        self._gate = AsyncExitStack()
        """Closed while the case is stopped."""
        self._leading: Coroutine[Any, Any, Any] | None = None
        """What leads on from the step before, and is not under way yet."""
        self._stopped_in: str | None = None
        self._under_way: list[asyncio.Task[Any]] = []
        self.probed: list[tuple[str, str]] = []
        """What was refused besides the plan and is on the record: the trigger, and why."""

    async def play(self) -> CaseView:
        """From the opening to the end; answers with the view of the case that has ended."""
        await self.go()
        return await self.finish()

    async def let_go(self) -> None:
        """Let the case go on from where it is stopped."""
        await self._gate.aclose()

    async def finish(self) -> CaseView:
        """Let go, and wait for the case's end, and for the answers to everything that was sent."""
        await self._gate.aclose()
        view = await self.desk.end(self.case)
        await asyncio.gather(*self._under_way)
        return view

    async def require_as_planned(self, view: CaseView) -> None:
        """Fail unless the case, which has ended, has gone the plan's way, and the shop is whole."""
        plan, moves = self.hands.plan, [one for one in self.steps if one.move is not None]
        assert [(line.trigger, line.source, line.dest, line.role) for line in view.trail if line.accepted] == [
            (one.step.event.trigger, one.source, one.dest, one.role) for one in moves
        ]
        used = [one.step.event.trigger for one in self.steps if one.step.event.was_kept]
        unused = [one.step.event.trigger for one in self.steps if one.kept and one.step.event.trigger not in used]
        refused = [line for line in view.trail if not line.accepted]
        assert [line.trigger for line in refused if (line.trigger, line.why or "") not in self.probed] == [
            *(one.step.event.trigger for one in self.steps if one.move is None and not one.kept),
            *unused,
        ]
        assert view.final
        assert view.outcome == view.state == plan.state
        assert view.version == len(moves)
        await self.hands.require_whole(view)

    async def where(self) -> str:
        """How far the case has come, for whoever has waited too long for it."""
        try:
            async with asyncio.timeout(10):
                view, now = await self.desk.view(self.case), await self.desk.skipper.get_current_time(self.case)
        except (AttributeError, RPCError, TimeoutError) as error:
            return f"the case does not answer: {type(error).__name__}"
        trail = ", ".join(f"{line.trigger} {line.at:%d %H:%M:%S}" for line in view.trail)
        return f"step {self._at} of {len(self.steps)}: {view.state}, due {view.due}, now {now}, after {trail}"

    async def give_up(self) -> None:
        """End the case wherever it is."""
        if self._leading is not None:
            self._leading.close()
        for task in self._under_way:
            task.cancel()
        with suppress(AttributeError, RPCError):  # never opened, or over
            await self.case.terminate()
        await self._gate.aclose()

    async def go(self) -> None:
        """From the opening to where the plan leads; there the case waits, is stopped in its work, or has ended."""
        await self.begin()
        while await self.goes_on():
            pass

    async def begin(self) -> None:
        """Prepare the shop, and be about to open the case."""
        await self.hands.prepare()
        self._leading, self._stopped_in = self._open(), OPENING

    async def goes_on(self) -> bool:
        """Come to where the plan's next step is taken, and take it; False: there is none, and the case is there."""
        await self.arrive()
        if self._at == len(self.steps):
            return False
        step = self.steps[self._at]
        self._at += 1
        if self._works(step.source):
            await self._happen(step)
        else:
            self._leading = self._take(step)
            asks = step.step.event.actor is not None and not step.step.event.was_kept
            self._stopped_in = LOOKING if asks else None
        return True

    async def arrive(self) -> None:
        """Let what leads on happen, and follow the case to where the plan's next step is taken."""
        leading, stopped_in = self._leading, self._stopped_in
        self._leading = self._stopped_in = None
        await self._follow(leading, stopped_in)

    async def _follow(self, leading: Coroutine[Any, Any, Any] | None, stopped_in: str | None) -> None:
        before = self._gate
        if self._at < len(self.steps) and self.steps[self._at].early:
            if leading is not None:
                assert stopped_in is not None, "nothing is under way before the working state"
                await self._stop(stopped_in, leading)
                before, leading = self._gate, None
            length = (await self.case.describe()).history_length
            await self._take(self.steps[self._at], only_signal=True)
            await self.desk.heard(self.case, self.steps[self._at].step.event.trigger, since=length)
            self._at += 1
        self._gate = AsyncExitStack()
        state = self.steps[self._at - 1].dest if self._at else self.flow.initial
        comes_at_once = self._at < len(self.steps) and self.steps[self._at].by in self.hands.at_once
        if self._works(state) and not comes_at_once:
            await self._stop(self.hands.stopped_in[state], leading, before)
            return
        if leading is not None:
            await leading
        await before.aclose()
        # a fact that was kept is used as the case enters: it does not stay in the state
        leaves_at_once = self._at < len(self.steps) and self.steps[self._at].step.event.was_kept
        if self.flow.states[state].kind is StateKind.WAIT and not leaves_at_once:
            await self._wait_in(state)

    async def _stop(
        self, name: str, leading: Coroutine[Any, Any, Any] | None, before: AsyncExitStack | None = None
    ) -> None:
        """Stop the case in the next activity of the name, letting go where it is stopped now."""
        self._gate = AsyncExitStack()
        await self._gate.enter_async_context(self.desk.before(name, self.hands.order_id))
        if leading is not None:
            self._under_way.append(asyncio.ensure_future(leading))
        if before is not None:
            await before.aclose()
        await self.desk.reached(name, self.hands.order_id)
        if leading is not None and self._at == 0:  # a case may be that far before its opener has heard of it
            await self._under_way[0]

    async def _wait_in(self, state: str) -> None:
        done, moves = self.steps[: self._at], self._moves()
        lines = sum(1 for one in done if not one.kept)
        kept = len(done) - lines - sum(1 for one in done if one.step.event.was_kept)
        clock_is_next = self._clock_is_next()

        def has_come(view: CaseView) -> bool:
            if view.version > moves:
                return True
            return view.version == moves and len(view.trail) == lines + len(self.probed) and len(view.kept) == kept

        view = await self.desk.until_shown(self.case, has_come, f"made {moves} moves of {self.hands.plan}")
        further = clock_is_next and view.version > moves
        assert further or (view.state, view.version) == (state, moves), (
            f"{view.state} after {view.version} moves instead of {state} after {moves}: {self.hands.plan}"
        )
        self.shown = view

    def _clock_is_next(self) -> bool:
        """Whether the clock may fire before anything else: a deadline that has passed on entry fires at once."""
        return [one.by for one in self.steps[self._at : self._at + 1]] == [Automatic.CLOCK]

    def _moves(self) -> int:
        """How many moves the plan has made so far."""
        return sum(1 for one in self.steps[: self._at] if one.move is not None)

    def _works(self, state: str) -> bool:
        return self.flow.states[state].kind is StateKind.WORK

    # --- one step ---

    async def _open(self) -> None:
        self.case = await self.hands.open(PROLONGED_SOON if self._prolonged_soon else None)

    async def _happen(self, step: Taken) -> None:
        happening = self.hands.happenings(self.case)[step.by]()
        if happening is not None:
            await happening

    async def _take(self, step: Taken, *, only_signal: bool = False) -> None:
        event = step.step.event
        if event.was_kept:
            return
        if event.happening is not None and event.actor is not None:
            happening = self.hands.reports()[event.happening.name]()
            if happening is not None:
                await happening
        if event.happening is not None and event.actor is None:
            await self._happen(step)
        elif event.automatic is Automatic.CLOCK:
            await self.desk.skip_to_deadline(self.case, self._moves() - 1)
        elif event.message is None:  # Temporal's own cancel
            await self.case.cancel()
        elif only_signal or self._at % 2:
            await self.case.signal(event.trigger, fields_of(self.case, event.message))
        else:
            await self.desk.update(self.case, {"trigger": event.trigger, **fields_of(self.case, event.message)})


def waybill_of(case: Handle) -> str:
    """The waybill of the parcel that the case's messages name."""
    return "RB" + "".join(sign for sign in case.id if sign.isdigit())[-20:]


def fields_of(case: Handle, message: Message) -> dict[str, Any]:
    """The message as it is sent for this case."""
    if isinstance(message, PaidByHand):
        message = message.model_copy(update={"payment_reference": f"bank-{case.id}"[-64:]})
    # a parcel is of one order
    if isinstance(message, OnItsWay):
        message = message.model_copy(update={"waybill": f"EA{next(_waybills):010d}CN"})
    elif isinstance(getattr(message, "waybill", None), str):
        message = message.model_copy(update={"waybill": waybill_of(case)})
    return message.model_dump(mode="json", exclude_none=True)
