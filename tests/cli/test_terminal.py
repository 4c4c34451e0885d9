"""On a terminal, money is asked about once; nowhere else."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from casework.cli.errors import DONE, FAILED
from casework.client import CaseworkClient
from tests.cli.commands import address, shop_url
from tests.desk import FLOW, Desk

ROOT = Path(__file__).parents[2]


def on_terminal(answer: str, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run a command with a terminal as its input and error output, and type the answer once it asks."""
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "casework", *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=theirs,
            stderr=theirs,
            stdout=subprocess.PIPE,
        ) as process:
            os.close(theirs)
            os.write(ours, answer.encode())
            process.wait(timeout=60)
            said = b""
            while True:
                try:
                    part = os.read(ours, 4096)
                except OSError:  # Linux says so at the end of a terminal
                    break
                if not part:
                    break
                said += part
            return process.returncode, said.decode()
    finally:
        os.close(ours)


@pytest.mark.parametrize(
    ("answer", "more", "code", "asked", "state"),
    [
        ("n\n", [], FAILED, True, "persuading"),
        ("y\n", [], DONE, True, "refunded"),
        ("", ["--yes"], DONE, False, "refunded"),
    ],
)
async def test_money_on_a_terminal_asks_once(
    desk: Desk, tmp_path: Path, answer: str, more: list[str], code: int, asked: bool, state: str
) -> None:
    client = CaseworkClient(desk.client, desk.database)
    case = await client.start_case(FLOW, {"order_id": desk.order(), "by": "aftersale.1", "reason": "x"})
    handle = desk.client.get_workflow_handle(case)
    await desk.until(handle, "persuading")
    done, said = await asyncio.to_thread(
        on_terminal,
        answer,
        *("submit", case, "buyer_insists", "--by", "aftersale.1", *more),
        CASEWORK_HOME=str(tmp_path / "home"),
        CASEWORK_LANG="en",
        CASEWORK_DATABASE_URL=shop_url(desk),
        TEMPORAL_ADDRESS=address(desk),
        TEMPORAL_NAMESPACE=desk.client.namespace,
    )
    assert done == code, said
    assert said.count("may pay 100.00") == asked
    await desk.until(handle, state)
