"""What a flow is: states, triggers and moves as data, and the machine that chooses among the moves.

The machine is one of `transitions`, which chooses the row that an attempt takes, or refuses it, and moves nothing:
`Flow.take` makes the move.

A flow is one table. Everything else that knows about moves (the signals a case listens to, the diagram, the
documentation, the checks, the inbox) is derived from it. No Temporal, no I/O, no clock: time and facts come in as
arguments. Building a flow rejects what is unsound, so a wrong table fails at import and never in a running case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar, cast

from transitions import EventData, Machine, MachineError, Transition
from transitions import State as MachineState

from casework.case import Actor, Approval, Case, CaseFigures, Start
from casework.messages import Message
from state_machines.roles import Automatic, Label, Role

CaseT = TypeVar("CaseT", bound=Case[Any])
Who = Role | Automatic


class UnsoundFlow(Exception):
    """A table that cannot be enforced as it stands; the message lists every fault found."""


class StateKind(StrEnum):
    """Whether the case does something in the state, waits in it, or ends in it."""

    WORK = "work"
    WAIT = "wait"
    END = "end"


@dataclass(frozen=True, slots=True)
class Deadline:
    """By when a wait ends by itself, and the trigger that the clock fires then.

    `wait` names the flow's policy figure; None stands for the shop's alarm interval. A clock row that stays in its
    state comes again after that interval, as an alarm to `alarm_roles` (by default to who is expected to act).
    `counts_from` is aware.

    Attributes:
        trigger: what the clock fires.
        wait: the policy figure that says how long.
        alarm_roles: who hears that the clock fired and nothing moved.
        reminders: the policy figure that lists when, after what the wait counts from, those who may act are
            reminded; None: once, at the shop's share of the wait.
        reminds_buyer: the template of a message to the buyer that goes out with each reminder.
        counts_from: from which time of the case the wait is counted; None, or where it answers None: from the entry.
        quiet: a clock row that stays in its state is no alarm: the wait is counted again, from now where
            `counts_from` says what has passed already.

    """

    trigger: str
    wait: str | None = None
    alarm_roles: tuple[Role, ...] = ()
    reminders: str | None = None
    reminds_buyer: str | None = None
    counts_from: Callable[[Any], datetime | None] | None = None
    quiet: bool = False


class Money(StrEnum):
    """Whether the buyer has the money at an end, from the case or from the platform itself."""

    NONE = "none"
    SENT = "sent"
    EITHER = "either"
    """The one or the other, by what the case has done before."""


@dataclass(frozen=True, slots=True)
class State:
    """A state of the flow.

    `expects`: who is asked to act in it (reminders, inbox); `pays_up_to`: money leaves in it, up to the amount, in fen,
    on which whoever's move led there may decide; `platform_bound`: the platform waits for the shop's answer, so the
    case acts at the earlier of its own deadline and the platform's. `watch`: the policy figure that says how often the
    case polls the courier and the shop while it waits here; what it finds may move it. `money`: what an end says of it.
    """

    name: str
    label: Label
    kind: StateKind
    deadline: Deadline | None = None
    expects: tuple[Role, ...] = ()
    pays_up_to: Callable[[Any, Any], int] | None = None
    platform_bound: bool = False
    watch: str | None = None
    money: Money = Money.NONE

    @property
    def pays(self) -> bool:
        """Whether money leaves in it."""
        return self.pays_up_to is not None


def work(name: str, zh: str, en: str, *, pays_up_to: Callable[[Any, Any], int] | None = None) -> State:
    """A state in which the case itself does something; the outcome fires the next trigger.

    `pays_up_to` is asked of the move that leads there (pure; fen).
    """
    return State(name, Label(zh, en), StateKind.WORK, pays_up_to=pays_up_to)


def wait(
    name: str,
    zh: str,
    en: str,
    *,
    deadline: Deadline | None,
    expects: tuple[Role, ...],
    platform_bound: bool = False,
    watch: str | None = None,
) -> State:
    """A state in which the case waits for people or events outside, until its deadline; without one it must watch."""
    return State(name, Label(zh, en), StateKind.WAIT, deadline, expects, platform_bound=platform_bound, watch=watch)


def end(name: str, zh: str, en: str, *, money: Money = Money.NONE) -> State:
    """A final state: the case's outcome."""
    return State(name, Label(zh, en), StateKind.END, money=money)


