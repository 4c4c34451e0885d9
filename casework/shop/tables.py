"""The shop's tables. Times are stored in UTC and come out aware; money is whole fen."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Final, cast

from sqlalchemy import (
    JSON,
    BigInteger,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy import Date as DateColumn
from sqlalchemy import DateTime as DateTimeColumn
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Moment(TypeDecorator[datetime]):
    """An aware datetime, kept in UTC: also where the database knows no zones."""

    impl = DateTimeColumn(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without a zone, hand over the rest in UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time in the shop must have a zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy's signature
    ) -> datetime | None:
        """Give it back aware."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """All tables of the shop."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own declarative form
        datetime: Moment,
        date: DateColumn,
        str: String,
        int: BigInteger().with_variant(Integer(), "sqlite"),
        dict[str, Any]: JSON,
        list[Any]: JSON,
    }


LONGEST_CASE_ID = 200
CASE_ID = String(LONGEST_CASE_ID)
KEY = String(400)
ORDER_ID = String(32)


class OrderRow(Base):
    """An order as the platform last said, and what only the shop knows: flags and memo."""

    __tablename__ = "orders"

    id: Mapped[str] = mapped_column(ORDER_ID, primary_key=True)
    state: Mapped[str] = mapped_column(String(20))
    """The platform's word: see `states.ORDER_STATES`. What has shipped is said by the lines."""
    created_at: Mapped[datetime]
    paid_at: Mapped[datetime | None]
    shipped_at: Mapped[datetime | None]
    confirmed_at: Mapped[datetime | None]
    goods_fen: Mapped[int]
    postage_fen: Mapped[int]
    total_fen: Mapped[int]
    paid_fen: Mapped[int]
    platform_refund_fen: Mapped[int | None]
    """What the platform's export last said was refunded in all; None if it does not say."""
    settled_fen: Mapped[int | None]
    """What the platform paid out to the shop (打款商家金额)."""
    platform_memo: Mapped[str] = mapped_column(Text, default="")
    memo: Mapped[str] = mapped_column(Text, default="")
    """The platform's memo with what cases appended to it."""
    own_flag: Mapped[str] = mapped_column(String(10), default="none")
    lasting_flag: Mapped[str | None] = mapped_column(String(10))
    """What an ended case left behind (the red of a refund with nothing left to ship)."""
    lines_known: Mapped[bool] = mapped_column(default=False)
    closed_reason: Mapped[str] = mapped_column(Text, default="")
    list_fen: Mapped[int | None]
    """What the total was before a bulk discount lowered it, with postage; None: it was not lowered."""
    buyer_message: Mapped[str] = mapped_column(Text, default="")
    buyer_nick: Mapped[str] = mapped_column(Text, default="")
    buyer_account: Mapped[str] = mapped_column(Text, default="")
    payment_number: Mapped[str] = mapped_column(Text, default="")
    receiver_name: Mapped[str] = mapped_column(Text, default="")
    address: Mapped[str] = mapped_column(Text, default="")
    changed_address: Mapped[str] = mapped_column(Text, default="")
    phone: Mapped[str] = mapped_column(Text, default="")
    mobile: Mapped[str] = mapped_column(Text, default="")
    receipt_until: Mapped[datetime | None]
    """When the platform takes the goods as received (自动确认收货), once a case has had that put off."""


