"""When the patrol opens a case for a parcel, and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from casework.rules.patrol import EXCEPTIONS, SIGNED, Finding, Seen, cause_of
from casework.shop.courier import STATES, ParcelState

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
CYCLE, GRACE, UNCONFIRMED = timedelta(days=4), timedelta(hours=24), timedelta(days=3)
INSTANT = timedelta(seconds=1)


def seen(state: ParcelState | None = None, *, left: timedelta | None, scanned: timedelta | None = None) -> Seen:
    """A parcel that left, and was last scanned, so long ago."""
    return Seen(
        left_at=None if left is None else NOW - left,
        cycle=CYCLE,
        state=state,
        state_since=None if scanned is None else NOW - scanned,
    )


def found(parcel: Seen) -> Finding | None:
    return cause_of(parcel, at=NOW, grace=GRACE, signed_unconfirmed=UNCONFIRMED)


@pytest.mark.parametrize("state", [None, *sorted(set(STATES.values()) - EXCEPTIONS - SIGNED)])
def test_a_parcel_under_way_is_overdue_once_the_usual_delivery_and_the_grace_are_over(
    state: ParcelState | None,
) -> None:
    scanned = None if state is None else timedelta(hours=1)
    assert found(seen(state, left=CYCLE + GRACE - INSTANT, scanned=scanned)) is None
    assert found(seen(state, left=CYCLE + GRACE, scanned=scanned)) == Finding("overdue", NOW)
    assert found(seen(state, left=CYCLE + GRACE + INSTANT, scanned=scanned)) == Finding("overdue", NOW - INSTANT)


def test_a_parcel_of_which_nobody_knows_when_it_left_is_never_overdue() -> None:
    assert found(seen(left=None)) is None


@pytest.mark.parametrize("state", sorted(EXCEPTIONS))
def test_an_exception_needs_a_case_at_once_also_where_it_is_overdue_too(state: ParcelState) -> None:
    assert found(seen(state, left=timedelta(hours=2), scanned=INSTANT)) == Finding("exception", NOW - INSTANT)
    assert found(seen(state, left=timedelta(days=40), scanned=INSTANT)) == Finding("exception", NOW - INSTANT)


@pytest.mark.parametrize("state", sorted(SIGNED))
def test_a_signed_parcel_needs_a_case_only_from_the_policys_days_on(state: ParcelState) -> None:
    long_ago = timedelta(days=40)
    assert found(seen(state, left=long_ago, scanned=UNCONFIRMED - INSTANT)) is None, "nor is it overdue"
    assert found(seen(state, left=long_ago, scanned=UNCONFIRMED)) == Finding("signed_unconfirmed", NOW)
