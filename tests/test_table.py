from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from casework.case import Actor, Approval, Case, CaseFigures, Start
from casework.policy import load_policy
from casework.standing import RefundStanding
from state_machines.flows import FLOWS
from state_machines.refund_before_shipping import REFUND_BEFORE_SHIPPING as FLOW
from state_machines.refund_before_shipping import RefundCase, RefundFigures
from state_machines.roles import Automatic, Label, Role
from state_machines.table import (
    Attempt,
    Deadline,
    Flow,
    Move,
    Refusal,
    State,
    StateKind,
    Trigger,
    TriggerKind,
    UnsoundFlow,
    clock,
    decision,
    end,
    fact,
    guard,
    move,
    outcome,
    wait,
    work,
)
from tests.tables import Row, require_called_off, require_rows

ROOT = Path(__file__).parents[1]
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
POLICY = load_policy(None)
SYSTEM, CLOCK = Automatic.SYSTEM, Automatic.CLOCK
AGENT, SUPERVISOR, FINANCE = Role.AFTERSALE_AGENT, Role.AFTERSALE_SUPERVISOR, Role.FINANCE_MANAGER
LIMIT, UPPER_LIMIT = 20_000, 100_000
"""The shipped policy's limits of agent and supervisor, in fen."""


def a_case(state: str, **known: Any) -> RefundCase:
    """A refund in that state, opened by somebody who does nothing else here."""
    figures = RefundFigures(version="1", shop=POLICY.shop, flow=POLICY.refund_before_shipping)
    given: dict[str, Any] = {
        "case_id": "refund-before-shipping-330000001",
        "run_id": "run",
        "flow": FLOW.name,
        "order_id": "330000001",
        "opened_by": "opener.1",
        "opened_at": NOW,
        "involved": ["opener.1"],
        "policy": figures,
        "reason": "bought twice",
        "standing": standing(),
        **known,
    }
    return RefundCase.model_validate({"state": state, **given})


def standing(**known: Any) -> RefundStanding:
    """How the shop sees an order that is paid and has not left."""
    return RefundStanding.model_validate(
        {"paid": True, "closed": False, "refundable_fen": 100, "refunded": False, "shipped": False, **known}
    )


def person(*roles: Role, staff_id: str = "somebody.1", limit: int | None = None, **known: Any) -> Actor:
    return Actor(staff_id=staff_id, grants=dict.fromkeys(roles, limit), **known)


def find_move(case: RefundCase, trigger: str, who: Actor | Automatic, flow: Flow[Any] = FLOW) -> Move[Any] | Refusal:
    if isinstance(who, Automatic):
        return flow.find_move(Attempt(case, trigger, NOW, automatic=who))
    return flow.find_move(Attempt(case, trigger, NOW, actor=who))


# --- unsound flows ---


@guard("可以", "it may")
def it_may(attempt: Attempt[Case[Any]]) -> bool:
    """Always."""
    return attempt.case.amount_fen >= 0


class SmallPolicy(BaseModel):
    patience: timedelta


class SmallFigures(CaseFigures):
    flow: SmallPolicy


def states() -> list[State]:
    return [
        work("working", "处理", "working"),
        wait("waiting", "等待", "waiting", deadline=Deadline("wait_over", "patience"), expects=(AGENT,)),
        end("done", "完成", "done"),
    ]


def triggers() -> list[Trigger]:
    return [
        outcome("work_done", "已处理", "work done"),
        decision("agree", "同意", "agree"),
        clock("wait_over", "到期", "wait over"),
    ]


def moves() -> list[list[Move[Any]]]:
    return [
        move("work_done", "working", "waiting", SYSTEM),
        move("agree", "waiting", "done", AGENT),
        move("wait_over", "waiting", "done", CLOCK),
    ]


def build(
    states: Sequence[State],
    triggers: Sequence[Trigger],
    moves: Sequence[Sequence[Move[Any]]],
) -> Flow[Any]:
    return Flow(
        name="small-flow",
        workflow="SmallFlow",
        label=Label("小流程", "small flow"),
        case_type=Case[Any],
        start_type=Start,
        figures_type=SmallFigures,
        opened_by=(AGENT,),
        states=states,
        triggers=triggers,
        moves=moves,
    )


def test_a_sound_flow_is_built() -> None:
    assert build(states(), triggers(), moves()).initial == "working"


