"""Gift approval, bare: the same activities, signals and timers; no machine, no trail, no details."""

from typing import Any

from temporalio import workflow

from activities.gifts import GiftActivities as Gifts
from activities.gifts import GiftStep, PromiseStep, PutOnOrderStep
from bench.bare.plain import Plain, signal
from state_machines.gift_approval import GiftFigures, NamedGift


@workflow.defn
class BareGiftApproval(Plain):
    buyer_insists = signal("buyer_insists", NamedGift)
    approve = signal("approve")
    add_gift = signal("add_gift")

    @workflow.run
    async def run(self, start: dict[str, Any]) -> dict[str, Any]:
        resolved = await self.open("gift-approval", start, GiftFigures)
        flow, what = self.figures.flow, f"{start['gift_sku']} × {start['quantity']}"
        self.case |= {"kind": start["kind"], "gift_sku": start["gift_sku"], "quantity": start["quantity"]}
        self.case |= {"cost_fen": resolved["cost_fen"], "monthly_budget_fen": flow.monthly_budget_fen}
        self.case["timezone"] = self.figures.shop.timezone
        self.words |= {"what_zh": what, "what_en": what, "how_zh": "", "how_en": ""}
        await self.step(Gifts.check_gift, GiftStep)
        await self.ask("presale_agent", "buyer_insists", flow.negotiation)
        await self.ask("presale_supervisor", "approve", flow.supervisor, in_hours=True)
        left = (await self.step(Gifts.read_gift_standing, GiftStep)).budget_left_fen
        if resolved["cost_fen"] > min(left, flow.supervisor_limit_fen):
            await self.ask("finance_manager", "approve", flow.finance, in_hours=True)
        await self.step(Gifts.promise_gift, PromiseStep, over_budget=False, memo=f"赠品 {what},待审单加入")
        add = ("gift.add_to_order", "order_auditor")
        await self.ask("order_auditor", "add_gift", flow.audit, add, in_hours=True)
        paid = (await self.step(Gifts.read_gift_standing, GiftStep)).paid
        await self.step(Gifts.put_gift_on_order, PutOnOrderStep, paid=paid, memo=f"赠品 {what},已加入订单")
        return await self.close("granted", "gift.granted")
