"""What became of each row of a batch, as a file that spreadsheets or scripts read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from casework.batch.running import Told

COLUMNS: Final = ("line", "outcome", "flow", "order_id", "case_id", "why")
ENDINGS: Final = (".csv", ".jsonl")


def plain(told: Told) -> dict[str, Any]:
    """One row as JSON; never translated."""
    return {name: getattr(told, name) for name in COLUMNS}


def as_csv(rows: Sequence[Told]) -> str:
    """A CSV that spreadsheets read right: with a BOM, and ids as `="…"` so that no digit is lost."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for one in rows:
        writer.writerow(
            [one.line, one.outcome, one.flow or "", _kept(one.order_id), _kept(one.case_id), _cell(one.why or "")]
        )
    return f"\ufeff{out.getvalue()}"


def as_json_lines(rows: Sequence[Told]) -> str:
    """One JSON object a row."""
    return "".join(json.dumps(plain(one), ensure_ascii=False) + "\n" for one in rows)


def write_report(file: Path, rows: Sequence[Told]) -> None:
    """Write the file whole or not at all.

    Raises:
        OSError: it cannot be written.

    """
    text = as_csv(rows) if file.suffix.lower() == ".csv" else as_json_lines(rows)
    unfinished = unfinished_of(file)
    unfinished.write_text(text, "utf-8", errors="replace", newline="")
    unfinished.replace(file)


def unfinished_of(file: Path) -> Path:
    """Where a report stands before it is whole."""
    return file.with_name(f".{file.name}.part")


def _kept(identifier: str | None) -> str:
    return "" if identifier is None else '="{}"'.format(identifier.replace('"', '""'))


def _cell(text: str) -> str:
    """A text that a spreadsheet does not take for a formula: what a row said may stand in the reason."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
