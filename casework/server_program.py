"""Finds the Temporal server: given, on PATH, in the user's cache, downloaded, or built with Go.

`python -m casework.server_program [--own]` does so and says which one it took; without `--own`, a cluster
named by Temporal's own settings is enough.
"""

import contextlib
import fcntl
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OLDEST_SERVER: Final = (1, 32)
"""Time skipping, which tests and demos stand on, hangs on older servers."""
SERVER_VERSION: Final = "1.32.0"
"""What is downloaded or built; the same as in `casework/build/go.mod` (a test holds them together)."""
CLI_VERSION: Final = "1.8.2"
"""The version of Temporal's command line that carries that server; also in `casework/build/go.mod`."""

GO_MODULE: Final = Path(__file__).parent / "build"
GO_PACKAGE: Final = "github.com/temporalio/cli/cmd/temporal"
OLDEST_GO: Final = (1, 21)
"""From here on Go fetches by itself the newer toolchain that `go.mod` names."""

DOWNLOAD_SILENCE: Final = 20.0
"""Seconds without a new byte after which a download is given up."""
PROGRESS_EVERY: Final = 15.0
"""Seconds between two lines about something that takes long."""

NOTHING_FOUND: Final = (
    "No Temporal server was found and none could be downloaded: install Temporal's command line "
    f"({CLI_VERSION} or newer, as `temporal` on PATH) or Go (1.21 or newer), then try again."
)

Report = Callable[[str], None]
"""Takes one plain line of progress."""


class ServerNotFound(Exception):
    """There is no usable Temporal server; the message is one sentence that says what to install or mend."""


@dataclass(frozen=True, slots=True)
class ServerProgram:
    """A `temporal` program whose development server is new enough."""

    path: Path
    version: str
    """Of the server inside, as in `1.32.0`."""
    origin: str
    """Where it is from, to be said after the version: `from your cache`."""

    def __str__(self) -> str:
        """As it is shown: `Temporal 1.32.0, from your cache`."""
        return f"Temporal {self.version}, {self.origin}"


def find_server_program(
    report: Report, *, given: str | None = None, environment: Mapping[str, str] | None = None
) -> ServerProgram:
    """Finds a `temporal` program with a server of 1.32 or newer, and gets one where there is none.

    In this order: `given` (default: `CASEWORK_TEMPORAL_CLI` of the environment), `temporal` on PATH, the
    user's cache directory, the SDK's own download, a build with Go. The last two take minutes, once, and
    report their progress; the result is kept in the cache directory. A cluster named by Temporal's own
    settings is not looked at here (`casework.connection.configured_cluster`).

    Raises `ServerNotFound`.
    """
    environment = os.environ if environment is None else environment
    given = given or environment.get("CASEWORK_TEMPORAL_CLI")
    if given:
        return _given(given, environment)
    on_path = shutil.which("temporal", path=environment.get("PATH", os.defpath))
    # our own link to the cache is not the user's choice
    if on_path and not Path(on_path).resolve().is_relative_to(cache_directory(environment).resolve()):
        version = server_version(Path(on_path))
        if version and _new_enough(version):
            return ServerProgram(Path(on_path), version, "from your PATH")
        report(f"`temporal` on your PATH is not used: {_what_is_wrong(version)}")
    directory = cache_directory(environment)
    if cached := _cached(directory):
        return cached
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with alone(directory, report):
            # Whoever held the lock may have got it meanwhile.
            return _cached(directory) or _get(directory, environment, report)
    except OSError as error:
        raise ServerNotFound(
            f"The Temporal server cannot be kept in {directory}: {error.strerror or error}; "
            "set XDG_CACHE_HOME to a folder that can be written."
        ) from error


def put_on_path(program: Path, *, prefix: Path | None = None) -> Path | None:
    """Makes the program the `temporal` of this virtual environment where PATH has none; gives the link, if made.

    So the plain `temporal` commands work in every terminal where the environment is active. A link of an earlier run
    is brought up to date; anything else of that name is left alone. `prefix` is the environment (default: the running
    Python's).
    """
    if prefix is None and sys.prefix == sys.base_prefix:
        return None  # the system's own Python is not ours to change
    link = (prefix or Path(sys.prefix)) / "bin" / "temporal"
    on_path = shutil.which("temporal")
    if (on_path and Path(on_path) != link) or (link.exists() and not link.is_symlink()):
        return None
    with contextlib.suppress(OSError):  # a convenience: where it cannot be, everything of ours works all the same
        link.unlink(missing_ok=True)
        link.symlink_to(program)
        return link
    return None


