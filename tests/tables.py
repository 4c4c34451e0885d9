"""What every flow's table is held against: the specification's rows, who calls a case off, what its guards say.

The flow's own test writes the rows down by hand: they are the independent copy of the specification's table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from state_machines.common import CANCEL, nothing_paid
from state_machines.roles import Automatic, Role
from state_machines.table import Attempt, Flow, Guard

Row = tuple[str, str | Sequence[str], str, Sequence[str], Sequence[str]]
"""A row as the specification has it: trigger, from (one state or several), to, who, the guards by name."""
Place = tuple[str, str]
"""A trigger, and a state in which it may be fired."""
GuardCase = tuple[Guard[Any], bool, Attempt[Any]]
"""A guard, and whether it holds for an attempt."""

_Rest = tuple[str, Sequence[str], Sequence[str]]
"""What a row says besides its place: to, who, only if."""
_UNDO = "undo"
"""What a case that is called off fires once everything is undone."""


def require_rows(
    flow: Flow[Any],
    rows: Iterable[Row],
    *,
    ours: Iterable[Row] = (),
    conditions: Mapping[Place, Collection[str]] | None = None,
) -> None:
    """Fail unless the table has these rows and no others, those of one place in the order in which they are tried.

    Args:
        flow: the flow; how it is called off is held by `require_called_off`.
        rows: the specification's.
        ours: rows that we put beside them, tried before them in their place.
        conditions: guards, by name, that we put on all rows of a place.

    """
    added = conditions or {}
    wanted = _by_place([*ours, *rows])
    found = _by_place(
        (row.trigger, row.source, row.dest, [str(who) for who in row.who], [one.name for one in row.only_if])
        for row in flow.moves
        if row.trigger not in (CANCEL, _UNDO)
    )
    for place, names in added.items():
        for _, _, guards in found.get(place, []):
            assert set(names) <= set(guards), f"{place} lacks a condition of ours"
    as_specified = {place: [_without(added.get(place, ()), row) for row in there] for place, there in found.items()}
    assert as_specified == wanted


def _by_place(rows: Iterable[Row]) -> dict[Place, list[_Rest]]:
    places: dict[Place, list[_Rest]] = {}
    for trigger, sources, dest, who, guards in rows:
        for source in [sources] if isinstance(sources, str) else sources:
            places.setdefault((trigger, source), []).append((dest, list(who), list(guards)))
    return places


def _without(names: Collection[str], row: _Rest) -> _Rest:
    dest, who, guards = row
    return dest, who, [one for one in guards if one not in names]


def require_called_off(
    flow: Flow[Any], by: Collection[Role], sources: Collection[str], *, not_by_temporal: Collection[str] = ()
) -> None:
    """Fail unless these roles, and Temporal's own cancel, call a case off from these states, before money is sent.

    `not_by_temporal`: the states among them in which Temporal's own cancel does nothing.
    """
    rows = {row.source: row for row in flow.rows_of(CANCEL)}
    assert len(rows) == len(flow.rows_of(CANCEL)), "a state has two rows for calling off"
    assert rows.keys() == set(sources)
    for source, row in rows.items():
        automatic = set[Automatic]() if source in not_by_temporal else {Automatic.SYSTEM}
        assert (row.dest, set(row.who), row.only_if) == ("cancelling", {*by, *automatic}, (nothing_paid,))
    (undo,) = flow.rows_of(_UNDO)
    assert (undo.source, undo.dest, undo.who, undo.only_if) == ("cancelling", "cancelled", (Automatic.SYSTEM,), ())


def going_on(flow: Flow[Any]) -> set[str]:
    """The states that are no end."""
    return {name for name in flow.states if not flow.is_final(name)}


def require_guards(flow: Flow[Any], cases: Iterable[GuardCase]) -> None:
    """Fail unless every guard of the flow holds where it is said to, is tried true and false, and has its words.

    `nothing_paid` is every flow's: it is tried in tests/test_guards.py.
    """
    tried: dict[bool, set[str]] = {True: set(), False: set()}
    wrong: list[str] = []
    for number, (guard, holds, attempt) in enumerate(cases):
        tried[holds].add(guard.name)
        if guard.holds(attempt) is not holds:
            wrong.append(f"case {number}: {guard.name} must be {holds}")
    assert wrong == []
    used = {guard.name: guard for row in flow.moves for guard in row.only_if}
    for guard in used.values():
        assert guard.label.zh, guard.name
        assert guard.label.en, guard.name
        assert guard.label.zh != guard.label.en, guard.name
    del used[nothing_paid.name]
    assert tried == {True: used.keys(), False: used.keys()}
