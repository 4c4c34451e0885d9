"""What watches over a worker asks it: whether it lives, whether it can work, and its figures for Prometheus.

Off by default. Two settings turn it on: `CASEWORK_METRICS_ADDRESS` for the shop's own, and
`CASEWORK_TEMPORAL_METRICS_ADDRESS` for those that Temporal's SDK serves of itself. Neither holds personal data, and
neither asks who is asking: they are for addresses that only the team reaches.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.service import RPCError
from temporalio.worker import Worker

from casework.connection import CannotListen
from casework.metrics import registry_of
from casework.settings import Settings
from casework.shop.database import Database

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

ANSWER_SECONDS: Final = 2.0
"""What has not answered by then is taken for out of order: less than the patience of whoever asks."""
_NOT_IN_TIME: Final = f"no answer in {ANSWER_SECONDS:.0f} s"
LIVE, READY, METRICS = "/live", "/ready", "/metrics"
Check = Callable[[], str | None]
"""Says what is wrong, in a word or two; None: nothing."""


def runtime_of(settings: Settings) -> Runtime | None:
    """The runtime of Temporal's SDK that serves its metrics where the settings say so; None: its default.

    Raises:
        CannotListen: the address is in use, or not this machine's.

    """
    address = settings.temporal_metrics_address
    if address is None:
        return None
    # as Prometheus wants them: seconds, and counters that end in _total
    metrics = PrometheusConfig(bind_address=address, counters_total_suffix=True, durations_as_seconds=True)
    try:
        return Runtime(telemetry=TelemetryConfig(metrics=metrics))
    except ValueError as error:
        raise CannotListen(f"CASEWORK_TEMPORAL_METRICS_ADDRESS: {address} cannot be listened on: {error}.") from error


@contextmanager
def monitored(settings: Settings, client: Client, database: Database, worker: Worker) -> Generator[None]:
    """Serve the shop's own figures, and the worker's health, where the settings say so.

    Raises:
        CannotListen: the address is in use, or not this machine's.

    """
    if settings.metrics_address is None:
        yield
        return
    loop = asyncio.get_running_loop()
    checks: dict[str, Check] = {
        "worker": lambda: None if worker.is_running else "not running",
        "temporal": lambda: _in_time(_temporal(client), loop),
        "shop": _ShopCheck(database),
    }
    host, _, port = settings.metrics_address.rpartition(":")
    with served(host, int(port), app_of(database, checks, lambda: _in_time(_nothing(), loop))):
        yield


@contextmanager
def served(host: str, port: int, app: WSGIApplication) -> Generator[int]:
    """Answer over HTTP on threads of its own until the block is left; gives the port. 0 takes a free one.

    Raises:
        CannotListen: that cannot be done.

    """
    try:
        server = make_server(host, port, app, _Server, handler_class=_Silent)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise CannotListen(f"CASEWORK_METRICS_ADDRESS: {host}:{port} cannot be listened on: {why}.") from error
    with server:
        serving = threading.Thread(target=server.serve_forever, args=(0.1,), name="monitoring", daemon=True)
        serving.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            serving.join()


def app_of(database: Database, checks: Mapping[str, Check], alive: Check) -> WSGIApplication:
    """The WSGI application: `/live`, `/ready` and `/metrics`."""
    figures = registry_of(database)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match environ.get("PATH_INFO"):
            case "/metrics":
                start_response("200 OK", [("Content-Type", CONTENT_TYPE_LATEST)])
                return [generate_latest(figures)]
            case "/live":
                wrong = {"event loop": alive()}
            case "/ready":
                wrong = {name: check() for name, check in checks.items()}
            case _:
                return _answer(start_response, HTTPStatus.NOT_FOUND, f"{LIVE}, {READY} and {METRICS} are here")
        found = [f"{name}: {why}" for name, why in wrong.items() if why is not None]
        if found:
            return _answer(start_response, HTTPStatus.SERVICE_UNAVAILABLE, "\n".join(found))
        return _answer(start_response, HTTPStatus.OK, "ok")

    return app


def _answer(start_response: StartResponse, status: HTTPStatus, body: str) -> list[bytes]:
    start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{body}\n".encode()]


# --- what is looked at ---


def _in_time(looking: Coroutine[Any, Any, str | None], loop: asyncio.AbstractEventLoop) -> str | None:
    asked = asyncio.run_coroutine_threadsafe(looking, loop)
    try:
        return asked.result(ANSWER_SECONDS)
    except NotInTime:
        asked.cancel()
        return _NOT_IN_TIME


async def _nothing() -> None:
    """What a loop that is not blocked does at once."""


async def _temporal(client: Client) -> str | None:
    try:
        await client.workflow_service.get_system_info(GetSystemInfoRequest(), timeout=timedelta(seconds=ANSWER_SECONDS))
    except RPCError as error:
        return f"does not answer ({error.status.name})"
    return None


class _ShopCheck:
    """Looks at the shop's database on a thread of its own: whoever asks is answered in time, and one look is enough."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shop-check")
        self._look: Future[str | None] | None = None

    def __call__(self) -> str | None:
        look = self._look
        if look is None or look.done():
            self._look = look = self._thread.submit(_shop, self._database)
        try:
            return look.result(ANSWER_SECONDS)
        except NotInTime:
            return _NOT_IN_TIME


def _shop(database: Database) -> str | None:
    try:
        with database.reading() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        return f"its database does not answer ({type(error).__name__})"
    return None


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    timeout = 10
    """Seconds; whoever connects and says nothing is not waited for longer."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Somebody asks every few seconds: that is no news."""
