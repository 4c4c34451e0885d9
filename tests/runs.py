"""The runs of a workflow that continues as new."""

from __future__ import annotations

from collections.abc import AsyncIterator

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client


async def histories(client: Client, workflow_id: str, first_run: str | None) -> AsyncIterator[list[HistoryEvent]]:
    """The events of each run, from the first on."""
    run = first_run
    while run:
        handle = client.get_workflow_handle(workflow_id, run_id=run)
        events = [one async for one in handle.fetch_history_events()]
        yield events
        run = events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
