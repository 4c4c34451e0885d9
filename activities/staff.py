"""Who is asking: looked up in the shop's staff list at the moment of the decision."""

from __future__ import annotations

from pydantic import BaseModel
from temporalio import activity

from casework.authority import actor_named
from casework.case import Actor
from casework.privacy import personal_text
from casework.shop.database import Database
from casework.shop.orders import personal_of
from casework.shop.staff import all_staff


class Consider(BaseModel):
    """A person's message: who they say they are, and every text in it."""

    staff_id: str
    order_id: str
    texts: list[str]


class Considered(BaseModel):
    """The person as the staff list has them now, or why they may not act."""

    actor: Actor | None
    why: str | None = None


class StaffActivities:
    """Reads the staff list."""

    def __init__(self, database: Database) -> None:
        """`database` is the shop's."""
        self._database = database

    @activity.defn
    def consider(self, request: Consider) -> Considered:
        """Who is it, in which roles may they act now, and does the message hold something of the buyer's?"""
        with self._database.reading() as session:
            actor, why = actor_named(all_staff(session), request.staff_id)
            if actor is None or not request.texts:
                return Considered(actor=actor, why=why)
            personal = personal_of(session, request.order_id)
        problems = [problem for text in request.texts if (problem := personal_text(text, personal)) is not None]
        return Considered(actor=None, why=problems[0]) if problems else Considered(actor=actor)
