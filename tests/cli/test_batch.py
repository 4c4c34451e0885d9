"""`casework batch` against the running desk: whatever is in the file and whenever it is killed, nothing opens twice."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.orm import Session
from temporalio.service import RPCError, RPCStatusCode

from casework.batch.reading import GoodRow, read_rows
from casework.batch.running import Checker, Told, open_rows
from casework.cli.errors import BAD_INPUT, DONE, FAILED
from casework.client import CaseEnded, CaseRefused, CaseworkClient, PreparedStart, UnknownCase
from casework.shop import records
from casework.shop.tables import BatchOpeningRow, ShipmentRow
from tests.cli.commands import Casework, address, shop_url
from tests.cli.test_terminal import on_terminal
from tests.desk import FLOW, Desk

ROOT = Path(__file__).parents[2]
AGENT = "aftersale.1"


@pytest.fixture
async def opened(desk: Desk) -> AsyncIterator[list[str]]:
    """The cases that a test opens: those that are still open are ended after it."""
    cases: list[str] = []
    yield cases
    client = CaseworkClient(desk.client, desk.database, answer_seconds=60)
    for case_id in cases:
        # called off, not terminated: Temporal's SDK would complain about that on the output of the next test
        try:
            await client.view_at_rest(case_id)
            await client.cancel(case_id)
        except (UnknownCase, CaseEnded):
            continue
        except CaseRefused:  # in a bulk order, only a person may
            await desk.client.get_workflow_handle(case_id).terminate()
        else:
            await desk.end(desk.client.get_workflow_handle(case_id))


def environment(desk: Desk, home: Path) -> dict[str, str]:
    """What a command in a process of its own runs with."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("CASEWORK_", "TEMPORAL_"))}
    return {
        **mine,
        "CASEWORK_HOME": str(home),
        "CASEWORK_LANG": "en",
        "CASEWORK_DATABASE_URL": shop_url(desk),
        "TEMPORAL_ADDRESS": address(desk),
        "TEMPORAL_NAMESPACE": desk.client.namespace,
    }


def jsonl(folder: Path, *starts: dict[str, Any], name: str = "rows.jsonl") -> Path:
    file = folder / name
    file.write_text("".join(json.dumps(start, ensure_ascii=False) + "\n" for start in starts), "utf-8")
    return file


def refund(order: str, **fields: Any) -> dict[str, Any]:
    return {"flow": FLOW, "order_id": order, "by": AGENT, **fields}


def refunds(desk: Desk, count: int, opened: list[str]) -> list[dict[str, Any]]:
    """Starts of refunds of new orders."""
    orders = [desk.order() for _ in range(count)]
    opened += [f"{FLOW}-{order}" for order in orders]
    return [refund(order, reason="bought twice") for order in orders]


def runs(desk: Desk, case_id: str) -> int:
    """How often a case was opened, as the shop has recorded it."""
    with desk.database.reading() as session:
        return len(records.find_records(session, case_id=case_id))


async def begin(desk: Desk, cases: Sequence[str]) -> None:
    """Wait until a worker has recorded them all."""
    client = CaseworkClient(desk.client, desk.database)
    for case_id in cases:
        await client.view_at_rest(case_id)


async def end(desk: Desk, cases: Sequence[str]) -> None:
    """Call the cases off, and wait for their ends."""
    client = CaseworkClient(desk.client, desk.database)
    for case_id in cases:
        await client.cancel(case_id)
        await desk.end(desk.client.get_workflow_handle(case_id))


async def batch(desk: Desk, starts: Sequence[dict[str, Any]]) -> list[str]:
    """Open the rows as a script does, and say what became of each."""
    content = "".join(f"{json.dumps(start)}\n" for start in starts).encode()
    rows = read_rows("rows", content, zone=ZoneInfo("Asia/Shanghai")).good
    told: list[Told] = []
    client = CaseworkClient(desk.client, desk.database)
    await open_rows(client, desk.database, rows, by=None, at_once=1, tell=told.append)
    return [str(one.outcome) for one in told]


