"""What `deploy/` says is true of the program: figures, settings, files that it takes, services that start."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from temporalio.envconfig import ClientConfigProfile

from casework.metrics import registry_of
from casework.monitoring import LIVE, METRICS, READY
from casework.settings import PREFIX, Settings
from casework.shop.database import Database

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SERVICES = sorted(DEPLOY.glob("*.service"))


def example(*, all_of_it: bool) -> dict[str, str]:
    """The settings of the example, with those that are commented out or without."""
    lines = (DEPLOY / "casework.env.example").read_text().splitlines()
    settings = [line.removeprefix("#") if all_of_it else line for line in lines]
    return dict(line.split("=", 1) for line in settings if re.match(r"[A-Z_]+=", line))


def test_the_examples_settings_are_taken_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = {name: value for name, value in example(all_of_it=True).items() if name.startswith(PREFIX)}
    for name, value in given.items():
        assert name.removeprefix(PREFIX).lower() in Settings.model_fields
        monkeypatch.setenv(name, value)
    assert Settings().metrics_address == given["CASEWORK_METRICS_ADDRESS"]


def test_the_examples_cluster_has_tls_a_client_certificate_and_a_key() -> None:
    given = {name: value for name, value in example(all_of_it=True).items() if name.startswith("TEMPORAL_")}
    profile = ClientConfigProfile.load(disable_file=True, override_env_vars=given)
    assert (profile.address, profile.namespace) == (given["TEMPORAL_ADDRESS"], given["TEMPORAL_NAMESPACE"])
    assert profile.api_key == given["TEMPORAL_API_KEY"]
    assert profile.tls is not None
    assert profile.tls.client_cert == Path(given["TEMPORAL_TLS_CLIENT_CERT_PATH"])
    assert profile.tls.client_private_key == Path(given["TEMPORAL_TLS_CLIENT_KEY_PATH"])
    assert profile.tls.server_root_ca_cert == Path(given["TEMPORAL_TLS_SERVER_CA_CERT_PATH"])
    assert profile.tls.server_name == given["TEMPORAL_TLS_SERVER_NAME"]
    plain = ClientConfigProfile.load(disable_file=True, override_env_vars=example(all_of_it=False))
    assert (plain.api_key, plain.tls) == (None, None)


def test_every_figure_is_documented_and_every_alert_names_one_that_there_is(database: Database) -> None:
    figures = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in registry_of(database).collect()
    }
    documented = set(re.findall(r"`(casework_\w+)`", (DEPLOY / "README.md").read_text()))
    assert documented == figures
    alerted = set(re.findall(r"casework_\w+", (DEPLOY / "alerts.yaml").read_text()))
    assert alerted
    assert alerted <= figures


def test_the_container_has_all_that_a_worker_and_a_desk_need(tmp_path: Path) -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    taken = [name for line in re.findall(r"^COPY ([^-].*) \S+$", dockerfile, re.MULTILINE) for name in line.split()]
    let_in = (DEPLOY / "Dockerfile.dockerignore").read_text()
    for name in taken:
        assert f"!{name}\n" in let_in
        there, here = ROOT / name, tmp_path / name
        here.parent.mkdir(parents=True, exist_ok=True)
        if there.is_dir():
            shutil.copytree(there, here, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(there, here)
    script = (
        "import sys, worker, casework.cli.up, casework.cli.app, casework.schedule\n"
        "from pathlib import Path\n"
        "for name, module in sorted(sys.modules.items()):\n"
        "    file = getattr(module, '__file__', None)\n"
        f"    if file and Path(file).is_relative_to({str(ROOT)!r}) and 'site-packages' not in file:\n"
        "        print(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    asked = set(re.findall(r"127\.0\.0\.1:9464(/\w+)", dockerfile))
    assert asked == {LIVE}  # what is unhealthy is started again: of no use while the shop is away
    assert all(f"`{path}`" in (DEPLOY / "README.md").read_text() for path in (LIVE, READY, METRICS))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
@pytest.mark.parametrize("service", SERVICES, ids=[one.stem for one in SERVICES])
def test_systemd_takes_the_services(service: Path, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("python", "casework"):
        (programs / name).symlink_to(sys.executable)
    unit = tmp_path / service.name.replace("@", "@1")
    unit.write_text(
        service.read_text().replace("/opt/casework/.venv/bin", str(programs)).replace("file:///opt", "file:")
    )
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if service.stem.rstrip("@") in line]
    assert (done.returncode, ours) == (0, [])
