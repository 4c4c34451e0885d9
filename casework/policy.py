"""The policy: every figure of the shop, validated, with a version. Pure; only loading reads files.

The figures' defaults are in `policy.toml` beside this module and nowhere else; here is what they may be.
A section stands in workflow history for as long as its cases live: a key that is added to one later needs a
default here, and one that is dropped has to stay, so that what was stored before can still be read.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from itertools import pairwise
from keyword import iskeyword
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictInt,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from casework.files import read_at_most
from casework.rules.parcels import Region, delivery_cycle
from casework.sentences import shortened

SHIPPED = Path(__file__).with_name("policy.toml")
"""The file that holds every key's default."""
UNITS = {
    "days": timedelta(days=1),
    "hours": timedelta(hours=1),
    "minutes": timedelta(minutes=1),
    "seconds": timedelta(seconds=1),
}
"""The units in which a duration may be given, as the ending of its key."""
LONGEST = timedelta(days=400)
SHORTEST_OPENING = timedelta(minutes=15)
"""Open time is counted day by day: a shop that hardly opens would make a deadline of hours lie years away."""
MOST_FEN = 10**12
MOST_BYTES = 1_000_000
"""Of a policy's file."""


class PolicyError(Exception):
    """A policy file that is refused: one plain sentence that names file, key, value and what is allowed."""


class Clock(StrEnum):
    """Which hours a duration counts: the shop's open hours, or every hour."""

    OPEN = "open"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Figure:
    """How a figure is given in the file: its unit, what is allowed, and as which kinds of TOML value.

    A figure with a clock is a duration, or a list of them: its key ends in one of `UNITS`, its field does not.
    """

    unit: str
    allowed: str
    given_as: tuple[type, ...]
    clock: Clock | None = None


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is not a zone") from None
    return name


def _local_time(value: Any) -> time:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{2}:[0-9]{2}", value):
        value = time.fromisoformat(value)
    if not isinstance(value, time) or value.tzinfo is not None or value.second or value.microsecond:
        raise ValueError("is not a local time")
    return value


def _hours_and_minutes(value: time) -> str:
    return value.strftime("%H:%M")


