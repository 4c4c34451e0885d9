"""Exports as they come: bytes, encodings, quoting, headings. Pure; a file is known by its content."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from casework.shop.errors import BadFile

Kind = Literal["orders", "lines", "courier", "gifts", "chats"]

ORDER_NEEDED = (
    "订单编号",
    "订单状态",
    "买家应付邮费",
    "买家实际支付金额",
    "收货人姓名",
    "收货地址",
    "订单创建时间",
)
ORDER_KNOWN = (
    *ORDER_NEEDED,
    "买家会员名",
    "买家支付宝账号",
    "支付单号",
    "买家应付货款",
    "总金额",
    "买家留言",
    "联系电话",
    "联系手机",
    "订单付款时间",
    "物流单号",
    "物流公司",
    "订单备注",
    "宝贝总数量",
    "订单关闭原因",
    "修改后的收货地址",
    "退款金额",
    "确认收货时间",
    "打款商家金额",
    "发货时间",
)
LINE_NEEDED = ("订单编号", "价格", "购买数量", "订单状态")
LINE_KNOWN = (*LINE_NEEDED, "标题", "外部系统编号", "商品属性", "套餐信息", "商家编码")
GIFT_NEEDED = ("gift_sku", "name", "cost_fen", "value_fen", "stock")

_TABLES: tuple[tuple[Kind, tuple[str, ...], tuple[str, ...]], ...] = (
    ("orders", ORDER_NEEDED, ORDER_KNOWN),
    ("lines", LINE_NEEDED, LINE_KNOWN),
    ("gifts", GIFT_NEEDED, GIFT_NEEDED),
)
SIGNATURES = (
    (b"PK\x03\x04", "is a spreadsheet (xlsx) or a zip; save it as CSV first"),
    (b"\xd0\xcf\x11\xe0", "is a spreadsheet (xls); save it as CSV first"),
    (b"%PDF", "is a PDF, not an export"),
)
MAX_FIELD = 1_000_000
"""Characters in one cell; the platform's are far below."""
_BYTE_ORDER_MARK = "\ufeff"
"""GB18030 may have one too, and what is put together of two files a second one."""
HALF = "ends in the middle of a row: it is only a part of a file"
UNKNOWN = "is not one of the shop's exports (order list, line list, courier answers, gifts, chats)"


class BadRow(Exception):
    """A row that cannot be taken, and why; `columns`: the headings of those whose cells are to blame."""

    def __init__(self, why: str, *columns: str) -> None:
        super().__init__(why)
        self.columns = columns


@dataclass(frozen=True, slots=True)
class FileRow:
    """One row by its headings, or one JSON object, and the line of the file that it begins on."""

    number: int
    cells: Mapping[str, Any]
    wrong: str | None = None
    """Why the row cannot be read at all."""
    torn: Sequence[str] = ()
    """The cells of one that does not fit the headings: of those by heading, only the ones before the tear are right."""


@dataclass(frozen=True, slots=True)
class Table:
    """A CSV file: its headings as they stand, but for spaces and full width, and its rows by them.

    A column without a heading is called `column 5` by its place.
    """

    headings: list[str]
    heading_line: int
    """The line of the file that the headings begin on."""
    rows: list[FileRow]
    cut_last: bool
    """Whether its last row ends without a line end."""


@dataclass(frozen=True, slots=True)
class Export:
    """One file: what it is, its headings, its rows.

    `may_be_cut` is the heading of the one cell that may be only a part of one: the last of a CSV file without a line
    end. (JSON that can be read is whole.)
    """

    name: str
    kind: Kind
    headings: frozenset[str]
    rows: list[FileRow]
    may_be_cut: str | None


def read_export(name: str, content: bytes) -> Export:
    """Read one file.

    Raises:
        BadFile: it is empty, no export, or not a whole one.

    """
    text = read_text(name, content)
    if text.lstrip().startswith("{"):
        return _read_json_lines(name, text)
    return _read_export_table(name, text)


