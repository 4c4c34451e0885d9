"""Flow 2's table is the specification's, row by row, and each of its guards means what its words say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from casework.case import Actor, KeptFact
from casework.money import LineQuantity
from casework.policy import load_policy
from casework.rules.postage import PostagePayer
from casework.standing import ReturnStanding
from state_machines import return_after_shipping as flow
from state_machines.common import within_decision
from state_machines.return_after_shipping import ReturnCase, ReturnFigures, WayBack
from state_machines.roles import Role
from state_machines.table import Attempt, Deadline, Guard, StateKind, TriggerKind
from tests.tables import Row, going_on, require_called_off, require_guards, require_rows

FLOW = flow.RETURN_AFTER_SHIPPING
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
POLICY = load_policy(None)
FIGURES = POLICY.return_after_shipping
SUPERVISOR, CLERK, AGENT = "aftersale_supervisor", "returns_clerk", "aftersale_agent"

JUDGED = ["collecting_evidence", "asking_supplier", "awaiting_supervisor", "awaiting_manager", "explaining"]
LOOKED_AT = ["inspecting", "inspection_late"]
ROWS: list[Row] = [
    ("assess", "assessing", "not_applicable", ["system"], ["not_applicable"]),
    ("assess", "assessing", "refunding", ["system"], ["back_or_said_lost", "within_clerk_limit"]),
    ("assess", "assessing", "awaiting_finance", ["system"], ["no_goods_to_come"]),
    ("assess", "assessing", "explaining", ["system"], ["outside_rules"]),
    ("assess", "assessing", "collecting_evidence", ["system"], ["evidence_is_missing"]),
    ("assess", "assessing", "asking_supplier", ["system"], ["fault_claimed"]),
    ("assess", "assessing", "awaiting_supervisor", ["system"], ["over_automatic_limit"]),
    ("assess", "assessing", "awaiting_parcel", ["system"], []),
    ("add_evidence", "collecting_evidence", "asking_supplier", [AGENT], []),
    (
        "evidence_overdue",
        "collecting_evidence",
        "awaiting_supervisor",
        ["clock"],
        ["eligible_without_fault_or_came_in"],
    ),
    ("evidence_overdue", "collecting_evidence", "lapsed", ["clock"], []),
    ("supplier_agrees", "asking_supplier", "awaiting_supervisor", [AGENT], ["over_automatic_limit"]),
    ("supplier_agrees", "asking_supplier", "awaiting_parcel", [AGENT], []),
    ("supplier_refuses", "asking_supplier", "awaiting_supervisor", [AGENT], []),
    ("supplier_silent", "asking_supplier", "awaiting_supervisor", ["clock"], []),
    ("approve", "awaiting_supervisor", "awaiting_parcel", [SUPERVISOR], ["within_supervisor_limit"]),
    ("approve", "awaiting_supervisor", "awaiting_manager", [SUPERVISOR], []),
    ("reject", "awaiting_supervisor", "explaining", [SUPERVISOR], ["rules_allow_refusing"]),
    ("supervisor_silent", "awaiting_supervisor", "awaiting_manager", ["clock"], []),
    ("approve", "awaiting_manager", "awaiting_parcel", ["store_manager"], []),
    ("reject", "awaiting_manager", "explaining", ["store_manager"], ["rules_allow_refusing"]),
    ("manager_silent", "awaiting_manager", "awaiting_parcel", ["clock"], ["eligible_on_paper"]),
    ("manager_silent", "awaiting_manager", "explaining", ["clock"], []),
    ("buyer_accepts_refusal", "explaining", "sending_back", [AGENT], ["goods_have_come_in"]),
    ("buyer_accepts_refusal", "explaining", "declined", [AGENT], []),
    ("buyer_insists", "explaining", "awaiting_manager", [AGENT], ["manager_has_not_judged"]),
    ("buyer_insists", "explaining", "platform_dispute", [AGENT], []),
    ("explaining_over", "explaining", "sending_back", ["clock"], ["goods_have_come_in"]),
    ("explaining_over", "explaining", "declined", ["clock"], []),
    ("buyer_withdraws", JUDGED, "sending_back", [AGENT], ["goods_have_come_in"]),
    ("buyer_withdraws", LOOKED_AT, "sending_back", [AGENT], []),
    ("buyer_withdraws", [*JUDGED, "awaiting_parcel", "tracing_return"], "withdrawn", [AGENT], []),
    ("buyer_ships", "awaiting_parcel", "returning", [AGENT], []),
    ("ship_back_overdue", "awaiting_parcel", "lapsed", ["clock"], []),
    ("receive_goods", ["awaiting_parcel", "returning", "tracing_return"], "inspecting", [CLERK], []),
    ("return_overdue", "returning", "tracing_return", ["clock"], []),
    ("accept_loss", "tracing_return", "refunding", ["store_manager"], ["within_clerk_limit"]),
    ("accept_loss", "tracing_return", "awaiting_finance", ["store_manager"], []),
    ("trace_exhausted", "tracing_return", "awaiting_finance", ["clock"], ["signed_for_by_us"]),
    ("trace_exhausted", "tracing_return", "platform_dispute", ["clock"], []),
    ("pass_inspection", LOOKED_AT, "restocking", [CLERK], []),
    ("fail_inspection", LOOKED_AT, "sending_back", [CLERK], []),
    ("inspection_overdue", "inspecting", "inspection_late", ["clock"], []),
    ("pass_inspection", "inspection_late", "restocking", [SUPERVISOR], []),
    ("fail_inspection", "inspection_late", "sending_back", [SUPERVISOR], []),
    ("inspection_unanswered", "inspection_late", "awaiting_finance", ["clock"], []),
    ("restock", "restocking", "refunding", ["system"], ["within_clerk_limit"]),
    ("restock", "restocking", "awaiting_finance", ["system"], []),
    ("approve", "awaiting_finance", "refunding", ["finance_manager"], []),
    ("send_back", "awaiting_finance", "inspecting", ["finance_manager"], ["goods_have_come_in"]),
    ("reject", "awaiting_finance", "platform_dispute", ["finance_manager"], ["no_goods_came_in"]),
    ("finance_silent", "awaiting_finance", "refunding", ["clock"], ["goods_have_come_in"]),
    ("finance_silent", "awaiting_finance", "awaiting_finance", ["clock"], []),
    ("pay", "refunding", "settling", ["system"], []),
    ("fail_payment", "refunding", "repairing_payment", ["system"], []),
    ("retry_payment", "repairing_payment", "refunding", ["refund_clerk"], []),
    ("confirm_paid_by_hand", "repairing_payment", "settling", ["refund_clerk"], []),
    ("repair_overdue", "repairing_payment", "repairing_payment", ["clock"], []),
    ("settle", "settling", "confirming", ["system"], []),
    ("buyer_confirms", "confirming", "refunded", [AGENT], []),
    ("confirmation_over", "confirming", "refunded", ["clock"], []),
    ("goods_sent_back", "sending_back", "returned_to_buyer", [CLERK], []),
    ("sending_back_overdue", "sending_back", "sending_back", ["clock"], []),
    ("raise_dispute", ["explaining", "sending_back", "confirming"], "platform_dispute", [AGENT], []),
    (
        "order_gone",
        [
            *JUDGED,
            "awaiting_parcel",
            "returning",
            "tracing_return",
            *LOOKED_AT,
            "awaiting_finance",
            "repairing_payment",
        ],
        "settling",
        ["system"],
        ["lines_refunded"],
    ),
]
"""The specification's table of flow 2, in its order; a condition is named by its guard."""

