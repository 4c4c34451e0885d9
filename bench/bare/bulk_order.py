"""Bulk order, bare: the same activities, signals and timers; no machine, no trail, no details."""

from decimal import Decimal
from typing import Any

from temporalio import workflow

from activities.bulk_orders import BulkOrderActivities as Bulk
from activities.bulk_orders import PriceStep, ScreenStep
from activities.payments import Payment, PaymentActivities
from activities.steps import OrderStep
from bench.bare.plain import Plain, outside, signal
from casework.dues import RebateDue
from casework.templates import yuan
from state_machines.bulk_order import ApproveDiscount, BulkFigures, ChangeAmount, PassLegalReview, SubmitDossier


@workflow.defn
class BareBulkOrder(Plain):
    submit_dossier = signal("submit_dossier", SubmitDossier)
    pass_legal_review = signal("pass_legal_review", PassLegalReview)
    approve = signal("approve", ApproveDiscount)
    change_amount = signal("change_amount", ChangeAmount)
    buyer_confirms = signal("buyer_confirms")

    @workflow.run
    async def run(self, start: dict[str, Any]) -> dict[str, Any]:
        await self.open("bulk-order", start, BulkFigures)
        flow, percent = self.figures.flow, Decimal(start["discount_percent"])
        screen: Any = {"chat_id": None, "risk_words": list(flow.risk_words)}
        screened = await self.step(Bulk.screen_bulk, ScreenStep, **screen)
        self.words |= {"amount": yuan(screened.standing.total_fen), "pieces": str(screened.pieces), "signs": "-"}
        self.words |= {"size_zh": "达到大宗标准", "size_en": "is of a bulk order's size", "percent": str(percent)}
        await self.step(Bulk.forget_review, OrderStep)
        compiling = ("bulk.compile", "bulk_specialist")
        dossier = await self.ask("bulk_specialist", "submit_dossier", flow.dossier, compiling, in_hours=True)
        self.words |= {"registered_on": str(dossier.buyer_registered_on), "purchases": str(dossier.buyer_purchases)}
        self.words |= {"documents": ", ".join(dossier.documents), "dossier_zh": "材料齐全", "dossier_en": "complete"}
        await self.step(Bulk.note_reviewed, OrderStep)
        review = ("bulk.review", "store_manager")
        await self.ask("store_manager", "pass_legal_review", flow.legal, review, in_hours=True)
        price = ("bulk.judge_price", "presale_supervisor")
        await self.ask("presale_supervisor", "approve", flow.pricing, price, in_hours=True)
        approved = await self.step(Bulk.approve_price, PriceStep, percent=percent)
        self.words["price"] = yuan(approved)
        audit = ("bulk.change_amount", "order_auditor")
        changed = await self.ask("order_auditor", "change_amount", flow.audit, audit, in_hours=True)
        standing = await self.step(Bulk.read_bulk, OrderStep)
        if changed.amount_fen != approved or standing.differs:
            raise ValueError(changed.amount_fen)
        rebate: Any = {"due": RebateDue(price_fen=approved), "amount_fen": standing.price_fen - approved}
        paid = await self.step(PaymentActivities.pay, Payment, run=outside, purpose="rebate", **rebate)
        self.words["amount"] = yuan(paid.paid_fen)
        await self.step(Bulk.let_bulk_go, OrderStep)
        await self.ask("bulk_specialist", "buyer_confirms", flow.confirmation, ("bulk.rebated", None))
        if not (await self.step(Bulk.read_bulk, OrderStep)).all_shipped:
            raise ValueError("it has not shipped")
        return await self.close("completed", "bulk.completed")