def outcomes(told: Any) -> list[str]:
    return [row["outcome"] for row in told["rows"]]


# --- five flows, twice ---


def five_flows(desk: Desk) -> list[dict[str, Any]]:
    """A start of each flow, as the contract has it."""
    unshipped, shipped, gift, bulk, lost = (
        desk.order(),
        desk.order(prices=((10_000, 2), (5_000, 1)), shipped=True),
        desk.order(),
        desk.order(prices=((30_000, 20),)),
        desk.order(shipped=True),
    )
    with desk.database.reading() as session:
        waybill = session.query(ShipmentRow).filter_by(order_id=lost).one().waybill
    return [
        {"flow": FLOW, "order_id": unshipped, "by": AGENT, "reason": "尺码不合适"},
        {
            "flow": "return-after-shipping",
            "order_id": shipped,
            "by": AGENT,
            "cause": "quality",
            "defect": "hole",
            "lines": [{"line": 1, "quantity": 1}],
            "photos": ["a.jpg", "b.jpg"],
            "opened": True,
        },
        {
            "flow": "gift-approval",
            "order_id": gift,
            "by": "presale.1",
            "kind": "gift",
            "gift_sku": desk.gift("GP-BATCH", 2_500),
            "quantity": 2,
            "cost_fen": 5_000,
        },
        {"flow": "bulk-order", "order_id": bulk, "by": "presale.1", "discount_percent": "5"},
        {
            "flow": "problem-parcel",
            "order_id": lost,
            "by": "parcel.1",
            "waybill": waybill,
            "courier": "yuantong",
            "cause": "exception",
        },
    ]


def ids_of(starts: Sequence[dict[str, Any]]) -> list[str]:
    ends = ["", "-1", "-gift", "", ""]
    named = [start.get("waybill", start["order_id"]) for start in starts]
    return [f"{start['flow']}-{name}{end}" for start, name, end in zip(starts, named, ends, strict=True)]


HEADINGS = {
    "流程": "flow",
    "订单编号": "order_id",
    "开单人": "by",
    "申请原因": "reason",
    "事由": "cause",
    "瑕疵": "defect",
    "订单行": "lines",
    "照片": "photos",
    "已拆封": "opened",
    "赠送类别": "kind",
    "赠品编码": "gift_sku",
    "数量": "quantity",
    "成本(分)": "cost_fen",
    "折扣(%)": "discount_percent",
    "运单号": "waybill",
    "快递公司代码": "courier",
}


def as_table(starts: Sequence[dict[str, Any]]) -> str:
    """The same starts as a spreadsheet would hold them."""
    lines = [",".join(HEADINGS)]
    for start in starts:
        cells = {name: str(start.get(name, "")) for name in HEADINGS.values()}
        cells["order_id"] = f'"=""{start["order_id"]}"""'
        cells["lines"] = "1x1" if "lines" in start else ""
        cells["photos"] = ";".join(start.get("photos", ()))
        cells["opened"] = "是" if start.get("opened") else ""
        lines.append(",".join(cells.values()))
    return "\r\n".join(lines) + "\r\n"


async def test_five_flows_in_one_file_are_opened_once_from_a_spreadsheet_and_from_json(
    casework: Casework, desk: Desk, tmp_path: Path, opened: list[str]
) -> None:
    starts = five_flows(desk)
    cases = ids_of(starts)
    opened += cases
    table = tmp_path / "rows.csv"
    table.write_bytes(as_table(starts).encode("gb18030"))
    done = await casework("batch", str(table))
    assert (done.code, done.out) == (DONE, "opened: 5\n"), done.err
    await begin(desk, cases)
    with desk.database.reading() as session:
        assert [line.quantity for line in records.lines_of(session, cases[1])] == [1]
    # the same rows as JSON: what they say is remembered, not how they are written
    again = await casework("batch", str(jsonl(tmp_path, *starts)), "--json")
    assert again.code == DONE
    assert outcomes(again.json) == ["remembered"] * 5
    assert [row["case_id"] for row in again.json["rows"]] == cases
    assert [runs(desk, case_id) for case_id in cases] == [1] * 5


