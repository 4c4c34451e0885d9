"""The patrol's look at the open shipments: it asks couriers, so it is an activity with its own line in the UI."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel
from sqlalchemy.orm import Session
from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError

from activities.defining import uninterrupted
from casework.courier import Courier
from casework.opening import BadStart, examine_start
from casework.policy import Policy
from casework.rules.parcels import Scanned
from casework.shop import patrol, tracking
from casework.shop.database import Database
from state_machines.problem_parcel import PROBLEM_PARCEL
from state_machines.roles import Automatic

MOST_FOUND: Final = 100
"""So many parcels that need a case are answered at a time; the next look goes on behind the last of them."""
ASKED_AT_ONCE: Final = 50
"""Of so many waybills the couriers are asked between two signs of life."""
HANDED_BACK: Final = "HandedBack"


class LookFurther(BaseModel):
    """Where the patrol of this workflow id is, on its own clock (aware)."""

    patrol_id: str
    after: int
    at: datetime


class NeedsCase(BaseModel):
    """A parcel that needs a case: the case's id, and what it is opened with."""

    case_id: str
    start: dict[str, Any]


class Looked(BaseModel):
    """What came of a look; it names only what is to be opened."""

    looked_at: int
    """Open shipments."""
    needing: list[NeedsCase]
    unopenable: int
    """Parcels that need a case and can have none: the shop would refuse its start."""
    after: int
    """The last shipment that was looked at."""
    more: bool


class PatrolActivities:
    """Looks at open shipments, a bounded number at a time."""

    def __init__(self, database: Database, courier: Courier, policy: Policy) -> None:
        """`policy` is the one in force now."""
        self._database = database
        self._courier = courier
        self._policy = policy

    @uninterrupted
    def look_further(self, request: LookFurther) -> Looked:
        """Look at the next open shipments, ask their couriers, and answer which of them need a case."""
        policy, at = self._policy, request.at
        with self._database.reading() as session:
            batch = patrol.next_open(session, policy, after=request.after)
        words = self._ask({parcel.waybill: parcel.courier for parcel in batch.parcels}, request, policy)
        with self._database.reading() as session:
            found = patrol.needing_case(session, policy, batch.parcels, words, at=at)
            needing = [_start_of(session, one, request.patrol_id) for one in found[:MOST_FOUND]]
        looked_at, after, more = len(batch.parcels), batch.after, batch.more
        if len(found) > MOST_FOUND:
            after, more = found[MOST_FOUND - 1].parcel.shipment_id, True
            looked_at = sum(1 for parcel in batch.parcels if parcel.shipment_id <= after)
        opening = [one for one in needing if one is not None]
        return Looked(
            looked_at=looked_at,
            needing=opening,
            unopenable=len(needing) - len(opening),
            after=after,
            more=more,
        )

    def _ask(self, couriers: Mapping[str, str], request: LookFurther, policy: Policy) -> dict[str, Scanned]:
        """What the couriers say of these waybills, a few at a time, with a heartbeat between.

        Raises:
            CancelledError: the patrol was called off.
            ApplicationError: the worker is being stopped. Another one looks again, and asks only for what is left.

        """
        words: dict[str, Scanned] = {}
        waybills = list(couriers)
        for start in range(0, len(waybills), ASKED_AT_ONCE):
            if activity.in_activity():
                activity.heartbeat()
                if activity.is_cancelled():
                    raise CancelledError
                if activity.is_worker_shutdown():
                    raise ApplicationError("the worker is being stopped: another one goes on", type=HANDED_BACK)
            words |= tracking.ask_each(
                self._database,
                self._courier,
                {waybill: couriers[waybill] for waybill in waybills[start : start + ASKED_AT_ONCE]},
                at=request.at,
                poll_min=policy.problem_parcel.poll_min,
            )
        return words


def _start_of(session: Session, found: patrol.Found, patrol_id: str) -> NeedsCase | None:
    """What the case is opened with, examined as the case itself will; None where it would be refused."""
    start: dict[str, Any] = {
        "order_id": found.parcel.order_id,
        "by": Automatic.SYSTEM.value,
        "from_case": patrol_id,
        "waybill": found.parcel.waybill,
        "courier": found.parcel.courier,
        "cause": found.finding.cause,
    }
    try:
        examined = examine_start(session, flow_name=PROBLEM_PARCEL.name, given=start, from_case=patrol_id)
    except BadStart:
        return None
    return NeedsCase(case_id=examined.case_id, start=start)
