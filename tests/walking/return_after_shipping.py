"""Flow 2's hands: how its openings and happenings are made to happen in the shop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.case import CaseView
from casework.money import LineQuantity
from casework.shop import outside, payments
from casework.shop.payments import LedgerEntry
from casework.shop.tables import ParcelRow, ScanRow, ShipmentRow
from state_machines.laws.return_after_shipping import WORLD, ReturnOpening
from state_machines.laws.world import World
from state_machines.return_after_shipping import ReturnCase
from state_machines.table import Money
from tests.desk import Handle
from tests.walking.driver import Hands, Happen, waybill_of

OTHER_LINE_FEN = 5_000
"""The price of a line that the case is not about: once the platform has paid for it, the postage falls to the case."""
OTHER_LINE = [LineQuantity(line=2, quantity=1)]
JUST_NOW, NOT_LONG = timedelta(minutes=5), timedelta(0)
"""How long ago a parcel was signed for; what comes back to us, after the return was asked for."""

# an order has one postage, which goes with what is left of it, and it is paid back once
POSTAGE_FALLS = frozenset(one.name for one in WORLD.happenings if one.changes_amount)
PLATFORM_PAYS = frozenset({"the platform pays", "the platform has paid before us"})


class ReturnHands(Hands):
    """The shop around one return after shipping."""

    world: ClassVar[World[ReturnCase]] = WORLD
    stopped_in: ClassVar[Mapping[str, str]] = {
        "assessing": "assess_return",
        "restocking": "restock_return",
        "refunding": "pay",
        "settling": "settle_return",
        "cancelling": "undo_return",
    }
    once: ClassVar[Sequence[frozenset[str]]] = (POSTAGE_FALLS | PLATFORM_PAYS,)
    at_once: ClassVar[frozenset[str]] = frozenset({"more is due than was decided"})
    prepared: ClassVar[frozenset[str]] = POSTAGE_FALLS | {
        "nothing was shipped",
        "the order is not paid",
        "the buyer has them",
        "they are on their way",
        "another case has the lines",
    }

    _of_two_lines = False
    """Whether the case is about one of the order's two lines."""
    _paid_besides_fen = 0
    """What the platform has paid that is not this case's."""
    _other_case: Handle | None = None

    async def prepare(self) -> None:
        happenings = self.plan.happenings
        postage_fen = 0
        for step in (one.step for one in self.plan.known if one.by in POSTAGE_FALLS):
            postage_fen = step.to.case.amount_fen - step.start.case.amount_fen
            self._of_two_lines = True
        prices = [(self._how.amount_fen, 1)]
        self.order_id = self.desk.order(
            prices=[*prices, (OTHER_LINE_FEN, 1)] if self._of_two_lines else prices,
            postage_fen=postage_fen,
            paid="the order is not paid" not in happenings,
            shipped="nothing was shipped" not in happenings,
        )
        if "the buyer has them" in happenings:
            self._sign_for(self._parcel())
        if "they are on their way" in happenings:
            self._sign_for(self._parcel(), code="1")
        if "another case has the lines" in happenings:
            self._other_case = await self.desk.open_in("awaiting_parcel_back", self.order_id)

    async def open(self, task_timeout: timedelta | None) -> Handle:
        how = self._how
        fields: dict[str, Any] = {
            "order_id": self.order_id,
            "by": self.opener,
            "cause": how.cause,
            "opened": how.opened,
        }
        if how.cause != "no_reason" and how.shown:
            fields.update(photos=["photo-1"], description="a hole in the seam", defect="hole")
        if self._of_two_lines:
            fields.update(lines=[{"line": 1, "quantity": 1}])
        case_id = f"{WORLD.flow.name}-{self.order_id}" + ("-1" if self._of_two_lines else "")
        parent = None
        if how.goods != "with_buyer":
            fields.update(by="system", goods=how.goods, said_lost=how.said_lost)
            parent = f"problem-parcel-{self._parcel()}"
        return await self.desk.open_case(WORLD.flow.name, case_id, fields, task_timeout=task_timeout, parent=parent)

    def happenings(self, case: Handle) -> Mapping[str, Happen]:
        desk, order_id = self.desk, self.order_id

        def nothing() -> None:
            return

        def fails(how: str) -> Happen:
            return lambda: desk.fail("payment", order_id, how)

        def closed() -> None:
            desk.without_telling(lambda session: outside.close(session, order_id, at=datetime.now(UTC)))

        def paid_for_other_line() -> None:
            desk.without_telling(lambda session: outside.refunded(session, order_id, OTHER_LINE, at=datetime.now(UTC)))
            self._paid_besides_fen = sum(entry.amount_fen for entry in self._ledger())

        def pays_the_postage_too() -> None:
            paid_for_other_line()
            desk.fail("payment", order_id, "never")  # it may have been refused before

        def paid_whole() -> None:
            desk.platform_refunds_order(order_id)

        def and_tells(happens: Callable[[], None]) -> Happen:
            async def happens_with_news() -> None:
                happens()
                await desk.signal(case, "order_gone", "system")

            return happens_with_news

        return {
            "nothing was shipped": nothing,
            "the order is not paid": nothing,
            "the order is closed": closed,
            "nothing is left to refund": paid_whole,
            "another case has the lines": nothing,
            "the buyer has them": nothing,
            "they are on their way": nothing,
            "they are back in stock": nothing,
            "paid": fails("never"),
            "the platform has paid before us": paid_whole,
            "the payment is refused for good": fails("always"),
            "the postage falls to this case, and that is paid": pays_the_postage_too,
            "the postage falls to this case, which is more than was decided": paid_for_other_line,
            "more is due than was decided": nothing,
            "the return is settled": nothing,
            "everything is undone": nothing,
            "the platform pays": and_tells(paid_whole),
            "the postage falls to this case": and_tells(paid_for_other_line),
            "the parcel is signed for": and_tells(lambda: self._sign_for(self._parcel())),
            "somebody at our address signs": and_tells(lambda: self._sign_for(waybill_of(case), ago=NOT_LONG)),
        }

    async def require_whole(self, view: CaseView) -> None:
        if self._other_case is not None:
            await self._other_case.cancel()
            await self.desk.end(self._other_case)
        paid = sum(entry.amount_fen for entry in self._ledger()) - self._paid_besides_fen
        if self.plan.flow.states[view.state].money is Money.SENT:
            assert paid == view.amount_fen
        self.desk.require_whole(view)

    @property
    def _how(self) -> ReturnOpening:
        return self.plan.opening.how

    def _parcel(self) -> str:
        with self.desk.database.reading() as session:
            waybills = session.scalars(select(ShipmentRow.waybill).where(ShipmentRow.order_id == self.order_id))
            return waybills.first() or f"NONE{self.order_id[-11:]}"

    def _sign_for(self, waybill: str, code: str = "301", *, ago: timedelta = JUST_NOW) -> None:
        """The courier says that somebody has signed for the parcel, or what else the code means."""

        def scanned(session: Session) -> None:
            if session.get(ParcelRow, waybill) is None:
                session.add(ParcelRow(waybill=waybill, courier="yuantong", state="3"))
                session.flush()
            session.add(ScanRow(waybill=waybill, at=datetime.now(UTC) - ago, code=code))

        self.desk.without_telling(scanned)

    def _ledger(self) -> list[LedgerEntry]:
        with self.desk.database.reading() as session:
            return payments.ledger(session, self.order_id)
