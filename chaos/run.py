"""A run: a shop, a Temporal server and two workers, all stories of the plan, all its kills, and then the audit."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from sqlalchemy.exc import InterfaceError, OperationalError
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.testing import TimeSkipper, TimeSkippingConfig

from casework.client import CaseworkClient
from casework.converter import DATA_CONVERTER
from casework.names import NAMESPACE
from casework.shop.database import Database
from casework.shop.tables import StaffRow
from chaos.acting import STAFF, Act, Casting, Ending, StoryBroke, World
from chaos.audit import audit
from chaos.cluster import ClusterVictim
from chaos.cluster_programs import ClusterPrograms
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
PATIENCE_SECONDS: Final = 480.0
"""A story that takes longer is stuck: several kills may hit it, on a busy machine."""
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
    findings: list[str] = field(default_factory=list[str])
    seconds: float = 0.0
    audit_seconds: float = 0.0

    def __str__(self) -> str:
        killed = ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
        return (
            f"chaos, seed {self.seed}: {self.cases} cases of {self.stories} stories, {self.kills.total()} kills "
            f"({self.at_points} at chosen moments; {killed}), {len(self.findings)} findings, "
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
            endings = await _while_kept(playing, news, list(keepers.values()), report)
        finally:
            playing.cancel()
            news.cancel()
            await asyncio.gather(playing, news, return_exceptions=True)
        began_audit = time.monotonic()
        if not report.findings:
            # what a broken story has left behind would drown what broke it
            platform_fen = paid_by_platform(plan.castings)
            report.findings += await audit(skipper.client, database, endings, platform_fen, replay=replay)
        report.cases = len(endings)
        report.audit_seconds = time.monotonic() - began_audit
        report.at_points = len(points.reached())
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
    playing: asyncio.Task[list[Ending]], news: asyncio.Task[None], keepers: Sequence[Keeper], report: Report
) -> list[Ending]:
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
) -> list[Ending]:
    """All stories, a bounded number at once; kills at random as they begin."""
    endings: list[Ending] = []
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
                async with asyncio.timeout(patience):
                    endings.extend(await play(world, casting))
            except TimeoutError:
                report.findings.append(f"{what} is stuck after {patience:.0f} s")
            except StoryBroke as broke:
                report.findings.append(f"{what}: {broke}")
            except Exception as error:  # noqa: BLE001 - one story's fault is told beside the others
                report.findings.append(f"{what}: {type(error).__name__}: {error}")

    async with asyncio.TaskGroup() as group:
        for casting in plan.castings:
            group.create_task(play_one(casting))
    await asyncio.gather(*killing)
    return endings


async def play(world: World, casting: Casting) -> list[Ending]:
    """One story from its order to the end of all its cases; how each must have ended.

    Raises:
        StoryBroke: a case went another way.

    """
    act, story = Act(world, casting), _story(casting)
    await prepare(act, story)
    endings = await story.plays(act)
    for ending in endings:
        await act.until(ending.case_id, lambda view: view.final, "ends")
        await act.close(ending.case_id)
    return endings


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
    # what a case opens meanwhile begins at the case's time, and does not skip on
    return TimeSkipper(client, config=TimeSkippingConfig(enabled=False, disable_propagation=True))


async def keep_telling(client: CaseworkClient) -> None:
    """Tell the cases what happened to their orders, as `casework up` does."""
    while True:
        with suppress(RPCError, OperationalError, InterfaceError):
            await client.tell_notices()
        await asyncio.sleep(NEWS_SECONDS)
