"""What people may send to a case: one JSON object, its common fields, and the types of all others.

Pure: used by the tables, by the cases inside Temporal and by the client before anything is sent, so that all three
refuse the same things with the same sentence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from casework.money import LineQuantity
from casework.privacy import find_mobile_number

MOST_DESCRIBED = 1_000
"""Of what has more faults, pydantic is not asked to describe each: that takes longer than a workflow may think."""
YEARS, YEARS_OF_DAYS = range(2000, 2100), range(1990, 2100)
"""The years in which a time, and a day (an account's registration, say), can lie."""


def _without_mobile_number(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character, which is no text")
    if find_mobile_number(text):
        raise ValueError("holds a mobile number; cases hold no personal data")
    return text


def _no_bare_number(text: str) -> str:
    # a UUID may hold any run of digits; a number alone may be somebody's
    return _without_mobile_number(text) if text.replace("-", "").isdigit() else text


def _with_zone(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("must be an ISO 8601 time with a zone, as text")  # noqa: TRY004 - pydantic reports ValueError
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("must be an ISO 8601 time with a zone") from None
    if parsed.tzinfo is None:
        raise ValueError("must name its zone, as in 2026-11-20T18:00:00+08:00")
    if parsed.year not in YEARS:
        raise ValueError("must be a time of this century")
    if (parsed.utcoffset() or timedelta()) % timedelta(minutes=1):
        return parsed.astimezone(UTC)  # the zones of JSON have whole minutes
    return parsed


def _day(value: Any) -> Any:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        raise ValueError("must be a day written as text, such as 2026-11-20")
    try:
        parsed = date.fromisoformat(value)
    except ValueError:
        raise ValueError("is a day that no calendar has") from None
    if parsed.year not in YEARS_OF_DAYS:
        raise ValueError("must be a day from 1990 on")
    return parsed


REFERENCES = (
    *("photos", "photo", "appraisal", "documents", "chat_id", "references"),
    *("waybill", "platform_case", "courier_ticket", "payment_reference"),
)
"""The fields that name evidence, or something that stands elsewhere."""


def references_of(message: BaseModel | None) -> dict[str, list[str]]:
    """What a message, or a start, refers to, by the name of its field."""
    found: dict[str, list[str]] = {}
    for name in REFERENCES:
        value: Any = getattr(message, name, None)
        if value:
            found[name] = [str(one) for one in (cast("list[Any]", value) if isinstance(value, list) else [value])]
    return found


def given_in(message: BaseModel | None) -> dict[str, Any]:
    """What else a message, or a start, says, as JSON by the name of its field.

    Left out is who says it and why, what it refers to (`references_of`), and what was left as it is by default.
    """
    if message is None:
        return {}
    left_out = {*COMMON_FIELDS, *REFERENCES, "order_id", "from_case"}
    return message.model_dump(mode="json", exclude=left_out, exclude_defaults=True)


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

Text = Annotated[
    str,
    StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=500),
    AfterValidator(_without_mobile_number),
]
"""Free text of 1 to 500 characters without a mobile number (the order's own name and address are refused later, by the
shop, which alone knows them)."""

Reference = Annotated[
    str,
    StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_without_mobile_number),
]
"""A reference (to a photo, a document, a conversation) of 1 to 200 characters."""

_Number = Annotated[
    str,
    StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=64),
    AfterValidator(_without_mobile_number),
]
"""Somebody's own number of a thing, of 1 to 64 characters."""
PaymentReference = _Number
Sku = _Number
"""A gift of the catalogue, by its own number."""
PlatformCase = _Number
"""The platform's own number of a dispute."""
Ticket = _Number
"""A courier's own number of an inquiry."""
ORDER_PATTERN, WAYBILL_PATTERN = r"[0-9]{6,32}", r"[A-Za-z0-9-]{6,32}"
"""What an order's id and a waybill are made of, wherever one is read."""
Waybill = Annotated[
    str, StringConstraints(strict=True, pattern=rf"^{WAYBILL_PATTERN}$"), AfterValidator(_no_bare_number)
]
Courier = Annotated[
    str, StringConstraints(strict=True, pattern=r"^[a-z0-9_]{1,64}$"), AfterValidator(_without_mobile_number)
]
"""A courier by its Kuaidi100 code."""
StaffId = Annotated[
    str,
    StringConstraints(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
    AfterValidator(_without_mobile_number),
]
OrderId = Annotated[str, StringConstraints(strict=True, pattern=rf"^{ORDER_PATTERN}$"), AfterValidator(_no_bare_number)]
Fen = Annotated[StrictInt, Field(ge=0, le=10**12)]
"""An amount of money in whole fen (1/100 yuan)."""
Time = Annotated[datetime, BeforeValidator(_with_zone)]
"""An aware datetime; in JSON an ISO 8601 text that names its zone."""

Day = Annotated[date, BeforeValidator(_day)]
"""A calendar day; in JSON a text such as 2026-11-20."""


class AskedLine(LineQuantity):
    """A line of the order, counted from 1 in file order, and how many pieces of it."""

    # a message is from outside: bounded, and no text that looks like a number
    line: Annotated[StrictInt, Field(ge=1, le=100_000)]
    quantity: Annotated[StrictInt, Field(ge=1, le=1_000_000)]


def _each_line_once(lines: list[AskedLine]) -> list[AskedLine]:
    numbers = [one.line for one in lines]
    if len(numbers) != len(set(numbers)):
        raise ValueError("names a line twice")
    return lines


AskedLines = Annotated[list[AskedLine], Field(min_length=1, max_length=200), AfterValidator(_each_line_once)]
"""Lines of the order, each once, and how many pieces of each."""


MessageId = Annotated[
    str,
    StringConstraints(strict=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$"),
    AfterValidator(_no_bare_number),
]
"""The sender's own id of a message: a UUID, say."""


class Message(BaseModel):
    """One message to a case: who says it, why, and what makes a resend harmless.

    `by` is a staff id (or `system`, for news from the shop). `id` is chosen by the sender: a second message of the
    same id is the first one again. `version` is the number of accepted moves that the sender had seen.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: StaffId
    note: Text | None = None
    id: MessageId | None = None
    version: Annotated[StrictInt, Field(ge=0, le=1_000_000)] | None = None


class MessageWithReason(Message):
    """A message whose note is required, because it is the reason."""

    # frozen, so narrowing is safe; required, though the base has a default
    note: Text = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        description="text of 1 to 500 characters, the reason"
    )


_PLAIN = re.compile(r"^[A-Za-z0-9_]{1,40}$")


def _is_plain(name: str) -> bool:
    return bool(_PLAIN.match(name)) and not find_mobile_number(name)


COMMON_FIELDS = frozenset(Message.model_fields)


def fields_of(message_type: type[Message]) -> dict[str, str]:
    """The fields a trigger wants beyond the common ones: name → what it holds, and whether it must be there."""
    described: dict[str, str] = {}
    for name, field in message_type.model_fields.items():
        if name in COMMON_FIELDS and not (name == "note" and field.is_required()):
            continue
        what = field.description or "text"
        described[name] = f"{what}, required" if field.is_required() else f"{what}, optional"
    return described


_FORMS = {
    "by": "a staff id such as aftersale.1",
    "order_id": "an order's id of 6 to 32 digits",
    "waybill": "a waybill of 6 to 32 letters, digits or hyphens",
    "courier": "Kuaidi100's code of a courier, such as yuantong,",
    "id": "an id of 1 to 100 letters, digits, dots, colons, underscores or hyphens",
}
"""By field: what it looks like."""

_WANTED = {
    "string_type": "text",
    "string_too_short": "text of at least {min_length} character",
    "string_too_long": "text of at most {max_length} characters",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a JSON object",
    "model_type": "a JSON object",
    "model_attributes_type": "a JSON object",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "literal_error": "{expected}",
    "enum": "{expected}",
}
"""By what pydantic finds wrong: what is wanted, with pydantic's own limits."""


def unknown_in(given: Mapping[str, Any], message: BaseModel) -> str | None:
    """What nobody understands inside a list of a message, as a sentence that names the list; None: nothing.

    What nobody understands of the message itself its model refuses. The models of what is in its lists must not: open
    cases have accepted such messages, and accept them again in a replay.
    """
    for name, raw in given.items():
        understood = getattr(message, name, None)
        if not isinstance(raw, list) or not isinstance(understood, list):
            continue
        for item, read in zip(cast("list[Any]", raw), cast("list[Any]", understood), strict=False):
            if isinstance(item, dict) and isinstance(read, BaseModel):
                fields = type(read).model_fields
                if not cast("dict[str, Any]", item).keys() <= fields.keys():
                    return f"{name}: each has only {' and '.join(fields)}"
    return None


def explain(error: ValidationError) -> str:
    """The first thing that is wrong, as one plain sentence that begins with the field, if its name may be repeated.

    What a message as a whole refuses (a validator of the model) names its field itself.
    """
    if error.error_count() > MOST_DESCRIBED:
        return f"more than {MOST_DESCRIBED:,} things are wrong with it"
    first = error.errors(include_url=False, include_input=False)[0]
    # a stranger's field name may hold anything: only plain names are repeated
    where = ".".join(str(part) for part in first["loc"] if _is_plain(str(part))) or "the message"
    kind, text = first["type"], str(first["msg"])
    if kind == "string_pattern_mismatch":
        form = _FORMS.get(str(first["loc"][-1]) if first["loc"] else "", "text of another form")
        sentence = f"{where}: {form} is wanted"
    elif kind in _WANTED:
        sentence = f"{where}: {_WANTED[kind].format(**first.get('ctx', {}))} is wanted"
    elif kind == "missing":
        sentence = f"{where} is missing"
    elif kind == "extra_forbidden":
        field = "there is a field" if where == "the message" else f"{where} is a field"
        sentence = f"{field} that does not belong here"
    elif kind == "value_error":
        found = text.removeprefix("Value error, ")
        sentence = f"{where} {found}" if first["loc"] else found
    else:
        sentence = f"{where}: {text[0].lower()}{text[1:]}"
    more = error.error_count() - 1
    return sentence + (f" (and {more} more)" if more else "")


def json_object(arguments: tuple[Any, ...]) -> dict[str, Any]:
    """The one JSON object that a signal, an update or a start consists of.

    Raises:
        ValueError: with one plain sentence, where there are more or fewer arguments, or it is not a JSON object.

    """
    if len(arguments) != 1:
        raise ValueError(f"one JSON object is wanted, {len(arguments)} arguments came")
    value: object = arguments[0]
    if not isinstance(value, dict):
        raise ValueError("a JSON object is wanted")  # noqa: TRY004 - callers treat every refusal alike
    return cast("dict[str, Any]", value)


def texts_of(name: str, value: Any) -> list[tuple[str, str]]:
    """Every text in a model's or a JSON value's own values, with the field that it stands in."""
    if isinstance(value, str):
        return [(name, value)] if value else []
    parts: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        parts = [(name or str(key), part) for key, part in cast("dict[str, Any]", value).items()]
    elif isinstance(value, list | tuple):
        parts = [(name, part) for part in cast("list[Any]", value)]
    return [text for field, part in parts for text in texts_of(field, part)]


_STAFF_ID = TypeAdapter[str](StaffId)


def is_staff_id(text: str) -> bool:
    """Whether the text can be a staff id, so that it may be repeated on the record (a phone number may not)."""
    try:
        _STAFF_ID.validate_python(text)
    except ValidationError:
        return False
    return True
