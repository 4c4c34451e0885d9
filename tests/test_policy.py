"""The policy: the shipped figures, files that change some, and files that are refused."""

from __future__ import annotations

import re
from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from casework.policy import (
    SHIPPED,
    UNITS,
    Clock,
    Policy,
    PolicyError,
    RefundBeforeShippingPolicy,
    ShopPolicy,
    clock_of,
    describe,
    load_policy,
)

SHIPPED_POLICY = load_policy(None)
HOURS = timedelta(hours=1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


def test_the_shipped_policy_holds_the_figures_of_the_specification() -> None:
    policy = SHIPPED_POLICY
    assert policy.version == "1"
    assert (policy.shop.open_from, policy.shop.open_until) == (time(8), time(1))
    assert policy.refund_before_shipping.persuasion == 4 * HOURS
    assert policy.refund_before_shipping.agent_limit_fen == 20_000
    assert policy.return_after_shipping.ship_back_reminder == (timedelta(days=3), timedelta(days=6))
    assert policy.gift_approval.supervisor == timedelta(minutes=30)
    assert policy.bulk_order.supervisor_discount_percent == Decimal(5)
    assert policy.bulk_order.extension_days == (3, 5, 7, 10)
    assert policy.problem_parcel.return_ == timedelta(days=10)
    assert policy.problem_parcel.remote_provinces[-1] == "海南"
    assert policy.patrol.batch_size == 200


def test_the_shipped_file_says_of_every_duration_which_clock_counts_it() -> None:
    section = ""
    for line in SHIPPED.read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = heading[1]
        if key := re.match(r"(\w+_(?:days|hours|minutes)) = .*; (open|always)$", line):
            assert clock_of(f"{section}.{key[1]}") == key[2], line


def test_every_duration_is_commented_with_its_clock() -> None:
    durations = [row.key for row in describe(SHIPPED_POLICY) if row.clock]
    commented = re.findall(r"^\w+ = .*; (?:open|always)$", SHIPPED.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(durations) == len(commented)


def test_a_policy_survives_json() -> None:
    assert Policy.model_validate_json(SHIPPED_POLICY.model_dump_json()) == SHIPPED_POLICY


def test_what_a_case_keeps_is_small_plain_json_that_reads_back() -> None:
    kept = SHIPPED_POLICY.for_flow("refund-before-shipping")
    assert set(kept) == {"version", "shop", "flow"}
    assert kept["flow"]["persuasion"] == "PT4H"
    assert ShopPolicy.model_validate(kept["shop"]) == SHIPPED_POLICY.shop
    assert RefundBeforeShippingPolicy.model_validate(kept["flow"]) == SHIPPED_POLICY.refund_before_shipping
    assert len(repr(kept)) < 700


def test_a_section_that_does_not_exist_is_refused() -> None:
    assert SHIPPED_POLICY.section("bulk-order") is SHIPPED_POLICY.bulk_order
    with pytest.raises(LookupError, match="no section version"):
        SHIPPED_POLICY.section("version")


def test_a_policy_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SHIPPED_POLICY.shop.province = "浙江省"  # pyright: ignore[reportAttributeAccessIssue] - that is what is refused


def test_a_file_holds_only_what_it_changes(file: Path) -> None:
    file.write_text('version = "autumn"\n[refund_before_shipping]\nfinance_hours = 2\n')
    policy = load_policy(file)
    assert policy.version == "autumn"
    assert policy.refund_before_shipping.finance == 2 * HOURS
    assert policy.refund_before_shipping.supervisor == 4 * HOURS
    assert policy.shop == SHIPPED_POLICY.shop


@pytest.mark.parametrize("version", ["", 'version = "1"\n'])
def test_a_file_without_a_version_of_its_own_gets_one_from_its_content(file: Path, version: str) -> None:
    file.write_text(f"{version}[refund_before_shipping]\nfinance_hours = 2\n")
    first = load_policy(file).version
    assert re.fullmatch(r"1\+[0-9a-f]{8}", first)
    assert load_policy(file).version == first
    file.write_text(f"{version}[refund_before_shipping]\nfinance_hours = 3\n")
    assert load_policy(file).version != first


@pytest.mark.parametrize("unit", UNITS)
def test_a_duration_may_be_given_in_another_unit(file: Path, unit: str) -> None:
    file.write_text(f"[refund_before_shipping]\npersuasion_{unit} = 3\n")
    assert load_policy(file).refund_before_shipping.persuasion == 3 * UNITS[unit]


def test_a_list_of_durations_and_one_that_is_a_word_of_python_may_be_given_in_another_unit(file: Path) -> None:
    file.write_text("[return_after_shipping]\nship_back_reminder_hours = [1, 30]\n[problem_parcel]\nreturn_hours = 5\n")
    policy = load_policy(file)
    assert policy.return_after_shipping.ship_back_reminder == (HOURS, 30 * HOURS)
    assert policy.problem_parcel.return_ == 5 * HOURS


def test_decimals_of_a_percentage_stay_what_was_written(file: Path) -> None:
    file.write_text("[bulk_order]\nsupervisor_discount_percent = 7.1\n")
    assert load_policy(file).bulk_order.supervisor_discount_percent == Decimal("7.1")


def test_a_file_from_another_system_is_read_with_its_byte_order_mark_and_line_ends(file: Path) -> None:
    file.write_bytes('\ufeff[shop]\r\nprovince = "浙江省"\r\nopen_from = 09:30:00\r\n'.encode())
    policy = load_policy(file)
    assert (policy.shop.province, policy.shop.open_from) == ("浙江省", time(9, 30))


LIMIT = "[refund_before_shipping]\nagent_limit_fen = "
HOURS_KEY = "[refund_before_shipping]\nfinance_hours = "


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (LIMIT + '"200"', 'refund_before_shipping.agent_limit_fen is "200"; allowed is a whole number of fen'),
        (LIMIT + "200.0", 'agent_limit_fen is "200.0"; allowed is a whole number'),
        (LIMIT + "true", "agent_limit_fen is true; allowed is a whole number"),
        (LIMIT + "-1", "agent_limit_fen is -1; allowed is a whole number of fen from 0"),
        (LIMIT + "100001", "allowed is at most refund_before_shipping.supervisor_limit_fen, which is 100000"),
        (
            "[refund_before_shipping]\nsupervisor_limit_fen = 100",
            "supervisor_limit_fen is 100; allowed is at least refund_before_shipping.agent_limit_fen, which is 20000",
        ),
        (HOURS_KEY + "0", "finance_hours is 0; allowed is a whole number above 0, at most 400 days"),
        (HOURS_KEY + "-3", "finance_hours is -3; allowed is a whole number above 0"),
        (HOURS_KEY + "1.5", 'finance_hours is "1.5"; allowed is a whole number above 0'),
        (HOURS_KEY + "9601", "finance_hours is 9601; allowed is a whole number above 0, at most 400 days"),
        (HOURS_KEY + "99999999999999", "finance_hours is 99999999999999; allowed"),
        (HOURS_KEY + "2\nfinance_minutes = 5", "finance_hours is 2 and refund_before_shipping.finance_minutes is 5;"),
        (
            "[refund_before_shipping]\nfinance = 2",
            "refund_before_shipping.finance is 2, but the policy has no such key; perhaps finance_hours is meant",
        ),
        ("[shop]\nprovinc = 3", "shop.provinc is 3, but the policy has no such key; perhaps province is meant"),
        ("[shop]\nxyz = 3", "no such key; allowed in [shop] are timezone, open_from"),
        ("[shops]\nx = 1", "shops is a section, but the policy has no such key; perhaps shop is meant"),
        ("agent_limit_fen = 3", "agent_limit_fen is 3, but the policy has no such key; allowed in the file are"),
        ("shop = 3", "shop is 3; allowed is a section, [shop]"),
        ("version = 2", "version is 2; allowed is a text"),
        ('version = ""', 'version is ""; allowed is a text'),
        ('[shop]\ntimezone = "Asia/Jinan"', 'timezone is "Asia/Jinan"; allowed is a zone of the IANA database'),
        ('[shop]\ntimezone = "../UTC"', 'timezone is "../UTC"; allowed is a zone'),
        ('[shop]\ntimezone = "Asia"', 'timezone is "Asia"; allowed is a zone'),
        ('[shop]\nopen_from = "24:00"', 'open_from is "24:00"; allowed is a time from 00:00 to 23:59'),
        ('[shop]\nopen_from = "8"', 'open_from is "8"; allowed is a time'),
        ("[shop]\nopen_from = 8", "open_from is 8; allowed is a time"),
        ('[shop]\nopen_until = "08:05"', "shop.open_until is 08:05; allowed is 08:00, which is open_from"),
        ('[shop]\nflag_profile = "other"', 'flag_profile is "other"; allowed is "default" or "handed_over"'),
        ("[shop]\nremind_at_percent = 100", "remind_at_percent is 100; allowed is a whole number from 1 to 99"),
        ("[gift_approval]\ngift_cost_max_percent = nan", 'gift_cost_max_percent is "NaN"; allowed is a number from 0'),
        ("[bulk_order]\nrisk_words = [1]", "risk_words is [1]; allowed is a list of texts"),
        ('[bulk_order]\nrisk_words = ["a", "a"]', 'risk_words is ["a", "a"]; allowed is a list of texts'),
        ("[bulk_order]\nextension_days = [5, 3]", "extension_days is [5, 3]; allowed is a list"),
        (
            "[return_after_shipping]\nship_back_reminder_days = [3, 7]",
            "ship_back_reminder_days is [3, 7]; allowed is below return_after_shipping.ship_back_days, which is 7",
        ),
        (
            "[return_after_shipping]\nship_back_days = 5",
            "ship_back_days is 5; allowed is above return_after_shipping.ship_back_reminder_days, which is [3, 6]",
        ),
        ("[problem_parcel]\nreceipt_reminder_days = [2, 2]", "receipt_reminder_days is [2, 2]; allowed is a list"),
        (
            "[shop]\nprovince = 3\nxyz = 4\nopen_from = 8",
            "shop.province is 3; allowed is a text of 1 to 50 characters (and 2 more).",
        ),
        ("[shop]\nprovince =", "is not valid TOML: Invalid value (at the end, line 2)"),
        ("[shop]\n\nprovince ~ 3\n", "is not valid TOML: Expected '=' after a key in a key/value pair (at line 3,"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(file: Path, content: str, sentence: str) -> None:
    file.write_text(content)
    with pytest.raises(PolicyError) as refused:
        load_policy(file)
    said = str(refused.value)
    assert said.startswith(f"{file}: ")
    assert sentence in said
    assert said.endswith(".")
    assert "\n" not in said


def test_several_wrong_elements_of_a_list_are_one_problem(file: Path) -> None:
    file.write_text("[bulk_order]\nrisk_words = [1, 2, 3]\n")
    with pytest.raises(PolicyError, match=r"each once\.$"):
        load_policy(file)


def test_a_file_that_cannot_be_read_is_named(file: Path, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"policy\.toml: cannot be read: No such file"):
        load_policy(file)
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path)
    file.write_bytes("# fine\nprovince = '山东'".encode("gb18030"))
    with pytest.raises(PolicyError, match="line 2 is not UTF-8 text"):
        load_policy(file)


@given(st.dictionaries(st.sampled_from([*Policy.model_fields, "x"]), st.text(max_size=30), max_size=3), st.data())
def test_whatever_a_file_says_it_is_a_policy_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, sections: dict[str, str], data: st.DataObject
) -> None:
    keys = st.sampled_from(["open_from", "persuasion_days", "agent_limit_fen", "risk_words", "版本", "poll_hours"])
    values = st.sampled_from(["1", "-1", "1.5", "inf", '"a"', "[]", "[[1]]", "{}", "07:30:00", "2026-01-01", "false"])
    path = tmp_path_factory.mktemp("policy") / "policy.toml"
    lines = [f"[{name}]\n{text}\n'{data.draw(keys)}' = {data.draw(values)}" for name, text in sections.items()]
    path.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    try:
        sentence = f"{path}: {load_policy(path).version}"
    except PolicyError as refused:
        sentence = str(refused)
    assert sentence.startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("key", "clock"),
    [
        ("refund_before_shipping.persuasion", Clock.OPEN),
        ("refund_before_shipping.persuasion_hours", Clock.OPEN),
        ("refund_before_shipping.parcel_back", Clock.ALWAYS),
        ("problem_parcel.return_days", Clock.ALWAYS),
        ("return_after_shipping.ship_back_reminder_days", Clock.ALWAYS),
    ],
)
def test_the_clock_of_a_duration_is_known_by_its_key(key: str, clock: Clock) -> None:
    assert clock_of(key) is clock


