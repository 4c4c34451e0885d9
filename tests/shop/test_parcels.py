"""Parcels in the shop: who follows which, asking couriers seldom enough, what a parcel is worth, sending again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from casework.courier import CourierSilent, OnBehalf, ParcelRequest, Scan
from casework.dues import ReturnDue
from casework.money import LineQuantity
from casework.parcels import Followed
from casework.shop import (
    courier,
    following,
    orders,
    outside,
    parcels,
    payments,
    records,
    remaining,
    reshipments,
    returning,
    tracking,
)
from casework.shop.claimants import had_by_another
from casework.shop.courier import EmbeddedCourier
from casework.shop.database import Database
from casework.shop.errors import BadRequest, CaseOver
from casework.shop.faults import set_fault
from casework.shop.tables import CourierClaimRow, OrderRow, ParcelRow, ParcelStatusRow, ReshipmentRow, ScanRow
from tests.orders import add_order, add_scan
from tests.shop.steps import NOW, ORDER, OTHER, an_order, claim, open_case, pieces

CASE, OTHER_ORDER = "problem-parcel-YT00000000001", "3300010000000000002"
WAYBILL, EMS = f"YT{ORDER[-11:]}", "EA00000000001CN"
HALF = timedelta(minutes=30)


class CountingCourier:
    """A courier that counts how often it is asked, and does nothing else."""

    def __init__(self, scans: Sequence[Scan] | None) -> None:
        """None: it never answers."""
        self.scans = scans
        self.asked = 0

    def ask(self, courier: str, waybill: str, *, at: datetime) -> Sequence[Scan]:  # noqa: ARG002 - the port's
        self.asked += 1
        if self.scans is None:
            raise CourierSilent(waybill)
        return self.scans

    def ask_each(self, couriers: Mapping[str, str], *, at: datetime) -> Mapping[str, Sequence[Scan]]:
        raise NotImplementedError

    def intercept(self, key: str, of: OnBehalf, lines: Sequence[LineQuantity], *, at: datetime) -> bool:
        raise NotImplementedError

    def forward(self, request: ParcelRequest) -> bool:
        raise NotImplementedError

    def redeliver(self, request: ParcelRequest) -> bool:
        raise NotImplementedError

    def claim(self, request: ParcelRequest, *, amount_fen: int) -> None:
        raise NotImplementedError


def ask(shop: Database, port: CountingCourier, at: datetime) -> Any:
    return tracking.ask(shop, port, courier="yuantong", waybill=WAYBILL, at=at, poll_min=HALF)


def opened(shop: Database, *, case_id: str = CASE, run_id: str = "run", waybill: str = WAYBILL) -> None:
    """A case that follows the waybill."""
    with shop.writing() as session:
        records.open_record(
            session,
            case_id=case_id,
            run_id=run_id,
            flow="problem-parcel",
            order_id=ORDER,
            opened_by="aftersale.1",
            opened_at=NOW,
            lines=pieces((1, 2), (2, 1)),
        )
        follow(session, waybill, how="opened", case_id=case_id, run_id=run_id)


def follow(session: Any, waybill: str, *, how: Any, case_id: str = CASE, run_id: str = "run") -> None:
    following.follow(
        session,
        case_id=case_id,
        run_id=run_id,
        order_id=ORDER,
        parcel=Followed(courier="yuantong", waybill=waybill, since=NOW),
        how=how,
    )


def reserve(session: Any, lines: Sequence[LineQuantity], *, round_: int = 1) -> str | None:
    """Reserve the lines for the case's first run; why not, or None."""
    return reshipments.reserve(
        session,
        key=f"{CASE}/run/reshipment/{round_}",
        case_id=CASE,
        run_id="run",
        order_id=ORDER,
        waybill=WAYBILL,
        lines=lines,
        at=NOW,
    )


def ended(shop: Database, outcome: str) -> None:
    with shop.writing() as session:
        records.close_record(session, case_id=CASE, run_id="run", view={}, outcome=outcome, at=NOW)


def test_no_waybill_is_asked_for_more_often_than_the_policy_says(shop: Database) -> None:
    port = CountingCourier([Scan(NOW, "0", "", "")])
    for minutes in (0, 1, 29, 30, 45, 59, 60):
        ask(shop, port, NOW + timedelta(minutes=minutes))
    assert port.asked == 3


