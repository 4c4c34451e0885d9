"""Records of cases, how a case is named, notices, the outbox, the staff, and the world outside."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session

from casework.shop import fencing, flags, gifts, notices, orders, outbox, outside, payments, records, releasing
from casework.shop.claims import claim_lines, claimed_lines
from casework.shop.database import Database
from casework.shop.errors import BadRequest, CaseOver
from casework.shop.fencing import FencingToken
from casework.shop.staff import all_staff, load_sample_if_empty, set_present
from casework.shop.tables import (
    CaseRow,
    ClaimRow,
    FlagWishRow,
    FollowedParcelRow,
    GiftPromiseRow,
    HoldRow,
    InterceptRow,
)
from state_machines.roles import Role
from tests.shop.steps import CASE, NOW, ORDER, OTHER, an_order, claim, hold, open_case, parcels, pieces, shown_flag


def close(
    session: Session,
    *,
    run_id: str = "run",
    outcome: str = "refunded",
    moment: FencingToken | None = None,
    **view: Any,
) -> None:
    """The case ends."""
    ending: dict[str, Any] = {"view": {"amount_fen": 25_000, **view}, "outcome": outcome}
    records.close_record(session, case_id=CASE, run_id=run_id, at=NOW, moment=moment, **ending)


def test_a_case_is_recorded_from_opening_to_end(shop: Database) -> None:
    with shop.writing() as session:
        for _ in range(2):
            open_case(session)
        assert records.open_cases_of_order(session, ORDER) == [CASE]
        close(session, outcome="kept")
        close(session)  # a later word of the same run: a message was refused while it closed, or it was reset
        assert records.open_cases_of_order(session, ORDER) == []
        (record,) = records.find_records(session)
    assert (record.outcome, record.amount_fen, record.closed_at) == ("refunded", 25_000, NOW)
    assert record.view == {"amount_fen": 25_000}


def test_a_late_attempt_to_close_a_case_replaces_nothing(shop: Database) -> None:
    with shop.writing() as session:
        open_case(session)
        close(session, moment=FencingToken("execution", 30), said="as it ended")
        close(session, moment=FencingToken("execution", 27), said="by a workflow task that Temporal gave up")
        assert records.find_records(session)[0].view == {"amount_fen": 25_000, "said": "as it ended"}
        close(session, moment=FencingToken("execution", 33), said="once more, with a message that came meanwhile")
        assert "once more" in str(records.find_records(session)[0].view)


def test_the_end_of_a_case_that_was_never_opened_is_refused(shop: Database) -> None:
    with shop.writing() as session, pytest.raises(LookupError, match=CASE):
        close(session)


def test_news_that_comes_while_the_case_is_being_told_is_told_again(shop: Database) -> None:
    with shop.writing() as session:
        open_case(session)
        notices.tell_cases(session, ORDER, "order_gone", at=NOW)
    with shop.reading() as session:
        (being_told,) = notices.pending(session)
    with shop.writing() as session:
        notices.tell_cases(session, ORDER, "order_gone", at=NOW)
    with shop.writing() as session:
        notices.told(session, being_told.id)
        (again,) = notices.pending(session)
    assert again.id != being_told.id


def test_only_the_execution_that_closed_a_case_opens_it_again_and_keeps_nothing_of_what_it_did_before(
    shop: Database,
) -> None:
    moment = FencingToken("execution", 30)

    def ask(moment: FencingToken | None) -> bool:
        return fencing.admit(session, CASE, "run", moment)

    with shop.writing() as session:
        open_case(session)
        assert ask(None)
        assert ask(moment)
        for again in (moment, FencingToken("execution", 31)):
            close(session, moment=moment)
            for stranger in (None, FencingToken("a reset", 99)):
                with pytest.raises(CaseOver):
                    ask(stranger)
            assert not ask(FencingToken("execution", 29))
            assert records.open_cases_of_order(session, ORDER) == []
            assert ask(again)
            assert records.open_cases_of_order(session, ORDER) == [CASE]
        close(session)
        with pytest.raises(CaseOver):
            ask(moment)


@pytest.mark.parametrize(
    ("version", "state", "opens"),
    [(4, "awaiting_finance", False), (5, "refunding", False), (5, "awaiting_supervisor", True), (6, "settling", True)],
)
def test_a_late_attempt_of_the_workflow_task_that_closed_a_case_opens_nothing_and_another_way_does(
    shop: Database, version: int, state: str, *, opens: bool
) -> None:
    """Of as many events as the closing: a step on the way to it, or of another way that Temporal took instead."""
    states = ["checking", "holding", "asking_reason", "persuading", "awaiting_finance", "refunding", "settled"]
    moves = [{"accepted": True, "source": source, "dest": dest} for source, dest in pairwise(states)]
    trail = [*moves[:3], {"accepted": True, "source": "persuading", "dest": None}, {"accepted": False}, *moves[3:]]
    with shop.writing() as session:
        open_case(session)
        close(session, moment=FencingToken("execution", 30, version=6, state="settled"), trail=trail)
        assert fencing.admit(session, CASE, "run", FencingToken("execution", 30, version=version, state=state)) is opens
        assert (records.open_cases_of_order(session, ORDER) == [CASE]) is opens


def test_an_execution_that_continues_the_one_that_closed_a_case_has_it_open_again(shop: Database) -> None:
    closing, next_one = (
        FencingToken("execution", 30),
        FencingToken("the next", 4, continues="execution"),
    )
    with shop.writing() as session:
        open_case(session)
        close(session, moment=closing)
        assert fencing.admit(session, CASE, "run", next_one)
        assert records.open_cases_of_order(session, ORDER) == [CASE]
        close(session, moment=next_one)
        for other in (
            closing,
            FencingToken("a reset", 99),
            FencingToken("a reset", 99, continues="another"),
        ):
            with pytest.raises(CaseOver):
                fencing.admit(session, CASE, "run", other)


def test_moves_that_the_shop_has_seen_and_the_case_has_not_made_are_told(shop: Database) -> None:
    with shop.writing() as session:
        open_case(session)
        fencing.admit(session, CASE, "run", FencingToken("execution", 30, version=4))
        found = [
            fencing.went_further(session, CASE, "run", FencingToken("execution", 33, version)) for version in (3, 4)
        ]
        # who has the record in hand in the same transaction knows it too
        record = session.get(CaseRow, (CASE, "run"))
        fencing.admit(session, CASE, "run", FencingToken("execution", 36, version=3))
        assert record is not None
        assert record.at_version == 3
        found.append(fencing.went_further(session, CASE, "run", FencingToken("execution", 39, version=3)))
    assert found == [True, False, False]


def test_a_late_opening_does_not_take_a_newer_runs_place(shop: Database) -> None:
    later = NOW + timedelta(minutes=1)
    with shop.writing() as session:
        records.open_record(
            session, case_id=CASE, run_id="newer", flow="f", order_id=ORDER, opened_by="a", opened_at=later
        )
        assert records.is_open_in_another_run(session, CASE, "older")
        with pytest.raises(CaseOver):
            records.open_record(
                session, case_id=CASE, run_id="older", flow="f", order_id=ORDER, opened_by="a", opened_at=NOW
            )
        assert not records.is_open_in_another_run(session, CASE, "newer")


def test_a_new_run_takes_over_what_a_dead_one_left(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        claim(session, pieces((1, 1)))
        hold(session, pieces((1, 1)))
        open_case(session, run_id="second")
        assert claimed_lines(session, CASE) == [(ORDER, 1)]
        assert records.open_cases_of_order(session, ORDER) == [CASE]
        assert [(one.run_id, one.outcome) for one in records.find_records(session, closed=True)] == [
            ("run", "superseded")
        ]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, {CASE, OTHER}),
        ({"order_id": ORDER}, {CASE, OTHER}),
        ({"order_id": "1"}, set[str]()),
        ({"opened_by": "aftersale.1"}, {CASE, OTHER}),
        ({"flow": "return-after-shipping"}, set[str]()),
        ({"outcome": "refunded"}, {CASE}),
        ({"closed": True}, {CASE}),
        ({"closed": False}, {OTHER}),
        ({"since": NOW + timedelta(seconds=1)}, set[str]()),
    ],
)
def test_records_are_found_by_every_filter(shop: Database, filters: dict[str, Any], found: set[str]) -> None:
    with shop.writing() as session:
        open_case(session)
        open_case(session, OTHER)
        close(session)
        assert {record.case_id for record in records.find_records(session, **filters)} == found


def test_who_spoke_for_the_buyer_was_involved(shop: Database) -> None:
    trail = [
        {"by": "aftersale.2", "trigger": "buyer_insists", "accepted": True},
        {"by": "aftersale.3", "trigger": "give_reason", "accepted": False},
        {"by": "aftersale-lead.1", "trigger": "approve", "accepted": True},
    ]
    with shop.writing() as session:
        open_case(session)
        close(session, trail=trail)
        assert records.involved_in(session, CASE) == ["aftersale.1", "aftersale.2"]


def test_a_case_is_named_by_its_id_its_order_its_waybill_or_an_end_of_one(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        open_case(session)
        waybill = parcels(session)[0].waybill
        for text in (CASE, ORDER, waybill, waybill.lower(), "0001", f" {ORDER[-6:]} ", waybill[-5:], CASE[-25:]):
            assert records.resolve_case(session, text) == [CASE], text
        for text in ("001", "", "9999", "%001", "____", "2345"):
            assert records.resolve_case(session, text) == [], text


def test_several_cases_that_fit_are_all_named_and_a_whole_id_is_enough(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        open_case(session)
        open_case(session, f"{CASE}-1")
        assert records.resolve_case(session, ORDER) == [CASE, f"{CASE}-1"]
        assert records.resolve_case(session, CASE) == [CASE]


def test_a_waybill_means_the_case_that_follows_it_before_the_others_of_its_order(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        open_case(session)
        waybill = parcels(session)[0].waybill
        assert records.resolve_case(session, waybill) == [CASE]
        parcel_case = f"problem-parcel-{waybill}"
        open_case(session, parcel_case)
        session.add(
            FollowedParcelRow(
                case_id=parcel_case,
                run_id="run",
                waybill="EMS900800700",
                order_id=ORDER,
                courier="ems",
                how="forwarded",
            )
        )
        session.flush()
        for text in (waybill, waybill[1:], parcel_case, "EMS900800700", "800700"):
            assert records.resolve_case(session, text) == [parcel_case], text
        assert records.resolve_case(session, ORDER) == sorted([CASE, parcel_case])


def test_a_case_remembers_which_case_opened_it_and_its_lines(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        for run, opener, opened_at in (("first", "bulk-order-1", NOW), ("second", None, NOW + timedelta(days=1))):
            records.open_record(
                session,
                case_id=CASE,
                run_id=run,
                flow="refund-before-shipping",
                order_id=ORDER,
                opened_by="system",
                opened_at=opened_at,
                lines=pieces((1, 2)) if opener else pieces((2, 1)),
                from_case=opener,
            )
            assert records.came_from(session, CASE) == opener
            assert records.lines_of(session, CASE) == (pieces((1, 2)) if opener else pieces((2, 1)))
        assert records.came_from(session, OTHER) is None
        assert records.lines_of(session, OTHER) == []


def test_open_cases_are_told_once_what_happened_outside(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        open_case(session)
        outside.set_address(session, ORDER, "somewhere else", at=NOW)
        outside.ship(session, ORDER, lines=[1], at=NOW)
        outside.ship(session, ORDER, lines=[2], at=NOW)
        waiting = notices.pending(session)
        assert [(one.case_id, one.trigger) for one in waiting] == [(CASE, "order_changed"), (CASE, "order_gone")]
        for one in waiting:
            notices.told(session, one.id)
        assert notices.pending(session) == []
        outside.refunded(session, ORDER, at=NOW)
        assert [one.trigger for one in notices.pending(session)] == ["order_gone"]


def test_a_notice_comes_and_goes_with_its_change(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        open_case(session)

    def ship_and_fail() -> None:
        with shop.writing() as session:
            outside.ship(session, ORDER, at=NOW)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        ship_and_fail()
    with shop.reading() as session:
        assert notices.pending(session) == []


def test_the_same_address_again_is_no_change(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        open_case(session)
        address = orders.personal_of(session, ORDER).addresses[0]
        outside.set_address(session, ORDER, address, at=NOW)
        assert notices.pending(session) == []


def test_an_order_ships_in_parts_and_its_state_follows(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        first = outside.ship(session, ORDER, lines=[1], at=NOW)
        assert orders.read_order(session, ORDER).state == "partly_shipped"
        second = outside.ship(session, ORDER, at=NOW, waybill="YT1234567890")
        assert orders.read_order(session, ORDER).state == "shipped"
        assert first != second == "YT1234567890"


def test_what_cannot_ship_is_refused(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        an_order(session, order_id="3300000001", paid=False)
        with pytest.raises(BadRequest, match="line 7"):
            outside.ship(session, ORDER, lines=[1, 7], at=NOW)
        assert parcels(session) == []
        with pytest.raises(BadRequest, match="unpaid"):
            outside.ship(session, "3300000001", at=NOW)
        outside.ship(session, ORDER, at=NOW)
        with pytest.raises(BadRequest, match="nothing"):
            outside.ship(session, ORDER, at=NOW)


def test_a_paid_trade_that_closes_goes_back_to_the_buyer_whole(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, postage_fen=1_200)
        outside.close(session, ORDER, at=NOW)
        order = orders.read_order(session, ORDER)
        assert (order.state, order.refunded_fen, order.paid) == ("closed", 26_200, True)
        assert payments.audit(session) == []
        with pytest.raises(BadRequest, match="closed already"):
            outside.close(session, ORDER, at=NOW)
        with pytest.raises(BadRequest, match="left to refund"):
            outside.refunded(session, ORDER, at=NOW)


def test_a_shipped_trade_that_the_platform_refunds_gets_its_postage_too(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, postage_fen=1_200, shipped=True)
        assert outside.refunded(session, ORDER, at=NOW) == 26_200
        assert [entry.line for entry in payments.ledger(session)] == [1, 2, 0]


def test_a_message_is_posted_once_a_key(shop: Database) -> None:
    def post(session: Session) -> bool:
        return outbox.post(
            session,
            key="k",
            case_id=CASE,
            to="buyer",
            recipient=None,
            template="t",
            parameters={"amount": "1.00"},
            text_zh="您好",
            text_en="hello",
            at=NOW,
        )

    with shop.writing() as session:
        assert [post(session), post(session)] == [True, False]
        assert [letter.text_zh for letter in outbox.letters(session, case_id=CASE)] == ["您好"]


def test_the_sample_staff_is_loaded_when_there_is_none(shop: Database) -> None:
    with shop.writing() as session:
        assert [load_sample_if_empty(session), load_sample_if_empty(session)] == [True, False]
        staff = {member.id: member for member in all_staff(session)}
    assert len(staff) == 23
    assert staff["aftersale-lead.2"].roles == ["aftersale_agent", "aftersale_supervisor"]
    assert (staff["aftersale-lead.3"].present, staff["aftersale-lead.3"].deputy) == (False, "aftersale.2")
    assert (staff["aftersale-lead.4"].limit_fen, staff["aftersale-lead.1"].limit_fen) == (50_000, None)
    assert {role for member in staff.values() for role in member.roles} <= {role.value for role in Role}
    assert {member.deputy for member in staff.values() if member.deputy} <= staff.keys()


def test_staff_come_and_go(shop: Database) -> None:
    with shop.writing() as session:
        load_sample_if_empty(session)
        set_present(session, "aftersale.1", present=False)
        assert not next(one for one in all_staff(session) if one.id == "aftersale.1").present
        with pytest.raises(BadRequest, match=r"nobody\.1"):
            set_present(session, "nobody.1", present=True)


def test_an_attempt_of_a_local_step_that_was_given_up_keeps_nothing_after_a_later_step(shop: Database) -> None:
    """A frozen worker's: a case takes its local steps one after the other, so the later one counts."""
    later = FencingToken("execution", 14, version=4, state="awaiting_parcel_back")
    given_up = FencingToken("execution", 10, version=5, state="converting")
    with shop.writing() as session:
        open_case(session)
        assert fencing.admit(session, CASE, "run", later, in_turn=True)
        assert not fencing.admit(session, CASE, "run", given_up, in_turn=True)
        # Temporal's own activities may be under way for long, beside other steps
        assert fencing.admit(session, CASE, "run", given_up)
        assert fencing.admit(session, CASE, "run", later, in_turn=True)


