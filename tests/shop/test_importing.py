"""Import of exports: every quirk of the real files, wrong rows, wrong files, and what follows for orders and cases."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from casework.dues import RefundDue
from casework.shop import bulk, coming_back, courier, flags, holds, notices, orders, outside, payments, settling
from casework.shop.database import Database
from casework.shop.errors import BadFile, BadRequest, Held
from casework.shop.importing import FileReport, ImportReport, import_files
from casework.shop.tables import ChatRow, GiftRow, LineRow, OrderRow, ParcelRow, ShipmentRow
from tests.shop import exports
from tests.shop.exports import (
    CLOSED,
    FINISHED,
    LINE_HEADINGS,
    NEWER,
    ORDER_HEADINGS,
    PAID,
    PARTLY,
    SHIPPED,
    Line,
    Order,
    write,
)
from tests.shop.steps import CASE, claim, hold, open_case, pay, pieces, shown_flag

A, B = "3300014363431435699", "3300014168466863884"
NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
REAL_DATA = Path(__file__).parents[3] / "shared" / "data"


def import_orders(shop: Database, folder: Path, *found: Order, as_of_now: datetime | None = None) -> ImportReport:
    """Import both lists of these orders."""
    files = [
        write(folder, "orders.csv", exports.order_list(found)),
        write(folder, "lines.csv", exports.line_list(found)),
    ]
    return import_files(shop, files, as_of_now=as_of_now)


def counts(report: FileReport) -> tuple[int, int, int, int]:
    """New, changed, unchanged, rejected."""
    return report.new, report.changed, report.unchanged, len(report.rejected)


def reasons(report: ImportReport) -> str:
    """Every reason, in one text."""
    return " / ".join(f"{row.line}: {row.reason}" for file in report.files for row in file.rejected)


def read(shop: Database, order_id: str = A) -> orders.Order:
    """One order."""
    with shop.reading() as session:
        return orders.read_order(session, order_id)


def is_empty(shop: Database) -> bool:
    """Whether nothing was imported."""
    with shop.reading() as session:
        return session.scalar(select(OrderRow.id)) is None and session.scalar(select(GiftRow.sku)) is None


def wide(text: str) -> str:
    """The same in signs of full width, as Chinese keyboards write them."""
    return "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in text)


# --- how files come ---


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8", "utf-8-sig"])
def test_an_export_is_read_in_every_encoding(shop: Database, tmp_path: Path, encoding: str) -> None:
    found = [Order(A, memo="工号01", postage="12.00", paid="112.00")]
    files = [
        write(tmp_path, "orders.csv", exports.order_list(found), encoding=encoding),
        write(tmp_path, "lines.csv", exports.line_list(found), encoding=encoding),
    ]
    report = import_files(shop, files)
    assert [(file.kind, *counts(file)) for file in report.files] == [("orders", 1, 0, 0, 0), ("lines", 1, 0, 0, 0)]
    order = read(shop)
    assert (order.state, order.paid_fen, order.postage_fen, order.memo) == ("paid", 11_200, 1_200, "工号01")
    assert order.created_at == datetime(2026, 11, 17, 5, 39, 16, tzinfo=UTC)
    assert (order.lines[0].sku, order.lines[0].price_fen) == ("YJ-BK03-10", 10_000)
    with shop.reading() as session:
        personal = orders.personal_of(session, A)
        assert (personal.names, personal.accounts) == (("收货人5699", "tb5699"), ("134****3748", "", "13800000000"))
        row = session.get_one(OrderRow, A)
        assert (row.mobile, row.buyer_message) == ("13800000000", '麻烦开"发票",\r\n抬头:测试')


def test_columns_come_in_any_order_with_unknown_ones(shop: Database, tmp_path: Path) -> None:
    headings = ["新的一列", *ORDER_HEADINGS[::2], "是否O2O", *reversed(ORDER_HEADINGS[1::2])]
    lines = list(reversed(exports.LINE_HEADINGS))
    files = [
        write(tmp_path, "a.csv", exports.order_list([Order(A)], headings=headings)),
        write(tmp_path, "b.csv", exports.line_list([Order(A)], headings=lines)),
    ]
    assert reasons(import_files(shop, files)) == ""
    assert read(shop).lines[0].paid_fen == 10_000


def test_older_exports_lack_four_columns(shop: Database, tmp_path: Path) -> None:
    headings = [heading for heading in ORDER_HEADINGS if heading not in NEWER]
    found = [Order(A), Order(B, state=SHIPPED, waybill="YT1234567890")]
    files = [
        write(tmp_path, "orders.csv", exports.order_list(found, headings=headings)),
        write(tmp_path, "lines.csv", exports.line_list(found)),
    ]
    assert reasons(import_files(shop, files)) == ""
    assert read(shop, B).parcels[0].waybill == "YT1234567890"


def test_files_are_known_by_their_content(shop: Database, tmp_path: Path) -> None:
    files = [
        write(tmp_path, "1.txt", exports.chat(A), encoding="utf-8"),
        write(tmp_path, "2.csv", exports.line_list([Order(A)])),
        write(tmp_path, "3.json", exports.courier_answer("YT1234567890", ("2026-11-18 09:00:00", "0"))),
        write(tmp_path, "4", exports.GIFTS, encoding="utf-8"),
        write(tmp_path, "5.xls", exports.order_list([Order(A)])),
    ]
    report = import_files(shop, files)
    assert [file.kind for file in report.files] == ["chats", "lines", "courier", "gifts", "orders"]
    assert [counts(file) for file in report.files] == [(1, 0, 0, 0)] * 3 + [(2, 0, 0, 0), (1, 0, 0, 0)]


def test_the_lines_of_an_order_are_counted_in_file_order(shop: Database, tmp_path: Path) -> None:
    found = [Order(A, lines=[Line("1.00"), Line("2.00")]), Order(B, lines=[Line("3.00")])]
    text = exports.line_list(found).splitlines(keepends=True)
    mixed = "".join([text[0], text[1], text[3], text[2]])
    import_files(
        shop,
        [write(tmp_path, "lines.csv", mixed), write(tmp_path, "orders.csv", exports.order_list(found))],
    )
    assert [line.price_fen for line in read(shop).lines] == [100, 200]


# --- the same again, and later ---


def test_the_same_files_again_change_nothing(shop: Database, tmp_path: Path) -> None:
    found = [
        Order(A, memo="工号01"),
        Order(B, state=CLOSED, paid="0.00", refund="88.00"),
        Order("330001", state=SHIPPED, waybill="YT1234567890", shipped_at="2026-11-18 09:00:00"),
    ]
    import_orders(shop, tmp_path, *found)
    more = [
        write(tmp_path, "gifts.csv", exports.GIFTS),
        write(tmp_path, "scans.jsonl", exports.courier_answer("YT1234567890", ("2026-11-18 09:00:00", "0"))),
        write(tmp_path, "chats.jsonl", exports.chat(A)),
    ]
    import_files(shop, more)
    with shop.writing() as session:
        open_case(session, order_id=A)
    again = import_orders(shop, tmp_path, *found).files + import_files(shop, more).files
    assert {(file.new, file.changed, len(file.rejected)) for file in again} == {(0, 0, 0)}
    with shop.reading() as session:
        assert notices.pending(session) == []
        assert len(payments.ledger(session)) == 1


def test_states_go_forward_only(shop: Database, tmp_path: Path) -> None:
    first = Order(A)
    second = first.but(state=SHIPPED, waybill="YT1234567890", shipped_at="2026-11-18 09:00:00")
    third = second.but(state=FINISHED, confirmed_at="2026-11-19 09:00:00")
    for order, state in (
        (first, "paid"),
        (second, "shipped"),
        (third, "finished"),
        (second, "finished"),
        (first, "finished"),
    ):
        report = import_orders(shop, tmp_path, order)
        assert reasons(report) == ""
        assert (read(shop).state, read(shop).lines[0].state) == (state, state)
    assert [counts(file) for file in report.files] == [(0, 0, 1, 0), (0, 0, 1, 0)]
    assert read(shop).confirmed_at == datetime(2026, 11, 19, 1, 0, tzinfo=UTC)
    assert len(read(shop).parcels) == 1


def test_a_partly_shipped_order_has_its_lines_where_they_are(shop: Database, tmp_path: Path) -> None:
    order = Order(
        A,
        state=PARTLY,
        lines=[Line(state=SHIPPED), Line(state=PAID)],
        paid="200.00",
        waybill="YT1234567890",
    )
    import_orders(shop, tmp_path, order)
    assert [line.place for line in read(shop).lines] == ["shipped", "unshipped"]
    assert read(shop).parcels[0].lines == pieces((1, 1))
    whole = order.but(state=SHIPPED, lines=[Line(), Line()], waybill="YT1234567890,YT2234567890")
    import_orders(shop, tmp_path, whole)
    assert [parcel.lines for parcel in read(shop).parcels] == [pieces((1, 1)), pieces((2, 1))]


def test_an_order_list_alone_takes_the_lines_along(shop: Database, tmp_path: Path) -> None:
    import_orders(shop, tmp_path, Order(A))
    later = Order(A, state=SHIPPED, waybill="YT1234567890")
    import_files(shop, [write(tmp_path, "orders.csv", exports.order_list([later]))])
    assert read(shop).lines[0].place == "shipped"


def test_goods_that_came_back_are_not_shipped_again_by_the_same_export(shop: Database, tmp_path: Path) -> None:
    shipped = Order(A, state=SHIPPED, waybill="YT1234567890")
    import_orders(shop, tmp_path, shipped)
    with shop.writing() as session:
        open_case(session, order_id=A)
        for step in (coming_back.mark_goods_back, settling.restore_order):
            step(session, key=step.__name__, case_id=CASE, order_id=A, lines=pieces((1, 1)), at=NOW)
    report = import_orders(shop, tmp_path, shipped)
    assert [counts(file) for file in report.files] == [(0, 0, 1, 0), (0, 0, 1, 0)]
    assert read(shop).lines[0].place == "unshipped"
    import_orders(shop, tmp_path, shipped.but(waybill="YT2234567890"))
    assert read(shop).lines[0].place == "shipped"


def test_a_waybill_that_was_reported_in_other_capitals_is_no_second_parcel(shop: Database, tmp_path: Path) -> None:
    import_orders(shop, tmp_path, Order(A, state=PAID))
    with shop.writing() as session:
        outside.ship(session, A, waybill="yt1234567890", at=NOW)
    import_orders(shop, tmp_path, Order(A, state=SHIPPED, waybill="YT1234567890"))
    assert [one.waybill for one in read(shop).parcels] == ["yt1234567890"]


@pytest.mark.parametrize("said_by", ["the warehouse", "an export without a waybill"])
def test_the_waybill_of_lines_that_left_before_comes_with_a_later_export_and_is_stopped(
    shop: Database, tmp_path: Path, said_by: str
) -> None:
    order, lines = Order("3300010000000000001"), pieces((1, 1))
    import_orders(shop, tmp_path, order)
    with shop.writing() as session:
        claim(session, lines)
        if said_by == "the warehouse":
            coming_back.mark_left(session, order_id=order.id, lines=lines)
    if said_by != "the warehouse":
        import_orders(shop, tmp_path, order.but(state=SHIPPED))
    with shop.writing() as session:
        for notice in notices.pending(session):
            notices.told(session, notice.id)
        assert courier.intercept(session, key="stop", case_id=CASE, order_id=order.id, lines=lines, at=NOW)
    import_orders(shop, tmp_path, order.but(state=SHIPPED, waybill="YT1234567890"))
    (parcel,) = read(shop, order.id).parcels
    assert (parcel.waybill, parcel.lines) == ("YT1234567890", lines)
    assert parcel.intercepted_at is not None
    if said_by != "the warehouse":
        with shop.reading() as session:
            assert notices.pending(session) == [], "that it left is no news any more"


def test_an_import_wins_over_a_hold_and_the_case_is_told(shop: Database, tmp_path: Path) -> None:
    order = Order("3300010000000000001")
    import_orders(shop, tmp_path, order)
    with shop.writing() as session:
        open_case(session)
        assert hold(session, pieces((1, 1))).held
        with pytest.raises(Held):
            outside.ship(session, order.id, at=NOW)
    import_orders(shop, tmp_path, order.but(state=SHIPPED, waybill="YT1234567890"))
    assert read(shop, order.id).lines[0].place == "shipped"
    with shop.reading() as session:
        assert [(one.case_id, one.trigger) for one in notices.pending(session)] == [(CASE, "order_gone")]


def test_a_changed_address_is_taken_over_and_told_and_stays(shop: Database, tmp_path: Path) -> None:
    import_orders(shop, tmp_path, Order(A))
    with shop.writing() as session:
        open_case(session, order_id=A)
    import_orders(shop, tmp_path, Order(A, changed_address="山东省 菏泽市 牡丹区 测试路999号"))
    report = import_orders(shop, tmp_path, Order(A))
    assert counts(report.files[0]) == (0, 0, 1, 0), "an older export does not take it back"
    with shop.reading() as session:
        assert "测试路999号" in orders.personal_of(session, A).addresses[1]
        assert [one.trigger for one in notices.pending(session)] == ["order_changed"]


def test_a_line_that_an_order_gets_during_its_review_is_held_with_the_rest(shop: Database, tmp_path: Path) -> None:
    order = Order(A, lines=[Line(), Line()], paid="200.00")
    import_orders(shop, tmp_path, order)
    bulk_case = f"bulk-order-{A}"
    with shop.writing() as session:
        open_case(session, bulk_case, order_id=A, flow="bulk-order")
        assert bulk.hold_all(session, bulk_case, A, at=NOW)
    import_orders(shop, tmp_path, order.but(lines=[Line()] * 3))
    with shop.writing() as session:
        assert [holds.cases_holding(session, A, line) for line in (1, 2, 3)] == [[bulk_case]] * 3
        assert [one.trigger for one in notices.pending(session)] == ["order_changed"]


def test_the_own_flag_is_yellow_if_the_memo_has_a_staff_number(shop: Database, tmp_path: Path) -> None:
    import_orders(shop, tmp_path, Order(A, memo="工号07"), Order(B, memo="送礼"))
    with shop.reading() as session:
        assert [shown_flag(session, order) for order in (A, B)] == ["yellow", "none"]


def test_what_cases_appended_survives_a_new_memo_of_the_platform(shop: Database, tmp_path: Path) -> None:
    import_orders(shop, tmp_path, Order(A, memo="工号01"))
    with shop.writing() as session:
        flags.append_memo(session, A, "[已退款]", at=NOW, key="k")
    import_orders(shop, tmp_path, Order(A, memo="工号01"))
    assert read(shop).memo == "工号01 [已退款]"
    import_orders(shop, tmp_path, Order(A, memo="工号01 加急"))
    assert read(shop).memo == "工号01 加急 [已退款]"


# --- money that the platform paid ---


def test_a_closed_order_that_shows_nothing_paid_was_paid_what_was_refunded(shop: Database, tmp_path: Path) -> None:
    import_orders(shop, tmp_path, Order(A, state=CLOSED, paid="0.00", refund="112.00", postage="12.00"))
    order = read(shop)
    assert (order.paid, order.paid_fen, order.refunded_fen) == (True, 11_200, 11_200)
    with shop.reading() as session:
        assert [(one.line, one.amount_fen, one.source) for one in payments.ledger(session)] == [
            (1, 10_000, "platform"),
            (0, 1_200, "platform"),
        ]
        assert payments.audit(session) == []


def test_a_closed_order_that_was_never_paid_is_not_paid(shop: Database, tmp_path: Path) -> None:
    import_orders(shop, tmp_path, Order(A, state=CLOSED, paid="0.00", paid_at=""))
    assert not read(shop).paid


def test_the_platforms_refund_is_what_goes_beyond_our_own_ledger(shop: Database, tmp_path: Path) -> None:
    order = Order("3300010000000000001", lines=[Line("100.00"), Line("50.00")], paid="150.00")
    import_orders(shop, tmp_path, order)
    with shop.writing() as session:
        assert pay(session, pieces((1, 1)), 10_000).status == "paid"
    import_orders(shop, tmp_path, order.but(refund="100.00"))
    with shop.reading() as session:
        assert len(payments.ledger(session)) == 1, "our own payment is not counted twice"
    import_orders(shop, tmp_path, order.but(refund="130.00"))
    with shop.reading() as session:
        assert [(one.line, one.amount_fen) for one in payments.ledger(session)] == [(1, 10_000), (None, 3_000)]
        (due,) = payments.amount_due(session, order.id, RefundDue(lines=pieces((2, 1))), case_id=CASE, run_id="run")
        assert due.amount_fen == 2_000
        assert payments.audit(session) == []


def test_the_platforms_refund_goes_to_closed_lines_first(shop: Database, tmp_path: Path) -> None:
    order = Order(A, lines=[Line("100.00"), Line("50.00")], paid="150.00")
    import_orders(shop, tmp_path, order)
    later = order.but(refund="60.00", lines=[Line("100.00"), Line("50.00", state=CLOSED)])
    import_orders(shop, tmp_path, later)
    with shop.reading() as session:
        entries = [(one.line, one.quantity, one.amount_fen) for one in payments.ledger(session)]
        assert entries == [(2, 1, 5_000), (None, 0, 1_000)]
        assert orders.resolve_lines(session, A, None) == pieces((1, 1))


def test_a_refund_known_before_its_lines_is_attributed_when_they_come(shop: Database, tmp_path: Path) -> None:
    order = Order(A, state=CLOSED, paid="0.00", refund="100.00")
    import_files(shop, [write(tmp_path, "orders.csv", exports.order_list([order]))])
    import_files(shop, [write(tmp_path, "lines.csv", exports.line_list([order]))])
    with shop.reading() as session:
        assert [(one.line, one.amount_fen) for one in payments.ledger(session)] == [(1, 10_000)]


def test_an_older_export_that_closes_a_paid_trade_means_that_all_went_back(shop: Database, tmp_path: Path) -> None:
    import_orders(shop, tmp_path, Order(A))
    headings = [heading for heading in ORDER_HEADINGS if heading not in NEWER]
    text = exports.order_list([Order(A, state=CLOSED, paid="0.00")], headings=headings)
    import_files(shop, [write(tmp_path, "orders.csv", text)])
    assert (read(shop).state, read(shop).paid_fen, read(shop).refunded_fen) == ("closed", 10_000, 10_000)


# --- wrong rows ---


def test_wrong_rows_are_named_and_the_rest_goes_in(shop: Database, tmp_path: Path) -> None:
    wrong = [
        (Order(A, more={"订单编号": "3.30001E+18"}), "rounded"),
        (Order(A, more={"订单编号": '="33x"'}), "not an order id"),
        (Order(A, state="已丢失"), "not a state"),
        (Order(A, paid="1,437.00"), "买家实际支付金额"),
        (Order(A, paid="1.234"), "买家实际支付金额"),
        (Order(A, paid="-1.00"), "negative"),
        (Order(A, postage=""), "买家应付邮费"),
        (Order(A, created="yesterday"), "订单创建时间"),
        (Order(A, created="0001-01-01 00:00:00"), "订单创建时间: 0001-01-01 00:00:00 is not a time of this century"),
        (Order(A, created="9999-12-31 23:59:59"), "not a time of this century"),
        (Order(A, refund="100.01"), "more than was paid"),
        (Order(B), "twice"),
    ]
    found = [Order(B), *(order for order, _ in wrong)]
    report = import_files(shop, [write(tmp_path, "orders.csv", exports.order_list(found))])
    # the buyer's message takes two lines of the file in every row
    assert [row.line for row in report.files[0].rejected] == [4 + 2 * place for place in range(len(wrong))]
    for row, (_, reason) in zip(report.files[0].rejected, wrong, strict=True):
        assert reason in row.reason
    assert report.rejected == len(wrong)
    assert counts(report.files[0])[:3] == (1, 0, 0)
    assert read(shop, B).paid_fen == 10_000


def test_a_wrong_line_keeps_its_place_and_its_order_waits_for_the_rest(shop: Database, tmp_path: Path) -> None:
    order = Order(A, lines=[Line("100.00"), Line("50.00", quantity="0"), Line("25.00")], paid="225.00")
    report = import_orders(shop, tmp_path, order, Order(B))
    assert reasons(report).startswith("3: 购买数量")
    assert [line.number for line in read(shop).lines] == [1, 3]
    with shop.reading() as session:
        with pytest.raises(BadRequest, match="not all known"):
            orders.resolve_lines(session, A, None)
        assert orders.resolve_lines(session, B, None) == pieces((1, 1))
    mended = order.but(lines=[Line("100.00"), Line("50.00", quantity="2"), Line("25.00")])
    assert counts(import_orders(shop, tmp_path, mended).files[1]) == (1, 0, 2, 0)
    with shop.reading() as session:
        assert orders.resolve_lines(session, A, None) == pieces((1, 1), (2, 2), (3, 1))


def test_a_sellers_number_that_no_table_holds_is_refused(shop: Database, tmp_path: Path) -> None:
    import_files(shop, [write(tmp_path, "orders.csv", exports.order_list([Order(A)]))])
    for number, refused in (("S" * 201, True), ("S" * 200, False)):
        text = exports.line_list([Order(A)]).replace("YJ-BK03-10", number)
        report = import_files(shop, [write(tmp_path, "lines.csv", text)])
        assert ("商家编码" in reasons(report), report.rejected) == (refused, int(refused))


@pytest.mark.parametrize(
    "quantity", ["", "0", "-1", "1.5", "two", "1e2", "9999999", pytest.param("9" * 5_000, id="thousands of digits")]
)
def test_a_quantity_is_a_number_of_pieces(shop: Database, tmp_path: Path, quantity: str) -> None:
    report = import_orders(shop, tmp_path, Order(A, lines=[Line(quantity=quantity)]))
    assert "购买数量" in reasons(report)


def test_lines_of_unknown_orders_are_refused_until_their_orders_are_known(shop: Database, tmp_path: Path) -> None:
    lines = write(tmp_path, "lines.csv", exports.line_list([Order(A)]))
    assert f"2: order {A} is not in the shop" in reasons(import_files(shop, [lines]))
    import_files(shop, [write(tmp_path, "orders.csv", exports.order_list([Order(A)]))])
    with shop.reading() as session, pytest.raises(BadRequest, match="import its line list"):
        orders.resolve_lines(session, A, None)
    assert counts(import_files(shop, [lines]).files[0]) == (1, 0, 0, 0)
    with shop.reading() as session:
        assert orders.resolve_lines(session, A, None) == pieces((1, 1))


def test_a_row_with_too_few_or_too_many_cells_is_refused(shop: Database, tmp_path: Path) -> None:
    text = exports.line_list([Order(A)])
    report = import_files(
        shop,
        [
            write(tmp_path, "orders.csv", exports.order_list([Order(A)])),
            write(tmp_path, "lines.csv", text + "1,2,3\r\n" + "x" + ",x" * 10 + "\r\n"),
        ],
    )
    assert reasons(report) == "3: has 3 cells, the headings are 10 / 4: has 11 cells, the headings are 10"


def test_a_refunded_line_does_not_change_its_price(shop: Database, tmp_path: Path) -> None:
    order = Order("3300010000000000001")
    import_orders(shop, tmp_path, order)
    with shop.writing() as session:
        pay(session, pieces((1, 1)), 10_000)
    report = import_orders(shop, tmp_path, order.but(lines=[Line("90.00")]))
    assert "another price or quantity" in reasons(report)
    assert read(shop, order.id).lines[0].price_fen == 10_000


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"nu": "x", "data": []}', "nu"),
        ('{"nu": "YT1234567891"}', "no scans"),
        ('{"nu": "YT1234567891", "data": [1]}', "not an object"),
        ('{"nu": "YT1234567891", "data": [{"time": "soon"}]}', "time"),
        ('{"nu": "YT1234567891", "com": "%s", "data": []}' % ("y" * 65), "com: 'y"),
        ('{"nu": "YT1234567891", "data": [{"time": "2026-11-18 09:00:00", "context": "a\\u0000b"}]}', "is no text"),
        ('{"nu": "YT1234567891", "data": [{"time": "2026-11-18 09:00:00", "context": "\\ud83d"}]}', "is no text"),
    ],
)
def test_a_wrong_courier_answer_is_refused_and_the_rest_goes_in(
    shop: Database, tmp_path: Path, line: str, reason: str
) -> None:
    good = exports.courier_answer("YT1234567890", ("2026-11-18 09:00:00", "0"))
    report = import_files(shop, [write(tmp_path, "scans.jsonl", good + line + "\n" + good)])
    assert reason in reasons(report)
    assert reasons(report).startswith("2: ")
    assert counts(report.files[0])[:3] == (1, 0, 1)


# --- wrong files ---

HALF_A_CHARACTER = exports.order_list([Order(A, memo="工号")]).encode("gb18030").index("工号".encode("gb18030")) + 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \r\n", "is empty"),
        (b"PK\x03\x04rest", "spreadsheet"),
        (b"\xd0\xcf\x11\xe0rest", "spreadsheet"),
        (b"%PDF-1.7", "PDF"),
        (b"\x00\x01\x02\x03", "not a text file"),
        (b"\xff\xfe\xff\xff\x80", "neither UTF-8 nor GB18030"),
        (b"name,age\r\nx,1\r\n", "not one of the shop's exports"),
        (b"order_id,flow\r\n1,2\r\n", "not one of the shop's exports"),
        (b"hello\n", "not one of the shop's exports"),
        (b'{"a": 1}\n', "not one of the shop's exports"),
        (b'[{"nu": "YT1234567890"}]', "not one of the shop's exports"),
        (exports.order_list([]).encode("gb18030"), "no rows"),
        (exports.order_list([Order(A)]).encode("gb18030")[:-40], "only a part"),
        (
            exports.order_list([Order(A, memo="工号")]).encode() + "3300,工号说明\r\n".encode("gb18030"),
            "mixes encodings: line 1 is UTF-8, line 4 is GB18030",
        ),
        (exports.order_list([Order(A, memo="工号")]).encode("gb18030")[:HALF_A_CHARACTER], "only a part"),
        (exports.line_list([Order(A)]).encode("utf-8")[:-70], "only a part"),
        (exports.order_list([Order(A)]).encode("utf-8-sig")[:-200], "only a part"),
        (exports.chat(A).encode()[:-9], "only a part"),
        (exports.courier_answer("YT1234567890", ("2026-11-18 09:00:00", "0")).encode()[:-9], "only a part"),
    ],
)
def test_a_wrong_file_is_named_in_one_sentence_and_nothing_is_changed(
    shop: Database, tmp_path: Path, content: bytes, sentence: str
) -> None:
    good = write(tmp_path, "good.csv", exports.order_list([Order(B)]))
    wrong = tmp_path / "wrong.csv"
    wrong.write_bytes(content)
    with pytest.raises(BadFile, match=sentence) as refused:
        import_files(shop, [good, wrong])
    assert str(refused.value).startswith("wrong.csv: ")
    assert "\n" not in str(refused.value)
    assert is_empty(shop)


def test_an_export_cut_anywhere_in_a_row_is_refused_or_reads_as_whole_rows(shop: Database, tmp_path: Path) -> None:
    content = exports.order_list([Order(A, shipped_at="2026-11-18 09:00:00"), Order(B)]).encode("gb18030")
    path = tmp_path / "orders.csv"
    for length in range(0, len(content) - 2, 7):
        path.write_bytes(content[:length])
        try:
            report = import_files(shop, [path])
        except BadFile:
            continue
        assert reasons(report) == ""


@pytest.mark.parametrize(
    "heading", ["订单编号", "订单状态", "买家实际支付金额", "买家应付邮费", "订单创建时间", "收货地址 "]
)
def test_a_needed_column_that_is_missing_is_named(shop: Database, tmp_path: Path, heading: str) -> None:
    headings = [one for one in ORDER_HEADINGS if one != heading]
    with pytest.raises(BadFile, match=f"lacks the column {heading.strip()}"):
        import_files(shop, [write(tmp_path, "x.csv", exports.order_list([Order(A)], headings=headings))])


@pytest.mark.parametrize("heading", ["订单编号", "价格", "购买数量", "订单状态"])
def test_a_needed_column_of_the_line_list_is_named(shop: Database, tmp_path: Path, heading: str) -> None:
    headings = [one for one in exports.LINE_HEADINGS if one != heading]
    with pytest.raises(BadFile, match=f"lacks the column {heading}"):
        import_files(shop, [write(tmp_path, "x.csv", exports.line_list([Order(A)], headings=headings))])


def test_a_file_that_is_not_there_is_named(shop: Database, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"nowhere\.csv: cannot be read: no such file"):
        import_files(shop, [tmp_path / "nowhere.csv"])


# --- as of now ---


def test_as_of_now_moves_every_time_by_the_same_amount(shop: Database, tmp_path: Path) -> None:
    found = [Order(A), Order(B, created="2026-11-18 13:39:16", paid_at="2026-11-18 14:39:16")]
    files = [
        write(tmp_path, "orders.csv", exports.order_list(found)),
        write(tmp_path, "scans.jsonl", exports.courier_answer("YT1234567890", ("2026-11-18 14:00:00", "0"))),
        write(tmp_path, "chats.jsonl", exports.chat(A)),
    ]
    report = import_files(shop, files, as_of_now=NOW)
    assert read(shop, B).created_at == NOW - timedelta(hours=1)
    assert read(shop, B).paid_at == NOW
    assert read(shop, B).created_at - read(shop, A).created_at == timedelta(days=1)
    shift = timedelta(seconds=report.moved_seconds)
    with shop.reading() as session:
        (scan,) = courier.shown_scans(session, "YT1234567890", NOW)
        assert scan.at == datetime(2026, 11, 18, 6, 0, tzinfo=UTC) + shift
        assert session.get_one(ChatRow, f"chat-{A}").buyer_registered_on == date(2016, 3, 8) + timedelta(shift.days)


def test_the_shop_keeps_by_how_much_its_times_were_moved(shop: Database, tmp_path: Path) -> None:
    import_orders(shop, tmp_path, Order(A), as_of_now=NOW)
    again = import_orders(shop, tmp_path, Order(A), as_of_now=NOW + timedelta(days=2))
    plain = import_orders(shop, tmp_path, Order(A))
    for report in (again, plain):
        assert [counts(file) for file in report.files] == [(0, 0, 1, 0), (0, 0, 1, 0)]
    assert read(shop).created_at == NOW - timedelta(hours=1)


def test_a_shop_at_its_own_times_is_not_moved_afterwards(shop: Database, tmp_path: Path) -> None:
    import_orders(shop, tmp_path, Order(A))
    with pytest.raises(BadFile, match="its own times"):
        import_orders(shop, tmp_path, Order(A), as_of_now=NOW)


def test_as_of_now_needs_an_order_list(shop: Database, tmp_path: Path) -> None:
    scans = exports.courier_answer("YT1234567890", ("2026-11-18 14:00:00", "0"))
    with pytest.raises(BadFile, match="without an order list"):
        import_files(shop, [write(tmp_path, "scans.jsonl", scans)], as_of_now=NOW)


# --- scans, gifts ---


def test_a_later_courier_answer_adds_its_new_scans(shop: Database, tmp_path: Path) -> None:
    old = ("2026-11-18 09:00:00", "0")
    first = exports.courier_answer("YT1234567890", old)
    second = exports.courier_answer("YT1234567890", ("2026-11-19 09:00:00", "301"), old, state="3")
    for text, expected in ((first, (1, 0, 0, 0)), (second, (0, 1, 0, 0)), (second, (0, 0, 1, 0))):
        assert counts(import_files(shop, [write(tmp_path, "scans.jsonl", text)]).files[0]) == expected
    with shop.reading() as session:
        assert [scan.code for scan in courier.shown_scans(session, "YT1234567890", NOW)] == ["301", "0"]


def test_the_stock_of_gifts_moves_only_with_a_new_word_of_the_catalogue(shop: Database, tmp_path: Path) -> None:
    import_files(shop, [write(tmp_path, "gifts.csv", exports.GIFTS)])
    with shop.writing() as session:
        session.get_one(GiftRow, "GP-1").stock = 150
    assert counts(import_files(shop, [write(tmp_path, "gifts.csv", exports.GIFTS)]).files[0]) == (0, 0, 2, 0)
    changed = exports.GIFTS.replace("3900,200", "3900,90").replace("1500,500", "1500,many")
    report = import_files(shop, [write(tmp_path, "gifts.csv", changed)])
    assert counts(report.files[0]) == (0, 1, 0, 1)
    with shop.reading() as session:
        assert session.get_one(GiftRow, "GP-1").stock == 90


# --- the real thing ---


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the shop's exports are not beside this checkout (../shared/data)")
def test_the_shops_own_exports_go_in_whole(shop: Database) -> None:
    files = sorted(path for path in REAL_DATA.iterdir() if path.is_file())
    later = sorted((REAL_DATA / "later").iterdir())
    first = import_files(shop, files, as_of_now=NOW)
    assert reasons(first) == ""
    with shop.reading() as session:
        found = [orders.read_order(session, one) for one in session.scalars(select(OrderRow.id)).all()]
        lines = session.scalars(select(LineRow)).all()
    assert (len(found), len(lines)) == (108, 164)
    for order in found:
        assert sum(line.paid_fen for line in order.lines) + min(order.postage_fen, order.paid_fen) == order.paid_fen
        assert (order.state in {"shipped", "finished"}) == (
            all(line.place == "shipped" for line in order.lines) and bool(order.parcels)
        )
    assert max(order.created_at for order in found) == NOW - timedelta(hours=1)
    report = import_files(shop, later, as_of_now=NOW + timedelta(days=1))
    assert {file.kind: counts(file) for file in report.files} == {"lines": (0, 5, 159, 0), "orders": (0, 4, 104, 0)}
    for again in (files, later):
        report = import_files(shop, again)
        assert {(file.new, file.changed, len(file.rejected)) for file in report.files} == {(0, 0, 0)}
    with shop.reading() as session:
        assert payments.audit(session) == []


# --- what an export does not say, and what nobody can read in it ---


def test_an_export_without_optional_columns_leaves_what_the_shop_knows(shop: Database, tmp_path: Path) -> None:
    order = Order(A, memo="工号01 已加急")
    import_orders(shop, tmp_path, order)
    orders_file = write(
        tmp_path, "less.csv", exports.order_list([order], headings=[one for one in ORDER_HEADINGS if one != "订单备注"])
    )
    lines_file = write(
        tmp_path, "few.csv", exports.line_list([order], headings=["订单编号", "价格", "购买数量", "订单状态"])
    )
    outer = write(
        tmp_path, "outer.csv", exports.line_list([order], headings=[one for one in LINE_HEADINGS if one != "商家编码"])
    )
    report = import_files(shop, [orders_file, lines_file])
    assert [counts(file) for file in report.files] == [(0, 0, 1, 0)] * 2
    assert counts(import_files(shop, [outer]).files[0]) == (0, 0, 1, 0)
    line = read(shop).lines[0]
    assert (read(shop).memo, line.sku) == ("工号01 已加急", "YJ-BK03-10")
    with shop.reading() as session:
        assert session.get_one(OrderRow, A).own_flag == "yellow"
        assert session.scalars(select(LineRow.title)).one() == "加厚法兰绒毛毯"


def import_lines(shop: Database, folder: Path, text: str, *found: Order) -> ImportReport:
    """Import the order list of these orders, and this line list."""
    files = [write(folder, "orders.csv", exports.order_list(found)), write(folder, "lines.csv", text)]
    return import_files(shop, files)


THREE = Order(A, lines=[Line("10.00"), Line("20.00"), Line("70.00")])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("加厚法兰绒毛毯,20.00", "加厚,法兰绒毛毯,20.00"),
        (f'"=""{A}""",加厚法兰绒毛毯,20.00', f"{wide(A)},加厚法兰绒毛毯,20.0x"),
        (f'"=""{A}""",加厚法兰绒毛毯,20.00', "3.30001E+18,加厚法兰绒毛毯,20.00"),
    ],
    ids=["torn", "wide", "rounded"],
)
def test_a_line_that_cannot_be_read_keeps_its_place(shop: Database, tmp_path: Path, right: str, wrong: str) -> None:
    text = exports.line_list([THREE, Order(B)])
    assert right in text
    report = import_lines(shop, tmp_path, text.replace(right, wrong, 1), THREE, Order(B))
    assert [row.line for row in report.files[1].rejected] == [3]
    assert [(line.number, line.price_fen) for line in read(shop).lines] == [(1, 1_000), (3, 7_000)]
    with shop.reading() as session:
        with pytest.raises(BadRequest, match="not all known"):
            orders.resolve_lines(session, A, None)
        assert orders.resolve_lines(session, B, None) == pieces((1, 1))


