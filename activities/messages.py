"""Messages to buyers and tasks for staff: written to the shop's outbox, once each."""

from __future__ import annotations

from activities.defining import uninterrupted
from activities.steps import CaseStep, post_all
from casework.shop import waiting
from casework.shop.database import Database
from casework.shop.fencing import FencingToken
from casework.waiting import Waits


class PostMessages(CaseStep):
    """What is to be said, for one case."""

    order_id: str
    moment: FencingToken | None = None
    waits: Waits | None = None
    """Where the case waits, told on this occasion, so that no list has to ask it; None: it is at work."""


class MessageActivities:
    """Writes to the outbox."""

    def __init__(self, database: Database) -> None:
        """`database` is the shop's."""
        self._database = database

    @uninterrupted
    def post_messages(self, request: PostMessages) -> None:
        """Say it once: a message of the same case and purpose is not posted again."""
        with self._database.writing() as session:
            post_all(session, request, request.posts)
            if request.moment is not None:
                waiting.tell(session, request.case_id, request.run_id, request.moment, request.waits)
