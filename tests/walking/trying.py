"""Everything is tried, some beside each other, and what failed once more, alone.

A busy machine gives a task out again, which tears the step in which a case is stopped; alone, it does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

OneT = TypeVar("OneT")
AnswerT = TypeVar("AnswerT")


@dataclass
class Tried(Generic[AnswerT]):
    """What came of it: the answers of all that did not fail in the end, and in words what failed."""

    answers: list[AnswerT] = field(default_factory=list[AnswerT])
    twice: list[str] = field(default_factory=list[str])
    """What failed beside others, and was tried once more."""
    failed: list[str] = field(default_factory=list[str])
    """What failed alone too."""


async def try_all(
    ones: Iterable[OneT],
    attempt: Callable[[OneT, int], Awaitable[AnswerT]],
    *,
    at_once: int,
    patience: int,
    patience_alone: int,
) -> Tried[AnswerT]:
    """Try each of them, `at_once` of them beside each other. `attempt` is told for how many seconds it may last."""
    tried = Tried[AnswerT]()
    turn = asyncio.Semaphore(at_once)
    again: list[OneT] = []

    async def why_not(one: OneT, seconds: int) -> str | None:
        try:
            tried.answers.append(await attempt(one, seconds))
        except Exception as error:  # noqa: BLE001 - every one is tried, and all that failed are told at once
            return f"{one}\n  {type(error).__name__}: {error}"
        return None

    async def beside_others(one: OneT) -> None:
        async with turn:
            why = await why_not(one, patience)
        if why is not None:
            again.append(one)
            tried.twice.append(why)

    await asyncio.gather(*map(beside_others, ones))
    for one in again:
        why = await why_not(one, patience_alone)
        if why is not None:
            tried.failed.append(why)
    return tried