def test_after_a_line_that_may_be_of_either_order_the_next_ones_are_not_counted(shop: Database, tmp_path: Path) -> None:
    found = [Order(A), Order(B, lines=[Line("1.00"), Line("2.00")])]
    text = exports.line_list(found)
    begins = text.index(f'"=""{B}"""')
    rounded = text[:begins] + text[begins:].replace(f'"=""{B}"""', "3.30001E+18", 1)
    report = import_lines(shop, tmp_path, rounded, *found)
    assert [row.line for row in report.files[1].rejected] == [3, 4]
    assert "is counted after line 3, which may be of this order" in reasons(report)
    assert ([line.number for line in read(shop).lines], read(shop, B).lines) == ([1], [])
    with shop.reading() as session, pytest.raises(BadRequest, match="not all known"):
        orders.resolve_lines(session, A, None)
    import_orders(shop, tmp_path, *found)
    assert [line.price_fen for line in read(shop, B).lines] == [100, 200]


@pytest.mark.parametrize(
    ("said", "waybills"),
    [
        ("No\uff1aYT12345678901", ["YT12345678901"]),
        ("No:YT1234567\uff0cNo:YT7654321", ["YT1234567", "YT7654321"]),
        ("No:A123456\uff1bB1234567", ["A123456", "B1234567"]),
        (f"No:{wide('YT12345678')}", ["YT12345678"]),
        ("no:YT87654321", ["YT87654321"]),
        ("No:YT1234567No:YT7654321", ["YT1234567", "YT7654321"]),
    ],
)
def test_waybills_are_read_with_signs_of_full_width(
    shop: Database, tmp_path: Path, said: str, waybills: list[str]
) -> None:
    order = Order(A, SHIPPED, shipped_at="2026-11-18 10:00:00", more={"物流单号": said})
    import_orders(shop, tmp_path, order)
    with shop.reading() as session:
        assert session.scalars(select(ShipmentRow.waybill).order_by(ShipmentRow.id)).all() == waybills


