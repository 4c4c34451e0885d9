"""What the columns of a batch may be called, in English and Chinese. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Final

from state_machines.flows import FLOWS

FLOW: Final = "flow"
"""The column that says which flow a row is for."""

_ALSO: Final[Mapping[str, tuple[str, ...]]] = {
    FLOW: ("流程", "工单流程", "业务流程"),
    "order_id": ("order", "订单编号", "订单号", "订单"),
    "by": ("staff", "opened by", "开单人", "开立人", "工号"),
    "note": ("备注",),
    "lines": ("订单行", "商品行", "行"),
    "reason": ("原因", "申请原因", "退款原因"),
    "platform_deadline": ("平台截止时间", "平台处理截止时间"),
    "cause": ("事由", "退货事由", "退货原因", "包裹问题"),
    "defect": ("瑕疵", "质量问题"),
    "description": ("描述", "问题描述"),
    "photos": ("照片", "图片"),
    "appraisal": ("鉴定", "鉴定报告"),
    "opened": ("已拆封", "已拆封无法复原"),
    "buyer_damage": ("人为损坏", "买家人为损坏"),
    "force_majeure_damage": ("不可抗力损坏",),
    "slight_colour_difference": ("轻微色差",),
    "reopens": ("重开", "重开工单"),
    "kind": ("类别", "赠送类别"),
    "gift_sku": ("赠品", "赠品编码"),
    "quantity": ("数量", "赠品数量"),
    "cost_fen": ("成本分", "成本(分)"),
    "discount_percent": ("折扣", "折扣百分比", "折扣(%)", "折扣%"),
    "chat_id": ("聊天", "聊天编号", "聊天记录"),
    "waybill": ("运单号", "物流单号", "快递单号"),
    "courier": ("快递代码", "快递公司代码", "快递公司"),
}
"""By field, its other names; its own counts with spaces or hyphens too."""


def field_named(heading: str) -> str | None:
    """The field that a heading means, in any width and case; None: none of any flow."""
    return _names().get(_plain(heading))


@cache
def start_fields() -> tuple[str, ...]:
    """What the rows of any flow may say: the fields of all starts, but those that only another case may fill in."""
    names = {"order_id": None, "by": None}
    for flow in FLOWS.values():
        hidden = {"from_case", *flow.start_type.ONLY_FROM_CASE}
        names |= {name: None for name in flow.start_type.model_fields if name not in hidden}
    return tuple(names)


@cache
def _names() -> dict[str, str]:
    known: dict[str, str] = {}
    for field in (FLOW, *start_fields()):
        for name in (field, *_ALSO.get(field, ())):
            known[_plain(name)] = field
    return known


def _plain(heading: str) -> str:
    text = unicodedata.normalize("NFKC", heading).strip().casefold()
    return "_".join(text.replace("-", " ").replace("_", " ").split())
