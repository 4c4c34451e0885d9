"""The rows of a batch: CSV as spreadsheets leave it, or JSON lines; each understood as its flow wants it, or refused.

Pure: nothing here asks the shop. So a row's digest, by which it is remembered, is the same whatever the shop says.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from casework.batch.headings import FLOW, field_named, start_fields
from casework.errors import BadInput
from casework.messages import ORDER_PATTERN
from casework.money import LineQuantity
from casework.reading import read_field, read_id, read_time
from casework.sentences import quoted, shortened
from casework.shop.errors import BadFile
from casework.shop.importing.reading import BadRow, read_table, read_text
from state_machines.flows import FLOWS, flow_named
from state_machines.table import Flow

IDS: Final = frozenset({"order_id", "waybill"})
TEXTS: Final = frozenset({"reason", "description", "note", "appraisal", "reopens", "chat_id", "by"})
"""Taken as they stand: their width and letters may be meant."""
MOST_ROWS: Final = 50_000
"""Of one batch: it is held and checked as a whole."""
MOST_BYTES: Final = 100_000_000
JSON_ENDINGS: Final = (".jsonl", ".ndjson")
_LINE: Final = re.compile(r"(?P<line>[0-9]{1,6})(?:x(?P<quantity>[0-9]{1,7}))?")
_NO_HEADING: Final = re.compile(r"column [0-9]+")


@dataclass(frozen=True, slots=True)
class GoodRow:
    """A row that can be read: what a case of the flow is to be started with."""

    line: int
    """The line of the file that it begins on."""
    flow: str
    fields: Mapping[str, Any]
    digest: str
    """Of flow and content: two rows with the same one ask for the same."""
    whole: tuple[int, ...] = ()
    """Lines of the order that were named without a quantity: all that is left of them."""

    @property
    def order_id(self) -> str | None:
        """The order that it names, if it names one."""
        named = self.fields.get("order_id")
        return named if isinstance(named, str) else None


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that is refused for what it says."""

    line: int
    why: str
    flow: str | None = None
    order_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """What a file holds, in its order."""

    good: list[GoodRow] = field(default_factory=list[GoodRow])
    refused: list[RefusedRow] = field(default_factory=list[RefusedRow])


def read_rows(name: str, content: bytes, *, zone: ZoneInfo, flow: str | None = None) -> Rows:
    """Read a file; `flow` is that of the rows that name none. A row that says the same as an earlier one is refused.

    Raises:
        BadFile: it cannot be read or is too large, or its columns are unknown, named twice or missing; the place is
            said.

    """
    if len(content) > MOST_BYTES:
        raise BadFile(name, "is far larger than any batch")
    text = read_text(name, content)
    if _is_one_list(text):
        raise BadFile(name, "is one JSON list: write one JSON object a line")
    # by its ending, or by how it begins: its first line may be broken, and standard input has no name
    is_json = name.lower().endswith(JSON_ENDINGS) or text.lstrip().startswith(("{", "["))
    found = _json_rows(name, text, flow) if is_json else _table_rows(name, text, zone, flow)
    rows = Rows()
    first: dict[str, int] = {}
    for one in found:
        if isinstance(one, GoodRow):
            earlier = first.setdefault(one.digest, one.line)
            if earlier != one.line:
                one = RefusedRow(one.line, f"repeats line {earlier}", one.flow, one.order_id)
        if isinstance(one, GoodRow):
            rows.good.append(one)
        else:
            rows.refused.append(one)
    return rows


def _require_few(name: str, rows: int) -> None:
    if rows > MOST_ROWS:
        raise BadFile(name, f"has {rows} rows; a batch has at most {MOST_ROWS}: split it")


def _is_one_list(text: str) -> bool:
    """Whether the whole is a list, and not its first line alone."""
    first, _, others = text.strip().partition("\n")
    if not first.startswith("["):
        return False
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return True
    return not others


# --- CSV ---


def _table_rows(name: str, text: str, zone: ZoneInfo, flow: str | None) -> Iterator[GoodRow | RefusedRow]:
    table = read_table(name, text)
    columns = _columns(name, table.headings, table.heading_line, has_flow=flow is not None)
    if not table.rows:
        raise BadFile(name, "has headings and no rows")
    _require_few(name, len(table.rows))
    for row in table.rows:
        if row.wrong is not None:
            yield RefusedRow(row.number, row.wrong)
            continue
        for heading in table.headings:
            if heading not in columns and row.cells[heading]:
                raise BadFile(name, f"line {row.number}: {heading} has a value and no heading")
        texts = {one: str(row.cells[heading]) for heading, one in columns.items() if row.cells[heading]}
        if texts:
            yield _row_of_texts(row.number, texts, zone, flow)


