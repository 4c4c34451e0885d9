"""Cases that pay the buyer: the payment, its refusal and its repair, the same for all flows."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypeVar, cast

from activities.payments import REFUSED_FOR_GOOD, HandPayment, Payment, PaymentActivities
from casework.case import PayingCase
from casework.dues import Due
from casework.templates import Post, yuan
from state_machines.common import PaidByHand
from state_machines.table import Attempt
from workflows.case import CaseWorkflow, Outcome, Refused, RefusedForGood

PayingCaseT = TypeVar("PayingCaseT", bound=PayingCase[Any])


class PayingWorkflow(CaseWorkflow[PayingCaseT]):
    """A case that pays the buyer in one of its states, by `pay`."""

    @property
    def purpose(self) -> str:
        """With the case it makes the payment's idempotency key."""
        return "refund"

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
        if case.to_pay_fen > case.decided_fen:
            return self.more_is_due(
                f"{yuan(case.to_pay_fen)} are due by now, decided were up to {yuan(case.decided_fen)}"
            )
        payment = Payment(**self.step().model_dump(), due=self.due(), amount_fen=case.to_pay_fen, purpose=self.purpose)
        try:
            paid = await self.outside(PaymentActivities.pay, payment, f"{self.purpose} {yuan(case.to_pay_fen)}")
        except RefusedForGood as refused:
            known = refused.kind == REFUSED_FOR_GOOD
            return Outcome("fail_payment", str(refused) if known else f"the payment failed: {refused.kind}")
        match paid.status:
            case "left":
                return Outcome("find_shipped", "it left and is not back: nothing is paid")
            case "changed":
                case.to_pay_fen = paid.due_fen
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
            self.case.to_pay_fen = recorded.due_fen or self.case.to_pay_fen
            raise Refused(recorded.refused)
        self.case.money_sent = True
        self.case.to_pay_fen = self.case.paid_fen = message.amount_fen
