"""Opens the rows of a batch: many are checked in one look at the shop, noted, and opened, a bounded number at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy.orm import Session

from casework.batch import memory
from casework.batch.reading import GoodRow, RefusedRow, lines_with_quantities
from casework.client import CaseOpen, CaseworkClient, PreparedStart, prepare_in, refuse_overlap
from casework.errors import BadInput
from casework.messages import WAYBILL_PATTERN
from casework.opening.completing import complete_parcel, order_of_parcel
from casework.parts import parts
from casework.reading import if_rounded
from casework.shop import claimants, claims, orders, records, staff
from casework.shop.database import Database
from casework.shop.errors import BadRequest, UnknownOrder
from casework.shop.importing.reading import BadRow
from state_machines.flows import FLOWS

AT_A_TIME: Final = 100
"""Rows that are checked in one transaction, and noted in one."""


class Outcome(StrEnum):
    """What became of a row."""

    OPENED = "opened"
    OPEN_ALREADY = "open_already"
    """Another open case is about the same, or has one of its lines."""
    REMEMBERED = "remembered"
    """An earlier batch opened it."""
    REFUSED = "refused"
    WOULD_OPEN = "would_open"
    """In a dry run: nothing is in its way."""
    NOT_REACHED = "not_reached"
    """The batch was stopped before, or in the middle of it: run it again."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one row; `why` is for those that were not opened."""

    line: int
    outcome: Outcome
    flow: str | None = None
    order_id: str | None = None
    case_id: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """A row that may be opened."""

    row: GoodRow
    prepared: PreparedStart
    begun: bool = False
    """Whether another batch, earlier or at the same time, had begun it, and nobody knows how that ended."""

    def opening(self) -> memory.Opening:
        """What is noted before it is opened."""
        lines = tuple(one.line for one in self.prepared.lines)
        return memory.Opening(self.row.digest, self.prepared.case_id, lines)

    def told(self, outcome: Outcome, case_id: str | None = None, why: str | None = None) -> Told:
        """What became of it."""
        order_id = str(self.prepared.payload["order_id"])
        return Told(self.row.line, outcome, self.row.flow, order_id, case_id or self.prepared.case_id, why)


@dataclass(slots=True)
class Checker:
    """Checks rows against the shop and against each other, in the file's order."""

    by: str | None
    """Who opens the rows that do not say."""
    again: bool = False
    """Whether nothing is remembered."""
    _cases: dict[str, int] = field(default_factory=dict[str, int])
    """By case id, the line of the file that asks for it."""
    _lines: dict[tuple[str, int], int] = field(default_factory=dict[tuple[str, int], int])
    """By order and line that a case would claim, the line of the file that asks for it."""

    def check(self, session: Session, rows: Sequence[GoodRow]) -> tuple[list[Told], list[Ready], list[memory.Opening]]:
        """Check some rows: what needs no opening, what is ready, and what was opened without anybody's noting it."""
        known = {} if self.again else memory.recall(session, [row.digest for row in rows])
        order_ids = sorted({row.order_id for row in rows if row.order_id is not None and row.digest not in known})
        orders.look_ahead(session, order_ids)
        claimants.look_ahead(session, order_ids)
        staff.look_ahead(session)
        told: list[Told] = []
        ready: list[Ready] = []
        found_opened: list[memory.Opening] = []
        for row in rows:
            before = known.get(row.digest)
            if before is not None and before.opened:
                if not before.noted:
                    found_opened.append(memory.Opening(row.digest, before.case_id, before.lines))
                self._take(row.line, row.order_id, before.case_id, before.lines)
                told.append(Told(row.line, Outcome.REMEMBERED, row.flow, row.order_id, before.case_id))
                continue
            try:
                prepared = self._prepared(session, row)
                self._refuse_twin(row.line, prepared)
                self._take(
                    row.line,
                    str(prepared.payload["order_id"]),
                    prepared.case_id,
                    [one.line for one in prepared.lines],
                )
                refuse_overlap(session, prepared)
            except CaseOpen as other:
                order_id = row.order_id
                told.append(Told(row.line, Outcome.OPEN_ALREADY, row.flow, order_id, other.case_id, str(other)))
            except (BadRow, BadInput, BadRequest) as refused:
                told.append(Told(row.line, Outcome.REFUSED, row.flow, row.order_id, why=str(refused).rstrip(".")))
            else:
                ready.append(Ready(row, prepared))
        return told, ready, found_opened

    def _prepared(self, session: Session, row: GoodRow) -> PreparedStart:
        """The row as a start that the shop has examined."""
        flow = FLOWS[row.flow]
        fields: dict[str, Any] = dict(row.fields)
        fields.setdefault("by", self.by)
        if fields["by"] is None:
            raise BadRow("by is missing: say who opens it in a column, with --by STAFF, or in CASEWORK_STAFF")
        waybill = fields.get("waybill", "")
        if "waybill" in fields and not (isinstance(waybill, str) and re.fullmatch(WAYBILL_PATTERN, waybill)):
            raise BadRow("waybill: a waybill of 6 to 32 letters, digits or hyphens is wanted")
        if "order_id" not in fields:
            fields["order_id"] = order_of_parcel(session, fields["waybill"])
        order_id = fields["order_id"]
        try:
            if isinstance(order_id, str):
                orders.find_order(session, order_id)
            if row.whole:
                fields["lines"] = lines_with_quantities(row, orders.whole_lines(session, order_id))
        except UnknownOrder:
            raise BadRow(if_rounded(f"order_id: the shop has no order {order_id}", order_id)) from None
        complete_parcel(session, flow.start_type, fields)
        return prepare_in(session, row.flow, fields)

    def _refuse_twin(self, line: int, prepared: PreparedStart) -> None:
        """Another row of the file may ask for the same case, or for one of its lines."""
        earlier = self._cases.get(prepared.case_id)
        if earlier is not None:
            raise BadRow(f"asks for the same case as line {earlier}: {prepared.case_id}")
        if prepared.flow.name not in claims.CLAIMING:
            return
        order_id = str(prepared.payload["order_id"])
        for one in prepared.lines:
            earlier = self._lines.get((order_id, one.line))
            if earlier is not None and earlier != line:
                raise BadRow(f"asks for line {one.line} of the order, as line {earlier} of the file does already")

    def _take(self, line: int, order_id: str | None, case_id: str, lines: Iterable[int]) -> None:
        self._cases.setdefault(case_id, line)
        if order_id is not None and case_id.startswith(tuple(claims.CLAIMING)):
            for number in lines:
                self._lines.setdefault((order_id, number), line)


