"""Which open shipments the patrol sees, and which it leaves to a case that is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from activities.patrol import MOST_FOUND, Looked, LookFurther, PatrolActivities
from casework.courier import Scan
from casework.policy import Policy, load_policy
from casework.shop import courier, outside, records
from casework.shop.courier import EmbeddedCourier
from casework.shop.database import Database
from casework.shop.tables import (
    ClaimRow,
    FollowedParcelRow,
    OrderRow,
    ParcelRow,
    ReturnRow,
    ScanRow,
    ShipmentLineRow,
    ShipmentRow,
)
from tests.shop.steps import CASE, NOW, ORDER, an_order, claim, open_case, pieces

SHIPPED = load_policy(None)
WAYBILL = f"YT{ORDER[-11:]}"
LONG = timedelta(days=30)
MINUTE = timedelta(minutes=1)


def policy(*, batch_size: int = 200, poll_min: timedelta = timedelta(0)) -> Policy:
    """The shipped one, but that couriers may be asked as often as a test likes."""
    return SHIPPED.model_copy(
        update={
            "patrol": SHIPPED.patrol.model_copy(update={"batch_size": batch_size}),
            "problem_parcel": SHIPPED.problem_parcel.model_copy(update={"poll_min": poll_min}),
        }
    )


def look(shop: Database, *, after: int = 0, at: datetime = NOW, by: Policy | None = None) -> Looked:
    activities = PatrolActivities(shop, EmbeddedCourier(shop), by or policy())
    return activities.look_further(LookFurther(patrol_id="parcel-patrol", after=after, at=at))


def shipped(shop: Database, *, ago: timedelta | None = LONG, order_id: str = ORDER, **changes: object) -> None:
    """An order that left so long ago; `changes` are the shipment's."""
    with shop.writing() as session:
        an_order(session, order_id=order_id, shipped=True)
        parcel = session.query(ShipmentRow).filter_by(order_id=order_id).one()
        parcel.shipped_at = None if ago is None else NOW - ago
        for name, value in changes.items():
            setattr(parcel, name, value)


def scan(shop: Database, code: str, ago: timedelta) -> None:
    with shop.writing() as session:
        if session.get(ParcelRow, WAYBILL) is None:
            session.add(ParcelRow(waybill=WAYBILL, courier="yuantong", state="0"))
            session.flush()
        session.add(ScanRow(waybill=WAYBILL, at=NOW - ago, code=code))


def causes(looked: Looked) -> list[tuple[str, str]]:
    return [(one.start["waybill"], one.start["cause"]) for one in looked.needing]


def test_a_parcel_that_is_long_under_way_needs_a_case(shop: Database) -> None:
    shipped(shop)
    scan(shop, "0", timedelta(days=20))
    looked = look(shop)
    assert (looked.looked_at, looked.more) == (1, False)
    (needing,) = looked.needing
    assert needing.case_id == f"problem-parcel-{WAYBILL}"
    assert needing.start == {
        "order_id": ORDER,
        "by": "system",
        "from_case": "parcel-patrol",
        "waybill": WAYBILL,
        "courier": "yuantong",
        "cause": "overdue",
    }


def test_the_newest_scan_that_is_shown_decides_not_one_that_is_still_to_come(shop: Database) -> None:
    shipped(shop, ago=timedelta(days=2))
    scan(shop, "209", timedelta(hours=3))
    scan(shop, "0", timedelta(hours=2))
    scan(shop, "14", -timedelta(hours=1))
    assert causes(look(shop)) == []
    assert causes(look(shop, at=NOW + timedelta(hours=1))) == [(WAYBILL, "exception")]


def test_an_unknown_code_is_taken_as_moving(shop: Database) -> None:
    shipped(shop, ago=timedelta(days=2))
    scan(shop, "9999", timedelta(hours=3))
    assert causes(look(shop)) == []


@pytest.mark.parametrize("code", ["3", "301", "303", "304"])
def test_a_signed_parcel_is_asked_about_from_the_policys_days_on(shop: Database, code: str) -> None:
    shipped(shop)
    scan(shop, code, timedelta(days=3))
    assert causes(look(shop, at=NOW - timedelta(seconds=1))) == []
    assert causes(look(shop)) == [(WAYBILL, "signed_unconfirmed")]


