"""What the open cases do by themselves if nobody acts: chains are followed, and what nobody knows is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from casework.cli.errors import BAD_INPUT, DONE
from casework.client import CaseworkClient
from casework.forecast import Course, Unknown, course_of
from casework.lookups import Lookups, lookups_of
from casework.waiting import case_from
from state_machines.flows import FLOWS
from state_machines.laws.exploring import by_amount
from state_machines.laws.worlds import WORLDS
from state_machines.table import StateKind
from tests.cli.commands import Casework
from tests.cli.test_inbox import to_supervisor
from tests.desk import FLOW, Desk

NOTHING = Lookups(frozenset(), frozenset())


async def course(casework: Casework, case: str, *arguments: str) -> dict[str, Any]:
    done = await casework("forecast", "--json", *arguments)
    assert done.code == DONE, done.err
    return next(one for one in done.json["courses"] if one["case_id"] == case)


async def test_a_silence_that_leads_to_another_wait_is_followed_to_the_money(casework: Casework, desk: Desk) -> None:
    case = await to_supervisor(desk, fen=143_700)
    found = await course(casework, case, "--hours", "72")
    assert [(step["trigger"], step["dest"], step["pays_fen"]) for step in found["steps"]] == [
        ("supervisor_silent", "awaiting_finance", 0),
        ("finance_silent", "refunding", 143_700),
    ]
    assert all(step["unknown"] == [] for step in found["steps"])
    assert found["then_unknown"] == ["works"]
    assert (await course(casework, case, "--hours", "0.1"))["steps"] == []
    text = (await casework("forecast", "--hours", "72")).out
    assert "finance_silent → refunding" in text
    assert "sent for payment for certain" in text.splitlines()[-2] + text.splitlines()[-1] + text.splitlines()[-3]
    # what the clock then really does
    handle = desk.client.get_workflow_handle(case)
    await desk.skip_to_deadline(handle)
    view = await desk.until(handle, "awaiting_finance")
    assert view.if_silent is not None
    told = datetime.fromisoformat(found["steps"][1]["at"])
    assert abs(told - view.if_silent.at) < timedelta(minutes=1)


async def test_a_case_at_work_and_a_role_are_told_apart(casework: Casework, desk: Desk) -> None:
    waits, works = await to_supervisor(desk), await to_supervisor(desk, fen=30_000)
    async with desk.before("pay", works.removeprefix(f"{FLOW}-")):
        await CaseworkClient(desk.client, desk.database).submit(works, "approve", {"by": "aftersale-lead.1"})
        whole = (await casework("forecast", "--json")).json
        assert works in whole["at_work"]
        assert works not in [one["case_id"] for one in whole["courses"]]
    others = (await casework("forecast", "--role", "finance_manager", "--json")).json
    assert waits not in [one["case_id"] for one in others["courses"]]
    await desk.client.get_workflow_handle(waits).terminate()


async def test_bad_input_is_one_sentence(casework: Casework) -> None:
    for wrong in (["--hours", "0"], ["--hours", "9999"], ["--hours", "nan"], ["--hours", "x"], ["--role", "king"]):
        done = await casework("forecast", *wrong)
        assert (done.code, len(done.err.splitlines()), done.out) == (BAD_INPUT, 1, ""), wrong


# --- pure ---


def every_wait(flow_name: str) -> list[tuple[Any, Any]]:
    """A case in every wait with a deadline that the laws' explorer finds."""
    flow = FLOWS[flow_name]
    found: dict[str, Any] = {}
    for step in by_amount(WORLDS[flow_name]).steps():
        case = step.start.case
        if flow.states[case.state].kind is StateKind.WAIT and flow.states[case.state].deadline is not None:
            found.setdefault(case.state, case)
    return [(flow, case) for case in found.values()]


@pytest.mark.parametrize("name", list(FLOWS))
def test_every_wait_of_every_flow_is_forecast_and_the_case_is_left_as_it_is(name: str) -> None:
    waits = every_wait(name)
    assert waits
    for flow, case in waits:
        now = datetime.now(UTC)
        here = case.model_copy(deep=True)
        here.due = here.entered_at = now
        before = here.model_dump_json()
        found = course_of(flow, here, now=now, until=now + timedelta(days=30), lookups=lookups_of(flow))
        assert here.model_dump_json() == before
        assert found.steps or found.then_unknown, case.state
        assert [step.at for step in found.steps] == sorted(step.at for step in found.steps)
        if flow.states[here.state].watch is not None:
            assert all(Unknown.WATCHES in step.unknown for step in found.steps)


def test_what_the_shop_is_asked_only_then_makes_all_that_follows_unknown() -> None:
    flow, case = next(one for one in every_wait("refund-before-shipping") if one[1].state == "awaiting_supervisor")
    now = datetime.now(UTC)
    case = case.model_copy(deep=True)
    case.due = now

    def told(lookups: Lookups) -> Course:
        return course_of(flow, case, now=now, until=now + timedelta(days=3), lookups=lookups)

    assert told(NOTHING).leaves_fen > 0
    assert told(NOTHING).may_leave_fen == 0
    reads = told(Lookups(frozenset({"finance_silent"}), frozenset()))
    assert [step.unknown for step in reads.steps] == [[], [Unknown.READS]]
    assert (reads.leaves_fen, reads.may_leave_fen) == (0, told(NOTHING).leaves_fen)
    begins = told(Lookups(frozenset(), frozenset({"awaiting_finance"})))
    assert begins.leaves_fen == 0


def test_what_the_workflows_look_up_is_told_by_their_own_classes() -> None:
    assert {"confirmation_overdue", "order_gone"} <= lookups_of(FLOWS["bulk-order"]).triggers
    assert "following" in lookups_of(FLOWS["bulk-order"]).states
    assert "finance_silent" not in lookups_of(FLOWS["refund-before-shipping"]).triggers


def test_a_case_of_a_flow_that_is_not_known_is_no_case() -> None:
    with pytest.raises(KeyError):
        case_from({"flow": "no-such-flow"})