@pytest.mark.parametrize("key", ["shop.province", "bulk_order.extension_days", "shop.xyz", "xyz.finance", "finance"])
def test_what_is_no_duration_has_no_clock(key: str) -> None:
    with pytest.raises(LookupError, match=re.escape(key)):
        clock_of(key)


def test_a_policy_is_described_beside_what_was_shipped(file: Path) -> None:
    file.write_text(
        '[refund_before_shipping]\npersuasion_minutes = 5\nfinance_minutes = 120\n[shop]\nopen_from = "09:00"\n'
    )
    rows = {row.key: row for row in describe(load_policy(file))}
    persuasion = rows["refund_before_shipping.persuasion_minutes"]
    assert (persuasion.value, persuasion.default, persuasion.unit) == (5, 240, "minutes")
    finance = rows["refund_before_shipping.finance_hours"]
    assert (finance.value, finance.default, finance.clock) == (2, 8, Clock.OPEN)
    assert rows["shop.open_from"].value == "09:00"
    assert rows["problem_parcel.return_days"].value == 10
    assert rows["return_after_shipping.ship_back_reminder_days"].value == (3, 6)
    changed = [key for key, row in rows.items() if row.changed]
    assert changed == [
        "version",
        "shop.open_from",
        "refund_before_shipping.persuasion_minutes",
        "refund_before_shipping.finance_hours",
    ]


def test_the_shipped_policy_is_described_as_unchanged() -> None:
    assert not any(row.changed for row in describe(SHIPPED_POLICY))