def has(session: Session, case_id: str = CASE) -> dict[str, list[object]]:
    """What a case has of orders."""
    claims = session.query(ClaimRow).filter_by(case_id=case_id).order_by(ClaimRow.line)
    held = session.query(HoldRow).filter_by(case_id=case_id).order_by(HoldRow.line)
    return {
        "claims": [(row.line, row.refunded_before) for row in claims],
        "holds": [row.line for row in held],
        "flags": [row.colour for row in session.query(FlagWishRow).filter_by(case_id=case_id)],
        "stopped": [(row.key, row.at) for row in session.query(InterceptRow).filter_by(case_id=case_id)],
        "promises": [(row.kind, row.promised_at) for row in session.query(GiftPromiseRow).filter_by(case_id=case_id)],
    }


NOTHING: dict[str, list[object]] = {"claims": [], "holds": [], "flags": [], "stopped": [], "promises": []}
ALL_OF_IT: dict[str, list[object]] = {
    "claims": [(1, 0), (2, 0)],
    "holds": [1, 2],
    "flags": ["green"],
    "stopped": [("stop", NOW)],
    "promises": [("gift", NOW)],
}


def a_promise(case_id: str = CASE) -> GiftPromiseRow:
    return GiftPromiseRow(
        order_id=ORDER,
        kind="gift",
        case_id=case_id,
        key="promise",
        quantity=1,
        cost_fen=1,
        value_fen=1,
        month="2026-11",
        loose_before_fen=0,
        promised_at=NOW,
    )


