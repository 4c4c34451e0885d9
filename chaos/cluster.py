"""A real Temporal cluster for `make cluster`: `temporal-server` on PostgreSQL, all its services in one process."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, Final

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from casework.names import NAMESPACE, SEARCH_ATTRIBUTES
from casework.server import RETENTION, STOP_SECONDS
from chaos.cluster_programs import ClusterPrograms
from chaos.points import SERVER
from chaos.processes import AGAIN_SECONDS, STARTS_TRIED, StaysDown, TemporalVictim
from tests.postgresql import SharedPostgreSQL

HERE: Final = "127.0.0.1"
SERVICES: Final = ("frontend", "matching", "history", "worker")
DATABASES: Final = {"temporal": "postgresql/v12/temporal", "temporal_visibility": "postgresql/v12/visibility"}
"""Temporal's two databases, and the schema of each."""
SHARDS: Final = 4
PORTS: Final = (20_000, 32_000)
TYPES: Final = {
    "Keyword": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD,
    "KeywordList": IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST,
    "Datetime": IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
    "Int": IndexedValueType.INDEXED_VALUE_TYPE_INT,
}


def free_ports(count: int) -> list[int]:
    """So many ports that nobody has at this moment, small enough for Temporal's tables in PostgreSQL (16 bits, signed).

    They are below those that the system gives out by itself, so nobody gets them while a killed process is away.
    """
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            probe = held.enter_context(socket.socket())
            port = random.randrange(*PORTS)
            with suppress(OSError):  # somebody has it
                probe.bind((HERE, port))
                found.append(port)
    return found


class ClusterVictim(TemporalVictim):
    """The cluster, on the same ports and the same databases each time."""

    def __init__(
        self,
        programs: ClusterPrograms,
        postgresql: SharedPostgreSQL,
        folder: Path,
        dynamic_config: Mapping[str, Any],
        log: IO[bytes],
    ) -> None:
        super().__init__(SERVER)
        self._programs, self._postgresql, self._log = programs, postgresql, log
        folder.mkdir(parents=True, exist_ok=True)
        ports = free_ports(2 * len(SERVICES))
        rpc, membership = ports[: len(SERVICES)], ports[len(SERVICES) :]
        self._address = f"{HERE}:{rpc[0]}"
        dynamic = folder / "dynamic.yaml"
        # JSON is YAML
        dynamic.write_text(json.dumps({name: [{"value": value}] for name, value in dynamic_config.items()}))
        self._config = folder / "config.yaml"
        self._config.write_text(json.dumps(self._configuration(rpc, membership, dynamic)))
        self._has_tables = False

    @property
    def address(self) -> str:
        """Host and port for clients, the same after each start."""
        return self._address

    def _configuration(self, rpc: Sequence[int], membership: Sequence[int], dynamic: Path) -> dict[str, Any]:
        def store(name: str) -> dict[str, Any]:
            where = {
                "pluginName": "postgres12",
                "databaseName": name,
                "connectAddr": f"{HERE}:{self._postgresql.port}",
                "connectProtocol": "tcp",
                "user": self._postgresql.user,
                "maxConns": 20,
                "maxIdleConns": 20,
            }
            return {"sql": where}

        default, visibility = DATABASES
        return {
            "log": {"stdout": True, "level": "warn"},
            "persistence": {
                "defaultStore": default,
                "visibilityStore": visibility,
                "numHistoryShards": SHARDS,
                "datastores": {name: store(name) for name in DATABASES},
            },
            "global": {"membership": {"maxJoinDuration": "30s", "broadcastAddress": HERE}},
            "services": {
                name: {"rpc": {"grpcPort": port, "membershipPort": ring, "bindOnLocalHost": True}}
                for name, port, ring in zip(SERVICES, rpc, membership, strict=True)
            },
            "clusterMetadata": {
                "enableGlobalNamespace": False,
                "failoverVersionIncrement": 10,
                "masterClusterName": "active",
                "currentClusterName": "active",
                "clusterInformation": {
                    "active": {
                        "enabled": True,
                        "initialFailoverVersion": 1,
                        "rpcName": "frontend",
                        "rpcAddress": self._address,
                    }
                },
            },
            "publicClient": {"hostPort": self._address},
            "dynamicConfigClient": {"filepath": str(dynamic), "pollInterval": "1m"},
        }

    async def start(self) -> int:
        """Start it, and wait until it knows our namespace and search attributes."""
        if not self._has_tables:
            await asyncio.to_thread(self._make_tables)
            self._has_tables = True
        for _ in range(STARTS_TRIED):
            self._process = await asyncio.create_subprocess_exec(
                *(str(self._programs.server), "--config-file", str(self._config), "--allow-no-auth", "start"),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=True,
            )
            while self._process.returncode is None:
                with suppress(RuntimeError, RPCError):  # not there yet
                    if await _is_usable(self._address):
                        return self._process.pid
                await asyncio.sleep(AGAIN_SECONDS)
            await asyncio.sleep(AGAIN_SECONDS)  # its database may be away
        raise StaysDown("the cluster does not start")

    async def ended(self) -> int:
        """Wait until it has ended."""
        return await self._process.wait()

    async def stop(self) -> None:
        """Stop it for good."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def _make_tables(self) -> None:
        for database, schema in DATABASES.items():
            self._sql_tool(database, "create-database")
            self._sql_tool(database, "setup-schema", "--version", "0.0")
            self._sql_tool(database, "update-schema", "--schema-name", schema)

    def _sql_tool(self, database: str, *command: str) -> None:
        where = ("--plugin", "postgres12", "--endpoint", HERE, "--port", str(self._postgresql.port))
        whose = ("--user", self._postgresql.user, "--database", database)
        subprocess.run(
            [str(self._programs.sql_tool), *where, *whose, *command],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            check=True,
        )


async def _is_usable(address: str) -> bool:
    """Whether it knows the namespace and every search attribute; they are made where they are missing."""
    client = await Client.connect(address, namespace=NAMESPACE)
    try:
        described = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=NAMESPACE))
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        retention = Duration()
        retention.FromTimedelta(RETENTION)
        await client.workflow_service.register_namespace(
            RegisterNamespaceRequest(namespace=NAMESPACE, workflow_execution_retention_period=retention)
        )
        return False
    known = set(described.config.custom_search_attribute_aliases.values())
    missing = {name: TYPES[kind] for name, kind in SEARCH_ATTRIBUTES.items() if name not in known}
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=NAMESPACE, search_attributes=missing)
        )
        return False
    return True
