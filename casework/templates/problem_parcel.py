"""What a problem parcel says."""

from __future__ import annotations

from state_machines.roles import Label

BUYER: dict[str, Label] = {
    "parcel.not_applicable": Label(
        "您好,订单 {order_id} 的运单 {waybill} 目前无需查件(查无此件或已办结)。如有疑问请联系客服。",
        "There is nothing to look into for parcel {waybill} of order {order_id}; please ask us if in doubt.",
    ),
    "parcel.reassured": Label(
        "您好,订单 {order_id} 的包裹 {waybill} 运输正常,正在送往您处的途中,请耐心等待。",
        "Parcel {waybill} of order {order_id} is on its way to you as it should be.",
    ),
    "parcel.choose": Label(
        "您好,订单 {order_id} 的包裹 {waybill} 暂时无法派送({why_zh})。您可以选择:到上级网点自提、转寄 EMS、"
        "更正地址后重派、补发或退款。请告诉我们您的选择。",
        "Parcel {waybill} of order {order_id} cannot be delivered at the moment ({why_en}). You may fetch it at the "
        "next station, have it forwarded by EMS, have it delivered to a corrected address, have the goods sent again, "
        "or have your money back. Please tell us what you prefer.",
    ),
    "parcel.choose_reminder": Label(
        "您好,订单 {order_id} 的包裹仍在等待您的选择;如未收到答复,包裹将保留在网点供您自提。",
        "We are still waiting for your choice about the parcel of order {order_id}; without it, the parcel stays at "
        "the station for you to fetch.",
    ),
    "parcel.pickup": Label(
        "您好,订单 {order_id} 的包裹 {waybill} 已为您保留在{station_zh},请尽快自提。",
        "Parcel {waybill} of order {order_id} is kept for you at {station_en}; please fetch it soon.",
    ),
    "parcel.pickup_reminder": Label(
        "您好,订单 {order_id} 的包裹仍在网点等待自提,逾期将退回。",
        "The parcel of order {order_id} is still waiting to be fetched; it will be sent back if it is not.",
    ),
    "parcel.forwarding": Label(
        "您好,已按您的选择请快递转寄订单 {order_id} 的包裹 {waybill},新单号会尽快告知。",
        "As you chose, parcel {waybill} of order {order_id} is being forwarded; we will tell you the new waybill.",
    ),
    "parcel.forwarded": Label(
        "您好,订单 {order_id} 的包裹已转寄,新单号 {waybill}({courier})。",
        "The parcel of order {order_id} was forwarded; its new waybill is {waybill} ({courier}).",
    ),
    "parcel.redelivering": Label(
        "您好,已将更正后的地址告知快递,订单 {order_id} 的包裹 {waybill} 将重新派送。",
        "The courier has the corrected address and will deliver parcel {waybill} of order {order_id} once more.",
    ),
    "parcel.lost": Label(
        "您好,订单 {order_id} 的包裹 {waybill} 未能送达,非常抱歉。我们会为您补发或退款,请告诉我们您的选择。",
        "We are sorry: parcel {waybill} of order {order_id} did not reach you. We will send the goods again or give "
        "your money back; please tell us which.",
    ),
    "parcel.sending_again": Label(
        "您好,订单 {order_id} 正在为您补发,发出后会告知新单号。",
        "The goods of order {order_id} are being sent again; we will tell you the new waybill.",
    ),
    "parcel.sent_again": Label(
        "您好,订单 {order_id} 已补发,新单号 {waybill}({courier})。",
        "The goods of order {order_id} were sent again under waybill {waybill} ({courier}).",
    ),
    "parcel.received": Label(
        "您好,订单 {order_id} 的包裹 {waybill} 显示已签收,请确认是否收到;如未收到请告诉我们。",
        "Parcel {waybill} of order {order_id} is shown as signed for. Do you have it? Please tell us.",
    ),
    "parcel.left_with_agent": Label(
        "您好,订单 {order_id} 的包裹 {waybill} 由他人代收或已放入驿站、快递柜,请查收并确认是否收到。",
        "Parcel {waybill} of order {order_id} was left with somebody else, at a station or in a locker. Please look "
        "for it and confirm that you have it.",
    ),
    "parcel.proof": Label(
        "您好,快递提供了订单 {order_id} 的包裹 {waybill} 的签收凭证({proof}),请再次确认是否收到。",
        "The courier has shown how parcel {waybill} of order {order_id} was delivered ({proof}). Please look once more "
        "and confirm that you have it.",
    ),
    "parcel.received_reminder": Label(
        "您好,请确认是否已收到订单 {order_id} 的包裹;如未收到请告诉我们。",
        "Please confirm that you have the parcel of order {order_id}, or tell us if not.",
    ),
    "parcel.delivered": Label(
        "您好,订单 {order_id} 的包裹 {waybill} 已送达,本次查件结束。感谢您的耐心,如有问题请随时联系客服。",
        "Parcel {waybill} of order {order_id} has arrived and we have closed the inquiry. Thank you for your patience.",
    ),
    "parcel.closed": Label(
        "您好,订单 {order_id} 已退款或关闭,包裹 {waybill} 的查件结束{refuse_zh}",
        "Order {order_id} is refunded or closed, so the inquiry about parcel {waybill} has ended{refuse_en}",
    ),
    "parcel.loss_reported": Label(
        "您好,订单 {order_id} 的退货包裹 {waybill} 的查件已结束{then_zh}",
        "The inquiry about your return parcel {waybill} of order {order_id} has ended{then_en}",
    ),
    "parcel.refund_opened": Label(
        "您好,订单 {order_id} 的包裹 {waybill} 的查件已结束{then_zh}",
        "The inquiry about parcel {waybill} of order {order_id} has ended{then_en}",
    ),
    "parcel.cancelled": Label(
        "您好,订单 {order_id} 的包裹 {waybill} 的查件已关闭,如有问题请联系客服。",
        "The inquiry about parcel {waybill} of order {order_id} has been closed; please ask us if in doubt.",
    ),
}
"""To the buyer, in the order of a case's life."""

