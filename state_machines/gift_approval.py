"""Flow 3, gift or free shipping (赠品/包邮审批).

What meets the gift rule is noted on the order. What does not, and the buyer presses: a superior decides. Refused: the
agent wins the buyer's understanding. Where the buyer does not press, no approval is ever created. From the pre-sale
manual; the month's budget and the credited postage are the shop's own.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StrictInt, model_validator

from casework.case import CaseFigures, PayingCase, Start
from casework.messages import Fen, Message, MessageWithReason, Sku, Text
from casework.policy import GiftApprovalPolicy
from casework.rules.gifts import meets_free_shipping_rule, meets_gift_rule
from casework.standing import GiftStanding
from state_machines.common import (
    approval,
    cancelling_moves,
    cancelling_states,
    cancelling_triggers,
    news_from_shop,
    payment_moves,
    payment_triggers,
    repairing_state,
    within_supervisor_limit,
)
from state_machines.roles import Automatic, Label, Role
from state_machines.table import (
    Attempt,
    Deadline,
    Flow,
    Money,
    Move,
    clock,
    decision,
    end,
    guard,
    move,
    outcome,
    wait,
    work,
)

SYSTEM, CLOCK = Automatic.SYSTEM, Automatic.CLOCK
AGENT, SUPERVISOR = Role.PRESALE_AGENT, Role.PRESALE_SUPERVISOR
FINANCE, AUDITOR = Role.FINANCE_MANAGER, Role.ORDER_AUDITOR

Pieces = Annotated[StrictInt, Field(ge=1, le=1_000_000)]


class GiftStart(Start):
    """What a gift approval is opened with.

    `cost_fen` is what whoever opens it says that it costs: the catalogue's cost x quantity, or the order's postage.
    `gift_sku` and `quantity` are for a gift only.
    """

    kind: Literal["gift", "free_shipping"]
    gift_sku: Sku | None = None
    quantity: Pieces | None = None
    cost_fen: Fen
    reason: Text | None = None

    @model_validator(mode="after")
    def _names_what_its_kind_needs(self) -> Self:
        for name in ("gift_sku", "quantity"):
            given = getattr(self, name) is not None
            if self.kind == "gift" and not given:
                raise ValueError(f"{name} is missing: a gift needs it")
            if self.kind == "free_shipping" and given:
                raise ValueError(f"{name} is for a gift, not for free shipping")
        return self


class GiftFigures(CaseFigures):
    """The policy's figures that a gift approval carries."""

    flow: GiftApprovalPolicy


class NamedGift(Message):
    """The buyer insists; `gift_sku` and `quantity`, both or neither, name another gift."""

    gift_sku: Sku | None = Field(default=None, description="another gift of the catalogue, together with quantity")
    quantity: Pieces | None = Field(default=None, description="a whole number of 1 or more, together with gift_sku")

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.gift_sku is None) != (self.quantity is None):
            raise ValueError(f"{'gift_sku' if self.gift_sku is None else 'quantity'} is missing: both or neither")
        return self


class GiftCase(PayingCase[GiftFigures]):
    """What a gift approval knows; its amount is the cost, in fen."""

    kind: Literal["gift", "free_shipping"]
    gift_sku: str | None = None
    quantity: int | None = None
    reason: str | None = None
    standing: GiftStanding | None = None
    """How the order stood when the case last looked."""
    named_cost_fen: int | None = None
    """What the gift costs that the buyer's agent names just now."""
    finance_approved: bool = False
    """Finance lets it be promised beyond the month's budget."""
    promised: bool = False
    """It is in the order's memo, and its cost is reserved in the month's budget."""


# --- guards: pure, each tested by itself ---


@guard("订单已关闭、已发货或此类已给过", "the order is closed or shipped, or this kind was granted already")
def not_applicable(attempt: Attempt[GiftCase]) -> bool:
    """Nothing can be added to the order any more, or it has this kind already (or no postage to waive)."""
    standing = attempt.case.standing
    return standing is not None and (standing.gone or standing.shipped or standing.granted)


@guard("符合赠品规则", "the gift rule is met")
def rule_met(attempt: Attempt[GiftCase]) -> bool:
    """What the case is about needs nobody's approval."""
    return _meets_rule(attempt.case, attempt.case.amount_fen)


@guard("另选的赠品符合规则", "it names another gift, and that meets the rule")
def names_gift_that_meets_rule(attempt: Attempt[GiftCase]) -> bool:
    """Another gift is another one of the catalogue, or the same in another quantity."""
    case, cost_fen = attempt.case, attempt.case.named_cost_fen
    return names_another(attempt) and cost_fen is not None and _meets_rule(case, cost_fen)


@guard("成本在当月预算内", "the cost is within the month's budget")
def within_budget(attempt: Attempt[GiftCase]) -> bool:
    """What is left of the budget of the calendar month holds it, as far as the shop knows now."""
    standing = attempt.case.standing
    return standing is not None and attempt.case.amount_fen <= standing.budget_left_fen


