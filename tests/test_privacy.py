"""Personal data in texts: mobile numbers, the order's own name and address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casework.privacy import Personal, find_mobile_number, personal_id, personal_text

ADDRESS = "山东省 菏泽市 牡丹区 测试路1号(126681)"


@pytest.mark.parametrize(
    "text",
    [
        "13800000000",
        "VX13800000000",
        "加WX:13800000000",
        "qq 13800000000",
        "138.0000.0000",
        "138_0000_0000",
        "138/0000/0000",
        "138·0000·0000",
        "call 13800000000 please",
        "电话13800000000",
        "电话:13800000000。",
        "138 0000 0000",
        "138-0000-0000",
        "138‑0000‑0000",
        "1 3 8 0 0 0 0 0 0 0 0",
        "+8613800000000",
        "+86 138 0000 0000",
        "(+86)138-0000-0000",
        "008613800000000",
        "8613800000000",
        "１３８００００００００",
        "on 2026-11-17 13800000000 called",
        "tel19900000000",
        "TEL13800000000",
        "PHONE13800000000",
        "Tel13800000000",
        "MOBILE13800000000",
        "寄TEL138 0000 0000",
    ],
)
def test_a_mobile_number_is_found(text: str) -> None:
    assert find_mobile_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3300014363431435699",
        "order 3300013800000000699",
        "7743351417195",
        "YT13800000001",
        "单号YT13800000001",
        "YT1380000000012",
        "EA13800000000CN",
        "JDVB13800000001",
        "EA72185182222CN",
        "2026-11-17 13:39:16",
        "20261117735267854731514259",
        "1,437.00 yuan of 138.00",
        "12800000000",
        "1380000000",
        "138000000000",
    ],
)
def test_an_id_a_waybill_a_time_or_an_amount_is_no_mobile_number(text: str) -> None:
    assert not find_mobile_number(text)


@given(st.text("0123456789", min_size=12, max_size=32).filter(lambda digits: not digits.startswith(("86", "0086"))))
def test_a_longer_number_is_no_mobile_number(digits: str) -> None:
    assert not find_mobile_number(digits)


@pytest.mark.parametrize(
    "text",
    [
        "寄到测试路1号",
        "寄到 测试路 １ 号 吧",
        "山东省菏泽市牡丹区测试路1号",
        "山东省 菏泽市 牡丹区 测试路1号(126681)",
    ],
)
def test_the_orders_own_address_is_found(text: str) -> None:
    assert "address" in (personal_text(text, Personal(names=[], addresses=[ADDRESS])) or "")


@pytest.mark.parametrize("text", ["发往山东省菏泽市牡丹区", "测试路11号", "1号仓库", ""])
def test_a_region_or_another_address_is_not_personal(text: str) -> None:
    assert personal_text(text, Personal(names=["王小明"], addresses=[ADDRESS])) is None


@pytest.mark.parametrize("text", ["王小明要退款", "王 小明", "ask Tb-10000000 again"])
def test_the_orders_own_name_is_found(text: str) -> None:
    assert "name" in (personal_text(text, Personal(names=["王小明", "tb10000000"], addresses=[])) or "")


def test_an_empty_or_very_short_name_accuses_nobody() -> None:
    assert personal_text("王小明", Personal(names=["", " ", "王"], addresses=["", "()"])) is None


def test_the_sentence_does_not_repeat_what_it_found() -> None:
    sentence = personal_text("王小明住测试路1号", Personal(names=["王小明"], addresses=[ADDRESS]))
    assert sentence is not None
    assert "王小明" not in sentence


@pytest.mark.parametrize("text", ["ask 0539-8312345", "0539 8312345", "pay Wen@Example.com", "to 134****3748"])
def test_the_orders_own_account_and_telephone_are_found(text: str) -> None:
    personal = Personal(accounts=["0539-8312345", "wen@example.com", "134****3748", ""])
    assert "account" in (personal_text(text, personal) or "")
    assert personal_text("8312345 example 3748", personal) is None


def test_a_whole_message_of_the_buyers_is_found_and_a_short_one_is_anybodys_words() -> None:
    personal = Personal(words=["家里老人住院了,想退掉这条毛毯", "不要了", ""])
    assert "own words" in (personal_text("买家说:家里老人住院了 想退掉这条毛毯!", personal) or "")
    assert personal_text("不要了", personal) is None


def test_an_id_that_is_the_buyers_name_or_number_is_found_and_one_that_holds_it_by_chance_is_not() -> None:
    personal = Personal(names=["tb_wen2077", "ab"], accounts=["0539-8312345"])
    assert personal_id("tb_wen2077-1", personal)
    assert personal_id("05398312345", personal)
    assert personal_id("AB", personal)
    assert not personal_id("3c1fabde-aftersale.1", personal)
    assert not personal_id("m-1", Personal(names=["", " "]))