def _columns(name: str, headings: Sequence[str], line: int, *, has_flow: bool) -> dict[str, str]:
    """By heading, the field that it means."""
    columns: dict[str, str] = {}
    for heading in headings:
        meant = field_named(heading)
        if meant is None and _NO_HEADING.fullmatch(heading):
            continue
        if meant is None:
            known = ", ".join((FLOW, *start_fields()))
            raise BadFile(name, f"line {line}: there is no column {quoted(heading)}; there is {known}")
        twin = next((other for other, one in columns.items() if one == meant), None)
        if twin is not None or headings.count(heading) > 1:
            raise BadFile(name, f"line {line}: {twin or heading!s} and {heading} both mean {meant}")
        columns[heading] = meant
    there = set(columns.values())
    if FLOW not in there and not has_flow:
        raise BadFile(name, f"line {line}: the column {FLOW} is missing; for a file of one flow, name it with --flow")
    if not there & IDS:
        raise BadFile(name, f"line {line}: the column order_id is missing")
    return columns


def _row_of_texts(line: int, texts: dict[str, str], zone: ZoneInfo, flow_text: str | None) -> GoodRow | RefusedRow:
    shown = texts.get("order_id")
    flow: Flow[Any] | None = None
    try:
        flow = _flow_of(texts.pop(FLOW, flow_text))
        fields: dict[str, Any] = {}
        whole: list[int] = []
        for name, text in texts.items():
            _require_field(flow, name)
            if name == "lines":
                fields[name], whole = _lines(text)
            else:
                fields[name] = _value(name, text, flow, zone)
        return _row(line, flow, fields, whole)
    except (BadRow, BadInput) as refused:
        return RefusedRow(line, str(refused).rstrip("."), flow.name if flow else None, shown)


def _value(name: str, text: str, flow: Flow[Any], zone: ZoneInfo) -> Any:
    if name in IDS:
        return _id(name, text)
    if name in TEXTS:
        return text
    if name == "photos":
        return [part.strip() for part in re.split(r"[;\uff1b\n]", text) if part.strip()]
    if name == "platform_deadline":
        return read_time(name, text, zone).isoformat()
    return read_field(name, unicodedata.normalize("NFKC", text).strip(), flow.start_type, zone, {})


def _lines(text: str) -> tuple[list[dict[str, int]], list[int]]:
    """Lines as `1x2;3` (commas do too): two pieces of line 1, and line 3 whole; and which were named without pieces."""
    lines: list[dict[str, int]] = []
    whole: list[int] = []
    plain = unicodedata.normalize("NFKC", text.replace("×", "x")).lower()
    for part in filter(None, re.split(r"[;,、\s]+", plain)):
        found = _LINE.fullmatch(part)
        if found is None:
            raise BadRow(
                f"lines: {quoted(part)} is not a line; write them as 1;3x2 (line 1 whole, two pieces of line 3)"
            )
        number = int(found["line"])
        if found["quantity"] is None:
            lines.append({"line": number})
            whole.append(number)
        else:
            lines.append({"line": number, "quantity": int(found["quantity"])})
    return lines, whole


# --- JSON lines ---


class _Twice(ValueError):
    """A JSON object names a field twice."""


def _json_rows(name: str, text: str, flow_text: str | None) -> Iterator[GoodRow | RefusedRow]:
    # not splitlines(): a JSON text may hold other line separators
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    _require_few(name, len(lines))
    for number, line in lines:
        try:
            value: Any = json.loads(line, object_pairs_hook=_each_once)
        except _Twice as twice:
            yield RefusedRow(number, str(twice))
            continue
        except (ValueError, RecursionError) as error:
            where = f", at its sign {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            yield RefusedRow(number, f"is not JSON{where}")
            continue
        if not isinstance(value, dict):
            yield RefusedRow(number, "is not a JSON object")
            continue
        yield _row_of_json(number, cast("dict[str, Any]", value), flow_text)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict[str, Any]()
    for name, value in pairs:
        if name in found:
            raise _Twice(f"names {shortened(name)} twice")
        found[name] = value
    return found


