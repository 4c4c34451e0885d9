"""The record of every case, open and closed, also of those that Temporal no longer has; and how a case is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, bindparam, delete, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from casework.money import LineQuantity
from casework.shop.errors import CaseOver
from casework.shop.fencing import FencingToken, is_before_closing, waits_no_more
from casework.shop.runs import newest_run
from casework.shop.tables import WAITS, CaseRow, FollowedParcelRow, ReturnRow, ShipmentRow
from state_machines.flows import FLOWS

MIN_DIGITS = 4
"""An end of an id names a case if it has at least so many digits (contract.md)."""
SUPERSEDED = "superseded"
"""The outcome of a run that never ended by itself, and whose case id was opened again."""
DIED = (SUPERSEDED, "terminated", "timed_out", "failed", "canceled", "lost")
"""The outcomes of runs that never ended by themselves. A bulk order's own ending has one of these names too, so ask
`CaseRecord.died`, or in a query `died`."""
SPEAKS_FOR_BUYER = frozenset(
    trigger.name for flow in FLOWS.values() for trigger in flow.triggers.values() if trigger.speaks_for_buyer
)
"""Who fires these is involved in the case (flows.md, "Four eyes")."""
# made once, as in `amounts`
_DELETE_WAIT_OF_RUN = delete(WAITS).where(
    WAITS.c.case_id == bindparam("of_case"), WAITS.c.run_id == bindparam("of_run")
)


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """One run of a case as the shop remembers it; `view` is the case view at its end."""

    case_id: str
    run_id: str
    flow: str
    order_id: str
    opened_by: str
    opened_at: datetime
    from_case: str | None
    amount_fen: int
    closed_at: datetime | None
    outcome: str | None
    view: dict[str, Any] | None
    involved: list[str]
    """Who had a part in it when it handed over to another case."""

    @property
    def died(self) -> bool:
        """Whether it is closed and never ended by itself: nothing that it was about is dealt with."""
        # a case that ends is in the state that its outcome is called by; one that was broken off stays where it was
        return self.outcome in DIED and (self.view or {}).get("state") != self.outcome


def open_record(
    session: Session,
    *,
    case_id: str,
    run_id: str,
    flow: str,
    order_id: str,
    opened_by: str,
    opened_at: datetime,
    lines: Sequence[LineQuantity] = (),
    amount_fen: int = 0,
    from_case: str | None = None,
) -> None:
    """Record that a case opens; doing it again changes nothing.

    A new run of the same case id takes over what an earlier run left that died before its end: that run's record is
    closed as superseded, its claims and holds stay the case's.

    Raises:
        CaseOver: a newer run of the case id has begun already; this attempt comes too late.

    """
    if session.get(CaseRow, (case_id, run_id)) is not None:
        return
    for dead in session.scalars(
        select(CaseRow).where(CaseRow.case_id == case_id, CaseRow.closed_at.is_(None)).with_for_update()
    ):
        if dead.opened_at > opened_at:
            raise CaseOver(case_id)
        dead.closed_at, dead.outcome = opened_at, SUPERSEDED
        waits_no_more(session, case_id)
    session.add(
        CaseRow(
            case_id=case_id,
            run_id=run_id,
            flow=flow,
            order_id=order_id,
            lines=[line.model_dump() for line in lines],
            opened_by=opened_by,
            opened_at=opened_at,
            from_case=from_case,
            amount_fen=amount_fen,
            at_version=0,
            at_execution=run_id,
            at_events=0,
            at_time=opened_at,
        )
    )
    session.flush()


def close_record(
    session: Session,
    *,
    case_id: str,
    run_id: str,
    view: Mapping[str, Any],
    outcome: str,
    at: datetime,
    moment: FencingToken | None = None,
) -> bool:
    """Record a case's end and its last view; a later word of the same run (a late refusal) replaces it.

    `moment` is when it is closed: see `fencing`. An earlier attempt, which Temporal gave up and which arrives
    late, replaces nothing: False.

    Raises:
        LookupError: the case was never opened here.

    """
    row = session.get(CaseRow, (case_id, run_id), with_for_update=True)
    if row is None:
        raise LookupError(f"case {case_id} was never opened in this shop")
    if moment is not None and is_before_closing(row, moment):
        return False
    row.closed_at, row.outcome, row.view = at, outcome, dict(view)
    row.closing_execution, row.closing_events = (moment.execution, moment.events) if moment else (None, None)
    row.amount_fen = int(view.get("amount_fen", row.amount_fen))
    session.connection().execute(_DELETE_WAIT_OF_RUN, {"of_case": case_id, "of_run": run_id})
    session.flush()
    return True


def died() -> ColumnElement[bool]:
    """As `CaseRecord.died`, for a query on the records."""
    return CaseRow.outcome.in_(DIED) & (func.coalesce(CaseRow.view["state"].as_string(), "") != CaseRow.outcome)


def find_records(
    session: Session,
    *,
    case_id: str | None = None,
    order_id: str | None = None,
    opened_by: str | None = None,
    flow: str | None = None,
    outcome: str | None = None,
    since: datetime | None = None,
    closed: bool | None = None,
) -> list[CaseRecord]:
    """The records that fit every filter given, the latest opened first."""
    query = select(CaseRow).order_by(CaseRow.opened_at.desc(), CaseRow.case_id, CaseRow.run_id)
    wanted = {
        CaseRow.case_id: case_id,
        CaseRow.order_id: order_id,
        CaseRow.opened_by: opened_by,
        CaseRow.flow: flow,
        CaseRow.outcome: outcome,
    }
    for column, value in wanted.items():
        if value is not None:
            query = query.where(column == value)
    if since is not None:
        query = query.where(CaseRow.opened_at >= since)
    if closed is not None:
        query = query.where(CaseRow.closed_at.is_not(None) if closed else CaseRow.closed_at.is_(None))
    return [
        CaseRecord(
            case_id=row.case_id,
            run_id=row.run_id,
            flow=row.flow,
            order_id=row.order_id,
            opened_by=row.opened_by,
            opened_at=row.opened_at,
            from_case=row.from_case,
            amount_fen=row.amount_fen,
            closed_at=row.closed_at,
            outcome=row.outcome,
            view=row.view,
            involved=list(row.involved or ()),
        )
        for row in session.scalars(query)
    ]


def is_open_in_another_run(session: Session, case_id: str, run_id: str) -> bool:
    """Whether the case id has been begun again: then what it holds is the newer run's."""
    query = select(CaseRow.run_id).where(
        CaseRow.case_id == case_id, CaseRow.run_id != run_id, CaseRow.closed_at.is_(None)
    )
    return session.scalars(query).first() is not None


