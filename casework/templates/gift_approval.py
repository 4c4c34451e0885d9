"""What a gift approval says."""

from __future__ import annotations

from state_machines.roles import Label

BUYER: dict[str, Label] = {
    "gift.granted": Label(
        "您好,订单 {order_id} 的{what_zh}已为您办好{how_zh}。",
        "Your {what_en} for order {order_id} is granted{how_en}.",
    ),
    "gift.declined": Label(
        "您好,订单 {order_id} 这次未能为您提供{what_zh},感谢您的理解。",
        "We could not offer you {what_en} for order {order_id} this time; thank you for understanding.",
    ),
    "gift.sale_lost": Label(
        "您好,订单 {order_id} 这次未能为您提供{what_zh},很抱歉没能让您满意,期待下次为您服务。",
        "We could not offer you {what_en} for order {order_id}; we are sorry, and hope to serve you another time.",
    ),
    "gift.revoked": Label(
        "您好,订单 {order_id} 已关闭,{what_zh}随之取消。",
        "Order {order_id} is closed, so its {what_en} is no longer given.",
    ),
    "gift.not_applicable": Label(
        "您好,订单 {order_id} 目前无法办理{what_zh}。如有疑问请联系客服。",
        "There is no way to add {what_en} to order {order_id} now; please ask us if in doubt.",
    ),
    "gift.cancelled": Label(
        "您好,订单 {order_id} 的{what_zh}申请已关闭,订单按原样处理。",
        "The request for {what_en} with order {order_id} has been closed; the order goes on as it was.",
    ),
}
"""To the buyer, in the order of a case's life."""

STAFF: dict[str, Label] = {
    "gift.add_to_order": Label(
        "订单 {order_id}:请把{what_zh}加到订单上;缺货请选择 find_out_of_stock。",
        "Order {order_id}: add {what_en} to it; where there is none left, say find_out_of_stock.",
    ),
    "gift.out_of_stock": Label(
        "订单 {order_id} 的{what_zh}缺货:请与买家协商,可另选赠品。",
        "The {what_en} of order {order_id} is out of stock: talk to the buyer; another gift may be named.",
    ),
}

ENDINGS: dict[str, str | None] = {
    "granted": "gift.granted",
    "declined": "gift.declined",
    "sale_lost": "gift.sale_lost",
    "revoked": "gift.revoked",
    "not_applicable": "gift.not_applicable",
    "cancelled": "gift.cancelled",
}
"""By ending, what the buyer is told then."""
