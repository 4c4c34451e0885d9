"""What a refund before shipping says."""

from __future__ import annotations

from state_machines.roles import Label

BUYER: dict[str, Label] = {
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
    "converted_in_part": Label(
        "您好,订单 {order_id} 有一部分已发出且未能拦回,请收到后为您办理退货退款;其余未发货的部分继续为您办理退款。",
        "A part of order {order_id} has left and could not be stopped: it goes on as a return. The refund of the rest, "
        "which has not left, goes on as it was.",
    ),
    "converted_lost": Label(
        "您好,订单 {order_id} 的包裹已拦截退回,但至今未送达我方;您的退款将转为退货退款继续办理,无需您寄回商品。",
        "The parcel of order {order_id} was stopped and sent back to us, but has not arrived. Your refund goes on as a "
        "return, for which you have nothing to send back.",
    ),
    "converted_lost_in_part": Label(
        "您好,订单 {order_id} 已发出的部分已拦截退回,但至今未送达我方:该部分转为退货退款继续办理,无需您寄回商品;"
        "其余部分继续为您办理退款。",
        "A part of order {order_id} had left, was stopped and sent back to us, but has not arrived: it goes on as a "
        "return, for which you have nothing to send back. The refund of the rest goes on as it was.",
    ),
    "converted_back": Label(
        "您好,订单 {order_id} 的包裹已退回我方;您的退款将转为退货退款继续办理,无需您寄回商品。",
        "The parcel of order {order_id} has come back to us. Your refund goes on as a return, for which you have "
        "nothing to send back.",
    ),
    "converted_back_in_part": Label(
        "您好,订单 {order_id} 已发出的部分已退回我方:该部分转为退货退款继续办理,无需您寄回商品;"
        "其余部分继续为您办理退款。",
        "A part of order {order_id} had left and has come back to us: it goes on as a return, for which you have "
        "nothing to send back. The refund of the rest goes on as it was.",
    ),
    "cancelled": Label(
        "您好,订单 {order_id} 的退款申请已关闭,订单按原样处理。",
        "The refund request for order {order_id} has been closed; the order goes on as it was.",
    ),
    "refund_not_applicable": Label(
        "您好,订单 {order_id} 目前没有可办理的退款。如有疑问请联系客服。",
        "There is nothing to refund for order {order_id} at the moment; please ask us if in doubt.",
    ),
}
"""To the buyer, in the order of a case's life."""

STAFF: dict[str, Label] = {
    "ask_warehouse": Label(
        "订单 {order_id} 要退款:请核实是否已出库。",
        "Order {order_id} is to be refunded: has it left the warehouse?",
    ),
    "take_parcel_in": Label(
        "订单 {order_id} 已退款,被拦截的包裹仍在退回途中:收到后请入库。",
        "Order {order_id} is refunded and its stopped parcel is still on its way back: take it into stock.",
    ),
    "let_parcel_go": Label(
        "订单 {order_id} 的买家撤回退款:请通知快递继续派送被拦截的包裹。",
        "The buyer of order {order_id} withdrew the refund: tell the courier to deliver the stopped parcel.",
    ),
    "stopped_parcel_is_here": Label(
        "订单 {order_id} 被拦截的商品行 {lines} 已由另一工单收下,请告知仍在等待的退款工单:"
        "casework submit {case_id} parcel_back --set waybill={waybill}",
        "Another case has taken in lines {lines} of order {order_id}, which were stopped. Tell the refund that waits "
        "for them: casework submit {case_id} parcel_back --set waybill={waybill}",
    ),
    "open_return_by_hand": Label(
        "订单 {order_id} 已发出且未拦回:请为同一商品行人工开立退货({cause},{postage},货物 {goods})。",
        "Order {order_id} has left and was not stopped: open a return of the same lines by hand "
        "({cause}, {postage}, goods {goods}).",
    ),
}

ENDINGS: dict[str, str | None] = {
    # what was paid, by whom, and where the parcel goes: told by the steps that settle and restore
    "refunded": None,
    "kept": None,
    "converted": None,
    "cancelled": None,
    "not_applicable": "refund_not_applicable",
}
"""By ending, what the buyer is told then; None: the steps before it have said it."""
