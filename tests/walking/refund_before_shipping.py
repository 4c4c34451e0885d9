"""Flow 1's hands: how its openings and happenings are made to happen in the shop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy.orm import Session

from casework.case import CaseView
from casework.money import LineQuantity
from casework.shop import outside, payments, records
from casework.shop.payments import LedgerEntry
from state_machines.laws.refund_before_shipping import WORLD
from state_machines.laws.world import World
from state_machines.refund_before_shipping import RefundCase
from state_machines.table import Money
from tests.desk import FLOW, Handle
from tests.walking.driver import Hands, Happen

OTHER_LINE_FEN = 5_000
"""The price of a line that the case is not about: once the platform has paid for it, the postage falls to the case."""
OTHER_LINE = [LineQuantity(line=1, quantity=1)]
FAR_AWAY = timedelta(days=365)
"""The platform waits so long that every wait ends by its own deadline."""

# an order has one postage, which falls to nobody once goods have left, and its goods leave once
POSTAGE_FALLS = frozenset(one.name for one in WORLD.happenings if one.changes_amount)
GOODS_LEAVE = frozenset(
    {
        "the lines have left",
        "it left while we asked",
        "confirm_left",
        "the platform ships",
        "it left and is not back",
    }
)


class RefundHands(Hands):
    """The shop around one refund before shipping."""

    world: ClassVar[World[RefundCase]] = WORLD
    stopped_in: ClassVar[Mapping[str, str]] = {
        "checking": "check_and_claim",
        "holding": "hold",
        "refunding": "pay",
        "settling": "settle",
        "releasing": "restore",
        "intercepting": "intercept",
        "converting": "hand_over",
        "cancelling": "restore",
    }
    once: ClassVar[Sequence[frozenset[str]]] = (POSTAGE_FALLS | GOODS_LEAVE,)
    at_once: ClassVar[frozenset[str]] = frozenset({"more is due than was decided"})
    prepared: ClassVar[frozenset[str]] = POSTAGE_FALLS | {"the order is not paid", "another case has the lines"}

    _of_two_lines = False
    """Whether the case is about one of the order's two lines."""
    _postage_fen = 0
    """What falls to this case on the way."""
    _paid_besides_fen = 0
    """What the platform has paid that is not this case's."""
    _other_case: Handle | None = None

    async def prepare(self) -> None:
        case: RefundCase = self.plan.opening.case
        for step in (one.step for one in self.plan.known if one.by in POSTAGE_FALLS):
            self._postage_fen = step.to.case.amount_fen - step.start.case.amount_fen
        claimed = "another case has the lines" in self.plan.happenings
        self._of_two_lines = claimed or self._postage_fen > 0
        prices = [(case.amount_fen, 1)]
        self.order_id = self.desk.order(
            prices=[(OTHER_LINE_FEN, 1), *prices] if self._of_two_lines else prices,
            postage_fen=self._postage_fen,
            paid="the order is not paid" not in self.plan.happenings,
            flag=case.flag_found,
        )
        if claimed:
            self._other_case = await self.desk.open_in("asking_reason", self.order_id)

    async def open(self, task_timeout: timedelta | None) -> Handle:
        case: RefundCase = self.plan.opening.case
        fields: dict[str, Any] = {"platform_deadline": (datetime.now(UTC) + FAR_AWAY).isoformat()}
        if case.reason is not None:
            fields["reason"] = case.reason
        if self._of_two_lines:
            fields.update(lines=[{"line": 2, "quantity": 1}])
        case_id = f"{FLOW}-{self.order_id}" + ("-2" if self._of_two_lines else "")
        profile = case.figures.shop.flag_profile
        desk = self.desk if profile == "default" else self.desk.with_policy(profile)
        if case.order_terminated:
            return await desk.start_from_bulk_order(self.order_id, case_id=case_id, task_timeout=task_timeout, **fields)
        return await desk.start(self.order_id, case_id=case_id, task_timeout=task_timeout, by=self.opener, **fields)

    def happenings(self, case: Handle) -> Mapping[str, Happen]:
        desk, order_id = self.desk, self.order_id

        def nothing() -> None:
            return

        def fails(what: str, how: str) -> Happen:
            return lambda: desk.fail(what, order_id, how)

        def left() -> None:
            desk.ship_without_telling(order_id)

        def besides(act: Callable[[Session], object]) -> None:
            desk.without_telling(act)
            self._paid_besides_fen = sum(entry.amount_fen for entry in self._ledger())

        def closed() -> None:
            besides(lambda session: outside.close(session, order_id, at=datetime.now(UTC)))

        def paid_whole() -> None:
            besides(lambda session: outside.refunded(session, order_id, at=datetime.now(UTC)))

        def paid_for_other_line() -> None:
            besides(lambda session: outside.refunded(session, order_id, OTHER_LINE, at=datetime.now(UTC)))

        def pays_the_postage_too() -> None:
            paid_for_other_line()
            desk.fail("payment", order_id, "never")  # it may have been refused before

        async def paid_for_other_line_with_news() -> None:
            paid_for_other_line()
            await desk.signal(case, "order_gone", "system")

        return {
            "the order is not paid": nothing,
            "the order is closed": closed,
            "nothing is left to refund": paid_whole,
            "another case has the lines": nothing,
            "the lines have left": left,
            "the lines are here": nothing,
            "held": nothing,
            "it left while we asked": left,
            "paid": fails("payment", "never"),
            "the platform has paid before us": lambda: desk.platform_refunds_order(order_id),
            "it left and is not back": left,
            "the payment is refused for good": fails("payment", "always"),
            "the postage falls to this case, and that is paid": pays_the_postage_too,
            "the postage falls to this case, which is more than was decided": paid_for_other_line,
            "more is due than was decided": nothing,
            "the refund is settled": nothing,
            "the order goes on": nothing,
            "the courier stops the parcel": fails("intercept", "never"),
            "the courier cannot stop it": fails("intercept", "always"),
            "it is handed over to a return": nothing,
            "everything is undone": nothing,
            "the platform pays": lambda: desk.platform_refunds(case),
            "the platform ships": lambda: desk.platform_ships(case),
            "the postage falls to this case": paid_for_other_line_with_news,
        }

    def reports(self) -> Mapping[str, Happen]:
        return {"the order is found ended as malicious": self._end_as_malicious}

    def _end_as_malicious(self) -> None:
        """A bulk case of the order has come to its end before it could have the lines, which this case has."""
        bulk_case, at = f"bulk-order-{self.order_id}", datetime.now(UTC)

        def end(session: Session) -> None:
            records.open_record(
                session,
                case_id=bulk_case,
                run_id="bulk",
                flow="bulk-order",
                order_id=self.order_id,
                opened_by=self.opener,
                opened_at=at,
            )
            view: dict[str, Any] = {"state": "terminated", "trail": []}
            records.close_record(session, case_id=bulk_case, run_id="bulk", view=view, outcome="terminated", at=at)

        self.desk.without_telling(end)

    async def require_whole(self, view: CaseView) -> None:
        for link in view.links:
            if link.startswith("return-after-shipping-"):
                await self._require_taken_over(view, self.desk.client.get_workflow_handle(link))
        if self._other_case is not None:
            await self._other_case.cancel()
            await self.desk.end(self._other_case)
        paid = sum(entry.amount_fen for entry in self._ledger())
        refunded = self.plan.flow.states[view.state].money is Money.SENT
        assert paid - self._paid_besides_fen == (view.amount_fen if refunded else 0)
        self.desk.require_whole(view)

    async def _require_taken_over(self, view: CaseView, child: Handle) -> None:
        """The return goes on with the same lines, knows where it came from, and is not ended by its parent's end."""
        went_on = await self.desk.until_shown(child, lambda one: one.version > 0, "judged")
        assert went_on.state != "not_applicable"
        assert view.case_id in went_on.links
        await child.cancel()
        await self.desk.end(child)

    def _ledger(self) -> list[LedgerEntry]:
        with self.desk.database.reading() as session:
            return payments.ledger(session, self.order_id)
