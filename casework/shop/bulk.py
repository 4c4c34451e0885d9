"""Bulk orders in the shop: what the review is told, what was reviewed, holding all of it, and changing the price.

Of what was reviewed there is a fingerprint, which never leaves the shop: an address can be guessed from one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from casework.money import LineQuantity, format_yuan, part_of_line
from casework.rules.bulk import Sign, approved_price, talk_signs
from casework.shop.amounts import POSTAGE, Accounts, accounts, left_to_ship, line_rows, paid_shares, pieces_left
from casework.shop.errors import BadRequest
from casework.shop.flags import drop_wish, wish_flag
from casework.shop.holds import hold_each
from casework.shop.known_flows import BULK, ENDED_AS_MALICIOUS, ENDING_AS_MALICIOUS
from casework.shop.notices import tell_cases
from casework.shop.orders import find_order, is_finished, is_paid, lock_order
from casework.shop.records import find_records, order_of
from casework.shop.releasing import note_released, release_case
from casework.shop.shelf import stop_shipping_again
from casework.shop.tables import (
    CaseRow,
    ChatRow,
    ClaimRow,
    FlagWishRow,
    HoldRow,
    LineRow,
    OrderRow,
    ReviewRow,
    ShipmentRow,
)
from casework.standing import BulkStanding

DO_NOT_SHIP = "red"
"""policy.md, shop.flag_profile: do not ship = red."""


@dataclass(frozen=True, slots=True)
class BuyerRecord:
    """What the shop knows of a buyer and an order that a legal review asks for; None: it does not know.

    `purchases` counts the buyer's earlier orders that were paid and not closed; `talk` says what their words speak of.
    """

    registered_on: date | None
    purchases: int | None
    talk: list[Sign]
    pieces: int


def standing(session: Session, case_id: str, order_id: str) -> BulkStanding:
    """How the order stands for the case that reviews it.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = find_order(session, order_id)
    rows = line_rows(session, order_id)
    done = accounts(session, order_id)
    to_ship = {row.number for row in left_to_ship(session, order_id)}
    held = set(session.scalars(select(HoldRow.line).where(HoldRow.order_id == order_id, HoldRow.case_id == case_id)))
    wanted = [row for row in rows if pieces_left(row, done)]
    reviewed = session.get(ReviewRow, case_id)
    last = session.scalar(select(func.max(ShipmentRow.shipped_at)).where(ShipmentRow.order_id == order_id))
    return BulkStanding(
        paid=is_paid(order),
        gone=order.state == "closed" or (is_paid(order) and not (wanted and _price(order, done) > 0)),
        finished=is_finished(order),
        total_fen=order.total_fen,
        price_fen=_price(order, done),
        paid_at=order.paid_at,
        all_shipped=_all_shipped(wanted),
        last_shipped_at=last or order.shipped_at,
        held=bool(to_ship) and to_ship <= held,
        can_be_held=bool(to_ship),
        differs=_differs(reviewed, order, rows, done),
        left_at_its_price=_all_has_left(session, order_id, wanted) and _has_its_price(reviewed, order, done),
    )


