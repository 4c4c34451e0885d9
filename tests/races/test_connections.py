"""Races of the connections: a case that another one opens, and somebody who opens the same one in that moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError

from casework import names
from casework.client import CaseOpen, CaseworkClient
from casework.patrol import Patrolled
from casework.policy import load_policy
from casework.shop import records
from casework.shop.database import Database
from casework.shop.tables import ClaimRow
from tests.desk import Desk, Handle
from tests.orders import add_order, new_shop
from tests.races.racing import Race, after, answer_of
from worker import build_worker

AGENT = "aftersale.1"
RETURN, PARCEL = "return-after-shipping", "problem-parcel"


# --- a refund whose parcel has left opens a return, and so does somebody by hand ---


@asynccontextmanager
async def watched_claim(desk: Desk, order: str) -> AsyncGenerator[set[str]]:
    """Read over and over which cases have the order's only line claimed; fail if a moment comes with none."""
    holders: set[str] = set()
    over = asyncio.Event()

    def read() -> list[str]:
        with desk.database.reading() as session:
            return list(session.scalars(select(ClaimRow.case_id).where(ClaimRow.order_id == order)))

    async def watch() -> None:
        while not over.is_set():
            found = await asyncio.to_thread(read)
            assert len(found) == 1, f"the line is claimed by {found}"
            holders.update(found)

    watching = asyncio.ensure_future(watch())
    try:
        yield holders
    finally:
        over.set()
        await watching


async def start_by_hand(desk: Desk, order: str) -> str:
    """Somebody starts the return through Temporal, without the client's checks; answers with what becomes of it."""
    start = {"order_id": order, "by": AGENT, "cause": "no_reason"}
    try:
        handle = await desk.open_case(RETURN, f"{RETURN}-{order}", start)
    except WorkflowAlreadyStartedError:
        return "already started"
    try:
        return str((await of_run(desk, handle).result())["outcome"])
    except WorkflowFailureError as failed:
        return failed.cause.message if isinstance(failed.cause, ApplicationError) else str(failed.cause)


def of_run(desk: Desk, handle: Handle) -> Handle:
    """The very run that was started: the same id may be started again."""
    return desk.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)


async def refund_that_hands_over(desk: Desk, order: str) -> Handle:
    """A refund whose parcel was not stopped, just before it hands over: the caller has stopped it there."""
    desk.fail("intercept", order, "always")
    refund = await desk.open_in("persuading", order, reason="bought twice")
    await desk.platform_ships(refund)
    await desk.reached("hand_over", order)
    return refund


async def waits_for_a_taken_id(case: Handle) -> None:
    """Until the case waits to start its child once more."""
    async for event in case.fetch_history_events(wait_new_event=True):
        if b"is taken for a moment" in event.user_metadata.summary.data:
            return


async def require_one_return(desk: Desk, refund: Handle, order: str) -> None:
    """The refund is a return now: it is open, has the line, and both know each other."""
    child = desk.client.get_workflow_handle(f"{RETURN}-{order}")
    view = await desk.end(refund)
    assert (view.outcome, view.links) == ("converted", [child.id])
    desk.require_whole(view)
    going_on = await desk.until(child, "awaiting_parcel")
    assert (going_on.links, going_on.opened_by) == ([refund.id], "system")
    with desk.database.reading() as session:
        assert session.scalars(select(ClaimRow.case_id).where(ClaimRow.order_id == order)).all() == [child.id]
        runs = records.find_records(session, case_id=child.id)
    assert [run.closed_at for run in runs].count(None) == 1
    assert all(run.outcome == "not_applicable" for run in runs if run.closed_at is not None)
    await child.cancel()
    desk.require_whole(await desk.end(child))