def is_open(session: Session, case_id: str) -> bool:
    """Whether a case of this id is open."""
    query = select(CaseRow.run_id).where(CaseRow.case_id == case_id, CaseRow.closed_at.is_(None)).limit(1)
    return session.scalar(query) is not None


def open_cases_of_order(session: Session, order_id: str) -> list[str]:
    """The open cases of an order, by id."""
    query = select(CaseRow.case_id).where(CaseRow.order_id == order_id, CaseRow.closed_at.is_(None))
    return sorted(set(session.scalars(query)))


def involved_in(session: Session, case_id: str) -> list[str]:
    """Who opened a case or the one it came from, or spoke for the buyer in it, as far as its record says."""
    found: list[str] = []
    seen: set[str] = set()
    frontier: list[str] = [case_id]
    while frontier:
        here = frontier.pop()
        if here in seen:
            continue
        seen.add(here)
        for record in find_records(session, case_id=here):
            found += [record.opened_by, *record.involved, *_speakers(record.view)]
            if record.from_case:
                frontier.append(record.from_case)
    return list(dict.fromkeys(found))


def order_of(session: Session, case_id: str) -> str | None:
    """The order that the last run of a case is about; None: the shop knows no such case."""
    row = newest_run(session, case_id)
    return None if row is None else row.order_id


def lines_of(session: Session, case_id: str) -> list[LineQuantity]:
    """The lines that the last run of a case is about, as it was opened."""
    row = newest_run(session, case_id)
    return [] if row is None else [LineQuantity.model_validate(line) for line in row.lines]


def came_from(session: Session, case_id: str) -> str | None:
    """The case that opened the last run of this one, if one did."""
    row = newest_run(session, case_id)
    return None if row is None else row.from_case


def resolve_case(session: Session, text: str) -> list[str]:
    """The cases that a person means by a case id, an order id, a waybill, or any end of one with at least four digits.

    Where a whole id fits, ends are not looked for.
    """
    text = text.strip()
    whole = _cases_where(session, text, whole=True)
    if whole or sum(character.isdecimal() for character in text) < MIN_DIGITS:
        return whole
    return _cases_where(session, text, whole=False)


def _cases_where(session: Session, text: str, *, whole: bool) -> list[str]:
    """The cases of an id or of a parcel that one follows; else those that a parcel comes back to, or its order's."""

    def fits(column: InstrumentedAttribute[str] | InstrumentedAttribute[str | None]) -> ColumnElement[bool]:
        return column == text if whole else column.iendswith(text, autoescape=True)

    followed = select(FollowedParcelRow.case_id).where(fits(FollowedParcelRow.waybill))
    named = [fits(CaseRow.case_id), fits(CaseRow.order_id), CaseRow.case_id.in_(followed)]
    if whole:
        named.append(CaseRow.case_id == f"problem-parcel-{text}")
    shipped = select(ShipmentRow.order_id).where(fits(ShipmentRow.waybill))
    coming_back = select(ReturnRow.case_id).where(fits(ReturnRow.waybill))
    for meant in (or_(*named), or_(CaseRow.order_id.in_(shipped), CaseRow.case_id.in_(coming_back))):
        found = sorted(set(session.scalars(select(CaseRow.case_id).where(meant))))
        if found:
            return found
    return []


def _speakers(view: Mapping[str, Any] | None) -> list[str]:
    trail = cast("list[dict[str, Any]]", (view or {}).get("trail", []))
    return [str(line["by"]) for line in trail if line.get("accepted") and line.get("trigger") in SPEAKS_FOR_BUYER]
