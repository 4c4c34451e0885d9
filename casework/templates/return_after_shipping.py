"""What a return after shipping says."""

from __future__ import annotations

from casework.money import format_yuan
from casework.rules.returns import Evidence, Ground
from state_machines.roles import Label

GROUNDS: dict[Ground, Label] = {
    "deliberate_damage": Label("商品签收后因人为原因损坏", "the goods were damaged by hand after they were signed for"),
    "force_majeure": Label(
        "商品签收后因不可抗力损坏", "the goods were damaged by force majeure after they were signed for"
    ),
    "slight_colour_difference": Label("轻微色差不属于质量问题", "a slight difference of colour is no fault"),
    "opened": Label("包装已拆封且无法复原", "the package was opened and cannot be restored"),
    "too_late": Label("已超过退货期限", "the time for a return is over"),
}
"""Why the rules do not take a return back."""
EVIDENCE: dict[Evidence, Label] = {
    "photos": Label("照片", "photos"),
    "description": Label("问题描述", "a description"),
    "appraisal": Label("鉴定报告", "an appraisal"),
}
EXPLAINED = Label("详情请咨询客服", "our service agent explains why")
"""Where a person refused, whose words are not the buyer's to read."""

BUYER: dict[str, Label] = {
    "return.evidence_wanted": Label(
        "您好,订单 {order_id} 的退货申请已收到,请补充{missing_zh},以便核实。",
        "We have received your return request for order {order_id}; please send us {missing_en}.",
    ),
    "return.being_judged": Label(
        "您好,订单 {order_id} 的退货申请已收到,正在核实,请稍候。",
        "We have received your return request for order {order_id} and are looking into it.",
    ),
    "return.refused": Label(
        "您好,订单 {order_id} 的退货申请暂不能受理:{why_zh}。如有异议请联系客服。",
        "Your return for order {order_id} cannot be accepted: {why_en}. Please tell us if you disagree.",
    ),
    "return.send_back.seller": Label(
        "您好,订单 {order_id} 的退货已同意,请于 {until} 前寄回商品、赠品和发票。"
        "运费由我们承担:请先垫付,收货后退还,最高 {cap} 元。",
        "Your return for order {order_id} is accepted: send goods, gift and invoice back by {until}. We pay the "
        "postage: please advance it, you have it back after receipt, up to {cap} yuan.",
    ),
    "return.send_back.buyer_way_back": Label(
        "您好,订单 {order_id} 的退货已同意,请于 {until} 前寄回商品、赠品和发票。本单包邮,寄回运费由您承担。",
        "Your return for order {order_id} is accepted: send goods, gift and invoice back by {until}. The order "
        "went out free of postage; you pay the way back.",
    ),
    "return.send_back.buyer": Label(
        "您好,订单 {order_id} 的退货已同意,请于 {until} 前寄回商品、赠品和发票。往返运费由您承担。",
        "Your return for order {order_id} is accepted: send goods, gift and invoice back by {until}. You pay the "
        "postage both ways.",
    ),
    "return.ship_back_reminder": Label(
        "您好,订单 {order_id} 的退货还未寄回,请尽快寄出并告知运单号,逾期申请将关闭。",
        "The goods of your return for order {order_id} are not on their way yet: please send them soon and tell us the "
        "waybill, or the request will be closed.",
    ),
    "return.received": Label(
        "您好,订单 {order_id} 的退货已收到,我们会尽快验货。",
        "The goods of your return for order {order_id} have arrived; we will inspect them soon.",
    ),
    "return.goods_come_back": Label(
        "您好,订单 {order_id} 的商品将寄回给您,请留意查收。",
        "The goods of order {order_id} will be sent back to you.",
    ),
    "return.refunded": Label(
        "您好,订单 {order_id} 已退款 {amount} 元:{parts_zh}。请查收并确认。",
        "{amount} yuan are refunded for order {order_id}: {parts_en}. Please check and confirm.",
    ),
    "return.refunded_by_platform": Label(
        "您好,订单 {order_id} 的退款已由平台退回原支付账户,请注意查收。",
        "The platform has returned your refund for order {order_id} to your payment account.",
    ),
    "return.declined": Label(
        "您好,订单 {order_id} 的退货申请已关闭,感谢您的理解。",
        "Your return request for order {order_id} is closed; thank you for understanding.",
    ),
    "return.withdrawn": Label(
        "您好,订单 {order_id} 的退货申请已按您的意思撤回。",
        "Your return request for order {order_id} is withdrawn as you wished.",
    ),
    "return.returned_to_buyer": Label(
        "您好,订单 {order_id} 的商品已寄回给您,快递 {courier},运单号 {waybill}。",
        "The goods of order {order_id} are on their way back to you: {courier}, waybill {waybill}.",
    ),
    "return.platform_dispute": Label(
        "您好,订单 {order_id} 的退货已转由平台处理,请留意平台通知。",
        "The platform now decides about your return for order {order_id}; please watch for its notice.",
    ),
    "return.lapsed": Label(
        "您好,订单 {order_id} 的退货申请因逾期已关闭,如仍需退货请联系客服重新提交。",
        "Your return request for order {order_id} was closed because its time ran out; please ask us to reopen it if "
        "you still want it.",
    ),
    "return.not_applicable": Label(
        "您好,订单 {order_id} 目前没有可办理的退货。如有疑问请联系客服。",
        "There is nothing to return for order {order_id} at the moment; please ask us if in doubt.",
    ),
    "return.cancelled": Label(
        "您好,订单 {order_id} 的退货申请已关闭。如有疑问请联系客服。",
        "The return request for order {order_id} has been closed; please ask us if in doubt.",
    ),
}
"""To the buyer, in the order of a case's life."""


