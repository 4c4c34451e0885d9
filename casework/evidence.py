"""The evidence of a case: one HTML page, complete in itself, that can be shown in a platform dispute.

It says what happened when, who decided what by which rule, what the buyer was told, where the parcels were, which money
went back, and which photos and documents there are. It holds no name, telephone number or address of the buyer beyond
what couriers wrote into their scans, which are proofs.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.case import CaseView, TrailLine
from casework.diagram import case_of, condition_of, who_of
from casework.fields import in_words
from casework.money import format_yuan
from casework.policy import Policy, describe
from casework.settings import Language
from casework.shop import courier, payments, records
from casework.shop.errors import UnknownOrder
from casework.shop.orders import Order, read_order
from casework.shop.outbox import letters
from casework.shop.records import CaseRecord
from casework.shop.tables import CourierClaimRow, FollowedParcelRow, ReturnRow, ShipmentRow
from casework.show import flow_label, flow_of, is_broken_off, outcome_label, role_name, state_label
from casework.svg import svg
from state_machines.asides import trigger_named
from state_machines.flows import FLOWS
from state_machines.roles import Automatic, Label, Role
from state_machines.table import Flow, Move

Word = Callable[[str], str]
_TEMPLATE: Final = "evidence.html.jinja"

WORDS: Final[Mapping[str, Label]] = {
    "title": Label("工单证据", "Evidence of a case"),
    "case": Label("工单", "case"),
    "order": Label("订单", "order"),
    "flow": Label("流程", "flow"),
    "state": Label("状态", "state"),
    "outcome": Label("结果", "outcome"),
    "still_open": Label("未结", "still open"),
    "amount": Label("金额(元)", "amount (yuan)"),
    "opened": Label("开立", "opened"),
    "opened_by": Label("开单人", "opened by"),
    "policy": Label("政策版本", "policy in force"),
    "made_at": Label("制作时间", "made at"),
    "zone": Label("时区", "time zone"),
    "linked": Label("关联工单", "linked cases"),
    "opener": Label("由其开立", "opened this one"),
    "timeline": Label("经过", "What happened"),
    "when": Label("时间", "when"),
    "what": Label("事项", "what"),
    "details": Label("说明", "details"),
    "decisions": Label("决定与依据", "Who decided what, by which rule"),
    "remarks": Label("补充材料说明", "What was added to it"),
    "who": Label("谁", "who"),
    "from_to": Label("状态变化", "from → to"),
    "rule": Label("依据", "rule"),
    "may": Label("可由", "for"),
    "if": Label("条件", "only if"),
    "always": Label("无条件", "no condition"),
    "old_rule": Label("当时的流程表,现行表中已无此行", "a row of the table of then, which is not in that of today"),
    "note": Label("备注", "note"),
    "messages": Label("告知买家的内容", "What the buyer was told"),
    "handed_over": Label("送出", "handed over"),
    "original": Label("中文原文", "as the buyer read it, in Chinese"),
    "parcels": Label("物流", "Parcels"),
    "waybill": Label("运单", "waybill"),
    "courier": Label("快递", "courier"),
    "shipped": Label("发出", "left"),
    "stopped": Label("已请求拦截", "the courier was asked to stop it"),
    "back": Label("已退回", "came back"),
    "way_back": Label("买家退货", "sent back by the buyer"),
    "followed": Label("查件", "looked for"),
    "scan": Label("物流扫描", "courier's scan"),
    "no_scans": Label("快递没有扫描记录。", "The courier has no scans."),
    "no_parcels": Label("没有包裹。", "There is no parcel."),
    "money": Label("款项", "Money"),
    "paid": Label("买家实付(元)", "the buyer paid (yuan)"),
    "refunded": Label("已退(元)", "went back (yuan)"),
    "line": Label("商品行", "line"),
    "postage": Label("邮费", "postage"),
    "way_back_postage": Label("退货邮费", "postage of the way back"),
    "pieces": Label("件数", "pieces"),
    "source": Label("来源", "by"),
    "by_case": Label("店铺退款", "the shop"),
    "by_hand": Label("人工打款", "the shop, by hand"),
    "by_platform": Label("平台退款", "the platform"),
    "reference": Label("付款凭证号", "reference"),
    "claimed": Label("向快递索赔", "claimed from the courier"),
    "no_money": Label("没有退款。", "No money has gone back."),
    "of_this_case": Label("本工单", "this case"),
    "references": Label("照片、单据与凭证号", "Photos, documents and references"),
    "no_references": Label("没有。", "There are none."),
    "given_by": Label("提供", "given by"),
    "goods": Label("商品", "Goods"),
    "price": Label("单价(元)", "price (yuan)"),
    "confirmed": Label("确认收货", "receipt confirmed"),
    "refusals": Label("被拒绝的操作", "What was tried and refused"),
    "why": Label("原因", "why"),
    "figures": Label("当时的政策", "The policy's figures"),
    "picture": Label("流程图(标出本工单的路径)", "The flow, with the path that this case took"),
    "photos": Label("照片", "photos"),
    "photo": Label("照片", "photo"),
    "appraisal": Label("鉴定", "appraisal"),
    "documents": Label("单据", "documents"),
    "chat_id": Label("聊天记录", "conversation"),
    "platform_case": Label("平台纠纷编号", "the platform's dispute"),
    "courier_ticket": Label("快递工单号", "the courier's ticket"),
    "payment_reference": Label("付款凭证号", "payment reference"),
}
"""The page's own words."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of what happened. `at` is aware."""

    at: datetime
    kind: str
    """`decision`, `remark`, `message`, `parcel`, `money`, `order`, `opened` or `ended`: how it is coloured."""
    what: str
    details: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """A move, with the rule by which it was made. `at` is aware."""

    at: datetime
    who: str
    what: str
    from_to: str
    rules: list[str]
    note: str | None
    why: str | None
    given: list[tuple[str, str]]
    """What else was said with it: what a field is called, and what stands in it."""


