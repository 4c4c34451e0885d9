"""Flow 3's table is the specification's, row by row; its guards hold exactly when their words are true."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from casework.case import Actor
from casework.messages import explain
from casework.policy import load_policy
from casework.standing import GiftStanding
from state_machines import gift_approval as flow
from state_machines.gift_approval import GIFT_APPROVAL as FLOW
from state_machines.gift_approval import GiftCase, GiftFigures, GiftStart, NamedGift
from state_machines.roles import Role
from state_machines.table import Attempt, Deadline, Guard, Refusal, StateKind, TriggerKind
from tests.tables import Row, going_on, require_called_off, require_guards, require_rows

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
PROMISED = ["awaiting_audit", "audit_late"]
OPEN = ["negotiating", "awaiting_supervisor", "awaiting_finance", *PROMISED]
NEWS = ["system", "warehouse"]

ROWS: list[Row] = [
    ("check", "checking", "not_applicable", ["system"], ["not_applicable"]),
    ("check", "checking", "writing_memo", ["system"], ["rule_met"]),
    ("check", "checking", "negotiating", ["system"], []),
    ("buyer_lets_go", "negotiating", "declined", ["presale_agent"], []),
    ("buyer_insists", "negotiating", "writing_memo", ["presale_agent"], ["names_gift_that_meets_rule"]),
    ("buyer_insists", "negotiating", "awaiting_supervisor", ["presale_agent"], []),
    ("negotiation_over", "negotiating", "declined", ["clock"], []),
    (
        "approve",
        "awaiting_supervisor",
        "writing_memo",
        ["presale_supervisor"],
        ["within_supervisor_limit", "within_budget"],
    ),
    ("approve", "awaiting_supervisor", "awaiting_finance", ["presale_supervisor"], []),
    ("reject", "awaiting_supervisor", "telling_buyer", ["presale_supervisor"], []),
    ("supervisor_silent", "awaiting_supervisor", "awaiting_finance", ["clock"], []),
    ("approve", "awaiting_finance", "writing_memo", ["finance_manager"], []),
    ("reject", "awaiting_finance", "telling_buyer", ["finance_manager"], []),
    ("finance_silent", "awaiting_finance", "telling_buyer", ["clock"], []),
    ("write_memo", "writing_memo", "revoked", ["system"], ["order_closed"]),
    ("write_memo", "writing_memo", "telling_buyer", ["system"], ["order_shipped"]),
    ("write_memo", "writing_memo", "awaiting_finance", ["system"], ["budget_used_up"]),
    ("write_memo", "writing_memo", "awaiting_audit", ["system"], []),
    ("add_gift", PROMISED, "crediting", ["order_auditor"], ["postage_is_paid"]),
    ("add_gift", PROMISED, "granted", ["order_auditor"], []),
    ("find_out_of_stock", PROMISED, "negotiating", ["order_auditor"], []),
    ("audit_overdue", "awaiting_audit", "audit_late", ["clock"], []),
    ("add_gift", "audit_late", "crediting", ["presale_supervisor"], ["postage_is_paid"]),
    ("add_gift", "audit_late", "granted", ["presale_supervisor"], []),
    ("audit_unanswered", "audit_late", "audit_late", ["clock"], []),
    ("pay", "crediting", "granted", ["system"], []),
    ("fail_payment", "crediting", "repairing_payment", ["system"], []),
    ("retry_payment", "repairing_payment", "crediting", ["refund_clerk"], []),
    ("confirm_paid_by_hand", "repairing_payment", "granted", ["refund_clerk"], []),
    ("repair_overdue", "repairing_payment", "repairing_payment", ["clock"], []),
    ("order_gone", OPEN, "revoked", NEWS, ["order_closed"]),
    ("order_gone", OPEN, "telling_buyer", NEWS, ["order_shipped"]),
    ("buyer_understands", "telling_buyer", "declined", ["presale_agent"], []),
    ("buyer_leaves", "telling_buyer", "sale_lost", ["presale_agent"], []),
    ("telling_over", "telling_buyer", "declined", ["clock"], []),
]
"""The specification's table of flow 3, in its order; a condition is named by its guard."""

