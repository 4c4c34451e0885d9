"""Who has a line of an order for itself: the refund or return that has claimed it, or the parcel's case by which it is
sent again.

What is sent again is not paid for as well: it counts as claimed while that case is open, also when it has left. Once
the case has ended, the buyer has the goods, or soon will, and they may go back as any others; for the parcel in whose
place they were sent nothing is due any more (`losses`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Text, bindparam, select
from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.shop.ahead import keep_ahead, read_ahead
from casework.shop.known_flows import PARCEL
from casework.shop.tables import CaseRow, ClaimRow, ReshipmentRow

CLAIMS, SENT_AGAIN = "claims", "lines sent again"
"""Of what may have been read ahead."""
PARCEL_CASES = f"{PARCEL}-"
"""What the ids of the cases begin with that send goods again."""

# made once, as in `amounts`
_OF_ORDERS = bindparam("order_ids", type_=Text(), expanding=True)
_CLAIMS = (
    select(ClaimRow.order_id, ClaimRow.line, ClaimRow.case_id)
    .where(ClaimRow.order_id.in_(_OF_ORDERS))
    .order_by(ClaimRow.line)
)
_SENT_AGAIN = (
    select(ReshipmentRow.order_id, ReshipmentRow.case_id, ReshipmentRow.lines, CaseRow.lines)
    .join(CaseRow, CaseRow.case_id == ReshipmentRow.case_id)
    .where(
        ReshipmentRow.order_id.in_(_OF_ORDERS),
        ReshipmentRow.state != "called_off",
        CaseRow.closed_at.is_(None),
        # the key names the run: what an earlier case of the same id has sent, the buyer has
        ReshipmentRow.key.startswith(CaseRow.case_id + "/" + CaseRow.run_id + "/"),
    )
)

Had = list[tuple[int, str]]
"""Lines, ascending, each with the case that has it."""


def had_by_another(
    session: Session, order_id: str, lines: Sequence[LineQuantity], *, case_id: str | None = None
) -> str | None:
    """The open case that has one of the lines, if it is another one than this."""
    claimed = _first_of(_read(session, CLAIMS, order_id, _claims_of), lines, excluding=case_id)
    return claimed or sent_again_by_another(session, order_id, lines, case_id=case_id)


def claims_on(session: Session, order_id: str, lines: Sequence[LineQuantity]) -> dict[int, str]:
    """By line, ascending, the open refund or return that has claimed it."""
    wanted = {one.line for one in lines}
    return {line: case_id for line, case_id in _read(session, CLAIMS, order_id, _claims_of) if line in wanted}


def sent_again_by_another(
    session: Session, order_id: str, lines: Sequence[LineQuantity], *, case_id: str | None = None
) -> str | None:
    """The open case of a parcel by which one of the lines is sent again; None: it is this one, or there is none.

    A return that the case of a parcel has opened is about what was in that parcel: what is sent again is something
    else, of another parcel, or it was lost once more.
    """
    sender = _first_of(_read(session, SENT_AGAIN, order_id, _sent_again_of), lines, excluding=case_id)
    return None if sender is not None and _came_from_parcel(session, case_id) else sender


def look_ahead(session: Session, order_ids: Sequence[str]) -> None:
    """Read who has lines of some orders at once. Only for a session that only reads."""
    keep_ahead(session, CLAIMS, _claims_of(session, order_ids))
    keep_ahead(session, SENT_AGAIN, _sent_again_of(session, order_ids))


def _read(session: Session, kind: str, order_id: str, read: Callable[[Session, Sequence[str]], dict[str, Had]]) -> Had:
    return read_ahead(session, kind, order_id, lambda: read(session, [order_id])[order_id])


def _first_of(had: Had, lines: Sequence[LineQuantity], *, excluding: str | None) -> str | None:
    wanted = {one.line for one in lines}
    return next((holder for line, holder in had if line in wanted and holder != excluding), None)


def _claims_of(session: Session, order_ids: Sequence[str]) -> dict[str, Had]:
    """By order, its claimed lines with the case of each."""
    found: dict[str, Had] = {order_id: [] for order_id in order_ids}
    for order_id, line, case_id in session.execute(_CLAIMS, {"order_ids": order_ids}):
        found[order_id].append((line, case_id))
    return found


def _sent_again_of(session: Session, order_ids: Sequence[str]) -> dict[str, Had]:
    """By order, the lines of the parcels whose open cases send goods again, with the case of each."""
    found: dict[str, Had] = {order_id: [] for order_id in order_ids}
    for order_id, case_id, sent, inside in session.execute(_SENT_AGAIN, {"order_ids": order_ids}):
        found[order_id] += [(one["line"], case_id) for one in (sent if says_all(sent) else inside)]
    return {order_id: sorted(had) for order_id, had in found.items()}


def _came_from_parcel(session: Session, case_id: str | None) -> bool:
    query = select(CaseRow.from_case).where(CaseRow.case_id == case_id, CaseRow.closed_at.is_(None))
    return (session.scalar(query) or "").startswith(PARCEL_CASES)


def says_all(sent: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a reshipment names all that is to be sent again.

    One from an older version names only what was taken out of stock, and not what had come back: nobody knows but of
    all of the parcel.
    """
    return bool(sent) and all("back" in one for one in sent)
