"""The logs: JSON or readable, standard logging through the same chain, nothing personal."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from casework.logs import DROPPED, NOISY, PERSONAL_KEYS, configure_logs, drop_personal_data, move_logged


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Whatever a test sets up is taken down again."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in NOISY}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def log_a_move() -> None:
    move_logged(case="refund-1", trigger="approve", source="a", dest="b", by="finance.1", role="finance_manager")


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_move_is_one_json_line_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    configure_logs(stream)
    log_a_move()
    (line,) = lines(stream)
    at = datetime.fromisoformat(line.pop("timestamp"))
    assert at.utcoffset() == timedelta(0)
    # left on the record by pytest's own handler
    line.pop("message", None)
    assert line == {
        "event": "move",
        "level": "info",
        "logger": "casework.moves",
        "case": "refund-1",
        "trigger": "approve",
        "source": "a",
        "dest": "b",
        "by": "finance.1",
        "role": "finance_manager",
    }


def test_a_move_is_one_readable_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    configure_logs(stream)
    log_a_move()
    (line,) = stream.getvalue().splitlines()
    assert "case=refund-1" in line
    assert "trigger=approve" in line
    assert "\x1b" not in line


def test_nothing_is_written_by_importing_or_before_logs_are_configured() -> None:
    code = (
        "from casework.logs import move_logged; "
        "move_logged(case='c', trigger='t', source='a', dest='b', by='x', role=None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_standard_logging_goes_through_the_same_chain() -> None:
    stream = io.StringIO()
    configure_logs(stream)
    logging.getLogger("temporalio.worker").info("noise")
    logging.getLogger("temporalio.worker").warning("slow %s", "task", extra={"note": "words"})
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["note"]) == ("slow task", "warning", DROPPED)


def test_our_own_structlog_lines_go_there_too() -> None:
    stream = io.StringIO()
    configure_logs(stream)
    structlog.stdlib.get_logger("casework.shop").info("imported", orders=3, buyer_name="x")
    (line,) = lines(stream)
    assert (line["orders"], line["buyer_name"], line["logger"]) == (3, DROPPED, "casework.shop")


def test_configuring_twice_writes_each_line_once() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logs(first)
    configure_logs(second)
    log_a_move()
    assert (len(lines(first)), len(lines(second))) == (0, 1)


@pytest.mark.parametrize("terminal", [False, True])
def test_the_text_of_an_error_shows_no_mobile_number(*, terminal: bool) -> None:
    stream = Terminal() if terminal else io.StringIO()
    configure_logs(stream)
    number = "13800000000"
    try:
        raise RuntimeError(f"cannot reach {number}")
    except RuntimeError:
        logging.getLogger("x").exception("failed for %s", number)
    assert number not in stream.getvalue()
    assert "RuntimeError" in stream.getvalue()


def test_what_only_looks_like_a_mobile_number_stays() -> None:
    event = {"order_id": "3300019901380000000", "case": "refund-13800000000000"}
    assert drop_personal_data(None, "info", dict(event)) == event


PERSONAL = {f"{before}{key}" for key in PERSONAL_KEYS for before in ("", "buyer_")} | {"Phone"}
EVENTS = st.recursive(
    st.dictionaries(st.sampled_from(sorted(PERSONAL)), st.just("secret words"), min_size=1, max_size=3),
    lambda inner: st.lists(inner, min_size=1, max_size=2) | st.fixed_dictionaries({"inner": inner}),
    max_leaves=4,
)


@given(EVENTS)
def test_personal_keys_are_dropped_at_any_depth(inner: object) -> None:
    event = drop_personal_data(None, "info", {"case": "refund-1", "facts": inner})
    assert "secret words" not in repr(event)
    assert DROPPED in repr(event)
    assert event["case"] == "refund-1"