OURS: list[Row] = [("order_gone", "repairing_payment", "revoked", NEWS, ["no_postage_due"])]
"""Rows that we put beside the specification's, each with its reason in the table."""


def test_the_table_of_flow_3_is_the_specifications_row_by_row() -> None:
    require_rows(FLOW, ROWS, ours=OURS)


def test_a_gift_approval_is_called_off_by_a_presale_supervisor_or_by_temporal_wherever_it_is_not_ending() -> None:
    require_called_off(FLOW, {Role.PRESALE_SUPERVISOR}, going_on(FLOW) - {"cancelling"})


def test_it_is_opened_by_a_presale_role() -> None:
    assert set(FLOW.opened_by) == {Role.PRESALE_AGENT, Role.PRESALE_SUPERVISOR}


def test_facts_and_who_speaks_for_the_buyer_are_as_specified() -> None:
    assert {t.name for t in FLOW.triggers.values() if t.kind is TriggerKind.FACT} == {"order_gone"}
    assert {t.name for t in FLOW.triggers.values() if t.from_shop} == {"order_gone"}
    assert {t.name for t in FLOW.triggers.values() if t.four_eyes} == {"approve", "reject", "confirm_paid_by_hand"}
    assert {t.name for t in FLOW.triggers.values() if t.speaks_for_buyer} == {
        "buyer_lets_go",
        "buyer_insists",
        "buyer_understands",
        "buyer_leaves",
    }


def test_each_wait_has_the_specified_deadline() -> None:
    assert {s.name: s.deadline for s in FLOW.states.values() if s.kind is StateKind.WAIT} == {
        "negotiating": Deadline("negotiation_over", "negotiation"),
        "awaiting_supervisor": Deadline("supervisor_silent", "supervisor"),
        "awaiting_finance": Deadline("finance_silent", "finance"),
        "awaiting_audit": Deadline("audit_overdue", "audit"),
        "audit_late": Deadline("audit_unanswered"),
        "repairing_payment": Deadline("repair_overdue", alarm_roles=(Role.FINANCE_MANAGER,)),
        "telling_buyer": Deadline("telling_over", "telling"),
    }


# --- guards ---


def standing(**known: Any) -> GiftStanding:
    """An order of 600.00 without its postage, paid and here, where the whole budget is left, but for what is given."""
    fine = {"paid": True, "gone": False, "shipped": False, "granted": False}
    return GiftStanding.model_validate({**fine, "goods_total_fen": 60_000, "budget_left_fen": 500_000, **known})


def a_case(**known: Any) -> GiftCase:
    """A case about one towel of 9.00, but for what is given."""
    policy = load_policy(None)
    given: dict[str, Any] = {
        "state": "negotiating",
        "kind": "gift",
        "gift_sku": "GP-TW02",
        "quantity": 1,
        "amount_fen": 900,
        "standing": standing(),
        **known,
    }
    return GiftCase(
        case_id="gift-approval-330000001-gift",
        run_id="run",
        flow=FLOW.name,
        order_id="330000001",
        opened_by="opener.1",
        opened_at=NOW,
        policy=GiftFigures(version="1", shop=policy.shop, flow=policy.gift_approval),
        **given,
    )


def attempt(*, own_limit: int | None = None, names: tuple[str, int] | None = None, **known: Any) -> Attempt[GiftCase]:
    """An attempt by a supervisor with that limit of their own, whose message names that gift."""
    role = Role.PRESALE_SUPERVISOR
    message = NamedGift(by="presale.1", gift_sku=names[0], quantity=names[1]) if names else NamedGift(by="presale.1")
    actor = Actor(staff_id="lead.1", grants={role: own_limit})
    made: Attempt[GiftCase] = Attempt(a_case(**known), "any", NOW, actor, message=message)
    made.role = role
    return made


