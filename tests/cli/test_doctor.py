"""`casework doctor`: exit 0 where all is well, else exit 1 and what is wrong, by name."""

from __future__ import annotations

import asyncio
import gzip
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest, RegisterNamespaceRequest
from temporalio.client import Client, ScheduleHandle
from temporalio.service import RPCError

from casework.cli.doctor import OLDEST_SERVER, known_search_attributes
from casework.cli.errors import DONE, FAILED
from casework.names import CASE_AMOUNT, CASE_DUE, PATROL_ID, SEARCH_ATTRIBUTES
from casework.policy import load_policy
from casework.schedule import keep_schedule
from casework.shop.database import REVISIONS, Database
from tests.cli.commands import Casework, Done, address
from tests.desk import Desk

INTERVAL = load_policy(None).patrol.interval
DATA_FRAME = 0
PLAIN, COMPRESSED = b"\0", b"\1"
"""How a message of gRPC begins; its length follows in four bytes."""


def wrong(done: Done) -> dict[str, str]:
    """What `doctor --json` finds wrong; the plain sentence on stderr must name each."""
    found = {one["what"]: one["found"] for one in done.json if not one["ok"]}
    assert done.code == (FAILED if found else DONE)
    assert all(what in done.err for what in found)
    return found


async def namespace(desk: Desk, name: str, attributes: dict[str, str]) -> str:
    """A namespace of its own, which no worker serves, with these search attributes."""
    retention = Duration()
    retention.FromTimedelta(timedelta(days=1))
    await desk.client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=retention), retry=True
    )
    client = await Client.connect(address(desk), namespace=name)
    types = {"Keyword": "KEYWORD", "KeywordList": "KEYWORD_LIST", "Datetime": "DATETIME", "Int": "INT"}
    wanted = {one: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{types[kind]}") for one, kind in attributes.items()}
    async with asyncio.timeout(30):
        # the server itself takes a moment to know a new namespace
        while await known(client) != attributes:
            try:
                await client.operator_service.add_search_attributes(
                    AddSearchAttributesRequest(namespace=name, search_attributes=wanted)
                )
            except RPCError:
                continue
    return name


async def known(client: Client) -> dict[str, str] | None:
    try:
        return await known_search_attributes(client)
    except RPCError:
        return None


@asynccontextmanager
async def server_saying(desk: Desk, version: str) -> AsyncGenerator[str]:
    """The server of the tests behind a line on which it says that it is of another version; gives the address."""
    described = await desk.client.workflow_service.get_system_info(GetSystemInfoRequest(), retry=True)
    true = described.server_version.encode()
    assert len(true) == len(version), "inside a message, lengths stay as they are"
    host, _, port = address(desk).partition(":")

    async def to_server(reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65_536):
            server.write(chunk)
        server.close()

    async def to_client(server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # frames of HTTP/2: three bytes of length, the kind, five more, and what is in it
        while head := await server.readexactly(9):
            inside = await server.readexactly(int.from_bytes(head[:3]))
            if head[3] == DATA_FRAME and inside[:1] == COMPRESSED:
                plain = gzip.decompress(inside[5:]).replace(true, version.encode())
                inside = PLAIN + len(plain).to_bytes(4) + plain
            writer.write(len(inside).to_bytes(3) + head[3:] + inside)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, server = await asyncio.open_connection(host, int(port))
        await asyncio.gather(to_server(reader, server), to_client(from_server, writer), return_exceptions=True)
        writer.close()

    line = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        own_host, own_port = line.sockets[0].getsockname()
        yield f"{own_host}:{own_port}"
    finally:
        line.close()  # the command's own connection ends with its client


@pytest.fixture(autouse=True)
async def scheduled(desk: Desk) -> AsyncIterator[ScheduleHandle]:
    """The Schedule, as `casework up` makes it, but for a task queue that nobody serves."""
    await keep_schedule(desk.client, INTERVAL, task_queue="nobody-listens")
    handle = desk.client.get_schedule_handle(PATROL_ID)
    yield handle
    with suppress(RPCError):  # a test has removed it
        await handle.delete()


async def test_where_all_is_well_it_says_so(casework: Casework) -> None:
    well = await casework("doctor")
    assert (well.code, well.err) == (DONE, "")
    assert "✗" not in well.out
    assert wrong(await casework("doctor", "--json")) == {}


async def test_no_server_is_named(casework: Casework, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEMPORAL_ADDRESS")
    found = wrong(await casework("doctor", "--json"))
    assert list(found) == ["server"]
    assert "start one with `casework up`" in found["server"]


async def test_a_server_that_does_not_answer_is_named(casework: Casework, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    found = wrong(await casework("doctor", "--json"))
    assert list(found) == ["server"]
    assert "127.0.0.1:1" in found["server"]


async def test_a_server_without_the_namespace_is_named(casework: Casework, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "nobody-made-it")
    found = wrong(await casework("doctor", "--json"))
    assert list(found) == ["server"]
    assert "nobody-made-it" in found["server"]


async def test_no_worker_is_named(casework: Casework, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    name = await namespace(desk, "no-worker", dict(SEARCH_ATTRIBUTES))
    await keep_schedule(await Client.connect(address(desk), namespace=name), INTERVAL)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", name)
    found = wrong(await casework("doctor", "--json"))
    assert list(found) == ["worker"]
    assert "casework up runs one" in found["worker"]


@pytest.mark.parametrize(("version", "ill"), [("1.24.9", True), ("1.9.12", True), ("1.25.0", False)])
async def test_a_server_that_is_too_old_is_named(
    casework: Casework, desk: Desk, monkeypatch: pytest.MonkeyPatch, *, version: str, ill: bool
) -> None:
    async with server_saying(desk, version) as where:
        monkeypatch.setenv("TEMPORAL_ADDRESS", where)
        done = await casework("doctor", "--json")
    assert f"Temporal {version} at" in done.out
    found = wrong(done)
    assert list(found) == (["server"] if ill else [])
    if ill:
        assert "too old: 1.25 or newer is needed" in found["server"]
    assert OLDEST_SERVER == (1, 25)


async def test_a_missing_search_attribute_is_named(
    casework: Casework, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = {name: kind for name, kind in SEARCH_ATTRIBUTES.items() if name != CASE_DUE}
    monkeypatch.setenv("TEMPORAL_NAMESPACE", await namespace(desk, "without-due", others))
    found = wrong(await casework("doctor", "--json"))
    assert found["search attributes"] == "CaseDue (Datetime) is missing"


async def test_a_search_attribute_of_the_wrong_type_is_named(
    casework: Casework, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistyped = {**SEARCH_ATTRIBUTES, CASE_AMOUNT: "Keyword"}
    monkeypatch.setenv("TEMPORAL_NAMESPACE", await namespace(desk, "amount-as-text", mistyped))
    found = wrong(await casework("doctor", "--json"))
    assert found["search attributes"] == "CaseAmount is Keyword and must be Int"


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        (None, "schema missing; casework up or casework import makes it"),
        (REVISIONS[0], "schema behind; casework up brings it up to date"),
        ("9999", "schema ahead; it is from a newer version of Casework"),
    ],
)
async def test_a_database_that_is_not_migrated_is_named(
    casework: Casework, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, revision: str | None, said: str
) -> None:
    file = tmp_path / "shop.db"
    monkeypatch.setenv("CASEWORK_DATABASE_URL", f"sqlite:///{file}")
    if revision is not None:
        database = Database(f"sqlite:///{file}")
        database.migrate()
        database.close()
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    assert wrong(await casework("doctor", "--json")) == {"database": f"sqlite, {said}"}
    assert file.exists() == (revision is not None), "looking makes nothing"


async def test_a_file_that_is_no_database_is_named(
    casework: Casework, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "shop.db").write_bytes(b"not a database" * 100)
    monkeypatch.setenv("CASEWORK_DATABASE_URL", f"sqlite:///{tmp_path / 'shop.db'}")
    assert list(wrong(await casework("doctor", "--json"))) == ["database"]


async def test_several_faults_are_all_named_in_one_sentence(
    casework: Casework, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CASEWORK_DATABASE_URL", f"sqlite:///{tmp_path / 'none.db'}")
    monkeypatch.delenv("TEMPORAL_ADDRESS")
    ill = await casework("doctor")
    assert ill.code == FAILED
    assert ill.out.count("✗") == 2
    assert len(ill.err.splitlines()) == 1
    assert "database (" in ill.err
    assert "server (" in ill.err


async def test_a_patrol_that_nobody_has_scheduled_is_named(casework: Casework, scheduled: ScheduleHandle) -> None:
    await scheduled.delete()
    found = wrong(await casework("doctor", "--json"))
    assert found == {"patrol": "there is no Schedule parcel-patrol: casework up makes it"}


async def test_a_patrol_that_is_paused_is_named(casework: Casework, scheduled: ScheduleHandle) -> None:
    await scheduled.pause()
    assert "every 1 h, but paused" in wrong(await casework("doctor", "--json"))["patrol"]


async def test_a_patrol_of_another_interval_than_the_policys_is_named(casework: Casework, desk: Desk) -> None:
    await keep_schedule(desk.client, 3 * INTERVAL, task_queue="nobody-listens")
    found = wrong(await casework("doctor", "--json"))["patrol"]
    assert found == "every 3 h, and the policy says every 1 h: casework up brings it up to date"
