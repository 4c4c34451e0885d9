"""What is due for lines of an order: shares of what was paid, less what was refunded already (flows.md, "Money")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Text, and_, bindparam, func, select
from sqlalchemy.orm import Session

from casework.money import LineQuantity, part_of_line, shares
from casework.shop.ahead import read_ahead
from casework.shop.tables import ClaimRow, LedgerRow, LineRow, OrderRow

POSTAGE = 0
"""The postage's line in the ledger."""
RETURN_POSTAGE = -1
"""In the ledger, the line of the postage that the buyer advanced for a way back: an account of its own, which is no
part of what was paid for the order."""

LINES, ACCOUNTS = "lines", "accounts"
"""Of what may have been read ahead."""

# Made once: nearly every step on the shop asks them, and SQLAlchemy makes such a question more slowly than it asks it.
_OF_ORDERS = bindparam("order_ids", type_=Text(), expanding=True)
_LINES = select(LineRow).where(LineRow.order_id.in_(_OF_ORDERS)).order_by(LineRow.number)
# what a case of ours pays for no pieces of a line makes the line cheaper, and refunds nothing of it
_IS_REBATE = and_(LedgerRow.quantity == 0, LedgerRow.line > POSTAGE, LedgerRow.case_id.is_not(None))
_ENTRIES = (
    select(LedgerRow.order_id, LedgerRow.line, _IS_REBATE, func.sum(LedgerRow.quantity), func.sum(LedgerRow.amount_fen))
    .where(LedgerRow.order_id.in_(_OF_ORDERS))
    .group_by(LedgerRow.order_id, LedgerRow.line, _IS_REBATE)
)


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """So much for so many pieces of a line; line 0 is the postage, None a sum that no line is known for."""

    line: int | None
    quantity: int
    amount_fen: int


