"""Time that is skipped where Temporal does not say that it is done."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from casework import skipping
from casework.skipping import skip_time

DAY = timedelta(days=1)


class Silent:
    """A clock that Temporal advances by so much at a time, and of which it never says so."""

    def __init__(self, stride: timedelta) -> None:
        self.now = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
        self.asked: list[timedelta] = []
        self._stride = stride

    async def get_current_time(self, _case: object) -> datetime:
        return self.now

    async def fast_forward(self, _case: object, duration: timedelta) -> bool:
        self.asked.append(duration)
        self.now += self._stride
        await asyncio.Event().wait()
        return True


@pytest.mark.parametrize(("stride", "asked"), [(DAY, [DAY]), (DAY / 2, [DAY, DAY / 2])])
async def test_a_skip_that_is_never_said_to_be_done_is_done_when_the_clock_says_so(
    monkeypatch: pytest.MonkeyPatch, stride: timedelta, asked: list[timedelta]
) -> None:
    monkeypatch.setattr(skipping, "SKIP_SECONDS", 0.01)
    temporal = Silent(stride)
    assert await skip_time(cast("Any", temporal), cast("Any", None), DAY)
    assert temporal.asked == asked
