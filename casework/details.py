"""How a case is shown: the contract's view, Temporal's search attributes, and the details in the Temporal UI."""

from __future__ import annotations

from datetime import UTC
from typing import Any
from urllib.parse import quote

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from casework import names
from casework.case import Actor, Case, CaseView, IfSilent, WaitingFor
from casework.messages import fields_of
from casework.money import format_yuan
from state_machines.common import CANCEL
from state_machines.roles import Automatic, Role
from state_machines.table import Attempt, Flow, Move, Refusal, StateKind

CASE_STATE = SearchAttributeKey.for_keyword(names.CASE_STATE)
CASE_WAITING_FOR = SearchAttributeKey.for_keyword_list(names.CASE_WAITING_FOR)
CASE_ASSIGNEE = SearchAttributeKey.for_keyword(names.CASE_ASSIGNEE)
CASE_OPENED_BY = SearchAttributeKey.for_keyword(names.CASE_OPENED_BY)
ORDER_ID = SearchAttributeKey.for_keyword(names.ORDER_ID)
CASE_OUTCOME = SearchAttributeKey.for_keyword(names.CASE_OUTCOME)
CASE_DUE = SearchAttributeKey.for_datetime(names.CASE_DUE)
CASE_AMOUNT = SearchAttributeKey.for_int(names.CASE_AMOUNT)


def view_of(flow: Flow[Any], case: Case[Any]) -> CaseView:
    """The case as the contract shows it."""
    return CaseView(
        case_id=case.case_id,
        flow=case.flow,
        order_id=case.order_id,
        state=case.state,
        final=flow.is_final(case.state),
        outcome=case.outcome,
        amount_fen=case.amount_fen,
        version=case.version,
        waiting_for=waiting_for(flow, case),
        assignee=case.assignee,
        due=case.due,
        if_silent=if_silent(flow, case),
        opened_by=case.opened_by,
        opened_at=case.opened_at,
        trail=case.trail,
        policy=case.policy.version if case.policy else "",
        links=case.links,
        note=case.note,
        kept=[fact.trigger for fact in case.kept],
        references=case.references,
        given=case.given,
    )


def waiting_for(flow: Flow[Any], case: Case[Any]) -> list[WaitingFor]:
    """Everything that people may do in the case's state, with the roles that may and the fields it wants."""
    return [
        WaitingFor(trigger=name, roles=[role.value for role in who], fields=fields_of(flow.triggers[name].message))
        for name, who in offered(flow, case).items()
    ]


def offered(flow: Flow[Any], case: Case[Any]) -> dict[str, list[Role]]:
    """The triggers that people may fire where the case waits, with the roles that may.

    What a guard would refuse to everybody (a third `send_back`, say) is not offered: the machine itself is asked,
    but where a row asks for nothing but the role.
    """
    roles: dict[str, list[Role]] = {}
    if flow.states[case.state].kind is not StateKind.WAIT:
        return roles
    for offer in flow.offers(case.state):
        if not offer.guarded or _is_taken(flow, case, offer.trigger, offer.role):
            roles.setdefault(offer.trigger, []).append(offer.role)
    return roles


def _is_taken(flow: Flow[Any], case: Case[Any], trigger: str, role: Role) -> bool:
    somebody = Actor(staff_id="", grants={role: None})
    attempt = Attempt(case, trigger, case.entered_at or case.opened_at, somebody, offering=True)
    return not isinstance(flow.find_move(attempt), Refusal)


def expected(flow: Flow[Any], case: Case[Any]) -> tuple[Role, ...]:
    """The roles that are asked to act now (calling off and news apart)."""
    return flow.states[case.state].expects


def if_silent(flow: Flow[Any], case: Case[Any]) -> IfSilent | None:
    """What the clock will do if nobody acts, asked of the very machine and guards that will decide it."""
    deadline = flow.states[case.state].deadline
    if deadline is None or case.due is None:
        return None
    found = flow.find_move(Attempt(case, deadline.trigger, case.due, automatic=Automatic.CLOCK))
    if isinstance(found, Refusal):
        return None
    return IfSilent(trigger=deadline.trigger, dest=found.dest, at=case.due, pays_fen=paid_by_silence(flow, case, found))