Parts = tuple[Sequence[State], Sequence[Trigger], Sequence[Sequence[Move[Any]]]]

UNSOUND: dict[str, tuple[Parts, str]] = {
    "an unreachable state": (
        (
            [*states(), work("lost", "迷失", "lost")],
            triggers(),
            [*moves(), move("work_done", "lost", "done", SYSTEM)],
        ),
        "state lost is never reached",
    ),
    "an unreachable end": (
        ([*states(), end("nowhere", "无", "nowhere")], triggers(), moves()),
        "state nowhere is never reached",
    ),
    "a state with no way to an end": (
        (
            [*states(), work("trap", "陷阱", "trap")],
            [*triggers(), outcome("stay", "停留", "stay")],
            [*moves(), move("agree", "waiting", "trap", SUPERVISOR), move("stay", "trap", "trap", SYSTEM)],
        ),
        "state trap has no way to an end",
    ),
    "a wait without a deadline": (
        (
            [states()[0], State("waiting", Label("等待", "waiting"), StateKind.WAIT, expects=(AGENT,)), states()[2]],
            triggers()[:2],
            moves()[:2],
        ),
        "state waiting waits without a deadline",
    ),
    "a deadline that no row answers": (
        (states(), triggers()[:2], moves()[:2]),
        "state waiting: its deadline fires wait_over, no clock row does",
    ),
    "a clock row in a state that does not wait": (
        (states(), triggers(), [*moves(), move("wait_over", "working", "done", CLOCK)]),
        "state working has a clock row and does not wait",
    ),
    "a wait that expects nobody who may act": (
        (
            [
                states()[0],
                wait("waiting", "等待", "waiting", deadline=Deadline("wait_over", "patience"), expects=(FINANCE,)),
                states()[2],
            ],
            triggers(),
            moves(),
        ),
        "state waiting expects somebody who has no row in it",
    ),
    "a guard that does not exist": (
        (
            states(),
            triggers(),
            [*moves()[:1], move("agree", "waiting", "done", AGENT, cast("Any", "it_may")), moves()[2]],
        ),
        "guard",
    ),
    "a role that does not exist": (
        (states(), triggers(), [*moves(), move("agree", "waiting", "done", cast("Any", "wizard"))]),
        "agree from waiting: no role wizard",
    ),
    "a row that nobody may fire": (
        (states(), triggers(), [*moves(), move("agree", "waiting", "done", ())]),
        "agree from waiting: nobody may fire it",
    ),
    "two rows that cannot be told apart": (
        (states(), triggers(), [*moves(), move("agree", "waiting", "working", AGENT)]),
        "agree from waiting to working: cannot be told apart from a row before it for aftersale_agent",
    ),
    "a guarded row behind one that takes everything": (
        (states(), triggers(), [*moves(), move("agree", "waiting", "working", AGENT, it_may)]),
        "cannot be told apart from a row before it",
    ),
    "a person's move without a signal": (
        (states(), triggers(), [*moves(), move("work_done", "waiting", "done", SUPERVISOR)]),
        "trigger work_done may be fired by people and has no signal",
    ),
    "a person's move that is the clock's": (
        (states(), triggers(), [*moves(), move("wait_over", "waiting", "working", SUPERVISOR)]),
        "trigger wait_over may be fired by people and has no signal",
    ),
    "a state nothing is done in": (
        (
            [*states(), work("idle", "闲置", "idle")],
            triggers(),
            [*moves(), move("agree", "waiting", "idle", SUPERVISOR), move("agree", "idle", "done", AGENT)],
        ),
        "state idle: no outcome of its work leads on",
    ),
    "an outcome where no work is done": (
        (states(), triggers(), [*moves(), move("work_done", "waiting", "done", SYSTEM)]),
        "trigger work_done is an outcome, but no work is done in waiting",
    ),
    "a decision that the clock fires": (
        (states(), triggers(), [*moves()[:2], move("agree", "waiting", "working", CLOCK), moves()[2]]),
        "trigger agree is fired by a clock row and is no clock trigger",
    ),
    "a row to a state that does not exist": (
        (states(), triggers(), [*moves(), move("agree", "waiting", "heaven", SUPERVISOR)]),
        "agree from waiting: no state heaven",
    ),
    "a row from a state that does not exist": (
        (states(), triggers(), [*moves(), move("agree", "hell", "done", SUPERVISOR)]),
        "agree from hell: no state hell",
    ),
    "a row with a trigger that does not exist": (
        (states(), triggers(), [*moves(), move("wish", "waiting", "done", SUPERVISOR)]),
        "wish from waiting: no trigger wish",
    ),
    "a trigger in no row": (
        (states(), [*triggers(), fact("rain", "下雨", "rain")], moves()),
        "trigger rain is in no row",
    ),
    "a row that leaves an end": (
        (states(), triggers(), [*moves(), move("agree", "done", "waiting", AGENT)]),
        "agree from done: leaves a final state",
    ),
    "money that no end tells of": (
        (
            [
                *states(),
                work("paying", "付款", "paying", pays_up_to=lambda _move, attempt: attempt.case.amount_fen),
            ],
            [*triggers(), outcome("paid", "已付款", "paid")],
            [*moves(), move("agree", "waiting", "paying", SUPERVISOR), move("paid", "paying", "done", SYSTEM)],
        ),
        "it pays, and no end of it says that the buyer has the money",
    ),
    "a figure that the policy does not have": (
        (
            [
                states()[0],
                wait("waiting", "等待", "waiting", deadline=Deadline("wait_over", "haste"), expects=(AGENT,)),
                states()[2],
            ],
            triggers(),
            moves(),
        ),
        "state waiting: the policy has no figure haste",
    ),
    "days of reminders that the policy does not have": (
        (
            [
                states()[0],
                wait(
                    "waiting",
                    "等待",
                    "waiting",
                    deadline=Deadline("wait_over", "patience", reminders="days"),
                    expects=(AGENT,),
                ),
                states()[2],
            ],
            triggers(),
            moves(),
        ),
        "state waiting: the policy has no figure days",
    ),
    "a state that is there twice": (([*states(), states()[2]], triggers(), moves()), "state done is there twice"),
    "a trigger that is there twice": (
        (states(), [*triggers(), triggers()[1]], moves()),
        "trigger agree is there twice",
    ),
    "a name that no signal can bear": (
        (states(), [*triggers(), decision("Agree!", "同意", "agree")], moves()),
        "trigger 'Agree!' is not a plain name",
    ),
}


