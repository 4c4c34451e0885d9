"""Who pays which postage of a return, and what of an advance comes back."""

from __future__ import annotations

import pytest

from casework.rules.postage import PostagePayer, advance_due_fen, outbound_goes_back, who_pays


@pytest.mark.parametrize(
    ("fault", "free", "promised", "payer"),
    [
        (True, False, False, PostagePayer.SELLER),
        (True, True, False, PostagePayer.SELLER),
        (False, True, False, PostagePayer.BUYER_WAY_BACK),
        (False, False, False, PostagePayer.BUYER),
        (False, False, True, PostagePayer.SELLER),
        (False, True, True, PostagePayer.SELLER),
    ],
)
def test_who_pays(fault: bool, free: bool, promised: bool, payer: PostagePayer) -> None:
    assert who_pays(fault=fault, free_shipping=free, seller_promised=promised) is payer


@pytest.mark.parametrize(
    ("payer", "advanced", "fen"),
    [
        (PostagePayer.SELLER, 1_500, 1_500),
        (PostagePayer.SELLER, 3_000, 3_000),
        (PostagePayer.SELLER, 3_001, 3_000),
        (PostagePayer.SELLER, 0, 0),
        (PostagePayer.BUYER_WAY_BACK, 1_500, 0),
        (PostagePayer.BUYER, 1_500, 0),
    ],
)
def test_an_advance_comes_back_up_to_the_cap_if_the_seller_pays(payer: PostagePayer, advanced: int, fen: int) -> None:
    assert advance_due_fen(advanced, payer=payer, cap_fen=3_000) == fen


def test_money_is_not_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        advance_due_fen(-1, payer=PostagePayer.SELLER, cap_fen=0)


@pytest.mark.parametrize("fault", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_the_postage_out_goes_back_only_with_the_whole_order_for_a_fault(fault: bool, whole: bool) -> None:
    assert outbound_goes_back(fault=fault, whole_order=whole) is (fault and whole)
