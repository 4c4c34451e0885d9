"""The staff of the walk, and one planner a flow."""

from __future__ import annotations

from functools import cache

import pytest

from casework.shop.tables import StaffRow
from tests.desk import Desk
from tests.walking.driver import PEOPLE, STAFF
from tests.walking.flows import HANDS
from tests.walking.planner import Planner


@pytest.fixture(scope="session")
def staffed(desk: Desk) -> Desk:
    """The shop, with one member of the staff for each role, who has no other."""
    with desk.database.writing() as session:
        for position, (role, staff_id) in enumerate(STAFF.items(), start=1_000):
            session.add(StaffRow(id=staff_id, position=position, name=role, roles=[role], present=True))
    return desk


@cache
def planner_of(flow: str) -> Planner:
    """The flow's planner: exploring takes seconds."""
    hands = HANDS[flow]
    return Planner(hands.world, PEOPLE, hands.once)
