"""How a case is put into words for people, in Chinese or English; identifiers stay visible. Pure.

Times are shown in the shop's zone with the distance from now (`21:40, in 2 h 10 min`), money in yuan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from rich.cells import cell_len

from casework.case import CaseView, IfSilent, TrailLine, WaitingFor
from casework.money import format_yuan
from casework.names import ANSWER, ASK_OPENER
from casework.patrol import Patrolled
from casework.settings import Language
from casework.shop.outbox import Letter
from casework.templates import CALLS_TO_ACT
from state_machines.asides import ASIDES
from state_machines.common import CANCEL
from state_machines.flows import FLOWS
from state_machines.roles import Automatic, Label, Role
from state_machines.table import Flow

WIDTH: Final = 100
"""Columns that short lines of a trail are packed into."""
_NOT_LISTED: Final = (*CALLS_TO_ACT, "question", "answer", "reassigned")
"""Templates of tasks that only call somebody to a waiting case, or repeat what stands in its trail."""
SHORTHANDS: Final = ("approve", "reject")
"""Triggers that are commands of their own."""

_BROKEN_OFF: Final[Mapping[str, Label]] = {
    "superseded": Label("中断后重新开立", "broken off and opened again"),
    "terminated": Label("被强制终止", "broken off: terminated"),
    "timed_out": Label("超时中断", "broken off: timed out"),
    "failed": Label("运行失败中断", "broken off: failed"),
    "canceled": Label("被取消中断", "broken off: canceled"),
    "lost": Label("记录丢失", "broken off: lost"),
}
"""The outcomes of runs that never ended by themselves."""

_WORDS: Final[Mapping[str, Label]] = {
    "until": Label("处理至", "until"),
    "then": Label("逾期则", "then"),
    "pays": Label("付款", "pays"),
    "opened": Label("开立", "opened"),
    "task": Label("任务", "task"),
    "buyer": Label("致买家", "to the buyer"),
    "do": Label("可做:", "do:"),
    "also": Label("另可:", "also:"),
    "see": Label("查看:", "see:"),
    "kept": Label("已记下、待用的事实:", "kept until a state can use it:"),
    "links": Label("关联工单:", "linked cases:"),
    "opener": Label("由其开立", "opened this one"),
    "ended": Label("已结束:", "ended:"),
    "order": Label("订单", "order"),
    "working": Label("系统处理中", "the system is at work"),
    "case": Label("工单", "case"),
    "state": Label("状态", "state"),
    "amount": Label("金额", "amount"),
    "due": Label("截止", "due"),
    "waits_for": Label("等待", "waits for"),
    "if_silent": Label("无人处理则", "if silent"),
    "opened_by": Label("开单人", "opened by"),
    "opened_at": Label("开立时间", "opened"),
    "outcome": Label("结果", "outcome"),
    "staff": Label("工号", "id"),
    "name": Label("姓名", "name"),
    "roles": Label("角色", "roles"),
    "limit": Label("权限", "limit"),
    "present": Label("在岗", "present"),
    "deputy": Label("代理人", "deputy"),
    "absent": Label("缺勤", "absent"),
    "question": Label("待答复:", "asked:"),
    "yes": Label("是", "yes"),
    "no": Label("否", "no"),
    "nothing_waits": Label("没有待处理的工单。", "No case waits."),
    "no_cases": Label("没有符合条件的工单。", "No case matches."),
    "closed": Label("已结束", "closed"),
    "delivered_now": Label("本次送达", "delivered now"),
    "failed_now": Label("本次失败", "failed now"),
    "waiting": Label("待送", "still to deliver"),
    "refused_for_good": Label("对方拒收", "refused for good"),
    "attempts": Label("次尝试", "attempts"),
    "next_try": Label("下次", "next"),
    "no_trouble": Label("没有异常工单。", "No case is in trouble."),
    "what_is_wrong": Label("异常", "what is wrong"),
    "exactly": Label("详情", "exactly"),
    "what_helps": Label("处理", "what helps"),
    "mended": Label("已修复:", "mended:"),
    "not_by_itself": Label("不再自动重试", "not tried again by itself"),
    "looked_at": Label("查看的在途包裹", "open shipments looked at"),
    "cases_opened": Label("新开工单", "cases opened"),
    "not_all_listed": Label("其余见 casework cases", "casework cases lists the rest"),
    "batch_opened": Label("已开立", "opened"),
    "batch_open_already": Label("已有在办工单", "open already"),
    "batch_remembered": Label("此前已开立", "remembered"),
    "batch_refused": Label("被拒", "refused"),
    "batch_would_open": Label("可开立", "would be opened"),
    "batch_not_reached": Label("未处理", "not reached"),
    "batch_rows": Label("行", "rows"),
    "batch_a_second": Label("行/秒", "a second"),
    "batch_left": Label("剩余", "left"),
    "unopenable": Label("无法开单的包裹(单号不是运单号)", "parcels without a case (their number is no waybill)"),
}


def word(name: str, language: Language) -> str:
    """A fixed word or short sentence of the commands."""
    return _WORDS[name].in_language(language)


def named(label: Label, identifier: str, language: Language) -> str:
    """A label with its identifier beside it, where they differ."""
    text = label.in_language(language)
    return text if text == identifier else f"{text} {identifier}"


# --- times ---


def distance(when: datetime, now: datetime, language: Language) -> str:
    """How far a time is from now, in the two largest units: `in 2 h 10 min`, `3 d 4 h ago`."""
    ahead = when >= now
    span = length(abs(when - now), language)
    if language == "zh":
        return f"{span}{'后' if ahead else '前'}"
    return f"in {span}" if ahead else f"{span} ago"


def length(span: timedelta, language: Language) -> str:
    """How long something is, in the two largest units: `3 d 4 h`."""
    day, hour, minute, least = (
        ("天", "小时", "分", "不到 1 分") if language == "zh" else ("d", "h", "min", "less than 1 min")
    )
    minutes = int(span.total_seconds()) // 60
    if minutes == 0:
        return least
    days, hours = minutes // 1440, minutes // 60 % 24
    parts = [(days, day), (hours, hour), (minutes % 60 if days == 0 else 0, minute)]
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def clock_time(when: datetime, now: datetime, zone: ZoneInfo) -> str:
    """A time in the shop's zone; the day is said where it is not today, the year where it is not this one."""
    local, today = when.astimezone(zone), now.astimezone(zone)
    if local.date() == today.date():
        return f"{local:%H:%M}"
    return f"{local:%m-%d %H:%M}" if local.year == today.year else f"{local:%Y-%m-%d %H:%M}"


