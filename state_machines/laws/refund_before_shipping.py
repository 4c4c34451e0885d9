"""The world of flow 1: how an order may stand, what the warehouse, the courier, the platform and a payment may do."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from casework.messages import Message, MessageWithReason
from casework.policy import load_policy
from casework.standing import RefundStanding
from state_machines import refund_before_shipping as table
from state_machines.common import UNLIMITED, PaidByHand, nothing_paid
from state_machines.laws.exploring import AT, OPENER
from state_machines.laws.world import Happening, Known, Opening, World
from state_machines.refund_before_shipping import (
    REFUND_BEFORE_SHIPPING,
    GiveReason,
    RefundCase,
    RefundFigures,
    amount_risen,
)
from state_machines.roles import Automatic, Role
from state_machines.table import Attempt, Move

POLICY = load_policy(None)
AGENT_LIMIT = POLICY.refund_before_shipping.agent_limit_fen
SUPERVISOR_LIMIT = POLICY.refund_before_shipping.supervisor_limit_fen
AMOUNTS = (AGENT_LIMIT, AGENT_LIMIT + 1, SUPERVISOR_LIMIT, SUPERVISOR_LIMIT + 1)
"""Amounts in fen on both sides of every limit."""


@dataclass(frozen=True, slots=True)
class RefundOpening:
    """How a refund is opened: the amount in fen, whether the reason is known, what the order's flag says, by whom."""

    amount_fen: int
    reason_known: bool
    handed_over: bool
    """The shop's profile is `handed_over` and the order's flag is green."""
    order_terminated: bool


WHO_MATTERS = {
    (AMOUNTS[0], True, False),
    (AMOUNTS[-1], True, False),
    (AMOUNTS[-1], False, False),
    # keeps a buyer's withdrawal, and goes on
    (AMOUNTS[-1], True, True),
}
"""Amount, whether the reason is known, whether a bulk order was terminated: one opening for each thing that can make a
difference to who may act."""


def _openings() -> list[Opening[RefundCase]]:
    openings: list[Opening[RefundCase]] = []
    for amount, known, handed, terminated in itertools.product(AMOUNTS, (True, False), (False, True), (False, True)):
        figures = POLICY.for_flow(REFUND_BEFORE_SHIPPING.name)
        policy = RefundFigures.model_validate(figures)
        profile = "handed_over" if handed else "default"
        policy = policy.model_copy(update={"shop": policy.shop.model_copy(update={"flag_profile": profile})})
        case = RefundCase(
            case_id="refund-before-shipping-330000001",
            run_id="run",
            flow=REFUND_BEFORE_SHIPPING.name,
            order_id="330000001",
            state=REFUND_BEFORE_SHIPPING.initial,
            opened_by=OPENER,
            opened_at=AT,
            involved=[OPENER],
            policy=policy,
            amount_fen=amount,
            reason="bought twice" if known else None,
            flag_found="green" if handed else "none",
            order_terminated=terminated,
        )
        who_matters = not handed and (amount, known, terminated) in WHO_MATTERS
        openings.append(Opening(case, RefundOpening(amount, known, handed, terminated), for_people=who_matters))
    return openings


# --- what the case learns ---


def _standing(case: RefundCase, **known: Any) -> None:
    usual = {"paid": True, "closed": False, "refundable_fen": case.amount_fen, "refunded": False, "shipped": False}
    case.standing = RefundStanding.model_validate({**usual, **known})


def _has_left(case: RefundCase) -> None:
    _standing(case, shipped=True)


def _stopped(case: RefundCase) -> None:
    case.parcel_stopped = True


def _not_stopped(case: RefundCase) -> None:
    case.parcel_stopped = False


def _sent(case: RefundCase) -> None:
    case.money_sent = True
    case.paid_fen = case.amount_fen


def _next_amount(case: RefundCase) -> int:
    return next((amount for amount in AMOUNTS if amount > case.amount_fen), case.amount_fen)


def _amount_before(case: RefundCase) -> int:
    return max((amount for amount in AMOUNTS if amount < case.amount_fen), default=case.amount_fen)


def _rise(case: RefundCase) -> None:
    case.amount_fen = _next_amount(case)


def _fall_and_stand(case: RefundCase) -> None:
    case.amount_fen = _amount_before(case)
    _standing(case)


def _rise_and_stand(case: RefundCase) -> None:
    _rise(case)
    _standing(case)


def _rise_and_pay(case: RefundCase) -> None:
    _rise(case)
    _sent(case)


def _ended(case: RefundCase) -> None:
    case.order_ended = True


def _may_be_ended(case: RefundCase) -> bool:
    return not (case.order_terminated or case.order_ended)


def _may_rise(case: RefundCase) -> bool:
    return _next_amount(case) > case.amount_fen


def _decided(case: RefundCase) -> bool:
    return not amount_risen(case)


