"""The rules of problem parcels, each by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casework.rules.parcels import (
    STATES,
    Forwarding,
    Region,
    Scanned,
    counted_from,
    courier_code,
    delivery_cycle,
    forwarded_to,
    has_exception,
    is_going_back,
    is_overdue,
    is_signed,
    lacks_scans,
    may_ask,
    meaning_of,
    priority_of,
    proves_receipt,
    province_of,
    receipt_extended,
    region_of,
    verdict,
)

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
REMOTE = ("内蒙古", "新疆", "西藏", "青海", "甘肃", "宁夏", "海南")


def scanned(code: str, *, ago: timedelta = HOUR, told_ago: timedelta = timedelta(0)) -> Scanned:
    return Scanned(code, NOW - ago, NOW - told_ago)


@pytest.mark.parametrize("code", ["3", "301", "302"])
def test_a_scan_signed_by_the_buyer_proves_receipt(code: str) -> None:
    assert proves_receipt(code)
    assert is_signed(scanned(code), None)


@pytest.mark.parametrize("code", ["303", "304"])
def test_an_agent_or_a_locker_is_signed_for_and_is_not_the_buyers_receipt(code: str) -> None:
    assert not proves_receipt(code)
    assert is_signed(scanned(code), None)


def test_nothing_else_is_a_signature() -> None:
    signed = {code for code in STATES if is_signed(scanned(code), None)}
    assert signed == {"3", "301", "302", "303", "304"}


@given(st.text(max_size=10).filter(lambda code: code not in STATES))
def test_an_unknown_code_is_taken_as_moving(code: str) -> None:
    assert meaning_of(code) == "moving"
    assert not has_exception(scanned(code), None)


def test_what_the_buyer_has_denied_is_no_signature_and_a_later_scan_is_one() -> None:
    assert not is_signed(scanned("301", ago=HOUR), NOW - HOUR)
    assert is_signed(scanned("301", ago=HOUR - SECOND), NOW - HOUR)


@pytest.mark.parametrize(
    ("address", "province"),
    [
        ("内蒙古自治区 锡林郭勒盟 锡林浩特市 测试路21号", "内蒙古"),
        ("广西壮族自治区 南宁市", "广西"),
        ("新疆维吾尔自治区 喀什地区", "新疆"),
        ("上海 上海市 徐汇区", "上海"),
        ("上海市 上海市", "上海"),
        ("山东省 菏泽市", "山东"),
        ("", ""),
    ],
)
def test_an_address_begins_with_its_province(address: str, province: str) -> None:
    assert province_of(address) == province


@pytest.mark.parametrize(
    ("address", "region"),
    [("山东省 菏泽市", "same"), ("上海 上海市", "other"), ("西藏自治区 那曲市", "remote"), ("", "other")],
)
def test_a_region_is_seen_from_the_shop(address: str, region: Region) -> None:
    assert region_of(address, shop_province="山东省", remote_provinces=REMOTE) == region


@pytest.mark.parametrize(
    ("region", "courier", "days"),
    [
        ("same", "yuantong", 2),
        ("other", "yuantong", 4),
        ("remote", "yuantong", 7),
        ("same", "ems", 3),
        ("other", "ems", 5),
        ("remote", "ems", 8),
    ],
)
def test_delivery_takes_as_long_as_the_policy_says_and_longer_by_ems(region: Region, courier: str, days: int) -> None:
    cycle = delivery_cycle(region, courier, same=2 * DAY, other=4 * DAY, remote=7 * DAY, ems_extra=DAY)
    assert cycle == days * DAY


def test_a_parcel_is_overdue_beyond_the_cycle_and_the_grace() -> None:
    due = NOW - 4 * DAY - DAY
    assert not is_overdue(due, cycle=4 * DAY, grace=DAY, at=NOW)
    assert is_overdue(due - SECOND, cycle=4 * DAY, grace=DAY, at=NOW)


def test_delay_is_counted_anew_from_the_couriers_last_answer() -> None:
    shipped, answered = NOW - 9 * DAY, NOW - DAY
    assert counted_from(shipped, None) == shipped
    assert counted_from(shipped, answered) == answered
    assert counted_from(NOW, answered) == NOW, "a parcel that left again later counts from then"
    assert counted_from(None, None) is None


def test_no_scan_for_too_long_is_what_the_courier_last_said_and_never_its_silence() -> None:
    begin = NOW - 9 * DAY
    assert not lacks_scans(scanned("0", ago=48 * HOUR), begin, no_scan=48 * HOUR)
    assert lacks_scans(scanned("0", ago=48 * HOUR + SECOND), begin, no_scan=48 * HOUR)
    assert not lacks_scans(scanned("0", ago=9 * DAY, told_ago=8 * DAY), begin, no_scan=48 * HOUR)
    assert not lacks_scans(scanned("0", ago=9 * DAY), NOW - HOUR, no_scan=48 * HOUR), "counted anew from the answer"
    assert not lacks_scans(None, begin, no_scan=48 * HOUR)


@pytest.mark.parametrize(
    "code", ["2", "13", "14", "201", "202", "203", "204", "205", "206", "207", "208", "209", "401"]
)
def test_an_exception_counts_if_it_is_newer_than_the_couriers_last_answer(code: str) -> None:
    assert has_exception(scanned(code), None)
    assert has_exception(scanned(code, ago=HOUR), NOW - HOUR - SECOND)
    assert not has_exception(scanned(code, ago=HOUR), NOW - HOUR)


def test_a_parcel_goes_back_until_the_courier_says_otherwise() -> None:
    assert is_going_back(scanned("6"), None)
    assert is_going_back(scanned("4"), None)
    assert not is_going_back(scanned("6", ago=HOUR), NOW - HOUR)
    assert not is_going_back(scanned("0"), None)


@pytest.mark.parametrize(
    ("code", "text", "forwarding"),
    [
        ("7", "快件已转EMS,新单号EA99000000002CN", Forwarding("ems", "EA99000000002CN")),
        ("7", "快件已转EMS,新单号:EA99000000002CN", Forwarding("ems", "EA99000000002CN")),
        ("7", "快件已转圆通速递,新运单号YT90497734577", Forwarding("yuantong", "YT90497734577")),
        ("7", "快件转EMS\uff0c新单号\uff1aEA99000000002CN", Forwarding("ems", "EA99000000002CN")),
        ("7", "已转EMS\uff1b新运单号\uff1aEA99000000002CN", Forwarding("ems", "EA99000000002CN")),
        ("7", "快件已转寄邮政EMS\uff0c新单号EA99000000002CN", Forwarding("ems", "EA99000000002CN")),
        ("7", "快件已转投其他快递", None),
        ("7", "快件已转某某快递,新单号EA99000000002CN", None),
        ("0", "快件已转EMS,新单号EA99000000002CN", None),
    ],
)
def test_a_forwarded_parcels_scan_names_its_new_waybill(code: str, text: str, forwarding: Forwarding | None) -> None:
    assert forwarded_to(code, text) == forwarding


def test_couriers_are_known_by_their_names_and_codes() -> None:
    assert courier_code("圆通速递") == "yuantong"
    assert courier_code("EMS") == "ems"
    assert courier_code("zhongtong") == "zhongtong"
    assert courier_code("某某快递") is None


@pytest.mark.parametrize(
    ("fen", "region", "priority"),
    [(99_999, "other", "usual"), (100_000, "other", "high"), (1, "remote", "high"), (1, "same", "usual")],
)
def test_big_parcels_and_key_regions_come_first(fen: int, region: Region, priority: str) -> None:
    assert priority_of(fen, region, big_parcel_fen=100_000) == priority


def test_receipt_is_put_off_by_three_days_whenever_less_than_one_is_left() -> None:
    assert receipt_extended(NOW + DAY, NOW) is None
    assert receipt_extended(NOW + DAY - SECOND, NOW) == NOW + 4 * DAY - SECOND
    assert receipt_extended(NOW - DAY, NOW) == NOW + 3 * DAY


def test_a_waybill_is_asked_for_seldom_enough_whoever_asks_and_whatever_their_clock() -> None:
    half = timedelta(minutes=30)
    assert may_ask(None, NOW, half)
    assert may_ask(NOW - half, NOW, half)
    assert not may_ask(NOW - half + SECOND, NOW, half)
    assert not may_ask(NOW + half - SECOND, NOW, half)


def judged(last: Scanned | None, **known: Any) -> str:
    usual: dict[str, Any] = {
        "forwarding_known": False,
        "begin": NOW - DAY,
        "overdue_from_start": False,
        "answered_at": None,
        "denied_at": None,
        "cycle": 4 * DAY,
        "grace": DAY,
        "no_scan": 2 * DAY,
        "fresh": HOUR,
        "at": NOW,
    }
    return verdict(last, **{**usual, **known})


@pytest.mark.parametrize(
    ("last", "known", "expected"),
    [
        (scanned("0"), {}, "moving"),
        (scanned("0"), {"begin": NOW - 6 * DAY}, "problem"),
        (scanned("0"), {"begin": NOW - 6 * DAY, "answered_at": NOW}, "problem"),
        (scanned("2"), {}, "problem"),
        (scanned("2"), {"answered_at": NOW}, "moving"),
        (scanned("6"), {}, "returning"),
        (scanned("6"), {"answered_at": NOW}, "moving"),
        (scanned("301"), {"begin": NOW - 60 * DAY}, "signed"),
        (scanned("304"), {"denied_at": NOW}, "moving"),
        (scanned("7"), {"forwarding_known": True}, "forwarded"),
        (scanned("7"), {}, "moving"),
        (scanned("0", told_ago=HOUR + SECOND), {}, "unknown"),
        (scanned("2", told_ago=DAY), {}, "problem"),
        (None, {}, "unknown"),
        (None, {"begin": NOW - 6 * DAY}, "problem"),
        (None, {"begin": None}, "unknown"),
        (None, {"begin": None, "overdue_from_start": True}, "problem"),
    ],
)
def test_a_look_comes_to_one_thing(last: Scanned | None, known: dict[str, Any], expected: str) -> None:
    assert judged(last, **known) == expected
