"""One HTTP/1.1 connection: writes a request, feeds llhttp with what comes back, fills a Response.

The framing rules are RFC 9112, section 6.3, read strictly: an upstream is not trusted.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import NoReturn, Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from headrace.platform.http.messages import Fault, Timeouts, TransportError, WireRequest
from headrace.platform.http.proxy import absolute_form
from headrace.platform.http.response import Response
from headrace.platform.http.turns import Turns

JOINED_BODY_BYTES = 64 * 1024
"""Up to this size head and body go out in one write; above it the body is not copied."""
UPLOAD_SLICE_BYTES = 256 * 1024

_FRAMING_HEADERS = frozenset((b"content-length", b"transfer-encoding", b"content-encoding"))


class Keeper(Protocol):
    """The pool, as a connection sees it."""

    turns: Turns

    def keep(self, connection: Connection) -> None:
        """The connection is free for another call."""
        ...

    def forget(self, connection: Connection) -> None:
        """The connection is gone."""
        ...


class Connection(asyncio.Protocol):
    """Serves one call at a time. `key` names its place in the pool; `via_proxy` is what an
    absolute-form request (RFC 9112, section 3.2.2) has in front of its target and after its
    first line, None if the origin is spoken to directly."""

    def __init__(
        self,
        keeper: Keeper,
        key: tuple[str, str, int],
        head_limit_bytes: int,
        via_proxy: tuple[bytes, bytes] | None,
    ) -> None:
        self.key = key
        self.gone = False
        """No call may start on it any more."""
        self.expires_at: float | None = None
        """Monotonic seconds; None until the next sweep stamps it."""
        self.turns = keeper.turns
        self._keeper = keeper
        self._via_proxy = via_proxy
        self._head_limit_bytes = head_limit_bytes
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport
        self._response: Response | None = None
        self._timeouts: Timeouts
        self._headers: list[tuple[bytes, bytes]] = []
        self._is_head = False
        self._interim = False
        self._keep_alive = False
        self._surplus = False
        self._complete = False
        self._eof = False
        self._head_bytes = 0
        self._quiet_bytes = 0
        self._body_seen = self._body_begun = False
        self._queued = 0
        self._sent = -1
        self._unsent: memoryview | None = None
        self._write_paused = False

    @property
    def busy(self) -> bool:
        """A call is under way."""
        return self._response is not None

    # What the pool and the response call.

    def begin(self, request: WireRequest, timeouts: Timeouts) -> Response:
        """Writes the request, all of it or, if its body is large, the head: then `upload` must
        follow. The response's waiter is set and wakes when the head has come or the call fails."""
        response = Response(self)
        response.waiter = asyncio.get_running_loop().create_future()
        self._response = response
        self._headers = response.headers
        self._timeouts = timeouts
        self.expires_at = None
        self._is_head = self._complete = self._keep_alive = False
        self._body_seen = self._body_begun = False
        self._head_bytes = self._quiet_bytes = 0
        self._sent = -1

        head, body = request.head, request.body
        if head.startswith(b"HEAD "):
            self._is_head = True
        if self._via_proxy is not None:
            head = absolute_form(head, *self._via_proxy)
        size = len(body)
        if size == 0 and (self._is_head or head.startswith(b"GET ")):
            head += b"\r\n"
        elif size <= JOINED_BODY_BYTES:
            head = b"%bContent-Length: %d\r\n\r\n%b" % (head, size, body)
        else:
            head = b"%bContent-Length: %d\r\n\r\n" % (head, size)
            self._unsent = memoryview(body)
        self._queued = len(head)
        self._transport.write(head)
        return response

    @property
    def has_unsent(self) -> bool:
        return self._unsent is not None

    async def upload(self, response: Response) -> None:
        """Writes a large body by slices, as fast as the socket takes it. Stops early if the
        response's head comes or the call fails; the connection is then not used again."""
        while self._unsent is not None and self._response is response:
            if response.head_done:
                return
            if self._write_paused:
                waiter = response.waiter
                assert waiter is not None
                await waiter
                if not response.head_done and response.error is None:
                    # Woken by resume_writing: the head is still to be waited for.
                    response.waiter = asyncio.get_running_loop().create_future()
            else:
                piece = self._unsent[:UPLOAD_SLICE_BYTES]
                self._unsent = self._unsent[UPLOAD_SLICE_BYTES:] or None
                self._queued += len(piece)
                self._transport.write(piece)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self.gone:
            self._transport.resume_reading()

    def restart_clock(self) -> None:
        """The time to wait for bytes begins anew."""
        self.expires_at = None

    def abort(self) -> None:
        """Closes the socket at once; what was not sent is dropped."""
        self.gone = True
        self._response = None
        self._transport.abort()

    def fail(self, fault: Fault, detail: str) -> None:
        """Ends the call under way, if any, and the connection."""
        response = self._response
        if response is None:
            self.abort()
        else:
            response.fail(TransportError(fault, detail, response_started=self._head_bytes > 0))

    def tick(self, now: float) -> None:
        """Called by the sweep, at least every 50 ms while a call is under way: stamps the time at
        which the wait under way ends, or ends it. So time-outs are late by up to two sweeps, never
        early, and the hot path never asks for the time."""
        response = self._response
        if response is None or response.waiter is None or response.queued:
            return
        if response.head_done:
            limit_s, fault = self._timeouts.idle_s, Fault.IDLE_TIMEOUT
        else:
            limit_s, fault = self._timeouts.first_byte_s, Fault.FIRST_BYTE_TIMEOUT
            sent = self._queued - self._transport.get_write_buffer_size()
            if sent != self._sent:
                # The request is still on its way out: the wait for the answer starts after it.
                self._sent = sent
                self.expires_at = None
        if not self._body_begun:
            limit_s = self._timeouts.first_byte_s
        if self.expires_at is None:
            self.expires_at = now + limit_s
        elif now >= self.expires_at:
            self.fail(fault, f"nothing came for {limit_s:g} s")

    # asyncio.Protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        response = self._response
        if response is None:
            # Bytes that nobody asked for: the next call must not take them for its answer
            # (RFC 9112, section 11.2).
            if not self.gone:
                self.abort()
            return
        if not response.head_done:
            self._head_bytes += len(data)
            excess = self._head_bytes - self._head_limit_bytes
            if excess > 0:
                if not self._feed_last_of_head(response, data[:-excess]):
                    return
                data = data[-excess:]
        else:
            self._quiet_bytes += len(data)
        if not self._feed(data):
            return
        if self._complete:
            self._finish(response)
            return
        if response.head_done:
            self.expires_at = None
            if self._body_seen:
                self._body_seen, self._body_begun = False, True
                self._quiet_bytes = 0
            elif self._quiet_bytes > self._head_limit_bytes:
                # Chunk extensions or trailers without end (RFC 9112, section 7.1.1).
                self.fail(Fault.PROTOCOL, "chunk extensions or trailers over the limit")
                return
            if response.sink is not None:
                if response.parts:
                    response.pour()
                else:
                    self.restart_clock()
                return
            if response.unread >= response.wanted:
                response.wake()
            if response.unread > response.high_water and not response.paused:
                response.paused = True
                self._transport.pause_reading()

    def _feed_last_of_head(self, response: Response, data: bytes) -> bool:
        """Feeds what the limit leaves of the head. False if the call has failed."""
        if not self._feed(data):
            return False
        if not response.head_done:
            self.fail(Fault.PROTOCOL, "the head is over the limit")
            return False
        return True

    def _feed(self, data: bytes) -> bool:
        """False if the call has failed."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self._complete:
                self.fail(Fault.PROTOCOL, str(error.__context__ or error))
                return False
            self._surplus = True
        return True

    def eof_received(self) -> None:
        self._eof = True
        response = self._response
        if response is None:
            self.gone = True
        elif response.close_delimited and self._ended_by_peer():
            self._finish(response)
        elif response.head_done:
            self.fail(Fault.TRUNCATED, "the connection ended before the body did")
        else:
            self.fail(Fault.RESET, "the connection ended before the response's head")

    def _ended_by_peer(self) -> bool:
        """True for FIN, by TLS only after close_notify, without which anyone on the path may have
        cut the body (RFC 9112, section 9.8). uvloop reports no end then; asyncio does, so ask."""
        tls: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
        if tls is None:
            return True
        try:
            return tls.read(1) == b""
        except ssl.SSLError:
            return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        if self._response is not None:
            # A close-delimited body without FIN or close_notify before this is cut, not ended.
            if isinstance(exc, ssl.SSLError):
                self.fail(Fault.TLS, str(exc))
            elif exc is None and self._response.head_done:
                self.fail(Fault.TRUNCATED, "TLS ended without close_notify")
            else:
                self.fail(Fault.RESET, str(exc or "the connection ended"))
        self._keeper.forget(self)
        del self._parser  # It holds our methods: breaks the cycle.

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        response = self._response
        if self._unsent is not None and response is not None and not response.head_done:
            response.wake()

    # llhttp's callbacks.

    def on_message_begin(self) -> None:
        if self._complete:
            self._surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        if self._complete:
            return
        response = self._response
        assert response is not None
        parser = self._parser
        status: int = parser.get_status_code()
        if status < 200:
            if status < 100 or status == 101:
                _refuse(f"status {status} is not an answer to this request")
            self._interim = True
            self._headers.clear()
            return
        version: str = parser.get_http_version()
        if version != "1.1" and version != "1.0":
            _refuse("the response is not HTTP/1.1")
        response.status = status
        self._keep_alive = parser.should_keep_alive()
        bodiless = self._is_head or status == 204 or status == 304
        self._read_framing(response, bodiless, version)
        # What on_header gets from here on are trailers, which nobody reads.
        self._headers = []
        response.head_done = True
        if self._is_head:
            # llhttp does not know that the request was HEAD and waits for a body.
            self._keep_alive = False
            self._complete = True

    def _read_framing(self, response: Response, bodiless: bool, version: str) -> None:
        """How the body ends: RFC 9112, section 6.3. llhttp itself refuses a repeated or malformed
        Content-Length and Content-Length beside Transfer-Encoding."""
        chunked = False
        length: int | None = None
        for name, value in response.headers:
            if name not in _FRAMING_HEADERS:
                continue
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                if chunked or value.lower() != b"chunked":
                    _refuse("the transfer encoding is not chunked alone")
                chunked = True
            elif not bodiless and value.lower() not in (b"identity", b""):
                _refuse("the body has a content encoding that was not asked for")
        if chunked and version == "1.0":
            self._keep_alive = False  # RFC 9112, section 6.1: its framing is not to be trusted.
        if bodiless:
            return
        if not chunked:
            response.length = length
            response.close_delimited = length is None

    def on_body(self, body: bytes) -> None:
        response = self._response
        if response is None or self._complete:
            self._surplus = True
            return
        response.parts.append(body)
        response.unread += len(body)
        self._body_seen = True

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        elif not self._complete:
            self._complete = True

    def _finish(self, response: Response) -> None:
        """The response is whole: the connection goes back to the pool, or ends."""
        keep = (
            self._keep_alive
            and not self._surplus
            and not self._eof
            and self._unsent is None
            and not self._write_paused
            and not self._transport.is_closing()
        )
        response.finish()
        self._response = None
        if keep:
            self.expires_at = None
            self._keeper.keep(self)
        else:
            self.abort()
        response.wake()


def _refuse(detail: str) -> NoReturn:
    raise ValueError(detail)