def _row_of_json(line: int, given: dict[str, Any], flow_text: str | None) -> GoodRow | RefusedRow:
    """A start as the contract has it, with its flow: values keep their types, and only ids are read as in CSV."""
    flow: Flow[Any] | None = None
    shown: str | None = None
    try:
        fields: dict[str, Any] = {}
        for key, value in given.items():
            name = field_named(key)
            if name is None:
                raise BadRow(f"there is no field {quoted(key)}")
            if name in fields:
                raise BadRow(f"names {name} twice")
            fields[name] = value
        flow = _flow_of(fields.pop(FLOW, None) or flow_text)
        fields = {name: value for name, value in fields.items() if value is not None}
        order = fields.get("order_id")
        shown = order if isinstance(order, str) else None
        for name in fields:
            _require_field(flow, name)
            if name in IDS and isinstance(fields[name], str | float):
                # a number with an exponent is refused as rounded, any other by the start itself
                read = _id(name, str(fields[name]))
                fields[name] = read if isinstance(fields[name], str) else fields[name]
        return _row(line, flow, fields, ())
    except (BadRow, BadInput) as refused:
        return RefusedRow(line, str(refused).rstrip("."), flow.name if flow else None, shown)


# --- both ---


def _flow_of(text: object) -> Flow[Any]:
    """The flow by its name, an unambiguous beginning of it, or its Chinese label."""
    if text is None or text == "":
        raise BadRow(f"{FLOW} is missing")
    if not isinstance(text, str):
        raise BadRow(f"{FLOW}: text is wanted")
    plain = unicodedata.normalize("NFKC", text).strip()
    for flow in FLOWS.values():
        if plain in {unicodedata.normalize("NFKC", flow.label.zh), flow.label.en, flow.workflow}:
            return flow
    try:
        return flow_named(plain)
    except ValueError as error:
        raise BadRow(f"{FLOW}: {error}") from None


def _id(name: str, text: str) -> str:
    try:
        return read_id(text)
    except BadInput as refused:
        raise BadRow(f"{name}: {refused}") from None


def _require_field(flow: Flow[Any], name: str) -> None:
    if name not in flow.start_type.model_fields:
        raise BadRow(f"a {flow.label.en} takes no {name}")


def _row(line: int, flow: Flow[Any], fields: dict[str, Any], whole: Iterable[int]) -> GoodRow:
    if "order_id" not in fields and not ("waybill" in fields and "waybill" in flow.start_type.model_fields):
        raise BadRow("order_id is missing")
    order = fields.get("order_id")
    if isinstance(order, str) and not re.fullmatch(ORDER_PATTERN, order):
        raise BadRow("order_id: an order's id of 6 to 32 digits is wanted")
    return GoodRow(line, flow.name, fields, _digest(flow.name, fields), tuple(whole))


def _digest(flow: str, fields: Mapping[str, Any]) -> str:
    """The same for CSV and JSON, and however times, lines and what is not so are written."""
    content = {name: _plain(name, value) for name, value in fields.items() if value is not False}
    return sha256(json.dumps([flow, content], sort_keys=True).encode()).hexdigest()


def _plain(name: str, value: Any) -> Any:
    if name == "platform_deadline" and isinstance(value, str):
        return _in_utc(value)
    if name == "lines" and isinstance(value, list):
        return sorted(json.dumps(one, sort_keys=True) for one in cast("list[Any]", value))
    return value.strip() if isinstance(value, str) else value


def _in_utc(text: str) -> str:
    try:
        when = datetime.fromisoformat(text)
        return when.astimezone(UTC).isoformat() if when.tzinfo else text
    except (ValueError, OverflowError):  # the field itself refuses it
        return text


def lines_with_quantities(row: GoodRow, left: Mapping[int, int]) -> list[dict[str, int]]:
    """The lines of the order that a row names, those without a quantity whole; `left`: pieces by line.

    Raises:
        BadRow: the order has no such line.

    """
    lines: list[dict[str, int]] = []
    for one in row.fields["lines"]:
        number = one["line"]
        if "quantity" in one:
            lines.append(one)
        elif number in left:
            lines.append(LineQuantity(line=number, quantity=left[number]).model_dump())
        else:
            known = ", ".join(map(str, sorted(left))) or "none"
            raise BadRow(f"lines: the order has no line {number}; its lines are {known}")
    return lines
