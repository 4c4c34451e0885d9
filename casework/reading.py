"""Reads what people type, paste or put into a file: ids as spreadsheets leave them, times, lines, `field=value`. Pure.

What cannot be understood is refused with `BadInput`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Final, get_args, get_origin
from zoneinfo import ZoneInfo

from pydantic import BaseModel, TypeAdapter, ValidationError

from casework.errors import BadInput
from casework.messages import COMMON_FIELDS
from casework.sentences import quoted, shortened

_WRAPPED: Final = re.compile(r'^="?([^"]*)"?$')
_ROUNDED: Final = re.compile(r"^[0-9]+([.,][0-9]+)?[eE][+]?[0-9]+$")
_NO_TEXT: Final = re.compile("[\ud800-\udfff]")
"""How Python hands over the bytes of a command line that are no text."""
_LINE: Final = re.compile(r"^([0-9]{1,6})(?:x([0-9]{1,7}))?$")
_WORDS: Final[Mapping[str, bool | None]] = {
    "yes": True,
    "true": True,
    "是": True,
    "no": False,
    "false": False,
    "否": False,
    "none": None,
    "无": None,
}
_SPREADSHEET_TIME: Final = re.compile(
    r"^(\d{4})[/-](\d{1,2})[/-](\d{1,2})(?:[ T](\d{1,2}):(\d{2})(?::(\d{2}))?)?$", re.ASCII
)
"""As spreadsheets write times: 2026/11/5 8:00."""
_QUANTITY: Final = "quantity"
_SPREADSHEET_DIGITS: Final = 15
"""A spreadsheet keeps so many digits of a number and makes zeros of the rest."""


def read_id(text: str) -> str:
    """An order id, waybill or case id as it was meant: full-width digits, `="…"` and a leading `'` are understood.

    Refuses an id that a spreadsheet has rounded.
    """
    cleaned = unicodedata.normalize("NFKC", text).strip()
    wrapped = _WRAPPED.match(cleaned)
    cleaned = (wrapped.group(1) if wrapped else cleaned).strip().removeprefix("'").removeprefix("No:").strip()
    if _ROUNDED.match(cleaned):
        raise BadInput(
            f"{shortened(cleaned)} was rounded by a spreadsheet: its last digits are lost; "
            "copy the id from the order itself."
        )
    if not cleaned:
        raise BadInput("An id is wanted, and the text is empty.")
    if _NO_TEXT.search(cleaned):
        raise BadInput("An id is wanted, and the text is not UTF-8.")
    return cleaned


def looks_rounded(identifier: str) -> bool:
    """Whether an id that nobody knows ends in the zeros that a spreadsheet makes of what it cannot keep."""
    end = identifier[_SPREADSHEET_DIGITS:]
    return identifier.isdigit() and bool(end) and not end.strip("0")


def if_rounded(sentence: str, identifier: str) -> str:
    """The sentence about an id that nobody knows; where it looks as if a spreadsheet had rounded it, that is said."""
    rounded = "; its last digits are zeros, as a spreadsheet makes them: copy the id from the order itself."
    return sentence + (rounded if looks_rounded(identifier) else ".")


def read_time(name: str, text: str, zone: ZoneInfo) -> datetime:
    """A time as people give it in commands, for the field or option of that name; one without a zone is the shop's."""
    try:
        return _time(text, zone)
    except ValueError:
        raise BadInput(
            f"{name}: {quoted(text)} is not a time; write it as 2026-11-20 or '2026-11-20 18:00', "
            "with a zone if not the shop's."
        ) from None


def _time(text: str, zone: ZoneInfo) -> datetime:
    cleaned = unicodedata.normalize("NFKC", text).strip()
    written = _SPREADSHEET_TIME.match(cleaned)
    if written:
        year, month, day, hour, minute, second = (int(part or 0) for part in written.groups())
        cleaned = f"{year:04d}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:{second:02d}"
    when = datetime.fromisoformat(cleaned)
    return when if when.tzinfo else when.replace(tzinfo=zone)