def _ascending(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if any(later <= earlier for earlier, later in pairwise(values)):
        raise ValueError("is not ascending")
    return values


def _each_once(words: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(words)) != len(words):
        raise ValueError("names something twice")
    return words


_WHOLE = (int,)
_UP_TO_LONGEST = f"at most {LONGEST.days} days"

Version = Annotated[str, StringConstraints(strict=True, pattern=r"^\w[\w.+-]{0,63}$")]
Zone = Annotated[
    str,
    AfterValidator(_known_zone),
    Figure("zone", "a zone of the IANA database, such as Asia/Shanghai", (str,)),
]
LocalTime = Annotated[
    time,
    BeforeValidator(_local_time),
    PlainSerializer(_hours_and_minutes, when_used="json"),
    Figure("local time", "a time from 00:00 to 23:59, as HH:MM", (str, time)),
]
Province = Annotated[str, Field(min_length=1, max_length=50), Figure("text", "a text of 1 to 50 characters", (str,))]
FlagProfile = Annotated[Literal["default", "handed_over"], Figure("profile", '"default" or "handed_over"', (str,))]
Word = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=50)]
Words = Annotated[
    tuple[Word, ...],
    Field(max_length=500),
    AfterValidator(_each_once),
    Figure("list", "a list of texts of 1 to 50 characters, each once", (list,)),
]
Fen = Annotated[
    StrictInt, Field(ge=0, le=MOST_FEN), Figure("fen", f"a whole number of fen from 0 to {MOST_FEN}", _WHOLE)
]
Count = Annotated[StrictInt, Field(ge=0, le=100), Figure("count", "a whole number from 0 to 100", _WHOLE)]
Pieces = Annotated[StrictInt, Field(ge=1, le=1_000_000), Figure("pieces", "a whole number from 1 to 1000000", _WHOLE)]
Parcels = Annotated[StrictInt, Field(ge=1, le=10_000), Figure("parcels", "a whole number from 1 to 10000", _WHOLE)]
CalendarDays = Annotated[
    StrictInt,
    Field(ge=1, le=LONGEST.days),
    Figure("days", f"a whole number from 1 to {LONGEST.days}", _WHOLE),
]
ExtensionDays = Annotated[
    tuple[Literal[3, 5, 7, 10], ...],
    Field(min_length=1),
    AfterValidator(_ascending),
    Figure("days", "a list of some of 3, 5, 7 and 10, ascending", (list,)),
]
"""Those that the contract's `extend` may ask for."""
Share = Annotated[StrictInt, Field(ge=1, le=99), Figure("percent", "a whole number from 1 to 99", _WHOLE)]
Percent = Annotated[
    Decimal,
    Field(ge=0, le=100, decimal_places=2),
    Figure("percent", "a number from 0 to 100 with at most two decimals", (int, Decimal)),
]
OpenTime = Annotated[
    timedelta,
    Field(gt=timedelta(0), le=LONGEST),
    Figure("duration", f"a whole number above 0, {_UP_TO_LONGEST}", _WHOLE, Clock.OPEN),
]
"""A duration in the shop's open hours."""
Time = Annotated[
    timedelta,
    Field(gt=timedelta(0), le=LONGEST),
    Figure("duration", f"a whole number above 0, {_UP_TO_LONGEST}", _WHOLE, Clock.ALWAYS),
]
"""A duration that counts every hour."""
Margin = Annotated[
    timedelta,
    Field(ge=timedelta(0), le=LONGEST),
    Figure("duration", f"a whole number, 0 or more, {_UP_TO_LONGEST}", _WHOLE, Clock.ALWAYS),
]
"""A duration that counts every hour and may be none."""
ReminderTimes = Annotated[
    tuple[Annotated[timedelta, Field(gt=timedelta(0), le=LONGEST)], ...],
    Field(max_length=20),
    AfterValidator(_ascending),
    Figure(
        "duration",
        f"a list of at most 20 ascending whole numbers above 0, {_UP_TO_LONGEST}",
        (list,),
        Clock.ALWAYS,
    ),
]
"""When, counted from the beginning of a wait, its reminders are sent."""


class _ConflictError(ValueError):
    """Two figures of one section that do not fit: `lower` must be at most (or, if strict, below) `upper`."""

    def __init__(self, lower: str, upper: str, *, strict: bool) -> None:
        super().__init__(f"{lower} must be {'below' if strict else 'at most'} {upper}")
        self.lower, self.upper, self.strict = lower, upper, strict


