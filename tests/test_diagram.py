from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from casework.case import TrailLine
from casework.diagram import mermaid, moves_markdown, triggers_markdown, waits_markdown
from casework.svg import svg
from state_machines.flows import FLOWS, flow_named
from state_machines.refund_before_shipping import REFUND_BEFORE_SHIPPING as FLOW
from state_machines.refund_before_shipping import RefundCase
from state_machines.table import Flow, Move, StateKind

ROOT = Path(__file__).resolve().parent.parent
NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
LANGUAGES = pytest.mark.parametrize("language", ["en", "zh"])
EVERY_FLOW = pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)


def all_moves(flow: Flow[Any]) -> set[tuple[str, str, str]]:
    return {(row.trigger, row.source, row.dest) for row in flow.moves}


def a_case(*path: tuple[str, str, str]) -> RefundCase:
    """A case that has gone this way: (trigger, source, dest), and was refused once on it."""
    case = RefundCase(
        case_id="refund-before-shipping-330000001",
        run_id="run",
        flow=FLOW.name,
        order_id="330000001",
        state=path[-1][2] if path else FLOW.initial,
        opened_by="aftersale.1",
        opened_at=NOW,
    )
    for trigger, source, dest in path:
        case.trail.append(TrailLine(at=NOW, by="system", trigger=trigger, source=source, dest=dest, accepted=True))
    case.trail.append(
        TrailLine(at=NOW, by="agent.2", trigger="approve", source="persuading", dest="refunding", accepted=False)
    )
    return case


PATH = (
    ("check", "checking", "holding"),
    ("hold", "holding", "persuading"),
    ("buyer_insists", "persuading", "awaiting_supervisor"),
    ("order_gone", "awaiting_supervisor", "settling"),
)


def moves_in_mermaid(text: str, flow: Flow[Any] = FLOW) -> set[tuple[str, str, str]]:
    """Every (trigger, source, dest) that Mermaid text shows, on an arrow or in a note."""
    found: set[tuple[str, str, str]] = set()
    for source, dest, label in re.findall(r"^ {4}(\w+) --> (\w+) : (.+)$", text, re.MULTILINE):
        for words in label.split("<br/>"):
            found |= {(name, source, dest) for name in flow.triggers if re.search(rf"\b{name} ·", words)}
    for dest, note in re.findall(r"note right of (\w+)\n(.*?)end note", text, re.DOTALL):
        lines = note.strip().splitlines()
        for said, sources in zip(lines[::2], lines[1::2], strict=True):
            names = {name for name in flow.triggers if re.search(rf"\b{name} ·", said)}
            states = [name for name in flow.states if re.search(rf"\b{name}\b", sources)]
            found |= {(name, source, dest) for name in names for source in states}
    return found


def boxes_in(picture: str) -> list[tuple[str, float, float, float, float]]:
    """Every box of a state, and the ground under the words of every line: name, left, top, right, bottom."""
    boxes: list[tuple[str, float, float, float, float]] = []
    for rect in ElementTree.fromstring(picture).findall(".//{*}rect"):  # noqa: S314 - our own picture
        if rect.get("data-state") or (rect.get("class") == "ground" and rect.get("x")):
            x, y, wide, high = (float(rect.get(key, "0")) for key in ("x", "y", "width", "height"))
            boxes.append((rect.get("data-state", "words"), x, y, x + wide, y + high))
    return boxes


# --- Mermaid ---


@LANGUAGES
@EVERY_FLOW
def test_mermaid_shows_every_state_and_exactly_the_moves_of_the_table(flow: Flow[Any], language: str) -> None:
    text = mermaid(flow, language=language)
    for state in flow.states.values():
        assert f'state "{state.label.in_language(language)}<br/>{state.name}" as {state.name}' in text
    assert moves_in_mermaid(text, flow) == all_moves(flow)


@EVERY_FLOW
def test_mermaid_begins_at_the_initial_state_and_ends_at_every_end(flow: Flow[Any]) -> None:
    text = mermaid(flow)
    assert f"    [*] --> {flow.initial}\n" in text
    ends = {name for name in flow.states if flow.is_final(name)}
    assert set(re.findall(r"^ {4}(\w+) --> \[\*\]$", text, re.MULTILINE)) == ends


@EVERY_FLOW
def test_a_line_of_mermaid_holds_one_colon_before_its_label_and_no_sign_of_its_own_in_it(flow: Flow[Any]) -> None:
    for language in ("en", "zh"):
        for line in mermaid(flow, language=language).splitlines():
            if " --> " in line and " : " in line:
                assert not re.search('[:;#{}"]', line.split(" : ", 1)[1]), line


