"""A shop of its own for every test, in a file, so that threads and processes can share it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from casework.shop.database import Database


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Database]:
    """An empty shop."""
    database = Database(f"sqlite:///{tmp_path / 'shop.db'}")
    database.migrate()
    yield database
    database.close()
