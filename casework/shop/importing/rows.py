"""Rows of the exports, understood: each becomes one typed value, or is refused with a reason. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

from casework.messages import ORDER_PATTERN, WAYBILL_PATTERN, YEARS, YEARS_OF_DAYS
from casework.money import parse_yuan
from casework.shop.importing.reading import BadRow
from casework.shop.states import ORDER_STATES, OrderState

SHOP_ZONE = ZoneInfo("Asia/Shanghai")
"""Times in the exports are local (data.md)."""
_TIMES = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M")
_BEFORE_WAYBILL = re.compile("no:", re.IGNORECASE)
"""What the platform puts before a waybill."""
_ROUNDED_WAYBILL = re.compile(r"[0-9]+(?:\.[0-9]+)?E\+[0-9]+|[0-9]+\.[0-9]+E[0-9]+", re.IGNORECASE)
"""A waybill of digits and one E is one all the same."""
_ROUNDED = re.compile(r"[0-9.]+E\+?[0-9]+", re.IGNORECASE)
_STATES: dict[str, OrderState] = {unicodedata.normalize("NFKC", name): state for name, state in ORDER_STATES.items()}
MAX_QUANTITY = 1_000_000
MAX_SKU = 200
MAX_NAME = 64
"""Characters that a waybill, a courier's code or a gift's number may have."""


@dataclass(frozen=True, slots=True)
class OrderIn:
    """A row of the order list. None: the export does not say. Times are aware."""

    id: str
    state: OrderState
    created_at: datetime
    paid_at: datetime | None
    shipped_at: datetime | None
    confirmed_at: datetime | None
    goods_fen: int | None
    postage_fen: int
    total_fen: int | None
    paid_fen: int
    refund_fen: int | None
    settled_fen: int | None
    memo: str | None
    waybills: tuple[str, ...]
    company: str
    texts: Mapping[str, str]
    """Other columns of the order's row, by the shop's names; only those that the export has."""


@dataclass(frozen=True, slots=True)
class LineIn:
    """A row of the line list; it has no number of its own. None: the export does not say.

    `outer_sku` is what another system calls it: for a line of which the shop has no code of its own.
    """

    order_id: str
    title: str | None
    sku: str | None
    outer_sku: str
    properties: str | None
    price_fen: int
    quantity: int
    state: OrderState


@dataclass(frozen=True, slots=True)
class ScanIn:
    """One scan of a courier's answer. `at` is aware; `own_code`: whether the code is the scan's, not the answer's."""

    at: datetime
    code: str
    status: str
    text: str
    own_code: bool


@dataclass(frozen=True, slots=True)
class CourierIn:
    """A courier's answer for one parcel."""

    waybill: str
    courier: str
    state: str
    scans: tuple[ScanIn, ...]


@dataclass(frozen=True, slots=True)
class GiftIn:
    """A row of the gift catalogue."""

    sku: str
    name: str
    cost_fen: int
    value_fen: int
    stock: int


@dataclass(frozen=True, slots=True)
class ChatIn:
    """A conversation about an order: who said what when. Times are aware."""

    order_id: str
    buyer_registered_on: date | None
    messages: tuple[tuple[datetime, str, str], ...]


_ORDER_TEXTS = {
    "订单关闭原因": "closed_reason",
    "买家留言": "buyer_message",
    "买家会员名": "buyer_nick",
    "买家支付宝账号": "buyer_account",
    "支付单号": "payment_number",
    "收货人姓名": "receiver_name",
    "收货地址": "address",
    "修改后的收货地址": "changed_address",
    "联系电话": "phone",
    "联系手机": "mobile",
}


