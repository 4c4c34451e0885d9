"""Evidence: one page, complete in itself, of open and closed cases, in which nobody's text becomes markup."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sqlalchemy import select

from casework.cli.errors import BAD_INPUT, DONE, FAILED
from casework.shop.tables import LineRow, OrderRow, OutboxRow
from tests.cli.commands import Casework
from tests.desk import FLOW, Desk, Handle
from tests.orders import ADDRESS, RECEIVER, add_scan
from tests.parcels import parcel_order, silence
from tests.planted import MARK

HOSTILE = "</td><script>alert('x')</script><img src=x onerror=alert(1)>&amp;{{ 7777*7777 }}"
TAGS = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "caption", "tr", "th", "td"} | {
    "div",
    "span",
    "img",
}


class Page(HTMLParser):
    """The tags and the words of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.sources: list[str] = []
        self.words = ""
        self.rows: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.sources += [str(value) for name, value in attrs if name in ("src", "href")]
        if tag == "tr":
            self.rows.append("")

    def handle_data(self, data: str) -> None:
        self.words += data
        if self.rows:
            self.rows[-1] += f" {data.strip()}"

    def row(self, *words: str) -> str:
        """The one row that says all this."""
        found = [row for row in self.rows if all(word in row for word in words)]
        assert found, f"no row says {words}"
        return found[0]


def read(file: Path) -> tuple[Page, str]:
    text = file.read_text(encoding="utf-8")
    return Page(text), text


async def page_of(casework: Casework, case: str, file: Path, *more: str) -> Page:
    done = await casework("evidence", case, "-o", str(file), *more)
    assert done.code == DONE, done.err
    page, text = read(file)
    assert page.tags <= TAGS, page.tags - TAGS
    assert not [name for name in page.attributes if name.startswith("on")]
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.sources)
    assert "http:" not in re.sub(r'src="data:[^"]*"', "", text)
    for private in (RECEIVER, ADDRESS.split()[-1], f"{MARK} orders."):
        assert private not in text
    return page


async def refunded(desk: Desk, order: str) -> Handle:
    case = await desk.open_in("persuading", order, reason="bought <b>twice</b>", note="<i>n</i>")
    await desk.submit(case, "buyer_insists", "aftersale.1")
    await desk.submit(case, "approve", "aftersale-lead.1", note=HOSTILE)
    await desk.end(case)
    return case


async def test_a_closed_case_says_who_decided_what_by_which_rule(
    casework: Casework, desk: Desk, tmp_path: Path
) -> None:
    order = desk.order(prices=((69_800, 1),))
    case = await refunded(desk, order)
    page = await page_of(casework, case.id, tmp_path / "evidence.html")
    approved = page.row("aftersale-lead.1 (after-sales supervisor", "approve", "only if")
    assert "awaiting the supervisor awaiting_supervisor → refunding" in approved
    assert "for after-sales supervisor; only if: the amount is within the supervisor's limit" in approved
    insisted = page.row("buyer_insists", "only if")
    assert "only if: otherwise" in insisted
    assert "refunded" in page.row(" outcome")
    paid = page.row("698.00", "the shop", "this case")
    assert re.search(r"CW[0-9A-F]{20}", paid)
    assert "has been returned to your payment account" in page.words
    assert "已退回原支付账户" in page.words, "as the buyer read it"
    assert "Asia/Shanghai (UTC+0800)" in page.words
    assert page.row("refund_before_shipping.supervisor_limit_fen")
    shops_time = datetime.now(UTC) + timedelta(hours=8)
    assert f"{shops_time:%Y-%m-%d %H}" in approved


async def test_nobodys_text_becomes_markup(casework: Casework, desk: Desk, tmp_path: Path) -> None:
    order = desk.order(prices=((69_800, 1),), shipped=False)
    with desk.database.writing() as session:
        line = session.scalars(select(LineRow).where(LineRow.order_id == order)).one()
        line.title = line.properties = HOSTILE
    case = await refunded(desk, order)
    with desk.database.writing() as session:
        for row in session.scalars(select(OutboxRow).where(OutboxRow.case_id == case.id)):
            row.text_en = row.text_zh = HOSTILE
    page = await page_of(casework, case.id, tmp_path / "evidence.html")
    assert page.words.count(HOSTILE) >= 5, "it is all there, as text"
    assert "60481729" not in page.row("approve", "only if")


