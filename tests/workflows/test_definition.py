"""What makes a flow's class its workflow refuses a class that does not fit the table."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from state_machines.flows import FLOWS
from state_machines.table import UnsoundFlow
from workflows.case import CaseWorkflow
from workflows.defining import case_workflow
from workflows.paying import PayingWorkflow
from workflows.refund_before_shipping import RefundBeforeShipping

REFUND = FLOWS["refund-before-shipping"]


def does_nothing(_: object) -> str:
    """What a state, or a hook, does here."""
    return ""


def defined(**methods: Any) -> None:
    """A class with these methods, made the workflow of the refund."""
    case_workflow(REFUND)(cast("Any", type("Spoilt", (CaseWorkflow,), methods)))


def test_a_state_in_which_nothing_is_done_is_named() -> None:
    with pytest.raises(UnsoundFlow, match=r"nothing is done in persuading$"):
        defined(**{state: does_nothing for state in REFUND.states if state != "persuading"})


@pytest.mark.parametrize(
    "hook",
    [
        "effect_confirm_lefft",
        "effect_persuasion_over",  # the clock's: a message has effects in the shop
        "effect_hold",  # what the work comes to: the work itself has written to the shop
        "consult_nothing",
        "consult_hold",
        "after_persuading",  # a state
        "begin_persuadign",
        "begin_checking",  # works: nobody waits there
        "begin_refunded",  # an end
    ],
)
def test_a_hook_that_nobody_would_ever_call_is_named(hook: str) -> None:
    with pytest.raises(UnsoundFlow, match=rf"^refund-before-shipping: {hook} belongs to no trigger, or to no wait"):
        defined(**dict.fromkeys(REFUND.states, does_nothing), **{hook: does_nothing})


@pytest.mark.parametrize("missing", ["due", "read_news"])
def test_what_a_flow_that_pays_must_bring_is_named_where_it_is_missing(missing: str) -> None:
    methods = {name: getattr(RefundBeforeShipping, name) for name in ("due", "read_news") if name != missing}
    spoilt = type("Spoilt", (PayingWorkflow,), {**dict.fromkeys(REFUND.states, does_nothing), **methods})
    with pytest.raises(UnsoundFlow, match=rf"^refund-before-shipping: {missing} is the flow's own, and missing$"):
        case_workflow(REFUND)(cast("Any", spoilt))


def test_a_flow_that_polls_without_saying_how_is_named() -> None:
    flow = FLOWS["problem-parcel"]
    spoilt = type("Spoilt", (CaseWorkflow,), dict.fromkeys(flow.states, does_nothing))
    with pytest.raises(UnsoundFlow, match=r"^problem-parcel: watch is the flow's own, and missing$"):
        case_workflow(flow)(cast("Any", spoilt))


def test_a_change_that_was_forgotten_among_the_flow_s_changes_is_named() -> None:
    stranger = cast("RefundBeforeShipping", SimpleNamespace(changes=RefundBeforeShipping.changes))
    with pytest.raises(RuntimeError, match=r"^forgotten is missing from the changes of "):
        RefundBeforeShipping.adopts(stranger, "forgotten")
