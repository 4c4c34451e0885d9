"""How a refund ends in the shop: settled, or the order put back as it was. Each once per key, in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.money import LineQuantity, listed
from casework.shop import outbox
from casework.shop.amounts import accounts, left_to_ship, line_rows, pieces_left
from casework.shop.bulk import hold_for_review
from casework.shop.claims import claimed_lines
from casework.shop.courier import cases_stopping, out_without_parcel, parcels_of
from casework.shop.flags import append_memo, wish_flag
from casework.shop.losses import made_good, not_awaited, waybills_followed_by
from casework.shop.orders import lock_order
from casework.shop.platform import attribute_to_lines
from casework.shop.records import came_from
from casework.shop.releasing import release_case
from casework.shop.runs import OF_FOLLOWED_PARCEL
from casework.shop.shipments import lines_in
from casework.shop.steps import first_time
from casework.shop.stock import move_stock, pieces_in_stock
from casework.shop.tables import (
    CaseRow,
    ClaimRow,
    FollowedParcelRow,
    LineRow,
    OrderRow,
    ReshipmentRow,
    ReturnedLineRow,
    ShipmentLineRow,
    ShipmentRow,
)
from casework.templates import TEMPLATES
from state_machines.roles import Role

WAREHOUSE = "warehouse"


@dataclass(frozen=True, slots=True)
class GoodsBack:
    """Whether all the lines are back, what is still out, and why a parcel was not marked (None if it was).

    Still out are waybills, and `line 2` for a line that left without one.
    """

    all_back: bool
    still_out: list[str]
    refused: str | None


def settle_refund(
    session: Session,
    *,
    key: str,
    case_id: str,
    order_id: str,
    lines: Sequence[LineQuantity],
    memo: str,
    at: datetime,
) -> None:
    """Strike the refunded lines from shipping, then release hold and claim.

    A red flag stays only if no line of the order is left to ship. Goods that came back, as the lines themselves say, go
    into stock, the memo grows, and the warehouse's task is cancelled. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = lock_order(session, order_id)
    if not first_time(session, key, at):
        return
    # what is refunded has no pieces left, and so does not ship: the ledger is the list that lines are struck from
    attribute_to_lines(session, order, lines, case_id=case_id, at=at)
    outbox.cancel_tasks(session, case_id, WAREHOUSE, at=at)
    take_back_into_stock(session, case_id, order, lines, at)
    rest = _back_to_the_shelf(session, order_id, {one.line for one in lines}, at)
    _ask_to_ship(session, key, case_id, order_id, rest, at)
    append_memo(session, order_id, memo, at=at, key=f"{key}/memo")
    release_case(session, case_id, flag_kept=None if left_to_ship(session, order_id) else "red", at=at)


def restore_order(
    session: Session,
    *,
    key: str,
    case_id: str,
    order_id: str,
    lines: Sequence[LineQuantity],
    at: datetime,
) -> None:
    """Put the order back as it was: flag wish gone, hold and claim released.

    Lines that had come back ship again, but those that another case has claimed, and the warehouse gets a task. A
    parcel that was stopped and has not come back goes on to the buyer, unless another case has had it stopped too; its
    lines have left. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    lock_order(session, order_id)
    if not first_time(session, key, at):
        return
    outbox.cancel_tasks(session, case_id, WAREHOUSE, at=at)
    own = {one.line for one in lines}
    others = _claimed_by_others(session, order_id, case_id) | _being_sent_again(session, order_id)
    again = _back_to_the_shelf(session, order_id, own - others, at)
    _ask_to_ship(session, key, case_id, order_id, again, at)
    for parcel in parcels_of(session, order_id, own):
        if set(cases_stopping(session, order_id, lines_in(session, parcel))) <= {case_id}:
            parcel.intercepted_at = None
    release_case(session, case_id, flag_kept=None, at=at)


def ship_what_waited(
    session: Session, *, key: str, case_id: str, order_id: str, lines: Sequence[LineQuantity], at: datetime
) -> None:
    """A return has ended: what of its lines came back meanwhile, and waited for it, ships again; the warehouse gets a
    task.

    What another case has claimed waits on; so does what the open case of its own parcel has, by which it is sent again
    or paid for. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    lock_order(session, order_id)
    others = _claimed_by_others(session, order_id, case_id) | _with_their_parcels_cases(session, order_id)
    again = _back_to_the_shelf(session, order_id, {one.line for one in lines} - others, at)
    _ask_to_ship(session, key, case_id, order_id, again, at)


