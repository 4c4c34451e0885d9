"""The world of flow 4: how a bulk order may stand, what the buyer, the platform and a payment may do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from casework.messages import Message, MessageWithReason
from casework.policy import load_policy
from casework.rules.bulk import Sign, approved_price
from casework.standing import BulkStanding
from state_machines import bulk_order as table
from state_machines.bulk_order import (
    BULK_ORDER,
    CHANGING,
    JUDGED,
    WATCHED,
    ApproveDiscount,
    BulkCase,
    BulkFigures,
    ChangeAmount,
    Extend,
    FindMalicious,
    PassLegalReview,
    SubmitDossier,
)
from state_machines.common import PaidByHand, RaiseDispute, nothing_paid
from state_machines.laws.exploring import AT, CLOCK_AT, OPENER
from state_machines.laws.world import Happening, Known, Opening, World
from state_machines.roles import Role
from state_machines.table import Attempt, Move

POLICY = load_policy(None)
FIGURES = POLICY.bulk_order
SUPERVISOR_LIMIT = FIGURES.supervisor_discount_percent
GENERAL_MANAGER_LIMIT = FIGURES.general_manager_discount_percent
A_LITTLE = Decimal("0.01")
DISCOUNTS = (
    Decimal(0),
    SUPERVISOR_LIMIT,
    SUPERVISOR_LIMIT + A_LITTLE,
    GENERAL_MANAGER_LIMIT,
    GENERAL_MANAGER_LIMIT + A_LITTLE,
)
"""Discounts in percent on both sides of every limit, and none at all."""
UNLIMITED = 10**12
"""More fen than any order: who may grant the discount has decided on all that it comes to."""


@dataclass(frozen=True, slots=True)
class BulkOpening:
    """How a bulk order is opened: its total in fen, the discount asked in percent, whether the buyer has paid."""

    total_fen: int
    percent: Decimal
    paid: bool


def total_of(percent: Decimal, *, paid: bool) -> int:
    """The total in fen of the order on which this discount is asked: another one for each, as a message tells it."""
    return 100_000 + 2_000 * DISCOUNTS.index(percent) + (1_000 if paid else 0)


PERCENTS = {total_of(percent, paid=paid): percent for percent in DISCOUNTS for paid in (True, False)}


def approved_fen(total_fen: int) -> int:
    """The approved price in fen of the order with this total, under the discount that is asked on it."""
    return approved_price(total_fen, 0, PERCENTS[total_fen])


def _openings() -> list[Opening[BulkCase]]:
    policy = BulkFigures.model_validate(POLICY.for_flow(BULK_ORDER.name))
    openings: list[Opening[BulkCase]] = []
    for percent in DISCOUNTS:
        for paid in (True, False):
            total = total_of(percent, paid=paid)
            case = BulkCase(
                case_id="bulk-order-330000001",
                run_id="run",
                flow=BULK_ORDER.name,
                order_id="330000001",
                state=BULK_ORDER.initial,
                opened_by=OPENER,
                opened_at=AT,
                involved=[OPENER],
                policy=policy,
                amount_fen=total,
                discount_percent=percent,
                standing=BulkStanding(paid=paid, gone=False, total_fen=total, held=True, can_be_held=True),
            )
            matters = paid and percent == SUPERVISOR_LIMIT + A_LITTLE
            openings.append(Opening(case, BulkOpening(total, percent, paid), for_people=matters))
    return openings


# --- what the case learns ---


def _standing(case: BulkCase, **known: Any) -> None:
    before = case.standing or BulkStanding(paid=False, gone=False, total_fen=case.amount_fen)
    case.standing = before.model_copy(update=known)


def _read(case: BulkCase) -> BulkStanding:
    if case.standing is None:
        raise ValueError("every case of this world knows how its order stands")
    return case.standing


def _write_approved(case: BulkCase) -> None:
    case.approved_fen = approved_fen(case.amount_fen)


def _sent(case: BulkCase) -> None:
    case.money_sent = True


def _reviewed(case: BulkCase) -> None:
    _standing(case, differs=False)


def _not_sent(case: BulkCase) -> bool:
    return not case.money_sent


def _is_paid(case: BulkCase) -> bool:
    return _read(case).paid


def _is_unpaid(case: BulkCase) -> bool:
    return not _read(case).paid


def _may_ship(case: BulkCase) -> bool:
    return _is_paid(case) and not _read(case).all_shipped


def _has_shipped(case: BulkCase) -> bool:
    return _read(case).all_shipped


def _has_not_shipped(case: BulkCase) -> bool:
    return not _read(case).all_shipped


HAPPENINGS: list[Happening[BulkCase]] = [
    Happening("the order is closed", "screen", learn=lambda case: _standing(case, gone=True)),
    Happening(
        "it has left",
        "screen",
        learn=lambda case: _standing(case, held=False, can_be_held=False, all_shipped=True),
        possible=_is_paid,
    ),
    Happening("held", "screen"),
    Happening("the memo is written", "write_memo", learn=_write_approved),
    Happening("paid", "pay", learn=_sent, possible=_not_sent, pays=True),
    Happening("the platform has paid before us", "pay", learn=_sent, possible=_not_sent, paid_by_platform=True),
    Happening("it was paid the first time", "pay", possible=lambda case: case.money_sent),
    Happening("the payment is refused for good", "fail_payment", possible=_not_sent),
    Happening("ended unpaid", "terminate", possible=_is_unpaid, lets_go=True),
    Happening("ended, and a refund is opened", "terminate", possible=_is_paid, lets_go=True),
    Happening("everything is undone", "undo", lets_go=True),
    Happening(
        "the address changes",
        "order_changed",
        learn=lambda case: _standing(case, differs=True),
        possible=_has_not_shipped,
    ),
    Happening(
        "the address changes when all of it has left",
        "order_changed",
        states=("following",),
        learn=lambda case: _standing(case, differs=True, held=False, can_be_held=False),
        possible=_has_shipped,
        for_people=False,
    ),
    Happening("the order is still there", "order_gone"),
    Happening("the order is closed or refunded", "order_gone", learn=lambda case: _standing(case, gone=True)),
    Happening(
        "all of it ships",
        "order_gone",
        states=("following",),
        learn=lambda case: _standing(case, held=False, can_be_held=False, all_shipped=True, last_shipped_at=AT),
        possible=_may_ship,
        for_people=False,
    ),
    Happening(
        "all of it ships late",
        "order_gone",
        states=("following",),
        learn=lambda case: _standing(case, held=False, can_be_held=False, all_shipped=True, last_shipped_at=CLOCK_AT),
        possible=_may_ship,
        for_people=False,
    ),
    Happening(
        "the trade is finished",
        "order_gone",
        states=WATCHED,
        learn=lambda case: _standing(case, finished=True),
        possible=_has_shipped,
        for_people=False,
    ),
]


def _message(case: BulkCase, trigger: str, by: str) -> Message:
    kind = BULK_ORDER.triggers[trigger].message
    if kind is SubmitDossier:
        return SubmitDossier(by=by, buyer_registered_on=date(2020, 2, 29), buyer_purchases=3)
    if kind is PassLegalReview:
        return PassLegalReview(by=by, note="nothing speaks against it")
    if kind is FindMalicious:
        return FindMalicious(by=by, signs=[Sign.YOUNG_ACCOUNT, Sign.MATERIAL_TALK])
    if kind is ApproveDiscount:
        return ApproveDiscount(by=by)
    if kind is ChangeAmount:
        return ChangeAmount(by=by, amount_fen=approved_fen(case.amount_fen))
    if kind is Extend:
        return Extend(by=by, days=3)
    if kind is RaiseDispute:
        return RaiseDispute(by=by, platform_case="D-1")
    if kind is PaidByHand:
        rebate = case.amount_fen - approved_fen(case.amount_fen)
        return PaidByHand(by=by, payment_reference="bank-1", amount_fen=rebate)
    if kind is MessageWithReason:
        return MessageWithReason(by=by, note="looked at again")
    return kind(by=by)


def _authority(moved: Move[BulkCase], attempt: Attempt[BulkCase]) -> int | None:
    """Flows.md and policy.md, read without the table's guards."""
    percent = PERCENTS[attempt.case.amount_fen]
    match moved.trigger, moved.source, attempt.role:
        case "approve", "pricing", Role.PRESALE_SUPERVISOR:
            return UNLIMITED if percent <= SUPERVISOR_LIMIT else None
        case "approve", "awaiting_general_manager", Role.GENERAL_MANAGER:
            return UNLIMITED if percent <= GENERAL_MANAGER_LIMIT else None
        case _:
            return None


