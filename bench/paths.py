"""What is measured: ways through the flows, each as Casework goes it and as a bare workflow does.

Another flow adds its file in `bench/bare/` and its paths here, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bench.bare.refund_before_shipping import BareRefundBeforeShipping
from casework.names import WORKFLOW_TYPES


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody sends into the next wait."""

    trigger: str
    by: str
    fields: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def message(self) -> dict[str, str]:
        """The signal's object."""
        return {"by": self.by, **self.fields}


@dataclass(frozen=True, slots=True)
class Path:
    """One way through a flow, with an order of one line at `price_fen`; each answer goes into a wait of its own."""

    flow: str
    name: str
    bare: type
    price_fen: int
    answers: tuple[Answer, ...]
    outcome: str
    start: dict[str, str] = field(default_factory=dict[str, str])
    untimely: Answer | None = None
    """What the first wait does not ask for: sent again and again, it makes a history long."""

    def workflow_of(self, side: str) -> str:
        """The workflow type of a side."""
        return self.bare.__name__ if side == BARE else WORKFLOW_TYPES[self.flow]

    def start_of(self, order_id: str) -> dict[str, Any]:
        """What a case about the order is started with, on both sides."""
        return {"order_id": order_id, "by": "aftersale.1", **self.start}


CASEWORK, BARE = "casework", "bare"
SIDES = (CASEWORK, BARE)

_REASON = Answer("give_reason", "aftersale.1", {"reason": "bought twice"})
_INSISTS = Answer("buyer_insists", "aftersale.1")
_SUPERVISOR = Answer("approve", "aftersale-lead.1")
_FINANCE = Answer("approve", "finance.3")

PATHS = (
    # asked why, persuaded, insisted; the supervisor approves: the longest way that is common
    Path(
        "refund-before-shipping",
        "supervisor",
        BareRefundBeforeShipping,
        50_000,
        (_REASON, _INSISTS, _SUPERVISOR),
        "refunded",
        untimely=_SUPERVISOR,
    ),
    # the same over the supervisor's limit
    Path(
        "refund-before-shipping",
        "finance",
        BareRefundBeforeShipping,
        150_000,
        (_REASON, _INSISTS, _SUPERVISOR, _FINANCE),
        "refunded",
    ),
    # the reason is known, the amount is the agent's to decide: the shortest way that pays
    Path(
        "refund-before-shipping",
        "short",
        BareRefundBeforeShipping,
        10_000,
        (_INSISTS,),
        "refunded",
        {"reason": "bought twice"},
    ),
)

BARE_WORKFLOWS = list({path.bare: None for path in PATHS})


def paths_of(flow: str, name: str | None = None) -> list[Path]:
    """The paths of a flow, or the one of that name; the first is its longest common one.

    Raises:
        ValueError: where nothing of the kind is measured.

    """
    found = [path for path in PATHS if path.flow == flow and name in (None, path.name)]
    if not found:
        there = ", ".join(f"{path.flow} {path.name}" for path in PATHS)
        raise ValueError(f"there is no path {flow} {name or ''}here; there is {there}".replace("  ", " "))
    return found
