"""One request of a client and the writing of its answer."""

from __future__ import annotations

import enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from headrace.platform.http.repeated_head import RepeatedHead
    from headrace.platform.http.server_connection import ServerConnection
    from headrace.platform.http.upgrade import Taken

_PHRASES = {s.value: s.phrase for s in HTTPStatus} | {499: "Client Closed Request"}
STATUS_LINES = {
    code: b"HTTP/1.1 %d %b\r\n" % (code, _PHRASES.get(code, "").encode())
    for code in range(100, 1000)
}
"""Of any status, for an upstream's own may be passed on. The phrase may be empty (RFC 9112)."""

_CLOSE = b"connection: close\r\n"
_CHUNKED = b"transfer-encoding: chunked\r\n"


class Interrupted(enum.Enum):
    """Why a handler's task was cancelled from outside."""

    CLIENT_GONE = "client_gone"
    DRAIN = "drain"


Answer = tuple[int, bytes, bytes]
"""Status, header lines ended by CRLF and without framing headers, body."""


class Request(Protocol):
    """What a request says before its body; an `Exchange` is one."""

    @property
    def method(self) -> bytes: ...
    @property
    def target(self) -> bytes: ...
    @property
    def headers(self) -> list[tuple[bytes, bytes]]: ...
    @property
    def repeated(self) -> RepeatedHead | None: ...
    @property
    def peer(self) -> str: ...


class Exchange:
    """A whole request, and the means to answer it: once with `respond`, or in parts with `begin`,
    `send`, `end`. Writing to a client that has gone does nothing; its handler is cancelled, with
    the cause in `interrupted`."""

    __slots__ = (
        "_connection",
        "_head",
        "body",
        "finished",
        "headers",
        "http_1_0",
        "interrupted",
        "keep_alive",
        "method",
        "repeated",
        "started",
        "target",
    )

    def __init__(self, connection: ServerConnection, method: bytes, target: bytes) -> None:
        self._connection = connection
        self.method = method
        self.target = target
        """Path and query as they came, undecoded."""
        self.headers: list[tuple[bytes, bytes]] = []
        """Names in lower case."""
        self.body: bytes = b""
        self.http_1_0 = False
        self.keep_alive = True
        self.started = False
        self.finished = False
        self.interrupted: Interrupted | None = None
        self.repeated: RepeatedHead | None = None
        """What this connection's last request began with too."""
        self._head: bytes | None = None

    @property
    def peer(self) -> str:
        """The address of the other end of the socket, without its port."""
        return self._connection.peer

    @property
    def in_company(self) -> bool:
        """For the handler's first step: many requests came together with this one."""
        return self._connection.server.cohort.is_large

    def header(self, name: bytes) -> bytes | None:
        """The first value under a lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        """The whole answer. `headers` are lines ended by CRLF, without framing headers."""
        if self.finished:
            return
        self.started = self.finished = True
        connection = self._connection
        head = b"%b%b%bcontent-length: %d\r\n\r\n" % (
            STATUS_LINES[status],
            connection.server.date_line,
            headers if self.keep_alive else headers + _CLOSE,
            len(body),
        )
        if self.method == b"HEAD":
            connection.write(head)
        elif len(body) > 65_536:
            connection.write(head)
            connection.write(body)
        else:
            connection.write(head + body)
        connection.exchange_ended(self)

    def begin(self, status: int, headers: bytes) -> None:
        """The head of an answer in parts. It leaves with the first `send`."""
        if self.http_1_0:
            self.keep_alive = False
        self.started = True
        self._head = b"%b%b%b%b\r\n" % (
            STATUS_LINES[status],
            self._connection.server.date_line,
            headers if self.keep_alive else headers + _CLOSE,
            b"" if self.http_1_0 else _CHUNKED,
        )

    def send(self, data: bytes) -> None:
        """A part of the body. Check `congested` after it and await `drained` if so."""
        if self.finished or not data:
            return
        if not self.http_1_0:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self._head is not None:
            data = self._head + data
            self._head = None
        self._connection.write(data)

    @property
    def congested(self) -> bool:
        """The client reads slower than it is written to."""
        return self._connection.congested

    async def drained(self) -> None:
        """Waits until the client has read enough."""
        await self._connection.drained()

    def end(self, data: bytes = b"") -> None:
        """The last part of the body; the answer is whole."""
        if self.finished:
            return
        if not self.http_1_0:
            data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n"
        if self._head is not None:
            data = self._head + data
            self._head = None
        self.finished = True
        self._connection.write(data)
        self._connection.exchange_ended(self)

    @property
    def offered(self) -> bool:
        """The client offers to speak another protocol."""
        return self._connection.offered

    def upgrade(self, headers: bytes, protocol: Taken) -> None:
        """Takes up the offer: what comes from now on is `protocol`'s. `leave` must follow."""
        self.started = True
        date = self._connection.server.date_line
        self._connection.hand_over(STATUS_LINES[101] + date + headers + b"\r\n", protocol)

    def leave(self) -> None:
        """The other protocol has ended; what is written goes out, then the connection closes."""
        if not self.finished:
            self.finished, self.keep_alive = True, False
            self._connection.exchange_ended(self)

    def abort(self) -> None:
        """Breaks the connection, so that the client cannot take what it got for whole."""
        if not self.finished:
            self.finished = True
            self._connection.abort()
