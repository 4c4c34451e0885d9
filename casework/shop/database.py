"""The shop's database: SQLite by default, PostgreSQL by URL. The only module that knows which one it is.

On both, those who write take turns: a transaction that writes sees what all before it have written, none waits for
another crosswise, and none has to be done over again. For a file SQLite's own lock sees to that (and one in front of it
within a process), for a database of PostgreSQL's an advisory lock.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import DisconnectionError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from casework.shop.errors import SchemaNotReady

REVISIONS = (
    "0001",
    "0002",
    "0003",
    "0004",
    "0005",
    "0006",
    "0007",
    "0008",
    "0009",
    "0010",
    "0011",
    "0012",
    "0013",
    "0014",
    "0015",
    "0016",
    "0017",
    "0018",
    "0019",
)
"""The migrations that there are, oldest first; a test holds that they are those of `migrations/versions`."""
BUSY_TIMEOUT_MS = 9_000
"""How long one transaction waits for another, in milliseconds: on SQLite for those of its own process, and then for
those of others. Twice that is less than Temporal waits for a step on the shop, so that a step that was given up is not
done after all."""

LOCKED_SECONDS = 0.02
"""After this a locked new file is tried again."""

WRITERS_LOCK = 4222418
"""The advisory lock of PostgreSQL's that whoever writes in the shop's database holds to the end of the transaction."""
CONNECT_SECONDS = 5
"""For so long a server of PostgreSQL's may take to answer."""
SILENT_SECONDS = 5
"""For so long it may leave unanswered that it is there at all."""
ASKED_AFTER_SECONDS = 1.0
"""A connection of PostgreSQL's that was idle for so long is asked whether it is alive before it is used."""
CONNECTIONS = 20
"""Kept open, as they are needed: more than a worker has threads."""
IDLE_SECONDS = 60
"""A transaction in which PostgreSQL hears nothing for so long is given up: its machine is gone, and others wait."""

_AFTER_ROLLBACK = "casework_after_rollback"
_FILE = "casework_file"
_USED = "casework_used"

SchemaState = Literal["current", "behind", "missing", "ahead"]
"""`missing`: no shop there yet; `behind`: to be migrated; `ahead`: made by a newer Casework."""


def after_rollback(session: Session, step: Callable[[Session], None]) -> None:
    """Do a step in a transaction of its own if this one ends in an error: what must be remembered all the same."""
    session.info.setdefault(_AFTER_ROLLBACK, []).append(step)


