"""Who may act in which role right now."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from casework.authority import actor_named
from state_machines.roles import Role


@dataclass
class Person:
    id: str
    roles: list[str] = field(default_factory=lambda: ["aftersale_agent"])
    limit_fen: int | None = None
    present: bool = True
    deputy: str | None = None


def test_a_stranger_may_not_act() -> None:
    assert actor_named([Person("a")], "b") == (None, "by names nobody on the staff list")


def test_an_absent_person_may_not_act_and_the_deputy_is_named() -> None:
    actor, why = actor_named([Person("a", present=False, deputy="b"), Person("b")], "a")
    assert actor is None
    assert why == "a is absent; b deputises"


def test_a_person_acts_in_their_own_roles_with_their_own_limit() -> None:
    actor, _ = actor_named([Person("a", roles=["aftersale_agent", "warehouse"], limit_fen=500)], "a")
    assert actor is not None
    assert actor.grants == {Role.AFTERSALE_AGENT: 500, Role.WAREHOUSE: 500}


def test_a_deputy_acts_with_the_absent_persons_roles_and_limits() -> None:
    staff = [Person("a", roles=["aftersale_supervisor"], limit_fen=50_000, present=False, deputy="b"), Person("b")]
    actor, _ = actor_named(staff, "b")
    assert actor is not None
    assert actor.grants == {Role.AFTERSALE_AGENT: None, Role.AFTERSALE_SUPERVISOR: 50_000}


def test_a_deputy_has_nothing_of_a_person_who_is_there_but_is_known_to_stand_for_them() -> None:
    actor, _ = actor_named([Person("a", roles=["aftersale_supervisor"], deputy="b"), Person("b")], "b")
    assert actor is not None
    assert actor.grants == {Role.AFTERSALE_AGENT: None}
    assert actor.deputises_for == ["a"]


def test_the_deputys_deputy_acts_while_both_are_absent() -> None:
    staff = [
        Person("a", roles=["finance_manager"], present=False, deputy="b"),
        Person("b", roles=["store_manager"], present=False, deputy="c"),
        Person("c"),
    ]
    actor, _ = actor_named(staff, "c")
    assert actor is not None
    assert set(actor.grants) == {Role.AFTERSALE_AGENT, Role.STORE_MANAGER, Role.FINANCE_MANAGER}
    assert sorted(actor.deputises_for) == ["a", "b"]


def test_a_circle_of_absent_deputies_grants_nothing_and_does_not_loop() -> None:
    staff = [
        Person("a", roles=["finance_manager"], present=False, deputy="b"),
        Person("b", roles=["store_manager"], present=False, deputy="a"),
        Person("c"),
    ]
    actor, _ = actor_named(staff, "c")
    assert actor is not None
    assert set(actor.grants) == {Role.AFTERSALE_AGENT}
    assert actor.deputises_for == []


@pytest.mark.parametrize(
    ("own", "lent", "counts"), [(100, 200, 200), (200, 100, 200), (None, 100, None), (100, None, None)]
)
def test_the_higher_limit_counts_where_a_role_comes_twice(
    own: int | None, lent: int | None, counts: int | None
) -> None:
    staff = [
        Person("a", roles=["aftersale_supervisor"], limit_fen=own),
        Person("b", roles=["aftersale_supervisor"], limit_fen=lent, present=False, deputy="a"),
    ]
    actor, _ = actor_named(staff, "a")
    assert actor is not None
    assert actor.grants == {Role.AFTERSALE_SUPERVISOR: counts}
