"""Flow 5's hands: how its openings and happenings are made to happen in the shop and at the couriers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from casework.case import CaseView
from casework.money import LineQuantity
from casework.shop import outside, records
from casework.shop.tables import (
    ClaimRow,
    FlagWishRow,
    FollowedParcelRow,
    HoldRow,
    InterceptRow,
    OrderRow,
    OutboxRow,
    OutOfStockRow,
    PaymentRow,
    ReshipmentRow,
)
from casework.templates import ENDINGS
from state_machines.laws.problem_parcel import WORLD, ParcelOpening
from state_machines.laws.world import World
from state_machines.problem_parcel import ParcelCase
from tests.desk import Desk, Handle
from tests.parcels import FLOW, parcel_order, scan, silence, until_it_moves
from tests.walking.driver import Hands, Happen
from tests.walking.planner import Plan

SCANNED_AFTER = timedelta(hours=40)
"""After its opening: when the courier's answer is late, and before the parcel is presumed lost."""
_numbers = itertools.count(1)


class ParcelHands(Hands):
    """The shop and the couriers around one problem parcel."""

    world: ClassVar[World[ParcelCase]] = WORLD
    prepared: ClassVar[frozenset[str]] = frozenset({"there is no such parcel"})

    def __init__(self, desk: Desk, plan: Plan) -> None:
        super().__init__(desk.with_policy("parcels"), plan)
        self.how: ParcelOpening = plan.opening.how
        self.waybill = ""

    # not the same for every case: a return is told, another case's parent hands over
    @property
    def stopped_in(self) -> Mapping[str, str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return {
            "registering": "register_parcel",
            "opening_refund": "tell_return" if self.how.way_back else "hand_over",
            "cancelling": "give_up_parcel",
        }

    @property
    def parent(self) -> str:
        return f"return-after-shipping-{self.order_id}"

    async def prepare(self) -> None:
        self.order_id, self.waybill = parcel_order(self.desk, price_fen=self.how.amount_fen)
        if self.how.way_back or "there is no such parcel" in self.plan.happenings:
            self.waybill = f"WB{self.order_id[-11:]}"
        if self.how.way_back:
            # that nobody knows when it left would be trouble enough
            scan(self.desk, self.waybill, "1", at=datetime.now(UTC) - timedelta(hours=2))
        silence(self.desk, self.waybill)
        if self.how.way_back:
            with self.desk.database.writing() as session:
                records.open_record(
                    session,
                    case_id=self.parent,
                    run_id="of-the-tests",
                    flow="return-after-shipping",
                    order_id=self.order_id,
                    opened_by="aftersale.1",
                    opened_at=datetime.now(UTC),
                    lines=[LineQuantity(line=1, quantity=1)],
                )

    async def open(self, task_timeout: timedelta | None) -> Handle:
        fields: dict[str, Any] = {
            "order_id": self.order_id,
            "by": "system" if self.how.way_back else self.opener,
            "waybill": self.waybill,
            "courier": "yuantong",
            "cause": self.how.cause,
        }
        parent = self.parent if self.how.way_back else None
        case = await self.desk.open_case(
            FLOW, f"{FLOW}-{self.waybill}", fields, task_timeout=task_timeout, parent=parent
        )
        if self.how.scanned_late:
            scan(self.desk, self.waybill, "0", at=await self.desk.skipper.get_current_time(case) + SCANNED_AFTER)
            silence(self.desk, self.waybill)
        return case

    def happenings(self, case: Handle) -> Mapping[str, Happen]:
        desk, order_id = self.desk, self.order_id

        def nothing() -> None:
            return

        def scanned(code: str) -> Happen:
            async def happen() -> None:
                await until_it_moves(desk, case, since=await self._scan(case, code))

            return happen

        async def forwarded() -> None:
            waybill = f"EA{next(_numbers) + 9_000_000_000:010d}CN"
            before = await self._scan(case, "7", text=f"快件已转EMS,新单号{waybill}")
            await until_it_moves(desk, case, since=before)

        async def finished() -> None:
            before = await desk.view(case)
            with desk.database.writing() as session:
                session.get_one(OrderRow, order_id).state = "finished"
            await until_it_moves(desk, case, since=before)

        async def over() -> None:
            desk.platform_refunds_order(order_id)
            await case.signal("order_gone", {"by": "system"})

        def sold_out() -> None:
            with desk.database.writing() as session:
                session.add(OutOfStockRow(sku=f"SKU-{order_id}", at=datetime.now(UTC)))

        return {
            "there is no such parcel": nothing,
            "it is settled already": lambda: desk.without_telling(
                lambda session: outside.close(session, order_id, at=datetime.now(UTC))
            ),
            "it is registered": nothing,
            "it is registered, and sold out": sold_out,
            "it moves, and is on time": scanned("0"),
            "it is signed for": scanned("301"),
            "something is wrong with it": scanned("2"),
            "it is going back": scanned("6"),
            "the courier forwards it": forwarded,
            "the trade is finished": finished,
            "the order is over": over,
            "the refund is opened, or its return told": nothing,
            "everything is undone": nothing,
        }

    async def _scan(self, case: Handle, code: str, *, text: str = "") -> CaseView:
        """The courier has scanned the parcel; how the case was before.

        A case that has just been registered is asking already, as of then: where the buyer only asked, an answer of
        before the scan would say that all is well.
        """
        view = await self.desk.view(case)
        now = view.trail[-1].at if view.version == 1 else await self.desk.skipper.get_current_time(case)
        scan(self.desk, await self._follows(case), code, at=now, text=text)
        return view

    async def _follows(self, case: Handle) -> str:
        """The waybill under which the goods go now, as the shop knows it."""
        with self.desk.database.reading() as session:
            rows = session.query(FollowedParcelRow).filter_by(case_id=case.id).all()
        return max(rows, key=lambda row: (row.how not in ("opened", "way_back"), row.since or row.waybill)).waybill

    async def require_whole(self, view: CaseView) -> None:
        with self.desk.database.reading() as session:
            for table in (HoldRow, ClaimRow, FlagWishRow, InterceptRow, PaymentRow):
                assert session.query(table).filter_by(case_id=view.case_id).count() == 0, table.__name__
            assert session.query(ReshipmentRow).filter_by(case_id=view.case_id, state="asked").count() == 0
            ending = ENDINGS[FLOW][view.outcome or ""]
            told = session.query(OutboxRow).filter_by(case_id=view.case_id, to="buyer", template=ending).count()
            assert told == 1, f"the buyer is told of the end {told} times"
            (record,) = records.find_records(session, case_id=view.case_id)[:1]
            assert (record.outcome, record.view) == (view.outcome, view.model_dump(mode="json"))