FREE: dict[str, Any] = {"kind": "free_shipping", "gift_sku": None, "quantity": None, "amount_fen": 1_000}

CASES: list[tuple[Guard[Any], bool, dict[str, Any]]] = [
    (flow.not_applicable, False, {}),
    (flow.not_applicable, False, {"standing": None}),
    (flow.not_applicable, True, {"standing": standing(gone=True)}),
    (flow.not_applicable, True, {"standing": standing(shipped=True)}),
    (flow.not_applicable, True, {"standing": standing(granted=True)}),
    (flow.not_applicable, False, {"standing": standing(paid=False)}),
    (flow.rule_met, True, {"amount_fen": 3_000}),
    (flow.rule_met, False, {"amount_fen": 3_001}),
    (flow.rule_met, False, {"standing": standing(goods_total_fen=59_899)}),
    (flow.rule_met, False, {"standing": None}),
    # free shipping has no share of the total: whatever the postage is
    (flow.rule_met, True, {**FREE, "standing": standing(goods_total_fen=19_900), "amount_fen": 90_000}),
    (flow.rule_met, False, {**FREE, "standing": standing(goods_total_fen=19_899)}),
    (flow.names_gift_that_meets_rule, True, {"names": ("GP-ST00", 1), "named_cost_fen": 3_000}),
    (flow.names_gift_that_meets_rule, False, {"names": ("GP-ST00", 1), "named_cost_fen": 3_001}),
    (flow.names_gift_that_meets_rule, True, {"names": ("GP-TW02", 2), "named_cost_fen": 1_800}),
    (flow.names_gift_that_meets_rule, False, {"names": ("GP-TW02", 1), "named_cost_fen": 900}),
    (flow.names_gift_that_meets_rule, False, {"names": None, "named_cost_fen": 900}),
    (flow.names_gift_that_meets_rule, False, {"names": ("GP-ST00", 1), "named_cost_fen": None}),
    (flow.within_supervisor_limit, True, {"amount_fen": 5_000}),
    (flow.within_supervisor_limit, False, {"amount_fen": 5_001}),
    (flow.within_supervisor_limit, False, {"amount_fen": 901, "own_limit": 900}),
    (flow.within_supervisor_limit, False, {"amount_fen": 5_001, "own_limit": 90_000}),
    (flow.within_budget, True, {"standing": standing(budget_left_fen=900)}),
    (flow.within_budget, False, {"standing": standing(budget_left_fen=899)}),
    (flow.within_budget, False, {"standing": None}),
    (flow.order_closed, True, {"standing": standing(gone=True)}),
    (flow.order_closed, False, {"standing": standing(shipped=True)}),
    (flow.order_closed, False, {"standing": None}),
    (flow.no_postage_due, True, {"standing": standing(gone=True)}),
    (flow.no_postage_due, False, {"standing": standing(gone=True, postage_due_fen=1)}),
    (flow.no_postage_due, False, {"standing": standing(postage_due_fen=0)}),
    (flow.no_postage_due, False, {"standing": None}),
    (flow.order_shipped, True, {"standing": standing(shipped=True)}),
    (flow.order_shipped, False, {"standing": standing(gone=True)}),
    (flow.order_shipped, False, {"standing": None}),
    (flow.budget_used_up, True, {}),
    (flow.budget_used_up, False, {"promised": True}),
    (flow.postage_is_paid, True, FREE),
    (flow.postage_is_paid, False, {**FREE, "standing": standing(paid=False)}),
    (flow.postage_is_paid, False, {**FREE, "standing": None}),
    (flow.postage_is_paid, False, {}),
]


