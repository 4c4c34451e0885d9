"""What a run of the tests measured, told at its end: pytest keeps what a passing test prints to itself."""

from __future__ import annotations

FIGURES: list[object] = []


def tell(figure: object) -> None:
    """Have a line shown at the end of the run: what `figure` says of itself then."""
    FIGURES.append(figure)
