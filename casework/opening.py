"""Opening a case: the start examined against the shop, by the client before anything is sent and again by the case."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from casework.authority import actor_named
from casework.case import Start
from casework.messages import explain, texts_of
from casework.money import LineQuantity
from casework.policy import Policy
from casework.privacy import personal_text
from casework.shop import orders, records
from casework.shop.errors import BadRequest, UnknownOrder
from casework.shop.staff import all_staff
from state_machines.flows import FLOWS
from state_machines.refund_before_shipping import RefundStart
from state_machines.roles import Automatic
from state_machines.table import Flow


class BadStart(Exception):
    """A start that is refused: one plain sentence that names the field."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A start that may be opened: who is involved already, and the flow's fields as the shop resolved them."""

    start: Start
    case_id: str
    involved: list[str]
    resolved: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class OpenedInShop:
    """What the case takes with it from its opening."""

    figures: dict[str, Any]
    involved: list[str]
    resolved: dict[str, Any]


def examine_start(session: Session, *, flow_name: str, given: dict[str, Any], from_case: str | None = None) -> Examined:
    """Check a start against its model, the staff list and the order book; changes nothing.

    Raises:
        BadStart: one plain sentence that names the field.

    """
    flow = FLOWS[flow_name]
    try:
        start = flow.start_type.model_validate(given)
    except ValidationError as error:
        raise BadStart(explain(error)) from None
    try:
        order = orders.read_order(session, start.order_id)
        personal = orders.personal_of(session, start.order_id)
    except UnknownOrder:
        raise BadStart(f"order_id: the shop has no order {start.order_id}") from None
    involved = _who_opens(session, flow, start, from_case)
    for name, text in texts_of("", start.model_dump(exclude={"order_id", "by"})):
        problem = personal_text(text, personal)
        if problem is not None:
            raise BadStart(f"{name}: {problem}")
    try:
        resolved = _resolve(session, start)
    except BadRequest as refused:
        raise BadStart(f"{refused.field}: {refused.sentence}") from None
    asked = {line.line for line in getattr(start, "lines", None) or ()}
    every_line = {line.number for line in order.lines}
    return Examined(start, case_id_of(flow_name, start.order_id, asked, every_line), involved, resolved)


def case_id_of(flow_name: str, order_id: str, asked: Set[int], every_line: Set[int]) -> str:
    """The workflow id of a case about an order; only some lines are named in it, ascending.

    Naming every line is the same as naming none.
    """
    some = asked if asked != every_line else set[int]()
    return f"{flow_name}-{order_id}" + ("-" + ".".join(map(str, sorted(some))) if some else "")


def open_in_shop(
    session: Session,
    policy: Policy,
    *,
    flow_name: str,
    case_id: str,
    run_id: str,
    given: dict[str, Any],
    from_case: str | None,
    at: datetime,
) -> OpenedInShop:
    """Examine the start and record the case, in the caller's transaction.

    Raises:
        BadStart: one plain sentence that names the field.

    """
    examined = examine_start(session, flow_name=flow_name, given=given, from_case=from_case)
    if case_id != examined.case_id:
        raise BadStart(f"the workflow id must be {examined.case_id}, by which everybody will look for the case")
    records.open_record(
        session,
        case_id=case_id,
        run_id=run_id,
        flow=flow_name,
        order_id=examined.start.order_id,
        opened_by=examined.start.by,
        opened_at=at,
        lines=[LineQuantity.model_validate(line) for line in examined.resolved.get("lines", ())],
        from_case=from_case,
    )
    figures = policy.for_flow(flow_name)
    return OpenedInShop(figures, examined.involved, examined.resolved)


def _who_opens(session: Session, flow: Flow[Any], start: Start, from_case: str | None) -> list[str]:
    """Who is involved from the beginning: the opener, and everybody involved in the case that this one came from."""
    inherited = records.involved_in(session, from_case) if from_case else []
    if start.by == Automatic.SYSTEM:
        return inherited
    actor, why = actor_named(all_staff(session), start.by)
    if actor is None:
        raise BadStart(f"by: {why}")
    if not set(flow.opened_by) & set(actor.grants):
        wanted = " or ".join(flow.opened_by)
        raise BadStart(f"by: a {flow.label.en} is opened by {wanted}, which {start.by} is not")
    return [start.by, *(person for person in inherited if person != start.by)]


def _resolve(session: Session, start: Start) -> dict[str, Any]:
    """The flow's own fields, as the shop understands them."""
    if isinstance(start, RefundStart):
        lines = orders.resolve_lines(session, start.order_id, start.lines)
        return {"lines": [line.model_dump() for line in lines]}
    raise BadStart(f"{type(start).__name__} cannot be opened yet")
