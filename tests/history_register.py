"""The gate of the recorded histories: `python -m tests.history_register` (in `make check`) says what is wrong.

`tests/histories/register.tsv` only grows. A line is a file, the SHA-256 of its bytes (`removed`: it is gone) and why,
with tabs between; the last line of a file counts. `make histories` appends a line for a new file. For a change or a
removal somebody appends the line by hand, with the reason: an open case may stand on the file that goes.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

HISTORIES = Path(__file__).with_name("histories")
REGISTER = "register.tsv"
RECORDED = "recorded"
"""Why the first line of a file is there; no later line may say only this."""
REMOVED = "removed"
"""In the place of the digest: the file is gone."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the register."""

    file: str
    digest: str
    why: str


def main(folder: Path = HISTORIES) -> int:
    """Say each fault in one sentence; answers the exit code."""
    found = faults(folder)
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


def register_new(file: Path, folder: Path = HISTORIES) -> None:
    """Append the line of a file that the register does not know; one that it knows is somebody's to explain."""
    name = file.relative_to(folder).as_posix()
    if any(entry.file == name for entry in _entries(_lines(folder))[0]):
        return
    with (folder / REGISTER).open("a", encoding="utf-8", newline="\n") as register:
        register.write(f"{name}\t{_digest(file)}\t{RECORDED}\n")


def faults(folder: Path) -> list[str]:
    """What is wrong with the histories in the folder, each in one sentence that names the file and what to do."""
    lines = _lines(folder)
    entries, malformed = _entries(lines)
    last = {entry.file: entry for entry in entries}
    there = {path.relative_to(folder).as_posix(): path for path in sorted(folder.glob("*/*.json"))}
    return [
        *malformed,
        *_unexplained(entries),
        *(fault for name, path in there.items() if (fault := _fault_of(name, _digest(path), last.get(name)))),
        *(
            f"{name} is in the register and not there: put it back, or append the line "
            f"`{name}<tab>{REMOVED}<tab>` and why no open case needs it to {REGISTER}."
            for name, entry in last.items()
            if name not in there and entry.digest != REMOVED
        ),
        *_rewritten(folder, lines),
    ]


def _fault_of(name: str, digest: str, entry: Entry | None) -> str | None:
    if entry is None:
        return f"{name} is not in the register: append the line `{name}<tab>{digest}<tab>{RECORDED}` to {REGISTER}."
    if entry.digest == digest:
        return None
    return (
        f"{name} is not what was recorded: put the old one back (a change of the code needs workflow.patched), or "
        f"append the line `{name}<tab>{digest}<tab>` and why no open case stands on the old one to {REGISTER}."
    )


def _unexplained(entries: Sequence[Entry]) -> list[str]:
    seen, found = set[str](), list[str]()
    for entry in entries:
        if not entry.why or (entry.file in seen and entry.why == RECORDED):
            found.append(f"{REGISTER}: a line of {entry.file} does not say why: write the reason behind its digest.")
        seen.add(entry.file)
    return found


def _rewritten(folder: Path, lines: Sequence[str]) -> list[str]:
    """Lines that git has known and that are gone. Without git, and as far as a shallow checkout goes back, none."""
    # of a merge, what it brought to the branch that it was made on; git takes the folder's files for binary ones
    patches = _git(
        folder, "-c", "log.showRoot=true", "log", "--first-parent", "-m", "--patch", "--text", "--unified=0",
        "--no-color", "--no-ext-diff", "--format=", "--", REGISTER,
    )  # fmt: skip
    added = [line[1:] for line in patches.splitlines() if line.startswith("+") and not line.startswith("+++")]
    gone = [
        f"{REGISTER}: the line `{line}` was there, and lines are only added: put it back where it was."
        for line in dict.fromkeys(reversed(added))
        if line not in set(lines)
    ]
    committed = _git(folder, "show", f"HEAD:./{REGISTER}").splitlines()
    if not gone and list(lines[: len(committed)]) != committed:
        return [f"{REGISTER}: new lines go to the end, and those of the last commit stay as they are."]
    return gone


def _git(folder: Path, *arguments: str) -> str:
    """What git says; nothing where there is no git, or nothing of ours in it (a tarball)."""
    try:
        done = subprocess.run(
            ["git", "-c", "core.quotePath=false", *arguments],
            cwd=folder,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def _lines(folder: Path) -> list[str]:
    register = folder / REGISTER
    return register.read_text(encoding="utf-8").splitlines() if register.exists() else []


def _entries(lines: Sequence[str]) -> tuple[list[Entry], list[str]]:
    """The register's entries, and the faults of the lines that are none."""
    entries, malformed = list[Entry](), list[str]()
    for number, line in enumerate(lines, start=1):
        match line.split("\t"):
            case [file, digest, why]:
                entries.append(Entry(file, digest, why.strip()))
            case _:
                malformed.append(
                    f"{REGISTER}, line {number}: a file, its digest and why are wanted, with tabs between."
                )
    return entries, malformed


def _digest(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
