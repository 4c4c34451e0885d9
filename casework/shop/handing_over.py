"""Handing over: what a case holds and has claimed becomes another case's, in one transaction, without a gap."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.shop.claims import claim_lines, is_of_claiming_flow
from casework.shop.errors import BadRequest
from casework.shop.orders import lock_order
from casework.shop.tables import CaseRow, ClaimRow, HoldRow


def hand_over(
    session: Session,
    *,
    from_case: str,
    run_id: str,
    to_case: str,
    order_id: str,
    lines: Sequence[LineQuantity],
    involved: Sequence[str],
    claiming: bool,
) -> None:
    """Give holds and claims of these lines to a case that opens in a moment; doing it again changes nothing.

    Where that case claims its lines (`claiming`), it has all of them from now on, also those that nobody had claimed:
    what is held for it is never released because somebody else was quicker.

    Until it has opened, only the case that hands over can open it (`taken_over`). Who had a part in the one has a part
    in the other: the record of the one says so from now on.

    Raises:
        UnknownOrder: the shop has no such order.
        BadRequest: a third case has claimed one of the lines.

    """
    lock_order(session, order_id)
    numbers = {one.line for one in lines}
    for row in session.scalars(
        select(HoldRow).where(HoldRow.order_id == order_id, HoldRow.case_id == from_case, HoldRow.line.in_(numbers))
    ).all():
        session.delete(row)
        session.flush()
        session.merge(HoldRow(order_id=order_id, line=row.line, case_id=to_case, at=row.at, handed_over_by=from_case))
    session.execute(
        update(ClaimRow)
        .where(ClaimRow.order_id == order_id, ClaimRow.case_id == from_case, ClaimRow.line.in_(numbers))
        .values(case_id=to_case, handed_over_by=from_case)
    )
    if claiming:
        holder = claim_lines(session, to_case, order_id, lines)
        if holder is not None:
            raise BadRequest("lines", f"the open case {holder} has one of them")
        session.execute(update(ClaimRow).where(ClaimRow.case_id == to_case).values(handed_over_by=from_case))
    record = session.get(CaseRow, (from_case, run_id))
    if record is not None:
        record.involved = list(involved)
    session.flush()


def take_back(session: Session, *, from_case: str, to_case: str, order_id: str) -> None:
    """What was handed over to a case that cannot be opened is the one's again that handed it over, as far as it was.

    A case that claims nothing itself has no use for what was claimed for the other.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    lock_order(session, order_id)
    for row in session.scalars(
        select(HoldRow).where(HoldRow.case_id == to_case, HoldRow.handed_over_by == from_case)
    ).all():
        session.delete(row)
        session.flush()
        session.merge(HoldRow(order_id=row.order_id, line=row.line, case_id=from_case, at=row.at))
    claimed = (ClaimRow.case_id == to_case, ClaimRow.handed_over_by == from_case)
    if is_of_claiming_flow(session, from_case):
        session.execute(update(ClaimRow).where(*claimed).values(case_id=from_case, handed_over_by=None))
    else:
        session.execute(delete(ClaimRow).where(*claimed))
    session.flush()


def handed_over_by(session: Session, case_id: str) -> str | None:
    """The case that hands something over to this one, which has not opened yet; None: nobody does."""
    for table in (HoldRow, ClaimRow):
        found = session.scalar(
            select(table.handed_over_by).where(table.case_id == case_id, table.handed_over_by.is_not(None)).limit(1)
        )
        if found is not None:
            return found
    return None


def taken_over(session: Session, case_id: str) -> None:
    """The case has opened: what was handed over to it is its own from now on."""
    for table in (HoldRow, ClaimRow):
        session.execute(
            update(table).where(table.case_id == case_id, table.handed_over_by.is_not(None)).values(handed_over_by=None)
        )
    session.flush()