class Section(BaseModel):
    """A section of the policy. Durations are `timedelta`, money whole fen, lists tuples."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def _at_most(self, lower: str, upper: str) -> None:
        if getattr(self, lower) > getattr(self, upper):
            raise _ConflictError(lower, upper, strict=False)

    def _below(self, lower: str, upper: str) -> None:
        value: timedelta | tuple[timedelta, ...] = getattr(self, lower)
        highest = max(value, default=timedelta(0)) if isinstance(value, tuple) else value
        if highest >= getattr(self, upper):
            raise _ConflictError(lower, upper, strict=True)


class ShopPolicy(Section):
    """What holds for all flows. Opening times are local times of `timezone`; the same twice: always open."""

    timezone: Zone
    open_from: LocalTime
    open_until: LocalTime
    province: Province
    flag_profile: FlagProfile
    platform_margin: Margin
    remind_at_percent: Share
    alarm_every: Time

    @model_validator(mode="after")
    def _opens_long_enough(self) -> Self:
        any_day = date(2000, 1, 1)
        opens = datetime.combine(any_day, self.open_from)
        closes = datetime.combine(any_day, self.open_until)
        if timedelta(0) < (closes - opens) % timedelta(days=1) < SHORTEST_OPENING:
            until = _hours_and_minutes(self.open_until)
            since = _hours_and_minutes(self.open_from)
            raise ValueError(
                f"open_until is {until}; allowed is {since}, which is open_from (never closed), "
                "or a time at least 15 minutes after it"
            )
        return self


class RefundBeforeShippingPolicy(Section):
    """Flow 1, refund before shipping."""

    agent_limit_fen: Fen
    supervisor_limit_fen: Fen
    platform_window: Time
    max_send_backs: Count
    warehouse: OpenTime
    reason: OpenTime
    persuasion: OpenTime
    supervisor: OpenTime
    finance: OpenTime
    parcel_back: Time

    @model_validator(mode="after")
    def _limits_rise(self) -> Self:
        self._at_most("agent_limit_fen", "supervisor_limit_fen")
        return self


class ReturnAfterShippingPolicy(Section):
    """Flow 2, return after shipping."""

    no_reason: Time
    fault: Time
    automatic_limit_fen: Fen
    supervisor_limit_fen: Fen
    clerk_limit_fen: Fen
    return_postage_cap_fen: Fen
    evidence: Time
    supplier: OpenTime
    supervisor: OpenTime
    manager: OpenTime
    finance: OpenTime
    explaining: Time
    ship_back: Time
    ship_back_reminder: ReminderTimes
    goods_back: Time
    tracing: Time
    inspection: Time
    inspection_late: Time
    sending_back: OpenTime
    confirmation: Time

    @model_validator(mode="after")
    def _figures_fit(self) -> Self:
        self._at_most("automatic_limit_fen", "supervisor_limit_fen")
        self._below("ship_back_reminder", "ship_back")
        return self


class GiftApprovalPolicy(Section):
    """Flow 3, gift approval. The budget is that of a calendar month."""

    gift_order_min_fen: Fen
    gift_cost_max_percent: Percent
    free_shipping_min_fen: Fen
    supervisor_limit_fen: Fen
    monthly_budget_fen: Fen
    negotiation: Time
    supervisor: OpenTime
    finance: OpenTime
    audit: OpenTime
    telling: Time


class BulkOrderPolicy(Section):
    """Flow 4, bulk order. `young_account_days` are calendar days; `extension_days` are what a buyer may be given."""

    min_pieces: Pieces
    min_total_fen: Fen
    young_account_days: CalendarDays
    risk_words: Words
    supervisor_discount_percent: Percent
    general_manager_discount_percent: Percent
    dossier: OpenTime
    legal: OpenTime
    pricing: OpenTime
    general_manager: OpenTime
    offer: Time
    audit: OpenTime
    confirmation: Time
    chasing: Time
    max_extensions: Count
    extension_days: ExtensionDays
    ship_by: Time
    ship_alarm: Time

    @model_validator(mode="after")
    def _figures_fit(self) -> Self:
        self._at_most("supervisor_discount_percent", "general_manager_discount_percent")
        self._below("ship_alarm", "ship_by")
        return self


class ProblemParcelPolicy(Section):
    """Flow 5, problem parcel."""

    agent_limit_fen: Fen
    supervisor_limit_fen: Fen
    poll: Time
    poll_min: Time
    cycle_same_province: Time
    cycle_other: Time
    cycle_remote: Time
    cycle_ems_extra: Margin
    remote_provinces: Words
    big_parcel_fen: Fen
    overdue_grace: Margin
    no_scan: Time
    investigation: Time
    presume_lost: Time
    choice: Time
    forwarding: Time
    pickup: Time
    remedy: Time
    supervisor: OpenTime
    reshipping: OpenTime
    receipt: Time
    receipt_reminder: ReminderTimes
    proof: Time
    return_: Time

    def delivery_cycle(self, region: Region, courier: str) -> timedelta:
        """How long delivery usually takes, from the shipping on."""
        return delivery_cycle(
            region,
            courier,
            same=self.cycle_same_province,
            other=self.cycle_other,
            remote=self.cycle_remote,
            ems_extra=self.cycle_ems_extra,
        )

    @model_validator(mode="after")
    def _figures_fit(self) -> Self:
        self._at_most("agent_limit_fen", "supervisor_limit_fen")
        self._at_most("poll_min", "poll")
        self._below("receipt_reminder", "receipt")
        return self


class PatrolPolicy(Section):
    """The patrol that looks for problem parcels."""

    interval: Time
    batch_size: Parcels
    signed_unconfirmed: Time


class Policy(Section):
    """The whole policy. `version` tells policies apart."""

    version: Version
    shop: ShopPolicy
    refund_before_shipping: RefundBeforeShippingPolicy
    return_after_shipping: ReturnAfterShippingPolicy
    gift_approval: GiftApprovalPolicy
    bulk_order: BulkOrderPolicy
    problem_parcel: ProblemParcelPolicy
    patrol: PatrolPolicy

    def section(self, name: str) -> Section:
        """The section of a flow, by the flow's name or the section's own.

        Raises:
            LookupError: where there is none.

        """
        field = name.replace("-", "_")
        if field not in _FIGURES:
            raise LookupError(f"the policy has no section {name}")
        return getattr(self, field)

    def for_flow(self, flow_name: str) -> dict[str, Any]:
        """What a case of the flow carries, as plain JSON: `version`, `shop`, and the flow's section as `flow`.

        `CaseFigures` of `casework.case` and what each flow makes of it read it back.

        Raises:
            LookupError: where the policy has no section for the flow.

        """
        return {
            "version": self.version,
            "shop": self.shop.model_dump(mode="json"),
            "flow": self.section(flow_name).model_dump(mode="json"),
        }


def _figures(section: type[BaseModel]) -> dict[str, Figure]:
    return {
        name: next(one for one in field.metadata if isinstance(one, Figure))
        for name, field in section.model_fields.items()
    }


_FIGURES: dict[str, dict[str, Figure]] = {
    name: _figures(field.annotation)
    for name, field in Policy.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}
"""Every section's figures by the name of their field."""


