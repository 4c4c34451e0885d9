"""A shop of its own for every test, in a file, so that threads and processes can share it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from casework.shop.database import Database

# these tests write to a database, which takes as long as the machine takes: how fast is no finding of theirs
settings.register_profile("shop", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shop")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Database]:
    """An empty shop."""
    database = Database(f"sqlite:///{tmp_path / 'shop.db'}")
    database.migrate()
    yield database
    database.close()