def test_a_rounded_waybill_is_refused(shop: Database, tmp_path: Path) -> None:
    report = import_orders(shop, tmp_path, Order(A, SHIPPED, more={"物流单号": "No:7.74335E+12"}))
    assert "2: 物流单号: 7.74335E+12 was rounded by a spreadsheet" in reasons(report)


def test_of_a_file_without_a_line_end_only_its_last_cell_may_be_cut(shop: Database, tmp_path: Path) -> None:
    answer = exports.courier_answer("YT1234567", ("2026-11-20 10:00:00", "0"))
    nothing = '{"message":"查询无结果","nu":"YT7654321","com":"yuantong","status":"201","state":"0","data":null}'
    report = import_files(shop, [write(tmp_path, "k.jsonl", answer + nothing)])
    assert (counts(report.files[0]), reasons(report)) == ((1, 0, 0, 1), "2: data: the courier gave no scans")
    gifts = exports.GIFTS + "GP-3,毛巾,9.5,1500,500"
    report = import_files(shop, [write(tmp_path, "gifts.csv", gifts)])
    assert (counts(report.files[0]), reasons(report)) == ((2, 0, 0, 1), "4: cost_fen: '9.5' is not a whole number")
    with pytest.raises(BadFile, match="only a part of a file"):
        import_files(shop, [write(tmp_path, "gifts.csv", exports.GIFTS + "GP-3,毛巾,900,1500,5x")])
    paid_last = [one for one in ORDER_HEADINGS if one != "买家实际支付金额"] + ["买家实际支付金额"]
    text = exports.order_list([Order(A, refund="60.00")], headings=paid_last).rstrip()
    assert text.endswith("100.00")
    with pytest.raises(BadFile, match="only a part of a file"):
        import_files(shop, [write(tmp_path, "orders.csv", text.removesuffix("00.00"))])


