"""One connection to Redis or Valkey for commands whose reply is one value: RESP2
(https://redis.io/docs/latest/develop/reference/protocol-spec/).

Calls wait for the script that counts them. By the client library a command costs a quarter of a
millisecond of CPU, which would be most of what such a call costs; by this a tenth of it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Self, cast

Value = bytes | int | None
MOST_BYTES = 64 * 1024 * 1024
"""Of a reply whose end has not come."""
_SIMPLE, _ERROR, _INTEGER, _BULK = b"+-:$"


class Refusal(Exception):  # noqa: N818 - it is the server's word
    """The server is there and says no. Its first word is the kind: NOSCRIPT, READONLY, OOM."""


class RedisWire(asyncio.Protocol):
    """Commands may follow each other without waiting; replies come in their order."""

    def __init__(self, lost: Callable[[Exception], None]) -> None:
        """`lost` is told once why it cannot be used any more, unless it was closed by `close`."""
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[asyncio.Future[Value | Refusal]] = deque()
        self._rest = b""
        self._whole = 0
        """So many bytes of `_rest` are needed before it is worth a look."""
        self._closed = False

    @classmethod
    async def open(
        cls, host: str, port: int, tls: ssl.SSLContext | None, lost: Callable[[Exception], None]
    ) -> Self:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_connection(lambda: cls(lost), host, port, ssl=tls)
        return wire

    def ask(self, command: Sequence[str | bytes | int | float]) -> asyncio.Future[Value | Refusal]:
        """The reply, which may be the server's refusal. It fails with OSError if the connection
        is lost first, or does not speak the protocol."""
        reply: asyncio.Future[Value | Refusal] = asyncio.get_running_loop().create_future()
        if self._closed or self._transport is None:
            reply.set_exception(ConnectionError("the connection is closed"))
        else:
            self._waiting.append(reply)
            self._transport.write(packed(command))
        return reply

    def close(self) -> None:
        """Idempotent."""
        self._end(ConnectionError("the connection was closed"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        if len(data) < self._whole:
            self._rest = data
            return
        self._whole = at = 0
        try:
            while (end := data.find(b"\r\n", at)) >= 0:
                kind, line = data[at], data[at + 1 : end]
                at_next = end + 2
                value: Value | Refusal
                if kind == _BULK:
                    size = int(line)
                    if size < 0:
                        value = None
                    else:
                        at_next += size + 2
                        if len(data) < at_next:
                            self._whole = at_next - at
                            break
                        value = data[end + 2 : at_next - 2]
                elif kind == _ERROR:
                    value = Refusal(line.decode("utf-8", "replace"))
                elif kind == _INTEGER:
                    value = int(line)
                elif kind == _SIMPLE:
                    value = line
                else:
                    raise ValueError(f"a reply of the kind {chr(kind)!r}")
                self._answered(value)
                at = at_next
            self._rest = data[at:]
            if max(len(self._rest), self._whole) > MOST_BYTES:
                raise ValueError("a reply without an end")
        except ValueError as error:
            self._fail(ConnectionError(f"not Redis's protocol: {error}"))

    def _answered(self, value: Value | Refusal) -> None:
        if not self._waiting:
            raise ValueError("a reply that nothing asked for")
        reply = self._waiting.popleft()
        if not reply.done():  # its asker may have given up
            reply.set_result(value)

    def _fail(self, error: Exception) -> None:
        if not self._closed:
            self._end(error)
            self._lost(error)

    def _end(self, error: Exception) -> None:
        self._closed = True
        waiting, self._waiting = self._waiting, deque()
        for reply in waiting:
            if not reply.done():
                reply.set_exception(error)
        if self._transport is not None:
            self._transport.abort()


def packed(command: Sequence[str | bytes | int | float]) -> bytes:
    """As it goes over the wire: an array of strings."""
    parts: list[Any] = [b"*%d\r\n" % len(command)]
    for word in command:
        text = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)
