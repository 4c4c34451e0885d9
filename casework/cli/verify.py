"""`casework verify`: recorded histories against the tables, the shop's books and today's code."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

from casework.cli.cases import resolve
from casework.cli.errors import FAILED, Stop, bad_input
from casework.cli.running import Desk, print_json, run_async, sentences
from casework.client import CaseworkClient
from casework.reading import read_id
from casework.settings import Language
from casework.shop.database import Database
from casework.verifying import ALL_RUNS, OPEN_RUNS, Part, Verified, Verifier, verify_file
from casework.verifying.replaying import NoHistory, Replays
from state_machines.flows import FLOWS
from state_machines.roles import Label

_PARTS: Final = {
    Part.PATH: Label("路径", "path"),
    Part.BOOKS: Label("账目", "books"),
    Part.REPLAY: Label("重放", "replay"),
}
_NOT_LOOKED_AT: Final = Label("未查{parts}", "{parts} not looked at")
_OLDER_TABLES: Final = Label(
    "店铺的数据表比此版本旧:不查账目。",
    "The shop's tables are older than this Casework: books are not looked at.",
)
_STANDING: Final = Label("{state}(已走 {moves} 步)", "{state} (moves: {moves})")


def verify(targets: Sequence[str], *, every: bool, only_open: bool, as_json: bool) -> None:
    """`casework verify`."""
    if bool(targets) == every:
        raise bad_input("Name cases or files, or say --all.")
    if only_open and not every:
        raise bad_input("--open is for all cases: say --all --open.")
    with sentences():
        desk = Desk()
    wrong, seen = run_async(_verify(desk, targets, OPEN_RUNS if only_open else ALL_RUNS, as_json=as_json))
    if wrong:
        raise Stop(FAILED, f"{wrong} of {seen} are not as they should be.")


async def _verify(desk: Desk, targets: Sequence[str], query: str, *, as_json: bool) -> tuple[int, int]:
    listed: list[dict[str, Any]] = []
    wrong = seen = 0
    async for one in _verified(desk, targets, query):
        if as_json:
            listed.append(_json(one))
        else:
            print(_line(one, desk.language), flush=True)
        seen += 1
        wrong += not one.whole
    if as_json:
        print_json(listed)
    return wrong, seen


async def _verified(desk: Desk, targets: Sequence[str], query: str) -> AsyncIterator[Verified]:
    replays = Replays()
    if not targets:
        _, verifier = await _connected(desk, replays)
        async for one in verifier.all(query):
            yield one
        return
    connected: tuple[CaseworkClient, Verifier] | None = None  # files need neither server nor shop
    for target in targets:
        if _is_file(target):
            try:
                yield await verify_file(replays, Path(target))
            except NoHistory as error:
                raise bad_input(str(error)) from None
        else:
            client, verifier = connected = connected or await _connected(desk, replays)
            yield await verifier.case(await resolve(client, read_id(target)))


async def _connected(desk: Desk, replays: Replays) -> tuple[CaseworkClient, Verifier]:
    """A client, and what verifies by it; where the shop is to be migrated first, that is said, and not its books."""
    shop = Database(desk.settings.database_url)
    books = shop.schema_state() != "behind"
    if not books:
        print(_OLDER_TABLES.in_language(desk.language), file=sys.stderr)
    client = await desk.client(None if books else shop)
    return client, Verifier(client, replays, books=books)


def _is_file(target: str) -> bool:
    """What looks like a file is one, so that a wrong name is not taken for a case's."""
    return target.endswith(".json") or "/" in target or Path(target).is_file()


def _json(one: Verified) -> dict[str, Any]:
    return {
        "case_id": one.case_id,
        "run_id": one.run_id,
        "status": one.status,
        "state": one.state,
        "moves": one.moves,
        "whole": one.whole,
        "looked_at": [part.value for part in one.looked_at],
        "faults": [{"part": fault.part.value, "found": fault.found} for fault in one.faults],
    }


def _line(one: Verified, language: Language) -> str:
    """One line: the case, where it is, and what is wrong; or, behind the sign that nothing is, what was looked at."""
    where = ""
    if one.state is not None:
        flow = next((flow for name, flow in FLOWS.items() if one.case_id.startswith(f"{name}-")), None)
        state = flow.states.get(one.state) if flow is not None else None
        name = state.label.in_language(language) if state is not None else one.state
        where = f" {_STANDING.in_language(language).format(state=name, moves=one.moves)}"
    found = [f"{_PARTS[fault.part].in_language(language)}: {fault.found}" for fault in one.faults]
    unseen = [part for part in Part if part not in one.looked_at and (one.state is not None or part is not Part.PATH)]
    if unseen and one.run_id is not None:
        parts = ", ".join(_PARTS[part].in_language(language) for part in unseen)
        found.append(_NOT_LOOKED_AT.in_language(language).format(parts=parts))
    return f"{'✓' if one.whole else '✗'} {one.case_id}{where}" + (f": {'; '.join(found)}" if found else "")
