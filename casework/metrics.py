"""What the shop counts of itself for Prometheus: moves and refusals by this worker, and what waits in the whole shop.

Importing it changes nothing and does no I/O: the cases inside Temporal import it too. No label is anything that
somebody typed, so that there are only so many series, and none holds personal data.
"""

from __future__ import annotations

import logging
from collections import Counter as Tally
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import case, func, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from casework.shop.database import Database
from casework.shop.tables import CaseRow, NoticeRow, OutboxRow, WaitRow
from state_machines.asides import ASIDES
from state_machines.flows import FLOWS
from state_machines.roles import Role
from state_machines.table import Flow

LOGGER = logging.getLogger("casework.metrics")
UNKNOWN: Final = "unknown"
"""The trigger of a message that no table and no aside knows."""

_counted = CollectorRegistry()
_moves = Counter(
    "casework_moves", "Accepted moves that this worker has made.", ["flow", "trigger", "dest"], registry=_counted
)
_refusals = Counter(
    "casework_refusals", "Messages that this worker has refused.", ["flow", "trigger", "state"], registry=_counted
)


def count_move(*, flow: str, trigger: str, dest: str) -> None:
    """Count an accepted move. A case calls it only while it is not replaying."""
    _moves.labels(flow, trigger, dest).inc()


def count_refusal(*, flow: str, trigger: str, state: str) -> None:
    """Count a refused message. A case calls it only while it is not replaying."""
    known = trigger in FLOWS[flow].triggers or trigger in ASIDES
    _refusals.labels(flow, trigger if known else UNKNOWN, state).inc()


def registry_of(database: Database) -> CollectorRegistry:
    """All of it, read anew from the shop with each look."""
    registry = CollectorRegistry()
    registry.register(_Counted())
    registry.register(_Shop(database))
    return registry


class _Counted(Collector):
    def collect(self) -> Iterator[object]:  # pyright: ignore[reportIncompatibleMethodOverride] - what the registry asks for
        yield from _counted.collect()


class _Shop(Collector):
    """What every worker on this shop says the same of."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[GaugeMetricFamily]:  # pyright: ignore[reportIncompatibleMethodOverride] - what the registry asks for
        up = GaugeMetricFamily("casework_shop_up", "Whether the shop's database answers.")
        try:
            with self._database.reading() as session:
                found = _look(session, datetime.now(UTC))
        except SQLAlchemyError as error:
            LOGGER.warning("shop_not_read", extra={"error": type(error).__name__})
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from found


def _look(session: Session, now: datetime) -> list[GaugeMetricFamily]:
    return [_opened(session), *_waiting(session, now), _messages(session), _notices(session)]


def _opened(session: Session) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily("casework_open_cases", "Cases that have not ended.", labels=["flow"])
    query = select(CaseRow.flow, func.count()).where(CaseRow.closed_at.is_(None)).group_by(CaseRow.flow)
    counts = Tally(dict.fromkeys(FLOWS, 0))
    for flow, count in session.execute(query):
        counts[flow] = count
    for flow, count in counts.items():
        gauge.add_metric([flow], count)
    return gauge


def _waiting(session: Session, now: datetime) -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
    waiting = GaugeMetricFamily(
        "casework_waiting_cases", "Cases that wait for the role; one may wait for several.", labels=["flow", "role"]
    )
    overdue = GaugeMetricFamily(
        "casework_overdue_cases",
        "Of those that wait for the role, those whose deadline has passed, or whose clock has fired without a move.",
        labels=["flow", "role"],
    )
    # a series that is not there is no zero: what a table may ask for is shown from the first look on
    wait = Tally({(name, role.value): 0 for name, flow in FLOWS.items() for role in flow_roles(flow)})
    late = Tally(wait)
    is_late = case((or_(WaitRow.alarms > 0, WaitRow.due <= now), 1), else_=0)
    query = select(WaitRow.flow, WaitRow.roles, func.count(), func.sum(is_late)).group_by(WaitRow.flow, WaitRow.roles)
    for flow, roles, count, count_late in session.execute(query):
        for role in filter(None, roles.split("|")):
            wait[flow, role] += count
            late[flow, role] += count_late
    for labels in sorted(wait):
        waiting.add_metric(labels, wait[labels])
        overdue.add_metric(labels, late[labels])
    return waiting, overdue


def flow_roles(flow: Flow[Any]) -> set[Role]:
    """Whom the flow's states ask to act."""
    return {role for state in flow.states.values() for role in state.expects}


def _messages(session: Session) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(
        "casework_messages",
        "Messages in the outbox that are to go out, or that the receiver refused.",
        labels=["state"],
    )
    counts = {"waiting": 0, "refused": 0}
    query = select(OutboxRow.delivery, func.count()).where(OutboxRow.delivery.in_(counts)).group_by(OutboxRow.delivery)
    counts.update((state, count) for state, count in session.execute(query))
    for state, count in counts.items():
        gauge.add_metric([state], count)
    return gauge


def _notices(session: Session) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily("casework_untold_notices", "News of orders that their cases were not told yet.")
    untold = session.scalar(select(func.count()).select_from(NoticeRow).where(NoticeRow.delivered_at.is_(None)))
    gauge.add_metric([], untold or 0)
    return gauge
