"""The demo: a shop's orders, six refunds played to their ends by the public commands, three left for you to decide.

Everything is real: the Temporal server, the worker, the shop, the commands. Only time is skipped. It fails if an
ending, or the ledger, is not the expected one. `--shop FOLDER` takes any other export in the same formats.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from temporalio.client import Client
from temporalio.testing import TimeSkipper, TimeSkippingConfig

from casework.case import CaseView
from casework.converter import DATA_CONVERTER
from casework.money import format_yuan
from casework.names import NAMESPACE
from casework.policy import RefundBeforeShippingPolicy, load_policy
from casework.sample_shop import write_sample_shop
from casework.sentences import full_stop
from casework.server import DEFAULT_PORT, DEFAULT_UI_PORT
from casework.server_running import RunningServer, read_running
from casework.settings import Settings
from casework.shop import orders, payments
from casework.shop.database import Database
from casework.show import table
from state_machines.roles import Automatic

FLOW = "refund-before-shipping"
# finance.1 deputises for finance.2, who is a supervisor too: in that inbox the supervisor's case would stand as well
AGENT, LEAD, FINANCE, CLERK = "aftersale.1", "aftersale-lead.1", "finance.3", "refund.1"
AT_ONCE = 2
"""Commands at the same time: as many as a small machine has cores."""
START_SECONDS, STOP_SECONDS = 60, 30
MARKER = ".a-casework-demo-lives-here"
"""In the demo's home: what the demo made, it may delete."""


class DemoFailed(Exception):
    """Something did not come out as it must; the message says what."""


@dataclass
class Stage:
    """Where the demo plays: a home of its own, the public commands, and a hand on the clock."""

    home: Path
    database: Database
    client: Client
    refused_by_shop: int = 0
    at_once: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def casework(self, *arguments: str, expect: int = 0) -> Any:
        """Run one public command; answers with its JSON, or with its sentence where it must not succeed."""
        async with self.at_once:
            done, out, err = await run_command(self.home, *arguments, "--json")
        if done != expect:
            raise DemoFailed(f"casework {' '.join(arguments)} ended with {done}, not {expect}: {err or out}")
        if expect:
            self.refused_by_shop += arguments[0] == "shop"
            return err.strip()
        return json.loads(out)

    async def open(self, order_id: str, reason: str) -> str:
        """Open a refund and wait until it waits for somebody, or has ended."""
        opened = await self.casework("start", FLOW, "--order", order_id, "--by", AGENT, "--reason", reason)
        case_id = cast("str", opened["case_id"])
        await self.settled(case_id)
        return case_id

    async def submit(self, case_id: str, trigger: str, by: str, *more: str, expect: int = 0) -> Any:
        """Act on a case, and wait until it waits again or has ended."""
        answer = await self.casework("submit", case_id, trigger, "--by", by, "--yes", *more, expect=expect)
        await self.settled(case_id)
        return answer

    async def view(self, case_id: str) -> CaseView:
        """The case, as its query answers."""
        return CaseView.model_validate(await self.client.get_workflow_handle(case_id).query("case"))

    async def settled(self, case_id: str) -> CaseView:
        """Wait until the case waits for somebody, or has ended: every event of its history is a chance to look."""
        handle = self.client.get_workflow_handle(case_id)
        async for _ in handle.fetch_history_events(wait_new_event=True):
            view = await self.view(case_id)
            if view.final or view.due is not None:
                return view
        return await self.view(case_id)

    async def skip_to_deadline(self, case_id: str) -> CaseView:
        """Let time pass for this one case until its clock has moved it."""
        handle = self.client.get_workflow_handle(case_id)
        skipper = TimeSkipper(self.client, config=TimeSkippingConfig(enabled=False))
        before = await self.view(case_id)
        while before.due is not None:
            left = before.due - await skipper.get_current_time(handle)
            await skipper.fast_forward(handle, max(left, timedelta(0)) + timedelta(seconds=1))
            if (await self.view(case_id)).version != before.version:
                break
        return await self.settled(case_id)


@dataclass(frozen=True)
class Order:
    """An order that can be refunded before it ships."""

    order_id: str
    amount_fen: int


