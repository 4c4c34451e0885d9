"""The commands that look at the policy in force."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from casework.cli.running import Desk, print_json, sentences
from casework.policy import FigureValue, Policy, describe, load_policy
from casework.show import table


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
