"""Wherever something is said of each flow, it is said of every one, and every step is a worker's."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import pytest

import activities
import worker
from casework.names import WORKFLOW_TYPES
from casework.opening import RESOLVERS
from casework.policy import load_policy
from casework.templates import BUYER_MESSAGES, ENDINGS, TEMPLATES, Post
from state_machines.flows import FLOWS
from state_machines.laws.worlds import WORLDS
from tests.desk import Desk


def test_every_flow_is_wherever_a_flow_has_to_be() -> None:
    assert {name: flow.workflow for name, flow in FLOWS.items()} == WORKFLOW_TYPES
    for by_flow in (RESOLVERS, BUYER_MESSAGES, ENDINGS, WORLDS):
        assert set(by_flow) == set(FLOWS)
    classes = {one.__name__ for one in worker.WORKFLOWS}
    assert set(WORKFLOW_TYPES.values()) <= classes
    policy = load_policy(None)
    for name, flow in FLOWS.items():
        flow.figures_type.model_validate(policy.for_flow(name))


def test_every_message_to_a_buyer_with_a_reminder_exists() -> None:
    named = {
        state.deadline.reminds_buyer
        for flow in FLOWS.values()
        for state in flow.states.values()
        if state.deadline is not None and state.deadline.reminds_buyer is not None
    }
    assert named
    assert named <= set(TEMPLATES)


def test_a_message_that_does_not_exist_is_noticed_where_it_is_written() -> None:
    """Not in a step on the shop, which would be tried again for ever."""
    with pytest.raises(ValueError, match="there is no template no\\.such"):
        Post(purpose="any", template="no.such", to="buyer")


async def test_a_worker_does_every_step_that_there_is(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    done_by_a_worker: list[Any] = []

    def note(*_: object, activities: list[Any], **__: object) -> None:
        done_by_a_worker.extend(activities)

    with monkeypatch.context() as instead:
        instead.setattr(worker, "Worker", note)
        worker.build_worker(desk.client, desk.database, load_policy(None))
    modules = [importlib.import_module(f"activities.{one.name}") for one in pkgutil.iter_modules(activities.__path__)]
    classes = [kind for module in modules for kind in vars(module).values() if isinstance(kind, type)]
    steps = {
        step for kind in classes for step in vars(kind).values() if hasattr(step, "__temporal_activity_definition")
    }
    assert steps
    assert {step.__func__ for step in done_by_a_worker} == steps
    assert len(done_by_a_worker) == len(steps)
