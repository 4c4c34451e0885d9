"""What a bulk order says. Of a legal review and what it finds, the buyer hears nothing."""

from __future__ import annotations

from state_machines.roles import Label

BUYER: dict[str, Label] = {
    "bulk.list_price": Label(
        "您好,订单 {order_id} 暂无法提供优惠,可按原价为您安排发货。如按原价购买请回复客服。",
        "We cannot offer a discount on order {order_id}; it can ship at the list price. Please tell us if you agree.",
    ),
    "bulk.price_changed": Label(
        "您好,订单 {order_id} 的价格已改为 {amount} 元,请您付款。",
        "The price of order {order_id} has been changed to {amount} yuan; you can pay now.",
    ),
    "bulk.rebated": Label(
        "您好,订单 {order_id} 的优惠差价 {amount} 元已退回原支付账户,我们会尽快为您发货。",
        "Your discount of {amount} yuan on order {order_id} has been returned to your payment account; "
        "the order will ship soon.",
    ),
    "bulk.please_confirm": Label(
        "您好,订单 {order_id} 的商品收到了吗?如无问题请您确认收货。",
        "Has order {order_id} arrived? If all is well, please confirm the receipt.",
    ),
    "bulk.completed": Label(
        "您好,订单 {order_id} 已完成,感谢您的惠顾。",
        "Order {order_id} is completed. Thank you.",
    ),
    "bulk.declined": Label(
        "您好,订单 {order_id} 未能成交,欢迎您以后再来选购。",
        "Order {order_id} has not come about; you are always welcome again.",
    ),
    "bulk.refund_opened": Label(
        "您好,订单 {order_id} 按您的意思不再购买,我们正为您办理退款。",
        "As you wish, order {order_id} does not go on; your refund is under way.",
    ),
    "bulk.terminated": Label(
        "您好,订单 {order_id} 无法继续为您安排,交易到此结束;如已付款,款项将退回原支付账户。",
        "Order {order_id} cannot go on and ends here; whatever was paid is returned to your payment account.",
    ),
    "bulk.closed_refunded": Label(
        "您好,订单 {order_id} 已关闭,如有付款已退回原支付账户。",
        "Order {order_id} is closed; whatever was paid has been returned to your payment account.",
    ),
    "bulk.not_applicable": Label(
        "您好,订单 {order_id} 按现有状态处理,无需另行安排。如有疑问请联系客服。",
        "Order {order_id} stays as it is and needs nothing more; please ask us if in doubt.",
    ),
    "bulk.cancelled": Label(
        "您好,订单 {order_id} 按原样处理。",
        "Order {order_id} goes on as it was.",
    ),
}
"""To the buyer, in the order of a case's life."""

STAFF: dict[str, Label] = {
    "bulk.compile": Label(
        "订单 {order_id} 为大宗订单(共 {pieces} 件,{amount} 元,{size_zh}):请整理材料提交法务审核,截止 {due}。"
        "风险提示(仅供参考):{signs}。",
        "Order {order_id} ({pieces} pieces, {amount} yuan) {size_en}: hand its dossier to the legal review until "
        "{due}. Risk signs, as advice: {signs}.",
    ),
    "bulk.review": Label(
        "工单 {case_id} 待法务审核,金额 {amount} 元,截止 {due}。{dossier_zh};账号注册 {registered_on},"
        "以往订单 {purchases};资料 {documents};风险提示(仅供参考):{signs}。",
        "Case {case_id} waits for the legal review, {amount} yuan, until {due}. The dossier is {dossier_en}; account "
        "registered {registered_on}, earlier orders {purchases}; documents {documents}. Risk signs, as advice: "
        "{signs}.",
    ),
    "bulk.judge_price": Label(
        "工单 {case_id} 待定价:买家要求优惠 {percent}%,金额 {amount} 元,截止 {due}。",
        "Case {case_id} waits for a price: the buyer asks for {percent} percent off {amount} yuan, until {due}.",
    ),
    "bulk.change_amount": Label(
        "工单 {case_id} 待改价:订单 {order_id} 批准价(含邮费){price} 元,截止 {due}。",
        "Case {case_id}: change order {order_id} to the approved price with postage, {price} yuan, until {due}.",
    ),
    "bulk.repair_payment": Label(
        "工单 {case_id} 待处理付款失败:订单 {order_id} 应退差价 {rebate} 元。",
        "Case {case_id}: the rebate of {rebate} yuan on order {order_id} was refused; pay it again, or by hand.",
    ),
    "bulk.ship_alarm": Label(
        "告警:订单 {order_id} 应于 {ship_by} 前发货,仍被工单 {case_id} 拦下。",
        "Alarm: order {order_id} is to ship until {ship_by} and is still held by case {case_id}.",
    ),
    "bulk.goods_lie_here": Label(
        "订单 {order_id} 已认定为恶意订单而终止,而其退回的商品({lines})仍在我方,不再发出,也没有退款包含这些商品:"
        "请入库,并决定是否退款。",
        "Order {order_id} was ended as malicious, and goods of it that came back ({lines}) lie here: they ship no "
        "more, and no refund has them. Put them into stock, and decide whether they are paid.",
    ),
}

ENDINGS: dict[str, str | None] = {
    "completed": "bulk.completed",
    "declined": "bulk.declined",
    "refund_opened": "bulk.refund_opened",
    "terminated": "bulk.terminated",
    "closed_refunded": "bulk.closed_refunded",
    "not_applicable": "bulk.not_applicable",
    "cancelled": "bulk.cancelled",
}
"""By ending, what the buyer is told then."""
