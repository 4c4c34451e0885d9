"""Refund before shipping, bare: the same activities, signals and timers; no machine, no trail, no details."""

from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from temporalio import workflow
from temporalio.workflow import now

from activities import cases, messages, orders, payments, staff, steps
from casework.hours import OpenHours, add_open_time
from casework.messages import Message
from casework.templates import yuan
from state_machines.refund_before_shipping import GiveReason, RefundFigures

local: Any = partial(workflow.execute_local_activity_method, start_to_close_timeout=timedelta(seconds=20))
outside: Any = partial(workflow.execute_activity_method, start_to_close_timeout=timedelta(seconds=30))


@workflow.defn
class BareRefundBeforeShipping:
    def __init__(self) -> None:
        self.said: dict[str, Message] = {}

    @workflow.signal
    def give_reason(self, message: GiveReason) -> None:
        self.said["give_reason"] = message

    @workflow.signal
    def buyer_insists(self, message: Message) -> None:
        self.said["buyer_insists"] = message

    @workflow.signal
    def approve(self, message: Message) -> None:
        self.said["approve"] = message

    @workflow.run
    async def run(self, start: dict[str, Any]) -> dict[str, Any]:
        case: Any = {"case_id": workflow.info().workflow_id, "run_id": workflow.info().run_id, "from_case": None}
        case |= {"flow": "refund-before-shipping", "order_id": start["order_id"], "handed_over_profile": False}
        opened = await local(cases.CaseActivities.open_case, cases.OpenCase(**case, start=start, at=now()))
        flow, shop, begun = (figures := RefundFigures.model_validate(opened.figures)).flow, figures.shop, now()
        case |= {"lines": opened.resolved["lines"], "moment": {"execution": case["run_id"], "events": 1}}
        hours = OpenHours(shop.open_from, shop.open_until, shop.timezone)
        fen = (await local(orders.OrderActivities.check_and_claim, steps.OrderStep(**case, at=now()))).refundable_fen
        words = {"case_id": case["case_id"], "order_id": start["order_id"], "amount": yuan(fen)}
        case["posts"] = [{"purpose": "asked", "template": "refund_requested", "to": "buyer", "parameters": words}]
        await local(orders.OrderActivities.hold, orders.HoldStep(**case, at=now()))
        lead, finance = fen > flow.agent_limit_fen, fen > flow.supervisor_limit_fen
        for wanted, zh, en, role, trigger, wait in (
            ("reason" not in start, "询问原因", "asking for the reason", "aftersale_agent", "give_reason", flow.reason),
            (True, "挽留买家", "persuading the buyer", "aftersale_agent", "buyer_insists", flow.persuasion),
            (lead, "待主管审批", "awaiting the supervisor", "aftersale_supervisor", "approve", flow.supervisor),
            (finance, "待财务审批", "awaiting finance", "finance_manager", "approve", flow.finance),
        ):
            due = min(add_open_time(now(), wait, hours), begun + flow.platform_window - shop.platform_margin)
            remind = add_open_time(now(), wait * shop.remind_at_percent / 100, hours)
            words |= {"state_zh": zh, "state_en": en, "due": f"{due:%Y-%m-%d %H:%M}"}
            for template, until in (("asked_to_act", remind), ("reminder", due)) if wanted else ():
                post = {"purpose": f"{en}.{template}", "template": template, "to": "staff", "role": role}
                case["posts"] = [post | {"parameters": words}]
                await local(messages.MessageActivities.post_messages, messages.PostMessages(**case, at=now()))
                with suppress(TimeoutError):
                    await workflow.wait_condition(partial(self.said.__contains__, trigger), timeout=until - now())
                    said, self.said = self.said[trigger], {}
                    texts = [said.reason] if isinstance(said, GiveReason) else []
                    who = staff.Consider(**case, staff_id=said.by, texts=texts, at=now())
                    if role in (await local(staff.StaffActivities.consider, who)).actor.grants:
                        break
        payment = payments.Payment(**case | {"posts": []}, at=now(), amount_fen=fen)
        words["amount"] = yuan((await outside(payments.PaymentActivities.pay, payment)).paid_fen)
        case["posts"] = [{"purpose": "told", "template": "refunded", "to": "buyer", "parameters": words}]
        await local(orders.OrderActivities.settle, orders.SettleStep(**case, at=now(), memo=f"退款{words['amount']}"))
        view: Any = {**case, "amount_fen": fen, "waiting_for": (), "trail": (), "links": (), "kept": (), "version": 0}
        view |= dict.fromkeys(("assignee", "due", "if_silent", "note")) | {"state": "refunded", "outcome": "refunded"}
        view |= {"final": True, "policy": figures.version, "opened_by": start["by"], "opened_at": begun}
        await local(cases.CaseActivities.close_case, cases.CloseCase(**case | {"posts": []}, view=view, at=now()))
        return {"outcome": "refunded"}