def test_a_guard_holds_exactly_when_its_words_are_true() -> None:
    require_guards(FLOW, ((guard, holds, attempt(**known)) for guard, holds, known in CASES))


# --- what a case remembers ---


def take(case: GiftCase, trigger: str, role: Role, message: Any = None) -> str:
    made: Attempt[GiftCase] = Attempt(
        case, trigger, NOW, Actor(staff_id="somebody.1", grants={role: None}), message=message
    )
    found = FLOW.find_move(made)
    assert not isinstance(found, Refusal), found
    FLOW.take(found, made)
    return case.state


def test_another_gift_takes_the_place_of_the_first_with_its_cost() -> None:
    case = a_case(amount_fen=5_001, named_cost_fen=1_200)
    named = NamedGift(by="presale.1", gift_sku="GP-ST00", quantity=2)
    assert take(case, "buyer_insists", Role.PRESALE_AGENT, named) == "writing_memo"
    assert (case.gift_sku, case.quantity, case.amount_fen) == ("GP-ST00", 2, 1_200)


def test_what_finance_approved_is_decided_on_anew_where_it_is_out_of_stock() -> None:
    case = a_case(state="awaiting_finance")
    take(case, "approve", Role.FINANCE_MANAGER)
    assert case.finance_approved
    case.state = "awaiting_audit"
    assert take(case, "find_out_of_stock", Role.ORDER_AUDITOR) == "negotiating"
    assert not case.finance_approved


def test_no_more_is_credited_than_was_decided_on() -> None:
    case = a_case(**FREE, state="awaiting_audit", promised=True)
    assert take(case, "add_gift", Role.ORDER_AUDITOR) == "crediting"
    assert case.decided_fen == 1_000


# --- what it is opened with, and what names another gift ---


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "gift", "quantity": 1}, "gift_sku is missing: a gift needs it"),
        ({"kind": "gift", "gift_sku": "GP-TW02"}, "quantity is missing: a gift needs it"),
        ({"kind": "free_shipping", "gift_sku": "GP-TW02"}, "gift_sku is for a gift, not for free shipping"),
        ({"kind": "free_shipping", "quantity": 1}, "quantity is for a gift, not for free shipping"),
        ({"kind": "gift", "gift_sku": "GP-TW02", "quantity": 0}, "quantity: 1 or more is wanted"),
        ({"kind": "gift", "gift_sku": "GP-TW02", "quantity": "2"}, "quantity: a whole number is wanted"),
        ({"kind": "gift", "gift_sku": "", "quantity": 1}, "gift_sku: text of at least 1 character is wanted"),
        ({"kind": "gift", "gift_sku": "13812345678", "quantity": 1}, "gift_sku holds a mobile number"),
        ({"kind": "present"}, "kind: 'gift' or 'free_shipping' is wanted"),
        ({}, "kind is missing"),
        ({"kind": "free_shipping", "cost_fen": 9.5}, "cost_fen: a whole number is wanted"),
        ({"kind": "free_shipping", "cost_fen": -1}, "cost_fen: 0 or more is wanted"),
        ({"kind": "free_shipping", "cost_fen": None}, "cost_fen: a whole number is wanted"),
        ({"kind": "free_shipping", "lines": []}, "lines is a field that does not belong here"),
    ],
)
def test_a_start_that_cannot_be_one_is_refused_with_the_field_named(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        GiftStart.model_validate({"order_id": "330000001", "by": "presale.1", "cost_fen": 900, **fields})
    assert explain(refused.value).startswith(said)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"gift_sku": "GP-TW02"}, "quantity is missing: both or neither"),
        ({"quantity": 1}, "gift_sku is missing: both or neither"),
        ({"gift_sku": "GP-TW02", "quantity": 0}, "quantity: 1 or more is wanted"),
    ],
)
def test_another_gift_is_named_whole_or_not_at_all(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        NamedGift.model_validate({"by": "presale.1", **fields})
    assert explain(refused.value).startswith(said)
