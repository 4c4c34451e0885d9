"""Every single-row mutation of a table, and whether a law, or the table's own checks, catch it."""

from __future__ import annotations

import sys
from collections import ChainMap, deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from state_machines.laws.exploring import Explorer, Situation, Step, that_can_end
from state_machines.laws.laws import faults_of_step
from state_machines.roles import Automatic, Role
from state_machines.table import Flow, Money, Move, StateKind, UnsoundFlow, Who

NEAREST, FARTHEST = 400, 500
"""How many situations of the row's state, nearest to an opening first, and how many that the sound table never came to
are looked at before a mutant counts as surviving: with all of them the verdicts are the same, and take twice as long.
"""


Verdict = Literal["lawless", "refused", "survives"]
"""It breaks a law; the table's own checks refuse it at import; it breaks nothing."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One row of a table changed in one way: `row` is its place, `now` what stands there instead (None: nothing)."""

    kind: str
    row: int
    now: Move[Any] | None
    before: Move[Any]

    def __str__(self) -> str:
        before, now = self.before, self.now
        here = f"{self.kind}: {before.trigger} {before.source} → {before.dest}"
        if now is None:
            return here
        if now.dest != before.dest:
            return f"{here} becomes → {now.dest}"
        if now.who != before.who:
            return f"{here} for {', '.join(before.who)} becomes for {', '.join(now.who)}"
        (dropped,) = set(before.only_if) - set(now.only_if)
        return f"{here} without {dropped.name}"


def mutations(flow: Flow[Any], *, all_of_them: bool = False) -> Iterator[Mutation]:
    """Guard dropped, role swapped, row (so also clock) removed, target changed: each for every row.

    Roles and targets stand for their like, unless all are asked for: of roles one that acts in the state, one that acts
    elsewhere and one that never does; of targets every paying state, an end with money, one without, and a wait.
    """
    for place, row in enumerate(flow.moves):
        for one in row.only_if:
            rest = tuple(guard for guard in row.only_if if guard is not one)
            yield Mutation("guard dropped", place, replace(row, only_if=rest), row)
        for one in row.who:
            for other in _others(flow, row, all_of_them=all_of_them):
                swapped = tuple(other if who is one else who for who in row.who)
                yield Mutation("role swapped", place, replace(row, who=swapped), row)
        yield Mutation("clock removed" if Automatic.CLOCK in row.who else "row removed", place, None, row)
        for target in _targets(flow, row, place, all_of_them=all_of_them):
            yield Mutation("target changed", place, replace(row, dest=target), row)


def _others(flow: Flow[Any], row: Move[Any], *, all_of_them: bool) -> list[Who]:
    acting = [role for other in flow.moves for role in other.roles]
    here = [role for other in flow.rows(row.source) for role in other.roles]
    sorts = [here, [role for role in acting if role not in here], [role for role in Role if role not in acting]]
    picked = list(Role) if all_of_them else [next(iter(_not_in(row, sort)), None) for sort in sorts]
    return [who for who in (*picked, *Automatic) if who is not None and who not in row.who]


def _not_in(row: Move[Any], roles: list[Role]) -> list[Role]:
    return [role for role in dict.fromkeys(roles) if role not in row.who]


def _targets(flow: Flow[Any], row: Move[Any], place: int, *, all_of_them: bool) -> list[str]:
    others = [state for state in flow.states.values() if state.name != row.dest]
    if all_of_them:
        return [state.name for state in others]
    waits = [state for state in others if state.kind is StateKind.WAIT]
    ends = [state for state in others if state.kind is StateKind.END]
    paid = [state for state in ends if state.money is Money.SENT]
    picked = [
        *(state for state in others if state.pays),
        *paid[:1],
        *[state for state in ends if state not in paid][:1],
        waits[place % len(waits)],
    ]
    return [state.name for state in picked]


def mutant(flow: Flow[Any], mutation: Mutation) -> Flow[Any]:
    """The flow with the mutation.

    Raises:
        UnsoundFlow: where the table's own checks refuse it.

    """
    rows = list(flow.moves)
    rows[mutation.row : mutation.row + 1] = [] if mutation.now is None else [mutation.now]
    return flow.changed(moves=rows)


