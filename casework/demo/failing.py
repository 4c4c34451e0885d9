"""How a demo fails."""

from __future__ import annotations


class DemoFailed(Exception):
    """Something did not come out as it must; the message says what."""