def test_of_many_who_ask_at_once_only_one_does(shop: Database) -> None:
    port = CountingCourier([Scan(NOW, "0", "", "")])
    with ThreadPoolExecutor(4) as pool:
        for asking in [pool.submit(ask, shop, port, NOW) for _ in range(8)]:
            asking.result()
    assert port.asked == 1


def test_a_courier_that_does_not_answer_leaves_the_last_status_with_its_age(shop: Database) -> None:
    ask(shop, CountingCourier([Scan(NOW - HALF, "5", "", "")]), NOW)
    last = ask(shop, CountingCourier(None), NOW + timedelta(days=3))
    assert (last.code, last.at, last.answered_at) == ("5", NOW - HALF, NOW)


def test_a_waybill_in_other_capitals_is_the_couriers_too(shop: Database) -> None:
    written = WAYBILL.lower()
    with shop.writing() as session:
        add_scan(session, WAYBILL, "301", at=NOW)
        assert courier.parcel_state(session, written, NOW) == "signed"
    embedded = EmbeddedCourier(shop)
    (scan,) = embedded.ask("yuantong", written, at=NOW)
    assert scan.code == "301"
    assert embedded.ask_each({written: "yuantong", "NOBODY-KNOWS": "ems"}, at=NOW) == {written: [scan]}


def test_an_answer_without_a_scan_leaves_the_newest_one_known(shop: Database) -> None:
    ask(shop, CountingCourier([Scan(NOW - HALF, "5", "", "")]), NOW)
    last = ask(shop, CountingCourier([]), NOW + HALF)
    assert (last.code, last.answered_at) == ("5", NOW + HALF)


def test_a_forwarding_is_read_from_the_newest_scan_and_its_words_are_not_kept(shop: Database) -> None:
    ask(shop, CountingCourier([Scan(NOW, "7", "转投", f"快件已转EMS,新单号{EMS}")]), NOW)
    with shop.reading() as session:
        row = session.get_one(ParcelStatusRow, WAYBILL)
        assert (row.forwarded_courier, row.forwarded_waybill, row.code) == ("ems", EMS, "7")


def test_the_embedded_courier_answers_from_imported_scans_newest_first_and_not_from_the_future(shop: Database) -> None:
    courier = EmbeddedCourier(shop)
    with pytest.raises(CourierSilent):
        courier.ask("yuantong", WAYBILL, at=NOW)
    with shop.writing() as session:
        session.add(ParcelRow(waybill=WAYBILL, courier="yuantong", state="0"))
        session.flush()
        for hours, code in ((-2, "1"), (-1, "0"), (1, "301")):
            session.add(ScanRow(waybill=WAYBILL, at=NOW + timedelta(hours=hours), code=code))
    assert [one.code for one in courier.ask("yuantong", WAYBILL, at=NOW)] == ["0", "1"]
    with shop.writing() as session:
        set_fault(session, "answer", WAYBILL, "once")
    with pytest.raises(CourierSilent):
        courier.ask("yuantong", WAYBILL, at=NOW)
    assert [one.code for one in courier.ask("yuantong", WAYBILL, at=NOW + timedelta(hours=2))] == ["301", "0", "1"]


