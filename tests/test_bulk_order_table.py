"""Flow 4's table is the specification's, row by row; what its guards and its memory make of a case."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from casework.case import Actor
from casework.messages import Message, explain
from casework.policy import load_policy
from casework.rules.bulk import Sign
from casework.standing import BulkStanding
from state_machines import bulk_order as flow
from state_machines.bulk_order import (
    BULK_ORDER,
    ApproveDiscount,
    BulkCase,
    BulkFigures,
    BulkStart,
    ChangeAmount,
    Extend,
    FindMalicious,
    PassLegalReview,
    SubmitDossier,
    confirmation_counts_from,
    risk_signs,
)
from state_machines.flows import FLOWS
from state_machines.roles import Automatic, Role
from state_machines.table import Attempt, Flow, Refusal
from tests.tables import GuardCase, Row, require_called_off, require_guards, require_rows

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
POLICY = load_policy(None)

MANUAL = """
screen | screening | not_applicable | system | not_applicable
screen | screening | compiling | system |
submit_dossier | compiling | legal_review | bulk_specialist |
dossier_overdue | compiling | legal_review | clock |
pass_legal_review | legal_review, legal_deputy | pricing | store_manager | record_known, discount_asked
pass_legal_review | legal_review, legal_deputy | following | store_manager | record_known
find_malicious | legal_review, legal_deputy | terminating | store_manager |
ask_for_more | legal_review, legal_deputy | compiling | store_manager |
ask_for_more | legal_deputy | compiling | general_manager |
legal_silent | legal_review | legal_deputy | clock |
pass_legal_review | legal_deputy | pricing | general_manager | record_known, discount_asked
pass_legal_review | legal_deputy | following | general_manager | record_known
find_malicious | legal_deputy | terminating | general_manager |
deputy_silent | legal_deputy | legal_deputy | clock |
approve | pricing | writing_memo | presale_supervisor | at_most_asked, within_supervisor_discount
approve | pricing | awaiting_general_manager | presale_supervisor | at_most_asked
reject | pricing | offering_list_price | presale_supervisor |
pricing_silent | pricing | awaiting_general_manager | clock |
approve | awaiting_general_manager | writing_memo | general_manager | at_most_asked, within_general_manager_discount
reject | awaiting_general_manager | offering_list_price | general_manager |
manager_silent | awaiting_general_manager | offering_list_price | clock |
write_memo | writing_memo | awaiting_audit | system |
change_amount | awaiting_audit, audit_late | rebating | order_auditor | is_approved_price, paid
change_amount | awaiting_audit, audit_late | following | order_auditor | is_approved_price
audit_overdue | awaiting_audit | audit_late | clock |
change_amount | audit_late | rebating | presale_supervisor | is_approved_price, paid
change_amount | audit_late | following | presale_supervisor | is_approved_price
pay | rebating | following | system |
fail_payment | rebating | repairing_payment | system |
retry_payment | repairing_payment | rebating | refund_clerk |
confirm_paid_by_hand | repairing_payment | following | refund_clerk |
repair_overdue | repairing_payment | repairing_payment | clock |
audit_unanswered | audit_late | audit_late | clock |
buyer_takes_list_price | offering_list_price | following | bulk_specialist |
buyer_declines_list_price | offering_list_price | refund_opened | bulk_specialist | paid
buyer_declines_list_price | offering_list_price | declined | bulk_specialist |
offer_over | offering_list_price | following | clock | paid
offer_over | offering_list_price | declined | clock |
order_changed | legal_review, legal_deputy | compiling | system, bulk_specialist | differs
order_changed | pricing, awaiting_general_manager, offering_list_price, awaiting_audit, audit_late, following | \
legal_review | system, bulk_specialist | differs, held_or_held_again
order_gone | compiling, legal_review, legal_deputy, pricing, awaiting_general_manager, offering_list_price, \
awaiting_audit, audit_late, repairing_payment, following, chasing, disputed | closed_refunded | system | gone
buyer_confirms | following, chasing | completed | bulk_specialist | all_shipped
raise_dispute | following, chasing | disputed | bulk_specialist |
confirmation_overdue | following | completed | clock | trade_finished
confirmation_overdue | following | following | clock | not_due_yet
confirmation_overdue | following | chasing | clock |
extend | chasing | following | bulk_specialist | may_extend
confirmation_presumed | chasing | completed | clock | trade_finished
confirmation_presumed | chasing | chasing | clock |
resume | disputed | following | store_manager |
close_refunded | disputed | closed_refunded | store_manager |
dispute_unanswered | disputed | disputed | clock |
terminate | terminating | terminated | system |
"""
"""The table of flows.md, with the guards' names for its words; calling off comes from the rules for all cases."""
BEFORE_REVIEW = ["screening", "compiling", "legal_review", "legal_deputy"]
AFTER_REVIEW = [
    "pricing",
    "awaiting_general_manager",
    "offering_list_price",
    "awaiting_audit",
    "audit_late",
    "writing_memo",
    "rebating",
    "repairing_payment",
    "following",
    "chasing",
    "disputed",
]


