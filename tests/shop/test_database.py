"""The database: transactions, connections, times, figures."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError
from sqlalchemy.orm import Session

from casework.shop import database as module
from casework.shop.database import Database, after_rollback
from casework.shop.errors import SchemaNotReady
from casework.shop.tables import HoldRow, OrderRow, SettingRow
from tests.postgresql import RunningPostgreSQL, SharedPostgreSQL
from tests.shop.steps import NOW, ORDER, an_order


def test_a_shop_of_a_newer_casework_is_left_alone(shop: Database) -> None:
    with shop.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert shop.schema_state() == "ahead"
    with pytest.raises(SchemaNotReady, match="newer"):
        shop.migrate()


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


@pytest.mark.parametrize("whose", ["of its own process", "of another"])
def test_a_writer_that_waits_too_long_for_another_gives_up(
    empty: str, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_MS", 200)
    shop = Database(empty)
    shop.migrate()
    beside = shop if whose == "of its own process" else Database(empty)

    def write_beside() -> None:
        with beside.writing() as session:
            session.get(SettingRow, "a")

    with shop.writing() as session:
        session.add(SettingRow(name="a", value="1"))
        session.flush()
        with pytest.raises(OperationalError):
            write_beside()
    with shop.reading() as session:
        assert session.get(SettingRow, "a") is not None
    with beside.writing() as session:
        session.add(SettingRow(name="b", value="1"))
    beside.close()
    shop.close()


def test_a_look_at_the_shop_is_of_one_moment(shop: Database) -> None:
    def change(value: str) -> None:
        with shop.writing() as session:
            for name in ("a", "b"):
                session.merge(SettingRow(name=name, value=value))

    change("before")
    with shop.reading() as session:
        values = [session.get_one(SettingRow, "a").value]
        change("after")
        values.append(session.get_one(SettingRow, "b").value)
    assert values == ["before", "before"]


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


# --- PostgreSQL's own ---


def put(database: Database, name: str) -> None:
    with database.writing() as session:
        session.add(SettingRow(name=name, value="1"))


def names(database: Database) -> list[str]:
    with database.reading() as session:
        return sorted(row.name for row in session.query(SettingRow))


def test_connections_that_the_server_has_closed_are_made_anew(
    postgresql: SharedPostgreSQL, postgresql_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ASKED_AFTER_SECONDS", 0)  # for so long nobody has used them
    url = postgresql_database()
    shop = Database(url)
    shop.migrate()
    put(shop, "before")
    ours = f"datname = '{make_url(url).database}'"
    closing = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}"  # noqa: S608 - the name is ours
    assert postgresql.execute(closing)
    put(shop, "after")
    assert postgresql.execute(closing)
    assert names(shop) == ["after", "before"]
    shop.close()


def test_a_server_that_was_killed_and_started_again_has_all_that_was_committed_and_nothing_else(
    postgresql: SharedPostgreSQL,
) -> None:
    assert postgresql
    server = RunningPostgreSQL()
    try:
        with server.start().database("shop") as url:
            shop = Database(url)
            shop.migrate()
            put(shop, "committed")

            def lose_it() -> None:
                with shop.writing() as session:
                    session.add(SettingRow(name="lost", value="1"))
                    session.flush()
                    server.kill()

            with pytest.raises(OperationalError):
                lose_it()
            with pytest.raises(OperationalError):
                put(shop, "nobody is there")
            server.start_again()
            assert names(shop) == ["committed"]
            put(shop, "later")
            assert names(shop) == ["committed", "later"]
            shop.close()
    finally:
        server.stop()


def test_a_database_that_cannot_keep_chinese_is_refused(postgresql: SharedPostgreSQL, process: str) -> None:
    name = f"{process}-ascii"
    postgresql.execute(
        f"CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C' LOCALE_PROVIDER libc"
    )
    shop = Database(postgresql.url(name))
    try:
        with pytest.raises(SchemaNotReady, match="SQL_ASCII"):
            shop.migrate()
        assert shop.schema_state() == "missing"
    finally:
        shop.close()
        postgresql.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_a_database_that_is_not_there_is_named(postgresql: SharedPostgreSQL) -> None:
    shop = Database(postgresql.url("nowhere"))
    with pytest.raises(OperationalError, match='database "nowhere" does not exist'):
        shop.schema_state()
    shop.close()


# --- what is kept ---


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


def test_more_fen_than_a_small_number_holds_are_kept(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        session.get_one(OrderRow, ORDER).total_fen = 10**12
    with shop.reading() as session:
        assert session.get_one(OrderRow, ORDER).total_fen == 10**12


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
