"""The payments that a case asks for, as a replay of its history shows them: what it asks, and what it was answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from pydantic import BaseModel
from temporalio.exceptions import ActivityError, ApplicationError

from casework.money import format_yuan

PAYS: Final = "pay"
"""The activity that pays."""
BY_HAND: Final = "record_paid_by_hand"
"""The step on the shop that writes down what was paid by hand."""
PAYING: Final = frozenset({PAYS, BY_HAND})
_COMPARED: Final = ("case_id", "run_id", "order_id", "lines", "due", "amount_fen", "purpose")
"""Of what a payment was asked with: all but the case's own time and place in its history, which a replay may be told
otherwise where a workflow task was prolonged, and what is told to people."""


@dataclass(slots=True)
class PaymentAsked:
    """A payment that a case asks for. `answered`: it knows what came of it, an answer or a final refusal."""

    activity: str
    key: str
    """The payment's idempotency key."""
    sent: dict[str, Any]
    """What was asked, as JSON."""
    answer: dict[str, Any] | None = None
    """As JSON; None: there is none, or it was refused for good."""
    answered: bool = False

    @classmethod
    def of(cls, activity: str, payment: Any) -> Self:
        """What the case asks `activity` for, which knows its key."""
        return cls(activity, payment.key(payment.purpose), payment.model_dump(mode="json"))

    @property
    def amount_fen(self) -> int:
        """What was asked to be paid, in fen."""
        return int(self.sent["amount_fen"])

    @property
    def written_fen(self) -> int | None:
        """What the books must have under this key by the answer, in fen; None: nothing by this."""
        if self.answer is None:
            return None
        if self.activity == BY_HAND:
            return self.amount_fen if self.answer.get("refused") is None else None
        # found already paid by another way, it has no reference
        ours = self.answer.get("status") == "paid" or self.answer.get("reference") is not None
        return int(self.answer["paid_fen"]) if ours else None

    def take_answer(self, done: asyncio.Future[Any]) -> None:
        """Take what the case is answered; a replay that ends takes what is under way back, which is no answer."""
        if done.cancelled():
            return
        error = done.exception()
        if isinstance(error, ActivityError):
            self.answered = isinstance(error.cause, ApplicationError)
        elif error is None:
            result = done.result()
            self.answer = result.model_dump(mode="json") if isinstance(result, BaseModel) else None
            self.answered = True


def payment_faults(
    recorded: Sequence[dict[str, Any]], replayed: Sequence[PaymentAsked], *, was_reset: bool
) -> list[str]:
    """Where what is recorded of payments is not what the case asks for, or not what an answer to it can be.

    `recorded` are the payments outside the shop's own steps, as they were sent. A field that was not sent, by an older
    Casework, is passed over.
    """
    faults: list[str] = []
    asked = [one for one in replayed if one.activity == PAYS]
    for number, (sent, one) in enumerate(zip(recorded, asked, strict=False), start=1):
        faults += [
            f"payment {number} was sent with {name} {sent[name]}, and is now sent with {one.sent.get(name)}"
            for name in _COMPARED
            if name in sent and sent[name] != one.sent.get(name)
        ]
    for number, one in enumerate(asked, start=1):
        written = one.written_fen
        # after a reset an earlier payment is found under its key, which may have been another one
        if written is not None and written != one.amount_fen and not was_reset:
            faults.append(
                f"payment {number} was asked for with {format_yuan(one.amount_fen)}, "
                f"and answered as {format_yuan(written)}"
            )
    return faults