def manual_rows() -> Iterator[Row]:
    for line in MANUAL.replace("\\\n", "").strip().splitlines():
        trigger, sources, dest, who, only_if = (part.strip() for part in line.split("|"))
        guards = [one for one in only_if.split(", ") if one]
        yield trigger, sources.split(", "), dest, who.split(", "), guards


def test_the_table_is_the_manuals_row_by_row_in_the_order_in_which_rows_are_tried() -> None:
    require_rows(BULK_ORDER, manual_rows())


def test_a_case_is_called_off_by_a_manager_and_by_temporal_only_once_the_legal_review_has_passed() -> None:
    managers = {Role.STORE_MANAGER, Role.GENERAL_MANAGER}
    require_called_off(BULK_ORDER, managers, [*BEFORE_REVIEW, *AFTER_REVIEW], not_by_temporal=BEFORE_REVIEW)


@pytest.mark.parametrize(
    ("state", "trigger", "wait", "expects"),
    [
        ("compiling", "dossier_overdue", "dossier", ["bulk_specialist"]),
        ("legal_review", "legal_silent", "legal", ["store_manager"]),
        ("legal_deputy", "deputy_silent", None, ["store_manager", "general_manager"]),
        ("pricing", "pricing_silent", "pricing", ["presale_supervisor"]),
        ("awaiting_general_manager", "manager_silent", "general_manager", ["general_manager"]),
        ("awaiting_audit", "audit_overdue", "audit", ["order_auditor"]),
        ("audit_late", "audit_unanswered", None, ["order_auditor", "presale_supervisor"]),
        ("repairing_payment", "repair_overdue", None, ["refund_clerk"]),
        ("offering_list_price", "offer_over", "offer", ["bulk_specialist"]),
        ("following", "confirmation_overdue", "confirmation", ["bulk_specialist"]),
        ("chasing", "confirmation_presumed", "chasing", ["bulk_specialist"]),
        ("disputed", "dispute_unanswered", None, ["store_manager"]),
    ],
)
def test_every_wait_has_the_manuals_deadline_and_reminds_who_may_act(
    state: str, trigger: str, wait: str | None, expects: list[str]
) -> None:
    known = BULK_ORDER.states[state]
    assert known.deadline is not None
    assert (known.deadline.trigger, known.deadline.wait, list(known.expects)) == (trigger, wait, expects)


# --- guards ---


def standing(**known: Any) -> BulkStanding:
    """How the shop sees an order that is paid and held, but for what is given."""
    usual = {"paid": True, "gone": False, "total_fen": 100_000, "held": True, "can_be_held": True}
    return BulkStanding.model_validate({**usual, **known})