OURS: list[Row] = [
    ("find_amount_risen", "refunding", "awaiting_finance", ["system"], []),
    ("ship_back_overdue", "awaiting_parcel", "awaiting_parcel", ["clock"], ["signed_too_lately"]),
]
"""Rows that we put beside the specification's, each with its reason in the table."""
CONDITIONS = {("confirm_paid_by_hand", "repairing_payment"): {"within_decision"}}
"""Conditions that we put beside the specification's, each with its reason in the table."""


def test_the_table_of_flow_2_is_the_specifications_row_by_row() -> None:
    require_rows(FLOW, ROWS, ours=OURS, conditions=CONDITIONS)


def test_a_return_is_called_off_wherever_no_money_was_sent_and_it_is_not_ending() -> None:
    require_called_off(FLOW, {Role.AFTERSALE_SUPERVISOR}, going_on(FLOW) - {"settling", "confirming", "cancelling"})


def test_facts_are_those_that_the_contract_names() -> None:
    facts = {t.name for t in FLOW.triggers.values() if t.kind is TriggerKind.FACT}
    assert facts == {
        "buyer_withdraws",
        "buyer_ships",
        "receive_goods",
        "goods_sent_back",
        "raise_dispute",
        "buyer_confirms",
        "order_gone",
    }


def test_each_wait_has_the_specified_deadline_and_the_platforms_binds_only_the_first_four() -> None:
    waits = {s.name: s.deadline for s in FLOW.states.values() if s.kind is StateKind.WAIT}
    assert waits == {
        "collecting_evidence": Deadline("evidence_overdue", "evidence"),
        "asking_supplier": Deadline("supplier_silent", "supplier"),
        "awaiting_supervisor": Deadline("supervisor_silent", "supervisor"),
        "awaiting_manager": Deadline("manager_silent", "manager"),
        "explaining": Deadline("explaining_over", "explaining"),
        "awaiting_parcel": Deadline(
            "ship_back_overdue",
            "ship_back",
            reminders="ship_back_reminder",
            reminds_buyer="return.ship_back_reminder",
            counts_from=flow.signed_after_approval,
            quiet=True,
        ),
        "returning": Deadline("return_overdue", "goods_back"),
        "tracing_return": Deadline("trace_exhausted", "tracing"),
        "inspecting": Deadline("inspection_overdue", "inspection"),
        "inspection_late": Deadline("inspection_unanswered", "inspection_late"),
        "awaiting_finance": Deadline("finance_silent", "finance"),
        "repairing_payment": Deadline("repair_overdue", alarm_roles=(Role.FINANCE_MANAGER,)),
        "confirming": Deadline("confirmation_over", "confirmation"),
        "sending_back": Deadline("sending_back_overdue", "sending_back"),
    }
    bound = {s.name for s in FLOW.states.values() if s.platform_bound}
    assert bound == {"collecting_evidence", "asking_supplier", "awaiting_supervisor", "awaiting_manager"}


