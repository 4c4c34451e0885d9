"""Operators' repair: `casework retry` and `casework doctor --cases`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import typer
from temporalio.client import WorkflowExecutionStatus

from casework.case import CaseView
from casework.cli.cases import resolve
from casework.cli.deciding import act
from casework.cli.errors import FAILED, REFUSED, Stop, bad_input
from casework.cli.plain import plain_reset
from casework.cli.running import Desk, on_terminal, print_json, run_async, say, sentences
from casework.execution import Execution, execution_of
from casework.reading import read_id
from casework.repair import Troubled, examine, knows_none, last_task_failure, mend
from casework.sentences import counted
from casework.shop.records import is_open
from casework.show import expected_roles, state_name, table, time_with_distance, word
from state_machines.roles import Label

RETRY: Final = "retry_payment"
_FAILS: Final = Label(
    "{case_id} 的流程任务反复失败(第 {attempt} 次):{failure}",
    "{case_id}: its workflow task keeps failing (attempt {attempt}): {failure}",
)
_WHAT_TO_DO: Final = Label(
    "Temporal 会自动重试,消息与时限都不会丢失。\n"
    "1. 修复代码,或换回上一个正常版本,重启 casework up:工单自行继续。\n"
    "2. 若只是最后一步由错误的代码完成,可退回到最后一个流程任务之前;已付款、已发出的不会重复:\n"
    "   {reset}\n"
    "   此后发来的消息会按工单当时所在的状态重新判断:之后请看 casework show {case_id}。",
    "Temporal tries again by itself; messages and deadlines are kept meanwhile.\n"
    "1. Mend the code, or take the version that last worked, and start casework up again: the case goes on.\n"
    "2. If only its last step was done by wrong code, take it back to before that; nothing is paid or said twice:\n"
    "   {reset}\n"
    "   What was sent since then is read anew, by the state that the case is in by then: look at it with\n"
    "   casework show {case_id}.",
)
_STEP_FAILS: Final = Label(
    "{case_id} 的步骤 {activity} 失败(第 {attempt} 次):{failure};{when} 自动重试。",
    "{case_id}: its step {activity} fails (attempt {attempt}): {failure}; it is tried again {when}.",
)
_SOON: Final = Label("很快", "soon")


@dataclass(frozen=True, slots=True)
class _Looked:
    case_id: str
    execution: Execution
    failure: str | None
    view: CaseView | None
    """None: its code fails, so it cannot be asked."""


def retry_case(case: str, *, note: str | None, by: str | None, yes: bool, print_only: bool, as_json: bool) -> None:
    """`casework retry`."""
    with sentences():
        desk = Desk()
    looked = run_async(_look(desk, read_id(case)))
    if looked.view is None:
        _explain_failing(desk, looked, print_only=print_only, as_json=as_json)
        raise Stop(FAILED)
    if RETRY in [one.trigger for one in looked.view.waiting_for]:
        act(looked.case_id, RETRY, [], note=note, by=by, yes=yes, print_only=print_only, as_json=as_json)
        return
    if any(one.attempt > 1 for one in looked.execution.activities):
        _explain_steps(desk, looked, as_json=as_json)
        return
    roles = ", ".join(expected_roles(looked.view)) or "nobody: it is at work"
    raise Stop(
        REFUSED,
        f"There is nothing to retry: {looked.case_id} is in {state_name(looked.view, desk.language)} "
        f"and waits for {roles}.",
    )


async def _look(desk: Desk, case: str) -> _Looked:
    client = await desk.client()
    case_id = await resolve(client, case)
    execution = await execution_of(client.temporal, case_id)
    if execution is None or execution.status is not WorkflowExecutionStatus.RUNNING:
        view = await client.view(case_id)
        with desk.shop.reading() as session:
            unmended = is_open(session, case_id)
        more = ", and its record is still open: casework doctor --cases says what to do" if unmended else ""
        raise Stop(REFUSED, f"There is nothing to retry: {case_id} has ended as {view.outcome or view.state}{more}.")
    if execution.task_attempt > 1:
        failure = await last_task_failure(client.temporal, case_id, execution.run_id)
        return _Looked(case_id, execution, failure or "no more is known", None)
    return _Looked(case_id, execution, None, await client.view(case_id))


def _explain_failing(desk: Desk, looked: _Looked, *, print_only: bool, as_json: bool) -> None:
    reset = plain_reset(desk.settings.home, looked.case_id, looked.execution.run_id)
    facts = {"case_id": looked.case_id, "attempt": looked.execution.task_attempt, "failure": looked.failure}
    if as_json:
        print_json({**facts, "failing": "workflow task", "reset": reset})
    elif print_only:
        print(reset)
    else:
        print(_FAILS.in_language(desk.language).format(**facts))
        print(_WHAT_TO_DO.in_language(desk.language).format(reset=reset, case_id=looked.case_id))


def _explain_steps(desk: Desk, looked: _Looked, *, as_json: bool) -> None:
    failing = [one for one in looked.execution.activities if one.attempt > 1]
    if as_json:
        steps: list[dict[str, Any]] = [
            {"activity": one.activity, "attempt": one.attempt, "failure": one.failure, "next_try": one.next_try}
            for one in failing
        ]
        print_json({"case_id": looked.case_id, "failing": "steps", "steps": steps})
        return
    for one in failing:
        soon = one.next_try is None or one.next_try <= desk.now
        when = (
            _SOON.in_language(desk.language)
            if soon or one.next_try is None
            else time_with_distance(one.next_try, desk.now, desk.zone, desk.language)
        )
        facts = {"case_id": looked.case_id, "activity": one.activity, "attempt": one.attempt, "failure": one.failure}
        print(_STEP_FAILS.in_language(desk.language).format(**facts, when=when))


# --- all cases ---


def examine_cases(*, mend_them: bool, lost: bool, yes: bool, as_json: bool) -> None:
    """`casework doctor --cases`."""
    with sentences():
        desk = Desk()
    if mend_them and not yes and not on_terminal():
        raise bad_input("--mend asks first, and nobody is there to be asked: say --yes.")
    found = run_async(_examine(desk))
    mended: list[Troubled] = []
    to_mend = [one for one in found if one.mends]
    if mend_them and to_mend:
        if not lost and run_async(_knows_none(desk)):
            raise Stop(
                REFUSED,
                "This Temporal has not one of the cases that are open in the shop, so it may be the wrong one; nothing "
                "was changed. If it has lost them all, say --lost.",
            )
        if not yes:
            say(_table(desk, to_mend))
            if not typer.confirm(f"Mend these {len(to_mend)}?", err=True):
                raise Stop(FAILED, "Nothing was changed.")
        mended = run_async(_mend(desk, to_mend))
    left = [one for one in found if one not in mended]
    if as_json:
        listed = [{**_json(one), "mended": one in mended} for one in found]
        print_json(listed)
    else:
        if mended:
            print(word("mended", desk.language))
            print(_table(desk, mended))
        if left or not mended:
            print(_table(desk, left) if left else word("no_trouble", desk.language))
    if left:
        count = len({one.case_id for one in left})
        raise Stop(FAILED, f"{counted(count, 'case')} {'is' if count == 1 else 'are'} in trouble.")


async def _examine(desk: Desk) -> list[Troubled]:
    client = await desk.client()
    return await examine(client.temporal, desk.shop, now=datetime.now(UTC))


async def _knows_none(desk: Desk) -> bool:
    client = await desk.client()
    return await knows_none(client.temporal, desk.shop)


async def _mend(desk: Desk, troubled: Sequence[Troubled]) -> list[Troubled]:
    client = await desk.client()
    return await mend(client.temporal, desk.shop, troubled, now=datetime.now(UTC))


def _json(one: Troubled) -> dict[str, Any]:
    return {
        "case_id": one.case_id,
        "trouble": one.trouble.value,
        "found": one.found,
        "what_helps": one.advice("en"),
        "mends": one.mends,
    }


def _table(desk: Desk, troubled: Sequence[Troubled]) -> str:
    language = desk.language
    rows = [[word(name, language) for name in ("case", "what_is_wrong", "exactly", "what_helps")]]
    rows.extend([one.case_id, one.label(language), one.found, one.advice(language)] for one in troubled)
    return table(rows)
