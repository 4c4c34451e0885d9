"""Every way on which money leaves because nobody said anything: found by going them all, never written by hand."""

from __future__ import annotations

from typing import Any

from state_machines.laws.exploring import Explorer, Situation, Step
from state_machines.laws.world import Person, World
from state_machines.roles import Automatic, Role
from state_machines.table import Move

Way = tuple[Move[Any], ...]


def ways_on_which_silence_pays(world: World[Any]) -> list[Way]:
    """The rows of every such way that comes to no state twice, shortest first; its last row is the clock's."""
    explorer = Explorer(world, [Person(role, roles=(role,)) for role in Role], one_role_each=True)
    for _ in explorer.steps():
        pass
    ways: dict[Way, None] = {}

    def go_on(here: Situation[Any], way: Way) -> None:
        been = {here.case.state, *(row.source for row in way)}
        for step in here.steps:
            row = step.moved
            if row is None:
                continue
            if _pays_by_silence(world, step):
                ways[*way, row] = None
            if row.dest not in been:
                go_on(step.to, (*way, row))

    for situation in list(explorer.situations.values()):
        if situation.case.version == 0:
            go_on(situation, ())
    return sorted(ways, key=lambda way: (len(way), [world.flow.moves.index(row) for row in way]))


def _pays_by_silence(world: World[Any], step: Step[Any]) -> bool:
    moved = step.moved
    return moved is not None and step.event.automatic is Automatic.CLOCK and world.flow.states[moved.dest].pays
