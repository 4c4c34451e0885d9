"""Makes the virtual environment and installs what the requirements name: `python3 scripts/setup.py VENV
runtime|dev`.

Runs on the bare system Python, whose version the Makefile has looked at, with the standard library only.
Every package is pinned and hashed; nothing is built here.
"""

import fcntl
import importlib.util
import platform
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    """Brings the environment up to date and leaves the stamp that the Makefile looks at.

    Returns the exit code: 0 done, 1 something is missing on this machine (said in one sentence), 2 wrong
    usage.
    """
    if len(arguments) != 2 or arguments[1] not in ("runtime", "dev"):
        print("usage: python3 scripts/setup.py VENV runtime|dev", file=sys.stderr)
        return 2
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        return _refuse(
            f"Python {platform.python_version()} here cannot make virtual environments: "
            "install its venv package (on Debian and Ubuntu: `apt install python3-venv`)."
        )
    environment, kind = Path(arguments[0]).resolve(), arguments[1]
    with (CHECKOUT / "pyproject.toml").open("rb") as lock:
        # Two `make` at once on a fresh clone must not install into one environment together.
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _install(environment, kind)


def _install(environment: Path, kind: str) -> int:
    requirements = CHECKOUT / "requirements" / f"{kind}.txt"
    stamp = environment / f".{kind}-ready"
    inputs = [requirements, CHECKOUT / "pyproject.toml", Path(__file__)]
    if kind == "dev":
        inputs.append(environment / ".runtime-ready")
    if stamp.exists() and all(stamp.stat().st_mtime >= path.stat().st_mtime for path in inputs):
        return 0  # another `make` did it while this one waited for the lock
    python = environment / "bin" / "python"
    if not (environment / ".runtime-ready").exists():
        # Nothing was ever finished in it: begin anew rather than build on what an interrupted run left.
        print("… Python environment: making it", flush=True)
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=False)
        if made.returncode != 0:
            return _refuse(f"The virtual environment could not be made in {environment}.")
    pinned = sum("==" in line for line in requirements.read_text(encoding="utf-8").splitlines())
    print(f"… Python environment: {pinned} pinned packages for {kind}, about half a minute, once", flush=True)
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install"]
    steps = (
        [*pip, "--require-hashes", "--only-binary", ":all:", "--requirement", str(requirements)],
        [*pip, "--no-deps", "--no-build-isolation", "--editable", str(CHECKOUT)],
    )
    for step in steps:
        if subprocess.run(step, check=False).returncode != 0:
            return _refuse("The Python packages could not be installed: pip's own words are above.")
    stamp.touch()
    return 0


def _refuse(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
