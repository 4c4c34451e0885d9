"""A step that Temporal cancels in the middle is finished all the same: no transaction is torn in a thread."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from temporalio.testing import ActivityEnvironment

import activities
from activities.defining import uninterrupted


def test_a_step_that_is_cancelled_in_the_middle_is_finished() -> None:
    environment = ActivityEnvironment()

    @uninterrupted
    def counting() -> int:
        environment.cancel()
        return sum(1 for _ in range(10_000))

    assert environment.run(counting) == 10_000


def test_every_activity_is_such_a_step() -> None:
    torn = {
        name
        for module in pkgutil.iter_modules(activities.__path__)
        for _, holder in inspect.getmembers(importlib.import_module(f"activities.{module.name}"), inspect.isclass)
        for name, method in inspect.getmembers(holder, inspect.isfunction)
        if (found := getattr(method, "__temporal_activity_definition", None)) and not found.no_thread_cancel_exception
    }
    assert torn == set()
