"""What a story leaves behind in the shop besides money and stock: messages, memo, flags, what couriers were asked.

`remains.toml` says it for every story, case by case. It was recorded (`python -m chaos.recording`) and read against the
specification's tables; the audit compares, so that what was never done is found as well as what was done twice.

Left out is what a case withdraws at its end (requests to stop a parcel), as nothing of it is left to count; the words,
which hold times and amounts: the templates and the keys of the memo's entries stand for them; and where two cases share
an order all its flags but the last, as either of them may be the first to release its own.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from casework.shop.flags import flag_history
from casework.shop.tables import CourierClaimRow, CourierRequestRow, MemoEntryRow, OutboxRow
from chaos.acting import Played

PATH: Final = Path(__file__).with_name("remains.toml")
HEADER: Final = """\
# What each story leaves behind besides money and stock: `python -m chaos.recording` writes it, the audit compares.
# flags: what the order showed, one after the other; of an order with two cases, what it shows at last. Of each case, by
# its flow: the templates by which the buyer was told; who of the staff was told by which; the memo's entries, by their
# keys; what couriers were asked; the claims on them. The numbers say how often.
"""
Kind = Literal["buyer", "staff", "memo", "courier", "claims"]
Left = Mapping[str, Mapping[str, int]]
"""By kind, what is left of a case, and how many."""
FLAGS: Final = "flags"


@cache
def expected() -> Mapping[str, Mapping[str, Any]]:
    """By story, its `flags` and, by flow, what is left of each of its cases."""
    return tomllib.loads(PATH.read_text())


def remains_of(session: Session, played: Played) -> dict[str, Any]:
    """What one story has left behind, as it stands in the table."""
    casting = played.casting
    flags = [after for _, _, after in flag_history(session, casting.order_id)]
    found: dict[str, Any] = {FLAGS: flags if len(played.endings) == 1 else flags[-1:]}
    for ending in played.endings:
        found[ending.flow] = _left_of(session, ending.case_id, casting.price_fen)
    return found


def missing_or_too_much(session: Session, played: Played) -> list[str]:
    """How the remains of a story are not those of the table."""
    found, order_id = remains_of(session, played), played.casting.order_id
    must = expected().get(played.casting.story)
    if must is None:
        return [f"{PATH.name} does not say what {played.casting.story} leaves behind"]
    faults: list[str] = []
    if not same_flags(found[FLAGS], must[FLAGS]):
        faults.append(f"order {order_id}: its flags were {_listed(found[FLAGS])}, they must be {_listed(must[FLAGS])}")
    for ending in played.endings:
        here: Left = found[ending.flow]
        there: Left = must.get(ending.flow, {})
        for kind in get_args(Kind):
            is_left, must_be = Counter[str](here.get(kind, {})), Counter[str](there.get(kind, {}))
            faults += [
                f"{ending.case_id}: {kind}: {what} {is_left[what]} times, it must be {must_be[what]}"
                for what in sorted(is_left.keys() | must_be.keys())
                if is_left[what] != must_be[what]
            ]
    return faults


def same_flags(shown: Sequence[str], must: Sequence[str]) -> bool:
    """Whether an order showed these flags, and no others but those of moves that Temporal discarded.

    Where a case makes moves again that it had made already, its flag is restored in between: it goes back to what it
    was, and forth again, once.
    """
    again = [place for place in range(len(shown) - 3) if shown[place : place + 2] == shown[place + 2 : place + 4]]
    return list(must) in [list(shown), *([*shown[:place], *shown[place + 2 :]] for place in again)]


def as_toml(remains: Mapping[str, Mapping[str, Any]]) -> str:
    """The table as a file."""
    lines = [HEADER.rstrip()]
    for story, of_story in remains.items():
        lines += ["", f'["{story}"]', f"flags = {_strings(of_story[FLAGS])}"]
        for flow, left in of_story.items():
            if flow == FLAGS:
                continue
            lines += ["", f'["{story}".{flow}]']
            for kind, things in left.items():
                counts = ", ".join(f'"{what}" = {count}' for what, count in sorted(things.items()))
                lines.append(f"{kind} = {{ {counts} }}")
    return "\n".join(lines) + "\n"


def _left_of(session: Session, case_id: str, price_fen: int) -> Left:
    left: dict[Kind, Counter[str]] = {kind: Counter() for kind in get_args(Kind)}
    for row in session.scalars(select(OutboxRow).where(OutboxRow.case_id == case_id)):
        if row.to == "buyer":
            left["buyer"][row.template] += 1
        else:
            left["staff"][f"{row.recipient}: {row.template}{', cancelled' if row.cancelled_at else ''}"] += 1
    for key in session.scalars(select(MemoEntryRow.key).where(MemoEntryRow.key.startswith(f"{case_id}/"))):
        # case, run, and what it is for; where a case may come by it again, also the number of its moves
        left["memo"][re.sub(r"/\d+", "", "/".join(key.split("/")[2:]))] += 1
    for what in session.scalars(select(CourierRequestRow.what).where(CourierRequestRow.case_id == case_id)):
        left["courier"][what] += 1
    for claimed_fen in session.scalars(select(CourierClaimRow.amount_fen).where(CourierClaimRow.case_id == case_id)):
        left["claims"]["the price" if claimed_fen == price_fen else f"{claimed_fen} fen"] += 1
    return {kind: things for kind, things in left.items() if things}


def _listed(flags: Sequence[str]) -> str:
    return ", ".join(flags) or "never changed"


def _strings(values: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{one}"' for one in values) + "]"
