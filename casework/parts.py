"""A long sequence in parts: what one question to a database or a server may hold. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def parts(whole: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """A sequence in parts of at most so many."""
    for start in range(0, len(whole), size):
        yield whole[start : start + size]
