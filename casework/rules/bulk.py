"""The rules of flow 4, bulk orders: what is bulk, what speaks of a malicious claim, which discount, what price.

Pure; money is whole fen, percents are decimals, never floats.

Whether an order is bulk, and the risk signs, advise people; they never decide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum

from casework.money import shares

_PERCENT = re.compile(r"-?\d{1,9}(?:\.\d{1,9})?", re.ASCII)
_LICENCE = ("授权", "商标", "品牌", "牌照", "版权")
"""A risk word that holds one of these speaks of brand licence; every other one of the material."""


class Sign(StrEnum):
    """What speaks of a malicious claim (contract.md, `find_malicious`)."""

    YOUNG_ACCOUNT = "young_account"
    NO_PURCHASES = "no_purchases"
    MATERIAL_TALK = "material_talk"
    BRAND_LICENCE_TALK = "brand_licence_talk"
    OTHER = "other"


def is_bulk(pieces: int, total_fen: int, *, min_pieces: int, min_total_fen: int) -> bool:
    """Whether an order is of a size that the flow is meant for: by pieces or by its total in fen.

    Source: policy.md, bulk_order.min_pieces and .min_total_fen.
    """
    return pieces >= min_pieces or total_fen >= min_total_fen


def is_young(registered_on: date, on: date, *, young_account_days: int) -> bool:
    """Whether an account was registered less than so many calendar days before.

    Source: policy.md, bulk_order.young_account_days; flows.md 4, "young account".
    """
    return (on - registered_on).days < young_account_days


def talk_signs(texts: Iterable[str], risk_words: Sequence[str]) -> list[Sign]:
    """What a buyer's words speak of: material or brand licence, by the policy's risk words.

    Source: flows.md 4, "talk about material and brand licence instead of price and quality"; policy.md,
    bulk_order.risk_words.
    """
    said = [text.casefold() for text in texts]
    used = [word for word in risk_words if any(word.casefold() in text for text in said)]
    licence = [word for word in used if any(part in word for part in _LICENCE)]
    signs: list[Sign] = []
    if len(used) > len(licence):
        signs.append(Sign.MATERIAL_TALK)
    if licence:
        signs.append(Sign.BRAND_LICENCE_TALK)
    return signs


def record_signs(registered_on: date | None, purchases: int | None, *, on: date, young_account_days: int) -> list[Sign]:
    """What a buyer's record speaks of: a young account, no earlier purchases. What is not known is no sign.

    Source: flows.md 4, "young account, no purchases".
    """
    signs: list[Sign] = []
    if registered_on is not None and is_young(registered_on, on, young_account_days=young_account_days):
        signs.append(Sign.YOUNG_ACCOUNT)
    if purchases == 0:
        signs.append(Sign.NO_PURCHASES)
    return signs


def parse_percent(text: str) -> Decimal:
    """Read a discount in percent, a decimal written as text.

    Source: contract.md, bulk order: `discount_percent`, "decimal as a string".

    Raises:
        ValueError: one plain sentence: it is no plain decimal, below 0, above 100, or has more than two decimals.

    """
    text = text.strip()
    if _PERCENT.fullmatch(text) is None:
        raise ValueError("must be a decimal written as text, such as 7.5")
    percent = Decimal(text)
    if percent < 0:
        raise ValueError("must not be below 0 percent")
    if percent > 100:
        raise ValueError("must not be above 100 percent")
    if percent != percent.quantize(Decimal("0.01")):
        raise ValueError("must have at most two decimals")
    return percent


def may_grant(percent: Decimal, limit_percent: Decimal) -> bool:
    """Whether a discount is within somebody's limit.

    Source: flows.md, "Authority", and 4; policy.md, bulk_order.supervisor_discount_percent and
    .general_manager_discount_percent.
    """
    return percent <= limit_percent


def discount_fen(goods_fen: int, percent: Decimal) -> int:
    """How much a discount takes off the goods, in whole fen, rounded down: never more than was approved.

    Source: contract.md, `change_amount`, "the approved price"; flows.md, "Money".

    Raises:
        ValueError: the price is negative, or the percent not one from 0 to 100.

    """
    if goods_fen < 0 or not 0 <= percent <= 100:
        raise ValueError("a price is not negative, a discount from 0 to 100 percent")
    return int((goods_fen * percent / 100).to_integral_value(ROUND_DOWN))


def approved_price(goods_fen: int, postage_fen: int, percent: Decimal) -> int:
    """The order's new total with postage, in whole fen: the discount is on the goods, postage stays as it is.

    Source: contract.md, `change_amount`: "the order's new total with postage; must be the approved price".

    Raises:
        ValueError: a price is negative, or the percent not one from 0 to 100.

    """
    if postage_fen < 0:
        raise ValueError("postage is not negative")
    return goods_fen - discount_fen(goods_fen, percent) + postage_fen


def spread(total_fen: int, left_fen: Sequence[int]) -> list[int]:
    """Spread a rebate over lines by what is left of each, rounded down; the remainder goes to the last line.

    What the last line has no room for goes to the one before it, so that no account is overdrawn.

    Source: flows.md, "Money".

    Raises:
        ValueError: something is negative, or there is not so much left.

    """
    if total_fen > sum(left_fen):
        raise ValueError("a rebate is no more than what is left of the lines")
    spread_fen = shares(total_fen, left_fen)
    for place in range(len(spread_fen) - 1, 0, -1):
        over = max(0, spread_fen[place] - left_fen[place])
        spread_fen[place] -= over
        spread_fen[place - 1] += over
    return spread_fen


def ship_alarm_at(paid_at: datetime | None, *, ship_by: timedelta, ship_alarm: timedelta) -> datetime | None:
    """When the alarm is due that a held order will miss its shipping deadline; None while the order is not paid.

    Times are aware.

    Source: flows.md 4, "An alarm comes before the shipping deadline while the shipment is held"; policy.md,
    bulk_order.ship_by_hours after the payment, .ship_alarm_hours before that.
    """
    return None if paid_at is None else paid_at + ship_by - ship_alarm


def confirmation_due(
    last_shipped_at: datetime | None, *, confirmation: timedelta, extended_until: datetime | None
) -> datetime | None:
    """Until when the buyer's confirmation is awaited: so long after the last shipment, or as long as it was extended.

    None where neither is known. Times are aware.

    Source: policy.md, bulk_order.confirmation_days, "15 after the last shipment"; contract.md, `extend`.
    """
    after_shipment = None if last_shipped_at is None else last_shipped_at + confirmation
    return max((due for due in (after_shipment, extended_until) if due is not None), default=None)
