"""Where the demo plays: the public commands, eyes on the cases, and a hand on the clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, cast

from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.testing import TimeSkipper

from casework.case import CaseView
from casework.client import queried
from casework.connection import is_not_there
from casework.converter import DATA_CONVERTER
from casework.demo.commands import Commands, Done
from casework.demo.failing import DemoFailed
from casework.names import CASE_QUERY, NAMESPACE
from casework.server_running import RunningServer, read_running
from casework.shop.database import Database
from casework.skipping import let_pass, skip_past, skipper_of
from state_machines.flows import FLOWS
from state_machines.table import StateKind

START_SECONDS = 60
"""For how long the desk may come up."""
ANSWER_SECONDS = 30
"""For how long a case may work by itself until it waits for somebody."""
STRIDE: Final = timedelta(hours=12)
"""How far time is let go at once where nobody knows when something happens."""
Sees = Callable[[CaseView], bool]


class Stage:
    """The demo's home, its shop and its cases. Every act is a public command."""

    def __init__(self, home: Path, database: Database) -> None:
        """`database` is the home's shop; it is looked at, and changed by commands only."""
        self.home = home
        self.database = database
        self.refused_by_shop = 0
        self._commands = Commands(home)
        self._client: Client | None = None

    async def run(self, *arguments: str) -> Done:
        """One public command, whatever comes of it."""
        return await self._commands(*arguments)

    async def casework(self, *arguments: str, expect: int = 0) -> Any:
        """One public command; answers with its JSON, or with its sentence where it must not succeed.

        Raises:
            DemoFailed: it ended otherwise than it must.

        """
        done = await self.ended(expect, *arguments)
        if expect:
            self.refused_by_shop += arguments[0] == "shop"
            return done.err.strip()
        return json.loads(done.out)

    async def ended(self, code: int, *arguments: str) -> Done:
        """One public command that must end with this code; what it says is JSON.

        Raises:
            DemoFailed: it ended otherwise.

        """
        done = await self._commands(*arguments, "--json")
        if done.code != code:
            said = done.err or done.out
            raise DemoFailed(f"casework {' '.join(arguments)} ended with {done.code}, not {code}: {said.strip()}")
        return done

    async def answering(self, desk: asyncio.subprocess.Process) -> RunningServer:
        """Wait until the desk's server and worker answer.

        Raises:
            DemoFailed: where it does not come up; its last line says why.

        """
        what = f"did not come up within {START_SECONDS} s"
        try:
            async with asyncio.timeout(START_SECONDS):
                while desk.returncode is None:
                    running = read_running(self.home)
                    if running is not None and (await self.run("doctor")).code == 0:
                        self._client = await Client.connect(
                            running.address, namespace=NAMESPACE, data_converter=DATA_CONVERTER
                        )
                        return running
                    await asyncio.sleep(0.2)
                what = "ended"
        except TimeoutError:
            pass
        said = (self.home / "up.log").read_text(errors="replace").strip().splitlines()
        raise DemoFailed(f"casework up {what}: {said[-1] if said else 'it did not say why'}")

    # --- act ---

    async def start(self, flow: str, *arguments: str, by: str) -> str:
        """Open a case and wait until it waits for somebody, or has ended; answers with its id."""
        view = CaseView.model_validate(await self.casework("start", flow, *arguments, "--by", by))
        return (await self._rest(view)).case_id

    async def submit(self, case_id: str, trigger: str, by: str, *more: str, expect: int = 0) -> CaseView:
        """Act on a case, and wait until it waits again or has ended. `more`: `--note …`, or fields as `name=value`."""
        fields = [part for one in more for part in (["--set", one] if _is_field(one) else [one])]
        answer = await self.casework("submit", case_id, trigger, "--by", by, "--yes", *fields, expect=expect)
        return await self.view(case_id) if expect else await self._rest(CaseView.model_validate(answer))

    # --- look ---

    async def name(self, case_id: str, number: str) -> str:
        """The end of its order's or parcel's number, by which a reader names the case; its id where that is taken."""
        short = number[-4:]
        shown = await self.run("show", short, "--json")
        return short if shown.code == 0 and json.loads(shown.out)["case_id"] == case_id else case_id

    @property
    def client(self) -> Client:
        """Temporal, to look at cases and to skip their time."""
        if self._client is None:
            raise RuntimeError("the desk does not answer yet")
        return self._client

    async def view(self, case_id: str) -> CaseView:
        """The case, as its query answers."""
        handle = self.client.get_workflow_handle(case_id)
        return CaseView.model_validate(await queried(handle, CASE_QUERY, timeout=timedelta(seconds=ANSWER_SECONDS)))

    async def child(self, case_id: str, flow: str) -> str:
        """The case of this flow that a case has opened, once it waits for somebody or has ended.

        Raises:
            DemoFailed: it has opened none.

        """
        parent = await self.view(case_id)
        opened = next((link for link in parent.links if link.startswith(f"{flow}-")), None)
        if opened is None:
            raise DemoFailed(f"{case_id} opened no {flow} (it is {parent.state})")
        await self.rest(opened)
        return opened

    async def rest(self, case_id: str) -> CaseView:
        """Wait until the case waits for somebody, or has ended."""
        return await self.until(case_id, _is_at_rest, "wait for somebody, or end")

    async def until(self, case_id: str, seen: Sees | Sequence[str], what: str | None = None) -> CaseView:
        """Wait, without letting time pass, until the case is seen so, or in one of these states.

        Every page of its history is a chance to look.

        Raises:
            DemoFailed: that does not come.

        """
        sees = seen if callable(seen) else _in_one_of(seen)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._until(case_id, sees)
        except TimeoutError:
            wanted = what or f"be {' or '.join(cast('Sequence[str]', seen))}"
            raise DemoFailed(
                f"{case_id} is {(await self.view(case_id)).state} and did not {wanted} within {ANSWER_SECONDS} s"
            ) from None

    async def _until(self, case_id: str, sees: Sees) -> CaseView:
        history = self.client.get_workflow_handle(case_id).fetch_history_events(wait_new_event=True)
        while True:
            try:
                await history.fetch_next_page()
                view = await self.view(case_id)
            except RPCError as error:
                if not is_not_there(error):
                    raise
                raise DemoFailed(f"there is no case {case_id}") from None
            if sees(view):
                return view
            if view.final:
                raise DemoFailed(f"{case_id} has ended as {view.outcome}")
            if history.next_page_token is None:  # this run has ended: the case goes on in its next one
                history = self.client.get_workflow_handle(case_id).fetch_history_events(wait_new_event=True)

    async def _rest(self, view: CaseView) -> CaseView:
        return view if _is_at_rest(view) else await self.rest(view.case_id)

    # --- time ---

    async def skip_to_deadline(self, case_id: str) -> CaseView:
        """Let time pass for this one case until its clock has moved it."""
        before = await self._view_at_rest(case_id)
        while before.due is not None:
            handle = self.client.get_workflow_handle(case_id)
            if await skip_past(self._skipper, handle, before.due):
                # the timer rings a moment later: without waiting, its time would be skipped twice
                await self.until(case_id, _moved_since(before), "move at its deadline")
            now = await self._view_at_rest(case_id)
            if now.version != before.version:
                return await self._rest(now)
            before = now
        return before

    async def _view_at_rest(self, case_id: str) -> CaseView:
        """The case once all is done that it was told: it shows its next deadline before its move is made."""
        handle = self.client.get_workflow_handle(case_id)
        while (await handle.describe()).raw_description.HasField("pending_workflow_task"):  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.02)
        return await self.view(case_id)

    async def skip_until(self, case_id: str, *states: str, at_most: timedelta) -> CaseView:
        """Let time pass for this one case until it is in one of these states.

        Raises:
            DemoFailed: that has not come after `at_most`.

        """
        passed = timedelta(0)
        while (view := await self.view(case_id)).state not in states:
            if passed >= at_most:
                raise DemoFailed(f"{case_id} is {view.state} after {at_most}, not {' or '.join(states)}")
            await let_pass(self._skipper, self.client.get_workflow_handle(case_id), STRIDE)
            passed += STRIDE
        return view

    @property
    def _skipper(self) -> TimeSkipper:
        return skipper_of(self.client)


def _is_field(text: str) -> bool:
    name, found, _ = text.partition("=")
    return bool(found) and name.isidentifier()


def _is_at_rest(view: CaseView) -> bool:
    return view.final or FLOWS[view.flow].states[view.state].kind is StateKind.WAIT


def _moved_since(before: CaseView) -> Sees:
    return lambda view: (view.version, view.due) != (before.version, before.due)


def _in_one_of(states: Sequence[str]) -> Sees:
    return lambda view: view.state in states
