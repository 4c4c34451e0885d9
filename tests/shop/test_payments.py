"""Money back: once, never too much, and never for what has left."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update
from sqlalchemy.orm import Session

from casework.dues import RefundDue
from casework.shop import coming_back, orders, outside, payments, platform
from casework.shop.amounts import LedgerLine
from casework.shop.database import Database
from casework.shop.errors import BadRequest, PaymentRefused, PaymentUnavailable
from casework.shop.tables import LedgerRow, LineRow, OrderRow
from tests.shop.steps import CASE, NOW, ORDER, OTHER, an_order, claim, open_case, pay, pieces, settle

WHOLE = pieces((1, 2), (2, 1))


def sent(shop: Database) -> int:
    """What the ledger says was sent for the order."""
    with shop.reading() as session:
        return sum(entry.amount_fen for entry in payments.ledger(session, ORDER))


def by_hand(
    shop: Database, reference: str, fen: int, *, key: str = "key", lines: list[tuple[int, int]] | None = None
) -> None:
    """Record a payment by hand."""
    with shop.writing() as session:
        payments.record_paid_by_hand(
            session,
            key=key,
            case_id=CASE,
            run_id="run",
            order_id=ORDER,
            what=RefundDue(lines=pieces(*lines) if lines else WHOLE),
            amount_fen=fen,
            payment_reference=reference,
            at=NOW,
        )


def test_what_is_due_is_paid_and_written_by_line(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, postage_fen=1_200)
        result = pay(session, WHOLE, 26_200)
        entries = payments.ledger(session, ORDER)
    assert (result.status, result.paid_fen) == ("paid", 26_200)
    assert [(entry.line, entry.quantity, entry.amount_fen) for entry in entries] == [
        (1, 2, 20_000),
        (2, 1, 5_000),
        (0, 1, 1_200),
    ]
    assert {(entry.reference, entry.source) for entry in entries} == {(result.reference, "case")}


def test_the_same_key_pays_once_and_gives_the_first_result(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        first = pay(session, pieces((1, 1)), 10_000)
        again = pay(session, pieces((1, 1)), 10_000)
    assert (again.status, again.reference, again.paid_fen) == ("already_paid", first.reference, 10_000)
    assert sent(shop) == 10_000


def test_a_payment_that_many_try_at_once_is_made_once(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
    start = threading.Barrier(6)

    def try_it(number: int) -> str:
        start.wait()
        with shop.writing() as session:
            return pay(session, WHOLE, 25_000, key="one" if number % 2 else f"key {number}").status

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(try_it, range(6)))
    assert statuses == ["already_paid"] * 5 + ["paid"]
    assert sent(shop) == 25_000


def test_another_amount_than_the_one_due_is_not_paid(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        for asked in (24_999, 25_001):
            result = pay(session, WHOLE, asked)
            assert (result.status, result.paid_fen, result.due_fen) == ("changed", 0, 25_000)
    assert sent(shop) == 0


def test_lines_that_left_are_not_paid_for(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        claim(session, WHOLE)
        outside.ship(session, ORDER, lines=[2], at=NOW)
        assert pay(session, WHOLE, 25_000).status == "left"
    assert sent(shop) == 0


def test_lines_that_came_back_are_paid_for(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        claim(session, WHOLE)
        coming_back.mark_goods_back(session, key="back", case_id=CASE, order_id=ORDER, lines=WHOLE, at=NOW)
        assert pay(session, WHOLE, 25_000).status == "paid"


def test_what_the_platform_paid_meanwhile_is_found_with_its_sum(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, postage_fen=1_200)
        claim(session, WHOLE)
        outside.refunded(session, ORDER, at=NOW)
        result = pay(session, WHOLE, 26_200)
        assert (result.status, result.paid_fen, result.due_fen) == ("already_paid", 26_200, 0)
        assert payments.audit(session) == []
    assert sent(shop) == 26_200


def test_a_piece_that_the_platform_refunded_since_the_claim_is_the_one_asked_for(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        claim(session, pieces((1, 1)))
        outside.refunded(session, ORDER, pieces((1, 1)), at=NOW)
        result = pay(session, pieces((1, 1)), 10_000)
        assert (result.status, result.paid_fen) == ("already_paid", 10_000)
        assert orders.standing(session, ORDER, pieces((1, 1)), case_id=CASE).refunded
        settle(session, pieces((1, 1)))
        assert orders.standing(session, ORDER, pieces((1, 1)), case_id="later").refundable_fen == 10_000
    assert sent(shop) == 10_000


def platform_says_refunded(session: Session, fen: int) -> None:
    """The platform's export says so much in all, and not for which line."""
    order = session.get_one(OrderRow, ORDER)
    order.platform_refund_fen = fen
    platform.reconcile(session, order, at=NOW)


