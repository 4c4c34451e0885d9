"""What people say to cases: `casework submit` and what is short for it, `casework cancel`, and one decision on many."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import typer

from casework.case import CaseView
from casework.cli.cases import resolve, whole_lines
from casework.cli.errors import BAD_INPUT, DONE, FAILED, REFUSED, Stop, bad_input
from casework.cli.plain import plain_cancel, plain_submit
from casework.cli.running import Desk, on_terminal, print_json, run_async, say, sentences
from casework.client import check_message, flow_of_case
from casework.money import format_yuan
from casework.reading import read_fields, read_id
from casework.shop.records import lines_of
from casework.show import named, silence, state_name, time_with_distance, trigger_in_passing, word
from state_machines.asides import ASIDES, trigger_named
from state_machines.common import CANCEL

STANDARD_INPUT: Final = "-"
AT_ONCE: Final = 10
"""Cases that are asked, or told, at the same time."""
_WORST_FIRST: Final = (FAILED, BAD_INPUT, REFUSED, DONE)
"""Of several exit codes the command gives the worst: a fault, then what could not be understood, then a case's no."""

Settings = Sequence[str] | Mapping[str, Any]
"""The further fields of a message: as people write them, or as they are sent."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A message that was examined, to the case as it was seen."""

    view: CaseView
    fields: dict[str, Any]

    def message(self, trigger: str) -> dict[str, Any]:
        """As plain `temporal` sends it."""
        return {"trigger": trigger, **self.fields, "version": self.view.version}


@dataclass(slots=True)
class _Decision:
    """What is to be said to one case, and what came of it: its view after the move, or what stopped it."""

    given: str
    case_id: str | None = None
    ready: _Ready | None = None
    after: CaseView | None = None
    stop: Stop | None = None

    @property
    def code(self) -> int:
        """The exit code for this case."""
        return DONE if self.stop is None else self.stop.code


def act(
    case: str,
    trigger: str,
    settings: Settings,
    *,
    note: str | None,
    by: str | None,
    yes: bool,
    print_only: bool,
    as_json: bool,
) -> None:
    """`casework submit`, and the commands that are short for it: what refuses it ends the command."""
    with sentences():
        desk = Desk()
        who = desk.who(by)

    def tell(one: _Decision) -> None:
        if one.stop is not None:
            raise one.stop
        if one.after is not None:
            say_after(desk, one.after, trigger, as_json=as_json)

    run_async(_decide(desk, [_Decision(case)], trigger, settings, note, who, yes=yes, print_only=print_only, tell=tell))


