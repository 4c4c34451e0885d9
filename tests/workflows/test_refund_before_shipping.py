"""Flow 1 on the real server: every row of its table is taken, and the shop is whole afterwards."""

from __future__ import annotations

import pytest

from casework.shop import payments
from casework.shop.tables import ClaimRow, FlagWishRow, HoldRow
from state_machines.refund_before_shipping import REFUND_BEFORE_SHIPPING as FLOW
from tests.desk import Desk
from tests.recording import record
from tests.workflows.paths_refund_before_shipping import PATHS, Path

RECORDED = {
    "large_refund_where_everybody_is_silent",
    "large_refund_sent_back_twice",
    "payment_refused_for_good_and_paid_by_hand_a_day_later",
    "large_parcel_comes_back_and_is_approved",
    "paid_by_the_platform_while_persuading",
    "kept_after_persuasion",
    "withdrawn_while_the_parcel_comes_back",
    "stopped_parcel_never_comes",
    "shipped_in_the_moment_of_holding",
    "opened_by_a_terminated_bulk_order",
    "called_off_by_temporal",
    "called_off_while_the_payment_is_out",
    "warehouse_has_it_still",
    "not_paid",
}
"""Paths whose histories are in git: every ending, every kind of step."""


def test_the_paths_take_every_row_of_the_table() -> None:
    taken = {step for path in PATHS for step in path.steps}
    rows = {(row.trigger, row.dest, row.source) for row in FLOW.moves}
    missing = rows - {(trigger, dest, source) for trigger, source, dest in taken}
    assert not missing, f"rows that no path takes: {sorted(missing)}"
    print(f"moves walked {len(rows - missing)}/{len(rows)}")


@pytest.mark.parametrize("path", PATHS, ids=[path.name for path in PATHS])
async def test_the_case_goes_this_way_and_leaves_the_shop_whole(desk: Desk, path: Path) -> None:
    case = await path.play(desk)
    view = await desk.end(case)

    assert [(line.trigger, line.source, line.dest) for line in view.trail if line.accepted] == list(path.steps)
    assert not [line for line in view.trail if not line.accepted]
    assert view.final
    assert view.outcome == view.state == path.steps[-1][2]
    assert view.version == len(path.steps)

    if path.name in RECORDED:
        await record(case, view.state, path.name)

    with desk.database.reading() as session:
        order = desk.order_of(case)
        assert payments.audit(session) == []
        entries = payments.ledger(session, order)
        ours = [entry for entry in entries if entry.case_id == case.id]
        paid = sum(entry.amount_fen for entry in ours or entries)
        assert paid == (view.amount_fen if view.outcome == "refunded" else 0)
        for table in (HoldRow, ClaimRow, FlagWishRow):
            assert session.query(table).filter_by(order_id=order).count() == 0, f"a row is left in {table.__name__}"