HAPPENINGS: list[Happening[RefundCase]] = [
    Happening("the order is not paid", "check", learn=lambda case: _standing(case, paid=False)),
    Happening("the order is closed", "check", learn=lambda case: _standing(case, closed=True)),
    Happening("nothing is left to refund", "check", learn=lambda case: _standing(case, refunded=True)),
    Happening("another case has the lines", "check", learn=lambda case: _standing(case, claimed_by="another")),
    Happening("the lines have left", "check", learn=_has_left, takes=("claim",)),
    Happening("the lines are here", "check", learn=_standing, takes=("claim",)),
    Happening("held", "hold", takes=("hold",)),
    Happening("it left while we asked", "find_shipped", states=("holding",), learn=_has_left),
    Happening("paid", "pay", learn=_sent, possible=_decided, pays=True),
    Happening("the platform has paid before us", "pay", learn=_sent, possible=_decided, paid_by_platform=True),
    Happening("it left and is not back", "find_shipped", states=("refunding",), learn=_has_left, possible=_decided),
    Happening("the payment is refused for good", "fail_payment", possible=_decided),
    Happening(
        "the postage falls to this case, and that is paid",
        "pay",
        learn=_rise_and_pay,
        changes_amount=True,
        possible=lambda case: _may_rise(case) and _next_amount(case) <= case.decided_fen,
        pays=True,
    ),
    Happening(
        "the postage falls to this case, which is more than was decided",
        "find_amount_risen",
        learn=_rise,
        changes_amount=True,
        possible=lambda case: _decided(case) and _may_rise(case) and _next_amount(case) > case.decided_fen,
    ),
    Happening("more is due than was decided", "find_amount_risen", possible=amount_risen),
    Happening("the refund is settled", "settle", lets_go=True),
    Happening("the order goes on", "release", lets_go=True),
    Happening("the courier stops the parcel", "intercept", learn=_stopped),
    Happening("the courier cannot stop it", "fail_intercept"),
    Happening("it is handed over to a return", "convert", lets_go=True),
    Happening("everything is undone", "undo", lets_go=True),
    Happening(
        "the platform pays",
        "order_gone",
        learn=lambda case: _standing(case, refunded=True),
        paid_by_platform=True,
    ),
    Happening("the platform ships", "order_gone", learn=_has_left),
    Happening(
        # who says that the buyer keeps the order has it looked up, too; a withdrawal may be said in every wait
        "the order is found ended as malicious",
        "buyer_withdraws",
        learn=_ended,
        possible=_may_be_ended,
        for_people=False,
    ),
    Happening(
        "the postage falls to this case", "order_gone", learn=_rise_and_stand, changes_amount=True, possible=_may_rise
    ),
    Happening(
        "the platform pays a part",
        "order_gone",
        learn=_fall_and_stand,
        changes_amount=True,
        possible=lambda case: _amount_before(case) < case.amount_fen,
    ),
]


def _message(case: RefundCase, trigger: str, by: str) -> Message:
    kind = REFUND_BEFORE_SHIPPING.triggers[trigger].message
    if kind is GiveReason:
        return GiveReason(by=by, reason="too long to wait")
    if kind is PaidByHand:
        return PaidByHand(by=by, payment_reference="bank-1", amount_fen=case.amount_fen)
    if kind is MessageWithReason:
        return MessageWithReason(by=by, note="looked at again")
    return kind(by=by)


def _authority(moved: Move[RefundCase], attempt: Attempt[RefundCase]) -> int | None:
    """Flows.md and policy.md, read without the table's guards."""
    own = attempt.actor.grants.get(attempt.role) if attempt.actor and attempt.role else None

    def at_most(limit_fen: int) -> int:
        return limit_fen if own is None else min(limit_fen, own)

    match moved.trigger, moved.source, attempt.role or attempt.automatic:
        case "buyer_insists", "persuading", Role.AFTERSALE_AGENT:
            return at_most(AGENT_LIMIT)
        case "persuasion_over", "persuading", Automatic.CLOCK:
            return AGENT_LIMIT
        case "approve", "awaiting_supervisor", Role.AFTERSALE_SUPERVISOR:
            return at_most(SUPERVISOR_LIMIT)
        case "approve", "awaiting_finance", Role.FINANCE_MANAGER:
            return UNLIMITED
        case "finance_silent", "awaiting_finance", Automatic.CLOCK:
            return attempt.case.amount_fen
        case "parcel_back", "awaiting_parcel_back", Role.RETURNS_CLERK:
            return AGENT_LIMIT
        case _:
            return None


def _stops_what_is_here(case: RefundCase) -> bool:
    left = case.standing is not None and case.standing.shipped
    return case.state == "intercepting" and not left


def _given_back_although_ended(case: RefundCase) -> bool:
    return case.order_ended and case.state == "releasing"


def _wrong(case: RefundCase) -> str | None:
    if _stops_what_is_here(case):
        return "the courier is asked to stop what has not left"
    if case.send_backs > case.figures.flow.max_send_backs:
        return "it is sent back more often than the policy allows"
    if _given_back_although_ended(case):
        return "an order that was ended as malicious is given back to shipping"
    if case.order_terminated and case.state in ("asking_reason", "persuading", "releasing"):
        return f"a terminated bulk order's refund is in {case.state}: nobody persuades, nothing is given back"
    return None


WORLD: World[RefundCase] = World(
    flow=REFUND_BEFORE_SHIPPING,
    openings=_openings(),
    happenings=HAPPENINGS,
    message=_message,
    known=[
        Known(lambda case: case.amount_fen),
        Known(lambda case: case.decided_fen),
        Known(lambda case: case.order_terminated),
        Known(lambda case: case.order_ended, (table.not_ended_as_malicious,)),
        Known(lambda case: case.reason is None, (table.no_reason,)),
        Known(lambda case: case.flag_found, (table.handed_to_warehouse,)),
        Known(lambda case: case.send_backs, (table.may_send_back,)),
        Known(lambda case: case.approved, (table.within_agent_limit_or_approved,)),
        Known(lambda case: case.money_sent, (nothing_paid,)),
        Known(_stops_what_is_here),
        Known(_given_back_although_ended),
    ],
    authority=_authority,
    voids=frozenset({"send_back"}),
    silent=frozenset({("persuasion_over", "persuading"), ("finance_silent", "awaiting_finance")}),
    low_limit_fen=AMOUNTS[0] - 1,
    asked_for=lambda case: not case.order_terminated,
    effects={"confirm_left": _has_left, "parcel_back": _not_stopped, "confirm_paid_by_hand": _sent},
    pays_by_hand={"confirm_paid_by_hand": Role.REFUND_CLERK},
    wrong=_wrong,
)
