"""The programs of a real cluster, built with Go as `build/go.mod` pins them, and kept in the user's cache."""

from __future__ import annotations

import os
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from casework.server_program import SERVER_VERSION, Report, alone, build_with_go, cache_directory

GO_MODULE: Final = Path(__file__).parent / "build"
PACKAGES: Final = {
    "temporal-server": "go.temporal.io/server/cmd/server",
    "temporal-sql-tool": "go.temporal.io/server/cmd/tools/sql",
}


@dataclass(frozen=True, slots=True)
class ClusterPrograms:
    """`temporal-server`, and the tool that makes its tables."""

    server: Path
    sql_tool: Path


def find_cluster_programs(report: Report) -> ClusterPrograms:
    """Find them in the cache, or build them: five minutes, once.

    Raises:
        ServerNotFound: there is no Go, or they cannot be built.

    """
    directory = cache_directory(os.environ)
    directory.mkdir(parents=True, exist_ok=True)
    kept = {
        name: directory / f"{name}-{SERVER_VERSION}-{platform.system().lower()}-{platform.machine()}"
        for name in PACKAGES
    }
    if not all(one.exists() for one in kept.values()):
        with alone(directory, report), tempfile.TemporaryDirectory(prefix="getting-", dir=directory) as workplace:
            for name, package in PACKAGES.items():
                if not kept[name].exists():
                    report(f"building {name} {SERVER_VERSION} with Go: some minutes, once")
                    program = Path(workplace) / name
                    build_with_go(GO_MODULE, package, program, os.environ, report)
                    program.replace(kept[name])
    return ClusterPrograms(kept["temporal-server"], kept["temporal-sql-tool"])
