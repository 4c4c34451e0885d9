"""What waits for somebody, and what will happen by itself: as lists for people and programs. Pure."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ValidationError, computed_field

from casework.case import Actor, IfSilent, WaitingFor
from casework.details import if_silent
from casework.forecast import Course
from casework.shop.waiting import Waiting
from casework.waiting import asked_of, case_from
from state_machines.common import CANCEL


class InboxCase(BaseModel):
    """A case that waits for somebody. Times are aware, money is fen.

    Attributes:
        waiting_for: what this person, or this role, may do in it now, with the roles in which they may.
        not_you: why the person may do nothing of what the case asks for; None where they may.
        expects: the roles that the case waits for.
        waiting_since: when it came into its state, however often an alarm has sounded there.
        overdue: the deadline has passed, or the clock has fired and nothing has moved.

    """

    case_id: str
    flow: str
    order_id: str
    state: str
    amount_fen: int
    version: int
    waiting_for: list[WaitingFor]
    not_you: str | None
    expects: list[str]
    assignee: str | None
    waiting_since: datetime
    due: datetime
    overdue: bool
    if_silent: IfSilent | None
    opened_by: str
    opened_at: datetime

    @property
    def asked(self) -> list[WaitingFor]:
        """What the case waits for, of that which may be done in it: without calling it off and news of others."""
        wanted = set(self.expects)
        return [one for one in self.waiting_for if one.trigger != CANCEL and not wanted.isdisjoint(one.roles)]


class Inbox(BaseModel):
    """A page of the cases that wait, soonest deadline first; `total` counts all of them.

    Until `leaves_until` (aware), if nobody acts in any of them, `leaves_fen` leaves for certain and `may_leave_fen`
    besides unless the outside is in the way, both in fen: as a forecast says of the same cases for the same hours.
    """

    cases: list[InboxCase]
    total: int
    leaves_fen: int
    may_leave_fen: int
    leaves_until: datetime


class Forecast(BaseModel):
    """What the open cases do by themselves until then; `at_work` are at work, or only poll."""

    until: datetime
    courses: list[Course]
    at_work: list[str]

    @computed_field
    @property
    def leaves_fen(self) -> int:
        """What leaves for certain if nobody acts, in fen."""
        return sum(course.leaves_fen for course in self.courses)

    @computed_field
    @property
    def may_leave_fen(self) -> int:
        """What leaves besides unless the outside is in the way, in fen."""
        return sum(course.may_leave_fen for course in self.courses)


def in_inbox(told: Waiting, actor: Actor, now: datetime) -> InboxCase | None:
    """The case as it waits for the person at `now` (aware); None for one that this version does not understand."""
    try:
        flow, case = case_from(told.case)
    except (KeyError, ValidationError):
        return None
    asked = asked_of(flow, case, actor)
    return InboxCase.model_construct(
        case_id=case.case_id,
        flow=case.flow,
        order_id=case.order_id,
        state=case.state,
        amount_fen=case.amount_fen,
        version=case.version,
        waiting_for=asked.may,
        not_you=asked.why_not,
        expects=[role.value for role in flow.states[case.state].expects],
        assignee=case.assignee,
        waiting_since=told.since,
        due=told.due,
        overdue=case.alarms > 0 or told.due <= now,
        if_silent=if_silent(flow, case),
        opened_by=case.opened_by,
        opened_at=case.opened_at,
    )
