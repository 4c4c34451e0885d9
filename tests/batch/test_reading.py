"""The rows of a batch are understood as spreadsheets and scripts write them, or refused with the place."""

from __future__ import annotations

import csv
import io
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casework.batch.headings import _ALSO, FLOW, field_named, start_fields  # pyright: ignore[reportPrivateUsage] - a test may look inside
from casework.batch.reading import GoodRow, RefusedRow, Rows, lines_with_quantities, read_rows
from casework.messages import explain
from casework.shop.errors import BadFile
from casework.shop.importing.reading import BadRow, read_text
from state_machines.flows import FLOWS

SHANGHAI = ZoneInfo("Asia/Shanghai")
ORDER, OTHER = "3300012345678901208", "3300012345678901209"
REFUND = "refund-before-shipping"


def rows(content: str | bytes, *, flow: str | None = None) -> Rows:
    return read_rows("rows", content.encode() if isinstance(content, str) else content, zone=SHANGHAI, flow=flow)


def only(content: str, *, flow: str | None = None) -> GoodRow:
    found = rows(content, flow=flow)
    assert found.refused == []
    (row,) = found.good
    return row


def why(content: str) -> str:
    """The reasons of the rows that are refused, with their lines."""
    return " / ".join(f"{one.line}: {one.why}" for one in rows(content).refused)


# --- what a file may look like ---


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_is_read_in_every_encoding(encoding: str, end: str) -> None:
    text = f"流程,订单编号,原因\n退款(未发货),{ORDER},尺码不合适\nreturn,{OTHER},\n".replace("\n", end)
    first, second = rows(text.encode(encoding)).good
    assert (first.line, first.flow) == (2, REFUND)
    assert first.fields == {"order_id": ORDER, "reason": "尺码不合适"}
    assert (second.line, second.flow, second.fields) == (3, "return-after-shipping", {"order_id": OTHER})


@pytest.mark.parametrize("first", ["utf-8", "utf-8-sig", "gb18030"])
def test_two_encodings_in_one_file_are_refused_with_a_line_of_each(first: str) -> None:
    other = "utf-8" if first == "gb18030" else "gb18030"
    content = f"flow,order_id,reason\nrefund,{ORDER},尺码不合适\n".encode(first)
    content += f"refund,{OTHER},尺码不合适\n".encode(other)
    one, two = ("GB18030", "UTF-8") if first == "gb18030" else ("UTF-8", "GB18030")
    begins = 1 if first == "utf-8-sig" else 2
    with pytest.raises(BadFile, match=f"mixes encodings: line {begins} is {one}, line 3 is {two}"):
        rows(content)


