"""Importers, policy, staff, batch files, starts, signals and updates take whatever comes, and answer in a sentence.

`make fuzz` sends each at least 10,000 inputs (`CASEWORK_FUZZ_EXAMPLES`), `make test` a sample.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from temporalio.client import (
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from casework.batch.reading import MOST_ROWS, read_rows
from casework.batch.running import Told, dry_run
from casework.case import Case, CaseView
from casework.client import BadInput, prepare_start
from casework.connection import is_not_there
from casework.policy import SHIPPED, PolicyError, load_policy
from casework.shop import payments
from casework.shop.database import Database
from casework.shop.errors import BadFile
from casework.shop.importing import import_files, keep_chat
from casework.shop.staff import load_sample_if_empty
from casework.shop.staff_file import BadStaff, import_staff
from casework.shop.tables import Base
from state_machines.asides import may_be_sent
from state_machines.common import CANCEL
from state_machines.flows import FLOWS
from state_machines.laws.worlds import WORLDS
from state_machines.roles import Role
from state_machines.table import Flow, StateKind
from tests.desk import Desk, Handle
from tests.fuzz.hostile import JSON, TEXTS, mutated, objects, raw
from tests.orders import add_order
from tests.shop import exports
from tests.telling import tell
from tests.walking.driver import STAFF, Driver
from tests.walking.flows import HANDS, planner_of
from worker import WORKFLOWS
from workflows.case import CaseWorkflow

EXAMPLES = int(os.environ.get("CASEWORK_FUZZ_EXAMPLES", "25"))
"""How many inputs each target is sent."""
SENT_EACH = max(10, min(EXAMPLES // 20, 500))
"""How many of them go to a real case, as a signal and as an update."""
SENT_RAW = SENT_EACH // 5
"""How many payloads besides that no client of ours would write."""
PATIENCE = 60
"""For how many seconds a case may take to answer."""
LONG = EXAMPLES >= 1_000
COMMENTS = 5_000 if LONG else 110
ROWS = 100_000 if LONG else MOST_ROWS + 1
LONGEST_SENTENCE = 1_500
"""Characters: what is refused is not repeated at length."""
NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
STARTS: dict[str, dict[str, Any]] = {
    "refund-before-shipping": {"reason": "bought twice", "lines": [{"line": 1, "quantity": 1}]},
    "return-after-shipping": {"cause": "quality", "defect": "hole", "photos": ["a.jpg", "b.jpg"]},
    "gift-approval": {"kind": "gift", "gift_sku": "GP-1", "quantity": 1, "cost_fen": 2500},
    "bulk-order": {"discount_percent": 5},
    "problem-parcel": {"waybill": "YT15666876131", "cause": "asked"},
}
ORDER = "330001990000000001"
UNHURRIED = (
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.large_base_example,
    HealthCheck.filter_too_much,
)
ValueT = TypeVar("ValueT")


def each(
    strategy: st.SearchStrategy[ValueT], check: Callable[[ValueT], str], target: str, many: int = EXAMPLES
) -> None:
    """Check many values; what each came to is told at the end of the run."""
    came_to: Counter[str] = Counter()

    @settings(max_examples=many, deadline=None, suppress_health_check=UNHURRIED, print_blob=True)
    @given(strategy)
    def checked(value: ValueT) -> None:
        came_to[check(value)] += 1

    checked()
    tell(f"fuzz {target}: {came_to.total()} inputs, {', '.join(f'{n} {what}' for what, n in sorted(came_to.items()))}")
    assert came_to.total() >= many


def as_object(value: Any) -> dict[str, Any] | None:
    """The value, where it is a JSON object."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def submitted(name: str, arguments: tuple[Any, ...]) -> list[Any]:
    """The same as an update: the trigger stands in the object."""
    fields = as_object(arguments[0]) if len(arguments) == 1 else None
    return list(arguments) if fields is None else [{**fields, "trigger": name}]


