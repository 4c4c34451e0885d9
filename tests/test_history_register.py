"""The register of the recorded histories: a file or a line of it that changes without a reason fails `make check`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.history_register import HISTORIES, REGISTER, faults, main
from tests.recording import keep

FILE = "flow-x/done.a_path.json"
OTHER = "flow-x/failed.another.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recorded histories, registered as `make histories` does it; no git anywhere around."""
    for name in (FILE, OTHER):
        keep(tmp_path / name, '{"events": []}', tmp_path)
    return tmp_path


@pytest.fixture
def repository(folder: Path) -> Path:
    """The same, committed; git takes recorded files for binary ones here, as in the checkout."""
    (folder / ".gitattributes").write_text(f"* -diff\n{REGISTER} merge=union\n")
    git(folder, "init", "--quiet")
    commit(folder)
    return folder


def git(folder: Path, *arguments: str) -> None:
    settings = ("user.name=Tests", "user.email=tests@example.org", "commit.gpgsign=false", "init.defaultBranch=main")
    options = [part for one in settings for part in ("-c", one)]
    subprocess.run(["git", *options, *arguments], cwd=folder, check=True, capture_output=True)


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "a step")


def lines(folder: Path) -> list[str]:
    return (folder / REGISTER).read_text().splitlines()


def write(folder: Path, *wanted: str) -> None:
    (folder / REGISTER).write_text("".join(f"{line}\n" for line in wanted))


def change(folder: Path) -> str:
    """A history is recorded anew; answers what the register would have to say, without the reason."""
    (folder / FILE).write_text("{}")
    (fault,) = faults(folder)
    return fault.split("`")[1].replace("<tab>", "\t")


def test_the_histories_of_this_checkout_are_as_registered() -> None:
    assert faults(HISTORIES) == []


def test_what_was_just_recorded_is_registered(folder: Path) -> None:
    assert faults(folder) == []
    assert [line.split("\t")[0] for line in lines(folder)] == [FILE, OTHER]


def test_a_changed_history_is_named_with_what_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(folder)
    assert main(folder) == 1
    said = capsys.readouterr().err
    assert f"{FILE} is not what was recorded" in said
    assert "workflow.patched" in said


def test_a_line_that_says_why_lets_a_changed_history_pass(folder: Path) -> None:
    line = change(folder)
    write(folder, *lines(folder), f"{line}no shop runs this yet")
    assert faults(folder) == []


@pytest.mark.parametrize("why", ["", " ", "recorded"])
def test_a_line_for_a_changed_history_must_say_why(folder: Path, why: str) -> None:
    line = change(folder)
    write(folder, *lines(folder), f"{line}{why}")
    assert [f"a line of {FILE} does not say why" in fault for fault in faults(folder)] == [True]


def test_recording_never_registers_a_changed_history_again(folder: Path) -> None:
    before = lines(folder)
    keep(folder / FILE, '{"events": [1]}', folder)
    assert lines(folder) == before
    assert len(faults(folder)) == 1


def test_a_history_without_a_line_is_named(folder: Path) -> None:
    write(folder, lines(folder)[0])
    (fault,) = faults(folder)
    assert f"{OTHER} is not in the register" in fault


def test_a_history_that_is_gone_is_named_unless_a_line_says_why(folder: Path) -> None:
    (folder / OTHER).unlink()
    (fault,) = faults(folder)
    assert f"{OTHER} is in the register and not there" in fault
    write(folder, *lines(folder), f"{OTHER}\tremoved\t")
    assert len(faults(folder)) == 1
    write(folder, *lines(folder)[:-1], f"{OTHER}\tremoved\tthe flow has no such end any more")
    assert faults(folder) == []


def test_a_line_that_is_none_is_named_by_its_number(folder: Path) -> None:
    write(folder, *lines(folder), "flow-x/done.a_path.json abc why")
    (fault,) = faults(folder)
    assert "line 3" in fault


def test_a_missing_register_names_every_history(folder: Path) -> None:
    (folder / REGISTER).unlink()
    assert len(faults(folder)) == 2


def test_a_registered_line_that_was_changed_or_dropped_is_named(repository: Path) -> None:
    first, second = lines(repository)
    line = change(repository)
    write(repository, f"{line}recorded", second)
    (fault,) = faults(repository)
    assert f"the line `{first}` was there" in fault
    commit(repository)
    assert faults(repository) == [fault], "a commit does not make it right"


def test_a_line_that_was_dropped_is_mended_by_putting_it_back(repository: Path) -> None:
    first, second = lines(repository)
    write(repository, first)
    (repository / OTHER).unlink()
    commit(repository)
    assert f"the line `{second}` was there" in faults(repository)[0]
    write(repository, first, second, f"{OTHER}\tremoved\tthe flow has no such end any more")
    assert faults(repository) == []


def test_lines_are_added_at_the_end(repository: Path) -> None:
    write(repository, *reversed(lines(repository)))
    (fault,) = faults(repository)
    assert "go to the end" in fault


def test_two_branches_that_each_record_a_history_may_be_merged(repository: Path) -> None:
    base = lines(repository)
    git(repository, "checkout", "--quiet", "-b", "side")
    keep(repository / "flow-x/done.side.json", "{}", repository)
    commit(repository)
    git(repository, "checkout", "--quiet", "-")
    keep(repository / "flow-x/done.main.json", "{}", repository)
    commit(repository)
    git(repository, "merge", "--quiet", "--no-edit", "side")
    assert len(lines(repository)) == len(base) + 2
    assert faults(repository) == []


def test_a_shallow_checkout_is_whole(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    write(repository, *lines(repository), f"{change(repository)}no shop runs this yet")
    commit(repository)
    clone = tmp_path_factory.mktemp("shallow") / "clone"
    git(repository, "clone", "--quiet", "--depth", "1", repository.as_uri(), str(clone))
    assert faults(clone) == []


def test_a_tarball_inside_somebody_elses_repository_is_judged_without_git(folder: Path) -> None:
    git(folder, "init", "--quiet")
    assert faults(folder) == []
    change(folder)
    assert len(faults(folder)) == 1


def test_without_git_the_files_are_still_judged(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert faults(folder) == []
    change(folder)
    assert len(faults(folder)) == 1
