"""What was measured: as a table for people, and whole as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.inbox import InboxTimes
from bench.long_runs import LongRun
from bench.measure import Batch, Memory
from bench.paths import SIDES
from casework.show import table as columns

BY_UPDATE = "casework by update"
"""A side beside the two: the same answers by update instead of by signal, for which bare has nothing."""
AT_MOST = 1.15
"""Worker CPU and wall time of a case, as a multiple of bare."""
MOVE_US = 25.0
"""A move of the machine, in microseconds."""
INBOX_AT_MOST = 1.5
"""An inbox, as a multiple of one plain question to Temporal's list for as many cases."""
RUN_EVENTS = 2_000
"""Below this many history events is every run of a case that tracks a parcel for months."""
PATROL_SECONDS, PATROL_EVENTS = 60, 500
"""Below these is a patrol over 10,000 shipments with which nothing is wrong, all its runs together."""
OPENING = 0.8
"""At least so fast is a batch, as a multiple of a bare loop of starts."""


@dataclass
class Results:
    """Every figure, as it was measured."""

    about: dict[str, Any]
    batches: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    cpu_at_once: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """By path, side and round: the worker's CPU while both sides play."""
    events: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict[str, dict[str, dict[str, int]]])
    """By path and side: how many events of which type a case has."""
    more_events: dict[str, int | None] = field(default_factory=dict[str, "int | None"])
    """By path, how many history events beyond bare are allowed; None: nobody has set a target."""
    replays: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    moves: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    memory: dict[str, Memory] = field(default_factory=dict[str, Memory])
    openings: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """By side and round: how many cases were opened a second."""
    inbox: InboxTimes | None = None
    """An inbox while very many cases are open."""
    tracked: LongRun | None = None
    """A parcel that was tracked for months."""
    patrolled: LongRun | None = None
    """A patrol over many shipments."""

    def batch(self, path: str, side: str, number: int, taken: Batch) -> None:
        """Keep what a batch took."""
        self.batches.append({"path": path, "side": side, "round": number, **asdict(taken)})

    def at_once(self, path: str, number: int, cpu_ms: Mapping[str, float]) -> None:
        """Keep what the workers took of a processor while both sides played."""
        self.cpu_at_once += [{"path": path, "side": side, "round": number, "ms": ms} for side, ms in cpu_ms.items()]

    def replay(self, side: str, number: int, events: int, ms: float) -> None:
        """Keep what a replay took."""
        self.replays.append({"side": side, "round": number, "events": events, "ms": ms})

    def opening(self, side: str, number: int, a_second: float) -> None:
        """Keep how fast cases were opened."""
        self.openings.append({"side": side, "round": number, "a_second": a_second})

    def write(self, folder: Path) -> Path:
        """Write everything into a new file of the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.about['started']:%Y%m%d-%H%M%S}-{self.about['commit'][:8]}.json"
        memory = {side: {**asdict(taken), "kib_a_case": taken.kib_a_case} for side, taken in self.memory.items()}
        whole = {**asdict(self), "memory": memory}
        file.write_text(json.dumps(whole, indent=1, default=str) + "\n", "utf-8")
        return file


def about(server_version: str, flow: str, rounds: int, cases: int, alone: int) -> dict[str, Any]:
    """What was measured, on what machine, with which versions."""
    git = ["git", "-C", str(Path(__file__).parent)]
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False).stdout
    return {
        "started": datetime.now(UTC),
        "commit": commit or "unknown",
        "changed_since": bool(changed.strip()),
        "flow": flow,
        "rounds": rounds,
        "cases_at_once": cases,
        "cases_alone": alone,
        "interrupted": False,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
        "temporalio": version("temporalio"),
        "pydantic": version("pydantic"),
        "transitions": version("transitions"),
        "temporal_server": server_version,
    }


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text("utf-8").splitlines() if listed.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


_MEASURED = (
    ("cpu_ms", "worker CPU in turn, ms a case", None),
    ("wall_ms", "wall time, ms a case", AT_MOST),
    ("alone_ms", "a case alone, ms", None),
)


def table(results: Results) -> str:
    """Medians with lowest and highest of the rounds, the ratio of the two sides round by round, and the target."""
    rows: list[list[str]] = [["", "casework", "bare", "ratio", "target", ""]]
    for path in dict.fromkeys(one["path"] for one in results.batches):
        casework, bare = (_figures(results.cpu_at_once, side, "ms", path=path) for side in SIDES)
        rows.append([f"{path}: worker CPU, ms a case", *compared(casework, bare, AT_MOST)])
        for key, what, target in _MEASURED:
            casework, bare = (_figures(results.batches, side, key, path=path) for side in SIDES)
            rows.append([f"{path}: {what}", *compared(casework, bare, target)])
    for path, sides in results.events.items():
        casework, bare = (sum(sides.get(side, {}).values()) for side in SIDES)
        more = results.more_events.get(path)
        target = ["", ""] if more is None else [f"+{more}", _met(casework - bare <= more)]
        rows.append([f"{path}: history events", str(casework), str(bare), f"+{casework - bare}", *target])
    for key, what, _ in _MEASURED:
        by_update = _figures(results.batches, BY_UPDATE, key)
        if by_update:
            rows.append([f"answers by update: {what}", _spread(by_update), "", "", "", ""])
    if results.moves:
        medians = [statistics.median(round_.values()) for round_ in results.moves]
        slowest = [max(round_.values()) for round_ in results.moves]
        for what, taken in (("the machine, µs a move", medians), ("the machine's slowest move, µs", slowest)):
            rows.append([what, _spread(taken), "", "", f"{MOVE_US:g}", _met(statistics.median(taken) <= MOVE_US)])
    if results.replays:
        events = "/".join(str(next(one["events"] for one in results.replays if one["side"] == side)) for side in SIDES)
        casework, bare = (_figures(results.replays, side, "ms") for side in SIDES)
        rows.append([f"replay of {events} events, ms", *compared(casework, bare, None)])
    if results.memory:
        cells = [f"{results.memory[side].kib_a_case:.0f}" if side in results.memory else "" for side in SIDES]
        cases = next(iter(results.memory.values())).cases
        rows.append([f"memory with {cases} open cases, KiB a case", *cells, "", "", ""])
    if results.openings:
        casework, bare = (_figures(results.openings, side, "a_second") for side in SIDES)
        ratios = [ours / theirs for ours, theirs in zip(casework, bare, strict=False)]
        met = _met(statistics.median(ratios) >= OPENING) if ratios else ""
        figures = [_spread(casework), _spread(bare), _spread(ratios)]
        rows.append(["a batch opens, cases a second", *figures, f"≥ {OPENING:g}", met])
    return columns(rows + _inbox(results) + _long_runs(results))


def _inbox(results: Results) -> list[list[str]]:
    """The inbox beside one plain question to Temporal's list, in the place of bare."""
    inbox = results.inbox
    if inbox is None:
        return []
    what = f"inbox of {inbox.page} of {inbox.cases} open cases, beside one visibility query for them, ms"
    return [[what, *compared(inbox.inbox_ms, inbox.query_ms, INBOX_AT_MOST)]]


