"""Returns in the shop: how the lines stand, the goods that come in, into and out of stock, and how a return ends.

Each step is a transaction, once per key. A line that goes back stays marked as shipped: a return may be of some pieces,
and what of it has come in stands in `returned_lines`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.dues import ReturnDue
from casework.money import LineQuantity, listed
from casework.rules import returns
from casework.rules.parcels import GOING_BACK, HANDED_OVER, SIGNED_BY_SENDER, Scanned
from casework.shop import orders
from casework.shop.amounts import POSTAGE, RETURN_POSTAGE, Reckoning, left_to_ship, line_rows, reckon
from casework.shop.claimants import had_by_another
from casework.shop.coming_back import (
    HAS_SENT_BACK,
    cancel_take_in,
    mark_goods_back,
    take_back_into_stock,
)
from casework.shop.courier import parcels_of, shown_scans
from casework.shop.dues import gift_of, note_paid, reckon_due
from casework.shop.errors import BadRequest
from casework.shop.flags import append_memo, wish_flag
from casework.shop.gifts import has_free_shipping
from casework.shop.known_flows import LAPSED, NOT_APPLICABLE, REFUND
from casework.shop.losses import followed_by_cases, given_up, same_goods, waybills_followed_by
from casework.shop.lying_here import renew_tasks
from casework.shop.orders import Line, Order, lock_order
from casework.shop.pieces import pieces_of_lines
from casework.shop.platform import attribute_to_lines
from casework.shop.records import came_from
from casework.shop.releasing import release_case
from casework.shop.runs import newest_run
from casework.shop.shipments import is_waybill, pieces_in, shipment_of, take_out
from casework.shop.steps import first_time
from casework.shop.stock import move_stock
from casework.shop.tables import (
    CaseRow,
    LedgerRow,
    OrderRow,
    ParcelRow,
    ReturnedLineRow,
    ReturnRow,
    ShipmentRow,
)
from casework.shop.tracking import later_waybills, orders_of_waybill
from casework.standing import ReturnStanding


@dataclass(frozen=True, slots=True)
class WayBack:
    """A parcel that a buyer sends back: it is no shipment of the order."""

    case_id: str
    order_id: str
    courier: str
    waybill: str


@dataclass(frozen=True, slots=True)
class PaidParts:
    """What a case has paid, in fen: for the goods, for the postage of the way out, for that of the way back.

    `gift_left_fen` is what it has deducted for the order's gifts; before it is paid, what no other return has.
    """

    goods_fen: int
    postage_fen: int
    return_postage_fen: int
    gift_left_fen: int = 0


def standing(
    session: Session,
    order_id: str,
    lines: Sequence[LineQuantity],
    due: ReturnDue,
    *,
    at: datetime,
    case_id: str,
    run_id: str,
) -> ReturnStanding:
    """How the lines stand for a return, at this moment; its own claim does not count against it. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    row = orders.find_order(session, order_id)
    order = orders.read_order(session, order_id)
    numbers = {one.line for one in lines}
    goods = reckon(session, row, lines, case_id=case_id, with_postage=False)
    lost = given_up(session, order_id, at)
    signed = _signed_at(session, order, numbers, at, lost)
    coming = [
        parcel
        for parcel in order.parcels
        if parcel.back_at is None
        # where one will never come, the others count only as far as the lines are in them
        and (not lost or (parcel.waybill.upper() not in lost and any(one.line in numbers for one in parcel.lines)))
    ]
    return ReturnStanding(
        paid=order.paid,
        closed=order.state == "closed",
        refunded=order.paid and goods.total_fen == 0,
        has_left=all(line.place != "unshipped" for line in order.lines if line.number in numbers),
        claimed_by=had_by_another(session, order_id, lines, case_id=case_id),
        refundable_fen=reckon_due(session, row, due, case_id=case_id, run_id=run_id).total_fen,
        signed_at=signed,
        on_its_way=signed is None and any(shown_scans(session, parcel.waybill, at) for parcel in coming),
        finished_at=returns.finished_at(signed, order.confirmed_at),
        free_shipping=order.postage_fen == 0 or has_free_shipping(session, order_id),
    )


