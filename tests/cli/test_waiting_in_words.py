"""The inbox, the forecast and a verdict in words, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from casework.forecast import Course, Step, Unknown
from casework.inbox import Forecast, Inbox
from casework.settings import Language
from casework.show_waiting import forecast_text, inbox_text

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)  # 16:00 in the shop
SHANGHAI = ZoneInfo("Asia/Shanghai")


def told(language: Language) -> list[str]:
    def step(hours: int, dest: str, fen: int, *unknown: Unknown) -> Step:
        at = NOW + timedelta(hours=hours)
        return Step(trigger="finance_silent", source="y", dest=dest, at=at, pays_fen=fen, unknown=list(unknown))

    def course(case: str, *steps: Step, then: tuple[Unknown, ...] = ()) -> Course:
        return Course(
            case_id=case,
            flow="refund-before-shipping",
            order_id="1",
            state="persuading",
            amount_fen=100,
            roles=[],
            due=NOW,
            steps=list(steps),
            then_unknown=list(then),
        )

    forecast = Forecast(
        until=NOW + timedelta(hours=24),
        courses=[
            course("late", step(5, "refunding", 70_000, Unknown.WATCHES), then=(Unknown.WORKS,)),
            course("soon", step(1, "awaiting_finance", 0), step(9, "refunding", 30_000), then=(Unknown.WORKS,)),
            course("quiet"),
        ],
        at_work=["a", "b"],
    )
    return forecast_text(forecast, language=language, zone=SHANGHAI, now=NOW).splitlines()


def test_a_forecast_is_told_in_the_order_in_which_it_happens_with_the_money_at_the_foot() -> None:
    lines = told("en")
    assert [line.split(" h ")[1].split()[0] for line in lines[1:4]] == ["soon", "late", "soon"]
    unknown, after = lines[0].index("unknown"), lines[0].index("unknown after it")
    assert [(line[unknown:after].strip(), line[after:].strip()) for line in lines[1:4]] == [
        ("", ""),
        ("what the parcel does", "how the work ends"),
        ("", "how the work ends"),
    ], "what a payment depends on, and what is unknown only after it"
    assert "sent for payment for certain 300.00, may leave besides 700.00" in lines[4]
    assert lines[5:] == ["nothing in that time: 1", "at work or only watching, unknown: 2"]


def test_a_forecast_in_chinese_keeps_the_identifiers() -> None:
    lines = told("zh")
    assert "财务未审批 finance_silent → 待财务审批 awaiting_finance" in lines[1]
    assert "确定会发起付款 300.00, 视外部情况另付 700.00" in lines[4]


def test_nothing_waits_and_nothing_happens() -> None:
    empty = Inbox(cases=[], total=0, leaves_fen=0, may_leave_fen=0, leaves_until=NOW)
    assert inbox_text(empty, language="en", zone=SHANGHAI, now=NOW) == "No case waits."
    nothing = Forecast(until=NOW, courses=[], at_work=[])
    assert forecast_text(nothing, language="en", zone=SHANGHAI, now=NOW).startswith("Nothing happens by itself")