def require_sentence(text: str) -> None:
    """One plain sentence of a bounded length: no traceback, no repetition of what was sent."""
    assert text.strip()
    assert len(text) <= LONGEST_SENTENCE, f"{len(text)} characters"
    assert "Traceback" not in text
    assert "\x00" not in text


def counted(database: Database) -> tuple[Any, ...]:
    """How many rows each table has."""
    counts = [select(func.count()).select_from(table).scalar_subquery() for table in Base.metadata.sorted_tables]
    with database.reading() as session:
        return tuple(session.execute(select(*counts)).one())


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Database]:
    """A shop with the sample staff and an order."""
    with closing(Database(f"sqlite:///{tmp_path / 'shop.db'}")) as database:
        database.migrate()
        with database.writing() as session:
            load_sample_if_empty(session)
            add_order(session, ORDER, prices=[(10_000, 1)])
        yield database


# --- files ---


def export_files() -> tuple[bytes, ...]:
    orders = [exports.Order("330001990000000101"), exports.Order("330001990000000102", lines=(exports.Line(),) * 2)]
    texts = [
        exports.order_list(orders),
        exports.line_list(orders),
        exports.courier_answer("YT0000000001", ("2026-11-18 08:00:00", "1")),
        exports.GIFTS,
        exports.chat("330001990000000101"),
    ]
    return tuple(text.encode(encoding) for text in texts for encoding in ("gb18030", "utf-8", "utf-8-sig"))


def test_importers_take_whatever_comes(shop: Database, tmp_path: Path) -> None:
    file = tmp_path / "export"

    def check(content: bytes) -> str:
        file.write_bytes(content)
        before = counted(shop)
        if content.startswith(b"{"):  # also as the one conversation that a bulk order's dossier is opened with
            with suppress(BadFile):
                keep_chat(shop, file, "330001990000000101")
            before = counted(shop)
        try:
            report = import_files(shop, [file])
        except BadFile as refused:
            require_sentence(str(refused))
            assert counted(shop) == before, "nothing half-done"
            return "refused"
        for row in report.files[0].rejected:
            require_sentence(row.reason)
        return "with bad rows" if report.rejected else "taken"

    each(mutated(export_files()), check, "importers")
    with shop.reading() as session:
        assert payments.audit(session) == []


