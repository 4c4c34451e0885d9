"""Faults that are built into a worker on purpose, to see that the audit finds them. Each function breaks one thing, or
things that do not hide each other.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import delete
from sqlalchemy.orm import Session

import activities.cases
from casework.courier import ParcelRequest
from casework.dues import Due
from casework.shop import flags, handing_over, outbox, payments, releasing, settling
from casework.shop.amounts import LedgerLine, Reckoning
from casework.shop.courier import EmbeddedCourier
from casework.shop.orders import lock_order
from casework.shop.sending import Dispatch
from casework.shop.tables import ClaimRow, HoldRow
from casework.templates import ENDINGS
from chaos.delivering import Receiver

OURS = ("activities", "casework", "workflows")
AT_THE_END = {"refunded"} | {template for of_flow in ENDINGS.values() for template in of_flow.values()}
"""What the buyer is told at an end; of a refund the step that settles it says so."""


def everything() -> None:
    """A payment service that knows no keys, holds that nobody lets go, and an outbox that forgets what it has."""
    payments.pay = _pay_whatever_is_asked
    activities.cases.release_case = settling.release_case = releasing.release_case = _keep_it
    outbox.post = _post_again


def nothing_said() -> None:
    """Tasks for the staff, and what the buyer is told before the end, never come into the outbox; whoever is handed the
    rest forgets it.
    """
    outbox.post = _post_the_end_alone
    Receiver.send = _take_nothing


def nothing_noted() -> None:
    """Memos are not written, no flag is left behind, and no claim on a courier is recorded. Besides, a courier that
    knows no keys, and messages that get another id with each attempt.
    """
    _everywhere(flags.append_memo, _forget)
    _everywhere(flags.drop_wish, _leave_no_flag)
    EmbeddedCourier.claim = _forget
    Receiver.send = _take_as_new
    EmbeddedCourier.forward = _as_if_new(EmbeddedCourier.forward)
    EmbeddedCourier.redeliver = _as_if_new(EmbeddedCourier.redeliver)


def no_hold_handed_over() -> None:
    """What a case holds is let go where it hands over to another."""
    handing_over.hand_over = _losing(HoldRow)


def no_claim_handed_over() -> None:
    """What a case has claimed is let go where it hands over to another."""
    handing_over.hand_over = _losing(ClaimRow)


def _everywhere(honest: Callable[..., Any], instead: Callable[..., Any]) -> None:
    """Also where it was imported by its name."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in OURS:
            for known, what in list(vars(module).items()):
                if what is honest:
                    setattr(module, known, instead)


def _pay_whatever_is_asked(
    session: Session, *, key: str, case_id: str, run_id: str, order_id: str, what: Due, amount_fen: int, at: datetime
) -> payments.PayResult:
    order, again = lock_order(session, order_id), uuid4().hex
    del run_id, what
    owed = Reckoning(owed=[LedgerLine(1, 1, amount_fen)], from_loose=[])
    write: Any = vars(payments)["_write"]
    write(session, order, owed, key=f"{key}/{again}", case_id=case_id, reference=again, at=at, by_hand=False)
    return payments.PayResult("paid", again, amount_fen, 0)


def _keep_it(
    session: Session, case_id: str, *, flag_kept: str | None, at: datetime, version: int | None = None
) -> None:
    del session, case_id, flag_kept, at, version


def _forget(*_: Any, **__: Any) -> None:
    pass


_post = outbox.post


def _post_again(session: Session, *, key: str, **rest: Any) -> bool:
    return _post(session, key=f"{key}/{uuid4().hex}", **rest)


def _post_the_end_alone(session: Session, *, template: str, **rest: Any) -> bool:
    return template not in AT_THE_END or _post(session, template=template, **rest)


_drop_wish = flags.drop_wish


def _leave_no_flag(session: Session, case_id: str, order_id: str, *, lasting: str | None, at: datetime) -> None:
    del lasting
    _drop_wish(session, case_id, order_id, lasting=None, at=at)


def _as_if_new(honest: Callable[[EmbeddedCourier, ParcelRequest], bool]) -> Callable[..., bool]:
    def request_again(self: EmbeddedCourier, request: ParcelRequest) -> bool:
        return honest(self, replace(request, key=f"{request.key}/{uuid4().hex}"))

    return request_again


_hand_over = handing_over.hand_over


def _losing(table: type[HoldRow | ClaimRow]) -> Callable[..., None]:
    def lose(session: Session, *, order_id: str, **rest: Any) -> None:
        _hand_over(session, order_id=order_id, **rest)
        session.execute(delete(table).where(table.order_id == order_id))

    return lose


async def _take_nothing(self: Receiver, dispatch: Dispatch) -> None:
    del self, dispatch


_take = Receiver.send


async def _take_as_new(self: Receiver, dispatch: Dispatch) -> None:
    await _take(self, replace(dispatch, id=f"{dispatch.id}/{dispatch.attempt}"))
