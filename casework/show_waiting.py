"""What waits, what will happen by itself, and why somebody may not: in words for people, Chinese or English. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from casework.forecast import Step, Unknown
from casework.inbox import Forecast, Inbox, InboxCase
from casework.money import format_yuan
from casework.settings import Language
from casework.show import (
    clock_time,
    flow_label,
    length,
    named,
    role_name,
    silence_of,
    state_label,
    table,
    time_with_distance,
    trigger_in_passing,
    word,
)
from casework.why import ENDED, NOT_NOW, NOT_SAID, NOT_STAFF, Obstacle, Person, Row, Verdict
from state_machines.asides import trigger_named
from state_machines.roles import Label
from state_machines.table import Flow, Guard

_WORDS: Final[Mapping[str, Label]] = {
    "asked": Label("可做", "you may"),
    "waited": Label("已等", "waited"),
    "assignee": Label("处理人", "assignee"),
    "overdue": Label("已逾期", "overdue"),
    "again": Label("下次提醒", "next alarm"),
    "cases": Label("件", "waiting"),
    "shown": Label("仅列出前", "shown: the first"),
    "leaves": Label("24 小时内无人处理则付出", "leaves by silence within 24 h:"),
    "not_you": Label("您不可", "not you"),
    "at": Label("时间", "at"),
    "what": Label("将发生", "happens by itself"),
    "pays": Label("付款", "pays"),
    "depends": Label("取决于", "unknown"),
    "follows": Label("此后取决于", "unknown after it"),
    "nothing_happens": Label("在此之前不会自动发生任何事。", "Nothing happens by itself until then."),
    "certain": Label("确定会发起付款", "sent for payment for certain"),
    "perhaps": Label("视外部情况另付", "may leave besides"),
    "quiet": Label("期内无事", "nothing in that time"),
    "at_work": Label("系统处理中或只在观察,无法预知", "at work or only watching, unknown"),
    "until": Label("至", "until"),
    "may": Label("现在可以", "may now"),
    "may_tell": Label("现在可以告知", "may tell it now"),
    "may_not": Label("现在不可以", "may not now"),
    "depends_yes": Label("现在可否,要到提交时才知道", "may perhaps: it is known only when it is sent"),
    "nobody": Label("未说明何人", "nobody was named"),
    "kept": Label("作为事实记下,待可用时使用", "it would be kept as a fact until a state can use it"),
    "rule": Label("规则", "rule"),
    "row": Label("规则行", "row"),
    "unless": Label("条件", "condition"),
    "limit": Label("权限", "limit"),
    "amount": Label("金额", "amount"),
    "instead": Label("不走", "not"),
    "give": Label("须同时提供", "to be given with it"),
    "looked_up": Label("提交时才核对", "looked up only when it is sent"),
    "shop": Label("提交时还要读写店铺数据,仍可能被拒", "the shop is read then, and may still refuse"),
    "possible_in": Label("可用于状态", "possible in"),
    "could": Label("现在可以做的人", "could now"),
    "could_tell": Label("现在可以告知的人", "could tell it now"),
    "nobody_could": Label("无人", "nobody who is present"),
}
_RULES: Final[Mapping[str, Label]] = {
    "role": Label("角色不符", "the role"),
    "four_eyes": Label("四眼原则", "four eyes"),
    "guard": Label("条件不满足", "a condition"),
    "not_possible": Label("此状态不可用", "not in this state"),
    NOT_STAFF: Label("人员名单", "the staff list"),
    ENDED: Label("工单已结束", "the case has ended"),
    NOT_SAID: Label("未说明何人", "nobody was named"),
    NOT_NOW: Label("此时不可", "not at this time"),
}
_UNKNOWN: Final[Mapping[Unknown, Label]] = {
    Unknown.WATCHES: Label("包裹动态", "what the parcel does"),
    Unknown.READS: Label("届时店铺数据", "what the shop says then"),
    Unknown.KEPT: Label("已记下的事实", "a fact that is kept"),
    Unknown.WORKS: Label("系统处理结果", "how the work ends"),
}


def _word(name: str, language: Language) -> str:
    return _WORDS[name].in_language(language)


# --- the inbox ---


def inbox_text(inbox: Inbox, *, language: Language, zone: ZoneInfo, now: datetime) -> str:
    """The cases that wait: which, where, what is asked, how much, since when and until when, what silence does.

    At the foot: how many, how many of those shown are overdue, and what leaves by silence.
    """
    if not inbox.cases:
        return word("nothing_waits", language)
    assigned = any(case.assignee for case in inbox.cases)
    columns = [
        word("case", language),
        word("state", language),
        _word("asked", language),
        word("amount", language),
        _word("waited", language),
        word("due", language),
        word("if_silent", language),
        *([_word("assignee", language)] if assigned else []),
    ]
    rows = [columns]
    rows.extend(
        [
            case.case_id,
            state_label(case.flow, case.state, language),
            _asked(case, language),
            format_yuan(case.amount_fen),
            length(max(now - case.waiting_since, timedelta(0)), language),
            _due(case, language, zone, now),
            silence_of(case.if_silent, case.flow, language) or "",
            *([case.assignee or ""] if assigned else []),
        ]
        for case in inbox.cases
    )
    return f"{table(rows)}\n{_foot(inbox, language, zone, now)}"


def _asked(case: InboxCase, language: Language) -> str:
    if case.not_you is not None:
        return f"— ({_word('not_you', language)}: {case.not_you})"
    return ", ".join(trigger_in_passing(case.flow, one.trigger, language) for one in case.asked)


def _due(case: InboxCase, language: Language, zone: ZoneInfo, now: datetime) -> str:
    when = time_with_distance(case.due, now, zone, language)
    if not case.overdue:
        return when
    # the clock has fired already: what comes next is only another alarm
    again = f"{_word('again', language)} " if case.due > now else ""
    return f"! {_word('overdue', language)} · {again}{when}"


def _foot(inbox: Inbox, language: Language, zone: ZoneInfo, now: datetime) -> str:
    parts = [f"{inbox.total} {_word('cases', language)}"]
    if len(inbox.cases) < inbox.total:
        parts.append(f"{_word('shown', language)} {len(inbox.cases)} (--limit)")
    overdue = sum(case.overdue for case in inbox.cases)
    if overdue:
        parts.append(f"{overdue} {_word('overdue', language)}")
    until = clock_time(inbox.leaves_until, now, zone)
    money = format_yuan(inbox.leaves_fen)
    if inbox.may_leave_fen:
        money += f", {_word('perhaps', language)} {format_yuan(inbox.may_leave_fen)}"
    parts.append(f"{_word('leaves', language)} {money} ({_word('until', language)} {until})")
    return " · ".join(parts)


# --- the forecast ---


def forecast_text(forecast: Forecast, *, language: Language, zone: ZoneInfo, now: datetime) -> str:
    """What happens by itself, in the order in which it does; below it the money, and what nobody knows."""
    steps = sorted(
        ((step.at, course.case_id, course, step) for course in forecast.courses for step in course.steps),
        key=lambda one: one[:2],
    )
    lines: list[str] = []
    if steps:
        rows = [
            [
                _word("at", language),
                word("case", language),
                _word("what", language),
                _word("pays", language),
                _word("depends", language),
                _word("follows", language),
            ]
        ]
        rows.extend(
            [
                time_with_distance(step.at, now, zone, language),
                course.case_id,
                _step(course.flow, step, language),
                format_yuan(step.pays_fen) if step.pays_fen else "",
                _reasons(step.unknown, language),
                _reasons(course.then_unknown if step is course.steps[-1] else (), language),
            ]
            for _, _, course, step in steps
        )
        lines.append(table(rows))
    else:
        lines.append(_word("nothing_happens", language))
    until = time_with_distance(forecast.until, now, zone, language)
    money = f"{_word('certain', language)} {format_yuan(forecast.leaves_fen)}"
    if forecast.may_leave_fen:
        money += f", {_word('perhaps', language)} {format_yuan(forecast.may_leave_fen)}"
    quiet = sum(not course.steps for course in forecast.courses)
    lines.append(f"{_word('until', language)} {until}: {money}")
    if quiet:
        lines.append(f"{_word('quiet', language)}: {quiet}")
    if forecast.at_work:
        lines.append(f"{_word('at_work', language)}: {len(forecast.at_work)}")
    return "\n".join(lines)


def _step(flow_name: str, step: Step, language: Language) -> str:
    return f"{trigger_in_passing(flow_name, step.trigger, language)} → {state_label(flow_name, step.dest, language)}"


def _reasons(unknown: Iterable[Unknown], language: Language) -> str:
    return ", ".join(_UNKNOWN[one].in_language(language) for one in dict.fromkeys(unknown))


# --- why ---


def why_text(verdict: Verdict, *, flow: Flow[Any], language: Language) -> str:
    """Whether they may; what stands in the way, by row, condition, limit and rule; what is not known; who could."""
    known = trigger_named(flow, verdict.trigger)
    trigger = named(known.label, known.name, language) if known is not None else verdict.trigger
    where = f"{flow_label(flow.name, language)} {verdict.case_id} · {state_label(flow.name, verdict.state, language)}"
    yes = "may_tell" if verdict.kept else "may"
    answer = _word({True: yes, False: "may_not", None: "depends_yes"}[verdict.may], language)
    if verdict.by is None:
        answer = _word("nobody", language)
    who = f"{verdict.by} " if verdict.by else ""
    lines = [f"{where} · {format_yuan(verdict.amount_fen)}", f"{who}{answer}: {trigger}"]
    if verdict.kept:
        lines.append(f"  {_word('kept', language)}")
    if verdict.row is not None:
        role = f", {role_name(verdict.role, language)}" if verdict.role else ""
        lines.append(f"  {_word('row', language)}: {_row(flow, verdict.row, language)}{role}")
    if verdict.obstacle is not None and verdict.by is not None and not verdict.kept:
        lines.extend(_obstacle(flow, verdict, verdict.obstacle, language))
    if verdict.possible_in:
        states = ", ".join(state_label(flow.name, state, language) for state in verdict.possible_in)
        lines.append(f"  {_word('possible_in', language)}: {states}")
    if verdict.to_give:
        lines.append(f"  {_word('give', language)}: {', '.join(verdict.to_give)}")
    if verdict.unknown:
        lines.append(f"  {_word('looked_up', language)}: {', '.join(_guards(flow, verdict.unknown, language))}")
    if verdict.looks_up and verdict.may is not False:
        lines.append(f"  {_word('shop', language)}")
    lines.append(f"  {_word('could_tell' if verdict.kept else 'could', language)}: {_people(flow, verdict, language)}")
    return "\n".join(lines)


def _obstacle(flow: Flow[Any], verdict: Verdict, obstacle: Obstacle, language: Language) -> list[str]:
    lines: list[str] = []
    rule = _RULES.get(obstacle.code)
    name = rule.in_language(language) if rule else obstacle.code
    if verdict.row is not None:
        # what stands in the way of a row that comes first
        head = f"{_word('instead', language)} {_row(flow, obstacle.row, language) if obstacle.row else ''}"
        lines.append(f"  {head.rstrip()}: {obstacle.why}")
    else:
        lines.append(f"  {_word('rule', language)} ({name}): {obstacle.why}")
        if obstacle.row is not None:
            lines.append(f"  {_word('row', language)}: {_row(flow, obstacle.row, language)}")
    if obstacle.guard is not None:
        text = ", ".join(_guards(flow, [obstacle.guard], language))
        if obstacle.limit_fen is not None:
            text += (
                f" ({_word('amount', language)} {format_yuan(verdict.amount_fen)}, "
                f"{_word('limit', language)} {format_yuan(obstacle.limit_fen)})"
            )
        lines.append(f"  {_word('unless', language)}: {text}")
    return lines


def _row(flow: Flow[Any], row: Row, language: Language) -> str:
    conditions = _guards(flow, row.only_if, language)
    return f"{state_label(flow.name, row.source, language)} → {state_label(flow.name, row.dest, language)}" + (
        f" ({', '.join(conditions)})" if conditions else ""
    )


def _guards(flow: Flow[Any], names: Sequence[str], language: Language) -> list[str]:
    known: dict[str, Guard[Any]] = {guard.name: guard for row in flow.moves for guard in row.only_if}
    return [known[name].label.in_language(language) if name in known else name for name in names]


def _people(flow: Flow[Any], verdict: Verdict, language: Language) -> str:
    if not verdict.could:
        return _word("nobody_could", language)
    several = len({person.dest for person in verdict.could}) > 1

    def told(person: Person) -> str:
        dest = f"→ {state_label(flow.name, person.dest, language)}" if several and person.dest is not None else ""
        details = " ".join(part for part in (role_name(person.role, language) if person.role else "", dest) if part)
        return f"{person.staff_id} ({details})" if details else person.staff_id

    return ", ".join(told(person) for person in verdict.could)
