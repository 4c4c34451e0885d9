"""Import of the shop's own exports (data.md): all files of a call in one transaction, or nothing where one is wrong.

An import is the platform's word: it wins over a hold, and the open cases of a changed order are told. States go
forward only; a row that would take an order back is older than what the shop knows, and changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence, Set
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel
from sqlalchemy.orm import Session

from casework.files import read_at_most
from casework.shop.database import Database
from casework.shop.errors import BadFile
from casework.shop.importing.reading import HALF, BadRow, Export, FileRow, Kind, read_export
from casework.shop.importing.rows import (
    ChatIn,
    CourierIn,
    GiftIn,
    LineIn,
    OrderIn,
    order_id_in,
    read_chat,
    read_courier,
    read_gift,
    read_line,
    read_order,
)
from casework.shop.importing.writing import Importer, chat_id_of
from casework.shop.tables import SettingRow

__all__ = ["BadFile", "FileReport", "ImportReport", "RejectedRow", "import_files", "keep_chat", "read_bytes"]

AGE_OF_NEWEST = timedelta(hours=1)
"""How old the newest order is after an import as of now (data.md)."""
TIME_SHIFT = "time_shift_seconds"
TIMED: tuple[Kind, ...] = ("orders", "courier", "chats")
"""What has times: with its first import it is settled by how much the shop's times are moved."""
MAX_BYTES = 500_000_000

RowIn = OrderIn | LineIn | CourierIn | GiftIn | ChatIn
_READERS = {
    "orders": read_order,
    "lines": read_line,
    "courier": read_courier,
    "gifts": read_gift,
    "chats": read_chat,
}


class RejectedRow(BaseModel):
    """A row that did not go in: the line of the file that it begins on, and why."""

    line: int
    reason: str


class FileReport(BaseModel):
    """What came of one file, counted in what it is about: orders, order lines, parcels, gifts or chats."""

    file: str
    kind: Kind
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    rejected: list[RejectedRow] = []


class ImportReport(BaseModel):
    """What came of an import; `moved_seconds` is by how much its times were moved."""

    files: list[FileReport]
    moved_seconds: int = 0

    @property
    def rejected(self) -> int:
        """How many rows did not go in."""
        return sum(len(file.rejected) for file in self.files)


def import_files(database: Database, paths: Sequence[Path], *, as_of_now: datetime | None = None) -> ImportReport:
    """Import exports; the same ones again change nothing.

    `as_of_now` (an aware datetime) moves every time in every file by the same amount, so that the newest order is one
    hour old then. The shop keeps that amount: later imports are moved by it too, with or without `as_of_now`.

    Raises:
        BadFile: a file is not an export or not a whole one, or cannot be moved in time; nothing is imported.

    """
    exports = [read_export(path.name, read_bytes(path)) for path in paths]
    parsed = [(export, *_parse(export)) for export in exports]
    with database.writing() as session:
        shift, is_settled = _time_shift(session, parsed, as_of_now)
        importer = Importer(session, shift=shift, at=datetime.now(UTC))
        reports = [FileReport(file=export.name, kind=export.kind, rejected=rejected) for export, _, rejected in parsed]
        for kind in ("orders", "lines", "gifts", "courier", "chats"):
            for (export, rows, _), report in zip(parsed, reports, strict=True):
                if export.kind == kind:
                    _write(importer, export, rows, report)
        importer.finish()
        if not is_settled and any(report.kind in TIMED and report.new for report in reports):
            session.add(SettingRow(name=TIME_SHIFT, value=str(int(shift.total_seconds()))))
    for report in reports:
        report.rejected.sort(key=lambda row: row.line)
    return ImportReport(files=reports, moved_seconds=int(shift.total_seconds()))


def keep_chat(database: Database, path: Path, order_id: str) -> str:
    """Keep the conversation about an order that a file holds, among others or alone; gives its id in the shop.

    The file holds JSON lines as exports do, or one conversation, which need not name its order.

    Raises:
        BadFile: it holds none about the order, or several, or cannot be read.

    """
    export = read_export(path.name, _one_a_line(read_bytes(path), order_id))
    if export.kind != "chats":
        raise BadFile(path.name, "holds no conversation")
    rows, rejected = _parse(export)
    ours = [(number, row) for number, row in rows if isinstance(row, ChatIn) and row.order_id == order_id]
    if len(ours) != 1:
        found = f"{len(ours)} conversations" if ours else "no conversation"
        why = f"; line {rejected[0].line}: {rejected[0].reason}" if rejected and not ours else ""
        raise BadFile(path.name, f"holds {found} about order {order_id}{why}")
    with database.writing() as session:
        noted = session.get(SettingRow, TIME_SHIFT)
        shift = timedelta(seconds=int(noted.value)) if noted is not None else timedelta(0)
        for _, outcome in Importer(session, shift=shift, at=datetime.now(UTC)).write(ours, {}):
            if isinstance(outcome, BadRow):
                raise BadFile(path.name, str(outcome))
    return chat_id_of(order_id)


def _one_a_line(content: bytes, order_id: str) -> bytes:
    """The same file, where it is one conversation on several lines, or one that does not name its order."""
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        return content
    if not isinstance(whole, dict) or "chat" not in whole:
        return content
    return json.dumps({"order_id": order_id, **cast("dict[str, Any]", whole)}).encode() + b"\n"


def read_bytes(path: Path) -> bytes:
    """What a file holds.

    Raises:
        BadFile: it cannot be read, or is far larger than any list of a shop.

    """
    try:
        content = read_at_most(path, MAX_BYTES)
    except OSError as error:
        raise BadFile(path.name, f"cannot be read: {(error.strerror or 'unknown error').lower()}") from None
    if content is None:
        raise BadFile(path.name, "is far larger than any export")
    return content