def _long_runs(results: Results) -> list[list[str]]:
    rows: list[list[str]] = []
    tracked, patrolled = results.tracked, results.patrolled
    if tracked is not None:
        what, longest = f"a parcel tracked for {tracked.of} days", max(tracked.events)
        within = [f"< {RUN_EVENTS}", _met(longest < RUN_EVENTS)]
        rows.append([f"{what}: events of the longest of {len(tracked.events)} runs", str(longest), "", "", *within])
    if patrolled is not None:
        what, events = f"patrol over {patrolled.of} shipments", sum(patrolled.events)
        soon, few = _met(patrolled.seconds < PATROL_SECONDS), _met(events < PATROL_EVENTS)
        rows.append([f"{what}: seconds", f"{patrolled.seconds:.1f}", "", "", f"< {PATROL_SECONDS}", soon])
        rows.append([f"{what}: history events", str(events), "", "", f"< {PATROL_EVENTS}", few])
    return rows


def _met(within: bool) -> str:  # noqa: FBT001 - the answer in words
    return "met" if within else "missed"


def _figures(kept: Sequence[dict[str, Any]], side: str, key: str, **only: str) -> list[float]:
    """A figure of a side, round by round."""
    return [one[key] for one in kept if one["side"] == side and only.items() <= one.items()]


def compared(casework: Sequence[float], bare: Sequence[float], target: float | None) -> list[str]:
    """Both sides, the ratio round by round, and whether its median is within the target; as cells of a table."""
    # the two sides of one round ran one after the other: what else the machine did is in both
    ratios = [ours / theirs for ours, theirs in zip(casework, bare, strict=False)]
    met = "" if target is None or not ratios else _met(statistics.median(ratios) <= target)
    return [_spread(casework), _spread(bare), _spread(ratios), "" if target is None else f"{target:g}", met]


def _spread(figures: Sequence[float]) -> str:
    if not figures:
        return ""
    digits = 2 if max(figures) < 10 else 1
    middle, low, high = (f"{one:.{digits}f}" for one in (statistics.median(figures), min(figures), max(figures)))
    return f"{middle} ({low} to {high})"
