"""`casework batch`: opens many cases from one file, shows how far it is, and says what became of each row."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from casework.batch.reading import MOST_BYTES, GoodRow, Rows, read_rows
from casework.batch.report import ENDINGS, plain, unfinished_of, write_report
from casework.batch.running import Outcome, Told, dry_run, open_again, open_rows, refused_rows
from casework.cli.cases import flow_meant
from casework.cli.errors import BAD_INPUT, FAILED, Stop, bad_input
from casework.cli.running import Desk, print_json, run_async, say, sentence, sentences
from casework.sentences import counted
from casework.settings import Language
from casework.shop.errors import BadFile
from casework.shop.importing import read_bytes
from casework.show import length, word

SECONDS_BETWEEN_LINES: Final = 5.0
"""How often a long batch says how far it is where no terminal is."""
STDIN: Final = Path("-")


def run_batch(
    file: Path,
    *,
    flow_text: str | None,
    by: str | None,
    only_check: bool,
    again: bool,
    at_once: int,
    report: Path | None,
    as_json: bool,
) -> None:
    """`casework batch`."""
    with sentences():
        desk = Desk()
        if report is not None:
            _require_writable(report, file)
        rows = _read(desk, file, flow_meant(flow_text).name if flow_text is not None else None)
        told = refused_rows(rows.refused)
        who = by or desk.settings.staff
        desk.shop  # noqa: B018 - says at once if there is none
        if report is not None:
            _forget_earlier(report)
    stopped: BaseException | None = None
    with _progress(len(rows.good), desk.language, quiet=as_json) as advance:

        def tell(one: Told) -> None:
            told.append(one)
            advance()

        try:
            if only_check:
                with sentences():
                    dry_run(desk.shop, rows.good, by=who, again=again, tell=tell)
            else:
                run_async(_open(desk, rows.good, who, again=again, at_once=at_once, tell=tell))
        except Exception as error:  # noqa: BLE001 - raised again below: first it is said what became of each row
            stopped = error
        except KeyboardInterrupt:
            same = "the same command again, without --again" if again else "the same command again"
            stopped = Stop(FAILED, f"Interrupted: run {same}, and it opens what is left.")
    reached = {one.line for one in told}
    told += [
        Told(row.line, Outcome.NOT_REACHED, row.flow, row.order_id) for row in rows.good if row.line not in reached
    ]
    told.sort(key=lambda one: one.line)
    if report is not None:
        _write(report, told)
    _show(file, told, desk.language, only_check=only_check, as_json=as_json)
    if stopped is not None:
        raise stopped
    refused = sum(one.outcome is Outcome.REFUSED for one in told)
    if refused:
        raise Stop(BAD_INPUT, f"{counted(refused, 'row')} {'was' if refused == 1 else 'were'} refused.")


async def _open(
    desk: Desk, rows: Sequence[GoodRow], by: str | None, *, again: bool, at_once: int, tell: Callable[[Told], None]
) -> None:
    client = await desk.client()
    if again:
        open_again(desk.shop, rows)
    await open_rows(client, desk.shop, rows, by=by, at_once=at_once, tell=tell)


def _read(desk: Desk, file: Path, flow: str | None) -> Rows:
    try:
        if file == STDIN:
            return read_rows("standard input", sys.stdin.buffer.read(MOST_BYTES + 1), zone=desk.zone, flow=flow)
        return read_rows(file.name, read_bytes(file), zone=desk.zone, flow=flow)
    except BadFile as error:
        raise bad_input(f"{sentence(error)} Nothing was opened.") from None


def _require_writable(report: Path, file: Path) -> None:
    """Before anything is opened: the report can be written, and is not the batch itself."""
    if report.suffix.lower() not in ENDINGS:
        raise bad_input(f"--report: {report.name} ends neither in {' nor in '.join(ENDINGS)}. Nothing was opened.")
    if report.exists() and file != STDIN and file.exists() and report.samefile(file):
        raise bad_input("--report: that is the batch itself. Nothing was opened.")
    with _said_where_not(report):
        if report.is_dir():
            raise IsADirectoryError(21, os.strerror(21))
        unfinished_of(report).touch()
        unfinished_of(report).unlink()


def _forget_earlier(report: Path) -> None:
    """Where this batch is killed, nobody takes an earlier one's report for its own."""
    with _said_where_not(report):
        report.unlink(missing_ok=True)


