"""One client connection: bytes in, exchanges out."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

import httptools

from headrace.platform.http import request_head
from headrace.platform.http.exchange import Exchange, Interrupted
from headrace.platform.http.guard import unwrapped
from headrace.platform.http.limits import Violation
from headrace.platform.http.repeated_head import Repeat, RepeatedHead
from headrace.platform.http.server_parting import (
    DRAINING_TEXT,
    LINGER_S,
    NEVER,
    PartingConnection,
)
from headrace.platform.http.upgrade import Taken, offers_websocket

if TYPE_CHECKING:
    from headrace.platform.http.server import HttpServer

log = logging.getLogger("headrace.http")

PIPELINE_LIMIT = 8
LESSONS = 4
"""Heads of a connection that are remembered without one of them coming again, then no more are."""
CHUNK_BYTES = 16
"""What the framing of one chunk may take without being counted."""
WRITE_HIGH_WATER = 256 * 1024
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
UPGRADE_TEXT = "protocol upgrades are not served here, so set your client to HTTP/1.1"


class ServerConnection(PartingConnection):
    """Parses requests, runs one exchange at a time, keeps further pipelined ones waiting."""

    def __init__(self, server: HttpServer) -> None:
        super().__init__(server)
        self.peer = ""
        self._parser = httptools.HttpRequestParser(self)
        self._task: asyncio.Task[None] | None = None
        self._owes_continue = False
        self._head_bytes = 0
        """Of this request all that is no body: head, chunk sizes, trailers."""
        self._reading_head = True
        self._refusal: tuple[Violation, str] | None = None
        self._first = b""
        """What the request that is being read began with."""
        self._repeated: RepeatedHead | None = None
        self._lessons = LESSONS
        self._owed_bytes = 0
        """What a body still lacks whose head the parser has not seen."""
        self._offered: bytes | None = None
        """What came behind a request that offers another protocol."""

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._open = True
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        peer = transport.get_extra_info("peername")
        self.peer = unwrapped(peer[0]) if isinstance(peer, tuple) else ""
        server = self.server
        server.connections.add(self)
        if server.draining:
            self._refuse(Violation.DRAINING, DRAINING_TEXT)
        elif len(server.connections) > server.limits.max_connections:
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
        del self._parser  # it holds our methods: breaks the cycle

    def data_received(self, data: bytes) -> None:
        bursts = self.server.bursts
        if (
            bursts is None
            or self._incoming is not None
            or self.exchange is not None
            or not bursts.hold(self, data)
        ):
            self.take(data)

    def take(self, data: bytes) -> None:
        """What has come, in the order in which it came."""
        if self._refused or not self._open:
            return
        if self._owed_bytes:
            self._take_body(data)
            return
        if self._incoming is None:
            repeated = self._repeated
            if repeated is not None and self.exchange is None:
                repeat = repeated.again(data)
                if repeat is not None and repeat[1] <= self.server.limits.body_bytes:
                    self._begin_again(repeated, repeat, data)
                    return
            self._first = data
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            if self._offered is not None:
                self._transport.pause_reading()
                self._offered = data[offer.args[0] :]
            elif not self._ignored_offer(data):
                self._refuse(Violation.MALFORMED, UPGRADE_TEXT)
        except httptools.HttpParserError as error:
            if self._refusal is not None:
                self._refuse(*self._refusal)
            else:
                self._refuse(Violation.MALFORMED, request_head.plain(error))
        else:
            if self._refusal is not None:
                self._refuse(*self._refusal)
            elif self._head_bytes > self.server.limits.header_bytes:
                what = request_head.head_limit_text(self.server.limits)
                self._refuse(Violation.HEADERS_TOO_LARGE, what)

    def _ignored_offer(self, data: bytes) -> bool:
        """llhttp takes what follows an offer of HTTP/2 for the other protocol: so the request is
        read again without it, if its head came in one piece."""
        plain = request_head.without_offer(data)
        if plain is None or self._head_bytes != len(data):
            return False
        self._parser = httptools.HttpRequestParser(self)
        self._incoming = self._refusal = None
        self._reading_head, self._head_bytes = True, 0
        self.take(plain)
        return True

    def eof_received(self) -> bool:
        return False

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
        version: str = self._parser.get_http_version()
        incoming.http_1_0 = version == "1.0"
        if self._parser.should_upgrade():
            if self.exchange is not None or not offers_websocket(incoming.method, incoming.headers):
                # llhttp takes what follows for another protocol, so no body could be read.
                self._refusal = (Violation.MALFORMED, UPGRADE_TEXT)
                return
            self._offered = b""
        try:
            self._owes_continue = request_head.check(
                incoming.target, incoming.headers, version, self.server.limits
            )
        except request_head.UnfitHead as unfit:
            self._refusal = unfit.fault
            return
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
            self._refusal = (Violation.BODY_TOO_LARGE, request_head.body_limit_text(server.limits))
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
        incoming.keep_alive = self._offered is None and self._parser.should_keep_alive()
        if self._first and self._lessons and incoming.keep_alive and not incoming.http_1_0:
            self._lessons -= 1  # to remember costs more than it saves where no head comes again
            first, headers = self._first, incoming.headers
            found = RepeatedHead.of(first, incoming.method, incoming.target, headers)
            self._repeated = found or self._repeated
        self._first = b""
        self._arrived(incoming)

    # --- what the parser need not see

    def _begin_again(self, repeated: RepeatedHead, repeat: Repeat, data: bytes) -> None:
        """The parser stands between two messages, and need not know that there was another."""
        self._lessons = LESSONS
        body_at, body_bytes, headers = repeat
        exchange = Exchange(self, repeated.method, repeated.target)
        exchange.headers = headers
        exchange.repeated = repeated
        server = self.server
        if (
            body_at + body_bytes == len(data)
            and server.body_bytes_held + body_bytes <= server.limits.body_bytes_in_total
        ):
            server.body_bytes_held += body_bytes
            exchange.body = data[body_at:]
            if server.shed is None or not self._shed(exchange):
                self._run(exchange)
            return
        self._incoming = exchange
        self._reading_head = False
        self._owed_bytes = body_bytes
        self._take_body(data[body_at:])
        if self._owed_bytes:
            self._await_body()

    def _take_body(self, data: bytes) -> None:
        owed = self._owed_bytes
        body = data if len(data) <= owed else data[:owed]
        self._owed_bytes = owed - len(body)
        if body:
            self.on_body(body)
        if self._refusal is not None:
            self._refuse(*self._refusal)
        elif self._owed_bytes == 0 and self._incoming is not None:
            self._arrived(self._incoming)
            if len(data) > owed:
                self._first = data[owed:]
                self._feed(self._first)

    def _arrived(self, incoming: Exchange) -> None:
        """A request is whole."""
        self._incoming = None
        incoming.body = bytes(self._body)
        self._body, self._body_bytes = b"", 0  # it counts as held until it is answered
        self._owes_continue = False
        self._reading_head = True
        self._head_bytes = 0
        if self.exchange is None:
            if self.server.shed is None or not self._shed(incoming):
                self._run(incoming)
        else:
            self._waiting.append(incoming)
            if len(self._waiting) >= PIPELINE_LIMIT:
                self._transport.pause_reading()

    # --- exchanges

    def _shed(self, exchange: Exchange) -> bool:
        """Whether it was refused at once. One that had to wait for others is not asked about, lest
        the end of each answer be a call within that of the one before."""
        answer = None if self.server.draining else self.server.answer_at_once(exchange)
        if answer is None:
            return False
        self.exchange = exchange
        exchange.respond(*answer)
        return True

    def _run(self, exchange: Exchange) -> None:
        if self.server.draining:
            self._turn_away(exchange)
            return
        self.deadline = NEVER
        self.exchange = exchange
        self.server.cohort.join()
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
        if not exchange.keep_alive:
            self.close()
        elif self.server.draining:
            self._part(LINGER_S)
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

    @property
    def offered(self) -> bool:
        """The request that is answered offers another protocol."""
        return self._offered is not None

    def hand_over(self, head: bytes, protocol: Taken) -> None:
        """Writes the head of a 101; what comes from now on is `protocol`'s."""
        transport, rest, self._offered = self._transport, self._offered, None
        protocol.on_lost = self.connection_lost
        transport.write(head)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if rest:
            protocol.data_received(rest)
        transport.resume_reading()
