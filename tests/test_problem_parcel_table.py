"""Flow 5's table is the specification's, row by row; its guards hold exactly when their words are true."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from casework.case import Actor
from casework.messages import Message, explain
from casework.parcels import Followed, ParcelReport
from casework.policy import load_policy
from casework.rules.parcels import Verdict
from state_machines import problem_parcel as flow
from state_machines.problem_parcel import PROBLEM_PARCEL as FLOW
from state_machines.problem_parcel import (
    BuyerChooses,
    Choice,
    ChooseRemedy,
    CourierAnswers,
    Finding,
    OnItsWay,
    ParcelCase,
    ParcelFigures,
    ParcelStart,
    ProofFound,
)
from state_machines.roles import Role
from state_machines.table import Attempt, Deadline, Guard, Refusal, StateKind, TriggerKind
from tests.tables import GuardCase, Row, going_on, require_called_off, require_guards, require_rows

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
LOOKED_FOR = [
    "tracking",
    "investigating",
    "investigation_late",
    "asking_buyer",
    "forwarding",
    "awaiting_pickup",
    "awaiting_return",
    "choosing_remedy",
]
OPEN = [*LOOKED_FOR, "awaiting_supervisor", "reshipping", "confirming_receipt", "disputing_signature"]
LATE = ["investigating", "investigation_late"]
BOTH = ["aftersale_agent", "parcel_specialist"]
SPECIALIST, AGENT, SUPERVISOR = ["parcel_specialist"], ["aftersale_agent"], ["aftersale_supervisor"]

ROWS: list[Row] = [
    ("register", "registering", "not_applicable", ["system"], ["nothing_to_follow"]),
    ("register", "registering", "tracking", ["system"], []),
    ("find_normal", "tracking", "reassured", ["system"], ["only_asked_and_on_time"]),
    ("find_confirmed", "confirming_receipt", "delivered", ["system"], ["trade_finished"]),
    ("order_gone", OPEN, "closed", ["system"], ["order_over"]),
    ("find_signed", LOOKED_FOR, "delivered", ["system"], ["signed_and_not_denied", "is_way_back"]),
    ("find_signed", LOOKED_FOR, "confirming_receipt", ["system"], ["signed_and_not_denied"]),
    ("find_problem", "tracking", "investigating", ["system"], ["something_wrong"]),
    ("find_returning", "tracking", "awaiting_return", ["system"], ["is_returning"]),
    ("find_forwarded", "tracking", "tracking", ["system"], ["is_forwarded"]),
    ("courier_answers", LATE, "tracking", SPECIALIST, ["found_moving"]),
    ("courier_answers", LATE, "delivered", SPECIALIST, ["found_signed", "is_way_back"]),
    ("courier_answers", LATE, "confirming_receipt", SPECIALIST, ["found_signed"]),
    ("courier_answers", LATE, "choosing_remedy", SPECIALIST, ["found_lost_or_damaged"]),
    ("courier_answers", LATE, "awaiting_return", SPECIALIST, ["found_returning"]),
    ("courier_answers", LATE, "asking_buyer", SPECIALIST, ["found_undeliverable"]),
    ("investigation_overdue", "investigating", "investigation_late", ["clock"], []),
    ("declare_lost", "investigation_late", "choosing_remedy", SUPERVISOR, []),
    ("presume_lost", "investigation_late", "tracking", ["clock"], ["scanned_since_asked"]),
    ("presume_lost", "investigation_late", "choosing_remedy", ["clock"], []),
    ("buyer_chooses", "asking_buyer", "awaiting_pickup", BOTH, ["chose_pickup"]),
    ("buyer_chooses", "asking_buyer", "forwarding", BOTH, ["chose_forward"]),
    ("buyer_chooses", "asking_buyer", "tracking", BOTH, ["chose_redeliver"]),
    ("buyer_chooses", "asking_buyer", "opening_refund", BOTH, ["chose_refund"]),
    (
        "buyer_chooses",
        "asking_buyer",
        "reshipping",
        BOTH,
        ["chose_reship", "goods_in_stock", "within_agent_limit", "not_way_back"],
    ),
    ("buyer_chooses", "asking_buyer", "choosing_remedy", BOTH, ["chose_reship"]),
    ("buyer_silent", "asking_buyer", "awaiting_pickup", ["clock"], []),
    ("parcel_forwarded", "forwarding", "tracking", SPECIALIST, []),
    ("forwarding_overdue", "forwarding", "investigating", ["clock"], []),
    ("picked_up", "awaiting_pickup", "delivered", SPECIALIST, ["is_way_back"]),
    ("picked_up", "awaiting_pickup", "confirming_receipt", SPECIALIST, []),
    ("pickup_overdue", "awaiting_pickup", "awaiting_return", ["clock"], []),
    (
        "choose_reship",
        "choosing_remedy",
        "reshipping",
        AGENT,
        ["goods_in_stock", "within_agent_limit", "not_way_back"],
    ),
    ("choose_reship", "choosing_remedy", "awaiting_supervisor", AGENT, ["goods_in_stock", "not_way_back"]),
    ("approve", "awaiting_supervisor", "reshipping", SUPERVISOR, ["within_supervisor_limit"]),
    ("approve", "awaiting_supervisor", "reshipping", ["finance_manager"], []),
    ("reject", "awaiting_supervisor", "choosing_remedy", ["aftersale_supervisor", "finance_manager"], []),
    ("supervisor_silent", "awaiting_supervisor", "opening_refund", ["clock"], []),
    ("choose_refund", "choosing_remedy", "opening_refund", AGENT, []),
    ("remedy_overdue", "choosing_remedy", "opening_refund", ["clock"], []),
    ("parcel_reshipped", "reshipping", "tracking", ["warehouse"], []),
    ("find_out_of_stock", "reshipping", "opening_refund", ["warehouse"], []),
    ("reshipping_overdue", "reshipping", "reshipping", ["clock"], []),
    ("open_refund", "opening_refund", "loss_reported", ["system"], ["is_way_back"]),
    ("open_refund", "opening_refund", "refund_opened", ["system"], []),
    ("buyer_confirms", OPEN, "delivered", BOTH, []),
    ("receipt_presumed", "confirming_receipt", "delivered", ["clock"], []),
    ("buyer_denies", "confirming_receipt", "disputing_signature", AGENT, []),
    ("proof_found", "disputing_signature", "confirming_receipt", SPECIALIST, []),
    ("no_proof", "disputing_signature", "choosing_remedy", SPECIALIST, []),
    ("proof_overdue", "disputing_signature", "choosing_remedy", ["clock"], []),
    (
        "parcel_returned",
        [
            "awaiting_return",
            "tracking",
            "investigating",
            "investigation_late",
            "asking_buyer",
            "forwarding",
            "awaiting_pickup",
        ],
        "choosing_remedy",
        ["returns_clerk"],
        [],
    ),
    ("return_overdue", "awaiting_return", "investigating", ["clock"], []),
]
"""The specification's table of flow 5, with the rows that we put beside it, each with its reason in the table: a
parcel on its way to us is received by us, and is not sent again."""


def test_the_table_of_flow_5_is_the_specifications_row_by_row() -> None:
    require_rows(FLOW, ROWS)


def test_it_is_called_off_by_an_aftersale_supervisor_or_by_temporal_wherever_it_is_not_ending() -> None:
    require_called_off(FLOW, {Role.AFTERSALE_SUPERVISOR}, going_on(FLOW) - {"cancelling"})


def test_it_is_opened_by_an_aftersale_role_or_the_specialist() -> None:
    assert set(FLOW.opened_by) == {Role.AFTERSALE_AGENT, Role.AFTERSALE_SUPERVISOR, Role.PARCEL_SPECIALIST}


def test_facts_and_who_speaks_for_the_buyer_are_as_specified() -> None:
    assert {t.name for t in FLOW.triggers.values() if t.kind is TriggerKind.FACT} == {
        "order_gone",
        "parcel_forwarded",
        "parcel_reshipped",
        "parcel_returned",
        "picked_up",
        "buyer_confirms",
    }
    assert {t.name for t in FLOW.triggers.values() if t.from_shop} == {"order_gone"}
    assert {t.name for t in FLOW.triggers.values() if t.four_eyes} == {"approve", "reject", "declare_lost"}
    assert {t.name for t in FLOW.triggers.values() if t.speaks_for_buyer} == {
        "buyer_chooses",
        "buyer_confirms",
        "buyer_denies",
        "choose_reship",
        "choose_refund",
    }


def test_each_wait_has_the_specified_deadline_and_looks_at_the_world() -> None:
    waits = {s.name: s for s in FLOW.states.values() if s.kind is StateKind.WAIT}
    assert {name: state.deadline for name, state in waits.items()} == {
        "tracking": None,
        "investigating": Deadline("investigation_overdue", "investigation"),
        "investigation_late": Deadline("presume_lost", "presume_lost"),
        "asking_buyer": Deadline("buyer_silent", "choice", reminds_buyer="parcel.choose_reminder"),
        "forwarding": Deadline("forwarding_overdue", "forwarding"),
        "awaiting_pickup": Deadline("pickup_overdue", "pickup", reminds_buyer="parcel.pickup_reminder"),
        "awaiting_return": Deadline("return_overdue", "return_"),
        "choosing_remedy": Deadline("remedy_overdue", "remedy"),
        "awaiting_supervisor": Deadline("supervisor_silent", "supervisor"),
        "reshipping": Deadline("reshipping_overdue", "reshipping"),
        "confirming_receipt": Deadline(
            "receipt_presumed", "receipt", reminders="receipt_reminder", reminds_buyer="parcel.received_reminder"
        ),
        "disputing_signature": Deadline("proof_overdue", "proof"),
    }
    assert {state.watch for state in waits.values()} == {"poll"}
    assert Role.AFTERSALE_SUPERVISOR in waits["investigation_late"].expects


# --- guards ---


def report(**known: Any) -> ParcelReport:
    usual: dict[str, Any] = {
        "known": True,
        "settled": False,
        "order_over": False,
        "trade_finished": False,
        "in_stock": True,
        "region": "other",
        "left": [],
        "value_fen": 10_000,
    }
    return ParcelReport.model_validate({**usual, **known})


def parcel(**known: Any) -> ParcelCase:
    usual: dict[str, Any] = {
        "case_id": "problem-parcel-YT00000000001",
        "run_id": "run",
        "flow": FLOW.name,
        "order_id": "330000001",
        "state": "tracking",
        "opened_by": "aftersale.1",
        "opened_at": NOW,
        "policy": ParcelFigures.model_validate(load_policy(None).for_flow(FLOW.name)),
        "waybill": "YT00000000001",
        "courier": "yuantong",
        "cause": "asked",
        "report": report(),
    }
    return ParcelCase(**{**usual, **known})


def attempt(message: Message | None = None, **known: Any) -> Attempt[ParcelCase]:
    return Attempt(parcel(**known), "any", NOW, message=message)


SEEN = {
    "signed": flow.signed_and_not_denied,
    "problem": flow.something_wrong,
    "returning": flow.is_returning,
    "forwarded": flow.is_forwarded,
}
ANSWERED = {
    "moving": flow.found_moving,
    "signed": flow.found_signed,
    "lost": flow.found_lost_or_damaged,
    "damaged": flow.found_lost_or_damaged,
    "returning": flow.found_returning,
    "station_withdrawn": flow.found_undeliverable,
    "out_of_area": flow.found_undeliverable,
    "wrong_address": flow.found_undeliverable,
    "unreachable": flow.found_undeliverable,
}
CHOSEN = {
    "pickup": flow.chose_pickup,
    "forward": flow.chose_forward,
    "redeliver": flow.chose_redeliver,
    "reship": flow.chose_reship,
    "refund": flow.chose_refund,
}
CASES: list[tuple[Guard[ParcelCase], bool, dict[str, Any]]] = [
    (flow.nothing_to_follow, True, {"report": report(known=False)}),
    (flow.nothing_to_follow, True, {"report": report(settled=True)}),
    (flow.nothing_to_follow, False, {}),
    (flow.nothing_to_follow, False, {"report": None}),
    (flow.only_asked_and_on_time, True, {"verdict": "moving"}),
    (flow.only_asked_and_on_time, False, {"verdict": "unknown"}),
    (flow.only_asked_and_on_time, False, {"verdict": "moving", "troubled": True}),
    (flow.only_asked_and_on_time, False, {"verdict": "moving", "cause": "overdue"}),
    (flow.trade_finished, True, {"report": report(trade_finished=True)}),
    (flow.trade_finished, False, {}),
    (flow.order_over, True, {"report": report(order_over=True)}),
    (flow.order_over, False, {"report": None}),
    (flow.is_way_back, True, {"way_back": True}),
    (flow.is_way_back, False, {}),
    (flow.not_way_back, True, {}),
    (flow.not_way_back, False, {"way_back": True}),
    (flow.goods_in_stock, True, {}),
    (flow.goods_in_stock, False, {"report": report(in_stock=False)}),
    (flow.within_agent_limit, True, {"amount_fen": 20_000}),
    (flow.within_agent_limit, False, {"amount_fen": 20_001}),
    (flow.within_supervisor_limit, True, {"amount_fen": 100_000}),
    (flow.within_supervisor_limit, False, {"amount_fen": 100_001}),
    (flow.scanned_since_asked, True, {"report": report(code="0", scan_at=NOW, answered_at=NOW)}),
    (flow.scanned_since_asked, False, {}),
    (
        flow.scanned_since_asked,
        True,
        {"report": report(scan_at=NOW), "scan_when_asked": NOW - timedelta(seconds=1)},
    ),
    (flow.scanned_since_asked, False, {"report": report(scan_at=NOW), "scan_when_asked": NOW}),
]


def answer(finding: str) -> CourierAnswers:
    return CourierAnswers.model_validate({"by": "parcel.1", "finding": finding})


def choice(chosen: str) -> BuyerChooses:
    return BuyerChooses.model_validate({"by": "parcel.1", "choice": chosen, "address_id": "a-1"})


def each_alone() -> Iterator[GuardCase]:
    """What a look shows, every finding and every choice takes its own row, and no other's."""
    for guard in dict.fromkeys(SEEN.values()):
        for verdict in get_args(Verdict):
            yield guard, SEEN.get(verdict) is guard, attempt(verdict=verdict)
    for guard in dict.fromkeys(ANSWERED.values()):
        for finding, its_own in ANSWERED.items():
            yield guard, its_own is guard, attempt(answer(finding))
    for guard in dict.fromkeys(CHOSEN.values()):
        for chosen, its_own in CHOSEN.items():
            yield guard, its_own is guard, attempt(choice(chosen))