RETRY_PAYMENT: Final = "retry_payment"
"""The trigger by which what was decided is tried again: nobody decides anew."""


class TriggerKind(StrEnum):
    """A decision counts only in a state that asks for it; a fact is true whenever it arrives."""

    DECISION = "decision"
    FACT = "fact"
    OUTCOME = "outcome"
    """Fired by the work done in a state."""
    CLOCK = "clock"
    ASIDE = "aside"
    """A comment or other side message of any flow (`state_machines/asides.py`): it is in no row, moves nothing."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """What can be fired, with the message that people send to fire it.

    `four_eyes`: nobody involved in the request may fire it. `speaks_for_buyer`: whoever fires it is involved.
    `approves`: who fires it has approved at the level of their role, and may not at another one.
    """

    name: str
    label: Label
    kind: TriggerKind
    message: type[Message] = Message
    four_eyes: bool = False
    speaks_for_buyer: bool = False
    approves: bool = False
    from_shop: bool = False
    """News that the shop itself may bring (`by: "system"`), checked against the shop before it counts."""


def decision(
    name: str,
    zh: str,
    en: str,
    message: type[Message] = Message,
    *,
    four_eyes: bool = False,
    speaks_for_buyer: bool = False,
    approves: bool = False,
) -> Trigger:
    """A trigger that counts only in a state that asks for it."""
    return Trigger(name, Label(zh, en), TriggerKind.DECISION, message, four_eyes, speaks_for_buyer, approves)


def fact(
    name: str,
    zh: str,
    en: str,
    message: type[Message] = Message,
    *,
    speaks_for_buyer: bool = False,
    from_shop: bool = False,
) -> Trigger:
    """A trigger that is true whenever it arrives, and is kept until a state can use it."""
    return Trigger(
        name, Label(zh, en), TriggerKind.FACT, message, speaks_for_buyer=speaks_for_buyer, from_shop=from_shop
    )


def outcome(name: str, zh: str, en: str) -> Trigger:
    """A trigger that the work done in a state fires."""
    return Trigger(name, Label(zh, en), TriggerKind.OUTCOME)


def clock(name: str, zh: str, en: str) -> Trigger:
    """A trigger that a state's deadline fires."""
    return Trigger(name, Label(zh, en), TriggerKind.CLOCK)


@dataclass(slots=True)
class Attempt(Generic[CaseT]):
    """One try to move a case. Guards read it; what came of the try is written into it by the machine. `at` is aware."""

    case: CaseT
    trigger: str
    at: datetime
    actor: Actor | None = None
    """The person asking; None for the system and the clock."""
    automatic: Automatic | None = None
    message: Message | None = None
    offering: bool = False
    """Nobody acts yet: the question is what people may try. What is looked up only then stands in nobody's way."""

    role: Role | None = field(default=None, init=False)
    """The role in which the row now being tried would be taken."""
    move: Move[CaseT] | None = field(default=None, init=False)
    refusal: Refusal | None = field(default=None, init=False)
    asked_limit: int | None = field(default=None, init=False)
    """The limit, in fen, that a guard of the row now being tried has asked for."""

    def limit(self, policy_limit_fen: int) -> int:
        """Up to which amount the row may be taken: the policy's limit, or the person's own for this role if lower."""
        own = self.actor.grants.get(self.role) if self.actor and self.role else None
        self.asked_limit = policy_limit_fen if own is None else min(own, policy_limit_fen)
        return self.asked_limit

    def within(self, policy_limit_fen: int) -> bool:
        """Whether the case's amount is within that limit."""
        return self.case.amount_fen <= self.limit(policy_limit_fen)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an attempt was refused: a stable code for programs, a sentence for people; and what stood in the way.

    `row` is the row that came furthest, `guard` the condition of it that does not hold, `limit_fen` the limit that this
    condition asked for; None where there is none.
    """

    code: str
    why: str
    row: Move[Any] | None = field(default=None, compare=False)
    guard: Guard[Any] | None = field(default=None, compare=False)
    limit_fen: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Guard(Generic[CaseT]):
    """A named condition on a row, with the words that stand on the diagram's edge; pure, but for `Attempt.limit`."""

    name: str
    label: Label
    holds: Callable[[Attempt[CaseT]], bool]
    code: str = "guard"
    looked_up: bool = False
    """What it reads is in the message, or is read from the shop when somebody acts: before that, nobody knows."""
    fields: tuple[str, ...] = ()
    """The fields of the message that it judges: a refusal begins with them, as that of a wrong value does."""


