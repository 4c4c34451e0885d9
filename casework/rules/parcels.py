"""The rules of problem parcels: what a scan means, when a parcel is late, what it is worth caring for first. Pure.

Times are aware datetimes, waits are timedeltas of the policy. Source: flows.md, section 5; data.md, `kuaidi100.jsonl`;
policy.md, `problem_parcel`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, NamedTuple

ParcelState = Literal[
    "moving",
    "picked_up",
    "problem",
    "signed",
    "left_with_agent",
    "returned",
    "delivering",
    "returning",
    "forwarded",
    "customs",
    "customs_exception",
    "refused",
    "voided",
    "ready_for_pickup",
    "redirected",
]

SIGNED_BY_SENDER: Final = "4"
"""A scan: it was returned, and its sender has signed for it (data.md)."""
STATES: Final[dict[str, ParcelState]] = {
    "0": "moving",
    "1": "picked_up",
    "2": "problem",
    "3": "signed",
    "4": "returned",
    "5": "delivering",
    "6": "returning",
    "7": "forwarded",
    "8": "customs",
    "10": "customs",
    "11": "customs",
    "12": "customs",
    "13": "customs_exception",
    "14": "refused",
    "201": "problem",
    "202": "problem",
    "203": "problem",
    "204": "problem",
    "205": "problem",
    "206": "problem",
    "207": "problem",
    "208": "problem",
    "209": "problem",
    "301": "signed",
    "302": "signed",
    # an agent, a locker or a station has it: no proof that the buyer does
    "303": "left_with_agent",
    "304": "left_with_agent",
    "401": "voided",
    "501": "ready_for_pickup",
    "1001": "moving",
    "1002": "moving",
    "1003": "redirected",
}
"""Kuaidi100's codes (data.md). There is none for lost."""

EXCEPTIONS: Final[frozenset[ParcelState]] = frozenset({"problem", "customs_exception", "refused", "voided"})
"""The courier says itself that something is wrong."""
HANDED_OVER: Final[frozenset[ParcelState]] = frozenset({"signed", "left_with_agent"})
"""The courier says that it gave the parcel away: to the buyer, or to an agent, a locker or a station."""
GOING_BACK: Final[frozenset[ParcelState]] = frozenset({"returning", "returned"})

Region = Literal["same", "other", "remote"]
"""Where a parcel goes, seen from the shop: its own province, another one, or a remote one."""
Priority = Literal["high", "usual"]
Verdict = Literal["signed", "returning", "forwarded", "problem", "moving", "unknown"]

RECEIPT_TIME: Final = timedelta(days=10)
"""How long after shipping the platform takes the goods as received, if nobody has put that off."""
RECEIPT_MARGIN: Final = timedelta(days=1)
RECEIPT_EXTENSION: Final = timedelta(days=3)

_ENDINGS = re.compile(r"(省|市|自治区|壮族自治区|回族自治区|维吾尔自治区|特别行政区)$")
_FORWARDED = re.compile(
    r"转(?:投|寄|交|至|由)?\s*(?P<courier>[A-Za-z一-鿿]{2,12}?)\s*[,;、。 ]+\s*"
    r"新(?:单|运单)号\s*:?\s*(?P<waybill>[A-Za-z0-9-]{6,32})"
)
"""In a scan's text with signs of full width made narrow."""
COURIERS: Final[dict[str, str]] = {
    "ems": "ems",
    "邮政": "ems",
    "圆通": "yuantong",
    "申通": "shentong",
    "中通": "zhongtong",
    "韵达": "yunda",
    "顺丰": "shunfeng",
    "极兔": "jtexpress",
    "京东": "jd",
    "德邦": "debangkuaidi",
}
"""Kuaidi100's code of a courier, by how its Chinese name begins."""


class Forwarding(NamedTuple):
    """Under which waybill, and by which courier, a parcel goes on."""

    courier: str
    waybill: str


