"""What sentences have in common, wherever one is put together.

Imports nothing, so that `casework --help` answers at once.
"""

MOST_REPEATED = 60
"""Characters of a text that is refused."""


def full_stop(text: str) -> str:
    """The text on one line, with a full stop where it has no end of its own."""
    text = " ".join(text.split())
    return text if text.endswith((".", "?", "!")) else f"{text}."


def counted(number: int, noun: str) -> str:
    """So many of a thing, of which there may be one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def shortened(text: str) -> str:
    """As much of a text that is refused as a sentence repeats."""
    return text if len(text) <= MOST_REPEATED else f"{text[:MOST_REPEATED]}…"


def quoted(text: str) -> str:
    """A text that is refused, as a sentence repeats it: in quotation marks, and not at length."""
    return repr(text) if len(text) <= MOST_REPEATED else f"{text[:MOST_REPEATED]!r}…"
