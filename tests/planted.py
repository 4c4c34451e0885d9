"""Words planted where personal data stands in the shop, and the search for them where none may be."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Select, Text, bindparam, select
from sqlalchemy.orm import Session

from casework.shop.tables import Base, OrderRow, ParcelRow, ScanRow, ShipmentRow

MARK = "藏匿之语"
"""Stands in the free texts of the desk's orders, and nobody sends it anywhere."""

PAGE = 4096
"""How many bytes of its file SQLite writes at once."""

NAMED = {"receiver_name", "address"}
"""Columns that keep what the test's order says there: tests of what is sent look for it by themselves."""


def plant(session: Session, order_id: str) -> None:
    """Put the mark, and where it stands, into every free text of what the shop knows of an order; also a new one."""
    session.flush()
    for parcel in session.scalars(select(ShipmentRow).where(ShipmentRow.order_id == order_id)):
        session.add(ParcelRow(waybill=parcel.waybill, courier="yuantong", state="0"))
        session.flush()
        said = f"{MARK} scans"
        session.add(ScanRow(waybill=parcel.waybill, at=parcel.shipped_at, code="0", status=said, text=said))
    for rows, texts in _free_texts():
        for row in session.scalars(rows, {"order_id": order_id}):
            for text in texts:
                setattr(row, text, f"{MARK} {row.__tablename__}.{text}")


@cache
def _free_texts() -> list[tuple[Select[Any], list[str]]]:
    """Of each kind of row that says something of an order: the question for an order's rows, and its free texts."""
    found: list[tuple[Select[Any], list[str]]] = []
    for mapper in Base.registry.mappers:
        key = "id" if mapper.class_ is OrderRow else "order_id"
        texts = [one.key for one in mapper.columns if isinstance(one.type, Text) and one.key not in NAMED]
        if texts and key in mapper.columns:
            found.append((select(mapper.class_).where(mapper.columns[key] == bindparam("order_id")), texts))
    return found


def traces(data: bytes, texts: Iterable[str]) -> list[str]:
    """Where the data holds one of the texts in any usual writing: the text, and what stands around it."""
    found: list[str] = []
    for text in texts:
        for written in _writings(text):
            at = data.find(written)
            if at >= 0:
                found.append(f"{text}: {data[max(0, at - 60) : at + 60]!r}")
                break
    return found


class Kept:
    """What a Temporal server keeps: its database file, with what SQLite keeps beside it, and every row of it.

    A row by itself too: what is long is scattered over the file's pages.
    """

    def __init__(self, database: Path, *, since_now: bool) -> None:
        """Look at all that there is, or only at what comes from now on: a server keeps much, and each look is long."""
        self._database = database
        self._known = {hash(piece) for _, piece in self._pieces()} if since_now else set[int]()

    def new(self) -> Iterator[tuple[str, bytes]]:
        """Where it stands, and what has come since; pages that follow each other are one piece."""
        joined: dict[str, list[bytes]] = {}
        for where, piece in self._pieces():
            new = b"\n" if hash(piece) in self._known else piece
            joined.setdefault(where, []).append(new)
        for where, pieces in joined.items():
            yield where, b"".join(pieces)

    def _pieces(self) -> Iterator[tuple[str, bytes]]:
        for file in sorted(self._database.parent.glob(f"{self._database.name}*")):
            data = file.read_bytes()
            for start in range(0, len(data), PAGE):
                yield file.name, data[start : start + PAGE]
        with closing(sqlite3.connect(f"{self._database.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            # some columns are called text and hold bytes
            connection.text_factory = bytes
            tables = [
                name.decode() for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
            for table in tables:
                for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - the server's own table
                    cells = [cell if isinstance(cell, bytes) else str(cell).encode() for cell in row]
                    yield table, b"\n".join([*cells, b""])


def found_in(kept: Kept, texts: Iterable[str]) -> list[str]:
    """Every place in what the server keeps that holds one of the texts."""
    wanted = list(texts)
    return [f"{where}: {trace}" for where, data in kept.new() for trace in traces(data, wanted)]


def _writings(text: str) -> set[bytes]:
    escaped = json.dumps(text)[1:-1]
    encoded = {text.encode(one) for one in ("utf-8", "utf-16-le", "utf-16-be", "gb18030")}
    for shift in range(3):
        # whole groups of three bytes: what stands before and behind does not show in them
        whole = (b"\0" * shift + text.encode())[3 if shift else 0 :]
        encoded.add(base64.b64encode(whole[: len(whole) // 3 * 3]))
    return {*encoded, escaped.encode(), escaped.upper().replace("\\U", "\\u").encode()}
