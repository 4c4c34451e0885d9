"""Connects to Temporal: the cluster that Temporal's own settings name, else the running `casework up`."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.errordetails.v1 import NamespaceNotFoundFailure
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.envconfig import ClientConfigProfile, ClientConnectConfig
from temporalio.runtime import Runtime
from temporalio.service import RPCError, RPCStatusCode

from casework.names import NAMESPACE, SEARCH_ATTRIBUTES
from casework.server_running import read_running

_KINDS: Final[Mapping[int, str]] = {
    IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD: "Keyword",
    IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST: "KeywordList",
    IndexedValueType.INDEXED_VALUE_TYPE_DATETIME: "Datetime",
    IndexedValueType.INDEXED_VALUE_TYPE_INT: "Int",
}
CONNECT_SECONDS: Final = 2.5
"""How long a server may take to answer. A server that is there answers in a fraction of it."""
_WHY: Final = {
    "tcp connect error": "",
    "dns error": "its name is not known",
    "InvalidContentType": "it does not speak TLS, for which TEMPORAL_TLS, a certificate or an API key asks",
    "PrivateKeyParseError": "the client's private key cannot be read (TEMPORAL_TLS_CLIENT_KEY_PATH or _DATA)",
    "CertificateParseError": "a certificate cannot be read (TEMPORAL_TLS_CLIENT_CERT_…, TEMPORAL_TLS_SERVER_CA_CERT_…)",
    "CertificateRequired": "it wants a client certificate (TEMPORAL_TLS_CLIENT_CERT_PATH and _KEY_PATH)",
    "UnknownIssuer": "its certificate is by nobody whom this machine trusts (TEMPORAL_TLS_SERVER_CA_CERT_PATH)",
    "NotValidForName": "its certificate is for another name (TEMPORAL_TLS_SERVER_NAME)",
    "InvalidCertificate": "its certificate is not accepted (TEMPORAL_TLS_SERVER_CA_CERT_PATH, …_SERVER_NAME)",
    "connection closed": "it closes the connection: does it want TLS (TEMPORAL_TLS=true)?",
    "code: Unauthenticated": "it does not know who is asking (TEMPORAL_API_KEY, or the client certificate)",
    "code: PermissionDenied": "it does not let this client in (TEMPORAL_API_KEY, or the client certificate)",
}
"""Why a server cannot be used, by what the core of Temporal's SDK says."""
_LONGEST_WHY: Final = 200


class NoServer(Exception):
    """No Temporal server answers; the message is one sentence that says how to get one."""


class InvalidTemporalSettings(Exception):
    """Temporal's own settings (`TEMPORAL_*`, its configuration file) cannot be read; the message says why."""


class CannotListen(Exception):
    """An address of the settings cannot be listened on; the message is one sentence that names the setting."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Temporal cluster or Cloud namespace that Temporal's own settings name."""

    config: ClientConnectConfig
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
        config = profile.to_client_connect_config()  # reads what the paths name
    except (RuntimeError, OSError, ValueError) as error:
        raise InvalidTemporalSettings(f"Temporal's own settings cannot be read: {error}") from error
    if not profile.address:
        return None
    certificate = profile.tls
    if certificate is not None and (certificate.client_cert is None) != (certificate.client_private_key is None):
        missing = "a key" if certificate.client_private_key is None else "a certificate"
        raise InvalidTemporalSettings(
            f"Temporal's own settings cannot be used: the client's TLS certificate and key go together, and {missing} "
            "is missing (TEMPORAL_TLS_CLIENT_CERT_… and TEMPORAL_TLS_CLIENT_KEY_…)."
        )
    config["namespace"] = profile.namespace or NAMESPACE
    return Cluster(config, profile.address, config["namespace"])


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
        where = f"{cluster.address}, which your TEMPORAL_* settings name"
        return await _connected(
            Client.connect(**cluster.config, data_converter=data_converter, runtime=runtime),
            lambda why: (
                f"The Temporal server at {where}, cannot be used: {why}."
                if why
                else f"No Temporal server answers at {where}."
            ),
        )
    how = "start one with `casework up`, or set TEMPORAL_ADDRESS."
    running = read_running(home)
    if running is None:
        raise NoServer(f"No Temporal server is running for {home}: {how}")
    return await _connected(
        Client.connect(running.address, namespace=NAMESPACE, data_converter=data_converter, runtime=runtime),
        lambda _: f"The Temporal server of {home} does not answer at {running.address}: {how}",
    )


async def _connected(connecting: Coroutine[Any, Any, Client], told: Callable[[str], str]) -> Client:
    """The client; what is in the way, if that is known, becomes the sentence that is `told`."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await connecting
    except (RuntimeError, ValueError, OSError, TimeoutError) as error:
        raise NoServer(told(_why(str(error)))) from error


def _why(said: str) -> str:
    """What is in the way; nothing where simply nobody is there."""
    known = next((why for mark, why in _WHY.items() if mark in said), None)
    if known is not None:
        return known
    return " ".join(said.removeprefix("Failed client connect: ").split())[:_LONGEST_WHY]


async def require_namespace(client: Client) -> None:
    """See that the namespace is there and has the search attributes of cases: a cluster is not ours to change.

    Raises:
        NoServer: what it lacks, and the command that adds it.
        RPCError: it was lost, or does not let this client in.

    """
    try:
        known = await known_search_attributes(client)
    except RPCError as error:
        if error.status in (RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED):
            return  # who may not look finds out with the first case
        if not any(one.Is(NamespaceNotFoundFailure.DESCRIPTOR) for one in error.grpc_status.details):
            raise
        raise NoServer(
            f"The Temporal server has no namespace {client.namespace}: name another by TEMPORAL_NAMESPACE, or make it "
            f"with: temporal operator namespace create --namespace {client.namespace}"
        ) from error
    missing = [f"--name {name} --type {kind}" for name, kind in SEARCH_ATTRIBUTES.items() if name not in known]
    if missing:
        raise NoServer(
            "The cluster lacks search attributes; add them with: temporal operator search-attribute create "
            + " ".join(missing)
        )


async def known_search_attributes(client: Client) -> dict[str, str]:
    """The namespace's own search attributes: name → type."""
    listed = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace), retry=True
    )
    return {name: _KINDS.get(kind, "of another type") for name, kind in listed.custom_attributes.items()}
