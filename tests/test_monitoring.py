"""A worker answers for its health and its figures where the settings say so, and nowhere else."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from wsgiref.simple_server import demo_app

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.orm import Session
from temporalio.client import Client

from casework import monitoring
from casework.connection import CannotListen
from casework.metrics import UNKNOWN, count_refusal, flow_roles, registry_of
from casework.monitoring import app_of, monitored, runtime_of, served
from casework.settings import Settings, SettingsError
from casework.shop.database import Database
from casework.shop.tables import WaitRow
from state_machines.flows import FLOWS
from tests.desk import Desk

REFUND = "refund-before-shipping"
SPOKEN = "13912345678 王小明"


def figure(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0.0


async def ask(port: int, path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        return await client.get(path)


async def test_moves_refusals_and_who_is_waited_for_are_counted(desk: Desk) -> None:
    figures = registry_of(desk.database)

    def now() -> list[float]:
        return [
            figure(figures, "casework_moves_total", flow=REFUND, trigger="hold", dest="persuading"),
            figure(figures, "casework_refusals_total", flow=REFUND, trigger="approve", state="persuading"),
            figure(figures, "casework_refusals_total", flow=REFUND, trigger=UNKNOWN, state="persuading"),
            figure(figures, "casework_open_cases", flow=REFUND),
            figure(figures, "casework_waiting_cases", flow=REFUND, role="aftersale_agent"),
            figure(figures, "casework_overdue_cases", flow=REFUND, role="aftersale_agent"),
        ]

    before = now()
    case = await desk.open_in("persuading", desk.order(), reason="x")
    await desk.signal(case, "approve", "warehouse.1")
    await desk.signal(case, "no_such_trigger", "warehouse.1")
    await desk.at_rest(case)
    assert [later - earlier for earlier, later in zip(before, now(), strict=True)] == [1, 1, 1, 1, 1, 0]
    with desk.database.writing() as session:
        row = session.get(WaitRow, case.id)
        assert row is not None
        row.due = datetime.now(UTC) - timedelta(minutes=1)
    assert now()[-1] - before[-1] == 1
    await desk.submit(case, "buyer_withdraws", "aftersale.1")
    await desk.end(case)
    assert [later - earlier for earlier, later in zip(before, now(), strict=True)][3:] == [0, 0, 0]


async def test_it_is_alive_and_ready_and_shows_its_figures(desk: Desk, tmp_path: Path) -> None:
    address = free_address()
    settings = Settings(home=tmp_path, metrics_address=address)
    port = int(address.rpartition(":")[2])
    worker: Any = type("Worker", (), {"is_running": True})()
    with monitored(settings, desk.client, desk.database, worker):
        assert (await ask(port, "/live")).text == "ok\n"
        assert (await ask(port, "/ready")).text == "ok\n"
        shown = {one.name for one in text_string_to_metric_families((await ask(port, "/metrics")).text)}
        assert {"casework_moves", "casework_refusals", "casework_waiting_cases", "casework_overdue_cases"} <= shown
        assert (await ask(port, "/")).status_code == 404
        worker.is_running = False
        stopped = await ask(port, "/ready")
        assert (stopped.status_code, stopped.text) == (503, "worker: not running\n")
        assert (await ask(port, "/live")).status_code == 200
    with pytest.raises(httpx.ConnectError):
        await ask(port, "/live")


async def test_what_does_not_answer_is_named(tmp_path: Path) -> None:
    away = Database(f"sqlite:///{tmp_path / 'nowhere' / 'shop.db'}")
    checks = {"temporal": lambda: "does not answer (UNAVAILABLE)", "shop": lambda: None}
    with served("127.0.0.1", 0, app_of(away, checks, lambda: "no answer in 2 s")) as port:
        assert (await ask(port, "/ready")).text == "temporal: does not answer (UNAVAILABLE)\n"
        live = await ask(port, "/live")
        assert (live.status_code, live.text) == (503, "event loop: no answer in 2 s\n")
        figures = (await ask(port, "/metrics")).text
    assert "casework_shop_up 0.0" in figures
    assert "casework_waiting_cases{" not in figures


class Hanging(Database):
    """A shop whose database lets whoever reads wait until it is told to go on."""

    def __init__(self) -> None:
        super().__init__("sqlite://")
        self.goes_on = threading.Event()
        self.looks = 0

    @contextmanager
    def reading(self) -> Generator[Session]:
        self.looks += 1
        self.goes_on.wait()
        with super().reading() as session:
            yield session


async def test_what_is_away_or_hangs_or_is_blocked_is_found_out_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitoring, "ANSWER_SECONDS", 0.2)
    address, worker, hanging = free_address(), cast("Any", SimpleNamespace(is_running=True)), Hanging()
    port = int(address.rpartition(":")[2])
    silent = socket.create_server(("127.0.0.1", 0))
    nobody = await Client.connect(f"127.0.0.1:{silent.getsockname()[1]}", lazy=True)
    settings = Settings(home=tmp_path, metrics_address=address)
    with monitored(settings, nobody, hanging, worker):
        first = await ask(port, "/ready")
        assert first.text == "temporal: no answer in 2 s\nshop: no answer in 2 s\n"
        assert (await ask(port, "/ready")).text == first.text
        assert hanging.looks == 1, "whoever asks again waits for the same look"
        hanging.goes_on.set()
        assert (await ask(port, "/ready")).text == "temporal: no answer in 2 s\n"

        answered = threading.Event()

        def ask_beside() -> httpx.Response:
            try:
                return httpx.get(f"http://{address}/live")
            finally:
                answered.set()

        asked = asyncio.get_running_loop().run_in_executor(None, ask_beside)
        answered.wait(20)  # the loop is blocked until then
        live = await asked
        assert (live.status_code, live.text) == (503, "event loop: no answer in 2 s\n")
    away = Database(f"sqlite:///{tmp_path / 'nowhere' / 'shop.db'}")
    with silent, monitored(settings, nobody, away, worker):
        assert "shop: its database does not answer (OperationalError)" in (await ask(port, "/ready")).text


async def test_several_may_ask_at_once_and_one_that_says_nothing_stops_nobody(database: Database) -> None:
    with served("127.0.0.1", 0, app_of(database, {}, lambda: None)) as port:
        _, silent = await asyncio.open_connection("127.0.0.1", port)
        answers = await asyncio.gather(*(ask(port, "/metrics") for _ in range(8)))
        assert {one.status_code for one in answers} == {200}
        silent.close()


def test_whoever_is_waited_for_has_a_figure_before_anybody_waits(database: Database) -> None:
    figures = registry_of(database)
    for name, flow in FLOWS.items():
        for role in flow_roles(flow):
            assert figures.get_sample_value("casework_waiting_cases", {"flow": name, "role": role.value}) is not None


def test_what_somebody_typed_becomes_no_label(database: Database) -> None:
    count_refusal(flow=REFUND, trigger=SPOKEN, state="persuading")
    labels = {
        label for one in registry_of(database).collect() for sample in one.samples for label in sample.labels.values()
    }
    assert SPOKEN not in labels
    assert UNKNOWN in labels


async def test_nothing_is_served_unless_it_is_asked_for(desk: Desk, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert (settings.metrics_address, runtime_of(settings)) == (None, None)
    worker: Any = None
    with monitored(settings, desk.client, desk.database, worker):
        pass


async def test_temporals_sdk_serves_its_own_figures(desk: Desk, tmp_path: Path) -> None:
    address = free_address()
    runtime = runtime_of(Settings(home=tmp_path, temporal_metrics_address=address))
    assert runtime is not None
    target = desk.client.service_client.config.target_host
    client = await Client.connect(target, namespace=desk.client.namespace, runtime=runtime)
    assert await client.service_client.check_health()
    shown = (await ask(int(address.rpartition(":")[2]), "/metrics")).text
    assert "temporal_request_total{" in shown


def test_an_address_that_is_taken_is_named_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = Settings(home=tmp_path, temporal_metrics_address=address)
        with pytest.raises(CannotListen, match=f"^CASEWORK_TEMPORAL_METRICS_ADDRESS: {address} cannot be listened on"):
            runtime_of(settings)
        with (
            pytest.raises(CannotListen, match=f"^CASEWORK_METRICS_ADDRESS: {address} cannot be listened on"),
            served("127.0.0.1", int(address.rpartition(":")[2]), demo_app),
        ):
            pass


@pytest.mark.parametrize("address", ["localhost:9464", "9464", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", ":9464"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(SettingsError, match=r"^CASEWORK_METRICS_ADDRESS: its value is no address to listen on"):
        Settings(home=tmp_path, metrics_address=address)


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
