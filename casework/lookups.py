"""What a flow's workflow looks up, or does outside, only when it comes to it: nobody knows before what it will find.

Told by the workflow's own class: its hooks are what runs, each of a trigger or a wait (`case_workflow` refuses others).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from state_machines.table import Flow


@dataclass(frozen=True, slots=True)
class Lookups:
    """`triggers`: the shop is read, or written to, before the case moves by them; `states`: when they are entered.

    `consulted`: of the triggers, those for which the shop is read before the table is asked: whatever the case knows
    now may be otherwise by then.
    """

    triggers: frozenset[str]
    states: frozenset[str]
    consulted: frozenset[str] = frozenset()


@cache
def lookups_of(flow: Flow[Any]) -> Lookups:
    """What the flow's workflow looks up."""
    module = import_module(f"workflows.{flow.name.replace('-', '_')}")
    names = next(
        dir(one)
        for one in vars(module).values()
        if isinstance(one, type) and getattr(one, "flow", None) is flow and one.__module__ == module.__name__
    )

    def after(*hooks: str) -> frozenset[str]:
        return frozenset(name.removeprefix(hook) for hook in hooks for name in names if name.startswith(hook))

    return Lookups(
        triggers=after("consult_", "effect_"),
        states=after("begin_"),
        consulted=after("consult_"),
    )
