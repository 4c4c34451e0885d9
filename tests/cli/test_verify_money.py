"""`casework verify` on a real server: money and holds that are not in the books as the case knows them, whether it has
ended or is open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from casework import verifying
from casework.case import CaseView
from casework.client import CaseworkClient
from casework.shop.orders import lock_order
from casework.shop.records import find_records
from casework.shop.tables import (
    ClaimRow,
    GiftPromiseRow,
    HoldRow,
    LedgerRow,
    LineRow,
    NoticeRow,
    PaymentReferenceRow,
    PaymentRow,
)
from casework.verifying import Part, Verified, Verifier, stands_still
from casework.verifying.books import faults_of_end
from casework.verifying.replaying import Recorded, Replays
from tests.desk import Desk, Handle
from tests.server import EVENTS_BEFORE_CONTINUING

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
CLERK = "refund.1"


@pytest.fixture(scope="module")
def replays() -> Replays:
    return Replays()


async def verified(desk: Desk, replays: Replays, case: Handle) -> Verified:
    return await Verifier(CaseworkClient(desk.client, desk.database), replays).case(case.id)


async def found(desk: Desk, replays: Replays, case: Handle) -> list[str]:
    """What is wrong in the books, and nothing else is."""
    faults = (await verified(desk, replays, case)).faults
    assert {fault.part for fault in faults} <= {Part.BOOKS}, faults
    return [fault.found for fault in faults]


def run_of(desk: Desk, case: Handle) -> str:
    with desk.database.reading() as session:
        return find_records(session, case_id=case.id)[0].run_id


@contextmanager
def otherwise(desk: Desk, case: Handle, happens: Callable[[Session], object]) -> Generator[None]:
    """Let the books be otherwise meanwhile: other tests look at the whole shop."""
    tables = (PaymentRow, LedgerRow, HoldRow, ClaimRow, GiftPromiseRow)
    with desk.database.writing() as session:
        kept = {
            table: [
                {column.key: getattr(row, column.key) for column in table.__table__.columns}
                for row in session.scalars(select(table).where(table.case_id == case.id))
            ]
            for table in tables
        }
        happens(session)
    try:
        yield
    finally:
        with desk.database.writing() as session:
            for table in reversed(tables):
                session.execute(delete(table).where(table.case_id == case.id))
            session.flush()
            for table in tables:
                session.add_all(table(**values) for values in kept[table])
                session.flush()


def twice_as_much(case: Handle) -> Callable[[Session], None]:
    def happens(session: Session) -> None:
        for table in (PaymentRow, LedgerRow):
            doubled = update(table).where(table.case_id == case.id).values(amount_fen=table.amount_fen * 2)
            session.execute(doubled)

    return happens


def nothing_paid(case: Handle) -> Callable[[Session], None]:
    def happens(session: Session) -> None:
        session.execute(delete(LedgerRow).where(LedgerRow.case_id == case.id))
        session.execute(delete(PaymentRow).where(PaymentRow.case_id == case.id))

    return happens


def paid(case: Handle, order: str, key: str, fen: int) -> Callable[[Session], None]:
    """A payment that no case has asked for, sound in itself."""

    def happens(session: Session) -> None:
        lock_order(session, order)
        session.merge(PaymentReferenceRow(reference=f"FORGED{order}", at=NOW))
        session.flush()
        row = {"case_id": case.id, "order_id": order, "amount_fen": fen, "at": NOW}
        session.add(PaymentRow(key=key, reference=f"FORGED{order}", by_hand=False, **row))
        session.flush()
        session.add(LedgerRow(line=1, quantity=0, source="case", payment_key=key, **row))

    return happens


def gone(table: Any, case: Handle) -> Callable[[Session], object]:
    return lambda session: session.execute(delete(table).where(table.case_id == case.id))


# --- the cases ---


async def refund(desk: Desk, order: str, state: str = "persuading") -> Handle:
    return await desk.open_in(state, order, reason="bought twice")


async def repairing(desk: Desk) -> tuple[Handle, str]:
    """A refund whose payment was refused for good."""
    order = desk.order()
    desk.fail("payment", order, "always")
    case = await refund(desk, order)
    await desk.submit(case, "buyer_insists", "aftersale.1")
    await desk.until(case, "repairing_payment")
    return case, order


async def bulk(desk: Desk, state: str) -> tuple[Handle, str]:
    """A bulk order of 1,000.00 with a discount of 5 per cent: in its review, or with its rebate paid."""
    order = desk.order(prices=[(100_000, 1)])
    start = {"order_id": order, "by": "presale.1", "discount_percent": "5"}
    case = await desk.open_case("bulk-order", f"bulk-order-{order}", start)
    await desk.until(case, "compiling")
    if state == "compiling":
        return case, order
    dossier = {"buyer_registered_on": "2016-03-08", "buyer_purchases": 4}
    await desk.submit(case, "submit_dossier", "bulk.1", **dossier)
    await desk.submit(case, "pass_legal_review", "manager.1", note="nothing speaks against it")
    await desk.submit(case, "approve", "presale-lead.1")
    await desk.until(case, "awaiting_audit")
    await desk.submit(case, "change_amount", "audit.1", amount_fen=95_000)
    await desk.until(case, "following")
    return case, order


async def ended_bulk(desk: Desk) -> Handle:
    case, order = await bulk(desk, "following")
    desk.ship_without_telling(order)
    assert (await desk.submit(case, "buyer_confirms", "bulk.1")).outcome == "completed"
    await case.result()
    return case


async def refunded_bulk(desk: Desk) -> Handle:
    case, order = await bulk(desk, "following")
    desk.platform_refunds_order(order)
    await desk.signal(case, "order_gone", "system")
    assert (await desk.end(case)).outcome == "closed_refunded"
    return case


async def open_bulk(desk: Desk) -> Handle:
    return (await bulk(desk, "following"))[0]


async def free_shipping(desk: Desk, state: str) -> tuple[Handle, str]:
    order = desk.order(prices=[(100_000, 1)], postage_fen=800)
    desk.gates.budgets[order] = 10**12
    start = {"order_id": order, "by": "presale.1", "kind": "free_shipping", "cost_fen": 800}
    case = await desk.open_case("gift-approval", f"gift-approval-{order}-free-shipping", start)
    await desk.until(case, state)
    return case, order


async def credited(desk: Desk) -> Handle:
    case, _ = await free_shipping(desk, "awaiting_audit")
    await desk.submit(case, "add_gift", "audit.1")
    assert (await desk.end(case)).outcome == "granted"
    return case


async def open_return(desk: Desk) -> tuple[Handle, str]:
    order = desk.order(shipped=True)
    case = await desk.open_case(
        "return-after-shipping",
        f"return-after-shipping-{order}",
        {"order_id": order, "by": "aftersale.1", "cause": "no_reason", "lines": [{"line": 1, "quantity": 1}]},
    )
    await desk.until(case, "awaiting_parcel")
    return case, order


# --- what was paid ---


@pytest.mark.parametrize(
    ("opened", "fen"), [(ended_bulk, 5_000), (refunded_bulk, 5_000), (open_bulk, 5_000), (credited, 800)]
)
async def test_a_payment_that_is_more_or_gone_is_named_in_every_ending_and_while_the_case_is_open(
    desk: Desk, replays: Replays, opened: Callable[[Desk], Any], fen: int
) -> None:
    case: Handle = await opened(desk)
    assert await found(desk, replays, case) == []
    was, doubled = f"{fen / 100:.2f}", f"{fen / 50:.2f}"
    with otherwise(desk, case, twice_as_much(case)):
        faults = await found(desk, replays, case)
        assert any(f"it has paid {was}" in one and f"the books say {doubled}" in one for one in faults), faults
    with otherwise(desk, case, nothing_paid(case)):
        faults = await found(desk, replays, case)
        assert any(f"it has paid {was}" in one and "have no such payment" in one for one in faults), faults
    assert await found(desk, replays, case) == []


@pytest.mark.parametrize("key", ["{case}/{run}/postage", "{case}/another-run/postage", "anything"])
async def test_a_payment_that_an_open_case_never_made_is_named(desk: Desk, replays: Replays, key: str) -> None:
    case, order = await free_shipping(desk, "awaiting_audit")
    key = key.format(case=case.id, run=run_of(desk, case), order=order) + ("" if "{" in key else order)
    with otherwise(desk, case, paid(case, order, key, 500)):
        faults = await found(desk, replays, case)
        assert len(faults) == 1, faults
        assert "the books have a payment of 5.00" in faults[0]
        shop = [
            one async for one in Verifier(CaseworkClient(desk.client, desk.database), replays).all("WorkflowId = ''")
        ]
        assert ("no run of" in faults[0]) == any(fault.found == faults[0] for fault in shop[-1].faults)
    assert await found(desk, replays, case) == []
    await case.cancel()


async def test_a_ledger_entry_of_no_payment_is_named(desk: Desk, replays: Replays) -> None:
    case = await refund(desk, order := desk.order())

    def entered(session: Session, fen: int = 500) -> None:
        lock_order(session, order)
        session.add(
            LedgerRow(order_id=order, line=1, quantity=0, amount_fen=fen, source="case", case_id=case.id, at=NOW)
        )

    with otherwise(desk, case, entered):
        assert any("5.00, belongs to no payment" in one for one in await found(desk, replays, case))
    with otherwise(desk, case, lambda session: entered(session, 0)):
        assert not any("belongs to no payment" in one for one in await found(desk, replays, case))
    await case.cancel()


async def test_a_payment_under_way_may_be_in_the_books_or_not(desk: Desk, replays: Replays) -> None:
    order = desk.order()
    case = await refund(desk, order)
    async with desk.before("pay", order):
        await desk.submit(case, "buyer_insists", "aftersale.1")
        await desk.reached("pay", order)
        assert await found(desk, replays, case) == []
        key = f"{case.id}/{run_of(desk, case)}/refund"
        # written and not answered yet
        with otherwise(desk, case, paid(case, order, key, 10_000)):
            assert await found(desk, replays, case) == []
        with otherwise(desk, case, paid(case, order, key, 9_999)):
            assert await found(desk, replays, case) == ["it is about to pay 100.00 (refund), and the books say 99.99"]
    assert (await desk.end(case)).outcome == "refunded"
    assert await found(desk, replays, case) == []


async def test_a_payment_by_hand_that_the_case_is_about_to_know_of_is_no_fault(
    desk: Desk, replays: Replays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "LOOKS_AT_REST", 3)
    case, order = await repairing(desk)
    by_hand = {"amount_fen": 10_000, "payment_reference": f"hand-{order}"}
    async with desk.before("settle", order):  # its workflow task is prolonged, and tells nothing of the step before
        doing = asyncio.ensure_future(desk.submit(case, "confirm_paid_by_hand", CLERK, **by_hand))
        await desk.reached("settle", order)
        with desk.database.reading() as session:
            assert session.scalar(select(PaymentRow.amount_fen).where(PaymentRow.case_id == case.id)) == 10_000
        assert await found(desk, replays, case) == []
    await doing
    assert (await desk.end(case)).outcome == "refunded"
    assert await found(desk, replays, case) == []
    with otherwise(desk, case, twice_as_much(case)):
        assert any("it has paid 100.00" in one for one in await found(desk, replays, case))


async def test_what_an_earlier_run_of_the_case_has_paid_is_known(desk: Desk, replays: Replays) -> None:
    case, _ = await bulk(desk, "following")
    first = (await case.describe()).run_id
    while (await case.describe()).run_id == first:
        await asyncio.gather(*[case.signal("nobody_knows_it") for _ in range(EVENTS_BEFORE_CONTINUING)])
        await desk.at_rest(case)
    assert await found(desk, replays, case) == []
    with otherwise(desk, case, nothing_paid(case)):
        assert await found(desk, replays, case) == [
            "it has paid 50.00 (rebate), and the books have no such payment",
        ]


async def test_what_a_case_paid_that_was_broken_off_is_known(desk: Desk, replays: Replays) -> None:
    case, _ = await bulk(desk, "following")
    await case.terminate()
    broken_off = await found(desk, replays, case)
    assert any("it was broken off" in one for one in broken_off)
    with otherwise(desk, case, nothing_paid(case)):
        assert "it has paid 50.00 (rebate), and the books have no such payment" in await found(desk, replays, case)


async def test_of_a_case_by_its_record_alone_it_is_known_whether_it_paid(desk: Desk) -> None:
    bulk_case, gift = await ended_bulk(desk), await credited(desk)
    for case, said in ((bulk_case, "it moved 0 times as paid, and 1 payments were made"), (gift, "it was about 9.00")):
        run = run_of(desk, case)
        with desk.database.reading() as session:
            view = CaseView.model_validate(find_records(session, case_id=case.id)[0].view)
            assert faults_of_end(session, view, run) == []
            if case is bulk_case:
                trail = [line for line in view.trail if line.trigger != "pay"]
                view = view.model_copy(update={"trail": trail})
            else:
                view = view.model_copy(update={"amount_fen": 900})
            assert any(said in one for one in faults_of_end(session, view, run)), said


# --- what it holds ---


async def held_refund(desk: Desk) -> Handle:
    return await refund(desk, desk.order())


async def left_refund(desk: Desk) -> Handle:
    return await refund(desk, desk.order(shipped=True), "awaiting_parcel_back")


async def a_return(desk: Desk) -> Handle:
    return (await open_return(desk))[0]


async def reviewed_bulk(desk: Desk) -> Handle:
    return (await bulk(desk, "compiling"))[0]


async def promised_gift(desk: Desk) -> Handle:
    return (await free_shipping(desk, "awaiting_audit"))[0]


@pytest.mark.parametrize(
    ("opened", "table", "said"),
    [
        (held_refund, HoldRow, "it is in persuading, and has no hold on line 1"),
        (held_refund, ClaimRow, "it is in persuading, and has no claim on line 1"),
        (left_refund, ClaimRow, "it is in awaiting_parcel_back, and has no claim on line 1"),
        (a_return, ClaimRow, "it is in awaiting_parcel, and has no claim on line 1"),
        (reviewed_bulk, HoldRow, "it is in compiling, and has no hold on line 1"),
        (
            promised_gift,
            GiftPromiseRow,
            "it is in awaiting_audit, and nothing is reserved for it in the month's budget",
        ),
    ],
)
async def test_what_an_open_case_must_have_and_has_not_is_named(
    desk: Desk, replays: Replays, opened: Callable[[Desk], Any], table: Any, said: str
) -> None:
    case: Handle = await opened(desk)
    assert await found(desk, replays, case) == []
    with otherwise(desk, case, gone(table, case)):
        assert await found(desk, replays, case) == [said]
        listed = Verifier(CaseworkClient(desk.client, desk.database), replays).all(f"WorkflowId = '{case.id}'")
        async with asyncio.timeout(30):  # Temporal lists it a moment later
            while not (all_of_them := [one async for one in listed if one.case_id == case.id]):
                listed = Verifier(CaseworkClient(desk.client, desk.database), replays).all(f"WorkflowId = '{case.id}'")
        assert [fault.found for fault in all_of_them[0].faults] == [said]
    assert await found(desk, replays, case) == []
    await case.cancel()


async def test_a_hold_that_is_handed_over_is_still_there_and_one_that_is_let_go_is_not_asked_for(
    desk: Desk, replays: Replays
) -> None:
    case, _ = await bulk(desk, "compiling")
    handed = update(HoldRow).where(HoldRow.case_id == case.id).values(case_id="another", handed_over_by=case.id)
    back = update(HoldRow).where(HoldRow.handed_over_by == case.id).values(case_id=case.id, handed_over_by=None)
    with desk.database.writing() as session:
        session.execute(handed)
    assert "no hold" not in str(await found(desk, replays, case))
    with desk.database.writing() as session:
        session.execute(back)
    followed, _ = await bulk(desk, "following")
    await desk.at_rest(followed)
    with desk.database.reading() as session:
        assert session.scalar(select(HoldRow.line).where(HoldRow.case_id == followed.id)) is None
    assert await found(desk, replays, followed) == []


async def test_a_line_of_which_the_review_is_still_to_hear_need_not_be_held_yet(desk: Desk, replays: Replays) -> None:
    case, order = await bulk(desk, "compiling")
    with desk.database.writing() as session:
        (line,) = session.scalars(select(LineRow).where(LineRow.order_id == order))
        values = {column.key: getattr(line, column.key) for column in LineRow.__table__.columns}
        session.add(LineRow(**{**values, "number": 2}))
        news = NoticeRow(case_id=case.id, order_id=order, trigger="order_changed", at=NOW)
        session.add(news)
        session.flush()
        notice = news.id
    assert await found(desk, replays, case) == []
    with desk.database.writing() as session:
        session.execute(delete(NoticeRow).where(NoticeRow.id == notice))
    assert await found(desk, replays, case) == ["it is in compiling, and has no hold on line 2"]
    with desk.database.writing() as session:
        session.execute(delete(LineRow).where(LineRow.order_id == order, LineRow.number == 2))
    assert await found(desk, replays, case) == []


async def test_a_case_in_the_midst_of_letting_go_is_no_fault(
    desk: Desk, replays: Replays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "LOOKS_AT_REST", 3)
    order = desk.order()
    case = await refund(desk, order)
    async with desk.before("close_case", order):
        # its history says that it waits, until the workflow task that ends it is done
        doing = asyncio.ensure_future(desk.submit(case, "buyer_keeps_order", "aftersale.1"))
        await desk.reached("close_case", order)
        with desk.database.reading() as session:
            assert session.scalar(select(HoldRow.line).where(HoldRow.case_id == case.id)) is None
        assert await found(desk, replays, case) == []
    await doing
    assert (await desk.end(case)).outcome == "kept"
    assert await found(desk, replays, case) == []


async def test_a_case_that_went_on_since_it_was_looked_at_does_not_stand_still(desk: Desk) -> None:
    order = desk.order()
    case = await refund(desk, order)
    await desk.at_rest(case)
    recorded = Recorded(await case.fetch_history())
    assert await stands_still(desk.client, recorded)
    # what was read before the last event is old
    before = Recorded(replace(recorded.history, events=recorded.history.events[:-1]))
    assert before.is_at_rest
    assert not await stands_still(desk.client, before)
    async with desk.before("close_case", order):
        # an update leaves nothing in the history until its workflow task is prolonged or done
        doing = asyncio.ensure_future(desk.submit(case, "buyer_keeps_order", "aftersale.1"))
        await desk.reached("close_case", order)
        assert not await stands_still(desk.client, recorded)
    await doing
    await desk.end(case)
