"""What the shop has for the stories to be played with: they ask for an order, and take what fits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.policy import Policy
from casework.rules.parcels import HANDED_OVER, province_of
from casework.rules.returns import SIGNED_BY_BUYER
from casework.shop.bulk import gather_record
from casework.shop.courier import Scan, shown_scans
from casework.shop.database import Database
from casework.shop.following import open_parcel_cases
from casework.shop.orders import Order, read_order
from casework.shop.tables import ChatRow, GiftRow, OrderRow, ParcelRow, ShipmentRow

SOON: Final = timedelta(days=3)
"""Until when a parcel that is sent on must arrive, for a story that shows it arrive."""
LONG_AGO: Final = datetime(9999, 1, 1, tzinfo=UTC)
Whereabouts = Literal["unpaid", "unshipped", "under way", "signed", "elsewhere"]


@dataclass(frozen=True, slots=True)
class Found:
    """An order as the stories look at it; money in fen.

    `amount_fen` is what has been paid and not refunded. `signed_at`: the buyer signed for it. `last_word`: the newest
    scan of its one parcel. `parcel_case`: the open case that follows it. `risky`: its buyer's chat, where there is one
    (`talked`), speaks of a malicious claim. `signed_at` is aware.
    """

    order_id: str
    whereabouts: Whereabouts
    amount_fen: int
    goods_fen: int
    postage_fen: int
    lines: tuple[tuple[int, int], ...]
    signed_at: datetime | None
    waybill: str | None
    last_word: Scan | None
    parcel_case: str | None
    province: str
    talked: bool
    risky: bool

    @property
    def pieces(self) -> int:
        """How many pieces were bought."""
        return sum(quantity for _, quantity in self.lines)


@dataclass(frozen=True, slots=True)
class Gift:
    """A gift of the catalogue, and what one costs the shop in fen."""

    sku: str
    cost_fen: int


@dataclass(frozen=True, slots=True)
class SentOn:
    """A parcel that a courier will have, which is nobody's yet: as which one goes on that is handed over."""

    courier: str
    waybill: str


@dataclass(frozen=True, slots=True)
class Shop:
    """What the stories may choose from: every order with what is left of it, cheapest first, gifts likewise.

    `now` is aware.
    """

    policy: Policy
    now: datetime
    orders: Sequence[Found]
    gifts: Sequence[Gift]
    sent_on: SentOn | None


def look_round(database: Database, policy: Policy) -> Shop:
    """Ask the shop for all that stories need to know."""
    now = datetime.now(UTC)
    with database.reading() as session:
        ids = list(session.scalars(select(OrderRow.id).where(OrderRow.lines_known).order_by(OrderRow.id)))
        talked = set(session.scalars(select(ChatRow.order_id)))
        followed = open_parcel_cases(session, set(session.scalars(select(ShipmentRow.waybill))))
        found = [_describe(session, policy, order_id, talked, followed, now) for order_id in ids]
        gifts = session.scalars(select(GiftRow).where(GiftRow.stock > 0).order_by(GiftRow.cost_fen))
        return Shop(
            policy=policy,
            now=now,
            orders=sorted((one for one in found if one.amount_fen), key=lambda one: one.amount_fen),
            gifts=[Gift(row.sku, row.cost_fen) for row in gifts],
            sent_on=_sent_on(session, now),
        )


def _describe(
    session: Session, policy: Policy, order_id: str, talked: set[str], followed: dict[str, str], now: datetime
) -> Found:
    order, row = read_order(session, order_id), session.get_one(OrderRow, order_id)
    waybill = order.parcels[0].waybill if len(order.parcels) == 1 else None
    scans = shown_scans(session, waybill, now) if waybill is not None else []
    signed = next((scan.at for scan in scans if scan.code in SIGNED_BY_BUYER), None)
    return Found(
        order_id=order_id,
        whereabouts=_whereabouts(order, waybill, scans, signed),
        amount_fen=order.paid_fen - order.refunded_fen,
        goods_fen=order.total_fen - order.postage_fen,
        postage_fen=order.postage_fen,
        lines=tuple((line.number, line.left) for line in order.lines),
        signed_at=signed,
        waybill=waybill,
        last_word=scans[0] if scans else None,
        parcel_case=followed.get(waybill) if waybill is not None else None,
        province=province_of(row.changed_address or row.address),
        talked=order_id in talked,
        risky=order_id in talked and bool(gather_record(session, order_id, None, policy.bulk_order.risk_words).talk),
    )


def _whereabouts(order: Order, waybill: str | None, scans: Sequence[Scan], signed: datetime | None) -> Whereabouts:
    places = {line.place for line in order.lines if line.state != "closed"}
    if order.state == "unpaid":
        return "unpaid"
    if order.state == "paid" and places == {"unshipped"}:
        return "unshipped"
    if order.state in ("shipped", "finished") and places == {"shipped"} and waybill is not None:
        if signed is not None:
            return "signed"
        if order.state == "shipped" and not (scans and scans[0].state in HANDED_OVER):
            return "under way"
    return "elsewhere"


def _sent_on(session: Session, now: datetime) -> SentOn | None:
    """A parcel by EMS that no order has and that the buyer will have signed for soon."""
    ours = select(ShipmentRow.waybill)
    spare = select(ParcelRow).where(ParcelRow.courier == "ems", ParcelRow.waybill.not_in(ours))
    for parcel in session.scalars(spare.order_by(ParcelRow.waybill)):
        newest = next(iter(shown_scans(session, parcel.waybill, LONG_AGO)), None)
        if newest is not None and newest.code in SIGNED_BY_BUYER and now < newest.at < now + SOON:
            return SentOn(parcel.courier, parcel.waybill)
    return None


Wish = Callable[[Shop], Sequence[Found]]
"""The orders that a story could be played with, the best first."""
WishedT = TypeVar("WishedT")


def choose(shop: Shop, wanted: Sequence[tuple[WishedT, Wish]]) -> dict[WishedT, Found]:
    """An order for each, as far as the shop has fitting ones: who has the least choice chooses first."""
    fitting = {one: list(wish(shop)) for one, wish in wanted}
    taken: set[str] = set()
    chosen: dict[WishedT, Found] = {}
    for one in sorted(fitting, key=lambda one: len(fitting[one])):
        found = next((order for order in fitting[one] if order.order_id not in taken), None)
        if found is not None:
            chosen[one] = found
            taken.add(found.order_id)
    return chosen
