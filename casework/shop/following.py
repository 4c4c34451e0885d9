"""Which case follows which waybill, and which waybill a new case is about."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.parcels import Followed
from casework.rules.parcels import courier_code
from casework.shop.courier import cases_stopping
from casework.shop.errors import BadRequest
from casework.shop.known_flows import PARCEL
from casework.shop.losses import followed_now, same_goods
from casework.shop.records import is_open, lines_of
from casework.shop.remaining import shipment_of_goods
from casework.shop.returning import way_back_of
from casework.shop.runs import OF_FOLLOWED_PARCEL
from casework.shop.shipments import is_waybill, lines_in, pieces_in, shipment_of
from casework.shop.tables import CaseRow, FollowedParcelRow, ParcelRow, ReturnRow, ShipmentRow
from casework.shop.tracking import orders_of_waybill

How = Literal["opened", "way_back", "forwarded", "reshipped"]


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
    ids = {f"{PARCEL}-{waybill}": waybill for waybill in wanted}
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
    if other is not None and not is_open(session, f"{PARCEL}-{spelling}"):
        raise BadRequest("waybill", f"{spelling} is followed by the open case {other} already")
    way_back = way_back_of(session, spelling)
    inside = pieces_in(session, shipment_of_goods(session, order_id, spelling))
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
            CaseRow.case_id != f"{PARCEL}-{waybill}",
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


def _spelling(session: Session, waybill: str) -> str:
    """The waybill as the shop writes it: capitals say nothing."""
    for column in (ShipmentRow.waybill, FollowedParcelRow.waybill, ReturnRow.waybill):
        spellings = {one for one in session.scalars(select(column).where(is_waybill(column, waybill))) if one}
        if spellings:
            return waybill if waybill in spellings else min(spellings)
    return waybill