def test_what_is_found_already_paid_is_what_came_since_the_claim(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, postage_fen=1_200)
        outside.refunded(session, ORDER, pieces((1, 1)), at=NOW)
        claim(session, pieces((1, 1)))
        outside.refunded(session, ORDER, pieces((1, 1)), at=NOW)
        assert pay(session, pieces((1, 1)), 10_000).paid_fen == 10_000


def test_postage_that_the_platform_paid_for_several_cases_is_counted_by_none(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, postage_fen=1_200)
        claim(session, pieces((1, 2)))
        claim(session, pieces((2, 1)), OTHER)
        outside.refunded(session, ORDER, at=NOW)
        assert pay(session, pieces((1, 2)), 20_000).paid_fen == 20_000


def test_a_part_that_the_platform_paid_changes_the_amount(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        claim(session, WHOLE)
        platform_says_refunded(session, 7_000)
        result = pay(session, WHOLE, 25_000)
        assert (result.status, result.due_fen) == ("changed", 18_000)
        assert pay(session, WHOLE, 18_000).status == "paid"
        assert payments.audit(session) == []
    assert sent(shop) == 25_000


def test_a_sum_of_no_line_that_came_since_the_claim_counts_against_what_the_case_pays(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        claim(session, pieces((2, 1)))
        platform_says_refunded(session, 2_000)
        result = pay(session, pieces((2, 1)), 5_000)
        assert (result.status, result.due_fen) == ("changed", 3_000)
        assert orders.standing(session, ORDER, pieces((2, 1)), case_id=CASE).refundable_fen == 3_000
        assert pay(session, pieces((2, 1)), 3_000).status == "paid"
        assert payments.audit(session) == []
        by_line = sorted((entry.line, entry.amount_fen, entry.source) for entry in payments.ledger(session, ORDER))
    assert by_line == [(2, 2_000, "platform"), (2, 3_000, "case")]


def test_a_sum_of_no_line_that_is_all_of_it_is_found_already_paid(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        claim(session, pieces((2, 1)))
        platform_says_refunded(session, 6_000)
        result = pay(session, pieces((2, 1)), 5_000)
        assert (result.status, result.paid_fen, result.due_fen) == ("already_paid", 5_000, 0)
        settle(session, pieces((2, 1)))
        assert [line.left for line in orders.read_order(session, ORDER).lines] == [2, 0]
        assert payments.audit(session) == []
    assert sent(shop) == 6_000


def test_a_sum_of_no_line_counts_against_one_case_only(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        claim(session, pieces((1, 2)))
        claim(session, pieces((2, 1)), OTHER)
        platform_says_refunded(session, 2_000)
        assert pay(session, pieces((1, 2)), 18_000).status == "paid"
        assert pay(session, pieces((2, 1)), 5_000, key="other", case_id=OTHER).status == "paid"
        assert payments.audit(session) == []
    assert sent(shop) == 25_000


def test_a_sum_of_no_line_from_before_the_claim_counts_against_the_order_as_a_whole(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        platform_says_refunded(session, 2_000)
        claim(session, pieces((2, 1)))
        assert pay(session, pieces((2, 1)), 5_000).status == "paid"
        claim(session, pieces((1, 2)), OTHER)
        result = pay(session, pieces((1, 2)), 20_000, key="other", case_id=OTHER)
        assert (result.status, result.due_fen) == ("changed", 18_000)


def test_a_new_sum_of_no_line_is_news_also_when_an_older_one_has_found_its_line(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, prices=[(10_000, 2), (5_000, 1), (9_000, 1)])
        platform_says_refunded(session, 5_000)
        claim(session, pieces((1, 2)))
        session.get_one(LineRow, (ORDER, 2)).state = "closed"
        platform_says_refunded(session, 5_000)
        platform_says_refunded(session, 8_000)
        assert pay(session, pieces((1, 2)), 20_000).due_fen == 17_000


@pytest.mark.parametrize("subject", [ORDER, CASE])
def test_a_fault_once_is_once_although_the_transaction_is_undone(shop: Database, subject: str) -> None:
    with shop.writing() as session:
        an_order(session)
        open_case(session)
        outside.fail(session, "payment", subject, "once")

    def try_it() -> str:
        with shop.writing() as session:
            return pay(session, WHOLE, 25_000).status

    with pytest.raises(PaymentUnavailable):
        try_it()
    assert sent(shop) == 0
    assert try_it() == "paid"


def test_a_fault_always_refuses_for_good_until_it_is_taken_away(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        outside.fail(session, "payment", ORDER, "always")
        for _ in range(2):
            with pytest.raises(PaymentRefused):
                pay(session, WHOLE, 25_000)
        outside.fail(session, "payment", ORDER, "never")
        assert pay(session, WHOLE, 25_000).status == "paid"


@pytest.mark.parametrize(
    ("what", "subject", "how"),
    [
        ("payments", ORDER, "once"),
        ("payment", "123456", "once"),
        ("payment", ORDER, "twice"),
        ("intercept", "YT1", "once"),
    ],
)
def test_a_fault_that_does_not_exist_is_refused(shop: Database, what: str, subject: str, how: str) -> None:
    with shop.writing() as session:
        an_order(session)
        with pytest.raises(BadRequest):
            outside.fail(session, what, subject, how)


def test_a_payment_by_hand_is_written_once(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
    by_hand(shop, "ALI 123", 25_000)
    by_hand(shop, "ali123", 25_000)
    with shop.reading() as session:
        assert {(entry.source, entry.reference) for entry in payments.ledger(session)} == {("hand", "ALI123")}
        assert payments.audit(session) == []
    assert sent(shop) == 25_000


def test_a_reference_that_was_used_anywhere_is_refused(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
    by_hand(shop, "ALI123", 10_000, lines=[(1, 1)])
    with pytest.raises(BadRequest, match="used before"):
        by_hand(shop, "ＡＬＩ １２３", 10_000, key="other", lines=[(1, 1)])
    with shop.writing() as session:
        ours = pay(session, pieces((2, 1)), 5_000, key="ours")
    with pytest.raises(BadRequest, match="used before"):
        by_hand(shop, str(ours.reference), 10_000, key="other", lines=[(1, 1)])


@pytest.mark.parametrize("fen", [0, 24_999, 25_001])
def test_a_payment_by_hand_of_another_amount_is_refused(shop: Database, fen: int) -> None:
    with shop.writing() as session:
        an_order(session)
    with pytest.raises(BadRequest, match="25000") as refused:
        by_hand(shop, "ALI123", fen)
    assert refused.value.field == "amount_fen"


def test_a_payment_by_hand_for_refunded_lines_is_refused(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        pay(session, WHOLE, 25_000)
    with pytest.raises(BadRequest, match="refunded already"):
        by_hand(shop, "ALI123", 25_000, key="other")


def test_the_audit_names_what_is_unsound(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        pay(session, WHOLE, 25_000)
        platform.enter(session, session.get_one(OrderRow, ORDER), [LedgerLine(1, 1, 1)], at=NOW)
        found = " ".join(payments.audit(session))
    for sentence in ("250.01 refunded, 250.00 paid", "line 1: 200.01", "more pieces"):
        assert sentence in found


def test_the_audit_sees_a_payment_that_differs_from_its_entries(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        pay(session, WHOLE, 25_000)
        session.execute(update(LedgerRow).where(LedgerRow.line == 1).values(amount_fen=19_999))
        assert any("250.00" in sentence and "249.99" in sentence for sentence in payments.audit(session))


@pytest.mark.parametrize("again", [False, True])
def test_a_payment_by_hand_is_refused_while_the_goods_are_out(shop: Database, *, again: bool) -> None:
    with shop.writing() as session:
        an_order(session)
        claim(session, WHOLE)
        outside.ship(session, ORDER, at=NOW)
    for _ in range(1 + again):
        with pytest.raises(BadRequest, match="not back") as refused:
            by_hand(shop, "ALI123", 25_000)
        assert refused.value.field == "lines"
    with shop.writing() as session:
        coming_back.mark_goods_back(session, key="back", case_id=CASE, order_id=ORDER, lines=WHOLE, at=NOW)
    by_hand(shop, "ALI123", 25_000)
    assert sent(shop) == 25_000


class Undone(Exception):
    """Ends an example's transaction, so that the next one finds the shop empty."""


# examples share one shop, migrated once: each undoes what it did
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_of_part_refunds_pays_exactly_what_was_paid(shop: Database, data: st.DataObject) -> None:
    prices = data.draw(st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 4)), min_size=1, max_size=4))
    postage = data.draw(st.integers(0, 3_000))
    discount = data.draw(st.integers(0, sum(price * quantity for price, quantity in prices)))
    with suppress(Undone), shop.writing() as session:
        an_order(session, prices=prices, postage_fen=postage)
        order = session.get_one(OrderRow, ORDER)
        order.paid_fen -= discount
        left = {number: quantity for number, (_, quantity) in enumerate(prices, start=1)}
        total = 0
        for step in range(sum(left.values())):
            if not left:
                break
            line = data.draw(st.sampled_from(sorted(left)))
            asked = pieces((line, data.draw(st.integers(1, left[line]))))
            fen = sum(
                entry.amount_fen
                for entry in payments.amount_due(session, ORDER, RefundDue(lines=asked), case_id=CASE, run_id="run")
            )
            if fen:
                assert pay(session, asked, fen, key=str(step)).status == "paid"
                total += fen
            else:
                # a piece worth nothing is refunded without a payment
                platform.enter(
                    session,
                    order,
                    payments.amount_due(session, ORDER, RefundDue(lines=asked), case_id=CASE, run_id="run"),
                    at=NOW,
                )
            left[line] -= asked[0].quantity
            if not left[line]:
                del left[line]
        assert total == order.paid_fen
        assert payments.audit(session) == []
        raise Undone


def test_of_two_payments_for_one_line_under_different_keys_exactly_one_is_made(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        claim(session, pieces((2, 1)))

    start = threading.Barrier(4)

    def attempt(number: int) -> str:
        start.wait()
        with shop.writing() as session:
            return pay(session, pieces((2, 1)), 5_000, key=f"key-{number}").status

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(attempt, range(4))) == ["already_paid"] * 3 + ["paid"]
    with shop.reading() as session:
        assert sum(entry.amount_fen for entry in payments.ledger(session)) == 5_000


def test_a_reference_that_is_too_long_when_written_out_is_refused(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        claim(session, pieces((2, 1)))
        with pytest.raises(BadRequest, match="more than 64 characters"):
            payments.record_paid_by_hand(
                session,
                key="key",
                case_id=CASE,
                run_id="run",
                order_id=ORDER,
                what=RefundDue(lines=pieces((2, 1))),
                amount_fen=5_000,
                payment_reference="㍿" * 17,
                at=NOW,
            )
