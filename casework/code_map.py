"""Where what is, module by module, from the first sentence of each module's docstring: `docs/map.md`."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path

from casework.diagram import markdown_table

LIBRARY: Mapping[str, str] = {
    "What a case is": "case changes deadlines dues fields hours lookups messages money names parcels standing waiting",
    "Rules and figures": "authority policy privacy reading rules",
    "Opening, asking and acting on cases": """
        batch client details diagram evidence execution forecast inbox opening show show_waiting svg templates why
    """,
    "Running it": """
        connection converter courier instance logs metrics monitoring patrol port sandbox schedule sending server
        server_download server_program server_running settings webhook
    """,
    "Operators": "repair verifying",
    "Commands and demo": "cli demo sample_shop skipping",
    "Made from the tables and the code": "code_map generate",
    "What all of these share": "errors files leaving parts sentences",
    "The embedded shop": "shop",
}
"""The modules and packages of `casework/`, by what they are for."""
SHOP: Mapping[str, str] = {
    "Cases in the shop": """
        claimants claims fencing handing_over holds known_flows mending notices records releasing runs steps waiting
    """,
    "Orders and money": "ahead amounts bulk dues flags gifts orders payments platform returning settling states",
    "Goods and parcels": """
        coming_back courier following goods_tasks losses lying_here parcels patrol pieces remaining reshipments shelf
        shipments stock tracking
    """,
    "People and messages": "outbox sending staff staff_file",
    "Beneath": "database errors faults importing migrations outside tables",
}
"""The same of `casework/shop/`."""
BEFORE = ("state_machines", "state_machines/laws", "workflows", "activities")
AFTER = ("casework/rules", "casework/verifying")
"""Packages whose modules are listed as they are, before those that are grouped and after."""


class UnmappedModule(Exception):
    """A module stands in no group, or is named in one and is not there: one plain sentence that says which."""


def code_map(root: Path) -> str:
    """The page.

    Raises:
        UnmappedModule: a module stands in no group, or is named in one and is not there.

    """
    parts = ["# Where things are, module by module\n"]
    for folder in BEFORE:
        parts += [f"## `{folder}/`\n", _said_of(root / folder), _listed(root / folder, _modules(root / folder))]
    parts += _grouped(root, "casework", LIBRARY) + _grouped(root, "casework/shop", SHOP)
    for folder in AFTER:
        parts += [f"## `{folder}/`\n", _listed(root / folder, _modules(root / folder))]
    return "\n".join(parts)


def _grouped(root: Path, folder: str, groups: Mapping[str, str]) -> list[str]:
    there, named = set(_modules(root / folder)), [name for names in groups.values() for name in names.split()]
    wrong = there.symmetric_difference(named)
    if wrong or len(named) != len(set(named)):
        raise UnmappedModule(f"casework/code_map.py: {folder}: {', '.join(sorted(wrong)) or 'a module is named twice'}")
    parts = [f"## `{folder}/`\n", _said_of(root / folder)]
    for group, names in groups.items():
        parts += [f"### {group}\n", _listed(root / folder, sorted(names.split()))]
    return parts


def _modules(folder: Path) -> list[str]:
    """The names of a package's modules and packages, without what only begins with an underscore."""
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    return sorted(name for name in modules if not name.startswith("_"))


def _listed(folder: Path, names: Sequence[str]) -> str:
    return markdown_table(("module", "what it is"), [(f"`{name}`", _first_sentences(folder, name)) for name in names])


def _said_of(folder: Path) -> str:
    return f"{_docstring(folder / '__init__.py')}\n"


def _first_sentences(folder: Path, name: str) -> str:
    package = folder / name / "__init__.py"
    return _docstring(package if package.exists() else folder / f"{name}.py")


def _docstring(path: Path) -> str:
    """The first paragraph of a module's docstring, on one line."""
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(said.split("\n\n")[0].split())