def read_order(cells: Mapping[str, Any]) -> OrderIn:
    """One row of the order list.

    Raises:
        BadRow: with the column and the reason.

    """
    state = read_state(cells)
    paid = _fen(cells, "买家实际支付金额")
    refund = _fen(cells, "退款金额") if cells.get("退款金额") else None
    if state == "closed" and not paid and refund:
        # a trade that is closed after payment shows 0.00 paid: what went back is what was paid
        paid = refund
    if refund is not None and refund > paid:
        raise BadRow("退款金额: more than was paid", "退款金额", "买家实际支付金额")
    # full-width signs too, and the comma of lists
    numbers = unicodedata.normalize("NFKC", str(cells.get("物流单号", "")))
    waybills = re.split(r"[,;、\s]+", _BEFORE_WAYBILL.sub(" ", numbers))
    for waybill in waybills:
        _not_too_long("物流单号", waybill)
        if _ROUNDED_WAYBILL.fullmatch(waybill):
            raise BadRow(
                f"物流单号: {waybill[:40]} was rounded by a spreadsheet; export it again, waybills as text", "物流单号"
            )
    return OrderIn(
        id=read_order_id(cells),
        state=state,
        created_at=_time(cells, "订单创建时间"),
        paid_at=_time_or_none(cells, "订单付款时间"),
        shipped_at=_time_or_none(cells, "发货时间"),
        confirmed_at=_time_or_none(cells, "确认收货时间"),
        goods_fen=_fen(cells, "买家应付货款") if cells.get("买家应付货款") else None,
        postage_fen=_fen(cells, "买家应付邮费"),
        total_fen=_fen(cells, "总金额") if cells.get("总金额") else None,
        paid_fen=paid,
        refund_fen=refund,
        settled_fen=_fen(cells, "打款商家金额") if cells.get("打款商家金额") else None,
        memo=_text_or_none(cells, "订单备注"),
        waybills=tuple(dict.fromkeys(waybill for waybill in waybills if waybill)),
        company=str(cells.get("物流公司", "")),
        texts={ours: str(cells[theirs]) for theirs, ours in _ORDER_TEXTS.items() if theirs in cells},
    )


def read_line(cells: Mapping[str, Any]) -> LineIn:
    """One row of the line list.

    Raises:
        BadRow: with the column and the reason.

    """
    order_id = read_order_id(cells)
    quantity = unicodedata.normalize("NFKC", str(cells["购买数量"]))
    whole = quantity.isascii() and quantity.isdecimal() and len(quantity) <= 12
    if not whole or not 1 <= int(quantity) <= MAX_QUANTITY:
        raise BadRow(f"购买数量: {quantity[:20]!r} is not a number of pieces", "购买数量")
    sku = str(cells.get("商家编码") or cells.get("外部系统编号") or "")
    if len(sku) > MAX_SKU:
        raise BadRow(f"商家编码: {sku[:20]!r}… has more than {MAX_SKU} characters", "商家编码")
    return LineIn(
        order_id=order_id,
        title=_text_or_none(cells, "标题"),
        sku=_text_or_none(cells, "商家编码"),
        outer_sku=str(cells.get("外部系统编号", ""))[:MAX_SKU],
        properties=_text_or_none(cells, "商品属性"),
        price_fen=_fen(cells, "价格"),
        quantity=int(quantity),
        state=read_state(cells),
    )


def read_gift(cells: Mapping[str, Any]) -> GiftIn:
    """One row of the gift catalogue.

    Raises:
        BadRow: with the column and the reason.

    """
    if not cells["gift_sku"]:
        raise BadRow("gift_sku: is empty", "gift_sku")
    _not_too_long("gift_sku", str(cells["gift_sku"]))
    return GiftIn(
        sku=str(cells["gift_sku"]),
        name=str(cells["name"]),
        cost_fen=_whole(cells, "cost_fen"),
        value_fen=_whole(cells, "value_fen"),
        stock=_whole(cells, "stock"),
    )


def read_courier(cells: Mapping[str, Any]) -> CourierIn:
    """One courier answer, in the shape of Kuaidi100's.

    Raises:
        BadRow: with the field and the reason.

    """
    waybill, data = cells.get("nu"), cells.get("data")
    if not isinstance(waybill, str) or not re.fullmatch(WAYBILL_PATTERN, waybill):
        raise BadRow("nu: is not a waybill", "nu")
    if not isinstance(data, list):
        raise BadRow("data: the courier gave no scans", "data")
    state, scans = _said(cells, "state")[:10], list[ScanIn]()
    for one in cast("list[Any]", data):
        if not isinstance(one, dict):
            raise BadRow("data: a scan is not an object", "data")
        scan = cast("dict[str, Any]", one)
        code = _said(scan, "statusCode")[:10]
        scans.append(
            ScanIn(
                at=_time(scan, "time"),
                code=code,
                status=_said(scan, "status"),
                text=_said(scan, "context"),
                own_code=code != "",
            )
        )
    if scans:
        # the answer's state is that of its newest scan, the first of those (data.md)
        newest = max(range(len(scans)), key=lambda place: (scans[place].at, -place))
        scans[newest] = replace(scans[newest], code=scans[newest].code or state)
    _not_too_long("com", _said(cells, "com"))
    return CourierIn(waybill=waybill, courier=_said(cells, "com"), state=state, scans=tuple(scans))