class LineRow(Base):
    """A line of an order, counted from 1 in file order."""

    __tablename__ = "order_lines"

    order_id: Mapped[str] = mapped_column(ORDER_ID, ForeignKey("orders.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str] = mapped_column(Text, default="")
    sku: Mapped[str] = mapped_column(Text, default="")
    properties: Mapped[str] = mapped_column(Text, default="")
    price_fen: Mapped[int]
    quantity: Mapped[int]
    state: Mapped[str] = mapped_column(String(20))
    """The platform's word for the line."""
    place: Mapped[str] = mapped_column(String(10), default="unshipped")
    """Where the goods are: `unshipped`, `shipped`, or `back` (left, came back, and are not yet dealt with)."""


class ShipmentRow(Base):
    """One parcel of an order."""

    __tablename__ = "shipments"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[str] = mapped_column(ORDER_ID, ForeignKey("orders.id"), index=True)
    waybill: Mapped[str] = mapped_column(String(64), index=True)
    company: Mapped[str] = mapped_column(Text, default="")
    shipped_at: Mapped[datetime | None]
    intercepted_at: Mapped[datetime | None]
    back_at: Mapped[datetime | None]

    __table_args__ = (UniqueConstraint("order_id", "waybill"),)


class ShipmentLineRow(Base):
    """What is in a parcel."""

    __tablename__ = "shipment_lines"

    shipment_id: Mapped[int] = mapped_column(ForeignKey("shipments.id"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    quantity: Mapped[int]
    taken_out: Mapped[int] = mapped_column(default=0, server_default="0")
    """How many of these pieces are gone since it came back: returns have taken them in, or they have left the shelf."""
    shelved_at: Mapped[datetime | None]
    """When the rest was in the parcel no more, after it had come back: it went to the shelf to be shipped again, or
    others have left in its place."""

    @property
    def left_inside(self) -> int:
        """How many of these pieces are in the parcel still."""
        return 0 if self.shelved_at is not None else self.quantity - self.taken_out


class ParcelRow(Base):
    """A parcel as its courier last answered; it may belong to no order that the shop knows."""

    __tablename__ = "parcels"

    waybill: Mapped[str] = mapped_column(String(64), primary_key=True)
    courier: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(10))


class ScanRow(Base):
    """One scan of a parcel. One whose time is still to come is kept, and not shown until then."""

    __tablename__ = "scans"

    id: Mapped[int] = mapped_column(primary_key=True)
    waybill: Mapped[str] = mapped_column(String(64), ForeignKey("parcels.waybill"))
    at: Mapped[datetime]
    code: Mapped[str] = mapped_column(String(10))
    status: Mapped[str] = mapped_column(Text, default="")
    text: Mapped[str] = mapped_column(Text, default="")

    __table_args__ = (Index("ix_scans_waybill_at", "waybill", "at"),)


class FlagWishRow(Base):
    """The flag that an open case wishes for its order, and the one it found."""

    __tablename__ = "flag_wishes"

    case_id: Mapped[str] = mapped_column(CASE_ID, primary_key=True)
    order_id: Mapped[str] = mapped_column(ORDER_ID, ForeignKey("orders.id"), index=True)
    colour: Mapped[str] = mapped_column(String(10))
    found: Mapped[str] = mapped_column(String(10))


class FlagChangeRow(Base):
    """History: the flag shown changed."""

    __tablename__ = "flag_changes"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[str] = mapped_column(ORDER_ID, ForeignKey("orders.id"), index=True)
    at: Mapped[datetime]
    before: Mapped[str] = mapped_column(String(10))
    after: Mapped[str] = mapped_column(String(10))
    case_id: Mapped[str | None] = mapped_column(CASE_ID)


class MemoEntryRow(Base):
    """What a case appended to an order's memo, whole; the memo shows what fits."""

    __tablename__ = "memo_entries"

    key: Mapped[str] = mapped_column(KEY, primary_key=True)
    number: Mapped[int]
    """Its place among the order's entries, counted from 1."""
    order_id: Mapped[str] = mapped_column(ORDER_ID, ForeignKey("orders.id"), index=True)
    at: Mapped[datetime]
    text: Mapped[str] = mapped_column(Text)


class HoldRow(Base):
    """A case keeps a line from shipping."""

    __tablename__ = "holds"

    order_id: Mapped[str] = mapped_column(ORDER_ID, primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    case_id: Mapped[str] = mapped_column(CASE_ID, primary_key=True, index=True)
    at: Mapped[datetime]
    handed_over_by: Mapped[str | None] = mapped_column(CASE_ID)
    """The case that hands this over to one that has not opened yet."""

    __table_args__ = (ForeignKeyConstraint(["order_id", "line"], ["order_lines.order_id", "order_lines.number"]),)


class ClaimRow(Base):
    """A refund or return has claimed a line: no other may, while it is open."""

    __tablename__ = "claims"

    order_id: Mapped[str] = mapped_column(ORDER_ID, primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    case_id: Mapped[str] = mapped_column(CASE_ID, index=True)
    refunded_before: Mapped[int]
    """Pieces of the line refunded before the claim: what is refunded since then, by whomever, is this case's."""
    shipped_before: Mapped[bool]
    """Whether the line had left when it was claimed: then postage is not refunded with it."""
    loose_before_fen: Mapped[int]
    """What of the platform's sums no line was known for at the claim; what has come since is taken as this case's."""
    handed_over_by: Mapped[str | None] = mapped_column(CASE_ID)
    """The case that hands this over to one that has not opened yet."""

    __table_args__ = (ForeignKeyConstraint(["order_id", "line"], ["order_lines.order_id", "order_lines.number"]),)


class PaymentRow(Base):
    """A payment of the shop's own, under its idempotency key."""

    __tablename__ = "payments"

    key: Mapped[str] = mapped_column(KEY, primary_key=True)
    case_id: Mapped[str] = mapped_column(CASE_ID, index=True)
    order_id: Mapped[str] = mapped_column(ORDER_ID, ForeignKey("orders.id"), index=True)
    amount_fen: Mapped[int]
    reference: Mapped[str] = mapped_column(String(64), ForeignKey("payment_references.reference"))
    by_hand: Mapped[bool]
    at: Mapped[datetime]


class PaymentReferenceRow(Base):
    """Every reference of a payment that was ever used, in one spelling."""

    __tablename__ = "payment_references"

    reference: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime]


class LedgerRow(Base):
    """Money that went back to the buyer: the shop's own payments, and what the platform paid."""

    __tablename__ = "ledger"

    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[str] = mapped_column(ORDER_ID, ForeignKey("orders.id"), index=True)
    line: Mapped[int | None]
    """0 is the postage; None is a sum of the platform's that no line is known for."""
    quantity: Mapped[int]
    amount_fen: Mapped[int]
    source: Mapped[str] = mapped_column(String(10))
    """`case`, `hand` or `platform`."""
    case_id: Mapped[str | None] = mapped_column(CASE_ID)
    payment_key: Mapped[str | None] = mapped_column(KEY, ForeignKey("payments.key"))
    at: Mapped[datetime]


class FaultRow(Base):
    """A fault that somebody wants to try: of a payment or an intercept."""

    __tablename__ = "faults"

    what: Mapped[str] = mapped_column(String(20), primary_key=True)
    subject: Mapped[str] = mapped_column(String(200), primary_key=True)
    how: Mapped[str] = mapped_column(String(10))


class InterceptRow(Base):
    """The courier's answer to a request to stop a parcel."""

    __tablename__ = "intercepts"

    key: Mapped[str] = mapped_column(KEY, primary_key=True)
    case_id: Mapped[str] = mapped_column(CASE_ID)
    order_id: Mapped[str] = mapped_column(ORDER_ID, ForeignKey("orders.id"))
    stopped: Mapped[bool]
    at: Mapped[datetime]


class StepRow(Base):
    """A step of a case that was done, so that it is not done again."""

    __tablename__ = "steps"

    key: Mapped[str] = mapped_column(KEY, primary_key=True)
    at: Mapped[datetime]


class StockMovementRow(Base):
    """Goods that came back into stock."""

    __tablename__ = "stock_movements"

    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(Text)
    quantity: Mapped[int]
    order_id: Mapped[str] = mapped_column(ORDER_ID, ForeignKey("orders.id"), index=True)
    line: Mapped[int]
    case_id: Mapped[str] = mapped_column(CASE_ID)
    at: Mapped[datetime]


class OutboxRow(Base):
    """A message to a buyer or a task for staff."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(KEY, unique=True)
    case_id: Mapped[str] = mapped_column(CASE_ID, index=True)
    to: Mapped[str] = mapped_column(String(10))
    recipient: Mapped[str | None] = mapped_column(String(100))
    """A role or a staff id; None for the buyer of the case's order."""
    template: Mapped[str] = mapped_column(String(100))
    parameters: Mapped[dict[str, Any]]
    text_zh: Mapped[str] = mapped_column(Text)
    text_en: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]
    cancelled_at: Mapped[datetime | None]
    delivery: Mapped[str] = mapped_column(String(10), default="waiting")
    """`waiting`, `delivered`, `refused` (the receiver will not have it), or `skipped`: not needed any more."""
    attempts: Mapped[int] = mapped_column(default=0)
    refusals: Mapped[int] = mapped_column(default=0)
    """How many of the attempts the receiver refused."""
    next_try: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC))
    """When it is to be delivered next, by the clock on the wall: while somebody is at it, when that one has lost it."""
    delivered_at: Mapped[datetime | None]
    last_error: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (Index("ix_outbox_delivery", "delivery", "next_try"),)


class StaffRow(Base):
    """A staff member."""

    __tablename__ = "staff"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int]
    """The place in the list."""
    name: Mapped[str] = mapped_column(Text)
    roles: Mapped[list[Any]]
    limit_fen: Mapped[int | None]
    present: Mapped[bool]
    deputy: Mapped[str | None] = mapped_column(String(64))
    absences: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    """The days on which they are away: `first`, `last` (ISO dates, both included) and the `zone` of those days."""
    gone: Mapped[bool] = mapped_column(default=False, server_default=false())
    """They have left; their id stays taken, as cases name it."""