def record(session: Session, case_id: str, run_id: str, order_id: str, *, requested_at: datetime, fault: bool) -> None:
    """Remember when a return was first asked for, and whether for a fault; again, it changes nothing but the latter.

    `requested_at` is aware.
    """
    row = session.get(ReturnRow, (case_id, run_id))
    if row is None:
        row = ReturnRow(case_id=case_id, run_id=run_id, order_id=order_id, requested_at=requested_at, fault=fault)
        session.add(row)
    row.fault = fault
    session.flush()


def first_request(session: Session, case_id: str, order_id: str, lines: Sequence[LineQuantity]) -> datetime:
    """When the lapsed return was first asked for (aware) that a new one of the same lines reopens.

    Raises:
        BadRequest: there is no such return, it has not lapsed, or it was of other lines, or of fewer pieces.

    """
    # an opening whose answer was lost is asked for again: the new return, of the same id, is on the record by then
    # and one that did not begin, while the goods were another case's, changes nothing
    has_begun = CaseRow.outcome.is_distinct_from(NOT_APPLICABLE)
    case = newest_run(session, case_id, CaseRow.closed_at.is_not(None), has_begun)
    row = session.get(ReturnRow, (case.case_id, case.run_id)) if case is not None else None
    if case is None or row is None or case.order_id != order_id:
        raise BadRequest("reopens", f"order {order_id} has no such return")
    if case.outcome != LAPSED:
        raise BadRequest("reopens", "that return has not lapsed")
    before = {one["line"]: one["quantity"] for one in case.lines}
    now = {one.line: one.quantity for one in lines}
    if before.keys() != now.keys() or any(now[line] > before[line] for line in now):
        raise BadRequest("reopens", "that return was of other lines, or of fewer pieces")
    return row.requested_at


def asked_as_refund(session: Session, case_id: str) -> datetime | None:
    """When the refund was asked for (aware) that turned into a return; None: that case is none."""
    refund = newest_run(session, case_id, CaseRow.flow == REFUND)
    return None if refund is None else refund.opened_at


def waybill_of_another(session: Session, order_id: str, waybill: str) -> bool:
    """Whether a parcel of this waybill belongs to another order, on its way out or back."""
    orders = orders_of_waybill(session, waybill)
    return bool(orders) and order_id not in orders


def note_way_back(session: Session, case_id: str, run_id: str, *, courier: str, waybill: str) -> None:
    """The buyer has sent the goods back by this courier."""
    row = session.get_one(ReturnRow, (case_id, run_id))
    row.courier, row.waybill = courier, waybill
    session.flush()


def way_back_of(session: Session, waybill: str) -> WayBack | None:
    """The return that a parcel belongs to; None: it is no way back that the shop knows."""
    row = session.scalars(
        select(ReturnRow).where(is_waybill(ReturnRow.waybill, waybill)).order_by(ReturnRow.requested_at.desc()).limit(1)
    ).first()
    if row is None or row.waybill is None or row.courier is None:
        return None
    return WayBack(row.case_id, row.order_id, row.courier, row.waybill)


def awaited_by_returns(session: Session, waybills: Collection[str]) -> set[str]:
    """Of these waybills, those that an open return awaits: such a parcel is on its way back to us."""
    query = (
        select(func.upper(ReturnRow.waybill))
        .join(CaseRow, (CaseRow.case_id == ReturnRow.case_id) & (CaseRow.run_id == ReturnRow.run_id))
        .where(
            func.upper(ReturnRow.waybill).in_({waybill.upper() for waybill in waybills}), CaseRow.closed_at.is_(None)
        )
    )
    awaited = set(session.scalars(query))
    return {waybill for waybill in waybills if waybill.upper() in awaited}


