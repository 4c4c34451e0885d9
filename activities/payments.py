"""Money out: every payment is checked and written in one transaction under a key made of case and purpose."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel
from temporalio.exceptions import ApplicationError

from activities.defining import uninterrupted
from activities.steps import OrderStep, note_moves, writing_for
from casework.dues import Due, RefundDue
from casework.shop import payments
from casework.shop.database import Database
from casework.shop.errors import BadRequest, UnknownOrder

REFUSED_FOR_GOOD = "PaymentRefused"


class Payment(OrderStep):
    """A payment of `amount_fen` for what is due; `purpose` makes its key, once per case."""

    due: Due | None = None
    """None, as cases of an earlier release ask: the refund of the lines."""
    amount_fen: int
    purpose: str = "refund"

    @property
    def what(self) -> Due:
        """What is to be paid."""
        return self.due or RefundDue(lines=self.lines)


class HandPayment(Payment):
    """A payment that the refund clerk made outside, by its reference."""

    payment_reference: str


class Paid(BaseModel):
    """What came of it: paid now, found already paid, not paid because the lines left, or because the amount changed.

    `paid_fen` is what was really sent for these lines; `due_fen` what is due for them now, in fen.
    """

    status: Literal["paid", "already_paid", "left", "changed"]
    paid_fen: int
    due_fen: int
    reference: str | None = None


class Recorded(BaseModel):
    """Why a payment by hand was not recorded (None if it was), and what is due for the lines now, in fen."""

    refused: str | None
    due_fen: int


class PaymentActivities:
    """Pays, and records what was paid by hand."""

    def __init__(self, database: Database) -> None:
        """`database` is the shop's."""
        self._database = database

    @uninterrupted
    def pay(self, payment: Payment) -> Paid:
        """Read the order again, check, pay and write it down, all or nothing; the same key never pays twice.

        Raises:
            ApplicationError: not retryable where the payment was refused for good; retryable where it may work later.

        """
        note_moves(self._database, payment)
        try:
            with writing_for(self._database, payment) as session:
                result = payments.pay(
                    session,
                    key=payment.key(payment.purpose),
                    case_id=payment.case_id,
                    run_id=payment.run_id,
                    order_id=payment.order_id,
                    what=payment.what,
                    amount_fen=payment.amount_fen,
                    at=payment.at,
                )
        except (payments.PaymentRefused, UnknownOrder) as refused:
            raise ApplicationError(str(refused), type=REFUSED_FOR_GOOD, non_retryable=True) from None
        return Paid(status=result.status, paid_fen=result.paid_fen, due_fen=result.due_fen, reference=result.reference)

    @uninterrupted
    def read_sent(self, payment: Payment) -> int | None:
        """What has been sent under the payment's key, in fen; None: nothing."""
        with self._database.reading() as session:
            return payments.sent_under(session, payment.key(payment.purpose))

    @uninterrupted
    def record_paid_by_hand(self, payment: HandPayment) -> Recorded:
        """Write down what was paid by hand: the reference never used before, the amount due, the goods not out."""
        refused: str | None = None
        try:
            with writing_for(self._database, payment) as session:
                payments.record_paid_by_hand(
                    session,
                    key=payment.key(payment.purpose),
                    case_id=payment.case_id,
                    run_id=payment.run_id,
                    order_id=payment.order_id,
                    what=payment.what,
                    amount_fen=payment.amount_fen,
                    payment_reference=payment.payment_reference,
                    at=payment.at,
                )
        except BadRequest as error:
            refused = str(error)
        with self._database.reading() as session:
            owed = payments.amount_due(
                session, payment.order_id, payment.what, case_id=payment.case_id, run_id=payment.run_id
            )
        return Recorded(refused=refused, due_fen=sum(entry.amount_fen for entry in owed))
