"""What people type or paste is understood, or refused with the reason."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel, Field, StrictBool, StrictInt, ValidationError

from casework.errors import BadInput
from casework.messages import Message, Reference, Text, explain
from casework.reading import looks_rounded, read_fields, read_id, read_lines, read_time
from state_machines.bulk_order import BulkStart
from state_machines.common import PaidByHand
from state_machines.problem_parcel import ParcelStart
from state_machines.refund_before_shipping import GiveReason, RefundStart

SHANGHAI = ZoneInfo("Asia/Shanghai")
ORDER = "3300012345678901208"
FULL_WIDTH = {ord("0") + digit: 0xFF10 + digit for digit in range(10)}


@pytest.mark.parametrize(
    "pasted",
    [ORDER, f" {ORDER}\n", f'="{ORDER}"', f"'{ORDER}", f"No:{ORDER}", ORDER.translate(FULL_WIDTH)],
)
def test_an_order_id_is_understood_as_a_spreadsheet_leaves_it(pasted: str) -> None:
    assert read_id(pasted) == ORDER


@pytest.mark.parametrize("rounded", ["3.30001E+18", "3.3e18", '="3.30001E+18"', "3.3E+18"])
def test_an_id_that_a_spreadsheet_rounded_is_refused_with_that_reason(rounded: str) -> None:
    with pytest.raises(BadInput, match="rounded by a spreadsheet"):
        read_id(rounded)


def test_an_unknown_id_that_ends_in_a_spreadsheets_zeros_is_recognised() -> None:
    assert looks_rounded("3300012345678900000")
    assert not looks_rounded(ORDER)
    assert not looks_rounded("3300012345")


def test_a_time_without_a_zone_is_the_shops() -> None:
    assert read_time("since", "2026-11-20 18:00", SHANGHAI).astimezone(UTC) == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert read_time("since", "2026-11-20T18:00:00Z", SHANGHAI) == datetime(2026, 11, 20, 18, tzinfo=UTC)
    with pytest.raises(BadInput, match=r"^since: '2026-13-28' is not a time; write it as "):
        read_time("since", "2026-13-28", SHANGHAI)


def test_lines_are_read_as_they_are_written() -> None:
    assert read_lines("1,3x2", {1: 4, 3: 5}) == [{"line": 1, "quantity": 4}, {"line": 3, "quantity": 2}]
    assert read_lines("1,3×2", {1: 4}) == [{"line": 1, "quantity": 4}, {"line": 3, "quantity": 2}]


@pytest.mark.parametrize(("text", "reason"), [("a", "not a line"), ("7", "no line 7"), ("1;2", "not a line")])
def test_lines_that_are_none_are_refused(text: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        read_lines(text, {1: 1})


def test_a_further_field_is_read_as_the_field_wants_it() -> None:
    hand = read_fields(["payment_reference=20260077", "amount_fen=47800"], PaidByHand, SHANGHAI, {})
    assert hand == {"payment_reference": "20260077", "amount_fen": 47800}
    assert read_fields(["reason=12"], GiveReason, SHANGHAI, {}) == {"reason": "12"}
    start = read_fields(
        ["lines=2x1", "platform_deadline=2026-11-20 18:00", "reason=a=b"], RefundStart, SHANGHAI, {2: 1}
    )
    assert start == {
        "lines": [{"line": 2, "quantity": 1}],
        "platform_deadline": "2026-11-20T18:00:00+08:00",
        "reason": "a=b",
    }
    assert read_fields(['lines=[{"line": 2, "quantity": 1}]'], RefundStart, SHANGHAI, {}) == {
        "lines": [{"line": 2, "quantity": 1}]
    }


class Accepted(BaseModel):
    """As an inspection's lines."""

    line: StrictInt
    accepted_quantity: StrictInt