def _wrong(case: BulkCase) -> str | None:
    past_review = (*JUDGED, "writing_memo", "rebating", "repairing_payment", *WATCHED, "disputed", "completed")
    if case.state in past_review and not case.legal_passed:
        return f"it is in {case.state}, and no legal review has passed"
    if case.state in (*CHANGING, "rebating") and case.approved_fen is None:
        return "its price is changed, and none was approved"
    if case.extensions > FIGURES.max_extensions:
        return "it is extended more often than the policy allows"
    if case.state == "compiling" and _has_shipped(case):
        return "it has left, and is reviewed"
    return None


WORLD: World[BulkCase] = World(
    flow=BULK_ORDER,
    openings=_openings(),
    happenings=HAPPENINGS,
    message=_message,
    known=[
        Known(lambda case: case.amount_fen),
        Known(lambda case: case.money_sent),
        Known(lambda case: case.legal_passed),
        Known(_has_shipped),
        Known(lambda case: case.buyer_registered_on is None, (table.record_known,)),
        Known(lambda case: case.approved_fen is None, (table.is_approved_price,)),
        Known(lambda case: _read(case).last_shipped_at, (table.not_due_yet,)),
        Known(lambda case: _read(case).finished, (table.trade_finished,)),
        Known(lambda case: case.extensions, (table.may_extend,)),
        Known(lambda case: case.money_sent, (nothing_paid,)),
    ],
    authority=_authority,
    # what is reviewed anew is judged anew
    voids=frozenset({"order_changed"}),
    silent=frozenset(),
    low_limit_fen=1,
    asked_for=lambda _: True,
    effects={
        "submit_dossier": _reviewed,
        "dossier_overdue": _reviewed,
        "order_changed": _reviewed,
        "confirm_paid_by_hand": _sent,
    },
    pays_by_hand={"confirm_paid_by_hand": Role.REFUND_CLERK},
    # a rebate may have been paid before a change of the order led there; a refund's own case says what it paid
    wrong=_wrong,
)
