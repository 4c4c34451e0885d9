"""Plans ways through a flow's table: few sequences of events, from an opening to an end, that take every row. Pure.

Every row is taken by everybody it names: by each role, by the clock, and by each happening of the flow's world. So a
row, a role or a happening that is new is walked with no new test.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from state_machines.laws.exploring import Explorer, Situation, Step, Witnessed
from state_machines.laws.world import Opening, Person, World
from state_machines.roles import Role
from state_machines.table import Flow, Move, StateKind

LOOK_AHEAD = 4
"""How many steps a plan goes for one more row before it turns to its end."""
LONGEST = 14
"""From how many steps on a plan goes for no more rows: several short ones are played at once."""


class Goal(NamedTuple):
    """A row, and who or what takes it: a role, an automatic actor, or a happening by its name."""

    move: Move[Any]
    by: str

    def __str__(self) -> str:
        return f"{self.move.trigger} in {self.move.source} to {self.move.dest} by {self.by}"


class Taken(NamedTuple):
    """A step as a plan takes it."""

    step: Step[Any]
    early: bool
    """A working state takes a decision before it does its work: it was sent while the step before was under way."""

    @property
    def move(self) -> Move[Any] | None:
        """The row; None: it is refused, and the case has learnt something by it."""
        return self.step.moved

    @property
    def source(self) -> str:
        """The state in which it is taken."""
        return self.step.start.case.state

    @property
    def dest(self) -> str:
        """The state in which the case is afterwards."""
        return self.step.to.case.state

    @property
    def kept(self) -> bool:
        """Whether it is a fact that comes before the case can use it."""
        return self.step.moved is None and self.step.event.actor is not None

    @property
    def role(self) -> Role | None:
        """In which role a person takes it."""
        return next(iter(self.step.event.actor.grants)) if self.step.event.actor is not None else None

    @property
    def by(self) -> str:
        """Who or what takes it."""
        event = self.step.event
        if self.role is not None:
            return self.role
        return event.happening.name if event.happening is not None else str(event.automatic)

    @property
    def goal(self) -> Goal | None:
        """The row and who takes it."""
        return None if self.move is None else Goal(self.move, self.by)


@dataclass(frozen=True)
class Plan:
    """A way from an opening."""

    flow: Flow[Any]
    opening: Opening[Any]
    steps: Sequence[Taken] = ()
    sought: Goal | None = None
    """What it was planned for first."""
    foreseen: Sequence[Taken] = ()
    """What will be on the way besides, where not all of its steps are known yet."""

    @property
    def known(self) -> Sequence[Taken]:
        """Everything of which it is known that it will be on the way: what the shop is prepared for."""
        return [*self.steps, *self.foreseen]

    @property
    def happenings(self) -> list[str]:
        """The names of everything that happens on the way."""
        return [one.step.event.happening.name for one in self.steps if one.step.event.happening is not None]

    @property
    def state(self) -> str:
        """Where it leads."""
        return self.steps[-1].dest if self.steps else self.flow.initial

    @property
    def name(self) -> str:
        """A name for files and failures."""
        return "_".join(str(self.sought or self.state).replace("-", "_").split())

    def __str__(self) -> str:
        return f"{self.name}: " + "; ".join(f"{one.step.event.trigger} {one.dest} ({one.by})" for one in self.steps)


class Node(NamedTuple):
    """Somewhere on a way, and all that it takes to know what may follow."""

    opening: Opening[Any]
    here: Situation[Any]
    steps: tuple[Taken, ...] = ()
    stoppable: bool = True
    """Whether something was under way before it came here, in which a running case can be stopped: the opening, the
    work of the state before, or the look at who is asking. Before the clock or the shop's news there is nothing."""
    used: frozenset[int] = frozenset()
    """What has happened already of that which happens to one order only once."""

    @property
    def key(self) -> tuple[int, bool, frozenset[int]]:
        return id(self.here), self.stoppable, self.used