@pytest.mark.parametrize("fault", UNSOUND)
def test_an_unsound_flow_is_refused_with_a_message_that_names_the_fault(fault: str) -> None:
    parts, said = UNSOUND[fault]
    with pytest.raises(UnsoundFlow) as refused:
        build(*parts)
    assert str(refused.value).startswith("small-flow: ")
    assert said in str(refused.value)


def test_a_refusal_lists_every_fault() -> None:
    with pytest.raises(UnsoundFlow) as refused:
        build(states(), triggers(), [*moves(), move("wish", "hell", "heaven", cast("Any", "wizard"))])
    assert all(said in str(refused.value) for said in ("no state hell", "no state heaven", "no trigger wish"))


# --- flow 1 is the specification's, row by row ---

ASKED = ["asking_warehouse", "asking_reason", "persuading", "awaiting_supervisor", "awaiting_finance"]
ROWS: list[Row] = [
    ("check", "checking", "not_applicable", ["system"], ["not_applicable"]),
    ("check", "checking", "intercepting", ["system"], ["has_left"]),
    ("check", "checking", "holding", ["system"], []),
    ("hold", "holding", "awaiting_finance", ["system"], ["order_terminated"]),
    ("hold", "holding", "asking_warehouse", ["system"], ["handed_to_warehouse"]),
    ("hold", "holding", "asking_reason", ["system"], ["no_reason"]),
    ("hold", "holding", "persuading", ["system"], []),
    ("confirm_not_left", "asking_warehouse", "asking_reason", ["warehouse"], ["no_reason"]),
    ("confirm_not_left", "asking_warehouse", "persuading", ["warehouse"], []),
    ("confirm_left", "asking_warehouse", "intercepting", ["warehouse"], []),
    ("warehouse_silent", "asking_warehouse", "asking_reason", ["clock"], ["no_reason"]),
    ("warehouse_silent", "asking_warehouse", "persuading", ["clock"], []),
    ("find_shipped", "holding", "intercepting", ["system"], []),
    ("give_reason", "asking_reason", "persuading", ["aftersale_agent"], []),
    ("reason_overdue", "asking_reason", "persuading", ["clock"], []),
    (
        "buyer_withdraws",
        [*ASKED, "awaiting_parcel_back", "repairing_payment"],
        "releasing",
        ["aftersale_agent"],
        ["nothing_paid", "not_ended_as_malicious"],
    ),
    ("order_gone", [*ASKED, "awaiting_parcel_back", "repairing_payment"], "settling", ["system"], ["lines_refunded"]),
    ("order_gone", [*ASKED, "repairing_payment"], "intercepting", ["system"], ["has_left"]),
    ("buyer_keeps_order", "persuading", "releasing", ["aftersale_agent"], []),
    ("buyer_insists", "persuading", "refunding", ["aftersale_agent"], ["within_agent_limit"]),
    ("buyer_insists", "persuading", "awaiting_supervisor", ["aftersale_agent"], []),
    ("persuasion_over", "persuading", "refunding", ["clock"], ["within_agent_limit"]),
    ("persuasion_over", "persuading", "awaiting_supervisor", ["clock"], []),
    ("approve", "awaiting_supervisor", "refunding", ["aftersale_supervisor"], ["within_supervisor_limit"]),
    ("approve", "awaiting_supervisor", "awaiting_finance", ["aftersale_supervisor"], []),
    ("send_back", "awaiting_supervisor", "persuading", ["aftersale_supervisor"], ["may_send_back"]),
    ("supervisor_silent", "awaiting_supervisor", "awaiting_finance", ["clock"], []),
    ("approve", "awaiting_finance", "refunding", ["finance_manager"], []),
    ("send_back", "awaiting_finance", "persuading", ["finance_manager"], ["not_ended_as_malicious", "may_send_back"]),
    ("finance_silent", "awaiting_finance", "refunding", ["clock"], ["buyer_asked"]),
    ("finance_silent", "awaiting_finance", "awaiting_finance", ["clock"], []),
    ("find_shipped", "refunding", "intercepting", ["system"], []),
    ("pay", "refunding", "settling", ["system"], []),
    ("fail_payment", "refunding", "repairing_payment", ["system"], []),
    ("retry_payment", "repairing_payment", "refunding", ["refund_clerk"], []),
    ("confirm_paid_by_hand", "repairing_payment", "settling", ["refund_clerk"], []),
    ("repair_overdue", "repairing_payment", "repairing_payment", ["clock"], []),
    ("settle", "settling", "refunded", ["system"], []),
    ("release", "releasing", "kept", ["system"], []),
    ("intercept", "intercepting", "awaiting_parcel_back", ["system"], []),
    ("fail_intercept", "intercepting", "converting", ["system"], []),
    ("parcel_back", "awaiting_parcel_back", "refunding", ["returns_clerk"], ["within_agent_limit_or_approved"]),
    ("parcel_back", "awaiting_parcel_back", "awaiting_supervisor", ["returns_clerk"], []),
    ("parcel_back_overdue", "awaiting_parcel_back", "converting", ["clock"], []),
    ("convert", "converting", "converted", ["system"], []),
]
"""The specification's table of flow 1, in its order; a condition is named by its guard."""