def time_with_distance(when: datetime, now: datetime, zone: ZoneInfo, language: Language) -> str:
    """As the contract shows times to people: `21:40, in 2 h 10 min`."""
    comma = "," if language == "zh" else ", "
    return f"{clock_time(when, now, zone)}{comma}{distance(when, now, language)}"


# --- cases ---


def flow_of(view: CaseView) -> Flow[Any] | None:
    """The table that the case follows; None for a flow that this version does not know."""
    return FLOWS.get(view.flow)


def expected_roles(view: CaseView) -> tuple[Role, ...]:
    """The roles that are asked to act now; nobody where the case has ended or works by itself."""
    flow = flow_of(view)
    state = flow.states.get(view.state) if flow and not view.final else None
    return state.expects if state else ()


def state_name(view: CaseView, language: Language) -> str:
    """The state's label with its identifier."""
    return state_label(view.flow, view.state, language)


def state_label(flow_name: str, state: str, language: Language) -> str:
    """A state's label with its identifier; the identifier alone where this version does not know it."""
    flow = FLOWS.get(flow_name)
    known = flow.states.get(state) if flow else None
    label = known.label if known else _BROKEN_OFF.get(state)
    return named(label, state, language) if label else state


def is_broken_off(view: CaseView) -> bool:
    """Whether it never ended by itself: it has an outcome, and is where it was."""
    return view.outcome is not None and view.outcome != view.state


def outcome_label(view: CaseView, language: Language) -> str:
    """The outcome's label with its identifier; what Temporal terminated is not what a flow calls so."""
    outcome = view.outcome or view.state
    if is_broken_off(view) and outcome in _BROKEN_OFF:
        return named(_BROKEN_OFF[outcome], outcome, language)
    return state_label(view.flow, outcome, language)


def trigger_in_passing(flow_name: str, trigger: str, language: Language) -> str:
    """A trigger, or an aside, in a list or a trail: its identifier, which is English, in Chinese after its label."""
    flow = FLOWS.get(flow_name)
    known = (flow.triggers.get(trigger) if flow else None) or ASIDES.get(trigger)
    return named(known.label, trigger, language) if known and language == "zh" else trigger