@dataclass(frozen=True, slots=True)
class Scanned:
    """The newest scan of a parcel, and when the courier said so: the last status, with its age. Times are aware."""

    code: str
    at: datetime
    answered_at: datetime

    @property
    def state(self) -> ParcelState:
        """What the code means."""
        return meaning_of(self.code)


def meaning_of(code: str) -> ParcelState:
    """What a courier's code means; an unknown one is taken as moving.

    Source: data.md, `kuaidi100.jsonl`; contract: unknown codes stay as they came and treated as moving.
    """
    return STATES.get(code, "moving")


def proves_receipt(code: str) -> bool:
    """Whether a scan says that the buyer has the parcel: 3, 301 and 302 do, 303 and 304 (agent, locker) do not.

    Source: flows.md, "Dates" and section 5: a signed scan by an agent, a locker or a station is not the buyer's
    receipt: the buyer is asked.
    """
    return meaning_of(code) == "signed"


def province_of(address: str) -> str:
    """The province that an address begins with, without its ending: `内蒙古` of `内蒙古自治区 锡林郭勒盟 …`."""
    first = (address.split() or [""])[0]
    for _ in range(2):  # 广西壮族自治区 has two
        first = _ENDINGS.sub("", first) or first
    return first


def region_of(address: str, *, shop_province: str, remote_provinces: Collection[str]) -> Region:
    """How far away an address is, seen from the shop; one that names no province counts as another province.

    Source: policy.md, `shop.province` and `problem_parcel.remote_provinces`.
    """
    province = province_of(address)
    if province and province == province_of(shop_province):
        return "same"
    return "remote" if province in {province_of(one) for one in remote_provinces} else "other"


def delivery_cycle(
    region: Region, courier: str, *, same: timedelta, other: timedelta, remote: timedelta, ems_extra: timedelta
) -> timedelta:
    """How long delivery usually takes from the shipping on; EMS takes longer.

    Source: policy.md, `problem_parcel.cycle_…`.
    """
    usual = {"same": same, "other": other, "remote": remote}[region]
    return usual + (ems_extra if courier == "ems" else timedelta(0))


def counted_from(since: datetime | None, answered_at: datetime | None) -> datetime | None:
    """From when delay is counted: the parcel's leaving, or the courier's last answer if that came later.

    Times are aware.

    Source: flows.md, section 5, `find_problem`: overdue and no scan for too long are counted anew from that answer.
    """
    return max((one for one in (since, answered_at) if one is not None), default=None)


def is_overdue(begin: datetime, *, cycle: timedelta, grace: timedelta, at: datetime) -> bool:
    """Whether a parcel is beyond the usual delivery and the grace, counted from `begin`; exactly then it is not yet.

    `begin` and `at` are aware.

    Source: flows.md, section 5, `find_problem`; policy.md, `problem_parcel.overdue_grace_hours`.
    """
    return at > begin + cycle + grace


def lacks_scans(last: Scanned | None, begin: datetime, *, no_scan: timedelta) -> bool:
    """Whether the courier, when it last answered, had scanned nothing for too long, counted from `begin`.

    A courier that does not answer means nothing: only what it said counts, as of when it said so. `begin` is aware.

    Source: flows.md, section 5, `find_problem` and last paragraph; policy.md, `problem_parcel.no_scan_hours`.
    """
    return last is not None and last.answered_at > max(last.at, begin) + no_scan


def has_exception(last: Scanned | None, answered_at: datetime | None) -> bool:
    """Whether the newest scan is an exception that came after the courier's last answer to the specialist.

    `answered_at` is aware.

    Source: flows.md, section 5, `find_problem`.
    """
    return last is not None and last.state in EXCEPTIONS and (answered_at is None or last.at > answered_at)


def is_going_back(last: Scanned | None, answered_at: datetime | None) -> bool:
    """Whether the newest scan says that the parcel goes back, and the courier has not said otherwise since.

    `answered_at` is aware.

    Source: flows.md, section 5, `find_returning`.
    """
    return last is not None and last.state in GOING_BACK and (answered_at is None or last.at > answered_at)