@pytest.mark.parametrize(
    ("address", "company", "days"),
    [
        ("山东省 菏泽市", "圆通速递", 2),
        ("上海 上海市", "圆通速递", 4),
        ("上海 上海市", "EMS", 5),
        ("内蒙古自治区 锡林郭勒盟", "圆通速递", 7),
        ("内蒙古自治区 锡林郭勒盟", "EMS", 8),
    ],
)
def test_how_long_delivery_takes_depends_on_where_it_goes_and_by_whom(
    shop: Database, address: str, company: str, days: int
) -> None:
    cycle = timedelta(days=days) + SHIPPED.problem_parcel.overdue_grace
    shipped(shop, ago=cycle, company=company)
    with shop.writing() as session:
        session.query(OrderRow).one().address = address
    assert causes(look(shop)) == []
    assert causes(look(shop, at=NOW + MINUTE)) == [(WAYBILL, "overdue")]


def test_where_the_shop_does_not_know_when_it_left_the_first_scan_or_the_payment_says_so(shop: Database) -> None:
    shipped(shop, ago=None)
    with shop.writing() as session:
        order = session.query(OrderRow).one()
        order.shipped_at, order.paid_at = None, NOW - LONG
    assert causes(look(shop)) == [(WAYBILL, "overdue")]
    scan(shop, "1", timedelta(hours=1))
    assert causes(look(shop)) == []


def test_a_courier_whose_code_nobody_knows_hinders_nothing(shop: Database) -> None:
    shipped(shop, company="三轮车")
    assert look(shop).needing[0].start["courier"] == "unknown"


class CountingCourier(EmbeddedCourier):
    """Answers with one scan, or not at all, and counts how often it is asked."""

    def __init__(self, shop: Database) -> None:
        super().__init__(shop)
        self.asked: list[str] = []
        self.code: str | None = "0"

    def ask_each(self, couriers: Mapping[str, str], *, at: datetime) -> dict[str, list[Scan]]:
        self.asked += [f"{courier} {waybill}" for waybill, courier in couriers.items()]
        return {} if self.code is None else {one: [Scan(at - MINUTE, self.code, "", "")] for one in couriers}


def test_no_waybill_is_asked_for_more_often_than_the_policy_allows_and_silence_changes_nothing(
    shop: Database,
) -> None:
    shipped(shop, ago=timedelta(days=2))
    courier = CountingCourier(shop)
    by = policy(poll_min=30 * MINUTE)
    activities = PatrolActivities(shop, courier, by)

    def causes_at(minutes: int) -> list[str]:
        at = NOW + minutes * MINUTE
        looked = activities.look_further(LookFurther(patrol_id="parcel-patrol", after=0, at=at))
        return [one.start["cause"] for one in looked.needing]

    assert causes_at(0) == []
    courier.code = "209"
    assert causes_at(29) == [], "the last answer stands"
    assert courier.asked == [f"yuantong {WAYBILL}"]
    assert causes_at(30) == ["exception"]
    courier.code = None
    assert causes_at(60) == ["exception"], "a courier that does not answer means nothing"
    assert len(courier.asked) == 3


def finish(session: Session) -> None:
    session.query(OrderRow).filter_by(id=ORDER).one().state = "finished"


def confirm(session: Session) -> None:
    session.query(OrderRow).filter_by(id=ORDER).one().confirmed_at = NOW


def come_back(session: Session) -> None:
    session.query(ShipmentRow).filter_by(order_id=ORDER).one().back_at = NOW


def refund(session: Session) -> None:
    outside.refunded(session, ORDER, at=NOW)


def close(session: Session) -> None:
    session.query(OrderRow).filter_by(id=ORDER).one().state = "closed"


@pytest.mark.parametrize("happens", [finish, confirm, come_back, refund, close])
def test_what_is_finished_back_or_refunded_is_no_open_shipment(
    shop: Database, happens: Callable[[Session], None]
) -> None:
    shipped(shop)
    assert look(shop).looked_at == 1
    with shop.writing() as session:
        happens(session)
    looked = look(shop)
    assert (looked.looked_at, looked.needing, looked.more) == (0, [], False)


