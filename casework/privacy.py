"""Finds a buyer's personal data in a text, so that it never gets into Temporal. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

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
_POSTCODE = re.compile(r"[((]\s*\d{6}\s*[))]")
_REGION = re.compile(r"(?:省|自治区|特别行政区|市|自治州|地区|盟|区|县|旗|镇|乡|街道)$")
MIN_NAME, MIN_ADDRESS = 2, 4
"""Fewer characters than these, with noise left out, say nothing about a person."""


def find_mobile_number(text: str) -> bool:
    """Whether the text holds a Chinese mobile number, also with spaces, hyphens, +86 or full-width digits.

    An order id or a waybill is not one: those have more digits, or capital letters before them.
    """
    text = unicodedata.normalize("NFKC", text)
    return (_MOBILE.search(text) or _CONTACT.search(text)) is not None


def personal_text(text: str, *, names: Sequence[str], addresses: Sequence[str]) -> str | None:
    """One sentence if the text holds one of the names, or one of the addresses or its street; else None.

    A region alone (province, city, district) is not personal.
    """
    plain = _plain(text)
    for name in map(_plain, names):
        if len(name) >= MIN_NAME and name in plain:
            return "the text holds the buyer's name; cases hold no personal data"
    for address in addresses:
        for part in _telling_parts(address):
            if part in plain:
                return "the text holds the buyer's address; cases hold no personal data"
    return None


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