def mutants_without_four_eyes(flow: Flow[Any]) -> Iterator[tuple[str, str, Flow[Any]]]:
    """The flow with one trigger that people with a part in the request may fire, or that gives nobody a part in it, or
    that is no approval.

    With what is left out, and the trigger's name.
    """
    for one in flow.signals:
        for what in ("four_eyes", "speaks_for_buyer", "approves"):
            if getattr(one, what):
                without = replace(one, **{what: False})
                triggers = [without if known is one else known for known in flow.triggers.values()]
                yield f"{one.name} without {what}", one.name, flow.changed(triggers=triggers)


class SoundTable:
    """The exploration of the sound table, kept so that a mutant is explored only where it can differ."""

    def __init__(self, explorer: Explorer[Any]) -> None:
        """It has gone everywhere."""
        self.flow = explorer.flow
        self.explorer = explorer
        self._can_end: dict[str, set[int]] = {}

    def verdict(self, mutation: Mutation) -> Verdict:
        """What becomes of the mutant."""
        try:
            mutated = mutant(self.flow, mutation)
        except UnsoundFlow:
            return "refused"
        return "survives" if self.fault_of(mutated, mutation.before) is None else "lawless"

    def situations_in(self, state: str) -> list[Situation[Any]]:
        """Every situation of a case in the state."""
        return [one for one in self.explorer.situations.values() if one.case.state == state]

    def can_end_without(self, state: str) -> set[int]:
        """The situations, by identity, that can come to an end and not pass through the state."""
        if state not in self._can_end:
            others = [one for one in self.explorer.situations.values() if one.case.state != state]
            self._can_end[state] = that_can_end(others, self.flow)
        return self._can_end[state]

    def fault_of(self, mutated: Flow[Any], row: Move[Any]) -> str | None:
        """The first law that a table breaks which differs from the sound one in this row alone; None: it breaks none.

        Only what the row's trigger does in the row's state can differ, and what that leads to where the sound table
        never went. A situation that the mutation itself made unreachable counts as reached all the same.
        """
        touched = self.situations_in(row.source)[:NEAREST]
        steps: dict[int, list[Step[Any]]] = {}
        most = len(touched) + FARTHEST
        fault = self._fault_from(touched, mutated, row.trigger, steps, most)
        if fault is not None or len(steps) > most:
            return fault
        return self._without_end(row.source, touched, steps)

    def fault_without(self, mutated: Flow[Any], trigger: str) -> str | None:
        """The first law that a table breaks whose trigger alone has changed; None: it breaks none."""
        return self._fault_from(list(self.explorer.situations.values()), mutated, trigger, {}, sys.maxsize)

    def _fault_from(
        self,
        touched: list[Situation[Any]],
        mutated: Flow[Any],
        trigger: str,
        steps: dict[int, list[Step[Any]]],
        most: int,
    ) -> str | None:
        """What the trigger does in these situations, and what that leads to where the sound table never went.

        Situations that are new are added to `touched`, and the steps of all to `steps`, until there are more than
        `most`.
        """
        explorer = self.explorer.like(mutated)
        fresh: dict[Hashable, Situation[Any]] = {}
        explorer.situations = ChainMap(fresh, self.explorer.situations)
        frontier = deque(touched)
        while frontier and len(steps) <= most:
            here = frontier.popleft()
            old = here.key not in fresh
            mine = [step for step in here.steps if step.event.trigger != trigger] if old else []
            for step in explorer.steps_from(here, trigger if old else None):
                fault = next(faults_of_step(explorer, step), None)
                if fault is not None:
                    return fault
                mine.append(step)
                if step.to.key in fresh and step.to.came is None:
                    step.to.came = step
                    touched.append(step.to)
                    frontier.append(step.to)
            steps[id(here)] = mine
        return None

    def _without_end(
        self, state: str, situations: Sequence[Situation[Any]], steps: dict[int, list[Step[Any]]]
    ) -> str | None:
        reached = set(self.can_end_without(state))
        reached.update(id(one) for one in situations if self.flow.is_final(one.case.state))
        left = list(situations)
        while True:
            more = [one for one in left if id(one) in reached or any(id(s.to) in reached for s in steps[id(one)])]
            if not more:
                break
            reached.update(map(id, more))
            left = [one for one in left if id(one) not in reached]
        return f"{left[0].case.state} can come to no end" if left else None
