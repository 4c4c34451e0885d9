"""When a wait ends and when its reminder is due: the policy's figures put on the clock. Pure.

A staff deadline counts the shop's open hours, a platform or legal one every hour (policy.md says which).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from casework.case import Case
from casework.changes import REMINDS_FROM_COUNT
from casework.hours import OpenHours, add_open_time, reminder_at
from casework.policy import Clock, clock_of
from state_machines.table import Flow, State


def due_at(flow: Flow[Any], case: Case[Any], state: State, now: datetime) -> datetime:
    """The state's deadline, counted from `now` (the accepted move into it) or from where the state says, in UTC.

    A clock row that stayed in its state comes again after the shop's alarm interval, a quiet one after the state's own
    wait. The platform's deadline, less the shop's margin, binds a state that says so, also when it has passed already:
    then it fires at once, but once.
    """
    wait, clock = _wait_of(flow, case, state)

    def after(begin: datetime) -> datetime:
        return add_open_time(begin, wait, _opening(case)) if clock is Clock.OPEN else begin + wait

    counts_from = state.deadline.counts_from if state.deadline is not None else None
    begin = counts_from(case) if counts_from is not None and (case.alarms == 0 or _quiet(state)) else None
    due = after(begin or now)
    if case.alarms > 0 and due <= now:
        due = after(now)
    platform = _platform_due(case, state)
    if platform is not None and (case.alarms == 0 or platform > now):
        due = min(due, platform)
    return due


def remind_at(flow: Flow[Any], case: Case[Any], state: State, now: datetime) -> datetime | None:
    """When those who may act are reminded next, in UTC; None: no more.

    On the days that the state's policy figure lists, after what the wait counts from; else once, at the shop's share of
    the wait, counted by the wait's own clock.
    """
    if case.due is None or case.due <= now:
        return None
    listed = state.deadline.reminders if state.deadline is not None else None
    if listed is not None:
        begin = case.entered_at or now
        counts_from = state.deadline.counts_from if state.deadline is not None else None
        if counts_from is not None and case.has_adopted(REMINDS_FROM_COUNT):
            # the entry may be another one than what the time itself counts from, after a recount
            begin = counts_from(case) or begin
        times = [begin + one for one in getattr(case.figures.flow, listed)]
        return next((one for one in times if now < one < case.due), None)
    if case.reminded:
        return None
    _, clock = _wait_of(flow, case, state)
    when = reminder_at(now, case.due, case.figures.shop.remind_at_percent, clock, _opening(case))
    return when if now < when < case.due else None


def _wait_of(flow: Flow[Any], case: Case[Any], state: State) -> tuple[timedelta, Clock]:
    deadline = state.deadline
    if deadline is None:
        raise ValueError(f"{state.name} waits for nothing")
    if deadline.wait is None or (case.alarms > 0 and not deadline.quiet):
        return case.figures.shop.alarm_every, Clock.ALWAYS
    section = flow.name.replace("-", "_")
    return getattr(case.figures.flow, deadline.wait), clock_of(f"{section}.{deadline.wait}")


def _quiet(state: State) -> bool:
    return state.deadline is not None and state.deadline.quiet


def _platform_due(case: Case[Any], state: State) -> datetime | None:
    if not state.platform_bound or case.platform_deadline is None:
        return None
    return case.platform_deadline - case.figures.shop.platform_margin


def _opening(case: Case[Any]) -> OpenHours:
    shop = case.figures.shop
    return OpenHours(shop.open_from, shop.open_until, shop.timezone)