def paid_by_silence(flow: Flow[Any], case: Case[Any], move: Move[Any]) -> int:
    """What leaves by a row that the clock takes, in fen."""
    return case.amount_fen if flow.states[move.dest].pays else 0


def search_attributes(flow: Flow[Any], case: Case[Any]) -> list[SearchAttributePair[Any]]:
    """Where the case is, for lists. No personal data: search attributes are not encrypted.

    None as a value means that the attribute is to be unset.
    """
    final = flow.is_final(case.state)
    return [
        SearchAttributePair(CASE_STATE, case.state),
        SearchAttributePair(CASE_WAITING_FOR, [role.value for role in expected(flow, case)] or None),  # pyright: ignore[reportArgumentType] - None unsets
        SearchAttributePair(CASE_ASSIGNEE, case.assignee),  # pyright: ignore[reportArgumentType] - None unsets
        SearchAttributePair(CASE_OPENED_BY, case.opened_by),
        SearchAttributePair(ORDER_ID, case.order_id),
        SearchAttributePair(CASE_OUTCOME, case.outcome),  # pyright: ignore[reportArgumentType] - None unsets
        SearchAttributePair(CASE_DUE, None if final or case.due is None else case.due.astimezone(UTC)),  # pyright: ignore[reportArgumentType] - None unsets
        SearchAttributePair(CASE_AMOUNT, case.amount_fen),
    ]


def static_summary(flow: Flow[Any], order_id: str) -> str:
    """The one line that the Temporal UI shows of a case."""
    return f"{flow.label.zh} / {flow.label.en} · {order_id}"


def opening_attributes(order_id: str, by: str) -> TypedSearchAttributes:
    """What is known of a case before it has done anything."""
    return TypedSearchAttributes([SearchAttributePair(ORDER_ID, order_id), SearchAttributePair(CASE_OPENED_BY, by)])


def current_details(flow: Flow[Any], case: Case[Any], namespace: str | None = None) -> str:
    """A small Markdown table for the Temporal UI: the state, who may act until when, what comes otherwise, the path.

    With the `namespace`, linked cases are links to their pages, from the root of the UI's own address.
    """
    state = flow.states[case.state]
    lines = [
        "| | |",
        "|---|---|",
        f"| 状态 state | **{state.label.zh} {state.name}** |",
        f"| 订单 order | {case.order_id} |",
        f"| 金额 amount | {format_yuan(case.amount_fen)} |",
    ]
    if state.kind is StateKind.WAIT and case.due is not None:
        until = case.local_time(case.due)
        who = ", ".join(f"{role.label.zh} {role.value}" for role in state.expects)
        lines.append(f"| 等待 waits for | {who} until {until} ({case.figures.shop.timezone}) |")
        silent = if_silent(flow, case)
        if silent is not None:
            pays = f", pays {format_yuan(silent.pays_fen)}" if silent.pays_fen else ""
            lines.append(f"| 无人处理 if silent | {silent.trigger} → {silent.dest}{pays} |")
        may = [f"`{name}` ({', '.join(roles)})" for name, roles in offered(flow, case).items() if name != CANCEL]
        lines.append(f"| 可做 may be sent | {'; '.join(may)} |")
    if case.assignee is not None:
        lines.append(f"| 处理人 assignee | {case.assignee} |")
    if case.asked_by:
        lines.append(f"| 待答复 waits for an answer | {', '.join(case.asked_by)} |")
    if case.outcome is not None:
        lines.append(f"| 结果 outcome | **{case.outcome}** |")
    if case.links:
        lines.append(f"| 关联 links | {', '.join(_link(one, namespace) for one in case.links)} |")
    moves = [line for line in case.trail if line.is_move]
    path = " → ".join([flow.initial, *(line.dest or "" for line in moves)])
    lines.append(f"| 路径 path | {path} |")
    refused = sum(not line.accepted for line in case.trail)
    if refused:
        lines.append(f"| 拒绝 refused | {refused} |")
    return "\n".join(lines)


def _link(case_id: str, namespace: str | None) -> str:
    return case_id if namespace is None else f"[{case_id}](/namespaces/{quote(namespace)}/workflows/{quote(case_id)})"
