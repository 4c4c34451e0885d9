"""The world of flow 2: what is claimed and shown, where the goods are, what courier, platform and payment do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from casework.messages import Message, MessageWithReason
from casework.money import LineQuantity
from casework.policy import load_policy
from casework.rules.returns import Cause
from casework.standing import ReturnStanding
from state_machines import return_after_shipping as table
from state_machines.common import UNLIMITED, PaidByHand, nothing_paid, within_decision
from state_machines.laws.exploring import AT, OPENER
from state_machines.laws.world import Happening, Known, Opening, World
from state_machines.return_after_shipping import (
    RETURN_AFTER_SHIPPING,
    AcceptedLine,
    AddEvidence,
    BuyerShips,
    FailInspection,
    Goods,
    GoodsSentBack,
    PassInspection,
    ReturnCase,
    ReturnFigures,
)
from state_machines.roles import Automatic, Role
from state_machines.table import Attempt, Move

POLICY = load_policy(None)
FIGURES = POLICY.return_after_shipping
AUTOMATIC, CLERK, SUPERVISOR = FIGURES.automatic_limit_fen, FIGURES.clerk_limit_fen, FIGURES.supervisor_limit_fen
AMOUNTS = (AUTOMATIC, AUTOMATIC + 1, CLERK, CLERK + 1, SUPERVISOR, SUPERVISOR + 1)
"""Amounts in fen on both sides of every limit."""
LONG_AGO = AT - FIGURES.ship_back
"""Signed for on the last day on which a return may be asked for, and as long ago as the goods may stay there."""
LINES = [LineQuantity(line=1, quantity=1)]


@dataclass(frozen=True, slots=True)
class ReturnOpening:
    """How a return is opened: the amount in fen, what is claimed and shown, where the goods are, and who said so."""

    amount_fen: int
    cause: Cause = "no_reason"
    shown: bool = True
    """Whether the evidence for the fault is there."""
    opened: bool = False
    """Opened and beyond restoring: only a fault can take it back."""
    goods: Goods = "with_buyer"
    said_lost: bool = False


def _kinds(amount_fen: int) -> list[ReturnOpening]:
    return [
        ReturnOpening(amount_fen),
        ReturnOpening(amount_fen, opened=True),
        ReturnOpening(amount_fen, "quality"),
        ReturnOpening(amount_fen, "quality", opened=True),
        ReturnOpening(amount_fen, "quality", shown=False),
        ReturnOpening(amount_fen, "quality", shown=False, opened=True),
        ReturnOpening(amount_fen, goods="lost", said_lost=True),
        ReturnOpening(amount_fen, goods="lost"),
        ReturnOpening(amount_fen, goods="already_back"),
    ]


def _case(how: ReturnOpening) -> ReturnCase:
    shown = how.cause != "no_reason" and how.shown
    return ReturnCase(
        case_id="return-after-shipping-330000001",
        run_id="run",
        flow=RETURN_AFTER_SHIPPING.name,
        order_id="330000001",
        state=RETURN_AFTER_SHIPPING.initial,
        opened_by=OPENER,
        opened_at=AT,
        involved=[OPENER],
        policy=ReturnFigures.model_validate(POLICY.for_flow(RETURN_AFTER_SHIPPING.name)),
        lines=LINES,
        amount_fen=how.amount_fen,
        cause=how.cause,
        opened=how.opened,
        photos=["photo-1"] if shown else [],
        description="a hole in the seam" if shown else None,
        goods=how.goods,
        said_lost=how.said_lost,
        from_case=None if how.goods == "with_buyer" else "problem-parcel-YT0000000001",
    )


def _who_matters(how: ReturnOpening) -> bool:
    """One opening for each thing that can make a difference to who may act."""
    return how.amount_fen == AMOUNTS[-1] or how == ReturnOpening(AMOUNTS[0], "quality")


def _openings() -> list[Opening[ReturnCase]]:
    return [Opening(_case(how), how, for_people=_who_matters(how)) for amount in AMOUNTS for how in _kinds(amount)]


# --- what the case learns ---


def _standing(case: ReturnCase, **known: Any) -> None:
    signed = case.standing.signed_at if case.standing is not None else LONG_AGO
    usual = {
        "paid": True,
        "closed": False,
        "refunded": False,
        "has_left": True,
        "refundable_fen": case.amount_fen,
        "signed_at": signed,
        "on_its_way": signed is None,
        "free_shipping": True,
    }
    case.standing = ReturnStanding.model_validate({**usual, **known})


def _on_its_way(case: ReturnCase) -> None:
    _standing(case, signed_at=None, on_its_way=True)


def _is_signed(case: ReturnCase) -> None:
    _standing(case, signed_at=LONG_AGO, on_its_way=False)


def _not_signed(case: ReturnCase) -> bool:
    return case.standing is not None and case.standing.signed_at is None


def _signed_by_us(case: ReturnCase) -> None:
    case.signed_at_our_address = True


def _sent(case: ReturnCase) -> None:
    case.money_sent = True
    case.paid_fen = case.amount_fen


def _next_amount(case: ReturnCase) -> int:
    return next((amount for amount in AMOUNTS if amount > case.amount_fen), case.amount_fen)


def _rise(case: ReturnCase) -> None:
    case.amount_fen = _next_amount(case)


def _rise_and_stand(case: ReturnCase) -> None:
    _rise(case)
    _standing(case)


def _rise_and_pay(case: ReturnCase) -> None:
    _rise(case)
    _sent(case)


def _may_rise(case: ReturnCase) -> bool:
    """Another line of the order goes, and the postage falls to a return for a fault."""
    return case.for_fault and _next_amount(case) > case.amount_fen


def _decided(case: ReturnCase) -> bool:
    return case.amount_fen <= case.decided_fen


def _more_than_decided(case: ReturnCase) -> bool:
    return not _decided(case)


HAPPENINGS: list[Happening[ReturnCase]] = [
    Happening("nothing was shipped", "assess", learn=lambda case: _standing(case, has_left=False)),
    Happening("the order is not paid", "assess", learn=lambda case: _standing(case, paid=False)),
    Happening("the order is closed", "assess", learn=lambda case: _standing(case, closed=True)),
    Happening("nothing is left to refund", "assess", learn=lambda case: _standing(case, refunded=True)),
    Happening("another case has the lines", "assess", learn=lambda case: _standing(case, claimed_by="another")),
    Happening("the buyer has them", "assess", learn=_standing),
    Happening("they are on their way", "assess", learn=_on_its_way),
    Happening("they are back in stock", "restock"),
    Happening("paid", "pay", learn=_sent, possible=_decided, pays=True),
    Happening("the platform has paid before us", "pay", learn=_sent, possible=_decided, paid_by_platform=True),
    Happening("the payment is refused for good", "fail_payment", possible=_decided),
    Happening(
        "the postage falls to this case, and that is paid",
        "pay",
        learn=_rise_and_pay,
        changes_amount=True,
        possible=lambda case: _may_rise(case) and _next_amount(case) <= case.decided_fen,
        pays=True,
    ),
    Happening(
        "the postage falls to this case, which is more than was decided",
        "find_amount_risen",
        learn=_rise,
        changes_amount=True,
        possible=lambda case: _decided(case) and _may_rise(case) and _next_amount(case) > case.decided_fen,
    ),
    Happening("more is due than was decided", "find_amount_risen", possible=_more_than_decided),
    Happening("the return is settled", "settle"),
    Happening("everything is undone", "undo"),
    Happening(
        "the platform pays",
        "order_gone",
        learn=lambda case: _standing(case, refunded=True),
        paid_by_platform=True,
    ),
    Happening(
        "the postage falls to this case",
        "order_gone",
        states=("repairing_payment",),
        learn=_rise_and_stand,
        changes_amount=True,
        possible=_may_rise,
    ),
    # what the shop shows when it is looked at for something else
    Happening("the parcel is signed for", "order_gone", ("awaiting_parcel",), learn=_is_signed, possible=_not_signed),
    Happening("the news is of something else", "order_gone"),
    Happening("somebody at our address signs", "order_gone", ("tracing_return",), learn=_signed_by_us),
]


def _message(case: ReturnCase, trigger: str, by: str) -> Message:
    kind = RETURN_AFTER_SHIPPING.triggers[trigger].message
    if kind is PaidByHand:
        return PaidByHand(by=by, payment_reference="bank-1", amount_fen=case.amount_fen)
    if kind is MessageWithReason:
        return MessageWithReason(by=by, note="looked at again")
    if kind is AddEvidence:
        return AddEvidence(by=by, photos=["photo-1"], description="a hole in the seam")
    if kind is BuyerShips:
        return BuyerShips(by=by, courier="yuantong", waybill="YT9000000001")
    if kind is GoodsSentBack:
        return GoodsSentBack(by=by, courier="yuantong", waybill="YT9000000002")
    if kind is PassInspection:
        taken = [AcceptedLine(line=one.line, accepted_quantity=one.quantity) for one in LINES]
        return PassInspection(by=by, lines=taken, gift_back=True, invoice_back=True)
    if kind is FailInspection:
        return FailInspection(by=by, reason="worn", photos=["photo-2"])
    return kind(by=by)


def _authority(moved: Move[ReturnCase], attempt: Attempt[ReturnCase]) -> int | None:
    """Flows.md and policy.md, read without the table's guards."""
    own = attempt.actor.grants.get(attempt.role) if attempt.actor and attempt.role else None

    match moved.trigger, moved.source, attempt.role or attempt.automatic:
        case "assess", "assessing", Automatic.SYSTEM if moved.dest == "refunding":
            return CLERK
        # restocking decides nothing: it is by the limit of whoever passed the inspection
        case "pass_inspection", _, Role.RETURNS_CLERK | Role.AFTERSALE_SUPERVISOR:
            return CLERK if own is None else min(CLERK, own)
        case "accept_loss", "tracing_return", Role.STORE_MANAGER:
            return CLERK
        case "approve", "awaiting_finance", Role.FINANCE_MANAGER:
            return UNLIMITED
        case "finance_silent", "awaiting_finance", Automatic.CLOCK:
            return attempt.case.amount_fen
        case _:
            return None


