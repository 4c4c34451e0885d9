"""The documented ways of scripts: the examples of docs/scripts.md run as they stand, and shells complete commands."""

from __future__ import annotations

import asyncio
import csv
import os
import re
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from casework.batch.headings import FLOW, field_named, start_fields
from casework.batch.reading import read_rows
from casework.client import CaseworkClient
from casework.sample_shop import write_sample_shop
from casework.shop.importing.reading import read_export
from tests.cli.test_batch import environment
from tests.desk import FLOW as REFUND
from tests.desk import Desk

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "scripts.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
IDS = re.compile(r"\b33[0-9]{17}\b")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", DOCUMENT, re.DOTALL)


async def runs(example: str, order: str, desk: Desk, home: Path) -> list[str]:
    """What an example prints, of this order instead of the one that it names."""
    example = IDS.sub(order, example)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "error", "-c", f"{example}\nfrom casework.leaving import leave\nleave(0)"],
        cwd=home,
        env={**environment(desk, home), "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


async def test_the_example_opens_a_case_acts_on_it_and_is_refused(desk: Desk, tmp_path: Path) -> None:
    order = desk.order(prices=((50_000, 1),))
    example, _ = blocks("python")
    said = await runs(example, order, desk, tmp_path)
    case_id = f"{REFUND}-{order}"
    assert said[0].startswith("persuading may be answered by ")
    assert "buyer_insists" in said[0]
    assert said[1] == "awaiting_supervisor 50000"
    assert said[2].startswith("refused: ")
    assert said[3] == f"{case_id} is open"
    await CaseworkClient(desk.client, desk.database).cancel(case_id)


async def test_the_example_of_many_opens_them_once(desk: Desk, tmp_path: Path) -> None:
    order = desk.order()
    _, example = blocks("python")
    case_id = f"{REFUND}-{order}"
    assert await runs(example, order, desk, tmp_path) == [f"1 opened {case_id}"]
    assert await runs(example, order, desk, tmp_path) == [f"1 remembered {case_id}"]
    await desk.until(desk.client.get_workflow_handle(case_id), "persuading")
    await CaseworkClient(desk.client, desk.database).cancel(case_id)


def test_the_examples_are_about_orders_of_the_sample_shop_that_nobody_has_opened_a_case_of_by_then(
    tmp_path: Path,
) -> None:
    write_sample_shop(tmp_path)
    (orders,) = [read_export(one.name, one.read_bytes()) for one in tmp_path.glob("ExportOrderList*.csv")]
    paid = {str(row.cells["订单编号"]) for row in orders.rows if "等待卖家发货" in row.cells["订单状态"]}
    (table,) = blocks("csv")
    (refund,) = [line for line in table.splitlines() if line.startswith("refund,")]
    begun_with = [IDS.findall(text)[0] for text in (refund, *blocks("python"))]
    assert len(begun_with) == len({*begun_with})
    assert {*begun_with} <= paid - set(IDS.findall(README))


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_the_files_in_the_document_are_read_whole(kind: str) -> None:
    (text,) = blocks(kind)
    rows = read_rows("documented", text.encode(), zone=ZoneInfo("Asia/Shanghai"))
    assert rows.refused == []
    assert len(rows.good) == (5 if kind == "csv" else 1)


def test_every_field_and_the_chinese_names_that_are_documented_are_known() -> None:
    table = [line for line in DOCUMENT.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    fields = [re.findall(r"`(\w+)`", row[0]) for row in cells]
    assert {name for row in fields for name in row} == {FLOW, *start_fields()}
    for names, row in zip(fields, cells, strict=True):
        (chinese,) = csv.reader([row[1]], skipinitialspace=True)
        assert {field_named(name) for name in chinese} == set(names)


@pytest.mark.parametrize(("words", "expected"), [("casework bat", ["batch"]), ("casework batch --dr", ["--dry-run"])])
def test_a_shell_completes_commands_and_options(words: str, expected: list[str]) -> None:
    asked = {
        **os.environ,
        "_CASEWORK_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "casework"], cwd=ROOT, env=asked, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == expected, done.stderr


def test_completion_is_installed_for_the_shell_that_asks(tmp_path: Path) -> None:
    home = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    for option, said in (
        ("--show-completion", "complete -o default -F _casework_completion casework"),
        ("--install-completion", "bash completion installed in"),
    ):
        done = subprocess.run(
            ["bash", "--norc", "-c", f'"{sys.executable}" -m casework {option}; exit $?'],
            env=home,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
    assert (tmp_path / ".bashrc").read_text("utf-8").strip()
