"""Goods of a parcel that are sent again: reserved, asked for, called off, left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.money import LineQuantity, listed
from casework.parcels import Followed, about_the_money
from casework.shop import outbox, outside
from casework.shop.amounts import line_rows
from casework.shop.bulk import reviewer_of, was_ended
from casework.shop.claimants import claims_on, says_all
from casework.shop.errors import BadRequest
from casework.shop.losses import waybills_followed_by
from casework.shop.orders import lock_order
from casework.shop.pieces import pieces_of_lines
from casework.shop.remaining import left_in_parcel, left_of, owed_in, shipment_of_goods, still_owed
from casework.shop.shipments import is_waybill, leave_shelf, pieces_in, shelve, shipment_of
from casework.shop.steps import first_time
from casework.shop.stock import move_stock
from casework.shop.tables import (
    OrderRow,
    OutboxRow,
    OutOfStockRow,
    ReshipmentRow,
    ScanRow,
    ShipmentLineRow,
    ShipmentRow,
    StockMovementRow,
)
from state_machines.roles import Role

NOTHING_TO_SEND = "parcel.send_nothing"
"""The task by which the supervisor hears that the warehouse is to send nothing any more."""
WHAT_TO_SEND = ("parcel.send_again", "parcel.send_less", NOTHING_TO_SEND)
"""The tasks that say what a parcel's case has the warehouse send."""


def in_stock(session: Session, order_id: str, lines: Sequence[LineQuantity]) -> bool:
    """Whether the same goods are there to be sent again: the warehouse has not said that there are none.

    The shop's exports tell no stock: goods count as there until the warehouse says otherwise, and again when some come
    into stock later.
    """
    wanted = {one.line for one in lines}
    return not any(_is_out(session, row.sku) for row in line_rows(session, order_id) if row.number in wanted)


def say_out_of_stock(session: Session, order_id: str, lines: Sequence[LineQuantity], at: datetime) -> None:
    """The warehouse says that these goods are not there; of what is refunded it says nothing. `at` is aware."""
    wanted = {one.line for one in left_of(session, order_id, lines)}
    for row in line_rows(session, order_id):
        if row.number in wanted and row.sku:
            session.merge(OutOfStockRow(sku=row.sku, at=at))
    session.flush()