def _parse(export: Export) -> tuple[list[tuple[int, RowIn]], list[RejectedRow]]:
    """Every row understood, or refused."""
    reader = _READERS[export.kind]
    good: list[tuple[int, RowIn]] = []
    bad: list[RejectedRow] = []
    for row in export.rows:
        if row.wrong is not None:
            bad.append(RejectedRow(line=row.number, reason=row.wrong))
            continue
        try:
            good.append((row.number, reader(row.cells)))
        except BadRow as error:
            if export.may_be_cut is not None and row is export.rows[-1] and export.may_be_cut in error.columns:
                raise BadFile(export.name, HALF) from None
            bad.append(RejectedRow(line=row.number, reason=str(error)))
    return good, bad


def _time_shift(
    session: Session,
    parsed: Sequence[tuple[Export, list[tuple[int, RowIn]], list[RejectedRow]]],
    as_of_now: datetime | None,
) -> tuple[timedelta, bool]:
    """By how much times are moved, and whether an import before has settled that: the first one with any time that
    the shop took.
    """
    noted = session.get(SettingRow, TIME_SHIFT)
    if noted is not None:
        if as_of_now is not None and noted.value == "0":
            raise BadFile(
                parsed[0][0].name if parsed else "import",
                "cannot be moved to now: the shop was imported at its own times before; use another CASEWORK_HOME",
            )
        return timedelta(seconds=int(noted.value)), True
    if as_of_now is None or not any(export.kind in TIMED for export, _, _ in parsed):
        return timedelta(0), False
    newest = max((order.created_at for order in _orders(parsed)), default=None)
    if newest is None:
        raise BadFile(parsed[0][0].name, "cannot be moved to now without an order list")
    return timedelta(seconds=int((as_of_now - AGE_OF_NEWEST - newest).total_seconds())), False


def _orders(
    parsed: Sequence[tuple[Export, list[tuple[int, RowIn]], list[RejectedRow]]],
) -> Iterator[OrderIn]:
    for _, rows, _ in parsed:
        for _, row in rows:
            if isinstance(row, OrderIn):
                yield row


def _write(importer: Importer, export: Export, rows: list[tuple[int, RowIn]], report: FileReport) -> None:
    """Write one file's rows and count what came of them."""
    incomplete, unsure = _orders_with_bad_lines(export, report)
    sure: list[tuple[int, RowIn]] = []
    for number, row in rows:
        doubtful = unsure.get(row.order_id) if isinstance(row, LineIn) else None
        if doubtful is None or number < doubtful:
            sure.append((number, row))
        else:
            reason = f"is counted after line {doubtful}, which may be of this order: correct that first"
            report.rejected.append(RejectedRow(line=number, reason=reason))
    for number, outcome in importer.write(sure, incomplete):
        match outcome:
            case "new":
                report.new += 1
            case "changed":
                report.changed += 1
            case "unchanged":
                report.unchanged += 1
            case BadRow():
                report.rejected.append(RejectedRow(line=number, reason=str(outcome)))


def _orders_with_bad_lines(export: Export, report: FileReport) -> tuple[dict[str, list[int]], dict[str, int]]:
    """Rows of a line list that were refused, by order: their places in the order are kept free, so that the numbers of
    the other lines are right.

    And by order, the first row of which nobody knows whether it is a line of it: what comes after that has no number.
    """
    bad = {row.line for row in report.rejected}
    refused: dict[str, list[int]] = {}
    unsure: dict[str, int] = {}
    if export.kind != "lines" or not bad:
        return refused, unsure
    in_place = [order_id_in(_order_cell(row)) for row in export.rows]
    known = {order_id for row, order_id in zip(export.rows, in_place, strict=True) if order_id and not row.torn}
    orders = [
        _order_of_torn(row, order_id, known) if row.torn else order_id
        for row, order_id in zip(export.rows, in_place, strict=True)
    ]
    last = {order_id: place for place, order_id in enumerate(orders)}
    follows: list[str | None] = []
    for said in reversed(orders):
        follows.append(said or (follows[-1] if follows else None))
    before: str | None = None
    begun: set[str] = set()
    """The orders of which there are lines before and after."""
    for place, (row, said, after) in enumerate(zip(export.rows, orders, reversed(follows), strict=True)):
        if said is not None:
            before = said
            begun.add(said)
            if last[said] == place:
                begun.discard(said)
        if row.number in bad and not _is_no_line(row):
            may_be = [said] if said is not None else [one for one in {*begun, before, after} if one is not None]
            for order_id in may_be:
                refused.setdefault(order_id, []).append(row.number)
                # one that does not fit the headings may be the rest of the row before it
                if said is None and (row.torn or len(may_be) > 1):
                    unsure.setdefault(order_id, row.number)
    return refused, unsure


def _order_cell(row: FileRow) -> str:
    return str(row.cells.get("订单编号", ""))


def _order_of_torn(row: FileRow, in_place: str | None, known: Set[str]) -> str | None:
    """The order of a torn row, among those `known` from whole ones; None: it does not say, or names several."""
    # what comes before the tear is in its place
    found = {in_place} & known or {order_id_in(cell) for cell in row.torn} & known
    return found.pop() if len(found) == 1 else None


def _is_no_line(row: FileRow) -> bool:
    """Whether a whole row has words where the order's id is: sums and remarks that somebody has put below."""
    said = _order_cell(row)
    return not row.torn and said != "" and not any(sign.isdigit() for sign in said)
