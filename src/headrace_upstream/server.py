"""The sockets: an asyncio Protocol on llhttp, one object per connection."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

import httptools

from headrace_upstream import admin
from headrace_upstream.performance import How, Performance, reset
from headrace_upstream.reply import reply_head
from headrace_upstream.seen import Seen
from headrace_upstream.upstream import Upstream

_MOST_PIPELINED = 64
_BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n"
    b"content-length: 24\r\n\r\nthe bytes are not HTTP.\n"
)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(asyncio.Protocol):
    """Reads requests one after the other and plays their replies."""

    __slots__ = (
        "_body",
        "_current",
        "_headers",
        "_keep_alive",
        "_loop",
        "_parser",
        "_reading",
        "_tag",
        "_target",
        "_transport",
        "_upstream",
        "_waiting",
        "on_header",
    )

    def __init__(self, upstream: Upstream, tag: str, loop: asyncio.AbstractEventLoop) -> None:
        self._upstream = upstream
        self._tag = tag
        self._loop = loop
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._headers: dict[bytes, bytes] = {}
        # The parser calls this for each header: a C method is much cheaper than one of Python.
        self.on_header = self._headers.__setitem__
        self._parser: httptools.HttpRequestParser = httptools.HttpRequestParser(self)
        self._target = b""
        self._body: list[bytes] = []
        self._reading = False
        self._current: tuple[Seen, Performance] | None = None
        self._waiting: deque[tuple[bytes, bytes, dict[bytes, bytes], bytes, bool]] = deque()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods but not the base class.
        self._transport = transport = cast(asyncio.Transport, transport)
        self._upstream.transports.add(transport)
        stats = self._upstream.stats
        stats.connections_open += 1
        stats.connections_total += 1
        if self._upstream.refuse_left > 0:
            self._upstream.refuse_left -= 1
            stats.connections_refused += 1
            reset(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._upstream.transports.discard(self._transport)
        if self._current is not None:
            self._current[1].client_gone()
        for method, target, headers, body, _ in self._waiting:
            call, _, _ = self._upstream.meet(method, target, headers, body, self._tag)
            call.tokens_sent = call.bytes_sent = 0
            self._upstream.end(call, "client_gone")
        self._waiting.clear()
        self._upstream.stats.connections_open -= 1
        if self._reading:
            self._upstream.stats.bad_requests += 1
        self._upstream.notify()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse_bytes()
            return
        if self._reading and not self._body and b"100-continue" in self._headers.values():
            self._transport.write(_CONTINUE)

    def pause_writing(self) -> None:
        if self._current is not None:
            self._current[1].pause()

    def resume_writing(self) -> None:
        if self._current is not None:
            self._current[1].resume()

    # httptools

    def on_message_begin(self) -> None:
        self._headers.clear()
        self._body.clear()
        self._target = b""
        self._reading = True

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._reading = False
        parser = self._parser
        headers = {name.lower(): value for name, value in self._headers.items()}
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = (parser.get_method(), self._target, headers, body, parser.should_keep_alive())
        if self._current is None and not self._waiting:
            self._answer(*request)
        elif len(self._waiting) < _MOST_PIPELINED:
            self._waiting.append(request)
        else:
            self._refuse_bytes()

    def _answer(
        self,
        method: bytes,
        target: bytes,
        headers: dict[bytes, bytes],
        body: bytes,
        keep_alive: bool,
    ) -> None:
        if target.startswith(b"/_"):
            self._transport.write(admin.answer(self._upstream, method, target, body))
            if not keep_alive:
                self._transport.close()
            return
        call, route, reply = self._upstream.meet(method, target, headers, body, self._tag)
        if isinstance(reply, bytes):
            self._transport.write(reply)
            if not keep_alive:
                self._transport.close()
            self._upstream.end(call, "completed")
            return
        reply.keep_alive = reply.keep_alive and keep_alive
        head = b""
        if reply.framing != "none":
            date = self._upstream.date(call.time_s)
            head = reply_head(reply, route.dialect, call.seq, date)
        performance = Performance(reply, head, self._transport, self._loop, self._ended)
        self._current = (call, performance)
        performance.start()

    def _ended(self, performance: Performance, how: How) -> None:
        assert self._current is not None
        call = self._current[0]
        self._current = None
        call.bytes_sent = performance.body_bytes
        call.tokens_sent = performance.tokens_sent
        self._upstream.end(call, how)
        if self._waiting and not self._transport.is_closing():
            self._loop.call_soon(self._answer_next)

    def _answer_next(self) -> None:
        if self._waiting and self._current is None and not self._transport.is_closing():
            self._answer(*self._waiting.popleft())
            if self._waiting and self._current is None:
                self._loop.call_soon(self._answer_next)

    def _refuse_bytes(self) -> None:
        self._upstream.stats.bad_requests += 1
        self._reading = False
        if not self._transport.is_closing():
            self._transport.write(_BAD_REQUEST)
            self._transport.close()


async def listen(
    upstream: Upstream, host: str, port: int, tag: str = "", **options: Any
) -> asyncio.Server:
    """Starts accepting. `options` go to `loop.create_server` (`ssl`, `reuse_port`, `sock`)."""
    loop = asyncio.get_running_loop()
    if "sock" not in options:
        options |= {"host": host, "port": port}
    return await loop.create_server(
        lambda: Connection(upstream, tag, loop), backlog=4096, **options
    )
