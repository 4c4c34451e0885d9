"""Holds against shipping, flag wishes, memos, and how a case lets go of them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from casework.shop import courier, flags, holds, outside, releasing
from casework.shop.claims import claimed_lines
from casework.shop.database import Database
from casework.shop.errors import BadRequest, Held
from casework.shop.orders import read_order
from casework.shop.tables import InterceptRow, OrderRow
from tests.shop.steps import (
    CASE,
    NOW,
    ORDER,
    OTHER,
    an_order,
    claim,
    hold,
    memo_history,
    open_case,
    parcels,
    pieces,
    shown_flag,
)

ROUNDS = 25


def test_what_is_held_does_not_ship(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        assert hold(session, pieces((1, 1))).held
        with pytest.raises(Held, match=CASE) as refused:
            outside.ship(session, ORDER, at=NOW)
        assert refused.value.case_ids == [CASE]
        assert parcels(session) == [], "all or nothing"
        outside.ship(session, ORDER, lines=[2], at=NOW)
        assert [line.place for line in read_order(session, ORDER).lines] == ["unshipped", "shipped"]


def test_a_hold_is_counted_by_case(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        hold(session, pieces((1, 1)))
        hold(session, pieces((1, 1), (2, 1)), OTHER)
        assert holds.cases_holding(session, ORDER, 1) == sorted([CASE, OTHER])
        assert holds.cases_holding(session, ORDER, 2) == [OTHER]
        releasing.release_case(session, OTHER, flag_kept=None, at=NOW)
        assert holds.cases_holding(session, ORDER) == [CASE]


def test_nothing_is_held_where_one_line_has_left(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=[2], flag="yellow")
        result = hold(session, pieces((1, 2), (2, 1)))
        assert (result.held, result.flag_found) == (False, "yellow")
        assert holds.cases_holding(session, ORDER) == []
        assert shown_flag(session, ORDER) == "yellow"


def test_holding_again_gives_the_same_answer(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, flag="yellow")
        first = hold(session, pieces((1, 1)))
        assert first == hold(session, pieces((1, 1)))
        assert first.flag_found == "yellow"
        assert len(flags.flag_history(session, ORDER)) == 1


@pytest.mark.parametrize(("handed_over", "colour"), [(False, "green"), (True, "red")])
def test_a_refund_that_was_asked_shows_its_profiles_flag(shop: Database, *, handed_over: bool, colour: str) -> None:
    with shop.writing() as session:
        an_order(session, flag="yellow")
        holds.hold_lines(session, CASE, ORDER, pieces((1, 1)), handed_over_profile=handed_over, at=NOW)
        assert shown_flag(session, ORDER) == colour


def test_what_was_handed_to_the_warehouse_is_held_and_marked_only_once_the_warehouse_was_asked(shop: Database) -> None:
    def hold_it(case_id: str) -> holds.HoldResult:
        return holds.hold_lines(session, case_id, ORDER, pieces((1, 1)), handed_over_profile=True, at=NOW)

    with shop.writing() as session:
        an_order(session, flag="green")
        assert hold_it(CASE) == holds.HoldResult(held=True, flag_found="green")
        assert (shown_flag(session, ORDER), flags.flag_history(session, ORDER)) == ("green", [])
        holds.mark_order(session, CASE, ORDER, handed_over_profile=True, at=NOW)
        assert shown_flag(session, ORDER) == "red"
        assert hold_it(OTHER).flag_found == "green", "the first case's red does not hide the order's own flag"
        releasing.release_case(session, CASE, flag_kept=None, at=NOW)
        assert shown_flag(session, ORDER) == "green", "the second case has not marked it yet"


def test_a_green_that_a_case_wished_is_not_the_orders_own(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, flag="yellow")
        hold(session, pieces((1, 1)))
        second = holds.hold_lines(session, OTHER, ORDER, pieces((2, 1)), handed_over_profile=True, at=NOW)
        assert second == holds.HoldResult(held=True, flag_found="yellow")
        assert shown_flag(session, ORDER) == "red"


def test_the_platform_wins_over_a_hold(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        hold(session, pieces((1, 1)))
        outside.ship(session, ORDER, at=NOW, force=True)
        assert {line.place for line in read_order(session, ORDER).lines} == {"shipped"}
        assert not hold(session, pieces((1, 1))).held


def test_hold_against_ship_exactly_one_wins(shop: Database) -> None:
    """Two threads meet at a barrier in every round; whoever comes first shuts the other out."""
    with shop.writing() as session:
        for number in range(ROUNDS):
            an_order(session, order_id=f"33000000{number:03d}")

    def take_hold(order_id: str, start: threading.Barrier) -> bool:
        start.wait()
        with shop.writing() as session:
            return holds.hold_lines(session, CASE, order_id, pieces((1, 1)), handed_over_profile=False, at=NOW).held

    def mark_shipped(order_id: str, start: threading.Barrier) -> bool:
        start.wait()
        try:
            with shop.writing() as session:
                outside.ship(session, order_id, at=NOW)
        except Held:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        for number in range(ROUNDS):
            order_id, start = f"33000000{number:03d}", threading.Barrier(2)
            tasks = [pool.submit(one, order_id, start) for one in (take_hold, mark_shipped)]
            held, shipped = (task.result() for task in tasks)
            assert held != shipped


def test_the_strongest_wish_is_shown_then_the_orders_own_flag(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, flag="yellow")
        shown = [shown_flag(session, ORDER)]
        for case, colour in (("a", "green"), ("b", "purple"), ("c", "red")):
            flags.wish_flag(session, case, ORDER, colour, at=NOW)
            shown.append(shown_flag(session, ORDER))
        for case in ("c", "b", "a"):
            releasing.release_case(session, case, flag_kept=None, at=NOW)
            shown.append(shown_flag(session, ORDER))
        history = flags.flag_history(session, ORDER)
    assert shown == ["yellow", "green", "purple", "red", "purple", "green", "yellow"]
    assert [after for _, _, after in history] == shown[1:]


def test_releasing_lets_everything_go(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        claim(session, pieces((1, 1)))
        hold(session, pieces((1, 1)))
        courier.intercept(session, key="stop", case_id=CASE, order_id=ORDER, lines=pieces((1, 1)), at=NOW)
        assert courier.cases_stopping(session, ORDER, [1]) == [CASE]
        releasing.release_case(session, CASE, flag_kept=None, at=NOW)
        assert holds.cases_holding(session, ORDER) == []
        assert claimed_lines(session, CASE) == []
        assert session.query(InterceptRow).all() == []
        assert shown_flag(session, ORDER) == "none"


def test_a_lasting_flag_stays_when_the_case_is_released_again(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        hold(session, pieces((1, 1)))
        releasing.release_case(session, CASE, flag_kept="red", at=NOW)
        releasing.release_case(session, CASE, flag_kept=None, at=NOW)
        assert shown_flag(session, ORDER) == "red"


def test_a_case_without_hold_or_claim_can_leave_a_lasting_flag(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        open_case(session)
        releasing.release_case(session, CASE, flag_kept="red", at=NOW)
        assert shown_flag(session, ORDER) == "red"


def test_the_orders_own_flag_can_be_set_and_only_to_a_flag(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        outside.set_flag(session, ORDER, "green", at=NOW)
        assert shown_flag(session, ORDER) == "green"
        with pytest.raises(BadRequest, match="flag"):
            outside.set_flag(session, ORDER, "pink", at=NOW)


def test_a_memo_is_appended_to_once_a_key(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        order = session.get_one(OrderRow, ORDER)
        order.platform_memo = order.memo = "工号01"
        for _ in range(2):
            flags.append_memo(session, ORDER, "[已退款]", at=NOW, key="k")
        flags.append_memo(session, ORDER, "[完]", at=NOW, key="l")
        assert read_order(session, ORDER).memo == "工号01 [已退款] [完]"
        assert [text for _, text in memo_history(session, ORDER)] == ["[已退款]", "[完]"]


@pytest.mark.parametrize("theirs", ["工" * 300, "工" * 331, "工" * 333, "x" * 999, "x" * 1000, "工" * 400])
def test_a_memo_keeps_the_platforms_text_whole_and_shortens_ours(shop: Database, theirs: str) -> None:
    with shop.writing() as session:
        an_order(session)
        order = session.get_one(OrderRow, ORDER)
        order.platform_memo = order.memo = theirs
        flags.append_memo(session, ORDER, "退款" * 40, at=NOW, key="k")
        memo = read_order(session, ORDER).memo
    assert memo.startswith(theirs)
    assert len(memo.encode()) <= max(1000, len(theirs.encode()))
    assert memo == memo.rstrip()
