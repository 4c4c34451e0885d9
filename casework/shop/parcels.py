"""Problem parcels in the shop: which case follows which waybill, how a parcel stands, sending goods again."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from casework.authority import is_present
from casework.money import LineQuantity, part_of_line
from casework.parcels import Followed, ParcelReport, about_the_money
from casework.rules.parcels import RECEIPT_TIME, courier_code, is_signed, receipt_extended, region_of
from casework.shop import coming_back, outbox, outside
from casework.shop.amounts import accounts, line_rows, paid_shares, pieces_left
from casework.shop.bulk import reviewer_of, was_ended
from casework.shop.claimants import claims_on, says_all
from casework.shop.courier import cases_stopping
from casework.shop.errors import BadRequest
from casework.shop.flags import append_memo, wish_flag
from casework.shop.handing_over import handed_over_by
from casework.shop.losses import MadeGood, Run, followed_now, made_good, same_goods, waybills_followed_by
from casework.shop.orders import find_order, is_finished, lock_order
from casework.shop.pieces import pieces_of_lines, pieces_owed, still_in
from casework.shop.records import came_from, is_open, lines_of
from casework.shop.returning import tells_of_way_back, way_back_of
from casework.shop.runs import OF_FOLLOWED_PARCEL
from casework.shop.shipments import is_waybill, lines_in, pieces_in, shelve, shipment_of
from casework.shop.staff import all_staff
from casework.shop.steps import first_time
from casework.shop.stock import move_stock
from casework.shop.tables import (
    CaseRow,
    FollowedParcelRow,
    OrderRow,
    OutOfStockRow,
    ParcelRow,
    ParcelStatusRow,
    ReshipmentRow,
    ReturnRow,
    ScanRow,
    ShipmentLineRow,
    ShipmentRow,
    StockMovementRow,
    WaitRow,
)
from casework.shop.tracking import last_status, orders_of_waybill
from state_machines.roles import Role

How = Literal["opened", "way_back", "forwarded", "reshipped"]
FLOW = "problem-parcel"


# --- which case has which waybill ---


def open_parcel_case(session: Session, waybill: str) -> str | None:
    """The open case that follows a waybill, or awaits its parcel; None: there is none."""
    return open_parcel_cases(session, [waybill]).get(waybill)


def open_parcel_cases(session: Session, waybills: Collection[str]) -> dict[str, str]:
    """By waybill, the open case that follows it or awaits its parcel.

    Following is also to have followed it before the parcel was forwarded, or sent again; awaiting, to have had it
    stopped on its way.
    """
    wanted = set(waybills)
    found: dict[str, str] = {}
    for row in session.scalars(
        select(ShipmentRow).where(ShipmentRow.waybill.in_(wanted), ShipmentRow.intercepted_at.is_not(None))
    ):
        if row.back_at is None:
            for case_id in cases_stopping(session, row.order_id, lines_in(session, row)):
                found[row.waybill] = case_id
    ids = {f"{FLOW}-{waybill}": waybill for waybill in wanted}
    for case_id in session.scalars(
        select(CaseRow.case_id).where(CaseRow.case_id.in_(ids), CaseRow.closed_at.is_(None))
    ):
        found[ids[case_id]] = case_id
    followed = (
        select(FollowedParcelRow.waybill, FollowedParcelRow.case_id)
        .join(CaseRow, OF_FOLLOWED_PARCEL)
        .where(FollowedParcelRow.waybill.in_(wanted), CaseRow.closed_at.is_(None))
    )
    found.update((waybill, case_id) for waybill, case_id in session.execute(followed))
    return found


def order_of_waybill(session: Session, waybill: str, order_id: str) -> str | None:
    """Whose parcel a waybill is, this order's if it is one of its several; None: the shop does not know it."""
    orders = orders_of_waybill(session, waybill)
    return order_id if order_id in orders else next(iter(sorted(orders)), None)


def courier_of(session: Session, waybill: str) -> str | None:
    """Kuaidi100's code of a parcel's courier: as it has answered, or by its name in the order; None: nobody knows."""
    answered = session.scalar(
        select(ParcelRow.courier).where(is_waybill(ParcelRow.waybill, waybill), ParcelRow.courier != "").limit(1)
    )
    if answered:
        return answered
    companies = session.scalars(select(ShipmentRow.company).where(is_waybill(ShipmentRow.waybill, waybill)))
    return next((code for company in companies if (code := courier_code(company))), None)


@dataclass(frozen=True, slots=True)
class KnownParcel:
    """A parcel as the shop knows it: its own spelling of the waybill, what is in it, and the return that awaits it."""

    waybill: str
    lines: list[LineQuantity]
    return_case: str | None = None


