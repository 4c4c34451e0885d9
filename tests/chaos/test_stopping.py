"""A worker that is stopped politely finishes what it has begun, and hands back the rest."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session
from temporalio.api.enums.v1 import EventType, PendingActivityState
from temporalio.client import Client
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Worker

from activities.patrol import ASKED_AT_ONCE, HANDED_BACK, LookFurther, PatrolActivities
from casework.client import CaseworkClient
from casework.converter import DATA_CONVERTER
from casework.names import TASK_QUEUE
from casework.policy import load_policy
from casework.shop.courier import EmbeddedCourier
from casework.shop.database import Database
from casework.shop.outbox import letters
from casework.shop.tables import PaymentRow
from chaos.acting import STAFF, Handle
from chaos.run import stock_shop
from state_machines.roles import Role
from tests.orders import add_order, add_shipments
from tests.server import SharedServer
from worker import build_worker

ROOT = Path(__file__).parents[2]
ORDER = "3300019600000000001"
CASE = f"refund-before-shipping-{ORDER}"
PRICE_FEN = 10_000
TASK_TIMEOUT = timedelta(seconds=3)
"""A task whose worker went away is given out again after this."""


class Shop:
    """A shop, a namespace, and as many `python worker.py` as a test starts."""

    def __init__(self, client: CaseworkClient, database: Database, environment: dict[str, str], log: Path) -> None:
        self.client, self.database, self._environment, self._log = client, database, environment, log

    @asynccontextmanager
    async def worker(self, program: Sequence[str] = ("worker.py",)) -> AsyncGenerator[asyncio.subprocess.Process]:
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *program, cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def another_worker(self) -> Worker:
        """The next one, in this process."""
        return build_worker(self.client.temporal, self.database, load_policy(None))

    async def stop(self, process: asyncio.subprocess.Process) -> None:
        """Politely; it must end so, too."""
        process.send_signal(signal.SIGTERM)
        code = await process.wait()
        assert code == 0, self._log.read_text()

    @property
    def case(self) -> Handle:
        return self.client.temporal.get_workflow_handle(CASE)

    async def until_paying(self) -> None:
        """Wait until the payment is under way."""
        paying = False
        while not paying:
            pending = (await self.case.describe()).raw_description.pending_activities
            paying = any(one.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED for one in pending)

    async def until_it_waits(self) -> None:
        while (await self.client.view_at_rest(CASE)).state != "persuading":
            pass


@pytest.fixture
async def shop(tmp_path: Path, server: SharedServer, process: str) -> AsyncGenerator[Shop]:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    database = Database(url)
    stock_shop(database)
    with database.writing() as session:
        add_order(session, ORDER, prices=[(PRICE_FEN, 1)])
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CASEWORK_", "TEMPORAL_"))}
    namespace = server.benches[process]
    environment = {
        **kept,
        "PYTHONFAULTHANDLER": "1",
        "CASEWORK_HOME": str(tmp_path / "home"),
        "CASEWORK_DATABASE_URL": url,
        "TEMPORAL_ADDRESS": server.address,
        "TEMPORAL_NAMESPACE": namespace,
    }
    temporal = await Client.connect(server.address, namespace=namespace, data_converter=DATA_CONVERTER)
    yield Shop(CaseworkClient(temporal, database, answer_seconds=30), database, environment, tmp_path / "worker.log")
    database.close()


async def open_refund(shop: Shop) -> None:
    await shop.client.temporal.start_workflow(
        "RefundBeforeShipping",
        {"order_id": ORDER, "by": STAFF[Role.AFTERSALE_AGENT], "reason": "拍错了"},
        id=CASE,
        task_queue=TASK_QUEUE,
        task_timeout=TASK_TIMEOUT,
    )


async def test_a_worker_that_is_stopped_while_it_pays_finishes_the_payment(shop: Shop) -> None:
    async with shop.worker() as worker:
        await open_refund(shop)
        await shop.until_it_waits()
        with shop.database.writing() as session:  # nobody else writes meanwhile: the payment waits
            locked(session)
            await shop.case.signal("buyer_insists", {"by": STAFF[Role.AFTERSALE_AGENT]})
            await shop.until_paying()
            stopping = asyncio.create_task(shop.stop(worker))
            await asyncio.wait_for(asyncio.shield(shop.case.describe()), 10)
        await asyncio.wait_for(stopping, 30)
    # the stopped worker itself has said that it is paid: nobody waits for its time to be over
    history = await shop.case.fetch_history()
    (paid,) = [one for one in history.events if one.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED]
    assert paid.activity_task_started_event_attributes.attempt == 1
    assert history.events[-1].event_type != EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    async with shop.another_worker():
        assert (await shop.case.result())["outcome"] == "refunded"
    with shop.database.reading() as session:
        assert [row.amount_fen for row in session.query(PaymentRow)] == [PRICE_FEN]


async def test_a_worker_that_is_stopped_while_a_payment_hangs_does_not_wait_for_it(shop: Shop) -> None:
    async with shop.worker(("-m", "tests.chaos.hanging_worker")) as worker:
        await open_refund(shop)
        await shop.until_it_waits()
        await shop.case.signal("buyer_insists", {"by": STAFF[Role.AFTERSALE_AGENT]})
        await shop.until_paying()
        await asyncio.wait_for(shop.stop(worker), 20)
    await shop.case.terminate()


async def test_a_worker_that_is_stopped_in_a_step_on_the_shop_leaves_it_to_the_next_one(shop: Shop) -> None:
    async with shop.worker() as worker:
        with shop.database.writing() as session:
            locked(session)
            await open_refund(shop)
            async for event in shop.case.fetch_history_events(wait_new_event=True):
                if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED:
                    break
            stopping = asyncio.create_task(shop.stop(worker))
            await asyncio.wait_for(asyncio.shield(shop.case.describe()), 10)
        await asyncio.wait_for(stopping, 30)
    async with shop.another_worker():
        await shop.until_it_waits()
        await shop.client.submit(CASE, "buyer_withdraws", {"by": STAFF[Role.AFTERSALE_AGENT]})
        assert (await shop.case.result())["outcome"] == "kept"
    with shop.database.reading() as session:
        told = [one.template for one in letters(session, case_id=CASE) if one.to == "buyer"]
    assert told == ["refund_requested", "kept"]


def locked(session: Session) -> None:
    """The writer's lock is this transaction's from its first statement on."""
    session.connection()


def test_a_look_of_the_patrol_gives_signs_of_life_and_is_handed_back_or_called_off(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'shop.db'}")
    database.migrate()
    with database.writing() as session:
        add_shipments(session, 2 * ASKED_AT_ONCE + 1, left=datetime(2026, 11, 1, tzinfo=UTC))
    patrol = PatrolActivities(database, EmbeddedCourier(database), load_policy(None))
    request = LookFurther(patrol_id="parcel-patrol", after=0, at=datetime(2026, 11, 20, tzinfo=UTC))
    signs: list[tuple[object, ...]] = []

    def stopped() -> ActivityEnvironment:
        environment = ActivityEnvironment()

        def stop_it(*details: object) -> None:
            signs.append(details)
            environment.worker_shutdown()

        environment.on_heartbeat = stop_it
        return environment

    with pytest.raises(ApplicationError, match="another one goes on") as handed_back:
        stopped().run(patrol.look_further, request)
    assert handed_back.value.type == HANDED_BACK
    assert not handed_back.value.non_retryable
    signs.clear()
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: signs.append(details)
    assert environment.run(patrol.look_further, request).needing
    assert len(signs) == 3
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *_: environment.cancel()
    with pytest.raises(CancelledError):
        environment.run(patrol.look_further, request)
    database.close()
