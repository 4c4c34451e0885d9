"""A short run of `make chaos`, that its plan comes of its seed, and that its audit finds what is broken on purpose."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from casework.policy import load_policy
from casework.server_program import find_server_program
from chaos.acting import Casting
from chaos.plan import ALWAYS, ALWAYS_WITH_DATABASE, WITHOUT_COMMIT, Plan, casting_of, plan_of
from chaos.points import DATABASE, DELIVER, SERVER, WORKER, Point
from chaos.run import Report, run
from chaos.stories import BULK, PARCEL, REFUND, SMALL, STORIES
from tests.postgresql import REQUIRED, Missing, RunningPostgreSQL
from tests.telling import tell

AGENT_LIMIT_FEN = load_policy(None).refund_before_shipping.agent_limit_fen
SEED = int(os.environ.get("CASEWORK_CHAOS_SEED", "3"))


async def do(
    plan: Plan, folder: Path, *, postgresql: RunningPostgreSQL | None = None, sabotage: str | None = None
) -> Report:
    report = await run(
        plan,
        program=find_server_program(print).path,
        folder=folder,
        postgresql=postgresql,
        sabotage=sabotage,
        patience=100,
        replay=False,
    )
    tell(report)
    return report


@pytest.fixture
def own_postgresql() -> Iterator[RunningPostgreSQL | None]:
    """One that may be killed; None where PostgreSQL is not installed."""
    try:
        own = RunningPostgreSQL()
    except Missing as missing:
        if os.environ.get(REQUIRED) == "required":
            pytest.fail(str(missing), pytrace=False)
        tell(f"chaos without killing a database: {missing}")
        yield None
    else:
        yield own
        own.remove()


async def test_whoever_is_killed_nothing_is_lost_and_nothing_happens_twice(
    tmp_path: Path, own_postgresql: RunningPostgreSQL | None
) -> None:
    others = [] if own_postgresql is None else [DATABASE]
    report = await do(plan_of(SEED, cases=14, kills=6, others=others), tmp_path, postgresql=own_postgresql)
    assert report.findings == []
    assert report.cases >= 14
    assert report.kills.total() >= 5
    assert report.kills[DATABASE] >= len(others)


async def test_the_audit_names_what_is_broken_on_purpose(tmp_path: Path) -> None:
    silence_pays = next(story for story in STORIES if story.name == f"{REFUND}: silence pays")
    castings = [casting_of(number, silence_pays, seed=number) for number in range(2)]
    paid_twice, told_twice = (one.order_id for one in castings)
    points = [Point(0, paid_twice, "pay", "after", WORKER), Point(1, told_twice, "settle", "after", WORKER)]
    report = await do(Plan(0, castings, points, []), tmp_path, sabotage="tests.chaos.sabotage:everything")
    found = "\n".join(report.findings)
    assert f"order {paid_twice}: " in found
    # once more than twice, where the next worker is slow to answer: the audit counts them as the ledger does
    sums = re.search(rf"order {paid_twice}: ([\d.]+) refunded, ([\d.]+) paid", found)
    assert sums is not None, found
    payments = Decimal(sums[1]) / Decimal(sums[2])
    assert payments >= 2
    assert f"{REFUND}-{paid_twice}: there are {payments} payments" in found
    assert f"{REFUND}-{told_twice}: the buyer was told refunded 2 times" in found
    assert f"{REFUND}-{told_twice}: it has ended, and still has 1 x hold" in found
    assert "went out, the ledger says" in found
    assert "what it has belongs to no open case" in found


def cast(*names: str) -> list[Casting]:
    """An order for each of these stories."""
    stories = {story.name: story for story in STORIES}
    return [casting_of(number, stories[name], seed=number) for number, name in enumerate(names)]


async def test_the_audit_names_what_is_never_said_or_never_delivered(tmp_path: Path) -> None:
    castings = cast(f"{REFUND}: two levels", f"{PARCEL}: sent again")
    report = await do(Plan(0, castings, [], []), tmp_path, sabotage="tests.chaos.sabotage:nothing_said")
    refund, parcel = f"{REFUND}-{castings[0].order_id}", f"{PARCEL}-YT{castings[1].order_id[-11:]}"
    found = "\n".join(report.findings)
    assert f"{refund}: buyer: refund_requested 0 times, it must be 1" in found
    assert f"{refund}: staff: finance_manager: asked_to_act 0 times, it must be 1" in found
    assert f"{parcel}: staff: warehouse: parcel.send_again 0 times, it must be 1" in found
    assert f"{refund}: buyer: refunded" not in found
    assert f"{refund}: the message refunded to buyer" in found
    assert found.count("is said to be delivered, and never was") == 2


async def test_the_audit_names_what_is_never_noted_or_outside_done_twice(tmp_path: Path) -> None:
    names = (
        f"{REFUND}: silence pays",
        f"{PARCEL}: sent again",
        f"{PARCEL}: station gone",
        f"{PARCEL}: delivered again",
    )
    castings = cast(*names)
    points = [
        Point(number, castings[number].order_id, what, "after", WORKER)
        for number, what in enumerate((DELIVER, "claim", "forward", "redeliver"))
    ]
    report = await do(Plan(0, castings, points, []), tmp_path, sabotage="tests.chaos.sabotage:nothing_noted")
    refunded, *parcels = (one.order_id for one in castings)
    sent_again, forwarded, delivered_again = (f"{PARCEL}-YT{order_id[-11:]}" for order_id in parcels)
    found = "\n".join(report.findings)
    assert f"{REFUND}-{refunded}: memo: settle/memo 0 times, it must be 1" in found
    assert f"order {refunded}: its flags were green, none, they must be green, red" in found
    assert f"{sent_again}: claims: the price 0 times, it must be 1" in found
    assert f"{forwarded}: courier: forward 2 times, it must be 1" in found
    assert f"{delivered_again}: courier: redeliver 2 times, it must be 1" in found
    assert f"a message was delivered that does not stand in the outbox: {REFUND}-{refunded}/" in found


@pytest.mark.parametrize("lost", ["hold", "claim"])
async def test_what_a_case_loses_as_it_hands_over_somebody_else_gets(tmp_path: Path, lost: str) -> None:
    bulk, parcels = (f"{BULK}: malicious", f"{BULK}: list price declined"), (f"{REFUND}: left first", f"{PARCEL}: lost")
    # what has left holds nothing any more
    castings = cast(*bulk, *(parcels if lost == "claim" else ()))
    # with its worker dead the child takes its time to open
    points = [Point(number, one.order_id, "hand_over", "after", WORKER) for number, one in enumerate(castings)]
    sabotage = f"tests.chaos.sabotage:no_{lost}_handed_over"
    report = await do(Plan(0, castings, points, []), tmp_path, sabotage=sabotage)
    got = "could leave" if lost == "hold" else "could be claimed"
    assert {one.partition(" ")[0] for one in report.findings if got in one} == {one.order_id for one in castings}
    assert len(report.findings) == len(castings)


async def test_a_message_whose_worker_is_killed_goes_out_again_under_the_same_id(tmp_path: Path) -> None:
    castings = cast(f"{REFUND}: silence pays")
    report = await do(Plan(0, castings, [Point(0, castings[0].order_id, DELIVER, "after", WORKER)], []), tmp_path)
    assert report.findings == []
    # those that call to act are left out, where the case was quicker
    assert 2 <= report.delivered <= 4
    assert report.delivered_again == 1


def test_a_seed_is_a_plan() -> None:
    assert plan_of(11, cases=40, kills=9) == plan_of(11, cases=40, kills=9)
    assert plan_of(11, cases=40, kills=9) != plan_of(12, cases=40, kills=9)


def test_nobody_is_killed_before_a_commit_that_never_comes() -> None:
    points = [one for seed in range(40) for one in plan_of(seed, cases=60, kills=60).points]
    assert {one.when for one in points} == {"before", "commit", "after"}
    assert not [one for one in points if one.when == "commit" and one.name in WITHOUT_COMMIT]


def test_a_long_run_has_every_chosen_moment_and_all_processes_die_at_random_too() -> None:
    plan = plan_of(1, cases=500, kills=56, others=[DATABASE])
    assert {*ALWAYS, *ALWAYS_WITH_DATABASE} <= {(one.name, one.when, one.victim) for one in plan.points}
    assert len(plan.points) + len(plan.kills) == 56
    assert {SERVER, DATABASE} <= {one.victim for one in plan.kills}
    assert DATABASE not in {one.victim for one in plan_of(1, cases=500, kills=56).kills}
    assert len({one.order_id for one in plan.castings}) == 500
    small = {story.name for story in STORIES if story.prices == SMALL}
    decided_alone = [one.price_fen + one.postage_fen for one in plan.castings if one.story in small]
    assert max(decided_alone) <= AGENT_LIMIT_FEN
    assert {one.story for one in plan.castings} == {one.name for one in STORIES}
