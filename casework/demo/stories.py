"""The stories, by flow: what happens, which order it wants, how every case in it must end, and what it pays.

Who acts are people of the sample staff. `finance.1` deputises for `finance.2`, who is a supervisor too: in that inbox
the supervisor's cases would stand as well, so finance is `finance.3`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from casework.demo.choosing import Found, Gift, SentOn, Shop, Wish
from casework.demo.failing import DemoFailed
from casework.demo.stage import Stage
from casework.rules.gifts import meets_free_shipping_rule, meets_gift_rule
from casework.rules.returns import window_ends

REFUND, RETURN, GIFT = "refund-before-shipping", "return-after-shipping", "gift-approval"
BULK, PARCEL = "bulk-order", "problem-parcel"

AGENT, LEAD, FINANCE = "aftersale.1", "aftersale-lead.1", "finance.3"
REFUND_CLERK, RETURNS_CLERK = "refund.1", "returns.1"
PRESALE, PRESALE_LEAD, AUDITOR = "presale.1", "presale-lead.1", "audit.1"
BULK_SPECIALIST, STORE_MANAGER = "bulk.1", "manager.1"
PARCEL_SPECIALIST = "parcel.1"

DISCOUNT: Final = 5
"""Percent that the clean bulk order asks for."""
ADVANCED_FEN: Final = 1_200
"""What a buyer has paid to send goods back that the shop pays the postage for."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a case must have ended, and how much it must have paid, in fen. `title` tells it in the table."""

    case_id: str
    outcome: str
    paid_fen: int = 0
    title: str = ""


@dataclass(frozen=True)
class Act:
    """What a story has to play with: the stage, its order, and what else the shop has."""

    stage: Stage
    order: Found
    shop: Shop

    @property
    def of_order(self) -> tuple[str, str]:
        """The option that names the order."""
        return "--order", self.order.order_id


