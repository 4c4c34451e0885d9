"""`python -m chaos.recording`: plays every story once, undisturbed, and writes down what it leaves behind."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from temporalio.worker import Interceptor

from casework.client import CaseworkClient
from casework.leaving import leave
from casework.policy import load_policy
from casework.server import EmbeddedServer
from casework.server_program import find_server_program
from casework.shop.database import Database
from chaos.acting import Casting, Played, World
from chaos.audit import audit
from chaos.plan import casting_of
from chaos.remains import PATH, as_toml, remains_of
from chaos.run import FLAGS, keep_telling, paid_by_platform, play, skipping, stock_shop
from chaos.stories import STORIES, Story
from worker import build_worker

ANSWER_SECONDS: Final = 60
"""All stories go at once on one worker."""


def castings_of(stories: Sequence[Story], *, seed: int) -> list[Casting]:
    """An order for each of the stories."""
    return [casting_of(number, story, seed=seed + number) for number, story in enumerate(stories)]


async def play_undisturbed(
    castings: Sequence[Casting], folder: Path, *, interceptors: Sequence[Interceptor] = ()
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Play all of them on one worker; by story what it left behind, and what the audit finds."""
    database = Database(f"sqlite:///{folder / 'shop.db'}")
    stock_shop(database)
    async with EmbeddedServer(find_server_program(print).path, folder / "temporal", more_flags=FLAGS) as server:
        skipper = await skipping(server.address)
        world = World(skipper, CaseworkClient(skipper.client, database, answer_seconds=ANSWER_SECONDS), database)
        async with build_worker(skipper.client, database, load_policy(None), interceptors=list(interceptors)):
            news = asyncio.create_task(keep_telling(world.client))
            try:
                played: list[Played] = await asyncio.gather(*(play(world, casting) for casting in castings))
            finally:
                news.cancel()
                await asyncio.gather(news, return_exceptions=True)
            found = await audit(skipper.client, database, played, paid_by_platform(castings), replay=False)
    with database.reading() as session:
        remains = {one.casting.story: remains_of(session, one) for one in played}
    database.close()
    return remains, found


def main() -> int:
    """Write the table anew, for somebody to read what has changed."""
    with tempfile.TemporaryDirectory(prefix="casework-recording-") as folder:
        remains, found = asyncio.run(play_undisturbed(castings_of(STORIES, seed=1), Path(folder)))
    PATH.write_text(as_toml(remains))
    # what is left behind otherwise than the table said is why it is written anew: look at each
    for finding in found:
        print(f"✗ {finding}")
    print(f"{PATH} says what {len(remains)} stories leave behind")
    return 0


if __name__ == "__main__":
    leave(main())