def give_all_of_it(session: Session) -> None:
    """A case gets all that one can have of an order."""
    an_order(session)
    claim(session, pieces((1, 2), (2, 1)))
    assert hold(session, pieces((1, 2), (2, 1))).held
    session.add(InterceptRow(key="stop", case_id=CASE, order_id=ORDER, stopped=True, at=NOW))
    session.add(a_promise())
    session.flush()
    assert has(session) == ALL_OF_IT


@pytest.fixture
def letting_go(shop: Database) -> Database:
    """A case that has all that one can have of an order lets it go by its fifth move."""
    with shop.writing() as session:
        give_all_of_it(session)
        assert fencing.admit(session, CASE, "run", FencingToken("execution", 30, version=5, state="settling"))
        releasing.release_case(session, CASE, flag_kept=None, at=NOW)
        assert has(session) == NOTHING
    return shop


@pytest.mark.parametrize(
    ("closed", "moment", "again"),
    [
        (True, FencingToken("execution", 34, version=4, state="confirming"), True),
        (False, FencingToken("execution", 34, version=4, state="confirming"), True),
        (False, FencingToken("execution", 34, version=5, state="disputed"), True),
        (False, FencingToken("execution", 34, version=5, state="settling"), False),
        (False, FencingToken("execution", 34, version=6, state="refunded"), False),
    ],
)
def test_what_was_let_go_on_a_way_that_was_taken_back_is_had_again(
    letting_go: Database, *, closed: bool, moment: FencingToken, again: bool
) -> None:
    with letting_go.writing() as session:
        if closed:
            close(session, moment=FencingToken("execution", 30, version=6, state="refunded"))
        assert fencing.admit(session, CASE, "run", moment)
        assert has(session) == (ALL_OF_IT if again else NOTHING)
        assert shown_flag(session, ORDER) == ("green" if again else "none")


