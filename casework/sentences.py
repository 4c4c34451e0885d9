"""What sentences have in common, wherever one is put together.

Imports nothing, so that `casework --help` answers at once.
"""


def full_stop(text: str) -> str:
    """The text on one line, with a full stop where it has no end of its own."""
    text = " ".join(text.split())
    return text if text.endswith((".", "?", "!")) else f"{text}."


def counted(number: int, noun: str) -> str:
    """So many of a thing, of which there may be one."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