def test_what_is_refunded_in_part_is_open_still(shop: Database) -> None:
    shipped(shop)
    with shop.writing() as session:
        outside.refunded(session, ORDER, pieces((1, 1), (2, 1)), at=NOW)
    assert causes(look(shop)) == [(WAYBILL, "overdue")]


def test_looks_go_on_behind_the_last_shipment_and_see_each_once(shop: Database) -> None:
    orders = [f"33000100000000000{number:02d}" for number in range(7)]
    for order in orders:
        shipped(shop, order_id=order)
    seen: list[str] = []
    counted, after, more = 0, 0, True
    while more:
        looked = look(shop, after=after, by=policy(batch_size=3))
        assert looked.looked_at <= 3
        seen += [one.start["order_id"] for one in looked.needing]
        counted, after, more = counted + looked.looked_at, looked.after, looked.more
    assert seen == orders
    assert counted == 7


def test_a_look_answers_only_so_many_and_the_next_one_goes_on_behind_them(shop: Database) -> None:
    for number in range(MOST_FOUND + 20):
        shipped(shop, order_id=f"33000100000000{number:05d}")
    first = look(shop, by=policy(batch_size=1_000))
    second = look(shop, after=first.after, by=policy(batch_size=1_000))
    assert (first.looked_at, len(first.needing), first.more) == (MOST_FOUND, MOST_FOUND, True)
    assert (second.looked_at, len(second.needing), second.more) == (20, 20, False)
    assert len({one.case_id for one in first.needing + second.needing}) == MOST_FOUND + 20


def test_one_waybill_of_two_orders_needs_one_case(shop: Database) -> None:
    shipped(shop)
    shipped(shop, order_id="3300010000000000002", waybill=WAYBILL)
    looked = look(shop)
    assert (looked.looked_at, causes(looked)) == (2, [(WAYBILL, "overdue")])


@pytest.mark.parametrize("number", ["13800000000", "上门自提", "YT-99"])
def test_a_parcel_whose_number_is_no_waybill_is_only_counted(shop: Database, number: str) -> None:
    shipped(shop, waybill=number)
    looked = look(shop)
    assert (looked.looked_at, looked.needing, looked.unopenable) == (1, [], 1)
    assert number not in looked.model_dump_json()


# --- what a case deals with ---


def parcel_case(shop: Database, *, opened: datetime = NOW, closed: datetime | None = None, of: str = WAYBILL) -> None:
    """A case of the waybill `of`, that follows this one."""
    case_id, run_id = f"problem-parcel-{of}", f"run-{opened}"
    with shop.writing() as session:
        records.open_record(
            session,
            case_id=case_id,
            run_id=run_id,
            flow="problem-parcel",
            order_id=ORDER,
            opened_by="aftersale.1",
            opened_at=opened,
        )
        session.add(
            FollowedParcelRow(
                case_id=case_id, run_id=run_id, waybill=WAYBILL, order_id=ORDER, courier="yuantong", how="opened"
            )
        )
        session.flush()
        if closed is not None:
            records.close_record(
                session, case_id=case_id, run_id=run_id, view={"amount_fen": 0}, outcome="delivered", at=closed
            )


@pytest.mark.parametrize("of", [WAYBILL, "YT-another"])
def test_a_parcel_that_an_open_case_follows_needs_no_other(shop: Database, of: str) -> None:
    shipped(shop)
    parcel_case(shop, of=of)
    assert causes(look(shop)) == []


def test_a_parcel_whose_case_has_ended_needs_another_only_for_what_came_since(shop: Database) -> None:
    shipped(shop)
    scan(shop, "0", timedelta(days=29))
    parcel_case(shop, opened=NOW - timedelta(days=2), closed=NOW - timedelta(days=1))
    assert causes(look(shop)) == [], "it was overdue already when the case ended"
    scan(shop, "209", timedelta(hours=1))
    assert causes(look(shop)) == [(WAYBILL, "exception")]
    parcel_case(shop, opened=NOW - timedelta(minutes=30), closed=NOW)
    assert causes(look(shop)) == []


def test_a_parcel_whose_case_ended_before_it_was_overdue_needs_one(shop: Database) -> None:
    shipped(shop)
    parcel_case(shop, opened=NOW - timedelta(days=29), closed=NOW - timedelta(days=28))
    assert causes(look(shop)) == [(WAYBILL, "overdue")]


