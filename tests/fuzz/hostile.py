"""Hostile input: bytes and JSON that nobody means well with, near what is right and far from it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue

NASTY = (
    "",
    " ",
    "\x00",
    "\ufeff",
    "\u202e",
    "\ud800",
    "'; DROP TABLE orders; --",
    '="1"',
    "=1+1",
    "No:",
    '"',
    '""",',
    "\r",
    "\n\n",
    ",,,,,,",
    "{",
    "}",
    "[" * 3_000,
    '{"a":' * 3_000,
    "null",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "1e-999",
    "9" * 5_000,
    "-1",
    "-0",
    "0.005",
    "1E+5",
    "1.1E+18",
    "１２３",
    "٣",
    "99999999999999999999",
    "2026-02-30",
    "0000-00-00",
    "9999-12-31 23:59:59",
    "0001-01-01 00:00:00",
    "2026-11-20T18:00:00+08:00",
    "2026-11-20T18:00:00+99:00",
    "2026-11-20T18:00:00",
    "13800000000",
    "138-0000-0000",
    "system",
    "clock",
    "temporal",
    "aftersale.1",
    "true",
    "是",
    "x" * 600,
    "../../etc/passwd",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "%s%n",
    "\u0130",
    "ﬀ",
    "💥" * 50,
)
TEXTS = st.sampled_from(NASTY) | st.text(max_size=30)
NUMBERS = (
    st.integers()
    | st.integers(min_value=-3, max_value=300)
    | st.sampled_from([2**31, 2**63, 2**64, 10**12, 10**13, 10**400, -1])
    | st.floats()
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)


@st.composite
def mutated(draw: st.DrawFn, bases: tuple[bytes, ...]) -> bytes:
    """One of the files, with a few places torn, doubled or filled with something else; or any bytes at all."""
    if draw(st.integers(min_value=0, max_value=19)) == 0:
        return draw(st.binary(max_size=200))
    content = draw(st.sampled_from(bases))
    if draw(st.booleans()):
        return _with_cells(draw, content)
    for _ in range(draw(st.integers(min_value=0, max_value=4))):
        place = draw(st.integers(min_value=0, max_value=len(content)))
        length = draw(st.integers(min_value=0, max_value=12))
        with_what = draw(TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=6))
        match draw(st.sampled_from(["insert", "replace", "delete", "cut", "double", "line", "cell"])):
            case "insert":
                content = content[:place] + with_what + content[place:]
            case "replace":
                content = content[:place] + with_what + content[place + length :]
            case "delete":
                content = content[:place] + content[place + length :]
            case "cut":
                content = content[:place]
            case "double":
                content = content[:place] + content[place : place + 20 * length] + content[place:]
            case "line":
                lines = content.split(b"\n")
                lines.insert(place % (len(lines) + 1), lines[place % len(lines)])
                content = b"\n".join(lines)
            case _:
                cells = content.split(b",")
                cells[place % len(cells)] = with_what
                content = b",".join(cells)
    return content


def _with_cells(draw: st.DrawFn, content: bytes) -> bytes:
    """The file, whole as it is, with copies of one row that have something else in a few cells."""
    lines = content.split(b"\n")
    place = draw(st.integers(min_value=0, max_value=len(lines) - 1))
    cells = lines[place].split(b",")
    changes = st.dictionaries(
        st.integers(min_value=0, max_value=len(cells) - 1), st.sampled_from(NASTY), min_size=1, max_size=3
    )
    for changed in draw(st.lists(changes, min_size=1, max_size=6)):
        row = list(cells)
        for number, text in changed.items():
            row[number] = text.encode("utf-8", "surrogatepass")
        lines.insert(place + 1, b",".join(row))
    return b"\n".join(lines)


@st.composite
def objects(draw: st.DrawFn, good: dict[str, Any], names: tuple[str, ...]) -> Any:
    """A JSON object near a good one; now and then anything that JSON can be."""
    if draw(st.integers(min_value=0, max_value=9)) == 0:
        return draw(JSON)
    given = dict(good)
    if draw(st.integers(min_value=0, max_value=4)) == 0:
        given.pop(draw(st.sampled_from(sorted(good))))
    changes = draw(st.sampled_from([0, 1, 1, 3]))
    given.update(draw(st.dictionaries(st.sampled_from(names) | TEXTS, JSON, max_size=changes)))
    return given


ENCODINGS = (b"json/plain", b"json/plain", b"binary/plain", b"binary/null", b"json/protobuf", b"binary/strange", b"")


@st.composite
def raw(draw: st.DrawFn, bases: tuple[bytes, ...]) -> RawValue:
    """A payload as another program might write it: any bytes, said to be anything."""
    metadata = {"encoding": draw(st.sampled_from(ENCODINGS))} if draw(st.integers(0, 9)) else {}
    return RawValue(Payload(metadata=metadata, data=draw(mutated(bases))))
