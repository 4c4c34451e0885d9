"""Whether the loss of a parcel was made good: its goods were sent again in another parcel, or paid for.

It says so what the parcels' own cases have done. The ledger knows a line's pieces, and not in which parcel they were;
of goods that were sent again it knows nothing. Waybills are in capitals here: people write them as they like.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.shop.courier import shown_scans
from casework.shop.known_flows import MAKES_GOOD, REFUND_OPENED, REFUNDED, RETURN
from casework.shop.runs import OF_FOLLOWED_PARCEL
from casework.shop.shipments import pieces_in, shipment_of
from casework.shop.tables import CaseRow, FollowedParcelRow

Run = tuple[str, str]
"""A run of a case: its case id and its run id."""


@dataclass(slots=True)
class _ParcelContents:
    """One set of goods that one run of a parcel case followed: its waybills in order, and the waybill of the
    replacement shipment, if any. `since` is when the run was opened, `until` when it was closed; both are aware.
    `state` is the one that the case is in, as the shop last heard.
    """

    run: Run
    since: datetime
    until: datetime | None
    outcome: str | None
    state: str | None
    waybills: list[str] = field(default_factory=list[str])
    replaced_by: str | None = None


class MadeGood(NamedTuple):
    """How many pieces of what was in a parcel its loss was made good for, by line."""

    in_all: dict[int, int]
    """Sent again or paid for, or being paid for now."""
    sent_again: dict[int, int]


def made_good(session: Session, order_id: str, waybill: str, *, excluding: Run | None = None) -> MadeGood:
    """What of a parcel was made good.

    What the run `excluding` has done does not count: it asks what others have left to it.
    """
    goods = _goods_of(session, order_id)
    same = _same_goods(goods, waybill)
    followed = [one for one in goods if one.run != excluding and not same.isdisjoint(one.waybills)]
    sent = [made for one in followed if one.replaced_by for made in _sent_in(session, order_id, one)]
    paid = [made for one in followed if not one.replaced_by for made in _paid_by(session, order_id, one, goods)]
    return MadeGood(_counted([*sent, *paid]), _counted(sent))


def given_up(session: Session, order_id: str, at: datetime) -> set[str]:
    """The waybills of an order's parcels of which the newest case has ended in a refund: nobody waits for them.

    One that has moved since is waited for again, unless that refund is paid or may be still. `at` is aware.
    """
    all_goods = _goods_of(session, order_id)
    newest = {waybill: one for one in all_goods if one.replaced_by is None for waybill in one.waybills}
    return {
        waybill
        for waybill, one in newest.items()
        if one.outcome == REFUND_OPENED
        and (_paid_by(session, order_id, one, all_goods) or not _has_moved_since(session, one, at))
    }


def same_goods(session: Session, order_id: str, waybill: str) -> set[str]:
    """Every waybill under which the goods of this one went: a parcel may have been forwarded, also more than once."""
    return _same_goods(_goods_of(session, order_id), waybill)


def waybills_followed_by(session: Session, order_id: str, case_id: str | None) -> set[str]:
    """Every waybill under which the goods went that a parcel's case has followed; none, of any other case."""
    goods = _goods_of(session, order_id)
    followed = [waybill for one in goods if one.run[0] == case_id for waybill in one.waybills]
    return {each for waybill in followed for each in _same_goods(goods, waybill)}


def followed_now(session: Session, order_id: str) -> dict[str, set[str]]:
    """By open parcel case, every waybill of the goods that it follows now: not of those in whose place others left."""
    goods = _goods_of(session, order_id)
    return {
        one.run[0]: _same_goods(goods, one.waybills[0])
        for one in goods
        if one.until is None and one.replaced_by is None
    }


def followed_by_cases(session: Session, order_id: str) -> set[str]:
    """Every waybill of the goods that open parcel cases follow now: what of them is here, those see to.

    A case that ends sees to what it has followed itself only once its end is on record.
    """
    return {waybill for waybills in followed_now(session, order_id).values() for waybill in waybills}


