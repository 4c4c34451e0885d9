"""The commands that look at what is in force: the policy and the staff."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from casework.cli.running import Desk, print_json, sentences
from casework.money import format_yuan
from casework.policy import FigureValue, Policy, describe, load_policy
from casework.shop.staff import all_staff
from casework.show import role_name, table, word


def show_policy(*, as_json: bool) -> None:
    """`casework policy`."""
    with sentences():
        desk = Desk()
        policy = desk.policy
    source = desk.settings.policy
    if as_json:
        figures = [asdict(row) for row in describe(policy)]
        print_json({"version": policy.version, "file": source, "figures": figures})
        return
    print(f"{policy.version}, {source or 'the one shipped'}")
    print(_figures(policy))


def _figures(policy: Policy) -> str:
    rows = [("key", "value", "unit", "clock", "default")]
    rows.extend(
        (
            f"{row.key}{' *' if row.changed else ''}",
            _text(row.value),
            row.unit,
            row.clock or "",
            _text(row.default) if row.changed else "",
        )
        for row in describe(policy)
    )
    return table(rows)


def _text(value: FigureValue) -> str:
    return ", ".join(str(one) for one in value) if isinstance(value, tuple) else str(value)


def check_policy(file: Path, *, as_json: bool) -> None:
    """`casework policy check`."""
    with sentences():
        policy = load_policy(file)
    if as_json:
        print_json({"valid": True, "version": policy.version})
    else:
        print(f"{file} is valid: version {policy.version}.")


def show_staff(*, as_json: bool) -> None:
    """`casework staff`."""
    with sentences():
        desk = Desk()
        with desk.shop.reading() as session:
            staff = all_staff(session)
    if as_json:
        print_json(
            [
                {
                    "id": one.id,
                    "name": one.name,
                    "roles": list(one.roles),
                    "limit_fen": one.limit_fen,
                    "present": one.present,
                    "deputy": one.deputy,
                }
                for one in staff
            ]
        )
        return
    language = desk.language
    rows = [[word(name, language) for name in ("staff", "name", "roles", "limit", "present", "deputy")]]
    rows.extend(
        [
            one.id,
            one.name,
            ", ".join(role_name(role, language) for role in one.roles),
            "" if one.limit_fen is None else format_yuan(one.limit_fen),
            word("yes" if one.present else "no", language),
            one.deputy or "",
        ]
        for one in staff
    )
    print(table(rows))
