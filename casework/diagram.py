"""A flow as people read it: Mermaid text and tables (its picture is `casework.svg`), all from the flow's table.

Nothing here depends on the time and no file is touched, so a case may answer with its Mermaid text while it runs; only
the table of waits reads the shipped policy, for its defaults.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from casework.case import Case, CaseFigures, CaseView
from casework.messages import fields_of
from state_machines.asides import ASIDES
from state_machines.roles import Label
from state_machines.table import Flow, Move, State, StateKind, TriggerKind, Who

BUNDLED_FROM = 4
"""What can happen from this many states is told once, in words: as lines it would hide everything else."""

WORDS = {
    "otherwise": Label("其他情况", "otherwise"),
    "from": Label("来自", "from"),
    "waits": Label("等待", "waits for"),
    "clock": Label("到期", "clock"),
}


@dataclass(frozen=True, slots=True)
class Arrow:
    """All the rows that lead from one state to another: one line of a picture.

    `steps` are the numbers, counted from 1, of a case's accepted moves that went this way.
    """

    source: str
    dest: str
    rows: tuple[Move[Any], ...]
    steps: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Bundle:
    """One move that can be made from many states, on the same terms."""

    row: Move[Any]
    sources: tuple[str, ...]


def arrows_of(flow: Flow[Any], case: Case[Any] | None = None) -> tuple[list[Arrow], list[Bundle]]:
    """The flow's moves as lines of a picture, in the table's order, and those that are told in words instead.

    A bundled move that the case really made is a line all the same.
    """
    steps = steps_of(case)
    alike: dict[tuple[Any, ...], list[Move[Any]]] = {}
    for row in flow.moves:
        alike.setdefault((row.trigger, row.dest, row.who, row.only_if), []).append(row)
    bundled = [rows for rows in alike.values() if len(rows) >= BUNDLED_FROM]
    apart = {id(row) for rows in bundled for row in rows if (row.source, row.dest, row.trigger) not in steps}

    lines: dict[tuple[str, str], list[Move[Any]]] = {}
    for row in flow.moves:
        if id(row) not in apart:
            lines.setdefault((row.source, row.dest), []).append(row)
    arrows = [
        Arrow(source, dest, tuple(rows), tuple(sorted(n for row in rows for n in steps.get(_key(row), ()))))
        for (source, dest), rows in lines.items()
    ]
    return arrows, [Bundle(rows[0], tuple(row.source for row in rows)) for rows in bundled]


def steps_of(case: Case[Any] | None) -> dict[tuple[str, str, str], list[int]]:
    """The case's accepted moves: (source, dest, trigger) → their numbers, counted from 1."""
    steps: dict[tuple[str, str, str], list[int]] = {}
    number = 0
    for line in case.trail if case else ():
        if line.accepted and line.source and line.dest:
            number += 1
            steps.setdefault((line.source, line.dest, line.trigger), []).append(number)
    return steps


def states_passed(flow: Flow[Any], case: Case[Any] | None) -> set[str]:
    """The states that the case has been in, its present one included."""
    if case is None:
        return set()
    return {flow.initial, case.state, *(name for source, dest, _ in steps_of(case) for name in (source, dest))}


def case_of(view: CaseView) -> Case[CaseFigures]:
    """As much of a case as its view says of it."""
    return Case[CaseFigures](
        case_id=view.case_id,
        run_id="",
        flow=view.flow,
        order_id=view.order_id,
        state=view.state,
        opened_by=view.opened_by,
        opened_at=view.opened_at,
        version=view.version,
        outcome=view.outcome,
        amount_fen=view.amount_fen,
        trail=view.trail,
    )


def letter_of(number: int) -> str:
    """The letter that stands for a bundle in pictures, counted from 0: A to Z, then AA, AB."""
    before, letter = divmod(number, 26)
    return (letter_of(before - 1) if before else "") + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[letter]


