"""Who pays which postage of a return (flows.md, section 2, "Rules", and "Money"). Pure; money is whole fen."""

from __future__ import annotations

from enum import StrEnum


class PostagePayer(StrEnum):
    """Who pays the postage of a return."""

    SELLER = "seller"
    """The shop pays the way back: the buyer advances it and has it back after receipt."""
    BUYER_WAY_BACK = "buyer_way_back"
    """The goods went out free of postage: the buyer pays the way back only."""
    BUYER = "buyer"
    """The buyer pays both ways: the postage that was paid for the way out stays paid."""


def who_pays(*, fault: bool, free_shipping: bool, seller_promised: bool = False) -> PostagePayer:
    """For a fault or a misdescription the seller; otherwise of a free-shipping item the buyer the way back only;
    otherwise the buyer (flows.md, section 2, "Rules"). `seller_promised`: the refund was asked before the goods left
    (flows.md, section 1, `convert`).
    """
    if fault or seller_promised:
        return PostagePayer.SELLER
    return PostagePayer.BUYER_WAY_BACK if free_shipping else PostagePayer.BUYER


def advance_due_fen(advanced_fen: int, *, payer: PostagePayer, cap_fen: int) -> int:
    """What the buyer has back of the postage advanced for the way back: all of it up to the policy's cap, where the
    seller pays (flows.md, "Money"; policy.md, return_after_shipping.return_postage_cap_fen).

    Raises:
        ValueError: if money is negative.

    """
    if advanced_fen < 0 or cap_fen < 0:
        raise ValueError("money is not negative")
    return min(advanced_fen, cap_fen) if payer is PostagePayer.SELLER else 0


def outbound_goes_back(*, fault: bool, whole_order: bool) -> bool:
    """Whether the postage of the way out is refunded: after shipping only when the whole order goes back for a fault
    (flows.md, "Money").
    """
    return fault and whole_order