def cache_directory(environment: Mapping[str, str]) -> Path:
    """Where what was downloaded or built is kept between runs, for all checkouts of this user."""
    home = Path(environment.get("HOME") or Path.home())
    named = environment.get("XDG_CACHE_HOME", "")
    if named and Path(named).is_absolute():  # a relative one is to be ignored, says the XDG specification
        return Path(named) / "casework"
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "casework"


def server_version(program: Path) -> str | None:
    """The version of the server inside a `temporal` program, as in `1.32.0`; None if it does not say one."""
    try:
        answer = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\bServer (\d+\.\d+\.\d+)", answer.stdout)
    return found[1] if found and answer.returncode == 0 else None


def _given(given: str, environment: Mapping[str, str]) -> ServerProgram:
    program = shutil.which(given, path=environment.get("PATH", os.defpath))
    if program is None:
        raise ServerNotFound(f"CASEWORK_TEMPORAL_CLI names {given}, which is not a program.")
    version = server_version(Path(program))
    if version is None or not _new_enough(version):
        raise ServerNotFound(f"CASEWORK_TEMPORAL_CLI names {given}: {_what_is_wrong(version)}.")
    return ServerProgram(Path(program), version, "from CASEWORK_TEMPORAL_CLI")


def _new_enough(version: str) -> bool:
    return _numbers(version) >= OLDEST_SERVER


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _what_is_wrong(version: str | None) -> str:
    if version is None:
        return "it does not say which Temporal server it holds"
    return f"its server is {version}, and 1.32 or newer is needed"


def _name(version: str) -> str:
    # A home directory may be shared by machines of different kinds.
    return f"temporal-{version}-{platform.system().lower()}-{platform.machine()}"


def _cached(directory: Path) -> ServerProgram | None:
    found = sorted(
        (_numbers(match[1]), path)
        for path in directory.glob(_name("*"))
        if (match := re.fullmatch(re.escape(_name("V")).replace("V", r"(\d+\.\d+\.\d+)"), path.name))
    )
    for _, path in reversed(found):
        # Asked again, as a full disk or a clean-up may have left half a file.
        version = server_version(path)
        if version and _new_enough(version):
            return ServerProgram(path, version, "from your cache")
    return None


@contextlib.contextmanager
def alone(directory: Path, report: Report) -> Generator[None]:
    """Two runs at once must not both download or build: the second waits and takes what the first one got."""
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("another run is getting the Temporal server: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left_behind in directory.glob("getting-*"):
            shutil.rmtree(left_behind, ignore_errors=True)
        yield


def _get(directory: Path, environment: Mapping[str, str], report: Report) -> ServerProgram:
    with tempfile.TemporaryDirectory(prefix="getting-", dir=directory) as workplace:
        program, origin = _download(Path(workplace), environment, report), "downloaded by Temporal's SDK"
        if program is None:
            program, origin = _build(Path(workplace), environment, report), "built with Go"
        program.chmod(0o755)
        version = server_version(program)
        if version is None or not _new_enough(version):
            raise ServerNotFound(f"The Temporal server just {origin} does not work: {_what_is_wrong(version)}.")
        stored = directory / _name(version)
        program.replace(stored)  # in one step: nobody ever sees half of it
    return ServerProgram(stored, version, origin)


def _download(workplace: Path, environment: Mapping[str, str], report: Report) -> Path | None:
    """The program downloaded by the SDK, or None where that cannot be had."""
    report(f"asking Temporal's own download for its server {SERVER_VERSION}")
    folder = workplace / "download"
    folder.mkdir()
    command = [sys.executable, "-m", "casework.server_download", f"v{CLI_VERSION}", str(folder)]
    started = heard = reported = time.monotonic()
    size = 0
    with (workplace / "download.log").open("w") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(environment),
            cwd=GO_MODULE.parent.parent,
        )
        with _ended(process):
            while process.poll() is None:
                time.sleep(0.1)
                now = time.monotonic()
                if (grown := _size(folder)) != size:
                    size, heard = grown, now
                if now - heard > DOWNLOAD_SILENCE:
                    break
                if now - reported > PROGRESS_EVERY:
                    reported = now
                    report(f"downloading the Temporal server: {size // 1_000_000} MB in {now - started:.0f} s")
    for path in sorted(folder.iterdir()):
        # A half download has another ending; whether it is the right program is asked of the program itself.
        if path.is_file() and path.suffix != ".downloading" and server_version(path):
            return path
    report("Temporal's own download cannot be reached from here")
    return None