@dataclass(frozen=True)
class Story:
    """One story: `title` says what happens, `wish` which orders it can be played with."""

    flow: str
    title: str
    wish: Wish
    play: Callable[[Act], Coroutine[Any, Any, Sequence[Ending]]]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A case that waits for the reader: by which number it is named, and what decides it, behind that number."""

    case_id: str
    number: str
    command: str
    decision: str


@dataclass(frozen=True)
class Left:
    """A case that is left for the reader: `play` opens it and brings it to where it waits."""

    flow: str
    title: str
    wish: Wish
    play: Callable[[Act], Coroutine[Any, Any, Waiting]]


# --- which order ---


def unshipped(shop: Shop) -> list[Found]:
    """Paid and not shipped, and no bulk order."""
    return [one for one in shop.orders if one.whereabouts == "unshipped" and not _is_bulk(shop, one)]


def within_agents(shop: Shop) -> list[Found]:
    """What an agent may refund alone."""
    return [one for one in unshipped(shop) if one.amount_fen <= shop.policy.refund_before_shipping.agent_limit_fen]


def beyond_agents(shop: Shop) -> list[Found]:
    """What a supervisor is asked about."""
    return [one for one in unshipped(shop) if one.amount_fen > shop.policy.refund_before_shipping.agent_limit_fen]


def within_supervisors(shop: Shop) -> list[Found]:
    """What a supervisor may refund alone."""
    figures = shop.policy.refund_before_shipping
    return [one for one in unshipped(shop) if one.amount_fen <= figures.supervisor_limit_fen]


def supervisors_alone(shop: Shop) -> list[Found]:
    """What an agent may not refund, and a supervisor may."""
    most = shop.policy.refund_before_shipping.supervisor_limit_fen
    return [one for one in beyond_agents(shop) if one.amount_fen <= most]


def beyond_supervisors(shop: Shop) -> list[Found]:
    """What finance is asked about."""
    figures = shop.policy.refund_before_shipping
    return [one for one in unshipped(shop) if one.amount_fen > figures.supervisor_limit_fen]


def _is_bulk(shop: Shop, order: Found) -> bool:
    return order.talked or order.pieces >= shop.policy.bulk_order.min_pieces


def signed_lately(shop: Shop) -> list[Found]:
    """Signed for, still within the days in which it may be returned without a reason, small enough to ask nobody."""
    figures = shop.policy.return_after_shipping
    return [one for one in _signed_in_time(shop) if one.amount_fen <= figures.automatic_limit_fen]


def signed_and_large(shop: Shop) -> list[Found]:
    """Signed for within those days, more than is taken back without a superior, no more than a supervisor may."""
    figures = shop.policy.return_after_shipping
    return [
        one
        for one in _signed_in_time(shop)
        if figures.automatic_limit_fen < one.amount_fen <= figures.supervisor_limit_fen
    ]


def signed(shop: Shop) -> list[Found]:
    """Signed for, however long ago, and no case about its parcel is open."""
    return [one for one in shop.orders if one.whereabouts == "signed" and one.parcel_case is None]


def _signed_in_time(shop: Shop) -> list[Found]:
    figures, zone = shop.policy.return_after_shipping, shop.policy.shop.timezone
    return [
        one
        for one in signed(shop)
        if one.signed_at is not None and shop.now < window_ends(one.signed_at, figures.no_reason, zone)
    ]


def gift_allowed(shop: Shop) -> list[Found]:
    """An order that may have the cheapest gift by the rule."""
    return [one for one in unshipped(shop) if _meets_gift_rule(shop, one)]


def gift_not_allowed(shop: Shop) -> list[Found]:
    """An order that may have no gift by the rule."""
    return [one for one in unshipped(shop) if shop.gifts and not _meets_gift_rule(shop, one)]


def postage_to_credit(shop: Shop) -> list[Found]:
    """Paid with postage, and by the rule free of it."""
    least = shop.policy.gift_approval.free_shipping_min_fen
    return [
        one
        for one in unshipped(shop)
        if one.postage_fen and meets_free_shipping_rule(goods_total_fen=one.goods_fen, min_fen=least)
    ]


def _meets_gift_rule(shop: Shop, order: Found) -> bool:
    figures = shop.policy.gift_approval
    return bool(shop.gifts) and meets_gift_rule(
        goods_total_fen=order.goods_fen,
        cost_fen=shop.gifts[0].cost_fen,
        order_min_fen=figures.gift_order_min_fen,
        cost_max_percent=figures.gift_cost_max_percent,
    )


def bulk_and_clean(shop: Shop) -> list[Found]:
    """A bulk order whose buyer speaks of price and quality."""
    return [one for one in shop.orders if one.whereabouts == "unshipped" and _is_bulk(shop, one) and not one.risky]


def bulk_and_risky(shop: Shop) -> list[Found]:
    """A bulk order whose buyer speaks of material and brand licence."""
    return [one for one in shop.orders if one.whereabouts == "unshipped" and one.risky]


def station_withdrawn(shop: Shop) -> list[Found]:
    """The patrol has found its parcel: to Inner Mongolia, where the station has been withdrawn; the manual's case."""
    return [
        one
        for one in _in_trouble(shop)
        if shop.sent_on is not None
        and one.province == "内蒙古"
        and one.last_word is not None
        and "撤销" in one.last_word.text
    ]


def gone_quiet(shop: Shop) -> list[Found]:
    """The patrol has found its parcel: nothing has been heard of it, and it is worth more than a clerk may refund."""
    figures = shop.policy.return_after_shipping
    return [
        one
        for one in _in_trouble(shop)
        if one.amount_fen > figures.clerk_limit_fen and one.last_word is not None and one.last_word.state == "moving"
    ]


def undeliverable(shop: Shop) -> list[Found]:
    """The patrol has found its parcel, which cannot be delivered."""
    return [one for one in _in_trouble(shop) if one.last_word is not None and one.last_word.state == "problem"]


def on_its_way(shop: Shop) -> list[Found]:
    """Nothing is wrong with it, by the scans of the last day."""
    return [
        one
        for one in shop.orders
        if one.whereabouts == "under way"
        and one.parcel_case is None
        and one.last_word is not None
        and one.last_word.state in ("moving", "picked_up", "delivering")
        and shop.now - one.last_word.at < timedelta(days=1)
    ]


def _in_trouble(shop: Shop) -> list[Found]:
    return [one for one in shop.orders if one.whereabouts == "under way" and one.parcel_case is not None]


# --- 1. refund before shipping ---


async def _silence_pays(act: Act) -> list[Ending]:
    case = await act.stage.start("refund", *act.of_order, "--reason", "拍错了", by=AGENT)
    await act.stage.skip_to_deadline(case)
    return [Ending(case, "refunded", act.order.amount_fen)]


