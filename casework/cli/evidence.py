"""`casework evidence`: what there is to show of a case, as one file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from casework.cli.cases import look
from casework.cli.errors import FAILED, Stop
from casework.cli.running import Desk, print_json, run_async, sentences
from casework.evidence import gather, render
from casework.reading import read_id
from casework.settings import Language


def write_evidence(case: str, *, language: Language | None, file: Path | None, as_json: bool) -> None:
    """`casework evidence`."""
    with sentences():
        desk = Desk()
    view = run_async(look(desk, read_id(case)))
    language = language or desk.language
    now = datetime.now(UTC)
    with sentences(), desk.shop.reading() as session:
        evidence = gather(session, view, desk.policy, now=now, language=language)
    page = render(evidence, language=language, zone=desk.zone, now=now)
    file = file or Path(f"{view.case_id}.html")
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise Stop(FAILED, f"{file} cannot be written: {error.strerror}.") from error
    if as_json:
        print_json({"case_id": view.case_id, "file": file, "language": language})
    else:
        print(file)
