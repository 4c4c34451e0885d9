"""Everything that is written from the tables: `python -m casework.generate`, or `--check` that nothing is stale.

Pictures go to `diagrams/`, a page for each flow to `docs/flows/`, the Chinese-English glossary to `docs/glossary.md`,
the map of the modules to `docs/map.md`.
In README.md and the other pages of `docs/`, what stands between `<!-- generated: NAME -->` and `<!-- end generated -->`
is replaced. The same tables give the same bytes on every machine.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from casework.code_map import UnmappedModule, code_map
from casework.diagram import (
    asides_markdown,
    markdown_table,
    mermaid,
    moves_from,
    moves_markdown,
    triggers_markdown,
    waits_markdown,
)
from casework.policy import SHIPPED, describe, load_policy
from casework.svg import svg
from casework.templates import BUYER_MESSAGES, ENDINGS
from state_machines.asides import ASIDES
from state_machines.flows import FLOWS
from state_machines.laws.silence import Way, ways_on_which_silence_pays
from state_machines.laws.worlds import WORLDS
from state_machines.roles import Automatic, Label, Role
from state_machines.table import Flow

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "make generate"
_SECTION = re.compile(r"(<!-- generated: (?P<name>[^\n]+?) -->\n).*?(<!-- end generated -->)", re.DOTALL)
_FIGURE = re.compile(r"(?P<key>\w+) = .+? # (?P<says>.+?)(; (open|always))?$")
MOST_LISTED = 200
"""So many ways on which a deadline pays without a decision are listed one by one."""
_MADE_OF_CODE = "<!-- Made by `make generate` from the modules' docstrings: change those. -->\n\n"
_MADE = "<!-- Made by `make generate` from the tables: change those. -->\n"

WORDS = (
    ("flow", "流程", "one kind of work as one table: its states, and every way from one to another"),
    (
        "case",
        "工单",
        "one run of a flow, about one order or parcel; in Temporal a workflow execution under the case's id",
    ),
    ("state", "状态", "where a case is: it works by itself, waits, or has ended"),
    ("row", "表中一行", "a line of a flow's table: trigger, from, to, who may, only if; what has no row is refused"),
    ("move", "流转", "a row that a case has taken; the case's version counts its moves, its trail lists them"),
    ("trigger", "触发", "what fires a row: a decision or a fact that people send, the outcome of work, or the clock"),
    ("decision", "决定", "a trigger that counts only in a state that asks for it"),
    ("fact", "事实", "a trigger that is true whenever it comes; too early, it is kept until a state can use it"),
    ("kept", "已记下的事实", "facts that wait in the case for a state that can use them (`kept` of the case view)"),
    ("path", "路径", "the moves by which a case has come from its opening to where it is, or to its end: its way"),
    (
        "specification",
        "规格说明",
        "the shop's own documents (`flows.md` and others): cited as the source of a rule, and not in this repository",
    ),
    ("aside", "旁白", "a comment or another side message that people send: nothing moves"),
    ("wait", "等待", "a state in which nothing is done until somebody acts, its deadline passes, or a poll moves it"),
    ("deadline", "时限", "until when a wait lasts; then the clock fires the trigger that the table names"),
    (
        "silence",
        "无人答复",
        "that nobody acted by the deadline; what the clock does then is said beforehand (`if_silent`)",
    ),
    ("alarm", "告警", "a clock row that stays in its state: whoever is answerable is told, again and again"),
    ("four eyes", "回避", "nobody who opened a request, or spoke for the buyer in it, may also approve it"),
    ("hold", "拦下发货", "while a case has one on a line of an order, the line may not ship"),
    (
        "claim",
        "占用",
        "a line of an order is one case's: no other may refund it; on a courier, it is money that is wanted",
    ),
    ("promise", "承诺", "a gift or free shipping noted on an order, its cost reserved in the month's budget"),
    ("wish", "标旗愿望", "the flag that a case wants its order to show; of several cases' wishes the strongest shows"),
    ("memo", "备注", "the shop's note on an order, which only grows"),
    ("record", "案卷", "what the shop knows of a case for good, also when Temporal no longer has it"),
    (
        "fencing token",
        "隔离令牌",
        "where a case's execution is: by it the shop refuses what comes late, and undoes what Temporal discarded",
    ),
    ("told", "已告知", "what the shop, the buyer or staff have from a case; the shop's lists show it and ask no case"),
    (
        "step",
        "步骤",
        "what a case has done: on the shop a short transaction, a local activity; outside, an activity that may last",
    ),
    ("run", "运行", "one execution in Temporal: a case that continues as new, or is opened again, has several"),
    ("desk", "工单台", "all of it together: the shop's database, the worker, the commands (`casework up`)"),
    ("outbox", "待发消息", "messages to buyers and tasks for staff, once each, until they are sent"),
    ("notice", "订单变动通知", "a notification to open cases that their order has changed: each reads the shop again"),
    ("look", "查看", "one poll of the courier and the shop by a waiting case, or one batch of the patrol"),
    ("patrol", "巡检", "the hourly check of every open shipment; it opens a case for each parcel that needs one"),
    ("came back", "已退回", "of our own parcel and what is in it: it is with us again, and was not delivered"),
    ("came in", "已收到", "of what the buyer sent to us, for a return: it has arrived here"),
    ("shelf", "待发货架", "where goods that came back lie that ship again for the same order"),
    ("stock", "库存", "goods that are free: no order has them, and they may go out for any"),
)
"""What this project calls things, as `docs/glossary.md` says it first: the word, Chinese, one line."""


class GenerateError(Exception):
    """Something cannot be generated: one plain sentence that says what and where."""


def generated(root: Path = ROOT) -> dict[Path, str]:
    """Every generated file as it should be: path → text. Reads the pages that hold marked sections, writes nothing.

    Raises:
        GenerateError: where a page asks for a section that does not exist, or does not end one.

    """
    files = {root / name: text for name, text in _whole_files().items()}
    sections = _sections()
    for path in sorted([root / "README.md", *(root / "docs").glob("*.md")]):
        if path not in files and path.exists():
            files[path] = _with_sections(path, root, sections)
    return files


@cache  # they cost a second, and neither tables nor code change while they run
def _whole_files() -> dict[str, str]:
    """The files that come whole from the tables and the code that run, wherever they are written: name → text."""
    files: dict[str, str] = {}
    for flow in FLOWS.values():
        files[f"diagrams/{flow.name}.mmd"] = mermaid(flow)
        files[f"diagrams/{flow.name}.svg"] = svg(flow)
        files[f"diagrams/{flow.name}.zh.svg"] = svg(flow, language="zh")
        files[f"docs/flows/{flow.name}.md"] = _page(flow)
        if _ways(flow.name):
            files[f"docs/flows/{flow.name}-silence.md"] = _silence(flow.name)
    files["docs/glossary.md"] = _glossary()
    files["docs/map.md"] = f"{_MADE_OF_CODE}{code_map(ROOT)}"
    return files


def stale(root: Path = ROOT) -> list[Path]:
    """The generated files that are missing or not as the tables say, and those that no flow gives any more."""
    return _stale(root, generated(root))


def _stale(root: Path, wanted: dict[Path, str]) -> list[Path]:
    made = [*(root / "diagrams").glob("*.*"), *(root / "docs" / "flows").glob("*.md")]
    wrong = [path for path, text in wanted.items() if not path.exists() or path.read_bytes() != text.encode()]
    return sorted({*wrong, *(path for path in made if path not in wanted)})


def write(root: Path = ROOT) -> list[Path]:
    """Bring every stale file up to date, removing what no flow gives any more; answers which they were."""
    wanted = generated(root)
    changed = _stale(root, wanted)
    for path in changed:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wanted[path].encode())
        else:
            path.unlink()
    return changed


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """The command; answers the exit code: 1 where `--check` finds something stale."""
    parser = argparse.ArgumentParser(prog="python -m casework.generate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if something is stale")
    check = parser.parse_args(arguments).check
    try:
        found = stale(root) if check else write(root)
    except (GenerateError, UnmappedModule) as error:
        print(error, file=sys.stderr)
        return 1
    for path in found:
        name = path.relative_to(root)
        print(f"{name} is stale: run `{COMMAND}`" if check else f"wrote {name}", file=sys.stderr)
    return 1 if check and found else 0


# --- the pages ---


def _page(flow: Flow[Any]) -> str:
    openers = ", ".join(f"`{role}`" for role in flow.opened_by)
    return "\n".join(
        [
            f"# {flow.label.en[0].upper()}{flow.label.en[1:]} ({flow.label.zh})\n",
            _MADE,
            f"Case ids begin with `{flow.name}-`, the workflow type is `{flow.workflow}`. Opened by {openers}.\n",
            f"![{flow.label.en}](../../diagrams/{flow.name}.svg)\n",
            f"[中文图](../../diagrams/{flow.name}.zh.svg) · [as Mermaid text](../../diagrams/{flow.name}.mmd)\n",
            "## Moves\n",
            (
                "Where one trigger has several rows from one state, the first whose *only if* holds is taken. "
                "What is not here is refused. ● is an end.\n"
            ),
            moves_markdown(flow),
            (
                f"Money also leaves when a deadline passes without a decision: [every way]({flow.name}-silence.md).\n"
                if _ways(flow.name)
                else "No deadline of this flow leads to money: that was looked for on every way through it.\n"
            ),
            "## Waits\n",
            (
                "When nobody acts by then, the clock fires the last column's trigger. *Open* counts the shop's open "
                "hours, *always* every hour. Unless days are given, those who may act are reminded once, at "
                "`shop.remind_at_percent` of the time.\n"
            ),
            waits_markdown(flow),
            "## Triggers\n",
            (
                "What people fire is a signal of that name: a JSON object with `by`, and `note`, `id`, `version` if "
                "wanted, and the fields below. A decision counts only in a state that asks for it; a fact is kept "
                "until a state can use it. Four eyes: nobody who has a part in the request may fire it.\n"
            ),
            triggers_markdown(flow),
            "## Messages to the buyer\n",
            markdown_table(
                ("template", "Chinese", "English"),
                [(f"`{name}`", text.zh, text.en) for name, text in BUYER_MESSAGES[flow.name].items()],
            ),
            "At the ends:\n",
            markdown_table(
                ("ending", "Chinese", "English"),
                [(f"`{end}`", *_said_at_the_end(flow.name, name)) for end, name in ENDINGS[flow.name].items()],
            ),
            "## 流程表\n",
            moves_markdown(flow, "zh"),
        ]
    )


def _said_at_the_end(flow_name: str, template: str | None) -> tuple[str, str]:
    """What a buyer reads when a case ends so; where its own steps say it, which message depends on what was done."""
    if template is None:
        return ("此前步骤已告知", "told by the steps before it")
    text = BUYER_MESSAGES[flow_name][template]
    return (text.zh, text.en)


@cache
def _ways(flow_name: str) -> list[Way]:
    return ways_on_which_silence_pays(WORLDS[flow_name])


def _silence(flow_name: str) -> str:
    flow = FLOWS[flow_name]
    told = {_told(way): way for way in _ways(flow_name)}
    ends = Counter(_told(_by_themselves(way)) for way in told.values())
    parts = [
        f"# {flow.label.en[0].upper()}{flow.label.en[1:]}: what is paid when a deadline passes without a decision\n",
        _MADE,
        (
            "On every way listed here money leaves because a deadline passes without a decision: the last row is a "
            "deadline's. They were found by exploring all ways on the machine itself; those that come to a state twice "
            "go on as one of these. A new way shows up as a difference to be reviewed. The conditions are in "
            f"[the table]({flow.name}.md).\n"
        ),
        "## What happens after the last word of a person\n",
        markdown_table(
            ("from there to the payment", "ways that end so"),
            [(way, str(number)) for way, number in ends.items()],
        ),
    ]
    if len(told) > MOST_LISTED:
        return "\n".join([*parts, f"These are {len(told)} ways, too many to be read one by one.\n"])
    rows = [(str(number), text, _clocks(way)) for number, (text, way) in enumerate(told.items(), start=1)]
    return "\n".join([*parts, "## Every way\n", markdown_table(("", "way to the payment", "deadlines on it"), rows)])


def _told(way: Way) -> str:
    return f"`{way[0].source}` " + " → ".join(f"{row.trigger} `{row.dest}`" for row in way)


def _by_themselves(way: Way) -> Way:
    """The end of a way in which nobody did anything: only work and clocks."""
    after = [number for number, row in enumerate(way, start=1) if any(isinstance(who, Role) for who in row.who)]
    return way[max(after, default=0) :]


def _clocks(way: Way) -> str:
    return str(sum(Automatic.CLOCK in row.who for row in way))


def _glossary() -> str:
    heading = ("identifier", "中文", "English")
    parts = [
        "# Glossary (词汇表)\n",
        "<!-- Made by `make generate` from the tables and casework/generate.py: change those. -->\n",
        "## Words (用语)\n",
        markdown_table(("word", "中文", "what it is"), WORDS),
        "## Roles (角色)\n",
        markdown_table(heading, [_entry(role.value, role.label) for role in (*Role, *Automatic)]),
        "## Flows (流程)\n",
        markdown_table(heading, [_entry(flow.name, flow.label) for flow in FLOWS.values()]),
    ]
    for flow in FLOWS.values():
        parts += [
            f"## {flow.label.en}: states (状态)\n",
            markdown_table(heading, [_entry(state.name, state.label) for state in flow.states.values()]),
            f"## {flow.label.en}: triggers (触发)\n",
            markdown_table(heading, [_entry(trigger.name, trigger.label) for trigger in flow.triggers.values()]),
        ]
    parts += [
        "## Beside every table (旁白)\n",
        markdown_table(heading, [_entry(one.name, one.label) for one in ASIDES.values()]),
    ]
    return "\n".join(parts)


def _entry(name: str, label: Label) -> tuple[str, str, str]:
    return f"`{name}`", label.zh, label.en


# --- the sections ---


def _sections() -> dict[str, Callable[..., str] | None]:
    """What a page may ask for, by name; None: cannot be made here, so it is left as it is.

    A name may be followed by words that say more: `flow-table FLOW STATE…`.
    """
    return {
        "policy": _policy,
        "asides": asides_markdown,
        "commands": _commands if find_spec("casework.cli") is not None else None,
        "flow-table": _flow_table,
    }


def _with_sections(path: Path, root: Path, sections: dict[str, Callable[..., str] | None]) -> str:
    text, name = path.read_text(encoding="utf-8"), path.relative_to(root)

    def fresh(found: re.Match[str]) -> str:
        asked = found["name"]
        section, _, words = asked.strip().partition(" ")
        if section not in sections:
            raise GenerateError(f"{name} asks for the section {asked!r}; there is {', '.join(sorted(sections))}.")
        if "<!-- generated:" in found[0][len(found[1]) :]:
            raise GenerateError(f"{name}: the section {asked!r} has no end; write <!-- end generated --> below it.")
        make = sections[section]
        try:
            return f"{found[1]}\n{make(*words.split())}\n{found[3]}" if make else found[0]
        except GenerateError as error:
            raise GenerateError(f"{name}: the section {asked!r}: {error}") from None

    if text.count("<!-- generated:") != text.count("<!-- end generated -->"):
        raise GenerateError(f"{name}: not every <!-- generated: NAME --> has its <!-- end generated -->.")
    return _SECTION.sub(fresh, text)


def _flow_table(flow: str = "", *states: str) -> str:
    if flow not in FLOWS:
        raise GenerateError(f"there is no flow {flow!r}")
    unknown = [name for name in states if name not in FLOWS[flow].states]
    if unknown:
        raise GenerateError(f"there is no state {', '.join(unknown)}")
    return moves_from(FLOWS[flow], states)


def _policy() -> str:
    def shown(value: object) -> str:
        return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - only shown

    rows, meaning = describe(load_policy(None)), _meanings()
    return markdown_table(
        ("key", "default", "unit", "clock", "meaning"),
        [
            (f"`{row.key}`", shown(row.default), row.unit, row.clock.value if row.clock else "", meaning[row.key])
            for row in rows
        ],
    )


def _meanings() -> dict[str, str]:
    """What the shipped file says behind each figure; the clock, which it says too, has a column of its own."""
    meanings, section = dict[str, str](), ""
    for line in SHIPPED.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]") + "."
        elif found := _FIGURE.match(line):
            meanings[section + found["key"]] = found["says"]
    return meanings


def _commands() -> str:
    """Every command's own help, as people read it in a terminal."""
    from typer.main import get_command

    parts: list[str] = []

    # Typer's command classes are its own, without public names: taken as they come
    def tell(command: Any, name: str) -> None:
        context = command.context_class(command, info_name=name, terminal_width=100, max_content_width=100)
        depth = "###" if " " in name else "##"
        lines = [line.rstrip() for line in str(command.get_help(context)).strip().splitlines()]
        parts.append(f"{depth} `{name}`\n\n```text\n" + "\n".join(lines) + "\n```\n")
        for each, inner in getattr(command, "commands", {}).items():
            if not inner.hidden:
                tell(inner, f"{name} {each}")

    tell(get_command(import_module("casework.cli").app), "casework")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.exit(main())
