"""How the steps of a case are made activities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from temporalio import activity

StepT = TypeVar("StepT", bound=Callable[..., Any])


def uninterrupted(method: StepT) -> StepT:
    """Make the method an activity that is left to finish where Temporal cancels it.

    The SDK would raise its exception in the step's thread wherever that is, also where a transaction is being opened or
    its connection given back: the shop could stay locked. A step takes milliseconds, and its transaction does all of it
    or nothing; whether it still counts the shop decides (`casework.shop.records.require_open`).
    """
    return activity.defn(no_thread_cancel_exception=True)(method)