@guard("订单已关闭或全额退款", "the order is closed or wholly refunded", looked_up=True)
def order_closed(attempt: Attempt[GiftCase]) -> bool:
    """There is no order any more that it could go with."""
    return attempt.case.standing is not None and attempt.case.standing.gone


@guard(
    "订单已关闭或全额退款,无邮费可退", "the order is closed or wholly refunded, and no postage is due", looked_up=True
)
def no_postage_due(attempt: Attempt[GiftCase]) -> bool:
    """It went back with the order, or a closed trade pays none; with goods that had shipped it stays owed."""
    standing = attempt.case.standing
    return standing is not None and standing.gone and standing.postage_due_fen <= 0


@guard("订单已发货而未附", "the order has shipped without it", looked_up=True)
def order_shipped(attempt: Attempt[GiftCase]) -> bool:
    """Nothing of the order is left to ship."""
    return attempt.case.standing is not None and attempt.case.standing.shipped


@guard("预算已用完且财务未批", "the budget was used up meanwhile, and finance has not approved")
def budget_used_up(attempt: Attempt[GiftCase]) -> bool:
    """The shop, which asks and writes in one transaction, has promised nothing."""
    return not attempt.case.promised


@guard("已付款订单免邮", "free shipping on a paid order")
def postage_is_paid(attempt: Attempt[GiftCase]) -> bool:
    """The buyer has paid the postage already: it is credited, where an unpaid order's is lowered."""
    case = attempt.case
    return case.kind == "free_shipping" and case.standing is not None and case.standing.paid


def names_another(attempt: Attempt[GiftCase]) -> bool:
    """Whether the message names a gift, and not the one that the case is about already."""
    case, message = attempt.case, attempt.message
    if not isinstance(message, NamedGift) or message.gift_sku is None:
        return False
    return (message.gift_sku, message.quantity) != (case.gift_sku, case.quantity)


def _meets_rule(case: GiftCase, cost_fen: int) -> bool:
    if case.standing is None:
        return False
    figures, total_fen = case.figures.flow, case.standing.goods_total_fen
    if case.kind == "free_shipping":
        return meets_free_shipping_rule(goods_total_fen=total_fen, min_fen=figures.free_shipping_min_fen)
    return meets_gift_rule(
        goods_total_fen=total_fen,
        cost_fen=cost_fen,
        order_min_fen=figures.gift_order_min_fen,
        cost_max_percent=figures.gift_cost_max_percent,
    )


# --- what a case remembers of its moves ---


def remember(moved: Move[GiftCase], attempt: Attempt[GiftCase]) -> None:
    """Another gift and its cost; whether finance has approved."""
    case, message = attempt.case, attempt.message
    if isinstance(message, NamedGift) and message.gift_sku is not None:
        case.gift_sku, case.quantity = message.gift_sku, message.quantity
        case.amount_fen = case.amount_fen if case.named_cost_fen is None else case.named_cost_fen
    if moved.trigger == "approve" and moved.source == "awaiting_finance":
        case.finance_approved = True
    if moved.trigger == "find_out_of_stock":
        # what was approved cannot be given: whatever comes in its place is decided on anew
        case.finance_approved = False


def _credited(_: Move[GiftCase], attempt: Attempt[GiftCase]) -> int:
    """The postage that was promised, and no more."""
    return attempt.case.amount_fen


# --- the table ---

PROMISED = ("awaiting_audit", "audit_late")
"""The waits in which it is in the memo, and its cost reserved in the budget."""
OPEN = ("negotiating", "awaiting_supervisor", "awaiting_finance", *PROMISED)

