"""The commands that act on the shop itself: the import, and the outside of the embedded shop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.orm import Session

from casework.cli.cases import unknown_order, whole_lines
from casework.cli.errors import BAD_INPUT, REFUSED, Stop, bad_input
from casework.cli.running import Desk, print_json, run_async, say, sentence, sentences
from casework.connection import NoServer
from casework.money import LineQuantity, format_yuan
from casework.reading import read_id, read_lines
from casework.shop import notices, outside
from casework.shop.errors import BadFile, BadRequest, Held, UnknownOrder
from casework.shop.importing import ImportReport, import_files
from casework.show import table

Change = Callable[[Session, str, list[LineQuantity] | None], str]
"""Lets something happen to an order, or to some of its lines, and says what."""


def import_exports(files: Sequence[Path], *, as_of_now: bool, as_json: bool) -> None:
    """`casework import`."""
    with sentences():
        desk = Desk()
        try:
            report = import_files(desk.new_shop, files, as_of_now=datetime.now(UTC) if as_of_now else None)
        except BadFile as error:
            raise bad_input(f"{sentence(error)} Nothing was imported.") from None
    told = _tell(desk, quiet=as_json)
    if as_json:
        print_json({**report.model_dump(mode="json"), "told": told})
    else:
        print(_report(report))
    if report.rejected:
        raise Stop(BAD_INPUT, f"{report.rejected} {'row was' if report.rejected == 1 else 'rows were'} refused.")


def _report(report: ImportReport) -> str:
    """Per file how many were new, changed, unchanged and rejected; then every rejected row with its reason."""
    rows = [("file", "what", "new", "changed", "unchanged", "rejected")]
    rows.extend(
        (one.file, one.kind, str(one.new), str(one.changed), str(one.unchanged), str(len(one.rejected)))
        for one in report.files
    )
    refused = [f"{one.file}, line {row.line}: {row.reason}" for one in report.files for row in one.rejected]
    return "\n".join([table(rows), *refused])


# --- the outside ---


def ship(order: str, lines: str | None, waybill: str | None, *, as_json: bool) -> None:
    """`casework shop ship`."""
    if lines is not None and "x" in lines.lower():
        raise bad_input("lines: what ships is whole lines; write them as 1,3.")

    def change(session: Session, order_id: str, chosen: list[LineQuantity] | None) -> str:
        numbers = None if chosen is None else [one.line for one in chosen]
        return f"shipped as {outside.ship(session, order_id, lines=numbers, at=datetime.now(UTC), waybill=waybill)}"

    _outside(order, lines, change, as_json=as_json)


def close(order: str, *, as_json: bool) -> None:
    """`casework shop close`."""

    def change(session: Session, order_id: str, _: list[LineQuantity] | None) -> str:
        outside.close(session, order_id, at=datetime.now(UTC))
        return "closed"

    _outside(order, None, change, as_json=as_json)


def refunded(order: str, lines: str | None, *, as_json: bool) -> None:
    """`casework shop refunded`."""

    def change(session: Session, order_id: str, chosen: list[LineQuantity] | None) -> str:
        paid = outside.refunded(session, order_id, lines=chosen, at=datetime.now(UTC))
        return f"the platform refunded {format_yuan(paid)}"

    _outside(order, lines, change, as_json=as_json)


def flag(order: str, colour: str, *, as_json: bool) -> None:
    """`casework shop flag`."""

    def change(session: Session, order_id: str, _: list[LineQuantity] | None) -> str:
        outside.set_flag(session, order_id, colour, at=datetime.now(UTC))
        return f"its own flag is {colour}"

    _outside(order, None, change, as_json=as_json)


def change_address(order: str, address: str, *, as_json: bool) -> None:
    """`casework shop address`."""

    def change(session: Session, order_id: str, _: list[LineQuantity] | None) -> str:
        outside.set_address(session, order_id, address, at=datetime.now(UTC))
        return "its address was changed"

    _outside(order, None, change, as_json=as_json)


def fail(what: str, identifier: str, how: str, *, as_json: bool) -> None:
    """`casework shop fail`."""

    def change(session: Session, subject: str, _: list[LineQuantity] | None) -> str:
        outside.fail(session, what, subject, how)
        return f"{what} fails {how}"

    _outside(identifier, None, change, as_json=as_json)


def _outside(identifier: str, lines: str | None, change: Change, *, as_json: bool) -> None:
    """Let something happen to an order, all or nothing, and tell its open cases."""
    with sentences():
        desk = Desk()
        subject = read_id(identifier)
        chosen: list[LineQuantity] | None = None
        if lines is not None:
            named = read_lines(lines, whole_lines(desk, subject))
            chosen = [LineQuantity.model_validate(line) for line in named]
        try:
            with desk.shop.writing() as session:
                happened = change(session, subject, chosen)
        except UnknownOrder:
            raise unknown_order(subject) from None
        except BadRequest as error:
            raise bad_input(sentence(error)) from None
        except Held as error:
            raise Stop(REFUSED, sentence(error)) from None
    told = _tell(desk, quiet=as_json)
    if as_json:
        print_json({"id": subject, "happened": happened, "told": told})
    else:
        print(f"{subject}: {happened}.")


def _tell(desk: Desk, *, quiet: bool) -> list[str]:
    """Tell the open cases what happened to their orders, if a server runs; gives those that were told now."""
    with desk.shop.reading() as session:
        waiting = sorted({notice.case_id for notice in notices.pending(session)})
    if not waiting:
        return []
    try:
        run_async(_tell_notices(desk))
    except Stop as stop:
        if not isinstance(stop.__cause__, NoServer):
            raise
        if not quiet:
            say(f"Told as soon as casework up runs: {', '.join(waiting)}.")
        return []
    if not quiet:
        say(f"Told: {', '.join(waiting)}.")
    return waiting


async def _tell_notices(desk: Desk) -> None:
    await (await desk.client()).tell_notices()