def scans_of(shop: Database, waybill: str = "YT1234567") -> list[tuple[str, str]]:
    """Its scans, newest first: the day and the code."""
    with shop.reading() as session:
        return [(f"{one.at:%d}", one.code) for one in courier.shown_scans(session, waybill, NOW)]


def test_of_scans_of_one_second_the_newest_answer_says_which_came_last(shop: Database, tmp_path: Path) -> None:
    at = "2026-11-20 10:00:00"
    import_files(shop, [write(tmp_path, "one.jsonl", exports.courier_answer("YT1234567", (at, "5")))])
    later = write(tmp_path, "two.jsonl", exports.courier_answer("YT1234567", (at, "301"), (at, "5"), state="3"))
    assert counts(import_files(shop, [later]).files[0]) == (0, 1, 0, 0)
    assert scans_of(shop) == [("20", "301"), ("20", "5")]
    assert counts(import_files(shop, [later]).files[0]) == (0, 0, 1, 0)


def test_an_answers_state_is_that_of_its_newest_scan_alone(shop: Database, tmp_path: Path) -> None:
    def answer(state: str, *scans: tuple[str, str]) -> Path:
        data = [{"time": f"2026-11-{day} 10:00:00", "context": text} for day, text in scans]
        return write(
            tmp_path, "k.jsonl", json.dumps({"nu": "YT1234567", "com": None, "state": state, "data": data}) + "\n"
        )

    import_files(shop, [answer("0", ("18", "揽收"))])
    signed = answer("3", ("20", "签收"), ("19", "派件"), ("18", "揽收"))
    import_files(shop, [signed])
    assert scans_of(shop) == [("20", "3"), ("19", ""), ("18", "0")]
    assert counts(import_files(shop, [signed]).files[0]) == (0, 0, 1, 0)


