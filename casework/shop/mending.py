"""What the shop remembers of cases that are not there any more, and its release. Money is never touched."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.money import format_yuan
from casework.shop import outbox, records
from casework.shop.coming_back import cancel_take_in, ship_again
from casework.shop.orders import lock_order
from casework.shop.releasing import release_case
from casework.shop.reshipments import call_off_reshipment
from casework.shop.runs import newest_run
from casework.shop.steps import first_time
from casework.shop.tables import (
    CaseRow,
    ClaimRow,
    FlagWishRow,
    GiftPromiseRow,
    HoldRow,
    InterceptRow,
    OutboxRow,
    PaymentRow,
)
from state_machines.roles import Role

Thing = Literal["hold", "claim", "budget promise", "flag wish", "intercept"]
PAID_WITHOUT_END: Final = "paid_without_end"
"""The task, once per run, that asks people to see to what a case left undone after it had paid."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Things that the shop keeps for a case, of one order. `handed_over_by`: the case that hands them over to it."""

    case_id: str
    order_id: str
    thing: Thing
    count: int
    handed_over_by: str | None


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A run of a case that never ended by itself after it had paid, and of which nobody was told."""

    case_id: str
    run_id: str
    order_id: str
    paid_fen: int


def kept_without_case(session: Session) -> list[Kept]:
    """All that the shop keeps for cases of which no run is open, by case."""
    is_open = select(CaseRow.case_id).where(CaseRow.closed_at.is_(None))
    found: list[Kept] = []
    for thing, table in (("hold", HoldRow), ("claim", ClaimRow)):
        rows = session.execute(
            select(table.case_id, table.order_id, table.handed_over_by, func.count())
            .where(table.case_id.not_in(is_open))
            .group_by(table.case_id, table.order_id, table.handed_over_by)
        )
        found += [Kept(case_id, order_id, thing, count, giver) for case_id, order_id, giver, count in rows]  # pyright: ignore[reportArgumentType] - its name is one of them
    for thing, table, more in (
        ("budget promise", GiftPromiseRow, GiftPromiseRow.granted_at.is_(None)),
        ("flag wish", FlagWishRow, None),
        ("intercept", InterceptRow, None),
    ):
        query = select(table.case_id, table.order_id, func.count()).where(table.case_id.not_in(is_open))
        rows = session.execute((query if more is None else query.where(more)).group_by(table.case_id, table.order_id))
        found += [Kept(case_id, order_id, thing, count, None) for case_id, order_id, count in rows]  # pyright: ignore[reportArgumentType] - its name is one of them
    return sorted(found, key=lambda one: (one.case_id, one.thing, one.order_id))


def paid_without_end(session: Session, dead: Collection[tuple[str, str]]) -> list[Unsettled]:
    """The runs that paid and died: those that the record says of, and `dead` ones (case and run) that it does not know
    of yet; without those of which people were told.
    """
    paid: dict[tuple[str, str], tuple[str, int]] = {}
    for row in session.scalars(select(PaymentRow).order_by(PaymentRow.at)):
        run_id = row.key.removeprefix(f"{row.case_id}/").split("/", 1)[0]
        order_id, fen = paid.get((row.case_id, run_id), (row.order_id, 0))
        paid[row.case_id, run_id] = (order_id, fen + row.amount_fen)
    died = {
        (case_id, run_id)
        for case_id, run_id in session.execute(select(CaseRow.case_id, CaseRow.run_id).where(records.died()))
    }
    told = set(session.scalars(select(OutboxRow.key).where(OutboxRow.template == PAID_WITHOUT_END)))
    return [
        Unsettled(case_id, run_id, order_id, fen)
        for (case_id, run_id), (order_id, fen) in sorted(paid.items())
        if (case_id, run_id) in died.union(dead) and _key(case_id, run_id) not in told
    ]


def mend_kept(session: Session, case_id: str, *, at: datetime) -> bool:
    """Let go of what is kept for a case of which no run is open; False: one is open by now, and nothing was done.

    `at` is aware.
    """
    if records.is_open(session, case_id):
        return False
    _let_go(session, case_id, at)
    return True


def mend_dead(
    session: Session, case_id: str, run_id: str, *, view: Mapping[str, Any], outcome: str, at: datetime
) -> bool:
    """Close the record of a run that never ended by itself, release what the case has, and have people see to what
    it left undone if it had paid. False: it is closed by now, and nothing was done.

    What the case id has stays where another run of it is open. `at` is aware.
    """
    row = session.get(CaseRow, (case_id, run_id), with_for_update=True)
    if row is None or row.closed_at is not None:
        return False
    goes_on = records.is_open_in_another_run(session, case_id, run_id)
    # where goods are, and whose, follows from how it has ended too
    records.close_record(session, case_id=case_id, run_id=run_id, view=view, outcome=outcome, at=at)
    if not goes_on:
        _let_go(session, case_id, at)
    for one in paid_without_end(session, [(case_id, run_id)]):
        if (one.case_id, one.run_id) == (case_id, run_id):
            tell_of_unsettled(session, one, at=at)
    return True


def tell_of_unsettled(session: Session, one: Unsettled, *, at: datetime) -> bool:
    """Ask the refund clerk to see to it, once; False: that was asked before. `at` is aware."""
    parameters = {"case_id": one.case_id, "order_id": one.order_id, "amount": format_yuan(one.paid_fen)}
    return outbox.give_task(
        session,
        key=_key(one.case_id, one.run_id),
        case_id=one.case_id,
        role=Role.REFUND_CLERK,
        template=PAID_WITHOUT_END,
        parameters=parameters,
        at=at,
    )


def _let_go(session: Session, case_id: str, at: datetime) -> None:
    call_off_reshipment(session, case_id=case_id, at=at)
    release_case(session, case_id, flag_kept=None, at=at)
    cancel_take_in(session, case_id, at)
    row = newest_run(session, case_id)
    if row is None or not row.lines:
        return
    lock_order(session, row.order_id)
    key = f"{case_id}/{row.run_id}/end"
    if first_time(session, key, at):  # what came back meanwhile has waited for the case
        numbers = {one["line"] for one in row.lines}
        ship_again(session, key=key, case_id=case_id, order_id=row.order_id, numbers=numbers, at=at)


def _key(case_id: str, run_id: str) -> str:
    return f"{case_id}/{run_id}/staff.{PAID_WITHOUT_END}"
