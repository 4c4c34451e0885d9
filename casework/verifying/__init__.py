"""Conformance: whether a recorded history is a path that the table allows, whether the shop's books agree with it, and
whether today's code replays it. Looks, and changes nothing: the gate before a roll-out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path as FilePath
from typing import Any, Final, TypeVar

from sqlalchemy.orm import Session
from temporalio.client import Client, WorkflowFailureError, WorkflowQueryFailedError
from temporalio.service import RPCError

from casework import names
from casework.case import Case, CaseView
from casework.client import (
    OPEN,
    OPEN_CASES,
    POLL_SECONDS,
    CaseRefused,
    CaseworkClient,
    NoAnswer,
    UnknownCase,
    closed_view,
)
from casework.connection import is_not_there
from casework.details import view_of
from casework.repair import PASSING, Troubled, examine
from casework.shop import payments, records
from casework.shop.database import Database
from casework.verifying.books import (
    faults_of_end,
    faults_of_more_payments,
    faults_of_needs,
    faults_of_no_run,
    faults_of_payments,
)
from casework.verifying.comparing import differences
from casework.verifying.path import Path, path_faults
from casework.verifying.paying import PaymentAsked, payment_faults
from casework.verifying.replaying import Recorded, Replayed, Replays, Status, read_history
from state_machines.flows import FLOWS

AT_ONCE: Final = 4
"""Histories that are held and replayed at the same time: a replay is work for one processor."""
LOOKS: Final = 3
"""How often an open case is looked at before it counts that its history does not replay: it may have been in the moment
of a change, in which a step on the shop has ended and is not recorded yet."""
LOOKS_AT_REST: Final = 20
BETWEEN_LOOKS: Final = 0.25
"""So often, after so many seconds each, an open case is looked at that the books seem to contradict, until nothing is
under way in it: what is under way may be in the books already, or not yet."""
_TYPES: Final = ", ".join(f"'{name}'" for name in names.WORKFLOW_TYPES.values())
_PATROLS: Final = f"(WorkflowType = '{names.PARCEL_PATROL}' AND {OPEN})"
OPEN_RUNS: Final = f"({OPEN_CASES}) OR {_PATROLS}"
"""Every open case, and the patrols that are under way: what a roll-out can break."""
ALL_RUNS: Final = f"(WorkflowType IN ({_TYPES}) AND ExecutionStatus != 'ContinuedAsNew') OR {_PATROLS}"
"""Closed cases too, as far as the server still has them, each by its last run."""
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class Part(StrEnum):
    """What is looked at."""

    PATH = "path"
    BOOKS = "books"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a case, in one sentence without its case."""

    part: Part
    found: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of it. A part that is not in `looked_at` could not be looked at: there is no shop, or no history."""

    case_id: str
    run_id: str | None
    status: Status | None
    """As the history, or the shop's record, has it."""
    state: str | None
    moves: int | None
    """How many; None: it is no case, or its path cannot be told."""
    looked_at: tuple[Part, ...]
    faults: tuple[Fault, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def _found(part: Part, sentences: Sequence[str]) -> tuple[Fault, ...]:
    return tuple(Fault(part, one) for one in sentences)


async def verify_file(replays: Replays, file: FilePath) -> Verified:
    """A history in a file: its path and its replay. Needs neither a server nor a shop.

    Raises:
        NoHistory: the file holds none.

    """
    recorded = await asyncio.to_thread(read_history, file)
    return _verified(recorded, await replays.replay(recorded))


def _verified(recorded: Recorded, replayed: Replayed, asked: CaseView | None = None) -> Verified:
    """Path and replay of one run. `asked`: what an open case says of itself where its history does not replay."""
    told, flow = recorded.told(), recorded.flow
    faults: list[Fault] = []
    if replayed.failure is not None:
        faults.append(Fault(Part.REPLAY, f"today's code does not replay it: {replayed.failure}"))
    shown = told or asked or (replayed.case if replayed.failure is None else None)
    path = Path.of(shown) if shown is not None else None
    if flow is not None and path is not None:
        faults += _found(Part.PATH, path_faults(flow, path, ended=recorded.status == "completed"))
    if recorded.status in ("completed", "continued") and flow is not None and told is None:
        faults.append(Fault(Part.PATH, "what it said at its end is not what a case says"))
    if replayed.failure is None and replayed.case is not None:
        faults += _found(Part.REPLAY, _other_words(recorded, replayed.case))
        sent = recorded.payments_sent()
        faults += _found(Part.REPLAY, payment_faults(sent, replayed.payments, was_reset=recorded.was_reset))
    looked_at = (Part.REPLAY,) if flow is None or path is None else (Part.PATH, Part.REPLAY)
    return Verified(
        case_id=recorded.history.workflow_id,
        run_id=recorded.run_id,
        status=recorded.status,
        state=path.state if path is not None else None,
        moves=len(path.moves) if path is not None else None,
        looked_at=looked_at,
        faults=tuple(faults),
    )


def _other_words(recorded: Recorded, case: Case[Any]) -> list[str]:
    """What a run said at its end otherwise than the replayed case says it; nothing, unless it has ended by itself."""
    told = recorded.told()
    if told is None or recorded.flow is None:
        return []
    another = Path.of(told).differs_from(Path.of(case))
    if another is not None:
        return [f"today's code takes another path: {another}"]
    said = recorded.told_as_written()
    if isinstance(told, Case):
        # between two runs of ours: what today's case has no field for, it carries no further either
        said = {name: value for name, value in said.items() if name in type(told).model_fields}
        now = case.model_dump(mode="json")
    else:
        now = view_of(recorded.flow, case).model_dump(mode="json")
    slack = recorded.slowest_task
    return [f"today's code says something else: {one}" for one in differences(said, now, slack=slack)]


@dataclass(frozen=True, slots=True)
class _Chain:
    """A case's last run, with its replay, and the replays of the runs that it continues (None: one that is gone)."""

    last: Recorded
    replayed: Replayed
    before: Sequence[Replayed | None]

    def payment_faults(self, session: Session) -> list[str]:
        """What of the case's payments the books have otherwise, whatever it is doing at this moment."""
        faults = faults_of_payments(session, self._case_id, self.last.first_run, self._asked)
        return faults if self.last.status in ("open", "continued") else [*faults, *self._more_payments(session)]

    def faults_at_rest(self, session: Session) -> list[str]:
        """What else is wrong in the books if nothing is under way: payments that it never made, things it should have.

        What a case did before it was reset is in the books, and not in the history with which it goes on.
        """
        if any(one is not None and one.was_reset for one in (self.replayed, *self.before)):
            return []
        more = self._more_payments(session)
        if self.replayed.failure is None and self.replayed.case is not None:
            more += faults_of_needs(session, self.replayed.case)
        return more

    @property
    def _case_id(self) -> str:
        return self.last.history.workflow_id

    @property
    def _asked(self) -> list[PaymentAsked]:
        runs = [one for one in (*reversed(self.before), self.replayed) if one is not None]
        return [payment for run in runs for payment in run.payments]

    def _more_payments(self, session: Session) -> list[str]:
        """Payments that it never made, where all that it asked for is known."""
        if any(one is None or one.failure is not None for one in (self.replayed, *self.before)):
            return []
        return faults_of_more_payments(session, self._case_id, self.last.first_run, self._asked)


async def stands_still(client: Client, recorded: Recorded) -> bool:
    """Whether nothing has happened to an open case since its history was read, and nothing is under way in it.

    But a step outside the shop may be: its history says that it was asked for.
    """
    described = await client.get_workflow_handle(recorded.history.workflow_id).describe()
    same_run = described.raw_description.workflow_execution_info.first_run_id in ("", recorded.first_run)
    idle = not described.raw_description.HasField("pending_workflow_task")
    return same_run and idle and recorded.is_at_rest and described.history_length == len(recorded.history.events)


class Verifier:
    """Verifies the cases of a desk."""

    def __init__(self, client: CaseworkClient, replays: Replays, *, books: bool = True) -> None:
        """`client` reads the server and the shop; `replays` has the code that is to replay the histories.

        Without `books` the shop is not read: its tables are older than this program.
        """
        self._client = client
        self._books = books
        self._temporal: Client = client.temporal
        self._shop: Database = client.shop
        self._replays = replays

    async def case(self, case_id: str) -> Verified:
        """One case, by its last run; where Temporal no longer keeps it, what the shop's record shows of it.

        Raises:
            UnknownCase: neither Temporal nor the shop knows it.

        """
        verified = await self._run(case_id, None)
        if not self._books:
            if verified is None:
                raise UnknownCase(f"Temporal has no case {case_id}.")
            return verified
        if verified is None:
            return self._by_record(case_id)
        troubled = await self._troubled(case_id)
        with self._shop.reading() as session:
            orders = {one.order_id for one in records.find_records(session, case_id=case_id)}
            audited = [fault for order in sorted(orders) for fault in payments.audit(session, order)]
            audited += faults_of_no_run(session, case_id)
        return _with(verified, _found(Part.BOOKS, [*(_in_words(one) for one in troubled), *audited]))

    async def all(self, query: str = ALL_RUNS) -> AsyncIterator[Verified]:
        """Every case that the query finds, each as soon as it is verified; then what is wrong besides them.

        The last one is the shop itself, with what is wrong in the ledger as a whole.
        """
        troubled: dict[str, list[Fault]] = {}
        for one in await self._troubled() if self._books else ():
            troubled.setdefault(one.case_id, []).append(Fault(Part.BOOKS, _in_words(one)))
        listed = ((one.id, one.run_id) async for one in self._temporal.list_workflows(query))
        latest: set[str] = set()
        async for verified in in_order(listed, lambda run: self._run(*run)):
            if verified is None:
                continue  # Temporal has let go of it in this moment
            of_case = [] if verified.case_id in latest else troubled.pop(verified.case_id, [])
            latest.add(verified.case_id)
            yield _with(verified, of_case, books=self._books)
        if not self._books:
            return
        for case_id, faults in sorted(troubled.items()):
            yield Verified(case_id, None, None, None, None, (Part.BOOKS,), tuple(faults))
        with self._shop.reading() as session:
            audited = [*payments.audit(session), *faults_of_no_run(session)]
        yield Verified("the shop", None, None, None, None, (Part.BOOKS,), _found(Part.BOOKS, audited))

    async def _troubled(self, case_id: str | None = None) -> list[Troubled]:
        """What `casework doctor --cases` finds, but for what passes by itself: no new code would mend it."""
        found = await examine(self._temporal, self._shop, now=datetime.now(UTC), only=case_id)
        return [one for one in found if one.trouble not in PASSING]

    async def _run(self, case_id: str, run_id: str | None) -> Verified | None:
        """One run with those that it continues; None: Temporal does not have it."""
        found = await self._replayed(case_id, run_id)
        if found is None:
            return None
        recorded, replayed = found
        asked = await self._asked(case_id) if replayed.failure is not None and recorded.status == "open" else None
        verified = _verified(recorded, replayed, asked)
        before, faults = await self._earlier(recorded)
        if recorded.flow is None or not self._books:
            return _with(verified, faults, books=False)
        books = await self._in_books(_Chain(recorded, replayed, before))
        return _with(verified, [*faults, *_found(Part.BOOKS, books)])

    async def _in_books(self, chain: _Chain) -> list[str]:
        """What the books contradict; of an open case only what they do in a moment in which nothing is under way.

        The history is read first, and the books then: what it says was paid must be there, and stays there. For the
        rest an open case must not have gone on meanwhile, or be in the midst of a step: it is looked at again.
        """
        recorded = chain.last
        with self._shop.reading() as session:
            told, first_run = recorded.told(), recorded.first_run
            books = faults_of_end(session, told, first_run) if isinstance(told, CaseView) else []
            books += chain.payment_faults(session)
            if recorded.status != "open":
                return list(dict.fromkeys(books))
            more = chain.faults_at_rest(session)
        look = 1
        while more and not await stands_still(self._temporal, recorded):
            if look == LOOKS_AT_REST:
                return books  # it is never at rest: what it is about to do cannot be told from what is wrong
            look += 1
            await asyncio.sleep(BETWEEN_LOOKS)
            found = await self._replayed(recorded.history.workflow_id, recorded.run_id)
            if found is None or found[0].status != "open":
                return books  # it has ended, or goes on in another run: that one is not open
            recorded, replayed = found
            chain = _Chain(recorded, replayed, chain.before)
            with self._shop.reading() as session:
                books, more = chain.payment_faults(session), chain.faults_at_rest(session)
        return list(dict.fromkeys([*books, *more]))

    async def _replayed(self, case_id: str, run_id: str | None) -> tuple[Recorded, Replayed] | None:
        """One run's history, and its replay; an open one is looked at again before its failure counts."""
        look = 0
        while True:
            recorded = await self._fetch(case_id, run_id)
            if recorded is None:
                return None
            replayed = await self._replays.replay(recorded)
            look += 1
            if replayed.failure is None or recorded.status != "open" or look == LOOKS:
                return recorded, replayed
            await asyncio.sleep(POLL_SECONDS)

    async def _earlier(self, recorded: Recorded) -> tuple[list[Replayed | None], list[Fault]]:
        """The runs that this one continues, the last one first, and what is wrong with them.

        None in the place of one that Temporal no longer has: of those before it, nothing is known either.
        """
        runs: list[Replayed | None] = []
        faults: list[Fault] = []
        before = recorded.started.continued_execution_run_id
        while before:
            run = await self._fetch(recorded.history.workflow_id, before)
            if run is None:
                return [*runs, None], faults
            replayed = await self._replays.replay(run)
            found = _verified(run, replayed)
            runs.append(replayed)
            faults += [Fault(one.part, f"{one.found} (its run {before})") for one in found.faults]
            before = run.started.continued_execution_run_id
        return runs, faults

    async def _fetch(self, case_id: str, run_id: str | None) -> Recorded | None:
        try:
            handle = self._temporal.get_workflow_handle(case_id, run_id=run_id)
            if run_id is None:  # of a chain of runs the events of the last one are wanted
                handle = self._temporal.get_workflow_handle(case_id, run_id=(await handle.describe()).run_id)
            return Recorded(await handle.fetch_history())
        except RPCError as error:
            if is_not_there(error):
                return None
            raise

    async def _asked(self, case_id: str) -> CaseView | None:
        """What the case says of itself, if the code that it runs on still answers."""
        try:
            return await self._client.view(case_id)
        except (CaseRefused, NoAnswer, UnknownCase, RPCError, WorkflowFailureError, WorkflowQueryFailedError):
            return None

    def _by_record(self, case_id: str) -> Verified:
        view = closed_view(self._shop, case_id)
        with self._shop.reading() as session:
            runs = records.find_records(session, case_id=case_id)
            if not runs:
                raise UnknownCase(f"There is no case {case_id}.")
            last = max(runs, key=lambda run: run.opened_at)
            ended = view is not None and not last.died
            faults = _found(Part.BOOKS, [*payments.audit(session, last.order_id), *faults_of_no_run(session, case_id)])
            if view is not None and ended:
                faults += _found(Part.BOOKS, faults_of_end(session, view, last.run_id))
                faults += _found(Part.PATH, path_faults(FLOWS[view.flow], Path.of(view), ended=True))
        if last.closed_at is None:
            faults += _found(Part.BOOKS, ["Temporal does not have it, and its record is open"])
        looked_at = (Part.PATH, Part.BOOKS) if ended else (Part.BOOKS,)
        moves = len(Path.of(view).moves) if view is not None else None
        return Verified(
            case_id=case_id,
            run_id=last.run_id,
            status="completed" if ended else None,
            state=view.state if view is not None else None,
            moves=moves,
            looked_at=looked_at,
            faults=faults,
        )


def _with(verified: Verified, faults: Sequence[Fault], *, books: bool = True) -> Verified:
    looked_at = (
        (*verified.looked_at, Part.BOOKS) if books and Part.BOOKS not in verified.looked_at else verified.looked_at
    )
    return replace(verified, looked_at=looked_at, faults=(*verified.faults, *faults))


def _in_words(troubled: Troubled) -> str:
    return f"{troubled.label('en')}: {troubled.found}"


async def in_order(
    source: AsyncIterator[ItemT], work: Callable[[ItemT], Awaitable[ResultT]], at_once: int = AT_ONCE
) -> AsyncIterator[ResultT]:
    """What comes of each item, in the order of the items; only so many are taken and worked on at the same time."""
    under_way: deque[asyncio.Task[ResultT]] = deque()
    try:
        async for item in source:
            under_way.append(asyncio.ensure_future(work(item)))
            if len(under_way) == at_once:
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for one in under_way:
            one.cancel()
