"""Operators' repair on a real server: what is stuck, broken off or contradicted is found, and mended when told to."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from temporalio import workflow
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from casework import repair
from casework.cli.errors import BAD_INPUT, DONE, FAILED, REFUSED
from casework.execution import execution_of, last_view
from casework.policy import load_policy
from casework.repair import JUST_NOW, OVERDUE_AFTER, UNDONE_AFTER, Trouble, Troubled, examine
from casework.server_program import find_server_program
from casework.shop import mending, payments, records
from casework.shop.database import Database
from casework.shop.patrol import needing_case, next_open
from casework.shop.tables import (
    CaseRow,
    ClaimRow,
    FlagWishRow,
    GiftPromiseRow,
    HoldRow,
    InterceptRow,
    OutboxRow,
    ShipmentRow,
)
from tests.cli.commands import Casework
from tests.desk import FLOW, Desk, Handle
from tests.parcels import parcel_order, silence
from tests.server import SharedServer
from tests.workflows.test_bulk_order import AUDITOR, LEAD, MANAGER, bulk, change_address, reviewed
from worker import build_worker

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


async def troubles(casework: Casework, case_id: str, *more: str) -> list[dict[str, Any]]:
    """What `casework doctor --cases` says of a case."""
    done = await casework("doctor", "--cases", "--json", *more)
    # a worker of the tests may have said something meanwhile, in this very process
    told = re.search(r"^\[\n.*|^\[\]", done.out, re.MULTILINE | re.DOTALL)
    assert told is not None, done.err
    return [one for one in json.loads(told[0]) if one["case_id"] == case_id]


def kept_rows(desk: Desk, case_id: str) -> int:
    with desk.database.reading() as session:
        return sum(
            session.query(table).filter_by(case_id=case_id).count()
            for table in (HoldRow, ClaimRow, FlagWishRow, InterceptRow, GiftPromiseRow)
        )


def record_of(desk: Desk, case_id: str) -> records.CaseRecord:
    with desk.database.reading() as session:
        return records.find_records(session, case_id=case_id)[0]


def open_long_ago(shop: Database, order: str) -> str:
    """The record of an open case that Temporal does not have."""
    case_id = f"{FLOW}-{order}"
    with shop.writing() as session:
        records.open_record(
            session,
            case_id=case_id,
            run_id="long-ago",
            flow=FLOW,
            order_id=order,
            opened_by="aftersale.1",
            opened_at=NOW,
            amount_fen=700,
        )
    return case_id


async def found(desk: Desk, case_id: str, *, now: datetime | None = None) -> list[Troubled]:
    looked = await examine(desk.client, desk.database, now=now or datetime.now(UTC))
    return [one for one in looked if one.case_id == case_id]


# --- looking ---


async def test_a_case_that_waits_and_one_that_has_ended_are_in_no_trouble(casework: Casework, desk: Desk) -> None:
    waiting = await desk.open_in("persuading", desk.order(), reason="x")
    ended = await desk.open_in("persuading", desk.order(), reason="x")
    await desk.submit(ended, "buyer_keeps_order", "aftersale.1")
    await desk.end(ended)
    assert await troubles(casework, waiting.id) == []
    assert await troubles(casework, ended.id) == []
    assert kept_rows(desk, waiting.id) == 3


async def test_a_deadline_that_has_long_passed_without_a_move_is_found(desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="x")
    due = (await desk.view(case)).due
    assert due is not None
    async with asyncio.timeout(20):  # Temporal knows the deadline a moment later
        while not (overdue := await found(desk, case.id, now=due + OVERDUE_AFTER + timedelta(seconds=1))):
            pass
    assert [(one.trouble, one.found.startswith("persuading until ")) for one in overdue] == [(Trouble.OVERDUE, True)]
    assert await found(desk, case.id, now=due + OVERDUE_AFTER - timedelta(seconds=1)) == []


async def test_a_payment_that_fails_again_and_again_is_found(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    order = desk.order()
    async with desk.before("pay", order):
        case = await desk.open_in("persuading", order, reason="x")
        await desk.signal(case, "buyer_insists", "aftersale.1")
        await desk.reached("pay", order)
        assert await found(desk, case.id) == []
        monkeypatch.setattr(repair, "UNANSWERED_AFTER", 0)
        (trouble,) = await found(desk, case.id)
        assert (trouble.trouble, trouble.found) == (Trouble.UNANSWERED, "pay, attempt 1: no more is known")
    await desk.end(case)


async def test_a_case_that_was_reset_after_its_end_is_found(casework: Casework, desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="x")
    await desk.submit(case, "comment", "aftersale.1", text="x")
    task = await desk.last_task(case)
    await desk.submit(case, "buyer_keeps_order", "aftersale.1")
    await desk.end(case)
    await desk.take_back(case, task)
    again = desk.client.get_workflow_handle(case.id)
    await desk.until(again, "persuading")
    assert await found(desk, case.id) == []
    reopened = await found(desk, case.id, now=datetime.now(UTC) + JUST_NOW)
    assert [one.trouble for one in reopened] == [Trouble.REOPENED]
    await again.terminate()
    assert await troubles(casework, case.id) == []


async def test_a_case_that_no_worker_has_recorded_is_found_after_a_moment(desk: Desk) -> None:
    order, began = desk.order(), datetime.now(UTC)
    handle = await desk.client.start_workflow(
        "RefundBeforeShipping",
        {"order_id": order, "by": "aftersale.1"},
        id=f"{FLOW}-{order}",
        task_queue="nobody-listens",
    )
    async with asyncio.timeout(20):  # Temporal lists it a moment later
        while not (unrecorded := await found(desk, handle.id, now=began + (JUST_NOW + UNDONE_AFTER) / 2)):
            pass
    assert [one.trouble for one in unrecorded] == [Trouble.UNRECORDED]
    assert await found(desk, handle.id) == [], "it may still be about to be"
    await handle.terminate()


# --- mending ---


async def test_a_terminated_case_lets_go_and_is_closed_and_may_be_opened_again(
    casework: Casework, desk: Desk, tmp_path: Path
) -> None:
    order = desk.order()
    case = await desk.open_in("persuading", order, reason="x")
    await case.terminate()
    (trouble,) = await troubles(casework, case.id)
    assert (trouble["trouble"], trouble["found"], trouble["mends"]) == ("died", "terminated", True)
    assert kept_rows(desk, case.id) == 3, "looking changes nothing"
    refused = await casework("doctor", "--cases", "--mend")
    assert (refused.code, "--yes" in refused.err) == (BAD_INPUT, True)
    assert kept_rows(desk, case.id) == 3, "nothing is mended unasked"

    before = (await casework("show", case.id, "--json")).json
    assert (before["state"], before["final"], before["outcome"]) == ("persuading", True, "terminated")
    assert "broken off: terminated" in (await casework("show", case.id)).out
    assert (await casework("evidence", case.id, "--output", str(tmp_path / "evidence.html"))).code == DONE
    retried = await casework("retry", case.id, "--by", "aftersale.1")
    assert (retried.code, "casework doctor --cases says what to do" in retried.err) == (REFUSED, True)
    late = await casework("submit", case.id, "buyer_insists", "--by", "aftersale.1")
    assert (late.code, late.err) == (REFUSED, f"The case has ended: {case.id} is terminated.\n")
    for trigger in ("buyer_insists", "buyer_withdraws", "cancel_case", "comment"):
        asked = await casework("why", case.id, trigger, "--by", "aftersale-lead.1")
        assert (asked.code, "the case has ended: it is terminated" in asked.out) == (REFUSED, True)
    execution = await execution_of(desk.client, case.id)
    with desk.database.reading() as session:
        (record,) = records.find_records(session, case_id=case.id)
    unasked = await last_view(desk.client, record, execution, seconds=0.0001)
    assert (unasked.state, unasked.amount_fen) == ("persuading", before["amount_fen"]), "as Temporal's lists have it"
    assert execution is not None
    assert (await last_view(desk.client, record, replace(execution, first_run="another"))).amount_fen == 0

    (mended,) = await troubles(casework, case.id, "--mend", "--yes")
    assert mended["mended"] is True
    assert kept_rows(desk, case.id) == 0
    record = record_of(desk, case.id)
    assert (record.outcome, record.closed_at is not None) == ("terminated", True)
    assert await troubles(casework, case.id) == []
    shown = (await casework("show", case.id, "--json")).json
    assert shown == before, "its last view is kept"
    assert [line["trigger"] for line in shown["trail"]] == ["check", "hold"]
    assert "broken off" in (await casework("show", case.id)).out
    listed = (await casework("cases", "--order", order, "--closed", "--json")).json
    assert [one["outcome"] for one in listed] == ["terminated"]
    again = await casework("start", "refund", "--order", order, "--by", "aftersale.1", "--reason", "x")
    assert again.code == DONE, again.err


async def test_what_belongs_to_no_case_is_let_go_of(casework: Casework, desk: Desk) -> None:
    order, lost = desk.order(), f"{FLOW}-330001990000000000{desk.order()[-1]}-nobody"
    with desk.database.writing() as session:
        session.add(HoldRow(order_id=order, line=1, case_id=lost, at=NOW))
        session.add(FlagWishRow(case_id=lost, order_id=order, colour="red", found="none"))
        session.add(
            ClaimRow(order_id=order, line=1, case_id=lost, refunded_before=0, shipped_before=False, loose_before_fen=0)
        )
        session.add(InterceptRow(key=f"{lost}/i", case_id=lost, order_id=order, stopped=True, at=NOW))
        session.add(
            GiftPromiseRow(
                order_id=order,
                kind="gift",
                case_id=lost,
                key=f"{lost}/p",
                quantity=1,
                cost_fen=1,
                value_fen=1,
                month="2026-11",
                loose_before_fen=0,
                promised_at=NOW,
            )
        )
    (trouble,) = await troubles(casework, lost)
    assert trouble["trouble"] == "kept"
    for thing in ("hold", "claim", "flag wish", "intercept", "budget promise"):
        assert f"1 x {thing} of order {order}" in trouble["found"]
    assert (await troubles(casework, lost, "--mend", "--yes"))[0]["mended"]
    assert kept_rows(desk, lost) == 0
    assert (await casework("shop", "ship", order)).code == DONE, "it ships again"


async def test_a_granted_gift_and_what_is_being_handed_over_are_left_alone(casework: Casework, desk: Desk) -> None:
    giver = await desk.open_in("persuading", desk.order(), reason="x")
    order, child, old = (
        desk.order(),
        "return-after-shipping-33000199000000000001",
        "gift-approval-33000199000000000001-gift",
    )
    with desk.database.writing() as session:
        session.add(HoldRow(order_id=order, line=1, case_id=child, at=NOW, handed_over_by=giver.id))
        session.add(
            GiftPromiseRow(
                order_id=order,
                kind="gift",
                case_id=old,
                key=f"{old}/p",
                quantity=1,
                cost_fen=1,
                value_fen=1,
                month="2026-11",
                loose_before_fen=0,
                promised_at=NOW,
                granted_at=NOW,
            )
        )
    assert await troubles(casework, child, "--mend", "--yes") == []
    assert await troubles(casework, old) == []
    assert kept_rows(desk, child) == 1
    await desk.submit(giver, "buyer_keeps_order", "aftersale.1")
    await desk.end(giver)
    assert [one["trouble"] for one in await troubles(casework, child)] == ["kept"], "nobody hands it over any more"
    await troubles(casework, child, "--mend", "--yes")
    assert kept_rows(desk, child) == 0


async def test_a_case_that_paid_and_was_broken_off_is_told_to_people_once_and_its_money_is_left_alone(
    casework: Casework, desk: Desk
) -> None:
    order = desk.order()
    async with desk.before("settle", order):  # until all is mended: a worker goes on until it hears of the end
        case = await desk.open_in("persuading", order, reason="x")
        await desk.signal(case, "buyer_insists", "aftersale.1")
        await desk.reached("settle", order)
        await case.terminate()
        with desk.database.reading() as session:
            before = payments.ledger(session, order)
        assert [entry.amount_fen for entry in before] == [10_000]
        listed = await troubles(casework, case.id)
        assert [(one["trouble"], one["found"]) for one in listed] == [
            ("died", "terminated"),
            ("paid_without_end", "100.00 yuan"),
        ]
        assert [one["mended"] for one in await troubles(casework, case.id, "--mend", "--yes")] == [True, True]
        assert await troubles(casework, case.id) == []
        await troubles(casework, case.id, "--mend", "--yes")
    with desk.database.reading() as session:
        assert payments.ledger(session, order) == before
        tasks = session.scalars(select(OutboxRow).where(OutboxRow.case_id == case.id, OutboxRow.to == "staff")).all()
        asked = [row for row in tasks if row.template == mending.PAID_WITHOUT_END]
        assert [(row.recipient, "100.00" in row.text_en) for row in asked] == [("refund_clerk", True)]


async def test_a_bulk_case_that_an_operator_broke_off_has_not_ended_the_order_as_malicious(
    casework: Casework, desk: Desk
) -> None:
    order = desk.order()
    case = await bulk(desk, order)
    await case.terminate()
    await troubles(casework, case.id, "--mend", "--yes")
    assert (record_of(desk, case.id).outcome, record_of(desk, case.id).died) == ("terminated", True)
    refund = await desk.open_in("persuading", order, reason="bought twice")
    await desk.submit(refund, "buyer_keeps_order", "aftersale.1")
    assert (await desk.end(refund)).outcome == "kept"


async def test_a_bulk_case_that_paid_and_ended_the_order_as_malicious_was_not_broken_off(
    casework: Casework, desk: Desk
) -> None:
    order = desk.order(prices=[(100_000, 1)])
    case = await reviewed(desk, order, percent="5")
    await desk.submit(case, "approve", LEAD)
    await desk.until(case, "awaiting_audit")
    await desk.submit(case, "change_amount", AUDITOR, amount_fen=95_000)
    await desk.until(case, "following")
    change_address(desk, order)
    await desk.signal(case, "order_changed", "system")
    await desk.until(case, "legal_review")
    await desk.submit(case, "find_malicious", MANAGER, signs=["young_account"])
    assert (await desk.end(case)).outcome == "terminated"
    assert record_of(desk, case.id).died is False
    assert await troubles(casework, case.id) == []


async def test_a_record_whose_case_temporal_does_not_have_is_closed_as_lost(casework: Casework, desk: Desk) -> None:
    case_id = open_long_ago(desk.database, desk.order())
    known = await desk.open_in("persuading", desk.order(), reason="x")
    assert [one["trouble"] for one in await troubles(casework, case_id)] == ["lost"]
    await troubles(casework, case_id, "--mend", "--yes")
    assert record_of(desk, case_id).outcome == "lost"
    shown = await casework("show", case_id)
    assert shown.code == DONE
    assert "7.00" in shown.out
    await known.terminate()


async def test_another_temporal_lets_go_of_nothing_that_open_cases_have(
    casework: Casework, desk: Desk, server: SharedServer, process: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="x")
    monkeypatch.setenv("TEMPORAL_NAMESPACE", server.benches[process])
    done = await casework("doctor", "--cases", "--mend", "--yes")
    assert (done.code, "it may be the wrong one" in done.err) == (REFUSED, True)
    assert (kept_rows(desk, case.id), record_of(desk, case.id).outcome) == (3, None)
    await case.terminate()


async def test_where_temporal_has_lost_every_open_case_that_must_be_said(
    casework: Casework, server: SharedServer, process: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'shop.sqlite'}"
    shop = Database(url)
    shop.migrate()
    case_id = open_long_ago(shop, "3300019900000000000")
    monkeypatch.setenv("CASEWORK_DATABASE_URL", url)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", server.benches[process])
    looked = await casework("doctor", "--cases")
    assert (looked.code, looked.err) == (FAILED, "1 case is in trouble.\n")
    assert (await casework("doctor", "--cases", "--mend", "--yes")).code == REFUSED
    mended = await casework("doctor", "--cases", "--mend", "--yes", "--lost", "--json")
    assert mended.code == DONE, "nothing is left"
    assert [(one["case_id"], one["trouble"], one["mended"]) for one in mended.json] == [(case_id, "lost", True)]
    with shop.reading() as session:
        assert records.find_records(session, case_id=case_id)[0].outcome == "lost"
    shop.close()


async def test_a_run_that_was_opened_again_meanwhile_keeps_what_the_case_has(desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="x")
    with desk.database.writing() as session:
        row = session.scalars(select(CaseRow).where(CaseRow.case_id == case.id)).one()
        session.add(
            CaseRow(
                case_id=case.id,
                run_id="dead",
                flow=FLOW,
                order_id=row.order_id,
                lines=row.lines,
                opened_by=row.opened_by,
                opened_at=NOW,
                amount_fen=0,
            )
        )
    assert await found(desk, case.id) == [], "the id has an open run"
    with desk.database.writing() as session:
        assert mending.mend_dead(session, case.id, "dead", view={}, outcome="terminated", at=NOW)
        assert not mending.mend_dead(session, case.id, "dead", view={}, outcome="terminated", at=NOW), "once"
        assert not mending.mend_kept(session, case.id, at=NOW)
    assert kept_rows(desk, case.id) == 3


async def test_a_terminated_problem_parcel_is_found_again_by_the_patrol_after_mending(
    casework: Casework, desk: Desk
) -> None:
    order, waybill = parcel_order(desk)
    silence(desk, waybill)
    with desk.database.writing() as session:
        parcel = session.scalars(select(ShipmentRow).where(ShipmentRow.waybill == waybill)).one()
        parcel.shipped_at, number = datetime.now(UTC) - timedelta(days=40), parcel.id
    policy = load_policy(None)

    def needing() -> list[str]:
        with desk.database.reading() as session:
            batch = next_open(session, policy, after=number - 1)
            parcels = [one for one in batch.parcels if one.waybill == waybill]
            return [one.parcel.waybill for one in needing_case(session, policy, parcels, {}, at=datetime.now(UTC))]

    assert needing() == [waybill]
    case = await desk.open_case(
        "problem-parcel",
        f"problem-parcel-{waybill}",
        {"order_id": order, "by": "parcel.1", "waybill": waybill, "courier": "yuantong", "cause": "asked"},
    )
    await desk.until_shown(case, lambda view: bool(view.waiting_for), "waits")
    assert needing() == []
    await case.terminate()
    assert needing() == [], "its record is open"
    await troubles(casework, case.id, "--mend", "--yes")
    assert needing() == [waybill]


# --- a case whose code fails ---


@workflow.defn(name="RefundBeforeShipping")
class Broken:
    """What a faulty release does."""

    @workflow.run
    async def run(self, *arguments: Any) -> None:
        raise RuntimeError(f"a fault\nof ours, whatever came: {len(arguments)}")


async def test_a_step_on_the_shop_that_is_not_done_for_minutes_is_named(desk: Desk) -> None:
    order = desk.order()
    async with desk.before("hold", order):
        handle = await desk.start(order, reason="x", task_timeout=timedelta(seconds=3))
        await desk.reached("hold", order)
        await desk.prolonged(handle, 1)
        assert await found(desk, handle.id) == []
        (trouble,) = await found(desk, handle.id, now=datetime.now(UTC) + UNDONE_AFTER + timedelta(seconds=10))
        assert (trouble.trouble, trouble.mends) == (Trouble.UNDONE, False)
    await desk.until(handle, "persuading")
    assert await found(desk, handle.id, now=datetime.now(UTC) + UNDONE_AFTER + timedelta(seconds=10)) == []


async def failing(desk: Desk, handle: Handle) -> None:
    async with asyncio.timeout(30):
        while (execution := await execution_of(desk.client, handle.id)) is None or execution.task_attempt < 2:
            pass


async def temporal(command: str) -> str:
    """Run a printed `temporal` command."""
    program = await asyncio.to_thread(find_server_program, print)
    words = shlex.split(command)
    assert words[0] == "temporal"
    done = await asyncio.to_thread(
        subprocess.run, [program.path, *words[1:]], capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_a_case_whose_code_fails_is_found_explained_and_reset_by_the_printed_command(
    casework: Casework, desk: Desk
) -> None:
    queue, order = "repaired", desk.order()

    def good_worker() -> Worker:
        return build_worker(desk.client, desk.database, load_policy(None), task_queue=queue)

    async with good_worker():
        handle = await desk.client.start_workflow(
            "RefundBeforeShipping",
            {"order_id": order, "by": "aftersale.1", "reason": "x"},
            id=f"{FLOW}-{order}",
            task_queue=queue,
        )
        await desk.until(handle, "persuading")
    broken = Worker(
        desk.client,
        task_queue=queue,
        workflows=[Broken],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    async with broken, asyncio.timeout(20):
        await desk.signal(handle, "buyer_keeps_order", "aftersale.1")
        await failing(desk, handle)
    (trouble,) = await troubles(casework, handle.id)
    assert trouble["trouble"] == "failing"
    assert "attempt " in trouble["found"]
    assert not trouble["mends"]
    said = await casework("retry", order, "--by", "aftersale.1")
    assert said.code == FAILED
    assert "keeps failing" in said.out
    assert "temporal workflow reset" in said.out
    told = (await casework("retry", order, "--json")).json
    assert told["failing"] == "workflow task"
    assert told["failure"]
    printed = (await casework("retry", order, "--print")).out.strip()
    assert printed == told["reset"]
    await temporal(printed)
    async with good_worker(), asyncio.timeout(20):
        again = desk.client.get_workflow_handle(handle.id)
        reset = await desk.until_shown(again, lambda view: view.state == "persuading", "is where it was")
        # what was sent since then is read anew, where the case is by then
        assert [(line.trigger, line.accepted) for line in reset.trail if line.by == "aftersale.1"] in (
            [],
            [("buyer_keeps_order", False)],
        )
        await desk.submit(again, "buyer_keeps_order", "aftersale.1")
        view = await desk.end(again)
    assert view.outcome == "kept"
    assert kept_rows(desk, handle.id) == 0
    assert record_of(desk, handle.id).outcome == "kept", "the shop knows the run that was reset as the same one"
    assert await troubles(casework, handle.id) == []


# --- retry ---


async def test_a_payment_that_failed_for_good_is_tried_again(casework: Casework, desk: Desk) -> None:
    order = desk.order()
    desk.fail("payment", order, "always")
    case = await desk.open_in("persuading", order, reason="x")
    await desk.submit(case, "buyer_insists", "aftersale.1")
    await desk.until(case, "repairing_payment")
    nobody = await casework("retry", case.id, "--by", "aftersale.1")
    assert (nobody.code, "refund_clerk" in nobody.err) == (REFUSED, True)
    desk.fail("payment", order, "never")
    assert (await casework("retry", case.id, "--by", "refund.1", "--yes")).code == DONE
    assert (await desk.end(case)).outcome == "refunded"
    over = await casework("retry", case.id, "--by", "refund.1")
    assert (over.code, "has ended as refunded" in over.err) == (REFUSED, True)


async def test_where_there_is_nothing_to_retry_it_says_what_the_case_waits_for(casework: Casework, desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="x")
    done = await casework("retry", case.id, "--by", "aftersale.1")
    assert done.code == REFUSED
    assert "waits for aftersale_agent" in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["--mend"], ["--lost"], ["--yes"]])
async def test_mending_is_for_cases(casework: Casework, arguments: list[str]) -> None:
    assert (await casework("doctor", *arguments)).code == BAD_INPUT
