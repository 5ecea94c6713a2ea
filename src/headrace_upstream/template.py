"""Precomputed answers with holes: what differs from call to call is filled in by replacement.

The holes are the call's sequence number (in ids), the time, and the token figures. `fill` costs
about a microsecond; everything else of an answer is made once per behaviour and model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import Struct

from headrace_upstream.aws_frame import framed

SEQ = "@sequence@of@the@call@@@"
CREATED = 4_000_000_001
TOKENS_IN = 987_654_321_001
TOKENS_TOTAL = 987_654_321_002

_SEQ = SEQ.encode()
_CREATED = b"%d" % CREATED
_TOKENS_IN = b"%d" % TOKENS_IN
_TOKENS_TOTAL = b"%d" % TOKENS_TOTAL


class Filling(NamedTuple):
    """What goes into the holes of one call's answer."""

    seq: int
    now_s: int
    tokens_in: int
    tokens_total: int


class Event(Struct, frozen=True):
    """One server-sent event. `tokens` is how much of the answer it carries."""

    data: bytes
    name: bytes = b""
    tokens: int = 0
    terminal: bool = False
    framed: bool = False
    """A message of AWS's event streams, whose checksums are of what it says in the end."""

    def wire(self, eol: bytes = b"\n") -> bytes:
        if self.framed:
            return framed(self.name, self.data)
        head = b"event: %b%b" % (self.name, eol) if self.name else b""
        return b"%bdata: %b%b%b" % (head, self.data, eol, eol)


def fill(text: bytes, filling: Filling) -> bytes:
    """`text` with its holes filled."""
    return (
        fill_fixed(text, filling)
        .replace(_TOKENS_IN, b"%d" % filling.tokens_in)
        .replace(_TOKENS_TOTAL, b"%d" % filling.tokens_total)
    )


def fill_fixed(text: bytes, filling: Filling) -> bytes:
    """Fills only the holes that do not change the length."""
    return text.replace(_SEQ, b"%024x" % filling.seq).replace(_CREATED, b"%010d" % filling.now_s)


def has_figures(text: bytes) -> bool:
    """Whether filling may change the text's length."""
    return _TOKENS_IN in text or _TOKENS_TOTAL in text


def chunk(data: bytes) -> bytes:
    """One chunk of HTTP's chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


class Rendering:
    """A whole answer or a stream of one behaviour, model and shape of request, ready to fill."""

    __slots__ = ("_burst", "body", "content_type", "events", "plain", "tokens_out")

    def __init__(
        self, content_type: bytes, tokens_out: int, body: bytes = b"", events: Sequence[Event] = ()
    ) -> None:
        self.plain = False
        """Whether the behaviour leaves the wire alone, so that the answer goes out as bytes."""
        self.content_type = content_type
        self.tokens_out = tokens_out
        self.body = body
        self.events = tuple(events)
        self._burst = tuple(_runs(self.events))

    def filled_body(self, filling: Filling) -> bytes:
        return fill(self.body, filling)

    def filled_events(self, filling: Filling) -> list[Event]:
        return [
            Event(fill(event.data, filling), event.name, event.tokens, event.terminal, event.framed)
            for event in self.events
        ]

    def burst(self, filling: Filling) -> bytes:
        """The whole chunked stream, each event its own chunk."""
        if self.events and self.events[0].framed:
            return b"".join(chunk(e.wire()) for e in self.filled_events(filling)) + LAST_CHUNK
        return b"".join(
            [
                chunk(fill(text, filling)) if unframed else fill_fixed(text, filling)
                for unframed, text in self._burst
            ]
        )


def _runs(events: Iterable[Event]) -> Iterable[tuple[bool, bytes]]:
    """Events joined into chunked runs of fixed length; those with figures stay unframed."""
    run = b""
    for event in events:
        text = event.wire()
        if not has_figures(text):
            run += chunk(text)
            continue
        if run:
            yield False, run
        run = b""
        yield True, text
    yield False, run + LAST_CHUNK
