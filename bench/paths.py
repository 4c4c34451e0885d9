"""What is measured: ways through the flows, each as Casework goes it and as a bare workflow does.

Another flow adds its file in `bench/bare/` and its paths here, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from bench import world
from bench.bare.bulk_order import BareBulkOrder
from bench.bare.gift_approval import BareGiftApproval
from bench.bare.problem_parcel import BareProblemParcel
from bench.bare.refund_before_shipping import BareRefundBeforeShipping
from bench.bare.return_after_shipping import BareReturnAfterShipping
from casework.names import WORKFLOW_TYPES

Happening = Callable[[Session, str], None]
"""What happens in the shop, outside, to the order of this id; no case is told."""


def nothing(_session: Session, _order_id: str) -> None:
    """Nothing happens."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What somebody sends into the next wait. A text may name `{order_id}`, and `{parcel}`, which is its own too."""

    trigger: str
    by: str
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])
    looks: int = 0
    """So many waits come before this one in which the case only polls: each has a timer of its own."""
    first: Happening = nothing
    """What happens outside before it is sent."""

    def message(self, order_id: str) -> dict[str, Any]:
        """The signal's object."""
        return {"by": self.by, **about(order_id, self.fields)}


@dataclass(frozen=True, slots=True)
class Path:
    """One way through a flow; each answer goes into a wait of its own."""

    flow: str
    name: str
    bare: type
    prices: Sequence[tuple[int, int]]
    """The order's lines: price in fen, and quantity."""
    answers: tuple[Answer, ...]
    outcome: str
    by: str = "aftersale.1"
    start: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the case is opened with, beside order and opener; texts as in an answer."""
    shipped: bool = False
    first: Happening = nothing
    """What else the order needs before its case is opened."""
    untimely: Answer | None = None
    """What the first wait does not ask for: sent again and again, it makes a history long."""
    more_events: int | None = None
    """So many history events beyond bare are allowed; None: nobody has set a target."""

    def workflow_of(self, side: str) -> str:
        """The workflow type of a side."""
        return self.bare.__name__ if side == BARE else WORKFLOW_TYPES[self.flow]

    def start_of(self, order_id: str) -> dict[str, Any]:
        """What a case about the order is started with, on both sides."""
        return {"order_id": order_id, "by": self.by, **about(order_id, self.start)}


def about(order_id: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, their texts made to name this order and what is its own."""
    names = {"order_id": order_id, "parcel": order_id[-11:]}
    return {name: value.format(**names) if isinstance(value, str) else value for name, value in fields.items()}


CASEWORK, BARE = "casework", "bare"
SIDES = (CASEWORK, BARE)

_REASON = Answer("give_reason", "aftersale.1", {"reason": "bought twice"})
_INSISTS = Answer("buyer_insists", "aftersale.1")
_SUPERVISOR = Answer("approve", "aftersale-lead.1")
_FINANCE = Answer("approve", "finance.3")
_TAKEN = {"lines": [{"line": 1, "accepted_quantity": 1}], "gift_back": None, "invoice_back": None}
_DOSSIER = {"buyer_registered_on": "2021-04-01", "buyer_purchases": 7, "documents": ["licence-1"]}

PATHS = (
    # asked why, persuaded, insisted; the supervisor approves: the longest way that is common
    Path(
        "refund-before-shipping",
        "supervisor",
        BareRefundBeforeShipping,
        [(50_000, 1)],
        (_REASON, _INSISTS, _SUPERVISOR),
        "refunded",
        untimely=_SUPERVISOR,
        more_events=4,
    ),
    # the same over the supervisor's limit
    Path(
        "refund-before-shipping",
        "finance",
        BareRefundBeforeShipping,
        [(150_000, 1)],
        (_REASON, _INSISTS, _SUPERVISOR, _FINANCE),
        "refunded",
        more_events=4,
    ),
    # the reason is known, the amount is the agent's to decide: the shortest way that pays
    Path(
        "refund-before-shipping",
        "short",
        BareRefundBeforeShipping,
        [(10_000, 1)],
        (_INSISTS,),
        "refunded",
        start={"reason": "bought twice"},
        more_events=4,
    ),
    # without a reason, over the automatic limit and the clerk's: approved, sent back, received, inspected, paid
    Path(
        "return-after-shipping",
        "return",
        BareReturnAfterShipping,
        [(60_000, 1)],
        (
            _SUPERVISOR,
            Answer("buyer_ships", "aftersale.1", {"courier": "yuantong", "waybill": "WB{parcel}"}),
            Answer("receive_goods", "returns.1"),
            Answer("pass_inspection", "returns.1", _TAKEN),
            _FINANCE,
            Answer("buyer_confirms", "aftersale.1"),
        ),
        "refunded",
        start={"cause": "no_reason"},
        shipped=True,
    ),
    # the rule is not met and the buyer presses: the supervisor approves, the auditor adds the gift
    Path(
        "gift-approval",
        "gift",
        BareGiftApproval,
        [(30_000, 1)],
        (
            Answer("buyer_insists", "presale.1"),
            Answer("approve", "presale-lead.1"),
            Answer("add_gift", "audit.1"),
        ),
        "granted",
        by="presale.1",
        start={"kind": "gift", "gift_sku": world.GIFT, "quantity": 1, "cost_fen": world.GIFT_COST_FEN},
        first=world.gift_in_catalogue,
    ),
    # legal review, a discount that the supervisor may grant, paid back; shipped and confirmed
    Path(
        "bulk-order",
        "bulk",
        BareBulkOrder,
        [(30_000, 20)],
        (
            Answer("submit_dossier", "bulk.1", _DOSSIER),
            Answer("pass_legal_review", "manager.1", {"note": "an old customer"}),
            Answer("approve", "presale-lead.1"),
            Answer("change_amount", "audit.1", {"amount_fen": 570_000}),
            Answer("buyer_confirms", "bulk.1", first=world.ships),
        ),
        "completed",
        by="presale.1",
        start={"discount_percent": "5"},
    ),
    # the station was withdrawn and the buyer chooses another courier: forwarded, signed for, confirmed
    Path(
        "problem-parcel",
        "parcel",
        BareProblemParcel,
        [(10_000, 1)],
        (
            Answer("courier_answers", "parcel.1", {"finding": "station_withdrawn"}, looks=1),
            Answer("buyer_chooses", "aftersale.1", {"choice": "forward"}),
            Answer("parcel_forwarded", "parcel.1", {"courier": "ems", "waybill": "EA{parcel}"}),
            Answer("buyer_confirms", "aftersale.1", looks=1),
        ),
        "delivered",
        start={"waybill": "YT{parcel}", "courier": "yuantong", "cause": "asked"},
        shipped=True,
        first=world.parcel_in_trouble,
    ),
)

BARE_WORKFLOWS = list({path.bare: None for path in PATHS})


def paths_of(flow: str | None, name: str | None = None) -> list[Path]:
    """The paths of a flow, or of all; or the one of that name. The first of a flow is its longest common one.

    Raises:
        ValueError: where nothing of the kind is measured.

    """
    found = [path for path in PATHS if flow in (None, path.flow) and name in (None, path.name)]
    if not found:
        there = ", ".join(f"{path.flow} {path.name}" for path in PATHS)
        raise ValueError(f"there is no path {flow or ''} {name or ''}here; there is {there}".replace("  ", " "))
    return found
