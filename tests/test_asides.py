"""What may be said beside the tables: who may, how much a case takes, and whose it is afterwards. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from casework.case import FEW, FULL, MOST_BYTES, MOST_BYTES_OF_WORDS, Actor, Case, Loan, TrailLine
from casework.messages import Message
from state_machines.asides import (
    ANSWER,
    ASIDES,
    ASK_OPENER,
    COMMENT,
    MOST_CALLS,
    MOST_SAID,
    REASSIGN,
    REMIND,
    asked_in,
    may_be_sent,
    note_aside,
    room_for,
    speaks_as,
    trigger_named,
    untimely,
)
from state_machines.bulk_order import BULK_ORDER
from state_machines.flows import FLOWS
from state_machines.problem_parcel import PROBLEM_PARCEL
from state_machines.refund_before_shipping import REFUND_BEFORE_SHIPPING
from state_machines.roles import Role
from state_machines.table import Attempt, Flow, Refusal, StateKind, UnsoundFlow
from workflows.defining import case_workflow

NOW = datetime(2026, 12, 3, 4, tzinfo=UTC)
REFUND: Flow[Any] = REFUND_BEFORE_SHIPPING


def case_in(state: str, *, opened_by: str = "opener.1", **more: Any) -> Case[Any]:
    return REFUND.case_type(
        case_id="refund-before-shipping-1",
        run_id="r",
        flow=REFUND.name,
        order_id="1",
        state=state,
        opened_by=opened_by,
        opened_at=NOW,
        **more,
    )


def somebody(*roles: Role, staff_id: str = "somebody.1", stands_in_for: tuple[str, ...] = ()) -> Actor:
    return Actor(staff_id=staff_id, grants=dict.fromkeys(roles), stands_in_for=list(stands_in_for))


def line(trigger: str, *, accepted: bool = True) -> TrailLine:
    return TrailLine(at=NOW, by="somebody.1", trigger=trigger, accepted=accepted, source="persuading")


def test_no_table_has_a_trigger_of_an_asides_name_and_every_flow_takes_them() -> None:
    for flow in FLOWS.values():
        assert not set(flow.triggers) & set(ASIDES)
        assert [one.name for one in may_be_sent(flow)][-len(ASIDES) :] == list(ASIDES)
        assert trigger_named(flow, COMMENT) is ASIDES[COMMENT]
        assert trigger_named(flow, "please_pay") is None
        assert all(trigger_named(flow, name) is None for name, one in flow.triggers.items() if one not in flow.signals)


def test_a_flow_whose_table_takes_an_asides_name_is_no_workflow() -> None:
    renamed = REFUND.triggers["buyer_withdraws"]
    flow = REFUND.changed(
        moves=[replace(row, trigger=COMMENT) if row.trigger == renamed.name else row for row in REFUND.moves],
        triggers=[replace(one, name=COMMENT) if one is renamed else one for one in REFUND.triggers.values()],
    )
    methods: dict[str, Any] = dict.fromkeys(flow.states, str)
    with pytest.raises(UnsoundFlow, match="beside every table"):
        case_workflow(flow)(cast("Any", type("Spoilt", (), methods)))


@pytest.mark.parametrize("flow", FLOWS.values(), ids=lambda flow: flow.name)
def test_in_every_wait_somebody_is_asked_and_every_aside_has_its_place(flow: Flow[Any]) -> None:
    for state in flow.states.values():
        if state.kind is StateKind.WAIT:
            assert asked_in(flow, state)
            assert [untimely(state, aside) for aside in ASIDES] == [None] * len(ASIDES)
        else:
            spoken = [aside for aside in ASIDES if untimely(state, aside) is None]
            assert spoken == ([COMMENT] if state.kind is StateKind.WORK else [])


# --- who may ---


def test_people_speak_in_the_role_that_the_state_asks_first() -> None:
    both = somebody(Role.AFTERSALE_AGENT, Role.AFTERSALE_SUPERVISOR)
    assert speaks_as(REFUND, case_in("awaiting_supervisor"), COMMENT, both) is Role.AFTERSALE_SUPERVISOR
    assert speaks_as(REFUND, case_in("persuading"), COMMENT, both) is Role.AFTERSALE_AGENT


def test_who_has_no_role_in_the_table_may_not_but_for_who_opened_the_case() -> None:
    stranger = somebody(Role.ORDER_AUDITOR)
    for aside in ASIDES:
        assert isinstance(speaks_as(REFUND, case_in("persuading"), aside, stranger), Refusal)
    opener = somebody(Role.ORDER_AUDITOR, staff_id="opener.1")
    deputy = somebody(Role.ORDER_AUDITOR, stands_in_for=("opener.1",))
    for person in (opener, deputy):
        for aside in (ASK_OPENER, ANSWER, REMIND, COMMENT):
            assert speaks_as(REFUND, case_in("persuading"), aside, person) is None
        assert isinstance(speaks_as(REFUND, case_in("persuading"), REASSIGN, person), Refusal)


@pytest.mark.parametrize(
    ("opened_by", "left", "role", "may"),
    [
        ("opener.1", False, Role.AFTERSALE_AGENT, False),
        ("opener.1", True, Role.AFTERSALE_AGENT, True),
        ("opener.1", True, Role.FINANCE_MANAGER, False),
        ("system", False, Role.AFTERSALE_SUPERVISOR, True),
        ("system", False, Role.FINANCE_MANAGER, False),
    ],
)
def test_who_answers_is_who_opened_the_case_or_where_nobody_did_who_may(
    opened_by: str, role: Role, *, left: bool, may: bool
) -> None:
    case = case_in("persuading", opened_by=opened_by)
    said = speaks_as(REFUND, case, ANSWER, somebody(role), opener_left=left)
    assert (said is role) if may else isinstance(said, Refusal)


# --- how much ---


@pytest.mark.parametrize("aside", [COMMENT, ASK_OPENER, ANSWER])
def test_a_case_takes_so_many_words_and_says_so(aside: str) -> None:
    case = case_in("persuading")
    for number in range(MOST_SAID):
        assert room_for(case, aside) is None, number
        note_aside(case, line(aside))
        case.note_refused(line(aside, accepted=False))
    assert room_for(case, aside) == f"{MOST_SAID} comments, questions and answers stand in this case; it takes no more"
    assert room_for(case, REMIND) is None
    assert case.said == MOST_SAID


@pytest.mark.parametrize("aside", [COMMENT, ASK_OPENER, ANSWER])
def test_a_case_takes_so_many_bytes_and_says_so(aside: str) -> None:
    case = case_in("persuading")
    long = line(COMMENT).model_copy(update={"note": "\U0001f600" * 11_000})  # 44 kB
    while len(case.model_dump_json().encode()) <= MOST_BYTES:
        assert room_for(case, aside) is None
        note_aside(case, long)
    assert len(case.trail) < FEW, "so few of them cannot be so long: they are not measured"
    assert room_for(case, aside) is None
    for _ in range(FEW):
        note_aside(case, line(COMMENT))
    assert room_for(case, aside) == FULL
    assert room_for(case, REMIND) is None


def test_a_move_of_a_full_case_stands_without_what_it_named_and_in_the_end_without_its_note() -> None:
    case = case_in("persuading")
    many = line("check").model_copy(update={"note": "x" * 400, "references": {"documents": ["x" * 9_000]}})
    for size, shortened, note in (
        (0, False, many.note),
        (MOST_BYTES, True, many.note),
        (MOST_BYTES_OF_WORDS, True, None),
    ):
        while len(case.model_dump_json().encode()) <= size:
            case.trail.append(many)
        told = many.model_copy()
        case.shorten(told)
        assert (told.note, told.references == {}, bool(told.why)) == (note, shortened, shortened)


def test_of_reminders_and_reassignments_the_newest_are_listed() -> None:
    case = case_in("persuading")
    case.trail.append(line("check").model_copy(update={"dest": "persuading"}))
    note_aside(case, line(COMMENT))
    for number in range(MOST_CALLS + 5):
        note_aside(case, line(REMIND if number % 2 else REASSIGN).model_copy(update={"why": str(number)}))
    calls = [int(one.why or "") for one in case.trail[2:]]
    assert calls == list(range(5, MOST_CALLS + 5))
    assert [one.trigger for one in case.trail[:2]] == ["check", COMMENT]
    assert case.said == MOST_CALLS + 6


def test_a_line_that_leads_nowhere_is_no_move() -> None:
    assert not line(COMMENT).is_move
    assert line("hold").model_copy(update={"dest": "persuading"}).is_move
    assert not line("hold", accepted=False).is_move


# --- whose it is ---


def test_a_loan_ends_where_the_case_waits_for_another_role_or_has_ended() -> None:
    row = next(one for one in REFUND.rows("awaiting_supervisor", "approve") if one.dest == "awaiting_finance")
    case = case_in("awaiting_supervisor", assignee="lead.1", loan=Loan(role=Role.AFTERSALE_SUPERVISOR, before=None))
    REFUND.take(row, Attempt(case, "approve", NOW, somebody(Role.AFTERSALE_SUPERVISOR)))
    assert (case.assignee, case.loan) == (None, None)


def test_a_loan_goes_on_through_work_and_back_to_the_same_role() -> None:
    back = next(one for one in REFUND.rows("awaiting_supervisor", "send_back"))
    case = case_in("awaiting_supervisor", assignee="agent.1", loan=Loan(role=Role.AFTERSALE_AGENT, before="agent.2"))
    REFUND.take(back, Attempt(case, "send_back", NOW, somebody(Role.AFTERSALE_SUPERVISOR), message=Message(by="a")))
    assert (case.state, case.assignee) == ("persuading", "agent.1")
    works = {state.name for state in REFUND.states.values() if state.kind is StateKind.WORK}
    work = next(row for row in REFUND.rows("persuading") if row.dest in works)
    REFUND.take(work, Attempt(case, work.trigger, NOW, somebody(Role.AFTERSALE_AGENT)))
    assert case.assignee == "agent.1"


def test_flows_that_have_somebody_of_their_own_keep_whoever_takes_their_place() -> None:
    assert PROBLEM_PARCEL.case_type.OWNED_BY is Role.PARCEL_SPECIALIST
    assert BULK_ORDER.case_type.OWNED_BY is Role.BULK_SPECIALIST
    assert REFUND.case_type.OWNED_BY is None
