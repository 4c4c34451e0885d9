"""May somebody do this now, and if not: what stands in the way and who could? The case's own machine says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from casework.cli.errors import BAD_INPUT, DONE, REFUSED
from casework.client import CaseRefused, CaseworkClient
from tests.cli.commands import Casework, Done
from tests.cli.test_inbox import to_supervisor
from tests.desk import FLOW, Desk


async def asked(casework: Casework, *arguments: str) -> Any:
    done = await casework("why", *arguments, "--json")
    assert done.code in {DONE, REFUSED}, done.err
    assert (done.json["may"] is False) == (done.code == REFUSED)
    return done.json


async def test_a_yes_names_the_row_and_what_stands_before_a_row_that_comes_first(
    casework: Casework, desk: Desk
) -> None:
    case = await to_supervisor(desk, fen=143_700)
    verdict = await asked(casework, case, "approve", "--by", "aftersale-lead.1")
    assert verdict["may"] is True
    assert (verdict["dest"], verdict["role"]) == ("awaiting_finance", "aftersale_supervisor")
    assert verdict["obstacle"]["row"]["dest"] == "refunding"
    assert (verdict["obstacle"]["guard"], verdict["obstacle"]["limit_fen"]) == ("within_supervisor_limit", 100_000)
    text = (await casework("why", case, "approve", "--by", "aftersale-lead.1")).out
    assert "aftersale-lead.1 may now: approve\n" in text
    assert "(amount 1,437.00, limit 1,000.00)" in text
    view = await desk.view(desk.client.get_workflow_handle(case))
    assert all(line.accepted for line in view.trail), "nothing was sent"


async def test_a_persons_own_lower_limit_is_named(casework: Casework, desk: Desk) -> None:
    case = await to_supervisor(desk, fen=60_000)
    verdict = await asked(casework, case, "approve", "--by", "aftersale-lead.4")
    assert (verdict["dest"], verdict["obstacle"]["limit_fen"]) == ("awaiting_finance", 50_000)
    by_others = {one["staff_id"]: one["dest"] for one in verdict["could"]}
    assert by_others["aftersale-lead.1"] == "refunding"
    assert by_others["aftersale-lead.4"] == "awaiting_finance"
    assert by_others["aftersale.2"] == "refunding", "a deputy of somebody who is absent"
    assert "aftersale-lead.3" not in by_others, "absent"


@pytest.mark.parametrize(
    ("trigger", "by", "code", "said"),
    [
        ("approve", "aftersale.1", "role", "approve in awaiting_supervisor is for aftersale_supervisor"),
        ("approve", "aftersale-lead.3", "staff", "aftersale-lead.3 is absent; aftersale.2 deputises"),
        ("approve", "nobody.1", "staff", "by names nobody on the staff list"),
        ("give_reason", "aftersale.1", "not_possible", "give_reason is not possible in awaiting_supervisor"),
        ("parcel_back", "aftersale.1", "role", "parcel_back is for returns_clerk"),
    ],
)
async def test_a_no_says_the_same_as_the_case_itself(
    casework: Casework, desk: Desk, trigger: str, by: str, code: str, said: str
) -> None:
    case = await to_supervisor(desk)
    verdict = await asked(casework, case, trigger, "--by", by)
    assert (verdict["obstacle"]["code"], verdict["obstacle"]["why"]) == (code, said)
    fields = {"reason": "x"} if trigger == "give_reason" else {}
    with pytest.raises(CaseRefused) as refused:
        await CaseworkClient(desk.client, desk.database).submit(case, trigger, {"by": by, **fields})
    assert str(refused.value).rstrip(".") == said


async def test_four_eyes_are_told_with_those_who_could(casework: Casework, desk: Desk) -> None:
    case = await to_supervisor(desk, by="aftersale-lead.2")
    verdict = await asked(casework, case, "approve", "--by", "aftersale-lead.2")
    assert verdict["obstacle"]["code"] == "four_eyes"
    assert "aftersale-lead.1" in [one["staff_id"] for one in verdict["could"]]
    assert "aftersale.2" not in [one["staff_id"] for one in verdict["could"]], "deputises for who opened it"
    text = (await casework("why", case, "approve", "--by", "aftersale-lead.2")).out
    assert "rule (four eyes): aftersale-lead.2 opened this case and may not approve in it" in text


async def test_a_condition_that_does_not_hold_is_named_in_both_languages(
    casework: Casework, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = await desk.start_from_bulk_order(desk.order(prices=((88_800, 1),)))
    await desk.until(handle, "awaiting_finance")
    verdict = await asked(casework, handle.id, "send_back", "--by", "finance.3")
    assert (verdict["obstacle"]["code"], verdict["obstacle"]["guard"]) == ("guard", "not_order_terminated")
    assert verdict["to_give"] == ["note"]
    assert verdict["could"] == []
    refused = await casework("why", handle.id, "send_back", "--by", "finance.3", "--note", "again")
    assert refused.code == REFUSED
    assert "condition: not opened by a terminated bulk order" in refused.out
    assert "could now: nobody who is present" in refused.out
    monkeypatch.setenv("CASEWORK_LANG", "zh")
    assert "条件: 非大宗终止订单" in (await casework("why", handle.id, "send_back", "--by", "finance.3")).out


async def test_a_fact_that_no_row_uses_yet_would_be_kept(casework: Casework, desk: Desk) -> None:
    case = await to_supervisor(desk)
    verdict = await asked(casework, case, "parcel_back", "--by", "returns.1")
    assert (verdict["may"], verdict["kept"], verdict["looks_up"]) == (True, True, True)
    assert verdict["possible_in"] == ["awaiting_parcel_back"]
    assert "kept as a fact" in (await casework("why", case, "parcel_back", "--by", "returns.1")).out


async def test_what_is_looked_up_only_when_it_is_sent_is_said_to_be_unknown(casework: Casework, desk: Desk) -> None:
    client = CaseworkClient(desk.client, desk.database)
    sku = desk.gift("WHY-1", 100)
    case = await client.start_case(
        "gift-approval",
        {
            "order_id": desk.order(prices=((30_000, 1),)),
            "by": "presale.1",
            "kind": "gift",
            "gift_sku": sku,
            "quantity": 1,
            "cost_fen": 100,
        },
    )
    await client.view_at_rest(case)
    await client.submit(case, "buyer_insists", {"by": "presale.1"})
    verdict = await asked(casework, case, "approve", "--by", "presale-lead.1")
    assert (verdict["may"], verdict["looks_up"]) == (True, True)
    gone = await asked(casework, case, "order_gone", "--by", "presale.1")
    assert gone["looks_up"]


async def test_what_the_message_says_is_judged_where_it_is_given(casework: Casework, desk: Desk) -> None:
    order = desk.order(prices=((10_000, 1),))
    desk.fail("payment", order, "always")
    client = CaseworkClient(desk.client, desk.database)
    case = await client.start_case(FLOW, {"order_id": order, "by": "aftersale.1", "reason": "x"})
    await client.view_at_rest(case)
    await client.submit(case, "buyer_insists", {"by": "aftersale.1"})
    await desk.until(desk.client.get_workflow_handle(case), "repairing_payment")
    by_hand = ("confirm_paid_by_hand", "--by", "refund.1", "--set", "payment_reference=R-1", "--set")
    assert (await asked(casework, case, *by_hand, "amount_fen=10000"))["may"] is True
    too_much = await asked(casework, case, *by_hand, "amount_fen=99999")
    assert (too_much["may"], too_much["obstacle"]["guard"]) == (False, "within_decision")
    without = await asked(casework, case, "confirm_paid_by_hand", "--by", "refund.1")
    assert (without["may"], without["to_give"]) == (True, ["payment_reference", "amount_fen"])
    wrong = await casework("why", case, *by_hand, "amount_fen=much")
    assert (wrong.code, wrong.out) == (BAD_INPUT, "")


async def test_a_case_that_has_ended_says_so(casework: Casework, desk: Desk) -> None:
    case = await to_supervisor(desk)
    await casework("cancel", case)
    await desk.end(desk.client.get_workflow_handle(case))
    verdict = await asked(casework, case, "approve", "--by", "aftersale-lead.1")
    assert verdict["obstacle"]["code"] == "ended"


def only_who_could(done: Done) -> bool:
    return done.code == DONE and done.json["may"] is None and bool(done.json["could"])


def unknown_trigger(done: Done) -> bool:
    return done.code == BAD_INPUT and len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "holds"),
    [
        (["approve"], only_who_could),
        (["supervisor_silent", "--by", "aftersale-lead.1"], unknown_trigger),
        (["supervisor_silent"], unknown_trigger),
        (["fly", "--by", "aftersale-lead.1"], unknown_trigger),
        (["approve", "--by", "aftersale-lead.1", "--set", "colour=red"], unknown_trigger),
        (["send_back", "--by", "aftersale-lead.1", "--note", "打 138-1234-5678"], unknown_trigger),
    ],
)
async def test_without_a_person_only_who_could_and_bad_input_in_one_sentence(
    casework: Casework, desk: Desk, arguments: list[str], holds: Callable[[Done], bool]
) -> None:
    case = await to_supervisor(desk)
    done = await casework("why", case, *arguments, "--json")
    assert holds(done), done


async def test_what_is_said_beside_the_table_is_not_explained(casework: Casework, desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="bought twice")
    done = await casework("why", case.id, "remind", "--by", "aftersale.1")
    assert (done.code, done.out) == (BAD_INPUT, "")
    assert "remind is said beside the flow's table" in done.err
