"""Whether a path, as a case's trail tells it, is one that the flow's table allows. Pure.

Conditions are not asked for again: what they read is not in the trail. A replay asks them, with the machine itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from casework.case import Case, CaseView, TrailLine
from state_machines.asides import ASIDES
from state_machines.roles import Automatic, Role
from state_machines.table import Flow, Who

TEMPORAL = "temporal"
"""Who calls a case off through Temporal itself: for the table that is the system."""


@dataclass(frozen=True, slots=True)
class Path:
    """Where a case has been, and where that has led it; money in fen."""

    trail: Sequence[TrailLine]
    state: str
    outcome: str | None
    version: int
    amount_fen: int

    @classmethod
    def of(cls, told: Case[Any] | CaseView) -> Self:
        """The path of a case, or of what its view shows."""
        return cls(told.trail, told.state, told.outcome, told.version, told.amount_fen)

    @property
    def moves(self) -> list[TrailLine]:
        """The lines that are moves."""
        return [line for line in self.trail if line.is_move]

    def differs_from(self, other: Path) -> str | None:
        """In one sentence, where another path leaves this one; None: they are the same."""
        for number, (here, there) in enumerate(zip(self.moves, other.moves, strict=False), start=1):
            if _step(here) != _step(there):
                return f"move {number} was {_in_words(here)}, and is now {_in_words(there)}"
        mine, others = (_end(one) for one in (self, other))
        return None if mine == others else f"it came to {mine}, and now comes to {others}"


def path_faults(flow: Flow[Any], path: Path, *, ended: bool) -> list[str]:
    """What no table of this flow allows on the path, a sentence each. `ended`: whether the case is over by itself."""
    faults: list[str] = []
    here = flow.initial
    for number, line in enumerate(path.moves, start=1):
        if line.source != here:
            faults.append(f"move {number}, {_in_words(line)}, does not begin in {here}")
        fault = _row_fault(flow, line)
        if fault is not None:
            faults.append(f"move {number}, {_in_words(line)}: {fault}")
        here = line.dest or here
    faults += [
        f"{line.trigger} was accepted and is no move, and nothing that is said beside the table"
        for line in path.trail
        if line.accepted and not line.is_move and line.trigger not in ASIDES
    ]
    if path.state != here:
        faults.append(f"it is in {path.state}, and its moves lead to {here}")
    if path.version != len(path.moves):
        faults.append(f"it counts {path.version} moves and names {len(path.moves)}")
    final = path.state in flow.states and flow.is_final(path.state)
    if ended and not final:
        faults.append(f"it has ended in {path.state}, which is no end")
    if path.outcome != (path.state if final else None):
        faults.append(f"it is in {path.state}, and its outcome is {path.outcome or 'none'}")
    return faults


def _row_fault(flow: Flow[Any], line: TrailLine) -> str | None:
    rows = [row for row in flow.rows(line.source or "", line.trigger) if row.dest == line.dest]
    if not rows:
        return "the table has no such row"
    who = _who(line)
    if who is None or not any(who in row.who for row in rows):
        allowed = dict.fromkeys(str(one) for row in rows for one in row.who)
        return f"the row is for {' or '.join(allowed)}"
    return None


def _who(line: TrailLine) -> Who | None:
    """Who took the row; None: nobody whom a table knows."""
    if line.role is not None:
        return Role(line.role) if line.role in set(Role) else None
    if line.by in (Automatic.SYSTEM, TEMPORAL):
        return Automatic.SYSTEM
    return Automatic.CLOCK if line.by == Automatic.CLOCK else None


def _step(line: TrailLine) -> tuple[str | None, ...]:
    return (line.trigger, line.source, line.dest, line.by, line.role)


def _in_words(line: TrailLine) -> str:
    who = line.by if line.role is None else f"{line.by} as {line.role}"
    return f"{line.trigger} from {line.source} to {line.dest} by {who}"


def _end(path: Path) -> str:
    return f"{path.state} after {len(path.moves)} moves with {path.amount_fen} fen"