def signed_for_by_us(session: Session, case_id: str, run_id: str, *, order_id: str, waybill: str, at: datetime) -> bool:
    """Whether the newest scan of a way back, since the return was asked for, says that the goods are with us.

    That is a signature. Of a parcel of ours that the buyer did not take in, it is that its sender has signed for it
    again (4 of data.md): any other signature on that one is the buyer's own. A way back that was forwarded is looked
    for under its later waybill too. `at` is aware.
    """
    row = session.get_one(ReturnRow, (case_id, run_id))
    answered = session.scalars(select(ParcelRow.waybill).where(is_waybill(ParcelRow.waybill, waybill)))
    ways = dict.fromkeys([*answered, *later_waybills(session, order_id, waybill)])
    scans = [scan for way in ways for scan in shown_scans(session, way, at) if scan.at > row.requested_at]
    if not scans:
        return False
    newest = max(scans, key=lambda scan: scan.at)
    if shipment_of(session, order_id, waybill) is not None:
        return newest.code == SIGNED_BY_SENDER
    return newest.state == "signed"


def tells_of_way_back(session: Session, order_id: str, waybill: str, newest: Scanned) -> bool:
    """Whether a parcel's newest scan is about the buyer's sending it back, and not about its way to the buyer before.

    A parcel of ours that the buyer did not take in comes back without being signed for: its sender gets it again (4).
    """
    if shipment_of(session, order_id, waybill) is None:
        return True
    asked_at = session.scalar(
        select(func.max(ReturnRow.requested_at)).where(
            ReturnRow.order_id == order_id, is_waybill(ReturnRow.waybill, waybill)
        )
    )
    return newest.state not in HANDED_OVER and (asked_at is None or newest.at > asked_at)


def not_all_inside(session: Session, order_id: str, waybill: str, lines: Sequence[LineQuantity]) -> str | None:
    """Why a parcel of ours cannot bring all of these lines; None: nothing speaks against it."""
    inside = pieces_in(session, shipment_of(session, order_id, waybill))
    return f"{waybill} held {listed(inside)} alone: say what came in" if inside and _exceeds(lines, inside) else None


def receive(
    session: Session,
    *,
    key: str,
    case_id: str,
    run_id: str,
    order_id: str,
    lines: Sequence[LineQuantity],
    memo: str,
    at: datetime,
    waybill: str | None = None,
    named: bool = True,
) -> None:
    """Goods of a return have come in: what, a purple flag, and a line in the memo. `at` is aware.

    What comes by a parcel of ours (`waybill`) is in that parcel no more: the return has it; with it all of that parcel
    is back, as `mark_goods_back` says, unless its courier says that it was handed over. What is more than that parcel
    held came back in others. What an earlier return had, and sent back to the buyer, is what comes in first of the
    rest.

    Raises:
        UnknownOrder: the shop has no such order.
        BadRequest: nobody said which lines these are (`named`), and not all of them were in that parcel of ours.

    """
    order = lock_order(session, order_id)
    parcel = None if waybill is None else shipment_of(session, order_id, waybill)
    against = None if named or waybill is None else not_all_inside(session, order_id, waybill, lines)
    if against is not None:
        raise BadRequest("lines", against)
    if not first_time(session, key, at):
        return
    if parcel is not None and parcel.back_at is None and not _may_be_handed_over(session, order, parcel.waybill, at):
        mark_goods_back(
            session, key=f"{key}/back", case_id=case_id, order_id=order_id, lines=lines, at=at, waybill=parcel.waybill
        )
    for one in lines:
        row = _returned_line(session, case_id, run_id, order_id, one.line, at)
        row.received = one.quantity
        row.from_parcels = 0 if parcel is None else _take_out_of_parcels(session, order_id, parcel, one)
        row.from_parcels += _taken_over(session, order_id, one.line, one.quantity - row.from_parcels)
    _nothing_is_here_of(session, order_id, lines, at)
    cancel_take_in(session, case_id, at)
    # policy.md, shop.flag_profile: goods came back = purple
    wish_flag(session, case_id, order_id, "purple", at=at)
    append_memo(session, order_id, memo, at=at, key=f"{key}/memo")