def test_short_words_of_gb18030_that_look_like_utf_8_are_no_second_encoding() -> None:
    said = "说".encode("gb18030")
    assert said.decode("utf-8"), "the two bytes are one letter of UTF-8 too"
    content = b"flow,order_id,reason\nrefund," + ORDER.encode() + b"," + said + b"\n"
    content += f"refund,{OTHER},尺码不合适\n".encode("gb18030")
    assert [row.fields["reason"] for row in rows(content).good] == ["说", "尺码不合适"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04", "xlsx"),
        ('flow,order\nrefund,"33', "ends in the middle of a row.*line 2"),
        ("flow,order,reason\nrefund,33", "ends in the middle of a row.*line 2"),
        ("flow,order,colour\n", "line 1: there is no column 'colour'; there is flow, order_id, by, "),
        ("\n\nflow,colour\n", "line 3: there is no column 'colour'"),
        ("flow,order,from_case\n", "there is no column 'from_case'"),
        ("flow,order,订单号\n", "order and 订单号 both mean order_id"),
        ("flow,order,order\n", "both mean order_id"),
        ("order\n1\n", "line 1: the column flow is missing; for a file of one flow, name it with --flow"),
        ("flow,reason\n", "line 1: the column order_id is missing"),
        ("flow,order\n", "has headings and no rows"),
        (f"flow,order,\nrefund,{ORDER},\nrefund,{OTHER},x\n", "line 3: column 3 has a value and no heading"),
        ('[{"flow": "refund"}]', "is one JSON list: write one JSON object a line"),
        ('[\n{"flow": "refund"},\n{"flow": "refund"}\n]', "is one JSON list"),
        ("[" * 100_000, "is one JSON list"),
        ('flow,order\nrefund,"a"b\n', "line 2 is not CSV"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_whole_with_the_place(content: str | bytes, said: str) -> None:
    with pytest.raises(BadFile, match=said):
        rows(content)


def test_lines_are_those_of_the_file() -> None:
    text = f'flow,order,reason\n\nrefund,{ORDER},"one\n\ntwo"\n\nrefund,{OTHER},x\nrefund,{ORDER}\nrefund,{ORDER},y\n'
    found = rows(text)
    assert [row.line for row in found.good] == [3, 7, 9]
    assert found.refused == [RefusedRow(8, "has 2 cells, the headings are 3")]


def test_empty_rows_and_columns_without_heading_say_nothing() -> None:
    assert [row.line for row in rows(f"flow,order,,\nrefund,{ORDER},,\n,,,\n").good] == [2]


def test_one_flow_may_be_named_for_all_rows_that_name_none() -> None:
    assert only(f"order\n{ORDER}\n", flow=REFUND).flow == REFUND
    assert only(f"flow,order\n,{ORDER}\n", flow=REFUND).flow == REFUND
    assert only(f"flow,order\nreturn,{ORDER}\n", flow=REFUND).flow == "return-after-shipping"
    assert only(json.dumps({"order_id": ORDER}), flow=REFUND).flow == REFUND


# --- headings ---


def test_every_field_of_every_start_has_an_english_and_a_chinese_heading() -> None:
    assert set(_ALSO) == {FLOW, *start_fields()}
    for field in (FLOW, *start_fields()):
        assert field_named(field) == field
        assert field_named(f" {field.upper().replace('_', ' ')} ") == field
        assert any(not name.isascii() and field_named(name) == field for name in _ALSO[field])


def test_every_field_of_the_contract_can_be_said() -> None:
    said = set(start_fields())
    for flow in FLOWS.values():
        reachable = set(flow.start_type.model_fields) - {"from_case"} - flow.start_type.ONLY_FROM_CASE
        assert reachable <= said
    assert not said & {"from_case", "goods", "seller_pays_postage", "order_terminated", "said_lost"}


# --- cells ---


@pytest.mark.parametrize(
    ("flow", "heading", "cell", "field", "value"),
    [
        ("refund", "order", '"=""3300012345678901208"""', "order_id", ORDER),
        ("refund", "order", "3300012345678901208", "order_id", ORDER),
        ("refund", "order", "'3300012345678901208", "order_id", ORDER),
        ("refund", "lines", "1x2;3×1", "lines", [{"line": 1, "quantity": 2}, {"line": 3, "quantity": 1}]),
        ("refund", "lines", '"1x2,3X1"', "lines", [{"line": 1, "quantity": 2}, {"line": 3, "quantity": 1}]),
        ("refund", "平台截止时间", "2026-11-20 18:00", "platform_deadline", "2026-11-20T18:00:00+08:00"),
        ("refund", "平台截止时间", "2026/11/5 8:00", "platform_deadline", "2026-11-05T08:00:00+08:00"),
        ("refund", "platform_deadline", "2026-11-20T18:00Z", "platform_deadline", "2026-11-20T18:00:00+00:00"),
        ("refund", "reason", "12", "reason", "12"),
        ("return", "photos", "a.jpg; b c.jpg;d.jpg", "photos", ["a.jpg", "b c.jpg", "d.jpg"]),
        ("return", "photos", "a.jpg;b.jpg", "photos", ["a.jpg", "b.jpg"]),
        ("return", "photos", "a.jpg", "photos", ["a.jpg"]),
        ("return", "opened", "yes", "opened", True),
        ("return", "已拆封", "是", "opened", True),
        ("return", "buyer damage", "TRUE", "buyer_damage", True),
        ("return", "轻微色差", "否", "slight_colour_difference", False),
        ("gift", "cost_fen", "5000", "cost_fen", 5000),
        ("gift", "数量", "2", "quantity", 2),
        ("gift", "cost_fen", "50.00", "cost_fen", 50.0),
        ("bulk", "折扣百分比", "7.5", "discount_percent", "7.5"),
        ("problem", "运单号", "No:YT1234567890", "waybill", "YT1234567890"),
    ],
)
def test_a_cell_is_read_as_its_field_wants_it(flow: str, heading: str, cell: str, field: str, value: object) -> None:
    order = "" if heading == "order" else ",order"
    row = only(f"flow,{heading}{order}\n{flow},{cell}{',' + ORDER if order else ''}\n")
    assert row.fields[field] == value
    assert type(row.fields[field]) is type(value)


def test_lines_without_a_quantity_are_whole_once_the_shop_is_asked() -> None:
    row = only(f"flow,order,lines\nrefund,{ORDER},3;1x2\n")
    assert row.whole == (3,)
    assert lines_with_quantities(row, {1: 4, 3: 5}) == [{"line": 3, "quantity": 5}, {"line": 1, "quantity": 2}]
    with pytest.raises(BadRow, match="the order has no line 3; its lines are 1, 2"):
        lines_with_quantities(row, {1: 4, 2: 5})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("refund,3.30001E+18,", "2: order_id: 3.30001E+18 was rounded by a spreadsheet"),
        ("refund,,x", "2: order_id is missing"),
        (",3300012345678901208,", "2: flow is missing"),
        ("re,3300012345678901208,", "2: flow: 're' begins refund-before-shipping and return-after-shipping"),
        ("swap,3300012345678901208,", "2: flow: there is no flow 'swap'; there is refund-before-shipping"),
        ("problem,3300012345678901208,x", "2: a problem parcel takes no reason"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_its_line(row: str, said: str) -> None:
    assert why(f"flow,order,reason\n{row}\n").startswith(said)


@pytest.mark.parametrize(
    ("heading", "cell", "said"),
    [
        ("lines", "a", "lines: 'a' is not a line"),
        ("lines", "1x", "lines: '1x' is not a line"),
        ("platform_deadline", "tomorrow", "platform_deadline: 'tomorrow' is not a time"),
        ("platform_deadline", "2026-13-01", "is not a time"),
    ],
)
def test_a_cell_that_nothing_can_be_made_of_is_refused(heading: str, cell: str, said: str) -> None:
    assert said in why(f"flow,order,{heading}\nrefund,{ORDER},{cell}\n")


def test_a_time_of_another_age_is_left_to_the_field_which_refuses_it() -> None:
    assert why(f"flow,order,platform_deadline\nrefund,{ORDER},0001-01-01 00:00\n") == ""


# --- JSON lines ---


def test_json_values_keep_their_types_and_only_ids_are_mended() -> None:
    start = {
        "flow": "return",
        "order_id": f'="{ORDER}"',
        "cause": "quality",
        "opened": True,
        "note": None,
        "photos": ["a;b"],
        "lines": [{"line": 1, "quantity": 1}],
    }
    row = only(json.dumps(start))
    assert row.fields == {
        "order_id": ORDER,
        "cause": "quality",
        "opened": True,
        "photos": ["a;b"],
        "lines": [{"line": 1, "quantity": 1}],
    }
    assert row.whole == (), "a quantity that is missing is refused by the start itself"


def test_a_time_in_json_keeps_its_missing_zone_and_is_refused_by_the_start() -> None:
    row = only(json.dumps({"flow": "refund", "order_id": ORDER, "by": "a.1", "platform_deadline": "2026-11-20 18:00"}))
    with pytest.raises(ValueError, match="zone") as refused:
        FLOWS[REFUND].start_type.model_validate(dict(row.fields))
    assert "platform_deadline" in explain(refused.value)  # pyright: ignore[reportArgumentType] - pydantic's own ValueError


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "1: is not JSON, at its sign 2"),
        ('{"flow": "refund"} x', "1: is not JSON"),
        ("{}\n[1]", "1: flow is missing / 2: is not a JSON object"),
        ('{"flow": "refund", "order_id": "1", "order_id": "2"}', "1: names order_id twice"),
        ('{"flow": "refund", "order_id": "1", "订单号": "2"}', "1: names order_id twice"),
        ('{"flow": "refund", "order_id": "1", "colour": "red"}', "1: there is no field 'colour'"),
        ('{"flow": "refund", "order_id": "1", "goods": "lost"}', "1: there is no field 'goods'"),
        ('{"flow": "refund", "order_id": "1", "kind": "gift"}', "1: a refund before shipping takes no kind"),
        ('{"flow": 5, "order_id": "1"}', "1: flow: text is wanted"),
        ('{"flow": "refund", "order_id": 3.30001e18}', "1: order_id: 3.30001e+18 was rounded by a spreadsheet"),
        ('{"flow": "refund", "order_id": ""}', "1: order_id: An id is wanted"),
        (r'{"flow": "refund", "order_id": "\ud800"}', "1: order_id: An id is wanted, and the text is not UTF-8"),
        (r'{"flow": "refund", "order_id": "\u0000123456"}', "1: order_id: an order's id of 6 to 32 digits is wanted"),
        ('{"flow": "refund", "note": "x"}', "1: order_id is missing"),
        ('{"a":' * 100_000, "1: is not JSON"),
    ],
)
def test_a_broken_json_line_is_refused_with_its_line(line: str, said: str) -> None:
    assert why(line).startswith(said)


