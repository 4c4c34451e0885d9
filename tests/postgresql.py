"""The one PostgreSQL server of a run, shared by the processes that share the tests; each has databases of its own.

`python -m tests.postgresql` looks whether PostgreSQL is there, and installs Debian's package where that can be done.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TypedDict

REQUIRED = "CASEWORK_TEST_POSTGRESQL"
"""`required` in the environment: tests that need PostgreSQL fail where it is missing, instead of being skipped."""
DEBIAN = Path("/usr/lib/postgresql")
PROGRAMS = ("initdb", "pg_ctl", "postgres")
DEFAULT_PORT = 5432
INSTALLING_SECONDS, STARTING_SECONDS = 600, 60
FLAGS = (
    "max_connections=200",
    # far from UTC, in which the shop keeps its times
    "timezone=Asia/Shanghai",
)
FLEETING = ("fsync=off", "full_page_writes=off")
"""Nobody needs it after a power cut."""
LOCALE = ("--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US")
"""Text is ordered otherwise than Python does, as it is on most machines."""


class Missing(Exception):
    """PostgreSQL is not there: one sentence that says what to do."""


def find_programs() -> Path:
    """The folder of PostgreSQL's own programs: on the path, else where Debian has them, the newest version.

    Raises:
        Missing: there is none.

    """
    on_path = shutil.which("initdb")
    versions = sorted(DEBIAN.glob("*/bin"), key=lambda one: [int(n) for n in one.parent.name.split(".") if n.isdigit()])
    for folder in ([Path(on_path).resolve().parent] if on_path else []) + versions[::-1]:
        if all((folder / name).exists() for name in PROGRAMS):
            return folder
    raise Missing(
        f"PostgreSQL's programs ({', '.join(PROGRAMS)}) are neither on the path nor in {DEBIAN}: "
        "install them (on Debian and Ubuntu: `apt install postgresql`)"
    )


def install() -> None:
    """Install Debian's package, as root.

    Raises:
        Missing: this is not root, or there is no apt, or it cannot fetch the package.

    """
    try:
        find_programs()
    except Missing:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise
    else:
        return
    print("… PostgreSQL: installing Debian's package, about a minute, once", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "--quiet"], ["install", "--quiet", "--yes", "--no-install-recommends", "postgresql"]):
        try:
            done = subprocess.run(
                ["apt-get", *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=INSTALLING_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Missing(f"apt-get {command[0]} did not end in {INSTALLING_SECONDS} s") from None
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["it does not say why"])[-1]
            raise Missing(f"apt-get {command[0]} failed: {said}")
    find_programs()


@dataclass(frozen=True)
class SharedPostgreSQL:
    """Where the server is: `folder` holds its socket, and its number is the port's, whether or not that is open."""

    folder: str
    user: str
    port: int

    def told(self) -> dict[str, object]:
        """As one process tells it to another."""
        return asdict(self)

    def url(self, name: str) -> str:
        """Of a database, as a user of Casework writes it."""
        return f"postgresql://{self.user}@/{name}?host={self.folder}&port={self.port}"

    def execute(self, statement: str, *, name: str = "postgres") -> list[tuple[object, ...]]:
        """Have a statement executed outside of any transaction, in the server's own database by default."""
        # imported late: whoever only looks for the server has no environment yet
        import psycopg

        with psycopg.connect(
            host=self.folder, port=self.port, user=self.user, dbname=name, autocommit=True
        ) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def database(self, name: str, *, template: str = "template0") -> Generator[str]:
        """A new database, dropped at the end, whoever may still be connected; gives its URL."""
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        try:
            yield self.url(name)
        finally:
            self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


class _How(TypedDict):
    cwd: Path
    env: dict[str, str]
    stdin: int
    user: int | None
    group: int | None
    extra_groups: tuple[()] | None


