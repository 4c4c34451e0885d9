"""Every flow there is, by its name. Where else a new flow is named: docs/changing-a-flow.md, "A new flow"."""

from __future__ import annotations

from typing import Any

from casework.sentences import quoted
from state_machines.bulk_order import BULK_ORDER
from state_machines.gift_approval import GIFT_APPROVAL
from state_machines.problem_parcel import PROBLEM_PARCEL
from state_machines.refund_before_shipping import REFUND_BEFORE_SHIPPING
from state_machines.return_after_shipping import RETURN_AFTER_SHIPPING
from state_machines.table import Flow

FLOWS: dict[str, Flow[Any]] = {
    flow.name: flow
    for flow in (
        REFUND_BEFORE_SHIPPING,
        RETURN_AFTER_SHIPPING,
        GIFT_APPROVAL,
        BULK_ORDER,
        PROBLEM_PARCEL,
    )
}
"""The flows by name, which is the prefix of their case ids."""


def flow_named(text: str) -> Flow[Any]:
    """The flow of that name, or the only one whose name begins so.

    Raises:
        ValueError: with one plain sentence, where none or several begin so.

    """
    if text in FLOWS:
        return FLOWS[text]
    found = [flow for name, flow in FLOWS.items() if text and name.startswith(text)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"{quoted(text)} begins {' and '.join(flow.name for flow in found)}: name one of them")
    raise ValueError(f"there is no flow {quoted(text)}; there is {', '.join(FLOWS)}")
