"""Rounds of a race: both sides start at once, and whoever lost starts a little earlier in the next round."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from collections import Counter
from collections.abc import Awaitable, Iterator
from typing import TypeVar

from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from casework.case import CaseView
from casework.client import CaseworkClient
from tests.desk import Desk, Handle
from tests.telling import tell

SEED = int(os.environ.get("CASEWORK_TEST_SEED") or secrets.randbelow(10**9))
"""Of the small differences in when the two sides start: the same seed repeats them, the machine's own it cannot."""
ROUNDS = int(os.environ.get("CASEWORK_TEST_ROUNDS") or 5)
"""More of them with CASEWORK_TEST_ROUNDS."""
FIRST_STEP, SHORTEST_STEP, LONGEST_STEP = 0.016, 0.001, 0.5
"""By how much a side starts earlier, in seconds."""
JITTER = 0.002

AnswerT = TypeVar("AnswerT")


class Race:
    """A race of two sides, run in rounds that stay where it is open who wins.

    The side that lost starts earlier in the next round: by twice as much where it lost again, by half where the other
    won last. So the rounds close in on the very moment in which it is decided, and both sides win some of them.
    """

    def __init__(self, name: str, *sides: str) -> None:
        """Name the race and its two sides."""
        self.name = name
        self.won: Counter[str] = Counter()
        self._first, self._second = sides
        self._random = random.Random(f"{SEED} {name}")  # noqa: S311 - when a side starts is no secret
        self._lead, self._step, self._last = 0.0, FIRST_STEP, ""
        tell(self)

    def __str__(self) -> str:
        """Who won how often, and how to run it again."""
        won = ", ".join(f"{side} {times}" for side, times in sorted(self.won.items()))
        return f"race of {self.name}: {won} (CASEWORK_TEST_SEED={SEED})"

    def rounds(self) -> Iterator[tuple[float, float]]:
        """When each side starts, in seconds from now, round by round; afterwards both must have won.

        There are more rounds than usual only where one side won them all.
        """
        print(f"{self.name}: CASEWORK_TEST_SEED={SEED}")
        for number in range(2 * ROUNDS):
            if number >= ROUNDS and len(self.won) == 2:
                break
            lead = self._lead + self._random.uniform(-JITTER, JITTER)
            yield max(0.0, -lead), max(0.0, lead)
        assert sorted(self.won) == sorted((self._first, self._second)), f"only one side ever won: {dict(self.won)}"

    def won_by(self, side: str) -> None:
        """Count who won the round."""
        assert side in (self._first, self._second)
        self.won[side] += 1
        if self._last:
            self._step *= 2 if side == self._last else 0.5
        self._step, self._last = min(LONGEST_STEP, max(SHORTEST_STEP, self._step)), side
        self._lead += self._step if side == self._second else -self._step


async def after(seconds: float, doing: Awaitable[AnswerT]) -> AnswerT:
    """Start something that much later."""
    await asyncio.sleep(seconds)
    return await doing


async def answer_of(asking: Awaitable[CaseView | None]) -> CaseView | str | None:
    """What came of a message: the answer, or the sentence by which the case, or Temporal where it has ended, says no.

    Any other fault is raised.
    """
    try:
        return await asking
    except WorkflowUpdateFailedError as refused:
        if not isinstance(refused.cause, ApplicationError):
            raise
        return refused.cause.message
    except RPCError as refused:
        if refused.status is not RPCStatusCode.NOT_FOUND:
            raise
        return refused.message


async def called_off(desk: Desk, case: Handle, by: str | None = None) -> CaseView:
    """Tell the cases what the shop has for them, call this one off, wait for its end and look whether all is whole.

    Called off by Temporal's own cancel, or by somebody on the staff.
    """
    await CaseworkClient(desk.client, desk.database).tell_notices()
    if by is None:
        await answer_of(case.cancel())
    else:
        await answer_of(desk.submit(case, "cancel_case", by, note="the race is over"))
    return await ended(desk, case)


async def ended(desk: Desk, case: Handle) -> CaseView:
    """Wait for the case's end, and look whether the shop is whole."""
    view = await desk.end(case)
    desk.require_whole(view)
    return view


def taken(view: CaseView, version: int) -> tuple[str, str]:
    """The trigger of the one move that led on from a version, and who made it."""
    line = [line for line in view.trail if line.accepted][version]
    return line.trigger, line.by
