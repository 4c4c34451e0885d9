"""Where the pieces of an order's lines are, as far as the shop knows: outside, back here, on the shelf or in stock.

It follows from the parcels, from what returns have taken in, and from what has moved into stock and out of it: a line
may have some pieces here and others with the buyer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from casework.shop.amounts import POSTAGE, accounts, pieces_left
from casework.shop.claimants import PARCEL_CASES
from casework.shop.known_flows import DISPUTED
from casework.shop.losses import followed_now, not_awaited, taken_for_lost
from casework.shop.stock import pieces_in_stock
from casework.shop.tables import (
    CaseRow,
    LedgerRow,
    LineRow,
    ReshipmentRow,
    ReturnedLineRow,
    ReturnRow,
    ShipmentLineRow,
    ShipmentRow,
)


@dataclass(frozen=True, slots=True)
class LinePieces:
    """Where the pieces of one line are: how many came back, lie here and are nobody's, how many are elsewhere, and how
    many lie on the shelf, to ship again.

    `here` are neither on the shelf, nor in stock, nor taken in by a return, nor to be sent again by a parcel's case;
    `elsewhere` are in a parcel that is not back, or were taken in by a return, which keeps them or sends them back, or
    came back and are their own parcel's case's to see to.
    """

    here: int
    elsewhere: int
    shelf: int


def pieces_of_lines(
    session: Session,
    order_id: str,
    rows: Sequence[LineRow],
    *,
    only: Collection[str] | None = None,
    excluding: Collection[str] = (),
) -> dict[int, LinePieces]:
    """By line, where the pieces of these lines are.

    Here is only what came back by the waybills `only` (in capitals; None: by whatever), and not by those of
    `excluding`; on the shelf is what came by any.
    """
    stocked = pieces_in_stock(session, order_id)
    out, back, shelved = Counter[int](), list[tuple[int, int, str]](), Counter[int]()
    taken = Counter[int]()
    for inside, waybill, back_at in session.execute(
        select(ShipmentLineRow, ShipmentRow.waybill, ShipmentRow.back_at)
        .join(ShipmentRow, ShipmentRow.id == ShipmentLineRow.shipment_id)
        .where(ShipmentRow.order_id == order_id)
        .order_by(ShipmentRow.id, ShipmentLineRow.line)
    ):
        taken[inside.line] += inside.taken_out
        if back_at is None:
            out[inside.line] += inside.quantity
        elif inside.shelved_at is None:
            back.append((inside.line, inside.left_inside, waybill.upper()))
        else:
            shelved[inside.line] += inside.quantity - inside.taken_out
    sent_again = _sent_again(session, order_id)
    came = _not_sent_again(session, order_id, back, sent_again)
    from_stock = _counted(one for row in sent_again for one in row.lines if not one.get("back"))
    wanted = [(line, pieces) for line, pieces, waybill in came if _counts(waybill, only, excluding)]
    here = Counter[int]()
    for line, pieces in wanted:
        here[line] += pieces
    # of what was on the shelf once, and left without a waybill since, no parcel tells
    told = {line for line, _, _ in back}
    with_others = Counter[int]()
    for line, pieces, _ in back:
        with_others[line] += pieces
    unshelved = with_others.copy()
    with_others.subtract(here)
    returns = _taken_in(session, order_id)
    found = dict[int, LinePieces]()
    for row in rows:
        line = row.number
        # what the buyer had is what a return takes in first, and beyond that what came back by a parcel of ours
        from_parcels = max(0, returns.received[line] - out[line])
        # the buyer sent it to us: that changes nothing in the parcel by which it left
        outside = out[line] - min(out[line], returns.accepted[line])
        most = here[line]
        if line not in told and row.place == "back" and only is None:
            most = row.quantity  # it left without a waybill
        # what a return has accepted is in stock
        with_returns = max(0, from_parcels - (returns.accepted[line] - (out[line] - outside))) + returns.kept[line]
        rest = row.quantity - stocked.get(line, 0) - outside - with_returns
        pieces = 0 if row.place == "unshipped" else max(0, min(most - from_parcels, rest))
        # what went to the shelf may have left again since: then it is outside, or in stock, or a return has it
        off_shelf = max(0, unshelved[line] - from_parcels) + from_stock[line]
        shelf = max(0, min(shelved[line], rest - off_shelf))
        if row.place != "unshipped" and not (out[line] or unshelved[line] or taken[line]):
            shelf = 0  # it left without a waybill
        found[line] = LinePieces(pieces, outside + from_parcels + returns.kept[line] + with_others[line], shelf)
    return found


def pieces_owed(
    session: Session,
    order_id: str,
    rows: Sequence[LineRow],
    at: datetime,
    *,
    apart_from: Collection[str] = (),
    beyond_shelf: bool = False,
) -> dict[int, int]:
    """By line, how many pieces the buyer is still to have that are on the shelf, or came back, or are lost.

    They are not refunded, nor does he have them, nor are they on their way, nor does a parcel's case send them again.
    What the platform refunds by itself may be any piece: it is taken for one that he has not got. In the parcels of
    the waybills `apart_from` (in capitals) nothing is on its way, nor is it sent again. `beyond_shelf`: without what is
    on the shelf. `at` is aware.
    """
    done = accounts(session, order_id)
    left = {row.number: pieces_left(row, done) for row in rows}
    by_platform = _refunded_by_platform(session, order_id)
    if not any(by_platform[line] for line in left):
        return left  # then each is refunded with its own piece, and all the others are owed as they are
    uncertain = not_awaited(session, order_id, at) | taken_for_lost(session, order_id) | set(apart_from)
    coming = Counter[int]()
    for line, quantity, waybill in session.execute(
        select(ShipmentLineRow.line, ShipmentLineRow.quantity, func.upper(ShipmentRow.waybill))
        .join(ShipmentRow, ShipmentRow.id == ShipmentLineRow.shipment_id)
        .where(ShipmentRow.order_id == order_id, ShipmentRow.back_at.is_(None))
    ):
        if waybill not in uncertain:
            coming[line] += quantity
    refunded = _settled_with_returns(session, order_id)
    own = {case for case, waybills in followed_now(session, order_id).items() if not waybills.isdisjoint(apart_from)}
    again = _counted(
        one
        for row in _sent_again(session, order_id)
        if row.case_id not in own
        for one in row.lines
        if one.get("back")  # what is sent in the place of a lost one counts as that
    )
    if beyond_shelf:
        again.update({line: pieces.shelf for line, pieces in pieces_of_lines(session, order_id, rows).items()})
    return {
        line: max(0, pieces - max(0, coming[line] - refunded[line]) - again[line]) if by_platform[line] else pieces
        for line, pieces in left.items()
    }


def is_being_sent_again(session: Session, order_id: str) -> bool:
    """Whether the case of a parcel has the warehouse send something of an order again that has not left."""
    return bool(_sent_again(session, order_id))


def still_in(session: Session, shipment: ShipmentRow | None) -> dict[int, int]:
    """How many pieces of each line are in a shipment: none of what came back and went to the shelf, to ship again, or
    of what came back and a return has taken in, which decides on it.
    """
    if shipment is None:
        return {}
    rows = session.scalars(
        select(ShipmentLineRow).where(ShipmentLineRow.shipment_id == shipment.id).order_by(ShipmentLineRow.line)
    ).all()
    if shipment.back_at is None:
        return {row.line: row.quantity for row in rows}
    taken_in = _taken_in(session, shipment.order_id).received
    if taken_in:
        taken_in.subtract(pieces_out(session, shipment.order_id))
        taken_in.subtract(_back_before(session, shipment))
    return {row.line: max(0, row.left_inside - max(0, taken_in[row.line])) for row in rows}


def pieces_out(session: Session, order_id: str) -> Mapping[int, int]:
    """By line, how many pieces are in parcels that have left and are not back."""
    return _in_parcels(session, ShipmentRow.order_id == order_id, ShipmentRow.back_at.is_(None))


def _counts(waybill: str, only: Collection[str] | None, excluding: Collection[str]) -> bool:
    return waybill not in excluding and (only is None or waybill in only)


def _not_sent_again(
    session: Session, order_id: str, back: Sequence[tuple[int, int, str]], sent_again: Sequence[ReshipmentRow]
) -> list[tuple[int, int, str]]:
    """Of the pieces that came back, by line and waybill, those that the case of their own parcel does not have the
    warehouse send again.
    """
    asked = defaultdict[str, Counter[int]](Counter)
    for row in sent_again:
        for one in row.lines:
            asked[row.case_id][one["line"]] += one["quantity"]
    if not asked:
        return list(back)
    follower = {waybill: case for case, waybills in followed_now(session, order_id).items() for waybill in waybills}
    found = list[tuple[int, int, str]]()
    for line, pieces, waybill in back:
        case = follower.get(waybill)
        again = 0 if case is None else min(pieces, asked[case][line])
        if case is not None:
            asked[case][line] -= again
        found.append((line, pieces - again, waybill))
    return found


def _sent_again(session: Session, order_id: str) -> Sequence[ReshipmentRow]:
    """What the cases of an order's parcels have the warehouse send again, and has not left."""
    return session.scalars(
        select(ReshipmentRow).where(ReshipmentRow.order_id == order_id, ReshipmentRow.state == "asked")
    ).all()


