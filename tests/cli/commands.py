"""What the tests of the commands share."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.desk import Desk


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Casework = Callable[..., Awaitable[Done]]


def shop_url(desk: Desk) -> str:
    return desk.database._url.render_as_string(hide_password=False)  # pyright: ignore[reportPrivateUsage] - a test may look inside


def address(desk: Desk) -> str:
    return desk.client.service_client.config.target_host