def condition_of(flow: Flow[Any], row: Move[Any], language: str) -> str:
    """The row's *only if* in words; "otherwise" where rows before it take the other cases of the same people."""
    if row.only_if:
        return _join((guard.label for guard in row.only_if), language)
    rivals = itertools.takewhile(lambda one: one is not row, flow.rows(row.source, row.trigger))
    taken = any(not set(one.who).isdisjoint(row.who) for one in rivals)
    return WORDS["otherwise"].in_language(language) if taken else ""


def who_of(row: Move[Any], language: str) -> str:
    """Who may make the move, in words."""
    return _people(row.who, language)


# --- Mermaid ---


def mermaid(flow: Flow[Any], *, language: str = "en", case: Case[Any] | None = None) -> str:
    """The flow as a Mermaid state diagram, as GitHub and the Mermaid live editor draw it.

    Args:
        flow: the flow.
        language: `zh` or `en`; identifiers stand beside the labels in both.
        case: marks the path that this case took (each move with its number) and the state it is in.

    """
    arrows, bundles = arrows_of(flow, case)
    title = flow.label.in_language(language)
    if case is not None:
        title += f" · {case.case_id}"
    lines = ["---", f'title: "{_plain(title)}"', "---", "stateDiagram-v2"]
    lines.extend(
        f'    state "{_plain(state.label.in_language(language))}<br/>{state.name}" as {state.name}'
        for state in flow.states.values()
    )
    lines.append(f"    [*] --> {flow.initial}")
    for arrow in arrows:
        label = "<br/>".join(_plain(_in_short(flow, row, language)) for row in arrow.rows)
        if arrow.steps:
            label = f"▶ {', '.join(map(str, arrow.steps))}<br/>{label}"
        lines.append(f"    {arrow.source} --> {arrow.dest} : {label}")
    lines.extend(f"    {name} --> [*]" for name in flow.states if flow.is_final(name))
    by_dest: dict[str, list[Bundle]] = {}
    for bundle in bundles:
        by_dest.setdefault(bundle.row.dest, []).append(bundle)
    for dest, together in by_dest.items():
        lines.append(f"    note right of {dest}")
        for bundle in together:
            came_from = WORDS["from"].in_language(language)
            lines.append(f"        {_plain(_in_short(flow, bundle.row, language))}")
            lines.append(f"        {came_from} {', '.join(bundle.sources)}")
        lines.append("    end note")
    lines += [
        "    classDef work fill:#eef2f7,stroke:#64748b,color:#0f172a",
        "    classDef wait fill:#fef3c7,stroke:#b45309,color:#451a03",
        "    classDef end_ fill:#dcfce7,stroke:#15803d,color:#052e16",
        "    classDef passed stroke:#1d4ed8,stroke-width:3px",
        "    classDef here fill:#1d4ed8,stroke:#1e3a8a,color:#ffffff,stroke-width:4px",
    ]
    for kind, css in ((StateKind.WORK, "work"), (StateKind.WAIT, "wait"), (StateKind.END, "end_")):
        named = [state.name for state in flow.states.values() if state.kind is kind]
        if named:
            lines.append(f"    class {','.join(named)} {css}")
    if case is not None:
        passed = states_passed(flow, case) - {case.state}
        lines.extend(f"    class {name} passed" for name in flow.states if name in passed)
        lines.append(f"    class {case.state} here")
    return "\n".join(lines) + "\n"


def _in_short(flow: Flow[Any], row: Move[Any], language: str) -> str:
    """The row in a few words: trigger, who, and under which condition."""
    trigger = flow.triggers[row.trigger].label.in_language(language)
    name = row.trigger if language == "en" else f"{trigger} {row.trigger}"
    condition = condition_of(flow, row, language)
    return f"{name} · {who_of(row, language)}" + (f" [{condition}]" if condition else "")