def guard(
    zh: str, en: str, *, code: str = "guard", looked_up: bool = False, fields: tuple[str, ...] = ()
) -> Callable[[Callable[[Attempt[CaseT]], bool]], Guard[CaseT]]:
    """Make a guard of a predicate; the predicate's name is the guard's name."""

    def make(predicate: Callable[[Attempt[CaseT]], bool]) -> Guard[CaseT]:
        return Guard(predicate.__name__, Label(zh, en), predicate, code, looked_up, fields)

    return make


@dataclass(frozen=True, slots=True)
class Move(Generic[CaseT]):
    """One row of the table."""

    trigger: str
    source: str
    dest: str
    who: tuple[Who, ...]
    only_if: tuple[Guard[CaseT], ...] = ()

    @property
    def roles(self) -> tuple[Role, ...]:
        """The people's roles among `who`."""
        return tuple(who for who in self.who if isinstance(who, Role))

    @property
    def stays(self) -> bool:
        """Whether the row leaves the state as it is (an alarm)."""
        return self.source == self.dest


@dataclass(frozen=True, slots=True)
class Offer:
    """What a role may fire in a state; `guarded`: every row of theirs for it has a guard."""

    trigger: str
    role: Role
    guarded: bool


def move(
    trigger: str,
    source: str | Sequence[str],
    dest: str,
    who: Who | tuple[Who, ...],
    only_if: Guard[CaseT] | tuple[Guard[CaseT], ...] = (),
) -> list[Move[CaseT]]:
    """One row of the table as it is written; a row from several states stands for one row from each."""
    sources = [source] if isinstance(source, str) else list(source)
    actors = who if isinstance(who, tuple) else (who,)
    guards = only_if if isinstance(only_if, tuple) else (only_if,)
    return [Move(trigger, one, dest, actors, guards) for one in sources]


def leading_to(states: Iterable[str], rows: Sequence[Move[Any]]) -> frozenset[str]:
    """The states, and all from which these rows lead to one of them."""
    found = set(states)
    while more := {row.source for row in rows if row.dest in found} - found:
        found |= more
    return frozenset(found)


class _Place:
    """Where a case is, as `transitions` asks its model: made for one question, so that nothing is kept alive."""

    __slots__ = ("state",)

    def __init__(self, state: str) -> None:
        self.state = state


class _MachineState(MachineState):
    """Named by plain text: `transitions` asks each time whether a name is an enum's."""

    name = property(attrgetter("_name"))  # pyright: ignore[reportIncompatibleMethodOverride] - theirs may be an enum's


class _Row(Transition):
    """Only asked for: its conditions hold, or not. The move is made by `Flow.take`, on the case."""

    def execute(self, event_data: EventData) -> bool:
        return self._eval_conditions(event_data)