def dry_run(
    database: Database, rows: Sequence[GoodRow], *, by: str | None, again: bool, tell: Callable[[Told], None]
) -> None:
    """Check every row and open nothing. What is open is asked of the shop: no server is needed."""
    checker = Checker(by, again)
    for some in parts(rows, AT_A_TIME):
        with database.reading() as session:
            told, ready, _ = checker.check(session, some)
            for one in ready:
                is_open = records.is_open(session, one.prepared.case_id)
                told.append(one.told(Outcome.OPEN_ALREADY if is_open else Outcome.WOULD_OPEN))
        for one in sorted(told, key=lambda one: one.line):
            tell(one)


def open_again(database: Database, rows: Sequence[GoodRow]) -> None:
    """Let every row be opened once more. Once this is done, a batch that is killed is run again without asking so."""
    with database.writing() as session:
        memory.begin_again(session, [row.digest for row in rows], datetime.now(UTC))


async def open_rows(
    client: CaseworkClient,
    database: Database,
    rows: Sequence[GoodRow],
    *,
    by: str | None,
    at_once: int,
    tell: Callable[[Told], None],
) -> None:
    """Open a case for every row that has none, at most `at_once` starts on their way at the same time.

    `tell` is called in this thread as soon as it is known what became of a row. It may be stopped at any moment, also
    by an error or by killing the process: run again, it opens what is left and nothing twice.

    Raises:
        RPCError: the server refused something else than a case that is open, or was lost.
        SQLAlchemyError: the shop's database cannot be used.

    """
    await _Opener(client, database, at_once, tell).open(rows, Checker(by))


class _Opener:
    """The pipeline: one task checks and notes some rows ahead, others open them, and what came of it is noted."""

    def __init__(self, client: CaseworkClient, database: Database, at_once: int, tell: Callable[[Told], None]) -> None:
        self._client = client
        self._database = database
        self._at_once = at_once
        self._tell = tell
        self._queue: asyncio.Queue[Ready | None] = asyncio.Queue(maxsize=2 * max(at_once, AT_A_TIME))
        self._opened: list[memory.Opening] = []
        self._not_opened: list[str] = []

    async def open(self, rows: Sequence[GoodRow], checker: Checker) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._check(rows, checker))
                for _ in range(self._at_once):
                    group.create_task(self._start())
        except ExceptionGroup as several:
            # what one of them says is said: it is most often the same for all
            raise several.exceptions[0] from None
        finally:
            self._note()

    async def _check(self, rows: Sequence[GoodRow], checker: Checker) -> None:
        # few at first, so that starts are soon on their way; the others are checked meanwhile
        for some in (rows[: self._at_once], *parts(rows[self._at_once :], AT_A_TIME)):
            told, ready = await asyncio.to_thread(self._check_some, some, checker)
            for one in told:
                self._tell(one)
            for one in ready:
                await self._queue.put(one)
        for _ in range(self._at_once):
            await self._queue.put(None)

    def _check_some(self, rows: Sequence[GoodRow], checker: Checker) -> tuple[list[Told], list[Ready]]:
        with self._database.reading() as session:
            told, ready, found_opened = checker.check(session, rows)
        if ready or found_opened:
            now = datetime.now(UTC)
            with self._database.writing() as session:
                there = memory.begin(session, [one.opening() for one in ready], now)
                memory.opened(session, found_opened, now)
            # another batch may have begun some, or opened them, since they were checked
            opened = {digest for digest, one in there.items() if one.opened}
            told += [one.told(Outcome.REMEMBERED) for one in ready if one.row.digest in opened]
            ready = [replace(one, begun=one.row.digest in there) for one in ready if one.row.digest not in opened]
        return told, ready

    async def _start(self) -> None:
        while (one := await self._queue.get()) is not None:
            try:
                await self._client.send_start(one.prepared)
            except CaseOpen as other:
                # begun by another batch: most likely it is the very case that that one has opened
                if one.begun:
                    self._opened.append(one.opening())
                else:
                    self._not_opened.append(one.row.digest)
                self._tell(one.told(Outcome.OPEN_ALREADY, other.case_id, str(other)))
            else:
                self._opened.append(one.opening())
                self._tell(one.told(Outcome.OPENED))
            if len(self._opened) + len(self._not_opened) >= AT_A_TIME:
                await asyncio.to_thread(self._note)

    def _note(self) -> None:
        opened, self._opened = self._opened, []
        not_opened, self._not_opened = self._not_opened, []
        if opened or not_opened:
            with self._database.writing() as session:
                memory.opened(session, opened, datetime.now(UTC))
                memory.not_opened(session, not_opened)


def refused_rows(refused: Iterable[RefusedRow]) -> list[Told]:
    """Rows that were refused for what they say."""
    return [Told(one.line, Outcome.REFUSED, one.flow, one.order_id, why=one.why) for one in refused]
