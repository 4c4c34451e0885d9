"""Every flow's hands, by the flow's name. A new flow's are added here, and nowhere else."""

from __future__ import annotations

from tests.walking.driver import Hands
from tests.walking.refund_before_shipping import RefundHands

HANDS: dict[str, type[Hands]] = {hands.world.flow.name: hands for hands in (RefundHands,)}
