"""A report reads right in a spreadsheet, and in a script."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from casework.batch.report import COLUMNS, write_report
from casework.batch.running import Outcome, Told

ORDER = "3300012345678901208"
ROWS = [
    Told(2, Outcome.OPENED, "refund-before-shipping", ORDER, f"refund-before-shipping-{ORDER}"),
    Told(3, Outcome.REFUSED, why='lines: "=1+1" is, not a line'),
    Told(4, Outcome.REFUSED, why="=cmd|' /C calc'!A0 takes nothing"),
]


def test_a_csv_report_has_a_bom_and_keeps_every_digit(tmp_path: Path) -> None:
    write_report(tmp_path / "report.CSV", ROWS)
    content = (tmp_path / "report.CSV").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    heading, *rows = csv.reader(content.decode("utf-8-sig").splitlines())
    assert heading == list(COLUMNS)
    assert rows[0] == ["2", "opened", "refund-before-shipping", f'="{ORDER}"', f'="refund-before-shipping-{ORDER}"', ""]
    assert rows[1] == ["3", "refused", "", "", "", 'lines: "=1+1" is, not a line']
    assert rows[2][-1].startswith("'="), "no formula"


def test_a_json_report_has_a_row_a_line(tmp_path: Path) -> None:
    write_report(tmp_path / "report.jsonl", ROWS)
    rows = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text("utf-8").splitlines()]
    assert rows[0] == {
        "line": 2,
        "outcome": "opened",
        "flow": "refund-before-shipping",
        "order_id": ORDER,
        "case_id": f"refund-before-shipping-{ORDER}",
        "why": None,
    }


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    old = tmp_path / "report.csv"
    old.write_text("old", "utf-8")
    (tmp_path / ".report.csv.part").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_report(old, ROWS)
    assert old.read_text("utf-8") == "old"