@dataclass(frozen=True, slots=True)
class ToldBuyer:
    """What the buyer was told. Times are aware."""

    at: datetime
    delivered_at: datetime | None
    text: str
    original: str | None


@dataclass(frozen=True, slots=True)
class Parcel:
    """A parcel that has to do with the order: `notes` are what happened to it besides its scans, oldest first.

    Times are aware.
    """

    waybill: str
    courier: str
    notes: list[tuple[datetime | None, str]]
    scans: list[courier.Scan]


@dataclass(frozen=True, slots=True)
class MoneyLine:
    """An entry of the ledger, or a claim against a courier. `at` is aware."""

    at: datetime
    line: str
    quantity: str
    amount: str
    source: str
    reference: str
    own: bool


@dataclass(frozen=True, slots=True)
class Refers:
    """A photo, a document or a number that somebody gave. `at` is aware."""

    at: datetime
    by: str
    what: str
    references: list[str]


@dataclass(slots=True)
class Evidence:
    """All that the page shows."""

    view: CaseView
    order: Order | None
    given: list[tuple[str, str]]
    """What it was opened with, as `Decision.given`."""
    decisions: list[Decision]
    remarks: list[Decision]
    """Comments that name photos or documents. What colleagues said among themselves is nobody else's."""
    refusals: list[TrailLine]
    told: list[ToldBuyer]
    parcels: list[Parcel]
    money: list[MoneyLine]
    references: list[Refers]
    links: list[tuple[str, str, str]]
    """Linked cases: id, flow, how they stand."""
    opener: str | None
    figures: list[tuple[str, str]]
    events: list[Event] = field(default_factory=list[Event])


def gather(session: Session, view: CaseView, policy: Policy, *, now: datetime, language: Language) -> Evidence:
    """Everything that the shop and the case say about it. `now` is aware."""
    zone = ZoneInfo(policy.shop.timezone)

    def word(name: str) -> str:
        return WORDS[name].in_language(language)

    try:
        order = read_order(session, view.order_id)
    except UnknownOrder:
        order = None
    evidence = Evidence(
        view=view,
        order=order,
        given=in_words(view.given, language, zone),
        decisions=[_decision(view, line, language, zone) for line in view.trail if line.is_move],
        remarks=[_decision(view, line, language, zone) for line in view.trail if not line.is_move and line.references],
        refusals=[line for line in view.trail if not line.accepted],
        told=[
            ToldBuyer(
                one.at,
                one.delivered_at,
                Label(one.text_zh, one.text_en).in_language(language),
                one.text_zh if language == "en" else None,
            )
            for one in letters(session, case_id=view.case_id)
            if one.to == "buyer" and one.at >= view.opened_at
        ],
        parcels=_parcels(session, view, now, word),
        money=_money(session, view, word),
        references=_references(view, word),
        links=[_link(session, case_id, language) for case_id in view.links],
        opener=records.came_from(session, view.case_id),
        figures=_figures(view, policy),
    )
    evidence.events = _events(evidence, word, language)
    return evidence


