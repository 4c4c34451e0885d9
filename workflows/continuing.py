"""How a case with a long history continues as new: at a timer of its own, with what it has not read yet."""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeVar

from pydantic_core import to_json
from temporalio import workflow

from casework.case import Case
from casework.changes import CONTINUES_AT_TIMER
from state_machines.table import StateKind
from workflows.messages import CaseMessages
from workflows.steps import SHORTEST_WAIT, Outcome

CaseT = TypeVar("CaseT", bound=Case[Any])

TAKEN_BEFORE_ASKING: Final = 10
"""After so many messages and timers a case asks whether its history is long."""
ASKS_WHETHER_LONG, CONTINUES_IF_LONG = "is the history long?", "continue as new, if it is"
"""The summaries of the timers at which a case asks for the length of its history, and continues as new."""
MOST_CARRIED_BYTES: Final = 1_500_000
"""With unread messages a case continues as new only if it and they are smaller than this: Temporal takes 2 MB."""


class ContinuingCase(CaseMessages[CaseT]):
    """When a case continues as new, and with what."""

    def __init__(self) -> None:
        """It need not continue yet."""
        super().__init__()
        self._cancel_heard = False
        """Whether Temporal's own cancel has become a message."""
        self._look: asyncio.Task[Outcome | None] | None = None
        """A poll of courier and shop that is under way, also while the case moves on."""
        self._continues = False
        """Whether the timer runs at which it may continue as new."""

    async def _continue_at_timer(self, *, anyway: bool = False) -> None:
        """Continue as new at a timer of its own if the history is long, or `anyway`; carry over what is not read yet.

        Where a message comes in the moment of continuing, Temporal discards the continuation and runs the workflow
        task again, with the message; it is lost if the case then continues without having been given it. So a case
        continues nowhere but at an event, at which a replay has been given all that came before. The end of a step on
        the shop is none: where a query has split a workflow task, a replay is told of it at another moment than the
        case was. What the SDK says of the history's length may differ too, of a task that is split: so it is asked at a
        timer, and what has come by then is not read in the same task.
        """
        self._taken = 0
        self._continues = True
        await workflow.sleep(SHORTEST_WAIT, summary=ASKS_WHETHER_LONG)
        continues = anyway or _history_is_long()
        if self._inbox:
            await workflow.sleep(SHORTEST_WAIT, summary=CONTINUES_IF_LONG)
        self._continues = False
        if not continues or self._is_too_much_to_carry():
            return
        if self._is_awaited():  # an update that came meanwhile is read first; the answers wait for it
            self._taken = TAKEN_BEFORE_ASKING
            return
        await workflow.wait_condition(lambda: workflow.all_handlers_finished() or self._is_awaited())
        # a cancel becomes a message a moment later than the timer is told of; it comes only once
        if workflow.cancellation_reason() is None or self._cancel_heard:
            self._continue_as_new()

    def _asks_whether_long(self) -> bool:
        waits = self.flow.states[self.case.state].kind is StateKind.WAIT
        return waits and self._taken >= TAKEN_BEFORE_ASKING and self._look is None

    def _is_awaited(self) -> bool:
        """Whether somebody waits for the answer to what is not read yet: no run ends before it is given."""
        return any(received.awaited for received in self._inbox)

    def _is_about_to_continue(self) -> bool:
        """Whether the case is about to continue as new: whoever an update has answered is told only afterwards.

        Their next update would come to a run that has ended.

        As whoever waits sends nothing more, there comes a moment in which no update is left to be read. While a courier
        is asked, who may be silent for hours, nobody else waits for that.
        """
        asks_soon = self._asks_whether_long() and not self._steps_outside
        return self._continues or (asks_soon and self.case.has_adopted(CONTINUES_AT_TIMER))

    def _is_too_much_to_carry(self) -> bool:
        """Whether the next run would be begun with more than Temporal takes: what is not read yet is read here then."""
        return bool(self._inbox) and len(to_json(self._carried())) > MOST_CARRIED_BYTES

    def _continues_at_once(self) -> bool:
        """Whether a case that was opened before `CONTINUES_AT_TIMER` continues as new here."""
        return (
            not self.case.has_adopted(CONTINUES_AT_TIMER)
            and _history_is_long()
            and workflow.all_handlers_finished()
            and self._look is None
        )

    def _continue_as_new(self) -> None:
        if workflow.all_handlers_finished():
            workflow.continue_as_new(args=[self._carried()])

    def _carried(self) -> dict[str, Any]:
        """What the next run is begun with: the case, and the messages that it has not read yet."""
        unread = [received.carried() for received in self._inbox if received.answer is None]
        return {"carried": self.case.model_dump(mode="json")} | ({"unread": unread} if unread else {})


def _history_is_long() -> bool:
    """Whether Temporal suggests to continue as new; to be asked where an event is read, see `_continue_at_timer`."""
    return workflow.info().is_continue_as_new_suggested()