CANCELLED_FROM = {
    *ASKED,
    "checking",
    "holding",
    "refunding",
    "repairing_payment",
    "intercepting",
    "awaiting_parcel_back",
    "converting",
}
"""Every state but those in which the case is already ending, and the ends."""


CONDITIONS = {
    ("buyer_keeps_order", "persuading"): {"not_ended_as_malicious"},
    ("send_back", "awaiting_supervisor"): {"not_ended_as_malicious"},
    ("confirm_paid_by_hand", "repairing_payment"): {"within_decision"},
}
"""Conditions that we put beside the specification's, each with its reason in the table and in docs/how-it-works.md."""

OURS: list[Row] = [("find_amount_risen", "refunding", "awaiting_supervisor", ["system"], [])]
"""Rows that we put beside the specification's: docs/how-it-works.md names and explains them."""


def test_the_table_of_flow_1_is_the_specifications_row_by_row() -> None:
    require_rows(FLOW, ROWS, ours=OURS, conditions=CONDITIONS)


def test_a_refund_is_called_off_by_a_supervisor_or_by_temporal_wherever_it_is_not_ending() -> None:
    require_called_off(FLOW, {SUPERVISOR}, CANCELLED_FROM)


def test_four_eyes_and_speaking_for_the_buyer_are_as_specified() -> None:
    assert {t.name for t in FLOW.triggers.values() if t.four_eyes} == {"approve", "send_back", "confirm_paid_by_hand"}
    assert {t.name for t in FLOW.triggers.values() if t.speaks_for_buyer} == {
        "give_reason",
        "buyer_withdraws",
        "buyer_keeps_order",
        "buyer_insists",
    }
    facts = {t.name for t in FLOW.triggers.values() if t.kind is TriggerKind.FACT}
    assert facts == {"buyer_withdraws", "parcel_back", "order_gone"}
    assert {t.name for t in FLOW.triggers.values() if t.from_shop} == {"order_gone"}


