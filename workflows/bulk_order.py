"""Flow 4, bulk order with legal review: what is done in each state. The table says what may happen: see
`state_machines/bulk_order.py`.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, cast

from temporalio import workflow

from activities.bulk_orders import (
    AmountStep,
    BulkOrderActivities,
    ClosingStep,
    GatherStep,
    PriceStep,
    ScreenStep,
)
from activities.orders import OrderActivities, SettleStep
from casework.changes import PAYS_FOR_WHAT_LEFT
from casework.dues import RebateDue
from casework.rules.bulk import is_bulk, ship_alarm_at
from casework.standing import BulkStanding
from casework.templates import Post, yuan
from state_machines.bulk_order import (
    BULK_ORDER,
    REVIEWING,
    BulkCase,
    ChangeAmount,
    PassLegalReview,
    SubmitDossier,
    risk_signs,
)
from state_machines.refund_before_shipping import REFUND_BEFORE_SHIPPING
from state_machines.roles import Role
from state_machines.table import Attempt
from workflows.defining import case_workflow
from workflows.paying import PayingWorkflow
from workflows.received import Refused
from workflows.steps import Outcome

NOT_KNOWN = "?"


@case_workflow(BULK_ORDER)
class BulkOrder(PayingWorkflow[BulkCase]):
    """Hold a bulk order until its legal review has passed and its price is judged; follow it to its confirmation."""

    changes = (*PayingWorkflow.changes, PAYS_FOR_WHAT_LEFT)

    @workflow.run
    async def run(self, *start: Any) -> dict[str, Any]:  # noqa: ARG002 - Temporal gives it to both
        """Run to an end; answers with the case view."""
        return await self.run_case()

    # --- one method per state ---

    async def screening(self) -> Outcome:
        """Hold the shipment; gather the buyer's record and the risk signs, which advise whoever reviews it."""
        case = self.case
        screened = await self.in_shop(
            BulkOrderActivities.screen_bulk,
            ScreenStep(**self.step_fields(), chat_id=case.chat_id, risk_words=list(case.figures.flow.risk_words)),
            "hold the shipment, gather the buyer's record",
        )
        case.shop_registered_on, case.shop_purchases = screened.registered_on, screened.purchases
        case.talk_signs, case.pieces = screened.talk, screened.pieces
        self._learn(screened.standing)
        if screened.standing.gone:
            return Outcome("screen", "the order is closed, or wholly refunded")
        if not screened.standing.held:
            return Outcome("screen", "it left before it could be held")
        return Outcome("screen", f"risk signs, as advice: {self._signs()}")

    async def begin_compiling(self) -> None:
        """What was reviewed before does not count once a new dossier is compiled."""
        await self.in_shop(BulkOrderActivities.forget_review, self.step(), "a new dossier is compiled")

    def compiling(self) -> list[Post]:
        """The specialist puts together what the review needs."""
        case, figures = self.case, self.case.figures.flow
        size = is_bulk(case.pieces, case.amount_fen, min_pieces=figures.min_pieces, min_total_fen=figures.min_total_fen)
        return [
            self._task(
                "bulk.compile",
                Role.BULK_SPECIALIST,
                pieces=str(case.pieces),
                size_zh="达到大宗标准" if size else "未达大宗标准",
                size_en="is of a bulk order's size" if size else "is below a bulk order's size",
                signs=self._signs(),
            )
        ]

    async def begin_legal_review(self) -> None:
        """What the order is now is what is reviewed."""
        await self.in_shop(BulkOrderActivities.note_reviewed, self.step(), "note what is reviewed")

    def legal_review(self) -> list[Post]:
        """The store manager looks for the signs of a malicious claim."""
        return [self._review_task(Role.STORE_MANAGER)]

    def legal_deputy(self) -> list[Post]:
        """The general manager may look too; it never passes by itself."""
        return [self._review_task(Role.STORE_MANAGER), self._review_task(Role.GENERAL_MANAGER)]

    async def terminating(self) -> Outcome:
        """End it at once: what is unpaid is closed, what is paid goes back by a refund that nobody persuades."""
        closed = await self.give_away(
            BulkOrderActivities.close_bulk,
            lambda: ClosingStep(**self.step_fields(), memo=self.memo("订单终止,勿发货")),
            "close the trade if nobody has paid",
        )
        why = "unpaid: the trade is closed"
        if not closed:
            refund = await self._open_refund({"order_terminated": True})
            why = f"paid: {refund} is opened" if refund else "paid: other refunds have all of it, or it is a task now"
        await self.in_shop(BulkOrderActivities.leave_red, self.step(), "let go of the rest, the red flag stays")
        return Outcome("terminate", why)

    def pricing(self) -> list[Post]:
        """The supervisor judges the discount."""
        return [self._price_task(Role.PRESALE_SUPERVISOR)]

    def awaiting_general_manager(self) -> list[Post]:
        """It is above the supervisor's limit, or the supervisor was silent."""
        return [self._price_task(Role.GENERAL_MANAGER)]

    async def writing_memo(self) -> Outcome:
        """The discount goes into the order's memo, with the price that it comes to."""
        case = self.case
        if case.approved_percent is None:
            raise RuntimeError("a memo is written of a discount that nobody approved")
        case.approved_fen = await self.in_shop(
            BulkOrderActivities.approve_price,
            PriceStep(**self.step_fields(), percent=case.approved_percent),
            "write the discount into the memo",
        )
        return Outcome("write_memo", f"the approved price is {yuan(case.approved_fen)}")

    def awaiting_audit(self) -> list[Post]:
        """The auditor changes the order's amount."""
        return [self._audit_task(Role.ORDER_AUDITOR)]

    def audit_late(self) -> list[Post]:
        """The auditor is late: the supervisor may change the amount too."""
        return [self._audit_task(Role.ORDER_AUDITOR), self._audit_task(Role.PRESALE_SUPERVISOR)]

    async def rebating(self) -> Outcome:
        """Pay the difference back between what was paid and the approved price."""
        return await self.pay()

    @property
    def purpose(self) -> str:
        """Every approved discount is paid once: with the case this makes the payment's key."""
        return "rebate" if self.case.judged == 1 else f"rebate.{self.case.judged}"

    def due(self) -> RebateDue:
        """What brings the order down to the approved price."""
        return RebateDue(price_fen=self.case.approved_fen or 0)

    def repairing_payment(self) -> list[Post]:
        """The payment was refused for good: the refund clerk hears how much it is, which is not the case's amount."""
        return [self._task("bulk.repair_payment", Role.REFUND_CLERK, rebate=yuan(self.case.rebate_fen))]

    def offering_list_price(self) -> list[Post]:
        """No discount is no loss of the sale: the buyer is asked whether the list price will do."""
        return self.once_more(self.to_buyer("bulk.list_price"))

    async def begin_following(self) -> None:
        """Release the shipment; what has changed since it was reviewed is not released, but reviewed again."""
        let_go = await self.in_shop(BulkOrderActivities.let_bulk_go, self.step(), "let the shipment go")
        self.case.ship_alarmed = self.case.ship_alarmed and not let_go.let_go  # held again, it is alarmed again
        self._learn(let_go.standing)
        # that nothing is left of it is other news, which the shop brings itself
        if not let_go.let_go and not let_go.standing.gone:
            self.bring_news("order_changed")

    def following(self) -> list[Post]:
        """It ships, and the specialist follows it until the buyer has confirmed."""
        case = self.case
        if case.approved_fen is None or case.standing is None:
            return []
        if not case.standing.paid:
            price = self.to_buyer("bulk.price_changed", amount=yuan(case.approved_fen))
            return [post.again(case.approved_fen) for post in price]  # the same order may come to its price twice
        if not (case.rebate_fen and case.paid_fen):
            return []  # nothing was due any more: an earlier discount has been told
        # the outbox knows the first one by its amount: under another key it would be told twice
        which = case.paid_fen if case.judged == 1 else self.purpose
        return [post.again(which) for post in self.to_buyer("bulk.rebated", amount=yuan(case.paid_fen))]

    def chasing(self) -> list[Post]:
        """The buyer has not confirmed in time: the specialist asks."""
        return self.once_more(self.to_buyer("bulk.please_confirm"))

    def disputed(self) -> list[Post]:
        """The platform judges; the store manager says how it goes on."""
        return []

    async def cancelling(self) -> Outcome:
        """Called off: release everything."""
        await self.give_away(
            OrderActivities.restore,
            self._give_up_order,
            "let go of everything",
        )
        return Outcome("undo")

    def _give_up_order(self) -> SettleStep:
        fields = self.step_fields()
        fields["lines"] = []  # what came back is not this case's to ship again
        return SettleStep(**fields, memo=self.memo("大宗审核已撤销"))

    async def sound_alarm(self) -> None:
        """The shipping deadline is near and the shipment is still held."""
        case = self.case
        case.ship_alarmed = True
        roles = dict.fromkeys([*self.flow.states[case.state].expects, Role.BULK_SPECIALIST])
        await self._post([self._task("bulk.ship_alarm", role, **self._deadline()) for role in roles])

    # --- what is checked with, or written to, the shop when a message is accepted ---

    async def read_news(self, attempt: Attempt[BulkCase]) -> None:
        """The news counts only if the shop, read again, agrees; what has only changed is news of another kind."""
        standing = await self._read()
        if standing.gone:
            return
        if standing.differs and attempt.automatic is not None:
            self.bring_news("order_changed")
        raise Refused("the shop does not show the order closed or wholly refunded")

    async def consult_order_changed(self, attempt: Attempt[BulkCase]) -> None:
        """The shop's own news counts only if the shop, read again, agrees; a person's is kept until it does."""
        standing = await self._read()
        if standing.went_further:
            # it may have gone on to the review of what the order is now, and not know of it: it is to be reviewed
            self.case.standing = standing = standing.model_copy(update={"differs": True})
        if attempt.automatic is None:
            return
        if not standing.differs:
            raise Refused("the order is what was reviewed, or nothing was reviewed yet")
        if self.case.state not in REVIEWING and not (standing.held or standing.can_be_held):
            raise Refused("it has left and cannot be held: it stays out")

    async def effect_order_changed(self, _: Attempt[BulkCase]) -> None:
        """Hold all of it, again or still, before it is reviewed again."""
        held = await self.in_shop(BulkOrderActivities.hold_bulk, self.step(), "hold the shipment")
        if not held and self.case.state not in REVIEWING:
            raise Refused("it has left and cannot be held: it stays out")
        await self._read()

    async def effect_submit_dossier(self, attempt: Attempt[BulkCase]) -> None:
        """The date is no day to come; the conversation is in the shop, is of this order, and is looked into."""
        message, case = cast("SubmitDossier", attempt.message), self.case
        self._require_past(message.buyer_registered_on, attempt.at)
        if message.chat_id is None:
            return
        gathered = await self.in_shop(
            BulkOrderActivities.gather_talk,
            GatherStep(
                **self.step_fields(),
                chat_id=message.chat_id,
                risk_words=list(case.figures.flow.risk_words),
            ),
            "look into the conversation",
        )
        if gathered.refused is not None:
            raise Refused(gathered.refused)
        case.talk_signs = list(dict.fromkeys([*case.talk_signs, *gathered.talk]))

    async def effect_pass_legal_review(self, attempt: Attempt[BulkCase]) -> None:
        """The date is no day to come."""
        message = cast("PassLegalReview", attempt.message)
        if message.buyer_registered_on is not None:
            self._require_past(message.buyer_registered_on, attempt.at)

    async def consult_change_amount(self, _: Attempt[BulkCase]) -> None:
        """Is it paid by now, and still what was reviewed?"""
        standing = await self._read()
        if standing.gone:
            raise Refused("the order is closed or wholly refunded")
        if standing.differs and not (standing.left_at_its_price and self.adopts(PAYS_FOR_WHAT_LEFT)):
            raise Refused("the order is no longer what was reviewed")
        self.case.rebate_fen = max(0, standing.price_fen - (self.case.approved_fen or 0))

    async def effect_change_amount(self, attempt: Attempt[BulkCase]) -> None:
        """What is not paid yet gets its new price in the shop; what is paid is refunded in the next state."""
        if self.case.standing is not None and self.case.standing.paid:
            return
        refused = await self.in_shop(
            BulkOrderActivities.change_price,
            AmountStep(**self.step_fields(), amount_fen=cast("ChangeAmount", attempt.message).amount_fen),
            "change the order's amount",
        )
        if refused is not None:
            raise Refused(refused)
        await self._read()

    async def consult_buyer_declines_list_price(self, _: Attempt[BulkCase]) -> None:
        """Is it paid?"""
        await self._read()

    async def effect_buyer_declines_list_price(self, _: Attempt[BulkCase]) -> None:
        """What is paid goes back by a refund, which takes over the hold."""
        if self.case.standing is None or not self.case.standing.paid:
            return
        if await self._open_refund({"reason": "买家不接受原价"}) is None:
            raise Refused("the refund cannot be opened: see to the order's other refunds first")

    async def consult_offer_over(self, _: Attempt[BulkCase]) -> None:
        """Is it paid?"""
        await self._read()

    async def consult_buyer_confirms(self, _: Attempt[BulkCase]) -> None:
        """Has everything left?"""
        await self._read()

    async def consult_confirmation_overdue(self, _: Attempt[BulkCase]) -> None:
        """Is the trade finished, has everything left, and when?"""
        await self._read()

    async def consult_confirmation_presumed(self, _: Attempt[BulkCase]) -> None:
        """Is the trade finished?"""
        await self._read()

    # --- shared by the states above ---

    async def _read(self) -> BulkStanding:
        standing = await self.in_shop(BulkOrderActivities.read_bulk, self.step(), "read the order again")
        self._learn(standing)
        return standing

    def _learn(self, standing: BulkStanding) -> None:
        """Take over what the shop says; while the shipment is held, an alarm is due before the shipping deadline."""
        case, figures = self.case, self.case.figures.flow
        case.standing, case.amount_fen = standing, standing.total_fen
        alarm_wanted = standing.held and not case.ship_alarmed
        case.alarm_at = (
            ship_alarm_at(standing.paid_at, ship_by=figures.ship_by, ship_alarm=figures.ship_alarm)
            if alarm_wanted
            else None
        )

    async def _open_refund(self, fields: dict[str, Any]) -> str | None:
        """Open a refund of all that no other refund has yet; None where there is nothing left, or it was refused."""
        for last in (False, False, True):  # another refund may take a part of it in this very moment
            free = await self.in_shop(BulkOrderActivities.free_lines, self.step(), "what no other refund has")
            if free.some_claimed and not free.lines:
                return None
            lines = {"lines": [line.model_dump() for line in free.lines]} if free.some_claimed else {}
            refund = await self.open_case(REFUND_BEFORE_SHIPPING, {**fields, **lines}, ask=last)
            if refund is not None:
                return refund
        return None

    def _require_past(self, registered_on: date, at: datetime) -> None:
        if registered_on > self.case.local_day(at):
            raise Refused("buyer_registered_on is a day that is still to come")

    def _signs(self) -> str:
        """The risk signs, as words for people; they advise, and never decide."""
        return ", ".join(risk_signs(self.case)) or "-"

    def _deadline(self) -> dict[str, str]:
        case = self.case
        paid_at = case.standing.paid_at if case.standing is not None else None
        return {"ship_by": case.local_time(paid_at + case.figures.flow.ship_by) if paid_at is not None else NOT_KNOWN}

    def _review_task(self, role: Role) -> Post:
        case = self.case
        return self._task(
            "bulk.review",
            role,
            signs=self._signs(),
            registered_on=case.buyer_registered_on or case.shop_registered_on or NOT_KNOWN,
            purchases=NOT_KNOWN if case.buyer_purchases is None else str(case.buyer_purchases),
            documents=", ".join(case.documents) or "-",
            dossier_zh="材料齐全" if case.dossier_complete else "材料不完整",
            dossier_en="complete" if case.dossier_complete else "incomplete",
        )

    def _price_task(self, role: Role) -> Post:
        return self._task("bulk.judge_price", role, percent=f"{self.case.discount_percent.normalize():f}")

    def _audit_task(self, role: Role) -> Post:
        return self._task("bulk.change_amount", role, price=yuan(self.case.approved_fen or 0))

    def _task(self, template: str, role: Role, **parameters: str) -> Post:
        """A task for this stay in the state."""
        case = self.case
        due = case.local_time(case.due) if case.due is not None else ""
        given = {"case_id": case.case_id, "amount": yuan(case.amount_fen), "due": due, **parameters}
        return self.to_staff(template, role, **given).again(f"{role}.{case.version}")