def a_case(state: str = "legal_review", **known: Any) -> BulkCase:
    given: dict[str, Any] = {
        "case_id": "bulk-order-330000001",
        "run_id": "run",
        "flow": BULK_ORDER.name,
        "order_id": "330000001",
        "state": state,
        "opened_by": "opener.1",
        "opened_at": NOW,
        "involved": ["opener.1"],
        "policy": BulkFigures.model_validate(POLICY.for_flow(BULK_ORDER.name)),
        "discount_percent": "5",
        "standing": standing(),
        **known,
    }
    return BulkCase.model_validate(given)


def attempt(message: Message | None = None, **known: Any) -> Attempt[BulkCase]:
    return Attempt(a_case(**known), "any", NOW, message=message)


BY: dict[str, Any] = {"by": "somebody.1"}
NOTED: dict[str, Any] = {**BY, "note": "nothing speaks against it"}
CASES: list[GuardCase] = [
    (flow.not_applicable, False, attempt()),
    (flow.not_applicable, True, attempt(standing=standing(gone=True))),
    (flow.not_applicable, True, attempt(standing=standing(held=False, can_be_held=False))),
    (flow.not_applicable, False, attempt(standing=None)),
    (flow.discount_asked, True, attempt(discount_percent="0.01")),
    (flow.discount_asked, False, attempt(discount_percent="0")),
    (flow.record_known, False, attempt()),
    (flow.record_known, False, attempt(buyer_purchases=0)),
    (flow.record_known, False, attempt(buyer_registered_on="2020-01-01")),
    (flow.record_known, True, attempt(buyer_registered_on="2020-01-01", buyer_purchases=0)),
    (
        flow.record_known,
        True,
        attempt(PassLegalReview(**NOTED, buyer_registered_on=date(2020, 1, 1), buyer_purchases=0)),
    ),
    (flow.record_known, True, attempt(PassLegalReview(**NOTED, buyer_purchases=2), buyer_registered_on="2020-01-01")),
    (flow.record_known, False, attempt(PassLegalReview(**NOTED, buyer_purchases=2))),
    (flow.at_most_asked, True, attempt()),
    (flow.at_most_asked, True, attempt(ApproveDiscount(**BY, discount_percent=Decimal(5)))),
    (flow.at_most_asked, False, attempt(ApproveDiscount(**BY, discount_percent=Decimal("5.01")))),
    (flow.within_supervisor_discount, True, attempt()),
    (flow.within_supervisor_discount, False, attempt(discount_percent="5.01")),
    (
        flow.within_supervisor_discount,
        True,
        attempt(ApproveDiscount(**BY, discount_percent=Decimal(3)), discount_percent="50"),
    ),
    (flow.within_general_manager_discount, True, attempt(discount_percent="15")),
    (flow.within_general_manager_discount, False, attempt(discount_percent="15.01")),
    (flow.is_approved_price, True, attempt(ChangeAmount(**BY, amount_fen=95_000), approved_fen=95_000)),
    (flow.is_approved_price, False, attempt(ChangeAmount(**BY, amount_fen=94_999), approved_fen=95_000)),
    (flow.is_approved_price, False, attempt(ChangeAmount(**BY, amount_fen=0))),
    (flow.paid, True, attempt()),
    (flow.paid, False, attempt(standing=standing(paid=False))),
    (flow.differs, False, attempt()),
    (flow.differs, True, attempt(standing=standing(differs=True))),
    (flow.held_or_held_again, True, attempt(standing=standing(can_be_held=False))),
    (flow.held_or_held_again, True, attempt(standing=standing(held=False))),
    (flow.held_or_held_again, False, attempt(standing=standing(held=False, can_be_held=False))),
    (flow.gone, False, attempt()),
    (flow.gone, True, attempt(standing=standing(gone=True))),
    (flow.all_shipped, False, attempt()),
    (flow.all_shipped, True, attempt(standing=standing(all_shipped=True))),
    (flow.trade_finished, False, attempt()),
    (flow.trade_finished, True, attempt(standing=standing(finished=True))),
    (flow.not_due_yet, True, attempt()),
    (
        flow.not_due_yet,
        True,
        attempt(standing=standing(all_shipped=True, last_shipped_at=NOW - timedelta(days=15, seconds=-1))),
    ),
    (flow.not_due_yet, False, attempt(standing=standing(all_shipped=True, last_shipped_at=NOW - timedelta(days=15)))),
    (
        flow.not_due_yet,
        True,
        attempt(
            standing=standing(all_shipped=True, last_shipped_at=NOW - timedelta(days=30)),
            extended_until=NOW + timedelta(seconds=1),
        ),
    ),
    # nobody knows when it left: the wait since the entry is the whole of it
    (flow.not_due_yet, False, attempt(standing=standing(all_shipped=True))),
    (flow.may_extend, True, attempt(Extend(**BY, days=3), extensions=1)),
    (flow.may_extend, False, attempt(Extend(**BY, days=3), extensions=2)),
]