def test_each_wait_has_the_specified_deadline_and_is_bound_by_the_platforms() -> None:
    waits = {s.name: s.deadline for s in FLOW.states.values() if s.kind is StateKind.WAIT}
    assert waits == {
        "asking_warehouse": Deadline("warehouse_silent", "warehouse"),
        "asking_reason": Deadline("reason_overdue", "reason"),
        "persuading": Deadline("persuasion_over", "persuasion"),
        "awaiting_supervisor": Deadline("supervisor_silent", "supervisor"),
        "awaiting_finance": Deadline("finance_silent", "finance"),
        "repairing_payment": Deadline("repair_overdue", alarm_roles=(Role.FINANCE_MANAGER,)),
        "awaiting_parcel_back": Deadline("parcel_back_overdue", "parcel_back"),
    }
    assert all(FLOW.states[name].platform_bound for name in waits)


# --- the machine enforces it ---


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_whatever_is_not_in_the_table_is_refused(flow: Flow[Any]) -> None:
    allowed = {(row.source, row.trigger, who) for row in flow.moves for who in row.who}
    for state in flow.states:
        case = a_case(state)
        for trigger in (*flow.triggers, "no_such_trigger"):
            for who in (*Role, *Automatic):
                if (state, trigger, who) in allowed:
                    continue
                answer = find_move(case, trigger, who if isinstance(who, Automatic) else person(who), flow)
                assert isinstance(answer, Refusal), f"{who} could {trigger} in {state}"
                known = any(row.trigger == trigger for row in flow.rows(state))
                assert answer.code == ("role" if known else "not_possible")


def test_firing_changes_nothing_in_the_case() -> None:
    case = a_case("persuading", amount_fen=LIMIT)
    before = case.model_copy(deep=True)
    assert isinstance(find_move(case, "buyer_insists", person(AGENT)), Move)
    assert case == before


FACTS = st.fixed_dictionaries(
    {
        "amount_fen": st.integers(0, 200_000),
        "order_terminated": st.booleans(),
        "reason": st.sampled_from([None, "bought twice"]),
        "send_backs": st.integers(0, 4),
        "approved": st.booleans(),
        "money_sent": st.booleans(),
        "flag_found": st.sampled_from([None, "red", "green"]),
        "standing": st.none()
        | st.builds(
            standing,
            paid=st.booleans(),
            closed=st.booleans(),
            refunded=st.booleans(),
            shipped=st.booleans(),
            claimed_by=st.sampled_from([None, "refund-before-shipping-2"]),
        ),
    }
)


@given(
    state=st.sampled_from(sorted(FLOW.states)),
    trigger=st.sampled_from(sorted(FLOW.triggers)),
    who=st.sampled_from([*Role, *Automatic]),
    limit=st.none() | st.integers(0, 200_000),
    facts=FACTS,
)
def test_the_first_row_whose_conditions_hold_is_taken_whatever_the_case_knows(
    state: str, trigger: str, who: Role | Automatic, limit: int | None, facts: dict[str, Any]
) -> None:
    case = a_case(state, **facts)
    actor = None if isinstance(who, Automatic) else person(who, limit=limit)
    attempt: Attempt[RefundCase] = Attempt(
        case, trigger, NOW, actor=actor, automatic=who if isinstance(who, Automatic) else None
    )
    attempt.role = None if isinstance(who, Automatic) else who
    wanted = next(
        (
            row
            for row in FLOW.moves
            if (row.source, row.trigger) == (state, trigger)
            and who in row.who
            and all(one.holds(attempt) for one in row.only_if)
        ),
        None,
    )
    answer = FLOW.find_move(attempt)
    assert answer is wanted if wanted else isinstance(answer, Refusal)


