"""The couriers: asked where a parcel is, and to do something with it. They are outside the shop, so each is an activity
with its own line in the UI.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import BaseModel

from activities.defining import uninterrupted
from activities.steps import OrderStep, note_moves, refused_if_over
from casework.courier import Courier, OnBehalf, ParcelRequest
from casework.shop import tracking
from casework.shop.database import Database

AnswerT = TypeVar("AnswerT")


class AskCourier(BaseModel):
    """Where is the parcel? Not asked again within `poll_min` of the last time, whoever asked then. `at` is aware."""

    order_id: str
    courier: str
    waybill: str
    at: datetime
    poll_min: timedelta


class CourierStep(OrderStep):
    """A parcel that its courier is to do something with."""

    courier: str
    waybill: str
    address_id: str | None = None
    """For a new delivery: the reference of the corrected address."""


class ClaimStep(CourierStep):
    """What is claimed from the courier for the parcel, in fen."""

    amount_fen: int


class CourierActivities:
    """Talks to couriers, through whichever courier the worker was given."""

    def __init__(self, database: Database, courier: Courier) -> None:
        """`database` is the shop's; it remembers when a waybill was last asked for, and the last answer."""
        self._database = database
        self._courier = courier

    @uninterrupted
    def ask_courier(self, request: AskCourier) -> None:
        """Ask where the parcel is, unless that was asked a moment ago; the shop keeps the answer, and its age."""
        tracking.ask(
            self._database,
            self._courier,
            courier=request.courier,
            waybill=request.waybill,
            at=request.at,
            poll_min=request.poll_min,
        )

    @uninterrupted
    def intercept(self, step: OrderStep) -> bool:
        """Ask the courier to stop the parcel of these lines and bring it back; False if it cannot be stopped."""
        key = step.round_key("intercept")
        return self._asked(step, lambda: self._courier.intercept(key, _of(step), step.lines, at=step.at))

    @uninterrupted
    def forward(self, step: CourierStep) -> bool:
        """Ask the courier to hand the parcel over to another one; False if it cannot."""
        return self._asked(step, lambda: self._courier.forward(_request(step, "forward")))

    @uninterrupted
    def redeliver(self, step: CourierStep) -> bool:
        """Ask the courier to deliver once more, to the corrected address; False if it cannot."""
        return self._asked(step, lambda: self._courier.redeliver(_request(step, "redeliver")))

    @uninterrupted
    def claim(self, step: ClaimStep) -> None:
        """Claim from the courier what the parcel was worth; the newest claim for a parcel counts."""
        self._asked(step, lambda: self._courier.claim(_request(step, "claim"), amount_fen=step.amount_fen))

    def _asked(self, step: OrderStep, asking: Callable[[], AnswerT]) -> AnswerT:
        note_moves(self._database, step)
        with refused_if_over():
            return asking()


def _request(step: CourierStep, what: str) -> ParcelRequest:
    return ParcelRequest(
        key=step.round_key(what),
        of=_of(step),
        courier=step.courier,
        waybill=step.waybill,
        at=step.at,
        address_id=step.address_id,
    )


def _of(step: OrderStep) -> OnBehalf:
    return OnBehalf(step.case_id, step.run_id, step.order_id, step.moment)