def hold_all(session: Session, case_id: str, order_id: str, *, at: datetime) -> bool:
    """Hold everything that is left to ship and mark the order "do not ship"; False where nothing is left to hold.

    Doing it again changes nothing. Taking a hold and marking shipped are one race, which one side wins. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = lock_order(session, order_id)
    to_ship = left_to_ship(session, order_id)
    if not to_ship or order.state == "closed":
        return False
    hold_each(session, case_id, order_id, [row.number for row in to_ship], at=at)
    wish_flag(session, case_id, order_id, DO_NOT_SHIP, at=at)
    return True


def hold_for_review(session: Session, order_id: str, numbers: Collection[int], *, at: datetime) -> None:
    """Lines that are new, or can ship again, are held from this transaction on by the case that has the rest of the
    order under review; there may be none. `at` is aware.
    """
    reviewer = reviewer_of(session, order_id) if numbers else None
    if reviewer is not None:
        hold_each(session, reviewer, order_id, numbers, at=at)


def reviewer_of(session: Session, order_id: str) -> str | None:
    """The open case that holds an order for review; None: there is none."""
    reviewing = select(CaseRow.case_id).where(
        CaseRow.order_id == order_id,
        CaseRow.closed_at.is_(None),
        CaseRow.flow == BULK,
        # it marks the order from when it holds it until it releases it
        CaseRow.case_id.in_(select(FlagWishRow.case_id).where(FlagWishRow.order_id == order_id)),
    )
    return session.scalar(reviewing.limit(1))


def was_ended(session: Session, order_id: str) -> bool:
    """Whether a bulk case has ended the order as malicious, or is about to: nothing of it ships any more."""
    ended = find_records(session, order_id=order_id, flow=BULK, outcome=ENDED_AS_MALICIOUS)
    if any(not record.died for record in ended):  # an operator may have terminated one in Temporal
        return True
    ending = (CaseRow.order_id == order_id, CaseRow.flow == BULK, CaseRow.at_state == ENDING_AS_MALICIOUS)
    return session.scalar(select(CaseRow.case_id).where(*ending, CaseRow.closed_at.is_(None)).limit(1)) is not None


def let_ship(session: Session, case_id: str, order_id: str, *, at: datetime) -> bool:
    """Release the shipment, unless the order is no longer what was reviewed; answers whether it was released.

    Where all of it has left over the hold, it is no longer held back, whatever it is. The price that it has now is
    taken for reviewed; what else differs still does. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = lock_order(session, order_id)
    rows, done = line_rows(session, order_id), accounts(session, order_id)
    reviewed = session.get(ReviewRow, case_id)
    wanted = [row for row in rows if pieces_left(row, done)]
    if _differs(reviewed, order, rows, done) and not _all_has_left(session, order_id, wanted):
        return False
    held = delete(HoldRow).where(HoldRow.order_id == order_id, HoldRow.case_id == case_id)
    wish = session.get(FlagWishRow, case_id)
    note_released(session, case_id, [*session.scalars(held.returning(HoldRow)), *([wish] if wish is not None else [])])
    drop_wish(session, case_id, order_id, lasting=None, at=at)
    if reviewed is not None:
        reviewed.price_fen, reviewed.approved_fen = _price(order, done), None
    session.flush()
    return True


def gather_record(session: Session, order_id: str, chat_id: str | None, risk_words: Sequence[str]) -> BuyerRecord:
    """What the shop knows of the buyer: it advises whoever reviews the order, and decides nothing.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = find_order(session, order_id)
    query = select(ChatRow).where(ChatRow.order_id == order_id)
    chats = session.scalars(query if chat_id is None else query.where(ChatRow.id == chat_id)).all()
    registered = min((chat.buyer_registered_on for chat in chats if chat.buyer_registered_on), default=None)
    done = accounts(session, order_id)
    return BuyerRecord(
        registered_on=registered,
        purchases=_purchases_before(session, order),
        talk=talk_signs(_said_by_buyer(chats), risk_words),
        pieces=sum(pieces_left(row, done) for row in line_rows(session, order_id)),
    )


def require_chat(session: Session, order_id: str, chat_id: str) -> None:
    """A conversation that a case names is in the shop, and is about this order.

    Raises:
        BadRequest: it is not.

    """
    chat = session.get(ChatRow, chat_id)
    if chat is None:
        raise BadRequest("chat_id", f"the shop keeps no conversation {chat_id}: import it first")
    if chat.order_id != order_id:
        raise BadRequest("chat_id", f"conversation {chat_id} is about another order")


def forget_review(session: Session, case_id: str) -> None:
    """What an earlier run of the case reviewed does not count."""
    session.execute(delete(ReviewRow).where(ReviewRow.case_id == case_id))


def note_reviewed(session: Session, case_id: str, order_id: str, *, at: datetime) -> None:
    """What the order is now is what is reviewed from here on. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = lock_order(session, order_id)
    rows, done = line_rows(session, order_id), accounts(session, order_id)
    session.merge(
        ReviewRow(
            case_id=case_id,
            order_id=order_id,
            fingerprint=_fingerprint(order, rows, done),
            price_fen=_price(order, done),
            approved_fen=None,
            at=at,
        )
    )
    session.flush()


