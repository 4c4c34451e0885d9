"""The patrol on the real server: all open shipments in bounded batches, one case a waybill."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.orm import Session
from temporalio import workflow
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from casework import names
from casework.patrol import Patrolled
from casework.policy import load_policy
from casework.shop.database import Database
from casework.shop.staff import load_sample_if_empty
from casework.shop.tables import LineRow, OrderRow, ParcelRow, ScanRow, ShipmentLineRow, ShipmentRow
from tests.telling import tell
from worker import build_worker

_numbers = itertools.count(1)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Database]:
    """A shop of its own: the others' parcels are no concern of these tests."""
    database = Database(f"sqlite:///{tmp_path / 'shop.db'}")
    database.migrate()
    with database.writing() as session:
        load_sample_if_empty(session)
    yield database
    database.close()


@workflow.defn(name="ProblemParcel")
class ProblemParcelOfTheTests:
    @workflow.run
    async def run(self, start: dict[str, Any]) -> dict[str, Any]:
        await workflow.wait_condition(lambda: False)
        return start


@asynccontextmanager
async def patrolling(env: WorkflowEnvironment, shop: Database, policy_file: Path | None = None) -> AsyncIterator[str]:
    """A worker for this shop; gives its task queue."""
    queue = f"patrol-{next(_numbers)}"
    async with build_worker(
        env.client, shop, load_policy(policy_file), task_queue=queue, more_workflows=[ProblemParcelOfTheTests]
    ):
        yield queue


async def patrol(client: Client, queue: str) -> tuple[Patrolled, int]:
    """Let a patrol run to its end; what came of it, and how many events its last run had."""
    handle = await client.start_workflow(names.PARCEL_PATROL, id=f"parcel-patrol-{queue}", task_queue=queue)
    patrolled = Patrolled.model_validate(await handle.result())
    return patrolled, (await client.get_workflow_handle(handle.id).describe()).history_length


def add_shipments(session: Session, count: int, *, left: datetime) -> None:
    """So many orders of one line each, all shipped then, with three scans each until now."""
    ids = [f"3300{number:015d}" for number in range(1, count + 1)]
    session.execute(
        insert(OrderRow),
        [
            {
                "id": one,
                "state": "shipped",
                "created_at": left,
                "paid_at": left,
                "shipped_at": left,
                "goods_fen": 10_000,
                "postage_fen": 0,
                "total_fen": 10_000,
                "paid_fen": 10_000,
                "lines_known": True,
                "address": "上海 上海市 徐汇区",
            }
            for one in ids
        ],
    )
    session.execute(
        insert(LineRow),
        [
            {"order_id": one, "number": 1, "price_fen": 10_000, "quantity": 1, "state": "shipped", "place": "shipped"}
            for one in ids
        ],
    )
    session.execute(
        insert(ShipmentRow),
        [
            {"id": place, "order_id": one, "waybill": f"YT{one}", "company": "圆通速递", "shipped_at": left}
            for place, one in enumerate(ids, start=1)
        ],
    )
    session.execute(
        insert(ShipmentLineRow), [{"shipment_id": place, "line": 1, "quantity": 1} for place in range(1, count + 1)]
    )
    session.execute(insert(ParcelRow), [{"waybill": f"YT{one}", "courier": "yuantong", "state": "0"} for one in ids])
    session.execute(
        insert(ScanRow),
        [
            {"waybill": f"YT{one}", "at": left + timedelta(hours=hours), "code": "0", "status": "", "text": ""}
            for one in ids
            for hours in (1, 5, 9)
        ],
    )


async def test_ten_thousand_shipments_with_nothing_wrong_take_little_time_and_history(
    env: WorkflowEnvironment, shop: Database
) -> None:
    with shop.writing() as session:
        add_shipments(session, 10_000, left=datetime.now(UTC) - timedelta(days=1))
    async with patrolling(env, shop) as queue:
        before = time.perf_counter()
        patrolled, events = await patrol(env.client, queue)
        seconds = time.perf_counter() - before
    tell(f"patrol over 10,000 shipments: {seconds:.1f} s, {events} events")
    assert (patrolled.looked_at, patrolled.opened, patrolled.cases) == (10_000, 0, [])
    assert seconds < 60
    assert events < 500
