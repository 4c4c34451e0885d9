"""The `casework` command against the tests' server and shop."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from casework.cli import run
from tests.cli.commands import Casework, Done, address, shop_url
from tests.desk import Desk


@pytest.fixture
def casework(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Casework:
    """The `casework` command against the tests' server and shop, in English, as nobody in particular."""
    for name in list(os.environ):
        if name.startswith(("CASEWORK_", "TEMPORAL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CASEWORK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CASEWORK_LANG", "en")
    monkeypatch.setenv("CASEWORK_DATABASE_URL", shop_url(desk))
    monkeypatch.setenv("TEMPORAL_ADDRESS", address(desk))

    async def command(*arguments: str) -> Done:
        capfd.readouterr()
        code = await asyncio.to_thread(run, arguments)
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return Done(code, out, err)

    return command
