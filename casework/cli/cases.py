"""The commands that look at cases, and how a case, a flow or an order is named in all of them."""

from __future__ import annotations

import csv
import webbrowser
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from casework.case import CaseView
from casework.cli.errors import FAILED, Stop, bad_input
from casework.cli.running import Desk, print_json, run_async, say, sentences
from casework.client import (
    CaseFilter,
    CaseLine,
    CaseworkClient,
    UnknownCase,
    closed_cases,
    closed_view,
    flow_of_case,
)
from casework.connection import NoServer, configured_cluster
from casework.diagram import case_of, mermaid
from casework.money import format_yuan
from casework.names import NAMESPACE
from casework.reading import if_rounded, read_id, read_time
from casework.sentences import counted
from casework.server_running import read_running
from casework.shop import orders
from casework.shop.errors import UnknownOrder
from casework.shop.outbox import Letter, letters
from casework.shop.records import came_from, resolve_case
from casework.show import (
    clock_time,
    letters_of,
    show_case,
    state_label,
    table,
    time_with_distance,
    word,
)
from casework.svg import svg
from state_machines.flows import FLOWS, flow_named
from state_machines.table import Flow

_CLOUD: Final = (".tmprl.cloud", ".temporal.io")
"""How the addresses of Temporal Cloud end; its UI is known."""


# --- look ---


def show_one(case: str, *, as_json: bool) -> None:
    """`casework show`."""
    with sentences():
        desk = Desk()
    view = run_async(look(desk, read_id(case)))
    with sentences(), desk.shop.reading() as session:
        posted = letters_of(view, letters(session, case_id=view.case_id))
        opener = came_from(session, view.case_id)
    if as_json:
        tasks = [{"role": one.recipient, **_json_letter(one)} for one in posted if one.to == "staff"]
        told = [_json_letter(one) for one in posted if one.to == "buyer"]
        print_json({**view.model_dump(mode="json"), "tasks": tasks, "told_the_buyer": told})
        return
    typed = read_id(case)
    address = typed if len(typed) < len(view.case_id) else view.case_id
    page = _page(desk, view.case_id)
    print(
        show_case(
            view,
            language=desk.language,
            zone=desk.zone,
            now=desk.now,
            address=address,
            see=page,
            posted=posted,
            came_from=opener,
        )
    )


def _json_letter(one: Letter) -> dict[str, Any]:
    return {"at": one.at, "template": one.template, "zh": one.text_zh, "en": one.text_en}


async def look(desk: Desk, case: str) -> CaseView:
    """A case's view; one that has closed needs no server."""
    try:
        client = await desk.client()
    except NoServer:
        with desk.shop.reading() as session:
            found = resolve_case(session, case)
        view = closed_view(desk.shop, found[0]) if len(found) == 1 else None
        if view is None:
            raise
        return view
    return await client.view(await resolve(client, case))


def list_cases(
    *,
    order: str | None,
    opened_by: str | None,
    flow: str | None,
    state: str | None,
    outcome: str | None,
    since: str | None,
    closed: bool,
    csv_file: Path | None,
    as_json: bool,
) -> None:
    """`casework cases`."""
    with sentences():
        desk = Desk()
        wanted = CaseFilter(
            order_id=read_id(order) if order else None,
            opened_by=opened_by,
            flow=flow_meant(flow).name if flow else None,
            state=state,
            outcome=outcome,
            since=read_time("--since", since, desk.zone) if since else None,
            open=not closed,
        )
    lines = run_async(_cases(desk, wanted))
    if csv_file is not None:
        _write_csv(csv_file, lines, desk.zone)
        say(f"{counted(len(lines), 'case')} written to {csv_file}.")
    if as_json:
        print_json([_json_line(line) for line in lines])
    elif csv_file is None:
        print(_case_table(lines, desk))


async def _cases(desk: Desk, wanted: CaseFilter) -> list[CaseLine]:
    if not wanted.open:  # the shop's records are enough
        return closed_cases(desk.shop, wanted)
    return await (await desk.client()).cases(wanted)


def _case_table(lines: Sequence[CaseLine], desk: Desk) -> str:
    language = desk.language
    if not lines:
        return word("no_cases", language)
    columns = ("case", "state", "amount", "due", "opened_by", "opened_at")
    rows = [[word(name, language) for name in columns]]
    rows.extend(
        [
            line.case_id,
            state_label(line.flow, line.outcome or line.state, language),
            "" if line.amount_fen is None else format_yuan(line.amount_fen),
            time_with_distance(line.due, desk.now, desk.zone, language) if line.due else "",
            line.opened_by,
            clock_time(line.opened_at, desk.now, desk.zone),
        ]
        for line in lines
    )
    return table(rows)