GIFT_APPROVAL: Flow[GiftCase] = Flow(
    name="gift-approval",
    workflow="GiftApproval",
    label=Label("赠品/包邮审批", "gift approval"),
    case_type=GiftCase,
    start_type=GiftStart,
    figures_type=GiftFigures,
    opened_by=(AGENT, SUPERVISOR),
    remember=remember,
    states=[
        work("checking", "核对订单", "checking the order"),
        wait(
            "negotiating",
            "与买家协商",
            "negotiating with the buyer",
            deadline=Deadline("negotiation_over", "negotiation"),
            expects=(AGENT,),
        ),
        wait(
            "awaiting_supervisor",
            "待主管审批",
            "awaiting the supervisor",
            deadline=Deadline("supervisor_silent", "supervisor"),
            expects=(SUPERVISOR,),
        ),
        wait(
            "awaiting_finance",
            "待财务审批",
            "awaiting finance",
            deadline=Deadline("finance_silent", "finance"),
            expects=(FINANCE,),
        ),
        work("writing_memo", "写备注并占用预算", "writing the memo"),
        wait(
            "awaiting_audit",
            "待审单",
            "awaiting the audit",
            deadline=Deadline("audit_overdue", "audit"),
            expects=(AUDITOR,),
        ),
        wait(
            "audit_late",
            "审单逾期",
            "audit late",
            deadline=Deadline("audit_unanswered"),
            expects=(AUDITOR, SUPERVISOR),
        ),
        work("crediting", "退邮费中", "crediting the postage", pays_up_to=_credited),
        repairing_state(),
        wait(
            "telling_buyer",
            "向买家说明",
            "telling the buyer",
            deadline=Deadline("telling_over", "telling"),
            expects=(AGENT,),
        ),
        *cancelling_states(),
        end("granted", "已给予", "granted", money=Money.EITHER),
        end("declined", "未给予", "declined"),
        end("sale_lost", "买家离开", "sale lost"),
        end("revoked", "已作废", "revoked", money=Money.EITHER),
        end("not_applicable", "不适用", "not applicable"),
    ],
    triggers=[
        outcome("check", "核对", "check"),
        decision("buyer_lets_go", "买家不再要求", "buyer lets go", speaks_for_buyer=True),
        decision("buyer_insists", "买家坚持", "buyer insists", NamedGift, speaks_for_buyer=True),
        clock("negotiation_over", "协商期满", "negotiation over"),
        approval(),
        decision("reject", "驳回", "reject", MessageWithReason, four_eyes=True),
        clock("supervisor_silent", "主管未审批", "supervisor silent"),
        clock("finance_silent", "财务未审批", "finance silent"),
        outcome("write_memo", "写备注", "write the memo"),
        decision("add_gift", "已加到订单", "add the gift"),
        decision("find_out_of_stock", "发现缺货", "find out of stock"),
        clock("audit_overdue", "审单超时", "audit overdue"),
        clock("audit_unanswered", "审单无人处理", "audit unanswered"),
        *payment_triggers(),
        news_from_shop("order_gone", "订单已变", "order gone"),
        decision("buyer_understands", "买家理解", "buyer understands", speaks_for_buyer=True),
        decision("buyer_leaves", "买家离开", "buyer leaves", speaks_for_buyer=True),
        clock("telling_over", "说明期满", "telling over"),
        *cancelling_triggers(),
    ],
    moves=[
        move("check", "checking", "not_applicable", SYSTEM, not_applicable),
        move("check", "checking", "writing_memo", SYSTEM, rule_met),
        move("check", "checking", "negotiating", SYSTEM),
        move("buyer_lets_go", "negotiating", "declined", AGENT),
        move("buyer_insists", "negotiating", "writing_memo", AGENT, names_gift_that_meets_rule),
        move("buyer_insists", "negotiating", "awaiting_supervisor", AGENT),
        move("negotiation_over", "negotiating", "declined", CLOCK),
        move(
            "approve",
            "awaiting_supervisor",
            "writing_memo",
            SUPERVISOR,
            (within_supervisor_limit, within_budget),
        ),
        move("approve", "awaiting_supervisor", "awaiting_finance", SUPERVISOR),
        move("reject", "awaiting_supervisor", "telling_buyer", SUPERVISOR),
        move("supervisor_silent", "awaiting_supervisor", "awaiting_finance", CLOCK),
        move("approve", "awaiting_finance", "writing_memo", FINANCE),
        move("reject", "awaiting_finance", "telling_buyer", FINANCE),
        move("finance_silent", "awaiting_finance", "telling_buyer", CLOCK),
        move("write_memo", "writing_memo", "revoked", SYSTEM, order_closed),
        move("write_memo", "writing_memo", "telling_buyer", SYSTEM, order_shipped),
        move("write_memo", "writing_memo", "awaiting_finance", SYSTEM, budget_used_up),
        move("write_memo", "writing_memo", "awaiting_audit", SYSTEM),
        move("add_gift", PROMISED, "crediting", AUDITOR, postage_is_paid),
        move("add_gift", PROMISED, "granted", AUDITOR),
        move("find_out_of_stock", PROMISED, "negotiating", AUDITOR),
        move("audit_overdue", "awaiting_audit", "audit_late", CLOCK),
        move("add_gift", "audit_late", "crediting", SUPERVISOR, postage_is_paid),
        move("add_gift", "audit_late", "granted", SUPERVISOR),
        move("audit_unanswered", "audit_late", "audit_late", CLOCK),
        *payment_moves("crediting", "granted"),
        move("order_gone", OPEN, "revoked", (SYSTEM, Role.WAREHOUSE), order_closed),
        move("order_gone", OPEN, "telling_buyer", (SYSTEM, Role.WAREHOUSE), order_shipped),
        # Not in the specification's table: the buyer has the postage back with the whole order. Without this row the
        # refund clerk would be asked every day for a payment that is no longer due, and free shipping would count as
        # granted. Where goods were refunded that had shipped, the postage is still owed.
        move("order_gone", "repairing_payment", "revoked", (SYSTEM, Role.WAREHOUSE), no_postage_due),
        move("buyer_understands", "telling_buyer", "declined", AGENT),
        move("buyer_leaves", "telling_buyer", "sale_lost", AGENT),
        move("telling_over", "telling_buyer", "declined", CLOCK),
        *cancelling_moves(
            ["checking", *OPEN, "writing_memo", "crediting", "repairing_payment", "telling_buyer"],
            (SUPERVISOR,),
        ),
    ],
)
