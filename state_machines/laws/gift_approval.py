"""The world of flow 3: how an order may stand, what is left of the budget, what the warehouse and a payment may do."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Literal

from casework.messages import Message, MessageWithReason
from casework.policy import load_policy
from casework.standing import GiftStanding
from state_machines import gift_approval as table
from state_machines.common import PaidByHand, nothing_paid
from state_machines.gift_approval import GIFT_APPROVAL, GiftCase, GiftFigures, NamedGift
from state_machines.laws.exploring import AT, OPENER
from state_machines.laws.world import Happening, Known, Opening, World
from state_machines.roles import Automatic, Role
from state_machines.table import Attempt, Move

POLICY = load_policy(None)
FIGURES = POLICY.gift_approval
LIMIT = FIGURES.supervisor_limit_fen
GIFT_COSTS, POSTAGES = (LIMIT, LIMIT + 1), (LIMIT - 1, LIMIT + 2)
"""Costs in fen on both sides of the supervisor's limit; by its amount a message knows which kind of case it is for."""
UNLIMITED = 10**12
"""More fen than any gift costs: finance has no limit."""
CHEAP_SKU, CHEAP_PIECES, CHEAP_FEN = "GP-CHEAP", 2, 200
"""Another gift, that may be named instead: so many pieces of it, and what they cost in all, in fen."""
RICH_FEN, MIDDLING_FEN, POOR_FEN = 10_000_000, 60_000, 100
"""Totals of orders in fen: for the first every gift here meets the rule, for the second the cheap one, for the last
none (and free shipping for the first alone)."""


@dataclass(frozen=True, slots=True)
class GiftOpening:
    """How a gift approval is opened: what for, its cost in fen, and how the order stands for the gift rule."""

    kind: Literal["gift", "free_shipping"]
    cost_fen: int
    paid: bool
    goods_total_fen: int


def _openings() -> list[Opening[GiftCase]]:
    openings: list[Opening[GiftCase]] = []
    # whether it is paid makes no difference to a gift, nor how cheap another gift is to free shipping
    ways: list[tuple[Literal["gift", "free_shipping"], int, bool, int]] = [
        *(("gift", cost, True, total) for cost in GIFT_COSTS for total in (POOR_FEN, MIDDLING_FEN, RICH_FEN)),
        *(
            ("free_shipping", cost, paid, total)
            for cost, paid, total in itertools.product(POSTAGES, (True, False), (POOR_FEN, RICH_FEN))
        ),
    ]
    for kind, cost, paid, total in ways:
        case = GiftCase(
            case_id=f"gift-approval-330000001-{kind.replace('_', '-')}",
            run_id="run",
            flow=GIFT_APPROVAL.name,
            order_id="330000001",
            state=GIFT_APPROVAL.initial,
            opened_by=OPENER,
            opened_at=AT,
            involved=[OPENER],
            policy=GiftFigures.model_validate(POLICY.for_flow(GIFT_APPROVAL.name)),
            amount_fen=cost,
            kind=kind,
            gift_sku=f"GP-{cost}" if kind == "gift" else None,
            quantity=1 if kind == "gift" else None,
            # what the catalogue says whenever the other gift is named
            named_cost_fen=CHEAP_FEN if kind == "gift" else None,
        )
        _stand(case, paid=paid, goods_total_fen=total)
        # who may act hangs on none of this
        who_matters = (kind, cost, paid, total) == ("free_shipping", POSTAGES[-1], True, POOR_FEN)
        openings.append(Opening(case, GiftOpening(kind, cost, paid, total), for_people=who_matters))
    return openings


# --- what the case learns ---


def _stand(case: GiftCase, **known: Any) -> None:
    """How the order stands: as it did, but for what is given, and neither gone, shipped nor granted."""
    before = case.standing.model_dump() if case.standing is not None else {}
    fine = {"gone": False, "shipped": False, "granted": False, "budget_left_fen": FIGURES.monthly_budget_fen}
    case.standing = GiftStanding.model_validate({**before, **fine, **known})


def _closed(case: GiftCase) -> None:
    _stand(case, gone=True)


def _shipped(case: GiftCase) -> None:
    _stand(case, shipped=True)


def _promise(case: GiftCase) -> None:
    _stand(case)
    case.promised = True


def _promise_beyond_budget(case: GiftCase) -> None:
    _stand(case, budget_left_fen=0)
    case.promised = True


def _budget_is_used_up(case: GiftCase) -> None:
    _stand(case, budget_left_fen=0)
    case.promised = False


def _take_back(case: GiftCase) -> None:
    case.promised = False


def _sent(case: GiftCase) -> None:
    case.money_sent = True
    case.paid_fen = case.amount_fen


def _is_paid(case: GiftCase) -> bool:
    return case.standing is not None and case.standing.paid