def have_what_is_here(
    session: Session, *, key: str, case_id: str, run_id: str, order_id: str, lines: Sequence[LineQuantity], at: datetime
) -> None:
    """A return that the case of a parcel has opened of what came back in it has that from its beginning. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    lock_order(session, order_id)
    if not first_time(session, key, at):
        return
    only = waybills_followed_by(session, order_id, came_from(session, case_id))
    numbers = {one.line for one in lines}
    rows = [row for row in line_rows(session, order_id) if row.number in numbers]
    where = pieces_of_lines(session, order_id, rows, only=only)
    for one in lines:
        here = min(one.quantity, where[one.line].here)
        if not here:
            continue
        row = _returned_line(session, case_id, run_id, order_id, one.line, at)
        row.received = row.from_parcels = here
        for parcel in parcels_of(session, order_id, {one.line}, back_too=True):
            if here and parcel.waybill.upper() in only:
                here -= take_out(session, parcel, LineQuantity(line=one.line, quantity=here))
    _nothing_is_here_of(session, order_id, lines, at)


def restock(
    session: Session,
    *,
    key: str,
    case_id: str,
    run_id: str,
    order_id: str,
    accepted: Sequence[LineQuantity],
    at: datetime,
) -> None:
    """What the inspection took goes into stock. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    lock_order(session, order_id)
    if not first_time(session, key, at):
        return
    for one in accepted:
        _returned_line(session, case_id, run_id, order_id, one.line, at).accepted = one.quantity
    move_stock(session, line_rows(session, order_id), accepted, case_id=case_id, at=at)


def take_out_of_stock(session: Session, *, key: str, case_id: str, run_id: str, order_id: str, at: datetime) -> None:
    """The goods of a return leave the stock again, as far as they are in it; those of an earlier return of the same
    case id stay.

    `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    lock_order(session, order_id)
    if not first_time(session, key, at):
        return
    taken: list[LineQuantity] = []
    for row in session.scalars(
        select(ReturnedLineRow)
        .where(ReturnedLineRow.case_id == case_id, ReturnedLineRow.run_id == run_id)
        .order_by(ReturnedLineRow.line)
    ):
        taken.append(LineQuantity(line=row.line, quantity=row.accepted or 0))
        row.accepted = None
    move_stock(session, line_rows(session, order_id), taken, case_id=case_id, at=at, sign=-1)


def settle(
    session: Session,
    *,
    key: str,
    case_id: str,
    run_id: str,
    order_id: str,
    due: ReturnDue,
    came_back_before: Sequence[LineQuantity],
    memo: str,
    at: datetime,
) -> None:
    """The end of a return that was paid, by us or by the platform: its pieces count as refunded, and the memo grows.

    `came_back_before`: of these lines, what the return had from its beginning, or else what came back to another case,
    goes into stock where nobody has inspected it. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = lock_order(session, order_id)
    if not first_time(session, key, at):
        return
    attribute_to_lines(session, order, due.lines, case_id=case_id, at=at)
    owed = reckon_due(session, order, due, case_id=case_id, run_id=run_id)
    note_paid(session, due, owed, case_id=case_id, run_id=run_id, at=at)
    _count_what_a_gift_paid_for(session, order, owed, case_id, at)
    had = _had_from_its_beginning(session, case_id, run_id, came_back_before)
    move_stock(session, line_rows(session, order_id), had, case_id=case_id, at=at)
    own = {one.line for one in had}
    rest = [one for one in came_back_before if one.line not in own]
    if rest:
        # the platform may have refunded what the buyer has: what a parcel's own case sees to is not taken for that
        followed = followed_by_cases(session, order_id)
        take_back_into_stock(session, case_id, order, rest, at, excluding=followed)
    append_memo(session, order_id, memo, at=at, key=f"{key}/memo")


