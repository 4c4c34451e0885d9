"""`python -m tests.chaos.waiting ADDRESS NAMESPACE QUEUE`: a worker for a workflow that waits as a case does."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

from casework.sandbox import workflow_runner

SOON = timedelta(seconds=9)
RINGS_AFTER = timedelta(seconds=2)
STICKY = timedelta(seconds=3)
"""So long a worker that was killed is waited for."""


@activity.defn
def consider() -> None:
    """A step on the shop."""


@activity.defn
def look() -> None:
    """A step outside."""


@workflow.defn(name="Waiting")
class Waiting:
    """Looks when its timer rings, considers what is said, messages first, and ends after both."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._inbox: list[str] = []
        self._looking: workflow.ActivityHandle[None] | None = None

    @workflow.signal
    def say(self, what: str) -> None:
        """Say something."""
        self._inbox.append(what)

    @workflow.query
    def heard(self) -> int:
        """How much waits to be considered."""
        return len(self._inbox)

    @workflow.run
    async def run(self) -> None:
        """Wait, as the case loop does."""
        timer = asyncio.create_task(workflow.sleep(RINGS_AFTER))
        considered = False
        while self._looking is None or not considered:
            await workflow.wait_condition(lambda: bool(self._inbox) or (timer.done() and self._looking is None))
            if self._inbox:
                self._inbox.pop()
                await workflow.execute_local_activity(consider, start_to_close_timeout=SOON)
                considered = True
            else:
                self._looking = workflow.start_activity(look, start_to_close_timeout=SOON)
        await self._looking


def worker_of(client: Client, queue: str) -> Worker:
    """A worker for it."""
    return Worker(
        client,
        task_queue=queue,
        workflows=[Waiting],
        activities=[consider, look],
        activity_executor=ThreadPoolExecutor(2),
        workflow_runner=workflow_runner(),
        sticky_queue_schedule_to_start_timeout=STICKY,
    )


async def main() -> None:
    """Run it until it is killed."""
    address, namespace, queue = sys.argv[1:]
    await worker_of(await Client.connect(address, namespace=namespace), queue).run()


if __name__ == "__main__":
    asyncio.run(main())
