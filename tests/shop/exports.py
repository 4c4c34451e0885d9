"""Writes small exports of a made-up shop with the quirks of the real ones (data.md)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

UNPAID, PAID, PARTLY = "等待买家付款", "买家已付款,等待卖家发货", "卖家部分发货"
SHIPPED, FINISHED, CLOSED = "卖家已发货,等待买家确认", "交易成功", "交易关闭"

# several headings end in a space, as the platform writes them
ORDER_HEADINGS = (
    "订单编号",
    "买家会员名",
    "买家支付宝账号",
    "买家应付货款",
    "买家应付邮费",
    "总金额",
    "买家实际支付金额",
    "订单状态",
    "买家留言",
    "收货人姓名",
    "收货地址 ",
    "联系电话 ",
    "联系手机",
    "订单创建时间",
    "订单付款时间 ",
    "宝贝标题 ",
    "物流单号 ",
    "物流公司",
    "订单备注",
    "宝贝总数量",
    "修改后的收货地址",
    "退款金额",
    "确认收货时间",
    "打款商家金额",
    "发货时间",
)
NEWER = ("退款金额", "确认收货时间", "打款商家金额", "发货时间")
"""What older exports lack."""
LINE_HEADINGS = (
    "订单编号",
    "标题",
    "价格",
    "购买数量",
    "外部系统编号",
    "商品属性",
    "套餐信息",
    "备注",
    "订单状态",
    "商家编码",
)


@dataclass(frozen=True)
class Line:
    """A line of the line list; prices in yuan, as the files have them."""

    price: str = "100.00"
    quantity: str = "1"
    state: str | None = None
    """None: the order's."""


@dataclass(frozen=True)
class Order:
    """An order, as an export shows it."""

    id: str
    state: str = PAID
    lines: Sequence[Line] = (Line(),)
    postage: str = "0.00"
    paid: str = "100.00"
    created: str = "2026-11-17 13:39:16"
    paid_at: str = "2026-11-17 14:00:16"
    waybill: str = ""
    shipped_at: str = ""
    confirmed_at: str = ""
    refund: str = "0.00"
    memo: str = ""
    changed_address: str = ""
    more: Mapping[str, str] = field(default_factory=dict[str, str])
    """Other cells, by heading."""

    def but(self, **changes: Any) -> Order:
        """The same order, changed."""
        return replace(self, **changes)


def order_list(orders: Iterable[Order], *, headings: Sequence[str] = ORDER_HEADINGS) -> str:
    """The text of an order list."""
    rows = [
        {
            "订单编号": f'="{order.id}"',
            "买家会员名": f"tb{order.id[-4:]}",
            "买家支付宝账号": "134****3748",
            "买家应付货款": order.paid,
            "买家应付邮费": order.postage,
            "总金额": order.paid,
            "买家实际支付金额": order.paid,
            "订单状态": order.state,
            "买家留言": '麻烦开"发票",\r\n抬头:测试',
            "收货人姓名": f"收货人{order.id[-4:]}",
            "收货地址": "山东省 菏泽市 牡丹区 测试路1号(126681)",
            "联系手机": "'13800000000",
            "订单创建时间": order.created,
            "订单付款时间": order.paid_at,
            "宝贝标题": "毛毯",
            "物流单号": f"No:{order.waybill}" if order.waybill else "",
            "物流公司": "圆通速递" if order.waybill else "",
            "订单备注": order.memo,
            "宝贝总数量": str(len(order.lines)),
            "修改后的收货地址": order.changed_address,
            "退款金额": order.refund,
            "确认收货时间": order.confirmed_at,
            "发货时间": order.shipped_at,
            **order.more,
        }
        for order in orders
    ]
    return _table(headings, rows)


def line_list(orders: Iterable[Order], *, headings: Sequence[str] = LINE_HEADINGS) -> str:
    """The text of a line list."""
    rows = [
        {
            "订单编号": f'="{order.id}"',
            "标题": "加厚法兰绒毛毯",
            "价格": line.price,
            "购买数量": line.quantity,
            "外部系统编号": "OUTER-1",
            "商品属性": "颜色分类:墨绿;尺寸:150x200cm",
            "套餐信息": "null",
            "订单状态": line.state or order.state,
            "商家编码": "YJ-BK03-10",
        }
        for order in orders
        for line in order.lines
    ]
    return _table(headings, rows)


def courier_answer(waybill: str, *scans: tuple[str, str], state: str = "0") -> str:
    """One courier answer: scans as (time, code), newest first."""
    data = [
        {"time": time, "ftime": time, "context": "快件", "status": "在途", "statusCode": code} for time, code in scans
    ]
    answer = {"message": "ok", "nu": waybill, "com": "yuantong", "status": "200", "state": state, "data": data}
    return json.dumps(answer, ensure_ascii=False) + "\n"


GIFTS = "gift_sku,name,cost_fen,value_fen,stock\nGP-1,枕套,2500,3900,200\nGP-2,毛巾,900,1500,500\n"


def chat(order_id: str) -> str:
    """One conversation."""
    said = [{"at": "2026-11-20 16:59:20", "from": "buyer", "text": "能便宜多少"}]
    return (
        json.dumps({"order_id": order_id, "buyer_registered_on": "2016-03-08", "chat": said}, ensure_ascii=False) + "\n"
    )


def write(folder: Path, name: str, text: str, *, encoding: str = "gb18030") -> Path:
    """Write a file as bytes, line ends as they are in the text."""
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def _table(headings: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(headings)
    for row in rows:
        writer.writerow([row.get(heading.strip(), "") for heading in headings])
    return out.getvalue()