def test_a_case_is_found_by_every_waybill_that_it_follows_or_followed(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
    opened(shop)
    with shop.writing() as session:
        follow(session, EMS, how="forwarded")
    with shop.reading() as session:
        assert following.open_parcel_cases(session, [WAYBILL, EMS, "YT-NONE"]) == {WAYBILL: CASE, EMS: CASE}
        assert tracking.later_waybills(session, ORDER, WAYBILL) == [EMS]
    ended(shop, "delivered")
    with shop.reading() as session:
        assert following.open_parcel_case(session, EMS) is None


def test_a_waybill_of_another_order_or_of_another_open_case_is_not_followed(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        add_order(session, OTHER_ORDER, prices=[(1_000, 1)], shipped=True)
    opened(shop)
    with (
        pytest.raises(BadRequest, match=f"is a parcel of order {OTHER_ORDER}, not of {ORDER}"),
        shop.writing() as session,
    ):
        follow(session, f"YT{OTHER_ORDER[-11:]}", how="forwarded")
    opened(shop, case_id="problem-parcel-another", waybill=EMS)
    with pytest.raises(BadRequest, match="followed by the open case problem-parcel-another"), shop.writing() as session:
        follow(session, EMS, how="forwarded")


def test_a_parcel_is_worth_what_was_paid_for_what_is_in_it_and_not_refunded(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True, postage_fen=1_000)  # two at 100.00, one at 50.00
        assert remaining.value_of(session, ORDER, pieces((1, 2), (2, 1))) == 25_000
        assert remaining.value_of(session, ORDER, pieces((1, 1))) == 10_000
        assert remaining.value_of(session, ORDER, []) == 0


def test_a_start_means_the_shops_own_spelling_and_the_lines_of_the_parcel(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=[1])
        found = following.parcel_of_start(session, ORDER, WAYBILL.lower(), None)
        assert found is not None
        assert (found.waybill, found.lines, found.return_case) == (WAYBILL, pieces((1, 2)), None)
        assert following.parcel_of_start(session, ORDER, "YT-NOBODYS", None) is None


def test_receipt_is_put_off_only_while_the_trade_is_under_way(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        order = session.get_one(OrderRow, ORDER)
        order.shipped_at = NOW - timedelta(days=9, hours=1)
        until = parcels.put_off_receipt(session, ORDER, WAYBILL, NOW)
        assert until == NOW + timedelta(days=3, hours=23)
        assert parcels.put_off_receipt(session, ORDER, WAYBILL, NOW) is None, "there is time enough again"
        order.receipt_until, order.state = NOW, "finished"
        assert parcels.put_off_receipt(session, ORDER, WAYBILL, NOW) is None


def test_goods_are_reserved_once_and_what_is_sold_out_is_not(shop: Database) -> None:
    lines = pieces((1, 2))
    with shop.writing() as session:
        an_order(session, shipped=True)
    opened(shop)
    with shop.writing() as session:
        for _ in range(2):
            assert reserve(session, lines) is None
        assert reshipments.call_off_reshipment(session, case_id=CASE, at=NOW)
        assert not reshipments.call_off_reshipment(session, case_id=CASE, at=NOW)
        reshipments.say_out_of_stock(session, ORDER, lines, NOW + HALF)
        assert not reshipments.in_stock(session, ORDER, lines)
        assert reshipments.in_stock(session, ORDER, pieces((2, 1)))
        assert reserve(session, lines, round_=2) == "the goods are not in stock"


def test_what_is_refunded_is_not_reserved_and_needs_neither_stock_nor_leave(shop: Database) -> None:
    both, line_one, line_two = pieces((1, 2), (2, 1)), pieces((1, 2)), pieces((2, 1))
    with shop.writing() as session:
        an_order(session, shipped=True)
    opened(shop)
    with shop.writing() as session:
        claim(session, line_one, OTHER)
        assert OTHER in (reserve(session, line_one) or "")
        outside.refunded(session, ORDER, line_one, at=NOW)
        reshipments.say_out_of_stock(session, ORDER, line_one, NOW)
        assert reserve(session, both) is None
        (row,) = session.scalars(select(ReshipmentRow))
        assert row.lines == [{"line": 2, "quantity": 1, "back": False}]
        reshipments.call_off_reshipment(session, case_id=CASE, at=NOW)
        outside.refunded(session, ORDER, line_two, at=NOW)
        assert "nothing left" in (reserve(session, both, round_=2) or "")


def test_who_sends_goods_again_has_their_lines_until_its_case_ends(shop: Database) -> None:
    lines = pieces((1, 2))
    with shop.writing() as session:
        an_order(session, prices=((10_000, 2), (5_000, 1), (100, 1)), shipped=True)
        open_case(session, OTHER)
    opened(shop)
    with shop.writing() as session:
        reserve(session, lines)
        assert had_by_another(session, ORDER, pieces((2, 1)), case_id=OTHER) is None, "it is not sent again"
        assert had_by_another(session, ORDER, lines, case_id=CASE) is None
        assert had_by_another(session, ORDER, pieces((3, 1)), case_id=OTHER) is None, "it is in no parcel of the case"
        assert orders.standing(session, ORDER, lines, case_id=OTHER).claimed_by == CASE
        reshipments.call_off_reshipment(session, case_id=CASE, at=NOW)
        assert had_by_another(session, ORDER, lines, case_id=OTHER) is None
        reserve(session, lines, round_=2)
        session.scalars(select(ReshipmentRow).where(ReshipmentRow.state == "asked")).one().state = "left"
        assert had_by_another(session, ORDER, lines, case_id=OTHER) == CASE
    ended(shop, "delivered")
    with shop.reading() as session:
        assert had_by_another(session, ORDER, lines, case_id=OTHER) is None
    opened(shop, run_id="another run")
    with shop.reading() as session:
        assert had_by_another(session, ORDER, lines, case_id=OTHER) is None, (
            "what the first one has sent is the buyer's"
        )


def test_a_return_that_a_parcels_case_has_opened_is_not_stopped_by_what_is_sent_again(shop: Database) -> None:
    lines = pieces((1, 2))
    with shop.writing() as session:
        an_order(session, shipped=True)
    opened(shop)
    with shop.writing() as session:
        records.open_record(
            session,
            case_id="return-after-shipping-1",
            run_id="run",
            flow="return-after-shipping",
            order_id=ORDER,
            opened_by="system",
            opened_at=NOW,
            from_case=CASE,
        )
        reserve(session, lines)
        assert had_by_another(session, ORDER, lines, case_id="return-after-shipping-1") is None


def test_what_is_sent_again_is_not_paid_for_also_where_it_was_claimed_before(shop: Database) -> None:
    """As by cases of before there was this rule, or that were reset."""
    lines = pieces((1, 2))
    with shop.writing() as session:
        an_order(session, shipped=True)
    opened(shop)
    with shop.writing() as session:
        reserve(session, lines)
        claim(session, lines, OTHER)
        returning.record(session, OTHER, "run", ORDER, requested_at=NOW, fault=False)
        due = ReturnDue(lines=lines, fault=False)
        of_other: Any = {"case_id": OTHER, "run_id": "run", "order_id": ORDER, "what": due, "amount_fen": 20_000}
        with pytest.raises(payments.PaymentRefused, match=CASE):
            payments.pay(session, key="pay", at=NOW, **of_other)
        with pytest.raises(BadRequest, match=CASE):
            payments.record_paid_by_hand(session, key="pay", at=NOW, payment_reference="HAND-1", **of_other)
        reshipments.call_off_reshipment(session, case_id=CASE, at=NOW)
        assert payments.pay(session, key="pay", at=NOW, **of_other).status == "paid"


def test_a_claim_on_a_courier_is_one_a_case_and_parcel_and_an_ended_case_claims_nothing(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
    opened(shop)
    courier = EmbeddedCourier(shop)
    request = ParcelRequest("key", OnBehalf(CASE, "run", ORDER), "yuantong", WAYBILL, NOW)
    for fen in (5_000, 4_000):
        courier.claim(request, amount_fen=fen)
    ended(shop, "delivered")
    with pytest.raises(CaseOver):
        courier.claim(request, amount_fen=9_000)
    with pytest.raises(CaseOver):
        courier.forward(request)
    with shop.reading() as session:
        assert session.scalars(select(CourierClaimRow.amount_fen)).all() == [4_000]


def test_a_courier_forwards_what_it_has_not_handed_over_and_answers_the_same_again(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        session.add(ParcelRow(waybill=WAYBILL, courier="yuantong", state="3"))
    opened(shop)
    courier = EmbeddedCourier(shop)
    of = OnBehalf(CASE, "run", ORDER)
    assert courier.forward(ParcelRequest("first", of, "yuantong", WAYBILL, NOW))
    with shop.writing() as session:
        session.add(ScanRow(waybill=WAYBILL, at=NOW, code="304"))
    assert courier.forward(ParcelRequest("first", of, "yuantong", WAYBILL, NOW)), "the same request"
    assert not courier.redeliver(ParcelRequest("second", of, "yuantong", WAYBILL, NOW))


def test_capitals_do_not_make_a_parcel_of_another_order_ours(shop: Database) -> None:
    with shop.writing() as session:
        an_order(session, shipped=True)
        add_order(session, OTHER_ORDER, prices=[(1_000, 1)], shipped=True)
    opened(shop)
    small = f"yt{OTHER_ORDER[-11:]}"
    with pytest.raises(BadRequest, match=f"is a parcel of order {OTHER_ORDER}"), shop.writing() as session:
        follow(session, small, how="forwarded")
    with shop.reading() as session:
        assert tracking.orders_of_waybill(session, small) == {OTHER_ORDER}
