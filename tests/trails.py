"""What a case's trail says of messages that were refused."""

from __future__ import annotations

from casework.case import FORGOTTEN, CaseView, TrailLine


def refused_lines(view: CaseView) -> list[TrailLine]:
    """What the trail lists as refused, oldest first."""
    return [line for line in view.trail if not line.accepted and not _counts_older(line)]


def count_refused(view: CaseView) -> int:
    """How many messages the case has refused on the record: those that it lists, and the older ones it only counts."""
    forgotten = [int((line.why or "").split()[0]) for line in view.trail if _counts_older(line)]
    return len(refused_lines(view)) + sum(forgotten)


def _counts_older(line: TrailLine) -> bool:
    """Whether the case has written it about the refused messages that it lists no more: a stranger may name it too."""
    return (line.by, line.trigger) == ("system", FORGOTTEN)
