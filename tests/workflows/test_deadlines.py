"""Deadlines, reminders and the platform's window, on the real server with time skipped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from casework.hours import OpenHours, add_open_time
from casework.policy import load_policy
from casework.shop.tables import OutboxRow
from tests.desk import Desk, Handle

AGENT, LEAD = "aftersale.1", "aftersale-lead.5"
POLICY = load_policy(None)
OPENING = OpenHours(POLICY.shop.open_from, POLICY.shop.open_until, POLICY.shop.timezone)


def told(desk: Desk, case: Handle, template: str) -> list[OutboxRow]:
    with desk.database.reading() as session:
        return session.query(OutboxRow).filter_by(case_id=case.id, template=template).all()


async def test_a_staff_deadline_counts_the_open_hours_and_silence_says_what_it_would_do(desk: Desk) -> None:
    far = (datetime.now(UTC) + timedelta(days=9)).isoformat()
    case = await desk.open_in(
        "persuading", desk.order(prices=[(20_000, 1)]), reason="bought twice", platform_deadline=far
    )
    view = await desk.view(case)
    entered = view.trail[-1].at
    assert view.due is not None
    wanted = add_open_time(entered, POLICY.refund_before_shipping.persuasion, OPENING)
    assert timedelta(0) <= view.due - wanted < timedelta(seconds=5)
    assert view.if_silent is not None
    assert view.if_silent.model_dump() == {
        "trigger": "persuasion_over",
        "dest": "refunding",
        "at": view.due,
        "pays_fen": 20_000,
    }
    await case.cancel()


async def test_the_platforms_deadline_less_the_margin_binds_every_wait(desk: Desk) -> None:
    soon = datetime.now(UTC) + timedelta(hours=3)
    case = await desk.open_in("persuading", desk.order(), reason="bought twice", platform_deadline=soon.isoformat())
    view = await desk.view(case)
    assert view.due is not None
    assert view.due <= soon - POLICY.shop.platform_margin
    await case.cancel()


async def test_a_deadline_in_a_zone_that_no_list_takes_is_shown_in_utc(desk: Desk) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=3)).replace(microsecond=0)
    odd = soon.astimezone(timezone(timedelta(hours=8, seconds=30))).isoformat()
    case = await desk.open_in("persuading", desk.order(), reason="bought twice", platform_deadline=odd)
    view = await desk.view(case)
    assert view.due == soon - POLICY.shop.platform_margin
    assert view.given["platform_deadline"] == soon.isoformat().replace("+00:00", "Z")
    await case.cancel()


async def test_without_one_the_platform_waits_for_its_window_from_the_opening(desk: Desk) -> None:
    case = await desk.open_in("awaiting_parcel_back", desk.order(shipped=True))
    view = await desk.view(case)
    window = POLICY.refund_before_shipping.platform_window - POLICY.shop.platform_margin
    assert view.due == view.opened_at + window
    await case.cancel()


async def test_a_platform_deadline_that_has_passed_fires_every_wait_at_once_and_pays_what_the_buyer_asked(
    desk: Desk,
) -> None:
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    case = await desk.start(desk.order(prices=[(100_001, 1)]), reason="bought twice", platform_deadline=past)
    view = await desk.end(case)
    assert view.outcome == "refunded"
    assert [line.trigger for line in view.trail] == [
        "check",
        "hold",
        "persuasion_over",
        "supervisor_silent",
        "finance_silent",
        "pay",
        "settle",
    ]


async def test_an_alarm_row_comes_every_day_also_when_the_platforms_deadline_has_passed(desk: Desk) -> None:
    order = desk.order(prices=[(20_000, 1)])
    desk.fail("payment", order, "always")
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    case = await desk.start(order, reason="bought twice", platform_deadline=past)
    view = await desk.until(case, "repairing_payment")
    while not [line for line in view.trail if line.trigger == "repair_overdue"]:
        view = await desk.skip_to_deadline(case)
    fired = view.trail[-1].at
    assert view.due is not None
    assert timedelta(0) <= view.due - fired - POLICY.shop.alarm_every < timedelta(seconds=5)
    view = await desk.skip_to_deadline(case)
    assert [line.trigger for line in view.trail][-2:] == ["repair_overdue", "repair_overdue"]
    fired_so_often = [line.trigger for line in view.trail].count("repair_overdue")
    assert [alarm.recipient for alarm in told(desk, case, "alarm")] == ["finance_manager"] * fired_so_often
    await case.cancel()


async def test_those_who_may_act_are_reminded_once(desk: Desk) -> None:
    far = (datetime.now(UTC) + timedelta(days=9)).isoformat()
    case = await desk.open_in(
        "persuading", desk.order(prices=[(20_001, 1)]), reason="bought twice", platform_deadline=far
    )
    view = await desk.view(case)
    assert view.due is not None
    assert told(desk, case, "reminder") == []
    await desk.skip(case, view.due - datetime.now(UTC) - timedelta(minutes=5))
    (reminder,) = told(desk, case, "reminder")
    assert reminder.recipient == "aftersale_agent"
    assert (await desk.view(case)).due == view.due
    await case.cancel()


@pytest.mark.parametrize("refused_by", ["warehouse.1", "nobody.9"])
async def test_a_refused_attempt_moves_no_deadline(desk: Desk, refused_by: str) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="bought twice")
    due = (await desk.view(case)).due
    await desk.signal(case, "buyer_insists", refused_by)
    view = await desk.submit(case, "parcel_back", "returns.1")
    assert view.due == due
    assert not view.trail[-1].accepted
    await case.cancel()
