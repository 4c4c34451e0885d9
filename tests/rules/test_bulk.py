"""The rules of bulk orders: what is bulk, risk signs, discounts, prices, rebates and deadlines."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casework.rules.bulk import (
    Sign,
    approved_price,
    confirmation_due,
    discount_fen,
    is_bulk,
    is_young,
    may_grant,
    parse_percent,
    record_signs,
    ship_alarm_at,
    spread,
    talk_signs,
)

WORDS = ("材质", "成分", "检测报告", "授权", "商标")
ON = date(2026, 11, 20)
PERCENTS = st.decimals(min_value=0, max_value=100, places=2, allow_nan=False)
FEN = st.integers(min_value=0, max_value=10**9)


@pytest.mark.parametrize(
    ("pieces", "total_fen", "bulk"),
    [(20, 100, True), (19, 499_999, False), (1, 500_000, True), (19, 500_000, True), (20, 0, True)],
)
def test_an_order_is_bulk_by_its_pieces_or_by_its_total(pieces: int, total_fen: int, bulk: bool) -> None:
    assert is_bulk(pieces, total_fen, min_pieces=20, min_total_fen=500_000) is bulk


@pytest.mark.parametrize(("age_days", "young"), [(0, True), (29, True), (30, False), (4_000, False)])
def test_an_account_is_young_for_the_policys_days(age_days: int, young: bool) -> None:
    assert is_young(ON - timedelta(days=age_days), ON, young_account_days=30) is young


@pytest.mark.parametrize(
    ("texts", "signs"),
    [
        ([], []),
        (["120 件能便宜多少", "质量和实物一致吧,什么时候能到"], []),
        (["面料成分检测报告发我"], [Sign.MATERIAL_TALK]),
        (["商标授权书也发我"], [Sign.BRAND_LICENCE_TALK]),
        (["面料成分检测报告发我", "商标授权书也发我,成分和标的一样吗"], [Sign.MATERIAL_TALK, Sign.BRAND_LICENCE_TALK]),
    ],
)
def test_talk_of_material_and_brand_licence_is_a_sign_and_of_price_and_quality_is_none(
    texts: list[str], signs: list[Sign]
) -> None:
    assert talk_signs(texts, WORDS) == signs


def test_what_the_policy_does_not_list_is_no_sign() -> None:
    assert talk_signs(["面料成分检测报告发我"], ("Fabric",)) == []
    assert talk_signs(["which FABRIC is it"], ("Fabric",)) == [Sign.MATERIAL_TALK]


@pytest.mark.parametrize(
    ("registered_on", "purchases", "signs"),
    [
        (date(2016, 3, 8), 4, []),
        (date(2026, 11, 14), 4, [Sign.YOUNG_ACCOUNT]),
        (date(2016, 3, 8), 0, [Sign.NO_PURCHASES]),
        (date(2026, 11, 14), 0, [Sign.YOUNG_ACCOUNT, Sign.NO_PURCHASES]),
        (None, None, []),
    ],
)
def test_a_young_account_and_no_purchases_are_signs_and_what_is_not_known_is_none(
    registered_on: date | None, purchases: int | None, signs: list[Sign]
) -> None:
    assert record_signs(registered_on, purchases, on=ON, young_account_days=30) == signs


@pytest.mark.parametrize(
    ("text", "percent"),
    [("0", "0"), ("5", "5"), (" 7.5 ", "7.5"), ("12.25", "12.25"), ("100", "100"), ("5.00", "5"), ("15.010", "15.01")],
)
def test_a_discount_is_a_decimal_written_as_text(text: str, percent: str) -> None:
    assert parse_percent(text) == Decimal(percent)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("-1", "must not be below 0 percent"),
        ("-0.01", "must not be below 0 percent"),
        ("100.01", "must not be above 100 percent"),
        ("5.001", "must have at most two decimals"),
        ("", "must be a decimal written as text"),
        ("5%", "must be a decimal written as text"),
        ("1e1", "must be a decimal written as text"),
        ("NaN", "must be a decimal written as text"),
        ("\uff15", "must be a decimal written as text"),
        ("9" * 100, "must be a decimal written as text"),
    ],
)
def test_anything_else_is_refused_with_its_own_sentence(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_percent(text)


@given(PERCENTS)
def test_what_is_written_as_text_is_read_back_exactly(percent: Decimal) -> None:
    assert parse_percent(str(percent)) == percent


def test_a_limit_holds_to_the_hundredth() -> None:
    assert may_grant(Decimal(5), Decimal(5))
    assert not may_grant(Decimal("5.01"), Decimal(5))


@pytest.mark.parametrize(
    ("goods_fen", "postage_fen", "percent", "price_fen"),
    [
        (100_000, 0, "5", 95_000),
        (100_000, 1_200, "5", 96_200),
        (2_754_000, 0, "7.5", 2_547_450),
        (99, 0, "5", 95),
        (99, 0, "0", 99),
        (10_001, 500, "100", 500),
    ],
)
def test_the_discount_is_on_the_goods_and_rounded_down_to_whole_fen(
    goods_fen: int, postage_fen: int, percent: str, price_fen: int
) -> None:
    assert approved_price(goods_fen, postage_fen, Decimal(percent)) == price_fen


@given(FEN, FEN, PERCENTS)
def test_a_price_is_whole_never_negative_and_never_more_off_than_was_approved(
    goods_fen: int, postage_fen: int, percent: Decimal
) -> None:
    off = discount_fen(goods_fen, percent)
    assert isinstance(off, int)
    assert Decimal(off) * 100 <= goods_fen * percent < Decimal(off + 1) * 100
    price = approved_price(goods_fen, postage_fen, percent)
    assert postage_fen <= price <= goods_fen + postage_fen


@given(FEN, PERCENTS, PERCENTS)
def test_a_higher_discount_is_never_dearer(goods_fen: int, one: Decimal, other: Decimal) -> None:
    low, high = sorted((one, other))
    assert approved_price(goods_fen, 0, high) <= approved_price(goods_fen, 0, low)


@pytest.mark.parametrize("bad", [(-1, 0, "5"), (1, -1, "5"), (1, 0, "-5"), (1, 0, "101")])
def test_no_price_comes_of_what_is_no_price(bad: tuple[int, int, str]) -> None:
    with pytest.raises(ValueError, match="negative"):
        approved_price(bad[0], bad[1], Decimal(bad[2]))


def test_a_rebate_is_spread_by_what_is_left_of_the_lines_and_the_remainder_goes_to_the_last() -> None:
    assert spread(100, [1_000, 2_000]) == [33, 67]
    assert spread(100, [1_000, 2_000, 0]) == [33, 67, 0]
    assert spread(2, [1, 1, 1]) == [0, 1, 1]
    assert spread(0, []) == []


@given(st.lists(st.integers(0, 10**6), max_size=8), st.data())
def test_a_rebate_is_spread_whole_and_overdraws_no_line(left: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(left)))
    parts = spread(total, left)
    assert sum(parts) == total
    assert all(0 <= part <= room for part, room in zip(parts, left, strict=True))


def test_more_than_is_left_cannot_be_spread() -> None:
    with pytest.raises(ValueError, match="no more than what is left"):
        spread(3, [1, 1])


def test_the_alarm_comes_before_the_shipping_deadline_and_only_where_somebody_has_paid() -> None:
    paid_at = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
    figures = {"ship_by": timedelta(hours=48), "ship_alarm": timedelta(hours=12)}
    assert ship_alarm_at(paid_at, **figures) == datetime(2026, 11, 21, 22, 0, tzinfo=UTC)
    assert ship_alarm_at(None, **figures) is None


def test_the_confirmation_is_awaited_from_the_last_shipment_or_as_long_as_it_was_extended() -> None:
    shipped, days = datetime(2026, 11, 1, tzinfo=UTC), timedelta(days=15)
    later = datetime(2026, 11, 20, tzinfo=UTC)
    assert confirmation_due(shipped, confirmation=days, extended_until=None) == datetime(2026, 11, 16, tzinfo=UTC)
    assert confirmation_due(shipped, confirmation=days, extended_until=later) == later
    assert confirmation_due(later, confirmation=days, extended_until=shipped) == datetime(2026, 12, 5, tzinfo=UTC)
    assert confirmation_due(None, confirmation=days, extended_until=later) == later
    assert confirmation_due(None, confirmation=days, extended_until=None) is None