def test_a_guard_holds_where_the_manual_says() -> None:
    require_guards(BULK_ORDER, CASES)


@pytest.mark.parametrize(
    ("state", "trigger", "role", "message", "said"),
    [
        (
            "pricing",
            "approve",
            Role.PRESALE_SUPERVISOR,
            ApproveDiscount(**BY, discount_percent=Decimal(6)),
            "discount_percent: approve is refused unless the discount is at most what was asked",
        ),
        (
            "awaiting_general_manager",
            "approve",
            Role.GENERAL_MANAGER,
            ApproveDiscount(**BY, discount_percent=Decimal(6)),
            "discount_percent: approve is refused unless the discount is at most what was asked",
        ),
        (
            "awaiting_audit",
            "change_amount",
            Role.ORDER_AUDITOR,
            ChangeAmount(**BY, amount_fen=1),
            "amount_fen: change_amount is refused unless the amount is the approved price",
        ),
        (
            "legal_review",
            "pass_legal_review",
            Role.STORE_MANAGER,
            PassLegalReview(**NOTED),
            "buyer_registered_on and buyer_purchases: pass_legal_review is refused unless the account's",
        ),
    ],
)
def test_a_value_that_a_condition_refuses_is_named_first(
    state: str, trigger: str, role: Role, message: Message, said: str
) -> None:
    actor = Actor(staff_id="somebody.1", grants={role: None})
    refused = BULK_ORDER.find_move(Attempt(a_case(state, approved_fen=2), trigger, NOW, actor, message=message))
    assert isinstance(refused, Refusal)
    assert refused.why.startswith(said)


@pytest.mark.parametrize("known", FLOWS.values(), ids=list(FLOWS))
def test_what_a_condition_judges_is_a_field_of_the_message(known: Flow[Any]) -> None:
    for row in known.moves:
        fields = {name for one in row.only_if for name in one.fields}
        assert fields <= set(known.triggers[row.trigger].message.model_fields), row.trigger


def test_only_days_that_the_policy_lists_extend_a_case() -> None:
    tried = attempt(Extend(**BY, days=10))
    figures = tried.case.figures.flow.model_copy(update={"extension_days": (3, 5)})
    tried.case.policy = tried.case.figures.model_copy(update={"flow": figures})
    assert not flow.may_extend.holds(tried)


# --- what a case remembers ---


def take(case: BulkCase, trigger: str, role: Role | None = None, message: Message | None = None) -> BulkCase:
    """Fire it, and make the move."""
    actor = None if role is None else Actor(staff_id="somebody.1", grants={role: None})
    automatic = None if role is not None else Automatic.CLOCK
    made = Attempt(case, trigger, NOW, actor, automatic, message)
    found = BULK_ORDER.find_move(made)
    assert not isinstance(found, Refusal), found
    BULK_ORDER.take(found, made)
    return case


