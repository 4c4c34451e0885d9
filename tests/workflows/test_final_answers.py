"""What is outside the shop says no for good: that is final at once, people are asked, and no workflow fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.payments import REFUSED_FOR_GOOD, Payment, PaymentActivities
from casework.money import LineQuantity
from casework.names import TASK_QUEUE
from casework.policy import load_policy
from casework.shop import outbox, records
from casework.shop.database import Database
from tests.desk import Desk
from tests.parcels import parcel_order, scan
from worker import build_worker

REFUSING = frozenset({"intercept", "forward", "claim"})


class Refuses(Interceptor):
    """Couriers that refuse whatever is asked of them, with an error that is final."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        return _Refuses(next, self)


class _Refuses(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, refuses: Refuses) -> None:
        super().__init__(following)
        self._refuses = refuses

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        name = activity.info().activity_type
        if name in REFUSING:
            self._refuses.asked.append(name)
            raise ApplicationError("no such contract", type="NoContract", non_retryable=True)
        return await super().execute_activity(input)


@pytest.fixture
async def refused(desk: Desk) -> AsyncIterator[tuple[Desk, Refuses]]:
    refuses, queue = Refuses(), f"{TASK_QUEUE}-refusing"
    worker = build_worker(desk.client, desk.database, load_policy(None), task_queue=queue, interceptors=[refuses])
    async with worker:
        yield replace(desk, task_queue=queue), refuses


def tasks(desk: Desk, case_id: str, template: str) -> list[str]:
    with desk.database.reading() as session:
        return [one.text_en for one in outbox.letters(session, case_id=case_id) if one.template == template]


async def test_a_courier_that_refuses_to_stop_a_parcel_for_good_cannot_stop_it(refused: tuple[Desk, Refuses]) -> None:
    desk, refuses = refused
    order = desk.order(shipped=True)
    case = await desk.start(order, reason="不想要了")
    view = await desk.end(case)
    assert view.outcome == "converted"
    assert refuses.asked == ["intercept"]
    assert "the courier refused for good: NoContract" in [line.why for line in view.trail]
    goes_on = desk.client.get_workflow_handle(view.links[0])
    await goes_on.cancel()
    await desk.end(goes_on)


async def test_a_courier_that_refuses_a_request_or_a_claim_for_good_is_called_by_a_person(
    refused: tuple[Desk, Refuses],
) -> None:
    desk, refuses = refused
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "2")
    fields = {"order_id": order, "by": "aftersale.1", "waybill": waybill, "courier": "yuantong", "cause": "asked"}
    case = await desk.open_case("problem-parcel", f"problem-parcel-{waybill}", fields)
    await desk.until(case, "investigating")
    for _ in range(2):
        await desk.submit(case, "courier_answers", "parcel.1", finding="station_withdrawn")
        await desk.submit(case, "buyer_chooses", "aftersale.1", choice="forward")
        await desk.skip_to_deadline(case)
    await desk.submit(case, "courier_answers", "parcel.1", finding="lost")
    await desk.submit(case, "choose_refund", "aftersale.1")
    view = await desk.end(case)
    assert view.outcome == "refund_opened"
    assert refuses.asked == ["forward", "forward", "claim"]
    assert tasks(desk, case.id, "parcel.not_redelivered") == [
        *[f"The courier does not take the request to forward parcel {waybill}: call them."] * 2,
        f"The courier does not take the request to pay for parcel {waybill}: call them.",
    ]
    goes_on = desk.client.get_workflow_handle(view.links[0])
    await desk.until(goes_on, "confirming")
    await desk.submit(goes_on, "buyer_confirms", "aftersale.1")
    await desk.end(goes_on)


def test_a_payment_for_an_order_that_the_shop_does_not_have_is_refused_for_good(database: Database) -> None:
    order = "3300019599999999999"
    case, run, now = f"refund-before-shipping-{order}", "0198-run", datetime.now(UTC)
    with database.writing() as session:
        records.open_record(
            session,
            case_id=case,
            run_id=run,
            flow="refund-before-shipping",
            order_id=order,
            opened_by="aftersale.1",
            opened_at=now,
        )
    lines = [LineQuantity(line=1, quantity=1)]
    payment = Payment(case_id=case, run_id=run, order_id=order, lines=lines, at=now, amount_fen=1)
    with pytest.raises(ApplicationError, match=f"the shop has no order {order}") as refused:
        PaymentActivities(database).pay(payment)
    assert (refused.value.type, refused.value.non_retryable) == (REFUSED_FOR_GOOD, True)
    with database.writing() as session:
        records.close_record(session, case_id=case, run_id=run, view={}, outcome="terminated", at=now)
