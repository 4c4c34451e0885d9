"""The gift rule, free shipping, costs and the month's budget, as policy.md and flows.md have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casework.rules import gifts

FEN = st.integers(0, 10**10)
PERCENT = st.decimals(0, 100, places=2, allow_nan=False, allow_infinity=False)


def meets(total: int, cost: int, *, least: int = 59_900, percent: str = "5") -> bool:
    return gifts.meets_gift_rule(
        goods_total_fen=total, cost_fen=cost, order_min_fen=least, cost_max_percent=Decimal(percent)
    )


@pytest.mark.parametrize(
    ("total", "cost", "holds"),
    [
        (59_900, 2_995, True),
        (59_900, 2_996, False),
        (59_899, 0, False),
        (59_900, 0, True),
        (59_919, 2_995, True),
        # 5 percent of 599.19 are 29.9595 yuan: nothing is rounded up to the buyer's favour
        (59_919, 2_996, False),
        (59_920, 2_996, True),
        (100_000, 5_000, True),
    ],
)
def test_an_order_may_have_a_gift_from_its_least_total_and_up_to_the_share_of_it(
    total: int, cost: int, holds: bool
) -> None:
    assert meets(total, cost) is holds


def test_a_share_with_decimals_counts_to_the_fen() -> None:
    assert meets(60_000, 4_500, percent="7.5")
    assert not meets(60_000, 4_501, percent="7.5")
    assert meets(60_000, 6, percent="0.01")
    assert not meets(60_000, 7, percent="0.01")


@given(total=FEN, cost=FEN, least=FEN, percent=PERCENT)
def test_the_gift_rule_is_exact_in_fractions(total: int, cost: int, least: int, percent: Decimal) -> None:
    exact = total >= least and Fraction(cost) <= Fraction(percent) * total / 100
    assert meets(total, cost, least=least, percent=str(percent)) is exact


@given(total=FEN, cost=FEN, more=FEN)
def test_a_dearer_order_or_a_cheaper_gift_never_loses_the_gift(total: int, cost: int, more: int) -> None:
    if meets(total, cost):
        assert meets(total + more, cost)
        assert meets(total, max(0, cost - more))


@pytest.mark.parametrize(("total", "holds"), [(19_899, False), (19_900, True), (19_901, True)])
def test_an_order_goes_without_postage_from_its_least_total(total: int, holds: bool) -> None:
    assert gifts.meets_free_shipping_rule(goods_total_fen=total, min_fen=19_900) is holds


@given(piece=FEN, quantity=st.integers(1, 10**6), more=st.integers(1, 10**6))
def test_a_gift_costs_the_catalogues_cost_for_each_piece(piece: int, quantity: int, more: int) -> None:
    assert gifts.cost_of_gift(piece, quantity) + gifts.cost_of_gift(piece, more) == gifts.cost_of_gift(
        piece, quantity + more
    )
    assert gifts.cost_of_gift(piece, 1) == piece


@pytest.mark.parametrize(("piece", "quantity"), [(-1, 1), (100, 0), (100, -1)])
def test_a_gift_is_at_least_one_piece_of_no_negative_cost(piece: int, quantity: int) -> None:
    with pytest.raises(ValueError, match="a gift is at least one piece"):
        gifts.cost_of_gift(piece, quantity)


@pytest.mark.parametrize(
    ("at", "month"),
    [
        (datetime(2026, 11, 30, 15, 59, 59, tzinfo=UTC), "2026-11"),
        # midnight in Shanghai
        (datetime(2026, 11, 30, 16, 0, tzinfo=UTC), "2026-12"),
        (datetime(2026, 12, 31, 16, 0, tzinfo=UTC), "2027-01"),
        (datetime(2026, 12, 1, 0, 0, tzinfo=timezone(timedelta(hours=14))), "2026-11"),
    ],
)
def test_a_budget_is_that_of_the_calendar_month_in_the_shops_zone(at: datetime, month: str) -> None:
    assert gifts.budget_month(at, "Asia/Shanghai") == month


def test_a_time_without_a_zone_falls_in_no_month() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        gifts.budget_month(datetime(2026, 11, 30), "Asia/Shanghai")  # noqa: DTZ001 - that is the point


@given(budget=FEN, promised=FEN)
def test_what_is_left_of_a_budget_is_never_negative(budget: int, promised: int) -> None:
    left = gifts.budget_left(monthly_budget_fen=budget, promised_fen=promised)
    assert left == (budget - promised if promised <= budget else 0)
