"""Flow 3's hands: how its openings and happenings are made to happen in the shop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from casework.case import CaseView
from casework.shop import gifts, outside, payments
from casework.shop.amounts import POSTAGE
from casework.shop.tables import GiftPromiseRow, OrderRow
from state_machines.gift_approval import GiftCase
from state_machines.laws.gift_approval import CHEAP_FEN, CHEAP_PIECES, CHEAP_SKU, WORLD, GiftOpening
from state_machines.laws.world import World
from tests.desk import Handle
from tests.walking.driver import Hands, Happen

PLENTY = 10**12
"""A budget, in fen, that all tests together never use up."""
BEFORE = "granted-before"
"""The case that granted the same kind before."""


class GiftHands(Hands):
    """The shop around one gift approval."""

    world: ClassVar[World[GiftCase]] = WORLD
    stopped_in: ClassVar[Mapping[str, str]] = {
        "checking": "check_gift",
        "writing_memo": "promise_gift",
        "crediting": "pay",
        "cancelling": "withdraw_gift",
    }
    # an order is closed, or leaves, once
    once: ClassVar[Sequence[frozenset[str]]] = (
        frozenset(
            {
                "the order is closed",
                "the order has shipped",
                "the order closed meanwhile",
                "the order shipped meanwhile",
                "the platform has paid the postage back",
                "order_gone",
            }
        ),
    )

    @property
    def _how(self) -> GiftOpening:
        return self.plan.opening.how

    async def prepare(self) -> None:
        how = self._how
        self.desk.gift(f"GP-{how.cost_fen}", how.cost_fen)
        self.desk.gift(CHEAP_SKU, CHEAP_FEN // CHEAP_PIECES)
        self.order_id = self.desk.order(
            prices=[(how.goods_total_fen, 1)],
            postage_fen=how.cost_fen if how.kind == "free_shipping" else 0,
            paid=how.paid,
        )
        self._budget(PLENTY)

    async def open(self, task_timeout: timedelta | None) -> Handle:
        how = self._how
        fields: dict[str, Any] = {
            "order_id": self.order_id,
            "by": self.opener,
            "kind": how.kind,
            "cost_fen": how.cost_fen,
        }
        if how.kind == "gift":
            fields.update(gift_sku=f"GP-{how.cost_fen}", quantity=1)
        return await self.desk.open_case("gift-approval", self._case_id, fields, task_timeout=task_timeout)

    def happenings(self, case: Handle) -> Mapping[str, Happen]:
        desk, order_id = self.desk, self.order_id

        def nothing() -> None:
            return

        def with_news(happens: Happen) -> Happen:
            async def both() -> None:
                happens()
                await desk.signal(case, "order_gone", "system")

            return both

        return {
            "the order is closed": self._close,
            "the order has shipped": self._ship,
            "this kind was granted before": self._grant_before,
            "the gift rule is met": nothing,
            "the gift rule is not met": nothing,
            "the order closed meanwhile": self._close,
            "the order shipped meanwhile": self._ship,
            "the budget was used up meanwhile": lambda: self._budget(0),
            "memo written, budget reserved": lambda: self._budget(PLENTY),
            "finance has approved beyond the budget": lambda: self._budget(0),
            "the postage is paid back": lambda: desk.fail("payment", order_id, "never"),
            "the platform has paid the postage back": lambda: desk.platform_refunds_order(order_id),
            "the payment is refused for good": lambda: desk.fail("payment", order_id, "always"),
            "everything is undone": nothing,
            "the platform closes the order": with_news(self._close),
            "the warehouse ships without it": with_news(self._ship),
        }

    def reports(self) -> Mapping[str, Happen]:
        return {"the platform closes the order": self._close, "the warehouse ships without it": self._ship}

    async def require_whole(self, view: CaseView) -> None:
        self.desk.require_whole(view)
        granted = view.outcome == "granted"
        how = self._how
        with self.desk.database.reading() as session:
            promise = session.get(GiftPromiseRow, (self.order_id, how.kind))
            given = promise is not None and promise.case_id == view.case_id
            assert given == granted
            assert len(gifts.granted_gifts(session, self.order_id)) == (granted and how.kind == "gift")
            if how.kind == "gift" or not granted:
                return
            if how.paid:
                back = [entry for entry in payments.ledger(session, self.order_id) if entry.line == POSTAGE]
                assert sum(entry.amount_fen for entry in back) == how.cost_fen
            else:
                assert session.get_one(OrderRow, self.order_id).postage_fen == 0

    # --- what happens in the shop ---

    @property
    def _case_id(self) -> str:
        return f"gift-approval-{self.order_id}-{self._how.kind.replace('_', '-')}"

    def _budget(self, fen: int) -> None:
        self.desk.gates.budgets[self.order_id] = fen

    def _close(self) -> None:
        self.desk.without_telling(lambda session: outside.close(session, self.order_id, at=datetime.now(UTC)))

    def _ship(self) -> None:
        self.desk.ship_without_telling(self.order_id)

    def _grant_before(self) -> None:
        now = datetime.now(UTC)
        with self.desk.database.writing() as session:
            session.add(
                GiftPromiseRow(
                    order_id=self.order_id,
                    kind=self._how.kind,
                    case_id=BEFORE,
                    key=BEFORE,
                    quantity=1,
                    cost_fen=0,
                    value_fen=0,
                    month="2026-01",
                    loose_before_fen=0,
                    promised_at=now,
                    granted_at=now,
                )
            )
