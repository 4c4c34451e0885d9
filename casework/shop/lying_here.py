"""Goods that came back and do not ship by themselves: a task for each reason names all of them while they lie here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from casework.money import LineQuantity, as_listed, listed
from casework.shop import outbox
from casework.shop.amounts import line_rows
from casework.shop.goods_tasks import OF_MALICIOUS_ORDER, ROLES
from casework.shop.losses import followed_by_cases
from casework.shop.pieces import pieces_of_lines
from casework.shop.runs import newest_run
from casework.shop.tables import CaseRow, OutboxRow


def tasks_about(session: Session, order_id: str, templates: Collection[str]) -> Sequence[OutboxRow]:
    """The open tasks of these templates about an order, the newest first: what an older one names may have shipped."""
    return session.scalars(
        select(OutboxRow)
        .where(
            OutboxRow.case_id.in_(select(CaseRow.case_id).where(CaseRow.order_id == order_id)),
            OutboxRow.template.in_(templates),
            OutboxRow.cancelled_at.is_(None),
        )
        .order_by(OutboxRow.id.desc())
    ).all()


def name_what_lies_here(
    session: Session,
    template: str,
    *,
    case_id: str,
    about: Mapping[str, str],
    numbers: Collection[int],
    at: datetime,
    excluding: Collection[str] = (),
) -> None:
    """A task of a case names what lies here of these lines, and of those in the task before, in whose place it comes.

    The task before is the one of the same template that is `about` the same: all its parameters but the lines, the
    `order_id` among them. A line that another task names is taken out of that one: somebody else sees to it now. Not
    named is what came by the waybills `excluding` (in capitals), unless the order was ended as malicious, as nothing of
    that ships in any way. `at` is aware; the caller locks the order.
    """
    order_id = about["order_id"]
    tasks = tasks_about(session, order_id, ROLES)
    before = [task for task in tasks if (task.template, _subject(task)) == (template, about)]
    wanted = {line for task in before for line in lines_named(task)}.union(numbers)
    left_alone = () if template == OF_MALICIOUS_ORDER else excluding
    here = _pieces_lying_here(session, template, order_id, wanted, left_alone)
    parameters = {**about, "lines": listed(here)}
    stands = next((task for task in before if here and task.parameters == parameters), None)
    for task in before:
        if task is not stands:
            task.cancelled_at = at
    if here and stands is None:
        _give(session, case_id, template, parameters, at)
    own = {one.line for one in here}
    for task in tasks:
        if task not in before and not own.isdisjoint(lines_named(task)):
            task.cancelled_at = at
            rest = [one for one in as_listed(task.parameters["lines"]) if one.line not in own]
            if rest:
                _give(session, task.case_id, task.template, {**task.parameters, "lines": listed(rest)}, at)
    session.flush()


def renew_tasks(session: Session, order_id: str, at: datetime) -> None:
    """Something has become of goods of an order that came back: its tasks name what lies here now, or are cancelled.

    What the open case of its own parcel may send again is not named. `at` is aware; the caller locks the order.
    """
    tasks = tasks_about(session, order_id, ROLES)
    left_alone = followed_by_cases(session, order_id) if tasks else ()
    for task in tasks:
        name_what_lies_here(
            session,
            task.template,
            case_id=task.case_id,
            about=_subject(task),
            numbers=(),
            at=at,
            excluding=left_alone,
        )


def lines_named(task: OutboxRow) -> set[int]:
    """The lines of which a task names pieces."""
    return {one.line for one in as_listed(task.parameters["lines"])}


def _pieces_lying_here(
    session: Session, template: str, order_id: str, numbers: Collection[int], excluding: Collection[str]
) -> list[LineQuantity]:
    rows = [row for row in line_rows(session, order_id) if row.number in numbers and row.place != "unshipped"]
    found = list[LineQuantity]()
    for line, pieces in sorted(pieces_of_lines(session, order_id, rows, excluding=excluding).items()):
        quantity = pieces.here + (pieces.shelf if template == OF_MALICIOUS_ORDER else 0)
        found += [LineQuantity(line=line, quantity=quantity)] if quantity else []
    return found


def _subject(task: OutboxRow) -> dict[str, str]:
    return {name: value for name, value in task.parameters.items() if name != "lines"}


def _give(session: Session, case_id: str, template: str, parameters: Mapping[str, str], at: datetime) -> None:
    """Always a new one: it was asked what lies here and is not named, and not whether a step was done before.

    Whoever sends it finds its order by the run in its key (`sending`).

    Raises:
        LookupError: the shop knows no such case.

    """
    own = (OutboxRow.case_id == case_id, OutboxRow.template == template)
    before = session.scalar(select(func.count()).select_from(OutboxRow).where(*own))
    run = newest_run(session, case_id)
    if run is None:
        raise LookupError(f"case {case_id} was never opened in this shop")
    key, role = f"{case_id}/{run.run_id}/{template}/{before}", ROLES[template]
    outbox.give_task(session, key=key, case_id=case_id, role=role, template=template, parameters=parameters, at=at)
