"""What the races need of a flow: how a case comes to a wait, and two people's decisions of which it takes only one.

A new flow gets its races by an entry in STAGES.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from casework.client import PreparedStart, prepare_start
from state_machines.flows import FLOWS
from tests.desk import FLOW, Desk, Handle


@dataclass(frozen=True)
class Said:
    """A message of a person."""

    trigger: str
    by: str
    fields: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Stage:
    """A wait of a flow on which the generic races are run.

    Once one of the two decisions is taken, the case must not take either of them again.
    """

    flow: str
    state: str
    opening: Callable[[Desk], dict[str, Any]]
    """A start, about something new."""
    way: tuple[Said, ...]
    """What leads from the first wait to the state."""
    one: Said
    other: Said
    """By somebody else."""

    @property
    def name(self) -> str:
        """Names the stage among the tests."""
        same = " twice" if self.one.trigger == self.other.trigger else ""
        return f"{self.flow} {self.state}{same}"

    @property
    def clock(self) -> str:
        """What the clock fires in the state."""
        deadline = FLOWS[self.flow].states[self.state].deadline
        assert deadline is not None
        return deadline.trigger

    def prepare(self, desk: Desk) -> PreparedStart:
        """A start with its case id."""
        return prepare_start(desk.database, self.flow, self.opening(desk))

    async def reach(self, desk: Desk) -> Handle:
        """A new case that waits in the state."""
        prepared = self.prepare(desk)
        case = await start_raw(desk, prepared)
        for said in self.way:
            await desk.until_it_takes(case, said.trigger)
            await desk.submit(case, said.trigger, said.by, **said.fields)
        await desk.until(case, self.state)
        return case


async def start_raw(desk: Desk, prepared: PreparedStart) -> Handle:
    """A plain start, without the client's own checks."""
    return await desk.client.start_workflow(
        prepared.flow.workflow, prepared.payload, id=prepared.case_id, task_queue=desk.task_queue
    )


AGENT, OTHER_AGENT, LEAD, OTHER_LEAD = "aftersale.1", "aftersale.2", "aftersale-lead.5", "aftersale-lead.1"
INSIST = Said("buyer_insists", AGENT)


def _refund(fen: int) -> Callable[[Desk], dict[str, Any]]:
    return lambda desk: {"order_id": desk.order(prices=[(fen, 1)]), "by": AGENT, "reason": "bought twice"}


GIFT_AGENT, GIFT_LEAD, OTHER_GIFT_LEAD = "presale.1", "presale-lead.1", "presale-lead.2"


def _gift(desk: Desk) -> dict[str, Any]:
    """A gift that does not meet the rule."""
    desk.gift("GP-race", 1_000)
    order = desk.order(prices=[(10_000, 1)])
    return {
        "order_id": order,
        "by": GIFT_AGENT,
        "kind": "gift",
        "gift_sku": "GP-race",
        "quantity": 1,
        "cost_fen": 1_000,
    }


STAGES = (
    Stage(
        flow=FLOW,
        state="persuading",
        opening=_refund(20_000),
        way=(),
        one=INSIST,
        other=Said("buyer_keeps_order", OTHER_AGENT),
    ),
    Stage(
        flow=FLOW,
        state="awaiting_supervisor",
        opening=_refund(20_001),
        way=(INSIST,),
        one=Said("approve", LEAD),
        other=Said("send_back", OTHER_LEAD, {"note": "once more"}),
    ),
    Stage(
        flow=FLOW,
        state="awaiting_supervisor",
        opening=_refund(100_001),
        way=(INSIST,),
        one=Said("approve", LEAD),
        other=Said("approve", OTHER_LEAD),
    ),
    Stage(
        flow="gift-approval",
        state="awaiting_supervisor",
        opening=_gift,
        way=(Said("buyer_insists", GIFT_AGENT),),
        one=Said("approve", GIFT_LEAD),
        other=Said("reject", OTHER_GIFT_LEAD, {"note": "too dear"}),
    ),
)
