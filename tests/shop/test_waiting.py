"""Where cases wait, as they tell the shop: what is late or taken back does not count, and nothing is left behind."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from casework.forecast import SILENCE, course_told
from casework.shop import fencing, records, waiting
from casework.shop.database import Database
from casework.shop.fencing import FencingToken
from casework.shop.waiting import WaitFilter
from casework.waiting import Waits, waits_of
from state_machines.flows import FLOWS
from state_machines.laws.exploring import by_amount
from state_machines.laws.world import World
from state_machines.laws.worlds import WORLDS
from state_machines.refund_before_shipping import REFUND_BEFORE_SHIPPING
from state_machines.table import Flow
from tests.shop.steps import CASE, NOW, OTHER, open_case

EVERYTHING = WaitFilter()
SUPERVISOR, FINANCE = "aftersale_supervisor", "finance_manager"


def waits(*roles: str, due: datetime = NOW, fen: int = 100, **more: Any) -> Waits:
    told: dict[str, Any] = {"assignee": None, "since": NOW, "alarms": 0, "case": {"opened_at": NOW.isoformat()}, **more}
    return Waits(roles=list(roles or (SUPERVISOR,)), due=due, amount_fen=fen, **told)


def a_refund(state: str, due: datetime, fen: int) -> Waits:
    """What a refund tells that waits there."""
    world = WORLDS["refund-before-shipping"]
    case = next(one.start.case for one in by_amount(world).steps() if one.start.case.state == state)
    case = case.model_copy(deep=True)
    case.due, case.entered_at, case.amount_fen, case.kept = due, NOW - timedelta(hours=1), fen, []
    told = waits_of(REFUND_BEFORE_SHIPPING, case, NOW)
    assert told is not None
    return told


def tell(
    session: Session,
    events: int,
    version: int,
    told: Waits | None,
    *,
    execution: str = "run",
    at: datetime | None = None,
) -> None:
    waiting.tell(session, CASE, "run", FencingToken(execution, events, version, at), told)


def roles_now(session: Session) -> list[str]:
    """Whom the case waits for, by role."""
    return [role for role in (SUPERVISOR, FINANCE) for _ in waiting.waiting(session, WaitFilter(roles=(role,)))]


def step(session: Session, events: int, version: int, *, execution: str = "run") -> None:
    """A step of the case on the shop."""
    assert fencing.admit(session, CASE, "run", FencingToken(execution, events, version))


def test_a_case_whose_closing_did_not_count_says_where_it_waits(shop: Database) -> None:
    closing, later = FencingToken("run", 10, 4, NOW), NOW + timedelta(minutes=1)
    for moment, is_open in (
        (closing, False),
        (FencingToken("run", 12, 4, later), True),
        (FencingToken("the next", 3, 4, later, continues="run"), True),
        (FencingToken("a reset", 12, 4, later), False),
    ):
        with shop.writing() as session:
            if records.find_records(session, case_id=CASE) == []:
                open_case(session)
            records.close_record(
                session, case_id=CASE, run_id="run", view={}, outcome="refunded", at=NOW, moment=closing
            )
            waiting.tell(session, CASE, "run", moment, waits())
            assert (roles_now(session), records.is_open(session, CASE)) == ([SUPERVISOR] * is_open, is_open), moment


def test_a_step_after_the_next_move_takes_the_row_away_and_one_before_it_does_not(shop: Database) -> None:
    with shop.writing() as session:
        open_case(session)
        tell(session, 10, 3, waits())
        step(session, 12, 3)
        assert roles_now(session) == [SUPERVISOR]
        step(session, 14, 4)
        assert roles_now(session) == []
        tell(session, 16, 4, waits(FINANCE))
        assert roles_now(session) == [FINANCE]


def test_a_wait_on_a_way_that_was_taken_back_is_gone_with_the_first_step_of_the_other_way(shop: Database) -> None:
    """The clock had made the fourth move in a task that was taken back; then somebody's approval is the fourth."""
    with shop.writing() as session:
        open_case(session)
        waiting.tell(session, CASE, "run", FencingToken("run", 10, 4, state="awaiting_finance"), waits(FINANCE))
        assert fencing.admit(session, CASE, "run", FencingToken("run", 10, 4, state="awaiting_finance"))
        assert roles_now(session) == [FINANCE]
        assert fencing.admit(session, CASE, "run", FencingToken("run", 14, 4, state="refunding"))
        assert roles_now(session) == []


