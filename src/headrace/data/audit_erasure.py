"""Takes out of the audit log's files what they say of a person. For who holds the log's lock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from headrace.data.audit_chain import decode_line
from headrace.data.audit_files import FILE_NAME, rotated
from headrace.data.audit_said import without

ERASURE = "audit.erased"
"""The event that tells of it."""
FIELDS = "fields"
"""Its detail: how many were to be erased."""


class _Place(Struct, frozen=True):
    """A line that says something of the person."""

    offset: int
    blanked: bytes
    """As long as before."""
    fields: int


def fields_that_say(folder: Path, text: str) -> int:
    """How many fields say exactly this. Raises OSError."""
    return sum(place.fields for path in _files(folder) for place in _places(path, text))


def blank(folder: Path, text: str) -> None:
    """Overwrites them in place, so that nothing moves. What a kill leaves of it is done by doing it
    again. Raises OSError."""
    for path in _files(folder):
        places = list(_places(path, text))
        if not places:
            continue
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            for place in places:
                os.pwrite(descriptor, place.blanked, place.offset)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)


def _files(folder: Path) -> list[Path]:
    return [*rotated(folder), folder / FILE_NAME]


def _places(path: Path, text: str) -> Iterator[_Place]:
    needle = msgspec.json.encode(text)
    offset = 0
    with path.open("rb") as file:
        for line in file:
            if needle in line:
                try:
                    blanked, fields = without(line, decode_line(line), text)
                except msgspec.MsgspecError:
                    fields = 0
                if fields:
                    yield _Place(offset, blanked, fields)
            offset += len(line)
