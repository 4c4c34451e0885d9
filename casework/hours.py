"""The shop's open hours: staff deadlines count only these. Pure.

The shop opens at the first moment at which its local clock has reached `open_from`, and closes at the first
at which it has reached `open_until`: that holds also on days on which the clock is put forward or back.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from casework.policy import Clock

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class OpenHours:
    """When the shop is open, every day.

    `open_from` and `open_until` are local times of the zone `timezone` (its IANA name). `open_until` is on the
    next day where it is earlier than `open_from`; where both are the same the shop never closes.
    """

    open_from: time
    open_until: time
    timezone: str

    @property
    def always(self) -> bool:
        """Whether the shop never closes."""
        return self.open_from == self.open_until

    def period(self, day: date) -> tuple[datetime, datetime]:
        """When the shop opens on a local day, and when it closes after that; both in UTC."""
        closing_day = day if self.open_from < self.open_until else day + DAY
        return (
            _first_moment(day, self.open_from, self.timezone),
            _first_moment(closing_day, self.open_until, self.timezone),
        )


def add_open_time(start: datetime, duration: timedelta, opening: OpenHours) -> datetime:
    """The moment at which the shop has been open for `duration` since `start`, in UTC.

    It is never while the shop is closed; where the time is used up exactly at closing, it is that moment.

    Raises:
        ValueError: for a start without a zone, or a negative duration.

    """
    start = _in_utc(start)
    if duration < timedelta(0):
        raise ValueError("open time cannot be negative")
    if opening.always:
        return start + duration
    day = _first_day(start, opening)
    while True:
        opens, closes = opening.period(day)
        begins = max(opens, start)
        if begins < closes:
            if duration <= closes - begins:
                return begins + duration
            duration -= closes - begins
        day += DAY


def open_time_between(start: datetime, end: datetime, opening: OpenHours) -> timedelta:
    """How long the shop is open from `start` until `end`.

    Raises:
        ValueError: for a time without a zone, or an end before the start.

    """
    start, end = _in_utc(start), _in_utc(end)
    if end < start:
        raise ValueError("the end is before the start")
    if opening.always:
        return end - start
    total = timedelta(0)
    day = _first_day(start, opening)
    while True:
        opens, closes = opening.period(day)
        if opens >= end:
            return total
        total += max(min(closes, end) - max(opens, start), timedelta(0))
        day += DAY


def reminder_at(start: datetime, due: datetime, share_percent: int, clock: Clock, opening: OpenHours) -> datetime:
    """When `share_percent` of the wait from `start` until `due` is over, by the wait's own clock; in UTC.

    Never after `due`; a wait that is over already is reminded of at `due`.

    Raises:
        ValueError: for a time without a zone.

    """
    start, due = _in_utc(start), _in_utc(due)
    if due <= start:
        return due
    if clock is Clock.ALWAYS:
        return start + (due - start) * share_percent / 100
    # the platform's deadline may have cut the wait to one in which the shop opens after `due`, or not at all
    return min(due, add_open_time(start, open_time_between(start, due, opening) * share_percent / 100, opening))


def _in_utc(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        raise ValueError("a time without a zone cannot be placed in open hours")
    return moment.astimezone(UTC)


def _first_day(start: datetime, opening: OpenHours) -> date:
    """The first day whose open period may reach beyond `start`: the day before, open over midnight."""
    return start.astimezone(ZoneInfo(opening.timezone)).date() - DAY


@lru_cache(maxsize=4096)
def _first_moment(day: date, clock_time: time, timezone: str) -> datetime:
    """The first moment, in UTC, at which the zone's local clock has reached this time of this day."""
    zone = ZoneInfo(timezone)
    local = datetime.combine(day, clock_time, tzinfo=zone)
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return moment
    # the clock was put forward over this time: the moment is that of the jump, which lies between the time read
    # by the zone's offset after the jump (PEP 495: fold 1) and the time read by the offset before it (fold 0)
    before = local.replace(fold=1).astimezone(UTC)
    seconds = range(int((moment - before).total_seconds()) + 1)
    offset = before.astimezone(zone).utcoffset()

    def jumped(second: int) -> bool:
        return (before + timedelta(seconds=second)).astimezone(zone).utcoffset() != offset

    return before + timedelta(seconds=bisect_left(seconds, True, key=jumped))  # noqa: FBT003 - what is searched for
