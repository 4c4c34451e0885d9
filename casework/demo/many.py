"""Many cases at once: opened from a file, explained, decided together, and what can be shown of one afterwards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from casework.demo.choosing import Found, Shop
from casework.demo.failing import DemoFailed
from casework.demo.stage import Stage
from casework.demo.stories import AGENT, LEAD, REFUND, Ending, supervisors_alone
from casework.demo.telling import Played
from casework.money import format_yuan
from casework.show import table

ROUNDED: Final = "3.30001E+18"
"""What a spreadsheet makes of an order's number."""
FILE: Final = "morning.csv"


@dataclass(frozen=True, slots=True)
class FromFile:
    """A row of the file: the refund of an order that a supervisor may decide on alone."""

    number: int
    flow: str = REFUND
    title: str = "from a file, decided together"

    def wish(self, shop: Shop) -> Sequence[Found]:
        """Orders that an agent may not refund, and a supervisor may."""
        return supervisors_alone(shop)


ROWS: Sequence[FromFile] = [FromFile(1), FromFile(2)]


@dataclass(frozen=True, slots=True)
class CommandsTold:
    """The commands with what came of them, in the order in which they were given."""

    played: Sequence[Played]
    lines: Sequence[tuple[str, str]]

    def __str__(self) -> str:
        """A line a command."""
        return table((f"  casework {command}", said) for command, said in self.lines)


async def from_a_file(stage: Stage, orders: Sequence[Found]) -> CommandsTold:
    """Open all from one file, of which the last row is a spreadsheet's, and decide on them together.

    Raises:
        DemoFailed: something came out otherwise than it must.

    """
    cases, refused = await _opened(stage, orders)
    for case in cases:
        await stage.rest(case)
        await stage.submit(case, "buyer_insists", AGENT)
    names = [await stage.name(case, order.order_id) for order, case in zip(orders, cases, strict=True)]
    lines = [
        (f"batch {FILE} --by {AGENT}", f"{len(cases)} opened; {'; '.join(refused)}"),
        (f"why {names[0]} approve --by {AGENT}", await _why_not(stage, cases[0])),
        (f"inbox --by {LEAD}", await _inbox(stage, cases)),
        (f"approve {' '.join(names)} --by {LEAD}", await _approved(stage, cases)),
        ("forecast", await _forecast(stage)),
        (f"evidence {names[0]}", await _evidence(stage, cases[0])),
    ]
    played = [
        Played(ROWS[0].title, order, Ending(case, "refunded", order.amount_fen), await stage.view(case))
        for order, case in zip(orders, cases, strict=True)
    ]
    return CommandsTold(played, lines)


async def _opened(stage: Stage, orders: Sequence[Found]) -> tuple[list[str], list[str]]:
    """The cases that the file has opened, one an order, and why its last row was refused."""
    file = stage.home / FILE
    cells = [f'refund,"=""{order.order_id}""",尺码不合适' for order in orders]
    file.write_text("\n".join(["流程,订单编号,原因", *cells, f"refund,{ROUNDED},不想要了", ""]), encoding="utf-8")
    rows: list[dict[str, Any]] = json.loads((await stage.ended(2, "batch", str(file), "--by", AGENT)).out)["rows"]
    cases = [row["case_id"] for row in rows if row["outcome"] == "opened"]
    refused = [f"line {row['line']}: {row['why']}" for row in rows if row["outcome"] == "refused"]
    if (len(cases), len(refused)) != (len(orders), 1):
        raise DemoFailed(f"of {FILE}, {len(cases)} were opened and {len(refused)} refused")
    return cases, refused


async def _why_not(stage: Stage, case: str) -> str:
    """Why the agent may not approve it, and who could."""
    why = json.loads((await stage.ended(3, "why", case, "approve", "--by", AGENT)).out)
    return f"{why['obstacle']['why']}; {' or '.join(one['staff_id'] for one in why['could'][:2])} could"


async def _inbox(stage: Stage, cases: Sequence[str]) -> str:
    """That all of them wait for the supervisor, and how much they are about."""
    inbox = await stage.casework("inbox", "--by", LEAD)
    waiting = [one for one in inbox["cases"] if one["case_id"] in cases]
    if len(waiting) != len(cases):
        raise DemoFailed(f"of {len(cases)} cases of {FILE}, {len(waiting)} wait for {LEAD}")
    return f"these {len(waiting)} wait, {format_yuan(sum(one['amount_fen'] for one in waiting))}"


async def _approved(stage: Stage, cases: Sequence[str]) -> str:
    """One decision on all of them, and that each goes to its end."""
    decided = await stage.casework("approve", *cases, "--by", LEAD, "--yes")
    for case in cases:
        await stage.rest(case)
    return f"{sum(one['exit_code'] == 0 for one in decided)} approved and paid"


async def _forecast(stage: Stage) -> str:
    """How much money leaves by silence in the shop's other cases."""
    forecast = await stage.casework("forecast")
    certain, perhaps = format_yuan(forecast["leaves_fen"]), format_yuan(forecast["may_leave_fen"])
    return f"{certain} leaves by silence within 24 h, {perhaps} perhaps"


async def _evidence(stage: Stage, case: str) -> str:
    """The page that shows what there is to show of it."""
    page = stage.home / f"{case}.html"
    await stage.casework("evidence", case, "--output", str(page))
    return str(page)
