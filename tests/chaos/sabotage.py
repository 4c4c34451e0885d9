"""Faults that are built into a worker on purpose, to see that the audit finds them. Each function breaks one thing."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy.orm import Session

import activities.cases
from casework.dues import Due
from casework.shop import holds, outbox, payments, settling
from casework.shop.amounts import LedgerLine, Reckoning
from casework.shop.orders import lock_order


def everything() -> None:
    """A payment service that knows no keys, holds that nobody lets go, and an outbox that forgets what it has."""
    payments.pay = _pay_whatever_is_asked
    activities.cases.release_case = settling.release_case = holds.release_case = _keep_it
    outbox.post = _post_again


def _pay_whatever_is_asked(
    session: Session, *, key: str, case_id: str, order_id: str, what: Due, amount_fen: int, at: datetime
) -> payments.PayResult:
    order, again = lock_order(session, order_id), uuid4().hex
    del what
    owed = Reckoning(owed=[LedgerLine(1, 1, amount_fen)], from_loose=[])
    write: Any = vars(payments)["_write"]
    write(session, order, owed, key=f"{key}/{again}", case_id=case_id, reference=again, at=at, by_hand=False)
    return payments.PayResult("paid", again, amount_fen, 0)


def _keep_it(session: Session, case_id: str, *, flag_kept: str | None, at: datetime) -> None:
    del session, case_id, flag_kept, at


_post = outbox.post


def _post_again(session: Session, *, key: str, **rest: Any) -> bool:
    return _post(session, key=f"{key}/{uuid4().hex}", **rest)