async def _two_levels(act: Act) -> list[Ending]:
    case = await act.stage.start("refund", *act.of_order, "--reason", "找到更便宜的", by=AGENT)
    await act.stage.casework("shop", "ship", act.order.order_id, expect=3)
    await act.stage.submit(case, "buyer_insists", AGENT)
    await act.stage.submit(case, "approve", AGENT, expect=3)
    await act.stage.submit(case, "approve", LEAD)
    await act.stage.submit(case, "approve", FINANCE)
    return [Ending(case, "refunded", act.order.amount_fen)]


async def _left_first(act: Act) -> list[Ending]:
    await act.stage.casework("shop", "ship", act.order.order_id)
    await act.stage.casework("shop", "fail", "intercept", act.order.order_id, "once")
    case = await act.stage.start("refund", *act.of_order, "--reason", "不想要了", by=AGENT)
    goes_on = await act.stage.child(case, RETURN)
    await _comes_back(act, goes_on)
    await _passes(act, goes_on)
    await act.stage.skip_to_deadline(goes_on)
    paid = act.order.amount_fen - act.order.postage_fen
    return [Ending(case, "converted"), Ending(goes_on, "refunded", paid, title="… goes on as a return")]


async def _withdrawn(act: Act) -> list[Ending]:
    case = await act.stage.start("refund", *act.of_order, "--reason", "等太久", by=AGENT)
    await act.stage.submit(case, "buyer_withdraws", AGENT)
    return [Ending(case, "kept")]


async def _fails_once(act: Act) -> list[Ending]:
    await act.stage.casework("shop", "fail", "payment", act.order.order_id, "once")
    case = await act.stage.start("refund", *act.of_order, "--reason", "尺寸不合适", by=AGENT)
    await _insists(act, case)
    return [Ending(case, "refunded", act.order.amount_fen)]


async def _fails_for_good(act: Act) -> list[Ending]:
    order = act.order
    await act.stage.casework("shop", "fail", "payment", order.order_id, "always")
    case = await act.stage.start("refund", *act.of_order, "--reason", "颜色不喜欢", by=AGENT)
    await _insists(act, case)
    await act.stage.submit(
        case,
        "confirm_paid_by_hand",
        REFUND_CLERK,
        f"payment_reference=demo-{order.order_id}",
        f"amount_fen={order.amount_fen}",
    )
    return [Ending(case, "refunded", order.amount_fen)]


async def _insists(act: Act, case: str) -> None:
    if (await act.stage.submit(case, "buyer_insists", AGENT)).state == "awaiting_supervisor":
        await act.stage.submit(case, "approve", LEAD)


# --- 2. return after shipping ---


async def _hole(act: Act) -> list[Ending]:
    fault = ("--cause", "quality", "--defect", "hole", "--description", "被面有破洞", "--photos", "demo-hole-1")
    case = await act.stage.start("return", *act.of_order, *fault, by=AGENT)
    await act.stage.submit(case, "supplier_agrees", AGENT)
    await _comes_back(act, case, f"postage_fen={ADVANCED_FEN}")
    await act.stage.submit(case, "pass_inspection", AGENT, *_all_taken(act), expect=3)
    await _passes(act, case)
    await act.stage.submit(case, "buyer_confirms", AGENT)
    return [Ending(case, "refunded", act.order.amount_fen + ADVANCED_FEN)]


async def _inspection_fails(act: Act) -> list[Ending]:
    case = await act.stage.start("return", *act.of_order, "--cause", "no_reason", by=AGENT)
    await act.stage.submit(case, "approve", LEAD)
    await _comes_back(act, case)
    photos = json.dumps([f"demo-{case}-1"])
    await act.stage.submit(case, "fail_inspection", RETURNS_CLERK, "reason=已使用,有污渍", f"photos={photos}")
    await act.stage.submit(case, "goods_sent_back", RETURNS_CLERK, "courier=zhongtong", f"waybill={_waybill(act, 'B')}")
    return [Ending(case, "returned_to_buyer")]


async def _opened_and_refused(act: Act) -> list[Ending]:
    case = await act.stage.start("return", *act.of_order, "--cause", "no_reason", "--opened", by=AGENT)
    await act.stage.skip_to_deadline(case)
    return [Ending(case, "declined")]


async def _comes_back(act: Act, case: str, *more: str) -> None:
    """The buyer sends the goods back, and they come in."""
    waybill = f"waybill={_waybill(act, 'R')}"
    await act.stage.submit(case, "buyer_ships", AGENT, "courier=zhongtong", waybill, *more)
    await act.stage.submit(case, "receive_goods", RETURNS_CLERK, waybill)


async def _passes(act: Act, case: str) -> None:
    await act.stage.submit(case, "pass_inspection", RETURNS_CLERK, *_all_taken(act))


