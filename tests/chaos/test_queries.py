"""Queries in the worst moment: the worker that had the case in its memory is gone, something has happened since, and
the workflow task of that has not begun. Where another worker has that task: `tests/test_sandbox.py`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.worker import Replayer

from casework.execution import queried
from casework.instance import MOMENTARY
from casework.sandbox import workflow_runner
from tests.chaos.waiting import SOON, Waiting, worker_of
from tests.server import SharedServer

ROOT = Path(__file__).parents[2]
Handle = WorkflowHandle[Any, Any]


async def until(waiting: Handle, kind: EventType.ValueType) -> None:
    """Wait until this has happened."""
    async for event in waiting.fetch_history_events(wait_new_event=True):
        if event.event_type == kind:
            return


async def test_a_case_does_not_go_on_with_the_lead_that_a_query_gave_it(server: SharedServer, process: str) -> None:
    """In the SDK's own sandbox it would, and the replay fails: what came meanwhile is recorded after the timer."""
    namespace, queue = server.benches[process], uuid4().hex
    client = await Client.connect(server.address, namespace=namespace)
    killed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos.waiting", server.address, namespace, queue), cwd=ROOT
    )
    try:
        waiting: Handle = await client.start_workflow("Waiting", id=uuid4().hex, task_queue=queue)
        await until(waiting, EventType.EVENT_TYPE_TIMER_STARTED)
    finally:
        killed.kill()
        await killed.wait()
    asked = asyncio.create_task(waiting.query("heard"))
    await until(waiting, EventType.EVENT_TYPE_TIMER_FIRED)
    async with worker_of(client, queue):
        try:
            await asked
        except WorkflowQueryFailedError as refused:
            assert MOMENTARY in str(refused)  # noqa: PT017 - on a slow machine the task may be the first, and nothing fails
        await waiting.signal("say", "something")
        await waiting.result()
    history = await waiting.fetch_history()
    await Replayer(workflows=[Waiting], workflow_runner=workflow_runner()).replay_workflow(history)


async def test_a_case_that_was_terminated_with_a_message_before_it_still_answers(
    server: SharedServer, process: str
) -> None:
    client, queue = await Client.connect(server.address, namespace=server.benches[process]), uuid4().hex
    async with worker_of(client, queue):
        waiting: Handle = await client.start_workflow("Waiting", id=uuid4().hex, task_queue=queue)
        await until(waiting, EventType.EVENT_TYPE_TIMER_STARTED)
    await waiting.signal("say", "something")
    await waiting.terminate()
    async with worker_of(client, queue):
        for _ in range(2):
            assert await queried(waiting, "heard", timeout=SOON) in (0, 1)
