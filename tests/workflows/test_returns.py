"""Returns on the real server: money and goods, facts that come early or late, what is refused, and the connections."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from casework.case import CaseView
from casework.dues import ReturnDue
from casework.money import LineQuantity
from casework.shop import outside, payments, records
from casework.shop.tables import (
    CaseRow,
    ClaimRow,
    FollowedParcelRow,
    GiftPromiseRow,
    HoldRow,
    OutboxRow,
    ParcelRow,
    ReturnRow,
    ScanRow,
    ShipmentLineRow,
    ShipmentRow,
    StockMovementRow,
)
from casework.verifying.books import faults_of_no_run
from tests.desk import Desk, Handle
from tests.orders import RECEIVER
from tests.shop.steps import shown_flag

FLOW = "return-after-shipping"
AGENT, CLERK, LEAD, FINANCE = "aftersale.1", "returns.1", "aftersale-lead.5", "finance.3"
SHOWN: dict[str, Any] = {
    "cause": "quality",
    "defect": "hole",
    "photos": ["photo-1"],
    "description": "a hole in the seam",
}
GIFTS = {"gift_back": True, "invoice_back": None}


async def opened(desk: Desk, order_id: str, *states: str, suffix: str = "", **fields: Any) -> Handle:
    """Open a return and wait until it is in one of the states."""
    start = {"order_id": order_id, "by": AGENT, "cause": "no_reason", **fields}
    case = await desk.open_case(FLOW, f"{FLOW}-{order_id}{suffix}", start)
    await desk.until(case, *states)
    return case


def paid(desk: Desk, order_id: str) -> dict[int | None, int]:
    """What the ledger says was paid, by line."""
    with desk.database.reading() as session:
        assert payments.audit(session) == []
        return {entry.line: entry.amount_fen for entry in payments.ledger(session, order_id)}


def paid_fen(desk: Desk, order_id: str) -> int:
    with desk.database.reading() as session:
        return sum(entry.amount_fen for entry in payments.ledger(session, order_id))


def stock(desk: Desk, order_id: str) -> dict[int, int]:
    with desk.database.reading() as session:
        found: dict[int, int] = {}
        for row in session.scalars(select(StockMovementRow).where(StockMovementRow.order_id == order_id)):
            found[row.line] = found.get(row.line, 0) + row.quantity
        return {line: pieces for line, pieces in found.items() if pieces}


def said(desk: Desk, case: Handle, template: str) -> str | None:
    """What the outbox says by the template in English; None: nothing."""
    with desk.database.reading() as session:
        return session.scalar(
            select(OutboxRow.text_en).where(OutboxRow.case_id == case.id, OutboxRow.template == template)
        )


def sign_for(desk: Desk, order_id: str, at: datetime, code: str = "301") -> None:
    """The courier says when the order's parcel was signed for."""
    with desk.database.writing() as session:
        waybill = session.scalars(select(ShipmentRow.waybill).where(ShipmentRow.order_id == order_id)).one()
        session.add(ScanRow(waybill=waybill, at=at, code=code))


def with_gift(desk: Desk, order_id: str, kind: str = "gift") -> None:
    """A gift worth 12.00 went out with the order, or its postage was credited."""
    now = datetime.now(UTC)
    with desk.database.writing() as session:
        session.add(
            GiftPromiseRow(
                order_id=order_id, kind=kind, case_id="gift", key="gift", sku="GIFT-1" if kind == "gift" else None,
                quantity=1, cost_fen=500, value_fen=1_200, month="2026-11", loose_before_fen=0, promised_at=now,
                granted_at=now,
            )
        )  # fmt: skip


def accepts(*pieces: tuple[int, int]) -> list[dict[str, int]]:
    return [{"line": line, "accepted_quantity": quantity} for line, quantity in pieces]


async def inspected(desk: Desk, case: Handle, *pieces: tuple[int, int], **fields: Any) -> CaseView:
    return await desk.submit(case, "pass_inspection", CLERK, lines=accepts(*pieces), **{**GIFTS, **fields})


async def refused(desk: Desk, case: Handle, trigger: str, by: str, **fields: Any) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as answer:
        await desk.submit(case, trigger, by, **fields)
    assert isinstance(answer.value.cause, ApplicationError)
    return answer.value.cause.message


# --- money and goods ---


