"""The gift rule, free shipping, and the month's budget for both. Pure; money is whole fen."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo


def meets_gift_rule(*, goods_total_fen: int, cost_fen: int, order_min_fen: int, cost_max_percent: Decimal) -> bool:
    """Whether an order may have a gift of this cost without anybody's approval.

    The order's total without postage is at least `order_min_fen`, and the gift costs at most `cost_max_percent` of that
    total, to the fen and without rounding (policy.md, gift_approval.gift_order_min_fen and .gift_cost_max_percent).
    """
    return goods_total_fen >= order_min_fen and cost_fen * 100 <= cost_max_percent * goods_total_fen


def meets_free_shipping_rule(*, goods_total_fen: int, min_fen: int) -> bool:
    """Whether an order goes without postage without anybody's approval: its total without postage reaches `min_fen`
    (policy.md, gift_approval.free_shipping_min_fen).
    """
    return goods_total_fen >= min_fen


def cost_of_gift(piece_cost_fen: int, quantity: int) -> int:
    """What a gift costs the shop, in fen: the catalogue's cost x quantity (contract.md, "Start", gift approval).

    Raises:
        ValueError: if the cost is negative, or there is not at least one piece.

    """
    if piece_cost_fen < 0 or quantity < 1:
        raise ValueError("a gift is at least one piece of no negative cost")
    return piece_cost_fen * quantity


def budget_month(at: datetime, timezone: str) -> str:
    """The calendar month, as `2026-11`, whose budget a gift promised at this moment falls in: the shop's own month
    (policy.md, gift_approval.monthly_budget_fen; flows.md, "Dates").

    Raises:
        ValueError: if the time has no zone.

    """
    if at.tzinfo is None:
        raise ValueError("a time without a zone falls in no month")
    return at.astimezone(ZoneInfo(timezone)).strftime("%Y-%m")


def budget_left(*, monthly_budget_fen: int, promised_fen: int) -> int:
    """What is left of a month's budget, in fen; nothing where finance has let more be promised than it holds."""
    return max(0, monthly_budget_fen - promised_fen)
