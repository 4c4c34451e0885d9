"""A made-up shop in the real export formats, for the demo: `python -m casework.sample_shop FOLDER` writes it.

The formats are Taobao's and Kuaidi100's, quirks included; the buyers, orders and parcels are invented, from a fixed
seed, so that every run writes the same files. Most orders are as orders are; at the end stand a few with a story: two
bulk orders with their chats, a parcel whose station has been withdrawn and the one as which EMS takes it on, one that
cannot be delivered, and one of which nothing was heard any more.
"""

from __future__ import annotations

import csv
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from casework.money import format_yuan
from casework.shop.states import ORDER_STATES

NEWEST = datetime(2026, 11, 20, 17, 0)  # noqa: DTZ001 - the exports' local time, which names no zone
UNPAID, PAID, PARTLY, SHIPPED, FINISHED, CLOSED = ORDER_STATES
SHIPPED_AFTER = timedelta(hours=20)
AGE = {SHIPPED: timedelta(days=1), PARTLY: timedelta(days=1), FINISHED: timedelta(days=7)}
"""By how much an order in this state is older, so that what it says has happened has."""
STATES = [PAID] * 32 + [SHIPPED] * 40 + [FINISHED] * 20 + [UNPAID] * 8 + [CLOSED] * 6 + [PARTLY] * 2
GOODS = (
    ("全棉水洗纯色床笠", 12_900, "YJ-CL01-00"),
    ("加厚法兰绒毛毯", 9_900, "YJ-MT02-10"),
    ("儿童幼儿园被褥三件套", 23_900, "YJ-KD05-10"),
    ("60支长绒棉四件套", 45_900, "YJ-SJ03-20"),
    ("澳洲羊毛被 春秋被", 59_900, "YJ-WL01-10"),
    ("95白鹅绒羽绒被 冬被加厚保暖", 129_900, "YJ-DN95-10"),
)
PLACES = (
    ("山东省 菏泽市 牡丹区", 0),
    ("上海 上海市 徐汇区", 0),
    ("浙江省 杭州市 余杭区", 0),
    ("内蒙古自治区 锡林郭勒盟 锡林浩特市", 2_000),
)
GIFTS = (
    ("GP-ST00", "收纳袋", 600, 1_000, 300),
    ("GP-TW02", "毛巾", 900, 1_500, 500),
    ("GP-PL01", "枕套一对", 2_500, 3_900, 200),
    ("GP-BK05", "法兰绒小毯", 4_900, 7_900, 40),
)
"""Number, name, cost and value in fen, stock."""
COURIERS = (("圆通速递", "yuantong", "YT"), ("中通快递", "zhongtong", "78"), ("EMS", "ems", "EA"))
ORDER_COLUMNS = (
    *(
        "订单编号",
        "买家会员名",
        "买家支付宝账号",
        "支付单号",
        "买家应付货款",
        "买家应付邮费",
        "总金额",
        "买家实际支付金额",
    ),
    *(
        "订单状态",
        "买家留言",
        "收货人姓名",
        "收货地址 ",
        "运送方式",
        "联系电话 ",
        "联系手机",
        "订单创建时间",
        "订单付款时间 ",
    ),
    *(
        "宝贝标题 ",
        "宝贝种类 ",
        "物流单号 ",
        "物流公司",
        "订单备注",
        "宝贝总数量",
        "店铺Id",
        "店铺名称",
        "订单关闭原因",
    ),
    *("修改后的收货地址", "退款金额", "确认收货时间", "打款商家金额", "发货时间"),
)
LINE_COLUMNS = (
    *("订单编号", "标题", "价格", "购买数量", "外部系统编号", "商品属性", "套餐信息", "备注", "订单状态", "商家编码"),
)


Scan = tuple[timedelta, str, str]
"""How long after the parcel left, Kuaidi100's code, and what it says."""
DELIVERED: Sequence[Scan] = (
    (timedelta(0), "1", "您的快件已被揽收"),
    (timedelta(hours=6), "0", "快件离开转运中心"),
    (timedelta(hours=26), "1001", "快件到达目的地分拨中心"),
    (timedelta(hours=44), "5", "快件正在派送"),
    (timedelta(hours=48), "301", "您的快件已签收,签收人:本人"),
)
"""As a parcel goes; what of it is still to come is shown when it comes."""


@dataclass(frozen=True, slots=True)
class _Trouble:
    """An order whose parcel has a story: what was bought, where it goes, when it left, by whom, what was scanned."""

    goods: int
    place: int
    left_ago: timedelta
    courier: int
    scans: Sequence[Scan]


