"""The world outside the embedded shop: ships, closes, refunds and changes orders, and lets things fail."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.shop import flags, platform
from casework.shop.amounts import LedgerLine, accounts, due, left_to_ship, line_rows, pieces_left
from casework.shop.bulk import reviewer_of, was_ended
from casework.shop.coming_back import clear_refunded
from casework.shop.courier import out_without_parcel, stop_late_parcel
from casework.shop.errors import BadRequest, Held
from casework.shop.faults import HOW, KINDS, set_fault
from casework.shop.holds import cases_holding
from casework.shop.losses import same_goods
from casework.shop.notices import tell_cases
from casework.shop.orders import lock_order
from casework.shop.pieces import pieces_of_lines
from casework.shop.shelf import lines_on_shelf_alone
from casework.shop.shipments import leave_shelf, pieces_in
from casework.shop.tables import CaseRow, LineRow, OrderRow, ShipmentLineRow, ShipmentRow

MAX_WAYBILL = 32


def ship(
    session: Session,
    order_id: str,
    *,
    lines: Sequence[int] | None = None,
    at: datetime,
    force: bool = False,
    waybill: str | None = None,
) -> str:
    """Ship lines of an order, by default all that are left to ship: all of them or none. Answers with the waybill.

    `force` is the platform's own word, which wins over a hold. Without a waybill one is made up; one that an export has
    shown may be given as long as nobody has told what is in it. Lines that left without a waybill do not ship again; by
    `force` or a waybill they get their parcel. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.
        Held: an open case holds a line.
        BadRequest: the order is not paid, a line is unknown or not there to be shipped, or the waybill is none.

    """
    if waybill is not None and len(waybill) > MAX_WAYBILL:
        raise BadRequest("waybill", f"has more than {MAX_WAYBILL} characters")
    order = lock_order(session, order_id)
    if order.state in {"unpaid", "closed"}:
        raise BadRequest("order", f"order {order_id} is {order.state} and does not ship")
    leaving = {row.number: row for row in left_to_ship(session, order_id)}
    told = force or waybill is not None
    out = {row.number: row for row in out_without_parcel(session, order_id)} if told else {}
    leaving |= on_shelf_alone(session, order_id)
    there = leaving | out
    chosen = sorted(set(lines)) if lines is not None else sorted(leaving or out)
    if not chosen:
        raise BadRequest("lines", f"nothing of order {order_id} is left to ship")
    for number in chosen:
        if number not in there:
            raise BadRequest("lines", f"line {number} of order {order_id} is not there to be shipped")
    holding = sorted(
        {case for number in leaving.keys() & chosen for case in _holding(session, order_id, there[number])}
    )
    if holding and not force:
        raise Held(order_id, holding)
    known = session.scalars(select(ShipmentRow).where(ShipmentRow.order_id == order_id)).all()
    waybill = waybill or _made_up_waybill(order_id, len(known))
    shown = next((parcel for parcel in known if parcel.waybill.upper() == waybill.upper()), None)
    if shown is not None:
        # an export may have shown it, and cannot tell what is in it; a forwarded parcel's later waybill is no new one
        forwarded = len(same_goods(session, order_id, waybill)) > 1
        if shown.back_at is not None or pieces_in(session, shown) or forwarded:
            raise BadRequest("waybill", f"{waybill} is a parcel of this order already")
        waybill = shown.waybill
    rows = [there[number] for number in chosen]
    send_off(session, order, rows, waybill=waybill, company="", shipped_at=at, at=at)
    order.shipped_at = order.shipped_at or at
    _follow_lines(session, order)
    if leaving.keys() & chosen:
        tell_cases(session, order_id, "order_gone", at=at)
    return waybill


def send_off(
    session: Session,
    order: OrderRow,
    rows: Sequence[LineRow],
    *,
    waybill: str,
    company: str,
    shipped_at: datetime | None,
    at: datetime,
    from_shelf: bool = True,
) -> None:
    """Put what is left of these lines into a parcel, of which the shop hears at `at`. The caller locks the order.

    Of a line that has left already, that is what came back and is on the shelf. Where an open case has had these lines
    stopped before their waybill was known, the parcel is stopped too. `from_shelf`: what leaves lay there, if anything
    did. `shipped_at` and `at` are aware.
    """
    done = accounts(session, order.id)
    where = pieces_of_lines(session, order.id, [row for row in rows if row.place != "unshipped"])
    shelf = {line: pieces.shelf for line, pieces in where.items()}
    parcel = session.scalar(select(ShipmentRow).where(ShipmentRow.order_id == order.id, ShipmentRow.waybill == waybill))
    if parcel is None:
        parcel = ShipmentRow(order_id=order.id, waybill=waybill, company=company, shipped_at=shipped_at)
        session.add(parcel)
        session.flush()
    for row in rows:
        row.place, row.state = "shipped", row.state if row.state == "finished" else "shipped"
        quantity = shelf.get(row.number) or pieces_left(row, done) or row.quantity
        session.merge(ShipmentLineRow(shipment_id=parcel.id, line=row.number, quantity=quantity))
        if from_shelf:
            leave_shelf(session, order.id, LineQuantity(line=row.number, quantity=quantity))
    session.flush()
    stop_late_parcel(session, parcel, [row.number for row in rows], at=at)


def close(session: Session, order_id: str, *, at: datetime) -> None:
    """The platform closes the trade; one that was paid goes back to the buyer whole. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.
        BadRequest: the trade is over already.

    """
    order = lock_order(session, order_id)
    if order.state in {"closed", "finished"}:
        raise BadRequest("order", f"order {order_id} is {order.state} already")
    _refund_whole(session, order, at)
    _close(session, order)
    clear_refunded(session, order_id, at)
    tell_cases(session, order_id, "order_gone", at=at)


def refunded(session: Session, order_id: str, lines: Sequence[LineQuantity] | None = None, *, at: datetime) -> int:
    """The platform pays the buyer back: for some lines, or for all that is left, which closes the trade.

    Answers with what it paid, in fen. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.
        BadRequest: nothing of them is left to refund.

    """
    order = lock_order(session, order_id)
    if lines is None:
        paid = _refund_whole(session, order, at)
    else:
        paid = platform.enter(session, order, due(session, order, lines), at=at)
    if not paid:
        raise BadRequest("lines", f"nothing of order {order_id} is left to refund")
    done = accounts(session, order_id)
    rows = line_rows(session, order_id)
    if done.total_fen >= order.paid_fen:
        _close(session, order)
    else:
        for row in rows:
            if not pieces_left(row, done):
                row.state = "closed"
    order.platform_refund_fen = max(order.platform_refund_fen or 0, done.total_fen)
    clear_refunded(session, order_id, at)
    tell_cases(session, order_id, "order_gone", at=at)
    if order.state != "closed":
        tell_cases(session, order_id, "order_changed", at=at)
    return paid


def set_flag(session: Session, order_id: str, colour: str, *, at: datetime) -> None:
    """Set the order's own flag, which shows while no case wishes for another. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.
        BadRequest: there is no such flag.

    """
    if colour not in flags.COLOURS:
        raise BadRequest("flag", f"must be one of {', '.join(flags.COLOURS)}")
    flags.set_own_flag(session, order_id, colour, at=at)


def set_address(session: Session, order_id: str, address: str, *, at: datetime) -> None:
    """The buyer changes where the order goes; open cases are told that the order changed. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.
        BadRequest: the address is empty.

    """
    order = lock_order(session, order_id)
    if not address.strip():
        raise BadRequest("address", "is empty")
    if address.strip() != (order.changed_address or order.address):
        order.changed_address = address.strip()
        session.flush()
        tell_cases(session, order_id, "order_changed", at=at)


def fail(session: Session, what: str, id: str, how: str = "once") -> None:  # noqa: A002 - the contract's word
    """Let payments or intercepts fail: for an order, a case, or (intercepts) a waybill; `never` ends it.

    Raises:
        BadRequest: there is no such order, case or parcel, or no such fault.

    """
    if what not in KINDS:
        raise BadRequest("what", f"must be one of {', '.join(KINDS)}")
    if how not in HOW:
        raise BadRequest("how", f"must be one of {', '.join(HOW)}")
    known = (
        session.get(OrderRow, id) is not None
        or session.scalar(select(CaseRow.case_id).where(CaseRow.case_id == id).limit(1)) is not None
        or (
            what == "intercept"
            and session.scalar(select(ShipmentRow.id).where(ShipmentRow.waybill == id).limit(1)) is not None
        )
    )
    if not known:
        raise BadRequest("id", f"the shop knows no order, case or parcel {id}")
    set_fault(session, what, id, how)


def on_shelf_alone(session: Session, order_id: str) -> dict[int, LineRow]:
    """The lines of which something came back and is to ship again, while the rest of it has left."""
    lies_there = lines_on_shelf_alone(session, order_id)
    if not lies_there or was_ended(session, order_id):
        return {}
    return {row.number: row for row in line_rows(session, order_id) if row.number in lies_there}


def _holding(session: Session, order_id: str, row: LineRow) -> list[str]:
    """The cases that hold what is left to ship of a line; of one that has left, nobody holds what came back, but a
    review waits for it.
    """
    if row.place != "unshipped":
        reviewer = reviewer_of(session, order_id)
        return [] if reviewer is None else [reviewer]
    return cases_holding(session, order_id, row.number)


def _refund_whole(session: Session, order: OrderRow, at: datetime) -> int:
    """The platform pays back all that is left of an order, line by line; what no line accounts for goes in as a sum."""
    if order.state in {"unpaid", "closed"}:
        return 0
    rows = line_rows(session, order.id)
    done = accounts(session, order.id)
    whole = [LineQuantity(line=row.number, quantity=left) for row in rows if (left := pieces_left(row, done))]
    paid = platform.enter(session, order, due(session, order, whole), at=at)
    rest = order.paid_fen - accounts(session, order.id).total_fen
    if rest > 0:
        paid += platform.enter(session, order, [LedgerLine(None, 0, rest)], at=at)
        platform.attribute(session, order)
    order.platform_refund_fen = max(order.platform_refund_fen or 0, accounts(session, order.id).total_fen)
    return paid


def _close(session: Session, order: OrderRow) -> None:
    order.state = "closed"
    for row in line_rows(session, order.id):
        row.state = "closed"
    session.flush()
    platform.attribute(session, order)


def _follow_lines(session: Session, order: OrderRow) -> None:
    """The order's state after a shipment: partly shipped while something is left to ship."""
    if order.state in {"paid", "partly_shipped"}:
        order.state = "partly_shipped" if left_to_ship(session, order.id) else "shipped"
        session.flush()


def _made_up_waybill(order_id: str, number: int) -> str:
    digits = int(hashlib.sha256(f"{order_id}/{number}".encode()).hexdigest(), 16) % 10**12
    return f"CW{digits:012d}"
