"""A run: a shop, a Temporal server and two workers, all stories of the plan, all its kills, and then the audit."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from sqlalchemy.exc import InterfaceError, OperationalError
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.testing import TimeSkipper

from casework.client import CaseworkClient
from casework.converter import DATA_CONVERTER
from casework.names import NAMESPACE
from casework.shop.database import Database
from casework.shop.tables import StaffRow
from casework.skipping import skipper_of
from chaos.acting import STAFF, Act, Casting, Played, StoryBroke, World
from chaos.audit import audit
from chaos.cluster import ClusterVictim
from chaos.cluster_programs import ClusterPrograms
from chaos.delivering import DELIVERED, delivered_again, deliveries, undelivered, until_all_is_sent
from chaos.keeping import keep_histories
from chaos.plan import WORKERS, Plan
from chaos.points import PointsFolder
from chaos.processes import DatabaseVictim, Keeper, ServerVictim, StaysDown, TemporalVictim, Victim, WorkerVictim
from chaos.stories import STORIES, Story, gift_of_catalogue, prepare
from tests.postgresql import RunningPostgreSQL, SharedPostgreSQL

SETTINGS: Final[Mapping[str, object]] = {
    # a case continues as new after few events, and a task whose worker was killed is given out again soon
    "limit.historyCount.suggestContinueAsNew": 80,
    "history.defaultWorkflowTaskTimeout": "5s",
}
"""Temporal's dynamic configuration, of the development server and of a cluster."""
FLAGS: Final = (
    # nothing is lost with a process, only with the machine
    *("--sqlite-pragma", "synchronous=off"),
    *(flag for name, value in SETTINGS.items() for flag in ("--dynamic-config-value", f"{name}={json.dumps(value)}")),
)
CLUSTER_SETTINGS: Final[Mapping[str, object]] = {
    **SETTINGS,
    # what the embedded server is started with (`casework.server`)
    "frontend.WorkflowTimeSkippingEnabled": True,
    "history.timerProcessorMaxTimeShift": "20ms",
    # what was just registered is known at once
    "system.forceSearchAttributesCacheRefreshOnRead": True,
}
AT_ONCE: Final = 30
"""Stories on their way at the same time."""
OUTSIDE_SECONDS: Final = 4.0
"""How long one attempt at a payment or a courier may take here, in production half a minute."""
PATIENCE_SECONDS: Final = 240.0
"""A story in which nothing has moved for so long is stuck: several kills may hit it, on a busy machine."""
MOST_PATIENCES: Final = 8
"""One that takes longer than so many times that is stuck too: it moves, and never comes to its end."""
NEWS_SECONDS: Final = 0.5


@dataclass
class Report:
    """What came of a run."""

    seed: int
    stories: int
    cases: int = 0
    kills: Counter[str] = field(default_factory=Counter[str])
    """By process, how often it was killed."""
    at_points: int = 0
    """How many of them at chosen moments."""
    delivered: int = 0
    """How many messages left the outbox."""
    delivered_again: int = 0
    """How many of them left it twice, as whoever had handed one over was killed before that was noted."""
    findings: list[str] = field(default_factory=list[str])
    seconds: float = 0.0
    audit_seconds: float = 0.0

    def __str__(self) -> str:
        killed = ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
        return (
            f"chaos, seed {self.seed}: {self.cases} cases of {self.stories} stories, {self.kills.total()} kills "
            f"({self.at_points} at chosen moments; {killed}), {self.delivered} messages delivered "
            f"({self.delivered_again} twice), {len(self.findings)} findings, "
            f"{self.seconds:.0f} s (the audit {self.audit_seconds:.0f} s)"
        )


