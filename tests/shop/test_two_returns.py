"""Two returns of one order at once: what the first is paid counts for the second, settled or not."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from casework.dues import ReturnDue
from casework.shop import claims, outside, payments, records, returning
from casework.shop.database import Database
from casework.shop.tables import GiftPromiseRow, LedgerRow, ReturnRow
from tests.shop.steps import NOW, ORDER, an_order, pieces

FIRST, SECOND = f"return-after-shipping-{ORDER}", f"return-after-shipping-{ORDER}-2"


@pytest.fixture
def session(shop: Database) -> Generator[Session]:
    """An order of 100.00 and 50.00 with 10.00 of postage and a gift of 30.00: a return of either line has begun."""
    with shop.writing() as session:
        an_order(session, prices=((10_000, 1), (5_000, 1)), postage_fen=1_000, shipped=True)
        gift = GiftPromiseRow(
            order_id=ORDER,
            kind="gift",
            case_id=f"gift-approval-{ORDER}-gift",
            sku="GP-TW02",
            quantity=1,
            cost_fen=900,
            value_fen=3_000,
            month="2026-11",
            loose_before_fen=0,
            key="promise",
            promised_at=NOW,
            granted_at=NOW,
        )
        session.add(gift)
        for line, case_id in enumerate((FIRST, SECOND), 1):
            records.open_record(
                session,
                case_id=case_id,
                run_id="run",
                flow="return-after-shipping",
                order_id=ORDER,
                opened_by="aftersale.1",
                opened_at=NOW,
            )
            claims.claim_lines(session, case_id, ORDER, pieces((line, 1)))
            returning.record(session, case_id, "run", ORDER, requested_at=NOW, fault=False)
        yield session


def due(line: int, *, fault: bool = False, gift_fen: int = 3_000) -> ReturnDue:
    """What is due for a line whose return found the gift missing."""
    return ReturnDue(lines=pieces((line, 1)), fault=fault, gift_deduction_fen=gift_fen)


def owed(session: Session, case_id: str, what: ReturnDue) -> int:
    """The sum that is due, in fen."""
    return sum(one.amount_fen for one in payments.amount_due(session, ORDER, what, case_id=case_id, run_id="run"))


def pay(session: Session, case_id: str, what: ReturnDue, fen: int, *, by_hand: bool = False) -> str:
    """Pay a return, which is not settled by that."""
    given: dict[str, Any] = {
        "key": f"{case_id}/run/refund",
        "case_id": case_id,
        "run_id": "run",
        "order_id": ORDER,
        "what": what,
    }
    if by_hand:
        reference = f"hand-{case_id}"
        payments.record_paid_by_hand(session, **given, amount_fen=fen, payment_reference=reference, at=NOW)
        return "by hand"
    return payments.pay(session, **given, amount_fen=fen, at=NOW).status


def settle(session: Session, case_id: str, what: ReturnDue) -> None:
    """The step that follows the payment."""
    returning.settle(
        session,
        key=f"{case_id}/run/settle",
        case_id=case_id,
        run_id="run",
        order_id=ORDER,
        due=what,
        came_back_before=[],
        memo="[退货]",
        at=NOW,
    )


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_missing_gift_that_is_deducted_from_one_payment_is_not_deducted_from_the_next(
    session: Session, *, by_hand: bool
) -> None:
    pay(session, FIRST, due(1), 7_000, by_hand=by_hand)
    # the worker dies here, and the second return is paid before the first is settled
    assert pay(session, SECOND, due(2), 5_000) == "paid"
    settle(session, SECOND, due(2))
    settle(session, FIRST, due(1))
    first, second = (session.get_one(ReturnRow, (case_id, "run")) for case_id in (FIRST, SECOND))
    assert (first.gift_deducted_fen, second.gift_deducted_fen) == (3_000, 0)
    parts = returning.paid_parts(session, ORDER, case_id=FIRST, run_id="run", payment=f"{FIRST}/run/refund")
    assert (parts.goods_fen, parts.gift_left_fen) == (7_000, 3_000), "the letter names the deduction"


def test_goods_that_a_missing_gift_paid_for_whole_are_counted_although_another_return_is_paid_before_they_are(
    session: Session,
) -> None:
    all_of_it = due(2, gift_fen=5_000)
    session.get_one(GiftPromiseRow, (ORDER, "gift")).value_fen = 5_000
    assert pay(session, SECOND, all_of_it, 0) == "already_paid"
    assert pay(session, FIRST, due(1), 10_000) == "paid"
    settle(session, FIRST, due(1))
    settle(session, SECOND, all_of_it)
    assert sorted((row.line, row.quantity, row.amount_fen) for row in session.query(LedgerRow)) == [
        (1, 1, 10_000),
        (2, 1, 0),
    ]


def test_what_went_back_without_a_fault_keeps_the_postage_of_the_way_out_from_the_moment_it_is_paid(
    session: Session,
) -> None:
    faulty = due(2, fault=True, gift_fen=0)
    assert pay(session, FIRST, due(1, gift_fen=0), 10_000) == "paid"
    assert owed(session, SECOND, faulty) == 5_000
    settle(session, FIRST, due(1, gift_fen=0))
    assert owed(session, SECOND, faulty) == 5_000


def test_a_return_that_was_paid_by_the_platform_counts_when_it_is_settled(session: Session) -> None:
    settle(session, FIRST, due(1))
    assert owed(session, SECOND, due(2)) == 5_000


def test_of_a_missing_gift_that_is_dearer_than_the_goods_the_next_return_deducts_the_rest(session: Session) -> None:
    session.get_one(GiftPromiseRow, (ORDER, "gift")).value_fen = 8_000
    dear = due(2, gift_fen=8_000)
    assert pay(session, SECOND, dear, 0) == "already_paid"
    parts = returning.paid_parts(session, ORDER, case_id=SECOND, run_id="run", payment=f"{SECOND}/run/refund")
    assert parts.gift_left_fen == 5_000, "the letter names what was taken"
    settle(session, SECOND, dear)
    assert session.get_one(ReturnRow, (SECOND, "run")).gift_deducted_fen == 5_000
    assert owed(session, FIRST, due(1, gift_fen=3_000)) == 7_000
    assert pay(session, FIRST, due(1, gift_fen=3_000), 7_000) == "paid"
    assert session.get_one(ReturnRow, (FIRST, "run")).gift_deducted_fen == 3_000


def test_what_the_platform_has_paid_whole_has_taken_nothing_off_for_the_gift(session: Session) -> None:
    assert outside.refunded(session, ORDER, pieces((1, 1)), at=NOW) == 10_000
    assert pay(session, FIRST, due(1), 0) == "already_paid"
    settle(session, FIRST, due(1))
    assert session.get_one(ReturnRow, (FIRST, "run")).gift_deducted_fen == 0
    assert owed(session, SECOND, due(2)) == 2_000, "50.00 less the gift of 30.00, which nobody has taken off yet"


def test_what_the_platform_has_paid_less_the_gift_has_taken_it_off(session: Session) -> None:
    session.add(LedgerRow(order_id=ORDER, line=1, quantity=1, amount_fen=7_500, source="platform", at=NOW))
    session.flush()
    assert pay(session, FIRST, due(1), 0) == "already_paid"
    settle(session, FIRST, due(1))
    assert session.get_one(ReturnRow, (FIRST, "run")).gift_deducted_fen == 2_500
    assert owed(session, SECOND, due(2)) == 4_500, "50.00 less the rest of the gift"