def _size(folder: Path) -> int:
    total = 0
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # renamed between the two looks
            total += path.stat().st_size
    return total


def _build(workplace: Path, environment: Mapping[str, str], report: Report) -> Path:
    program = workplace / "temporal"
    variables = f"-X github.com/temporalio/cli/internal/temporalcli.Version={CLI_VERSION}"
    report(f"building the Temporal server {SERVER_VERSION} with Go: about five minutes, once")
    build_with_go(GO_MODULE, GO_PACKAGE, program, environment, report, variables=variables)
    report("Go keeps 3.5 GB of sources and results; `go clean -cache -modcache` frees them")
    return program


def build_with_go(
    module: Path, package: str, program: Path, environment: Mapping[str, str], report: Report, *, variables: str = ""
) -> None:
    """Builds the package that the module in that folder pins, as the program; says how far it is.

    Raises `ServerNotFound`: there is no Go, or it cannot be built.
    """
    go = shutil.which("go", path=environment.get("PATH", os.defpath))
    if go is None:
        raise ServerNotFound(NOTHING_FOUND)
    settings = {
        **environment,
        "CGO_ENABLED": "0",  # no C compiler is needed
        "GOFLAGS": "-mod=readonly",  # exactly what go.sum pins
        "GOWORK": "off",
    }
    said = subprocess.run(
        [go, "env", "GOVERSION"],
        capture_output=True,
        text=True,
        env={**settings, "GOTOOLCHAIN": "local"},
        check=False,
    ).stdout.strip()
    found = re.match(r"go(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_GO:
        raise ServerNotFound(
            f"{NOTHING_FOUND.removesuffix('.')} (the Go here is {said.removeprefix('go') or 'older'})."
        )
    log = program.with_suffix(".log")
    command = [go, "build", "-v", "-trimpath", "-ldflags", f"-s -w {variables}", "-o", str(program), package]
    started = reported = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=settings, cwd=module
        )
        with _ended(process):
            while process.poll() is None:
                time.sleep(0.1)
                now = time.monotonic()
                if now - reported > PROGRESS_EVERY:
                    reported = now
                    report(f"building the server: {_build_step(log)}, {now - started:.0f} s so far")
    if process.returncode != 0:
        raise ServerNotFound(f"The Temporal server could not be built with Go: {_last_line(log)}.")


def _build_step(log: Path) -> str:
    """How far `go build -v` is, which names every source that it fetches and every package that it
    compiles.
    """
    lines = [line for line in log.read_text(errors="replace").splitlines() if line]
    compiled = sum(not line.startswith("go: ") for line in lines)
    return f"{compiled} packages compiled" if compiled else f"{len(lines)} sources fetched"


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip().rstrip(".") for line in reversed(lines) if line.strip()), "it did not say why")


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Generator[None]:
    """Ends the process when the block ends early, be it by Ctrl-C, and waits for it."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def main(arguments: list[str]) -> int:
    """Says which Temporal server will be used; gets one if need be, and links it into the virtual environment.

    Exit code 0, or 1 with one sentence.
    """
    # the SDK takes a while to import
    from casework.connection import InvalidTemporalSettings, configured_cluster

    try:
        if "--own" not in arguments and (cluster := configured_cluster()):
            print(f"✓ {cluster}")
            return 0
        found = find_server_program(lambda line: print(f"… {line}", flush=True))
        put_on_path(found.path)
        print(f"✓ {found}")
    except (ServerNotFound, InvalidTemporalSettings) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