class _Turn:
    """The turn to write, among the threads of this process; given up like SQLite's own lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            raise OperationalError("BEGIN IMMEDIATE", None, sqlite3.OperationalError("database is locked"))

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Database:
    """The shop's database, by SQLAlchemy's URL. Safe to share among threads; processes may share the database."""

    def __init__(self, url: str) -> None:
        """Open nothing yet: the first transaction connects."""
        self._url = make_url(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        # an error's text goes to logs and to Temporal: it must not quote what was to be written
        options: dict[str, Any] = {"hide_parameters": True}
        if self.is_sqlite:
            engine = create_engine(self._url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}, **options)
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "checkout", _require_same_file)
            event.listen(engine, "begin", _begin_sqlite)
            # SQLite polls for its lock, ever more slowly: threads would sleep while it is free
            self._turn: AbstractContextManager[object] = _Turn()
        else:
            engine = create_engine(
                self._url.set(drivername="postgresql+psycopg"),
                pool_size=CONNECTIONS,
                pool_timeout=BUSY_TIMEOUT_MS / 1000,
                # the one used last has its statements prepared
                pool_use_lifo=True,
                connect_args={
                    "connect_timeout": CONNECT_SECONDS,
                    # a server that has gone without a word is given up
                    "keepalives_idle": SILENT_SECONDS,
                    "keepalives_interval": 1,
                    "keepalives_count": 3,
                    "tcp_user_timeout": SILENT_SECONDS * 1000,
                    "application_name": "casework",
                    "client_encoding": "UTF8",
                },
                **options,
            )
            self._turn = nullcontext()
            event.listen(engine, "connect", _prepare_postgresql)
            event.listen(engine, "checkin", _note_use)
            event.listen(engine, "checkout", _require_alive)
            event.listen(engine, "begin", _begin_postgresql)
        self._engine = engine
        self._reader, self._writer = engine, engine.execution_options(casework_writing=True)

    @contextmanager
    def writing(self) -> Generator[Session]:
        """One transaction that writes: all of it or nothing, and nobody writes between its reading and its writing.

        Raises:
            OperationalError: others have written for longer than one waits for another.

        """
        with self._turn, Session(self._writer) as session:
            try:
                with session.begin():
                    yield session
            except BaseException:
                steps: list[Callable[[Session], None]] = session.info.pop(_AFTER_ROLLBACK, [])
                for step in steps:
                    with session.begin():
                        step(session)
                raise

    @contextmanager
    def reading(self) -> Generator[Session]:
        """One consistent look at the shop; what is changed in it is not kept."""
        with Session(self._reader, autoflush=False) as session:
            yield session

    def schema_state(self) -> SchemaState:
        """How the tables stand against this program."""
        if self._file_is_missing():
            return "missing"
        with self._reader.connect() as connection:
            return _state_of(connection)

    def require_schema(self) -> None:
        """Say in one sentence if the tables are not those of this program.

        Raises:
            SchemaNotReady: what is wrong, and what to do.

        """
        state = self.schema_state()
        if state == "missing":
            raise SchemaNotReady("there is no shop yet: `casework up` or `casework import FILE…` makes it")
        if state == "behind":
            raise SchemaNotReady("the shop's tables are older than this Casework: `casework up` brings them up to date")
        if state == "ahead":
            raise SchemaNotReady("the shop's tables were made by a newer Casework: use that one")

    def migrate(self) -> None:
        """Make the tables, or bring them up to date; nothing is done where they are current already.

        Raises:
            SchemaNotReady: if they were made by a newer Casework, or the database cannot keep every text.

        """
        if self.is_sqlite and self._url.database and self._url.database != ":memory:":
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)
        state = self.schema_state()
        if state == "ahead":
            raise SchemaNotReady("the shop's tables were made by a newer Casework: use that one")
        if state == "current":
            return
        # one migration at a time: the writer's lock is taken before the state is looked at again
        with self._writer.begin() as connection:
            if not self.is_sqlite:
                _require_utf8(connection)
            if _state_of(connection) != "current":
                # imported late: Alembic costs every command time, and only a migration needs it
                from casework.shop.migrations import upgrade

                upgrade(connection)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _file_is_missing(self) -> bool:
        name = self._url.database
        return self.is_sqlite and bool(name) and name != ":memory:" and not Path(str(name)).exists()


def _state_of(connection: Connection) -> SchemaState:
    if not inspect(connection).has_table("alembic_version"):
        return "missing"
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if revision is None:
        return "missing"
    if revision == REVISIONS[-1]:
        return "current"
    return "behind" if revision in REVISIONS else "ahead"


def _prepare_sqlite(connection: Any, record: ConnectionPoolEntry) -> None:
    # the driver begins no transactions of its own: `_begin_sqlite` does
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    _keep_a_log_of_writes(cursor)
    cursor.execute("PRAGMA foreign_keys = ON")
    ((_, _, file),) = cursor.execute("PRAGMA database_list").fetchall()
    cursor.close()
    record.info[_FILE] = file, _identity(file)


def _keep_a_log_of_writes(cursor: Any) -> None:
    """Switch a new file to SQLite's write-ahead log: the one step for which SQLite does not wait by itself.

    Raises:
        OperationalError: others have kept it locked for as long as one transaction waits for another.

    """
    until = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(LOCKED_SECONDS)
        else:
            return


def _require_same_file(_connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """A file that was moved away and put back, or replaced, is opened anew by the next transaction.

    Raises:
        DisconnectionError: the pool then connects again.

    """
    file, identity = record.info[_FILE]
    if _identity(file) != identity:
        raise DisconnectionError(f"{file} is another file now")


def _identity(file: str) -> tuple[int, int] | None:
    """What tells the file from any other of its name; None: it is not there, or the database is in memory."""
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("casework_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _prepare_postgresql(connection: Any, _record: ConnectionPoolEntry) -> None:
    settings = {
        "lock_timeout": f"{BUSY_TIMEOUT_MS}ms",
        "idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s",
        "timezone": "UTC",
    }
    # the driver begins no transactions of its own: `_begin_postgresql` does
    connection.autocommit = True
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, false)", (name, value))


def _note_use(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info[_USED] = time.monotonic()


def _require_alive(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """A connection that has been idle may be one to a server that has been started anew since: then it is made anew.

    Raises:
        DisconnectionError: the pool then connects again.

    """
    if time.monotonic() - record.info.get(_USED, time.monotonic()) < ASKED_AFTER_SECONDS:
        return
    try:
        connection.execute("SELECT 1")
    except Exception as error:
        raise DisconnectionError("the server does not answer on it any more") from error


def _begin_postgresql(connection: Connection) -> None:
    writing = connection.get_execution_options().get("casework_writing", False)
    # what others have committed while this one waited for its turn must be seen; in one go to the server and back
    taking_turns = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock({WRITERS_LOCK})"
    connection.exec_driver_sql(taking_turns if writing else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")


def _require_utf8(connection: Connection) -> None:
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        raise SchemaNotReady(
            f"the database keeps its text as {encoding}, which has no place for Chinese: make it with ENCODING 'UTF8'"
        )