def _wrong(case: ReturnCase) -> str | None:
    if case.state in ("inspecting", "inspection_late", "sending_back", "restocking") and not case.goods_came_in:
        return f"the case is in {case.state}, and no goods came in"
    if case.state == "restocking" and (not case.looked_at or not case.refunded_lines):
        return "goods go into stock that nobody has taken"
    if case.state == "returning" and case.way_back is None:
        return "goods are said to be on their way back, and nobody has sent them"
    if case.state == "withdrawn" and case.goods_came_in:
        return "the buyer withdrew, and the goods stay here"
    return None


WORLD: World[ReturnCase] = World(
    flow=RETURN_AFTER_SHIPPING,
    openings=_openings(),
    happenings=HAPPENINGS,
    message=_message,
    known=[
        Known(lambda case: case.amount_fen),
        Known(lambda case: case.decided_fen),
        Known(lambda case: (case.goods, case.said_lost), (table.back_or_said_lost, table.no_goods_to_come)),
        Known(
            lambda case: (case.cause, case.opened, tuple(case.missing_evidence)),
            (
                table.outside_rules,
                table.evidence_is_missing,
                table.fault_claimed,
                table.eligible_without_fault_or_came_in,
                table.rules_allow_refusing,
                table.eligible_on_paper,
            ),
        ),
        Known(lambda case: case.for_fault),
        Known(lambda case: case.supplier_agreed, (table.rules_allow_refusing,)),
        Known(lambda case: case.manager_judged, (table.manager_has_not_judged,)),
        Known(_not_signed, (table.signed_too_lately,)),
        Known(lambda case: case.goods_came_in),
        Known(lambda case: bool(case.received), (table.goods_have_come_in,)),
        Known(lambda case: case.accepted is not None),
        Known(lambda case: case.looked_at),
        Known(lambda case: case.way_back is not None),
        Known(lambda case: case.inspected_limit_fen, (table.within_clerk_limit,)),
        Known(lambda case: case.signed_at_our_address, (table.signed_for_by_us,)),
        Known(lambda case: case.money_sent, (nothing_paid, within_decision)),
    ],
    authority=_authority,
    voids=frozenset({"send_back"}),
    counts_kept=frozenset({"receive_goods"}),
    silent=frozenset({("finance_silent", "awaiting_finance")}),
    low_limit_fen=AMOUNTS[0] - 1,
    asked_for=lambda case: case.goods_came_in,
    effects={"confirm_paid_by_hand": _sent},
    pays_by_hand={"confirm_paid_by_hand": Role.REFUND_CLERK},
    wrong=_wrong,
)
