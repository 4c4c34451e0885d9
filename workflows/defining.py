"""A flow's class becomes its Temporal workflow: one signal per trigger, checked against the table at import."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

from temporalio import workflow

from casework.messages import fields_of
from casework.templates import ENDINGS
from state_machines import asides
from state_machines.asides import ASIDES
from state_machines.table import Flow, StateKind, Trigger, TriggerKind, UnsoundFlow
from workflows.case import CaseWorkflow

WorkflowT = TypeVar("WorkflowT", bound="type[CaseWorkflow[Any]]")
_CALLED_FOR = {
    "consult": frozenset({TriggerKind.DECISION, TriggerKind.FACT, TriggerKind.CLOCK}),
    "effect": frozenset({TriggerKind.DECISION, TriggerKind.FACT}),
    "after": frozenset(TriggerKind),
}
"""For which kinds of triggers the loop calls a hook: the work of a state reads the shop and writes to it by itself."""
_DEFINITION = "__temporal_workflow_definition"
"""Where the SDK keeps what `workflow.defn` has made."""
_DEFINITIONS: dict[tuple[str, str], Any] = {}
"""By class, what `workflow.defn` has made of it."""


def case_workflow(flow: Flow[Any]) -> Callable[[WorkflowT], WorkflowT]:
    """Make a flow's class its Temporal workflow: one signal per trigger, one method per state, or else no import.

    Raises:
        UnsoundFlow: where a state has no method of its name, a hook is of no trigger or wait that calls it, or what its
            kind of flow must bring is missing.

    """

    def decorate(cls: WorkflowT) -> WorkflowT:
        cls.flow = flow
        known = _DEFINITIONS.get((cls.__module__, cls.__qualname__))
        if known is not None and workflow.unsafe.in_sandbox():
            return _defined_as(known, cls)
        missing = [
            state.name
            for state in flow.states.values()
            if state.kind is not StateKind.END and not callable(getattr(cls, state.name, None))
        ]
        if missing:
            raise UnsoundFlow(f"{flow.name}: nothing is done in {', '.join(missing)}")
        strays = [name for name in dir(cls) if _is_stray_hook(flow, name)]
        if strays:
            raise UnsoundFlow(
                f"{flow.name}: {', '.join(strays)} belongs to no trigger, or to no wait, that would call it"
            )
        owed = [name for name in dir(cls) if getattr(getattr(cls, name), "__isabstractmethod__", False)]
        polls = any(state.watch is not None for state in flow.states.values())
        if polls and cast("Any", cls).watch is cast("Any", CaseWorkflow).watch:
            owed.append("watch")
        if owed:
            raise UnsoundFlow(f"{flow.name}: {', '.join(owed)} is the flow's own, and missing")
        ends = {name for name in flow.states if flow.is_final(name)}
        if set(ENDINGS.get(flow.name, ())) != ends:
            raise UnsoundFlow(f"{flow.name}: casework/templates must name for each ending what the buyer is told")
        taken = [name for name in ASIDES if name in flow.triggers]
        if taken:
            raise UnsoundFlow(f"{flow.name}: {', '.join(taken)} is what may be said beside every table")
        for trigger in asides.may_be_sent(flow):
            setattr(cls, f"signal_{trigger.name}", _signal_handler(trigger))
        defined = workflow.defn(name=flow.workflow)(cls)
        _DEFINITIONS[cls.__module__, cls.__qualname__] = getattr(defined, _DEFINITION)
        return defined

    return decorate


def _is_stray_hook(flow: Flow[Any], method: str) -> bool:
    """Whether a method is named as a hook that nobody would ever call, by what the table has and the loop does."""
    hook, _, of = method.partition("_")
    if hook in _CALLED_FOR:
        return of not in flow.triggers or flow.triggers[of].kind not in _CALLED_FOR[hook]
    return hook == "begin" and (of not in flow.states or flow.states[of].kind is not StateKind.WAIT)


def _defined_as(known: Any, cls: WorkflowT) -> WorkflowT:
    """Take over the definition of the same class, as it was loaded outside the sandbox.

    The sandbox loads a flow's module anew for every case, and to look through the class's members anew takes longer
    than all else in it.
    """
    setattr(cls, _DEFINITION, replace(known, cls=cls, run_fn=cast("Any", cls).run))
    return cls


def _signal_handler(trigger: Trigger) -> Callable[..., None]:
    fields = "; ".join(f"{name}: {what}" for name, what in fields_of(trigger.message).items())
    description = f"{trigger.label.zh} / {trigger.label.en}" + (f" ({fields})" if fields else "")

    # takes anything: a handler called with too few or too many arguments would wedge the workflow task
    def handle(self: CaseWorkflow[Any], *arguments: Any) -> None:
        self.receive(trigger.name, arguments)

    handle.__name__ = f"signal_{trigger.name}"
    return workflow.signal(name=trigger.name, description=description)(handle)
