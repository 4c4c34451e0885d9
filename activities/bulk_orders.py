"""Steps of a bulk order's review on the shop's own order book. One transaction each."""

from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel, Field

from activities.defining import uninterrupted
from activities.steps import OrderStep, writing_for
from casework.money import LineQuantity
from casework.rules.bulk import Sign
from casework.shop import bulk, flags
from casework.shop.database import Database
from casework.shop.errors import BadRequest
from casework.shop.fencing import went_further
from casework.standing import BulkStanding


class ScreenStep(OrderStep):
    """Hold the order, and gather what speaks of a malicious claim: in this conversation, or in all about the order."""

    chat_id: str | None
    risk_words: list[str]


class Screened(BaseModel):
    """How the order stands, and what the shop knows of its buyer (None: it does not know); `pieces` are all of it."""

    standing: BulkStanding
    registered_on: str | None
    purchases: int | None
    talk: list[Sign] = Field(default_factory=list[Sign])
    pieces: int


class GatherStep(OrderStep):
    """Look into one more conversation."""

    chat_id: str
    risk_words: list[str]


class Gathered(BaseModel):
    """What the conversation speaks of, or why it is refused."""

    talk: list[Sign] = Field(default_factory=list[Sign])
    refused: str | None = None


class LetGo(BaseModel):
    """Whether the shipment was released (not where the order is no longer what was reviewed), and how it stands."""

    let_go: bool
    standing: BulkStanding


class PriceStep(OrderStep):
    """Write a discount, in percent, into the order's memo."""

    percent: Decimal


class AmountStep(OrderStep):
    """Change the order's total with postage to this amount, in fen."""

    amount_fen: int


class ClosingStep(OrderStep):
    """Close the trade if nobody has paid for it, with a memo."""

    memo: str


class FreeLines(BaseModel):
    """What is left to ship and has not been claimed by a refund or return, and whether anything has."""

    lines: list[LineQuantity]
    some_claimed: bool


class BulkOrderActivities:
    """Steps on a bulk order."""

    def __init__(self, database: Database) -> None:
        """`database` is the shop's."""
        self._database = database

    @uninterrupted
    def screen_bulk(self, step: ScreenStep) -> Screened:
        """Hold all that is left to ship, marked "do not ship", and gather what advises the review."""
        with writing_for(self._database, step) as session:
            bulk.forget_review(session, step.case_id)
            bulk.hold_all(session, step.case_id, step.order_id, at=step.at)
            record = bulk.gather_record(session, step.order_id, step.chat_id, step.risk_words)
            standing = bulk.standing(session, step.case_id, step.order_id)
        registered = record.registered_on
        return Screened(
            standing=standing,
            registered_on=None if registered is None else registered.isoformat(),
            purchases=record.purchases,
            talk=record.talk,
            pieces=record.pieces,
        )

    @uninterrupted
    def read_bulk(self, step: OrderStep) -> BulkStanding:
        """Read the order again."""
        with self._database.reading() as session:
            standing = bulk.standing(session, step.case_id, step.order_id)
            if step.moment is not None:
                standing.went_further = went_further(session, step.case_id, step.run_id, step.moment)
            return standing

    @uninterrupted
    def gather_talk(self, step: GatherStep) -> Gathered:
        """What one more conversation speaks of; it must be in the shop, and about this order."""
        with self._database.reading() as session:
            try:
                bulk.require_chat(session, step.order_id, step.chat_id)
            except BadRequest as refused:
                return Gathered(refused=str(refused))
            return Gathered(talk=bulk.gather_record(session, step.order_id, step.chat_id, step.risk_words).talk)

    @uninterrupted
    def note_reviewed(self, step: OrderStep) -> None:
        """The order as it is now is what is reviewed."""
        with writing_for(self._database, step) as session:
            bulk.note_reviewed(session, step.case_id, step.order_id, at=step.at)

    @uninterrupted
    def hold_bulk(self, step: OrderStep) -> bool:
        """Hold it, or hold it again; answers whether it could be."""
        with writing_for(self._database, step) as session:
            return bulk.hold_all(session, step.case_id, step.order_id, at=step.at)

    @uninterrupted
    def let_bulk_go(self, step: OrderStep) -> LetGo:
        """Let it ship, if it is what was reviewed."""
        with writing_for(self._database, step) as session:
            let_go = bulk.let_ship(session, step.case_id, step.order_id, at=step.at)
            return LetGo(let_go=let_go, standing=bulk.standing(session, step.case_id, step.order_id))

    @uninterrupted
    def approve_price(self, step: PriceStep) -> int:
        """Write the discount into the memo; answers with the order's new total with postage, in fen."""
        with writing_for(self._database, step) as session:
            approved_fen = bulk.approve_price(session, step.case_id, step.order_id, step.percent)
            memo = f"[{bulk.price_memo(step.percent, approved_fen)}]"
            flags.append_memo(session, step.order_id, memo, at=step.at, key=step.round_key("discount"))
            return approved_fen

    @uninterrupted
    def change_price(self, step: AmountStep) -> str | None:
        """Change the price of an order that is not paid yet; answers why it is refused."""
        try:
            with writing_for(self._database, step) as session:
                bulk.change_price(session, step.case_id, step.order_id, step.amount_fen, at=step.at)
        except BadRequest as refused:
            return str(refused)
        return None

    @uninterrupted
    def close_bulk(self, step: ClosingStep) -> bool:
        """Close the trade, with a memo, if nobody has paid for it; answers whether it is closed and unpaid."""
        with writing_for(self._database, step) as session:
            flags.append_memo(session, step.order_id, step.memo, at=step.at, key=step.key("terminated"))
            return bulk.close_unpaid(session, step.case_id, step.order_id, at=step.at)

    @uninterrupted
    def free_lines(self, step: OrderStep) -> FreeLines:
        """What a refund can be opened for."""
        with self._database.reading() as session:
            lines, claimed = bulk.free_lines(session, step.case_id, step.order_id)
            return FreeLines(lines=lines, some_claimed=claimed)

    @uninterrupted
    def forget_review(self, step: OrderStep) -> None:
        """A new dossier is compiled: what was reviewed before does not count."""
        with writing_for(self._database, step) as session:
            bulk.forget_review(session, step.case_id)

    @uninterrupted
    def leave_red(self, step: OrderStep) -> None:
        """Release everything that the case still has; its red flag stays."""
        with writing_for(self._database, step) as session:
            bulk.leave_red(session, step.case_id, at=step.at)
