"""Cases that pay the buyer: the payment, its refusal and its repair, the same for all flows."""

from __future__ import annotations

from abc import abstractmethod
from datetime import timedelta
from typing import Any, TypeVar, cast

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

from activities.orders import CASE_OVER
from activities.payments import REFUSED_FOR_GOOD, HandPayment, Payment, PaymentActivities
from casework.case import PayingCase
from casework.dues import Due
from casework.templates import Post, yuan
from state_machines.common import PaidByHand
from state_machines.table import Attempt
from workflows.case import CaseWorkflow, Outcome, Refused

PayingCaseT = TypeVar("PayingCaseT", bound=PayingCase[Any])

OUTSIDE_TIMEOUT = timedelta(seconds=30)
OUTSIDE_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=5))
"""What leaves the shop is tried until it is answered; an answer that is final ends it at once."""


class PayingWorkflow(CaseWorkflow[PayingCaseT]):
    """A case that pays the buyer in one of its states, by `pay`."""

    purpose = "refund"
    """With the case it makes the payment's idempotency key."""

    @abstractmethod
    def due(self) -> Due:
        """What is to be paid; how much that is, the shop reckons."""

    def more_is_due(self, why: str) -> Outcome:
        """More is due by now than whoever decided may decide: nothing is paid."""
        return Outcome("fail_payment", why)

    async def pay(self) -> Outcome:
        """Pay, once: the order is read again and the payment written in one transaction.

        Where the amount due is another one by now, the new one is paid if whoever decided may decide on it too.
        """
        case = self.case
        if case.amount_fen > case.decided_fen:
            return self.more_is_due(
                f"{yuan(case.amount_fen)} are due by now, decided were up to {yuan(case.decided_fen)}"
            )
        try:
            paid = await workflow.execute_activity_method(
                PaymentActivities.pay,
                Payment(**self.step().model_dump(), due=self.due(), amount_fen=case.amount_fen, purpose=self.purpose),
                start_to_close_timeout=OUTSIDE_TIMEOUT,
                retry_policy=OUTSIDE_RETRIES,
                summary=f"{self.purpose} {yuan(case.amount_fen)}",
            )
        except ActivityError as error:
            cause = error.cause
            # a case that was reset after its end has paid already: nobody is asked to pay again
            if isinstance(cause, ApplicationError) and cause.non_retryable and cause.type != CASE_OVER:
                known = cause.type == REFUSED_FOR_GOOD
                return Outcome("fail_payment", cause.message if known else f"the payment failed: {cause.type}")
            raise
        match paid.status:
            case "left":
                return Outcome("find_shipped", "it left and is not back: nothing is paid")
            case "changed":
                case.amount_fen = paid.due_fen
                return await self.pay()
            case _:
                case.money_sent = True
                case.paid_fen = paid.paid_fen
                return Outcome("pay", "found already paid" if paid.status == "already_paid" else None)

    def repairing_payment(self) -> list[Post]:
        """The payment was refused for good: the refund clerk tries again or pays by hand."""
        return []

    async def effect_confirm_paid_by_hand(self, attempt: Attempt[PayingCaseT]) -> None:
        """Write the payment down before the move: a used reference or a wrong amount is refused."""
        message = cast("PaidByHand", attempt.message)
        recorded = await self.in_shop(
            PaymentActivities.record_paid_by_hand,
            HandPayment(
                **self.step().model_dump(),
                due=self.due(),
                purpose=self.purpose,
                amount_fen=message.amount_fen,
                payment_reference=message.payment_reference,
            ),
            "record the payment by hand",
        )
        if recorded.refused is not None:
            self.case.amount_fen = recorded.due_fen or self.case.amount_fen
            raise Refused(recorded.refused)
        self.case.money_sent = True
        self.case.amount_fen = self.case.paid_fen = message.amount_fen
