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
from tests.parcels import parcel_order, scan


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
    calls_off: str | None = None
    """Who calls it off, where Temporal's own cancel does not count everywhere; None: Temporal does."""
    policy: str | None = None
    """Under which policy of the tests; None: the shipped one."""

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
        case = await start_raw(desk if self.policy is None else desk.with_policy(self.policy), prepared)
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


PRESALE_AGENT, PRESALE_LEAD, OTHER_PRESALE_LEAD = "presale.1", "presale-lead.1", "presale-lead.2"


def _gift(desk: Desk) -> dict[str, Any]:
    """A gift that does not meet the rule."""
    desk.gift("GP-race", 1_000)
    order = desk.order(prices=[(10_000, 1)])
    return {
        "order_id": order,
        "by": PRESALE_AGENT,
        "kind": "gift",
        "gift_sku": "GP-race",
        "quantity": 1,
        "cost_fen": 1_000,
    }


def _return(desk: Desk) -> dict[str, Any]:
    """A return that is above every limit of the supervisors."""
    order = desk.order(prices=[(100_001, 1)], shipped=True)
    return {"order_id": order, "by": AGENT, "cause": "no_reason"}


def _bulk(desk: Desk) -> dict[str, Any]:
    """A bulk order that asks for a discount within the supervisor's limit."""
    order = desk.order(prices=[(100_000, 20)])
    return {"order_id": order, "by": PRESALE_AGENT, "discount_percent": "5"}


def _parcel(desk: Desk) -> dict[str, Any]:
    """A parcel with which the courier has trouble."""
    order, waybill = parcel_order(desk)
    scan(desk, waybill, "2")
    return {"order_id": order, "by": AGENT, "waybill": waybill, "courier": "yuantong", "cause": "asked"}


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
        way=(Said("buyer_insists", PRESALE_AGENT),),
        one=Said("approve", PRESALE_LEAD),
        other=Said("reject", OTHER_PRESALE_LEAD, {"note": "too dear"}),
    ),
    Stage(
        flow="return-after-shipping",
        state="awaiting_supervisor",
        opening=_return,
        way=(),
        one=Said("approve", LEAD),
        other=Said("approve", OTHER_LEAD),
    ),
    Stage(
        flow="bulk-order",
        state="pricing",
        opening=_bulk,
        way=(
            Said("submit_dossier", "bulk.1", {"buyer_registered_on": "2016-03-08", "buyer_purchases": 4}),
            Said("pass_legal_review", "manager.1", {"note": "nothing speaks against it"}),
        ),
        one=Said("approve", PRESALE_LEAD),
        other=Said("reject", OTHER_PRESALE_LEAD, {"note": "too much"}),
        calls_off="manager.1",
    ),
    Stage(
        flow="problem-parcel",
        state="asking_buyer",
        opening=_parcel,
        way=(Said("courier_answers", "parcel.1", {"finding": "station_withdrawn"}),),
        one=Said("buyer_chooses", AGENT, {"choice": "pickup"}),
        other=Said("buyer_chooses", OTHER_AGENT, {"choice": "forward"}),
        policy="parcels",
    ),
)
