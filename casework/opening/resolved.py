"""What the shop makes of a start: the case's id, its lines, and the flow's own fields."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any

from casework.money import LineQuantity


@dataclass(frozen=True, slots=True)
class Resolved:
    """A start as the shop understands it."""

    case_id: str
    lines: list[LineQuantity] = field(default_factory=list[LineQuantity])
    """What of the order it is about; empty where it is about no lines in particular."""
    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    """The flow's own, as plain JSON: they reach the workflow's `opened`."""


def case_id_of_lines(flow_name: str, order_id: str, asked: Set[int], every_line: Set[int]) -> str:
    """The workflow id of a case about an order; only some lines are named in it, ascending.

    Naming every line is the same as naming none.
    """
    some = asked if asked != every_line else set[int]()
    return f"{flow_name}-{order_id}" + ("-" + ".".join(map(str, sorted(some))) if some else "")
