"""What need not be said when a case is opened by hand, because the shop knows it: a parcel's order and courier."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from sqlalchemy.orm import Session

from casework.shop.errors import BadRequest
from casework.shop.following import courier_of
from casework.shop.tracking import orders_of_waybill

ASKED = "asked"
"""Why a person looks into a parcel, unless they say otherwise: the buyer asked."""


def order_of_parcel(session: Session, waybill: str) -> str:
    """The one order that has something in a parcel.

    Raises:
        BadRequest: the shop knows no such parcel, or it is one of several orders.

    """
    found = sorted(orders_of_waybill(session, waybill))
    if not found:
        raise BadRequest("waybill", f"the shop knows no parcel {waybill}; name its order")
    if len(found) > 1:
        raise BadRequest("waybill", f"{waybill} is a parcel of {', '.join(found)}; name the order that is meant")
    return found[0]


def complete_parcel(session: Session, start_type: type[BaseModel], fields: dict[str, Any]) -> None:
    """Put in what the shop knows of the parcel that is named, and that the buyer asked; what is said stays."""
    if "waybill" not in start_type.model_fields:
        return
    waybill = fields.get("waybill")
    if isinstance(waybill, str) and fields.get("courier") is None:
        fields["courier"] = courier_of(session, waybill)
    fields.setdefault("cause", ASKED)