def _plain(text: str) -> str:
    """The text without the characters that Mermaid reads as its own."""
    return text.translate(str.maketrans({":": "\u2236", ";": ",", '"': "'", "#": "", "{": "(", "}": ")"}))


# --- the table ---


def moves_markdown(flow: Flow[Any], language: str = "en") -> str:
    """The moves: trigger, from, to, who, only if. Rows that differ only in their source stand on one line."""
    return markdown_table(
        _HEADINGS[language][0],
        (
            (
                _named(rows[0].trigger, flow.triggers[rows[0].trigger].label, language),
                ", ".join(_named(row.source, flow.states[row.source].label, language) for row in rows),
                _named(rows[0].dest, flow.states[rows[0].dest].label, language)
                + (" ●" if flow.is_final(rows[0].dest) else ""),
                ", ".join(_named(who, who.label, language) for who in rows[0].who),
                condition_of(flow, rows[0], language),
            )
            for rows in _alike(flow)
        ),
    )


def _alike(flow: Flow[Any]) -> list[list[Move[Any]]]:
    """The moves, those that differ only in their source together."""
    together: dict[tuple[Any, ...], list[Move[Any]]] = {}
    for row in flow.moves:
        key = (row.trigger, row.dest, row.who, row.only_if)
        # a row without a condition is read against the rows before it, so it keeps its own line
        together.setdefault(key if row.only_if else (*key, condition_of(flow, row, "en")), []).append(row)
    return list(together.values())


def moves_from(flow: Flow[Any], states: Sequence[str]) -> str:
    """What may happen in these states of a flow, as a short table in labels alone, in English.

    What one trigger does from one state is one line.

    Raises:
        KeyError: the flow has no such state.

    """
    together: dict[tuple[str, str, str], list[Move[Any]]] = {}
    for name in states:
        for row in flow.rows(flow.states[name].name):
            together.setdefault((name, row.trigger, _people(row.who, "en")), []).append(row)
    lines = [
        (
            flow.states[name].label.en,
            flow.triggers[trigger].label.en,
            who,
            "; ".join(_to_in_short(flow, row) for row in rows),
        )
        for (name, trigger, who), rows in together.items()
    ]
    return markdown_table(("in", "what happens", "by", "leads to"), lines)


def _to_in_short(flow: Flow[Any], row: Move[Any]) -> str:
    end = " ●" if flow.is_final(row.dest) else ""
    condition = condition_of(flow, row, "en")
    dest = flow.states[row.dest].label.en + end
    return f"{dest} *({condition})*" if condition else dest


def waits_markdown(flow: Flow[Any], language: str = "en") -> str:
    """The waits: state, who is asked, the policy key of the deadline with its default and clock, what fires then.

    A state without a deadline only polls, as often as its figure says.
    """
    # reads the shipped policy file, which only commands may
    from casework.policy import PolicyRow, describe, load_policy

    by_name = {row.key.rpartition("_")[0]: row for row in describe(load_policy(None)) if row.clock}

    def figure(name: str | None) -> PolicyRow:
        # a figure whose name Python keeps for itself bears a low line at its end
        key = f"{flow.name.replace('-', '_')}.{name.rstrip('_')}" if name else "shop.alarm_every"
        return by_name[key]

    rows: list[tuple[str, ...]] = []
    for state in flow.states.values():
        if state.kind is not StateKind.WAIT:
            continue
        named, people = _named(state.name, state.label, language), _people(state.expects, language)
        deadline = state.deadline
        if deadline is None:
            looks = figure(state.watch)
            every = _LOOKS.in_language(language).format(_counted(looks.default, looks.unit))
            rows.append((named, people, f"`{looks.key}`", every, str(looks.clock), ""))
            continue
        wait = figure(deadline.wait)
        terms = [_counted(wait.default, wait.unit)]
        if state.platform_bound:
            terms.append(_PLATFORM.in_language(language))
        if deadline.reminders is not None:
            listed = figure(deadline.reminders)
            days = cast("tuple[int, ...]", listed.default)
            terms.append(_REMINDED.in_language(language).format(", ".join(map(str, days)), listed.key))
        if deadline.reminds_buyer is not None:
            terms.append(_REMINDS_BUYER.in_language(language))
        then = _named(deadline.trigger, flow.triggers[deadline.trigger].label, language)
        rows.append((named, people, f"`{wait.key}`", "".join(terms), str(wait.clock), then))
    watched = [state for state in flow.states.values() if state.watch is not None]
    below = ""
    if watched:
        looks = figure(watched[0].watch)
        below = "\n" + _WATCHES.in_language(language).format(_counted(looks.default, looks.unit), looks.key) + "\n"
    return markdown_table(_HEADINGS[language][1], rows) + below


