"""Finding the Temporal server, and the embedded one. The `temporal` and `go` programs of the finding tests
are small scripts, as it is their answers that are decided on; the embedded server is the real one.
"""

import fcntl
import os
import re
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

from casework.connection import InvalidTemporalSettings, NoServer, configured_cluster, connect
from casework.names import NAMESPACE
from casework.server import EmbeddedServer, ServerFailed
from casework.server_program import (
    CLI_VERSION,
    GO_MODULE,
    SERVER_VERSION,
    ServerNotFound,
    cache_directory,
    find_server_program,
    put_on_path,
)
from casework.server_running import RunningServer, read_running
from chaos.cluster_programs import GO_MODULE as CLUSTER_MODULE
from tests.server import SharedServer


class Machine:
    """A user's machine with nothing on it but what a test puts there, and no way to the outside."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.environment = {
            "HOME": str(folder / "home"),
            "PATH": str(self.programs),
            "HTTPS_PROXY": "http://127.0.0.1:1",
        }
        self.cache = cache_directory(self.environment)
        self.reported: list[str] = []

    def find(self, *, given: str | None = None) -> str:
        return str(find_server_program(self.reported.append, given=given, environment=self.environment))

    def add(self, path: Path, script: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def add_temporal(self, version: str, path: Path | None = None) -> Path:
        return self.add(path or self.programs / "temporal", says(version))

    def add_go(self, *, version: str = "go1.26.8", build: str | None = None) -> None:
        """A `go` whose build notes that it was run and then writes a `temporal` to the path after `-o`."""
        script = (
            build
            or f"""while [ "$1" != -o ]; do shift; done
{{ echo '#!/bin/sh'; echo '{says("1.32.0")}'; }} > "$2" """
        )
        self.add(
            self.programs / "go",
            f'[ "$1" = env ] && echo {version} && exit\necho build >> {self.programs}/built\n{script}',
        )

    def builds(self) -> int:
        built = self.programs / "built"
        return len(built.read_text().splitlines()) if built.exists() else 0


def says(version: str) -> str:
    return f'echo "temporal version 1.8.2 (Server {version}, UI 2.50.1)"'


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_program_named_by_the_user_is_taken_before_the_one_on_path(machine: Machine, tmp_path: Path) -> None:
    machine.add_temporal("1.33.0")
    named = machine.add_temporal("1.32.1", tmp_path / "mine")
    machine.environment["CASEWORK_TEMPORAL_CLI"] = str(named)
    assert machine.find() == "Temporal 1.32.1, from CASEWORK_TEMPORAL_CLI"


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (says("1.31.2"), "its server is 1.31.2, and 1.32 or newer is needed"),
        ("echo hello", "it does not say which Temporal server it holds"),
        (says("1.32.0") + "; exit 1", "it does not say which Temporal server it holds"),
    ],
)
def test_a_program_named_by_the_user_that_cannot_serve_is_refused_with_the_reason(
    machine: Machine, tmp_path: Path, script: str, sentence: str
) -> None:
    machine.add_temporal("1.33.0")
    named = machine.add(tmp_path / "mine", script)
    with pytest.raises(ServerNotFound, match=re.escape(f"CASEWORK_TEMPORAL_CLI names {named}: {sentence}.")):
        machine.find(given=str(named))


def test_a_named_program_that_is_not_there_is_refused(machine: Machine) -> None:
    with pytest.raises(ServerNotFound, match=r"names /nowhere/temporal, which is not a program\."):
        machine.find(given="/nowhere/temporal")


@pytest.mark.parametrize("version", ["1.32.0", "1.40.3", "2.0.0"])
def test_a_program_on_path_is_taken_if_it_is_new_enough(machine: Machine, version: str) -> None:
    machine.add_temporal(version)
    assert machine.find() == f"Temporal {version}, from your PATH"
    assert machine.reported == []


def test_a_program_on_path_that_is_too_old_is_passed_over_and_named(machine: Machine) -> None:
    machine.add_temporal("1.9.0")
    machine.add_go()
    assert machine.find() == "Temporal 1.32.0, built with Go"
    assert "`temporal` on your PATH is not used: its server is 1.9.0, and 1.32 or newer is needed" in machine.reported


def test_what_was_built_once_is_taken_from_the_cache_ever_after(machine: Machine) -> None:
    machine.add_go()
    assert machine.find() == "Temporal 1.32.0, built with Go"
    machine.reported.clear()
    assert machine.find() == "Temporal 1.32.0, from your cache"
    assert machine.builds() == 1
    assert machine.reported == []
    assert sorted(path.name.split("-")[0] for path in machine.cache.iterdir()) == ["lock", "temporal"]


def test_the_newest_of_several_in_the_cache_is_taken(machine: Machine) -> None:
    machine.add_go()
    machine.find()
    (built,) = machine.cache.glob("temporal-*")
    for version in ("1.33.2", "1.33.10", "1.31.9"):
        machine.add_temporal(version, machine.cache / built.name.replace("1.32.0", version))
    assert machine.find() == "Temporal 1.33.10, from your cache"


def test_a_damaged_program_in_the_cache_is_replaced(machine: Machine) -> None:
    machine.add_go()
    machine.find()
    (built,) = machine.cache.glob("temporal-*")
    built.write_bytes(b"\x7fELF half a file")
    assert machine.find() == "Temporal 1.32.0, built with Go"
    assert machine.find() == "Temporal 1.32.0, from your cache"


def test_the_cache_is_where_the_user_says_if_that_is_an_absolute_path(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert cache_directory({**home, "XDG_CACHE_HOME": "/elsewhere"}) == Path("/elsewhere/casework")
    assert cache_directory({**home, "XDG_CACHE_HOME": "relative"}) == cache_directory(home)
    assert cache_directory(home).is_relative_to(tmp_path)


def test_two_runs_at_once_build_once(machine: Machine) -> None:
    machine.add_go()
    together = threading.Barrier(2)

    def find() -> str:
        together.wait()
        return machine.find()

    with ThreadPoolExecutor(2) as pool:
        found = sorted(future.result() for future in [pool.submit(find), pool.submit(find)])
    assert found == ["Temporal 1.32.0, built with Go", "Temporal 1.32.0, from your cache"]
    assert machine.builds() == 1


def test_without_a_program_a_download_or_go_one_sentence_says_what_to_install(machine: Machine) -> None:
    with pytest.raises(ServerNotFound) as refused:
        machine.find()
    assert str(refused.value) == (
        "No Temporal server was found and none could be downloaded: install Temporal's command line "
        f"({CLI_VERSION} or newer, as `temporal` on PATH) or Go (1.21 or newer), then try again."
    )


def test_a_go_that_is_too_old_is_not_tried(machine: Machine) -> None:
    machine.add_go(version="go1.19.8")
    with pytest.raises(ServerNotFound, match=r"then try again \(the Go here is 1\.19\.8\)\.$"):
        machine.find()
    assert machine.builds() == 0


def test_a_build_that_fails_says_its_last_line_and_leaves_nothing_in_the_cache(machine: Machine) -> None:
    machine.add_go(build="echo first >&2; echo 'no space left on device' >&2; exit 1")
    with pytest.raises(ServerNotFound, match=r"could not be built with Go: no space left on device\."):
        machine.find()
    assert [path.name for path in machine.cache.iterdir()] == ["lock"]


def test_a_cache_that_cannot_be_written_is_one_sentence(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    machine.environment["XDG_CACHE_HOME"] = str(tmp_path / "file")
    with pytest.raises(ServerNotFound, match=r"cannot be kept in .*file/casework: .*set XDG_CACHE_HOME"):
        machine.find()


def test_the_versions_to_fetch_are_the_ones_that_go_builds() -> None:
    pinned = (GO_MODULE / "go.mod").read_text()
    assert f"\tgithub.com/temporalio/cli v{CLI_VERSION} " in pinned
    assert f"\tgo.temporal.io/server v{SERVER_VERSION} " in pinned
    assert f"\tgo.temporal.io/server v{SERVER_VERSION} " in (CLUSTER_MODULE / "go.mod").read_text()


def test_the_command_that_make_runs_says_which_server_it_took_or_fails_with_the_sentence(
    machine: Machine,
) -> None:
    command = [sys.executable, "-m", "casework.server_program", "--own"]
    empty = subprocess.run(command, env=machine.environment, capture_output=True, text=True, check=False)
    assert (empty.returncode, empty.stderr.count("\n")) == (1, 1)
    assert empty.stderr.startswith("No Temporal server was found")
    machine.add_temporal("1.32.0")
    found = subprocess.run(command, env=machine.environment, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "✓ Temporal 1.32.0, from your PATH\n")


def test_where_path_has_no_temporal_the_environment_gets_one_that_is_kept_up_to_date(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.add_go()
    monkeypatch.setenv("PATH", str(machine.programs))
    environment = tmp_path / "environment"
    (environment / "bin").mkdir(parents=True)
    machine.find()
    (built,) = machine.cache.glob("temporal-*")
    link = put_on_path(built, prefix=environment)
    assert link is not None
    assert link.resolve() == built
    machine.environment["PATH"] = f"{environment / 'bin'}:{machine.programs}"
    monkeypatch.setenv("PATH", machine.environment["PATH"])
    assert machine.find() == "Temporal 1.32.0, from your cache", "the link is not the user's own program"
    newer = machine.add_temporal("1.33.0", tmp_path / "newer")
    assert put_on_path(newer, prefix=environment) == link
    assert link.resolve() == newer


def test_a_temporal_of_the_users_own_is_left_alone(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = tmp_path / "environment"
    mine = machine.add_temporal("1.31.0", environment / "bin" / "temporal")
    monkeypatch.setenv("PATH", str(machine.programs))
    assert put_on_path(Path("/nowhere"), prefix=environment) is None
    assert not mine.is_symlink()
    machine.add_temporal("1.33.0")
    assert put_on_path(Path("/nowhere"), prefix=tmp_path / "other") is None


@pytest.fixture(scope="module")
def program() -> Path:
    return find_server_program(print).path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
async def server(program: Path, home: Path) -> AsyncGenerator[EmbeddedServer]:
    async with EmbeddedServer(program, home) as running:
        yield running


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("TEMPORAL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(tmp_path / "none.toml"))


async def test_the_embedded_server_knows_every_search_attribute_of_the_contract(
    server: EmbeddedServer, home: Path
) -> None:
    assert read_running(home) is not None
    client = await connect(home)
    assert client.service_client.config.target_host == server.address
    listed = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=NAMESPACE))
    kinds = {name: IndexedValueType.Name(kind) for name, kind in listed.custom_attributes.items()}
    assert (
        kinds.items()
        >= {
            "CaseState": "INDEXED_VALUE_TYPE_KEYWORD",
            "CaseWaitingFor": "INDEXED_VALUE_TYPE_KEYWORD_LIST",
            "CaseAssignee": "INDEXED_VALUE_TYPE_KEYWORD",
            "CaseOpenedBy": "INDEXED_VALUE_TYPE_KEYWORD",
            "OrderId": "INDEXED_VALUE_TYPE_KEYWORD",
            "CaseOutcome": "INDEXED_VALUE_TYPE_KEYWORD",
            "CaseDue": "INDEXED_VALUE_TYPE_DATETIME",
            "CaseAmount": "INDEXED_VALUE_TYPE_INT",
        }.items()
    )


@pytest.mark.usefixtures("server")
async def test_the_embedded_server_keeps_closed_cases_30_days(home: Path) -> None:
    client = await connect(home)
    described = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=NAMESPACE))
    assert described.config.workflow_execution_retention_ttl.ToTimedelta() == timedelta(days=30)


async def test_a_second_server_on_the_same_home_directory_is_refused(
    server: EmbeddedServer, program: Path, home: Path
) -> None:
    with pytest.raises(ServerFailed, match=re.escape(f"already runs for {home} at {server.address}, process ")):
        await EmbeddedServer(program, home).start()
    assert read_running(home) is not None


async def test_a_port_in_use_is_refused_naming_the_port_and_the_option(server: EmbeddedServer, program: Path) -> None:
    taken, taken_by_ui = (int(address.rsplit(":", 1)[1]) for address in (server.address, server.ui))
    with pytest.raises(ServerFailed, match=rf"Port {taken} .*already in use.* choose another with --port\."):
        await EmbeddedServer(program, None, port=taken).start()
    with pytest.raises(ServerFailed, match=rf"Port {taken_by_ui} .*already in use.* choose another with --ui-port\."):
        await EmbeddedServer(program, None, ui_port=taken_by_ui).start()


async def test_a_server_that_does_not_start_says_its_last_line_and_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    broken = Machine(tmp_path).add(tmp_path / "temporal", "echo starting; echo 'database is damaged' >&2; exit 1")
    server = EmbeddedServer(broken, tmp_path / "home")
    for _ in range(2):  # the second time tells that the first let go of the home directory
        with pytest.raises(ServerFailed, match=r"The Temporal server did not start: database is damaged\."):
            await server.start()
    assert read_running(tmp_path / "home") is None


async def test_the_reason_is_the_error_and_not_the_trace_of_calls_below_it(tmp_path: Path) -> None:
    said = 'time=2026 level=ERROR msg="Failed to start gRPC listener" error="address already in use"'
    trace = "panic: no listener\n\ngoroutine 1 [running]:\nmain.main()\n\tmain.go:18 +0x8e"
    broken = Machine(tmp_path).add(tmp_path / "temporal", f"cat >&2 <<'END'\n{said}\n{trace}\nEND\nexit 2")
    with pytest.raises(ServerFailed, match=r"did not start: panic: no listener, after .*address already in use"):
        await EmbeddedServer(broken, tmp_path / "home").start()


async def test_a_server_whose_ports_somebody_else_was_faster_to_take_is_started_again(
    program: Path, tmp_path: Path
) -> None:
    once = tmp_path / "once"
    unlucky = Machine(tmp_path).add(
        tmp_path / "temporal",
        f'[ -e {once} ] || {{ touch {once}; echo "panic: port taken"; exit 2; }}\nexec {program} "$@"',
    )
    async with EmbeddedServer(unlucky, tmp_path / "home"):
        await connect(tmp_path / "home")
    assert once.exists()


async def test_a_stopped_server_is_no_longer_announced_and_keeps_its_data(program: Path, tmp_path: Path) -> None:
    async with EmbeddedServer(program, tmp_path) as server:
        client = await connect(tmp_path)
        handle = await client.start_workflow("Waiting", id="a-case", task_queue="nobody")
        running = read_running(tmp_path)
        assert running is not None
        assert (running.address, running.ui) == (server.address, server.ui)
        assert abs(datetime.now(UTC) - running.started) < timedelta(minutes=1)
    assert read_running(tmp_path) is None
    with pytest.raises(ProcessLookupError):
        os.kill(running.pid, 0)
    async with EmbeddedServer(program, tmp_path):
        client = await connect(tmp_path)
        described = await client.get_workflow_handle("a-case").describe()
        assert described.run_id == handle.result_run_id


def test_a_server_ends_when_whoever_started_it_is_killed(program: Path, tmp_path: Path) -> None:
    script = (
        "import asyncio, pathlib, sys; from casework.server import EmbeddedServer\n"
        "async def main():\n"
        "    await EmbeddedServer(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])).start()\n"
        "    print('started', flush=True); await asyncio.Event().wait()\n"
        "asyncio.run(main())"
    )
    command = [sys.executable, "-c", script, str(program), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "started\n"
        running = read_running(tmp_path)
        assert running is not None
        starter.kill()
    # The server holds this lock for its life: getting it is its end, and needs no sleeping.
    waiting = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX)"
    subprocess.run([sys.executable, "-c", waiting, str(tmp_path / "server.lock")], timeout=30, check=True)
    assert read_running(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"address": "127.0.0.1:1"}'])
def test_a_damaged_server_file_counts_as_no_server(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.json").write_text(text)
    with (tmp_path / "server.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert read_running(tmp_path) is None


async def test_without_a_server_connecting_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoServer) as refused:
        await connect(tmp_path)
    assert str(refused.value) == (
        f"No Temporal server is running for {tmp_path}: start one with `casework up`, or set TEMPORAL_ADDRESS."
    )


async def test_a_server_that_does_not_answer_is_refused_at_once(tmp_path: Path) -> None:
    # Nothing listens on port 1.
    dead = RunningServer(address="127.0.0.1:1", ui="http://127.0.0.1:1", pid=os.getpid(), started=datetime.now(UTC))
    (tmp_path / "server.json").write_text(dead.model_dump_json())
    with (tmp_path / "server.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(NoServer, match=r"does not answer at 127\.0\.0\.1:1: start one with `casework up`"):
            await connect(tmp_path)


@pytest.mark.usefixtures("server")
async def test_the_users_own_temporal_settings_win_over_the_embedded_server(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    with pytest.raises(NoServer, match=r"at 127\.0\.0\.1:1, which your TEMPORAL_\* settings name"):
        await connect(home)


@pytest.mark.parametrize(
    ("settings", "code", "told"),
    [
        ({"TEMPORAL_TLS_CLIENT_CERT_PATH": "nowhere.pem", "TEMPORAL_TLS_CLIENT_KEY_PATH": "k"}, 2, "nowhere.pem"),
        ({"TEMPORAL_TLS_CLIENT_CERT_DATA": "c"}, 2, "certificate and key go together, and a key is missing"),
        ({"TEMPORAL_TLS_CLIENT_KEY_DATA": "k"}, 2, "certificate and key go together, and a certificate is missing"),
        ({"TEMPORAL_TLS": "true"}, 1, "it does not speak TLS"),
        ({"TEMPORAL_API_KEY": "secret"}, 1, "it does not speak TLS"),
        (
            {"TEMPORAL_TLS": "true", "TEMPORAL_TLS_CLIENT_CERT_DATA": "c", "TEMPORAL_TLS_CLIENT_KEY_DATA": "k"},
            1,
            "private key cannot be read",
        ),
        ({"TEMPORAL_NAMESPACE": "nope"}, 1, "has no namespace nope"),
        ({"TEMPORAL_ADDRESS": "127.0.0.1:1"}, 1, "No Temporal server answers at 127.0.0.1:1"),
        ({"TEMPORAL_ADDRESS": "nowhere.invalid:7233"}, 1, "its name is not known"),
    ],
)
def test_a_worker_whose_temporal_settings_are_wrong_says_so_in_a_sentence(
    server: SharedServer, tmp_path: Path, settings: dict[str, str], code: int, told: str
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CASEWORK_", "TEMPORAL_"))}
    environment = {**kept, "CASEWORK_HOME": str(tmp_path), "TEMPORAL_ADDRESS": server.address, **settings}
    done = subprocess.run(
        [sys.executable, Path(__file__).parents[1] / "worker.py"],
        env={**environment, "CASEWORK_DATABASE_URL": f"sqlite:///{tmp_path / 'shop.db'}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code
    (sentence,) = done.stderr.splitlines()
    assert told in sentence
    assert "secret" not in sentence


def test_a_cluster_is_read_from_a_profile_of_temporals_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "temporal.toml"
    file.write_text('[profile.shop]\naddress = "cluster.example:7233"\nnamespace = "cases"\n')
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(file))
    assert configured_cluster() is None
    monkeypatch.setenv("TEMPORAL_PROFILE", "shop")
    cluster = configured_cluster()
    assert str(cluster) == ("Temporal cluster at cluster.example:7233, namespace cases, from your Temporal settings")
    monkeypatch.setenv("TEMPORAL_PROFILE", "unknown")
    with pytest.raises(InvalidTemporalSettings, match="unknown"):
        configured_cluster()