def finish(session: Session, *, key: str, case_id: str, order_id: str, at: datetime) -> None:
    """The refund of a return is accepted: everything is released; a red flag stays where nothing is left to ship.

    `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    lock_order(session, order_id)
    if first_time(session, key, at):
        release_case(session, case_id, flag_kept=None if left_to_ship(session, order_id) else "red", at=at)


def paid_parts(session: Session, order_id: str, *, case_id: str, run_id: str, payment: str) -> PaidParts:
    """What a payment of a return was for, by the payment's key."""
    sums = {
        line: int(amount)
        for line, amount in session.execute(
            select(LedgerRow.line, func.sum(LedgerRow.amount_fen))
            .where(LedgerRow.order_id == order_id, LedgerRow.payment_key == payment)
            .group_by(LedgerRow.line)
        )
        if line is not None
    }
    postage, back = sums.pop(POSTAGE, 0), sums.pop(RETURN_POSTAGE, 0)
    row = session.get_one(ReturnRow, (case_id, run_id))
    gift = gift_of(session, order_id, case_id=case_id, run_id=run_id)
    return PaidParts(
        sum(sums.values()), postage, back, gift.left_fen if row.settled_at is None else row.gift_deducted_fen
    )


def _signed_at(
    session: Session, order: Order, numbers: set[int], at: datetime, lost: Collection[str]
) -> datetime | None:
    """When the lines were signed for: of several, the first; a line in several parcels has come with its last, those
    apart that are `lost` and that nobody has signed for.
    """
    by_parcel = {
        parcel.waybill: returns.signed_at(
            [
                (scan.at, scan.code)
                for waybill in sorted(same_goods(session, order.id, parcel.waybill))
                for scan in shown_scans(session, waybill, at)
            ],
            order.confirmed_at,
        )
        for parcel in order.parcels
    }
    gone = {waybill for waybill, signed in by_parcel.items() if waybill.upper() in lost and signed is None}
    found: list[datetime | None] = []
    for line in order.lines:
        if line.number in numbers:
            parcels = [one for one in _parcels_that_count(order, line) if one not in gone]
            found.append(
                returns.received_at([by_parcel[waybill] for waybill in parcels]) if parcels else order.confirmed_at
            )
    return min((one for one in found if one is not None), default=None)


def _parcels_that_count(order: Order, line: Line) -> list[str]:
    """The waybills of the parcels by which the buyer has a line: the newest that hold all that is left of it.

    What came back, or was lost and sent again, was never signed for, and never will be.
    """
    found: list[str] = []
    pieces = 0
    for parcel in reversed(order.parcels):
        inside = sum(one.quantity for one in parcel.lines if one.line == line.number)
        if inside and parcel.back_at is None and pieces < max(1, line.left):
            found.append(parcel.waybill)
            pieces += inside
    return found


def _returned_line(
    session: Session, case_id: str, run_id: str, order_id: str, line: int, at: datetime
) -> ReturnedLineRow:
    row = session.get(ReturnedLineRow, (case_id, run_id, line))
    if row is None:
        row = ReturnedLineRow(case_id=case_id, run_id=run_id, line=line, order_id=order_id, received=0, at=at)
        session.add(row)
        session.flush()
    return row


def _take_out_of_parcels(session: Session, order_id: str, named: ShipmentRow, pieces: LineQuantity) -> int:
    """A return takes pieces out of the parcel that somebody named; how many were in a parcel that has come back.

    Only what is more than that one held is taken out of others: what it held, and holds no more, the buyer has had, and
    sends back under its old label.
    """
    taken = take_out(session, named, pieces)
    held = {one.line: one.quantity for one in pieces_in(session, named)}
    beyond = pieces.quantity - held.get(pieces.line, 0)
    for other in parcels_of(session, order_id, {pieces.line}, back_too=True):
        if beyond > 0 and other.id != named.id:
            out_of_other = take_out(session, other, LineQuantity(line=pieces.line, quantity=beyond))
            taken, beyond = taken + out_of_other, beyond - out_of_other
    return taken