class _Table(Machine):
    """Tells which row is taken, and moves nothing: there is no callback to be called, nor a model to be set.

    A case asks it in Temporal's sandbox, some ten times a wait, and every `isinstance` is four calls of Python's there.
    What it uses of `transitions` beyond the documented is pinned with its version: `State._name`,
    `Transition._eval_conditions`.
    """

    state_cls, transition_cls = _MachineState, _Row


_NAME = re.compile(r"^[a-z][a-z_]*[a-z]$")


class Flow(Generic[CaseT]):
    """One flow: its table, checked, the machine that chooses its rows, and the move itself.

    `find_move` answers which row an attempt would take, or why none. It changes nothing in the case; the answer also
    stands in the attempt. `take` then makes the move on the case.
    """

    def __init__(
        self,
        *,
        name: str,
        workflow: str,
        label: Label,
        case_type: type[CaseT],
        start_type: type[Start],
        figures_type: type[CaseFigures],
        opened_by: tuple[Role, ...],
        states: Sequence[State],
        triggers: Sequence[Trigger],
        moves: Sequence[Sequence[Move[CaseT]]],
        remember: Callable[[Move[CaseT], Attempt[CaseT]], None] = lambda _moved, _attempt: None,
    ) -> None:
        """Build the flow.

        Args:
            name: the case id's prefix, such as `refund-before-shipping`.
            workflow: the Temporal workflow type.
            label: the flow's name for people.
            case_type: what a case of this flow knows.
            start_type: what it is started with.
            figures_type: the policy's figures that a case of this flow carries.
            opened_by: the roles that may open one.
            states: all states; the first is where a case begins.
            triggers: everything that can be fired.
            moves: the rows, in the order in which they are tried.
            remember: writes down in the case what the flow remembers of a move (its own fields); pure otherwise.

        Raises:
            UnsoundFlow: with every fault of the table.

        """
        self.name = name
        self.workflow = workflow
        self.label = label
        self.case_type = case_type
        self.start_type = start_type
        self.figures_type = figures_type
        self.opened_by = opened_by
        self.states: Mapping[str, State] = {state.name: state for state in states}
        self.triggers: Mapping[str, Trigger] = {trigger.name: trigger for trigger in triggers}
        self.moves: tuple[Move[CaseT], ...] = tuple(row for rows in moves for row in rows)
        self.initial = states[0].name
        self._remember = remember
        _reject_unsound(self, states, triggers)
        self.machine = self._build_machine()

    def changed(
        self, *, moves: Sequence[Move[CaseT]] | None = None, triggers: Sequence[Trigger] | None = None
    ) -> Flow[CaseT]:
        """The same flow with another table, or with other triggers.

        Raises:
            UnsoundFlow: with every fault that it then has.

        """
        return Flow(
            name=self.name,
            workflow=self.workflow,
            label=self.label,
            case_type=self.case_type,
            start_type=self.start_type,
            figures_type=self.figures_type,
            opened_by=self.opened_by,
            states=list(self.states.values()),
            triggers=list(self.triggers.values() if triggers is None else triggers),
            moves=[self.moves if moves is None else moves],
            remember=self._remember,
        )

    def _build_machine(self) -> Machine:
        return _Table(
            model=None,
            states=list(self.states),
            initial=self.initial,
            auto_transitions=False,
            send_event=True,
            transitions=[
                {
                    "trigger": row.trigger,
                    "source": row.source,
                    "dest": row.dest,
                    "conditions": _condition(row, self.triggers[row.trigger]),
                }
                for row in self.moves
            ],
        )

    def find_move(self, attempt: Attempt[CaseT]) -> Move[CaseT] | Refusal:
        """Ask the machine which row the attempt takes from where its case is, or why none.

        Nothing changes in the case. The answer also stands in the attempt, with the role in which the row would be
        taken, and the limit that was asked for.
        """
        attempt.move = attempt.refusal = None
        event = self.machine.events.get(attempt.trigger)
        if event is not None:
            # transitions raises where the state has no row for the trigger at all
            with suppress(MachineError):
                event.trigger(_Place(attempt.case.state), attempt=attempt)
            if attempt.move is not None:
                return attempt.move
        return attempt.refusal or Refusal("not_possible", f"{attempt.trigger} is not possible in {attempt.case.state}")

    def states_named(self, *names: str) -> frozenset[str]:
        """These states of the flow.

        Raises:
            KeyError: it has no such state.

        """
        return frozenset(self.states[name].name for name in names)

    def refuses_reporter(self, attempt: Attempt[CaseT]) -> Refusal | None:
        """Why somebody may not report a fact, wherever the case is: it is for others to report."""
        roles = self.roles_of(attempt.trigger)
        if attempt.actor is None or set(roles) & set(attempt.actor.grants):
            return None
        return Refusal("role", f"{attempt.trigger} is for {' or '.join(roles) or 'the shop itself'}")

    def take(self, moved: Move[CaseT], attempt: Attempt[CaseT]) -> None:
        """Make the move on the case: who has a part in it, who approved, what the flow remembers, up to which amount
        is decided to be paid, the new state.
        """
        case = attempt.case
        self.note_involvement(attempt)
        if attempt.actor and attempt.role and self.triggers[moved.trigger].approves:
            case.approvals.append(Approval(role=attempt.role, by=attempt.actor.staff_id))
        assigned = case.assignee
        self._remember(moved, attempt)
        pays_up_to = self.states[moved.dest].pays_up_to
        if pays_up_to is not None and moved.trigger != RETRY_PAYMENT:
            cast("Any", case).decided_fen = pays_up_to(moved, attempt)  # only a `PayingCase` comes there
        case.state = moved.dest
        self._end_loan(case, assigned)
        case.version += 1
        case.alarms = case.alarms + 1 if moved.stays and attempt.automatic is Automatic.CLOCK else 0
        case.entered_at = case.due = case.remind_at = None
        case.reminded = 0
        if self.is_final(case.state):
            case.outcome = case.state

    def _end_loan(self, case: CaseT, assigned: str | None) -> None:
        """Whom the flow itself assigns the case to has it; who has it for one role only, while it waits for that."""
        loan, expects = case.loan, self.states[case.state].expects
        if case.assignee != assigned:
            case.loan = None
        elif loan is not None and ((expects and loan.role not in expects) or self.is_final(case.state)):
            case.assignee, case.loan = loan.before, None

    def note_involvement(self, attempt: Attempt[CaseT]) -> None:
        """Whoever speaks for the buyer has a part in the case from then on, also with a fact that is only kept."""
        actor, involved = attempt.actor, attempt.case.involved
        if actor and self.triggers[attempt.trigger].speaks_for_buyer and actor.staff_id not in involved:
            involved.append(actor.staff_id)

    def rows(self, state: str, trigger: str | None = None) -> list[Move[CaseT]]:
        """The rows from a state, in the order in which they are tried."""
        return [row for row in self._rows_by_state.get(state, ()) if trigger is None or row.trigger == trigger]

    def rows_of(self, trigger: str) -> list[Move[CaseT]]:
        """The rows of a trigger, wherever it may be fired."""
        return [row for row in self.moves if row.trigger == trigger]

    @cached_property
    def _rows_by_state(self) -> dict[str, list[Move[CaseT]]]:
        by_state: dict[str, list[Move[CaseT]]] = {}
        for row in self.moves:
            by_state.setdefault(row.source, []).append(row)
        return by_state

    @cached_property
    def signals(self) -> list[Trigger]:
        """Every trigger that a person, or the shop, may fire: each is a signal of its own name."""
        return [t for t in self.triggers.values() if t.kind in (TriggerKind.DECISION, TriggerKind.FACT)]

    def offers(self, state: str) -> Sequence[Offer]:
        """What people may fire in a state, and in which roles."""
        return self._offers_by_state.get(state, ())

    @cached_property
    def _offers_by_state(self) -> dict[str, list[Offer]]:
        return {state: self._offers_of(rows) for state, rows in self._rows_by_state.items()}

    def _offers_of(self, rows: Sequence[Move[CaseT]]) -> list[Offer]:
        offers: list[Offer] = []
        for trigger in dict.fromkeys(row.trigger for row in rows):
            for role in self.roles_of(trigger):
                theirs = [row for row in rows if row.trigger == trigger and role in row.roles]
                if theirs:
                    offers.append(Offer(trigger, role, all(row.only_if for row in theirs)))
        return offers

    def roles_of(self, trigger: str) -> tuple[Role, ...]:
        """Every role that may fire the trigger somewhere in the flow."""
        return self._roles_by_trigger.get(trigger, ())

    @cached_property
    def _roles_by_trigger(self) -> dict[str, tuple[Role, ...]]:
        by_trigger: dict[str, dict[Role, None]] = {}
        for row in self.moves:
            by_trigger.setdefault(row.trigger, {}).update(dict.fromkeys(row.roles))
        return {trigger: tuple(roles) for trigger, roles in by_trigger.items()}

    @cached_property
    def may_pay_by_itself(self) -> frozenset[str]:
        """The states from which the clock, and the case's own work, may lead to where money leaves."""
        by_itself = [
            row
            for row in self.moves
            if Automatic.CLOCK in row.who
            or (Automatic.SYSTEM in row.who and self.triggers[row.trigger].kind is TriggerKind.OUTCOME)
        ]
        return leading_to([state.name for state in self.states.values() if state.pays], by_itself)

    def is_final(self, state: str) -> bool:
        """Whether the case ends in the state."""
        return self.states[state].kind is StateKind.END


