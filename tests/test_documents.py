"""What docs/deciding.md shows of `--json` is what commands print: the example whole, and every field by its name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from casework.forecast import Course, Step, Unknown
from casework.inbox import Forecast, Inbox
from casework.why import Obstacle, Person, Verdict

DOCUMENT = (Path(__file__).parents[1] / "docs" / "deciding.md").read_text("utf-8")


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
