"""Which open parcels the patrol opens a case for, and why. Pure.

Source: flows.md, section 5, last paragraph; policy.md, `patrol` and `problem_parcel`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from casework.shop.courier import ParcelState

Cause = Literal["overdue", "signed_unconfirmed", "exception"]

SIGNED: Final[frozenset[ParcelState]] = frozenset({"signed", "left_with_agent"})
"""The courier says that it was handed over: to the buyer, or to an agent or a locker."""
EXCEPTIONS: Final[frozenset[ParcelState]] = frozenset(
    {"problem", "customs_exception", "refused", "returning", "returned", "voided"}
)
"""The courier says that it will not reach the buyer by itself."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An open parcel as the patrol sees it. Times are aware datetimes.

    Attributes:
        left_at: when it left, as well as the shop knows; None where nothing says so.
        cycle: how long delivery usually takes there.
        state: by the newest scan shown; None where none is.
        state_since: when that scan was.

    """

    left_at: datetime | None
    cycle: timedelta
    state: ParcelState | None = None
    state_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a parcel needs a case, and since when it has needed one: a case that ended later has dealt with it."""

    cause: Cause
    since: datetime


def cause_of(parcel: Seen, *, at: datetime, grace: timedelta, signed_unconfirmed: timedelta) -> Finding | None:
    """Why a parcel of an unfinished trade needs a case at `at`; None if it needs none.

    Overdue or an exception at once, signed but not confirmed from `signed_unconfirmed` after the signing. `grace` is
    how much beyond the usual delivery is still no problem.
    """
    if parcel.state in SIGNED and parcel.state_since is not None:
        due = parcel.state_since + signed_unconfirmed
        return Finding("signed_unconfirmed", due) if due <= at else None
    if parcel.state in EXCEPTIONS and parcel.state_since is not None:
        return Finding("exception", parcel.state_since)
    if parcel.left_at is not None and parcel.left_at + parcel.cycle + grace <= at:
        return Finding("overdue", parcel.left_at + parcel.cycle + grace)
    return None
