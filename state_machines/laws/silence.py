"""Every way on which money leaves because nobody said anything: found by going them all, never written by hand."""

from __future__ import annotations

from typing import Any

from state_machines.laws.exploring import Situation, by_amount
from state_machines.laws.world import World
from state_machines.table import Move

Way = tuple[Move[Any], ...]


def ways_on_which_silence_pays(world: World[Any]) -> list[Way]:
    """The rows of every such way that comes to no state twice, shortest first; its last row is the clock's."""
    explorer = by_amount(world)
    explorer.explore()
    ways: dict[Way, None] = {}

    def go_on(here: Situation[Any], way: Way) -> None:
        been = {here.case.state, *(row.source for row in way)}
        for step in here.steps:
            row = step.moved
            if row is None:
                continue
            if step.pays_by_silence(world.flow):
                ways[*way, row] = None
            if row.dest not in been:
                go_on(step.to, (*way, row))

    for situation in list(explorer.situations.values()):
        if situation.case.version == 0:
            go_on(situation, ())
    return sorted(ways, key=lambda way: (len(way), [world.flow.moves.index(row) for row in way]))
