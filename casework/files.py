"""Files that somebody names: read whole, unless they are larger than they may be."""

from __future__ import annotations

from pathlib import Path


def read_at_most(path: Path, most: int) -> bytes | None:
    """What a file holds; None: it is more than so many bytes. What a device holds has no size, and may have no end.

    Raises:
        OSError: it cannot be read.

    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    return content if len(content) <= most else None
