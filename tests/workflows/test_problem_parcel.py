"""Problem parcels on the real server: the manual's own case, remedies, who is told, bad input, months of tracking."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from casework.case import CaseView
from casework.client import BadInput, CaseworkClient
from casework.money import LineQuantity
from casework.shop import following, outside, parcels, records, reshipments, tracking
from casework.shop.tables import (
    CourierClaimRow,
    CourierRequestRow,
    FollowedParcelRow,
    OrderRow,
    OutboxRow,
    ParcelStatusRow,
    ReshipmentRow,
    ShipmentRow,
    StockMovementRow,
)
from casework.skipping import let_pass_over_runs
from state_machines.roles import Role
from tests.desk import Desk, Handle
from tests.parcels import FLOW, parcel_order, scan, scan_now, silence, until_it_moves
from tests.runs import histories
from tests.workflows.test_returns import opened
from workflows.case import MOST_LOOKS

DAY = timedelta(days=1)
AGENT, SPECIALIST, LEAD, CLERK, WAREHOUSE = "aftersale.1", "parcel.1", "aftersale-lead.5", "returns.1", "warehouse.1"


async def open_parcel(
    desk: Desk,
    order: str,
    waybill: str,
    *,
    parent: str | None = None,
    task_timeout: timedelta | None = None,
    **fields: Any,
) -> Handle:
    start = {
        "order_id": order,
        "by": AGENT if parent is None else "system",
        "waybill": waybill,
        "courier": "yuantong",
        "cause": "overdue",
        **fields,
    }
    return await desk.open_case(FLOW, f"{FLOW}-{waybill}", start, parent=parent, task_timeout=task_timeout)


async def open_in_trouble(desk: Desk, *, price_fen: int = 10_000, **fields: Any) -> tuple[Handle, str, str]:
    """A case whose specialist is to ask the courier, its order and its waybill."""
    order, waybill = parcel_order(desk, price_fen=price_fen)
    scan(desk, waybill, "2")
    case = await open_parcel(desk, order, waybill, **fields)
    await desk.until(case, "investigating")
    return case, order, waybill


async def open_on_its_way_to_us(desk: Desk) -> tuple[Handle, str, str]:
    """A case about what a buyer sent back, whose specialist is to ask the courier; its order, and the return."""
    order, _ = parcel_order(desk)
    waybill, parent = f"WB{order[-11:]}", f"return-after-shipping-{order}"
    with desk.database.writing() as session:
        records.open_record(
            session,
            case_id=parent,
            run_id="of-the-tests",
            flow="return-after-shipping",
            order_id=order,
            opened_by=AGENT,
            opened_at=datetime.now(UTC),
            lines=[LineQuantity(line=1, quantity=1)],
        )
    scan(desk, waybill, "2")
    case = await open_parcel(desk, order, waybill, parent=parent)
    await desk.until(case, "investigating")
    return case, order, parent


def letters(desk: Desk, case: Handle, to: str) -> list[OutboxRow]:
    with desk.database.reading() as session:
        return list(session.scalars(select(OutboxRow).where(OutboxRow.case_id == case.id, OutboxRow.to == to)))


def told(desk: Desk, case: Handle) -> list[str]:
    """What the buyer was told, in order."""
    return [one.template for one in letters(desk, case, "buyer")]


async def test_the_manuals_case_inner_mongolia_station_withdrawn_forwarded_by_ems_signed_next_day(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    with desk.database.writing() as session:
        row = session.get_one(OrderRow, order)
        row.address, row.changed_address = "内蒙古自治区 锡林郭勒盟 锡林浩特市 测试路21号", ""
    scan(desk, waybill, "2", text="派送网点已撤销,暂时无法派送")
    case = await open_parcel(desk, order, waybill, cause="exception")

    view = await desk.until(case, "investigating")
    with desk.database.reading() as session:
        assert view.assignee == parcels.specialist_for(session, waybill, datetime.now(UTC)) is not None
    assert view.amount_fen == 10_000
    (task,) = [one for one in letters(desk, case, "staff") if one.template == "parcel.investigate"]
    assert task.text_zh.startswith("【优先】"), "a key region comes first"

    await desk.submit(case, "courier_answers", SPECIALIST, finding="station_withdrawn", courier_ticket="T-1")
    await desk.submit(case, "buyer_chooses", AGENT, choice="forward")
    with desk.database.reading() as session:
        (asked,) = session.scalars(select(CourierRequestRow).where(CourierRequestRow.case_id == case.id))
        assert (asked.what, asked.waybill, asked.agreed) == ("forward", waybill, True)

    ems = f"EA{order[-9:]}CN"
    view = await desk.submit(case, "parcel_forwarded", SPECIALIST, courier="ems", waybill=ems)
    assert view.state == "tracking"
    with desk.database.reading() as session:
        assert following.open_parcel_cases(session, [ems, waybill]) == {ems: case.id, waybill: case.id}
        assert tracking.later_waybills(session, order, waybill) == [ems]

    tomorrow = await desk.skipper.get_current_time(case) + timedelta(days=1)
    scan(desk, ems, "301", at=tomorrow)
    view = await until_it_moves(desk, case)
    assert view.state == "confirming_receipt"
    assert await desk.skipper.get_current_time(case) >= tomorrow
    await desk.submit(case, "buyer_confirms", AGENT)
    assert (await desk.end(case)).outcome == "delivered"
    assert told(desk, case) == [
        "parcel.choose",
        "parcel.forwarding",
        "parcel.forwarded",
        "parcel.received",
        "parcel.delivered",
    ]
    assert "派送网点已撤销" in letters(desk, case, "buyer")[0].text_zh
    with desk.database.reading() as session:
        assert following.open_parcel_case(session, ems) is None


async def test_a_parcel_left_in_a_locker_is_not_received_until_the_buyer_says_so(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "304")
    case = await open_parcel(desk, order, waybill, cause="signed_unconfirmed")
    await desk.until(case, "confirming_receipt")
    assert told(desk, case) == ["parcel.left_with_agent"]
    await desk.submit(case, "buyer_denies", AGENT)
    view = await desk.submit(case, "no_proof", SPECIALIST)
    assert view.state == "choosing_remedy", "the signature that the buyer denied is no receipt"
    await desk.skip(case, timedelta(hours=9))
    assert (await desk.view(case)).state == "choosing_remedy", "also when the courier is asked again"
    await scan_now(desk, case, waybill, "302")
    assert (await until_it_moves(desk, case)).state == "confirming_receipt", "a later one is"
    await case.cancel()


async def test_the_buyer_who_only_asked_is_reassured_by_an_answer_and_never_by_silence(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    silence(desk, waybill)
    case = await open_parcel(desk, order, waybill, cause="asked")
    await desk.until(case, "tracking")

    def asked_in_vain() -> bool:
        with desk.database.reading() as session:
            status = session.get(ParcelStatusRow, waybill)
            return status is not None and (status.answered_at, status.code) == (None, None)

    await desk.skip(case, timedelta(hours=9))
    await desk.until_true(case, asked_in_vain, "asked the courier")
    assert (await desk.view(case)).state == "tracking"
    await scan_now(desk, case, waybill, "9999")
    await until_it_moves(desk, case)
    assert (await desk.end(case)).outcome == "reassured"
    with desk.database.reading() as session:
        assert session.get_one(ParcelStatusRow, waybill).code == "9999", "an unknown code is kept as it came"


async def test_goods_are_sent_again_reserved_claimed_and_called_off_when_the_buyer_has_them_after_all(
    desk: Desk,
) -> None:
    case, order, waybill = await open_in_trouble(desk)
    await desk.submit(case, "courier_answers", SPECIALIST, finding="lost")
    view = await desk.submit(case, "choose_reship", AGENT)
    assert view.state == "reshipping"
    with desk.database.reading() as session:
        claim = session.scalars(select(CourierClaimRow).where(CourierClaimRow.case_id == case.id)).one()
        assert (claim.amount_fen, claim.waybill) == (10_000, waybill)
        reserved = session.scalars(select(StockMovementRow.quantity).where(StockMovementRow.order_id == order)).all()
        assert reserved == [-1]
    await desk.submit(case, "buyer_confirms", AGENT)
    assert (await desk.end(case)).outcome == "delivered"
    with desk.database.reading() as session:
        moved = session.scalars(select(StockMovementRow.quantity).where(StockMovementRow.order_id == order)).all()
        assert moved == [-1, 1]
        assert session.scalars(select(ReshipmentRow.state).where(ReshipmentRow.case_id == case.id)).all() == [
            "called_off"
        ]
    tasks = [one for one in letters(desk, case, "staff") if one.recipient == Role.WAREHOUSE]
    assert tasks
    assert all(one.cancelled_at for one in tasks)


async def test_goods_sent_again_are_a_parcel_of_the_order_and_are_followed(desk: Desk) -> None:
    case, order, waybill = await open_in_trouble(desk)
    await desk.submit(case, "courier_answers", SPECIALIST, finding="damaged")
    await desk.submit(case, "choose_reship", AGENT, claim_fen=4_000)
    other_order, taken = parcel_order(desk)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="yuantong", waybill=taken)
    assert f"{taken} is a parcel of order {other_order}, not of {order}" in str(refused.value.cause)
    again = f"YT9{order[-11:]}"
    view = await desk.submit(case, "parcel_reshipped", WAREHOUSE, courier="yuantong", waybill=again)
    assert view.state == "tracking"
    with desk.database.reading() as session:
        shipped = session.scalars(select(ShipmentRow.waybill).where(ShipmentRow.order_id == order)).all()
        assert sorted(shipped) == sorted([waybill, again])
    await desk.submit(case, "buyer_confirms", AGENT)
    await desk.end(case)
    assert [one.template for one in letters(desk, case, "staff")][-1] == "parcel.stop_reshipment"


async def test_what_the_warehouse_has_not_got_is_not_sent_again_and_nobody_else_is_promised_it(desk: Desk) -> None:
    case, order, _ = await open_in_trouble(desk)
    await desk.submit(case, "courier_answers", SPECIALIST, finding="out_of_area")
    await desk.submit(case, "buyer_chooses", AGENT, choice="reship")
    await desk.submit(case, "find_out_of_stock", WAREHOUSE)
    await desk.end(case)
    with desk.database.reading() as session:
        assert not reshipments.in_stock(session, order, [LineQuantity(line=1, quantity=1)])


async def test_an_order_that_is_refunded_closes_the_case_and_a_moving_parcel_is_to_be_recovered(desk: Desk) -> None:
    case, order, _ = await open_in_trouble(desk)
    # no case hears of it: the next look sees it
    desk.platform_refunds_order(order)
    await until_it_moves(desk, case)
    assert (await desk.end(case)).outcome == "closed"
    assert [one.template for one in letters(desk, case, "staff")][-1] == "parcel.recover"


async def test_receipt_is_put_off_while_the_case_is_open(desk: Desk) -> None:
    case, order, _ = await open_in_trouble(desk)
    near = await desk.skipper.get_current_time(case) + timedelta(hours=20)
    with desk.database.writing() as session:
        session.get_one(OrderRow, order).receipt_until = near
    await desk.skip(case, timedelta(hours=5))
    with desk.database.reading() as session:
        assert session.get_one(OrderRow, order).receipt_until == near + timedelta(days=3)
    await case.cancel()


async def test_a_returned_parcel_is_marked_and_opens_a_return_of_goods_that_are_back(desk: Desk) -> None:
    case, order, waybill = await open_in_trouble(desk)
    with pytest.raises(WorkflowUpdateFailedError, match="Workflow update failed"):
        await desk.submit(case, "parcel_returned", CLERK, waybill="YT-OF-ANOTHER")
    view = await desk.submit(case, "parcel_returned", CLERK, waybill=waybill.lower())
    assert view.state == "choosing_remedy"
    await desk.submit(case, "choose_refund", AGENT, claim_fen=0)
    view = await desk.end(case)
    assert view.outcome == "refund_opened"
    (child,) = view.links
    assert child == f"return-after-shipping-{order}"
    opened = CaseView.model_validate(await desk.client.get_workflow_handle(child).query("case"))
    assert opened.links == [case.id]
    assert opened.opened_by == "system"
    assert opened.state != "assessing" or not opened.final


@pytest.mark.parametrize(("ending", "role"), [("lost", "store_manager"), ("signed", "returns_clerk")])
async def test_a_return_on_its_way_to_us_is_told_and_nothing_is_opened(desk: Desk, ending: str, role: str) -> None:
    case, _, parent = await open_on_its_way_to_us(desk)
    assert (await desk.view(case)).links == [parent]
    if ending == "lost":
        await desk.submit(case, "courier_answers", SPECIALIST, finding="lost")
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await desk.submit(case, "choose_reship", "aftersale.2")
        assert "not a return" in str(refused.value.cause)
        await desk.submit(case, "choose_refund", "aftersale.2")
        assert (await desk.end(case)).outcome == "loss_reported"
        assert letters(desk, case, "buyer")[-1].text_en.endswith("; your return goes on with it.")
    else:
        await scan_now(desk, case, case.id.removeprefix(f"{FLOW}-"), "301")
        await until_it_moves(desk, case)
        assert (await desk.end(case)).outcome == "delivered"
    with desk.database.reading() as session:
        tasks = session.scalars(select(OutboxRow).where(OutboxRow.case_id == parent)).all()
        assert [one.recipient for one in tasks] == [role]
        followed = session.scalars(select(FollowedParcelRow).where(FollowedParcelRow.case_id == case.id)).one()
        assert followed.how == "way_back"


@pytest.mark.parametrize(
    ("finding", "template", "role"),
    [
        ("lost", "parcel.way_back_lost_too_late", "aftersale_supervisor"),
        ("signed", "parcel.way_back_arrived_too_late", "returns_clerk"),
    ],
)
async def test_what_becomes_of_a_parcel_whose_return_was_called_off_is_no_matter_of_that_return(
    desk: Desk, finding: str, template: str, role: str
) -> None:
    order, _ = parcel_order(desk)
    back = await opened(desk, order, "awaiting_parcel")
    waybill = f"RB{order[-11:]}"
    await desk.submit(back, "buyer_ships", AGENT, courier="yuantong", waybill=waybill)
    scan(desk, waybill, "2")
    case = await open_parcel(desk, order, waybill)
    await desk.until(case, "investigating")
    await desk.submit(back, "cancel_case", "aftersale-lead.1", note="the buyer keeps it")
    await desk.end(back)
    before = len(letters(desk, back, "staff"))
    view = await desk.submit(case, "courier_answers", SPECIALIST, finding=finding)
    if finding == "lost":
        await desk.submit(case, "choose_refund", "aftersale.2")
    view = await desk.end(case)
    assert len(letters(desk, back, "staff")) == before, "nobody looks into a return that has ended"
    (task,) = [one for one in letters(desk, case, "staff") if one.template == template]
    assert task.recipient == role
    assert f"its return {back.id} has ended" in task.text_en
    if finding == "lost":
        assert (view.outcome, view.trail[-1].why) == (
            "loss_reported",
            f"{back.id} has ended, which a task says, nothing is opened",
        )
        last = letters(desk, case, "buyer")[-1]
        assert "your return had been closed before" in last.text_en
        assert "退货申请此前已结束" in last.text_zh


# --- bad input ---


async def test_a_parcel_that_the_shop_does_not_know_is_not_applicable(desk: Desk) -> None:
    order, _ = parcel_order(desk)
    case = await open_parcel(desk, order, f"NO{order[-11:]}")
    view = await desk.end(case)
    assert view.outcome == "not_applicable"
    assert view.trail[-1].why == f"order {order} has no parcel NO{order[-11:]}"


async def test_a_settled_parcel_is_not_applicable(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    desk.without_telling(lambda session: outside.close(session, order, at=datetime.now(UTC)))
    assert (await desk.end(await open_parcel(desk, order, waybill))).outcome == "not_applicable"


@pytest.mark.parametrize("through_client", [True, False])
async def test_a_bad_start_is_refused_with_the_field_named_by_the_client_and_by_the_case(
    desk: Desk, *, through_client: bool
) -> None:
    order, waybill = parcel_order(desk)
    _, of_another = parcel_order(desk)
    good = {"order_id": order, "by": AGENT, "waybill": waybill, "courier": "yuantong", "cause": "asked"}
    for fields, said in (
        ({"waybill": of_another}, f"waybill: {of_another} is a parcel of order"),
        ({"waybill": "no waybill"}, "waybill: "),
        ({"courier": ""}, "courier: "),
        ({"cause": "bored"}, "cause: "),
        ({"by": "warehouse.1"}, "by: a problem parcel is opened by"),
        ({"by": "nobody.1"}, "by names nobody on the staff list"),
        ({"order_id": "3300019999999999998"}, "order_id: the shop has no order"),
        ({"from_case": "return-after-shipping-1"}, "from_case"),
        ({"note": "13800000001"}, "note"),
    ):
        start = {**good, **fields}
        if through_client:
            client = CaseworkClient(desk.client, desk.database)
            with pytest.raises(BadInput) as refused:
                await client.start_case(FLOW, start)
            sentence = str(refused.value)
        else:
            case = await desk.open_case(FLOW, f"{FLOW}-{start['waybill'].replace(' ', '-')}", start)
            with pytest.raises(WorkflowFailureError) as failed:
                await case.result()
            assert isinstance(failed.value.cause, ApplicationError)
            assert failed.value.cause.non_retryable
            sentence = failed.value.cause.message
        assert said in sentence, sentence


async def test_a_waybill_that_an_open_case_follows_is_not_opened_again(desk: Desk) -> None:
    case, order, _ = await open_in_trouble(desk)
    await desk.submit(case, "courier_answers", SPECIALIST, finding="out_of_area")
    await desk.submit(case, "buyer_chooses", AGENT, choice="forward")
    ems = f"EA{order[-9:]}CN"
    await desk.submit(case, "parcel_forwarded", SPECIALIST, courier="ems", waybill=ems)
    second = await open_parcel(desk, order, ems)
    with pytest.raises(WorkflowFailureError) as failed:
        await second.result()
    assert f"waybill: {ems} is followed by the open case {case.id} already" in str(failed.value.cause)
    await case.cancel()


async def test_hostile_messages_change_nothing_and_are_on_the_record(desk: Desk) -> None:
    case, _, _ = await open_in_trouble(desk)
    before = await desk.view(case)
    hostile: list[tuple[str, Any]] = [
        ("courier_answers", {"by": SPECIALIST}),
        ("courier_answers", {"by": SPECIALIST, "finding": "stolen"}),
        ("courier_answers", {"by": AGENT, "finding": "lost"}),
        ("courier_answers", {"by": SPECIALIST, "finding": "lost", "refund": True}),
        ("courier_answers", [1, 2]),
        ("buyer_chooses", {"by": AGENT, "choice": "redeliver"}),
        ("order_gone", {"by": "system"}),
        ("find_signed", {"by": "system"}),
        ("approve", {"by": LEAD}),
    ]
    for name, payload in hostile:
        await case.signal(name, payload)
    view = await desk.until_shown(case, lambda one: len(one.trail) >= len(before.trail) + len(hostile), "all refused")
    assert (view.state, view.version, view.due) == (before.state, before.version, before.due)
    assert all(not line.accepted and line.why for line in view.trail[len(before.trail) :])
    await case.cancel()


# --- months ---


async def test_a_deadline_and_its_reminders_survive_continuing_as_new(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "303")
    case = await open_parcel(desk, order, waybill, cause="signed_unconfirmed")
    due = (await desk.until(case, "confirming_receipt")).due
    assert due is not None
    first_run = (await case.describe()).run_id
    await let_pass_over_runs(desk.skipper, case, due - timedelta(hours=1), at_a_time=DAY)
    view = await desk.view(case)
    assert (view.state, view.due) == ("confirming_receipt", due)
    assert (await case.describe()).run_id != first_run
    await desk.skip(case, timedelta(hours=2))
    assert (await desk.end(case)).outcome == "delivered"
    assert told(desk, case).count("parcel.received_reminder") == 2


@pytest.mark.timeout(400)
async def test_a_parcel_tracked_for_90_days_keeps_its_history_bounded_and_loses_nothing(desk: Desk) -> None:
    desk = desk.with_policy("daily")  # nothing is late there by itself
    order, waybill = parcel_order(desk)
    silence(desk, waybill)
    case = await open_parcel(desk, order, waybill)
    opened = (await desk.until(case, "tracking")).opened_at
    kept = {"by": WAREHOUSE, "courier": "ems", "waybill": f"EA{order[-9:]}CN", "id": "kept-from-the-first-day"}
    await case.signal("parcel_reshipped", kept)
    await desk.until_shown(case, lambda one: one.kept == ["parcel_reshipped"], "the fact is kept")
    await let_pass_over_runs(desk.skipper, case, opened + timedelta(days=45), at_a_time=DAY)
    # a resend in another run: harmless
    await asyncio.gather(case.signal("parcel_reshipped", kept), desk.submit(case, "picked_up", SPECIALIST, id="mid"))
    await let_pass_over_runs(desk.skipper, case, opened + timedelta(days=90), at_a_time=DAY)
    view = await desk.submit(case, "picked_up", SPECIALIST, id="mid")
    assert (view.state, view.kept) == ("tracking", ["parcel_reshipped", "picked_up"])
    assert view.opened_at == opened
    runs = [run async for run in histories(desk.client, case.id, case.first_execution_run_id)]
    assert len(runs) > 1
    assert max(map(len, runs)) < 2_000
    looks = sum(event.HasField("activity_task_completed_event_attributes") for run in runs for event in run)
    assert looks >= 90 - len(runs)  # no time has passed without the case
    # the tests' server asks for a continuation early; by itself a case continues after so many looks
    assert sum(map(len, runs)) / looks * MOST_LOOKS < 2_000
    await desk.submit(case, "buyer_confirms", AGENT)
    assert (await desk.end(case)).outcome == "delivered"


async def test_whose_a_case_is_that_only_looks_at_the_world_and_has_told_nobody(desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "0")
    case = await open_parcel(desk, order, waybill)
    view = await desk.until(case, "tracking")
    assert view.assignee is not None
    client = CaseworkClient(desk.client, desk.database)
    async with asyncio.timeout(20):  # the list lags a moment behind
        while (await client.assigned_to([view.assignee])).get(case.id) != view.assignee:
            pass
    await case.terminate()
