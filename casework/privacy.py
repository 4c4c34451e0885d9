"""Finds a buyer's personal data in a text, so that it never gets into Temporal or a log. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_OURS = ("activities", "casework", "state_machines", "temporalio", "workflows")
NOT_REPEATED = "its text is not repeated here, as it may quote what somebody wrote"

_SEPARATOR = r"[\s\u00ad\u200b-\u200f\u2010-\u2015\u2060\ufeff.,_/·-]{0,3}"
_MOBILE = re.compile(
    # neither the middle of a longer number, nor the digits of a waybill, before which stand two capitals (YT, SF) or
    # the four of JD's (JDVB) and nothing else: a longer word (TEL) is no waybill
    r"(?<![0-9])(?<!(?<![A-Za-z])[A-Z]{2})(?<!(?<![A-Za-z])JD[A-Z]{2})"
    rf"(?:\(?(?:\+|00)?\s?86\)?{_SEPARATOR})?"
    rf"1{_SEPARATOR}[3-9](?:{_SEPARATOR}[0-9]){{9}}"
    r"(?![0-9])"
)
_CONTACT = re.compile(rf"(?:[VW]X|QQ){_SEPARATOR}:?{_SEPARATOR}1[3-9][0-9]{{9}}(?![0-9])", re.IGNORECASE)
"""Two letters that stand before a number to ring or to add (WeChat, QQ), and never before a waybill's digits."""
_NOISE = re.compile(r"[\W_]+")
_POSTCODE = re.compile(r"\(\s*\d{6}\s*\)")
_REGION = re.compile(r"(?:省|自治区|特别行政区|市|自治州|地区|盟|区|县|旗|镇|乡|街道)$")
MIN_NAME, MIN_ADDRESS, MIN_ACCOUNT, MIN_WORDS = 2, 4, 6, 10
"""Fewer characters than these, with noise left out, say nothing about a person."""


@dataclass(frozen=True, slots=True)
class Personal:
    """What the shop knows of an order's buyer, and no case may hold. Never send it to Temporal."""

    names: Sequence[str] = ()
    addresses: Sequence[str] = ()
    accounts: Sequence[str] = ()
    """Payment account and telephone numbers."""
    words: Sequence[str] = ()
    """What the buyer wrote: a text may not quote a whole message (short ones are anybody's words)."""


def find_mobile_number(text: str) -> bool:
    """Whether the text holds a Chinese mobile number, also with spaces, hyphens, +86 or full-width digits.

    An order id or a waybill is not one: those have more digits, or capital letters before them.
    """
    text = unicodedata.normalize("NFKC", text)
    return (_MOBILE.search(text) or _CONTACT.search(text)) is not None


def personal_text(text: str, personal: Personal) -> str | None:
    """One sentence if the text holds something of the buyer's; else None. It does not repeat what it found.

    Of an address the street counts too; a region alone (province, city, district) is not personal.
    """
    plain = _plain(text)
    held = {
        "name": _long_enough(personal.names, MIN_NAME),
        "address": [part for address in personal.addresses for part in _telling_parts(address)],
        "account or telephone number": _long_enough(personal.accounts, MIN_ACCOUNT),
        "own words": _long_enough(personal.words, MIN_WORDS),
    }
    for what, parts in held.items():
        if any(part in plain for part in parts):
            return f"the text holds the buyer's {what}; cases hold no personal data"
    return None


def personal_id(identifier: str, personal: Personal) -> bool:
    """Whether a sender's own id holds the buyer's name or number; a short one may stand in any UUID by chance."""
    plain = _plain(identifier)
    telling = _long_enough([*personal.names, *personal.accounts], MIN_ACCOUNT)
    return any(part in plain for part in telling) or plain in map(_plain, personal.names)


def said_by(error: BaseException) -> str:
    """What an error says, for logs and for Temporal: a sentence of ours, of Temporal's, or the database's first line.

    Anybody else's text may quote what it could not read.
    """
    package = type(error).__module__.partition(".")[0]
    original = getattr(error, "orig", None)
    if package in _OURS:
        return str(error)
    if package == "sqlalchemy" and original is not None:
        # what follows the first line (PostgreSQL's DETAIL) quotes the row
        return f"{type(original).__name__}: {(str(original).splitlines() or [''])[0]}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return NOT_REPEATED


def _long_enough(texts: Sequence[str], shortest: int) -> list[str]:
    return [plain for plain in map(_plain, texts) if len(plain) >= shortest]


def _telling_parts(address: str) -> list[str]:
    """The whole address, and its street and number alone: what follows the last region."""
    words = _POSTCODE.sub(" ", unicodedata.normalize("NFKC", address)).split()
    street = list(words)
    while len(street) > 1 and _REGION.search(street[0]):
        street.pop(0)
    parts = {_plain("".join(words)), _plain("".join(street)), _plain(words[-1]) if words else ""}
    return [part for part in parts if len(part) >= MIN_ADDRESS]


def _plain(text: str) -> str:
    """What is left of a text without case, width, spaces and punctuation."""
    return _NOISE.sub("", unicodedata.normalize("NFKC", text)).casefold()