async def test_a_fault_of_the_whole_order_brings_both_postages_back(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 2)], postage_fen=1_000, shipped=True)
    case = await opened(desk, order, "asking_supplier", **SHOWN)
    await desk.submit(case, "supplier_agrees", AGENT)
    assert "We pay the postage" in (said(desk, case, "return.send_back.seller") or "")
    view = await desk.submit(case, "buyer_ships", AGENT, courier="yuantong", waybill=f"RB{order}", postage_fen=5_000)
    assert view.amount_fen == 10_000 + 1_000 + 3_000
    await desk.submit(case, "receive_goods", CLERK, waybill=f"RB{order}")
    with desk.database.reading() as session:
        assert shown_flag(session, order) == "purple"
    await inspected(desk, case, (1, 2))
    await desk.until(case, "confirming")
    assert paid(desk, order) == {1: 10_000, 0: 1_000, -1: 3_000}
    assert stock(desk, order) == {1: 2}
    text = said(desk, case, "return.refunded") or ""
    assert all(
        part in text for part in ("140.00 yuan", "100.00 for the goods", "10.00 for the postage", "30.00 for the")
    )
    assert (await desk.submit(case, "buyer_confirms", AGENT)).outcome == "refunded"
    view = await desk.end(case)
    desk.require_whole(view)
    with desk.database.reading() as session:
        assert shown_flag(session, order) == "red"


async def test_a_postage_that_was_repaid_by_hand_is_not_to_be_repaid_again_although_its_confirmation_was_lost(
    desk: Desk,
) -> None:
    """The worker died when the payment was written down; the news is that of its own payment."""
    order = desk.order(prices=[(5_000, 2)], postage_fen=1_000, shipped=True)
    case = await opened(desk, order, "asking_supplier", **SHOWN)
    await desk.submit(case, "supplier_agrees", AGENT)
    await desk.submit(case, "buyer_ships", AGENT, courier="yuantong", waybill=f"RB{order}", postage_fen=3_000)
    await desk.submit(case, "receive_goods", CLERK)
    desk.fail("payment", order, "always")
    await inspected(desk, case, (1, 2))
    await desk.until(case, "repairing_payment")
    run_id = (await case.query("case_state"))["run_id"]
    with desk.database.writing() as session:
        payments.record_paid_by_hand(
            session,
            key=f"{case.id}/{run_id}/refund",
            case_id=case.id,
            run_id=run_id,
            order_id=order,
            what=ReturnDue(lines=[LineQuantity(line=1, quantity=2)], fault=True, return_postage_fen=3_000),
            amount_fen=14_000,
            payment_reference=f"hand-{order}",
            at=datetime.now(UTC),
        )
    await desk.signal(case, "order_gone", "system")
    await desk.until(case, "confirming")
    assert said(desk, case, "return.refunded_by_platform") is None
    assert said(desk, case, "return.repay_postage") is None
    assert "140.00 yuan" in (said(desk, case, "return.refunded") or "")
    await desk.submit(case, "buyer_confirms", AGENT)
    desk.require_whole(await desk.end(case), paid_fen=14_000)


async def test_without_a_fault_no_postage_comes_back_and_what_is_not_taken_goes_back(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 2), (3_000, 1)], postage_fen=1_000, shipped=True)
    case = await opened(desk, order, "awaiting_parcel")
    assert said(desk, case, "return.send_back.buyer") is not None
    await desk.submit(case, "buyer_ships", AGENT, courier="yuantong", waybill=f"RB{order}", postage_fen=1_500)
    await desk.submit(case, "receive_goods", CLERK)
    await inspected(desk, case, (1, 1), (2, 0))
    await desk.until(case, "confirming")
    assert paid(desk, order) == {1: 5_000}
    assert stock(desk, order) == {1: 1}
    assert "1×1, 2×1" in (said(desk, case, "return.send_rest_back") or "")
    await desk.skip_to_deadline(case)
    view = await desk.end(case)
    assert (view.outcome, view.amount_fen) == ("refunded", 5_000)
    desk.require_whole(view)


async def test_a_missing_gift_is_deducted_and_a_gift_that_went_out_must_be_spoken_of(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1)], shipped=True)
    with_gift(desk, order)
    case = await opened(desk, order, "awaiting_parcel")
    await desk.submit(case, "receive_goods", CLERK)
    taken = accepts((1, 1))
    why = await refused(desk, case, "pass_inspection", CLERK, lines=taken, gift_back=None, invoice_back=None)
    assert why.startswith("gift_back: a gift went out")
    await inspected(desk, case, (1, 1), gift_back=False)
    await desk.until(case, "confirming")
    assert paid(desk, order) == {1: 8_800}
    assert "less 12.00 for a gift" in (said(desk, case, "return.refunded") or "")
    await desk.submit(case, "buyer_confirms", AGENT)
    desk.require_whole(await desk.end(case))


