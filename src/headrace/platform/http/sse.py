"""Server-sent events as bytes (WHATWG HTML, section 9.2), split without decoding.

Text is never cut inside an event, so a character that an upstream split over two chunks stays
whole. What passes through keeps its bytes.
"""

from __future__ import annotations

import re

_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n|\r\n\n|\r\n\r(?!\n)|\n\r(?!\n)|\r\r\n")
_LINE = re.compile(rb"\r\n|\n|\r")


class EventTooLarge(Exception):  # noqa: N818 - the name says what was found
    """An event, or what is held of one, is over the limit in bytes."""


class EventSplitter:
    """Cuts a byte stream into whole events, each with the blank line that ends it.

    `feed` gives the events that a chunk completes. What is left at the end of the stream is
    `rest`: a stream that ends with one was cut.
    """

    __slots__ = ("_held", "_limit")

    def __init__(self, limit_bytes: int = 1024 * 1024) -> None:
        self._held = b""
        self._limit = limit_bytes

    @property
    def rest(self) -> bytes:
        """Bytes of an event whose end has not come."""
        return self._held

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that end in this chunk. Raises EventTooLarge."""
        return [event for event, _ in self.pairs(chunk)]

    def pairs(self, chunk: bytes) -> list[tuple[bytes, bytes | None]]:
        """The same, each with its data (see `data_of`)."""
        if (
            chunk.find(b"\n") == len(chunk) - 2
            and chunk.startswith(b"data: ")
            and chunk.endswith(b"\n")
            and not self._held
            and b"\r" not in chunk
            and len(chunk) <= self._limit
        ):
            return [(chunk, chunk[6:-2])]  # one event of one line: what nearly every chunk is
        data = self._held + chunk if self._held else chunk
        if b"\r" not in data:  # as the pattern would, a hundred times faster
            *whole, self._held = data.split(b"\n\n")
            events = [event + b"\n\n" for event in whole]
        else:
            events = self._by_any_line_end(data)
        if len(self._held) > self._limit or any(len(e) > self._limit for e in events):
            raise EventTooLarge(f"an event is over {self._limit:,} bytes")
        return [(event, data_of(event)) for event in events]

    def _by_any_line_end(self, data: bytes) -> list[bytes]:
        events: list[bytes] = []
        start = 0
        # A CR at the very end may be half of a CRLF: it decides nothing until more has come.
        end = len(data) - 1 if data.endswith(b"\r") else len(data)
        for match in _BLANK_LINE.finditer(data, 0, end):
            events.append(data[start : match.end()])
            start = match.end()
        self._held = data[start:]
        return events


def data_of(event: bytes) -> bytes | None:
    """The event's data: the values of its `data` fields joined by LF; None if it has none
    (a comment, a ping without data)."""
    if (
        event.startswith(b"data: ")
        and event.endswith(b"\n\n")
        and event.find(b"\n") == len(event) - 2
    ):
        return event[6:-2]
    if event.startswith(b"\xef\xbb\xbf"):
        event = event[3:]
    values = []
    for line in _LINE.split(event):
        if line.startswith(b"data:"):
            values.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line == b"data":
            values.append(b"")
    return b"\n".join(values) if values else None


def name_of(event: bytes) -> bytes:
    """The event's name, b"" if it has none."""
    for line in _LINE.split(event):
        if line.startswith(b"event:"):
            return line[6:].strip()
    return b""
