"""Flow 4's hands: how its openings and happenings are made to happen in the shop."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from casework.case import CaseView
from casework.shop import outside, platform
from casework.shop.amounts import LedgerLine
from casework.shop.orders import lock_order
from casework.shop.payments import ledger
from state_machines.bulk_order import BulkCase
from state_machines.laws.bulk_order import WORLD, BulkOpening, approved_fen
from state_machines.laws.world import World
from tests.desk import Handle
from tests.walking.driver import Hands, Happen

# an order's goods leave once, and its trade is finished once
SHIPS = frozenset({"it has left", "all of it ships", "all of it ships late"})
SHORTLY = timedelta(hours=1)
_streets = itertools.count(1)


class BulkHands(Hands):
    """The shop around one bulk order."""

    world: ClassVar[World[BulkCase]] = WORLD
    stopped_in: ClassVar[Mapping[str, str]] = {
        "screening": "screen_bulk",
        "terminating": "close_bulk",
        "writing_memo": "approve_price",
        "rebating": "pay",
        "cancelling": "restore",
    }
    once: ClassVar[Sequence[frozenset[str]]] = (SHIPS, frozenset({"the trade is finished"}))

    async def prepare(self) -> None:
        opening: BulkOpening = self.plan.opening.how
        self.order_id = self.desk.order(prices=[(opening.total_fen, 1)], paid=opening.paid)

    async def open(self, task_timeout: timedelta | None) -> Handle:
        opening: BulkOpening = self.plan.opening.how
        return await self.desk.open_case(
            self.world.flow.name,
            f"{self.world.flow.name}-{self.order_id}",
            {"order_id": self.order_id, "by": self.opener, "discount_percent": str(opening.percent)},
            task_timeout=task_timeout,
        )

    def happenings(self, case: Handle) -> Mapping[str, Happen]:
        desk, order_id = self.desk, self.order_id

        def nothing() -> None:
            return

        def fails(how: str) -> Happen:
            return lambda: desk.fail("payment", order_id, how)

        def news(trigger: str, happen: Happen) -> Happen:
            async def tell() -> None:
                happened = happen()
                if happened is not None:
                    await happened
                await desk.signal(case, trigger, "system")

            return tell

        async def ships() -> None:
            now = await desk.skipper.get_current_time(case)
            self._ship(now - SHORTLY)

        async def ships_late() -> None:
            due = (await desk.view(case)).due
            assert due is not None
            self._ship(due - SHORTLY)

        return {
            "the order is closed": self._close,
            "it has left": lambda: desk.ship_without_telling(order_id),
            "held": nothing,
            "the memo is written": nothing,
            "paid": fails("never"),
            "the platform has paid before us": self._platform_pays_the_rebate,
            "it was paid the first time": nothing,
            "the payment is refused for good": fails("always"),
            "ended unpaid": nothing,
            "ended, and a refund is opened": nothing,
            "everything is undone": nothing,
            "the address changes": news("order_changed", self._change_address),
            "the address changes when all of it has left": news("order_changed", self._change_address),
            "the order is closed or refunded": news("order_gone", self._close),
            "all of it ships": news("order_gone", ships),
            "all of it ships late": news("order_gone", ships_late),
            "the trade is finished": news("order_gone", self._finish),
        }

    def reports(self) -> Mapping[str, Happen]:
        return {"the address changes": self._change_address}

    def _ship(self, at: datetime) -> None:
        self.desk.without_telling(lambda session: outside.ship(session, self.order_id, at=at, force=True))

    def _close(self) -> None:
        opening: BulkOpening = self.plan.opening.how
        if opening.paid:
            self.desk.platform_refunds_order(self.order_id)
        else:
            self.desk.without_telling(lambda session: outside.close(session, self.order_id, at=datetime.now(UTC)))

    def _change_address(self) -> None:
        address = f"山东省 青岛市 市南区 香港中路{next(_streets)}号"
        self.desk.without_telling(
            lambda session: outside.set_address(session, self.order_id, address, at=datetime.now(UTC))
        )

    def _finish(self) -> None:
        def finish(session: Any) -> None:
            order = lock_order(session, self.order_id)
            order.state, order.confirmed_at = "finished", datetime.now(UTC)

        self.desk.without_telling(finish)

    def _platform_pays_the_rebate(self) -> None:
        opening: BulkOpening = self.plan.opening.how
        rebate = opening.total_fen - approved_fen(opening.total_fen)

        def pays(session: Any) -> None:
            order = lock_order(session, self.order_id)
            platform.enter(session, order, [LedgerLine(None, 0, rebate)], at=datetime.now(UTC))

        self.desk.without_telling(pays)

    async def require_whole(self, view: CaseView) -> None:
        opening: BulkOpening = self.plan.opening.how
        for link in view.links:
            child = self.desk.client.get_workflow_handle(link)
            await child.cancel()
            await self.desk.end(child)
        paid_by_us = any(one.step.event.happening is not None and one.by == "paid" for one in self.plan.steps) or any(
            one.step.moved is not None and one.step.event.trigger == "confirm_paid_by_hand" for one in self.plan.steps
        )
        rebate = opening.total_fen - approved_fen(opening.total_fen)
        self.desk.require_whole(view, paid_fen=rebate if paid_by_us else 0)
        with self.desk.database.reading() as session:
            refunded = sum(entry.amount_fen for entry in ledger(session, self.order_id))
        assert refunded <= (opening.total_fen if opening.paid else 0)