def test_a_late_word_of_the_same_wait_does_not_replace_a_newer_one(shop: Database) -> None:
    with shop.writing() as session:
        open_case(session)
        tell(session, 10, 3, waits(fen=100))
        tell(session, 20, 3, waits(fen=900))
        tell(session, 10, 3, waits(fen=100))
        assert waiting.how_many(session, WaitFilter(over_fen=500)) == 1
        waiting.moved_on(session, CASE, NOW, 4)
        tell(session, 20, 3, waits(fen=900))
        assert waiting.how_many(session, EVERYTHING) == 0


def test_what_comes_late_changes_nothing(shop: Database) -> None:
    with shop.writing() as session:
        open_case(session)
        tell(session, 10, 3, waits())
        tell(session, 14, 4, waits(FINANCE))
        tell(session, 10, 3, waits())
        step(session, 12, 3)
        assert roles_now(session) == [FINANCE]
        tell(session, 9, 4, waits(), execution="the next")
        assert roles_now(session) == [SUPERVISOR], "continued as new: its history begins anew"
        tell(session, 50, 3, waits(FINANCE))
        assert roles_now(session) == [SUPERVISOR], "of the execution before"


def test_where_temporal_has_taken_back_what_a_task_did_the_case_is_where_its_history_says(shop: Database) -> None:
    with shop.writing() as session:
        open_case(session)
        tell(session, 10, 3, waits())
        tell(session, 14, 4, waits(FINANCE))
        tell(session, 17, 3, waits())
        assert roles_now(session) == [SUPERVISOR]


def test_a_case_that_was_reset_to_before_a_move_is_where_the_newer_execution_says(shop: Database) -> None:
    minute = timedelta(minutes=1)
    with shop.writing() as session:
        open_case(session)
        tell(session, 10, 3, waits(), at=NOW)
        tell(session, 14, 4, waits(FINANCE), at=NOW + minute)
        tell(session, 9, 3, waits(), execution="reset", at=NOW + 2 * minute)
        assert roles_now(session) == [SUPERVISOR]
        tell(session, 18, 5, waits(FINANCE), at=NOW + minute)
        assert roles_now(session) == [SUPERVISOR], "of the execution before"
        tell(session, 9, 4, waits(FINANCE), execution="the next", at=NOW + 2 * minute)
        assert roles_now(session) == [FINANCE], "continued as new in the same moment"
        tell(session, 12, 3, waits(), execution="reset", at=NOW + 2 * minute)
        assert roles_now(session) == [FINANCE]


def test_the_end_of_a_case_and_a_new_run_of_it_leave_no_row_behind(shop: Database) -> None:
    with shop.writing() as session:
        open_case(session)
        tell(session, 10, 3, waits())
        open_case(session, run_id="again")  # the dead run is closed as superseded only by a later one
        assert roles_now(session) == []
        waiting.tell(session, CASE, "run", FencingToken("run", 20, 3), waits())
        assert roles_now(session) == [], "of a run that is over"
        waiting.tell(session, CASE, "again", FencingToken("again", 9, 1), waits(FINANCE))
        assert roles_now(session) == [FINANCE]
        view = {"amount_fen": 1}
        records.close_record(session, case_id=CASE, run_id="again", view=view, outcome="kept", at=NOW)
        assert roles_now(session) == []


def test_whoever_has_the_cases_answer_takes_the_row_away_but_not_that_of_a_later_wait_or_run(shop: Database) -> None:
    with shop.writing() as session:
        open_case(session)
        tell(session, 10, 3, waits())
        waiting.moved_on(session, CASE, NOW, 3)
        waiting.moved_on(session, CASE, NOW - timedelta(days=1), 9)
        assert roles_now(session) == [SUPERVISOR]
        waiting.moved_on(session, CASE, NOW, 4)
        assert roles_now(session) == []
        tell(session, 14, 4, waits(FINANCE))
        assert roles_now(session) == [FINANCE]