# --- the guards ---


def standing(**known: Any) -> ReturnStanding:
    """How the shop sees lines that were signed for yesterday, but for what is given."""
    usual = {
        "paid": True,
        "closed": False,
        "refunded": False,
        "has_left": True,
        "refundable_fen": 100,
        "signed_at": NOW - timedelta(days=1),
        "free_shipping": True,
    }
    return ReturnStanding.model_validate({**usual, **known})


def a_case(**known: Any) -> ReturnCase:
    usual: dict[str, Any] = {"cause": "no_reason", "standing": standing(), "lines": [LineQuantity(line=1, quantity=2)]}
    return ReturnCase(
        case_id="return-after-shipping-330000001",
        run_id="run",
        flow="return-after-shipping",
        order_id="330000001",
        state="assessing",
        opened_by="opener.1",
        opened_at=NOW,
        policy=ReturnFigures(version="1", shop=POLICY.shop, flow=FIGURES),
        **{**usual, **known},
    )


def attempt(*, own_limit: int | None = None, **known: Any) -> Attempt[ReturnCase]:
    made: Attempt[ReturnCase] = Attempt(
        a_case(**known), "any", NOW, actor=Actor(staff_id="somebody.1", grants={Role.RETURNS_CLERK: own_limit})
    )
    made.role = Role.RETURNS_CLERK
    return made


def kept(trigger: str, **payload: Any) -> KeptFact:
    return KeptFact(
        at=NOW,
        trigger=trigger,
        by="returns.1",
        actor=Actor(staff_id="returns.1"),
        payload={"by": "returns.1", **payload},
    )


