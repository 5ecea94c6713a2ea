"""Server-sent events as bytes (WHATWG HTML, section 9.2), split without decoding.

Text is never cut inside an event, so a character that an upstream split over two chunks stays
whole. What passes through keeps its bytes.
"""

from __future__ import annotations

import itertools
import re
from typing import NoReturn

EVENT_LIMIT_BYTES = 16 * 1024 * 1024
_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n|\r\n\n|\r\n\r(?!\n)|\n\r(?!\n)|\r\r\n")
_LONGEST_BEGUN = 3
"""Bytes that the end of one chunk may hold of a blank line: CR LF CR."""
_LINE = re.compile(rb"\r\n|\n|\r")
_LF, _CR = b"\n\r"
"""As numbers: to look for `b"\r"` by `in` makes and drops an exception, at ten times the cost."""


Pair = tuple[bytes, bytes | None]
"""An event, and its data (see `data_of`)."""


class EventTooLarge(Exception):  # noqa: N818 - the name says what was found
    """An event, or what is held of one, is over the limit in bytes. `before` has the events that
    ended before it in the same chunk."""

    def __init__(self, message: str, before: list[Pair]) -> None:
        super().__init__(message)
        self.before = before


class EventSplitter:
    """Cuts a byte stream into whole events, each with the blank line that ends it.

    `feed` gives the events that a chunk completes. What is left at the end of the stream is
    `rest`: a stream that ends with one was cut.
    """

    __slots__ = ("_held", "_limit")

    def __init__(self, limit_bytes: int = EVENT_LIMIT_BYTES) -> None:
        self._held = bytearray()
        self._limit = limit_bytes

    @property
    def rest(self) -> bytes:
        """Bytes of an event whose end has not come."""
        return bytes(self._held)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that end in this chunk. Raises EventTooLarge."""
        return [event for event, _ in self.pairs(chunk)]

    def pairs(self, chunk: bytes) -> list[Pair]:
        """The same, each with its data."""
        size = len(chunk)
        if (
            chunk.find(_LF) == size - 2
            and chunk[:6] == b"data: "
            and chunk[-1] == _LF
            and not self._held
            and _CR not in chunk
            and size <= self._limit
        ):
            return [(chunk, chunk[6:-2])]  # one event of one line: what nearly every chunk is
        if _CR in chunk or _CR in self._held[-_LONGEST_BEGUN:]:
            events = self._by_any_line_end(chunk)
        else:
            events = self._by_lf(chunk)
        if len(self._held) > self._limit or (events and max(map(len, events)) > self._limit):
            self._refuse(events)
        return [(event, data_of(event)) for event in events]

    def _refuse(self, events: list[bytes]) -> NoReturn:
        small = itertools.takewhile(lambda event: len(event) <= self._limit, events)
        before = [(event, data_of(event)) for event in small]
        raise EventTooLarge(f"an event is over {self._limit:,} bytes", before)

    def _by_lf(self, chunk: bytes) -> list[bytes]:
        """As the pattern would find them, a hundred times faster."""
        if self._held.endswith(b"\n") and chunk.startswith(b"\n"):
            first, *others = b"\n", *chunk[1:].split(b"\n\n")
        else:
            first, *others = chunk.split(b"\n\n")
            first = first + b"\n\n" if others else first
        # What is held is only added to, and never read again: an event may come byte by byte.
        self._held += first
        if not others:
            return []
        events = [bytes(self._held), *(event + b"\n\n" for event in others[:-1])]
        self._held = bytearray(others[-1])
        return events

    def _by_any_line_end(self, chunk: bytes) -> list[bytes]:
        events: list[bytes] = []
        held, start = self._held, 0
        looked_at = max(0, len(held) - _LONGEST_BEGUN)
        held += chunk
        # A CR at the very end may be half of a CRLF: it decides nothing until more has come.
        end = len(held) - 1 if held.endswith(b"\r") else len(held)
        while match := _BLANK_LINE.search(held, looked_at, end):
            events.append(bytes(held[start : match.end()]))
            start = looked_at = match.end()
        del held[:start]
        return events


def data_of(event: bytes) -> bytes | None:
    """The event's data: the values of its `data` fields joined by LF; None if it has none
    (a comment, a ping without data)."""
    if (
        event[:6] == b"data: "
        and event.find(_LF) == len(event) - 2
        and event[-1] == _LF
        and _CR not in event
    ):
        return event[6:-2]
    if event.startswith(b"event: ") and event.endswith(b"\n\n") and _CR not in event:
        at = event.find(b"\n") + 1  # as Anthropic names its events
        if event.startswith(b"data: ", at) and event.find(b"\n", at) == len(event) - 2:
            return event[at + 6 : -2]
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