def test_a_guard_holds_exactly_when_its_words_are_true() -> None:
    cases = [(guard, holds, attempt(**known)) for guard, holds, known in CASES]
    require_guards(FLOW, [*cases, *each_alone()])


def test_every_finding_and_every_choice_is_tried() -> None:
    assert set(ANSWERED) == set(get_args(Finding))
    assert set(CHOSEN) == set(get_args(Choice))
    assert set(SEEN) <= set(get_args(Verdict))


def test_a_persons_own_lower_limit_counts_for_sending_again() -> None:
    case = parcel(state="choosing_remedy", amount_fen=15_000)
    for own, dest in ((None, "reshipping"), (14_999, "awaiting_supervisor")):
        agent = Actor(staff_id="aftersale.2", grants={Role.AFTERSALE_AGENT: own})
        found = FLOW.find_move(Attempt(case, "choose_reship", NOW, agent, message=ChooseRemedy(by="aftersale.2")))
        assert not isinstance(found, Refusal)
        assert found.dest == dest


# --- what a case remembers ---


def take(case: ParcelCase, trigger: str, message: Message, role: Role) -> ParcelCase:
    attempt = Attempt(case, trigger, NOW, Actor(staff_id="somebody.1", grants={role: None}), message=message)
    found = FLOW.find_move(attempt)
    assert not isinstance(found, Refusal), found
    FLOW.take(found, attempt)
    return case