async def test_pieces_that_a_missing_gift_has_eaten_up_stand_in_the_ledger_and_belong_to_no_payment(desk: Desk) -> None:
    order = desk.order(prices=[(1_000, 1)], shipped=True)
    with_gift(desk, order)
    case = await opened(desk, order, "awaiting_parcel")
    await desk.submit(case, "receive_goods", CLERK)
    await inspected(desk, case, (1, 1), gift_back=False)
    await desk.submit(case, "buyer_confirms", AGENT)
    desk.require_whole(await desk.end(case))
    with desk.database.reading() as session:
        assert [(one.quantity, one.amount_fen) for one in payments.ledger(session, order)] == [(1, 0)]
        assert faults_of_no_run(session, case.id) == []


async def test_what_a_missing_gift_is_dearer_than_the_goods_is_deducted_from_the_next_return(desk: Desk) -> None:
    order = desk.order(prices=[(1_000, 1), (10_000, 1)], shipped=True)
    with_gift(desk, order)
    for line in (1, 2):
        case = await opened(desk, order, "awaiting_parcel", suffix=f"-{line}", lines=[{"line": line, "quantity": 1}])
        await desk.submit(case, "receive_goods", CLERK)
        await inspected(desk, case, (line, 1), gift_back=False)
        await desk.submit(case, "buyer_confirms", AGENT)
        desk.require_whole(await desk.end(case))
        assert f"less {['10.00', '2.00'][line - 1]} for a gift" in (said(desk, case, "return.refunded") or "")
    assert paid(desk, order) == {1: 0, 2: 9_800}


async def test_a_missing_gift_is_deducted_once_also_where_the_second_return_has_the_firsts_id(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 2)], shipped=True)
    with_gift(desk, order)
    for _ in range(2):
        case = await opened(desk, order, "awaiting_parcel", lines=[{"line": 1, "quantity": 1}])
        await desk.submit(case, "receive_goods", CLERK)
        await inspected(desk, case, (1, 1), gift_back=False)
        await desk.submit(case, "buyer_confirms", AGENT)
        await desk.end(case)
    with desk.database.reading() as session:
        assert [entry.amount_fen for entry in payments.ledger(session, order)] == [8_800, 10_000]


async def test_of_two_returns_that_miss_the_gift_at_once_one_has_it_deducted(desk: Desk) -> None:
    order = desk.order(prices=[(60_000, 1), (10_000, 1)], shipped=True)
    with_gift(desk, order)
    first = await opened(desk, order, "awaiting_supervisor", suffix="-1", lines=[{"line": 1, "quantity": 1}])
    await desk.submit(first, "approve", LEAD)
    second = await opened(desk, order, "awaiting_parcel", suffix="-2", lines=[{"line": 2, "quantity": 1}])
    for case in (first, second):
        await desk.submit(case, "receive_goods", CLERK)
    await inspected(desk, first, (1, 1), gift_back=False)
    await desk.until(first, "awaiting_finance")
    await inspected(desk, second, (2, 1), gift_back=False)
    await desk.until(second, "confirming")
    await desk.submit(first, "approve", FINANCE)
    await desk.until(first, "confirming")
    assert paid(desk, order) == {1: 60_000, 2: 8_800}
    assert "for a gift" not in (said(desk, first, "return.refunded") or "no word")
    for case in (first, second):
        await case.terminate()


async def test_what_the_platform_has_paid_before_us_is_told_as_the_platforms(desk: Desk) -> None:
    order = desk.order(shipped=True)
    case = await opened(desk, order, "awaiting_parcel")
    await desk.submit(case, "receive_goods", CLERK)
    desk.platform_refunds_order(order)
    await inspected(desk, case, (1, 1))
    await desk.until(case, "confirming")
    assert said(desk, case, "return.refunded") is None
    assert said(desk, case, "return.refunded_by_platform") is not None
    await case.terminate()