def parcel_of_start(session: Session, order_id: str, waybill: str, from_case: str | None) -> KnownParcel | None:
    """The parcel that a case is to be opened for; None: the shop knows no such parcel.

    A parcel that the buyer sent to us holds the lines of the return that awaits it, or that opens the case.

    Raises:
        BadRequest: it is another order's parcel, or an open case follows it already.

    """
    spelling = _spelling(session, waybill)
    whose = order_of_waybill(session, spelling, order_id)
    if whose not in (None, order_id):
        raise BadRequest("waybill", f"{spelling} is a parcel of order {whose}, not of {order_id}")
    other = other_follower(session, order_id, spelling)
    # an opening whose answer was lost is asked for again: by then another case may have been opened and registered
    if other is not None and not is_open(session, f"{FLOW}-{spelling}"):
        raise BadRequest("waybill", f"{spelling} is followed by the open case {other} already")
    way_back = way_back_of(session, spelling)
    inside = pieces_in(session, _shipment_of_goods(session, order_id, spelling))
    # what the buyer never took comes back under the waybill with which it left: where all of it is to be returned
    if way_back is not None and is_open(session, way_back.case_id):
        returned = {one.line: one.quantity for one in lines_of(session, way_back.case_id)}
        if all(one.quantity <= returned.get(one.line, 0) for one in inside):
            return KnownParcel(spelling, lines_of(session, way_back.case_id), way_back.case_id)
    if inside:
        return KnownParcel(spelling, inside)
    follower = session.execute(
        select(FollowedParcelRow, CaseRow)
        .join(CaseRow, OF_FOLLOWED_PARCEL)
        .where(FollowedParcelRow.order_id == order_id, FollowedParcelRow.waybill == spelling)
        .order_by(CaseRow.closed_at.is_not(None), CaseRow.opened_at.desc())
    ).first()
    if follower is not None:
        followed, case = follower
        if followed.how != "way_back":
            # of a parcel whose lines nobody has told, what the case that has followed it is about
            return KnownParcel(spelling, [LineQuantity.model_validate(line) for line in case.lines])
    if shipment_of(session, order_id, spelling) is not None:
        return KnownParcel(spelling, [])
    return_case = way_back.case_id if way_back is not None else from_case
    if return_case is None:
        return None
    return KnownParcel(spelling, lines_of(session, return_case), return_case)


def other_follower(session: Session, order_id: str, waybill: str) -> str | None:
    """The open case that follows the goods of a waybill, under it or another one, and is not the waybill's own."""
    same = same_goods(session, order_id, waybill)
    return session.scalar(
        select(CaseRow.case_id)
        .join(FollowedParcelRow, OF_FOLLOWED_PARCEL)
        .where(
            FollowedParcelRow.order_id == order_id,
            func.upper(FollowedParcelRow.waybill).in_(same),
            CaseRow.closed_at.is_(None),
            CaseRow.case_id != f"{FLOW}-{waybill}",
        )
        .limit(1)
    )


def follow(
    session: Session,
    *,
    case_id: str,
    run_id: str,
    order_id: str,
    parcel: Followed,
    how: How,
) -> None:
    """Note that a case follows a waybill from now on, as the shop writes it; doing it again changes nothing.

    Raises:
        BadRequest: it is another order's parcel, another open case follows it, or it holds other goods.

    """
    waybill = _spelling(session, parcel.waybill)
    whose = order_of_waybill(session, waybill, order_id)
    if whose not in (None, order_id):
        raise BadRequest("waybill", f"{waybill} is a parcel of order {whose}, not of {order_id}")
    other = open_parcel_case(session, waybill)
    if other is not None and other != case_id and how != "opened":
        raise BadRequest("waybill", f"{waybill} is followed by the open case {other} already")
    if how == "forwarded" and _holds_other_goods(session, case_id, order_id, waybill):
        raise BadRequest("waybill", f"{waybill} is another parcel of this order, with goods of its own")
    known = session.get(FollowedParcelRow, (case_id, run_id, waybill))
    if known is not None and known.how != how:
        raise BadRequest("waybill", f"{waybill} is this case's own parcel, and nothing new")
    if known is None:
        before = (FollowedParcelRow.case_id == case_id, FollowedParcelRow.run_id == run_id)
        session.add(
            FollowedParcelRow(
                case_id=case_id,
                run_id=run_id,
                waybill=waybill,
                order_id=order_id,
                courier=parcel.courier,
                how=how,
                since=parcel.since,
                number=session.scalar(select(func.count()).select_from(FollowedParcelRow).where(*before)),
            )
        )
        session.flush()


