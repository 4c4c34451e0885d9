"""The command line as a newcomer meets it: quick help, examples, and one plain sentence for every mistake."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from casework.cli import app, run
from casework.cli.errors import BAD_INPUT, DONE

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "up", "import", "start", "inbox", "cases", "show", "submit", "approve", "reject", "cancel", "open", "diagram",
    "ask", "answer", "reassign", "remind", "comment", "policy", "policy check", "staff", "staff import", "staff absent",
    "staff present", "shop", "shop ship", "shop close", "shop refunded", "shop flag", "shop address",
    "shop fail", "batch", "patrol", "doctor", "why", "forecast", "evidence", "deliver", "retry", "verify",
}  # fmt: skip


def documented() -> Iterator[tuple[str, object]]:
    for name, command in getattr(get_command(app), "commands", {}).items():
        if not command.hidden:
            yield name, command
            for inner, one in getattr(command, "commands", {}).items():
                yield f"{name} {inner}", one


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "casework", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment},
        timeout=60,
    )


def test_the_commands_are_those_of_the_contract() -> None:
    assert {name for name, _ in documented()} == COMMANDS


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself_its_options_and_takes_by(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*name.split(), "--help"]) == DONE
    text = capsys.readouterr().out
    command = dict(documented())[name]
    for parameter in getattr(command, "params", []):
        assert parameter.help or parameter.name == "help", f"{name} {parameter.name} is not explained"
    if name != "shop":
        assert "--by" in text


@pytest.mark.parametrize("name", sorted(COMMANDS - {"shop", "policy"}))
def test_every_command_shows_an_example(name: str) -> None:
    assert f"casework {name.split(maxsplit=1)[0]}" in (getattr(dict(documented())[name], "epilog", "") or "")


def test_help_comes_at_once() -> None:
    program("--help")  # compiled once
    quickest = 9.0
    for _ in range(3):
        before = time.perf_counter()
        done = program("--help")
        quickest = min(quickest, time.perf_counter() - before)
        assert done.returncode == DONE
    assert quickest < 0.5


def test_help_imports_nothing_heavy() -> None:
    looked = "import sys, casework.cli; print({'temporalio', 'sqlalchemy', 'alembic', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", looked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "nope"),
        (["start", "refund"], "--order"),
        (["show"], "CASE"),
        (["show", "1208", "--colour"], "--colour"),
        (["diagram", "refund", "--format", "png"], "png"),
        (
            ["shop", "fail", "weather", "1", "once"],
            "Invalid value for 'what': 'weather' is not one of 'payment', 'intercept'. See casework shop fail --help.",
        ),
        (["batch", "cases.csv", "--at-once", "0"], "--at-once"),
        (["up", "--port", "many"], "Invalid value for '--port': a number is wanted."),
    ],
)
def test_wrong_usage_is_one_plain_sentence_and_exit_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == BAD_INPUT
    output = capsys.readouterr()
    assert output.out == ""
    assert said in output.err
    assert len(output.err.splitlines()) == 1
    assert "Traceback" not in output.err


def test_the_command_alone_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == DONE
    assert "casework" in capsys.readouterr().out


def test_a_reader_that_has_seen_enough_is_no_fault() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "casework", "diagram", "refund", "--format", "svg"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == DONE
