"""AWS's event-stream framing, read incrementally, with its checksums. No I/O.

https://smithy.io/2.0/aws/amazon-eventstream.html: a message is the length of all, the length of its
headers, a CRC-32 of these two, headers, payload, a CRC-32 of all before it; numbers are big-endian.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from headrace.platform.http.sse import EventTooLarge
from headrace.services.service import BadAnswer

LIMIT_BYTES = 24 * 1024 * 1024
"""AWS's own for a message is 16 MiB of payload and 128 KiB of headers."""
_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_SHORT = struct.Struct(">H")
_LEAST = _PRELUDE.size + _CRC.size
_FIXED_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type."""
_BYTES, _STRING = 6, 7


class Message(NamedTuple):
    """Headers that are text, and the payload."""

    headers: dict[str, str]
    payload: bytes


class MessageSplitter:
    """Cuts a byte stream into whole messages. One whose prelude is damaged, so that nobody knows
    where it ends, is handed on as it is: `message_of` finds the damage."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()

    @property
    def rest(self) -> bytes:
        """Bytes of a message whose end has not come."""
        return bytes(self._held)

    def pairs(self, chunk: bytes) -> list[tuple[bytes, bytes | None]]:
        """The messages that end in this chunk. Raises EventTooLarge."""
        held = self._held
        held += chunk
        found: list[tuple[bytes, bytes | None]] = []
        start = 0
        while len(held) - start >= _PRELUDE.size:
            total, headers, crc = _PRELUDE.unpack_from(held, start)
            sound = zlib.crc32(held[start : start + 8]) == crc and headers + _LEAST <= total
            if sound and total > LIMIT_BYTES:
                del held[:start]
                raise EventTooLarge(f"a message is over {LIMIT_BYTES:,} bytes", found)
            size = total if sound else _PRELUDE.size
            if len(held) - start < size:
                break
            message = bytes(held[start : start + size])
            found.append((message, message))
            start += size
            if not sound:
                break
        del held[:start]
        return found


def message_of(data: bytes) -> Message:
    """Raises BadAnswer for one that is damaged."""
    if len(data) < _LEAST:
        raise BadAnswer("an event whose prelude is damaged")
    total, headers_size, _ = _PRELUDE.unpack_from(data)
    (crc,) = _CRC.unpack_from(data, len(data) - _CRC.size)
    if total != len(data) or zlib.crc32(data[: -_CRC.size]) != crc:
        raise BadAnswer("an event whose checksum is wrong")
    end = _PRELUDE.size + headers_size
    try:
        headers = _headers(data[_PRELUDE.size : end])
    except (IndexError, struct.error, KeyError, UnicodeDecodeError) as error:
        raise BadAnswer(f"an event whose headers are damaged: {error!r}") from error
    return Message(headers, data[end : -_CRC.size])


def _headers(data: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    at = 0
    while at < len(data):
        size = data[at]
        name = data[at + 1 : at + 1 + size].decode()
        at += 1 + size
        kind = data[at]
        at += 1
        if kind in (_BYTES, _STRING):
            (length,) = _SHORT.unpack_from(data, at)
            at += _SHORT.size
            if at + length > len(data):
                raise IndexError("a value ends after the headers")
            if kind == _STRING:
                headers[name] = data[at : at + length].decode()
            at += length
        else:
            at += _FIXED_SIZES[kind]
    return headers