class Everything(Message):
    """A field of every kind that the flows' triggers and starts have."""

    photos: Annotated[list[Reference], Field(min_length=1)] | None = None
    signs: list[Literal["young_account", "material_talk"]] | None = None
    lines: list[Accepted] | None = None
    gift_back: StrictBool | None = None
    opened: StrictBool = False
    discount_percent: Annotated[str, Field(pattern=r"^[0-9.]+$")] = "0"
    registered_on: Annotated[str, Field(pattern=r"^[0-9-]{10}$")] | None = None
    days: Literal[3, 5] = 3
    place: Text | None = None


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("photos=a.jpg", ["a.jpg"]),
        ("photos=a.jpg,b.jpg，c.jpg", ["a.jpg", "b.jpg", "c.jpg"]),
        ('photos=["a, b.jpg"]', ["a, b.jpg"]),
        ("photos=17", ["17"]),
        ("signs=young_account, material_talk", ["young_account", "material_talk"]),
        ("lines=1x0,2", [{"line": 1, "accepted_quantity": 0}, {"line": 2, "accepted_quantity": 3}]),
        ("gift_back=true", True),
        ("gift_back=no", False),
        ("gift_back=是", True),
        ("gift_back=null", None),
        ("gift_back=none", None),
        ("gift_back=无", None),
        ("opened=yes", True),
        ("discount_percent=7.50", "7.50"),
        ("registered_on=2016-03-08", "2016-03-08"),
        ("days=5", 5),
        ("place=none", "none"),
        ("place=12", "12"),
    ],
)
def test_lists_booleans_nothing_decimals_and_accepted_quantities_are_read_as_their_fields_want_them(
    given: str, meant: object
) -> None:
    (read,) = read_fields([given], Everything, SHANGHAI, {1: 1, 2: 3}).values()
    assert (read, type(read)) == (meant, type(meant))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("photos=", "photos: a list of at least 1 is wanted"),
        ("signs=young_account,tall", "signs.1: 'young_account' or 'material_talk' is wanted"),
        ("opened=none", "opened: true or false is wanted"),
        ("opened=maybe", "opened: true or false is wanted"),
        ("days=4", "days: 3 or 5 is wanted"),
        ("lines=[1]", "lines.0: a JSON object is wanted"),
    ],
)
def test_what_fits_nothing_is_left_to_the_message_to_refuse(given: str, said: str) -> None:
    read = read_fields([given], Everything, SHANGHAI, {})
    with pytest.raises(ValidationError) as refused:
        Everything.model_validate({"by": "aftersale.1", **read})
    assert explain(refused.value) == said


BULK = {"order_id": ORDER, "by": "bulk.1"}
PARCEL = {**BULK, "waybill": "YT15666876131", "courier": "yuantong", "cause": "asked"}


@pytest.mark.parametrize(
    ("message", "others", "given", "said"),
    [
        (BulkStart, BULK, "discount_percent=101", "discount_percent must not be above 100 percent"),
        (BulkStart, BULK, "discount_percent=7.555", "discount_percent must have at most two decimals"),
        (ParcelStart, PARCEL, "waybill=77", "waybill: a waybill of 6 to 32 letters, digits or hyphens is wanted"),
        (GiveReason, {"by": "bulk.1"}, "reason=", "reason: text of at least 1 character is wanted"),
        (GiveReason, {"by": "bulk.1"}, "reason=" + "[" * 100_000, "reason: text of at most 500 characters is wanted"),
        (RefundStart, BULK, "platform_deadline=77", "platform_deadline must be an ISO 8601 time with a zone"),
        (PaidByHand, {"by": "bulk.1", "payment_reference": "2"}, "amount_fen=-1", "amount_fen: 0 or more is wanted"),
    ],
)
def test_what_is_wrong_with_a_text_is_said_of_the_text_also_where_it_reads_as_json(
    message: type[BaseModel], others: dict[str, str], given: str, said: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        message.model_validate({**others, **read_fields([given], message, SHANGHAI, {})})
    assert explain(refused.value) == said


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["reason"], "field=value"),
        (["colour=red"], "^colour is a field that does not belong here; reason would.$"),
        (["reason=a", "reason=b"], "names reason twice"),
    ],
)
def test_a_further_field_that_cannot_be_is_refused(given: list[str], reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        read_fields(given, GiveReason, SHANGHAI, {})


def test_a_further_field_of_a_message_that_has_none_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^lines is a field that does not belong here; none would\.$"):
        read_fields(["lines=1"], Message, SHANGHAI, {})
