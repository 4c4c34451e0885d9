"""What goes to Temporal and comes from there: payloads, and what is said of failures.

Payloads are decoded as pydantic does, but what cannot be decoded is handed over instead of raising.

A signal that cannot be decoded would otherwise be dropped without a trace, and an update would wedge the workflow task:
a `RawValue` reaches the handler, which refuses it on the record. Failures are stored by Temporal: an error of somebody
else's says only its type there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.common import RawValue
from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import CompositePayloadConverter, DataConverter, DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError, FailureError

from casework.privacy import said_by

_BY_ENCODING = tuple(PydanticPayloadConverter().converters.values())


class LenientPayloadConverter(PydanticPayloadConverter):
    """Decodes what it can; where a handler takes anything, what it cannot decode arrives as a `RawValue`."""

    def __init__(self) -> None:
        """Share the parts, which keep nothing: the worker makes a converter twice for every step of a workflow."""
        CompositePayloadConverter.__init__(self, *_BY_ENCODING)

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


class DiscreetFailureConverter(DefaultFailureConverter):
    """Keeps an error's type, its causes and where it was raised; its text only where that quotes nobody."""

    def to_failure(self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure) -> None:
        """As the SDK's own, without the words of errors that are neither ours nor Temporal's."""
        if not isinstance(exception, FailureError):
            discreet = ApplicationError(said_by(exception), type=type(exception).__name__)
            discreet.__traceback__, discreet.__cause__ = exception.__traceback__, exception.__cause__
            exception = discreet
        super().to_failure(exception, payload_converter, failure)


DATA_CONVERTER = DataConverter(
    payload_converter_class=LenientPayloadConverter, failure_converter_class=DiscreetFailureConverter
)
"""The one data converter of worker, client and tests."""