Play = Callable[[Stage, Order], Awaitable[str]]


@dataclass(frozen=True)
class Story:
    """One refund: what happens, which order it wants (fen, from and up to), how it must end, whether money leaves."""

    title: str
    at_least: int
    at_most: int
    play: Play
    outcome: str
    pays: bool


async def _silence_pays(stage: Stage, order: Order) -> str:
    case = await stage.open(order.order_id, "拍错了")
    await stage.skip_to_deadline(case)
    return case


async def _large(stage: Stage, order: Order) -> str:
    case = await stage.open(order.order_id, "找到更便宜的")
    await stage.casework("shop", "ship", order.order_id, expect=3)
    await stage.submit(case, "buyer_insists", AGENT)
    await stage.submit(case, "approve", AGENT, expect=3)
    await stage.submit(case, "approve", LEAD)
    await stage.submit(case, "approve", FINANCE)
    return case


async def _shipped_first(stage: Stage, order: Order) -> str:
    await stage.casework("shop", "ship", order.order_id)
    case = await stage.open(order.order_id, "不想要了")
    await stage.skip_to_deadline(case)
    return case


async def _withdrawn(stage: Stage, order: Order) -> str:
    case = await stage.open(order.order_id, "等太久")
    await stage.submit(case, "buyer_withdraws", AGENT)
    return case


async def _fails_once(stage: Stage, order: Order) -> str:
    await stage.casework("shop", "fail", "payment", order.order_id, "once")
    case = await stage.open(order.order_id, "尺寸不合适")
    await stage.submit(case, "buyer_insists", AGENT)
    if (await stage.view(case)).state == "awaiting_supervisor":
        await stage.submit(case, "approve", LEAD)
    return case


async def _fails_for_good(stage: Stage, order: Order) -> str:
    await stage.casework("shop", "fail", "payment", order.order_id, "always")
    case = await stage.open(order.order_id, "颜色不喜欢")
    await stage.submit(case, "buyer_insists", AGENT)
    if (await stage.view(case)).state == "awaiting_supervisor":
        await stage.submit(case, "approve", LEAD)
    await stage.submit(
        case,
        "confirm_paid_by_hand",
        CLERK,
        "--set",
        f"payment_reference=demo-{order.order_id}",
        "--set",
        f"amount_fen={order.amount_fen}",
    )
    return case


def stories(agent_fen: int, supervisor_fen: int) -> list[Story]:
    """The six refunds; the limits decide who is asked."""
    return [
        Story("small, silence pays", 1, agent_fen, _silence_pays, "refunded", pays=True),
        Story("large, two levels approve", supervisor_fen + 1, 10**9, _large, "refunded", pays=True),
        Story("shipped first", 1, 10**9, _shipped_first, "converted", pays=False),
        Story("the buyer withdraws", 1, 10**9, _withdrawn, "kept", pays=False),
        Story("payment fails once", 1, supervisor_fen, _fails_once, "refunded", pays=True),
        Story("payment fails for good", 1, supervisor_fen, _fails_for_good, "refunded", pays=True),
    ]


async def run_command(home: Path, *arguments: str) -> tuple[int, str, str]:
    """Run `casework` as a person would, on the demo's home: exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "casework",
        *arguments,
        env=surroundings(home),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, out.decode(), err.decode()


def surroundings(home: Path) -> dict[str, str]:
    """The environment of the demo's commands: its own home and shop, and no cluster of yours, whatever `.env` says."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
    return {
        **mine,
        "CASEWORK_HOME": str(home),
        "CASEWORK_DATABASE_URL": database_url(home),
        "TEMPORAL_CONFIG_FILE": os.devnull,
    }


def database_url(home: Path) -> str:
    """The demo's own shop."""
    return f"sqlite:///{home.absolute() / 'shop.db'}"


def exports(home: Path) -> str:
    """What a terminal must be told to look at the demo's shop; more where a shop of yours is set in the environment."""
    yours = Settings()
    told = f"export CASEWORK_HOME={shlex.quote(str(home))}"
    if yours.database_url != f"sqlite:///{yours.home / 'shop.db'}":
        told += f" CASEWORK_DATABASE_URL={shlex.quote(database_url(home))}"
    return told