async def run(
    plan: Plan,
    *,
    program: Path | ClusterPrograms,
    folder: Path,
    database_url: str | None = None,
    postgresql: RunningPostgreSQL | None = None,
    sabotage: str | None = None,
    at_once: int = AT_ONCE,
    patience: float = PATIENCE_SECONDS,
    replay: bool = True,
) -> Report:
    """Do it. Everything that is written is in the folder; with `database_url` the shop is in that database.

    `program`: of the development server; with those of a cluster, `postgresql` is the cluster's too, and has a port.
    `postgresql`: not started yet; the shop is on it, and the plan may kill it (`chaos.points.DATABASE`).
    `sabotage`: MODULE:FUNCTION that breaks every worker, to see that the audit finds it.
    """
    began = time.monotonic()
    report = Report(plan.seed, len(plan.castings))
    points = PointsFolder(folder)
    points.plan(plan.points)
    url = database_url or f"sqlite:///{folder / 'shop.db'}"
    async with AsyncExitStack() as stack:
        keepers: dict[str, Keeper] = {}

        async def keep(victim: Victim) -> None:
            keepers[victim.name] = keeper = Keeper(victim, points)
            await keeper.start()
            stack.push_async_callback(keeper.stop)

        def log(name: str) -> IO[bytes]:
            return stack.enter_context((folder / f"{name}.log").open("wb"))

        shared: SharedPostgreSQL | None = None
        if postgresql is not None:
            shared = postgresql.prepare()
            url = shared.url("postgres")
            await keep(DatabaseVictim(postgresql, shared, log("postgresql")))
        database = Database(url)
        stack.callback(database.close)
        stock_shop(database)
        server = _server(program, shared, folder / "temporal", log("temporal"))
        await keep(server)
        arguments = [server.address, url, str(folder), "--outside-seconds", str(OUTSIDE_SECONDS)]
        if sabotage is not None:
            arguments += ["--sabotage", sabotage]
        for name in WORKERS:
            await keep(WorkerVictim(name, arguments, log(name)))
        skipper = await skipping(server.address)
        world = World(skipper, CaseworkClient(skipper.client, database), database)
        news = asyncio.create_task(keep_telling(world.client))
        playing = asyncio.create_task(_play(plan, world, keepers, report, at_once=at_once, patience=patience))
        try:
            played = await _while_kept(playing, news, list(keepers.values()), report)
        finally:
            playing.cancel()
            news.cancel()
            await asyncio.gather(playing, news, return_exceptions=True)
        began_audit = time.monotonic()
        if not report.findings:
            # what a broken story has left behind would drown what broke it
            platform_fen = paid_by_platform(plan.castings)
            report.findings += await audit(skipper.client, database, played, platform_fen, replay=replay)
            given = deliveries(folder / DELIVERED)
            with database.reading() as session:
                report.findings += undelivered(session, given)
            report.delivered, report.delivered_again = len({one.id for one in given}), delivered_again(given)
        if report.findings:
            await keep_histories(skipper.client, database, report.findings, folder)
        report.cases = sum(len(one.endings) for one in played)
        report.audit_seconds = time.monotonic() - began_audit
        report.at_points = points.kills()
        for name, keeper in keepers.items():
            report.kills[name] = keeper.kills
            report.findings += keeper.died
    planned = len(plan.points) + len(plan.kills)
    if report.kills.total() < planned - max(1, planned // 10):
        # one whose victim was down already is none
        report.findings.append(f"only {report.kills.total()} of {planned} kills were done")
    missed = [one for one in plan.points if one.number not in points.reached()]
    report.findings += [f"never came to its moment: {one}" for one in missed]
    report.seconds = time.monotonic() - began
    return report


def _server(
    program: Path | ClusterPrograms, postgresql: SharedPostgreSQL | None, folder: Path, log: IO[bytes]
) -> TemporalVictim:
    if isinstance(program, Path):
        return ServerVictim(program, folder, FLAGS)
    if postgresql is None:
        raise ValueError("a cluster keeps what it has in PostgreSQL")
    return ClusterVictim(program, postgresql, folder, CLUSTER_SETTINGS, log)


async def _while_kept(
    playing: asyncio.Task[list[Played]], news: asyncio.Task[None], keepers: Sequence[Keeper], report: Report
) -> list[Played]:
    """What comes of the stories; nothing but a finding, where a process cannot be kept running any more.

    Raises:
        Exception: the news cannot be told any more, for a reason that no kill explains.

    """
    await asyncio.wait([playing, news, *(one.keeping for one in keepers)], return_when=asyncio.FIRST_COMPLETED)
    if playing.done():
        return playing.result()
    if news.done():
        news.result()
    for keeper in keepers:
        try:
            if keeper.keeping.done():
                keeper.keeping.result()
        except StaysDown as why:
            report.findings.append(str(why))
    return []


async def _play(
    plan: Plan, world: World, keepers: dict[str, Keeper], report: Report, *, at_once: int, patience: float
) -> list[Played]:
    """All stories, a bounded number at once, and what they have to say delivered; kills at random as they begin."""
    played: list[Played] = []
    free = asyncio.Semaphore(at_once)
    killing: list[asyncio.Task[None]] = []

    async def kill_later(victim: str, delay: float) -> None:
        await asyncio.sleep(delay)
        await keepers[victim].kill()

    async def play_one(casting: Casting) -> None:
        async with free:
            now = [one for one in plan.kills if one.at_story == casting.number]
            killing.extend(asyncio.create_task(kill_later(one.victim, one.delay)) for one in now)
            what = f"{casting.order_id} ({casting.story})"
            try:
                played.append(await play_patiently(world, casting, patience))
            except TimeoutError:
                report.findings.append(
                    f"{what} is stuck: nothing moves for {patience:.0f} s, or it takes {MOST_PATIENCES} times as long"
                )
            except StoryBroke as broke:
                report.findings.append(f"{what}: {broke}")
            except Exception as error:  # noqa: BLE001 - one story's fault is told beside the others
                report.findings.append(f"{what}: {type(error).__name__}: {error}")

    async with asyncio.TaskGroup() as group:
        for casting in plan.castings:
            group.create_task(play_one(casting))
    await asyncio.gather(*killing)
    await until_all_is_sent(world.database, patience=patience)
    return played


async def play_patiently(world: World, casting: Casting, patience: float) -> Played:
    """Play one story, for as long as something moves in it; `patience` is in seconds.

    Raises:
        StoryBroke: a case went another way.
        TimeoutError: nothing has moved for too long, or it takes far too long.

    """
    loop = asyncio.get_running_loop()
    at_last = loop.time() + MOST_PATIENCES * patience
    async with asyncio.timeout(patience) as limit:

        def wait_longer() -> None:
            if not limit.expired():
                limit.reschedule(min(loop.time() + patience, at_last))

        return await play(world, casting, moved=wait_longer)


async def play(world: World, casting: Casting, *, moved: Callable[[], object] = lambda: None) -> Played:
    """One story from its order to the end of all its cases; `moved` is called whenever something has moved in it.

    Raises:
        StoryBroke: a case went another way.

    """
    act, story = Act(world, casting, moved=moved), _story(casting)
    await prepare(act, story)
    endings = await story.plays(act)
    for ending in endings:
        await act.until(ending.case_id, lambda view: view.final, "ends")
        await act.close(ending.case_id)
    return Played(casting, endings)


def paid_by_platform(castings: Sequence[Casting]) -> dict[str, int]:
    """By order, what the platform pays in its story, in fen."""
    return {one.order_id: one.price_fen + one.postage_fen for one in castings if _story(one).platform_pays}


def _story(casting: Casting) -> Story:
    return next(one for one in STORIES if one.name == casting.story)


def stock_shop(database: Database) -> None:
    """The staff, one a role, and the gift."""
    database.migrate()
    with database.writing() as session:
        for position, (role, staff_id) in enumerate(STAFF.items(), start=1):
            session.add(StaffRow(id=staff_id, position=position, name=role, roles=[role], present=True))
        session.add(gift_of_catalogue())


async def skipping(address: str) -> TimeSkipper:
    """A client of the server that lets time pass for single cases."""
    client = await Client.connect(address, namespace=NAMESPACE, data_converter=DATA_CONVERTER)
    return skipper_of(client)


async def keep_telling(client: CaseworkClient) -> None:
    """Tell the cases what happened to their orders, as `casework up` does."""
    while True:
        with suppress(RPCError, OperationalError, InterfaceError):
            await client.tell_notices()
        await asyncio.sleep(NEWS_SECONDS)