def _holds_other_goods(session: Session, case_id: str, order_id: str, waybill: str) -> bool:
    """Whether a waybill is a shipment of the order whose contents are told, and not of the goods that a case follows:
    an export may show the later waybill of a forwarded parcel too, but tells no lines of it.
    """
    shipment = shipment_of(session, order_id, waybill)
    if shipment is None or not pieces_in(session, shipment):
        return False
    return waybill.upper() not in followed_now(session, order_id).get(case_id, ())


# --- how a parcel stands ---


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


def value_of(session: Session, order_id: str, lines: Sequence[LineQuantity]) -> int:
    """What was paid for what is in a parcel and is not refunded, in fen.

    Source: flows.md, "Amounts of a case": the paid value of the parcel.
    """
    order = find_order(session, order_id)
    rows = {row.number: row for row in line_rows(session, order_id)}
    paid = paid_shares(order, list(rows.values()), accounts(session, order_id))
    return sum(
        part_of_line(
            paid[one.line],
            rows[one.line].quantity,
            already=rows[one.line].quantity - one.quantity,
            taken=one.quantity,
        )
        for one in left_of(session, order_id, lines)
    )


def left_of(session: Session, order_id: str, lines: Sequence[LineQuantity]) -> list[LineQuantity]:
    """What of these pieces is not refunded: the rest is neither sent again nor paid for once more."""
    done = accounts(session, order_id)
    left = {row.number: pieces_left(row, done) for row in line_rows(session, order_id)}
    return [LineQuantity(line=one.line, quantity=min(one.quantity, left[one.line])) for one in lines if left[one.line]]


def left_in_parcel(
    session: Session,
    order_id: str,
    waybill: str,
    lines: Sequence[LineQuantity],
    *,
    excluding: Run | None = None,
) -> list[LineQuantity]:
    """What of these pieces is in a parcel and is neither refunded nor made good by any run but `excluding`.

    A line may be in several parcels: what was sent again of one, or paid for, is not what the others hold. What came
    back and went to the shelf ships again, or has: it is not in that parcel any more.
    """
    done = made_good(session, order_id, waybill, excluding=excluding)
    inside = still_in(session, _shipment_of_goods(session, order_id, waybill))
    return _left_in(session, order_id, inside, lines, done)


def _left_in(
    session: Session, order_id: str, inside: Mapping[int, int], lines: Sequence[LineQuantity], done: MadeGood
) -> list[LineQuantity]:
    # of a parcel whose lines nobody has told, what its case is about
    held = [
        LineQuantity(line=one.line, quantity=min(one.quantity, inside.get(one.line, 0) if inside else one.quantity))
        for one in lines
    ]
    by_line = {one.line: one.quantity for one in held}
    pieces = [
        # what we paid for is refunded in the ledger too, what was sent again is not
        LineQuantity(
            line=one.line,
            quantity=min(
                by_line[one.line] - done.in_all.get(one.line, 0), one.quantity - done.sent_again.get(one.line, 0)
            ),
        )
        for one in left_of(session, order_id, held)
    ]
    return [one for one in pieces if one.quantity > 0]


def _owed(
    session: Session, order_id: str, waybill: str, pieces: Sequence[LineQuantity], at: datetime
) -> list[LineQuantity]:
    """Of these pieces of a parcel, what the buyer is still to have: see `pieces_owed`."""
    if not accounts(session, order_id).pieces:
        return list(pieces)
    rows = line_rows(session, order_id)
    same = same_goods(session, order_id, waybill)
    owed = pieces_owed(session, order_id, rows, at, apart_from=same, beyond_shelf=True)
    found = [LineQuantity(line=one.line, quantity=min(one.quantity, owed[one.line])) for one in pieces]
    return [one for one in found if one.quantity > 0]


