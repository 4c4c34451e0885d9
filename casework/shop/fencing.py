"""Fencing: what a case asks of the shop by an attempt that Temporal has given up or discarded is refused or undone.

Temporal may give a workflow task to a second worker while the first one, taken for dead, still writes; and it may
discard a task that has changed the shop already, because a message arrived in that moment, and run it again with the
message. So each step on the shop brings a token that says where its execution is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, update
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from casework.shop.errors import CaseOver
from casework.shop.goods_tasks import undo_end
from casework.shop.releasing import restore_released
from casework.shop.tables import CASES, WAITS, CaseRow

# made once, as in `amounts`, and of the table: the ORM would take longer to look for objects of it than the step takes
_DELETE_WAIT = delete(WAITS).where(WAITS.c.case_id == bindparam("of_case"))
_UPDATE_PROGRESS = update(CASES).where(CASES.c.case_id == bindparam("of_case"), CASES.c.run_id == bindparam("of_run"))


@dataclass(frozen=True, slots=True)
class FencingToken:
    """Where a case's execution is: Temporal's run id of this very execution, and how many events it has so far.

    Where Temporal has discarded a workflow task that had closed the case in the shop already, what is new then is
    asked for at the moment of the closing or a later one; what was asked for earlier was done before the closing. Or
    it goes on in an execution that continues it as new: that one would not be there if the closing had counted.
    """

    execution: str
    events: int
    version: int = 0
    """How many accepted moves the case has made."""
    at: datetime | None = None
    """What time it is by the case's own clock (aware); None: an older version asked."""
    continues: str | None = None
    """The execution that this one continues as new; None: it is the case's first."""
    state: str | None = None
    """In which state the case is; None: an older version asked."""


def admit(
    session: Session, case_id: str, run_id: str, token: FencingToken | None = None, *, in_turn: bool = False
) -> bool:
    """Admit a step of an open case, and note how far the case has come; answers whether what it writes may be kept.

    Where the execution that closed the case goes on all the same (see `FencingToken`), the case is open again. Where a
    step that was asked for before the closing is done again, its answer is needed, but nothing of it may be kept. Nor
    of an attempt that arrives after a later step of the same execution, where the case takes such steps one after the
    other (`in_turn`): it was given up.

    Raises:
        CaseOver: the case has ended in the shop, or another run of it has begun.

    """
    row = session.get(CaseRow, (case_id, run_id), with_for_update=True)
    if row is None:
        raise CaseOver(case_id)
    if row.closed_at is None:
        if token is None:
            return True
        given_up = in_turn and _is_given_up(row, token)
        note_progress(session, row, token)
        return not given_up
    if token is None or not _may_have_closed(row, token):
        raise CaseOver(case_id)
    if is_before_closing(row, token) or _led_to_closing(row, token):
        return False
    _reopen(session, row, token)
    return True


def reopen_if_later(session: Session, row: CaseRow, token: FencingToken) -> bool:
    """Whether a case that is about to say where it waits is open; where its closing did not count, it is open again.

    Of what was asked for by as many events as the closing, a word opens nothing again: it may have arrived late, and
    no answer of it is needed, unlike a step's (`admit`).
    """
    if row.closed_at is None:
        return True
    later = row.closing_execution != token.execution or token.events > (row.closing_events or 0)
    if not later or not _may_have_closed(row, token):
        return False
    _reopen(session, row, token)
    return True


def is_before_closing(row: CaseRow, token: FencingToken) -> bool:
    """Whether a step was asked for earlier in the execution than that closed the case."""
    return row.closing_execution == token.execution and token.events < (row.closing_events or 0)


def _led_to_closing(row: CaseRow, token: FencingToken) -> bool:
    """Whether a step of as many events as the closing, of the same workflow task that is, was on the way to it.

    A step of another way, which Temporal has the case take instead, has it in another state after as many moves.
    """
    if (row.closing_execution, row.closing_events) != (token.execution, token.events):
        return False
    moves = [line for line in (row.view or {}).get("trail", ()) if line.get("accepted") and line.get("dest")]
    return token.version < len(moves) and moves[token.version]["source"] == token.state


