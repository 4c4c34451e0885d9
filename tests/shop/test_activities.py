"""The shop's side of a case's steps, as the activities hand them over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from sqlalchemy import Dialect, Select, event, make_url, select
from sqlalchemy.orm import ORMExecuteState, Session

from activities.bulk_orders import BulkOrderActivities
from activities.courier import CourierActivities
from activities.messages import MessageActivities, PostMessages
from activities.orders import HoldStep, OrderActivities, ParcelBackStep, SettleStep
from activities.payments import HandPayment, Payment, PaymentActivities
from activities.steps import OrderStep
from casework.courier import CourierSilent
from casework.shop import coming_back, orders, outside, waiting
from casework.shop.claims import claimed_lines
from casework.shop.courier import EmbeddedCourier
from casework.shop.database import Database
from casework.shop.errors import PaymentUnavailable
from casework.shop.fencing import FencingToken
from casework.shop.outside import send_off
from casework.shop.staff import load_sample_if_empty
from casework.shop.tables import LineRow, OrderRow, OutboxRow
from casework.templates import Post
from casework.waiting import Waits
from state_machines.roles import Role
from tests.shop.steps import CASE, NOW, ORDER, OTHER, an_order, claim, open_case, parcels, pieces, shown_flag

WHOLE = pieces((1, 2), (2, 1))
DIALECT: Dialect = make_url("postgresql://").get_dialect()()


def step(case_id: str = CASE, **more: Any) -> dict[str, Any]:
    """What every step says."""
    return {"case_id": case_id, "run_id": "run", "order_id": ORDER, "lines": WHOLE, "at": NOW, **more}


@pytest.fixture
def read_first() -> Iterator[Callable[[], str]]:
    """The first statement that a transaction reads of orders, as PostgreSQL would be asked."""
    seen: list[str] = []

    def note(state: ORMExecuteState) -> None:
        seen.append(str(cast("Select[Any]", state.statement).compile(dialect=DIALECT)))

    event.listen(Session, "do_orm_execute", note)
    yield lambda: next(one for one in seen if "FROM orders" in one)
    event.remove(Session, "do_orm_execute", note)


def test_an_order_is_locked_before_its_standing_is_read(shop: Database, read_first: Callable[[], str]) -> None:
    with shop.writing() as session:
        an_order(session)
        open_case(session)
    standing = OrderActivities(shop).check_and_claim(OrderStep(**step()))
    assert standing.claimed_by is None
    assert "FOR UPDATE" in read_first()


@pytest.mark.parametrize("why", ["unpaid", "closed", "refunded", "claimed"])
def test_a_check_that_refuses_claims_nothing(shop: Database, why: str) -> None:
    with shop.writing() as session:
        an_order(session, paid=why != "unpaid")
        open_case(session)
        if why == "closed":
            outside.close(session, ORDER, at=NOW)
        if why == "refunded":
            outside.refunded(session, ORDER, at=NOW)
        if why == "claimed":
            claim(session, pieces((2, 1)), OTHER)
    standing = OrderActivities(shop).check_and_claim(OrderStep(**step()))
    assert standing.claimed_by == (OTHER if why == "claimed" else None)
    with shop.reading() as session:
        assert claimed_lines(session, CASE) == []


def test_a_second_interception_and_a_second_return_in_one_case_are_steps_of_their_own(shop: Database) -> None:
    courier, desk = CourierActivities(shop, EmbeddedCourier(shop)), OrderActivities(shop)
    with shop.writing() as session:
        an_order(session, shipped=True)
        claim(session, WHOLE)
        outside.fail(session, "intercept", ORDER, "once")
    assert [courier.intercept(OrderStep(**step(round=number))) for number in (0, 0, 1)] == [False, False, True]
    assert desk.mark_goods_back(ParcelBackStep(**step(), waybill=None)).all_back
    with shop.writing() as session:
        rows = [session.get_one(LineRow, (ORDER, number)) for number in (1, 2)]
        order = session.get_one(OrderRow, ORDER)
        send_off(session, order, rows, waybill="YT2", company="", shipped_at=NOW, at=NOW)
    again = desk.mark_goods_back(ParcelBackStep(**step(), waybill=None))
    assert (again.all_back, again.still_out) == (False, ["YT2"]), "the same step again changes nothing"
    assert desk.mark_goods_back(ParcelBackStep(**step(round=1), waybill=None)).all_back


def test_two_parcels_come_back_one_after_the_other_in_one_round(shop: Database) -> None:
    desk = OrderActivities(shop)
    with shop.writing() as session:
        an_order(session)
        for line, waybill in ((1, "YT1"), (2, "YT2")):
            outside.ship(session, ORDER, lines=[line], waybill=waybill, at=NOW)
        claim(session, WHOLE)
    answers = [desk.mark_goods_back(ParcelBackStep(**step(), waybill=waybill)) for waybill in ("YT1", "SF1", "YT2")]
    assert [one.all_back for one in answers] == [False, False, True]
    assert [one.refused is None for one in answers] == [True, False, True]


def test_an_order_is_marked_after_the_warehouse_was_asked(shop: Database) -> None:
    desk, hold = OrderActivities(shop), HoldStep(**step(), handed_over_profile=True)
    with shop.writing() as session:
        an_order(session, flag="green")
        open_case(session)
    held = desk.hold(hold)
    assert (held.held, held.flag_found) == (True, "green")
    with shop.reading() as session:
        assert shown_flag(session, ORDER) == "green"
    desk.mark_order(hold)
    with shop.reading() as session:
        assert shown_flag(session, ORDER) == "red"


def test_lines_that_the_warehouse_says_left_have_left(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        claim(session, WHOLE)
    for _ in range(2):
        OrderActivities(shop).mark_left(OrderStep(**step()))
    with shop.reading() as session:
        assert orders.standing(session, ORDER, WHOLE).shipped
        assert parcels(session) == []


def test_a_payment_says_what_is_due_now(shop: Database) -> None:
    pay = PaymentActivities(shop).pay
    with shop.writing() as session:
        an_order(session)
        claim(session, WHOLE)
        outside.ship(session, ORDER, lines=[2], at=NOW)
    given: dict[str, Any] = {"amount_fen": 1}
    left = pay(Payment(**step(), **given))
    assert (left.status, left.paid_fen, left.due_fen) == ("left", 0, 25_000)
    OrderActivities(shop).mark_goods_back(ParcelBackStep(**step(), waybill=None))
    changed = pay(Payment(**step(), **given))
    assert (changed.status, changed.paid_fen, changed.due_fen) == ("changed", 0, 25_000)
    answers = [pay(Payment(**step(), amount_fen=25_000)) for _ in range(2)]
    assert [(one.status, one.paid_fen, one.due_fen) for one in answers] == [
        ("paid", 25_000, 0),
        ("already_paid", 25_000, 0),
    ]


def test_what_a_step_posts_goes_out_once_however_often_it_is_tried(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session)
        claim(session, WHOLE)
    told = Post(purpose="told", template="kept", to="buyer", parameters={"order_id": ORDER})
    for _ in range(2):
        BulkOrderActivities(shop).forget_review(OrderStep(**step(posts=[told])))
    with shop.reading() as session:
        assert len(list(session.scalars(select(OutboxRow.id)))) == 1


def test_a_step_that_is_done_again_says_nothing_else_where_the_goods_have_come_meanwhile(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        claim(session, WHOLE)
    posts: dict[str, Any] = {
        name: [Post(purpose=template, template=template, to="buyer", parameters={"order_id": ORDER})]
        for name, template in (("if_out", "kept_on_its_way"), ("if_here", "kept"))
    }
    again = SettleStep(**step(**posts), memo="买家保留订单")
    OrderActivities(shop).restore(again)
    with shop.writing() as session:
        given: dict[str, Any] = {"case_id": "problem-parcel-X", "order_id": ORDER, "lines": WHOLE, "at": NOW}
        coming_back.mark_goods_back(session, key="back", **given)
    OrderActivities(shop).restore(again)
    with shop.reading() as session:
        assert list(session.scalars(select(OutboxRow.template).where(OutboxRow.case_id == CASE))) == ["kept_on_its_way"]


class UnansweringCourier(EmbeddedCourier):
    """A courier that does not answer."""

    def intercept(self, *_: Any, **__: Any) -> bool:
        raise CourierSilent("the courier did not answer")


@pytest.mark.parametrize("who", ["payment service", "courier"])
def test_a_case_that_asks_outside_waits_no_more_however_long_the_answer_takes(shop: Database, who: str) -> None:
    with shop.writing() as session:
        an_order(session, shipped=who == "courier")
        claim(session, WHOLE)
        waits = Waits(roles=["store_manager"], assignee=None, since=NOW, due=NOW, alarms=0, amount_fen=1, case={})
        waiting.tell(session, CASE, "run", FencingToken("run", 10, 3), waits)
        outside.fail(session, "payment", ORDER, "once")
    asked = Payment(**step(moment=FencingToken("run", 14, 4)), amount_fen=25_000)
    asking = {
        "payment service": PaymentActivities(shop).pay,
        "courier": CourierActivities(shop, UnansweringCourier(shop)).intercept,
    }
    with pytest.raises((PaymentUnavailable, CourierSilent)):
        asking[who](asked)
    with shop.reading() as session:
        assert waiting.waiting(session, waiting.WaitFilter()) == []


def test_a_payment_by_hand_that_is_refused_says_what_is_due(shop: Database) -> None:
    record = PaymentActivities(shop).record_paid_by_hand
    with shop.writing() as session:
        an_order(session)
        claim(session, WHOLE)
    given = step(payment_reference="ALI123")
    refused = record(HandPayment(**given, amount_fen=1))
    assert refused.due_fen == 25_000
    assert refused.refused is not None
    done = record(HandPayment(**given, amount_fen=25_000))
    assert (done.refused, done.due_fen) == (None, 0)


@pytest.mark.parametrize(
    ("assignee", "told"),
    [
        ("aftersale-lead.1", ["aftersale_supervisor"]),
        ("aftersale.1", ["aftersale_supervisor", "aftersale.1"]),
    ],
)
def test_what_goes_to_a_role_and_to_a_person_who_has_it_goes_out_once(
    shop: Database, assignee: str, told: list[str]
) -> None:
    how_it_stands = {"case_id": CASE, "state_zh": "等待", "state_en": "waiting", "amount": "1.00", "due": "—"}
    reminder = Post(purpose="1.role", template="reminder", to="staff", parameters=how_it_stands)
    posts = [
        reminder.model_copy(update={"role": Role.AFTERSALE_SUPERVISOR}),
        reminder.model_copy(update={"purpose": "1.person", "person": assignee}),
    ]
    with shop.writing() as session:
        open_case(session)
        load_sample_if_empty(session)
    MessageActivities(shop).post_messages(PostMessages(case_id=CASE, run_id="run", order_id=ORDER, posts=posts, at=NOW))
    with shop.reading() as session:
        assert list(session.scalars(select(OutboxRow.recipient).order_by(OutboxRow.id))) == told
