"""The shop's open hours, also over midnight and where the clock is put forward or back."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from casework.hours import OpenHours, add_open_time, open_time_between, reminder_at
from casework.policy import Clock

SHANGHAI = ZoneInfo("Asia/Shanghai")
SHOP = OpenHours(time(8), time(1), "Asia/Shanghai")
NEVER_CLOSED = OpenHours(time(8), time(8), "Asia/Shanghai")
HOUR = timedelta(hours=1)

TIMES = st.times().map(lambda one: one.replace(second=0, microsecond=0))
ZONES = st.sampled_from(
    # without daylight saving; with; by half an hour; at midnight; a whole day left out in 2011
    ["Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia"]
)


def _long_enough(opening: OpenHours) -> bool:
    opened = timedelta(hours=opening.open_until.hour, minutes=opening.open_until.minute) - timedelta(
        hours=opening.open_from.hour, minutes=opening.open_from.minute
    )
    return opening.always or opened % timedelta(days=1) >= timedelta(minutes=15)


OPENINGS = st.builds(OpenHours, TIMES, TIMES, ZONES).filter(_long_enough)
MOMENTS = st.datetimes(datetime(2011, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone comes beside it
WAITS = st.timedeltas(timedelta(0), timedelta(days=4)).map(lambda one: timedelta(seconds=int(one.total_seconds())))


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=SHANGHAI)


def is_open(moment: datetime, opening: OpenHours) -> bool:
    day = moment.astimezone(ZoneInfo(opening.timezone)).date()
    periods = [opening.period(day + timedelta(days=away)) for away in (-2, -1, 0, 1)]
    return opening.always or any(opens <= moment <= closes for opens, closes in periods)


@pytest.mark.parametrize(
    ("start", "wait", "due"),
    [
        (at(22, 10), 4 * HOUR, at(22, 14)),
        (at(22, 23), 4 * HOUR, at(23, 10)),
        (at(22, 3), HOUR, at(22, 9)),
        (at(22, 0, 30), HOUR, at(22, 8, 30)),
        (at(22, 8), 17 * HOUR, at(23, 1)),
        (at(22, 8), 17 * HOUR + timedelta(minutes=1), at(23, 8, 1)),
        (at(22, 3), timedelta(0), at(22, 8)),
        (at(22, 8), 34 * HOUR, at(24, 1)),
    ],
)
def test_a_staff_deadline_counts_open_hours_only(start: datetime, wait: timedelta, due: datetime) -> None:
    assert add_open_time(start, wait, SHOP) == due


def test_a_shop_that_opens_and_closes_on_one_day_is_closed_at_night() -> None:
    opening = OpenHours(time(9), time(18), "Asia/Shanghai")
    assert add_open_time(at(22, 17), 2 * HOUR, opening) == at(23, 10)
    assert open_time_between(at(22, 17), at(23, 10), opening) == 2 * HOUR


def test_a_shop_that_closes_when_it_opens_never_closes() -> None:
    assert add_open_time(at(22, 3), 30 * HOUR, NEVER_CLOSED) == at(23, 9)
    assert open_time_between(at(22, 3), at(23, 9), NEVER_CLOSED) == 30 * HOUR


def test_a_night_on_which_the_clock_is_put_forward_is_an_hour_shorter() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    night = OpenHours(time(22), time(6), "Europe/Berlin")
    before = datetime(2026, 3, 28, 22, tzinfo=berlin)
    assert open_time_between(before, before + timedelta(days=1), night) == 7 * HOUR
    assert add_open_time(before, 7 * HOUR, night) == datetime(2026, 3, 29, 6, tzinfo=berlin)


def test_a_night_on_which_the_clock_is_put_back_is_an_hour_longer() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    night = OpenHours(time(22), time(6), "Europe/Berlin")
    before = datetime(2026, 10, 24, 22, tzinfo=berlin)
    assert add_open_time(before, 9 * HOUR, night) == datetime(2026, 10, 25, 6, tzinfo=berlin)


def test_a_shop_whose_opening_time_is_left_out_opens_when_the_clock_jumps() -> None:
    early = OpenHours(time(2, 30), time(12), "Europe/Berlin")
    opens, _ = early.period(datetime(2026, 3, 29, tzinfo=UTC).date())
    assert opens == datetime(2026, 3, 29, 1, tzinfo=UTC)


def test_a_whole_day_that_is_left_out_has_no_open_time_of_its_own() -> None:
    samoa = OpenHours(time(9), time(17), "Pacific/Apia")
    opens, closes = samoa.period(datetime(2011, 12, 30, tzinfo=UTC).date())
    assert opens == closes == datetime(2011, 12, 30, 10, tzinfo=UTC)


@given(MOMENTS, WAITS, OPENINGS)
def test_open_time_added_is_the_open_time_between(start: datetime, wait: timedelta, opening: OpenHours) -> None:
    assert open_time_between(start, add_open_time(start, wait, opening), opening) == wait


@given(MOMENTS, WAITS, OPENINGS)
def test_a_deadline_never_lies_in_closed_time(start: datetime, wait: timedelta, opening: OpenHours) -> None:
    due = add_open_time(start, wait, opening)
    assert due.tzinfo is UTC
    assert due >= start + wait
    assert is_open(due, opening)


@given(MOMENTS, WAITS, WAITS, OPENINGS)
def test_a_longer_wait_or_a_later_start_never_ends_earlier(
    start: datetime, wait: timedelta, more: timedelta, opening: OpenHours
) -> None:
    due = add_open_time(start, wait, opening)
    assert add_open_time(start, wait + more, opening) >= due
    assert add_open_time(start + more, wait, opening) >= due


@given(MOMENTS, WAITS, WAITS, OPENINGS)
def test_open_time_adds_up(start: datetime, first: timedelta, then: timedelta, opening: OpenHours) -> None:
    middle, end = start + first, start + first + then
    parts = open_time_between(start, middle, opening) + open_time_between(middle, end, opening)
    assert open_time_between(start, end, opening) == parts
    assert timedelta(0) <= parts <= first + then


@given(MOMENTS, WAITS, OPENINGS)
def test_the_end_of_a_wait_is_the_first_moment_at_which_its_open_time_is_over(
    start: datetime, wait: timedelta, opening: OpenHours
) -> None:
    assume(wait > timedelta(0))
    just_before = add_open_time(start, wait, opening) - timedelta(microseconds=1)
    assert open_time_between(start, just_before, opening) < wait


@given(MOMENTS, WAITS, st.integers(1, 99), st.sampled_from(Clock), OPENINGS)
def test_a_reminder_comes_within_its_wait(
    start: datetime, wait: timedelta, share: int, clock: Clock, opening: OpenHours
) -> None:
    due = add_open_time(start, wait, opening) if clock is Clock.OPEN else start + wait
    assert start <= reminder_at(start, due, share, clock, opening) <= due


@pytest.mark.parametrize(
    ("clock", "due", "reminder"),
    [
        # 3 h until closing and 3 h after opening
        (Clock.OPEN, at(23, 11), at(23, 1)),
        (Clock.ALWAYS, at(23, 11), at(23, 4, 30)),
        # cut by the platform's deadline while the shop is closed
        (Clock.OPEN, at(23, 6), at(22, 23, 30)),
    ],
)
def test_a_reminder_is_counted_by_the_clock_of_its_wait(clock: Clock, due: datetime, reminder: datetime) -> None:
    assert reminder_at(at(22, 22), due, 50, clock, SHOP) == reminder


def test_a_reminder_of_a_wait_within_closed_hours_is_not_after_its_end() -> None:
    assert reminder_at(at(22, 2), at(22, 5), 50, Clock.OPEN, SHOP) == at(22, 5)
    assert reminder_at(at(22, 5), at(22, 2), 50, Clock.OPEN, SHOP) == at(22, 2)


@pytest.mark.parametrize("opening", [SHOP, NEVER_CLOSED])
def test_a_time_without_a_zone_is_refused(opening: OpenHours) -> None:
    naive = datetime(2026, 11, 22)  # noqa: DTZ001 - that is what is refused
    with pytest.raises(ValueError, match="without a zone"):
        add_open_time(naive, HOUR, opening)
    with pytest.raises(ValueError, match="without a zone"):
        open_time_between(at(22, 1), naive, opening)
    with pytest.raises(ValueError, match="without a zone"):
        reminder_at(naive, at(22, 1), 50, Clock.OPEN, opening)


def test_a_negative_wait_and_an_end_before_its_start_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        add_open_time(at(22, 1), -HOUR, SHOP)
    with pytest.raises(ValueError, match="before the start"):
        open_time_between(at(22, 2), at(22, 1), SHOP)


def test_four_hundred_days_of_open_time_are_counted_day_by_day() -> None:
    opening = OpenHours(time(9), time(10), "Asia/Shanghai")
    assert add_open_time(at(22, 9), timedelta(days=400), opening) == at(22, 10) + timedelta(days=400 * 24 - 1)
