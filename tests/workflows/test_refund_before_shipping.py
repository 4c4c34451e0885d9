"""Flow 1 on the real server: every row of its table is taken, and the shop is whole afterwards."""

from __future__ import annotations

import pytest

from casework.shop import payments
from casework.shop.tables import ClaimRow, FlagWishRow, HoldRow
from state_machines.refund_before_shipping import REFUND_BEFORE_SHIPPING as FLOW
from tests.desk import Desk
from tests.workflows.paths_refund_before_shipping import PATHS, Path


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

    with desk.database.reading() as session:
        order = desk.order_of(case)
        assert payments.audit(session) == []
        paid = sum(entry.amount_fen for entry in payments.ledger(session, order))
        assert paid == (view.amount_fen if view.outcome == "refunded" else 0)
        for table in (HoldRow, ClaimRow, FlagWishRow):
            assert session.query(table).filter_by(order_id=order).count() == 0, f"a row is left in {table.__name__}"