def _all_taken(act: Act) -> tuple[str, ...]:
    lines = json.dumps([{"line": line, "accepted_quantity": quantity} for line, quantity in act.order.lines])
    return f"lines={lines}", "gift_back=null", "invoice_back=null"


def _waybill(act: Act, kind: str) -> str:
    return f"DEMO{kind}{act.order.order_id[-10:]}"


# --- 3. gift or free shipping ---


async def _gift_by_the_rule(act: Act) -> list[Ending]:
    case = await _ask_for_gift(act)
    await act.stage.submit(case, "add_gift", AUDITOR)
    return [Ending(case, "granted")]


async def _gift_refused(act: Act) -> list[Ending]:
    case = await _ask_for_gift(act)
    await act.stage.submit(case, "buyer_insists", PRESALE)
    await act.stage.submit(case, "approve", AUDITOR, expect=3)
    await act.stage.submit(case, "reject", PRESALE_LEAD, "--note", "未达赠品标准")
    await act.stage.submit(case, "buyer_understands", PRESALE)
    return [Ending(case, "declined")]


async def _postage_credited(act: Act) -> list[Ending]:
    cost = ("--cost-fen", str(act.order.postage_fen))
    case = await act.stage.start("gift", *act.of_order, "--kind", "free_shipping", *cost, by=PRESALE)
    await act.stage.submit(case, "add_gift", AUDITOR)
    return [Ending(case, "granted", act.order.postage_fen)]


async def _ask_for_gift(act: Act) -> str:
    gift: Gift = act.shop.gifts[0]
    which = ("--kind", "gift", "--gift-sku", gift.sku, "--quantity", "1", "--cost-fen", str(gift.cost_fen))
    return await act.stage.start("gift", *act.of_order, *which, by=PRESALE)


# --- 4. bulk order ---


async def _bulk_goes_through(act: Act) -> list[Ending]:
    order = act.order
    case = await act.stage.start("bulk", *act.of_order, "--discount-percent", str(DISCOUNT), by=BULK_SPECIALIST)
    await _dossier(act, case, days_ago=3000, purchases=3)
    await act.stage.casework("shop", "ship", order.order_id, expect=3)
    await act.stage.submit(case, "pass_legal_review", STORE_MANAGER, "--note", "资料齐全,无异常")
    await act.stage.submit(case, "approve", PRESALE_LEAD)
    discount = order.goods_fen * DISCOUNT // 100
    await act.stage.submit(case, "change_amount", AUDITOR, f"amount_fen={order.amount_fen - discount}")
    await act.stage.casework("shop", "ship", order.order_id)
    await act.stage.submit(case, "buyer_confirms", BULK_SPECIALIST)
    return [Ending(case, "completed", discount)]


async def _bulk_is_malicious(act: Act) -> list[Ending]:
    case = await act.stage.start("bulk", *act.of_order, "--discount-percent", "0", by=BULK_SPECIALIST)
    await _dossier(act, case, days_ago=6, purchases=0)
    signs = json.dumps(["young_account", "no_purchases", "material_talk", "brand_licence_talk"])
    await act.stage.submit(case, "find_malicious", STORE_MANAGER, f"signs={signs}")
    refund = await act.stage.child(case, REFUND)
    await act.stage.submit(refund, "approve", FINANCE)
    return [
        Ending(case, "terminated"),
        Ending(refund, "refunded", act.order.amount_fen, title="… its money goes back, nobody persuades"),
    ]


async def _dossier(act: Act, case: str, *, days_ago: int, purchases: int) -> None:
    registered = act.shop.now.date() - timedelta(days=days_ago)
    fields = (f"buyer_registered_on={registered}", f"buyer_purchases={purchases}")
    await act.stage.submit(case, "submit_dossier", BULK_SPECIALIST, *fields)


# --- 5. problem parcel ---


async def _station_gone(act: Act) -> list[Ending]:
    """The manual's own case."""
    case, sent_on = _found_by_patrol(act), _sent_on(act)
    await act.stage.until(case, ["investigating"])
    await act.stage.submit(case, "courier_answers", PARCEL_SPECIALIST, "finding=station_withdrawn")
    await act.stage.submit(case, "buyer_chooses", AGENT, "choice=forward")
    forwarded = (f"courier={sent_on.courier}", f"waybill={sent_on.waybill}")
    await act.stage.submit(case, "parcel_forwarded", PARCEL_SPECIALIST, *forwarded)
    await act.stage.skip_until(case, "confirming_receipt", at_most=timedelta(days=3))
    await act.stage.submit(case, "buyer_confirms", AGENT)
    return [Ending(case, "delivered")]


