"""The stories: what happens to an order, how every case in it must end, and what that pays. By flow, like the demo's.

What must come of a story is reckoned here from its inputs, never read from the shop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from casework.shop import outside
from casework.shop.errors import Held
from casework.shop.faults import set_fault
from casework.shop.tables import ChatRow, GiftRow
from chaos.acting import Act, Ending, StoryBroke
from chaos.points import CONTINUE_AS_NEW, DELIVER
from state_machines.roles import Role
from tests.orders import add_order, add_scan

REFUND, RETURN, GIFT, BULK, PARCEL = (
    "refund-before-shipping",
    "return-after-shipping",
    "gift-approval",
    "bulk-order",
    "problem-parcel",
)
GIFT_SKU: Final = "GP-CHAOS"
GIFT_COST_FEN: Final = 500
GIFTS: Final = 1_000_000
"""There are enough for all stories."""
ADVANCED_FEN: Final = 900
"""What a buyer advances for the way back."""
DISCOUNT: Final = 5
"""Percent."""
LOOKS_EVERY: Final = timedelta(hours=4)
"""A poll whose worker is killed may have learnt nothing: then the next one does."""
COMMENTS: Final = 24
"""After so many comments a case continues as new (see `chaos.run.FLAGS`)."""
SMALL, MIDDLE, LARGE, BULKY = (2_000, 18_000), (20_100, 50_000), (120_000, 400_000), (500_000, 900_000)
"""What an order costs, in fen: decided by an agent, also with postage, by a supervisor, by finance; a bulk order."""

Plays = Callable[[Act], Awaitable[list[Ending]]]


@dataclass(frozen=True, slots=True)
class Story:
    """A story, and what its plan needs to know.

    `passes`: activities that it comes by for certain, as moments to kill at; `shipped`: the order has left before;
    `platform_pays`: the platform pays the buyer the whole order in it.
    """

    name: str
    prices: tuple[int, int]
    passes: Sequence[str]
    plays: Plays
    postage: bool = False
    paid: bool = True
    shipped: bool = False
    platform_pays: bool = False

    @property
    def flow(self) -> str:
        """The flow of the case that it begins with."""
        return self.name.partition(": ")[0]


async def prepare(act: Act, story: Story) -> None:
    """The order as it stands before the story begins."""
    await act.shop(
        lambda session: add_order(
            session,
            act.order_id,
            prices=[(act.price_fen, 1)],
            postage_fen=act.postage_fen,
            paid=story.paid,
            shipped=story.shipped,
        )
    )


# --- 1. refund before shipping ---


async def _silence_pays(act: Act) -> list[Ending]:
    case = await act.open(REFUND, Role.AFTERSALE_AGENT, reason="拍错了")
    await act.skip_to_deadline(case)
    return [Ending(case, "refunded", act.total_fen)]


async def _two_levels(act: Act) -> list[Ending]:
    case = await act.open(REFUND, Role.AFTERSALE_AGENT, reason="找到更便宜的")
    await act.until_in(case, "persuading")
    try:
        await act.shop(lambda session: outside.ship(session, act.order_id, at=act.now))
    except Held:
        pass
    else:
        raise StoryBroke(f"{act.order_id} has left although {case} holds it")
    await act.submit(case, "buyer_insists", Role.AFTERSALE_AGENT)
    await act.submit(case, "approve", Role.AFTERSALE_SUPERVISOR)
    await act.submit(case, "approve", Role.FINANCE_MANAGER)
    return [Ending(case, "refunded", act.total_fen)]


async def _withdrawn(act: Act) -> list[Ending]:
    case = await act.open(REFUND, Role.AFTERSALE_AGENT)
    await act.submit(case, "give_reason", Role.AFTERSALE_AGENT, reason="等太久")
    await act.submit(case, "buyer_withdraws", Role.AFTERSALE_AGENT)
    return [Ending(case, "kept")]


async def _fails_once(act: Act) -> list[Ending]:
    await act.shop(lambda session: set_fault(session, "payment", act.order_id, "once"))
    case = await act.open(REFUND, Role.AFTERSALE_AGENT, reason="尺寸不合适")
    await act.submit(case, "buyer_insists", Role.AFTERSALE_AGENT)
    return [Ending(case, "refunded", act.total_fen)]


async def _fails_for_good(act: Act) -> list[Ending]:
    await act.shop(lambda session: set_fault(session, "payment", act.order_id, "always"))
    case = await act.open(REFUND, Role.AFTERSALE_AGENT, reason="颜色不喜欢")
    await act.submit(case, "buyer_insists", Role.AFTERSALE_AGENT)
    paid = {"payment_reference": f"bank-{act.order_id}", "amount_fen": act.total_fen}
    await act.submit(case, "confirm_paid_by_hand", Role.REFUND_CLERK, **paid)
    return [Ending(case, "refunded", act.total_fen)]


async def _left_first(act: Act) -> list[Ending]:
    await act.shop(lambda session: set_fault(session, "intercept", act.order_id, "once"))
    case = await act.open(REFUND, Role.AFTERSALE_AGENT, reason="不想要了")
    async with act.others_trying(case, held=False):
        goes_on = await act.child(case, RETURN)
        await act.until_at_rest(goes_on)
    await _comes_back(act, goes_on)
    await act.submit(goes_on, "buyer_confirms", Role.AFTERSALE_AGENT)
    return [Ending(case, "converted"), Ending(goes_on, "refunded", act.price_fen, stocked=1)]


async def _stopped_in_time(act: Act) -> list[Ending]:
    case = await act.open(REFUND, Role.AFTERSALE_AGENT, reason="地址写错了")
    await act.submit(case, "parcel_back", Role.RETURNS_CLERK)
    return [Ending(case, "refunded", act.total_fen, stocked=1)]


async def _platform_pays(act: Act) -> list[Ending]:
    case = await act.open(REFUND, Role.AFTERSALE_AGENT, reason="平台介入")
    await act.submit(case, "buyer_insists", Role.AFTERSALE_AGENT)
    await act.until_in(case, "awaiting_supervisor")
    await act.shop(lambda session: outside.refunded(session, act.order_id, at=act.now))
    return [Ending(case, "refunded")]


async def _long_talk(act: Act) -> list[Ending]:
    case = await act.open(REFUND, Role.AFTERSALE_AGENT, reason="反复沟通")
    await act.until_in(case, "persuading")
    for number in range(COMMENTS):
        await act.comment(case, Role.AFTERSALE_AGENT, f"第 {number} 次沟通")
    await act.submit(case, "buyer_insists", Role.AFTERSALE_AGENT)
    return [Ending(case, "refunded", act.total_fen)]


# --- 2. return after shipping ---


async def _comes_in_order(act: Act) -> list[Ending]:
    case = await act.open(RETURN, Role.AFTERSALE_AGENT, cause="no_reason")
    await _comes_back(act, case)
    await act.submit(case, "buyer_confirms", Role.AFTERSALE_AGENT)
    return [Ending(case, "refunded", act.price_fen, stocked=1)]


async def _hole(act: Act) -> list[Ending]:
    fault = {"cause": "quality", "defect": "hole", "description": "被面有破洞", "photos": ["chaos-1"]}
    case = await act.open(RETURN, Role.AFTERSALE_AGENT, **fault)
    await act.submit(case, "supplier_agrees", Role.AFTERSALE_AGENT)
    await _comes_back(act, case, postage_fen=ADVANCED_FEN)
    await act.skip_to_deadline(case)
    return [Ending(case, "refunded", act.total_fen + ADVANCED_FEN, stocked=1)]


async def _inspection_fails(act: Act) -> list[Ending]:
    case = await act.open(RETURN, Role.AFTERSALE_AGENT, cause="no_reason")
    await act.submit(case, "approve", Role.AFTERSALE_SUPERVISOR)
    await _sent(act, case)
    await act.submit(case, "fail_inspection", Role.RETURNS_CLERK, reason="已使用,有污渍", photos=["chaos-2"])
    parcel = {"courier": "zhongtong", "waybill": act.another_waybill("SB")}
    await act.submit(case, "goods_sent_back", Role.RETURNS_CLERK, **parcel)
    return [Ending(case, "returned_to_buyer")]


async def _opened_package(act: Act) -> list[Ending]:
    case = await act.open(RETURN, Role.AFTERSALE_AGENT, cause="no_reason", opened=True)
    await act.until_in(case, "explaining")
    await act.skip_to_deadline(case)
    return [Ending(case, "declined")]


async def _called_off(act: Act) -> list[Ending]:
    case = await act.open(RETURN, Role.AFTERSALE_AGENT, cause="no_reason")
    await act.submit(case, "cancel_case", Role.AFTERSALE_SUPERVISOR, note="开错了")
    return [Ending(case, "cancelled")]


async def _sent(act: Act, case: str, **more: Any) -> None:
    """The buyer sends the goods back, and they come in."""
    waybill = act.another_waybill("RB")
    await act.submit(case, "buyer_ships", Role.AFTERSALE_AGENT, courier="zhongtong", waybill=waybill, **more)
    await act.submit(case, "receive_goods", Role.RETURNS_CLERK, waybill=waybill)


async def _comes_back(act: Act, case: str, **more: Any) -> None:
    """They pass the inspection, too."""
    await _sent(act, case, **more)
    taken = {"lines": [{"line": 1, "accepted_quantity": 1}], "gift_back": None, "invoice_back": None}
    await act.submit(case, "pass_inspection", Role.RETURNS_CLERK, **taken)


# --- 3. gift or free shipping ---


async def _by_the_rule(act: Act) -> list[Ending]:
    case = await _ask_for_gift(act)
    await act.submit(case, "add_gift", Role.ORDER_AUDITOR)
    return [Ending(case, "granted")]


async def _gift_refused(act: Act) -> list[Ending]:
    case = await _ask_for_gift(act)
    await act.submit(case, "buyer_insists", Role.PRESALE_AGENT, gift_sku=GIFT_SKU, quantity=2)
    await act.submit(case, "reject", Role.PRESALE_SUPERVISOR, note="未达赠品标准")
    await act.submit(case, "buyer_understands", Role.PRESALE_AGENT)
    return [Ending(case, "declined")]


async def _postage_credited(act: Act) -> list[Ending]:
    free = {"kind": "free_shipping", "cost_fen": act.postage_fen}
    case = await act.open(GIFT, Role.PRESALE_AGENT, **free)
    await act.submit(case, "add_gift", Role.ORDER_AUDITOR)
    return [Ending(case, "granted", act.postage_fen)]


async def _gift_called_off(act: Act) -> list[Ending]:
    case = await _ask_for_gift(act)
    await act.until_in(case, "awaiting_audit")
    await act.submit(case, "cancel_case", Role.PRESALE_SUPERVISOR, note="买家不要了")
    return [Ending(case, "cancelled")]


async def _order_closes(act: Act) -> list[Ending]:
    case = await _ask_for_gift(act)
    await act.until_in(case, "awaiting_audit")
    await act.shop(lambda session: outside.close(session, act.order_id, at=act.now))
    return [Ending(case, "revoked")]


async def _ask_for_gift(act: Act) -> str:
    gift = {"kind": "gift", "gift_sku": GIFT_SKU, "quantity": 1, "cost_fen": GIFT_COST_FEN}
    return await act.open(GIFT, Role.PRESALE_AGENT, **gift)


def gift_of_catalogue() -> GiftRow:
    """The gift of all stories."""
    return GiftRow(
        sku=GIFT_SKU,
        name="赠品",
        cost_fen=GIFT_COST_FEN,
        value_fen=2 * GIFT_COST_FEN,
        stock=GIFTS,
        imported_stock=GIFTS,
    )


# --- 4. bulk order ---


async def _goes_through(act: Act) -> list[Ending]:
    case = await _reviewed(act, DISCOUNT)
    await act.submit(case, "approve", Role.PRESALE_SUPERVISOR)
    rebate = act.price_fen * DISCOUNT // 100
    await act.submit(case, "change_amount", Role.ORDER_AUDITOR, amount_fen=act.total_fen - rebate)
    await act.until_in(case, "following")
    await act.shop(lambda session: outside.ship(session, act.order_id, at=act.now))
    await act.submit(case, "buyer_confirms", Role.BULK_SPECIALIST)
    return [Ending(case, "completed", rebate)]


async def _malicious(act: Act) -> list[Ending]:
    case = await act.open(BULK, Role.BULK_SPECIALIST, discount_percent="0")
    await _dossier(act, case)
    async with act.others_trying(case, held=True):
        await act.submit(case, "find_malicious", Role.STORE_MANAGER, signs=["young_account", "no_purchases"])
        refund = await act.child(case, REFUND)
        await act.until_at_rest(refund)
    await act.submit(refund, "approve", Role.FINANCE_MANAGER)
    return [Ending(case, "terminated"), Ending(refund, "refunded", act.total_fen)]


async def _list_price_declined(act: Act) -> list[Ending]:
    case = await _reviewed(act, DISCOUNT)
    await act.submit(case, "reject", Role.PRESALE_SUPERVISOR, note="不给折扣")
    async with act.others_trying(case, held=True):
        await act.submit(case, "buyer_declines_list_price", Role.BULK_SPECIALIST)
        refund = await act.child(case, REFUND)
        await act.until_at_rest(refund)
    await act.submit(refund, "buyer_insists", Role.AFTERSALE_AGENT)
    await act.submit(refund, "approve", Role.AFTERSALE_SUPERVISOR)
    await act.submit(refund, "approve", Role.FINANCE_MANAGER)
    return [Ending(case, "refund_opened"), Ending(refund, "refunded", act.total_fen)]


async def _changed_unpaid(act: Act) -> list[Ending]:
    """The buyer has talked, has not paid yet, and wants it sent elsewhere once all is agreed on."""
    said = [{"at": act.now.isoformat(), "from": "buyer", "text": "能便宜点吗"}]
    chat = ChatRow(id=f"chat-{act.order_id}", order_id=act.order_id, buyer_registered_on=None, messages=said)
    await act.shop(lambda session: session.merge(chat))
    case = await act.open(BULK, Role.BULK_SPECIALIST, discount_percent=str(DISCOUNT))
    await _dossier(act, case, chat_id=f"chat-{act.order_id}")
    await act.submit(case, "pass_legal_review", Role.STORE_MANAGER, note="资料齐全,无异常")
    await act.submit(case, "approve", Role.PRESALE_SUPERVISOR)
    price_fen = act.price_fen - act.price_fen * DISCOUNT // 100
    await act.submit(case, "change_amount", Role.ORDER_AUDITOR, amount_fen=price_fen)
    await act.until_in(case, "following")
    await act.shop(lambda session: outside.set_address(session, act.order_id, "山东 青岛 市南区", at=act.now))
    await act.until_in(case, "compiling", "legal_review")
    await act.submit(case, "cancel_case", Role.STORE_MANAGER, note="买家不买了")
    return [Ending(case, "cancelled")]


async def _bulk_refunded(act: Act) -> list[Ending]:
    case = await act.open(BULK, Role.BULK_SPECIALIST, discount_percent="0")
    await act.until_in(case, "compiling")
    await act.shop(lambda session: outside.refunded(session, act.order_id, at=act.now))
    return [Ending(case, "closed_refunded")]


async def _reviewed(act: Act, percent: int) -> str:
    case = await act.open(BULK, Role.BULK_SPECIALIST, discount_percent=str(percent))
    await _dossier(act, case)
    await act.submit(case, "pass_legal_review", Role.STORE_MANAGER, note="资料齐全,无异常")
    return case


async def _dossier(act: Act, case: str, **more: Any) -> None:
    registered = act.now.date() - timedelta(days=3_000)
    await act.submit(
        case,
        "submit_dossier",
        Role.BULK_SPECIALIST,
        buyer_registered_on=registered.isoformat(),
        buyer_purchases=3,
        **more,
    )


# --- 5. problem parcel ---


async def _station_gone(act: Act) -> list[Ending]:
    case, on = await _in_trouble(act), act.another_waybill("EA")
    await act.submit(case, "courier_answers", Role.PARCEL_SPECIALIST, finding="station_withdrawn")
    await act.submit(case, "buyer_chooses", Role.AFTERSALE_AGENT, choice="forward")
    await act.submit(case, "parcel_forwarded", Role.PARCEL_SPECIALIST, courier="ems", waybill=on)
    at = await act.time_of(case)
    await act.shop(lambda session: add_scan(session, on, "301", at=at, courier="ems"))
    await act.skip_until(case, "confirming_receipt", stride=LOOKS_EVERY, at_most=timedelta(days=3))
    await act.submit(case, "buyer_confirms", Role.AFTERSALE_AGENT)
    return [Ending(case, "delivered")]


async def _never_confirmed(act: Act) -> list[Ending]:
    """Ten days of looks: a case that watches continues as new on the way."""
    case = await _in_trouble(act)
    await act.submit(case, "courier_answers", Role.PARCEL_SPECIALIST, finding="signed")
    await act.until_in(case, "confirming_receipt")
    await act.skip_to_deadline(case)
    return [Ending(case, "delivered")]


async def _declared_lost(act: Act) -> list[Ending]:
    case = await _in_trouble(act)
    await act.submit(case, "courier_answers", Role.PARCEL_SPECIALIST, finding="lost")
    async with act.others_trying(case, held=False):
        await act.submit(case, "choose_refund", Role.AFTERSALE_AGENT)
        refund = await act.child(case, RETURN)
        await act.until_at_rest(refund)
    await act.submit(refund, "buyer_confirms", Role.AFTERSALE_AGENT)
    # damage on the way is the seller's: the postage goes back with it
    return [Ending(case, "refund_opened"), Ending(refund, "refunded", act.total_fen)]


async def _sent_again(act: Act) -> list[Ending]:
    case = await _in_trouble(act)
    await act.submit(case, "courier_answers", Role.PARCEL_SPECIALIST, finding="lost")
    await act.submit(case, "choose_reship", Role.AFTERSALE_AGENT)
    on = act.another_waybill("ZT")
    await act.submit(case, "parcel_reshipped", Role.WAREHOUSE, courier="zhongtong", waybill=on)
    await act.submit(case, "buyer_confirms", Role.AFTERSALE_AGENT)
    return [Ending(case, "delivered", stocked=-1)]


async def _delivered_again(act: Act) -> list[Ending]:
    case = await _in_trouble(act)
    await act.submit(case, "courier_answers", Role.PARCEL_SPECIALIST, finding="wrong_address")
    await act.submit(case, "buyer_chooses", Role.AFTERSALE_AGENT, choice="redeliver", address_id="chaos-address-1")
    await act.submit(case, "buyer_confirms", Role.AFTERSALE_AGENT)
    return [Ending(case, "delivered")]


async def _parcel_called_off(act: Act) -> list[Ending]:
    case = await _in_trouble(act)
    await act.submit(case, "cancel_case", Role.AFTERSALE_SUPERVISOR, note="买家已收到")
    return [Ending(case, "cancelled")]


async def _only_asked(act: Act) -> list[Ending]:
    await act.shop(lambda session: add_scan(session, act.waybill, "0", at=act.now - timedelta(hours=1)))
    case = await _ask_for_parcel(act)
    await act.skip_until(case, "reassured", stride=LOOKS_EVERY, at_most=timedelta(days=1))
    return [Ending(case, "reassured")]


async def _in_trouble(act: Act) -> str:
    await act.shop(lambda session: add_scan(session, act.waybill, "2", at=act.now - timedelta(hours=1)))
    case = await _ask_for_parcel(act)
    await act.skip_until(case, "investigating", stride=LOOKS_EVERY, at_most=timedelta(days=1))
    return case


async def _ask_for_parcel(act: Act) -> str:
    parcel = {"waybill": act.waybill, "courier": "yuantong", "cause": "asked"}
    return await act.open(PARCEL, Role.AFTERSALE_AGENT, **parcel)


_REFUND = ("open_case", "check_and_claim", "hold", "pay", "settle", "close_case", "post_messages", DELIVER)
_RETURN = (
    "open_case",
    "assess_return",
    "note_way_back",
    "receive_return",
    "restock_return",
    "pay",
    "settle_return",
    DELIVER,
)
STORIES: Sequence[Story] = [
    Story(f"{REFUND}: silence pays", SMALL, _REFUND, _silence_pays, postage=True),
    Story(f"{REFUND}: two levels", LARGE, (*_REFUND, "consider"), _two_levels),
    Story(f"{REFUND}: withdrawn", SMALL, ("check_and_claim", "hold", "restore", "close_case"), _withdrawn),
    Story(f"{REFUND}: payment fails once", SMALL, _REFUND, _fails_once),
    Story(f"{REFUND}: payment fails for good", SMALL, ("record_paid_by_hand", "settle", "hold"), _fails_for_good),
    Story(f"{REFUND}: left first", SMALL, ("intercept", "hand_over", "close_case"), _left_first, shipped=True),
    Story(f"{REFUND}: stopped in time", SMALL, ("intercept", "mark_goods_back", "pay"), _stopped_in_time, shipped=True),
    Story(f"{REFUND}: platform pays", MIDDLE, ("hold", "read_standing", "settle"), _platform_pays, platform_pays=True),
    Story(f"{REFUND}: long talk", SMALL, (CONTINUE_AS_NEW, "pay"), _long_talk),
    Story(f"{RETURN}: in order", SMALL, _RETURN, _comes_in_order, shipped=True),
    Story(f"{RETURN}: a hole", SMALL, _RETURN, _hole, postage=True, shipped=True),
    Story(f"{RETURN}: inspection fails", MIDDLE, _RETURN[:4], _inspection_fails, shipped=True),
    Story(f"{RETURN}: opened", SMALL, ("assess_return", "post_messages", "close_case"), _opened_package, shipped=True),
    Story(f"{RETURN}: called off", SMALL, ("assess_return", "undo_return"), _called_off, shipped=True),
    Story(f"{GIFT}: by the rule", (60_000, 90_000), ("check_gift", "promise_gift", "put_gift_on_order"), _by_the_rule),
    Story(f"{GIFT}: refused", SMALL, ("check_gift", "consider", "post_messages"), _gift_refused),
    Story(
        f"{GIFT}: postage credited",
        (20_000, 50_000),
        ("promise_gift", "pay", "grant_credited_postage"),
        _postage_credited,
        postage=True,
    ),
    Story(f"{GIFT}: called off", (60_000, 90_000), ("promise_gift", "withdraw_gift"), _gift_called_off),
    Story(
        f"{GIFT}: order closes",
        (60_000, 90_000),
        ("promise_gift", "withdraw_gift"),
        _order_closes,
        platform_pays=True,
    ),
    Story(
        f"{BULK}: goes through",
        BULKY,
        ("screen_bulk", "approve_price", "pay", "let_bulk_go", "close_case"),
        _goes_through,
    ),
    Story(f"{BULK}: malicious", BULKY, ("hand_over", "close_bulk", "free_lines", "close_case"), _malicious),
    Story(f"{BULK}: list price declined", BULKY, ("hand_over", "pay", "settle"), _list_price_declined),
    Story(f"{BULK}: changed, unpaid", BULKY, ("gather_talk", "change_price", "hold_bulk"), _changed_unpaid, paid=False),
    Story(f"{BULK}: refunded", BULKY, ("screen_bulk", "read_bulk"), _bulk_refunded, platform_pays=True),
    Story(
        f"{PARCEL}: station gone",
        MIDDLE,
        ("register_parcel", "ask_courier", "forward", "follow_parcel"),
        _station_gone,
        shipped=True,
    ),
    Story(f"{PARCEL}: never confirmed", SMALL, (CONTINUE_AS_NEW, "look_at_parcel"), _never_confirmed, shipped=True),
    Story(f"{PARCEL}: lost", SMALL, ("claim", "hand_over", "pay", "settle_return"), _declared_lost, shipped=True),
    Story(f"{PARCEL}: sent again", SMALL, ("reserve_goods", "follow_parcel", "claim"), _sent_again, shipped=True),
    Story(f"{PARCEL}: delivered again", SMALL, ("redeliver", "register_parcel"), _delivered_again, shipped=True),
    Story(f"{PARCEL}: called off", SMALL, ("give_up_parcel", "close_case"), _parcel_called_off, shipped=True),
    Story(f"{PARCEL}: only asked", SMALL, ("register_parcel", "close_case"), _only_asked, shipped=True),
]
