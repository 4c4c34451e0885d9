"""The database: migrations, transactions, times."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError, StatementError
from sqlalchemy.orm import Session

from casework.shop.database import REVISIONS, Database, after_rollback
from casework.shop.errors import SchemaNotReady
from casework.shop.migrations import configuration
from casework.shop.tables import Base, HoldRow, OrderRow, SettingRow
from tests.shop.steps import NOW, ORDER, an_order


def test_a_new_shop_is_missing_until_it_is_migrated(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'deep' / 'shop.db'}")
    assert database.schema_state() == "missing"
    with pytest.raises(SchemaNotReady, match="no shop yet"):
        database.require_schema()
    assert not (tmp_path / "deep").exists(), "asking makes nothing"
    database.migrate()
    assert database.schema_state() == "current"
    database.migrate()
    database.require_schema()
    database.close()


def test_a_shop_of_a_newer_casework_is_left_alone(shop: Database) -> None:
    with shop.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert shop.schema_state() == "ahead"
    with pytest.raises(SchemaNotReady, match="newer"):
        shop.migrate()


def test_the_migrations_make_the_tables_that_the_program_knows(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'shop.db'}")
    database.migrate()
    database.close()
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_the_known_revisions_are_those_of_the_migrations() -> None:
    script = ScriptDirectory.from_config(configuration())
    assert [one.revision for one in reversed(list(script.walk_revisions()))] == list(REVISIONS)


def test_two_that_migrate_at_once_do_it_once(tmp_path: Path) -> None:
    shops = [Database(f"sqlite:///{tmp_path / 'shop.db'}") for _ in range(4)]
    failed: list[BaseException] = []

    def migrate(database: Database) -> None:
        try:
            database.migrate()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test shows it
            failed.append(error)

    threads = [threading.Thread(target=migrate, args=[one]) for one in shops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert {one.schema_state() for one in shops} == {"current"}
    for one in shops:
        one.close()


def test_a_transaction_that_fails_leaves_nothing(shop: Database) -> None:
    def add_and_fail() -> None:
        with shop.writing() as session:
            session.add(SettingRow(name="a", value="1"))
            session.flush()
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        add_and_fail()
    with shop.reading() as session:
        assert session.get(SettingRow, "a") is None


def test_what_must_be_remembered_is_kept_although_the_transaction_fails(shop: Database) -> None:
    def remember(later: Session) -> None:
        later.add(SettingRow(name="kept", value="1"))

    def fail() -> None:
        with shop.writing() as session:
            session.add(SettingRow(name="lost", value="1"))
            after_rollback(session, remember)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    with shop.reading() as session:
        assert session.get(SettingRow, "kept") is not None
        assert session.get(SettingRow, "lost") is None


def test_reading_then_writing_is_one_step_among_threads(shop: Database) -> None:
    with shop.writing() as session:
        session.add(SettingRow(name="count", value="0"))

    def count() -> None:
        for _ in range(20):
            with shop.writing() as session:
                row = session.get_one(SettingRow, "count")
                row.value = str(int(row.value) + 1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with shop.reading() as session:
        assert session.get_one(SettingRow, "count").value == "80"


def test_a_look_at_the_shop_changes_nothing(shop: Database) -> None:
    with shop.reading() as session:
        session.add(SettingRow(name="a", value="1"))
    with shop.reading() as session:
        assert session.get(SettingRow, "a") is None


def test_a_file_that_was_replaced_is_opened_anew(tmp_path: Path) -> None:
    one, other = (Database(f"sqlite:///{tmp_path / name}") for name in ("shop.db", "other.db"))
    for database, value in ((one, "first"), (other, "second")):
        database.migrate()
        with database.writing() as session:
            session.add(SettingRow(name="which", value=value))
    other.close()

    def which() -> str:
        with one.reading() as session:
            return session.get_one(SettingRow, "which").value

    assert which() == "first"
    one.close()
    (tmp_path / "shop.db").rename(tmp_path / "away.db")
    (tmp_path / "other.db").rename(tmp_path / "shop.db")
    assert which() == "second"
    # also while a connection to it is kept
    (tmp_path / "shop.db").rename(tmp_path / "other.db")
    (tmp_path / "away.db").rename(tmp_path / "shop.db")
    assert which() == "first"
    one.close()


def test_foreign_keys_are_held(shop: Database) -> None:
    def hold_nothing() -> None:
        with shop.writing() as session:
            session.add(HoldRow(order_id="1", line=1, case_id="c", at=NOW))

    with pytest.raises(IntegrityError):
        hold_nothing()


def test_times_come_out_aware_and_in_utc(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        session.get_one(OrderRow, ORDER).shipped_at = datetime(2026, 11, 20, 18, 0, tzinfo=timezone(timedelta(hours=8)))
    with shop.reading() as session:
        shipped_at = session.get_one(OrderRow, ORDER).shipped_at
    assert shipped_at == datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
    assert shipped_at is not None
    assert shipped_at.tzinfo is UTC


def test_a_time_without_a_zone_is_refused(shop: Database) -> None:
    def write_naive() -> None:
        with shop.writing() as session:
            an_order(session)
            session.get_one(OrderRow, ORDER).shipped_at = NOW.replace(tzinfo=None)

    with pytest.raises(StatementError, match="must have a zone"):
        write_naive()


def test_importing_the_shop_does_not_import_alembic() -> None:
    program = "import sys, casework.shop.database, casework.shop.orders; print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
