"""What can happen to a case from outside its table: how it begins, what its work may come to, what the shop may report,
and who may ask. A flow's world is written once; the laws are explored in it, and the tests walk it for real.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from casework.case import Actor, Case
from casework.messages import Message
from state_machines.roles import Automatic, Role
from state_machines.table import Attempt, Flow, Guard, Move

CaseT = TypeVar("CaseT", bound=Case[Any])


def _learns_nothing(_: Case[Any]) -> None:
    return None


def _always(_: Case[Any]) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Happening(Generic[CaseT]):
    """What the work in a state may come to, or what the shop may report to a case that waits.

    Attributes:
        name: what happens, for people; a test's driver makes it happen for real by this name.
        trigger: what it fires.
        states: where it can happen; none: wherever the trigger has a row.
        learn: what the case is told before the table is asked.
        possible: whether it can happen to this case at all.
        takes: what the case holds in the shop from then on (`claim`, `hold`, `budget`).
        lets_go: whether everything that the case held is let go.
        pays: whether money leaves the shop with it.
        paid_by_platform: whether the buyer has the money, from the platform.
        changes_amount: whether another amount is due with it.
        for_people: whether it is explored again with everybody whom four eyes can tell apart; what leads to nothing
            that four eyes are wanted for need not be.

    """

    name: str
    trigger: str
    states: tuple[str, ...] = ()
    learn: Callable[[CaseT], None] = _learns_nothing
    possible: Callable[[CaseT], bool] = _always
    takes: tuple[str, ...] = ()
    lets_go: bool = False
    pays: bool = False
    paid_by_platform: bool = False
    changes_amount: bool = False
    for_people: bool = True


class Person(NamedTuple):
    """Somebody on the staff, who asks in each of these roles (none: in every one)."""

    staff_id: str
    stands_for: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    limits_fen: tuple[int | None, ...] = (None,)
    """Own limits to try, in fen."""


@dataclass(frozen=True, slots=True)
class Known(Generic[CaseT]):
    """Something that a case knows and some guards read: it tells situations apart for as long as one may come."""

    read: Callable[[CaseT], Hashable]
    guards: tuple[Guard[Any], ...] = ()
    """None: it always counts."""


@dataclass(frozen=True, slots=True)
class Opening(Generic[CaseT]):
    """One way in which a case begins: the case before anything is done, and how to open it for real.

    `for_people`: whether it is explored again with everybody whom four eyes can tell apart; one of each kind suffices.
    """

    case: CaseT
    how: Any = None
    for_people: bool = True


@dataclass(frozen=True)
class World(Generic[CaseT]):
    """Everything outside the table of one flow.

    Attributes:
        flow: the flow.
        openings: every way in which a case begins.
        happenings: what work may come to, and news from the shop.
        message: a message that fires the trigger with all fields it needs, from this person; of the case itself it
            says at most the amount.
        lets_go_by: triggers with which people, or the shop's news, have the case let go of everything that it holds.
        keeps: what an ending may keep of what the case held, by the ending.
        counts_kept: facts that guards read while no state has used them; a case keeps them, and uses them as it enters
            a wait with a row for them.
        more_messages: further messages of a trigger whose fields decide which row is taken.
        effects: what the shop's answer to an accepted trigger writes into the case.
        pays_by_hand: triggers with which a person says that the money was sent outside, and whose word that is.
        known: what a case knows that guards, or this world, can tell apart.
        authority: up to which amount in fen a move decides that money may leave; None: it decides nothing.
        voids: triggers that take back what was decided before them.
        silent: the clock rows, as (trigger, source), by which flows.md lets money leave.
        low_limit_fen: an own limit of a person that is below every amount, in fen.
        asked_for: whether the buyer asked for the money.
        wrong: what must never be true of a case in its state, said in one sentence; None: nothing is wrong.

    """

    flow: Flow[CaseT]
    openings: Sequence[Opening[CaseT]]
    happenings: Sequence[Happening[CaseT]]
    message: Callable[[CaseT, str, str], Message]
    known: Sequence[Known[CaseT]]
    authority: Callable[[Move[CaseT], Attempt[CaseT]], int | None]
    silent: frozenset[tuple[str, str]]
    asked_for: Callable[[CaseT], bool]
    low_limit_fen: int
    voids: frozenset[str] = frozenset()
    lets_go_by: frozenset[str] = frozenset()
    keeps: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    counts_kept: frozenset[str] = frozenset()
    effects: Mapping[str, Callable[[CaseT], None]] = field(default_factory=dict[str, Callable[[CaseT], None]])
    pays_by_hand: Mapping[str, Role] = field(default_factory=dict[str, Role])
    more_messages: Callable[[CaseT, str, str], Sequence[Message]] = lambda _case, _trigger, _by: ()
    wrong: Callable[[CaseT], str | None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Event(Generic[CaseT]):
    """One thing that can happen to a case next: somebody's message, the clock, or a happening.

    A happening with an actor is the shop's news that a person brings first.
    """

    trigger: str
    actor: Actor | None = None
    automatic: Automatic | None = None
    message: Message | None = None
    happening: Happening[CaseT] | None = None
    was_kept: bool = False
    """A fact that came before the case could use it, and that it uses now by itself."""

    def __str__(self) -> str:
        """Who, or what, does what."""
        happens = "" if self.happening is None else f" ({self.happening.name})"
        if self.actor is not None:
            (role, limit), *_ = self.actor.grants.items()
            own = "" if limit is None else f" with a limit of {limit} fen"
            return f"{self.trigger} by {self.actor.staff_id} as {role}{own}{happens}"
        if happens:
            return f"{self.trigger}{happens}"
        return f"{self.trigger} by the {self.automatic}"
