"""The demo deletes nothing but what a demo made, and fails in one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from casework.demo import DemoFailed, make_room, surroundings

ROOT = Path(__file__).parents[1]


def demo(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "casework.demo", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_folder_that_no_demo_made_is_refused_and_nothing_in_it_is_touched(tmp_path: Path) -> None:
    mine = tmp_path / "accounts.csv"
    mine.write_text("mine")
    code, said = demo("--home", str(tmp_path))
    assert code == 1
    assert said == (
        f"The demo failed: {tmp_path} is not empty and was not made by a demo: name another folder with --home.\n"
    )
    assert mine.read_text() == "mine"


def test_what_an_earlier_demo_left_goes(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    make_room(home)
    (home / "shop.db").write_text("old")
    make_room(home)
    assert not (home / "shop.db").exists()


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    make_room(tmp_path)
    with pytest.raises(DemoFailed, match="is no folder"):
        make_room(next(tmp_path.iterdir()))


@pytest.mark.parametrize("shop", ["nowhere", "."])
def test_a_shop_without_exports_is_one_sentence_and_nothing_is_started(tmp_path: Path, shop: str) -> None:
    code, said = demo("--shop", str(tmp_path / shop), "--home", str(tmp_path / "home"))
    assert (code, said.count("\n")) == (1, 1)
    assert not (tmp_path / "home").exists()


def test_what_no_demo_made_is_never_deleted(tmp_path: Path) -> None:
    make_room(tmp_path / "home")
    (tmp_path / "home" / "shop.db").touch()
    make_room(tmp_path / "home")
    (tmp_path / "home" / "mine.txt").write_text("mine")
    with pytest.raises(DemoFailed, match=r"mine\.txt"):
        make_room(tmp_path / "home")
    assert (tmp_path / "home" / "mine.txt").read_text() == "mine"


def test_the_demo_plays_in_its_own_shop_whatever_the_settings_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASEWORK_DATABASE_URL", "sqlite:////elsewhere/shop.db")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "cluster:7233")
    around = surroundings(tmp_path)
    assert around["CASEWORK_DATABASE_URL"] == f"sqlite:///{tmp_path / 'shop.db'}"
    assert "TEMPORAL_ADDRESS" not in around