async def test_an_order_whose_postage_was_credited_went_out_free_of_postage(desk: Desk) -> None:
    order = desk.order(postage_fen=800, shipped=True)
    with_gift(desk, order, "free_shipping")
    case = await opened(desk, order, "awaiting_parcel")
    assert said(desk, case, "return.send_back.buyer_way_back") is not None
    await case.terminate()


async def test_finance_sends_goods_back_to_inspection_and_they_leave_the_stock(desk: Desk) -> None:
    order = desk.order(prices=[(60_000, 1)], shipped=True)
    case = await opened(desk, order, "awaiting_supervisor")
    await desk.submit(case, "approve", LEAD)
    await desk.submit(case, "receive_goods", CLERK)
    await inspected(desk, case, (1, 1))
    await desk.until(case, "awaiting_finance")
    assert stock(desk, order) == {1: 1}
    await desk.submit(case, "send_back", FINANCE, note="look at the seam again")
    assert stock(desk, order) == {}
    await desk.submit(case, "fail_inspection", CLERK, reason="worn", photos=["photo-9"])
    view = await desk.submit(case, "goods_sent_back", CLERK, courier="yuantong", waybill=f"SB{order}")
    assert view.outcome == "returned_to_buyer"
    view = await desk.end(case)
    assert f"SB{order}" in (said(desk, case, "return.returned_to_buyer") or "")
    desk.require_whole(view)


async def test_what_nobody_inspects_is_paid_and_stays_out_of_stock_until_somebody_has_looked(desk: Desk) -> None:
    order = desk.order(shipped=True)
    case = await opened(desk, order, "awaiting_parcel")
    await desk.submit(case, "receive_goods", CLERK)
    for state in ("inspection_late", "awaiting_finance", "confirming", "refunded"):
        await desk.skip_to_deadline(case)
        await desk.until(case, state, "refunded")
    assert stock(desk, order) == {}
    assert said(desk, case, "return.look_at_goods") is not None
    desk.require_whole(await desk.end(case))


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (accepts((1, 1)), "lines: what came in is 1×2, 2×1"),
        (accepts((1, 3), (2, 1)), "lines: 3 pieces of line 1 are accepted, 2 came in"),
        (accepts((1, 2), (2, 1), (3, 1)), "lines: what came in is"),
        (accepts((1, 0), (2, 0)), "lines takes nothing: that is fail_inspection"),
        (accepts((1, 1), (1, 1)), "lines names a line twice"),
    ],
)
async def test_an_inspection_decides_on_every_line_that_came_in(desk: Desk, lines: list[Any], why: str) -> None:
    case = await opened(desk, desk.order(prices=[(5_000, 2), (3_000, 1)], shipped=True), "awaiting_parcel")
    await desk.submit(case, "receive_goods", CLERK)
    answer = await refused(desk, case, "pass_inspection", CLERK, lines=lines, **GIFTS)
    assert answer.startswith(why), answer
    await case.terminate()


# --- facts, early and late ---


async def test_goods_that_came_in_before_anybody_judged_go_back_first(desk: Desk) -> None:
    case = await opened(desk, desk.order(shipped=True), "explaining", opened=True)
    assert "opened and cannot be restored" in (said(desk, case, "return.refused") or "")
    view = await desk.submit(case, "receive_goods", CLERK)
    assert (view.state, view.kept) == ("explaining", ["receive_goods"])
    assert (await desk.submit(case, "buyer_accepts_refusal", AGENT)).state == "sending_back"
    await case.terminate()


async def test_postage_that_is_told_after_the_goods_came_in_is_repaid_all_the_same(desk: Desk) -> None:
    order = desk.order(shipped=True)
    case = await opened(desk, order, "asking_supplier", **SHOWN)
    await desk.submit(case, "receive_goods", CLERK)
    assert (await desk.submit(case, "supplier_agrees", AGENT)).state in ("awaiting_parcel", "inspecting")
    await desk.until(case, "inspecting")
    await desk.submit(case, "buyer_ships", AGENT, courier="yuantong", waybill=f"RB{order}", postage_fen=1_200)
    await inspected(desk, case, (1, 1))
    await desk.until(case, "confirming")
    assert paid(desk, order)[-1] == 1_200
    await case.terminate()


