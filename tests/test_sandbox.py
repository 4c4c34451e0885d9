"""What the sandbox leaves out, and why it may."""

from __future__ import annotations

from temporalio.converter import WithSerializationContext, WorkflowSerializationContext

from casework.converter import DATA_CONVERTER, LenientPayloadConverter
from casework.sandbox import PASSED_THROUGH, workflow_runner


def test_nothing_that_is_converted_depends_on_what_it_belongs_to() -> None:
    """So nobody need ask (see `ContextFreeRunner`): where this fails, the SDK's own runner is wanted again."""
    assert DATA_CONVERTER.payload_codec is None
    assert DATA_CONVERTER.external_storage is None
    parts = [*LenientPayloadConverter().converters.values(), DATA_CONVERTER.failure_converter]
    assert not [part for part in parts if isinstance(part, WithSerializationContext)]
    within = DATA_CONVERTER.with_context(WorkflowSerializationContext(namespace="default", workflow_id="any"))
    assert within.payload_converter.to_payloads([{"a": 1}]) == DATA_CONVERTER.payload_converter.to_payloads([{"a": 1}])


def test_the_flows_classes_are_not_passed_through() -> None:
    assert not [name for name in PASSED_THROUGH if name.startswith("workflows") and name.endswith(("order", "parcel"))]
    assert workflow_runner().restrictions.passthrough_modules >= set(PASSED_THROUGH)
