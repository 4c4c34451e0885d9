"""No personal data in Temporal: planted in the shop and in every field that is sent, looked for in all that is kept.

What our client and commands send is refused before it leaves. What a stranger sends straight to Temporal is stored by
Temporal before any code of ours sees it: there, all that is promised is that a case does not repeat it.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import threading
from collections.abc import Iterable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
import structlog
from pydantic import BaseModel
from sqlalchemy import String, Text, select
from sqlalchemy.exc import IntegrityError
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from casework.cli.errors import BAD_INPUT
from casework.client import BadInput, CaseworkClient, prepare_start
from casework.converter import DATA_CONVERTER
from casework.logs import configure_logs
from casework.privacy import NOT_REPEATED
from casework.shop import payments, settling
from casework.shop.tables import Base, ChatRow, OrderRow
from state_machines.asides import ANSWER, ASIDES, ASK_OPENER, COMMENT, REASSIGN, REMIND, may_be_sent
from state_machines.flows import FLOWS
from state_machines.laws.worlds import WORLDS
from tests.cli.commands import Casework
from tests.desk import FLOW, Desk, Handle
from tests.planted import MARK, Kept, found_in, traces
from tests.races.stages import STAGES, Stage
from tests.telling import tell
from tests.walking.driver import Driver
from tests.walking.flows import HANDS, planner_of

AGENT = "aftersale.1"
BUYER = {
    "receiver_name": "闻人听雪",
    "buyer_nick": "tb-wenren2077",
    "buyer_account": "wenren@example.com",
    "phone": "0539-8312345",
    "mobile": "'19955544332",
    "address": "山东省 临沂市 兰山区 听雪巷77号院3单元(276000)",
    "changed_address": "江苏省 无锡市 梁溪区 藏书楼弄12号",
    "buyer_message": "家里老人住院了,想退掉这条毛毯",
}
SAID = "我昨天问过隔壁店,他们答应当天就退"
SENT = (
    *(BUYER[one] for one in ("receiver_name", "buyer_nick", "buyer_account", "phone", "buyer_message")),
    SAID,
    "19955544332",
    "199 5554-4332",
    "听雪巷77号院3单元",
    "江苏省无锡市梁溪区藏书楼弄12号",
)
"""What is sent, in each field by itself: whole, in another spelling, or the telling half."""
SECRETS = (*SENT, "听雪", "5554-4332", "55544332", "藏书楼弄12号", "wenren")
STRANGERS_BUYER = {
    "receiver_name": "澹台望舒",
    "buyer_nick": "tb-tantai9913",
    "phone": "0371-6543217",
    "address": "河南省 郑州市 金水区 望舒里5号楼(450000)",
    "buyer_message": "快递员把门口的花盆打碎了怎么办",
}
STRANGERS_WORDS = ("澹台望舒", "tb-tantai9913", "0371-6543217", "望舒里5号楼", "快递员把门口的花盆打碎了怎么办")
MOBILE_OF_NOBODY = "17788899001"
ONLY_ON_PURPOSE = "sent by the test on purpose: finding it shows that the search finds"
FILLED_OTHERWISE = {
    "gifts.name", "memo_entries.text", "orders.address", "orders.receiver_name", "outbox.last_error", "outbox.text_en",
    "outbox.text_zh",
    "settings.value", "stock_movements.sku",
}  # fmt: skip
"""Free texts that these tests fill themselves, that cases write, or that no order has."""
NO_FREE_TEXT = {
    # ids, and words of ours
    "address_id", "after", "assignee", "at_execution", "at_state", "before", "case_id", "closing_execution", "code",
    "colour", "courier", "delivery", "deputy", "digest",
    "fingerprint", "flow", "forwarded_courier", "forwarded_waybill", "found", "handed_over_by", "kind", "month",
    "from_case", "how", "id",
    "key", "lasting_flag", "name", "opened_by", "order_id", "outcome", "own_flag", "payment_key", "place", "recipient",
    "reference", "roles", "run_id", "sku", "source", "state", "subject", "template", "to", "trigger", "waybill", "what",
}  # fmt: skip


every_flow = pytest.mark.parametrize("flow", FLOWS)


def stage_of(flow: str) -> Stage:
    """How a case of the flow comes to a wait."""
    return next(one for one in STAGES if one.flow == flow)


@pytest.fixture
def logs() -> Iterator[io.StringIO]:
    """All that casework and Temporal's SDK log meanwhile, as the worker writes it, down to the last detail."""
    root, loud = logging.getLogger(), ("temporalio", "casework")
    handlers, level, levels = list(root.handlers), root.level, {name: logging.getLogger(name).level for name in loud}
    stream = io.StringIO()
    configure_logs(stream, level=logging.DEBUG)
    for name in loud:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def order_of(desk: Desk, buyer: dict[str, str], **options: Any) -> str:
    """An order of this buyer, who has also written to the shop."""
    order_id = desk.order(**options)
    belongs_to(desk, order_id, buyer)
    return order_id


