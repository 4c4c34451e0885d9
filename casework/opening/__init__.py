"""Opening a case: the start examined against the shop, by the client before anything is sent and again by the case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from casework.authority import NOBODY, actor_named
from casework.case import Start
from casework.messages import explain, texts_of, unknown_in
from casework.money import LineQuantity
from casework.opening import bulk_order, gift_approval, problem_parcel, refund_before_shipping, return_after_shipping
from casework.opening.resolved import Resolved
from casework.policy import Policy
from casework.privacy import personal_text
from casework.shop import handing_over, orders, records
from casework.shop.errors import BadRequest, UnknownOrder
from casework.shop.staff import all_staff
from casework.shop.tables import LONGEST_CASE_ID
from state_machines.flows import FLOWS
from state_machines.roles import Automatic
from state_machines.table import Flow

RESOLVERS: Mapping[str, Callable[[Session, Any], Resolved]] = {
    "refund-before-shipping": refund_before_shipping.resolve,
    "gift-approval": gift_approval.resolve,
    "return-after-shipping": return_after_shipping.resolve,
    "problem-parcel": problem_parcel.resolve,
    "bulk-order": bulk_order.resolve,
}
"""By flow, what the shop makes of its start; may raise `BadRequest`. Nothing is changed."""


class BadStart(Exception):
    """A start that is refused: one plain sentence that names the field."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A start that may be opened: who is involved already, and the flow's fields as the shop resolved them."""

    start: Start
    case_id: str
    involved: list[str]
    lines: list[LineQuantity]
    resolved: dict[str, Any]
    """The flow's own fields, with `lines`."""


@dataclass(frozen=True, slots=True)
class OpenedInShop:
    """What the case takes with it from its opening."""

    figures: dict[str, Any]
    involved: list[str]
    resolved: dict[str, Any]


def examine_start(
    session: Session,
    *,
    flow_name: str,
    given: dict[str, Any],
    from_case: str | None = None,
    at: datetime | None = None,
) -> Examined:
    """Check a start against its model, the staff list and the order book; changes nothing.

    `at` is when it is opened (aware; default: now): whoever opens it must be there then.

    Raises:
        BadStart: one plain sentence that names the field.

    """
    flow = FLOWS[flow_name]
    try:
        start = flow.start_type.model_validate(given)
    except ValidationError as error:
        raise BadStart(explain(error)) from None
    except ValueError as error:
        raise BadStart(str(error)) from None
    unknown = unknown_in(given, start)
    if unknown is not None:
        raise BadStart(unknown)
    # before anything is handed over to it: of several runs of that case the latest counts (two orders in one parcel)
    if from_case is not None and records.order_of(session, from_case) not in (None, start.order_id):
        raise BadStart(f"from_case: {from_case} is about another order")
    try:
        personal = orders.personal_of(session, start.order_id)
    except UnknownOrder:
        raise BadStart(f"order_id: the shop has no order {start.order_id}") from None
    involved = _who_opens(session, flow, start, from_case, at or datetime.now(UTC))
    for name, text in texts_of("", start.model_dump(exclude={"order_id", "by"})):
        problem = personal_text(text, personal)
        if problem is not None:
            raise BadStart(f"{name}: {problem}")
    try:
        resolved = RESOLVERS[flow_name](session, start)
    except BadRequest as refused:
        raise BadStart(f"{refused.field}: {refused.sentence}") from None
    if len(resolved.case_id) > LONGEST_CASE_ID:
        raise BadStart("lines: so many of them do not fit into the case's id; name all of them, or open two cases")
    fields = {"lines": [line.model_dump() for line in resolved.lines], **resolved.fields}
    return Examined(start, resolved.case_id, involved, resolved.lines, fields)


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
    """Examine the start and record the case, in the caller's transaction. `at` is aware.

    Raises:
        BadStart: one plain sentence that names the field.

    """
    examined = examine_start(session, flow_name=flow_name, given=given, from_case=from_case, at=at)
    if case_id != examined.case_id:
        raise BadStart(f"the workflow id must be {examined.case_id}, by which everybody will look for the case")
    handing = handing_over.handed_over_by(session, case_id)
    if handing is not None and handing != from_case:
        raise BadStart(f"order_id: its lines are being handed over by {handing}, which opens this case in a moment")
    records.open_record(
        session,
        case_id=case_id,
        run_id=run_id,
        flow=flow_name,
        order_id=examined.start.order_id,
        opened_by=examined.start.by,
        opened_at=at,
        lines=examined.lines,
        from_case=from_case,
    )
    handing_over.taken_over(session, case_id)
    figures = policy.for_flow(flow_name)
    return OpenedInShop(figures, examined.involved, examined.resolved)


def _who_opens(session: Session, flow: Flow[Any], start: Start, from_case: str | None, at: datetime) -> list[str]:
    """Who is involved from the beginning: the opener, and everybody involved in the case that this one came from, or
    that it reopens.
    """
    came_from = [from_case, getattr(start, "reopens", None)]
    inherited = [person for one in came_from if one is not None for person in records.involved_in(session, one)]
    inherited = list(dict.fromkeys(inherited))
    if start.by == Automatic.SYSTEM:
        return inherited
    actor, why = actor_named(all_staff(session), start.by, at)
    if actor is None:
        raise BadStart(NOBODY if why == NOBODY else f"by: {why}")
    if not set(flow.opened_by) & set(actor.grants):
        wanted = " or ".join(flow.opened_by)
        raise BadStart(f"by: a {flow.label.en} is opened by {wanted}, which {start.by} is not")
    return [start.by, *(person for person in inherited if person != start.by)]