def _rule_is_met(case: GiftCase) -> bool:
    return case.standing is not None and case.standing.goods_total_fen == RICH_FEN


HAPPENINGS: list[Happening[GiftCase]] = [
    Happening("the order is closed", "check", learn=_closed),
    Happening("the order has shipped", "check", learn=_shipped, possible=_is_paid),
    Happening("this kind was granted before", "check", learn=lambda case: _stand(case, granted=True)),
    Happening("the gift rule is met", "check", learn=_stand, possible=_rule_is_met),
    Happening("the gift rule is not met", "check", learn=_stand, possible=lambda case: not _rule_is_met(case)),
    Happening("the order closed meanwhile", "write_memo", learn=_closed),
    Happening("the order shipped meanwhile", "write_memo", learn=_shipped, possible=_is_paid),
    Happening(
        "the budget was used up meanwhile",
        "write_memo",
        learn=_budget_is_used_up,
        possible=lambda case: not case.finance_approved,
    ),
    Happening("memo written, budget reserved", "write_memo", learn=_promise, takes=("budget",)),
    Happening(
        "finance has approved beyond the budget",
        "write_memo",
        learn=_promise_beyond_budget,
        possible=lambda case: case.finance_approved,
        takes=("budget",),
    ),
    Happening("the postage is paid back", "pay", learn=_sent, pays=True),
    Happening("the platform has paid the postage back", "pay", learn=_sent, paid_by_platform=True),
    Happening("the payment is refused for good", "fail_payment"),
    Happening("everything is undone", "undo", lets_go=True),
    Happening("the platform closes the order", "order_gone", learn=_closed),
    Happening("the warehouse ships without it", "order_gone", learn=_shipped, possible=_is_paid),
]


def _message(case: GiftCase, trigger: str, by: str) -> Message:
    kind = GIFT_APPROVAL.triggers[trigger].message
    if kind is PaidByHand:
        return PaidByHand(by=by, payment_reference="bank-1", amount_fen=case.amount_fen)
    if kind is MessageWithReason:
        return MessageWithReason(by=by, note="looked at again")
    if kind is NamedGift and case.kind == "gift":
        return NamedGift(by=by, gift_sku=CHEAP_SKU, quantity=CHEAP_PIECES)
    return kind(by=by)


def _authority(moved: Move[GiftCase], attempt: Attempt[GiftCase]) -> int | None:
    """Flows.md and policy.md, read without the table's guards."""
    own = attempt.actor.grants.get(attempt.role) if attempt.actor and attempt.role else None
    match moved.trigger, moved.source, attempt.role or attempt.automatic:
        case "check", "checking", Automatic.SYSTEM:
            return attempt.case.amount_fen if _rule_is_met(attempt.case) else None
        case "approve", "awaiting_supervisor", Role.PRESALE_SUPERVISOR:
            return LIMIT if own is None else min(LIMIT, own)
        case "approve", "awaiting_finance", Role.FINANCE_MANAGER:
            return UNLIMITED
        case _:
            return None


def _wrong(case: GiftCase) -> str | None:
    if case.state in table.PROMISED and not case.promised:
        return "the auditor is to add what was never promised"
    if case.state in ("crediting", "repairing_payment") and case.kind == "gift":
        return "a gift is credited as if it were postage"
    if case.state in ("negotiating", "telling_buyer", "awaiting_finance", "awaiting_supervisor") and case.promised:
        return f"the budget is still reserved in {case.state}"
    return None


WORLD: World[GiftCase] = World(
    flow=GIFT_APPROVAL,
    openings=_openings(),
    happenings=HAPPENINGS,
    message=_message,
    known=[
        Known(lambda case: case.amount_fen),
        Known(lambda case: case.kind),
        Known(lambda case: case.standing and (case.standing.goods_total_fen, case.standing.paid)),
        Known(lambda case: case.standing and case.standing.budget_left_fen, (table.within_budget,)),
        Known(lambda case: (case.gift_sku, case.quantity), (table.names_gift_that_meets_rule,)),
        Known(lambda case: case.finance_approved),
        Known(lambda case: case.promised),
        Known(lambda case: case.money_sent, (nothing_paid,)),
    ],
    authority=_authority,
    voids=frozenset({"find_out_of_stock"}),
    lets_go_by=frozenset({"find_out_of_stock", "order_gone"}),
    keeps={"granted": frozenset({"budget"})},
    silent=frozenset(),
    low_limit_fen=CHEAP_FEN - 1,
    asked_for=lambda _: True,
    effects={"find_out_of_stock": _take_back, "order_gone": _take_back, "confirm_paid_by_hand": _sent},
    pays_by_hand={"confirm_paid_by_hand": Role.REFUND_CLERK},
    wrong=_wrong,
)