def test_a_forwarded_parcel_is_followed_under_its_new_waybill_and_the_old_one_is_kept() -> None:
    old = Followed(courier="yuantong", waybill="YT00000000001")
    case = parcel(state="forwarding", following=old, report=report(code="2", scan_at=NOW, answered_at=NOW))
    message = OnItsWay(by="parcel.1", courier="ems", waybill="EA00000000001CN")
    take(case, "parcel_forwarded", message, Role.PARCEL_SPECIALIST)
    assert case.following == Followed(courier="ems", waybill="EA00000000001CN", since=NOW)
    assert case.earlier == ["YT00000000001"]
    assert case.report is not None
    assert case.report.last is None, "the old waybill's scan says nothing of the new one's"


def test_goods_that_are_sent_again_are_other_goods() -> None:
    case = parcel(state="reshipping", said_lost=True, damaged=True, came_back=True, earlier=["YT00000000000"])
    message = OnItsWay(by="warehouse.1", courier="ems", waybill="EA00000000001CN")
    take(case, "parcel_reshipped", message, Role.WAREHOUSE)
    assert (case.said_lost, case.damaged, case.came_back, case.earlier) == (False, False, False, [])
    assert case.shipment == "EA00000000001CN"


def test_the_claim_is_the_paid_value_unless_another_one_is_named() -> None:
    for given, claimed in ((None, 9_900), (0, 0), (5_000, 5_000)):
        case = parcel(state="choosing_remedy", amount_fen=9_900)
        take(case, "choose_refund", ChooseRemedy(by="aftersale.1", claim_fen=given), Role.AFTERSALE_AGENT)
        assert case.claim_fen == claimed


