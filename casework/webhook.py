"""The webhook: each message is posted as signed JSON to an address of the shop's own, a chat robot's for example.

Headers: `Casework-Id`, `Casework-Timestamp` (seconds since 1970) and `Casework-Signature`, which is `sha256=` and the
HMAC-SHA256, in hexadecimal digits, of the timestamp, a full stop and the body. Whoever gets the same id again has had
the message already.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Template
from typing import Any, Final, cast

import httpx

from casework.delivery import MOST_SECONDS, NotDelivered
from casework.settings import Language, SettingsError
from casework.shop.deliveries import Dispatch
from state_machines.roles import Label, Role

LATER: Final = (408, 429)
"""Of the answers 4xx, those that say: not now."""
_NOBODY = Label("当前无人在岗", "nobody is there")
MOST_OF_AN_ANSWER: Final = 10_000
"""Bytes of an answer that are looked into."""


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What proves that a delivery is ours, and as old as it says; `timestamp`: seconds since 1970, as digits."""
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


def body_of(dispatch: Dispatch, language: Language) -> dict[str, Any]:
    """All that is known of a message, as JSON; the names are the placeholders of a template too.

    `text` is what people read; that for the staff ends with the staff ids whom it is for.
    """
    return {
        "id": dispatch.id,
        "at": dispatch.at.isoformat(),
        "to": dispatch.to,
        "case_id": dispatch.case_id,
        "order_id": dispatch.order_id,
        "flow": dispatch.flow,
        "template": dispatch.template,
        "recipient": dispatch.recipient,
        "people": list(dispatch.people),
        "parameters": dict(dispatch.parameters),
        "text": _text(dispatch, language),
        "text_zh": dispatch.text_zh,
        "text_en": dispatch.text_en,
    }


def _text(dispatch: Dispatch, language: Language) -> str:
    text = Label(dispatch.text_zh, dispatch.text_en).in_language(language)
    if dispatch.to == "buyer":
        return text
    who = ", ".join(dispatch.people)
    if not who:
        role = next((role.label.in_language(language) for role in Role if role == dispatch.recipient), None)
        who = f"{role or dispatch.recipient}: {_NOBODY.in_language(language)}"
    return f"{text} [{who}]"


NAMES: Final = frozenset(
    (
        *("id", "at", "to", "case_id", "order_id", "flow"),
        *("template", "recipient", "people", "parameters"),
        *("text", "text_zh", "text_en"),
    )
)
"""What a template may name."""


def read_template(file: Path) -> Any:
    """How a delivery's body is to look: JSON whose texts hold `$text`, `$case_id` and the like.

    Raises:
        SettingsError: one plain sentence.

    """
    setting = "CASEWORK_WEBHOOK_TEMPLATE"
    try:
        template = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{setting}: {file} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise SettingsError(f"{setting}: {file} is not JSON in UTF-8.") from None
    for text in _texts(template):
        placeholders = Template(text)
        unknown = sorted(set(placeholders.get_identifiers()) - NAMES)
        if unknown or not placeholders.is_valid():
            what = f"knows no ${unknown[0]}" if unknown else f"has a $ that names nothing in {text!r} (write $$)"
            raise SettingsError(f"{setting}: {file} {what}; there is ${', $'.join(sorted(NAMES))}.")
    return template


def _texts(template: Any) -> list[str]:
    if isinstance(template, str):
        return [template]
    if isinstance(template, Mapping):
        return [text for one in cast("Mapping[str, Any]", template).values() for text in _texts(one)]
    if isinstance(template, list):
        return [text for one in cast("list[Any]", template) for text in _texts(one)]
    return []


def filled(template: Any, values: Mapping[str, Any]) -> Any:
    """The template with its placeholders filled in: a text that is nothing but one becomes the value itself."""
    if isinstance(template, str):
        name = template.removeprefix("$").strip("{}")
        if template in (f"${name}", f"${{{name}}}") and name in values:
            return values[name]
        return Template(template).safe_substitute({name: _as_text(value) for name, value in values.items()})
    if isinstance(template, Mapping):
        return {name: filled(one, values) for name, one in cast("Mapping[str, Any]", template).items()}
    if isinstance(template, list):
        return [filled(one, values) for one in cast("list[Any]", template)]
    return template


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(str, cast("list[Any]", value)))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


class WebhookDelivery:
    """Posts each message to one address."""

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        language: Language,
        template: Any = None,
        seconds: float = MOST_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`secret` signs each post; `language` is that of `text`; `template`: see `read_template` (None: all of
        `body_of` is posted); `seconds`: how long one post may take in all; `clock` tells the seconds since 1970.
        """
        self._url = url
        self._secret = secret
        self._language: Language = language
        self._template = template
        self._seconds = seconds
        self._clock = clock

    async def deliver(self, dispatch: Dispatch) -> None:
        """Post it, and judge by the answer whether it was taken.

        Raises:
            NotDelivered: see `refused`; an answer 4xx that is not one of `LATER`, or a redirection, refuses.

        """
        values = body_of(dispatch, self._language)
        content = values if self._template is None else filled(self._template, values)
        body = json.dumps(content).encode()
        timestamp = str(int(self._clock()))
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "casework",
            "Casework-Id": dispatch.id.encode().decode("ascii", "replace"),
            "Casework-Timestamp": timestamp,
            "Casework-Signature": signature(self._secret, timestamp, body),
        }
        try:
            async with (
                asyncio.timeout(self._seconds),
                httpx.AsyncClient(timeout=self._seconds) as client,
                client.stream("POST", self._url, content=body, headers=headers) as answer,
            ):
                _judge(answer.status_code, await _beginning(answer))
        except TimeoutError:
            raise NotDelivered(f"the receiver did not answer within {self._seconds:.0f} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            # not what it says: that may hold the address, and a chat robot's address its key
            raise NotDelivered(f"the receiver could not be reached ({type(error).__name__})") from None


async def _beginning(answer: httpx.Response) -> bytes:
    said = b""
    async for part in answer.aiter_bytes():
        said += part
        if len(said) > MOST_OF_AN_ANSWER:
            break
    return said


def _judge(status: int, said: bytes) -> None:
    if 300 <= status < 500 and status not in LATER:
        raise NotDelivered(f"the receiver answered {status}", refused=True)
    if not 200 <= status < 300:
        raise NotDelivered(f"the receiver answered {status}")
    code = _robots_code(said)
    if code:
        raise NotDelivered(f"the receiver answered errcode {code}")


def _robots_code(said: bytes) -> int:
    """Chat robots (DingTalk, WeCom) answer 200 also where they take nothing, and say so by `errcode`; 0: it is well."""
    try:
        answer: Any = json.loads(said)
    except (ValueError, RecursionError):  # no JSON, or JSON so deep that it cannot be read
        return 0
    code = cast("dict[str, Any]", answer).get("errcode") if isinstance(answer, dict) else None
    return code if isinstance(code, int) else 0