def is_out(session: Session, order_id: str, lines: Sequence[LineQuantity]) -> bool:
    """Whether something of these lines has left and is not back."""
    own = {one.line for one in lines}
    return any(row.number in own and row.place == "shipped" for row in line_rows(session, order_id))


def mark_left(session: Session, *, order_id: str, lines: Sequence[LineQuantity]) -> None:
    """The warehouse says that these lines have left; the waybill, if there is one, comes later.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    lock_order(session, order_id)
    own = {one.line for one in lines}
    for row in line_rows(session, order_id):
        if row.number in own and row.place == "unshipped":
            row.place = "shipped"
    session.flush()


def mark_goods_back(
    session: Session,
    *,
    key: str,
    case_id: str,
    order_id: str,
    lines: Sequence[LineQuantity],
    at: datetime,
    waybill: str | None = None,
) -> GoodsBack:
    """Parcels of these lines have come back: the one named, or all of them; once per key.

    A waybill that is no parcel of these lines is refused, and nothing is changed. Other lines in a parcel can ship
    again, unless another case has claimed them; these wait for the case's end. The returns clerk is asked to tell the
    other cases that have had the parcel stopped. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = lock_order(session, order_id)
    own = {one.line for one in lines}
    parcels = parcels_of(session, order_id, own, back_too=True)
    if waybill is not None:
        parcels = [parcel for parcel in parcels if _same_waybill(parcel.waybill, waybill)]
        if not parcels:
            return _how_far_back(session, order_id, own, refused="waybill: it is no parcel of these lines")
    if first_time(session, key, at):
        inside: set[int] = set(own) if waybill is None else set()
        here = [parcel for parcel in parcels if parcel.back_at is None]
        for parcel in here:
            parcel.back_at = at
            inside |= lines_in(session, parcel)
        session.flush()
        for parcel in here:
            # others have left in their place: nobody gets these any more
            replaced = made_good(session, order_id, parcel.waybill).sent_again
            useless = [LineQuantity(line=line, quantity=pieces) for line, pieces in replaced.items()]
            take_back_into_stock(session, case_id, order, useless, at)
        came = _take_back(session, key, case_id, order_id, inside, own, at)
        for parcel in here:
            _tell_who_had_it_stopped(session, key, case_id, parcel, came, at)
    return _how_far_back(session, order_id, own, refused=None)


def _take_back(
    session: Session, key: str, case_id: str, order_id: str, inside: set[int], own: set[int], at: datetime
) -> set[int]:
    """What was inside is back, as far as no other parcel holds a part of it that may still come."""
    lost = not_awaited(session, order_id, at)
    for parcel in parcels_of(session, order_id, inside):
        if parcel.waybill.upper() not in lost:
            inside = inside - lines_in(session, parcel)
    rows = [row for row in line_rows(session, order_id) if row.number in inside and row.place == "shipped"]
    for row in rows:
        row.place = "back"
    session.flush()
    came = {row.number for row in rows}
    free = came - own - _claimed_by_others(session, order_id, case_id) - _being_sent_again(session, order_id)
    _ask_to_ship(session, key, case_id, order_id, _back_to_the_shelf(session, order_id, free, at), at)
    # policy.md, shop.flag_profile: goods came back = purple
    wish_flag(session, case_id, order_id, "purple", at=at)
    return came


