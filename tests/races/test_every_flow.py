"""Races that every flow has to stand: messages, people and starts at the same moment, for real."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta

import pytest
from temporalio.exceptions import WorkflowAlreadyStartedError

from casework.case import CaseView
from casework.client import CaseOpen, CaseworkClient
from casework.shop import records
from state_machines.flows import FLOWS
from tests.desk import Desk, Handle
from tests.races.racing import Race, after, answer_of, called_off, taken
from tests.races.stages import STAGES, Said, Stage, start_raw

every_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
FIRST_STAGES = [next(stage for stage in STAGES if stage.flow == flow) for flow in FLOWS]
every_flow = pytest.mark.parametrize("stage", FIRST_STAGES, ids=lambda stage: stage.flow)


def test_every_flow_has_its_races() -> None:
    assert {stage.flow for stage in STAGES} == set(FLOWS)


async def say(desk: Desk, case: Handle, said: Said, **more: object) -> CaseView:
    return await desk.submit(case, said.trigger, said.by, **said.fields, **more)


@every_stage
async def test_of_decisions_made_at_once_the_case_takes_exactly_one(desk: Desk, stage: Stage) -> None:
    """Two people decide in the same moment, one of them twice."""
    one, other = (f"{said.by} {said.trigger}" for said in (stage.one, stage.other))
    race = Race(f"two updates at once, {stage.name}", one, other)
    for wait_one, wait_other in race.rounds():
        case = await stage.reach(desk)
        version = (await desk.view(case)).version
        answers = await asyncio.gather(
            after(wait_one, answer_of(say(desk, case, stage.one, version=version))),
            after(wait_one, answer_of(say(desk, case, stage.one, version=version))),
            after(wait_other, answer_of(say(desk, case, stage.other, version=version))),
        )
        view = await called_off(desk, case, stage.calls_off)
        assert [isinstance(answer, CaseView) for answer in answers].count(True) == 1, answers
        trigger, by = taken(view, version)
        side = f"{by} {trigger}"
        assert isinstance(answers[2], CaseView) == (side == other)
        race.won_by(side)


@every_stage
async def test_of_a_signal_and_the_deadline_in_the_same_instant_exactly_one_moves_the_case(
    desk: Desk, stage: Stage
) -> None:
    race = Race(f"signal against deadline, {stage.name}", "signal", "clock")
    for wait_signal, wait_clock in race.rounds():
        case = await stage.reach(desk)
        before = await desk.view(case)
        assert before.due is not None
        # past the reminder, so that the deadline is all that is left to come
        await desk.skip(case, before.due - await desk.skipper.get_current_time(case) - timedelta(minutes=1))
        left = before.due - await desk.skipper.get_current_time(case)
        await asyncio.gather(
            after(wait_signal, answer_of(desk.signal(case, stage.one.trigger, stage.one.by, **stage.one.fields))),
            after(wait_clock, answer_of(desk.skip(case, left))),
        )
        # the clock's row may end the case at once: then Temporal itself says no to the signal
        while (await desk.view(case)).version == before.version:
            await desk.skip(case, timedelta(milliseconds=100))
        view = await called_off(desk, case, stage.calls_off)
        trigger, by = taken(view, before.version)
        moves = [line.trigger for line in view.trail if line.accepted]
        if trigger == stage.clock:
            assert by == "clock"
            assert stage.one.trigger not in moves[before.version :]
        else:
            assert (trigger, by) == (stage.one.trigger, stage.one.by)
            assert stage.clock not in moves
        race.won_by("clock" if trigger == stage.clock else "signal")


@every_flow
async def test_copies_of_a_message_count_once_and_another_one_under_their_id_is_refused(
    desk: Desk, stage: Stage
) -> None:
    """Two contents under one id, each twice as a signal and twice as an update, all in the same moment."""
    race = Race(f"two messages under one id, {stage.flow}", "one", "another")
    numbers = itertools.count()
    for waits in race.rounds():
        case = await stage.reach(desk)
        version = (await desk.view(case)).version
        fields = {"id": f"id-{next(numbers)}"}
        contents = [fields, {**fields, "note": "in other words"}]
        updates = [
            asyncio.ensure_future(after(wait, answer_of(say(desk, case, stage.one, **content))))
            for wait, content in zip(waits, contents, strict=True)
            for _ in range(2)
        ]
        await asyncio.gather(
            *(
                after(wait, desk.signal(case, stage.one.trigger, stage.one.by, **{**stage.one.fields, **content}))
                for wait, content in zip(waits, contents, strict=True)
                for _ in range(2)
            )
        )
        answers = await asyncio.gather(*updates)
        view = await called_off(desk, case, stage.calls_off)
        assert taken(view, version) == (stage.one.trigger, stage.one.by)
        note = [line for line in view.trail if line.accepted][version].note
        winner, loser = (answers[2:], answers[:2]) if note else (answers[:2], answers[2:])
        assert all(isinstance(answer, CaseView) and answer.version > version for answer in winner), answers
        assert set(loser) == {"its id was used before for another message"}
        said = [line for line in view.trail if (line.trigger, line.by) == (stage.one.trigger, stage.one.by)]
        refused = [line.why for line in said if not line.accepted]
        assert refused == ["its id was used before for another message"] * 4
        race.won_by("another" if note else "one")


@every_flow
async def test_of_the_same_start_several_times_at_once_one_runs_and_the_others_are_told(
    desk: Desk, stage: Stage
) -> None:
    race = Race(f"the same start several times, {stage.flow}", "plain start", "client")
    client = CaseworkClient(desk.client, desk.database)
    for wait_plain, wait_client in race.rounds():
        prepared = stage.prepare(desk)
        answers = await asyncio.gather(
            *(after(wait_plain, start_raw(desk, prepared)) for _ in range(2)),
            *(after(wait_client, client.start_prepared(prepared)) for _ in range(2)),
            return_exceptions=True,
        )
        (started,) = [place for place, answer in enumerate(answers) if not isinstance(answer, BaseException)]
        for place, answer in enumerate(answers):
            if place != started:
                assert isinstance(answer, WorkflowAlreadyStartedError if place < 2 else CaseOpen), answer
                named = answer.workflow_id if isinstance(answer, WorkflowAlreadyStartedError) else answer.case_id
                assert named == prepared.case_id
        view = await called_off(desk, desk.client.get_workflow_handle(prepared.case_id), stage.calls_off)
        assert view.outcome == "cancelled"
        with desk.database.reading() as session:
            assert len(records.find_records(session, case_id=prepared.case_id)) == 1
        race.won_by("plain start" if started < 2 else "client")
