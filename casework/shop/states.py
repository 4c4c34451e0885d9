"""The platform's order states: their names in the exports, and which may follow which. Pure."""

from __future__ import annotations

from typing import Literal

OrderState = Literal["unpaid", "paid", "partly_shipped", "shipped", "finished", "closed"]

ORDER_STATES: dict[str, OrderState] = {
    "等待买家付款": "unpaid",
    "买家已付款,等待卖家发货": "paid",
    "卖家部分发货": "partly_shipped",
    "卖家已发货,等待买家确认": "shipped",
    "交易成功": "finished",
    "交易关闭": "closed",
}
"""As data.md lists them; the exports write the comma either narrow or wide."""

_RANK: dict[str, int] = {name: rank for rank, name in enumerate(ORDER_STATES.values())}


def is_later(new: str, known: str) -> bool:
    """Whether a state comes after another: states go forward only, and a closed trade stays closed."""
    return _RANK[new] > _RANK[known]
