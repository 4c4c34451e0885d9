"""What is said to buyers and staff, in Chinese and English. Pure; parameters hold no personal data."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from casework.money import format_yuan
from state_machines.roles import Label, Role

TEMPLATES: dict[str, Label] = {
    # to the buyer
    "refund_requested": Label(
        "您好,订单 {order_id} 的退款申请已收到,我们会尽快为您处理。",
        "We have received your refund request for order {order_id} and are looking into it.",
    ),
    "refunded": Label(
        "您好,订单 {order_id} 的退款 {amount} 元已退回原支付账户,请注意查收。",
        "Your refund of {amount} yuan for order {order_id} has been returned to your payment account.",
    ),
    "kept": Label(
        "您好,订单 {order_id} 已按您的意思保留,我们会尽快为您发货。",
        "Your order {order_id} stays as it was and will be shipped soon.",
    ),
    "kept_on_its_way": Label(
        "您好,订单 {order_id} 已按您的意思保留,包裹会继续为您派送。",
        "Your order {order_id} stays as it was; its parcel goes on to you.",
    ),
    "refunded_by_platform": Label(
        "您好,订单 {order_id} 的退款已由平台退回原支付账户,请注意查收。",
        "The platform has returned your refund for order {order_id} to your payment account.",
    ),
    "converted": Label(
        "您好,订单 {order_id} 的包裹未能拦回,请收到后为您办理退货退款。",
        "The parcel of order {order_id} could not be stopped; your refund goes on as a return.",
    ),
    "cancelled": Label(
        "您好,订单 {order_id} 的退款申请已关闭,订单按原样处理。",
        "The refund request for order {order_id} has been closed; the order goes on as it was.",
    ),
    # to the staff
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
    "ask_warehouse": Label(
        "订单 {order_id} 要退款:请核实是否已出库。",
        "Order {order_id} is to be refunded: has it left the warehouse?",
    ),
    "open_return_by_hand": Label(
        "订单 {order_id} 已发出且未拦回:请为同一商品行人工开立退货({cause},{postage},货物 {goods})。",
        "Order {order_id} has left and was not stopped: open a return of the same lines by hand "
        "({cause}, {postage}, goods {goods}).",
    ),
    "take_parcel_in": Label(
        "订单 {order_id} 已退款,被拦截的包裹仍在退回途中:收到后请入库。",
        "Order {order_id} is refunded and its stopped parcel is still on its way back: take it into stock.",
    ),
    "let_parcel_go": Label(
        "订单 {order_id} 的买家撤回退款:请通知快递继续派送被拦截的包裹。",
        "The buyer of order {order_id} withdrew the refund: tell the courier to deliver the stopped parcel.",
    ),
}


class Post(BaseModel):
    """One message for the outbox: to the buyer of the case's order, or to a role of the staff."""

    purpose: str
    """With the case it makes the key: a purpose is posted once in a case."""
    template: str
    to: Literal["buyer", "staff"]
    role: Role | None = None
    parameters: dict[str, str] = Field(default_factory=dict[str, str])

    def text(self) -> Label:
        """The message in both languages."""
        template = TEMPLATES[self.template]
        return Label(template.zh.format(**self.parameters), template.en.format(**self.parameters))


def yuan(fen: int) -> str:
    """An amount in fen as people read it in messages."""
    return format_yuan(fen)