def choose(found: Sequence[Order], wanted: Sequence[Story], agent_fen: int, supervisor_fen: int) -> list[Order]:
    """An order for each story and for the three that wait: the most demanding first, the smallest that fits.

    Raises:
        DemoFailed: where the shop has no fitting order left.

    """
    ranges = [(story.at_least, story.at_most, story.title) for story in wanted]
    ranges += [
        (1, 10**9, "one that waits for the agent"),
        (agent_fen + 1, 10**9, "one that waits for the supervisor"),
        (supervisor_fen + 1, 10**9, "one that waits for finance"),
    ]
    left = sorted(found, key=lambda order: order.amount_fen)
    chosen: dict[int, Order] = {}
    # the narrowest wish chooses first, so that a small shop suffices
    for place in sorted(range(len(ranges)), key=lambda one: ranges[one][1] - ranges[one][0]):
        low, high, title = ranges[place]
        fitting = next((order for order in left if low <= order.amount_fen <= high), None)
        if fitting is None:
            raise DemoFailed(
                f"this shop has no paid, unshipped order left of {format_yuan(low)} to {format_yuan(high)} "
                f"for the story: {title}"
            )
        left.remove(fitting)
        chosen[place] = fitting
    return [chosen[place] for place in range(len(ranges))]


def refundable(database: Database) -> list[Order]:
    """Ask the shop: orders that are paid and whole, of which nothing has shipped and something is left to refund."""
    found: list[Order] = []
    now = datetime.now(UTC)
    with database.reading() as session:
        for order_id in orders.unshipped_order_ids(session):
            standing = orders.standing(session, order_id, orders.resolve_lines(session, order_id, None), at=now)
            if not standing.refunded:
                found.append(Order(order_id, standing.refundable_fen))
    return found


STEPS = {
    "holding": "hold",
    "refunding": "",  # whether it succeeded, the next state tells
    "repairing_payment": "payment fails",
    "settling": "paid",
    "releasing": "released",
    "intercepting": "courier",
    "converting": "return",
}
"""How the table calls a state where not by its own name."""


def _path_of(view: CaseView) -> str:
    """The way of a case that has ended, as in `hold → persuading → silence → paid`."""
    steps: list[str] = []
    for line in [line for line in view.trail if line.accepted][:-1]:
        if line.by == Automatic.CLOCK:
            steps.append("silence")
        dest = line.dest or ""
        steps.append("paid by hand" if line.trigger == "confirm_paid_by_hand" else STEPS.get(dest, dest))
    return " → ".join(step.removeprefix("awaiting_").replace("_", " ") for step in steps if step)


def _table(played: Sequence[tuple[Story, Order, CaseView]]) -> str:
    return table(
        (
            f" …{order.order_id[-4:]}",
            f"{format_yuan(order.amount_fen):>9}",
            _path_of(view),
            f"{view.outcome} ✓",
            f"({story.title})",
        )
        for story, order, view in played
    )


async def _play(stage: Stage, story: Story, order: Order) -> tuple[Story, Order, CaseView]:
    case_id = await story.play(stage, order)
    return story, order, await stage.view(case_id)


def _check(stage: Stage, played: Sequence[tuple[Story, Order, CaseView]]) -> tuple[int, int]:
    """Endings and ledger must be the expected ones; answers with how many were paid, and how many twice."""
    wrong = [
        f"{view.case_id} ended as {view.outcome}, not {story.outcome}"
        for story, _, view in played
        if view.outcome != story.outcome
    ]
    paid = twice = 0
    with stage.database.reading() as session:
        wrong += payments.audit(session)
        for story, order, view in played:
            entries = payments.ledger(session, order.order_id)
            sent = sum(entry.amount_fen for entry in entries)
            paid += bool(entries)
            twice += sent > order.amount_fen
            due = order.amount_fen if story.pays else 0
            if sent != due:
                wrong.append(f"{view.case_id} paid {format_yuan(sent)}, not {format_yuan(due)}")
    if wrong:
        raise DemoFailed("; ".join(wrong))
    return paid, twice