def _counted(pieces: Iterable[Mapping[str, Any]]) -> Counter[int]:
    found = Counter[int]()
    for one in pieces:
        found[one["line"]] += one["quantity"]
    return found


def _refunded_by_platform(session: Session, order_id: str) -> Counter[int]:
    query = (
        select(LedgerRow.line, func.sum(LedgerRow.quantity))
        .where(LedgerRow.order_id == order_id, LedgerRow.source == "platform", LedgerRow.line > POSTAGE)
        .group_by(LedgerRow.line)
    )
    return Counter({line: int(pieces) for line, pieces in session.execute(query) if line is not None})


def _settled_with_returns(session: Session, order_id: str) -> Counter[int]:
    """By line, how many pieces that the buyer had, or that were lost on their way, are refunded with a return.

    Not what came by a parcel of ours, nor what a parcel's case has opened the return for.
    """
    taken_in = {
        (row.case_id, row.run_id, row.line): row
        for row in session.scalars(select(ReturnedLineRow).where(ReturnedLineRow.order_id == order_id))
    }
    found = Counter[int]()
    for case in session.scalars(
        select(CaseRow)
        .join(ReturnRow, (ReturnRow.case_id == CaseRow.case_id) & (ReturnRow.run_id == CaseRow.run_id))
        .where(
            ReturnRow.order_id == order_id,
            # what the platform pays after a dispute is what that was about
            ReturnRow.settled_at.is_not(None) | (CaseRow.outcome == DISPUTED),
        )
    ):
        if (case.from_case or "").startswith(PARCEL_CASES):
            continue
        for one in case.lines:
            row = taken_in.get((case.case_id, case.run_id, one["line"]))
            taken = row.accepted if row is not None else None
            of_ours = row.from_parcels if row is not None else 0
            found[one["line"]] += max(0, (one["quantity"] if taken is None else taken) - of_ours)
    return found