class CaseRow(Base):
    """The record of a case: one for each run of a case id, also of those that Temporal no longer has."""

    __tablename__ = "cases"

    case_id: Mapped[str] = mapped_column(CASE_ID, primary_key=True)
    run_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    flow: Mapped[str] = mapped_column(String(64))
    order_id: Mapped[str] = mapped_column(ORDER_ID, index=True)
    lines: Mapped[list[Any]]
    opened_by: Mapped[str] = mapped_column(String(64))
    opened_at: Mapped[datetime]
    from_case: Mapped[str | None] = mapped_column(CASE_ID)
    amount_fen: Mapped[int]
    closed_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(String(64))
    view: Mapped[dict[str, Any] | None]
    """The case view at its end."""
    closing_execution: Mapped[str | None] = mapped_column(String(100))
    closing_events: Mapped[int | None] = mapped_column(Integer)
    """In which execution of Temporal's it was closed, and how many events that had."""
    involved: Mapped[list[Any] | None]
    """Who had a part in it when it handed over to another case, which takes them over too."""
    at_version: Mapped[int | None]
    """How many accepted moves the shop knows of: where it waits (`WaitRow`) is told with each. None: opened by a
    Casework that did not tell, and not asked yet."""
    at_execution: Mapped[str | None] = mapped_column(String(100))
    at_events: Mapped[int | None]
    """In which execution of Temporal's it was told, and how many events that had."""
    at_time: Mapped[datetime | None]
    """What time it was by the case's own clock when it was told; None: told by a Casework that did not say."""
    at_state: Mapped[str | None] = mapped_column(String(64))
    """In which state it was when it was told; None: told by a Casework that did not say."""
    let_go: Mapped[dict[str, Any] | None]
    """What it has released by the last few moves that released something: it is restored if Temporal discards these
    (`releasing.note_released`)."""

    __table_args__ = (
        Index(
            "ix_cases_untold",
            "case_id",
            sqlite_where=text("closed_at IS NULL AND at_version IS NULL"),
            postgresql_where=text("closed_at IS NULL AND at_version IS NULL"),
        ),
    )


