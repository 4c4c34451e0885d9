"""How a problem parcel stands, by the shop and by its courier; goods of it that came back."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.authority import is_present
from casework.money import LineQuantity
from casework.parcels import Followed, ParcelReport
from casework.rules.parcels import RECEIPT_TIME, is_signed, receipt_extended, region_of
from casework.shop import coming_back
from casework.shop.amounts import accounts, line_rows, pieces_left
from casework.shop.claimants import claims_on
from casework.shop.flags import append_memo, wish_flag
from casework.shop.following import order_of_waybill
from casework.shop.handing_over import handed_over_by
from casework.shop.known_flows import AWAITS_GOODS, RETURN
from casework.shop.losses import made_good
from casework.shop.orders import find_order, is_finished, lock_order
from casework.shop.pieces import still_in
from casework.shop.records import came_from
from casework.shop.remaining import left_in, left_of, owed_in, shipment_of_goods, still_owed, value_of
from casework.shop.reshipments import asked_to_send, in_stock
from casework.shop.returning import tells_of_way_back
from casework.shop.shipments import shipment_of
from casework.shop.staff import all_staff
from casework.shop.tables import OrderRow, ParcelStatusRow, ScanRow, WaitRow
from casework.shop.tracking import last_status
from state_machines.roles import Role


def left_at(session: Session, order_id: str, waybill: str, *, way_back: bool) -> datetime | None:
    """When a parcel left, as far as the shop knows: the parcel's own time, its first scan's, or the order's.

    The time is aware.
    """
    shipment = None if way_back else shipment_of(session, order_id, waybill)
    if shipment is not None and shipment.shipped_at is not None:
        return shipment.shipped_at
    first = session.scalar(select(ScanRow.at).where(ScanRow.waybill == waybill).order_by(ScanRow.at).limit(1))
    if first is not None or way_back:
        return first
    return find_order(session, order_id).shipped_at


def read_parcel(
    session: Session,
    *,
    case_id: str,
    run_id: str,
    order_id: str,
    waybill: str,
    following: str,
    lines: Sequence[LineQuantity],
    way_back: bool,
    shop_province: str,
    remote_provinces: Collection[str],
    at: datetime,
    denied_at: datetime | None = None,
) -> ParcelReport:
    """How a parcel and its order stand, by the shop and by the last word of the courier that has it now.

    `waybill` is the one that the case is about, `following` the one under which its goods go now; what was signed until
    `denied_at`, when the buyer said that nothing came, is no receipt. Times are aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = find_order(session, order_id)
    shipment = shipment_of_goods(session, order_id, waybill)
    known = way_back or shipment is not None or order_of_waybill(session, waybill, order_id) == order_id
    if way_back:
        about, left = lines, left_of(session, order_id, lines)
    else:
        done = made_good(session, order_id, waybill, excluding=(case_id, run_id))
        # the lines in it of which not all was made good before; all of them, where all was
        inside = still_in(session, shipment)
        held = [one for one in lines if one.line in inside] or lines
        about = [one for one in held if one.quantity > done.in_all.get(one.line, 0)] or held
        left = left_in(session, order_id, inside, lines, done)
    # not by what is owed: of several parcels that are out, each might count on the others
    settled = not way_back and bool(lines) and not left
    left = left if way_back else owed_in(session, order_id, waybill, left, at)
    over = _is_over(session, order, about)
    claims = claims_on(session, order_id, left)
    with_others = {line: one for line, one in claims.items() if not _is_opened_by(session, one, case_id)}
    free = [one for one in left if one.line not in with_others]
    finished = is_finished(order)
    back = shipment is not None and shipment.back_at is not None
    status = session.get(ParcelStatusRow, following)
    last = last_status(session, following)
    if way_back and last is not None and not tells_of_way_back(session, order_id, waybill, last):
        last = None
    forwarding = (
        Followed(courier=status.forwarded_courier, waybill=status.forwarded_waybill, since=status.scan_at)
        if status is not None and status.forwarded_courier and status.forwarded_waybill
        else None
    )
    signed = is_signed(last, denied_at) and not back
    address = order.changed_address or order.address
    return ParcelReport(
        known=known,
        settled=over or back or settled or (finished and not way_back),
        order_over=over,
        trade_finished=finished,
        in_stock=back or in_stock(session, order_id, free or left),
        left=left,
        value_fen=value_of(session, order_id, left),
        region=region_of(address, shop_province=shop_province, remote_provinces=remote_provinces),
        code=last.code if last else None,
        scan_at=last.at if last else None,
        answered_at=status.answered_at if status is not None else None,
        forwarding=forwarding,
        claimed_by=next(iter(claims.values()), None),
        with_others=with_others,
        awaited_by=[] if signed else _awaiting(session, order_id, with_others, left),
        asked=still_owed(session, order_id, case_id, asked_to_send(session, case_id), at),
        back=back and not way_back,
    )


