"""A shop of its own for every test, in a file, so that threads and processes can share it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import text

from casework.shop.database import REVISIONS, Database
from casework.shop.tables import Base

# these tests write to a database, which takes as long as the machine takes: how fast is no finding of theirs
settings.register_profile("shop", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shop")


@pytest.fixture(scope="session")
def made_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty shop in a file, to be copied: the migrations take longer than most tests."""
    file = tmp_path_factory.mktemp("made") / "shop.db"
    database = Database(f"sqlite:///{file}")
    database.migrate()
    database.close()
    return file


@pytest.fixture(scope="session")
def made_on_postgresql(postgresql_database: Callable[[], str]) -> Iterator[Database]:
    """An empty shop on PostgreSQL, which the tests of this process use one after the other."""
    database = Database(postgresql_database())
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def shop(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty shop, on SQLite and on PostgreSQL."""
    if engine == "postgresql":
        database: Database = request.getfixturevalue("made_on_postgresql")
        yield database
        _empty(database)
        return
    shutil.copy(request.getfixturevalue("made_file"), tmp_path / "shop.db")
    database = Database(f"sqlite:///{tmp_path / 'shop.db'}")
    yield database
    database.close()


def _empty(database: Database) -> None:
    """Take everything out of it, whatever a test has left."""
    tables = [table.name for table in reversed(Base.metadata.sorted_tables)]
    deleting = " ".join(f'DELETE FROM "{table}";' for table in tables)  # noqa: S608 - the names are ours
    with database.writing() as session:
        # one statement: there are many tables, and most are empty
        session.execute(text(f"DO $$ BEGIN {deleting} END $$"))
        session.execute(text("UPDATE alembic_version SET version_num = :newest"), {"newest": REVISIONS[-1]})
