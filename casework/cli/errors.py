"""How commands end: exit codes, and one plain sentence on stderr instead of a traceback."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
FAILED: Final = 1
"""Anything that is neither wrong usage nor a case's "no"."""
BAD_INPUT: Final = 2
"""Wrong usage, or input that is refused."""
REFUSED: Final = 3
"""The case refused: a "no" is not a fault."""


class Stop(Exception):
    """Ends the command with an exit code and, where there is one, a plain sentence on stderr."""

    def __init__(self, code: int, sentence: str = "") -> None:
        super().__init__(sentence)
        self.code = code


def bad_input(sentence: str) -> Stop:
    """Wrong usage or refused input."""
    return Stop(BAD_INPUT, sentence)