CASES: Final = cast("Table", CaseRow.__table__)
"""Of the same rows, for statements that need no objects."""


class WaitRow(Base):
    """Where an open case waits now, as it said itself when it began to; no row while it is at work."""

    __tablename__ = "waits"

    case_id: Mapped[str] = mapped_column(CASE_ID, primary_key=True)
    run_id: Mapped[str] = mapped_column(String(100))
    flow: Mapped[str] = mapped_column(String(64))
    order_id: Mapped[str] = mapped_column(ORDER_ID, index=True)
    roles: Mapped[str] = mapped_column(String(400))
    """Who is asked to act, as `|finance_manager|store_manager|`."""
    assignee: Mapped[str | None] = mapped_column(String(64))
    since: Mapped[datetime]
    """When it came into the state."""
    due: Mapped[datetime]
    alarms: Mapped[int]
    """How often the clock has fired without anything having moved."""
    amount_fen: Mapped[int]
    pays_at: Mapped[datetime | None]
    """When money leaves by itself if nobody acts: at `due`, or within a day after it."""
    pays_fen: Mapped[int]
    """How much leaves then, in fen."""
    pays_for_certain: Mapped[bool] = mapped_column(server_default=false())
    """The outside cannot be in the way of it."""
    case: Mapped[dict[str, Any]]
    """All that the case knows, without its trail; no personal data."""

    __table_args__ = (
        Index("ix_waits_due", "due", "case_id", "roles"),
        # what is paid if nobody decides is summed up from the index alone
        Index("ix_waits_pays", "roles", "pays_at", "due", "pays_for_certain", "pays_fen"),
    )


WAITS: Final = cast("Table", WaitRow.__table__)
"""Of the same rows, for statements that need no objects."""


class NoticeRow(Base):
    """News of an order for one of its open cases, to be sent to it as a signal. It holds no personal data."""

    __tablename__ = "case_notices"

    id: Mapped[int] = mapped_column(primary_key=True)
    case_id: Mapped[str] = mapped_column(CASE_ID, index=True)
    order_id: Mapped[str] = mapped_column(ORDER_ID)
    trigger: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]


