from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from casework.generate import BUYER_MESSAGES, GenerateError, generated, main, stale, write
from casework.policy import describe, load_policy
from casework.templates import ENDINGS, TEMPLATES
from state_machines.asides import ASIDES
from state_machines.flows import FLOWS
from state_machines.laws.worlds import WORLDS

SECTION = "# A shop\n\n<!-- generated: flow-table refund-before-shipping persuading settling -->\n"
README = f"{SECTION}outdated\n<!-- end generated -->\n\nThe end.\n"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout's pages, with everything generated."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "docs").mkdir()
    (folder / "README.md").write_text(README, encoding="utf-8")
    (folder / "docs" / "policy.md").write_text("<!-- generated: policy -->\n<!-- end generated -->\n", encoding="utf-8")
    write(folder)
    return folder


@pytest.fixture
def tree(written: Path, tmp_path: Path) -> Path:
    """A copy of them to spoil."""
    return shutil.copytree(written, tmp_path / "checkout")


def test_every_flow_gets_its_pictures_and_its_page(tree: Path) -> None:
    for name in FLOWS:
        for path in (
            f"diagrams/{name}.mmd",
            f"diagrams/{name}.svg",
            f"diagrams/{name}.zh.svg",
            f"docs/flows/{name}.md",
        ):
            assert (tree / path).stat().st_size > 1000


def test_what_was_just_written_is_not_stale(tree: Path) -> None:
    assert stale(tree) == []
    assert main(["--check"], tree) == 0
    assert write(tree) == []


