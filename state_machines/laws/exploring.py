"""Goes everywhere that a case can go: every opening, every happening, every person, on the machine that really runs.

Two situations count as one where neither a guard nor a law can tell them apart, so that "everywhere" has an end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, MutableMapping, Sequence, Set
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, NamedTuple, TypeVar

from casework.case import Actor, Case, KeptFact
from casework.messages import Message
from state_machines.laws.world import Event, Happening, Known, Person, World
from state_machines.roles import Automatic, Role
from state_machines.table import Attempt, Flow, Move, Refusal, StateKind, TriggerKind, leading_to

CaseT = TypeVar("CaseT", bound=Case[Any])

AT = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
"""The time of everything here but of the clock."""
CLOCK_AT = AT + timedelta(days=100)
"""The clock fires later than anything else happens, as far as any guard asks."""

OPENER, SPEAKER = "opener.1", "speaker.2"
STRANGER = Person("stranger.3")
CAST = (
    Person(OPENER),
    Person(SPEAKER),
    STRANGER,
    Person("deputy-of-opener.4", stands_for=(OPENER,)),
    Person("deputy-of-speaker.5", stands_for=(SPEAKER,)),
)
"""Everybody whom four eyes can tell apart."""

FOUR_EYES = frozenset(
    {
        "approve",
        "reject",
        "send_back",
        "pass_legal_review",
        "find_malicious",
        "accept_loss",
        "declare_lost",
        "pass_inspection",
        "fail_inspection",
        "confirm_paid_by_hand",
        "close_refunded",
    }
)
"""What nobody with a part in the request may fire (flows.md, rules for all cases)."""

APPROVALS = frozenset({"approve"})
"""What at two levels has to come from two people (flows.md, rules for all cases)."""


def speaks_for_buyer(trigger: str) -> bool:
    """Whether who fires it has a part in the request (flows.md, rules for all cases)."""
    return trigger.startswith(("buyer_", "supplier_", "choose_")) or trigger in ("give_reason", "add_evidence")


class Witnessed(NamedTuple):
    """What an onlooker, who believes nothing that the case says of itself, has seen on the way to a situation."""

    involved: frozenset[str]
    """Who opened it, or spoke for the buyer."""
    authorised_fen: int = 0
    """Up to which amount somebody who may decide, or a clock row that may, has decided that money leaves."""
    approvals: frozenset[tuple[str, Role]] = frozenset()
    held: frozenset[str] = frozenset()
    """What the case holds in the shop."""
    payments: int = 0
    """How often money has left."""
    paid_by_platform: bool = False


@dataclass(eq=False, slots=True)
class Situation(Generic[CaseT]):
    """A case as it stands, and what was seen on the way; `key` is all of it that can be told apart."""

    key: Hashable
    case: CaseT
    seen: Witnessed
    steps: list[Step[CaseT]] = field(default_factory=list["Step[CaseT]"])
    came: Step[CaseT] | None = None
    """The step by which it was reached first: a shortest way."""


@dataclass(eq=False, slots=True)
class Step(Generic[CaseT]):
    """What one event does in a situation: the row it takes, or why none, and where that leads."""

    start: Situation[CaseT]
    event: Event[CaseT]
    moved: Move[CaseT] | None
    refused: str | None
    to: Situation[CaseT]

    def pays_by_silence(self, flow: Flow[CaseT]) -> bool:
        """Whether the clock leads to where money leaves."""
        return self.moved is not None and self.event.automatic is Automatic.CLOCK and flow.states[self.moved.dest].pays


def time_of(event: Event[Any]) -> datetime:
    """When the event happens."""
    return CLOCK_AT if event.automatic is Automatic.CLOCK else AT


def way_to(situation: Situation[CaseT]) -> list[Step[CaseT]]:
    """The steps of a shortest way from an opening."""
    steps: list[Step[CaseT]] = []
    while situation.came is not None:
        steps.append(situation.came)
        situation = situation.came.start
    return steps[::-1]


def that_can_end(situations: Sequence[Situation[CaseT]], flow: Flow[CaseT]) -> set[int]:
    """Those of the situations, by identity, that can come to an end by way of these situations alone."""
    into: dict[int, list[Situation[CaseT]]] = {}
    for one in situations:
        for step in one.steps:
            into.setdefault(id(step.to), []).append(one)
    frontier = [one for one in situations if flow.is_final(one.case.state)]
    reached = {id(one) for one in frontier}
    while frontier:
        for before in into.get(id(frontier.pop()), ()):
            if id(before) not in reached:
                reached.add(id(before))
                frontier.append(before)
    return reached


def _states_before(flow: Flow[Any], comes: Callable[[Move[Any]], bool]) -> Set[str]:
    """The states from which a row of this kind may still be tried."""
    return leading_to([row.source for row in flow.moves if comes(row)], flow.moves)


def by_amount(world: World[CaseT]) -> Explorer[CaseT]:
    """Every amount and every limit, with somebody else in each role: what the laws about money are about."""
    limits = (None, world.low_limit_fen)
    return Explorer(world, [Person(role, roles=(role,), limits_fen=limits) for role in Role], one_role_each=True)


def by_person(world: World[CaseT]) -> Explorer[CaseT]:
    """Everybody in every role, where the amount stays as it was: what the law of four eyes is about."""
    openings = [one for one in world.openings if one.for_people]
    happenings = [one for one in world.happenings if one.for_people and not one.changes_amount]
    return Explorer(replace(world, openings=openings, happenings=happenings), CAST)


def _kept(trigger: str, actor: Actor, message: Message | None) -> KeptFact:
    payload = message.model_dump(mode="json", exclude_none=True) if message is not None else {}
    return KeptFact(at=AT, trigger=trigger, by=actor.staff_id, actor=actor, payload=payload)


def _copied(case: CaseT) -> CaseT:
    """The case with two lists of its own that a move writes to; the rest is replaced, never changed."""
    mine = case.model_copy()
    mine.involved, mine.approvals = list(case.involved), list(case.approvals)
    return mine


class Explorer(Generic[CaseT]):
    """Explores a flow in its world."""

    def __init__(
        self,
        world: World[CaseT],
        people: Sequence[Person],
        *,
        one_role_each: bool = False,
    ) -> None:
        """Explore nothing yet.

        Args:
            world: what happens outside the table.
            people: everybody who is tried for each trigger.
            one_role_each: nobody here asks in two roles or has a part in the request, so who acted before is all one.

        """
        self.world = world
        self.people = people
        self.flow = world.flow
        self._happenings: dict[tuple[str, str | None], list[Happening[CaseT]]] = {}
        for one in world.happenings:
            # the world's own table says where: another table that is tried in it does not change the world
            for state in one.states or dict.fromkeys(row.source for row in world.flow.rows_of(one.trigger)):
                self._happenings.setdefault((state, None), []).append(one)
                self._happenings.setdefault((state, one.trigger), []).append(one)
        self.situations: MutableMapping[Hashable, Situation[CaseT]] = {}
        self._one_role_each = one_role_each
        self._asked: dict[Hashable, Event[CaseT]] = {}
        four_eyes_wanted = _states_before(self.flow, lambda row: row.trigger in FOUR_EYES)
        self._people_count: Set[str] = frozenset() if one_role_each else four_eyes_wanted
        where_known = self._where_known()
        self._known_in = {
            state: [known.read for known, states in where_known if state in states] for state in self.flow.states
        }

    def like(self, flow: Flow[CaseT]) -> Explorer[CaseT]:
        """An explorer of another table in the same world, which tells situations apart as this one does."""
        other = copy(self)
        other.flow, other.situations = flow, {}
        return other

    def _where_known(self) -> list[tuple[Known[CaseT], Set[str]]]:
        everywhere = set(self.flow.states)
        return [
            (known, _states_before(self.flow, lambda row, known=known: not set(known.guards).isdisjoint(row.only_if)))
            if known.guards
            else (known, everywhere)
            for known in self.world.known
        ]

    def explore(self) -> None:
        """Go everywhere."""
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[Step[CaseT]]:
        """Every step from every situation that can be reached, nearest first."""
        frontier = deque(dict.fromkeys(self._openings()))
        while frontier:
            here = frontier.popleft()
            known = len(self.situations)
            for step in self.steps_from(here):
                here.steps.append(step)
                if len(self.situations) > known:
                    known = len(self.situations)
                    step.to.came = step
                    frontier.append(step.to)
                yield step

    def steps_from(self, here: Situation[CaseT], trigger: str | None = None) -> Iterator[Step[CaseT]]:
        """What every event does in a situation; or only those that fire the trigger."""
        for event in self._events(here, trigger):
            yield self._take(here, event)

    def _openings(self) -> Iterator[Situation[CaseT]]:
        for opening in self.world.openings:
            case = opening.case.model_copy(deep=True)
            yield self.situation(case, Witnessed(frozenset(case.involved)))

    def situation(self, case: CaseT, seen: Witnessed) -> Situation[CaseT]:
        """The situation that this is: one that was come to before, where nothing can tell them apart."""
        who: Hashable = None
        if case.state in self._people_count:
            who = frozenset(case.involved), frozenset((one.by, one.role) for one in case.approvals)
        else:
            seen = seen._replace(involved=frozenset(), approvals=frozenset())
        key = (case.state, who, seen, *(read(case) for read in self._known_in[case.state]))
        return self.situations.setdefault(key, Situation(key, case, seen))

    # --- what can happen ---

    def _events(self, here: Situation[CaseT], only: str | None) -> Iterator[Event[CaseT]]:
        case, state = here.case, self.flow.states[here.case.state]
        if state.kind is StateKind.END:
            return
        waits = state.kind is StateKind.WAIT
        used = [one for one in case.kept if waits and self.flow.rows(case.state, one.trigger)]
        if used:
            # the case uses it as it enters, before anything else can happen
            fact = used[0]
            if only in (None, fact.trigger):
                message = self.world.message(case, fact.trigger, fact.by)
                yield Event(fact.trigger, actor=fact.actor, message=message, was_kept=True)
            return
        if waits:
            yield from self._facts_kept(case, only)
        news: dict[str, list[Happening[CaseT]]] = {}
        for happening in self._happenings.get((case.state, only), ()):
            if happening.possible(case):
                known = self.flow.triggers[happening.trigger]
                # what is found only when a person asks does not come by itself
                if known.kind is TriggerKind.OUTCOME or known.from_shop:
                    yield Event(happening.trigger, automatic=Automatic.SYSTEM, happening=happening)
                news.setdefault(happening.trigger, []).append(happening)
        if state.deadline is not None and only in (None, state.deadline.trigger):
            yield Event(state.deadline.trigger, automatic=Automatic.CLOCK)
        rows = self.flow.rows(case.state, only)
        for trigger in dict.fromkeys(row.trigger for row in rows):
            known = self.flow.triggers[trigger]
            if known.kind in (TriggerKind.OUTCOME, TriggerKind.CLOCK):
                continue
            who = dict.fromkeys(who for row in rows if row.trigger == trigger for who in row.who)
            if Automatic.SYSTEM in who and not known.from_shop:
                yield Event(trigger, automatic=Automatic.SYSTEM)  # Temporal's own cancel
            for person in self._people_for(trigger):
                for role in who:
                    if isinstance(role, Role) and (role in person.roles or not person.roles):
                        for limit in person.limits_fen:
                            asked = self._ask(case, trigger, person, role, limit)
                            yield asked
                            # who brings the shop's news has the case look at the shop, as the shop itself has
                            for happening in news.get(trigger, ()):
                                yield replace(asked, happening=happening)
                            for message in self.world.more_messages(case, trigger, person.staff_id):
                                yield replace(asked, message=message)

    def _people_for(self, trigger: str) -> Sequence[Person]:
        """Of a trigger that neither needs four eyes nor gives a part in the request, one person stands for all."""
        told_apart = trigger in FOUR_EYES or speaks_for_buyer(trigger)
        return self.people if told_apart or self._one_role_each else (STRANGER,)

    def _ask(self, case: CaseT, trigger: str, person: Person, role: Role, limit_fen: int | None) -> Event[CaseT]:
        # asked the same way thousands of times; of the case itself a message says at most its amount
        key = (trigger, person.staff_id, role, limit_fen, case.amount_fen)
        if key not in self._asked:
            actor = Actor(staff_id=person.staff_id, grants={role: limit_fen}, deputises_for=list(person.stands_for))
            message = self.world.message(case, trigger, person.staff_id)
            self._asked[key] = Event(trigger, actor=actor, message=message)
        return self._asked[key]

    def _facts_kept(self, case: CaseT, only: str | None) -> Iterator[Event[CaseT]]:
        """The facts that count although the state has no row for them, from whoever may bring them."""
        for trigger in sorted(self.world.counts_kept):
            if self.flow.rows(case.state, trigger) or only not in (None, trigger):
                continue
            for person in self._people_for(trigger):
                for role in self.flow.roles_of(trigger):
                    if role in person.roles or not person.roles:
                        yield self._ask(case, trigger, person, role, None)

    # --- what comes of it ---

    def _take(self, here: Situation[CaseT], event: Event[CaseT]) -> Step[CaseT]:
        happening = event.happening
        # to ask the table changes nothing, so that most events need no case of their own
        learns = event.was_kept or happening is not None
        case = _copied(here.case) if learns else here.case
        if event.was_kept:
            case.kept = [one for one in case.kept if one.trigger != event.trigger]
        if happening is not None:
            happening.learn(case)
        attempt = Attempt(case, event.trigger, time_of(event), event.actor, event.automatic, event.message)
        found = self.flow.find_move(attempt)
        keeps = event.actor is not None and self.flow.triggers[event.trigger].kind is TriggerKind.FACT
        if isinstance(found, Refusal) and not (learns or keeps):
            return Step(here, event, None, found.why, here)
        if not learns:
            attempt.case = case = _copied(case)
        if isinstance(found, Refusal):
            seen = here.seen
            if keeps and event.actor is not None:
                # it is kept, and its sender has a part from now on
                self.flow.note_involvement(attempt)
                if event.trigger in self.world.counts_kept:
                    case.kept = [_kept(event.trigger, event.actor, event.message)]
                if speaks_for_buyer(event.trigger):
                    seen = seen._replace(involved=seen.involved | {event.actor.staff_id})
            return Step(here, event, None, found.why, self.situation(case, seen))
        if event.trigger in self.world.effects:
            self.world.effects[event.trigger](case)
        seen = self._watch(here.seen, found, attempt, happening)
        self.flow.take(found, attempt)
        return Step(here, event, found, None, self.situation(case, seen))

    def _watch(
        self, seen: Witnessed, moved: Move[CaseT], attempt: Attempt[CaseT], happening: Happening[CaseT] | None
    ) -> Witnessed:
        involved, approvals, held, paid = seen.involved, seen.approvals, seen.held, seen.payments
        if attempt.actor is not None and speaks_for_buyer(moved.trigger):
            involved |= {attempt.actor.staff_id}
        if attempt.actor is not None and attempt.role is not None and moved.trigger in APPROVALS:
            approvals |= {(attempt.actor.staff_id, attempt.role)}
        decided = self.world.authority(moved, attempt)
        authorised = 0 if moved.trigger in self.world.voids else max(seen.authorised_fen, decided or 0)
        platform = seen.paid_by_platform
        if moved.trigger in self.world.lets_go_by:
            held = frozenset[str]()
        if happening is not None:
            held = frozenset[str]() if happening.lets_go else held | set(happening.takes)
            platform = platform or happening.paid_by_platform
        if moved.trigger in self.world.pays_by_hand or (happening is not None and happening.pays):
            paid += 1
        return Witnessed(involved, authorised, approvals, held, paid, platform)
