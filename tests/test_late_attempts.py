"""An attempt that Temporal gave up may still arrive: once the case is over it does nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from temporalio.exceptions import ApplicationError

from activities.courier import CourierActivities
from activities.orders import HoldStep, OrderActivities, SettleStep
from activities.payments import HandPayment, Payment, PaymentActivities
from activities.steps import OrderStep
from casework.money import LineQuantity
from casework.shop import payments, records
from casework.shop.courier import EmbeddedCourier
from casework.shop.database import Database
from casework.shop.tables import ClaimRow, HoldRow
from tests.orders import add_order

RUN = "0198-run"
Act = Callable[[Database, OrderStep], object]

ACTS: dict[str, Act] = {
    "check_and_claim": lambda shop, step: OrderActivities(shop).check_and_claim(step),
    "hold": lambda shop, step: OrderActivities(shop).hold(HoldStep(**dict(step), handed_over_profile=False)),
    "settle": lambda shop, step: OrderActivities(shop).settle(SettleStep(**dict(step), memo="late")),
    "pay": lambda shop, step: PaymentActivities(shop).pay(Payment(**dict(step), amount_fen=10_000)),
    "record_paid_by_hand": lambda shop, step: PaymentActivities(shop).record_paid_by_hand(
        HandPayment(**dict(step), amount_fen=10_000, payment_reference="late-1")
    ),
    "intercept": lambda shop, step: CourierActivities(shop, EmbeddedCourier(shop)).intercept(step),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())
@pytest.mark.parametrize("how", ["ended", "begun again", "never begun"])
def test_a_late_attempt_of_a_case_that_is_over_changes_nothing(
    database: Database, act: Act, how: str, request: pytest.FixtureRequest
) -> None:
    now = datetime.now(UTC)
    order = f"33000198{abs(hash(request.node.name)) % 10**11:011d}"
    case = f"refund-before-shipping-{order}"
    step = OrderStep(case_id=case, run_id=RUN, order_id=order, lines=[LineQuantity(line=1, quantity=1)], at=now)

    def begin(run_id: str) -> None:
        records.open_record(
            session,
            case_id=case,
            run_id=run_id,
            flow="refund-before-shipping",
            order_id=order,
            opened_by="aftersale.1",
            opened_at=now,
        )

    with database.writing() as session:
        add_order(session, order, prices=[(10_000, 1)])
        if how != "never begun":
            begin(RUN)
        if how == "ended":
            records.close_record(session, case_id=case, run_id=RUN, view={}, outcome="kept", at=now)
        if how == "begun again":
            begin("0199-run")

    with pytest.raises(ApplicationError, match="comes too late") as late:
        act(database, step)
    assert late.value.non_retryable
    with database.reading() as session:
        assert payments.ledger(session, order) == []
        for table in (ClaimRow, HoldRow):
            assert session.query(table).filter_by(order_id=order).count() == 0
