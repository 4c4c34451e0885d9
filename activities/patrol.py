"""The patrol's look at the open shipments: it asks couriers, so it is an activity with its own line in the UI."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from temporalio import activity

from casework.policy import Policy
from casework.rules.patrol import Cause
from casework.shop import patrol
from casework.shop.database import Database


class LookFurther(BaseModel):
    """Where the patrol is, on its own clock."""

    patrol_id: str
    after: int
    at: datetime


class NeedsCase(BaseModel):
    """A parcel that needs a case."""

    case_id: str
    order_id: str
    waybill: str
    courier: str | None
    cause: Cause

    def fields(self) -> dict[str, Any]:
        """What its case is opened with."""
        return self.model_dump(exclude={"case_id"}, exclude_none=True)


class Looked(BaseModel):
    """What came of a look; it names only what is to be opened."""

    looked_at: int
    needing: list[NeedsCase]
    unopenable: int
    after: int
    more: bool


class PatrolActivities:
    """Looks at open shipments, a bounded number at a time."""

    def __init__(self, database: Database, policy: Callable[[], Policy]) -> None:
        """`policy` gives the policy in force now."""
        self._database = database
        self._policy = policy

    @activity.defn
    def look_further(self, request: LookFurther) -> Looked:
        """Look at the next open shipments, and answer which of them need a case."""
        with self._database.reading() as session:
            look = patrol.look_further(session, self._policy(), after=request.after, at=request.at)
        return Looked(
            looked_at=look.looked_at,
            needing=[
                NeedsCase(
                    case_id=patrol.CASE_PREFIX + one.waybill,
                    order_id=one.order_id,
                    waybill=one.waybill,
                    courier=one.courier,
                    cause=one.cause,
                )
                for one in look.found
            ],
            unopenable=0,
            after=look.after,
            more=look.more,
        )
