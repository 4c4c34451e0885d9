"""When the patrol opens a case for a parcel, and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from casework.rules.parcels import HANDED_OVER, STATES, Scanned, meaning_of
from casework.rules.patrol import IN_TROUBLE, Finding, Seen, cause_of

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
CYCLE, GRACE, UNCONFIRMED = timedelta(days=4), timedelta(hours=24), timedelta(days=3)
INSTANT = timedelta(seconds=1)


def seen(code: str | None = None, *, left: timedelta | None, scanned: timedelta = INSTANT) -> Seen:
    """A parcel that left, and was last scanned, so long ago."""
    last = None if code is None else Scanned(code, NOW - scanned, NOW)
    return Seen(None if left is None else NOW - left, CYCLE, last)


def found(parcel: Seen) -> Finding | None:
    return cause_of(parcel, at=NOW, grace=GRACE, signed_unconfirmed=UNCONFIRMED)


@pytest.mark.parametrize(
    "code", [None, "9999", *(code for code in STATES if meaning_of(code) not in IN_TROUBLE | HANDED_OVER)]
)
def test_a_parcel_under_way_is_overdue_once_the_usual_delivery_and_the_grace_are_over(code: str | None) -> None:
    assert found(seen(code, left=CYCLE + GRACE)) is None
    assert found(seen(code, left=CYCLE + GRACE + INSTANT)) == Finding("overdue", NOW - INSTANT)


def test_a_parcel_of_which_nobody_knows_when_it_left_is_never_overdue() -> None:
    assert found(seen(left=None)) is None


@pytest.mark.parametrize("code", [code for code in STATES if meaning_of(code) in IN_TROUBLE])
def test_an_exception_needs_a_case_at_once_also_where_it_is_overdue_too(code: str) -> None:
    assert found(seen(code, left=timedelta(hours=2))) == Finding("exception", NOW - INSTANT)
    assert found(seen(code, left=timedelta(days=40))) == Finding("exception", NOW - INSTANT)


@pytest.mark.parametrize("code", ["3", "301", "302", "303", "304"])
def test_a_signed_parcel_needs_a_case_only_from_the_policys_days_on(code: str) -> None:
    long_ago = timedelta(days=40)
    assert found(seen(code, left=long_ago, scanned=UNCONFIRMED - INSTANT)) is None, "nor is it overdue"
    assert found(seen(code, left=long_ago, scanned=UNCONFIRMED)) == Finding("signed_unconfirmed", NOW)