async def test_an_open_return_shows_photos_parcels_and_scans(casework: Casework, desk: Desk, tmp_path: Path) -> None:
    order = desk.order(shipped=True)
    waybill = f"YT{order[-11:]}"
    with desk.database.writing() as session:
        add_scan(session, waybill, "0", at=datetime.now(UTC) - timedelta(hours=1), text=f"揽收 {HOSTILE}")
        add_scan(session, waybill, "0", at=datetime.now(UTC) + timedelta(hours=1), text="still to come")
    case = await desk.open_case(
        "return-after-shipping",
        f"return-after-shipping-{order}",
        {
            "order_id": order,
            "by": "aftersale.1",
            "cause": "quality",
            "defect": "other",
            "description": "seam",
            "photos": ["p1.jpg", '"><script>'],
        },
    )
    await desk.until_shown(case, lambda view: bool(view.waiting_for), "waits")
    page = await page_of(casework, order, tmp_path / "evidence.html")
    photos = page.row("aftersale.1", "photos")
    assert "p1.jpg" in photos
    assert '"><script>' in photos
    assert "still open" in page.row(" state")
    assert page.row("courier's scan", "揽收")
    assert "still to come" not in page.words
    assert waybill in page.words
    assert "No money has gone back." in page.words
    assert len(page.sources) == 1, "the flow's picture"


async def test_what_a_case_was_opened_with_and_what_was_said_with_each_decision_is_shown_in_both_languages(
    casework: Casework, desk: Desk, tmp_path: Path
) -> None:
    order = desk.order(prices=[(5_000, 2)], shipped=True)
    start = {"order_id": order, "by": "aftersale.1", "cause": "quality", "defect": "hole"}
    case = await desk.open_case("return-after-shipping", f"return-after-shipping-{order}", start)
    await desk.until(case, "collecting_evidence")
    await desk.submit(case, "add_evidence", "aftersale.1", photos=["p1.jpg"], description="seam at the left")
    await desk.submit(case, "supplier_agrees", "aftersale.1")
    await desk.submit(case, "buyer_ships", "aftersale.1", courier="yuantong", waybill=f"RB{order}", postage_fen=1_250)
    await desk.submit(case, "receive_goods", "returns.1")
    taken = [{"line": 1, "accepted_quantity": 1}]
    await desk.submit(case, "pass_inspection", "returns.1", lines=taken, gift_back=None, invoice_back=False)
    await desk.until(case, "confirming")
    page = await page_of(casework, order, tmp_path / "evidence.html")
    assert page.row(" cause", "quality")
    assert page.row(" defect", "a hole")
    assert "description: seam at the left" in page.row("add_evidence", "for after-sales agent")
    assert "postage that the buyer advanced (yuan): 12.50" in page.row("buyer_ships", "for after-sales agent")
    inspected = page.row("pass_inspection", "for returns clerk")
    for said in ("line 1: 1", "the gift has come back: there was none", "the invoice has come back: no"):
        assert said in inspected
    await desk.submit(case, "buyer_confirms", "aftersale.1")
    await desk.end(case)
    closed = await page_of(casework, order, tmp_path / "evidence.html", "--lang", "zh")
    assert closed.row("事由", "质量问题")
    assert closed.row("瑕疵", "破洞")
    for said in ("第 1 行 1 件", "赠品已退回: 无", "发票已退回: 否"):
        assert said in closed.row("pass_inspection", "可由")
    assert closed.row("系统: 判定 assess")


