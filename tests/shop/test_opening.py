"""What opening a case in the shop refuses."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from casework.opening import BadStart, examine_start, open_in_shop
from casework.policy import load_policy
from casework.shop.database import Database
from casework.shop.staff import load_sample_if_empty
from tests.shop.steps import CASE, NOW, ORDER, an_order, open_case

OTHER_ORDER = "3300010000000000002"
START = {"order_id": ORDER, "by": "aftersale.1", "reason": "bought twice"}


def opened_from(session: Session, parent: str) -> str:
    """A refund that another case opens."""
    given = {**START, "by": "system", "from_case": parent}
    policy = load_policy(None)
    opened = open_in_shop(
        session,
        policy,
        flow_name="refund-before-shipping",
        case_id=CASE,
        run_id="run",
        given=given,
        from_case=parent,
        at=NOW,
    )
    return str(opened.resolved["lines"])


def test_a_case_about_another_order_opens_none_about_this_one(shop: Database) -> None:
    parent = f"bulk-order-{OTHER_ORDER}"
    with shop.writing() as session:
        load_sample_if_empty(session)
        an_order(session)
        an_order(session, order_id=OTHER_ORDER)
        open_case(session, parent, order_id=OTHER_ORDER)
        with pytest.raises(BadStart, match=f"^from_case: {parent} is about another order$"):
            opened_from(session, parent)
        open_case(session, f"bulk-order-{ORDER}")
        assert opened_from(session, f"bulk-order-{ORDER}")


def test_so_many_lines_that_the_cases_id_does_not_hold_them_are_refused(shop: Database) -> None:
    lines = [{"line": number, "quantity": 1} for number in range(1, 90)]
    with shop.writing() as session:
        load_sample_if_empty(session)
        an_order(session, prices=[(100, 1)] * 90)
        with pytest.raises(BadStart, match=r"^lines: so many of them do not fit into the case's id"):
            examine_start(session, flow_name="refund-before-shipping", given={**START, "lines": lines}, at=NOW)
        whole = examine_start(session, flow_name="refund-before-shipping", given=START, at=NOW)
        assert whole.case_id == CASE