def test_what_is_twice_in_a_file_changes_nothing_the_second_time(shop: Database, tmp_path: Path) -> None:
    import_orders(shop, tmp_path, Order(A))
    one, two = (
        exports.courier_answer("YT1234567", (f"2026-11-2{day} 10:00:00", "0"), state=f"{day}") for day in (0, 5)
    )
    files = [
        write(tmp_path, "gifts.csv", exports.GIFTS + "GP-1,枕套,2500,3900,150\n"),
        write(tmp_path, "k.jsonl", one + two),
        write(tmp_path, "chats.jsonl", exports.chat(A) + exports.chat(A).replace("能便宜多少", "在吗")),
    ]
    import_files(shop, files)
    report = import_files(shop, files)
    assert [counts(file) for file in report.files] == [(0, 0, 2, 1), (0, 0, 2, 0), (0, 0, 1, 1)]
    assert "gift GP-1 is in the file twice" in reasons(report)
    assert f"a conversation about order {A} is in the file twice" in reasons(report)
    with shop.reading() as session:
        assert session.get_one(GiftRow, "GP-1").stock == 200


def test_an_import_of_which_nothing_went_in_settles_no_time(shop: Database, tmp_path: Path) -> None:
    chats = write(tmp_path, "chats.jsonl", exports.chat(A))
    assert counts(import_files(shop, [chats]).files[0]) == (0, 0, 0, 1)
    import_orders(shop, tmp_path, Order(A), as_of_now=NOW)
    assert read(shop).created_at == NOW - timedelta(hours=1)


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8-sig"])
def test_a_byte_order_mark_more_does_not_matter(shop: Database, tmp_path: Path, encoding: str) -> None:
    text = "\ufeff" + exports.order_list([Order(A)])
    assert counts(import_files(shop, [write(tmp_path, "orders.csv", text, encoding=encoding)]).files[0])[0] == 1


