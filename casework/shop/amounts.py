"""What is due for lines of an order: shares of what was paid, less what was refunded already (flows.md, "Money")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.money import LineQuantity, part_of_line, shares
from casework.shop.tables import ClaimRow, LedgerRow, LineRow, OrderRow

POSTAGE = 0
"""The postage's line in the ledger."""


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """So much for so many pieces of a line; line 0 is the postage, None a sum that no line is known for."""

    line: int | None
    quantity: int
    amount_fen: int


@dataclass(frozen=True, slots=True)
class Accounts:
    """What has been refunded of an order: pieces and fen by line, and fen in all."""

    pieces: Mapping[int, int]
    fen: Mapping[int, int]
    total_fen: int


def line_rows(session: Session, order_id: str) -> list[LineRow]:
    """The lines of an order, ascending, as they are now."""
    return list(session.scalars(select(LineRow).where(LineRow.order_id == order_id).order_by(LineRow.number)))


def accounts(session: Session, order_id: str) -> Accounts:
    """What has been refunded of an order, by whomever."""
    pieces: dict[int, int] = {}
    fen: dict[int, int] = {}
    total = 0
    for line, quantity, amount in session.execute(
        select(LedgerRow.line, func.sum(LedgerRow.quantity), func.sum(LedgerRow.amount_fen))
        .where(LedgerRow.order_id == order_id)
        .group_by(LedgerRow.line)
    ):
        total += int(amount)
        if line is not None:
            pieces[line], fen[line] = int(quantity), int(amount)
    return Accounts(pieces, fen, total)


def pieces_left(line: LineRow, done: Accounts) -> int:
    """How many pieces of a line are neither refunded nor closed by the platform."""
    return 0 if line.state == "closed" else max(0, line.quantity - done.pieces.get(line.number, 0))


def left_to_ship(session: Session, order_id: str) -> list[LineRow]:
    """The lines that are still to leave: not refunded, not closed, here and not come back."""
    done = accounts(session, order_id)
    return [line for line in line_rows(session, order_id) if line.place == "unshipped" and pieces_left(line, done)]


def paid_shares(order: OrderRow, lines: Sequence[LineRow]) -> dict[int, int]:
    """What was paid for each line, in fen, and for the postage under 0."""
    postage = min(order.postage_fen, order.paid_fen)
    if not lines:
        return {POSTAGE: postage}
    by_line = shares(order.paid_fen - postage, [line.price_fen * line.quantity for line in lines])
    return {POSTAGE: postage, **dict(zip((line.number for line in lines), by_line, strict=True))}


def due(
    session: Session, order: OrderRow, asked: Sequence[LineQuantity], *, case_id: str | None = None
) -> list[LedgerLine]:
    """What is due for these lines now, with the postage under line 0 where it goes with them.

    Nothing is due of an order that is unpaid, or closed by the platform. No account is
    overdrawn: neither a line's, nor the postage's, nor the order's. Pieces that were refunded since the case claimed
    the line, by whomever, count as the ones it asks for. Postage goes with the last pieces of the order that are left,
    unless a line had left when the case claimed it (or has now, where nothing is claimed).
    """
    if order.state in {"unpaid", "closed"}:
        return []
    lines = line_rows(session, order.id)
    done = accounts(session, order.id)
    paid = paid_shares(order, lines)
    claims = {
        claim.line: claim
        for claim in session.scalars(select(ClaimRow).where(ClaimRow.order_id == order.id))
        if claim.case_id == case_id
    }
    wanted = {one.line: one.quantity for one in asked}
    left_in_order = order.paid_fen - done.total_fen
    found: list[LedgerLine] = []
    remaining, had_left = 0, False
    for line in lines:
        left = pieces_left(line, done)
        claim = claims.get(line.number)
        refunded = done.pieces.get(line.number, 0)
        since = max(0, refunded - claim.refunded_before) if claim else 0
        taken = min(left, max(0, wanted.get(line.number, 0) - since))
        remaining += left - taken
        if not taken:
            continue
        had_left |= claim.shipped_before if claim else line.place == "shipped"
        amount = min(
            part_of_line(paid[line.number], line.quantity, already=refunded, taken=taken),
            paid[line.number] - done.fen.get(line.number, 0),
            left_in_order,
        )
        left_in_order -= max(0, amount)
        found.append(LedgerLine(line.number, taken, max(0, amount)))
    postage = min(paid[POSTAGE] - done.fen.get(POSTAGE, 0), left_in_order)
    if found and not remaining and not had_left and postage > 0:
        found.append(LedgerLine(POSTAGE, 1, postage))
    return found