def parts_of_refund(*, goods_fen: int, gift_fen: int, postage_fen: int, return_postage_fen: int) -> tuple[str, str]:
    """How a refund was reckoned, in Chinese and English: only what there is of it. All in fen."""
    goods, gift, postage, way_back = map(format_yuan, (goods_fen, gift_fen, postage_fen, return_postage_fen))
    parts = [
        (
            f"商品 {goods} 元" + (f"(已扣未退赠品 {gift} 元)" if gift_fen else ""),
            f"{goods} for the goods" + (f" (less {gift} for a gift that did not come back)" if gift_fen else ""),
        )
    ]
    if postage_fen:
        parts.append((f"发货运费 {postage} 元", f"{postage} for the postage to you"))
    if return_postage_fen:
        parts.append((f"退货运费 {way_back} 元", f"{way_back} for the way back"))
    return ",".join(zh for zh, _ in parts), ", ".join(en for _, en in parts)


STAFF: dict[str, Label] = {
    "return.goods_came_back": Label(
        "订单 {order_id} 的包裹 {waybill} 未送达买家,已退回我方,其中商品行 {lines} 正在办理退货:请在该退货工单中收货:"
        "casework submit {case_id} receive_goods --set waybill={waybill} --set lines={pieces}",
        "Parcel {waybill} of order {order_id} came back to us undelivered, with lines {lines}, which are to be "
        "returned anyway. Take them in there: casework submit {case_id} receive_goods --set waybill={waybill} "
        "--set lines={pieces}",
    ),
    "return.goods_are_here": Label(
        "订单 {order_id} 的退货已逾期失效,而其商品({lines})未送达买家、已退回我方:请询问买家。要退款的,"
        "以 --reopens {case_id} 重新开立退货并收货;仍要商品的,重新开立后登记买家撤回,商品即再次发出。",
        "The return of order {order_id} has lapsed, and goods of it ({lines}) lie here: they came back to us "
        "undelivered. Ask the buyer. For the money, open the return again (--reopens {case_id}) and take them in; for "
        "the goods, open it again and have it withdrawn, and they ship.",
    ),
    "return.goods_in_dispute": Label(
        "订单 {order_id} 的退货 {case_id} 由平台裁决,而相关商品行的商品({lines})未送达买家、已退回我方,不会自动发出。"
        "与纠纷无关的商品,以及平台裁决后仍归买家的商品:为其另开退货并登记买家撤回,商品即再次发出;平台退款的,"
        "商品归我方。",
        "The platform decides about return {case_id} of order {order_id}, and goods of its lines ({lines}) lie here: "
        "they came back to us undelivered, and do not ship by themselves. Those that the dispute is not about, and "
        "those that are the buyer's once the platform has decided: open a return of them and have it withdrawn, and "
        "they ship. What the platform pays for is ours.",
    ),
    "return.look_at_goods": Label(
        "订单 {order_id} 的退货逾期未验货,已按全部通过处理:请验货后再入库({lines})。",
        "Nobody inspected the goods of order {order_id} in time, and all of them count as accepted: look at them "
        "before they go into stock ({lines}).",
    ),
    "return.look_at_paid_goods": Label(
        "订单 {order_id} 已退款,而退回的商品尚未验货:请验货后再入库({lines})。",
        "Order {order_id} is refunded, and nobody has inspected what came back: look at it before it goes into stock "
        "({lines}).",
    ),
    "return.send_rest_back": Label(
        "订单 {order_id} 的退货部分未通过验货:请将以下商品寄回买家({lines})。",
        "A part of what came in for order {order_id} was not accepted: send it back to the buyer ({lines}).",
    ),
    "return.send_all_back": Label(
        "订单 {order_id} 的退货工单已撤销,商品仍在我方:请寄回买家。",
        "The return of order {order_id} was called off and its goods are here: send them back to the buyer.",
    ),
    "return.repay_postage": Label(
        "订单 {order_id} 的货款已由平台退还,买家垫付的退货运费 {amount} 元仍需退还。",
        "The platform has refunded order {order_id}; the {amount} yuan of postage that the buyer advanced are still to "
        "be repaid.",
    ),
}

ENDINGS: dict[str, str | None] = {
    "refunded": None,
    "declined": "return.declined",
    "withdrawn": "return.withdrawn",
    "returned_to_buyer": "return.returned_to_buyer",
    "platform_dispute": "return.platform_dispute",
    "lapsed": "return.lapsed",
    "not_applicable": "return.not_applicable",
    "cancelled": "return.cancelled",
}
"""What the buyer is told at each end; of a refund the settlement has told."""
