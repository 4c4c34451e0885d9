"""What a stranger may send: nothing wedges a case, and what was refused is on the record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import ActivityFailureError, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.payments import Payment
from casework.case import FORGOTTEN, MOST_REFUSED, TrailLine
from casework.money import LineQuantity
from casework.shop import payments, records
from tests.desk import FLOW, Desk, Handle
from tests.orders import ADDRESS, RECEIVER

AGENT, LEAD, FINANCE = "aftersale.1", "aftersale-lead.5", "finance.3"


async def raw_signal(desk: Desk, case: Handle, name: str, *payloads: bytes, encoding: bytes = b"json/plain") -> None:
    """A signal with exactly these bytes, as another program might send it."""
    await desk.client.workflow_service.signal_workflow_execution(
        SignalWorkflowExecutionRequest(
            namespace=desk.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=case.id),
            signal_name=name,
            input=Payloads(payloads=[Payload(metadata={"encoding": encoding}, data=data) for data in payloads]),
        ),
        # the server asks to come again where a case is just continuing as new
        retry=True,
    )


async def persuading(desk: Desk, fen: int = 20_000) -> Handle:
    return await desk.open_in("persuading", desk.order(prices=[(fen, 1)]), reason="changed their mind")


async def refused_after(desk: Desk, case: Handle) -> list[TrailLine]:
    """The refused lines, once the case has answered everything that was sent before."""
    view = await desk.submit(case, "buyer_keeps_order", AGENT)
    assert view.state in ("releasing", "kept"), "the case can go on"
    return [line for line in (await desk.end(case)).trail if not line.accepted]


GOOD = json.dumps({"by": AGENT}).encode()


@pytest.mark.parametrize(
    ("name", "payloads", "encoding", "why"),
    [
        ("buyer_insists", [b"{broken"], b"json/plain", "a JSON object is wanted"),
        ("buyer_insists", [b"\xff\xfe\x00"], b"binary/strange", "a JSON object is wanted"),
        ("buyer_insists", [b"[1, 2]"], b"json/plain", "a JSON object is wanted"),
        ("buyer_insists", [b'"approve"'], b"json/plain", "a JSON object is wanted"),
        ("buyer_insists", [b"null"], b"json/plain", "a JSON object is wanted"),
        ("buyer_insists", [], b"json/plain", "one JSON object is wanted, 0 arguments came"),
        ("buyer_insists", [GOOD, GOOD], b"json/plain", "one JSON object is wanted, 2 arguments came"),
        ("please_pay", [GOOD], b"json/plain", "there is no such trigger in this flow"),
        ("buyer_insists", [b"{}"], b"json/plain", "by is missing"),
        ("buyer_insists", [b'{"by": 7}'], b"json/plain", "by: text is wanted"),
        ("buyer_insists", [b'{"by": "nobody.9"}'], b"json/plain", "by names nobody on the staff list"),
        ("buyer_insists", [b'{"by": "aftersale-lead.3"}'], b"json/plain", "aftersale-lead.3 is absent"),
        ("buyer_insists", [b'{"by": "warehouse.1"}'], b"json/plain", "buyer_insists in persuading is for"),
        ("buyer_insists", [b'{"by": "system"}'], b"json/plain", "by is system"),
        ("buyer_insists", [b'{"by": "aftersale.1", "x": 1}'], b"json/plain", "x is a field that does not belong here"),
        ("buyer_insists", [b'{"by": "aftersale.1", "version": 0}'], b"json/plain", "the case has moved on"),
        ("buyer_insists", [b'{"by": "aftersale.1", "version": true}'], b"json/plain", "version"),
        ("approve", [b'{"by": "aftersale-lead.5"}'], b"json/plain", "approve is not possible in persuading"),
        ("send_back", [b'{"by": "aftersale-lead.5"}'], b"json/plain", "note is missing"),
        ("buyer_insists", [b'{"by": "aftersale.1", "note": "a\\u0000b"}'], b"json/plain", "holds a NUL character"),
        ("order_gone", [b'{"by": "system"}'], b"json/plain", "the shop does not show the lines"),
        ("order_gone", [b'{"by": "aftersale.1"}'], b"json/plain", "order_gone is for the shop itself"),
        ("parcel_back", [b'{"by": "aftersale.1"}'], b"json/plain", "parcel_back is for returns_clerk"),
    ],
)
async def test_a_signal_that_cannot_be_accepted_is_recorded_and_the_case_goes_on(
    desk: Desk, name: str, payloads: Sequence[bytes], encoding: bytes, why: str
) -> None:
    case = await persuading(desk)
    await raw_signal(desk, case, name, *payloads, encoding=encoding)
    (line,) = await refused_after(desk, case)
    assert line.trigger == name
    assert line.why is not None
    assert line.why.startswith(why) or why in line.why


@pytest.mark.parametrize(
    "note",
    ["ring 13812345678", "电话138 1234 5678请联系", f"{RECEIVER} wants it", f"send to {ADDRESS}"],
)
async def test_personal_data_in_a_note_is_refused_and_not_repeated(desk: Desk, note: str) -> None:
    case = await persuading(desk)
    await desk.signal(case, "buyer_insists", AGENT, note=note)
    (line,) = await refused_after(desk, case)
    assert line.note is None
    assert line.why
    for secret in ("13812345678", "138 1234 5678", RECEIVER, ADDRESS):
        assert secret not in line.why


async def test_a_phone_number_as_the_name_of_a_person_is_not_repeated(desk: Desk) -> None:
    case = await persuading(desk)
    await desk.signal(case, "buyer_insists", "13812345678")
    (line,) = await refused_after(desk, case)
    assert line.by == "unknown"


async def test_a_message_sent_twice_under_one_id_counts_once(desk: Desk) -> None:
    case = await persuading(desk, 20_001)
    for _ in range(3):
        await desk.signal(case, "buyer_insists", AGENT, id="once")
    view = await desk.submit(case, "buyer_insists", AGENT, id="once")
    assert view.state == "awaiting_supervisor"
    assert [line.accepted for line in view.trail] == [True, True, True]
    await case.terminate()


async def test_one_id_for_two_messages_is_refused(desk: Desk) -> None:
    case = await persuading(desk, 20_001)
    await desk.submit(case, "buyer_insists", AGENT, id="same")
    await desk.signal(case, "buyer_withdraws", AGENT, id="same")
    await desk.signal(case, "send_back", LEAD, id="same", note="another person's id is another id")
    view = await desk.submit(case, "buyer_withdraws", AGENT)
    assert [line.why for line in view.trail if not line.accepted] == ["its id was used before for another message"]


async def test_two_decisions_for_one_state_never_become_two_steps(desk: Desk) -> None:
    order = desk.order(prices=[(100_001, 1)])
    case = await desk.open_in("persuading", order, reason="changed their mind")
    await desk.submit(case, "buyer_insists", AGENT)
    async with desk.before("consider", order):
        await desk.signal(case, "approve", LEAD)
        await desk.reached("consider", order)
        await desk.signal(case, "approve", FINANCE)
    view = await desk.submit(case, "buyer_withdraws", AGENT)
    approvals = [(line.accepted, line.dest) for line in view.trail if line.trigger == "approve"]
    assert approvals in ([(True, "awaiting_finance"), (False, None)], [(True, "awaiting_finance"), (True, "refunding")])
    with suppress(RPCError):  # with both of them, the case ends by itself
        await case.terminate()


async def test_a_signal_after_the_end_is_answered_by_the_server(desk: Desk) -> None:
    case = await persuading(desk)
    await desk.submit(case, "buyer_keeps_order", AGENT)
    await desk.end(case)
    with pytest.raises(RPCError, match="already completed"):
        await desk.signal(case, "buyer_insists", AGENT)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({}, "there is no such trigger"),
        ({"trigger": 5, "by": AGENT}, "there is no such trigger"),
        ({"trigger": "check", "by": AGENT}, "there is no such trigger"),
        ({"trigger": "approve", "by": LEAD}, "approve is not possible in persuading"),
        ({"trigger": "buyer_insists"}, "by is missing"),
        ({"trigger": "buyer_insists", "by": AGENT, "version": 0}, "the case has moved on"),
        ({"trigger": "buyer_insists", "by": AGENT, "note": ""}, "note: text of at least 1 character is wanted"),
        (
            {"trigger": "buyer_insists", "by": AGENT, "note": "n" * 501},
            "note: text of at most 500 characters is wanted",
        ),
        ("not an object", "a JSON object is wanted"),
    ],
)
async def test_an_update_that_makes_no_sense_leaves_nothing_in_the_history(
    desk: Desk, message: object, why: str
) -> None:
    case = await persuading(desk)
    before = (await case.describe()).history_length
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await desk.update(case, message)
    assert isinstance(refused.value.cause, ApplicationError)
    assert why in refused.value.cause.message
    assert (await case.describe()).history_length == before
    assert not [line for line in (await desk.view(case)).trail if not line.accepted]
    await case.terminate()


@pytest.mark.parametrize("arguments", [[], [{"trigger": "approve", "by": LEAD}, 1]])
async def test_an_update_with_the_wrong_number_of_arguments_does_not_wedge(desk: Desk, arguments: list[object]) -> None:
    case = await persuading(desk)
    with pytest.raises(WorkflowUpdateFailedError):
        await desk.update(case, *arguments)
    assert await refused_after(desk, case) == []


@pytest.mark.parametrize(
    ("by", "why"),
    [
        ("warehouse.1", "is for aftersale_agent"),
        ("nobody.9", "nobody on the staff list"),
        ("aftersale-lead.3", "absent"),
    ],
)
async def test_an_update_by_the_wrong_person_is_on_the_record(desk: Desk, by: str, why: str) -> None:
    case = await persuading(desk)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await desk.submit(case, "buyer_insists", by)
    assert isinstance(refused.value.cause, ApplicationError)
    assert why in refused.value.cause.message
    (line,) = await refused_after(desk, case)
    assert line.why == refused.value.cause.message


async def test_a_fact_that_comes_early_is_kept_and_used_once(desk: Desk) -> None:
    order = desk.order(shipped=True)
    async with desk.before("intercept", order):
        case = await desk.start(order)
        await desk.reached("intercept", order)
        view = await desk.submit(case, "parcel_back", "returns.1")
        assert view.kept == ["parcel_back"]
    view = await desk.end(case)
    assert view.outcome == "refunded"
    assert [line.trigger for line in view.trail if line.accepted].count("parcel_back") == 1


async def test_a_fact_that_no_state_used_is_in_the_trail_as_unused(desk: Desk) -> None:
    case = await persuading(desk)
    view = await desk.submit(case, "parcel_back", "returns.1")
    assert view.kept == ["parcel_back"]
    (line,) = await refused_after(desk, case)
    assert (line.trigger, line.by) == ("parcel_back", "returns.1")
    assert line.why
    assert line.why.startswith("unused")


GARBAGE: list[tuple[list[Any], str]] = [
    ([], "one JSON object is wanted"),
    ([1, 2], "one JSON object is wanted"),
    (["text"], "a JSON object is wanted"),
    ([None], "a JSON object is wanted"),
    ([{}], "order_id"),
    ([{"order_id": 330001, "by": AGENT}], "order_id"),
    ([{"order_id": "99999999", "by": AGENT}], "order_id"),
    ([{"order_id": "ORDER", "by": "nobody.9"}], "by"),
    ([{"order_id": "ORDER", "by": "warehouse.1"}], "by"),
    ([{"order_id": "ORDER", "by": "system"}], "by"),
    ([{"order_id": "ORDER", "by": AGENT, "extra": 1}], "extra"),
    ([{"order_id": "ORDER", "by": AGENT, "from_case": "bulk-order-1"}], "from_case"),
    ([{"order_id": "ORDER", "by": AGENT, "order_terminated": True}], "order_terminated"),
    ([{"order_id": "ORDER", "by": AGENT, "carried": {}}], "carried"),
    ([{"order_id": "ORDER", "by": AGENT, "lines": []}], "lines"),
    ([{"order_id": "ORDER", "by": AGENT, "lines": [{"line": 9, "quantity": 1}]}], "lines"),
    ([{"order_id": "ORDER", "by": AGENT, "lines": [{"line": 1, "quantity": 2}]}], "lines"),
    ([{"order_id": "ORDER", "by": AGENT, "lines": [{"line": 1, "quantity": 1.5}]}], "quantity"),
    ([{"order_id": "ORDER", "by": AGENT, "lines": [{"line": 1, "quantity": 1}] * 2}], "lines"),
    ([{"order_id": "ORDER", "by": AGENT, "platform_deadline": "2026-11-20T18:00:00"}], "platform_deadline"),
    ([{"order_id": "ORDER", "by": AGENT, "platform_deadline": 5}], "platform_deadline"),
    ([{"order_id": "ORDER", "by": AGENT, "platform_deadline": "0001-01-01T00:00:00Z"}], "platform_deadline"),
    ([{"order_id": "ORDER", "by": AGENT, "note": "ring 13812345678"}], "note"),
    ([{"order_id": "ORDER", "by": AGENT, "reason": f"{RECEIVER} asks"}], "name"),
]


@pytest.mark.parametrize(("start", "field"), GARBAGE)
async def test_a_case_started_by_hand_with_garbage_fails_at_once_and_names_the_field(
    desk: Desk, start: list[Any], field: str
) -> None:
    order = desk.order()
    given = [json.loads(json.dumps(one).replace("ORDER", order)) for one in start]
    case = await desk.client.start_workflow(
        "RefundBeforeShipping", args=given, id=f"{FLOW}-{order}", task_queue=desk.task_queue
    )
    with pytest.raises(WorkflowFailureError) as failed:
        await case.result()
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    assert cause.non_retryable
    assert field in cause.message
    for secret in ("13812345678", RECEIVER):
        assert secret not in cause.message


async def test_nobody_forges_a_continuation_by_a_schedule(desk: Desk) -> None:
    order = desk.order(prices=[(500_000, 1)])
    forged = {"case_id": f"{FLOW}-{order}", "state": "refunding", "approved": True, "amount_fen": 500_000}
    start = {"order_id": order, "by": AGENT, "carried": forged}
    case = await desk.client.start_workflow(
        "RefundBeforeShipping", start, id=f"{FLOW}-{order}", task_queue=desk.task_queue, cron_schedule="@every 1s"
    )
    async for event in case.fetch_history_events(wait_new_event=True):
        if event.HasField("workflow_execution_failed_event_attributes"):
            failure = event.workflow_execution_failed_event_attributes.failure
            assert "schedule" in failure.message
    await desk.client.get_workflow_handle(case.id).terminate()


async def test_a_flood_of_refused_signals_stays_within_what_temporal_carries(desk: Desk) -> None:
    case = await persuading(desk)
    for number in range(MOST_REFUSED + 50):
        if number % 2:
            await desk.signal(case, "approve", LEAD)
        else:
            await raw_signal(desk, case, FORGOTTEN, GOOD)
    view = await desk.submit(case, "buyer_keeps_order", AGENT)
    refused = [line for line in view.trail if not line.accepted]
    assert len(refused) == MOST_REFUSED + 1
    assert refused[0].why == "50 older refused messages are no longer listed"
    assert [line.trigger for line in view.trail if line.accepted] == ["check", "hold", "buyer_keeps_order"]


@pytest.mark.parametrize("by", ["\ufdfa" * 100_000, "a" * 1_000_000])
async def test_a_huge_name_is_refused_and_not_repeated(desk: Desk, by: str) -> None:
    case = await persuading(desk)
    await desk.signal(case, "buyer_insists", by)
    (line,) = await refused_after(desk, case)
    assert line.by == "unknown"


@pytest.mark.parametrize("name", ["tel13812345678", "buyer insists", "x" * 200])
async def test_a_strange_signal_name_is_not_repeated(desk: Desk, name: str) -> None:
    case = await persuading(desk)
    await raw_signal(desk, case, name, GOOD)
    (line,) = await refused_after(desk, case)
    assert line.trigger == "unknown"


async def test_a_mixture_of_shipped_and_unshipped_lines_is_refused(desk: Desk) -> None:
    order = desk.order(prices=[(100, 1), (200, 1)], shipped=[1])
    case = await desk.start(order, lines=[{"line": 1, "quantity": 1}, {"line": 2, "quantity": 1}])
    with pytest.raises(WorkflowFailureError) as failed:
        await case.result()
    assert "lines" in str(failed.value.cause)


def payment_of(desk: Desk, case: Handle, order: str) -> Payment:
    """A payment of 100.00 in the name of the case, which nobody has decided."""
    with desk.database.reading() as session:
        (record,) = records.find_records(session, case_id=case.id)
    return Payment(
        case_id=case.id,
        run_id=record.run_id,
        order_id=order,
        lines=[LineQuantity(line=1, quantity=1)],
        at=datetime.now(UTC),
        amount_fen=10_000,
    )


async def test_a_payment_that_no_case_asked_for_is_refused(desk: Desk) -> None:
    """Temporal's server also runs an activity by itself (`temporal activity execute`)."""
    order = desk.order(prices=[(10_000, 1)])
    case = await desk.open_in("persuading", order, reason="bought twice")
    payment = payment_of(desk, case, order)
    with pytest.raises(ActivityFailureError) as refused:
        await desk.client.execute_activity(
            "pay", payment, id=f"pay-{order}", task_queue=desk.task_queue, start_to_close_timeout=timedelta(seconds=20)
        )
    assert "for the case that asks for it" in str(refused.value.cause)
    with desk.database.reading() as session:
        assert payments.ledger(session, order) == []
    await case.cancel()


