"""With nothing of ours but the worker running: the plain `temporal` command and the Temporal UI suffice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any, cast

from temporalio.common import SearchAttributePair

from casework.names import SEARCH_ATTRIBUTES
from casework.server_program import find_server_program
from tests.desk import FLOW, Desk, Handle

TOO_SLOW = "shard status unknown"
PLEASE_RETRY = "something went wrong, please retry"
"""What the server says of an error of its own that it does not show, as of a database that was too slow."""
AGENT, LEAD = "aftersale.1", "aftersale-lead.5"


async def temporal(desk: Desk, *arguments: str) -> Any:
    """Run the plain `temporal` command against the server of the tests; answers with its JSON.

    It is run again where the server asks for that, as the one who typed it would do.
    """
    process = await asyncio.create_subprocess_exec(
        str(find_server_program(print).path),
        *arguments,
        "--address",
        desk.client.service_client.config.target_host,
        "--namespace",
        desk.client.namespace,
        "--output",
        "json",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    slow = "query" in arguments and TOO_SLOW in err.decode()
    if process.returncode and (slow or PLEASE_RETRY in err.decode()):
        return await temporal(desk, *arguments)
    assert process.returncode == 0, err.decode()
    return json.loads(out) if out.strip() else None


async def attributes(case: Handle) -> dict[str, Any]:
    """The case's search attributes, without the SDK's own."""
    described = await case.describe()
    pairs = cast("Iterable[SearchAttributePair[Any]]", described.typed_search_attributes)
    return {pair.key.name: pair.value for pair in pairs if pair.key.name in SEARCH_ATTRIBUTES}


async def test_a_case_is_opened_decided_and_inspected_with_the_plain_command(desk: Desk) -> None:
    order = desk.order(prices=[(50_000, 1)])
    case_id = f"{FLOW}-{order}"
    start = {"order_id": order, "by": AGENT, "reason": "bought twice"}
    await temporal(
        desk, "workflow", "start", "--type", "RefundBeforeShipping", "--task-queue", desk.task_queue,
        "--workflow-id", case_id, "--input", json.dumps(start),
    )  # fmt: skip
    case = desk.client.get_workflow_handle(case_id)
    await desk.until(case, "persuading")

    await temporal(
        desk, "workflow", "signal", "--workflow-id", case_id, "--name", "buyer_insists",
        "--input", json.dumps({"by": AGENT}),
    )  # fmt: skip
    await desk.until(case, "awaiting_supervisor")

    answer = await temporal(desk, "workflow", "query", "--workflow-id", case_id, "--type", "case")
    (view,) = answer["queryResult"]
    assert view["state"] == "awaiting_supervisor"
    assert view["if_silent"]["trigger"] == "supervisor_silent"
    assert {"trigger": "approve", "roles": ["aftersale_supervisor"], "fields": {}} in view["waiting_for"]

    answer = await temporal(
        desk, "workflow", "update", "execute", "--workflow-id", case_id, "--name", "submit",
        "--input", json.dumps({"trigger": "approve", "by": LEAD}),
    )  # fmt: skip
    assert answer["result"]["state"] == "refunding"
    assert (await desk.end(case)).outcome == "refunded"

    answer = await temporal(desk, "workflow", "query", "--workflow-id", case_id, "--type", "diagram")
    (diagram,) = answer["queryResult"]
    assert "stateDiagram-v2" in diagram
    assert "awaiting_supervisor" in diagram


async def test_search_attributes_and_details_say_where_the_case_is(desk: Desk) -> None:
    order = desk.order(prices=[(50_000, 1)])
    case = await desk.open_in("persuading", order, reason="bought twice")
    await desk.submit(case, "buyer_insists", AGENT)
    view = await desk.view(case)
    shown = await attributes(case)
    assert shown == {
        "CaseState": "awaiting_supervisor",
        "CaseWaitingFor": ["aftersale_supervisor"],
        "CaseOpenedBy": AGENT,
        "OrderId": order,
        "CaseDue": view.due,
        "CaseAmount": 50_000,
    }
    metadata = await case.query("__temporal_workflow_metadata")
    for said in (
        "待主管审批 awaiting_supervisor",
        "supervisor_silent → awaiting_finance",
        "checking → holding",
        "500.00",
    ):
        assert said in metadata.current_details
    assert {signal.name for signal in metadata.definition.signal_definitions} >= {"approve", "buyer_withdraws"}

    await desk.submit(case, "approve", LEAD)
    await desk.end(case)
    shown = await attributes(case)
    assert shown == {
        "CaseState": "refunded",
        "CaseOpenedBy": AGENT,
        "OrderId": order,
        "CaseOutcome": "refunded",
        "CaseAmount": 50_000,
    }


async def test_every_timer_and_every_activity_is_named_for_what_it_does(desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(prices=[(10_000, 1)]), reason="bought twice")
    await desk.submit(case, "buyer_insists", AGENT)
    await desk.end(case)
    named = [
        event.user_metadata.summary.data.decode()
        async for event in case.fetch_history_events()
        if event.HasField("timer_started_event_attributes")
        or event.HasField("activity_task_scheduled_event_attributes")
    ]
    assert '"persuading: reminder"' in named or '"persuading: persuasion_over"' in named
    assert '"refund 100.00"' in named
    assert all(named)
