"""What the shop knows of the flows: the states and ends of a case by which it tells where goods and money are.

Each is a state of its flow's table, or else this cannot be imported: whoever splits or renames one finds it here.
"""

from __future__ import annotations

from typing import Final

from state_machines.bulk_order import BULK_ORDER
from state_machines.problem_parcel import PROBLEM_PARCEL
from state_machines.refund_before_shipping import REFUND_BEFORE_SHIPPING
from state_machines.return_after_shipping import RETURN_AFTER_SHIPPING

REFUND: Final = REFUND_BEFORE_SHIPPING.name
RETURN: Final = RETURN_AFTER_SHIPPING.name
BULK: Final = BULK_ORDER.name
PARCEL: Final = PROBLEM_PARCEL.name

ENDED_AS_MALICIOUS: Final = BULK_ORDER.states["terminated"].name
"""The end of a bulk order of which nothing ships any more."""
ENDING_AS_MALICIOUS: Final = BULK_ORDER.states["terminating"].name
"""The state that leads there."""

MAKES_GOOD: Final = PROBLEM_PARCEL.states_named("choosing_remedy", "awaiting_supervisor", "opening_refund")
"""The states of a parcel's case in which its goods will not come by this parcel, and nothing else is under way yet."""
REFUND_OPENED: Final = PROBLEM_PARCEL.states["refund_opened"].name
"""The end of a parcel's case that had it refunded."""

AWAITS_GOODS: Final = RETURN_AFTER_SHIPPING.states["awaiting_parcel"].name
"""The state of a return in which the buyer is to send the goods back."""
REFUNDED: Final = RETURN_AFTER_SHIPPING.states["refunded"].name
"""The end of a return that has paid."""
LAPSED: Final = RETURN_AFTER_SHIPPING.states["lapsed"].name
"""The end of a return for which the buyer has not done in time what was theirs to do; it may be reopened."""
DISPUTED: Final = RETURN_AFTER_SHIPPING.states["platform_dispute"].name
"""The end of a return of which the platform decides."""
RETURNED_TO_BUYER: Final = RETURN_AFTER_SHIPPING.states["returned_to_buyer"].name
"""The end of a return whose goods were not accepted."""
SENT_BACK: Final = RETURN_AFTER_SHIPPING.states_named("returned_to_buyer", "cancelled")
"""The ends of a return after which all that came in is on its way to the buyer."""
WITHDRAWN: Final = RETURN_AFTER_SHIPPING.states["withdrawn"].name
"""The end of a return of which the buyer keeps the goods after all."""
NOT_APPLICABLE: Final = RETURN_AFTER_SHIPPING.states["not_applicable"].name
"""The end of a return of which nothing has come."""