def read_chat(cells: Mapping[str, Any]) -> ChatIn:
    """One conversation.

    Raises:
        BadRow: with the field and the reason.

    """
    registered, chat = cells.get("buyer_registered_on"), cells.get("chat")
    if not isinstance(chat, list):
        raise BadRow("chat: is not a list of messages", "chat")
    messages: list[tuple[datetime, str, str]] = []
    for one in cast("list[Any]", chat):
        if not isinstance(one, dict) or "at" not in one:
            raise BadRow("chat: a message has no time", "chat")
        message = cast("dict[str, Any]", one)
        messages.append((_time(message, "at"), _said(message, "from"), _said(message, "text")))
    try:
        registered_on = date.fromisoformat(str(registered)) if registered else None
    except ValueError:
        raise BadRow("buyer_registered_on: is not a date", "buyer_registered_on") from None
    if registered_on is not None and registered_on.year not in YEARS_OF_DAYS:
        raise BadRow(f"buyer_registered_on: {registered_on} is not a day from 1990 on", "buyer_registered_on")
    return ChatIn(read_order_id(cells, "order_id"), registered_on, tuple(messages))


def read_order_id(cells: Mapping[str, Any], column: str = "订单编号") -> str:
    """An order id: digits, also wide ones.

    Raises:
        BadRow: it is none, or a spreadsheet has rounded it.

    """
    cell = str(cells.get(column, ""))
    order_id = order_id_in(cell)
    if order_id is not None:
        return order_id
    text = unicodedata.normalize("NFKC", cell).strip()
    if _ROUNDED.fullmatch(text):
        raise BadRow(f"{column}: {text[:40]} was rounded by a spreadsheet; export it again, ids as text", column)
    raise BadRow(f"{column}: {text[:40]!r} is not an order id", column)


def order_id_in(cell: str) -> str | None:
    """The order id that a cell holds, also in wide digits; None: it holds none."""
    text = unicodedata.normalize("NFKC", cell).strip()
    return text if re.fullmatch(ORDER_PATTERN, text) else None


def read_state(cells: Mapping[str, Any]) -> OrderState:
    """An order's or line's state.

    Raises:
        BadRow: it is none of the six.

    """
    text = unicodedata.normalize("NFKC", str(cells.get("订单状态", ""))).strip()
    if text not in _STATES:
        raise BadRow(f"订单状态: {text[:40]!r} is not a state of an order", "订单状态")
    return _STATES[text]


def _said(given: Mapping[str, Any], name: str) -> str:
    """A field of a JSON object as text; empty where it is absent or null."""
    value = given.get(name)
    return "" if value is None else str(value)


def _text_or_none(cells: Mapping[str, Any], column: str) -> str | None:
    return str(cells[column]) if column in cells else None


def _not_too_long(column: str, text: str) -> None:
    if len(text) > MAX_NAME:
        raise BadRow(f"{column}: {text[:20]!r}… has more than {MAX_NAME} characters", column)


def _fen(cells: Mapping[str, Any], column: str) -> int:
    text = unicodedata.normalize("NFKC", str(cells[column]))
    try:
        fen = parse_yuan(text)
    except ValueError as error:
        raise BadRow(f"{column}: {error}", column) from None
    if fen < 0:
        raise BadRow(f"{column}: is negative", column)
    return fen


def _whole(cells: Mapping[str, Any], column: str) -> int:
    text = unicodedata.normalize("NFKC", str(cells[column]))
    if not text.isascii() or not text.isdecimal() or len(text) > 12:
        raise BadRow(f"{column}: {text[:20]!r} is not a whole number", column)
    return int(text)


def _time(cells: Mapping[str, Any], column: str) -> datetime:
    text = unicodedata.normalize("NFKC", str(cells.get(column, ""))).strip()
    for form in _TIMES:
        try:
            found = datetime.strptime(text, form).replace(tzinfo=SHOP_ZONE)
        except ValueError:
            continue
        if found.year not in YEARS:
            raise BadRow(f"{column}: {text} is not a time of this century", column)
        return found.astimezone(UTC)
    raise BadRow(f"{column}: {text[:40]!r} is not a time", column)


def _time_or_none(cells: Mapping[str, Any], column: str) -> datetime | None:
    return _time(cells, column) if str(cells.get(column, "")).strip() else None
