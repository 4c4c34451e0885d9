"""The tasks about goods that came back and do not ship by themselves, and what becomes of them with a case's end.

A module of its own, because `fencing` needs it, and `lying_here`, which gives them, stands on `fencing`.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from casework.shop.tables import OutboxRow
from state_machines.roles import Role

OF_MALICIOUS_ORDER = "bulk.goods_lie_here"
"""The order was ended as malicious: nothing of it ships, not even what was on the shelf to ship again."""
OF_LAPSED_RETURN = "return.goods_are_here"
"""A return of them has lapsed: the buyer wanted the money, and is asked."""
IN_DISPUTE = "return.goods_in_dispute"
"""The platform decides about a return of their lines."""
SAID_TO_BE_RECEIVED = "parcel.goods_are_here"
"""The buyer says that he has them: he is asked once more."""
ROLES = {
    OF_MALICIOUS_ORDER: Role.AFTERSALE_SUPERVISOR,
    OF_LAPSED_RETURN: Role.AFTERSALE_AGENT,
    IN_DISPUTE: Role.AFTERSALE_AGENT,
    SAID_TO_BE_RECEIVED: Role.AFTERSALE_AGENT,
}
"""Who sees to them, by the task's template."""

TAKE_IN = "return.goods_came_back"
"""The task by which the returns clerk takes in for an open return what came back undelivered."""


def undo_end(session: Session, case_id: str, ended_at: datetime) -> None:
    """A case's end did not count: the clerk takes in again what he was to, and nobody sees to goods by that end.

    `ended_at` is when it was closed (aware): the step that closed it has written that time, the case's own, into all
    that it did.
    """
    own = update(OutboxRow).where(OutboxRow.case_id == case_id)
    cancelled = own.where(OutboxRow.template == TAKE_IN, OutboxRow.cancelled_at == ended_at)
    session.execute(cancelled.values(cancelled_at=None))
    given = own.where(OutboxRow.template.in_(ROLES), OutboxRow.at == ended_at, OutboxRow.cancelled_at.is_(None))
    session.execute(given.values(cancelled_at=ended_at))
