"""One client connection: bytes in, exchanges out."""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from headrace.platform.http.exchange import STATUS_LINES, Exchange, Interrupted
from headrace.platform.http.guard import unwrapped
from headrace.platform.http.limits import Violation

if TYPE_CHECKING:
    from headrace.platform.http.server import HttpServer

log = logging.getLogger("headrace.http")

NEVER = math.inf
PIPELINE_LIMIT = 8
LINGER_S = 2.0
CHUNK_BYTES = 16
"""What the framing of one chunk may take without being counted."""
WRITE_HIGH_WATER = 256 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
UPGRADE_TEXT = "protocol upgrades are not served here, so set your client to HTTP/1.1"
_OFFER = re.compile(rb"\r\n(?i:upgrade):(?=[ \t]*(?i:h2c)[ \t]*(?:\r\n|\Z))")
_HOST = re.compile(rb"[A-Za-z0-9._~%!$&'()*+,;=:\[\]-]*\Z")
"""uri-host and port (RFC 9110, section 7.2)."""


class ServerConnection(asyncio.Protocol):
    """Parses requests, runs one exchange at a time, keeps further pipelined ones waiting."""

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.exchange: Exchange | None = None
        """The exchange whose handler runs."""
        self.deadline = NEVER
        """Loop time at which the sweep ends this connection."""
        self.peer = ""
        self.congested = False
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._open = False
        self._task: asyncio.Task[None] | None = None
        self._incoming: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._body: bytes | bytearray = b""
        self._body_bytes = 0
        self._owes_continue = False
        self._head_bytes = 0
        """Of this request all that is no body: head, chunk sizes, trailers."""
        self._reading_head = True
        self._refused = False
        self._refusal: tuple[Violation, str] | None = None
        self._writable: asyncio.Future[None] | None = None

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._open = True
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        peer = transport.get_extra_info("peername")
        self.peer = unwrapped(peer[0]) if isinstance(peer, tuple) else ""
        server = self.server
        server.connections.add(self)
        if len(server.connections) > server.limits.max_connections or server.draining:
            self._refuse(Violation.BUSY, "too many connections are open")
        else:
            self.deadline = server.loop.time() + server.limits.header_timeout_s

    def connection_lost(self, exc: Exception | None) -> None:
        self._open = self.congested = False
        self.server.connections.discard(self)
        self._release_body()
        self.interrupt(Interrupted.CLIENT_GONE)
        unanswered = [*self._waiting] if self.exchange is None else [self.exchange, *self._waiting]
        self.server.body_bytes_held -= sum(len(exchange.body) for exchange in unanswered)
        self.exchange = None
        self._waiting.clear()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if not self._ignored_offer(data):
                self._refuse(Violation.MALFORMED, UPGRADE_TEXT)
        except httptools.HttpParserError as error:
            if self._refusal is not None:
                self._refuse(*self._refusal)
            else:
                self._refuse(Violation.MALFORMED, _plain(error))
        else:
            if self._refusal is not None:
                self._refuse(*self._refusal)
            elif self._head_bytes > self.server.limits.header_bytes:
                self._refuse(Violation.HEADERS_TOO_LARGE, self._head_limit_text())

    def _ignored_offer(self, data: bytes) -> bool:
        """Java's own client offers HTTP/2 with its first request. A server may ignore that (RFC
        9110, section 7.8), but llhttp takes what follows for the other protocol: so the request
        is read again with the offer's name changed, if its head came in one piece."""
        head, end, rest = data.partition(b"\r\n\r\n")
        plain, offers = _OFFER.subn(b"\r\nx-ignored:", head)
        if not offers or self._head_bytes != len(data):
            return False
        self._parser = httptools.HttpRequestParser(self)
        self._incoming = self._refusal = None
        self._reading_head, self._head_bytes = True, 0
        self.data_received(plain + end + rest)
        return True

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.congested = True

    def resume_writing(self) -> None:
        self.congested = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # --- what the parser finds

    def on_message_begin(self) -> None:
        self._incoming = Exchange(self, b"", b"")

    def on_url(self, url: bytes) -> None:
        if self._incoming is not None:
            self._incoming.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        # A trailer comes later: it may say nothing that a header says (RFC 9110, section 6.5.1).
        if self._incoming is not None and self._reading_head:
            self._incoming.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        incoming = self._incoming
        if incoming is None:
            return
        self._reading_head = False
        incoming.method = self._parser.get_method()
        version = self._parser.get_http_version()
        incoming.http_1_0 = version == "1.0"
        hosts = lengths = 0
        expect: bytes | None = None
        head_bytes = len(incoming.target)
        for name, value in incoming.headers:
            head_bytes += len(name) + len(value) + 4
            if name == b"host":
                hosts += 1
                if not _HOST.match(value):
                    self._refusal = (Violation.MALFORMED, "the Host header is not a host")
                    return
            elif name == b"transfer-encoding":
                if value.lower() != b"chunked" or version != "1.1":
                    self._refusal = (Violation.MALFORMED, "unknown Transfer-Encoding")
                    return
            elif name == b"content-length":
                lengths = int(value)
            elif name == b"expect":
                expect = value
        if self._parser.should_upgrade():
            # llhttp takes what follows for another protocol, so the body could not be read.
            self._refusal = (Violation.MALFORMED, UPGRADE_TEXT)
        elif head_bytes > self.server.limits.header_bytes:
            self._refusal = (Violation.HEADERS_TOO_LARGE, self._head_limit_text())
        elif version not in ("1.1", "1.0") or hosts > 1 or (hosts == 0 and version == "1.1"):
            self._refusal = (Violation.MALFORMED, "one Host header is needed")
        elif not incoming.target.startswith(b"/") and incoming.target != b"*":
            self._refusal = (Violation.MALFORMED, "the target must start with /")
        elif lengths > self.server.limits.body_bytes:
            self._refusal = (Violation.BODY_TOO_LARGE, self._body_limit_text())
        elif expect is not None:
            if expect.lower() != b"100-continue":
                self._refusal = (Violation.EXPECTATION, "unknown Expect header")
            elif version == "1.1":
                self._owes_continue = True
        if self.exchange is None:
            self._await_body()

    def on_body(self, body: bytes) -> None:
        if self._refusal is not None:
            return
        server = self.server
        self._head_bytes -= len(body) + CHUNK_BYTES
        self._body_bytes += len(body)
        server.body_bytes_held += len(body)
        self._owes_continue = False
        if self._body_bytes > server.limits.body_bytes:
            self._refusal = (Violation.BODY_TOO_LARGE, self._body_limit_text())
        elif server.body_bytes_held > server.limits.body_bytes_in_total:
            self._refusal = (Violation.BUSY, "too many bodies are held")
        elif not self._body:
            self._body = body  # nearly always the whole of it
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += body

    def on_message_complete(self) -> None:
        incoming = self._incoming
        if incoming is None or self._refusal is not None:
            return
        self._incoming = None
        incoming.body = bytes(self._body)
        self._body, self._body_bytes = b"", 0  # it counts as held until it is answered
        self._owes_continue = False
        incoming.keep_alive = self._parser.should_keep_alive()
        self._reading_head = True
        self._head_bytes = 0
        if self.exchange is None:
            self._run(incoming)
        else:
            self._waiting.append(incoming)
            if len(self._waiting) >= PIPELINE_LIMIT:
                self._transport.pause_reading()

    # --- exchanges

    def _run(self, exchange: Exchange) -> None:
        self.deadline = NEVER
        self.exchange = exchange
        if self.server.draining:
            exchange.keep_alive = False
        self._task = self.server.loop.create_task(self._handle(exchange))

    async def _handle(self, exchange: Exchange) -> None:
        try:
            await self.server.handler(exchange)
            if not exchange.finished:
                exchange.abort()
        except asyncio.CancelledError:
            if exchange.interrupted is None:
                raise
            exchange.abort()
        except Exception:
            log.exception("a handler failed")
            exchange.finished = True
            if self.exchange is exchange:  # also where it failed while it wrote its end
                self.abort()

    def exchange_ended(self, exchange: Exchange) -> None:
        """The answer is written: goes on to the next request or closes."""
        if self.exchange is exchange:
            self.server.body_bytes_held -= len(exchange.body)
        self.exchange = None
        self._task = None
        if not exchange.keep_alive or self.server.draining:
            self.close()
        elif self._waiting:
            self._transport.resume_reading()
            self._run(self._waiting.popleft())
        elif self._incoming is None:
            self.deadline = self.server.loop.time() + self.server.limits.keep_alive_s
        elif self._reading_head:
            self.deadline = self.server.loop.time() + self.server.limits.header_timeout_s
        else:
            self._await_body()

    def _await_body(self) -> None:
        """The next request's body may come now, and has so long to do it: before, the answer to
        the request before it was under way, and an interim answer would be taken for part of it."""
        if self._owes_continue:
            self._owes_continue = False
            self.write(CONTINUE)
        self.deadline = self.server.loop.time() + self.server.limits.body_timeout_s

    def interrupt(self, why: Interrupted) -> int:
        """Cancels the running handler. Returns how many that were: 0 or 1."""
        exchange, task = self.exchange, self._task
        if exchange is None or task is None or exchange.finished or exchange.interrupted:
            return 0
        exchange.interrupted = why
        task.cancel()
        return 1

    # --- writing and closing

    def write(self, data: bytes) -> None:
        """Writes unless the connection is gone."""
        if self._open:
            self._transport.write(data)

    async def drained(self) -> None:
        """Waits until the client has read enough."""
        if self.congested:
            self._writable = self.server.loop.create_future()
            try:
                await self._writable
            finally:
                self._writable = None

    def close(self) -> None:
        """Closes after what is written has left."""
        if self._open:
            self._open = False
            self._transport.close()

    def close_when_idle(self) -> None:
        """For draining: no further request is taken."""
        if self.exchange is None:
            self.close()

    def abort(self) -> None:
        """Breaks the connection at once."""
        self._open = False
        self._transport.abort()

    def timed_out(self) -> None:
        """The sweep found the deadline passed."""
        self.deadline = NEVER
        if self._refused or self._incoming is None:
            self.close()
        else:
            self._refuse(Violation.TOO_SLOW, "the request took too long to arrive")
        # A peer that never reads must not keep the socket.
        self.server.loop.call_later(LINGER_S, self.abort)

    def _refuse(self, violation: Violation, what: str) -> None:
        """Answers what no handler can, then reads on for a while so that the answer arrives
        (closing with unread data would send a reset that may overtake it)."""
        if self._refused:
            return
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
            % (STATUS_LINES[violation.value], self.server.date_line, headers, len(body), body)
        )
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self.deadline = self.server.loop.time() + LINGER_S

    def _release_body(self) -> None:
        self.server.body_bytes_held -= self._body_bytes
        self._body_bytes = 0
        self._body = b""

    def _head_limit_text(self) -> str:
        return f"the request line and headers are over {self.server.limits.header_bytes:,} bytes"

    def _body_limit_text(self) -> str:
        return f"the body is over {self.server.limits.body_bytes:,} bytes"


def _plain(error: Exception) -> str:
    text = str(error).strip().rstrip(".")
    return text[:1].lower() + text[1:] if text else "not HTTP"
