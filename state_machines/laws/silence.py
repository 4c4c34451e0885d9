"""Every way on which money leaves because nobody said anything: found by going them all, never written by hand."""

from __future__ import annotations

from typing import Any

from state_machines.laws.exploring import Situation, Step, by_amount
from state_machines.laws.world import World
from state_machines.table import Flow, Move

Way = tuple[Move[Any], ...]


def ways_on_which_silence_pays(world: World[Any]) -> list[Way]:
    """The rows of every such way that comes to no state twice, shortest first; its last row is the clock's."""
    explorer = by_amount(world)
    explorer.explore()
    situations = list(explorer.situations.values())
    leads_there = _that_can_pay_by_silence(situations, world.flow)
    ways: dict[Way, None] = {}

    def go_on(here: list[Situation[Any]], way: Way) -> None:
        """Go on from all the situations at once to which the same rows lead."""
        been = {here[0].case.state, *(row.source for row in way)}
        after: dict[Move[Any], dict[int, Situation[Any]]] = {}
        for step in (step for one in here for step in one.steps):
            row = step.moved
            if row is None:
                continue
            if step.pays_by_silence(world.flow):
                ways[*way, row] = None
            if row.dest not in been and id(step.to) in leads_there:
                after.setdefault(row, {})[id(step.to)] = step.to
        for row, to in after.items():
            go_on(list(to.values()), (*way, row))

    openings = [one for one in situations if one.case.version == 0]
    if openings:
        go_on(openings, ())
    return sorted(ways, key=lambda way: (len(way), [world.flow.moves.index(row) for row in way]))


def _that_can_pay_by_silence(situations: list[Situation[Any]], flow: Flow[Any]) -> set[int]:
    """Those situations, by identity, from which some way leads to such a payment."""
    into: dict[int, list[Situation[Any]]] = {}
    frontier: list[Situation[Any]] = []
    for one in situations:
        steps: list[Step[Any]] = one.steps
        for step in steps:
            into.setdefault(id(step.to), []).append(one)
        if any(step.pays_by_silence(flow) for step in steps):
            frontier.append(one)
    reached = {id(one) for one in frontier}
    while frontier:
        for before in into.get(id(frontier.pop()), ()):
            if id(before) not in reached:
                reached.add(id(before))
                frontier.append(before)
    return reached
