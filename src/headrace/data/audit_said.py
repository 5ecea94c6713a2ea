"""What an event says of a person stands beside it, so that it can be erased and the chain holds.

The event, which is hashed, has a commitment in its place: SHA-256 of 128 random bits and the text.
The bits and the text stand in the same line, outside of what is hashed. Without the bits nobody can
tell by trying which text it was.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256

import msgspec
from msgspec import Struct, UnsetType

from headrace.data.audit_chain import Line, encode_line

ERASED = "(erased)"
SALT_BYTES = 16
Said = dict[str, tuple[str, str]]
"""By field: the salt, and what it says."""


class Numbered(Struct):
    """What the check reads of an event."""

    n: int
    action: str = ""
    detail: dict[str, str] = {}
    kept: dict[str, str] = {}
    """Commitments by field."""


decode_numbered = msgspec.json.Decoder(Numbered).decode
encode_said = msgspec.json.Encoder().encode


def commit(texts: Mapping[str, str]) -> tuple[dict[str, str], Said]:
    """Commitments, and what they are to."""
    said = {name: (secrets.token_urlsafe(SALT_BYTES), text) for name, text in texts.items()}
    return {name: commitment(*each) for name, each in said.items()}, said


def commitment(salt: str, text: str) -> str:
    digest = sha256(salt.encode() + b"\0" + text.encode("utf-8", "surrogatepass")).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()


def said_beside(line: Line) -> Said:
    """What is left of it."""
    return {} if isinstance(line.said, UnsetType) else line.said


def disagrees(kept: Mapping[str, str], said: Mapping[str, tuple[str, str]]) -> bool:
    """Whether something is said that the event does not commit to."""
    return any(kept.get(name) != commitment(*each) for name, each in said.items())


def is_as_written(line: bytes, head: bytes, read: Line) -> bool:
    """Whether the line is to the byte what was written, or has blanks where something was erased.
    `head` is the chain's hash with its event."""
    said = None if isinstance(read.said, UnsetType) else read.said
    made = encode_line(head, bytes(read.event), None if said is None else encode_said(said))
    if line == made or said is None:
        return line == made
    stem, end = made[:-2], made[-2:]
    return line.startswith(stem) and line.endswith(end) and not line[len(stem) : -2].strip(b" ")


def without(line: bytes, read: Line, text: str) -> tuple[bytes, int]:
    """The line, as long as before, without what says exactly this; and how many fields did."""
    if isinstance(read.said, UnsetType):
        return line, 0
    left = {name: each for name, each in read.said.items() if each[1] != text}
    gone = len(read.said) - len(left)
    if not gone:
        return line, 0
    made = encode_line(bytes.fromhex(read.hash), bytes(read.event), encode_said(left))
    return made[:-2] + b" " * (len(line) - len(made)) + made[-2:], gone


def as_told(line: Line) -> dict[str, object]:
    """The event with what is said of it."""
    event: dict[str, object] = msgspec.json.decode(line.event)
    kept = event.pop("kept", None)
    said = said_beside(line)
    for name in kept if isinstance(kept, dict) else ():
        event[name] = said[name][1] if name in said else ERASED
    return event
