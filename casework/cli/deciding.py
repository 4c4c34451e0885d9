"""`casework approve` and `casework reject`: one decision on one case or on many, each answered by itself."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import typer

from casework.case import CaseView
from casework.cli.cases import act, may_pay, message_of, resolve, say_after
from casework.cli.errors import BAD_INPUT, DONE, FAILED, REFUSED, Stop, bad_input
from casework.cli.plain import plain_submit
from casework.cli.running import Desk, on_terminal, print_json, run_async, say, sentences
from casework.client import CaseworkClient, check_message
from casework.money import format_yuan
from casework.reading import read_id

STANDARD_INPUT: Final = "-"
AT_ONCE: Final = 10
"""Cases that are asked, or told, at the same time."""
_WORST_FIRST: Final = (FAILED, BAD_INPUT, REFUSED, DONE)
"""Of several exit codes the command gives the worst: a fault, then what could not be understood, then a case's no."""


@dataclass(slots=True)
class _Decision:
    """What is to be decided on one case, and what came of it; `why` says why it was not, with its exit code."""

    given: str
    case_id: str | None = None
    view: CaseView | None = None
    fields: dict[str, Any] | None = None
    after: CaseView | None = None
    code: int = DONE
    why: str | None = None


def decide(
    cases: Sequence[str],
    trigger: str,
    settings: Sequence[str],
    *,
    note: str | None,
    by: str | None,
    yes: bool,
    print_only: bool,
    as_json: bool,
) -> None:
    """One case as `casework submit` does; of several each is answered separately, and the worst exit code counts."""
    if len(cases) == 1 and cases[0] != STANDARD_INPUT:
        act(cases[0], trigger, settings, note=note, by=by, yes=yes, print_only=print_only, as_json=as_json)
        return
    with sentences():
        desk = Desk()
        who = desk.who(by)
        named = _named(cases)
    decisions = [_Decision(one) for one in named]
    run_async(_decide(desk, decisions, trigger, settings, note, who, yes=yes, print_only=print_only, as_json=as_json))
    worst = next(code for code in _WORST_FIRST if any(one.code == code for one in decisions))
    if worst != DONE:
        done = sum(one.code == DONE for one in decisions)
        raise Stop(worst, f"{done} of {len(decisions)} were done." if not as_json else "")


def _named(cases: Sequence[str]) -> list[str]:
    """The cases, `-` standing for those on standard input, one a line; each once."""
    if list(cases).count(STANDARD_INPUT) > 1:
        raise bad_input("- stands for standard input, which can be read only once.")
    found: list[str] = []
    for one in cases:
        found += [line.strip() for line in sys.stdin] if one == STANDARD_INPUT else [one]
    found = list(dict.fromkeys(one for one in found if one))
    if not found:
        raise bad_input("No case was named: standard input is empty.")
    return found


async def _decide(
    desk: Desk,
    decisions: Sequence[_Decision],
    trigger: str,
    settings: Sequence[str],
    note: str | None,
    who: str,
    *,
    yes: bool,
    print_only: bool,
    as_json: bool,
) -> None:
    client = await desk.client()
    gate = asyncio.Semaphore(AT_ONCE)

    async def look(one: _Decision) -> None:
        async with gate:
            with _answered(one):
                one.case_id = await resolve(client, read_id(one.given))
                one.view = await client.view(one.case_id)
                fields = message_of(desk, one.view, trigger, settings, note, who)
                check_message(desk.shop, one.case_id, one.view.order_id, trigger, fields)
                one.fields = fields

    await asyncio.gather(*(look(one) for one in decisions))
    _only_once(decisions)
    ready = [one for one in decisions if one.fields is not None and one.code == DONE]
    if print_only:
        for one in ready:
            if one.view is not None and one.fields is not None:
                message = {"trigger": trigger, **one.fields, "version": one.view.version}
                print(plain_submit(desk.settings.home, one.view.case_id, message))
        _say_refused(decisions)
        return
    if not yes and on_terminal():
        _ask(ready, trigger)
    send = {id(one): asyncio.create_task(_send(client, one, trigger, gate)) for one in ready}
    for one in decisions:
        if id(one) in send:
            await send[id(one)]
        if as_json:
            continue
        if one.after is not None:
            say_after(desk, one.after, trigger, as_json=False)
        else:
            say(f"{one.case_id or one.given}: {one.why}")
    if as_json:
        print_json([_json(one) for one in decisions])


async def _send(client: CaseworkClient, one: _Decision, trigger: str, gate: asyncio.Semaphore) -> None:
    async with gate:
        with _answered(one):
            if one.view is not None and one.fields is not None:
                one.after = await client.submit(one.view.case_id, trigger, one.fields, seen=one.view)


@contextmanager
def _answered(one: _Decision) -> Generator[None]:
    """What refuses one case is that case's answer, and no reason to stop."""
    try:
        with sentences():
            yield
    except Stop as stop:
        one.code, one.why = stop.code, str(stop)


def _only_once(decisions: Sequence[_Decision]) -> None:
    """A case that two of the names mean is decided on once."""
    seen: set[str] = set()
    for one in decisions:
        if one.case_id is None:
            continue
        if one.case_id in seen and one.code == DONE:
            one.code, one.why = BAD_INPUT, f"{one.given} names {one.case_id}, which was named already."
        seen.add(one.case_id)


def _ask(ready: Sequence[_Decision], trigger: str) -> None:
    """Money on a terminal: asked once for all, with the sum."""
    paying = [one.view for one in ready if one.view is not None and may_pay(one.view, trigger)]
    if not paying:
        return
    total = sum(view.amount_fen for view in paying)
    question = f"{trigger} on {len(ready)} cases may pay {format_yuan(total)} in {len(paying)} of them. Go on?"
    if not typer.confirm(question, err=True):
        raise Stop(FAILED, "Nothing was sent.")


def _say_refused(decisions: Sequence[_Decision]) -> None:
    for one in decisions:
        if one.why is not None:
            say(f"{one.case_id or one.given}: {one.why}")


def _json(one: _Decision) -> dict[str, Any]:
    return {"given": one.given, "case_id": one.case_id, "exit_code": one.code, "why": one.why, "case": one.after}