@contextmanager
def _said_where_not(report: Path) -> Generator[None]:
    """Refuse the batch where the report cannot be written."""
    try:
        yield
    except OSError as error:
        raise bad_input(f"--report: {report} cannot be written: {error.strerror}. Nothing was opened.") from None


def _write(report: Path, told: Sequence[Told]) -> None:
    try:
        write_report(report, told)
    except OSError as error:
        say(f"{report} cannot be written: {error.strerror}.")


# --- what is said ---


def _show(file: Path, told: Sequence[Told], language: Language, *, only_check: bool, as_json: bool) -> None:
    counts = Counter(one.outcome for one in told)
    if as_json:
        print_json(
            {
                "file": str(file),
                "dry_run": only_check,
                "counts": {str(outcome): counts[outcome] for outcome in Outcome},
                "rows": [plain(one) for one in told],
            }
        )
        return
    for one in told:
        if one.outcome is Outcome.REFUSED:
            print(f"{_place(one.line, language)}: {one.why}.")
        elif one.outcome is Outcome.OPEN_ALREADY:
            print(f"{_place(one.line, language)}: {_name(one.outcome, language)}: {one.case_id}")
    said = [f"{_name(outcome, language)}: {counts[outcome]}" for outcome in Outcome if counts[outcome]]
    print(", ".join(said) if said else f"{_name(Outcome.OPENED, language)}: 0")


def _name(outcome: Outcome, language: Language) -> str:
    return word(f"batch_{outcome}", language)


def _place(line: int, language: Language) -> str:
    return f"第 {line} 行" if language == "zh" else f"line {line}"


# --- how far it is ---


@contextmanager
def _progress(total: int, language: Language, *, quiet: bool) -> Generator[Callable[[], None]]:
    """A bar with rate and time left on a terminal, a line now and then elsewhere; called for each row that is done."""
    if not sys.stderr.isatty():
        yield (lambda: None) if quiet else _Lines(total, language).advance
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(word("batch_rows", language)),
        _Pace(language),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


def pace(rate: float, rows_left: int, language: Language) -> str:
    """How many rows a second, and how long the rest takes at that."""
    span = timedelta(seconds=rows_left / rate) if rate else None
    if span is None:
        return ""
    seconds = f"{span.total_seconds():.0f} {'秒' if language == 'zh' else 's'}"
    left = seconds if span < timedelta(minutes=2) else length(span, language)
    ends = f"{word('batch_left', language)} {left}" if language == "zh" else f"{left} {word('batch_left', language)}"
    return f"{rate:.0f} {word('batch_a_second', language)}, {ends}"


class _Pace(ProgressColumn):
    def __init__(self, language: Language) -> None:
        super().__init__()
        self._language: Language = language

    def render(self, task: Task) -> Text:
        return Text(pace(task.finished_speed or task.speed or 0.0, int(task.remaining or 0), self._language))


@dataclass(slots=True)
class _Lines:
    total: int
    language: Language
    done: int = 0
    begun: float = field(default_factory=time.monotonic)
    said: float = field(default_factory=time.monotonic)

    def advance(self) -> None:
        self.done += 1
        now = time.monotonic()
        if now - self.said >= SECONDS_BETWEEN_LINES:
            self.said = now
            rate = self.done / (now - self.begun)
            say(
                f"{self.done}/{self.total} {word('batch_rows', self.language)}, "
                f"{pace(rate, self.total - self.done, self.language)}"
            )