def _tell_who_had_it_stopped(
    session: Session, key: str, case_id: str, parcel: ShipmentRow, came: set[int], at: datetime
) -> None:
    """Each other case that awaits something of this parcel is to be told of this one: another may be on its way."""
    text = TEMPLATES["stopped_parcel_is_here"]
    inside = came & lines_in(session, parcel)
    for waiting in cases_stopping(session, parcel.order_id, inside):
        if waiting != case_id:
            own = sorted(inside & {line for _, line in claimed_lines(session, waiting)})
            parameters = {
                "order_id": parcel.order_id,
                "lines": ", ".join(map(str, own)),
                "case_id": waiting,
                "waybill": parcel.waybill,
            }
            outbox.post(
                session,
                key=f"{waiting}/{key}/{parcel.id}",
                case_id=waiting,
                to="staff",
                recipient=Role.RETURNS_CLERK,
                template="stopped_parcel_is_here",
                parameters=parameters,
                text_zh=text.zh.format(**parameters),
                text_en=text.en.format(**parameters),
                at=at,
            )


def _how_far_back(session: Session, order_id: str, own: set[int], *, refused: str | None) -> GoodsBack:
    out = {row.number for row in line_rows(session, order_id) if row.number in own and row.place == "shipped"}
    unknown = [row.number for row in out_without_parcel(session, order_id) if row.number in out]
    still_out = [parcel.waybill for parcel in parcels_of(session, order_id, out)]
    return GoodsBack(not out, still_out + [f"line {number}" for number in unknown], refused)


def _same_waybill(known: str, given: str) -> bool:
    """Whether a person means this parcel: spaces and capitals say nothing."""
    return known.upper() == "".join(given.split()).upper()


def _claimed_by_others(session: Session, order_id: str, case_id: str) -> set[int]:
    query = select(ClaimRow.line).where(ClaimRow.order_id == order_id, ClaimRow.case_id != case_id)
    return set(session.scalars(query))


def _being_sent_again(session: Session, order_id: str) -> set[int]:
    """The lines that the warehouse is asked to send again: they do not go to the shelf, to ship a second time."""
    asked = select(ReshipmentRow).where(ReshipmentRow.order_id == order_id, ReshipmentRow.state == "asked")
    return {one["line"] for row in session.scalars(asked) for one in row.lines}


def _with_their_parcels_cases(session: Session, order_id: str) -> set[int]:
    """The lines of the parcels that came back and whose own cases are open."""
    followed = (
        select(func.upper(FollowedParcelRow.waybill))
        .join(CaseRow, OF_FOLLOWED_PARCEL)
        .where(FollowedParcelRow.order_id == order_id, CaseRow.closed_at.is_(None))
    )
    query = (
        select(ShipmentLineRow.line)
        .join(ShipmentRow, ShipmentRow.id == ShipmentLineRow.shipment_id)
        .where(
            ShipmentRow.order_id == order_id,
            ShipmentRow.back_at.is_not(None),
            func.upper(ShipmentRow.waybill).in_(followed),
        )
    )
    return set(session.scalars(query))