def state_in_passing(flow_name: str, state: str, language: Language) -> str:
    """As `trigger_in_passing`."""
    return state_label(flow_name, state, language) if language == "zh" else state


def who_in_passing(who: str, language: Language) -> str:
    """As `trigger_in_passing`; the system and the clock by their names, and a person by their id."""
    automatic = next((one for one in Automatic if one == who), None)
    if automatic is not None:
        return automatic.label.in_language(language)
    return role_name(who, language) if language == "zh" else who


def flow_label(flow_name: str, language: Language) -> str:
    """A flow's name for people."""
    flow = FLOWS.get(flow_name)
    return flow.label.in_language(language) if flow else flow_name


def role_name(role: str, language: Language) -> str:
    """A role's label with its identifier."""
    known = [one for one in (*Role, *Automatic) if one.value == role]
    return named(known[0].label, role, language) if known else role


def silence(view: CaseView, language: Language) -> str | None:
    """What the clock will do if nobody acts, and the money that leaves by it."""
    return silence_of(view.if_silent, view.flow, language)


def silence_of(silent: IfSilent | None, flow_name: str, language: Language) -> str | None:
    """As `silence`, of a case that is no view."""
    if silent is None:
        return None
    pays = f" ({word('pays', language)} {format_yuan(silent.pays_fen)})" if silent.pays_fen else ""
    trigger = trigger_in_passing(flow_name, silent.trigger, language)
    return f"{trigger} → {state_in_passing(flow_name, silent.dest, language)}{pays}"


def show_case(
    view: CaseView,
    *,
    language: Language,
    zone: ZoneInfo,
    now: datetime,
    address: str | None = None,
    see: str | None = None,
    posted: Sequence[Letter] = (),
    came_from: str | None = None,
) -> str:
    """A case on a page: its state, what is expected from whom until when, what silence does, the trail.

    `address` is how commands may call the case (default: its id); `see` its page in the Temporal UI; `posted` its open
    staff tasks and what was said to the buyer (`letters_of`); `came_from` which of its linked cases has opened it.
    """
    address = address or view.case_id
    lines = [
        f"{flow_label(view.flow, language)} · {state_name(view, language)} · {format_yuan(view.amount_fen)}",
        f"{view.case_id} · {word('order', language)} {view.order_id}",
        _expectation(view, language, zone, now),
        *_trail(view, zone, now, language),
        *(_letter(one, zone, now, language) for one in posted),
    ]
    asked = question_open(view)
    if asked is not None:
        lines.append(f"{word('question', language)} {asked.by} “{asked.note}”: casework answer {address} …")
    if view.kept:
        kept = ", ".join(trigger_in_passing(view.flow, one, language) for one in view.kept)
        lines.append(f"{word('kept', language)} {kept}")
    if view.links:
        linked = [f"{one} ({word('opener', language)})" if one == came_from else one for one in view.links]
        lines.append(f"{word('links', language)} {', '.join(linked)}")
    lines.extend(_what_to_do(view, address, see, language))
    return "\n".join(lines)


def question_open(view: CaseView) -> TrailLine | None:
    """The newest question to the opener that waits for an answer, in a case that has not ended."""
    said = [line for line in view.trail if line.accepted and line.trigger in (ASK_OPENER, ANSWER)]
    return said[-1] if said and said[-1].trigger == ASK_OPENER and not view.final else None


def _expectation(view: CaseView, language: Language, zone: ZoneInfo, now: datetime) -> str:
    if view.final:
        return f"{word('ended', language)} {outcome_label(view, language)}"
    roles = expected_roles(view)
    if not roles or view.due is None:
        return word("working", language)
    who = ", ".join(role_name(role, language) for role in roles)
    until = f"{clock_time(view.due, now, zone)} ({distance(view.due, now, language)})"
    text = f"{who} {word('until', language)} {until}"
    silent = silence(view, language)
    return text + (f", {word('then', language)} {silent}" if silent else "")


def letters_of(view: CaseView, posted: Iterable[Letter]) -> list[Letter]:
    """What stands in the outbox for this run of the case: open tasks of the staff, and all that went to the buyer.

    That the case waits for somebody is no task of its own: its view says for whom, as of now.
    """
    of_this_run = [one for one in posted if one.at >= view.opened_at]
    return [
        one
        for one in of_this_run
        if one.to == "buyer" or (one.cancelled_at is None and one.template not in _NOT_LISTED)
    ]


