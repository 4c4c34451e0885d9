"""The world of flow 5: what a look at a parcel may show, what the courier, the buyer and the warehouse may say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, get_args

from casework.messages import Message, MessageWithReason
from casework.parcels import Followed, ParcelReport
from casework.policy import load_policy
from casework.rules.parcels import Verdict
from state_machines import problem_parcel as table
from state_machines.laws.exploring import AT, OPENER
from state_machines.laws.world import Happening, Known, Opening, World
from state_machines.problem_parcel import (
    PROBLEM_PARCEL,
    BuyerChooses,
    Cause,
    Choice,
    CourierAnswers,
    Finding,
    OnItsWay,
    ParcelCase,
    ParcelFigures,
    ProofFound,
)
from state_machines.roles import Role
from state_machines.table import Attempt, Move

POLICY = load_policy(None)
AGENT_LIMIT = POLICY.problem_parcel.agent_limit_fen
SUPERVISOR_LIMIT = POLICY.problem_parcel.supervisor_limit_fen
AMOUNTS = (AGENT_LIMIT, AGENT_LIMIT + 1, SUPERVISOR_LIMIT, SUPERVISOR_LIMIT + 1)
"""Paid values in fen on both sides of every limit."""
WAYBILL, NEW_WAYBILL = "YT00000000001", "EA00000000001CN"


@dataclass(frozen=True, slots=True)
class ParcelOpening:
    """How a problem parcel is opened: its paid value in fen, why, and whether a return awaits it.

    `scanned_late`: a scan comes in while the courier's answer is late.
    """

    amount_fen: int
    cause: Cause = "overdue"
    way_back: bool = False
    scanned_late: bool = False


OPENINGS = (
    *(ParcelOpening(amount) for amount in AMOUNTS),
    ParcelOpening(AMOUNTS[0], cause="asked"),
    ParcelOpening(AMOUNTS[0], way_back=True),
    ParcelOpening(AMOUNTS[0], scanned_late=True),
)
WHO_MATTERS = (ParcelOpening(AMOUNTS[0]), ParcelOpening(AMOUNTS[-1]))
"""One opening for each thing that can make a difference to who may act."""
SCANNED_LATE = "a scan comes in while the courier's answer is late"
"""The note by which the openings are told apart in which that happens."""


def _opening(how: ParcelOpening) -> Opening[ParcelCase]:
    case = ParcelCase(
        case_id=f"problem-parcel-{WAYBILL}",
        run_id="run",
        flow=PROBLEM_PARCEL.name,
        order_id="330000001",
        state=PROBLEM_PARCEL.initial,
        opened_by=OPENER,
        opened_at=AT,
        involved=[OPENER],
        note=SCANNED_LATE if how.scanned_late else None,
        from_case="return-after-shipping-330000001" if how.way_back else None,
        policy=ParcelFigures.model_validate(POLICY.for_flow(PROBLEM_PARCEL.name)),
        amount_fen=how.amount_fen,
        waybill=WAYBILL,
        courier="yuantong",
        cause=how.cause,
        way_back=how.way_back,
    )
    return Opening(case, how, for_people=how in WHO_MATTERS)


# --- what the case learns ---


def _report(case: ParcelCase, **known: Any) -> None:
    """What the shop says of the parcel now; a report is replaced, never changed."""
    usual: dict[str, Any] = {
        "known": True,
        "settled": False,
        "order_over": False,
        "trade_finished": False,
        "in_stock": True,
        "left": [],
        "value_fen": case.amount_fen,
        "region": "other",
    }
    before = case.report.model_dump() if case.report is not None else {}
    case.report = ParcelReport.model_validate({**usual, **before, **known})


def _registered(case: ParcelCase, *, in_stock: bool) -> None:
    _report(case, in_stock=in_stock)
    case.following = Followed(courier=case.courier, waybill=case.waybill, since=AT)


def _scanned_late(case: ParcelCase) -> None:
    if case.note == SCANNED_LATE:
        _report(case, code="0", scan_at=AT + timedelta(days=1), answered_at=AT + timedelta(days=1))


def _shows(name: str, trigger: str, seen: Verdict, **known: Any) -> Happening[ParcelCase]:
    def learn(case: ParcelCase) -> None:
        _report(case, **known)
        case.verdict = seen

    return Happening(name, trigger, learn=learn)


def _forwarded(case: ParcelCase) -> None:
    _report(case, forwarding=Followed(courier="ems", waybill=NEW_WAYBILL, since=AT))
    case.verdict = "forwarded"


def _newest_scan(case: ParcelCase) -> datetime | None:
    return case.report.scan_at if case.report is not None else None


def _only_asked(case: ParcelCase) -> bool:
    return case.cause == "asked" and not case.troubled


def _on_time() -> Happening[ParcelCase]:
    def learn(case: ParcelCase) -> None:
        case.verdict = "moving"

    # a look at another parcel shows the same and moves nothing, so it is nothing that happens
    return Happening("it moves, and is on time", "find_normal", learn=learn, possible=_only_asked)


HAPPENINGS: list[Happening[ParcelCase]] = [
    Happening("there is no such parcel", "register", learn=lambda case: _report(case, known=False, settled=False)),
    Happening("it is settled already", "register", learn=lambda case: _report(case, settled=True)),
    Happening("it is registered", "register", learn=lambda case: _registered(case, in_stock=True)),
    Happening("it is registered, and sold out", "register", learn=lambda case: _registered(case, in_stock=False)),
    _on_time(),
    _shows("it is signed for", "find_signed", "signed"),
    _shows("something is wrong with it", "find_problem", "problem"),
    _shows("it is going back", "find_returning", "returning"),
    Happening("the courier forwards it", "find_forwarded", learn=_forwarded),
    Happening("the trade is finished", "find_confirmed", learn=lambda case: _report(case, trade_finished=True)),
    Happening("the order is over", "order_gone", learn=lambda case: _report(case, order_over=True)),
    # a look that shows nothing: no row is taken
    *(
        Happening(f"nothing is seen that would be {trigger}", trigger)
        for trigger in (
            "find_normal",
            "find_signed",
            "find_problem",
            "find_returning",
            "find_forwarded",
            "find_confirmed",
            "order_gone",
        )
    ),
    Happening("the refund is opened, or its return told", "open_refund"),
    Happening("everything is undone", "undo"),
]


def _message(_: ParcelCase, trigger: str, by: str) -> Message:
    kind = PROBLEM_PARCEL.triggers[trigger].message
    if kind is CourierAnswers:
        return CourierAnswers(by=by, finding="moving")
    if kind is BuyerChooses:
        return BuyerChooses(by=by, choice="pickup")
    if kind is OnItsWay:
        return OnItsWay(by=by, courier="ems", waybill=NEW_WAYBILL)
    if kind is ProofFound:
        return ProofFound(by=by, signer="family")
    if kind is MessageWithReason:
        return MessageWithReason(by=by, note="looked at again")
    return kind(by=by)


def _more_messages(_: ParcelCase, trigger: str, by: str) -> Sequence[Message]:
    """Every other finding of the courier's, every other choice of the buyer's."""
    if trigger == "courier_answers":
        return [CourierAnswers(by=by, finding=one) for one in get_args(Finding) if one != "moving"]
    if trigger == "buyer_chooses":
        return [BuyerChooses(by=by, choice=one, address_id="address-1") for one in get_args(Choice) if one != "pickup"]
    return ()


def _authority(_: Move[ParcelCase], __: Attempt[ParcelCase]) -> int | None:
    """No money leaves here: a return that is opened decides about it."""
    return None


def _sent_without_authority(case: ParcelCase) -> bool:
    """Goods are sent again that are worth more than whoever decided so may decide."""
    if case.state != "reshipping" or case.amount_fen <= AGENT_LIMIT:
        return False
    levels = {one.role for one in case.approvals}
    return Role.FINANCE_MANAGER not in levels and not (
        Role.AFTERSALE_SUPERVISOR in levels and case.amount_fen <= SUPERVISOR_LIMIT
    )


def _wrong(case: ParcelCase) -> str | None:
    if _sent_without_authority(case):
        return "goods are sent again without the authority to"
    if case.way_back and case.state in (
        "reshipping",
        "awaiting_supervisor",
        "confirming_receipt",
        "disputing_signature",
        "refund_opened",
    ):
        return (
            f"a return on its way to us is in {case.state}: nothing is sent again, no buyer has it, nothing is opened"
        )
    if case.state == "reassured" and case.cause != "asked":
        return "a parcel that nobody only asked about is called normal"
    return None


WORLD: World[ParcelCase] = World(
    flow=PROBLEM_PARCEL,
    openings=[_opening(how) for how in OPENINGS],
    happenings=HAPPENINGS,
    message=_message,
    more_messages=_more_messages,
    known=[
        Known(lambda case: case.amount_fen),
        Known(lambda case: case.way_back),
        Known(lambda case: case.note),
        Known(_only_asked, (table.only_asked_and_on_time,)),
        Known(lambda case: case.report is not None and case.report.in_stock, (table.goods_in_stock,)),
        Known(lambda case: (_newest_scan(case), case.scan_when_asked), (table.scanned_since_asked,)),
        Known(_sent_without_authority),
    ],
    authority=_authority,
    silent=frozenset(),
    asked_for=lambda _: True,
    low_limit_fen=AMOUNTS[0] - 1,
    effects={"investigation_overdue": _scanned_late},
    wrong=_wrong,
)
