"""Where an open case waits, as it tells the shop: so that lists and forecasts need not ask each case. Pure.

What is shown of it is asked of the flow's own machine when it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from casework.case import Actor, Case, WaitingFor
from casework.details import expected
from casework.messages import fields_of
from state_machines.common import CANCEL
from state_machines.flows import FLOWS
from state_machines.roles import Role
from state_machines.table import Attempt, Flow, Refusal, StateKind

NOT_TOLD = frozenset({"trail", "answers", "given"})
"""What no row of a table asks for, and only makes it bigger."""


class Waits(BaseModel):
    """An open case that waits: who is asked, since when and until when, and all that its table may ask for.

    Times are aware, money is fen. `alarms`: how often the clock has fired without anything having moved.
    """

    roles: list[str]
    assignee: str | None
    since: datetime
    due: datetime
    alarms: int
    amount_fen: int
    case: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """What one person may do where a case waits; `why_not` where they are asked and may not."""

    may: list[WaitingFor]
    why_not: str | None


def waits_of(flow: Flow[Any], case: Case[Any], now: datetime) -> Waits | None:
    """Where the case waits; None while it is at work, and where it only polls."""
    if flow.states[case.state].kind is not StateKind.WAIT or case.due is None:
        return None
    return Waits(
        roles=[role.value for role in expected(flow, case)],
        assignee=case.assignee,
        since=waiting_since(case) or case.entered_at or now,
        due=case.due,
        alarms=case.alarms,
        amount_fen=case.amount_fen,
        case=case.model_dump(mode="json", exclude=set(NOT_TOLD)),
    )


def waiting_since(case: Case[Any]) -> datetime | None:
    """When the case came into its state, however often an alarm has sounded there since; None: not by a move."""
    return next((line.at for line in reversed(case.trail) if line.is_move and line.source != line.dest), None)


def case_from(told: dict[str, Any]) -> tuple[Flow[Any], Case[Any]]:
    """The case as it was told, or as its query answers, and its flow.

    Raises:
        KeyError: for a flow that this version does not know.
        ValidationError: for a case that this version does not understand.

    """
    flow = FLOWS[told["flow"]]
    return flow, flow.case_type.model_validate(told)


def asked_of(flow: Flow[Any], case: Case[Any], actor: Actor) -> Asked:
    """What the person may do here, asked of the machine: their own limits and four eyes count too.

    What is looked up only when somebody acts stands in nobody's way.
    """
    state = flow.states[case.state]
    at = case.entered_at or case.opened_at
    may: list[WaitingFor] = []
    why_not: str | None = None
    theirs: dict[str, list[Role]] = {}
    for offer in flow.offers(case.state):
        if offer.role in actor.grants:
            theirs.setdefault(offer.trigger, []).append(offer.role)
    for trigger, roles in theirs.items():
        found = flow.find_move(Attempt(case, trigger, at, actor, offering=True))
        if not isinstance(found, Refusal):
            fields = fields_of(flow.triggers[trigger].message)
            may.append(WaitingFor(trigger=trigger, roles=[role.value for role in roles], fields=fields))
        elif trigger != CANCEL and not set(roles).isdisjoint(state.expects):
            why_not = why_not or found.why
    expected_of_them = any(
        one.trigger != CANCEL and not set(one.roles).isdisjoint(role.value for role in state.expects) for one in may
    )
    return Asked(may, None if expected_of_them else why_not)