def decide(
    cases: Sequence[str],
    trigger: str,
    settings: Settings,
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
        decisions = _named(cases)
    listed = as_json and not print_only

    def tell(one: _Decision) -> None:
        if listed:
            return
        if one.stop is not None:
            say(f"{one.case_id or one.given}: {one.stop}")
        elif one.after is not None:
            say_after(desk, one.after, trigger, as_json=False)

    run_async(_decide(desk, decisions, trigger, settings, note, who, yes=yes, print_only=print_only, tell=tell))
    if listed:
        print_json([_json(one) for one in decisions])
    worst = next(code for code in _WORST_FIRST if any(one.code == code for one in decisions))
    if worst != DONE:
        done = sum(one.code == DONE for one in decisions)
        raise Stop(worst, f"{done} of {len(decisions)} were done." if not as_json else "")


def _named(cases: Sequence[str]) -> list[_Decision]:
    """The cases, `-` standing for those on standard input, one per line; each once."""
    if STANDARD_INPUT in cases and sys.stdin is None:
        raise bad_input("- stands for standard input, which is closed.")
    if list(cases).count(STANDARD_INPUT) > 1:
        raise bad_input("- stands for standard input, which can be read only once.")
    decisions: list[_Decision] = []
    for one in cases:
        decisions += _from_lines(sys.stdin.buffer.read()) if one == STANDARD_INPUT else [_Decision(one)]
    each_once: dict[str, _Decision] = {}
    for one in decisions:
        each_once.setdefault(one.given, one)
    each_once.pop("", None)
    if not each_once:
        raise bad_input("No case was named: standard input is empty.")
    return list(each_once.values())


def _from_lines(content: bytes) -> list[_Decision]:
    """The case that each line names; a line that is no text is refused by itself."""
    decisions: list[_Decision] = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            decisions.append(_Decision(line.decode("utf-8-sig").strip()))
        except UnicodeDecodeError:
            shown = line.decode(errors="backslashreplace").strip()
            decisions.append(_Decision(shown, stop=bad_input(f"Line {number} of standard input is not UTF-8.")))
    return decisions


async def _decide(
    desk: Desk,
    decisions: Sequence[_Decision],
    trigger: str,
    settings: Settings,
    note: str | None,
    who: str,
    *,
    yes: bool,
    print_only: bool,
    tell: Callable[[_Decision], None],
) -> None:
    """Look at every case, ask where money may leave, and send; `tell` is called for each, in their order."""
    client = await desk.client()
    gate = asyncio.Semaphore(AT_ONCE)

    async def look(one: _Decision) -> None:
        async with gate:
            with _answered(one):
                one.case_id = await resolve(client, read_id(one.given))
                view = await client.view(one.case_id)
                fields = message_of(desk, view, trigger, settings, note, who)
                check_message(desk.shop, one.case_id, view.order_id, trigger, fields)
                one.ready = _Ready(view, fields)

    async def send(one: _Decision, ready: _Ready) -> None:
        async with gate:
            with _answered(one):
                one.after = await client.submit(ready.view.case_id, trigger, ready.fields, seen=ready.view)

    await asyncio.gather(*(look(one) for one in decisions if one.stop is None))
    _only_once(decisions)
    if print_only:
        for one in decisions:
            if one.ready is not None:
                print(plain_submit(desk.settings.home, one.ready.view.case_id, one.ready.message(trigger)))
            tell(one)
        return
    if not yes and on_terminal():
        _ask(desk, [one.ready.view for one in decisions if one.ready is not None], trigger)
    sent = [asyncio.create_task(send(one, one.ready)) if one.ready is not None else None for one in decisions]
    for one, task in zip(decisions, sent, strict=True):
        if task is not None:
            await task
        tell(one)


@contextmanager
def _answered(one: _Decision) -> Generator[None]:
    """What refuses one case is that case's answer, and no reason to stop."""
    try:
        with sentences():
            yield
    except Stop as stop:
        one.stop = stop


def _only_once(decisions: Sequence[_Decision]) -> None:
    """A case that two of the names mean is decided on once."""
    seen: set[str] = set()
    for one in decisions:
        if one.case_id is None:
            continue
        if one.case_id in seen and one.stop is None:
            one.ready, one.stop = None, bad_input(f"{one.given} names {one.case_id}, which was named already.")
        seen.add(one.case_id)


def _ask(desk: Desk, views: Sequence[CaseView], trigger: str) -> None:
    """Money on a terminal: asked once for all, with the sum."""
    paying = [view for view in views if may_pay(view, trigger)]
    if not paying:
        return
    pays = f"may pay {format_yuan(sum(view.amount_fen for view in paying))}"
    if len(views) == 1:
        question = f"{views[0].case_id} · {state_name(views[0], desk.language)}: {trigger} {pays}. Go on?"
    else:
        question = f"{trigger} on {len(views)} cases {pays} in {len(paying)} of them. Go on?"
    if not typer.confirm(question, err=True):
        raise Stop(FAILED, "Nothing was sent.")


def _json(one: _Decision) -> dict[str, Any]:
    why = str(one.stop) if one.stop is not None else None
    return {"given": one.given, "case_id": one.case_id, "exit_code": one.code, "why": why, "case": one.after}


# --- one message ---


def message_of(
    desk: Desk, view: CaseView, trigger: str, settings: Settings, note: str | None, who: str
) -> dict[str, Any]:
    """What is sent: who, why, and the trigger's own fields."""
    known = trigger_named(flow_of_case(view.case_id), trigger)
    if known is None:
        possible = ", ".join(one.trigger for one in view.waiting_for) or "nothing any more"
        raise bad_input(f"There is no trigger {trigger} in {view.flow}; possible in {view.state}: {possible}.")
    fields = {"by": who} if note is None else {"by": who, "note": note}
    if isinstance(settings, Mapping):
        return {**fields, **settings}
    whole = _lines_of(desk, view) if any(one.startswith("lines=") for one in settings) else {}
    return fields | read_fields(settings, known.message, desk.zone, whole)


def _lines_of(desk: Desk, view: CaseView) -> dict[int, int]:
    """How many pieces of each line the case is about; of the order's other lines, what is left."""
    with desk.shop.reading() as session:
        asked = {line.line: line.quantity for line in lines_of(session, view.case_id)}
    return {**whole_lines(desk, view.order_id), **asked}


def may_pay(view: CaseView, trigger: str) -> bool:
    """Whether money may leave by this."""
    flow = flow_of_case(view.case_id)
    if view.final or view.state not in flow.states:
        return False
    return any(flow.states[row.dest].pays for row in flow.rows(view.state, trigger))


def say_after(desk: Desk, view: CaseView, trigger: str, *, as_json: bool) -> None:
    """The new state, and what comes next; or that a fact is remembered until a state can use it."""
    if as_json:
        print_json(view)
        return
    if trigger in ASIDES:
        said = named(ASIDES[trigger].label, trigger, desk.language)
        print(f"{view.case_id} · {state_name(view, desk.language)} · {said}")
        return
    text = f"{view.case_id} → {state_name(view, desk.language)}"
    if trigger in view.kept:
        text += f" ({word('kept', desk.language)} {trigger_in_passing(view.flow, trigger, desk.language)})"
    if view.due is not None and not view.final:
        text += f" · {word('until', desk.language)} {time_with_distance(view.due, desk.now, desk.zone, desk.language)}"
        silent = silence(view, desk.language)
        if silent:
            text += f", {word('then', desk.language)} {silent}"
    print(text)


# --- cancel ---


def cancel_case(case: str, *, note: str | None, by: str | None, yes: bool, print_only: bool, as_json: bool) -> None:
    """`casework cancel`: a person's decision with a note, Temporal's own cancel without."""
    asks = on_terminal() and not (yes or print_only)
    if asks and not typer.confirm(f"{case}: call it off?", err=True):
        raise Stop(FAILED, "Nothing was sent.")
    if note is not None:
        act(case, CANCEL, [], note=note, by=by, yes=True, print_only=print_only, as_json=as_json)
        return
    with sentences():
        desk = Desk()
    run_async(_cancel(desk, read_id(case), print_only=print_only, as_json=as_json))


async def _cancel(desk: Desk, case: str, *, print_only: bool, as_json: bool) -> None:
    client = await desk.client()
    case_id = await resolve(client, case)
    if print_only:
        print(plain_cancel(desk.settings.home, case_id))
        return
    say_after(desk, await client.cancel(case_id), CANCEL, as_json=as_json)
