"""The logs: one chain for our own lines and those of Temporal and SQLAlchemy, and no personal data.

Importing it changes nothing and does no I/O: the cases inside Temporal import it too. `configure_logs` is for
programs; until it has run, moves are logged as far as standard logging is set up, so by default not at all.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from casework.privacy import said_by

DROPPED = "[dropped]"
PERSONAL_KEYS = frozenset(
    {
        "account",
        "address",
        "alipay",
        "buyer",
        "chat",
        "content",
        "description",
        "memo",
        "message_text",
        "mobile",
        "name",
        "nick",
        "note",
        "payload",
        "phone",
        "reason",
        "receiver",
        "recipient",
        "signer",
        "text",
        "why",
    }
)
"""What may hold a person's name, phone, address or words."""
_PERSONAL_ENDINGS = tuple(f"_{personal}" for personal in sorted(PERSONAL_KEYS))
NOISY = ("alembic", "transitions", "sqlalchemy", "temporalio", "httpx", "httpcore")
"""Libraries of which only warnings and worse are logged: what httpx says of itself holds a chat robot's key."""

_MOBILE_NUMBER = re.compile(r"(?<![0-9])1[3-9][0-9]{9}(?![0-9])")
_moves = logging.getLogger("casework.moves")


def move_logged(*, case: str, trigger: str, source: str, dest: str, by: str, role: str | None) -> None:
    """Log one accepted move: who (`by`, in which role) moved which case by which trigger from where to where.

    A case calls it only while it is not replaying.
    """
    facts = {"case": case, "trigger": trigger, "source": source, "dest": dest, "by": by, "role": role}
    _moves.info("move", extra=facts)


def configure_logs(stream: TextIO | None = None, *, level: int = logging.INFO) -> None:
    """Send all logs of this process to `stream` (default: standard error): readable on a terminal, else JSON lines.

    Times are ISO 8601 in UTC. A second call replaces what the first set up, and nothing else.
    """
    target: TextIO = sys.stderr if stream is None else stream
    chain: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *chain,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = _Handler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*chain, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(_traceback),
                drop_personal_data,
                _renderer(target),
            ],
        )
    )
    root = logging.getLogger()
    for earlier in [one for one in root.handlers if isinstance(one, _Handler)]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(level)
    for name in NOISY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


def drop_personal_data(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put a mark in the place of what may be personal, at any depth, and of every mobile number in any text."""
    return cast("EventDict", _without_personal(event))


def _without_personal(value: Any) -> Any:
    if value is None:
        return None
    # each `isinstance` is four calls of Python's own in Temporal's sandbox, from where moves are logged
    if type(value) is str or isinstance(value, str):
        return _MOBILE_NUMBER.sub(DROPPED, value)
    if isinstance(value, Mapping):
        items = cast("Mapping[Any, Any]", value).items()
        return {key: DROPPED if _is_personal(key) else _without_personal(inner) for key, inner in items}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_personal(inner) for inner in cast("list[Any]", value)]
    return value


@lru_cache(maxsize=1_000)
def _is_personal(key: Any) -> bool:
    return isinstance(key, str) and (key.lower() in PERSONAL_KEYS or key.lower().endswith(_PERSONAL_ENDINGS))


def _traceback(exc_info: ExcInfo) -> str:
    """Where an error and its causes were raised, oldest first, and what they say where that quotes nobody."""
    told: list[str] = []
    error: BaseException | None = exc_info[1]
    while error is not None:
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        told.insert(0, "".join(traceback.format_tb(error.__traceback__)) + f"{kind}: {said_by(error)}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\n".join(told)


class _Handler(logging.StreamHandler[TextIO]):
    """Ours: a second `configure_logs` finds it by its type."""


def _renderer(stream: TextIO) -> Processor:
    if stream.isatty():
        return structlog.dev.ConsoleRenderer(colors=not os.environ.get("NO_COLOR"))
    return structlog.processors.JSONRenderer(ensure_ascii=False)