def take_into_stock(
    session: Session, *, key: str, case_id: str, order_id: str, lines: Sequence[LineQuantity], at: datetime
) -> None:
    """Goods that came back, as their parcels say, and that nobody gets any more, go into stock; once per key.

    `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = lock_order(session, order_id)
    if first_time(session, key, at):
        take_back_into_stock(session, case_id, order, lines, at)


def take_back_into_stock(
    session: Session, case_id: str, order: OrderRow, lines: Sequence[LineQuantity], at: datetime
) -> None:
    """Of these lines, the pieces that came back go into stock, and what another case has put there does not again.

    A return that the case of a parcel has opened is about what was in that parcel, and not in another. `at` is aware.
    """
    if not lines:
        return
    rows = line_rows(session, order.id)
    here = _pieces_here(session, order.id, rows, waybills_followed_by(session, order.id, came_from(session, case_id)))
    pieces = [LineQuantity(line=one.line, quantity=min(one.quantity, here[one.line])) for one in lines]
    move_stock(session, rows, pieces, case_id=case_id, at=at)


def _pieces_here(
    session: Session, order_id: str, rows: Sequence[LineRow], waybills: Collection[str] = ()
) -> dict[int, int]:
    """By line, how many pieces came back (only by these waybills, in capitals, if any) and lie here: neither on the
    shelf, nor in stock, nor sent again.

    Of a line's pieces some may be here and others with the buyer: what was bought, or taken out of stock, and is
    neither in stock nor outside, is here.
    """
    stocked = pieces_in_stock(session, order_id)
    inspected = select(ReturnedLineRow.line, ReturnedLineRow.accepted).where(ReturnedLineRow.order_id == order_id)
    inside = (
        select(
            ShipmentLineRow.line,
            ShipmentLineRow.quantity,
            ShipmentLineRow.shelved_at,
            ShipmentRow.back_at,
            ShipmentRow.waybill,
        )
        .join(ShipmentRow, ShipmentRow.id == ShipmentLineRow.shipment_id)
        .where(ShipmentRow.order_id == order_id)
    )
    came, out = Counter[int](), Counter[int]()
    for line, quantity, shelved_at, back_at, waybill in session.execute(inside):
        if back_at is None:
            out[line] += quantity
        elif shelved_at is None and (not waybills or waybill.upper() in waybills):
            came[line] += quantity
    for line, accepted in session.execute(inspected):
        # the buyer sent it to us: that changes nothing in the parcel by which it left
        out[line] -= min(out[line], accepted or 0)
    found = dict.fromkeys((row.number for row in rows), 0)
    for row in rows:
        if row.place != "unshipped":
            # what left without a waybill, and is back, is in no parcel
            most = came[row.number] or (row.quantity if row.place == "back" and not waybills else 0)
            found[row.number] = max(0, min(most, row.quantity - stocked.get(row.number, 0) - out[row.number]))
    return found


def _back_to_the_shelf(session: Session, order_id: str, numbers: set[int], at: datetime) -> list[str]:
    """Of these lines, what came back and the buyer still wants ships again, and is held where the rest of the order is
    under review.

    Answers with the lines. One of which other pieces are out has left, as before: of it, the pieces are named.
    """
    rows = [row for row in line_rows(session, order_id) if row.number in numbers]
    if not rows:
        return []
    done, here = accounts(session, order_id), _pieces_here(session, order_id, rows)
    whole, part = list[int](), list[LineQuantity]()
    for row in rows:
        left = pieces_left(row, done)
        if left and here[row.number] >= left:
            row.place = "unshipped"
            whole.append(row.number)
        elif left and here[row.number]:
            row.place = "shipped"
            part.append(LineQuantity(line=row.number, quantity=here[row.number]))
    _shelve(session, order_id, [*whole, *(one.line for one in part)], at)
    session.flush()
    hold_for_review(session, order_id, whole, at=at)
    return [*map(str, whole), *([listed(part)] if part else [])]


def _shelve(session: Session, order_id: str, numbers: Sequence[int], at: datetime) -> None:
    """What of these lines came back is not in its parcel any more: the parcel's own case has it no longer."""
    for inside in session.scalars(
        select(ShipmentLineRow)
        .join(ShipmentRow, ShipmentRow.id == ShipmentLineRow.shipment_id)
        .where(ShipmentRow.order_id == order_id, ShipmentRow.back_at.is_not(None), ShipmentLineRow.line.in_(numbers))
    ):
        inside.shelved_at = inside.shelved_at or at


def _ask_to_ship(session: Session, key: str, case_id: str, order_id: str, lines: Sequence[str], at: datetime) -> None:
    if not lines:
        return
    named = ", ".join(lines)
    outbox.post(
        session,
        key=f"{key}/ship_again",
        case_id=case_id,
        to="staff",
        recipient=WAREHOUSE,
        template="ship_again",
        parameters={"order_id": order_id, "lines": named},
        text_zh=f"订单 {order_id} 退回的商品行 {named} 请重新发货。",
        text_en=f"Lines {named} of order {order_id} came back and are to be shipped again.",
        at=at,
    )