async def test_of_a_return_that_a_refund_opens_and_one_by_hand_exactly_one_goes_on_and_has_the_line(
    desk: Desk,
) -> None:
    race = Race("a return by the refund against one by hand", "refund", "hand")
    for wait_refund, wait_hand in race.rounds():
        order = desk.order(prices=[(10_000, 1)])
        async with desk.before("hand_over", order):
            refund = await refund_that_hands_over(desk, order)
            watching = watched_claim(desk, order)
            holders = await watching.__aenter__()
            by_hand = asyncio.ensure_future(after(wait_hand, start_by_hand(desk, order)))
            await asyncio.sleep(wait_refund)
        await desk.end(refund)
        what_came = await by_hand
        await watching.__aexit__(None, None, None)
        assert holders <= {refund.id, f"{RETURN}-{order}"}
        assert what_came in ("already started", "not_applicable") or "being handed over" in what_came
        await require_one_return(desk, refund, order)
        race.won_by("refund" if what_came == "already started" else "hand")


async def test_a_refund_waits_for_a_return_by_hand_that_cannot_have_its_line(desk: Desk) -> None:
    """The one by hand is open, and has not found the line claimed yet, when the refund looks for its return."""
    order = desk.order(prices=[(10_000, 1)])
    async with desk.before("assess_return", order):
        async with desk.before("hand_over", order):
            refund = await refund_that_hands_over(desk, order)
            by_hand = asyncio.ensure_future(start_by_hand(desk, order))
            await desk.reached("assess_return", order)
        async with asyncio.timeout(20):
            await waits_for_a_taken_id(refund)
    assert await by_hand == "not_applicable"
    await require_one_return(desk, refund, order)


# --- the patrol, and a buyer who asks ---


@asynccontextmanager
async def shop_with_patrol(client: Client, folder: Path) -> AsyncGenerator[tuple[Database, str]]:
    """A shop of its own with a worker, and its task queue: the patrol goes through every parcel that there is."""
    database = new_shop(f"sqlite:///{folder / 'shop.db'}")
    queue = "races-of-the-patrol"
    async with build_worker(client, database, load_policy(None), task_queue=queue):
        yield database, queue
    database.close()


def overdue_parcel(database: Database, number: int) -> dict[str, Any]:
    """A parcel that left a month ago and was never scanned, and what a buyer's question about it is opened with."""
    order = f"33000188{number:011d}"
    with database.writing() as session:
        add_order(session, order, prices=[(10_000, 1)], shipped=True, left_ago=timedelta(days=30))
    return {
        "order_id": order,
        "by": AGENT,
        "waybill": f"YT{order[-11:]}",
        "courier": "yuantong",
        "cause": "asked",
    }


async def test_of_the_patrol_and_a_buyer_who_asks_for_the_same_parcel_exactly_one_opens_the_case(
    desk: Desk, tmp_path: Path
) -> None:
    race = Race("the patrol against a buyer's question", "patrol", "buyer")
    async with shop_with_patrol(desk.client, tmp_path) as (database, queue):
        client = CaseworkClient(desk.client, database, task_queue=queue)
        for number, (wait_patrol, wait_buyer) in enumerate(race.rounds(), start=1):
            asked = overdue_parcel(database, number)
            case_id = f"{PARCEL}-{asked['waybill']}"
            done, opened = await asyncio.gather(
                after(
                    wait_patrol,
                    desk.client.execute_workflow(
                        names.PARCEL_PATROL, id=f"parcel-patrol-race-{number}", task_queue=queue
                    ),
                ),
                after(wait_buyer, client.start_case(PARCEL, asked)),
                return_exceptions=True,
            )
            assert not isinstance(done, BaseException), done
            patrolled = Patrolled.model_validate(done)
            if isinstance(opened, BaseException):
                assert isinstance(opened, CaseOpen), opened
                assert opened.case_id == case_id
            else:
                assert opened == case_id
            by_patrol = isinstance(opened, CaseOpen)
            assert patrolled.cases == ([case_id] if by_patrol else [])
            view = await client.view_at_rest(case_id)
            assert view.opened_by == ("system" if by_patrol else AGENT)
            handle = desk.client.get_workflow_handle(case_id)
            await answer_of(handle.cancel())
            assert (await desk.end(handle)).outcome == "cancelled"
            with database.reading() as session:
                assert len(records.find_records(session, case_id=case_id)) == 1
            race.won_by("patrol" if by_patrol else "buyer")


pytestmark = pytest.mark.timeout(120)
