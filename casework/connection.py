"""Connects to Temporal: the cluster that Temporal's own settings name, else the running `casework up`."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.envconfig import ClientConfigProfile
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from casework.names import NAMESPACE
from casework.server_running import read_running

CONNECT_SECONDS: Final = 2.5
"""How long a server may take to answer. A server that is there answers in a fraction of it."""


class NoServer(Exception):
    """No Temporal server answers; the message is one sentence that says how to get one."""


class InvalidTemporalSettings(Exception):
    """Temporal's own settings (`TEMPORAL_*`, its configuration file) cannot be read; the message says why."""


class CannotListen(Exception):
    """An address of the settings cannot be listened on; the message is one sentence that names the setting."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Temporal cluster or Cloud namespace that Temporal's own settings name."""

    profile: ClientConfigProfile
    address: str
    namespace: str

    def __str__(self) -> str:
        """As it is shown."""
        return f"Temporal cluster at {self.address}, namespace {self.namespace}, from your Temporal settings"


def configured_cluster() -> Cluster | None:
    """The cluster that `TEMPORAL_ADDRESS` or a profile of Temporal's configuration file names, if any.

    Raises `InvalidTemporalSettings`.
    """
    try:
        profile = ClientConfigProfile.load()
    except (RuntimeError, OSError) as error:
        raise InvalidTemporalSettings(f"Temporal's own settings cannot be read: {error}") from error
    if not profile.address:
        return None
    return Cluster(profile, profile.address, profile.namespace or NAMESPACE)


def is_not_there(error: RPCError) -> bool:
    """Whether Temporal says that it has no such workflow or schedule.

    A cluster whose database was away says for a while that it has no such namespace, under the same code: then it knows
    nothing of what is in there.
    """
    unknown = NamespaceNotFoundFailure.DESCRIPTOR
    return error.status is RPCStatusCode.NOT_FOUND and not any(one.Is(unknown) for one in error.grpc_status.details)


async def connect(
    home: Path, *, data_converter: DataConverter = DataConverter.default, runtime: Runtime | None = None
) -> Client:
    """A client of the cluster that Temporal's own settings name, else of the `casework up` on this home
    directory. `runtime`: of Temporal's SDK, where it is not its default.

    Raises `NoServer` within 3 seconds where none answers, and `InvalidTemporalSettings`.
    """
    if cluster := configured_cluster():
        config = cluster.profile.to_client_connect_config()
        config["namespace"] = cluster.namespace
        return await _connected(
            Client.connect(**config, data_converter=data_converter, runtime=runtime),
            f"No Temporal server answers at {cluster.address}, which your TEMPORAL_* settings name.",
        )
    how = "start one with `casework up`, or set TEMPORAL_ADDRESS."
    running = read_running(home)
    if running is None:
        raise NoServer(f"No Temporal server is running for {home}: {how}")
    return await _connected(
        Client.connect(running.address, namespace=NAMESPACE, data_converter=data_converter, runtime=runtime),
        f"The Temporal server of {home} does not answer at {running.address}: {how}",
    )


async def _connected(connecting: Coroutine[Any, Any, Client], otherwise: str) -> Client:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await connecting
    except (RuntimeError, OSError, TimeoutError) as error:
        raise NoServer(otherwise) from error
