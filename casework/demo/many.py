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
    file = stage.home / FILE
    cells = [f'refund,"=""{order.order_id}""",尺码不合适' for order in orders]
    file.write_text("\n".join(["流程,订单编号,原因", *cells, f"refund,{ROUNDED},不想要了", ""]), encoding="utf-8")
    rows: list[dict[str, Any]] = json.loads((await stage.ended(2, "batch", str(file), "--by", AGENT)).out)["rows"]
    cases = [row["case_id"] for row in rows if row["outcome"] == "opened"]
    refused = [f"line {row['line']}: {row['why']}" for row in rows if row["outcome"] == "refused"]
    for case in cases:
        await stage.rest(case)
        await stage.submit(case, "buyer_insists", AGENT)
    why = json.loads((await stage.ended(3, "why", cases[0], "approve", "--by", AGENT)).out)
    inbox = await stage.casework("inbox", "--by", LEAD)
    waiting = [one for one in inbox["cases"] if one["case_id"] in cases]
    if (len(cases), len(refused), len(waiting)) != (len(orders), 1, len(orders)):
        raise DemoFailed(
            f"of {FILE}, {len(cases)} were opened, {len(refused)} refused, and {len(waiting)} wait for {LEAD}"
        )
    decided = await stage.casework("approve", *cases, "--by", LEAD, "--yes")
    for case in cases:
        await stage.rest(case)
    forecast = await stage.casework("forecast")
    page = stage.home / f"{cases[0]}.html"
    await stage.casework("evidence", cases[0], "--output", str(page))
    title = ROWS[0].title
    played = [
        Played(title, order, Ending(case, "refunded", order.amount_fen), await stage.view(case))
        for order, case in zip(orders, cases, strict=True)
    ]
    names = [await stage.name(case, order.order_id) for order, case in zip(orders, cases, strict=True)]
    certain, perhaps = format_yuan(forecast["leaves_fen"]), format_yuan(forecast["may_leave_fen"])
    total = format_yuan(sum(one["amount_fen"] for one in waiting))
    lines = [
        (f"batch {FILE} --by {AGENT}", f"{len(cases)} opened; {refused[0]}"),
        (
            f"why {names[0]} approve --by {AGENT}",
            f"{why['obstacle']['why']}; {' or '.join(one['staff_id'] for one in why['could'][:2])} could",
        ),
        (f"inbox --by {LEAD}", f"these {len(waiting)} wait, {total}"),
        (
            f"approve {' '.join(names)} --by {LEAD}",
            f"{sum(one['exit_code'] == 0 for one in decided)} approved and paid",
        ),
        ("forecast", f"{certain} leaves by silence within 24 h, {perhaps} perhaps"),
        (f"evidence {names[0]}", str(page)),
    ]
    return CommandsTold(played, lines)