def taken_for_lost(session: Session, order_id: str) -> set[str]:
    """The waybills of an order's parcels whose open cases are to make good for them, and have not decided how."""
    return {
        waybill
        for one in _goods_of(session, order_id)
        if one.until is None and one.replaced_by is None and one.state in MAKES_GOOD
        for waybill in one.waybills
    }


def not_awaited(session: Session, order_id: str, at: datetime) -> set[str]:
    """The waybills of an order's parcels that will not come: given up, or others were sent in the place of theirs.

    `at` is aware.
    """
    replaced = {waybill for one in _goods_of(session, order_id) if one.replaced_by for waybill in one.waybills}
    return replaced | given_up(session, order_id, at)


def _goods_of(session: Session, order_id: str) -> list[_ParcelContents]:
    """What the cases of an order's parcels have followed, by run, the first opened first."""
    rows = session.execute(
        select(
            FollowedParcelRow.waybill,
            FollowedParcelRow.how,
            FollowedParcelRow.since,
            FollowedParcelRow.number,
            CaseRow.case_id,
            CaseRow.run_id,
            CaseRow.opened_at,
            CaseRow.closed_at,
            CaseRow.outcome,
            CaseRow.at_state,
        )
        .join(CaseRow, OF_FOLLOWED_PARCEL)
        .where(FollowedParcelRow.order_id == order_id, FollowedParcelRow.how != "way_back")
    ).all()
    found: list[_ParcelContents] = []
    # a run begins with the parcel that it was opened for; what came later before it was counted, as it left
    for row in sorted(
        rows,
        key=lambda row: (
            row.opened_at,
            row.run_id,
            row.how != "opened",
            row.number or 0,
            row.since or row.opened_at,
        ),
    ):
        run = (row.case_id, row.run_id)
        before = found[-1] if found and found[-1].run == run else None
        if before is None or row.how == "reshipped":
            if before is not None:
                before.replaced_by = row.waybill.upper()
            found.append(_ParcelContents(run, row.opened_at, row.closed_at, row.outcome, row.at_state))
        found[-1].waybills.append(row.waybill.upper())
    return found


def _same_goods(goods: Sequence[_ParcelContents], waybill: str) -> set[str]:
    same = {waybill.upper()}
    while more := {each for one in goods if not same.isdisjoint(one.waybills) for each in one.waybills} - same:
        same |= more
    return same


def _has_moved_since(session: Session, goods: _ParcelContents, at: datetime) -> bool:
    """Whether a courier has told of a parcel since the end of its case."""
    scans = [scan for waybill in goods.waybills for scan in shown_scans(session, waybill, at)]
    return goods.until is not None and any(scan.at > goods.until for scan in scans)


def _counted(made: Iterable[LineQuantity]) -> dict[int, int]:
    pieces: defaultdict[int, int] = defaultdict(int)
    for one in made:
        pieces[one.line] += one.quantity
    return dict(pieces)


def _sent_in(session: Session, order_id: str, goods: _ParcelContents) -> list[LineQuantity]:
    """What was sent in place of goods."""
    return [] if goods.replaced_by is None else pieces_in(session, shipment_of(session, order_id, goods.replaced_by))


def _paid_by(
    session: Session, order_id: str, goods: _ParcelContents, all_goods: Sequence[_ParcelContents]
) -> list[LineQuantity]:
    """What the refunds are of that the run has opened for its goods, and that are paid or may be still."""
    case_id, _ = goods.run
    later = [one.since for one in all_goods if one.run[0] == case_id and one.since > goods.since]
    opened = select(CaseRow.lines).where(
        CaseRow.order_id == order_id,
        CaseRow.from_case == case_id,
        CaseRow.flow == RETURN,
        CaseRow.opened_at >= goods.since,
        or_(CaseRow.closed_at.is_(None), CaseRow.outcome == REFUNDED),
    )
    if later:
        opened = opened.where(CaseRow.opened_at < min(later))
    return [LineQuantity.model_validate(one) for lines in session.scalars(opened) for one in lines]
