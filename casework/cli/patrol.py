"""`casework patrol`: the parcel patrol, by hand."""

from __future__ import annotations

from casework.cli.errors import FAILED, Stop
from casework.cli.running import Desk, print_json, run_async, say, sentences
from casework.connection import connect
from casework.converter import DATA_CONVERTER
from casework.patrol import Patrolled
from casework.schedule import PatrolFailed, patrol_by_hand
from casework.show import patrol_report


def patrol_now(*, as_json: bool) -> None:
    """`casework patrol`."""
    with sentences():
        desk = Desk()
    patrolled = run_async(_patrol(desk))
    if as_json:
        print_json(patrolled.model_dump(exclude={"after"}))
    else:
        print(patrol_report(patrolled, desk.language))


async def _patrol(desk: Desk) -> Patrolled:
    client = await connect(desk.settings.home, data_converter=DATA_CONVERTER)
    try:
        return await patrol_by_hand(client, joins=_say_joined)
    except PatrolFailed as error:
        raise Stop(FAILED, str(error)) from None


def _say_joined(patrol: str) -> None:
    say(f"{patrol} is under way already; this is what comes of it.")