SHOWN = {"cause": "quality", "photos": ["photo-1"], "description": "a hole"}
CAME_IN = {"received": [LineQuantity(line=1, quantity=1)]}
NOTED = {"kept": [kept("receive_goods")]}
CASES: list[tuple[Guard[Any], bool, dict[str, Any]]] = [
    (flow.not_applicable, False, {}),
    (flow.not_applicable, False, {"standing": None}),
    (flow.not_applicable, True, {"standing": standing(has_left=False)}),
    (flow.not_applicable, True, {"standing": standing(paid=False)}),
    (flow.not_applicable, True, {"standing": standing(closed=True)}),
    (flow.not_applicable, True, {"standing": standing(refunded=True)}),
    (flow.not_applicable, True, {"standing": standing(claimed_by="another")}),
    (flow.back_or_said_lost, False, {}),
    (flow.back_or_said_lost, False, {"goods": "lost"}),
    (flow.back_or_said_lost, True, {"goods": "lost", "said_lost": True}),
    (flow.back_or_said_lost, True, {"goods": "already_back"}),
    (flow.no_goods_to_come, False, {}),
    (flow.no_goods_to_come, True, {"goods": "lost"}),
    (flow.no_goods_to_come, True, {"goods": "already_back"}),
    (flow.within_clerk_limit, True, {"amount_fen": 50_000}),
    (flow.within_clerk_limit, False, {"amount_fen": 50_001}),
    (flow.within_clerk_limit, True, {"amount_fen": 10_000, "inspected_limit_fen": 10_000}),
    (flow.within_clerk_limit, False, {"amount_fen": 10_001, "inspected_limit_fen": 10_000}),
    (flow.within_clerk_limit, False, {"amount_fen": 50_001, "inspected_limit_fen": 90_000}),
    (flow.outside_rules, False, {}),
    (flow.outside_rules, True, {"opened": True}),
    (flow.outside_rules, False, {"cause": "quality", "opened": True}),
    (flow.outside_rules, True, {"standing": standing(signed_at=NOW - timedelta(days=9))}),
    (
        flow.outside_rules,
        False,
        {"standing": standing(signed_at=NOW - timedelta(days=9)), "requested_at": NOW - timedelta(days=4)},
    ),
    (flow.evidence_is_missing, False, {}),
    (flow.evidence_is_missing, True, {"cause": "quality"}),
    (flow.evidence_is_missing, False, SHOWN),
    (flow.fault_claimed, False, {}),
    (flow.fault_claimed, True, {"cause": "wrong_item"}),
    (flow.over_automatic_limit, False, {"amount_fen": 20_000}),
    (flow.over_automatic_limit, True, {"amount_fen": 20_001}),
    (flow.eligible_without_fault_or_came_in, True, {"cause": "quality"}),
    (flow.eligible_without_fault_or_came_in, False, {"cause": "quality", "opened": True}),
    (flow.eligible_without_fault_or_came_in, True, {"cause": "quality", "opened": True, **NOTED}),
    (flow.within_supervisor_limit, True, {"amount_fen": 100_000}),
    (flow.within_supervisor_limit, False, {"amount_fen": 100_001}),
    (flow.rules_allow_refusing, False, {}),
    (flow.rules_allow_refusing, False, SHOWN),
    (flow.rules_allow_refusing, True, {"opened": True}),
    (flow.rules_allow_refusing, True, {**SHOWN, "opened": True}),
    (flow.rules_allow_refusing, False, {**SHOWN, "opened": True, "supplier_agreed": True}),
    (flow.rules_allow_refusing, True, {"opened": True, "slight_colour_difference": True, "supplier_agreed": True}),
    (flow.eligible_on_paper, True, {}),
    (flow.eligible_on_paper, False, {"opened": True}),
    (flow.eligible_on_paper, True, {**SHOWN, "opened": True}),
    (flow.eligible_on_paper, False, {"cause": "quality", "opened": True}),
    (flow.eligible_on_paper, True, {"cause": "quality"}),
    (flow.goods_have_come_in, False, {}),
    (flow.goods_have_come_in, False, {"goods": "lost"}),
    (flow.goods_have_come_in, True, CAME_IN),
    (flow.goods_have_come_in, True, NOTED),
    (flow.goods_have_come_in, True, {"goods": "already_back"}),
    (flow.no_goods_came_in, True, {}),
    (flow.no_goods_came_in, False, CAME_IN),
    (flow.manager_has_not_judged, True, {}),
    (flow.manager_has_not_judged, False, {"manager_judged": True}),
    (flow.signed_for_by_us, False, {}),
    (flow.signed_for_by_us, True, {"signed_at_our_address": True}),
    (flow.signed_too_lately, True, {"standing": standing(signed_at=None, on_its_way=True)}),
    (flow.signed_too_lately, False, {"standing": standing(signed_at=None)}),
    (flow.signed_too_lately, True, {"standing": standing(signed_at=NOW - timedelta(days=7) + timedelta(seconds=1))}),
    (flow.signed_too_lately, False, {"standing": standing(signed_at=NOW - timedelta(days=7))}),
    (flow.lines_refunded, False, {}),
    (flow.lines_refunded, False, {"standing": None}),
    (flow.lines_refunded, True, {"standing": standing(refunded=True)}),
    (within_decision, True, {"amount_fen": 100, "decided_fen": 100}),
    (within_decision, False, {"amount_fen": 101, "decided_fen": 100}),
]


