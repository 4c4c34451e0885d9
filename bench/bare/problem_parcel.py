"""Problem parcel, bare: the same activities, signals and timers; no machine, no trail, no details."""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.workflow import now

from activities.courier import AskCourier, CourierActivities, CourierStep
from activities.parcels import FollowStep, ParcelActivities, ParcelStep, RegisterStep
from activities.steps import OrderStep
from bench.bare.plain import Plain, outside, signal
from casework.parcels import Followed
from casework.rules.parcels import EXCEPTIONS, HANDED_OVER
from casework.templates import yuan
from state_machines.problem_parcel import BuyerChooses, CourierAnswers, OnItsWay, ParcelFigures


@workflow.defn
class BareProblemParcel(Plain):
    courier_answers = signal("courier_answers", CourierAnswers)
    buyer_chooses = signal("buyer_chooses", BuyerChooses)
    parcel_forwarded = signal("parcel_forwarded", OnItsWay)
    buyer_confirms = signal("buyer_confirms")

    async def look(self) -> Any:
        flow, following = self.figures.flow, self.words["waybill"]
        parcel: Any = {"courier": self.words["courier"], "waybill": following, "poll_min": flow.poll_min}
        await outside(CourierActivities.ask_courier, AskCourier(order_id=self.case["order_id"], at=now(), **parcel))
        self.look_at = now() + flow.poll
        return await self.step(ParcelActivities.look_at_parcel, ParcelStep, following=following)

    async def until_seen(self, states: frozenset[Any]) -> None:
        await workflow.sleep(timedelta(milliseconds=1))
        while (seen := await self.look()).last is None or seen.last.state not in states:
            await workflow.sleep(self.look_at - now())

    @workflow.run
    async def run(self, start: dict[str, Any]) -> dict[str, Any]:
        await self.open("problem-parcel", start, ParcelFigures)
        flow, parcel = self.figures.flow, {"courier": start["courier"], "waybill": start["waybill"]}
        self.words |= {**parcel, "urgent_zh": "", "urgent_en": "", "why": "-", "why_zh": "-", "why_en": "-"}
        self.case |= {**parcel, "way_back": False, "shop_province": self.figures.shop.province}
        self.case["remote_provinces"] = list(flow.remote_provinces)
        register: Any = {"following": parcel["waybill"], "big_parcel_fen": flow.big_parcel_fen}
        known = await self.step(ParcelActivities.register_parcel, RegisterStep, **register)
        self.words["amount"] = yuan(known.value_fen)
        await self.until_seen(EXCEPTIONS)
        ask_courier = ("parcel.investigate", "parcel_specialist")
        await self.ask("parcel_specialist", "courier_answers", flow.investigation, ask_courier)
        choose = ("parcel.choose", None)
        await self.ask("aftersale_agent parcel_specialist", "buyer_chooses", flow.choice, choose)
        await self.step(ParcelActivities.look_at_parcel, ParcelStep, following=parcel["waybill"])
        await self.step(CourierActivities.forward, CourierStep, run=outside)
        forwarding = ("parcel.forwarding", None)
        sent = await self.ask("parcel_specialist", "parcel_forwarded", flow.forwarding, forwarding)
        following = Followed(courier=sent.courier, waybill=sent.waybill, since=now())
        await self.step(ParcelActivities.follow_parcel, FollowStep, parcel=following, sent_again=False)
        self.words |= {"courier": sent.courier, "waybill": sent.waybill}
        await self.tell(self.post("parcel.forwarded"))
        await self.until_seen(HANDED_OVER)
        received = ("parcel.received", None)
        await self.ask("aftersale_agent parcel_specialist", "buyer_confirms", flow.receipt, received)
        await self.step(ParcelActivities.call_off_reshipment, OrderStep)
        return await self.close("delivered", "parcel.delivered")