async def _declared_lost(act: Act) -> list[Ending]:
    case = _found_by_patrol(act)
    await act.stage.until(case, ["investigating"])
    await act.stage.skip_to_deadline(case)
    await act.stage.submit(case, "declare_lost", LEAD, "--note", "快递无法提供轨迹")
    await act.stage.submit(case, "choose_refund", AGENT)
    refund = await act.stage.child(case, RETURN)
    await act.stage.submit(refund, "approve", FINANCE)
    await act.stage.skip_to_deadline(refund)
    return [
        Ending(case, "refund_opened"),
        Ending(refund, "refunded", act.order.amount_fen, title="… paid back, no goods to come"),
    ]


async def _only_asked(act: Act) -> list[Ending]:
    case = await act.stage.start("problem", *act.of_order, "--waybill", act.order.waybill or "", by=AGENT)
    await act.stage.until(case, ["reassured"])
    return [Ending(case, "reassured")]


def _found_by_patrol(act: Act) -> str:
    if act.order.parcel_case is None:
        raise DemoFailed(f"no case follows the parcel of {act.order.order_id}")
    return act.order.parcel_case


def _sent_on(act: Act) -> SentOn:
    if act.shop.sent_on is None:
        raise DemoFailed("the shop knows no parcel as which one could go on")
    return act.shop.sent_on


STORIES: Sequence[Story] = [
    Story(REFUND, "small, silence pays", within_agents, _silence_pays),
    Story(REFUND, "large, two levels approve", beyond_supervisors, _two_levels),
    Story(REFUND, "it left first, and is not stopped", within_agents, _left_first),
    Story(REFUND, "the buyer withdraws", unshipped, _withdrawn),
    Story(REFUND, "payment fails once", within_supervisors, _fails_once),
    Story(REFUND, "payment fails for good", within_supervisors, _fails_for_good),
    Story(RETURN, "a hole: the shop pays the postage too", signed_lately, _hole),
    Story(RETURN, "used: the inspection fails", signed_and_large, _inspection_fails),
    Story(RETURN, "opened: outside the rules", signed, _opened_and_refused),
    Story(GIFT, "a gift within the rule", gift_allowed, _gift_by_the_rule),
    Story(GIFT, "a gift outside it, refused", gift_not_allowed, _gift_refused),
    Story(GIFT, "free shipping, credited", postage_to_credit, _postage_credited),
    Story(BULK, "clean, 5 % off", bulk_and_clean, _bulk_goes_through),
    Story(BULK, "malicious", bulk_and_risky, _bulk_is_malicious),
    Story(PARCEL, "Inner Mongolia, station withdrawn, on by EMS, signed next day", station_withdrawn, _station_gone),
    Story(PARCEL, "declared lost", gone_quiet, _declared_lost),
    Story(PARCEL, "the buyer only asked", on_its_way, _only_asked),
]


# --- three that wait for the reader ---


async def _waits_for_finance(act: Act) -> Waiting:
    case = await act.stage.start("refund", *act.of_order, "--reason", "送货太慢", by=AGENT)
    await act.stage.submit(case, "buyer_insists", AGENT)
    await act.stage.submit(case, "approve", LEAD)
    return Waiting(case, act.order.order_id, "approve", f"--by {FINANCE}")


async def _gift_waits(act: Act) -> Waiting:
    case = await _ask_for_gift(act)
    await act.stage.submit(case, "buyer_insists", PRESALE)
    return Waiting(case, act.order.order_id, "approve", f"--by {PRESALE_LEAD}")


async def _buyer_is_asked(act: Act) -> Waiting:
    case = _found_by_patrol(act)
    await act.stage.until(case, ["investigating"])
    await act.stage.submit(case, "courier_answers", PARCEL_SPECIALIST, "finding=out_of_area")
    choice = f"buyer_chooses --set choice=pickup --by {AGENT}"
    return Waiting(case, act.order.waybill or "", "submit", choice)


LEFT: Sequence[Left] = [
    Left(PARCEL, "one that waits for the buyer's choice", undeliverable, _buyer_is_asked),
    Left(GIFT, "one that waits for the pre-sale supervisor", gift_not_allowed, _gift_waits),
    Left(REFUND, "one that waits for finance", beyond_supervisors, _waits_for_finance),
]
