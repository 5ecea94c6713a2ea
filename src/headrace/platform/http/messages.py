"""What goes over the upstream wire: the request, the response, and the ways it can fail.

`Transport` is the seam: `client.py` is ours on llhttp, tests may bring others.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from msgspec import Struct

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_FORBIDDEN_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_FORBIDDEN_IN_TARGET = re.compile(rb"[\x00-\x20\x7f]")


class Origin(NamedTuple):
    """Scheme (`http` or `https`), host without brackets, port. The unit of connection pooling."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """The origin of an absolute http(s) URL. Raises ValueError with a sentence."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("a URL must start with http:// or https:// and name a host")
        default_port = 443 if parts.scheme == "https" else 80
        return cls(parts.scheme, parts.hostname, parts.port or default_port)

    @property
    def authority(self) -> str:
        """The Host header's value: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default_port = 443 if self.scheme == "https" else 80
        return host if self.port == default_port else f"{host}:{self.port}"


class Timeouts(Struct, frozen=True):
    """Seconds. `first_byte_s` runs from the request's last byte to the response's head, and from
    there to the first byte of its body: some servers send the head before they begin to work.
    `idle_s` runs between two reads of the body."""

    connect_s: float = 5.0
    first_byte_s: float = 60.0
    idle_s: float = 30.0


class WireRequest(Struct, frozen=True, gc=False):
    """One request, ready to send. `head` is the request line and headers, each ended by CRLF,
    without Content-Length and the empty line, which the transport adds. It may hold a credential:
    it is never shown by repr."""

    origin: Origin
    head: bytes
    body: bytes
    note: bytes = b""
    """Header lines that tell the client what of its request is not sent. Never on the wire."""

    def __repr__(self) -> str:
        return f"WireRequest({self.origin.authority}, {len(self.body)} bytes)"


def encode_head(method: bytes, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Request line and headers for `WireRequest.head`. Raises ValueError on a byte that would let
    a value write headers of its own (RFC 9110, section 5.5)."""
    if not _TOKEN.match(method) or not target or _FORBIDDEN_IN_TARGET.search(target):
        raise ValueError("the method or target holds a forbidden byte")
    lines = [b"%b %b HTTP/1.1\r\n" % (method, target)]
    for name, value in headers:
        if not _TOKEN.match(name) or _FORBIDDEN_IN_VALUE.search(value):
            raise ValueError(f"the header {name!r} holds a forbidden byte")
        lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)


class Fault(enum.Enum):
    """How an exchange with an upstream can fail below HTTP's status codes."""

    CONNECT = "connect"
    """Refused, unreachable, DNS, proxy refused."""
    BLOCKED = "blocked"
    """The address is none that may be connected to."""
    TLS = "tls"
    CONNECT_TIMEOUT = "connect_timeout"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    RESET = "reset"
    """The connection broke before the response was whole."""
    STALE = "stale"
    """A connection that had served another call broke before any byte of the response. Most likely
    its peer had closed it while it was idle; but the peer may have read the request."""
    TRUNCATED = "truncated"
    """Bytes ended before Content-Length or the last chunk."""
    PROTOCOL = "protocol"
    """What came is not HTTP/1.1, or is over a limit of head or encoding."""
    TOO_LARGE = "too_large"
    CLOSED = "closed"
    """The transport itself is shut down."""


class TransportError(Exception):
    """An exchange failed. `response_started`: some byte of a response had come, so the upstream
    surely saw the request. `str()` is private: for the log, never for a client."""

    def __init__(self, fault: Fault, detail: str, *, response_started: bool = False) -> None:
        super().__init__(f"{fault.value}: {detail}")
        self.fault = fault
        self.response_started = response_started


class WireResponse(Protocol):
    """A response whose head has come. Must be read to its end or closed; closing early closes
    the connection at once, so that the upstream stops working."""

    status: int
    headers: list[tuple[bytes, bytes]]
    """Names in lower case, in the order they came."""
    whole: bool
    """All of it has come: reading does not wait."""
    close_delimited: bool
    """It ends with the connection, so its end proves less than a length or a last chunk."""

    def header(self, name: bytes) -> bytes | None:
        """The first value under a lower-case name."""
        ...

    async def next_chunk(self) -> bytes:
        """The next bytes of the body as they come, b"" at its end. Raises TransportError.
        Cancelling it closes the connection."""
        ...

    async def relay(self, sink: Callable[[bytes], bool]) -> bool:
        """Hands the body to `sink` as it comes until `sink` returns True for enough, without a
        switch of tasks for each chunk. True if the body has ended. What `sink` raises is raised
        here. Raises TransportError; cancelling it closes the connection."""
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises TransportError(TOO_LARGE) past `limit` bytes."""
        ...

    def close(self) -> None:
        """Done with it. Returns the connection to the pool if the body was read whole, else
        aborts it. Idempotent."""
        ...


class Transport(Protocol):
    """Sends requests over pooled connections. Follows no redirects, decodes no encodings."""

    async def send(self, request: WireRequest, timeouts: Timeouts) -> WireResponse:
        """Resolves when the response's head has come. Raises TransportError. Cancelling it aborts
        the connection at once, also while connecting or waiting for the head."""
        ...

    async def close(self) -> None:
        """Aborts all connections."""
        ...
