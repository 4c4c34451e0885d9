"""Money in whole fen: what was paid for which line, for parts of a line, and yuan as people write them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

_YUAN = re.compile(r"(?P<sign>-?)(?P<yuan>\d{1,12})(?:\.(?P<fen>\d{1,2}))?", re.ASCII)


class LineQuantity(BaseModel):
    """So many pieces of a line of an order. Lines are counted from 1 in the order of the shop's line list."""

    model_config = ConfigDict(frozen=True)

    line: int
    quantity: int


def listed(lines: Sequence[LineQuantity], *, at_most: int | None = None) -> str:
    """Lines as people read them: `1×2, 3×1`; of more than `at_most`, their number."""
    if at_most is not None and len(lines) > at_most:
        return f"{len(lines)} lines"
    return ", ".join(f"{one.line}×{one.quantity}" for one in lines)


def as_typed(lines: Sequence[LineQuantity]) -> str:
    """Lines as commands take them: `1x2,3x1`."""
    return ",".join(f"{one.line}x{one.quantity}" for one in lines)


def as_listed(text: str) -> list[LineQuantity]:
    """The lines that `listed` has written, of which it named every one."""
    named = (one.split("×") for one in text.split(", ") if one)
    return [LineQuantity(line=int(line), quantity=int(quantity)) for line, quantity in named]


def shares(total_fen: int, weights: Sequence[int]) -> list[int]:
    """Share a total among lines by weight (price x quantity), rounded down; the remainder goes to the last line.

    The rule of flows.md, "Money": `total_fen` is what was paid less postage. Where nothing weighs anything, the last
    line takes it all.

    Raises:
        ValueError: if the total or a weight is negative, or a positive total has no line to go to.

    """
    if total_fen < 0 or any(weight < 0 for weight in weights):
        raise ValueError("money and weights are not negative")
    if not weights:
        if total_fen:
            raise ValueError("there is no line to share the money among")
        return []
    whole = sum(weights)
    shared = [total_fen * weight // whole if whole else 0 for weight in weights]
    shared[-1] += total_fen - sum(shared)
    return shared


def part_of_line(line_fen: int, quantity: int, *, already: int, taken: int) -> int:
    """What `taken` pieces of a line are worth, in fen, when `already` pieces of its `quantity` went before them.

    Each piece is worth the same, rounded down; the remainder goes to the last piece. So any split of the quantity, in
    any order, comes to the line's own share.

    Raises:
        ValueError: if there are not so many pieces left.

    """
    if line_fen < 0 or quantity < 1 or already < 0 or taken < 0 or already + taken > quantity:
        raise ValueError("a line has no more pieces than were ordered")
    piece, remainder = divmod(line_fen, quantity)
    return piece * taken + (remainder if taken and already + taken == quantity else 0)


def parse_yuan(text: str) -> int:
    """Read an amount in yuan (`1437.00`) as whole fen, exactly.

    Raises:
        ValueError: one plain sentence, for anything but digits with at most two decimals: no exponent, no separators.

    """
    match = _YUAN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text.strip()[:40]!r} is not an amount in yuan with at most two decimals")
    fen = int(match["yuan"]) * 100 + int((match["fen"] or "").ljust(2, "0"))
    return -fen if match["sign"] else fen


def format_yuan(fen: int) -> str:
    """An amount in fen as people read it in yuan: `1,437.00`."""
    yuan, rest = divmod(abs(fen), 100)
    return f"{'-' if fen < 0 else ''}{yuan:,}.{rest:02d}"