def is_signed(last: Scanned | None, denied_at: datetime | None) -> bool:
    """Whether the newest scan says that the parcel was handed over, and the buyer has not denied it since.

    `denied_at` is aware.

    Source: flows.md, section 5, `find_signed`: a signed scan (3, 301 to 304) that the buyer has not denied.
    """
    return last is not None and last.state in HANDED_OVER and (denied_at is None or last.at > denied_at)


def forwarded_to(code: str, text: str) -> Forwarding | None:
    """The new courier and waybill that a scan of a forwarded parcel names; None if it names none that is known.

    Source: flows.md, section 5, `find_forwarded`; data.md: 7 forwarded to another courier.
    """
    if meaning_of(code) != "forwarded":
        return None
    found = _FORWARDED.search(unicodedata.normalize("NFKC", text))
    if found is None:
        return None
    courier = courier_code(found["courier"])
    return Forwarding(courier, found["waybill"]) if courier else None


def courier_code(name: str) -> str | None:
    """Kuaidi100's code of a courier by the name that shops and scans use, such as `圆通速递`; None if not known."""
    lowered = name.strip().lower()
    if lowered in COURIERS.values():
        return lowered
    return next((code for beginning, code in COURIERS.items() if lowered.startswith(beginning)), None)


def priority_of(value_fen: int, region: Region, *, big_parcel_fen: int) -> Priority:
    """Which parcels come first: those worth `big_parcel_fen` or more, and those to a key (remote) region.

    Source: flows.md, section 5: big parcels and key regions first; policy.md, `problem_parcel.big_parcel_fen` and
    `.remote_provinces` (cycle, priority).
    """
    return "high" if value_fen >= big_parcel_fen or region == "remote" else "usual"


def receipt_extended(until: datetime, at: datetime) -> datetime | None:
    """Until when the trade's receipt time is to be put off now; None while a day or more of it is left.

    Times are aware.

    Source: flows.md, section 5: while a case is open, the trade's receipt time is extended by 3 days whenever less
    than one is left.
    """
    if until - at >= RECEIPT_MARGIN:
        return None
    return max(until, at) + RECEIPT_EXTENSION


def may_ask(asked_at: datetime | None, at: datetime, poll_min: timedelta) -> bool:
    """Whether a waybill may be asked for again: not within `poll_min` of the last time, whoever asked then.

    `asked_at` and `at` are aware.

    Source: flows.md, section 5: never more often than every 30 min for one waybill.
    """
    return asked_at is None or abs(at - asked_at) >= poll_min


def verdict(
    last: Scanned | None,
    *,
    forwarding_known: bool,
    begin: datetime | None,
    overdue_from_start: bool,
    answered_at: datetime | None,
    denied_at: datetime | None,
    cycle: timedelta,
    grace: timedelta,
    no_scan: timedelta,
    fresh: timedelta,
    at: datetime,
) -> Verdict:
    """What a look at a parcel comes to; `unknown` where the courier has not answered and nothing speaks for trouble.

    A courier that does not answer means nothing: its last word stands for trouble or a signature that it told of, and
    is never taken as normal. `fresh` is for how long an answer is one to this look.

    `begin` is from when delay is counted (`counted_from`); None where nobody knows when the parcel left: then it is
    overdue if its case was opened as such (`overdue_from_start`) and no answer has come since. `begin`, `answered_at`,
    `denied_at` and `at` are aware.

    Source: flows.md, section 5, the rows from tracking, in their order.
    """
    if is_signed(last, denied_at):
        return "signed"
    if is_going_back(last, answered_at):
        return "returning"
    if forwarding_known:
        return "forwarded"
    overdue = overdue_from_start if begin is None else is_overdue(begin, cycle=cycle, grace=grace, at=at)
    unscanned = begin is not None and lacks_scans(last, begin, no_scan=no_scan)
    if has_exception(last, answered_at) or overdue or unscanned:
        return "problem"
    return "moving" if last is not None and at - last.answered_at <= fresh else "unknown"