async def _leave_three(stage: Stage, waiting: Sequence[Order]) -> list[str]:
    for_agent, for_lead, for_finance = waiting
    await stage.open(for_agent.order_id, "再考虑一下")
    second = await stage.open(for_lead.order_id, "买重了")
    await stage.submit(second, "buyer_insists", AGENT)
    third = await stage.open(for_finance.order_id, "送货太慢")
    await stage.submit(third, "buyer_insists", AGENT)
    await stage.submit(third, "approve", LEAD)
    return [
        f"casework submit {for_agent.order_id[-4:]} buyer_keeps_order --by {AGENT}",
        f"casework approve {for_lead.order_id[-4:]} --by {LEAD}",
        f"casework approve {for_finance.order_id[-4:]} --by {FINANCE}",
    ]


async def perform(home: Path, shop: Path | None, server: RunningServer) -> None:
    """Import the shop, play the stories, check what came of them, leave three cases."""
    settings = Settings()
    policy = load_policy(settings.policy).refund_before_shipping
    with TemporaryDirectory() as folder:
        files = files_of(shop) if shop else write_sample_shop(Path(folder))
        done, out, err = await run_command(home, "import", "--as-of-now", *map(str, files), "--json")
        if done not in (0, 2):
            raise DemoFailed(err or out)
    if err.strip():
        print(err.strip())
    client = await Client.connect(server.address, namespace=NAMESPACE, data_converter=DATA_CONVERTER)
    with closing(Database(f"sqlite:///{home / 'shop.db'}")) as database:
        await _tell(Stage(home, database, client), policy, server)


async def _tell(stage: Stage, policy: RefundBeforeShippingPolicy, server: RunningServer) -> None:
    """Play the six and print what came of them; then leave the three, and print who decides them."""
    with stage.database.reading() as session:
        counts = orders.count_orders(session)
    print(f"✓ {counts.orders} orders, {counts.lines} lines        Temporal UI {server.ui}")
    wanted = stories(policy.agent_limit_fen, policy.supervisor_limit_fen)
    chosen = choose(refundable(stage.database), wanted, policy.agent_limit_fen, policy.supervisor_limit_fen)
    print("Six refunds, staff played through the public commands, time skipped:")
    try:
        async with asyncio.TaskGroup() as group:
            # the last three orders are for later
            acts = [group.create_task(_play(stage, *one)) for one in zip(wanted, chosen, strict=False)]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    played = [act.result() for act in acts]
    paid, twice = _check(stage, played)
    refused = stage.refused_by_shop + sum(not line.accepted for _, _, view in played for line in view.trail)
    print(_table(played))
    print(f"Refused on the record: {refused}     Ledger: {paid} paid, {twice} twice")
    commands = await _leave_three(stage, chosen[len(wanted) :])
    print("Your turn: 3 cases wait. In another terminal, in this folder:")
    print(f"  . .venv/bin/activate; {exports(stage.home)}")
    for line in commands:
        print(f"  {line}")
    print(f"  casework inbox --by {FINANCE}     casework show {chosen[-1].order_id[-4:]}")


def files_of(shop: Path) -> list[Path]:
    """The exports in a folder (not in its subfolders: those are later ones).

    Raises:
        DemoFailed: where there are none.

    """
    if not shop.is_dir():
        raise DemoFailed(f"{shop} is no folder")
    files = sorted(path for path in shop.iterdir() if path.is_file() and path.suffix in (".csv", ".jsonl"))
    if not files:
        raise DemoFailed(f"{shop} holds no exports (.csv, .jsonl)")
    return files


@asynccontextmanager
async def running_desk(home: Path) -> AsyncGenerator[tuple[asyncio.subprocess.Process, RunningServer]]:
    """`casework up` on the demo's home, on the usual ports if they are free; stopped politely however it ends.

    Raises:
        DemoFailed: where it does not come up; its last line says why.

    """
    ports: list[str] = []
    if not await _is_free(DEFAULT_PORT) or not await _is_free(DEFAULT_UI_PORT):
        ports = ["--port", str(await _free_port()), "--ui-port", str(await _free_port())]
    with (home / "up.log").open("wb") as out:
        desk = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "casework",
            "up",
            *ports,
            env=surroundings(home),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,  # Ctrl-C is for the demo, which then stops the desk politely
        )
    try:
        yield desk, await _answering(desk, home)
    finally:
        await _stop(desk)


