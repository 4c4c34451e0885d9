"""How the steps of a case are made activities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

StepT = TypeVar("StepT", bound=Callable[..., Any])


def uninterrupted(method: StepT) -> StepT:
    """Make the method an activity that is left to finish where Temporal cancels it.

    The SDK would raise its exception in the step's thread wherever that is, also where a transaction is being opened or
    its connection given back: the shop could stay locked. A step takes milliseconds (the patrol's, minutes: it looks
    for itself whether it was called off), and its transaction does all of it or nothing; whether it still counts the
    shop decides (`casework.shop.fencing.admit`).
    """
    return activity.defn(no_thread_cancel_exception=True)(method)


class OnlyForItsCase(Interceptor):
    """Does a case's steps for the case alone.

    Temporal's server also runs an activity that no workflow asked for (`temporal activity execute`): a payment, say,
    that nobody has decided. Who may start workflows of their own there can still claim a case's id for them: access to
    Temporal is access to the money (docs/how-it-works.md).
    """

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        """Stand in front of every activity."""
        return _OnlyForItsCase(next)


class _OnlyForItsCase(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        asked_by = activity.info().workflow_id
        meant_for = getattr(input.args[0], "case_id", asked_by) if input.args else asked_by
        if asked_by is None or meant_for != asked_by:
            raise ApplicationError("a step is done for the case that asks for it", type="Stranger", non_retryable=True)
        return await self.next.execute_activity(input)