def _json_line(line: CaseLine) -> dict[str, Any]:
    return {
        "case_id": line.case_id,
        "flow": line.flow,
        "order_id": line.order_id,
        "state": line.state,
        "final": not line.open,
        "outcome": line.outcome,
        "amount_fen": line.amount_fen,
        "due": line.due,
        "waiting_for": list(line.waiting_for),
        "opened_by": line.opened_by,
        "opened_at": line.opened_at,
        "closed_at": line.closed_at,
    }


def _write_csv(file: Path, lines: Sequence[CaseLine], zone: ZoneInfo) -> None:
    """A CSV that spreadsheets read right: a BOM, and ids as `="…"` so that no digit is lost; times are the shop's."""
    columns = (
        "case_id",
        "order_id",
        "flow",
        "state",
        "outcome",
        "amount",
        "due",
        "opened_by",
        "opened_at",
        "closed_at",
    )

    def local(when: datetime | None) -> str:
        return f"{when.astimezone(zone):%Y-%m-%d %H:%M:%S}" if when else ""

    try:
        with file.open("w", encoding="utf-8-sig", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(columns)
            for line in lines:
                fen = line.amount_fen
                writer.writerow(
                    [
                        f'="{line.case_id}"',
                        f'="{line.order_id}"',
                        line.flow,
                        line.state,
                        line.outcome or "",
                        "" if fen is None else f"{fen // 100}.{fen % 100:02d}",
                        local(line.due),
                        line.opened_by,
                        local(line.opened_at),
                        local(line.closed_at),
                    ]
                )
    except OSError as error:
        raise Stop(FAILED, f"{file} cannot be written: {error.strerror}.") from error


def open_page(case: str, *, print_only: bool, as_json: bool) -> None:
    """`casework open`."""
    with sentences():
        desk = Desk()
    case_id = run_async(_find(desk, read_id(case)))
    with sentences():
        page = _page(desk, case_id)
    if page is None:
        raise Stop(FAILED, f"Where the UI of your Temporal cluster is, is not known here; look there for {case_id}.")
    if as_json:
        print_json({"case_id": case_id, "page": page})
    else:
        print(page, flush=True)
    if not print_only and not webbrowser.open(page):
        raise Stop(FAILED, "No browser could be opened.")


async def _find(desk: Desk, case: str) -> str:
    return await resolve(await desk.client(), case)


def _page(desk: Desk, case_id: str) -> str | None:
    """The case's page in the Temporal UI: the embedded server's, or that of Temporal Cloud."""
    cluster = configured_cluster()
    if cluster is None:
        running = read_running(desk.settings.home)
        where, namespace = (running.ui if running else None), NAMESPACE
    else:
        cloud = cluster.address.partition(":")[0].endswith(_CLOUD)
        where, namespace = ("https://cloud.temporal.io" if cloud else None), cluster.namespace
    return f"{where}/namespaces/{quote(namespace)}/workflows/{quote(case_id)}" if where else None


def print_diagram(what: str, *, as_svg: bool, as_json: bool) -> None:
    """`casework diagram`."""
    with sentences():
        desk = Desk()
        flow, case = _flow_or_none(what), None
    if flow is None:
        view = run_async(look(desk, read_id(what)))
        flow, case = flow_of_case(view.case_id), case_of(view)
    text = (svg if as_svg else mermaid)(flow, language=desk.language, case=case)
    if as_json:
        print_json(
            {
                "flow": flow.name,
                "case_id": case.case_id if case else None,
                "format": "svg" if as_svg else "mermaid",
                "text": text,
            }
        )
    else:
        print(text.rstrip("\n"))


# --- which one is meant ---


async def resolve(client: CaseworkClient, text: str) -> str:
    """The one case that is meant; where an id looks as if a spreadsheet had rounded it, that is said too."""
    try:
        return await client.resolve(text)
    except UnknownCase:
        raise bad_input(if_rounded(f"No case matches {text}", text)) from None


def flow_meant(text: str) -> Flow[Any]:
    """The flow that a name, or an unambiguous beginning of one, means."""
    try:
        return flow_named(text)
    except ValueError as error:
        sentence = str(error)
        raise bad_input(f"{sentence[0].upper()}{sentence[1:]}.") from None


def _flow_or_none(text: str) -> Flow[Any] | None:
    """The flow that a text names; digits, or a whole case id, name a case."""
    if text[:1].isdigit() or any(text.startswith(f"{name}-") for name in FLOWS):
        return None
    return flow_meant(text) if text.isascii() and text[:1].isalpha() else None


def whole_lines(desk: Desk, order_id: str) -> dict[int, int]:
    """How many pieces of each line are left, for lines that are named without a quantity."""
    with desk.shop.reading() as session:
        try:
            return orders.whole_lines(session, order_id)
        except UnknownOrder:
            raise unknown_order(order_id) from None


def unknown_order(order_id: str) -> Stop:
    """No such order; where the id looks as if a spreadsheet had rounded it, that is said too."""
    return bad_input(if_rounded(f"order_id: the shop has no order {order_id}", order_id))