def test_a_changed_byte_is_seen_named_and_not_repaired_by_the_check(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [
        *(f"diagrams/{name}.{ending}" for name in FLOWS for ending in ("mmd", "svg", "zh.svg")),
        *(f"docs/flows/{name}.md" for name in FLOWS),
        "docs/flows/return-after-shipping-silence.md",
        "docs/glossary.md",
        "docs/map.md",
    ]
    spoilt = {name: (tree / name).read_bytes()[:-2] + b"x\n" for name in names}
    for name, content in spoilt.items():
        (tree / name).write_bytes(content)
    assert main(["--check"], tree) == 1
    said = capsys.readouterr().err
    assert sorted(said.splitlines()) == sorted(f"{name} is stale: run `make generate`" for name in names)
    assert {name: (tree / name).read_bytes() for name in names} == spoilt


def test_a_missing_file_and_one_of_a_flow_that_is_gone_are_stale(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "docs" / "glossary.md").unlink()
    (tree / "diagrams" / "gone.svg").write_text("<svg/>")
    assert main(["--check"], tree) == 1
    said = capsys.readouterr().err
    assert "docs/glossary.md is stale" in said
    assert "diagrams/gone.svg is stale" in said
    assert main([], tree) == 0
    assert not (tree / "diagrams" / "gone.svg").exists()
    assert stale(tree) == []


def test_only_what_stands_between_the_marks_is_replaced(tree: Path) -> None:
    text = (tree / "README.md").read_text(encoding="utf-8")
    assert text.startswith(
        "# A shop\n\n<!-- generated: flow-table refund-before-shipping persuading settling -->\n\n| in |"
    )
    assert text.endswith("|\n\n<!-- end generated -->\n\nThe end.\n")
    assert "outdated" not in text


def test_a_changed_section_is_stale(tree: Path) -> None:
    path = tree / "README.md"
    path.write_text(path.read_text(encoding="utf-8").replace("| settling", "| settling ", 1), encoding="utf-8")
    assert stale(tree) == [path]


def test_the_policy_section_holds_every_key_with_default_and_clock(tree: Path) -> None:
    text = (tree / "docs" / "policy.md").read_text(encoding="utf-8")
    for row in describe(load_policy(None)):
        assert f"| `{row.key}` |" in text
    assert "| `refund_before_shipping.finance_hours` | 8 | hours | open | the finance manager decides |" in text


def test_the_command_reference_tells_every_command(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("<!-- generated: commands -->\n<!-- end generated -->\n", encoding="utf-8")
    text = generated(tmp_path)[tmp_path / "README.md"]
    for name in ("up", "import", "start", "inbox", "cases", "show", "submit", "approve", "diagram", "doctor"):
        assert f"\n### `casework {name}`\n" in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- generated: nonsense -->\n<!-- end generated -->\n", "asks for the section 'nonsense'"),
        ("<!-- generated:   -->\n<!-- end generated -->\n", "asks for the section"),
        ("<!-- generated: flow-table -->\n<!-- end generated -->\n", "'flow-table': there is no flow ''"),
        ("<!-- generated: flow-table gift-approval x -->\n<!-- end generated -->\n", "there is no state x"),
        ("<!-- generated: policy -->\n", "not every <!-- generated: NAME --> has its"),
        (
            "<!-- generated: policy -->\n<!-- generated: commands -->\n" + 2 * "<!-- end generated -->\n",
            "the section 'policy' has no end",
        ),
    ],
)
def test_a_mark_that_cannot_be_filled_is_refused_with_the_page(
    tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    with pytest.raises(GenerateError, match=re.escape(said)):
        generated(tmp_path)
    assert main(["--check"], tmp_path) == 1
    assert capsys.readouterr().err.startswith("README.md")


def test_the_glossary_names_every_role_state_and_trigger_in_both_languages(tree: Path) -> None:
    text = (tree / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert "| `returns_clerk` | 退回收货专员 | returns clerk |" in text
    for flow in FLOWS.values():
        for one in (*flow.states.values(), *flow.triggers.values()):
            assert f"| `{one.name}` | {one.label.zh} | {one.label.en} |" in text
    assert all(f"| `{one.name}` | {one.label.zh} | {one.label.en} |" in text for one in ASIDES.values())


def test_the_glossary_says_first_what_the_words_of_this_project_mean(tree: Path) -> None:
    text = (tree / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = text.split("## Words (用语)\n")[1].split("\n## ")[0]
    asked = "case flow move row trigger aside wait deadline silence hold claim promise record wish look patrol"
    for word in asked.split():
        assert re.search(rf"^\| {word} \| [^|]+ \| [^|]+ \|$", words, re.MULTILINE), word


def test_a_flow_has_a_page_of_where_silence_pays_if_it_pays_anywhere(tree: Path) -> None:
    for name in FLOWS:
        page = (tree / "docs" / "flows" / f"{name}.md").read_text(encoding="utf-8")
        silent = tree / "docs" / "flows" / f"{name}-silence.md"
        assert silent.exists() == bool(WORLDS[name].silent)
        assert (silent.name in page) == silent.exists()
        assert ("No deadline of this flow leads to money" in page) != silent.exists()
        if silent.exists():
            text = silent.read_text(encoding="utf-8")
            assert all(
                f"`{source}` → {trigger} `" in text or f"`{source}` {trigger} `" in text
                for trigger, source in WORLDS[name].silent
            )


def test_every_flow_says_what_its_buyers_read_at_each_end(tree: Path) -> None:
    for name, flow in FLOWS.items():
        page = (tree / "docs" / "flows" / f"{name}.md").read_text(encoding="utf-8")
        at_the_ends = page.split("At the ends:\n")[1].split("\n## ")[0]
        for end in (state for state in flow.states if flow.is_final(state)):
            template = ENDINGS[name][end]
            zh, en = ("此前步骤已告知", "told by the steps before it")
            if template is not None:
                zh, en = TEMPLATES[template].zh, TEMPLATES[template].en
            assert f"| `{end}` | {zh} | {en} |" in at_the_ends


def test_every_flow_says_which_messages_its_buyers_get(tree: Path) -> None:
    assert set(BUYER_MESSAGES) == set(FLOWS)
    for name, templates in BUYER_MESSAGES.items():
        page = (tree / "docs" / "flows" / f"{name}.md").read_text(encoding="utf-8")
        for template in templates:
            assert TEMPLATES[template].zh in page
            assert TEMPLATES[template].en in page
