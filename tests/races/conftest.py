"""Says at the end which races were run, who won how often, and how to run them again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from casework.shop import payments
from casework.shop.database import Database
from tests.races.racing import RACES, SEED


@pytest.fixture(autouse=True)
def whole_ledger(database: Database) -> Iterator[None]:
    """After every race the shop's ledger is whole."""
    yield
    with database.reading() as session:
        assert payments.audit(session) == []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each race."""
    if not RACES:
        return
    rounds = sum(race.won.total() for race in RACES)
    terminalreporter.write_line(f"races: {len(RACES)} in {rounds} rounds, CASEWORK_TEST_SEED={SEED}")
    for race in RACES:
        won = ", ".join(f"{side} {times}" for side, times in sorted(race.won.items()))
        terminalreporter.write_line(f"  {race.name}: {won}")