def render(evidence: Evidence, *, language: Language, zone: ZoneInfo, now: datetime) -> str:
    """The page, complete in itself: nothing is loaded from anywhere, and every text of people's is escaped.

    `now` is aware.
    """

    def local(when: datetime | None) -> str:
        return f"{when.astimezone(zone):%Y-%m-%d %H:%M:%S}" if when is not None else ""

    def word(name: str) -> str:
        return WORDS[name].in_language(language)

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    view, flow = evidence.view, flow_of(evidence.view)
    return environment.get_template(_TEMPLATE).render(
        evidence=evidence,
        view=view,
        language=language,
        zone=f"{zone} (UTC{now.astimezone(zone):%z})",
        made_at=now,
        local=local,
        yuan=format_yuan,
        word=word,
        flow_label=flow_label(view.flow, language),
        state=state_label(view.flow, view.state, language),
        outcome=outcome_label(view, language) if view.outcome else None,
        picture=_picture(flow, view, language) if flow is not None else None,
    )


def _picture(flow: Flow[Any], view: CaseView, language: Language) -> str | None:
    """The picture as the address of an image: its own styles stay its own."""
    if view.state not in flow.states:
        return None
    return "data:image/svg+xml;base64," + b64encode(svg(flow, language=language, case=case_of(view)).encode()).decode()


# --- decisions ---


def _decision(view: CaseView, line: TrailLine, language: Language, zone: ZoneInfo) -> Decision:
    flow = FLOWS.get(view.flow)
    trigger = (flow.triggers.get(line.trigger) or trigger_named(flow, line.trigger)) if flow else None
    states = [state_label(view.flow, state, language) for state in (line.source, line.dest) if state]
    return Decision(
        at=line.at,
        who=_who(line, language),
        what=f"{trigger.label.in_language(language)} {line.trigger}" if trigger else line.trigger,
        from_to=" → ".join(states),
        rules=_rules(flow, line, language) if flow and line.dest else [],
        note=line.note,
        why=line.why,
        given=in_words(line.given, language, zone),
    )


def _who(line: TrailLine, language: Language) -> str:
    """The staff id with the role in which they acted; the system and the clock by their names."""
    automatic = next((one for one in Automatic if one == line.by), None)
    if automatic is not None:
        return automatic.label.in_language(language)
    return f"{line.by} ({role_name(line.role, language)})" if line.role else line.by


def _rules(flow: Flow[Any], line: TrailLine, language: Language) -> list[str]:
    """The rows of the flow's table that lead this way for whoever took it: for whom they are, and on which condition.

    They are several where the table has more than one way to say yes.
    """
    rows = [row for row in flow.rows(str(line.source), line.trigger) if row.dest == line.dest and _is_theirs(row, line)]
    if not rows:
        return [WORDS["old_rule"].in_language(language)]
    return list(dict.fromkeys(_rule(flow, row, language) for row in rows))


def _is_theirs(row: Move[Any], line: TrailLine) -> bool:
    if line.role is not None:
        return line.role in row.roles
    return line.by in row.who or not any(isinstance(who, Role) for who in row.who) or Automatic.SYSTEM in row.who


def _rule(flow: Flow[Any], row: Move[Any], language: Language) -> str:
    condition = condition_of(flow, row, language)
    may = f"{WORDS['may'].in_language(language)} {who_of(row, language)}"
    only_if = (
        f"{WORDS['if'].in_language(language)}: {condition}" if condition else WORDS["always"].in_language(language)
    )
    return f"{may}; {only_if}"


# --- what the shop knows ---


def _parcels(session: Session, view: CaseView, now: datetime, word: Word) -> list[Parcel]:
    """The order's parcels, the buyer's way back, and what a problem parcel case looked for."""
    notes: dict[str, tuple[str, list[tuple[datetime | None, str]]]] = {}

    def note(waybill: str, company: str, *happened: tuple[datetime | None, str]) -> None:
        known, listed = notes.get(waybill, ("", []))
        listed += [one for one in happened if one not in listed]
        notes[waybill] = (known or company, listed)

    for row in session.scalars(
        select(ShipmentRow).where(ShipmentRow.order_id == view.order_id).order_by(ShipmentRow.id)
    ):
        happened = [(row.shipped_at, "shipped"), (row.intercepted_at, "stopped"), (row.back_at, "back")]
        note(row.waybill, row.company, *((at, word(what)) for at, what in happened if at is not None))
    for way in session.scalars(
        select(ReturnRow).where(ReturnRow.order_id == view.order_id, ReturnRow.waybill.is_not(None))
    ):
        note(str(way.waybill), way.courier or "", (None, f"{word('way_back')} ({way.case_id})"))
    for followed in session.scalars(
        select(FollowedParcelRow)
        .where(FollowedParcelRow.order_id == view.order_id)
        .order_by(FollowedParcelRow.since.nulls_first(), FollowedParcelRow.waybill)
    ):
        note(followed.waybill, followed.courier, (None, f"{word('followed')} ({followed.case_id})"))
    return [
        Parcel(
            waybill,
            company,
            sorted(happened, key=lambda one: (one[0] is None, one[0] or now)),
            list(reversed(courier.shown_scans(session, waybill, now))),
        )
        for waybill, (company, happened) in notes.items()
    ]


