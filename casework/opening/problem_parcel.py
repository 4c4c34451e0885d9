"""Opening a problem parcel: whose parcel it is, and what is in it."""

from __future__ import annotations

from sqlalchemy.orm import Session

from casework.opening.resolved import Resolved
from casework.shop import following
from state_machines.problem_parcel import PROBLEM_PARCEL, ParcelStart


def resolve(session: Session, start: ParcelStart) -> Resolved:
    """The parcel in the shop's own spelling, which names the case, and what is in it.

    What is in a return on its way to us stays the return's: no line of it is the case's own.

    Raises:
        BadRequest: the waybill is another order's, or an open case follows it under another.

    """
    parcel = following.parcel_of_start(session, start.order_id, start.waybill, start.from_case)
    waybill = parcel.waybill if parcel is not None else start.waybill
    return_case = parcel.return_case if parcel is not None else None
    inside = parcel.lines if parcel is not None else []
    return Resolved(
        f"{PROBLEM_PARCEL.name}-{waybill}",
        lines=inside if return_case is None else [],
        fields={"waybill": waybill, "return_case": return_case, "inside": [line.model_dump() for line in inside]},
    )