class Planner:
    """Plans for one flow's world, with one plain staff member a role."""

    def __init__(self, world: World[Any], people: Sequence[Person], once: Sequence[frozenset[str]] = ()) -> None:
        """Explore the world.

        Args:
            world: the flow's world.
            people: who acts.
            once: triggers and happenings, by name, of which only one can happen to a real order, and once.

        """
        self.flow = world.flow
        self._once = once
        explorer = Explorer(world, people, one_role_each=True)
        steps = list(explorer.steps())
        self._openings: dict[int, Node] = {}
        for opening in world.openings:
            case = opening.case.model_copy(deep=True)
            here = explorer.situation(case, Witnessed(frozenset(case.involved)))
            self._openings.setdefault(id(here), Node(opening, here))
        goals = (Taken(step, early=False).goal for step in steps)
        self.goals = {goal for goal in goals if goal is not None}

    def plans(self) -> list[Plan]:
        """Ways that together take every row by everybody: the shortest to one that is missing, and on to others."""
        missing: set[Goal | None] = set(self.goals)
        plans: list[Plan] = []

        def lacks(taken: Taken) -> bool:
            return taken.goal in missing

        while missing:
            to_goal = self.nearest(self.openings, lacks)
            if to_goal is None:
                break  # the walk says what it could not take
            sought, node = to_goal.steps[-1].goal, to_goal
            while to_goal is not None and len(to_goal.steps) <= LONGEST:
                node = to_goal
                missing.difference_update(one.goal for one in node.steps)
                to_goal = self.nearest([node], lacks, LOOK_AHEAD)
            ended = self.to_an_end(node)
            assert ended is not None, f"no end is found after {sought}"
            missing.difference_update(one.goal for one in ended.steps)
            plans.append(Plan(self.flow, ended.opening, ended.steps, sought))
        return plans

    def way_into(self, state: str) -> Plan:
        """A shortest way from an opening into the state."""
        openings = self.openings
        if state == self.flow.initial:
            return Plan(self.flow, openings[0].opening)
        found = self.nearest(openings, lambda one: one.dest == state and not one.early)
        assert found is not None, f"no way leads into {state}"
        return Plan(self.flow, found.opening, found.steps)

    @property
    def openings(self) -> Sequence[Node]:
        """Where a way may begin."""
        return list(self._openings.values())

    def only_ends_follow(self, state: str) -> bool:
        """Whether an end is all that may come of it."""
        return self.flow.is_final(state) or all(self.flow.is_final(row.dest) for row in self.flow.rows(state))

    def to_an_end(self, node: Node) -> Node | None:
        """The nearest end from here; None where no way leads to one."""
        return node if self.flow.is_final(node.here.case.state) else self.nearest([node], self._is_an_end)

    def _is_an_end(self, taken: Taken) -> bool:
        return self.flow.is_final(taken.dest)

    def nearest(
        self, starts: Sequence[Node], wanted: Callable[[Taken], bool], most_steps: int | None = None
    ) -> Node | None:
        """The nearest place behind a wanted step; None where no way, or none so short, leads there."""
        frontier = deque((node, 0) for node in starts)
        known = {node.key for node in starts}
        while frontier:
            node, depth = frontier.popleft()
            if depth == most_steps:
                continue
            for taken, after in self.following(node):
                if wanted(taken):
                    return after
                if after.key not in known:
                    known.add(after.key)
                    frontier.append((after, depth + 1))
        return None

    def following(self, node: Node) -> Iterator[tuple[Taken, Node]]:
        """Every step that a running case can be made to take here."""
        working = self.flow.states[node.here.case.state].kind is StateKind.WORK
        for step in node.here.steps:
            taken = Taken(step, early=working and step.event.happening is None)
            # news that only teaches the case something is refused, and leads on all the same
            # (a person's is kept instead)
            taught = step.to is not step.start and (
                taken.kept or (step.event.happening is not None and step.event.actor is None)
            )
            if (step.moved is None and not taught) or (taken.early and not node.stoppable):
                continue
            used = {group for group, names in enumerate(self._once) if names & {taken.by, step.event.trigger}}
            if used & node.used:
                continue
            asked = step.event.actor is not None and not step.event.was_kept
            stoppable = not taken.early and (working or asked)
            yield taken, Node(node.opening, step.to, (*node.steps, taken), stoppable, node.used | used)
