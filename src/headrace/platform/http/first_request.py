"""The first request of a connection, read before there is anything else of the connection.

Clients that open a connection for each call make a refusal dear: most of what it takes is to make
a transport and a protocol and to take them down again. So while there is too much to do the server
looks at what came with a connection, and may answer it on the bare socket. Only a request that is
whole and leaves nothing to say is read so; all else, above all what is unsound, is the protocol's.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import httptools

from headrace.platform.http import request_head
from headrace.platform.http.limits import ServerLimits
from headrace.platform.http.repeated_head import RepeatedHead

FIRST_BYTES = 64 * 1024
"""Read of a connection at first. What has not come by then is left to the protocol."""
HEADS = 8
"""Remembered: of clients that send the same one with each connection."""
LESSONS = 64
"""Heads that are remembered without one of them coming again; then no more are."""


class FirstRequest(NamedTuple):
    """A `Request`."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    peer: str
    repeated: RepeatedHead | None = None

    def __repr__(self) -> str:
        return "FirstRequest()"  # it holds a credential


class FirstRequests:
    """Reads them, and knows heads that come again (see `repeated_head.py`)."""

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._known: deque[RepeatedHead] = deque(maxlen=HEADS)
        self._lessons = LESSONS

    def read(self, data: bytes, peer: str) -> FirstRequest | None:
        """None unless `data` is one sound request, whole and with nothing behind it, whose client
        takes no other answer on the connection."""
        for known in self._known:
            repeat = known.again(data)
            if repeat is not None:
                body_at, body_bytes, headers = repeat
                if body_at + body_bytes != len(data) or body_bytes > self._limits.body_bytes:
                    return None
                self._lessons = LESSONS
                return FirstRequest(known.method, known.target, headers, peer, known)
        reading = _Reading(self._limits)
        if not reading.feed(data):
            return None
        method, target, headers = reading.method, reading.target, reading.headers
        if self._lessons and reading.version == "1.1":
            self._lessons -= 1
            head = RepeatedHead.of(data, method, target, headers)
            if head is not None:
                self._known.appendleft(head)
        return FirstRequest(method, target, headers, peer)


class _Reading:
    """What the parser finds in a connection's first bytes."""

    def __init__(self, limits: ServerLimits) -> None:
        self.method = b""
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.version = ""
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)
        self._fit = False
        self._is_last = False

    def feed(self, data: bytes) -> bool:
        """Once. Whether `data` is what `FirstRequests.read` asks for."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        finally:
            del self._parser  # it holds our methods: breaks the cycle
        return self._fit and self._is_last

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        self.method = parser.get_method()
        self.version = parser.get_http_version()
        expects = request_head.check(self.target, self.headers, self.version, self._limits)
        # A body in chunks may have trailers and any length: not worth to be understood here too.
        chunks = any(name == b"transfer-encoding" for name, _ in self.headers)
        self._fit = not (expects or chunks or parser.should_upgrade())

    def on_message_complete(self) -> None:
        self._is_last = not self._parser.should_keep_alive()
