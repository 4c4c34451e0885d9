"""`casework up` as a person meets it: it says where it is, stops politely, and never runs twice on one home."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from casework.cli.errors import DONE, FAILED

ROOT = Path(__file__).parents[2]
RUNS = "The worker runs"


def environment(home: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CASEWORK_", "TEMPORAL_")) or name == "CASEWORK_TEMPORAL_CLI"
    }
    return {**kept, "CASEWORK_HOME": str(home), "CASEWORK_LANG": "en"}


def free_ports() -> tuple[str, str]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1]), str(other.getsockname()[1])


def casework(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "casework", *arguments],
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def running(home: Path, *arguments: str) -> Generator[tuple[subprocess.Popen[str], list[str]]]:
    """`casework up`, once it says that its worker runs, with what it said."""
    with subprocess.Popen(
        [sys.executable, "-m", "casework", "up", *arguments],
        cwd=ROOT,
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said: list[str] = []
            for line in process.stdout:
                said.append(line)
                if RUNS in line:
                    break
            assert any(RUNS in line for line in said), said
            yield process, said
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_up_runs_everything_and_stops_politely(tmp_path: Path, how: signal.Signals) -> None:
    port, ui_port = free_ports()
    with running(tmp_path / "home", "--port", port, "--ui-port", ui_port) as (process, said):
        assert any(f"http://127.0.0.1:{ui_port}" in line for line in said)
        doctor = casework(tmp_path / "home", "doctor")
        assert doctor.returncode == DONE, doctor.stdout + doctor.stderr
        assert casework(tmp_path / "home", "staff").returncode == DONE

        second = casework(tmp_path / "home", "up", "--port", free_ports()[0])
        assert second.returncode == FAILED
        assert "already runs" in second.stderr
        elsewhere = casework(tmp_path / "other", "up", "--port", port)
        assert elsewhere.returncode == FAILED
        assert port in elsewhere.stderr
        assert "--port" in elsewhere.stderr

        process.send_signal(how)
        assert process.wait(timeout=60) == DONE
    gone = casework(tmp_path / "home", "inbox", "--role", "finance_manager")
    assert gone.returncode == FAILED
    assert "casework up" in gone.stderr