async def test_what_was_opened_stays_remembered_after_the_case_has_closed_unless_asked_again(
    casework: Casework, desk: Desk, tmp_path: Path, opened: list[str]
) -> None:
    file = str(jsonl(tmp_path, *refunds(desk, 2, opened)))
    assert (await casework("batch", file)).out == "opened: 2\n"
    await begin(desk, opened)
    await end(desk, opened[:1])
    assert (await casework("batch", file)).out == "remembered: 2\n"
    assert (await casework("batch", file, "--dry-run")).out == "remembered: 2\n"
    dry = await casework("batch", file, "--again", "--dry-run", "--json")
    assert outcomes(dry.json) == ["would_open", "open_already"]
    again = await casework("batch", file, "--again", "--json")
    assert again.code == DONE
    assert outcomes(again.json) == ["opened", "open_already"]
    await begin(desk, opened)
    assert [runs(desk, case_id) for case_id in opened] == [2, 1]
    await end(desk, opened)
    assert (await casework("batch", file)).out == "remembered: 2\n", "that one was open already does not undo it"


async def test_a_case_that_somebody_else_has_open_is_named_and_opened_once_it_has_closed(
    casework: Casework, desk: Desk, tmp_path: Path, opened: list[str]
) -> None:
    file = str(jsonl(tmp_path, *refunds(desk, 1, opened)))
    await desk.open_in("persuading", opened[0].removeprefix(f"{FLOW}-"), reason="another")
    first = await casework("batch", file)
    assert (first.code, first.out) == (DONE, f"line 1: open already: {opened[0]}\nopen already: 1\n")
    await end(desk, opened)
    assert (await casework("batch", file)).out == "opened: 1\n"


async def test_an_open_case_that_has_one_of_the_lines_is_named(
    casework: Casework, desk: Desk, tmp_path: Path, opened: list[str]
) -> None:
    order = desk.order(prices=((10_000, 1), (10_000, 1)))
    opened.append(f"{FLOW}-{order}")
    await desk.open_in("persuading", order, reason="all of it")
    some = jsonl(tmp_path, refund(order, lines=[{"line": 1, "quantity": 1}]))
    for options in ([], ["--dry-run"]):
        told = (await casework("batch", str(some), "--json", *options)).json
        assert outcomes(told) == ["open_already"]
        assert told["rows"][0]["case_id"] == opened[0]


# --- killed ---

KILLED = """
import os, signal, sys
from casework.batch import memory
from casework.cli import run
from casework.client import CaseEnded, CaseRefused, CaseworkClient, UnknownCase

moment, count = sys.argv[1], int(sys.argv[2])
sent, send, note = 0, CaseworkClient.send_start, memory.opened

def die():
    os.kill(os.getpid(), signal.SIGKILL)

async def send_start(self, prepared):
    global sent
    if moment == "before the start" and sent == count:
        die()
    case_id = await send(self, prepared)
    sent += 1
    if moment == "after the start" and sent == count:
        die()
    if moment == "Ctrl-C" and sent == count:
        os.kill(os.getpid(), signal.SIGINT)
    return case_id

def opened(session, digests, at):
    note(session, digests, at)
    if moment == "before the commit" and digests:
        die()

CaseworkClient.send_start, memory.opened = send_start, opened
sys.exit(run(sys.argv[3:]))
"""
"""A real process that ends at one exact moment, as by a power cut or by Ctrl-C."""


async def ended(
    desk: Desk, folder: Path, moment: str, count: int, file: Path, *options: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a batch that is ended at a moment."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", KILLED, moment, str(count), "batch", str(file), "--at-once", "1", *options],
        cwd=ROOT,
        env=environment(desk, folder / "home"),
        capture_output=True,
        check=False,
    )