@pytest.mark.parametrize(
    ("trigger", "by", "fields", "why"),
    [
        ("receive_goods", CLERK, {"lines": [{"line": 1, "quantity": 9}]}, "lines: 9 pieces of line 1"),
        ("receive_goods", CLERK, {"lines": [{"line": 7, "quantity": 1}]}, "lines: line 7 is not asked"),
        ("receive_goods", CLERK, {"waybill": "ANOTHER"}, "waybill: it is a parcel of another order"),
        ("buyer_ships", AGENT, {"courier": "ems", "waybill": "ANOTHER"}, "waybill: it is a parcel of another order"),
        ("buyer_ships", AGENT, {"courier": "ems"}, "waybill is missing"),
        ("buyer_ships", AGENT, {"courier": "ems", "waybill": "RB1234567", "postage_fen": -1}, "postage_fen"),
        ("buyer_ships", AGENT, {"courier": "ems", "waybill": "RB1234567", "postage_fen": 1.5}, "postage_fen"),
    ],
)
async def test_a_fact_that_does_not_fit_the_return_is_refused_with_its_field(
    desk: Desk, trigger: str, by: str, fields: dict[str, Any], why: str
) -> None:
    other = desk.order(shipped=True)
    given = {name: f"YT{other[-11:]}" if value == "ANOTHER" else value for name, value in fields.items()}
    case = await opened(desk, desk.order(shipped=True), "awaiting_parcel")
    assert (await refused(desk, case, trigger, by, **given)).startswith(why)
    await case.terminate()


async def test_evidence_must_bring_all_that_was_missing(desk: Desk) -> None:
    case = await opened(desk, desk.order(shipped=True), "collecting_evidence", cause="quality", photos=["photo-1"])
    assert "send us a description" in (said(desk, case, "return.evidence_wanted") or "")
    assert await refused(desk, case, "add_evidence", AGENT, photos=["photo-2"]) == "description: still missing"
    assert (await desk.submit(case, "add_evidence", AGENT, description="a hole")).state == "asking_supplier"
    await case.terminate()


async def test_what_may_go_back_without_a_reason_is_not_refused(desk: Desk) -> None:
    case = await opened(desk, desk.order(prices=[(20_001, 1)], shipped=True), "awaiting_supervisor")
    assert "unless the rules allow refusing" in await refused(desk, case, "reject", LEAD, note="too much")
    await case.terminate()


# --- days ---


async def test_the_time_to_send_back_does_not_end_before_the_buyer_has_the_goods(desk: Desk) -> None:
    order = desk.order(shipped=True)
    case = await opened(desk, order, "awaiting_parcel")
    first = (await desk.view(case)).due
    view = await desk.skip_to_deadline(case)
    assert view.state == "awaiting_parcel"
    signed = (first or datetime.now(UTC)) + timedelta(hours=6)
    sign_for(desk, order, signed)
    view = await desk.skip_to_deadline(case)
    assert (view.state, view.due) == ("awaiting_parcel", signed + timedelta(days=7))
    assert (await desk.skip_to_deadline(case)).outcome == "lapsed"


@pytest.mark.parametrize(
    ("days", "code", "state"),
    [
        (6, "301", "awaiting_parcel"),
        (8, "301", "explaining"),
        (8, "304", "awaiting_parcel"),
        (8, "0", "awaiting_parcel"),
    ],
)
async def test_the_window_counts_from_the_buyers_own_signature(desk: Desk, days: int, code: str, state: str) -> None:
    order = desk.order(shipped=True)
    sign_for(desk, order, datetime.now(UTC) - timedelta(days=days), code)
    case = await opened(desk, order, "awaiting_parcel", "explaining")
    assert (await desk.view(case)).state == state
    await case.terminate()


@pytest.mark.parametrize("how", ["sent again", "forwarded"])
async def test_the_window_counts_from_the_parcel_that_the_buyer_has(desk: Desk, how: str) -> None:
    order = desk.order(shipped=True)
    signed = datetime.now(UTC) - timedelta(days=30)
    with desk.database.writing() as session:
        first = session.scalars(select(ShipmentRow.waybill).where(ShipmentRow.order_id == order)).one()
        later = f"EM{order[-11:]}"
        session.add(ParcelRow(waybill=later, courier="ems", state="3"))
        if how == "sent again":
            parcel = ShipmentRow(order_id=order, waybill=later, company="EMS", shipped_at=signed)
            session.add(parcel)
            session.flush()
            session.add(ShipmentLineRow(shipment_id=parcel.id, line=1, quantity=1))
        else:
            case_id = f"problem-parcel-{first}"
            records.open_record(
                session, case_id=case_id, run_id="run", flow="problem-parcel", order_id=order, opened_by="system",
                opened_at=signed,
            )  # fmt: skip
            records.close_record(session, case_id=case_id, run_id="run", view={}, outcome="delivered", at=signed)
            for waybill, came in ((first, "opened"), (later, "forwarded")):
                session.add(
                    FollowedParcelRow(
                        case_id=case_id, run_id="run", waybill=waybill, order_id=order,
                        courier="ems", how=came, since=signed,
                    )
                )  # fmt: skip
        session.flush()
        session.add(ScanRow(waybill=later, at=signed, code="301"))
    case = await opened(desk, order, "awaiting_parcel", "explaining")
    assert (await desk.view(case)).state == "explaining"
    await case.terminate()