async def test_a_refunds_reason_and_a_parcels_cause_are_shown(casework: Casework, desk: Desk, tmp_path: Path) -> None:
    refund = await desk.open_in("asking_reason", desk.order())
    await desk.submit(refund, "give_reason", "aftersale.1", reason="bought twice")
    page = await page_of(casework, refund.id, tmp_path / "evidence.html")
    assert "reason: bought twice" in page.row("give_reason", "for after-sales agent")
    opened = await desk.open_in("persuading", desk.order(), reason="too small")
    assert (await page_of(casework, opened.id, tmp_path / "evidence.html")).row(" reason", "too small")
    order, waybill = parcel_order(desk)
    silence(desk, waybill)
    parcel = await desk.open_case(
        "problem-parcel",
        f"problem-parcel-{waybill}",
        {"order_id": order, "by": "parcel.1", "waybill": waybill, "courier": "yuantong", "cause": "asked"},
    )
    await desk.until_shown(parcel, lambda view: bool(view.waiting_for), "waits")
    page = await page_of(casework, parcel.id, tmp_path / "evidence.html", "--lang", "zh")
    assert page.row("事由", "买家查询")
    for case in (refund, opened, parcel):
        await case.terminate()
    broken_off = await page_of(casework, opened.id, tmp_path / "evidence.html")
    assert broken_off.row("outcome", "broken off: terminated")
    assert not [row for row in broken_off.rows if "outcome: " in row], "when, its trail does not say"


async def test_references_stay_in_the_record_and_need_no_server(
    casework: Casework, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = desk.order(prices=((69_800, 1),))
    case = await refunded(desk, order)
    monkeypatch.delenv("TEMPORAL_ADDRESS")
    monkeypatch.delenv("TEMPORAL_NAMESPACE")
    page = await page_of(casework, case.id, tmp_path / "evidence.html", "--lang", "zh")
    assert "工单证据" in page.words
    assert "已退款" in page.row("结果")
    assert "售后主管" in page.row("批准 approve")


async def test_what_was_broken_off_keeps_its_evidence(casework: Casework, desk: Desk, tmp_path: Path) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="x")
    await case.terminate()
    assert (await casework("doctor", "--cases", "--mend", "--yes")).out
    page = await page_of(casework, case.id, tmp_path / "evidence.html")
    assert "broken off" in page.row(" outcome")
    assert "holding" in page.words


async def test_where_it_cannot_be_written_or_nothing_matches_one_sentence_says_so(
    casework: Casework, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = await desk.open_in("persuading", desk.order(), reason="x")
    failed = await casework("evidence", case.id, "-o", str(tmp_path / "no" / "such.html"))
    assert failed.code == FAILED
    assert "cannot be written" in failed.err
    assert (await casework("evidence", "no-such-case")).code == BAD_INPUT
    assert (await casework("evidence", case.id, "--lang", "de")).code == BAD_INPUT
    monkeypatch.chdir(tmp_path)
    done = await casework("evidence", case.id, "--json")
    assert done.json == {"case_id": case.id, "file": f"{case.id}.html", "language": "en"}
    assert (tmp_path / f"{case.id}.html").exists()


async def test_a_later_run_of_the_same_id_does_not_show_what_an_earlier_one_said(
    casework: Casework, desk: Desk, tmp_path: Path
) -> None:
    order = desk.order()
    first = await desk.open_in("persuading", order, reason="x")
    await desk.submit(first, "buyer_keeps_order", "aftersale.1")
    await desk.end(first)
    second = await desk.open_in("persuading", order, reason="x")
    page = await page_of(casework, second.id, tmp_path / "evidence.html")
    assert "stays as it was" not in page.words
    with desk.database.reading() as session:
        assert session.get(OrderRow, order) is not None
    assert FLOW in page.words


async def test_a_comment_with_evidence_is_shown_and_what_colleagues_said_among_themselves_is_not(
    casework: Casework, desk: Desk, tmp_path: Path
) -> None:
    case = await desk.open_in("persuading", desk.order(prices=((69_800, 1),)), reason="bought twice")
    await desk.submit(case, "comment", "aftersale-lead.1", text="screenshot of the chat", references=["chat/7.png"])
    await desk.submit(case, "comment", "aftersale-lead.1", text="I trust this buyer little")
    await desk.submit(case, "ask_opener", "aftersale-lead.1", question="have we seen this buyer before")
    page = await page_of(casework, case.id, tmp_path / "evidence.html", "--lang", "zh")
    assert "补充材料说明" in page.words
    assert "留言 comment" in page.row("screenshot of the chat", "aftersale-lead.1")
    assert "chat/7.png" in page.words
    for internal in ("I trust this buyer little", "have we seen this buyer before"):
        assert internal not in page.words