def test_a_cases_path_and_state_are_marked_in_mermaid_and_refused_attempts_are_not() -> None:
    text = mermaid(FLOW, case=a_case(*PATH))
    assert "    class settling here\n" in text
    assert set(re.findall(r"class (\w+) passed", text)) == {"checking", "holding", "persuading", "awaiting_supervisor"}
    marked = set(re.findall(r"^ {4}(\w+) --> (\w+) : ▶ ([\d, ]+)<br/>", text, re.MULTILINE))
    assert marked == {(source, dest, str(number)) for number, (_, source, dest) in enumerate(PATH, 1)}
    assert moves_in_mermaid(text) == all_moves(FLOW)


def test_a_move_made_twice_bears_both_numbers() -> None:
    back = (
        *PATH[:3],
        ("send_back", "awaiting_supervisor", "persuading"),
        ("buyer_insists", "persuading", "awaiting_supervisor"),
    )
    assert "persuading --> awaiting_supervisor : ▶ 3, 5<br/>" in mermaid(FLOW, case=a_case(*back))


def test_a_new_case_is_marked_where_it_begins() -> None:
    assert "    class checking here\n" in mermaid(FLOW, case=a_case())


def test_loading_the_diagram_loads_no_picture_and_no_policy_file_reader_beyond_what_a_case_needs() -> None:
    program = (
        "import sys, casework.diagram; print([m for m in ('casework.svg', 'typer', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- the picture ---


@LANGUAGES
@EVERY_FLOW
def test_no_boxes_and_no_words_overlap_in_a_picture(flow: Flow[Any], language: str) -> None:
    for case in (None, a_case(*PATH)) if flow is FLOW else (None,):
        picture = svg(flow, language=language, case=case)
        boxes = boxes_in(picture)
        assert {name for name, *_ in boxes} == {*flow.states, "words"}
        for (one, left, top, right, bottom), (other, left_2, top_2, right_2, bottom_2) in combinations(boxes, 2):
            apart = right <= left_2 or right_2 <= left or bottom <= top_2 or bottom_2 <= top
            assert apart, f"{one} and {other} overlap"


@LANGUAGES
@EVERY_FLOW
def test_a_picture_holds_every_move_of_the_table(flow: Flow[Any], language: str) -> None:
    root = ElementTree.fromstring(svg(flow, language=language))  # noqa: S314 - our own picture
    lines = {tuple(path.get("data-move", "").split()) for path in root.findall(".//{*}path[@data-move]")}
    words = " ".join(text.text or "" for text in root.findall(".//{*}text"))
    bundled: set[tuple[str, str, str]] = set()
    for group in root.findall(".//{*}g[@data-bundle]"):
        trigger, dest, *sources = group.get("data-bundle", "").split()
        bundled |= {(trigger, source, dest) for source in sources}
    for row in flow.moves:
        assert re.search(rf"\b{row.trigger}\b", words)
        if not row.stays and (row.trigger, row.source, row.dest) not in bundled:
            assert (row.source, row.dest) in lines
    assert bundled <= all_moves(flow)


def test_a_picture_is_complete_in_itself_and_says_what_it_shows() -> None:
    picture = svg(FLOW)
    assert "<script" not in picture
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", picture)
    assert '<title id="title">refund before shipping</title>' in picture
    assert '<desc id="desc">checking the order' in picture
    assert "prefers-color-scheme: dark" in picture


def test_a_cases_path_and_state_are_marked_in_the_picture() -> None:
    root = ElementTree.fromstring(svg(FLOW, case=a_case(*PATH)))  # noqa: S314 - our own picture
    taken = {path.get("data-move") for path in root.findall(".//{*}path") if path.get("class") == "line taken"}
    assert taken == {f"{source} {dest}" for _, source, dest in PATH}
    css = {rect.get("data-state"): rect.get("class") for rect in root.findall(".//{*}rect[@data-state]")}
    assert css["settling"] == "work here"
    assert css["persuading"] == "wait passed"
    assert css["refunding"] == "work"


def test_the_same_table_gives_the_same_bytes_in_every_process() -> None:
    program = (
        "import sys; from casework.diagram import *; from casework.svg import svg; from state_machines.flows import *\n"
        "sys.stdout.buffer.write(''.join(svg(f, language=l) + mermaid(f, language=l) + moves_markdown(f, l)"
        " for f in FLOWS.values() for l in ('en', 'zh')).encode())"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1
    assert len(texts.pop()) > 10_000


# --- the table ---


def identity(row: Move[Any]) -> tuple[str, str, str, str]:
    return row.trigger, row.source, row.dest, ", ".join(row.who)


@LANGUAGES
@EVERY_FLOW
def test_the_table_holds_exactly_the_moves_with_who_and_only_if(flow: Flow[Any], language: str) -> None:
    found: list[tuple[str, str, str, str]] = []
    for line in moves_markdown(flow, language).splitlines()[2:]:
        trigger, sources, dest, people, only_if = [cell.strip() for cell in line.strip("| ").split(" | ")] + (
            [""] if line.endswith("|  |") else []
        )
        (name,), (to,) = re.findall(r"`(\w+)`", trigger), re.findall(r"`(\w+)`", dest)
        who = ", ".join(re.findall(r"`(\w+)`", people))
        for source in re.findall(r"`(\w+)`", sources):
            found.append((name, source, to, who))
            (row,) = [row for row in flow.moves if identity(row) == found[-1]]
            for guard in row.only_if:
                assert guard.label.in_language(language) in only_if
            assert ("●" in dest) == flow.is_final(to)
    assert sorted(found) == sorted(map(identity, flow.moves))


def test_the_table_tells_each_waits_deadline_and_each_triggers_fields() -> None:
    text = waits_markdown(FLOW) + triggers_markdown(FLOW)
    assert "| `awaiting_finance` | finance manager | `refund_before_shipping.finance_hours` | 8 hours" in text
    assert "| `repairing_payment` | refund clerk | `shop.alarm_every_hours` | 24 hours" in text
    assert "`note`: text of 1 to 500 characters, the reason, required" in text
    assert all(f"`{name}`" in text for name in FLOW.triggers)


@LANGUAGES
@EVERY_FLOW
def test_the_table_of_waits_has_a_line_for_each_wait_with_what_fires_then(flow: Flow[Any], language: str) -> None:
    lines = waits_markdown(flow, language).split("\n\n")[0].splitlines()[2:]
    waits = [state for state in flow.states.values() if state.kind is StateKind.WAIT]
    assert len(lines) == len(waits)
    for line, state in zip(lines, waits, strict=True):
        assert f"`{state.name}`" in line
        assert state.deadline is None or line.endswith(f"`{state.deadline.trigger}` |")


def test_the_table_of_waits_says_what_is_not_as_usual_with_a_wait() -> None:
    returns = waits_markdown(FLOWS["return-after-shipping"])
    assert (
        "| `return_after_shipping.ship_back_days` | 7 days, reminders on day 3, 6 "
        "(`return_after_shipping.ship_back_reminder_days`), the buyer is reminded too | always |" in returns
    )
    parcels = waits_markdown(FLOWS["problem-parcel"])
    assert (
        "| `tracking` |  | `problem_parcel.poll_hours` | no deadline: it looks every 4 hours | always |  |" in parcels
    )
    assert "| `awaiting_return` | returns clerk | `problem_parcel.return_days` | 10 days | always |" in parcels
    assert "the case polls the courier and the shop every 4 hours (`problem_parcel.poll_hours`)" in parcels
    assert "polls the courier" not in returns


@LANGUAGES
@EVERY_FLOW
def test_no_picture_is_far_wider_than_what_stands_in_it(flow: Flow[Any], language: str) -> None:
    """What no line ties to the rest stands beside it, and is not driven out by it."""
    lefts_and_rights = sorted((left, right) for _, left, _, right, _ in boxes_in(svg(flow, language=language)))
    reached = lefts_and_rights[0][0]
    for left, right in lefts_and_rights:
        assert left - reached < 200
        reached = max(reached, right)


def test_otherwise_is_said_only_where_the_same_people_have_a_row_before() -> None:
    table = moves_markdown(FLOWS["return-after-shipping"])
    assert "| `approve` | `awaiting_supervisor` | `awaiting_manager` | `aftersale_supervisor` | otherwise |" in table
    assert "| `pass_inspection` | `inspection_late` | `restocking` | `aftersale_supervisor` |  |" in table


# --- flows by name ---


@pytest.mark.parametrize("text", ["refund-before-shipping", "refund", "ref"])
def test_a_flow_is_found_by_its_name_or_the_beginning_of_it(text: str) -> None:
    assert flow_named(text) is FLOW


@pytest.mark.parametrize("text", ["", "shipping", "Refund", "refund-before-shipping-1"])
def test_an_unknown_flow_is_refused_with_one_sentence_that_names_those_there_are(text: str) -> None:
    with pytest.raises(ValueError, match=f"there is no flow '{text}'; there is refund-before-shipping"):
        flow_named(text)


def test_an_ambiguous_beginning_names_all_it_might_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FLOWS, "return", FLOW)
    monkeypatch.setitem(FLOWS, "refund-again", FLOW)
    with pytest.raises(ValueError, match=r"'re' begins .* name one of them"):
        flow_named("re")