async def test_a_lapsed_return_that_is_reopened_keeps_the_first_date(desk: Desk) -> None:
    order = desk.order(shipped=True)
    sign_for(desk, order, datetime.now(UTC) - timedelta(days=7))
    first = await opened(desk, order, "awaiting_parcel")
    await desk.skip_to_deadline(first)
    assert (await desk.end(first)).outcome == "lapsed"
    with desk.database.writing() as session:  # as if all of that had been two days ago
        row = session.scalars(select(ReturnRow).where(ReturnRow.case_id == first.id)).one()
        row.requested_at -= timedelta(days=2)
        waybill = session.scalars(select(ShipmentRow.waybill).where(ShipmentRow.order_id == order)).one()
        for scan in session.scalars(select(ScanRow).where(ScanRow.waybill == waybill)):
            scan.at -= timedelta(days=2)
    anew = await opened(desk, order, "awaiting_parcel", "explaining")
    assert (await desk.view(anew)).state == "explaining"
    await anew.cancel()
    await desk.end(anew)
    with desk.database.writing() as session:
        # the newest case of that id counts: the cancelled one is taken out of the way
        session.execute(delete(CaseRow).where(CaseRow.case_id == first.id, CaseRow.outcome == "cancelled"))
    again = await opened(desk, order, "awaiting_parcel", "explaining", reopens=first.id)
    assert (await desk.view(again)).state == "awaiting_parcel"
    await again.terminate()


# --- connections ---


async def test_a_refund_whose_parcel_was_not_stopped_goes_on_as_a_return(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1)], postage_fen=800)
    desk.fail("intercept", order, "always")
    refund = await desk.open_in("persuading", order, reason="bought twice")
    await desk.platform_ships(refund)
    view = await desk.end(refund)
    assert (view.outcome, view.links) == ("converted", [f"{FLOW}-{order}"])
    desk.require_whole(view)
    child = desk.client.get_workflow_handle(f"{FLOW}-{order}")
    view = await desk.until(child, "awaiting_parcel")
    assert (view.links, view.opened_by) == ([refund.id], "system")
    assert said(desk, child, "return.send_back.seller") is not None, "it was asked for before it left"
    await desk.submit(child, "receive_goods", CLERK)
    answer = await refused(desk, child, "pass_inspection", AGENT, lines=accepts((1, 1)), **GIFTS)
    assert "returns_clerk" in answer
    await inspected(desk, child, (1, 1))
    await desk.until(child, "confirming")
    assert paid(desk, order) == {1: 10_000}, "the postage stays paid: it is no fault"
    await desk.submit(child, "buyer_confirms", AGENT)
    desk.require_whole(await desk.end(child))


async def test_of_an_order_that_has_left_in_part_only_that_part_goes_on_as_a_return(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1), (20_000, 2)], postage_fen=800)
    desk.fail("intercept", order, "always")
    refund = await desk.open_in("persuading", order, reason="bought twice")
    desk.without_telling(
        lambda session: outside.ship(
            session, order, lines=[1], waybill=f"YT{order[-11:]}", at=datetime.now(UTC), force=True
        )
    )
    await desk.signal(refund, "order_gone", "system")
    view = await desk.end(refund)
    back, rest = f"{FLOW}-{order}-1", f"refund-before-shipping-{order}-2"
    assert (view.outcome, view.links) == ("converted", [back, rest])
    desk.require_whole(view)
    assert said(desk, refund, "converted_in_part") is not None
    child = desk.client.get_workflow_handle(rest)
    view = await desk.until(child, "persuading")
    assert (view.links, view.opened_by, view.amount_fen) == ([refund.id], "system", 40_000)
    with desk.database.reading() as session:
        held = session.scalars(select(HoldRow.case_id).where(HoldRow.order_id == order, HoldRow.line == 2)).all()
        assert held == [rest]
        claims = session.scalars(select(ClaimRow).where(ClaimRow.order_id == order)).all()
        assert {(one.line, one.case_id) for one in claims} == {(1, back), (2, rest)}
    await desk.until(desk.client.get_workflow_handle(back), "awaiting_parcel")
    await desk.submit(child, "buyer_insists", AGENT)
    await desk.submit(child, "approve", LEAD)
    assert (await desk.end(child)).outcome == "refunded"
    await desk.client.get_workflow_handle(back).terminate()