def read_lines(text: str, whole: Mapping[int, int], quantity: str = _QUANTITY) -> list[dict[str, int]]:
    """Lines as `1,3x2`: line 1 whole, and two pieces of line 3.

    `whole` says how many pieces a line has, for those named without a quantity; `quantity` is how the field names it.
    """
    lines: list[dict[str, int]] = []
    for part in re.split(r"[,，、\s]+", unicodedata.normalize("NFKC", text.replace("×", "x")).strip()):
        match = _LINE.match(part)
        if match is None:
            raise BadInput(
                f"lines: {quoted(part)} is not a line; write them as 1,3x2 (line 1 whole, two pieces of line 3)."
            )
        number = int(match.group(1))
        if match.group(2) is None and number not in whole:
            known = ", ".join(str(one) for one in sorted(whole)) or "none"
            raise BadInput(f"lines: the order has no line {number}; its lines are {known}.")
        lines.append({"line": number, quantity: int(match.group(2)) if match.group(2) else whole[number]})
    return lines


def read_fields(
    given: Sequence[str], message: type[BaseModel], zone: ZoneInfo, whole: Mapping[int, int]
) -> dict[str, Any]:
    """What `--set field=value …` says, each value read as its field wants it.

    A text stays a text where the field takes one; otherwise it is read as JSON. Times without a zone are the shop's,
    lines may be written as `1,3x2`, lists with commas, and true, false and nothing as yes, no and none.
    """
    fields: dict[str, Any] = {}
    for one in given:
        name, equals, text = one.partition("=")
        name = name.strip()
        if not equals or not name:
            raise BadInput(f"--set wants field=value, not {quoted(one)}.")
        if name in fields:
            raise BadInput(f"--set names {name} twice.")
        fields[name] = read_field(name, text, message, zone, whole)
    return fields


def read_field(name: str, text: str, message: type[BaseModel], zone: ZoneInfo, whole: Mapping[int, int]) -> Any:
    """What a text means for a field of the message: see `read_fields`. What fits nothing is the message's to refuse.

    A field that takes text is then given the text as it was written, so that the message says what is wrong with that;
    any other field the list or the JSON that the text was meant to be, if it was any.
    """
    field = message.model_fields.get(name)
    if field is None:
        hidden = {*COMMON_FIELDS, "from_case", *getattr(message, "ONLY_FROM_CASE", ())}
        known = [one for one in message.model_fields if one not in hidden]
        raise BadInput(f"{name} is a field that does not belong here; {', '.join(known) or 'none'} would.")
    if name == "lines" and not text.lstrip().startswith("["):
        return read_lines(text, whole, _quantity_of(field.annotation))
    wanted = _by_itself(message, name)
    candidates = list(_readings(text, zone, as_list=_takes_list(field.annotation)))
    for candidate in candidates:
        try:
            wanted.validate_python(candidate)
        except ValidationError:
            continue
        return candidate
    if _takes_text(wanted):
        return text
    return next((one for one in candidates if not isinstance(one, str)), text)


@cache
def _by_itself(message: type[BaseModel], name: str) -> TypeAdapter[Any]:
    """A field with all that is asked of it; its type is known only when this runs."""
    field = message.model_fields[name]
    return TypeAdapter[Any](Annotated[field.annotation, field])  # pyright: ignore[reportInvalidTypeForm, reportArgumentType, reportUnknownMemberType] - a type made as it runs


def _readings(text: str, zone: ZoneInfo, *, as_list: bool) -> Iterator[Any]:
    """All that a text may mean, the nearest first."""
    yield text
    with suppress(ValueError, RecursionError):
        yield json.loads(text)
    word = unicodedata.normalize("NFKC", text).strip()
    if as_list:
        yield [part for part in re.split(r"[,，、\s]+", word) if part]
    elif word.lower() in _WORDS:
        yield _WORDS[word.lower()]
    # if it is no time either, the field itself says what it wants
    with suppress(ValueError):
        yield _time(text, zone).isoformat()


def _takes_text(wanted: TypeAdapter[Any]) -> bool:
    """Whether a field's value is written as text in JSON: decimals and times are too."""
    schema = wanted.json_schema()
    return any(one.get("type") == "string" for one in schema.get("anyOf", [schema]))


def _takes_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(_takes_list(one) for one in get_args(annotation))


def _quantity_of(annotation: Any) -> str:
    """How the lines of a field name their quantity: a plain one, or what was accepted of it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return next((name for name in annotation.model_fields if name != "line"), _QUANTITY)
    return next((found for one in get_args(annotation) if (found := _quantity_of(one)) != _QUANTITY), _QUANTITY)