async def killed(desk: Desk, folder: Path, moment: str, count: int, file: Path, *options: str) -> None:
    """Run a batch that is killed at a moment."""
    done = await ended(desk, folder, moment, count, file, *options)
    assert done.returncode == -9, done.stderr.decode()


async def test_after_ctrl_c_it_says_what_became_of_each_row_and_goes_on_when_run_again(
    casework: Casework, desk: Desk, tmp_path: Path, opened: list[str]
) -> None:
    file = jsonl(tmp_path, *refunds(desk, 4, opened))
    done = await ended(desk, tmp_path, "Ctrl-C", 2, file, "--json")
    assert done.returncode == FAILED
    assert done.stderr.decode() == "Interrupted: run the same command again, and it opens what is left.\n"
    first = outcomes(json.loads(done.stdout))
    assert first[:2] == ["opened"] * 2
    assert first[3] == "not_reached"
    second = outcomes((await casework("batch", str(file), "--json")).json)
    assert second[:2] == ["remembered"] * 2
    assert second[3] == "opened"
    await begin(desk, opened)
    assert [runs(desk, case_id) for case_id in opened] == [1] * 4


@pytest.mark.parametrize(
    ("moment", "started"), [("before the start", 2), ("after the start", 2), ("before the commit", 4)]
)
@pytest.mark.parametrize("closed", [False, True], ids=["still open", "closed meanwhile"])
async def test_killed_in_the_middle_and_run_again_it_opens_the_rest_and_nothing_twice(
    casework: Casework, desk: Desk, tmp_path: Path, opened: list[str], moment: str, started: int, closed: bool
) -> None:
    file = jsonl(tmp_path, *refunds(desk, 4, opened))
    await killed(desk, tmp_path, moment, started, file)
    await begin(desk, opened[:started])
    if closed:
        await end(desk, opened[:started])
    done = await casework("batch", str(file), "--json")
    assert done.code == DONE, done.err
    assert outcomes(done.json) == ["remembered"] * started + ["opened"] * (4 - started)
    await begin(desk, opened[started:])
    assert [runs(desk, case_id) for case_id in opened] == [1] * 4
    assert (await casework("batch", str(file))).out == "remembered: 4\n"


async def test_killed_before_any_worker_saw_what_it_had_opened_it_still_opens_nothing_twice(
    desk: Desk, casework: Casework, tmp_path: Path, opened: list[str]
) -> None:
    file = jsonl(tmp_path, *refunds(desk, 2, opened))
    reached, go_on = asyncio.Event(), asyncio.Event()
    desk.gates.stopped["open_case", opened[0].removeprefix(f"{FLOW}-")] = (reached, go_on)
    await killed(desk, tmp_path, "after the start", 1, file)
    told = (await casework("batch", str(file), "--json")).json
    go_on.set()
    assert outcomes(told) == ["open_already", "opened"], "Temporal knows it, the shop does not yet"
    await begin(desk, opened)
    await end(desk, opened)
    assert outcomes((await casework("batch", str(file), "--json")).json) == ["remembered"] * 2
    assert [runs(desk, case_id) for case_id in opened] == [1] * 2


async def test_killed_while_it_opens_again_it_goes_on_without_being_asked_so(
    casework: Casework, desk: Desk, tmp_path: Path, opened: list[str]
) -> None:
    file = jsonl(tmp_path, *refunds(desk, 3, opened))
    await casework("batch", str(file))
    await begin(desk, opened)
    await end(desk, opened)
    await killed(desk, tmp_path, "after the start", 1, file, "--again")
    await begin(desk, opened[:1])
    await end(desk, opened[:1])
    told = (await casework("batch", str(file), "--json")).json
    assert outcomes(told) == ["remembered", "opened", "opened"]
    await begin(desk, opened)
    assert [runs(desk, case_id) for case_id in opened] == [2] * 3


