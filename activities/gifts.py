"""Gifts and free shipping: how the order stands for one, the promise with its memo, and what is on the order."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from activities.defining import uninterrupted
from activities.steps import Done, OrderStep, writing_for
from casework.shop import gifts
from casework.shop.database import Database
from casework.shop.errors import BadRequest
from casework.shop.gifts import Budget, Present, Promised
from casework.standing import GiftStanding


class GiftStep(OrderStep):
    """A step about a gift or free shipping: what it is, its cost in fen, and the month's budget by the case's policy.

    `memo` is what the step adds to the order's memo.
    """

    kind: Literal["gift", "free_shipping"]
    gift_sku: str | None
    quantity: int | None
    cost_fen: int
    monthly_budget_fen: int
    timezone: str
    memo: str = ""

    @property
    def present(self) -> Present:
        """What is to be given."""
        return Present(self.kind, self.gift_sku, self.quantity or 1, self.cost_fen)

    @property
    def budget(self) -> Budget:
        """The month's budget."""
        return Budget(self.monthly_budget_fen, self.timezone)


class PromiseStep(GiftStep):
    """Promise it; beyond the budget too, where finance has approved that."""

    over_budget: bool


class PutOnOrderStep(GiftStep):
    """The auditor's word that it is on the order, which was paid or not when the case looked."""

    paid: bool


class NamedStep(OrderStep):
    """Another gift that the buyer's agent names."""

    gift_sku: str
    quantity: int


class Priced(BaseModel):
    """What a gift costs by the catalogue, in fen, or why that cannot be said."""

    cost_fen: int | None
    refused: str | None = None


class GiftActivities:
    """Steps on gifts, one transaction each."""

    def __init__(self, database: Database) -> None:
        """`database` is the shop's."""
        self._database = database

    @uninterrupted
    def check_gift(self, step: GiftStep) -> GiftStanding:
        """How the order stands for a gift of this kind when its case begins."""
        return self.read_gift_standing(step)

    @uninterrupted
    def read_gift_standing(self, step: GiftStep) -> GiftStanding:
        """How the order stands for a gift of this kind now."""
        with self._database.reading() as session:
            return gifts.standing(session, step.order_id, step.kind, budget=step.budget, at=step.at)

    @uninterrupted
    def price_gift(self, step: NamedStep) -> Priced:
        """What another gift costs by the catalogue."""
        with self._database.reading() as session:
            try:
                return Priced(cost_fen=gifts.cost_in_catalogue(session, step.gift_sku, step.quantity))
            except BadRequest as refused:
                return Priced(cost_fen=None, refused=str(refused))

    @uninterrupted
    def promise_gift(self, step: PromiseStep) -> Promised:
        """Write the memo and reserve the cost in the month's budget, in one transaction that reads the order again."""
        with writing_for(self._database, step) as session:
            return gifts.promise(
                session,
                step.present,
                key=step.round_key("promise"),
                case_id=step.case_id,
                order_id=step.order_id,
                budget=step.budget,
                over_budget=step.over_budget,
                memo=step.memo,
                at=step.at,
            )

    @uninterrupted
    def put_gift_on_order(self, step: PutOnOrderStep) -> Done:
        """Record that it is on the order; the postage of a paid order is credited after this."""
        try:
            with writing_for(self._database, step) as session:
                gifts.put_on_order(
                    session,
                    step.present,
                    key=step.round_key("put_on_order"),
                    case_id=step.case_id,
                    order_id=step.order_id,
                    paid=step.paid,
                    memo=step.memo,
                    at=step.at,
                )
        except BadRequest as refused:
            return Done(refused=str(refused))
        return Done()

    @uninterrupted
    def grant_credited_postage(self, step: GiftStep) -> None:
        """The postage has been credited: free shipping is granted."""
        with writing_for(self._database, step) as session:
            gifts.grant_credited(
                session,
                key=step.key("grant"),
                case_id=step.case_id,
                order_id=step.order_id,
                memo=step.memo,
                at=step.at,
            )

    @uninterrupted
    def withdraw_gift(self, step: GiftStep) -> None:
        """What was promised is withdrawn: it returns to the budget, and the memo says so."""
        with writing_for(self._database, step) as session:
            gifts.withdraw(
                session,
                key=step.round_key("withdraw"),
                case_id=step.case_id,
                order_id=step.order_id,
                memo=step.memo,
                at=step.at,
            )