class _TakenIn(NamedTuple):
    """By line, how many pieces the returns of an order have taken in, and what has become of them.

    Nobody said by which parcel those `received` came, of which so many are `accepted`. Those that had come back by
    parcels of ours are in these no more: `kept` are not accepted.
    """

    received: Counter[int]
    accepted: Counter[int]
    kept: Counter[int]


def _taken_in(session: Session, order_id: str) -> _TakenIn:
    found = _TakenIn(Counter(), Counter(), Counter())
    for row in session.scalars(select(ReturnedLineRow).where(ReturnedLineRow.order_id == order_id)):
        accepted = row.accepted or 0
        found.kept[row.line] += max(0, row.from_parcels - accepted)
        found.received[row.line] += row.received - row.from_parcels
        found.accepted[row.line] += max(0, accepted - row.from_parcels)
    return found


def _back_before(session: Session, shipment: ShipmentRow) -> Mapping[int, int]:
    """By line, what came back in the order's earlier parcels and is in them still: a return has taken in that first."""
    return _in_parcels(
        session,
        ShipmentRow.order_id == shipment.order_id,
        ShipmentRow.id < shipment.id,
        ShipmentRow.back_at.is_not(None),
        ShipmentLineRow.shelved_at.is_(None),
    )


def _in_parcels(session: Session, *parcels: ColumnElement[bool]) -> Mapping[int, int]:
    query = (
        select(ShipmentLineRow.line, func.sum(ShipmentLineRow.quantity - ShipmentLineRow.taken_out))
        .join(ShipmentRow, ShipmentRow.id == ShipmentLineRow.shipment_id)
        .where(*parcels)
        .group_by(ShipmentLineRow.line)
    )
    return {line: int(pieces) for line, pieces in session.execute(query)}