def belongs_to(desk: Desk, order_id: str, buyer: dict[str, str]) -> None:
    """The order is this buyer's, who has also written to the shop."""
    with desk.database.writing() as session:
        row = session.get_one(OrderRow, order_id)
        for name, value in buyer.items():
            setattr(row, name, value)
        said = [{"at": "2026-11-20T17:00:00+08:00", "from": "buyer", "text": SAID if buyer is BUYER else MARK}]
        session.add(ChatRow(id=f"chat-{order_id}", order_id=order_id, messages=said))


def set_in(model: type[BaseModel], field: str, text: str) -> Any:
    """The text as the field holds it: as the only one of a list of texts, or as it is."""
    return [text] if "list[" in str(model.model_fields[field].annotation) else text


SAID_BESIDE = {
    ASK_OPENER: {"question": "?"},
    ANSWER: {"text": "!"},
    REASSIGN: {"to": AGENT},
    REMIND: {},
    COMMENT: {"text": "."},
}
"""Asides that hold nothing of anybody's."""


def messages(flow: str, trigger: str, texts: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The trigger's message with one of the texts in one of its fields, and which; the others hold what they may.

    Each text in each field; of endless texts each field takes the next one.
    """
    world = WORLDS[flow]
    if trigger in ASIDES:
        known, usual = ASIDES[trigger].message, {"by": AGENT, **SAID_BESIDE[trigger]}
    else:
        known = world.flow.triggers[trigger].message
        usual = world.message(world.openings[0].case, trigger, AGENT).model_dump(mode="json", exclude_none=True)
    for name in known.model_fields:
        for text in texts if isinstance(texts, tuple) else islice(texts, 1):
            yield name, {**usual, name: set_in(known, name, text)}


def opening_of(desk: Desk, flow: str, buyer: dict[str, str]) -> dict[str, Any]:
    """What a case of the flow is opened with, about a new order of this buyer."""
    start = stage_of(flow).opening(desk)
    belongs_to(desk, start["order_id"], buyer)
    return start


async def kept_of(case: Handle) -> bytes:
    """Whatever Temporal shows of a case beside its history: description, search attributes, details, view, diagram."""
    described = (await case.describe()).raw_description.SerializeToString()
    view, diagram = await case.query("case"), await case.query("diagram")
    details: str = (await case.query("__temporal_workflow_metadata")).current_details
    assert "| 订单 order |" in details
    return described + json.dumps([view, diagram, details], ensure_ascii=False).encode()


def test_the_shops_free_texts_are_all_planted(desk: Desk) -> None:
    desk.order(shipped=True)
    columns = [column for table in Base.metadata.tables.values() for column in table.columns]
    strings = {one.name for one in columns if isinstance(one.type, String) and not isinstance(one.type, Text)}
    assert strings - NO_FREE_TEXT == set(), "a column that people or files fill freely is Text, and so planted"
    with desk.database.reading() as session:
        there = {
            f"{column.table.name}.{column.name}"
            for column in columns
            if isinstance(column.type, Text) and any(MARK in (one or "") for one in session.scalars(select(column)))
        }
    texts = {f"{one.table.name}.{one.name}" for one in columns if isinstance(one.type, Text)}
    assert texts - there - FILLED_OTHERWISE == set()


@pytest.mark.parametrize(
    "data",
    [
        "叫闻人听雪的".encode(),
        "叫闻人听雪的".encode("utf-16-le"),
        "叫闻人听雪的".encode("utf-16-be"),
        "叫闻人听雪的".encode("gb18030"),
        json.dumps("叫闻人听雪的").encode(),
        json.dumps("叫闻人听雪的").upper().replace("\\U", "\\u").encode(),
        base64.b64encode("叫闻人听雪的".encode()),
        base64.b64encode(b"1" + "叫闻人听雪的".encode()),
        base64.b64encode(b"12" + "叫闻人听雪的".encode()),
    ],
)
def test_the_search_knows_every_usual_writing(data: bytes) -> None:
    assert len(traces(data, ["闻人听雪"])) == 1
    assert traces(data, ["欧阳"]) == []


@every_flow
async def test_the_client_refuses_the_buyers_data_in_every_field_of_every_flow(
    desk: Desk, flow: str, kept_by_temporal: Kept
) -> None:
    client = CaseworkClient(desk.client, desk.database)
    start, tried = opening_of(desk, flow, BUYER), 0
    start_type = FLOWS[flow].start_type
    for field in start_type.model_fields:
        for text in SENT:
            with pytest.raises(BadInput):
                await client.start_case(flow, {**start, field: set_in(start_type, field, text)})
            tried += 1
    case = await client.start_case(flow, start)
    seen = await client.view_at_rest(case)
    for trigger in may_be_sent(FLOWS[flow]):
        for _, message in messages(flow, trigger.name, SENT):
            with pytest.raises(BadInput):
                await client.submit(case, trigger.name, message, seen=seen)
            tried += 1
    tell(f"{flow}: {tried} messages with personal data refused by the client")
    await desk.client.get_workflow_handle(case).terminate()
    assert found_in(kept_by_temporal, SECRETS) == []


async def test_what_is_sent_through_client_and_commands_never_reaches_temporal(
    desk: Desk, casework: Casework, kept_by_temporal: Kept, logs: io.StringIO, tmp_path: Path
) -> None:
    client = CaseworkClient(desk.client, desk.database)
    order = order_of(desk, BUYER, prices=[(50_000, 1)])
    case = await client.start_case(FLOW, {"order_id": order, "by": AGENT, "reason": ONLY_ON_PURPOSE})
    seen = await client.view_at_rest(case)

    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"flow": FLOW, "order_id": order, "by": AGENT, "note": SENT[0]}), "utf-8")
    assert (await casework("batch", str(rows))).code == BAD_INPUT
    for text in SENT[::3]:
        for command in (
            ["start", "refund", "--order", order, "--by", AGENT, "--reason", text],
            ["submit", case, "buyer_insists", "--by", AGENT, "--note", text],
            ["cancel", case, "--by", "aftersale-lead.1", "--note", text],
        ):
            assert (await casework(*command)).code == BAD_INPUT

    assert (await client.submit(case, "buyer_keeps_order", {"by": AGENT, "note": "stays"})).version > seen.version
    await desk.end(desk.client.get_workflow_handle(case))
    assert found_in(kept_by_temporal, SECRETS) == []
    assert traces(logs.getvalue().encode(), (*SECRETS, MARK)) == []
    assert len(found_in(kept_by_temporal, [ONLY_ON_PURPOSE])) >= 2, "in the file, and in a row of it"
    assert '"event": "move"' in logs.getvalue()


@every_flow
async def test_cases_to_every_end_hold_nothing_of_the_buyers(
    staffed: Desk, flow: str, monkeypatch: pytest.MonkeyPatch, kept_by_temporal: Kept, logs: io.StringIO
) -> None:
    monkeypatch.setattr("tests.orders.RECEIVER", BUYER["receiver_name"])
    monkeypatch.setattr("tests.orders.ADDRESS", BUYER["address"])

    async def play(end: str) -> None:
        driver = Driver(HANDS[flow](staffed, planner_of(flow).way_into(end)))
        assert (await driver.play()).state == end
        with staffed.database.reading() as session:
            assert session.get_one(OrderRow, driver.hands.order_id).receiver_name == BUYER["receiver_name"]
        assert traces(await kept_of(driver.case), (*SECRETS, MARK)) == []

    await asyncio.gather(*(play(name) for name in FLOWS[flow].states if FLOWS[flow].is_final(name)))
    assert found_in(kept_by_temporal, (*SECRETS, MARK)) == []
    assert traces(logs.getvalue().encode(), (*SECRETS, MARK)) == []


async def test_a_step_that_fails_with_words_of_the_buyers_tells_temporal_and_the_logs_only_its_kind(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, kept_by_temporal: Kept, logs: io.StringIO
) -> None:
    broken, tried_again = True, threading.Event()
    settled = [IntegrityError(f"UPDATE {BUYER['phone']}", {}, ValueError(f"not unique\nDETAIL: {BUYER['address']}"))]
    pay, settle = payments.pay, settling.settle_refund

    def pay_or_fail(*arguments: Any, **options: Any) -> Any:
        if activity.info().attempt > 1:
            tried_again.set()
        if broken:
            raise KeyError(BUYER["receiver_name"]) from ValueError(f"cannot read {BUYER['address']}")
        return pay(*arguments, **options)

    def settle_or_fail(*arguments: Any, **options: Any) -> Any:
        if settled:
            raise settled.pop()
        return settle(*arguments, **options)

    monkeypatch.setattr(payments, "pay", pay_or_fail)
    monkeypatch.setattr(settling, "settle_refund", settle_or_fail)
    case = await desk.open_in("persuading", order_of(desk, BUYER), reason="bought twice")
    await desk.submit(case, "buyer_insists", AGENT)
    assert await asyncio.to_thread(tried_again.wait, 30)
    failed = await _last_failures(case)
    assert [(one.application_failure_info.type, one.message) for one in failed] == [("KeyError", NOT_REPEATED)]
    assert found_in(kept_by_temporal, SECRETS) == []
    broken = False
    assert (await desk.end(case)).outcome == "refunded"
    assert not settled
    assert found_in(kept_by_temporal, SECRETS) == []
    written = logs.getvalue()
    assert traces(written.encode(), SECRETS) == []
    assert "KeyError" in written
    assert "ValueError: not unique" in written, "the database's own first line"


async def _last_failures(case: Handle) -> list[Failure]:
    pending = (await case.describe()).raw_description.pending_activities
    return [one.last_failure for one in pending if one.HasField("last_failure")]


@every_flow
async def test_a_mobile_number_in_an_update_leaves_nothing_in_the_history(
    desk: Desk, flow: str, kept_by_temporal: Kept
) -> None:
    case = await stage_of(flow).reach(desk)
    before = {event.event_id async for event in case.fetch_history_events()}
    spellings = (MOBILE_OF_NOBODY, "177 8889-9001")
    tried = 0
    for trigger in may_be_sent(FLOWS[flow]):
        for _, message in messages(flow, trigger.name, spellings):
            with pytest.raises(WorkflowUpdateFailedError):
                await desk.update(case, {**message, "trigger": trigger.name})
            tried += 1
    tell(f"{flow}: {tried} updates with a mobile number refused by the validator")
    kinds = {
        EventType.Name(event.event_type) async for event in case.fetch_history_events() if event.event_id not in before
    }
    assert not [kind for kind in kinds if "UPDATE" in kind]
    assert found_in(kept_by_temporal, (*spellings, "77888990")) == []
    await case.terminate()


THEIR_OWN = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
}
"""The events in which Temporal stores what a stranger sent: nobody but the sender can keep that out."""


async def repeated(case: Handle) -> list[str]:
    """Where a case says again what a stranger sent: in any event but the stranger's own."""
    found: list[str] = []
    async for event in case.fetch_history_events():
        if event.event_type not in THEIR_OWN:
            kind = EventType.Name(event.event_type)
            found += [f"{kind}: {one}" for one in traces(event.SerializeToString(), STRANGERS_WORDS)]
    return found


@every_flow
async def test_what_a_stranger_sends_to_a_case_is_not_repeated_by_it(desk: Desk, flow: str, logs: io.StringIO) -> None:
    case = await stage_of(flow).reach(desk)
    belongs_to(desk, (await desk.view(case)).order_id, STRANGERS_BUYER)
    sent, words = 0, cycle(STRANGERS_WORDS)
    for trigger in may_be_sent(FLOWS[flow]):
        for field, message in messages(flow, trigger.name, words):
            if field in {"by", "id"} and str(message[field]).isascii():
                continue  # a nick of a staff id's form is taken for one
            await case.signal(trigger.name, message)
            with pytest.raises(WorkflowUpdateFailedError) as refused:
                await desk.update(case, {**message, "trigger": trigger.name})
            assert isinstance(refused.value.cause, ApplicationError)
            assert traces(refused.value.cause.message.encode(), STRANGERS_WORDS) == []
            sent += 2
    for name in ("澹台望舒", "no_such_trigger"):
        await case.signal(name, {"by": AGENT, "note": STRANGERS_WORDS[0]})
    tell(f"{flow}: {sent} messages of strangers refused by the case")
    assert traces(await kept_of(case), STRANGERS_WORDS) == []
    calls_off = stage_of(flow).calls_off
    await (case.cancel() if calls_off is None else desk.submit(case, "cancel_case", calls_off, note="no more"))
    view = await desk.end(case)
    assert [line.trigger for line in view.trail if line.accepted][-2:] == ["cancel_case", "undo"]
    assert traces(view.model_dump_json().encode(), STRANGERS_WORDS) == []
    assert await repeated(case) == []
    assert traces(logs.getvalue().encode(), STRANGERS_WORDS) == []


@every_flow
async def test_what_a_stranger_starts_a_case_with_is_not_repeated_by_it(
    desk: Desk, flow: str, logs: io.StringIO
) -> None:
    words, mobile = cycle(STRANGERS_WORDS), "15511122333"
    start_type = FLOWS[flow].start_type
    for field in start_type.model_fields:
        for text in (next(words), next(words), mobile):
            start = opening_of(desk, flow, STRANGERS_BUYER)
            case_id = prepare_start(desk.database, flow, start).case_id
            if field == "order_id":
                case_id = case_id.replace(start["order_id"], text)
            case = await desk.open_case(flow, case_id, {**start, field: set_in(start_type, field, text)})
            with pytest.raises(WorkflowFailureError) as failed:
                await case.result()
            assert traces(str(failed.value.cause).encode(), (*STRANGERS_WORDS, mobile)) == []
            if field != "order_id":  # that one stands in the workflow's id too
                assert await repeated(case) == []
    assert traces(logs.getvalue().encode(), STRANGERS_WORDS) == []


def test_an_error_of_somebody_elses_keeps_its_type_and_its_causes_and_loses_its_words() -> None:
    failure = Failure()
    try:
        try:
            int(BUYER["receiver_name"])
        except ValueError as error:
            raise ApplicationError("the step failed", type="Step") from error
    except ApplicationError as error:
        DATA_CONVERTER.failure_converter.to_failure(error, DATA_CONVERTER.payload_converter, failure)
    assert failure.message == "the step failed"
    assert (failure.cause.message, failure.cause.application_failure_info.type) == (NOT_REPEATED, "ValueError")
    assert "int(" in failure.cause.stack_trace
    assert traces(failure.SerializeToString(), SECRETS) == []