async def _answering(desk: asyncio.subprocess.Process, home: Path) -> RunningServer:
    """Wait until the desk's server and worker answer."""
    what = f"did not come up within {START_SECONDS} s"
    try:
        async with asyncio.timeout(START_SECONDS):
            while desk.returncode is None:
                running = read_running(home)
                if running is not None and (await run_command(home, "doctor"))[0] == 0:
                    return running
                await asyncio.sleep(0.2)
            what = "ended"
    except TimeoutError:
        pass
    said = (home / "up.log").read_text(errors="replace").strip().splitlines()
    raise DemoFailed(f"casework up {what}: {said[-1] if said else 'it did not say why'}")


async def _stop(desk: asyncio.subprocess.Process) -> None:
    """Stop it politely, as Ctrl-C in its terminal would; one that does not listen is ended."""
    if desk.returncode is not None:
        return
    desk.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await desk.wait()
    except TimeoutError:
        desk.kill()
        await desk.wait()


async def _is_free(port: int) -> bool:
    try:
        server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", port)
    except OSError:
        return False
    server.close()
    await server.wait_closed()
    return True


async def _free_port() -> int:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = cast("int", server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    return port


_MADE_HERE = re.compile(rf"shop\.db.*|temporal\.db.*|server\..*|.*\.log|{re.escape(MARKER)}")
"""What a demo leaves in its home."""


def make_room(home: Path) -> None:
    """An empty home for the demo: what an earlier demo left there goes; nothing else is ever deleted.

    Raises:
        DemoFailed: where something else lives there.

    """
    if home.exists():
        if not home.is_dir():
            raise DemoFailed(f"{home} is no folder")
        if any(home.iterdir()) and not (home / MARKER).exists():
            raise DemoFailed(f"{home} is not empty and was not made by a demo: name another folder with --home")
        theirs = [one.name for one in home.iterdir() if not _MADE_HERE.match(one.name)]
        if theirs:
            raise DemoFailed(f"{home} holds {theirs[0]}, which no demo made: move it away, or name another --home")
        shutil.rmtree(home)
    home.mkdir(parents=True)
    (home / MARKER).touch()


async def main(shop: Path | None, home: Path) -> None:
    """Play the demo; on a terminal the desk stays up until Ctrl-C.

    Raises:
        DemoFailed: something did not come out as it must.

    """
    if shop is not None:
        files_of(shop)
    if read_running(home) is not None:
        raise DemoFailed(f"a demo is running already on {home}: stop it first (Ctrl-C in its terminal)")
    make_room(home)
    loop, playing = asyncio.get_running_loop(), asyncio.current_task()
    assert playing is not None, "a coroutine runs in a task"  # noqa: S101 - for the type checker
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, playing.cancel)
    async with running_desk(home) as (desk, server):
        await perform(home, shop, server)
        if sys.stdout.isatty():
            print("The desk stays up; Ctrl-C stops it.", flush=True)
            stopped = asyncio.Event()
            loop.add_signal_handler(signal.SIGINT, stopped.set)
            waits = {asyncio.create_task(desk.wait()), asyncio.create_task(stopped.wait())}
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)


def run() -> int:
    """The command; answers the exit code, and never shows a traceback."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--shop", type=Path, help="a folder of exports (make demo SHOP=FOLDER)")
    parser.add_argument("--home", type=Path, default=Path(".casework-demo"), help="where the demo keeps its shop")
    given = parser.parse_args()
    try:
        asyncio.run(main(given.shop, given.home))
    except DemoFailed as failed:
        print(full_stop(f"The demo failed: {failed}"), file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("The demo was stopped.", file=sys.stderr)
        return 130
    except Exception as fault:
        if sys.flags.dev_mode:
            raise
        what = " ".join(str(fault).split()) or "no more is known"
        print(f"The demo failed: {type(fault).__name__}: {what} (python -X dev -m … shows where).", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run())