STAFF: dict[str, Label] = {
    "parcel.investigate": Label(
        "{urgent_zh}运单 {waybill}({courier})需向快递查件:{why}。截止 {due}。",
        "{urgent_en}Ask the courier about parcel {waybill} ({courier}): {why}. Until {due}.",
    ),
    "parcel.send_again": Label(
        "订单 {order_id} 的商品行 {lines} 请补发,发出后登记新单号。",
        "Send lines {lines} of order {order_id} again, and report the new waybill.",
    ),
    "parcel.send_less": Label(
        "订单 {order_id} 的补发有变:现在只补发商品行 {lines},发出后登记新单号。",
        "What is to be sent again of order {order_id} has changed: send just lines {lines} now, and report the new "
        "waybill.",
    ),
    "parcel.send_nothing": Label(
        "订单 {order_id} 的包裹 {waybill} 待补发的商品均已退款,无需补发:请撤销查件工单;其余商品如仍需补偿,"
        "请由仓库登记缺货,工单将为其转退款。",
        "All that was to be sent again of parcel {waybill} of order {order_id} is refunded, and nothing is to be sent: "
        "call the case off. Where other goods of the parcel are still to be made good, have the warehouse find it out "
        "of stock: the case then opens their refund.",
    ),
    "parcel.rest_with_others": Label(
        "订单 {order_id} 的包裹 {waybill} 正在补发,但以下商品行由其他未结工单处理,不补发:{lines}。"
        "请在其结束后核对,仍未退款的请补发或退款。",
        "The goods of parcel {waybill} of order {order_id} are sent again, but not these lines, which other open cases "
        "have: {lines}. When they have ended, see that what they leave unpaid is sent again or refunded.",
    ),
    "parcel.stop_reshipment": Label(
        "订单 {order_id} 的买家已收到货,补发件 {waybill} 仍在途:请联系快递拦回。",
        "The buyer of order {order_id} has the goods, and reshipment {waybill} is still on its way: have it stopped.",
    ),
    "parcel.recover": Label(
        "订单 {order_id} 已退款或关闭,包裹 {waybill} 仍在途:请联系快递追回。",
        "Order {order_id} is refunded or closed and parcel {waybill} is still on its way: have it brought back.",
    ),
    "parcel.not_redelivered": Label(
        "快递不接受运单 {waybill} 的{what_zh}请求:请人工联系。",
        "The courier does not take the request to {what_en} parcel {waybill}: call them.",
    ),
    "parcel.refund_with_others": Label(
        "订单 {order_id} 的包裹 {waybill} 应退款,但以下商品行由其他未结工单处理:{lines}。"
        "请在其结束后核对,仍未退款的请安排退款。",
        "Parcel {waybill} of order {order_id} is to be refunded, but other open cases have these lines: {lines}. When "
        "they have ended, see that what they leave unpaid is refunded.",
    ),
    "parcel.goods_are_here": Label(
        "订单 {order_id} 的买家表示已收到商品,而其中未送达的商品({lines})已退回我方:请再次询问买家。要退款的,"
        "为其开立退货并收货;仍要商品的,开立退货后登记买家撤回,商品即再次发出。",
        "The buyer of order {order_id} says that he has the goods, but some of them ({lines}) lie here: they came back "
        "to us undelivered. Ask him once more. For the money, open a return and take them in; for the goods, open one "
        "and have it withdrawn, and they ship.",
    ),
    "parcel.returns_called_off": Label(
        "订单 {order_id} 的包裹 {waybill} 不会送达买家,买家无货可退:退货工单 {returns} 已撤销,退款由查件工单另行办理。",
        "Parcel {waybill} of order {order_id} will not reach the buyer, who has nothing to send back: {returns} is "
        "called off, and the case of the parcel sees to the refund.",
    ),
    "parcel.way_back_arrived": Label(
        "订单 {order_id} 的退货包裹 {waybill} 显示已在我方签收:请查找并收货。",
        "Return parcel {waybill} of order {order_id} is shown as signed for at our address: find it and receive it.",
    ),
    "parcel.way_back_lost": Label(
        "订单 {order_id} 的退货包裹 {waybill} 查无下落:请在退货工单中决定。",
        "Return parcel {waybill} of order {order_id} cannot be found: decide in the return.",
    ),
    "parcel.way_back_here": Label(
        "订单 {order_id} 的退货包裹 {waybill} 已在我方:请在退货工单中收货。",
        "Return parcel {waybill} of order {order_id} is with us: receive it in the return.",
    ),
    "parcel.way_back_lost_too_late": Label(
        "订单 {order_id} 的退货包裹 {waybill} 查无下落,而退货工单 {return_case} 已结束:请决定如何答复和补偿买家。",
        "Return parcel {waybill} of order {order_id} cannot be found, and its return {return_case} has ended: decide "
        "what the buyer is told and given.",
    ),
    "parcel.way_back_here_too_late": Label(
        "订单 {order_id} 的退货包裹 {waybill} 已在我方,而退货工单 {return_case} 已结束:未退款的请寄回买家。",
        "Return parcel {waybill} of order {order_id} is with us, and its return {return_case} has ended: send back to "
        "the buyer what is not refunded.",
    ),
    "parcel.way_back_arrived_too_late": Label(
        "订单 {order_id} 的退货包裹 {waybill} 显示已在我方签收,而退货工单 {return_case} 已结束:"
        "请查找,未退款的请寄回买家。",
        "Return parcel {waybill} of order {order_id} is shown as signed for at our address, and its return "
        "{return_case} has ended: find it, and send back to the buyer what is not refunded.",
    ),
}