def _exceeds(lines: Sequence[LineQuantity], inside: Sequence[LineQuantity]) -> bool:
    """Whether these pieces are more than what was in a parcel."""
    held = {one.line: one.quantity for one in inside}
    return any(one.quantity > held.get(one.line, 0) for one in lines)


def _may_be_handed_over(session: Session, order: OrderRow, waybill: str, at: datetime) -> bool:
    """Whether the newest scan of a parcel of ours, under whatever waybill, says that somebody has it, and not we; or
    whether the buyer has confirmed it, or no courier has told of it.
    """
    scans = [scan for way in same_goods(session, order.id, waybill) for scan in shown_scans(session, way, at)]
    if not scans:
        return True
    newest = max(scans, key=lambda scan: scan.at)
    if newest.code == SIGNED_BY_SENDER or newest.state in GOING_BACK:
        return False
    return newest.state in HANDED_OVER or orders.is_finished(order)


def _taken_over(session: Session, order_id: str, line: int, wanted: int) -> int:
    """Of so many pieces of a line that come in, the earlier returns that had them have them no more.

    These are returns that have sent back to the buyer what they had taken in and not accepted. Answers how many of the
    pieces had come back in parcels of ours before: no parcel holds them.
    """
    rows = session.scalars(
        select(ReturnedLineRow)
        .join(CaseRow, (CaseRow.case_id == ReturnedLineRow.case_id) & (CaseRow.run_id == ReturnedLineRow.run_id))
        .where(
            ReturnedLineRow.order_id == order_id,
            ReturnedLineRow.line == line,
            HAS_SENT_BACK,
        )
        .order_by(ReturnedLineRow.at)
    )
    from_parcels = 0
    for row in rows:
        accepted = row.accepted or 0
        pieces = min(wanted, row.received - accepted)
        in_no_parcel = min(pieces, max(0, row.from_parcels - accepted))
        row.received, row.from_parcels = row.received - pieces, row.from_parcels - in_no_parcel
        wanted -= pieces
        from_parcels += in_no_parcel
    session.flush()
    return from_parcels


def _nothing_is_here_of(session: Session, order_id: str, lines: Sequence[LineQuantity], at: datetime) -> None:
    """Lines that had come back, and of which nothing is here any more as a return has it, have left as before.

    What the return does not accept goes to the buyer.
    """
    session.flush()
    numbers = {one.line for one in lines}
    rows = [row for row in line_rows(session, order_id) if row.number in numbers and row.place == "back"]
    where = pieces_of_lines(session, order_id, rows)
    for row in rows:
        if not where[row.number].here:
            row.place = "shipped"
    session.flush()
    renew_tasks(session, order_id, at)


def _had_from_its_beginning(
    session: Session, case_id: str, run_id: str, lines: Sequence[LineQuantity]
) -> list[LineQuantity]:
    """What a return has of these lines that nobody has inspected: with this, it counts as accepted."""
    found: list[LineQuantity] = []
    for one in lines:
        row = session.get(ReturnedLineRow, (case_id, run_id, one.line))
        if row is not None and row.accepted is None:
            row.accepted = row.received
            found.append(LineQuantity(line=one.line, quantity=row.received))
    return found


def _count_what_a_gift_paid_for(session: Session, order: OrderRow, owed: Reckoning, case_id: str, at: datetime) -> None:
    """A missing gift worth as much as the goods leaves nothing to pay: the pieces have gone back all the same."""
    if owed.total_fen:
        return
    for entry in owed.owed:
        if entry.line not in (None, POSTAGE, RETURN_POSTAGE) and entry.quantity:
            session.add(
                LedgerRow(
                    order_id=order.id,
                    line=entry.line,
                    quantity=entry.quantity,
                    amount_fen=0,
                    source="case",
                    case_id=case_id,
                    at=at,
                )
            )
    session.flush()
