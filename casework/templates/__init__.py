"""What is said to buyers and staff, in Chinese and English. Pure; parameters hold no personal data.

Each flow has its module: `BUYER` and `STAFF` messages by name, and `ENDINGS`, what the buyer is told at which end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, Field, field_validator

from casework.money import format_yuan
from casework.templates import bulk_order, gift_approval, problem_parcel, refund_before_shipping, return_after_shipping
from state_machines.roles import Label, Role

_SHARED: dict[str, Label] = {
    "asked_to_act": Label(
        "工单 {case_id} 待处理:{state_zh},金额 {amount} 元,截止 {due}。",
        "Case {case_id} waits for you: {state_en}, {amount} yuan, until {due}.",
    ),
    "reminder": Label(
        "提醒:工单 {case_id} 仍在等待:{state_zh},截止 {due}。",
        "Reminder: case {case_id} is still waiting: {state_en}, until {due}.",
    ),
    "alarm": Label(
        "告警:工单 {case_id} 逾期未处理:{state_zh}。",
        "Alarm: case {case_id} is overdue: {state_en}.",
    ),
    "question": Label(
        "{by} 询问工单 {case_id}:{text}(请用 answer 答复)",
        "{by} asks about case {case_id}: {text} (reply with answer)",
    ),
    "answer": Label(
        "{by} 答复了工单 {case_id}:{text}",
        "{by} answers about case {case_id}: {text}",
    ),
    "reassigned": Label(
        "{by} 将工单 {case_id} 转交给您:{state_zh},金额 {amount} 元,截止 {due}。",
        "{by} has given you case {case_id}: {state_en}, {amount} yuan, until {due}.",
    ),
    "ship_again": Label(
        "订单 {order_id} 退回的商品行 {lines} 请重新发货。",
        "Lines {lines} of order {order_id} came back and are to be shipped again.",
    ),
    "ship_again_after_review": Label(
        "订单 {order_id} 退回的商品行 {lines} 请在工单 {case_id} 审核放行后再重新发货。",
        "Lines {lines} of order {order_id} came back and are to be shipped again, but not before case {case_id}, which "
        "reviews the order, lets it ship.",
    ),
    "open_by_hand": Label(
        "订单 {order_id} 需要人工开立 {flow} 工单:{why}。",
        "Open a {flow} for order {order_id} by hand: {why}.",
    ),
    "paid_without_end": Label(
        "工单 {case_id}(订单 {order_id})在退款 {amount} 元之后被中断:请人工核对货物、库存,并告知买家。",
        "Case {case_id} of order {order_id} was broken off after {amount} yuan had gone back: see to the goods and the "
        "stock by hand, and tell the buyer.",
    ),
}
"""What every flow says to the staff."""
CALLS_TO_ACT = ("asked_to_act", "reminder", "alarm")
"""Templates of tasks that only call somebody to a waiting case: with its end they are not needed any more."""

_FLOWS = {
    "refund-before-shipping": refund_before_shipping,
    "return-after-shipping": return_after_shipping,
    "gift-approval": gift_approval,
    "bulk-order": bulk_order,
    "problem-parcel": problem_parcel,
}

BUYER_MESSAGES: Mapping[str, Mapping[str, Label]] = {name: flow.BUYER for name, flow in _FLOWS.items()}
"""By flow, what goes to the buyer, in the order of a case's life."""
ENDINGS: Mapping[str, Mapping[str, str | None]] = {name: flow.ENDINGS for name, flow in _FLOWS.items()}
"""By flow and ending, the message at the end; None: the flow's own steps have said it before."""
TEMPLATES: dict[str, Label] = {
    **_SHARED,
    **{name: text for flow in _FLOWS.values() for name, text in {**flow.BUYER, **flow.STAFF}.items()},
}


class Post(BaseModel):
    """One message for the outbox: to the buyer of the case's order, to a role of the staff, or to one of them."""

    purpose: str
    """With the case it makes the key: a purpose is posted once in a case."""
    template: str
    to: Literal["buyer", "staff"]
    role: Role | None = None
    person: str | None = None
    """A staff id, where it is for one person and not for a role."""
    parameters: dict[str, str] = Field(default_factory=dict[str, str])

    @field_validator("template")
    @classmethod
    def _exists(cls, template: str) -> str:
        # a step on the shop that finds none would be tried again for ever
        if template not in TEMPLATES:
            raise ValueError(f"there is no template {template}")
        return template

    @property
    def recipient(self) -> str | None:
        """The role or the staff id that it is for; None: the buyer."""
        return self.role or self.person

    def again(self, mark: object) -> Post:
        """The same message, to go out once more for what the mark stands for."""
        return self.model_copy(update={"purpose": f"{self.purpose}.{mark}"})

    def text(self) -> Label:
        """The message in both languages."""
        template = TEMPLATES[self.template]
        return Label(template.zh.format(**self.parameters), template.en.format(**self.parameters))


def yuan(fen: int) -> str:
    """An amount in fen as people read it in messages."""
    return format_yuan(fen)