ENDINGS: dict[str, str | None] = {
    "not_applicable": "parcel.not_applicable",
    "reassured": "parcel.reassured",
    "delivered": "parcel.delivered",
    "closed": "parcel.closed",
    "loss_reported": "parcel.loss_reported",
    "refund_opened": "parcel.refund_opened",
    "cancelled": "parcel.cancelled",
}

REFUSE_IT = Label(";如包裹送到请拒收。", "; please refuse the parcel if it is brought to you.")
"""At the end of a case of an order that is over, where the parcel is still on its way to the buyer."""
RETURN_GOES_ON = Label(",结果会在您的退货申请中处理。", "; your return goes on with it.")
RETURN_OVER = Label(
    ";您的退货申请此前已结束,如有疑问请联系客服。",
    "; your return had been closed before, so please ask us if in doubt.",
)
"""At the end of a case of a parcel that a return awaits, or awaited."""
REFUND_UNDER_WAY = Label(
    ";已为您转入退款处理,无需您寄回商品。", "; a refund is under way, and nothing needs to be sent back."
)
MONEY_SEEN_TO = Label(
    ";相关款项由客服跟进处理,如有疑问请联系客服。",
    "; our staff see to the money for it, so please ask us if in doubt.",
)
"""At the end of a case whose goods are paid for: by the return that it has opened, or, at least in part, by others."""
SEEN_TO_ALREADY = Label(
    ";其商品已另行退款或重新发货,如有疑问请联系客服。",
    "; its goods are refunded, or are sent to you another way, so please ask us if in doubt.",
)
"""At the end of a case of whose goods nothing is left to be made good: what came back may ship as any other order."""
ONLY_TO_A_RECEIVER = frozenset(
    {"parcel.choose", "parcel.choose_reminder", "parcel.pickup", "parcel.pickup_reminder", "parcel.redelivering"}
)
"""What a buyer hears only of a parcel that goes to them: who sent one to us fetches and chooses nothing."""

UNDELIVERABLE: dict[str, Label] = {
    "station_withdrawn": Label("派送网点已撤销", "the station was withdrawn"),
    "out_of_area": Label("超出派送范围", "out of the delivery area"),
    "wrong_address": Label("地址有误", "the address is wrong"),
    "unreachable": Label("联系不上收件人", "the receiver cannot be reached"),
}
"""By the courier's finding, why a parcel cannot be delivered as it is."""
