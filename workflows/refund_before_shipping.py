"""Flow 1, refund before shipping: what is done in each state. The table says what may happen: see
`state_machines/refund_before_shipping.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from temporalio import workflow

from activities.courier import CourierActivities
from activities.orders import HoldStep, OrderActivities, ParcelBackStep, Parted, SettleStep
from casework.changes import ENDED_ORDERS, OPENS_RETURN, PARTS_LINES
from casework.dues import RefundDue
from casework.money import LineQuantity
from casework.templates import Post, yuan
from state_machines.refund_before_shipping import REFUND_BEFORE_SHIPPING, ParcelBack, RefundCase
from state_machines.return_after_shipping import RETURN_AFTER_SHIPPING
from state_machines.roles import Role
from state_machines.table import Attempt
from workflows.defining import case_workflow
from workflows.paying import PayingWorkflow
from workflows.received import Refused
from workflows.steps import Outcome, RefusedForGood


@case_workflow(REFUND_BEFORE_SHIPPING)
class RefundBeforeShipping(PayingWorkflow[RefundCase]):
    """Give the money back before anything ships, unless the buyer keeps the order or the parcel has left."""

    changes = (*PayingWorkflow.changes, OPENS_RETURN, PARTS_LINES, ENDED_ORDERS)

    @workflow.run
    async def run(self, *start: Any) -> dict[str, Any]:  # noqa: ARG002 - Temporal gives it to both
        """Run to an end; answers with the case view."""
        return await self.run_case()

    def opened(self, resolved: dict[str, Any]) -> None:  # noqa: ARG002 - nothing but the lines
        """Until when the platform waits (by default its window from the opening)."""
        case = self.case
        case.platform_deadline = case.platform_deadline or case.opened_at + case.figures.flow.platform_window

    # --- one method per state ---

    async def checking(self) -> Outcome:
        """How does the order stand? Claim its lines, so that nobody else refunds them meanwhile."""
        case = self.case
        case.standing = await self.in_shop(
            OrderActivities.check_and_claim,
            self.step(),
            "check the order, claim its lines",
        )
        case.amount_fen = case.standing.refundable_fen
        case.asked_before_left = not case.standing.shipped
        return Outcome("check", case.standing.nothing_due)

    async def holding(self) -> Outcome:
        """Hold the shipment and mark the order; if it left while we asked, the parcel must be stopped."""
        case = self.case
        held = await self.in_shop(
            OrderActivities.hold,
            # of a terminated bulk order the buyer has heard already, in neutral words
            self._hold_step([] if case.order_terminated else self.to_buyer("refund_requested")),
            "hold the shipment",
        )
        case.flag_found = held.flag_found
        return Outcome("hold") if held.held else Outcome("find_shipped")

    def asking_warehouse(self) -> list[Post]:
        """The flag found says that the warehouse has it: ask before anything is changed."""
        return [self.to_staff("ask_warehouse", Role.WAREHOUSE)]

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
        """Pay; the amount is another one where the platform paid a part, or the postage falls to this case."""
        return await self.pay()

    def due(self) -> RefundDue:
        """The lines that are meant."""
        return RefundDue(lines=self.case.lines)

    def more_is_due(self, why: str) -> Outcome:
        """A superior decides on what rose above the authority of whoever decided."""
        return Outcome("find_amount_risen", why)

    def goods_are_out(self, why: str) -> Outcome:
        """The parcel is to be stopped."""
        return Outcome("find_shipped", why)

    async def settling(self) -> Outcome:
        """Strike the lines from shipping, release hold and claim, write the memo, tell the buyer."""
        case = self.case
        if case.money_sent:
            posts = self.to_buyer("refunded", amount=yuan(case.paid_fen))
            memo = f"已退款 {yuan(case.paid_fen)}"
        else:
            posts, memo = self.to_buyer("refunded_by_platform"), "平台已退款"
        await self.in_shop(
            OrderActivities.settle,
            SettleStep(
                **self.step_fields(posts),
                memo=self.memo(memo),
                if_out=[self.to_staff("take_parcel_in", Role.RETURNS_CLERK)] if case.parcel_stopped else [],
            ),
            "settle the refund",
        )
        return Outcome("settle")

    async def releasing(self) -> Outcome:
        """The buyer keeps the order: it goes on as it was."""
        await self._restore("kept", "买家保留订单", stopped="kept_on_its_way")
        return Outcome("release")

    async def intercepting(self) -> Outcome:
        """It has left: the courier stops the parcel, or cannot."""
        case = self.case
        try:
            case.parcel_stopped = await self.outside(CourierActivities.intercept, self.step(), "stop the parcel")
        except RefusedForGood as refused:
            return Outcome("fail_intercept", f"the courier refused for good: {refused.kind}")
        if case.parcel_stopped:
            return Outcome("intercept")
        return Outcome("fail_intercept", "the courier could not stop the parcel")

    def awaiting_parcel_back(self) -> list[Post]:
        """The stopped parcel is on its way back."""
        return []

    async def converting(self) -> Outcome:
        """Go on as a return of the same lines, which takes over their claim.

        A return takes no line that has not left: where only some have, those are returned, and a refund of their own
        takes over the others with their hold.
        """
        case = self.case
        stopped = case.has_taken("parcel_back_overdue")
        goods, told = ("lost", "converted_lost") if stopped else ("with_buyer", "converted")
        if not self.adopts(OPENS_RETURN):
            return await self._ask_for_return(goods)
        parted = Parted(left=case.lines, here=[])
        if self.adopts(PARTS_LINES):
            parted = await self.in_shop(OrderActivities.part_lines, self.step(), "which lines have left?")
        if stopped and parted.back:
            # the parcel's own case took it in, and nobody has told this one
            goods, told = "already_back", "converted_back"
        in_part = bool(parted.left and parted.here)
        returned = parted.left if in_part else case.lines
        await self.open_case(
            RETURN_AFTER_SHIPPING,
            {
                "lines": [line.model_dump() for line in returned],
                "cause": "no_reason",
                "goods": goods,
                "seller_pays_postage": case.asked_before_left,
            },
        )
        if in_part:
            await self._refund_what_is_here(parted.here)
        await self._post(self.to_buyer(f"{told}_in_part" if in_part else told))
        return Outcome("convert")

    async def _refund_what_is_here(self, lines: Sequence[LineQuantity]) -> None:
        """What was asked for these lines is asked for still; who may pay them decides anew."""
        case = self.case
        fields: dict[str, Any] = {"lines": [line.model_dump() for line in lines]}
        if case.reason is not None:
            fields["reason"] = case.reason
        if case.order_terminated:
            fields["order_terminated"] = True
        if case.platform_deadline is not None:
            fields["platform_deadline"] = case.platform_deadline.isoformat()
        await self.open_case(self.flow, fields)

    async def _ask_for_return(self, goods: str) -> Outcome:
        """As cases went on that came here before there was a flow for returns."""
        await self._post(
            [
                self.to_staff(
                    "open_return_by_hand",
                    Role.AFTERSALE_AGENT,
                    cause="no_reason",
                    postage="seller_pays_postage" if self.case.asked_before_left else "buyer_pays_postage",
                    goods=goods,
                ),
                *self.to_buyer("converted"),
            ]
        )
        return Outcome("convert", "the return flow is not there yet: a staff task asks to open the return by hand")

    async def cancelling(self) -> Outcome:
        """Called off: release everything."""
        await self._restore("cancelled", "退款工单已撤销", stopped="cancelled")
        return Outcome("undo")

    # --- what is checked with, or written to, the shop when a message is accepted ---

    async def read_news(self, _: Attempt[RefundCase]) -> None:
        """The news counts only if the shop, read again, agrees."""
        case = self.case
        case.standing = await self.in_shop(
            OrderActivities.read_standing,
            self.step(),
            "read the order again",
        )
        if case.standing.refunded or case.standing.shipped:
            return
        case.amount_fen = case.standing.refundable_fen
        raise Refused("the shop does not show the lines refunded or shipped")

    async def consult_buyer_keeps_order(self, _: Attempt[RefundCase]) -> None:
        """Nobody keeps an order that the shop has ended: the table says so."""
        await self._look_whether_ended()

    async def consult_buyer_withdraws(self, _: Attempt[RefundCase]) -> None:
        """Nobody keeps an order that the shop has ended, or that was paid back by hand: the table says so."""
        await self._look_whether_ended()
        await self.look_whether_paid()

    async def effect_confirm_left(self, _: Attempt[RefundCase]) -> None:
        """The warehouse's word that the lines have left is the shop's from now on."""
        await self.in_shop(
            OrderActivities.mark_left,
            self.step(),
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
            ParcelBackStep(**self.step_fields(), waybill=message.waybill),
            "the parcel is back",
        )
        if back.refused is not None:
            raise Refused(back.refused)
        if not back.all_back:
            raise Refused(f"it is noted as back; of the same lines {', '.join(back.still_out)} is still out")
        self.case.parcel_stopped = False

    # --- shared by the states above ---

    def _hold_step(self, posts: Sequence[Post] = ()) -> HoldStep:
        handed_over = self.case.figures.shop.flag_profile == "handed_over"
        return HoldStep(**self.step_fields(posts), handed_over_profile=handed_over)

    async def _look_whether_ended(self) -> None:
        if self.adopts(ENDED_ORDERS):
            self.case.order_ended = await self.in_shop(
                OrderActivities.was_ended, self.step(), "did a bulk case end the order?"
            )

    async def _mark_order(self) -> None:
        await self.in_shop(
            OrderActivities.mark_order,
            self._hold_step(),
            "mark the order",
        )

    async def _restore(self, template: str, memo: str, *, stopped: str) -> None:
        """Put the order back as it was; the buyer hears another message (`stopped`) of a parcel that goes on."""
        here = self.to_buyer(template)
        let_go = self.to_staff("let_parcel_go", Role.PARCEL_SPECIALIST)
        await self.give_away(
            OrderActivities.restore,
            lambda: SettleStep(
                **self.step_fields(),
                memo=self.memo(memo),
                # the parcel's own case may have taken it in since: the shop knows
                if_out=[*self.to_buyer(stopped), let_go] if self.case.parcel_stopped else here,
                if_here=here,
            ),
            "restore the order",
        )
