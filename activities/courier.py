"""The courier: asked to stop a parcel. It leaves the shop, so it is an activity with its own line in the UI."""

from __future__ import annotations

from temporalio import activity

from activities.orders import OrderStep, writing_for
from casework.shop import courier
from casework.shop.database import Database


class CourierActivities:
    """Talks to couriers; the embedded one answers from imported scans."""

    def __init__(self, database: Database) -> None:
        """`database` is the shop's."""
        self._database = database

    @activity.defn
    def intercept(self, step: OrderStep) -> bool:
        """Ask the courier to stop the parcel of these lines and bring it back; False if it cannot be stopped."""
        with writing_for(self._database, step) as session:
            return courier.intercept(
                session,
                key=step.round_key("intercept"),
                case_id=step.case_id,
                order_id=step.order_id,
                lines=step.lines,
                at=step.at,
            )
