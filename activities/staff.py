"""Who is asking: looked up in the shop's staff list at the moment of the decision."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, Field

from activities.defining import uninterrupted
from casework.authority import actor_named
from casework.case import Actor
from casework.privacy import personal_text
from casework.shop.database import Database
from casework.shop.orders import personal_of
from casework.shop.staff import StaffMember, all_staff


class Consider(BaseModel):
    """A person's message: who they say they are, every text in it, and on the case's clock when it is considered.

    `others` are looked up with them: whom the message is about. `at` is aware.
    """

    staff_id: str
    order_id: str
    texts: list[str]
    at: datetime
    others: list[str] = Field(default_factory=list[str])


class Considered(BaseModel):
    """The person as the staff list has them then, or why they may not act; `listed`: they have not left."""

    actor: Actor | None
    why: str | None = None
    listed: bool = True
    others: dict[str, Considered] = Field(default_factory=dict[str, "Considered"])


class StaffActivities:
    """Reads the staff list."""

    def __init__(self, database: Database) -> None:
        """`database` is the shop's."""
        self._database = database

    @uninterrupted
    def consider(self, request: Consider) -> Considered:
        """Who is it, in which roles may they act now, and does the message hold something of the buyer's?"""
        with self._database.reading() as session:
            staff = all_staff(session)
            considered = _considered(staff, request.staff_id, request.at)
            considered.others = {one: _considered(staff, one, request.at) for one in request.others}
            if considered.actor is None or not request.texts:
                return considered
            personal = personal_of(session, request.order_id)
        problems = [problem for text in request.texts if (problem := personal_text(text, personal)) is not None]
        return Considered(actor=None, why=problems[0]) if problems else considered


def _considered(staff: Sequence[StaffMember], staff_id: str, at: datetime) -> Considered:
    actor, why = actor_named(staff, staff_id, at)
    return Considered(actor=actor, why=why, listed=any(one.id == staff_id and not one.gone for one in staff))