TROUBLES = (
    # the case in the manual: the station has been withdrawn, and the buyer will choose EMS
    _Trouble(3, 3, timedelta(days=4), 0, (*DELIVERED[:3], (timedelta(hours=60), "2", "派送网点已撤销,暂时无法派送"))),
    _Trouble(2, 2, timedelta(days=2), 1, (*DELIVERED[:3], (timedelta(hours=30), "207", "收件地址超出派送范围"))),
    _Trouble(5, 1, timedelta(days=7), 1, DELIVERED[:2]),
)
SENT_ON_BY_EMS: Sequence[Scan] = (
    (timedelta(hours=3), "1", "中国邮政已收寄"),
    (timedelta(hours=18), "5", "快件正在派送"),
    (timedelta(hours=24), "301", "您的快件已签收,签收人:本人"),
)
"""After the newest order: the waybill as which the manual's parcel goes on is nobody's yet."""
BULKS = (
    (0, 30, 3_000, ("30 件能便宜多少", "质量和实物一致吧,什么时候能到")),
    (1, 20, 6, ("面料成分检测报告发我", "商标授权书也发我,成分和标的一样吗")),
)
"""What was bought, how many pieces, for how many days the buyer has had the account, what the buyer wrote."""


@dataclass(frozen=True, slots=True)
class _Files:
    orders: list[dict[str, str]]
    lines: list[dict[str, str]]
    parcels: list[dict[str, object]]
    chats: list[dict[str, object]]


