"""What the Temporal UI shows: every step says what it does; the queries of docs/temporal-ui.md find what they say."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from casework.details import static_summary
from state_machines.flows import FLOWS
from tests.desk import FLOW, Desk, Handle

ROOT = Path(__file__).parents[1]
NAMED = (
    "EVENT_TYPE_TIMER_STARTED",
    "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED",
    "EVENT_TYPE_MARKER_RECORDED",
    "EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED",
)
"""Everything of which the UI shows a line with a summary; markers are local activities."""
ORDER, NOW = "3300050712105641020", "2026-11-25T18:00:00+08:00"


def histories() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted((ROOT / "tests" / "histories").glob("*/*.json")):
        for event in json.loads(file.read_text(encoding="utf-8"))["events"]:
            yield file.name, event


def test_every_timer_activity_and_child_that_was_ever_recorded_says_what_it_is_for() -> None:
    named = [(name, event) for name, event in histories() if event["eventType"] in NAMED]
    assert {event["eventType"] for _, event in named} == set(NAMED)
    silent = [
        (name, event["eventId"])
        for name, event in named
        if "summary" not in event.get("userMetadata", {}) and "patched" not in str(event)
    ]
    assert silent == []


def queries() -> dict[str, str]:
    """The queries of the page, by the words above them."""
    text = (ROOT / "docs" / "temporal-ui.md").read_text(encoding="utf-8")
    return {
        " ".join(what.split()): query.strip()
        for what, query in re.findall(r"\n\n([^\n]+):\n\n```sql\n(.*?)```", text, re.DOTALL)
    }


async def listed(desk: Desk, query: str, order: str) -> set[str]:
    """The ids that a query of the page lists, with the order and the present in the place of the page's."""
    now = datetime.now(UTC)
    query = query.replace(ORDER, order).replace(NOW, now.isoformat())
    query = query.replace("2026-11-26T18:00:00+08:00", (now + timedelta(days=30)).isoformat())
    query = query.replace("2026-11-25T00:00:00+08:00", (now - timedelta(days=1)).isoformat())
    assert "2026" not in query.replace(str(now.year), "") or now.year == 2026
    return {one.id async for one in desk.client.list_workflows(query)}


async def opened(desk: Desk, what: str) -> tuple[Handle, str]:
    """A case that the query must find."""
    order = desk.order(prices=((143_700, 1),))
    match what:
        case "Refunds before shipping that ended with the order kept, since a day":
            handle = await desk.open_in("persuading", order, reason="x")
            await desk.submit(handle, "buyer_keeps_order", "aftersale.1")
            await desk.end(handle)
        case "What was broken off (casework doctor --cases says what to do)":
            handle = await desk.open_in("persuading", order, reason="x")
            await handle.terminate()
        case "The cases that another one opened":
            handle = await desk.start_from_bulk_order(order)
        case "What somebody must repair: payments that failed for good":
            order = desk.order()
            desk.fail("payment", order, "always")
            handle = await desk.open_in("persuading", order, reason="x")
            await desk.submit(handle, "buyer_insists", "aftersale.1")
            await desk.until(handle, "repairing_payment")
        case "What waits for a role":
            handle = await desk.open_in("persuading", order, reason="x")
            await desk.submit(handle, "buyer_insists", "aftersale.1")
            await desk.submit(handle, "approve", "aftersale-lead.1")
        case "What is assigned to somebody":
            order = desk.order(shipped=True)
            waybill = f"YT{order[-11:]}"
            # about a parcel that was only asked for it may have ended before it is listed
            start = {"order_id": order, "by": "parcel.1", "waybill": waybill, "courier": "yuantong", "cause": "overdue"}
            handle = await desk.open_case("problem-parcel", f"problem-parcel-{waybill}", start)
            await desk.until_shown(handle, lambda view: bool(view.waiting_for), "waits")
        case _:
            handle = await desk.open_in("persuading", order, reason="x")
    return handle, order


@pytest.mark.parametrize("what", list(queries()))
async def test_a_documented_query_finds_what_it_says(desk: Desk, what: str) -> None:
    query = queries()[what]
    handle, order = await opened(desk, what)
    if what == "Overdue":
        # its deadline is tomorrow or later: as seen from then
        query = query.replace(NOW, (datetime.now(UTC) + timedelta(days=60)).isoformat())
    if what == "What is assigned to somebody":
        assignee = (await desk.view(handle)).assignee
        assert assignee is not None
        query = query.replace("parcel.1", assignee)
    async with asyncio.timeout(20):  # the list lags a moment behind
        while handle.id not in await listed(desk, query, order):
            pass


async def test_they_leave_out_what_they_do_not_mean(desk: Desk) -> None:
    known = queries()
    case = await desk.open_in("persuading", desk.order(), reason="x")
    async with asyncio.timeout(20):
        while case.id not in await listed(desk, known["What I opened and is still open"], ORDER):
            pass
    for what in (
        "What waits for a role",
        "Overdue",
        "All cases of an order, open and closed",
        "Open cases over more than 1,000 yuan",
        "What somebody must repair: payments that failed for good",
        "What was broken off (casework doctor --cases says what to do)",
    ):
        assert case.id not in await listed(desk, known[what], ORDER), what


def test_the_summary_names_flow_and_order_in_both_languages() -> None:
    assert static_summary(FLOWS[FLOW], ORDER) == f"退款(未发货) / refund before shipping · {ORDER}"


async def test_the_details_say_who_may_act_until_when_what_silence_does_and_the_path(desk: Desk) -> None:
    handle = await desk.open_in("persuading", desk.order(prices=((143_700, 1),)), reason="x")
    await desk.submit(handle, "buyer_insists", "aftersale.1")
    metadata: Any = await handle.query("__temporal_workflow_metadata")
    told: str = cast("Any", metadata)["currentDetails"] if isinstance(metadata, dict) else metadata.current_details
    for words in (
        "**待主管审批 awaiting_supervisor**",
        "1,437.00",
        "aftersale_supervisor until ",
        "supervisor_silent → awaiting_finance",
        "`approve` (aftersale_supervisor)",
        "checking → holding → persuading → awaiting_supervisor",
    ):
        assert words in told, words
