"""The client where something is missing: no worker, a case that is none, news that waits."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import Client
from temporalio.service import RPCError

from casework.client import (
    BadInput,
    CaseEnded,
    CaseFilter,
    CaseOpen,
    CaseRefused,
    CaseworkClient,
    NoAnswer,
    UnknownCase,
)
from casework.names import WORKFLOW_TYPES
from casework.repair import examine
from casework.shop import notices, outside
from tests.desk import FLOW, Desk


@pytest.fixture
def client(desk: Desk) -> CaseworkClient:
    return CaseworkClient(desk.client, desk.database)


def start(order: str, **fields: Any) -> dict[str, Any]:
    return {"order_id": order, "by": "aftersale.1", **fields}


async def test_where_no_worker_answers_it_gives_up_and_says_that_nothing_was_sent(desk: Desk) -> None:
    client = CaseworkClient(desk.client, desk.database, task_queue="nobody-listens", answer_seconds=0.5)
    case = await client.start_case(FLOW, start(desk.order()))
    with pytest.raises(NoAnswer, match="nothing was sent") as gave_up:
        await client.submit(case, "buyer_insists", {"by": "aftersale.1"})
    assert gave_up.value.taken_in is None
    await desk.client.get_workflow_handle(case).terminate()


async def test_where_the_worker_is_gone_after_the_look_it_says_whether_the_message_was_taken_in(
    desk: Desk, client: CaseworkClient
) -> None:
    seen = await client.view(await client.start_case(FLOW, start(desk.order())))
    nobody = CaseworkClient(desk.client, desk.database, task_queue="nobody-listens", answer_seconds=0.5)
    other = await nobody.start_case(FLOW, start(desk.order()))
    with pytest.raises(NoAnswer, match="has not been taken in") as gave_up:
        await nobody.submit(other, "buyer_insists", {"by": "aftersale.1"}, seen=seen)
    assert gave_up.value.taken_in is False
    await desk.client.get_workflow_handle(other).terminate()


async def test_a_decision_made_on_an_older_view_is_refused(desk: Desk, client: CaseworkClient) -> None:
    case = await client.start_case(FLOW, start(desk.order(prices=((143_700, 1),)), reason="x"))
    seen = await client.view_at_rest(case)
    await client.submit(case, "buyer_insists", {"by": "aftersale.1"}, seen=seen)
    await client.submit(case, "send_back", {"by": "aftersale-lead.1", "note": "once more"})
    with pytest.raises(CaseRefused, match="moved on"):
        await client.submit(case, "buyer_insists", {"by": "aftersale.1"}, seen=seen)


async def test_a_resend_of_the_same_message_is_harmless(desk: Desk, client: CaseworkClient) -> None:
    case = await client.start_case(FLOW, start(desk.order(), reason="x"))
    message = {"by": "aftersale.1", "id": "one"}
    await client.view_at_rest(case)
    await client.submit(case, "buyer_keeps_order", message)
    ended = await desk.end(desk.client.get_workflow_handle(case))
    assert ended.outcome == "kept"
    with pytest.raises(CaseEnded, match="has ended"):
        await client.submit(case, "buyer_keeps_order", message)


async def test_a_case_that_was_started_with_garbage_says_what_is_wrong(desk: Desk, client: CaseworkClient) -> None:
    case = f"{FLOW}-330001977{uuid4().int % 10**10:010d}"  # no order of the tests has such a number
    handle = await desk.client.start_workflow(
        WORKFLOW_TYPES[FLOW], {"order_id": 5}, id=case, task_queue=desk.task_queue
    )
    with pytest.raises(Exception, match="failed"):
        await handle.result()
    with pytest.raises(CaseRefused, match="order_id"):
        await client.view(case)


async def test_a_case_that_nobody_knows_is_unknown(client: CaseworkClient) -> None:
    with pytest.raises(UnknownCase):
        await client.view(f"{FLOW}-3300019988888888888")
    with pytest.raises(UnknownCase):
        await client.resolve("0000000000")


async def test_only_another_case_may_open_one_in_the_name_of_the_system(desk: Desk, client: CaseworkClient) -> None:
    with pytest.raises(BadInput):
        await client.start_case(FLOW, start(desk.order(), from_case="bulk-order-1"))


async def test_news_is_told_once_and_to_a_case_that_has_ended_counts_as_told(
    desk: Desk, client: CaseworkClient
) -> None:
    order = desk.order()
    case = await client.start_case(FLOW, start(order))
    await client.view_at_rest(case)
    with desk.database.writing() as session:
        outside.set_address(session, order, "another street 5", at=datetime.now(UTC))
        outside.refunded(session, order, at=datetime.now(UTC))
    assert await client.tell_notices() == 2
    view = await desk.end(desk.client.get_workflow_handle(case))
    assert view.outcome == "refunded"
    assert [line.trigger for line in view.trail].count("order_gone") == 1
    assert all(line.accepted for line in view.trail), "a flow is not told what it makes nothing of"
    assert await client.tell_notices() == 0
    with desk.database.reading() as session:
        assert notices.pending(session) == []


async def test_after_it_has_closed_the_case_id_may_be_used_again(desk: Desk, client: CaseworkClient) -> None:
    order = desk.order()
    case = await client.start_case(FLOW, start(order))
    with pytest.raises(CaseOpen) as taken:
        await client.start_case(FLOW, start(order))
    assert taken.value.case_id == case
    assert (await client.cancel(case)).outcome == "cancelled"
    await desk.end(desk.client.get_workflow_handle(case))
    assert await client.start_case(FLOW, start(order)) == case
    assert not (await client.view(case)).final
    listed = await client.cases(CaseFilter(order_id=order))
    assert [line.open for line in listed] == [True, False]


async def test_a_cluster_that_knows_no_namespace_for_a_moment_is_not_taken_for_one_without_the_case(
    desk: Desk, client: CaseworkClient
) -> None:
    case = await client.start_case(FLOW, start(desk.order(), reason="x"))
    await client.view_at_rest(case)
    # so does a cluster answer, for a while, whose database was away
    lost = CaseworkClient(Client(desk.client.service_client, namespace="not-there-yet"), desk.database)
    with desk.database.writing() as session:
        outside.close(session, desk.order_of(desk.client.get_workflow_handle(case)), at=datetime.now(UTC))
    for asks in (lost.view(case), lost.tell_notices(), examine(lost.temporal, desk.database, now=datetime.now(UTC))):
        with pytest.raises(RPCError, match="not-there-yet"):
            await asks
    assert await client.tell_notices() == 1, "no news is lost"
    assert (await desk.end(desk.client.get_workflow_handle(case))).outcome == "refunded"
