"""`casework verify` on a real server: open, ended, continued and broken-off cases, and the shop's books."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, text, update
from sqlalchemy.orm import Session
from temporalio.client import WorkflowHistory

from casework.cli.errors import BAD_INPUT, DONE, FAILED
from casework.client import CaseworkClient
from casework.shop.database import REVISIONS
from casework.shop.tables import CaseRow, ClaimRow, HoldRow, LedgerRow, OutboxRow, PaymentRow
from casework.verifying import Fault, Part, Verified, Verifier
from casework.verifying.replaying import Recorded, Replays
from tests.cli.commands import Casework, Done
from tests.desk import Desk, Handle
from tests.server import EVENTS_BEFORE_CONTINUING

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def replays() -> Replays:
    return Replays()


def listed(done: Done) -> list[dict[str, Any]]:
    """What `--json` says; a worker of the tests may have said something meanwhile, in this very process."""
    told = re.search(r"^\[\n.*", done.out, re.MULTILINE | re.DOTALL)
    assert told is not None, done.err
    return json.loads(told[0])


async def refunded(desk: Desk) -> Handle:
    case = await desk.open_in("persuading", desk.order(), reason="x")
    await desk.submit(case, "buyer_insists", "aftersale.1")
    assert (await desk.end(case)).outcome == "refunded"
    return case


async def verified(desk: Desk, replays: Replays, case: Handle) -> Verified:
    return await Verifier(CaseworkClient(desk.client, desk.database), replays).case(case.id)


async def test_a_case_that_waits_and_one_that_has_ended_are_whole(casework: Casework, desk: Desk) -> None:
    waiting = await desk.open_in("persuading", desk.order(), reason="x")
    ended = await refunded(desk)
    done = await casework("verify", waiting.id, ended.id)
    assert done.code == DONE, done.out + done.err
    assert [line for line in done.out.splitlines() if line.startswith(("✓", "✗"))] == [
        f"✓ {waiting.id} persuading the buyer (moves: 2)",
        f"✓ {ended.id} refunded (moves: 5)",
    ]
    first, second = listed(await casework("verify", waiting.id, ended.id, "--json"))
    assert (first["status"], first["state"], first["whole"]) == ("open", "persuading", True)
    assert (second["status"], second["moves"]) == ("completed", 5)
    assert {tuple(sorted(one["looked_at"])) for one in (first, second)} == {("books", "path", "replay")}
    await waiting.cancel()


async def test_a_history_from_the_server_is_verified_as_a_file_without_the_server(
    casework: Casework, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = await refunded(desk)
    file = tmp_path / "case.json"
    file.write_text((await case.fetch_history()).to_json(), "utf-8")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "localhost:1")
    done = await casework("verify", str(file))
    assert (done.code, done.err) == (DONE, "")
    assert f"✓ {case.id} refunded (moves: 5): books not looked at" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), BAD_INPUT, "Name cases or files, or say --all."),
        (("1208", "--all"), BAD_INPUT, "Name cases or files, or say --all."),
        (("1208", "--open"), BAD_INPUT, "--open is for all cases: say --all --open."),
        (("none.json",), BAD_INPUT, "none.json cannot be read: No such file or directory."),
        (("pyproject.toml",), BAD_INPUT, "pyproject.toml is not JSON."),
        (("99999999999999999999",), BAD_INPUT, "No case matches 99999999999999999999."),
    ],
)
async def test_what_cannot_be_verified_is_one_sentence(
    casework: Casework, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = await casework("verify", *arguments)
    assert (done.code, done.err.splitlines()[-1]) == (code, said)


@pytest.fixture(scope="module")
async def paid(desk: Desk) -> Handle:
    return await refunded(desk)


def _add_hold(session: Session, case_id: str) -> None:
    order = case_id.removeprefix("refund-before-shipping-")
    session.add(HoldRow(order_id=order, line=1, case_id=case_id, at=NOW))


def _add_claim(session: Session, case_id: str) -> None:
    order = case_id.removeprefix("refund-before-shipping-")
    row = ClaimRow(order_id=order, line=1, case_id=case_id, refunded_before=0, shipped_before=False, loose_before_fen=0)
    session.add(row)


def _strand_claim(session: Session, case_id: str) -> None:
    _add_claim(session, case_id)
    session.execute(
        update(ClaimRow).where(ClaimRow.case_id == case_id).values(case_id="another-case", handed_over_by=case_id)
    )


def _lose_payment(session: Session, case_id: str) -> None:
    session.execute(delete(LedgerRow).where(LedgerRow.case_id == case_id))
    session.execute(delete(PaymentRow).where(PaymentRow.case_id == case_id))


def _pay_more(session: Session, case_id: str) -> None:
    session.execute(
        update(PaymentRow).where(PaymentRow.case_id == case_id).values(amount_fen=PaymentRow.amount_fen + 1)
    )


def _another_outcome(session: Session, case_id: str) -> None:
    session.execute(update(CaseRow).where(CaseRow.case_id == case_id).values(outcome="kept"))


def _another_view(session: Session, case_id: str) -> None:
    row = session.query(CaseRow).filter_by(case_id=case_id).one()
    assert row.view is not None
    row.view = {**row.view, "amount_fen": 1}


def _no_record(session: Session, case_id: str) -> None:
    session.execute(delete(CaseRow).where(CaseRow.case_id == case_id))


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (_add_hold, "still has 1 x hold"),
        (_add_claim, "still has 1 x claim"),
        (_strand_claim, "has handed lines over to another-case, which it never opened"),
        (_lose_payment, "100.00 were due and 0.00 were paid"),
        (_pay_more, "its ledger entries are 100.00"),
        (_another_outcome, "its record says kept"),
        (_another_view, "its record shows another last view"),
        (_no_record, "the shop has no record of it"),
    ],
)
async def test_what_the_books_say_otherwise_is_named(
    desk: Desk, replays: Replays, paid: Handle, happens: Callable[[Session, str], None], said: str
) -> None:
    case = paid
    with desk.database.writing() as session:
        kept = {
            table: [
                {column.key: getattr(row, column.key) for column in table.__table__.columns}
                for row in session.query(table).filter_by(case_id=case.id)
            ]
            for table in (CaseRow, LedgerRow, PaymentRow, OutboxRow)
        }
        happens(session, case.id)
    found = await verified(desk, replays, case)
    assert {fault.part for fault in found.faults} == {Part.BOOKS}
    assert any(said in fault.found for fault in found.faults), found.faults
    # other tests look at the whole shop
    with desk.database.writing() as session:
        for table in (HoldRow, ClaimRow, LedgerRow, OutboxRow, PaymentRow, CaseRow):
            session.execute(delete(table).where(table.case_id == case.id))
        session.execute(delete(ClaimRow).where(ClaimRow.handed_over_by == case.id))
        session.flush()
        for table in (CaseRow, PaymentRow, LedgerRow, OutboxRow):
            session.add_all(table(**values) for values in kept[table])
            session.flush()
    assert (await verified(desk, replays, case)).faults == ()


async def test_a_buyer_who_was_not_told_of_the_end_is_named(desk: Desk, replays: Replays) -> None:
    case = await desk.start(desk.order(paid=False), reason="x")
    assert (await desk.end(case)).outcome == "not_applicable"
    assert (await verified(desk, replays, case)).faults == ()
    with desk.database.writing() as session:
        session.execute(delete(OutboxRow).where(OutboxRow.case_id == case.id, OutboxRow.to == "buyer"))
    found = (await verified(desk, replays, case)).faults
    assert [(fault.part, fault.found) for fault in found] == [(Part.BOOKS, "the buyer was told of the end 0 times")]


async def test_before_the_shop_is_migrated_all_but_the_books_is_looked_at(casework: Casework, desk: Desk) -> None:
    ended, other = await refunded(desk), await refunded(desk)

    def stands_at(revision: str) -> None:
        with desk.database.writing() as session:
            session.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})

    stands_at(REVISIONS[-2])
    try:
        done = await casework("verify", ended.id, other.id)
    finally:
        stands_at(REVISIONS[-1])
    assert (done.code, done.err) == (DONE, "The shop's tables are older than this Casework: books are not looked at.\n")
    for case in (ended, other):
        assert f"✓ {case.id} refunded (moves: 5): books not looked at" in done.out.splitlines()


async def test_a_case_that_was_broken_off_is_named_with_what_doctor_says(desk: Desk, replays: Replays) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="x")
    await case.terminate()
    found = await verified(desk, replays, case)
    assert (found.status, found.state) == ("terminated", "persuading")
    assert [(fault.part, fault.found) for fault in found.faults] == [
        (Part.BOOKS, "it was broken off, and its record is still open: terminated")
    ]


async def test_a_start_that_cannot_be_a_case_has_no_path_and_nothing_is_wrong(desk: Desk, replays: Replays) -> None:
    handle = await desk.client.start_workflow(
        "RefundBeforeShipping", {"order_id": 1}, id=f"refund-before-shipping-{desk.order()}", task_queue=desk.task_queue
    )
    with pytest.raises(Exception, match="failed"):
        await handle.result()
    found = await verified(desk, replays, handle)
    assert (found.status, found.state, found.moves, found.faults) == ("failed", None, None, ())


async def continued(desk: Desk) -> tuple[Handle, str]:
    """A case that has continued as new, and which run it began with."""
    case = await desk.open_in("persuading", desk.order(), reason="x")
    first = (await case.describe()).run_id
    assert first is not None
    while (await case.describe()).run_id == first:
        await asyncio.gather(*[case.signal("nobody_knows_it") for _ in range(EVENTS_BEFORE_CONTINUING)])
        await desk.at_rest(case)
    return case, first


async def test_every_run_of_a_case_that_continued_as_new_is_replayed(desk: Desk, replays: Replays) -> None:
    case, _ = await continued(desk)
    found = await verified(desk, replays, case)
    assert (found.status, found.state, found.moves, found.faults) == ("open", "persuading", 2, ())
    await desk.submit(case, "buyer_keeps_order", "aftersale.1")
    assert (await desk.end(case)).outcome == "kept"
    assert (await verified(desk, replays, case)).faults == ()


async def test_the_runs_before_and_after_a_reset_are_told_apart_where_they_are_replayed_at_once(
    desk: Desk, replays: Replays
) -> None:
    """In the history of a run that was reset stands the id of the run before."""
    case = await desk.open_in("persuading", desk.order(), reason="x")
    await desk.submit(case, "comment", "aftersale.1", text="x")
    task = await desk.last_task(case)
    before = Recorded(await case.fetch_history())
    await desk.take_back(case, task)
    again = desk.client.get_workflow_handle(case.id)
    await desk.until(again, "persuading")
    await desk.submit(again, "buyer_keeps_order", "aftersale.1")
    await desk.end(again)
    after = Recorded(await again.fetch_history())
    assert before.run_id == after.run_id
    for _ in range(3):
        both = await asyncio.gather(*(replays.replay(one) for one in (after, before, after, before)))
        assert [one.case.state for one in both if one.case] == ["kept", "persuading"] * 2


async def test_a_run_that_has_not_begun_is_where_the_one_before_it_ended(
    casework: Casework, desk: Desk, tmp_path: Path
) -> None:
    case, first = await continued(desk)
    file = tmp_path / "begins.json"
    # just continued as new, or just opened: there is its start and nothing else yet
    for run, state, moves in (((await case.describe()).run_id, "persuading", 2), (first, None, None)):
        history = await desk.client.get_workflow_handle(case.id, run_id=run).fetch_history()
        file.write_text(WorkflowHistory(case.id, history.events[:1]).to_json(), "utf-8")
        (told,) = listed(await casework("verify", str(file), "--json"))
        assert (told["state"], told["moves"], told["status"], told["faults"]) == (state, moves, "open", [])
    await case.cancel()


async def test_a_replay_that_does_not_end_is_a_fault_of_its_run(desk: Desk) -> None:
    case = await refunded(desk)
    found = await verified(desk, Replays(longest=0), case)
    run = (await case.describe()).run_id
    assert Fault(Part.REPLAY, f"today's code does not replay it: run {run} was not done after 0 s") in found.faults


async def test_a_case_in_the_moment_of_a_step_on_the_shop_is_whole(desk: Desk, replays: Replays) -> None:
    order = desk.order()
    async with desk.before("hold", order):
        case = await desk.start(order, reason="x")
        await desk.reached("hold", order)
        found = await verified(desk, replays, case)
        assert (found.status, found.faults) == ("open", ())
    await desk.until(case, "persuading")
    await case.cancel()


async def test_all_says_of_each_case_and_of_the_shop(
    casework: Casework, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [await refunded(desk) for _ in range(2)]
    query = f"WorkflowId IN ({', '.join(repr(case.id) for case in cases)})"
    monkeypatch.setattr("casework.cli.verify.ALL_RUNS", query)
    monkeypatch.setattr("casework.cli.verify.OPEN_RUNS", f"({query}) AND ExecutionStatus = 'Running'")
    async with asyncio.timeout(30):  # Temporal lists them a moment later
        while len([one async for one in desk.client.list_workflows(query)]) < len(cases):
            pass
    done = await casework("verify", "--all")
    lines = [line for line in done.out.splitlines() if line.startswith(("✓", "✗"))]
    assert sorted(lines[: len(cases)]) == sorted(f"✓ {case.id} refunded (moves: 5)" for case in cases)
    assert lines[-1] == "✓ the shop"
    # cases that other tests broke off on purpose are told of too
    assert done.code == (FAILED if any(line.startswith("✗") for line in lines) else DONE)
    still_open = listed(await casework("verify", "--all", "--open", "--json"))
    assert not {one["case_id"] for one in still_open} & {case.id for case in cases}