class GiftRow(Base):
    """A gift of the catalogue."""

    __tablename__ = "gifts"

    sku: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    cost_fen: Mapped[int]
    value_fen: Mapped[int]
    stock: Mapped[int]
    imported_stock: Mapped[int]
    """The stock as the catalogue last said: only a new word moves the stock."""


class ChatRow(Base):
    """A conversation with a buyer; it stays in the shop, cases hold its id."""

    __tablename__ = "chats"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    order_id: Mapped[str] = mapped_column(ORDER_ID, ForeignKey("orders.id"), index=True)
    buyer_registered_on: Mapped[date | None]
    messages: Mapped[list[Any]]


class SettingRow(Base):
    """What the shop remembers about itself: by how much its imported times are moved."""

    __tablename__ = "settings"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class ReturnRow(Base):
    """A return: when it was first asked for, how the buyer sent the goods back, and what was deducted of its refund."""

    __tablename__ = "returns"

    case_id: Mapped[str] = mapped_column(CASE_ID, primary_key=True)
    run_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    order_id: Mapped[str] = mapped_column(ORDER_ID, ForeignKey("orders.id"), index=True)
    requested_at: Mapped[datetime]
    """When the buyer first asked: of one that reopens another, the other's."""
    fault: Mapped[bool]
    """Whether it goes on as a return for a fault."""
    courier: Mapped[str | None] = mapped_column(String(64))
    waybill: Mapped[str | None] = mapped_column(String(64), index=True)
    """The buyer's parcel, which is no shipment of the order."""
    gift_deducted_fen: Mapped[int] = mapped_column(default=0)
    settled_at: Mapped[datetime | None]
    """When it was paid, by us or by the platform: from then on it counts for the order's other returns."""


class ReturnedLineRow(Base):
    """What of a line has come in with a return, and what of it the inspection took (None: nobody has looked).

    So many of what was `received` are `from_parcels`: they had come back in parcels of ours before this return, or an
    earlier one, took them in, and are in none since.
    """

    __tablename__ = "returned_lines"

    case_id: Mapped[str] = mapped_column(CASE_ID, primary_key=True)
    run_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    order_id: Mapped[str] = mapped_column(ORDER_ID, ForeignKey("orders.id"), index=True)
    received: Mapped[int]
    accepted: Mapped[int | None]
    from_parcels: Mapped[int] = mapped_column(default=0, server_default="0")
    at: Mapped[datetime]


