"""Whether what a run said at its end is what the replayed case says now, field by field. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, cast

from casework.sentences import shortened

REWORDED: Final = "why"
"""Reasons are sentences for people, whose wording may be another one in another version: they are passed over. What a
refused line says of who tried what, and when, is not."""
NAMED_BY_PEOPLE: Final = frozenset({"references", "given", "answers"})
"""What is listed by names that are no fields of ours: there a name that is missing is a difference too."""
MOST_NAMED: Final = 3
"""So many differences are named; of more, their number."""


def differences(said: Mapping[str, Any], now: Mapping[str, Any], *, slack: timedelta) -> list[str]:
    """What a run said otherwise than the replayed case says `now`, a sentence each; both as JSON.

    A field that was not said, by an older Casework which had none, is passed over. Times count as the same that differ
    by no more than the `slack`.
    """
    found = list(_of_fields(said, now, "", slack))
    more = len(found) - MOST_NAMED
    return [*found[:MOST_NAMED], f"{more} more of what it said is otherwise now"] if more > 0 else found


def _of_fields(said: Mapping[str, Any], now: Mapping[str, Any], of: str, slack: timedelta) -> Iterator[str]:
    for name, value in said.items():
        if name == REWORDED:
            continue
        if name not in now:
            yield f"{of}{name} was {_in_words(value)}, and is not said now"
        else:
            yield from _of_values(value, now[name], f"{of}{name}", slack)


def _of_values(said: Any, now: Any, name: str, slack: timedelta) -> Iterator[str]:
    if isinstance(said, dict) and isinstance(now, dict):
        mine, others = cast("dict[str, Any]", said), cast("dict[str, Any]", now)
        yield from _of_fields(mine, others, f"{name}.", slack)
        if name.rsplit(" ", 1)[-1].rsplit(".", 1)[-1] in NAMED_BY_PEOPLE:
            yield from (f"{name}.{one} was not said, and is now" for one in others.keys() - mine.keys())
    elif isinstance(said, list) and isinstance(now, list):
        here, there = cast("list[Any]", said), cast("list[Any]", now)
        if len(here) != len(there):
            yield f"{name} had {len(here)} entries, and now has {len(there)}"
        yield from _of_lists(here, there, name, slack)
    elif said != now and not _same_time(said, now, slack):
        yield f"{name} was {_in_words(said)}, and is now {_in_words(now)}"


def _of_lists(said: Sequence[Any], now: Sequence[Any], name: str, slack: timedelta) -> Iterator[str]:
    for number, (here, there) in enumerate(zip(said, now, strict=False), start=1):
        yield from _of_values(here, there, f"{name} {number}", slack)


def _same_time(said: Any, now: Any, slack: timedelta) -> bool:
    if not isinstance(said, str) or not isinstance(now, str):
        return False
    try:
        return abs(datetime.fromisoformat(said) - datetime.fromisoformat(now)) <= slack
    except (ValueError, TypeError):
        return False


def _in_words(value: Any) -> str:
    return "nothing" if value is None else shortened(str(value))
