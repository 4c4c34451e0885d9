"""The messages of a case on their way through its inbox, and how one is refused."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from casework.case import Answer
from casework.messages import Message, explain
from state_machines import asides
from state_machines.asides import AnswerQuestion, AskOpener, Comment
from state_machines.roles import Automatic
from state_machines.table import Flow


class Refused(Exception):
    """Why a message is refused: the case stays where it is."""


@dataclass(slots=True)
class Received:
    """A message on its way through the inbox."""

    trigger: str
    at: datetime
    seen: int
    """How many accepted moves there were when it arrived: a decision made for an earlier state is refused."""
    message: Message | None = None
    problem: str | None = None
    unknown: str | None = None
    """What is wrong with it to a case that refuses what nobody understands."""
    claimed_by: str = "unknown"
    content: str = ""
    """A digest of what it says, to tell a resend from another message under the same id."""
    answer: Answer | None = None
    by_update: bool = False
    """Temporal has it in memory only, until a workflow task is done."""
    awaited: bool = False
    """The handler of an update waits for its answer: its own, or of one that says the same under the same id."""
    was_kept: bool = False
    """It is a fact that was kept until the case could use it: its sender was answered then."""

    @property
    def key(self) -> str | None:
        """Its sender's own id for it; nobody can use up another person's.

        None for the shop's news, which anybody may bring and which is read again each time.
        """
        if self.message is None or self.message.id is None or self.message.by == Automatic.SYSTEM:
            return None
        return f"{self.message.by} {self.message.id}"

    def carried(self) -> dict[str, Any]:
        """As it is carried over into the next run, which reads it with `carried_over`."""
        # what was sent as null is not left out: there are fields that must be said, and may be null
        message = None if self.message is None else self.message.model_dump(mode="json", exclude_unset=True)
        # who waits for its answer does so in the run that took it, and what was kept comes out of no inbox
        stays = {"answer", "by_update", "awaited", "was_kept"}
        said = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in stays}
        return {**said, "at": self.at.isoformat(), "message": message}

    @classmethod
    def carried_over(cls, flow: Flow[Any], given: dict[str, Any]) -> Received:
        """What the run before this one had not read yet."""
        trigger = asides.trigger_named(flow, given["trigger"])
        message, problem = given["message"], given["problem"]
        read: Message | None = None
        if trigger is None and message is not None:
            problem = problem or "there is no such trigger in this flow"
        if trigger is not None and message is not None:
            try:
                read = trigger.message.model_validate(message)
            except ValidationError as error:  # as the program is by now
                problem = problem or explain(error)
        at = datetime.fromisoformat(given["at"])
        said: dict[str, Any] = {**given, "at": at, "message": read, "problem": problem}
        return cls(**said)


def said_in(message: Message | None) -> str | None:
    """What the trail repeats of a message: its note, and the text, or the reason, that is a field of its own."""
    if message is None:
        return None
    match message:
        case AskOpener(question=words) | AnswerQuestion(text=words) | Comment(text=words):
            return f"{words} ({message.note})" if message.note else words
        case _:
            return message.note or getattr(message, "reason", None)