def read_text(name: str, content: bytes) -> str:
    """The text of a file: UTF-8 with or without a byte order mark, else GB18030.

    Raises:
        BadFile: it is empty, no text, not a whole one, or in two encodings.

    """
    for signature, sentence in SIGNATURES:
        if content.startswith(signature):
            raise BadFile(name, sentence)
    text = _decode(name, content).lstrip(_BYTE_ORDER_MARK)
    if not text.strip():
        raise BadFile(name, "is empty")
    return text


def _decode(name: str, content: bytes) -> str:
    """UTF-8 with or without a byte order mark, else GB18030, which GBK is a part of."""
    if b"\x00" in content:
        raise BadFile(name, "is not a text file")
    try:
        return _as_it_was_meant(content)
    except UnicodeDecodeError as error:
        # the first fault at the very end, after other letters of UTF-8, is a cut one
        cut = error.reason == "unexpected end of data" and error.end >= len(content)
        if cut and any(byte > 0x7F for byte in content[: error.start]):
            raise BadFile(name, HALF) from None
    _refuse_mixture(name, content)
    try:
        return content.decode("gb18030")
    except UnicodeDecodeError as error:
        if error.reason == "incomplete multibyte sequence" and error.end >= len(content):
            raise BadFile(name, HALF) from None
        raise BadFile(name, "is neither UTF-8 nor GB18030 text") from None


def _as_it_was_meant(content: bytes) -> str:
    """UTF-8, unless its only letters beyond ASCII are Latin, Greek or the like, and all are Chinese as GB18030.

    So 片 of GB18030 is the letter Ƭ of UTF-8: of the two, a shop here has written the first.

    Raises:
        UnicodeDecodeError: it is not UTF-8.

    """
    text = content.decode("utf-8-sig")
    if text.isascii() or content.startswith(codecs.BOM_UTF8):
        return text
    # a file of UTF-8 with Chinese in it is told by its first sign
    if not all(letter.isascii() or _is_foreign_letter(letter) for letter in text):
        return text
    try:
        other = content.decode("gb18030")
    except UnicodeDecodeError:
        return text
    return other if all(letter.isascii() or _is_chinese(letter) for letter in other) else text


_MARKS = ("Mn", "Sk")
"""What stands over or behind a letter, and hardly ever in a shop's list: halves of Chinese signs."""


def _is_foreign_letter(letter: str) -> bool:
    return letter < "\u0800" and (letter.isalpha() or unicodedata.category(letter) in _MARKS)


def _is_chinese(letter: str) -> bool:
    return "\u4e00" <= letter <= "\u9fff"


def _refuse_mixture(name: str, content: bytes) -> None:
    """A file of which one line is surely UTF-8 and another surely is not was put together from two.

    Raises:
        BadFile: with a line of each.

    """
    first: dict[str, int] = {"UTF-8": 1} if content.startswith(codecs.BOM_UTF8) else {}
    for number, line in enumerate(content.split(b"\n"), start=1):
        encoding = None if line.isascii() else _encoding_of(line)
        if encoding is not None:
            first.setdefault(encoding, number)
    if len(first) > 1:
        (one, other) = sorted(first.items(), key=lambda found: found[1])
        raise BadFile(name, f"mixes encodings: line {one[1]} is {one[0]}, line {other[1]} is {other[0]}")