def test_a_parcel_whose_goods_an_open_case_follows_under_another_waybill_needs_no_other(shop: Database) -> None:
    shipped(shop)
    earlier, onward = NOW - timedelta(days=29), "EA00000000001CN"
    parcel_case(shop, opened=earlier, closed=NOW - timedelta(days=28))
    with shop.writing() as session:
        forwarded = {"waybill": onward, "order_id": ORDER, "courier": "ems"}
        own = {"case_id": f"problem-parcel-{WAYBILL}", "run_id": f"run-{earlier}"}
        session.add(FollowedParcelRow(**own, **forwarded, how="forwarded", number=1))
    assert causes(look(shop)) == [(WAYBILL, "overdue")]
    own = {"case_id": f"problem-parcel-{onward}", "run_id": "run"}
    with shop.writing() as session:
        opening: dict[str, Any] = {"opened_by": "aftersale.1", "opened_at": NOW}
        records.open_record(session, **own, flow="problem-parcel", order_id=ORDER, **opening)
        session.add(FollowedParcelRow(**own, **forwarded, how="opened", number=0))
    looked = look(shop)
    assert (causes(looked), looked.unopenable) == ([], 0)


def test_a_parcel_whose_goods_were_sent_again_needs_no_case_whatever_is_scanned(shop: Database) -> None:
    shipped(shop)
    scan(shop, "0", timedelta(days=29))
    opened = NOW - timedelta(days=3)
    parcel_case(shop, opened=opened, closed=NOW - timedelta(days=1))
    case_id, again = f"problem-parcel-{WAYBILL}", "SF00000000001"
    with shop.writing() as session:
        parcel = ShipmentRow(order_id=ORDER, waybill=again, company="", shipped_at=NOW - timedelta(days=2))
        session.add(parcel)
        session.flush()
        session.add(ShipmentLineRow(shipment_id=parcel.id, line=1, quantity=2))
        session.add(
            FollowedParcelRow(
                case_id=case_id,
                run_id=f"run-{opened}",
                waybill=again,
                order_id=ORDER,
                courier="shunfeng",
                how="reshipped",
                since=NOW - timedelta(days=2),
            )
        )
    scan(shop, "209", timedelta(hours=1))
    assert causes(look(shop)) == [(WAYBILL, "exception")], "one of its lines was not sent again"
    with shop.writing() as session:
        (parcel,) = session.query(ShipmentRow).filter_by(waybill=again)
        session.add(ShipmentLineRow(shipment_id=parcel.id, line=2, quantity=1))
    assert causes(look(shop)) == []


def test_what_is_signed_for_is_not_asked_about_while_a_return_of_it_is_open(shop: Database) -> None:
    shipped(shop)
    scan(shop, "301", timedelta(days=9))
    with shop.writing() as session:
        claim(session, pieces((1, 2)))
    assert causes(look(shop)) == []
    scan(shop, "2", timedelta(hours=1))
    assert causes(look(shop)) == [(WAYBILL, "exception")]


def test_a_parcel_that_an_open_refund_had_stopped_is_awaited_by_it(shop: Database) -> None:
    shipped(shop)
    everything = pieces((1, 2), (2, 1))
    with shop.writing() as session:
        claim(session, everything)
        assert courier.intercept(session, key="stop", case_id=CASE, order_id=ORDER, lines=everything, at=NOW)
    scan(shop, "6", timedelta(hours=1))
    assert causes(look(shop)) == []
    with shop.writing() as session:
        session.query(ClaimRow).delete()
    assert causes(look(shop)) == [(WAYBILL, "exception")]


def test_a_waybill_that_an_open_return_awaits_is_left_out(shop: Database) -> None:
    shipped(shop)
    scan(shop, "6", timedelta(hours=1))
    with shop.writing() as session:
        case = open_case(session, f"return-after-shipping-{ORDER}", flow="return-after-shipping")
        row = ReturnRow(case_id=case, run_id="run", order_id=ORDER, requested_at=NOW, fault=False)
        row.courier, row.waybill = "yuantong", WAYBILL.lower()
        session.add(row)
    assert causes(look(shop)) == []
