"""Orders as cases read them: the lines that are meant, and how they stand."""

from __future__ import annotations

import pytest

from casework.dues import RefundDue
from casework.money import LineQuantity
from casework.shop import orders, outside
from casework.shop.amounts import LedgerLine
from casework.shop.claims import claim_lines
from casework.shop.database import Database
from casework.shop.errors import BadRequest, UnknownOrder
from casework.shop.payments import amount_due
from casework.shop.tables import OrderRow
from tests.shop.steps import CASE, NOW, ORDER, OTHER, an_order, claim, pay, pieces


def test_an_unknown_order_is_refused(shop: Database) -> None:
    with shop.writing() as session:
        with pytest.raises(UnknownOrder, match="no order 123456"):
            orders.read_order(session, "123456")
        with pytest.raises(UnknownOrder):
            orders.lock_order(session, "123456")


def test_an_order_is_read_whole(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, postage_fen=1_200, shipped=[2])
        order = orders.read_order(session, ORDER)
    assert (order.state, order.paid, order.paid_fen, order.refunded_fen) == ("partly_shipped", True, 26_200, 0)
    assert [(line.paid_fen, line.left, line.place) for line in order.lines] == [
        (20_000, 2, "unshipped"),
        (5_000, 1, "shipped"),
    ]
    assert [parcel.lines for parcel in order.parcels] == [pieces((2, 1))]


def test_by_default_all_unshipped_lines_are_meant(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=[2])
        assert orders.resolve_lines(session, ORDER, None) == pieces((1, 2))


def test_by_default_all_lines_are_meant_when_none_is_unshipped(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        assert orders.resolve_lines(session, ORDER, None) == pieces((1, 2), (2, 1))


def test_by_default_what_is_left_of_a_line_is_meant(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        assert pay(session, pieces((1, 1)), 10_000).status == "paid"
        assert orders.resolve_lines(session, ORDER, None) == pieces((1, 1), (2, 1))


def test_where_nothing_is_left_all_lines_are_meant_and_the_case_finds_them_refunded(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        outside.refunded(session, ORDER, at=NOW)
        lines = orders.resolve_lines(session, ORDER, None)
        assert lines == pieces((1, 2), (2, 1))
        assert orders.standing(session, ORDER, lines).refunded


def test_lines_come_out_ascending(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        assert orders.resolve_lines(session, ORDER, pieces((2, 1), (1, 1))) == pieces((1, 1), (2, 1))


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ([], "no line is named"),
        (pieces((3, 1)), "no line 3"),
        (pieces((0, 1)), "no line 0"),
        (pieces((1, 1), (1, 1)), "named twice"),
        (pieces((1, 0)), "at least 1"),
        (pieces((1, -1)), "at least 1"),
        (pieces((1, 3)), "3 asked, 2 left"),
    ],
)
def test_lines_that_do_not_fit_the_order_are_refused(shop: Database, asked: list[LineQuantity], sentence: str) -> None:
    with shop.writing() as session:
        an_order(session)
        with pytest.raises(BadRequest, match=sentence) as refused:
            orders.resolve_lines(session, ORDER, asked)
    assert refused.value.field == "lines"


def test_a_mixture_of_shipped_and_unshipped_lines_is_refused(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=[2])
        with pytest.raises(BadRequest, match="some of the lines have shipped"):
            orders.resolve_lines(session, ORDER, pieces((1, 1), (2, 1)))


def test_an_order_whose_lines_are_not_known_cannot_be_refunded(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        session.get_one(OrderRow, ORDER).lines_known = False
        with pytest.raises(BadRequest, match="import its line list") as refused:
            orders.resolve_lines(session, ORDER, None)
    assert refused.value.field == "order_id"


def test_the_standing_says_what_is_due_and_whether_it_left(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, postage_fen=1_200, shipped=[2])
        unshipped = orders.standing(session, ORDER, pieces((1, 2)))
        left = orders.standing(session, ORDER, pieces((2, 1)))
    assert (unshipped.paid, unshipped.closed, unshipped.refundable_fen) == (True, False, 20_000)
    assert (unshipped.shipped, unshipped.refunded, unshipped.claimed_by) == (False, False, None)
    assert left.shipped


def test_an_unpaid_order_has_nothing_due(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, paid=False)
        standing = orders.standing(session, ORDER, pieces((1, 1)))
    assert (standing.paid, standing.refundable_fen) == (False, 0)


def test_a_closed_order_says_so_and_has_nothing_due(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        outside.close(session, ORDER, at=NOW)
        standing = orders.standing(session, ORDER, pieces((1, 1)))
    assert (standing.closed, standing.paid, standing.refunded, standing.refundable_fen) == (True, True, True, 0)


def test_another_cases_claim_is_named_and_the_own_is_not(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        claim(session, pieces((1, 1)))
        assert orders.standing(session, ORDER, pieces((1, 1)), case_id=OTHER).claimed_by == CASE
        assert orders.standing(session, ORDER, pieces((1, 1)), case_id=CASE).claimed_by is None
        assert orders.standing(session, ORDER, pieces((2, 1)), case_id=OTHER).claimed_by is None


def test_postage_goes_with_the_last_unrefunded_line(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, postage_fen=1_200)
        assert amount_due(session, ORDER, RefundDue(lines=pieces((1, 2))), case_id=CASE, run_id="run") == [
            LedgerLine(1, 2, 20_000)
        ]
        pay(session, pieces((1, 2)), 20_000)
        rest = RefundDue(lines=pieces((2, 1)))
        assert amount_due(session, ORDER, rest, case_id=CASE, run_id="run") == [
            LedgerLine(2, 1, 5_000),
            LedgerLine(0, 1, 1_200),
        ]


def test_postage_is_not_due_for_lines_that_had_left_when_they_were_asked_for(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, postage_fen=1_200, shipped=True)
        assert orders.standing(session, ORDER, pieces((1, 2), (2, 1))).refundable_fen == 25_000


def test_the_amount_stays_the_same_when_the_lines_leave_after_the_claim(shop: Database) -> None:
    lines = pieces((1, 2), (2, 1))
    with shop.writing() as session:
        an_order(session, postage_fen=1_200)
        claim(session, lines)
        outside.ship(session, ORDER, at=NOW)
        assert orders.standing(session, ORDER, lines, case_id=CASE).refundable_fen == 26_200


def test_a_discount_is_shared_among_the_lines(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, prices=[(10_000, 1), (10_000, 1), (10_000, 1)])
        session.get_one(OrderRow, ORDER).paid_fen = 10_000
        assert [line.paid_fen for line in orders.read_order(session, ORDER).lines] == [3_333, 3_333, 3_334]


def test_orders_and_lines_are_counted(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, order_id="3300000000")
        an_order(session, order_id="3300000001", shipped=True)
        an_order(session, order_id="3300000002", shipped=[1])
        an_order(session, order_id="3300000003", paid=False)
        counts = orders.count_orders(session)
    assert (counts.orders, counts.lines) == (4, 8)


def test_claiming_again_changes_nothing_and_another_case_is_refused(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        assert claim_lines(session, CASE, ORDER, pieces((1, 1))) is None
        assert claim_lines(session, CASE, ORDER, pieces((1, 2))) is None
        assert claim_lines(session, OTHER, ORDER, pieces((1, 1), (2, 1))) == CASE
        assert claim_lines(session, "third", ORDER, pieces((2, 1))) is None, "nothing was taken by the refused one"
