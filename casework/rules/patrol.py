"""Which open parcels the patrol opens a case for, and why. Pure.

Source: flows.md, section 5, last paragraph; policy.md, `patrol` and `problem_parcel`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from casework.rules.parcels import EXCEPTIONS, GOING_BACK, HANDED_OVER, Scanned, is_overdue

Cause = Literal["overdue", "signed_unconfirmed", "exception"]

IN_TROUBLE: Final = EXCEPTIONS | GOING_BACK
"""The courier says that the parcel will not reach the buyer by itself."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An open parcel as the patrol sees it.

    Attributes:
        left_at: when it left (aware), as well as the shop knows; None where nothing says so.
        cycle: how long delivery usually takes there.
        last: the courier's last word; None where there is none.

    """

    left_at: datetime | None
    cycle: timedelta
    last: Scanned | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a parcel needs a case, and since when it has needed one: a case that ended later has dealt with it.

    `since` is aware.
    """

    cause: Cause
    since: datetime


def cause_of(parcel: Seen, *, at: datetime, grace: timedelta, signed_unconfirmed: timedelta) -> Finding | None:
    """Why a parcel of an unfinished trade needs a case at `at`; None if it needs none.

    Overdue or an exception at once, signed but not confirmed from `signed_unconfirmed` after the signing. `grace` is
    how much beyond the usual delivery is still no problem. `at` is aware.

    Source: flows.md, section 5, last paragraph; policy.md, `patrol.signed_unconfirmed_days`,
    `problem_parcel.overdue_grace_hours`.
    """
    last = parcel.last
    if last is not None and last.state in HANDED_OVER:
        due = last.at + signed_unconfirmed
        return Finding("signed_unconfirmed", due) if due <= at else None
    if last is not None and last.state in IN_TROUBLE:
        return Finding("exception", last.at)
    left = parcel.left_at
    if left is not None and is_overdue(left, cycle=parcel.cycle, grace=grace, at=at):
        return Finding("overdue", left + parcel.cycle + grace)
    return None
