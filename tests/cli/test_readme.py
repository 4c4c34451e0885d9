"""README is followed to the letter: the orders it names, and every line that it tells a newcomer to type."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from casework.server_program import find_server_program
from tests.desk import FLOW, Desk

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def block(heading: str) -> list[list[str]]:
    """The commands of the first console block under a heading, as a shell would split them."""
    text = README.split(f"### {heading}\n")[1].split("```console\n")[1].split("```")[0]
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line.removeprefix("$ ")) for line in lines]


def surroundings(desk: Desk, home: Path) -> dict[str, str]:
    """A newcomer's terminal, whose server and shop are those of the tests."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("CASEWORK_", "TEMPORAL_"))}
    return {
        **mine,
        "CASEWORK_HOME": str(home),
        "CASEWORK_LANG": "en",
        "CASEWORK_DATABASE_URL": desk.database._url.render_as_string(hide_password=False),  # pyright: ignore[reportPrivateUsage] - a test may look inside
        "TEMPORAL_ADDRESS": desk.client.service_client.config.target_host,
        "TEMPORAL_NAMESPACE": desk.client.namespace,
        "PYTHONPATH": str(ROOT),
    }


async def typed(words: list[str], folder: Path, environment: dict[str, str]) -> str:
    """What a line prints; it must succeed."""
    programs = {
        "python": [sys.executable],
        "casework": [sys.executable, "-m", "casework"],
        "temporal": [str(find_server_program(print).path)],
    }
    arguments = [one for word in words[1:] for one in expanded(word, folder)]
    done = await asyncio.to_thread(
        subprocess.run,
        [*programs[words[0]], *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(words)}: {done.stderr}"
    return done.stdout


def expanded(word: str, folder: Path) -> Iterator[str]:
    """As a shell does with `*`."""
    yield from sorted(str(path) for path in folder.glob(word)) if word.endswith("/*") else [word]


async def test_readme_leads_from_an_empty_folder_to_money_back_and_to_a_case_for_finance(
    desk: Desk, tmp_path: Path
) -> None:
    environment = surroundings(desk, tmp_path / "home")
    activate, *commands = block("With the command")
    assert activate == [".", ".venv/bin/activate"]
    said = [await typed(words, tmp_path, environment) for words in commands]
    assert "refund-before-shipping-3300050712105641020" in said[-1]
    assert "ended: refunded" in said[-1] or "settling" in said[-1]
    assert (await desk.end(desk.client.get_workflow_handle(f"{FLOW}-3300050712105641020"))).outcome == "refunded"

    *sent, _, listed = block("With plain `temporal`")
    case = desk.client.get_workflow_handle(f"{FLOW}-3300072088960891018")
    for words, state in zip(sent, ("persuading", "awaiting_supervisor", "awaiting_finance"), strict=True):
        await typed(words, tmp_path, environment)
        await desk.until(case, state)
    # Temporal's own list follows a moment later
    async with asyncio.timeout(20):
        while case.id not in await typed(listed, tmp_path, environment):
            pass
    (page,) = block("In the Temporal UI")
    assert page == ["casework", "open", "1018"]
    shown = await typed(["casework", "show", page[-1], "--json"], tmp_path, environment)
    assert json.loads(shown)["case_id"] == case.id
    await case.terminate()


async def test_readme_opens_a_case_of_every_other_flow_and_lets_the_patrol_look(desk: Desk, tmp_path: Path) -> None:
    environment = surroundings(desk, tmp_path / "home")
    for words in block("With the command")[1:3]:
        await typed(words, tmp_path, environment)
    *starts, patrol = block("The other flows")
    waits = ("awaiting_parcel", "negotiating", "compiling", "investigating")
    for words, state in zip(starts, waits, strict=True):
        case = desk.client.get_workflow_handle((await typed(words, tmp_path, environment)).split()[0])
        await desk.until(case, state)
        await case.terminate()
    assert await typed(patrol, tmp_path, environment)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["one", "two"]])
def test_the_sample_shop_says_how_it_is_used(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "casework.sample_shop", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "usage: python -m casework.sample_shop FOLDER\n")


def test_every_picture_and_page_that_readme_names_is_there() -> None:
    named = [part.split(")")[0].split("#")[0] for part in README.split("](")[1:]]
    assert [name for name in named if "://" not in name and not (ROOT / name).exists()] == []
