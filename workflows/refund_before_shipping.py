"""Flow 1, refund before shipping: what is done in each state. The table says what may happen: see
`state_machines/refund_before_shipping.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, cast

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

from activities.courier import CourierActivities
from activities.orders import CASE_OVER, HoldStep, OrderActivities, OrderStep, ParcelBackStep, SettleStep
from activities.payments import REFUSED_FOR_GOOD, HandPayment, Payment, PaymentActivities
from casework.details import local_time
from casework.money import LineQuantity
from casework.templates import Post, yuan
from state_machines.common import PaidByHand
from state_machines.refund_before_shipping import REFUND_BEFORE_SHIPPING, ParcelBack, RefundCase, amount_risen
from state_machines.roles import Role
from state_machines.table import Attempt
from workflows.case import CaseWorkflow, Outcome, Refused, case_workflow

OUTSIDE_TIMEOUT = timedelta(seconds=30)
OUTSIDE_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=5))


@case_workflow(REFUND_BEFORE_SHIPPING)
class RefundBeforeShipping(CaseWorkflow[RefundCase]):
    """Give the money back before anything ships, unless the buyer keeps the order or the parcel has left."""

    @workflow.init
    def __init__(self, *start: Any) -> None:
        """Take the start; see `RefundStart` for its fields."""
        self.open(start)

    @workflow.run
    async def run(self, *start: Any) -> dict[str, Any]:  # noqa: ARG002 - Temporal gives it to both
        """Run to an end; answers with the case view."""
        return await self.run_case()

    def opened(self, resolved: dict[str, Any]) -> None:
        """The lines that are meant, and until when the platform waits (by default its window from the opening)."""
        case = self.case
        case.lines = [LineQuantity.model_validate(line) for line in resolved["lines"]]
        case.platform_deadline = case.platform_deadline or case.opened_at + case.figures.flow.platform_window

    # --- one method a state ---

    async def checking(self) -> Outcome:
        """How does the order stand? Claim its lines, so that nobody else refunds them meanwhile."""
        case = self.case
        case.standing = await self.in_shop(
            OrderActivities.check_and_claim,
            self._step(),
            "check the order, claim its lines",
        )
        case.amount_fen = case.standing.refundable_fen
        case.asked_before_left = not case.standing.shipped
        return Outcome("check", self._why_not_applicable())

    async def holding(self) -> Outcome:
        """Hold the shipment and mark the order; if it left while we asked, the parcel must be stopped."""
        case = self.case
        held = await self.in_shop(
            OrderActivities.hold,
            self._hold_step(self._to_buyer("refund_requested")),
            "hold the shipment",
        )
        case.flag_found = held.flag_found
        return Outcome("hold") if held.held else Outcome("find_shipped")

    def asking_warehouse(self) -> list[Post]:
        """The flag found says that the warehouse has it: ask before anything is changed."""
        return [self._to_staff("ask_warehouse", Role.WAREHOUSE)]

    def asking_reason(self) -> list[Post]:
        """The agent asks the buyer why; the task that every wait gives says so."""
        return []

    def persuading(self) -> list[Post]:
        """The agent tries to keep the order."""
        return []

    def awaiting_supervisor(self) -> list[Post]:
        """The amount is over the agent's limit."""
        return []

    def awaiting_finance(self) -> list[Post]:
        """The amount is over the supervisor's limit, or the supervisor was silent."""
        return []

    async def refunding(self) -> Outcome:
        """Pay, once: the order is read again and the payment written in one transaction.

        Where the amount due is another one by now (the platform paid a part, or the postage falls to this case), the
        new one is paid if whoever decided may decide on it too.
        """
        case = self.case
        if amount_risen(case):
            risen = f"{yuan(case.amount_fen)} are due by now, decided were up to {yuan(case.decided_fen)}"
            return Outcome("find_amount_risen", risen)
        try:
            paid = await workflow.execute_activity_method(
                PaymentActivities.pay,
                Payment(**self._step().model_dump(), amount_fen=case.amount_fen),
                start_to_close_timeout=OUTSIDE_TIMEOUT,
                retry_policy=OUTSIDE_RETRIES,
                summary=f"refund {yuan(case.amount_fen)}",
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
                return await self.refunding()
            case _:
                case.money_sent = True
                case.paid_fen = paid.paid_fen
                return Outcome("pay", "found already paid" if paid.status == "already_paid" else None)

    def repairing_payment(self) -> list[Post]:
        """The payment was refused for good: the refund clerk tries again or pays by hand."""
        return []

    async def settling(self) -> Outcome:
        """Strike the lines from shipping, let hold and claim go, write the memo, tell the buyer."""
        case = self.case
        if case.money_sent:
            posts = self._to_buyer("refunded", amount=yuan(case.paid_fen))
            memo = f"已退款 {yuan(case.paid_fen)}"
        else:
            posts, memo = self._to_buyer("refunded_by_platform"), "平台已退款"
        if case.parcel_stopped:
            posts.append(self._to_staff("take_parcel_in", Role.RETURNS_CLERK))
        await self.in_shop(
            OrderActivities.settle,
            SettleStep(
                **self._step(posts).model_dump(),
                memo=self._memo(memo),
            ),
            "settle the refund",
        )
        return Outcome("settle")

    async def releasing(self) -> Outcome:
        """The buyer keeps the order: it goes on as it was."""
        await self._restore("kept_on_its_way" if self.case.parcel_stopped else "kept", "买家保留订单")
        return Outcome("release")

    async def intercepting(self) -> Outcome:
        """It has left: the courier stops the parcel, or cannot."""
        case = self.case
        case.parcel_stopped = await workflow.execute_activity_method(
            CourierActivities.intercept,
            self._step(),
            start_to_close_timeout=OUTSIDE_TIMEOUT,
            retry_policy=OUTSIDE_RETRIES,
            summary="stop the parcel",
        )
        if case.parcel_stopped:
            return Outcome("intercept")
        return Outcome("fail_intercept", "the courier could not stop the parcel")

    def awaiting_parcel_back(self) -> list[Post]:
        """The stopped parcel is on its way back."""
        return []

    async def converting(self) -> Outcome:
        """Go on as a return of the same lines. The return flow is not there yet: a staff task asks for it by hand."""
        case = self.case
        lost = any(line.trigger == "parcel_back_overdue" and line.accepted for line in case.trail)
        await self._post(
            [
                self._to_staff(
                    "open_return_by_hand",
                    Role.AFTERSALE_AGENT,
                    cause="no_reason",
                    postage="seller_pays_postage" if case.asked_before_left else "buyer_pays_postage",
                    goods="lost" if lost else "with_buyer",
                ),
                *self._to_buyer("converted"),
            ]
        )
        return Outcome("convert", "the return flow is not there yet: a staff task asks to open the return by hand")

    async def cancelling(self) -> Outcome:
        """Called off: let go of everything."""
        await self._restore("cancelled", "退款工单已撤销")
        return Outcome("undo")

    # --- what is checked with, or written to, the shop when a message is accepted ---

    async def consult_order_gone(self, _: Attempt[RefundCase]) -> None:
        """The news counts only if the shop, read again, agrees."""
        case = self.case
        case.standing = await self.in_shop(
            OrderActivities.read_standing,
            self._step(),
            "read the order again",
        )
        if case.standing.refunded or case.standing.shipped:
            return
        case.amount_fen = case.standing.refundable_fen
        raise Refused("the shop does not show the lines refunded or shipped")

    async def effect_confirm_left(self, _: Attempt[RefundCase]) -> None:
        """The warehouse's word that the lines have left is the shop's from now on."""
        await self.in_shop(
            OrderActivities.mark_left,
            self._step(),
            "the lines have left",
        )

    async def after_confirm_not_left(self) -> None:
        """The warehouse has been asked: now the order is marked."""
        await self._mark_order()

    async def after_warehouse_silent(self) -> None:
        """The warehouse was asked and is silent: the order is marked, the hold stands."""
        await self._mark_order()

    async def effect_parcel_back(self, attempt: Attempt[RefundCase]) -> None:
        """The goods are here again, all of them: payment may go on, and stock follows with the settlement."""
        message = cast("ParcelBack", attempt.message)
        back = await self.in_shop(
            OrderActivities.mark_goods_back,
            ParcelBackStep(**self._step().model_dump(), waybill=message.waybill),
            "the parcel is back",
        )
        if back.refused is not None:
            raise Refused(back.refused)
        if not back.all_back:
            raise Refused(f"it is noted as back; of the same lines {', '.join(back.still_out)} is still out")
        self.case.parcel_stopped = False

    async def effect_confirm_paid_by_hand(self, attempt: Attempt[RefundCase]) -> None:
        """Write the payment down before the move: a used reference or a wrong amount is refused."""
        message = cast("PaidByHand", attempt.message)
        recorded = await self.in_shop(
            PaymentActivities.record_paid_by_hand,
            HandPayment(
                **self._step().model_dump(),
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

    # --- shared by the states above ---

    def _step(self, posts: Sequence[Post] = ()) -> OrderStep:
        case = self.case
        return OrderStep(
            case_id=case.case_id,
            run_id=case.run_id,
            order_id=case.order_id,
            lines=case.lines,
            at=workflow.now(),
            posts=list(posts),
            moment=self.moment(),
            round=case.version,
        )

    def _hold_step(self, posts: Sequence[Post] = ()) -> HoldStep:
        handed_over = self.case.figures.shop.flag_profile == "handed_over"
        return HoldStep(**self._step(posts).model_dump(), handed_over_profile=handed_over)

    async def _mark_order(self) -> None:
        await self.in_shop(
            OrderActivities.mark_order,
            self._hold_step(),
            "mark the order",
        )

    async def _restore(self, template: str, memo: str) -> None:
        case = self.case
        posts = self._to_buyer(template)
        if case.parcel_stopped:
            posts.append(self._to_staff("let_parcel_go", Role.PARCEL_SPECIALIST))
        await self.in_shop(
            OrderActivities.restore,
            SettleStep(**self._step(posts).model_dump(), memo=self._memo(memo)),
            "restore the order",
        )

    def _memo(self, text: str) -> str:
        return f"[{local_time(self.case, workflow.now())[5:10]} {text}]"

    def _to_buyer(self, template: str, **parameters: str) -> list[Post]:
        given = {"order_id": self.case.order_id, **parameters}
        return [Post(purpose=f"buyer.{template}", template=template, to="buyer", parameters=given)]

    def _to_staff(self, template: str, role: Role, **parameters: str) -> Post:
        given = {"order_id": self.case.order_id, **parameters}
        return Post(purpose=f"staff.{template}", template=template, to="staff", role=role, parameters=given)

    def _why_not_applicable(self) -> str | None:
        standing = self.case.standing
        if standing is None:
            return None
        if standing.claimed_by is not None:
            return f"lines of this order are claimed by the open case {standing.claimed_by}"
        if not standing.paid:
            return "the order is not paid"
        if standing.closed:
            return "the order is closed"
        return "nothing is left to refund" if standing.refunded else None