def is_made_good(session: Session, order_id: str, waybill: str) -> bool:
    """Whether all that was in a parcel was sent again, paid for or refunded; not where nobody knows what was."""
    inside = pieces_in(session, _shipment_of_goods(session, order_id, waybill))
    return bool(inside) and not left_in_parcel(session, order_id, waybill, inside)


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
    shipment = _shipment_of_goods(session, order_id, waybill)
    known = way_back or shipment is not None or order_of_waybill(session, waybill, order_id) == order_id
    if way_back:
        about, left = lines, left_of(session, order_id, lines)
    else:
        done = made_good(session, order_id, waybill, excluding=(case_id, run_id))
        # the lines in it of which not all was made good before; all of them, where all was
        inside = still_in(session, shipment)
        held = [one for one in lines if one.line in inside] or lines
        about = [one for one in held if one.quantity > done.in_all.get(one.line, 0)] or held
        left = _left_in(session, order_id, inside, lines, done)
    # not by what is owed: of several parcels that are out, each might count on the others
    settled = not way_back and bool(lines) and not left
    left = left if way_back else _owed(session, order_id, waybill, left, at)
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
        asked=left_of(session, order_id, asked_to_send(session, case_id)),
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
        .where(WaitRow.case_id.in_(set(claimants.values())), WaitRow.flow == "return-after-shipping")
        .order_by(WaitRow.case_id)
    )
    return [
        row.case_id
        for row in waits
        if row.case["state"] == "awaiting_parcel"
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


# --- goods that come back, and goods that are sent again ---


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
    shipment = _shipment_of_goods(session, order_id, waybill)
    waybill = waybill if shipment is None else shipment.waybill
    coming_back.mark_goods_back(
        session, key=key, case_id=case_id, order_id=order_id, lines=lines, at=at, waybill=waybill
    )
    if shipment is not None and shipment.back_at is None:  # nobody has told what was in it
        shipment.back_at = at
        wish_flag(session, case_id, order_id, "purple", at=at)
    append_memo(session, order_id, memo, at=at, key=f"{key}/memo")


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
        _owed(session, order_id, waybill, left_in_parcel(session, order_id, waybill, lines, excluding=own), at)
        if waybill
        else left_of(session, order_id, lines)
    )
    if not left:
        return "the goods are refunded or made good: there is nothing left to send again"
    claims = claims_on(session, order_id, left)
    free = [one for one in left if one.line not in claims]
    if not free:
        return about_the_money(next(iter(claims.values())))
    shipment = _shipment_of_goods(session, order_id, waybill) if waybill else None
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
    """What the warehouse is to send now, where that is less than it was asked to; `mark` is another for each change."""

    mark: str
    lines: list[LineQuantity]


def changed_since_asked(session: Session, *, case_id: str, order_id: str, at: datetime) -> Changed | None:
    """What a case has the warehouse send, where some of it has been refunded since; None: all that was asked, or
    nothing. The earlier task is cancelled, once for each change. `at` is aware.
    """
    asked = next(iter(_asked(session, case_id)), None)
    if asked is None or not says_all(asked.lines):
        return None
    pieces = _asked_in(asked)
    now = left_of(session, order_id, pieces)
    if now == pieces:
        return None
    listed = ",".join(f"{one.line}x{one.quantity}" for one in now)
    mark = f"{asked.key.rpartition('/')[2]}.{zlib.crc32(listed.encode()):08x}"
    if first_time(session, f"{asked.key}/{mark}", at):
        outbox.cancel_tasks(session, case_id, Role.WAREHOUSE, at=at)
    return Changed(mark, now)


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
    _close_replaced(session, order, case_id, asked, at)
    for row in asked:
        # of a reshipment from an older version it is not written down what came back
        pieces = _asked_in(row) if says_all(row.lines) else list(lines)
        left = left_of(session, order_id, pieces)
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
    outside.send_off(session, order, rows, waybill=waybill, company=parcel.courier, shipped_at=parcel.since, at=at)
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


# --- what stands in the rows ---


def _is_opened_by(session: Session, claimant: str, case_id: str) -> bool:
    """Whether a refund or return was opened by a case, or is about to be."""
    return case_id in (came_from(session, claimant), handed_over_by(session, claimant))


def _is_over(session: Session, order: OrderRow, lines: Sequence[LineQuantity]) -> bool:
    if order.state == "closed":
        return True
    done = accounts(session, order.id)
    rows = {row.number: row for row in line_rows(session, order.id)}
    return bool(lines) and all(not pieces_left(rows[one.line], done) for one in lines)


def _shipment_of_goods(session: Session, order_id: str, waybill: str) -> ShipmentRow | None:
    """The shipment of these goods, also where they went on under another waybill than that of the shipment.

    An export may show the later waybill too, as a parcel of which it tells no lines.
    """
    exact = shipment_of(session, order_id, waybill)
    if exact is not None and pieces_in(session, exact):
        return exact
    same = same_goods(session, order_id, waybill)
    own = (ShipmentRow.order_id == order_id, func.upper(ShipmentRow.waybill).in_(same))
    told = exists().where(ShipmentLineRow.shipment_id == ShipmentRow.id)
    return session.scalar(select(ShipmentRow).where(*own, told).limit(1)) or exact


def _spelling(session: Session, waybill: str) -> str:
    """The waybill as the shop writes it: capitals say nothing."""
    for column in (ShipmentRow.waybill, FollowedParcelRow.waybill, ReturnRow.waybill):
        spellings = {one for one in session.scalars(select(column).where(is_waybill(column, waybill))) if one}
        if spellings:
            return waybill if waybill in spellings else min(spellings)
    return waybill