def _letter(one: Letter, zone: ZoneInfo, now: datetime, language: Language) -> str:
    recipient = who_in_passing(str(one.recipient), language)
    who = word("buyer", language) if one.to == "buyer" else f"{word('task', language)} ({recipient})"
    text, when = Label(one.text_zh, one.text_en).in_language(language), clock_time(one.at, now, zone)
    return f"{who},{when}:{text}" if language == "zh" else f"{who}, {when}: {text}"


def _trail(view: CaseView, zone: ZoneInfo, now: datetime, language: Language) -> list[str]:
    opener = who_in_passing(view.opened_by, language)
    opened = f"{clock_time(view.opened_at, now, zone)} {opener} {word('opened', language)}"
    if view.note:
        opened += f" “{view.note}”"
    lines = [opened]
    joinable = not view.note
    for entry in view.trail:
        text = f"{clock_time(entry.at, now, zone)} {_trail_entry(view.flow, entry, language)}"
        short = entry.accepted and not entry.note and not _remark(entry)
        if joinable and short and cell_len(lines[-1]) + 3 + cell_len(text) <= WIDTH:
            lines[-1] += f"   {text}"
        else:
            lines.append(text)
        joinable = short
    return [f" {line}" for line in lines]


def _remark(entry: TrailLine) -> str | None:
    """The reason, and of what was only said the references to evidence."""
    if entry.why or entry.is_move or not entry.references:
        return entry.why
    return f"references: {', '.join(one for named in entry.references.values() for one in named)}"


def _trail_entry(flow_name: str, entry: TrailLine, language: Language) -> str:
    said = f"{who_in_passing(entry.by, language)} {trigger_in_passing(flow_name, entry.trigger, language)}"
    if not entry.accepted:
        return f"✗ {said}: {entry.why}"
    more = f" “{entry.note}”" if entry.note else ""
    remark = _remark(entry)
    more += f" ({remark})" if remark else ""
    arrow = f" → {state_in_passing(flow_name, entry.dest, language)}" if entry.dest and entry.is_move else ""
    return f"{said}{arrow}{more}"


def _what_to_do(view: CaseView, address: str, see: str | None, language: Language) -> list[str]:
    asked = expected_roles(view)
    mine = [one for one in view.waiting_for if one.trigger != CANCEL and set(one.roles) & set(asked)]
    others = [one for one in view.waiting_for if one not in mine and one.roles]
    lines: list[str] = []
    do = word("do", language)
    for place, one in enumerate(mine):
        lines.append(f"{do if place == 0 else ' ' * cell_len(do)} {command_for(one, address)}")
    if others:
        names = ", ".join(_who_may(view.flow, one, language) for one in others)
        lines.append(f"{word('also', language)} {names}")
    if see:
        at = f"{word('see', language)} {see}"
        if len(lines) == 1:
            lines[0] += f"    {at}"
        else:
            lines.append(at)
    return lines


def _who_may(flow_name: str, one: WaitingFor, language: Language) -> str:
    roles = ", ".join(who_in_passing(role, language) for role in one.roles)
    return f"{trigger_in_passing(flow_name, one.trigger, language)} ({roles})"


def command_for(one: WaitingFor, address: str) -> str:
    """The command that does it, with a place for every field that must be given."""
    command = (
        f"casework {one.trigger} {address}" if one.trigger in SHORTHANDS else f"casework submit {address} {one.trigger}"
    )
    required = [name for name, what in one.fields.items() if what.endswith(", required")]
    for name in required:
        command += " --note …" if name == "note" else f" --set {name}=…"
    return command


# --- the patrol ---


def patrol_report(patrolled: Patrolled, language: Language) -> str:
    """How many shipments a patrol looked at, and which cases it opened."""
    counts = [("looked_at", patrolled.looked_at), ("cases_opened", patrolled.opened)]
    if patrolled.unopenable:
        counts.append(("unopenable", patrolled.unopenable))
    lines = [", ".join(f"{word(name, language)}: {count}" for name, count in counts)]
    lines += [f"  {case_id}" for case_id in patrolled.cases]
    if patrolled.opened > len(patrolled.cases):
        lines.append(f"  … {word('not_all_listed', language)}")
    return "\n".join(lines)


# --- tables ---


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows in aligned columns, two spaces apart; Chinese characters count for two."""
    kept = [list(row) for row in rows]
    widths = [max(cell_len(cell) for cell in column) for column in zip(*kept, strict=True)]
    lines: list[str] = []
    for row in kept:
        cells = [cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