def triggers_markdown(flow: Flow[Any]) -> str:
    """The triggers: kind, what people send beside the common fields, and whether four eyes are wanted."""
    return markdown_table(
        ("trigger", "kind", "fields", "four eyes"),
        (
            (
                f"`{trigger.name}`",
                _KINDS[trigger.kind],
                "; ".join(f"`{name}`: {what}" for name, what in fields_of(trigger.message).items())
                if trigger in flow.signals
                else "",
                "yes" if trigger.four_eyes else "",
            )
            for trigger in flow.triggers.values()
        ),
    )


def asides_markdown() -> str:
    """Comments and other side messages: their labels, and what people send besides the common fields."""
    return markdown_table(
        ("signal", "中文", "English", "fields"),
        (
            (
                f"`{one.name}`",
                one.label.zh,
                one.label.en,
                "; ".join(f"`{name}`: {what}" for name, what in fields_of(one.message).items()),
            )
            for one in ASIDES.values()
        ),
    )


_HEADINGS: dict[str, tuple[tuple[str, ...], ...]] = {
    "en": (
        ("trigger", "from", "to", "who", "only if"),
        ("state", "waits for", "policy key", "default", "clock", "then"),
    ),
    "zh": (
        ("触发", "从", "到", "谁", "条件"),
        ("状态", "等待", "政策项", "默认值", "计时", "到期触发"),
    ),
}
_LOOKS = Label("无期限,每 {} 查看一次", "no deadline: it looks every {}")
_WATCHES = Label(
    "每次等待期间,工单每 {} 查看一次外部情况(`{}`)。",
    "In each of its waits that watch, the case polls the courier and the shop every {} (`{}`): that may move it.",
)
_REMINDED = Label(",第 {} 天提醒(`{}`)", ", reminders on day {} (`{}`)")
_REMINDS_BUYER = Label(",同时提醒买家", ", the buyer is reminded too")
_PLATFORM = Label("(平台期限更早则从之)", ", or the platform's deadline if earlier")
_KINDS = {
    TriggerKind.DECISION: "decision",
    TriggerKind.FACT: "fact",
    TriggerKind.OUTCOME: "outcome of the work",
    TriggerKind.CLOCK: "clock",
    TriggerKind.ASIDE: "aside",
}


def people_of(state: State, language: str) -> str:
    """Who is asked to act in the state, in words."""
    return _people(state.expects, language)


def _people(people: Sequence[Who], language: str) -> str:
    return _join((who.label for who in people), language)


def _join(labels: Iterable[Label], language: str) -> str:
    between = "、" if language == "zh" else ", "
    return between.join(label.in_language(language) for label in labels)


def _counted(number: object, unit: str) -> str:
    return f"{number} {unit.removesuffix('s') if number == 1 else unit}"


def _named(name: str, label: Label, language: str) -> str:
    """An identifier for a table, with its Chinese label beside it where Chinese is read."""
    return f"{label.zh} `{name}`" if language == "zh" else f"`{name}`"


def _key(row: Move[Any]) -> tuple[str, str, str]:
    return row.source, row.dest, row.trigger


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The rows as a Markdown table under their headings."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