def _is_given_up(row: CaseRow, token: FencingToken) -> bool:
    """Whether a step arrives after a later one of the same execution."""
    # an older execution may be the one that goes on: Temporal discards a continuation where a message came meanwhile
    return row.at_execution == token.execution and token.events < (row.at_events or 0)


def _may_have_closed(row: CaseRow, token: FencingToken) -> bool:
    """Whether it was this execution that has closed the case, or the one that it continues."""
    return row.closing_execution is not None and row.closing_execution in (token.execution, token.continues)


def _reopen(session: Session, row: CaseRow, token: FencingToken) -> None:
    """The closing did not count: what the case released with it is restored."""
    if row.closed_at is not None:
        undo_end(session, row.case_id, row.closed_at)
    row.closed_at = row.outcome = row.view = row.closing_execution = row.closing_events = None
    _restore_released(session, row, token)


def went_further(session: Session, case_id: str, run_id: str, token: FencingToken) -> bool:
    """Whether the case has made more moves in the shop than it knows of: Temporal has discarded them."""
    row = session.get(CaseRow, (case_id, run_id))
    return row is not None and row.at_version is not None and row.at_version > token.version


def note_progress(session: Session, row: CaseRow, token: FencingToken, *, waits_again: bool = False) -> bool:
    """Note how far an open case has come, and that it waits no more where it waited before; False if that is old news.

    Where the shop has seen moves that the case has not made, what it released by them is restored. `waits_again`:
    the caller says at once where the case waits now.

    An attempt that Temporal gave up may arrive late; and a workflow task that Temporal discarded may have gone further
    than the case then goes. So within one execution what is later in its history counts. Of two executions the later
    one counts by the case's own clock, also where it was reset to before some of its moves.
    """
    if row.at_version is not None and not _is_newer(row, token):
        return False
    taken_back = _was_taken_back(row, token)
    if (taken_back or row.at_version not in (None, token.version)) and not waits_again:
        waits_no_more(session, row.case_id)
    if taken_back:
        _restore_released(session, row, token)
    told_later = waits_again and token.events != row.at_events
    if taken_back or told_later or (row.at_version, row.at_execution) != (token.version, token.execution):
        progress = {
            "at_version": token.version,
            "at_execution": token.execution,
            "at_events": token.events,
            "at_time": token.at,
            "at_state": token.state,
        }
        session.connection().execute(_UPDATE_PROGRESS, {"of_case": row.case_id, "of_run": row.run_id, **progress})
        for name, value in progress.items():
            # the row is what the table says now: nothing is left for the session to write
            set_committed_value(row, name, value)
    return True


def waits_no_more(session: Session, case_id: str) -> None:
    """Forget where a case waits."""
    session.connection().execute(_DELETE_WAIT, {"of_case": case_id})


def _was_taken_back(row: CaseRow, token: FencingToken) -> bool:
    """Whether the shop has seen moves of the case that it has not made, as Temporal has discarded their workflow task.

    Then a message that has come meanwhile goes first, and the case another way: a timer that has rung comes after it.
    """
    if row.at_version is None or row.at_version < token.version:
        return False
    if row.at_version > token.version:
        return True
    # as many moves, but others: neither is known of a case that an older version has opened
    return row.at_state is not None and token.state is not None and row.at_state != token.state


def _is_newer(row: CaseRow, token: FencingToken) -> bool:
    version = row.at_version or 0
    if row.at_execution == token.execution:
        return (token.events, token.version) >= (row.at_events or 0, version)
    if row.at_time is None or token.at is None:
        return token.version >= version
    return (token.at, token.version) >= (row.at_time, version)


def _restore_released(session: Session, row: CaseRow, token: FencingToken) -> None:
    """What the case released by moves that it has not made is restored; what it released before stays released."""
    restore_released(session, row, since=token.version, state=token.state, at=token.at or row.opened_at)
    session.flush()