class RunningPostgreSQL:
    """Runs a server in a temporary folder. Where we are root, as somebody else: PostgreSQL refuses to run as root."""

    def __init__(self, *, lasting: bool = False, port: int | None = None, kept: bool = False) -> None:
        """Nothing is started yet. `lasting`: what is committed is on the disk, as a shop's would be.

        `port`: of this machine's, for clients that know no other way; by default only who may enter its folder
        reaches the server. `kept`: its folder stays.

        Raises:
            Missing: there is no PostgreSQL.

        """
        self._programs = find_programs()
        self._port = port or DEFAULT_PORT
        reached = f"listen_addresses={'127.0.0.1' if port else ''}"
        self._flags = (*FLAGS, reached, f"port={self._port}", *(() if lasting else FLEETING))
        # not in pytest's own folder, which nobody else may enter; and a socket's path must be short
        self._kept = kept
        self._folder = Path(tempfile.mkdtemp(prefix="casework-pg-"))
        self._somebody = _somebody() if os.geteuid() == 0 else None
        if self._somebody is not None:
            os.chown(self._folder, self._somebody.pw_uid, self._somebody.pw_gid)

    @property
    def folder(self) -> Path:
        """Where it keeps everything."""
        return self._folder

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def start(self) -> SharedPostgreSQL:
        """Make its data, start it and wait until it can be used."""
        shared = self.prepare()
        self.start_again()
        return shared

    def prepare(self) -> SharedPostgreSQL:
        """Make its data, and say where it will be."""
        self._run("initdb", "--auth=trust", "--username=casework", "--no-sync", *LOCALE, "--pgdata", str(self._data))
        return SharedPostgreSQL(str(self._folder), "casework", self._port)

    def start_again(self) -> None:
        """Start it on the data that is there."""
        self._run(
            *("pg_ctl", "start", "--wait", "--silent", f"--timeout={STARTING_SECONDS}", "--pgdata", str(self._data)),
            *("--log", str(self._folder / "log"), "--options", " ".join(self._options)),
        )

    async def launch(self, log: IO[bytes]) -> asyncio.subprocess.Process:
        """Start it on the data that is there as a child of this process, which may kill it; it is not waited for."""
        return await asyncio.create_subprocess_exec(
            str(self._programs / "postgres"),
            "-D",
            str(self._data),
            *self._options,
            **self._how(),
            stdout=log,
            stderr=log,
        )

    def kill(self) -> None:
        """Stop it as a power cut would: nobody is told, and nothing is put in order."""
        self._run("pg_ctl", "stop", "--mode=immediate", "--wait", "--silent", "--pgdata", str(self._data))

    def stop(self) -> None:
        """Stop it, and remove what it kept."""
        try:
            if (self._data / "postmaster.pid").exists():
                self.kill()
        finally:
            self.remove()

    def remove(self) -> None:
        """Remove what it kept, unless it is to stay: it does not run any more."""
        if self._kept:
            return
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _options(self) -> list[str]:
        return ["-k", str(self._folder), *(part for flag in self._flags for part in ("-c", flag))]

    def _how(self) -> _How:
        """Where, and as whom, its programs run."""
        return {
            "cwd": self._folder,
            "env": {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            "stdin": subprocess.DEVNULL,
            "user": None if self._somebody is None else self._somebody.pw_uid,
            "group": None if self._somebody is None else self._somebody.pw_gid,
            "extra_groups": None if self._somebody is None else (),
        }

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            # the server that pg_ctl leaves behind would keep a pipe open
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            check=False,
            **self._how(),
        )
        if done.returncode != 0:
            log = self._folder / "log"
            said = log.read_text(errors="replace") if log.exists() else "it has not written a log"
            raise RuntimeError(f"{program} ended with {done.returncode}: {said}")


def _somebody() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Missing("PostgreSQL refuses to run as root, and this machine has neither a user postgres nor nobody")


def main() -> int:
    """Say where PostgreSQL is, installed if need be; 1 and one sentence where it is not."""
    try:
        install()
    except Missing as missing:
        print(f"– PostgreSQL: {missing}. Its tests are skipped.", file=sys.stderr)
        return 1
    print(f"✓ PostgreSQL in {find_programs()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
