"""What the steps of a case are made of: what each says, and the transaction of a case that is still open."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TypedDict

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session
from temporalio import activity
from temporalio.exceptions import ApplicationError

from casework.authority import reached
from casework.money import LineQuantity
from casework.shop import outbox
from casework.shop.database import Database
from casework.shop.errors import CaseOver
from casework.shop.fencing import FencingToken
from casework.shop.staff import all_staff
from casework.shop.steps import case_transaction
from casework.templates import Post

CASE_OVER = "CaseOver"


class CaseStep(BaseModel):
    """One step of a case, at the case's own time (aware).

    `posts` go out in the transaction of what the step writes; one that may be refused by its answer, only reads, or
    leaves the shop is given none.
    """

    case_id: str
    run_id: str
    at: datetime
    posts: list[Post]


class OrderStep(CaseStep):
    """One step on some lines of an order."""

    order_id: str
    lines: list[LineQuantity]
    posts: list[Post] = Field(default_factory=list[Post])
    moment: FencingToken | None = None
    """Where the case's execution is: a step of a case that is over is refused."""
    round: int = 0
    """The case's version when it asked for the step: done again in a later state, as where goods leave and come back
    twice, it is another step."""

    def key(self, purpose: str) -> str:
        """The step's idempotency key: the case's one execution, and the purpose."""
        return f"{self.case_id}/{self.run_id}/{purpose}"

    def round_key(self, purpose: str) -> str:
        """As `key`, for a step that the case may do again in a later state."""
        return self.key(f"{purpose}/{self.round}")


class StepFields(TypedDict):
    """The fields of an `OrderStep`, for a step that has more."""

    case_id: str
    run_id: str
    order_id: str
    lines: list[LineQuantity]
    at: datetime
    posts: list[Post]
    moment: FencingToken | None
    round: int


class Done(BaseModel):
    """Why the shop refused a step; None: it is done."""

    refused: str | None = None


@contextmanager
def writing_for(database: Database, step: OrderStep) -> Generator[Session]:
    """One transaction of a step of a case that is still open; the step's posts go out at the end of it.

    Raises:
        ApplicationError: not retryable, where the case is over: Temporal gave this attempt up and went on.

    """
    with _transaction(database, step) as session:
        yield session
        post_all(session, step, step.posts)


@contextmanager
def _transaction(database: Database, step: OrderStep) -> Generator[Session]:
    # a case has one local activity under way at a time
    in_turn = activity.in_activity() and activity.info().is_local
    with (
        refused_if_over(),
        case_transaction(database, step.case_id, step.run_id, step.moment, in_turn=in_turn) as session,
    ):
        yield session


@contextmanager
def refused_if_over() -> Generator[None]:
    """What a case that is over asks for comes too late.

    Raises:
        ApplicationError: not retryable, where the case is over: Temporal gave this attempt up and went on.

    """
    try:
        yield
    except CaseOver as late:
        raise ApplicationError(str(late), type=CASE_OVER, non_retryable=True) from None


def note_moves(database: Database, step: OrderStep) -> None:
    """Take down which moves the case has made, before somebody outside is asked who may be long in answering.

    Otherwise lists would offer until then what was decided by a plain signal, or by the clock.

    Raises:
        ApplicationError: as `writing_for`.

    """
    with _transaction(database, step):
        pass


def post_all(session: Session, step: CaseStep, posts: Sequence[Post]) -> None:
    """Put the messages in the outbox, in the transaction of the step that they belong to.

    One for a person is left out where they have it with another of the same kind, for a role.
    """
    for one in posts:
        if _reaches_them_in_a_role(session, one, posts, step.at):
            continue
        text = one.text()
        outbox.post(
            session,
            key=f"{step.case_id}/{step.run_id}/{one.purpose}",
            case_id=step.case_id,
            to=one.to,
            recipient=one.recipient,
            template=one.template,
            parameters=one.parameters,
            text_zh=text.zh,
            text_en=text.en,
            at=step.at,
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
