"""`casework patrol`: how many shipments were looked at, and which cases were opened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from casework.cli.errors import DONE, FAILED
from casework.shop.tables import ShipmentRow
from tests.cli.commands import Casework
from tests.desk import Desk


def overdue(desk: Desk) -> str:
    """An order whose parcel has been under way for a month; gives its waybill."""
    order = desk.order(shipped=True)
    with desk.database.writing() as session:
        parcel = session.query(ShipmentRow).filter_by(order_id=order).one()
        parcel.shipped_at = datetime.now(UTC) - timedelta(days=30)
        return parcel.waybill


async def test_a_patrol_by_hand_says_what_it_looked_at_and_opened(casework: Casework, desk: Desk) -> None:
    case = f"problem-parcel-{overdue(desk)}"
    done = await casework("patrol")
    assert done.code == DONE
    looked_at, *opened = done.out.splitlines()
    assert looked_at.startswith("open shipments looked at: ")
    assert f"  {case}" in opened
    shown = (await casework("show", case, "--json")).json
    assert (shown["opened_by"], shown["links"]) == ("system", [])

    again = await casework("patrol", "--json")
    assert again.json["looked_at"] >= 1
    assert case not in again.json["cases"]
    assert set(again.json) == {"looked_at", "opened", "cases", "unopenable"}
    assert (await casework("cancel", case)).code == DONE
    assert case not in (await casework("patrol", "--json")).json["cases"], "somebody called it off"


async def test_where_no_server_runs_it_says_how_to_start_one(
    casework: Casework, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEMPORAL_ADDRESS")
    done = await casework("patrol")
    assert done.code == FAILED
    assert "start one with `casework up`" in done.err
