"""What was read of many orders at once, so that nobody asks for it again order by order.

Only for sessions that only read: they see the shop as it was when they began (`Database.reading`), and so does what
stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, TypeVar

from sqlalchemy.orm import Session

_AHEAD: Final = "casework_ahead"
T = TypeVar("T")


def keep_ahead(session: Session, kind: str, found: Mapping[Any, Any]) -> None:
    """Remember what was read of a kind, by what it will be asked by."""
    session.info.setdefault(_AHEAD, {}).setdefault(kind, {}).update(found)


def read_ahead(session: Session, kind: str, key: Hashable, read: Callable[[], T]) -> T:
    """What was read ahead; else it is read now, and remembered for the next who asks, if anything of the kind is."""
    known: dict[Hashable, T] | None = session.info.get(_AHEAD, {}).get(kind)
    if known is None:
        return read()
    if key not in known:
        known[key] = read()
    return known[key]
