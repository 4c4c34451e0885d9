"""Return after shipping, bare: the same activities, signals and timers; no machine, no trail, no details."""

from typing import Any

from temporalio import workflow
from temporalio.workflow import now

from activities import returns
from activities.payments import Payment, PaymentActivities
from activities.returns import ReturnActivities as Returns
from activities.steps import OrderStep
from bench.bare.plain import Plain, outside, signal
from casework.dues import ReturnDue
from casework.money import LineQuantity
from casework.templates import yuan
from state_machines.return_after_shipping import BuyerShips, PassInspection, ReceiveGoods, ReturnFigures


@workflow.defn
class BareReturnAfterShipping(Plain):
    approve = signal("approve")
    buyer_ships = signal("buyer_ships", BuyerShips)
    receive_goods = signal("receive_goods", ReceiveGoods)
    pass_inspection = signal("pass_inspection", PassInspection)
    buyer_confirms = signal("buyer_confirms")

    @workflow.run
    async def run(self, start: dict[str, Any]) -> dict[str, Any]:
        await self.open("return-after-shipping", start, ReturnFigures)
        flow, lines = self.figures.flow, self.case["lines"]
        due = ReturnDue(lines=lines, fault=False)
        standing = await self.step(Returns.assess_return, returns.AssessStep, due=due, requested_at=now())
        self.words["amount"] = yuan(standing.refundable_fen)
        if standing.refundable_fen > flow.automatic_limit_fen:
            judged = ("return.being_judged", None)
            await self.ask("aftersale_supervisor", "approve", flow.supervisor, judged, in_hours=True)
        self.words |= {"until": f"{now() + flow.ship_back:%Y-%m-%d}", "cap": yuan(flow.return_postage_cap_fen)}
        ships = await self.ask("aftersale_agent", "buyer_ships", flow.ship_back, ("return.send_back.buyer", None))
        if await self.step(Returns.is_waybill_of_another, returns.WaybillStep, waybill=ships.waybill):
            raise ValueError(ships.waybill)
        way_back = {"courier": ships.courier, "waybill": ships.waybill}
        await self.step(Returns.note_way_back, returns.WayBackStep, **way_back)
        await self.step(Returns.read_return, returns.ReturnStep, due=due)
        came = await self.ask("returns_clerk", "receive_goods", flow.goods_back)
        received: Any = {"received": came.lines or lines, "memo": "收到退货"}
        await self.step(Returns.receive_return, returns.ReceiveStep, **received)
        await self.step(Returns.read_return, returns.ReturnStep, due=due)
        taken = await self.ask("returns_clerk", "pass_inspection", flow.inspection, ("return.received", None))
        accepted = [LineQuantity(line=one.line, quantity=one.accepted_quantity) for one in taken.lines]
        gift = await self.step(Returns.read_gift_of_order, OrderStep)
        await self.step(Returns.restock_return, returns.RestockStep, accepted=accepted)
        due = ReturnDue(lines=accepted, fault=False, gift_deduction_fen=0 if taken.gift_back else gift.value_fen)
        standing = await self.step(Returns.read_return, returns.ReturnStep, due=due)
        if standing.refundable_fen > flow.clerk_limit_fen:
            await self.ask("finance_manager", "approve", flow.finance, in_hours=True)
        amount = standing.refundable_fen
        paid = await self.step(PaymentActivities.pay, Payment, run=outside, due=due, amount_fen=amount)
        parts = await self.step(Returns.read_paid_parts, OrderStep)
        goods = yuan(parts.goods_fen)
        self.words |= {
            "amount": yuan(paid.paid_fen),
            "parts_zh": f"商品 {goods} 元",
            "parts_en": f"{goods} for the goods",
        }
        told: Any = {"posts": [self.post("return.refunded")], "memo": "退货已退款", "came_back_before": []}
        await self.step(Returns.settle_return, returns.SettleReturnStep, due=due, **told)
        await self.ask("aftersale_agent", "buyer_confirms", flow.confirmation)
        await self.step(Returns.finish_return, OrderStep)
        return await self.close("refunded")
