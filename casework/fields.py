"""What the fields of starts and messages are called, and what stands in them, in words for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from casework.money import format_yuan
from casework.settings import Language
from casework.templates.problem_parcel import UNDELIVERABLE
from state_machines.roles import Label

FIELDS: Final[Mapping[str, Label]] = {
    "lines": Label("订单行", "lines of the order"),
    "reason": Label("原因", "reason"),
    "platform_deadline": Label("平台截止时间", "the platform's deadline"),
    "order_terminated": Label("由被终止的大宗订单开立", "opened by a terminated bulk order"),
    "cause": Label("事由", "cause"),
    "defect": Label("瑕疵", "defect"),
    "description": Label("描述", "description"),
    "opened": Label("已拆封", "opened and cannot be restored"),
    "buyer_damage": Label("人为损坏", "damaged by the buyer"),
    "force_majeure_damage": Label("不可抗力损坏", "damaged by force majeure"),
    "slight_colour_difference": Label("轻微色差", "a slight difference in colour"),
    "reopens": Label("重开工单", "opens again"),
    "goods": Label("货物所在", "where the goods are"),
    "seller_pays_postage": Label("店铺承担退货邮费", "the shop pays the postage of the way back"),
    "said_lost": Label("已有人确认丢件", "somebody has said that it is lost"),
    "amount_fen": Label("金额(元)", "amount (yuan)"),
    "courier": Label("快递公司", "courier"),
    "postage_fen": Label("买家垫付邮费(元)", "postage that the buyer advanced (yuan)"),
    "gift_back": Label("赠品已退回", "the gift has come back"),
    "invoice_back": Label("发票已退回", "the invoice has come back"),
    "kind": Label("赠送类别", "kind"),
    "gift_sku": Label("赠品编码", "gift"),
    "quantity": Label("数量", "quantity"),
    "cost_fen": Label("成本(元)", "cost (yuan)"),
    "discount_percent": Label("折扣(%)", "discount (%)"),
    "buyer_registered_on": Label("买家注册日期", "the buyer registered on"),
    "buyer_purchases": Label("买家历史订单数", "the buyer's earlier orders"),
    "signs": Label("恶意迹象", "signs of malice"),
    "days": Label("天数", "days"),
    "finding": Label("快递答复", "what the courier found"),
    "choice": Label("买家选择", "what the buyer chose"),
    "address_id": Label("地址编号", "address, by its id"),
    "station": Label("站点", "station"),
    "claim_fen": Label("向快递索赔(元)", "claimed from the courier (yuan)"),
    "signer": Label("签收人", "who signed"),
    "place": Label("签收地点", "place"),
}
"""By field, of all that starts and messages say besides who, why, and what they refer to."""

VALUES: Final[Mapping[str, Label]] = {
    "no_reason": Label("七天无理由", "no reason"),
    "quality": Label("质量问题", "quality"),
    "wrong_item": Label("发错货", "the wrong item"),
    "not_as_described": Label("与描述不符", "not as described"),
    "counterfeit": Label("假冒", "counterfeit"),
    "transit_damage": Label("运输损坏", "damaged on the way"),
    "severe_loose_thread": Label("严重脱线", "severely loose thread"),
    "hole": Label("破洞", "a hole"),
    "missing_button": Label("缺扣", "a missing button"),
    "burst_seam": Label("开线", "a burst seam"),
    "other": Label("其他", "other"),
    "with_buyer": Label("在买家处", "with the buyer"),
    "lost": Label("丢失", "lost"),
    "already_back": Label("已退回", "back already"),
    "gift": Label("赠品", "a gift"),
    "free_shipping": Label("包邮", "free shipping"),
    "young_account": Label("新注册账号", "a young account"),
    "no_purchases": Label("无购买记录", "no purchases"),
    "material_talk": Label("追问材质", "talk of materials"),
    "brand_licence_talk": Label("追问品牌授权", "talk of the brand's licence"),
    "asked": Label("买家查询", "the buyer asked"),
    "overdue": Label("超时未到", "overdue"),
    "signed_unconfirmed": Label("签收后未确认", "signed for and not confirmed"),
    "exception": Label("物流异常", "an exception on its way"),
    "moving": Label("运输中", "on its way"),
    "signed": Label("已签收", "signed for"),
    "damaged": Label("破损", "damaged"),
    "returning": Label("退回途中", "on its way back"),
    **UNDELIVERABLE,
    "pickup": Label("自提", "pick it up"),
    "forward": Label("转寄", "have it forwarded"),
    "redeliver": Label("再次派送", "have it brought again"),
    "reship": Label("补发", "have it sent anew"),
    "refund": Label("退款", "money back"),
    "buyer": Label("买家本人", "the buyer"),
    "family": Label("家人", "family"),
    "neighbour": Label("邻居", "a neighbour"),
    "locker": Label("快递柜", "a locker"),
    "station": Label("驿站", "a station"),
}
"""What a field that takes one of few values may hold."""
VALUES_OF: Final = frozenset({"cause", "defect", "goods", "kind", "signs", "finding", "choice", "signer"})
"""Those fields: in any other the same word is free text."""
OURS_ALONE: Final = frozenset({"buyer_registered_on", "buyer_purchases", "signs", "cost_fen", "claim_fen"})
"""What we know of the buyer's account, hold against them, or reckon among ourselves: for no dispute on a platform."""

_LINE: Final = Label("第 {line} 行 {pieces} 件", "line {line}: {pieces}")
_YES, _NO, _NONE = Label("是", "yes"), Label("否", "no"), Label("无", "there was none")


def in_words(given: Mapping[str, Any], language: Language, zone: ZoneInfo) -> list[tuple[str, str]]:
    """What was given (see `TrailLine.given`), as others may see it: what each field is called and what stands in it.

    Times are in the zone.
    """
    return [
        (_name(field, language), _text(field, value, language, zone))
        for field, value in given.items()
        if field not in OURS_ALONE
    ]


def _name(field: str, language: Language) -> str:
    return FIELDS[field].in_language(language) if field in FIELDS else field


def _text(field: str, value: Any, language: Language, zone: ZoneInfo) -> str:
    match value:
        case None:
            return _NONE.in_language(language)
        case bool():
            return (_YES if value else _NO).in_language(language)
        case int() if field.endswith("_fen"):
            return format_yuan(value)
        case list():
            return "; ".join(_text(field, one, language, zone) for one in cast("list[Any]", value))
        case {"line": line, **pieces}:
            return _LINE.in_language(language).format(line=line, pieces=", ".join(map(str, pieces.values())))
        case str() if field == "platform_deadline":
            return f"{datetime.fromisoformat(value).astimezone(zone):%Y-%m-%d %H:%M}"
        case str() if field in VALUES_OF and value in VALUES:
            return VALUES[value].in_language(language)
        case _:
            return str(value)