def _encoding_of(line: bytes) -> str | None:
    """The encoding that a line surely is in; None where that cannot be told."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return "GB18030"
    # two bytes of GB18030 may look like one letter of two bytes in UTF-8, but hardly like one of three
    return "UTF-8" if any(character >= "\u2000" for character in text) else None


def read_table(name: str, text: str) -> Table:
    """Read CSV; a row whose cells do not fit the headings is among them, and says so.

    Raises:
        BadFile: it is no CSV, has no rows, or ends in the middle of one.

    """
    csv.field_size_limit(MAX_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    cut_last = not text.endswith(("\n", "\r"))
    found: list[tuple[int, list[str]]] = []
    start = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                found.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            raise BadFile(name, f"{HALF}, which begins on line {start}") from None
        raise BadFile(name, f"line {start} is not CSV: {error}") from None
    if not found:
        raise BadFile(name, "is empty")
    heading_line, first = found[0]
    headings = [
        unicodedata.normalize("NFKC", heading).strip() or f"column {number}" for number, heading in enumerate(first, 1)
    ]
    rows: list[FileRow] = []
    for number, cells in found[1:]:
        is_last = number == found[-1][0]
        if len(cells) != len(headings):
            if is_last and cut_last and len(cells) < len(headings):
                raise BadFile(name, f"{HALF}, which begins on line {number}")
            wrong = f"has {len(cells)} cells, the headings are {len(headings)}"
            torn = [clean(cell) for cell in cells]
            as_they_stand = dict(reversed(list(zip(headings, torn, strict=False))))
            rows.append(FileRow(number, as_they_stand, wrong=wrong, torn=torn))
            continue
        # the first of two columns with one name counts
        named = dict(reversed(list(zip(headings, map(clean, cells), strict=True))))
        rows.append(FileRow(number, named))
    return Table(headings, heading_line, rows, cut_last)


def _read_export_table(name: str, text: str) -> Export:
    found = read_table(name, text)
    kind = _kind_of_table(name, found.headings)
    if not found.rows:
        raise BadFile(name, "has headings and no rows")
    may_be_cut = found.headings[-1] if found.cut_last else None
    return Export(name, kind, frozenset(found.headings), found.rows, may_be_cut)


def _kind_of_table(name: str, headings: Iterable[str]) -> Kind:
    """The kind that most headings speak for; a needed heading that is missing is named."""
    there = set(headings)
    kind, needed, _ = max(_TABLES, key=lambda table: len(there & set(table[2])) / len(table[2]))
    missing = [heading for heading in needed if heading not in there]
    if len(missing) > len(needed) / 2 or (missing and len(there & set(needed)) < 2):
        raise BadFile(name, UNKNOWN)
    if missing:
        columns = "column" if len(missing) == 1 else "columns"
        raise BadFile(name, f"lacks the {columns} {', '.join(missing)}")
    return kind


def _read_json_lines(name: str, text: str) -> Export:
    cut_last = not text.endswith(("\n", "\r"))
    # not splitlines(): a JSON text may hold other line separators
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    rows: list[FileRow] = []
    kinds: list[Kind | None] = []
    for number, line in lines:
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError):
            if number == lines[-1][0] and cut_last:
                raise BadFile(name, HALF) from None
            rows.append(FileRow(number, {}, wrong="is not JSON"))
            continue
        if not isinstance(value, dict):
            rows.append(FileRow(number, {}, wrong="is not a JSON object"))
            continue
        cells = cast("dict[str, Any]", value)
        rows.append(
            FileRow(number, cells, wrong="holds a character that is no text" if _holds_no_text(line, cells) else None)
        )
        kinds.append("courier" if "nu" in cells else "chats" if "chat" in cells and "order_id" in cells else None)
    kind: Kind | None = next((kind for kind in kinds if kind), None)
    if kind is None:
        raise BadFile(name, UNKNOWN)
    return Export(name, kind, frozenset(), rows, None)


_ESCAPED_NO_TEXT = re.compile(r"\\u(?:0000|d[89a-f])", re.IGNORECASE)


def _holds_no_text(line: str, value: Any) -> bool:
    """Whether JSON says a NUL or half of a pair, which no database keeps. Most lines need not be looked through."""
    return _ESCAPED_NO_TEXT.search(line) is not None and any(
        "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text) for text in _texts(value)
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, one in cast("dict[str, Any]", value).items():
            yield name
            yield from _texts(one)
    elif isinstance(value, list):
        for one in cast("list[Any]", value):
            yield from _texts(one)


_WRAPPED = re.compile(r'="(.*)"', re.DOTALL)


def clean(cell: str) -> str:
    """A cell without what spreadsheets and the platform wrap around it: spaces, `="…"`, a leading `'`."""
    cell = cell.strip()
    match = _WRAPPED.fullmatch(cell)
    if match is not None:
        cell = match[1].strip()
    cell = cell.removeprefix("'").strip()
    return "" if cell == "null" else cell
