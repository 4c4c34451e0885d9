"""How the tests come by a PostgreSQL: found, installed, or said to be missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import postgresql
from tests.postgresql import Missing, find_programs, install


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without PostgreSQL: where Debian would put it, and on the path a place for programs."""
    monkeypatch.setattr(postgresql, "DEBIAN", tmp_path / "postgresql")
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}")
    (tmp_path / "path").mkdir()
    return tmp_path


def program(file: Path, script: str = "exit 0") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def all_programs(folder: Path) -> Path:
    for name in postgresql.PROGRAMS:
        program(folder / name)
    return folder


def test_the_newest_version_of_debians_is_found_and_one_on_the_path_goes_first(bare: Path) -> None:
    all_programs(bare / "postgresql" / "9.6" / "bin")
    newest = all_programs(bare / "postgresql" / "15" / "bin")
    program(bare / "postgresql" / "16" / "bin" / "initdb")
    assert find_programs() == newest, "of 16 only a part is there"
    assert find_programs() != all_programs(bare / "path")
    assert find_programs() == bare / "path"


def test_whoever_is_not_root_is_told_what_is_missing(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program(bare / "path" / "apt-get", "echo it was called >&2; exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    assert postgresql.main() == 1
    said = capsys.readouterr().err
    assert "`apt install postgresql`" in said
    assert said.count("\n") == 1


def test_root_installs_debians_package(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    there = bare / "postgresql" / "15" / "bin"
    monkeypatch.setenv("PATH", f"{bare / 'path'}:/usr/bin:/bin")
    monkeypatch.setattr(postgresql, "PROGRAMS", ("initdb-of-the-tests",))

    def which(name: str) -> str | None:
        return None if name == "initdb" else name

    monkeypatch.setattr(postgresql.shutil, "which", which)
    made = f"mkdir -p {there}; touch {there}/initdb-of-the-tests"
    program(bare / "path" / "apt-get", f'echo "$@" >> {bare}/asked; case "$1" in install) {made};; esac')
    install()
    asked = (bare / "asked").read_text().splitlines()
    assert [line.split()[0] for line in asked] == ["update", "install"]
    assert asked[1].endswith(" postgresql")
    assert find_programs() == there


def test_where_it_cannot_be_installed_apts_own_words_are_told(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    program(bare / "path" / "apt-get", 'echo "W: first" >&2; echo "E: there is no network" >&2; exit 100')
    with pytest.raises(Missing, match="apt-get update failed: E: there is no network"):
        install()
