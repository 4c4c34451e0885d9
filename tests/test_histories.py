"""Recorded runs replay with today's code: open cases survive a deployment.

`make histories` records new paths only. A change that breaks an old one needs a name (docs/changing-a-flow.md); what
happens to a file that is there is told in the register (`tests/history_register.py`).
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from casework.verifying import Part, verify_file
from casework.verifying.replaying import Replays
from state_machines.flows import FLOWS
from state_machines.table import StateKind
from tests.history_register import HISTORIES
from tests.recording import without_machine

RECORDED = sorted(HISTORIES.glob("*/*.json"))


def test_every_ending_of_every_flow_has_a_recorded_history() -> None:
    endings = {
        (flow.name, state.name)
        for flow in FLOWS.values()
        for state in flow.states.values()
        if state.kind is StateKind.END
    }
    recorded = {(file.parent.name, file.stem.split(".")[0]) for file in RECORDED}
    assert endings <= recorded, f"not recorded: {sorted(endings - recorded)}"


def read(file: Path) -> str:
    return file.read_text("utf-8")


def test_what_is_recorded_tells_nothing_of_the_machine_that_ran_it() -> None:
    recorded = {"failure": {"stackTrace": "File /home/somebody/site-packages/x.py", "message": "a refusal"}}
    assert json.loads(without_machine(json.dumps([recorded]))) == [
        {"failure": {"stackTrace": "", "message": "a refusal"}}
    ]


@pytest.mark.parametrize("trace", ['.py\\", line', "site-packages"])
def test_no_recorded_history_holds_a_path_of_a_machine(trace: str) -> None:
    assert [file.name for file in RECORDED if trace in read(file)] == []


@pytest.fixture(scope="module")
def replays() -> Replays:
    return Replays()


@pytest.mark.parametrize("file", RECORDED, ids=[f"{file.parent.name}/{file.stem}" for file in RECORDED])
async def test_a_recorded_history_is_a_path_of_its_table_and_is_replayed(replays: Replays, file: Path) -> None:
    verified = await verify_file(replays, file)
    assert verified.faults == ()
    # books are the shop's, and a file has none; the patrol's is no case's
    assert verified.looked_at == ((Part.PATH, Part.REPLAY) if file.parent.name in FLOWS else (Part.REPLAY,))