# --- bad input ---


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"waybill": "YT 1"}, "waybill: a waybill of 6 to 32 letters, digits or hyphens is wanted"),
        ({"courier": "圆通"}, "courier: Kuaidi100's code of a courier, such as yuantong, is wanted"),
        ({"cause": "bored"}, "cause: 'asked', 'overdue', 'signed_unconfirmed' or 'exception' is wanted"),
        ({"cause": None}, "cause: 'asked', 'overdue', 'signed_unconfirmed' or 'exception' is wanted"),
        ({"waybill": 12345678}, "waybill: text is wanted"),
        ({"lines": []}, "lines is a field that does not belong here"),
    ],
)
def test_a_bad_start_is_refused_with_the_field_named(fields: dict[str, Any], sentence: str) -> None:
    good = {
        "order_id": "330000001",
        "by": "aftersale.1",
        "waybill": "YT00000000001",
        "courier": "yuantong",
        "cause": "asked",
    }
    ParcelStart.model_validate(good)
    with pytest.raises(ValidationError) as refused:
        ParcelStart.model_validate({**good, **fields})
    assert explain(refused.value) == sentence


@pytest.mark.parametrize(
    ("kind", "fields", "named"),
    [
        (CourierAnswers, {}, "finding is missing"),
        (CourierAnswers, {"finding": "stolen"}, "finding: "),
        (CourierAnswers, {"finding": "lost", "courier_ticket": "x" * 65}, "courier_ticket: "),
        (BuyerChooses, {}, "choice is missing"),
        (BuyerChooses, {"choice": "wait"}, "choice: "),
        (BuyerChooses, {"choice": "redeliver"}, "address_id is missing: redeliver needs"),
        (BuyerChooses, {"choice": "pickup", "station": ""}, "station: "),
        (OnItsWay, {"waybill": "EA00000000001CN"}, "courier is missing"),
        (OnItsWay, {"courier": "ems"}, "waybill is missing"),
        (ChooseRemedy, {"claim_fen": -1}, "claim_fen: 0 or more is wanted"),
        (ChooseRemedy, {"claim_fen": 1.5}, "claim_fen: a whole number is wanted"),
        (ProofFound, {}, "signer, place and photo are missing"),
        (ProofFound, {"signer": "ghost"}, "signer: "),
        (ProofFound, {"signer": "family", "colour": "red"}, "colour is a field that does not belong here"),
    ],
)
def test_a_bad_message_is_refused_with_the_field_named(kind: type[Message], fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError) as refused:
        kind.model_validate({"by": "parcel.1", **fields})
    assert explain(refused.value).startswith(named)
