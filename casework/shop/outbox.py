"""The outbox: messages to buyers and tasks for staff, once per key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from casework.shop.tables import OutboxRow
from casework.templates import TEMPLATES
from state_machines.roles import Role

Recipient = Literal["buyer", "staff"]


@dataclass(frozen=True, slots=True)
class Letter:
    """What stands in the outbox; a task that is not needed any more has `cancelled_at`. Times are aware, in UTC."""

    key: str
    case_id: str
    to: str
    recipient: str | None
    template: str
    text_zh: str
    text_en: str
    at: datetime
    cancelled_at: datetime | None
    delivered_at: datetime | None = None


def post(
    session: Session,
    *,
    key: str,
    case_id: str,
    to: Recipient,
    recipient: str | None,
    template: str,
    parameters: Mapping[str, str],
    text_zh: str,
    text_en: str,
    at: datetime,
) -> bool:
    """Post once per key; False if it was posted before. `recipient` is a role or a staff id, None for the buyer.

    `at` is aware.
    """
    if session.scalar(select(OutboxRow.id).where(OutboxRow.key == key)) is not None:
        return False
    session.add(
        OutboxRow(
            key=key,
            case_id=case_id,
            to=to,
            recipient=recipient,
            template=template,
            parameters=dict(parameters),
            text_zh=text_zh,
            text_en=text_en,
            at=at,
        )
    )
    session.flush()
    return True


def give_task(
    session: Session, *, key: str, case_id: str, role: Role, template: str, parameters: Mapping[str, str], at: datetime
) -> bool:
    """Give a role a task in the words of a template, once; False: it has it already. `at` is aware."""
    text = TEMPLATES[template]
    return post(
        session,
        key=key,
        case_id=case_id,
        to="staff",
        recipient=role,
        template=template,
        parameters=parameters,
        text_zh=text.zh.format(**parameters),
        text_en=text.en.format(**parameters),
        at=at,
    )


def cancel_tasks(session: Session, case_id: str, recipient: str, *, at: datetime, template: str | None = None) -> None:
    """Cancel a case's open tasks for a role, or of these a template's: they are not needed any more. `at` is aware."""
    cancelled = update(OutboxRow).where(
        OutboxRow.case_id == case_id,
        OutboxRow.to == "staff",
        OutboxRow.recipient == recipient,
        OutboxRow.cancelled_at.is_(None),
    )
    if template is not None:
        cancelled = cancelled.where(OutboxRow.template == template)
    session.execute(cancelled.values(cancelled_at=at))


def letters(session: Session, *, case_id: str | None = None) -> list[Letter]:
    """What was posted, oldest first: of one case, or all."""
    query = select(OutboxRow).order_by(OutboxRow.id)
    if case_id is not None:
        query = query.where(OutboxRow.case_id == case_id)
    return [
        Letter(
            key=row.key,
            case_id=row.case_id,
            to=row.to,
            recipient=row.recipient,
            template=row.template,
            text_zh=row.text_zh,
            text_en=row.text_en,
            at=row.at,
            cancelled_at=row.cancelled_at,
            delivered_at=row.delivered_at,
        )
        for row in session.scalars(query)
    ]
