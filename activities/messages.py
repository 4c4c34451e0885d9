"""Messages to buyers and tasks for staff: written to the shop's outbox, once each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel
from sqlalchemy.orm import Session

from activities.defining import uninterrupted
from casework.authority import reached
from casework.shop import outbox, waiting
from casework.shop.database import Database
from casework.shop.fencing import FencingToken
from casework.shop.staff import all_staff
from casework.templates import Post
from casework.waiting import Waits


class PostMessages(BaseModel):
    """What is to be said, for one case. `at` is aware."""

    case_id: str
    run_id: str
    order_id: str
    posts: list[Post]
    at: datetime
    moment: FencingToken | None = None
    waits: Waits | None = None
    """Where the case waits, told on this occasion, so that no list has to ask it; None: it is at work."""


def post_all(session: Session, case_id: str, run_id: str, posts: Sequence[Post], at: datetime) -> None:
    """Put the messages in the outbox, in the transaction of the step that they belong to. `at` is aware.

    One for a person is left out where they have it with another of the same kind, for a role.
    """
    for one in posts:
        if _reaches_them_in_a_role(session, one, posts, at):
            continue
        text = one.text()
        outbox.post(
            session,
            key=f"{case_id}/{run_id}/{one.purpose}",
            case_id=case_id,
            to=one.to,
            recipient=one.recipient,
            template=one.template,
            parameters=one.parameters,
            text_zh=text.zh,
            text_en=text.en,
            at=at,
        )


def _reaches_them_in_a_role(session: Session, one: Post, posts: Sequence[Post], at: datetime) -> bool:
    """Whether the message is for a person, and for a role too in which it reaches whom it would reach."""
    if one.person is None:
        return False
    roles = [other.role for other in posts if other.role is not None and other.template == one.template]
    if not roles:
        return False
    staff = all_staff(session)
    in_roles = {somebody for role in roles for somebody in reached(staff, role, at)}
    return in_roles.issuperset(reached(staff, one.person, at))


class MessageActivities:
    """Writes to the outbox."""

    def __init__(self, database: Database) -> None:
        """`database` is the shop's."""
        self._database = database

    @uninterrupted
    def post_messages(self, request: PostMessages) -> None:
        """Say it once: a message of the same case and purpose is not posted again."""
        with self._database.writing() as session:
            post_all(session, request.case_id, request.run_id, request.posts, request.at)
            if request.moment is not None:
                waiting.tell(session, request.case_id, request.run_id, request.moment, request.waits)
