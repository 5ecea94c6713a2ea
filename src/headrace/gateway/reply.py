"""How the pipeline answers a client, whatever dialect that speaks."""

from __future__ import annotations

from typing import Protocol

from headrace.errors import Refused


class Reply(Protocol):
    """The client's end. Once `begin` was called the answer is committed: from then on `refuse`
    is an event inside the stream."""

    committed: bool

    @property
    def interrupted_by_drain(self) -> bool:
        """The handler was cancelled because the gateway stops, not because the client left."""
        ...

    def whole(self, body: bytes, about: bytes) -> None:
        """A whole 200. `about` are header lines that tell what was done."""
        ...

    def begin(self, about: bytes) -> None:
        """Starts a stream."""
        ...

    def send(self, events: bytes) -> None:
        """Whole events."""
        ...

    @property
    def congested(self) -> bool:
        """The client reads slower than it is written to: await `drained`."""
        ...

    async def drained(self) -> None: ...

    def end(self, events: bytes = b"") -> None:
        """The stream is complete."""
        ...

    def refuse(self, refused: Refused, about: bytes) -> int:
        """Ends the call with an error in the client's dialect; returns its HTTP status."""
        ...


class InFront:
    """What a `Reply` in front of another hands on as it is. Which answer is committed is its own
    to say."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.committed = False

    @property
    def interrupted_by_drain(self) -> bool:
        return self._reply.interrupted_by_drain

    @property
    def congested(self) -> bool:
        return self._reply.congested

    async def drained(self) -> None:
        await self._reply.drained()

    def refuse(self, refused: Refused, about: bytes) -> int:
        return self._reply.refuse(refused, about)
