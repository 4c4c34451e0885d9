"""The alarm of a bulk order follows what the shop shows, also where a message told of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from casework.case import ELSEWHERE, MOST_BYTES
from casework.shop.tables import OrderRow
from tests.desk import Desk
from tests.workflows.test_bulk_order import (
    CLEAR,
    DOSSIER,
    MANAGER,
    SPECIALIST,
    bulk,
    change_address,
    told,
    until_alarmed,
)


async def test_no_alarm_is_heard_of_an_order_that_has_left_by_the_platforms_word(desk: Desk) -> None:
    order = desk.order()
    case = await bulk(desk, order)
    desk.ship_without_telling(order)
    await desk.signal(case, "order_gone", "system")
    await desk.skip(case, timedelta(hours=14))
    await desk.at_rest(case)
    assert "bulk.ship_alarm" not in told(desk, case)


async def test_an_order_that_is_paid_while_it_is_held_is_alarmed_in_time(desk: Desk) -> None:
    """The wait's own reminder would ring much later than the alarm."""
    order = desk.order(paid=False)
    case = await bulk(desk, order)

    def pay(session: Session) -> None:
        row = session.get_one(OrderRow, order)
        row.state, row.paid_fen, row.paid_at = "paid", row.total_fen, datetime.now(UTC) - timedelta(hours=35)

    desk.without_telling(pay)
    await desk.signal(case, "order_changed", "system")
    await desk.skip(case, timedelta(hours=2))
    await until_alarmed(desk, case)


async def test_an_order_that_is_held_again_is_alarmed_again(desk: Desk) -> None:
    order = desk.order()
    case = await bulk(desk, order)
    await desk.skip(case, timedelta(hours=14))
    await until_alarmed(desk, case)
    await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER)
    await desk.submit(case, "pass_legal_review", MANAGER, **CLEAR)
    change_address(desk, order)
    await desk.signal(case, "order_changed", "system")
    await desk.until(case, "legal_review")
    await desk.skip(case, timedelta(minutes=1))
    await until_alarmed(desk, case, times=3)  # in the review its manager hears of it too


async def test_a_dossier_that_was_incomplete_is_so_also_when_the_order_is_reviewed_again(desk: Desk) -> None:
    order = desk.order()
    case = await bulk(desk, order)
    await desk.skip_to_deadline(case)
    await desk.until(case, "legal_review")
    await desk.submit(case, "pass_legal_review", MANAGER, **CLEAR, **DOSSIER)
    change_address(desk, order)
    await desk.signal(case, "order_changed", "system")
    await desk.until(case, "legal_review")
    assert ["incomplete" in text for text in told(desk, case)["bulk.review"]] == [True, True]


async def test_a_case_that_is_sent_round_and_round_stays_within_what_temporal_carries(desk: Desk) -> None:
    case = await bulk(desk, desk.order())
    sign = "\U0001f600"  # as many bytes as a sign has
    documents = [sign * 195 + f"{number:04d}" for number in range(50)]
    view = await desk.view(case)
    for _ in range(38):
        await desk.submit(case, "submit_dossier", SPECIALIST, **DOSSIER, documents=documents, note=sign * 499)
        view = await desk.submit(case, "ask_for_more", MANAGER, note=sign * 499)
    assert 0.9 * MOST_BYTES < len(view.model_dump_json().encode()) < 1.1 * MOST_BYTES
    whole, short = view.trail[1], view.trail[-2]
    assert (whole.note, len(whole.references["documents"]), whole.why) == (sign * 499, 50, None)
    assert (short.note, short.references, short.given) == (sign * 499, {}, {})
    assert short.why == ELSEWHERE.format(what="what was named with")
    assert view.state == "compiling"
    await desk.submit(case, "cancel_case", MANAGER, note="enough seen")