async def test_two_at_the_same_time_open_nothing_twice(desk: Desk, tmp_path: Path, opened: list[str]) -> None:
    file = jsonl(tmp_path, *refunds(desk, 12, opened))
    command = [sys.executable, "-m", "casework", "batch", str(file), "--json"]
    processes = [
        await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=environment(desk, tmp_path / "home"), stdout=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    said = await asyncio.gather(*(process.communicate() for process in processes))
    assert [process.returncode for process in processes] == [DONE, DONE]
    both = [outcomes(json.loads(out)) for out, _ in said]
    assert all(pair.count("opened") <= 1 for pair in zip(*both, strict=True))
    await begin(desk, opened)
    assert [runs(desk, case_id) for case_id in opened] == [1] * 12


@pytest.mark.parametrize("winner", [0, 1], ids=["the one that began first", "the other one"])
async def test_of_two_at_the_same_time_the_loser_does_not_forget_what_the_winner_opens(
    desk: Desk, opened: list[str], monkeypatch: pytest.MonkeyPatch, winner: int
) -> None:
    starts = refunds(desk, 1, opened)
    send = CaseworkClient.send_start
    at_the_start, has_won, has_lost = [asyncio.Event(), asyncio.Event()], asyncio.Event(), asyncio.Event()
    number = iter(range(2))

    async def send_start(self: CaseworkClient, prepared: PreparedStart) -> str:
        mine = next(number)
        at_the_start[mine].set()
        await at_the_start[1].wait()  # both have begun it
        if mine != winner:
            await has_won.wait()
            return await send(self, prepared)
        case_id = await send(self, prepared)
        has_won.set()
        await has_lost.wait()  # and noted that
        return case_id

    with monkeypatch.context() as patched:
        patched.setattr(CaseworkClient, "send_start", send_start)
        first = asyncio.create_task(batch(desk, starts))
        await at_the_start[0].wait()
        second = asyncio.create_task(batch(desk, starts))
        await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
        has_lost.set()
        both = [await first, await second]
    assert both[winner] == ["opened"]
    assert both[1 - winner] == ["open_already"]
    await begin(desk, opened)
    await end(desk, opened)
    assert await batch(desk, starts) == ["remembered"]


async def test_what_another_has_opened_and_closed_since_it_was_checked_is_not_opened_again(
    desk: Desk, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = refunds(desk, 1, opened)
    check = Checker.check
    loop = asyncio.get_running_loop()

    async def another() -> None:
        assert await batch(desk, starts) == ["opened"]
        await begin(desk, opened)
        await end(desk, opened)

    def check_late(self: Checker, session: Session, rows: Sequence[GoodRow]) -> Any:
        found = check(self, session, rows)
        if rows:
            patched.undo()
            asyncio.run_coroutine_threadsafe(another(), loop).result(20)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Checker, "check", check_late)
        assert await batch(desk, starts) == ["remembered"]
    assert runs(desk, opened[0]) == 1


# --- bad rows ---


async def test_bad_rows_are_listed_by_their_lines_and_the_rest_is_opened(
    casework: Casework, desk: Desk, tmp_path: Path, opened: list[str]
) -> None:
    good, shipped = desk.order(prices=((10_000, 3), (5_000, 1))), desk.order(shipped=True)
    opened.append(f"{FLOW}-{good}-1")
    file = tmp_path / "rows.csv"
    file.write_text(
        "flow,order,lines,reason,cause,by\n"
        f"refund,{good},1,,,\n"
        'refund,3300012345678900000,,"two\nlines",,\n'
        "refund,3.30001E+18,,,,\n"
        f"refund,{good},7,,,\n"
        f"refund,{good},1;2x1,,,\n"
        f"refund,{good},1x3,,,\n"
        f"refund,{good},1,,,\n"
        f"return,{shipped},,,,\n"
        f"return,{shipped},,,no_reason,nobody.9\n"
        f"return,{shipped},,,no_reason,finance.3\n"
        f"refund,{shipped},,电话13800138000,,\n",
        "utf-8",
    )
    report = tmp_path / "report.csv"
    done = await casework("batch", str(file), "--by", AGENT, "--report", str(report))
    assert done.code == BAD_INPUT
    assert done.err == "10 rows were refused.\n"
    assert done.out.splitlines() == [
        (
            "line 3: order_id: the shop has no order 3300012345678900000; its last digits are zeros, as a spreadsheet "
            "makes them: copy the id from the order itself."
        ),
        (
            "line 5: order_id: 3.30001E+18 was rounded by a spreadsheet: its last digits are lost; copy the id from "
            "the order itself."
        ),
        "line 6: lines: the order has no line 7; its lines are 1, 2.",
        "line 7: asks for line 1 of the order, as line 2 of the file does already.",
        f"line 8: asks for the same case as line 2: {FLOW}-{good}-1.",
        "line 9: repeats line 2.",
        "line 10: cause is missing.",
        "line 11: by names nobody on the staff list.",
        (
            "line 12: by: a return after shipping is opened by aftersale_agent or aftersale_supervisor, which "
            "finance.3 is not."
        ),
        "line 13: reason holds a mobile number; cases hold no personal data.",
        "opened: 1, refused: 10",
    ]
    rows = list(csv.DictReader(report.read_text("utf-8-sig").splitlines()))
    assert [row["outcome"] for row in rows] == ["opened", *["refused"] * 10]
    assert rows[0]["case_id"] == f'="{FLOW}-{good}-1"'
    with desk.database.reading() as session:
        assert [(one.line, one.quantity) for one in records.lines_of(session, opened[0])] in ([(1, 3)], [])
    # what is refused stays refused, and for the same reason, once the good row is remembered
    again = await casework("batch", str(file), "--by", AGENT, "--json")
    assert outcomes(again.json) == ["remembered", *["refused"] * 10]
    assert [row["why"] for row in again.json["rows"]] == [row["why"] or None for row in rows]


async def test_a_parcel_needs_only_its_waybill(
    casework: Casework, desk: Desk, tmp_path: Path, opened: list[str]
) -> None:
    order = desk.order(shipped=True)
    with desk.database.reading() as session:
        waybill = session.query(ShipmentRow).filter_by(order_id=order).one().waybill
    opened.append(f"problem-parcel-{waybill}")
    file = tmp_path / "rows.csv"
    file.write_text(f"运单号,开单人\nNo:{waybill},parcel.1\nYT-NOBODY-1,parcel.1\n!,parcel.1\n", "utf-8-sig")
    done = await casework("batch", str(file), "--flow", "problem", "--json")
    assert done.code == BAD_INPUT
    assert [row["case_id"] for row in done.json["rows"]] == [opened[0], None, None]
    assert done.json["rows"][0]["order_id"] == order
    assert done.json["rows"][1]["why"] == "waybill: the shop knows no parcel YT-NOBODY-1; name its order"
    assert done.json["rows"][2]["why"] == "waybill: a waybill of 6 to 32 letters, digits or hyphens is wanted"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.csv", b"flow,order,colour\n", "rows.csv: line 1: there is no column 'colour'; there is flow, "),
        ("rows.csv", b"order\n1\n", "rows.csv: line 1: the column flow is missing; for a file of one flow, name it "),
        (
            "rows.csv",
            "flow,order,备注\nrefund,1,退款\n".encode() + "refund,2,退款\n".encode("gb18030"),
            "rows.csv: mixes encodings: line 1 is UTF-8, line 3 is GB18030. Nothing was opened.",
        ),
        ("rows.xlsx", b"PK\x03\x04", "rows.xlsx: is a spreadsheet (xlsx) or a zip; save it as CSV first. "),
        ("rows.jsonl", b"", "rows.jsonl: is empty. Nothing was opened."),
    ],
)
async def test_a_bad_file_is_one_sentence_and_opens_nothing(
    casework: Casework, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    done = await casework("batch", str(tmp_path / name), "--by", AGENT)
    assert (done.code, done.out) == (BAD_INPUT, "")
    assert done.err.startswith(said)
    assert len(done.err.splitlines()) == 1


async def test_a_file_that_is_not_there_or_a_report_that_cannot_be_is_refused_first(
    casework: Casework, desk: Desk, tmp_path: Path, opened: list[str]
) -> None:
    missing = await casework("batch", str(tmp_path / "none.csv"))
    assert missing.code == BAD_INPUT
    assert missing.err == "none.csv: cannot be read: no such file or directory. Nothing was opened.\n"
    file = jsonl(tmp_path, *refunds(desk, 1, opened))
    for report, said in (
        ("report.xlsx", "ends neither in .csv nor in .jsonl"),
        ("nowhere/report.csv", "cannot be written"),
        (file.name, "that is the batch itself"),
    ):
        done = await casework("batch", str(file), "--report", str(tmp_path / report))
        assert done.code == BAD_INPUT
        assert said in done.err
    with pytest.raises(RPCError, match="not found"):
        await desk.client.get_workflow_handle(opened[0]).describe()


async def test_who_opens_the_rows_is_said_somewhere(
    casework: Casework, desk: Desk, tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = refunds(desk, 2, opened)
    del starts[0]["by"]
    file = str(jsonl(tmp_path, *starts))
    nobody = await casework("batch", file, "--json", "--dry-run")
    assert nobody.code == BAD_INPUT
    assert outcomes(nobody.json) == ["refused", "would_open"]
    assert nobody.json["rows"][0]["why"].startswith("by is missing: say who opens it in a column, with --by STAFF")
    monkeypatch.setenv("CASEWORK_STAFF", "aftersale-lead.1")
    assert (await casework("batch", file)).out == "opened: 2\n"
    await begin(desk, opened)
    with desk.database.reading() as session:
        openers = [records.find_records(session, case_id=one)[0].opened_by for one in opened]
    assert openers == ["aftersale-lead.1", AGENT], "the row's own word wins"


# --- dry run, report, progress ---


async def test_a_dry_run_says_what_would_be_and_starts_and_remembers_nothing(
    casework: Casework, desk: Desk, tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = refunds(desk, 3, opened)
    file = str(jsonl(tmp_path, *starts, refund("3300012345678901208"), {"flow": "swap"}))
    await desk.open_in("persuading", starts[2]["order_id"], reason="by hand")
    report = tmp_path / "report.jsonl"
    with monkeypatch.context() as nowhere:
        nowhere.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
        done = await casework("batch", file, "--dry-run", "--report", str(report))
    assert done.code == BAD_INPUT
    assert done.out.splitlines() == [
        f"line 3: open already: {opened[2]}",
        "line 4: order_id: the shop has no order 3300012345678901208.",
        (
            f"line 5: flow: there is no flow 'swap'; there is {FLOW}, return-after-shipping, gift-approval, "
            "bulk-order, problem-parcel."
        ),
        "open already: 1, refused: 2, would be opened: 2",
    ]
    rows = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    assert [row["outcome"] for row in rows] == ["would_open", "would_open", "open_already", "refused", "refused"]
    for case_id in opened[:2]:
        with pytest.raises(RPCError, match="not found"):
            await desk.client.get_workflow_handle(case_id).describe()
    with desk.database.reading() as session:
        assert session.query(BatchOpeningRow).filter(BatchOpeningRow.case_id.in_(opened)).count() == 0
    assert (await casework("batch", file, "--json")).json["counts"]["opened"] == 2


async def test_without_a_server_it_says_so_and_notes_nothing(
    casework: Casework, desk: Desk, tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = jsonl(tmp_path, *refunds(desk, 1, opened))
    with monkeypatch.context() as nowhere:
        nowhere.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
        done = await casework("batch", str(file), "--json")
    assert done.code == FAILED
    assert done.err.startswith("No Temporal server answers")
    assert outcomes(done.json) == ["not_reached"]
    assert (await casework("batch", str(file))).out == "opened: 1\n"


async def test_a_server_that_is_lost_leaves_a_report_of_how_far_it_came(
    casework: Casework, desk: Desk, tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = jsonl(tmp_path, *refunds(desk, 3, opened))
    send = CaseworkClient.send_start

    async def lost(self: CaseworkClient, prepared: Any) -> str:
        if prepared.case_id == opened[1]:
            raise RPCError("connection lost", RPCStatusCode.UNAVAILABLE, b"")
        return await send(self, prepared)

    with monkeypatch.context() as patched:
        patched.setattr(CaseworkClient, "send_start", lost)
        done = await casework("batch", str(file), "--at-once", "1", "--json")
    assert done.code == FAILED
    assert "connection lost" in done.err
    assert outcomes(done.json) == ["opened", "not_reached", "not_reached"]
    assert (await casework("batch", str(file))).out == "opened: 2, remembered: 1\n"


async def test_an_error_that_nobody_expected_leaves_a_report_too(
    casework: Casework, desk: Desk, tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = jsonl(tmp_path, *refunds(desk, 2, opened))
    report = tmp_path / "report.jsonl"
    report.write_text("of an earlier batch", "utf-8")
    send = CaseworkClient.send_start

    async def breaks(self: CaseworkClient, prepared: PreparedStart) -> str:
        assert not report.exists(), "where this one is killed, the earlier one's is not taken for its own"
        if prepared.case_id == opened[1]:
            raise KeyError("broken")
        return await send(self, prepared)

    with monkeypatch.context() as patched:
        patched.setattr(CaseworkClient, "send_start", breaks)
        done = await casework("batch", str(file), "--at-once", "1", "--report", str(report))
    assert done.code == FAILED
    assert done.out == "opened: 1, not reached: 1\n"
    assert done.err.startswith("KeyError: ")
    assert [json.loads(line)["outcome"] for line in report.read_text("utf-8").splitlines()] == ["opened", "not_reached"]
    assert (await casework("batch", str(file))).out == "opened: 1, remembered: 1\n"


async def test_an_order_id_that_cannot_be_written_refuses_its_row(
    casework: Casework, desk: Desk, tmp_path: Path, opened: list[str]
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in (*refunds(desk, 1, opened), refund("\ud800"))), "utf-8")
    report = tmp_path / "report.jsonl"
    done = await casework("batch", str(file), "--report", str(report))
    assert (done.code, done.out) == (
        BAD_INPUT,
        "line 2: order_id: An id is wanted, and the text is not UTF-8.\nopened: 1, refused: 1\n",
    )
    again = await casework("batch", str(file), "--dry-run", "--json")
    assert [row["order_id"] for row in again.json["rows"]] == [opened[0].removeprefix(f"{FLOW}-"), "?"]
    assert len(report.read_text("utf-8").splitlines()) == 2


async def test_on_a_terminal_a_bar_shows_how_far_it_is(desk: Desk, tmp_path: Path, opened: list[str]) -> None:
    file = jsonl(tmp_path, *refunds(desk, 3, opened))
    code, said = await asyncio.to_thread(
        on_terminal,
        "",
        "batch",
        str(file),
        **{**environment(desk, tmp_path / "home"), "COLUMNS": "100", "TERM": "xterm"},
    )
    assert code == DONE, said
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)
    assert re.search(r"3/3 rows [0-9]+ a second, 0 s left", plain), plain


async def test_in_chinese_and_from_standard_input(desk: Desk, tmp_path: Path, opened: list[str]) -> None:
    file = jsonl(tmp_path, *refunds(desk, 1, opened), {"flow": "refund"})
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "casework", "batch", "-"],
        cwd=ROOT,
        env={**environment(desk, tmp_path / "home"), "CASEWORK_LANG": "zh", "PYTHONIOENCODING": "utf-8"},
        input=file.read_bytes(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == BAD_INPUT, done.stderr.decode()
    assert done.stdout.decode() == "第 2 行: order_id is missing.\n已开立: 1, 被拒: 1\n"
