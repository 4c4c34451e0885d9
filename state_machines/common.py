"""Rows and triggers that every flow has, written once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import Field

from casework.case import Case
from casework.messages import Fen, Message, MessageWithReason, PaymentReference, PlatformCase
from state_machines.roles import Automatic, Role
from state_machines.table import (
    RETRY_PAYMENT,
    Attempt,
    Deadline,
    Guard,
    Move,
    State,
    Trigger,
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

CaseT = TypeVar("CaseT", bound=Case[Any])

CANCEL = "cancel_case"
UNLIMITED = 10**12
"""More fen than any order: the finance manager has no limit."""


class PaidByHand(Message):
    """The refund clerk paid outside: the reference was never used before, the amount is the amount due (fen)."""

    payment_reference: PaymentReference = Field(description="text of 1 to 64 characters, never used before")
    amount_fen: Fen = Field(description="whole fen, the amount due")


class RaiseDispute(Message):
    """The buyer has gone to the platform; its number for the dispute, where it is known."""

    platform_case: PlatformCase | None = Field(default=None, description="the platform's number, up to 64 characters")


@guard("尚未付款", "nothing is paid", code="money_sent")
def nothing_paid(attempt: Attempt[Any]) -> bool:
    """Once money has been sent, a case can no longer be called off."""
    return not attempt.case.money_sent


@guard(
    "金额未超过已批准的额度",
    "no more than was decided on; retry_payment asks a superior for more",
    fields=("amount_fen",),
)
def within_decision(attempt: Attempt[Any]) -> bool:
    """What was paid by hand is within what whoever decided to pay may decide."""
    message, case = attempt.message, attempt.case
    return (message.amount_fen if isinstance(message, PaidByHand) else case.amount_fen) <= case.decided_fen


@guard("金额在客服权限内", "the amount is within the agent's limit")
def within_agent_limit(attempt: Attempt[Any]) -> bool:
    """A standing limit: acting within it needs no approval."""
    return attempt.within(attempt.case.figures.flow.agent_limit_fen)


@guard("金额在主管权限内", "the amount is within the supervisor's limit")
def within_supervisor_limit(attempt: Attempt[Any]) -> bool:
    """The policy's limit for the flow, or the supervisor's own if lower."""
    return attempt.within(attempt.case.figures.flow.supervisor_limit_fen)


@guard("店铺显示该商品行已退款", "the shop shows the lines refunded")
def lines_refunded(attempt: Attempt[Any]) -> bool:
    """The platform, or another way, has paid for the lines meanwhile."""
    return attempt.case.standing is not None and attempt.case.standing.refunded


def cancelling_states() -> list[State]:
    """What is undone when a case is called off, and its end."""
    return [work("cancelling", "撤销中", "cancelling"), end("cancelled", "已撤销", "cancelled")]


def cancelling_triggers() -> list[Trigger]:
    """Calling off a case: by a person with a reason, or by Temporal's own cancel."""
    return [
        decision(CANCEL, "撤销工单", "cancel the case", MessageWithReason),
        outcome("undo", "撤销完成", "undo"),
    ]


def cancelling_moves(sources: Sequence[str], roles: tuple[Role, ...]) -> list[list[Move[Any]]]:
    """Who may call a case off, and from where; the system row is Temporal's own cancel."""
    return [
        move(CANCEL, sources, "cancelling", (*roles, Automatic.SYSTEM), nothing_paid),
        move("undo", "cancelling", "cancelled", Automatic.SYSTEM),
    ]


def repairing_state(*, platform_bound: bool = False) -> State:
    """A payment was refused for good: the refund clerk tries again or pays by hand; an alarm comes every day."""
    return wait(
        "repairing_payment",
        "待处理付款失败",
        "repairing the payment",
        deadline=Deadline("repair_overdue", alarm_roles=(Role.FINANCE_MANAGER,)),
        expects=(Role.REFUND_CLERK,),
        platform_bound=platform_bound,
    )


def payment_triggers() -> list[Trigger]:
    """Paying, failing to, and the repair."""
    return [
        outcome("pay", "已付款", "pay"),
        outcome("fail_payment", "付款失败", "fail payment"),
        decision(RETRY_PAYMENT, "重试付款", "retry the payment"),
        decision("confirm_paid_by_hand", "确认已人工打款", "confirm paid by hand", PaidByHand, four_eyes=True),
        clock("repair_overdue", "付款处理超时", "repair overdue"),
    ]


def payment_moves(paying: str, paid: str, *, by_hand_only_if: tuple[Guard[Any], ...] = ()) -> list[list[Move[Any]]]:
    """The rows around a payment: `paying` is the state that pays, `paid` the one that follows."""
    return [
        move("pay", paying, paid, Automatic.SYSTEM),
        move("fail_payment", paying, "repairing_payment", Automatic.SYSTEM),
        move(RETRY_PAYMENT, "repairing_payment", paying, Role.REFUND_CLERK),
        move("confirm_paid_by_hand", "repairing_payment", paid, Role.REFUND_CLERK, by_hand_only_if),
        move("repair_overdue", "repairing_payment", "repairing_payment", Automatic.CLOCK),
    ]


def approval(message: type[Message] = Message) -> Trigger:
    """A superior's yes: from nobody with a part in the request, and at two levels from two people."""
    return decision("approve", "批准", "approve", message, four_eyes=True, approves=True)


def news_from_shop(name: str, zh: str, en: str) -> Trigger:
    """A fact that the shop itself may report; the case reads the shop again before it believes it."""
    return fact(name, zh, en, from_shop=True)