def test_a_blanket_in_gbk_and_wide_digits_are_read(shop: Database, tmp_path: Path) -> None:
    gifts = "gift_sku,name,cost_fen,value_fen,stock\r\nGP-1,双色毛毯,2500,3900,200\r\n"
    import_files(shop, [write(tmp_path, "gifts.csv", gifts)])
    with shop.reading() as session:
        assert session.get_one(GiftRow, "GP-1").name == "双色毛毯"
    in_wide_digits = exports.GIFTS.replace("枕套", "毛毯").replace("2500", wide("2600"))
    import_files(shop, [write(tmp_path, "gifts.csv", in_wide_digits)])
    order = Order(A, created=wide("2026-11-17 13:39:16"))
    assert counts(import_orders(shop, tmp_path, order).files[0]) == (1, 0, 0, 0)
    with shop.reading() as session:
        assert (session.get_one(GiftRow, "GP-1").name, session.get_one(GiftRow, "GP-1").cost_fen) == ("毛毯", 2_600)


@pytest.mark.parametrize("known", [False, True])
def test_a_line_that_is_broken_in_two_adds_none_to_its_order(shop: Database, tmp_path: Path, known: bool) -> None:
    text = exports.line_list([THREE])
    if known:
        import_lines(shop, tmp_path, text, THREE)
    broken = text.replace("加厚法兰绒毛毯,20.00", "加厚\r\n法兰绒毛毯,20.00", 1)
    report = import_lines(shop, tmp_path, broken, THREE)
    assert [row.line for row in report.files[1].rejected] == [3, 4, 5]
    assert [line.number for line in read(shop).lines] == ([1, 2, 3] if known else [1])
    import_lines(shop, tmp_path, text, THREE)
    assert [(line.number, line.price_fen) for line in read(shop).lines] == [(1, 1_000), (2, 2_000), (3, 7_000)]


