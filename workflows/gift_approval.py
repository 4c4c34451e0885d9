"""Flow 3, gift or free shipping: what is done in each state. The table says what may happen: see
`state_machines/gift_approval.py`.
"""

from __future__ import annotations

from typing import Any, cast

from temporalio import workflow

from activities.gifts import GiftActivities, GiftStep, NamedStep, PromiseStep, PutOnOrderStep
from casework.dues import PostageDue
from casework.standing import GiftStanding
from casework.templates import Post, yuan
from state_machines.gift_approval import GIFT_APPROVAL, GiftCase, NamedGift
from state_machines.roles import Role
from state_machines.table import Attempt
from workflows.defining import case_workflow
from workflows.paying import PayingWorkflow
from workflows.received import Refused
from workflows.steps import Outcome


@case_workflow(GIFT_APPROVAL)
class GiftApproval(PayingWorkflow[GiftCase]):
    """Note a gift or free shipping on the order by the rule, or let a superior decide; finance has the budget."""

    @workflow.run
    async def run(self, *start: Any) -> dict[str, Any]:  # noqa: ARG002 - Temporal gives it to both
        """Run to an end; answers with the case view."""
        return await self.run_case()

    def opened(self, resolved: dict[str, Any]) -> None:
        """The case's amount is the cost, which the shop has checked."""
        self.case.amount_fen = resolved["cost_fen"]

    @property
    def purpose(self) -> str:
        """What is paid, as the payment's key and the Temporal UI name it."""
        return "postage"

    def due(self) -> PostageDue:
        """What is credited of the postage: no more than was decided on."""
        return PostageDue(at_most_fen=self.case.decided_fen)

    def ending_parameters(self) -> dict[str, str]:
        """What it is about, and whether money went back for it, in words."""
        amount = yuan(self.case.paid_fen)
        credited = self.case.paid_fen > 0
        return {
            **self._what(),
            "how_zh": f",邮费 {amount} 元已退回原支付账户" if credited else "",
            "how_en": f"; {amount} yuan of postage have been returned to your payment account" if credited else "",
        }

    # --- one method per state ---

    async def checking(self) -> Outcome:
        """How does the order stand, and is the gift rule met?"""
        standing = await self.in_shop(GiftActivities.check_gift, self._gift_step(), "check the order and the gift rule")
        self.case.standing = standing
        if standing.gone:
            return Outcome("check", "the order is closed")
        if standing.shipped:
            return Outcome("check", "the order has shipped")
        if standing.granted_by is not None:
            return Outcome("check", f"it was granted already, by {standing.granted_by}")
        return Outcome("check", "the order has no postage to waive" if standing.granted else None)

    def negotiating(self) -> list[Post]:
        """The agent finds out whether the buyer presses; where it is out of stock, another gift may be named."""
        out_of_stock = self.case.has_taken("find_out_of_stock")
        return [self.to_staff("gift.out_of_stock", Role.PRESALE_AGENT, **self._what())] if out_of_stock else []

    def awaiting_supervisor(self) -> list[Post]:
        """The buyer presses for what does not meet the rule."""
        return []

    def awaiting_finance(self) -> list[Post]:
        """The cost is over the supervisor's limit or the month's budget, or the supervisor was silent."""
        return []

    async def writing_memo(self) -> Outcome:
        """Note it on the order and reserve its cost in the month's budget, in one transaction."""
        case = self.case
        step = self._gift_step("%s,待审单加入")
        promised = await self.in_shop(
            GiftActivities.promise_gift,
            PromiseStep(**step.model_dump(), over_budget=case.finance_approved),
            "write the memo, reserve the budget",
        )
        case.standing, case.promised = promised.standing, promised.promised
        if promised.promised or promised.standing.gone or promised.standing.shipped:
            return Outcome("write_memo")
        left = yuan(promised.standing.budget_left_fen)
        return Outcome("write_memo", f"{left} are left of the month's budget, {yuan(case.amount_fen)} are wanted")

    def awaiting_audit(self) -> list[Post]:
        """The auditor adds it to the order."""
        return [self.to_staff("gift.add_to_order", Role.ORDER_AUDITOR, **self._what())]

    def audit_late(self) -> list[Post]:
        """Nobody has added it: the supervisor may, too."""
        return []

    async def crediting(self) -> Outcome:
        """The buyer has paid the postage: it goes back, once."""
        return await self.pay()

    def telling_buyer(self) -> list[Post]:
        """It was refused, or the order left without it: the agent wins the buyer's understanding."""
        return []

    async def cancelling(self) -> Outcome:
        """Called off: what was promised is taken back."""
        await self._take_back()
        return Outcome("undo")

    # --- what is checked with, or written to, the shop when a message is accepted ---

    async def consult_buyer_insists(self, attempt: Attempt[GiftCase]) -> None:
        """What does the gift cost that is named, and does the order meet the rule now?"""
        case, message = self.case, cast("NamedGift", attempt.message)
        case.named_cost_fen = None
        if message.gift_sku is None or message.quantity is None:
            return
        if case.kind != "gift":
            raise Refused("gift_sku: this case is about free shipping: open another one for a gift")
        priced = await self.in_shop(
            GiftActivities.price_gift,
            NamedStep(**self.step_fields(), gift_sku=message.gift_sku, quantity=message.quantity),
            "what does it cost",
        )
        if priced.refused is not None:
            raise Refused(priced.refused)
        case.named_cost_fen = priced.cost_fen
        await self._read_order("read the order again")

    async def consult_approve(self, _: Attempt[GiftCase]) -> None:
        """What is left of the month's budget now?"""
        await self._read_order("read the month's budget")

    async def consult_add_gift(self, _: Attempt[GiftCase]) -> None:
        """Is the order paid by now?"""
        await self._read_order("read the order again")

    async def read_news(self, attempt: Attempt[GiftCase]) -> None:
        """The news counts only if the shop, read again, agrees."""
        standing = await self._read_order("read the order again")
        if attempt.automatic is not None and not (standing.gone or standing.shipped):
            raise Refused("the shop does not show the order closed or shipped")

    async def effect_add_gift(self, _: Attempt[GiftCase]) -> None:
        """The auditor's word that it is on the order is the shop's from now on; the stock may say otherwise."""
        case = self.case
        paid = case.standing is not None and case.standing.paid
        done = await self.in_shop(
            GiftActivities.put_gift_on_order,
            PutOnOrderStep(**self._gift_step("%s,已加入订单").model_dump(), paid=paid),
            "put it on the order",
        )
        if done.refused is not None:
            raise Refused(done.refused)

    async def effect_find_out_of_stock(self, _: Attempt[GiftCase]) -> None:
        """It cannot be given: its cost returns to the budget."""
        await self._take_back()

    async def effect_order_gone(self, _: Attempt[GiftCase]) -> None:
        """There is nothing any more that it could go with."""
        await self._take_back()

    async def after_pay(self) -> None:
        """The postage is credited."""
        await self._grant_credited()

    async def after_confirm_paid_by_hand(self) -> None:
        """The postage was credited by hand."""
        await self._grant_credited()

    # --- shared by the states above ---

    def to_staff(self, template: str, role: Role, **parameters: str) -> Post:
        """A task for a role: again, where another gift takes the place of one that was out of stock."""
        return super().to_staff(template, role, **parameters).again(self.case.version)

    async def _read_order(self, why: str) -> GiftStanding:
        self.case.standing = await self.in_shop(GiftActivities.read_gift_standing, self._gift_step(), why)
        return self.case.standing

    async def _take_back(self) -> None:
        await self.give_away(
            GiftActivities.withdraw_gift, lambda: self._gift_step("%s,作废"), "take back what was promised"
        )
        self.case.promised = False

    async def _grant_credited(self) -> None:
        await self.in_shop(
            GiftActivities.grant_credited_postage, self._gift_step("%s,邮费已退"), "free shipping is granted"
        )

    def _gift_step(self, memo: str | None = None) -> GiftStep:
        case, figures = self.case, self.case.figures
        return GiftStep(
            **self.step_fields(),
            kind=case.kind,
            gift_sku=case.gift_sku,
            quantity=case.quantity,
            cost_fen=case.amount_fen,
            monthly_budget_fen=figures.flow.monthly_budget_fen,
            timezone=figures.shop.timezone,
            memo=self.memo(memo % self._what()["what_zh"]) if memo is not None else "",
        )

    def _what(self) -> dict[str, str]:
        """What it is about, in words of both languages."""
        case = self.case
        if case.kind == "free_shipping":
            amount = yuan(case.amount_fen)
            return {"what_zh": f"免邮({amount} 元)", "what_en": f"free shipping ({amount} yuan)"}
        return {
            "what_zh": f"赠品 {case.gift_sku} × {case.quantity}",
            "what_en": f"gift {case.gift_sku} × {case.quantity}",
        }
