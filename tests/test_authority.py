"""Who may act in which role right now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casework.authority import Absence, acting_deputy, is_present, merged
from casework.authority import actor_named as actor_named_at
from casework.case import Actor
from state_machines.roles import Role

SHANGHAI = "Asia/Shanghai"
DAY = timedelta(days=1)
NOW = datetime(2026, 12, 3, 4, tzinfo=UTC)
FIRST, LAST = date(2026, 12, 1), date(2026, 12, 5)


@dataclass
class Person:
    id: str
    roles: list[str] = field(default_factory=lambda: ["aftersale_agent"])
    limit_fen: int | None = None
    present: bool = True
    deputy: str | None = None
    absences: Sequence[Absence] = ()
    gone: bool = False


def actor_named(staff: Sequence[Person], staff_id: str) -> tuple[Actor | None, str | None]:
    return actor_named_at(staff, staff_id, NOW)


def away(first: date = FIRST, last: date = LAST, zone: str = SHANGHAI) -> list[Absence]:
    return [Absence(first, last, zone)]


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


# --- absences with dates ---


@pytest.mark.parametrize(
    ("at", "there"),
    [
        ("2026-11-30T23:59:59+08:00", True),
        ("2026-12-01T00:00:00+08:00", False),
        ("2026-12-05T23:59:59+08:00", False),
        ("2026-12-06T00:00:00+08:00", True),
        ("2026-11-30T16:00:00+00:00", False),
        ("2026-12-05T16:00:00+00:00", True),
    ],
)
def test_an_absence_covers_its_first_and_last_day_as_the_shops_zone_has_them(at: str, *, there: bool) -> None:
    assert is_present(Person("a", absences=away()), datetime.fromisoformat(at)) is there


def test_a_refusal_says_until_when_and_who_deputises() -> None:
    staff = [Person("a", absences=away(), deputy="b"), Person("b")]
    assert actor_named(staff, "a") == (None, "a is absent until 2026-12-05; b deputises")


def test_an_absence_that_goes_on_the_next_day_is_one() -> None:
    one_after_the_other = [
        *away(),
        *away(date(2026, 12, 6), date(2026, 12, 8)),
        *away(date(2026, 12, 10), LAST + 9 * DAY),
    ]
    assert actor_named([Person("a", absences=one_after_the_other)], "a")[1] == "a is absent until 2026-12-08"


def test_nobody_knows_the_end_where_a_person_is_away_until_further_notice() -> None:
    assert actor_named([Person("a", present=False, absences=away())], "a")[1] == "a is absent"


def test_a_deputy_acts_only_during_the_absence() -> None:
    staff = [Person("a", roles=["finance_manager"], absences=away(), deputy="b"), Person("b")]
    during, _ = actor_named_at(staff, "b", NOW)
    after, _ = actor_named_at(staff, "b", NOW + timedelta(days=3))
    assert during is not None
    assert after is not None
    assert (Role.FINANCE_MANAGER in during.grants, during.stands_in_for) == (True, ["a"])
    assert (Role.FINANCE_MANAGER in after.grants, after.stands_in_for) == (False, [])
    assert during.deputises_for == after.deputises_for == ["a"]


def test_where_the_deputy_is_absent_too_the_refusal_names_who_really_acts_or_that_nobody_does() -> None:
    staff = [Person("a", absences=away(), deputy="b"), Person("b", present=False, deputy="c"), Person("c")]
    assert actor_named(staff, "a")[1] == "a is absent until 2026-12-05; c deputises"
    assert actor_named(staff[:2], "a")[1] == "a is absent until 2026-12-05, and so is whoever would deputise"


def test_who_has_left_may_not_act_and_lends_nothing_but_is_still_known_as_somebodys_principal() -> None:
    staff = [Person("a", roles=["finance_manager"], deputy="b", gone=True), Person("b")]
    assert actor_named(staff, "a") == (None, "a has left the shop")
    actor, _ = actor_named(staff, "b")
    assert actor is not None
    assert actor.grants == {Role.AFTERSALE_AGENT: None}
    assert (actor.deputises_for, actor.stands_in_for) == (["a"], [])


days = st.dates(date(2026, 11, 20), date(2026, 12, 20))
zones = st.sampled_from([SHANGHAI, "UTC", "America/Los_Angeles"])


@st.composite
def absences(draw: st.DrawFn) -> list[Absence]:
    zone = draw(zones)
    pairs = draw(st.lists(st.tuples(days, days), max_size=5))
    return [Absence(min(pair), max(pair), zone) for pair in pairs]


moments = st.integers(0, 34 * 24 * 60).map(
    lambda minutes: datetime(2026, 11, 18, tzinfo=UTC) + minutes * timedelta(minutes=1)
)


@given(absences(), moments)
def test_merging_absences_changes_no_day_and_leaves_gaps_between_them(noted: list[Absence], at: datetime) -> None:
    kept = merged(noted)
    assert any(one.covers(at) for one in kept) == any(one.covers(at) for one in noted)
    assert all(after.first > before.last + DAY for before, after in pairwise(kept))


IDS = "abcdef"


@st.composite
def staff_lists(draw: st.DrawFn) -> list[Person]:
    """Any staff list, also one that no import would take: with circles, strangers and people who have left."""
    return [
        Person(
            one,
            roles=[draw(st.sampled_from([*Role]))],
            present=draw(st.booleans()),
            deputy=draw(st.none() | st.sampled_from([*IDS, "stranger"])),
            absences=draw(absences()),
            gone=draw(st.integers(0, 5)) == 0,
        )
        for one in IDS
    ]


@given(staff_lists(), moments)
def test_whoever_acts_is_there_and_has_the_roles_of_those_who_are_not_and_lead_to_them(
    staff: list[Person], at: datetime
) -> None:
    members = {one.id: one for one in staff}
    lent: dict[str, list[str]] = {one: [] for one in IDS}
    for one in staff:
        deputy = acting_deputy(members, one, at)
        if deputy is not None:
            assert is_present(members[deputy], at)
            assert not is_present(one, at)
            assert not one.gone
            lent[deputy].append(one.id)
            # everybody between the two is absent
            between = one.deputy
            while between != deputy:
                assert between is not None
                assert not is_present(members[between], at)
                between = members[between].deputy
    for one in staff:
        actor, why = actor_named_at(staff, one.id, at)
        assert (actor is None) == (not is_present(one, at)) == (why is not None)
        if actor is not None:
            assert actor.stands_in_for == lent[one.id]
            assert set(actor.grants) == {role for name in [one.id, *lent[one.id]] for role in members[name].roles}
            assert set(actor.stands_in_for) <= set(actor.deputises_for)


@given(absences(), moments)
def test_the_last_day_that_a_refusal_names_is_absent_and_the_next_one_is_not(
    noted: list[Absence], at: datetime
) -> None:
    _, why = actor_named_at([Person("a", absences=noted)], "a", at)
    if why is not None:
        until = date.fromisoformat(why.rpartition(" ")[2])
        noon = datetime(until.year, until.month, until.day, 12, tzinfo=ZoneInfo(noted[0].zone))
        assert any(one.covers(noon) for one in noted)
        assert not any(one.covers(noon + DAY) for one in noted)
