"""The commands for what is said beside the table; each is short for `casework submit`, and prints the plain command."""

from __future__ import annotations

import json
import shlex

import pytest

from casework.cli.errors import BAD_INPUT, DONE, REFUSED
from tests.cli.commands import Casework
from tests.desk import Desk

AGENT, LEAD = "aftersale.1", "aftersale-lead.5"


async def waiting(casework: Casework, desk: Desk) -> str:
    order = desk.order(prices=((50_000, 1),))
    case = (await casework("start", "refund", "--order", order, "--by", AGENT, "--reason", "x")).out.strip()
    assert (await casework("submit", case, "buyer_insists", "--by", AGENT)).code == DONE
    return case


async def test_a_question_is_asked_shown_and_answered_by_commands(casework: Casework, desk: Desk) -> None:
    case = await waiting(casework, desk)
    asked = await casework("ask", case, "Which size?", "--by", LEAD)
    assert (asked.code, asked.err) == (DONE, "")
    assert asked.out == f"{case} · awaiting the supervisor awaiting_supervisor · ask the opener ask_opener\n"
    shown = (await casework("show", case)).out
    assert f"{LEAD} ask_opener “Which size?”" in shown
    assert f"asked: {LEAD} “Which size?”: casework answer " in shown
    assert (await casework("answer", case, "42", "--by", AGENT)).code == DONE
    shown = (await casework("show", case)).out
    assert f"{AGENT} answer “42” (to {LEAD})" in shown
    assert "asked:" not in shown
    assert (await casework("answer", case, "43", "--by", AGENT)).code == REFUSED
    await desk.client.get_workflow_handle(case).terminate()


async def test_a_case_is_given_away_its_people_reminded_and_evidence_put_on_record(
    casework: Casework, desk: Desk
) -> None:
    case = await waiting(casework, desk)
    given = await casework("reassign", case, "aftersale-lead.1", "--by", LEAD, "--json")
    assert given.json["assignee"] == "aftersale-lead.1"
    assert (await casework("reassign", case, "warehouse.1", "--by", LEAD)).code == REFUSED
    assert (await casework("remind", case, "--by", AGENT)).code == DONE
    again = await casework("remind", case, "--by", AGENT)
    assert again.code == REFUSED
    assert "less than an hour ago" in again.err
    said = await casework(
        "comment", case, "Seen.", "--ref", "photos/1.jpg", "--ref", "photos/2.jpg", "--by", LEAD, "--json"
    )
    line = said.json["trail"][-1 - sum(not one["accepted"] for one in said.json["trail"][-1:])]
    assert (line["note"], line["references"]) == ("Seen.", {"references": ["photos/1.jpg", "photos/2.jpg"]})
    shown = (await casework("show", case)).out
    assert "comment “Seen.” (references: photos/1.jpg, photos/2.jpg)" in " ".join(shown.split())
    long = await casework("submit", case, "comment", "--set", "text=And this.", "--by", LEAD)
    assert long.code == DONE
    await desk.client.get_workflow_handle(case).terminate()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["comment", "打 138-1234-5678"], "text holds a mobile number"),
        (["comment", "王小明说可以"], "text: the text holds the buyer's name"),
        (["comment", ""], "text of at least 1"),
        (["ask", " "], "question: "),
        (["reassign", "the boss"], "to: "),
    ],
)
async def test_what_is_wrong_is_one_sentence_and_nothing_is_sent(
    casework: Casework, desk: Desk, arguments: list[str], why: str
) -> None:
    case = await waiting(casework, desk)
    command, text = arguments
    done = await casework(command, case, text, "--by", LEAD)
    assert (done.code, len(done.err.splitlines())) == (BAD_INPUT, 1)
    assert why in done.err
    view = (await casework("show", case, "--json")).json
    assert all(line["accepted"] for line in view["trail"])
    await desk.client.get_workflow_handle(case).terminate()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ask", "{case}", "Which?"], {"trigger": "ask_opener", "question": "Which?"}),
        (["answer", "{case}", "This."], {"trigger": "answer", "text": "This."}),
        (["reassign", "{case}", LEAD], {"trigger": "reassign", "to": LEAD}),
        (["remind", "{case}", "--note", "please"], {"trigger": "remind", "note": "please"}),
        (
            ["comment", "{case}", "Seen.", "--ref", "photos/1.jpg"],
            {"trigger": "comment", "text": "Seen.", "references": ["photos/1.jpg"]},
        ),
    ],
)
async def test_the_plain_command_is_printed_and_nothing_is_sent(
    casework: Casework, desk: Desk, arguments: list[str], message: dict[str, object]
) -> None:
    case = await waiting(casework, desk)
    before = (await casework("show", case, "--json")).json
    printed = await casework(*[one.format(case=case) for one in arguments], "--by", LEAD, "--print")
    words = shlex.split(printed.out)
    assert words[:4] == ["temporal", "workflow", "update", "execute"]
    assert json.loads(words[words.index("--input") + 1]) == {"by": LEAD, "version": before["version"], **message}
    assert (await casework("show", case, "--json")).json == before
    await desk.client.get_workflow_handle(case).terminate()