_FURTHER = {"role": 0, "four_eyes": 1}
"""How far a row came, by the code of its refusal; every other code is a guard's."""
ABOUT_THE_PERSON = frozenset(_FURTHER)
"""Why a person may not, whatever the case knows: nothing needs to be looked up for them."""


def _condition(row: Move[Any], trigger: Trigger) -> Callable[[EventData], bool]:
    """The row's condition as `transitions` calls it: may they, is it another pair of eyes, do the guards hold.

    It writes why it refused, so that the answer comes from the enforcing code itself. A later condition's reason
    replaces an earlier one's: the row that came furthest explains the refusal best. One condition and not one for each
    question: `transitions` spends more on calling a condition than most of them take.
    """
    roles, wanted = row.roles, " or ".join(row.roles) or "the case itself"

    def refuse(attempt: Attempt[Any], code: str, why: str, guarded: Guard[Any] | None = None) -> bool:
        known = attempt.refusal
        if known is None or _FURTHER.get(code, 2) >= _FURTHER.get(known.code, 2):
            attempt.refusal = Refusal(code, why, row, guarded, attempt.asked_limit)
        return False

    def may(attempt: Attempt[Any]) -> bool:
        attempt.role = attempt.asked_limit = None
        if attempt.automatic is not None:
            return attempt.automatic in row.who or refuse(
                attempt, "role", f"{row.trigger} is not for the {attempt.automatic.value} to fire"
            )
        if attempt.actor is not None:
            for role in roles:
                if role in attempt.actor.grants:
                    attempt.role = role
                    return True
        return refuse(attempt, "role", f"{row.trigger} in {row.source} is for {wanted}")

    def other_eyes(attempt: Attempt[Any], actor: Actor) -> bool:
        person, case = actor.staff_id, attempt.case
        if person in case.involved:
            what = "opened" if person == case.opened_by else "spoke for the buyer in"
            return refuse(attempt, "four_eyes", f"{person} {what} this case and may not {row.trigger} in it")
        stands_for = [other for other in actor.deputises_for if other in case.involved]
        if stands_for:
            return refuse(attempt, "four_eyes", f"{person} deputises for {stands_for[0]}, who has a part in this case")
        if trigger.approves and any(given.by == person and given.role != attempt.role for given in case.approvals):
            return refuse(
                attempt,
                "four_eyes",
                f"{person} has approved this case at another level; two people are wanted",
            )
        return True

    def taken(event: EventData) -> bool:
        attempt = cast("Attempt[Any]", event.kwargs["attempt"])  # pyright: ignore[reportUnknownMemberType] - untyped there
        if not may(attempt):
            return False
        if trigger.four_eyes and attempt.actor is not None and not other_eyes(attempt, attempt.actor):
            return False
        for condition in row.only_if:
            if not (attempt.offering and condition.looked_up) and not condition.holds(attempt):
                named = f"{' and '.join(condition.fields)}: " if condition.fields else ""
                why = f"{named}{row.trigger} is refused unless {condition.label.en}"
                return refuse(attempt, condition.code, why, condition)
        attempt.move = row
        return True

    return taken


