"""Short hands for the shop's functions, as the tests use them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.dues import RefundDue
from casework.money import LineQuantity
from casework.shop import claims, flags, holds, orders, payments, records, settling
from casework.shop.tables import MemoEntryRow, ShipmentRow
from tests.orders import add_order

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
ORDER, CASE, OTHER = "3300010000000000001", "refund-before-shipping-3300010000000000001", "another-case"


def pieces(*lines: tuple[int, int]) -> list[LineQuantity]:
    """Lines and quantities."""
    return [LineQuantity(line=line, quantity=quantity) for line, quantity in lines]


def an_order(
    session: Session,
    *,
    prices: Sequence[tuple[int, int]] = ((10_000, 2), (5_000, 1)),
    postage_fen: int = 0,
    shipped: bool | Sequence[int] = False,
    paid: bool = True,
    flag: str = "none",
    order_id: str = ORDER,
) -> str:
    """A paid, unshipped order of two pieces at 100.00 and one at 50.00."""
    add_order(session, order_id, prices=prices, postage_fen=postage_fen, shipped=shipped, paid=paid, flag=flag)
    return order_id


def open_case(
    session: Session,
    case_id: str = CASE,
    *,
    run_id: str = "run",
    order_id: str = ORDER,
    flow: str = "refund-before-shipping",
) -> str:
    """A case's record."""
    records.open_record(
        session,
        case_id=case_id,
        run_id=run_id,
        flow=flow,
        order_id=order_id,
        opened_by="aftersale.1",
        opened_at=NOW,
    )
    return case_id


def claim(session: Session, lines: Sequence[LineQuantity], case_id: str = CASE) -> None:
    """Open the case and claim the lines."""
    open_case(session, case_id)
    assert claims.claim_lines(session, case_id, ORDER, lines) is None


def hold(session: Session, lines: Sequence[LineQuantity], case_id: str = CASE) -> holds.HoldResult:
    """Hold the lines under the default profile."""
    return holds.hold_lines(session, case_id, ORDER, lines, handed_over_profile=False, at=NOW)


def pay(
    session: Session, lines: Sequence[LineQuantity], fen: int, *, key: str = "key", case_id: str = CASE
) -> payments.PayResult:
    """Pay for the lines."""
    return payments.pay(
        session,
        key=key,
        case_id=case_id,
        run_id="run",
        order_id=ORDER,
        what=RefundDue(lines=list(lines)),
        amount_fen=fen,
        at=NOW,
    )


def settle(session: Session, lines: Sequence[LineQuantity], *, key: str = "settle") -> None:
    """Settle the refund."""
    settling.settle_refund(
        session,
        key=key,
        case_id=CASE,
        order_id=ORDER,
        lines=lines,
        memo="[已退款]",
        at=NOW,
    )


def parcels(session: Session) -> list[ShipmentRow]:
    """The order's parcels."""
    return list(session.query(ShipmentRow).filter_by(order_id=ORDER).order_by(ShipmentRow.id))


def shown_flag(session: Session, order_id: str = ORDER) -> str:
    """The flag that an order shows."""
    return flags.shown_flag(session, orders.find_order(session, order_id))


def memo_history(session: Session, order_id: str = ORDER) -> list[tuple[datetime, str]]:
    """What was appended to an order's memo, whole, oldest first."""
    rows = session.scalars(select(MemoEntryRow).where(MemoEntryRow.order_id == order_id).order_by(MemoEntryRow.number))
    return [(row.at, row.text) for row in rows]