def test_a_promise_that_was_taken_back_on_a_way_that_was_taken_back_is_had_again(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        open_case(session)
        session.add(a_promise())
        session.flush()
        assert fencing.admit(session, CASE, "run", FencingToken("execution", 30, version=5, state="cancelling"))
        assert gifts.withdraw(session, key="w", case_id=CASE, order_id=ORDER, memo="[作废]", at=NOW)
        assert has(session) == NOTHING
        assert fencing.admit(session, CASE, "run", FencingToken("execution", 34, version=4, state="awaiting_audit"))
        assert has(session) == {**NOTHING, "promises": [("gift", NOW)]}


@pytest.mark.parametrize(
    ("version", "state", "again"),
    [
        (4, "following", ALL_OF_IT),
        (6, "disputed", {**ALL_OF_IT, "holds": [], "flags": []}),
        (6, "settling", NOTHING),
    ],
)
def test_what_was_let_go_by_several_moves_is_had_again_as_far_as_they_were_taken_back(
    shop: Database, version: int, state: str, again: dict[str, list[object]]
) -> None:
    with shop.writing() as session:
        give_all_of_it(session)
        assert fencing.admit(session, CASE, "run", FencingToken("execution", 30, version=5, state="releasing"))
        wish = session.get_one(FlagWishRow, CASE)
        releasing.note_released(session, CASE, [*session.scalars(delete(HoldRow).returning(HoldRow)), wish])
        flags.drop_wish(session, CASE, ORDER, lasting=None, at=NOW)
        assert fencing.admit(session, CASE, "run", FencingToken("execution", 30, version=6, state="settling"))
        assert gifts.withdraw(session, key="w", case_id=CASE, order_id=ORDER, memo="[作废]", at=NOW)
        releasing.release_case(session, CASE, flag_kept=None, at=NOW)
        assert has(session) == NOTHING
        assert fencing.admit(session, CASE, "run", FencingToken("execution", 34, version=version, state=state))
        assert has(session) == again


def test_what_a_state_has_let_go_is_not_had_again_where_the_move_after_it_is_taken_back(letting_go: Database) -> None:
    with letting_go.writing() as session:
        assert fencing.admit(session, CASE, "run", FencingToken("execution", 32, version=6, state="disputed"))
        assert fencing.admit(session, CASE, "run", FencingToken("execution", 34, version=5, state="settling"))
        assert has(session) == NOTHING


def test_what_was_let_go_long_ago_is_not_had_again_where_a_later_move_is_taken_back(letting_go: Database) -> None:
    with letting_go.writing() as session:
        for moment in (
            FencingToken("execution", 40, version=7, state="following"),
            FencingToken("execution", 44, version=6, state="chasing"),
        ):
            assert fencing.admit(session, CASE, "run", moment)
        assert has(session) == NOTHING


def test_what_has_left_and_what_is_another_cases_by_now_is_not_had_again(letting_go: Database) -> None:
    with letting_go.writing() as session:
        open_case(session, OTHER)
        assert claim_lines(session, OTHER, ORDER, pieces((2, 1))) is None
        outside.ship(session, ORDER, lines=[1], at=NOW)
        taken_back = FencingToken("execution", 34, version=4, state="confirming")
        assert fencing.admit(session, CASE, "run", taken_back)
        assert has(session) == {**ALL_OF_IT, "claims": [(1, 0)], "holds": [2]}
        assert claimed_lines(session, OTHER) == [(ORDER, 2)]


def test_a_case_is_about_the_order_of_its_last_run(shop: Database) -> None:
    """Two orders in one parcel: the cases about it have one id."""
    second = "3300010000000000002"
    with shop.writing() as session:
        an_order(session)
        an_order(session, order_id=second)
        open_case(session)
        close(session)
        records.open_record(
            session,
            case_id=CASE,
            run_id="later",
            flow="problem-parcel",
            order_id=second,
            opened_by="aftersale.1",
            opened_at=NOW + timedelta(days=1),
        )
        assert records.order_of(session, CASE) == second


def test_who_speaks_for_the_buyer_is_who_fires_such_a_trigger_and_not_the_clock() -> None:
    assert {
        "buyer_insists",
        "supplier_agrees",
        "choose_refund",
        "give_reason",
        "add_evidence",
    } <= records.SPEAKS_FOR_BUYER
    assert not {"buyer_silent", "supplier_silent", "approve", "receive_goods"} & records.SPEAKS_FOR_BUYER
