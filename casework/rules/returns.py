"""When a return is taken back, what proves a fault, and what a missing gift costs. Pure; days are the shop's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Cause = Literal["no_reason", "quality", "wrong_item", "not_as_described", "counterfeit", "transit_damage"]
Defect = Literal["severe_loose_thread", "hole", "missing_button", "burst_seam", "other"]
Evidence = Literal["photos", "description", "appraisal"]
Ground = Literal["deliberate_damage", "force_majeure", "slight_colour_difference", "opened", "too_late"]
"""Why the rules do not take a return back."""

FAULTS: frozenset[Cause] = frozenset({"quality", "wrong_item", "not_as_described", "counterfeit", "transit_damage"})
"""The causes that are a fault of the goods or of the shop (flows.md, section 2, "Rules")."""
SIGNED_BY_BUYER = ("3", "301", "302")
"""Kuaidi100's codes of a scan that says that the buyer has the parcel (flows.md, "Dates"; data.md): an agent, a locker
or a station (303, 304) is no receipt."""
FINISHED_AFTER = timedelta(days=10)
"""How long after signing an order counts as finished that nobody confirmed (flows.md, "Dates")."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the buyer asks for, and when that was first asked (an aware datetime)."""

    cause: Cause
    requested_at: datetime
    opened: bool = False
    """The package was opened and cannot be restored."""
    buyer_damage: bool = False
    force_majeure_damage: bool = False
    slight_colour_difference: bool = False


@dataclass(frozen=True, slots=True)
class Windows:
    """Within which time of signing, or of the order's finish, a return must be asked for, and the shop's zone."""

    no_reason: timedelta
    fault: timedelta
    timezone: str


def signed_at(scans: Sequence[tuple[datetime, str]], confirmed_at: datetime | None) -> datetime | None:
    """When the buyer had a parcel: the newest scan 3, 301 or 302; else the trade's confirmation; else not yet.

    So a parcel that an agent, a locker or a station took (303, 304) counts from the buyer's confirmation (flows.md,
    "Dates"). `scans` are times and Kuaidi100 codes in any order. Times are aware.
    """
    return max((at for at, code in scans if code in SIGNED_BY_BUYER), default=confirmed_at)


def received_at(parcels: Sequence[datetime | None]) -> datetime | None:
    """When a line had come whole that went in several parcels: with the last of them, or not yet (flows.md, "Dates",
    for what the manual does not say of lines in more than one parcel).

    Times are aware.
    """
    known = [one for one in parcels if one is not None]
    return max(known) if known and len(known) == len(parcels) else None


def finished_at(signed: datetime | None, confirmed_at: datetime | None) -> datetime | None:
    """When the order was finished: the trade's confirmation, else ten days after signing; None: not yet (flows.md,
    "Dates").

    Times are aware.
    """
    if confirmed_at is not None:
        return confirmed_at
    return signed + FINISHED_AFTER if signed is not None else None


def window_ends(begin: datetime, window: timedelta, timezone: str) -> datetime:
    """The first moment at which a window that began on this day is over: it counts whole calendar days of the zone from
    the following day (flows.md, "Dates"). Signed on Monday 23:50, seven days end with the next Monday.

    Raises:
        ValueError: for a time without a zone.

    """
    if begin.tzinfo is None:
        raise ValueError("a time without a zone is on no day")
    zone = ZoneInfo(timezone)
    following = begin.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(following, time.min, zone) + window


def grounds_to_refuse(
    request: Request, *, signed: datetime | None, finished: datetime | None, windows: Windows
) -> list[Ground]:
    """Every ground that the rules give against the return; none: it is taken back (flows.md, section 2, "Rules").

    Without a reason within seven days of signing, goods intact; for a fault within fifteen days after the order is
    finished, also when opened. Not for damage by the buyer or by force majeure once signed, not for a slight colour
    difference. What was not signed when it was asked for, or not finished, is inside every window. All of it is judged
    as of when the request was first opened. `signed` and `finished` are aware.
    """
    fault = request.cause in FAULTS
    had_signed = signed is not None and signed <= request.requested_at
    begin, window = (finished, windows.fault) if fault else (signed, windows.no_reason)
    late = begin is not None and request.requested_at >= window_ends(begin, window, windows.timezone)
    found: list[tuple[bool, Ground]] = [
        (request.buyer_damage and had_signed, "deliberate_damage"),
        (request.force_majeure_damage and had_signed, "force_majeure"),
        (request.slight_colour_difference, "slight_colour_difference"),
        (request.opened and not fault, "opened"),
        (late, "too_late"),
    ]
    return [ground for holds, ground in found if holds]


def evidence_missing(
    cause: Cause, *, photos: Sequence[str], description: str | None, appraisal: str | None
) -> list[Evidence]:
    """What of the evidence for a fault is still missing: photos and a description, for a counterfeit an appraisal
    (flows.md, section 2, `assess`). Nothing is asked of a return without a reason.
    """
    if cause not in FAULTS:
        return []
    if cause == "counterfeit":
        return [] if appraisal else ["appraisal"]
    given: list[tuple[bool, Evidence]] = [(bool(photos), "photos"), (bool(description), "description")]
    return [name for there, name in given if not there]


def gift_deduction_fen(gift_value_fen: int, *, gift_back: bool | None, deducted_before_fen: int) -> int:
    """What is taken off a refund because the gift did not come back: its value, once for an order (flows.md, section 2,
    "Rules": gift and invoice come back or the gift's value is deducted).

    Raises:
        ValueError: if money is negative.

    """
    if gift_value_fen < 0 or deducted_before_fen < 0:
        raise ValueError("money is not negative")
    return max(0, gift_value_fen - deducted_before_fen) if gift_back is False else 0
