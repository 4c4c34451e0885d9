"""The price of a bulk order that changes after its discount: what is left is priced by the list, and paid once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from casework.money import LineQuantity
from casework.shop import outside
from casework.shop.orders import lock_order
from casework.shop.tables import LineRow
from tests.desk import Desk, Handle
from tests.parcels import scan
from tests.workflows.goods.test_goods_of_parcels import in_trouble
from tests.workflows.test_bulk_order import (
    AUDITOR,
    CLEAR,
    GENERAL,
    LEAD,
    MANAGER,
    SPECIALIST,
    change_address,
    deliver_news,
    holders,
    refusal,
    reviewed,
    shown_flag,
    told,
)


async def granted(desk: Desk, case: Handle, percent: str, *, pays_fen: int | None) -> str:
    """The supervisor grants so much, or where that is more than his to grant, the general manager after him; the
    auditor changes the amount to `pays_fen`, if that is wanted. What the case says of the price.
    """
    view = await desk.submit(case, "approve", LEAD, discount_percent=percent)
    if view.state == "awaiting_general_manager":
        await desk.submit(case, "approve", GENERAL)
    view = await desk.until(case, "awaiting_audit")
    if pays_fen is not None:
        await desk.submit(case, "change_amount", AUDITOR, amount_fen=pays_fen)
        await desk.until(case, "following")
        await desk.at_rest(case)
    return [line.why or "" for line in view.trail if line.trigger == "write_memo"][-1]


async def promised(desk: Desk, order: str) -> Handle:
    """5 % are granted, and the auditor is to change the amount."""
    case = await reviewed(desk, order, percent="5")
    await desk.submit(case, "approve", LEAD)
    await desk.until(case, "awaiting_audit")
    return case


async def offered_the_list_price(desk: Desk, order: str) -> Handle:
    """No discount is granted, and the buyer is asked whether the list price will do."""
    case = await reviewed(desk, order, percent="5")
    await desk.submit(case, "reject", LEAD, note="no")
    await desk.until(case, "offering_list_price")
    return case


@pytest.mark.parametrize(
    ("prices", "refunded", "percent", "says"),
    [
        ([(10_000, 1), (10_000, 1)], LineQuantity(line=1, quantity=1), "10", "90.00"),
        ([(10_000, 1), (10_000, 1)], LineQuantity(line=1, quantity=1), "5", "95.00"),
        ([(1_000, 10)], LineQuantity(line=1, quantity=5), "5", "47.50"),
    ],
)
async def test_a_second_discount_is_on_the_list_price_of_what_is_left(
    desk: Desk, prices: list[tuple[int, int]], refunded: LineQuantity, percent: str, says: str
) -> None:
    order = desk.order(prices=prices)
    case = await reviewed(desk, order, percent="10")
    listed_fen = sum(fen * pieces for fen, pieces in prices)
    await granted(desk, case, "5", pays_fen=listed_fen * 95 // 100)
    with desk.database.writing() as session:
        outside.refunded(session, order, [refunded], at=datetime.now(UTC))
    await deliver_news(desk, case, order)
    await desk.until(case, "legal_review")
    await desk.submit(case, "pass_legal_review", MANAGER, **CLEAR)
    assert await granted(desk, case, percent, pays_fen=None) == f"the approved price is {says}"
    await case.terminate()


async def test_a_discount_on_what_has_left_over_the_hold_is_paid(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1)])
    case = await promised(desk, order)
    desk.ship_without_telling(order)
    change_address(desk, order)
    await desk.submit(case, "change_amount", AUDITOR, amount_fen=9_500)
    view = await desk.until(case, "following")
    assert [line.trigger for line in view.trail if line.accepted][-2:] == ["change_amount", "pay"]
    await case.terminate()


async def test_nothing_is_held_back_of_what_has_left_over_the_hold(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1)])
    case = await offered_the_list_price(desk, order)
    desk.ship_without_telling(order)
    change_address(desk, order)
    await desk.submit(case, "buyer_takes_list_price", SPECIALIST)
    await desk.until(case, "following")
    await desk.at_rest(case)
    assert (holders(desk, order), shown_flag(desk, order)) == ([], "none")
    await case.terminate()


async def test_a_second_rebate_of_the_same_amount_is_told_too(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1)])
    case = await reviewed(desk, order, percent="10")
    await granted(desk, case, "5", pays_fen=9_500)
    change_address(desk, order)
    await desk.submit(case, "order_changed", SPECIALIST)
    await desk.submit(case, "pass_legal_review", MANAGER, **CLEAR)
    await granted(desk, case, "10", pays_fen=9_000)
    assert len(told(desk, case)["bulk.rebated"]) == 2
    await case.terminate()


def grow(desk: Desk, order: str) -> None:
    """The order gets one more line, and as much more is paid."""
    with desk.database.writing() as session:
        row = lock_order(session, order)
        row.paid_fen, row.total_fen, row.goods_fen = (
            row.paid_fen + 10_000,
            row.total_fen + 10_000,
            row.goods_fen + 10_000,
        )
        state = session.get_one(LineRow, (order, 1)).state
        session.add(LineRow(order_id=order, number=2, title="x", sku="x", price_fen=10_000, quantity=1, state=state))


def refund_a_part(desk: Desk, order: str) -> None:
    """The platform pays back a piece."""
    with desk.database.writing() as session:
        outside.refunded(session, order, [LineQuantity(line=1, quantity=1)], at=datetime.now(UTC))


@pytest.mark.parametrize("what", [grow, refund_a_part])
async def test_of_what_has_left_at_another_price_than_was_reviewed_no_discount_is_paid(
    desk: Desk, what: Callable[[Desk, str], None]
) -> None:
    order = desk.order(prices=[(5_000, 2)])
    case = await promised(desk, order)
    what(desk, order)
    desk.ship_without_telling(order)
    why = await refusal(desk, case, "change_amount", AUDITOR, amount_fen=9_500)
    assert why == "the order is no longer what was reviewed"
    await case.terminate()


async def test_what_came_back_of_an_order_that_left_over_its_hold_stays_held(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1)])
    review = await offered_the_list_price(desk, order)
    waybill = f"YT{order[-10:]}"
    desk.without_telling(lambda on: outside.ship(on, order, at=datetime.now(UTC), force=True, waybill=waybill))
    scan(desk, waybill, "0")
    case = await in_trouble(desk, order, waybill)
    await desk.submit(case, "parcel_returned", "returns.1", waybill=waybill)
    change_address(desk, order)
    await desk.submit(review, "buyer_takes_list_price", SPECIALIST)
    await desk.until(review, "following")
    await desk.at_rest(review)
    await desk.submit(case, "cancel_case", "aftersale-lead.1", note="off")
    await desk.end(case)
    assert holders(desk, order) == [review.id]
    await review.terminate()