def test_a_case_is_watched_by_whoever_submitted_the_dossier_until_the_buyer_has_confirmed() -> None:
    dossier = SubmitDossier(**BY, buyer_registered_on=date(2020, 1, 1), buyer_purchases=1, documents=["doc-1"])
    case = take(a_case("compiling"), "submit_dossier", Role.BULK_SPECIALIST, dossier)
    assert (case.assignee, case.documents, case.dossier_complete) == ("somebody.1", ["doc-1"], True)
    case.state, case.standing = "following", standing(all_shipped=True)
    assert take(case, "buyer_confirms", Role.BULK_SPECIALIST, Message(**BY)).assignee is None


def test_a_dossier_that_is_overdue_is_marked_incomplete() -> None:
    case = take(a_case("compiling", dossier_complete=True), "dossier_overdue")
    assert not case.dossier_complete


def test_what_is_reviewed_again_is_judged_again() -> None:
    changed = standing(differs=True)
    known: dict[str, Any] = {"legal_passed": True, "approved_percent": "5", "approved_fen": 95_000, "standing": changed}
    case = take(a_case("following", **known), "order_changed", Role.BULK_SPECIALIST, Message(**BY))
    assert (case.state, case.legal_passed, case.approved_percent, case.approved_fen) == (
        "legal_review",
        False,
        None,
        None,
    )


def test_an_approval_grants_what_it_names_else_what_was_asked() -> None:
    lower = ApproveDiscount(**BY, discount_percent=Decimal("2.5"))
    assert take(a_case("pricing"), "approve", Role.PRESALE_SUPERVISOR, lower).approved_percent == Decimal("2.5")
    asked = take(a_case("pricing"), "approve", Role.PRESALE_SUPERVISOR, ApproveDiscount(**BY))
    assert asked.approved_percent == Decimal(5)


def test_an_extension_gives_the_buyer_its_days_from_now_on() -> None:
    shipped = standing(all_shipped=True, last_shipped_at=NOW - timedelta(days=40))
    case = take(a_case("chasing", standing=shipped), "extend", Role.BULK_SPECIALIST, Extend(**BY, days=5))
    assert (case.extensions, case.extended_until) == (1, NOW + timedelta(days=5))
    assert confirmation_counts_from(case) == NOW + timedelta(days=5) - case.figures.flow.confirmation


def test_the_time_to_confirm_counts_from_the_last_shipment_once_all_has_shipped() -> None:
    shipped_at = NOW - timedelta(days=2)
    assert confirmation_counts_from(a_case(standing=standing(last_shipped_at=shipped_at))) is None
    whole = standing(all_shipped=True, last_shipped_at=shipped_at)
    assert confirmation_counts_from(a_case(standing=whole)) == shipped_at
    assert confirmation_counts_from(a_case(standing=standing(all_shipped=True))) is None


def test_the_dossiers_word_on_the_buyers_record_counts_before_the_shops() -> None:
    known: dict[str, Any] = {"shop_registered_on": "2026-11-14", "shop_purchases": 0, "talk_signs": ["material_talk"]}
    assert risk_signs(a_case(**known)) == [Sign.YOUNG_ACCOUNT, Sign.NO_PURCHASES, Sign.MATERIAL_TALK]
    told: dict[str, Any] = {**known, "buyer_registered_on": "2016-01-01", "buyer_purchases": 7}
    assert risk_signs(a_case(**told)) == [Sign.MATERIAL_TALK]


# --- what people send ---

