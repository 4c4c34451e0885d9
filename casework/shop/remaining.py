"""What of a parcel the buyer is still to have: neither refunded, nor sent again, nor paid for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from casework.money import LineQuantity, part_of_line
from casework.shop.amounts import accounts, line_rows, paid_shares, pieces_left
from casework.shop.losses import MadeGood, Run, made_good, same_goods, waybills_followed_by
from casework.shop.orders import find_order
from casework.shop.pieces import pieces_owed, still_in
from casework.shop.shipments import pieces_in, shipment_of
from casework.shop.tables import ShipmentLineRow, ShipmentRow


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
    inside = still_in(session, shipment_of_goods(session, order_id, waybill))
    return left_in(session, order_id, inside, lines, done)


def left_in(
    session: Session, order_id: str, inside: Mapping[int, int], lines: Sequence[LineQuantity], done: MadeGood
) -> list[LineQuantity]:
    """As `left_in_parcel`, of what is `inside` a parcel (pieces by line) by what was made good of it."""
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


def owed_in(
    session: Session, order_id: str, waybill: str, pieces: Sequence[LineQuantity], at: datetime
) -> list[LineQuantity]:
    """Of these pieces of a parcel, what the buyer is still to have: see `pieces_owed`. `at` is aware."""
    return _owed(session, order_id, same_goods(session, order_id, waybill), pieces, at)


def still_owed(
    session: Session, order_id: str, case_id: str, asked: Sequence[LineQuantity], at: datetime
) -> list[LineQuantity]:
    """Of what a parcel's case has had sent again, what the buyer is still to have. `at` is aware."""
    same = waybills_followed_by(session, order_id, case_id)
    return _owed(session, order_id, same, left_of(session, order_id, asked), at)


def _owed(
    session: Session, order_id: str, same: Collection[str], pieces: Sequence[LineQuantity], at: datetime
) -> list[LineQuantity]:
    if not pieces or not accounts(session, order_id).pieces:
        return list(pieces)
    rows = line_rows(session, order_id)
    owed = pieces_owed(session, order_id, rows, at, apart_from=same, beyond_shelf=True)
    found = [LineQuantity(line=one.line, quantity=min(one.quantity, owed[one.line])) for one in pieces]
    return [one for one in found if one.quantity > 0]


def is_made_good(session: Session, order_id: str, waybill: str) -> bool:
    """Whether all that was in a parcel was sent again, paid for or refunded; not where nobody knows what was."""
    inside = pieces_in(session, shipment_of_goods(session, order_id, waybill))
    return bool(inside) and not left_in_parcel(session, order_id, waybill, inside)


def shipment_of_goods(session: Session, order_id: str, waybill: str) -> ShipmentRow | None:
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
