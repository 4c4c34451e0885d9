"""Who may act in which role right now: the staff list, absences and deputies. Pure.

A deputy acts with the absent person's roles and limits, on top of their own. An absent person may not act.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from casework.case import Actor
from state_machines.roles import Role

NOBODY = "by names nobody on the staff list"


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
        """Whether they are there now."""
        ...

    @property
    def deputy(self) -> str | None:
        """Who acts for them while they are absent."""
        ...


def actor_named(staff: Iterable[Member], staff_id: str) -> tuple[Actor | None, str | None]:
    """The person as they may act now, or None and one sentence that says why not."""
    members = {member.id: member for member in staff}
    person = members.get(staff_id)
    if person is None:
        return None, NOBODY
    if not person.present:
        return None, f"{staff_id} is absent" + (f"; {person.deputy} deputises" if person.deputy else "")
    grants: dict[Role, int | None] = {}
    for member in (person, *(one for one in members.values() if _acting_deputy(members, one) == staff_id)):
        for name in member.roles:
            _grant(grants, Role(name), member.limit_fen)
    return Actor(staff_id=staff_id, grants=grants, deputises_for=_named_by(members, staff_id)), None


def _grant(grants: dict[Role, int | None], role: Role, limit_fen: int | None) -> None:
    """The higher limit counts where a role comes twice; no limit of one's own is the highest."""
    if role in grants:
        known = grants[role]
        limit_fen = None if known is None or limit_fen is None else max(known, limit_fen)
    grants[role] = limit_fen


def _acting_deputy(members: dict[str, Member], absent: Member) -> str | None:
    """Who acts for an absent person: their deputy, or the deputy's deputy if that one is absent too, and so on."""
    seen: set[str] = set()
    person: Member | None = absent
    while person is not None and not person.present and person.id not in seen:
        seen.add(person.id)
        person = members.get(person.deputy) if person.deputy else None
    return person.id if person is not None and person.present and person is not absent else None


def _named_by(members: dict[str, Member], staff_id: str) -> list[str]:
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


def reached(staff: Iterable[Member], recipient: str) -> list[str]:
    """Whom a message for a role, or for a person, is for right now: everybody there who may act in the role, deputies
    of absent people among them; instead of an absent person, whoever acts for them. By staff id, in the list's order.
    """
    members = {member.id: member for member in staff}
    if recipient in members:
        person = members[recipient]
        somebody = recipient if person.present else _acting_deputy(members, person)
        return [] if somebody is None else [somebody]
    actors = (actor_named(members.values(), staff_id)[0] for staff_id in members)
    return [actor.staff_id for actor in actors if actor is not None and recipient in actor.grants]
