"""What the sandbox leaves out, and why it may."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.converter import WithSerializationContext, WorkflowSerializationContext

from casework.converter import DATA_CONVERTER, LenientPayloadConverter
from casework.policy import load_policy
from casework.sandbox import PASSED_THROUGH, workflow_runner
from tests.desk import Desk
from worker import build_worker

SAYS = """
from temporalio import workflow


@workflow.defn
class Says:
    @workflow.run
    async def run(self) -> str:
        return "{0}"
"""


def test_nothing_that_is_converted_depends_on_what_it_belongs_to() -> None:
    """So nobody need ask (see `CaseRunner`): where this fails, the SDK's own runner is wanted again."""
    assert DATA_CONVERTER.payload_codec is None
    assert DATA_CONVERTER.external_storage is None
    parts = [*LenientPayloadConverter().converters.values(), DATA_CONVERTER.failure_converter]
    assert not [part for part in parts if isinstance(part, WithSerializationContext)]
    within = DATA_CONVERTER.with_context(WorkflowSerializationContext(namespace="default", workflow_id="any"))
    assert within.payload_converter.to_payloads([{"a": 1}]) == DATA_CONVERTER.payload_converter.to_payloads([{"a": 1}])


def test_the_flows_classes_are_not_passed_through() -> None:
    assert not [name for name in PASSED_THROUGH if name.startswith("workflows") and name.endswith(("order", "parcel"))]
    assert workflow_runner().restrictions.passthrough_modules >= set(PASSED_THROUGH)


async def test_a_worker_goes_on_with_the_code_that_it_began_with(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever pulls new code beneath a running worker gets it with the next start, all of it at once."""
    name, queue = f"says_{uuid4().hex}", uuid4().hex
    file = tmp_path / f"{name}.py"
    file.write_text(SAYS.format("as it began"))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    says = importlib.import_module(name).Says
    async with build_worker(desk.client, desk.database, load_policy(None), task_queue=queue, more_workflows=[says]):
        file.write_text(SAYS.format("something quite new"))
        importlib.invalidate_caches()
        for _ in range(2):
            answer = await desk.client.execute_workflow("Says", id=uuid4().hex, task_queue=queue)
            assert answer == "as it began"
    del sys.modules[name]
