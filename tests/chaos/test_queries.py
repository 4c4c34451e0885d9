"""Queries in the worst moment: the worker that had the case in its memory is gone, something has happened since, and
the workflow task of that has not begun. Where another worker has that task: `tests/test_sandbox.py`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.worker import Replayer, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from casework.execution import queried
from casework.sandbox import MOMENTARY, workflow_runner
from tests.chaos.waiting import SOON, Waiting, worker_of
from tests.server import SharedServer

ROOT = Path(__file__).parents[2]
Handle = WorkflowHandle[Any, Any]


async def until(waiting: Handle, kind: EventType.ValueType) -> None:
    """Wait until this has happened."""
    async for event in waiting.fetch_history_events(wait_new_event=True):
        if event.event_type == kind:
            return


async def replay(waiting: Handle) -> None:
    await Replayer(workflows=[Waiting], workflow_runner=workflow_runner()).replay_workflow(
        await waiting.fetch_history()
    )


async def test_a_case_does_not_go_on_with_the_lead_that_a_query_gave_it(server: SharedServer, process: str) -> None:
    waiting = await asked_before_the_task_has_begun(server, server.benches[process], workflow_runner(), refused=True)
    await replay(waiting)


async def test_in_the_sdks_own_sandbox_it_would(server: SharedServer, process: str) -> None:
    """Where this fails, the SDK is mended, and `casework/sandbox.py` need not see to it any more."""
    namespace = server.benches[process]
    waiting = await asked_before_the_task_has_begun(server, namespace, SandboxedWorkflowRunner(), refused=False)
    with pytest.raises(NondeterminismError):
        await replay(waiting)


async def asked_before_the_task_has_begun(
    server: SharedServer, namespace: str, runner: WorkflowRunner, *, refused: bool
) -> Handle:
    """A workflow that has ended: its worker was killed, its timer rang, it was queried, and then sent a signal."""
    client, queue = await Client.connect(server.address, namespace=namespace), uuid4().hex
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
    async with worker_of(client, queue, runner):
        if refused:
            with pytest.raises(WorkflowQueryFailedError, match=MOMENTARY):
                await asked
        else:
            await asked
        await waiting.signal("say", "something")
        await waiting.result()
    return waiting


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