@dataclass(frozen=True, slots=True)
class Accounts:
    """What has gone back of an order: pieces and fen by line, fen in all, and fen that no line is known for.

    `rebates` are fen by line for which no pieces went back: they are in `total_fen`, and not in `fen`.
    """

    pieces: Mapping[int, int]
    fen: Mapping[int, int]
    total_fen: int
    loose_fen: int
    rebates: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What is due for some lines, and which part of them the platform's loose sums have paid for already.

    `gift_fen` is what a missing gift takes off of it, in fen; `owed` is less by that.
    """

    owed: list[LedgerLine]
    from_loose: list[LedgerLine]
    gift_fen: int = 0

    @property
    def total_fen(self) -> int:
        """What is due in all, in fen."""
        return sum(entry.amount_fen for entry in self.owed)


def line_rows(session: Session, order_id: str) -> list[LineRow]:
    """The lines of an order, ascending, as they are now."""
    return list(read_ahead(session, LINES, order_id, lambda: line_rows_of(session, [order_id])[order_id]))


def line_rows_of(session: Session, order_ids: Sequence[str]) -> dict[str, list[LineRow]]:
    """The lines of each of some orders, ascending."""
    found: dict[str, list[LineRow]] = {order_id: [] for order_id in order_ids}
    for row in session.scalars(_LINES, {"order_ids": order_ids}):
        found[row.order_id].append(row)
    return found


def accounts(session: Session, order_id: str) -> Accounts:
    """What has been refunded of an order, by whomever."""
    return read_ahead(session, ACCOUNTS, order_id, lambda: accounts_of(session, [order_id])[order_id])


def accounts_of(session: Session, order_ids: Sequence[str]) -> dict[str, Accounts]:
    """What has been refunded of each of some orders."""
    entries: dict[str, list[tuple[int | None, bool, int, int]]] = {order_id: [] for order_id in order_ids}
    for order_id, line, rebate, quantity, amount in session.execute(_ENTRIES, {"order_ids": order_ids}):
        entries[order_id].append((line, bool(rebate), int(quantity), int(amount)))
    return {order_id: _accounts(one) for order_id, one in entries.items()}


def _accounts(entries: Sequence[tuple[int | None, bool, int, int]]) -> Accounts:
    pieces: dict[int, int] = {}
    fen: dict[int, int] = {}
    rebates: dict[int, int] = {}
    total = 0
    for line, rebate, quantity, amount in entries:
        if line == RETURN_POSTAGE:
            continue
        total += amount
        if line is None:
            continue
        if rebate:
            rebates[line] = amount
        else:
            pieces[line], fen[line] = quantity, amount
    return Accounts(pieces, fen, total, total - sum(fen.values()) - sum(rebates.values()), rebates)


def pieces_left(line: LineRow, done: Accounts) -> int:
    """How many pieces of a line are neither refunded nor closed by the platform."""
    return 0 if line.state == "closed" else max(0, line.quantity - done.pieces.get(line.number, 0))


def left_to_ship(session: Session, order_id: str) -> list[LineRow]:
    """The lines that are still to leave: not refunded, not closed, here and not come back."""
    done = accounts(session, order_id)
    return [line for line in line_rows(session, order_id) if line.place == "unshipped" and pieces_left(line, done)]


def paid_shares(order: OrderRow, lines: Sequence[LineRow], done: Accounts) -> dict[int, int]:
    """What was paid for each line, less its rebates, in fen, and for the postage under 0."""
    postage = min(order.postage_fen, order.paid_fen)
    if not lines:
        return {POSTAGE: postage}
    by_line = shares(order.paid_fen - postage, [line.price_fen * line.quantity for line in lines])
    return {
        POSTAGE: postage,
        **{line.number: share - done.rebates.get(line.number, 0) for line, share in zip(lines, by_line, strict=True)},
    }


def due(
    session: Session, order: OrderRow, asked: Sequence[LineQuantity], *, case_id: str | None = None
) -> list[LedgerLine]:
    """What is due for these lines now, with the postage under line 0 where it goes with them; see `reckon`."""
    return reckon(session, order, asked, case_id=case_id).owed


def reckon(
    session: Session,
    order: OrderRow,
    asked: Sequence[LineQuantity],
    *,
    case_id: str | None = None,
    with_postage: bool | None = None,
) -> Reckoning:
    """What is due for these lines now, with the postage under line 0 where it goes with them.

    Nothing is due of an order that is unpaid, or closed by the platform. No account is
    overdrawn: neither a line's, nor the postage's, nor the order's. Pieces that were refunded since the case claimed
    the line, by whomever, count as the ones it asks for. Postage goes with the last pieces of the order that are left,
    unless a line had left when the case claimed it (or has now, where nothing is claimed); `with_postage` says instead
    whether it goes with them.

    A sum that the platform paid without naming a line counts against the order as a whole if it came before the case
    claimed its lines. One that came since then counts in full against what this case pays: it is most likely the same
    refund, and money that was not paid can still be paid, while money paid twice is gone.
    """
    if order.state in {"unpaid", "closed"}:
        return Reckoning([], [])
    lines = line_rows(session, order.id)
    done = accounts(session, order.id)
    paid = paid_shares(order, lines, done)
    claims = claims_of(session, order.id, case_id)
    wanted = {one.line: one.quantity for one in asked}
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
        )
        found.append(LedgerLine(line.number, taken, max(0, amount)))
    postage = paid[POSTAGE] - done.fen.get(POSTAGE, 0)
    goes_with_them = not had_left if with_postage is None else with_postage
    if found and not remaining and goes_with_them and postage > 0:
        found.append(LedgerLine(POSTAGE, 1, postage))
    loose_since = max(0, done.loose_fen - min((claim.loose_before_fen for claim in claims.values()), default=0))
    return share_out(found, left_fen=order.paid_fen - done.total_fen, loose_fen=loose_since if claims else 0)


def postage_due_at_most(order: OrderRow, done: Accounts) -> int:
    """How much of the postage could still be paid back, in fen: none of a trade that is unpaid or closed."""
    if order.state in {"unpaid", "closed"}:
        return 0
    return max(0, min(order.postage_fen, order.paid_fen) - done.fen.get(POSTAGE, 0))


def claims_of(session: Session, order_id: str, case_id: str | None) -> dict[int, ClaimRow]:
    """What a case has claimed of an order, by line."""
    rows = session.scalars(select(ClaimRow).where(ClaimRow.order_id == order_id, ClaimRow.case_id == case_id))
    return {row.line: row for row in rows}


def share_out(found: Sequence[LedgerLine], *, left_fen: int, loose_fen: int) -> Reckoning:
    """Pay the entries in their order from what may still be paid; what is short, the loose sum has paid for."""
    full = sum(entry.amount_fen for entry in found)
    covered = min(full, loose_fen)
    room = max(0, min(full - covered, left_fen))
    owed: list[LedgerLine] = []
    from_loose: list[LedgerLine] = []
    for entry in found:
        amount = min(entry.amount_fen, room)
        short = min(entry.amount_fen - amount, covered)
        room, covered = room - amount, covered - short
        if amount or entry.line != POSTAGE:
            owed.append(LedgerLine(entry.line, entry.quantity, amount))
        if short:
            from_loose.append(LedgerLine(entry.line, 0, short))
    return Reckoning(owed, from_loose)
