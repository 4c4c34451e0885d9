"""`casework start` for flows whose fields are more than lines and a reason."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from casework.cli.errors import BAD_INPUT, DONE, REFUSED
from casework.money import LineQuantity
from casework.shop import claims, records
from casework.shop.database import Database
from casework.shop.errors import BadFile
from casework.shop.importing import keep_chat
from casework.shop.tables import ChatRow, ShipmentRow
from tests.cli.commands import Casework
from tests.desk import Desk
from tests.shop.exports import chat


def waybill_of(desk: Desk, order: str) -> str:
    with desk.database.reading() as session:
        return session.query(ShipmentRow).filter_by(order_id=order).one().waybill


async def test_a_parcel_is_named_by_its_waybill_alone(casework: Casework, desk: Desk) -> None:
    order = desk.order(shipped=True)
    waybill = waybill_of(desk, order)
    printed = await casework("start", "problem", "--waybill", f"No:{waybill}", "--by", "parcel.1", "--print")
    words = shlex.split(printed.out)
    assert words[:3] == ["temporal", "workflow", "start"]
    assert dict(zip(words[3::2], words[4::2], strict=True)) | {"--input": "", "--static-summary": ""} == {
        "--type": "ProblemParcel",
        "--task-queue": "casework",
        "--workflow-id": f"problem-parcel-{waybill}",
        "--id-conflict-policy": "Fail",
        "--static-summary": "",
        "--input": "",
    }
    assert json.loads(words[words.index("--input") + 1]) == {
        "order_id": order,
        "by": "parcel.1",
        "waybill": waybill,
        "courier": "yuantong",
        "cause": "asked",
    }
    done = await casework("start", "problem", "--waybill", waybill, "--cause", "overdue", "--by", "parcel.1")
    assert (done.code, done.out) == (DONE, f"problem-parcel-{waybill}\n")
    assert (await casework("show", waybill, "--json")).json["case_id"] == f"problem-parcel-{waybill}"
    again = await casework("start", "problem", "--order", order, "--waybill", waybill, "--by", "aftersale.1")
    assert again.code == REFUSED
    assert (await casework("cancel", waybill)).code == DONE


async def test_what_is_said_of_a_parcel_wins_over_what_the_shop_knows(casework: Casework, desk: Desk) -> None:
    waybill = waybill_of(desk, desk.order(shipped=True))
    more = ("--courier", "ems", "--cause", "exception", "--note", "站点撤销", "--print")
    words = shlex.split((await casework("start", "problem", "--waybill", waybill, "--by", "parcel.1", *more)).out)
    start = json.loads(words[words.index("--input") + 1])
    assert (start["courier"], start["cause"], start["note"]) == ("ems", "exception", "站点撤销")


async def test_a_parcel_that_nobody_knows_or_that_is_of_two_orders_wants_its_order(
    casework: Casework, desk: Desk
) -> None:
    unknown = await casework("start", "problem", "--waybill", "YT-NOBODY-1", "--by", "parcel.1")
    assert unknown.code == BAD_INPUT
    assert unknown.err == "waybill: the shop knows no parcel YT-NOBODY-1; name its order with --order.\n"
    one, other = desk.order(shipped=True), desk.order(shipped=True)
    waybill = waybill_of(desk, one)
    with desk.database.writing() as session:
        session.query(ShipmentRow).filter_by(order_id=other).one().waybill = waybill
    several = await casework("start", "problem", "--waybill", waybill, "--by", "parcel.1")
    assert several.code == BAD_INPUT
    assert one in several.err
    assert other in several.err
    named = await casework("start", "problem", "--order", other, "--waybill", waybill, "--by", "parcel.1", "--print")
    assert named.code == DONE
    nothing = await casework("start", "problem", "--by", "parcel.1")
    assert "--order, or the parcel with --waybill" in nothing.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--waybill", "YT123456"], "--waybill does not belong here: a refund before shipping takes none"),
        (["--opened"], "--opened does not belong here: a refund before shipping takes none"),
        (["--photos", "a.jpg"], "--photos does not belong here: a refund before shipping takes none"),
        (["--gift-sku", "GP-1"], "--gift-sku does not belong here: a refund before shipping takes none"),
        (["--chat", "chat.json"], "--chat does not belong here: a refund before shipping takes none"),
        (["--set", "from_case=bulk-order-1"], "from_case is only for cases that another case opens"),
    ],
)
async def test_a_field_of_another_flow_is_refused(
    casework: Casework, desk: Desk, arguments: list[str], said: str
) -> None:
    done = await casework("start", "refund", "--order", desk.order(), "--by", "aftersale.1", *arguments)
    assert done.code == BAD_INPUT
    assert said in done.err


async def test_an_order_that_the_shop_does_not_know_is_refused_with_the_field_named(casework: Casework) -> None:
    done = await casework("start", "refund", "--order", "3300019999999999998", "--by", "aftersale.1")
    assert (done.code, done.err) == (BAD_INPUT, "order_id: the shop has no order 3300019999999999998.\n")


async def test_only_a_flow_that_claims_lines_is_refused_where_a_case_has_one(casework: Casework, desk: Desk) -> None:
    order = desk.order(shipped=True)
    holder = f"return-after-shipping-{order}"
    with desk.database.writing() as session:
        claims.claim_lines(session, holder, order, [LineQuantity(line=1, quantity=1)])
    refund = await casework("start", "refund", "--order", order, "--by", "aftersale.1")
    assert refund.code == REFUSED
    assert holder in refund.err
    waybill = waybill_of(desk, order)
    parcel = await casework("start", "problem", "--waybill", waybill, "--cause", "overdue", "--by", "parcel.1")
    assert parcel.code == DONE
    assert (await casework("cancel", parcel.out.strip())).code == DONE


# --- conversations ---


def kept(database: Database, order: str) -> list[str]:
    with database.reading() as session:
        return [one.id for one in session.query(ChatRow).filter_by(order_id=order)]


@pytest.mark.parametrize("form", ["one of an export", "alone", "alone, on several lines", "alone, without its order"])
def test_a_conversation_is_kept_in_the_shop_and_known_by_its_id(desk: Desk, tmp_path: Path, form: str) -> None:
    order = desk.order()
    text = chat(order)
    if form == "one of an export":
        text = chat("3300010000000000009") + text
    elif form == "alone, on several lines":
        text = json.dumps(json.loads(text), indent=2)
    elif form == "alone, without its order":
        text = json.dumps({name: value for name, value in json.loads(text).items() if name != "order_id"})
    file = tmp_path / "chat.jsonl"
    file.write_text(text, "utf-8")
    chat_id = keep_chat(desk.database, file, order)
    assert kept(desk.database, order) == [chat_id]
    assert keep_chat(desk.database, file, order) == chat_id
    assert kept(desk.database, order) == [chat_id]
    assert kept(desk.database, "3300010000000000009") == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (chat("3300010000000000009"), "holds no conversation about order"),
        ('{"order_id": "ORDER", "chat": [{"text": "x"}]}\n', "holds no conversation about order ORDER; line 1: chat"),
        ("CHAT" * 2, "holds 2 conversations about order ORDER"),
        ("订单编号\n", "not one of the shop's exports"),
    ],
    ids=["another's", "bad", "two", "no chat"],
)
def test_a_file_without_the_conversation_is_refused(desk: Desk, tmp_path: Path, text: str, why: str) -> None:
    order = desk.order()
    file = tmp_path / "chat.jsonl"
    file.write_text(text.replace("CHAT", chat(order)).replace("ORDER", order), "utf-8")
    with pytest.raises(BadFile) as refused:
        keep_chat(desk.database, file, order)
    assert why.replace("ORDER", order) in str(refused.value)
    assert kept(desk.database, order) == []


async def test_lines_of_a_case_are_meant_as_the_case_is_about_them(desk: Desk, casework: Casework) -> None:
    """Two of three pieces are asked for: naming the line alone means those two."""
    order = desk.order(prices=((10_000, 3),))
    done = await casework("start", "refund", "--order", order, "--lines", "1x2", "--by", "aftersale.1")
    with desk.database.reading() as session:
        assert records.lines_of(session, done.out.strip()) == [LineQuantity(line=1, quantity=2)]
    assert (await casework("cancel", order)).code == DONE


async def test_a_return_is_opened_and_brought_on_by_commands_alone(casework: Casework, desk: Desk) -> None:
    order = desk.order(prices=((10_000, 2), (5_000, 1)), shipped=True)
    photos = ("--photos", "a.jpg", "--photos", "b, with a comma.jpg")
    claim = ("--cause", "quality", "--defect", "hole", "--opened", "--lines", "1x1")
    opened = await casework("start", "return", "--order", order, *claim, *photos, "--by", "aftersale.1", "--print")
    words = shlex.split(opened.out)
    assert json.loads(words[words.index("--input") + 1]) == {
        "order_id": order,
        "by": "aftersale.1",
        "cause": "quality",
        "defect": "hole",
        "opened": True,
        "photos": ["a.jpg", "b, with a comma.jpg"],
        "lines": [{"line": 1, "quantity": 1}],
    }
    case = (await casework("start", "return", "--order", order, *claim, *photos, "--by", "aftersale.1")).out.strip()
    assert case == f"return-after-shipping-{order}-1"

    async def says(state: str, trigger: str, *settings: str, by: str = "aftersale.1") -> None:
        done = await casework("submit", case, trigger, *(f"--set={one}" for one in settings), "--by", by)
        assert done.code == DONE, done.err
        assert f" {state} " in f"{done.out.strip()} "

    assert (await casework("show", case, "--json")).json["state"] == "collecting_evidence", "it lacks a description"
    await says("asking_supplier", "add_evidence", "description=裤腿有洞", "photos=c.jpg,d.jpg")
    await says("awaiting_parcel", "supplier_agrees")
    await says("returning", "buyer_ships", "courier=ems", "waybill=EMS700600500", "postage_fen=1200")
    assert (await casework("show", "EMS700600500", "--json")).json["case_id"] == case
    await says("inspecting", "receive_goods", "lines=1", by="returns.1")
    nothing = await casework(
        "submit", case, "pass_inspection", "--set=lines=1x0", "--set=gift_back=none", "--set=invoice_back=yes",
        "--by", "returns.1",
    )  # fmt: skip
    assert nothing.code == BAD_INPUT
    assert "that is fail_inspection" in nothing.err
    taken = ("lines=1x1", "gift_back=none", "invoice_back=yes", "photos=e.jpg")
    done = await casework(
        "submit", case, "pass_inspection", *(f"--set={one}" for one in taken), "--by", "returns.1", "--json"
    )
    assert done.code == DONE, done.err
    await desk.until(desk.client.get_workflow_handle(case), "confirming")
    await casework("submit", case, "buyer_confirms", "--by", "aftersale.1")


async def test_a_gift_is_opened_with_its_own_fields(casework: Casework, desk: Desk) -> None:
    sku, order = desk.gift("GP-CLI", 2_500), desk.order()
    gift = ("--kind", "gift", "--gift-sku", sku, "--quantity", "2", "--reason", "老客户")
    wrong = await casework("start", "gift", "--order", order, *gift, "--cost-fen", "50.00", "--by", "presale.1")
    assert wrong.code == BAD_INPUT
    assert wrong.err.startswith("cost_fen: a whole number is wanted")
    done = await casework("start", "gift", "--order", order, *gift, "--cost-fen", "5000", "--by", "presale.1")
    assert (done.code, done.out.strip()) == (DONE, f"gift-approval-{order}-gift")
    other = ("--set", f"gift_sku={sku}", "--set", "quantity=1")
    insisted = await casework("submit", order, "buyer_insists", *other, "--by", "presale.1", "--json")
    assert (insisted.code, insisted.json["amount_fen"]) == (DONE, 2_500)
    assert (await casework("cancel", order)).code == DONE