START = {"order_id": "330000001", "by": "bulk.1"}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({**START, "discount_percent": 5}, "discount_percent must be a decimal written as text"),
        ({**START, "discount_percent": 5.5}, "discount_percent must be a decimal written as text"),
        ({**START, "discount_percent": True}, "discount_percent must be a decimal written as text"),
        ({**START, "discount_percent": "-1"}, "discount_percent must not be below 0 percent"),
        ({**START, "discount_percent": "100.5"}, "discount_percent must not be above 100 percent"),
        ({**START, "discount_percent": "5.123"}, "discount_percent must have at most two decimals"),
        ({**START, "discount_percent": "ten"}, "discount_percent must be a decimal written as text"),
        ({**START, "chat_id": ""}, "chat_id: text of at least 1 character is wanted"),
        ({**START, "chat_id": 7}, "chat_id: text is wanted"),
        ({**START, "lines": []}, "lines is a field that does not belong here"),
    ],
)
def test_a_start_with_a_wrong_value_is_refused_with_the_field_named(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError) as refused:
        BulkStart.model_validate(given)
    assert explain(refused.value).startswith(why)


@pytest.mark.parametrize(
    ("message", "given", "why"),
    [
        (SubmitDossier, {"buyer_purchases": 1}, "buyer_registered_on is missing"),
        (SubmitDossier, {"buyer_registered_on": "2020-01-01"}, "buyer_purchases is missing"),
        (SubmitDossier, {"buyer_registered_on": "2020-02-30", "buyer_purchases": 1}, "buyer_registered_on is a day"),
        (SubmitDossier, {"buyer_registered_on": "20200130", "buyer_purchases": 1}, "buyer_registered_on must be a day"),
        (SubmitDossier, {"buyer_registered_on": 5, "buyer_purchases": 1}, "buyer_registered_on must be a day"),
        (SubmitDossier, {"buyer_registered_on": "1066-01-01", "buyer_purchases": 1}, "buyer_registered_on must be"),
        (SubmitDossier, {"buyer_registered_on": "2020-01-01", "buyer_purchases": -1}, "buyer_purchases: 0 or more"),
        (SubmitDossier, {"buyer_registered_on": "2020-01-01", "buyer_purchases": "1"}, "buyer_purchases: a whole"),
        (SubmitDossier, {"buyer_registered_on": "2020-01-01", "buyer_purchases": 1, "documents": "a"}, "documents"),
        (PassLegalReview, {}, "note is missing"),
        (FindMalicious, {}, "signs is missing"),
        (FindMalicious, {"signs": []}, "signs: a list of at least 1"),
        (FindMalicious, {"signs": ["ugly_face"]}, "signs"),
        (FindMalicious, {"signs": ["no_purchases", "no_purchases"]}, "signs names one twice"),
        (FindMalicious, {"signs": ["other"]}, "signs names other, which wants a note"),
        (ApproveDiscount, {"discount_percent": "0"}, "discount_percent must be above 0"),
        (ApproveDiscount, {"discount_percent": 5}, "discount_percent must be a decimal written as text"),
        (ApproveDiscount, {"discount_percent": "-2"}, "discount_percent must not be below 0"),
        (ChangeAmount, {}, "amount_fen is missing"),
        (ChangeAmount, {"amount_fen": 1.5}, "amount_fen: a whole number"),
        (ChangeAmount, {"amount_fen": -1}, "amount_fen: 0 or more"),
        (Extend, {}, "days is missing"),
        (Extend, {"days": 4}, "days: 3, 5, 7 or 10 is wanted"),
        (Extend, {"days": "3"}, "days: 3, 5, 7 or 10 is wanted"),
        (flow.RaiseDispute, {"platform_case": "x" * 65}, "platform_case: text of at most 64 characters"),
    ],
)
def test_a_message_with_a_wrong_value_is_refused_with_the_field_named(
    message: type[Message], given: dict[str, Any], why: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        message.model_validate({**BY, **given})
    assert explain(refused.value).startswith(why), explain(refused.value)


def test_a_malicious_order_of_other_signs_wants_its_note() -> None:
    found = FindMalicious.model_validate({**BY, "signs": ["other", "young_account"], "note": "the same text twice"})
    assert found.signs == [Sign.OTHER, Sign.YOUNG_ACCOUNT]