def _reject_unsound(flow: Flow[Any], states: Sequence[State], triggers: Sequence[Trigger]) -> None:
    faults: list[str] = []

    def doubled(names: list[str], what: str) -> None:
        faults.extend(f"{what} {name} is there twice" for name in sorted({n for n in names if names.count(n) > 1}))
        faults.extend(f"{what} {name!r} is not a plain name" for name in names if not _NAME.match(name))

    doubled([state.name for state in states], "state")
    doubled([trigger.name for trigger in triggers], "trigger")
    faults.extend(_faults_of_rows(flow))
    if not faults:
        faults.extend(_faults_of_states(flow))
        faults.extend(_faults_of_triggers(flow))
        faults.extend(_faults_of_figures(flow))
        faults.extend(_faults_of_money(flow))
    if faults:
        raise UnsoundFlow(f"{flow.name}: " + "; ".join(faults))


def _faults_of_rows(flow: Flow[Any]) -> list[str]:
    faults: list[str] = []
    seen: dict[tuple[str, str, Who], list[tuple[Guard[Any], ...]]] = {}
    for row in flow.moves:
        here = f"{row.trigger} from {row.source}"
        faults.extend(f"{here}: no state {name}" for name in (row.source, row.dest) if name not in flow.states)
        if row.trigger not in flow.triggers:
            faults.append(f"{here}: no trigger {row.trigger}")
            continue
        if not row.who:
            faults.append(f"{here}: nobody may fire it")
        # pyright trusts the annotation; a table may be written in a file that nobody checks
        faults.extend(
            f"{here}: guard {getattr(guarded, 'name', guarded)} does not exist"
            for guarded in row.only_if
            if not isinstance(guarded, Guard) or not callable(guarded.holds)  # pyright: ignore[reportUnnecessaryIsInstance]
        )
        for who in row.who:
            # pyright trusts the annotation; a table may be written in a file that nobody checks
            if not isinstance(who, Role | Automatic):  # pyright: ignore[reportUnnecessaryIsInstance]
                faults.append(f"{here}: no role {who}")
                continue
            before = seen.setdefault((row.trigger, row.source, who), [])
            # a row is never reached behind one whose guards are among its own
            if any(set(earlier) <= set(row.only_if) for earlier in before):
                faults.append(f"{here} to {row.dest}: cannot be told apart from a row before it for {who}")
            before.append(row.only_if)
        if flow.states.get(row.source, None) and flow.states[row.source].kind is StateKind.END:
            faults.append(f"{here}: leaves a final state")
    return faults