async def test_a_return_of_what_the_platform_paid_just_now_opens_and_lets_the_claim_go(desk: Desk) -> None:
    order = desk.order(shipped=True)
    desk.fail("intercept", order, "always")
    async with desk.before("hand_over", order):
        refund = await desk.start(order)
        await desk.reached("hand_over", order)
        desk.platform_refunds_order(order)
    assert (await desk.end(refund)).links == [f"{FLOW}-{order}"]
    view = await desk.end(desk.client.get_workflow_handle(f"{FLOW}-{order}"))
    assert (view.outcome, view.trail[0].why) == ("not_applicable", "the order is closed")
    desk.require_whole(view)


async def test_a_stopped_parcel_that_never_comes_is_a_return_that_finance_decides_on(desk: Desk) -> None:
    order = desk.order(shipped=True)
    refund = await desk.open_in("awaiting_parcel_back", order)
    await desk.skip_to_deadline(refund)
    view = await desk.end(refund)
    assert view.outcome == "converted"
    assert "was stopped and sent back to us, but has not arrived" in (said(desk, refund, "converted_lost") or "")
    assert said(desk, refund, "converted") is None, "it was stopped"
    child = desk.client.get_workflow_handle(f"{FLOW}-{order}")
    view = await desk.until(child, "awaiting_finance")
    assert (await desk.skip_to_deadline(child)).state == "awaiting_finance", "silence pays nothing that is lost"
    await desk.submit(child, "approve", FINANCE)
    await desk.until(child, "confirming")
    assert paid(desk, order) == {1: 10_000}
    assert stock(desk, order) == {}
    await child.terminate()


async def test_of_an_order_of_which_a_stopped_part_never_comes_the_buyer_is_told_so(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1), (20_000, 1)])
    refund = await desk.open_in("persuading", order, reason="bought twice")
    desk.without_telling(
        lambda session: outside.ship(
            session, order, lines=[1], waybill=f"YT{order[-11:]}", at=datetime.now(UTC), force=True
        )
    )
    await desk.signal(refund, "order_gone", "system")
    await desk.until(refund, "awaiting_parcel_back")
    await desk.skip_to_deadline(refund)
    view = await desk.end(refund)
    back, rest = f"{FLOW}-{order}-1", f"refund-before-shipping-{order}-2"
    assert view.links == [back, rest]
    assert "has not arrived" in (said(desk, refund, "converted_lost_in_part") or "")
    await desk.client.get_workflow_handle(back).terminate()
    assert (await desk.end(desk.client.get_workflow_handle(rest))).outcome == "refunded", "time was skipped for it too"


@pytest.mark.parametrize(("said_lost", "state"), [(True, "confirming"), (False, "awaiting_finance")])
async def test_a_loss_that_a_person_has_stated_is_paid_at_once(desk: Desk, said_lost: bool, state: str) -> None:
    order = desk.order(shipped=True)
    start = {"order_id": order, "by": "system", "cause": "no_reason", "goods": "lost", "said_lost": said_lost}
    case = await desk.open_case(FLOW, f"{FLOW}-{order}", start, parent=f"problem-parcel-YT{order[-11:]}")
    await desk.until(case, state)
    await case.terminate()


async def test_a_return_that_does_not_come_in_asks_for_a_problem_parcel(desk: Desk) -> None:
    order = desk.order(shipped=True)
    case = await opened(desk, order, "awaiting_parcel")
    await desk.submit(case, "buyer_ships", AGENT, courier="yuantong", waybill=f"RB{order}")
    view = await desk.skip_to_deadline(case)
    assert view.state == "tracing_return"
    by_hand = said(desk, case, "open_by_hand") or ""
    assert view.links == [f"problem-parcel-RB{order}"] or "problem-parcel" in by_hand
    await case.terminate()


