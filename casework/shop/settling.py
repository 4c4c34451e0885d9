"""How a refund ends in the shop: settled, or the order put back as it was. Each once per key, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.shop import outbox
from casework.shop.amounts import accounts, left_to_ship, line_rows, pieces_left
from casework.shop.bulk import hold_for_review
from casework.shop.claims import claimed_lines
from casework.shop.courier import cases_stopping, out_without_parcel, parcels_of
from casework.shop.flags import append_memo, wish_flag
from casework.shop.losses import not_awaited
from casework.shop.orders import lock_order
from casework.shop.platform import attribute_to_lines
from casework.shop.releasing import release_case
from casework.shop.shipments import lines_in
from casework.shop.steps import first_time
from casework.shop.stock import move_stock, pieces_in_stock
from casework.shop.tables import ClaimRow, OrderRow, ReshipmentRow, ShipmentLineRow, ShipmentRow
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
    lock_order(session, order_id)
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


def take_into_stock(
    session: Session, *, key: str, case_id: str, order_id: str, lines: Iterable[LineQuantity], at: datetime
) -> None:
    """Goods that came back, as the lines themselves say, and that nobody gets any more, go into stock; once per key.

    `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = lock_order(session, order_id)
    if first_time(session, key, at):
        take_back_into_stock(session, case_id, order, lines, at)


def take_back_into_stock(
    session: Session, case_id: str, order: OrderRow, lines: Iterable[LineQuantity], at: datetime
) -> None:
    """Of these lines, those that came back go into stock, and what another case has put there does not again.

    `at` is aware.
    """
    rows = line_rows(session, order.id)
    # what left the stock to be sent again counts against what came in: it may come back besides
    stocked = pieces_in_stock(session, order.id)
    here = {row.number: max(0, row.quantity - stocked.get(row.number, 0)) for row in rows if row.place == "back"}
    pieces = [LineQuantity(line=one.line, quantity=min(one.quantity, here.get(one.line, 0))) for one in lines]
    move_stock(session, rows, pieces, case_id=case_id, at=at)


def _back_to_the_shelf(session: Session, order_id: str, numbers: set[int], at: datetime) -> list[int]:
    """Of the lines that came back, those with pieces that the buyer still wants: they are unshipped again, and held
    where the rest of the order is under review.
    """
    done = accounts(session, order_id)
    again: list[int] = []
    for row in line_rows(session, order_id):
        if row.number in numbers and row.place == "back" and pieces_left(row, done):
            row.place = "unshipped"
            again.append(row.number)
    _shelve(session, order_id, again, at)
    session.flush()
    hold_for_review(session, order_id, again, at=at)
    return again


def _shelve(session: Session, order_id: str, numbers: Sequence[int], at: datetime) -> None:
    """What of these lines came back is not in its parcel any more: the parcel's own case has it no longer."""
    for inside in session.scalars(
        select(ShipmentLineRow)
        .join(ShipmentRow, ShipmentRow.id == ShipmentLineRow.shipment_id)
        .where(ShipmentRow.order_id == order_id, ShipmentRow.back_at.is_not(None), ShipmentLineRow.line.in_(numbers))
    ):
        inside.shelved_at = inside.shelved_at or at


def _ask_to_ship(session: Session, key: str, case_id: str, order_id: str, numbers: Sequence[int], at: datetime) -> None:
    if not numbers:
        return
    listed = ", ".join(map(str, numbers))
    outbox.post(
        session,
        key=f"{key}/ship_again",
        case_id=case_id,
        to="staff",
        recipient=WAREHOUSE,
        template="ship_again",
        parameters={"order_id": order_id, "lines": listed},
        text_zh=f"订单 {order_id} 退回的商品行 {listed} 请重新发货。",
        text_en=f"Lines {listed} of order {order_id} came back and are to be shipped again.",
        at=at,
    )
