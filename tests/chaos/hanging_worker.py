"""`python -m tests.chaos.hanging_worker`: `python worker.py` whose payments hang for ever; it is soon impatient."""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import partial
from typing import Any, NoReturn

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

import worker
from casework.leaving import leave


class Hanging(Interceptor):
    """Stands in front of every activity, and lets no payment through."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        """Put it there."""
        return _Hanging(next)


class _Hanging(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        if activity.info().activity_type == "pay":

            def hang(*_: object) -> NoReturn:
                while True:
                    threading.Event().wait()

            input.fn = hang
        return await super().execute_activity(input)


if __name__ == "__main__":
    worker.GRACEFUL_SHUTDOWN, worker.LONGEST_STOP = timedelta(seconds=0.5), timedelta(seconds=2)
    worker.build_worker = partial(worker.build_worker, interceptors=[Hanging()])
    leave(worker.run()[0])
