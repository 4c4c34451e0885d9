"""Cases whose shop is on PostgreSQL, on a real worker: nothing else is different."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from casework.policy import load_policy
from casework.shop import payments
from casework.shop.database import Database
from casework.shop.staff import load_sample_if_empty
from tests.desk import Desk
from worker import build_worker

QUEUE = "on-postgresql"
AGENT, LEAD, PRESALE_AGENT, AUDITOR = "aftersale.1", "aftersale-lead.5", "presale.1", "audit.1"
MUCH = 105_000
"""In fen: above the supervisor's limit for refunds, and enough for a gift."""


@pytest.fixture
async def elsewhere(desk: Desk, postgresql_database: Callable[[], str]) -> AsyncIterator[Desk]:
    """The desk, with a worker and a shop of its own on PostgreSQL."""
    database = Database(postgresql_database())
    database.migrate()
    with database.writing() as session:
        load_sample_if_empty(session)
    async with build_worker(desk.client, database, load_policy(None), task_queue=QUEUE, interceptors=[desk.gates]):
        yield replace(desk, database=database, task_queue=QUEUE)
    database.close()


async def test_a_refund_is_approved_paid_and_settled(elsewhere: Desk) -> None:
    order = elsewhere.order(prices=[(MUCH, 1), (500, 2)], postage_fen=800)
    case = await elsewhere.open_in("persuading", order, reason="bought twice")
    await elsewhere.submit(case, "buyer_insists", AGENT)
    await elsewhere.submit(case, "approve", LEAD)
    await elsewhere.until(case, "awaiting_finance")
    await elsewhere.submit(case, "approve", "finance.3")
    view = await elsewhere.end(case)
    assert (view.outcome, view.amount_fen) == ("refunded", 106_800)
    elsewhere.require_whole(view)
    with elsewhere.database.reading() as session:
        assert sum(entry.amount_fen for entry in payments.ledger(session, order)) == 106_800
        assert payments.audit(session) == []


async def test_a_gift_is_promised_put_on_the_order_and_granted(elsewhere: Desk) -> None:
    order = elsewhere.order(prices=[(MUCH, 1)])
    elsewhere.gift("GP-1", 1_000)
    start = {
        "order_id": order,
        "by": PRESALE_AGENT,
        "kind": "gift",
        "gift_sku": "GP-1",
        "quantity": 1,
        "cost_fen": 1_000,
    }
    case = await elsewhere.open_case("gift-approval", f"gift-approval-{order}-gift", start)
    await elsewhere.until(case, "awaiting_audit")
    await elsewhere.submit(case, "add_gift", AUDITOR)
    view = await elsewhere.end(case)
    assert view.outcome == "granted"
    elsewhere.require_whole(view)
