"""The port through which a message leaves: it hands one over, or says why not.

The log is the default; `casework.webhook` is the other one.
"""

from __future__ import annotations

import logging
from typing import Final, Protocol

from casework.shop.sending import Dispatch

LOGGER = logging.getLogger("casework.sending")
MOST_SECONDS: Final = 10.0
"""A port takes no longer than this for one message."""


class NotSent(Exception):
    """The message has not been handed over: one plain sentence that quotes nobody.

    `refused`: whoever is to have it does not want it as it is; otherwise it may work later.
    """

    def __init__(self, why: str, *, refused: bool = False) -> None:
        super().__init__(why)
        self.refused = refused


class Port(Protocol):
    """What sends a message on its way."""

    async def send(self, dispatch: Dispatch) -> None:
        """Hand the message over, within `MOST_SECONDS`.

        Raises:
            NotSent: it was not, or nobody knows whether it was. Anything else that is raised counts as that.

        """
        ...


class ToLog:
    """Writes a line to the log: what is said about which case, and to whom. Never the text: logs hold no words."""

    async def send(self, dispatch: Dispatch) -> None:
        """Log it."""
        facts = {"case": dispatch.case_id, "template": dispatch.template, "to": dispatch.to}
        if dispatch.to == "staff":
            facts |= {"role": dispatch.recipient or "", "people": ", ".join(dispatch.people) or "nobody is there"}
        LOGGER.info("message", extra=facts)