def clock_of(key: str) -> Clock:
    """Which hours a duration counts; `key` is `section.name`, with or without a unit at its end.

    Source: the column *clock* of the policy's specification.

    Raises:
        LookupError: where the policy has no such duration.

    """
    section, _, name = key.partition(".")
    figures = _FIGURES.get(section, {})
    meant = (name, None) if name in figures else _field_of(name, figures)
    clock = figures[meant[0]].clock if meant is not None else None
    if clock is None:
        raise LookupError(f"the policy has no duration {key}")
    return clock


# --- reading files ---


@dataclass(frozen=True, slots=True)
class _Written:
    """A figure as a file gives it: its whole key, the value as written, and as the model takes it."""

    key: str
    raw: Any
    value: Any

    def __str__(self) -> str:
        return f"{self.key} is {_shown(self.raw)}"


@dataclass(frozen=True, slots=True)
class _Document:
    """What a file says: its figures by section and field, and what is wrong with others."""

    version: str | None
    digest: str
    figures: dict[tuple[str, str], _Written]
    problems: list[str]


def load_policy(path: Path | None) -> Policy:
    """The shipped policy, or what the given file makes of it; the file holds only the keys that it changes.

    A file that names no version of its own (none, or the shipped one's) gets one made of the shipped version
    and its content, so that the version in force always says which figures are meant.

    Raises:
        PolicyError: one plain sentence; where there are several problems the first, and how many more.

    """
    shipped = _read(SHIPPED)
    given = shipped if path is None else _read(path)
    version = given.version
    if path is not None and version in (None, shipped.version):
        version = f"{shipped.version}+{given.digest[:8]}"
    figures = shipped.figures | given.figures
    sections: dict[str, Any] = {name: {} for name in _FIGURES}
    for (section, field), written in figures.items():
        sections[section][field] = written.value
    policy, problems = None, list(given.problems)
    try:
        policy = Policy.model_validate({"version": version, **sections})
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems += _each(_explain(one, figures, given.figures, version) for one in details)
    if policy is None or problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise PolicyError(f"{path or SHIPPED.name}: {problems[0]}{more}.")
    return policy