def test_a_guard_holds_exactly_when_its_words_are_true() -> None:
    require_guards(FLOW, ((guard, holds, attempt(**known)) for guard, holds, known in CASES))


@pytest.mark.parametrize(("guard", "holds"), [(flow.over_automatic_limit, True), (flow.within_supervisor_limit, False)])
def test_an_own_lower_limit_counts(guard: Guard[Any], holds: bool) -> None:
    assert guard.holds(attempt(own_limit=99, amount_fen=100)) is holds


# --- what the case makes of what it knows ---


def test_a_fault_counts_for_the_postage_once_it_is_shown() -> None:
    assert a_case(cause="quality").postage_payer is PostagePayer.BUYER_WAY_BACK
    assert a_case(**SHOWN).postage_payer is PostagePayer.SELLER
    assert a_case(cause="transit_damage", goods="lost").for_fault
    assert a_case(seller_pays_postage=True).postage_payer is PostagePayer.SELLER
    assert a_case(standing=standing(free_shipping=False)).postage_payer is PostagePayer.BUYER


def test_an_advance_counts_also_where_it_was_said_too_late_to_be_used() -> None:
    advance = kept("buyer_ships", courier="yuantong", waybill="YT0000000001", postage_fen=1_200)
    assert a_case(**SHOWN, kept=[advance]).return_postage_fen == 1_200
    assert a_case(kept=[advance]).return_postage_fen == 0
    sent = WayBack(courier="yuantong", waybill="YT0000000001", postage_fen=9_999)
    assert a_case(**SHOWN, way_back=sent).return_postage_fen == FIGURES.return_postage_cap_fen


def test_what_is_paid_for_is_what_was_taken_else_what_came_in_else_what_was_asked() -> None:
    one, two = [LineQuantity(line=1, quantity=1)], [LineQuantity(line=1, quantity=2)]
    assert a_case().refunded_lines == two
    assert a_case(received=one).refunded_lines == one
    nothing = LineQuantity(line=2, quantity=0)
    assert a_case(received=two, accepted=[*one, nothing]).refunded_lines == one


def test_the_time_to_send_back_counts_from_signing_where_that_is_later_than_the_approval() -> None:
    signed = NOW + timedelta(days=2)
    assert flow.signed_after_approval(a_case(approved_at=NOW, standing=standing(signed_at=signed))) == signed
    assert flow.signed_after_approval(a_case(approved_at=NOW)) is None
    assert flow.signed_after_approval(a_case(approved_at=NOW, standing=standing(signed_at=None))) is None


def test_what_came_in_and_no_state_could_use_is_what_is_paid_for() -> None:
    case = a_case(lines=[LineQuantity(line=1, quantity=1), LineQuantity(line=2, quantity=2)])
    assert case.refunded_lines == case.lines
    case.kept.append(kept("receive_goods", lines=[{"line": 2, "quantity": 1}]))
    assert case.refunded_lines == [LineQuantity(line=2, quantity=1)]
    case.kept.append(kept("receive_goods"))
    assert case.refunded_lines == case.lines