def _money(session: Session, view: CaseView, word: Word) -> list[MoneyLine]:
    lines = {0: word("postage"), -1: word("way_back_postage")}
    found = [
        MoneyLine(
            at=entry.at,
            line="" if entry.line is None else lines.get(entry.line, str(entry.line)),
            quantity=str(entry.quantity or ""),
            amount=format_yuan(entry.amount_fen),
            source=word(f"by_{entry.source}"),
            reference=entry.reference or "",
            own=entry.case_id == view.case_id,
        )
        for entry in payments.ledger(session, view.order_id)
    ]
    found += [
        MoneyLine(
            at=claim.at,
            line=claim.waybill,
            quantity="",
            amount=format_yuan(claim.amount_fen),
            source=f"{word('claimed')} ({claim.courier})",
            reference="",
            own=claim.case_id == view.case_id,
        )
        for claim in session.scalars(select(CourierClaimRow).where(CourierClaimRow.order_id == view.order_id))
    ]
    return sorted(found, key=lambda one: one.at)


def _references(view: CaseView, word: Word) -> list[Refers]:
    given = [(view.opened_at, view.opened_by, view.references)]
    given += [(line.at, line.by, line.references) for line in view.trail if line.accepted]
    return [
        Refers(at, by, word(name) if name in WORDS else name, listed)
        for at, by, references in given
        for name, listed in references.items()
    ]


def _link(session: Session, case_id: str, language: Language) -> tuple[str, str, str]:
    runs: Sequence[CaseRecord] = records.find_records(session, case_id=case_id)
    if not runs:
        return case_id, "", ""
    last = runs[0]
    stands = (
        state_label(last.flow, last.outcome, language) if last.outcome else WORDS["still_open"].in_language(language)
    )
    return case_id, flow_label(last.flow, language), stands


def _figures(view: CaseView, policy: Policy) -> list[tuple[str, str]]:
    """The figures of the case's flow, where the version in force when it opened is the one in force now."""
    if view.policy != policy.version:
        return []
    section = f"{view.flow.replace('-', '_')}."
    return [(row.key, f"{row.value} {row.unit}") for row in describe(policy) if row.key.startswith((section, "shop."))]


# --- the timeline ---


def _joined(given: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{name}: {text}" for name, text in given]


def _events(evidence: Evidence, word: Word, language: Language) -> list[Event]:
    """All of it, oldest first."""
    view, order = evidence.view, evidence.order
    given = " · ".join([*_joined(evidence.given), *([view.note] if view.note else [])])
    events = [Event(view.opened_at, "opened", f"{word('opened')}: {view.opened_by}", given)]
    events += [
        Event(
            one.at,
            kind,
            f"{one.who}: {one.what}",
            " · ".join(text for text in (one.from_to, *_joined(one.given), one.note, one.why) if text),
        )
        for kind, lines in (("decision", evidence.decisions), ("remark", evidence.remarks))
        for one in lines
    ]
    events += [Event(one.at, "message", word("messages"), one.text) for one in evidence.told]
    for parcel in evidence.parcels:
        named = f"{word('waybill')} {parcel.waybill}"
        events += [Event(at, "parcel", named, what) for at, what in parcel.notes if at is not None]
        events += [Event(scan.at, "parcel", named, scan.text or scan.status or scan.code) for scan in parcel.scans]
    events += [
        Event(one.at, "money", f"{one.source}: {one.amount}", " ".join(filter(None, (one.line, one.reference))))
        for one in evidence.money
    ]
    if order is not None:
        events += [
            Event(at, "order", word("order"), what)
            for at, what in (
                (order.paid_at, f"{word('paid')} {format_yuan(order.paid_fen)}"),
                (order.confirmed_at, word("confirmed")),
            )
            if at is not None
        ]
    if view.final and view.trail and not is_broken_off(view):  # when that was, its trail does not say
        ended = outcome_label(view, language)
        events.append(Event(max(line.at for line in view.trail), "ended", f"{word('outcome')}: {ended}"))
    return sorted(events, key=lambda one: one.at)
