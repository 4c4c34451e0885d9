"""Cases that pay the buyer: the payment, its refusal and its repair, the same for all flows."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, TypeVar, cast

from activities.payments import REFUSED_FOR_GOOD, HandPayment, Payment, PaymentActivities
from casework.case import PayingCase
from casework.changes import ASKS_BEFORE_NEWS, ASKS_WHETHER_PAID
from casework.dues import Due
from casework.templates import Post, yuan
from state_machines.common import PaidByHand
from state_machines.table import Attempt
from workflows.case import CaseWorkflow
from workflows.received import Refused
from workflows.steps import Outcome, RefusedForGood

PayingCaseT = TypeVar("PayingCaseT", bound=PayingCase[Any])


class PayingWorkflow(CaseWorkflow[PayingCaseT]):
    """A case that pays the buyer in one of its states, by `pay`.

    Of the flow's own: `due` and `read_news`; and where it is not as here, `purpose`, `more_is_due`, `goods_are_out`.
    """

    changes = (*CaseWorkflow.changes, ASKS_WHETHER_PAID, ASKS_BEFORE_NEWS)

    @property
    def purpose(self) -> str:
        """With the case it makes the payment's idempotency key."""
        return "refund"

    @abstractmethod
    def due(self) -> Due:
        """What is to be paid; how much that is, the shop reckons."""

    def _payment(self) -> Payment:
        """The payment, as it stands now."""
        amount_fen = self.case.to_pay_fen
        return Payment(**self.step_fields(), due=self.due(), amount_fen=amount_fen, purpose=self.purpose)

    def more_is_due(self, why: str) -> Outcome:
        """More is due by now than whoever decided may decide: nothing is paid."""
        return Outcome("fail_payment", why)

    def goods_are_out(self, why: str) -> Outcome:
        """What is to be paid before shipping has left, and is not back: nothing is paid."""
        return Outcome("fail_payment", why)

    async def pay(self) -> Outcome:
        """Pay, once: the order is read again and the payment written in one transaction.

        Where the amount due is another one by now, the new one is paid if whoever decided may decide on it too.
        """
        case = self.case
        while case.to_pay_fen <= case.decided_fen:
            asked = f"{self.purpose} {yuan(case.to_pay_fen)}"
            try:
                paid = await self.outside(PaymentActivities.pay, self._payment(), asked)
            except RefusedForGood as refused:
                known = refused.kind == REFUSED_FOR_GOOD
                return Outcome("fail_payment", str(refused) if known else f"the payment failed: {refused.kind}")
            match paid.status:
                case "left":
                    return self.goods_are_out("it left and is not back: nothing is paid")
                case "changed":
                    case.to_pay_fen = paid.due_fen
                case _:
                    case.money_sent = True
                    case.paid_fen = paid.paid_fen
                    return Outcome("pay", "found already paid" if paid.status == "already_paid" else None)
        return self.more_is_due(f"{yuan(case.to_pay_fen)} are due by now, decided were up to {yuan(case.decided_fen)}")

    def repairing_payment(self) -> list[Post]:
        """The payment was refused for good: the refund clerk tries again or pays by hand."""
        return []

    async def consult_cancel_case(self, _: Attempt[PayingCaseT]) -> None:
        """What was paid by hand is not called off, although the clerk has not heard that it was written down."""
        if await self.look_whether_paid():
            raise Refused("it was paid by hand, and the shop has it on record: retry_payment settles it")

    async def consult_order_gone(self, attempt: Attempt[PayingCaseT]) -> None:
        """The news counts only if the shop, read again, agrees: and it may tell of the case's own payment by hand."""
        await self._look_whether_paid(ASKS_BEFORE_NEWS)
        await self.read_news(attempt)

    @abstractmethod
    async def read_news(self, attempt: Attempt[PayingCaseT], /) -> None:
        """Read the order again of which the shop, or a person, says that it is gone.

        Raises:
            Refused: the shop does not agree.

        """

    async def look_whether_paid(self) -> bool:
        """A payment by hand may be in the shop, its confirmation lost with the worker: whether it was found there."""
        return await self._look_whether_paid(ASKS_WHETHER_PAID)

    async def _look_whether_paid(self, change: str) -> bool:
        """`change` is the one since which this is asked."""
        case = self.case
        if case.state != "repairing_payment" or case.money_sent or not self.adopts(change):
            return False
        sent_fen = await self.in_shop(PaymentActivities.read_sent, self._payment(), "was it paid by hand?")
        if sent_fen is None:
            return False
        case.money_sent = True
        case.paid_fen = case.to_pay_fen = sent_fen
        return True

    async def effect_confirm_paid_by_hand(self, attempt: Attempt[PayingCaseT]) -> None:
        """Write the payment down before the move: a used reference or a wrong amount is refused."""
        message = cast("PaidByHand", attempt.message)
        recorded = await self.in_shop(
            PaymentActivities.record_paid_by_hand,
            HandPayment(
                **self.step_fields(),
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
