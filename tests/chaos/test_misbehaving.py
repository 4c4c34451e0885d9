"""Every activity of every flow fails, hangs, answers late and is done twice, and all ends as if nothing had been."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from pathlib import Path

import pytest

import activities
from casework.client import CaseworkClient
from casework.policy import load_policy
from casework.server import EmbeddedServer
from casework.server_program import find_server_program
from casework.shop.database import Database
from chaos.acting import World
from chaos.audit import audit
from chaos.plan import casting_of
from chaos.run import keep_telling, paid_by_platform, play, skipping, stock_shop
from chaos.stories import BULK, GIFT, PARCEL, REFUND, RETURN, STORIES
from tests.chaos.misbehaving import WAYS, Misbehaving
from worker import build_worker

PLAYED = (
    f"{REFUND}: two levels",
    f"{REFUND}: withdrawn",
    f"{REFUND}: payment fails for good",
    f"{REFUND}: left first",
    f"{REFUND}: stopped in time",
    f"{REFUND}: platform pays",
    f"{RETURN}: a hole",
    f"{RETURN}: inspection fails",
    f"{RETURN}: called off",
    f"{GIFT}: refused",
    f"{GIFT}: postage credited",
    f"{GIFT}: order closes",
    f"{BULK}: goes through",
    f"{BULK}: malicious",
    f"{BULK}: changed, unpaid",
    f"{PARCEL}: station gone",
    f"{PARCEL}: lost",
    f"{PARCEL}: sent again",
    f"{PARCEL}: delivered again",
    f"{PARCEL}: called off",
)
"""Stories that together come by nearly every activity."""
NOT_COME_BY = frozenset(
    {
        "look_further",  # no case's: tests/chaos/test_stopping.py, tests/workflows/test_parcel_patrol.py
        # walked in tests/walking; that each changes nothing a second time, tests/shop shows
        "is_signed_for_by_us",
        "mark_left",
        "mark_order",
        "read_sent",
        "say_out_of_stock",
        "take_back",
        "take_return_out_of_stock",
        "take_returned",
        "tell_return",
    }
)
"""Those that they do not come by."""


def activities_there_are() -> set[str]:
    """The names of all activities, wherever they are."""
    modules = [importlib.import_module(f"activities.{one.name}") for one in pkgutil.iter_modules(activities.__path__)]
    return {
        method.__name__
        for module in modules
        for one in vars(module).values()
        if isinstance(one, type) and one.__module__ == module.__name__
        for method in vars(one).values()
        if hasattr(method, "__temporal_activity_definition")
    }


@pytest.mark.timeout(240)
async def test_steps_that_fail_hang_or_answer_late_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'shop.db'}")
    stock_shop(database)
    misbehaving = Misbehaving()
    stories = [story for story in STORIES if story.name in PLAYED]
    castings = [casting_of(number, story, seed=7) for number, story in enumerate(stories)]
    async with EmbeddedServer(find_server_program(print).path, tmp_path / "temporal") as server:
        skipper = await skipping(server.address)
        world = World(skipper, CaseworkClient(skipper.client, database, answer_seconds=60), database)
        async with build_worker(skipper.client, database, load_policy(None), interceptors=[misbehaving]):
            news = asyncio.create_task(keep_telling(world.client))
            try:
                played = await asyncio.gather(*(play(world, casting) for casting in castings))
            finally:
                news.cancel()
                await asyncio.gather(news, return_exceptions=True)
            assert await audit(skipper.client, database, played, paid_by_platform(castings), replay=False) == []
    database.close()
    came_by = {name for name, _ in misbehaving.done}
    assert activities_there_are() - came_by == NOT_COME_BY
    assert {(name, way) for name in came_by for way in WAYS} == misbehaving.done.keys()