@given(amount=st.integers(0, 300_000), limit=st.none() | st.integers(0, 300_000))
def test_no_amount_over_ones_limit_is_ever_paid_without_the_next_level(amount: int, limit: int | None) -> None:
    for state, trigger, role, policy_limit, above in (
        ("persuading", "buyer_insists", AGENT, LIMIT, "awaiting_supervisor"),
        ("awaiting_supervisor", "approve", SUPERVISOR, UPPER_LIMIT, "awaiting_finance"),
    ):
        answer = find_move(a_case(state, amount_fen=amount), trigger, person(role, limit=limit))
        assert isinstance(answer, Move)
        within = amount <= min(policy_limit, policy_limit if limit is None else limit)
        assert answer.dest == ("refunding" if within else above)


@given(facts=FACTS)
def test_silence_pays_only_what_the_buyer_asked_for(facts: dict[str, Any]) -> None:
    for row in FLOW.moves:
        if CLOCK in row.who:
            answer = find_move(a_case(row.source, **facts), row.trigger, CLOCK)
            assert isinstance(answer, Move)
            if FLOW.states[answer.dest].pays:
                assert answer.trigger in ("persuasion_over", "finance_silent")
                assert answer.trigger == "persuasion_over" or not facts["order_terminated"]


@given(facts=FACTS)
def test_once_money_is_sent_no_case_is_called_off(facts: dict[str, Any]) -> None:
    for state in CANCELLED_FROM:
        for who in (person(SUPERVISOR), SYSTEM):
            answer = find_move(a_case(state, **facts), "cancel_case", who)
            if facts["money_sent"]:
                assert isinstance(answer, Refusal)
                assert answer.code == "money_sent"
            else:
                assert isinstance(answer, Move)


# --- four eyes ---

FOUR_EYES = [
    ("awaiting_supervisor", "approve", SUPERVISOR),
    ("awaiting_supervisor", "send_back", SUPERVISOR),
    ("awaiting_finance", "approve", FINANCE),
    ("awaiting_finance", "send_back", FINANCE),
    ("repairing_payment", "confirm_paid_by_hand", Role.REFUND_CLERK),
]


@pytest.mark.parametrize(("state", "trigger", "role"), FOUR_EYES)
def test_who_has_a_part_in_the_request_may_not_decide_on_it(state: str, trigger: str, role: Role) -> None:
    case = a_case(state, involved=["opener.1", "agent.2"])
    for staff_id in ("opener.1", "agent.2"):
        answer = find_move(case, trigger, person(role, staff_id=staff_id))
        assert isinstance(answer, Refusal)
        assert answer.code == "four_eyes"
        assert staff_id in answer.why
    deputy = find_move(case, trigger, person(role, staff_id="deputy.1", deputises_for=["agent.2"]))
    assert isinstance(deputy, Refusal)
    assert deputy.code == "four_eyes"
    assert isinstance(find_move(case, trigger, person(role, deputises_for=["stranger.1"])), Move)


def test_approvals_at_two_levels_come_from_two_people() -> None:
    case = a_case("awaiting_finance", approvals=[Approval(role=SUPERVISOR, by="lead.1")])
    same = find_move(case, "approve", person(FINANCE, staff_id="lead.1"))
    assert isinstance(same, Refusal)
    assert same.code == "four_eyes"
    assert isinstance(find_move(case, "approve", person(FINANCE, staff_id="finance.1")), Move)


def test_the_tables_and_their_laws_know_nothing_of_temporal() -> None:
    loads = "import sys, state_machines.flows, state_machines.laws.worlds"
    program = f"{loads}; print({{'temporalio', 'sqlalchemy'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_acting_within_a_standing_limit_is_no_approval() -> None:
    case = a_case("persuading", amount_fen=LIMIT)
    answer = find_move(case, "buyer_insists", person(AGENT, staff_id="opener.1"))
    assert isinstance(answer, Move)
    assert answer.dest == "refunding"


def test_a_person_of_the_wrong_role_is_told_whose_decision_it_is() -> None:
    answer = find_move(a_case("awaiting_supervisor"), "approve", person(AGENT))
    assert answer == Refusal("role", "approve in awaiting_supervisor is for aftersale_supervisor")


def test_a_message_for_another_state_is_refused_as_not_possible() -> None:
    answer = find_move(a_case("persuading"), "approve", person(SUPERVISOR))
    assert answer == Refusal("not_possible", "approve is not possible in persuading")