@pytest.mark.parametrize("name", ["rows.jsonl", "ROWS.NDJSON"])
@pytest.mark.parametrize(
    ("first", "said"),
    [
        ('"flow": "refund"}', "is not JSON, at its sign 7"),
        ("flow,order", "is not JSON, at its sign 1"),
        ("[1]", "is not a JSON object"),
        ("5", "is not a JSON object"),
    ],
)
def test_by_its_ending_a_file_is_json_lines_whatever_its_first_line_is(name: str, first: str, said: str) -> None:
    good = json.dumps({"flow": "refund", "order_id": ORDER})
    found = read_rows(name, f"{first}\n{good}\n".encode(), zone=SHANGHAI)
    assert found.refused == [RefusedRow(1, said)]
    assert [row.line for row in found.good] == [2]


# --- rows that say the same ---


def test_a_row_that_says_the_same_again_names_the_line_that_it_repeats() -> None:
    text = (
        "flow,order,lines,platform_deadline,by\n"
        f"refund,{ORDER},1x2;3x1,2026-11-20 18:00,\n"
        f"refund,{OTHER},,,\n"
        f'refund-before-shipping,="{ORDER}",3×1;1x2,2026-11-20T10:00:00Z,\n'
        f"refund,{ORDER},1x2,2026-11-20 18:00,\n"
        f"refund,{OTHER},,,aftersale.1\n"
    )
    found = rows(text)
    assert [row.line for row in found.good] == [2, 3, 5, 6]
    assert found.refused == [RefusedRow(4, "repeats line 2", REFUND, ORDER)]


