"""A response as its reader sees it: head, buffered body, and the one future it may wait on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Protocol

from headrace.platform.http.messages import Fault, TransportError
from headrace.platform.http.turns import Turns

HIGH_WATER_BYTES = 256 * 1024
"""Unread body beyond this pauses reading from the socket."""
LOW_WATER_BYTES = 64 * 1024
"""Unread body below this lets it go on."""
TURN_BYTES = 16 * 1024
"""So much of a stream is relayed at once, then others get their turn. libuv reads up to 32 buffers
of 256,000 bytes from one socket before it looks at the next: a few fast upstreams would stall
everyone for long."""
SMALL_BYTES = 2 * 1024
"""Up to this size nothing stands in line: nearly all chunks of streams."""


class Source(Protocol):
    """What a response asks of the connection that feeds it."""

    turns: Turns

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def restart_clock(self) -> None: ...

    def abort(self) -> None: ...


class Response:
    """Implements `WireResponse`. The connection fills it in and wakes its reader; once `whole` or
    failed it has let go of the connection, which may already serve another call.

    `close_delimited`: the body had neither Content-Length nor chunks and ended with the
    connection (RFC 9112, section 6.3, rule 8), so its end proves less than the others.
    """

    __slots__ = (
        "close_delimited",
        "error",
        "head_done",
        "headers",
        "high_water",
        "length",
        "parts",
        "paused",
        "queued",
        "sink",
        "sink_fault",
        "source",
        "status",
        "turns",
        "unread",
        "waiter",
        "wanted",
        "whole",
    )

    def __init__(self, source: Source) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.close_delimited = False
        self.length: int | None = None
        """Of Content-Length, what the reader has not taken yet."""
        self.head_done = False
        self.whole = False
        self.error: TransportError | None = None
        self.parts: list[bytes] = []
        self.unread = 0
        self.high_water = HIGH_WATER_BYTES
        self.wanted = 0
        self.paused = False
        self.queued = False
        """In line for a turn."""
        self.sink: Callable[[bytes], bool] | None = None
        self.sink_fault: Exception | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.source: Source | None = source
        self.turns = source.turns

    def __repr__(self) -> str:
        return f"Response({self.status}, {self.unread} bytes unread)"

    def header(self, name: bytes) -> bytes | None:
        """The first value under a lower-case name."""
        for each, value in self.headers:
            if each == name:
                return value
        return None

    async def next_chunk(self) -> bytes:
        """All of the body that has come and is unread, as one; b"" at the end of the body. Raises
        TransportError after the bytes that came before it. Cancelling it closes the connection."""
        while not self.parts and not self.whole:
            if self.error is not None:
                raise self.error
            await self._wait_for(1)
        return self._take()

    async def relay(self, sink: Callable[[bytes], bool]) -> bool:
        """Hands the body to `sink` as it comes, each time all that is unread, until `sink` returns
        True for enough. True if the body has ended, False if `sink` had enough; may be called
        again. `sink` runs in the connection's own callback, which saves a turn of the loop and a
        switch of tasks for each chunk; what it raises is raised here. Raises TransportError after
        the bytes that came before it. Cancelling it closes the connection."""
        while True:
            if self.parts and self._may_pour():
                if sink(self._piece()):
                    return self.whole and not self.parts
                continue
            if not self.parts:
                if self.whole:
                    return True
                if self.error is not None:
                    raise self.error
            self.sink = sink
            if self.parts:
                self._stand_in_line()
            try:
                await self._wait_for(sys.maxsize)
            finally:
                enough, self.sink = self.sink is None, None
            if self.sink_fault is not None:
                fault, self.sink_fault = self.sink_fault, None
                raise fault
            if enough:
                return self.whole and not self.parts

    def pour(self) -> None:
        """New bytes have come while `relay` waits."""
        if self.unread > SMALL_BYTES and not self._may_pour():
            self._stand_in_line()
            return
        parts = self.parts
        if len(parts) == 1 and self.length is None and not self.paused:
            chunk = parts[0]
            if len(chunk) <= TURN_BYTES:  # as `_piece`, for what nearly every chunk of a stream is
                parts.clear()
                self.unread = 0
                self._hand_on(chunk)
                return
        self._hand_on(self._piece())

    def _hand_on(self, chunk: bytes) -> None:
        sink, source = self.sink, self.source
        assert sink is not None
        try:
            enough = sink(chunk)
        except Exception as fault:
            self.sink_fault = fault
            enough = True
        if enough:
            self.sink = None
            self.wake()
            return
        if source is not None:
            source.restart_clock()
        if self.parts:
            self._stand_in_line()
        elif source is None:
            self.wake()  # that was the last of it

    def _may_pour(self) -> bool:
        """Whether a piece may be relayed in this turn; if so it is counted."""
        if self.queued:
            return False
        size = min(self.unread, TURN_BYTES)
        return size <= SMALL_BYTES or self.turns.admits(size)

    def _stand_in_line(self) -> None:
        """The next piece is relayed in a later turn; till then nothing more is read."""
        if not self.queued:
            self.queued = True
            self.turns.wait(self._turn)
        if not self.paused and self.source is not None:
            self.paused = True
            self.source.pause_reading()

    def _turn(self) -> int:
        self.queued = False
        if self.sink is None or not self.parts:
            return 0  # its reader has gone
        before = self.unread
        self._hand_on(self._piece())
        return before - self.unread

    async def read(self, limit: int) -> bytes:
        """The body, or what `next_chunk` left of it. Raises TransportError, TOO_LARGE (and closes
        the connection) past `limit` bytes. Cancelling it closes the connection."""
        if not self.whole and self.error is None:
            if self.length is not None and self.length > limit:
                self._too_large(limit)
            self.high_water = max(limit, HIGH_WATER_BYTES)
            if self.paused:
                self._resume()
            while self.unread <= limit and not self.whole and self.error is None:
                await self._wait_for(limit + 1)
        if self.unread > limit:
            self._too_large(limit)
        if self.error is not None:
            raise self.error
        return self._take()

    def close(self) -> None:
        """Aborts the connection unless the response is whole. Idempotent."""
        if self.source is not None:
            self.fail(TransportError(Fault.CLOSED, "closed by its reader", response_started=True))

    def fail(self, error: TransportError) -> None:
        """Ends the response with an error and aborts the connection."""
        self.error = error
        source, self.source = self.source, None
        if source is not None:
            source.abort()
        self.wake()

    def finish(self) -> None:
        """The last byte has come: lets go of the connection."""
        self.whole = True
        if self.paused:
            self._resume()
        self.source = None

    def wake(self) -> None:
        """Lets whoever waits look again."""
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            if not waiter.done():
                waiter.set_result(None)

    async def _wait_for(self, wanted: int) -> None:
        """Suspends until `wanted` bytes are unread, or the response is whole or failed."""
        if self.waiter is not None:
            raise RuntimeError("two tasks read one response")
        source = self.source
        assert source is not None or self.queued
        self.wanted = wanted
        if source is not None:
            source.restart_clock()
        self.waiter = waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        except BaseException:
            self.close()
            raise

    def _take(self) -> bytes:
        parts = self.parts
        chunk = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        if self.length is not None:
            self.length -= self.unread
        self.unread = 0
        if self.paused:
            self._resume()
        return chunk

    def _piece(self) -> bytes:
        """The first of what is unread, at most `TURN_BYTES`."""
        if self.unread <= TURN_BYTES:
            return self._take()
        parts = self.parts
        if len(parts[0]) != TURN_BYTES:
            every = parts[0] if len(parts) == 1 else b"".join(parts)
            parts[:] = (every[at : at + TURN_BYTES] for at in range(0, len(every), TURN_BYTES))
        self.unread -= TURN_BYTES
        if self.length is not None:
            self.length -= TURN_BYTES
        return parts.pop(0)

    def _resume(self) -> None:
        self.paused = False
        if self.source is not None:
            self.source.resume_reading()

    def _too_large(self, limit: int) -> None:
        error = TransportError(
            Fault.TOO_LARGE, f"the body is over {limit} bytes", response_started=True
        )
        if self.source is not None:
            self.fail(error)
        raise error
