"""Every activity of every flow fails, hangs, answers late and is done twice, and all ends as if nothing had been."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from casework.client import CaseworkClient
from casework.policy import load_policy
from casework.server import EmbeddedServer
from casework.server_program import find_server_program
from casework.shop.database import Database
from chaos.acting import World
from chaos.audit import audit
from chaos.plan import casting_of
from chaos.points import CONTINUE_AS_NEW
from chaos.run import keep_telling, paid_by_platform, play, skipping, stock_shop
from chaos.stories import STORIES
from tests.chaos.misbehaving import WAYS, Misbehaving
from worker import build_worker

PLAYED = [story for story in STORIES if CONTINUE_AS_NEW not in story.passes]
"""All but those that do the same again and again."""
NEVER_COME_BY = frozenset(
    {
        # a story has a step for what people, warehouse and couriers most often say; these are for the rest
        "approve_price",
    }
)


@pytest.mark.timeout(240)
async def test_steps_that_fail_hang_or_answer_late_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'shop.db'}")
    stock_shop(database)
    misbehaving = Misbehaving()
    castings = [casting_of(number, story, seed=7) for number, story in enumerate(PLAYED)]
    async with EmbeddedServer(find_server_program(print).path, tmp_path / "temporal") as server:
        skipper = await skipping(server.address)
        world = World(skipper, CaseworkClient(skipper.client, database, answer_seconds=60), database)
        async with build_worker(skipper.client, database, load_policy(None), interceptors=[misbehaving]):
            news = asyncio.create_task(keep_telling(world.client))
            try:
                played = await asyncio.gather(*(play(world, casting) for casting in castings))
            finally:
                news.cancel()
            endings = [ending for story in played for ending in story]
            assert await audit(skipper.client, database, endings, paid_by_platform(castings), replay=False) == []
    database.close()
    came_by = {name for name, _ in misbehaving.done}
    assert {(name, way) for name in came_by for way in WAYS} == misbehaving.done.keys()
    print(sorted(came_by))
