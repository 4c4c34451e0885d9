"""The rules of returns: windows in calendar days, what overrides what, evidence, and the missing gift."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from zoneinfo import ZoneInfo

import pytest

from casework.rules.returns import (
    FAULTS,
    Cause,
    Ground,
    Request,
    Windows,
    evidence_missing,
    finished_at,
    gift_deduction_fen,
    grounds_to_refuse,
    received_at,
    signed_at,
    window_ends,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
WINDOWS = Windows(no_reason=timedelta(days=7), fault=timedelta(days=15), timezone="Asia/Shanghai")
MONDAY = datetime(2026, 11, 16, 23, 50, tzinfo=SHANGHAI)


def shanghai(day: int, hour: int = 12, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=SHANGHAI)


def grounds(
    cause: Cause = "no_reason",
    at: datetime = MONDAY,
    *,
    signed: datetime | None = MONDAY,
    finished: datetime | None = None,
    **known: Any,
) -> list[Ground]:
    return grounds_to_refuse(Request(cause, at, **known), signed=signed, finished=finished, windows=WINDOWS)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (shanghai(23, 23, 59), []),
        (shanghai(23, 23, 59) + timedelta(seconds=59), []),
        (shanghai(24, 0, 0), ["too_late"]),
        (shanghai(23, 23, 59).astimezone(UTC), []),
        (shanghai(24, 0, 0).astimezone(UTC), ["too_late"]),
    ],
)
def test_signed_monday_late_it_may_go_back_until_the_end_of_the_next_monday(asked: datetime, found: list[str]) -> None:
    assert grounds(at=asked) == found


@pytest.mark.parametrize("minute", [0, 1, 59])
def test_the_hour_of_signing_makes_no_difference_within_its_day(minute: int) -> None:
    for hour in (0, 12, 23):
        ends = window_ends(shanghai(16, hour, minute), timedelta(days=7), "Asia/Shanghai")
        assert ends == shanghai(24, 0, 0)


def test_a_day_is_the_shops_and_not_utcs() -> None:
    # 16:30 UTC on Monday is Tuesday in Shanghai
    assert window_ends(datetime(2026, 11, 16, 16, 30, tzinfo=UTC), timedelta(days=7), "Asia/Shanghai") == shanghai(
        25, 0
    )


def test_a_time_without_a_zone_is_on_no_day() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        window_ends(datetime(2026, 11, 16), timedelta(days=7), "Asia/Shanghai")  # noqa: DTZ001 - the point of the test


@pytest.mark.parametrize("cause", sorted(FAULTS))
def test_a_fault_counts_from_the_finish_and_not_from_signing(cause: Cause) -> None:
    finished = shanghai(1, 9)
    assert grounds(cause, shanghai(16, 23, 59), signed=shanghai(1, 9) - timedelta(days=30), finished=finished) == []
    assert grounds(cause, shanghai(17, 0, 0), signed=None, finished=finished) == ["too_late"]


def test_what_is_not_signed_is_inside_every_window() -> None:
    assert grounds(signed=None) == []
    assert grounds("quality", signed=None, finished=None) == []


def test_what_was_signed_after_it_was_asked_for_was_not_signed_then() -> None:
    later = MONDAY + timedelta(hours=1)
    assert grounds(signed=later, buyer_damage=True, force_majeure_damage=True) == []


@pytest.mark.parametrize("cause", get_args(Cause))
@pytest.mark.parametrize(
    ("known", "ground"),
    [
        ("buyer_damage", "deliberate_damage"),
        ("force_majeure_damage", "force_majeure"),
        ("slight_colour_difference", "slight_colour_difference"),
    ],
)
def test_damage_once_signed_and_slight_colour_differences_are_no_cause(cause: Cause, known: str, ground: str) -> None:
    damage: dict[str, Any] = {known: True}
    assert grounds(cause, finished=MONDAY, **damage) == [ground]


@pytest.mark.parametrize(("known", "found"), [("buyer_damage", []), ("force_majeure_damage", [])])
def test_damage_before_signing_is_not_held_against_the_buyer(known: str, found: list[str]) -> None:
    damage: dict[str, Any] = {known: True}
    assert grounds(signed=None, **damage) == found


@pytest.mark.parametrize("cause", get_args(Cause))
def test_a_fault_overrides_opened(cause: Cause) -> None:
    assert grounds(cause, finished=MONDAY, opened=True) == ([] if cause in FAULTS else ["opened"])


def test_every_ground_is_named() -> None:
    known: dict[str, Any] = {
        "opened": True,
        "buyer_damage": True,
        "force_majeure_damage": True,
        "slight_colour_difference": True,
    }
    assert set(grounds(at=MONDAY + timedelta(days=30), **known)) == set(get_args(Ground))


# --- when it was signed, when it was finished ---


@pytest.mark.parametrize("code", ["3", "301", "302"])
def test_the_newest_scan_of_a_signature_counts(code: str) -> None:
    scans = [(shanghai(10), code), (shanghai(12), code), (shanghai(11), "301"), (shanghai(13), "0")]
    assert signed_at(scans, confirmed_at=shanghai(20)) == shanghai(12)


@pytest.mark.parametrize("code", ["303", "304"])
def test_what_an_agent_or_a_locker_took_counts_from_the_buyers_confirmation(code: str) -> None:
    assert signed_at([(shanghai(10), code)], confirmed_at=shanghai(20)) == shanghai(20)
    assert signed_at([(shanghai(10), code)], confirmed_at=None) is None
    assert signed_at([(shanghai(10), code), (shanghai(11), "301")], confirmed_at=None) == shanghai(11)


def test_without_a_scan_the_trades_confirmation_counts() -> None:
    assert signed_at([], confirmed_at=shanghai(20)) == shanghai(20)
    assert signed_at([(shanghai(10), "4")], confirmed_at=None) is None


def test_a_line_in_several_parcels_has_come_with_the_last_of_them() -> None:
    assert received_at([shanghai(10), shanghai(12)]) == shanghai(12)
    assert received_at([shanghai(10), None]) is None
    assert received_at([]) is None


def test_an_order_is_finished_by_confirmation_or_ten_days_after_signing() -> None:
    assert finished_at(shanghai(10), shanghai(12)) == shanghai(12)
    assert finished_at(shanghai(10), None) == shanghai(20)
    assert finished_at(None, None) is None


# --- evidence and gifts ---


@pytest.mark.parametrize(
    ("cause", "given", "missing"),
    [
        ("no_reason", {}, []),
        ("quality", {}, ["photos", "description"]),
        ("quality", {"photos": ["photo-1"]}, ["description"]),
        ("wrong_item", {"description": "the blue one"}, ["photos"]),
        ("transit_damage", {"photos": ["photo-1"], "description": "torn"}, []),
        ("not_as_described", {"photos": ["photo-1"], "description": "thin"}, []),
        ("counterfeit", {"photos": ["photo-1"], "description": "no label"}, ["appraisal"]),
        ("counterfeit", {"appraisal": "appraisal-1"}, []),
    ],
)
def test_a_fault_is_shown_by_photos_and_words_and_a_counterfeit_by_an_appraisal(
    cause: Cause, given: dict[str, Any], missing: list[str]
) -> None:
    known: dict[str, Any] = {"photos": [], "description": None, "appraisal": None, **given}
    assert evidence_missing(cause, **known) == missing


@pytest.mark.parametrize(
    ("back", "before", "fen"),
    [(True, 0, 0), (None, 0, 0), (False, 0, 3_000), (False, 1_000, 2_000), (False, 3_000, 0), (False, 9_000, 0)],
)
def test_a_gift_that_does_not_come_back_is_deducted_once(back: bool | None, before: int, fen: int) -> None:
    assert gift_deduction_fen(3_000, gift_back=back, deducted_before_fen=before) == fen


def test_money_is_not_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        gift_deduction_fen(-1, gift_back=False, deducted_before_fen=0)