def _read(path: Path) -> _Document:
    try:
        content = read_at_most(path, MOST_BYTES)
    except OSError as error:
        raise PolicyError(f"{path}: cannot be read: {error.strerror or error}.") from None
    if content is None:
        raise PolicyError(f"{path}: is far larger than any policy.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PolicyError(f"{path}: line {line} is not UTF-8 text, which a policy file must be.") from None
    try:
        # decimals stay what was written: 7.5 percent is no binary fraction
        document = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        # the parser names the line, but for the last one
        reason = str(error).replace("at end of document", f"at the end, line {len(text.splitlines())}")
        raise PolicyError(f"{path}: is not valid TOML: {reason}.") from None
    except (ValueError, RecursionError):
        raise PolicyError(f"{path}: holds a number of thousands of digits, or is nested too deep.") from None
    return _take(document, hashlib.sha256(content).hexdigest())


def _take(document: Mapping[str, Any], digest: str) -> _Document:
    taken = _Document(document.get("version"), digest, {}, [])
    for section, content in document.items():
        if section == "version":
            continue
        if section not in _FIGURES:
            taken.problems.append(_unknown("", section, content, ["version", *_FIGURES]))
        elif not isinstance(content, dict):
            taken.problems.append(f"{section} is {_shown(content)}; allowed is a section, [{section}]")
        else:
            for key, raw in cast("dict[str, Any]", content).items():
                _take_figure(taken, section, key, raw)
    return taken


def _take_figure(taken: _Document, section: str, key: str, raw: Any) -> None:
    figures, whole_key = _FIGURES[section], f"{section}.{key}"
    meant = _field_of(key, figures)
    if meant is None:
        taken.problems.append(_unknown(section, key, raw, _keys(section)))
        return
    field, unit = meant
    figure, before = figures[field], taken.figures.get((section, field))
    values: list[Any] = cast("list[Any]", raw) if isinstance(raw, list) else [raw]
    if before is not None:
        taken.problems.append(f"{before} and {whole_key} is {_shown(raw)}; allowed is only one of the two")
    # the exact type: to Python a bool is an int, to TOML it is not
    elif type(cast("object", raw)) not in figure.given_as or (unit and any(type(one) is not int for one in values)):
        taken.problems.append(_refused(whole_key, raw, figure.allowed))
    elif unit is None:
        taken.figures[section, field] = _Written(whole_key, raw, raw)
    else:
        durations = [_duration(number, unit) for number in values]
        value = durations if isinstance(raw, list) else durations[0]
        taken.figures[section, field] = _Written(whole_key, raw, value)


def _field_of(key: str, figures: Mapping[str, Figure]) -> tuple[str, str | None] | None:
    """The field that a key of the file means, and its unit if it is a duration's; None where it means none."""
    if key in figures and figures[key].clock is None:
        return key, None
    name, _, unit = key.rpartition("_")
    field = f"{name}_" if iskeyword(name) else name
    is_duration = unit in UNITS and field in figures and figures[field].clock is not None
    return (field, unit) if is_duration else None


def _duration(number: int, unit: str) -> timedelta:
    try:
        return number * UNITS[unit]
    except OverflowError:
        # out of every bound, which the model then says
        return timedelta.max if number > 0 else timedelta.min


def _explain(
    error: ErrorDetails,
    figures: Mapping[tuple[str, str], _Written],
    given: Mapping[tuple[str, str], _Written],
    version: str | None,
) -> str:
    """What the model refused, in the words of the file."""
    place = error["loc"]
    section = str(place[0])
    if section == "version":
        return _refused("version", version, "a text of 1 to 64 letters, digits, dots, pluses or hyphens")
    if len(place) > 1:
        field = str(place[1])
        written, figure = figures.get((section, field)), _FIGURES[section][field]
        # nothing is missing but from the shipped file
        return _refused(written.key, written.raw, figure.allowed) if written else f"{section}.{field} is missing"
    conflict = error.get("ctx", {}).get("error")
    if not isinstance(conflict, _ConflictError):
        return f"{section}.{conflict}"
    lower, upper = figures[section, conflict.lower], figures[section, conflict.upper]
    # the one that the file itself gives is the one to name first
    if (section, conflict.lower) in given or (section, conflict.upper) not in given:
        return f"{lower}; allowed is {'below' if conflict.strict else 'at most'} {_which_is(upper)}"
    return f"{upper}; allowed is {'above' if conflict.strict else 'at least'} {_which_is(lower)}"


def _which_is(written: _Written) -> str:
    return f"{written.key}, which is {_shown(written.raw)}"


def _refused(key: str, raw: Any, allowed: str) -> str:
    return f"{key} is {_shown(raw)}; allowed is {allowed}"


def _unknown(section: str, key: str, raw: Any, known: list[str]) -> str:
    named = shortened(key)
    where, whole_key = (f"[{section}]", f"{section}.{named}") if section else ("the file", named)
    shown = "a section" if isinstance(raw, dict) else _shown(cast("object", raw))
    near = get_close_matches(key, known, n=1)
    allowed = f"perhaps {near[0]} is meant" if near else f"allowed in {where} are {', '.join(known)}"
    return f"{whole_key} is {shown}, but the policy has no such key; {allowed}"


def _keys(section: str) -> list[str]:
    return [f"{name.removesuffix('_')}_hours" if figure.clock else name for name, figure in _FIGURES[section].items()]


def _each(sentences: Iterable[str]) -> list[str]:
    """Each sentence once: every wrong element of a list is a problem to the model, but one to the reader."""
    return list(dict.fromkeys(sentences))


def _shown(raw: Any) -> str:
    try:
        text = json.dumps(raw, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return "a number of thousands of digits, or nested too deep"
    return text if len(text) <= 80 else f"{text[:80]}…"


# --- showing it ---

FigureValue = int | str | tuple[int, ...] | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """One figure as `casework policy` shows it: a key that could stand in a file, in force and as shipped.

    `value` and `default` are in `unit`, the shipped one unless a figure is not whole in it; `clock` is None
    for what is no duration.
    """

    key: str
    value: FigureValue
    unit: str
    clock: Clock | None
    default: FigureValue
    changed: bool


def describe(policy: Policy) -> list[PolicyRow]:
    """Every figure of the policy beside the shipped one, in the order of the shipped file, which it reads."""
    shipped = load_policy(None)
    rows = [PolicyRow("version", policy.version, "text", None, shipped.version, policy.version != shipped.version)]
    for (section, field), written in _read(SHIPPED).figures.items():
        figure = _FIGURES[section][field]
        value = getattr(policy.section(section), field)
        default = getattr(shipped.section(section), field)
        key, unit = written.key, figure.unit
        if figure.clock is not None:
            name, _, shipped_unit = key.rpartition("_")
            unit = next(one for one in (shipped_unit, *UNITS) if _whole_in(one, value) and _whole_in(one, default))
            key = f"{name}_{unit}"
        rows.append(PolicyRow(key, _plain(value, unit), unit, figure.clock, _plain(default, unit), value != default))
    return rows


def _whole_in(unit: str, value: timedelta | tuple[timedelta, ...]) -> bool:
    durations = value if isinstance(value, tuple) else (value,)
    return unit == "seconds" or not any(one % UNITS[unit] for one in durations)


def _plain(value: Any, unit: str) -> FigureValue:
    if isinstance(value, timedelta):
        return value // UNITS[unit]
    if isinstance(value, time):
        return _hours_and_minutes(value)
    if isinstance(value, tuple):
        return cast("FigureValue", tuple(_plain(one, unit) for one in cast("tuple[Any, ...]", value)))
    return str(value) if isinstance(value, Decimal) else cast("FigureValue", value)
