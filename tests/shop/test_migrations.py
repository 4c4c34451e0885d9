"""The migrations, over both engines: from every schema that there was, with something in every table of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Connection,
    Date,
    Integer,
    MetaData,
    Table,
    column,
    insert,
    select,
    table,
)
from sqlalchemy.types import TypeEngine

from casework.shop.database import REVISIONS, Database
from casework.shop.errors import SchemaNotReady
from casework.shop.migrations import configuration, upgrade
from casework.shop.tables import Base, Moment, ReturnedLineRow, ScanRow

ROWS = 2
TOLD_ANEW = {"waits": "0014"}
"""Tables that a migration empties on purpose, and which: the open cases are asked, and tell it anew."""
REPLACED: dict[tuple[str, str], TypeEngine[Any]] = {("returned_lines", "from_parcel"): Boolean()}
"""Columns that a migration replaces by others, which say what they said and more."""
MOMENT = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)


@pytest.fixture
def database(empty: str) -> Iterator[Database]:
    """A database in which there is no shop yet."""
    database = Database(empty)
    yield database
    database.close()


def test_a_new_shop_is_missing_until_it_is_migrated(database: Database) -> None:
    assert database.schema_state() == "missing"
    with pytest.raises(SchemaNotReady, match="no shop yet"):
        database.require_schema()
    database.migrate()
    assert database.schema_state() == "current"
    database.migrate()
    database.require_schema()


def test_the_known_revisions_are_those_of_the_migrations() -> None:
    script = ScriptDirectory.from_config(configuration())
    assert [one.revision for one in reversed(list(script.walk_revisions()))] == list(REVISIONS)


def test_the_migrations_make_the_tables_that_the_program_knows(database: Database) -> None:
    database.migrate()
    assert differences(database) == []
    database.close()


def test_a_shop_of_any_revision_is_brought_up_to_date_with_all_that_is_in_it(database: Database) -> None:
    """One shop goes through all of them, and in each of them something is written to every table."""
    written: dict[str, list[dict[str, Any]]] = {}
    for revision in REVISIONS:
        with database._writer.begin() as connection:  # pyright: ignore[reportPrivateUsage] - a test may look inside
            upgrade(connection, to=revision)
            for name in (name for name, emptied_by in TOLD_ANEW.items() if emptied_by == revision):
                written[name].clear()
            old = MetaData()
            old.reflect(connection)
            for known in old.sorted_tables:
                if known.name != "alembic_version":
                    rows = written.setdefault(known.name, [])
                    rows += fill(connection, known, after=len(rows))
        assert database.schema_state() == ("current" if revision == REVISIONS[-1] else "behind")
    assert all(written.values())
    database.require_schema()
    assert differences(database) == []
    with database.reading() as session:
        for name, rows in written.items():
            known = Base.metadata.tables[name]
            key = [column.name for column in known.primary_key]
            kept = {tuple(row[one] for one in key): row for row in session.execute(select(known)).mappings()}
            assert len(kept) == len(rows), name
            for row in rows:
                now = kept[tuple(row[one] for one in key)]
                said = {one: value for one, value in row.items() if (name, one) not in REPLACED}
                assert {one: now[one] for one in said} == said, name
        # as the program itself reads them, with what has come since
        assert {one.__tablename__: len(session.query(one).all()) for one in mapped()} == {
            name: len(rows) for name, rows in written.items()
        }
    with database.writing() as session:
        session.add(ScanRow(waybill="1", at=MOMENT, code="0"))
        session.flush()
        # what comes next has a number of its own
        numbers = session.scalars(select(ScanRow.id).order_by(ScanRow.id)).all()
        assert numbers == [*range(1, len(written["scans"]) + 2)]


def test_what_a_return_had_taken_out_of_a_parcel_of_ours_is_counted_by_the_piece_since(database: Database) -> None:
    with database._writer.begin() as connection:  # pyright: ignore[reportPrivateUsage] - a test may look inside
        upgrade(connection, to="0018")
        old = MetaData()
        old.reflect(connection)
        written = {
            known.name: fill(connection, known, after=0)
            for known in old.sorted_tables
            if known.name != "alembic_version"
        }
    database.migrate()
    with database.reading() as session:
        now = {row.case_id: row.from_parcels for row in session.scalars(select(ReturnedLineRow))}
    assert now == {row["case_id"]: row["received"] if row["from_parcel"] else 0 for row in written["returned_lines"]}


def test_two_that_migrate_at_once_do_it_once(empty: str) -> None:
    shops = [Database(empty) for _ in range(4)]
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


def mapped() -> list[Any]:
    return [one.class_ for one in Base.registry.mappers]


def differences(database: Database) -> list[Any]:
    """What the database has otherwise than the program knows."""
    with database._reader.connect() as connection:  # pyright: ignore[reportPrivateUsage] - a test may look inside
        return compare_metadata(MigrationContext.configure(connection), Base.metadata)


def fill(connection: Connection, old: Table, *, after: int) -> list[dict[str, Any]]:
    """More rows with something in every column, also in those that may be empty; as they are read again.

    `after`: how many the table has.
    """
    known = Base.metadata.tables[old.name]
    # through the program's own types: those of the database do not know what a moment is
    types = {
        name: known.columns[name].type if name in known.columns else REPLACED[old.name, name]
        for name in old.columns.keys()  # noqa: SIM118 - it is no dictionary
    }
    rows = [
        {name: value_for(name, kind, number) for name, kind in types.items()}
        for number in range(after + 1, after + ROWS + 1)
    ]
    into = table(old.name, *(column(name, kind) for name, kind in types.items()))
    for row in rows:
        # ids that the database gives are left to it, and begin with 1
        given = {name: value for name, value in row.items() if name != "id" or known.autoincrement_column is None}
        connection.execute(insert(into).values(**given))
    return rows


def value_for(name: str, kind: TypeEngine[Any], number: int) -> Any:
    """Something that fits the column; rows of one number belong together."""
    match kind:
        case Boolean():
            return number == 1
        case Moment():
            return MOMENT + timedelta(hours=number)
        case Date():
            return date(2016, 3, 1) + timedelta(number)
        case JSON():
            return [{"line": number, "text": "片"}]
        case BigInteger() | Integer():
            large = name.endswith("_fen")
            return 3_000_000_000 + number if large else number
        case _:
            return str(number)