# --- what is not opened ---

BAD_STARTS: list[tuple[dict[str, Any], str]] = [
    ({}, "cause is missing"),
    ({"cause": "because"}, "cause"),
    ({"cause": "quality", "defect": "stain"}, "defect"),
    ({"cause": "no_reason", "defect": "hole"}, "defect"),
    ({"cause": "quality", "appraisal": "appraisal-1"}, "appraisal"),
    ({"cause": "no_reason", "opened": "yes"}, "opened"),
    ({"cause": "no_reason", "buyer_damage": 1}, "buyer_damage"),
    ({"cause": "no_reason", "photos": []}, "photos"),
    ({"cause": "no_reason", "photos": ["p"] * 21}, "photos"),
    ({"cause": "no_reason", "description": "ring 13812345678"}, "description"),
    ({"cause": "no_reason", "description": f"{RECEIVER} says"}, "description"),
    ({"cause": "no_reason", "lines": [{"line": 1, "quantity": 2}]}, "lines: line 1: 2 asked, 1 left"),
    ({"cause": "no_reason", "lines": [{"line": 9, "quantity": 1}]}, "lines: order"),
    ({"cause": "no_reason", "lines": [{"line": 1, "quantity": 1}] * 2}, "lines names a line twice"),
    ({"cause": "no_reason", "goods": "lost"}, "goods"),
    ({"cause": "no_reason", "seller_pays_postage": True}, "seller_pays_postage"),
    ({"cause": "no_reason", "said_lost": True}, "said_lost"),
    ({"cause": "no_reason", "from_case": "problem-parcel-YT1", "goods": "lost"}, "from_case"),
    ({"cause": "no_reason", "reopens": "return-after-shipping-330000001"}, "reopens"),
    ({"cause": "no_reason", "by": "warehouse.1"}, "by"),
    ({"cause": "no_reason", "by": "system"}, "by"),
    ({"cause": "no_reason", "platform_deadline": "2026-11-20T18:00:00"}, "platform_deadline"),
    ({"cause": "no_reason", "extra": 1}, "extra"),
]


@pytest.mark.parametrize(("fields", "field"), BAD_STARTS)
async def test_a_return_started_by_hand_with_bad_fields_fails_at_once_and_names_the_field(
    desk: Desk, fields: dict[str, Any], field: str
) -> None:
    order = desk.order(shipped=True)
    case = await desk.open_case(FLOW, f"{FLOW}-{order}", {"order_id": order, "by": AGENT, **fields})
    with pytest.raises(WorkflowFailureError) as failed:
        await case.result()
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    assert cause.non_retryable
    assert field in cause.message
    assert RECEIVER not in json.dumps(cause.message)


async def test_only_a_lapsed_return_of_the_same_lines_is_reopened(desk: Desk) -> None:
    order = desk.order(prices=[(5_000, 1), (6_000, 1)], shipped=True)
    first = await opened(desk, order, "awaiting_parcel", suffix="-1", lines=[{"line": 1, "quantity": 1}])
    await desk.submit(first, "buyer_withdraws", AGENT)
    await desk.end(first)
    start = {"order_id": order, "by": AGENT, "cause": "no_reason", "reopens": first.id}
    again = await desk.open_case(FLOW, f"{FLOW}-{order}-1", {**start, "lines": [{"line": 1, "quantity": 1}]})
    with pytest.raises(WorkflowFailureError) as failed:
        await again.result()
    assert "reopens: that return has not lapsed" in str(failed.value.cause)


async def test_an_unshipped_line_and_another_cases_line_are_not_applicable(desk: Desk) -> None:
    order = desk.order()
    case = await desk.open_case(FLOW, f"{FLOW}-{order}", {"order_id": order, "by": AGENT, "cause": "no_reason"})
    view = await desk.end(case)
    assert (view.outcome, view.trail[-1].why) == ("not_applicable", "nothing of it was shipped")
    other = desk.order(shipped=True)
    refund = await desk.open_in("awaiting_parcel_back", other)
    case = await desk.open_case(FLOW, f"{FLOW}-{other}", {"order_id": other, "by": AGENT, "cause": "no_reason"})
    view = await desk.end(case)
    assert view.outcome == "not_applicable"
    assert refund.id in (view.trail[-1].why or "")
    await refund.terminate()
