"""What the bare workflows of several flows share: a signal for an answer, asking for it, a timer, the record."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError
from temporalio.workflow import now

from activities import cases, messages, staff
from casework.case import CaseFigures
from casework.hours import OpenHours, add_open_time
from casework.messages import Message, texts_of

local: Any = partial(workflow.execute_local_activity_method, start_to_close_timeout=timedelta(seconds=20))
outside: Any = partial(workflow.execute_activity_method, start_to_close_timeout=timedelta(seconds=30))


def signal(name: str, message_type: type[Message] = Message) -> Callable[..., None]:
    """A signal that keeps what was said until it is asked for."""

    def handle(self: "Plain", message: Any) -> None:
        self.said[name] = message

    handle.__annotations__ = {"message": message_type}  # what the SDK decodes it as
    return workflow.signal(name=name)(handle)


class Plain:
    figures: Any
    words: dict[str, str]

    def __init__(self) -> None:
        info = workflow.info()
        self.case: Any = {"case_id": info.workflow_id, "run_id": info.run_id, "from_case": None}
        self.said: dict[str, Any] = {}
        self.posted, self.opened_at, self.look_at = 0, now(), datetime.max.replace(tzinfo=UTC)

    async def open(self, flow: str, start: dict[str, Any], figures_type: type[CaseFigures]) -> dict[str, Any]:
        self.case |= {"flow": flow, "order_id": start["order_id"]}
        opened = await local(cases.CaseActivities.open_case, cases.OpenCase(**self.case, start=start, at=now()))
        self.figures, moment = figures_type.model_validate(opened.figures), {"execution": self.case["run_id"]}
        self.case |= {"lines": opened.resolved["lines"], "moment": {**moment, "events": 1}, "opened_by": start["by"]}
        self.words = {"case_id": self.case["case_id"], "order_id": start["order_id"], "amount": "", "due": ""}
        return opened.resolved

    def post(self, template: str, role: str | None = None) -> dict[str, Any]:
        self.posted += 1
        to = {"to": "staff" if role else "buyer", "role": role}
        return {"purpose": f"{template}.{self.posted}", "template": template, "parameters": dict(self.words), **to}

    async def step(self, activity: Any, request: Any, *, run: Any = local, **fields: Any) -> Any:
        return await run(activity, request(**self.case, at=now(), **fields))

    async def tell(self, *posts: Any) -> None:
        await self.step(messages.MessageActivities.post_messages, messages.PostMessages, posts=posts)

    async def look(self) -> Any: ...

    async def ask(
        self, who: str, trigger: str, wait: timedelta, *told: tuple[str, str | None], in_hours: bool = False
    ) -> Any:
        """Post the tasks and what is `told`, wait for the answer with a reminder, and look who it is."""
        shop, roles = self.figures.shop, who.split()
        hours = OpenHours(shop.open_from, shop.open_until if in_hours else shop.open_from, shop.timezone)
        due, half = add_open_time(now(), wait, hours), add_open_time(now(), wait * shop.remind_at_percent / 100, hours)
        self.words |= {"state_zh": trigger, "state_en": trigger, "due": f"{due:%Y-%m-%d %H:%M}"}
        asked = [role for role in roles if role not in {role for _, role in told}]
        posts = [*(self.post("asked_to_act", role) for role in asked), *(self.post(*one) for one in told)]
        for until in (half, due):
            await self.tell(*posts)
            while (ends := min(until, self.look_at)) > now() and trigger not in self.said:
                with suppress(TimeoutError):
                    await workflow.wait_condition(partial(self.said.__contains__, trigger), timeout=ends - now())
                if trigger not in self.said and ends == self.look_at:
                    await self.look()
            if trigger in self.said:
                said = self.said.pop(trigger)
                texts = [text for _, text in texts_of("", said.model_dump(exclude={"by", "id", "version"}))]
                known = await self.step(staff.StaffActivities.consider, staff.Consider, staff_id=said.by, texts=texts)
                if set(roles) & set(known.actor.grants):
                    return said
            posts = [self.post("reminder", role) for role in roles]
        raise ApplicationError(f"nobody has answered: {trigger}")

    async def close(self, outcome: str, *farewell: str) -> dict[str, Any]:
        view: Any = {
            **self.case,
            "amount_fen": 0,
            "waiting_for": (),
            "trail": (),
            "links": (),
            "kept": (),
            "version": 0,
        }
        view |= dict.fromkeys(("assignee", "due", "if_silent", "note")) | {"state": outcome, "outcome": outcome}
        view |= {"final": True, "policy": self.figures.version, "opened_at": self.opened_at}
        posts = [self.post(one) for one in farewell]
        await self.step(cases.CaseActivities.close_case, cases.CloseCase, view=view, posts=posts)
        return {"outcome": outcome}
