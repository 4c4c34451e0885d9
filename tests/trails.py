"""What a case's trail says of messages that were refused."""

from __future__ import annotations

from casework.case import FORGOTTEN, CaseView, TrailLine


def refused_lines(view: CaseView) -> list[TrailLine]:
    """What the trail lists as refused, oldest first."""
    return [line for line in view.trail if not line.accepted and line.trigger != FORGOTTEN]


def count_refused(view: CaseView) -> int:
    """How many messages the case has refused on the record: those that it lists, and the older ones it only counts."""
    forgotten = [int((line.why or "0").split()[0]) for line in view.trail if line.trigger == FORGOTTEN]
    return len(refused_lines(view)) + sum(forgotten)
