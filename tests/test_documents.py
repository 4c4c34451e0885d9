"""What documents name is there; what docs/deciding.md shows of `--json` is what commands print: the example whole, and
every field by its name.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from casework.forecast import Course, Step, Unknown
from casework.inbox import Forecast, Inbox
from casework.why import Obstacle, Person, Verdict

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "deciding.md").read_text("utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "deploy" / "README.md"]
A_FILE = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|md|toml|tsv|json|svg|mmd))`")
A_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")


def section(command: str) -> str:
    """What the document says of a command."""
    (found,) = re.findall(rf"^## `casework {command}\b.*?(?=^## |\Z)", DOCUMENT, re.DOTALL | re.MULTILINE)
    return found


def test_the_example_of_an_inbox_is_one() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", section("inbox"), re.DOTALL)
    example = json.loads(text)
    assert Inbox.model_validate(example).model_dump(mode="json") == example


@pytest.mark.parametrize(
    ("command", "model"),
    [
        ("why", Verdict),
        ("why", Obstacle),
        ("why", Person),
        ("forecast", Forecast),
        ("forecast", Course),
        ("forecast", Step),
    ],
)
def test_every_field_is_named(command: str, model: type[BaseModel]) -> None:
    said = re.sub(r"```.*?```", "", section(command), flags=re.DOTALL)
    named = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]+)`", said))))
    assert {*model.model_fields, *model.model_computed_fields} <= named


def test_every_reason_why_nobody_knows_is_told() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", section("forecast"), re.MULTILINE)) == {one.value for one in Unknown}


def test_every_file_that_a_document_names_or_links_is_there() -> None:
    told: dict[Path, set[str]] = {}
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        for path in (
            *(ROOT / one for one in A_FILE.findall(text) if "NAME" not in one),
            *(document.parent / one for one in A_LINK.findall(text)),
        ):
            told.setdefault(path, set()).add(document.name)
    assert len(told) > len(DOCUMENTS)
    assert {path: where for path, where in told.items() if not path.exists()} == {}
