"""What is said beside the table, on the real server: by whom, when, to whom, and what it leaves alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from casework.authority import Absence
from casework.case import FULL, MOST_BYTES, CaseView, TrailLine
from casework.details import CASE_ASSIGNEE
from casework.shop.staff import StaffMember as Member
from casework.shop.staff import note_absence, write_member
from casework.shop.tables import OrderRow, OutboxRow, StaffRow
from state_machines.asides import ANSWER, ASIDES, ASK_OPENER, COMMENT, REASSIGN, REMIND
from tests.desk import Desk, Handle

AGENT, OTHER_AGENT, LEAD, OTHER_LEAD, FINANCE = (
    "aftersale.1",
    "aftersale.2",
    "aftersale-lead.5",
    "aftersale-lead.1",
    "finance.3",
)
SHANGHAI = "Asia/Shanghai"


async def waiting(desk: Desk, *, opened_by: str = AGENT, fen: int = 50_000, **options: Any) -> Handle:
    """A refund that waits for a supervisor."""
    case = await desk.open_in(
        "persuading", desk.order(prices=[(fen, 1)], **options), reason="bought twice", by=opened_by
    )
    await desk.submit(case, "buyer_insists", AGENT)
    return case


async def refusal(desk: Desk, case: Handle, aside: str, by: str, **fields: Any) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await desk.submit(case, aside, by, **fields)
    assert isinstance(refused.value.cause, ApplicationError)
    return refused.value.cause.message


def last(view: CaseView) -> TrailLine:
    return view.trail[-1]


def letters(desk: Desk, case: Handle, template: str) -> list[OutboxRow]:
    with desk.database.reading() as session:
        query = session.query(OutboxRow).filter_by(case_id=case.id, template=template)
        return query.order_by(OutboxRow.id).all()


def hire(desk: Desk, staff_id: str, *roles: str, **more: Any) -> str:
    member = Member(staff_id, staff_id, list(roles), None, present=True, deputy=more.pop("deputy", None))
    with desk.database.writing() as session:
        write_member(session, member, 3_000)
    return staff_id


# --- a question and its answer ---


async def test_the_opener_is_asked_and_whoever_asked_is_told_the_answer_once_each(desk: Desk) -> None:
    case = await waiting(desk)
    asked = await desk.submit(case, ASK_OPENER, LEAD, question="Which size?", id="q-1")
    assert (last(asked).by, last(asked).role, last(asked).note) == (LEAD, "aftersale_supervisor", "Which size?")
    again = await desk.submit(case, ASK_OPENER, LEAD, question="Which size?", id="q-1")
    assert again.trail == asked.trail, "a resend is harmless"
    answered = await desk.submit(case, ANSWER, AGENT, text="Size 42.")
    assert (last(answered).by, last(answered).role) == (AGENT, "aftersale_agent")
    assert (last(answered).note, last(answered).why) == ("Size 42.", f"to {LEAD}")
    (question,), (answer,) = letters(desk, case, "question"), letters(desk, case, "answer")
    assert (question.recipient, answer.recipient) == (AGENT, LEAD)
    assert "Which size?" in question.text_en
    assert "Size 42." in answer.text_zh
    await case.terminate()


async def test_only_the_opener_answers_and_only_what_was_asked(desk: Desk) -> None:
    case = await waiting(desk)
    assert "no question" in await refusal(desk, case, ANSWER, AGENT, text="Yes.")
    await desk.submit(case, ASK_OPENER, LEAD, question="Is it?")
    assert AGENT in await refusal(desk, case, ANSWER, OTHER_LEAD, text="Yes.")
    await desk.submit(case, ANSWER, AGENT, text="Yes.")
    assert "no question" in await refusal(desk, case, ANSWER, AGENT, text="Yes, yes.")
    await case.terminate()


async def test_who_stands_in_for_the_opener_answers_while_they_are_absent(desk: Desk) -> None:
    deputy = hire(desk, "asides.deputy", "aftersale_agent")
    opener = hire(desk, "asides.opener", "aftersale_agent", deputy=deputy)
    case = await waiting(desk, opened_by=opener)
    await desk.submit(case, ASK_OPENER, LEAD, question="Is it?")
    assert opener in await refusal(desk, case, ANSWER, deputy, text="Yes.")
    today = datetime.now(ZoneInfo(SHANGHAI)).date()
    with desk.database.writing() as session:
        note_absence(session, opener, Absence(today, today + timedelta(days=2), SHANGHAI))
    why = await refusal(desk, case, ANSWER, opener, text="Yes.")
    assert why == f"{opener} is absent until {today + timedelta(days=2)}; {deputy} deputises"
    assert last(await desk.submit(case, ANSWER, deputy, text="Yes.")).by == deputy
    await case.terminate()


async def test_where_the_opener_has_left_whoever_may_open_such_a_case_is_asked_and_answers(desk: Desk) -> None:
    opener = hire(desk, "asides.leaver", "aftersale_agent")
    case = await waiting(desk, opened_by=opener)
    with desk.database.writing() as session:
        session.get_one(StaffRow, opener).gone = True
    assert await refusal(desk, case, COMMENT, opener, text="Hello.") == f"{opener} has left the shop"
    await desk.submit(case, ASK_OPENER, LEAD, question="Is it?")
    assert [one.recipient for one in letters(desk, case, "question")] == ["aftersale_agent", "aftersale_supervisor"]
    assert last(await desk.submit(case, ANSWER, OTHER_AGENT, text="Yes.")).role == "aftersale_agent"
    await case.terminate()


async def test_of_a_case_that_the_system_opened_whoever_may_open_one_answers(desk: Desk) -> None:
    case = await desk.start_from_bulk_order(desk.order(shipped=True))
    await desk.until(case, "awaiting_parcel_back")
    await desk.submit(case, ASK_OPENER, "returns.1", question="Where is it?")
    assert "aftersale_agent or aftersale_supervisor" in await refusal(desk, case, ANSWER, "returns.1", text="Here.")
    assert last(await desk.submit(case, ANSWER, OTHER_AGENT, text="On its way.")).why == "to returns.1"
    await case.terminate()


async def test_an_answer_does_not_speak_for_the_buyer(desk: Desk) -> None:
    case = await waiting(desk)
    await desk.submit(case, ASK_OPENER, LEAD, question="Is it?")
    await desk.submit(case, ANSWER, AGENT, text="Yes.")
    await desk.submit(case, COMMENT, LEAD, text="Then it is fine.")
    assert (await desk.submit(case, "approve", LEAD)).state == "refunding", "nobody has lost their say by talking"
    await desk.end(case)


# --- whose case it is ---


async def test_a_case_is_given_to_a_person_of_the_role_and_is_nobodys_once_it_waits_for_another(desk: Desk) -> None:
    case = await waiting(desk, fen=100_001)
    view = await desk.submit(case, REASSIGN, LEAD, to=OTHER_LEAD, note="your customer")
    assert view.assignee == OTHER_LEAD
    assert (last(view).note, last(view).why) == ("your customer", f"to {OTHER_LEAD}")
    assert (await case.describe()).typed_search_attributes.get(CASE_ASSIGNEE) == OTHER_LEAD
    (task,) = letters(desk, case, "reassigned")
    assert task.recipient == OTHER_LEAD
    moved = await desk.submit(case, "approve", LEAD)
    assert (moved.state, moved.assignee) == ("awaiting_finance", None)
    await case.terminate()


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("nobody.1", "to names nobody on the staff list"),
        ("warehouse.1", "warehouse.1 is not aftersale_supervisor, for whom awaiting_supervisor waits"),
        ("aftersale-lead.3", "aftersale-lead.3 is absent; aftersale.2 deputises"),
        ("aftersale-lead.2", "aftersale-lead.2 opened this case and may not"),
    ],
)
async def test_nobody_is_given_a_case_in_which_they_may_not_act(desk: Desk, to: str, why: str) -> None:
    case = await waiting(desk, opened_by="aftersale-lead.2")
    assert (await refusal(desk, case, REASSIGN, LEAD, to=to)).startswith(why)
    assert (await desk.view(case)).assignee is None
    await case.terminate()


async def test_only_who_may_act_in_the_state_gives_a_case_to_another(desk: Desk) -> None:
    case = await waiting(desk)
    assert "is for aftersale_supervisor" in await refusal(desk, case, REASSIGN, FINANCE, to=LEAD)
    await case.terminate()


# --- reminders ---


async def test_people_are_reminded_at_once_and_at_most_once_an_hour(desk: Desk) -> None:
    case = await waiting(desk)
    await desk.submit(case, REMIND, AGENT)
    assert [one.recipient for one in letters(desk, case, "reminder")] == ["aftersale_supervisor"]
    assert "less than an hour ago" in await refusal(desk, case, REMIND, LEAD)
    await desk.submit(case, REASSIGN, LEAD, to=OTHER_LEAD)
    await desk.skip(case, timedelta(minutes=61))
    before = len(letters(desk, case, "reminder"))
    await desk.submit(case, REMIND, AGENT)
    told = [one.recipient for one in letters(desk, case, "reminder")][before:]
    assert told == ["aftersale_supervisor"], "whose case it is has had it with the role"
    await case.terminate()


# --- comments ---


async def test_a_comment_is_welcome_while_the_case_works_and_nothing_else_is(desk: Desk) -> None:
    order = desk.order(prices=[(20_000, 1)])
    case = await desk.open_in("persuading", order, reason="bought twice")
    async with desk.before("pay", order):
        await desk.submit(case, "buyer_insists", AGENT)
        await desk.reached("pay", order)
        view = await desk.submit(case, COMMENT, LEAD, text="Called the bank.", references=["calls/7.wav"])
        assert (last(view).source, last(view).references) == ("refunding", {"references": ["calls/7.wav"]})
        for aside, fields in [(REMIND, {}), (REASSIGN, {"to": LEAD}), (ASK_OPENER, {"question": "When?"})]:
            assert "at work" in await refusal(desk, case, aside, LEAD, **fields)
    ended = await desk.end(case)
    assert [line.trigger for line in ended.trail if line.accepted and not line.is_move] == [COMMENT]
    assert ended.version == sum(line.is_move for line in ended.trail)
    with pytest.raises(RPCError):
        await desk.submit(case, COMMENT, LEAD, text="Too late.")


async def test_who_has_no_part_in_the_flow_says_nothing_in_it(desk: Desk) -> None:
    case = await waiting(desk)
    stranger = hire(desk, "asides.auditor", "order_auditor")
    assert (await refusal(desk, case, COMMENT, stranger, text="Hello.")).startswith("comment is for ")
    assert "nobody on the staff list" in await refusal(desk, case, REMIND, "nobody.1")
    assert "system" in await refusal(desk, case, COMMENT, "system", text="Hello.")
    view = await desk.view(case)
    refused = [(line.trigger, line.by) for line in view.trail if not line.accepted]
    assert refused == [(COMMENT, stranger), (REMIND, "nobody.1"), (COMMENT, "system")]
    await case.terminate()


@pytest.mark.parametrize(
    ("aside", "fields", "why"),
    [
        (COMMENT, {}, "text is missing"),
        (COMMENT, {"text": "call 13900001111"}, "mobile number"),
        (COMMENT, {"text": "x", "references": ["y"] * 11}, "references: a list of at most 10"),
        (COMMENT, {"text": "x" * 501}, "at most 500"),
        (ASK_OPENER, {"text": "x"}, "question is missing"),
        (REASSIGN, {"to": "the boss"}, "to: "),
        (REMIND, {"whom": LEAD}, "whom is a field that does not belong here"),
    ],
)
async def test_what_is_malformed_leaves_nothing_in_the_history(
    desk: Desk, aside: str, fields: dict[str, Any], why: str
) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="bought twice")
    assert why in await refusal(desk, case, aside, AGENT, **fields)
    kinds = [EventType.Name(event.event_type) async for event in case.fetch_history_events()]
    assert not [kind for kind in kinds if "UPDATE" in kind]
    await case.terminate()


@pytest.mark.parametrize(
    ("aside", "field"), [(COMMENT, "text"), (ASK_OPENER, "question"), (ANSWER, "text"), (REMIND, "note")]
)
async def test_what_holds_something_of_the_buyers_is_refused_and_not_repeated(
    desk: Desk, aside: str, field: str
) -> None:
    case = await waiting(desk)
    with desk.database.writing() as session:
        session.get_one(OrderRow, desk.order_of(case)).receiver_name = "欧阳望月"
    words = "请联系欧阳望月"
    assert "the buyer's name" in await refusal(desk, case, aside, AGENT, **{field: words})
    view = await desk.view(case)
    assert words not in view.model_dump_json()
    assert not letters(desk, case, "question")
    await case.terminate()


async def test_every_aside_is_a_signal_of_its_own_name_and_none_wedges_the_case(desk: Desk) -> None:
    case = await waiting(desk)
    for aside in ASIDES:
        await case.signal(aside, args=[1, 2, 3])
        await case.signal(aside, {"by": LEAD, "text": 7})
    view = await desk.submit(case, COMMENT, LEAD, text="Still here.")
    assert len([line for line in view.trail if not line.accepted]) == 2 * len(ASIDES)
    await case.terminate()


async def test_an_absence_that_begins_while_the_case_waits_counts_at_the_moment_of_the_decision(desk: Desk) -> None:
    lead = hire(desk, "asides.lead", "aftersale_supervisor", deputy="aftersale.2")
    far = (datetime.now(UTC) + timedelta(days=9)).isoformat()
    case = await desk.open_in("awaiting_parcel_back", desk.order(shipped=True), platform_deadline=far)
    day = (await desk.view(case)).opened_at.astimezone(ZoneInfo(SHANGHAI)).date() + timedelta(days=1)
    with desk.database.writing() as session:
        note_absence(session, lead, Absence(day, day, SHANGHAI))
    assert (await desk.submit(case, COMMENT, lead, text="Here today.")).trail[-1].by == lead
    opened_at = (await desk.view(case)).opened_at
    await desk.skip(case, _noon(day) - opened_at)
    why = await refusal(desk, case, COMMENT, lead, text="And tomorrow?")
    assert why == f"{lead} is absent until {day}; aftersale.2 deputises"
    await case.terminate()


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(SHANGHAI)).astimezone(UTC)


async def test_a_case_takes_all_that_it_may_be_told_and_goes_on(desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(prices=[(20_000, 1)]), reason="bought twice")
    sign = "\U0001f600"  # four bytes
    fields = {
        "text": sign * 500,
        "note": sign * 495,
        "references": [sign * 195 + f"{number:04d}" for number in range(10)],
    }
    told = [
        *((COMMENT, LEAD, {"id": f"c-{number}", **fields}) for number in range(100)),
        *(("parcel_back", "returns.1", {"id": f"k-{number}", "note": sign * 499}) for number in range(50)),
        *(("approve", LEAD, {"id": f"r-{number}"}) for number in range(300)),
    ]
    for number, (trigger, by, more) in enumerate(told):
        await desk.signal(case, trigger, by, **more)
        if number % 50 == 49:  # Temporal begins a workflow task anew when a hundred events wait for its end
            await desk.at_rest(case)
    assert await refusal(desk, case, COMMENT, LEAD, text="x") == FULL
    assert await refusal(desk, case, "parcel_back", "returns.1") == FULL
    view = await desk.view(case)
    assert MOST_BYTES < len(view.model_dump_json().encode()) < 2 * MOST_BYTES
    assert view.kept == []
    await desk.signal(case, "buyer_insists", AGENT)
    async with asyncio.timeout(60):
        assert (await desk.end(case)).outcome == "refunded"
