"""How a client's connection refuses and how it ends: told by the handler, while the server drains,
when its time is up, or for what no handler can answer.

`server_connection.py` is built on it and reads; what is written and closed is here.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING

from headrace.platform.http.exchange import STATUS_LINES, Exchange
from headrace.platform.http.limits import Violation

if TYPE_CHECKING:
    from headrace.platform.http.server import HttpServer

NEVER = math.inf
LINGER_S = 2.0
"""How long a refused client is read on, and one that does not read keeps its socket."""
PARTING_S = 0.1
"""A connection that is idle when draining begins is kept for so long: its client may be calling."""
DRAINING_TEXT = "this gateway is stopping"


class PartingConnection(asyncio.Protocol):
    """Writes while its client is there, and ends without the loss of an answer."""

    _transport: asyncio.Transport

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.exchange: Exchange | None = None
        """The exchange whose handler runs."""
        self.deadline = NEVER
        """Loop time at which the sweep ends this connection."""
        self.congested = False
        self._open = False
        self._incoming: Exchange | None = None
        """The one whose request is being read."""
        self._waiting: deque[Exchange] = deque()
        self._body: bytes | bytearray = b""
        self._body_bytes = 0
        self._refused = False
        """Nothing of what comes is taken any more."""
        self._writable: asyncio.Future[None] | None = None

    # --- writing

    def write(self, data: bytes) -> None:
        """Writes unless the connection is gone."""
        if self._open:
            self._transport.write(data)

    def pause_writing(self) -> None:
        self.congested = True

    def resume_writing(self) -> None:
        self.congested = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    async def drained(self) -> None:
        """Waits until the client has read enough."""
        if self.congested:
            self._writable = self.server.loop.create_future()
            try:
                await self._writable
            finally:
                self._writable = None

    # --- refusing

    def _refuse(self, violation: Violation, what: str) -> None:
        """Answers what no handler can, then reads on for a while so that the answer arrives
        (closing with unread data would send a reset that may overtake it)."""
        if self._refused or not self._open:
            return  # it was told, or its answer was the last on this connection
        self._refused = True
        self._release_body()
        if self.exchange is not None:
            # An answer is under way: a second one would be taken for part of it.
            self.exchange.keep_alive = False
            return
        target = self._incoming.target if self._incoming is not None else b""
        headers, body = self.server.refuse(violation, target, what)
        self.write(
            b"%b%b%bcontent-length: %d\r\nconnection: close\r\n\r\n%b"
            % (STATUS_LINES[violation.status], self.server.date_line, headers, len(body), body)
        )
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self.deadline = self.server.loop.time() + LINGER_S

    def timed_out(self) -> None:
        """The sweep found the deadline passed."""
        self.deadline = NEVER
        if self._refused or self._incoming is None:
            self.close()
        else:
            self._refuse(Violation.TOO_SLOW, "the request took too long to arrive")
        # A peer that never reads must not keep the socket.
        self.server.loop.call_later(LINGER_S, self.abort)

    def _turn_away(self, exchange: Exchange) -> None:
        """A request that came whole while the server drains."""
        self.server.body_bytes_held -= len(exchange.body)
        self._incoming = exchange
        self._refuse(Violation.DRAINING, DRAINING_TEXT)
        self._incoming = None

    def _release_body(self) -> None:
        self.server.body_bytes_held -= self._body_bytes
        self._body_bytes = 0
        self._body = b""

    # --- ending

    def close_when_idle(self) -> None:
        """For draining: no further request is taken, and an answer that has not begun says so, lest
        its client send the next one into the close (RFC 9112, 9.6)."""
        if self.exchange is None:
            self._part(PARTING_S)
        elif not self.exchange.started:
            self.exchange.keep_alive = False

    def _part(self, within_s: float) -> None:
        """Of a client that was not told that its last answer was the last one here: its next
        request may be on its way, and to close would meet it with a reset. So what comes within
        `within_s` is answered."""
        if self._waiting:
            self._turn_away(self._waiting.popleft())
            self._transport.resume_reading()
        elif self._incoming is not None:
            self._refuse(Violation.DRAINING, DRAINING_TEXT)
        elif not self._refused:
            self.deadline = self.server.loop.time() + within_s

    def close(self) -> None:
        """Closes after what is written has left."""
        if self._open:
            self._open = False
            self._transport.close()

    def abort(self) -> None:
        """Breaks the connection at once."""
        self._open = False
        self._transport.abort()