def test_a_case_that_was_asked_is_taken_down_unless_it_has_told_meanwhile(shop: Database) -> None:
    with shop.writing() as session:
        open_case(session)
        assert waiting.untold(session) == []
        session.connection().exec_driver_sql("UPDATE cases SET at_version = NULL")
    with shop.writing() as session:
        assert waiting.untold(session) == [CASE]
        waiting.tell_of_untold(session, CASE, 3, waits())
        waiting.tell_of_untold(session, CASE, 2, waits(FINANCE))
        assert roles_now(session) == [SUPERVISOR]
        assert waiting.untold(session) == []
        step(session, 40, 4)
        assert roles_now(session) == []


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (EVERYTHING, [OTHER, CASE]),
        (WaitFilter(roles=(FINANCE,)), [OTHER, CASE]),
        (WaitFilter(roles=(SUPERVISOR,)), [CASE]),
        (WaitFilter(roles=("finance",)), []),
        (WaitFilter(over_fen=100), [CASE]),
        (WaitFilter(over_fen=99), [OTHER, CASE]),
        (WaitFilter(assignee="finance.1"), [OTHER]),
        (WaitFilter(flow="bulk-order"), []),
        (WaitFilter(order_id="1"), []),
        (WaitFilter(overdue_at=NOW), [OTHER, CASE]),
        (WaitFilter(overdue_at=NOW - timedelta(seconds=1)), [OTHER]),
    ],
)
def test_who_waits_is_narrowed_and_comes_soonest_deadline_first(
    shop: Database, wanted: WaitFilter, found: list[str]
) -> None:
    with shop.writing() as session:
        open_case(session)
        open_case(session, OTHER, run_id="other")
        tell(session, 10, 3, waits(SUPERVISOR, FINANCE, fen=200))
        late = waits(FINANCE, due=NOW - timedelta(hours=1), assignee="finance.1", alarms=1)
        waiting.tell(session, OTHER, "other", FencingToken("other", 10, 3), late)
    with shop.reading() as session:
        assert [one.case_id for one in waiting.waiting(session, wanted)] == found
        assert [one.case_id for one in waiting.waiting(session, wanted, 1)] == found[:1]
        assert waiting.how_many(session, wanted) == len(found)


def test_whose_each_case_is_that_waits(shop: Database) -> None:
    with shop.writing() as session:
        open_case(session)
        open_case(session, OTHER, run_id="other")
        tell(session, 10, 3, waits(SUPERVISOR, assignee="lead.1"))
        waiting.tell(session, OTHER, "other", FencingToken("other", 10, 3), waits(FINANCE))
    with shop.reading() as session:
        assert waiting.assignees(session) == {CASE: "lead.1", OTHER: None}


@pytest.mark.parametrize("hours", [-30, -1, 0, 1, 5, 13, 23, 24, 25, 40])
def test_what_leaves_is_what_a_forecast_says_of_the_same_cases(shop: Database, hours: int) -> None:
    due = NOW + timedelta(hours=hours)
    first, second = a_refund("awaiting_supervisor", due, 143_700), a_refund("awaiting_finance", due, 5_000)
    with shop.writing() as session:
        open_case(session)
        open_case(session, OTHER, run_id="other")
        tell(session, 10, 3, first)
        waiting.tell(session, OTHER, "other", FencingToken("other", 10, 3), second)
    courses = [course_told(one.case, now=NOW, until=NOW + SILENCE) for one in (first, second)]
    told = [course for course in courses if course is not None]
    assert len(told) == 2
    with shop.reading() as session:
        found = waiting.leaving(session, EVERYTHING, NOW)
    assert found.certain_fen == sum(one.leaves_fen for one in told)
    assert found.perhaps_fen == sum(one.may_leave_fen for one in told)
    if hours == 1:
        assert found.certain_fen >= 143_700, "followed through finance's wait"


@pytest.mark.parametrize("flow", FLOWS.values(), ids=lambda flow: flow.name)
def test_how_a_payment_ends_nobody_knows_so_no_silence_pays_twice(flow: Flow[Any]) -> None:
    for state in flow.states.values():
        assert not state.pays or len({row.trigger for row in flow.rows(state.name)}) > 1, state.name


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
def test_wherever_a_silence_pays_the_table_says_that_it_may(world: World[Any]) -> None:
    flow, tried = world.flow, Counter[str]()
    for one in by_amount(world).steps():
        case = one.to.case
        told = waits_of(flow, case.model_copy(update={"due": NOW, "entered_at": NOW}), NOW)
        if told is None or tried[case.state] > 20:
            continue
        tried[case.state] += 1
        course = course_told(told.case, now=NOW, until=NOW + timedelta(days=30))
        assert course is not None
        if any(step.pays_fen for step in course.steps):
            assert case.state in flow.may_pay_by_itself
    assert {name for name in flow.states if flow.states[name].pays} <= flow.may_pay_by_itself
