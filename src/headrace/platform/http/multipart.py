"""The parts of a form's body (RFC 7578), found without copying them. Pure, and strict: whoever
reads the body after the gateway must find the same fields in it.

What parsers differ on is refused: parts without a name or with two, names of other than plain
letters, bytes before the first part or after the last.
"""

from __future__ import annotations

import re
from typing import NamedTuple

PART_LIMIT = 1_000
PART_HEAD_BYTES = 4_096
_TYPE = re.compile(
    rb"multipart/form-data[ \t]*;[ \t]*boundary=(?:\"([^\"\r\n]{1,70})\"|([^\s;\"]{1,70}))[ \t]*\Z",
    re.IGNORECASE,
)
_DISPOSITION = re.compile(
    rb'form-data; ?name=("?)([A-Za-z0-9_.\[\]-]{1,128})\1'
    rb'(; ?filename=(?:"[^"\r\n]{0,1024}"|[^\s;"]{1,1024}))?'
    rb'(?:; ?filename\*=[^\s;"]{1,3072})?\Z',
    re.IGNORECASE,
)


class BadForm(Exception):  # noqa: N818 - says what was found
    """`str()` is the end of a sentence for the client."""


class Part(NamedTuple):
    """One field. `start` and `end` are where its value stands in the body; `is_file` if it has a
    file's name."""

    name: str
    start: int
    end: int
    is_file: bool


def boundary_of(content_type: bytes) -> bytes | None:
    """None if it is no form's type, or one with more to it than a boundary."""
    match = _TYPE.match(content_type.strip())
    return None if match is None else match[1] or match[2]


def parts_of(body: bytes, boundary: bytes) -> list[Part]:
    """In the order they stand. Raises BadForm."""
    opening, between = b"--" + boundary, b"\r\n--" + boundary
    if not body.startswith(opening):
        raise BadForm("it does not begin with its boundary")
    parts: list[Part] = []
    at = len(opening)
    while body[at : at + 2] != b"--":
        if body[at : at + 2] != b"\r\n":
            raise BadForm("a boundary does not end its line")
        head_end = body.find(b"\r\n\r\n", at, at + PART_HEAD_BYTES)
        end = body.find(between, head_end + 2)
        if head_end < 0 or end < 0:
            raise BadForm("a part of it has no end")
        start = head_end + 4
        if end < start:
            raise BadForm("a part of it has no head")
        name, is_file = _named(body[at + 2 : head_end])
        parts.append(Part(name, start, end, is_file))
        if len(parts) > PART_LIMIT:
            raise BadForm(f"it has more than {PART_LIMIT:,} parts")
        at = end + len(between)
    if body[at:].strip(b"-\r\n"):
        raise BadForm("something follows its last part")
    return parts


def _named(head: bytes) -> tuple[str, bool]:
    """Name of a field, and whether it is a file."""
    found: tuple[str, bool] | None = None
    for line in head.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon or name.strip() != name or line[:1] in b" \t":
            raise BadForm("a part's head is not of headers")
        if name.lower() != b"content-disposition":
            continue
        match = _DISPOSITION.match(value.strip())
        if found is not None or match is None:
            raise BadForm('a part is not named as forms name them, name="...", in plain letters')
        found = match[2].decode(), match[3] is not None
    if found is None:
        raise BadForm("a part has no name")
    return found