@pytest.mark.parametrize("wrong", [2, 3])
def test_where_orders_are_mixed_nothing_is_counted_after_a_line_that_may_be_of_several(
    shop: Database, tmp_path: Path, wrong: int
) -> None:
    one = Order(A, lines=[Line("1.00"), Line("2.00")])
    other = Order(B, lines=[Line("3.00"), Line("4.00")])
    rows = exports.line_list([one, other]).splitlines(keepends=True)
    right = [rows[0], rows[1], rows[3], rows[4], rows[2]]
    rounded = [*right]
    rounded[wrong] = "3.30001E+18" + rounded[wrong][rounded[wrong].index(",") :]
    import_lines(shop, tmp_path, "".join(rounded), one, other)
    assert [line.price_fen for line in read(shop).lines] == [100]
    for order_id in (A, B):
        with shop.reading() as session, pytest.raises(BadRequest, match="not all known"):
            orders.resolve_lines(session, order_id, None)
    import_lines(shop, tmp_path, "".join(right), one, other)
    assert [[line.price_fen for line in read(shop, order_id).lines] for order_id in (A, B)] == [[100, 200], [300, 400]]


def test_a_sum_below_the_lines_is_none_of_them(shop: Database, tmp_path: Path) -> None:
    report = import_lines(shop, tmp_path, exports.line_list([Order(A)]) + "合计,,100.00,1,,,,,,\r\n", Order(A))
    assert "订单编号" in reasons(report)
    with shop.reading() as session:
        assert orders.resolve_lines(session, A, None) == pieces((1, 1))


