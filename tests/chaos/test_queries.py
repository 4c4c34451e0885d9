"""A query in the worst moment: the worker that had the case in its memory was killed, its timer has rung, and the
workflow task of that has not begun.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.worker import Replayer

from casework.execution import queried
from casework.sandbox import MOMENTARY, workflow_runner
from tests.chaos.waiting import SOON, Waiting, worker_of
from tests.server import SharedServer

ROOT = Path(__file__).parents[2]


async def test_a_case_does_not_go_on_with_what_a_query_has_taken_too_far(server: SharedServer, process: str) -> None:
    """Else what came meanwhile would be recorded after the timer, and a replay be told of it before."""
    namespace, queue = server.benches[process], uuid4().hex
    client = await Client.connect(server.address, namespace=namespace)
    killed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos.waiting", server.address, namespace, queue), cwd=ROOT
    )
    try:
        waiting = await client.start_workflow("Waiting", id=uuid4().hex, task_queue=queue)
        await until(waiting, EventType.EVENT_TYPE_TIMER_STARTED)
    finally:
        killed.kill()
        await killed.wait()
    asked = asyncio.create_task(waiting.query("heard"))
    await until(waiting, EventType.EVENT_TYPE_TIMER_FIRED)
    async with worker_of(client, queue):
        with pytest.raises(WorkflowQueryFailedError, match=MOMENTARY):
            await asked
        await waiting.signal("say", "something")
        assert await queried(waiting, "heard", timeout=SOON) == 0
        await waiting.result()
    history = await waiting.fetch_history()
    await Replayer(workflows=[Waiting], workflow_runner=workflow_runner()).replay_workflow(history)


async def until(waiting: WorkflowHandle[object, object], kind: EventType.ValueType) -> None:
    """Wait until this has happened."""
    async for event in waiting.fetch_history_events(wait_new_event=True):
        if event.event_type == kind:
            return