TEXT = (
    st.text("abcXYZ 019尺码不合适,;\"'\n=x+", min_size=1, max_size=12)
    .map(str.strip)
    .filter(lambda text: bool(text) and text != "null" and not text.startswith(("'", '="')))
)
LINES: st.SearchStrategy[Any] = st.lists(st.integers(1, 20), min_size=1, max_size=4, unique=True).flatmap(
    lambda numbers: st.tuples(
        *(st.fixed_dictionaries({"line": st.just(one), "quantity": st.integers(1, 99)}) for one in numbers)
    ).map(list)
)
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.sampled_from([UTC, SHANGHAI])).map(  # noqa: DTZ001 - the zone is drawn beside
    lambda when: when.replace(microsecond=0).isoformat()
)
PHOTO = st.text("abc照片.0 ,", min_size=1, max_size=8).map(str.strip).filter(lambda text: bool(text))


def starts(flow: str, always: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Starts of a flow, as its JSON objects are."""
    fixed: dict[str, Any] = {"flow": st.just(flow), "order_id": st.just(ORDER), **always}
    return st.fixed_dictionaries(fixed, optional=optional)


STARTS = st.one_of(
    starts(REFUND, {}, {"lines": LINES, "reason": TEXT, "platform_deadline": TIMES, "note": TEXT}),
    starts(
        "return-after-shipping",
        {"cause": st.just("quality")},
        {
            "opened": st.booleans(),
            "buyer_damage": st.booleans(),
            "photos": st.lists(PHOTO, min_size=1, max_size=3),
            "description": TEXT,
        },
    ),
    starts(
        "gift-approval",
        {"kind": st.just("gift")},
        {"quantity": st.integers(1, 999), "cost_fen": st.integers(0, 10**9), "gift_sku": TEXT},
    ),
)


def as_cell(name: str, value: Any) -> str:
    """As somebody would write it in a spreadsheet."""
    if name == "order_id":
        return f'="{value}"'
    if name == "lines":
        return ";".join(f"{one['line']}x{one['quantity']}" for one in value)
    if name == "photos":
        return ";".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


@pytest.mark.parametrize(
    ("written", "encoding", "read"),
    [
        ("片", "gb18030", "片"),
        ("片面 a", "gb18030", "片面 a"),
        ("café", "gb18030", "café"),
        ("café", "utf-8-sig", "café"),
        ("a·b 3×4 20°", "utf-8", "a·b 3×4 20°"),
        ("café 大", "utf-8", "café 大"),
    ],
)
def test_a_file_of_few_letters_is_read_as_it_was_meant(written: str, encoding: str, read: str) -> None:
    assert read_text("few.csv", written.encode(encoding)) == read


@given(st.lists(STARTS, min_size=1, max_size=5), st.sampled_from(["utf-8", "utf-8-sig", "gb18030"]))
def test_a_table_and_json_lines_that_say_the_same_are_the_same_rows(drawn: list[dict[str, Any]], encoding: str) -> None:
    columns = [FLOW, *start_fields()]
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(columns)
    for start in drawn:
        writer.writerow([as_cell(name, start[name]) if name in start else "" for name in columns])
    table = rows(out.getvalue().encode(encoding))
    lines = rows("".join(json.dumps(start) + "\n" for start in drawn))
    assert [row.digest for row in table.good] == [row.digest for row in lines.good]
    assert [row.fields for row in table.good] == [row.fields for row in lines.good]
    assert len(table.good) + len(table.refused) == len(drawn)
    assert all(one.why.startswith("repeats line ") for one in (*table.refused, *lines.refused))


@given(st.binary(max_size=200))
def test_whatever_a_file_holds_it_is_read_or_refused_in_a_sentence(content: bytes) -> None:
    with suppress(BadFile):
        assert all(one.why for one in rows(b"flow,order\n" + content).refused)
