"""Claims: a refund or return has its lines for itself while it is open."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.shop.ahead import keep_ahead, read_ahead
from casework.shop.amounts import accounts, line_rows
from casework.shop.orders import lock_order
from casework.shop.tables import CaseRow, ClaimRow

CLAIMING = frozenset({"refund-before-shipping", "return-after-shipping"})
"""The flows whose cases claim their lines (flows.md, "Claims")."""
CLAIMS = "claims"
"""What may have been read ahead."""


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


def claims_lines(session: Session, case_id: str) -> bool:
    """Whether a case is of a flow that claims its lines."""
    return session.scalar(select(CaseRow.flow).where(CaseRow.case_id == case_id).limit(1)) in CLAIMING


def claimed_by_another(session: Session, order_id: str, lines: Sequence[LineQuantity], *, case_id: str) -> str | None:
    """The open case that has one of the lines, if it is another one than this."""
    wanted = {one.line for one in lines}
    claimed = read_ahead(session, CLAIMS, order_id, lambda: _claims_of(session, [order_id])[order_id])
    return next((holder for line, holder in claimed if line in wanted and holder != case_id), None)


def look_ahead(session: Session, order_ids: Sequence[str]) -> None:
    """Read the claims of some orders at once. Only for a session that only reads."""
    keep_ahead(session, CLAIMS, _claims_of(session, order_ids))


def _claims_of(session: Session, order_ids: Sequence[str]) -> dict[str, list[tuple[int, str]]]:
    """By order, its claimed lines with the case of each, ascending."""
    found: dict[str, list[tuple[int, str]]] = {order_id: [] for order_id in order_ids}
    query = select(ClaimRow.order_id, ClaimRow.line, ClaimRow.case_id).where(ClaimRow.order_id.in_(order_ids))
    for order_id, line, case_id in session.execute(query.order_by(ClaimRow.line)):
        found[order_id].append((line, case_id))
    return found


def claimed_lines(session: Session, case_id: str) -> list[tuple[str, int]]:
    """The lines that a case has claimed: order id and line."""
    rows = session.scalars(
        select(ClaimRow).where(ClaimRow.case_id == case_id).order_by(ClaimRow.order_id, ClaimRow.line)
    )
    return [(row.order_id, row.line) for row in rows]
