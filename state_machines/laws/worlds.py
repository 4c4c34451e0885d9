"""The world of every flow, by the flow's name. A flow without one cannot be checked, and its tests say so."""

from __future__ import annotations

from typing import Any

from state_machines.laws.bulk_order import WORLD as BULK_ORDER
from state_machines.laws.gift_approval import WORLD as GIFT_APPROVAL
from state_machines.laws.problem_parcel import WORLD as PROBLEM_PARCEL
from state_machines.laws.refund_before_shipping import WORLD as REFUND_BEFORE_SHIPPING
from state_machines.laws.return_after_shipping import WORLD as RETURN_AFTER_SHIPPING
from state_machines.laws.world import World

WORLDS: dict[str, World[Any]] = {
    world.flow.name: world
    for world in (
        REFUND_BEFORE_SHIPPING,
        RETURN_AFTER_SHIPPING,
        GIFT_APPROVAL,
        BULK_ORDER,
        PROBLEM_PARCEL,
    )
}
