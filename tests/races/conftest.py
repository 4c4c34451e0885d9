"""After the races the money is counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from casework.shop import payments
from casework.shop.database import Database


@pytest.fixture(autouse=True, scope="module")
def whole_ledger(database: Database) -> Iterator[None]:
    """After all races of a module, as counting takes as long as many of them, the shop's ledger is whole."""
    yield
    with database.reading() as session:
        assert payments.audit(session) == []
