"""Keeps what was said in calls for their traces, where the operator wants that: bounded, for each
call and in all."""

from __future__ import annotations

from msgspec import Struct

from headrace.gateway.reply import InFront, Reply
from headrace.nouns import Call, Operation

SPOKEN = frozenset({Operation.CHAT, Operation.MESSAGES, Operation.RESPONSES})
"""What consists of messages."""
HEARD_BYTES = 1024 * 1024
"""Of a request, and of an answer as it is sent. A stream's events are a hundred times its text."""
WAITING_BYTES = 64 * 1024 * 1024
"""Of all calls whose trace waits to be sent, for each worker."""


class Said(Struct, frozen=True):
    """What one call asked and got, in its client's dialect."""

    asked: bytes
    """The body; b"" if it was too large."""
    answered: bytes
    """The whole answer, or the events of a stream; b"" if it was too large or there was none."""
    cut: bool
    """Some of it is missing."""

    @property
    def size_bytes(self) -> int:
        return len(self.asked) + len(self.answered)


class Listener(InFront):
    """A `Reply` in front of the client's, which remembers what passes."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self._parts: list[bytes] = []
        self._room = HEARD_BYTES
        self._cut = False

    def whole(self, body: bytes, about: bytes) -> None:
        self.committed = True
        self._hear(body)
        self._reply.whole(body, about)

    def begin(self, about: bytes) -> None:
        self.committed = True
        self._reply.begin(about)

    def send(self, events: bytes) -> None:
        self._hear(events)
        self._reply.send(events)

    def end(self, events: bytes = b"") -> None:
        self._hear(events)
        self._reply.end(events)

    def said(self, call: Call) -> Said:
        """What is known by now."""
        large = len(call.body) > HEARD_BYTES
        return Said(b"" if large else bytes(call.body), b"".join(self._parts), self._cut or large)

    def _hear(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room >= 0:
            self._parts.append(data)
        else:
            self._cut = True


class Room:
    """How much waits. `take` is for the event loop, `give` for the thread that writes; each counts
    by itself, so that neither waits for the other."""

    def __init__(self, most_bytes: int = WAITING_BYTES) -> None:
        self._most = most_bytes
        self._taken = 0
        self._given = 0

    def take(self, size_bytes: int) -> bool:
        """False if there is no room for it."""
        if self._taken - self._given + size_bytes > self._most:
            return False
        self._taken += size_bytes
        return True

    def untake(self, size_bytes: int) -> None:
        """What was taken is not needed after all. For the event loop."""
        self._taken -= size_bytes

    def give(self, size_bytes: int) -> None:
        self._given += size_bytes


def listened(call: Call, reply: Reply) -> Listener | None:
    """None for what has no messages."""
    return Listener(reply) if call.operation in SPOKEN else None
