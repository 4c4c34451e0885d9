"""What came of the stories: checked against what must have come, and told in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from casework.case import CaseView
from casework.demo.choosing import Found
from casework.demo.failing import DemoFailed
from casework.demo.stories import Ending
from casework.money import format_yuan
from casework.shop import payments
from casework.shop.amounts import accounts
from casework.shop.database import Database
from casework.show import table
from state_machines.flows import FLOWS
from state_machines.roles import Automatic

STEPS = {
    "holding": "hold",
    "repairing_payment": "payment fails",
    "settling": "paid",
    "releasing": "released",
    "intercepting": "courier",
    "converting": "return",
    "terminating": "end it",
    "opening_refund": "return",
    # what they come to, the next state tells
    "refunding": "",
    "crediting": "paid",
    "rebating": "paid",
    "restocking": "",
    "writing_memo": "",
}
"""How the table calls a state where not by its own name."""


@dataclass(frozen=True, slots=True)
class Played:
    """A case that was played to its end."""

    title: str
    order: Found
    ending: Ending
    view: CaseView


@dataclass(frozen=True, slots=True)
class Ledger:
    """How many cases paid, and how many orders got more back than was paid for them."""

    paid: int
    twice: int


def check(database: Database, played: Sequence[Played]) -> Ledger:
    """Every ending and every sum must be the expected one, the ledger whole, links there both ways.

    Raises:
        DemoFailed: something is not; it says all that is not.

    """
    wrong = [
        f"{one.view.case_id} ended as {one.view.outcome}, not {one.ending.outcome}"
        for one in played
        if one.view.outcome != one.ending.outcome
    ]
    by_id = {one.view.case_id: one.view for one in played}
    wrong += [
        f"{view.case_id} is linked to {link}, and that not to it"
        for view in by_id.values()
        for link in view.links
        if link in by_id and view.case_id not in by_id[link].links
    ]
    paid = 0
    with database.reading() as session:
        wrong += payments.audit(session)
        for one in played:
            sent = _paid_by(session, one.view)
            paid += bool(sent)
            if sent != one.ending.paid_fen:
                wrong.append(f"{one.view.case_id} paid {format_yuan(sent)}, not {format_yuan(one.ending.paid_fen)}")
        orders = {one.order.order_id: one.order for one in played}
        # the postage that a buyer advanced is no money back
        twice = sum(accounts(session, order_id).total_fen > order.amount_fen for order_id, order in orders.items())
        for order_id in orders:
            due = sum(one.ending.paid_fen for one in played if one.order.order_id == order_id)
            if _paid_back(session, order_id) != due:
                wrong.append(
                    f"{format_yuan(_paid_back(session, order_id))} went back for {order_id}, not {format_yuan(due)}"
                )
    if wrong:
        raise DemoFailed("; ".join(wrong))
    return Ledger(paid, twice)


def _paid_by(session: Session, view: CaseView) -> int:
    entries = payments.ledger(session, view.order_id)
    return sum(entry.amount_fen for entry in entries if entry.case_id == view.case_id)


def _paid_back(session: Session, order_id: str) -> int:
    return sum(entry.amount_fen for entry in payments.ledger(session, order_id))


def tables(played: Sequence[Played]) -> str:
    """The cases by flow: order, amount, the way, the ending, what happened."""
    return "\n".join(
        f"{flow.label.en} {flow.label.zh}\n{_table(rows)}"
        for flow in FLOWS.values()
        if (rows := [one for one in played if one.view.flow == flow.name])
    )


def _table(played: Sequence[Played]) -> str:
    return table(
        (
            f" …{one.order.order_id[-4:]}",
            f"{format_yuan(one.ending.paid_fen) if one.ending.paid_fen else '-':>9}",
            _path_of(one.view),
            f"{one.view.outcome} ✓",
            f"({one.ending.title or one.title})",
        )
        for one in played
    )


def _path_of(view: CaseView) -> str:
    """The way of a case that has ended, as in `hold → persuading → silence → paid`."""
    steps: list[str] = []
    for line in [line for line in view.trail if line.is_move]:
        if line.by == Automatic.CLOCK:
            steps.append("silence")
        if line.dest is not None and line.dest != view.state:
            paid_by_hand = line.trigger == "confirm_paid_by_hand"
            steps.append("paid by hand" if paid_by_hand else STEPS.get(line.dest, line.dest))
    return " → ".join(step.removeprefix("awaiting_").replace("_", " ") for step in steps if step)