def write_sample_shop(folder: Path) -> list[Path]:
    """Write the exports of orders and of lines, the courier's answers, gifts and chats; answers with their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    made = _invent()
    stamp = f"{NEWEST + timedelta(hours=1):%Y%m%d%H%M}"
    orders = _write_csv(folder / f"ExportOrderList{stamp}.csv", ORDER_COLUMNS, made.orders)
    lines = _write_csv(folder / f"ExportOrderDetailList{stamp}.csv", LINE_COLUMNS, made.lines)
    gifts = _write_gifts(folder / "gifts.csv")
    parcels = _write_json_lines(folder / "kuaidi100.jsonl", made.parcels)
    return [orders, lines, parcels, gifts, _write_json_lines(folder / "chats.jsonl", made.chats)]


def _invent() -> _Files:
    chance = random.Random(20261120)  # noqa: S311 - made-up orders, no secret
    made = _Files([], [], [], [])
    for number, state in enumerate(STATES):
        bought = [(*goods, chance.choice((1, 1, 1, 2))) for goods in chance.sample(GOODS, chance.choice((1, 1, 2, 3)))]
        place, postage = PLACES[number % len(PLACES)]
        days = 9 if state in (FINISHED, CLOSED) else 4 if state in (SHIPPED, PARTLY) else 2
        ago = timedelta(minutes=chance.randrange(0, days * 24 * 60) if number else 0) + AGE.get(state, timedelta(0))
        _add_order(made, chance, number, state, bought, place, postage, NEWEST - ago)
    for trouble in TROUBLES:
        created = NEWEST - trouble.left_ago - SHIPPED_AFTER
        bought = [(*GOODS[trouble.goods], 1)]
        _add_order(made, chance, len(made.orders), SHIPPED, bought, *PLACES[trouble.place], created, trouble)
    made.parcels.append(_parcel("EA99000000001CN", "ems", NEWEST, SENT_ON_BY_EMS))
    for goods, pieces, known_for, wrote in BULKS:
        created = NEWEST - timedelta(hours=3 + len(made.chats))
        order_id = _add_order(made, chance, len(made.orders), PAID, [(*GOODS[goods], pieces)], *PLACES[1], created)
        made.chats.append(_chat(order_id, created, known_for, wrote))
    return made


def _add_order(
    made: _Files,
    chance: random.Random,
    number: int,
    state: str,
    bought: list[tuple[str, int, str, int]],
    place: str,
    postage: int,
    created: datetime,
    trouble: _Trouble | None = None,
) -> str:
    order_id = f"33000{chance.randrange(10**9, 10**10)}{1000 + number:04d}"
    goods_fen = sum(price * quantity for _, price, _, quantity in bought)
    total = goods_fen + postage
    paid_at, shipped_at = created + timedelta(minutes=12), created + SHIPPED_AFTER
    has_left = state in (SHIPPED, PARTLY, FINISHED)
    courier, code, prefix = chance.choice(COURIERS) if trouble is None else COURIERS[trouble.courier]
    waybill = f"{prefix}{chance.randrange(10**10, 10**11)}"
    made.orders.append(
        {
            "订单编号": f'="{order_id}"',
            "买家会员名": f"tb{10_000_000 + number * 7919}",
            "支付单号": f"{created:%Y%m%d}{chance.randrange(10**12, 10**13)}",
            "买家应付货款": _yuan(goods_fen),
            "买家应付邮费": _yuan(postage),
            "总金额": _yuan(total),
            "买家实际支付金额": _yuan(0 if state in (UNPAID, CLOSED) else total),
            "订单状态": state,
            "收货人姓名": f"收货人{number:03d}",
            "收货地址 ": f"{place} 测试路{number + 1}号({100_000 + number})",
            "运送方式": "快递",
            "联系手机": f"'{13_800_000_000 + number % 100}",
            "订单创建时间": _time(created),
            "订单付款时间 ": "" if state == UNPAID else _time(paid_at),
            "宝贝标题 ": bought[0][0],
            "宝贝种类 ": str(len(bought)),
            "物流单号 ": f"No:{waybill}" if has_left else "",
            "物流公司": courier if has_left else "",
            "订单备注": f"工号{chance.randrange(1, 12):02d}" if number % 3 == 0 else "",
            "宝贝总数量": str(sum(quantity for *_, quantity in bought)),
            "店铺Id": "0",
            "店铺名称": "示例家纺旗舰店",
            "订单关闭原因": "买家不想买了" if state == CLOSED else "订单未关闭",
            "退款金额": _yuan(total if state == CLOSED else 0),
            "确认收货时间": _time(created + timedelta(days=6)) if state == FINISHED else "",
            "打款商家金额": _yuan(total) if state == FINISHED else "",
            "发货时间": _time(shipped_at) if has_left else "",
        }
    )
    for place_in_order, (title, price, sku, quantity) in enumerate(bought):
        line_state = (SHIPPED if place_in_order == 0 else PAID) if state == PARTLY else state
        made.lines.append(
            {
                "订单编号": f'="{order_id}"',
                "标题": title,
                "价格": _yuan(price),
                "购买数量": str(quantity),
                "外部系统编号": sku,
                "套餐信息": "null",
                "订单状态": line_state,
                "商家编码": sku,
            }
        )
    if has_left:
        made.parcels.append(_parcel(waybill, code, shipped_at, DELIVERED if trouble is None else trouble.scans))
    return order_id


def _parcel(waybill: str, courier: str, left_at: datetime, scans: Sequence[Scan]) -> dict[str, object]:
    newest_first = [
        {"time": _time(left_at + after), "ftime": _time(left_at + after), "context": text, "status": text[:4]}
        | {"statusCode": code}
        for after, code, text in reversed(scans)
    ]
    state = next((code for after, code, _ in reversed(scans) if left_at + after <= NEWEST), "1")
    signed = state == "301"
    return {
        "message": "ok",
        "nu": waybill,
        "ischeck": "1" if signed else "0",
        "com": courier,
        "status": "200",
        "state": "3" if signed else state,
        "condition": "F00" if signed else "00",
        "data": newest_first,
    }


def _chat(order_id: str, created: datetime, known_for: int, wrote: Sequence[str]) -> dict[str, object]:
    """A conversation about an order, from a buyer whose account is so many days old."""
    said = [
        {"at": _time(created + timedelta(minutes=6 * place)), "from": "buyer", "text": text}
        for place, text in enumerate(wrote)
    ]
    said.insert(1, {"at": _time(created + timedelta(minutes=3)), "from": "agent", "text": "大单请稍等"})
    registered = (created - timedelta(days=known_for)).date()
    return {"order_id": order_id, "buyer_registered_on": registered.isoformat(), "chat": said}


def _write_gifts(path: Path) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("gift_sku", "name", "cost_fen", "value_fen", "stock"), *GIFTS])
    return path


def _write_json_lines(path: Path, rows: Sequence[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def _write_csv(path: Path, columns: Sequence[str], rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="gb18030", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\r\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def _yuan(fen: int) -> str:
    return format_yuan(fen).replace(",", "")


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python -m casework.sample_shop FOLDER")
    try:
        for written in write_sample_shop(Path(sys.argv[1])):
            print(written)
    except OSError as error:
        sys.exit(f"{sys.argv[1]} cannot be written to: {error.strerror}.")
