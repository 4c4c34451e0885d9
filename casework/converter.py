"""How payloads are decoded: as pydantic does, but what cannot be decoded is handed over instead of raising.

A signal that cannot be decoded would otherwise be dropped without a trace, and an update would wedge the workflow task:
a `RawValue` reaches the handler, which refuses it on the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import DataConverter


class LenientPayloadConverter(PydanticPayloadConverter):
    """Decodes what it can; where a handler takes anything, what it cannot decode arrives as a `RawValue`."""

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """Decode one payload after the other; only where no type is asked for may one stay raw."""
        if type_hints is not None and any(hint is not Any for hint in type_hints):
            return super().from_payloads(payloads, type_hints)
        return [self._value_or_raw(payload) for payload in payloads]

    def _value_or_raw(self, payload: Payload) -> Any:
        try:
            return super().from_payloads([payload])[0]
        # anything that a stranger's bytes make a decoder raise
        except Exception:  # noqa: BLE001 - see above
            return RawValue(payload)


DATA_CONVERTER = DataConverter(payload_converter_class=LenientPayloadConverter)
"""The one data converter of worker, client and tests."""