def reserve(
    session: Session,
    *,
    key: str,
    case_id: str,
    run_id: str,
    order_id: str,
    waybill: str | None,
    lines: Sequence[LineQuantity],
    at: datetime,
) -> str | None:
    """Reserve the goods of a parcel (None: of one that is not named) that are to be sent again, as far as they are
    neither refunded nor made good, and no other case has the money for them; once per key. What came back in the parcel
    is there and needs no stock.

    Answers why not; None: they are reserved. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    lock_order(session, order_id)
    if session.get(ReshipmentRow, key) is not None:
        return None
    own = (case_id, run_id)
    reviewer = reviewer_of(session, order_id)
    if was_ended(session, order_id):
        return "the order was ended as malicious: nothing of it ships any more"
    if reviewer is not None:
        return f"the open case {reviewer} has the order under review: nothing of it ships until then"
    left = (
        owed_in(session, order_id, waybill, left_in_parcel(session, order_id, waybill, lines, excluding=own), at)
        if waybill
        else left_of(session, order_id, lines)
    )
    if not left:
        return "the goods are refunded or made good: there is nothing left to send again"
    claims = claims_on(session, order_id, left)
    free = [one for one in left if one.line not in claims]
    if not free:
        return about_the_money(next(iter(claims.values())))
    shipment = shipment_of_goods(session, order_id, waybill) if waybill else None
    back = shipment is not None and shipment.back_at is not None
    if not back and not in_stock(session, order_id, free):
        return "the goods are not in stock"
    session.add(
        ReshipmentRow(
            key=key,
            case_id=case_id,
            order_id=order_id,
            lines=[{**one.model_dump(), "back": back} for one in free],
            state="asked",
            at=at,
        )
    )
    move_stock(session, line_rows(session, order_id), [] if back else free, case_id=case_id, at=at, sign=-1)
    return None


@dataclass(frozen=True, slots=True)
class Changed:
    """What the warehouse is to send now, where it was told otherwise; `mark` is another for each change."""

    mark: str
    lines: list[LineQuantity]


def changed_since_asked(session: Session, *, case_id: str, order_id: str, at: datetime) -> Changed | None:
    """What a case has the warehouse send, where the newest task says otherwise; None: it says just this, or there is
    nothing to be sent. Some may have been refunded since, or be owed again, as another parcel is lost. The earlier task
    is cancelled. `at` is aware.
    """
    asked = next(iter(_asked(session, case_id)), None)
    if asked is None or not says_all(asked.lines):
        return None
    pieces = _asked_in(asked)
    now = still_owed(session, order_id, case_id, pieces, at)
    told = session.scalars(
        select(OutboxRow)
        .where(OutboxRow.case_id == case_id, OutboxRow.template.in_(WHAT_TO_SEND), OutboxRow.at >= asked.at)
        .order_by(OutboxRow.id)
    ).all()
    # the first task, which names all of it, may be still to come
    if listed(now) == (told[-1].parameters["lines"] if told else listed(pieces)):
        return None
    outbox.cancel_tasks(session, case_id, Role.WAREHOUSE, at=at)
    outbox.cancel_tasks(session, case_id, Role.AFTERSALE_SUPERVISOR, at=at, template=NOTHING_TO_SEND)
    return Changed(f"{asked.key.rpartition('/')[2]}.{len(told)}", now)


def asked_to_send(session: Session, case_id: str) -> list[LineQuantity]:
    """What a case has asked the warehouse to send and has not left; of one from an older version, what was reserved."""
    return [one for row in _asked(session, case_id) for one in _asked_in(row)]


def call_off_reshipment(session: Session, *, case_id: str, at: datetime) -> bool:
    """Call off what a case has asked the warehouse to send and has not left yet; False: there is nothing such.

    `at` is aware.
    """
    called_off = False
    for row in _asked(session, case_id):
        # what came back was never taken out of stock
        reserved = [LineQuantity.model_validate(one) for one in row.lines if not one.get("back")]
        row.state = "called_off"
        move_stock(session, line_rows(session, row.order_id), reserved, case_id=case_id, at=at)
        called_off = True
    if called_off:
        outbox.cancel_tasks(session, case_id, Role.WAREHOUSE, at=at)
    return called_off


def send_again(
    session: Session,
    *,
    key: str,
    case_id: str,
    order_id: str,
    lines: Sequence[LineQuantity],
    parcel: Followed,
    at: datetime,
) -> None:
    """The goods have left once more, under a waybill of their own: a parcel of the order like any other. Once per key.

    What the warehouse was asked to send and was refunded since has not left: it goes back into stock. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.
        BadRequest: the waybill is a parcel already, or all that was to be sent is refunded.

    """
    order = lock_order(session, order_id)
    if not first_time(session, key, at):
        return
    sent = list[LineQuantity]()
    asked = _asked(session, case_id)
    owed = [
        # of a reshipment from an older version it is not written down what came back
        still_owed(session, order_id, case_id, _asked_in(row) if says_all(row.lines) else list(lines), at)
        for row in asked
    ]
    _close_replaced(session, order, case_id, asked, at)
    for row, left in zip(asked, owed, strict=True):
        sent += left
        _put_back(session, row, left, at)
        row.state = "left"
    if not asked:
        sent = left_of(session, order_id, lines)
    if not sent:
        raise BadRequest("waybill", "all that was to be sent again is refunded")
    known = session.scalar(select(ShipmentRow).where(is_waybill(ShipmentRow.waybill, parcel.waybill)).limit(1))
    # an export may show it before the warehouse says so, and cannot tell what is in it
    if known is not None and (known.order_id != order_id or not _may_be_replacement(session, known, asked)):
        raise BadRequest("waybill", f"{parcel.waybill} is already a parcel of order {known.order_id}")
    waybill = parcel.waybill if known is None else known.waybill
    wanted = {one.line for one in sent}
    rows = [row for row in line_rows(session, order_id) if row.number in wanted]
    outside.send_off(
        session,
        order,
        rows,
        waybill=waybill,
        company=parcel.courier,
        shipped_at=parcel.since,
        at=at,
        from_shelf=False,
    )
    shipment = shipment_of(session, order_id, waybill)
    for one in sent:  # what was in the parcel, and not all that is left of the line
        inside = session.get(ShipmentLineRow, (shipment.id, one.line)) if shipment is not None else None
        if inside is not None:
            inside.quantity = one.quantity
    session.flush()


def _may_be_replacement(session: Session, shipment: ShipmentRow, asked: Sequence[ReshipmentRow]) -> bool:
    """Whether a parcel may be what the warehouse was asked to send: nobody has told of it, or not of before."""
    if shipment.back_at is not None or pieces_in(session, shipment):
        return False
    # not by the shipment's own time: an export gives every parcel that of the order's first
    left = session.scalar(select(func.min(ScanRow.at)).where(ScanRow.waybill == shipment.waybill))
    return left is None or not asked or left >= min(row.at for row in asked)


def _close_replaced(
    session: Session, order: OrderRow, case_id: str, asked: Sequence[ReshipmentRow], at: datetime
) -> None:
    """What came back in the parcel in whose place others leave now is in it no more: it leaves itself, or goes into
    stock.
    """
    replaced = waybills_followed_by(session, order.id, case_id)
    leaves = Counter[int]()
    for row in asked:
        for one in row.lines:
            if one.get("back"):
                leaves[one["line"]] += one["quantity"]
    about = {one["line"] for row in asked for one in row.lines}
    rows = [row for row in line_rows(session, order.id) if row.number in about]
    where = pieces_of_lines(session, order.id, rows, only=replaced)
    rest = [
        LineQuantity(line=line, quantity=pieces.here - leaves[line])
        for line, pieces in where.items()
        if pieces.here > leaves[line]
    ]
    move_stock(session, rows, rest, case_id=case_id, at=at)
    shelve(session, order.id, about, at, only=replaced)
    session.flush()
    for line, quantity in leaves.items():
        leave_shelf(session, order.id, LineQuantity(line=line, quantity=quantity))


def _put_back(session: Session, row: ReshipmentRow, left: Sequence[LineQuantity], at: datetime) -> None:
    """Of what was to be sent again only `left` is: the rest goes back into stock, or into it if it had come back."""
    remaining = {one.line: one.quantity for one in left}
    rest = [LineQuantity(line=one.line, quantity=one.quantity - remaining.get(one.line, 0)) for one in _asked_in(row)]
    move_stock(session, line_rows(session, row.order_id), rest, case_id=row.case_id, at=at)
    row.lines = [
        {**one, "quantity": remaining[one["line"]]} for one in row.lines if remaining.get(one["line"]) is not None
    ]


def _asked_in(row: ReshipmentRow) -> list[LineQuantity]:
    return [LineQuantity.model_validate(one) for one in row.lines]


def _asked(session: Session, case_id: str) -> Sequence[ReshipmentRow]:
    """What a case has asked the warehouse to send, and has not left yet."""
    mine = (ReshipmentRow.case_id == case_id, ReshipmentRow.state == "asked")
    return session.scalars(select(ReshipmentRow).where(*mine)).all()


def _is_out(session: Session, sku: str) -> bool:
    out = session.get(OutOfStockRow, sku)
    if out is None:
        return False
    came = session.scalar(
        select(StockMovementRow.id)
        .where(StockMovementRow.sku == sku, StockMovementRow.quantity > 0, StockMovementRow.at > out.at)
        .limit(1)
    )
    return came is None
