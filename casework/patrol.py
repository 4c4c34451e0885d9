"""What a patrol says of itself: how far it is, and what came of it. Pure."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

MOST_LISTED: Final = 1_000
"""So many of the opened cases are named in the answer; all are counted."""

MOST_OPENED_A_RUN = 300
"""Temporal bounds how many children a run may have; they outlive it."""


class Patrolled(BaseModel):
    """How far a patrol is, or what came of it."""

    model_config = ConfigDict(extra="forbid")

    looked_at: int = 0
    """Open shipments."""
    opened: int = 0
    cases: list[str] = Field(default_factory=list[str])
    """The opened ones by case id; at most `MOST_LISTED`."""
    unopenable: int = 0
    """Parcels that need a case and can have none: their waybill is of no form that a case could be named by."""
    after: int = 0
    """The last shipment that was looked at."""
