"""Claims: a refund or return has its lines for itself while it is open."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.shop.amounts import accounts, line_rows
from casework.shop.known_flows import REFUND, RETURN
from casework.shop.orders import lock_order
from casework.shop.tables import CaseRow, ClaimRow

CLAIMING = frozenset({REFUND, RETURN})
"""The flows whose cases claim their lines (flows.md, "Claims")."""


def claim_lines(session: Session, case_id: str, order_id: str, lines: Sequence[LineQuantity]) -> str | None:
    """Claim whole lines for a case: all of them, or none and the id of the case that has one of them.

    Claiming again for the same case changes nothing.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    lock_order(session, order_id)
    wanted = {one.line for one in lines}
    claimed = {
        claim.line: claim.case_id
        for claim in session.scalars(
            select(ClaimRow).where(ClaimRow.order_id == order_id, ClaimRow.line.in_(wanted)).order_by(ClaimRow.line)
        )
    }
    for holder in claimed.values():
        if holder != case_id:
            return holder
    done = accounts(session, order_id)
    for row in line_rows(session, order_id):
        if row.number in wanted - claimed.keys():
            session.add(
                ClaimRow(
                    order_id=order_id,
                    line=row.number,
                    case_id=case_id,
                    refunded_before=done.pieces.get(row.number, 0),
                    shipped_before=row.place == "shipped",
                    loose_before_fen=done.loose_fen,
                )
            )
    session.flush()
    return None


def is_of_claiming_flow(session: Session, case_id: str) -> bool:
    """Whether a case is of a flow that claims its lines."""
    return session.scalar(select(CaseRow.flow).where(CaseRow.case_id == case_id).limit(1)) in CLAIMING


def claimed_lines(session: Session, case_id: str) -> list[tuple[str, int]]:
    """The lines that a case has claimed: order id and line."""
    rows = session.scalars(
        select(ClaimRow).where(ClaimRow.case_id == case_id).order_by(ClaimRow.order_id, ClaimRow.line)
    )
    return [(row.order_id, row.line) for row in rows]
