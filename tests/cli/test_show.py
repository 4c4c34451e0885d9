"""A case in words: labels in the reader's language, identifiers beside them, times with their distance."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from rich.cells import cell_len

from casework.case import CaseView, IfSilent, TrailLine, WaitingFor
from casework.patrol import Patrolled
from casework.settings import Language
from casework.shop.outbox import Letter
from casework.show import (
    clock_time,
    distance,
    letters_of,
    outcome_label,
    patrol_report,
    show_case,
    table,
    time_with_distance,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)  # 16:00 in the shop
ORDER = "3300012345678901208"


def line(
    hours: float, by: str, trigger: str, dest: str | None, note: str | None = None, why: str | None = None
) -> TrailLine:
    accepted = dest is not None
    return TrailLine(
        at=NOW + timedelta(hours=hours),
        by=by,
        trigger=trigger,
        source="x",
        dest=dest,
        note=note,
        accepted=accepted,
        why=why,
    )


def waiting_for_finance() -> CaseView:
    due = NOW + timedelta(hours=2, minutes=10)
    return CaseView(
        case_id=f"refund-before-shipping-{ORDER}",
        flow="refund-before-shipping",
        order_id=ORDER,
        state="awaiting_finance",
        final=False,
        outcome=None,
        amount_fen=143_700,
        version=5,
        waiting_for=[
            WaitingFor(trigger="approve", roles=["finance_manager"], fields={}),
            WaitingFor(trigger="send_back", roles=["finance_manager"], fields={"note": "text, required"}),
            WaitingFor(trigger="buyer_withdraws", roles=["aftersale_agent"], fields={}),
            WaitingFor(trigger="cancel_case", roles=["aftersale_supervisor"], fields={"note": "text, required"}),
        ],
        assignee=None,
        due=due,
        if_silent=IfSilent(trigger="finance_silent", dest="refunding", at=due, pays_fen=143_700),
        opened_by="aftersale.1",
        opened_at=NOW - timedelta(hours=6),
        trail=[
            line(-6, "system", "check", "holding"),
            line(-4, "aftersale.1", "buyer_insists", "awaiting_supervisor"),
            line(-2, "aftersale-lead.1", "approve", "awaiting_finance", note="金额较大"),
            line(-1, "aftersale.1", "approve", None, why="aftersale.1 opened this case and may not approve in it"),
        ],
        policy="1",
        links=[],
        note=None,
        kept=[],
    )


def shown(language: Language, view: CaseView | None = None) -> str:
    return show_case(
        view or waiting_for_finance(), language=language, zone=SHANGHAI, now=NOW, address="1208", see="http://ui"
    )


def test_a_waiting_case_says_what_is_expected_from_whom_until_when_and_what_silence_does() -> None:
    text = shown("en")
    assert "refund before shipping · awaiting finance awaiting_finance · 1,437.00" in text
    assert (
        "finance manager finance_manager until 18:10 (in 2 h 10 min), "
        "then finance_silent → refunding (pays 1,437.00)" in text
    )
    assert "casework approve 1208" in text
    assert "casework submit 1208 send_back --note …" in text
    assert "buyer_withdraws (aftersale_agent)" in text
    assert "see: http://ui" in text


def test_the_same_case_in_chinese_keeps_the_identifiers() -> None:
    text = shown("zh")
    assert "退款(未发货) · 待财务审批 awaiting_finance · 1,437.00" in text
    assert "财务经理 finance_manager" in text
    assert "2 小时 10 分后" in text
    assert "财务未审批 finance_silent → 退款中 refunding" in text
    assert " 10:00 系统 核对 check → 拦下发货 holding\n" in text
    assert " 12:00 aftersale.1 买家坚持退款 buyer_insists → 待主管审批 awaiting_supervisor\n" in text
    assert " 15:00 ✗ aftersale.1 批准 approve: aftersale.1 opened" in text
    assert "买家撤回 buyer_withdraws (售后客服 aftersale_agent)" in text
    assert "casework submit 1208 send_back --note …" in text


def test_the_trail_shows_moves_notes_and_refusals_at_the_shops_times() -> None:
    text = shown("en")
    assert "\n 10:00 aftersale.1 opened   10:00 system check → holding\n" in text
    assert "\n 12:00 aftersale.1 buyer_insists → awaiting_supervisor\n" in text
    assert " 14:00 aftersale-lead.1 approve → awaiting_finance “金额较大”" in text
    assert " 15:00 ✗ aftersale.1 approve: aftersale.1 opened this case and may not approve in it" in text


def test_an_ended_case_shows_its_outcome_and_nothing_to_do() -> None:
    view = waiting_for_finance().model_copy(
        update={"state": "refunded", "final": True, "outcome": "refunded", "waiting_for": [], "if_silent": None}
    )
    text = shown("en", view)
    assert "ended: refunded\n" in text
    assert "casework approve" not in text


@pytest.mark.parametrize(
    ("minutes", "english", "chinese"),
    [
        (130, "in 2 h 10 min", "2 小时 10 分后"),
        (-45, "45 min ago", "45 分前"),
        (0.5, "in less than 1 min", "不到 1 分后"),
        (60 * 24 * 3 + 250, "in 3 d 4 h", "3 天 4 小时后"),
    ],
)
def test_a_distance_is_told_in_its_two_largest_units(minutes: float, english: str, chinese: str) -> None:
    when = NOW + timedelta(minutes=minutes)
    assert distance(when, NOW, "en") == english
    assert distance(when, NOW, "zh") == chinese


def test_a_time_is_the_shops_with_the_day_where_it_is_another() -> None:
    assert time_with_distance(NOW + timedelta(hours=5, minutes=40), NOW, SHANGHAI, "en") == "21:40, in 5 h 40 min"
    assert clock_time(NOW + timedelta(hours=9), NOW, SHANGHAI) == "11-21 01:00"
    assert clock_time(NOW + timedelta(days=60), NOW, SHANGHAI) == "2027-01-19 16:00"


def test_columns_are_aligned_also_with_chinese_in_them() -> None:
    first, second = table([("状态", "x"), ("state", "y")]).splitlines()
    assert cell_len(first.partition("x")[0]) == cell_len(second.partition("y")[0])


def letter(to: str, at: datetime, **more: object) -> Letter:
    return Letter(
        **{
            "key": "1",
            "case_id": f"refund-before-shipping-{ORDER}",
            "to": to,
            "recipient": "aftersale_agent" if to == "staff" else None,
            "template": "open_return_by_hand",
            "text_zh": "请人工开立退货。",
            "text_en": "Open a return by hand.",
            "at": at,
            "cancelled_at": None,
            **more,
        }  # pyright: ignore[reportArgumentType] - the fields are mixed here
    )


def test_open_tasks_of_the_staff_and_messages_to_the_buyer_stand_below_the_trail() -> None:
    before, later = NOW - timedelta(hours=2), NOW - timedelta(hours=1)
    posted = [
        letter("staff", before, cancelled_at=later, text_en="Done already."),
        letter("staff", later),
        letter("staff", later, template="reminder", text_en="Still waiting."),
        letter("buyer", later, text_en="Your refund goes on as a return."),
        letter("buyer", NOW - timedelta(days=9), text_en="Of an earlier case of the same name."),
    ]
    view = waiting_for_finance()
    text = show_case(view, language="en", zone=SHANGHAI, now=NOW, posted=letters_of(view, posted))
    assert "task (aftersale_agent), 15:00: Open a return by hand.\n" in text
    assert "to the buyer, 15:00: Your refund goes on as a return.\n" in text
    assert "Done already." not in text
    assert "Still waiting." not in text
    assert "earlier" not in text
    assert "任务 (售后客服 aftersale_agent),15:00:请人工开立退货。" in show_case(
        view, language="zh", zone=SHANGHAI, now=NOW, posted=posted
    )


def test_what_temporal_terminated_is_not_called_as_a_malicious_bulk_order_is() -> None:
    ended = waiting_for_finance().model_copy(update={"flow": "bulk-order", "final": True, "outcome": "terminated"})
    broken_off = ended.model_copy(update={"state": "legal_review"})
    malicious = ended.model_copy(update={"state": "terminated"})
    assert outcome_label(broken_off, "en").startswith("broken off: terminated")
    assert outcome_label(broken_off, "zh").startswith("被强制终止")
    assert outcome_label(malicious, "zh") == "已终止 terminated"


def test_what_was_said_at_the_opening_is_shown() -> None:
    assert " 10:00 aftersale.1 opened “又买错了”\n" in shown(
        "en", waiting_for_finance().model_copy(update={"note": "又买错了"})
    )


def test_linked_cases_are_shown_and_which_of_them_opened_this_one() -> None:
    links = [f"bulk-order-{ORDER}", f"return-after-shipping-{ORDER}"]
    view = waiting_for_finance().model_copy(update={"links": links})
    text = show_case(view, language="en", zone=SHANGHAI, now=NOW, came_from=links[0])
    assert f"linked cases: {links[0]} (opened this one), {links[1]}\n" in text
    assert f"关联工单: {links[0]} (由其开立), {links[1]}\n" in show_case(
        view, language="zh", zone=SHANGHAI, now=NOW, came_from=links[0]
    )


def test_a_patrol_tells_what_it_looked_at_and_which_cases_it_opened() -> None:
    patrolled = Patrolled(looked_at=10_000, opened=3, cases=["problem-parcel-YT1000", "problem-parcel-YT2000"])
    assert patrol_report(patrolled, "en").splitlines() == [
        "open shipments looked at: 10000, cases opened: 3",
        "  problem-parcel-YT1000",
        "  problem-parcel-YT2000",
        "  … casework cases lists the rest",
    ]
    nothing = patrol_report(Patrolled(looked_at=2, unopenable=1), "zh")
    assert nothing == "查看的在途包裹: 2, 新开工单: 0, 无法开单的包裹(单号不是运单号): 1"
