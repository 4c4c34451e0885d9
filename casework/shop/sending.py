"""Where each message of the outbox stands on its way out. Whoever sends one claims it for a while; what was claimed
and never heard of again is sent anew, under the same id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, cast

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from casework.authority import reached
from casework.shop.staff import StaffMember, all_staff
from casework.shop.tables import CaseRow, OutboxRow
from casework.templates import CALLS_TO_ACT

FIRST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(minutes=15)
"""After the first failed attempt the next follows so soon; each further wait is twice as long, up to the longest."""
MOST_REFUSALS: Final = 3
"""After so many a receiver that refuses a message is not asked again by itself."""

MOST_LISTED: Final = 20
"""So many of the messages that failed are listed."""

MessageState = Literal["waiting", "delivered", "refused", "skipped"]


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One message on its way out, as it is at the moment of its sending.

    `people` are the staff ids whom it reaches now (nobody: none of those it is for is there); of a message to the buyer
    there are none. `at` (aware) is the case's own time at which it was said.
    """

    id: str
    case_id: str
    order_id: str | None
    flow: str | None
    to: Literal["buyer", "staff"]
    recipient: str | None
    people: tuple[str, ...]
    template: str
    parameters: Mapping[str, str]
    text_zh: str
    text_en: str
    at: datetime
    attempt: int


@dataclass(frozen=True, slots=True)
class Unsent:
    """A message that has not gone out: why not, and when it is tried next (None: not by itself any more).

    `next_try` is aware.
    """

    id: str
    case_id: str
    template: str
    attempts: int
    why: str | None
    next_try: datetime | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """How the outbox stands: how many messages in each state, and those that could not be sent, oldest first."""

    counts: Mapping[MessageState, int]
    failed: list[Unsent]


def anything_due(session: Session, *, now: datetime) -> bool:
    """Whether there is a message to send. `now` is aware."""
    query = select(OutboxRow.id).where(OutboxRow.delivery == "waiting", OutboxRow.next_try <= now).limit(1)
    return session.scalar(query) is not None


def claim(session: Session, *, now: datetime, lease: timedelta, at_most: int) -> list[Dispatch]:
    """The next messages that are due, for whoever asks alone until `lease` is over; the oldest first.

    Left out from now on is what is not needed any more: a cancelled task, and a call to act on a case that has ended.
    `now` is aware.
    """
    due = (
        select(OutboxRow)
        .where(OutboxRow.delivery == "waiting", OutboxRow.next_try <= now)
        .order_by(OutboxRow.next_try, OutboxRow.id)
        .limit(at_most)
        .with_for_update(skip_locked=True)
    )
    staff = all_staff(session)
    claimed: list[Dispatch] = []
    # where all that was looked at is left out, the next ones follow: nothing claimed means that nothing is due
    while not claimed and (rows := session.scalars(due).all()):
        for row in rows:
            record = session.get(CaseRow, (row.case_id, _run_of(row)))
            ended = record is not None and record.closed_at is not None
            if row.cancelled_at is not None or (ended and row.template in CALLS_TO_ACT):
                row.delivery = "skipped"
                continue
            row.attempts += 1
            row.next_try, row.last_error = now + lease, None
            claimed.append(_dispatch(row, record, staff, now))
        session.flush()
    return claimed


def _dispatch(row: OutboxRow, record: CaseRow | None, staff: Sequence[StaffMember], now: datetime) -> Dispatch:
    for_staff = row.to == "staff" and row.recipient is not None
    return Dispatch(
        id=row.key,
        case_id=row.case_id,
        order_id=record.order_id if record else None,
        flow=record.flow if record else None,
        to="staff" if row.to == "staff" else "buyer",
        recipient=row.recipient,
        people=tuple(reached(staff, str(row.recipient), now)) if for_staff else (),
        template=row.template,
        parameters=cast("dict[str, str]", row.parameters),
        text_zh=row.text_zh,
        text_en=row.text_en,
        at=row.at,
        attempt=row.attempts,
    )


def note_sent(session: Session, message_id: str, *, at: datetime) -> None:
    """It has gone out. `at` is aware."""
    session.execute(
        update(OutboxRow)
        .where(OutboxRow.key == message_id, OutboxRow.delivery != "delivered")
        .values(delivery="delivered", delivered_at=at, last_error=None)
    )


def note_failed(session: Session, dispatch: Dispatch, why: str, *, refused: bool, at: datetime) -> bool:
    """It has not gone out, and is tried again later: longer and longer later, and not for ever where the receiver
    `refused` it. Whether it is tried again.

    What somebody else has claimed since then, or sent, is left as it is. `at` is aware.
    """
    row = session.scalar(select(OutboxRow).where(OutboxRow.key == dispatch.id).with_for_update())
    if row is None or row.delivery != "waiting" or row.attempts != dispatch.attempt:
        return True
    row.last_error = why
    row.refusals += refused
    row.next_try = at + wait_after(row.attempts)
    if row.refusals >= MOST_REFUSALS:
        row.delivery = "refused"
    session.flush()
    return row.delivery == "waiting"


def wait_after(attempts: int) -> timedelta:
    """How long after so many failed attempts the next one follows."""
    doublings = min(max(attempts, 1) - 1, 30)
    return min(FIRST_WAIT * 2**doublings, LONGEST_WAIT)


def try_again(session: Session, *, now: datetime) -> int:
    """Have everything that failed tried at once, also what was refused for good; how many messages that are.

    What somebody is sending at this moment is left alone. `now` is aware.
    """
    failed = session.execute(
        update(OutboxRow)
        # what is claimed has no error
        .where(OutboxRow.delivery.in_(("refused", "waiting")), OutboxRow.last_error.is_not(None))
        .values(delivery="waiting", refusals=0, next_try=now)
        .returning(OutboxRow.id)
    )
    return len(failed.all())


def backlog(session: Session) -> Backlog:
    """How the outbox stands; of what failed, `MOST_LISTED` at most."""
    counted = session.execute(select(OutboxRow.delivery, func.count()).group_by(OutboxRow.delivery))
    counts: dict[MessageState, int] = {cast("MessageState", state): number for state, number in counted}
    failed = session.scalars(
        select(OutboxRow)
        .where(OutboxRow.delivery.in_(("waiting", "refused")), OutboxRow.last_error.is_not(None))
        .order_by(OutboxRow.delivery, OutboxRow.id)
        .limit(MOST_LISTED)
    )
    return Backlog(
        counts,
        [
            Unsent(
                id=row.key,
                case_id=row.case_id,
                template=row.template,
                attempts=row.attempts,
                why=row.last_error,
                next_try=row.next_try if row.delivery == "waiting" else None,
            )
            for row in failed
        ],
    )


def _run_of(row: OutboxRow) -> str:
    """The case's run in the message's key, which is case, run and purpose."""
    return row.key.removeprefix(f"{row.case_id}/").split("/", 1)[0]
