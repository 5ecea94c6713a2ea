"""What the gateway needs of an outside service, and how an answer of one is read."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from headrace.nouns import Call, Operation, Usage
from headrace.platform.http.messages import WireRequest
from headrace.platform.http.sse import EventSplitter


class EventRead(Struct, frozen=True, gc=False):
    """What one event of a stream means."""

    forward: bytes
    """The event as the client shall see it; b"" if it shall not."""
    content: bool = False
    """It carries something of the answer: from here on there is no other try."""
    special: bool = False
    """One of the members below is set."""
    terminal: bool = False
    """The protocol's own end of a complete stream."""
    finish: str | None = None
    usage: Usage | None = None
    error: bytes | None = None
    """The upstream reports a fault; its bytes, for the log alone."""
    doubted: bool = False
    """It tells a usage that no answer can have."""


class WholeRead(Struct, frozen=True, gc=False):
    """What a whole answer means."""

    usage: Usage | None
    finish: str | None = None
    error: bytes | None = None
    body: bytes | None = None
    """The answer in the client's dialect; None if it is in that as it came."""
    doubted: bool = False
    """It tells a usage that no answer can have."""


class BadAnswer(Exception):  # noqa: N818 - the name says what was found
    """An answer that is not of the service's format. `str()` is private: it quotes the upstream."""


class Splitter(Protocol):
    """Cuts a stream's bytes into events."""

    def pairs(self, chunk: bytes) -> list[tuple[bytes, bytes | None]]:
        """The events that end in this chunk, each with its data. Raises BadAnswer,
        EventTooLarge."""
        ...

    @property
    def rest(self) -> bytes:
        """Bytes of an event whose end has not come."""
        ...


class StreamReader(Protocol):
    """Reads one stream. May keep state between events."""

    __slots__ = ()

    def read(self, event: bytes, data: bytes | None) -> EventRead:
        """`data` is the event's data, None if it has none. Raises BadAnswer."""
        ...

    def splitter(self) -> Splitter:
        """What cuts the bytes of the stream: into server-sent events, if nothing else is said."""
        return EventSplitter()

    def end(self, rest: bytes) -> EventRead | None:
        """The bytes have ended, by HTTP's own rules, without a terminal event. What that means to
        the client, if all that matters came before: every choice's finish reason, and the usage
        if it was asked for. None if something is missing. `rest` is what came of one more event."""
        return None


class Service(Protocol):
    """One backend of a provider: how it is asked and how its answers are read. Does no I/O."""

    provider: str
    priced_as: str | None
    """The model's name for prices; None takes the call's."""

    def serves(self, operation: Operation) -> bool:
        """Whether the operation may be tried here."""
        ...

    def request(self, call: Call) -> WireRequest:
        """The request for this backend. Raises Refused where it cannot be expressed."""
        ...

    def stream_reader(self, call: Call) -> StreamReader:
        """A reader for the stream that answers this call."""
        ...

    def read_whole(self, call: Call, body: bytes) -> WholeRead:
        """Raises BadAnswer."""
        ...

    def enter(self, now: float) -> int:
        """Takes a place and returns its token; raises Refused(QUEUE_FULL) if there is none. Each
        is followed by one `leave`. `now` is monotonic seconds. If nothing else is said, places
        are the provider's business."""
        return 0

    def leave(self, place: int, now: float) -> None:
        """Gives the place back."""
        return