def _awaiting(session: Session, order_id: str, claimants: Mapping[int, str], left: Sequence[LineQuantity]) -> list[str]:
    """Of these cases, the returns that wait for the buyer to send back what is in a parcel, and nothing else.

    A line of which a piece is in another parcel does not count: that piece may be what comes back.
    """
    done = accounts(session, order_id)
    inside = {one.line: one.quantity for one in left}
    whole = {row.number for row in line_rows(session, order_id) if pieces_left(row, done) <= inside.get(row.number, 0)}
    waits = session.scalars(
        select(WaitRow)
        .where(WaitRow.case_id.in_(set(claimants.values())), WaitRow.flow == RETURN)
        .order_by(WaitRow.case_id)
    )
    return [
        row.case_id
        for row in waits
        if row.case["state"] == AWAITS_GOODS
        and not row.case["kept"]
        and all(one["line"] in whole for one in row.case["lines"])
    ]


def put_off_receipt(session: Session, order_id: str, waybill: str, at: datetime) -> datetime | None:
    """Have the platform put the trade's receipt time off, where less than a day of it is left; when it is then.

    None where nothing is put off: there is time enough, the trade is over or has not shipped, or nobody knows when it
    did: the order, or else the parcel itself, says so. Times are aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = lock_order(session, order_id)
    shipped_at = order.shipped_at or left_at(session, order_id, waybill, way_back=False)
    if order.state not in {"shipped", "partly_shipped"} or shipped_at is None:
        return None
    until = receipt_extended(order.receipt_until or shipped_at + RECEIPT_TIME, at)
    if until is not None:
        order.receipt_until = until
        session.flush()
    return until


def specialist_for(session: Session, waybill: str, at: datetime) -> str | None:
    """Who looks for a parcel: one of the specialists who are there at this time, the same for a waybill; None: nobody.

    `at` is an aware time.
    """
    there = [one.id for one in all_staff(session) if Role.PARCEL_SPECIALIST in one.roles and is_present(one, at)]
    return there[zlib.crc32(waybill.encode()) % len(there)] if there else None


def take_returned(
    session: Session,
    *,
    key: str,
    case_id: str,
    order_id: str,
    waybill: str,
    lines: Sequence[LineQuantity],
    memo: str,
    at: datetime,
) -> None:
    """The parcel has come back to us: its lines are here, purple flag, memo. Once a key. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    shipment = shipment_of_goods(session, order_id, waybill)
    waybill = waybill if shipment is None else shipment.waybill
    coming_back.mark_goods_back(
        session, key=key, case_id=case_id, order_id=order_id, lines=lines, at=at, waybill=waybill
    )
    if shipment is not None and shipment.back_at is None:  # nobody has told what was in it
        shipment.back_at = at
        wish_flag(session, case_id, order_id, "purple", at=at)
    append_memo(session, order_id, memo, at=at, key=f"{key}/memo")


def _is_opened_by(session: Session, claimant: str, case_id: str) -> bool:
    """Whether a refund or return was opened by a case, or is about to be."""
    return case_id in (came_from(session, claimant), handed_over_by(session, claimant))


def _is_over(session: Session, order: OrderRow, lines: Sequence[LineQuantity]) -> bool:
    if order.state == "closed":
        return True
    done = accounts(session, order.id)
    rows = {row.number: row for row in line_rows(session, order.id)}
    return bool(lines) and all(not pieces_left(rows[one.line], done) for one in lines)
