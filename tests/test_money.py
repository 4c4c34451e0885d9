"""Money: shares, parts of lines, and yuan as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casework.money import LineQuantity, as_listed, as_typed, format_yuan, listed, parse_yuan, part_of_line, shares
from casework.reading import read_lines

WEIGHTS = st.lists(st.integers(0, 10**7), min_size=1, max_size=20)


@given(total=st.integers(0, 10**9), weights=WEIGHTS)
def test_shares_sum_to_the_whole_and_none_is_negative(total: int, weights: list[int]) -> None:
    shared = shares(total, weights)
    assert sum(shared) == total
    assert min(shared) >= 0


@given(total=st.integers(0, 10**9), weights=WEIGHTS)
def test_every_line_but_the_last_gets_its_share_rounded_down(total: int, weights: list[int]) -> None:
    shared = shares(total, weights)
    for share, weight in zip(shared[:-1], weights[:-1], strict=True):
        assert share == (total * weight // sum(weights) if sum(weights) else 0)


@given(lines=st.lists(st.tuples(st.integers(1, 999), st.integers(1, 999)), max_size=20))
def test_lines_that_are_listed_are_read_as_they_were(lines: list[tuple[int, int]]) -> None:
    pieces = [LineQuantity(line=line, quantity=quantity) for line, quantity in lines]
    assert as_listed(listed(pieces)) == pieces


def test_lines_are_written_as_commands_take_them() -> None:
    pieces = [LineQuantity(line=1, quantity=2), LineQuantity(line=3, quantity=1)]
    assert as_typed(pieces) == "1x2,3x1"
    assert [LineQuantity.model_validate(one) for one in read_lines(as_typed(pieces), {})] == pieces


def test_the_remainder_goes_to_the_last_line() -> None:
    assert shares(100, [1, 1, 1]) == [33, 33, 34]


def test_a_share_follows_price_times_quantity() -> None:
    assert shares(143_700, [23_900, 2 * 59_900]) == [23_900, 119_800]


def test_money_without_a_line_is_refused() -> None:
    assert shares(0, []) == []
    with pytest.raises(ValueError, match="no line"):
        shares(1, [])


@pytest.mark.parametrize(("total", "weights"), [(-1, [1]), (1, [-1, 2])])
def test_negative_money_and_weights_are_refused(total: int, weights: list[int]) -> None:
    with pytest.raises(ValueError, match="not negative"):
        shares(total, weights)


@given(data=st.data(), line_fen=st.integers(0, 10**8), quantity=st.integers(1, 50))
def test_any_split_of_the_quantity_pays_the_same_total(data: st.DataObject, line_fen: int, quantity: int) -> None:
    already, paid = 0, 0
    while already < quantity:
        taken = data.draw(st.integers(1, quantity - already))
        part = part_of_line(line_fen, quantity, already=already, taken=taken)
        assert part >= 0
        paid += part
        already += taken
    assert paid == line_fen


def test_the_remainder_goes_to_the_last_piece() -> None:
    assert [part_of_line(100, 3, already=done, taken=1) for done in range(3)] == [33, 33, 34]


def test_more_pieces_than_were_ordered_are_refused() -> None:
    with pytest.raises(ValueError, match="no more pieces"):
        part_of_line(100, 3, already=2, taken=2)


@pytest.mark.parametrize(
    ("text", "fen"),
    [("1437.00", 143_700), ("0.5", 50), ("7", 700), (" 12.34 ", 1234), ("0.00", 0), ("-3.10", -310)],
)
def test_yuan_are_read_exactly(text: str, fen: int) -> None:
    assert parse_yuan(text) == fen


@pytest.mark.parametrize(
    "text", ["", "1.234", "1e3", "1,437.00", "1,4", "１２", "12.", ".5", "+1", "1 2", "¥1", "NaN", "9" * 13, "1.2.3"]
)
def test_what_is_no_amount_in_yuan_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        parse_yuan(text)


@given(st.integers(-(10**13), 10**13))
def test_written_yuan_read_back_as_the_same_fen(fen: int) -> None:
    assert parse_yuan(format_yuan(fen).replace(",", "")) == fen


def test_yuan_are_written_with_thousands() -> None:
    assert [format_yuan(fen) for fen in (143_700, 5, 0, -100_000_001)] == ["1,437.00", "0.05", "0.00", "-1,000,000.01"]
