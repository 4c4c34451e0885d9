"""May somebody do this now, and if not: what stands in the way and who could? The case's own machine says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from casework.cli.errors import BAD_INPUT, DONE, REFUSED
from casework.client import CaseRefused, CaseworkClient
from casework.money import LineQuantity
from casework.shop import records, reshipments
from casework.shop.tables import StockMovementRow
from tests.cli.commands import Casework, Done
from tests.cli.test_inbox import to_supervisor
from tests.desk import FLOW, Desk
from tests.parcels import parcel_order, scan
from tests.workflows.test_problem_parcel import AGENT, SPECIALIST, open_parcel


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
    assert (verdict["obstacle"]["code"], verdict["obstacle"]["guard"]) == ("guard", "not_ended_as_malicious")
    assert verdict["to_give"] == ["note"]
    assert verdict["could"] == []
    refused = await casework("why", handle.id, "send_back", "--by", "finance.3", "--note", "again")
    assert refused.code == REFUSED
    assert "condition: the order was not ended as malicious" in refused.out
    assert "could now: nobody who is present" in refused.out
    monkeypatch.setenv("CASEWORK_LANG", "zh")
    assert "条件: 订单未因恶意终止" in (await casework("why", handle.id, "send_back", "--by", "finance.3")).out


async def test_a_fact_that_no_row_uses_yet_would_be_kept(casework: Casework, desk: Desk) -> None:
    case = await to_supervisor(desk)
    verdict = await asked(casework, case, "parcel_back", "--by", "returns.1")
    assert (verdict["may"], verdict["kept"], verdict["looks_up"]) == (True, True, True)
    assert verdict["possible_in"] == ["awaiting_parcel_back"]
    assert verdict["could"], "whoever may tell it, as when it is told"
    assert {one["role"] for one in verdict["could"]} == {"returns_clerk"}
    assert "returns.1" in [one["staff_id"] for one in verdict["could"]]
    told = (await casework("why", case, "parcel_back", "--by", "returns.1")).out
    assert "returns.1 may tell it now: " in told
    assert "kept as a fact" in told
    assert "could tell it now: returns.1 (returns clerk returns_clerk)" in told


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
    assert (verdict["may"], verdict["looks_up"]) == (None, True)
    assert verdict["row"] is not None
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
    right = await asked(casework, case, *by_hand, "amount_fen=10000")
    assert (right["may"], right["dest"]) == (None, "settling"), "the shop may have the reference already"
    too_much = await asked(casework, case, *by_hand, "amount_fen=99999")
    assert (too_much["may"], too_much["obstacle"]["guard"]) == (False, "within_decision")
    without = await asked(casework, case, "confirm_paid_by_hand", "--by", "refund.1")
    assert (without["may"], without["to_give"]) == (None, ["payment_reference", "amount_fen"])
    wrong = await casework("why", case, *by_hand, "amount_fen=much")
    assert (wrong.code, wrong.out) == (BAD_INPUT, "")


async def test_a_condition_that_the_shop_is_asked_about_again_is_no_firm_no(casework: Casework, desk: Desk) -> None:
    order, waybill = parcel_order(desk)
    with desk.database.writing() as session:
        lines = [LineQuantity(line=1, quantity=1)]
        reshipments.say_out_of_stock(session, order, lines, datetime.now(UTC) - timedelta(days=1))
    scan(desk, waybill, "2")
    case = await open_parcel(desk, order, waybill)
    await desk.until(case, "investigating")
    await desk.submit(case, "courier_answers", SPECIALIST, finding="lost")
    await desk.until(case, "choosing_remedy")
    with desk.database.writing() as session:
        came = {"sku": f"SKU-{order}", "quantity": 5, "order_id": order, "line": 1, "case_id": "x"}
        session.add(StockMovementRow(at=datetime.now(UTC), **came))
    verdict = await asked(casework, case.id, "choose_reship", "--by", AGENT)
    assert (verdict["may"], verdict["unknown"]) == (None, ["goods_in_stock"])
    assert AGENT in [one["staff_id"] for one in verdict["could"]]
    told = (await casework("why", case.id, "choose_reship", "--by", AGENT)).out
    assert "may perhaps" in told
    assert "looked up only when it is sent: in stock" in told
    firm = await asked(casework, case.id, "choose_reship", "--by", SPECIALIST)
    assert (firm["may"], firm["obstacle"]["code"]) == (False, "role")
    assert (await desk.submit(case, "choose_reship", AGENT)).state == "reshipping"
    await case.terminate()


async def test_where_the_shop_may_refuse_there_is_no_firm_yes(casework: Casework, desk: Desk) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="x")
    order = desk.order_of(case)
    with desk.database.writing() as session:
        now = datetime.now(UTC)
        bulk = f"bulk-order-{order}"
        records.open_record(
            session, case_id=bulk, run_id="r", flow="bulk-order", order_id=order, opened_by="bulk.1", opened_at=now
        )
        view: dict[str, Any] = {"state": "terminated", "trail": []}
        records.close_record(session, case_id=bulk, run_id="r", view=view, outcome="terminated", at=now)
    verdict = await asked(casework, case.id, "buyer_keeps_order", "--by", "aftersale.1")
    assert (verdict["may"], verdict["looks_up"]) == (None, True)
    assert verdict["dest"] == "releasing"
    with pytest.raises(CaseRefused):
        await CaseworkClient(desk.client, desk.database).submit(case.id, "buyer_keeps_order", {"by": "aftersale.1"})
    assert (await asked(casework, case.id, "buyer_insists", "--by", "aftersale.1"))["may"] is True
    await case.terminate()


# --- what is said beside the table ---


@pytest.mark.parametrize(
    ("aside", "by", "fields", "to_give"),
    [
        ("remind", "aftersale-lead.1", [], []),
        ("comment", "aftersale-lead.1", ["text=x"], []),
        ("comment", "aftersale-lead.1", [], ["text"]),
        ("ask_opener", "finance.1", [], ["question"]),
        ("reassign", "aftersale-lead.1", ["to=aftersale-lead.2"], []),
    ],
)
async def test_an_aside_that_may_be_said_is_a_yes_that_leads_nowhere(
    casework: Casework, desk: Desk, aside: str, by: str, fields: list[str], to_give: list[str]
) -> None:
    case = await to_supervisor(desk)
    given = [part for one in fields for part in ("--set", one)]
    verdict = await asked(casework, case, aside, "--by", by, *given)
    assert (verdict["may"], verdict["dest"], verdict["to_give"]) == (True, None, to_give)
    assert by in [one["staff_id"] for one in verdict["could"]]
    assert f"{by} may now: " in (await casework("why", case, aside, "--by", by, *given)).out


@pytest.mark.parametrize(
    ("aside", "by", "fields", "code"),
    [
        ("comment", "presale.1", {"text": "x"}, "role"),
        ("reassign", "warehouse.1", {"to": "aftersale-lead.2"}, "role"),
        ("reassign", "aftersale-lead.1", {"to": "nobody.1"}, "staff"),
        ("reassign", "aftersale-lead.1", {"to": "aftersale-lead.3"}, "staff"),
        ("reassign", "aftersale-lead.1", {"to": "warehouse.1"}, "role"),
        ("answer", "finance.1", {"text": "x"}, "role"),
        ("answer", "aftersale.1", {"text": "x"}, "not_now"),
        ("remind", "aftersale.1", {}, "not_now"),
    ],
)
async def test_a_no_to_an_aside_says_the_same_as_the_case_itself(
    casework: Casework, desk: Desk, aside: str, by: str, fields: dict[str, str], code: str
) -> None:
    case = await to_supervisor(desk)
    client = CaseworkClient(desk.client, desk.database)
    if aside == "remind":
        await client.submit(case, "remind", {"by": by})
    given = [part for name, one in fields.items() for part in ("--set", f"{name}={one}")]
    verdict = await asked(casework, case, aside, "--by", by, *given)
    assert (verdict["may"], verdict["obstacle"]["code"]) == (False, code)
    with pytest.raises(CaseRefused) as refused:
        await client.submit(case, aside, {"by": by, **fields})
    assert str(refused.value).rstrip(".") == verdict["obstacle"]["why"].rstrip(".")


async def test_a_case_at_work_takes_nothing_but_comments(casework: Casework, desk: Desk) -> None:
    case = await to_supervisor(desk, fen=30_000)
    async with desk.before("pay", case.removeprefix(f"{FLOW}-")):
        await CaseworkClient(desk.client, desk.database).submit(case, "approve", {"by": "aftersale-lead.1"})
        no = await asked(casework, case, "remind", "--by", "aftersale.1")
        assert (no["obstacle"]["code"], no["could"]) == ("not_now", [])
        assert (await asked(casework, case, "comment", "--by", "aftersale.1"))["may"] is True


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
