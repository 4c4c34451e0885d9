"""`casework why`: whether somebody may do something in a case now, and if not, what stands in the way and who could."""

from __future__ import annotations

from collections.abc import Sequence

from casework.cli.cases import resolve
from casework.cli.deciding import message_of
from casework.cli.errors import REFUSED, Stop
from casework.cli.running import Desk, print_json, run_async, sentences
from casework.client import flow_of_case
from casework.reading import read_id
from casework.show_waiting import why_text
from casework.why import Verdict


def explain_why(
    case: str, trigger: str, settings: Sequence[str], *, note: str | None, by: str | None, as_json: bool
) -> None:
    """`casework why`: exit code 3 where they may not, as if they had tried."""
    with sentences():
        desk = Desk()
        who = by or desk.settings.staff
    verdict = run_async(_why(desk, read_id(case), trigger, settings, note, who))
    if as_json:
        print_json(verdict)
    else:
        print(why_text(verdict, flow=flow_of_case(verdict.case_id), language=desk.language))
    if verdict.may is False:
        raise Stop(REFUSED)


async def _why(
    desk: Desk, case: str, trigger: str, settings: Sequence[str], note: str | None, who: str | None
) -> Verdict:
    client = await desk.client()
    case_id = await resolve(client, case)
    view = await client.view(case_id)
    fields = message_of(desk, view, trigger, settings, note, who or "")
    del fields["by"]
    return await client.why(case_id, trigger, who, fields)