@workflow.defn(name="Stranger")
class Stranger:
    """A workflow that is no case, and has a case's work done."""

    @workflow.run
    async def run(self, payment: dict[str, Any], task_queue: str) -> None:
        """Pay in the case's name."""
        await workflow.execute_activity(
            "pay", payment, task_queue=task_queue, start_to_close_timeout=timedelta(seconds=20)
        )


async def test_a_payment_for_which_a_workflow_asks_that_is_not_its_case_is_refused(desk: Desk) -> None:
    order = desk.order(prices=[(10_000, 1)])
    case = await desk.open_in("persuading", order, reason="bought twice")
    payment = payment_of(desk, case, order).model_dump(mode="json")
    async with Worker(
        desk.client, task_queue="strangers", workflows=[Stranger], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        with pytest.raises(WorkflowFailureError) as refused:
            await desk.client.execute_workflow(
                Stranger.run, args=[payment, desk.task_queue], id=f"{case.id}-stranger", task_queue="strangers"
            )
    assert isinstance(refused.value.cause, ActivityError)
    assert "for the case that asks for it" in str(refused.value.cause.cause)
    with desk.database.reading() as session:
        assert payments.ledger(session, order) == []
    await case.cancel()
    await desk.end(case)


async def test_a_message_of_endless_fields_is_refused_and_not_each_is_described(desk: Desk) -> None:
    case = await persuading(desk)
    garbage: dict[str, Any] = {"by": AGENT, **{f"f{number}": 0 for number in range(150_000)}}
    async with desk.before("consider", desk.order_of(case)):
        await desk.signal(case, "comment", AGENT, text="the buyer called")
        await desk.reached("consider", desk.order_of(case))
        for _ in range(4):
            await case.signal("buyer_withdraws", garbage)
    (why, *_) = {line.why for line in await refused_after(desk, case)}
    assert why == "more than 1,000 things are wrong with it"


async def test_a_fact_that_was_kept_and_used_is_harmless_when_it_is_sent_again(desk: Desk) -> None:
    order = desk.order(prices=[(50_000, 1)], shipped=True)
    async with desk.before("intercept", order):
        case = await desk.start(order, reason="bought twice")
        await desk.reached("intercept", order)
        assert (await desk.submit(case, "parcel_back", "returns.1", id="back-1")).kept == ["parcel_back"]
    await desk.until(case, "awaiting_supervisor")
    again = await desk.submit(case, "parcel_back", "returns.1", id="back-1")
    assert (again.state, [line.why for line in again.trail if not line.accepted]) == ("awaiting_supervisor", [])


async def test_a_cancel_that_was_refused_is_refused_when_it_is_sent_again_while_the_case_works(desk: Desk) -> None:
    order = desk.order()
    case = await desk.open_in("persuading", order, reason="bought twice", task_timeout=timedelta(seconds=1))
    version = (await desk.view(case)).version
    said = {"note": "the buyer called", "id": "c"}
    await desk.signal(case, "cancel_case", LEAD, **said, version=0)
    async with desk.before("consider", order):
        await desk.signal(case, "buyer_insists", AGENT)
        await desk.reached("consider", order)
        await desk.signal(case, "cancel_case", LEAD, **said, version=version)
        await desk.prolonged(case, 2)
    assert (await desk.end(case)).outcome == "refunded"