def _faults_of_states(flow: Flow[Any]) -> list[str]:
    faults: list[str] = []
    reached, frontier = {flow.initial}, [flow.initial]
    while frontier:
        here = frontier.pop()
        for row in flow.moves:
            if row.source == here and row.dest not in reached:
                reached.add(row.dest)
                frontier.append(row.dest)
    ends = leading_to([name for name in flow.states if flow.is_final(name)], flow.moves)
    faults.extend(f"state {name} is never reached" for name in flow.states if name not in reached)
    faults.extend(f"state {name} has no way to an end" for name in flow.states if name not in ends)

    for state in flow.states.values():
        rows = [row for row in flow.moves if row.source == state.name]
        clocks = {row.trigger for row in rows if Automatic.CLOCK in row.who}
        if state.kind is StateKind.WAIT:
            if state.deadline is None and state.watch is None:
                faults.append(f"state {state.name} waits without a deadline")
            elif state.deadline is not None and clocks != {state.deadline.trigger}:
                faults.append(f"state {state.name}: its deadline fires {state.deadline.trigger}, no clock row does")
            elif state.deadline is None and clocks:
                faults.append(f"state {state.name} has a clock row and no deadline")
            acting = {role for row in rows for role in row.roles}
            asks_nobody = not state.expects and state.deadline is not None
            if asks_nobody or not set(state.expects) <= acting:
                faults.append(f"state {state.name} expects somebody who has no row in it")
            if state.watch is not None and not any(
                Automatic.SYSTEM in row.who
                and (flow.triggers[row.trigger].kind is TriggerKind.OUTCOME or flow.triggers[row.trigger].from_shop)
                for row in rows
            ):
                faults.append(f"state {state.name} watches, and nothing that it sees leads on")
        elif clocks:
            faults.append(f"state {state.name} has a clock row and does not wait")
        if state.kind is StateKind.WORK and not any(
            Automatic.SYSTEM in row.who and flow.triggers[row.trigger].kind is TriggerKind.OUTCOME for row in rows
        ):
            faults.append(f"state {state.name}: no outcome of its work leads on")
    return faults