class GiftPromiseRow(Base):
    """A gift, or free shipping, that the shop has promised for an order: its cost is reserved in the month's budget.

    One of a kind for an order. It goes with its case's end, unless it was granted by then.
    """

    __tablename__ = "gift_promises"

    order_id: Mapped[str] = mapped_column(ORDER_ID, ForeignKey("orders.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    """`gift` or `free_shipping`."""
    case_id: Mapped[str] = mapped_column(CASE_ID, index=True)
    key: Mapped[str] = mapped_column(KEY)
    """The step that made it: the same one again finds it made."""
    sku: Mapped[str | None] = mapped_column(String(64))
    quantity: Mapped[int]
    cost_fen: Mapped[int]
    value_fen: Mapped[int]
    """What the buyer gets by it: the catalogue's value of all pieces, or the postage."""
    month: Mapped[str] = mapped_column(String(7), index=True)
    """The calendar month of the shop in whose budget it is reserved, as `2026-11`."""
    loose_before_fen: Mapped[int]
    """What of the platform's sums no line was known for when it was promised; see `ClaimRow`."""
    promised_at: Mapped[datetime]
    granted_at: Mapped[datetime | None]


class GiftMonthRow(Base):
    """A month's budget for gifts: whoever promises one locks it, so that two never promise the last of it."""

    __tablename__ = "gift_months"

    month: Mapped[str] = mapped_column(String(7), primary_key=True)


class FollowedParcelRow(Base):
    """A waybill that a problem parcel case follows, or followed before its parcel went on under another."""

    __tablename__ = "followed_parcels"

    case_id: Mapped[str] = mapped_column(CASE_ID, primary_key=True)
    run_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    waybill: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    order_id: Mapped[str] = mapped_column(ORDER_ID, ForeignKey("orders.id"), index=True)
    courier: Mapped[str] = mapped_column(String(64))
    how: Mapped[str] = mapped_column(String(10))
    """`opened` (the case is about it), `way_back` (so too, and the buyer sent it to us: it is no shipment of ours),
    `forwarded` (the same goods under another waybill) or `reshipped`."""
    since: Mapped[datetime | None]
    """When the parcel left under this waybill, as far as the shop knows."""
    number: Mapped[int | None]
    """Its place among what the run has followed, counted from 0; None: noted before that was."""


class ParcelStatusRow(Base):
    """What the courier last said of a waybill, and when it was last asked: by whichever case, or by the patrol."""

    __tablename__ = "parcel_statuses"

    waybill: Mapped[str] = mapped_column(String(64), primary_key=True)
    asked_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
    """When the courier last answered; None: it never has."""
    code: Mapped[str | None] = mapped_column(String(10))
    """The newest scan's code as the courier wrote it, also one that is not known here."""
    scan_at: Mapped[datetime | None]
    forwarded_courier: Mapped[str | None] = mapped_column(String(64))
    forwarded_waybill: Mapped[str | None] = mapped_column(String(64))


class CourierRequestRow(Base):
    """What a courier was asked to do with a parcel, and whether it will."""

    __tablename__ = "courier_requests"

    key: Mapped[str] = mapped_column(KEY, primary_key=True)
    case_id: Mapped[str] = mapped_column(CASE_ID, index=True)
    courier: Mapped[str] = mapped_column(String(64))
    waybill: Mapped[str] = mapped_column(String(64), index=True)
    what: Mapped[str] = mapped_column(String(20))
    """`forward` or `redeliver`."""
    address_id: Mapped[str | None] = mapped_column(String(200))
    agreed: Mapped[bool]
    at: Mapped[datetime]


class CourierClaimRow(Base):
    """What the shop claims from a courier for a parcel, in fen; one per case and waybill, the newest one counts."""

    __tablename__ = "courier_claims"

    case_id: Mapped[str] = mapped_column(CASE_ID, primary_key=True)
    run_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    waybill: Mapped[str] = mapped_column(String(64), primary_key=True)
    order_id: Mapped[str] = mapped_column(ORDER_ID, ForeignKey("orders.id"), index=True)
    courier: Mapped[str] = mapped_column(String(64))
    amount_fen: Mapped[int]
    at: Mapped[datetime]


class ReshipmentRow(Base):
    """Goods that a case has the warehouse send again: reserved in stock until they leave or are called off."""

    __tablename__ = "reshipments"

    key: Mapped[str] = mapped_column(KEY, primary_key=True)
    case_id: Mapped[str] = mapped_column(CASE_ID, index=True)
    order_id: Mapped[str] = mapped_column(ORDER_ID, ForeignKey("orders.id"), index=True)
    lines: Mapped[list[Any]]
    state: Mapped[str] = mapped_column(String(10))
    """`asked`, `left` or `called_off`."""
    at: Mapped[datetime]


class OutOfStockRow(Base):
    """Goods of which the warehouse said that none are left; goods that come into stock later take that back."""

    __tablename__ = "out_of_stock"

    sku: Mapped[str] = mapped_column(String(200), primary_key=True)
    at: Mapped[datetime]


class ReviewRow(Base):
    """What a bulk order's case has reviewed: a later change of the order is a change against this."""

    __tablename__ = "reviews"

    case_id: Mapped[str] = mapped_column(CASE_ID, primary_key=True)
    order_id: Mapped[str] = mapped_column(ORDER_ID, ForeignKey("orders.id"), index=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    """Of items, quantities and address."""
    price_fen: Mapped[int]
    """What the buyer was to pay then, with postage."""
    approved_fen: Mapped[int | None]
    """What the buyer is to pay under the approved discount."""
    at: Mapped[datetime]


class BatchOpeningRow(Base):
    """A row of a batch by what it says: the case that it has opened, or is about to open."""

    __tablename__ = "batch_openings"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Of the row's flow and content."""
    case_id: Mapped[str] = mapped_column(CASE_ID, index=True)
    lines: Mapped[list[Any]]
    """The numbers of the order's lines that it is about."""
    runs_before: Mapped[int]
    """How often the shop had recorded the case id when the opening began: one run more is the one that it opened."""
    begun_at: Mapped[datetime]
    opened_at: Mapped[datetime | None]
    """None: it began, and nobody has noted how it ended (the batch may have been killed)."""