def test_policy_takes_whatever_comes(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    shipped = SHIPPED.read_bytes()
    small = b'version = "x-1"\n[shop]\nflag_profile = "handed_over"\n[bulk_order]\nmin_pieces = 30\n'

    def check(content: bytes) -> str:
        file.write_bytes(content)
        try:
            load_policy(file)
        except PolicyError as refused:
            require_sentence(str(refused))
            return "refused"
        return "taken"

    each(mutated((shipped, small, small)), check, "policy")


def test_staff_files_take_whatever_comes(tmp_path: Path) -> None:
    shop = Database(f"sqlite:///{tmp_path / 'staff.db'}")  # without the sample staff, which every import looks at
    shop.migrate()
    rows = (
        "id,name,roles,limit_fen,present,deputy,absent\n"
        'a,A 1,"aftersale_agent, warehouse",50000,yes,b,2026-12-24; 2026-12-01..2026-12-05\nb,B 1,财务经理,,no,,\n'
    )

    def check(content: bytes) -> str:
        before = counted(shop)
        try:
            with shop.writing() as session:
                import_staff(session, "staff.csv", content, zone="Asia/Shanghai", replacing=False)
        except BadFile as refused:
            require_sentence(str(refused))
        except BadStaff as refused:
            for fault in refused.faults:
                require_sentence(fault)
        else:
            return "taken"
        assert counted(shop) == before, "nothing half-done"
        return "refused"

    with closing(shop):
        each(mutated(tuple(rows.encode(one) for one in ("utf-8", "gb18030", "utf-8-sig"))), check, "staff")


def test_batch_files_take_whatever_comes(shop: Database) -> None:
    csv = (
        "流程,订单编号,订单行,申请原因,照片,数量,成本(分),折扣(%),运单号,开单人,平台截止时间\n"
        f'refund,="{ORDER}",1x2;3,尺码不合适,a;b,1,2500,5,YT15666876131,aftersale.1,2026/11/20 18:00\n'
    ).encode()
    lines = b"".join(
        json.dumps({"flow": name, "order_id": ORDER, "by": "aftersale.1", **start}, ensure_ascii=False).encode() + b"\n"
        for name, start in STARTS.items()
    )

    def check(content: bytes) -> str:
        try:
            rows = read_rows("batch", content, zone=ZONE)
        except BadFile as refused:
            require_sentence(str(refused))
            return "refused"
        for row in rows.refused:
            require_sentence(row.why)
        told: list[Told] = []
        dry_run(shop, rows.good, by="aftersale.1", again=False, tell=told.append)
        assert len(told) == len(rows.good)
        for one in told:
            require_sentence(one.why or one.outcome)
        return "with bad rows" if rows.refused else "taken"

    before = counted(shop)
    each(mutated((csv, csv.decode().encode("gb18030"), lines)), check, "batch files")
    assert counted(shop) == before


# --- starts ---


class Runtime:
    """As much of Temporal's as reading a start or a message needs."""

    def __init__(self, case_id: str, parent: str | None) -> None:
        self._info = SimpleNamespace(
            workflow_id=case_id,
            first_execution_run_id="run",
            continued_run_id=None,
            cron_schedule=None,
            parent=None if parent is None else SimpleNamespace(workflow_id=parent),
            workflow_start_time=NOW,
            is_continue_as_new_suggested=lambda: False,
        )

    def workflow_info(self) -> Any:
        return self._info

    def workflow_time_ns(self) -> int:
        return int(NOW.timestamp() * 1_000_000_000)

    def workflow_is_replaying(self) -> bool:
        return False

    def workflow_register_random_seed_callback(self, _callback: Callable[[int], None]) -> None:
        """It is never reset."""


def class_of(flow: str) -> type[CaseWorkflow[Any]]:
    return next(one for one in WORKFLOWS if issubclass(one, CaseWorkflow) and one.flow.name == flow)


@st.composite
def starts(draw: st.DrawFn, order_id: str = ORDER) -> tuple[str, str | None, Any]:
    """A flow, the workflow that opens it, if one does, and what it is started with."""
    flow = draw(st.sampled_from(sorted(FLOWS)))
    parent = draw(st.sampled_from([None, None, None, "bulk-order-1", "problem-parcel-YT1", "x"]))
    good: dict[str, Any] = {"order_id": order_id, "by": "aftersale.1" if parent is None else "system", **STARTS[flow]}
    names = (*FLOWS[flow].start_type.model_fields, "carried", "from_case")
    return flow, parent, draw(objects(good, names))


def test_starts_take_whatever_comes(shop: Database) -> None:
    before = counted(shop)
    loop = asyncio.new_event_loop()

    async def opened(flow: str, arguments: tuple[Any, ...]) -> str | None:
        return class_of(flow)(*arguments)._bad_start  # pyright: ignore[reportPrivateUsage] - a test may look inside

    def check(start: tuple[str, str | None, Any]) -> str:
        flow, parent, given = start
        fields = as_object(given)
        setattr(loop, "__temporal_workflow_runtime", Runtime(f"{flow}-{ORDER}", parent))
        bad_start = loop.run_until_complete(opened(flow, (given,)))
        if bad_start is not None:
            require_sentence(bad_start)
        if fields is not None:
            try:
                prepare_start(shop, flow, fields)
            except BadInput as refused:
                require_sentence(str(refused))
        return "taken" if bad_start is None else "refused"

    with closing(loop):
        each(starts(), check, "starts")
    assert counted(shop) == before


def left_of(database: Database, case_id: str) -> list[str]:
    """The shop's tables in which something of the case stands."""
    tables = [table for table in Base.metadata.sorted_tables if "case_id" in table.c]
    with database.reading() as session:
        return [
            table.name
            for table in tables
            if session.execute(select(table.c.case_id).where(table.c.case_id == case_id).limit(1)).first()
        ]


async def require_no_stuck_task(case: Handle) -> None:
    """No workflow task of the case has failed, or is tried again."""
    description = await case.describe()
    assert description.raw_description.pending_workflow_task.attempt <= 1
    failed = [
        event.workflow_task_failed_event_attributes.failure.message
        async for event in case.fetch_history_events()
        if event.HasField("workflow_task_failed_event_attributes")
    ]
    assert failed == []


async def bad_start(case: Handle) -> str:
    """What a case that has failed says of its start."""
    with pytest.raises(WorkflowFailureError) as failed:
        await case.result()
    assert isinstance(failed.value.cause, ApplicationError)
    assert (failed.value.cause.type, failed.value.cause.non_retryable) == ("BadStart", True)
    return failed.value.cause.message


@pytest.mark.timeout(900)
async def test_real_cases_are_started_with_whatever_comes(desk: Desk) -> None:
    """A bad start fails at once, in a sentence, and leaves nothing in the shop; another one is a case that can end."""
    given = [one for one in collected(starts("ORDER"), SENT_EACH) if can_be_sent(("start", (one[2],)))]
    payloads = [(flow, start) for flow, _, start in given]
    payloads += [("refund-before-shipping", one) for one in collected(raw((b'{"order_id": 1, "by": "x"}',)), SENT_RAW)]
    said: Counter[str] = Counter()

    async def started(number: int, flow: str, start: Any) -> None:
        order = desk.order(shipped=flow in ("return-after-shipping", "problem-parcel"))
        start = start if isinstance(start, RawValue) else json.loads(json.dumps(start).replace("ORDER", order))
        case = await desk.client.start_workflow(
            FLOWS[flow].workflow, start, id=f"{flow}-{order}-{number}", task_queue=desk.task_queue
        )
        async with asyncio.timeout(PATIENCE):
            with suppress(WorkflowQueryFailedError):  # it has failed
                await desk.view(case)
            await desk.at_rest(case)
            status = (await case.describe()).status
            if status == WorkflowExecutionStatus.FAILED:
                require_sentence(await bad_start(case))
                assert left_of(desk.database, case.id) == []
                said["refused"] += 1
            else:
                if status == WorkflowExecutionStatus.RUNNING:
                    await case.cancel()
                said[(await desk.end(case)).outcome or ""] += 1
        await require_no_stuck_task(case)

    for number, (flow, start) in enumerate(payloads):
        await started(number, flow, start)
    tell(f"fuzz real starts: {', '.join(f'{n} {what}' for what, n in sorted(said.items()))}")
    assert said["refused"]


# --- messages ---


def message_of(flow: Flow[Any], trigger: str) -> dict[str, Any]:
    known = next((one for one in may_be_sent(flow) if one.name == trigger), None)
    case = WORLDS[flow.name].openings[0].case
    if known is None or known.name not in flow.triggers:
        return {"by": "aftersale.1", "text": "looked at", "question": "?", "to": "aftersale.2"}
    return WORLDS[flow.name].message(case, trigger, "aftersale.1").model_dump(mode="json", exclude_none=True)


@st.composite
def messages(draw: st.DrawFn, flow: Flow[Any]) -> tuple[str, tuple[Any, ...]]:
    """A trigger's name and the arguments that come with it: nearly always one."""
    known = tuple(one.name for one in may_be_sent(flow))
    name = draw(st.sampled_from(known) | TEXTS) if draw(st.integers(0, 9)) == 0 else draw(st.sampled_from(known))
    fields = {one for trigger in may_be_sent(flow) for one in trigger.message.model_fields}
    arguments = [draw(objects(message_of(flow, name), tuple(sorted(fields))))]
    if draw(st.integers(0, 9)) == 0:
        arguments = draw(st.lists(JSON, max_size=3))
    return name, tuple(arguments)


def resting(flow: Flow[Any]) -> CaseWorkflow[Any]:
    """A case of the flow as it reads messages, outside Temporal."""
    case = WORLDS[flow.name].openings[0].case.model_copy(deep=True)
    workflow = object.__new__(class_of(flow.name))
    parts: dict[str, Any] = {
        "_inbox": deque(),
        "_cancels": deque(),
        "_waiting_for_answer": {},
        "_bad_start": None,
        "case": case,
    }
    for name, value in parts.items():
        setattr(workflow, name, value)
    return workflow


@pytest.mark.parametrize("flow", FLOWS)
def test_signals_and_updates_take_whatever_comes(flow: str) -> None:
    loop = asyncio.new_event_loop()
    setattr(loop, "__temporal_workflow_runtime", Runtime("x", None))
    case = resting(FLOWS[flow])
    lone = resting(FLOWS[flow])

    async def taken(message: tuple[str, tuple[Any, ...]]) -> str:
        name, arguments = message
        try:
            lone.check_submit(*submitted(name, arguments))
        except ApplicationError as refused:
            require_sentence(refused.message)
        case.unknown_signal(name, ())
        received = case.receive(name, arguments)
        case._inbox.clear()  # pyright: ignore[reportPrivateUsage] - a test may look inside
        case._waiting_for_answer.clear()  # pyright: ignore[reportPrivateUsage] - a test may look inside
        if received.problem is None:
            assert received.message is not None
            return "understood"
        require_sentence(received.problem)
        # as the loop does with what came as a signal of its own name
        case._refuse(received if name in known else unknown(received), received.problem)  # pyright: ignore[reportPrivateUsage] - a test may look inside
        return "refused"

    known = {one.name for one in may_be_sent(FLOWS[flow])}

    def unknown(received: Any) -> Any:
        received.trigger = "unknown"
        return received

    def check(message: tuple[str, tuple[Any, ...]]) -> str:
        return loop.run_until_complete(taken(message))

    with closing(loop):
        each(messages(FLOWS[flow]), check, f"signals and updates of {flow}", EXAMPLES // len(FLOWS))
    assert lone.case == WORLDS[flow].openings[0].case, "a validator changes nothing"
    size = len(Case[Any].model_dump_json(case.case))
    assert size < 500_000, f"{size} bytes are more than Temporal should carry"


def collected(strategy: st.SearchStrategy[ValueT], many: int) -> list[ValueT]:
    """So many values of the strategy, to be sent where Hypothesis cannot wait."""
    found: list[ValueT] = []

    @settings(max_examples=many, deadline=None, database=None, suppress_health_check=UNHURRIED)
    @given(strategy)
    def collect(value: ValueT) -> None:
        found.append(value)

    collect()
    return found


def message_in(refused: WorkflowUpdateFailedError) -> str:
    """What the case says, and nothing else says it for the case."""
    assert isinstance(refused.cause, ApplicationError)
    assert refused.cause.type == "Refused"
    return refused.cause.message


def can_be_sent(message: tuple[str, tuple[Any, ...]]) -> bool:
    """Whether a client can write it down at all, and it may not end the case that all others are sent to."""
    name, arguments = message
    values = [one for one in arguments if not isinstance(one, RawValue)]
    try:
        json.dumps(values, allow_nan=False).encode()
        "".join([name, json.dumps(values, ensure_ascii=False)]).encode()
    except ValueError:
        return False
    return bool(name) and len(name) < 500


async def answered(desk: Desk, case: Handle, arguments: list[Any]) -> str:
    """What becomes of an update: it is taken, or refused in a sentence, soon."""
    try:
        async with asyncio.timeout(PATIENCE):
            await desk.update(case, *arguments)
    except WorkflowUpdateFailedError as refused:
        require_sentence(message_in(refused))
        return "refused"
    return "taken"


async def waiting(desk: Desk, flow: str) -> Handle:
    """A case of the flow in the first wait that it comes to."""
    if flow == "refund-before-shipping":
        return await desk.open_in("persuading", desk.order(), reason="x")
    state = next(name for name, state in FLOWS[flow].states.items() if state.kind is StateKind.WAIT)
    driver = Driver(HANDS[flow](desk, planner_of(flow).way_into(state)))
    await driver.go()
    await desk.until(driver.case, state)
    return driver.case


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("flow", FLOWS if LONG else ["refund-before-shipping"])
async def test_a_real_case_takes_whatever_comes_and_goes_on(staffed: Desk, flow: str) -> None:
    desk, case = staffed, await waiting(staffed, flow)
    sent: list[tuple[str, tuple[Any, ...]]] = collected(messages(FLOWS[flow]), SENT_EACH)
    known = sorted(one.name for one in may_be_sent(FLOWS[flow]))
    good = json.dumps({"by": "nobody.1", "trigger": known[0], "note": "x"}).encode()
    sent += [(known[number % len(known)], (one,)) for number, one in enumerate(collected(raw((good,)), SENT_RAW))]
    before = await desk.view(case)
    said: Counter[str] = Counter()
    for name, arguments in filter(can_be_sent, sent):
        # a second sender, whom nobody knows: nothing that this one says moves the case
        told = tuple(
            {**fields, "by": "nobody.1"} if "by" in (fields := as_object(one) or {}) else one for one in arguments
        )
        try:
            await case.signal(name, args=list(told))
            said["signals"] += 1
        except RPCError as error:
            require_sentence(error.message)
        said[f"updates {await answered(desk, case, submitted(name, told))}"] += 1
    await desk.at_rest(case)
    await require_no_stuck_task(case)
    after = await desk.view(case)
    assert (after.state, after.version) == (before.state, before.version), "nothing of it moved the case"
    # Temporal's own cancel is refused by a bulk order whose review has not passed
    await desk.submit(case, CANCEL, STAFF[FLOWS[flow].roles_of(CANCEL)[0]], note="enough seen")
    desk.require_whole(await desk.end(case))
    tell(f"fuzz a real case of {flow}: {', '.join(f'{n} {what}' for what, n in sorted(said.items()))}")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("flow", FLOWS if LONG else ["refund-before-shipping"])
async def test_a_real_case_takes_whatever_people_who_may_act_say(staffed: Desk, flow: str) -> None:
    desk, case, said = staffed, await waiting(staffed, flow), Counter[str]()
    for name, arguments in filter(can_be_sent, collected(messages(FLOWS[flow]), SENT_EACH)):
        who = STAFF[next(iter(FLOWS[flow].roles_of(name)), Role.AFTERSALE_AGENT)]
        told = [{**fields, "by": who} if (fields := as_object(one)) else one for one in arguments]
        try:
            said[await answered(desk, case, submitted(name, tuple(told)))] += 1
        except RPCError as error:
            if not is_not_there(error):  # else it has just ended
                raise
            said["too late"] += 1
        if (await desk.view(case)).final:
            desk.require_whole(await desk.end(case))
            case = await waiting(desk, flow)
            said["cases ended"] += 1
    await desk.at_rest(case)
    await require_no_stuck_task(case)
    with desk.database.reading() as session:
        assert payments.audit(session) == []
    tell(f"fuzz people who may act on {flow}: {', '.join(f'{n} {what}' for what, n in sorted(said.items()))}")


# --- sizes ---


async def refusal(desk: Desk, case: Handle, **fields: Any) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await desk.submit(case, "comment", "aftersale.1", **fields)
    return message_in(refused.value)


async def test_a_note_of_a_megabyte_is_refused_in_a_sentence(desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="x")
    megabyte = "x" * 1024 * 1024
    assert await refusal(desk, case, text=megabyte) == "text: text of at most 500 characters is wanted"
    assert await refusal(desk, case, text="x", note=megabyte) == "note: text of at most 500 characters is wanted"
    await desk.signal(case, "buyer_keeps_order", "aftersale.1", note=megabyte)
    view = await desk.until_shown(case, lambda seen: len(seen.trail) == 3, "refused")
    assert view.trail[-1].why == "note: text of at most 500 characters is wanted"
    assert len(view.model_dump_json()) < 10_000
    await case.cancel()


LINES = [{"line": number, "quantity": 1} for number in range(1, 100_001)]
AT_MOST_200 = "lines: a list of at most 200 is wanted"


async def test_a_list_of_a_hundred_thousand_lines_is_refused_in_a_sentence(desk: Desk) -> None:
    start: dict[str, Any] = {"order_id": desk.order(), "by": "aftersale.1", "lines": LINES}
    with pytest.raises(BadInput, match=f"^{AT_MOST_200}"):
        prepare_start(desk.database, "refund-before-shipping", start)

    async def started(some: dict[str, Any]) -> Handle:
        return await desk.client.start_workflow(
            "RefundBeforeShipping", some, id=f"refund-before-shipping-{start['order_id']}", task_queue=desk.task_queue
        )

    with pytest.raises(RPCError, match="exceeds"):
        await started(start)  # Temporal itself takes no payload of two megabytes
    case = await started({**start, "lines": LINES[:50_000]})
    assert await bad_start(case) == AT_MOST_200
    await require_no_stuck_task(case)


def test_a_batch_of_too_many_rows_is_refused_in_a_sentence() -> None:
    rows = b"".join(b"refund,%d\n" % (10**17 + number) for number in range(ROWS))
    said = f"batch: has {ROWS} rows; a batch has at most {MOST_ROWS}: split it"
    with pytest.raises(BadFile, match=said):
        read_rows("batch", b"flow,order_id\n" + rows, zone=ZONE)
    with pytest.raises(BadFile, match=said):
        read_rows("batch", b'{"flow": "refund"}\n' * ROWS, zone=ZONE)


def test_a_staff_list_of_a_hundred_thousand_people_is_refused_in_a_sentence(shop: Database) -> None:
    people = b"".join(b"a.%d,A,warehouse\n" % number for number in range(100_000))
    with shop.writing() as session, pytest.raises(BadFile, match=r"^staff: is far larger than any staff list"):
        import_staff(session, "staff", b"id,name,roles\n" + people, zone="Asia/Shanghai", replacing=False)


@pytest.mark.timeout(900)
async def test_thousands_of_comments_on_a_case_are_bounded(desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="x")
    for number in range(0, COMMENTS, 50):
        some = range(number, min(number + 50, COMMENTS))
        await asyncio.gather(*[desk.signal(case, "comment", "aftersale.1", text=f"looked at {one}") for one in some])
        await desk.at_rest(case)

    def all_answered(view: CaseView) -> bool:
        forgotten = [int((line.why or "0").split()[0]) for line in view.trail if line.trigger == "no_longer_listed"]
        return sum(line.trigger == "comment" for line in view.trail) + sum(forgotten) >= COMMENTS

    view = await desk.until_shown(case, all_answered, "answered all")
    taken = [line for line in view.trail if line.trigger == "comment" and line.accepted]
    assert len(taken) == 100
    refused = {line.why for line in view.trail if line.trigger == "comment" and not line.accepted}
    assert refused == {"100 comments, questions and answers stand in this case; it takes no more"}
    assert len(view.model_dump_json()) < 200_000
    assert (await desk.submit(case, "buyer_keeps_order", "aftersale.1")).version == 3
    assert (await desk.end(case)).outcome == "kept"
    tell(f"fuzz sizes: {COMMENTS} comments on a case, {len(taken)} taken, {len(view.model_dump_json())} bytes of view")