def approve_price(session: Session, case_id: str, order_id: str, percent: Decimal) -> int:
    """The order's new total with postage under a discount, in fen: from now on it is no change of the order.

    The discount is on the list price: what an earlier discount has taken off does not count.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = lock_order(session, order_id)
    goods_fen, postage_fen = _list_price(session, order)
    approved_fen = approved_price(goods_fen, postage_fen, percent)
    reviewed = session.get(ReviewRow, case_id)
    if reviewed is not None:
        reviewed.approved_fen = approved_fen
        session.flush()
    return approved_fen


def change_price(session: Session, case_id: str, order_id: str, amount_fen: int, *, at: datetime) -> None:
    """Change the total of an order that is not paid yet, with postage, in fen; the same again changes nothing.

    `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.
        BadRequest: it is paid or closed by now, or no longer what was reviewed.

    """
    order = lock_order(session, order_id)
    rows, done = line_rows(session, order_id), accounts(session, order_id)
    if order.state != "unpaid":
        raise BadRequest("amount_fen", f"the order is {order.state} by now: look at it again")
    if _differs(session.get(ReviewRow, case_id), order, rows, done):
        raise BadRequest("amount_fen", "the order is no longer what was reviewed")
    if order.total_fen == amount_fen:
        return
    order.list_fen = order.list_fen or order.total_fen
    order.goods_fen, order.total_fen = amount_fen - order.postage_fen, amount_fen
    session.flush()
    tell_cases(session, order_id, "order_changed", at=at, excluding=case_id)


def close_unpaid(session: Session, case_id: str, order_id: str, *, at: datetime) -> bool:
    """Close a trade that nobody has paid for; answers whether it is closed: False where it is paid. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = lock_order(session, order_id)
    if order.state == "unpaid":
        order.state = "closed"
        for row in line_rows(session, order_id):
            row.state = "closed"
        session.flush()
        tell_cases(session, order_id, "order_gone", at=at, excluding=case_id)
    return not is_paid(order)


def free_lines(session: Session, case_id: str, order_id: str) -> tuple[list[LineQuantity], bool]:
    """What is left to ship and has not been claimed by a refund or return, and whether anything has.

    What the case has handed over to one that has not opened yet counts as its own: Temporal may have the step that
    opens it done again, after a crash.
    """
    claimed = set(
        session.scalars(
            select(ClaimRow.line).where(
                ClaimRow.order_id == order_id,
                ClaimRow.case_id != case_id,
                ClaimRow.handed_over_by.is_distinct_from(case_id),
            )
        )
    )
    done = accounts(session, order_id)
    free = [
        LineQuantity(line=row.number, quantity=pieces_left(row, done))
        for row in left_to_ship(session, order_id)
        if row.number not in claimed
    ]
    return free, bool(claimed)


def leave_red(session: Session, case_id: str, *, at: datetime) -> None:
    """Let everything go that the case has, but for a red flag that stays; nothing ships again. `at` is aware."""
    if (order_id := order_of(session, case_id)) is not None:
        lock_order(session, order_id)
        stop_shipping_again(session, case_id, order_id, at)
    release_case(session, case_id, flag_kept=DO_NOT_SHIP, at=at)


def price_memo(percent: Decimal, approved_fen: int) -> str:
    """What the order's memo says of a discount."""
    return f"大宗批准优惠 {percent.normalize():f}%,应付 {format_yuan(approved_fen)} 元"


def _price(order: OrderRow, done: Accounts) -> int:
    """What the buyer pays for what is left of the order, with postage, in fen."""
    return order.paid_fen - done.total_fen if is_paid(order) else order.total_fen


def _list_price(session: Session, order: OrderRow) -> tuple[int, int]:
    """Goods and postage of what is left of the order, in fen, before any bulk discount."""
    if not is_paid(order):
        return (order.list_fen or order.total_fen) - order.postage_fen, order.postage_fen
    rows, done = line_rows(session, order.id), accounts(session, order.id)
    paid = paid_shares(order, rows, done)
    postage_fen = paid[POSTAGE] - done.fen.get(POSTAGE, 0)
    goods_fen = _price(order, done) - postage_fen + sum(_taken_off(row, paid[row.number], done) for row in rows)
    sold_fen = order.total_fen - order.postage_fen
    if order.list_fen is not None and sold_fen > 0:
        # it was lowered before it was paid
        goods_fen = goods_fen * (order.list_fen - order.postage_fen) // sold_fen
    return max(0, goods_fen), postage_fen


def _taken_off(row: LineRow, paid_fen: int, done: Accounts) -> int:
    """What earlier discounts have taken off the pieces of a line that are left, in fen: the rebates of refunded pieces
    went back with them. `paid_fen` is what was paid for the line, less its rebates.
    """
    rebates, left = done.rebates.get(row.number, 0), pieces_left(row, done)
    if not rebates:
        return 0
    listed_fen = part_of_line(paid_fen + rebates, row.quantity, already=row.quantity - left, taken=left)
    return max(0, min(rebates, listed_fen - (paid_fen - done.fen.get(row.number, 0))))


def _differs(reviewed: ReviewRow | None, order: OrderRow, rows: Sequence[LineRow], done: Accounts) -> bool:
    """Whether the order is another one than was reviewed: items, quantity, address, or a price that nobody approved."""
    if reviewed is None:
        return False
    return reviewed.fingerprint != _fingerprint(order, rows, done) or not _has_its_price(reviewed, order, done)


def _has_its_price(reviewed: ReviewRow | None, order: OrderRow, done: Accounts) -> bool:
    """Whether the order has the price that was reviewed, or approved since."""
    return reviewed is not None and _price(order, done) in {reviewed.price_fen, reviewed.approved_fen}


def _all_shipped(wanted: Sequence[LineRow]) -> bool:
    return bool(wanted) and all(row.place == "shipped" for row in wanted)


def _all_has_left(session: Session, order_id: str, wanted: Sequence[LineRow]) -> bool:
    """Whether these lines have left, and no parcel of the order has come back: nothing could be held any more."""
    back = select(ShipmentRow.id).where(ShipmentRow.order_id == order_id, ShipmentRow.back_at.is_not(None))
    return _all_shipped(wanted) and session.scalar(back.limit(1)) is None


def _fingerprint(order: OrderRow, rows: Sequence[LineRow], done: Accounts) -> str:
    items = [[row.number, row.sku, row.properties, pieces_left(row, done)] for row in rows]
    whole = [items, order.receiver_name, order.changed_address or order.address]
    return hashlib.sha256(json.dumps(whole, ensure_ascii=False).encode()).hexdigest()


def _purchases_before(session: Session, order: OrderRow) -> int | None:
    if not order.buyer_nick:
        return None
    query = select(func.count()).where(
        OrderRow.buyer_nick == order.buyer_nick,
        OrderRow.id != order.id,
        OrderRow.created_at < order.created_at,
        OrderRow.state.not_in(("unpaid", "closed")),
    )
    return int(session.scalar(query) or 0)


def _said_by_buyer(chats: Iterable[ChatRow]) -> list[str]:
    messages = [cast("dict[str, Any]", one) for chat in chats for one in chat.messages]
    return [str(one["text"]) for one in messages if one["from"] == "buyer"]
