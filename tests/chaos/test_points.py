"""At a chosen moment what is to be lost is there, and is lost; and a point that killed nobody is not counted."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from sqlalchemy import select

from casework.client import CaseworkClient
from casework.server import EmbeddedServer
from casework.server_program import find_server_program
from casework.shop.database import Database
from casework.shop.tables import LedgerRow, PaymentRow
from chaos.acting import World
from chaos.plan import casting_of
from chaos.points import DATABASE, SERVER, WORKER, Point, PointsFolder
from chaos.processes import KILLED, WorkerVictim
from chaos.run import FLAGS, OUTSIDE_SECONDS, play, skipping, stock_shop
from chaos.stories import REFUND, STORIES


def payments_in(database: Database) -> list[int]:
    with database.reading() as session:
        entered = session.scalars(select(LedgerRow.amount_fen)).all()
        paid = list(session.scalars(select(PaymentRow.amount_fen)))
    assert sum(entered) == sum(paid)
    return paid


async def test_a_payment_that_is_written_and_not_committed_is_gone_with_its_worker_and_made_once_by_the_next(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    database = Database(url)
    stock_shop(database)
    fails_once = next(story for story in STORIES if story.name == f"{REFUND}: payment fails once")
    casting = casting_of(0, fails_once, seed=1)
    points = PointsFolder(tmp_path)
    points.plan([Point(0, casting.order_id, "pay", "commit", WORKER)])
    async with EmbeddedServer(find_server_program(print).path, tmp_path / "temporal", more_flags=FLAGS) as server:
        arguments = [server.address, url, str(tmp_path), "--outside-seconds", str(OUTSIDE_SECONDS)]
        with (tmp_path / "worker.log").open("wb") as log:
            worker = WorkerVictim("worker", arguments, log)
            await worker.start()
            skipper = await skipping(server.address)
            world = World(skipper, CaseworkClient(skipper.client, database), database)
            playing = asyncio.create_task(play(world, casting))
            assert await asyncio.wait_for(worker.ended(), 60) == KILLED
            assert "payments" in points.reached()[0]
            assert payments_in(database) == []
            await worker.start()
            played = await asyncio.wait_for(playing, 60)
            await worker.stop()
    assert payments_in(database) == [ending.paid_fen for ending in played.endings]
    assert points.kills() == 1
    database.close()


async def test_a_point_whose_victim_is_down_already_has_killed_nobody(tmp_path: Path) -> None:
    points = PointsFolder(tmp_path)
    two = [Point(number, "33", "pay", "after", SERVER) for number in range(2)]
    last = Point(2, "33", "pay", "after", DATABASE)
    points.plan([*two, last])
    sleeping = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
    points.runs(SERVER, sleeping.pid)
    for one in two:
        points.kill_once(one, ())
    assert await sleeping.wait() == -signal.SIGKILL
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await ended.wait()
    points.runs(DATABASE, ended.pid)
    points.kill_once(last, ())
    assert points.reached().keys() == {0, 1, 2}
    assert points.kills() == 1