def _faults_of_figures(flow: Flow[Any]) -> list[str]:
    """What is named by text: else only the first case that comes to a wait would notice that its figure is missing."""
    section = flow.figures_type.model_fields.get("flow")
    policy = section.annotation if section is not None else None
    named = {
        (state.name, figure)
        for state in flow.states.values()
        for figure in (state.watch, *((state.deadline.wait, state.deadline.reminders) if state.deadline else ()))
        if figure is not None and figure not in getattr(policy, "model_fields", ()) and not hasattr(policy, figure)
    }
    return [f"state {state}: the policy has no figure {figure}" for state, figure in sorted(named)]


def _faults_of_money(flow: Flow[Any]) -> list[str]:
    pays = any(state.pays for state in flow.states.values())
    said = any(state.money is not Money.NONE for state in flow.states.values())
    return ["it pays, and no end of it says that the buyer has the money"] if pays and not said else []


def _faults_of_triggers(flow: Flow[Any]) -> list[str]:
    faults: list[str] = []
    for trigger in flow.triggers.values():
        rows = [row for row in flow.moves if row.trigger == trigger.name]
        if not rows:
            faults.append(f"trigger {trigger.name} is in no row")
        for row in rows:
            people, automatic = row.roles, [who for who in row.who if isinstance(who, Automatic)]
            if people and trigger not in flow.signals:
                faults.append(f"trigger {trigger.name} may be fired by people and has no signal")
            if trigger.kind is TriggerKind.CLOCK and automatic != [Automatic.CLOCK]:
                faults.append(f"trigger {trigger.name} is for the clock alone")
            if trigger.kind is not TriggerKind.CLOCK and Automatic.CLOCK in automatic:
                faults.append(f"trigger {trigger.name} is fired by a clock row and is no clock trigger")
            source = flow.states[row.source]
            if trigger.kind is TriggerKind.OUTCOME and source.kind is not StateKind.WORK and source.watch is None:
                faults.append(f"trigger {trigger.name} is an outcome, but no work is done in {row.source}")
    return list(dict.fromkeys(faults))
