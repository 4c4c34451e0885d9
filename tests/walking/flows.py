"""Every flow's hands and planner, by the flow's name. A new flow's hands are added here, and nowhere else."""

from __future__ import annotations

from functools import cache

from tests.walking.bulk_order import BulkHands
from tests.walking.driver import PEOPLE, Hands
from tests.walking.gift_approval import GiftHands
from tests.walking.planner import Planner
from tests.walking.problem_parcel import ParcelHands
from tests.walking.refund_before_shipping import RefundHands
from tests.walking.return_after_shipping import ReturnHands

HANDS: dict[str, type[Hands]] = {
    hands.world.flow.name: hands
    for hands in (
        RefundHands,
        ReturnHands,
        GiftHands,
        BulkHands,
        ParcelHands,
    )
}


@cache
def planner_of(flow: str) -> Planner:
    """The flow's planner: exploring takes seconds."""
    hands = HANDS[flow]
    return Planner(hands.world, PEOPLE, hands.once)
