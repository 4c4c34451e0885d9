"""Who may act in which role at a moment: the staff list, absences and deputies. Pure.

A deputy acts with the absent person's roles and limits, on top of their own, and only during the absence. An absent
person may not act, nor may one who has left; who has left lends nothing to a deputy either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from casework.case import Actor
from state_machines.roles import Role

NOBODY = "by names nobody on the staff list"
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Absence:
    """Days on which somebody is away, the first and the last included, as the calendar in the shop's zone has them."""

    first: date
    last: date
    zone: str

    def covers(self, at: datetime) -> bool:
        """Whether the aware time is on one of the days."""
        return self.first <= at.astimezone(ZoneInfo(self.zone)).date() <= self.last


def merged(absences: Iterable[Absence]) -> tuple[Absence, ...]:
    """The same days, in order, and those that touch or overlap as one absence."""
    found: list[Absence] = []
    for one in sorted(absences, key=lambda one: (one.first, one.last)):
        if found and one.zone == found[-1].zone and one.first <= found[-1].last + _DAY:
            found[-1] = Absence(found[-1].first, max(found[-1].last, one.last), one.zone)
        else:
            found.append(one)
    return tuple(found)


class Member(Protocol):
    """A staff member as the shop's list has them."""

    @property
    def id(self) -> str:
        """The staff id."""
        ...

    @property
    def roles(self) -> Sequence[str]:
        """The roles they have themselves."""
        ...

    @property
    def limit_fen(self) -> int | None:
        """Their own limit in fen; None: the policy's."""
        ...

    @property
    def present(self) -> bool:
        """Whether they are there, on the days on which no absence is noted."""
        ...

    @property
    def deputy(self) -> str | None:
        """Who acts for them while they are absent."""
        ...

    @property
    def absences(self) -> Sequence[Absence]:
        """On which days they are away."""
        ...

    @property
    def gone(self) -> bool:
        """Whether they have left: they are still listed only because cases name them."""
        ...


def is_present(member: Member, at: datetime) -> bool:
    """Whether somebody is there at this time (aware) and may act."""
    return member.present and not member.gone and not any(one.covers(at) for one in member.absences)


def actor_named(staff: Iterable[Member], staff_id: str, at: datetime) -> tuple[Actor | None, str | None]:
    """The person as they may act at this time (aware), or None and one sentence that says why not."""
    members = {member.id: member for member in staff}
    person = members.get(staff_id)
    if person is None:
        return None, NOBODY
    if not is_present(person, at):
        return None, _why_away(members, person, at)
    grants: dict[Role, int | None] = {}
    lenders = [one for one in members.values() if acting_deputy(members, one, at) == staff_id]
    for member in (person, *lenders):
        for name in member.roles:
            _grant(grants, Role(name), member.limit_fen)
    return Actor(
        staff_id=staff_id,
        grants=grants,
        deputises_for=_named_by(members, staff_id),
        stands_in_for=[one.id for one in lenders],
    ), None


def _why_away(members: Mapping[str, Member], person: Member, at: datetime) -> str:
    if person.gone:
        return f"{person.id} has left the shop"
    until = _away_until(person, at)
    why = f"{person.id} is absent" + (f" until {until.isoformat()}" if until is not None else "")
    deputy = acting_deputy(members, person, at)
    if deputy is None and person.deputy:
        return f"{why}, and so is whoever would deputise"
    return why + (f"; {deputy} deputises" if deputy else "")


def _away_until(person: Member, at: datetime) -> date | None:
    """The last day of an absence with an end; None where nobody knows when they are back."""
    if not person.present:
        return None
    return next((one.last for one in merged(person.absences) if one.covers(at)), None)


def _grant(grants: dict[Role, int | None], role: Role, limit_fen: int | None) -> None:
    """The higher limit counts where a role comes twice; no limit of one's own is the highest."""
    if role in grants:
        known = grants[role]
        limit_fen = None if known is None or limit_fen is None else max(known, limit_fen)
    grants[role] = limit_fen


def acting_deputy(members: Mapping[str, Member], absent: Member, at: datetime) -> str | None:
    """Who acts for an absent person: their deputy, or the deputy's deputy if that one is absent too, and so on.

    None for somebody who is there or has left, and where the chain ends, or comes round, without anybody who is there.
    `at` is aware.
    """
    seen: set[str] = set()
    person: Member | None = absent
    while person is not None and not person.gone and not is_present(person, at) and person.id not in seen:
        seen.add(person.id)
        person = members.get(person.deputy) if person.deputy else None
    return person.id if person is not None and person is not absent and is_present(person, at) else None


def _named_by(members: Mapping[str, Member], staff_id: str) -> list[str]:
    """Everybody who named this person as deputy, directly or through another deputy, absent or not."""
    found: list[str] = []
    frontier = [staff_id]
    while frontier:
        here = frontier.pop()
        for member in members.values():
            if member.deputy == here and member.id not in found and member.id != staff_id:
                found.append(member.id)
                frontier.append(member.id)
    return found


def reached(staff: Iterable[Member], recipient: str, at: datetime) -> list[str]:
    """Whom a message for a role, or for a person, is for at this time (aware), by staff id, in the list's order.

    Everybody there who may act in the role, deputies of absent people among them; instead of an absent person, whoever
    acts for them.
    """
    members = {member.id: member for member in staff}
    if recipient in members:
        person = members[recipient]
        somebody = recipient if is_present(person, at) else acting_deputy(members, person, at)
        return [] if somebody is None else [somebody]
    actors = (actor_named(members.values(), staff_id, at)[0] for staff_id in members)
    return [actor.staff_id for actor in actors if actor is not None and recipient in actor.grants]
