from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from casework.case import Actor
from casework.policy import load_policy
from casework.standing import RefundStanding
from state_machines import refund_before_shipping as flow
from state_machines.common import PaidByHand, nothing_paid
from state_machines.refund_before_shipping import RefundCase, RefundFigures
from state_machines.roles import Role
from state_machines.table import Attempt, Guard
from tests.tables import require_guards

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
POLICY = load_policy(None)


def standing(**known: Any) -> RefundStanding:
    """How the shop sees an order that is paid and has not left, but for what is given."""
    return RefundStanding.model_validate(
        {"paid": True, "closed": False, "refundable_fen": 100, "refunded": False, "shipped": False, **known}
    )


def attempt(
    *, profile: str = "default", own_limit: int | None = None, person: bool = True, **known: Any
) -> Attempt[RefundCase]:
    """An attempt by an agent, or by the clock, on a case that knows this."""
    shop = POLICY.shop.model_copy(update={"flag_profile": profile})
    case = RefundCase(
        case_id="refund-before-shipping-330000001",
        run_id="run",
        flow="refund-before-shipping",
        order_id="330000001",
        state="persuading",
        opened_by="opener.1",
        opened_at=NOW,
        policy=RefundFigures(version="1", shop=shop, flow=POLICY.refund_before_shipping),
        **known,
    )
    role = Role.AFTERSALE_AGENT
    made: Attempt[RefundCase] = Attempt(
        case, "any", NOW, actor=Actor(staff_id="agent.1", grants={role: own_limit}) if person else None
    )
    made.role = role if person else None
    return made


CASES: list[tuple[Guard[Any], bool, dict[str, Any]]] = [
    (flow.not_applicable, False, {"standing": standing()}),
    (flow.not_applicable, False, {"standing": None}),
    (flow.not_applicable, True, {"standing": standing(paid=False)}),
    (flow.not_applicable, True, {"standing": standing(closed=True)}),
    (flow.not_applicable, True, {"standing": standing(refunded=True)}),
    (flow.not_applicable, True, {"standing": standing(claimed_by="refund-before-shipping-2")}),
    (flow.not_applicable, False, {"standing": standing(shipped=True)}),
    (flow.has_left, True, {"standing": standing(shipped=True)}),
    (flow.has_left, False, {"standing": standing()}),
    (flow.has_left, False, {"standing": None}),
    (flow.lines_refunded, True, {"standing": standing(refunded=True)}),
    (flow.lines_refunded, False, {"standing": standing()}),
    (flow.lines_refunded, False, {"standing": None}),
    (flow.order_terminated, True, {"order_terminated": True}),
    (flow.order_terminated, False, {}),
    (flow.not_ended_as_malicious, True, {}),
    (flow.not_ended_as_malicious, False, {"order_terminated": True}),
    (flow.not_ended_as_malicious, False, {"order_ended": True}),
    (flow.handed_to_warehouse, True, {"profile": "handed_over", "flag_found": "green"}),
    (flow.handed_to_warehouse, False, {"profile": "handed_over", "flag_found": "red"}),
    (flow.handed_to_warehouse, False, {"profile": "handed_over", "flag_found": None}),
    (flow.handed_to_warehouse, False, {"profile": "default", "flag_found": "green"}),
    (flow.no_reason, True, {}),
    (flow.no_reason, True, {"reason": ""}),
    (flow.no_reason, False, {"reason": "bought twice"}),
    (flow.within_agent_limit, True, {"amount_fen": 20_000}),
    (flow.within_agent_limit, False, {"amount_fen": 20_001}),
    (flow.within_agent_limit, True, {"amount_fen": 5_000, "own_limit": 5_000}),
    (flow.within_agent_limit, False, {"amount_fen": 5_001, "own_limit": 5_000}),
    (flow.within_agent_limit, False, {"amount_fen": 20_001, "own_limit": 90_000}),
    (flow.within_agent_limit, False, {"amount_fen": 1, "own_limit": 0}),
    (flow.within_agent_limit, True, {"amount_fen": 20_000, "person": False}),
    (flow.within_agent_limit, False, {"amount_fen": 20_001, "person": False}),
    (flow.within_agent_limit_or_approved, True, {"amount_fen": 20_000}),
    (flow.within_agent_limit_or_approved, False, {"amount_fen": 20_001}),
    (flow.within_agent_limit_or_approved, True, {"amount_fen": 90_000, "approved": True, "decided_fen": 90_000}),
    (flow.within_agent_limit_or_approved, False, {"amount_fen": 90_001, "approved": True, "decided_fen": 90_000}),
    (flow.within_agent_limit_or_approved, False, {"amount_fen": 90_000, "decided_fen": 90_000}),
    (flow.within_agent_limit_or_approved, True, {"amount_fen": 20_000, "own_limit": 0}),
    (flow.within_supervisor_limit, True, {"amount_fen": 100_000}),
    (flow.within_supervisor_limit, False, {"amount_fen": 100_001}),
    (flow.within_supervisor_limit, False, {"amount_fen": 50_001, "own_limit": 50_000}),
    (flow.within_decision, True, {"amount_fen": 20_000, "decided_fen": 20_000}),
    (flow.within_decision, False, {"amount_fen": 20_001, "decided_fen": 20_000}),
    (flow.may_send_back, True, {"send_backs": 1}),
    (flow.may_send_back, False, {"send_backs": 2}),
    (flow.buyer_asked, True, {}),
    (flow.buyer_asked, False, {"order_terminated": True}),
]


def test_a_guard_holds_exactly_when_its_words_are_true() -> None:
    cases = ((guard, holds, attempt(**known)) for guard, holds, known in CASES)
    require_guards(flow.REFUND_BEFORE_SHIPPING, cases)


def test_once_money_was_sent_it_is_not_true_that_nothing_is_paid() -> None:
    assert nothing_paid.holds(attempt())
    assert not nothing_paid.holds(attempt(money_sent=True))


@pytest.mark.parametrize(("sent_fen", "holds"), [(20_000, True), (20_001, False)])
def test_what_was_paid_by_hand_is_judged_by_the_sum_that_the_clerk_names(sent_fen: int, holds: bool) -> None:
    made = attempt(amount_fen=20_000, decided_fen=20_000)
    made.message = PaidByHand(by="refund.1", payment_reference="bank-1", amount_fen=sent_fen)
    assert flow.within_decision.holds(made) is holds
