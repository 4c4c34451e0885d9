"""How a refund ends in the shop: settled, or the order put back as it was. Each once per key, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.money import LineQuantity
from casework.shop import outbox
from casework.shop.amounts import left_to_ship
from casework.shop.coming_back import ship_again, take_back_into_stock
from casework.shop.courier import cases_stopping, parcels_of
from casework.shop.flags import append_memo
from casework.shop.orders import lock_order
from casework.shop.platform import attribute_to_lines
from casework.shop.releasing import release_case
from casework.shop.shipments import lines_in
from casework.shop.steps import first_time
from casework.shop.tables import ShipmentRow
from state_machines.roles import Role

WHETHER_LEFT = "ask_warehouse"
"""The warehouse's task of a refund. What it is to ship again stands under the same case, and stays."""


def settle_refund(
    session: Session,
    *,
    key: str,
    case_id: str,
    order_id: str,
    lines: Sequence[LineQuantity],
    memo: str,
    at: datetime,
) -> None:
    """Strike the refunded lines from shipping, then release hold and claim.

    A red flag stays only if no line of the order is left to ship. Goods that came back, as their parcels say, go into
    stock, the memo grows, and the warehouse is not asked any more whether they have left. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    order = lock_order(session, order_id)
    if not first_time(session, key, at):
        return
    # what is refunded has no pieces left, and so does not ship: the ledger is the list that lines are struck from
    attribute_to_lines(session, order, lines, case_id=case_id, at=at)
    outbox.cancel_tasks(session, case_id, Role.WAREHOUSE, at=at, template=WHETHER_LEFT)
    take_back_into_stock(session, case_id, order, lines, at)
    own = {one.line for one in lines}
    ship_again(
        session, key=key, case_id=case_id, order_id=order_id, numbers=own, at=at, taken_in=_stopped(session, order_id)
    )
    append_memo(session, order_id, memo, at=at, key=f"{key}/memo")
    release_case(session, case_id, flag_kept=None if left_to_ship(session, order_id) else "red", at=at)


def restore_order(
    session: Session,
    *,
    key: str,
    case_id: str,
    order_id: str,
    lines: Sequence[LineQuantity],
    at: datetime,
) -> None:
    """Put the order back as it was: flag wish gone, hold and claim released.

    Lines that had come back ship again, as `ship_again` says. A parcel that was stopped and has not come back goes on
    to the buyer, unless another case has had it stopped too; its lines have left. `at` is aware.

    Raises:
        UnknownOrder: the shop has no such order.

    """
    lock_order(session, order_id)
    if not first_time(session, key, at):
        return
    outbox.cancel_tasks(session, case_id, Role.WAREHOUSE, at=at, template=WHETHER_LEFT)
    own = {one.line for one in lines}
    ship_again(
        session, key=key, case_id=case_id, order_id=order_id, numbers=own, at=at, taken_in=_stopped(session, order_id)
    )
    for parcel in parcels_of(session, order_id, own):
        if set(cases_stopping(session, order_id, lines_in(session, parcel))) <= {case_id}:
            parcel.intercepted_at = None
    release_case(session, case_id, flag_kept=None, at=at)


def _stopped(session: Session, order_id: str) -> set[str]:
    """The waybills, in capitals, of the parcels that came back as a refund had them stopped: it has waited for them."""
    query = select(func.upper(ShipmentRow.waybill)).where(
        ShipmentRow.order_id == order_id, ShipmentRow.intercepted_at.is_not(None), ShipmentRow.back_at.is_not(None)
    )
    return set(session.scalars(query))