def test_a_barcode_in_a_torn_row_is_no_order(shop: Database, tmp_path: Path) -> None:
    found = [Order(A, lines=[Line("1.00"), Line("2.00")]), Order(B)]
    # the tear comes before the order's id, which is not where its heading says
    headings = ["标题", "价格", "商家编码", "订单编号", "购买数量", "订单状态"]
    text = exports.line_list(found, headings=headings).replace("YJ-BK03-10", "6901234567890")
    report = import_lines(shop, tmp_path, text.replace("毛毯,2.00", "毛,毯,2.00", 1), *found)
    assert [row.line for row in report.files[1].rejected] == [3]


AT = "2026-11-20 10:00:00"


def told(shop: Database, folder: Path, state: str, *scans: tuple[str, str], courier_code: str | None = None) -> None:
    """Import an answer with scans of one second, newest first: what they say, and their codes (empty: none)."""
    data = [{"time": AT, "context": said, **({"statusCode": code} if code else {})} for said, code in scans]
    answer = {"nu": "YT1234567", "state": state, "data": data, "com": courier_code}
    import_files(shop, [write(folder, "k.jsonl", json.dumps(answer) + "\n")])


@pytest.mark.parametrize(
    ("first", "then", "shown"),
    [
        (("1", ("a", "301")), ("5", ("b", "5"), ("a", "")), ["5", "301"]),
        (("1", ("a", "")), ("5", ("b", ""), ("a", "")), ["5", "1"]),
        (("3", ("signed", "301"), ("out", "5")), ("5", ("out", "5"), ("arrived", "1001")), ["301", "5", "1001"]),
        (("0", ("a", ""), ("a", "")), ("0", ("a", ""), ("a", "")), ["0"]),
    ],
)
def test_a_scan_keeps_its_code_and_its_place_among_those_of_its_second(
    shop: Database, tmp_path: Path, first: Any, then: Any, shown: list[str]
) -> None:
    told(shop, tmp_path, *first)
    told(shop, tmp_path, *then)
    assert [code for _, code in scans_of(shop)] == shown


def test_an_answer_that_names_no_courier_changes_none(shop: Database, tmp_path: Path) -> None:
    told(shop, tmp_path, "0", ("a", "0"), courier_code="yuantong")
    told(shop, tmp_path, "", ("a", "0"))
    with shop.reading() as session:
        parcel = session.get_one(ParcelRow, "YT1234567")
        assert (parcel.courier, parcel.state) == ("yuantong", "0")


def test_two_answers_of_one_second_in_one_file(shop: Database, tmp_path: Path) -> None:
    one, two = exports.courier_answer("YT1234567", (AT, "5")), exports.courier_answer("YT1234567", (AT, "3"), (AT, "5"))
    file = write(tmp_path, "k.jsonl", one + two)
    import_files(shop, [file])
    assert counts(import_files(shop, [file]).files[0]) == (0, 0, 2, 0)
    assert [code for _, code in scans_of(shop)] == ["3", "5"]
